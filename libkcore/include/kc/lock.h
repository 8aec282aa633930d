/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/lock.h: FIFO spinlocks.
 *
 * A ticket lock: waiters are served in the order in which they came, so the wait is bounded by the
 * number of CPUs times the longest hold; every function of the library that takes a lock states its
 * hold. Not recursive. Lock order is layer order: a lock has a rank, and a CPU that holds a lock of
 * some rank takes only locks of *lower* rank (what stands above in layers.txt). The simulator's
 * monitors and tools/check_lock_order hold the code to it.
 *
 * Acquire has acquire semantics, release has release semantics: what one holder wrote, the next
 * sees. Interrupts: the plain form is for data that no interrupt handler touches; the irqsave form
 * masks interrupts for the hold.
 */
#ifndef KC_LOCK_H
#define KC_LOCK_H

#include <kc/assert.h>

KC_EXTERN_C_BEGIN

/* Ranks by layer; taken downwards only, from the greatest to the least. */
enum kc_lock_rank {
    KC_RANK_STATS = 1,
    KC_RANK_EARLY,
    KC_RANK_REGION,
    KC_RANK_FRAME,
    KC_RANK_POOL,
    KC_RANK_CACHE,
    KC_RANK_HEAP,
    KC_RANK_RESERVE,
    KC_RANK_ACCOUNT,
    KC_RANK_ARENA,
    KC_RANK_GRACE,
    KC_RANK_TRACK,
    KC_RANK_PT,
    KC_RANK_ASPACE,
    KC_RANK_FENCE,
    KC_RANK_DMA,
    KC_RANK_SHARE,
    KC_RANK_TUNE,
    KC_RANK_KERNEL
};

#define KC_LOCK_NO_CPU UINT32_MAX

/* Private member by member; placed by the caller. */
struct kc_lock {
    uint32_t next;    /* next ticket to give */
    uint32_t serving; /* ticket that holds the lock */
    uint32_t holder;  /* CPU, or KC_LOCK_NO_CPU */
    uint32_t rank;    /* enum kc_lock_rank */
    const char *name; /* static storage */
};

#define KC_LOCK_INIT(name_, rank_)             \
    {                                          \
        0, 0, KC_LOCK_NO_CPU, (rank_), (name_) \
    }

/** Prepare a free lock. name has static storage. */
void kc_lock_init(struct kc_lock *l, const char *name, enum kc_lock_rank rank);

/**
 * Take it, waiting in turn.
 *
 * Errors:  none; taking it twice on one CPU is KC_CHECKed, for it could never end
 * Context: any where no interrupt handler takes the same lock; else the irqsave form
 */
void kc_lock_acquire(struct kc_lock *l);

/** Take it if that needs no wait. */
KC_NODISCARD bool kc_lock_try(struct kc_lock *l);

/** Release it. Only the CPU that holds it may (KC_CHECK). */
void kc_lock_release(struct kc_lock *l);

/** The same with interrupts masked for the hold; saved goes from one to the other. */
KC_NODISCARD uint64_t kc_lock_acquire_irqsave(struct kc_lock *l);
void kc_lock_release_irqrestore(struct kc_lock *l, uint64_t saved);

/** True if this CPU holds it. For assertions. */
KC_INLINE bool kc_lock_is_mine(const struct kc_lock *l)
{
    return __atomic_load_n(&l->holder, __ATOMIC_RELAXED) == kc_plat_cpu(); /* L3 in lock.c */
}

/* ---- the same, inline: for the few places where a call would show -----------------------------
 */

/* Wait until it is the ticket's turn. Private. */
KC_COLD void kc_lock_wait(const struct kc_lock *l, uint32_t ticket);

/* Take it if nobody has it, or waits; tells nobody. Private. */
KC_INLINE bool kc_lock_take_free(struct kc_lock *l)
{
    /*
     * If `next` still equals the `serving` that was read, then by L1 nobody drew that ticket, so
     * `serving` has not moved either: the lock is free and the ticket is ours. The acquire of
     * `serving` pairs with the last holder's release; drawing needs no order.
     */
    uint32_t ticket = __atomic_load_n(&l->serving, __ATOMIC_ACQUIRE);
    return __atomic_compare_exchange_n(&l->next, &ticket, ticket + 1, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

/**
 * kc_lock_try() and kc_lock_release(), inline, of which nobody is told: for short paths that have a
 * twin with kc_lock_enter() for when the lock is taken, or kc_plat_note_heard() of locks.
 */
KC_NODISCARD KC_INLINE bool kc_lock_try_quiet(struct kc_lock *l)
{
    if (KC_UNLIKELY(!kc_lock_take_free(l))) {
        return false;
    }
    __atomic_store_n(&l->holder, kc_plat_cpu(), __ATOMIC_RELAXED);
    return true;
}

KC_INLINE void kc_lock_leave_quiet(struct kc_lock *l)
{
    __atomic_store_n(&l->holder, KC_LOCK_NO_CPU, __ATOMIC_RELAXED);
    uint32_t serving = __atomic_load_n(&l->serving, __ATOMIC_RELAXED); /* L2 */
    __atomic_store_n(&l->serving, serving + 1, __ATOMIC_RELEASE);
}

/* What the holder does first. Private. */
KC_INLINE void kc_lock_took(struct kc_lock *l)
{
    __atomic_store_n(&l->holder, kc_plat_cpu(), __ATOMIC_RELAXED);
    kc_plat_note(KC_NOTE_LOCK_TAKEN, (uintptr_t)l, l->rank, NULL); /* L4 */
}

/** kc_lock_acquire() and kc_lock_release(), inline. */
KC_INLINE void kc_lock_enter(struct kc_lock *l)
{
    KC_CHECK(!kc_lock_is_mine(l));
    uint32_t ticket = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);
    /* Acquire pairs with the release of `serving`: what the last holder wrote is seen from here. */
    if (KC_UNLIKELY(__atomic_load_n(&l->serving, __ATOMIC_ACQUIRE) != ticket)) {
        kc_lock_wait(l, ticket);
    }
    kc_lock_took(l);
}

KC_INLINE void kc_lock_leave(struct kc_lock *l)
{
    KC_CHECK(kc_lock_is_mine(l));
    kc_plat_note(KC_NOTE_LOCK_RELEASED, (uintptr_t)l, l->rank, NULL); /* L4 */
    kc_lock_leave_quiet(l);
}

KC_EXTERN_C_END

#endif
