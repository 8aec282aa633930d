# SPDX-License-Identifier: BSD-2-Clause
"""Single operations of an allocator, counted: runs kc-probe in Valgrind, and reads what
single-trace (or the image) prints."""
import re
import subprocess

NOT_OURS = ("limit: ", )


def run(probe, single_trace, name, quick=False):
    """The printed lines of one allocator; None if its run failed."""
    words = [name, "quick"] if quick else [name]
    command = ["valgrind", "-q", "--tool=lackey", "--trace-mem=yes", "--log-fd=1", probe, "single",
               *words]
    traced = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    counted = subprocess.run([single_trace, name], stdin=traced.stdout, stdout=subprocess.PIPE,
                             text=True, errors="replace", check=False)
    traced.stdout.close()
    return counted.stdout if traced.wait() == 0 and counted.returncode == 0 else None


def parse(text, name):
    """Printed lines to a dictionary: loops, rows by phase and kind, the worst, and where it was."""
    out = {"subject": name, "loop": {}, "rows": [], "lines": {}, "frames": None}
    for line in text.splitlines():
        cells = [c.strip() for c in line.split("|")]
        if cells[0] == f"loop {name}":
            out["loop"][cells[1]] = int(cells[2]) / 10
        elif cells[0] == f"lines {name}":
            middle, most = map(int, cells[2].split())
            out["lines"][cells[1]] = {"p50": middle, "most": most}
        elif cells[0] == f"single {name}" and cells[1] == "frames":
            count, most = map(int, cells[3].split())
            out["frames"] = {"count": count, "most": most}
        elif cells[0] == f"single {name}":
            n, p50, p99, p999, most = map(int, cells[3].split())
            out["rows"].append({"phase": cells[1], "kind": cells[2], "count": n, "p50": p50,
                                "p99": p99, "p999": p999, "most": most})
    worst = max(out["rows"], key=lambda r: r["most"], default=None)
    out["worst"] = worst["most"] if worst else None
    out["worst_at"] = f"{worst['kind']}, {worst['phase']}" if worst else None
    return out


def measure_of(single, measure):
    """A measure of ceilings.txt: "hot pair", "churn pair", "worst", "worst with frames"."""
    found = re.fullmatch(r"(hot|churn) pair", measure)
    if found:
        return single["loop"].get(found.group(1))
    if measure == "worst":
        return single["worst"]
    if measure == "worst with frames":
        return single["frames"]["most"] if single["frames"] else None
    raise ValueError(f"no such measure: {measure}")


def read_table(path):
    """ceilings.txt: rows of (subject, measure, {level: (ceiling, target or None)})."""
    rows = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            line = line.split("#")[0].strip()
            if not line:
                continue
            subject, measure, *numbers = [c.strip() for c in line.split("|")]
            values = [None if n == "-" else int(n) for n in numbers]
            rows.append((subject, measure, {"off": values[0:2], "checked": values[2:4],
                                            "image": values[4:6]}))
    return rows
