#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The tables of docs/hardening.md, from kc-scorecard itself.

usage: table.py [--check | --write] PROGRAM...      one kc-scorecard for each level

Without an option they are printed. --check: exit 1 if the document says anything else (of the costs,
which are the compiler's: only that each level has a row for each subject and size, and its bytes).
"""
import pathlib
import subprocess
import sys

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs/hardening.md"
LEVELS = ("off", "checked", "full", "tagged")


def marks(name):
    return f"<!-- {name}: begin, written by tests/scorecard/table.py -->", f"<!-- {name}: end -->"


def output(program, option):
    return subprocess.run([program, option], stdout=subprocess.PIPE, text=True, check=True).stdout


def costs(programs):
    """{(subject, size): {level: (instructions, bytes)}}"""
    found = {}
    for program in programs:
        for line in output(program, "--cost").splitlines():
            level, subject, size, instructions, beside = line.split("\t")
            found.setdefault((subject, int(size)), {})[level] = (int(instructions), beside)
    return found


def cost_table(found):
    head = "| subject | size | " + " | ".join(LEVELS) + " |\n|---|--:|" + "--:|" * len(LEVELS)
    lines = [head]
    for (subject, size), by_level in found.items():
        cells = [f"{by_level[l][0]:,}; {by_level[l][1]}" for l in LEVELS]
        lines.append(f"| {subject} | {size} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def without_instructions(table):
    """The same with only what does not depend on the compiler."""
    rows = []
    for line in table.splitlines():
        rows.append([cell.split(";")[-1].strip() for cell in line.split("|")])
    return rows


def section(text, name):
    begin, end = marks(name)
    head, mark, rest = text.partition(begin)
    body, other, tail = rest.partition(end)
    if not mark or not other:
        sys.exit(f"{DOCUMENT}: no marks of {name}")
    return head + begin, body.strip(), end + tail


def main():
    options = [a for a in sys.argv[1:] if a.startswith("--")]
    programs = [a for a in sys.argv[1:] if not a.startswith("--")]
    if not programs or not set(options) <= {"--check", "--write"}:
        sys.exit(__doc__)
    fresh = {"cases": output(programs[0], "--table").strip(),
             "excuses": output(programs[0], "--excuses").strip(),
             "costs": cost_table(costs(programs))}
    if not options:
        print("\n\n".join(fresh.values()))
        return
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, table in fresh.items():
        before, old, after = section(text, name)
        if "--write" in options:
            text = f"{before}\n{table}\n{after}"
        elif name == "costs" and without_instructions(old) == without_instructions(table):
            continue
        elif old != table:
            sys.exit(f"{DOCUMENT}: {name} is stale: run tests/scorecard/table.py --write PROGRAM...")
    if "--write" in options:
        DOCUMENT.write_text(text, encoding="utf-8")


main()
