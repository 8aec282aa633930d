/* SPDX-License-Identifier: BSD-2-Clause */
/* The harness where it must say yes; harness/known_failures.c is where it must say no. */
#include "kc_test.h"

static int inits;

static void count_init(void)
{
    inits++;
}

TestSuite(harness_suite, .init = count_init);

Test(harness_suite, suite_init_runs_before_the_case)
{
    cr_assert_eq(inits, 1);
    inits = 0;
}

Test(harness_suite, case_init_runs_after_the_suites, .init = count_init)
{
    cr_assert_eq(inits, 2);
    inits = 0;
}

Test(harness, disabled_cases_do_not_run, .disabled = true)
{
    cr_assert_fail("ran");
}

Test(harness, true_conditions_pass)
{
    const char *text = "abc";
    uint64_t big = UINT64_MAX;
    void *nothing = NULL;

    cr_assert(1 < 2);
    cr_assert_not(2 < 1, "with a message %d", 1);
    cr_assert_eq(big, UINT64_MAX);
    cr_assert_neq(big, 0);
    cr_assert_lt(1u, 2u);
    cr_assert_leq(2, 2);
    cr_assert_gt(2, 1);
    cr_assert_geq(2, 2);
    cr_assert_null(nothing);
    cr_assert_not_null(text);
    cr_assert_str_eq(text, "abc");
    cr_assert_str_neq(text, "abd");
    cr_assert_arr_eq(text, "abX", 2);
    cr_expect(true);
    cr_expect_eq(big + 1, 0, "wraps to %llu", (unsigned long long)(big + 1));
}

Test(harness, operands_are_evaluated_once)
{
    int n = 0;
    cr_assert_eq(n++, 0);
    cr_assert_eq(n, 1);
}

static void panic_now(void)
{
    KC_PANIC("on purpose");
}

Test(harness, panic_is_observed_and_described)
{
    KC_TEST_PANICS(panic_now());
    const struct kc_panic *why = kc_test_last_panic();
    cr_assert_not_null(why);
    cr_assert_str_eq(why->what, "panic");
    cr_assert_str_eq(why->text, "on purpose");
}

static int checks;

static void check_is_false(void)
{
    checks++;
    KC_CHECK(checks > 100);
}

Test(harness, panics_can_be_observed_many_times)
{
    for (int i = 0; i < 50; i++) {
        KC_TEST_PANICS(check_is_false());
    }
    cr_assert_eq(checks, 50);
    checks = 0;
    cr_assert_str_eq(kc_test_last_panic()->what, "checks > 100");
}

static int panics_inside(void)
{
    KC_TEST_PANICS(panic_now());
    KC_PANIC("outer");
}

Test(harness, panics_nest)
{
    KC_TEST_PANICS(panics_inside());
    cr_assert_str_eq(kc_test_last_panic()->text, "outer");
}

Test(harness, seed_stays_the_same_in_a_run)
{
    cr_assert_eq(kc_test_seed(), kc_test_seed());
}

static struct kc_boot_info boot_info;

static void ram_is_zeroed_and_writable(void)
{
    cr_assert(kc_test_ram(KC_MIB(1), &boot_info));
    cr_assert_eq(boot_info.version, KC_BOOT_VERSION);
    cr_assert_eq(boot_info.range_count, 1u);
    cr_assert_eq(boot_info.range[0].kind, (uint32_t)KC_BOOT_RAM);
    cr_assert_eq(boot_info.range[0].size, KC_MIB(1));
    uint8_t *p = kc_plat_ram(boot_info.range[0].base);
    for (size_t i = 0; i < KC_MIB(1); i += 509) {
        cr_assert_eq(p[i], 0);
        p[i] = 0xa5;
    }
    cr_assert(kc_pa_eq(kc_plat_ram_pa(p), boot_info.range[0].base));
}

/* Twice, so that the second sees what the first left if the runner did not clear it. */
Test(harness, ram_is_zeroed_first)
{
    ram_is_zeroed_and_writable();
}

Test(harness, ram_is_zeroed_second)
{
    ram_is_zeroed_and_writable();
}

Test(harness, ram_is_given_once_per_test)
{
    cr_assert(kc_test_ram(KC_KIB(64), &boot_info));
    cr_assert_not(kc_test_ram(KC_KIB(64), &boot_info));
}

static void format_is(const char *want, size_t n, const char *got)
{
    size_t length = __builtin_strlen(want);
    cr_assert_eq(n, length, "%s", got);
    cr_assert_str_eq(got, want);
}

Test(harness, format_is_printfs)
{
    char out[64];
    size_t n = kc_test_format(out, sizeof out, "%d %u %x %X", -5, 7u, 0xbeefu, 0xbeefu);
    format_is("-5 7 beef BEEF", n, out);
    n = kc_test_format(out, sizeof out, "%llu %lld", (unsigned long long)UINT64_MAX,
                       (long long)INT64_MIN);
    format_is("18446744073709551615 -9223372036854775808", n, out);
    n = kc_test_format(out, sizeof out, "[%5d|%-5d|%05d|%016llx]", -42, 42, -42, 0x1234ull);
    format_is("[  -42|42   |-0042|0000000000001234]", n, out);
    n = kc_test_format(out, sizeof out, "[%s|%8s|%-4s|%.2s|%.*s|%c|%%]", "a", "b", "c", "def", 1,
                       "gh", 'x');
    format_is("[a|       b|c   |de|g|x|%]", n, out);
    n = kc_test_format(out, sizeof out, "%zu %ld", sizeof(uint64_t), -1L);
    format_is("8 -1", n, out);
}

Test(harness, format_cuts_at_the_end_and_counts_on)
{
    char out[4] = {'x', 'x', 'x', 'x'};
    size_t n = kc_test_format(out, 3, "%s", "abcdef");
    cr_assert_eq(n, 6u);
    cr_assert_str_eq(out, "ab");
    cr_assert_eq(out[3], 'x');
}
