/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tlb.c: the TLB of each simulated CPU.
 *
 * Nouns. A *record* is one entry (tlb.h) with its links. A record is *clean* while every descriptor
 * of its walk still holds the value seen, else *stale*. Records hang in buckets by (first address,
 * level, leaf or not), and in one of two lists.
 *
 * Invariants
 *   I1  a record is in exactly one bucket and one list; class_count counts records per class.
 *   I2  a stale record goes only by a completed TLBI that was issued after the store that made it
 *       stale, or (random policy) by eviction: never for want of room.
 *   I3  a clean record may go at any time: whatever it could tell is still in memory, and is
 *       captured (walker.c) before it is overwritten.
 *   I4  under the eager policy, look-up prefers stale records: the worst that is legal.
 *
 * Cost: look-up is one bucket per class in use (at most seven). Marking after a change of a table
 * descriptor walks the whole TLB; after a change of a leaf, one bucket.
 *
 * Sources: DDI 0487 J.a, D8.13 (TLBs), D8.14 (TLB maintenance), C5.5 (TLBI operands).
 */
#include <stdlib.h>

#include "machine_priv.h"

static uint32_t hash_of(uint64_t va, uint32_t level, bool leaf)
{
    uint64_t h = (va >> 12) * 4 + level + (leaf ? UINT64_C(1) << 50 : 0);
    h *= UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 52) & (TLB_BUCKETS - 1);
}

static void list_add(struct tlb_list *l, struct tlb_record *r)
{
    r->next_in = NULL;
    r->prev_in = l->last;
    if (l->last != NULL) {
        l->last->next_in = r;
    } else {
        l->first = r;
    }
    l->last = r;
    l->count++;
}

static void list_del(struct tlb_list *l, struct tlb_record *r)
{
    if (r->prev_in != NULL) {
        r->prev_in->next_in = r->next_in;
    } else {
        l->first = r->next_in;
    }
    if (r->next_in != NULL) {
        r->next_in->prev_in = r->prev_in;
    } else {
        l->last = r->prev_in;
    }
    l->count--;
}

static struct tlb_list *list_of(struct tlb *t, const struct tlb_record *r)
{
    return r->e.stale ? &t->stale : &t->clean;
}

static void drop(struct cpu *c, struct tlb_record *r)
{
    struct tlb *t = &c->tlb;
    struct tlb_record **at = &t->bucket[hash_of(r->e.va, r->e.level, r->e.leaf)];
    while (*at != r) {
        at = &(*at)->next;
    }
    *at = r->next;
    list_del(list_of(t, r), r);
    t->class_count[r->e.leaf][r->e.level]--;
    free(r);
}

void tlb_drop_all(struct cpu *c)
{
    while (c->tlb.clean.first != NULL) {
        drop(c, c->tlb.clean.first);
    }
    while (c->tlb.stale.first != NULL) {
        drop(c, c->tlb.stale.first);
    }
}

static bool asid_matches(const struct sim_tlb_entry *e, uint16_t asid)
{
    return (e->leaf && e->global) || e->asid == asid;
}

struct tlb_record *tlb_find(struct cpu *c, uint64_t va, uint16_t asid, bool leaf)
{
    struct tlb *t = &c->tlb;
    struct tlb_record *clean = NULL;
    for (uint32_t level = 4; level-- > 0;) {
        if (t->class_count[leaf][level] == 0) {
            continue;
        }
        uint64_t first = va & ~(mmu_span((int32_t)level) - 1);
        for (struct tlb_record *r = t->bucket[hash_of(first, level, leaf)]; r != NULL;
             r = r->next) {
            if (r->e.va != first || r->e.level != level || r->e.leaf != leaf ||
                !asid_matches(&r->e, asid)) {
                continue;
            }
            if (r->e.stale) {
                return r; /* I4 */
            }
            clean = clean == NULL ? r : clean;
        }
    }
    return clean;
}

/* May entries of unlike size for one address be there side by side (FEAT_BBM; bit 16 is nT)? */
static bool sizes_agree(const struct sim_tlb_entry *a, const struct sim_tlb_entry *b)
{
    const struct sim_tlb_entry *block = a->level < b->level ? a : b;
    bool nt = (block->step[block->step_count - 1].value & KC_BIT(16)) != 0;
    return a->level == b->level || (sim.config.features & MACHINE_BBML2) != 0 ||
           ((sim.config.features & MACHINE_BBML1) != 0 && nt);
}

struct tlb_record *tlb_conflict(struct cpu *c, uint64_t va, uint16_t asid,
                                const struct tlb_record *r)
{
    for (uint32_t level = 0; level < 4; level++) {
        if (c->tlb.class_count[1][level] == 0) {
            continue;
        }
        uint64_t first = va & ~(mmu_span((int32_t)level) - 1);
        for (struct tlb_record *o = c->tlb.bucket[hash_of(first, level, true)]; o != NULL;
             o = o->next) {
            if (o != r && o->e.leaf && o->e.va == first && o->e.level == level &&
                asid_matches(&o->e, asid) &&
                (!sizes_agree(&o->e, &r->e) || o->e.global != r->e.global)) {
                return o;
            }
        }
    }
    return NULL;
}

static bool same_walk(const struct sim_tlb_entry *a, const struct sim_tlb_entry *b)
{
    if (a->va != b->va || a->pa != b->pa || a->level != b->level || a->leaf != b->leaf ||
        a->root != b->root || a->perm != b->perm || a->memattr != b->memattr ||
        a->global != b->global || a->step_count != b->step_count ||
        (!(a->leaf && a->global) && a->asid != b->asid)) {
        return false;
    }
    for (uint32_t i = 0; i < a->step_count; i++) {
        if (a->step[i].desc_pa != b->step[i].desc_pa || a->step[i].value != b->step[i].value) {
            return false;
        }
    }
    return true;
}

struct tlb_record *tlb_insert(struct cpu *c, const struct sim_tlb_entry *e, enum sim_fill fill)
{
    struct tlb *t = &c->tlb;
    uint32_t hash = hash_of(e->va, e->level, e->leaf);
    for (struct tlb_record *r = t->bucket[hash]; r != NULL; r = r->next) {
        if (same_walk(&r->e, e)) {
            return r;
        }
    }
    if (t->clean.count >= TLB_CLEAN_MAX) {
        drop(c, t->clean.first); /* I3 */
    }
    struct tlb_record *r = calloc(1, sizeof *r);
    if (r == NULL) {
        cpu_end(MACHINE_END_STOPPED, "the host has no memory for a TLB entry", NULL);
    }
    r->e = *e;
    r->e.stale = false;
    r->e.fill = (uint8_t)fill;
    r->e.seq = ++sim.seq;
    r->e.tick = cpu_ticks();
    /* A walk that saw what is no longer in memory is stale from birth. */
    for (uint32_t i = 0; i < e->step_count; i++) {
        uint64_t value;
        if (sim_phys_read(e->step[i].desc_pa, &value) && value != e->step[i].value) {
            uint64_t since = walker_since(e->step[i].desc_pa);
            r->e.stale = true;
            r->stale_at = since > r->stale_at ? since : r->stale_at;
        }
    }
    r->next = t->bucket[hash];
    t->bucket[hash] = r;
    t->class_count[e->leaf][e->level]++;
    list_add(list_of(t, r), r);
    tell_fill(c, r);
    return r;
}

static void mark(struct cpu *c, struct tlb_record *r, uint64_t pa)
{
    for (uint32_t i = 0; i < r->e.step_count; i++) {
        uint64_t value;
        if (r->e.step[i].desc_pa == pa && sim_phys_read(pa, &value) &&
            value != r->e.step[i].value) {
            list_del(list_of(&c->tlb, r), r);
            r->e.stale = true;
            r->stale_at = sim.seq;
            list_add(&c->tlb.stale, r);
            return;
        }
    }
}

void tlb_descriptor_changed(uint64_t pa, uint64_t va, uint64_t span, bool was_table)
{
    for (uint32_t i = 0; i < sim.config.cpus; i++) {
        struct cpu *c = &sim.cpu[i];
        if (was_table) {
            struct tlb_record *next;
            for (struct tlb_record *r = c->tlb.clean.first; r != NULL; r = next) {
                next = r->next_in;
                mark(c, r, pa);
            }
            continue;
        }
        uint32_t level = 3 - (kc_log2_floor(span) - 12) / 9;
        if (c->tlb.class_count[1][level] == 0) {
            continue;
        }
        struct tlb_record *next;
        for (struct tlb_record *r = c->tlb.bucket[hash_of(va, level, true)]; r != NULL; r = next) {
            next = r->next;
            if (!r->e.stale) {
                mark(c, r, pa);
            }
        }
    }
    machine_rejudge();
}

/* Does an invalidation reach an entry? (C5.5, the bullet lists of each TLBI.) */
static bool reaches(const struct tlbi *t, const struct sim_tlb_entry *e)
{
    if (t->all) {
        return true;
    }
    if (t->last_level && !e->leaf) {
        return false;
    }
    if (t->level != 0 && (t->level < 0 || (e->leaf ? (int)e->level != (int)t->level
                                                   : (int)e->level >= (int)t->level))) {
        return false; /* the hint is of other leaves: nothing need go */
    }
    if (!t->any_va && !kc_range_meets(t->va, t->size, e->va, e->size)) {
        return false;
    }
    if (t->any_va) {
        return e->asid == t->asid && !(e->leaf && e->global);
    }
    return t->any_asid || asid_matches(e, t->asid);
}

static void invalidate_list(struct cpu *c, struct tlb_list *l, const struct tlbi *t)
{
    struct tlb_record *next;
    for (struct tlb_record *r = l->first; r != NULL; r = next) {
        next = r->next_in;
        /* I2: what became stale after the TLBI was issued is not covered by it. */
        if (reaches(t, &r->e) && !(r->e.stale && r->stale_at > t->seq)) {
            drop(c, r);
        }
    }
}

/* Clean records of one page-sized range, without a walk through the whole TLB. */
static void invalidate_one(struct cpu *c, const struct tlbi *t)
{
    for (uint32_t level = 0; level < 4; level++) {
        for (uint32_t leaf = 0; leaf < 2; leaf++) {
            if (c->tlb.class_count[leaf][level] == 0) {
                continue;
            }
            uint64_t first = t->va & ~(mmu_span((int32_t)level) - 1);
            struct tlb_record *next;
            struct tlb_record *r = c->tlb.bucket[hash_of(first, level, leaf != 0)];
            for (; r != NULL; r = next) {
                next = r->next;
                if (!r->e.stale && reaches(t, &r->e)) {
                    drop(c, r);
                }
            }
        }
    }
}

void tlb_invalidate(struct cpu *c, const struct tlbi *t)
{
    invalidate_list(c, &c->tlb.stale, t);
    if (!t->all && !t->any_va && t->size == SIM_PAGE_BYTES) {
        invalidate_one(c, t);
    } else {
        invalidate_list(c, &c->tlb.clean, t);
    }
}

void tlb_evict_some(struct cpu *c)
{
    struct tlb_list *lists[2] = {&c->tlb.stale, &c->tlb.clean};
    struct tlb_list *l = lists[machine_random(&sim.walk_random) % 4 == 0 ? 0 : 1];
    if (l->first != NULL) {
        drop(c, machine_random(&sim.walk_random) % 2 == 0 ? l->first : l->last);
    }
}

/* ---- queries -------------------------------------------------------------------------------- */

struct query {
    uint64_t va, size; /* address asked for, or physical range */
    uint64_t desc_pa;
    uint16_t asid;
    bool stale_only, by_va, by_desc, by_page;
};

static bool answers(const struct query *q, const struct sim_tlb_entry *e)
{
    if (q->by_va) {
        return kc_range_has(e->va, e->size, q->va) && asid_matches(e, q->asid);
    }
    if (q->by_page) {
        return kc_range_meets(e->pa, e->leaf ? e->size : SIM_PAGE_BYTES, q->va, q->size);
    }
    if (!q->by_desc) {
        return true;
    }
    for (uint32_t i = 0; i < e->step_count; i++) {
        if (e->step[i].desc_pa == q->desc_pa) {
            return true;
        }
    }
    return false;
}

static uint32_t ask(uint32_t cpu, const struct query *q, sim_tlb_fn fn, void *arg)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim.config.cpus; i++) {
        if (cpu != SIM_ALL_CPUS && cpu != i) {
            continue;
        }
        struct tlb *t = &sim.cpu[i].tlb;
        struct tlb_list *lists[2] = {&t->stale, q->stale_only ? NULL : &t->clean};
        for (uint32_t k = 0; k < 2 && lists[k] != NULL; k++) {
            for (struct tlb_record *r = lists[k]->first; r != NULL; r = r->next_in) {
                if (!answers(q, &r->e)) {
                    continue;
                }
                count++;
                if (!fn(i, &r->e, arg)) {
                    return count;
                }
            }
        }
    }
    return count;
}

uint32_t sim_tlb_each(uint32_t cpu, sim_tlb_fn fn, void *arg)
{
    struct query q = {0};
    return ask(cpu, &q, fn, arg);
}

uint32_t sim_tlb_each_stale(uint32_t cpu, sim_tlb_fn fn, void *arg)
{
    struct query q = {.stale_only = true};
    return ask(cpu, &q, fn, arg);
}

uint32_t sim_tlb_each_va(uint32_t cpu, uint64_t va, uint16_t asid, sim_tlb_fn fn, void *arg)
{
    struct query q = {.by_va = true, .va = va, .asid = asid};
    return ask(cpu, &q, fn, arg);
}

uint32_t sim_tlb_each_desc(uint32_t cpu, uint64_t desc_pa, sim_tlb_fn fn, void *arg)
{
    struct query q = {.by_desc = true, .desc_pa = desc_pa};
    return ask(cpu, &q, fn, arg);
}

uint32_t sim_tlb_each_page(uint32_t cpu, uint64_t pa, uint64_t size, sim_tlb_fn fn, void *arg)
{
    struct query q = {.by_page = true, .va = pa, .size = size};
    return ask(cpu, &q, fn, arg);
}
