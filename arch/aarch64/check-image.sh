#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What boot.S relies on in a linked image: relative relocations alone, all of them between its two
# symbols, nothing undefined, no section that the linker script does not know. And what programs at
# EL0 rely on: their code branches and refers only within itself, and none of it is relocated.
#
#   check-image.sh ELF...          Exit: 0 if all hold, 1 if not.
set -u
bad=0
for elf in "$@"; do
    other=$(readelf -rW "$elf" | grep -o 'R_AARCH64_[A-Z0-9_]*' | grep -v '^R_AARCH64_RELATIVE$' |
        sort | uniq -c)
    if [ -n "$other" ]; then
        echo "$elf: relocations that boot.S does not apply:"
        echo "$other"
        bad=1
    fi
    size=$(readelf -SW "$elf" | sed -n 's/.*\.rela\.dyn *RELA *[0-9a-f]* [0-9a-f]* \([0-9a-f]*\).*/\1/p')
    first=$(readelf -sW "$elf" | sed -n 's/.*: \([0-9a-f]*\) .* kc_image_rela$/\1/p')
    end=$(readelf -sW "$elf" | sed -n 's/.*: \([0-9a-f]*\) .* kc_image_rela_end$/\1/p')
    if [ $((0x$end - 0x$first)) -ne $((0x$size)) ]; then
        echo "$elf: kc_image_rela .. kc_image_rela_end is not all of .rela.dyn"
        bad=1
    fi
    undefined=$(aarch64-linux-gnu-nm -u "$elf" | grep -v ' w ')
    if [ -n "$undefined" ]; then
        echo "$elf: undefined: $undefined"
        bad=1
    fi
    sections=$(readelf -SW "$elf" | sed -n 's/^ *\[ *[0-9]*\] \([.a-z_][^ ]*\) .* \(A\|WA\|AX\|WAX\) .*/\1/p' |
        grep -vE '^\.(text|rodata|kc_test_list|rela\.dyn|dynamic|dynsym|dynstr|gnu\.hash|data|bss)$')
    if [ -n "$sections" ]; then
        echo "$elf: sections without a place in image.lds: $sections"
        bad=1
    fi
    first=$(readelf -sW "$elf" | sed -n 's/.*: \([0-9a-f]*\) .* kc_image_user_text$/\1/p')
    end=$(readelf -sW "$elf" | sed -n 's/.*: \([0-9a-f]*\) .* kc_image_user_text_end$/\1/p')
    [ "$first" != "$end" ] || continue # has no such program
    outside=$(aarch64-linux-gnu-objdump -d -j .rodata --start-address=0x$first --stop-address=0x$end "$elf" |
        awk -F '\t' '$3 ~ /^(b|bl|b\.[a-z]+|cbn?z|tbn?z|adrp?)$/ { print $4 }' |
        sed -n 's/.*\(^\|[ \t]\)\(0x\)\{0,1\}\([0-9a-f]\{1,\}\) <.*/\3/p' |
        while read -r target; do
            [ $((0x$target)) -ge $((0x$first)) ] && [ $((0x$target)) -lt $((0x$end)) ] || echo "$target"
        done)
    if [ -n "$outside" ]; then
        echo "$elf: a program at EL0 refers to the kernel at" $outside
        bad=1
    fi
    relocated=$(readelf -rW "$elf" | awk -v first="$first" -v end="$end" \
        '/R_AARCH64_RELATIVE/ && $1 >= first && $1 < end { print $1 }')
    if [ -n "$relocated" ]; then
        echo "$elf: code of a program at EL0 is relocated at" $relocated
        bad=1
    fi
done
exit $bad
