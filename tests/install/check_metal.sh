#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Install a bare-metal build into an empty directory and make an image of one's own from what lies
# there: the body's probe program, compiled and linked against installed files alone, and booted.
# Prints TAP.
#
# usage: check_metal.sh SOURCE-DIR BUILD-DIR
set -u
source=$1 build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0 bad=0
cc=aarch64-linux-gnu-gcc

verdict() { # STATUS NAME
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $count - $2"
    else
        echo "not ok $count - $2"
        sed 's/^/# /' "$work/log"
        bad=1
    fi
}

echo 'TAP version 13'
echo '1..4'
DESTDIR=$work/root meson install -C "$build" --no-rebuild >"$work/log" 2>&1
verdict $? 'meson install of the cross build'

archive=$(find "$work/root" -path '*/kcore/aarch64/libkcore.a')
lib=$(dirname "$archive")
include=$(dirname "$(find "$work/root" -type d -path '*/include/kc')")
[ "$(head -c 7 "$archive")" = '!<arch>' ]
verdict $? 'the archive holds its objects (it is not thin)'

for f in probe.c flat.c flat.h; do
    sed 's|"\.\./\(.*\.h\)"|<\1>|' "$source/arch/aarch64/test/$f" >"$work/$f"
done
level=$(sed -n 's/.*-DKC_ASSERT_LEVEL=\([0-9]\).*/\1/p' "$build/compile_commands.json" | head -n 1)
hardening=$(sed -n 's/.*-DKC_HARDENING=\([0-9]\).*/\1/p' "$build/compile_commands.json" | head -n 1)
build_probe() { # HARDENING
    "$cc" -std=gnu17 -O2 -ffreestanding -mgeneral-regs-only -mstrict-align -mno-outline-atomics \
        -fno-pic -fno-jump-tables -fno-stack-protector -DKC_ASSERT_LEVEL="$level" \
        -DKC_HARDENING="$1" -I "$include" -I "$include/kcore/aarch64" -nostdlib -static -Wl,-pie \
        -Wl,--no-dynamic-linker,-z,notext,--build-id=none,-z,norelro,-Bsymbolic,--gc-sections \
        -Wl,--no-warn-rwx-segments -Wl,-T,"$lib/image.lds" "$work/probe.c" "$work/flat.c" \
        -Wl,--whole-archive "$archive" -Wl,--no-whole-archive -o "$work/probe.elf"
}
build_probe "$hardening" >"$work/log" 2>&1 &&
    aarch64-linux-gnu-objcopy -O binary "$work/probe.elf" "$work/probe.img" >>"$work/log" 2>&1 &&
    "$source/arch/aarch64/run-qemu.sh" -c cortex-a53 -s 2 "$work/probe.img" >>"$work/log" 2>&1 &&
    grep -q 'probe: [1-9][0-9]* passed, 0 failed' "$work/log"
verdict $? 'a program built from installed files boots'

! build_probe $(((hardening + 1) % 3)) >"$work/log" 2>&1 && grep -q kc_built_with "$work/log"
verdict $? 'a program of another hardening level does not link'
exit "$bad"
