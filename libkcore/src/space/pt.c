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
 * Here are attributes, map, life cycle and queries; pt_edit.c has what changes leaves that exist,
 * pt_settle.c what such a change owes to the TLBs, pt_page.c the table pages.
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
 *   O6  An operation that stored to a shared tree that is not live ends in DSB ISHST: the CPU that
 *       will make it live may be another.
 *
 * Cost: as in the header. Locking: one lock, rank KC_RANK_PT, held for a whole operation, with
 * calls only downwards, to frame.
 *
 * Sources: DDI 0487 J.a, B2.3.10 "Ordering of translation table walks"; Hafnium mm.c for prepare
 * and commit.
 */
#include "pt_priv.h"

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

/* ---- shared with pt_edit.c ------------------------------------------------------------------ */

void kc_pt_priv_enter(struct kc_pt *pt)
{
    if (pt->shared) {
        kc_lock_acquire(&pt->lock);
    }
}

void kc_pt_priv_leave(struct kc_pt *pt)
{
    KC_AUDIT(kc_pt_check(pt, NULL) == KC_OK);
    if (pt->shared) {
        kc_lock_release(&pt->lock);
    }
}

uint64_t kc_pt_priv_attr_encode(const struct kc_pt *pt, struct kc_pt_attr attr)
{
    struct kc_a64_leaf l;
    uint64_t desc = 0;
    kc_pt_priv_leaf_of(attr, &l);
    kc_status_t status = kc_a64_leaf_encode(&pt->format, KC_PT_LAST_LEVEL, &l, &desc);
    KC_CHECK(status == KC_OK);
    return kc_pt_priv_attr_bits(pt, KC_PT_LAST_LEVEL, desc);
}

/* I3: is this a leaf that this module wrote? */
bool kc_pt_priv_leaf_is_ours(const struct kc_pt *pt, uint32_t level, uint64_t desc)
{
    struct kc_a64_leaf l;
    if (kc_a64_leaf_decode(&pt->format, level, desc, &l) != KC_OK) {
        return false;
    }
    struct kc_pt_attr attr = kc_pt_priv_attr_of(&l);
    return attr.type < KC_A64_MEM_COUNT &&
           kc_pt_priv_leaf_desc(kc_pt_priv_attr_encode(pt, attr), level, l.out) == desc;
}

/* ---- arguments ------------------------------------------------------------------------------ */

kc_status_t kc_pt_priv_judge_range(const struct kc_pt *pt, kc_ia_t ia, uint64_t bytes)
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

kc_status_t kc_pt_priv_judge_ready(const struct kc_pt *pt, uint64_t bytes)
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
    uint64_t span = kc_pt_priv_span(pt, level);
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
        uint64_t part = kc_pt_priv_part(ia, bytes, kc_pt_priv_span(pt, level));
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
        uint64_t part = kc_pt_priv_part(ia, bytes, kc_pt_priv_span(pt, level));
        uint64_t desc = kc_plat_desc_load(kc_pt_priv_entry(pt, level, table, ia));
        enum kc_a64_kind kind = kc_a64_kind(&pt->format, level, desc);
        if (kind == KC_A64_BLOCK || kind == KC_A64_PAGE) {
            return KC_ERR_EXISTS;
        }
        if (kind == KC_A64_TABLE) {
            kc_status_t status =
                plan_map(pt, level + 1, kc_pt_priv_next(desc), ia, pa, part, count);
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
    kc_pa_t at = kc_pt_priv_entry(op->pt, level, table, ia);
    uint64_t desc = kc_pt_priv_leaf_desc(op->attr_bits, level, pa);
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
    kc_pa_t at = kc_pt_priv_entry(op->pt, level, table, ia);
    uint64_t desc = kc_plat_desc_load(at);
    if (desc != 0) {
        commit_map(op, level + 1, kc_pt_priv_next(desc), reachable, ia, pa, part);
        return;
    }
    uint64_t ref = kc_pt_priv_chain_pop(&op->chain);
    commit_map(op, level + 1, kc_pt_priv_ref_pa(ref), false, ia, pa, part);
    op->pt->table_count++;
    if (reachable) {
        /* Without it: a walker sees the link before the zeroes and descriptors of the new page, and
           takes what the page held before for descriptors. */
        kc_plat_barrier(KC_DSB_ISHST);
    }
    kc_plat_desc_store(at, kc_pt_priv_table_desc(op->pt, level, ref));
}

static void commit_map(struct map_op *op, uint32_t level, kc_pa_t table, bool reachable,
                       uint64_t ia, uint64_t pa, uint64_t bytes)
{
    while (bytes != 0) {
        uint64_t part = kc_pt_priv_part(ia, bytes, kc_pt_priv_span(op->pt, level));
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
    struct map_op op = {.pt = pt, .attr_bits = kc_pt_priv_attr_encode(pt, attr)};
    uint32_t start = kc_a64_start_level(&pt->format);
    uint64_t count = 0;
    kc_status_t status = plan_map(pt, start, pt->root, ia, pa, bytes, &count);
    if (status != KC_OK) {
        return status;
    }
    status = kc_pt_priv_reserve(pt, count, &op.chain);
    if (status != KC_OK) {
        return status;
    }
    commit_map(&op, start, pt->root, pt->live, ia, pa, bytes);
    KC_CHECK(op.chain == 0); /* planned and committed alike */
    kc_pt_priv_settle_end(pt, true);
    return KC_OK;
}

kc_status_t kc_pt_map(struct kc_pt *pt, kc_ia_t ia, kc_pa_t pa, uint64_t bytes,
                      struct kc_pt_attr attr)
{
    kc_status_t status = kc_pt_priv_judge_ready(pt, bytes);
    if (status == KC_OK) {
        status = kc_pt_priv_attr_check(pt->any_asid, attr);
    }
    if (status == KC_OK && !kc_pa_is_aligned(pa, KC_BIT(pt->format.granule_log2))) {
        status = KC_ERR_ALIGN;
    }
    if (status == KC_OK) {
        status = kc_pt_priv_judge_range(pt, ia, bytes);
    }
    if (status == KC_OK && !kc_range_covers(0, KC_BIT(pt->format.pa_bits), kc_pa_raw(pa), bytes)) {
        status = KC_ERR_RANGE;
    }
    if (status != KC_OK) {
        return status;
    }
    kc_pt_priv_enter(pt);
    status = map_locked(pt, kc_ia_raw(ia), kc_pa_raw(pa), bytes, attr);
    kc_pt_priv_leave(pt);
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
    status = kc_pt_priv_page_take(pt, &ref);
    if (status != KC_OK) {
        *pt = before;
        return status;
    }
    pt->root = kc_pt_priv_ref_pa(ref);
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
    kc_pt_priv_enter(pt);
    pt->live = true;
    /* Without it: the TTBR is written, a walk starts, and reads an entry whose store is still on
       its way: a fault, or what the page held before. */
    kc_plat_barrier(KC_DSB_ISHST);
    kc_pt_priv_leave(pt);
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
    kc_pt_priv_enter(pt);
    pt->asid = asid;
    kc_pt_priv_leave(pt);
}

kc_status_t kc_pt_fini(struct kc_pt *pt)
{
    if (!pt->ready) {
        return KC_ERR_STATE;
    }
    uint64_t gone = 0;
    uint64_t root =
        kc_pa_raw(pt->root) | KC_PT_REF_PRESENT | (pt->root_early ? KC_PT_REF_EARLY : 0);
    kc_pt_priv_enter(pt);
    if (pt->live) {
        /* The walks of other CPUs that began under this root end with the DSB: until then they may
           read any of its tables. */
        kc_plat_barrier(KC_DSB_ISHST);
        kc_pt_priv_tlbi_all(pt);
        kc_plat_barrier(KC_DSB_ISH);
        kc_plat_barrier(KC_ISB);
    }
    kc_pt_priv_gather(pt, kc_a64_start_level(&pt->format), root, &gone);
    kc_pt_priv_chain_drop(pt, gone); /* O4 */
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
    uint64_t out = w->desc & kc_pt_priv_out_mask(pt, level);
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
        w->span = kc_pt_priv_span(pt, level);
        w->desc_pa = kc_pt_priv_entry(pt, level, table, ia);
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
        w->by.ap_table |= t.ap_table;
        w->by.uxn_table = w->by.uxn_table || t.uxn_table;
        w->by.pxn_table = w->by.pxn_table || t.pxn_table;
        table = kc_pa(t.next);
    }
}

kc_status_t kc_pt_translate(struct kc_pt *pt, kc_ia_t ia, struct kc_pt_walk *out)
{
    if (!pt->ready) {
        return KC_ERR_STATE;
    }
    kc_pt_priv_enter(pt);
    walk(pt, kc_ia_raw(ia), out);
    kc_pt_priv_leave(pt);
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
    kc_pt_priv_enter(pt);
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
    kc_pt_priv_leave(pt);
    if (run.bytes == 0) {
        return false;
    }
    *out = run;
    return true;
}

void kc_pt_stats(struct kc_pt *pt, struct kc_pt_stats *out)
{
    kc_pt_priv_enter(pt);
    *out = (struct kc_pt_stats){pt->table_count, pt->spare_count};
    kc_pt_priv_leave(pt);
}

void kc_pt_expect_at(const struct kc_pt_walk *w, enum kc_at op, struct kc_a64_par *out)
{
    bool el0 = op == KC_AT_S1E0R || op == KC_AT_S1E0W;
    bool write = op == KC_AT_S1E1W || op == KC_AT_S1E0W;
    uint32_t fault = w->fault;
    *out = (struct kc_a64_par){.level = KC_A64_LEVEL_NONE};
    struct kc_a64_access a = {.write = write, .el0 = el0};
    if (fault == KC_A64_FAULT_NONE && kc_a64_access_judge(&w->leaf, &w->by, a) != KC_A64_ALLOWED) {
        fault = KC_A64_FAULT_PERMISSION;
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
