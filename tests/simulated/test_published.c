/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the library publishes to other CPUs by a release store alone, while they look for it: caches
 * of a set and of a heap, magazines, frames that were never touched, references to frames. The
 * values would be right with weaker orders too, for the machine performs memory in sequence; row R1
 * is the judge, and tests/weaken sees that each of these orders is needed here.
 */
#include <kc/cache.h>
#include <kc/early.h>
#include <kc/frame.h>
#include <kc/heap.h>

#include "kc_bytes.h"
#include "kc_test.h"
#include "kc_test_cpus.h"

#define RAM_BYTES KC_MIB(4)
#define CACHES    40u
#define ROUNDS    150u
#define CLAIM     5u
#define SHARED    100u

static struct {
    struct kc_boot_info info;
    struct kc_early early;
    struct kc_misuse misuse;
    struct kc_frames frames;
    struct kc_cache_set set;
    struct kc_cache place[CACHES];
    struct kc_heap heap;
    struct kc_frame_cpu lists[KC_CPUS_MAX];
    kc_pa_t shared[SHARED];
    uint64_t seed;
    uint32_t found;
    uint32_t wrong;
} all;

static void must(bool good)
{
    __atomic_fetch_add(&all.wrong, !good, __ATOMIC_RELAXED);
}

static void start_frames(void)
{
    __builtin_memset(&all, 0, sizeof(all));
    all.seed = kc_test_seed();
    kc_misuse_init(&all.misuse, KC_MISUSE_SILENT);
    cr_assert(kc_test_ram(RAM_BYTES, &all.info));
    cr_assert_eq(kc_early_init(&all.early, &all.info), KC_OK);
    cr_assert_eq(kc_frames_init(&all.frames, &all.early, &all.misuse), KC_OK);
}

static void finish_frames(void)
{
    struct kc_frame_stats s;
    kc_frame_stats(&all.frames, &s);
    cr_expect_eq(s.used_frames, 0);
    cr_expect_eq(kc_misuse_total(&all.misuse), 0);
    cr_expect_eq(kc_frames_check(&all.frames, NULL), KC_OK);
    cr_expect_eq(kc_frames_fini(&all.frames), KC_OK);
}

/* ---- caches of a set ------------------------------------------------------------------------ */

static void start_set(uint32_t cpu_count)
{
    struct kc_cache_set_config config = {.name = "s",
                                         .cache = all.place,
                                         .cache_max = CACHES,
                                         .spares = 4,
                                         .misuse = &all.misuse,
                                         .cpu_count = cpu_count};
    start_frames();
    cr_assert_eq(kc_cache_set_init(&all.set, &config, &all.frames), KC_OK);
}

static void make_caches(uint32_t cpu, void *arg)
{
    (void)arg;
    for (uint32_t i = 1; cpu == 0 && i <= CACHES; i++) {
        struct kc_cache *c;
        cr_expect_eq(kc_cache_set_get(&all.set, 16 * (size_t)i, 0, &c), KC_OK);
        kc_plat_relax();
    }
    while (cpu != 0 && kc_cache_set_count(&all.set) < CACHES) {
        (void)kc_cache_set_shrink(&all.set);
        kc_plat_relax();
    }
}

Test(published, caches_of_a_set_to_who_counts_them)
{
    start_set(0);
    kc_test_on_cpus(make_caches, NULL);
    cr_expect_eq(kc_cache_set_count(&all.set), CACHES);
    cr_expect_eq(kc_cache_set_fini(&all.set), KC_OK);
    finish_frames();
}

/*
 * CPU 0 makes caches, and each pushes another out of the ring, which has one place; the others push
 * those out. They free what they took before, so that no lock but that of a cache tells them of it.
 */
static void push_out(uint32_t cpu, void *arg)
{
    (void)arg;
    for (uint32_t i = kc_test_cpus(); cpu == 0 && i < CACHES; i++) {
        struct kc_cache *c = NULL;
        must(kc_cache_set_get(&all.set, 16 * (size_t)(i + 1), 0, &c) == KC_OK);
        must(c != NULL && kc_cache_free(c, kc_cache_alloc(c, 0)) == KC_OK);
        __atomic_fetch_add(&all.found, 1, __ATOMIC_RELAXED);
    }
    while (cpu != 0 && __atomic_load_n(&all.found, __ATOMIC_RELAXED) < CACHES - kc_test_cpus()) {
        void *p = kc_cache_alloc(&all.place[cpu], 0);
        kc_plat_relax();
        must(kc_cache_free(&all.place[cpu], p) == KC_OK);
    }
}

Test(published, caches_of_a_set_to_who_takes_their_place)
{
    struct kc_cache *c;
    start_set(0);
    all.set.spares = 1;
    for (uint32_t i = 0; i < kc_test_cpus(); i++) {
        cr_assert_eq(kc_cache_set_get(&all.set, 16 * (size_t)(i + 1), 0, &c), KC_OK);
    }
    kc_test_on_cpus(push_out, NULL);
    cr_expect_eq(all.wrong, 0);
    cr_expect_eq(kc_cache_set_check(&all.set, NULL), KC_OK);
    cr_expect_eq(kc_cache_set_fini(&all.set), KC_OK);
    finish_frames();
}

/* ---- caches of a heap ----------------------------------------------------------------------- */

static void use_classes(uint32_t cpu, void *arg)
{
    uint64_t seed = all.seed + 977 * (uint64_t)cpu;
    (void)arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        void *p = kc_heap_alloc(&all.heap, 16 + kc_random(&seed) % 300, 0);
        if (p == NULL || kc_heap_free(&all.heap, p) != KC_OK) {
            return;
        }
        __atomic_fetch_add(&all.found, 1, __ATOMIC_RELAXED);
    }
}

Test(published, caches_of_a_heap_to_who_finds_them)
{
    start_set(0);
    struct kc_heap_config config = {.name = "h", .misuse = &all.misuse, .set = &all.set};
    cr_assert_eq(kc_heap_init(&all.heap, &config, &all.frames), KC_OK);
    kc_test_on_cpus(use_classes, NULL);
    cr_expect_eq(all.found, ROUNDS * kc_test_cpus());
    cr_expect_eq(kc_heap_fini(&all.heap), KC_OK);
    cr_expect_eq(kc_cache_set_fini(&all.set), KC_OK);
    finish_frames();
}

/* ---- magazines ------------------------------------------------------------------------------ */

/* Many caches, for a magazine is made once on each CPU, and only its first moments tell. */
static void fill_magazines(uint32_t cpu, void *arg)
{
    struct kc_cache_stats s;
    (void)cpu;
    (void)arg;
    for (uint32_t i = 0; i < CACHES; i++) {
        void *p = kc_cache_alloc(&all.place[i], 0);
        kc_cache_stats(&all.place[i], &s);
        if (p == NULL || kc_cache_free(&all.place[i], p) != KC_OK) {
            return;
        }
        __atomic_fetch_add(&all.found, 1, __ATOMIC_RELAXED);
    }
}

Test(published, magazines_to_who_counts_what_they_keep)
{
    struct kc_cache_config config = {
        .name = "c", .object_bytes = 64, .misuse = &all.misuse, .cpu_count = KC_CPUS_MAX};
    start_frames();
    for (uint32_t i = 0; i < CACHES; i++) {
        cr_assert_eq(kc_cache_init(&all.place[i], &config, &all.frames), KC_OK);
    }
    kc_test_on_cpus(fill_magazines, NULL);
    cr_expect_eq(all.found, CACHES * kc_test_cpus());
    for (uint32_t i = 0; i < CACHES; i++) {
        cr_expect_eq(kc_cache_fini(&all.place[i]), KC_OK);
    }
    finish_frames();
}

/* Those of a set share its frames, which are counted while magazines are made. */
static void count_bytes(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    for (uint32_t i = 0; i < CACHES; i++) {
        uint64_t before = kc_cache_set_cpu_bytes(&all.set);
        void *p = kc_cache_alloc(&all.place[i], 0);
        must(kc_cache_set_cpu_bytes(&all.set) >= before);
        must(kc_cache_free(&all.place[i], p) == KC_OK);
    }
}

Test(published, frames_of_magazines_to_who_counts_them)
{
    struct kc_cache *c;
    start_set(KC_CPUS_MAX);
    for (uint32_t i = 0; i < CACHES; i++) {
        cr_assert_eq(kc_cache_set_get(&all.set, 16 * (size_t)(i + 1), 0, &c), KC_OK);
    }
    kc_test_on_cpus(count_bytes, NULL);
    cr_expect_eq(all.wrong, 0);
    cr_expect_eq(kc_cache_set_cpu_bytes(&all.set) != 0, KC_MAG_IS_USED);
    cr_expect_eq(kc_cache_set_check(&all.set, NULL), KC_OK);
    cr_expect_eq(kc_cache_set_fini(&all.set), KC_OK);
    finish_frames();
}

/* ---- frames --------------------------------------------------------------------------------- */

/*
 * CPU 0 takes frames that were never touched, writes into them and claims them; the others look for
 * them, and read there what was written before the claim. Nothing is given back meanwhile: what is
 * found stays.
 */
static void claim_and_find(uint32_t cpu, void *arg)
{
    uint64_t seed = all.seed + 977 * (uint64_t)cpu;
    (void)arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        kc_pa_t pa = kc_pa(kc_pa_raw(all.info.range[0].base) + kc_random(&seed) % RAM_BYTES);
        struct kc_frame_found found;
        if (cpu != 0) {
            if (kc_frame_find(&all.frames, pa, &found) && found.data == CLAIM) {
                const uint64_t *there = (const uint64_t *)kc_plat_ram(found.base);
                __atomic_fetch_add(&all.found, *there == CLAIM, __ATOMIC_RELAXED);
                __atomic_fetch_add(&all.wrong, *there != CLAIM, __ATOMIC_RELAXED);
            }
        } else if (kc_frame_alloc(&all.frames, i % 4, 0, KC_FRAME_OWNER_TEST, &pa) == KC_OK) {
            *(uint64_t *)kc_plat_ram(pa) = CLAIM;
            (void)kc_frame_claim(&all.frames, pa, i % 4, CLAIM);
        }
        kc_plat_relax();
    }
}

static void give_back_all(void)
{
    for (uint64_t at = 0; at < RAM_BYTES; at += KC_FRAME_BYTES) {
        struct kc_frame_found found;
        if (kc_frame_find(&all.frames, kc_pa(kc_pa_raw(all.info.range[0].base) + at), &found)) {
            kc_frame_unclaim(&all.frames, found.base, found.order);
            cr_expect_eq(kc_frame_free(&all.frames, found.base, found.order), KC_OK);
        }
    }
}

Test(published, frames_to_who_looks_for_their_block)
{
    start_frames();
    kc_test_on_cpus(claim_and_find, NULL);
    cr_expect_gt(all.found, 0);
    cr_expect_eq(all.wrong, 0);
    give_back_all();
    finish_frames();
}

/*
 * Each CPU has a reference to each frame, writes there, and gives the reference up. Who gives up
 * the last one has the frame in its list, takes it again and writes over what the others wrote.
 */
static void give_up(uint32_t cpu, void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < SHARED; i++) {
        uint64_t *there = (uint64_t *)kc_plat_ram(all.shared[i]);
        bool freed = false;
        there[cpu] = cpu;
        must(kc_frame_put(&all.frames, all.shared[i], &freed) == KC_OK);
        kc_pa_t *again = &all.shared[i];
        if (freed && kc_frame_alloc(&all.frames, 0, 0, KC_FRAME_OWNER_TEST, again) == KC_OK) {
            __builtin_memset(kc_plat_ram(*again), 0, KC_CPUS_MAX * sizeof(uint64_t));
            __atomic_fetch_add(&all.found, 1, __ATOMIC_RELAXED);
        }
    }
}

Test(published, references_to_who_gives_up_the_last)
{
    start_frames();
    cr_assert_eq(kc_frames_set_cpus(&all.frames, all.lists, kc_test_cpus()), KC_OK);
    for (uint32_t i = 0; i < SHARED; i++) {
        cr_assert_eq(kc_frame_alloc(&all.frames, 0, 0, KC_FRAME_OWNER_TEST, &all.shared[i]), KC_OK);
        for (uint32_t cpu = 1; cpu < kc_test_cpus(); cpu++) {
            cr_assert_eq(kc_frame_get(&all.frames, all.shared[i]), KC_OK);
        }
    }
    kc_test_on_cpus(give_up, NULL);
    cr_expect_eq(all.found, SHARED);
    cr_expect_eq(all.wrong, 0);
    for (uint32_t i = 0; i < SHARED; i++) {
        cr_expect_eq(kc_frame_free(&all.frames, all.shared[i], 0), KC_OK);
    }
    finish_frames();
}
