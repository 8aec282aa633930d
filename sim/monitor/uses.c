/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uses.c: an entry is used by an access, or filled by a walk.
 *
 *     access through an entry that differs from the tables --- T16 T17 T28
 *     access that rests on a descriptor not synchronised with - T11
 *     ... and leads, or should lead, to a table -------------- T26
 *     access that two entries of unlike size may match ------- T22
 *     access across a register write ------------------------- T12 (registers.c)
 *     walk through a cached table descriptor ----------------- T18
 *     walk that saw what no walker can ----------------------- T25
 *
 * An access that faults is judged, too, by what it might have got: T11, T12, T22.
 *
 * The theory of when the use of a stale entry is a violation is in monitor.c.
 */
#include "monitor_priv.h"

int stale_step(const struct monitor *m, const struct sim_tlb_entry *e, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++) {
        if (((mem_read(m, e->step[i].desc_pa) ^ e->step[i].value) & ~VM_SOFT) != 0) {
            return (int)i;
        }
    }
    return -1;
}

/* Does the access get through e what the tables would give it now? */
static bool agrees(const struct mon_access *a, const struct sim_tlb_entry *e,
                   const struct translation *now)
{
    uint64_t leaf = e->step[e->step_count - 1].value;
    return now->valid && now->pa == a->pa && vm_memory(now->leaf) == vm_memory(leaf) &&
           vm_allowed(vm_perm(now->leaf, now->over), a->write, a->fetch, a->el);
}

const struct change *change_of_step(const struct monitor *m, uint32_t cpu,
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

/* Is it a table that an access at these addresses reads or writes, or should? */
static bool meets_table(const struct monitor *m, uint64_t pa, const struct translation *now)
{
    return is_watched(table_find(m, pa)) || (now->valid && is_watched(table_find(m, now->pa)));
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
    bool table = !a->fetch && meets_table(m, a->pa, now);
    report_begin(&r, security ? MON_T17 : table ? MON_T26 : guard ? MON_T28 : MON_T16, cpu);
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

static struct translation translate_now(const struct monitor *m, uint32_t cpu, uint64_t va)
{
    bool high = (va >> 55 & 1) != 0;
    uint64_t tcr = reg_read(m, cpu, KC_TCR_EL1);
    if ((tcr & (high ? VM_TCR_EPD1 : VM_TCR_EPD0)) != 0) {
        return (struct translation){0};
    }
    return translate(m, reg_read(m, cpu, high ? KC_TTBR1_EL1 : KC_TTBR0_EL1), high,
                     vm_va_bits(tcr, high), va);
}

/* ---- T22 ------------------------------------------------------------------------------------- */

/* May a TLB hold c's old leaf beside the leaf that the tables give now, so that va matches both? */
static bool is_second(const struct monitor *m, uint32_t cpu, const struct change *c,
                      const struct translation *now)
{
    uint64_t leaf = now->leaf;
    uint32_t bbm = (uint32_t)(reg_read(m, cpu, KC_ID_AA64MMFR2_EL1) >> 52) & 15;
    bool wider = c->level < now->level;
    uint64_t block = wider ? c->old_value : leaf;
    bool sizes = c->level != now->level && bbm < 2 && !(bbm == 1 && (block & VM_NT) != 0);
    bool globals = !c->global && (leaf & VM_NG) == 0;
    return sizes || globals;
}

static void judge_conflict(struct monitor *m, uint32_t cpu, const struct mon_access *a)
{
    const uint64_t low56 = (UINT64_C(1) << 56) - 1;
    if (!judged(m, MON_T22) || m->oldest == NULL) {
        return;
    }
    struct translation now = translate_now(m, cpu, a->va);
    uint64_t tcr = reg_read(m, cpu, KC_TCR_EL1);
    uint16_t asid = vm_asid(tcr, reg_read(m, cpu, KC_TTBR0_EL1), reg_read(m, cpu, KC_TTBR1_EL1));
    for (const struct change *c = m->oldest; now.valid && c != NULL; c = c->next) {
        if (!c->leaf || (c->left & cpu_bit(cpu)) == 0 || (!c->global && c->asid != asid) ||
            !kc_range_has(c->va & low56, c->span, a->va & low56) || !is_second(m, cpu, c, &now)) {
            continue;
        }
        char text[MON_TEXT_MAX];
        snprintf(text, sizeof(text),
                 "access at va %#llx may match two entries: of level %d, pa %#llx, and the old one "
                 "of level %d, %#llx: conflict abort, or an amalgam of both",
                 (unsigned long long)a->va, now.level, (unsigned long long)now.pa, c->level,
                 (unsigned long long)c->old_value);
        report_of_change(m, MON_T22, cpu, c, "this access", text);
        return;
    }
}

/* ---- T26 at the seam ------------------------------------------------------------------------- */

/* The seam's own accesses to descriptors go through the CPU's view of memory where the MMU is on.
 */
void judge_own_view(struct monitor *m, uint32_t cpu, uint64_t pa)
{
    const uint64_t low56 = (UINT64_C(1) << 56) - 1;
    const struct mon_machine *machine = &m->config.machine;
    uint64_t base = machine->view != NULL ? machine->view(machine->ctx, cpu) : machine->linear;
    uint64_t va = base + pa;
    bool high = (va >> 55 & 1) != 0;
    if (machine->linear == 0 || !m->cpu[cpu].walked ||
        (reg_read(m, cpu, KC_SCTLR_EL1) & VM_SCTLR_M) == 0 || !judged(m, MON_T26)) {
        return;
    }
    for (const struct change *c = m->oldest; c != NULL; c = c->next) {
        if (!c->leaf || c->root->high != high || (c->left & cpu_bit(cpu)) == 0 ||
            !kc_range_has(c->va & low56, c->span, va & low56) || !change_binds(m, cpu, c)) {
            continue;
        }
        struct translation now = translate_now(m, cpu, va);
        uint64_t old_pa = vm_leaf_oa(c->old_value, c->level) | (va & (c->span - 1));
        if (now.valid && now.pa == old_pa && vm_memory(now.leaf) == vm_memory(c->old_value)) {
            continue;
        }
        char text[MON_TEXT_MAX];
        snprintf(text, sizeof(text),
                 "descriptor at pa %#llx is reached at va %#llx, for which the TLB may still hold "
                 "%#llx",
                 (unsigned long long)pa, (unsigned long long)va, (unsigned long long)c->old_value);
        report_of_change(m, MON_T26, cpu, c, "this access", text);
        return;
    }
}

void mon_desc_load(struct monitor *m, uint32_t cpu, uint64_t pa)
{
    judge_own_view(m, cpu, pa);
}

/* ---- T11 ------------------------------------------------------------------------------------- */

static void report_unsynchronised(struct monitor *m, uint32_t cpu, const struct mon_access *a,
                                  uint64_t desc_pa, const struct history *h)
{
    bool dsb = h->made_order < m->cpu[cpu].dsb_order;
    struct mon_report r;
    report_begin(&r, MON_T11, cpu);
    r.va = a->va;
    r.pa = a->pa;
    r.desc_pa = desc_pa;
    r.new_desc = h->new_value;
    snprintf(r.sentence, sizeof(r.sentence),
             "access at va %#llx depends on a descriptor that this CPU made at t=%llu and has not "
             "synchronised with: it may fault",
             (unsigned long long)a->va, (unsigned long long)h->at);
    snprintf(r.missing, sizeof(r.missing),
             "missing: %sISB between the store at t=%llu and this access",
             dsb ? "" : "DSB ISHST, then ", (unsigned long long)h->at);
    report_cause(&r, h->at, h->cpu, "wrote the descriptor at %#llx: %#llx",
                 (unsigned long long)desc_pa, (unsigned long long)h->new_value);
    report_end(m, &r, dsb);
}

/* T11: did this CPU make the descriptor, and has it not synchronised with it? True: reported. */
static bool judge_sync(struct monitor *m, uint32_t cpu, const struct mon_access *a,
                       uint64_t desc_pa)
{
    const struct history *h = history_of(m, desc_pa);
    const struct cpu_state *s = &m->cpu[cpu];
    if (h == NULL || h->made_order == 0 || h->made_cpu != cpu || a->el == 0 ||
        !judged(m, MON_T11)) {
        return false;
    }
    if (h->made_order < s->sync_order) {
        if (h->made_order > s->sync_before) { /* one DSB and one ISB have made it safe */
            site_needed(m, s->sync_site, MON_T11);
        }
        if (h->made_order > s->dsb_before) {
            site_needed(m, s->dsb_site, MON_T11);
        }
        return false;
    }
    report_unsynchronised(m, cpu, a, desc_pa, h);
    return true;
}

/* ---- events ---------------------------------------------------------------------------------- */

void mon_fault(struct monitor *m, uint32_t cpu, const struct mon_access *a)
{
    judge_registers(m, cpu, a);
    judge_conflict(m, cpu, a);
    struct translation now = translate_now(m, cpu, a->va);
    if (!now.valid || !vm_allowed(vm_perm(now.leaf, now.over), a->write, a->fetch, a->el)) {
        return; /* it faults by the tables, too */
    }
    for (uint32_t i = 0; i < now.step_count; i++) {
        if (judge_sync(m, cpu, a, now.step[i])) {
            return;
        }
    }
}

bool mon_access(struct monitor *m, uint32_t cpu, const struct mon_access *a,
                const struct sim_tlb_entry *e)
{
    (void)judged(m, MON_T16);
    if (a->write) {
        (void)judged(m, MON_T17);
    }
    if (!a->fetch && is_watched(table_find(m, a->pa))) {
        (void)judged(m, MON_T26);
    }
    judge_stack(m, a->va);
    judge_registers(m, cpu, a);
    struct cpu_state *s = &m->cpu[cpu];
    uint64_t slot = map_hash(e->seq ^ e->va) % SEEN_SLOTS;
    if (s->seen[slot].seq == e->seq && s->seen[slot].va == e->va &&
        s->seen[slot].epoch == m->epoch) {
        return true;
    }
    judge_conflict(m, cpu, a);
    int step = stale_step(m, e, e->step_count);
    if (step >= 0) {
        judge_stale_use(m, cpu, a, e, step);
        return false;
    }
    for (uint32_t i = 0; i < e->step_count && !judge_sync(m, cpu, a, e->step[i].desc_pa); i++) {
    }
    s->seen[slot].seq = e->seq;
    s->seen[slot].va = e->va;
    s->seen[slot].epoch = m->epoch;
    return true;
}

/*
 * T25: could a walker of this CPU have read this value of the descriptor? A value that was only
 * widened since is no change that is kept, and may be held as long as what took its place.
 */
static bool could_read(const struct monitor *m, uint32_t cpu, const struct sim_walk_step *s)
{
    uint64_t now = mem_read(m, s->desc_pa);
    if (((now ^ s->value) & ~VM_SOFT) == 0 || only_widens(s->value, now, s->level)) {
        return true;
    }
    for (const struct change *c = m->oldest; c != NULL; c = c->next) {
        bool same = ((c->old_value ^ s->value) & ~VM_SOFT) == 0 ||
                    only_widens(s->value, c->old_value, s->level);
        if (c->desc_pa == s->desc_pa && same && (c->left & cpu_bit(cpu)) != 0) {
            return true;
        }
    }
    return history_of(m, s->desc_pa) == NULL; /* nobody saw who wrote it */
}

static void judge_fill(struct monitor *m, uint32_t cpu, const struct sim_tlb_entry *e)
{
    const struct sim_walk_step *bad = NULL;
    bool invalid = false;
    if (!judged(m, MON_T25)) {
        return;
    }
    for (uint32_t i = 0; i < e->step_count && bad == NULL; i++) {
        const struct sim_walk_step *s = &e->step[i];
        enum vm_kind k = vm_kind(s->value, s->level);
        invalid = k == VM_INVALID || (vm_is_leaf(k) && (s->value & VM_AF) == 0);
        bad = invalid || !could_read(m, cpu, s) ? s : NULL;
    }
    if (bad == NULL) {
        return;
    }
    struct mon_report r;
    report_begin(&r, MON_T25, cpu);
    r.va = e->va;
    r.pa = e->pa;
    r.desc_pa = bad->desc_pa;
    r.old_desc = bad->value;
    r.new_desc = mem_read(m, bad->desc_pa);
    snprintf(r.sentence, sizeof(r.sentence),
             "the TLB took an entry for va %#llx by the level %d descriptor %#llx, which %s",
             (unsigned long long)e->va, bad->level, (unsigned long long)bad->value,
             invalid ? "is invalid" : "no walker of this CPU can have read");
    snprintf(r.missing, sizeof(r.missing),
             "missing: nothing in the software; the machine is wrong");
    report_end(m, &r, invalid);
}

/* T18: a walk that went through a cached table descriptor into a page that is no table any more. */
void mon_tlb_fill(struct monitor *m, uint32_t cpu, const struct sim_tlb_entry *e)
{
    judge_fill(m, cpu, e);
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
