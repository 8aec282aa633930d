/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers of threads in the hosted body: kc/plat.h promises that between kc_plat_irq_save() and
 * kc_plat_irq_restore() a number is stable and nobody else runs under it. What a number guards is
 * therefore a plain variable here: under TSan each unordered access is a report.
 */
#include <kc_test.h>

#include <pthread.h>
#include <sched.h>

#include <host.h>
#include <host_record.h>

#define THREADS (KC_CPUS_MAX * 3u) /* more than there are numbers */

/* Of one number: both count the masked sections under it, one at the start and one at the end. */
static struct {
    uint64_t entered;
    uint64_t left;
} guarded[KC_CPUS_MAX];

static uint32_t wrong; /* atomic */
static pthread_barrier_t together;

static void clear(void)
{
    for (uint32_t i = 0; i < KC_CPUS_MAX; i++) {
        guarded[i].entered = 0;
        guarded[i].left = 0;
    }
    wrong = 0;
}

TestSuite(number, .init = clear);

static void note_wrong(bool is_wrong)
{
    if (is_wrong) {
        __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
    }
}

static uint64_t sections(void)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < KC_CPUS_MAX; i++) {
        cr_expect_eq(guarded[i].entered, guarded[i].left, "number %u", i);
        n += guarded[i].left;
    }
    return n;
}

static void masked_section(uint64_t x)
{
    uint64_t saved = kc_plat_irq_save();
    uint32_t cpu = kc_plat_cpu();
    note_wrong(cpu >= KC_CPUS_MAX || guarded[cpu].entered != guarded[cpu].left);
    guarded[cpu].entered++;
    uint64_t inner = kc_plat_irq_save();
    if (x % 16 == 0) {
        sched_yield();
    }
    kc_plat_irq_restore(inner);
    note_wrong(kc_plat_cpu() != cpu);
    guarded[cpu].left++;
    kc_plat_irq_restore(saved);
}

static void run_threads(uint32_t count, void *(*run)(void *))
{
    pthread_t thread[THREADS];
    cr_assert_eq(pthread_barrier_init(&together, NULL, count), 0);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(pthread_create(&thread[i], NULL, run, (void *)(uintptr_t)i), 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(pthread_join(thread[i], NULL), 0);
    }
    pthread_barrier_destroy(&together);
}

#define ROUNDS 500u

static void *many_sections(void *arg)
{
    pthread_barrier_wait(&together);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        masked_section(i + (uintptr_t)arg);
    }
    return NULL;
}

Test(number, threads_of_one_number_are_masked_one_at_a_time)
{
    struct host_cpu_counts before;
    struct host_cpu_counts after;
    host_cpus_count(&before);
    run_threads(THREADS, many_sections);
    host_cpus_count(&after);
    cr_expect_eq(wrong, 0);
    cr_expect_eq(sections(), (uint64_t)THREADS * ROUNDS);
    cr_expect_eq(after.own_now, before.own_now);
    cr_expect_leq(after.own_peak, HOST_CPUS_OWN);
    cr_expect_gt(after.shared_use, before.shared_use);
}

static uint32_t number_of[THREADS];

/* All threads are there at once, each with its number. */
static void *tell_number(void *arg)
{
    uint64_t saved = kc_plat_irq_save();
    number_of[(uintptr_t)arg] = kc_plat_cpu();
    kc_plat_irq_restore(saved);
    pthread_barrier_wait(&together);
    return NULL;
}

Test(number, a_thread_has_its_own_number_while_there_are_any)
{
    uint32_t count = HOST_CPUS_OWN - 1; /* this thread has one */
    for (uint32_t turn = 0; turn < 50; turn++) {
        uint64_t seen = 1;
        masked_section(1);
        run_threads(count, tell_number);
        for (uint32_t i = 0; i < count; i++) {
            cr_assert_lt(number_of[i], HOST_CPUS_OWN, "turn %u", turn);
            seen |= UINT64_C(1) << number_of[i];
        }
        cr_assert_eq(seen, (UINT64_C(1) << HOST_CPUS_OWN) - 1, "turn %u", turn);
    }
}

/* ---- listening: kc_plat_cpu_unheard() ---------------------------------------------------------
 */

static struct host_event events[4];

/* Its number while nobody listens, and none while somebody does; the listener comes and goes. */
static void *hear(void *arg)
{
    uint64_t saved = kc_plat_irq_save();
    kc_plat_irq_restore(saved);
    bool others = kc_plat_note_heard(1u << KC_NOTE_ALLOC); /* ASan, or Valgrind */
    for (uint32_t turn = 0; turn < 4; turn++) {
        pthread_barrier_wait(&together);
        saved = kc_plat_irq_save();
        bool heard = others || turn % 2 == 1;
        note_wrong(kc_plat_cpu_unheard() != (heard ? KC_CPUS_MAX : kc_plat_cpu()));
        note_wrong(kc_plat_note_heard(1u << KC_NOTE_ALLOC) != heard);
        kc_plat_irq_restore(saved);
        pthread_barrier_wait(&together);
        if (arg == NULL && turn % 2 == 0) {
            host_record_start(events, KC_ARRAY_COUNT(events));
        } else if (arg == NULL) {
            (void)host_record_stop();
        }
    }
    return NULL;
}

/* More threads than numbers, so that some share; twice, so that some have ended meanwhile. */
Test(number, who_begins_to_listen_is_seen_by_every_thread)
{
    run_threads(THREADS, hear);
    run_threads(3, hear);
    cr_assert_eq(pthread_barrier_init(&together, NULL, 1), 0);
    hear(NULL);
    pthread_barrier_destroy(&together);
    cr_expect_eq(wrong, 0);
}

/* A thread with a number that another has, too. */
static void *hear_as_0(void *arg)
{
    host_cpu_set(0);
    return hear(arg);
}

Test(number, who_begins_to_listen_is_seen_by_threads_of_one_number)
{
    run_threads(3, hear_as_0);
    cr_expect_eq(wrong, 0);
}

static bool others_are_gone; /* atomic */

/* The last of them has to share, until another thread has ended. */
static void *move_on(void *arg)
{
    (void)arg;
    uint64_t saved = kc_plat_irq_save();
    bool shared = kc_plat_cpu() >= HOST_CPUS_OWN;
    kc_plat_irq_restore(saved);
    pthread_barrier_wait(&together);
    if (!shared) {
        return NULL;
    }
    while (!__atomic_load_n(&others_are_gone, __ATOMIC_ACQUIRE)) {
        struct host_cpu_counts c;
        host_cpus_count(&c);
        __atomic_store_n(&others_are_gone, c.own_now == 1, __ATOMIC_RELEASE);
        sched_yield();
    }
    saved = kc_plat_irq_save();
    note_wrong(kc_plat_cpu() >= HOST_CPUS_OWN);
    kc_plat_irq_restore(saved);
    return NULL;
}

Test(number, a_thread_that_shares_moves_on_when_a_number_is_free)
{
    others_are_gone = false;
    masked_section(1);
    run_threads(HOST_CPUS_OWN, move_on);
    cr_expect(others_are_gone);
    cr_expect_eq(wrong, 0);
}

static bool stopped;  /* atomic */
static bool finished; /* atomic */

static void *sections_until_finished(void *arg)
{
    uint64_t i = (uintptr_t)arg;
    while (!__atomic_load_n(&finished, __ATOMIC_RELAXED)) {
        uint64_t saved = kc_plat_irq_save();
        note_wrong(__atomic_load_n(&stopped, __ATOMIC_RELAXED));
        kc_plat_irq_restore(saved);
        masked_section(i++);
    }
    return NULL;
}

static void *stop_often(void *arg)
{
    (void)arg;
    for (uint32_t turn = 0; turn < 100; turn++) {
        host_cpus_stop();
        __atomic_store_n(&stopped, true, __ATOMIC_RELAXED);
        for (uint32_t i = 0; i < KC_CPUS_MAX; i++) {
            note_wrong(guarded[i].entered != guarded[i].left);
        }
        masked_section(turn); /* this thread itself may */
        sched_yield();
        __atomic_store_n(&stopped, false, __ATOMIC_RELAXED);
        host_cpus_go(false);
        sched_yield();
    }
    return NULL;
}

static void *stop_or_work(void *arg)
{
    pthread_barrier_wait(&together);
    return (uintptr_t)arg < 2 ? stop_often(arg) : sections_until_finished(arg);
}

static void *two_stop(void *arg)
{
    void *result = stop_or_work(arg);
    static uint32_t stoppers_done;
    if ((uintptr_t)arg < 2 && __atomic_add_fetch(&stoppers_done, 1, __ATOMIC_ACQ_REL) % 2 == 0) {
        __atomic_store_n(&finished, true, __ATOMIC_RELAXED);
    }
    return result;
}

Test(number, nobody_is_masked_while_all_are_stopped)
{
    finished = false;
    stopped = false;
    run_threads(KC_CPUS_MAX + 3, two_stop);
    cr_expect_eq(wrong, 0);
    cr_expect_gt(sections(), 200);
}

/* As on a host that has no membarrier(). */
Test(number, nobody_is_masked_while_all_are_stopped_by_fences)
{
    uint32_t before = __atomic_fetch_or(&host_halt, HOST_HALT_FENCE, __ATOMIC_SEQ_CST);
    finished = false;
    stopped = false;
    run_threads(KC_CPUS_MAX + 3, two_stop);
    __atomic_store_n(&host_halt, before, __ATOMIC_SEQ_CST);
    cr_expect_eq(wrong, 0);
    cr_expect_gt(sections(), 200);
}

static void *said(void *arg)
{
    host_cpu_set(KC_CPUS_MAX - 1); /* all of them */
    pthread_barrier_wait(&together);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        masked_section(i + (uintptr_t)arg);
        note_wrong(kc_plat_cpu() != KC_CPUS_MAX - 1);
    }
    return NULL;
}

Test(number, a_shared_number_that_was_said_is_kept)
{
    run_threads(4, said);
    cr_expect_eq(wrong, 0);
    cr_expect_eq(guarded[KC_CPUS_MAX - 1].left, 4u * ROUNDS);
}

static pthread_key_t late_key;

static void late(void *left)
{
    masked_section(1);
    if ((uintptr_t)left > 1) {
        pthread_setspecific(late_key, (void *)((uintptr_t)left - 1));
    }
}

static void *ends_late(void *arg)
{
    (void)arg;
    masked_section(1);
    pthread_setspecific(late_key, (void *)3);
    return NULL;
}

Test(number, a_thread_may_mask_in_its_last_destructors)
{
    struct host_cpu_counts before;
    struct host_cpu_counts after;
    masked_section(1);
    host_cpus_count(&before);
    cr_assert_eq(pthread_key_create(&late_key, late), 0);
    for (uint32_t turn = 0; turn < 100; turn++) {
        run_threads(4, ends_late);
    }
    pthread_key_delete(late_key);
    host_cpus_count(&after);
    cr_expect_eq(wrong, 0);
    cr_expect_eq(after.own_now, before.own_now);
    cr_expect_eq(after.own_given, before.own_given + 400);
    cr_expect_eq(sections(), 1 + 400 * 4);
}

Test(number, setting_or_stopping_while_masked_panics)
{
    uint64_t saved = kc_plat_irq_save();
    KC_TEST_PANICS(host_cpu_set(1));
    KC_TEST_PANICS(host_cpus_stop());
    kc_plat_irq_restore(saved);
    KC_TEST_PANICS(host_cpus_go(false));
}
