/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * vmsa.h: the few facts of VMSAv8-64 that the monitors need, read from the manual by themselves.
 *
 * Stage 1, EL1&0, 4 KiB granule, 48-bit output addresses (DDI 0487, D8.3 "Translation table
 * descriptor formats", D8.4 "Memory access control", C5.5 "A64 System instructions for TLB
 * maintenance"). Shared with nothing.
 */
#ifndef SIM_MONITOR_VMSA_H
#define SIM_MONITOR_VMSA_H

#include <stdbool.h>
#include <stdint.h>

#include <kc/plat.h>

#define VM_PAGE     UINT64_C(4096)
#define VM_SLOTS    512u
#define VM_OA       UINT64_C(0x0000fffffffff000) /* bits 47:12 */
#define VM_NT       (UINT64_C(1) << 16)          /* block descriptors, FEAT_BBM level 1 */
#define VM_AF       (UINT64_C(1) << 10)
#define VM_NG       (UINT64_C(1) << 11)
#define VM_CONT     (UINT64_C(1) << 52)
#define VM_SOFT     (UINT64_C(0xf) << 55) /* bits 58:55: for software, ignored by walks */
#define VM_PBHA     (UINT64_C(0xf) << 59) /* bits 62:59 of leaves: not ours to judge */
#define VM_TCR_A1   (UINT64_C(1) << 22)
#define VM_TCR_AS   (UINT64_C(1) << 36)
#define VM_TCR_EPD0 (UINT64_C(1) << 7)
#define VM_TCR_EPD1 (UINT64_C(1) << 23)
#define VM_SCTLR_M  (UINT64_C(1) << 0)

enum vm_kind {
    VM_INVALID,
    VM_TABLE,
    VM_BLOCK,
    VM_PAGE_LEAF
};

/* Kind of a descriptor at a level: D8.3.1. Reserved encodings are invalid to a walk. */
static inline enum vm_kind vm_kind(uint64_t d, int level)
{
    if ((d & 1) == 0) {
        return VM_INVALID;
    }
    if (level == 3) {
        return (d & 2) != 0 ? VM_PAGE_LEAF : VM_INVALID;
    }
    if ((d & 2) != 0) {
        return VM_TABLE;
    }
    return level == 1 || level == 2 ? VM_BLOCK : VM_INVALID;
}

static inline bool vm_is_leaf(enum vm_kind k)
{
    return k == VM_BLOCK || k == VM_PAGE_LEAF;
}

/* Bytes of input address that one descriptor of the level covers. */
static inline uint64_t vm_span(int level)
{
    return UINT64_C(1) << (12 + 9 * (3 - level));
}

/* Output address of a leaf. */
static inline uint64_t vm_leaf_oa(uint64_t d, int level)
{
    return d & VM_OA & ~(vm_span(level) - 1);
}

/* First level of a walk whose input address has so many bits: D8.2.7. */
static inline int vm_top_level(uint32_t va_bits)
{
    return va_bits > 39 ? 0 : va_bits > 30 ? 1 : va_bits > 21 ? 2 : 3;
}

/* Input address bits of one half by TCR_EL1. */
static inline uint32_t vm_va_bits(uint64_t tcr, bool high)
{
    uint32_t txsz = (uint32_t)(tcr >> (high ? 16 : 0)) & 63;
    return txsz < 16 ? 48 : txsz > 39 ? 25 : 64 - txsz;
}

/* The ASID in use: TCR_EL1.A1 and AS. */
static inline uint16_t vm_asid(uint64_t tcr, uint64_t ttbr0, uint64_t ttbr1)
{
    uint64_t asid = ((tcr & VM_TCR_A1) != 0 ? ttbr1 : ttbr0) >> 48;
    return (uint16_t)((tcr & VM_TCR_AS) != 0 ? asid : asid & 0xff);
}

/* AttrIndx and SH: the memory type of a leaf, by index. */
static inline uint64_t vm_memory(uint64_t d)
{
    return d & (UINT64_C(7) << 2 | UINT64_C(3) << 8);
}

/* What a chain of descriptors permits. */
struct vm_perm {
    bool w1, r0, w0, x1, x0;
};

/* Permissions of a leaf under hierarchical bits ORed together (`over`, bits 62:59 of tables). */
static inline struct vm_perm vm_perm(uint64_t leaf, uint64_t over)
{
    struct vm_perm p;
    bool ro = (leaf >> 7 & 1) != 0 || (over >> 62 & 1) != 0;
    bool user = (leaf >> 6 & 1) != 0 && (over >> 61 & 1) == 0;
    p.w1 = !ro;
    p.r0 = user;
    p.w0 = user && !ro;
    p.x1 = (leaf >> 53 & 1) == 0 && (over >> 59 & 1) == 0 && !p.w0;
    p.x0 = (leaf >> 54 & 1) == 0 && (over >> 60 & 1) == 0;
    return p;
}

/* True if every right of a is in b. */
static inline bool vm_perm_within(struct vm_perm a, struct vm_perm b)
{
    return a.w1 <= b.w1 && a.r0 <= b.r0 && a.w0 <= b.w0 && a.x1 <= b.x1 && a.x0 <= b.x0;
}

/* Do these rights allow the access? el is 0 or 1. */
static inline bool vm_allowed(struct vm_perm p, bool write, bool fetch, uint32_t el)
{
    if (fetch) {
        return el == 0 ? p.x0 : p.x1;
    }
    if (el == 0) {
        return write ? p.w0 : p.r0;
    }
    return !write || p.w1;
}

/* ---- TLBI operations ------------------------------------------------------------------------ */

struct vm_tlbi {
    bool known;     /* of the EL1&0 regime, stage 1 */
    bool broadcast; /* Inner Shareable */
    bool all;       /* whole regime */
    bool by_asid;   /* everything of one ASID */
    bool by_va;     /* of one address or range */
    bool any_asid;  /* by_va: whatever the ASID */
    bool last_only; /* by_va: last level only */
    bool range;
    uint16_t asid;
    uint64_t base;      /* by_va: first address, bits 55:12 of it */
    uint64_t size;      /* by_va: bytes */
    int level;          /* TTL hint: level of the leaf; -1: no hint */
    bool granule_wrong; /* TTL or TG names another granule than 4 KiB */
};

/* Name of the operation: that of the instruction. */
const char *vm_tlbi_name(enum kc_tlbi op);
const char *vm_barrier_name(enum kc_barrier b);

/* Decode an operation and its operand. asid_bits is 8 or 16. */
static inline struct vm_tlbi vm_tlbi(enum kc_tlbi op, uint64_t x, uint32_t asid_bits)
{
    struct vm_tlbi t = {.known = true, .level = -1};
    switch (op) {
    case KC_TLBI_VMALLE1IS:
    case KC_TLBI_VMALLS12E1IS:
    case KC_TLBI_ALLE1IS:
        t.broadcast = true;
        t.all = true;
        return t;
    case KC_TLBI_VMALLE1:
        t.all = true;
        return t;
    case KC_TLBI_ASIDE1IS:
    case KC_TLBI_ASIDE1:
        t.broadcast = op == KC_TLBI_ASIDE1IS;
        t.by_asid = true;
        break;
    case KC_TLBI_VAE1IS:
    case KC_TLBI_VAE1:
        t.broadcast = op == KC_TLBI_VAE1IS;
        t.by_va = true;
        break;
    case KC_TLBI_VALE1IS:
    case KC_TLBI_VALE1:
        t.broadcast = op == KC_TLBI_VALE1IS;
        t.by_va = true;
        t.last_only = true;
        break;
    case KC_TLBI_VAAE1IS:
    case KC_TLBI_VAAE1:
        t.broadcast = op == KC_TLBI_VAAE1IS;
        t.by_va = true;
        t.any_asid = true;
        break;
    case KC_TLBI_VAALE1IS:
    case KC_TLBI_VAALE1:
        t.broadcast = op == KC_TLBI_VAALE1IS;
        t.by_va = true;
        t.any_asid = true;
        t.last_only = true;
        break;
    case KC_TLBI_RVAE1IS:
    case KC_TLBI_RVALE1IS:
    case KC_TLBI_RVAAE1IS:
    case KC_TLBI_RVAALE1IS:
        t.broadcast = true;
        t.by_va = true;
        t.range = true;
        t.any_asid = op == KC_TLBI_RVAAE1IS || op == KC_TLBI_RVAALE1IS;
        t.last_only = op == KC_TLBI_RVALE1IS || op == KC_TLBI_RVAALE1IS;
        break;
    default: /* EL2 and stage 2: none of our business */
        t.known = false;
        return t;
    }
    t.asid = (uint16_t)(x >> 48 & (asid_bits == 16 ? 0xffffu : 0xffu));
    if (t.range) { /* ASID 63:48, TG 47:46, SCALE 45:44, NUM 43:39, TTL 38:37, BaseADDR 36:0 */
        uint32_t scale = (uint32_t)(x >> 44) & 3;
        uint64_t num = x >> 39 & 31;
        int64_t base = (int64_t)(x << 27) >> 27; /* bits 36:0 are VA[48:12], sign-extended */
        t.base = (uint64_t)base << 12;
        t.size = ((num + 1) << (5 * scale + 1)) * VM_PAGE;
        t.granule_wrong = (x >> 46 & 3) != 1;
        t.level = (x >> 37 & 3) == 0 ? -1 : (int)(x >> 37 & 3);
        /* UNPREDICTABLE: a base that is not aligned to what the hint's level covers */
        t.granule_wrong |= t.level > 0 && (t.base & (vm_span(t.level) - 1)) != 0;
    } else if (t.by_va) { /* ASID 63:48, TTL 47:44, VA[55:12] in 43:0 */
        t.base = (x & ((UINT64_C(1) << 44) - 1)) << 12;
        t.size = VM_PAGE;
        if ((x >> 46 & 3) != 0) {
            t.granule_wrong = (x >> 46 & 3) != 1;
            /* 0b0100 gives no level with 4 KiB granules without LPA2 */
            t.level = (x >> 44 & 3) == 0 ? -1 : (int)(x >> 44 & 3);
        }
    }
    return t;
}

#endif
