/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ticket lock.
 *
 *     next     4   the ticket that the next comer draws
 *     serving  2   the ticket that holds the lock; 3 waits
 *
 * L1  serving <= next, modulo 2^32; equal means free. There are at most KC_CPUS_MAX tickets out, so
 *     the difference never comes near wrapping.
 * L2  `serving` is changed by the holder alone, by one.
 * L3  `holder` is this CPU's number only between this CPU's own two writes of it: to ask "is it me"
 *     needs no order, whatever others write meanwhile.
 * L4  TAKEN is noted after the lock is held and RELEASED before it is given up, so that an observer
 *     sees the holds of one lock one after another.
 *
 * Cost: one atomic add and one store a hold when nobody waits. A waiter reads one word; the wait is
 * at most (CPUs - 1) holds, since a ticket is drawn once and served in turn.
 *
 * The order of ranks is not checked here: that needs a memory of what each CPU holds, and the core
 * has none. Rank travels with the TAKEN note, and the bodies' observers hold the CPU to the order.
 */
#include <kc/lock.h>

void kc_lock_init(struct kc_lock *l, const char *name, enum kc_lock_rank rank)
{
    const struct kc_lock fresh = KC_LOCK_INIT(name, (uint32_t)rank);
    *l = fresh;
}

void kc_lock_wait(const struct kc_lock *l, uint32_t ticket)
{
    while (__atomic_load_n(&l->serving, __ATOMIC_ACQUIRE) != ticket) {
        kc_plat_relax();
    }
}

void kc_lock_acquire(struct kc_lock *l)
{
    kc_lock_enter(l);
}

bool kc_lock_try(struct kc_lock *l)
{
    if (!kc_lock_take_free(l)) {
        return false;
    }
    kc_lock_took(l);
    return true;
}

void kc_lock_release(struct kc_lock *l)
{
    kc_lock_leave(l);
}

uint64_t kc_lock_acquire_irqsave(struct kc_lock *l)
{
    uint64_t saved = kc_plat_irq_save();
    kc_lock_enter(l);
    return saved;
}

void kc_lock_release_irqrestore(struct kc_lock *l, uint64_t saved)
{
    kc_lock_leave(l);
    kc_plat_irq_restore(saved);
}
