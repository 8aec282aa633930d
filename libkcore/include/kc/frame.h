/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/frame.h: page frames of physical memory.
 *
 * A binary buddy allocator over all memory that the early allocator had left, with one record of
 * 16 bytes for each frame: who owns it, references, pins. Blocks are 2^order frames, aligned to
 * their size in the physical address space; runs are any number of frames. Records are written for
 * the first time when their stretch of memory is first needed, so that the cost of starting does
 * not grow with the size of RAM. Memory can be added later (kc_frames_add).
 *
 * Memory is in *zones* by the highest address bit of its frames, so that an allocation may say how
 * many address bits its user has (KC_FRAME_BELOW) and pays no search for it. When memory runs
 * short, whoever has some to spare is asked (*reclaimers*), by *marks* that the embedder sets.
 *
 * Single frames may be served by *lists of CPUs* (kc_frames_set_cpus()): an allocation pops and a
 * free pushes, without lock and without atomic read-modify-write, as in kc/mag.h; a few frames move
 * between a list and the zones at once, under the lock. Without lists, which is the default and
 * always so at hardening full, every call takes the lock, and which frame comes next depends on
 * nothing but the order of calls: the deterministic mode. A *stock* of frames that are zero already
 * is filled when there is time (kc_frames_prezero()).
 *
 * It is not an allocator for small objects (kc/cache.h, kc/heap.h), and it maps nothing.
 */
#ifndef KC_FRAME_H
#define KC_FRAME_H

#include <kc/early.h>
#include <kc/list.h>
#include <kc/mag.h>

KC_EXTERN_C_BEGIN

#define KC_FRAME_LOG2       12u
#define KC_FRAME_BYTES      (1u << KC_FRAME_LOG2)
#define KC_FRAME_ORDER_MAX  10u /* greatest block: 2^10 frames, 4 MiB */
#define KC_FRAME_ORDERS     (KC_FRAME_ORDER_MAX + 1u)
#define KC_FRAME_RUN_MAX    (1u << KC_FRAME_ORDER_MAX) /* greatest run, in frames */

#define KC_FRAME_CPU_FRAMES 32u /* frames in the list of a CPU, at most */
#define KC_FRAME_CPU_MOVE   8u  /* that move between a list and the zones at once */
/* Published bound: no CPU keeps more free frames from the others. */
#define KC_FRAME_CPU_KEEPS KC_FRAME_CPU_FRAMES
#define KC_FRAME_STOCK_MAX 32u /* zero frames kept ready, at most */

/* Flags of an allocation. */
#define KC_FRAME_ZERO       0x1u /* contents are zero; else they are undefined */
#define KC_FRAME_NO_RECLAIM 0x2u /* fail rather than ask the reclaimers */
#define KC_FRAME_URGENT     0x4u /* may use what the mark `min` keeps from others */
/*
 * Every byte lies below 2^bits: KC_FRAME_BITS_MIN or more; 52 and more (to 255) are no limit. At
 * most one of these in the flags of an allocation.
 */
#define KC_FRAME_BELOW(bits) ((uint32_t)(bits) << 8)
#define KC_FRAME_BELOW_ANY   KC_FRAME_BELOW(255) /* all bits of such a flag */
#define KC_FRAME_DMA32       KC_FRAME_BELOW(32)
#define KC_FRAME_BITS_MIN    24u

/** True for flags that say where memory lies and nothing else: what caches and heaps pass on. */
KC_INLINE bool kc_frame_is_place(uint32_t flags)
{
    return (flags & ~KC_FRAME_BELOW_ANY) == 0 &&
           (flags == 0 || flags >= KC_FRAME_BELOW(KC_FRAME_BITS_MIN));
}

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
    KC_FRAME_OWNER_BAD, /* found written to while free (hardening full): out of use for good */
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
    uint32_t word; /* USED: references (low half) and pins (high half); CLAIMED: the claimer's, who
                      stores it atomically: anybody may ask about any frame meanwhile */
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
    uint32_t zone;
    uint32_t unused;
    struct kc_frame *first; /* record of the first */
};

/* Head of a list of all spans; the rest is in src/mem/frame_priv.h. Private. */
struct kc_frame_map {
    uint32_t span_count;
    uint32_t span_max;          /* room for so many */
    uint32_t known_count;       /* ranges of RAM that were ever known */
    struct kc_frame_span *main; /* the greatest span */
};

/* What lookups try first: the span that was the greatest at the start, counted from 0. Private. */
struct kc_frame_front {
    struct kc_frame *record; /* of frame 0 */
    uint64_t pfn;            /* of frame 0 */
    uint32_t fresh;          /* atomic; as in the span */
    uint32_t fresh_end;
    uint32_t count;
    uint32_t index; /* of the record of frame 0 */
};

struct kc_frame_zone; /* lists of free blocks and their counts; private to src/mem/frame*.c */

/* Zone 0: below 2^KC_FRAME_BITS_MIN; zone z: where the highest address bit is BITS_MIN + z - 1. */
#define KC_FRAME_ZONES (52u - KC_FRAME_BITS_MIN + 1u)

/* Records in a bank, and banks: memory that is added brings records of its own. Private. */
#define KC_FRAME_BANK_LOG2 26u /* of 256 GiB of RAM */
#define KC_FRAME_BANKS     64u
struct kc_frame_bank {
    struct kc_frame *first;
    uint64_t count;
};

/* A free frame in the list of a CPU. Private. */
struct kc_frame_entry {
    uint64_t pfn;
    uint32_t index;
    uint32_t owner; /* the last one */
};

/*
 * What one CPU has: its list, and what it counted without the lock. Placed by the caller, private
 * member by member.
 */
struct kc_frame_cpu {
    struct kc_mag mag;
    uint32_t word; /* in the records of its frames (src/mem/frame_priv.h) */
    uint32_t unused;
    size_t allocs, frees; /* atomic, relaxed, as are the owners: written by its CPU alone */
    struct kc_frame_entry entry[KC_FRAME_CPU_FRAMES];
    uint32_t owner[KC_FRAME_OWNER_COUNT]; /* to be added to owner_frames, modulo 2^32 */
} __attribute__((aligned(KC_LINE_BYTES)));

/* Marks, in frames. All zero: no memory is kept back. Frames that CPUs or the stock keep count as
 * if they were not free. */
struct kc_frame_marks {
    uint64_t min;  /* free frames that only KC_FRAME_URGENT may use */
    uint64_t low;  /* with fewer free, kc_frames_balance() has work; min or more */
    uint64_t high; /* and works until so many are; low or more */
    /*
     * Memory below 4 GiB is for those who can use no other: a request that could also be met from
     * zones above (of which it may use A frames in all) leaves A >> keep_log2 frames of a zone
     * there free. 0: it may use all; else up to 63.
     */
    uint32_t keep_log2;
    uint32_t unused;
};

/*
 * Somebody who can give frames back. The first three members are the embedder's, the rest private;
 * placed by the embedder, zero or garbage beyond those three.
 */
struct kc_frame_reclaimer {
    const char *name; /* static storage */
    /*
     * Give back about `frames` frames, more or fewer, and say how many went. Called without the
     * frames' lock, in the context of an allocation that found no memory or of a call of
     * kc_frames_reclaim(). It may free, may allocate (that does not reclaim again), and may take
     * locks of a rank below KC_RANK_TRACK: whoever holds such a lock allocates with NO_RECLAIM.
     * Bounded; two CPUs may be in it at once.
     */
    uint64_t (*reclaim)(void *context, uint64_t frames);
    void *context;
    struct kc_list link;
    uint32_t busy; /* CPUs in it */
    uint64_t calls, frames;
};

/* The allocator. Placed by the caller, about 2 KiB, private member by member. Does not move. */
struct kc_frames {
    uintptr_t linear; /* pointer minus physical address, the same for all RAM */
    struct kc_frame_front front;
    struct kc_lock lock;
    struct kc_misuse *misuse;
    struct kc_frame_map *map; /* atomic: another one when memory is added */
    struct kc_frame_map empty KC_ALIGNED(8);
    struct kc_frame_span none; /* of that map: behind it, as in every map; it has no frames */
    struct kc_frame *table;    /* records of the memory that was there at first */
    uint64_t table_count;
    uint64_t record_count; /* indexes are below this */
    uint64_t frame_count;  /* frames that it hands out, free or not */
    uint64_t free_frames;
    uint32_t zones; /* bit z: there is a zone z */
    uint32_t bank_count;
    struct kc_frame_zone *zone[KC_FRAME_ZONES];
    struct kc_frame_bank bank[KC_FRAME_BANKS];
    uint64_t table_bytes; /* what records and spans took of memory */
    uint64_t owner_frames[KC_FRAME_OWNER_COUNT];
    uint64_t alloc_count, free_count, fail_count; /* blocks and runs since init */
    uint64_t peak_frames;                         /* most frames allocated at a time */
    uint64_t fail_after; /* fault injection: allocations that still succeed, or UINT64_MAX */
    uint64_t fail_times; /* and how many then fail */
    struct kc_frame_marks marks;
    struct kc_frame_cpu *cpu; /* lists of CPUs 0 to cpu_count - 1 */
    uint32_t cpu_count;
    uint32_t list_zones;  /* atomic: zones whose frames may be in lists */
    uint32_t faulty;      /* atomic: fail_after is in use, so that all allocations take the lock */
    uint32_t stock;       /* first frame of the stock, by index */
    uint32_t stock_count; /* atomic: peeked at */
    uint32_t zeroing;     /* frames on their way into the stock */
    struct kc_list reclaimers; /* in the order in which they are asked */
    uint32_t reclaiming;       /* atomic: bit of each CPU that asks them now */
    uint32_t deaf;             /* bit of each CPU whose next call gets nothing: an injected fault */
    uint64_t reclaim_count, reclaimed_frames;
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
    uint64_t peak_frames;  /* most used at a time; here what CPUs keep counts as used */
    uint64_t fresh_frames; /* of the free: never touched yet, records included */
    uint64_t free_blocks[KC_FRAME_ORDERS]; /* maximal free blocks by order; fresh ones included */
    uint64_t alloc_count, free_count, fail_count; /* calls since init */
    uint64_t table_bytes;                         /* memory that records and spans took */
    uint64_t bad_frames;                          /* out of use: see KC_FRAME_OWNER_BAD */
    uint64_t kept_frames;                         /* of the free: in lists of CPUs */
    uint64_t stock_frames;                        /* of the free: zero already */
    uint64_t reclaim_count, reclaimed_frames;     /* times that reclaimers were asked; what came */
    struct kc_frame_marks marks;
    /*
     * Unusable free space: of the free frames, how many in a thousand lie in blocks too small for
     * a block of that order. 0 is no fragmentation; 0 also where nothing is free.
     */
    uint16_t frag_permille[KC_FRAME_ORDERS];
};

/* What one zone did and does with blocks of one order. */
struct kc_frame_order_stats {
    uint64_t free_blocks; /* maximal ones; fresh ones included */
    uint64_t splits;      /* of a block of this order, in two */
    uint64_t merges;      /* of two blocks of this order, into one */
    uint64_t allocs; /* requests that a block of this order met; a run needs the next power. With
                        lists of CPUs, order 0: frames that moved into a list, or past it */
    uint64_t fails;  /* requests that failed, and might have used this zone before others */
    uint16_t unusable_permille; /* as in struct kc_frame_stats, of the zone's free frames */
    /*
     * Why a request of this order would fail here: towards 0 for want of memory, towards 1000
     * because what is free lies in pieces; -1000 where it would not fail.
     */
    int16_t frag_index;
};

struct kc_frame_zone_stats {
    uint32_t bits;   /* every byte of the zone lies below 2^bits */
    int32_t largest; /* order of the largest free block; -1: nothing is free */
    uint64_t frame_count, free_frames, fresh_frames; /* free: not those in lists or in the stock */
    struct kc_frame_order_stats order[KC_FRAME_ORDERS];
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
 *                        the machine has pointers for
 *          KC_ERR_STATE  early is closed
 * Cost:    O(ranges * 2^ORDER_MAX); at hardening full also O(bytes) of the ends of ranges
 * Context: one CPU, with the MMU as it will stay
 */
KC_NODISCARD kc_status_t kc_frames_init(struct kc_frames *f, struct kc_early *early,
                                        struct kc_misuse *misuse);

/**
 * Make one of a range alone, without early memory: several allocators may be side by side.
 *
 * base, bytes  as for kc_frames_add(): no other allocator's, which nobody but the caller can know
 *
 * Errors:  KC_ERR_ARG    f is NULL, or bytes is 0
 *          others        as kc_frames_add(); EXISTS and QUOTA do not occur below 16 TiB
 * Cost:    O(2^ORDER_MAX), at hardening full also O(bytes) of the ends
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_frames_init_range(struct kc_frames *f, kc_pa_t base, uint64_t bytes,
                                              struct kc_misuse *misuse);

/**
 * Memory that came after the start, as of now the allocator's.
 *
 * base, bytes  whole frames; RAM that is mapped where kc_plat_ram() says, as all RAM is. Its
 *              records come out of it, from its beginning; contents need not be zero.
 *
 * Lookups without the lock (kc_frame_find) go on meanwhile.
 *
 * Errors:  KC_ERR_ARG     bytes is 0
 *          KC_ERR_ALIGN   base or bytes is no multiple of KC_FRAME_BYTES
 *          KC_ERR_RANGE   it wraps, reaches KC_EARLY_PA_LIMIT, or has no linear address
 *          KC_ERR_EXISTS  some byte of it was RAM already: the boot map's, or added before
 *          KC_ERR_NOMEM   no frame would be left over beside the records
 *          KC_ERR_QUOTA   KC_FRAME_BANKS are used: each 256 GiB, or part of it, of the memory at
 *                         first and of each addition takes one
 * Cost:    O(spans + 2^ORDER_MAX) and, at hardening full, O(bytes) of the ends; one lock hold
 * Context: any CPU, after kc_frames_init()
 */
KC_NODISCARD kc_status_t kc_frames_add(struct kc_frames *f, kc_pa_t base, uint64_t bytes);

/**
 * End it. The memory is nobody's then; the records are not given back. Frames that are out of use
 * (KC_FRAME_OWNER_BAD) do not count as allocated; reclaimers and lists of CPUs are forgotten.
 *
 * Errors:  KC_ERR_STATE  frames are still allocated (misuse BUSY); nothing changed
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_frames_fini(struct kc_frames *f);

/* ---- lists of CPUs, and the stock of zero frames -------------------------------------------- */

/**
 * Give CPUs 0 to count - 1 a list each, in place of those they had, which are drained.
 *
 * lists   count of them, zero or garbage, aligned to KC_LINE_BYTES; NULL where count is 0
 * count   0 to KC_CPUS_MAX; 0: no CPU has a list. At hardening full none has, whatever count is.
 *
 * Frames below 4 GiB are in no list where there is memory above: they are for those who can use no
 * other. So are blocks of more than one frame, and frames that are freed as a run.
 *
 * What a CPU keeps is not asked for by others: an allocation may fail while up to
 * KC_FRAME_CPU_KEEPS frames are in the list of each other CPU. Its own list and the stock it uses
 * up before it asks a reclaimer. An embedder for whom that matters adds a reclaimer that makes its
 * CPUs drain.
 *
 * Owner:   lists are the allocator's until the next call, or kc_frames_fini()
 * Errors:  KC_ERR_ARG    f is NULL, or lists is NULL and count is not 0
 *          KC_ERR_ALIGN  lists is not aligned
 *          KC_ERR_RANGE  count is above KC_CPUS_MAX
 * Cost:    O(CPUs * KC_FRAME_CPU_KEEPS * ORDER_MAX)
 * Context: nobody else uses the allocator meanwhile
 */
KC_NODISCARD kc_status_t kc_frames_set_cpus(struct kc_frames *f, struct kc_frame_cpu *lists,
                                            uint32_t count);

/**
 * Bring what a CPU keeps back to the zones, where it merges.
 *
 * cpu      any number; one without a list keeps nothing
 *
 * Returns the number of frames that came back.
 * Cost:    at most KC_FRAME_CPU_KEEPS * ORDER_MAX merges; one lock hold
 * Context: on that CPU, and it stays there; or on another when that CPU is off and was seen to be
 */
uint32_t kc_frames_drain(struct kc_frames *f, uint32_t cpu);

/**
 * Make up to so many free frames zero and keep them ready for KC_FRAME_ZERO of order 0, which is
 * O(1) as long as there are any. For idle loops. The stock takes no frame below the mark `low`, and
 * goes back when memory is short. At hardening full there is none: free frames hold the pattern.
 *
 * Returns how many: fewer than `frames` if KC_FRAME_STOCK_MAX are ready, or memory is short.
 * Cost:    KC_FRAME_BYTES of writing a frame, without the lock; two lock holds a frame
 * Context: any
 */
uint32_t kc_frames_prezero(struct kc_frames *f, uint32_t frames);

/* ---- blocks --------------------------------------------------------------------------------- */

/**
 * Allocate one block of 2^order frames, aligned to its size.
 *
 * order   0 to KC_FRAME_ORDER_MAX
 * flags   of KC_FRAME_ZERO, NO_RECLAIM, URGENT and one KC_FRAME_BELOW(). The highest memory that is
 *         allowed is used first.
 * owner   1 to KC_FRAME_OWNER_COUNT - 1, but not KC_FRAME_OWNER_BAD
 * out     physical address of the block; untouched on error
 *
 * At hardening full every free frame holds a pattern, and a block whose frames lost it is not
 * handed out: those frames are reported as misuse (CORRUPT), go to KC_FRAME_OWNER_BAD, and another
 * block is taken.
 *
 * Owner:   the caller, with one reference, until kc_frame_free() or the last kc_frame_put()
 * Errors:  KC_ERR_ARG    an unknown flag, or an owner out of range
 *          KC_ERR_RANGE  order is above KC_FRAME_ORDER_MAX, or KC_FRAME_BELOW() of fewer than
 *                        KC_FRAME_BITS_MIN bits
 *          KC_ERR_NOMEM  no free block that it may use is large enough (kc_frames_set_marks()), and
 *                        reclaimers, asked once, could not help; or an injected fault
 * Cost:    at most ORDER_MAX splits; once for each 2^ORDER_MAX frames of RAM ever, also their
 *          records are written. One lock hold. ZERO, and hardening full: beside that O(bytes),
 *          without the lock. If memory is short: what the reclaimers cost, and a second attempt.
 *          Order 0 with a list: no lock and O(1), but once in KC_FRAME_CPU_MOVE at most a lock hold
 *          in which so many frames are taken
 * Context: any, interrupts included; not with a lock held that a reclaimer takes, but with
 *          NO_RECLAIM
 */
KC_NODISCARD kc_status_t kc_frame_alloc(struct kc_frames *f, uint32_t order, uint32_t flags,
                                        uint16_t owner, kc_pa_t *out);

/**
 * Give one block back, with the order it was allocated with.
 *
 * Errors (all are misuse, reported once, with the owner where there is or was one; state is as
 * before):
 *          KC_ERR_RANGE  FOREIGN: pa is no frame that this allocator hands out
 *          KC_ERR_STATE  DOUBLE_FREE: pa lies in a free block; BUSY: references beside the
 *                        caller's, or pins, are held
 *          KC_ERR_ALIGN  INTERIOR: pa lies in an allocated block, but is not its first byte
 *          KC_ERR_PERM   WRONG_OWNER: the block is claimed (kc_frame_claim), or out of use
 *          KC_ERR_ARG    WRONG_SIZE: the block has another order
 * Cost:    at most ORDER_MAX merges; one lock hold. Hardening full: a second one, and O(bytes)
 *          without the lock. Order 0 with a list: O(log spans), no lock, but once in
 *          KC_FRAME_CPU_MOVE at most one hold in which so many frames merge. Two wrong frees of a
 *          frame at the same instant on two CPUs may both be accepted then; it is reported
 *          (DOUBLE_FREE) when the second entry comes up, and handed out once
 * Context: any, interrupts included
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

/**
 * Make a run longer or shorter where it is.
 *
 * pa, count   the run, from kc_frame_alloc_run() or as this left it
 * new_count   frames that it shall have, 1 to KC_FRAME_RUN_MAX. Fewer: the last ones are freed.
 * More: the frames behind it are taken, if they are free; nobody is asked to give them back. flags
 * as for kc_frame_alloc_run(), the new frames alone being meant by ZERO
 *
 * Owner:   as before, of the new count; freed with that
 * Errors:  KC_ERR_ARG    an unknown flag
 *          KC_ERR_RANGE  a count is 0 or above the limit, or KC_FRAME_BELOW() of too few bits; and
 *                        FOREIGN
 *          KC_ERR_PERM   WRONG_OWNER also: the run's blocks have several owners
 *          KC_ERR_NOMEM  more was asked for, and the frames behind are not free, or kept back by
 *                        marks, or of memory never used before; the run does not start at a
 *                        multiple of the greatest power of two in new_count; or an injected fault
 *          others        as kc_frame_free() (misuse)
 * Cost:    O(ORDER_MAX) blocks taken, cut or merged; one lock hold. ZERO, and hardening full:
 *          beside that O(bytes that come or go), without the lock, which is then held twice
 * Context: any, interrupts included
 */
kc_status_t kc_frame_resize_run(struct kc_frames *f, kc_pa_t pa, uint32_t count, uint32_t new_count,
                                uint32_t flags);

/* ---- references and pins -------------------------------------------------------------------- */

/**
 * One more reference to the block whose first byte is pa. Here as for a pin, the caller holds one
 * or knows who does: with lists of CPUs, a free on another CPU does not wait for it.
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
 * kind.
 * Cost:    O(frames of the block); one lock hold
 */
struct kc_frame *kc_frame_claim(struct kc_frames *f, kc_pa_t pa, uint32_t order, uint64_t data);

/** Undo it, clearing what the claimer wrote. The block is allocated as before the claim. */
void kc_frame_unclaim(struct kc_frames *f, kc_pa_t pa, uint32_t order);

/* What kc_frame_find() found. */
struct kc_frame_found {
    struct kc_frame *record; /* first record of the block */
    uint64_t data;           /* as claimed */
    kc_pa_t base;            /* first byte of the block */
    uint64_t offset;         /* bytes from there to the address asked for */
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
 * Cost:    O(1) in the greatest span, else O(log spans)
 */
KC_NODISCARD bool kc_frame_find(const struct kc_frames *f, kc_pa_t pa, struct kc_frame_found *out);

/** Physical address of record number index, and the record: links between blocks are indexes. */
kc_pa_t kc_frame_index_pa(const struct kc_frames *f, uint32_t index);
KC_INLINE struct kc_frame *kc_frame_at(const struct kc_frames *f, uint32_t index)
{
    const struct kc_frame_bank *bank = &f->bank[index >> KC_FRAME_BANK_LOG2];
    return &bank->first[index & ((1u << KC_FRAME_BANK_LOG2) - 1)];
}

/** Number of a record; private to what follows. */
uint32_t kc_frame_index_added(const struct kc_frames *f, const struct kc_frame *record);
KC_INLINE uint32_t kc_frame_index(const struct kc_frames *f, const struct kc_frame *record)
{
    uintptr_t offset = (uintptr_t)record - (uintptr_t)f->table;
    if (KC_LIKELY(offset / sizeof(struct kc_frame) < f->table_count)) {
        return (uint32_t)(offset / sizeof(struct kc_frame));
    }
    return kc_frame_index_added(f, record);
}

/**
 * Physical address of a pointer into RAM, for any pointer at all: of what points elsewhere it makes
 * an address outside RAM, and no two pointers give the same one. The seam's kc_plat_ram_pa() is
 * only for pointers that are known to be RAM's.
 */
KC_INLINE kc_pa_t kc_frame_ptr_pa(const struct kc_frames *f, const void *p)
{
#if KC_HARDENING >= KC_HARDENING_TAGGED
    p = kc_plat_tag_with(p, 0);
#endif
    return kc_pa((uintptr_t)p - f->linear);
}

/* ---- when memory is short ------------------------------------------------------------------- */

/**
 * Say how much memory to keep back. After kc_frames_init() nothing is.
 *
 * Errors:  KC_ERR_ARG    f or marks is NULL
 *          KC_ERR_RANGE  not min <= low <= high <= all frames, or keep_log2 above 63
 */
KC_NODISCARD kc_status_t kc_frames_set_marks(struct kc_frames *f,
                                             const struct kc_frame_marks *marks);

/**
 * Add a reclaimer, to be asked after those that are there already: cheap ones first.
 *
 * Owner:   r stays where it is until kc_frames_reclaimer_remove() or kc_frames_fini()
 * Errors:  KC_ERR_ARG     f, r or r->reclaim is NULL
 *          KC_ERR_EXISTS  it is there already
 * Cost:    O(reclaimers); one lock hold
 */
KC_NODISCARD kc_status_t kc_frames_reclaimer_add(struct kc_frames *f, struct kc_frame_reclaimer *r);

/**
 * Take one out. When it answers, no CPU is in it or will be.
 *
 * Errors:  KC_ERR_ABSENT  it is not there
 *          KC_ERR_STATE   a CPU is in it, and this is called from a reclaimer: nobody may
 *                         wait there
 * Cost:    O(reclaimers), and the wait until others have left it
 * Context: without a lock that it takes
 */
kc_status_t kc_frames_reclaimer_remove(struct kc_frames *f, struct kc_frame_reclaimer *r);

/**
 * Ask the reclaimers, each at most once, until so many frames came back.
 *
 * Returns what they said came back; 0 also where this CPU is asking them already (a reclaimer that
 * allocates, an interrupt).
 * Context: as kc_frame_alloc() without NO_RECLAIM
 */
uint64_t kc_frames_reclaim(struct kc_frames *f, uint64_t frames);

/**
 * If fewer frames than the mark `low` are free, reclaim until `high` are. For idle loops and other
 * places where time is cheap, so that allocations need not wait for it.
 *
 * Returns as kc_frames_reclaim(); 0 where enough is free.
 */
uint64_t kc_frames_balance(struct kc_frames *f);

/* ---- queries -------------------------------------------------------------------------------- */

/** What is known of the block in which pa lies; FOREIGN if the allocator has no such frame. */
void kc_frame_info(struct kc_frames *f, kc_pa_t pa, struct kc_frame_info *out);

/** Owner of the frame at pa; KC_FRAME_OWNER_NONE where it is free or foreign. */
uint16_t kc_frame_owner_of(struct kc_frames *f, kc_pa_t pa);

/**
 * Frames that the owner holds now; 0 for an owner out of range. With lists, of what other CPUs do
 * meanwhile some may be counted and some not, here as in kc_frame_stats().
 */
uint64_t kc_frame_owner_frames(struct kc_frames *f, uint16_t owner);

/** Name of a built-in owner for people, static storage; "other" for the rest. */
const char *kc_frame_owner_name(uint16_t owner);

/**
 * One consistent snapshot of the counts, but for what other CPUs do with their lists meanwhile. On
 * a 32-bit machine the counts of calls of each CPU's list are modulo 2^32.
 *
 * Cost: O(zones + CPUs); one lock hold.
 */
void kc_frame_stats(struct kc_frames *f, struct kc_frame_stats *out);

/**
 * The zones that have memory, in ascending order of address, each as one consistent snapshot.
 *
 * cursor   0 to begin; else as the last call left it
 *
 * Returns false when there are no more, *out untouched.
 * Cost:    O(1); one lock hold
 */
KC_NODISCARD bool kc_frame_next_zone(struct kc_frames *f, uint32_t *cursor,
                                     struct kc_frame_zone_stats *out);

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
 * if memory were exhausted and no reclaimer could help: if such a one said NO_RECLAIM, the next
 * kc_frames_reclaim() on its CPU brings nothing. kc_frames_fail_after(f, n) fails one. UINT64_MAX
 * as n ends it.
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
 * Context: with lists of CPUs, nobody allocates or frees meanwhile
 */
KC_NODISCARD kc_status_t kc_frames_check(struct kc_frames *f, struct kc_frame_fault *where);

KC_EXTERN_C_END

#endif
