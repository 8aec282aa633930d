/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * changes.c: what TLBs may still hold, and which step takes it away.
 *
 * When a store replaces a descriptor that a walker could have cached, a struct change is born:
 *
 *     written --DSB ISHST--> visible --TLBI--> issued --DSB ISH--> over
 *
 * `left` is the set of CPUs that may still hold the old value. A TLBI counts only if the store was
 * visible before it, and if its operand covers the change; a DSB by the issuer then completes it,
 * for all CPUs that it was sent to. A TLBI that does not count leaves a note of why (`tried`), so
 * that the report can name the step (DDI 0487, D8.13 "TLB maintenance", D8.14 "break-before-make";
 * B2.3 "Memory barriers" for what a DSB completes).
 *
 * Invariants
 *   C1  a change is in the list of all and in the chain of its key until left is 0.
 *   C2  left never grows.
 *   C3  an operation is only taken to cover what the manual says it invalidates: never by luck of
 *       an implementation.
 */
#include <string.h>

#include "monitor_priv.h"

struct change *change_first(const struct monitor *m, uint64_t key)
{
    return map_get(&m->changes, key);
}

/* How many cached table descriptors may lead to the page: keeps it watched (monitor.c). */
static void count_walk(struct monitor *m, const struct change *c, uint32_t by)
{
    if (!c->leaf) {
        struct table *t = table_find(m, c->old_value & VM_OA);
        if (t != NULL) {
            t->walks += by;
        }
    }
}

static void change_add(struct monitor *m, struct change *c)
{
    count_walk(m, c, 1);
    struct change *first = change_first(m, c->key);
    if (first == NULL) {
        map_put(&m->changes, c->key, c);
    } else {
        while (first->same != NULL) {
            first = first->same;
        }
        first->same = c;
    }
    c->prev = m->newest;
    *(m->newest != NULL ? &m->newest->next : &m->oldest) = c;
    m->newest = c;
    m->pending++;
}

void change_end(struct monitor *m, struct change *c)
{
    count_walk(m, c, UINT32_MAX);
    struct change *first = change_first(m, c->key);
    if (first == c) {
        if (c->same != NULL) {
            map_put(&m->changes, c->key, c->same);
        } else {
            map_remove(&m->changes, c->key);
        }
    } else {
        while (first->same != c) {
            first = first->same;
        }
        first->same = c->same;
    }
    *(c->prev != NULL ? &c->prev->next : &m->oldest) = c->next;
    *(c->next != NULL ? &c->next->prev : &m->newest) = c->prev;
    m->pending--;
    free(c);
}

bool only_widens(uint64_t old_value, uint64_t new_value, int level)
{
    enum vm_kind k = vm_kind(old_value, level);
    if (k != vm_kind(new_value, level)) {
        return false;
    }
    if (k == VM_TABLE) {
        return ((old_value ^ new_value) & VM_OA) == 0 &&
               (old_value & new_value & UINT64_C(0xf) << 59) == (new_value & UINT64_C(0xf) << 59);
    }
    return vm_leaf_oa(old_value, level) == vm_leaf_oa(new_value, level) &&
           vm_memory(old_value) == vm_memory(new_value) && ((old_value ^ new_value) & VM_NG) == 0 &&
           vm_perm_within(vm_perm(old_value, 0), vm_perm(new_value, 0));
}

static struct change *change_new(struct monitor *m, uint32_t cpu, struct table *root, uint64_t key,
                                 uint64_t desc_pa, int level, uint64_t old_value,
                                 uint64_t new_value, uint64_t va)
{
    struct change *c = mon_alloc(sizeof(*c));
    c->key = key;
    c->desc_pa = desc_pa;
    c->va = va;
    c->span = vm_span(level);
    c->old_value = old_value;
    c->new_value = new_value;
    c->at = mon_clock(m);
    c->order = m->order;
    c->stamp = m->cpu[cpu].vc[cpu];
    c->root = root;
    c->level = level;
    c->cpu = cpu;
    c->leaf = vm_is_leaf(vm_kind(old_value, level));
    c->global = c->leaf && (old_value & VM_NG) == 0;
    c->asid = root->asid;
    c->asids = root->asids && !c->global;
    c->left = root->hold;
    change_add(m, c);
    return c;
}

/* The leaves beneath a table that is being unlinked, as long as there are not too many. */
static void record_beneath(struct monitor *m, uint32_t cpu, struct table *root, uint64_t key,
                           uint64_t table_pa, int level, uint64_t va, uint32_t *budget)
{
    for (uint32_t i = 0; i < VM_SLOTS && *budget != 0; i++) {
        uint64_t at = table_pa + UINT64_C(8) * i;
        uint64_t d = mem_read(m, at);
        enum vm_kind k = vm_kind(d, level);
        uint64_t here = va + i * vm_span(level);
        if (k == VM_TABLE) {
            change_new(m, cpu, root, key, at, level, d, 0, here);
            --*budget;
            record_beneath(m, cpu, root, key, d & VM_OA, level + 1, here, budget);
        } else if (k != VM_INVALID && (d & VM_AF) != 0) {
            change_new(m, cpu, root, key, at, level, d, 0, here);
            --*budget;
        }
    }
}

void change_record(struct monitor *m, uint32_t cpu, struct table *root, uint64_t desc_pa, int level,
                   uint64_t old_value, uint64_t new_value)
{
    enum vm_kind k = vm_kind(old_value, level);
    if (k == VM_INVALID || (vm_is_leaf(k) && (old_value & VM_AF) == 0) ||
        ((old_value ^ new_value) & ~VM_SOFT) == 0 || only_widens(old_value, new_value, level)) {
        if (vm_is_leaf(k) && ((old_value ^ new_value) & ~VM_SOFT) != 0) {
            lint_widened(m, desc_va(m, root, desc_pa), vm_span(level));
        }
        return; /* nothing that a TLB may hold, or nothing that differs */
    }
    uint64_t va = desc_va(m, root, desc_pa);
    change_new(m, cpu, root, desc_pa, desc_pa, level, old_value, new_value, va);
    m->cpu[cpu].changed = true;
    if (k == VM_TABLE) {
        uint32_t budget = SUBTREE_MAX;
        record_beneath(m, cpu, root, desc_pa, old_value & VM_OA, level + 1, va, &budget);
    }
}

/* Changes that must go through an invalid descriptor (D8.14.1), by the CPU's FEAT_BBM level. */
bool needs_break(const struct monitor *m, uint32_t cpu, uint64_t old_value, uint64_t new_value,
                 int level)
{
    enum vm_kind ko = vm_kind(old_value, level);
    enum vm_kind kn = vm_kind(new_value, level);
    if (ko == VM_INVALID || kn == VM_INVALID || (vm_is_leaf(ko) && (old_value & VM_AF) == 0)) {
        return false;
    }
    if (ko != kn) {
        uint32_t bbm = (uint32_t)(reg_read(m, cpu, KC_ID_AA64MMFR2_EL1) >> 52) & 15;
        uint64_t block = ko == VM_BLOCK ? old_value : new_value;
        return !(bbm >= 2 || (bbm == 1 && (block & VM_NT) != 0));
    }
    if (ko == VM_TABLE) {
        return ((old_value ^ new_value) & VM_OA) != 0;
    }
    return vm_leaf_oa(old_value, level) != vm_leaf_oa(new_value, level) ||
           vm_memory(old_value) != vm_memory(new_value);
}

/* ---- TLBI ------------------------------------------------------------------------------------ */

#define COVERS R_COUNT

/* Does the operation invalidate what c stands for? COVERS, or the reason why not. */
static enum reason tlbi_covers(const struct vm_tlbi *t, const struct change *c)
{
    const uint64_t low56 = (UINT64_C(1) << 56) - 1;
    if (t->all) {
        return COVERS;
    }
    bool asid_ok = t->any_asid || (t->asid == c->asid && !c->asids);
    if (t->by_asid) {
        return asid_ok && !c->global ? COVERS : R_WRONG_ASID;
    }
    if (!kc_range_meets(t->base & low56, t->size, c->va & low56, c->span)) {
        return R_WRONG_VA;
    }
    if (!asid_ok && !c->global) {
        return R_WRONG_ASID;
    }
    if (t->granule_wrong ||
        (t->level >= 0 && (c->leaf ? t->level != c->level : t->level <= c->level))) {
        return R_WRONG_LEVEL; /* the hint names the level of the leaf: C5.5, "TTL" */
    }
    return t->last_only && !c->leaf ? R_LAST_LEVEL : COVERS;
}

static void tried(struct change *c, enum reason why, uint32_t cpu, enum kc_tlbi op,
                  uint64_t operand, uint64_t at)
{
    if (c->tried.at == 0 || why >= c->tried.reason) {
        c->tried = (struct attempt){why, op, operand, at, cpu};
    }
}

/* A TLBI that counts for c, unless the store was not yet visible to other walkers. */
static void tlbi_on(struct monitor *m, uint32_t cpu, struct change *c, const struct vm_tlbi *t,
                    enum kc_tlbi op, uint64_t operand, uint64_t at)
{
    uint8_t targets = t->broadcast ? c->left : (uint8_t)(c->left & cpu_bit(cpu));
    bool others = (targets & (uint8_t)~cpu_bit(c->cpu)) != 0;
    bool visible = c->visible || (c->visible_n && !others) ||
                   (cpu != c->cpu && m->cpu[cpu].vc[c->cpu] > c->stamp);
    (void)judged(m, MON_T7);
    if (!visible) {
        tried(c, R_BEFORE_DSB, cpu, op, operand, at);
        return;
    }
    if (c->dsbs == 1) {
        site_needed(m, c->dsb_site, MON_T7);
    }
    c->tlbi_site = m->site_count;
    c->tlbis++;
    site_role_set(m, m->site_count, SITE_COVER);
    c->issued[cpu] |= targets;
    c->done = (struct attempt){COVERS, op, operand, at, cpu};
}

/* Changes that this TLBI takes from some TLB, and that none has been issued for. */
static uint32_t count_changes(const struct monitor *m, uint32_t cpu, const struct vm_tlbi *t)
{
    uint32_t n = 0;
    for (const struct change *c = m->oldest; c != NULL; c = c->next) {
        uint8_t targets = t->broadcast ? c->left : (uint8_t)(c->left & cpu_bit(cpu));
        n += c->key == c->desc_pa && (targets & (uint8_t)~c->issued[cpu]) != 0 &&
             tlbi_covers(t, c) == COVERS;
    }
    return n;
}

/* Does the invalidation leave nothing of that root on that CPU? */
static bool retires(const struct monitor *m, uint32_t cpu, const struct flush *f,
                    const struct table *root)
{
    bool hits = f->all || (!root->high && f->asid == root->asid);
    return hits && (f->targets & root->hold & cpu_bit(cpu)) != 0 && !root_in_use(m, cpu, root) &&
           root->used[cpu] < f->order;
}

/* Roots that this TLBI, once completed, leaves nothing of on some CPU. */
static uint32_t count_roots(const struct monitor *m, uint32_t cpu, const struct vm_tlbi *t)
{
    struct flush f = {t->all, t->asid, t->broadcast ? 0xff : cpu_bit(cpu), m->order, 0};
    uint32_t n = 0;
    for (const struct table *r = t->by_va ? NULL : m->roots; r != NULL; r = r->next_root) {
        for (uint32_t i = 0; i < m->config.cpu_count; i++) {
            n += retires(m, i, &f, r);
        }
    }
    return n;
}

void changes_tlbi(struct monitor *m, uint32_t cpu, enum kc_tlbi op, uint64_t operand)
{
    uint32_t asid_bits = (reg_read(m, cpu, KC_TCR_EL1) & VM_TCR_AS) != 0 ? 16 : 8;
    struct vm_tlbi t = vm_tlbi(op, operand, asid_bits);
    uint64_t at = mon_clock(m);
    if (!t.known) {
        return;
    }
    if (t.all || t.by_asid) {
        struct cpu_state *s = &m->cpu[cpu];
        if (s->flush_count == s->flush_room) {
            s->flush_room = s->flush_room * 2 + 16;
            s->flush = mon_resize(s->flush, s->flush_room * sizeof(*s->flush));
        }
        s->flush[s->flush_count++] = (struct flush){
            t.all, t.asid, t.broadcast ? 0xff : cpu_bit(cpu), m->order, m->site_count};
    }
    struct lint_tlbi lint = {.t = &t, .op = op, .operand = operand};
    lint.changes = count_changes(m, cpu, &t);
    lint.roots = count_roots(m, cpu, &t);
    for (const struct change *c = m->oldest; c != NULL && !lint.astray; c = c->next) {
        lint.astray = c->cpu == cpu && c->issued[cpu] == 0;
    }
    lint_tlbi(m, cpu, &lint);
    registers_tlbi(m, cpu, &t);
    bool hit = false;
    for (struct change *c = m->oldest; c != NULL; c = c->next) {
        enum reason why = tlbi_covers(&t, c);
        (void)judged(m, MON_T9);
        if (t.last_only || !c->leaf) {
            (void)judged(m, MON_T10);
        }
        if (why == COVERS) {
            hit = true;
            tlbi_on(m, cpu, c, &t, op, operand, at);
        } else if (why != R_WRONG_VA && cpu == c->cpu) {
            tried(c, why, cpu, op, operand, at);
            hit = hit || why == R_WRONG_LEVEL || why == R_LAST_LEVEL;
        }
    }
    if (!t.by_va) {
        return;
    }
    for (struct change *c = m->oldest; c != NULL; c = c->next) { /* what was it meant for? */
        if (cpu == c->cpu && tlbi_covers(&t, c) == R_WRONG_VA && (t.range || !hit)) {
            tried(c, t.range && hit ? R_RANGE_SHORT : R_WRONG_VA, cpu, op, operand, at);
        }
    }
}

/* ---- DSB ------------------------------------------------------------------------------------- */

static bool dsb_waits_for_stores(enum kc_barrier b)
{
    return b == KC_DSB_SY || b == KC_DSB_ST || b == KC_DSB_ISH || b == KC_DSB_ISHST ||
           b == KC_DSB_NSH || b == KC_DSB_NSHST || b == KC_DSB_OSH || b == KC_DSB_OSHST;
}

static bool dsb_is_narrow(enum kc_barrier b)
{
    return b == KC_DSB_NSH || b == KC_DSB_NSHST;
}

/* Only a DSB for loads and stores completes maintenance (B2.3.10 in J.a, "DSB"). */
static bool dsb_completes(enum kc_barrier b)
{
    return b == KC_DSB_SY || b == KC_DSB_ISH || b == KC_DSB_OSH || b == KC_DSB_NSH;
}

static bool is_dsb(enum kc_barrier b)
{
    return b >= KC_DSB_SY && b <= KC_DSB_OSHST;
}

/* M2: roots that a completed invalidation leaves nothing of. */
static void flushes_complete(struct monitor *m, uint32_t cpu, bool narrow)
{
    struct cpu_state *s = &m->cpu[cpu];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->flush_count; i++) {
        const struct flush *f = &s->flush[i];
        uint8_t reach = narrow ? (uint8_t)(f->targets & cpu_bit(cpu)) : f->targets;
        for (struct table *t = m->roots; t != NULL; t = t->next_root) {
            for (uint32_t c = 0; c < m->config.cpu_count; c++) {
                if ((reach & cpu_bit(c)) != 0 && retires(m, c, f, t)) {
                    t->hold &= (uint8_t)~cpu_bit(c);
                }
            }
            if (f->all && (t->hold & ~reach) == 0) {
                t->asids = false;
            }
        }
        for (uint32_t c = 0; f->all && c < m->config.cpu_count; c++) {
            if ((reach & cpu_bit(c)) != 0) {
                registers_flushed(m, c, f->order, f->site);
            }
        }
        if (narrow && (f->targets & (uint8_t)~cpu_bit(cpu)) != 0) {
            s->flush[kept++] = *f; /* a wider DSB may complete it elsewhere */
        }
    }
    s->flush_count = kept;
}

static void complete(struct monitor *m, uint32_t cpu, struct change *c, bool narrow)
{
    uint8_t reach = narrow ? (uint8_t)(c->issued[cpu] & cpu_bit(cpu)) : c->issued[cpu];
    (void)judged(m, MON_T8);
    c->left &= (uint8_t)~reach;
    c->issued[cpu] &= (uint8_t)~reach;
    site_role_set(m, m->site_count, SITE_COMPLETE);
    m->cpu[cpu].complete_site = m->site_count;
    if (c->left == 0) {
        if (c->tlbis == 1) {
            site_needed(m, c->tlbi_site, MON_T6);
        }
        change_end(m, c);
    } else if (c->issued[cpu] != 0) {
        tried(c, R_NARROW_DSB, cpu, c->done.op, c->done.operand, c->done.at);
    } else {
        tried(c, R_LOCAL, cpu, c->done.op, c->done.operand, c->done.at);
    }
}

void changes_barrier(struct monitor *m, uint32_t cpu, enum kc_barrier kind)
{
    if (!is_dsb(kind)) {
        return;
    }
    bool narrow = dsb_is_narrow(kind);
    if (dsb_completes(kind)) {
        m->cpu[cpu].complete_site = 0; /* of two, neither is needed */
    }
    for (struct change *c = m->oldest, *next; c != NULL; c = next) {
        next = c->next;
        if (c->cpu == cpu && dsb_waits_for_stores(kind)) {
            c->visible = c->visible || !narrow;
            c->visible_n = true;
            c->dsb_site = m->site_count;
            c->dsbs++;
            site_role_set(m, m->site_count, SITE_ORDER);
        }
        if (c->issued[cpu] == 0) {
            continue;
        }
        if (dsb_completes(kind)) {
            complete(m, cpu, c, narrow);
        } else {
            c->weak_at = mon_clock(m);
            c->weak = kind;
        }
    }
    if (dsb_completes(kind)) {
        flushes_complete(m, cpu, narrow);
    }
}

void changes_cpu_gone(struct monitor *m, uint32_t cpu)
{
    for (struct table *t = m->roots; t != NULL; t = t->next_root) {
        t->hold &= (uint8_t)~cpu_bit(cpu);
    }
    for (struct change *c = m->oldest, *next; c != NULL; c = next) {
        next = c->next;
        c->left &= (uint8_t)~cpu_bit(cpu);
        if (c->left == 0) {
            change_end(m, c);
        }
    }
}

/* ---- explanation ----------------------------------------------------------------------------- */

enum reason change_reason(const struct change *c)
{
    for (uint32_t i = 0; i < KC_CPUS_MAX; i++) {
        if (c->issued[i] != 0 && !(c->tried.at != 0 && c->tried.reason == R_NARROW_DSB)) {
            return R_NOT_COMPLETED;
        }
    }
    return c->tried.at != 0 ? c->tried.reason : R_NO_TLBI;
}

enum mon_row reason_row(enum reason r)
{
    switch (r) {
    case R_WRONG_VA:
    case R_RANGE_SHORT:
    case R_WRONG_ASID:
    case R_WRONG_LEVEL:
        return MON_T9;
    case R_LAST_LEVEL:
        return MON_T10;
    case R_BEFORE_DSB:
        return MON_T7;
    case R_LOCAL:
    case R_NARROW_DSB:
        return MON_T8;
    default:
        return MON_T6;
    }
}

void change_missing(const struct change *c, const char *until, char *text)
{
    const struct attempt *a = change_reason(c) == R_NOT_COMPLETED ? &c->done : &c->tried;
    const char *op = vm_tlbi_name(a->op);
    const char *want = c->leaf ? "VALE1IS" : "VAE1IS";
    unsigned long long va = c->va, at = a->at, since = c->at, operand = a->operand;
    switch (change_reason(c)) {
    case R_NOT_COMPLETED:
        if (c->weak_at != 0) {
            snprintf(text, MON_TEXT_MAX,
                     "missing: DSB ISH between the TLBI %s at t=%llu and %s; the %s at t=%llu does "
                     "not complete a TLBI",
                     op, at, until, vm_barrier_name(c->weak), (unsigned long long)c->weak_at);
        } else {
            snprintf(text, MON_TEXT_MAX, "missing: DSB ISH between the TLBI %s at t=%llu and %s",
                     op, at, until);
        }
        return;
    case R_NARROW_DSB:
        snprintf(
            text, MON_TEXT_MAX,
            "missing: DSB ISH after the TLBI %s at t=%llu: a DSB NSH completes it on CPU %u only",
            op, at, a->cpu);
        return;
    case R_LOCAL:
        snprintf(text, MON_TEXT_MAX,
                 "missing: the broadcast form: TLBI %s at t=%llu reaches CPU %u only; TLBI %s (or "
                 "wider) for va %#llx was needed",
                 op, at, a->cpu, want, va);
        return;
    case R_BEFORE_DSB:
        snprintf(text, MON_TEXT_MAX,
                 "missing: DSB ISHST between the store at t=%llu and the TLBI %s at t=%llu", since,
                 op, at);
        return;
    case R_LAST_LEVEL:
        snprintf(
            text, MON_TEXT_MAX,
            "missing: TLBI VAE1IS for va %#llx: TLBI %s at t=%llu leaves cached table descriptors",
            va, op, at);
        return;
    case R_WRONG_LEVEL:
        snprintf(
            text, MON_TEXT_MAX,
            "missing: the right level hint: TLBI %s at t=%llu, operand %#llx, names another level "
            "or granule than the level %d entry for va %#llx",
            op, at, operand, c->level, va);
        return;
    case R_WRONG_ASID:
        if (c->asids) {
            snprintf(text, MON_TEXT_MAX,
                     "missing: a form for all ASIDs (VAAE1IS or wider) for va %#llx: TLBI %s at "
                     "t=%llu leaves what was walked under other ASIDs",
                     va, op, at);
            return;
        }
        snprintf(text, MON_TEXT_MAX,
                 "missing: TLBI %s for va %#llx%s: TLBI %s at t=%llu, operand %#llx, does not name "
                 "ASID %u",
                 want, va, c->global ? " (a global entry)" : "", op, at, operand, c->asid);
        return;
    case R_RANGE_SHORT:
        snprintf(text, MON_TEXT_MAX,
                 "missing: a longer range: TLBI %s at t=%llu, operand %#llx, ends before or begins "
                 "after va %#llx",
                 op, at, operand, va);
        return;
    case R_WRONG_VA:
        snprintf(
            text, MON_TEXT_MAX,
            "missing: TLBI %s (or wider) for va %#llx: TLBI %s at t=%llu, operand %#llx, is for an "
            "address that nobody changed",
            want, va, op, at, operand);
        return;
    default:
        snprintf(text, MON_TEXT_MAX,
                 "missing: TLBI %s (or wider) for va %#llx between the store at t=%llu and %s",
                 want, va, since, until);
        return;
    }
}

void report_of_change(struct monitor *m, enum mon_row row, uint32_t cpu, const struct change *c,
                      const char *until, const char *sentence)
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
