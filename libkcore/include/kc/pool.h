/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/pool.h: blocks of one size in one range of memory that the caller gives.
 *
 * Capacity is fixed at init, every operation is bounded, and all bookkeeping lies outside the
 * blocks: nothing is ever written into a free block (but at hardening full), so that blocks may be
 * DMA buffers, and overruns do not reach the state. It needs no other module and works before there
 * are frames.
 *
 * Each CPU may have a magazine (kc/mag.h) over the stock that all share. The forms of a call:
 *
 *     kc_pool_alloc()          any context: masks interrupts for the call
 *     kc_pool_alloc_pinned()   the caller is *pinned*: it stays on its CPU, and nobody else on that
 *                              CPU (interrupt, other thread) uses the pool meanwhile
 *     kc_pool_alloc_here()     the same, inline, through the handle that kc_pool_here() gives
 *     kc_pool_alloc_bulk()     many at once; the caller is pinned
 *
 * and so for free. Blocks that readers without a lock may still look at go through kc/grace.h.
 * Without magazines (cpu_count 0) every call takes the lock, and which block comes next depends on
 * nothing but the order of calls: the deterministic mode.
 */
#ifndef KC_POOL_H
#define KC_POOL_H

#include <kc/mag.h>

KC_EXTERN_C_BEGIN

#define KC_POOL_BLOCKS_MAX (1u << 24) /* a pool has no more blocks, however large its memory */
#define KC_POOL_ALIGN_MIN  8u         /* blocks are aligned at least so, and memory must be */
#define KC_POOL_NAME_CHARS 24u

#define KC_POOL_CPU_BLOCKS 32u /* blocks in a magazine, at most */
#define KC_POOL_RUN_BLOCKS 64u /* untouched blocks that a CPU takes at once, at most */
/* Published bound: no CPU keeps more free blocks from the others. */
#define KC_POOL_CPU_KEEPS (KC_POOL_CPU_BLOCKS + KC_POOL_RUN_BLOCKS)

/* Bytes of a magazine for each block: its address, and where states are looked at its index. */
#if KC_MAG_HAS_STATE
#define KC_POOL_ENTRY_BYTES ((uint32_t)(sizeof(void *) + sizeof(uint32_t)))
#else
#define KC_POOL_ENTRY_BYTES ((uint32_t)sizeof(void *))
#endif

/* Flags of a pool. */
#define KC_POOL_UNLOCKED 0x1u /* the caller serialises all calls; no lock, no magazines */
#define KC_POOL_COLOURED 0x2u /* blocks an odd number of lines apart: KC_MAG_COLOURED() */

/* Bytes of bookkeeping: for each block, for each CPU with a magazine, and beside these. */
#if KC_HARDENING == KC_HARDENING_OFF
#define KC_POOL_META_SHORT ((uint32_t)sizeof(void *)) /* up to KC_POOL_SHORT_MAX blocks */
#define KC_POOL_META_LONG  KC_POOL_META_SHORT
#elif KC_HARDENING == KC_HARDENING_CHECKED
#define KC_POOL_META_SHORT 3u
#define KC_POOL_META_LONG  4u
#else
#define KC_POOL_META_SHORT (3u + (uint32_t)sizeof(void *)) /* and the site of the last call */
#define KC_POOL_META_LONG  (4u + (uint32_t)sizeof(void *))
#endif
#define KC_POOL_SHORT_MAX 65536u
#define KC_POOL_CPU_BYTES (KC_LINE_BYTES + KC_POOL_CPU_BLOCKS * KC_POOL_ENTRY_BYTES)
#if KC_MAG_HAS_STATE
#define KC_POOL_PAD_BYTES (KC_POOL_RUN_BLOCKS + 8u) /* transfers write whole words */
#else
#define KC_POOL_PAD_BYTES 0u
#endif
#define KC_POOL_REST_BYTES (KC_LINE_BYTES + 8u + KC_POOL_PAD_BYTES) /* and for alignment */

/*
 * Bytes of memory in which a pool certainly has `count` blocks; a constant expression where its
 * arguments are. For pools laid out at compile time. Arguments within the limits of the config.
 */
#if KC_HARDENING >= KC_HARDENING_FULL
#define KC_POOL_REDZONE_BYTES (KC_HARDENING >= KC_HARDENING_TAGGED ? 16u : 8u)
#else
#define KC_POOL_REDZONE_BYTES 0u
#endif
#define KC_POOL_GRAIN(align)                                                          \
    ((align) < 16u && KC_HARDENING >= KC_HARDENING_TAGGED ? (size_t)16                \
     : (align) == 0                                       ? (size_t)KC_POOL_ALIGN_MIN \
                                                          : (size_t)(align))
#define KC_POOL_STRIDE(block_bytes, align)                                \
    (((block_bytes) + KC_POOL_REDZONE_BYTES + KC_POOL_GRAIN(align) - 1) & \
     ~(KC_POOL_GRAIN(align) - 1))
#define KC_POOL_STRIDE_COLOURED(block_bytes) \
    KC_MAG_COLOURED(KC_POOL_STRIDE(block_bytes, KC_LINE_BYTES))
#define KC_POOL_ROOM(stride, count, cpus)                                                      \
    ((size_t)(count) *                                                                         \
         ((stride) + ((count) > KC_POOL_SHORT_MAX ? KC_POOL_META_LONG : KC_POOL_META_SHORT)) + \
     (size_t)(cpus)*KC_POOL_CPU_BYTES + KC_POOL_REST_BYTES)
#define KC_POOL_MEMORY_BYTES(block_bytes, align, count, cpus) \
    KC_POOL_ROOM(KC_POOL_STRIDE(block_bytes, align), count, cpus)
#define KC_POOL_MEMORY_BYTES_COLOURED(block_bytes, count, cpus) \
    KC_POOL_ROOM(KC_POOL_STRIDE_COLOURED(block_bytes), count, cpus)

struct kc_pool_config {
    const char *name; /* copied, cut to KC_POOL_NAME_CHARS - 1; NULL is "" */
    void *memory;     /* aligned as its blocks; need not be zero */
    size_t memory_bytes;
    size_t block_bytes;       /* what the caller will use of a block; 1 or more */
    size_t align;             /* power of two, 8 or more; 0 is 8. Coloured: at most a line's */
    struct kc_misuse *misuse; /* NULL as in kc_misuse_raise() */
    uint32_t flags;           /* KC_POOL_x */
    uint32_t cpu_count;       /* CPUs 0 to cpu_count - 1 have magazines; others take the lock */
};

struct kc_pool;

/* What one CPU has of a pool, or (its `none`) what a CPU without a magazine has. Private. */
struct kc_pool_cpu {
    struct kc_mag mag;
    /* Copies of the pool's constants, so that a call touches one line: */
    uintptr_t base;    /* first block */
    size_t stride;     /* bytes from block to block */
    uintptr_t inverse; /* of the stride's odd part; kc_mag_quotient() */
    uint8_t *state;    /* checked: one byte a block */
#if KC_MAG_HAS_STATE
    uintptr_t known; /* blocks below this were handed out or taken: their states are written */
#else
    size_t limit; /* entries that there may be: KC_POOL_CPU_BLOCKS, or 0 */
#endif
    struct kc_pool *pool;
    uint32_t run;      /* first of the untouched blocks that are this CPU's */
    uint16_t run_left; /* of those; atomic, relaxed: read by whoever counts */
    uint8_t shift;     /* of the stride: its trailing zeros */
};

KC_STATIC_ASSERT(sizeof(struct kc_pool_cpu) <= KC_LINE_BYTES, "one line");

/* The pool. Placed by the caller, private member by member. */
struct kc_pool {
    struct kc_pool_cpu none; /* of CPUs without a magazine */

    /* A line of its own: whoever moves blocks writes the lock and the rest. */
    struct kc_lock lock KC_ALIGNED(KC_LINE_BYTES); /* for what follows */
    uint32_t capacity;                             /* blocks */
    uint32_t fresh;                                /* blocks from here on were never handed out */
    uint32_t depth;                                /* blocks in the stock; atomic: peeked at */
    uint32_t run_blocks;                           /* size of a run */
    void *stack; /* off: pointers; else indexes of 2 bytes, or 3 (pool_priv.h) */
    uint64_t fail_count;

    /* kc_mag_place(): a CPU's own, or &none */
    struct kc_pool_cpu *cpu[KC_CPUS_MAX + 1] KC_ALIGNED(KC_LINE_BYTES);
    uint32_t head;     /* hardening full: first of the queue that the stock is then */
    uint32_t lost;     /* blocks found corrupted, never handed out again */
    uint32_t peak_out; /* full: most blocks out of the stock at a time */
    uint32_t flags;
    uint64_t random;
    uintptr_t *site;         /* hardening full: who called last for the block */
    struct kc_pool_cpu *own; /* the first magazine; NULL: none */
    size_t block_bytes;
    size_t memory_bytes;
    struct kc_misuse *misuse;
    void *memory; /* as it was given */
    uint32_t cpu_count;
    uint32_t tags; /* atomic: hardening tagged: given so far */
    char name[KC_POOL_NAME_CHARS];
};

KC_STATIC_ASSERT(offsetof(struct kc_pool, cpu) == 2 * (size_t)KC_LINE_BYTES,
                 "what is written under the lock is one line");

struct kc_pool_stats {
    size_t block_bytes;  /* as configured */
    size_t stride_bytes; /* as laid out */
    uint32_t capacity;   /* blocks */
    uint32_t live;       /* handed out now; while others allocate, as of some moment each */
    uint32_t peak;       /* most blocks at a time that were live or in a CPU's keeping */
    uint32_t kept;       /* free, in the keeping of CPUs: at most KC_POOL_CPU_KEEPS a CPU */
    uint32_t lost;       /* found corrupted at hardening full, out of use */
    uint64_t fail_count; /* allocations that found nothing */
    size_t memory_bytes; /* as configured */
    size_t meta_bytes;   /* of it: bookkeeping of blocks, KC_POOL_META_SHORT or _LONG each */
    size_t cpu_bytes;    /* of it: magazines */
};

/**
 * Make a pool.
 *
 * p        zero or garbage
 * config   read during the call only
 *
 * Owner:   the pool has the memory until kc_pool_fini()
 * Errors:  KC_ERR_ARG    p, config or memory is NULL, block_bytes is 0, align is no power of two or
 *                        below KC_POOL_ALIGN_MIN, an unknown flag, KC_POOL_UNLOCKED with CPUs, or
 *                        KC_POOL_COLOURED with align above KC_LINE_BYTES
 *          KC_ERR_ALIGN  memory is not aligned to align, or not to a line where KC_POOL_COLOURED
 *          KC_ERR_RANGE  memory_bytes wraps around the address space, block_bytes rounded up to
 *                        align exceeds a size_t, or cpu_count exceeds KC_CPUS_MAX
 *          KC_ERR_NOMEM  memory is too small for one block and its bookkeeping
 * Cost:    O(CPUs): blocks and their bookkeeping are touched only as blocks are handed out
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_pool_init(struct kc_pool *p, const struct kc_pool_config *config);

/**
 * End it. The memory is the caller's again.
 *
 * Errors:  KC_ERR_STATE  blocks are live (misuse BUSY; kc_pool_next_live() lists them): unchanged
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_pool_fini(struct kc_pool *p);

/**
 * Allocate a block: the one that this CPU freed last, else one from the stock (the one that came
 * there last), else one never used, in address order. At hardening full: one never used, else a
 * random one of those longest free.
 *
 * Returns NULL if there is none: all blocks are live, lost, or in other CPUs' keeping, of which
 * each keeps KC_POOL_CPU_KEEPS at most. Contents are undefined. At hardening full, a block that was
 * written after its free is reported as misuse (CORRUPT), is never handed out again, and the next
 * one is tried; and what lies between block_bytes and the stride is a redzone, judged at the free.
 *
 * Owner:   the caller, until kc_pool_free()
 * Cost:    O(1): a pop; or one lock hold in which at most 8 blocks move (full: also O(block_bytes),
 *          and once for each corrupted block)
 * Context: any, interrupts included; the pinned forms: see the top
 */
void *kc_pool_alloc(struct kc_pool *p);
void *kc_pool_alloc_pinned(struct kc_pool *p);

/** The same, of zeros: block_bytes of them. Any context. */
void *kc_pool_alloc_zeroed(struct kc_pool *p);

/**
 * Give a block back.
 *
 * ptr     from kc_pool_alloc() of this pool, on any CPU; NULL is KC_OK and does nothing
 *
 * Errors (all are misuse, reported once; state is as before). At hardening off none is noticed
 * where there is a magazine, and without one FOREIGN alone, and DOUBLE_FREE when no block is live.
 *          KC_ERR_RANGE  FOREIGN: ptr is in no block of this pool
 *          KC_ERR_ALIGN  INTERIOR: ptr is not the first byte of its block
 *          KC_ERR_STATE  DOUBLE_FREE: the block is free, or was never handed out
 *          KC_ERR_CORRUPT  CORRUPT (full): bytes behind the block were written; it *is* free now
 * Cost:    as kc_pool_alloc()
 * Context: any, interrupts included; the pinned forms: see the top
 */
kc_status_t kc_pool_free(struct kc_pool *p, void *ptr);
kc_status_t kc_pool_free_pinned(struct kc_pool *p, void *ptr);

/**
 * Allocate n blocks, or none.
 *
 * n        any number; 0 is true and does nothing
 * out      room for n pointers; on false, contents are undefined
 *
 * Returns false if there are not n.
 * Cost:    O(n); a lock hold for every 8 that the CPU does not have
 * Context: pinned
 */
KC_NODISCARD bool kc_pool_alloc_bulk(struct kc_pool *p, size_t n, void **out);

/**
 * Give n blocks back, each as kc_pool_free_here(): those that are refused are reported, the others
 * freed.
 *
 * Errors:  of the first that was refused
 * Context: pinned
 */
kc_status_t kc_pool_free_bulk(struct kc_pool *p, size_t n, void *const *ptr);

/* ---- inline forms ---------------------------------------------------------------------------- */

/** This CPU's handle, good as long as the caller stays on the CPU and the pool lives. Pinned. */
KC_INLINE struct kc_pool_cpu *kc_pool_here(struct kc_pool *p)
{
    return p->cpu[kc_plat_cpu()];
}

/*
 * What a magazine has of its blocks follows it: their addresses, and then their indexes, for the
 * state bytes. Either could be found from the other, but by a multiplication that who frees a block
 * and allocates it again would wait for. Private.
 */
KC_INLINE void **kc_pool_blocks(struct kc_pool_cpu *m)
{
    return (void **)(void *)(m + 1);
}

#if KC_MAG_HAS_STATE
KC_INLINE uint32_t *kc_pool_indexes(struct kc_pool_cpu *m)
{
    return (uint32_t *)(void *)(kc_pool_blocks(m) + KC_POOL_CPU_BLOCKS);
}
#endif

/* A block on its way. Private. */
struct kc_pool_found {
    void *block;
#if KC_MAG_HAS_STATE
    uintptr_t index;
#endif
};

/* The entry in that place of a magazine. Private. */
KC_INLINE struct kc_pool_found kc_pool_entry(struct kc_pool_cpu *m, size_t place)
{
    struct kc_pool_found found;
    found.block = kc_pool_blocks(m)[place];
#if KC_MAG_HAS_STATE
    found.index = kc_pool_indexes(m)[place];
#endif
    return found;
}

KC_INLINE void kc_pool_set_entry(struct kc_pool_cpu *m, size_t place, struct kc_pool_found found)
{
    kc_pool_blocks(m)[place] = found.block;
#if KC_MAG_HAS_STATE
    kc_pool_indexes(m)[place] = (uint32_t)found.index;
#endif
}

/* What is not the fast path. Private. */
void *kc_pool_alloc_slow(struct kc_pool_cpu *m);
kc_status_t kc_pool_free_slow(struct kc_pool_cpu *m, void *ptr);

#if KC_MAG_IS_USED
/* True if the magazine has room above `count` entries. Private. */
KC_INLINE bool kc_pool_has_room(const struct kc_pool_cpu *m, size_t count)
{
#if KC_MAG_HAS_STATE
    (void)m;
    return count < KC_POOL_CPU_BLOCKS; /* without a magazine nothing is known, and no entry made */
#else
    return count < m->limit;
#endif
}

/* Makes a free block live, or answers false: it is not free as it should be. Private. */
KC_INLINE bool kc_pool_make_live(uint8_t *state)
{
    if (KC_UNLIKELY(*state != KC_MAG_FREE)) {
        return false;
    }
    *state = KC_MAG_LIVE;
    return true;
}

KC_INLINE bool kc_pool_hand_out(const struct kc_pool_cpu *m, struct kc_pool_found found)
{
#if KC_MAG_HAS_STATE
    return kc_pool_make_live(&m->state[found.index]);
#else
    (void)m;
    (void)found;
    return true;
#endif
}

/*
 * Hands out the topmost of `count` entries, or answers false, as above. The count goes first, so
 * that the block is loaded where it is returned, and still before its state is written: a load
 * behind a store of which the address comes late may wait for it. Private.
 */
KC_INLINE bool kc_pool_pop(struct kc_pool_cpu *m, size_t count, void **out)
{
    size_t top = count - 1;
    KC_FORGET(top);
#if KC_MAG_HAS_STATE
    uint8_t *state = &m->state[kc_pool_indexes(m)[top]];
#endif
    kc_mag_set_count(&m->mag, top);
    KC_FORGET(top);
    void *block = kc_pool_blocks(m)[top];
    KC_FORGET(block);
#if KC_MAG_HAS_STATE
    if (KC_UNLIKELY(!kc_pool_make_live(state))) {
        kc_mag_set_count(&m->mag, kc_mag_count(&m->mag) + 1);
        return false;
    }
#endif
    *out = block;
    return true;
}

/* A block on its way back, or false: it is no live one that this CPU knows of. Private. */
KC_INLINE bool kc_pool_find(const struct kc_pool_cpu *m, void *ptr, struct kc_pool_found *out)
{
    out->block = ptr;
#if KC_MAG_HAS_STATE
    uintptr_t index = kc_mag_quotient((uintptr_t)ptr - m->base, m->inverse, m->shift);
    if (KC_UNLIKELY(index >= m->known) || KC_UNLIKELY(m->state[index] != KC_MAG_LIVE)) {
        return false;
    }
    KC_FORGET(index);
    out->index = index;
#else
    (void)m;
#endif
    return true;
}

/* That block becomes the topmost, above `count` others, and free. Private. */
KC_INLINE void kc_pool_push(struct kc_pool_cpu *m, size_t count, struct kc_pool_found found)
{
    size_t more = count + 1;
    KC_FORGET(more);
#if KC_MAG_HAS_STATE
    m->state[found.index] = KC_MAG_FREE;
#endif
    kc_pool_set_entry(m, count, found);
    kc_mag_set_count(&m->mag, more);
}
#endif

/* What a magazine can serve at once while nobody listens, or false. Private. */
KC_INLINE bool kc_pool_alloc_quick(struct kc_pool_cpu *m, void **out)
{
#if KC_MAG_IS_USED
    size_t count = kc_mag_count(&m->mag);
    return KC_LIKELY(count != 0) && KC_LIKELY(kc_pool_pop(m, count, out));
#else
    (void)m;
    (void)out;
    return false;
#endif
}

KC_INLINE bool kc_pool_free_quick(struct kc_pool_cpu *m, void *ptr)
{
#if KC_MAG_IS_USED
    size_t count = kc_mag_count(&m->mag);
    struct kc_pool_found found;
    if (KC_LIKELY(kc_pool_has_room(m, count)) && KC_LIKELY(kc_pool_find(m, ptr, &found))) {
        kc_pool_push(m, count, found);
        return true;
    }
#else
    (void)m;
    (void)ptr;
#endif
    return false;
}

/** kc_pool_alloc_pinned(), inline. */
KC_INLINE void *kc_pool_alloc_here(struct kc_pool_cpu *m)
{
    void *block;
    return KC_LIKELY(!kc_mag_is_heard()) && KC_LIKELY(kc_pool_alloc_quick(m, &block))
               ? block
               : kc_pool_alloc_slow(m);
}

/** kc_pool_free_pinned(), inline. At hardening off ptr must not be NULL: it is not looked at. */
KC_INLINE kc_status_t kc_pool_free_here(struct kc_pool_cpu *m, void *ptr)
{
    return KC_LIKELY(!kc_mag_is_heard()) && KC_LIKELY(kc_pool_free_quick(m, ptr))
               ? KC_OK
               : kc_pool_free_slow(m, ptr);
}

/**
 * Typed forms: KC_POOL_OF(name, type) defines name##_alloc(pool) and name##_free(pool, ptr), any
 * context, and name##_alloc_here(handle) and name##_free_here(handle, ptr), inline, for objects of
 * that type; the pool's block_bytes is at least sizeof(type).
 */
#define KC_POOL_OF(name, type)                                                 \
    KC_INLINE type *name##_alloc(struct kc_pool *p_)                           \
    {                                                                          \
        return (type *)kc_pool_alloc(p_);                                      \
    }                                                                          \
    KC_INLINE kc_status_t name##_free(struct kc_pool *p_, type *ptr_)          \
    {                                                                          \
        return kc_pool_free(p_, ptr_);                                         \
    }                                                                          \
    KC_INLINE type *name##_alloc_here(struct kc_pool_cpu *m_)                  \
    {                                                                          \
        return (type *)kc_pool_alloc_here(m_);                                 \
    }                                                                          \
    KC_INLINE kc_status_t name##_free_here(struct kc_pool_cpu *m_, type *ptr_) \
    {                                                                          \
        return kc_pool_free_here(m_, ptr_);                                    \
    }

/* ---- CPUs that stop, queries ----------------------------------------------------------------- */

/**
 * Bring what a CPU keeps back to the stock.
 *
 * cpu      any number; one without a magazine keeps nothing
 *
 * Returns the number of blocks that came back.
 * Cost:    O(KC_POOL_CPU_KEEPS); one lock hold
 * Context: on that CPU, and it stays there; or on another when that CPU is off and was seen to be
 */
uint32_t kc_pool_drain(struct kc_pool *p, uint32_t cpu);

/** Counts. Cost: O(CPUs); one lock hold. Context: any. */
void kc_pool_stats(struct kc_pool *p, struct kc_pool_stats *out);

/**
 * True if ptr is the first byte of a live block of this pool. Any value is allowed.
 *
 * Cost:    O(1); at hardening off O(capacity)
 * Context: nobody allocates or frees that block meanwhile (at hardening off: any block)
 */
bool kc_pool_is_live(struct kc_pool *p, const void *ptr);

/**
 * The live blocks in ascending order of address.
 *
 * cursor   0 to begin; else as the last call left it
 *
 * Returns NULL when there are no more.
 * Cost:    over a whole pass O(blocks ever handed out), at hardening off times capacity; a call is
 *          one lock hold
 * Context: with magazines, nobody allocates or frees meanwhile
 */
void *kc_pool_next_live(struct kc_pool *p, uint32_t *cursor);

/* Where a validator found the first broken invariant: its number in the theory comment. */
struct kc_pool_fault {
    uint32_t invariant;
    uint32_t index; /* block or stack slot concerned */
    uint64_t expected, found;
};

/**
 * Walk everything and judge every invariant of src/mem/pool.c.
 *
 * Errors:  KC_ERR_CORRUPT  one is broken; *where, if not NULL, says which
 * Cost:    O(blocks ever handed out), at hardening off squared; holds the lock meanwhile
 * Context: with magazines, nobody allocates or frees meanwhile
 */
KC_NODISCARD kc_status_t kc_pool_check(struct kc_pool *p, struct kc_pool_fault *where);

KC_EXTERN_C_END

#endif
