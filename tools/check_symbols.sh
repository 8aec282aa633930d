#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The core by itself, against a body with nothing inline: what it leaves undefined is the seam
# (kc_plat_*), the four memory functions that a compiler may emit, and on 32-bit arm the division
# helpers; it has no writable data; everything that it defines begins with kc_.
#
# usage: check_symbols.sh [ROOT]     CHECK_COMPILERS="..." replaces the list of compilers
set -u
root=$(cd "${1:-$(dirname "$0")/..}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

check_with() { # COMPILER [FLAGS]
    compiler=$1
    prefix=
    case $compiler in *-gcc) prefix=${compiler%gcc} ;; esac
    rm -f "$work"/*.o
    # kernel/ is for 64-bit machines; the core is not.
    sources="$root/libkcore/src/*/*.c $root/libkcore/kernel/*.c"
    case $compiler in arm-*) sources="$root/libkcore/src/*/*.c" ;; esac
    allowed='kc_plat_[a-z0-9_]+|memcpy|memset|memmove|memcmp'
    case $compiler in arm-*)
        allowed="$allowed|__aeabi_(u?idiv(mod)?|u?ldivmod|lmul|ll[sa]l|l[la]sr)" ;;
    esac
    for src in $sources; do
        object=$work/$(echo "${src#"$root"/libkcore/}" | tr / _).o
        "$@" -std=gnu17 -O2 -ffreestanding -fno-common -fno-stack-protector -fno-pic \
            -I "$root/libkcore/include" -I "$root/libkcore/kernel" -I "$root/tools/neutral_body" \
            -c "$src" -o "$object" || bad=1
    done
    "${prefix}ld" -r -o "$work/all.elf" "$work"/*.o || bad=1
    undefined=$("${prefix}nm" -u "$work/all.elf" | awk '{print $2}' | grep -vxE "$allowed")
    if [ -n "$undefined" ]; then
        echo "check_symbols: $compiler: undefined in the core:" $undefined
        bad=1
    fi
    # The core alone (kernel/ has the same rule: its state is in what the body places).
    writable=$("${prefix}nm" "$work/all.elf" | awk '$2 ~ /^[dDbBCsSgG]$/ {print $3}')
    if [ -n "$writable" ]; then
        echo "check_symbols: $compiler: writable file-scope data:" $writable
        bad=1
    fi
    foreign=$("${prefix}nm" -g --defined-only "$work/all.elf" | awk '{print $3}' |
        grep -vE '^(kc|kct)_')
    if [ -n "$foreign" ]; then
        echo "check_symbols: $compiler: name without kc_:" $foreign
        bad=1
    fi
}

if [ -n "${CHECK_COMPILERS:-}" ]; then
    for c in $CHECK_COMPILERS; do check_with "$c"; done
else
    check_with gcc
    check_with clang
    check_with aarch64-linux-gnu-gcc -mno-outline-atomics -mgeneral-regs-only
    check_with arm-linux-gnueabihf-gcc
fi
exit "$bad"
