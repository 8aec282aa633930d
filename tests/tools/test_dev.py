#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""./dev as a stranger meets it (its words, exit codes, what it installs how), and links in the docs.

usage: test_dev.py SOURCE-DIR     prints TAP
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import traceback

SOURCE = pathlib.Path(sys.argv[1]).resolve()
GOOD, USAGE, MISSING = 0, 2, 4
# What ./dev itself needs of a system on which nothing of ours is installed.
BASE = ("sh", "dirname", "cat", "env", "grep", "id", "mkdir", "mktemp", "rm", "sort", "tail", "tr",
        "true")


class Clone:
    """A directory with a blank in its name that holds ./dev, and a PATH with BASE and stubs alone."""

    def __init__(self, **stubs):
        self.keep = tempfile.TemporaryDirectory()
        root = pathlib.Path(self.keep.name)
        self.dir, self.bin, self.log = root / "a clone", root / "bin", root / "log"
        self.dir.mkdir()
        self.bin.mkdir()
        self.log.write_text("")
        shutil.copy(SOURCE / "dev", self.dir / "dev")
        for name in BASE:
            (self.bin / name).symlink_to(shutil.which(name))
        for name, body in stubs.items():
            stub = self.bin / name.replace("_", "-")
            stub.unlink(missing_ok=True)
            stub.write_text(f'#!/bin/sh\necho "{stub.name} $*" >>"{self.log}"\n{body}\n')
            stub.chmod(0o755)

    def dev(self, *args, **env):
        r = subprocess.run(["sh", str(self.dir / "dev"), *args], stdin=subprocess.DEVNULL, cwd="/",
                           capture_output=True, text=True, timeout=60,
                           env={"PATH": str(self.bin), "HOME": "/", "TMPDIR": self.keep.name, **env})
        return r, self.log.read_text()


def wrong_words_exit_2():
    c = Clone()
    for args in ((), ("frobnicate",), ("--frobnicate",), ("test", "--frobnicate"), ("image", "x"),
                 ("fuzz", "--x"), ("fuzz", "pool", "soon"), ("fuzz", "1", "2", "3"), ("fuzz", "1", "2"),
                 ("bench", "a", "b"), ("bench", "-x"), ("bench", "--plot"), ("check", "x")):
        r, _ = c.dev(*args)
        assert r.returncode == USAGE and r.stdout == "" and r.stderr, (args, r)


def help_exits_0():
    r, _ = Clone().dev("help")
    assert r.returncode == GOOD and r.stderr == ""
    for verb in ("run", "test", "image", "fuzz", "bench", "check"):
        assert re.search(rf"^  {verb} ", r.stdout, re.M), verb


def where_it_may_not_install_it_prints_the_lists():
    for env, stubs in (({"DEV_NO_INSTALL": "1"}, {"apt_get": "exit 0"}), ({}, {}),
                       ({}, {"apt_get": "exit 0", "id": "echo 1000"}),
                       ({}, {"apt_get": "exit 0", "id": "echo 1000", "sudo": "exit 1"})):
        r, log = Clone(**stubs).dev("run", **env)
        assert r.returncode == MISSING and r.stdout == "", r
        for word in ("apt-get install gcc", "dnf install", "pacman -S", "brew install", "meson"):
            assert word in r.stderr, (word, r.stderr)
        assert "apt-get" not in log, log


def root_and_sudo_install_what_is_missing():
    for who, stubs, how in (("0", {}, "apt-get"), ("1000", {"sudo": 'shift; exec "$@"'}, "sudo -n")):
        r, log = Clone(apt_get="exit 0", id=f"echo {who}", **stubs).dev("run")
        assert "dev: installing: " in r.stderr, r.stderr
        assert r.returncode == MISSING and "still missing" in r.stderr  # the stub installs nothing
        assert re.search(r"apt-get .*install .*ninja-build", log) and how in log, log


def a_failing_package_manager_is_told():
    r, _ = Clone(apt_get="exit 100", id="echo 0").dev("run")
    assert r.returncode == MISSING and "the package manager failed" in r.stderr, r


def building_needs_no_cmake():
    # The package list of ./dev run has none; Meson's cmake module would ask for it.
    for path in SOURCE.glob("**/meson.build"):
        if "build" not in path.relative_to(SOURCE).parts[0]:
            assert "import('cmake')" not in path.read_text(), path


def links_in_the_documents_lead_somewhere():
    count = 0
    for path in [*SOURCE.glob("*.md"), *SOURCE.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
            if not target.startswith("http"):
                count += 1
                file, _, anchor = target.partition("#")
                to = path.parent / file if file else path
                assert to.exists(), f"{path}: {target}"
                if anchor:
                    heads = re.findall(r"^#+ (.*)$", to.read_text(), re.M)
                    ids = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in heads]
                    assert anchor in ids, f"{path}: {target}: {ids}"
    assert count > 10


CASES = [f for f in list(globals().values())
         if callable(f) and getattr(f, "__module__", "") == "__main__" and f is not Clone]


def main():
    print(f"1..{len(CASES)}")
    failed = 0
    for i, case in enumerate(CASES, 1):
        try:
            case()
            print(f"ok {i} - {case.__name__}", flush=True)
        except Exception:  # a case fails by raising, whatever it raises
            failed += 1
            for line in traceback.format_exc().splitlines()[-6:]:
                print("# " + line)
            print(f"not ok {i} - {case.__name__}", flush=True)
    sys.exit(1 if failed else 0)


main()
