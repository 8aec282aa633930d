/* SPDX-License-Identifier: BSD-2-Clause */
/* cache: sets of caches that share slabs (src/mem/cache_set.c). */
#include <kc_test.h>

#define MODEL_REQUIRE(c) cr_assert(c, "model: %s", #c)
#include "cache_model.h"

#include "cache_fixture.h"

TestSuite(cache_set, .init = set_up);

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

Test(cache_set, refuses_what_is_malformed)
{
    struct kc_cache_set_config config = {"set", members, 1, 1, 0, &misuse, 0};
    struct kc_cache *c = &cache;
    cr_expect_eq(kc_cache_set_init(NULL, &config, &frames), KC_ERR_ARG);
    cr_expect_eq(kc_cache_set_init(&set, NULL, &frames), KC_ERR_ARG);
    set.spares = 77;
    cr_expect_eq(kc_cache_set_init(&set, &config, NULL), KC_ERR_ARG);
    cr_expect_eq(set.spares, 77, "untouched");
    config.cache = NULL;
    cr_expect_eq(kc_cache_set_init(&set, &config, &frames), KC_ERR_ARG);
    config.cache = members;
    config.frame_flags = KC_FRAME_ZERO;
    cr_expect_eq(kc_cache_set_init(&set, &config, &frames), KC_ERR_ARG);
    config.frame_flags = 0;
    config.cpu_count = KC_CPUS_MAX + 1;
    cr_expect_eq(kc_cache_set_init(&set, &config, &frames), KC_ERR_RANGE);
    config.cpu_count = 0;
    config.cache_max = 0;
    cr_expect_eq(kc_cache_set_init(&set, &config, &frames), KC_ERR_RANGE);
    config.cache_max = 1;
    static const uint32_t spares[] = {0, 3, 2 * KC_CACHE_SPARES_MAX};
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(spares); i++) {
        config.spares = spares[i];
        cr_expect_eq(kc_cache_set_init(&set, &config, &frames), KC_ERR_RANGE);
    }
    cr_expect_eq(kc_frames_reclaimer_remove(&frames, &set.reclaimer), KC_ERR_ABSENT);
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

/* Heard of or not, pinned or not: of a slab that a free empties, the set is told. */
Test(cache_set, an_empty_slab_is_known_however_it_was_emptied)
{
    static void *p[100];
    for (uint32_t pass = 0; pass < 4; pass++) {
        bool pinned = (pass & 1) != 0;
        kc_test_listen((pass & 2) != 0);
        make_set_for(1, 1);
        struct kc_cache *a = member(64, 8);
        struct kc_cache *b = member(256, 8);
        for (uint32_t round = 0; round < 4; round++) {
            struct kc_cache *c = round % 2 == 0 ? a : b;
            for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
                p[i] = pinned ? kc_cache_alloc_pinned(c, 0) : kc_cache_alloc(c, 0);
                cr_assert_not_null(p[i]);
            }
            for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
                cr_assert_eq(pinned ? kc_cache_free_pinned(c, p[i]) : kc_cache_free(c, p[i]),
                             KC_OK);
                cr_assert_eq(kc_cache_set_check(&set, NULL), KC_OK);
            }
        }
        cr_expect_eq(kc_cache_set_fini(&set), KC_OK);
        kc_test_listen(true);
    }
    expect_nothing_held();
}

static uint64_t gives_nothing(void *context, uint64_t wanted)
{
    (void)context;
    (void)wanted;
    return 0;
}

/* A set that was not ended, with somebody behind it in the frames' list: all stays as it is. */
Test(cache_set, is_not_made_twice)
{
    struct kc_cache_set_config config = {"again", members, 1, 1, 0, &misuse, 0};
    struct kc_frame_reclaimer behind;
    make_set(4);
    struct kc_cache *a = member(64, 8);
    cr_assert_eq(kc_cache_free(a, kc_cache_alloc(a, 0)), KC_OK);
    __builtin_memset(&behind, 0, sizeof(behind));
    behind.reclaim = gives_nothing;
    cr_assert_eq(kc_frames_reclaimer_add(&frames, &behind), KC_OK);
    cr_expect_eq(kc_cache_set_init(&set, &config, &frames), KC_ERR_EXISTS);
    cr_assert_eq(kc_cache_set_count(&set), 1);
    cr_expect_eq(set.spares, 4);
    cr_expect_str_eq(set.name, "set");
    cr_expect_eq(kc_cache_set_check(&set, NULL), KC_OK);
    cr_expect_eq(kc_frames_reclaim(&frames, 100), 1, "the empty slab");
    cr_expect_eq(behind.calls, 1);
    cr_assert_eq(kc_frames_reclaimer_remove(&frames, &behind), KC_OK);
    cr_assert_eq(kc_cache_set_fini(&set), KC_OK);
    /* When it has ended, it can be made, and ended, again. */
    make_set(1);
    cr_assert_eq(kc_cache_set_fini(&set), KC_OK);
    cr_expect_eq(kc_frames_reclaimer_remove(&frames, &set.reclaimer), KC_ERR_ABSENT);
    expect_nothing_held();
}

Test(cache_set, gives_equal_sizes_one_cache)
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

/* What a redzone must not take of a power of two's alignment: a line is enough. */
Test(cache_set, sizes_keep_their_alignment_up_to_a_line)
{
    static const size_t bytes_of[] = {8, 64, 128, 1024, 4096};
    make_set(1);
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(bytes_of); i++) {
        const struct kc_cache *c = member(bytes_of[i], 8);
        cr_expect_eq(c->stride % (i == 0 ? 8 : KC_LINE_BYTES), 0);
        cr_expect_leq(c->stride, bytes_of[i] + KC_LINE_BYTES);
    }
    cr_assert_eq(kc_cache_set_fini(&set), KC_OK);
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

Test(cache_set, gives_empty_slabs_back_when_frames_run_short)
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

Test(cache_set, lends_a_slab_from_one_cache_to_another)
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
Test(cache_set, keeps_as_many_empty_slabs_as_it_was_told)
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

Test(cache_set, random_operations_agree_with_the_models)
{
    set_random_operations(0);
}

Test(cache_set, random_operations_agree_with_the_models_with_magazines)
{
    set_random_operations(1);
}

#if KC_MAG_IS_USED
/* More caches than the ring has places: what is pushed out of it is emptied, a little a call. */
Test(cache_set, empties_the_magazines_of_idle_caches)
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

static size_t held_by(const struct kc_cache *c)
{
    return kc_mag_count(&c->cpu[0]->mag);
}

/* This CPU's magazine of c holds so many. */
static void hold(struct kc_cache *c, uint32_t count)
{
    void *p[KC_CACHE_CPU_OBJECTS];
    cr_assert_leq(count, KC_ARRAY_COUNT(p));
    for (uint32_t i = 0; i < count; i++) {
        p[i] = kc_cache_alloc(c, 0);
    }
    (void)kc_cache_drain(c, 0);
    for (uint32_t i = 0; i < count; i++) {
        c->cpu[0]->slow_left = 0; /* it grows whenever it is full */
        cr_assert_eq(kc_cache_free(c, p[i]), KC_OK);
    }
    cr_assert_eq(held_by(c), count);
}

/* One place in the ring: what is idle goes, an object by each slow call. Until it has, allocations
 * take no other's place. */
Test(cache_set, what_is_idle_goes_by_slow_calls)
{
    for (uint32_t pass = 0; pass < 4; pass++) {
        void *of_b[24];
        void *of_c[24];
        kc_test_listen(pass % 2 == 0);
        bool great = pass / 2 != 0; /* a few fill a slab */
        make_set_for(1, 1);
        struct kc_cache *a = member(64, 8);
        struct kc_cache *b = member(great ? 8192 : 72, 8);
        struct kc_cache *c = member(80, 8);
        for (uint32_t i = 0; i < 8; i++) {
            of_c[i] = kc_cache_alloc(c, 0);
        }
        (void)kc_cache_set_drain(&set, 0);
        hold(a, 24);
        cr_assert_eq(kc_cache_set_check(&set, NULL), KC_OK);
        of_b[0] = kc_cache_alloc(b, 0);
        cr_expect_eq(a->cpu[0]->limit, 0, "its place is b's");
        size_t held = held_by(a);
        cr_expect_lt(held, 24);
        for (uint32_t i = 1; i < 4; i++) {
            of_b[i] = kc_cache_alloc(b, 0);
            cr_expect_eq(held_by(b), 0, "there is other work");
            cr_expect_eq(held_by(a), held - 1, "whose place it is");
            held = held_by(a);
        }
        for (uint32_t i = 8; i < 12; i++) {
            of_c[i] = kc_cache_alloc(c, 0);
            cr_expect_eq(c->cpu[0]->limit, 0, "not while a is to be emptied");
            cr_expect_eq(held_by(a), held - 1, "who has none");
            held = held_by(a);
        }
        cr_expect_neq(b->cpu[0]->limit, 0);
        cr_assert_eq(kc_cache_free(c, of_c[0]), KC_OK);
        cr_expect_eq(b->cpu[0]->limit, 0, "its place is c's");
        for (uint32_t i = 1; i < 8; i++) {
            cr_assert_eq(kc_cache_free(c, of_c[i]), KC_OK);
            cr_expect_eq(c->cpu[0]->limit, 1);
            cr_expect_eq(held_by(c), i < CACHE_ROOM_FIRST ? i + 1 : CACHE_ROOM_FIRST);
            cr_assert_eq(kc_cache_set_check(&set, NULL), KC_OK);
        }
        cr_expect_lt(held_by(a), held - 6, "above the limit, and at the room");
        cr_expect_gt(held_by(a), 0);
        for (uint32_t i = 0; i < 4; i++) {
            cr_assert_eq(kc_cache_free(b, of_b[i]), KC_OK);
            cr_assert_eq(kc_cache_free(c, of_c[8 + i]), KC_OK);
        }
        cr_assert_eq(kc_cache_set_check(&set, NULL), KC_OK);
        cr_assert_eq(kc_cache_set_fini(&set), KC_OK);
    }
    expect_nothing_held();
}

/* A list of nothing but empty magazines keeps nobody from a place. */
Test(cache_set, an_empty_magazine_is_not_waited_for)
{
    void *p[8];
    make_set_for(1, 1);
    struct kc_cache *a = member(64, 8);
    struct kc_cache *b = member(72, 8);
    hold(a, 2);
    void *of_b = kc_cache_alloc(b, 0);
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
        p[i] = kc_cache_alloc(a, 0);
    }
    cr_expect_neq(a->cpu[0]->limit, 0);
    cr_expect_eq(set.cpu[0].draining, 0);
    cr_assert_eq(kc_cache_set_check(&set, NULL), KC_OK);
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
        cr_assert_eq(kc_cache_free(a, p[i]), KC_OK);
    }
    cr_assert_eq(kc_cache_free(b, of_b), KC_OK);
    cr_assert_eq(kc_cache_set_fini(&set), KC_OK);
    expect_nothing_held();
}

/* What waits to be emptied is, and waits no more; which caches have the places stays. */
Test(cache_set, a_drained_cpu_has_no_idle_magazines)
{
    for (uint32_t pass = 0; pass < 2; pass++) {
        void *p[3];
        kc_test_listen(pass == 0);
        make_set_for(1, 1);
        struct kc_cache *a = member(64, 8), *b = member(72, 8), *c = member(80, 8);
        hold(a, 24);
        hold(b, 8); /* takes the place of a */
        hold(a, 4); /* and it of b, still in the list */
        size_t held = held_by(a) + held_by(b);
        cr_assert_gt(held_by(b), 0);
        cr_assert_neq(set.cpu[0].draining, 0);
        cr_expect_eq(kc_cache_set_drain(&set, 0), held);
        cr_expect_eq(set.cpu[0].draining, 0);
        cr_expect_eq(a->cpu[0]->drain_next, 0);
        cr_expect_eq(b->cpu[0]->drain_next, 0);
        cr_expect_eq(a->cpu[0]->place, 1);
        cr_expect_gt(a->cpu[0]->limit, 1, "it knows how much it was used");
        cr_expect_eq(b->cpu[0]->limit, 0);
        cr_expect_eq(a->out + b->out, 0);
        cr_assert_eq(kc_cache_set_check(&set, NULL), KC_OK);
        /* Nothing is waited for: the next that is used has a place at once, and so the one after.
         */
        p[0] = kc_cache_alloc(c, 0);
        cr_expect_neq(c->cpu[0]->limit, 0);
        cr_expect_eq(kc_cache_set_drain(&set, 0), 0);
        p[1] = kc_cache_alloc(b, 0);
        cr_expect_neq(b->cpu[0]->limit, 0);
        cr_expect_eq(kc_cache_set_drain(&set, 0), 0);
        p[2] = kc_cache_alloc(a, 0);
        cr_expect_neq(a->cpu[0]->limit, 0);
        cr_assert_eq(kc_cache_set_check(&set, NULL), KC_OK);
        cr_assert_eq(kc_cache_free(a, p[2]), KC_OK);
        cr_assert_eq(kc_cache_free(b, p[1]), KC_OK);
        cr_assert_eq(kc_cache_free(c, p[0]), KC_OK);
        cr_assert_eq(kc_cache_set_fini(&set), KC_OK);
    }
    expect_nothing_held();
}

Test(cache_set, check_sees_a_broken_ring)
{
    struct kc_cache_fault where = {0, 0, 0, 0};
    make_set_for(2, 1);
    struct kc_cache *a = member(64, 8);
    struct kc_cache *b = member(72, 8);
    struct kc_cache *c = member(80, 8);
    hold(a, 8);
    void *of_b = kc_cache_alloc(b, 0);
    void *of_c = kc_cache_alloc(c, 0);
    struct kc_cache_cpu *idle = a->cpu[0];
    struct kc_cache_set_cpu *here = &set.cpu[0];
    cr_assert_eq(idle->place, 0);
    cr_assert_eq(kc_cache_set_check(&set, &where), KC_OK);
#define EXPECT_BROKEN_RING(n, place, wrong)                                     \
    do {                                                                        \
        __typeof__(place) saved_ = (place);                                     \
        (place) = (wrong);                                                      \
        where.invariant = 0;                                                    \
        cr_expect_eq(kc_cache_set_check(&set, &where), KC_ERR_CORRUPT, #place); \
        cr_expect_eq(where.invariant, (uint32_t)(n), #place);                   \
        (place) = saved_;                                                       \
    } while (0)
    EXPECT_BROKEN_RING(9, here->draining, 1000u);
    EXPECT_BROKEN_RING(9, here->draining, 0u);
    EXPECT_BROKEN_RING(9, here->draining, 2u);
    EXPECT_BROKEN_RING(9, here->next, 2u);
    EXPECT_BROKEN_RING(9, here->ring[0], 77u);
    EXPECT_BROKEN_RING(9, here->ring[0], 1u);
    EXPECT_BROKEN_RING(9, here->ring[0], 0u);
    EXPECT_BROKEN_RING(9, here->ring[2], 2u);
    EXPECT_BROKEN_RING(9, idle->drain_next, 5u);
    EXPECT_BROKEN_RING(9, idle->drain_next, 1u);
    EXPECT_BROKEN_RING(9, idle->limit, 1u);
    EXPECT_BROKEN_RING(9, idle->draining, &kc_cache_priv_never);
    EXPECT_BROKEN_RING(9, b->cpu[0]->place, 0u);
    EXPECT_BROKEN_RING(9, b->cpu[0]->place, UINT32_MAX);
    EXPECT_BROKEN_RING(8, idle->room, 4000u);
    const uint32_t draining = here->draining;
    here->draining = 0; /* it has objects, and neither a place nor who empties it */
    EXPECT_BROKEN_RING(9, idle->drain_next, 0u);
    here->draining = draining;
    cr_assert_eq(kc_cache_set_check(&set, &where), KC_OK);
    cr_assert_eq(kc_cache_free(b, of_b), KC_OK);
    cr_assert_eq(kc_cache_free(c, of_c), KC_OK);
    cr_assert_eq(kc_cache_set_fini(&set), KC_OK);
    expect_nothing_held();
}
#endif

Test(cache_set, check_sees_a_broken_set)
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
