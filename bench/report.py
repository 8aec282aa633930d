#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Run kc-bench in interleaved rounds and print one table: ours beside limits and peers.

usage: report.py PROGRAM [GROUP] [--json] [--seed N] [--rounds N] [--write]

Each round is one process that runs every case once, in an order shuffled by the round's seed; a
figure is the median over the rounds, and every ratio is of two figures of the same run. Time is the
thread's CPU time, so that a busy machine disturbs less; instructions are callgrind's. --write puts
each group into its section of docs/performance.md, between the markers <!-- bench:GROUP --> and
<!-- /bench:GROUP -->, and leaves the rest of the file alone.
"""
import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

GROUPS = ["pool", "cache", "heap", "tables", "region", "user", "sync"]
DOC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "docs", "performance.md")

# What we want to reach: (group, start of the workload, against, at most). "ns" is a plain time;
# "limit" is the limit of that name; "peers" the best peer of the run. The figures for tables are
# those of the best published library that was measured beside such a bare loop.
GOALS = [
    ("pool", "hot", "limit: magazine", 2.0), ("pool", "hot", "peers", 0.7),
    ("pool", "batch 1024", "limit: magazine", 2.2), ("pool", "batch 1024", "peers", 0.8),
    ("pool", "churn", "DPDK mempool", 1.1), ("pool", "batch 65536", "mimalloc", 1.3),
    ("pool", "batch 65536", "DPDK mempool", 0.9),
    ("cache", "hot", "limit: magazine", 2.0), ("cache", "hot", "peers", 0.7),
    ("cache", "batch 1024", "limit: magazine", 2.2), ("cache", "batch 1024", "peers", 0.8),
    ("cache", "churn", "DPDK mempool", 1.1), ("cache", "batch 65536", "mimalloc", 1.3),
    ("heap", "mixed", "peers", 1.0),
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


def fail(text):
    sys.exit(f"bench: {text}")


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode != 0:
        fail(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def count_instructions(program, group, seed):
    """Name of a case -> instructions of all the items counted; empty where there is no callgrind."""
    if not shutil.which("valgrind"):
        return {}
    with tempfile.TemporaryDirectory() as where:
        names = run(["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={where}/out",
                     program, "--count", f"--group={group}", f"--seed={seed}"]).splitlines()
        counts = {}
        for number, name in enumerate((n for n in names if n.startswith(group + "/")), 1):
            with open(f"{where}/out.{number}", encoding="utf-8", errors="replace") as file:
                counts[name] = int(re.search(r"^totals: (\d+)", file.read(), re.M).group(1))
        return counts


def measure(program, group, seed, rounds, say):
    listed = json.loads(run([program, "--cases", f"--group={group}"]))
    counts = count_instructions(program, group, seed)
    times = {c["name"]: [] for c in listed["cases"]}
    for number in range(rounds):
        say(f"{group}: round {number + 1} of {rounds}")
        out = json.loads(run([program, f"--group={group}", f"--seed={seed + number}",
                              "--benchmark_min_time=0.02", "--benchmark_format=json"]))
        for b in out["benchmarks"]:
            times[b["name"]].append(b["cpu_time"])
    for c in listed["cases"]:
        samples = sorted(t / c["items"] for t in times[c["name"]])
        c["ns"] = round(statistics.median(samples), 3)
        c["ns_least"], c["ns_most"] = round(samples[0], 3), round(samples[-1], 3)
        counted = c.pop("counted")
        total = counts.get(c["name"])
        c["instructions"] = round(total / counted, 1) if total and counted else None
    return listed


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
    hardening = ["off", "checked", "full", "tagged"][result["hardening"]]
    reached = sum(g["reached"] is True for g in goals)
    missed = sum(g["reached"] is False for g in goals)
    verdict = f" Goals: {reached} reached, {missed} missed." if goals else ""
    return (f"Seed {result['seed']}, {result['rounds']} rounds, {result['machine']}, "
            f"compiler {result['compiler']} -O2, hardening {hardening}.{verdict}")


def table(group, setup, cases, goals, missing):
    """One group in Markdown."""
    lines = [setup, "", "| workload | subject | ns | instructions | ours to it |", "|---|---|--:|--:|--:|"]
    order = {"ours": 0, "limit": 1, "peer": 2}
    workloads = list(dict.fromkeys(c["workload"] for c in cases))
    for c in sorted(cases, key=lambda c: (workloads.index(c["workload"]), order[c["role"]])):
        ours = next(o for o in cases if o["workload"] == c["workload"] and o["role"] == "ours")
        name = f"**{c['subject']}**" if c["role"] == "ours" else c["subject"]
        ratio = "" if c["role"] == "ours" else f"{ours['ns'] / c['ns']:.2f}"
        instructions = "–" if c["instructions"] is None else f"{c['instructions']:.0f}"
        lines.append(f"| {c['workload']} (a {c['item']}) | {name} | {c['ns']:.2f} | {instructions} "
                     f"| {ratio} |")
    for m in missing:
        lines.append(f"| all | {m['subject']} | not measured | – | {m['why']} |")
    if goals:
        lines += ["", "| goal | against | at most | got | |", "|---|---|--:|--:|---|"]
        for g in goals:
            got = "–" if g["got"] is None else f"{g['got']:.2f}"
            verdict = {True: "reached", False: "**missed**", None: "not measured"}[g["reached"]]
            against = "nanoseconds" if g["against"] == "ns" else \
                "best peer" if g["against"] == "peers" else g["against"]
            lines.append(f"| {g['subject']}: {g['workload']} | {against} | {g['at_most']} | {got} "
                         f"| {verdict} |")
    return f"## {group}\n\n" + "\n".join(lines) + "\n"


def write_sections(sections):
    with open(DOC, encoding="utf-8") as file:
        text = file.read()
    for name, body in sections.items():
        begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
        if begin not in text or end not in text:
            fail(f"docs/performance.md lacks the markers {begin} and {end}")
        before, rest = text.split(begin, 1)
        text = f"{before}{begin}\n{body}{end}{rest.split(end, 1)[1]}"
    with open(DOC, "w", encoding="utf-8") as file:
        file.write(text)


def machine():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    except OSError:
        model = None
    return model.group(1) if model else platform.machine()


def main():
    parser = argparse.ArgumentParser(description="benchmarks in interleaved rounds")
    parser.add_argument("program")
    parser.add_argument("group", nargs="?", choices=GROUPS, metavar="GROUP")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds: at least 1")

    def say(text):
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    result = {"schema": "kcore.bench/1", "seed": arguments.seed, "rounds": arguments.rounds,
              "machine": machine(), "cases": [], "goals": [], "missing": []}
    sections = {}
    for group in [arguments.group] if arguments.group else GROUPS:
        got = measure(arguments.program, group, arguments.seed, arguments.rounds, say)
        goals = judge(got["cases"])
        for key in ("compiler", "hardening", "assert_level"):
            result[key] = got[key]
        result["cases"] += got["cases"]
        result["goals"] += goals
        result["missing"] += got["missing"]
        sections[group] = table(group, setup_line(result, goals), got["cases"], goals,
                                got["missing"])
    say("")
    if arguments.write:
        write_sections(sections)
    if arguments.json:
        json.dump(result, sys.stdout, indent=1, ensure_ascii=False)
        print()
    else:
        print("\n".join(sections.values()))


if __name__ == "__main__":
    main()
