#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""tools/gdb/kcore.py in a real gdb on a real program. usage: check_gdb.py KCORE_PY PROGRAM

Exit 77 (skipped) where there is no gdb with Python, or it may not run programs.
"""
import shutil
import subprocess
import sys

EXPECTED = [
    ("print some_pa", "pa:0x90001234"),
    ("print some_range", "va:0x1000 + 0x2000"),
    ("print frames", "frames: "),
    ("print *some_frame", "frame: KC_FRAME_USED, order 3, owner 3"),
    ("print cache", "cache 'inode': 600 bytes, live 3 of "),
    ("print tree", "asid 5"),
    ("kc-pt-walk 0x7123 tree", "0x7123 -> 0x90001123"),
    ("kc-pt-walk 0x7123 &tree", "page of 0x1000: RW"),
    ("kc-pt-walk 0x40012345 tree", "0x40012345 -> 0x100012345"),
    ("kc-pt-walk 0x40012345 tree", "block of 0x200000: RW"),
    ("kc-pt-walk 0x8000 tree", "translation fault, level 3"),
    ("kc-pt-walk 0x8000000000 tree", "translation fault, level 0"),
    ("kc-pt-walk 0xffff000000000000 tree", "outside this half"),
    ("kc-pt-walk 0x1000", "not a struct kc_pt"),
]


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def gdb(*arguments):
    done = subprocess.run(["gdb", "-nx", "--batch", *arguments], capture_output=True, text=True,
                          timeout=120)
    return done.stdout + done.stderr


def main():
    helpers, program = sys.argv[1:3]
    if not shutil.which("gdb"):
        skip("there is no gdb")
    if "42" not in gdb("-ex", "python print(6 * 7)"):
        skip("this gdb has no Python")
    begin = ["-ex", f"source {helpers}", "-ex", "break stop_here", "-ex", "run"]
    if "Breakpoint 1," not in gdb(*begin, program):
        skip("gdb may not run programs here")
    bad = 0
    steps = [word for command, _ in EXPECTED for word in ("-ex", "echo \\n@@\\n", "-ex", command)]
    # An error would end a batch of -ex commands only in its own command.
    said = gdb(*begin, *steps, program).split("\n@@\n")[1:]
    for number, (command, wanted) in enumerate(EXPECTED):
        got = said[number] if number < len(said) else "(nothing)"
        if wanted not in got:
            print(f"{command}: wanted {wanted!r}, got:\n{got}")
            bad += 1
    print(f"{len(EXPECTED) - bad} of {len(EXPECTED)} as expected")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
