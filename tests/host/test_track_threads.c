/* SPDX-License-Identifier: BSD-2-Clause */
/* The tracker among CPUs, which are threads here: each cleanup once, and nothing left. */
#include <pthread.h>

#include <host.h>

#include "kc_test.h"

#include <kc/track.h>

#define CPUS   4u
#define ROUNDS 300u
#define ITEMS  32u

static struct kc_track_owner owners[2];
static struct kc_track_item items[ITEMS];
static struct kc_track track;
static struct kc_misuse misuse;
static pthread_barrier_t together;

static kc_track_owner_t target;
static kc_track_item_t handle[ITEMS];
static uint32_t cleaned[ITEMS];
static uint32_t taken[ITEMS];
static bool needed_early[ITEMS];
static uint32_t kills;
static uint64_t this_round;

static bool may_be_taken(uint64_t i, uint64_t round)
{
    return (i + round) % 5 == 0;
}

/* Item i needs item i / 2, so 2i and 2i + 1 go before i. */
static void cleanup(const struct kc_track_resource *r)
{
    uint64_t i = r->value[0];
    for (uint64_t user = 2 * i; i != 0 && user <= 2 * i + 1 && user < ITEMS; user++) {
        if (user != i && !may_be_taken(user, this_round) &&
            __atomic_load_n(&cleaned[user], __ATOMIC_ACQUIRE) == 0) {
            needed_early[i] = true;
        }
    }
    kc_plat_relax();
    __atomic_add_fetch(&cleaned[i], 1, __ATOMIC_RELEASE);
}

static void build(void)
{
    cr_assert_eq(kc_track_owner_add(&track, "target", NULL, &target), KC_OK);
    for (uint32_t i = 0; i < ITEMS; i++) {
        struct kc_track_request rq = {
            .what = {.value = {i, 0}},
            .cleanup = cleanup,
            .needs = i == 0 ? NULL : &handle[i / 2],
            .need_count = i == 0 ? 0 : 1,
        };
        cleaned[i] = 0;
        taken[i] = 0;
        cr_assert_eq(kc_track_add(&track, target, &rq, &handle[i]), KC_OK);
    }
    kills = 0;
}

static void *destroy(void *arg)
{
    uint32_t cpu = (uint32_t)(uintptr_t)arg;
    host_cpu_set(cpu);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        if (cpu == 0) {
            this_round = round;
            build();
        }
        pthread_barrier_wait(&together);
        /* Leaves first, each CPU from another place; then all kill. */
        for (uint32_t n = 0; n < ITEMS / 2; n++) {
            uint32_t i = ITEMS - 1 - (n + cpu * 3) % (ITEMS / 2);
            if (!may_be_taken(i, round)) {
                kc_status_t st = kc_track_release(&track, handle[i]);
                cr_expect(st == KC_OK || st == KC_ERR_ABSENT || st == KC_ERR_STATE);
            } else if (kc_track_take(&track, handle[i], NULL) == KC_OK) {
                __atomic_add_fetch(&taken[i], 1, __ATOMIC_RELEASE);
            }
            if (n == (round + cpu) % (ITEMS / 2)) {
                kc_status_t st = kc_track_owner_kill(&track, target, NULL);
                cr_expect(st == KC_OK || st == KC_ERR_STATE || st == KC_ERR_ABSENT);
                __atomic_add_fetch(&kills, st == KC_OK, __ATOMIC_RELAXED);
            }
        }
        pthread_barrier_wait(&together);
        if (cpu == 0) {
            cr_expect_eq(kills, 1);
            cr_expect(kc_track_owner_is_gone(&track, target));
            cr_expect_eq(kc_track_check(&track, NULL), KC_OK);
            for (uint32_t i = 0; i < ITEMS; i++) {
                cr_expect_eq(cleaned[i] + taken[i], 1, "item %u", i);
                cr_expect_not(needed_early[i], "item %u", i);
            }
        }
        pthread_barrier_wait(&together);
    }
    return NULL;
}

Test(track_threads, killers_releasers_and_takers)
{
    struct kc_track_config c = {"threads", owners, 2, items, ITEMS, &misuse};
    pthread_t thread[CPUS];
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_track_init(&track, &c), KC_OK);
    cr_assert_eq(pthread_barrier_init(&together, NULL, CPUS), 0);
    for (uintptr_t i = 0; i < CPUS; i++) {
        cr_assert_eq(pthread_create(&thread[i], NULL, destroy, (void *)i), 0);
    }
    for (uint32_t i = 0; i < CPUS; i++) {
        pthread_join(thread[i], NULL);
    }
    pthread_barrier_destroy(&together);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
    cr_expect_eq(kc_track_fini(&track), KC_OK);
}
