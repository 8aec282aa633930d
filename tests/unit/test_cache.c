/* SPDX-License-Identifier: BSD-2-Clause */
/* cache: the contract of kc/cache.h, and the invariants C1 to C9 of src/mem/cache.c. */
#include <kc_test.h>

#include <kc/cache.h>
#include <kc/tag.h>

#include "mem/cache_priv.h"

#define MODEL_REQUIRE(c) cr_assert(c, "model: %s", #c)
#include "cache_model.h"

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;
static struct kc_cache cache, other;

static void set_up(void)
{
    cr_assert(kc_test_ram(KC_MIB(8), &info));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
}

TestSuite(cache, .init = set_up);

static kc_status_t make_for(struct kc_cache *c, size_t bytes, size_t align, uint32_t flags,
                            uint32_t cpus)
{
    struct kc_cache_config config;
    __builtin_memset(&config, 0, sizeof(config));
    config.name = "test";
    config.object_bytes = bytes;
    config.align = align;
    config.flags = flags;
    config.misuse = &misuse;
    config.cpu_count = cpus;
    return kc_cache_init(c, &config, &frames);
}

/* Without magazines. */
static kc_status_t make(struct kc_cache *c, size_t bytes, size_t align, uint32_t flags)
{
    return make_for(c, bytes, align, flags, 0);
}

#define IS_FULL (KC_HARDENING >= KC_HARDENING_FULL)

/* What is in quarantine goes back to its slabs. */
static void settle(struct kc_cache *c)
{
    uint64_t irq = kc_lock_acquire_irqsave(&c->lock);
    bool spare = kc_cache_priv_release(c, c->quarantined);
    kc_lock_release_irqrestore(&c->lock, irq);
    if (spare) {
        kc_cache_priv_set_spare(c->set, c);
    }
}

/* Nothing is held any more, and all is sound. */
static void expect_nothing_held(void)
{
    struct kc_frame_stats s;
    kc_frame_stats(&frames, &s);
    cr_expect_eq(s.used_frames, 0);
    cr_expect_eq(kc_frames_check(&frames, NULL), KC_OK);
    cr_expect_eq(kc_frames_fini(&frames), KC_OK);
}

#define EXPECT_MISUSE(call, status, kind_)                  \
    do {                                                    \
        uint64_t total_ = kc_misuse_total(&misuse);         \
        uint64_t count_ = misuse.count[kind_];              \
        cr_expect_eq((call), (status));                     \
        cr_expect_eq(kc_misuse_total(&misuse), total_ + 1); \
        cr_expect_eq(misuse.count[kind_], count_ + 1);      \
    } while (0)

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
    cr_expect_eq(make_for(&cache, 8, 8, 0, KC_CPUS_MAX + 1), KC_ERR_RANGE);
    c.frame_flags = KC_FRAME_ZERO;
    cr_expect_eq(kc_cache_init(&cache, &c, &frames), KC_ERR_ARG);
    c.frame_flags = 0;
    c.slab_order = KC_CACHE_ORDER_MAX + 2;
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
        struct kc_cache_cursor again = {0, 0, 0};
        for (void *p = kc_cache_next_live(&cache, &again); p != NULL;) {
            cr_assert_eq(kc_cache_free(&cache, p), KC_OK);
            __builtin_memset(&again, 0, sizeof(again));
            p = kc_cache_next_live(&cache, &again);
        }
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
    struct kc_cache_cursor cursor = {0, 0, 0};
    for (void *live = kc_cache_next_live(&cache, &cursor); live != NULL;
         live = kc_cache_next_live(&cache, &cursor)) {
        cr_assert_eq(kc_cache_free(&cache, live), KC_OK);
    }
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

static struct kc_cache_set set;
static struct kc_cache members[6];

static void make_set_for(uint32_t spares, uint32_t cpus)
{
    struct kc_cache_set_config config = {"set",   members, KC_ARRAY_COUNT(members), spares, 0,
                                         &misuse, cpus};
    cr_assert_eq(kc_cache_set_init(&set, &config, &frames), KC_OK);
}

static void make_set(uint32_t spares)
{
    make_set_for(spares, 0);
}

static struct kc_cache *member(size_t bytes, size_t align)
{
    struct kc_cache *c = NULL;
    cr_assert_eq(kc_cache_set_get(&set, bytes, align, &c), KC_OK);
    return c;
}

Test(cache, set_refuses_what_is_malformed)
{
    struct kc_cache_set_config config = {"set", members, 1, 1, 0, &misuse, 0};
    struct kc_cache *c = &cache;
    cr_expect_eq(kc_cache_set_init(NULL, &config, &frames), KC_ERR_ARG);
    cr_expect_eq(kc_cache_set_init(&set, NULL, &frames), KC_ERR_ARG);
    cr_expect_eq(kc_cache_set_init(&set, &config, NULL), KC_ERR_ARG);
    config.cache = NULL;
    cr_expect_eq(kc_cache_set_init(&set, &config, &frames), KC_ERR_ARG);
    config.cache = members;
    config.frame_flags = KC_FRAME_ZERO;
    cr_expect_eq(kc_cache_set_init(&set, &config, &frames), KC_ERR_ARG);
    config.frame_flags = 0;
    config.cache_max = 0;
    cr_expect_eq(kc_cache_set_init(&set, &config, &frames), KC_ERR_RANGE);
    config.cache_max = 1;
    static const uint32_t spares[] = {0, 3, 2 * KC_CACHE_SPARES_MAX};
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(spares); i++) {
        config.spares = spares[i];
        cr_expect_eq(kc_cache_set_init(&set, &config, &frames), KC_ERR_RANGE);
    }
    config.spares = KC_CACHE_SPARES_MAX;
    cr_assert_eq(kc_cache_set_init(&set, &config, &frames), KC_OK);
    cr_expect_eq(kc_cache_set_get(&set, 0, 8, &c), KC_ERR_RANGE);
    cr_expect_eq(kc_cache_set_get(&set, KC_CACHE_OBJECT_MAX + 1, 8, &c), KC_ERR_RANGE);
    cr_expect_eq(kc_cache_set_get(&set, 8, 2 * KC_CACHE_ALIGN_MAX, &c), KC_ERR_RANGE);
    cr_expect_eq(kc_cache_set_get(&set, 8, 4, &c), KC_ERR_ARG);
    cr_expect_eq(kc_cache_set_get(&set, 8, 24, &c), KC_ERR_ARG);
    cr_expect_eq(kc_cache_set_count(&set), 0);
    cr_expect_eq(kc_cache_set_get(&set, 8, 8, &c), KC_OK);
    cr_expect_eq(c, &members[0]);
    c = &cache;
    cr_expect_eq(kc_cache_set_get(&set, 16, 8, &c), KC_ERR_NOMEM);
    cr_expect_eq(c, &cache, "untouched");
    cr_expect_eq(kc_cache_set_get(&set, 7, 8, &c), KC_OK, "what is there is found");
    cr_expect_eq(kc_cache_set_fini(&set), KC_OK);
}

Test(cache, set_gives_equal_sizes_one_cache)
{
    make_set(1);
    struct kc_cache *a = member(100, 8);
    cr_expect_eq(member(104, 0), a);
    cr_expect_eq(member(97, 8), a);
    cr_expect_neq(member(105, 8), a);
    cr_expect_eq(member(100, 16), member(112, 8));
    cr_expect_eq(kc_cache_set_count(&set), 2);
    cr_expect_str_eq(a->name, "set-104");
    for (uint32_t i = 0; i < 50; i++) {
        cr_assert(kc_is_aligned((uintptr_t)kc_cache_alloc(member(100, 16), 0), 16));
    }
    EXPECT_MISUSE(kc_cache_set_fini(&set), KC_ERR_STATE, KC_MISUSE_BUSY);
    cr_expect_eq(kc_cache_set_check(&set, NULL), KC_OK);
}

static uint32_t take_all_frames(void)
{
    kc_pa_t pa;
    uint32_t count = 0;
    while (kc_frame_alloc(&frames, 0, KC_FRAME_NO_RECLAIM, KC_FRAME_OWNER_TEST, &pa) == KC_OK) {
        count++;
    }
    return count;
}

Test(cache, set_gives_empty_slabs_back_when_frames_run_short)
{
    make_set(4);
    struct kc_cache *a = member(64, 8), *b = member(128, 8);
    cr_assert_eq(kc_cache_free(a, kc_cache_alloc(a, 0)), KC_OK);
    cr_assert_eq(kc_cache_free(b, kc_cache_alloc(b, 0)), KC_OK);
    cr_assert_gt(take_all_frames(), 100);
    /* One more frame, for a third party: the set has it. */
    kc_pa_t pa;
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, KC_FRAME_OWNER_TEST, &pa), KC_OK);
    cr_expect_eq(a->slabs, 0);
    cr_expect_eq(b->slabs, 0);
    /* A cache of the set that must grow takes what another one holds. */
    cr_assert_not_null(kc_cache_alloc(a, 0));
    (void)take_all_frames();
    cr_assert_null(kc_cache_alloc(b, 0), "nothing is empty");
    struct kc_cache_stats s;
    kc_cache_stats(b, &s);
    cr_expect_eq(s.fail_count, 1);
    cr_expect_eq(kc_cache_set_check(&set, NULL), KC_OK);
}

Test(cache, set_lends_a_slab_from_one_cache_to_another)
{
    make_set(4);
    struct kc_cache *a = member(64, 8), *b = member(128, 8);
    cr_assert_eq(kc_cache_free(a, kc_cache_alloc(a, 0)), KC_OK);
    (void)take_all_frames();
    void *p = kc_cache_alloc(b, 0);
    cr_assert_not_null(p);
    cr_expect_eq(a->slabs, 0);
    cr_expect_eq(b->fail_count, 0);
    cr_expect_eq(kc_cache_free(b, p), KC_OK);
    /* After its end nobody asks the set. */
    cr_assert_eq(kc_cache_set_fini(&set), KC_OK);
    (void)take_all_frames();
    cr_expect_eq(kc_frames_reclaim(&frames, 1), 0);
}

#if !IS_FULL
/* With two spares: the third cache that empties takes the place, and the slab, of the first. */
Test(cache, set_keeps_as_many_empty_slabs_as_it_was_told)
{
    struct kc_cache *c[4];
    make_set(2);
    for (uint32_t i = 0; i < 4; i++) {
        c[i] = member(64 * (i + 1), 8);
        for (uint32_t again = 0; again < 3; again++) { /* to and fro: not counted twice */
            cr_assert_eq(kc_cache_free(c[i], kc_cache_alloc(c[i], 0)), KC_OK);
            cr_assert_eq(c[i]->slabs_empty, 1);
            cr_assert_eq(c[i]->grow_count, 1);
        }
        cr_assert_eq(kc_cache_set_check(&set, NULL), KC_OK);
        uint32_t empty = 0;
        for (uint32_t k = 0; k <= i; k++) {
            cr_expect_eq(c[k]->slabs_empty, k + 2 > i ? 1 : 0, "%u of %u", k, i);
            empty += c[k]->slabs;
        }
        cr_expect_eq(empty, i < 2 ? i + 1 : 2);
    }
    /* One that is in the ring and not empty just now gives nothing, and loses its place. */
    void *p = kc_cache_alloc(c[2], 0);
    cr_assert_eq(kc_cache_free(c[0], kc_cache_alloc(c[0], 0)), KC_OK);
    cr_expect_eq(c[2]->slabs, 1);
    cr_expect_eq(c[3]->slabs_empty, 1);
    cr_assert_eq(kc_cache_free(c[2], p), KC_OK);
    cr_expect_eq(c[3]->slabs_empty, 0);
    cr_expect_eq(kc_cache_set_check(&set, NULL), KC_OK);
    cr_expect_eq(kc_cache_set_shrink(&set), 2);
    cr_expect_eq(kc_frame_owner_frames(&frames, KC_FRAME_OWNER_CACHE), 0);
    cr_expect_eq(kc_cache_set_check(&set, NULL), KC_OK);
    cr_expect_eq(kc_cache_set_fini(&set), KC_OK);
    expect_nothing_held();
}
#endif

/* Several caches of a set, some of them one and the same, each beside its model. */
static void set_random_operations(uint32_t cpus)
{
    static const size_t bytes_of[] = {8, 16, 100, 700, 2048, 5000};
    static struct cache_model m[KC_ARRAY_COUNT(bytes_of)];
    static uint8_t bytes[6000];
    uint64_t seed = kc_test_seed();
    for (uint32_t spares = 1; spares <= KC_CACHE_SPARES_MAX; spares *= 2) {
        struct kc_bytes o = {bytes, sizeof(bytes), 0};
        kc_random_fill(&seed, bytes, sizeof(bytes));
        make_set_for(spares, cpus);
        kc_test_listen(spares % 2 == 0);
        for (uint32_t i = 0; i < KC_ARRAY_COUNT(m); i++) {
            cache_model_init(&m[i], member(bytes_of[i], 0), &misuse, bytes_of[i], 8);
            m[i].may_fail = true;
        }
        while (!kc_bytes_is_empty(&o)) {
            struct cache_model *one = &m[kc_bytes_below(&o, KC_ARRAY_COUNT(m))];
            one->reports = kc_misuse_total(&misuse);
            cache_model_step(one, &o);
            cache_model_check(one);
            uint32_t empty = 0;
            for (uint32_t i = 0; i < KC_ARRAY_COUNT(m); i++) {
                empty += m[i].c->slabs_empty;
            }
            cr_assert_leq(empty, spares);
            cr_assert_eq(kc_cache_set_check(&set, NULL), KC_OK);
        }
        for (uint32_t i = 0; i < KC_ARRAY_COUNT(m); i++) {
            m[i].reports = kc_misuse_total(&misuse);
            cache_model_finish(&m[i]);
        }
        cr_assert_eq(kc_cache_set_fini(&set), KC_OK);
    }
    expect_nothing_held();
}

Test(cache, set_random_operations_agree_with_the_models)
{
    set_random_operations(0);
}

Test(cache, set_random_operations_agree_with_the_models_with_magazines)
{
    set_random_operations(1);
}

#if KC_MAG_IS_USED
/* A magazine has room for one until it is much used; what it holds then goes along. */
Test(cache, a_magazine_grows_with_what_it_holds)
{
    static const size_t bytes_of[] = {16, 64, 1024, 2048};
    static void *p[64];
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(bytes_of); i++) {
        cr_assert_eq(make_for(&cache, bytes_of[i], 8, 0, 1), KC_OK);
        uint32_t most = KC_CACHE_CPU_BYTES / (uint32_t)bytes_of[i];
        most = most < KC_CACHE_CPU_OBJECTS ? most : KC_CACHE_CPU_OBJECTS;
        uint32_t before = 0;
        for (uint32_t round = 0; round < 12; round++) {
            for (uint32_t k = 0; k < KC_ARRAY_COUNT(p); k++) {
                p[k] = kc_cache_alloc(&cache, 0);
                cr_assert_not_null(p[k]);
                __builtin_memset(p[k], (int)k, bytes_of[i]);
            }
            for (uint32_t k = 0; k < KC_ARRAY_COUNT(p); k++) {
                cr_assert_eq(*(unsigned char *)p[k], k, "no object twice");
                cr_assert_eq(kc_cache_free(&cache, p[k]), KC_OK);
            }
            const struct kc_cache_cpu *m = cache.cpu[kc_plat_cpu()];
            cr_expect_geq(m->mag.limit, before);
            cr_expect_leq(m->mag.limit, m->room);
            cr_expect_leq(m->mag.count, m->mag.limit);
            before = m->mag.limit;
            cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
        }
        cr_expect_eq(before, most);
        cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    }
    expect_nothing_held();
}

/* More caches than the ring has places: what is pushed out of it is emptied, a little a call. */
Test(cache, set_empties_the_magazines_of_idle_caches)
{
    enum {
        PLACES = 16
    };
    static struct kc_cache many[PLACES * 2];
    struct kc_cache_set_config config = {"many", many, KC_ARRAY_COUNT(many), PLACES, 0, &misuse, 1};
    static void *p[KC_ARRAY_COUNT(many)][64];
    cr_assert_eq(kc_cache_set_init(&set, &config, &frames), KC_OK);
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(many); i++) {
        struct kc_cache *c = member(8 * (i + 1), 8);
        for (uint32_t round = 0; round < 4; round++) {
            for (uint32_t k = 0; k < 64; k++) {
                p[i][k] = kc_cache_alloc(c, 0);
                cr_assert_not_null(p[i][k]);
            }
            for (uint32_t k = 0; k < 64; k++) {
                cr_assert_eq(kc_cache_free(c, p[i][k]), KC_OK);
            }
            cr_assert_eq(kc_cache_set_check(&set, NULL), KC_OK);
        }
    }
    uint32_t filled = 0;
    uint32_t last = KC_ARRAY_COUNT(many) - 1;
    for (uint32_t i = 0; i < last; i++) {
        filled += kc_mag_count(&many[i].cpu[0]->mag) != 0;
    }
    cr_expect_leq(filled, PLACES);
    cr_expect_eq(kc_mag_count(&many[0].cpu[0]->mag), 0);
    cr_expect_gt(kc_mag_count(&many[last].cpu[0]->mag), 1);
    cr_expect_gt(kc_cache_set_cpu_bytes(&set), 0);
    cr_expect_gt(kc_cache_set_drain(&set, 0), 0);
    cr_expect_eq(kc_cache_set_drain(&set, 0), 0);
    cr_expect_eq(kc_cache_set_drain(&set, KC_CPUS_MAX), 0);
    cr_assert_eq(kc_cache_set_check(&set, NULL), KC_OK);
    cr_assert_eq(kc_cache_set_fini(&set), KC_OK);
    expect_nothing_held();
}

/* Heard of or not: by the long form of a slow call, or by the short one. */
static void magazine_grows(bool heard)
{
    static void *p[500];
    kc_test_listen(heard);
    cr_assert_eq(make_for(&cache, 64, 0, 0, 1), KC_OK);
    void *one = kc_cache_alloc(&cache, 0);
    cr_assert_eq(kc_cache_free(&cache, one), KC_OK);
    struct kc_cache_stats s;
    kc_cache_stats(&cache, &s);
    cr_expect_leq(s.kept, 1);
    uint32_t most = 0;
    for (uint32_t i = 0; i < 500; i++) {
        p[i] = kc_cache_alloc(&cache, 0);
        cr_assert_not_null(p[i]);
        uint32_t kept = kc_mag_count(&cache.cpu[0]->mag);
        most = kept > most ? kept : most;
        cr_expect(i > 10 || kept == 0, "not yet");
    }
    cr_expect_eq(most, CACHE_REFILL - 1, "who only allocates takes a few at a time");
    for (uint32_t i = 0; i < 500; i++) {
        cr_assert_eq(kc_cache_free(&cache, p[i]), KC_OK);
    }
    kc_cache_stats(&cache, &s);
    cr_expect_gt(s.kept, 16);
    cr_expect_leq(s.kept, KC_CACHE_CPU_OBJECTS);
    cr_expect_eq(s.alloc_count, 501);
    cr_expect_eq(s.free_count, 501);
    cr_expect_eq(kc_cache_drain(&cache, 0), s.kept);
    cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
    cr_assert_eq(kc_cache_fini(&cache), KC_OK);
}

Test(cache, magazine_grows_while_it_is_used)
{
    magazine_grows(true);
    magazine_grows(false);
    expect_nothing_held();
}
#endif

#if KC_HARDENING == KC_HARDENING_CHECKED
/* What two wrong frees at the same instant on two CPUs leave: an object that is in there twice. */
Test(cache, an_object_that_was_freed_twice_at_once_is_handed_out_once)
{
    cr_assert_eq(make_for(&cache, 40, 0, 0, 1), KC_OK);
    static void *p[100];
    for (uint32_t i = 0; i < 100; i++) {
        p[i] = kc_cache_alloc(&cache, 0);
    }
    for (uint32_t i = 0; i < 90; i++) {
        cr_assert_eq(kc_cache_free(&cache, p[i]), KC_OK);
    }
    struct kc_cache_cpu *m = cache.cpu[0];
    uint32_t count = kc_mag_count(&m->mag);
    cr_assert_geq(count, 2);
    cache_entries(m)[count - 2] = cache_entries(m)[count - 1];
    struct kc_cache_fault where = {0, 0, 0, 0};
    cr_expect_eq(kc_cache_check(&cache, &where), KC_ERR_CORRUPT);
    cr_expect_eq(where.invariant, 8);
    void *a = kc_cache_alloc(&cache, 0);
    void *b = kc_cache_alloc(&cache, 0);
    cr_assert_not_null(b);
    cr_assert_neq(a, b);
    cr_expect_eq(misuse.count[KC_MISUSE_DOUBLE_FREE], 1);
    cr_expect_eq(misuse.last.address, (uintptr_t)a);
}

/* What a wrong free finds whose object's slab goes before it has the lock: anything at all. */
Test(cache, a_slab_that_has_gone_is_not_given_to)
{
    static void *p[100];
    struct kc_frame_found found;
    kc_pa_t pa;
    for (uint32_t pass = 0; pass < 2; pass++) {
        kc_test_listen(pass == 0);
        misuse.count[KC_MISUSE_FOREIGN] = 0;
        cr_assert_eq(make_for(&cache, 64, 0, 0, 1), KC_OK);
        for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
            p[i] = kc_cache_alloc(&cache, 0);
        }
        cr_assert(kc_frame_find(&frames, kc_plat_ram_pa(p[0]), &found));
        for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
            cr_assert_eq(kc_cache_free(&cache, p[i]), KC_OK);
        }
        kc_cache_shrink(&cache);
        for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) { /* the same frames may come again */
            cr_assert_eq(kc_frame_alloc(&frames, 0, 0, KC_FRAME_OWNER_TEST, &pa), KC_OK);
            __builtin_memset(kc_plat_ram(pa), KC_MAG_LIVE, KC_FRAME_BYTES);
            if (kc_pa_raw(pa) == kc_pa_raw(found.base)) {
                break;
            }
        }
        cr_assert_eq(kc_pa_raw(pa), kc_pa_raw(found.base));
        void *other_object = kc_cache_alloc(&cache, 0);
        cr_assert_not_null(other_object);
        struct kc_mag *m = &cache.cpu[0]->mag;
        cr_assert_neq(kc_mag_count(m), 0);
        m->limit = kc_mag_count(m); /* full: what is freed goes to a slab */
        cr_expect_eq(kc_cache_priv_free_slow(&cache, p[0], found.record, 0, NULL), KC_ERR_RANGE);
        cr_expect_eq(misuse.count[KC_MISUSE_FOREIGN], 1);
        cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
        cr_assert_eq(kc_cache_free(&cache, other_object), KC_OK);
        cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    }
}

/* Small and great objects: in the magazine, in the slab. */
Test(cache, double_free_is_noticed_wherever_the_object_is)
{
    static void *p[100];
    for (uint32_t pass = 0; pass < 6; pass++) {
        static const size_t bytes_of[] = {40, 280, 1960};
        kc_test_listen(pass % 2 == 0);
        cr_assert_eq(make_for(&cache, bytes_of[pass / 2], 0, 0, 2), KC_OK);
        for (uint32_t i = 0; i < 100; i++) {
            p[i] = kc_cache_alloc(&cache, 0);
        }
        for (uint32_t i = 0; i < 100; i++) {
            cr_assert_eq(kc_cache_free(&cache, p[i]), KC_OK);
            for (uint32_t k = i % 3; k <= i; k += 3) {
                EXPECT_MISUSE(kc_cache_free(&cache, p[k]), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
            }
        }
        cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
        cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    }
}
#endif

#define EXPECT_BROKEN(n, place, wrong)                                         \
    do {                                                                       \
        struct kc_cache_fault where_ = {0, 0, 0, 0};                           \
        __typeof__(place) saved_ = (place);                                    \
        (place) = (wrong);                                                     \
        cr_expect_eq(kc_cache_check(&cache, &where_), KC_ERR_CORRUPT, #place); \
        cr_expect_eq(where_.invariant, (uint32_t)(n), #place);                 \
        (place) = saved_;                                                      \
    } while (0)

Test(cache, check_sees_each_broken_invariant)
{
    struct kc_frame_found found;
    struct slab_view v;
    cr_assert_eq(make(&cache, 600, 0, 0), KC_OK);
    void *p = kc_cache_alloc(&cache, 0);
    cr_assert(kc_frame_find(&frames, kc_plat_ram_pa(p), &found));
    slab_view_make(&cache, found.record, found.base, &v);
    EXPECT_BROKEN(1, v.record->u.data, 4u);
    EXPECT_BROKEN(1, cache.shape[0].state_offset, 100u);
    EXPECT_BROKEN(1, cache.stride, cache.stride + 8);
    EXPECT_BROKEN(1, cache.inverse, cache.inverse + 2);
    EXPECT_BROKEN(2, v.slab->map[0], 1u);
    EXPECT_BROKEN(2, v.slab->map[0], v.slab->map[0] | 0x80000000u);
    EXPECT_BROKEN(2, v.record->word, 1u);
    EXPECT_BROKEN(3, v.slab->prev, 1u);
    EXPECT_BROKEN(3, cache.bin_mask, 0u);
    EXPECT_BROKEN(4, cache.out, 2u);
    EXPECT_BROKEN(4, cache.slabs, 2u);
    EXPECT_BROKEN(4, cache.capacity, 2u);
    EXPECT_BROKEN(4, cache.frames_held, 2u);
    cr_assert_eq(kc_cache_free(&cache, p), KC_OK);
    settle(&cache);
    EXPECT_BROKEN(4, cache.slabs_empty, 0u);
    EXPECT_BROKEN(5, cache.flags, KC_CACHE_KEEP_NONE);
    cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    expect_nothing_held();
}

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
    cr_assert_eq(kc_cache_free(&cache, p), KC_OK);
    cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    expect_nothing_held();
}
#endif

Test(cache, check_sees_a_broken_set)
{
    make_set(2);
    struct kc_cache *a = member(64, 8);
    struct kc_cache *b = member(72, 8);
    struct kc_cache_fault where = {0, 0, 0, 0};
    cr_assert_eq(kc_cache_free(a, kc_cache_alloc(a, 0)), KC_OK);
    settle(a);
    cr_assert_eq(kc_cache_set_check(&set, &where), KC_OK);
#define EXPECT_BROKEN_SET(place, wrong)                                         \
    do {                                                                        \
        __typeof__(place) saved_ = (place);                                     \
        (place) = (wrong);                                                      \
        where.invariant = 0;                                                    \
        cr_expect_eq(kc_cache_set_check(&set, &where), KC_ERR_CORRUPT, #place); \
        cr_expect_eq(where.invariant, 7, #place);                               \
        (place) = saved_;                                                       \
    } while (0)
    EXPECT_BROKEN_SET(set.spare[0], 0u);
    EXPECT_BROKEN_SET(set.spare[1], 1u);
    EXPECT_BROKEN_SET(a->in_ring, 0);
    EXPECT_BROKEN_SET(b->in_ring, 1);
    EXPECT_BROKEN_SET(set.count, KC_ARRAY_COUNT(members) + 1);
    EXPECT_BROKEN_SET(b->set, NULL);
    EXPECT_BROKEN_SET(b->object_bytes, b->stride + 1);
#if !IS_FULL
    const struct kc_cache as_it_was = *b;
    b->stride = a->stride;
    b->inverse = a->inverse;
    b->shift = a->shift;
    EXPECT_BROKEN_SET(b->object_bytes, a->object_bytes);
    b->stride = as_it_was.stride;
    b->inverse = as_it_was.inverse;
    b->shift = as_it_was.shift;
#endif
    cr_assert_eq(kc_cache_set_check(&set, &where), KC_OK);
    cr_assert_eq(kc_cache_set_fini(&set), KC_OK);
    expect_nothing_held();
}
