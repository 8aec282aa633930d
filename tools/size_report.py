#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Bytes of the core: text and data of each module, and of the least program that maps a page.

usage: size_report.py [--write]     --write: into docs/size.md, between its markers

The core is compiled for aarch64 as for the image (-Os, checks on) against the body without anything
inline. The least program takes RAM from early memory, makes a tree and maps one page, and is linked
with section garbage collection: what remains is what mapping a page needs.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
CORE = os.path.join(ROOT, "libkcore")
PREFIX = "aarch64-linux-gnu-"
FLAGS = ["-std=gnu17", "-Os", "-ffreestanding", "-fno-common", "-fno-stack-protector", "-fno-pic",
         "-mno-outline-atomics", "-mgeneral-regs-only", "-ffunction-sections", "-fdata-sections",
         "-fno-asynchronous-unwind-tables",
         f"-I{CORE}/include", f"-I{ROOT}/tools/neutral_body"]

LEAST = """
#include <kc/early.h>
#include <kc/pt.h>
int least(const struct kc_boot_info *info, struct kc_early *early, struct kc_pt *pt);
int least(const struct kc_boot_info *info, struct kc_early *early, struct kc_pt *pt)
{
    struct kc_pt_config c = {.format = {KC_A64_STAGE1, 12, 48, 40, 0, 0, 0},
                             .source = {.early = early}, .any_asid = true};
    return kc_early_init(early, info) == KC_OK && kc_pt_init(pt, &c) == KC_OK &&
           kc_pt_map(pt, kc_ia(0x1000), kc_pa(0x80001000), 0x1000,
                     kc_pt_attr(KC_PT_R, KC_A64_MEM_NORMAL, true)) == KC_OK;
}
"""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"size_report: {' '.join(command)}\n{done.stderr}")
    return done.stdout


def sizes(path):
    """Code, constants, writable data of an object or program."""
    text = rodata = data = 0
    for line in run(PREFIX + "size", "-A", path).splitlines():
        m = re.match(r"(\.\S+)\s+(\d+)", line)
        if not m:
            continue
        name, size = m.group(1), int(m.group(2))
        if name.startswith(".text"):
            text += size
        elif name.startswith(".rodata"):
            rodata += size
        elif name.startswith((".data", ".bss")):
            data += size
    return text, rodata, data


def report():
    rows, objects = {}, []
    with tempfile.TemporaryDirectory() as work:
        for source in sorted(glob.glob(f"{CORE}/src/*/*.c")):
            room, file = os.path.relpath(source, CORE + "/src").split("/")
            module = file[:-2]
            out = f"{work}/{room}_{module}.o"
            run(PREFIX + "gcc", *FLAGS, "-c", source, "-o", out)
            objects.append(out)
            rows[(room, module)] = sizes(out)
        with open(f"{work}/least.c", "w", encoding="utf-8") as file:
            file.write(LEAST)
        run(PREFIX + "gcc", *FLAGS, "-c", f"{work}/least.c", "-o", f"{work}/least.o")
        run(PREFIX + "ld", "--gc-sections", "-e", "least", "--unresolved-symbols=ignore-all",
            "-o", f"{work}/least", f"{work}/least.o", *objects)
        least = sizes(f"{work}/least")
    lines = ["| room | module | code | constants | writable data |", "|---|---|--:|--:|--:|"]
    for (room, module), row in rows.items():
        lines.append(f"| {room} | {module} | " + " | ".join(f"{n:,}" for n in row) + " |")
    total = [sum(row[i] for row in rows.values()) for i in range(3)]
    lines.append("| | **all** | " + " | ".join(f"**{n:,}**" for n in total) + " |")
    lines.append("| | **least that maps a page** | " + " | ".join(f"**{n:,}**" for n in least) + " |")
    compiler = run(PREFIX + "gcc", "-dumpfullversion").strip()
    return f"aarch64, gcc {compiler} -Os, bytes.\n\n" + "\n".join(lines) + "\n"


def main():
    if sys.argv[1:] not in ([], ["--write"]):
        sys.exit(__doc__)
    if not shutil.which(PREFIX + "gcc"):
        sys.exit(f"size_report: {PREFIX}gcc is missing")
    text = report()
    if not sys.argv[1:]:
        print(text, end="")
        return
    page = os.path.join(ROOT, "docs", "size.md")
    with open(page, encoding="utf-8") as file:
        before, rest = file.read().split("<!-- size -->", 1)
    with open(page, "w", encoding="utf-8") as file:
        file.write(f"{before}<!-- size -->\n{text}<!-- /size -->{rest.split('<!-- /size -->', 1)[1]}")


if __name__ == "__main__":
    main()
