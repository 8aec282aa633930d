#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# clang-tidy over core, kernel and simulator, with the checks and exceptions of .clang-tidy.
#
# usage: check_tidy.sh [ROOT [FILE...]]
set -u
root=$(cd "${1:-$(dirname "$0")/..}" && pwd)
[ $# -gt 0 ] && shift
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A compile database by clang, so that clang-tidy understands every flag.
CC=clang meson setup -Dtests=disabled "$work/build" "$root" >"$work/log" 2>&1 || {
    cat "$work/log"
    exit 4
}
if [ $# -eq 0 ]; then
    set -- $(cd "$root" && find libkcore sim -name '*.c' | sort)
fi
# Only what the database compiles: what is left out of the build has no flags.
for f in "$@"; do
    grep -q "/$f\"" "$work/build/compile_commands.json" && printf '%s\n' "$root/$f"
done >"$work/files"
[ -s "$work/files" ] || {
    echo 'check_tidy: nothing to check'
    exit 4
}
cd "$root" || exit 4
xargs -n 1 -P "$cores" sh -c \
    'out=$(clang-tidy --quiet -p "$0" "$1" 2>/dev/null) || { printf "%s\n" "$out"; exit 1; }' \
    "$work/build" <"$work/files"
status=$?
[ "$status" -eq 0 ]
