/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operands of the TLB invalidations.
 *
 *     63:48  47:44             43:0
 *     ASID   TTL               VA[55:12]                              by address
 *     ASID   TG SCALE(45:44)   NUM(43:39) TTL(38:37) BaseADDR(36:0)   by range
 *
 * A range operand covers (NUM + 1) << (5 * SCALE + 1) granules: always an even number. A range of n
 * granules is covered from the largest scale down: while n has 2^(5s+1) granules or more, take
 * min(32, n >> (5s + 1)) of that unit. At most one operand with SCALE 3 for each 2^21 granules,
 * then at most one each for scales 2, 1 and 0, then one single granule if n is odd.
 *
 * Invariants
 *   L1  no bit of an address reaches a field that is not the address's, for either half.
 *   L2  the operands of a range cover each granule of it once, and no other.
 *   L3  without FEAT_TTL bits [47:44] of an address operand are 0 (they are RES0 then).
 *
 * Sources: DDI 0487 J.a, C5.5 "TLBI VAE1, ..." and "TLBI RVAE1, ..." (field descriptions), D8.14.5
 * "TLB range maintenance instructions".
 */
#include <kc/a64/tlbi.h>

#define VA_HI          43u
#define VA_SHIFT       12u
#define TTL_LO         44u
#define ASID_LO        48u
#define RANGE_BASE_HI  36u
#define RANGE_TTL_LO   37u
#define RANGE_NUM_LO   39u
#define RANGE_NUM_MAX  31u
#define RANGE_SCALE_LO 44u
#define RANGE_TG_LO    46u

/* TG of the range forms, and TTL[3:2] of the address forms: 1, 2, 3 for 4, 16, 64 KiB. */
static uint64_t granule_code(const struct kc_a64_format *f)
{
    return (uint64_t)(f->granule_log2 - 12u) / 2u + 1u;
}

/* TTL level bits, 0 (no hint) where the level holds no leaf or the machine takes no hint. */
static uint64_t level_hint(const struct kc_a64_format *f, uint32_t level)
{
    if ((f->features & KC_A64_FEAT_TTL) == 0 || !kc_a64_level_is_leaf(f, level)) {
        return 0;
    }
    return level;
}

uint64_t kc_a64_tlbi_va(const struct kc_a64_format *f, uint64_t ia, uint32_t asid, uint32_t level)
{
    uint64_t hint = level_hint(f, level);
    uint64_t ttl = hint == 0 ? 0 : granule_code(f) << 2 | hint;
    return ((ia >> VA_SHIFT) & KC_MASK(VA_HI, 0)) | ttl << TTL_LO | (uint64_t)asid << ASID_LO;
}

uint64_t kc_a64_tlbi_asid(uint32_t asid)
{
    return (uint64_t)asid << ASID_LO;
}

void kc_a64_tlbi_range(struct kc_a64_tlbi_range *r, const struct kc_a64_format *f, uint64_t ia,
                       uint64_t bytes, uint32_t asid, uint32_t level)
{
    r->page = ia >> f->granule_log2;
    r->pages = bytes >> f->granule_log2;
    r->asid = asid;
    r->level = level;
}

bool kc_a64_tlbi_range_next(struct kc_a64_tlbi_range *r, const struct kc_a64_format *f,
                            uint64_t *operand, bool *single)
{
    if (r->pages == 0) {
        return false;
    }
    if (r->pages == 1) {
        *operand = kc_a64_tlbi_va(f, r->page << f->granule_log2, r->asid, r->level);
        *single = true;
        r->pages = 0;
        return true;
    }
    uint32_t scale = 3;
    while (r->pages >> (5 * scale + 1) == 0) {
        scale--;
    }
    uint32_t unit_log2 = 5 * scale + 1;
    uint64_t units = r->pages >> unit_log2;
    if (units > RANGE_NUM_MAX + 1u) {
        units = RANGE_NUM_MAX + 1u;
    }
    *operand = (r->page & KC_MASK(RANGE_BASE_HI, 0)) | level_hint(f, r->level) << RANGE_TTL_LO |
               (units - 1) << RANGE_NUM_LO | (uint64_t)scale << RANGE_SCALE_LO |
               granule_code(f) << RANGE_TG_LO | (uint64_t)r->asid << ASID_LO;
    *single = false;
    r->page += units << unit_log2;
    r->pages -= units << unit_log2;
    return true;
}
