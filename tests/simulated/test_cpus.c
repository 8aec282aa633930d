/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lock, frames, cache and heap under several CPUs at once, switched between any two accesses by the
 * seed of the machine (--seed), so that a schedule that fails can be run again.
 *
 * Nouns: an *object* is a block of any allocator, on its way from CPU to CPU through a *slot*. The
 * *shadow* is the model: for each 16 bytes of the test's RAM, which object lives there. An object
 * is entered when it is allocated and taken out before it is freed.
 *
 * I1  no granule is entered twice: no two live objects overlap, of whatever allocators.
 * I2  an object's granules hold what its last owner wrote there, until it is freed.
 * I3  when all objects are freed, everything is given back, to the last frame.
 */
#include <kc/cache.h>
#include <kc/early.h>
#include <kc/frame.h>
#include <kc/heap.h>
#include <kc/lock.h>

#include "kc_bytes.h"
#include "kc_test.h"
#include "kc_test_cpus.h"

#include "mem/cache_priv.h"

struct kc_test_cpu_range kc_test_cpu_range = {2, KC_CPUS_MAX};

#define RAM_BYTES    KC_MIB(4)
#define GRANULE      16u
#define SLOTS        48u
#define ROUNDS       4000u
#define LOCK_ROUNDS  2000u
#define CACHE_OBJECT 208u

enum kind {
    KIND_FRAME,
    KIND_CACHE,
    KIND_HEAP,
    KINDS
};

struct object {
    void *p;
    uint64_t stamp; /* what its granules hold; 0: the slot is empty */
    uint32_t bytes;
    enum kind kind;
    uint32_t order; /* frames */
};

static struct {
    struct kc_boot_info info;
    struct kc_early early;
    struct kc_misuse misuse;
    struct kc_frames frames;
    struct kc_frame_cpu lists[KC_CPUS_MAX];
    struct kc_cache cache;
    struct kc_heap heap;
    uint64_t seed;
    struct kc_lock slot_lock[SLOTS];
    struct object slot[SLOTS];
    uint8_t shadow[RAM_BYTES / GRANULE];
    uint32_t wrong; /* things seen that should not be */
    uint32_t handed_over;
} all;

static void must(bool good)
{
    if (!good) {
        __atomic_fetch_add(&all.wrong, 1, __ATOMIC_RELAXED);
    }
}

/* ---- the model ------------------------------------------------------------------------------ */

static uint64_t granule_of(const void *p)
{
    return (kc_pa_raw(kc_plat_ram_pa(p)) - kc_pa_raw(all.info.range[0].base)) / GRANULE;
}

static void enter(const struct object *o)
{
    uint64_t first = granule_of(o->p);
    for (uint32_t i = 0; i < o->bytes / GRANULE; i++) {
        uint64_t *word = (uint64_t *)o->p + 2 * (size_t)i;
        must(__atomic_exchange_n(&all.shadow[first + i], 1, __ATOMIC_RELAXED) == 0); /* I1 */
        word[0] = o->stamp;
        word[1] = o->stamp + i;
    }
}

static void take_out(const struct object *o)
{
    uint64_t first = granule_of(o->p);
    for (uint32_t i = 0; i < o->bytes / GRANULE; i++) {
        const uint64_t *word = (const uint64_t *)o->p + 2 * (size_t)i;
        must(word[0] == o->stamp && word[1] == o->stamp + i); /* I2 */
        must(__atomic_exchange_n(&all.shadow[first + i], 0, __ATOMIC_RELAXED) == 1);
    }
}

/* ---- objects -------------------------------------------------------------------------------- */

static struct object make(uint64_t x)
{
    struct object o = {.stamp = x | 1, .kind = (enum kind)(x % KINDS)};
    uint64_t size = x >> 8;
    kc_pa_t pa;
    switch (o.kind) {
    case KIND_FRAME:
        o.order = (uint32_t)(size % 3);
        if (kc_frame_alloc(&all.frames, o.order, 0, KC_FRAME_OWNER_TEST, &pa) == KC_OK) {
            o.p = kc_plat_ram(pa);
            o.bytes = KC_FRAME_BYTES << o.order;
        }
        break;
    case KIND_CACHE:
        o.p = kc_cache_alloc(&all.cache, 0);
        o.bytes = CACHE_OBJECT;
        break;
    default:
        o.bytes = (uint32_t)(size % 32 == 0 ? 8192 + size % 8192 : GRANULE + size % 600);
        o.bytes -= o.bytes % GRANULE;
        o.p = kc_heap_alloc(&all.heap, o.bytes, 0);
        break;
    }
    if (o.p == NULL) {
        o.stamp = 0;
        return o;
    }
    enter(&o);
    return o;
}

static void unmake(const struct object *o)
{
    if (o->stamp == 0) {
        return;
    }
    take_out(o);
    switch (o->kind) {
    case KIND_FRAME:
        must(kc_frame_free(&all.frames, kc_plat_ram_pa(o->p), o->order) == KC_OK);
        break;
    case KIND_CACHE:
        must(kc_cache_free(&all.cache, o->p) == KC_OK);
        break;
    default:
        must(kc_heap_free(&all.heap, o->p) == KC_OK);
        break;
    }
}

static struct object swap(uint32_t i, struct object mine)
{
    kc_lock_acquire(&all.slot_lock[i]);
    struct object there = all.slot[i];
    all.slot[i] = mine;
    kc_lock_release(&all.slot_lock[i]);
    return there;
}

/* ---- allocators ----------------------------------------------------------------------------- */

static void start_all(bool with_lists)
{
    __builtin_memset(&all, 0, sizeof(all));
    all.seed = kc_test_seed();
    kc_misuse_init(&all.misuse, KC_MISUSE_SILENT);
    cr_assert(kc_test_ram(RAM_BYTES, &all.info));
    cr_assert_eq(kc_early_init(&all.early, &all.info), KC_OK);
    cr_assert_eq(kc_frames_init(&all.frames, &all.early, &all.misuse), KC_OK);
    if (with_lists) {
        cr_assert_eq(kc_frames_set_cpus(&all.frames, all.lists, kc_test_cpus()), KC_OK);
    }
    struct kc_cache_config cc = {
        .name = "c", .object_bytes = CACHE_OBJECT, .align = GRANULE, .misuse = &all.misuse};
    struct kc_heap_config hc = {.name = "h", .misuse = &all.misuse};
    cr_assert_eq(kc_cache_init(&all.cache, &cc, &all.frames), KC_OK);
    cr_assert_eq(kc_heap_init(&all.heap, &hc, &all.frames), KC_OK);
    for (uint32_t i = 0; i < SLOTS; i++) {
        kc_lock_init(&all.slot_lock[i], "slot", KC_RANK_KERNEL);
    }
}

static void hammer(uint32_t cpu, void *arg)
{
    uint64_t seed = all.seed + 977 * (uint64_t)cpu;
    (void)arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint64_t x = kc_random(&seed);
        struct object mine = {.stamp = 0};
        if ((x >> 60 & 1) != 0) {
            mine = make(x);
        }
        struct object there = swap((uint32_t)(x >> 32) % SLOTS, mine);
        if (there.stamp != 0) {
            __atomic_fetch_add(&all.handed_over, 1, __ATOMIC_RELAXED);
            unmake(&there);
        }
        if ((x >> 40) % 64 == 0) {
            (void)kc_heap_shrink(&all.heap);
            (void)kc_cache_shrink(&all.cache);
        }
    }
}

static void finish_all(void)
{
    struct kc_frame_stats s;
    struct object none = {.stamp = 0};
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct object o = swap(i, none);
        unmake(&o);
    }
    cr_expect_eq(all.wrong, 0);
    cr_expect_eq(kc_misuse_total(&all.misuse), 0);
    cr_expect_eq(kc_cache_check(&all.cache, NULL), KC_OK);
    cr_expect_eq(kc_heap_check(&all.heap, NULL), KC_OK);
    cr_expect_eq(kc_cache_fini(&all.cache), KC_OK);
    cr_expect_eq(kc_heap_fini(&all.heap), KC_OK);
    cr_expect_eq(kc_frames_check(&all.frames, NULL), KC_OK);
    kc_frame_stats(&all.frames, &s);
    cr_expect_eq(s.used_frames, 0); /* I3 */
    cr_expect_gt(s.alloc_count, 20);
    cr_expect_eq(kc_frames_fini(&all.frames), KC_OK);
    for (uint64_t i = 0; i < RAM_BYTES / GRANULE; i++) {
        cr_expect_eq(all.shadow[i], 0);
    }
}

Test(cpus, every_block_has_one_owner)
{
    cr_assert_geq(kc_test_cpus(), 2);
    start_all(false);
    kc_test_on_cpus(hammer, NULL);
    cr_expect_gt(all.handed_over, ROUNDS / 8);
    finish_all();
}

/* Single frames in lists, freed on another CPU than they were allocated on. */
Test(cpus, every_block_has_one_owner_with_lists_of_frames)
{
    struct kc_frame_stats s;
    start_all(true);
    kc_test_on_cpus(hammer, NULL);
    cr_expect_gt(all.handed_over, ROUNDS / 8);
    kc_frame_stats(&all.frames, &s);
    cr_expect(s.kept_frames != 0 || !KC_MAG_IS_USED);
    for (uint32_t i = 0; i < kc_test_cpus(); i++) {
        cr_expect_leq(kc_frames_drain(&all.frames, i), KC_FRAME_CPU_KEEPS);
    }
    finish_all();
}

/* All CPUs free one frame at once, again and again; it is given to one of them at a time. */
static struct {
    uint64_t pa;      /* atomic: the frame, or 0 */
    uint32_t done;    /* atomic: CPUs that have freed it */
    uint32_t granted; /* atomic: frees that were accepted */
} raced;

static void race(uint32_t cpu, void *arg)
{
    kc_pa_t pa;
    (void)arg;
    for (uint32_t i = 1; i <= ROUNDS / 16; i++) {
        if (cpu == 0) {
            must(kc_frame_alloc(&all.frames, 0, 0, KC_FRAME_OWNER_TEST, &pa) == KC_OK);
            __atomic_store_n(&raced.pa, kc_pa_raw(pa) + i, __ATOMIC_RELEASE);
        }
        uint64_t at;
        while ((at = __atomic_load_n(&raced.pa, __ATOMIC_ACQUIRE)) % KC_FRAME_BYTES != i) {
            kc_plat_relax();
        }
        if (kc_frame_free(&all.frames, kc_pa(at - i), 0) == KC_OK) {
            __atomic_fetch_add(&raced.granted, 1, __ATOMIC_RELAXED);
        }
        __atomic_fetch_add(&raced.done, 1, __ATOMIC_ACQ_REL);
        while (__atomic_load_n(&raced.done, __ATOMIC_ACQUIRE) < i * kc_test_cpus()) {
            kc_plat_relax();
        }
    }
}

Test(cpus, frees_of_one_frame_that_race_give_it_back_once)
{
    struct kc_frame_stats s;
    uint32_t rounds = ROUNDS / 16;
    start_all(true);
    __builtin_memset(&raced, 0, sizeof(raced));
    kc_test_on_cpus(race, NULL);
    for (uint32_t i = 0; i < kc_test_cpus(); i++) {
        (void)kc_frames_drain(&all.frames, i);
    }
    cr_expect_eq(kc_heap_fini(&all.heap), KC_OK);
    cr_expect_eq(kc_cache_fini(&all.cache), KC_OK);
    kc_frame_stats(&all.frames, &s);
    cr_expect_geq(raced.granted, rounds);
    cr_expect_gt(kc_misuse_total(&all.misuse), 0);
    cr_expect_leq(kc_misuse_total(&all.misuse), (uint64_t)rounds * (kc_test_cpus() - 1));
    cr_expect_eq(all.wrong, 0);
    cr_expect_eq(s.used_frames, 0);
    cr_expect_eq(s.free_count, s.alloc_count);
    cr_expect_eq(kc_frames_check(&all.frames, NULL), KC_OK);
    cr_expect_eq(kc_frames_fini(&all.frames), KC_OK);
}

/* The same with objects of a cache, where all magazines are full: each free is of a slab. */
#define RACED_OBJECTS 60u
#define RACED_BYTES   KC_CACHE_OBJECT_MAX

static struct {
    struct kc_cache cache;
    void *object[RACED_OBJECTS];
    uint32_t full, done, granted; /* atomic */
} raced_objects;

static void meet(uint32_t *at, uint32_t count)
{
    __atomic_fetch_add(at, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(at, __ATOMIC_ACQUIRE) < count) {
        kc_plat_relax();
    }
}

/* Who had to wait for the lock has brought a few back. */
static void fill_up(struct kc_cache *c, struct kc_cache_cpu *m)
{
    size_t count;
    while ((count = kc_mag_count(&m->mag)) < m->limit) {
        const struct cache_take t = {0, false, 0};
        must(kc_cache_priv_take(c, &cache_entries(m)[count], 1, &t) == 1);
        kc_mag_set_count(&m->mag, count + 1);
    }
}

static void race_objects(uint32_t cpu, void *arg)
{
    struct kc_cache *c = &raced_objects.cache;
    (void)arg;
    for (uint32_t i = 0; i < 20; i++) { /* until its magazine is as great as it gets */
        void *held[3];
        for (uint32_t k = 0; k < KC_ARRAY_COUNT(held); k++) {
            held[k] = kc_cache_alloc(c, 0);
            must(held[k] != NULL);
        }
        for (uint32_t k = 0; k < KC_ARRAY_COUNT(held); k++) {
            must(kc_cache_free(c, held[k]) == KC_OK);
        }
    }
    for (uint32_t i = 0; i < RACED_OBJECTS; i++) {
        fill_up(c, c->cpu[cpu]);
        meet(&raced_objects.full, (i + 1) * kc_test_cpus());
        if (kc_cache_free(c, raced_objects.object[i]) == KC_OK) {
            __atomic_fetch_add(&raced_objects.granted, 1, __ATOMIC_RELAXED);
        }
        meet(&raced_objects.done, (i + 1) * kc_test_cpus());
    }
}

Test(cpus, frees_of_one_object_that_race_give_it_back_once)
{
    struct kc_cache *c = &raced_objects.cache;
    struct kc_cache_config config = {.name = "raced",
                                     .object_bytes = RACED_BYTES,
                                     .misuse = &all.misuse,
                                     .cpu_count = KC_CPUS_MAX};
    start_all(true);
    __builtin_memset(&raced_objects, 0, sizeof(raced_objects));
    cr_assert_eq(kc_cache_init(c, &config, &all.frames), KC_OK);
    for (uint32_t i = 0; i < RACED_OBJECTS; i++) {
        raced_objects.object[i] = kc_cache_alloc(c, 0);
        cr_assert_not_null(raced_objects.object[i]);
    }
    kc_test_on_cpus(race_objects, NULL);
    cr_expect_eq(raced_objects.granted, RACED_OBJECTS);
    cr_expect_eq(kc_misuse_total(&all.misuse), RACED_OBJECTS * (kc_test_cpus() - 1));
    cr_expect_eq(all.wrong, 0);
    cr_expect_eq(kc_cache_check(c, NULL), KC_OK);
    cr_expect_eq(kc_cache_fini(c), KC_OK);
    cr_expect_eq(kc_heap_fini(&all.heap), KC_OK);
    cr_expect_eq(kc_cache_fini(&all.cache), KC_OK);
    cr_expect_eq(kc_frames_fini(&all.frames), KC_OK);
}

/* CPU 0 makes slabs and gives them back; what the others ask about lies there, or did. */
#define LISTED 3u

static struct {
    struct kc_cache cache;
    void *place;         /* atomic: an object, live or not */
    uint32_t rounds;     /* atomic: of CPU 0, that it has done */
    uint32_t full, done; /* atomic */
} asked;

static void start_asked(size_t bytes, uint32_t flags)
{
    struct kc_cache_config config = {
        .name = "asked", .object_bytes = bytes, .flags = flags, .misuse = &all.misuse};
    start_all(true);
    __builtin_memset(&asked, 0, sizeof(asked));
    cr_assert_eq(kc_cache_init(&asked.cache, &config, &all.frames), KC_OK);
}

static void finish_asked(void)
{
    cr_expect_eq(all.wrong, 0);
    cr_expect_eq(kc_cache_check(&asked.cache, NULL), KC_OK);
    cr_expect_eq(kc_cache_fini(&asked.cache), KC_OK);
    cr_expect_eq(kc_heap_fini(&all.heap), KC_OK);
    cr_expect_eq(kc_cache_fini(&all.cache), KC_OK);
    cr_expect_eq(kc_frames_fini(&all.frames), KC_OK);
}

static void come_and_go(void)
{
    kc_pa_t pa;
    void *p = kc_cache_alloc(&asked.cache, 0);
    must(p != NULL);
    __atomic_store_n(&asked.place, p, __ATOMIC_RELAXED);
    kc_plat_relax();
    must(kc_cache_free(&asked.cache, p) == KC_OK);
    must(kc_frame_alloc(&all.frames, 0, 0, KC_FRAME_OWNER_TEST, &pa) == KC_OK);
    __builtin_memset(kc_plat_ram(pa), 0xff, KC_FRAME_BYTES);
    must(kc_frame_free(&all.frames, pa, 0) == KC_OK);
}

static void ask(uint32_t cpu, void *arg)
{
    (void)arg;
    for (uint32_t i = 0; cpu == 0 && i < ROUNDS / 8; i++) {
        come_and_go();
        __atomic_fetch_add(&asked.rounds, 1, __ATOMIC_RELAXED);
    }
    while (cpu != 0 && __atomic_load_n(&asked.rounds, __ATOMIC_RELAXED) < ROUNDS / 8) {
        const void *p = __atomic_load_n(&asked.place, __ATOMIC_RELAXED);
        if (p != NULL) {
            (void)kc_cache_is_live(&asked.cache, p);
            (void)kc_cache_probe(&asked.cache, p);
        }
        must(kc_cache_check(&asked.cache, NULL) == KC_OK);
        kc_plat_relax();
    }
}

Test(cpus, what_is_asked_about_a_cache_is_true_while_slabs_come_and_go)
{
    start_asked(2000, KC_CACHE_KEEP_NONE);
    kc_test_on_cpus(ask, NULL);
    finish_asked();
}

static void list(uint32_t cpu, void *arg)
{
    (void)arg;
    for (uint32_t i = 1; i <= ROUNDS / 16; i++) {
        struct kc_cache_cursor cursor = {0, 0, 0};
        uint32_t found = 0;
        if (cpu == 0) {
            must(kc_cache_free(&asked.cache, kc_cache_alloc(&asked.cache, 0)) == KC_OK);
        }
        meet(&asked.full, i * kc_test_cpus());
        while (cpu == 0 && kc_cache_next_live(&asked.cache, &cursor) != NULL) {
            found++;
        }
        must(cpu != 0 || found == LISTED);
        if (cpu != 0) {
            (void)kc_cache_shrink(&asked.cache);
        }
        meet(&asked.done, i * kc_test_cpus());
    }
}

Test(cpus, what_is_live_is_listed_while_an_empty_slab_goes)
{
    void *p[LISTED];
    start_asked(KC_CACHE_OBJECT_MAX, 0);
    for (uint32_t i = 0; i < LISTED; i++) {
        p[i] = kc_cache_alloc(&asked.cache, 0);
        cr_assert_not_null(p[i]);
    }
    kc_test_on_cpus(list, NULL);
    for (uint32_t i = 0; i < LISTED; i++) {
        cr_assert_eq(kc_cache_free(&asked.cache, p[i]), KC_OK);
    }
    finish_asked();
}

/* Wrong frees race with honest ones: refused, counted, nothing torn. */
static void misuse(uint32_t cpu, void *arg)
{
    uint64_t seed = all.seed + 977 * (uint64_t)cpu;
    (void)arg;
    for (uint32_t i = 0; i < ROUNDS / 4; i++) {
        char *p = (char *)kc_heap_alloc(&all.heap, 16 + kc_random(&seed) % 300, 0);
        must(p != NULL);
        if (p != NULL) {
            must(kc_heap_free(&all.heap, p + 1) != KC_OK);
            must(kc_heap_free(&all.heap, p) == KC_OK);
        }
    }
}

Test(cpus, misuse_races_are_refused)
{
    start_all(true);
    kc_test_on_cpus(misuse, NULL);
    cr_expect_eq(kc_misuse_total(&all.misuse), kc_test_cpus() * (uint64_t)(ROUNDS / 4));
    cr_expect_eq(all.wrong, 0);
    cr_expect_eq(kc_heap_check(&all.heap, NULL), KC_OK);
    cr_expect_eq(kc_heap_fini(&all.heap), KC_OK);
    cr_expect_eq(kc_cache_fini(&all.cache), KC_OK);
    cr_expect_eq(kc_frames_fini(&all.frames), KC_OK);
}

/* ---- the lock ------------------------------------------------------------------------------- */

static struct {
    struct kc_lock lock;
    uint64_t first, second; /* equal whenever the lock is free; plain on purpose */
    uint32_t inside;
    uint32_t refused; /* by kc_lock_try() */
} counted;

static void count(uint32_t cpu, void *arg)
{
    uint64_t seed = 1 + all.seed + cpu;
    (void)arg;
    for (uint32_t i = 0; i < LOCK_ROUNDS; i++) {
        uint64_t how = kc_random(&seed) >> 32;
        uint64_t saved = 0;
        if (how % 3 == 0) {
            kc_lock_acquire(&counted.lock);
        } else if (how % 3 == 1) {
            saved = kc_lock_acquire_irqsave(&counted.lock);
        } else {
            while (!kc_lock_try(&counted.lock)) {
                __atomic_fetch_add(&counted.refused, 1, __ATOMIC_RELAXED);
                kc_plat_relax();
            }
        }
        must(__atomic_exchange_n(&counted.inside, 1, __ATOMIC_RELAXED) == 0);
        must(kc_lock_is_mine(&counted.lock));
        uint64_t seen = counted.first;
        counted.first = seen + 1;
        kc_plat_ticks(); /* a step: without the lock, counts would be lost here */
        must(counted.second == seen);
        counted.second = seen + 1;
        must(__atomic_exchange_n(&counted.inside, 0, __ATOMIC_RELAXED) == 1);
        if (how % 3 == 1) {
            kc_lock_release_irqrestore(&counted.lock, saved);
        } else {
            kc_lock_release(&counted.lock);
        }
        kc_plat_ticks();
    }
}

Test(cpus, lock_excludes)
{
    __builtin_memset(&counted, 0, sizeof(counted));
    all.wrong = 0;
    all.seed = kc_test_seed();
    kc_lock_init(&counted.lock, "counted", KC_RANK_KERNEL);
    kc_test_on_cpus(count, NULL);
    cr_expect_eq(all.wrong, 0);
    cr_expect_eq(counted.first, kc_test_cpus() * (uint64_t)LOCK_ROUNDS);
    cr_expect_eq(counted.second, counted.first);
    cr_expect_gt(counted.refused, 0);
    cr_expect(kc_lock_try(&counted.lock));
    kc_lock_release(&counted.lock);
}
