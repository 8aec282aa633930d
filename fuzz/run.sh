#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Fuzz: usage: fuzz/run.sh [TARGET|all] [SECONDS]
#
# Builds the libFuzzer programs in build-fuzz/ and runs one of them, or each in turn, for that long.
# New inputs go to build-fuzz/corpus/TARGET, findings to build-fuzz/findings/; the corpus in fuzz/
# is only read.
set -u
cd "$(dirname "$0")/.." || exit 4
target=${1:-all}
seconds=${2:-30}
build=build-fuzz

if [ ! -f $build/build.ninja ]; then
    CC=clang meson setup $build -Dfuzz=true -Dtest_runner=own -Db_lundef=false >/dev/null || exit 4
fi
ninja -C $build >/dev/null || {
    ninja -C $build
    exit 4
}

if [ "$target" = all ] || [ -z "$target" ]; then
    targets=$(cd $build/fuzz && for f in fuzz-*; do [ -f "$f" ] && echo "${f#fuzz-}"; done)
else
    targets=$target
fi

failed=0
for t in $targets; do
    program=$build/fuzz/fuzz-$t
    if [ ! -x "$program" ]; then
        echo "fuzz: no such target: $t" >&2
        exit 2
    fi
    mkdir -p "$build/corpus/$t" $build/findings
    set -- "$build/corpus/$t"
    [ -d "fuzz/corpus/$t" ] && set -- "$@" "fuzz/corpus/$t"
    echo "fuzz $t, $seconds seconds"
    if ! "$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
        -artifact_prefix="$build/findings/$t-" -print_final_stats=1 "$@" >"$build/$t.log" 2>&1; then
        echo "fuzz $t: FAILED; log $build/$t.log, input in $build/findings/" >&2
        tail -n 30 "$build/$t.log" >&2
        failed=1
    else
        grep -E 'stat::number_of_executed_units|cov:' "$build/$t.log" | tail -n 2
    fi
done
exit $failed
