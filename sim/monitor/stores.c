/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stores.c: a descriptor is written, through the seam or behind its back.
 *
 *     valid to valid ---- T1 T2 T3, and what rights.c adds
 *     invalid to valid -- T6 and its relatives: is what was there before gone from every TLB?
 *     valid to anything - a change is born (changes.c)
 *     plain store ------- T13, or T20 where the page is a table no more
 *
 * Besides, it keeps the books that other files read: who wrote a descriptor last (history), where a
 * page is mapped outside the linear and identity maps (mapping), which table hangs from which
 * descriptor.
 */
#include "monitor_priv.h"

static void judge_valid_to_valid(struct monitor *m, uint32_t cpu, const struct table *root,
                                 uint64_t pa, uint64_t old_value, uint64_t new_value, int level)
{
    enum vm_kind ko = vm_kind(old_value, level);
    enum vm_kind kn = vm_kind(new_value, level);
    bool t1 = judged(m, MON_T1);
    bool t2 = judged(m, MON_T2);
    bool t3 = judged(m, MON_T3);
    if (!needs_break(m, cpu, old_value, new_value, level)) {
        return;
    }
    enum mon_row row = MON_T1;
    bool on = t1;
    if (ko != kn) {
        row = MON_T3;
        on = t3;
    } else if (ko != VM_TABLE && vm_leaf_oa(old_value, level) == vm_leaf_oa(new_value, level)) {
        row = MON_T2;
        on = t2;
    }
    if (!on) {
        return;
    }
    static const char *const kinds[] = {"invalid", "table", "block", "page"};
    struct mon_report r;
    report_begin(&r, row, cpu);
    r.va = desc_va(m, root, pa);
    r.pa = old_value & VM_OA;
    r.desc_pa = pa;
    r.old_desc = old_value;
    r.new_desc = new_value;
    snprintf(
        r.sentence, sizeof(r.sentence),
        "live level %d descriptor of va %#llx changed from %s %#llx to %s %#llx without a break: "
        "%s",
        level, (unsigned long long)r.va, kinds[ko], (unsigned long long)old_value, kinds[kn],
        (unsigned long long)new_value, mon_row_text(row));
    snprintf(
        r.missing, sizeof(r.missing),
        "missing: break-before-make: store of an invalid descriptor, DSB ISHST, TLBI %s for va "
        "%#llx, DSB ISH before this store",
        ko == VM_TABLE ? "VAE1IS" : "VALE1IS", (unsigned long long)r.va);
    const struct history *h = history_of(m, pa);
    if (h != NULL) {
        report_cause(&r, h->at, h->cpu, "wrote the descriptor at %#llx: %#llx",
                     (unsigned long long)pa, (unsigned long long)h->new_value);
    }
    report_cause(&r, mon_clock(m), cpu, "replaces it by %#llx", (unsigned long long)new_value);
    report_end(m, &r, 0);
}

/* Drop what the new value makes true again: an old value that equals it harms nobody. */
static void forget_restored(struct monitor *m, uint64_t pa, uint64_t new_value)
{
    bool table_back = false;
    for (struct change *c = change_first(m, pa), *next; c != NULL; c = next) {
        next = c->same;
        if (c->desc_pa == pa && ((c->old_value ^ new_value) & ~VM_SOFT) == 0) {
            table_back = table_back || !c->leaf;
            change_end(m, c);
        }
    }
    for (struct change *c = change_first(m, pa), *next; table_back && c != NULL; c = next) {
        next = c->same;
        if (c->desc_pa != pa && mem_read(m, c->desc_pa) == c->old_value) {
            change_end(m, c);
        }
    }
}

/* T6 and its relatives: is what this descriptor held before gone from every TLB? */
static void judge_remake(struct monitor *m, uint32_t cpu, uint64_t pa, uint64_t new_value,
                         int level)
{
    const struct history *h = history_of(m, pa);
    if (h != NULL && h->broken && needs_break(m, cpu, h->broken_value, new_value, level)) {
        site_needed(m, h->break_site, MON_T1);
    }
    forget_restored(m, pa, new_value);
    (void)judged(m, MON_T6);
    for (struct change *c = change_first(m, pa); c != NULL; c = c->same) {
        if (c->desc_pa == pa) {
            judge_globalised(m, cpu, c->root, pa, c->old_value, new_value, level, c);
        }
        bool clash = c->desc_pa != pa || needs_break(m, cpu, c->old_value, new_value, level);
        if (!clash) {
            continue;
        }
        char text[MON_TEXT_MAX];
        snprintf(
            text, sizeof(text),
            "descriptor of va %#llx re-made as %#llx while TLBs of CPU mask %#x may still hold "
            "%#llx",
            (unsigned long long)c->va, (unsigned long long)new_value, c->left,
            (unsigned long long)c->old_value);
        report_of_change(m, reason_row(change_reason(c)), cpu, c, "this store", text);
        return; /* one store, one report */
    }
}

/* Remember the store. */
static void history_record(struct monitor *m, uint32_t cpu, uint64_t pa, uint64_t old_value,
                           uint64_t new_value, int level, uint32_t site)
{
    struct history *h = map_get(&m->histories, pa);
    if (h == NULL) {
        h = mon_alloc(sizeof(*h));
        map_put(&m->histories, pa, h);
    }
    bool was = vm_kind(old_value, level) != VM_INVALID;
    bool is = vm_kind(new_value, level) != VM_INVALID;
    h->at = mon_clock(m);
    h->order = m->order;
    h->old_value = old_value;
    h->new_value = new_value;
    h->cpu = cpu;
    if (is && !was) {
        h->made_order = m->order;
        h->made_cpu = cpu;
    }
    h->broken = (h->broken || was) && !is;
    if (was && !is) {
        h->break_site = site;
        h->broken_value = old_value;
    }
}

/*
 * Leaves whose input address is not the output address, and is not that of the linear map, are
 * somebody's space: the pages behind them must not be freed while they are mapped there. (Linear
 * and identity maps legitimately map all pages.) Of several mappings of one page the latest is
 * remembered.
 */
void mapping_record(struct monitor *m, const struct table *root, uint64_t pa, uint64_t old_value,
                    uint64_t new_value, int level, uint32_t site)
{
    uint64_t va = desc_va(m, root, pa);
    uint64_t linear = m->config.machine.linear;
    if (root->high && (linear == 0 || va == linear + vm_leaf_oa(new_value, level))) {
        return;
    }
    if (vm_is_leaf(vm_kind(old_value, level))) {
        struct mapping *p = map_get(&m->mappings, mapping_key(vm_leaf_oa(old_value, level), level));
        if (p != NULL && p->desc_pa == pa) {
            p->break_site = site;
        }
    }
    uint64_t oa = vm_leaf_oa(new_value, level);
    if (!vm_is_leaf(vm_kind(new_value, level)) || va == oa) {
        return;
    }
    struct mapping *p = map_get(&m->mappings, mapping_key(oa, level));
    if (p == NULL) {
        p = mon_alloc(sizeof(*p));
        map_put(&m->mappings, mapping_key(oa, level), p);
    }
    m->orphans -= p->freed_at != 0;
    *p = (struct mapping){.desc_pa = pa, .value = new_value};
}

/* Tables that the store links or unlinks. */
static void relink(struct monitor *m, uint32_t cpu, uint64_t pa, uint64_t old_value,
                   uint64_t new_value, int level)
{
    bool was = vm_kind(old_value, level) == VM_TABLE;
    bool is = vm_kind(new_value, level) == VM_TABLE;
    if (was && (!is || ((old_value ^ new_value) & VM_OA) != 0)) {
        struct table *t = table_find(m, old_value & VM_OA);
        if (t != NULL && t->parent == pa) {
            t->linked = false;
        }
    }
    uint64_t ignored;
    if (is && m->config.machine.read(m->config.machine.ctx, new_value & VM_OA, &ignored)) {
        struct table *t = table_make(m, new_value & VM_OA);
        if (!t->root) {
            table_connect(m, cpu, t, level + 1, pa);
        }
    }
}

void mon_desc_store(struct monitor *m, uint32_t cpu, uint64_t pa, uint64_t old_value,
                    uint64_t new_value, enum mon_store_kind kind)
{
    m->order++;
    uint32_t site = kind == MON_STORE ? site_add(m, cpu, "store", SITE_BUILD) : 0;
    if ((old_value & 1) != 0 && old_value != new_value) {
        m->epoch++;
    }
    judge_own_view(m, cpu, pa);
    struct table *t = table_find(m, pa);
    if (t == NULL || t->level == LEVEL_UNKNOWN) {
        return; /* no walker can have reached it */
    }
    int level = t->level;
    struct table *root = table_live_root(m, t);
    if (root != NULL) {
        bool was = vm_kind(old_value, level) != VM_INVALID;
        bool is = vm_kind(new_value, level) != VM_INVALID;
        (void)judged(m, MON_T13);
        (void)judged(m, MON_T25); /* by `was` alone: who may hold the old value */
        m->cpu[cpu].stored_order = m->order;
        judge_lock(m, cpu, t, pa);
        if (is && t->root && !t->high && !holds_anything(m, t)) {
            for (uint32_t i = 0; i < m->config.cpu_count; i++) {
                if (root_in_use(m, i, t)) {
                    judge_asid(m, i, t, t->asid);
                }
            }
        }
        if (was && old_value != new_value) {
            judge_valid_to_valid(m, cpu, root, pa, old_value, new_value, level);
            judge_group_edit(m, cpu, root, pa, old_value, new_value, level);
            judge_globalised(m, cpu, root, pa, old_value, new_value, level, NULL);
        } else if (is && !was) {
            const struct history *h = history_of(m, pa);
            if (change_first(m, pa) != NULL || (h != NULL && h->broken)) {
                judge_remake(m, cpu, pa, new_value, level);
            }
        }
        if (was) {
            change_record(m, cpu, root, pa, level, old_value, new_value);
        }
        bool same = ((old_value ^ new_value) & ~VM_SOFT) == 0;
        site_role_set(m, site, same ? SITE_REWRITE : was ? SITE_BREAK : SITE_MAKE);
        history_record(m, cpu, pa, old_value, new_value, level, site);
    }
    if (table_root(m, t) != NULL) {
        mapping_record(m, table_root(m, t), pa, old_value, new_value, level, site);
    }
    if ((new_value & 1) != 0) {
        desc_check(m, cpu, pa, new_value, level);
        judge_leaf(m, cpu, t, pa, new_value, level);
    }
    relink(m, cpu, pa, old_value, new_value, level);
}

/* ---- plain accesses to tables ---------------------------------------------------------------- */

static void judge_plain_write(struct monitor *m, uint32_t cpu, const struct table *t, uint64_t pa,
                              uint32_t size)
{
    if (table_live_root(m, t) == NULL || !judged(m, MON_T13)) {
        return;
    }
    struct mon_report r;
    report_begin(&r, MON_T13, cpu);
    r.desc_pa = pa & ~UINT64_C(7);
    r.pa = pa;
    r.old_desc = mem_read(m, r.desc_pa);
    snprintf(r.sentence, sizeof(r.sentence),
             "a plain store of %u bytes at pa %#llx writes a live level %d table", size,
             (unsigned long long)pa, t->level);
    snprintf(r.missing, sizeof(r.missing),
             "missing: one single-copy atomic store of the whole descriptor (kc_plat_desc_store)");
    report_end(m, &r, 0);
}

/* A page that was a table is written to as something else while walks to it may be cached. */
static void judge_reuse(struct monitor *m, uint32_t cpu, struct table *t)
{
    t->freed_at = mon_clock(m);
    for (const struct change *c = m->oldest; c != NULL && t->walks != 0; c = c->next) {
        if (!c->leaf && (c->old_value & VM_OA) == t->pa) {
            char text[MON_TEXT_MAX];
            snprintf(text, sizeof(text),
                     "table page at pa %#llx reused while CPU mask %#x may walk it for va %#llx",
                     (unsigned long long)t->pa, c->left, (unsigned long long)c->va);
            report_of_change(m, MON_T20, cpu, c, "the reuse", text);
        }
    }
}

void mon_plain_access(struct monitor *m, uint32_t cpu, uint64_t pa, uint32_t size, bool write)
{
    struct table *t = table_find(m, pa);
    if (!is_watched(t) || !write) {
        return;
    }
    m->order++;
    m->epoch++;
    judge_plain_write(m, cpu, t, pa, size);
    if (!t->noted && !t->linked && !t->root && t->freed_at == 0) {
        judge_reuse(m, cpu, t);
    }
}
