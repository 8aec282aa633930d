/* SPDX-License-Identifier: BSD-2-Clause */
/* cache: the contract of kc/cache.h, and the invariants C1 to C9 of src/mem/cache.c. */
#include <kc_test.h>

#include <kc/tag.h>

#define MODEL_REQUIRE(c) cr_assert(c, "model: %s", #c)
#include "cache_model.h"

#include "cache_fixture.h"

TestSuite(cache, .init = set_up);

static struct kc_cache other;

/* All that is live; nobody frees while a list goes on, so it begins anew each time. */
static void free_all(void)
{
    struct kc_cache_cursor cursor = {0, 0, 0};
    for (void *p; (p = kc_cache_next_live(&cache, &cursor)) != NULL;) {
        cr_assert_eq(kc_cache_free(&cache, p), KC_OK);
        __builtin_memset(&cursor, 0, sizeof(cursor));
    }
}

/* Whatever a slab holds: empty, full, and eighths between, of which none is above a fuller one's.
 */
Test(cache, bins_are_eighths_for_any_number_of_objects)
{
    for (uint32_t objects = 1; objects <= SLAB_OBJECTS_MAX; objects++) {
        cache.shape[0].objects = (uint16_t)objects;
        cache.share[0] = slab_bin_share(objects);
        struct slab_view v = {.objects = objects, .order = 0};
        for (uint32_t used = 0; used <= objects; used++) {
            uint32_t fit = used == 0         ? CACHE_BIN_EMPTY
                           : used == objects ? CACHE_BIN_FULL
                                             : 1 + used * KC_CACHE_BINS / objects;
            uint32_t less = used <= 1 ? CACHE_BIN_EMPTY : 1 + (used - 1) * KC_CACHE_BINS / objects;
            cr_assert_eq(slab_bin(&cache, &v, objects - used), fit, "%u of %u", used, objects);
            if (used != 0) {
                cr_assert_eq(slab_bin_stays(&cache, &v, objects - used), fit == less);
            }
        }
    }
    __builtin_memset(&cache, 0, sizeof cache);
}

Test(cache, init_refuses_what_is_malformed)
{
    struct kc_cache_config c;
    __builtin_memset(&c, 0, sizeof(c));
    c.object_bytes = 8;
    cr_expect_eq(kc_cache_init(NULL, &c, &frames), KC_ERR_ARG);
    cr_expect_eq(kc_cache_init(&cache, NULL, &frames), KC_ERR_ARG);
    cr_expect_eq(kc_cache_init(&cache, &c, NULL), KC_ERR_ARG);
    cr_expect_eq(make(&cache, 0, 8, 0), KC_ERR_RANGE);
    cr_expect_eq(make(&cache, SIZE_MAX, 8, 0), KC_ERR_RANGE);
    cr_expect_eq(make(&cache, KC_CACHE_OBJECT_MAX + 1, 8, 0), KC_ERR_RANGE);
    cr_expect_eq(make(&cache, 8, 3, 0), KC_ERR_ARG);
    cr_expect_eq(make(&cache, 8, 4, 0), KC_ERR_ARG);
    cr_expect_eq(make(&cache, 8, 8192, 0), KC_ERR_RANGE);
    cr_expect_eq(make(&cache, 8, 8, 0x80), KC_ERR_ARG);
    cr_expect_eq(make(&cache, 8, 128, KC_CACHE_COLOURED), KC_ERR_ARG);
    cr_expect_eq(make_for(&cache, 8, 8, 0, KC_CPUS_MAX + 1), KC_ERR_RANGE);
    c.frame_flags = KC_FRAME_ZERO;
    cr_expect_eq(kc_cache_init(&cache, &c, &frames), KC_ERR_ARG);
    c.frame_flags = 0;
    c.slab_order = KC_CACHE_ORDER_MAX + 2;
    cr_expect_eq(kc_cache_init(&cache, &c, &frames), KC_ERR_RANGE);
    c.slab_order = KC_CACHE_ORDER_MAX + 4; /* whatever lies behind the shapes */
    cr_expect_eq(kc_cache_init(&cache, &c, &frames), KC_ERR_RANGE);
    c.slab_order = 1;
    c.object_bytes = 4090;
    cr_expect_eq(kc_cache_init(&cache, &c, &frames), KC_ERR_RANGE);
    c.object_bytes = 4040;
    cr_expect_eq(kc_cache_init(&cache, &c, &frames), KC_OK);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
}

/* Every size: what a slab holds, and that no byte of an object is another's or the state's. */
static void slabs_of_every_size(uint32_t cpus)
{
    for (size_t bytes = 8; bytes <= KC_CACHE_OBJECT_MAX; bytes += bytes < 512 ? 8 : 504) {
        cr_assert_eq(make_for(&cache, bytes, 0, 0, cpus), KC_OK);
        uint32_t n = cache.shape[cache.order_first].objects;
        cr_assert_geq(n, 1);
        cr_assert_leq(cache.order_first, cache.order_more);
        for (uint32_t i = 0; i < n; i++) {
            unsigned char *p = kc_cache_alloc(&cache, 0);
            cr_assert_not_null(p);
            __builtin_memset(p, (int)i, bytes);
        }
        cr_assert_eq(cache.slabs, 1);
        cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
        struct kc_cache_cursor cursor = {0, 0, 0};
        for (uint32_t i = 0; i < n; i++) {
            unsigned char *p = kc_cache_next_live(&cache, &cursor);
            cr_assert_not_null(p);
            cr_assert_eq(p[0], IS_FULL ? p[bytes / 2] : (uint8_t)i);
            cr_assert_eq(p[bytes - 1], p[0]);
        }
        free_all();
        cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    }
    expect_nothing_held();
}

Test(cache, slabs_of_every_size_hold_what_they_should)
{
    slabs_of_every_size(0);
}

Test(cache, slabs_of_every_size_hold_what_they_should_with_magazines)
{
    slabs_of_every_size(2);
}

#if !IS_FULL
Test(cache, powers_of_two_pack_without_a_gap)
{
    for (uint32_t bytes = 256; bytes <= 4096; bytes *= 2) {
        cr_assert_eq(make(&cache, bytes, 0, 0), KC_OK);
        uint32_t o = cache.order_more;
        cr_expect_eq(cache.shape[o].objects * bytes, KC_FRAME_BYTES << o, "%u", bytes);
        cr_expect_eq(cache.shape[o].state_offset, 0);
    }
    for (uint32_t bytes = 1024; bytes <= 4096; bytes *= 2) {
        cr_assert_eq(make_for(&cache, bytes, 0, 0, 2), KC_OK);
        uint32_t o = cache.order_more;
        cr_expect_eq(cache.shape[o].objects * bytes, KC_FRAME_BYTES << o, "%u", bytes);
        cr_expect_eq(cache.shape[o].by_bytes, KC_MAG_HAS_STATE);
    }
    cr_assert_eq(make(&cache, 8, 0, 0), KC_OK);
    cr_expect_geq(cache.shape[0].objects, 500);
}

#endif

Test(cache, alignment_is_kept)
{
    for (size_t align = 8; align <= KC_CACHE_ALIGN_MAX; align *= 2) {
        cr_assert_eq(make(&cache, 24, align, 0), KC_OK);
        void *p[5];
        for (uint32_t i = 0; i < 5; i++) {
            p[i] = kc_cache_alloc(&cache, 0);
            cr_assert(kc_is_aligned((uintptr_t)p[i], align));
        }
        for (uint32_t i = 0; i < 5; i++) {
            cr_assert_eq(kc_cache_free(&cache, p[i]), KC_OK);
        }
        cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    }
    expect_nothing_held();
}

Test(cache, one_empty_slab_is_kept_and_shrink_gives_it_back)
{
    cr_assert_eq(make(&cache, 1000, 0, 0), KC_OK);
    void *p[64];
    struct kc_cache_stats s;
    for (uint32_t i = 0; i < 64; i++) {
        p[i] = kc_cache_alloc(&cache, 0);
        cr_assert_not_null(p[i]);
    }
    for (uint32_t i = 0; i < 64; i++) {
        cr_assert_eq(kc_cache_free(&cache, p[i]), KC_OK);
    }
    settle(&cache);
    kc_cache_stats(&cache, &s);
    cr_assert_eq(s.slabs, 1);
    cr_assert_eq(s.slabs_empty, 1);
    cr_assert_eq(s.live, 0);
    cr_assert_eq(s.peak_live, 64);
    cr_assert_eq(kc_cache_shrink(&cache), s.frames_bytes / KC_FRAME_BYTES);
    kc_cache_stats(&cache, &s);
    cr_assert_eq(s.frames_bytes, 0);
    cr_assert_eq(make(&other, 1000, 0, KC_CACHE_KEEP_NONE), KC_OK);
    p[0] = kc_cache_alloc(&other, 0);
    cr_assert_eq(kc_cache_free(&other, p[0]), KC_OK);
    settle(&other);
    kc_cache_stats(&other, &s);
    cr_assert_eq(s.slabs, 0);
    expect_nothing_held();
}

Test(cache, peaks_stay_when_what_was_used_is_given_back)
{
    cr_assert_eq(make(&cache, 1000, 0, 0), KC_OK);
    void *p[64];
    struct kc_cache_stats most, s;
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
        p[i] = kc_cache_alloc(&cache, 0);
        cr_assert_not_null(p[i]);
    }
    kc_cache_stats(&cache, &most);
    cr_expect_eq(most.peak_frames_bytes, most.frames_bytes);
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
        cr_assert_eq(kc_cache_free(&cache, p[i]), KC_OK);
    }
    cr_expect_gt(kc_cache_shrink(&cache), 0);
    p[0] = kc_cache_alloc(&cache, 0);
    kc_cache_stats(&cache, &s);
    cr_expect_eq(s.peak_live, KC_ARRAY_COUNT(p));
    cr_expect_eq(s.peak_frames_bytes, most.frames_bytes);
    cr_expect_lt(s.frames_bytes, most.frames_bytes);
    cr_assert_eq(kc_cache_free(&cache, p[0]), KC_OK);
    cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    expect_nothing_held();
}

/* No two objects of a slab have their first lines in the same of 64 sets, as far as there are so
 * many. */
Test(cache, coloured_objects_meet_different_sets)
{
    static const size_t bytes_of[] = {1, 64, 65, 128, 512, 1000, 1024, 4096, KC_CACHE_OBJECT_MAX};
    for (uint32_t i = 0; i < 2 * KC_ARRAY_COUNT(bytes_of); i++) {
        cr_assert_eq(make_for(&cache, bytes_of[i / 2], 0, KC_CACHE_COLOURED, i % 2), KC_OK);
        struct kc_cache_stats s;
        void *p[64];
        uint32_t n = 0;
        do {
            p[n] = kc_cache_alloc(&cache, 0);
            cr_assert_not_null(p[n]);
            cr_assert_eq((uintptr_t)p[n++] % KC_LINE_BYTES, 0);
            kc_cache_stats(&cache, &s);
        } while (n < 64 && n < s.capacity);
        cr_assert_eq(s.slabs, 1);
        uint64_t met = 0;
        for (uint32_t k = 0; k < n; k++) {
            uint64_t set = (uint64_t)1 << (uintptr_t)kc_tag_strip(p[k]) / KC_LINE_BYTES % 64;
            cr_expect_eq(met & set, 0);
            met |= set;
            cr_assert_eq(kc_cache_free(&cache, p[k]), KC_OK);
        }
        cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
        cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    }
    expect_nothing_held();
}

#if !IS_FULL
Test(cache, allocates_from_the_fullest_slab)
{
    cr_assert_eq(make(&cache, 512, 0, 0), KC_OK);
    uint32_t n = cache.shape[0].objects;
    void *p[64] = {NULL};
    for (uint32_t i = 0; i < 3 * n; i++) {
        p[i] = kc_cache_alloc(&cache, 0);
    }
    /* Slab 0 keeps one object, slab 1 all but one, slab 2 half of its. */
    for (uint32_t i = 1; i < n; i++) {
        cr_assert_eq(kc_cache_free(&cache, p[i]), KC_OK);
    }
    cr_assert_eq(kc_cache_free(&cache, p[n]), KC_OK);
    for (uint32_t i = 2 * n; i < 2 * n + n / 2; i++) {
        cr_assert_eq(kc_cache_free(&cache, p[i]), KC_OK);
    }
    cr_assert_eq(kc_cache_alloc(&cache, 0), p[n]);
    cr_assert_eq(kc_cache_alloc(&cache, 0), p[2 * n]);
    cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
}

#endif

static uint32_t constructed;
static void construct(void *object)
{
    *(uint64_t *)object = 0x600d;
    constructed++;
}

/* Allocates until the object at that place comes: at once, but at hardening full. */
static void *alloc_at(const void *place)
{
    void *p = kc_cache_alloc(&cache, 0);
    for (uint32_t i = 0; kc_tag_strip(p) != kc_tag_strip(place); i++) {
        cr_assert(IS_FULL && i < cache.shape[0].objects, "the one freed last comes next");
        p = kc_cache_alloc(&cache, 0);
    }
    return p;
}

Test(cache, constructor_runs_once_an_object)
{
    struct kc_cache_config config;
    __builtin_memset(&config, 0, sizeof(config));
    config.object_bytes = 100;
    config.ctor = construct;
    config.misuse = &misuse;
    constructed = 0;
    cr_assert_eq(kc_cache_init(&cache, &config, &frames), KC_OK);
    cr_assert_null(kc_cache_alloc(&cache, KC_CACHE_ZERO));
    uint64_t *p = kc_cache_alloc(&cache, 0);
    cr_assert_eq(constructed, cache.shape[0].objects);
    cr_assert_eq(p[0], 0x600d);
    p[1] = 77;
    cr_assert_eq(kc_cache_free(&cache, p), KC_OK);
    settle(&cache);
    p = alloc_at(p);
    cr_assert_eq(p[0], 0x600d);
    cr_assert_eq(p[1], 77);
    cr_assert_eq(constructed, cache.shape[0].objects);
    free_all();
    cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK, "what is free need not be zero");
    cr_assert_eq(kc_cache_fini(&cache), KC_OK);
}

Test(cache, every_bad_free_has_its_answer)
{
    static unsigned char elsewhere[16];
    cr_assert_eq(make(&cache, 40, 0, 0), KC_OK);
    cr_assert_eq(make(&other, 40, 0, 0), KC_OK);
    unsigned char *p = kc_cache_alloc(&cache, 0);
    unsigned char *q = kc_cache_alloc(&other, 0);
    kc_pa_t used, claimed;
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, KC_FRAME_OWNER_TEST, &used), KC_OK);
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, KC_FRAME_OWNER_TEST, &claimed), KC_OK);
    (void)kc_frame_claim(&frames, claimed, 0, (uintptr_t)&cache);
    cr_assert_null(kc_cache_alloc(&cache, 0x80));
    uint64_t irq = kc_plat_irq_save();
    cr_assert_null(kc_cache_alloc_pinned(&cache, 0x80));
    kc_plat_irq_restore(irq);

    cr_expect_eq(kc_cache_free(&cache, NULL), KC_OK);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
    EXPECT_MISUSE(kc_cache_free(&cache, elsewhere), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
    EXPECT_MISUSE(kc_cache_free(&cache, (void *)UINTPTR_MAX), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
    EXPECT_MISUSE(kc_cache_free(&cache, (void *)(uintptr_t)8), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
    EXPECT_MISUSE(kc_cache_free(&cache, kc_plat_ram(used)), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
    EXPECT_MISUSE(kc_cache_free(&cache, kc_plat_ram(claimed)), KC_ERR_PERM, KC_MISUSE_WRONG_OWNER);
    EXPECT_MISUSE(kc_cache_free(&cache, q), KC_ERR_PERM, KC_MISUSE_WRONG_OWNER);
    EXPECT_MISUSE(kc_cache_free(&cache, p + 8), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    EXPECT_MISUSE(kc_cache_free(&cache, p + 1), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    unsigned char *slab = p - ((uintptr_t)p & (KC_FRAME_BYTES - 1));
    unsigned char *unused = p == slab ? slab + cache.stride : slab;
    EXPECT_MISUSE(kc_cache_free(&cache, slab + cache.shape[0].state_offset), KC_ERR_ALIGN,
                  KC_MISUSE_INTERIOR);
    EXPECT_MISUSE(kc_cache_free(&cache, slab + (size_t)cache.shape[0].objects * cache.stride),
                  KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    EXPECT_MISUSE(kc_cache_free(&cache, unused), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    EXPECT_MISUSE(kc_cache_probe(&cache, unused), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    cr_expect_eq(kc_cache_probe(&cache, p), KC_OK);
    EXPECT_MISUSE(kc_cache_fini(&cache), KC_ERR_STATE, KC_MISUSE_BUSY);
    cr_expect_eq(kc_cache_free(&cache, p), KC_OK);
    EXPECT_MISUSE(kc_cache_free(&cache, p), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    cr_expect_str_eq(misuse.last.object, "test");
    cr_expect_eq(kc_cache_shrink(&cache), 1);
    EXPECT_MISUSE(kc_cache_free(&cache, p), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    cr_expect_eq(kc_cache_check(&cache, NULL), KC_OK);
    cr_expect_eq(kc_cache_free(&other, q), KC_OK);
    kc_frame_unclaim(&frames, claimed, 0);
}

Test(cache, slab_frames_cannot_be_freed_under_it)
{
    cr_assert_eq(make(&cache, 40, 0, 0), KC_OK);
    unsigned char *p = kc_cache_alloc(&cache, 0);
    kc_pa_t slab = kc_pa_align_down(kc_plat_ram_pa(p), KC_FRAME_BYTES);
    cr_expect_eq(kc_frame_owner_of(&frames, slab), KC_FRAME_OWNER_CACHE);
    EXPECT_MISUSE(kc_frame_free(&frames, slab, 0), KC_ERR_PERM, KC_MISUSE_WRONG_OWNER);
}

static void random_operations(uint32_t cpus)
{
    static const size_t bytes_of[] = {1, 8, 24, 64, 192, 255, 700, 1024, 2560};
    static struct cache_model m;
    static uint8_t bytes[6000];
    uint64_t seed = kc_test_seed();
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(bytes_of); i++) {
        struct kc_bytes o = {bytes, sizeof(bytes), 0};
        kc_random_fill(&seed, bytes, sizeof(bytes));
        cr_assert_eq(make_for(&cache, bytes_of[i], 8u << i % 4, 0, cpus), KC_OK);
        cache_model_init(&m, &cache, &misuse, bytes_of[i], 8u << i % 4);
        kc_test_listen(i % 2 == 0);
        while (!kc_bytes_is_empty(&o)) {
            cache_model_step(&m, &o);
            cache_model_check(&m);
        }
        cache_model_finish(&m);
        cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    }
    expect_nothing_held();
}

Test(cache, random_operations_agree_with_the_model)
{
    random_operations(0);
}

Test(cache, random_operations_agree_with_the_model_with_a_magazine)
{
    random_operations(1);
}

/* Fails the first frame allocation, then the second, until none is left to fail. */
static void every_frame_fails(uint32_t cpus)
{
    static struct cache_model m;
    static uint8_t bytes[2000];
    uint64_t seed = kc_test_seed();
    uint64_t failed = 1;
    kc_random_fill(&seed, bytes, sizeof(bytes));
    for (uint64_t n = 0; failed != 0; n++) {
        struct kc_bytes o = {bytes, sizeof(bytes), 0};
        struct kc_frame_stats before, now;
        kc_frame_stats(&frames, &before);
        cr_assert_eq(make_for(&cache, 1500, 0, 0, cpus), KC_OK);
        cache_model_init(&m, &cache, &misuse, 1500, 8);
        m.may_fail = true;
        kc_frames_fail_after(&frames, n);
        while (!kc_bytes_is_empty(&o)) {
            cache_model_step(&m, &o);
        }
        cache_model_check(&m);
        cache_model_finish(&m);
        cr_assert_eq(kc_cache_fini(&cache), KC_OK);
        kc_frame_stats(&frames, &now);
        cr_assert_eq(now.used_frames, 0);
        failed = now.fail_count - before.fail_count;
        cr_assert_leq(failed, 1);
    }
    kc_frames_fail_after(&frames, UINT64_MAX);
    expect_nothing_held();
}

Test(cache, every_frame_may_fail)
{
    every_frame_fails(0);
}

Test(cache, every_frame_may_fail_with_a_magazine)
{
    every_frame_fails(1);
}

Test(cache, falls_back_to_small_slabs_when_memory_is_in_pieces)
{
    cr_assert_eq(make(&cache, 256, 0, 0), KC_OK);
    cr_assert_gt(cache.order_more, cache.order_first);
    kc_pa_t pa;
    kc_pa_t last = kc_pa(0);
    /* Every second frame of all memory is free. */
    while (kc_frame_alloc(&frames, 0, 0, KC_FRAME_OWNER_TEST, &pa) == KC_OK) {
        if ((kc_pa_raw(pa) >> KC_FRAME_LOG2 & 1) != 0) {
            *(uint64_t *)kc_plat_ram(pa) = kc_pa_raw(last);
            last = pa;
        }
    }
    while (kc_pa_raw(last) != 0) {
        kc_pa_t next = kc_pa(*(uint64_t *)kc_plat_ram(last));
        cr_assert_eq(kc_frame_free(&frames, last, 0), KC_OK);
        last = next;
    }
    struct kc_frame_stats s;
    kc_frame_stats(&frames, &s);
    uint64_t count = 0;
    while (kc_cache_alloc(&cache, 0) != NULL) {
        count++;
    }
    cr_assert_eq(count, s.free_frames * cache.shape[0].objects);
    cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
}

#if KC_HARDENING >= KC_HARDENING_FULL
Test(cache, write_after_free_is_noticed_at_the_next_allocation)
{
    cr_assert_eq(make(&cache, 48, 0, 0), KC_OK);
    unsigned char *keep = kc_cache_alloc(&cache, 0);
    unsigned char *b = kc_cache_alloc(&cache, 0);
    cr_assert_eq(kc_cache_free(&cache, b), KC_OK);
    kc_plat_note(KC_NOTE_ALLOC, (uintptr_t)b, 48, NULL); /* so that only the cache notices */
    *(unsigned char *)kc_tag_load(b + 47) = 1;           /* whatever its tag */
    kc_plat_note(KC_NOTE_FREE, (uintptr_t)b, 48, NULL);
    struct kc_cache_fault where = {0, 0, 0, 0};
    cr_assert_eq(kc_cache_check(&cache, &where), KC_ERR_CORRUPT);
    cr_assert_eq(where.invariant, 6);
    settle(&cache);
    b = alloc_at(b);
    cr_assert_eq(misuse.count[KC_MISUSE_CORRUPT], 1);
    cr_assert_eq(b[47], 0);
    cr_assert_eq(kc_cache_free(&cache, b), KC_OK);
    cr_assert_eq(kc_cache_free(&cache, keep), KC_OK);
    cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
}

Test(cache, overrun_is_noticed_at_the_free_and_repaired)
{
    cr_assert_eq(make(&cache, 44, 0, 0), KC_OK);
    unsigned char *keep = kc_cache_alloc(&cache, 0);
    for (uint32_t at = 44; at < cache.stride; at++) {
        unsigned char *b = kc_cache_alloc(&cache, 0);
        kc_plat_note(KC_NOTE_ALLOC, (uintptr_t)b, cache.stride, NULL); /* the cache alone notices */
        *(unsigned char *)kc_tag_load(b + at) ^= 1;                    /* whatever its tag */
        EXPECT_MISUSE(kc_cache_free(&cache, b), KC_ERR_CORRUPT, KC_MISUSE_CORRUPT);
        cr_expect_eq(misuse.last.found, at);
        cr_expect_eq(kc_cache_check(&cache, NULL), KC_OK);
        EXPECT_MISUSE(kc_cache_free(&cache, b), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    }
    cr_expect_eq(kc_cache_free(&cache, keep), KC_OK);
    cr_assert_eq(kc_cache_fini(&cache), KC_OK);
}

Test(cache, an_object_may_hold_what_is_behind_objects)
{
    void *p[20];
    cr_assert_eq(make(&cache, 64, 0, 0), KC_OK);
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
        p[i] = kc_cache_alloc(&cache, 0);
        __builtin_memset(p[i], CACHE_REDZONE, 64);
    }
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
        cr_expect_eq(kc_cache_free(&cache, p[i]), KC_OK);
    }
    cr_assert_eq(kc_cache_fini(&cache), KC_OK);
}

Test(cache, a_freed_object_waits_in_quarantine)
{
    cr_assert_eq(make(&cache, 64, 0, 0), KC_OK);
    unsigned char *b = kc_cache_alloc(&cache, 0);
    void *other_one = kc_cache_alloc(&cache, 0);
    cr_assert_eq(kc_cache_free(&cache, b), KC_OK);
    struct kc_cache_stats s;
    kc_cache_stats(&cache, &s);
    cr_expect_eq(s.live, 1);
    cr_expect_eq(s.kept, 1);
    for (uint32_t i = 1; i < KC_CACHE_QUARANTINE; i++) {
        void *p = kc_cache_alloc(&cache, 0);
        cr_assert_neq(p, b);
        cr_assert_eq(kc_cache_free(&cache, p), KC_OK);
    }
    cr_expect_not(kc_cache_is_live(&cache, b));
    cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
    cr_expect_eq(kc_cache_free(&cache, other_one), KC_OK);
    cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    expect_nothing_held();
}
#endif

#if !IS_FULL
/* The slab at hand until it is full; then the fullest, not the one before. */
Test(cache, allocations_take_from_one_slab_until_it_is_full)
{
    static void *p[3 * KC_FRAME_BYTES / 64];
    struct kc_cache_config config = {
        .name = "test", .object_bytes = 64, .misuse = &misuse, .slab_order = 1};
    cr_assert_eq(kc_cache_init(&cache, &config, &frames), KC_OK);
    uint32_t each = cache.shape[0].objects;
    for (uint32_t i = 0; i < 2 * each; i++) {
        cr_assert_null(i % each == 0 ? cache.hand : NULL);
        p[i] = kc_cache_alloc(&cache, 0);
    }
    p[2 * each] = kc_cache_alloc(&cache, 0);
    const struct kc_frame *third = cache.hand;
    cr_assert_not_null(third);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(kc_cache_free(&cache, p[i]), KC_OK);
    }
    cr_assert_eq(kc_cache_free(&cache, p[each]), KC_OK);
    for (uint32_t i = 1; i < each; i++) {
        cr_expect_eq(cache.hand, third);
        p[2 * each + i] = kc_cache_alloc(&cache, 0);
        cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
    }
    cr_expect_null(cache.hand);
    cr_expect_eq(kc_cache_alloc(&cache, 0), p[each], "of the fullest");
    cr_expect_eq(kc_cache_alloc(&cache, 0), p[0]);
    cr_expect_not_null(cache.hand);
    for (uint32_t i = 3; i < each && cache.hand != NULL; i++) {
        cr_assert_eq(kc_cache_free(&cache, p[i]), KC_OK);
        p[i] = NULL;
        cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
    }
    cr_expect_null(cache.hand, "it was laid down");
    p[1] = p[2] = NULL;
    for (uint32_t i = 0; i < 3 * each; i++) {
        cr_assert_eq(kc_cache_free(&cache, p[i]), KC_OK);
    }
    cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
    cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    expect_nothing_held();
}
#endif

Test(cache, check_sees_each_broken_invariant)
{
    struct kc_frame_found found;
    struct slab_view v;
    cr_assert_eq(make(&cache, 600, 0, 0), KC_OK);
    void *p = kc_cache_alloc(&cache, 0);
    cr_assert(kc_frame_find(&frames, kc_plat_ram_pa(p), &found));
    slab_view_make(&cache, found.record, found.base, &v);
    EXPECT_BROKEN(1, v.record->u.data, 4u);
    EXPECT_BROKEN(1, cache.shape[0].state_offset, 0u);
    EXPECT_BROKEN(1, cache.shape[0].state_offset, 100u);
    EXPECT_BROKEN(1, cache.shape[KC_CACHE_ORDER_MAX].state_offset, 0u);
    EXPECT_BROKEN(1, cache.site_offset[0], KC_FRAME_BYTES - 8u);
    EXPECT_BROKEN(1, cache.stride, cache.stride + 8);
    EXPECT_BROKEN(1, cache.inverse, cache.inverse + 2);
    const uint32_t inverse = cache.inverse;
    cache.inverse = (uint32_t)kc_mag_inverse(cache.stride >> (cache.shift + 1));
    EXPECT_BROKEN(1, cache.shift, cache.shift + 1);
    cache.inverse = inverse;
    EXPECT_BROKEN(2, v.slab->map[0], 1u);
    EXPECT_BROKEN(2, v.slab->map[0], v.slab->map[0] | 0x80000000u);
    EXPECT_BROKEN(2, v.record->word, 1u);
    v.record->word++; /* the bit is counted, and of no object */
    EXPECT_BROKEN(2, v.slab->map[0], v.slab->map[0] | 0x80000000u);
    v.record->word--;
    EXPECT_BROKEN(3, cache.hand_base, v.base + 1);
    EXPECT_BROKEN(4, cache.hand, NULL);
    EXPECT_BROKEN(4, cache.out, 2u);
    EXPECT_BROKEN(4, cache.slabs, 2u);
    EXPECT_BROKEN(4, cache.capacity, 2u);
    EXPECT_BROKEN(4, cache.frames_held, 2u);
    void *more[8];
    cr_assert_leq(v.objects, KC_ARRAY_COUNT(more) + 1);
    for (uint32_t i = 1; i < v.objects; i++) {
        more[i - 1] = kc_cache_alloc(&cache, 0);
    }
    cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
    cr_assert_null(cache.hand, "it is full");
    EXPECT_BROKEN(3, v.slab->prev, 1u);
    EXPECT_BROKEN(3, v.slab->next, v.slab->next - 1);
    EXPECT_BROKEN(3, cache.bin_mask, 0u);
    EXPECT_BROKEN(3, cache.hand, v.record);
    EXPECT_BROKEN(2, v.slab->map[0], 1u);
    EXPECT_BROKEN(3, cache.slabs, 0u);
    EXPECT_BROKEN(3, cache.bin[CACHE_BIN_EMPTY], (uint32_t)frames.record_count);
    const uint32_t index = cache.bin[CACHE_BIN_FULL];
    cache.bin[CACHE_BIN_FULL] = CACHE_NONE;
    cache.bin_mask = 1u << 1;
    EXPECT_BROKEN(3, cache.bin[1], index);
    cache.bin[CACHE_BIN_FULL] = index;
    cache.bin_mask = 1u << CACHE_BIN_FULL;
    cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
    cr_assert_eq(kc_cache_free(&cache, more[0]), KC_OK);
    settle(&cache);
    cr_assert_null(cache.hand, "it is in a bin");
    EXPECT_BROKEN(3, cache.hand, v.record);
    for (uint32_t i = 2; i < v.objects; i++) {
        cr_assert_eq(kc_cache_free(&cache, more[i - 1]), KC_OK);
    }
    cr_assert_eq(kc_cache_free(&cache, p), KC_OK);
    settle(&cache);
    EXPECT_BROKEN(4, cache.slabs_empty, 0u);
    EXPECT_BROKEN(5, cache.flags, KC_CACHE_KEEP_NONE);
    cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    expect_nothing_held();
}

/* At hand is what is no slab of the cache, though its data or its owner says so. */
Test(cache, check_sees_what_is_no_slab)
{
    kc_pa_t used, claimed, great, small;
    struct kc_cache_config config = {.name = "test",
                                     .object_bytes = 8192,
                                     .misuse = &misuse,
                                     .slab_order = 1 + KC_CACHE_ORDER_MAX};
    cr_assert_eq(kc_cache_init(&cache, &config, &frames), KC_OK);
    cr_assert_eq(cache.shape[0].objects, 0);
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, KC_FRAME_OWNER_TEST, &used), KC_OK);
    cr_assert_eq(kc_frame_alloc(&frames, KC_CACHE_ORDER_MAX, 0, KC_FRAME_OWNER_TEST, &claimed),
                 KC_OK);
    cr_assert_eq(kc_frame_alloc(&frames, KC_CACHE_ORDER_MAX + 3, 0, KC_FRAME_OWNER_CACHE, &great),
                 KC_OK);
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, KC_FRAME_OWNER_CACHE, &small), KC_OK);
    uintptr_t data = (uintptr_t)&cache;
    struct kc_frame *record = kc_frame_priv_record(&frames, kc_pa_raw(used) >> KC_FRAME_LOG2);
    EXPECT_BROKEN(1, cache.hand, record);
    EXPECT_BROKEN(1, cache.hand, kc_frame_claim(&frames, claimed, KC_CACHE_ORDER_MAX, data));
    /* No shape is there: what lies behind them must not be taken for one. */
    EXPECT_BROKEN(1, cache.hand, kc_frame_claim(&frames, great, KC_CACHE_ORDER_MAX + 3, data));
    EXPECT_BROKEN(1, cache.hand, kc_frame_claim(&frames, small, 0, data));
    void *p = kc_cache_alloc(&cache, 0);
    cr_assert_not_null(cache.hand);
    EXPECT_BROKEN(1, cache.hand, cache.hand + 1); /* its second frame */
    cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
    cr_assert_eq(kc_cache_free(&cache, p), KC_OK);
    cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    kc_frame_unclaim(&frames, claimed, KC_CACHE_ORDER_MAX);
    kc_frame_unclaim(&frames, great, KC_CACHE_ORDER_MAX + 3);
    kc_frame_unclaim(&frames, small, 0);
}

#if KC_HARDENING >= KC_HARDENING_FULL
Test(cache, check_sees_a_broken_quarantine)
{
    static unsigned char elsewhere[16];
    cr_assert_eq(make(&cache, 64, 0, 0), KC_OK);
    void *keep = kc_cache_alloc(&cache, 0);
    void *p = kc_cache_alloc(&cache, 0);
    void *q = kc_cache_alloc(&cache, 0);
    cr_assert_eq(kc_cache_free(&cache, p), KC_OK);
    cr_assert_eq(kc_cache_free(&cache, q), KC_OK);
    cr_assert_eq(cache.quarantined, 2);
    EXPECT_BROKEN(8, cache.quarantine[1], cache.quarantine[0]);
    EXPECT_BROKEN(8, cache.quarantine[1], elsewhere);
    cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
    cr_assert_eq(kc_cache_free(&cache, keep), KC_OK);
    cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    expect_nothing_held();
}
#endif

#if KC_MAG_HAS_STATE && !IS_FULL
Test(cache, check_sees_broken_bytes_in_records)
{
    struct kc_frame_found found;
    struct slab_view v;
    cr_assert_eq(make_for(&cache, 4096, 0, 0, 1), KC_OK);
    void *p = kc_cache_alloc(&cache, 0);
    cr_assert(kc_frame_find(&frames, kc_plat_ram_pa(p), &found));
    slab_view_make(&cache, found.record, found.base, &v);
    cr_assert(v.by_bytes);
    cr_assert_eq(p, v.base); /* object 0, and no other is out */
    EXPECT_BROKEN(8, *slab_record_state(v.record, 0), KC_MAG_LOST);
    EXPECT_BROKEN(8, *slab_record_state(v.record, 0), KC_MAG_FREE);
    EXPECT_BROKEN(3, *slab_record_state(v.record, 0), KC_MAG_HOME);
    EXPECT_BROKEN(8, *slab_record_state(v.record, 1), 0u);
    EXPECT_BROKEN(2, *slab_record_state(v.record, v.objects), KC_MAG_HOME);
    EXPECT_BROKEN(1, cache.shape[1].objects, 9u);
    EXPECT_BROKEN(1, cache.shape[1].objects, 3u);
    cr_assert_eq(kc_cache_free(&cache, p), KC_OK);
    cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    cr_assert_eq(make_for(&cache, 600, 0, 0, 1), KC_OK);
    const uint16_t bytes_offset = cache.shape[0].bytes_offset;
    cr_assert_neq(bytes_offset, 0);
    EXPECT_BROKEN(1, cache.shape[0].bytes_offset, (uint16_t)(bytes_offset + 1));
    cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
    cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    expect_nothing_held();
}
#endif
