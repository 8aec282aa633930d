/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Translation tables.
 *
 * Nouns. A *tree* is a root table and what hangs from it. An *entry* is one descriptor; it is zero,
 * a *leaf* (block or page) or a table. An operation has a *range* of input addresses; a leaf is
 * *whole* if the range covers all of it, else *cut*. A *reserve* is a chain of zeroed pages
 * obtained before anything is changed. A *batch* is what an operation has to invalidate.
 *
 *     root (level 0)        level 1              level 2              level 3
 *     +--------+            +--------+           +--------+           +--------+
 *     | table ------------->| block  | 1 GiB     | table ------------>| page   | 4 KiB
 *     | 0      |            | table ------------>| block  | 2 MiB     | page   |
 *     +--------+            +--------+           +--------+           +--------+
 *
 * Every operation has the same five phases, all under the lock:
 *
 *     judge     the arguments
 *     plan      walk the range without a store: refuse, or count the table pages needed
 *     reserve   get that many; on failure give back what was got: nothing has changed
 *     commit    store. Fresh subtrees are filled while nobody can reach them and linked by one
 *               store each, behind DSB ISHST
 *     settle    DSB ISHST, TLBI, DSB ISH; second half of a break-before-make; ISB; free pages
 *
 * Invariants, judged by pt_check.c:
 *   I1  The root is a page-aligned address below 2^pa_bits.
 *   I2  An entry is zero, a leaf at a level that may hold one, or a table above level 3; no
 *       invalid entry keeps bits (those of a break do, but only within one lock hold).
 *   I3  A leaf is bit for bit what kc_a64_leaf_encode() makes of its attributes: AF set, not
 *       contiguous, no software bits.
 *   I4  No table but the root is empty.
 *   I5  table_count pages are in the tree, each once.
 *   I6  No leaf is writable and executable at any exception level.
 *   I7  A global leaf is in a tree that is invalidated for all ASIDs, and not for EL0.
 *   I8  Output addresses and next tables are aligned and below 2^pa_bits; table descriptors carry
 *       no attribute but KC_PT_TABLE_EARLY.
 *   I9  The spare chain has spare_count pages.
 * and, judged by the order of seam calls (tests/host/test_pt_order.c):
 *   O1  A table page is linked into a live tree only behind a DSB ISHST after its last fill.
 *   O2  A valid entry of a live tree is replaced by a valid one only if kc/a64/change.h calls that
 *       LIVE; else bit 0 is cleared, and DSB ISHST, TLBI, DSB ISH come between.
 *   O3  Every TLBI has DSB ISHST before it and DSB ISH after it, in the same operation.
 *   O4  A page leaves the tree's ownership only after the DSB ISH of O3.
 *   O5  Every operation that stored to a live tree ends in ISB.
 *
 * Why clear bit 0 in a break and not the whole entry: the output address stays readable, so that
 * the second half needs no memory of its own. An invalid entry may hold any bits (DDI 0487 J.a,
 * D8.3.1) and no walker caches it (D8.13.1).
 *
 * Invalidation. Leaves: last-level forms, one operation per leaf of the smallest size changed, up
 * to KC_PT_TLBI_MAX; beyond, range operations where the machine has them, else the whole ASID. If a
 * table descriptor went, the all-level forms, since walkers cache tables too. One per leaf is
 * enough for a block: an invalidation by address removes every entry that the descriptor which
 * translates the address gave rise to (D8.14.3).
 *
 * Cost: as in the header. Locking: one lock, rank KC_RANK_PT, held for a whole operation, with
 * calls only downwards, to frame.
 *
 * Sources: DDI 0487 J.a, D8.13 "Translation Lookaside Buffers", D8.14 "TLB maintenance", B2.3.10
 * "Ordering of translation table walks"; Hafnium mm.c for prepare and commit; Linux
 * arch/arm64/include/asm/tlbflush.h for strides and the limit.
 */
#include "pt_priv.h"

#include <kc/early.h>
#include <kc/frame.h>

KC_STATIC_ASSERT(KC_FRAME_BYTES == KC_PT_PAGE_BYTES, "a table page is one frame");

/* Tables that one cut leaf needs: one for each level below 1. A range cuts at most two leaves. */
#define CUTS_MAX 2u

/* ---- attributes ----------------------------------------------------------------------------- */

void kc_pt_priv_leaf_of(struct kc_pt_attr attr, struct kc_a64_leaf *l)
{
    bool user = (attr.perm & KC_PT_USER) != 0;
    bool exec = (attr.perm & KC_PT_X) != 0;
    bool write = (attr.perm & KC_PT_W) != 0;
    uint8_t ap_write = write ? KC_A64_AP_RW_EL1 : KC_A64_AP_RO_EL1;
    *l = (struct kc_a64_leaf){
        .attr_index = attr.type,
        .ap = (uint8_t)(ap_write | (user ? KC_A64_AP_RW_ALL : KC_A64_AP_RW_EL1)),
        .sh = (uint8_t)kc_a64_mem_sh((enum kc_a64_mem)attr.type),
        .af = true,
        .not_global = !attr.global,
        .pxn = !exec || user,
        .uxn = !exec || !user,
    };
}

struct kc_pt_attr kc_pt_priv_attr_of(const struct kc_a64_leaf *l)
{
    bool user = (l->ap & 1u) != 0;
    bool no_exec = user ? l->uxn : l->pxn;
    uint32_t perm = KC_PT_R | (user ? KC_PT_USER : 0u) | ((l->ap & 2u) != 0 ? 0u : KC_PT_W) |
                    (no_exec ? 0u : KC_PT_X);
    return kc_pt_attr(perm, (enum kc_a64_mem)l->attr_index, !l->not_global);
}

kc_status_t kc_pt_priv_attr_check(bool any_asid, struct kc_pt_attr attr)
{
    if ((attr.perm & ~(KC_PT_R | KC_PT_W | KC_PT_X | KC_PT_USER)) != 0 ||
        (attr.perm & KC_PT_R) == 0 || attr.type >= KC_A64_MEM_COUNT) {
        return KC_ERR_ARG;
    }
    if (attr.global && ((attr.perm & KC_PT_USER) != 0 || !any_asid)) {
        return KC_ERR_ARG;
    }
    bool device = attr.type == KC_A64_MEM_DEVICE_nGnRE || attr.type == KC_A64_MEM_DEVICE_nGnRnE;
    if ((attr.perm & KC_PT_X) != 0 && ((attr.perm & KC_PT_W) != 0 || device)) {
        return KC_ERR_PERM;
    }
    return KC_OK;
}

/* ---- small things --------------------------------------------------------------------------- */

static void enter(struct kc_pt *pt)
{
    if (pt->shared) {
        kc_lock_acquire(&pt->lock);
    }
}

static void leave(struct kc_pt *pt)
{
    KC_AUDIT(kc_pt_check(pt, NULL) == KC_OK);
    if (pt->shared) {
        kc_lock_release(&pt->lock);
    }
}

static uint64_t span_of(const struct kc_pt *pt, uint32_t level)
{
    return KC_BIT(kc_a64_level_shift(&pt->format, level));
}

static kc_pa_t entry_at(const struct kc_pt *pt, uint32_t level, kc_pa_t table, uint64_t ia)
{
    return kc_pa(kc_pa_raw(table) +
                 (uint64_t)kc_a64_index(&pt->format, level, ia) * KC_PT_DESC_BYTES);
}

static kc_pa_t next_table(uint64_t desc)
{
    return kc_pa(desc & KC_MASK(47, 12));
}

/* Bits of a leaf that are its output address at that level. */
static uint64_t out_mask(const struct kc_pt *pt, uint32_t level)
{
    return KC_MASK(47, kc_a64_level_shift(&pt->format, level));
}

/* A leaf's attributes at another level and address: only type and output address differ. */
static uint64_t leaf_desc(uint64_t attr_bits, uint32_t level, uint64_t out)
{
    return attr_bits | out | (level == KC_PT_LAST_LEVEL ? 3u : 1u);
}

static uint64_t attr_bits_of(const struct kc_pt *pt, uint32_t level, uint64_t desc)
{
    return desc & ~out_mask(pt, level) & ~(uint64_t)3u;
}

static uint64_t encode_attr(const struct kc_pt *pt, struct kc_pt_attr attr)
{
    struct kc_a64_leaf l;
    uint64_t desc = 0;
    kc_pt_priv_leaf_of(attr, &l);
    kc_status_t status = kc_a64_leaf_encode(&pt->format, KC_PT_LAST_LEVEL, &l, &desc);
    KC_CHECK(status == KC_OK);
    return attr_bits_of(pt, KC_PT_LAST_LEVEL, desc);
}

/* I3: is this a leaf that this module wrote? */
static bool leaf_is_ours(const struct kc_pt *pt, uint32_t level, uint64_t desc)
{
    struct kc_a64_leaf l;
    if (kc_a64_leaf_decode(&pt->format, level, desc, &l) != KC_OK) {
        return false;
    }
    struct kc_pt_attr attr = kc_pt_priv_attr_of(&l);
    return attr.type < KC_A64_MEM_COUNT && leaf_desc(encode_attr(pt, attr), level, l.out) == desc;
}

/* Part of lo .. that lies in the entry of `span` at ia, at most `bytes`. */
static uint64_t part_in(uint64_t ia, uint64_t bytes, uint64_t span)
{
    uint64_t room = span - (ia & (span - 1));
    return bytes < room ? bytes : room;
}

/* ---- table pages ---------------------------------------------------------------------------- */

static kc_pa_t ref_pa(uint64_t ref)
{
    return kc_pa(ref & ~KC_PT_REF_FLAGS);
}

static void chain_push(uint64_t *chain, uint64_t ref)
{
    kc_plat_desc_store(ref_pa(ref), *chain);
    *chain = ref;
}

/* First page of a chain; its entry 0, which held the link, is zero again. */
static uint64_t chain_pop(uint64_t *chain)
{
    uint64_t ref = *chain;
    *chain = kc_plat_desc_load(ref_pa(ref));
    kc_plat_desc_store(ref_pa(ref), 0);
    return ref;
}

/* One zeroed page, announced as a table. */
static kc_status_t page_take(struct kc_pt *pt, uint64_t *ref)
{
    kc_pa_t pa = kc_pa(0);
    uint64_t flags = KC_PT_REF_PRESENT;
    if (pt->spare != 0) {
        *ref = chain_pop(&pt->spare);
        pt->spare_count--;
        pa = ref_pa(*ref);
        flags |= KC_PT_REF_EARLY;
    } else if (pt->source.frames != NULL) {
        kc_status_t status = kc_frame_alloc(pt->source.frames, 0, 0, KC_FRAME_OWNER_TABLE, &pa);
        if (status != KC_OK) {
            return status;
        }
    } else {
        kc_status_t status =
            kc_early_alloc(pt->source.early, KC_PT_PAGE_BYTES, KC_PT_PAGE_BYTES, &pa);
        if (status != KC_OK) {
            return status;
        }
        flags |= KC_PT_REF_EARLY;
    }
    kc_plat_desc_fill(pa, KC_PT_PAGE_BYTES / KC_PT_DESC_BYTES, 0, 0);
    kc_plat_note(KC_NOTE_TABLE, kc_pa_raw(pa), KC_PT_PAGE_BYTES, pt);
    *ref = kc_pa_raw(pa) | flags;
    return KC_OK;
}

/* Hand a page back that no walker can reach or has cached any more. */
static void page_drop(struct kc_pt *pt, uint64_t ref)
{
    kc_pa_t pa = ref_pa(ref);
    kc_plat_note(KC_NOTE_TABLE_FREE, kc_pa_raw(pa), KC_PT_PAGE_BYTES, pt);
    if ((ref & KC_PT_REF_EARLY) == 0) {
        kc_status_t status = kc_frame_free(pt->source.frames, pa, 0);
        KC_CHECK(status == KC_OK); /* ours since page_take(), and nobody else's */
        return;
    }
    if (pt->source.early != NULL &&
        kc_early_free(pt->source.early, pa, KC_PT_PAGE_BYTES) == KC_OK) {
        return;
    }
    /* Early memory is closed, or has no slot to note the hole: keep the page for the next table. */
    chain_push(&pt->spare, ref);
    pt->spare_count++;
}

static void chain_drop(struct kc_pt *pt, uint64_t chain)
{
    while (chain != 0) {
        page_drop(pt, chain_pop(&chain));
    }
}

/* `count` pages, or none at all. */
static kc_status_t reserve(struct kc_pt *pt, uint64_t count, uint64_t *chain)
{
    *chain = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t ref;
        kc_status_t status = page_take(pt, &ref);
        if (status != KC_OK) {
            chain_drop(pt, *chain);
            *chain = 0;
            return status;
        }
        chain_push(chain, ref);
    }
    return KC_OK;
}

static uint64_t table_desc(const struct kc_pt *pt, uint32_t level, uint64_t ref)
{
    struct kc_a64_table t = {.next = kc_pa_raw(ref_pa(ref))};
    uint64_t desc = 0;
    kc_status_t status = kc_a64_table_encode(&pt->format, level, &t, &desc);
    KC_CHECK(status == KC_OK); /* page_take() gives RAM, which every CPU can address */
    return desc | ((ref & KC_PT_REF_EARLY) != 0 ? KC_PT_TABLE_EARLY : 0);
}

static uint64_t ref_of_table(uint64_t desc)
{
    return kc_pa_raw(next_table(desc)) | KC_PT_REF_PRESENT |
           ((desc & KC_PT_TABLE_EARLY) != 0 ? KC_PT_REF_EARLY : 0);
}

/* ---- invalidation --------------------------------------------------------------------------- */

struct batch {
    uint64_t first;  /* lowest input address changed */
    uint64_t last;   /* first address of the highest leaf changed */
    uint32_t shift;  /* log2 of the smallest leaf changed */
    uint32_t level;  /* of all leaves changed, or KC_A64_TTL_ANY if they differ */
    bool any;        /* something valid was changed */
    bool all_levels; /* a table descriptor went: reach cached walks too */
};

static void batch_add(const struct kc_pt *pt, struct batch *b, uint32_t level, uint64_t ia)
{
    uint32_t shift = kc_a64_level_shift(&pt->format, level);
    uint64_t base = kc_align_down(ia, KC_BIT(shift));
    if (!b->any) {
        *b = (struct batch){.first = base,
                            .last = base,
                            .shift = shift,
                            .level = level,
                            .any = true,
                            .all_levels = b->all_levels};
        return;
    }
    b->first = base < b->first ? base : b->first;
    b->last = base > b->last ? base : b->last;
    /* The highest leaf counts in units of the smallest: its last unit ends the range. */
    b->shift = shift < b->shift ? shift : b->shift;
    b->level = level == b->level ? level : KC_A64_TTL_ANY;
}

static enum kc_tlbi tlbi_by_va(const struct kc_pt *pt, bool all_levels)
{
    if (pt->any_asid) {
        return all_levels ? KC_TLBI_VAAE1IS : KC_TLBI_VAALE1IS;
    }
    return all_levels ? KC_TLBI_VAE1IS : KC_TLBI_VALE1IS;
}

static enum kc_tlbi tlbi_by_range(const struct kc_pt *pt, bool all_levels)
{
    if (pt->any_asid) {
        return all_levels ? KC_TLBI_RVAAE1IS : KC_TLBI_RVAALE1IS;
    }
    return all_levels ? KC_TLBI_RVAE1IS : KC_TLBI_RVALE1IS;
}

static void tlbi_everything(const struct kc_pt *pt)
{
    if (pt->any_asid) {
        kc_plat_tlbi(KC_TLBI_VMALLE1IS, 0);
    } else {
        kc_plat_tlbi(KC_TLBI_ASIDE1IS, kc_a64_tlbi_asid(pt->asid));
    }
}

static void tlbi_batch(const struct kc_pt *pt, const struct batch *b, uint64_t tail)
{
    uint32_t asid = pt->any_asid ? 0 : pt->asid;
    /* A hint with the all-level form would spare cached tables above the level hinted at. */
    uint32_t level = b->all_levels ? KC_A64_TTL_ANY : b->level;
    uint64_t bytes = b->last - b->first + tail;
    uint64_t count = bytes >> b->shift;
    if (count <= KC_PT_TLBI_MAX) {
        for (uint64_t i = 0; i < count; i++) {
            kc_plat_tlbi(tlbi_by_va(pt, b->all_levels),
                         kc_a64_tlbi_va(&pt->format, b->first + (i << b->shift), asid, level));
        }
        return;
    }
    if ((pt->format.features & KC_A64_FEAT_TLBIRANGE) == 0) {
        tlbi_everything(pt);
        return;
    }
    struct kc_a64_tlbi_range range;
    uint64_t operand;
    bool single;
    kc_a64_tlbi_range(&range, &pt->format, b->first, bytes, asid, level);
    while (kc_a64_tlbi_range_next(&range, &pt->format, &operand, &single)) {
        kc_plat_tlbi(single ? tlbi_by_va(pt, b->all_levels) : tlbi_by_range(pt, b->all_levels),
                     operand);
    }
}

/* What was changed can be in no TLB when this returns. */
static void settle_invalidate(const struct kc_pt *pt, const struct batch *b, uint64_t tail)
{
    if (!pt->live || !b->any) {
        return;
    }
    /* Without it: store still on its way, TLBI done, a walker reads the old descriptor and caches
       it afresh. */
    kc_plat_barrier(KC_DSB_ISHST);
    tlbi_batch(pt, b, tail);
    /* Without it: this CPU goes on (stores the new descriptor, frees the page) while another CPU
       still translates through what the TLBI has not reached yet. */
    kc_plat_barrier(KC_DSB_ISH);
}

/* New valid entries are visible to walkers, and this CPU starts over with what follows. */
static void settle_end(const struct kc_pt *pt, bool made_valid)
{
    if (!pt->live) {
        return;
    }
    if (made_valid) {
        /* Without it: the caller's next access is walked before the store is visible, and faults
           on a mapping that it was told exists. */
        kc_plat_barrier(KC_DSB_ISHST);
    }
    /* Without it: instructions already fetched or translated under the old tables execute after
       the change. */
    kc_plat_barrier(KC_ISB);
}

/* ---- arguments ------------------------------------------------------------------------------ */

static kc_status_t judge_range(const struct kc_pt *pt, kc_ia_t ia, uint64_t bytes)
{
    uint64_t base = kc_ia_raw(ia);
    if (!kc_is_aligned(base | bytes, KC_BIT(pt->format.granule_log2))) {
        return KC_ERR_ALIGN;
    }
    if (!kc_range_fits(base, bytes) || !kc_a64_ia_in_range(&pt->format, base) ||
        !kc_a64_ia_in_range(&pt->format, base + bytes - 1)) {
        return KC_ERR_RANGE;
    }
    return KC_OK;
}

static kc_status_t judge_ready(const struct kc_pt *pt, uint64_t bytes)
{
    if (!pt->ready) {
        return KC_ERR_STATE;
    }
    return bytes == 0 ? KC_ERR_ARG : KC_OK;
}

/* ---- map ------------------------------------------------------------------------------------ */

/* Can one entry of that level map the start of the range? */
static bool fits_leaf(const struct kc_pt *pt, uint32_t level, uint64_t ia, uint64_t pa,
                      uint64_t bytes)
{
    uint64_t span = span_of(pt, level);
    return kc_a64_level_is_leaf(&pt->format, level) && level >= pt->level_min && bytes >= span &&
           kc_is_aligned(ia | pa, span);
}

/* Tables needed below a table of that level that does not exist yet. */
static uint64_t count_fresh(const struct kc_pt *pt, uint32_t level, uint64_t ia, uint64_t pa,
                            uint64_t bytes)
{
    uint64_t count = 0;
    if (level == KC_PT_LAST_LEVEL) {
        return 0;
    }
    while (bytes != 0) {
        uint64_t part = part_in(ia, bytes, span_of(pt, level));
        if (!fits_leaf(pt, level, ia, pa, part)) {
            count += 1 + count_fresh(pt, level + 1, ia, pa, part);
        }
        ia += part;
        pa += part;
        bytes -= part;
    }
    return count;
}

static kc_status_t plan_map(const struct kc_pt *pt, uint32_t level, kc_pa_t table, uint64_t ia,
                            uint64_t pa, uint64_t bytes, uint64_t *count)
{
    while (bytes != 0) {
        uint64_t part = part_in(ia, bytes, span_of(pt, level));
        uint64_t desc = kc_plat_desc_load(entry_at(pt, level, table, ia));
        enum kc_a64_kind kind = kc_a64_kind(&pt->format, level, desc);
        if (kind == KC_A64_BLOCK || kind == KC_A64_PAGE) {
            return KC_ERR_EXISTS;
        }
        if (kind == KC_A64_TABLE) {
            kc_status_t status = plan_map(pt, level + 1, next_table(desc), ia, pa, part, count);
            if (status != KC_OK) {
                return status;
            }
        } else if (desc != 0) {
            return KC_ERR_CORRUPT;
        } else if (!fits_leaf(pt, level, ia, pa, part)) {
            *count += 1 + count_fresh(pt, level + 1, ia, pa, part);
        }
        ia += part;
        pa += part;
        bytes -= part;
    }
    return KC_OK;
}

struct map_op {
    struct kc_pt *pt;
    uint64_t attr_bits;
    uint64_t chain; /* pages reserved */
};

static void commit_map(struct map_op *op, uint32_t level, kc_pa_t table, bool reachable,
                       uint64_t ia, uint64_t pa, uint64_t bytes);

/* Leaves from the start of the range on, as many as stay in this table. Returns the bytes done. */
static uint64_t commit_leaves(struct map_op *op, uint32_t level, kc_pa_t table, bool reachable,
                              uint64_t ia, uint64_t pa, uint64_t bytes)
{
    const struct kc_a64_format *f = &op->pt->format;
    uint32_t shift = kc_a64_level_shift(f, level);
    uint64_t room = kc_a64_level_entries(f, level) - kc_a64_index(f, level, ia);
    uint64_t count = bytes >> shift < room ? bytes >> shift : room;
    kc_pa_t at = entry_at(op->pt, level, table, ia);
    uint64_t desc = leaf_desc(op->attr_bits, level, pa);
    if (!reachable) {
        kc_plat_desc_fill(at, (uint32_t)count, desc, KC_BIT(shift));
        return count << shift;
    }
    for (uint64_t i = 0; i < count; i++) {
        kc_plat_desc_store(kc_pa(kc_pa_raw(at) + i * KC_PT_DESC_BYTES), desc + (i << shift));
    }
    return count << shift;
}

static void commit_below(struct map_op *op, uint32_t level, kc_pa_t table, bool reachable,
                         uint64_t ia, uint64_t pa, uint64_t part)
{
    kc_pa_t at = entry_at(op->pt, level, table, ia);
    uint64_t desc = kc_plat_desc_load(at);
    if (desc != 0) {
        commit_map(op, level + 1, next_table(desc), reachable, ia, pa, part);
        return;
    }
    uint64_t ref = chain_pop(&op->chain);
    commit_map(op, level + 1, ref_pa(ref), false, ia, pa, part);
    op->pt->table_count++;
    if (reachable) {
        /* Without it: a walker sees the link before the zeroes and descriptors of the new page, and
           takes what the page held before for descriptors. */
        kc_plat_barrier(KC_DSB_ISHST);
    }
    kc_plat_desc_store(at, table_desc(op->pt, level, ref));
}

static void commit_map(struct map_op *op, uint32_t level, kc_pa_t table, bool reachable,
                       uint64_t ia, uint64_t pa, uint64_t bytes)
{
    while (bytes != 0) {
        uint64_t part = part_in(ia, bytes, span_of(op->pt, level));
        if (fits_leaf(op->pt, level, ia, pa, part)) {
            part = commit_leaves(op, level, table, reachable, ia, pa, bytes);
        } else {
            commit_below(op, level, table, reachable, ia, pa, part);
        }
        ia += part;
        pa += part;
        bytes -= part;
    }
}

static kc_status_t map_locked(struct kc_pt *pt, uint64_t ia, uint64_t pa, uint64_t bytes,
                              struct kc_pt_attr attr)
{
    struct map_op op = {.pt = pt, .attr_bits = encode_attr(pt, attr)};
    uint32_t start = kc_a64_start_level(&pt->format);
    uint64_t count = 0;
    kc_status_t status = plan_map(pt, start, pt->root, ia, pa, bytes, &count);
    if (status != KC_OK) {
        return status;
    }
    status = reserve(pt, count, &op.chain);
    if (status != KC_OK) {
        return status;
    }
    commit_map(&op, start, pt->root, pt->live, ia, pa, bytes);
    KC_CHECK(op.chain == 0); /* planned and committed alike */
    settle_end(pt, true);
    return KC_OK;
}

kc_status_t kc_pt_map(struct kc_pt *pt, kc_ia_t ia, kc_pa_t pa, uint64_t bytes,
                      struct kc_pt_attr attr)
{
    kc_status_t status = judge_ready(pt, bytes);
    if (status == KC_OK) {
        status = kc_pt_priv_attr_check(pt->any_asid, attr);
    }
    if (status == KC_OK && !kc_pa_is_aligned(pa, KC_BIT(pt->format.granule_log2))) {
        status = KC_ERR_ALIGN;
    }
    if (status == KC_OK) {
        status = judge_range(pt, ia, bytes);
    }
    if (status == KC_OK && !kc_range_covers(0, KC_BIT(pt->format.pa_bits), kc_pa_raw(pa), bytes)) {
        status = KC_ERR_RANGE;
    }
    if (status != KC_OK) {
        return status;
    }
    enter(pt);
    status = map_locked(pt, kc_ia_raw(ia), kc_pa_raw(pa), bytes, attr);
    leave(pt);
    return status;
}

/* ---- unmap, protect, split ------------------------------------------------------------------ */

enum edit_kind {
    EDIT_UNMAP,
    EDIT_PROTECT, /* new attributes */
    EDIT_KEEP     /* same attributes: only cut leaves change, which is a split */
};

/* A leaf that the range covers in part: its entry, and the table that will stand there. */
struct cut {
    kc_pa_t at;
    uint64_t desc;
};

struct edit {
    struct kc_pt *pt;
    enum edit_kind kind;
    uint64_t attr_bits; /* PROTECT */
    uint64_t tables;    /* plan: pages needed */
    bool must_break;    /* plan: some whole leaf may not change while live */
    uint64_t chain;     /* pages reserved */
    uint64_t gone;      /* pages unlinked, to be freed at the end */
    struct batch batch;
    uint64_t tail; /* bytes of the highest leaf changed */
    uint32_t cut_count;
    struct cut cuts[CUTS_MAX];
};

/* What a whole leaf becomes. */
static uint64_t edited(const struct edit *e, uint32_t level, uint64_t desc)
{
    switch (e->kind) {
    case EDIT_UNMAP:
        return 0;
    case EDIT_PROTECT:
        return leaf_desc(e->attr_bits, level, desc & out_mask(e->pt, level));
    case EDIT_KEEP:
    default:
        return desc;
    }
}

/* Tables to replace a leaf of that level by, if off .. off + part - 1 of it is edited. */
static uint64_t count_cut(const struct kc_pt *pt, uint32_t level, uint64_t off, uint64_t part)
{
    uint64_t sub = span_of(pt, level + 1);
    uint64_t end = off + part;
    uint64_t count = 1;
    if (level + 1 == KC_PT_LAST_LEVEL) {
        return count;
    }
    if (off / sub == (end - 1) / sub) {
        return part == sub ? count : count + count_cut(pt, level + 1, off % sub, part);
    }
    if (off % sub != 0) {
        count += count_cut(pt, level + 1, off % sub, sub - off % sub);
    }
    if (end % sub != 0) {
        count += count_cut(pt, level + 1, 0, end % sub);
    }
    return count;
}

static kc_status_t plan_edit(struct edit *e, uint32_t level, kc_pa_t table, uint64_t ia,
                             uint64_t bytes)
{
    const struct kc_pt *pt = e->pt;
    uint64_t span = span_of(pt, level);
    while (bytes != 0) {
        uint64_t part = part_in(ia, bytes, span);
        uint64_t desc = kc_plat_desc_load(entry_at(pt, level, table, ia));
        enum kc_a64_kind kind = kc_a64_kind(&pt->format, level, desc);
        if (desc == 0) {
            return KC_ERR_ABSENT;
        }
        if (kind == KC_A64_TABLE) {
            kc_status_t status = plan_edit(e, level + 1, next_table(desc), ia, part);
            if (status != KC_OK) {
                return status;
            }
        } else if (!leaf_is_ours(pt, level, desc)) {
            return KC_ERR_CORRUPT;
        } else if (part != span) {
            e->tables += count_cut(pt, level, ia & (span - 1), part);
        } else if (kc_a64_change_classify(&pt->format, level, desc, edited(e, level, desc)) ==
                   KC_A64_CHANGE_BREAK) {
            e->must_break = true;
        }
        ia += part;
        bytes -= part;
    }
    return KC_OK;
}

/*
 * The table that replaces a leaf of which off .. off + part - 1 is edited. Nobody can reach it yet.
 *
 *     0          off            off + part        span
 *     |   keep   |    edited    |      keep       |
 *     +----+----+----+----+----+----+----+----+---+
 *     entries of the next level; one that straddles an edge becomes a table itself
 */
static uint64_t build_cut(struct edit *e, uint32_t level, uint64_t desc, uint64_t off,
                          uint64_t part)
{
    const struct kc_pt *pt = e->pt;
    uint64_t ref = chain_pop(&e->chain);
    kc_pa_t table = ref_pa(ref);
    uint64_t span = span_of(pt, level);
    uint64_t sub = span_of(pt, level + 1);
    uint64_t bits = attr_bits_of(pt, level, desc);
    uint64_t out = desc & out_mask(pt, level);
    uint64_t end = off + part;
    uint64_t pos = 0;
    e->pt->table_count++;
    while (pos < span) {
        bool is_edited = pos >= off && pos < end;
        uint64_t stop = pos < off ? off : (is_edited ? end : span);
        uint64_t count = (stop - pos) / sub;
        kc_pa_t at = kc_pa(kc_pa_raw(table) + pos / sub * KC_PT_DESC_BYTES);
        uint64_t keep = leaf_desc(bits, level + 1, out + pos);
        if (count == 0) {
            uint64_t from = off > pos ? off - pos : 0;
            uint64_t to = end < pos + sub ? end - pos : sub;
            uint64_t child = build_cut(e, level + 1, keep, from, to - from);
            kc_plat_desc_store(at, table_desc(pt, level + 1, child));
            pos += sub;
            continue;
        }
        uint64_t value = is_edited ? edited(e, level + 1, keep) : keep;
        if (value != 0) {
            kc_plat_desc_fill(at, (uint32_t)count, value, sub);
        }
        pos += count * sub;
    }
    return ref;
}

static void note_leaf(struct edit *e, uint32_t level, uint64_t ia)
{
    uint64_t last = e->batch.any ? e->batch.last : 0;
    bool any = e->batch.any;
    batch_add(e->pt, &e->batch, level, ia);
    if (!any || e->batch.last != last) {
        e->tail = span_of(e->pt, level);
    }
}

static void commit_leaf(struct edit *e, uint32_t level, kc_pa_t at, uint64_t desc, uint64_t ia,
                        uint64_t part)
{
    uint64_t span = span_of(e->pt, level);
    if (part != span) {
        struct cut *c = &e->cuts[e->cut_count++];
        c->at = at;
        c->desc = table_desc(e->pt, level, build_cut(e, level, desc, ia & (span - 1), part));
        /* O2: the break. The link is stored when the invalidation is complete. */
        kc_plat_desc_store(at, desc & ~(uint64_t)1u);
        note_leaf(e, level, ia);
        return;
    }
    uint64_t value = edited(e, level, desc);
    if (value == desc) {
        return;
    }
    bool breaks = e->must_break && e->kind == EDIT_PROTECT;
    kc_plat_desc_store(at, breaks ? desc & ~(uint64_t)1u : value);
    note_leaf(e, level, ia);
}

static bool table_is_empty(const struct kc_pt *pt, uint32_t level, kc_pa_t table)
{
    uint32_t entries = kc_a64_level_entries(&pt->format, level);
    for (uint32_t i = 0; i < entries; i++) {
        if (kc_plat_desc_load(kc_pa(kc_pa_raw(table) + i * KC_PT_DESC_BYTES)) != 0) {
            return false;
        }
    }
    return true;
}

static void commit_edit(struct edit *e, uint32_t level, kc_pa_t table, uint64_t ia, uint64_t bytes)
{
    struct kc_pt *pt = e->pt;
    while (bytes != 0) {
        uint64_t part = part_in(ia, bytes, span_of(pt, level));
        kc_pa_t at = entry_at(pt, level, table, ia);
        uint64_t desc = kc_plat_desc_load(at);
        if (kc_a64_kind(&pt->format, level, desc) != KC_A64_TABLE) {
            commit_leaf(e, level, at, desc, ia, part);
        } else {
            commit_edit(e, level + 1, next_table(desc), ia, part);
            if (e->kind == EDIT_UNMAP && table_is_empty(pt, level + 1, next_table(desc))) {
                kc_plat_desc_store(at, 0);
                /* Still walked by CPUs that have the link cached: kept whole until settled. The
                   chain word is an invalid descriptor to them. */
                chain_push(&e->gone, ref_of_table(desc));
                e->batch.all_levels = true;
                pt->table_count--;
            }
        }
        ia += part;
        bytes -= part;
    }
}

/* Second half of a broken PROTECT: entries whose bit 0 was cleared get their new value. */
static void make_edit(struct edit *e, uint32_t level, kc_pa_t table, uint64_t ia, uint64_t bytes)
{
    while (bytes != 0) {
        uint64_t part = part_in(ia, bytes, span_of(e->pt, level));
        kc_pa_t at = entry_at(e->pt, level, table, ia);
        uint64_t desc = kc_plat_desc_load(at);
        if (kc_a64_is_valid(desc)) {
            if (kc_a64_kind(&e->pt->format, level, desc) == KC_A64_TABLE) {
                make_edit(e, level + 1, next_table(desc), ia, part);
            }
        } else if (part == span_of(e->pt, level)) {
            kc_plat_desc_store(at, edited(e, level, desc | 1u));
        }
        ia += part;
        bytes -= part;
    }
}

static kc_status_t edit_locked(struct edit *e, uint64_t ia, uint64_t bytes)
{
    struct kc_pt *pt = e->pt;
    uint32_t start = kc_a64_start_level(&pt->format);
    kc_status_t status = plan_edit(e, start, pt->root, ia, bytes);
    if (status != KC_OK) {
        return status;
    }
    status = reserve(pt, e->tables, &e->chain);
    if (status != KC_OK) {
        return status;
    }
    commit_edit(e, start, pt->root, ia, bytes);
    KC_CHECK(e->chain == 0); /* planned and committed alike */
    settle_invalidate(pt, &e->batch, e->tail);
    /* O1: the tables of cut leaves were filled before the DSB of the invalidation. */
    bool made = false;
    if (e->must_break && e->kind == EDIT_PROTECT) {
        make_edit(e, start, pt->root, ia, bytes);
        made = true;
    }
    for (uint32_t i = 0; i < e->cut_count; i++) {
        kc_plat_desc_store(e->cuts[i].at, e->cuts[i].desc);
        made = true;
    }
    if (e->batch.any) {
        settle_end(pt, made);
    }
    chain_drop(pt, e->gone); /* O4 */
    return KC_OK;
}

static kc_status_t edit(struct kc_pt *pt, struct edit *e, kc_ia_t ia, uint64_t bytes)
{
    kc_status_t status = judge_range(pt, ia, bytes);
    if (status != KC_OK) {
        return status;
    }
    enter(pt);
    status = edit_locked(e, kc_ia_raw(ia), bytes);
    leave(pt);
    return status;
}

kc_status_t kc_pt_unmap(struct kc_pt *pt, kc_ia_t ia, uint64_t bytes)
{
    kc_status_t status = judge_ready(pt, bytes);
    if (status != KC_OK) {
        return status;
    }
    struct edit e = {.pt = pt, .kind = EDIT_UNMAP};
    return edit(pt, &e, ia, bytes);
}

kc_status_t kc_pt_protect(struct kc_pt *pt, kc_ia_t ia, uint64_t bytes, struct kc_pt_attr attr)
{
    kc_status_t status = judge_ready(pt, bytes);
    if (status == KC_OK) {
        status = kc_pt_priv_attr_check(pt->any_asid, attr);
    }
    if (status != KC_OK) {
        return status;
    }
    struct edit e = {.pt = pt, .kind = EDIT_PROTECT, .attr_bits = encode_attr(pt, attr)};
    return edit(pt, &e, ia, bytes);
}

kc_status_t kc_pt_split(struct kc_pt *pt, kc_ia_t ia, uint32_t level)
{
    kc_status_t status = judge_ready(pt, 1);
    if (status != KC_OK) {
        return status;
    }
    if (level > KC_PT_LAST_LEVEL) {
        return KC_ERR_ARG;
    }
    if (!kc_ia_is_aligned(ia, KC_BIT(pt->format.granule_log2))) {
        return KC_ERR_ALIGN;
    }
    struct edit e = {.pt = pt, .kind = EDIT_KEEP};
    struct kc_pt_walk walk;
    status = kc_pt_translate(pt, ia, &walk);
    if (status != KC_OK) {
        return kc_a64_ia_in_range(&pt->format, kc_ia_raw(ia)) ? status : KC_ERR_RANGE;
    }
    if (walk.level >= level) {
        return KC_OK;
    }
    uint64_t span = span_of(pt, level);
    return edit(pt, &e, kc_ia_align_down(ia, span), span);
}

/* ---- join ----------------------------------------------------------------------------------- */

/* What the leaves below a table have in common. */
struct uniform {
    bool seen;
    uint64_t attr_bits;
    uint64_t out; /* output address of the first byte of the block to be */
};

static kc_status_t plan_join(const struct kc_pt *pt, uint32_t level, kc_pa_t table, uint64_t off,
                             struct uniform *u)
{
    uint32_t entries = kc_a64_level_entries(&pt->format, level);
    for (uint32_t i = 0; i < entries; i++, off += span_of(pt, level)) {
        uint64_t desc = kc_plat_desc_load(kc_pa(kc_pa_raw(table) + i * KC_PT_DESC_BYTES));
        if (desc == 0) {
            return KC_ERR_ABSENT;
        }
        if (kc_a64_kind(&pt->format, level, desc) == KC_A64_TABLE) {
            kc_status_t status = plan_join(pt, level + 1, next_table(desc), off, u);
            if (status != KC_OK) {
                return status;
            }
            continue;
        }
        if (!leaf_is_ours(pt, level, desc)) {
            return KC_ERR_CORRUPT;
        }
        uint64_t bits = attr_bits_of(pt, level, desc);
        uint64_t out = (desc & out_mask(pt, level)) - off;
        if (!u->seen) {
            *u = (struct uniform){true, bits, out};
        } else if (u->attr_bits != bits || u->out != out) {
            return KC_ERR_STATE;
        }
    }
    return KC_OK;
}

/* Chain all tables from this one down. Nobody can reach or has cached any of them. */
static void gather(struct kc_pt *pt, uint32_t level, uint64_t ref, uint64_t *chain)
{
    uint32_t entries = kc_a64_level_entries(&pt->format, level);
    for (uint32_t i = 0; level < KC_PT_LAST_LEVEL && i < entries; i++) {
        kc_pa_t at = kc_pa(kc_pa_raw(ref_pa(ref)) + i * KC_PT_DESC_BYTES);
        uint64_t desc = kc_plat_desc_load(at);
        if (kc_a64_kind(&pt->format, level, desc) == KC_A64_TABLE) {
            gather(pt, level + 1, ref_of_table(desc), chain);
        }
    }
    pt->table_count--;
    chain_push(chain, ref);
}

static kc_status_t join_locked(struct kc_pt *pt, uint64_t ia, uint32_t level)
{
    uint32_t at_level = kc_a64_start_level(&pt->format);
    kc_pa_t table = pt->root;
    uint64_t desc = kc_plat_desc_load(entry_at(pt, at_level, table, ia));
    while (kc_a64_kind(&pt->format, at_level, desc) == KC_A64_TABLE && at_level < level) {
        at_level++;
        table = next_table(desc);
        desc = kc_plat_desc_load(entry_at(pt, at_level, table, ia));
    }
    if (at_level != level || kc_a64_kind(&pt->format, level, desc) != KC_A64_TABLE) {
        return KC_ERR_ABSENT;
    }
    struct uniform u = {0};
    kc_status_t status = plan_join(pt, level + 1, next_table(desc), 0, &u);
    if (status != KC_OK) {
        return status;
    }
    if (!kc_is_aligned(u.out, span_of(pt, level))) {
        return KC_ERR_STATE;
    }
    struct batch b = {.first = ia,
                      .last = ia,
                      .shift = kc_a64_level_shift(&pt->format, KC_PT_LAST_LEVEL),
                      .level = KC_A64_TTL_ANY,
                      .any = true,
                      .all_levels = true};
    kc_pa_t at = entry_at(pt, level, table, ia);
    kc_plat_desc_store(at, desc & ~(uint64_t)1u); /* O2 */
    settle_invalidate(pt, &b, span_of(pt, level));
    kc_plat_desc_store(at, leaf_desc(u.attr_bits, level, u.out));
    settle_end(pt, true);
    uint64_t gone = 0;
    gather(pt, level + 1, ref_of_table(desc), &gone);
    chain_drop(pt, gone); /* O4 */
    return KC_OK;
}

kc_status_t kc_pt_join(struct kc_pt *pt, kc_ia_t ia, uint32_t level)
{
    kc_status_t status = judge_ready(pt, 1);
    if (status != KC_OK) {
        return status;
    }
    if (level >= KC_PT_LAST_LEVEL || !kc_a64_level_is_leaf(&pt->format, level) ||
        level < pt->level_min) {
        return KC_ERR_ARG;
    }
    if (!kc_ia_is_aligned(ia, span_of(pt, level))) {
        return KC_ERR_ALIGN;
    }
    if (!kc_a64_ia_in_range(&pt->format, kc_ia_raw(ia))) {
        return KC_ERR_RANGE;
    }
    if (level < kc_a64_start_level(&pt->format)) {
        return KC_ERR_ABSENT;
    }
    enter(pt);
    status = join_locked(pt, kc_ia_raw(ia), level);
    leave(pt);
    return status;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static bool source_is_sound(const struct kc_pt_source *s)
{
    return (s->early != NULL) != (s->frames != NULL);
}

static void become_shared(struct kc_pt *pt)
{
    kc_lock_init(&pt->lock, "pt", KC_RANK_PT);
    pt->shared = true;
    kc_plat_note(KC_NOTE_PT_LOCK, (uintptr_t)&pt->lock, sizeof(pt->lock), pt);
}

kc_status_t kc_pt_init(struct kc_pt *pt, const struct kc_pt_config *config)
{
    kc_status_t status = kc_a64_format_check(&config->format);
    if (status != KC_OK) {
        return status;
    }
    if (!source_is_sound(&config->source) || config->level_min > KC_PT_LAST_LEVEL) {
        return KC_ERR_ARG;
    }
    uint32_t asid_bits = (config->format.features & KC_A64_FEAT_ASID16) != 0 ? 16 : 8;
    if (!config->any_asid && config->asid >> asid_bits != 0) {
        return KC_ERR_RANGE;
    }
    struct kc_pt fresh = {
        .format = config->format,
        .source = config->source,
        .asid = config->any_asid ? 0 : config->asid,
        .level_min = config->level_min == 0 ? 1 : config->level_min,
        .any_asid = config->any_asid,
        .table_count = 1,
        .ready = true,
    };
    struct kc_pt before = *pt;
    *pt = fresh; /* notes name pt, so the page is taken in its name */
    uint64_t ref;
    status = page_take(pt, &ref);
    if (status != KC_OK) {
        *pt = before;
        return status;
    }
    pt->root = ref_pa(ref);
    pt->root_early = (ref & KC_PT_REF_EARLY) != 0;
    kc_plat_note(KC_NOTE_ROOT, kc_pa_raw(pt->root), KC_PT_PAGE_BYTES, pt);
    if (pt->source.frames != NULL) {
        become_shared(pt);
    }
    return KC_OK;
}

kc_status_t kc_pt_set_source(struct kc_pt *pt, const struct kc_pt_source *source)
{
    if (!pt->ready || pt->shared) {
        return KC_ERR_STATE;
    }
    if (source->frames == NULL || source->early != NULL) {
        return KC_ERR_ARG;
    }
    pt->source = *source;
    /* Said again, for the owner's address may be another than it was with the MMU off. */
    kc_plat_note(KC_NOTE_ROOT, kc_pa_raw(pt->root), KC_PT_PAGE_BYTES, pt);
    become_shared(pt);
    return KC_OK;
}

void kc_pt_set_live(struct kc_pt *pt)
{
    enter(pt);
    pt->live = true;
    /* Without it: the TTBR is written, a walk starts, and reads an entry whose store is still on
       its way: a fault, or what the page held before. */
    kc_plat_barrier(KC_DSB_ISHST);
    leave(pt);
}

kc_pa_t kc_pt_root(const struct kc_pt *pt)
{
    return pt->root;
}

const struct kc_a64_format *kc_pt_format(const struct kc_pt *pt)
{
    return &pt->format;
}

void kc_pt_set_asid(struct kc_pt *pt, uint32_t asid)
{
    enter(pt);
    pt->asid = asid;
    leave(pt);
}

kc_status_t kc_pt_fini(struct kc_pt *pt)
{
    if (!pt->ready) {
        return KC_ERR_STATE;
    }
    uint64_t gone = 0;
    uint64_t root =
        kc_pa_raw(pt->root) | KC_PT_REF_PRESENT | (pt->root_early ? KC_PT_REF_EARLY : 0);
    enter(pt);
    if (pt->live) {
        /* The walks of other CPUs that began under this root end with the DSB: until then they may
           read any of its tables. */
        kc_plat_barrier(KC_DSB_ISHST);
        tlbi_everything(pt);
        kc_plat_barrier(KC_DSB_ISH);
        kc_plat_barrier(KC_ISB);
    }
    gather(pt, kc_a64_start_level(&pt->format), root, &gone);
    chain_drop(pt, gone); /* O4 */
    KC_CHECK(pt->table_count == 0);
    pt->ready = false;
    pt->live = false;
    pt->spare = 0;
    pt->spare_count = 0;
    if (pt->shared) {
        kc_lock_release(&pt->lock);
    }
    return KC_OK;
}

/* ---- queries -------------------------------------------------------------------------------- */

static void walk_fault(struct kc_pt_walk *w, enum kc_a64_fault fault)
{
    w->fault = (uint8_t)fault;
}

/* The last descriptor of a walk, judged as the hardware would. */
static void walk_leaf(const struct kc_pt *pt, uint64_t ia, uint32_t level, struct kc_pt_walk *w)
{
    struct kc_a64_leaf l;
    uint64_t out = w->desc & out_mask(pt, level);
    if (kc_a64_leaf_decode(&pt->format, level, w->desc, &l) != KC_OK) {
        walk_fault(w,
                   out >> pt->format.pa_bits != 0 ? KC_A64_FAULT_ADDRESS_SIZE : KC_A64_FAULT_OTHER);
        return;
    }
    w->leaf = l;
    w->attr = kc_pt_priv_attr_of(&l);
    w->pa = kc_pa(l.out | (ia & (w->span - 1)));
    walk_fault(w, l.af ? KC_A64_FAULT_NONE : KC_A64_FAULT_ACCESS_FLAG);
}

static void walk(const struct kc_pt *pt, uint64_t ia, struct kc_pt_walk *w)
{
    kc_pa_t table = pt->root;
    *w = (struct kc_pt_walk){.fault = KC_A64_FAULT_TRANSLATION};
    if (!kc_a64_ia_in_range(&pt->format, ia)) {
        return;
    }
    for (uint32_t level = kc_a64_start_level(&pt->format);; level++) {
        w->level = (uint8_t)level;
        w->span = span_of(pt, level);
        w->desc_pa = entry_at(pt, level, table, ia);
        w->desc = kc_plat_desc_load(w->desc_pa);
        switch (kc_a64_kind(&pt->format, level, w->desc)) {
        case KC_A64_BLOCK:
        case KC_A64_PAGE:
            walk_leaf(pt, ia, level, w);
            return;
        case KC_A64_TABLE:
            break;
        default:
            return;
        }
        struct kc_a64_table t;
        if (kc_a64_table_decode(&pt->format, level, w->desc, &t) != KC_OK) {
            walk_fault(w, KC_A64_FAULT_ADDRESS_SIZE);
            return;
        }
        w->ap_table |= t.ap_table;
        w->uxn_table = w->uxn_table || t.uxn_table;
        w->pxn_table = w->pxn_table || t.pxn_table;
        table = kc_pa(t.next);
    }
}

kc_status_t kc_pt_translate(struct kc_pt *pt, kc_ia_t ia, struct kc_pt_walk *out)
{
    if (!pt->ready) {
        return KC_ERR_STATE;
    }
    enter(pt);
    walk(pt, kc_ia_raw(ia), out);
    leave(pt);
    return out->fault == KC_A64_FAULT_NONE ? KC_OK : KC_ERR_ABSENT;
}

struct kc_pt_cursor kc_pt_each_from(const struct kc_pt *pt, kc_ia_t ia)
{
    struct kc_pt_cursor c = {kc_ia_raw(ia), false};
    uint64_t base = kc_a64_ia_base(&pt->format);
    if (!kc_a64_ia_in_range(&pt->format, c.next)) {
        c.done = c.next > base; /* below the half: begin with it; above: nothing is left */
        c.next = base;
    }
    return c;
}

/* The next run starts where this leaf starts, or is the continuation of what was found so far. */
static bool run_takes(struct kc_pt_run *run, uint64_t ia, const struct kc_pt_walk *w,
                      uint64_t bytes)
{
    if (run->bytes == 0) {
        *run = (struct kc_pt_run){kc_ia(ia), w->pa, bytes, w->attr};
        return true;
    }
    if (kc_pa_raw(run->pa) + run->bytes != kc_pa_raw(w->pa) || run->attr.perm != w->attr.perm ||
        run->attr.type != w->attr.type || run->attr.global != w->attr.global) {
        return false;
    }
    run->bytes += bytes;
    return true;
}

bool kc_pt_each(struct kc_pt *pt, struct kc_pt_cursor *c, struct kc_pt_run *out)
{
    struct kc_pt_run run = {.bytes = 0};
    if (!pt->ready) {
        return false;
    }
    enter(pt);
    while (!c->done) {
        struct kc_pt_walk w;
        walk(pt, c->next, &w);
        uint64_t bytes = w.span - (c->next & (w.span - 1));
        if (w.fault == KC_A64_FAULT_NONE ? !run_takes(&run, c->next, &w, bytes) : run.bytes != 0) {
            break;
        }
        /* One more would wrap, or leave the half. */
        c->done =
            !kc_add_u64(c->next, bytes, &c->next) || !kc_a64_ia_in_range(&pt->format, c->next);
    }
    leave(pt);
    if (run.bytes == 0) {
        return false;
    }
    *out = run;
    return true;
}

void kc_pt_stats(struct kc_pt *pt, struct kc_pt_stats *out)
{
    enter(pt);
    *out = (struct kc_pt_stats){pt->table_count, pt->spare_count};
    leave(pt);
}

void kc_pt_expect_at(const struct kc_pt_walk *w, enum kc_at op, struct kc_a64_par *out)
{
    bool el0 = op == KC_AT_S1E0R || op == KC_AT_S1E0W;
    bool write = op == KC_AT_S1E1W || op == KC_AT_S1E0W;
    uint32_t fault = w->fault;
    *out = (struct kc_a64_par){.level = KC_A64_LEVEL_NONE};
    if (fault == KC_A64_FAULT_NONE) {
        /* D8.4.1: AP[1] gives EL0 access, AP[2] takes writes; APTable takes the same away. */
        bool reaches = !el0 || ((w->leaf.ap & 1u) != 0 && (w->ap_table & 1u) == 0);
        bool writes = (w->leaf.ap & 2u) == 0 && (w->ap_table & 2u) == 0;
        if (!reaches || (write && !writes)) {
            fault = KC_A64_FAULT_PERMISSION;
        }
    }
    if (fault != KC_A64_FAULT_NONE) {
        out->failed = true;
        out->fault = (uint8_t)fault;
        out->level = w->level;
        out->fst = (uint8_t)kc_a64_fsc_encode((enum kc_a64_fault)fault, w->level);
        return;
    }
    out->pa = kc_pa_raw(w->pa) & ~(uint64_t)(KC_PT_PAGE_BYTES - 1);
    out->attr = w->attr.type < KC_A64_MEM_COUNT ? kc_a64_mem_attr((enum kc_a64_mem)w->attr.type)
                                                : (uint8_t)0;
    out->sh = w->leaf.sh;
}
