#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The harness must fail what is to fail: run known cases and compare names with verdicts.
#
# usage: expect_failures.sh EXE-KNOWN EXE-CRASH [EXE-EMPTY]    (the last: own runner only)
set -u
known=$1 crash=$2 empty=${3:-}
bad=0
complain() {
    echo "expect_failures: $*" >&2
    bad=1
}

out=$("$known" --tap 2>&1)
status=$?
[ "$status" -eq 1 ] || complain "known failures: exit status $status, expected 1"
oks=$(printf '%s\n' "$out" | sed -n 's/^ok [0-9]* *-* *\([A-Za-z_:.]*\).*/\1/p')
fails=$(printf '%s\n' "$out" | sed -n 's/^not ok [0-9]* *-* *\([A-Za-z_:.]*\).*/\1/p')
for name in $oks; do
    case $name in *bad_*) complain "$name passed" ;; esac
done
for name in $fails; do
    case $name in *good_*) complain "$name failed" ;; esac
done
want=$(grep -c '^Test(known, bad_' "$(dirname "$0")/known_failures.c")
have=$(printf '%s\n' "$fails" | grep -c bad_)
[ "$want" -eq "$have" ] || complain "$have cases failed, expected $want"
[ "$(printf '%s\n' "$oks" | grep -c good_)" -eq 1 ] || complain "the good case did not pass"
printf '%s\n' "$out" | grep -q -e 'went on: 1' -e 'assertions: 2' || complain "cr_expect left its test"
printf '%s\n' "$out" | grep -q 'ran in spite' && complain "a case ran after its init failed"

out=$( ("$crash" --tap; exit $?) 2>&1)
status=$?
[ "$status" -ne 0 ] || complain "crash: exit status 0"
printf '%s\n' "$out" | grep -q 'crash.*bad_signal' || complain "crash: the case is not named"

if [ -n "$empty" ]; then
    "$empty" >/dev/null 2>&1 && complain "a run without a case succeeded"
    "$known" --no-such-option >/dev/null 2>&1
    [ $? -eq 2 ] || complain "unknown option: not exit status 2"
    "$known" known.good >/dev/null 2>&1 || complain "a pattern that selects the good case failed"

    cases() { "$known" --list "$@" | sed 's/.* - //' | sort; }
    shares=$(for k in 1 2 3; do cases --share $k/3; done | sort)
    [ "$(cases)" = "$shares" ] || complain "a case is not in exactly one share"
    for share in 0/3 4/3 1/0 1 1/3x ''; do
        "$known" --list --share "$share" >/dev/null 2>&1
        [ $? -eq 2 ] || complain "--share '$share': not exit status 2"
    done
fi
[ "$bad" -eq 0 ] || printf '%s\n' "$out" >&2
exit "$bad"
