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

bool kc_lock_is_mine(const struct kc_lock *l)
{
    return __atomic_load_n(&l->holder, __ATOMIC_RELAXED) == kc_plat_cpu(); /* L3 */
}

static void took(struct kc_lock *l)
{
    __atomic_store_n(&l->holder, kc_plat_cpu(), __ATOMIC_RELAXED);
    kc_plat_note(KC_NOTE_LOCK_TAKEN, (uintptr_t)l, l->rank, NULL); /* L4 */
}

void kc_lock_acquire(struct kc_lock *l)
{
    KC_CHECK(!kc_lock_is_mine(l));
    uint32_t ticket = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);
    /* Acquire pairs with the release of `serving`: what the last holder wrote is seen from here. */
    while (__atomic_load_n(&l->serving, __ATOMIC_ACQUIRE) != ticket) {
        kc_plat_relax();
    }
    took(l);
}

bool kc_lock_try(struct kc_lock *l)
{
    /*
     * If `next` still equals the `serving` that was read, then by L1 nobody drew that ticket, so
     * `serving` has not moved either: the lock is free and the ticket is ours. The acquire of
     * `serving` pairs as above.
     */
    uint32_t ticket = __atomic_load_n(&l->serving, __ATOMIC_ACQUIRE);
    if (!__atomic_compare_exchange_n(&l->next, &ticket, ticket + 1, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED)) {
        return false;
    }
    took(l);
    return true;
}

void kc_lock_release(struct kc_lock *l)
{
    KC_CHECK(kc_lock_is_mine(l));
    kc_plat_note(KC_NOTE_LOCK_RELEASED, (uintptr_t)l, l->rank, NULL); /* L4 */
    __atomic_store_n(&l->holder, KC_LOCK_NO_CPU, __ATOMIC_RELAXED);
    uint32_t serving = __atomic_load_n(&l->serving, __ATOMIC_RELAXED); /* L2 */
    __atomic_store_n(&l->serving, serving + 1, __ATOMIC_RELEASE);
}

uint64_t kc_lock_acquire_irqsave(struct kc_lock *l)
{
    uint64_t saved = kc_plat_irq_save();
    kc_lock_acquire(l);
    return saved;
}

void kc_lock_release_irqrestore(struct kc_lock *l, uint64_t saved)
{
    kc_lock_release(l);
    kc_plat_irq_restore(saved);
}
