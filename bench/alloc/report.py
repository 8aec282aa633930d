#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The allocators beside limits and peers, at hardening off and checked, in one report.

usage: report.py OFF CHECKED [PART] [--json] [--seed N] [--rounds N] [--quick] [--write]
                 [--plot DIR]

OFF and CHECKED are the build directories of the two levels. Parts, all of them if none is named:

    pool cache heap threads   timed (measure.py): medians of interleaved rounds, callgrind's counts
    single                    instructions and lines of memory of single operations
    memory                    bytes held for bytes requested, by size and through scenarios
    preload                   whole programs, with each allocator preloaded
    footprint                 on recordings, beside Linux: the bundled one and those that the
                              variable KC_TRACES names
    goals                     with all parts alone: what was to be reached

--quick counts single operations with 600 objects live instead of 10,000, and says so. --write puts
what was printed into docs/performance.md, without times.
"""
import argparse
import json
import os
import shutil
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE)]

import footprint  # noqa: E402
import goals  # noqa: E402
import measure  # noqa: E402
import plot  # noqa: E402
import preload  # noqa: E402
import single_ops  # noqa: E402

TIMED = ["pool", "cache", "heap", "threads"]
PARTS = TIMED + ["single", "memory", "preload", "footprint"]
# Sections of docs/performance.md; the footprint's is footprint.py's.
WRITTEN = set(PARTS) - {"footprint"} | {"validation", "goals"}
LEVELS = ["off", "checked"]
SIZES = [16, 24, 32, 64, 100, 1000, 4096]
SCENARIOS = ["sessions", "passes", "tides"]


def number(value, digits=2):
    return "–" if value is None else f"{value:.{digits}f}"


def markdown(head, rows):
    """A table; cells of the first two columns are text."""
    rule = ["---" if i < 2 else "--:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule] + rows) + "\n"


# ---- timed ---------------------------------------------------------------------------------------

def timed_table(group, by_level, with_times):
    """Instructions of each at both levels, and our time divided by its."""
    cases = {level: {(c["workload"], c["subject"]): c for c in got["cases"]}
             for level, got in by_level.items()}
    order = {"ours": 0, "limit": 1, "peer": 2}
    keys = list(cases["checked"])
    workloads = list(dict.fromkeys(w for w, _ in keys))
    first = {w: next(s for v, s in keys if v == w and cases["checked"][v, s]["role"] == "ours")
             for w in workloads}
    keys.sort(key=lambda k: (workloads.index(k[0]), order[cases["checked"][k]["role"]]))
    rows = []
    for workload, subject in keys:
        mine = [cases[level][workload, subject] for level in LEVELS]
        ours = [cases[level][workload, first[workload]] for level in LEVELS]
        bold = f"**{subject}**" if mine[0]["role"] == "ours" else subject
        row = [f"{workload} (a {mine[0]['item']})", bold]
        row += [number(c["instructions"], 0) for c in mine]
        row += [number(mine[1]["d1_misses"])]
        row += ["" if subject == first[workload] else number(o["ns"] / c["ns"])
                for o, c in zip(ours, mine)]
        rows.append(row + ([number(c["ns"]) for c in mine] if with_times else []))
    head = ["workload", "subject", "instructions, off", "checked", "misses", "ours to it, off",
            "checked"]
    text = markdown(head + (["ns, off", "checked"] if with_times else []), rows)
    for m in by_level["checked"]["missing"]:
        text += f"\nNot measured: {m['subject']} ({m['why']}).\n"
    return text


# ---- single operations ---------------------------------------------------------------------------

def listed(program, part):
    """Names, roles and what else a line of `kc-probe PART list` says; those missing apart."""
    there, missing = [], []
    for line in measure.run([program, part, "list"]).splitlines():
        name, role, *more = line.split("\t")
        if role == "missing":
            missing.append({"subject": name, "why": more[0]})
        else:
            there.append((name, role, *more))
    return there, missing


def probe_of(build, name):
    suffix = "-dpdk" if name == goals.DPDK else ""
    return os.path.join(build, "bench", "kc-probe" + suffix)


def measure_single(builds, quick):
    out = {level: {} for level in LEVELS}
    there, missing = listed(probe_of(builds["checked"], goals.DPDK), "single")
    if not shutil.which("valgrind"):
        return out, [{"subject": "all", "why": "there is no Valgrind"}]
    for name, role in there:
        for level in LEVELS if role == "ours" else ["checked"]:
            measure.say(f"single operations: {name}, {level}")
            text = single_ops.run(probe_of(builds[level], name),
                                  os.path.join(builds[level], "bench", "single-trace"), name,
                                  quick)
            if text is None:
                missing.append({"subject": name, "why": "it did not run under Valgrind"})
                continue
            out[level][name] = dict(single_ops.parse(text, name), role=role)
    measure.say("")
    return out, missing


def steady(single, kind):
    rows = [r for r in single["rows"] if r["phase"] == "steady" and r["kind"] == kind]
    return rows[0]["p50"] if rows else None


def single_table(singles, missing, quick):
    rows = []
    for name, one in singles["checked"].items():
        for level in LEVELS:
            s = singles[level].get(name)
            if s is None:
                continue
            ours = one["role"] == "ours"
            lines = [s["lines"].get(k, {}).get("p50") for k in ("alloc", "free")]
            rows.append([f"**{name}**" if ours else name, level if ours else "–",
                         number(steady(s, "alloc"), 0), number(steady(s, "free"), 0),
                         number(max((r["p99"] for r in s["rows"]), default=None), 0),
                         number(max((r["p999"] for r in s["rows"]), default=None), 0),
                         number(s["worst"], 0), s["worst_at"] or "–",
                         number(s["frames"]["most"], 0) if s["frames"] else "–",
                         "/".join(number(n, 0) for n in lines)])
    text = markdown(["subject", "hardening", "alloc, median", "free, median", "p99", "p99.9",
                     "worst", "which", "worst with frames", "lines"], rows)
    text = f"{600 if quick else 10000} objects live.\n\n" + text
    for m in missing:
        text += f"\nNot measured: {m['subject']} ({m['why']}).\n"
    return text


def ceilings():
    """Rows of ceilings.txt, each with what gets its measure from a counted subject."""
    def getter(what):
        return lambda single: single_ops.measure_of(single, what) if single else None
    return [(subject, what, values, getter(what)) for subject, what, values
            in single_ops.read_table(os.path.join(HERE, "ceilings.txt"))]


# ---- memory --------------------------------------------------------------------------------------

def measure_memory(builds):
    held = {level: {} for level in LEVELS}
    course = {level: {} for level in LEVELS}
    there, missing = listed(probe_of(builds["checked"], goals.DPDK), "memory")
    for name, role, kind in there:
        for level in LEVELS if role == "ours" else ["checked"]:
            program = probe_of(builds[level], name)
            measure.say(f"memory: {name}, {level}")
            held[level][name] = {size: int(measure.run([program, "memory", name, str(size)])) / 1000
                                 for size in SIZES}
            if kind != "any":
                continue
            course[level][name] = {}
            for scenario in SCENARIOS:
                text = measure.run([program, "memory", name, scenario])
                course[level][name][scenario] = [tuple(map(int, line.split()))
                                                 for line in text.splitlines()]
    measure.say("")
    return held, course, missing


def over(samples):
    """Held over requested: mean along the way, greatest, and at the end, where little may live."""
    ratios = [h / r for r, h in samples if r > 0]
    return statistics.mean(ratios), max(ratios), ratios[-1]


def memory_tables(held, course, missing):
    def name_rows(of, cells):
        rows = []
        for name in of["checked"]:
            for level in LEVELS:
                if name in of[level]:
                    ours = name in of["off"]
                    rows.append([f"**{name}**" if ours else name, level if ours else "–",
                                 *cells(of[level][name])])
        return rows
    text = "Bytes held for each byte requested, 100,000 objects live:\n\n"
    text += markdown(["subject", "hardening"] + [f"{s} B" for s in SIZES],
                     name_rows(held, lambda h: [number(h.get(s)) for s in SIZES]))
    text += ("\nFragmentation: the same ratio through a scenario (`bench/alloc/memory.cc`): its mean, "
             "its greatest, and at the end.\n\n")
    text += markdown(["subject", "hardening"] + SCENARIOS,
                     name_rows(course, lambda c: [" ".join(number(x) for x in over(c[s]))
                                                  for s in SCENARIOS]))
    for m in missing:
        text += f"\nNot measured: {m['subject']} ({m['why']}).\n"
    return text


# ---- what validation costs -----------------------------------------------------------------------

def validation_table(timed):
    """Checked beside off, and both beside the plain limit of the same kind: a C allocator without a
    check. Only where all were measured."""
    rows = []
    for group in [g for g in ("pool", "cache", "heap") if g in timed]:
        limit = goals.LIMIT_OF[group]
        off, checked = (timed[group][level]["cases"] for level in LEVELS)
        for c in checked:
            o = goals.find(off, c["workload"], c["subject"])
            if c["role"] != "ours" or o is None:
                continue
            bare = [goals.find(x, c["workload"], limit) for x in (off, checked)]
            rows.append([c["workload"], c["subject"], number(c["ns"] / o["ns"]),
                         number(c["instructions"] / o["instructions"])
                         if c["instructions"] and o["instructions"] else "–"] +
                        [number(a["ns"] / b["ns"]) if b else "–" for a, b in zip((o, c), bare)])
    return markdown(["workload", "subject", "checked to off", "instructions, so", "off to plain C",
                     "checked to plain C"], rows)


# ---- footprint -----------------------------------------------------------------------------------

def measure_footprint(build):
    root = os.path.dirname(os.path.dirname(measure.DOC))
    ksim = os.path.join(build, "sim", "ksim")
    if not os.path.exists(ksim):
        return {}
    traces = [os.path.join(root, "sim", "trace", "sample.kct"),
              *os.environ.get("KC_TRACES", "").split()]
    return {footprint.name_of(t): footprint.replay(ksim, t) for t in traces}


# ---- goals ---------------------------------------------------------------------------------------

def goal_table(found):
    rows = []
    for g in found:
        verdict = {True: "reached", False: "**missed**", None: "not measured"}[g["reached"]]
        sign = "at least" if g["at_least"] else "at most"
        rows.append([g["what"], g["against"], g["level"], f"{sign} {g['bound']}",
                     number(g["got"]), verdict, number(g["limit"])])
    reached = sum(g["reached"] is True for g in found)
    missed = sum(g["reached"] is False for g in found)
    text = (f"{reached} reached, {missed} missed, {len(found) - reached - missed} not measured. \"The "
            "limit's\" is what the bare loop that checks as much gets in our place.\n\n")
    return text + markdown(["goal", "against", "hardening", "bound", "got", "", "the limit's"], rows)


def main():
    parser = argparse.ArgumentParser(description="allocators beside limits and peers")
    parser.add_argument("off")
    parser.add_argument("checked")
    parser.add_argument("part", nargs="?", choices=PARTS, metavar="PART")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="single operations: fewer")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    parser.add_argument("--plot", metavar="DIR", help="gnuplot's pictures")
    a = parser.parse_args()
    if a.rounds < 1:
        parser.error("--rounds: at least 1")
    builds = {"off": a.off, "checked": a.checked}
    programs = {level: os.path.join(build, "bench", "kc-bench") for level, build in builds.items()}
    parts = [a.part] if a.part else PARTS
    result = {"schema": "kcore.bench.alloc/1", "seed": a.seed, "rounds": a.rounds,
              "machine": measure.machine(), "timed": {}, "goals": []}
    printed = {}

    def give(name, text, without_times=None):
        """Each part is written when it is there: a run takes long."""
        printed[name] = text
        if a.write and name in WRITTEN:
            measure.write_sections({name: without_times or text})

    for group in [p for p in parts if p in TIMED]:
        timed = result["timed"][group] = measure.timed(programs, group, a.seed, a.rounds)
        give(group, timed_table(group, timed, True), timed_table(group, timed, False))
        result["goals"] += goals.of_times(group, timed)
        result["compiler"] = timed["checked"]["compiler"]
        if a.plot and group == "heap":
            plot.sizes(timed, a.plot)
    if a.part is None:
        give("validation", validation_table(result["timed"]))
    if "single" in parts:
        result["single"], missing = measure_single(builds, a.quick)
        result["goals"] += goals.of_ceilings(ceilings(), result["single"])
        give("single", single_table(result["single"], missing, a.quick))
    if "memory" in parts:
        held, course, missing = measure_memory(builds)
        result["memory"] = {"held": held, "scenarios": course}
        result["goals"] += goals.of_memory(held)
        give("memory", memory_tables(held, course, missing))
        if a.plot:
            plot.scenarios(course, a.plot)
    if "preload" in parts:
        result["preload"], why = preload.measure_all(builds, a.rounds)
        result["goals"] += preload.goals_of(result["preload"])
        give("preload", preload.table(result["preload"], why, True),
             preload.table(result["preload"], why, False))
    if "footprint" in parts:
        result["footprint"] = measure_footprint(a.checked)
        result["goals"] += goals.of_footprint(result["footprint"])
        give("footprint", footprint.table([footprint.row(t, r, None) for t, r
                                           in result["footprint"].items()], False) + "\n")
    if a.part is None:  # of one part the goals are not all there
        setup = (f"Seed {a.seed}, {a.rounds} rounds, {result['machine']}, compiler "
                 f"{result['compiler']} -O2.\n\n")
        give("goals", goal_table(result["goals"]), setup + goal_table(result["goals"]))
    else:
        printed["goals"] = goal_table(result["goals"])
    if a.json:
        json.dump(result, sys.stdout, indent=1, ensure_ascii=False)
        print()
    else:
        for name, text in printed.items():
            print(f"## {name}\n\n{text}")


if __name__ == "__main__":
    main()
