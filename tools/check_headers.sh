#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Each public header compiles alone, and twice in a row, in C17 and in C++17, freestanding, without a
# warning.
#
# usage: check_headers.sh [ROOT]     CHECK_COMPILERS="..." replaces the list of compilers
set -u
root=$(cd "${1:-$(dirname "$0")/..}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

for header in $(cd "$root/libkcore/include" && find kc -name '*.h' | sort) \
    $(cd "$root/sim/host/include" && find . -name '*.h' ! -name kc_body.h | sed 's|^\./||' | sort); do
    printf '#include <%s>\n#include <%s>\n' "$header" "$header" >"$work/one.c"
    cp "$work/one.c" "$work/one.cpp"
    # -Wno-shadow in C++: a function named like its struct (as stat() is) "hides a constructor".
    for compiler in ${CHECK_COMPILERS:-gcc clang g++ clang++}; do
        case $compiler in
        *++) set -- -std=c++17 -Wno-shadow "$work/one.cpp" ;;
        *) set -- -std=c17 -Wstrict-prototypes "$work/one.c" ;;
        esac
        "$compiler" -fsyntax-only -ffreestanding -Wall -Wextra -Wconversion -Wshadow -Wundef -Werror \
            -I "$root/libkcore/include" -I "$root/sim/host/include" "$@" 2>"$work/log" || {
            echo "check_headers: $compiler: $header does not compile alone"
            head -n 8 "$work/log"
            bad=1
        }
    done
done
exit "$bad"
