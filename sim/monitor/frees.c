/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frees.c: a page is given back: may anybody still reach it?
 *
 *     by a change that is not over (changes.c) ---------- T19, of a table T20
 *     by an entry that a TLB of this machine holds ------ the same, where no change says so
 *     by a mapping that is still there ------------------ T19
 *     as a table that walkers reach from a root --------- T20
 */
#include "monitor_priv.h"

static bool maps_into(uint64_t leaf, int level, uint64_t pa, uint64_t size)
{
    return vm_is_leaf(vm_kind(leaf, level)) &&
           kc_range_meets(vm_leaf_oa(leaf, level), vm_span(level), pa, size);
}

struct free_scan {
    struct monitor *m;
    uint64_t pa, size;
    uint32_t cpu;
};

/* T19 and T20 by what the TLBs hold, where no pending change says so already. */
static bool judge_free_entry(uint32_t holder, const struct sim_tlb_entry *e, void *arg)
{
    struct free_scan *f = arg;
    struct monitor *m = f->m;
    uint64_t bytes = e->leaf ? e->size : VM_PAGE;
    int step = stale_step(m, e, e->step_count);
    if (!kc_range_meets(e->pa, bytes, f->pa, f->size) || step < 0) {
        return true;
    }
    const struct change *c = change_of_step(m, holder, e, step);
    if (c != NULL) {
        return true; /* judged by the change */
    }
    const struct table *root = table_find(m, e->root);
    if (e->leaf && root != NULL && root->root) {
        struct translation now = translate(m, e->root, root->high, root->va_bits, e->va);
        if (now.valid && now.pa == e->pa) {
            return true; /* mapped there still, by another way */
        }
    }
    enum mon_row row = e->leaf ? MON_T19 : MON_T20;
    if (m->policy[row] == MON_OFF) {
        return true;
    }
    struct mon_report r;
    report_begin(&r, row, f->cpu);
    r.va = e->va;
    r.pa = e->pa;
    r.desc_pa = e->step[step].desc_pa;
    r.old_desc = e->step[step].value;
    r.new_desc = mem_read(m, r.desc_pa);
    snprintf(r.sentence, sizeof(r.sentence),
             "%s at pa %#llx freed while the TLB of CPU %u holds va %#llx for it",
             e->leaf ? "page" : "table page", (unsigned long long)f->pa, holder,
             (unsigned long long)e->va);
    snprintf(r.missing, sizeof(r.missing),
             "missing: TLBI %s (or wider) for va %#llx, and DSB ISH, before the free",
             e->leaf ? "VALE1IS" : "VAE1IS", (unsigned long long)e->va);
    report_cause(&r, e->seq, holder, "took the entry into its TLB (va %#llx, pa %#llx)",
                 (unsigned long long)e->va, (unsigned long long)e->pa);
    report_end(m, &r, R_COUNT);
    return true;
}

static void judge_free_changes(struct monitor *m, uint32_t cpu, uint64_t pa, uint64_t size)
{
    for (struct change *c = m->oldest; c != NULL; c = c->next) {
        bool page = c->leaf && maps_into(c->old_value, c->level, pa, size) &&
                    !maps_into(c->new_value, c->level, pa, size);
        bool table = !c->leaf && kc_range_meets(c->old_value & VM_OA, VM_PAGE, pa, size) &&
                     !((c->new_value & 3) == 3 && ((c->new_value ^ c->old_value) & VM_OA) == 0);
        if (!page && !table) {
            continue;
        }
        char text[MON_TEXT_MAX];
        snprintf(text, sizeof(text),
                 "%s at pa %#llx freed while TLBs of CPU mask %#x may still hold it for va %#llx",
                 table ? "table page" : "page", (unsigned long long)pa, c->left,
                 (unsigned long long)c->va);
        report_of_change(m, table ? MON_T20 : MON_T19, cpu, c, "the free", text);
    }
}

/* T20: a table that walkers can still reach from a root. */
static void judge_free_table(struct monitor *m, uint32_t cpu, const struct table *t)
{
    if (!judged(m, MON_T20) || table_live_root(m, t) == NULL) {
        return;
    }
    bool holds = false;
    for (uint32_t i = 0; i < VM_SLOTS && !holds; i++) {
        holds = (mem_read(m, t->pa + UINT64_C(8) * i) & 1) != 0;
    }
    bool used = !t->root;
    for (uint32_t i = 0; i < m->config.cpu_count && !used; i++) {
        used = root_in_use(m, i, t);
    }
    if (!used && !holds) {
        return; /* a root that leads nowhere and is in no TTBR */
    }
    struct mon_report r;
    report_begin(&r, MON_T20, cpu);
    r.pa = t->pa;
    r.desc_pa = t->parent;
    const struct table *root = table_live_root(m, t);
    snprintf(r.sentence, sizeof(r.sentence),
             "level %d table page %#llx freed while CPU mask %#x can walk it from root %#llx",
             t->level, (unsigned long long)t->pa, root->hold, (unsigned long long)root->pa);
    if (t->root) {
        snprintf(
            r.missing, sizeof(r.missing),
            "missing: another TTBR value on every CPU, ISB, TLBI ASIDE1IS (or wider) for ASID %u, "
            "DSB ISH before the free",
            t->asid);
    } else {
        snprintf(
            r.missing, sizeof(r.missing),
            "missing: store of an invalid descriptor at %#llx, DSB ISHST, TLBI, DSB ISH before "
            "the free",
            (unsigned long long)t->parent);
    }
    report_end(m, &r, 0);
}

static bool is_mapped_at(const struct monitor *m, const struct mapping *p, uint64_t pa, int level)
{
    uint64_t now = mem_read(m, p->desc_pa);
    return vm_is_leaf(vm_kind(now, level)) && vm_leaf_oa(now, level) == pa;
}

/* T19: a root is put to use; does it map what was freed while no CPU could reach it? */
void judge_orphans(struct monitor *m, uint32_t cpu, const struct table *root)
{
    for (uint64_t i = 0; m->mappings.slot != NULL && i <= m->mappings.mask; i++) {
        struct mapping *p = m->mappings.slot[i].value;
        uint64_t key = m->mappings.slot[i].key;
        if (p == NULL || p->freed_at == 0 || table_root(m, table_find(m, p->desc_pa)) != root ||
            !judged(m, MON_T19)) {
            continue;
        }
        uint64_t freed_at = p->freed_at;
        p->freed_at = 0;
        m->orphans--;
        int level = (int)(key & 3);
        if (!is_mapped_at(m, p, key & VM_OA, level)) {
            continue;
        }
        struct mon_report r;
        report_begin(&r, MON_T19, cpu);
        r.va = desc_va(m, root, p->desc_pa);
        r.pa = key & VM_OA;
        r.desc_pa = p->desc_pa;
        r.old_desc = r.new_desc = mem_read(m, p->desc_pa);
        snprintf(r.sentence, sizeof(r.sentence),
                 "root %#llx is put to use and maps page %#llx at va %#llx, which was freed",
                 (unsigned long long)root->pa, (unsigned long long)r.pa, (unsigned long long)r.va);
        snprintf(r.missing, sizeof(r.missing),
                 "missing: store of an invalid descriptor at %#llx before the page was freed",
                 (unsigned long long)p->desc_pa);
        report_cause(&r, freed_at, cpu, "page %#llx was freed", (unsigned long long)r.pa);
        report_end(m, &r, R_COUNT + 2);
    }
}

/* T19: a page that is mapped in somebody's space. */
static void judge_free_mapped(struct monitor *m, uint32_t cpu, uint64_t pa, int level)
{
    struct mapping *p = map_get(&m->mappings, mapping_key(pa, level));
    if (p == NULL) {
        return;
    }
    const struct table *root = table_root(m, table_find(m, p->desc_pa));
    bool live = root != NULL && root->hold != 0;
    if (root == NULL || !is_mapped_at(m, p, pa, level)) {
        m->orphans -= p->freed_at != 0;
        site_needed(m, live ? p->break_site : 0, MON_T19);
        map_remove(&m->mappings, mapping_key(pa, level));
        free(p);
        return;
    }
    if (!live) { /* nobody can reach it, unless its root is put to use again */
        m->orphans += p->freed_at == 0;
        p->freed_at = mon_clock(m);
        return;
    }
    uint64_t now = mem_read(m, p->desc_pa);
    struct mon_report r;
    if (m->policy[MON_T19] == MON_OFF) {
        return;
    }
    report_begin(&r, MON_T19, cpu);
    r.va = desc_va(m, root, p->desc_pa);
    r.pa = pa;
    r.desc_pa = p->desc_pa;
    r.old_desc = now;
    r.new_desc = now;
    snprintf(r.sentence, sizeof(r.sentence),
             "page at pa %#llx freed while it is mapped at va %#llx of root %#llx, which CPU mask "
             "%#x may walk",
             (unsigned long long)pa, (unsigned long long)r.va, (unsigned long long)root->pa,
             root->hold);
    snprintf(r.missing, sizeof(r.missing),
             "missing: store of an invalid descriptor at %#llx, DSB ISHST, TLBI VALE1IS for va "
             "%#llx, DSB ISH before the free",
             (unsigned long long)p->desc_pa, (unsigned long long)r.va);
    const struct history *h = history_of(m, p->desc_pa);
    if (h != NULL) {
        report_cause(&r, h->at, h->cpu, "wrote the descriptor at %#llx: %#llx",
                     (unsigned long long)p->desc_pa, (unsigned long long)h->new_value);
    }
    report_end(m, &r, R_COUNT + 1);
}

static void table_forget(struct monitor *m, struct table *t)
{
    for (uint64_t i = 0; m->orphans != 0 && i <= m->mappings.mask; i++) {
        struct mapping *p = m->mappings.slot[i].value;
        if (p != NULL && p->freed_at != 0 && page_of(p->desc_pa) == t->pa) {
            p->freed_at = 0; /* nobody will reach it by this table */
            m->orphans--;
        }
    }
    t->noted = false;
    t->linked = false;
    if (t->root) {
        t->root = false;
        t->hold = 0;
        for (struct table **p = &m->roots; *p != NULL; p = &(*p)->next_root) {
            if (*p == t) {
                *p = t->next_root;
                break;
            }
        }
    }
    t->level = LEVEL_UNKNOWN;
    t->parent = 0;
}

void note_frame_free(struct monitor *m, uint32_t cpu, uint64_t base, uint64_t size)
{
    (void)judged(m, MON_T19);
    judge_free_changes(m, cpu, base, size);
    for (uint64_t at = 0; at < size; at += VM_PAGE) {
        judge_free_mapped(m, cpu, base + at, 3);
        if (((base + at) & (vm_span(2) - 1)) == 0) {
            judge_free_mapped(m, cpu, base + at, 2);
        }
        struct table *t = table_find(m, base + at);
        if (t != NULL && t->freed_at == 0) {
            judge_free_table(m, cpu, t);
            table_forget(m, t);
            t->freed_at = mon_clock(m);
            m->epoch++;
        }
    }
    if (m->config.machine.each_stale != NULL) {
        struct free_scan f = {m, base, size, cpu};
        m->config.machine.each_stale(m->config.machine.ctx, judge_free_entry, &f);
    }
}
