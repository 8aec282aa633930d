#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The tests in every body: one build directory each under build-bodies/, one line each, one sum.
#
# usage: tests/bodies.sh [--all] [BODY...]     run these bodies, or all of them
#        tests/bodies.sh --known BODY          exit 0 if there is such a body
#        tests/bodies.sh --list                the bodies, one a line
#        tests/bodies.sh --image               the image alone, with its output
#
# A body that could not be set up, built or run counts as one failure. The closing line is
# "N passed, N failed"; the exit status is 0 only if nothing failed.
set -u
cd "$(dirname "$0")/.." || exit 4
out=build-bodies
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

bodies='host-gcc native exact host-clang asan-ubsan tsan valgrind audit lean qemu-aarch64 qemu-tagged exact-tagged qemu-arm image'
only_core='-Dsim=disabled -Dtest_runner=own'

# What distinguishes a body: compiler, then meson options.
setup_of() {
    case $1 in
    host-gcc) echo "gcc -Dtest_runner=both" ;;
    # The same cases on the simulated machine: programs of the first body's build.
    native | exact) setup_of host-gcc ;;
    host-clang) echo "clang -Dtest_runner=criterion" ;;
    asan-ubsan) echo "clang -Dtest_runner=criterion -Db_sanitize=address,undefined -Db_lundef=false" ;;
    # TSan does not follow fences (the hosted body has one as its barrier); locks and atomics it does.
    tsan) echo "gcc $only_core -Db_sanitize=thread -Dc_args=-Wno-tsan" ;;
    valgrind) echo "gcc $only_core" ;;
    audit) echo "gcc $only_core -Dassert_level=audit -Dhardening=full" ;;
    lean) echo "gcc $only_core -Dassert_level=check -Dhardening=off --buildtype=release -Db_lto=true" ;;
    qemu-aarch64) echo "gcc $only_core --cross-file tests/cross/aarch64-linux.ini" ;;
    # The same with hardening tagged: there are memory tags under qemu-user.
    qemu-tagged) echo "$(setup_of qemu-aarch64) -Dhardening=tagged" ;;
    # And on the simulated machine; Criterion for the machine's own cases of tags.
    exact-tagged) echo "gcc -Dtest_runner=criterion -Dbench=disabled -Dhardening=tagged" ;;
    qemu-arm) echo "gcc $only_core --cross-file tests/cross/arm-linux.ini" ;;
    image) echo "gcc --cross-file tests/cross/aarch64-none.ini" ;;
    *) return 1 ;;
    esac
}

needs_of() {
    case $1 in
    host-clang | asan-ubsan) echo clang ;;
    valgrind) echo valgrind ;;
    qemu-aarch64 | qemu-tagged) echo aarch64-linux-gnu-gcc qemu-aarch64 ;;
    qemu-arm) echo arm-linux-gnueabihf-gcc qemu-arm ;;
    image) echo aarch64-linux-gnu-gcc qemu-system-aarch64 ;;
    *) echo gcc ;;
    esac
}

# Where a body is built.
build_of() {
    case $1 in
    native | exact) echo host-gcc ;;
    *) echo "$1" ;;
    esac
}

# What of a build is wanted; nothing: all.
targets_of() {
    case $1 in
    exact-tagged)
        for program in unit cpus reports deaths races; do
            echo "tests/simulated/$program-exact"
        done
        for speed in native exact; do
            echo "tests/machine/test-machine-tags-$speed tests/machine/test-machine-user-$speed"
        done
        ;;
    esac
}

log_tail() {
    sed 's/^/    /' "$1" | tail -n 60 >&2
}

# Set up (once) and build; ninja notices what changed.
build_body() {
    for tool in $(needs_of "$1"); do
        command -v "$tool" >/dev/null 2>&1 || {
            echo "body $1: $tool is missing" >&2
            return 1
        }
    done
    targets=$(targets_of "$1")
    set -- "$(build_of "$1")" $(setup_of "$1")
    name=$1 compiler=$2
    shift 2
    log=$out/$name.log
    mkdir -p "$out"
    if [ ! -f "$out/$name/build.ninja" ]; then
        rm -rf "${out:?}/$name"
        # werror: a warning is a failure here, and nowhere else.
        CC=$compiler meson setup "$out/$name" -Dwerror=true -Dbody_name="$name" "$@" \
            >"$log" 2>&1 || {
            echo "body $name: set-up failed:" >&2
            log_tail "$log"
            return 1
        }
    fi
    ninja -C "$out/$name" -j "$cores" $targets >"$log" 2>&1 || {
        echo "body $name: build failed:" >&2
        grep -E -A 6 '^FAILED|error:|ERROR|undefined reference' "$log" | cut -c 1-300 |
            sed 's/^/    /' | head -n 60 >&2
        return 1
    }
}

test_body() {
    name=$1
    build=$out/$(build_of "$name")
    results=$build/meson-logs/testlog.json
    set --
    case $name in
    valgrind)
        results=$build/meson-logs/testlog-valgrind.json # as meson names it under a wrapper
        set -- --timeout-multiplier 10 --wrapper \
            'valgrind -q --error-exitcode=9 --leak-check=full --trace-children=yes'
        # The harness's own tests crash on purpose, which is nothing for Valgrind to judge.
        set -- "$@" --no-suite harness
        ;;
    host-gcc) set -- --no-suite native --no-suite exact ;; # bodies of their own
    native | exact) set -- --suite "$name" ;;
    exact-tagged) set -- --suite exact --suite tags --no-suite orders ;; # orders: `exact` has them
    asan-ubsan | qemu-* | tsan) set -- --timeout-multiplier 5 ;;
    esac
    # A memset() without DC ZVA: that of QEMU 7.2 takes no pointer with a tag.
    [ "$name" != qemu-tagged ] || export GLIBC_TUNABLES=glibc.cpu.name=kunpeng920
    [ "$long" -eq 1 ] || set -- "$@" --no-suite long
    rm -f "$results"
    KC_TEST_BODY=$name meson test -C "$build" --no-rebuild --num-processes "$cores" "$@" \
        >"$out/$name.log" 2>&1
    status=$?
    python3 tests/tally.py "$results" "$status"
}

run_body() {
    start=$(date +%s)
    if build_body "$1"; then
        set -- "$1" $(test_body "$1")
    else
        set -- "$1" 0 1
    fi
    [ $# -eq 3 ] || set -- "$1" 0 1
    passed=$((passed + $2))
    failed=$((failed + $3))
    echo "body $1: $2 passed, $3 failed ($(($(date +%s) - start)) s)"
}

long=0
chosen=
while [ $# -gt 0 ]; do
    case $1 in
    --all) long=1 ;;
    --list)
        printf '%s\n' $bodies
        exit 0
        ;;
    --known)
        setup_of "${2:-}" >/dev/null
        exit
        ;;
    --image)
        build_body image || exit 4
        exec meson test -C "$out/image" --no-rebuild --verbose
        ;;
    *)
        setup_of "$1" >/dev/null || {
            echo "tests/bodies.sh: unknown body: $1" >&2
            exit 2
        }
        chosen="$chosen $1"
        ;;
    esac
    shift
done

passed=0 failed=0
for body in ${chosen:-$bodies}; do
    run_body "$body"
done
# What no test notices: of 50 sites of the core (tests/remove); an hour or two.
if [ "$long" -eq 1 ] && [ -z "$chosen" ]; then
    if tests/remove --seed "${KC_REMOVE_SEED:-1}" >"$out/remove.log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        log_tail "$out/remove.log"
    fi
    tail -n 1 "$out/remove.log"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
