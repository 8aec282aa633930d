#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# All checkers, and whether each still finds what it is for.
#
# usage: tools/check.sh [CHECKER...]
set -u
cd "$(dirname "$0")" || exit 4
bad=0
[ $# -gt 0 ] || set -- format layers headers symbols sparse warnings tidy selftest
for name in "$@"; do
    for file in "check_$name.py" "check_$name.sh"; do
        [ -x "$file" ] || continue
        log=$(mktemp)
        start=$(date +%s)
        if "./$file" >"$log" 2>&1; then
            echo "check $name: clean ($(($(date +%s) - start)) s)"
        else
            echo "check $name: FAILED"
            head -n 200 "$log" | sed 's/^/    /'
            bad=1
        fi
        rm -f "$log"
        continue 2
    done
    echo "check $name: there is no such checker" >&2
    exit 2
done
exit "$bad"
