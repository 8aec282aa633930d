/* SPDX-License-Identifier: BSD-2-Clause */
/* Deferred frees among CPUs, which are threads here: two replace objects, two read them. */
#include <pthread.h>

#include <host.h>

#include "grace_race.h"
#include "kc_test.h"

#define WRITERS 2u
#define CPUS    4u
#define ROUNDS  3000u

static struct grace_race race;
static pthread_barrier_t together;

static void *run(void *arg)
{
    uint32_t cpu = (uint32_t)(uintptr_t)arg;
    host_cpu_set(cpu);
    pthread_barrier_wait(&together);
    if (cpu < WRITERS) {
        gr_write(&race, cpu);
    } else {
        gr_read(&race, cpu);
    }
    return NULL;
}

static void *tell(void *arg)
{
    uint32_t cpu = (uint32_t)(uintptr_t)arg;
    host_cpu_set(cpu);
    pthread_barrier_wait(&together);
    if (cpu == CPUS - 1) {
        gr_tell(&race, cpu);
    } else {
        gr_hear(&race, cpu);
    }
    return NULL;
}

static void on_threads(void *(*fn)(void *), uint32_t writers, uint32_t rounds)
{
    pthread_t thread[CPUS];
    cr_assert(gr_start(&race, kc_test_seed(), writers, rounds));
    cr_assert_eq(pthread_barrier_init(&together, NULL, CPUS), 0);
    for (uintptr_t i = 0; i < CPUS; i++) {
        cr_assert_eq(pthread_create(&thread[i], NULL, fn, (void *)i), 0);
    }
    for (uint32_t i = 0; i < CPUS; i++) {
        pthread_join(thread[i], NULL);
    }
    pthread_barrier_destroy(&together);
    cr_expect_eq(race.wrong, 0, "broken: 0x%x", race.wrong);
}

Test(grace_threads, readers_keep_what_they_hold)
{
    on_threads(run, WRITERS, ROUNDS);
    cr_expect_gt(race.looked, 0);
    const char *broken = gr_finish(&race);
    cr_expect_null(broken, "%s", broken != NULL ? broken : "");
}

Test(grace_threads, what_came_before_a_free_is_seen_after_its_grace_period)
{
    on_threads(tell, 1, 0);
    cr_expect_eq(race.told, GR_NOTES);
    const char *broken = gr_finish(&race);
    cr_expect_null(broken, "%s", broken != NULL ? broken : "");
}
