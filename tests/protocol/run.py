#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Protocol scenarios: each in a fresh process, several seeds, verdict and missing step checked.

usage: run.py PROGRAM DIRECTORY [SEEDS]       prints TAP, ends 0 if all verdicts are as expected

The verdict is the first line of the scenario's file (scenario.h); "lint-free" is clean, and without a
finding of the cost lint. Every good_ and bad_ file must be
in the program and the other way round, and every row that has a bad_ is judged in some good_.
"""
import json
import pathlib
import re
import subprocess
import sys

def expectation(path):
    first = path.read_text().split("\n", 1)[0]
    m = re.fullmatch(r"/\* expect: (clean|lint-free|T\d+)( also:((?: T\d+)+))? \*/", first)
    if m is None:
        raise SystemExit(f"{path.name}: the first line is no verdict")
    return m.group(1), set((m.group(3) or "").split())


def verdict(program, name, seed):
    """(summary, reports, error)"""
    p = subprocess.run([program, name, str(seed)], capture_output=True, text=True, timeout=60)
    if p.returncode != 0:
        return None, [], f"exit {p.returncode}: {p.stderr.strip()}"
    lines = [json.loads(line) for line in p.stdout.splitlines() if line.startswith("{")]
    reports = [x for x in lines if "schema" in x]
    summary = [x for x in lines if "scenario" in x]
    if len(summary) != 1 or not summary[0]["ended"]:
        return None, reports, "it did not come to its end: " + p.stderr.strip()
    return summary[0], reports, None


def judge(expected, also, summary, reports):
    """What is wrong with the verdict, or None."""
    reports = [r for r in reports if r["schema"] != "kcore.lint/1" or expected in ("lint-free", r["row"])]  # a lint is no verdict
    rows = {r["row"] for r in reports}
    shown = "; ".join(f"{r['row']} {r['missing']}" for r in reports) or "nothing"
    if expected in ("clean", "lint-free"):
        return f"reported {shown}" if rows else None
    if summary["row"] != expected:
        return f"the file says {expected}, the program {summary['row']}"
    if expected not in rows:
        return f"{expected} not reported, but {shown}"
    if rows - also - {expected}:
        return f"reported too much: {shown}"
    if summary["judgements"][expected] == 0:
        return f"{expected} counted no judgement"
    named = [r for r in reports if r["row"] == expected and summary["missing"] in r["missing"]]
    if not named:
        return f"no report names \"{summary['missing']}\": {shown}"
    if not all(r["missing"].startswith("missing: ") and r["seed"] for r in reports):
        return "a report lacks its missing step or its seed"
    return None


def main():
    program, directory = sys.argv[1], pathlib.Path(sys.argv[2])
    seeds = range(1, 1 + int(sys.argv[3]) if len(sys.argv) > 3 else 4)
    files = sorted([*directory.glob("good_*.c"), *directory.glob("bad_*.c")])
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    names = set(listed.stdout.split())
    failed = 0
    judged = {}
    bad_rows = set()
    print(f"1..{len(files) + 2}")
    for n, path in enumerate(files, 1):
        expected, also = expectation(path)
        wrong = None if path.stem in names else "not in the program"
        for seed in seeds if wrong is None else []:
            summary, reports, wrong = verdict(program, path.stem, seed)
            wrong = wrong or judge(expected, also, summary, reports)
            if wrong is not None:
                wrong = f"seed {seed}: {wrong}"
                break
            if expected in ("clean", "lint-free"):
                for row, count in summary["judgements"].items():
                    judged[row] = judged.get(row, 0) + count
        if expected not in ("clean", "lint-free"):
            bad_rows.add(expected)
        failed += wrong is not None
        print(f"{'ok' if wrong is None else 'not ok'} {n} - {path.stem}")
        if wrong is not None:
            print(f"# {wrong}")
    orphans = names - {p.stem for p in files}
    failed += bool(orphans)
    print(f"{'not ok' if orphans else 'ok'} {len(files) + 1} - every scenario has its file")
    idle = {r for r in bad_rows if judged.get(r, 0) == 0}
    failed += bool(idle)
    print(f"{'not ok' if idle else 'ok'} {len(files) + 2} - every row is judged in good scenarios")
    for row in sorted(idle):
        print(f"# {row} is not")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
