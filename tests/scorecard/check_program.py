#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What kc-scorecard answers as a program: lists, JSON, other allocators, wrong uses.

usage: check_program.py ROOT KC-SCORECARD
"""
import ctypes.util
import json
import pathlib
import re
import subprocess
import sys

root, program = pathlib.Path(sys.argv[1]), sys.argv[2]
failed = count = 0


def say(good, what):
    global failed, count
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {what}", flush=True)


def run(*args):
    return subprocess.run([program, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=300)


def outcomes(*args):
    done = run("--json", *args)
    return done, {o["case"]: o for o in json.loads(done.stdout)["outcomes"]}


def main():
    listed = [line.split("\t") for line in run("--list").stdout.splitlines()]
    names = [line[0] for line in listed]
    say(len(names) >= 150 and len(set(names)) == len(names), "150 cases or more, each name once")
    say(all(len(line) == 4 and all(line) for line in listed), "each with group, misuse and source")

    tests = "\n".join(p.read_text(encoding="utf-8") for p in root.glob("tests/**/test_*.c"))
    wrong = []
    for line in run("--excuses").stdout.splitlines()[2:]:
        name = re.search(r"`([^`]*)` \|$", line).group(1)
        suite, _, case = name.partition(".")
        good = (name in names or f"Test({suite}, {case}" in tests or name == "cpus-exact"
                or (root / "libkcore" / name).is_file())
        wrong += [] if good else [name]
    say(not wrong, f"what does not apply names a test that there is {wrong}")

    done, heap = outcomes("--adapter", "heap", "twice")
    say(done.returncode == 0 and heap["twice"]["at"] == "free" and heap["twice"]["reports"] == 1,
        "one case on one subject, as JSON")

    done, glibc = outcomes("--adapter", "glibc")
    say(done.returncode == 0 and len(glibc) > 100, "glibc survives as a subject: in children")
    say(glibc["twice"]["at"] == "free" and glibc["array"]["at"] == "alloc"
        and glibc["over-slack"]["at"] == "never", "and is seen to notice some, and not others")
    if ctypes.util.find_library("mimalloc"):
        done, mimalloc = outcomes("--adapter", "mimalloc")
        say(mimalloc["huge"]["at"] == "alloc" and mimalloc["reuse-at-once"]["at"] == "alloc",
            "so does mimalloc")
    say(run("--adapter", "/nowhere.so").returncode == 2, "an unknown adapter: status 2")
    say(run("--nonsense").returncode == 2 and run("--help").returncode == 0, "usage")
    print(f"1..{count}")
    sys.exit(1 if failed else 0)


main()
