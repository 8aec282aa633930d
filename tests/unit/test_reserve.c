/* SPDX-License-Identifier: BSD-2-Clause */
/* reserve: the contract of kc/reserve.h, and the invariants S1 and S2 of src/mem/reserve.c. */
#include <kc_test.h>

#include <kc/reserve.h>

#include "kc_bytes.h"
#include "expect_misuse.h"

#define COUNT 6u

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;
static struct kc_heap heap;
static struct kc_reserve reserve;
static void *slot[COUNT];

static void set_up(void)
{
    struct kc_heap_config config = {"test", &misuse, 0, 0, NULL, 0};
    cr_assert(kc_test_ram(KC_MIB(8), &info));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    cr_assert_eq(kc_heap_init(&heap, &config, &frames), KC_OK);
}

TestSuite(reserve, .init = set_up);

static void expect_nothing_held(void)
{
    struct kc_frame_stats s;
    cr_expect_eq(kc_heap_fini(&heap), KC_OK);
    kc_frame_stats(&frames, &s);
    cr_expect_eq(s.used_frames, 0);
    cr_expect_eq(kc_frames_check(&frames, NULL), KC_OK);
}

static kc_status_t make(size_t size)
{
    struct kc_reserve_config config = {"spare", size, COUNT, 0, slot, &misuse};
    return kc_reserve_init(&reserve, &config, &heap);
}

/* Leaves no free frame; or gives them back. */
static void hold_all_frames(bool hold)
{
    static kc_pa_t held[4096];
    static uint32_t count;
    (void)kc_heap_trim(&heap, 0);
    while (hold && count < KC_ARRAY_COUNT(held) &&
           kc_frame_alloc(&frames, 0, 0, KC_FRAME_OWNER_TEST, &held[count]) == KC_OK) {
        count++;
    }
    while (!hold && count > 0) {
        cr_assert_eq(kc_frame_free(&frames, held[--count], 0), KC_OK);
    }
}

Test(reserve, init_refuses_what_is_malformed)
{
    struct kc_reserve_config config = {NULL, 100, COUNT, 0, slot, &misuse};
    cr_expect_eq(kc_reserve_init(NULL, &config, &heap), KC_ERR_ARG);
    cr_expect_eq(kc_reserve_init(&reserve, NULL, &heap), KC_ERR_ARG);
    cr_expect_eq(kc_reserve_init(&reserve, &config, NULL), KC_ERR_ARG);
    config.slot = NULL;
    cr_expect_eq(kc_reserve_init(&reserve, &config, &heap), KC_ERR_ARG);
    config.slot = slot;
    config.count = 0;
    cr_expect_eq(kc_reserve_init(&reserve, &config, &heap), KC_ERR_RANGE);
    config.count = KC_RESERVE_COUNT_MAX + 1;
    cr_expect_eq(kc_reserve_init(&reserve, &config, &heap), KC_ERR_RANGE);
    config.count = COUNT;
    config.size = 0;
    cr_expect_eq(kc_reserve_init(&reserve, &config, &heap), KC_ERR_RANGE);
    config.size = KC_HEAP_SIZE_MAX + 1;
    cr_expect_eq(kc_reserve_init(&reserve, &config, &heap), KC_ERR_RANGE);
    /* Each of the frames that it takes may fail; then nothing stays. */
    for (uint64_t n = 0; n < COUNT; n++) {
        kc_frames_fail_after(&frames, n);
        cr_expect_eq(make(20000), KC_ERR_NOMEM);
        struct kc_heap_stats s;
        kc_heap_stats(&heap, &s);
        cr_expect_eq(s.live, 0);
    }
    kc_frames_fail_after(&frames, UINT64_MAX);
    expect_nothing_held();
}

Test(reserve, hands_out_what_was_set_aside_when_the_heap_has_none)
{
    static const size_t sizes[] = {40, 20000};
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(sizes); i++) {
        struct kc_reserve_stats s;
        unsigned char *p[COUNT];
        cr_assert_eq(make(sizes[i]), KC_OK);
        cr_expect_null(kc_reserve_alloc(&reserve, 0x80));
        void *first = kc_reserve_alloc(&reserve, 0);
        kc_reserve_stats(&reserve, &s);
        cr_expect_eq(s.have, COUNT, "the heap had one");
        hold_all_frames(true);
        /* What the heap still has in the slab; and then all of the reserve. */
        void *chain = NULL;
        for (void **q; sizes[i] == 40 && (q = kc_heap_alloc(&heap, 40, 0)) != NULL; chain = q) {
            *q = chain;
        }
        for (uint32_t k = 0; k < COUNT; k++) {
            p[k] = kc_reserve_alloc(&reserve, (k & 1) != 0 ? KC_HEAP_ATOMIC | KC_HEAP_ZERO : 0);
            cr_assert_not_null(p[k]);
            cr_expect((k & 1) == 0 || (p[k][0] == 0 && p[k][sizes[i] - 1] == 0));
            __builtin_memset(p[k], 0x77, sizes[i]);
            cr_expect_eq(kc_reserve_check(&reserve, NULL), KC_OK);
        }
        EXPECT_MISUSE(kc_reserve_alloc(&reserve, 0), NULL, KC_MISUSE_OVERUSE);
        kc_reserve_stats(&reserve, &s);
        cr_expect_eq(s.have, 0);
        cr_expect_eq(s.least, 0);
        cr_expect_eq(s.out, COUNT + 1);
        cr_expect_eq(s.over_count, 1);
        cr_expect_eq(s.spare_count, COUNT);
        /* Without a frame in the system, to and fro for ever: each free fills the reserve. */
        for (uint32_t k = 0; k < 100; k++) {
            cr_assert_eq(kc_reserve_free(&reserve, p[k % COUNT]), KC_OK);
            p[k % COUNT] = kc_reserve_alloc(&reserve, KC_HEAP_NO_WAIT);
            cr_assert_not_null(p[k % COUNT]);
        }
        EXPECT_MISUSE(kc_reserve_fini(&reserve), KC_ERR_STATE, KC_MISUSE_BUSY);
        hold_all_frames(false);
        for (uint32_t k = 0; k < COUNT; k++) {
            cr_expect_eq(kc_reserve_free(&reserve, p[k]), KC_OK);
        }
        cr_expect_eq(kc_reserve_free(&reserve, first), KC_OK, "full: this one is the heap's");
        kc_reserve_stats(&reserve, &s);
        cr_expect_eq(s.have, COUNT);
        cr_expect_eq(s.out, 0);
        cr_expect_eq(kc_reserve_check(&reserve, NULL), KC_OK);
        cr_expect_eq(kc_reserve_fini(&reserve), KC_OK);
        while (chain != NULL) {
            void *next = *(void **)chain;
            cr_assert_eq(kc_heap_free(&heap, chain), KC_OK);
            chain = next;
        }
    }
    expect_nothing_held();
}

Test(reserve, every_bad_free_has_its_answer)
{
    static unsigned char elsewhere[16];
    cr_assert_eq(make(40), KC_OK);
    unsigned char *own = kc_heap_alloc(&heap, 40, 0);
    unsigned char *odd = kc_heap_alloc(&heap, 400, 0);
    cr_expect_eq(kc_reserve_free(&reserve, NULL), KC_OK);
    EXPECT_MISUSE(kc_reserve_free(&reserve, own), KC_ERR_PERM, KC_MISUSE_WRONG_OWNER);
    unsigned char *p = kc_reserve_alloc(&reserve, 0);
    EXPECT_MISUSE(kc_reserve_free(&reserve, slot[2]), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    EXPECT_MISUSE(kc_reserve_free(&reserve, odd), KC_ERR_ARG, KC_MISUSE_WRONG_SIZE);
    EXPECT_MISUSE(kc_reserve_free(&reserve, p + 8), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    EXPECT_MISUSE(kc_reserve_free(&reserve, elsewhere), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
    cr_expect_eq(kc_reserve_free(&reserve, p), KC_OK);
    EXPECT_MISUSE(kc_reserve_free(&reserve, p), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    cr_expect_eq(kc_heap_free(&heap, own), KC_OK);
    cr_expect_eq(kc_heap_free(&heap, odd), KC_OK);
    cr_expect_eq(kc_reserve_fini(&reserve), KC_OK);
    expect_nothing_held();
}

/* Random calls while frames fail at random: no allocation fails that the promise covers. */
Test(reserve, random_operations_keep_the_promise)
{
    static void *out[2 * COUNT];
    uint64_t seed = kc_test_seed();
    uint32_t count = 0;
    cr_assert_eq(make(9000), KC_OK);
    for (uint32_t step = 0; step < 4000; step++) {
        uint64_t x = kc_random(&seed) >> 16;
        if ((x & 1) != 0 && count < KC_ARRAY_COUNT(out)) {
            kc_frames_fail_after(&frames, (x & 6) != 0 ? 0 : UINT64_MAX);
            out[count] = kc_reserve_alloc(&reserve, 0);
            cr_assert(out[count] != NULL || count >= COUNT);
            count += out[count] != NULL;
        } else if (count != 0) {
            uint32_t i = (uint32_t)(x >> 8) % count;
            cr_assert_eq(kc_reserve_free(&reserve, out[i]), KC_OK);
            out[i] = out[--count];
        }
        cr_assert_eq(kc_reserve_check(&reserve, NULL), KC_OK);
    }
    cr_expect_gt(misuse.count[KC_MISUSE_OVERUSE], 0, "the reserve was used up at times");
    while (count > 0) {
        cr_assert_eq(kc_reserve_free(&reserve, out[--count]), KC_OK);
    }
    kc_frames_fail_after(&frames, UINT64_MAX);
    cr_expect_eq(kc_reserve_fini(&reserve), KC_OK);
    expect_nothing_held();
}

#define EXPECT_BROKEN(n, place, wrong)                                         \
    do {                                                                       \
        uint32_t invariant_ = 0;                                               \
        __typeof__(place) saved_ = (place);                                    \
        (place) = (wrong);                                                     \
        cr_expect_eq(kc_reserve_check(&reserve, &invariant_), KC_ERR_CORRUPT); \
        cr_expect_eq(invariant_, (uint32_t)(n), #place);                       \
        (place) = saved_;                                                      \
    } while (0)

Test(reserve, check_sees_each_broken_invariant)
{
    cr_assert_eq(make(40), KC_OK);
    EXPECT_BROKEN(1, reserve.have, COUNT + 1);
    EXPECT_BROKEN(1, slot[1], slot[2]);
    EXPECT_BROKEN(1, slot[1], (void *)&misuse);
    EXPECT_BROKEN(1, reserve.size, 400u);
    EXPECT_BROKEN(2, reserve.have, COUNT - 1);
    cr_expect_eq(kc_reserve_fini(&reserve), KC_OK);
    expect_nothing_held();
}
