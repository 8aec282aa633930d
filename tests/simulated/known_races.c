/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Row R1: cases of which those named bad_ leave out one order between two CPUs, and differ from a
 * good_ in that alone. They must fail by the monitors; expect_races.sh compares. Exact only.
 *
 * Every case passes a word through a flag: CPU 0 writes it, the last CPU reads it. Values are right
 * in all of them, for the machine performs memory in sequence; only the orders differ.
 */
#include <kc/lock.h>

#include "kc_test.h"
#include "kc_test_cpus.h"

struct kc_test_cpu_range kc_test_cpu_range = {3, KC_CPUS_MAX};

static struct {
    uint64_t word;
    uint32_t flag; /* atomic: 1 when the word is there; 2 when somebody has passed it on */
    uint8_t byte[8];
    struct kc_lock lock;
} shared;

typedef void (*step_fn)(void);

struct steps {
    step_fn writer, helper, reader; /* helper: between the two; NULL: none */
};

static void on_cpu(uint32_t cpu, void *arg)
{
    const struct steps *s = (const struct steps *)arg;
    if (cpu == 0) {
        s->writer();
    } else if (cpu == kc_test_cpus() - 1) {
        s->reader();
    } else if (s->helper != NULL) {
        s->helper();
    }
}

static void run(step_fn writer, step_fn helper, step_fn reader)
{
    struct steps s = {writer, helper, reader};
    cr_assert_geq(kc_test_cpus(), 3);
    __builtin_memset(&shared, 0, sizeof(shared));
    kc_lock_init(&shared.lock, "shared", KC_RANK_KERNEL);
    kc_test_on_cpus(on_cpu, &s);
    cr_expect_eq(__atomic_load_n(&shared.word, __ATOMIC_RELAXED), 7);
}

static void store_flag(int order)
{
    if (order == __ATOMIC_RELEASE) {
        __atomic_store_n(&shared.flag, 1, __ATOMIC_RELEASE);
    } else {
        __atomic_store_n(&shared.flag, 1, __ATOMIC_RELAXED);
    }
}

static void await_flag(uint32_t value, int order)
{
    for (;;) {
        uint32_t seen = order == __ATOMIC_ACQUIRE ? __atomic_load_n(&shared.flag, __ATOMIC_ACQUIRE)
                                                  : __atomic_load_n(&shared.flag, __ATOMIC_RELAXED);
        if (seen == value) {
            return;
        }
        kc_plat_relax();
    }
}

/* ---- release and acquire -------------------------------------------------------------------- */

static void write_release(void)
{
    shared.word = 7;
    store_flag(__ATOMIC_RELEASE);
}

static void write_relaxed(void)
{
    shared.word = 7;
    store_flag(__ATOMIC_RELAXED);
}

static void read_acquire(void)
{
    await_flag(1, __ATOMIC_ACQUIRE);
    (void)*(volatile uint64_t *)&shared.word;
}

static void read_relaxed(void)
{
    await_flag(1, __ATOMIC_RELAXED);
    (void)*(volatile uint64_t *)&shared.word;
}

Test(races, good_release_to_acquire)
{
    run(write_release, NULL, read_acquire);
}

Test(races, bad_relaxed_store)
{
    run(write_relaxed, NULL, read_acquire);
}

Test(races, bad_relaxed_load)
{
    run(write_release, NULL, read_relaxed);
}

/* ---- release sequences ---------------------------------------------------------------------- */

static void pass_on_by_rmw(void)
{
    uint32_t one = 1;
    while (!__atomic_compare_exchange_n(&shared.flag, &one, 2, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
        one = 1;
        if (__atomic_load_n(&shared.flag, __ATOMIC_RELAXED) == 2) {
            return; /* another helper has */
        }
        kc_plat_relax();
    }
}

static void pass_on_by_store(void)
{
    await_flag(1, __ATOMIC_RELAXED);
    __atomic_store_n(&shared.flag, 2, __ATOMIC_RELAXED);
}

static void read_passed_on(void)
{
    await_flag(2, __ATOMIC_RELAXED); /* an acquire here could read the 1 */
    await_flag(2, __ATOMIC_ACQUIRE);
    (void)*(volatile uint64_t *)&shared.word;
}

Test(races, good_sequence_of_read_modify_writes)
{
    run(write_release, pass_on_by_rmw, read_passed_on);
}

Test(races, bad_sequence_ended_by_a_store)
{
    run(write_release, pass_on_by_store, read_passed_on);
}

/* ---- barriers ------------------------------------------------------------------------------- */

static void write_dmb_ishst(void)
{
    shared.word = 7;
    kc_plat_barrier(KC_DMB_ISHST);
    store_flag(__ATOMIC_RELAXED);
}

static void write_dmb_ishld(void)
{
    shared.word = 7;
    kc_plat_barrier(KC_DMB_ISHLD);
    store_flag(__ATOMIC_RELAXED);
}

static void write_dsb_nsh(void)
{
    shared.word = 7;
    kc_plat_barrier(KC_DSB_NSH);
    store_flag(__ATOMIC_RELAXED);
}

static void read_dmb_ishld(void)
{
    await_flag(1, __ATOMIC_RELAXED);
    kc_plat_barrier(KC_DMB_ISHLD);
    (void)*(volatile uint64_t *)&shared.word;
}

static void read_dmb_ishst(void)
{
    await_flag(1, __ATOMIC_RELAXED);
    kc_plat_barrier(KC_DMB_ISHST);
    (void)*(volatile uint64_t *)&shared.word;
}

Test(races, good_dmb_st_to_dmb_ld)
{
    run(write_dmb_ishst, NULL, read_dmb_ishld);
}

Test(races, bad_dmb_ld_releases_no_store)
{
    run(write_dmb_ishld, NULL, read_dmb_ishld);
}

Test(races, bad_dmb_st_acquires_nothing)
{
    run(write_dmb_ishst, NULL, read_dmb_ishst);
}

Test(races, bad_dsb_for_this_cpu_alone)
{
    run(write_dsb_nsh, NULL, read_dmb_ishld);
}

/* What was only read is not in front of DMB ST: the writer's part is the read here. */
static void read_then_dmb_st(void)
{
    (void)*(volatile uint64_t *)&shared.word;
    kc_plat_barrier(KC_DMB_ISHST);
    store_flag(__ATOMIC_RELAXED);
}

static void read_then_dmb(void)
{
    (void)*(volatile uint64_t *)&shared.word;
    kc_plat_barrier(KC_DMB_ISH);
    store_flag(__ATOMIC_RELAXED);
}

static void write_after(void)
{
    await_flag(1, __ATOMIC_ACQUIRE);
    shared.word = 7;
}

Test(races, good_dmb_orders_a_read)
{
    run(read_then_dmb, NULL, write_after);
}

Test(races, bad_dmb_st_orders_no_read)
{
    run(read_then_dmb_st, NULL, write_after);
}

/* ---- what is compared ----------------------------------------------------------------------- */

static void write_low_byte(void)
{
    shared.word = 7;
    shared.byte[2] = 1;
}

static void write_high_byte(void)
{
    shared.byte[3] = 1;
}

static void write_both_bytes(void)
{
    __builtin_memset(&shared.byte[2], 1, 2);
}

Test(races, good_neighbouring_bytes)
{
    run(write_low_byte, NULL, write_high_byte);
}

Test(races, bad_overlapping_bytes)
{
    run(write_low_byte, NULL, write_both_bytes);
}

static void write_atomically(void)
{
    __atomic_store_n(&shared.word, 7, __ATOMIC_RELAXED);
}

static void read_atomically(void)
{
    (void)__atomic_load_n(&shared.word, __ATOMIC_RELAXED);
}

Test(races, good_both_atomic)
{
    run(write_atomically, NULL, read_atomically);
}

Test(races, bad_one_of_two_atomic)
{
    run(write_release, NULL, read_atomically);
}

/* ---- locks ---------------------------------------------------------------------------------- */

static void write_locked(void)
{
    kc_lock_acquire(&shared.lock);
    shared.word = 7;
    kc_lock_release(&shared.lock);
}

static void note_alone(void)
{
    kc_plat_note(KC_NOTE_LOCK_TAKEN, (uintptr_t)&shared.lock, KC_RANK_KERNEL, NULL);
    shared.word = 7;
    kc_plat_note(KC_NOTE_LOCK_RELEASED, (uintptr_t)&shared.lock, KC_RANK_KERNEL, NULL);
}

Test(races, good_one_lock)
{
    run(write_locked, NULL, write_locked);
}

Test(races, bad_notes_of_a_lock_alone)
{
    run(note_alone, NULL, note_alone);
}

/* An event wakes; it orders nothing. */
static void write_event(void)
{
    shared.word = 7;
    store_flag(__ATOMIC_RELAXED);
    kc_plat_event();
}

static void read_event(void)
{
    while (__atomic_load_n(&shared.flag, __ATOMIC_RELAXED) != 1) {
        kc_plat_wait();
    }
    (void)*(volatile uint64_t *)&shared.word;
}

Test(races, bad_event_alone)
{
    run(write_event, NULL, read_event);
}
