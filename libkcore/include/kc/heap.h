/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/heap.h: blocks of any size.
 *
 * Small sizes go to a kc_cache for each of 64 size classes, made when first asked for: 8-byte steps
 * to 128 bytes, then eight steps to each doubling, up to KC_HEAP_SMALL_MAX. Larger ones are runs of
 * whole frames. No block has a header: what a pointer is, is found through the frame records.
 */
#ifndef KC_HEAP_H
#define KC_HEAP_H

#include <kc/cache.h>

KC_EXTERN_C_BEGIN

#define KC_HEAP_CLASSES    64u
#define KC_HEAP_SMALL_MAX  8192u /* greatest class, in bytes */
#define KC_HEAP_SIZE_MAX   ((size_t)KC_FRAME_RUN_MAX * KC_FRAME_BYTES) /* greatest block: 4 MiB */
#define KC_HEAP_ALIGN_MIN  8u /* every block is aligned so */
#define KC_HEAP_ALIGN_MAX  KC_HEAP_SIZE_MAX
#define KC_HEAP_NAME_CHARS 24u

#define KC_HEAP_ZERO       0x1u /* flag of an allocation: contents are zero, the slack included */

struct kc_heap_config {
    const char *name;         /* copied, cut to KC_HEAP_NAME_CHARS - 1; NULL is "" */
    struct kc_misuse *misuse; /* NULL as in kc_misuse_raise() */
    uint32_t frame_flags;     /* for its frames: KC_FRAME_BELOW() or 0 */
    uint32_t cpu_count; /* CPUs that have magazines (kc/cache.h); with a set, 0: the set says */
    /*
     * Where the classes have their caches, shared with whoever else uses the set; it outlives the
     * heap, and its frames and frame_flags are the heap's. NULL: a set of the heap's own.
     */
    struct kc_cache_set *set;
};

/* The heap. Placed by the caller, private member by member. */
struct kc_heap {
    struct kc_frames *frames;
    struct kc_misuse *misuse;
    uint32_t frame_flags;
    uint32_t own_frames; /* that the caches of its own set lie in; 0: the set is shared */
    struct kc_cache_set *set;
    struct kc_lock lock; /* for what follows */
    uint64_t large_live;
    uint64_t large_frames;
    uint64_t large_alloc_count, large_free_count;
    uint64_t large_peak_frames;
    uint64_t refused_count; /* requests outside the limits */
    uint64_t large_fail_count;
    char name[KC_HEAP_NAME_CHARS];
    struct kc_cache *cache[KC_HEAP_CLASSES]; /* atomic: of the set; NULL: not asked for yet */
    struct kc_cache_set own;
};

struct kc_heap_stats {
    uint64_t live;          /* blocks handed out now */
    uint64_t granted_bytes; /* usable bytes of those */
    uint64_t frames_bytes;  /* held in frames now, slabs' state and empty slabs included */
    uint64_t large_live, large_bytes; /* of these, runs of frames */
    uint64_t alloc_count, free_count; /* successes since init */
    uint64_t fail_count;              /* found no memory */
    uint64_t refused_count; /* size 0, size or alignment outside the limits, product too large */
};

/**
 * Make a heap. With a shared set it takes no frame until the first allocation; with its own, the
 * few frames (owner HEAP) that its caches' structures lie in.
 *
 * h        zero or garbage
 * config   read during the call only
 * frames   where memory comes from; outlives the heap
 *
 * Errors:  KC_ERR_ARG    h, config or frames is NULL, an unknown flag, or a set whose frames or
 *                        frame_flags are others
 *          KC_ERR_NOMEM  no frames for the structures
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_heap_init(struct kc_heap *h, const struct kc_heap_config *config,
                                      struct kc_frames *frames);

/**
 * End it, giving everything back; what lies in a shared set stays the set's.
 *
 * Errors:  KC_ERR_STATE  blocks are live (with a shared set: large ones) (misuse BUSY;
 * kc_heap_next_live() lists them): unchanged Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_heap_fini(struct kc_heap *h);

/**
 * Allocate a block of at least size bytes, aligned to KC_HEAP_ALIGN_MIN.
 *
 * size    1 to KC_HEAP_SIZE_MAX. Size 0 is refused: nothing was asked for, nothing is given.
 * flags   of KC_HEAP_ZERO
 *
 * Returns NULL if there is no memory, or for a size or flag outside the limits.
 * Owner:   the caller, until kc_heap_free(), kc_heap_free_sized() or kc_heap_resize()
 * Cost:    as kc_cache_alloc(), or as kc_frame_alloc_run(); ZERO: O(size)
 * Context: any, interrupts included
 */
KC_NODISCARD void *kc_heap_alloc(struct kc_heap *h, size_t size, uint32_t flags);

/**
 * The same, at a multiple of align.
 *
 * align   power of two, 1 to KC_HEAP_ALIGN_MAX; else refused. Above a frame it is the physical
 *         address that is aligned, and the pointer as far as the body's linear map keeps that (ours
 *         all do).
 */
KC_NODISCARD void *kc_heap_alloc_aligned(struct kc_heap *h, size_t size, size_t align,
                                         uint32_t flags);

/** The same for count elements of size bytes each; a product that wraps is refused. */
KC_NODISCARD void *kc_heap_alloc_array(struct kc_heap *h, size_t count, size_t size,
                                       uint32_t flags);

/**
 * Give a block back.
 *
 * ptr     from this heap; NULL is KC_OK and does nothing
 *
 * Errors (all are misuse, reported once; state is as before):
 *          KC_ERR_RANGE  FOREIGN: ptr lies in no heap's or cache's memory, nor in free memory
 *          KC_ERR_PERM   WRONG_OWNER: ptr lies in another heap's or cache's memory
 *          KC_ERR_ALIGN  INTERIOR: ptr is not the first byte of a block
 *          KC_ERR_STATE  DOUBLE_FREE: the block is free, or ptr lies in free frames
 * Cost:    as kc_cache_free(), or as kc_frame_free_run()
 * Context: any, interrupts included
 */
kc_status_t kc_heap_free(struct kc_heap *h, void *ptr);

/**
 * The same, stating the size.
 *
 * size    any size from the one last asked for up to kc_heap_usable()
 *
 * Errors:  as kc_heap_free(), and
 *          KC_ERR_ARG  WRONG_SIZE: no request of that size would have got this block, aligned or
 * not
 */
kc_status_t kc_heap_free_sized(struct kc_heap *h, void *ptr, size_t size);

/**
 * Make a block larger or smaller, in place where its class or its frames allow.
 *
 * ptr     from this heap; NULL allocates
 * size    1 to KC_HEAP_SIZE_MAX; 0 is refused, and frees nothing
 * flags   KC_HEAP_ZERO: bytes beyond the old *usable* size are zero
 *
 * The first min(old usable, new) bytes are kept. An alignment above KC_HEAP_ALIGN_MIN is not.
 *
 * Returns the block, perhaps elsewhere; NULL if refused, if there is no memory, or after misuse (as
 * kc_heap_free()). On NULL the old block is live and as it was.
 */
KC_NODISCARD void *kc_heap_resize(struct kc_heap *h, void *ptr, size_t size, uint32_t flags);

/**
 * Bytes that the owner of a live block may use: at least what was asked for. 0 for NULL and for
 * whatever is no live block of this heap (which is not misuse: it is a question).
 */
size_t kc_heap_usable(struct kc_heap *h, const void *ptr);

/** What kc_heap_alloc(size) would grant; 0 for a size outside the limits. Pure. */
size_t kc_heap_granted(size_t size);

/** Give back all that is free, of the whole set. Returns the number of frames that went. */
uint64_t kc_heap_shrink(struct kc_heap *h);

/**
 * Counts; each class is consistent in itself. Those of a shared set are of all that lies in the
 * heap's classes, whoever allocated it; so are kc_heap_class_stats() and kc_heap_next_live().
 * Cost: O(classes).
 */
void kc_heap_stats(struct kc_heap *h, struct kc_heap_stats *out);

/** Counts of one class, 0 to KC_HEAP_CLASSES - 1; zero if nobody asked for it yet. False beyond. */
KC_NODISCARD bool kc_heap_class_stats(struct kc_heap *h, uint32_t index,
                                      struct kc_cache_stats *out);

/* Position of kc_heap_next_live(); all zero to begin. Private. */
struct kc_heap_cursor {
    uint32_t index;
    uint32_t unused;
    uint64_t frames;
    struct kc_cache_cursor cache;
};

/**
 * The live blocks, for leak lists; in no order.
 *
 * usable   out: kc_heap_usable() of the block; may be NULL
 *
 * Returns NULL when there are no more.
 * Context: nobody allocates or frees meanwhile
 */
void *kc_heap_next_live(struct kc_heap *h, struct kc_heap_cursor *cursor, size_t *usable);

/* Where a validator found the first broken invariant: its number in the theory comment. */
struct kc_heap_fault {
    uint32_t invariant;
    uint32_t index; /* class, or first frame record of the block concerned */
    uint64_t expected, found;
    struct kc_cache_fault cache; /* where a class is broken */
};

/**
 * Walk everything and judge every invariant of src/mem/heap.c, and those of its classes.
 *
 * Errors:  KC_ERR_CORRUPT  one is broken; *where, if not NULL, says which
 */
KC_NODISCARD kc_status_t kc_heap_check(struct kc_heap *h, struct kc_heap_fault *where);

KC_EXTERN_C_END

#endif
