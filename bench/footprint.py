#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The footprint of kcore's caches and heap on recordings, beside Linux's, as a table for the docs.

Replays every trace with `ksim replay --json` and writes the table between the two marks in the
document. Reports of an earlier build, saved as DIR/NAME.json (--save does that), give a column of
what it was.

usage: footprint.py [--ksim FILE] [--was DIR] [--save DIR] [--document FILE] TRACE...
"""
import argparse
import json
import pathlib
import subprocess
import sys

BEGIN = "<!-- footprint: begin, written by bench/footprint.py -->"
END = "<!-- footprint: end -->"
KEY = "weighted_footprint_over_requested_pct"
SLABS = "weighted_slabs_over_requested_pct"
GOAL = 0.7


def name_of(trace):
    return pathlib.Path(trace).name.split(".")[0]


def replay(ksim, trace):
    done = subprocess.run(
        [ksim, "replay", "--json", "--quiet", "--seed", "1", trace],
        stdout=subprocess.PIPE, check=True)
    report = json.loads(done.stdout)
    if report["leaks"] != 0 or report["violations"] != 0 or report["kcore"]["failures"] != 0:
        sys.exit(f"{trace}: leaks, violations or failures: its figures mean nothing")
    return report


def percent(value):
    return "–" if value is None else f"{value:.1f} %"


def kib(value):
    return "–" if value is None else f"{value / 1024:.0f} KiB"


def ratio(ours, theirs):
    return "–" if ours is None or not theirs else f"{ours / theirs:.2f}"


def row(trace, report, was):
    kcore, linux = report["kcore"], report["linux"]
    ours, theirs = kcore[KEY], linux[KEY]
    cells = [name_of(trace)]
    if was is not None:
        cells.append(percent(was["kcore"][KEY]))
    cells += [percent(ours), percent(theirs), ratio(ours, theirs), percent(kcore[SLABS]),
              ratio(kcore[SLABS], linux[SLABS]), percent(kcore["weighted_waste_pct"]),
              percent(linux["weighted_waste_pct"]), kib(kcore["peak_requested_bytes"]),
              kib(kcore["peak_footprint_bytes"]), kib(linux["peak_footprint_bytes"])]
    return cells


def table(rows, with_was):
    head = ["trace"] + (["kcore before"] if with_was else [])
    head += ["kcore", "Linux", "ratio", "slabs alone", "ratio", "rounding", "Linux's", "peak requested", "peak held",
             "Linux's"]
    lines = [head, ["---"] + ["--:"] * (len(head) - 1)] + rows
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--ksim", default="build/sim/ksim")
    p.add_argument("--was", type=pathlib.Path)
    p.add_argument("--save", type=pathlib.Path)
    p.add_argument("--document", type=pathlib.Path)
    p.add_argument("trace", nargs="+")
    a = p.parse_args()
    rows = []
    met = {KEY: True, SLABS: True}
    for trace in a.trace:
        report = replay(a.ksim, trace)
        if a.save is not None:
            a.save.mkdir(parents=True, exist_ok=True)
            (a.save / f"{name_of(trace)}.json").write_text(json.dumps(report) + "\n")
        was = None
        if a.was is not None:
            was = json.loads((a.was / f"{name_of(trace)}.json").read_text())
        rows.append(row(trace, report, was))
        for key in met:
            ours, theirs = report["kcore"][key], report["linux"][key]
            met[key] = met[key] and None not in (ours, theirs) and ours <= GOAL * theirs
    said = {key: "yes" if met[key] else "no" for key in met}
    text = table(rows, a.was is not None)
    text += (f"\n\nAt most {GOAL} of Linux's on every trace: with all that is ours {said[KEY]}, "
             f"slabs alone {said[SLABS]}.")
    if a.document is None:
        print(text)
        return
    before = a.document.read_text()
    head, _, rest = before.partition(BEGIN)
    _, mark, tail = rest.partition(END)
    if not mark:
        sys.exit(f"{a.document}: no marks")
    a.document.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}")


if __name__ == "__main__":
    main()
