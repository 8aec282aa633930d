/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/heap.h: blocks of any size.
 *
 * Small sizes go to a kc_cache for each of 64 size classes, made when first asked for: 8-byte steps
 * to 128 bytes, then eight steps to each doubling, up to KC_HEAP_SMALL_MAX. Larger ones are runs of
 * whole frames. No block has a header: what a pointer is, is found through the frame records.
 * Blocks that readers without a lock may still look at are freed through kc/grace.h.
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

/* Flags of an allocation. */
#define KC_HEAP_ZERO    0x1u /* contents are zero, the slack included */
#define KC_HEAP_NO_WAIT 0x2u /* fail rather than ask the reclaimers of the frames (kc/frame.h) */
#define KC_HEAP_URGENT  0x4u /* may use what the frames' mark `min` keeps from others */
#define KC_HEAP_ATOMIC \
    (KC_HEAP_NO_WAIT | KC_HEAP_URGENT) /* for who can neither wait nor do without */
#define KC_HEAP_ERASE    0x8u /* of kc_heap_resize() alone: what is given up is erased first */

#define KC_HEAP_KEEP_MIN 32768u /* least keep_bytes: a slab of the greatest order */

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
    /*
     * Bytes that a set of the heap's own keeps in empty slabs, at most, in all: KC_HEAP_KEEP_MIN or
     * more; as many classes as it is times KC_HEAP_KEEP_MIN, rounded down to a power of two, keep
     * one. 0: each class does. With a set, 0: the set says. Beside these, the magazines of each CPU
     * keep of as many classes at most KC_CACHE_CPU_BYTES and an object; and at hardening full the
     * quarantine of each class KC_CACHE_QUARANTINE objects, whose slabs are not empty meanwhile.
     */
    size_t keep_bytes;
};

/* The heap. Placed by the caller, private member by member. */
struct kc_heap {
    struct kc_frames *frames;
    struct kc_cache *caches; /* of its own set: all are classes of it */
    uint32_t caches_bytes;   /* all that fit; 0: the set is shared */
    uint32_t own_frames;     /* that they lie in; 0: the set is shared */
    struct kc_cache_set *set;
    struct kc_misuse *misuse;
    uint32_t frame_flags;
    uint32_t unused;
    struct kc_lock lock; /* for what follows */
    uint64_t large_live;
    uint64_t large_frames;
    uint64_t large_alloc_count, large_free_count;
    uint64_t large_peak_frames;
    uint64_t refused_count; /* requests outside the limits */
    uint64_t large_fail_count;
#if KC_HARDENING >= KC_HARDENING_TAGGED
    uint32_t large_tags; /* atomic: given so far */
#endif
    char name[KC_HEAP_NAME_CHARS];
    struct kc_cache *cache[KC_HEAP_CLASSES]; /* atomic: of the set; NULL: not asked for yet */
    struct kc_cache_set own;
};

struct kc_heap_stats {
    uint64_t live;          /* blocks handed out now */
    uint64_t granted_bytes; /* usable bytes of those */
    uint64_t frames_bytes;  /* held in frames now, slabs' state and empty slabs included */
    uint64_t kept_bytes;    /* as kc_heap_kept() */
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
 * Errors:  KC_ERR_ARG    h, config or frames is NULL, an unknown flag, too many CPUs, CPUs or
 *                        keep_bytes beside a set, or a set whose frames or frame_flags are others
 *          KC_ERR_RANGE  keep_bytes is below KC_HEAP_KEEP_MIN, but not 0
 *          KC_ERR_NOMEM  no frames for the structures
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_heap_init(struct kc_heap *h, const struct kc_heap_config *config,
                                      struct kc_frames *frames);

/**
 * End it, giving everything back; what lies in a shared set stays the set's.
 *
 * Errors:  KC_ERR_STATE  blocks are live (with a shared set: large ones) (misuse BUSY;
 *                        kc_heap_next_live() lists them): unchanged; or as kc_cache_set_fini()
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_heap_fini(struct kc_heap *h);

/**
 * Allocate a block of at least size bytes, aligned to KC_HEAP_ALIGN_MIN.
 *
 * size    1 to KC_HEAP_SIZE_MAX. Size 0 is refused: nothing was asked for, nothing is given.
 * flags   of KC_HEAP_ZERO, NO_WAIT, URGENT
 *
 * Returns NULL if there is no memory, or for a size or flag outside the limits.
 * Owner:   the caller, until kc_heap_free(), kc_heap_free_sized() or kc_heap_resize()
 * Cost:    as kc_cache_alloc(), or as kc_frame_alloc_run(); ZERO: O(size)
 * Context: any, interrupts included; without NO_WAIT, not with a lock held that a reclaimer takes
 */
KC_NODISCARD void *kc_heap_alloc(struct kc_heap *h, size_t size, uint32_t flags);

/**
 * The same for a caller who is pinned to the CPU (kc/pool.h, "forms"): it masks no interrupts. The
 * classes are caches of a set, and kc/cache.h says what may then not interrupt it.
 */
KC_NODISCARD void *kc_heap_alloc_pinned(struct kc_heap *h, size_t size, uint32_t flags);

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

/** The same for a caller who is pinned to the CPU. */
kc_status_t kc_heap_free_pinned(struct kc_heap *h, void *ptr);

/**
 * The same as kc_heap_free(), stating the size.
 *
 * size    any size from the one last asked for up to kc_heap_usable()
 *
 * Errors:  as kc_heap_free(), and
 *          KC_ERR_ARG  WRONG_SIZE: no request of that size would have got this block, aligned or
 * not
 */
kc_status_t kc_heap_free_sized(struct kc_heap *h, void *ptr, size_t size);

/**
 * The same, after every usable byte of the block was overwritten with zeros, by stores that a
 * compiler may not leave out. For keys. A block that is moved by kc_heap_resize() leaves its
 * contents behind unless that is told KC_HEAP_ERASE.
 *
 * Errors:  as kc_heap_free(); nothing is erased then
 * Cost:    as kc_heap_free(), twice the search, and O(usable bytes)
 */
kc_status_t kc_heap_free_erased(struct kc_heap *h, void *ptr);

/**
 * Make a block larger or smaller, in place where kc_heap_try_resize() can, else elsewhere.
 *
 * ptr     from this heap; NULL allocates
 * size    1 to KC_HEAP_SIZE_MAX; 0 is refused, and frees nothing
 * flags   as kc_heap_alloc(); ZERO: bytes beyond the old *usable* size are zero. KC_HEAP_ERASE: the
 *         frames and the block that are given up are erased as by kc_heap_free_erased()
 *
 * The first min(old usable, new) bytes are kept. An alignment above KC_HEAP_ALIGN_MIN is not, where
 * the block moves.
 *
 * Returns the block, perhaps elsewhere; NULL if refused, if there is no memory, or after misuse (as
 * kc_heap_free()). On NULL the old block is live and as it was.
 */
KC_NODISCARD void *kc_heap_resize(struct kc_heap *h, void *ptr, size_t size, uint32_t flags);

/**
 * Make a block larger or smaller where it is, or leave it as it is. Never moves it.
 *
 * ptr     a live block of this heap, not NULL
 * size    1 to KC_HEAP_SIZE_MAX
 * flags   of KC_HEAP_ZERO, URGENT, ERASE as kc_heap_resize(); it never asks reclaimers
 *
 * A small block changes within its class only. Of a large one (a run of frames) the last frames go
 * back, or the frames behind it are taken if they are free (kc_frame_resize_run()).
 *
 * Errors:  KC_ERR_ARG    an unknown flag
 *          KC_ERR_RANGE  size is outside its limits; and FOREIGN
 *          KC_ERR_NOMEM  it would have to move
 *          others        as kc_heap_free() (misuse)
 * Cost:    small: a search. Large: kc_frame_resize_run(), and O(frames) records
 * Context: any, interrupts included
 */
kc_status_t kc_heap_try_resize(struct kc_heap *h, void *ptr, size_t size, uint32_t flags);

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
 * Bytes that the heap's set keeps, free, for the next allocations: empty slabs, each counted as the
 * greatest that its class makes, and objects in magazines. Runs of frames are never kept.
 *
 * Cost:    O(classes); a lock hold each
 * Context: any; while others allocate, of some moment each
 */
uint64_t kc_heap_kept(struct kc_heap *h);

/**
 * Give back what is kept until kc_heap_kept() is at most keep_bytes, or nothing more can go: other
 * CPUs' magazines stay (kc_cache_set_drain() empties those).
 *
 * Returns the number of frames that went.
 * Cost:    O(classes) kc_cache_shrink()
 * Context: any, interrupts included
 */
uint64_t kc_heap_trim(struct kc_heap *h, uint64_t keep_bytes);

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
 * Context: nobody allocates or frees meanwhile
 */
KC_NODISCARD kc_status_t kc_heap_check(struct kc_heap *h, struct kc_heap_fault *where);

KC_EXTERN_C_END

#endif
