/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/reserve.h: objects set aside for those who must not fail.
 *
 * A reserve holds back a number of blocks of one size from a heap. An allocation asks the heap
 * first; where that has none, one of the held back is handed out. A free fills the reserve up again
 * before it gives anything to the heap. So whoever needs at most that many at a time, and gives
 * each back without waiting for memory, always goes on: writing out dirty data, an interrupt, a
 * fault.
 *
 * It does not sleep: who takes more than was set aside is told so (NULL), counted and reported.
 */
#ifndef KC_RESERVE_H
#define KC_RESERVE_H

#include <kc/heap.h>

KC_EXTERN_C_BEGIN

#define KC_RESERVE_COUNT_MAX  256u /* blocks in a reserve: a free compares with each */
#define KC_RESERVE_NAME_CHARS 24u

struct kc_reserve_config {
    const char *name; /* copied, cut to KC_RESERVE_NAME_CHARS - 1; NULL is "" */
    size_t size;      /* of a block, 1 to KC_HEAP_SIZE_MAX */
    uint32_t count;   /* blocks held back, 1 to KC_RESERVE_COUNT_MAX */
    uint32_t unused;
    void **slot;              /* room for count pointers; the caller's, until kc_reserve_fini() */
    struct kc_misuse *misuse; /* NULL as in kc_misuse_raise() */
};

/* Placed by the caller, private member by member. */
struct kc_reserve {
    struct kc_lock lock; /* for slot, have and the counts below it */
    struct kc_heap *heap;
    struct kc_misuse *misuse;
    void **slot;
    size_t size;
    uint32_t count;
    uint32_t have;  /* blocks in slot */
    uint32_t least; /* fewest that there ever were */
    uint32_t unused;
    uint64_t out;         /* atomic: blocks handed out and not given back */
    uint64_t heap_count;  /* atomic: served by the heap */
    uint64_t spare_count; /* served by the reserve */
    uint64_t over_count;  /* not served */
    char name[KC_RESERVE_NAME_CHARS];
};

struct kc_reserve_stats {
    uint32_t count, have; /* blocks to be held back, and held back now */
    uint32_t least;       /* fewest ever: how near to its end the reserve came */
    uint32_t unused;
    uint64_t out; /* handed out now */
    uint64_t heap_count, spare_count,
        over_count; /* allocations: by the heap, by the reserve, none */
};

/**
 * Make a reserve and fill it.
 *
 * r        zero or garbage
 * config   read during the call only
 * h        outlives the reserve
 *
 * Errors:  KC_ERR_ARG    r, config, h or config->slot is NULL
 *          KC_ERR_RANGE  size or count is outside its limits
 *          KC_ERR_NOMEM  the heap has not so many; it has what it gave back
 * Cost:    count allocations
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_reserve_init(struct kc_reserve *r,
                                         const struct kc_reserve_config *config, struct kc_heap *h);

/**
 * End it: what is held back goes to the heap.
 *
 * Errors:  KC_ERR_STATE  blocks are handed out (misuse BUSY): unchanged
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_reserve_fini(struct kc_reserve *r);

/**
 * Allocate a block of the reserve's size: the heap's, or where it has none one held back.
 *
 * flags   as kc_heap_alloc(); without KC_HEAP_NO_WAIT reclaimers are asked before the reserve is
 *         touched
 *
 * Returns NULL if the reserve is used up (misuse OVERUSE, counted), or for an unknown flag.
 * Owner:   the caller, until kc_reserve_free()
 * Cost:    as kc_heap_alloc(); if that fails, a lock hold of O(1)
 * Context: as kc_heap_alloc()
 */
KC_NODISCARD void *kc_reserve_alloc(struct kc_reserve *r, uint32_t flags);

/**
 * Give a block back: to the reserve if that is not full, else to the heap.
 *
 * ptr     from kc_reserve_alloc() of this reserve; NULL is KC_OK and does nothing
 *
 * Errors (all are misuse, reported once; state is as before):
 *          KC_ERR_ARG    WRONG_SIZE: a live block of the heap, of another size
 *          KC_ERR_PERM   WRONG_OWNER also: the reserve has handed nothing out
 *          KC_ERR_STATE  DOUBLE_FREE also: the block is held back already
 *          others        as kc_heap_free()
 * Cost:    a search as kc_heap_usable(), O(count) comparisons under the lock; or kc_heap_free()
 * Context: any, interrupts included
 */
kc_status_t kc_reserve_free(struct kc_reserve *r, void *ptr);

/** Counts, as of one moment but for out and heap_count. Context: any. */
void kc_reserve_stats(struct kc_reserve *r, struct kc_reserve_stats *out);

/**
 * Judge the invariants of src/mem/reserve.c.
 *
 * invariant   out, may be NULL: number of the first that is broken
 *
 * Errors:  KC_ERR_CORRUPT  one is broken
 * Cost:    O(count^2)
 * Context: nobody allocates or frees meanwhile
 */
KC_NODISCARD kc_status_t kc_reserve_check(struct kc_reserve *r, uint32_t *invariant);

KC_EXTERN_C_END

#endif
