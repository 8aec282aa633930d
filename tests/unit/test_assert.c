/* SPDX-License-Identifier: BSD-2-Clause */
#include "kc_test.h"

#include <kc/assert.h>

static struct kc_misuse misuse;

static struct kc_misuse_report report(enum kc_misuse_kind kind, uint64_t address)
{
    struct kc_misuse_report r = {kind, "kc_x_free", "box", address, 16, 24, 0, NULL};
    return r;
}

static int line_of_check;

static void check_that_it_is_two(int v)
{
    line_of_check = __LINE__ + 1;
    KC_CHECK(v == 2);
}

Test(assert, check_stops_with_file_line_and_expression)
{
    check_that_it_is_two(2);
    KC_TEST_PANICS((check_that_it_is_two(1), 0));
    const struct kc_panic *p = kc_test_last_panic();
    cr_assert_not_null(p);
    cr_expect_str_eq(p->what, "v == 2");
    cr_expect_eq(p->line, line_of_check);
    cr_expect_str_eq(p->file, __FILE__);
    cr_expect_null(p->text);
}

static void panic_out_of_luck(void)
{
    KC_PANIC("out of luck");
}

Test(assert, panic_carries_its_text)
{
    KC_TEST_PANICS((panic_out_of_luck(), 0));
    cr_expect_str_eq(kc_test_last_panic()->text, "out of luck");
    cr_expect_str_eq(kc_test_last_panic()->what, "panic");
}

static uint32_t evaluated;

static bool is_true(bool v)
{
    evaluated++;
    return v;
}

static void assert_that(bool v)
{
    KC_ASSERT(is_true(v));
}

static void audit_that(bool v)
{
    KC_AUDIT(is_true(v));
}

/* A level that is not built does not even evaluate its condition. */
Test(assert, levels_are_built_or_not)
{
    evaluated = 0;
    assert_that(true);
    cr_expect_eq(evaluated, KC_ASSERT_LEVEL >= KC_ASSERT_LEVEL_ASSERT ? 1 : 0);
    evaluated = 0;
    audit_that(true);
    cr_expect_eq(evaluated, KC_ASSERT_LEVEL >= KC_ASSERT_LEVEL_AUDIT ? 1 : 0);
#if KC_ASSERT_LEVEL >= KC_ASSERT_LEVEL_ASSERT
    KC_TEST_PANICS((assert_that(false), 0));
#else
    assert_that(false);
#endif
#if KC_ASSERT_LEVEL >= KC_ASSERT_LEVEL_AUDIT
    KC_TEST_PANICS((audit_that(false), 0));
#else
    audit_that(false);
#endif
}

Test(assert, misuse_is_counted_by_kind)
{
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
    for (uint32_t k = 0; k < KC_MISUSE_KIND_COUNT; k++) {
        struct kc_misuse_report r = report((enum kc_misuse_kind)k, 0x1000 + k);
        for (uint32_t i = 0; i <= k; i++) {
            kc_misuse_raise(&misuse, &r);
        }
        cr_expect_eq(misuse.count[k], k + 1);
        cr_expect_eq((uint32_t)misuse.last.kind, k);
        cr_expect_eq(misuse.last.address, 0x1000 + k);
    }
    cr_expect_eq(kc_misuse_total(&misuse), KC_MISUSE_KIND_COUNT * (KC_MISUSE_KIND_COUNT + 1) / 2);
    cr_expect_str_eq(misuse.last.where, "kc_x_free");
    cr_expect_str_eq(misuse.last.object, "box");
    cr_expect_eq(misuse.last.expected, 16);
    cr_expect_eq(misuse.last.found, 24);
}

Test(assert, policy_report_returns)
{
    struct kc_misuse_report r = report(KC_MISUSE_DOUBLE_FREE, 0x40);
    kc_misuse_init(&misuse, KC_MISUSE_REPORT);
    kc_misuse_raise(&misuse, &r);
    cr_expect_eq(misuse.count[KC_MISUSE_DOUBLE_FREE], 1);
}

Test(assert, policy_panic_stops_and_counts)
{
    struct kc_misuse_report r = report(KC_MISUSE_FOREIGN, 0x40);
    kc_misuse_init(&misuse, KC_MISUSE_PANIC);
    KC_TEST_PANICS((kc_misuse_raise(&misuse, &r), 0));
    cr_expect_eq(misuse.count[KC_MISUSE_FOREIGN], 1);
}

Test(assert, no_misuse_object_acts_as_report)
{
    struct kc_misuse_report r = report(KC_MISUSE_CORRUPT, 0x40);
    r.object = NULL;
    kc_misuse_raise(NULL, &r);
}

Test(assert, unknown_kind_of_misuse_panics)
{
    struct kc_misuse_report r = report(KC_MISUSE_KIND_COUNT, 0);
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    KC_TEST_PANICS((kc_misuse_raise(&misuse, &r), 0));
    cr_expect_eq(kc_misuse_total(&misuse), 0);
}

Test(assert, init_forgets)
{
    struct kc_misuse_report r = report(KC_MISUSE_BUSY, 1);
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    kc_misuse_raise(&misuse, &r);
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
    cr_expect_eq(misuse.last.address, 0);
}

Test(assert, every_kind_of_misuse_has_its_own_name)
{
    for (uint32_t i = 0; i < KC_MISUSE_KIND_COUNT; i++) {
        const char *name = kc_misuse_kind_name((enum kc_misuse_kind)i);
        cr_expect_str_neq(name, "?");
        for (uint32_t j = 0; j < i; j++) {
            cr_expect_str_neq(name, kc_misuse_kind_name((enum kc_misuse_kind)j));
        }
    }
    cr_expect_str_eq(kc_misuse_kind_name(KC_MISUSE_KIND_COUNT), "?");
}
