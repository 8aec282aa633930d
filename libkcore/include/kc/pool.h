/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/pool.h: blocks of one size in one range of memory that the caller gives.
 *
 * Capacity is fixed at init, allocation and free are O(1), and all bookkeeping lies outside the
 * blocks: nothing is ever written into a free block (but at hardening full, which clears it), so
 * that blocks may be DMA buffers, and overruns do not reach the state. It needs no other module and
 * works before there are frames.
 */
#ifndef KC_POOL_H
#define KC_POOL_H

#include <kc/lock.h>

KC_EXTERN_C_BEGIN

#define KC_POOL_BLOCKS_MAX (1u << 24) /* a pool has no more blocks, however large its memory */
#define KC_POOL_ALIGN_MIN  8u         /* blocks are aligned at least so, and memory must be */
#define KC_POOL_NAME_CHARS 24u

#define KC_POOL_ZERO_ALLOC 0x1u /* flag: every block is handed out zeroed */
#define KC_POOL_UNLOCKED   0x2u /* flag: the caller serialises all calls; the pool takes no lock */

struct kc_pool_config {
    const char *name; /* copied, cut to KC_POOL_NAME_CHARS - 1; NULL is "" */
    void *memory;     /* aligned to `align`; need not be zero */
    size_t memory_bytes;
    size_t block_bytes;       /* what the caller will use of a block; 1 or more */
    size_t align;             /* power of two, 8 or more; 0 is 8 */
    struct kc_misuse *misuse; /* NULL as in kc_misuse_raise() */
    uint32_t flags;           /* KC_POOL_x */
};

/* The pool. Placed by the caller, private member by member. */
struct kc_pool {
    uintptr_t base;      /* first block */
    size_t stride;       /* bytes from block to block */
    uint64_t reciprocal; /* of stride, see src/mem/pool.c */
    uint32_t reciprocal_shift;
    uint32_t capacity; /* blocks */
    uint32_t fresh;    /* blocks from here on were never handed out */
    uint32_t depth;    /* blocks on the stack of free ones */
    void *stack;       /* their indexes: uint16_t up to 65,536 blocks, else uint32_t */
    uint8_t *state;    /* one byte a block */
    size_t block_bytes;
    size_t memory_bytes;
    size_t align;
    uint32_t flags;
    uint32_t lost; /* blocks found corrupted, never handed out again */
    uint32_t peak; /* most blocks live at a time */
    uint64_t fail_count;
    struct kc_misuse *misuse;
    struct kc_lock lock;
    char name[KC_POOL_NAME_CHARS];
};

struct kc_pool_stats {
    size_t block_bytes;  /* as configured */
    size_t stride_bytes; /* as laid out */
    uint32_t capacity;   /* blocks */
    uint32_t live;       /* handed out now */
    uint32_t peak;       /* most at a time */
    uint32_t lost;       /* found corrupted at hardening full, out of use */
    uint64_t fail_count; /* allocations that found nothing */
    size_t memory_bytes; /* as configured */
    size_t meta_bytes;   /* of it: bookkeeping, at most 3.2 bytes a block up to 65,536 blocks */
};

/**
 * Make a pool.
 *
 * p        zero or garbage
 * config   read during the call only
 *
 * Owner:   the pool has the memory until kc_pool_fini()
 * Errors:  KC_ERR_ARG    p, config or memory is NULL, block_bytes is 0, align is no power of two or
 *                        below KC_POOL_ALIGN_MIN, an unknown flag
 *          KC_ERR_ALIGN  memory is not aligned to align
 *          KC_ERR_RANGE  memory_bytes wraps around the address space, or block_bytes rounded up to
 *                        align exceeds a size_t
 *          KC_ERR_NOMEM  memory is too small for one block and its bookkeeping
 * Cost:    O(1): memory is touched only as blocks are handed out
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
 * Allocate a block: the one freed last, else the next in address order.
 *
 * Returns NULL if all are live. Contents are undefined, or zero with KC_POOL_ZERO_ALLOC. At
 * hardening full, a block that was written after its free is reported as misuse (CORRUPT), is never
 * handed out again, and the next one is tried.
 *
 * Owner:   the caller, until kc_pool_free()
 * Cost:    O(1) (full: also O(block_bytes), and once for each corrupted block)
 * Context: any, interrupts included
 */
KC_NODISCARD void *kc_pool_alloc(struct kc_pool *p);

/**
 * Give a block back.
 *
 * ptr     from kc_pool_alloc() of this pool; NULL is KC_OK and does nothing
 *
 * Errors (all are misuse, reported once; state is as before). At hardening off only FOREIGN is
 * noticed for certain.
 *          KC_ERR_RANGE  FOREIGN: ptr is in no block of this pool
 *          KC_ERR_ALIGN  INTERIOR: ptr is not the first byte of its block
 *          KC_ERR_STATE  DOUBLE_FREE: the block is free, or was never handed out
 * Cost:    O(1) (full: also O(block_bytes))
 * Context: any, interrupts included
 */
kc_status_t kc_pool_free(struct kc_pool *p, void *ptr);

/** One consistent snapshot. Cost: O(1); one lock hold. */
void kc_pool_stats(struct kc_pool *p, struct kc_pool_stats *out);

/** True if ptr is the first byte of a live block of this pool. Any value is allowed. */
bool kc_pool_is_live(struct kc_pool *p, const void *ptr);

/**
 * The live blocks in ascending order of address.
 *
 * cursor   0 to begin; else as the last call left it
 *
 * Returns NULL when there are no more. A block that comes or goes between two calls may be missed.
 * Cost:    over a whole pass O(blocks ever handed out); one lock hold a call
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
 * Cost:    O(blocks ever handed out); holds the lock meanwhile
 */
KC_NODISCARD kc_status_t kc_pool_check(struct kc_pool *p, struct kc_pool_fault *where);

KC_EXTERN_C_END

#endif
