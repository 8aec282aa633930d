#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Tables, regions, user copies and locks: one table beside limits and peers.

usage: report.py PROGRAM [GROUP] [--json] [--seed N] [--rounds N] [--write]

Figures are those of measure.py; every ratio is of two figures of the same run. --write puts each
group into its section of docs/performance.md, without times, and leaves the rest of the file alone.
"""
import argparse
import json
import sys

import measure

GROUPS = ["tables", "region", "user", "sync"]

# What we want to reach: (group, start of the workload, against, at most). "ns" is a plain time;
# "limit" is the limit of that name; "peers" the best peer of the run. The figures for tables are
# those of the best published library that was measured beside such a bare loop.
GOALS = [
    ("tables", "map, 1 GiB", "limit: bare loop", 3.7),
    ("tables", "protect, 1 GiB", "limit: bare loop", 7.3),
    ("tables", "unmap, 1 GiB", "limit: bare loop", 3.2),
    ("tables", "map, 64 GiB", "limit: bare loop", 2.7),
    ("tables", "unmap and map", "limit: bare loop", 4.3),
    ("tables", "translate, hot", "limit: bare loop", 1.0),
    ("tables", "translate, random", "limit: bare loop", 0.9),
    ("region", "find", "std::map", 1.0),
    ("region", "remove and add, 100000", "sorted vector", 0.1),
    ("sync", "count", "ns", 3.0), ("sync", "histogram", "ns", 3.0),
]


def judge(cases):
    """Ratios of ours to the limits and the best peer; goals, reached or missed."""
    goals = []
    for c in cases:
        if c["role"] != "ours":
            continue
        beside = [o for o in cases if o["workload"] == c["workload"] and o["role"] != "ours"]
        limits = [o for o in beside if o["role"] == "limit"]
        peers = [o for o in beside if o["role"] == "peer"]
        best = min(peers, key=lambda o: o["ns"], default=None)
        c["to_limit"] = {o["subject"]: round(c["ns"] / o["ns"], 2) for o in limits}
        c["to_best_peer"] = round(c["ns"] / best["ns"], 2) if best else None
        c["best_peer"] = best["subject"] if best else None
        for group, workload, against, most in GOALS:
            if group != c["group"] or not c["workload"].startswith(workload):
                continue
            if against == "ns":
                got = c["ns"]
            elif against == "peers":
                got = c["to_best_peer"]
            else:
                got = next((c["ns"] / o["ns"] for o in beside if o["subject"] == against), None)
            goals.append({"subject": c["subject"], "workload": c["workload"], "against": against,
                          "at_most": most, "got": None if got is None else round(got, 2),
                          "reached": None if got is None else got <= most})
    return goals


def setup_line(result, goals):
    reached = sum(g["reached"] is True for g in goals)
    missed = sum(g["reached"] is False for g in goals)
    verdict = f" Goals: {reached} reached, {missed} missed." if goals else ""
    return (f"Seed {result['seed']}, {result['rounds']} rounds, {result['machine']}, compiler "
            f"{result['compiler']} -O2, hardening {measure.HARDENING[result['hardening']]}."
            f"{verdict}")


def table(group, setup, cases, goals, missing, with_times):
    """One group in Markdown."""
    lines = [setup, "", f"| workload | subject |{' ns |' if with_times else ''} instructions "
             "| ours to it |", f"|---|---|{'--:|' if with_times else ''}--:|--:|"]
    order = {"ours": 0, "limit": 1, "peer": 2}
    workloads = list(dict.fromkeys(c["workload"] for c in cases))
    for c in sorted(cases, key=lambda c: (workloads.index(c["workload"]), order[c["role"]])):
        ours = next(o for o in cases if o["workload"] == c["workload"] and o["role"] == "ours")
        name = f"**{c['subject']}**" if c["role"] == "ours" else c["subject"]
        ratio = "" if c["role"] == "ours" else f"{ours['ns'] / c['ns']:.2f}"
        instructions = "–" if c["instructions"] is None else f"{c['instructions']:.0f}"
        time = f" {c['ns']:.2f} |" if with_times else ""
        lines.append(f"| {c['workload']} (a {c['item']}) | {name} |{time} {instructions} "
                     f"| {ratio} |")
    for m in missing:
        lines.append(f"| all | {m['subject']} |{' – |' if with_times else ''} – | {m['why']} |")
    if goals:
        lines += ["", "| goal | against | at most | got | |", "|---|---|--:|--:|---|"]
        for g in goals:
            got = "–" if g["got"] is None else f"{g['got']:.2f}"
            if g["against"] == "ns" and not with_times:
                got = "–"
            verdict = {True: "reached", False: "**missed**", None: "not measured"}[g["reached"]]
            against = "nanoseconds" if g["against"] == "ns" else \
                "best peer" if g["against"] == "peers" else g["against"]
            lines.append(f"| {g['subject']}: {g['workload']} | {against} | {g['at_most']} | {got} "
                         f"| {verdict} |")
    return f"## {group}\n\n" + "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description="benchmarks in interleaved rounds")
    parser.add_argument("program")
    parser.add_argument("group", nargs="?", choices=GROUPS, metavar="GROUP")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="nothing here is shorter")
    parser.add_argument("--plot", metavar="DIR", help="nothing here has pictures")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds: at least 1")

    result = {"schema": "kcore.bench/1", "seed": arguments.seed, "rounds": arguments.rounds,
              "machine": measure.machine(), "cases": [], "goals": [], "missing": []}
    printed, written = [], {}
    for group in [arguments.group] if arguments.group else GROUPS:
        got = measure.timed({"": arguments.program}, group, arguments.seed, arguments.rounds)[""]
        goals = judge(got["cases"])
        for key in ("compiler", "hardening", "assert_level"):
            result[key] = got[key]
        result["cases"] += got["cases"]
        result["goals"] += goals
        result["missing"] += got["missing"]
        whole = (group, setup_line(result, goals), got["cases"], goals, got["missing"])
        printed.append(table(*whole, True))
        written[group] = table(*whole, False)
    if arguments.write:
        measure.write_sections(written)
    if arguments.json:
        json.dump(result, sys.stdout, indent=1, ensure_ascii=False)
        print()
    else:
        print("\n".join(printed))


if __name__ == "__main__":
    main()
