/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * rendezvous.h: a place where CPUs meet.
 *
 * Each of `count` CPUs calls kc_rendezvous_wait(); none returns before all have called. Whatever
 * each wrote before is seen by all afterwards. It can be used again at once.
 */
#ifndef KC_KERNEL_RENDEZVOUS_H
#define KC_KERNEL_RENDEZVOUS_H

#include <kc/plat.h>

/* Private member by member; placed by the caller. */
struct kc_rendezvous {
    uint32_t count;
    uint32_t arrived;
    uint32_t round;
};

/** Prepare one for `count` CPUs, at least 1. */
KC_INLINE void kc_rendezvous_init(struct kc_rendezvous *r, uint32_t count)
{
    r->count = count;
    r->arrived = 0;
    r->round = 0;
}

/**
 * Meet the others.
 *
 * Cost:    spins until the last CPU arrives
 * Context: no lock held; one call a CPU and round
 */
KC_INLINE void kc_rendezvous_wait(struct kc_rendezvous *r)
{
    uint32_t round = __atomic_load_n(&r->round, __ATOMIC_ACQUIRE);
    /* Release: what this CPU wrote is seen by whoever opens the next round. Acquire: the last to
     * arrive has seen what all others wrote, and passes it on with the round. */
    if (__atomic_add_fetch(&r->arrived, 1, __ATOMIC_ACQ_REL) == r->count) {
        __atomic_store_n(&r->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&r->round, round + 1, __ATOMIC_RELEASE);
        return;
    }
    while (__atomic_load_n(&r->round, __ATOMIC_ACQUIRE) == round) {
        kc_plat_relax();
    }
}

#endif
