/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/account.h: who has how much of a heap.
 *
 * Blocks that are allocated through an account belong to an *owner*, a small number of the caller's
 * choice. For each owner the account knows how many blocks and bytes are live, and holds it to a
 * quota. At the free the owner is found again from the block alone. A heap is not slower for it,
 * and has no header: who does not ask for accounting calls the heap as before, also for the same
 * heap.
 *
 * Where the owner is noted: in a table that the caller gives, 8 bytes for each block that may be
 * live at a time, and two thirds more (kc/account.h is about blocks that somebody answers for: tens
 * of thousands, not each byte of a kernel). Each block may lie in two lines of the table, of 8
 * places each; where both are full, the allocation is refused, and counted. While no more than 60 %
 * of all places are taken that does not come up in practice (of tables of 1,024 to 65,536 places,
 * filled at random, none was full before 63 %, half of them not before 75 %). Every call looks at
 * 16 places at most.
 */
#ifndef KC_ACCOUNT_H
#define KC_ACCOUNT_H

#include <kc/heap.h>

KC_EXTERN_C_BEGIN

#define KC_ACCOUNT_OWNERS_MAX 255u
#define KC_ACCOUNT_LINE       8u /* places in a line of the table */
#define KC_ACCOUNT_SLOTS_MIN  (2u * KC_ACCOUNT_LINE)
#define KC_ACCOUNT_NAME_CHARS 24u

/* What one owner has. Given by the caller for each owner, private until it is asked for. */
struct kc_account_owner {
    uint64_t blocks, bytes; /* live now; bytes as kc_heap_usable() */
    uint64_t peak_bytes;
    uint64_t quota_bytes;              /* greatest `bytes`; UINT64_MAX: no limit */
    uint64_t alloc_count, quota_count; /* successes, and refusals by the quota, since init */
};

struct kc_account_config {
    const char *name;               /* copied, cut to KC_ACCOUNT_NAME_CHARS - 1; NULL is "" */
    struct kc_account_owner *owner; /* one for each owner 0 to owner_count - 1; garbage */
    uint64_t *slot;                 /* the table; garbage */
    uint32_t owner_count;           /* 1 to KC_ACCOUNT_OWNERS_MAX */
    uint32_t slot_count;            /* power of two, KC_ACCOUNT_SLOTS_MIN or more; up to 2^31 */
    struct kc_misuse *misuse;       /* NULL as in kc_misuse_raise() */
};

/* Placed by the caller, private member by member. */
struct kc_account {
    struct kc_lock lock; /* for all that follows */
    struct kc_heap *heap;
    struct kc_misuse *misuse;
    struct kc_account_owner *owner;
    uint64_t *slot;
    uint32_t owner_count;
    uint32_t line_mask; /* lines of the table, less 1 */
    uint64_t full_count;
    char name[KC_ACCOUNT_NAME_CHARS];
};

/**
 * Make an account over a heap. All owners have no quota.
 *
 * a, config   a: zero or garbage; config: read during the call, what it points to is the account's
 *             until kc_account_fini()
 * h           outlives the account
 *
 * Errors:  KC_ERR_ARG    a, config, h, config->owner or config->slot is NULL
 *          KC_ERR_RANGE  owner_count or slot_count is outside its limits
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_account_init(struct kc_account *a,
                                         const struct kc_account_config *config, struct kc_heap *h);

/**
 * End it.
 *
 * Errors:  KC_ERR_STATE  blocks are live (misuse BUSY; kc_account_next() lists them): unchanged
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_account_fini(struct kc_account *a);

/**
 * The most that an owner may have from now on. What it has beyond stays.
 *
 * Errors:  KC_ERR_RANGE  there is no such owner
 */
kc_status_t kc_account_set_quota(struct kc_account *a, uint32_t owner, uint64_t bytes);

/**
 * Allocate a block for an owner.
 *
 * size, flags  as kc_heap_alloc()
 * out          untouched on error
 *
 * Owner:   the caller in the owner's name, until kc_account_free() of this account: kc_heap_free()
 *          would leave it on the owner's bill
 * Errors:  KC_ERR_RANGE  no such owner, or size is outside its limits
 *          KC_ERR_ARG    an unknown flag
 *          KC_ERR_QUOTA  the owner would have more than its quota; counted
 *          KC_ERR_NOMEM  the heap has none, or both lines of the table are full
 * Cost:    as kc_heap_alloc(), and two lock holds of O(1)
 * Context: as kc_heap_alloc()
 */
KC_NODISCARD kc_status_t kc_account_alloc(struct kc_account *a, uint32_t owner, size_t size,
                                          uint32_t flags, void **out);

/**
 * Give a block back, to the credit of whoever it is found to be of.
 *
 * ptr     from this account; NULL is KC_OK and does nothing
 *
 * Errors (misuse, reported once; state is as before):
 *          KC_ERR_PERM  WRONG_OWNER also: a live block of the heap that is on nobody's bill here
 *          others       as kc_heap_free()
 * Cost:    as kc_heap_usable() and kc_heap_free(), and a lock hold of O(1)
 * Context: any, interrupts included
 */
kc_status_t kc_account_free(struct kc_account *a, void *ptr);

/**
 * Make a block larger or smaller, for the same owner; in place where kc_heap_try_resize() can.
 *
 * ptr          a block of this account, not NULL
 * size, flags  as kc_heap_resize()
 * out          the block, perhaps elsewhere; untouched on error
 *
 * If it must move, old and new are on the bill together for a moment.
 *
 * Errors:  as kc_account_alloc() and kc_account_free(); the block is as it was then
 *          KC_ERR_RANGE  FOREIGN also: ptr is NULL
 */
KC_NODISCARD kc_status_t kc_account_resize(struct kc_account *a, void *ptr, size_t size,
                                           uint32_t flags, void **out);

/** The owner of the block at ptr; false: it is on nobody's bill. Any value of ptr is allowed. */
KC_NODISCARD bool kc_account_owner_of(struct kc_account *a, const void *ptr, uint32_t *owner);

/** What an owner has, as of one moment. False: no such owner, *out untouched. */
KC_NODISCARD bool kc_account_owner_stats(struct kc_account *a, uint32_t owner,
                                         struct kc_account_owner *out);

/** Allocations that found both of their lines full. */
uint64_t kc_account_full_count(struct kc_account *a);

/**
 * The blocks of an owner, in no order: for leak lists, and for freeing all when an owner ends (a
 * block may be freed when the call that gave it has returned).
 *
 * cursor   0 to begin; else as the last call left it
 *
 * Returns NULL when there are no more.
 * Cost:    over a whole pass O(slot_count)
 */
void *kc_account_next(struct kc_account *a, uint32_t owner, uint32_t *cursor);

/**
 * Judge the invariants of src/mem/account.c.
 *
 * invariant   out, may be NULL: number of the first that is broken
 *
 * Errors:  KC_ERR_CORRUPT  one is broken
 * Cost:    O(slots * owners)
 * Context: nobody allocates or frees meanwhile
 */
KC_NODISCARD kc_status_t kc_account_check(struct kc_account *a, uint32_t *invariant);

KC_EXTERN_C_END

#endif
