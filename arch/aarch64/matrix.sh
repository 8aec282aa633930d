#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Boot the images on every machine that they promise to run on; TAP on standard output.
#
#   matrix.sh IMAGES        IMAGES: the directory of a cross build that holds kcore-*.img
#   KC_QUICK=1              CPU counts 1 and 4 only
#
# Exit: 0 if nothing failed, else 1.
set -u
here=$(cd "$(dirname "$0")" && pwd)
images=${1:?usage: matrix.sh IMAGES}
log=$(mktemp) || exit 4
trap 'rm -f "$log"' EXIT
number=0 failed=0

# one NAME WANTED-EXIT WANTED-TEXT RUN-QEMU-ARGUMENTS...
one() {
    name=$1 want=$2 text=$3
    shift 3
    number=$((number + 1))
    "$here/run-qemu.sh" "$@" >"$log" 2>&1
    got=$?
    if [ $got -eq "$want" ] && grep -q -- "$text" "$log"; then
        echo "ok $number - $name"
    else
        failed=$((failed + 1))
        echo "not ok $number - $name"
        echo "# exit $got, wanted $want and \"$text\""
        tail -n 40 "$log" | sed 's/^/#    /'
    fi
}

counts='1 4 8'
[ -z "${KC_QUICK-}" ] || counts='1 4'
models='cortex-a53 cortex-a72 neoverse-n1 max'

# The body alone.
for cpu in $models; do
    for el in 1 2; do
        for n in $counts; do
            one "probe $cpu EL$el $n CPUs" 0 'probe: .* passed, 0 failed' \
                -c "$cpu" -e $el -s "$n" "$images/kcore-probe.img"
        done
    done
done
for el in 1 2; do
    one "probe cortex-a72 EL$el 4 CPUs GICv2" 0 'probe: .* passed, 0 failed' \
        -g 2 -e $el -c cortex-a72 -s 4 "$images/kcore-probe.img"
done

# Dying on purpose: a decoded dump and a bad exit code.
dies() {
    one "probe $1: $3" "$2" "$3" -c max -a "$1" "$images/kcore-probe.img"
}
dies fault=read 101 'data abort.*translation fault, level 1, read'
dies fault=write 101 'data abort.*translation fault, level 1, write'
dies fault=write 101 'FAR  0x0000004b00000000'
dies fault=undefined 101 'undefined'
dies fault=fp 101 'ESR  0x000000001fe00000'
dies fault=stack 101 'sp  0x0000004b00000000'
dies panic 102 'panic on CPU 0: panic: as asked for'

# The unit tests.
for cpu in $models; do
    for el in 1 2; do
        one "unit tests $cpu EL$el" 0 'body image: [1-9][0-9]* passed, 0 failed' \
            -c "$cpu" -e $el -t 300 "$images/kcore-tests.img"
    done
done

echo "1..$number"
[ $failed -eq 0 ]
