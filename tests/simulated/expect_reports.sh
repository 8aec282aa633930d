#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What only the monitors see must fail its case and the run, and no other case.
# usage: expect_reports.sh RUNNER
out=$("$1" --tap 2>/dev/null)
status=$?
n=0 bad=0
check() {
    n=$((n + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1: $2, expected $3"
        bad=1
    fi
}
check 'exit status' "$status" 1
check 'cases that passed' "$(printf '%s\n' "$out" | grep -c '^ok .*reports\.good_')" 2
check 'cases that failed' "$(printf '%s\n' "$out" | grep -c '^not ok')" 1
check 'the one that failed' "$(printf '%s\n' "$out" | sed -n 's/^not ok [0-9]* - //p')" \
    reports.bad_remap_live
echo "1..$n"
exit $bad
