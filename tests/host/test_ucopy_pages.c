/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ucopy over real pages: each copy against plain loops, for every start and end in a window about
 * the border between good pages and none. Left to right: read-write, read-only, nothing.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kc_test.h"

#include <kc/ucopy.h>

static size_t page;
static uint8_t *pages;
static struct kc_uwindow window;
static uint8_t kernel[2 * KC_UCOPY_STRUCT_MAX];

static void map_pages(void)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    pages = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(pages != MAP_FAILED);
    for (size_t i = 0; i < 2 * page; i++) {
        pages[i] = (uint8_t)(i * 7 + 1);
    }
    cr_assert_eq(mprotect(pages + page, page, PROT_READ), 0);
    cr_assert_eq(mprotect(pages + 2 * page, page, PROT_NONE), 0);
    window.base = kc_uva((uintptr_t)pages);
    window.bytes = 3 * page;
    memset(kernel, 0xee, sizeof(kernel));
}

static void unmap_pages(void)
{
    munmap(pages, 3 * page);
}

/* As in test_host.c: TSan does not survive a jump out of a SIGSEGV handler. */
#ifdef __SANITIZE_THREAD__
#define UNDER_TSAN true
#else
#define UNDER_TSAN false
#endif

TestSuite(ucopy_pages, .init = map_pages, .fini = unmap_pages);

static kc_uva_t at(size_t offset)
{
    return kc_uva((uintptr_t)pages + offset);
}

/* So that read-only pages can be set up. */
static void fill(size_t from, uint8_t value, size_t n)
{
    cr_assert_eq(mprotect(pages, 2 * page, PROT_READ | PROT_WRITE), 0);
    memset(pages + from, value, n);
    cr_assert_eq(mprotect(pages + page, page, PROT_READ), 0);
}

Test(ucopy_pages, from_is_exact_and_zeroes_the_rest, .disabled = UNDER_TSAN)
{
    for (size_t before = 1; before < 70; before++) {
        for (size_t n = 1; n < 100; n += 3) {
            size_t good = n < before ? n : before;
            size_t left = 999;
            memset(kernel, 0xee, 128);
            kc_status_t st = kc_ucopy_from(&window, kernel, at(2 * page - before), n, &left);
            cr_assert_eq(st, good == n ? KC_OK : KC_ERR_FAULT);
            cr_assert_eq(left, n - good);
            cr_assert_eq(memcmp(kernel, pages + 2 * page - before, good), 0);
            for (size_t i = good; i < 128; i++) {
                cr_assert_eq(kernel[i], i < n ? 0 : 0xee);
            }
        }
    }
}

Test(ucopy_pages, to_and_clear_are_exact, .disabled = UNDER_TSAN)
{
    for (size_t before = 1; before < 150; before += 7) {
        for (size_t n = 1; n < 200; n += 11) {
            size_t good = n < before ? n : before;
            size_t left = 999;
            fill(page - before, 0x33, before);
            kc_status_t st = kc_ucopy_to(&window, at(page - before), kernel, n, &left);
            cr_assert_eq(st, good == n ? KC_OK : KC_ERR_FAULT);
            cr_assert_eq(left, n - good);
            for (size_t i = 0; i < before; i++) {
                cr_assert_eq(pages[page - before + i], i < n ? 0xee : 0x33);
            }
            st = kc_ucopy_clear(&window, at(page - before), n, &left);
            cr_assert_eq(st, good == n ? KC_OK : KC_ERR_FAULT);
            cr_assert_eq(left, n - good);
            for (size_t i = 0; i < before; i++) {
                cr_assert_eq(pages[page - before + i], i < n ? 0 : 0x33);
            }
        }
    }
}

/* usercopy KUnit's check: every start and end in a window across a page, one byte set or none. */
Test(ucopy_pages, is_zero_for_every_start_and_end)
{
    enum {
        SPAN = 160,
        FIRST = 40,
        LAST = 130
    };
    size_t origin = page - SPAN / 2;
    fill(origin, 0, SPAN);
    fill(origin, 1, FIRST);
    fill(origin + LAST, 1, SPAN - LAST);
    for (size_t start = 0; start <= SPAN; start++) {
        for (size_t end = start; end <= SPAN; end++) {
            bool zero = false;
            bool expected = start == end || (start >= FIRST && end <= LAST);
            cr_assert_eq(kc_ucopy_is_zero(&window, at(origin + start), end - start, &zero), KC_OK);
            cr_assert_eq(zero, expected, "%zu to %zu", start, end);
        }
    }
}

Test(ucopy_pages, is_zero_and_faults, .disabled = UNDER_TSAN)
{
    bool zero = true;
    cr_expect_eq(kc_ucopy_is_zero(&window, at(2 * page - 8), 16, &zero), KC_OK);
    cr_expect_not(zero, "decided before the fault");
    fill(2 * page - 8, 0, 8);
    cr_expect_eq(kc_ucopy_is_zero(&window, at(2 * page - 8), 8, &zero), KC_OK);
    cr_expect(zero);
    cr_expect_eq(kc_ucopy_is_zero(&window, at(2 * page - 8), 9, &zero), KC_ERR_FAULT);
    cr_expect_not(zero);
}

Test(ucopy_pages, values_at_every_alignment, .disabled = UNDER_TSAN)
{
    for (size_t o = 0; o < 16; o++) {
        uint8_t a;
        uint16_t b;
        uint32_t c;
        uint64_t d;
        size_t p = page - 8 + o;
        uint64_t v;
        memcpy(&v, pages + p, 8);
        cr_expect_eq(kc_ucopy_load_u8(&window, at(p), &a), KC_OK);
        cr_expect_eq(kc_ucopy_load_u16(&window, at(p), &b), KC_OK);
        cr_expect_eq(kc_ucopy_load_u32(&window, at(p), &c), KC_OK);
        cr_expect_eq(kc_ucopy_load_u64(&window, at(p), &d), KC_OK);
        cr_expect_eq(d, v);
        cr_expect_eq(memcmp(&c, &v, 4), 0);
        cr_expect_eq(memcmp(&b, &v, 2), 0);
        cr_expect_eq(memcmp(&a, &v, 1), 0);
        /* Stores: all that is in the first page. */
        cr_expect_eq(kc_ucopy_store_u8(&window, at(o), 0x5a), KC_OK);
        cr_expect_eq(pages[o], 0x5a);
        cr_expect_eq(kc_ucopy_store_u16(&window, at(o), 0x1234), KC_OK);
        cr_expect_eq(kc_ucopy_store_u32(&window, at(o), 0x12345678), KC_OK);
        cr_expect_eq(kc_ucopy_store_u64(&window, at(o), 0x123456789abcdef0u), KC_OK);
        memcpy(&v, pages + o, 8);
        cr_expect_eq(v, 0x123456789abcdef0u);
    }
    uint64_t out = 1;
    cr_expect_eq(kc_ucopy_load_u64(&window, at(2 * page - 4), &out), KC_ERR_FAULT);
    cr_expect_eq(out, 0, "no half of a value");
    cr_expect_eq(kc_ucopy_store_u32(&window, at(page), 1), KC_ERR_FAULT, "read-only");
}

Test(ucopy_pages, strings, .disabled = UNDER_TSAN)
{
    char *out = (char *)kernel;
    for (size_t length = 0; length < 140; length++) {
        size_t p = 2 * page - length - 1; /* its zero is the last byte before the hole */
        size_t n = 777;
        fill(p, 'x', length);
        fill(p + length, 0, 1);
        memset(kernel, 0xee, 300);
        cr_assert_eq(kc_ucopy_string(&window, out, at(p), 200, &n), KC_OK);
        cr_assert_eq(n, length);
        for (size_t i = 0; i < 300; i++) {
            cr_assert_eq(kernel[i], i < length ? 'x' : i < 200 ? 0 : 0xee);
        }
        cr_assert_eq(kc_ucopy_string(&window, out, at(p), length + 1, NULL), KC_OK, "just fits");
        if (length != 0) {
            n = 777;
            cr_assert_eq(kc_ucopy_string(&window, out, at(p), length, &n), KC_ERR_QUOTA);
            cr_assert(n == 777 && out[0] == 0 && out[length - 1] == 0);
        }
    }
    fill(2 * page - 90, 'y', 90);
    cr_expect_eq(kc_ucopy_string(&window, out, at(2 * page - 90), 200, NULL), KC_ERR_FAULT);
    for (size_t i = 0; i < 200; i++) {
        cr_assert_eq(out[i], 0);
    }
    struct kc_uwindow shorter = {window.base, 2 * page - 10, NULL};
    cr_expect_eq(kc_ucopy_string(&shorter, out, at(2 * page - 90), 200, NULL), KC_ERR_SPAN);
    cr_expect_eq(kc_ucopy_string(&shorter, out, at(2 * page - 90), 80, NULL), KC_ERR_QUOTA);
}

/* Smaller, equal and larger structures, clean and with a byte set at each place behind ours. */
Test(ucopy_pages, structures_of_every_size, .disabled = UNDER_TSAN)
{
    enum {
        OURS = 24
    };
    for (size_t theirs = 1; theirs < 96; theirs++) {
        size_t p = page - 30;
        fill(p, 0, 128);
        fill(p, 9, theirs < OURS ? theirs : OURS);
        memset(kernel, 0xee, 64);
        cr_assert_eq(kc_ucopy_struct_from(&window, kernel, OURS, at(p), theirs), KC_OK);
        for (size_t i = 0; i < 64; i++) {
            cr_assert_eq(kernel[i], i >= OURS ? 0xee : i < theirs ? 9 : 0);
        }
        for (size_t bad = OURS; bad < theirs; bad++) {
            fill(p + bad, 1, 1);
            cr_assert_eq(kc_ucopy_struct_from(&window, kernel, OURS, at(p), theirs),
                         KC_ERR_UNSUPPORTED);
            cr_assert_eq(kernel[0], 0);
            fill(p + bad, 0, 1);
        }
        memset(kernel, 7, OURS);
        fill(0, 0xcc, 128);
        bool lost = false;
        cr_assert_eq(kc_ucopy_struct_to(&window, at(0), theirs, kernel, OURS, &lost), KC_OK);
        cr_assert_eq(lost, theirs < OURS);
        for (size_t i = 0; i < 128; i++) {
            cr_assert_eq(pages[i], i >= theirs ? 0xcc : i < OURS ? 7 : 0);
        }
    }
    fill(2 * page - 30, 0, 30);
    cr_expect_eq(kc_ucopy_struct_from(&window, kernel, OURS, at(2 * page - 30), 40), KC_ERR_FAULT);
    cr_expect_eq(kc_ucopy_struct_from(&window, kernel, OURS, at(2 * page - 10), 20), KC_ERR_FAULT);
    cr_expect_eq(kernel[0], 0);
    cr_expect_eq(kc_ucopy_struct_to(&window, at(page - 10), 20, kernel, OURS, NULL), KC_ERR_FAULT);
    cr_expect_eq(kc_ucopy_struct_from(&window, kernel, KC_UCOPY_STRUCT_MAX + 1, at(0), 8),
                 KC_ERR_ARG);
}
