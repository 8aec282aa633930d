/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cases of which every one named bad_ must fail, and every one named good_ must pass, under either
 * implementation. harness/expect_failures.sh runs them and compares.
 */
#include "kc_test.h"

static void fail_in_init(void)
{
    cr_assert_fail("init");
}

static void panic_now(void)
{
    KC_PANIC("on purpose");
}

static int one = 1;

Test(known, bad_assert)
{
    cr_assert(one == 2);
}

Test(known, bad_assert_not)
{
    cr_assert_not(one == 1, "with a message %d", one);
}

Test(known, bad_eq)
{
    cr_assert_eq(one, 2, "with a message");
}

Test(known, bad_neq)
{
    cr_assert_neq(one, 1);
}

Test(known, bad_lt)
{
    cr_assert_lt(one, 1);
}

Test(known, bad_leq)
{
    cr_assert_leq(one, 0);
}

Test(known, bad_gt)
{
    cr_assert_gt(one, 1);
}

Test(known, bad_geq)
{
    cr_assert_geq(one, 2);
}

Test(known, bad_null)
{
    cr_assert_null(&one);
}

Test(known, bad_not_null)
{
    int *p = one == 1 ? NULL : &one;
    cr_assert_not_null(p);
}

Test(known, bad_str_eq)
{
    cr_assert_str_eq("ab", "abc");
}

Test(known, bad_str_neq)
{
    cr_assert_str_neq("ab", "ab");
}

Test(known, bad_arr_eq)
{
    cr_assert_arr_eq("abc", "abd", 3);
}

Test(known, bad_fail)
{
    cr_assert_fail("reached");
}

Test(known, bad_expect_goes_on)
{
    static bool went_on;
    cr_expect(one == 2);
    cr_expect_eq(one, 2);
    went_on = true;
    /* If it had not gone on, only this line could not print; the script looks for it. */
    kc_test_printf("# went on: %d\n", went_on);
}

Test(known, bad_init, .init = fail_in_init)
{
    kc_test_printf("# ran in spite of init\n");
}

Test(known, bad_no_panic)
{
    KC_TEST_PANICS(one + 1);
}

Test(known, bad_unexpected_panic)
{
    panic_now();
}

static void assert_inside(void)
{
    cr_assert_fail("inside an expected panic");
}

Test(known, bad_assert_inside_expected_panic)
{
    KC_TEST_PANICS(assert_inside());
}

Test(known, bad_panic_after_expected_panic)
{
    KC_TEST_PANICS(panic_now());
    panic_now();
}

Test(known, good_after_all_that)
{
    cr_assert_eq(one, one);
    KC_TEST_PANICS(panic_now());
}
