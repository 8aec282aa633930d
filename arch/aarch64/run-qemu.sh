#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Boot one image in QEMU's virt machine; its console is our output, its exit code is ours.
#
#   run-qemu.sh [-c CPU] [-s CPUS] [-e 1|2] [-g 2|3] [-m MIB] [-t SECONDS] [-i INITRD] [-a BOOTARGS]
#               [-p] IMAGE [-- QEMU OPTIONS]
#
# The guest's CPUs take turns on one thread of the host, which is quick where they wait for each other
# and the host is busy; -p runs them in parallel.
# KC_TEST_SEED, if set, is handed on as the boot argument seed=.
#
# Exit: the image's code; 124 if it took longer than SECONDS (default 60); 2 for wrong usage.
set -u
cpu=max cpus=1 el=1 gic=3 mib=256 limit=60 initrd='' bootargs='' thread=single
usage() {
    sed -n '3,13s/^# \{0,1\}//p' "$0" >&2
    exit 2
}
while getopts c:s:e:g:m:t:i:a:p opt; do
    case $opt in
    c) cpu=$OPTARG ;;
    s) cpus=$OPTARG ;;
    e) el=$OPTARG ;;
    g) gic=$OPTARG ;;
    m) mib=$OPTARG ;;
    t) limit=$OPTARG ;;
    i) initrd=$OPTARG ;;
    a) bootargs=$OPTARG ;;
    p) thread=multi ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -ge 1 ] || usage
image=$1
shift
[ "${1-}" != -- ] || shift
[ -r "$image" ] || {
    echo "run-qemu.sh: $image: no such image" >&2
    exit 2
}
case $el in
1) machine=virt,gic-version=$gic ;;
2) machine=virt,gic-version=$gic,virtualization=on ;;
*) usage ;;
esac
[ -z "${KC_TEST_SEED-}" ] || bootargs="$bootargs seed=$KC_TEST_SEED"
[ -z "$initrd" ] || set -- -initrd "$initrd" "$@"
[ -z "$bootargs" ] || set -- -append "$bootargs" "$@"
# -nic none: the network card's boot ROM is not in every package, and nobody needs it.
exec timeout "$limit" qemu-system-aarch64 -M "$machine" -accel "tcg,thread=$thread" -cpu "$cpu" -smp "$cpus" -m "$mib" \
    -nic none -display none -monitor none -serial stdio -no-reboot \
    -semihosting-config enable=on,target=native -kernel "$image" "$@" </dev/null
