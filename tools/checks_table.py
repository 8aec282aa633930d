#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The tables of docs/checks.md, from the program and one run of it.

usage: tools/checks_table.py KSIM SCENARIOS [--check]

KSIM       ksim of a build: `ksim checks --json` says what the rows are, `ksim run --json --seed 1
           --sites` how often each was judged, and how many seam calls each must report the loss of
SCENARIOS  scenarios-exact of the same build: which good_ stories judge a row
--check    write nothing; exit 1 if the file is stale. Counts may differ from build to build; that a
           count is 0 may not. A judged row that the run never judged is a failure, too.

What stands between the marks in docs/checks.md is replaced; all else there is written by hand.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "checks.md"
STORIES = ROOT / "tests" / "protocol"
MARK = re.compile(r"(<!-- (\w+): written by tools/checks_table\.py -->\n).*?(<!-- end of \2 -->)", re.S)


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def measure(ksim):
    """(judgements by row, sites by row, number of sites) of the run of seed 1"""
    with tempfile.TemporaryDirectory() as d:
        sites = os.path.join(d, "sites")
        run = json.loads(output(ksim, "run", "--json", "--seed", "1", "--sites", sites))
        rows = [line.split()[-1] for line in pathlib.Path(sites).read_text("ascii").splitlines()]
    return run["judgements"], {r: rows.count(r) for r in set(rows) - {"-"}}, len(rows)


def verdict(path):
    return re.match(r"/\* expect: (\S+)", path.read_text()).group(1)


def judged_in(scenarios, name):
    lines = output(scenarios, name, "1").splitlines()
    counts = next(json.loads(x) for x in lines if x.startswith('{"scenario"'))["judgements"]
    return {row for row, n in counts.items() if n != 0}


def stories(scenarios):
    """(bad stories by row, number of good stories that judge a row)"""
    bad, good = {}, {}
    for path in sorted(STORIES.glob("bad_*.c")):
        bad.setdefault(verdict(path), []).append(path.stem)
    for path in sorted(STORIES.glob("good_*.c")):
        for row in judged_in(scenarios, path.stem):
            good[row] = good.get(row, 0) + 1
    return bad, good


def table(*rows):
    return "".join("| " + " | ".join(r) + " |\n" for r in (rows[0], ["---"] * len(rows[0]), *rows[1:]))


def tables(ksim, scenarios):
    rows = json.loads(output(ksim, "checks", "--json"))["rows"]
    judged, sites, all_sites = measure(ksim)
    bad, good = stories(scenarios)
    idle = [r["row"] for r in rows if r["not_yet"] is None and judged.get(r["row"], 0) == 0]
    if idle:
        raise SystemExit(f"checks_table: the run of seed 1 never judged {' '.join(idle)}")
    here = [r for r in rows if r["not_yet"] is None]
    what = table(["row", "reported when", "judged at", "native", "exact"],
                 *[[r["row"], r["reported_when"], r["judged_at"], r["native"], r["exact"]] for r in here],
                 *[[r["row"], f"*not yet*: {r['forbids']}; {r['not_yet']}", "–", "–", "–"]
                   for r in rows if r["not_yet"] is not None])
    how = table(["row", "judged", "good stories", "bad stories", "`--plant` commits", "covered sites"],
                *[[r["row"], f"{judged[r['row']]:,}", f"{good.get(r['row'], 0)}",
                   " ".join(f"`{b[4:]}`" for b in bad.get(r["row"], [])) or "–",
                   f"`{r['plant']}`" if r["plant"] else "–", f"{sites.get(r['row'], 0):,}"] for r in here])
    return {"rows": what,
            "proof": how + f"\n{len(here)} of {len(rows)} rows are judged; the run has {all_sites:,} sites.\n"}


def rendered(text, parts):
    missing = set(parts) - {m.group(2) for m in MARK.finditer(text)}
    if missing:
        raise SystemExit(f"checks_table: {PAGE.name} has no marks for {' '.join(sorted(missing))}")
    return MARK.sub(lambda m: f"{m.group(1)}\n{parts[m.group(2)]}\n{m.group(3)}", text)


def without_counts(text):
    """Whole cells that are counts, and the counts of the closing sentence, but not 0."""
    text = re.sub(r"(?<=\| )[1-9][\d,]*(?= \|)", "N", text)
    return re.sub(r"the run has [\d,]+ sites", "the run has N sites", text)


def main():
    args = [a for a in sys.argv[1:] if a != "--check"]
    if len(args) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    old = PAGE.read_text(encoding="utf-8")
    new = rendered(old, tables(*map(os.path.abspath, args)))
    if "--check" not in sys.argv:
        PAGE.write_text(new, encoding="utf-8")
        return 0
    if without_counts(old) == without_counts(new):
        return 0
    for a, b in zip(without_counts(old).splitlines(), without_counts(new).splitlines()):
        if a != b:
            print(f"docs/checks.md is stale; it has\n  {a}\nand should have\n  {b}")
            break
    print(f"write it anew: tools/checks_table.py {' '.join(args)}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
