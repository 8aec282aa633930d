#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# sparse over the core and the kernel.
#
# usage: check_sparse.sh [ROOT]
set -u
root=$(cd "${1:-$(dirname "$0")/..}" && pwd)
bad=0
for src in "$root"/libkcore/src/*/*.c "$root"/libkcore/kernel/*.c; do
    [ -e "$src" ] || continue
    # -Wno-universal-initializer: {0} is C's own way to zero a struct.
    # -Wno-override-init: sparse takes a static local of an inline function for two; gcc checks it.
    # -Wno-constant-suffix: C gives a constant a type that holds it.
    said=$(sparse -std=gnu17 -ffreestanding -Wsparse-all -Wno-declaration-after-statement \
        -Wno-universal-initializer -Wno-constant-suffix -Wno-override-init -Wno-vla -Wno-tautological-compare \
        -I "$root/libkcore/include" -I "$root/libkcore/kernel" -I "$root/tools/neutral_body" \
        "$src" 2>&1 >/dev/null)
    if [ -n "$said" ]; then
        echo "$said"
        bad=1
    fi
done
exit "$bad"
