/* SPDX-License-Identifier: BSD-2-Clause */
/* access: permissions as the tables of DDI 0487 J.a, D8.4 have them. */
#include <kc/a64/access.h>

#include "kc_test.h"

/* Letters of what is allowed: data at EL1 and EL0, execution at EL1 and EL0. */
struct row {
    const char *cite;
    struct kc_a64_leaf l;
    struct kc_a64_limits by;
    const char *el1; /* "rwx" with - for what is refused */
    const char *el0;
};

static const struct row rows[] = {
    /* D8.4.1, "Data access permissions, stage 1, two privilege levels", with UXN = PXN = 1 */
    {"AP 0b00", {.ap = 0, .uxn = true, .pxn = true}, {0}, "rw-", "---"},
    {"AP 0b01", {.ap = 1, .uxn = true, .pxn = true}, {0}, "rw-", "rw-"},
    {"AP 0b10", {.ap = 2, .uxn = true, .pxn = true}, {0}, "r--", "---"},
    {"AP 0b11", {.ap = 3, .uxn = true, .pxn = true}, {0}, "r--", "r--"},
    /* APTable: 0b01 no access from EL0, 0b10 read-only, 0b11 both */
    {"APTable 0b01", {.ap = 1, .uxn = true, .pxn = true}, {.ap_table = 1}, "rw-", "---"},
    {"APTable 0b10", {.ap = 1, .uxn = true, .pxn = true}, {.ap_table = 2}, "r--", "r--"},
    {"APTable 0b11", {.ap = 1, .uxn = true, .pxn = true}, {.ap_table = 3}, "r--", "---"},
    /* D8.4.2, "Instruction execution permissions" */
    {"UXN 0, PXN 0, AP 0b00: EL0 executes what it cannot read", {.ap = 0}, {0}, "rwx", "--x"},
    {"AP 0b01: what EL0 writes EL1 never executes", {.ap = 1}, {0}, "rw-", "rwx"},
    {"AP 0b10", {.ap = 2}, {0}, "r-x", "--x"},
    {"AP 0b11", {.ap = 3}, {0}, "r-x", "r-x"},
    {"AP 0b11, PXN", {.ap = 3, .pxn = true}, {0}, "r--", "r-x"},
    {"AP 0b11, UXN", {.ap = 3, .uxn = true}, {0}, "r-x", "r--"},
    {"PXNTable", {.ap = 3}, {.pxn_table = true}, "r--", "r-x"},
    {"UXNTable", {.ap = 3}, {.uxn_table = true}, "r-x", "r--"},
    /* SCTLR_EL1.WXN: writable at the level in question implies XN */
    {"WXN, AP 0b00", {.ap = 0}, {.wxn = true}, "rw-", "--x"},
    {"WXN, AP 0b01", {.ap = 1}, {.wxn = true}, "rw-", "rw-"},
    {"WXN, AP 0b10", {.ap = 2}, {.wxn = true}, "r-x", "--x"},
    {"WXN, AP 0b01 made read-only by APTable",
     {.ap = 1},
     {.wxn = true, .ap_table = 2},
     "r-x",
     "r-x"},
    /* D8.4.3: PAN takes EL1's data accesses to what EL0 may access; not its fetches */
    {"PAN, AP 0b11", {.ap = 3}, {.pan = true}, "--x", "r-x"},
    {"PAN, AP 0b01 out of EL0's reach by APTable",
     {.ap = 1},
     {.pan = true, .ap_table = 1},
     "rwx",
     "--x"},
    {"PAN, AP 0b00", {.ap = 0, .pxn = true}, {.pan = true}, "rw-", "--x"},
};

static void expect(const struct row *r, bool el0)
{
    const char *want = el0 ? r->el0 : r->el1;
    for (uint32_t i = 0; i < 3; i++) {
        struct kc_a64_access a = {.write = i == 1, .fetch = i == 2, .el0 = el0};
        bool allowed = kc_a64_access_judge(&r->l, &r->by, a) == KC_A64_ALLOWED;
        cr_expect_eq(allowed, want[i] != '-', "%s: EL%d %c", r->cite, el0 ? 0 : 1, "rwx"[i]);
    }
}

Test(access, permissions_are_as_in_the_manual)
{
    for (size_t i = 0; i < KC_ARRAY_COUNT(rows); i++) {
        expect(&rows[i], false);
        expect(&rows[i], true);
    }
}

static enum kc_a64_refusal judge(struct kc_a64_leaf l, struct kc_a64_limits by, const char *what)
{
    struct kc_a64_access a = {
        .write = what[0] == 'w', .fetch = what[0] == 'x', .el0 = what[1] == '0'};
    return kc_a64_access_judge(&l, &by, a);
}

Test(access, the_bit_that_refuses_is_named)
{
    struct kc_a64_limits none = {0};
    struct kc_a64_leaf open = {.ap = 1};
    struct kc_a64_leaf kernel = {.ap = 0};
    struct kc_a64_leaf read_only = {.ap = 3};
    cr_expect_eq((int)judge(kernel, none, "r0"), KC_A64_REFUSED_AP1);
    cr_expect_eq((int)judge(open, (struct kc_a64_limits){.ap_table = 1}, "w0"),
                 KC_A64_REFUSED_AP1_TABLE);
    cr_expect_eq((int)judge(open, (struct kc_a64_limits){.pan = true}, "r1"), KC_A64_REFUSED_PAN);
    cr_expect_eq((int)judge(read_only, none, "w1"), KC_A64_REFUSED_AP2);
    cr_expect_eq((int)judge(open, (struct kc_a64_limits){.ap_table = 2}, "w1"),
                 KC_A64_REFUSED_AP2_TABLE);
    cr_expect_eq((int)judge((struct kc_a64_leaf){.ap = 3, .uxn = true}, none, "x0"),
                 KC_A64_REFUSED_UXN);
    cr_expect_eq((int)judge(read_only, (struct kc_a64_limits){.uxn_table = true}, "x0"),
                 KC_A64_REFUSED_UXN_TABLE);
    cr_expect_eq((int)judge((struct kc_a64_leaf){.pxn = true}, none, "x1"), KC_A64_REFUSED_PXN);
    cr_expect_eq((int)judge(read_only, (struct kc_a64_limits){.pxn_table = true}, "x1"),
                 KC_A64_REFUSED_PXN_TABLE);
    cr_expect_eq((int)judge(open, none, "x1"), KC_A64_REFUSED_EL0_WRITES);
    cr_expect_eq((int)judge(kernel, (struct kc_a64_limits){.wxn = true}, "x1"), KC_A64_REFUSED_WXN);
    for (uint32_t i = 0; i < KC_A64_REFUSAL_COUNT; i++) {
        cr_expect_str_neq(kc_a64_refusal_text((enum kc_a64_refusal)i), "?");
    }
    cr_expect_str_eq(kc_a64_refusal_text(KC_A64_REFUSAL_COUNT), "?");
}
