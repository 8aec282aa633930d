/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rights.c: who may write a table, who may own an ASID, and what no mapping may open.
 *
 *     store of a leaf -----> T4 (contiguous group), T5 (global), T27 (tables, write and execute)
 *     page becomes a table -> T27
 *     store to a table ----> T15 (its lock)
 *     TTBR0 written -------> T21 (what of another root the ASID may still find)
 *     stale use -----------> T28 instead of T16, where a stack's guard should have caught it
 *
 * Invariants
 *   G1  T15 is judged only of tables whose lock is known and has been taken before: until then one
 *       CPU boots alone.
 *   G2  a root that holds nothing (the reserved one) owns no ASID until its first entry is made.
 * T21 speaks of one CPU's TLB: a root counts while its hold has that CPU's bit and it has something
 * to hold, or while a change of it is pending there. G3  the linear map (machine.linear) and
 * identity maps reach every page by design; T27's rule for tables exempts them, unless they let EL0
 * in. Its rule for write and execute does not.
 *
 * Sources: DDI 0487 J.a, D8.13 "TLB maintenance" (global and ASID-specific entries), D8.14
 * (break-before-make; contiguous bit), D8.4 "Memory access control".
 */
#include "monitor_priv.h"

#define GROUP       16u /* descriptors of a contiguous group, 4 KiB granule: D8.6.1 */
#define GROUP_BYTES (8u * GROUP)

static bool is_page_of_table(const struct table *t)
{
    return t != NULL && (t->noted || t->linked || t->root);
}

/* Hierarchical bits of the tables above a descriptor. */
static uint64_t bits_above(const struct monitor *m, uint64_t desc_pa)
{
    uint64_t over = 0;
    for (int hop = 0; hop <= 4; hop++) {
        const struct table *t = table_find(m, desc_pa);
        if (t == NULL || t->root || t->parent == 0) {
            break;
        }
        over |= mem_read(m, t->parent);
        desc_pa = t->parent;
    }
    return over;
}

/* ---- T15 --------------------------------------------------------------------------------------
 */

void judge_lock(struct monitor *m, uint32_t cpu, const struct table *t, uint64_t pa)
{
    const struct lock *l =
        t->owner != NULL ? map_get(&m->lock_of, (uint64_t)(uintptr_t)t->owner) : NULL;
    if (l == NULL || !l->taken || !judged(m, MON_T15) || l->holder == cpu + 1) {
        return;
    }
    struct mon_report r;
    report_begin(&r, MON_T15, cpu);
    r.desc_pa = pa;
    r.old_desc = mem_read(m, pa);
    snprintf(r.sentence, sizeof(r.sentence),
             "live level %d table %#llx is written while its lock is %s", t->level,
             (unsigned long long)t->pa, l->holder == 0 ? "free" : "held by another CPU");
    snprintf(r.missing, sizeof(r.missing),
             "missing: the lock of these tables (KC_NOTE_PT_LOCK) held by CPU %u at this store",
             cpu);
    report_end(m, &r, l->holder != 0);
}

/* ---- T5 ---------------------------------------------------------------------------------------
 */

void judge_globalised(struct monitor *m, uint32_t cpu, const struct table *root, uint64_t pa,
                      uint64_t old_value, uint64_t new_value, int level, const struct change *c)
{
    if (!vm_is_leaf(vm_kind(old_value, level)) || (old_value & VM_NG) == 0 ||
        (old_value & VM_AF) == 0 || !judged(m, MON_T5) || !vm_is_leaf(vm_kind(new_value, level)) ||
        (new_value & VM_NG) != 0) {
        return;
    }
    struct mon_report r;
    report_begin(&r, MON_T5, cpu);
    r.va = desc_va(m, root, pa);
    r.pa = new_value & VM_OA;
    r.desc_pa = pa;
    r.old_desc = old_value;
    r.new_desc = new_value;
    snprintf(
        r.sentence, sizeof(r.sentence),
        "va %#llx became global while TLBs of CPU mask %#x may hold it for ASID %u: one access "
        "may match both",
        (unsigned long long)r.va, c != NULL ? c->left : root->hold, root->asid);
    if (c != NULL) {
        change_missing(c, "this store", r.missing);
        report_change(&r, c);
    } else {
        snprintf(r.missing, sizeof(r.missing),
                 "missing: break-before-make: store of an invalid descriptor, DSB ISHST, TLBI "
                 "VALE1IS for va %#llx, DSB ISH before this store",
                 (unsigned long long)r.va);
    }
    report_end(m, &r, c != NULL);
}

/* ---- T4 ---------------------------------------------------------------------------------------
 */

static void report_group(struct monitor *m, uint32_t cpu, uint64_t pa, uint64_t va, uint64_t value,
                         const char *sentence, const char *missing, uint32_t reason)
{
    struct mon_report r;
    report_begin(&r, MON_T4, cpu);
    r.va = va;
    r.pa = value & VM_OA;
    r.desc_pa = pa;
    r.new_desc = value;
    snprintf(r.sentence, sizeof(r.sentence), "contiguous group of va %#llx: %s",
             (unsigned long long)va, sentence);
    snprintf(r.missing, sizeof(r.missing), "missing: %s", missing);
    report_end(m, &r, reason);
}

/* A leaf of a live table is replaced by another valid one. */
void judge_group_edit(struct monitor *m, uint32_t cpu, const struct table *root, uint64_t pa,
                      uint64_t old_value, uint64_t new_value, int level)
{
    uint64_t differ = (old_value ^ new_value) & ~(VM_SOFT | VM_PBHA);
    uint32_t bbm = (uint32_t)(reg_read(m, cpu, KC_ID_AA64MMFR2_EL1) >> 52) & 15;
    if (!vm_is_leaf(vm_kind(old_value, level)) || !vm_is_leaf(vm_kind(new_value, level)) ||
        !judged(m, MON_T4) || ((old_value | new_value) & VM_CONT) == 0 || differ == 0 ||
        (bbm >= 1 && differ == VM_CONT)) {
        return;
    }
    report_group(m, cpu, pa, desc_va(m, root, pa), new_value,
                 "one live entry was edited; a TLB may hold the group as one",
                 "break-before-make of the whole group: all entries invalid, DSB ISHST, TLBI of "
                 "each, DSB ISH before this store",
                 0);
}

/* A walk ended at a leaf of a group: is the group what the bit says? */
void judge_group_use(struct monitor *m, uint32_t cpu, const struct sim_tlb_entry *e)
{
    const struct sim_walk_step *s = &e->step[e->step_count - 1];
    const struct table *t = table_find(m, s->desc_pa);
    const uint64_t ignore = VM_OA | VM_AF | VM_SOFT | VM_PBHA;
    if (!e->leaf || (s->value & VM_CONT) == 0 || t == NULL || !judged(m, MON_T4)) {
        return;
    }
    const struct lock *l =
        t->owner != NULL ? map_get(&m->lock_of, (uint64_t)(uintptr_t)t->owner) : NULL;
    if (l != NULL && l->holder != 0 && l->holder != cpu + 1) {
        return; /* another CPU is at work on these tables: who walks now takes what comes */
    }
    uint64_t first = s->desc_pa & ~(uint64_t)(GROUP_BYTES - 1);
    uint64_t oa = vm_leaf_oa(s->value, s->level) - (s->desc_pa - first) / 8 * vm_span(s->level);
    for (uint32_t i = 0; i < GROUP; i++) {
        uint64_t d = mem_read(m, first + UINT64_C(8) * i);
        if (((d ^ s->value) & ~ignore) != 0 ||
            vm_leaf_oa(d, s->level) != oa + i * vm_span(s->level)) {
            report_group(m, cpu, first + UINT64_C(8) * i, e->va, d,
                         (d & 1) == 0 ? "used while one of its 16 entries is invalid"
                                      : "used while its 16 entries do not agree",
                         "16 valid entries of equal attributes and consecutive addresses before "
                         "the first use",
                         1);
            return;
        }
    }
}

static void judge_group_shape(struct monitor *m, uint32_t cpu, uint64_t pa, uint64_t va,
                              uint64_t value, int level)
{
    if (!judged(m, MON_T4) || (value & VM_CONT) == 0) {
        return;
    }
    if (((vm_leaf_oa(value, level) ^ va) & (GROUP * vm_span(level) - 1)) != 0) {
        report_group(m, cpu, pa, va, value, "its output address is not aligned to the group",
                     "an output address that lies in its group of 16 as the input address does", 2);
    }
}

/* ---- T27 --------------------------------------------------------------------------------------
 */

static void report_opened(struct monitor *m, uint32_t cpu, uint64_t pa, uint64_t va, uint64_t value,
                          const char *sentence, const char *missing, uint32_t reason)
{
    struct mon_report r;
    report_begin(&r, MON_T27, cpu);
    r.va = va;
    r.pa = value & VM_OA;
    r.desc_pa = pa;
    r.new_desc = value;
    snprintf(r.sentence, sizeof(r.sentence), "va %#llx, pa %#llx: %s", (unsigned long long)va,
             (unsigned long long)r.pa, sentence);
    snprintf(r.missing, sizeof(r.missing), "missing: %s", missing);
    report_end(m, &r, reason);
}

static void report_table_open(struct monitor *m, uint32_t cpu, uint64_t pa, uint64_t va,
                              uint64_t value, bool user)
{
    report_opened(m, cpu, pa, va, value,
                  user ? "a translation table is mapped where EL0 may read it"
                       : "a translation table is mapped writable outside the linear map",
                  "unmap the page here, DSB ISHST, TLBI, DSB ISH before it is a table", user);
}

static bool opens_tables(const struct monitor *m, uint64_t va, uint64_t oa, struct vm_perm p)
{
    bool by_design =
        va == oa || (m->config.machine.linear != 0 && va == oa + m->config.machine.linear);
    return p.r0 || (p.w1 && !by_design);
}

/* Does some high root map oa writable by the linear map? */
static bool linear_writes(const struct monitor *m, uint64_t oa, uint64_t bytes)
{
    uint64_t base = m->config.machine.linear;
    for (const struct table *t = m->roots; base != 0 && t != NULL; t = t->next_root) {
        for (uint64_t at = 0; t->high && t->hold != 0 && at < bytes;) {
            struct translation now = translate(m, t->pa, true, t->va_bits, base + oa + at);
            if (now.valid && vm_perm(now.leaf, now.over).w1) {
                return true;
            }
            uint64_t span = now.valid ? vm_span(now.level) : VM_PAGE;
            at += span - ((oa + at) & (span - 1));
        }
    }
    return false;
}

static void exec_add(struct monitor *m, uint64_t pa, uint64_t oa, uint64_t span)
{
    for (uint32_t i = 0; i < m->exec_count; i++) {
        if (m->exec[i].desc_pa == pa) {
            m->exec[i].oa = oa;
            m->exec[i].span = span;
            return;
        }
    }
    if (m->exec_count < EXEC_MAX) {
        m->exec[m->exec_count++] = (struct exec){pa, oa, span};
    }
}

/* An executable mapping that overlaps and is still there. */
static bool is_executed(struct monitor *m, uint64_t oa, uint64_t span)
{
    for (uint32_t i = m->exec_count; i-- > 0;) {
        const struct exec *x = &m->exec[i];
        const struct table *t = table_find(m, x->desc_pa);
        uint64_t d = mem_read(m, x->desc_pa);
        const struct table *root = table_root(m, t);
        bool there = root != NULL && root->hold != 0 && vm_is_leaf(vm_kind(d, t->level)) &&
                     vm_leaf_oa(d, t->level) == x->oa;
        if (!there) {
            m->exec[i] = m->exec[--m->exec_count];
        } else if (kc_range_meets(x->oa, x->span, oa, span)) {
            return true;
        }
    }
    return false;
}

/* May a leaf be executed that somebody can reach? UXN matters only where EL0 can be. */
static bool executes(struct vm_perm p, bool high)
{
    return p.x1 || (p.x0 && (p.r0 || !high));
}

static void judge_execute(struct monitor *m, uint32_t cpu, uint64_t pa, uint64_t va, uint64_t value,
                          int level, struct vm_perm p, bool high)
{
    uint64_t oa = vm_leaf_oa(value, level), span = vm_span(level);
    bool x = executes(p, high);
    const char *why = NULL;
    if (x && p.w1) {
        why = "one mapping is writable and executable";
    } else if (x && linear_writes(m, oa, span)) {
        why = "executable here and writable in the linear map";
    } else if (p.w1 && is_executed(m, oa, span)) {
        why = "writable here and executable elsewhere";
    }
    if (x) {
        exec_add(m, pa, oa, span);
    }
    if (why != NULL) {
        report_opened(m, cpu, pa, va, value, why,
                      "either every mapping of the page read-only, or every one never executable",
                      2);
    }
}

void judge_leaf(struct monitor *m, uint32_t cpu, const struct table *t, uint64_t pa, uint64_t value,
                int level)
{
    const struct table *root = table_root(m, t);
    if (root == NULL || !vm_is_leaf(vm_kind(value, level)) || (value & VM_AF) == 0) {
        return;
    }
    uint64_t va = desc_va(m, root, pa);
    judge_group_shape(m, cpu, pa, va, value, level);
    if (!judged(m, MON_T27)) {
        return;
    }
    struct vm_perm p = vm_perm(value, bits_above(m, pa));
    uint64_t oa = vm_leaf_oa(value, level);
    if (opens_tables(m, va, oa, p)) {
        for (uint64_t at = 0; at < vm_span(level); at += VM_PAGE) {
            if (is_page_of_table(table_find(m, oa + at))) {
                report_table_open(m, cpu, pa, va + at, value, p.r0);
                break;
            }
        }
    }
    judge_execute(m, cpu, pa, va, value, level, p, root->high);
}

/* A page becomes a table: is it mapped somewhere? */
void judge_new_table(struct monitor *m, uint32_t cpu, uint64_t page)
{
    const struct mapping *p = map_get(&m->mappings, mapping_key(page, 3));
    const struct table *t = p != NULL ? table_find(m, p->desc_pa) : NULL;
    const struct table *root = t != NULL ? table_root(m, t) : NULL;
    if (!judged(m, MON_T27) || root == NULL || root->hold == 0) {
        return;
    }
    uint64_t now = mem_read(m, p->desc_pa);
    uint64_t va = desc_va(m, root, p->desc_pa);
    struct vm_perm perm = vm_perm(now, bits_above(m, p->desc_pa));
    if (vm_kind(now, t->level) == VM_PAGE_LEAF && vm_leaf_oa(now, 3) == page &&
        opens_tables(m, va, page, perm)) {
        report_table_open(m, cpu, p->desc_pa, va, now, perm.r0);
    }
}

/* ---- T21 --------------------------------------------------------------------------------------
 */

bool holds_anything(const struct monitor *m, const struct table *root)
{
    for (uint32_t i = 0; i < VM_SLOTS; i++) {
        if ((mem_read(m, root->pa + UINT64_C(8) * i) & 1) != 0) {
            return true;
        }
    }
    return false;
}

void judge_asid(struct monitor *m, uint32_t cpu, const struct table *to, uint16_t asid)
{
    if (!judged(m, MON_T21)) {
        return;
    }
    uint64_t former = 0;
    const struct change *owed = NULL;
    for (const struct table *t = m->roots; t != NULL && former == 0; t = t->next_root) {
        if (t != to && !t->high && t->asid == asid && (t->hold & cpu_bit(cpu)) != 0 &&
            holds_anything(m, t)) {
            former = t->pa;
        }
    }
    for (const struct change *c = m->oldest; c != NULL && former == 0; c = c->next) {
        if (c->root != to && !c->root->high && !c->global && c->asid == asid &&
            (c->left & cpu_bit(cpu)) != 0) {
            former = c->root->pa;
            owed = c;
        }
    }
    if (former == 0) {
        return;
    }
    struct mon_report r;
    report_begin(&r, MON_T21, cpu);
    r.pa = to->pa;
    r.desc_pa = to->pa;
    snprintf(r.sentence, sizeof(r.sentence),
             "ASID %u goes to root %#llx while the TLB of CPU %u may hold entries of root %#llx "
             "under it",
             asid, (unsigned long long)to->pa, cpu, (unsigned long long)former);
    snprintf(r.missing, sizeof(r.missing),
             "missing: TLBI ASIDE1IS (or wider) for ASID %u, then DSB ISH, after its last use and "
             "before this TTBR0 write",
             asid);
    if (owed != NULL) {
        r.va = owed->va;
        report_change(&r, owed);
    }
    report_end(m, &r, owed != NULL);
}

/* ---- T28 --------------------------------------------------------------------------------------
 */

void note_stack(struct monitor *m, uint64_t va, uint64_t bytes, bool live)
{
    for (uint32_t i = 0; i < m->stack_count; i++) {
        struct stack *s = &m->stack[i];
        if (kc_range_meets(s->va, s->bytes, va, bytes)) {
            *s = (struct stack){va, bytes, live};
            return;
        }
    }
    if (m->stack_count == STACKS_MAX) { /* the oldest is forgotten */
        for (uint32_t i = 1; i < STACKS_MAX; i++) {
            m->stack[i - 1] = m->stack[i];
        }
        m->stack_count--;
    }
    m->stack[m->stack_count++] = (struct stack){va, bytes, live};
}

bool is_guarded(const struct monitor *m, uint64_t va)
{
    for (uint32_t i = 0; i < m->stack_count; i++) {
        const struct stack *s = &m->stack[i];
        bool inside = va - s->va < s->bytes;
        bool guard = va - (s->va - VM_PAGE) < VM_PAGE || va - (s->va + s->bytes) < VM_PAGE;
        if (s->live ? guard : inside || guard) {
            return true;
        }
    }
    return false;
}

void judge_stack(struct monitor *m, uint64_t va)
{
    for (uint32_t i = 0; i < m->stack_count; i++) {
        const struct stack *s = &m->stack[i];
        if (va - (s->va - VM_PAGE) < s->bytes + 2 * VM_PAGE) {
            (void)judged(m, MON_T28);
            return;
        }
    }
}
