/* SPDX-License-Identifier: BSD-2-Clause */
#include "kc_test.h"

#include <kc/fmt.h>

#pragma GCC diagnostic ignored "-Wformat" /* cases that are wrong on purpose */
#pragma GCC diagnostic ignored "-Wformat-extra-args"
#pragma GCC diagnostic ignored "-Wformat-zero-length"

static char buf[128];

#define FORMATS(text, ...)                                        \
    do {                                                          \
        size_t n_ = kc_fmt(buf, sizeof(buf), __VA_ARGS__);        \
        cr_expect_str_eq(buf, text);                              \
        cr_expect_eq(n_, sizeof(text) - 1, "length of %s", text); \
    } while (0)

Test(fmt, plain_text)
{
    FORMATS("", "");
    FORMATS("abc", "abc");
    FORMATS("100%", "100%%");
}

Test(fmt, signed_numbers)
{
    FORMATS("0", "%d", 0);
    FORMATS("-1", "%i", -1);
    FORMATS("2147483647", "%d", INT32_MAX);
    FORMATS("-2147483648", "%d", INT32_MIN);
    FORMATS("9223372036854775807", "%lld", (long long)INT64_MAX);
    FORMATS("-9223372036854775808", "%lld", (long long)INT64_MIN);
    FORMATS("-5", "%ld", -5L);
    FORMATS("-7", "%zd", (ptrdiff_t)-7);
}

Test(fmt, unsigned_and_hexadecimal_numbers)
{
    FORMATS("4294967295", "%u", UINT32_MAX);
    FORMATS("18446744073709551615", "%llu", (unsigned long long)UINT64_MAX);
    FORMATS("ffffffffffffffff", "%llx", (unsigned long long)UINT64_MAX);
    FORMATS("DEADbeef", "%X%x", 0xdeadu, 0xbeefu);
    FORMATS("0000000080000000", "%016llx", 0x80000000ULL);
    FORMATS("7", "%lu", 7UL);
    FORMATS("12", "%zu", (size_t)12);
    FORMATS("0x10", "%p", (void *)16);
    FORMATS("0x0", "%p", (void *)NULL);
}

Test(fmt, width_and_flags)
{
    FORMATS("    42", "%6d", 42);
    FORMATS("42    ", "%-6d", 42);
    FORMATS("000042", "%06d", 42);
    FORMATS("-00042", "%06d", -42);
    FORMATS("42    ", "%-06d", 42);
    FORMATS("12345", "%3d", 12345);
    FORMATS("   ab", "%5s", "ab");
    FORMATS("ab   |", "%-5s|", "ab");
    FORMATS("    x", "%5c", 'x');
    FORMATS("   42|42   ", "%*d|%*d", 5, 42, -5, 42);
    FORMATS("  0x10", "%6p", (void *)16);
}

Test(fmt, precision_of_strings)
{
    static const char no_zero[] = {'a', 'b', 'c'};
    FORMATS("ab", "%.2s", "abcdef");
    FORMATS("abc", "%.*s", 3, no_zero);
    FORMATS("abc", "%.*s", -1, "abc");
    FORMATS("   ab", "%5.2s", "abcdef");
    FORMATS("", "%.0s", no_zero);
    const char *volatile none = NULL;
    FORMATS("(null)", "%s", none);
}

Test(fmt, unknown_specification_ends_the_text_as_itself)
{
    FORMATS("a %f b %d", "a %f b %d", 1, 2);
    FORMATS("1 %", "%d %", 1);
    FORMATS("%hd", "%hd", 1);
    FORMATS("%n", "%n", NULL);
    FORMATS("%+d", "%+d", 1);
}

Test(fmt, short_buffers_are_cut_and_closed)
{
    static const char whole[] = "x = 0x1234 and more";
    for (size_t n = 0; n < sizeof(whole) + 4; n++) {
        __builtin_memset(buf, '#', sizeof(buf));
        size_t length = kc_fmt(buf, n, "x = 0x%x %s more", 0x1234u, "and");
        cr_assert_eq(length, sizeof(whole) - 1);
        size_t kept = n == 0 ? 0 : (n - 1 < sizeof(whole) - 1 ? n - 1 : sizeof(whole) - 1);
        for (size_t i = 0; i < kept; i++) {
            cr_assert_eq(buf[i], whole[i]);
        }
        if (n != 0) {
            cr_assert_eq(buf[kept], '\0');
        }
        cr_assert_eq(buf[n == 0 ? 0 : (kept + 1)], '#', "nothing beyond");
    }
    cr_expect_eq(kc_fmt(NULL, 0, "%d", 12345), 5);
}

Test(fmt, wide_fields_are_counted_not_kept)
{
    cr_expect_eq(kc_fmt(buf, 4, "%1000d", 7), 1000);
    cr_expect_str_eq(buf, "   ");
}
