/* SPDX-License-Identifier: BSD-2-Clause */
/* One CPU's view of the lock; several CPUs are in tests/host/test_lock_threads.c. */
#include "kc_test.h"

#include <kc/lock.h>

static struct kc_lock lock;

static void fresh(void)
{
    kc_lock_init(&lock, "lock", KC_RANK_FRAME);
}

TestSuite(lock, .init = fresh);

Test(lock, init_is_free)
{
    cr_expect_not(kc_lock_is_mine(&lock));
    cr_expect_eq(lock.rank, KC_RANK_FRAME);
    cr_expect_str_eq(lock.name, "lock");
    const struct kc_lock s = KC_LOCK_INIT("s", KC_RANK_POOL);
    cr_expect_eq(s.holder, KC_LOCK_NO_CPU);
    cr_expect_eq(s.next, s.serving);
    cr_expect_eq(s.rank, KC_RANK_POOL);
}

Test(lock, acquire_and_release)
{
    for (uint32_t i = 0; i < 3; i++) {
        kc_lock_acquire(&lock);
        cr_expect(kc_lock_is_mine(&lock));
        cr_expect_eq(lock.holder, kc_plat_cpu());
        kc_lock_release(&lock);
        cr_expect_not(kc_lock_is_mine(&lock));
        cr_expect_eq(lock.next, lock.serving);
    }
}

Test(lock, try_takes_a_free_lock_only)
{
    cr_assert(kc_lock_try(&lock));
    cr_expect(kc_lock_is_mine(&lock));
    cr_expect_not(kc_lock_try(&lock), "not recursive");
    kc_lock_release(&lock);
    cr_assert(kc_lock_try(&lock));
    kc_lock_release(&lock);
}

Test(lock, quiet_forms_are_try_and_release)
{
    cr_assert(kc_lock_try_quiet(&lock));
    cr_expect(kc_lock_is_mine(&lock));
    cr_expect_not(kc_lock_try_quiet(&lock), "not recursive");
    cr_expect_not(kc_lock_try(&lock));
    kc_lock_leave_quiet(&lock);
    cr_expect_not(kc_lock_is_mine(&lock));
    cr_expect_eq(lock.next, lock.serving);
    kc_lock_acquire(&lock);
    cr_expect_not(kc_lock_try_quiet(&lock));
    kc_lock_release(&lock);
    lock.next++; /* somebody waits: it is his, though nobody has it */
    cr_expect_not(kc_lock_try_quiet(&lock));
}

Test(lock, tickets_wrap)
{
    lock.next = UINT32_MAX;
    lock.serving = UINT32_MAX;
    kc_lock_acquire(&lock);
    cr_expect_eq(lock.next, 0);
    cr_expect_not(kc_lock_try(&lock));
    kc_lock_release(&lock);
    cr_expect_eq(lock.serving, 0);
    lock.next = UINT32_MAX;
    lock.serving = UINT32_MAX;
    cr_assert(kc_lock_try(&lock));
    kc_lock_release(&lock);
    cr_expect_eq(lock.serving, 0);
}

Test(lock, taking_it_twice_panics)
{
    kc_lock_acquire(&lock);
    KC_TEST_PANICS(kc_lock_acquire(&lock));
    kc_lock_release(&lock);
}

Test(lock, releasing_what_is_not_held_panics)
{
    KC_TEST_PANICS(kc_lock_release(&lock));
}

Test(lock, releasing_what_another_cpu_holds_panics)
{
    kc_lock_acquire(&lock);
    lock.holder = kc_plat_cpu() + 1;
    KC_TEST_PANICS(kc_lock_release(&lock));
    lock.holder = kc_plat_cpu();
    kc_lock_release(&lock);
}

Test(lock, irqsave_gives_the_state_back)
{
    uint64_t open = kc_plat_irq_save(); /* whatever it is under this runner */
    uint64_t masked = kc_plat_irq_save();
    kc_plat_irq_restore(masked);
    kc_plat_irq_restore(open);

    uint64_t saved = kc_lock_acquire_irqsave(&lock);
    cr_expect(kc_lock_is_mine(&lock));
    cr_expect_eq(saved, open);
    uint64_t inside = kc_plat_irq_save();
    cr_expect_eq(inside, masked, "masked for the hold");
    kc_plat_irq_restore(inside);
    kc_lock_release_irqrestore(&lock, saved);
    cr_expect_not(kc_lock_is_mine(&lock));
    uint64_t after = kc_plat_irq_save();
    cr_expect_eq(after, open, "as it was");
    kc_plat_irq_restore(after);
}
