#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Benchmarks: build them, run them in interleaved rounds, print one table.
#
# usage: bench/run.sh [NAME] [--json] [--seed N] [--rounds N] [--quick] [--write] [--plot DIR]
#
# ./dev bench calls it. NAME is alloc or one part of it (pool cache heap threads single memory preload
# footprint: bench/alloc/report.py), or one of tables region user sync; all of them without. --write puts the
# tables into docs/performance.md.
set -u
cd "$(dirname "$0")/.." || exit 4
log=build-bodies/bench.log
mkdir -p build-bodies

# As a user gets it: release, -O2, assertions on; at each level.
build_one() {
    build=build-bodies/bench-$1
    if [ ! -f "$build/build.ninja" ]; then
        meson setup --buildtype=release -Doptimization=2 -Dbench=enabled \
            -Dtests=disabled "-Dhardening=$1" "$build" || return 1
    fi
    ninja -C "$build" bench/kc-bench bench/kc-probe bench/kc-probe-dpdk bench/single-trace || return 1
    # For whole programs, and for recordings: where the simulator is.
    for target in sim/libkcore-malloc.so sim/ksim; do
        if ninja -C "$build" -t query "$target"; then
            ninja -C "$build" "$target" || return 1
        fi
    done
}

name=
case ${1-} in -* | '') ;; *)
    name=$1
    shift
    ;;
esac
others=1 alloc=1 part=
case $name in
'') ;;
alloc) others=0 ;;
tables | region | user | sync) alloc=0 ;;
*) others=0 part=$name ;;
esac

levels=checked
[ $alloc -eq 0 ] || levels='off checked'
for level in $levels; do
    build_one "$level" >"$log" 2>&1 || {
        tail -n 40 "$log" >&2
        echo "bench: did not build" >&2
        exit 4
    }
done
# Room for the thread-local variables of allocators that are opened at run time.
export GLIBC_TUNABLES=glibc.rtld.optional_static_tls=65536
if [ $alloc -eq 1 ]; then
    python3 bench/alloc/report.py build-bodies/bench-off build-bodies/bench-checked \
        ${part:+"$part"} "$@" || exit
fi
[ $others -eq 1 ] || [ $alloc -eq 0 ] || exit 0
[ $alloc -eq 1 ] || part=$name
exec python3 bench/report.py build-bodies/bench-checked/bench/kc-bench ${part:+"$part"} "$@"
