#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Boot kcore-single.img where QEMU counts instructions exactly, and hold its figures to the ceilings.
#
#   check-single.sh IMAGE BENCH     BENCH: the directory of ceilings.txt
set -u
here=$(cd "$(dirname "$0")" && pwd)
image=${1:?usage: check-single.sh IMAGE BENCH}
bench=${2:?usage: check-single.sh IMAGE BENCH}
out=$(mktemp) || exit 4
trap 'rm -f "$out"' EXIT
"$here/run-qemu.sh" -c max -s 2 -t 500 "$image" -- -icount shift=0,sleep=off >"$out" 2>&1
status=$?
sed 's/^/# /' "$out"
if [ $status -ne 0 ] || ! grep -q '^single: done' "$out"; then
    echo "Bail out! the image ended with $status"
    exit 1
fi
exec python3 "$bench/check_ceilings.py" --image "$out" "$bench/ceilings.txt"
