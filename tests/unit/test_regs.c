/* SPDX-License-Identifier: BSD-2-Clause */
/* kc/a64/regs.h against the manual. R1 to R3 of a64/regs.c. */
#include "kc_test.h"

#include "../vectors/a64_vectors.h"

/* DDI 0487 J.a, D19.2 "MAIR_EL1": Attr0 0xff, Attr1 0x44, Attr2 0x04, Attr3 0x00. */
Test(regs, mair)
{
    cr_expect_eq(kc_a64_mair(), 0x000444ff);
    cr_expect_eq(kc_a64_mem_attr(KC_A64_MEM_DEVICE_nGnRE), 0x04);
    cr_expect_eq((int)kc_a64_mem_sh(KC_A64_MEM_NORMAL), 3);
    cr_expect_eq((int)kc_a64_mem_sh(KC_A64_MEM_NORMAL_NC), 2);
}

/*
 * D19.2 "TCR_EL1". T0SZ and T1SZ 64 - 48 = 16 = 0x10; IRGN 1<<8, ORGN 1<<10, SH 3<<12: 0x3510 in
 * each half; TG0 0; TG1 0b10<<30; IPS 0b101<<32 for 48 bits; AS 1<<36.
 */
Test(regs, tcr)
{
    struct kc_a64_format low = {KC_A64_STAGE1, 12, 48, 48, 0, 0, KC_A64_FEAT_ASID16};
    struct kc_a64_format high = {KC_A64_STAGE1, 12, 48, 48, 1, 0, KC_A64_FEAT_ASID16};
    uint64_t tcr = 7;
    cr_assert_eq(kc_a64_tcr(&low, &high, &tcr), KC_OK);
    cr_expect_eq(tcr, UINT64_C(0x00000015b5103510));
    /* 39 bits: TnSZ 25 = 0x19; 40-bit PA: IPS 0b010; 8-bit ASIDs; upper only: EPD0 1<<7, T0SZ 16 */
    high = (struct kc_a64_format){KC_A64_STAGE1, 12, 39, 40, 1, 0, 0};
    cr_assert_eq(kc_a64_tcr(NULL, &high, &tcr), KC_OK);
    cr_expect_eq(tcr, UINT64_C(0x00000002b5190090));
    /* lower only: EPD1 1<<23, T1SZ 16 */
    low = (struct kc_a64_format){KC_A64_STAGE1, 12, 39, 40, 0, 0, 0};
    cr_assert_eq(kc_a64_tcr(&low, NULL, &tcr), KC_OK);
    cr_expect_eq(tcr, UINT64_C(0x0000000280903519));
    tcr = 7;
    cr_expect_eq(kc_a64_tcr(NULL, NULL, &tcr), KC_ERR_ARG);
    cr_expect_eq(kc_a64_tcr(&high, &low, &tcr), KC_ERR_ARG, "wrong halves");
    low.pa_bits = 44;
    cr_expect_eq(kc_a64_tcr(&low, &high, &tcr), KC_ERR_ARG, "one IPS for both");
    cr_expect_eq(tcr, 7, "untouched on error");
}

/* D19.2 "SCTLR_EL1": Armv8.0 RES1 bits 29, 28, 23, 22, 20, 11 are 0x30d00800. */
Test(regs, sctlr)
{
    cr_expect_eq(kc_a64_sctlr(0), 0x30d00800);
    cr_expect_eq(kc_a64_sctlr(KC_A64_SCTLR_MMU | KC_A64_SCTLR_CACHES), 0x30d01805);
    cr_expect_eq(kc_a64_sctlr(KC_A64_SCTLR_WXN), 0x30d80800);
    cr_expect_eq(kc_a64_sctlr(KC_A64_SCTLR_PAN), 0x30500800);
    cr_expect_eq(kc_a64_sctlr(KC_A64_SCTLR_STACK), 0x30d00818);
}

/* D19.2 "TTBR0_EL1": ASID [63:48], BADDR [47:1], aligned to the table. */
Test(regs, ttbr)
{
    struct kc_a64_format f = {KC_A64_STAGE1, 12, 48, 40, 0, 0, 0};
    uint64_t v = 7;
    cr_assert_eq(kc_a64_ttbr(&f, kc_pa(0x81000), 0xab, &v), KC_OK);
    cr_expect_eq(v, UINT64_C(0x00ab000000081000));
    v = 7;
    cr_expect_eq(kc_a64_ttbr(&f, kc_pa(0x81800), 0, &v), KC_ERR_ALIGN);
    cr_expect_eq(kc_a64_ttbr(&f, kc_pa(UINT64_C(1) << 40), 0, &v), KC_ERR_RANGE);
    cr_expect_eq(kc_a64_ttbr(&f, kc_pa(0x81000), 256, &v), KC_ERR_RANGE);
    cr_expect_eq(v, 7);
    f.va_bits = 25; /* level 2, 16 entries, 128 bytes */
    cr_expect_eq(kc_a64_ttbr(&f, kc_pa(0x81080), 0, &v), KC_OK);
    cr_expect_eq(kc_a64_ttbr(&f, kc_pa(0x81040), 0, &v), KC_ERR_ALIGN);
}

/* ID registers of a Cortex-A72 r0p3 (Arm 100095, 4.3) and of a Neoverse N1 r4p1 (Arm 100616, B2).
 */
Test(regs, id_registers)
{
    struct kc_a64_id a72 = {.isar0 = 0x00011120, .mmfr0 = 0x00001124};
    struct kc_a64_id n1 = {.isar0 = 0x0000100010211120,
                           .mmfr0 = 0x0000000000101125,
                           .mmfr1 = 0x0000000010212122,
                           .mmfr2 = 0x0000000000001011};
    struct kc_a64_machine m;
    kc_a64_id_decode(&a72, &m);
    cr_expect_eq(m.pa_bits, 44);
    cr_expect_eq(m.asid_bits, 16);
    cr_expect_eq(m.va_bits, 48);
    cr_expect(m.granule_4k && m.granule_64k && !m.granule_16k);
    cr_expect_eq(m.features, KC_A64_FEAT_ASID16);
    cr_expect_eq(m.bbm, 0);
    kc_a64_id_decode(&n1, &m);
    cr_expect_eq(m.pa_bits, 48);
    cr_expect(m.granule_4k && m.granule_64k && m.granule_16k);
    cr_expect_eq(m.features, KC_A64_FEAT_ASID16 | KC_A64_FEAT_HA | KC_A64_FEAT_HD |
                                 KC_A64_FEAT_PAN | KC_A64_FEAT_CNP | KC_A64_FEAT_XNX);
    /* TLB 0b0010 [59:56]; TTL 1 [51:48]; BBM 2 [55:52]; TGran4 0b0001 [31:28]: LPA2 */
    struct kc_a64_id max = {
        .isar0 = UINT64_C(2) << 56, .mmfr0 = 0x10000026, .mmfr2 = UINT64_C(0x0021000000010000)};
    kc_a64_id_decode(&max, &m);
    cr_expect_eq(m.pa_bits, 52);
    cr_expect_eq(m.va_bits, 52);
    cr_expect_eq(m.bbm, 2);
    cr_expect_eq(m.features,
                 KC_A64_FEAT_ASID16 | KC_A64_FEAT_TLBIRANGE | KC_A64_FEAT_TTL | KC_A64_FEAT_LPA2);
    struct kc_a64_id more = {.mmfr0 = 7};
    kc_a64_id_decode(&more, &m);
    cr_expect_eq(m.pa_bits, 52, "of 56: what this format can name");
    struct kc_a64_id none = {.mmfr0 = UINT64_C(0xf000000f)};
    kc_a64_id_decode(&none, &m);
    cr_expect_not(m.granule_4k);
    cr_expect_eq(m.pa_bits, 0, "reserved PARange");
}

Test(regs, format_for_a_machine)
{
    struct kc_a64_machine m = {.pa_bits = 52, .granule_4k = true, .features = KC_A64_FEAT_TTL};
    struct kc_a64_format f = {.va_bits = 9};
    cr_assert_eq(kc_a64_format_for(&m, 39, true, &f), KC_OK);
    cr_expect_eq(f.pa_bits, 48);
    cr_expect_eq(f.va_bits, 39);
    cr_expect_eq(f.upper, 1);
    cr_expect_eq(kc_a64_format_check(&f), KC_OK);
    f.va_bits = 9;
    cr_expect_eq(kc_a64_format_for(&m, 24, true, &f), KC_ERR_ARG);
    m.granule_4k = false;
    cr_expect_eq(kc_a64_format_for(&m, 39, true, &f), KC_ERR_UNSUPPORTED);
    cr_expect_eq(f.va_bits, 9);
}

Test(regs, syndromes_are_as_in_the_manual)
{
    for (size_t i = 0; i < KC_ARRAY_COUNT(esr_vectors); i++) {
        const struct esr_vector *v = &esr_vectors[i];
        struct kc_a64_syndrome s;
        kc_a64_esr_decode(v->esr, &s);
        cr_expect_eq(s.ec, v->is.ec, "%s", v->cite);
        cr_expect_eq(s.is_abort, v->is.is_abort, "%s", v->cite);
        cr_expect_eq(s.is_fetch, v->is.is_fetch, "%s", v->cite);
        cr_expect_eq(s.from_lower, v->is.from_lower, "%s", v->cite);
        cr_expect_eq(s.is_write, v->is.is_write, "%s", v->cite);
        cr_expect_eq(s.is_maintenance, v->is.is_maintenance, "%s", v->cite);
        cr_expect_eq(s.external, v->is.external, "%s", v->cite);
        cr_expect_eq(s.far_invalid, v->is.far_invalid, "%s", v->cite);
        cr_expect_eq(s.fault, v->is.fault, "%s", v->cite);
        cr_expect_eq(s.level, v->is.level, "%s", v->cite);
        cr_expect_eq(s.fsc, v->is.fsc, "%s", v->cite);
        cr_expect_eq(s.iss, v->esr & 0x1ffffff, "%s", v->cite);
    }
}

Test(regs, fault_codes_go_both_ways)
{
    for (uint32_t fsc = 0; fsc < 16; fsc++) {
        uint32_t level = 9;
        enum kc_a64_fault f = kc_a64_fsc_decode(fsc, &level);
        cr_expect_eq(kc_a64_fsc_encode(f, level), fsc);
    }
    cr_expect_eq(kc_a64_fsc_encode(KC_A64_FAULT_ALIGNMENT, 0), 0x3f);
    for (uint32_t i = 0; i < KC_A64_FAULT_COUNT; i++) {
        cr_expect_str_neq(kc_a64_fault_name((enum kc_a64_fault)i), "?");
    }
    cr_expect_str_eq(kc_a64_fault_name(KC_A64_FAULT_COUNT), "?");
    cr_expect_str_eq(kc_a64_ec_name(0x25), "data abort from EL1");
    cr_expect_str_eq(kc_a64_ec_name(0x3f), "unknown class");
}

/* D19.2 "PAR_EL1": F [0], SH [8:7], PA [47:12], ATTR [63:56]; on failure FST [6:1]. */
Test(regs, par)
{
    struct kc_a64_par p;
    kc_a64_par_decode(UINT64_C(0xff00000080123b80), &p);
    cr_expect_not(p.failed);
    cr_expect_eq(p.pa, 0x80123000);
    cr_expect_eq(p.attr, 0xff);
    cr_expect_eq(p.sh, 3);
    kc_a64_par_decode(0x0000000000000800 | 0x0f << 1 | 1, &p);
    cr_expect(p.failed);
    cr_expect_eq((int)p.fault, KC_A64_FAULT_PERMISSION);
    cr_expect_eq(p.level, 3);
    cr_expect_eq(p.fst, 0x0f);
}

/* D19.2 "TCR_EL1": T0SZ [5:0], EPD0 [7], TG0 [15:14], T1SZ [21:16], EPD1 [23], TG1 [31:30],
   IPS [34:32], AS [36], TBI1 [38], HPD0 [41]. */
Test(regs, tcr_is_taken_apart)
{
    struct kc_a64_half h;
    uint64_t tcr = UINT64_C(16) | UINT64_C(25) << 16 | UINT64_C(2) << 30 | UINT64_C(2) << 32 |
                   KC_BIT(36) | KC_BIT(38) | KC_BIT(41);
    kc_a64_tcr_decode(tcr, false, &h);
    cr_expect_eq(h.state, KC_A64_HALF_ON);
    cr_expect_eq(h.format.va_bits, 48);
    cr_expect_eq(h.format.granule_log2, 12);
    cr_expect_eq(h.format.pa_bits, 40);
    cr_expect_eq(h.format.upper, 0);
    cr_expect_eq(h.format.features, KC_A64_FEAT_ASID16);
    cr_expect(h.no_hierarchy);
    cr_expect_not(h.top_byte_ignored);
    kc_a64_tcr_decode(tcr, true, &h);
    cr_expect_eq(h.state, KC_A64_HALF_ON);
    cr_expect_eq(h.format.va_bits, 39);
    cr_expect_eq(h.format.upper, 1);
    cr_expect(h.top_byte_ignored);
    cr_expect_not(h.no_hierarchy);
    /* TG0 0b01 is 64 KiB and TG1 0b01 is 16 KiB; 0b11 and 0b00 are reserved in one each */
    static const uint8_t granule[2][4] = {{12, 16, 14, 0}, {0, 14, 12, 16}};
    for (uint32_t tg = 0; tg < 4; tg++) {
        for (uint32_t upper = 0; upper < 2; upper++) {
            kc_a64_tcr_decode(UINT64_C(16) | UINT64_C(16) << 16 | (uint64_t)tg << 14 |
                                  (uint64_t)tg << 30,
                              upper != 0, &h);
            cr_expect_eq(h.state,
                         granule[upper][tg] != 0 ? KC_A64_HALF_ON : KC_A64_HALF_BAD_GRANULE);
            cr_expect_eq(h.format.granule_log2, granule[upper][tg]);
        }
    }
    kc_a64_tcr_decode(tcr | KC_BIT(23), true, &h);
    cr_expect_eq(h.state, KC_A64_HALF_OFF);
    kc_a64_tcr_decode(15, false, &h);
    cr_expect_eq(h.state, KC_A64_HALF_BAD_SIZE);
    kc_a64_tcr_decode(40, false, &h);
    cr_expect_eq(h.state, KC_A64_HALF_BAD_SIZE);
    for (uint32_t i = 0; i < KC_A64_HALF_STATE_COUNT; i++) {
        cr_expect_str_neq(kc_a64_half_state_name((enum kc_a64_half_state)i), "?");
    }
    cr_expect_str_eq(kc_a64_half_state_name(KC_A64_HALF_STATE_COUNT), "?");
}

/* What kc_a64_tcr() makes, kc_a64_tcr_decode() reads. */
Test(regs, tcr_goes_both_ways)
{
    static const uint8_t pa_bits[] = {32, 36, 40, 42, 44, 48};
    for (uint32_t va = 25; va <= 48; va++) {
        for (size_t i = 0; i < KC_ARRAY_COUNT(pa_bits); i++) {
            struct kc_a64_format low = {KC_A64_STAGE1,     12, (uint8_t)va, pa_bits[i], 0, 0,
                                        KC_A64_FEAT_ASID16};
            struct kc_a64_format high = low;
            struct kc_a64_half h;
            uint64_t tcr = 0;
            high.upper = 1;
            high.va_bits = (uint8_t)(73 - va);
            cr_assert_eq(kc_a64_tcr(&low, &high, &tcr), KC_OK);
            kc_a64_tcr_decode(tcr, false, &h);
            cr_assert_eq(__builtin_memcmp(&h.format, &low, sizeof(low)), 0);
            kc_a64_tcr_decode(tcr, true, &h);
            cr_assert_eq(__builtin_memcmp(&h.format, &high, sizeof(high)), 0);
        }
    }
}
