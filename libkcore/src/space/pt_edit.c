/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Translation tables: changes of leaves that exist. Nouns, phases and invariants are those of pt.c.
 *
 * Unmap, protect, move and split are one *edit*: whole leaves change in place, a leaf that the
 * range cuts is replaced by a table in which only the part in the range is changed. Join is the
 * opposite: a table whose leaves continue each other is replaced by one leaf.
 *
 * Why clear bit 0 in a break and not the whole entry: the output address stays readable, so that
 * the second half needs no memory of its own. An invalid entry may hold any bits (DDI 0487 J.a,
 * D8.3.1) and no walker caches it (D8.13.1).
 *
 * Cost and locking: as in the header; one hold of the tree's lock for a whole operation.
 *
 * Sources: DDI 0487 J.a, D8.14 "TLB maintenance"; Hafnium mm.c.
 */
#include "pt_priv.h"

/* A range has two ends, and each cuts at most one leaf. */
#define CUTS_MAX 2u

/* ---- unmap, protect, move, split ------------------------------------------------------------ */

enum edit_kind {
    EDIT_UNMAP,
    EDIT_PROTECT, /* new attributes */
    EDIT_MOVE,    /* new output addresses */
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
    uint64_t delta;     /* MOVE: new output address minus input address, modulo 2^64 */
    uint64_t tables;    /* plan: pages needed */
    bool must_break;    /* plan: some whole leaf may not change while live */
    uint64_t chain;     /* pages reserved */
    uint64_t gone;      /* pages unlinked, to be freed at the end */
    struct kc_pt_batch batch;
    uint64_t tail; /* bytes of the highest leaf changed */
    uint32_t cut_count;
    struct cut cuts[CUTS_MAX];
};

/* What a whole leaf, which translates ia onwards, becomes. */
static uint64_t edited(const struct edit *e, uint32_t level, uint64_t ia, uint64_t desc)
{
    switch (e->kind) {
    case EDIT_UNMAP:
        return 0;
    case EDIT_PROTECT:
        return kc_pt_priv_leaf_desc(e->attr_bits, level, desc & kc_pt_priv_out_mask(e->pt, level));
    case EDIT_MOVE:
        return kc_pt_priv_leaf_desc(kc_pt_priv_attr_bits(e->pt, level, desc), level, ia + e->delta);
    case EDIT_KEEP:
    default:
        return desc;
    }
}

/* Tables to replace a leaf of that level by, if off .. off + part - 1 of it is edited. */
static uint64_t count_cut(const struct kc_pt *pt, uint32_t level, uint64_t off, uint64_t part)
{
    uint64_t sub = kc_pt_priv_span(pt, level + 1);
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

/*
 * Can what the range covers of a leaf of that level be moved? The largest whole leaf that will be
 * part of it must be aligned at its new place, too; the smaller ones then are.
 */
static bool moves_whole(const struct edit *e, uint32_t level, uint64_t ia, uint64_t part)
{
    while (level < KC_PT_LAST_LEVEL) {
        uint64_t span = kc_pt_priv_span(e->pt, level);
        uint64_t skip = (span - (ia & (span - 1))) & (span - 1); /* to the first boundary */
        if (part > skip && part - skip >= span) {
            return kc_is_aligned(e->delta, span);
        }
        level++;
    }
    return true;
}

static kc_status_t plan_edit(struct edit *e, uint32_t level, kc_pa_t table, uint64_t ia,
                             uint64_t bytes)
{
    const struct kc_pt *pt = e->pt;
    uint64_t span = kc_pt_priv_span(pt, level);
    while (bytes != 0) {
        uint64_t part = kc_pt_priv_part(ia, bytes, span);
        uint64_t desc = kc_plat_desc_load(kc_pt_priv_entry(pt, level, table, ia));
        enum kc_a64_kind kind = kc_a64_kind(&pt->format, level, desc);
        if (desc == 0) {
            return KC_ERR_ABSENT;
        }
        if (kind == KC_A64_TABLE) {
            kc_status_t status = plan_edit(e, level + 1, kc_pt_priv_next(desc), ia, part);
            if (status != KC_OK) {
                return status;
            }
        } else if (!kc_pt_priv_leaf_is_ours(pt, level, desc)) {
            return KC_ERR_CORRUPT;
        } else if (e->kind == EDIT_MOVE && !moves_whole(e, level, ia, part)) {
            return KC_ERR_ALIGN;
        } else if (part != span) {
            e->tables += count_cut(pt, level, ia & (span - 1), part);
        } else if (kc_a64_change_classify(&pt->format, level, desc, edited(e, level, ia, desc)) ==
                   KC_A64_CHANGE_BREAK) {
            e->must_break = true;
        }
        ia += part;
        bytes -= part;
    }
    return KC_OK;
}

/*
 * The table that replaces a leaf, which translates ia onwards, of which off .. off + part - 1 is
 * edited. Nobody can reach it yet.
 *
 *     0          off            off + part        span
 *     |   keep   |    edited    |      keep       |
 *     +----+----+----+----+----+----+----+----+---+
 *     entries of the next level; one that straddles an edge becomes a table itself
 */
static uint64_t build_cut(struct edit *e, uint32_t level, uint64_t desc, uint64_t ia, uint64_t off,
                          uint64_t part)
{
    const struct kc_pt *pt = e->pt;
    uint64_t ref = kc_pt_priv_chain_pop(&e->chain);
    kc_pa_t table = kc_pt_priv_ref_pa(ref);
    uint64_t span = kc_pt_priv_span(pt, level);
    uint64_t sub = kc_pt_priv_span(pt, level + 1);
    uint64_t bits = kc_pt_priv_attr_bits(pt, level, desc);
    uint64_t out = desc & kc_pt_priv_out_mask(pt, level);
    uint64_t end = off + part;
    uint64_t pos = 0;
    e->pt->table_count++;
    while (pos < span) {
        bool is_edited = pos >= off && pos < end;
        uint64_t stop = pos < off ? off : (is_edited ? end : span);
        uint64_t count = (stop - pos) / sub;
        kc_pa_t at = kc_pa(kc_pa_raw(table) + pos / sub * KC_PT_DESC_BYTES);
        uint64_t keep = kc_pt_priv_leaf_desc(bits, level + 1, out + pos);
        if (count == 0) {
            uint64_t from = off > pos ? off - pos : 0;
            uint64_t to = end < pos + sub ? end - pos : sub;
            uint64_t child = build_cut(e, level + 1, keep, ia + pos, from, to - from);
            kc_plat_desc_store(at, kc_pt_priv_table_desc(pt, level + 1, child));
            pos += sub;
            continue;
        }
        uint64_t value = is_edited ? edited(e, level + 1, ia + pos, keep) : keep;
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
    kc_pt_priv_batch_add(e->pt, &e->batch, level, ia);
    if (!any || e->batch.last != last) {
        e->tail = kc_pt_priv_span(e->pt, level);
    }
}

static void commit_leaf(struct edit *e, uint32_t level, kc_pa_t at, uint64_t desc, uint64_t ia,
                        uint64_t part)
{
    uint64_t span = kc_pt_priv_span(e->pt, level);
    if (part != span) {
        struct cut *c = &e->cuts[e->cut_count++];
        c->at = at;
        c->desc = kc_pt_priv_table_desc(
            e->pt, level,
            build_cut(e, level, desc, kc_align_down(ia, span), ia & (span - 1), part));
        /* O2: the break. The link is stored when the invalidation is complete. */
        kc_plat_desc_store(at, desc & ~(uint64_t)1u);
        note_leaf(e, level, ia);
        return;
    }
    uint64_t value = edited(e, level, ia, desc);
    if (value == desc) {
        return;
    }
    bool breaks = e->must_break && e->kind != EDIT_UNMAP;
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
        uint64_t part = kc_pt_priv_part(ia, bytes, kc_pt_priv_span(pt, level));
        kc_pa_t at = kc_pt_priv_entry(pt, level, table, ia);
        uint64_t desc = kc_plat_desc_load(at);
        if (kc_a64_kind(&pt->format, level, desc) != KC_A64_TABLE) {
            commit_leaf(e, level, at, desc, ia, part);
        } else {
            commit_edit(e, level + 1, kc_pt_priv_next(desc), ia, part);
            if (e->kind == EDIT_UNMAP && table_is_empty(pt, level + 1, kc_pt_priv_next(desc))) {
                kc_plat_desc_store(at, 0);
                /* Still walked by CPUs that have the link cached: kept whole until settled. The
                   chain word is an invalid descriptor to them. */
                kc_pt_priv_chain_push(&e->gone, kc_pt_priv_table_ref(desc));
                e->batch.all_levels = true;
                pt->table_count--;
            }
        }
        ia += part;
        bytes -= part;
    }
}

/* Second half of a broken PROTECT or MOVE: entries whose bit 0 was cleared get their new value. */
static void make_edit(struct edit *e, uint32_t level, kc_pa_t table, uint64_t ia, uint64_t bytes)
{
    while (bytes != 0) {
        uint64_t part = kc_pt_priv_part(ia, bytes, kc_pt_priv_span(e->pt, level));
        kc_pa_t at = kc_pt_priv_entry(e->pt, level, table, ia);
        uint64_t desc = kc_plat_desc_load(at);
        if (kc_a64_is_valid(desc)) {
            if (kc_a64_kind(&e->pt->format, level, desc) == KC_A64_TABLE) {
                make_edit(e, level + 1, kc_pt_priv_next(desc), ia, part);
            }
        } else if (part == kc_pt_priv_span(e->pt, level)) {
            kc_plat_desc_store(at, edited(e, level, ia, desc | 1u));
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
    status = kc_pt_priv_reserve(pt, e->tables, &e->chain);
    if (status != KC_OK) {
        return status;
    }
    commit_edit(e, start, pt->root, ia, bytes);
    KC_CHECK(e->chain == 0); /* planned and committed alike */
    kc_pt_priv_settle_invalidate(pt, &e->batch, e->tail);
    /* O1: the tables of cut leaves were filled before the DSB of the invalidation. */
    bool made = false;
    if (e->must_break && e->kind != EDIT_UNMAP) {
        make_edit(e, start, pt->root, ia, bytes);
        made = true;
    }
    for (uint32_t i = 0; i < e->cut_count; i++) {
        kc_plat_desc_store(e->cuts[i].at, e->cuts[i].desc);
        made = true;
    }
    if (e->batch.any) {
        kc_pt_priv_settle_end(pt, made);
    }
    kc_pt_priv_chain_drop(pt, e->gone); /* O4 */
    return KC_OK;
}

static kc_status_t edit(struct kc_pt *pt, struct edit *e, kc_ia_t ia, uint64_t bytes)
{
    kc_status_t status = kc_pt_priv_judge_range(pt, ia, bytes);
    if (status != KC_OK) {
        return status;
    }
    kc_pt_priv_enter(pt);
    status = edit_locked(e, kc_ia_raw(ia), bytes);
    kc_pt_priv_leave(pt);
    return status;
}

kc_status_t kc_pt_unmap(struct kc_pt *pt, kc_ia_t ia, uint64_t bytes)
{
    kc_status_t status = kc_pt_priv_judge_ready(pt, bytes);
    if (status != KC_OK) {
        return status;
    }
    struct edit e = {.pt = pt, .kind = EDIT_UNMAP};
    return edit(pt, &e, ia, bytes);
}

kc_status_t kc_pt_protect(struct kc_pt *pt, kc_ia_t ia, uint64_t bytes, struct kc_pt_attr attr)
{
    kc_status_t status = kc_pt_priv_judge_ready(pt, bytes);
    if (status == KC_OK) {
        status = kc_pt_priv_attr_check(pt->any_asid, attr);
    }
    if (status != KC_OK) {
        return status;
    }
    struct edit e = {.pt = pt, .kind = EDIT_PROTECT, .attr_bits = kc_pt_priv_attr_encode(pt, attr)};
    return edit(pt, &e, ia, bytes);
}

kc_status_t kc_pt_move(struct kc_pt *pt, kc_ia_t ia, kc_pa_t pa, uint64_t bytes)
{
    kc_status_t status = kc_pt_priv_judge_ready(pt, bytes);
    if (status == KC_OK && !kc_pa_is_aligned(pa, KC_BIT(pt->format.granule_log2))) {
        status = KC_ERR_ALIGN;
    }
    if (status == KC_OK && !kc_range_covers(0, KC_BIT(pt->format.pa_bits), kc_pa_raw(pa), bytes)) {
        status = KC_ERR_RANGE;
    }
    if (status != KC_OK) {
        return status;
    }
    struct edit e = {.pt = pt, .kind = EDIT_MOVE, .delta = kc_pa_raw(pa) - kc_ia_raw(ia)};
    return edit(pt, &e, ia, bytes);
}

kc_status_t kc_pt_split(struct kc_pt *pt, kc_ia_t ia, uint32_t level)
{
    kc_status_t status = kc_pt_priv_judge_ready(pt, 1);
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
    uint64_t span = kc_pt_priv_span(pt, level);
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
    for (uint32_t i = 0; i < entries; i++, off += kc_pt_priv_span(pt, level)) {
        uint64_t desc = kc_plat_desc_load(kc_pa(kc_pa_raw(table) + i * KC_PT_DESC_BYTES));
        if (desc == 0) {
            return KC_ERR_ABSENT;
        }
        if (kc_a64_kind(&pt->format, level, desc) == KC_A64_TABLE) {
            kc_status_t status = plan_join(pt, level + 1, kc_pt_priv_next(desc), off, u);
            if (status != KC_OK) {
                return status;
            }
            continue;
        }
        if (!kc_pt_priv_leaf_is_ours(pt, level, desc)) {
            return KC_ERR_CORRUPT;
        }
        uint64_t bits = kc_pt_priv_attr_bits(pt, level, desc);
        uint64_t out = (desc & kc_pt_priv_out_mask(pt, level)) - off;
        if (!u->seen) {
            *u = (struct uniform){true, bits, out};
        } else if (u->attr_bits != bits || u->out != out) {
            return KC_ERR_STATE;
        }
    }
    return KC_OK;
}

static kc_status_t join_locked(struct kc_pt *pt, uint64_t ia, uint32_t level)
{
    uint32_t at_level = kc_a64_start_level(&pt->format);
    kc_pa_t table = pt->root;
    uint64_t desc = kc_plat_desc_load(kc_pt_priv_entry(pt, at_level, table, ia));
    while (kc_a64_kind(&pt->format, at_level, desc) == KC_A64_TABLE && at_level < level) {
        at_level++;
        table = kc_pt_priv_next(desc);
        desc = kc_plat_desc_load(kc_pt_priv_entry(pt, at_level, table, ia));
    }
    if (at_level != level || kc_a64_kind(&pt->format, level, desc) != KC_A64_TABLE) {
        return KC_ERR_ABSENT;
    }
    struct uniform u = {0};
    kc_status_t status = plan_join(pt, level + 1, kc_pt_priv_next(desc), 0, &u);
    if (status != KC_OK) {
        return status;
    }
    if (!kc_is_aligned(u.out, kc_pt_priv_span(pt, level))) {
        return KC_ERR_STATE;
    }
    struct kc_pt_batch b = {.first = ia,
                            .last = ia,
                            .shift = kc_a64_level_shift(&pt->format, KC_PT_LAST_LEVEL),
                            .level = KC_A64_TTL_ANY,
                            .any = true,
                            .all_levels = true};
    kc_pa_t at = kc_pt_priv_entry(pt, level, table, ia);
    kc_plat_desc_store(at, desc & ~(uint64_t)1u); /* O2 */
    kc_pt_priv_settle_invalidate(pt, &b, kc_pt_priv_span(pt, level));
    kc_plat_desc_store(at, kc_pt_priv_leaf_desc(u.attr_bits, level, u.out));
    kc_pt_priv_settle_end(pt, true);
    uint64_t gone = 0;
    kc_pt_priv_gather(pt, level + 1, kc_pt_priv_table_ref(desc), &gone);
    kc_pt_priv_chain_drop(pt, gone); /* O4 */
    return KC_OK;
}

kc_status_t kc_pt_join(struct kc_pt *pt, kc_ia_t ia, uint32_t level)
{
    kc_status_t status = kc_pt_priv_judge_ready(pt, 1);
    if (status != KC_OK) {
        return status;
    }
    if (level >= KC_PT_LAST_LEVEL || !kc_a64_level_is_leaf(&pt->format, level) ||
        level < pt->level_min) {
        return KC_ERR_ARG;
    }
    if (!kc_ia_is_aligned(ia, kc_pt_priv_span(pt, level))) {
        return KC_ERR_ALIGN;
    }
    if (!kc_a64_ia_in_range(&pt->format, kc_ia_raw(ia))) {
        return KC_ERR_RANGE;
    }
    if (level < kc_a64_start_level(&pt->format)) {
        return KC_ERR_ABSENT;
    }
    kc_pt_priv_enter(pt);
    status = join_locked(pt, kc_ia_raw(ia), level);
    kc_pt_priv_leave(pt);
    return status;
}
