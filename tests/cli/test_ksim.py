#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""ksim as its users meet it: results, exit codes, messages, determinism, hostile input.

usage: test_ksim.py KSIM [CASE... | --but CASE...]     prints TAP
"""
import json
import lzma
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import traceback
import xml.etree.ElementTree
from html.parser import HTMLParser

GOOD, FINDINGS, USAGE, BAD_INPUT, INTERNAL = 0, 1, 2, 3, 4
SEED = int(os.environ.get("KC_TEST_SEED", random.SystemRandom().randrange(1, 2**32)))
KSIM = os.path.abspath(sys.argv[1])
FIRST_ROWS = ["T1", "T3", "T4", "T5", "T6", "T12", "T15", "T16", "T17", "T18", "T19", "T21", "T22", "T26",
              "T27", "T28"]

# A small recording with every untidy case, and what it comes to (by hand).
FTRACE = """\
# tracer: nop
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
            a-1     [000] .....   1.000001: kmalloc: call_site=f+0x1/0x2 ptr=0000000000000010 bytes_req=100 bytes_alloc=128 gfp_flags=GFP_KERNEL node=-1 accounted=false
            a-1     [000] .....   1.000002: kmem_cache_alloc: call_site=g+0x1/0x2 ptr=0000000000000020 name=dentry bytes_req=192 bytes_alloc=192 gfp_flags=GFP_KERNEL node=-1 accounted=false
            a-1     [001] .....   1.000003: kfree: call_site=f+0x9/0x20 ptr=0000000000000000
            a-1     [001] .....   1.000004: kfree: call_site=f+0x9/0x20 ptr=00000000000000aa
            a-1     [001] .....   1.000005: kmem_cache_alloc: call_site=g+0x1/0x2 ptr=0000000000000020 name=dentry bytes_req=192 bytes_alloc=192 gfp_flags=GFP_KERNEL node=-1 accounted=false
            a-1     [001] .....   1.000006: sched_switch: whatever
CPU:1 [LOST 7 EVENTS]
            a-1     [000] .....   1.000007: kfree: call_site=f+0x9/0x20 ptr=0000000000000010
"""


def ksim(*args, stdin=None, timeout=300):
    return subprocess.run([KSIM, *args], input=stdin, capture_output=True, timeout=timeout,
                          stdin=None if stdin is not None else subprocess.DEVNULL)


def document(*args, code=GOOD, **kw):
    r = ksim(*args, "--json", **kw)
    assert r.returncode == code, f"exit {r.returncode}, expected {code}: {r.stderr[-400:]}"
    return json.loads(r.stdout)


def refused(code, word, *args, **kw):
    """The command ends with that code and names what was wrong, on standard error alone."""
    r = ksim(*args, **kw)
    text = r.stderr.decode(errors="replace")
    assert r.returncode == code, f"{args}: exit {r.returncode}, expected {code}: {text[-400:]}"
    assert text.startswith("ksim: "), f"{args}: message is {text!r}"
    assert word in text, f"{args}: {word!r} is not in {text!r}"


def with_file(content, name="t.ftrace"):
    d = tempfile.TemporaryDirectory()
    p = pathlib.Path(d.name) / name
    p.write_bytes(content)
    return d, str(p)


# ---- results -------------------------------------------------------------------------------------

def run_judges_every_row_and_finds_nothing():
    d = document("run", "--seed", "1")
    assert d["schema"] == "kcore.replay/1"
    assert d["violations"] == 0 and d["kcore"]["failures"] == 0 and d["leaks"] == 0
    for row, count in d["judgements"].items():
        assert count > 0, f"{row} was never judged"
    for row in FIRST_ROWS:
        assert row in d["judgements"]


def run_with_the_same_seed_gives_the_same_bytes():
    docs = []
    for _ in range(2):
        d = document("run", "--seed", "7", "--cpus", "2")
        d.pop("latency_ns")
        docs.append(json.dumps(d))
    assert docs[0] == docs[1]


def seeds_give_many_schedules():
    seen = {}
    for seed in range(100):
        r = ksim("run", "boot", "--cpus", "2", "--seed", str(seed))
        assert r.returncode == GOOD, r.stderr[-400:]
        seen[seed] = re.search(rb"schedule (0x[0-9a-f]+)", r.stdout).group(1)
    assert len(set(seen.values())) > 50, f"{len(set(seen.values()))} distinct schedules"
    again = ksim("run", "boot", "--cpus", "2", "--seed", "3").stdout
    assert seen[3] in again


def a_planted_fault_is_reported():
    # It is committed when the run is over: behind which one, is the same.
    for row in FIRST_ROWS:
        r = ksim("run", "vm" if row == "T1" else "boot", "--seed", "1", "--plant", row)
        assert r.returncode == FINDINGS, f"{row}: exit {r.returncode}"
        assert re.search(rb"\b%s\b" % row.encode(), r.stdout), f"{row} is not in the report"
        assert b"missing" in r.stdout


def a_failing_run_prints_the_command_that_repeats_it():
    for extra in (("--plant", "T16"), ("--policy", "random", "--plant", "T1")):
        r = ksim("run", "boot", "--seed", "4", *extra)
        assert r.returncode == FINDINGS
        again = re.search(rb"repeat it with: ksim (.*)\n", r.stdout).group(1).decode().split()
        second = ksim(*again)
        assert second.returncode == FINDINGS and second.stdout == r.stdout, again


def the_kernels_tables_are_written_as_runs():
    with tempfile.TemporaryDirectory() as d:
        path = pathlib.Path(d) / "tables"
        plain = ksim("run", "boot", "--seed", "4")
        r = ksim("run", "boot", "--seed", "4", "--tables", str(path))
        assert r.returncode == GOOD and r.stdout == plain.stdout, "looking changes nothing"
        lines = path.read_text().splitlines()
        assert lines[0].startswith("upper half, 48 bits, granule 4 KiB")
        assert re.search(r"^0xffff000080000000-0xffff0000801fffff +2 MiB  0x000080000000  EL1 r-x  "
                         r"EL0 ---  .*L2 x 1$", lines[1]), lines[1]
        assert not any("rwx" in line for line in lines)
        assert ksim("run", "boot", "--tables", d + "/none/tables").returncode == BAD_INPUT


def a_fault_that_ends_the_run_is_explained():
    """The second half of a break-before-make is left out, one after the other: where that was the
    text's, the kernel cannot go on."""
    with tempfile.TemporaryDirectory() as d:
        path = pathlib.Path(d) / "sites"
        assert ksim("run", "boot", "--seed", "4", "--sites", str(path)).returncode == GOOD
        sites = [line.split() for line in path.read_text().splitlines()]
    makes = [word[0] for word in sites if word[2:4] == ["store", "makes-live"]]
    assert makes
    ends = [ksim("run", "boot", "--seed", "4", "--mutate", k + ":drop") for k in makes]
    told = [r for r in ends if b"fetch at 0xffff000080000000 by EL1: translation, level 2" in r.stdout]
    assert told and told[0].returncode == FINDINGS
    for words in (rb"level 2 at 0x[0-9a-f]+: 0x[0-9a-f]+  invalid\n",
                  rb"because bit 0 of the descriptor is 0: nothing is mapped at level 2\n",
                  rb"linear map: text, at 0x80000000\n"):
        assert re.search(words, told[0].stdout), told[0].stdout[-1500:].decode()


def progress_on_a_terminal_leaves_the_log_alone():
    if not os.path.exists("/usr/bin/script"):
        print("# no script(1): not tried")
        return
    with tempfile.TemporaryDirectory() as d:
        path = pathlib.Path(d) / "long.ftrace"
        alloc, free = FTRACE.splitlines(True)[3], FTRACE.splitlines(True)[9]
        path.write_text((alloc + free) * 400000)
        seen = pathlib.Path(d) / "seen"
        subprocess.run(["script", "-qec", f"'{KSIM}' replay '{path}' --seed 1", str(seen)],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=120, check=True)
        text = seen.read_bytes()
        for line in text.split(b"\r\n"):
            if b"a second" in line:  # progress: erased before anything else stands in its line
                assert line.rsplit(b"a second ", 1)[1].startswith(b"\r\x1b[K"), line[-200:]


def every_number_of_cpus_runs():
    for cpus in (1, 3, 8):
        assert document("run", "vm", "--cpus", str(cpus), "--seed", "5")["violations"] == 0


SERVICES = 13  # kinds of them, docs/simulator.md


def services_end_as_they_have_to_and_leave_nothing():
    ends = {"exit": 1, "unmapped": 3, "denied": 2, "guard": 2, "kernel_address": 2, "instruction": 2,
            "time": 1, "no_memory": 0, "other": 0}
    for speed in ("native", "exact"):
        for cpus in (1, 4):
            for seed in (1, SEED):
                d = document("run", "services", "--speed", speed, "--cpus", str(cpus), "--seed", str(seed))
                s, each = d["services"], 8 * cpus
                assert s["started"] == SERVICES * each and s["unexpected"] == 0, s
                assert s["ended"] == {k: n * each for k, n in ends.items()}, s
                assert s["cleaned"] == 9 * s["started"] and s["exchanged_bytes"] > 0, s
                assert d["violations"] == 0 and d["leaks"] == 0
                assert speed == "native" or s["interrupts"] > 0, s
    assert document("run", "vm", "--seed", "1")["services"]["started"] == 0
    # With too little memory the rest is left out, and what is there still ends as it has to.
    short = 0
    for kib in range(120, 216, 8):
        r = ksim("run", "services", "--ram", str(kib * 1024), "--cpus", "2", "--seed", "1", "--speed", "native")
        assert r.returncode in (GOOD, USAGE), (kib, r.stdout[-600:], r.stderr[-300:])
        short += b"left out for want of memory" in r.stdout
    assert short > 3, short


def services_are_told_with_what_they_did():
    text = ksim("run", "services", "--seed", "3", "--cpus", "1").stdout.decode()
    base = re.search(r"write to text: killed \(denied\): write at 0x([0-9a-f]{16})", text).group(1)
    text_at = int(base, 16)
    assert text_at % 4096 == 0
    for line in (f"load of nothing: killed (unmapped): read at 0x0000007ffffff000, translation fault",
                 "jump into data: killed (denied): fetch at 0x", "permission fault, level 3",
                 "touch of a guard: killed (guard): read at 0x", "stack overflow: killed (guard): write at 0x",
                 "load of the kernel: killed (kernel_address): read at 0xffff",
                 "store to the kernel: killed (kernel_address): write at 0xffff",
                 "undefined instruction: killed (instruction)", "privileged instruction: killed (instruction)",
                 "return to nowhere: killed (unmapped): fetch at 0x0000000000000000", "endless: killed (time)",
                 "honest: exit 0", "cpu0 says: hello from cpu0"):
        assert line in text, line
    assert "Services at EL0\n  104 started, 8 ended by themselves" in text


def the_random_policy_runs_clean():
    assert document("run", "services", "--policy", "random", "--seed", str(SEED))["violations"] == 0
    assert document("run", "vm", "--policy", "random", "--seed", str(SEED))["violations"] == 0


def native_speed_runs_clean():
    assert document("run", "--speed", "native", "--seed", "2")["violations"] == 0


def untidy_recordings_are_counted():
    for wrap in (lambda b: b, lzma.compress):
        d, path = with_file(wrap(FTRACE.encode()))
        t = document("replay", path, "--seed", "1")
        tr = t["trace"]
        assert (tr["allocs"], tr["null_frees"], tr["unknown_frees"], tr["implicit_frees"]) == (3, 1, 1, 1), tr
        assert tr["lost_events"] == 7 and tr["skipped_lines"] == 1, tr
        assert t["live_at_end"] == 1 and t["leaks"] == 0 and t["violations"] == 0
        assert t["kcore"]["peak_requested_bytes"] == 292
        d.cleanup()


def standard_input_is_a_file_too():
    d, path = with_file(FTRACE.encode())
    a = document("replay", path, "--seed", "1")
    b = document("replay", "-", "--seed", "1", stdin=FTRACE.encode())
    for doc in (a, b):
        doc.pop("latency_ns")
    assert a == b
    d.cleanup()


def the_bundled_sample_replays():
    d = document("replay", "--seed", "1")
    assert d["kcore"]["failures"] == 0 and d["leaks"] == 0
    assert d["trace"]["events"] > 100000


def the_seed_is_printed_when_not_given():
    assert re.search(rb"seed \d+", ksim("run", "boot").stdout)


def numbers_are_decimal_unless_0x():
    for text, seed in (("010", 10), ("0x10", 16), ("18446744073709551615", 2**64 - 1)):
        assert document("run", "boot", "--seed", text)["seed"] == seed


def json_has_the_keys_and_types_of_the_schema():
    count, known, pct = (int,), (int, type(None)), (float, type(None))
    usage = {"peak_requested_bytes": count, "peak_footprint_bytes": known, "weighted_waste_pct": pct,
             "weighted_footprint_over_requested_pct": pct,
             "weighted_slabs_over_requested_pct": pct, "failures": known}
    times = {"p50": count, "p99": count, "p999": count, "max": count}
    schema = {
        "schema": (str,), "seed": count, "ram_bytes": count,
        "trace": {k: count for k in ("events", "allocs", "frees", "null_frees", "unknown_frees",
                                     "implicit_frees", "skipped_lines", "lost_events")},
        "pages": {k: count for k in ("allocs", "frees", "unknown_frees", "peak_bytes")},
        "kcore": usage, "linux": usage, "latency_ns": {"alloc": times, "free": times},
        "services": {
            "started": count,
            "ended": {k: count for k in ("exit", "unmapped", "denied", "guard", "kernel_address",
                                         "instruction", "time", "no_memory", "other")},
            "calls": count, "refused_calls": count, "exchanged_bytes": count, "pages": count,
            "interrupts": count, "cleaned": count, "unexpected": count},
        "live_at_end": count, "leaks": count, "violations": count, "judgements": {}}

    def same(where, value, shape):
        if isinstance(shape, tuple):
            assert type(value) in shape, f"{where}: {value!r}"
            return
        assert isinstance(value, dict), where
        if shape:
            assert list(value) == list(shape), f"{where}: {list(value)}"
        for key in value:
            same(f"{where}.{key}", value[key], shape.get(key, count))

    for args in (("run", "boot"), ("replay",), ("replay", "--quiet")):
        r = ksim(*args, "--json", "--seed", "1")
        assert r.returncode == GOOD and r.stderr == b"" and r.stdout.count(b"\n") == 1, r.stderr
        same("", json.loads(r.stdout), schema)
    d = document("run", "boot")
    assert d["kcore"]["weighted_waste_pct"] is None and d["trace"]["events"] == 0


def checks_lists_the_rows_of_the_design():
    doc = json.loads(ksim("checks", "--json").stdout)
    assert doc["schema"] == "kcore.checks/1" and [r["row"] for r in doc["rows"]] == [f"T{i}" for i in range(1, 31)] + ["R1"]
    judged = {r["row"] for r in doc["rows"] if r["not_yet"] is None}
    assert judged == set(document("run", "boot")["judgements"])
    assert {r["row"] for r in doc["rows"] if r["lint"]} == {"T30"}
    # What is said to be planted is: each row that has a story reports it (FIRST_ROWS are planted below).
    assert {r["row"] for r in doc["rows"] if r["plant"]} == judged - {"T25", "R1"} >= set(FIRST_ROWS)
    words = ksim("checks").stdout.decode().splitlines()
    assert len(words) == 31 and sum("not yet: " in w for w in words) == 31 - len(judged)
    refused(USAGE, "too many", "checks", "T1")


def a_lint_is_told_and_is_no_violation():
    with tempfile.TemporaryDirectory() as d:
        log = pathlib.Path(d, "log")
        r = ksim("run", "boot", "--seed", "1", "--plant", "T30", "--log", str(log))
        assert r.returncode == GOOD and b"lint: " in r.stdout and b"0 violations" in r.stdout
        lines = [json.loads(x) for x in log.read_text().splitlines()]
        assert lines and all(x["schema"] == "kcore.lint/1" and x["row"] == "T30" for x in lines)
        assert document("run", "boot", "--seed", "1", "--plant", "T30")["violations"] == 0


def quiet_prints_the_report_alone():
    r = ksim("run", "boot", "--quiet", "--seed", "1")
    assert r.stdout.startswith(b"kcore ") and r.stderr == b""
    assert b"\x1b" not in r.stdout and b"\r" not in r.stdout  # no terminal, no colours


def help_is_a_result():
    for args in (("--help",), ("-h",), ("help",), ("run", "--help"), ("run", "-h"), ("replay", "--help")):
        r = ksim(*args)
        assert r.returncode == GOOD and r.stdout.startswith(b"usage: ksim") and r.stderr == b"", args


def output_that_does_not_arrive_exits_4():
    for args in (("run", "boot"), ("run", "boot", "--json"), ("replay", "--json"), ("--help",), ("--version",)):
        for stdout in ("/dev/full", "&-"):
            line = '"$@" >' + stdout
            r = subprocess.run(["sh", "-c", line, "sh", KSIM, *args], capture_output=True, timeout=120)
            assert r.returncode == INTERNAL, f"{args} >{stdout}: exit {r.returncode}"
            assert b"cannot write standard output" in r.stderr
    for option in (("--sites", "/dev/full"), ("--log", "/dev/full", "--plant", "T1")):
        refused(INTERNAL, option[0], "run", "vm", "--seed", "1", *option)


def closed_streams_are_not_mistaken_for_files():
    # Simulated RAM, or the trace, must not become standard output, nor errors be written into it.
    d, path = with_file(FTRACE.encode())
    for close in ("<&-", "2>&-", "<&- 2>&-"):
        r = subprocess.run(["sh", "-c", '"$@" ' + close, "sh", KSIM, "replay", path, "--json"],
                           stdout=subprocess.PIPE, timeout=120)
        assert r.returncode == GOOD and json.loads(r.stdout)["trace"]["allocs"] == 3, close
    r = subprocess.run(["sh", "-c", '"$@" <&-', "sh", KSIM, "replay", "-"], capture_output=True, timeout=120)
    assert r.returncode == BAD_INPUT and b"standard input" in r.stderr
    d.cleanup()


# ---- the page ------------------------------------------------------------------------------------

VOID = {"meta", "br"}
OUTSIDE = {"src", "href", "action", "data", "poster", "srcset", "formaction", "background"}


class Page(HTMLParser):
    """Well-formed, self-contained HTML; anything else is an error."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.tags, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"
        assert len(set(self.ids)) == len(self.ids), "an id twice"

    def handle_starttag(self, tag, attrs):
        assert tag not in ("script", "link", "iframe", "object", "embed", "img", "base", "form"), tag
        for name, value in attrs:
            assert name not in OUTSIDE and not name.startswith("on"), (tag, name, value)
            assert name != "style", "styles are in the head"
            if name == "id":
                self.ids.append(value)
        self.tags.append(tag)
        if tag not in VOID and self.get_starttag_text()[-2:] != "/>":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> in {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            assert "url(" not in data and "@import" not in data
        else:
            self.words.append(data)

    def text(self):
        return " ".join(self.words)


def page_of(path, sections=()):
    text = pathlib.Path(path).read_text(encoding="utf-8")
    page = Page(text)
    for section in sections:
        assert section in page.ids, f"no section {section}"
    assert not re.search(r"\bnan\b|\binf\b", text)
    # Nothing is fetched: the one address is the name of SVG's vocabulary.
    assert set(re.findall(r"\w+://[^\s\"<]*", re.sub(r"<title>.*?</title>|<(h1|p)[ >].*?</\1>", "", text,
               flags=re.S))) <= {"http://www.w3.org/2000/svg"}
    assert "prefers-color-scheme:dark" in text and "max-width:700px" in text
    return page, text


ALL_SECTIONS = ("timeline", "types", "lifetimes", "memory", "latency", "violations", "trace")


def a_report_is_one_page_with_everything():
    with tempfile.TemporaryDirectory() as d:
        out, svg = f"{d}/r.html", f"{d}/m.svg"
        r = ksim("report", "-o", out, "--svg", svg, "--seed", "1")
        assert r.returncode == GOOD, r.stderr
        assert out.encode() in r.stdout and b"clean" in r.stdout
        page, text = page_of(out, ALL_SECTIONS)
        assert page.tags.count("table") >= 8 and page.tags.count("svg") >= 20
        for svg_text in re.findall(r"<svg class=\"pic.*?</svg>", text, flags=re.S):
            assert "role=\"img\"" in svg_text and "<title>" in svg_text
        assert "vm_area_struct" in page.text() and "T16" in page.text()
        root = xml.etree.ElementTree.parse(svg).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert sorted(os.listdir(d)) == ["m.svg", "r.html"]
        r = ksim("report", "-o", "-", "--seed", "1")
        assert r.returncode == GOOD and r.stdout.startswith(b"<!DOCTYPE html>")


def without_latency(text):
    return re.sub(r'<section id="latency".*?</section>', "", text, flags=re.S)


def a_page_has_the_same_bytes_for_a_seed_and_changes_no_schedule():
    with tempfile.TemporaryDirectory() as d:
        pages = []
        for name in ("a", "b"):
            r = ksim("run", "--seed", "9", "--quiet", "--html", f"{d}/{name}", "--svg", f"{d}/{name}.svg")
            assert r.returncode == GOOD, r.stderr
            pages.append(without_latency(pathlib.Path(d, name).read_text()))
        assert pages[0] == pages[1]
        assert pathlib.Path(d, "a.svg").read_bytes() == pathlib.Path(d, "b.svg").read_bytes()
        schedule = rb"schedule (0x[0-9a-f]+)"
        plain = ksim("run", "--seed", "9", "--quiet").stdout
        assert re.search(schedule, plain).group(1) == re.search(schedule, r.stdout).group(1)
        a = document("run", "--seed", "9", "--html", f"{d}/c")
        b = document("run", "--seed", "9")
        for doc in (a, b):
            doc.pop("latency_ns")
        assert a == b


def a_page_maps_memory_at_the_peak_and_at_the_end():
    line = "            a-1     [000] .....   2.%06d: %s: page=000000000000abcd pfn=0x%x order=0%s\n"
    body = "".join(FTRACE.splitlines(True)[:3])
    body += "".join(line % (i, "mm_page_alloc", i, " migratetype=0 gfp_flags=GFP_KERNEL") for i in range(1, 2049))
    body += "".join(line % (5000 + i, "mm_page_free", i, "") for i in range(1, 2049))
    d, path = with_file(body.encode())
    out = d.name + "/r.html"
    r = ksim("report", path, "-o", out, "--seed", "1")
    assert r.returncode == GOOD, r.stderr
    page, text = page_of(out, ALL_SECTIONS)
    row = re.search(r"pages of the trace</td><td>([^<]*)</td><td[^>]*>[^<]*</td><td>([^<]*)</td>", text)
    assert row.groups() == ("8 MiB", "0 B"), row.groups()
    assert "At the peak, 0.00" in page.text() and "At the end of the work" in page.text()
    memory = text[text.index('id="memory"'):text.index('id="latency"')]
    assert memory.count("<svg") == 4, "wide and narrow, peak and end"
    at_end = memory[memory.index("At the end of the work"):]
    assert "o-pages" in memory[:-len(at_end)] and "o-pages" not in at_end
    d.cleanup()


def a_page_tells_a_violation_with_its_causes():
    with tempfile.TemporaryDirectory() as d:
        out = f"{d}/r.html"
        r = ksim("run", "vm", "--seed", "1", "--plant", "T19", "--html", out, "--quiet")
        assert r.returncode == FINDINGS
        page, _ = page_of(out, ("violations", "memory"))
        assert "not clean" in page.text() and "missing: " in page.text()
        assert "How it came about" in page.text() and "wrote the descriptor" in page.text()


def a_hostile_trace_puts_no_markup_into_the_page():
    evil = [b"<script>alert(1)</script>", b"</td></table><img/src=x>", b"'\"onmouseover='x",
            b"&lt;b&gt;", b"\xff\xfe\xc0\xbc", b"\x1b[31m", b"--><svg/onload=x>"]
    body = FTRACE.encode()
    lines = b""
    for i, name in enumerate(evil):
        lines += (b"            a-1     [000] .....   2.00000%d: kmem_cache_alloc: call_site=g+0x1/0x2 "
                  b"ptr=00000000000001%02x name=%s bytes_req=64 bytes_alloc=64 gfp_flags=GFP_KERNEL "
                  b"node=-1 accounted=false\n" % (i, i, name))
    for n in range(len(evil)):
        d, path = with_file(body + lines.splitlines(True)[n], "<b onclick='x'>&amp;.ftrace")
        r = ksim("report", path, "-o", d.name + "/r.html", "--svg", d.name + "/m.svg", "--seed", "1")
        if r.returncode == GOOD:
            page, text = page_of(d.name + "/r.html", ALL_SECTIONS)
            assert "<b onclick='x'>&amp;.ftrace" in page.text(), "the path is shown as it is"
            assert "alert(1)" not in text or "&lt;script&gt;alert(1)" in text
            xml.etree.ElementTree.parse(d.name + "/m.svg")
        else:
            assert r.returncode == BAD_INPUT, (evil[n], r)
            assert not os.path.exists(d.name + "/r.html")
        if n == 0:
            assert r.returncode == GOOD and "<script>alert(1)</script>" in page.text()
        d.cleanup()


def a_page_goes_where_it_can_or_says_why_not():
    with tempfile.TemporaryDirectory() as d:
        for option in (("report", "-o"), ("report", "--output"), ("run", "--html"), ("replay", "--svg"),
                       ("replay", "--html")):
            boot = ("--seed", "1", "--quiet")
            refused(BAD_INPUT, "directory", option[0], option[1], d, *boot)
            refused(BAD_INPUT, "No such file", option[0], option[1], f"{d}/no/such/file", *boot)
            refused(INTERNAL, "No space", option[0], option[1], "/dev/full", *boot)
        kept = pathlib.Path(d, "kept.html")
        kept.write_text("before")
        refused(BAD_INPUT, "no-such", "report", "/no-such-trace", "-o", str(kept))
        refused(BAD_INPUT, "", "report", d, "-o", f"{d}/new.html")
        bad = pathlib.Path(d, "bad.ftrace")
        bad.write_text(FTRACE + FTRACE.replace("bytes_req=100", "bytes_req=many"))
        refused(BAD_INPUT, ":", "report", str(bad), "-o", str(kept))
        refused(BAD_INPUT, ":", "report", str(bad), "-o", f"{d}/new.html")
        assert kept.read_text() == "before", "an old page stays when there is no new one"
        assert not os.path.exists(f"{d}/new.html")
        kept.write_text("x" * 1000000)
        assert ksim("report", "-o", str(kept), "--quiet").returncode == GOOD
        assert kept.read_text().endswith("</html>\n"), "nothing of the old one is left"
        refused(USAGE, "-o FILE", "report")
        refused(USAGE, "standard output", "run", "boot", "--html", "-")
        refused(USAGE, "standard output", "report", "-o", "-", "--svg", "-")
        refused(USAGE, "needs a value", "report", "-o")
        refused(USAGE, "does not take", "report", "--json", "-o", "x")
        refused(USAGE, "does not take", "run", "-o", "x")


def a_page_of_next_to_nothing_is_whole():
    with tempfile.TemporaryDirectory() as d:
        out = f"{d}/r.html"
        t, path = with_file(FTRACE.encode())
        assert ksim("report", path, "-o", out).returncode == GOOD
        page_of(out, ALL_SECTIONS)
        assert ksim("run", "boot", "--html", out, "--quiet").returncode == GOOD
        page_of(out, ("memory", "violations"))
        t.cleanup()


# ---- refusals ------------------------------------------------------------------------------------

def usage_errors_exit_2():
    refused(USAGE, "unknown command", "frobnicate")
    refused(USAGE, "--frobnicate", "run", "--frobnicate")
    refused(USAGE, "1 to 8", "run", "--cpus", "0")
    refused(USAGE, "1 to 8", "run", "--cpus", "9")
    refused(USAGE, "expected", "run", "--seed", "minus one")
    refused(USAGE, "expected", "run", "--ram", "0")
    refused(USAGE, "expected", "run", "--ram", "99999999999G")
    refused(USAGE, "expected", "run", "--speed", "ludicrous")
    refused(USAGE, "T99", "run", "--plant", "T99")
    refused(USAGE, "too many", "run", "vm", "vm")
    refused(USAGE, "scenario", "run", "no-such-scenario")
    refused(USAGE, "needs a value", "run", "--seed")
    refused(USAGE, "does not take", "replay", "--plant", "T1")
    # The message names the word that is wrong, wherever it stands.
    refused(USAGE, "unknown option --frobnicate", "run", "boot", "--frobnicate")
    refused(USAGE, "unknown option -z", "run", "boot", "-z")
    refused(USAGE, "--seed needs a value", "run", "boot", "--seed")
    refused(USAGE, "takes no value", "run", "boot", "--json=yes")


def ram_sizes_are_served_or_refused_with_the_limit():
    refused(USAGE, "", "run", "boot", "--ram", "1")
    refused(USAGE, "", "run", "boot", "--ram", "4096")
    refused(USAGE, "limit", "run", "boot", "--ram", "2T")
    r = ksim("run", "boot", "--ram", "1T")
    assert r.returncode == GOOD or b"limit" in r.stderr, r
    for pages in (2, 3, 8, 40, 300):
        r = ksim("run", "boot", "--ram", str(pages * 4096), "--seed", "1")
        assert r.returncode in (GOOD, USAGE, FINDINGS), f"{pages} pages: exit {r.returncode}"
        if r.returncode != GOOD:
            assert b"memory" in r.stderr or b"RAM of" in r.stderr, r


def bad_files_exit_3():
    refused(BAD_INPUT, "no-such-file", "replay", "/no-such-file")
    with tempfile.TemporaryDirectory() as d:
        refused(BAD_INPUT, "directory", "replay", d)
    for content, word in ((b"", "empty"), (b"\x00\xff\xfe\x01" * 300, ""),
                          (b"\x93KCT\r\n\x1a\n" + b"\xff" * 40, ""),
                          (lzma.compress(FTRACE.encode())[:-20], ""),
                          (FTRACE.replace("bytes_req=100", "bytes_req=many").encode(), ":4")):
        d, path = with_file(content)
        refused(BAD_INPUT, word, "replay", path)
        refused(BAD_INPUT, "", "replay", "-", stdin=content)
        d.cleanup()
    d, path = with_file(FTRACE.encode())
    refused(BAD_INPUT, "no-such", "replay", path, "--slabinfo", "/no-such-slabinfo")
    refused(BAD_INPUT, "", "replay", path, "--slabinfo", path)
    d.cleanup()


def damaged_traces_never_crash():
    rng = random.Random(SEED)
    print(f"# seed {SEED}")
    base = FTRACE.encode()
    for round_ in range(60):
        data = bytearray(base)
        for _ in range(rng.randrange(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.randrange(3) == 0:
            del data[rng.randrange(len(data)):]
        r = ksim("replay", "-", "--seed", "1", "--quiet", stdin=bytes(data), timeout=20)
        assert r.returncode in (GOOD, FINDINGS, BAD_INPUT), (round_, r.returncode, bytes(data))


CASES = [f for n, f in list(globals().items())
         if callable(f) and getattr(f, "__module__", "") == "__main__"
         and n not in ("ksim", "document", "refused", "with_file", "Page", "HTMLParser", "page_of",
                       "without_latency")]


def main():
    named = sys.argv[2:]
    but = named[:1] == ["--but"]
    unknown = set(named[1:] if but else named) - {c.__name__ for c in CASES}
    assert not unknown, f"no such case: {unknown}"
    chosen = [c for c in CASES if not named or (c.__name__ in named) != but]
    print(f"1..{len(chosen)}")
    failed = 0
    for i, case in enumerate(chosen, 1):
        try:
            case()
            print(f"ok {i} - {case.__name__}", flush=True)
        except Exception as e:  # a case fails by raising, whatever it raises
            failed += 1
            for line in traceback.format_exc().splitlines()[-6:]:
                print("# " + line)
            print(f"not ok {i} - {case.__name__}", flush=True)
    sys.exit(1 if failed else 0)


main()
