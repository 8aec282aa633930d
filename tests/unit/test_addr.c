/* SPDX-License-Identifier: BSD-2-Clause */
#include "kc_test.h"

#include <kc/addr.h>

/* What must hold of each kind; that kinds do not mix is shown by tests/compile_fail. */
#define CHECK_KIND(K)                                                             \
    Test(addr, K##_arithmetic)                                                    \
    {                                                                             \
        kc_##K##_t a = kc_##K(0x1000);                                            \
        kc_##K##_t b = kc_##K(0x2fff);                                            \
        kc_##K##_t sum = kc_##K(7);                                               \
        cr_expect_eq(kc_##K##_raw(a), 0x1000);                                    \
        cr_expect(kc_##K##_eq(a, kc_##K(0x1000)));                                \
        cr_expect_not(kc_##K##_eq(a, b));                                         \
        cr_expect(kc_##K##_lt(a, b));                                             \
        cr_expect_not(kc_##K##_lt(b, a));                                         \
        cr_expect_not(kc_##K##_lt(a, a));                                         \
        cr_expect_eq(kc_##K##_diff(b, a), 0x1fff);                                \
        cr_expect(kc_##K##_add(a, 0x1fff, &sum));                                 \
        cr_expect(kc_##K##_eq(sum, b));                                           \
        cr_expect_not(kc_##K##_add(b, UINT64_MAX, &sum));                         \
        cr_expect(kc_##K##_eq(sum, b), "untouched when it wraps");                \
        cr_expect(kc_##K##_is_aligned(a, 4096));                                  \
        cr_expect_not(kc_##K##_is_aligned(b, 4096));                              \
        cr_expect_eq(kc_##K##_raw(kc_##K##_align_down(b, 4096)), 0x2000);         \
    }                                                                             \
    Test(addr, K##_ranges)                                                        \
    {                                                                             \
        kc_##K##_range_t page = kc_##K##_range(kc_##K(0x1000), 0x1000);           \
        kc_##K##_range_t next = kc_##K##_range(kc_##K(0x2000), 0x1000);           \
        kc_##K##_range_t both = kc_##K##_range(kc_##K(0x1000), 0x2000);           \
        kc_##K##_range_t last = kc_##K##_range(kc_##K(UINT64_MAX - 4095), 4096);  \
        kc_##K##_range_t wraps = kc_##K##_range(kc_##K(UINT64_MAX - 4095), 4097); \
        cr_expect(kc_##K##_range_fits(page));                                     \
        cr_expect(kc_##K##_range_fits(last));                                     \
        cr_expect_not(kc_##K##_range_fits(wraps));                                \
        cr_expect(kc_##K##_range_has(page, kc_##K(0x1fff)));                      \
        cr_expect_not(kc_##K##_range_has(page, kc_##K(0x2000)));                  \
        cr_expect(kc_##K##_range_has(last, kc_##K(UINT64_MAX)));                  \
        cr_expect(kc_##K##_range_covers(both, next));                             \
        cr_expect_not(kc_##K##_range_covers(next, both));                         \
        cr_expect(kc_##K##_range_meets(both, next));                              \
        cr_expect_not(kc_##K##_range_meets(page, next));                          \
        cr_expect_eq(sizeof(kc_##K##_t), 8);                                      \
    }

CHECK_KIND(pa)
CHECK_KIND(va)
CHECK_KIND(uva)
CHECK_KIND(ipa)
CHECK_KIND(dva)
CHECK_KIND(ia)
