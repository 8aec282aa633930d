#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""ksim as its users meet it: results, exit codes, messages, determinism, hostile input.

usage: test_ksim.py KSIM [CASE...]     prints TAP
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

GOOD, FINDINGS, USAGE, BAD_INPUT, INTERNAL = 0, 1, 2, 3, 4
SEED = int(os.environ.get("KC_TEST_SEED", random.SystemRandom().randrange(1, 2**32)))
KSIM = os.path.abspath(sys.argv[1])
FIRST_ROWS = ["T1", "T3", "T4", "T5", "T6", "T15", "T16", "T17", "T18", "T19", "T21", "T27", "T28"]

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


def ksim(*args, stdin=None, timeout=120):
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
    for row in FIRST_ROWS:
        r = ksim("run", "vm", "--seed", "1", "--plant", row)
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


def the_random_policy_runs_clean():
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
             "weighted_footprint_over_requested_pct": pct, "failures": known}
    times = {"p50": count, "p99": count, "p999": count, "max": count}
    schema = {
        "schema": (str,), "seed": count, "ram_bytes": count,
        "trace": {k: count for k in ("events", "allocs", "frees", "null_frees", "unknown_frees",
                                     "implicit_frees", "skipped_lines", "lost_events")},
        "pages": {k: count for k in ("allocs", "frees", "unknown_frees", "peak_bytes")},
        "kcore": usage, "linux": usage, "latency_ns": {"alloc": times, "free": times},
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
         and n not in ("ksim", "document", "refused", "with_file")]


def main():
    chosen = [c for c in CASES if len(sys.argv) < 3 or c.__name__ in sys.argv[2:]]
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
