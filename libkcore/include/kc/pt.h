/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/pt.h: translation tables: map, unmap, protect, split, join, walk.
 *
 * One struct kc_pt is one tree of tables for one half of an address space. It takes input addresses
 * (kc_ia_t); who owns the space makes them from its own kind. Table memory is reached by physical
 * address and through kc_plat_desc_load(), _store(), _fill() alone, so the same code runs before
 * the MMU is on and after.
 *
 * All or nothing: an operation that returns an error has changed no descriptor. Every table page is
 * obtained and checked before the first live store.
 *
 * Order: on a tree that is *live* (kc_pt_set_live()) each operation leaves it with every store
 * visible to all walkers, every stale translation invalidated on all CPUs of the inner shareable
 * domain, and this CPU synchronised: on return the change is in effect everywhere. Valid
 * descriptors are replaced by break-before-make unless kc/a64/change.h calls the change safe while
 * live; a table page is handed back only after the DSB that completes its invalidation.
 *
 * During a break the old translation is gone for a moment: the caller sees to it that no CPU needs
 * the affected range meanwhile (its own code, stack and data, and this struct, among them). Which
 * operations break is stated at each.
 *
 * Two modes. *Solo*: initialised with a source of early memory; one CPU, no lock (before the MMU is
 * on there is no memory on which exclusives are guaranteed to work). *Shared*: from
 * kc_pt_set_source() to frames on, or initialised so; each operation takes the tree's lock (rank
 * KC_RANK_PT) and announced it with KC_NOTE_PT_LOCK.
 *
 * The memory policy is write-xor-execute: a request for both is refused with KC_ERR_PERM.
 */
#ifndef KC_PT_H
#define KC_PT_H

#include <kc/a64/access.h>
#include <kc/a64/change.h>
#include <kc/a64/desc.h>
#include <kc/a64/regs.h>
#include <kc/a64/tlbi.h>
#include <kc/lock.h>

KC_EXTERN_C_BEGIN

struct kc_early;
struct kc_frames;

/* ---- attributes ----------------------------------------------------------------------------- */

/* Permissions. Every mapping is readable by EL1; KC_PT_USER gives EL0 the same (and makes KC_PT_X
   mean EL0: EL1 never executes what EL0 can reach). */
#define KC_PT_R    0x1u
#define KC_PT_W    0x2u
#define KC_PT_X    0x4u
#define KC_PT_USER 0x8u

/* What a mapping allows. A value. */
struct kc_pt_attr {
    uint8_t perm; /* KC_PT_R, or with W or X or neither; with USER or without */
    uint8_t type; /* enum kc_a64_mem: NORMAL, NORMAL_NC, DEVICE_nGnRE, DEVICE_nGnRnE */
    bool global;  /* translates under every ASID */
};

/** Attributes in one expression: kc_pt_attr(KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL, true). */
KC_INLINE struct kc_pt_attr kc_pt_attr(uint32_t perm, enum kc_a64_mem type, bool global)
{
    struct kc_pt_attr a = {(uint8_t)perm, (uint8_t)type, global};
    return a;
}

/* ---- a tree --------------------------------------------------------------------------------- */

/* Where table pages come from: exactly one of the two. */
struct kc_pt_source {
    struct kc_early *early;
    struct kc_frames *frames;
};

/* Up to this many last-level invalidations are issued one by one; beyond, ranges or the ASID. */
#define KC_PT_TLBI_MAX 64u

struct kc_pt_config {
    struct kc_a64_format format;
    struct kc_pt_source source;
    uint32_t asid;      /* ASID that not-global entries live under; ignored if any_asid */
    bool any_asid;      /* invalidate for all ASIDs: kernel halves and identity maps */
    uint32_t level_min; /* first level that may hold a leaf: 1 allows 1 GiB blocks, 2 only 2 MiB,
                           3 only pages; 0 means 1. What changes while in use is best in pages */
};

/* Private member by member; placed by the caller. Holds no pointer but those in source. */
struct kc_pt {
    struct kc_lock lock;
    struct kc_a64_format format;
    struct kc_pt_source source;
    kc_pa_t root;
    uint64_t spare; /* chain of table pages from early memory that are not in use */
    uint32_t spare_count;
    uint32_t table_count; /* pages in the tree, the root included */
    uint32_t asid;
    uint32_t level_min;
    bool any_asid;
    bool live;
    bool shared;
    bool root_early; /* the root came from early memory */
    bool ready;
};

/**
 * Make an empty tree: one zeroed root table, not live.
 *
 * pt       storage of the caller's
 * config   copied; source holds exactly one of early, frames
 *
 * Owner:   the tree owns its table pages (owner id KC_FRAME_OWNER_TABLE) until kc_pt_fini()
 * Errors:  KC_ERR_ARG    source has none or both, level_min above 3, bad format
 *          KC_ERR_RANGE  asid exceeds the ASID size of the format
 *          KC_ERR_UNSUPPORTED  format not encoded by this version
 *          KC_ERR_NOMEM  no page for the root (KC_ERR_STATE of a closed early allocator is passed
 *                        on)
 * Context: before the MMU too, with a source of early memory
 */
KC_NODISCARD kc_status_t kc_pt_init(struct kc_pt *pt, const struct kc_pt_config *config);

/**
 * Go over to frames as the source, and to shared mode. For once, after the MMU is on.
 *
 * Pages that came from early memory stay in the tree; those that become free are kept for reuse.
 *
 * Errors:  KC_ERR_ARG    source->frames is NULL or source->early is not
 *          KC_ERR_STATE  the source is frames already
 * Context: one CPU; none else may use pt before it returns
 */
KC_NODISCARD kc_status_t kc_pt_set_source(struct kc_pt *pt, const struct kc_pt_source *source);

/**
 * From now on a walker may use the tree: to be called before its root goes into a TTBR.
 *
 * Executes DSB ISHST, so that a walk that starts after the TTBR write finds every descriptor.
 * Cannot be undone: once in a TTBR a tree is never known to be out of every TLB but by
 * invalidation.
 */
void kc_pt_set_live(struct kc_pt *pt);

/** Physical address of the root table, for kc_a64_ttbr(). */
kc_pa_t kc_pt_root(const struct kc_pt *pt);

/** Format of the tree. */
const struct kc_a64_format *kc_pt_format(const struct kc_pt *pt);

/** Change the ASID under which later invalidations are issued. Context: any; one lock hold. */
void kc_pt_set_asid(struct kc_pt *pt, uint32_t asid);

/**
 * Give every table page back. What is mapped is simply forgotten.
 *
 * On a live tree: no TTBR of any CPU may hold the root any more (the caller's duty). Invalidates
 * the whole ASID (everything, if any_asid), completes that, and only then frees the pages. Pages
 * from early memory stay with the early allocator, which takes nothing back.
 *
 * Errors:  KC_ERR_STATE  not initialised, or finished already
 * Cost:    O(tables); one lock hold
 */
KC_NODISCARD kc_status_t kc_pt_fini(struct kc_pt *pt);

/* ---- changes -------------------------------------------------------------------------------- */

/*
 * Common to the operations below:
 *
 * ia, bytes   the range; multiples of the granule (of the block, where stated), inside the half
 *
 * Errors, in the order in which they are looked for:
 *          KC_ERR_STATE  pt is not initialised
 *          KC_ERR_ARG    bytes is 0; attr has unknown bits, lacks R, or an unknown type; a global
 *                        mapping for EL0, or in a tree of one ASID (which could not be
 *                        invalidated by that ASID)
 *          KC_ERR_PERM   attr asks for W and X, or for X of a Device type
 *          KC_ERR_ALIGN  ia, pa or bytes is not a multiple of the granule
 *          KC_ERR_RANGE  the range wraps, leaves the half, or pa leaves pa_bits
 *          KC_ERR_CORRUPT  the walk met a descriptor this module never writes
 * then those stated at each.
 *
 * Cost:    O(pages changed + tables touched); one lock hold for the whole operation
 * Context: with solo trees one CPU; else any, but not from interrupt handlers
 */

/**
 * Map ia .. ia + bytes - 1 to pa onwards, in the largest blocks that alignment and level_min allow.
 *
 * Nothing may be mapped there. Needs no invalidation: what was invalid was never cached. On a live
 * tree new table pages are made visible (DSB ISHST) before they are linked, and DSB ISHST + ISB end
 * the operation. Never breaks.
 *
 * Errors:  KC_ERR_EXISTS  something is mapped in the range
 *          KC_ERR_NOMEM   no table page
 */
KC_NODISCARD kc_status_t kc_pt_map(struct kc_pt *pt, kc_ia_t ia, kc_pa_t pa, uint64_t bytes,
                                   struct kc_pt_attr attr);

/**
 * Unmap all of the range. Blocks that reach beyond it are replaced by tables that map the rest
 * (breaks those blocks). Tables that become empty are freed, but the root.
 *
 * Errors:  KC_ERR_ABSENT  part of the range is not mapped
 *          KC_ERR_NOMEM   no table page for the rest of a block
 */
KC_NODISCARD kc_status_t kc_pt_unmap(struct kc_pt *pt, kc_ia_t ia, uint64_t bytes);

/**
 * Give all of the range new attributes; output addresses stay. Blocks that reach beyond it are
 * replaced by tables (breaks them). Changing only permissions does not break; changing the memory
 * type, or from not global to global, breaks the whole range.
 *
 * Errors: as kc_pt_unmap()
 */
KC_NODISCARD kc_status_t kc_pt_protect(struct kc_pt *pt, kc_ia_t ia, uint64_t bytes,
                                       struct kc_pt_attr attr);

/**
 * Let all of the range translate to memory at pa onwards; attributes and sizes of leaves stay.
 * Blocks that reach beyond the range are replaced by tables. Breaks the whole range. What the new
 * memory holds is the caller's to see to, before.
 *
 * Errors: as kc_pt_unmap(), and
 *          KC_ERR_ALIGN   a block in the range would not be aligned at its new place: split it
 * first
 */
KC_NODISCARD kc_status_t kc_pt_move(struct kc_pt *pt, kc_ia_t ia, kc_pa_t pa, uint64_t bytes);

/**
 * Make the leaf at ia one of `level` or smaller, by replacing blocks by tables that translate the
 * same (breaks the block). KC_OK with nothing done if it is one already.
 *
 * Errors:  KC_ERR_ARG     level is above 3
 *          KC_ERR_ABSENT  nothing is mapped at ia
 *          KC_ERR_NOMEM   no table page
 */
KC_NODISCARD kc_status_t kc_pt_split(struct kc_pt *pt, kc_ia_t ia, uint32_t level);

/**
 * Replace the table below the entry of `level` at ia by one block that translates the same (breaks
 * the block's whole range). Tables below are joined first if their entries form blocks.
 *
 * level   1 or 2, not above level_min
 *
 * Errors:  KC_ERR_ARG     level holds no block, or level_min forbids it
 *          KC_ERR_ALIGN   ia is not aligned to the span of the entry
 *          KC_ERR_ABSENT  there is no table, or part of it is not mapped
 *          KC_ERR_STATE   its leaves differ in attributes, or are not one aligned run of memory
 */
KC_NODISCARD kc_status_t kc_pt_join(struct kc_pt *pt, kc_ia_t ia, uint32_t level);

/* ---- queries -------------------------------------------------------------------------------- */

/* Result of a walk. */
struct kc_pt_walk {
    uint8_t fault;           /* enum kc_a64_fault: NONE, TRANSLATION, ADDRESS_SIZE or ACCESS_FLAG */
    uint8_t level;           /* of the leaf, or of the fault */
    struct kc_a64_limits by; /* of the tables met on the way; this module writes none */
    kc_pa_t pa;              /* what ia translates to, to the byte; only without a fault */
    kc_pa_t desc_pa;         /* where the last descriptor was read */
    uint64_t desc;           /* its value */
    uint64_t span;           /* bytes that its entry covers */
    struct kc_a64_leaf leaf; /* every field; only without a fault, or with an ACCESS_FLAG fault */
    struct kc_pt_attr attr;  /* the same in words of this header */
};

/**
 * Walk the tree as the hardware would.
 *
 * out   filled on KC_OK and on KC_ERR_ABSENT: it is the answer in both cases. An address outside
 * the half faults at level 0
 *
 * Errors:  KC_ERR_ABSENT   the walk ends in a fault, see out->fault and out->level
 *          KC_ERR_STATE    pt is not initialised
 * Cost:    at most four loads; one lock hold
 */
KC_NODISCARD kc_status_t kc_pt_translate(struct kc_pt *pt, kc_ia_t ia, struct kc_pt_walk *out);

/* A run of input addresses that map to consecutive memory with one set of attributes. */
struct kc_pt_run {
    kc_ia_t ia;
    kc_pa_t pa;
    uint64_t bytes;
    struct kc_pt_attr attr;
};

/* Where an iteration stands; start with kc_pt_each_from(). */
struct kc_pt_cursor {
    uint64_t next; /* private */
    bool done;     /* private */
};

/** Start at ia. Context: any. */
struct kc_pt_cursor kc_pt_each_from(const struct kc_pt *pt, kc_ia_t ia);

/**
 * Next run at or after the cursor, leaves merged as far as they go.
 *
 * Returns false at the end of the half; *out is then untouched. Each call is consistent in itself
 * (one lock hold); changes between two calls are seen or not.
 * Cost: O(descriptors visited)
 */
KC_NODISCARD bool kc_pt_each(struct kc_pt *pt, struct kc_pt_cursor *c, struct kc_pt_run *out);

struct kc_pt_stats {
    uint32_t tables; /* pages in the tree, the root included */
    uint32_t spare;  /* pages from early memory kept for reuse */
};

/** Sizes of the tree. */
void kc_pt_stats(struct kc_pt *pt, struct kc_pt_stats *out);

/**
 * What an AT instruction must report for the address that w came from, given MAIR_EL1 as
 * kc_a64_mair() and PSTATE.PAN not considered (as AT S1E1R and S1E1W do not). Pure.
 */
void kc_pt_expect_at(const struct kc_pt_walk *w, enum kc_at op, struct kc_a64_par *out);

/* ---- check ---------------------------------------------------------------------------------- */

struct kc_pt_finding {
    const char *invariant; /* "I1" to "I9" of space/pt.c; static storage */
    const char *text;      /* one sentence; static storage */
    uint64_t ia;           /* first input address of the entry at fault */
    uint64_t desc;
    uint32_t level;
};

/**
 * Walk the whole tree and judge every invariant.
 *
 * finding   may be NULL; filled only with KC_ERR_CORRUPT
 *
 * Errors:  KC_ERR_CORRUPT  *finding says what and where
 * Cost:    O(tables x entries); takes no lock: the caller keeps the tree still
 */
KC_NODISCARD kc_status_t kc_pt_check(const struct kc_pt *pt, struct kc_pt_finding *finding);

KC_EXTERN_C_END

#endif
