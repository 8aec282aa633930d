/* SPDX-License-Identifier: BSD-2-Clause */
/* kc/a64/change.h: which changes are safe while live, and the plans. C1 to C3 of a64/change.c. */
#include "kc_test.h"

#include <kc/a64/change.h>

static const struct kc_a64_format fmt = {KC_A64_STAGE1, 12, 48, 48, 0, 0, 0};

#define PAGE  UINT64_C(0x0060000080000f43) /* user data: nG, AP 1, PXN, UXN */
#define TABLE UINT64_C(0x0000000080001003)
#define BLOCK UINT64_C(0x0060000080000701)

/* DDI 0487 J.a, D8.14.1: what may change without a break; one row per field of a page. */
Test(change, fields_of_a_page)
{
    static const struct {
        const char *field;
        uint64_t flip;
        enum kc_a64_change change;
    } rows[] = {
        {"output address", KC_BIT(12), KC_A64_CHANGE_BREAK},
        {"output address, top", KC_BIT(47), KC_A64_CHANGE_BREAK},
        {"AttrIndx", KC_BIT(2), KC_A64_CHANGE_BREAK},
        {"NS", KC_BIT(5), KC_A64_CHANGE_BREAK},
        {"AP[1]", KC_BIT(6), KC_A64_CHANGE_BREAK},
        {"AP[2]", KC_BIT(7), KC_A64_CHANGE_LIVE},
        {"SH", KC_BIT(8) | KC_BIT(9), KC_A64_CHANGE_BREAK},
        {"AF", KC_BIT(10), KC_A64_CHANGE_LIVE},
        {"nG 1 to 0", KC_BIT(11), KC_A64_CHANGE_BREAK},
        {"GP", KC_BIT(50), KC_A64_CHANGE_BREAK},
        {"DBM", KC_BIT(51), KC_A64_CHANGE_LIVE},
        {"Contiguous", KC_BIT(52), KC_A64_CHANGE_GROUP},
        {"PXN", KC_BIT(53), KC_A64_CHANGE_LIVE},
        {"UXN", KC_BIT(54), KC_A64_CHANGE_LIVE},
        {"software", KC_BIT(55), KC_A64_CHANGE_LIVE},
        {"valid", KC_BIT(0), KC_A64_CHANGE_REMOVE},
        {"nothing", 0, KC_A64_CHANGE_NONE},
        {"a safe and an unsafe one", KC_BIT(53) | KC_BIT(12), KC_A64_CHANGE_BREAK},
    };
    for (size_t i = 0; i < KC_ARRAY_COUNT(rows); i++) {
        cr_expect_eq((int)kc_a64_change_classify(&fmt, 3, PAGE, PAGE ^ rows[i].flip),
                     (int)rows[i].change, "%s", rows[i].field);
    }
    cr_expect_eq((int)kc_a64_change_classify(&fmt, 3, PAGE & ~KC_BIT(11), PAGE), KC_A64_CHANGE_LIVE,
                 "nG 0 to 1");
}

Test(change, kinds)
{
    cr_expect_eq((int)kc_a64_change_classify(&fmt, 3, 0, PAGE), KC_A64_CHANGE_FRESH);
    cr_expect_eq((int)kc_a64_change_classify(&fmt, 3, PAGE, 0), KC_A64_CHANGE_REMOVE);
    cr_expect_eq((int)kc_a64_change_classify(&fmt, 3, 0, 2), KC_A64_CHANGE_IDLE);
    cr_expect_eq((int)kc_a64_change_classify(&fmt, 3, 1, PAGE), KC_A64_CHANGE_FRESH,
                 "0b01 at level 3 is never cached");
    cr_expect_eq((int)kc_a64_change_classify(&fmt, 2, BLOCK, TABLE), KC_A64_CHANGE_BREAK);
    cr_expect_eq((int)kc_a64_change_classify(&fmt, 2, TABLE, BLOCK), KC_A64_CHANGE_BREAK);
    cr_expect_eq((int)kc_a64_change_classify(&fmt, 2, TABLE, TABLE ^ KC_BIT(12)),
                 KC_A64_CHANGE_BREAK);
    cr_expect_eq((int)kc_a64_change_classify(&fmt, 2, TABLE, TABLE | KC_BIT(59)),
                 KC_A64_CHANGE_BREAK, "PXNTable");
    cr_expect_eq((int)kc_a64_change_classify(&fmt, 3, PAGE | KC_BIT(52), 0), KC_A64_CHANGE_GROUP);
    cr_expect_eq((int)kc_a64_change_classify(&fmt, 3, PAGE | KC_BIT(52), PAGE),
                 KC_A64_CHANGE_GROUP);
}

Test(change, size_needs_both_level_2_and_no_abort)
{
    struct kc_a64_format f = fmt;
    f.bbm = 2;
    cr_expect_eq((int)kc_a64_change_classify(&f, 2, BLOCK, TABLE), KC_A64_CHANGE_BREAK);
    f.features = KC_A64_FEAT_BBM2_NOABORT;
    cr_expect_eq((int)kc_a64_change_classify(&f, 2, BLOCK, TABLE), KC_A64_CHANGE_LIVE);
    f.bbm = 1;
    cr_expect_eq((int)kc_a64_change_classify(&f, 2, BLOCK, TABLE), KC_A64_CHANGE_BREAK);
}

static void expect_plan(uint32_t level, uint64_t before, uint64_t after, bool all_levels,
                        const uint8_t *steps, uint32_t count)
{
    struct kc_a64_plan plan;
    kc_a64_change_plan(&fmt, level, before, after, &plan);
    cr_expect_eq(plan.all_levels, all_levels);
    cr_assert_eq(plan.step_count, count);
    for (uint32_t i = 0; i < count; i++) {
        cr_expect_eq(plan.step[i], steps[i], "step %u", i);
    }
}

Test(change, plans)
{
    static const uint8_t fresh[] = {KC_A64_STEP_STORE, KC_A64_STEP_DSB_ISHST, KC_A64_STEP_ISB};
    static const uint8_t live[] = {KC_A64_STEP_STORE, KC_A64_STEP_DSB_ISHST, KC_A64_STEP_TLBI,
                                   KC_A64_STEP_DSB_ISH, KC_A64_STEP_ISB};
    static const uint8_t brk[] = {
        KC_A64_STEP_STORE_INVALID, KC_A64_STEP_DSB_ISHST, KC_A64_STEP_TLBI, KC_A64_STEP_DSB_ISH,
        KC_A64_STEP_STORE,         KC_A64_STEP_DSB_ISHST, KC_A64_STEP_ISB};
    static const uint8_t idle[] = {KC_A64_STEP_STORE};
    expect_plan(3, 0, PAGE, false, fresh, 3);
    expect_plan(3, PAGE, 0, false, live, 5);
    expect_plan(3, PAGE, PAGE ^ KC_BIT(7), false, live, 5);
    expect_plan(3, PAGE, PAGE ^ KC_BIT(12), false, brk, 7);
    expect_plan(2, TABLE, BLOCK, true, brk, 7);
    expect_plan(2, TABLE, 0, true, live, 5);
    expect_plan(3, 0, 2, false, idle, 1);
    expect_plan(3, PAGE, PAGE, false, idle, 0);
    expect_plan(3, PAGE | KC_BIT(52), PAGE, false, idle, 0);
    cr_expect_str_eq(kc_a64_step_name(KC_A64_STEP_DSB_ISHST), "DSB ISHST");
    cr_expect_str_eq(kc_a64_change_name(KC_A64_CHANGE_BREAK), "break");
    cr_expect_str_eq(kc_a64_change_name(KC_A64_CHANGE_COUNT), "?");
}
