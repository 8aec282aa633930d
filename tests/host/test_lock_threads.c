/* SPDX-License-Identifier: BSD-2-Clause */
/* The lock among several CPUs, which are threads here. */
#include <pthread.h>
#include <sched.h>

#include <host.h>

#include "kc_test.h"

#include <kc/lock.h>
#include <kc/stats.h>

#define CPUS   4u
#define ROUNDS 2000u

static struct kc_lock lock;

static void fresh(void)
{
    kc_lock_init(&lock, "lock", KC_RANK_FRAME);
}

TestSuite(lock_threads, .init = fresh);

static pthread_barrier_t together;

/* This thread becomes CPU number arg, and goes on when all of them are there. */
static void arrive(void *arg)
{
    host_cpu_set((uint32_t)(uintptr_t)arg);
    pthread_barrier_wait(&together);
}

static void run_on_cpus(void *(*f)(void *))
{
    pthread_t thread[CPUS];
    cr_assert_eq(pthread_barrier_init(&together, NULL, CPUS), 0);
    for (uintptr_t i = 0; i < CPUS; i++) {
        cr_assert_eq(pthread_create(&thread[i], NULL, f, (void *)i), 0);
    }
    for (uint32_t i = 0; i < CPUS; i++) {
        pthread_join(thread[i], NULL);
    }
    pthread_barrier_destroy(&together);
}

/* ---- mutual exclusion ----------------------------------------------------------------------- */

/* Plain variables: under TSan each unordered access is a report. */
static uint64_t shared[2];
static uint64_t broken;

static void *count_up(void *arg)
{
    arrive(arg);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        bool tried = i % 3 == 0 && kc_lock_try(&lock);
        if (!tried) {
            kc_lock_acquire(&lock);
        }
        uint64_t seen = shared[0];
        broken += seen != shared[1] || !kc_lock_is_mine(&lock) ? 1 : 0;
        shared[0] = seen + 1;
        if (i % 64 == 0) {
            sched_yield(); /* another CPU comes by in the middle of the hold */
        }
        shared[1] = seen + 1;
        kc_lock_release(&lock);
    }
    return NULL;
}

Test(lock_threads, holds_exclude_each_other)
{
    shared[0] = 0;
    shared[1] = 0;
    broken = 0;
    run_on_cpus(count_up);
    cr_expect_eq(shared[0], CPUS * ROUNDS);
    cr_expect_eq(broken, 0);
    cr_expect_eq(lock.next, lock.serving);
}

/* ---- first come, first served --------------------------------------------------------------- */

static uint32_t served[CPUS];
static uint32_t served_count;

static void *take_once(void *arg)
{
    host_cpu_set((uint32_t)(uintptr_t)arg);
    kc_lock_acquire(&lock);
    served[served_count++] = kc_plat_cpu();
    kc_lock_release(&lock);
    return NULL;
}

/*
 * The lock is held while others come, one after another: the n-th has come when n tickets are out.
 * All then wait at once, and must be served in that order, whichever way they were numbered.
 */
Test(lock_threads, waiters_are_served_in_the_order_in_which_they_came)
{
    for (uint32_t turn = 0; turn < 20; turn++) {
        pthread_t thread[CPUS];
        uintptr_t order[CPUS];
        fresh();
        served_count = 0;
        host_cpu_set(CPUS);
        kc_lock_acquire(&lock);
        for (uint32_t i = 0; i < CPUS; i++) {
            order[i] = turn % 2 == 0 ? (i + turn) % CPUS : (CPUS - 1 - i + turn) % CPUS;
            cr_assert_eq(pthread_create(&thread[i], NULL, take_once, (void *)order[i]), 0);
            while (__atomic_load_n(&lock.next, __ATOMIC_ACQUIRE) != i + 2) {
                sched_yield();
            }
        }
        cr_expect_not(kc_lock_try(&lock));
        kc_lock_release(&lock);
        for (uint32_t i = 0; i < CPUS; i++) {
            pthread_join(thread[i], NULL);
        }
        cr_assert_eq(served_count, CPUS);
        for (uint32_t i = 0; i < CPUS; i++) {
            cr_expect_eq(served[i], order[i], "turn %u, place %u", turn, i);
        }
    }
    host_cpu_set(0);
}

/* ---- the order of ranks --------------------------------------------------------------------- */

Test(lock_threads, taking_a_lock_of_the_same_or_a_higher_rank_panics)
{
    static struct kc_lock low;
    static struct kc_lock same;
    static struct kc_lock high;
    kc_lock_init(&low, "low", KC_RANK_EARLY);
    kc_lock_init(&same, "same", KC_RANK_FRAME);
    kc_lock_init(&high, "high", KC_RANK_HEAP);
    host_watch_locks(true);
    host_locks_forget();

    kc_lock_acquire(&high);
    kc_lock_acquire(&lock);
    kc_lock_acquire(&low);
    kc_lock_release(&high); /* in any order */
    kc_lock_release(&low);
    KC_TEST_PANICS((kc_lock_acquire(&same), 0));
    cr_expect_str_eq(kc_test_last_panic()->what, "lock order");
    KC_TEST_PANICS((kc_lock_acquire(&high), 0));
    kc_lock_acquire(&low);
    kc_lock_release(&low);
    kc_lock_release(&lock);
    host_locks_forget();
}

/* ---- snapshots ------------------------------------------------------------------------------ */

static struct kc_seq seq;
static uint64_t pair[2];
static uint32_t writer_done;
static struct kc_counter torn;

static void *write_pairs(void *arg)
{
    arrive(arg);
    if (kc_plat_cpu() == 0) {
        for (uint64_t i = 1; i <= ROUNDS; i++) {
            kc_seq_write_begin(&seq);
            kc_seq_store(&pair[0], i);
            if (i % 16 == 0) {
                sched_yield();
            }
            kc_seq_store(&pair[1], i * 3);
            kc_seq_write_end(&seq);
        }
        __atomic_store_n(&writer_done, 1, __ATOMIC_RELEASE);
        return NULL;
    }
    do {
        uint64_t a;
        uint64_t b;
        uint32_t n;
        do {
            n = kc_seq_read_begin(&seq);
            a = kc_seq_load(&pair[0]);
            b = kc_seq_load(&pair[1]);
        } while (kc_seq_read_retry(&seq, n));
        if (b != a * 3) {
            kc_counter_add(&torn, 1);
        }
    } while (__atomic_load_n(&writer_done, __ATOMIC_ACQUIRE) == 0);
    return NULL;
}

Test(lock_threads, snapshots_are_never_torn)
{
    kc_seq_init(&seq);
    kc_counter_init(&torn);
    pair[0] = 0;
    pair[1] = 0;
    writer_done = 0;
    run_on_cpus(write_pairs);
    cr_expect_eq(pair[0], ROUNDS);
    cr_expect_eq(kc_counter_read(&torn), 0);
}

static struct kc_counter counter;

static void *count_on_cpu(void *arg)
{
    arrive(arg);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        kc_counter_add(&counter, 3);
        kc_counter_sub(&counter, 1);
    }
    return NULL;
}

Test(lock_threads, counters_lose_nothing)
{
    kc_counter_init(&counter);
    run_on_cpus(count_on_cpu);
    cr_expect_eq(kc_counter_read(&counter), 2 * CPUS * ROUNDS);
}

/* ---- misuse --------------------------------------------------------------------------------- */

static struct kc_misuse misuse;

static void *misuse_much(void *arg)
{
    struct kc_misuse_report r = {KC_MISUSE_FOREIGN, "f", "o", (uintptr_t)arg, 0,
                                 (uintptr_t)arg,    0,   NULL};
    arrive(arg);
    for (uint32_t i = 0; i < 50 * ROUNDS; i++) {
        kc_misuse_raise(&misuse, &r);
    }
    return NULL;
}

Test(lock_threads, racing_misuse_is_counted_in_full)
{
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    run_on_cpus(misuse_much);
    cr_expect_eq(kc_misuse_total(&misuse), CPUS * 50 * ROUNDS);
    cr_expect_eq(misuse.last.address, misuse.last.found, "one report, not parts of two");
}
