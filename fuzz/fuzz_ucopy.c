/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * User copies with hostile pointers and sizes: whatever they are, the kernel's buffer is written
 * as far as it was offered and no further, holds what the user's memory holds or zeros, and the
 * status is that of a twin that looks at single bytes.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>

#include <kc/ucopy.h>

#include "fuzz.h"
#include "kc_bytes.h"

#define PAGE  65536u /* what every host's page divides */
#define MOST  8192u
#define GUARD 64u

static uint8_t *user; /* one page of memory, one of none; the window ends within the second */
static struct kc_uwindow window;
static uint8_t kernel[GUARD + MOST + GUARD];

static void set_up(void)
{
    user = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FUZZ_REQUIRE(user != MAP_FAILED && mprotect(user + PAGE, PAGE, PROT_NONE) == 0);
    window.base = kc_uva((uintptr_t)user);
    window.bytes = PAGE + PAGE / 2;
}

/* Near one of the places where answers change, or anywhere. */
static kc_uva_t pointer(struct kc_bytes *b)
{
    uint64_t base = (uintptr_t)user;
    const uint64_t places[] = {base,
                               base + PAGE,
                               base + window.bytes,
                               UINT64_C(1) << 63,
                               UINT64_MAX,
                               0,
                               (uintptr_t)kernel | UINT64_C(1) << 63,
                               kc_bytes_u64(b)};
    uint64_t near = places[kc_bytes_below(b, 8)];
    return kc_uva(near + kc_bytes_below(b, 512) - 256);
}

/* The twin: what is said of n bytes at `a`; *good is how many of them can be copied. */
static kc_status_t twin(uint64_t a, size_t n, size_t *good)
{
    size_t in = 0;
    *good = 0;
    if (n == 0) {
        return KC_OK;
    }
    if (a + (n - 1) < a) {
        return KC_ERR_ARG;
    }
    if (a >> 63 != 0) {
        return KC_ERR_PERM;
    }
    for (size_t i = 0; i < n; i++) {
        in += a + i - (uintptr_t)user < window.bytes;
    }
    if (in != n) {
        return in == 0 ? KC_ERR_RANGE : KC_ERR_SPAN;
    }
    size_t offset = (size_t)(a - (uintptr_t)user);
    *good = offset >= PAGE ? 0 : PAGE - offset < n ? PAGE - offset : n;
    return *good == n ? KC_OK : KC_ERR_FAULT;
}

static void require_all(const uint8_t *p, uint8_t value, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        FUZZ_REQUIRE(p[i] == value);
    }
}

/* Nothing beyond the n bytes that were offered was written. */
static void require_bounds(size_t n)
{
    require_all(kernel, 0xee, GUARD);
    require_all(kernel + GUARD + n, 0xee, MOST + GUARD - n);
}

static void from(kc_uva_t p, size_t n)
{
    size_t good;
    size_t left = 1;
    kc_status_t expected = twin(kc_uva_raw(p), n, &good);
    FUZZ_REQUIRE(kc_ucopy_from(&window, kernel + GUARD, p, n, &left) == expected);
    FUZZ_REQUIRE(left == n - good);
    FUZZ_REQUIRE(good == 0 || memcmp(kernel + GUARD, kc_plat_uptr(p), good) == 0);
    require_all(kernel + GUARD + good, 0, n - good);
    require_bounds(n);
}

static void to(kc_uva_t p, size_t n)
{
    size_t good;
    size_t left = 1;
    kc_status_t expected = twin(kc_uva_raw(p), n, &good);
    FUZZ_REQUIRE(kc_ucopy_to(&window, p, kernel + GUARD, n, &left) == expected);
    FUZZ_REQUIRE(left == n - good);
    FUZZ_REQUIRE(good == 0 || memcmp(kernel + GUARD, kc_plat_uptr(p), good) == 0);
    FUZZ_REQUIRE(kc_ucopy_clear(&window, p, n, &left) == expected && left == n - good);
    if (good != 0) {
        require_all(kc_plat_uptr(p), 0, good);
    }
}

static void string(kc_uva_t p, size_t n)
{
    size_t length = MOST + 1;
    kc_status_t st = kc_ucopy_string(&window, (char *)kernel + GUARD, p, n, &length);
    size_t good = 0;
    size_t end = 0;
    uint64_t offset = kc_uva_raw(p) - (uintptr_t)user;
    require_bounds(n);
    if (n == 0) {
        FUZZ_REQUIRE(st == KC_ERR_ARG);
        return;
    }
    kc_status_t expected = twin(kc_uva_raw(p), 1, &good);
    if (offset < window.bytes) {
        while (end < n && offset + end < PAGE && user[offset + end] != 0) {
            end++;
        }
        if (end == n) {
            expected = KC_ERR_QUOTA;
        } else {
            expected = offset + end < PAGE ? KC_OK : KC_ERR_FAULT;
        }
    }
    FUZZ_REQUIRE(st == expected);
    FUZZ_REQUIRE(length == (st == KC_OK ? end : MOST + 1));
    FUZZ_REQUIRE(st != KC_OK || memcmp(kernel + GUARD, kc_plat_uptr(p), end) == 0);
    require_all(kernel + GUARD + (st == KC_OK ? end : 0), 0, n - (st == KC_OK ? end : 0));
}

static void structure(kc_uva_t p, size_t n, size_t theirs)
{
    size_t good;
    kc_status_t st = kc_ucopy_struct_from(&window, kernel + GUARD, n, p, theirs);
    kc_status_t expected = twin(kc_uva_raw(p), theirs, &good);
    require_bounds(n);
    if (n == 0 || n > KC_UCOPY_STRUCT_MAX || theirs == 0) {
        FUZZ_REQUIRE(st == KC_ERR_ARG);
        return; /* refused before the buffer is looked at: zeros or not */
    }
    size_t both = theirs < n ? theirs : n;
    if (theirs > KC_UCOPY_STRUCT_MAX) {
        expected = KC_ERR_UNSUPPORTED;
    } else if (expected == KC_OK || expected == KC_ERR_FAULT) {
        const uint8_t *u = kc_plat_uptr(p);
        for (size_t i = n; i < good; i++) {
            expected = u[i] != 0 ? KC_ERR_UNSUPPORTED : expected;
        }
    }
    FUZZ_REQUIRE(st == expected);
    both = st == KC_OK ? both : 0;
    FUZZ_REQUIRE(both == 0 || memcmp(kernel + GUARD, kc_plat_uptr(p), both) == 0);
    require_all(kernel + GUARD + both, 0, n - both);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct kc_bytes b = {data, n, 0};
    if (user == NULL) {
        set_up();
    }
    memset(user, 0x41, PAGE);
    while (!kc_bytes_is_empty(&b)) {
        kc_uva_t p = pointer(&b);
        size_t size =
            kc_bytes_below(&b, 2) != 0 ? kc_bytes_below(&b, 128) : kc_bytes_below(&b, MOST + 1);
        memset(kernel, 0xee, sizeof(kernel));
        switch (kc_bytes_below(&b, 5)) {
        case 0:
            from(p, size);
            break;
        case 1:
            to(p, size);
            break;
        case 2:
            string(p, size);
            break;
        case 3:
            structure(p, size, kc_bytes_below(&b, 256));
            break;
        default:
            structure(p, size, kc_bytes_below(&b, MOST));
            break;
        }
    }
    return 0;
}
