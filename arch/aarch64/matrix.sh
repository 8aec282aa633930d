#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Boot the images on every machine that they promise to run on; TAP on standard output.
#
#   matrix.sh IMAGES TRACE [K/N]  IMAGES: the directory of a cross build that holds kcore-*.img
#                                 TRACE: a .kct file
#                                 K/N: every N-th case from the K-th on
#   KC_QUICK=1                    CPU counts 1 and 4 only
#
# Exit: 0 if nothing failed, else 1.
set -u
here=$(cd "$(dirname "$0")" && pwd)
images=${1:?usage: matrix.sh IMAGES TRACE [K/N]}
trace=${2:?usage: matrix.sh IMAGES TRACE [K/N]}
share=${3:-1/1}
log=$(mktemp) || exit 4
trap 'rm -f "$log"' EXIT
seen=0 number=0 failed=0

# one NAME WANTED-EXIT WANTED-TEXT RUN-QEMU-ARGUMENTS...
one() {
    name=$1 want=$2 text=$3
    shift 3
    seen=$((seen + 1))
    [ $(((seen - ${share%/*}) % ${share#*/})) -eq 0 ] || return 0
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
dies fault=read 101 'data abort from EL1: translation, level 1, read'
dies fault=write 101 'data abort from EL1: translation, level 1, write'
dies fault=write 101 'FAR  0x0000004b00000000'
dies fault=undefined 101 'unknown reason'
dies fault=fp 101 'ESR  0x000000001fe00000  trapped FP or SIMD'
dies fault=stack 101 'sp  0x0000004b00000000'
dies panic 102 'panic on CPU 0: panic: as asked for'

# The same of the kernel, explained level by level.
explains() {
    one "kernel $1 $2: $3" 101 "$3" -c "$2" -s 2 -a "$1" "$images/kcore-kernel.img"
}
for cpu in cortex-a53 max; do
    explains die=guard "$cpu" '  because bit 0 of the descriptor is 0: nothing is mapped at level 3'
    explains die=guard "$cpu" '  space kernel: in the guard below area 0xffff8.* + 0x2000 (frames of its own)'
    explains die=guard "$cpu" '  EL1 r-x  EL0 ---  Normal WB  inner  global  L2 x 1$'
    explains die=text "$cpu" '  because AP\[2\] is 1: read-only'
    explains die=text "$cpu" '  linear map: text, at 0x'
    explains die=data "$cpu" '  because PXN is 1: EL1 may not execute it'
    explains die=null "$cpu" 'read at 0x0000000000000010 by EL1: translation, level 0'
done
explains die=user max '  because PSTATE.PAN is 1: EL1 may not access what EL0 may'
explains die=user max '  space victim: in area 0x'

one 'probe max 4 CPUs in parallel' 0 'probe: .* passed, 0 failed' -p -s 4 "$images/kcore-probe.img"

# The unit tests.
for cpu in $models; do
    for el in 1 2; do
        one "unit tests $cpu EL$el" 0 'body image: [1-9][0-9]* passed, 0 failed' \
            -c "$cpu" -e $el -t 300 "$images/kcore-tests.img"
    done
done

# The kernel: mapping rounds on every machine.
for cpu in $models; do
    for el in 1 2; do
        for n in $counts; do
            one "kernel run $cpu EL$el $n CPUs" 0 'findings 0, leaked frames 0' \
                -c "$cpu" -e $el -s "$n" -a run "$images/kcore-kernel.img"
        done
    done
done

# Services at EL0, one of each kind on each CPU, 13 in all: each ends as its kind has to, and all of
# what they held is cleaned.
for cpu in $models; do
    for el in 1 2; do
        for n in $counts; do
            one "services $cpu EL$el $n CPUs" 0 \
                "^services: started $((26 * n)), exit $((2 * n)), unmapped $((6 * n)), denied $((4 * n)), guard $((4 * n)), kernel_address $((4 * n)), instruction $((4 * n)), time $((2 * n)), no_memory 0, other 0, .* interrupts [0-9].* cleaned $((234 * n)), unexpected 0; findings 0, leaked frames 0" \
                -c "$cpu" -e $el -s "$n" -a 'run rounds=0 services=2' "$images/kcore-kernel.img"
        done
    done
done
one 'services say what they did' 0 \
    'service: cpu0: write to text: killed (denied): write at 0x0000000000[0-9a-f]*, permission fault, level 3' \
    -a 'run rounds=0' "$images/kcore-kernel.img"
# The machine's clock is the host's: how many interrupts meet a service is chance, but not here.
one 'services are interrupted' 0 'interrupts [1-9].* findings 0, leaked frames 0' \
    -s 4 -t 300 -a 'run rounds=0 services=8' "$images/kcore-kernel.img"
one 'services 4 CPUs in parallel' 0 'unexpected 0; findings 0, leaked frames 0' \
    -p -s 4 -t 300 -a 'run rounds=0 services=4' "$images/kcore-kernel.img"
one 'kernel run GICv2 4 CPUs' 0 'findings 0, leaked frames 0' \
    -g 2 -c cortex-a72 -s 4 -a run "$images/kcore-kernel.img"

one 'kernel run 2 CPUs in parallel' 0 'findings 0, leaked frames 0' \
    -p -s 2 -t 300 -a 'run rounds=6' "$images/kcore-kernel.img"

# The core's walk beside the machine's AT instructions, with another seed each.
for cpu in $models; do
    for el in 1 2; do
        one "AT $cpu EL$el" 0 ' comparisons, 0 disagreements$' \
            -c "$cpu" -e $el -a at "$images/kcore-kernel.img"
    done
done

# A recorded kernel's allocations, from an initrd.
for cpu in $models; do
    one "replay $cpu" 0 '^{"schema":"kcore.replay/1".*"failures":0.*"leaks":0,"violations":0' \
        -c "$cpu" -s 2 -m 512 -i "$trace" -a 'replay json' "$images/kcore-kernel.img"
done
one 'run with a trace' 0 '^{"schema":"kcore.replay/1"' \
    -s 4 -m 512 -i "$trace" -a 'run rounds=4' "$images/kcore-kernel.img"

# Device trees that are refused. QEMU's own, with a word changed to one of the same length.
tree=$(mktemp)
changed=$(mktemp)
qemu-system-aarch64 -M "virt,gic-version=3,dumpdtb=$tree" -cpu max -smp 2 -nic none -display none \
    >/dev/null 2>&1
# It is padded to 1 MiB, which QEMU doubles when it loads it: more than the boot protocol allows. Cut the
# padding, and say so in the header.
word() { od -A n -t u1 -j "$1" -N 4 "$tree" | awk '{ print (($1 * 256 + $2) * 256 + $3) * 256 + $4 }'; }
size=$(($(word 12) + $(word 32)))
head -c $size "$tree" >"$changed" && mv "$changed" "$tree"
printf "$(printf '\\%03o' $((size >> 24)) $((size >> 16 & 255)) $((size >> 8 & 255)) $((size & 255)))" |
    dd of="$tree" bs=1 seek=4 conv=notrunc 2>/dev/null
refused() {
    LC_ALL=C sed "$1" "$tree" >"$changed"
    one "device tree refused: $2" 103 "refused to boot: $2" -s 2 "$images/kcore-kernel.img" \
        -- -dtb "$changed"
}
refused 's/arm,gic-v3/arm,gic-v9/' 'an interrupt controller'
refused 's/arm,armv8-timer/arm,armv8-tamer/' 'a timer arm,armv8-timer'
rm -f "$tree" "$changed"
one 'boot arguments that are too long' 103 'bootargs of at most 511 characters, in chosen' \
    -a "$(printf '%0600d' 0)" "$images/kcore-kernel.img"

# Bad input: a clear word and the exit code of the design.
one 'replay without a trace' 2 'replay wants a .kct trace as initrd' -a replay "$images/kcore-kernel.img"
one 'a trace that is none' 3 'initrd: byte 0: expected' -i "$here/matrix.sh" -a replay \
    "$images/kcore-kernel.img"
cut=$(mktemp) && head -c 100000 "$trace" >"$cut"
one 'a trace that is cut' 3 'initrd: byte [0-9]*: expected' -i "$cut" -a replay \
    "$images/kcore-kernel.img"
rm -f "$cut"
one 'services that are no number' 2 'services= wants a number' -a 'run services=x' \
    "$images/kcore-kernel.img"
one 'rounds that are no number' 2 'rounds= wants a number' -a 'run rounds=x' \
    "$images/kcore-kernel.img"

echo "1..$number"
[ $failed -eq 0 ]
