/* SPDX-License-Identifier: BSD-2-Clause */
/* bounds: the contract of kc/bounds.h, and the judge of kc/ucopy.h. */
#include "kc_test.h"

#include <kc/pool.h>
#include <kc/ucopy.h>

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;
static struct kc_heap heap;
static struct kc_cache cache;

static void set_up(void)
{
    struct kc_heap_config hc = {"test", &misuse, 0, 1, NULL, 0};
    struct kc_cache_config cc = {
        .name = "test", .object_bytes = 93, .misuse = &misuse, .cpu_count = 1};
    cr_assert(kc_test_ram(KC_MIB(8), &info));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    cr_assert_eq(kc_heap_init(&heap, &hc, &frames), KC_OK);
    cr_assert_eq(kc_cache_init(&cache, &cc, &frames), KC_OK);
}

TestSuite(bounds, .init = set_up);

static kc_status_t reach_is(const void *p, size_t n, size_t expected)
{
    size_t reach = 999;
    kc_status_t status = kc_bounds_reach(&frames, p, n, &reach);
    cr_expect_eq(reach, expected);
    return status;
}

/* Each byte of an object, and the slack behind it, which is nobody's. */
Test(bounds, a_caches_object_ends_where_its_bytes_do)
{
    unsigned char *p = kc_cache_alloc(&cache, 0);
    unsigned char *q = kc_cache_alloc(&cache, 0);
    cr_assert(KC_HARDENING >= KC_HARDENING_FULL || q - p == 96);
    for (uint32_t i = 0; i < 93; i++) {
        cr_assert_eq(reach_is(p + i, 1000, 93 - i), KC_OK);
        cr_assert_eq(reach_is(p + i, 1, 1), KC_OK, "not further than asked");
    }
    for (uint32_t i = 93; i < 96; i++) {
        cr_assert_eq(reach_is(p + i, 1, 0), KC_ERR_ABSENT);
    }
    cr_expect_eq(reach_is(q + 96, 1, 0), KC_ERR_ABSENT, "a free object");
    cr_expect_eq(kc_cache_free(&cache, p), KC_OK);
    cr_expect_eq(reach_is(p, 1, 0), KC_ERR_ABSENT);
    cr_expect_eq(reach_is(q, 1000, 93), KC_OK);
}

Test(bounds, every_size_of_a_heap_is_what_it_says_is_usable)
{
    static const size_t sizes[] = {1, 8, 61, 200, 4096, 5000, 8192, 9000, 5 * 4096, 21 * 4096 - 1};
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(sizes); i++) {
        unsigned char *p = kc_heap_alloc(&heap, sizes[i], 0);
        size_t usable = kc_heap_usable(&heap, p);
        for (size_t at = 0; at < usable; at += 1 + usable / 50) {
            cr_assert_eq(reach_is(p + at, SIZE_MAX, usable - at), KC_OK);
        }
        cr_assert_eq(reach_is(p + usable - 1, 100, 1), KC_OK);
        cr_expect_eq(kc_heap_free(&heap, p), KC_OK);
        cr_expect_eq(reach_is(p, 1, 0), KC_ERR_ABSENT);
    }
}

Test(bounds, frames_go_on_through_blocks_of_one_owner)
{
    kc_pa_t run;
    kc_pa_t table;
    cr_assert_eq(kc_frame_alloc_run(&frames, 7, 3, 0, KC_FRAME_OWNER_TEST, &run), KC_OK);
    unsigned char *p = kc_plat_ram(run);
    cr_expect_eq(reach_is(p, 7 * 4096, 7 * 4096), KC_OK);
    cr_expect_eq(reach_is(p + 100, SIZE_MAX, 7 * 4096 - 100), KC_OK);
    cr_expect_eq(reach_is(p + 5 * 4096 + 1, 2 * 4096 - 1, 2 * 4096 - 1), KC_OK);
    cr_expect_eq(reach_is(p + 7 * 4096, 1, 0), KC_ERR_ABSENT, "free");
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, KC_FRAME_OWNER_TABLE, &table), KC_OK);
    cr_expect_eq(reach_is(kc_plat_ram(table), 1, 0), KC_ERR_PERM, "a table is nobody's to copy");
    cr_expect_eq(reach_is(p, SIZE_MAX, 7 * 4096), KC_OK, "another's frames are behind it");
}

Test(bounds, what_is_no_frame_is_out_of_range)
{
    uint64_t local = 0;
    cr_expect_eq(reach_is(&misuse, 1, 0), KC_ERR_RANGE);
    cr_expect_eq(reach_is(&local, 1, 0), KC_ERR_RANGE);
    cr_expect_eq(reach_is(NULL, 1, 0), KC_ERR_RANGE);
    cr_expect_eq(reach_is((void *)UINTPTR_MAX, 1, 0), KC_ERR_RANGE);
}

/* ---- the judge of user copies --------------------------------------------------------------- */

#define USER UINT64_C(0x10000)

static unsigned char plain[32];

/* What is refused is refused before the user's side is looked at: there is no such memory here. */
static struct kc_uwindow judged(struct kc_ucopy_judge *judge)
{
    static struct kc_ucopy_plain ranges[1];
    ranges[0] = (struct kc_ucopy_plain){plain, sizeof(plain)};
    *judge = (struct kc_ucopy_judge){&frames, ranges, 1, &misuse};
    return (struct kc_uwindow){kc_uva(USER), 0x10000, judge};
}

#if KC_HARDENING >= KC_HARDENING_CHECKED
#define EXPECT_BOUNDS(call)                                         \
    do {                                                            \
        uint64_t total_ = kc_misuse_total(&misuse);                 \
        cr_expect_eq((call), KC_ERR_STATE);                         \
        cr_expect_eq(kc_misuse_total(&misuse), total_ + 1);         \
        cr_expect_eq(misuse.count[KC_MISUSE_BOUNDS], (total_ + 1)); \
    } while (0)

static void expect_bytes(const unsigned char *p, size_t n, unsigned char value)
{
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(p[i], value);
    }
}

/* For every start in the object and every length that leaves it, the greatest of all included. */
Test(bounds, a_copy_beyond_its_object_is_refused_and_zeroes_the_object)
{
    struct kc_ucopy_judge judge;
    struct kc_uwindow w = judged(&judge);
    unsigned char *p = kc_cache_alloc(&cache, 0);
    unsigned char *q = kc_cache_alloc(&cache, 0);
    static const size_t beyond[] = {1, 4, 100, 4096, SIZE_MAX / 2};
    for (uint32_t at = 0; at < 93; at += 23) {
        for (uint32_t k = 0; k < KC_ARRAY_COUNT(beyond); k++) {
            size_t left = 0;
            size_t n = 93 - at + beyond[k];
            __builtin_memset(p, 0x77, 93);
            __builtin_memset(q, 0x77, 93);
            EXPECT_BOUNDS(kc_ucopy_from(&w, p + at, kc_uva(USER), n, &left));
            cr_expect_eq(left, n);
            expect_bytes(p, at, 0x77);
            expect_bytes(p + at, 93 - at, 0);
            expect_bytes(q, 93, 0x77);
            cr_expect_eq(misuse.last.expected, 93 - at);
            cr_expect_eq(misuse.last.found, n);
            EXPECT_BOUNDS(kc_ucopy_to(&w, kc_uva(USER), p + at, n, &left));
            EXPECT_BOUNDS(kc_ucopy_struct_from(&w, p + at, n, kc_uva(USER), 8));
            EXPECT_BOUNDS(kc_ucopy_struct_to(&w, kc_uva(USER), 8, p + at, n, NULL));
            EXPECT_BOUNDS(kc_ucopy_string(&w, (char *)p + at, kc_uva(USER), n, NULL));
        }
    }
    cr_expect_eq(kc_ucopy_from(&w, p, kc_uva(0), 93, NULL), KC_ERR_RANGE,
                 "inside: the user's turn");
    cr_expect_eq(kc_ucopy_from(&w, p, kc_uva(0), 0, NULL), KC_OK);
}

Test(bounds, a_copy_with_no_object_is_refused_and_writes_nothing)
{
    struct kc_ucopy_judge judge;
    struct kc_uwindow w = judged(&judge);
    unsigned char *freed = kc_cache_alloc(&cache, 0);
    uint64_t local = UINT64_C(0x7777777777777777);
    cr_assert_not_null(kc_cache_alloc(&cache, 0));
    cr_expect_eq(kc_cache_free(&cache, freed), KC_OK);
    EXPECT_BOUNDS(kc_ucopy_from(&w, freed, kc_uva(USER), 8, NULL));
    EXPECT_BOUNDS(kc_ucopy_from(&w, &local, kc_uva(USER), 8, NULL));
    cr_expect_eq(local, UINT64_C(0x7777777777777777));
    EXPECT_BOUNDS(kc_ucopy_to(&w, kc_uva(USER), "text", 4, NULL));
    EXPECT_BOUNDS(kc_ucopy_to(&w, kc_uva(USER), (const void *)(uintptr_t)set_up, 4, NULL));
    EXPECT_BOUNDS(kc_ucopy_from(&w, plain + 30, kc_uva(USER), 3, NULL));
    cr_expect_eq(kc_ucopy_from(&w, plain + 30, kc_uva(0), 2, NULL), KC_ERR_RANGE);
    cr_expect_eq(kc_misuse_total(&misuse), misuse.count[KC_MISUSE_BOUNDS]);
}
#else
Test(bounds, below_checked_the_kernel_side_is_the_callers_word)
{
    struct kc_ucopy_judge judge;
    struct kc_uwindow w = judged(&judge);
    uint64_t local = 1;
    cr_expect_eq(kc_ucopy_from(&w, &local, kc_uva(0), 8, NULL), KC_ERR_RANGE);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
}
#endif
