#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Each checker must find what it is for: copy the tree, plant one violation, expect the checker to
# fail and to name the file; then take it out again. Prints TAP.
#
# usage: check_selftest.sh [--quick]     (--quick leaves out what needs a whole build)
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/tools
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0 bad=0
tree=$work/tree

mkdir "$tree"
(cd "$root" && tar cf - --exclude='./build*' --exclude=./.git --exclude=./subprojects .) |
    tar xf - -C "$tree"

# plant NAME FILE TEXT EXPECTED CHECKER...: append TEXT to FILE of the copy; the checker must then
# fail with output that matches EXPECTED.
plant() {
    name=$1 file=$tree/$2 text=$3 expected=$4
    shift 4
    count=$((count + 1))
    existed=0
    mkdir -p "$(dirname "$file")"
    if [ -e "$file" ]; then
        existed=1
        cp "$file" "$work/saved"
    fi
    printf '%b\n' "$text" >>"$file"
    if "$@" >"$work/log" 2>&1; then
        echo "not ok $count - $name: not found"
        bad=1
    elif ! grep -qE "$expected" "$work/log"; then
        echo "not ok $count - $name: found something else"
        sed 's/^/# /' "$work/log" | head -n 20
        bad=1
    else
        echo "ok $count - $name"
    fi
    if [ "$existed" -eq 1 ]; then cp "$work/saved" "$file"; else rm -f "$file"; fi
}

echo 'TAP version 13'
src=libkcore/src/base/status.c
layers="$tools/check_layers.py $tree"
# $layers is two words.
plant 'L1 header outside the order' libkcore/include/kc/stray.h '/* stray */' 'stray.h:1: L1' $layers
plant 'L2 header includes downwards' libkcore/include/kc/bits.h '#include <kc/pool.h>' 'bits.h.* L2' \
    $layers
plant 'L2 hosted header in a public header' libkcore/include/kc/bits.h '#include <stdio.h>' \
    'bits.h.* L2' $layers
plant 'L3 source includes downwards' $src '#include <kc/lock.h>' 'status.c.* L3' $layers
plant 'L3 hosted header in the core' $src '#include <string.h>' 'status.c.* L3' $layers
plant 'L3 private header of a module below' libkcore/src/mem/early.c '#include "region_priv.h"' \
    'early.c.* L3' $layers
plant 'L3 private header of another room' libkcore/src/space/pt.c '#include "../mem/early_priv.h"' \
    'pt.c.* L3' $layers
plant 'L3 source of no module' libkcore/src/mem/zz.c '/* nothing */' 'zz.c.* L3' $layers
plant 'L4 architecture named' $src '#if defined(__aarch64__)\n#endif' 'status.c.* L4' $layers
plant 'L4 assembly' $src 'void f(void);\nvoid f(void)\n{\n    __asm__ volatile("nop");\n}' \
    'status.c.* L4' $layers
plant 'L5 machine decodes with the core' sim/machine/zz.c '#include <kc/a64/desc.h>' 'zz.c.* L5' $layers
plant 'L5 monitor, through another header' sim/monitor/zz.c '#include <kc/aspace.h>' 'zz.c.* L5' $layers
plant 'L6 lock of another rank' libkcore/src/base/lock.c \
    'static struct kc_lock l = KC_LOCK_INIT("l", KC_RANK_PT);' 'lock.c.* L6' $layers
plant 'L7 hosted header in the kernel' libkcore/kernel/zz.c '#include <stdlib.h>' 'zz.c.* L7' $layers

headers="env CHECK_COMPILERS=gcc $tools/check_headers.sh $tree"
plant 'header that needs another first' libkcore/include/kc/list.h 'struct s_ { FILE *f; };' \
    'kc/list.h does not compile' $headers
plant 'header that is not C++' libkcore/include/kc/list.h 'KC_INLINE int new(void) { return 0; }' \
    'kc/list.h does not compile' env CHECK_COMPILERS=g++ "$tools/check_headers.sh" "$tree"

symbols="env CHECK_COMPILERS=gcc $tools/check_symbols.sh $tree"
plant 'libc call in the core' $src \
    'int puts(const char *);\nint kc_f(void);\nint kc_f(void)\n{\n    return puts("");\n}' \
    'undefined in the core:.* puts' $symbols
plant 'mutable file-scope state' $src 'int kc_state = 1;' 'writable file-scope data: kc_state' $symbols
plant 'name of nobody' $src 'int stray(void);\nint stray(void)\n{\n    return 0;\n}' \
    'without kc_: stray' $symbols

plant 'layout' $src 'static   int  kc_x( void ) ;' 'status.c.*clang-format' \
    "$tools/check_format.sh" "$tree"
plant 'sparse' $src 'void *kc_q(void);\nvoid *kc_q(void)\n{\n    return 0;\n}' 'status.c.*NULL' \
    "$tools/check_sparse.sh" "$tree"

if [ "${1:-}" != --quick ]; then
    warn='unsigned char kc_w(int v);\nunsigned char kc_w(int v)\n{\n    return v;\n}'
    plant 'conversion warning, gcc' $src "$warn" 'status.c.*conversion' \
        env CHECK_COMPILERS=gcc "$tools/check_warnings.sh" "$tree"
    plant 'conversion warning, clang' $src "$warn" 'status.c.*conversion' \
        env CHECK_COMPILERS=clang "$tools/check_warnings.sh" "$tree"
    plant 'null dereference' $src \
        'int kc_n(int v);\nint kc_n(int v)\n{\n    int *p = (int *)0;\n    return v ? *p : 0;\n}' \
        'status.c.*NullDereference' "$tools/check_tidy.py" "$tree" $src
fi
echo "1..$count"
exit "$bad"
