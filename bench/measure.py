# SPDX-License-Identifier: BSD-2-Clause
"""Runs of kc-bench, made into figures: medians of interleaved rounds, and callgrind's counts.

A program stands for a build; where there are several (hardening off, and checked) each round runs
them all, one after another. Time is the thread's CPU time, so that a busy machine disturbs less, but
for cases with several threads, whose time is the wall's.
"""
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

HARDENING = ["off", "checked", "full", "tagged"]
DOC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "docs", "performance.md")


def fail(text):
    sys.exit(f"bench: {text}")


def say(text):
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def run(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        fail(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def machine():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    except OSError:
        model = None
    return model.group(1) if model else platform.machine()


def callgrind(program, group, seed):
    """Name of a case -> (instructions, level-1 data misses) of all the items counted; empty where
    there is no callgrind. The cache is simulated: 32 KiB, 8 ways, lines of 64 bytes."""
    if not shutil.which("valgrind"):
        return {}
    with tempfile.TemporaryDirectory() as where:
        names = run(["valgrind", "-q", "--tool=callgrind", "--cache-sim=yes", "--D1=32768,8,64",
                     f"--callgrind-out-file={where}/out", program, "--count", f"--group={group}",
                     f"--seed={seed}"]).splitlines()
        counts = {}
        for number, name in enumerate((n for n in names if n.startswith(group + "/")), 1):
            with open(f"{where}/out.{number}", encoding="utf-8", errors="replace") as file:
                text = file.read()
            events = re.search(r"^events: (.*)$", text, re.M).group(1).split()
            totals = re.search(r"^totals: (.*)$", text, re.M).group(1).split()
            total = dict(zip(events, map(int, totals + ["0"] * len(events))))
            counts[name] = (total["Ir"], total["D1mr"] + total["D1mw"])
        return counts


def timed(programs, group, seed, rounds):
    """Cases of a group by build: {level: {"cases": [...], "missing": [...], ...}}."""
    listed, counts = {}, {}
    for level, program in programs.items():
        listed[level] = json.loads(run([program, "--cases", f"--group={group}"]))
        for c in listed[level]["cases"]:
            c["samples"] = []
    for number in range(rounds):
        for level, program in programs.items():
            say(f"{group}: round {number + 1} of {rounds}, {level}")
            out = json.loads(run([program, f"--group={group}", f"--seed={seed + number}",
                                  "--benchmark_min_time=0.01", "--benchmark_format=json"]))
            by_name = {c["name"]: c for c in listed[level]["cases"]}
            for b in out["benchmarks"]:
                c = by_name[b["name"].removesuffix("/real_time")]
                c["samples"].append(b["real_time" if c["wall"] else "cpu_time"] / c["items"])
    for level, program in programs.items():
        say(f"{group}: counting, {level}")
        counts = callgrind(program, group, seed)
        for c in listed[level]["cases"]:
            samples = sorted(c.pop("samples"))
            c["ns"] = round(statistics.median(samples), 3)
            c["ns_least"], c["ns_most"] = round(samples[0], 3), round(samples[-1], 3)
            counted = c.pop("counted")
            instructions, misses = counts.get(c["name"], (0, 0))
            known = counted and instructions
            c["instructions"] = round(instructions / counted, 1) if known else None
            c["d1_misses"] = round(misses / counted, 2) if known else None
    say("")
    return listed


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
