#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Of the cases of known_races.c, all named bad_ must fail by row R1 and no other, under any seed.
# usage: expect_races.sh RUNNER
n=0 bad=0
for seed in 1 2 3 4 5 6; do
    log=$("$1" --tap --cpus 3 --seed "$seed" 2>&1)
    n=$((n + 1))
    wrong=$(printf '%s\n' "$log" | grep -E '^not ok .*races\.good_|^ok .*races\.bad_|^Bail out')
    count=$(printf '%s\n' "$log" | grep -c '^not ok .*races\.bad_')
    rows=$(printf '%s\n' "$log" | grep -E '^[TR][0-9]+  CPU' | grep -cEv '^(R1|T30) ') # T30 is advice
    if [ -z "$wrong" ] && [ "$count" -eq 11 ] && [ "$rows" -eq 0 ]; then
        echo "ok $n - seed $seed"
    else
        echo "not ok $n - seed $seed: $count failed as they should"
        printf '%s\n' "$wrong" | sed 's/^/# /'
        bad=1
    fi
done
echo "1..$n"
exit $bad
