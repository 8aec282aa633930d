/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/a64/tlbi.h: operands (Xt) of the TLB invalidations.
 *
 * Pure arithmetic; which operation to issue and when is kc/pt.h's business. References are to
 * DDI 0487 issue J.a, C5.5 "A64 System instructions for TLB maintenance", by instruction name.
 *
 * Context: every function here is pure and may be called from anywhere, before the MMU is on too.
 */
#ifndef KC_A64_TLBI_H
#define KC_A64_TLBI_H

#include <kc/a64/desc.h>

KC_EXTERN_C_BEGIN

/* No level hint: entries of any level are invalidated. */
#define KC_A64_TTL_ANY 0xffu

/**
 * Operand of VAE1(IS), VALE1(IS), VAAE1(IS), VAALE1(IS): bits [43:0] VA[55:12], [47:44] TTL,
 * [63:48] ASID. The sign bits of an upper-half address stop at VA[55]: they never reach the TTL.
 *
 * ia      any address in the page or block
 * asid    0 for the all-ASID forms
 * level   of the leaf, as a hint (0 to 3; ignored without FEAT_TTL), or KC_A64_TTL_ANY. A wrong
 *         hint invalidates nothing, so give one only where the level is known for every entry.
 *         A level that holds no leaf at this granule has no encoding and gives no hint.
 */
uint64_t kc_a64_tlbi_va(const struct kc_a64_format *f, uint64_t ia, uint32_t asid, uint32_t level);

/** Operand of ASIDE1(IS). */
uint64_t kc_a64_tlbi_asid(uint32_t asid);

/* A range being turned into operands; start one with kc_a64_tlbi_range(). */
struct kc_a64_tlbi_range {
    uint64_t page;  /* private: next granule to cover, as ia >> granule_log2 */
    uint64_t pages; /* private: granules left */
    uint32_t asid;
    uint32_t level;
};

/** Longest range, in granules, that one operand covers: (31 + 1) << (5 * 3 + 1). */
#define KC_A64_TLBI_RANGE_PAGES_MAX ((uint64_t)32 << 16)

/**
 * Prepare operands for the whole of ia .. ia + bytes - 1.
 *
 * ia, bytes   multiples of the granule; bytes is not 0; the range fits
 */
void kc_a64_tlbi_range(struct kc_a64_tlbi_range *r, const struct kc_a64_format *f, uint64_t ia,
                       uint64_t bytes, uint32_t asid, uint32_t level);

/**
 * Next operand of RVAE1IS, RVALE1IS, RVAAE1IS, RVAALE1IS: BaseADDR [36:0], TTL [38:37], NUM
 * [43:39], SCALE [45:44], TG [47:46], ASID [63:48]. It covers (NUM + 1) << (5 * SCALE + 1)
 * granules from the base. All operands together cover the range exactly, but for one granule at the
 * end of a range of odd length, which cannot be expressed: then *single is true and the operand is
 * that of the plain form (VAE1IS for RVAE1IS, and so on).
 *
 * Returns false when the range is covered; *operand and *single are then untouched.
 */
KC_NODISCARD bool kc_a64_tlbi_range_next(struct kc_a64_tlbi_range *r, const struct kc_a64_format *f,
                                         uint64_t *operand, bool *single);

KC_EXTERN_C_END

#endif
