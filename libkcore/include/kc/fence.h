/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/fence.h: some objects in pages of their own, with nothing beside them.
 *
 * A fence is a front to a heap. At hardening full, one allocation in so many goes into a *slot*: a
 * page of an address space with an unmapped page on each side, its object against one of the two. A
 * byte too far, on that side, then faults at the access, and so does every access after the free,
 * for which the page is unmapped; what is overwritten on the other side, within the page, is found
 * at the free. kc_fence_explain() says of a faulting address whose object it missed, who allocated
 * it, and who freed it. Slots are used in turn, so that a freed one stays empty as long as can be.
 *
 * Below full every allocation goes to the heap. Nothing here is for interrupts: a slot is mapped
 * and unmapped. After the method of Linux's KFENCE and LLVM's GWP-ASan.
 */
#ifndef KC_FENCE_H
#define KC_FENCE_H

#include <kc/aspace.h>
#include <kc/heap.h>

KC_EXTERN_C_BEGIN

#define KC_FENCE_SIZE_MAX  ((size_t)KC_FRAME_BYTES) /* greatest object of a slot */
#define KC_FENCE_SLOTS_MAX 4096u

/* One slot. Private. */
struct kc_fence_slot {
    uint32_t state;  /* see src/space/fence_priv.h */
    uint32_t offset; /* of the object in its page */
    uint32_t bytes;
    uint32_t cpu_alloc, cpu_free;
    uintptr_t who_alloc, who_free;
};

struct kc_fence_config {
    struct kc_heap *heap;       /* where the others go; outlives the fence */
    struct kc_aspace *space;    /* the kernel's, or one whose addresses kc_plat_ptr() knows */
    struct kc_pt_attr attr;     /* of a slot's page: read, write, what else the space wants */
    struct kc_fence_slot *slot; /* array of the caller's, for as long as the fence lives */
    uint32_t slot_count;        /* 1 to KC_FENCE_SLOTS_MAX */
    uint32_t every;             /* one allocation in so many is fenced; 0: none but on request */
    uint64_t seed;              /* decides the side of each object */
    struct kc_misuse *misuse;   /* NULL as in kc_misuse_raise() */
};

/* Placed by the caller, private member by member. */
struct kc_fence {
    struct kc_lock lock; /* rank KC_RANK_FENCE */
    struct kc_heap *heap;
    struct kc_aspace *space;
    struct kc_pt_attr attr;
    struct kc_misuse *misuse;
    struct kc_fence_slot *slot;
    uint64_t base;   /* address of the first guard page */
    uintptr_t first; /* the same as a pointer */
    uint64_t bytes;
    uint64_t state; /* of the generator */
    uint32_t slot_count;
    uint32_t next; /* where the search for a free slot begins */
    uint32_t every;
    uint32_t until; /* atomic: allocations until the next fenced one */
    uint32_t live;
    uint32_t let;          /* pages that kc_fence_let() mapped */
    bool let_last;         /* the last guard page is one of them */
    uint64_t fenced, full; /* allocations that got a slot, and that found none free */
};

/**
 * Make a fence: reserves an area of 2 slot_count + 1 pages; no memory is mapped.
 *
 * Errors:  KC_ERR_ARG    a member is NULL, attr lacks R or W
 *          KC_ERR_RANGE  slot_count is outside its limits
 *          others        as kc_aspace_reserve()
 */
KC_NODISCARD kc_status_t kc_fence_init(struct kc_fence *f, const struct kc_fence_config *config);

/**
 * End it. The area is given back.
 *
 * Errors:  KC_ERR_STATE  slots are live (misuse BUSY): unchanged
 */
KC_NODISCARD kc_status_t kc_fence_fini(struct kc_fence *f);

/**
 * Allocate: as kc_heap_alloc(), fenced at hardening full if it is its turn, a slot is free and the
 * size allows.
 *
 * who   of the caller, for reports: a return address, or any number
 */
KC_NODISCARD void *kc_fence_alloc(struct kc_fence *f, size_t size, uint32_t flags, uintptr_t who);

/**
 * Allocate in a slot, at every hardening level. Contents are zero.
 *
 * size    1 to KC_FENCE_SIZE_MAX
 * align   power of two, 1 to KC_FENCE_SIZE_MAX: the object's end is as near to its page's end as
 *         that allows, or its start is the page's
 *
 * Returns NULL if no slot is free, there is no memory, or for a size or alignment outside limits.
 * Cost:   O(slots) at worst; one page mapped
 */
KC_NODISCARD void *kc_fence_take(struct kc_fence *f, size_t size, size_t align, uintptr_t who);

/** True if p points into the fence's area. O(1), no lock. */
bool kc_fence_has(const struct kc_fence *f, const void *p);

/**
 * Give back what kc_fence_alloc() or kc_fence_take() gave. The page is unmapped.
 *
 * Errors:  as kc_heap_free(), of the heap if p is not in the area, else (misuse, reported once):
 *          KC_ERR_ALIGN    INTERIOR: not the first byte of an object, or in a guard
 *          KC_ERR_STATE    DOUBLE_FREE
 *          KC_ERR_CORRUPT  CORRUPT: bytes of the page about the object were written. It is freed
 */
kc_status_t kc_fence_free(struct kc_fence *f, void *p, uintptr_t who);

/** As kc_heap_usable(): of a slot, exactly the size asked for. */
size_t kc_fence_usable(struct kc_fence *f, const void *p);

/* What a faulting address is to the fence. */
enum kc_fence_verdict {
    KC_FENCE_ELSEWHERE, /* not in its area: nothing is reported */
    KC_FENCE_OVER,      /* behind an object */
    KC_FENCE_UNDER,     /* before one */
    KC_FENCE_AFTER_FREE,
    KC_FENCE_STRAY, /* in a slot, or beside one, that was never used */
    KC_FENCE_LIVE   /* in a page that is mapped: not of the fence's doing, nothing is reported */
};

struct kc_fence_story {
    enum kc_fence_verdict verdict;
    bool write;
    bool freed; /* by cpu_free and who_free */
    uint64_t address;
    uint64_t object, bytes; /* the object that was missed */
    uint64_t distance;      /* bytes from its nearer end */
    uint32_t cpu_alloc, cpu_free;
    uintptr_t who_alloc, who_free;
};

/**
 * Explain a fault, and report it as misuse: BOUNDS or AFTER_FREE, with the object as `expected` and
 * who allocated it, or freed it, as `found`.
 *
 * story   out; may be NULL
 *
 * Context: the exception path; takes no lock, so that any may be held. What others do to the slot
 *          meanwhile may be seen in parts.
 */
enum kc_fence_verdict kc_fence_explain(struct kc_fence *f, uint64_t address, bool write,
                                       struct kc_fence_story *story);

/**
 * Let an access that was explained go on: maps a zeroed page where there was none. It goes away
 * when the slot is used again, or with kc_fence_mend().
 *
 * Errors:  KC_ERR_RANGE   the address is not in the area
 *          KC_ERR_EXISTS  a page is there
 *          KC_ERR_NOMEM
 * Context: as kc_aspace_fault(), and no lock of rank FENCE held
 */
KC_NODISCARD kc_status_t kc_fence_let(struct kc_fence *f, uint64_t address);

/** Unmap what kc_fence_let() mapped. */
void kc_fence_mend(struct kc_fence *f);

/** Name of a verdict for people, static storage; "?" for an unknown one. */
const char *kc_fence_verdict_name(enum kc_fence_verdict v);

/* Where a validator found the first broken invariant: its number in the theory comment. */
struct kc_fence_fault {
    uint32_t invariant;
    uint32_t index; /* slot concerned */
    uint64_t expected, found;
};

/**
 * Judge every invariant of src/space/fence.c.
 *
 * Errors:  KC_ERR_CORRUPT  one is broken; *where, if not NULL, says which
 * Cost:    O(slots), a walk for each page; holds the lock meanwhile
 */
KC_NODISCARD kc_status_t kc_fence_check(struct kc_fence *f, struct kc_fence_fault *where);

KC_EXTERN_C_END

#endif
