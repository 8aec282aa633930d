/* SPDX-License-Identifier: BSD-2-Clause */
/* A region map among CPUs, which are threads here: two change it, two read it. */
#include <pthread.h>

#include <host.h>

#include "kc_test.h"
#include "region_race.h"

#define WRITERS 2u
#define CPUS    4u
#define ROUNDS  3000u

static struct region_race race;
static pthread_barrier_t together;

static void *run(void *arg)
{
    uint32_t cpu = (uint32_t)(uintptr_t)arg;
    host_cpu_set(cpu);
    pthread_barrier_wait(&together);
    if (cpu < WRITERS) {
        rr_write(&race, cpu);
    } else {
        rr_read(&race, cpu);
    }
    return NULL;
}

Test(region_threads, lookups_while_regions_change)
{
    pthread_t thread[CPUS];
    cr_assert(rr_start(&race, kc_test_seed(), WRITERS, ROUNDS));
    cr_assert_eq(pthread_barrier_init(&together, NULL, CPUS), 0);
    for (uintptr_t i = 0; i < CPUS; i++) {
        cr_assert_eq(pthread_create(&thread[i], NULL, run, (void *)i), 0);
    }
    for (uint32_t i = 0; i < CPUS; i++) {
        pthread_join(thread[i], NULL);
    }
    pthread_barrier_destroy(&together);
    cr_expect_eq(race.wrong, 0, "broken: 0x%x", race.wrong);
    cr_expect_gt(race.looked, 0);
    cr_expect_null(rr_finish(&race));
}
