#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Everything builds without a warning under -Wall -Wextra -Wconversion -Wshadow (and what meson.build
# adds), with gcc and with clang.
#
# usage: check_warnings.sh [ROOT]
set -u
root=$(cd "${1:-$(dirname "$0")/..}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
for compiler in ${CHECK_COMPILERS:-gcc clang}; do
    CC=$compiler meson setup -Dwerror=true "$work/$compiler" "$root" >"$work/log" 2>&1 &&
        ninja -k 0 -C "$work/$compiler" >"$work/log" 2>&1 || {
        echo "check_warnings: $compiler:"
        grep -E 'error|ERROR|warning' "$work/log" | head -n 40
        bad=1
    }
done
exit "$bad"
