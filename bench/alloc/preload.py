# SPDX-License-Identifier: BSD-2-Clause
"""Whole programs with each allocator preloaded: processor time and peak memory, to glibc's.

Ours is libkcore-malloc.so, where it was built. Programs that are not there are left out.
"""
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

import goals
import measure

PYTHON = ("import json, re; rows = [{'n': i, 's': str(i) * 3, 'l': list(range(i % 20))} "
          "for i in range(60000)]; text = json.dumps(rows); again = json.loads(text); "
          "words = re.findall(r'[0-9]+', text[:2000000]); d = {}\n"
          "for w in words: d.setdefault(w, []).append(len(d))\n"
          "assert len(again) == 60000")
LIBRARIES = {"mimalloc": "libmimalloc.so.2", "jemalloc": "libjemalloc.so.2",
             "tcmalloc": "libtcmalloc_minimal.so.4"}


def library(file):
    """Where the loader finds it; None if nowhere."""
    found = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=False)
    at = re.search(rf"^\s*{re.escape(file)} .*=> (\S+)$", found.stdout, re.M)
    return at.group(1) if at else None


def programs(where):
    """Name -> command; each takes a second or so."""
    lines = os.path.join(where, "lines")
    with open(lines, "w", encoding="utf-8") as file:
        value = 1
        for _ in range(300000):
            value = value * 6364136223846793005 % 2**64
            file.write(f"{value:020d} line\n")
    source = os.path.join(where, "many.c")
    with open(source, "w", encoding="utf-8") as file:
        for i in range(400):
            file.write(f"int f{i}(int x, int *p) {{ for (int i = 0; i < x; i++) p[i] += x * {i}; "
                       f"return x % {i + 2}; }}\n")
    found = {"python3": [sys.executable, "-c", PYTHON], "sort": ["sort", "-S", "64M", lines],
             "cc": ["cc", "-O1", "-c", source, "-o", os.path.join(where, "many.o")],
             "perl": ["perl", "-e", "my %h; for my $i (1..600000) { $h{$i % 50000} .= \"x$i\"; "
                      "delete $h{($i * 7) % 50000} if $i % 3 == 0 }"]}
    return {name: command for name, command in found.items() if shutil.which(command[0])}


def once(command, preloaded):
    """Seconds of processor time, and peak bytes; None if it failed."""
    env = dict(os.environ, PYTHONMALLOC="malloc", LC_ALL="C")
    env.pop("GLIBC_TUNABLES", None)
    if preloaded:
        env["LD_PRELOAD"] = preloaded
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = status
    return (used.ru_utime + used.ru_stime, used.ru_maxrss * 1024) if status == 0 else None


def subjects(builds):
    """Name -> library to preload, None for glibc itself; and what is missing."""
    there, missing = {"glibc": None}, []
    for level, build in builds.items():
        ours = os.path.join(build, "sim", "libkcore-malloc.so")
        if os.path.exists(ours):
            there[f"libkcore-malloc, {level}"] = os.path.abspath(ours)
        else:
            missing.append(f"libkcore-malloc, {level} (not built)")
    for name, file in LIBRARIES.items():
        at = library(file)
        if at:
            there[name] = at
        else:
            missing.append(f"{name} (not installed)")
    return there, missing


def measure_all(builds, rounds):
    """{program: {subject: {"seconds", "peak_bytes"}}}, in interleaved rounds."""
    there, missing = subjects(builds)
    samples = {}
    with tempfile.TemporaryDirectory() as where:
        chosen = programs(where)
        for number in range(rounds):
            for name, command in chosen.items():
                for subject, preloaded in there.items():
                    measure.say(f"preload: round {number + 1} of {rounds}, {name}, {subject}")
                    got = once(command, preloaded)
                    if got is not None:
                        samples.setdefault(name, {}).setdefault(subject, []).append(got)
                    elif number == 0:
                        missing.append(f"{name} with {subject} (it failed)")
    measure.say("")
    return {name: {subject: {"seconds": round(statistics.median(s for s, _ in runs), 4),
                             "peak_bytes": int(statistics.median(b for _, b in runs))}
                   for subject, runs in by_subject.items()}
            for name, by_subject in samples.items()}, missing


def goals_of(got):
    """What validation costs whole programs: checked to off."""
    def worst(key):
        ratios = [by["libkcore-malloc, checked"][key] / by["libkcore-malloc, off"][key]
                  for by in got.values()
                  if {"libkcore-malloc, checked", "libkcore-malloc, off"} <= set(by)]
        return max(ratios, default=None)
    return [goals.goal("checked", "whole programs: time, checked to off", "off",
                       goals.VALIDATION, worst("seconds")),
            goals.goal("checked", "whole programs: peak memory, checked to off", "off",
                       goals.VALIDATION_MEMORY, worst("peak_bytes"))]


def table(got, missing, with_times):
    rows = []
    for program, by_subject in got.items():
        base = by_subject.get("glibc")
        for subject, one in by_subject.items():
            ours = subject.startswith("libkcore")
            row = [program, f"**{subject}**" if ours else subject]
            row += [f"{one['seconds'] / base['seconds']:.2f}" if base else "–",
                    f"{one['peak_bytes'] / base['peak_bytes']:.2f}" if base else "–"]
            rows.append(row + ([f"{one['seconds']:.2f}"] if with_times else []))
    head = ["program", "allocator", "time to glibc's", "peak memory to glibc's"]
    head += ["seconds"] if with_times else []
    lines = [head, ["---", "---"] + ["--:"] * (len(head) - 2)] + rows
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
    return text + (f"\nNot measured: {'; '.join(missing)}.\n" if missing else "")
