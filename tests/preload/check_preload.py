#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""libkcore-malloc as its users meet it: malloc's own rules, and real programs that run on it.

usage: check_preload.py LIBRARY CASES NEW [PROGRAM...]     prints TAP

LIBRARY is preloaded; CASES is malloc-cases, NEW is new-cases ("-" where there is no C++ compiler).
With PROGRAMs (sqlite3 python3 redis gcc git nginx, or "all") only those are run: each twice, without
and with the library, with the same results. Servers listen on 127.0.0.1 or in a directory, for as
long as their case lasts.
"""
import concurrent.futures
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

LIBRARY, CASES, NEW = (os.path.abspath(a) if a != "-" else a for a in sys.argv[1:4])
TIMEOUT = 600


class Skip(Exception):
    pass


def environment(preload, stats=None, **more):
    env = {k: v for k, v in os.environ.items()
           if not k.startswith("KCORE_MALLOC_") and k != "LD_PRELOAD"}
    env.update(LC_ALL="C.UTF-8", TZ="UTC", PYTHONHASHSEED="0", **more)
    if preload:
        env["LD_PRELOAD"] = LIBRARY
    if stats is not None:
        env["KCORE_MALLOC_STATS"] = str(stats)
    return env


def run(args, preload=True, stats=None, cwd=None, stdin=None, env=None, code=0):
    """Run to the end; the exit status must be code. Returns (stdout, stderr)."""
    r = subprocess.run(args, capture_output=True, timeout=TIMEOUT, cwd=cwd,
                       input=stdin if stdin is not None else b"",
                       env=environment(preload, stats, **(env or {})), check=False)
    assert r.returncode == code, \
        f"{args}: exit {r.returncode}, expected {code}: " \
        f"{(r.stdout + r.stderr)[-3000:].decode(errors='replace')}"
    return r.stdout.decode(errors="replace"), r.stderr.decode(errors="replace")


def read_stats(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


def judge_stats(path, program, least_allocs):
    """The program ran on the heap, did work there, and misused nothing."""
    lines = [s for s in read_stats(path) if s["program"].startswith(program)]
    assert lines, f"no statistics of {program}"
    for s in lines:
        assert s["misuse"] == 0 and s["refused"] == 0, s
    allocs = sum(s["allocs"] + s["big_allocs"] for s in lines)
    assert allocs >= least_allocs, f"{program} allocated {allocs} times"
    peak = max(s["peak_held_bytes"] + s["big_peak_bytes"] for s in lines)
    print(f"#   {program}: {len(lines)} processes, {allocs:,} allocations, "
          f"at most {peak / 2**20:.1f} MiB in one")


def need(*commands):
    for command in commands:
        path = shutil.which(command, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        if path is None:
            raise Skip(f"{command} is not installed")
    return path


def tree_hash(root):
    h = hashlib.sha256()
    for p in sorted(pathlib.Path(root).rglob("*")):
        if p.is_file():
            h.update(str(p.relative_to(root)).encode() + b"\0" + p.read_bytes())
    return h.hexdigest()


# ---- malloc's own rules --------------------------------------------------------------------------

def cases_of_the_c_program():
    out, _ = run([CASES])
    planned = int(re.search(r"^1\.\.(\d+)", out, re.M).group(1))
    assert planned > 10 and len(re.findall(r"^ok ", out, re.M)) == planned, out


def without_the_library_the_c_program_fails():
    out, _ = run([CASES], preload=False, code=1)
    assert re.search(r"^not ok 1 - served_by_the_preloaded_library", out, re.M), out


def cpp_new_and_delete_are_served():
    if NEW == "-":
        raise Skip("no C++ compiler")
    with tempfile.TemporaryDirectory() as d:
        assert run([NEW], stats=f"{d}/stats")[0] == run([NEW], preload=False)[0]
        judge_stats(f"{d}/stats", "new-cases", 10000)


def an_arena_that_is_full_gives_enomem_and_heals():
    run([CASES, "exhaust"], env={"KCORE_MALLOC_ARENA": "32M"})


def a_thread_that_ends_gives_its_cpu_back():
    with tempfile.TemporaryDirectory() as d:
        run([CASES, "churn"], stats=f"{d}/stats")
        s, = read_stats(f"{d}/stats")
        assert s["cpus_given"] > 2000 and s["cpus_shared"] == 0, s
        assert s["cpus_own_peak"] <= 27 and s["misuse"] == 0, s


def what_the_environment_says_is_obeyed_or_refused():
    for name, value in (("ARENA", "lots"), ("ARENA", ""), ("ARENA", "4097"), ("ARENA", "12K"),
                        ("ARENA", "65T"), ("ARENA", "99999999999999999999"), ("ARENA", "1Gi"),
                        ("MISUSE", "maybe"), ("STATS", "/" + "x" * 5000)):
        _, err = run(["/bin/true"], code=127, env={f"KCORE_MALLOC_{name}": value})
        assert err.startswith(f"kcore-malloc: KCORE_MALLOC_{name} "), (name, value, err)
    with tempfile.TemporaryDirectory() as d:
        for text, size in (("1M", 1 << 20), ("65536K", 1 << 26), ("3G", 3 << 30), ("2T", 2 << 40),
                           ("1052672", 1052672)):
            path = f"{d}/{text}"
            run(["/bin/true"], stats=path, env={"KCORE_MALLOC_ARENA": text})
            assert read_stats(path)[0]["arena_bytes"] == size
    _, err = run(["/bin/true"], stats="-")
    assert json.loads(err)["schema"] == "kcore.malloc/1", err
    _, err = run(["/bin/true"], stats="/nonexistent/file")
    assert "KCORE_MALLOC_STATS" in err, err
    _, err = run(["/bin/true"], env={"KCORE_MALLOC_STATS": ""})
    assert err == "", err


def a_small_address_space_gets_a_small_arena():
    with tempfile.TemporaryDirectory() as d:
        run(["/bin/sh", "-c", f"ulimit -v 2000000; exec '{CASES}' double-free"], stats=f"{d}/stats")
        s = [x for x in read_stats(f"{d}/stats") if x["program"] == "malloc-cases"]
        assert (1 << 28) <= s[0]["arena_bytes"] < 2000000 * 1024, s


MISUSES = {"double-free": "double free", "interior": "interior", "foreign": "foreign",
           "realloc-freed": "double free", "big-twice": "foreign"}


def misuse_is_reported_and_refused():
    for what, word in MISUSES.items():
        out, err = run([CASES, what])
        assert out == "went on\n" and err.count("misuse:") == 1, (what, out, err)
        assert f"misuse: {word}: kc_" in err, (what, err)


def misuse_ends_the_process_where_that_is_wanted():
    for what in MISUSES:
        out, err = run([CASES, what], code=-signal.SIGABRT, env={"KCORE_MALLOC_MISUSE": "abort"})
        assert out == "" and "misuse:" in err and "kcore-malloc:" in err, (what, out, err)


def misuse_is_only_counted_where_that_is_wanted():
    with tempfile.TemporaryDirectory() as d:
        _, err = run([CASES, "double-free"], stats=f"{d}/s", env={"KCORE_MALLOC_MISUSE": "silent"})
        assert err == "" and read_stats(f"{d}/s")[0]["misuse"] == 1, err


def a_write_after_free_is_seen_at_hardening_full():
    with tempfile.TemporaryDirectory() as d:
        _, err = run([CASES, "write-after-free"], stats=f"{d}/stats")
        s, = read_stats(f"{d}/stats")
        full = s["hardening"] >= 2
        assert ("misuse: corrupt" in err) == full and s["misuse"] == (1 if full else 0), (s, err)


RULES = [cases_of_the_c_program, without_the_library_the_c_program_fails,
         cpp_new_and_delete_are_served, an_arena_that_is_full_gives_enomem_and_heals,
         a_thread_that_ends_gives_its_cpu_back, what_the_environment_says_is_obeyed_or_refused,
         a_small_address_space_gets_a_small_arena, misuse_is_reported_and_refused,
         misuse_ends_the_process_where_that_is_wanted, misuse_is_only_counted_where_that_is_wanted,
         a_write_after_free_is_seen_at_hardening_full]


# ---- real programs -------------------------------------------------------------------------------
# Each is run in a directory of its own, without and with the library, and returns what must be the
# same both times.

SQL = """
PRAGMA journal_mode=WAL;
CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value REAL, data BLOB);
CREATE TABLE u(t_id INTEGER REFERENCES t(id), word TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
  INSERT INTO t SELECT i, 'name ' || (i * 7919 % 20011), i * 0.25, zeroblob(i % 700) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
  INSERT INTO u SELECT i * 31 % 20000 + 1, hex(i * 2654435761 % 4294967296) FROM n;
COMMIT;
CREATE INDEX t_name ON t(name);
CREATE UNIQUE INDEX t_both ON t(value, id);
CREATE INDEX u_word ON u(word, t_id);
SELECT count(*), sum(value), sum(length(data)), min(name), max(name) FROM t;
SELECT t.id % 10 AS k, count(*), group_concat(substr(word, 1, 2)) FROM t JOIN u ON u.t_id = t.id
  WHERE name LIKE 'name 1%' GROUP BY k ORDER BY k;
UPDATE t SET name = replace(name, '1', 'one') WHERE id % 3 = 0;
DELETE FROM t WHERE id % 7 = 0;
SELECT name, sum(id) OVER (ORDER BY name ROWS 5 PRECEDING) FROM t ORDER BY name LIMIT 500;
SELECT json_group_array(json_object('id', id, 'n', name)) FROM (SELECT * FROM t LIMIT 2000);
SELECT length(zeroblob(20000000));
VACUUM;
PRAGMA integrity_check;
SELECT hex(zeroblob(3)), printf('%.100000c', 'x') = '', count(DISTINCT name) FROM t;
.dump u
"""


def sqlite3(preload, d, stats):
    out, err = run([need("sqlite3"), f"{d}/db"], preload, stats, stdin=SQL.encode())
    assert "\nok\n" in out and err == "", err
    return out


PYTHON = r"""
import bz2, collections, hashlib, json, os, random, re, subprocess, sys, threading, zlib
rng = random.Random(1)
h = hashlib.sha256()

def keep(x):
    h.update(repr(x).encode())

words = ["".join(chr(97 + rng.randrange(26)) for _ in range(rng.randrange(1, 12)))
         for _ in range(20000)]
table = collections.defaultdict(list)
for i, w in enumerate(words):
    table[w[:2]].append((i, w, {"n": i, "w": w}))
keep(sorted((k, len(v)) for k, v in table.items()))
text = json.dumps(table, indent=1)
keep(len(text)); keep(zlib.crc32(text.encode())); keep(json.loads(text) == json.loads(text))
keep(len(re.findall(r"\b[aeiou]\w+", " ".join(words))))
keep(bz2.decompress(bz2.compress(text.encode())) == text.encode())
grown = bytearray()
for i in range(3000):
    grown += bytes([i % 251]) * (i * 3)
keep(hashlib.sha256(grown).hexdigest())
keep(sum(pow(3, i, 10**9 + 7) for i in range(3000))); keep(2**20000 % 10**50)

results = {}
def work(n):
    r = random.Random(n)
    results[n] = sum(len(str(r.random())[:8] * r.randrange(200)) for _ in range(3000))
for batch in range(10):
    threads = [threading.Thread(target=work, args=(batch * 10 + k,)) for k in range(10)]
    for t in threads: t.start()
    for t in threads: t.join()
keep(sorted(results.items()))

stop = threading.Event()
def busy():
    while not stop.is_set():
        [bytes(k * 37) for k in range(200)]
threads = [threading.Thread(target=busy) for _ in range(3)]
for t in threads: t.start()
for i in range(10):  # a fork in the middle of threads
    pid = os.fork()
    if pid == 0:
        ok = len({str(k): bytearray(k) for k in range(3000)}) == 3000
        os._exit(0 if ok else 1)
    keep(os.waitpid(pid, 0)[1])
stop.set()
for t in threads: t.join()
keep(subprocess.run([sys.executable, "-c", "print(sum(range(1000)))"], capture_output=True).stdout)
print(h.hexdigest())
"""


def python3(preload, d, stats):
    results = set()
    for malloc in ("pymalloc", "malloc"):
        out, err = run([sys.executable, "-c", PYTHON], preload, stats, cwd=d,
                       env={"PYTHONMALLOC": malloc})
        assert re.fullmatch(r"[0-9a-f]{64}\n", out) and err == "", err
        results.add(out)
    assert len(results) == 1, results
    return results.pop()


def generated_c():
    lines = ["#include <stdint.h>", "#include <string.h>"]
    for i in range(1500):
        lines.append(f"""
struct s{i} {{ uint64_t a[{i % 9 + 1}]; char name[{i % 31 + 1}]; struct s{max(i - 1, 0)} *next; }};
static uint64_t f{i}(const struct s{i} *s, uint32_t n)
{{
    uint64_t sum = {i * 2654435761 % 2**32}u;
    for (uint32_t k = 0; k < n; k++) {{
        switch ((sum >> k % 32) & 7) {{
        case 0: sum += s->a[k % {i % 9 + 1}] * {2 * i + 1}u; break;
        case 1: sum ^= (uint64_t)strlen(s->name) << {i % 40}; break;
        case 2: sum = (sum << {i % 31 + 1}) | (sum >> {63 - i % 31}); break;
        default: sum -= k * {i + 3}u; break;
        }}
    }}
    return sum{f" + f{i - 1}((const void *)s->next, n / 2)" if i else ""};
}}""")
    lines.append("uint64_t all(const struct s1499 *s) { return f1499(s, 100); }")
    return "\n".join(lines)


def gcc(preload, d, stats):
    pathlib.Path(f"{d}/x.c").write_text(generated_c())
    run([need("gcc"), "-O2", "-g", "-c", "x.c", "-o", "x.o"], preload, stats, cwd=d)
    run([need("gcc"), "-O1", "-S", "-fverbose-asm", "x.c", "-o", "x.s"], preload, stats, cwd=d)
    text = re.sub(r"^#.*$", "", pathlib.Path(f"{d}/x.s").read_text(), flags=re.M)
    # Where the compiler ran is in its debug information.
    run([need("objcopy"), "--strip-debug", "x.o"], False, cwd=d)
    return hashlib.sha256(pathlib.Path(f"{d}/x.o").read_bytes()).hexdigest(), text


def git(preload, d, stats):
    env = {"HOME": d, "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@b",
           "GIT_COMMITTER_NAME": "C", "GIT_COMMITTER_EMAIL": "c@d", "GIT_PAGER": "cat"}
    repo = pathlib.Path(d, "repo")
    repo.mkdir()

    def g(*args, cwd=repo):
        return run([need("git"), *args], preload, stats, cwd=cwd, env=env)[0]

    g("init", "-q", "-b", "main")
    for commit in range(6):
        env["GIT_AUTHOR_DATE"] = env["GIT_COMMITTER_DATE"] = f"2020-01-0{commit + 1}T00:00:00Z"
        for i in range(150):
            p = repo / f"dir{i % 12}" / f"file{i}"
            p.parent.mkdir(exist_ok=True)
            p.write_text("".join(f"{i} {commit if k % 50 == i % 50 else 0} line {k}\n"
                                 for k in range(100 + i)))
        (repo / "large").write_bytes(hashlib.shake_128(bytes([commit])).digest(6 << 20))
        g("add", "-A")
        g("commit", "-q", "-m", f"commit {commit}")
    g("-c", "pack.threads=4", "gc", "-q")
    log = g("log", "--stat", "--format=%H %an %cd %s")
    log += g("diff", "HEAD~3", "HEAD") + g("blame", "dir1/file1") + g("fsck", "--full")
    g("clone", "-q", "--no-hardlinks", str(repo), str(repo) + "2", cwd=d)
    clone = pathlib.Path(d, "repo2")
    log += g("rev-parse", "HEAD", cwd=clone)
    shutil.rmtree(clone / ".git")
    return log, tree_hash(clone)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def server(args, preload, stats, d, port, stop):
    """A server that answers on its port; stopped by a signal, and must end with status 0."""
    with open(f"{d}/log", "wb") as log:
        p = subprocess.Popen(args, cwd=d, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                             env=environment(preload, stats))
        try:
            until = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=5).close()
                    break
                except OSError:
                    text = pathlib.Path(f"{d}/log").read_text(errors="replace")
                    assert p.poll() is None and time.monotonic() < until, text[-2000:]
                    time.sleep(0.05)
            yield p
            p.send_signal(stop)
            code = p.wait(timeout=60)
            text = pathlib.Path(f"{d}/log").read_text(errors="replace")
            assert code == 0 and "misuse" not in text, f"exit {code}: {text[-2000:]}"
        finally:
            if p.poll() is None:
                p.kill()
                p.wait()


def redis(preload, d, stats):
    port = free_port()
    results = []

    def cli(*args):
        out, _ = run([need("redis-cli"), "-h", "127.0.0.1", "-p", str(port), *args], False)
        return out

    with server([need("redis-server"), "--bind", "127.0.0.1", "--port", str(port), "--dir", d,
                 "--save", "", "--enable-debug-command", "local", "--io-threads", "3"],
                preload, stats, d, port, signal.SIGTERM):
        run([need("redis-benchmark"), "-h", "127.0.0.1", "-p", str(port), "-q", "-n", "5000",
             "-c", "20", "-P", "8", "-r", "2000", "-d", "300", "-t",
             "set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset"], False)
        cli("flushall")
        script = "\n".join(
            f"set k{i % 3000} {'v' * (i % 400)}\nappend a{i % 50} {i}\nrpush l{i % 40} {i * 17}\n"
            f"hset h{i % 60} f{i % 500} {i}\nzadd z{i % 30} {i * 7 % 1000} m{i % 700}\n"
            f"sadd s{i % 20} e{i % 999}\n" + (f"del k{i % 2777}\n" if i % 5 == 0 else "")
            for i in range(6000))
        out, _ = run([need("redis-cli"), "-h", "127.0.0.1", "-p", str(port)], False,
                     stdin=script.encode())
        results.append(hashlib.sha256(out.encode()).hexdigest())
        before = cli("debug", "digest")
        cli("bgrewriteaof")
        cli("save")
        cli("debug", "reload")
        results += [before, cli("debug", "digest"), cli("dbsize"), cli("lrange", "l3", "0", "-1"),
                    cli("eval", "local t = {} for i = 1, 50000 do t[i] = tostring(i) end "
                        "return #table.concat(t)", "0")]
        assert results[1] == results[2], "what was reloaded is not what was saved"
        assert "ERR" not in "".join(results), results
        text = cli("info", "memory")
        assert int(re.search(r"used_memory:(\d+)", text).group(1)) > 100000, text
    return results


def nginx(preload, d, stats):
    port = free_port()
    www = pathlib.Path(d, "www")
    www.mkdir()
    for i in range(40):
        (www / f"{i}.txt").write_text(f"file {i} of some text, again and again\n" * (i * i * 3 + 1))
    user = "user root;" if os.getuid() == 0 else ""
    pathlib.Path(d, "conf").write_text(f"""
{user} daemon off; pid {d}/pid; error_log {d}/error; worker_processes 2;
events {{ worker_connections 256; }}
http {{
  access_log {d}/access; gzip on; gzip_min_length 100; gzip_types text/plain; default_type text/plain;
  client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; fastcgi_temp_path {d}/t3;
  uwsgi_temp_path {d}/t4; scgi_temp_path {d}/t5;
  server {{
    listen 127.0.0.1:{port}; root {www};
    location /again/ {{ proxy_pass http://127.0.0.1:{port}/; }}
  }}
}}""")

    def fetch(client):
        got = []
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for k in range(60):
            i = (client * 7 + k) % 42  # two are not there
            path = f"/again/{i}.txt" if k % 3 == 0 else f"/{i}.txt"
            c.request("GET", path, headers={"Accept-Encoding": "gzip"} if k % 2 else {})
            r = c.getresponse()
            body = r.read()
            got.append((path, r.status, r.getheader("Content-Encoding"),
                        hashlib.sha256(body).hexdigest()))
        c.close()
        return got

    with server([need("nginx"), "-c", f"{d}/conf", "-e", f"{d}/error"], preload, stats, d, port,
                signal.SIGQUIT) as p:
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            results = list(pool.map(fetch, range(24)))
        p.send_signal(signal.SIGHUP)  # new workers
        time.sleep(0.5)
        results.append(fetch(99))
    assert sum(r[1] == 200 for rs in results for r in rs) > 1000
    return results


PROGRAMS = {  # name: how to run it, its name in the statistics, what it allocates at least
    "sqlite3": (sqlite3, "sqlite3", 5000),
    "python3": (python3, "python", 100000),
    "redis": (redis, "redis-server", 20000),
    "gcc": (gcc, "cc1", 50000),
    "git": (git, "git", 5000),
    "nginx": (nginx, "nginx", 200),
}


def program_case(name):
    def case():
        how, shown, least = PROGRAMS[name]
        results = []
        for preload in (False, True):
            with tempfile.TemporaryDirectory(prefix="kcore-preload-") as d:
                work = pathlib.Path(d, "work")
                work.mkdir()
                begin = time.monotonic()
                results.append(how(preload, str(work), f"{d}/stats" if preload else None))
                took = time.monotonic() - begin
                print(f"#   {name} {'with' if preload else 'without'} the library: {took:.1f} s")
                if preload:
                    judge_stats(f"{d}/stats", shown, least)
                else:
                    assert not os.path.exists(f"{d}/stats")
        assert results[0] == results[1], f"{name}: results differ"
    case.__name__ = f"{name}_gives_the_same_results"
    return case


def main():
    names = sys.argv[4:]
    names = list(PROGRAMS) if names == ["all"] else names
    cases = [program_case(n) for n in names] if names else RULES
    print(f"1..{len(cases)}", flush=True)
    bad = 0
    for number, case in enumerate(cases, 1):
        try:
            case()
            print(f"ok {number} - {case.__name__}", flush=True)
        except Skip as why:
            print(f"ok {number} - {case.__name__} # skip {why}", flush=True)
        except Exception:  # whatever it is, it is this case's failure
            print("\n".join("# " + line for line in traceback.format_exc().splitlines()))
            print(f"not ok {number} - {case.__name__}", flush=True)
            bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main())
