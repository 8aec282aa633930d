# SPDX-License-Identifier: BSD-2-Clause
"""Pictures of a run, by gnuplot where it is there: SVG, and ratios alone."""
import os
import re
import shutil
import subprocess

HEAD = "set terminal svg size 760,420 font 'sans,11'\nset output '{}'\nset key outside right\n" \
       "set grid ytics\n"


def draw(path, commands, series):
    """series: (title, [(x, y), ...]) each; commands go before the plot."""
    if not shutil.which("gnuplot"):
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    text = HEAD.format(path) + commands
    for i, (_, points) in enumerate(series):
        text += f"$d{i} << EOD\n" + "".join(f"{x} {y}\n" for x, y in points) + "EOD\n"
    text += "plot " + ", ".join(f"$d{i} with linespoints pointtype 7 pointsize 0.3 title '{title}'"
                                for i, (title, _) in enumerate(series)) + "\n"
    subprocess.run(["gnuplot"], input=text, text=True, check=True)


def scenarios(course, where):
    """Held over requested along the way, one picture a scenario."""
    checked = course["checked"]
    for scenario in next(iter(checked.values()), {}):
        series = [(name, [(i, h / r) for i, (r, h) in enumerate(runs[scenario]) if r > 0])
                  for name, runs in checked.items()]
        draw(os.path.join(where, f"alloc-{scenario}.svg"),
             f"set title 'Held over requested: {scenario}'\nset yrange [1:4]\n"
             "set xlabel 'per cent of the way'\n", series)


def sizes(by_level, where):
    """Our time a pair to each other's, by size."""
    cases = by_level["checked"]["cases"]
    at, series = {}, {}
    for c in cases:
        found = re.fullmatch(r"churn, (\d+) B", c["workload"])
        if found:
            at[int(found.group(1)), c["subject"]] = c["ns"]
    for (size, subject), ns in sorted(at.items()):
        if (size, "kc_heap") in at:
            series.setdefault(subject, []).append((size, ns / at[size, "kc_heap"]))
    draw(os.path.join(where, "alloc-sizes.svg"),
         "set title 'Time a pair, kc\\\\_heap is 1'\nset logscale x 2\nset logscale y\n"
         "set xlabel 'bytes'\n", sorted(series.items()))
