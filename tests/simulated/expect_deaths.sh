#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Each case of known_deaths.c must end the machine, and the explanation must say why.
# usage: expect_deaths.sh RUNNER
n=0 bad=0
# dies CASE TEXT...: a line of what it prints matches each
dies() {
    out=$("$1" --tap --cpus 2 --seed 1 "deaths.$2" 2>/dev/null)
    status=$?
    name=$2
    shift 2
    verdict=ok
    [ "$status" -eq 1 ] || verdict='not ok'
    for text in 'Bail out! ' "$@"; do
        printf '%s\n' "$out" | grep -q -- "$text" || {
            verdict='not ok'
            echo "# no line matches: $text"
        }
    done
    n=$((n + 1))
    echo "$verdict $n - $name"
    [ "$verdict" = ok ] || {
        bad=1
        printf '%s\n' "$out" | sed 's/^/#    /'
    }
}
dies "$1" the_running_text_is_split_in_place 'fetch at 0xffff000080000000 by EL1: translation, level 2' \
    'level 2 at .*  invalid$' '  because bit 0 of the descriptor is 0' 'linear map: text'
dies "$1" the_text_is_written 'write at 0xffff000080000000 by EL1: permission, level 2' \
    '  because AP\[2\] is 1: read-only' 'linear map: text, at 0x80000000'
dies "$1" a_stack_overflows_into_its_guard 'write at .* by EL1: translation, level 3' \
    'space kernel: in the guard below area .* + 0x2000 (frames of its own)'
dies "$1" a_stack_underflows_into_its_guard 'read at .* by EL1: translation, level 3' \
    'space kernel: in the guard above area .* + 0x2000 (frames of its own)'
echo "1..$n"
exit $bad
