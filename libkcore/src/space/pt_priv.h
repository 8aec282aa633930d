/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pt_priv.h: what the sources of kc/pt.h share; also for white-box tests.
 *
 *     pt.c          theory, attributes, life cycle, map, queries
 *     pt_edit.c     unmap, protect, split, join
 *     pt_settle.c   what a change owes to the TLBs
 *     pt_page.c     table pages and chains of them
 *     pt_check.c    validator
 */
#ifndef KC_SPACE_PT_PRIV_H
#define KC_SPACE_PT_PRIV_H

#include <kc/pt.h>

#define KC_PT_DESC_BYTES UINT64_C(8)
#define KC_PT_PAGE_BYTES 4096u
#define KC_PT_LAST_LEVEL 3u

/*
 * A table page that is not in the tree, as a word: its address, a bit that tells it from no page at
 * all (0 is an address), and where it came from. Bit 0 is clear, so that the word is an invalid
 * descriptor and chains can be threaded through entry 0 of the pages themselves.
 */
#define KC_PT_REF_EARLY   KC_BIT(1)
#define KC_PT_REF_PRESENT KC_BIT(2)
#define KC_PT_REF_FLAGS   KC_MASK(2, 0)

/* Bit of a table descriptor that hardware ignores ([58:51]): the page came from early memory. */
#define KC_PT_TABLE_EARLY KC_BIT(55)

/** Leaf fields of attributes that have passed the checks; out is 0. */
void kc_pt_priv_leaf_of(struct kc_pt_attr attr, struct kc_a64_leaf *l);

/** Attributes, in words of kc/pt.h, of any leaf. */
struct kc_pt_attr kc_pt_priv_attr_of(const struct kc_a64_leaf *l);

/** KC_OK, KC_ERR_ARG or KC_ERR_PERM: may a tree of that kind hold such a mapping? */
kc_status_t kc_pt_priv_attr_check(bool any_asid, struct kc_pt_attr attr);

/* ---- descriptors (pt.c) --------------------------------------------------------------------- */

/** A leaf of these attributes, which have passed the checks, without type and output address. */
uint64_t kc_pt_priv_attr_encode(const struct kc_pt *pt, struct kc_pt_attr attr);

/** I3: is this a leaf that this module wrote? */
bool kc_pt_priv_leaf_is_ours(const struct kc_pt *pt, uint32_t level, uint64_t desc);

/** Bytes that one entry of that level spans. */
KC_INLINE uint64_t kc_pt_priv_span(const struct kc_pt *pt, uint32_t level)
{
    return KC_BIT(kc_a64_level_shift(&pt->format, level));
}

/** Where the entry for ia stands in a table of that level. */
KC_INLINE kc_pa_t kc_pt_priv_entry(const struct kc_pt *pt, uint32_t level, kc_pa_t table,
                                   uint64_t ia)
{
    return kc_pa(kc_pa_raw(table) +
                 (uint64_t)kc_a64_index(&pt->format, level, ia) * KC_PT_DESC_BYTES);
}

/** The table that a table descriptor links. */
KC_INLINE kc_pa_t kc_pt_priv_next(uint64_t desc)
{
    return kc_pa(desc & KC_MASK(47, 12));
}

/** Bits of a leaf that are its output address at that level. */
KC_INLINE uint64_t kc_pt_priv_out_mask(const struct kc_pt *pt, uint32_t level)
{
    return KC_MASK(47, kc_a64_level_shift(&pt->format, level));
}

/** A leaf's attributes at another level and address: only type and output address differ. */
KC_INLINE uint64_t kc_pt_priv_leaf_desc(uint64_t attr_bits, uint32_t level, uint64_t out)
{
    return attr_bits | out | (level == KC_PT_LAST_LEVEL ? 3u : 1u);
}

/** The inverse: a leaf without type and output address. */
KC_INLINE uint64_t kc_pt_priv_attr_bits(const struct kc_pt *pt, uint32_t level, uint64_t desc)
{
    return desc & ~kc_pt_priv_out_mask(pt, level) & ~(uint64_t)3u;
}

/** Part of ia .. that lies in the entry of `span` at ia, at most `bytes`. */
KC_INLINE uint64_t kc_pt_priv_part(uint64_t ia, uint64_t bytes, uint64_t span)
{
    uint64_t room = span - (ia & (span - 1));
    return bytes < room ? bytes : room;
}

/* ---- start and end of an operation (pt.c) --------------------------------------------------- */

/** KC_ERR_STATE before kc_pt_init(), KC_ERR_ARG for no bytes, else KC_OK. */
kc_status_t kc_pt_priv_judge_ready(const struct kc_pt *pt, uint64_t bytes);

/** KC_ERR_ALIGN, KC_ERR_RANGE or KC_OK; bytes is not 0. */
kc_status_t kc_pt_priv_judge_range(const struct kc_pt *pt, kc_ia_t ia, uint64_t bytes);

/** Take the lock of a shared tree; judge the tree at audit level, and release it. */
void kc_pt_priv_enter(struct kc_pt *pt);
void kc_pt_priv_leave(struct kc_pt *pt);

/* ---- table pages (pt_page.c) ---------------------------------------------------------------- */

KC_INLINE kc_pa_t kc_pt_priv_ref_pa(uint64_t ref)
{
    return kc_pa(ref & ~KC_PT_REF_FLAGS);
}

/** Add a page to a chain; take its first one off, entry 0, which held the link, being zero again.
 */
void kc_pt_priv_chain_push(uint64_t *chain, uint64_t ref);
uint64_t kc_pt_priv_chain_pop(uint64_t *chain);

/** Hand all pages of a chain back; no walker can reach or has cached any of them (O4). */
void kc_pt_priv_chain_drop(struct kc_pt *pt, uint64_t chain);

/** One zeroed page, announced as a table. Errors: as of the source. */
kc_status_t kc_pt_priv_page_take(struct kc_pt *pt, uint64_t *ref);

/** A chain of `count` such pages, or none at all. */
kc_status_t kc_pt_priv_reserve(struct kc_pt *pt, uint64_t count, uint64_t *chain);

/** The descriptor that links a page, in a table of that level; and back. */
uint64_t kc_pt_priv_table_desc(const struct kc_pt *pt, uint32_t level, uint64_t ref);
uint64_t kc_pt_priv_table_ref(uint64_t desc);

/** Chain all tables from this one, of that level, down; they leave the count. */
void kc_pt_priv_gather(struct kc_pt *pt, uint32_t level, uint64_t ref, uint64_t *chain);

/* ---- invalidation (pt_settle.c) ------------------------------------------------------------- */

struct kc_pt_batch {
    uint64_t first;  /* lowest input address changed */
    uint64_t last;   /* first address of the highest leaf changed */
    uint32_t shift;  /* log2 of the smallest leaf changed */
    uint32_t level;  /* of all leaves changed, or KC_A64_TTL_ANY if they differ */
    bool any;        /* something valid was changed */
    bool all_levels; /* a table descriptor went: reach cached walks too */
};

/** A leaf of that level, which translates ia, was changed. */
void kc_pt_priv_batch_add(const struct kc_pt *pt, struct kc_pt_batch *b, uint32_t level,
                          uint64_t ia);

/** What was changed can be in no TLB when this returns; tail: bytes of the highest leaf changed. */
void kc_pt_priv_settle_invalidate(const struct kc_pt *pt, const struct kc_pt_batch *b,
                                  uint64_t tail);

/** New valid entries are visible to walkers, and this CPU starts over with what follows; of a tree
    that is not live, all stores are complete (O6). */
void kc_pt_priv_settle_end(const struct kc_pt *pt, bool made_valid);

/** TLBI for all that the tree may have put into TLBs, without its barriers. */
void kc_pt_priv_tlbi_all(const struct kc_pt *pt);

#endif
