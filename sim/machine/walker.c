/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * walker.c: what the table walkers of the CPUs may have seen: the adversary, kept symbolically.
 *
 * The architecture lets a walker read any reachable table at any time and keep every valid
 * translation until a TLBI takes it away (D8.13.1). Filling TLBs with all of it would cost the size
 * of the tables; instead nothing is filled until a descriptor is about to change. Only then does it
 * matter who may hold the old value, and then it is written into their TLBs (*capture*): the same
 * outcome, at constant cost a store.
 *
 * Nouns. A *table* is a page that some walker can reach; it knows the addresses that it translates
 * (its *links*) and when each descriptor was stored. A *context* of a CPU is a root table that its
 * walker uses now (*current*), or has used since its ASID was last invalidated. A *pending* store
 * has been made, but no DSB has made it visible to walkers: they may still see the old value.
 *
 *     store ---- pending ---- DSB ---- visible ---- TLBI ---- issued ---- DSB ---- complete
 *       ^                      ^
 *       capture: old walks     capture again: what was re-read meanwhile, after the TLBIs that this
 *       are held from now on   same DSB completes, for they may have been first
 *
 * Invariants
 *   I1  every page that a walk from a context can read is in `tables` with a link for each address
 *       at which it is reached, or was reached by a walk that a TLB still holds.
 *   I2  whenever a valid descriptor's old value stops being readable by walkers, each CPU with a
 *       context that reached it holds a record of the walk, unless a TLBI that covers it was
 *       completed since the last moment at which the CPU could have read it.
 *   I3  a pending store is in `pending` of its CPU and in the `unseen` hash until a DSB of that CPU
 *       with store semantics in the shareability domain.
 *
 * Bounds: PENDING_MAX pending stores a CPU, CONTEXTS_MAX contexts a CPU; beyond, the oldest is
 * forgotten, which loses findings and never invents one.
 *
 * Sources: DDI 0487 J.a: D8.13.1 (what may be cached), D8.14.1 (TLB maintenance and DSB),
 * B2.3.10 (DSB), D8.14.5 (invalidation of intermediate levels), B2.3.12 (ordering of walks).
 */
#include <stdlib.h>
#include <string.h>

#include "machine_priv.h"

#define LINKS_MAX     4u
#define TABLE_BUCKETS 65536u
#define PENDING_MAX   (1u << 20)

struct link {
    uint64_t root;
    uint64_t va; /* first input address */
    int32_t level;
    uint32_t half;
};

struct table {
    uint64_t page;
    struct table *next;
    uint32_t link_count;
    struct link link[LINKS_MAX];
    uint64_t since[TABLE_ENTRIES];
};

struct unseen {
    uint64_t pa; /* 0: free */
    uint64_t old;
    uint64_t elder; /* value before the store of elder_cpu, which a store of `cpu` took over */
    uint32_t cpu;
    uint32_t epoch_all, epoch_own;
    uint32_t elder_cpu, elder_epoch; /* SIM_CPUS_MAX: nobody's store was taken over */
};

static struct table *tables[TABLE_BUCKETS];
static struct unseen *unseen;
static uint32_t unseen_room, unseen_used;

/* While a capture walks: the value, about to cease, that its walks read at that descriptor. */
static struct {
    uint64_t pa; /* 0: none */
    uint64_t value;
} ceasing;

/* ---- pending stores ------------------------------------------------------------------------- */

static bool is_unseen(const struct unseen *u, const struct cpu *walker)
{
    const struct cpu *writer = &sim.cpu[u->cpu];
    if (u->epoch_all != writer->epoch_all) {
        return false;
    }
    return walker != writer || u->epoch_own == writer->epoch_own;
}

/* Is the store that was taken over still invisible, so that what preceded it may still be read? */
static bool elder_is_unseen(const struct unseen *u)
{
    return u->elder_cpu != SIM_CPUS_MAX && u->elder_epoch == sim.cpu[u->elder_cpu].epoch_all;
}

/* The oldest value that a walker may still read. */
static uint64_t unseen_value(const struct unseen *u)
{
    return elder_is_unseen(u) ? u->elder : u->old;
}

static uint32_t unseen_slot(uint64_t pa)
{
    return (uint32_t)((pa >> 3) * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (unseen_room - 1);
}

static struct unseen *unseen_find(uint64_t pa)
{
    if (unseen_used == 0) {
        return NULL;
    }
    for (uint32_t i = unseen_slot(pa);; i = (i + 1) & (unseen_room - 1)) {
        if (unseen[i].pa == pa) {
            return &unseen[i];
        }
        if (unseen[i].pa == 0) {
            return NULL;
        }
    }
}

/* Room for one more: twice as much, without what has become visible. */
static void unseen_grow(void)
{
    struct unseen *old = unseen;
    uint32_t old_room = unseen_room;
    uint32_t alive = 0;
    for (uint32_t i = 0; i < old_room; i++) {
        alive += old[i].pa != 0 && old[i].epoch_all == sim.cpu[old[i].cpu].epoch_all;
    }
    unseen_room = 1024;
    while (unseen_room < alive * 4) {
        unseen_room *= 2;
    }
    unseen = calloc(unseen_room, sizeof *unseen);
    if (unseen == NULL) {
        cpu_end(MACHINE_END_STOPPED, "the host has no memory for pending stores", NULL);
    }
    unseen_used = 0;
    for (uint32_t k = 0; k < old_room; k++) {
        if (old[k].pa == 0 || old[k].epoch_all != sim.cpu[old[k].cpu].epoch_all) {
            continue;
        }
        uint32_t i = unseen_slot(old[k].pa);
        while (unseen[i].pa != 0) {
            i = (i + 1) & (unseen_room - 1);
        }
        unseen[i] = old[k];
        unseen_used++;
    }
    free(old);
}

static void pend(struct cpu *c, uint64_t pa, uint64_t old)
{
    if (c->pending_count >= PENDING_MAX) {
        return;
    }
    if (unseen_used * 2 >= unseen_room) {
        unseen_grow();
    }
    struct unseen *u = unseen_find(pa);
    struct unseen fresh = {.pa = pa,
                           .old = old,
                           .cpu = c->id,
                           .epoch_all = c->epoch_all,
                           .epoch_own = c->epoch_own,
                           .elder_cpu = SIM_CPUS_MAX};
    if (u != NULL && u->epoch_all == sim.cpu[u->cpu].epoch_all) {
        if (u->cpu == c->id && u->epoch_own == c->epoch_own) {
            return;
        }
        /* Walkers may still see the value from before both stores, but only until either is
         * visible: whoever sees the younger has seen the older overwritten (coherence), and whoever
         * sees the older sees nothing from before it. */
        if (u->cpu != c->id) {
            fresh.elder = unseen_value(u);
            fresh.elder_cpu = elder_is_unseen(u) ? u->elder_cpu : u->cpu;
            fresh.elder_epoch = sim.cpu[fresh.elder_cpu].epoch_all;
        }
    }
    if (u == NULL) {
        uint32_t i = unseen_slot(pa);
        while (unseen[i].pa != 0) {
            i = (i + 1) & (unseen_room - 1);
        }
        u = &unseen[i];
        unseen_used++;
    }
    *u = fresh;
    if (c->pending_count == c->pending_room) {
        c->pending_room = c->pending_room == 0 ? 64 : c->pending_room * 2;
        c->pending = realloc(c->pending, c->pending_room * sizeof *c->pending);
        if (c->pending == NULL) {
            cpu_end(MACHINE_END_STOPPED, "the host has no memory for pending stores", NULL);
        }
    }
    c->pending[c->pending_count++] = (struct pending_store){pa, old};
}

/* ---- tables --------------------------------------------------------------------------------- */

static struct table **table_bucket(uint64_t page)
{
    return &tables[((page >> 12) * UINT64_C(0x9e3779b97f4a7c15) >> 40) & (TABLE_BUCKETS - 1)];
}

static struct table *table_find(uint64_t page)
{
    struct table *t = *table_bucket(page);
    while (t != NULL && t->page != page) {
        t = t->next;
    }
    return t;
}

bool walker_is_table(uint64_t pa)
{
    return table_find(pa & ~(uint64_t)PAGE_MASK_LOW) != NULL;
}

uint64_t walker_since(uint64_t pa)
{
    const struct table *t = table_find(pa & ~(uint64_t)PAGE_MASK_LOW);
    return t != NULL ? t->since[(pa & PAGE_MASK_LOW) / 8] : 0;
}

static bool table_linked(const struct table *t, const struct link *l)
{
    for (uint32_t i = 0; i < t->link_count; i++) {
        const struct link *k = &t->link[i];
        if (k->root == l->root && k->va == l->va && k->level == l->level && k->half == l->half) {
            return true;
        }
    }
    return false;
}

/* The page at `page` is reached at link l: note it, and what it leads to (I1). */
static void table_link(uint64_t page, const struct link *l)
{
    if (l->level > 3 || ram_at(page, SIM_PAGE_BYTES) == NULL) {
        return;
    }
    struct table *t = table_find(page);
    if (t != NULL && table_linked(t, l)) {
        return;
    }
    if (t == NULL) {
        t = calloc(1, sizeof *t);
        if (t == NULL) {
            cpu_end(MACHINE_END_STOPPED, "the host has no memory for a table's history", NULL);
        }
        t->page = page;
        struct table **b = table_bucket(page);
        t->next = *b;
        *b = t;
        machine_rejudge();
    }
    if (t->link_count == LINKS_MAX) { /* the oldest is forgotten */
        memmove(&t->link[0], &t->link[1], sizeof t->link[0] * (LINKS_MAX - 1));
        t->link_count--;
    }
    t->link[t->link_count++] = *l;
    for (uint32_t i = 0; i < TABLE_ENTRIES && l->level < 3; i++) {
        uint64_t value;
        if (sim_phys_read(page + UINT64_C(8) * i, &value) &&
            mmu_classify(value, l->level) == MMU_TABLE) {
            struct link child = {l->root, l->va + i * mmu_span(l->level), l->level + 1, l->half};
            table_link(mmu_output(value, l->level, MMU_TABLE), &child);
        }
    }
}

/* ---- walks ---------------------------------------------------------------------------------- */

/* Descriptor as a walker of CPU `arg` may see it: the old value while the store is pending. */
static bool read_as_walker(void *arg, uint64_t pa, uint64_t *value, uint64_t *since)
{
    struct cpu *c = arg;
    if (!sim_phys_read(pa, value)) {
        return false;
    }
    struct table *t = table_find(pa & ~(uint64_t)PAGE_MASK_LOW);
    *since = t != NULL ? t->since[(pa & PAGE_MASK_LOW) / 8] : 0;
    if (pa == ceasing.pa) {
        *value = ceasing.value;
        return true;
    }
    struct unseen *u = unseen_find(pa);
    if (u != NULL && is_unseen(u, c) &&
        (sim.config.policy == MACHINE_EAGER || machine_random(&sim.walk_random) % 2 == 0)) {
        *value = unseen_value(u);
    }
    return true;
}

void walker_walk(struct cpu *c, const struct mmu_regs *r, uint64_t va,
                 const struct sim_tlb_entry *from, struct sim_walk *out)
{
    mmu_walk(r, va, from, read_as_walker, c, out);
}

/* ---- contexts ------------------------------------------------------------------------------- */

static struct mmu_regs written(const struct cpu *c)
{
    struct mmu_regs r = c->now;
    r.sctlr = c->reg[KC_SCTLR_EL1];
    r.tcr = c->reg[KC_TCR_EL1];
    r.mair = c->reg[KC_MAIR_EL1];
    r.ttbr[0] = c->reg[KC_TTBR0_EL1];
    r.ttbr[1] = c->reg[KC_TTBR1_EL1];
    return r;
}

static void context_forget(struct cpu *c, uint32_t i)
{
    c->context[i] = c->context[--c->context_count];
}

static struct context *context_get(struct cpu *c, uint32_t half, uint64_t root, uint16_t asid)
{
    for (uint32_t i = 0; i < c->context_count; i++) {
        struct context *k = &c->context[i];
        if (k->half == half && k->root == root && (half != 0 || k->asid == asid)) {
            return k;
        }
    }
    if (c->context_count == CONTEXTS_MAX) {
        uint32_t oldest = CONTEXTS_MAX;
        for (uint32_t i = 0; i < c->context_count; i++) {
            if (!c->context[i].current &&
                (oldest == CONTEXTS_MAX || c->context[i].left < c->context[oldest].left)) {
                oldest = i;
            }
        }
        context_forget(c, oldest == CONTEXTS_MAX ? 0 : oldest);
    }
    struct context *k = &c->context[c->context_count++];
    *k = (struct context){.half = half, .root = root, .asid = asid};
    return k;
}

static void context_enter(struct cpu *c, const struct mmu_regs *r)
{
    if (!mmu_is_on(r)) {
        return;
    }
    for (uint32_t half = 0; half < 2; half++) {
        int32_t level = mmu_start_level(r, half);
        if (level < 0) {
            continue;
        }
        uint64_t root = mmu_root(r, half);
        struct context *k = context_get(c, half, root, mmu_asid(r));
        k->regs = *r;
        k->asid = mmu_asid(r);
        k->current = true;
        k->gone_count = 0;
        struct link l = {root, mmu_va_base(r, half), level, half};
        table_link(root & ~(uint64_t)PAGE_MASK_LOW, &l);
    }
}

void walker_contexts(struct cpu *c)
{
    struct mmu_regs next = written(c);
    bool was[CONTEXTS_MAX];
    for (uint32_t i = 0; i < c->context_count; i++) {
        was[i] = c->context[i].current;
        c->context[i].current = false;
    }
    uint32_t before = c->context_count;
    if (c->context_count + 4 > CONTEXTS_MAX) {
        before = 0; /* places may be taken again: nobody's leaving is dated exactly */
    }
    context_enter(c, &c->now);
    context_enter(c, &next);
    for (uint32_t i = 0; i < before; i++) {
        if (was[i] && !c->context[i].current) {
            c->context[i].left = sim.seq;
        }
    }
}

/* Could c's walker have read, and its TLB have kept, a descriptor stored at `since` for va? */
static bool context_may_hold(const struct context *k, uint64_t since, uint64_t va, uint64_t span,
                             bool table)
{
    if (k->current) {
        return true;
    }
    if (since > k->left) {
        return false;
    }
    for (uint32_t i = 0; i < k->gone_count; i++) {
        if (!(table && k->gone[i].leaves) &&
            kc_range_covers(k->gone[i].va, k->gone[i].size, va, span)) {
            return false;
        }
    }
    return true;
}

/* ---- capture -------------------------------------------------------------------------------- */

/* Make the walk end at the table descriptor at pa, if it went through it. */
static bool cut_at(struct sim_walk *w, uint64_t pa)
{
    struct sim_tlb_entry *e = &w->entry;
    for (uint32_t i = 0; i < e->step_count; i++) {
        const struct sim_walk_step *s = &e->step[i];
        if (s->desc_pa != pa || mmu_classify(s->value, s->level) != MMU_TABLE) {
            continue;
        }
        /* w->entry.va is of the deepest level that was read well, at or below this one */
        e->va &= ~(mmu_span(s->level) - 1);
        e->size = mmu_span(s->level);
        e->pa = mmu_output(s->value, s->level, MMU_TABLE);
        e->level = (uint8_t)s->level;
        e->leaf = false;
        e->global = false;
        e->perm = 0;
        e->memattr = 0;
        e->step_count = i + 1;
        return true;
    }
    return false;
}

static bool goes_through(const struct sim_walk *w, uint64_t pa)
{
    return w->ok && w->entry.step[w->entry.step_count - 1].desc_pa == pa;
}

/* CPU c may hold the walk of va through the descriptor at pa: write it into its TLB. */
static void capture_on(struct cpu *c, const struct mmu_regs *r, uint64_t pa, uint64_t va,
                       bool table)
{
    struct sim_walk w;
    walker_walk(c, r, va, NULL, &w);
    if (!(table ? cut_at(&w, pa) : goes_through(&w, pa))) {
        /* not from the root any more; perhaps from an intermediate level that is still held */
        struct tlb_record *from = tlb_find(c, va, mmu_asid(r), false);
        if (from == NULL) {
            return;
        }
        walker_walk(c, r, va, &from->e, &w);
        if (!(table ? cut_at(&w, pa) : goes_through(&w, pa))) {
            return;
        }
    }
    tlb_insert(c, &w.entry, SIM_FILL_CAPTURE);
}

/* The value `old` of the descriptor at pa ceases to be readable: I2. */
static void capture(const struct table *t, uint64_t pa, uint64_t old, const struct cpu *only)
{
    uint32_t index = (uint32_t)(pa & PAGE_MASK_LOW) / 8;
    ceasing.pa = pa;
    ceasing.value = old;
    for (uint32_t n = 0; n < t->link_count; n++) {
        struct link l = t->link[n];
        enum mmu_desc kind = mmu_classify(old, l.level);
        if (kind == MMU_INVALID) {
            continue;
        }
        uint64_t span = mmu_span(l.level);
        uint64_t va = l.va + index * span;
        for (uint32_t i = 0; i < sim.config.cpus; i++) {
            struct cpu *c = &sim.cpu[i];
            if (only != NULL && only != c) {
                continue;
            }
            for (uint32_t j = 0; j < c->context_count; j++) {
                const struct context *k = &c->context[j];
                if (k->root != l.root || k->half != l.half ||
                    !context_may_hold(k, t->since[index], va, span, kind == MMU_TABLE)) {
                    continue;
                }
                if (sim.config.policy == MACHINE_RANDOM &&
                    machine_random(&sim.walk_random) % 2 != 0) {
                    continue;
                }
                struct mmu_regs r = k->regs;
                capture_on(c, &r, pa, va, kind == MMU_TABLE);
            }
        }
    }
    ceasing.pa = 0;
}

void walker_store(struct cpu *c, uint64_t pa, uint64_t value)
{
    uint64_t *at = ram_at(pa, 8);
    uint64_t old = __atomic_load_n(at, __ATOMIC_RELAXED);
    struct table *t = table_find(pa & ~(uint64_t)PAGE_MASK_LOW);
    if (t != NULL && old != value) {
        capture(t, pa, old, NULL);
    }
    /* A store of what is there already still comes after another CPU's pending one (coherence). */
    struct unseen *u = unseen_find(pa);
    if (old != value || (u != NULL && u->cpu != c->id)) {
        pend(c, pa, old);
    }
    __atomic_store_n(at, value, __ATOMIC_RELAXED);
    if (t == NULL || old == value) {
        return;
    }
    uint32_t index = (uint32_t)(pa & PAGE_MASK_LOW) / 8;
    t->since[index] = sim.seq;
    for (uint32_t n = 0; n < t->link_count; n++) {
        struct link l = t->link[n];
        uint64_t span = mmu_span(l.level);
        uint64_t va = l.va + index * span;
        tlb_descriptor_changed(pa, va, span, mmu_classify(old, l.level) == MMU_TABLE);
        if (mmu_classify(value, l.level) == MMU_TABLE) {
            struct link child = {l.root, va, l.level + 1, l.half};
            table_link(mmu_output(value, l.level, MMU_TABLE), &child);
        }
    }
}

void walker_publish(struct cpu *c, bool all)
{
    /* While they are still pending, walks see the old values: what may have been read till now. */
    for (uint32_t i = 0; i < c->pending_count; i++) {
        struct pending_store p = c->pending[i];
        struct table *t = table_find(p.pa & ~(uint64_t)PAGE_MASK_LOW);
        struct unseen *u = unseen_find(p.pa);
        if (t == NULL || u == NULL || u->epoch_all != sim.cpu[u->cpu].epoch_all) {
            continue;
        }
        bool elder = elder_is_unseen(u);
        if (elder && all && (u->cpu == c->id || u->elder_cpu == c->id)) {
            capture(t, p.pa, u->elder, NULL);
        }
        if (u->cpu == c->id && is_unseen(u, c)) {
            capture(t, p.pa, u->old, all ? NULL : c);
        }
    }
    c->epoch_own++;
    if (all) {
        c->epoch_all++;
        c->pending_count = 0;
    }
}

/* ---- invalidation --------------------------------------------------------------------------- */

/* What a cached intermediate level led to may be held on its own: write it down before it goes. */
static void spread_one(struct cpu *c, const struct tlb_record *r)
{
    struct context *k = NULL;
    for (uint32_t j = 0; j < c->context_count; j++) {
        if (c->context[j].root == r->e.root && c->context[j].half == r->e.half) {
            k = &c->context[j];
        }
    }
    if (k == NULL || r->e.level >= 3) {
        return;
    }
    struct mmu_regs regs = k->regs;
    int32_t level = r->e.level + 1;
    for (uint32_t i = 0; i < TABLE_ENTRIES; i++) {
        uint64_t pa = r->e.pa + UINT64_C(8) * i;
        uint64_t value, since;
        if (!read_as_walker(c, pa, &value, &since)) {
            return;
        }
        enum mmu_desc kind = mmu_classify(value, level);
        if (kind == MMU_INVALID || !walker_is_table(pa)) {
            continue;
        }
        struct sim_walk w;
        walker_walk(c, &regs, r->e.va + i * mmu_span(level), &r->e, &w);
        if (kind == MMU_TABLE ? cut_at(&w, pa) : goes_through(&w, pa)) {
            tlb_insert(c, &w.entry, SIM_FILL_CAPTURE);
        }
    }
}

static void spread(struct cpu *c, const struct tlbi *t)
{
    if (t->all || t->any_va || t->last_level || c->tlb.stale.count == 0) {
        return;
    }
    /* Records added on the way go to the end of the list and are looked at in their turn. */
    for (struct tlb_record *r = c->tlb.stale.first; r != NULL; r = r->next_in) {
        if (!r->e.leaf && kc_range_meets(r->e.va, r->e.size, t->va, t->size) &&
            r->stale_at <= t->seq && !kc_range_covers(t->va, t->size, r->e.va, r->e.size)) {
            spread_one(c, r);
        }
    }
}

static void forget_contexts(struct cpu *c, const struct tlbi *t)
{
    for (uint32_t i = c->context_count; i-- > 0;) {
        struct context *k = &c->context[i];
        if (k->current || k->left > t->seq) {
            continue;
        }
        bool asid = t->all || t->any_asid || k->asid == t->asid;
        if (!asid || t->level != 0) { /* with a hint, what goes depends on the level: keep it */
            continue;
        }
        if (t->all || t->any_va || k->gone_count == KC_ARRAY_COUNT(k->gone)) {
            context_forget(c, i);
        } else {
            k->gone[k->gone_count].va = t->va;
            k->gone[k->gone_count].leaves = t->last_level;
            k->gone[k->gone_count++].size = t->size;
        }
    }
}

static void complete_on(struct cpu *c, const struct tlbi *t)
{
    spread(c, t);
    tlb_invalidate(c, t);
    forget_contexts(c, t);
}

void walker_complete(struct cpu *c, bool shared)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->tlbi_count; i++) {
        struct tlbi t = c->tlbi[i];
        if (t.everyone && !shared) {
            c->tlbi[kept++] = t;
            continue;
        }
        for (uint32_t k = 0; k < sim.config.cpus; k++) {
            if (t.everyone || k == c->id) {
                complete_on(&sim.cpu[k], &t);
            }
        }
        if (!sim_exact) {
            if (t.all || t.any_va) {
                host_wipe(NULL);
            } else {
                host_unmap(t.va, t.size);
            }
        }
    }
    c->tlbi_count = kept;
}

/* Operands: C5.5.x of each instruction; the VA field holds bits 55:12. */
static bool parse(struct cpu *c, enum kc_tlbi op, uint64_t x, struct tlbi *t)
{
    bool wide = (c->now.tcr & KC_BIT(36)) != 0 && (sim.config.features & MACHINE_ASID16) != 0;
    uint64_t page = kc_field_get(x, 43, 0) << 12;
    uint64_t va = (page & KC_BIT(55)) != 0 ? page | KC_MASK(63, 56) : page;
    *t = (struct tlbi){.op = op, .seq = sim.seq, .va = va, .size = SIM_PAGE_BYTES};
    t->asid = (uint16_t)(wide ? x >> 48 : (x >> 48) & 0xff);
    bool ranged = false;
    switch (op) {
    case KC_TLBI_VMALLE1IS:
        t->everyone = true;
        t->all = true;
        return true;
    case KC_TLBI_VMALLE1:
        t->all = true;
        return true;
    case KC_TLBI_ASIDE1IS:
        t->everyone = true;
        t->any_va = true;
        return true;
    case KC_TLBI_ASIDE1:
        t->any_va = true;
        return true;
    case KC_TLBI_VAE1IS:
    case KC_TLBI_VALE1IS:
    case KC_TLBI_VAAE1IS:
    case KC_TLBI_VAALE1IS:
        t->everyone = true;
        break;
    case KC_TLBI_VAE1:
    case KC_TLBI_VALE1:
    case KC_TLBI_VAAE1:
    case KC_TLBI_VAALE1:
        break;
    case KC_TLBI_RVAE1IS:
    case KC_TLBI_RVALE1IS:
    case KC_TLBI_RVAAE1IS:
    case KC_TLBI_RVAALE1IS: {
        if ((sim.config.features & MACHINE_TLBIRANGE) == 0) {
            return false;
        }
        uint64_t base = kc_field_get(x, 36, 0) << 12;
        t->va = (base & KC_BIT(48)) != 0 ? base | KC_MASK(63, 49) : base;
        uint64_t pages = (kc_field_get(x, 43, 39) + 1) << (5 * kc_field_get(x, 45, 44) + 1);
        t->size = pages * SIM_PAGE_BYTES;
        t->everyone = true;
        t->level = (int8_t)kc_field_get(x, 38, 37);
        if (kc_field_get(x, 47, 46) != 1 ||
            (t->level != 0 && (base & (mmu_span(t->level) - 1)) != 0)) {
            t->level = -1; /* another granule, or a base that the level misaligns: UNPREDICTABLE */
        }
        ranged = true;
        break;
    }
    default:
        return false; /* EL2 and stage 2 operations are UNDEFINED at EL1 here */
    }
    if (!ranged && kc_field_get(x, 47, 46) != 0) { /* TTL: bits 47:46 granule, 45:44 level */
        t->level = -1;
        if (kc_field_get(x, 47, 46) == 1) {
            t->level = (int8_t)kc_field_get(x, 45, 44);
        }
    }
    t->last_level = op == KC_TLBI_VALE1 || op == KC_TLBI_VALE1IS || op == KC_TLBI_VAALE1 ||
                    op == KC_TLBI_VAALE1IS || op == KC_TLBI_RVALE1IS || op == KC_TLBI_RVAALE1IS;
    t->any_asid = op == KC_TLBI_VAAE1 || op == KC_TLBI_VAAE1IS || op == KC_TLBI_VAALE1 ||
                  op == KC_TLBI_VAALE1IS || op == KC_TLBI_RVAAE1IS || op == KC_TLBI_RVAALE1IS;
    return true;
}

void walker_tlbi(struct cpu *c, enum kc_tlbi op, uint64_t operand)
{
    struct tlbi t;
    if (!parse(c, op, operand, &t)) {
        cpu_end(MACHINE_END_FAULT, "TLBI that is UNDEFINED on this CPU at EL1", NULL);
    }
    if (c->tlbi_count == TLBIS_MAX) {
        /* Legal: a TLBI may complete at any time after its issue. The oldest does. */
        struct tlbi oldest = c->tlbi[0];
        memmove(&c->tlbi[0], &c->tlbi[1], sizeof c->tlbi[0] * (TLBIS_MAX - 1));
        for (uint32_t k = 0; k < sim.config.cpus; k++) {
            if (oldest.everyone || k == c->id) {
                complete_on(&sim.cpu[k], &oldest);
            }
        }
        if (!sim_exact) {
            host_wipe(NULL);
        }
        c->tlbi_count--;
    }
    c->tlbi[c->tlbi_count++] = t;
}

/* ---- life ----------------------------------------------------------------------------------- */

void walker_cpu_reset(struct cpu *c)
{
    tlb_drop_all(c);
    c->context_count = 0;
    c->tlbi_count = 0;
    c->pending_count = 0;
    c->epoch_all++;
    c->epoch_own++;
}

void walker_reset(void)
{
    for (uint32_t i = 0; i < SIM_CPUS_MAX; i++) {
        walker_cpu_reset(&sim.cpu[i]);
        free(sim.cpu[i].pending);
        sim.cpu[i].pending = NULL;
        sim.cpu[i].pending_room = 0;
    }
    for (uint32_t i = 0; i < TABLE_BUCKETS; i++) {
        while (tables[i] != NULL) {
            struct table *t = tables[i];
            tables[i] = t->next;
            free(t);
        }
    }
    free(unseen);
    unseen = NULL;
    unseen_room = 0;
    unseen_used = 0;
}
