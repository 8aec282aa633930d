/* SPDX-License-Identifier: BSD-2-Clause */
/* cache: magazines, and the calls that they do not serve at once (src/mem/cache_mag.c). */
#include <kc/mag.h>

#if KC_MAG_IS_USED
#include "cache_fixture.h"

TestSuite(cache_mag, .init = set_up);

/* A magazine has room for one until it is much used; what it holds then goes along. */
Test(cache_mag, a_magazine_grows_with_what_it_holds)
{
    static const size_t bytes_of[] = {16, 64, 1024, 2048};
    static void *p[64];
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(bytes_of); i++) {
        cr_assert_eq(make_for(&cache, bytes_of[i], 8, 0, 1), KC_OK);
        uint32_t most = KC_CACHE_CPU_BYTES / (uint32_t)bytes_of[i];
        most = most < KC_CACHE_CPU_OBJECTS ? most : KC_CACHE_CPU_OBJECTS;
        size_t before = 0;
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
            cr_expect_geq(m->limit, before);
            cr_expect_leq(m->limit, m->room);
            cr_expect_leq(m->mag.count, m->limit);
            before = m->limit;
            cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
        }
        cr_expect_eq(before, most);
        /* However much it may hold, a refill is a few. */
        (void)kc_cache_drain(&cache, 0);
        size_t refilled = 0;
        for (uint32_t k = 0; k < KC_ARRAY_COUNT(p); k++) {
            p[k] = kc_cache_alloc(&cache, 0);
            size_t kept = kc_mag_count(&cache.cpu[0]->mag);
            refilled = kept > refilled ? kept : refilled;
        }
        cr_expect(refilled == CACHE_REFILL - 1 ||
                  (refilled < CACHE_REFILL - 1 && bytes_of[i] > 1000)); /* few in a slab */
        for (uint32_t k = 0; k < KC_ARRAY_COUNT(p); k++) {
            cr_assert_eq(kc_cache_free(&cache, p[k]), KC_OK);
        }
        cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    }
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
    size_t most = 0;
    for (uint32_t i = 0; i < 500; i++) {
        p[i] = kc_cache_alloc(&cache, 0);
        cr_assert_not_null(p[i]);
        size_t kept = kc_mag_count(&cache.cpu[0]->mag);
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

Test(cache_mag, magazine_grows_while_it_is_used)
{
    magazine_grows(true);
    magazine_grows(false);
    expect_nothing_held();
}

/* A wrong free of what the magazine has, or had, is refused where it is full, and where it grows.
 */
Test(cache_mag, wrong_frees_are_refused_where_the_magazine_is_full)
{
    for (uint32_t pass = 0; pass < 4; pass++) {
        bool heard = (pass & 1) != 0;
        void *p[CACHE_ROOM_FIRST + 1];
        kc_test_listen(heard);
        cr_assert_eq(make_for(&cache, 64, 0, 0, 1), KC_OK);
        kc_misuse_init(&misuse, KC_MISUSE_SILENT);
        for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
            p[i] = kc_cache_alloc(&cache, 0);
            cr_assert_not_null(p[i]);
        }
        struct kc_cache_cpu *m = cache.cpu[0];
        m->limit = CACHE_ROOM_FIRST;
        m->slow_left = UINT32_MAX;
        for (uint32_t i = 0; i < CACHE_ROOM_FIRST; i++) {
            cr_assert_eq(kc_cache_free(&cache, p[i]), KC_OK);
        }
        cr_assert_eq(kc_mag_count(&m->mag), CACHE_ROOM_FIRST);
        uint64_t wrong = 0;
        if (KC_MAG_HAS_STATE) { /* elsewhere nothing tells it from what is live */
            m->slow_left = pass < 2 ? 2 : 0;
            cr_expect_eq(kc_cache_free(&cache, p[0]), KC_ERR_STATE);
            cr_expect_eq(misuse.count[KC_MISUSE_DOUBLE_FREE], ++wrong);
        }
        m->slow_left = pass < 2 ? 2 : 0;
        cr_expect_eq(kc_cache_free(&cache, (char *)p[4] + 8), KC_ERR_ALIGN);
        cr_expect_eq(misuse.count[KC_MISUSE_INTERIOR], 1);
        cr_expect_eq(cache.cpu[0], m, "a wrong free leaves it as it is");
        cr_expect_eq(m->limit, CACHE_ROOM_FIRST);
        cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
        cr_expect_eq(kc_cache_free(&cache, p[4]), KC_OK);
        cr_expect_eq(cache.cpu[0] == m, pass < 2);
        cr_expect_eq(misuse.count[KC_MISUSE_DOUBLE_FREE], wrong);
        cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
        cr_assert_eq(kc_cache_fini(&cache), KC_OK);
        kc_test_listen(true);
    }
    expect_nothing_held();
}

/* Only frees that find it full make it grow. */
Test(cache_mag, a_free_that_finds_room_leaves_the_magazine_as_it_is)
{
    for (uint32_t pass = 0; pass < 2; pass++) {
        void *p[CACHE_ROOM_FIRST];
        struct kc_frame_found found;
        cr_assert_eq(make_for(&cache, 64, 0, 0, 1), KC_OK);
        for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
            p[i] = kc_cache_alloc(&cache, 0);
        }
        struct kc_cache_cpu *m = cache.cpu[0];
        m->limit = CACHE_ROOM_FIRST;
        m->slow_left = 1;
        for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
            cr_assert(kc_frame_find(&frames, kc_plat_ram_pa(p[i]), &found));
            /* The second: as if somebody listened. */
            cr_assert_eq(pass == 0 ? kc_cache_free(&cache, p[i])
                                   : kc_cache_priv_free_slow(&cache, p[i], found.record,
                                                             (size_t)found.offset),
                         KC_OK);
            cr_expect_eq(m->slow_left, 1);
        }
        cr_expect_eq(cache.cpu[0], m);
        cr_expect_eq(m->limit, CACHE_ROOM_FIRST);
        cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
        cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    }
    expect_nothing_held();
}

/* While there is room for twice as many, the magazine stays; then one with room for all takes its
 * place, once. Of 1100 bytes that is no power of two. */
Test(cache_mag, a_magazine_is_replaced_when_its_limit_exceeds_its_room)
{
    static const size_t bytes_of[] = {64, 1100};
    for (uint32_t b = 0; b < KC_ARRAY_COUNT(bytes_of); b++) {
        void *p[2 * KC_CACHE_CPU_OBJECTS];
        uint32_t most = b == 0 ? KC_CACHE_CPU_OBJECTS : KC_CACHE_CPU_BYTES / 1100;
        uint32_t replaced = 0;
        cr_assert_eq(make_for(&cache, bytes_of[b], 0, 0, 1), KC_OK);
        for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
            p[i] = kc_cache_alloc(&cache, 0);
        }
        (void)kc_cache_drain(&cache, 0);
        cache.cpu[0]->limit = 1;
        for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
            struct kc_cache_cpu *m = cache.cpu[0];
            size_t limit = m->limit;
            size_t next = kc_mag_count(&m->mag) < limit ? limit : 2 * limit;
            m->slow_left = 0;
            cr_assert_eq(kc_cache_free(&cache, p[i]), KC_OK);
            cr_expect_eq(cache.cpu[0]->limit, next < most ? next : most);
            cr_expect_eq(cache.cpu[0] != m, next > m->room && m->room < most);
            replaced += cache.cpu[0] != m;
        }
        cr_expect_eq(replaced, 1);
        cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
        cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    }
    expect_nothing_held();
}

/* Heard of or not: a call that has found a slab has done enough, and takes less of it. */
Test(cache_mag, a_refill_takes_less_where_a_slab_is_to_be_found_first)
{
    for (uint32_t pass = 0; pass < 2; pass++) {
        void *p[CACHE_REFILL_PICK + 1];
        kc_test_listen(pass == 0);
        cr_assert_eq(make_for(&cache, 64, 0, 0, 1), KC_OK);
        cr_assert_eq(kc_cache_free(&cache, kc_cache_alloc(&cache, 0)), KC_OK);
        (void)kc_cache_drain(&cache, 0);
        cr_assert_null(cache.hand);
        struct kc_cache_cpu *m = cache.cpu[0];
        m->limit = CACHE_REFILL;
        m->slow_left = CACHE_HEAT;
        for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
            p[i] = kc_cache_alloc(&cache, 0);
            cr_expect_not_null(cache.hand);
            size_t kept = i < CACHE_REFILL_PICK ? CACHE_REFILL_PICK - 1 - i : CACHE_REFILL - 1;
            cr_expect_eq(kc_mag_count(&m->mag), kept);
        }
        for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
            cr_assert_eq(kc_cache_free(&cache, p[i]), KC_OK);
        }
        cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
        cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    }
    expect_nothing_held();
}

Test(cache_mag, check_sees_a_broken_magazine)
{
    static unsigned char elsewhere[16];
    static struct kc_cache other;
    void *p[8];
    cr_assert_eq(make_for(&cache, 64, 0, 0, 1), KC_OK);
    cr_assert_eq(make_for(&other, 64, 0, 0, 1), KC_OK);
    void *of_other = kc_cache_alloc(&other, 0);
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
        p[i] = kc_cache_alloc(&cache, 0);
    }
    (void)kc_cache_drain(&cache, 0);
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
        cache.cpu[0]->slow_left = 0; /* it grows whenever it is full */
        cr_assert_eq(kc_cache_free(&cache, p[i]), KC_OK);
    }
    struct kc_cache_cpu *m = cache.cpu[0];
    struct kc_cache_entry *e = cache_entries(m);
    struct kc_cache_entry as_it_was = e[0];
    cr_assert_eq(kc_mag_count(&m->mag), KC_ARRAY_COUNT(p));
    cr_assert_eq(m->limit, KC_ARRAY_COUNT(p));
    cr_assert_eq(m->room, KC_CACHE_CPU_OBJECTS);
    m->limit = CACHE_ROOM_FIRST;
    EXPECT_BROKEN(8, m->room, CACHE_ROOM_FIRST); /* it holds more */
    m->limit = KC_ARRAY_COUNT(p);
    EXPECT_BROKEN(8, m->room, 7u);
    EXPECT_BROKEN(4, cache.out, 0u);
    EXPECT_BROKEN(8, e[1].object, e[0].object);
    EXPECT_BROKEN(8, e[0].object, elsewhere);
    EXPECT_BROKEN(8, e[0].object, (unsigned char *)as_it_was.object + 8);
    struct slab_view v;
    uint32_t i = view_of(&other, of_other, &v);
#if KC_MAG_HAS_STATE
    EXPECT_BROKEN(8, e[0].state, e[1].state);
    e[0].state = slab_state(&other, &v, i);
#endif
    EXPECT_BROKEN(8, e[0].object, of_other);
    (void)view_of(&cache, as_it_was.object, &v);
    i = v.objects - 1;
    cr_assert(slab_is_free(&v, i));
#if KC_MAG_HAS_STATE
    e[0].state = slab_state(&cache, &v, i);
#endif
    EXPECT_BROKEN(8, e[0].object, v.base + (size_t)i * cache.stride);
    e[0] = as_it_was;
    cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
    for (i = 0; i < 6; i++) {
        p[i] = kc_cache_alloc(&cache, 0);
    }
    EXPECT_BROKEN(8, m->room, CACHE_ROOM_FIRST); /* it may hold more */
    cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
    for (i = 0; i < 6; i++) {
        cr_assert_eq(kc_cache_free(&cache, p[i]), KC_OK);
    }
    cr_assert_eq(kc_cache_free(&other, of_other), KC_OK);
    cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    cr_assert_eq(kc_cache_fini(&other), KC_OK);
    expect_nothing_held();
}

/* Heard of or not: a refill that finds no memory is a failure. */
Test(cache_mag, a_refill_may_find_no_memory)
{
    for (uint32_t pass = 0; pass < 2; pass++) {
        static void *p[KC_FRAME_BYTES / 64];
        uint32_t count = 0;
        kc_test_listen(pass == 0);
        cr_assert_eq(make_for(&cache, 64, 0, 0, 1), KC_OK);
        p[count++] = kc_cache_alloc(&cache, 0);
        kc_frames_fail_run(&frames, 0, UINT64_MAX);
        while ((p[count] = kc_cache_alloc(&cache, 0)) != NULL) {
            count++;
            cr_assert_lt(count, KC_ARRAY_COUNT(p));
        }
        cr_expect_eq(count, cache.capacity);
        cr_expect_null(kc_cache_alloc(&cache, 0));
        kc_frames_fail_run(&frames, UINT64_MAX, 0);
        while (count > 0) {
            cr_assert_eq(kc_cache_free(&cache, p[--count]), KC_OK);
        }
        cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
        cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    }
    expect_nothing_held();
}

/* As if another CPU allocated between what is counted out and what is counted in. */
Test(cache_mag, stats_never_keep_more_than_is_out)
{
    struct kc_cache_stats s;
    cr_assert_eq(make_for(&cache, 64, 0, 0, 1), KC_OK);
    cr_assert_eq(kc_cache_free(&cache, kc_cache_alloc(&cache, 0)), KC_OK);
    uint64_t out = cache.out;
    cr_assert_neq(out, 0);
    cache.out = 0;
    kc_cache_stats(&cache, &s);
    cr_expect_eq(s.kept, 0);
    cr_expect_eq(s.live, 0);
    cache.out = out;
    kc_cache_stats(&cache, &s);
    cr_expect_eq(s.kept, out);
    cr_assert_eq(kc_cache_fini(&cache), KC_OK);
}

#if KC_HARDENING == KC_HARDENING_CHECKED
/* Whatever lies there: claimed by somebody else with the cache's data, or another cache's. */
Test(cache_mag, what_is_of_others_is_not_freed)
{
    static struct kc_cache other;
    kc_pa_t claimed;
    cr_assert_eq(make_for(&cache, 64, 0, 0, 1), KC_OK);
    cr_assert_eq(make_for(&other, 64, 0, 0, 1), KC_OK);
    void *p = kc_cache_alloc(&cache, 0);
    void *of_other = kc_cache_alloc(&other, 0);
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, KC_FRAME_OWNER_TEST, &claimed), KC_OK);
    (void)kc_frame_claim(&frames, claimed, 0, (uintptr_t)&cache);
    __builtin_memset(kc_plat_ram(claimed), KC_MAG_LIVE, KC_FRAME_BYTES);
    for (uint32_t pass = 0; pass < 2; pass++) {
        kc_test_listen(pass == 0);
        EXPECT_MISUSE(kc_cache_free(&cache, kc_plat_ram(claimed)), KC_ERR_PERM,
                      KC_MISUSE_WRONG_OWNER);
        EXPECT_MISUSE(kc_cache_free(&cache, of_other), KC_ERR_PERM, KC_MISUSE_WRONG_OWNER);
    }
    cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
    cr_assert_eq(kc_cache_check(&other, NULL), KC_OK);
    cr_assert_eq(kc_cache_free(&cache, p), KC_OK);
    cr_assert_eq(kc_cache_free(&other, of_other), KC_OK);
    kc_frame_unclaim(&frames, claimed, 0);
    cr_assert_eq(kc_frame_free(&frames, claimed, 0), KC_OK);
    cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    cr_assert_eq(kc_cache_fini(&other), KC_OK);
    expect_nothing_held();
}

/* A CPU's first call may be a free, of what another allocated. */
Test(cache_mag, a_free_makes_the_magazine_or_does_without)
{
    for (uint32_t fails = 0; fails < 2; fails++) {
        cr_assert_eq(make_for(&cache, 40, 0, 0, 1), KC_OK);
        void *a = kc_cache_priv_alloc_alone(&cache, 0, NULL);
        void *b = kc_cache_priv_alloc_alone(&cache, 0, NULL);
        cr_assert(a != NULL && b != NULL);
        kc_frames_fail_run(&frames, 0, fails * 2);
        cr_expect_eq(kc_cache_free(&cache, a), KC_OK);
        cr_expect_eq(kc_cache_free(&cache, b), KC_OK);
        kc_frames_fail_run(&frames, UINT64_MAX, 0);
        cr_expect_eq(cache.cpu[0] == &cache.none, fails);
        cr_expect_eq(cache.none.limit, 0, "nobody's own");
        cr_expect_eq(kc_mag_count(&cache.none.mag), 0);
        cr_expect_eq(kc_cache_check(&cache, NULL), KC_OK);
        cr_expect_eq(kc_cache_free(&cache, b), KC_ERR_STATE);
        cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    }
}

/* Reclaimers free objects: of the cache that asks them, too, whose magazine then is another. */
static struct {
    void *object[4096];
    uint32_t count; /* of those, live */
    uint32_t each;  /* that are given at a time */
} shed;

static uint64_t give_objects(void *context, uint64_t want)
{
    (void)want;
    for (uint32_t i = 0; i < shed.each && shed.count > 0; i++) {
        cr_expect_eq(kc_cache_free(context, shed.object[--shed.count]), KC_OK);
    }
    return 0;
}

Test(cache_mag, a_reclaimer_may_free_objects_of_the_cache_that_asks)
{
    static const uint32_t each[] = {1, 3, 40};
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(each); i++) {
        struct kc_frame_reclaimer r = {.name = "r", .reclaim = give_objects, .context = &cache};
        cr_assert_eq(make_for(&cache, 4096, 0, 0, 1), KC_OK);
        shed.count = 0;
        shed.each = each[i];
        void *p;
        while ((p = kc_cache_alloc(&cache, KC_CACHE_NO_RECLAIM)) != NULL) {
            cr_assert_lt(shed.count, KC_ARRAY_COUNT(shed.object));
            shed.object[shed.count++] = p;
        }
        cr_assert_eq(kc_frames_reclaimer_add(&frames, &r), KC_OK);
        for (uint32_t k = 0; k < 20; k++) {
            p = kc_cache_alloc(&cache, 0);
            cr_assert_not_null(p);
            shed.object[shed.count++] = p;
            struct kc_cache_stats s;
            kc_cache_stats(&cache, &s);
            cr_expect_eq(s.live, shed.count);
            cr_expect_eq(kc_cache_check(&cache, NULL), KC_OK);
        }
        cr_expect_eq(kc_frames_reclaimer_remove(&frames, &r), KC_OK);
        while (shed.count > 0) {
            cr_expect_eq(kc_cache_free(&cache, shed.object[--shed.count]), KC_OK);
        }
        cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    }
}

/* What two wrong frees at the same instant on two CPUs leave: an object that is in there twice. */
Test(cache_mag, an_object_that_was_freed_twice_at_once_is_handed_out_once)
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
    size_t count = kc_mag_count(&m->mag);
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
Test(cache_mag, a_slab_that_has_gone_is_not_given_to)
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
        struct kc_cache_cpu *m = cache.cpu[0];
        cr_assert_neq(kc_mag_count(&m->mag), 0);
        m->limit = kc_mag_count(&m->mag); /* full: what is freed goes to a slab */
        cr_expect_eq(kc_cache_priv_free_slow(&cache, p[0], found.record, 0), KC_ERR_RANGE);
        cr_expect_eq(misuse.count[KC_MISUSE_FOREIGN], 1);
        cr_assert_eq(kc_cache_check(&cache, NULL), KC_OK);
        cr_assert_eq(kc_cache_free(&cache, other_object), KC_OK);
        cr_assert_eq(kc_cache_fini(&cache), KC_OK);
    }
}

/* Small and great objects: in the magazine, in the slab. */
Test(cache_mag, double_free_is_noticed_wherever_the_object_is)
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

#endif
