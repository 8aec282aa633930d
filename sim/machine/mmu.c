/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmu.c: the translation table walk of VMSAv8-64, EL1&0 regime, stage 1, 4 KiB granule.
 *
 * Nouns. The *half* of the address space is selected by bit 55 of the address; each half has a
 * *root* table (TTBRn), a size (TCR.TnSZ) and so a *start level*. A *descriptor* of a level is
 * invalid, a table, or a leaf (block at levels 1 and 2, page at level 3).
 *
 *     level      0            1            2            3
 *     bits    47..39       38..30       29..21       20..12       11..0
 *             table        table,       table,       page         offset
 *                          block 1 GiB  block 2 MiB
 *
 * Invariants
 *   I1  A walk never reads beyond level 3 and makes at most four steps.
 *   I2  Faults are prioritised as in D8.15.2: translation, address size, then access flag, then
 *       permission; a fault of a walk carries the level of the descriptor that caused it.
 *   I3  A leaf whose access flag is 0 yields no entry: it may never be held in a TLB (D8.4.6).
 *   I4  Nothing outside the arguments is read.
 *
 * Cost: at most four reads.
 *
 * Sources: DDI 0487 J.a: D8.2 (translation process), D8.3 (descriptor formats; D8.3.1.1 table,
 * D8.3.1.2 block and page), D8.4 (access control), D8.15 (faults), D17.2.37 (ESR_EL1), D17.2.118
 * (PAR_EL1), D17.2.118 and following (SCTLR_EL1, TCR_EL1).
 */
#include "mmu.h"

#define SCTLR_M      KC_BIT(0)
#define SCTLR_WXN    KC_BIT(19)
#define SCTLR_SPAN   KC_BIT(23)

#define TCR_AS       KC_BIT(36)
#define TCR_A1       KC_BIT(22)
#define TCR_TBI0     KC_BIT(37) /* TBI1 is the next */
#define TCR_HPD0     KC_BIT(41) /* HPD1 is the next */

#define DESC_VALID   KC_BIT(0)
#define DESC_TABLE   KC_BIT(1) /* levels 0 to 2: table; level 3: page */
#define DESC_AF      KC_BIT(10)
#define DESC_NG      KC_BIT(11)
#define DESC_CONTIG  KC_BIT(52)
#define DESC_PXN     KC_BIT(53)
#define DESC_UXN     KC_BIT(54)
#define TABLE_PXN    KC_BIT(59)
#define TABLE_UXN    KC_BIT(60)
#define TABLE_AP_NO0 KC_BIT(61) /* APTable[0]: no access from EL0 */
#define TABLE_AP_RO  KC_BIT(62) /* APTable[1]: read-only */
#define DESC_ADDRESS KC_MASK(47, 12)
#define PAGE_SHIFT   12u
#define LEVEL_BITS   9u
#define TXSZ_MIN     16u /* without FEAT_LVA */
#define TXSZ_MAX     39u /* without FEAT_TTST */

bool mmu_is_on(const struct mmu_regs *r)
{
    return (r->sctlr & SCTLR_M) != 0;
}

uint32_t mmu_half(uint64_t va)
{
    return (uint32_t)(va >> 55) & 1;
}

uint64_t mmu_strip(const struct mmu_regs *r, uint64_t va)
{
    uint32_t half = mmu_half(va);
    if ((r->tcr & (TCR_TBI0 << half)) == 0) {
        return va;
    }
    return half != 0 ? va | KC_MASK(63, 56) : va & ~KC_MASK(63, 56);
}

uint16_t mmu_asid(const struct mmu_regs *r)
{
    uint64_t asid = r->ttbr[(r->tcr & TCR_A1) != 0 ? 1 : 0] >> 48;
    bool wide = (r->tcr & TCR_AS) != 0 && (r->features & MACHINE_ASID16) != 0;
    return (uint16_t)(wide ? asid : asid & 0xff);
}

static uint32_t size_field(const struct mmu_regs *r, uint32_t half)
{
    return (uint32_t)kc_field_get(r->tcr, half != 0 ? 21 : 5, half != 0 ? 16 : 0);
}

int32_t mmu_start_level(const struct mmu_regs *r, uint32_t half)
{
    uint32_t txsz = size_field(r, half);
    uint64_t granule = half != 0 ? kc_field_get(r->tcr, 31, 30) : kc_field_get(r->tcr, 15, 14);
    uint64_t granule_4k = half != 0 ? 2 : 0;
    bool disabled = (r->tcr & KC_BIT(half != 0 ? 23 : 7)) != 0; /* EPDn */
    if (disabled || granule != granule_4k || txsz < TXSZ_MIN || txsz > TXSZ_MAX) {
        return -1;
    }
    uint32_t bits = 64 - txsz;
    return 4 - (int32_t)((bits - PAGE_SHIFT + LEVEL_BITS - 1) / LEVEL_BITS);
}

uint64_t mmu_va_base(const struct mmu_regs *r, uint32_t half)
{
    return half != 0 ? ~(uint64_t)0 << (64 - size_field(r, half)) : 0;
}

uint64_t mmu_span(int32_t level)
{
    return (uint64_t)1 << (PAGE_SHIFT + LEVEL_BITS * (uint32_t)(3 - level));
}

/* Bits of an output address that this regime may use: TCR.IPS, at most what is implemented. */
static uint32_t output_bits(const struct mmu_regs *r)
{
    static const uint8_t by_ips[8] = {32, 36, 40, 42, 44, 48, 48, 48};
    uint32_t ips = by_ips[kc_field_get(r->tcr, 34, 32)];
    return ips < r->pa_bits ? ips : r->pa_bits;
}

uint64_t mmu_root(const struct mmu_regs *r, uint32_t half)
{
    uint64_t base = r->ttbr[half] & KC_MASK(47, 1);
    int32_t start = mmu_start_level(r, half);
    if (start < 0) {
        return base & DESC_ADDRESS;
    }
    /* A root smaller than a page is aligned to its own size (D17.2.144, BADDR). */
    uint32_t bits = 64 - size_field(r, half);
    uint32_t index_bits = bits - (PAGE_SHIFT + LEVEL_BITS * (uint32_t)(3 - start));
    uint64_t bytes = (uint64_t)8 << index_bits;
    return base & ~((bytes < 64 ? 64 : bytes) - 1);
}

enum mmu_desc mmu_classify(uint64_t value, int32_t level)
{
    if ((value & DESC_VALID) == 0) {
        return MMU_INVALID;
    }
    if (level == 3) {
        return (value & DESC_TABLE) != 0 ? MMU_LEAF : MMU_INVALID;
    }
    if ((value & DESC_TABLE) != 0) {
        return MMU_TABLE;
    }
    return level == 0 ? MMU_INVALID : MMU_LEAF;
}

uint64_t mmu_output(uint64_t value, int32_t level, enum mmu_desc kind)
{
    uint64_t address = value & DESC_ADDRESS;
    return kind == MMU_LEAF ? address & ~(mmu_span(level) - 1) : address;
}

static void walk_fault(struct sim_walk *out, uint32_t fsc, int32_t level)
{
    out->ok = false;
    out->dfsc = fsc | (uint32_t)level;
    out->level = level;
}

/* What the hierarchical attributes of the tables so far take away (D8.4.2.1, D8.4.3.2). */
struct limits {
    bool read_only;
    bool no_el0;
    bool pxn;
    bool uxn;
};

static void limits_add(struct limits *l, uint64_t table_desc)
{
    l->read_only |= (table_desc & TABLE_AP_RO) != 0;
    l->no_el0 |= (table_desc & TABLE_AP_NO0) != 0;
    l->pxn |= (table_desc & TABLE_PXN) != 0;
    l->uxn |= (table_desc & TABLE_UXN) != 0;
}

/* Permissions of a leaf (D8.4.1, tables of AP[2:1], UXN and PXN; WXN: D8.4.4). */
static uint8_t leaf_perm(const struct mmu_regs *r, uint64_t desc, const struct limits *l)
{
    bool el0 = (desc & KC_BIT(6)) != 0 && !l->no_el0;
    bool write = (desc & KC_BIT(7)) == 0 && !l->read_only;
    bool wxn = (r->sctlr & SCTLR_WXN) != 0;
    bool x1 = (desc & DESC_PXN) == 0 && !l->pxn && !(el0 && write) && !(wxn && write);
    bool x0 = (desc & DESC_UXN) == 0 && !l->uxn && !(wxn && write && el0);
    uint32_t perm = SIM_PERM_R1;
    perm |= write ? SIM_PERM_W1 : 0u;
    perm |= x1 ? SIM_PERM_X1 : 0u;
    perm |= el0 ? SIM_PERM_R0 : 0u;
    perm |= el0 && write ? SIM_PERM_W0 : 0u;
    perm |= x0 ? SIM_PERM_X0 : 0u;
    return (uint8_t)perm;
}

static void fill_leaf(const struct mmu_regs *r, uint64_t desc, int32_t level,
                      const struct limits *l, struct sim_tlb_entry *e)
{
    e->leaf = true;
    e->global = (desc & DESC_NG) == 0;
    e->contiguous = (desc & DESC_CONTIG) != 0;
    e->perm = leaf_perm(r, desc, l);
    e->memattr = (uint8_t)(r->mair >> (8 * kc_field_get(desc, 4, 2)));
    e->shareable = (uint8_t)kc_field_get(desc, 9, 8);
    e->level = (uint8_t)level;
}

void mmu_walk(const struct mmu_regs *r, uint64_t va, const struct sim_tlb_entry *from,
              mmu_read_fn read, void *arg, struct sim_walk *out)
{
    uint32_t half = mmu_half(va);
    uint64_t input = mmu_strip(r, va);
    struct sim_tlb_entry *e = &out->entry;
    *e = (struct sim_tlb_entry){.half = (uint8_t)half, .asid = mmu_asid(r)};

    int32_t level = mmu_start_level(r, half);
    uint32_t bits = 64 - size_field(r, half);
    if (level < 0 || (half != 0 ? ~input : input) >> bits != 0) {
        walk_fault(out, MMU_FSC_TRANSLATION, 0);
        return;
    }
    uint64_t oa_bits = output_bits(r);
    uint64_t table = mmu_root(r, half);
    e->root = table;
    struct limits limits = {false, false, false, false};
    bool hierarchical = (r->features & MACHINE_HPDS) == 0 || (r->tcr & (TCR_HPD0 << half)) == 0;
    uint64_t index_mask =
        kc_field_get(KC_MASK(bits - 1, 0) >> (PAGE_SHIFT + 9u * (uint32_t)(3 - level)), 8, 0);

    if (from != NULL) {
        e->root = from->root;
        e->va = from->va;
        e->size = from->size;
        e->step_count = from->step_count;
        for (uint32_t i = 0; i < from->step_count; i++) {
            e->step[i] = from->step[i];
            if (hierarchical) {
                limits_add(&limits, from->step[i].value);
            }
        }
        level = from->level + 1;
        table = from->pa;
        index_mask = 0x1ff;
    } else if ((table >> oa_bits) != 0) {
        walk_fault(out, MMU_FSC_SIZE, 0);
        return;
    }

    for (; level <= 3; level++, index_mask = 0x1ff) {
        uint64_t index = (input >> (PAGE_SHIFT + 9u * (uint32_t)(3 - level))) & index_mask;
        struct sim_walk_step *step = &e->step[e->step_count++];
        *step = (struct sim_walk_step){.desc_pa = table + 8 * index, .level = level};
        if (!read(arg, step->desc_pa, &step->value, &step->since)) {
            walk_fault(out, MMU_FSC_WALK, level);
            return;
        }
        enum mmu_desc kind = mmu_classify(step->value, level);
        if (kind == MMU_INVALID) {
            walk_fault(out, MMU_FSC_TRANSLATION, level);
            return;
        }
        uint64_t output = mmu_output(step->value, level, kind);
        if ((output >> oa_bits) != 0) {
            walk_fault(out, MMU_FSC_SIZE, level);
            return;
        }
        e->va = input & ~(mmu_span(level) - 1);
        e->size = mmu_span(level);
        e->pa = output;
        if (kind == MMU_LEAF) {
            if ((step->value & DESC_AF) == 0) {
                walk_fault(out, MMU_FSC_ACCESS_FLAG, level);
                return;
            }
            fill_leaf(r, step->value, level, &limits, e);
            out->ok = true;
            out->dfsc = 0;
            out->level = level;
            return;
        }
        e->level = (uint8_t)level;
        if (hierarchical) {
            limits_add(&limits, step->value);
        }
        table = output;
    }
    walk_fault(out, MMU_FSC_TRANSLATION, 3); /* not reached: level 3 has no table (I1) */
}

uint32_t mmu_judge(const struct mmu_regs *r, uint32_t perm, uint32_t level,
                   enum sim_access_kind kind, bool el0)
{
    static const uint8_t need[3][2] = {
        {SIM_PERM_R1, SIM_PERM_R0}, {SIM_PERM_W1, SIM_PERM_W0}, {SIM_PERM_X1, SIM_PERM_X0}};
    bool allowed = (perm & need[kind][el0 ? 1 : 0]) != 0;
    /*
     * PSTATE.PAN (D8.4.5): an EL1 data access to what EL0 may read. The seam has no instruction
     * that writes PSTATE.PAN, so it is as an exception entry leaves it: set where SCTLR.SPAN is 0.
     */
    bool pan = (r->features & MACHINE_PAN) != 0 && (r->sctlr & SCTLR_SPAN) == 0;
    if (pan && !el0 && kind != SIM_FETCH && (perm & SIM_PERM_R0) != 0) {
        allowed = false;
    }
    return allowed ? 0 : MMU_FSC_PERMISSION | level;
}

uint64_t mmu_syndrome(enum sim_access_kind kind, bool el0, uint32_t fsc)
{
    uint64_t ec = kind == SIM_FETCH ? (el0 ? 0x20u : 0x21u) : (el0 ? 0x24u : 0x25u);
    uint64_t wnr = kind == SIM_WRITE ? KC_BIT(6) : 0;
    return ec << 26 | KC_BIT(25) | wnr | fsc;
}

uint64_t mmu_par(const struct sim_walk *w, uint64_t va, uint32_t fsc)
{
    if (!w->ok || fsc != 0) {
        return KC_BIT(0) | KC_BIT(11) | (uint64_t)(w->ok ? fsc : w->dfsc) << 1;
    }
    const struct sim_tlb_entry *e = &w->entry;
    uint64_t pa = e->pa + (va & (e->size - 1));
    bool device = (e->memattr & 0xf0) == 0;
    bool non_cacheable = e->memattr == 0x44;
    /* SH reads as Outer Shareable for Device and for Normal Non-cacheable memory (PAR_EL1.SH). */
    uint64_t sh = device || non_cacheable ? 2 : e->shareable;
    return (uint64_t)e->memattr << 56 | (pa & DESC_ADDRESS) | KC_BIT(11) | sh << 7;
}
