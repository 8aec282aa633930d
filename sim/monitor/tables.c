/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tables.c: which page is a translation table, of which root, at which level.
 *
 * A page becomes a table by being noted, or by being reached from a TTBR. A table knows its level
 * only once it has been reached from a root, and from then on every store that links another table
 * beneath it is followed at once, so that "what is the input address of this descriptor" is a walk
 * up of at most three steps.
 *
 *     TTBR -> root (hold: CPUs) -> table (parent, linked) -> table -> leaf
 *
 * Invariants
 *   M1  t.linked implies that the descriptor at t.parent pointed to t when it was last stored.
 *   M2  root.hold has a CPU's bit from the moment when the root is in a TTBR of that CPU with the
 *       MMU on until a completed invalidation of everything, or of the root's ASID, reaches that
 * CPU while the root is in none of its TTBRs. What no CPU can hold needs no protocol.
 *
 * Cost: following a link reads the 512 descriptors beneath it, once.
 */
#include <string.h>

#include "monitor_priv.h"

uint64_t mon_clock(const struct monitor *m)
{
    return m->config.machine.now(m->config.machine.ctx);
}

uint64_t mem_read(const struct monitor *m, uint64_t pa)
{
    uint64_t v = 0;
    return m->config.machine.read(m->config.machine.ctx, pa, &v) ? v : 0;
}

uint64_t reg_read(const struct monitor *m, uint32_t cpu, enum kc_sysreg reg)
{
    return m->config.machine.sysreg(m->config.machine.ctx, cpu, reg);
}

static uint32_t filter_bit(uint64_t pa)
{
    return (uint32_t)(pa >> 12) % (FILTER_WORDS * 64);
}

struct table *table_find(const struct monitor *m, uint64_t pa)
{
    uint32_t b = filter_bit(pa);
    if ((m->filter[b / 64] >> (b % 64) & 1) == 0) {
        return NULL;
    }
    return map_get(&m->tables, page_of(pa));
}

struct table *table_make(struct monitor *m, uint64_t pa)
{
    struct table *t = table_find(m, pa);
    if (t == NULL) {
        t = mon_alloc(sizeof(*t));
        t->pa = page_of(pa);
        t->level = LEVEL_UNKNOWN;
        map_put(&m->tables, t->pa, t);
        uint32_t b = filter_bit(pa);
        m->filter[b / 64] |= UINT64_C(1) << (b % 64);
    }
    return t;
}

struct table *table_live_root(const struct monitor *m, const struct table *t)
{
    const struct table *root = table_root(m, t);
    return root != NULL && root->hold != 0 ? (struct table *)(uintptr_t)root : NULL;
}

uint64_t desc_va(const struct monitor *m, const struct table *root, uint64_t desc_pa)
{
    uint64_t va = 0;
    for (int hop = 0; hop <= 4; hop++) {
        const struct table *t = table_find(m, desc_pa);
        if (t == NULL || t->level == LEVEL_UNKNOWN) {
            break;
        }
        va |= (desc_pa - t->pa) / 8 << (12 + 9 * (3 - t->level));
        if (t->root || t == root) {
            break;
        }
        desc_pa = t->parent;
    }
    if (root->high) {
        va |= ~((UINT64_C(1) << root->va_bits) - 1);
    }
    return va;
}

void table_connect(struct monitor *m, uint32_t cpu, struct table *t, int level, uint64_t parent)
{
    t->parent = parent;
    t->linked = true;
    if (t->level == level) { /* what is beneath it has been followed, store by store */
        return;
    }
    t->level = level;
    for (uint32_t i = 0; i < VM_SLOTS; i++) {
        uint64_t at = t->pa + UINT64_C(8) * i;
        uint64_t d = mem_read(m, at);
        if ((d & 1) == 0) {
            continue;
        }
        desc_check(m, cpu, at, d, level);
        judge_leaf(m, cpu, t, at, d, level);
        const struct table *root = table_root(m, t);
        if (root != NULL) {
            mapping_record(m, root, at, 0, d, level, 0);
        }
        uint64_t ignored;
        if (vm_kind(d, level) == VM_TABLE &&
            m->config.machine.read(m->config.machine.ctx, d & VM_OA, &ignored)) {
            struct table *child = table_make(m, d & VM_OA);
            if (!child->root) {
                table_connect(m, cpu, child, level + 1, at);
            }
        }
    }
}

static void root_activate(struct monitor *m, uint32_t cpu, uint64_t ttbr, uint64_t tcr, bool high,
                          uint16_t asid)
{
    uint64_t pa = ttbr & VM_OA;
    uint64_t ignored;
    if (!m->config.machine.read(m->config.machine.ctx, pa, &ignored)) {
        return;
    }
    struct table *t = table_make(m, pa);
    uint32_t va_bits = vm_va_bits(tcr, high);
    if (!t->root) {
        t->root = true;
        t->next_root = m->roots;
        m->roots = t;
    }
    if (!high && (tcr & VM_TCR_A1) == 0 && holds_anything(m, t)) {
        judge_asid(m, cpu, t, asid);
    }
    t->high = high;
    t->va_bits = va_bits;
    t->asids = t->hold != 0 && (t->asids || t->asid != asid);
    t->asid = asid;
    bool idle = t->hold == 0;
    t->hold |= cpu_bit(cpu);
    t->used[cpu] = ROOT_IN_USE;
    table_connect(m, cpu, t, vm_top_level(va_bits), 0);
    if (idle && m->orphans != 0) {
        judge_orphans(m, cpu, t);
    }
}

void tables_regime(struct monitor *m, uint32_t cpu, uint64_t sctlr, uint64_t tcr, uint64_t ttbr0,
                   uint64_t ttbr1)
{
    m->cpu[cpu].leaving = true;
    if ((sctlr & VM_SCTLR_M) == 0) {
        return;
    }
    uint16_t asid = vm_asid(tcr, ttbr0, ttbr1);
    if ((tcr & VM_TCR_EPD0) == 0) {
        root_activate(m, cpu, ttbr0, tcr, false, asid);
    }
    if ((tcr & VM_TCR_EPD1) == 0) {
        root_activate(m, cpu, ttbr1, tcr, true, asid);
    }
}

static bool root_in_ttbr(const struct monitor *m, uint32_t cpu, const struct table *root)
{
    if (!m->cpu[cpu].on || (reg_read(m, cpu, KC_SCTLR_EL1) & VM_SCTLR_M) == 0) {
        return false;
    }
    uint64_t tcr = reg_read(m, cpu, KC_TCR_EL1);
    return ((tcr & VM_TCR_EPD0) == 0 && (reg_read(m, cpu, KC_TTBR0_EL1) & VM_OA) == root->pa) ||
           ((tcr & VM_TCR_EPD1) == 0 && (reg_read(m, cpu, KC_TTBR1_EL1) & VM_OA) == root->pa);
}

bool root_in_use(const struct monitor *m, uint32_t cpu, const struct table *root)
{
    return root_in_ttbr(m, cpu, root) || (m->cpu[cpu].leaving && root->used[cpu] == ROOT_IN_USE);
}

void tables_synchronised(struct monitor *m, uint32_t cpu)
{
    for (struct table *t = m->cpu[cpu].leaving ? m->roots : NULL; t != NULL; t = t->next_root) {
        if (t->used[cpu] == ROOT_IN_USE && !root_in_ttbr(m, cpu, t)) {
            t->used[cpu] = m->order;
        }
    }
    m->cpu[cpu].leaving = false;
}

const struct table *table_root(const struct monitor *m, const struct table *t)
{
    for (int hop = 0; t != NULL && hop <= 4; hop++) {
        if (t->root) {
            return t;
        }
        if (!t->linked || t->level == LEVEL_UNKNOWN) {
            return NULL;
        }
        t = table_find(m, t->parent);
    }
    return NULL;
}

struct translation translate(const struct monitor *m, uint64_t root, bool high, uint32_t va_bits,
                             uint64_t va)
{
    struct translation r = {0};
    uint64_t at = root & VM_OA;
    uint64_t top = high ? ~va : va;
    if (top >> va_bits != 0) {
        return r;
    }
    for (int level = vm_top_level(va_bits); level <= 3; level++) {
        uint64_t slot = va >> (12 + 9 * (3 - level)) & (VM_SLOTS - 1);
        if (level == vm_top_level(va_bits)) {
            slot &= (UINT64_C(1) << (va_bits - (uint32_t)(12 + 9 * (3 - level)))) - 1;
        }
        uint64_t d = mem_read(m, at + 8 * slot);
        enum vm_kind k = vm_kind(d, level);
        r.step[r.step_count++] = at + 8 * slot;
        if (k == VM_INVALID || (vm_is_leaf(k) && (d & VM_AF) == 0)) {
            return r;
        }
        r.level = level;
        if (k == VM_TABLE) {
            r.over |= d;
            at = d & VM_OA;
            continue;
        }
        r.valid = true;
        r.leaf = d;
        r.pa = vm_leaf_oa(d, level) | (va & (vm_span(level) - 1));
        return r;
    }
    return r;
}

/* T14: what is malformed whatever the features. Returns what is wrong, NULL if nothing. */
static const char *desc_fault(const struct monitor *m, uint32_t cpu, uint64_t d, int level)
{
    static const uint8_t bits[8] = {32, 36, 40, 42, 44, 48, 48, 48};
    uint32_t range = (uint32_t)reg_read(m, cpu, KC_ID_AA64MMFR0_EL1) & 15;
    uint32_t pa_bits = bits[range < 6 ? range : 5];
    enum vm_kind k = vm_kind(d, level);
    if (k == VM_INVALID) {
        return "bit 0 is set, but bits 1:0 are a reserved encoding at this level";
    }
    if (((d & VM_OA) >> pa_bits) != 0) {
        return "the output address is beyond the PA size of the CPU (ID_AA64MMFR0_EL1.PARange)";
    }
    if ((d >> 48 & 3) != 0) {
        return "bits 49:48 are set, which are RES0 with 48-bit output addresses";
    }
    if (!vm_is_leaf(k)) {
        return NULL;
    }
    if (k == VM_BLOCK && (d & (vm_span(level) - 1) & VM_OA & ~VM_NT) != 0) {
        return "the output address of the block is misaligned";
    }
    if ((d >> 8 & 3) == 1) {
        return "the shareability field is 0b01, which is reserved";
    }
    uint8_t attr = (uint8_t)(reg_read(m, cpu, KC_MAIR_EL1) >> (8 * (d >> 2 & 7)));
    if ((attr & 0xf0) == 0 ? (attr & 3) != 0
                           : (attr & 0x0f) == 0 && attr != 0xf0 && attr != 0x40 && attr != 0xa0) {
        return "the attribute index selects a MAIR_EL1 byte that is reserved";
    }
    return NULL;
}

void desc_check(struct monitor *m, uint32_t cpu, uint64_t desc_pa, uint64_t value, int level)
{
    if (!judged(m, MON_T14)) {
        return;
    }
    const char *fault = desc_fault(m, cpu, value, level);
    if (fault == NULL) {
        return;
    }
    struct mon_report r;
    report_begin(&r, MON_T14, cpu);
    r.desc_pa = desc_pa;
    r.new_desc = value;
    r.pa = value & VM_OA;
    snprintf(r.sentence, sizeof(r.sentence), "level %d descriptor %#llx is malformed: %s", level,
             (unsigned long long)value, fault);
    snprintf(r.missing, sizeof(r.missing), "missing: a descriptor that the manual allows: %s",
             fault);
    report_end(m, &r, 0);
}

void note_table(struct monitor *m, uint32_t cpu, uint64_t base, const void *owner)
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
