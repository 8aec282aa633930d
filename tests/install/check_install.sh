#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Install a build into an empty directory and use the library as strangers do: from C and C++ through
# pkg-config, through CMake, and as a Meson subproject; a program built with other options must not
# link. Prints TAP.
#
# usage: check_install.sh SOURCE-DIR BUILD-DIR
set -u
source=$1 build=$2
here=$source/tests/install
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0 bad=0

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

# Build with the words after NAME, then run; both must succeed and the program must say so.
consume() {
    what=$1
    shift
    : >"$work/log"
    "$@" >>"$work/log" 2>&1 && "$work/consumer" >"$work/said" 2>>"$work/log" &&
        grep -q 'consumed: KC_OK' "$work/said"
    verdict $? "$what"
    rm -f "$work/consumer" "$work/said"
}

echo 'TAP version 13'
echo '1..14'

DESTDIR=$work/root meson install -C "$build" --no-rebuild >"$work/log" 2>&1
verdict $? 'meson install into an empty directory'

archive=$(find "$work/root" -name libkcore.a)
pc=$(dirname "$(find "$work/root" -name kcore.pc)")
prefix=${archive%%/lib/*}
[ -n "$archive" ] && [ "$(head -c 7 "$archive")" = '!<arch>' ]
verdict $? 'the archive holds its objects (it is not thin)'
[ -n "$archive" ] && ! readelf -SW "$archive" 2>"$work/log" | grep -q gnu.lto
verdict $? 'its objects are ordinary, not LTO'

missing=
for header in $(cd "$source/libkcore/include" && find kc -name '*.h'); do
    [ -f "$prefix/include/$header" ] || missing="$missing $header"
done
echo "missing:$missing" >"$work/log"
[ -z "$missing" ] && [ -f "$prefix/include/kcore/hosted/kc_body.h" ]
verdict $? 'every public header is installed'

ksim=0
if [ -x "$build/sim/ksim" ]; then
    "$prefix/bin/ksim" --help >"$work/log" 2>&1
    ksim=$?
fi
verdict "$ksim" 'ksim, where it is built, is installed and starts'

export PKG_CONFIG_SYSROOT_DIR="$work/root" PKG_CONFIG_PATH="$pc"
flags=$(pkg-config --cflags kcore)
libs=$(pkg-config --libs kcore)
# The flags are words.
consume 'C through pkg-config' cc -std=c17 -Wall -Wextra -Werror $flags "$here/consumer.c" \
    -o "$work/consumer" $libs
consume 'C with LTO of the consumer' cc -O2 -flto $flags "$here/consumer.c" -o "$work/consumer" \
    $libs
consume 'C++ through pkg-config' c++ -std=c++17 -Wall -Wextra -Werror $flags "$here/consumer.cpp" \
    -o "$work/consumer" $libs

cmake_consumer() {
    cmake -S "$here/cmake" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$prefix" &&
        cmake --build "$work/cmake" && cp "$work/cmake/consumer" "$work/consumer"
}
consume 'CMake package' cmake_consumer

# find_package(kcore WANTED): the same minor version or nothing, and not an older one.
cmake_finds() {
    mkdir -p "$work/find" && printf '%s\n' 'cmake_minimum_required(VERSION 3.13)' 'project(f C)' \
        "find_package(kcore $1 QUIET)" 'if(NOT kcore_FOUND)' 'message(FATAL_ERROR "none")' \
        'endif()' >"$work/find/CMakeLists.txt"
    rm -rf "$work/found"
    cmake -S "$work/find" -B "$work/found" -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" 2>&1
}
cmake_finds '0.1.0 EXACT'
verdict $? 'CMake finds its own version'
! cmake_finds 0.2 && ! cmake_finds 0.0.9 && ! cmake_finds 0.1.99 && ! cmake_finds 1.1
verdict $? 'CMake refuses others'

subproject_consumer() {
    mkdir -p "$work/sub/subprojects" && cp "$here/subproject/meson.build" "$here/consumer.c" \
        "$work/sub" && ln -s "$source" "$work/sub/subprojects/kcore" &&
        env -u PKG_CONFIG_PATH meson setup --wrap-mode=forcefallback "$work/sub/build" \
            "$work/sub" &&
        ninja -C "$work/sub/build" consumer && cp "$work/sub/build/consumer" "$work/consumer"
}
consume 'Meson subproject' subproject_consumer

# Values of options that this library was not built with: the link must fail, naming the option.
must_not_link() { # NAME FLAG
    if cc $flags "$2" "$here/consumer.c" -o "$work/consumer" $libs >"$work/log" 2>&1; then
        echo "it links: $2" >"$work/log"
        verdict 1 "$1"
    else
        grep -q 'kc_built_with_hardening' "$work/log"
        verdict $? "$1"
    fi
}
hardening=$(printf '%s\n' "$flags" | sed -n 's/.*-DKC_HARDENING=\([0-9]\).*/\1/p')
level=$(printf '%s\n' "$flags" | sed -n 's/.*-DKC_ASSERT_LEVEL=\([0-9]\).*/\1/p')
flags=$(printf '%s\n' "$flags" | sed "s/-DKC_HARDENING=[0-9]//")
must_not_link 'another hardening level does not link' "-DKC_HARDENING=$(((hardening + 1) % 3))"
flags="$(pkg-config --cflags kcore | sed 's/-DKC_ASSERT_LEVEL=[0-9]//')"
must_not_link 'another assertion level does not link' "-DKC_ASSERT_LEVEL=$(((level + 1) % 3))"
exit "$bad"
