/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/mag.h: magazines: a CPU's own stack of free objects, and the fast path of all allocators.
 *
 * An allocator of equal objects (kc/pool.h, kc/cache.h) gives each CPU a magazine. An allocation
 * pops, a free pushes, without lock and without atomic read-modify-write, since nobody else touches
 * it: only when it is empty, or full, a few objects move between it and what all CPUs share, under
 * a lock. At hardening checked each object has a *state byte* somewhere, which says whether it is
 * live; so a double free is seen at the free, and an object that reached two magazines by a race of
 * two wrong frees is seen when it is popped.
 *
 * Here is what those allocators share; what an entry is, each says itself.
 */
#ifndef KC_MAG_H
#define KC_MAG_H

#include <kc/lock.h>

KC_EXTERN_C_BEGIN

/* At hardening full every call is judged under the lock: there are no magazines. */
#define KC_MAG_IS_USED   (KC_HARDENING < KC_HARDENING_FULL)
#define KC_MAG_HAS_STATE (KC_HARDENING >= KC_HARDENING_CHECKED)

/* Who called the function in which this stands: what reports say at hardening full. Private. */
#if KC_HARDENING >= KC_HARDENING_FULL
#define KC_MAG_SITE __builtin_return_address(0)
#else
#define KC_MAG_SITE NULL
#endif

/*
 * A stride made an odd number of lines. A processor's cache picks a set by low bits of the address:
 * of blocks a power of two apart, equal fields (a list's links, a lock) share a few sets and evict
 * each other, though most of the cache is idle. An odd number of lines apart, they meet every set
 * in turn. It costs up to two lines a block, and nothing in any call.
 */
#define KC_MAG_COLOURED(stride) \
    ((((size_t)(stride) + KC_LINE_BYTES - 1) & ~(size_t)(KC_LINE_BYTES - 1)) | KC_LINE_BYTES)

/* The state byte of an object. */
enum kc_mag_state {
    KC_MAG_FREE = 0x5a, /* free: in a magazine, or in what the CPUs share */
    KC_MAG_LIVE = 0xa5, /* handed out */
    KC_MAG_HOME = 0x99, /* free, in a slab of a cache that has no map to say so */
    KC_MAG_LOST = 0x3c  /* found corrupted, never handed out again */
};

/*
 * The stack's height. Its entries lie in the allocator's own structure, as does how many there may
 * be: where that is none, the magazine is always empty and always full, and so sends every call to
 * the slow path.
 *
 * A whole register: each call reads what the last one wrote, and some processors (Intel's Golden
 * Cove) hand 64 bits from a store to a load at once, but 32 only after they went through the store
 * buffer, which makes an alloc and a free of one block more than twice as slow.
 */
struct kc_mag {
    size_t count; /* atomic, relaxed: written by its CPU, read by whoever counts */
};

KC_INLINE size_t kc_mag_count(const struct kc_mag *m)
{
    return __atomic_load_n(&m->count, __ATOMIC_RELAXED);
}

KC_INLINE void kc_mag_set_count(struct kc_mag *m, size_t count)
{
    __atomic_store_n(&m->count, count, __ATOMIC_RELAXED);
}

/*
 * At hardening off the body is not told of objects: whoever looks for errors with a tool that wants
 * to hear of them (ASan, Valgrind, the simulator's monitors) builds at checked.
 */
#define KC_MAG_TELLS KC_MAG_HAS_STATE

/**
 * Place of this CPU in a table of magazines that has KC_CPUS_MAX + 1 of them; the last, of those
 * that send every call to the slow path, while somebody wants to be told. Pinned.
 */
KC_INLINE uint32_t kc_mag_place(void)
{
    return KC_MAG_TELLS ? kc_plat_cpu_unheard() : kc_plat_cpu();
}

/** True if somebody wants to be told now: for who has a magazine already. */
KC_INLINE bool kc_mag_is_heard(void)
{
    return KC_MAG_TELLS && kc_plat_note_heard(1u << KC_NOTE_ALLOC);
}

/** The same for a short form that takes a lock quietly: of the lock too. */
KC_INLINE bool kc_mag_is_heard_locking(void)
{
    uint32_t objects = KC_MAG_TELLS ? 1u << KC_NOTE_ALLOC : 0;
    return kc_plat_note_heard(objects | 1u << KC_NOTE_LOCK_TAKEN);
}

/** Tell of an object of some allocator: KC_NOTE_ALLOC or KC_NOTE_FREE. */
KC_INLINE void kc_mag_tell(enum kc_note kind, const void *object, size_t bytes, const void *owner)
{
    if (KC_MAG_TELLS) {
        kc_plat_note(kind, (uintptr_t)object, bytes, owner);
    }
}

/* ---- exact division -------------------------------------------------------------------------- */

/*
 * Which of the multiples of a stride d = odd * 2^shift an offset is: with the inverse of `odd`
 * modulo the word, n * inverse rotated right by shift is n / d where d divides n, and greater than
 * every quotient where it does not: the map is a bijection, and the multiples of d fill the values
 * up to the greatest quotient. So one comparison with the number of objects judges bounds, sign and
 * alignment of any pointer at all. (P. L. Montgomery's exact division, as in H. S. Warren, Hacker's
 * Delight, 2nd ed., 10-17 "Test for Zero Remainder after Division by a Constant".)
 */

/** Quotient, or something greater than every quotient. */
KC_INLINE uintptr_t kc_mag_quotient(uintptr_t offset, uintptr_t inverse, uint32_t shift)
{
    uintptr_t product = offset * inverse;
    uint32_t bits = (uint32_t)sizeof(uintptr_t) * 8;
    return product >> shift | product << ((bits - shift) & (bits - 1));
}

/** The inverse of an odd number modulo the word. Newton: right to 5 bits, then twice as many. */
KC_INLINE uintptr_t kc_mag_inverse(uintptr_t odd)
{
    uintptr_t x = 3 * odd ^ 2;
    for (uint32_t bits = 5; bits < sizeof(uintptr_t) * 8; bits *= 2) {
        x *= 2 - odd * x;
    }
    return x;
}

KC_EXTERN_C_END

#endif
