/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * monitor.c: the events, and what each is judged by.
 *
 * Nouns. A *table* is a page that walkers read (tables.c). A *change* is a descriptor value that
 * memory no longer holds but a TLB may (changes.c). A change is *over* when no CPU can hold the old
 * value, *published* when the changer has released the lock of those tables: by the contract of
 * KC_NOTE_PT_LOCK a change that was made under it is over by then.
 *
 *     store ----> change ----DSB, TLBI, DSB----> over
 *       |            |
 *       | T1 T2 T3   | re-made: T6 (or T7 T8 T9 T10: whichever says why it is not over)
 *       | T13 T14    | lock released: the same
 *       |            | page freed: T19, table page freed: T20
 *       v            v
 *     access through an entry that differs from the tables: T16, T17; walk: T18; unsynchronised:
 * T11
 *
 * When is the use of a stale entry a violation? The architecture lets a walker keep the old value
 * until the invalidation is complete, so on *another* CPU a stale access is legal while the change
 * is being made. It is a violation
 *   - on the CPU that made the change: from the store on (program order);
 *   - elsewhere: once the change is published, or, where the tables' lock is not known, once the
 *     store happens-before the access through any lock (vector clocks over LOCK_RELEASED and
 *     LOCK_TAKEN).
 * And never while the access gets exactly what the tables give now (same address, memory type, and
 * permission for this access): then nobody can tell which was used.
 *
 * Invariants
 *   J1  a report is made only of a state that the manual forbids, or leaves unpredictable, on some
 *       implementation: reports are independent of what this machine's TLB happens to hold, except
 * for the rows of use. J2  an entry remembered as good equals memory while the epoch stays the
 * same.
 *
 * Cost: an access through an entry known as good is one compare; a store to a live table some hash
 * look-ups; a TLBI or DSB the number of changes that are not over, which is small in correct code.
 *
 * Sources: DDI 0487 issue J.a, D8.13 "TLB maintenance", D8.14 "Break-before-make", B2.3 "Ordering";
 * casemate for the idea of an automaton per descriptor.
 */
#include <string.h>

#include "monitor_priv.h"

/* ---- life cycle ------------------------------------------------------------------------------ */

struct monitor *mon_create(const struct mon_config *config)
{
    struct monitor *m = calloc(1, sizeof(*m));
    if (m == NULL) {
        return NULL;
    }
    m->config = *config;
    m->epoch = 1;
    for (uint32_t i = 0; i < MON_ROW_COUNT; i++) {
        m->policy[i] = MON_REPORT;
    }
    for (uint32_t i = 0; i < KC_CPUS_MAX; i++) {
        m->cpu[i].vc[i] = 1;
    }
    return m;
}

static void map_free_values(struct map *map)
{
    for (uint64_t i = 0; map->slot != NULL && i <= map->mask; i++) {
        free(map->slot[i].value);
    }
    map_fini(map);
}

void mon_destroy(struct monitor *m)
{
    if (m == NULL) {
        return;
    }
    if (m->config.sites != NULL) {
        sites_print(m);
    }
    while (m->oldest != NULL) {
        change_end(m, m->oldest);
    }
    map_free_values(&m->mappings);
    free(m->site);
    map_fini(&m->changes);
    map_free_values(&m->tables);
    map_free_values(&m->histories);
    map_free_values(&m->locks);
    map_fini(&m->lock_of);
    map_free_values(&m->report_of);
    free(m->report);
    free(m);
}

void mon_set_policy(struct monitor *m, enum mon_row row, enum mon_policy policy)
{
    m->policy[row] = policy;
}

uint64_t mon_judgements(const struct monitor *m, enum mon_row row)
{
    return m->judgements[row];
}

uint64_t mon_violations(const struct monitor *m, enum mon_row row)
{
    return m->violations[row];
}

uint64_t mon_total(const struct monitor *m)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < MON_ROW_COUNT; i++) {
        sum += m->violations[i];
    }
    return sum;
}

const struct mon_report *mon_report_at(const struct monitor *m, size_t i)
{
    return i < m->report_count ? m->report[i] : NULL;
}

uint64_t mon_epoch(const struct monitor *m)
{
    return m->epoch;
}

void mon_access_same(struct monitor *m, uint64_t n)
{
    if (m->policy[MON_T16] != MON_OFF) {
        m->judgements[MON_T16] += n;
    }
}

static bool is_watched(const struct table *t)
{
    return t != NULL && (t->noted || t->linked || t->root || t->walks != 0);
}

bool mon_is_table(const struct monitor *m, uint64_t pa)
{
    return is_watched(table_find(m, pa));
}

/* ---- reports on changes ---------------------------------------------------------------------- */

static void report_of_change(struct monitor *m, enum mon_row row, uint32_t cpu,
                             const struct change *c, const char *until, const char *sentence)
{
    struct mon_report r;
    if (m->policy[row] == MON_OFF) {
        return;
    }
    report_begin(&r, row, cpu);
    r.va = c->va;
    r.pa = c->old_value & VM_OA;
    r.desc_pa = c->desc_pa;
    r.old_desc = c->old_value;
    r.new_desc = c->new_value;
    snprintf(r.sentence, sizeof(r.sentence), "%s", sentence);
    change_missing(c, until, r.missing);
    report_change(&r, c);
    report_end(m, &r, change_reason(c));
}

static const struct history *history_of(const struct monitor *m, uint64_t desc_pa)
{
    return map_get(&m->histories, desc_pa);
}

/* ---- stores ---------------------------------------------------------------------------------- */

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

/* Where a page of that size class appears: blocks and pages do not share a key. */
static uint64_t mapping_key(uint64_t oa, int level)
{
    return oa | (uint64_t)(level & 3);
}

/*
 * Leaves whose input address is not the output address, and is not that of the linear map, are
 * somebody's space: the pages behind them must not be freed while they are mapped there. (Linear
 * and identity maps legitimately map all pages.) Of several mappings of one page the latest is
 * remembered.
 */
static void mapping_record(struct monitor *m, const struct table *root, uint64_t pa,
                           uint64_t old_value, uint64_t new_value, int level, uint32_t site)
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
    *p = (struct mapping){pa, new_value, 0};
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
        mapping_record(m, root, pa, old_value, new_value, level, site);
    }
    if ((new_value & 1) != 0) {
        desc_check(m, cpu, pa, new_value, level);
        judge_leaf(m, cpu, t, pa, new_value, level);
    }
    relink(m, cpu, pa, old_value, new_value, level);
}

void mon_desc_load(struct monitor *m, uint32_t cpu, uint64_t pa)
{
    (void)m;
    (void)cpu;
    (void)pa;
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

/* ---- barriers, invalidations, registers ------------------------------------------------------ */

static void synchronise(struct monitor *m, struct cpu_state *s)
{
    s->sync_before = s->sync_order;
    s->sync_order = s->dsb_order;
    s->sync_site = m->site_count;
}

void mon_barrier(struct monitor *m, uint32_t cpu, enum kc_barrier kind)
{
    struct cpu_state *s = &m->cpu[cpu];
    m->order++;
    uint32_t site = site_add(m, cpu, vm_barrier_name(kind), SITE_OTHER);
    changes_barrier(m, cpu, kind);
    if (kind == KC_ISB) {
        if (s->dsb_order > s->sync_order) {
            site_role_set(m, site, SITE_ORDER);
        }
        synchronise(m, s);
    } else if (kind >= KC_DSB_SY && kind <= KC_DSB_OSHST && kind != KC_DSB_LD &&
               kind != KC_DSB_ISHLD) {
        s->dsb_before = s->dsb_order;
        s->dsb_order = m->order;
        s->dsb_site = site;
    }
}

void mon_context_sync(struct monitor *m, uint32_t cpu)
{
    m->order++;
    synchronise(m, &m->cpu[cpu]);
    m->cpu[cpu].sync_site = 0; /* no mutable call */
}

void mon_tlbi(struct monitor *m, uint32_t cpu, enum kc_tlbi op, uint64_t operand)
{
    m->order++;
    (void)site_add(m, cpu, vm_tlbi_name(op), SITE_FLUSH);
    changes_tlbi(m, cpu, op, operand);
}

void mon_sysreg_write(struct monitor *m, uint32_t cpu, enum kc_sysreg reg, uint64_t old_value,
                      uint64_t new_value)
{
    (void)old_value;
    m->order++;
    if (reg != KC_SCTLR_EL1 && reg != KC_TCR_EL1 && reg != KC_TTBR0_EL1 && reg != KC_TTBR1_EL1) {
        return;
    }
    uint64_t sctlr = reg == KC_SCTLR_EL1 ? new_value : reg_read(m, cpu, KC_SCTLR_EL1);
    uint64_t tcr = reg == KC_TCR_EL1 ? new_value : reg_read(m, cpu, KC_TCR_EL1);
    uint64_t ttbr0 = reg == KC_TTBR0_EL1 ? new_value : reg_read(m, cpu, KC_TTBR0_EL1);
    uint64_t ttbr1 = reg == KC_TTBR1_EL1 ? new_value : reg_read(m, cpu, KC_TTBR1_EL1);
    tables_regime(m, cpu, sctlr, tcr, ttbr0, ttbr1);
}

void mon_cpu(struct monitor *m, uint32_t cpu, bool on)
{
    m->order++;
    m->cpu[cpu].on = on;
    m->cpu[cpu].flush_count = 0;
    if (on) {
        tables_regime(m, cpu, reg_read(m, cpu, KC_SCTLR_EL1), reg_read(m, cpu, KC_TCR_EL1),
                      reg_read(m, cpu, KC_TTBR0_EL1), reg_read(m, cpu, KC_TTBR1_EL1));
    } else {
        changes_cpu_gone(m, cpu); /* and its TLB with it */
    }
}

/* ---- use of entries -------------------------------------------------------------------------- */

/* First step of e that memory contradicts, or -1. */
static int stale_step(const struct monitor *m, const struct sim_tlb_entry *e, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        if (((mem_read(m, e->step[i].desc_pa) ^ e->step[i].value) & ~VM_SOFT) != 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool allowed(struct vm_perm p, const struct mon_access *a)
{
    if (a->fetch) {
        return a->el == 0 ? p.x0 : p.x1;
    }
    if (a->el == 0) {
        return a->write ? p.w0 : p.r0;
    }
    return !a->write || p.w1;
}

/* Does the access get through e what the tables would give it now? */
static bool agrees(const struct mon_access *a, const struct sim_tlb_entry *e,
                   const struct translation *now)
{
    uint64_t leaf = e->step[e->step_count - 1].value;
    return now->valid && now->pa == a->pa && vm_memory(now->leaf) == vm_memory(leaf) &&
           allowed(vm_perm(now->leaf, now->over), a);
}

/* The change that made step i of an entry stale, as far as it is still pending on this CPU. */
static const struct change *change_of_step(const struct monitor *m, uint32_t cpu,
                                           const struct sim_tlb_entry *e, int i)
{
    const struct change *best = NULL;
    uint64_t va = e->va & ((UINT64_C(1) << 56) - 1);
    for (const struct change *c = change_first(m, e->step[i].desc_pa); c != NULL; c = c->same) {
        bool meets = kc_range_meets(c->va & ((UINT64_C(1) << 56) - 1), c->span, va, e->size);
        if ((c->left & cpu_bit(cpu)) == 0 || !meets) {
            continue;
        }
        if (best == NULL || c->leaf || !best->leaf) { /* a leaf's own change explains best */
            best = c;
        }
    }
    return best;
}

/* Must CPU `cpu` have stopped using what the change replaced? See the theory. */
static bool change_binds(const struct monitor *m, uint32_t cpu, const struct change *c)
{
    if (cpu == c->cpu || c->published) {
        return true;
    }
    bool lock_known =
        c->root->owner != NULL && map_get(&m->lock_of, (uint64_t)(uintptr_t)c->root->owner) != NULL;
    return !lock_known && m->cpu[cpu].vc[c->cpu] > c->stamp;
}

static void report_use(struct monitor *m, uint32_t cpu, const struct mon_access *a,
                       const struct sim_tlb_entry *e, int step, const struct change *c,
                       const struct translation *now)
{
    uint64_t leaf = e->step[e->step_count - 1].value;
    bool guard = !now->valid && is_guarded(m, a->va);
    bool security =
        a->write && now->valid && now->pa == a->pa && vm_memory(now->leaf) == vm_memory(leaf);
    struct mon_report r;
    report_begin(&r, security ? MON_T17 : guard ? MON_T28 : MON_T16, cpu);
    if (m->policy[r.row] == MON_OFF) {
        return;
    }
    r.va = a->va;
    r.pa = a->pa;
    r.desc_pa = e->step[step].desc_pa;
    r.old_desc = e->step[step].value;
    r.new_desc = mem_read(m, r.desc_pa);
    const char *what = a->fetch ? "fetch" : a->write ? "store" : "load";
    if (security) {
        snprintf(r.sentence, sizeof(r.sentence),
                 "%s of %u bytes at va %#llx went through a stale writable entry; the page is "
                 "read-only",
                 what, a->size, (unsigned long long)a->va);
    } else if (now->valid) {
        snprintf(
            r.sentence, sizeof(r.sentence),
            "%s of %u bytes at va %#llx reached pa %#llx through a stale entry; the tables say "
            "%#llx%s",
            what, a->size, (unsigned long long)a->va, (unsigned long long)a->pa,
            (unsigned long long)now->pa,
            now->pa == a->pa ? " with other permissions or memory type" : "");
    } else {
        snprintf(
            r.sentence, sizeof(r.sentence),
            "%s of %u bytes at va %#llx reached pa %#llx through a stale entry; the tables say "
            "nothing is mapped%s",
            what, a->size, (unsigned long long)a->va, (unsigned long long)a->pa,
            guard ? ": it is a stack's guard, or a stack that is gone" : "");
    }
    report_cause(&r, e->seq, cpu, "took the entry into its TLB (va %#llx, %llu bytes, pa %#llx)",
                 (unsigned long long)e->va, (unsigned long long)e->size, (unsigned long long)e->pa);
    if (c != NULL) {
        report_change(&r, c);
        change_missing(c, "this access", r.missing);
    } else {
        const struct history *h = history_of(m, r.desc_pa);
        if (h != NULL) {
            report_cause(&r, h->at, h->cpu, "wrote the descriptor at %#llx: %#llx became %#llx",
                         (unsigned long long)r.desc_pa, (unsigned long long)h->old_value,
                         (unsigned long long)h->new_value);
        }
        snprintf(r.missing, sizeof(r.missing),
                 "missing: an invalidation that covers va %#llx on CPU %u after its table was "
                 "rewritten",
                 (unsigned long long)a->va, cpu);
    }
    report_cause(&r, mon_clock(m), cpu, "%s at va %#llx used it", what, (unsigned long long)a->va);
    report_end(m, &r, c != NULL ? (uint32_t)change_reason(c) : R_COUNT);
}

static void judge_stale_use(struct monitor *m, uint32_t cpu, const struct mon_access *a,
                            const struct sim_tlb_entry *e, int step)
{
    bool high = e->half != 0;
    uint64_t ttbr = reg_read(m, cpu, high ? KC_TTBR1_EL1 : KC_TTBR0_EL1);
    uint32_t va_bits = vm_va_bits(reg_read(m, cpu, KC_TCR_EL1), high);
    struct translation now = translate(m, ttbr, high, va_bits, a->va);
    if (agrees(a, e, &now)) {
        return;
    }
    const struct change *c = NULL;
    for (int i = step; i < (int)e->step_count && c == NULL; i++) {
        c = change_of_step(m, cpu, e, i);
    }
    if (c != NULL) {
        if (change_binds(m, cpu, c)) {
            report_use(m, cpu, a, e, step, c, &now);
        }
        return;
    }
    /* No change is pending that this CPU may hold: what it holds was invalidated, or its tables
       were overwritten behind our back. On the writer's own CPU that is never right. */
    const struct history *h = history_of(m, e->step[step].desc_pa);
    if (h == NULL || h->cpu == cpu) {
        report_use(m, cpu, a, e, step, NULL, &now);
    }
}

/* T11: does the entry rest on a descriptor that this CPU made and has not synchronised with? */
static void judge_sync(struct monitor *m, uint32_t cpu, const struct mon_access *a,
                       const struct sim_tlb_entry *e)
{
    for (uint32_t i = 0; i < e->step_count; i++) {
        const struct history *h = history_of(m, e->step[i].desc_pa);
        if (h == NULL || h->made_order == 0 || h->made_cpu != cpu || a->el == 0) {
            continue;
        }
        if (!judged(m, MON_T11)) {
            continue;
        }
        const struct cpu_state *s = &m->cpu[cpu];
        if (h->made_order < s->sync_order) {
            if (h->made_order > s->sync_before) { /* one DSB and one ISB have made it safe */
                site_needed(m, s->sync_site, MON_T11);
            }
            if (h->made_order > s->dsb_before) {
                site_needed(m, s->dsb_site, MON_T11);
            }
            continue;
        }
        bool dsb = h->made_order < m->cpu[cpu].dsb_order;
        struct mon_report r;
        report_begin(&r, MON_T11, cpu);
        r.va = a->va;
        r.pa = a->pa;
        r.desc_pa = e->step[i].desc_pa;
        r.new_desc = e->step[i].value;
        snprintf(
            r.sentence, sizeof(r.sentence),
            "access at va %#llx depends on a descriptor that this CPU made at t=%llu and has not "
            "synchronised with: it may fault",
            (unsigned long long)a->va, (unsigned long long)h->at);
        snprintf(r.missing, sizeof(r.missing),
                 "missing: %sISB between the store at t=%llu and this access",
                 dsb ? "" : "DSB ISHST, then ", (unsigned long long)h->at);
        report_cause(&r, h->at, h->cpu, "wrote the descriptor at %#llx: %#llx",
                     (unsigned long long)r.desc_pa, (unsigned long long)h->new_value);
        report_end(m, &r, dsb);
        return;
    }
}

bool mon_access(struct monitor *m, uint32_t cpu, const struct mon_access *a,
                const struct sim_tlb_entry *e)
{
    (void)judged(m, MON_T16);
    if (a->write) {
        (void)judged(m, MON_T17);
    }
    judge_stack(m, a->va);
    struct cpu_state *s = &m->cpu[cpu];
    uint64_t slot = map_hash(e->seq ^ e->va) % SEEN_SLOTS;
    if (s->seen[slot].seq == e->seq && s->seen[slot].va == e->va &&
        s->seen[slot].epoch == m->epoch) {
        return true;
    }
    int step = stale_step(m, e, e->step_count);
    if (step >= 0) {
        judge_stale_use(m, cpu, a, e, step);
        return false;
    }
    judge_sync(m, cpu, a, e);
    s->seen[slot].seq = e->seq;
    s->seen[slot].va = e->va;
    s->seen[slot].epoch = m->epoch;
    return true;
}

/* T18: a walk that went through a cached table descriptor into a page that is no table any more. */
void mon_tlb_fill(struct monitor *m, uint32_t cpu, const struct sim_tlb_entry *e)
{
    if (e->step_count != 0 && stale_step(m, e, e->step_count) < 0) {
        judge_group_use(m, cpu, e);
    }
    if (e->step_count < 2 || !judged(m, MON_T18)) {
        return;
    }
    int step = stale_step(m, e, e->step_count - 1);
    if (step < 0) {
        return;
    }
    const struct table *t = table_find(m, e->step[step].value & VM_OA);
    if (t == NULL || t->freed_at == 0 || t->freed_at < e->step[step].since) {
        return;
    }
    struct mon_report r;
    report_begin(&r, MON_T18, cpu);
    r.va = e->va;
    r.pa = t->pa;
    r.desc_pa = e->step[step].desc_pa;
    r.old_desc = e->step[step].value;
    r.new_desc = mem_read(m, r.desc_pa);
    snprintf(
        r.sentence, sizeof(r.sentence),
        "walk for va %#llx went through a cached level %d table descriptor into page %#llx, which "
        "was freed",
        (unsigned long long)e->va, e->step[step].level, (unsigned long long)t->pa);
    report_cause(&r, t->freed_at, cpu, "page %#llx was a table until it was freed or reused now",
                 (unsigned long long)t->pa);
    const struct change *c = change_of_step(m, cpu, e, step);
    for (const struct change *w = change_first(m, r.desc_pa); w != NULL; w = w->same) {
        c = !w->leaf && w->desc_pa == r.desc_pa ? w : c;
    }
    if (c != NULL) {
        report_change(&r, c);
        change_missing(c, "the page was freed", r.missing);
    } else {
        snprintf(r.missing, sizeof(r.missing),
                 "missing: TLBI VAE1IS (or wider) for va %#llx before the table page was freed",
                 (unsigned long long)e->va);
    }
    report_end(m, &r, c != NULL ? (uint32_t)change_reason(c) : R_COUNT);
}

/* ---- notes ----------------------------------------------------------------------------------- */

static struct lock *lock_at(struct monitor *m, uint64_t address)
{
    struct lock *l = map_get(&m->locks, address);
    if (l == NULL) {
        l = mon_alloc(sizeof(*l));
        map_put(&m->locks, address, l);
    }
    return l;
}

static void vc_join(uint64_t *to, const uint64_t *from)
{
    for (uint32_t i = 0; i < KC_CPUS_MAX; i++) {
        to[i] = to[i] > from[i] ? to[i] : from[i];
    }
}

static bool is_table_lock(struct monitor *m, uint64_t address)
{
    const struct lock *l = map_get(&m->locks, address);
    return l != NULL && l->of_tables;
}

/* The lock of some tables is released: what was changed under it is declared finished. */
static void publish(struct monitor *m, uint32_t cpu, uint64_t lock)
{
    if (m->cpu[cpu].changed && is_table_lock(m, lock)) {
        m->cpu[cpu].changed = false;
        (void)judged(m, MON_T6);
        site_needed(m, m->cpu[cpu].complete_site, MON_T6);
        m->cpu[cpu].complete_site = 0;
    }
    for (struct change *c = m->oldest; c != NULL; c = c->next) {
        if (c->cpu != cpu || c->published || c->root->owner == NULL) {
            continue;
        }
        const struct lock *of = map_get(&m->lock_of, (uint64_t)(uintptr_t)c->root->owner);
        if (of == NULL || of != map_get(&m->locks, lock)) {
            continue;
        }
        c->published = true;
        if (m->config.deferred) {
            continue;
        }
        char text[MON_TEXT_MAX];
        snprintf(
            text, sizeof(text),
            "the lock of the tables is released while TLBs of CPU mask %#x may still hold %#llx "
            "for va %#llx",
            c->left, (unsigned long long)c->old_value, (unsigned long long)c->va);
        report_of_change(m, reason_row(change_reason(c)), cpu, c, "the release of the lock", text);
    }
}

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

/* T19: a page that is mapped in somebody's space. */
static void judge_free_mapped(struct monitor *m, uint32_t cpu, uint64_t pa, int level)
{
    struct mapping *p = map_get(&m->mappings, mapping_key(pa, level));
    if (p == NULL) {
        return;
    }
    const struct table *t = table_find(m, p->desc_pa);
    const struct table *root = t != NULL ? table_live_root(m, t) : NULL;
    uint64_t now = mem_read(m, p->desc_pa);
    if (root == NULL || !vm_is_leaf(vm_kind(now, level)) || vm_leaf_oa(now, level) != pa) {
        site_needed(m, root != NULL ? p->break_site : 0, MON_T19);
        map_remove(&m->mappings, mapping_key(pa, level));
        free(p);
        return;
    }
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

static void note_frame_free(struct monitor *m, uint32_t cpu, uint64_t base, uint64_t size)
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

static void note_table(struct monitor *m, uint32_t cpu, uint64_t base, const void *owner)
{
    struct table *t = table_make(m, base);
    judge_new_table(m, cpu, t->pa);
    if (!t->noted && t->freed_at != 0 && !t->linked) {
        t->level = LEVEL_UNKNOWN;
    }
    t->noted = true;
    t->owner = owner;
    if (t->walks == 0) {
        t->freed_at = 0;
    }
}

void mon_note(struct monitor *m, uint32_t cpu, enum kc_note kind, uint64_t base, uint64_t size,
              const void *owner)
{
    m->order++;
    switch (kind) {
    case KC_NOTE_TABLE:
    case KC_NOTE_ROOT:
        note_table(m, cpu, base, owner);
        break;
    case KC_NOTE_TABLE_FREE: {
        struct table *t = table_find(m, base);
        if (t != NULL) {
            t->noted = false;
        }
        break;
    }
    case KC_NOTE_FRAME_FREE:
        note_frame_free(m, cpu, base, size);
        break;
    case KC_NOTE_STACK:
    case KC_NOTE_STACK_FREE:
        note_stack(m, base, size, kind == KC_NOTE_STACK);
        break;
    case KC_NOTE_LOCK_TAKEN:
        lock_at(m, base)->taken = true;
        lock_at(m, base)->holder = cpu + 1;
        vc_join(m->cpu[cpu].vc, lock_at(m, base)->vc);
        break;
    case KC_NOTE_LOCK_RELEASED:
        publish(m, cpu, base);
        lock_at(m, base)->holder = 0;
        m->cpu[cpu].vc[cpu]++;
        vc_join(lock_at(m, base)->vc, m->cpu[cpu].vc);
        break;
    case KC_NOTE_PT_LOCK:
        lock_at(m, base)->of_tables = true;
        map_put(&m->lock_of, (uint64_t)(uintptr_t)owner, lock_at(m, base));
        break;
    default:
        break;
    }
}
