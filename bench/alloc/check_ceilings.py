#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Hold the instructions of our allocators' operations to the ceilings of a table. Not timed.

usage: check_ceilings.py PROBE SINGLE-TRACE TABLE LEVEL     LEVEL: off or checked
       check_ceilings.py --image OUTPUT TABLE               OUTPUT: what kcore-single.img printed

Prints TAP. More than the ceiling fails; less than 90 % of it fails too, so that the table says what
is: whoever makes an operation shorter writes that down.
"""
import sys

import single_ops


def main():
    image = sys.argv[1] == "--image"
    if image:
        _, _, output, table = sys.argv
        level = "image"
        with open(output, encoding="utf-8", errors="replace") as file:
            text = file.read()
    else:
        _, probe, single_trace, table, level = sys.argv
    rows = [r for r in single_ops.read_table(table) if r[2][level][0] is not None]
    counted = {}
    number = failed = 0
    for subject, measure, values in rows:
        ceiling, target = values[level]
        if subject not in counted:
            printed = text if image else single_ops.run(probe, single_trace, subject, quick=True)
            counted[subject] = single_ops.parse(printed or "", subject)
        got = single_ops.measure_of(counted[subject], measure)
        good = got is not None and got <= ceiling and got * 10 >= ceiling * 9
        number += 1
        failed += not good
        print(f"{'ok' if good else 'not ok'} {number} - {subject}: {measure}, {level}: at most "
              f"{ceiling} instructions", flush=True)
        print(f"# counted {got}, target {target if target is not None else '-'}")
    print(f"1..{number}")
    return 1 if failed or number == 0 else 0


sys.exit(main())
