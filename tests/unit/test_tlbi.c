/* SPDX-License-Identifier: BSD-2-Clause */
/* kc/a64/tlbi.h against the manual. L1 to L3 of a64/tlbi.c. */
#include "kc_test.h"

#include <kc/a64/tlbi.h>

static const struct kc_a64_format plain = {KC_A64_STAGE1, 12, 48, 48, 0, 0, 0};
static const struct kc_a64_format ttl = {
    KC_A64_STAGE1, 12, 48, 48, 0, 0, KC_A64_FEAT_TTL | KC_A64_FEAT_TLBIRANGE};

/* DDI 0487 J.a, C5.5 "TLBI VAE1IS": ASID [63:48], TTL [47:44], VA[55:12] in [43:0]. */
Test(tlbi, by_address)
{
    cr_expect_eq(kc_a64_tlbi_va(&plain, 0x12345678, 0x42, 3), UINT64_C(0x0042000000012345));
    /* TTL: TG 0b01 for 4 KiB, level 0b11: 0b0111 */
    cr_expect_eq(kc_a64_tlbi_va(&ttl, 0x12345678, 0x42, 3), UINT64_C(0x0042700000012345));
    cr_expect_eq(kc_a64_tlbi_va(&ttl, 0x12345678, 0, 2), UINT64_C(0x0000600000012345));
    cr_expect_eq(kc_a64_tlbi_va(&ttl, 0x12345678, 0, KC_A64_TTL_ANY), 0x12345);
    cr_expect_eq(kc_a64_tlbi_va(&ttl, 0x12345678, 0, 0), 0x12345, "no leaf at level 0: no hint");
    cr_expect_eq(kc_a64_tlbi_asid(0xbeef), UINT64_C(0xbeef000000000000));
}

/* L1: bits [63:56] of an upper-half address are ones and must reach neither TTL nor ASID. */
Test(tlbi, upper_half_does_not_leak_into_ttl)
{
    uint64_t ia = UINT64_C(0xffff800000001000);
    cr_expect_eq(kc_a64_tlbi_va(&plain, ia, 0, 3), UINT64_C(0x00000ff800000001));
    cr_expect_eq(kc_a64_tlbi_va(&plain, UINT64_MAX, 0, KC_A64_TTL_ANY),
                 UINT64_C(0x00000fffffffffff));
    cr_expect_eq(kc_a64_tlbi_va(&ttl, UINT64_MAX, 1, 3), UINT64_C(0x00017fffffffffff));
}

/*
 * C5.5 "TLBI RVAE1IS": BaseADDR [36:0], TTL [38:37], NUM [43:39], SCALE [45:44], TG [47:46].
 * 2 granules: SCALE 0, NUM 0, TG 0b01.
 */
Test(tlbi, by_range)
{
    struct kc_a64_tlbi_range r;
    uint64_t operand = 7;
    bool single = true;
    kc_a64_tlbi_range(&r, &plain, 0x1000, 0x2000, 5, KC_A64_TTL_ANY);
    cr_assert(kc_a64_tlbi_range_next(&r, &plain, &operand, &single));
    cr_expect_eq(operand, UINT64_C(0x0005400000000001));
    cr_expect_not(single);
    cr_expect_not(kc_a64_tlbi_range_next(&r, &plain, &operand, &single));
    cr_expect_eq(operand, UINT64_C(0x0005400000000001), "untouched at the end");
    /* 64 granules: SCALE 0, NUM 31; level 3 hint with FEAT_TTL: TTL 0b11<<37 */
    kc_a64_tlbi_range(&r, &ttl, 0, 64 * 4096, 0, 3);
    cr_assert(kc_a64_tlbi_range_next(&r, &ttl, &operand, &single));
    cr_expect_eq(operand,
                 UINT64_C(0x0000500000000000) | UINT64_C(0x6000000000) |
                     UINT64_C(0x0000000000000000),
                 "SCALE 1, NUM 0: one unit of 64");
    cr_expect_not(kc_a64_tlbi_range_next(&r, &ttl, &operand, &single));
    /* upper half: 37 bits of base, no more */
    kc_a64_tlbi_range(&r, &plain, UINT64_C(0xfffffffffffff000), 0x1000, 0, 3);
    cr_assert(kc_a64_tlbi_range_next(&r, &plain, &operand, &single));
    cr_expect(single);
    kc_a64_tlbi_range(&r, &plain, UINT64_C(0xffffffffffffe000), 0x2000, 0, 3);
    cr_assert(kc_a64_tlbi_range_next(&r, &plain, &operand, &single));
    cr_expect_eq(operand, UINT64_C(0x0000401ffffffffe));
}

/* L2: by the manual's formula each operand covers (NUM + 1) << (5 * SCALE + 1) granules. */
Test(tlbi, ranges_are_covered_exactly)
{
    uint64_t x = kc_test_seed() | 1;
    for (uint32_t i = 0; i < 2000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint64_t pages = 1 + (x >> 20) % (i < 1000 ? 300 : UINT64_C(5000000));
        uint64_t base = (x & 0xfffff) << 12;
        uint64_t at = base >> 12;
        uint64_t left = pages;
        uint32_t count = 0;
        struct kc_a64_tlbi_range r;
        uint64_t operand = 0;
        bool single = false;
        kc_a64_tlbi_range(&r, &plain, base, pages << 12, 0, 3);
        while (kc_a64_tlbi_range_next(&r, &plain, &operand, &single)) {
            uint64_t scale = kc_field_get(operand, 45, 44);
            uint64_t num = kc_field_get(operand, 43, 39);
            uint64_t covered = single ? 1 : (num + 1) << (5 * scale + 1);
            cr_assert_eq(single ? operand : kc_field_get(operand, 36, 0), at);
            cr_assert_leq(covered, left);
            at += covered;
            left -= covered;
            count++;
        }
        cr_assert_eq(left, 0);
        cr_assert_leq(count, 4 + pages / KC_A64_TLBI_RANGE_PAGES_MAX + 1);
    }
}
