# SPDX-License-Identifier: BSD-2-Clause
"""What the allocators are to reach, by hardening level, and whether a run did.

Each goal is judged at the level it is stated for; a figure that the run lacks is "not measured".
"""

LIMIT = "limit: magazine of 8"  # at the transfer size of ours
LIMIT_OF = {"pool": LIMIT, "cache": LIMIT, "threads": LIMIT, "heap": "limit: size classes"}
EVERY, MALLOCS, BEST = "every peer", "every malloc", "best peer"
DPDK = "DPDK mempool"
INLINE, PINNED = "kc_pool, inline", "kc_pool, pinned"

# (group, start of the workload, ours, {level: [(against, at most), ...]})
TIMES = [
    ("pool", "hot, 64", INLINE, {"off": [(LIMIT, 1.25)], "checked": [(LIMIT, 2.0), (EVERY, 0.7)]}),
    ("pool", "hot, called", PINNED, {"off": [(LIMIT, 1.33)]}),
    ("pool", "batch 64,", INLINE, {"off": [(LIMIT, 1.33)], "checked": [(LIMIT, 2.2), (BEST, 0.8)]}),
    ("pool", "batch 1024, 64", INLINE,
     {"off": [(LIMIT, 1.33)], "checked": [(LIMIT, 2.2), (BEST, 0.8)]}),
    ("pool", "churn", INLINE,
     {"off": [(LIMIT, 1.33)], "checked": [(DPDK, 1.1), (MALLOCS, 0.75)]}),
    ("pool", "batch 65536, 64", INLINE,
     {"off": [(LIMIT, 1.33)], "checked": [("mimalloc", 1.3), (DPDK, 0.9)]}),
    ("pool", "bulk 32", "kc_pool, bulk", {"off": [(DPDK, 0.8)], "checked": [(DPDK, 1.5)]}),
    ("heap", "mixed", "kc_heap, pinned", {"off": [("limit: size classes", 1.33)], "checked": [(BEST, 1.0)]}),
    ("threads", "hand over", PINNED, {"off": [("mimalloc", 0.6)], "checked": [("mimalloc", 0.8)]}),
]

# (group, start of the workload, ours, {level: instructions})
INSTRUCTIONS = [
    ("pool", "hot, 64", INLINE, {"off": 16, "checked": 36}),
    ("pool", "hot, called", PINNED, {"checked": 44}),
]

SCALING = (PINNED, {"off": LIMIT, "checked": LIMIT + ", checked"}, 0.95)
# Bytes held for each requested, of the heap, by size; checked may have one in a hundred more.
MEMORY = {16: 1.05, 24: 1.10, 32: 1.05, 64: 1.05, 100: 1.10, 1000: 1.05, 4096: 1.05}
MEMORY_MORE = {"off": 1.0, "checked": 1.01}
FOOTPRINT = 0.7          # of Linux's, on each recording
VALIDATION_MEMORY = 1.10  # checked to off, bytes held
VALIDATION = 1.20         # checked to off, time of whole programs


def rounded(x):
    return None if x is None else round(x, 3)


def goal(level, what, against, most, got, at_least=False, limit=None):
    """limit: what the bare loop that checks as much gets in our place; nobody gets below it."""
    reached = None if got is None else (got >= most if at_least else got <= most)
    return {"level": level, "what": what, "against": against, "bound": most,
            "at_least": at_least, "got": rounded(got), "limit": rounded(limit),
            "reached": reached}


def find(cases, workload, subject):
    return next((c for c in cases if c["subject"] == subject and
                 c["workload"].startswith(workload)), None)


def others(cases, workload, against):
    """Those that a goal is against."""
    peers = [c for c in cases if c["workload"].startswith(workload) and c["role"] == "peer"]
    if against in (EVERY, BEST):
        return peers
    if against == MALLOCS:
        return [c for c in peers if c["subject"] != DPDK]
    one = find(cases, workload, against)
    return [one] if one else []


def limit_at(group, level):
    return LIMIT_OF[group] + (", checked" if level == "checked" else "")


def of_times(group, by_level):
    goals = []
    for of, workload, subject, levels in TIMES:
        for level, bounds in levels.items() if of == group else ():
            cases = by_level[level]["cases"]
            ours = find(cases, workload, subject)
            least = find(cases, workload, limit_at(group, level))
            for against, most in bounds:
                beside = others(cases, workload, against)
                got, limit = (max((c["ns"] / o["ns"] for o in beside), default=None) if c else None
                              for c in (ours, least))
                goals.append(goal(level, f"{subject}: {workload}", against, most, got, limit=limit))
    for of, workload, subject, levels in INSTRUCTIONS:
        for level, most in levels.items() if of == group else ():
            ours = find(by_level[level]["cases"], workload, subject)
            goals.append(goal(level, f"{subject}: {workload}", "instructions a pair", most,
                              ours["instructions"] if ours else None))
    if group == "threads":
        goals += of_scaling(by_level)
    return goals


def scaling(cases, subject):
    """Work done by two CPUs for what one does in the same time."""
    one, two = (find(cases, w, subject) for w in ("churn 1 CPU", "churn 2 CPUs"))
    return 2 * one["ns"] / two["ns"] if one and two else None


def of_scaling(by_level):
    subject, against, least = SCALING
    goals = []
    for level, limit in against.items():
        ours, theirs = (scaling(by_level[level]["cases"], s) for s in (subject, limit))
        goals.append(goal(level, f"{subject}: scaling, 1 to 2 CPUs", limit, least,
                          ours / theirs if ours and theirs else None, at_least=True))
    return goals


def of_ceilings(rows, singles):
    """The targets that stand beside the ceilings; singles: {level: {name: counted}}."""
    goals = []
    for subject, measure, values, got_of in rows:
        for level in ("off", "checked"):
            target = values[level][1]
            if target is not None:
                goals.append(goal(level, f"{subject}: {measure}", "instructions", target,
                                  got_of(singles.get(level, {}).get(subject))))
    return goals


def of_memory(held):
    """held: {level: {subject: {bytes: held over requested}}}."""
    goals = []
    for level, more in MEMORY_MORE.items():
        for size, most in MEMORY.items():
            goals.append(goal(level, f"kc_heap: held for {size} bytes", "requested",
                              round(most * more, 3), held[level].get("kc_heap", {}).get(size)))
    for subject in ("kc_pool", "kc_cache", "kc_heap"):
        off, checked = (held[level].get(subject, {}) for level in ("off", "checked"))
        worst = max((checked[s] / off[s] for s in off if s in checked), default=None)
        goals.append(goal("checked", f"{subject}: held, checked to off, worst size", "off",
                          VALIDATION_MEMORY, worst))
    return goals


def of_footprint(reports):
    """reports: {trace: ksim's report of its replay}."""
    goals = [] if reports else [goal("checked", "footprint over requested", "Linux's", FOOTPRINT,
                                     None)]
    for trace, report in reports.items():
        for what, against in ("footprint", "Linux's slabs"), ("slabs", "Linux's slabs"):
            key = f"weighted_{what}_over_requested_pct"
            ours, theirs = report["kcore"][key], report["linux"][key]
            got = ours / theirs if ours is not None and theirs else None
            goals.append(goal("checked", f"{what} over requested: {trace}", against, FOOTPRINT,
                              got))
    return goals
