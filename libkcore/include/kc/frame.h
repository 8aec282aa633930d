/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/frame.h: page frames of physical memory.
 *
 * A binary buddy allocator over all memory that the early allocator had left, with one record of
 * 16 bytes for each frame: who owns it, references, pins. Blocks are 2^order frames, aligned to
 * their size in the physical address space; runs are any number of frames. Records are written for
 * the first time when their stretch of memory is first needed, so that the cost of starting does
 * not grow with the size of RAM.
 *
 * It is not an allocator for small objects (kc/cache.h, kc/heap.h), and it maps nothing.
 */
#ifndef KC_FRAME_H
#define KC_FRAME_H

#include <kc/early.h>
#include <kc/lock.h>

KC_EXTERN_C_BEGIN

#define KC_FRAME_LOG2      12u
#define KC_FRAME_BYTES     (1u << KC_FRAME_LOG2)
#define KC_FRAME_ORDER_MAX 10u /* greatest block: 2^10 frames, 4 MiB */
#define KC_FRAME_ORDERS    (KC_FRAME_ORDER_MAX + 1u)
#define KC_FRAME_RUN_MAX   (1u << KC_FRAME_ORDER_MAX) /* greatest run, in frames */

/* Flags of an allocation. */
#define KC_FRAME_ZERO  0x1u /* contents are zero; else they are undefined */
#define KC_FRAME_DMA32 0x2u /* every byte lies below 4 GiB */

/* Owners: who answers for a frame. An embedder adds its own from KC_FRAME_OWNER_FIRST_FREE. */
enum kc_frame_owner {
    KC_FRAME_OWNER_NONE, /* free, or not a frame of the allocator's; never a caller */
    KC_FRAME_OWNER_TABLE,
    KC_FRAME_OWNER_CACHE,
    KC_FRAME_OWNER_HEAP,
    KC_FRAME_OWNER_POOL,
    KC_FRAME_OWNER_KERNEL,
    KC_FRAME_OWNER_USER,
    KC_FRAME_OWNER_TRACE,
    KC_FRAME_OWNER_DMA,
    KC_FRAME_OWNER_TEST,
    KC_FRAME_OWNER_FIRST_FREE,
    KC_FRAME_OWNER_COUNT = 32 /* owners are below this */
};

enum kc_frame_state {
    KC_FRAME_INNER,   /* inside a block, not its first frame */
    KC_FRAME_FREE,    /* first frame of a free block */
    KC_FRAME_USED,    /* first frame of an allocated block */
    KC_FRAME_CLAIMED, /* the same, built upon by an allocator (kc_frame_claim) */
    KC_FRAME_FOREIGN  /* in answers only: not a frame that this allocator hands out */
};

/* One frame. Private; the size is the promise. */
struct kc_frame {
    union {
        struct {
            uint32_t next; /* FREE: next and previous block of the list, as record indexes */
            uint32_t prev;
        } link;
        uint64_t data; /* CLAIMED: the claimer's; room enough for a pointer */
    } u;
    uint32_t kind; /* state, order and owner in one word, so that one load sees all of them */
    uint32_t word; /* USED: references (low half) and pins (high half); CLAIMED: the claimer's */
};
#define KC_FRAME_RECORD_BYTES 16u
KC_STATIC_ASSERT(sizeof(struct kc_frame) == KC_FRAME_RECORD_BYTES, "at most 16 bytes a frame");

/* A stretch of consecutive frames that the allocator hands out, all in one zone. Private. */
struct kc_frame_span {
    uint64_t pfn;       /* first frame: physical address / KC_FRAME_BYTES */
    uint32_t count;     /* frames */
    uint32_t index;     /* record of the first */
    uint32_t fresh;     /* records fresh..fresh_end-1 were never written: whole free blocks of */
    uint32_t fresh_end; /* ORDER_MAX; fresh only grows */
};

#define KC_FRAME_ZONES 2u /* 0: below 4 GiB; 1: the rest */

/* Lists of free blocks of one zone. Private. */
struct kc_frame_zone {
    uint32_t head[KC_FRAME_ORDERS];
    uint32_t mask;                      /* bit o: list o is not empty */
    uint32_t span_first, span_end;      /* its spans */
    uint32_t span_fresh;                /* first span that may have fresh frames */
    uint64_t blocks[KC_FRAME_ORDERS];   /* blocks in each list */
    uint64_t free_frames, fresh_frames; /* free in lists and fresh; fresh of those */
};

/* The allocator. Placed by the caller, about 1 KiB, private member by member. */
struct kc_frames {
    struct kc_lock lock;
    struct kc_misuse *misuse;
    struct kc_frame *table;     /* records */
    struct kc_frame_span *span; /* in ascending order of address, and of record index */
    uint32_t span_count;
    uint32_t record_count;
    struct kc_frame_zone zone[KC_FRAME_ZONES];
    uint64_t frame_count; /* frames that it hands out, free or not */
    uintptr_t linear;     /* pointer minus physical address, the same for all RAM */
    uint64_t table_bytes; /* what records and spans took from early memory */
    uint64_t owner_frames[KC_FRAME_OWNER_COUNT];
    uint64_t alloc_count, free_count, fail_count; /* blocks and runs since init */
    uint64_t peak_frames;                         /* most frames allocated at a time */
    uint64_t fail_after; /* fault injection: allocations that still succeed, or UINT64_MAX */
    uint64_t fail_times; /* and how many then fail */
};

/* What is known of a block. */
struct kc_frame_info {
    kc_pa_t base; /* first byte of the block */
    uint32_t order;
    enum kc_frame_state state; /* FREE, USED, CLAIMED or FOREIGN */
    uint16_t owner;
    uint16_t refs; /* 0 unless USED */
    uint16_t pins; /* 0 unless USED */
};

struct kc_frame_stats {
    uint64_t frame_count; /* handed out by this allocator, free or not */
    uint64_t free_frames;
    uint64_t used_frames;
    uint64_t peak_frames;                  /* most used at a time */
    uint64_t fresh_frames;                 /* of the free: never touched yet, records included */
    uint64_t free_blocks[KC_FRAME_ORDERS]; /* maximal free blocks by order; fresh ones included */
    uint64_t alloc_count, free_count, fail_count; /* calls since init */
    uint64_t table_bytes;                         /* early memory that records and spans took */
    /*
     * Unusable free space: of the free frames, how many in a thousand lie in blocks too small for
     * a block of that order. 0 is no fragmentation; 0 also where nothing is free.
     */
    uint16_t frag_permille[KC_FRAME_ORDERS];
};

/* ---- life cycle ----------------------------------------------------------------------------- */

/**
 * Take over what early memory has left.
 *
 * f       zero or garbage; placed by the caller, reachable as long as the allocator lives
 * early   open; its free ranges become free frames, whole frames only; parts of a frame at the ends
 *         of a range stay unused. The records come out of early memory. Closed on success.
 * misuse  where misuse is reported; NULL as in kc_misuse_raise()
 *
 * RAM need not be zero. Time does not grow with the size of RAM, only with the number of ranges.
 *
 * Owner:   the allocator has the memory until kc_frames_fini()
 * Errors:  KC_ERR_ARG    f or early is NULL
 *          KC_ERR_NOMEM  no frame would be left over beside the records
 *          KC_ERR_RANGE  more than 2^32 - 1 records would be needed (about 16 TiB), or more than
 * the machine has pointers for KC_ERR_STATE  early is closed Cost:    O(ranges * 2^ORDER_MAX)
 * Context: one CPU, with the MMU as it will stay
 */
KC_NODISCARD kc_status_t kc_frames_init(struct kc_frames *f, struct kc_early *early,
                                        struct kc_misuse *misuse);

/**
 * End it. The memory is nobody's then; the records are not given back.
 *
 * Errors:  KC_ERR_STATE  frames are still allocated (misuse BUSY); nothing changed
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_frames_fini(struct kc_frames *f);

/* ---- blocks --------------------------------------------------------------------------------- */

/**
 * Allocate one block of 2^order frames, aligned to its size.
 *
 * order   0 to KC_FRAME_ORDER_MAX
 * flags   of KC_FRAME_ZERO, KC_FRAME_DMA32. Without DMA32, memory above 4 GiB is used first.
 * owner   1 to KC_FRAME_OWNER_COUNT - 1
 * out     physical address of the block; untouched on error
 *
 * Owner:   the caller, with one reference, until kc_frame_free() or the last kc_frame_put()
 * Errors:  KC_ERR_ARG    an unknown flag, or an owner out of range
 *          KC_ERR_RANGE  order is above KC_FRAME_ORDER_MAX
 *          KC_ERR_NOMEM  no free block is large enough now, or an injected fault
 * Cost:    at most ORDER_MAX splits; once for each 2^ORDER_MAX frames of RAM ever, also their
 * records are written. One lock hold. ZERO: beside that O(bytes), without the lock. Context: any,
 * interrupts included
 */
KC_NODISCARD kc_status_t kc_frame_alloc(struct kc_frames *f, uint32_t order, uint32_t flags,
                                        uint16_t owner, kc_pa_t *out);

/**
 * Give one block back, with the order it was allocated with.
 *
 * Errors (all are misuse, reported once; state is as before):
 *          KC_ERR_RANGE  FOREIGN: pa is no frame that this allocator hands out
 *          KC_ERR_STATE  DOUBLE_FREE: pa lies in a free block; BUSY: references beside the
 * caller's, or pins, are held KC_ERR_ALIGN  INTERIOR: pa lies in an allocated block, but is not its
 * first byte KC_ERR_PERM   WRONG_OWNER: the block is claimed (kc_frame_claim) KC_ERR_ARG
 * WRONG_SIZE: the block has another order Cost:    at most ORDER_MAX merges; one lock hold Context:
 * any, interrupts included
 */
kc_status_t kc_frame_free(struct kc_frames *f, kc_pa_t pa, uint32_t order);

/**
 * Allocate consecutive frames, exactly as many as asked for.
 *
 * count   frames, 1 to KC_FRAME_RUN_MAX
 * align   order of the alignment: the run starts at a multiple of 2^align frames, 0 to ORDER_MAX
 *
 * A run is the blocks of the binary digits of count, greatest first; what a power of two would have
 * had beyond it stays free. Each of them is a block of its own in kc_frame_info and for references.
 *
 * Owner:   the caller, until kc_frame_free_run() with the same count
 * Errors:  as kc_frame_alloc(); KC_ERR_RANGE also: count is 0 or above the limit, or align is
 * Cost:    O(ORDER_MAX) splits and as many returns; one lock hold
 * Context: any, interrupts included
 */
KC_NODISCARD kc_status_t kc_frame_alloc_run(struct kc_frames *f, uint32_t count, uint32_t align,
                                            uint32_t flags, uint16_t owner, kc_pa_t *out);

/**
 * Give a run back. All of its blocks are checked before the first is freed.
 *
 * Errors:  as kc_frame_free(); KC_ERR_RANGE also: count is 0 or above KC_FRAME_RUN_MAX (no misuse)
 */
kc_status_t kc_frame_free_run(struct kc_frames *f, kc_pa_t pa, uint32_t count);

/* ---- references and pins -------------------------------------------------------------------- */

/**
 * One more reference to the block whose first byte is pa.
 *
 * Errors:  KC_ERR_QUOTA  65535 are held
 *          others        as kc_frame_free() (misuse), but for WRONG_SIZE and BUSY
 * Cost:    O(log spans); one lock hold
 */
KC_NODISCARD kc_status_t kc_frame_get(struct kc_frames *f, kc_pa_t pa);

/**
 * One reference fewer. The last one frees the block, and *freed says whether it did.
 *
 * freed   may be NULL; untouched on error
 *
 * Errors:  as kc_frame_get(); KC_ERR_STATE (misuse BUSY) if it is the last and pins are held
 */
kc_status_t kc_frame_put(struct kc_frames *f, kc_pa_t pa, bool *freed);

/**
 * Pin the block: it cannot be freed until as many unpins. For memory that a device may touch.
 *
 * Errors:  as kc_frame_get(); kc_frame_unpin() without a pin: KC_ERR_STATE, misuse DOUBLE_FREE
 */
KC_NODISCARD kc_status_t kc_frame_pin(struct kc_frames *f, kc_pa_t pa);
kc_status_t kc_frame_unpin(struct kc_frames *f, kc_pa_t pa);

/* ---- for allocators that build on frames ---------------------------------------------------- */

/**
 * Claim an allocated block: from now until kc_frame_unclaim() it cannot be freed, referenced or
 * pinned by others, and its records carry what the claimer wants to find again from an address:
 * u.data and word of the first record, and u and word of each further one (kind is not theirs).
 *
 * pa, order  a block just allocated, with one reference and no pins (KC_CHECK)
 * data       what kc_frame_find() answers with; not 0 (KC_CHECK)
 *
 * Returns the first record; record i of the block is at [i]. The further ones are zero but for
 * kind. Cost:    one lock hold
 */
struct kc_frame *kc_frame_claim(struct kc_frames *f, kc_pa_t pa, uint32_t order, uint64_t data);

/** Undo it, clearing what the claimer wrote. The block is allocated as before the claim. */
void kc_frame_unclaim(struct kc_frames *f, kc_pa_t pa, uint32_t order);

/* What kc_frame_find() found. */
struct kc_frame_found {
    struct kc_frame *record; /* first record of the block */
    uint64_t data;           /* as claimed */
    kc_pa_t base;            /* first byte of the block */
    uint32_t order;
    uint16_t owner;
};

/**
 * The claimed block in which pa lies.
 *
 * Takes no lock and trusts nothing of pa: any value gives an answer. The answer stays true only
 * while the claimer, by its own lock, keeps the block from being unclaimed, so look again under
 * that lock.
 *
 * Returns false if pa lies in no claimed block.
 * Cost:    O(log spans), and as many loads as the order of the block
 */
KC_NODISCARD bool kc_frame_find(const struct kc_frames *f, kc_pa_t pa, struct kc_frame_found *out);

/** Physical address of record number index, and the record: links between blocks are indexes. */
kc_pa_t kc_frame_index_pa(const struct kc_frames *f, uint32_t index);
KC_INLINE struct kc_frame *kc_frame_at(const struct kc_frames *f, uint32_t index)
{
    return &f->table[index];
}
KC_INLINE uint32_t kc_frame_index(const struct kc_frames *f, const struct kc_frame *record)
{
    return (uint32_t)(record - f->table);
}

/**
 * Physical address of a pointer into RAM, for any pointer at all: of what points elsewhere it makes
 * an address outside RAM, and no two pointers give the same one. The seam's kc_plat_ram_pa() is
 * only for pointers that are known to be RAM's.
 */
KC_INLINE kc_pa_t kc_frame_ptr_pa(const struct kc_frames *f, const void *p)
{
    return kc_pa((uintptr_t)p - f->linear);
}

/* ---- queries -------------------------------------------------------------------------------- */

/** What is known of the block in which pa lies; FOREIGN if the allocator has no such frame. */
void kc_frame_info(struct kc_frames *f, kc_pa_t pa, struct kc_frame_info *out);

/** Owner of the frame at pa; KC_FRAME_OWNER_NONE where it is free or foreign. */
uint16_t kc_frame_owner_of(struct kc_frames *f, kc_pa_t pa);

/** Frames that the owner holds now; 0 for an owner out of range. */
uint64_t kc_frame_owner_frames(struct kc_frames *f, uint16_t owner);

/** Name of a built-in owner for people, static storage; "other" for the rest. */
const char *kc_frame_owner_name(uint16_t owner);

/** One consistent snapshot of the counts. Cost: O(1); one lock hold. */
void kc_frame_stats(struct kc_frames *f, struct kc_frame_stats *out);

/**
 * The allocated blocks in ascending order of address.
 *
 * cursor   0 to begin; else as the last call left it
 *
 * Returns false when there are no more. A block allocated or freed between two calls may be missed.
 * Cost:    over a whole pass O(frames ever touched); one lock hold a call
 */
KC_NODISCARD bool kc_frame_next_used(struct kc_frames *f, uint64_t *cursor,
                                     struct kc_frame_info *out);

/**
 * Fault injection for tests: n allocations from now still succeed, the `times` after them fail as
 * if memory were exhausted. kc_frames_fail_after(f, n) fails one. UINT64_MAX as n ends it.
 */
void kc_frames_fail_after(struct kc_frames *f, uint64_t n);
void kc_frames_fail_run(struct kc_frames *f, uint64_t n, uint64_t times);

/* ---- check ---------------------------------------------------------------------------------- */

/* Where a validator found the first broken invariant: its number in the theory comment. */
struct kc_frame_fault {
    uint32_t invariant;
    uint32_t index; /* record concerned */
    uint64_t expected, found;
};

/**
 * Walk everything and judge every invariant of src/mem/frame.c.
 *
 * where   may be NULL; written if something is broken
 *
 * Errors:  KC_ERR_CORRUPT  an invariant is broken
 * Cost:    O(frames ever touched); holds the lock meanwhile
 */
KC_NODISCARD kc_status_t kc_frames_check(struct kc_frames *f, struct kc_frame_fault *where);

KC_EXTERN_C_END

#endif
