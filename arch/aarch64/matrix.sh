#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Boot the images in every machine that they promise to run on, and count.
#
#   matrix.sh [BUILD]        BUILD: a cross build, default build-image
#   KC_QUICK=1               CPU counts 1 and 4 only
#
# Prints a line for each failure with its console output, and last `image: N passed, N failed`.
# Exit: 0 if nothing failed, else 1.
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=${1:-build-image}
images=$build/arch/aarch64
log=$(mktemp) || exit 4
trap 'rm -f "$log"' EXIT
passed=0 failed=0

# one NAME WANTED-EXIT WANTED-TEXT RUN-QEMU-ARGUMENTS...
one() {
    name=$1 want=$2 text=$3
    shift 3
    "$here/run-qemu.sh" "$@" >"$log" 2>&1
    got=$?
    if [ $got -eq "$want" ] && grep -q -- "$text" "$log"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $name: exit $got, wanted $want and \"$text\""
        tail -n 40 "$log" | sed 's/^/    /'
    fi
}

counts='1 4 8'
[ -z "${KC_QUICK-}" ] || counts='1 4'
models='cortex-a53 cortex-a72 neoverse-n1 max'

# The body alone: every machine.
for cpu in $models; do
    for el in 1 2; do
        for n in $counts; do
            one "probe $cpu EL$el $n CPUs" 0 'probe: .* passed, 0 failed' \
                -c "$cpu" -e $el -s $n "$images/kcore-probe.img"
        done
    done
done
one 'probe GIC version 2' 0 'probe: .* passed, 0 failed' -g 2 -c cortex-a72 -s 4 \
    "$images/kcore-probe.img"
one 'probe GIC version 2, EL2' 0 'probe: .* passed, 0 failed' -g 2 -e 2 -c cortex-a72 -s 4 \
    "$images/kcore-probe.img"

# Dying on purpose: a decoded dump and a bad exit code.
dies() {
    one "probe $1" "$2" "$3" -c max -a "$1" "$images/kcore-probe.img"
}
dies fault=read 101 'data abort from EL1: translation fault, level 1, read'
dies fault=write 101 'data abort from EL1: translation fault, level 1, write'
dies fault=write 101 'FAR  0x0000004b00000000'
dies fault=undefined 101 'unknown reason (undefined instruction)'
dies fault=fp 101 'access to FP, SIMD or SVE registers'
dies fault=stack 101 'sp  0x0000004b00000000'
dies panic 102 'panic on CPU 0: panic: as asked for'

echo "image: $passed passed, $failed failed"
[ $failed -eq 0 ]
