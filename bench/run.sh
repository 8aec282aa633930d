#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Benchmarks: build them, run them in interleaved rounds, print one table.
#
# usage: bench/run.sh [NAME] [--json] [--seed N] [--rounds N] [--write]     ./dev bench calls it
#
# NAME is a group: pool cache heap tables region user sync; all of them without. --write puts the
# table into docs/performance.md.
set -u
cd "$(dirname "$0")/.." || exit 4
build=build-bodies/bench
log=build-bodies/bench.log
mkdir -p build-bodies
{
    if [ ! -f "$build/build.ninja" ]; then
        # The core alone, as a user gets it: release, -O2, checks on.
        meson setup --buildtype=release -Doptimization=2 -Dbench=enabled -Dsim=disabled \
            -Dtests=disabled "$build"
    fi && ninja -C "$build" bench/kc-bench
} >"$log" 2>&1 || {
    tail -n 40 "$log" >&2
    echo "bench: did not build" >&2
    exit 4
}
# Room for the thread-local variables of allocators that are opened at run time.
export GLIBC_TUNABLES=glibc.rtld.optional_static_tls=65536
exec python3 bench/report.py "$build/bench/kc-bench" "$@"
