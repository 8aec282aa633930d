/* SPDX-License-Identifier: BSD-2-Clause */
#include "kc_test.h"

#include <kc/bits.h>

#include "kc_bytes.h"

#define MAX UINT64_MAX

Test(bits, add_u64_fits_or_says_so)
{
    uint64_t r = 42;
    cr_expect(kc_add_u64(MAX - 1, 1, &r));
    cr_expect_eq(r, MAX);
    cr_expect_not(kc_add_u64(MAX, 1, &r));
    cr_expect_not(kc_add_u64(MAX, MAX, &r));
    cr_expect_eq(r, MAX, "untouched on overflow");
    cr_expect(kc_add_u64(0, 0, &r));
    cr_expect_eq(r, 0);
}

Test(bits, mul_u64_fits_or_says_so)
{
    uint64_t r = 42;
    cr_expect(kc_mul_u64(UINT64_C(1) << 32, UINT32_MAX, &r));
    cr_expect_eq(r, UINT64_C(0xffffffff00000000));
    cr_expect_not(kc_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &r));
    cr_expect_eq(r, UINT64_C(0xffffffff00000000));
    cr_expect(kc_mul_u64(MAX, 0, &r));
    cr_expect_eq(r, 0);
    cr_expect(kc_mul_u64(MAX, 1, &r));
    cr_expect_eq(r, MAX);
}

Test(bits, size_forms_are_as_wide_as_size_t)
{
    size_t r = 42;
    cr_expect(kc_add_size(SIZE_MAX - 1, 1, &r));
    cr_expect_eq(r, SIZE_MAX);
    cr_expect_not(kc_add_size(SIZE_MAX, 1, &r));
    cr_expect(kc_mul_size(SIZE_MAX / 2, 2, &r));
    cr_expect_eq(r, SIZE_MAX - 1);
    cr_expect_not(kc_mul_size(SIZE_MAX / 2 + 1, 2, &r));
    cr_expect_eq(r, SIZE_MAX - 1);
}

Test(bits, powers_of_two)
{
    cr_expect_not(kc_is_pow2(0));
    cr_expect_not(kc_is_pow2(3));
    cr_expect_not(kc_is_pow2(MAX));
    for (uint32_t n = 0; n < 64; n++) {
        cr_expect(kc_is_pow2(KC_BIT(n)));
        cr_expect_eq(kc_log2_floor(KC_BIT(n)), n);
        cr_expect_eq(kc_log2_ceil(KC_BIT(n)), n);
        if (n > 1) {
            cr_expect_not(kc_is_pow2(KC_BIT(n) - 1));
            cr_expect_eq(kc_log2_floor(KC_BIT(n) - 1), n - 1);
            cr_expect_eq(kc_log2_ceil(KC_BIT(n) - 1), n);
        }
        if (n > 0 && n < 63) {
            cr_expect_eq(kc_log2_floor(KC_BIT(n) + 1), n);
            cr_expect_eq(kc_log2_ceil(KC_BIT(n) + 1), n + 1);
        }
    }
    cr_expect_eq(kc_log2_ceil(MAX), 64);
}

Test(bits, alignment)
{
    uint64_t r = 42;
    cr_expect(kc_is_aligned(0, 4096));
    cr_expect(kc_is_aligned(8192, 4096));
    cr_expect_not(kc_is_aligned(8193, 4096));
    cr_expect(kc_is_aligned(MAX, 1));
    cr_expect_eq(kc_align_down(8191, 4096), 4096);
    cr_expect_eq(kc_align_down(MAX, 4096), MAX - 4095);
    cr_expect(kc_align_up(4097, 4096, &r));
    cr_expect_eq(r, 8192);
    cr_expect(kc_align_up(MAX - 4095, 4096, &r));
    cr_expect_eq(r, MAX - 4095);
    cr_expect_not(kc_align_up(MAX - 4094, 4096, &r), "would be 2^64");
    cr_expect_eq(r, MAX - 4095, "untouched");
    cr_expect(kc_align_up(0, KC_BIT(63), &r));
    cr_expect_eq(r, 0);
}

Test(bits, masks_and_fields)
{
    cr_expect_eq(KC_MASK(63, 0), MAX);
    cr_expect_eq(KC_MASK(0, 0), 1);
    cr_expect_eq(KC_MASK(47, 12), UINT64_C(0x0000fffffffff000));
    cr_expect_eq(KC_MASK(63, 63), KC_BIT(63));
    cr_expect_eq(kc_field_get(UINT64_C(0xabcd), 15, 8), 0xab);
    cr_expect_eq(kc_field_set(UINT64_C(0xabcd), 15, 8, 0x12), 0x12cd);
    cr_expect_eq(kc_field_set(0, 3, 0, 0x1f), 0xf, "what does not fit is dropped");
    cr_expect_eq(kc_field_get(MAX, 63, 0), MAX);
}

/* ranges: |from|size|. Pictures: a is the first, b the second. */

Test(bits, range_fits_up_to_the_last_byte)
{
    cr_expect(kc_range_fits(0, 0));
    cr_expect(kc_range_fits(MAX, 0));
    cr_expect(kc_range_fits(MAX, 1));
    cr_expect_not(kc_range_fits(MAX, 2));
    cr_expect(kc_range_fits(0, MAX));
    cr_expect(kc_range_fits(1, MAX));
    cr_expect_not(kc_range_fits(2, MAX));
    cr_expect(kc_range_fits(MAX - 4095, 4096));
    cr_expect_not(kc_range_fits(MAX - 4095, 4097));
}

Test(bits, range_has)
{
    cr_expect_not(kc_range_has(10, 5, 9));
    cr_expect(kc_range_has(10, 5, 10));
    cr_expect(kc_range_has(10, 5, 14));
    cr_expect_not(kc_range_has(10, 5, 15));
    cr_expect_not(kc_range_has(10, 0, 10));
    cr_expect(kc_range_has(MAX, 1, MAX));
    cr_expect_not(kc_range_has(MAX, 1, 0));
}

/*  outer |----------|
 *  inner |--|, |----|, |-...-| past the end, before, empty  */
Test(bits, range_covers)
{
    cr_expect(kc_range_covers(10, 5, 10, 5));
    cr_expect(kc_range_covers(10, 5, 14, 1));
    cr_expect_not(kc_range_covers(10, 5, 14, 2));
    cr_expect_not(kc_range_covers(10, 5, 15, 1));
    cr_expect_not(kc_range_covers(10, 5, 9, 2));
    cr_expect_not(kc_range_covers(10, 5, 12, 0), "the empty range is in nothing");
    cr_expect_not(kc_range_covers(10, 5, 11, MAX), "and neither is one that wraps");
    cr_expect_not(kc_range_covers(10, 0, 10, 1));
    cr_expect(kc_range_covers(MAX - 1, 2, MAX, 1));
}

Test(bits, range_meets)
{
    cr_expect(kc_range_meets(10, 5, 14, 1));
    cr_expect(kc_range_meets(14, 1, 10, 5));
    cr_expect_not(kc_range_meets(10, 5, 15, 1), "touching is not meeting");
    cr_expect_not(kc_range_meets(15, 1, 10, 5));
    cr_expect_not(kc_range_meets(10, 5, 12, 0));
    cr_expect_not(kc_range_meets(12, 0, 10, 5));
    cr_expect(kc_range_meets(0, MAX, MAX - 1, 1));
    cr_expect_not(kc_range_meets(0, MAX, MAX, 1));
    cr_expect(kc_range_meets(MAX, 1, MAX, 1));
}

/* All ranges in a space of 6 bits, scaled to the top of 64, beside counting. Exhaustive: 2^12. */
Test(bits, ranges_agree_with_counting)
{
    const uint64_t origin = MAX - 15;
    for (uint32_t a = 0; a < 16; a++) {
        for (uint32_t n = 0; n <= 16 - a; n++) {
            cr_assert(kc_range_fits(origin + a, n));
            for (uint32_t b = 0; b < 16; b++) {
                bool has = b >= a && b < a + n;
                cr_assert_eq(kc_range_has(origin + a, n, origin + b), has);
                for (uint32_t k = 0; k <= 16 - b; k++) {
                    bool meets = false;
                    bool covers = k != 0;
                    for (uint32_t x = b; x < b + k; x++) {
                        bool in = x >= a && x < a + n;
                        meets = meets || in;
                        covers = covers && in;
                    }
                    cr_assert_eq(kc_range_meets(origin + a, n, origin + b, k), meets);
                    cr_assert_eq(kc_range_covers(origin + a, n, origin + b, k), covers);
                }
            }
        }
    }
}

Test(bits, random_sums_and_products_agree_with_long_arithmetic)
{
    uint64_t state = kc_test_seed();
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t a = kc_random(&state) >> (kc_random(&state) % 64);
        uint64_t b = kc_random(&state) >> (kc_random(&state) % 64);
        uint64_t r = 0;
        bool sum_fits = a <= MAX - b;
        cr_assert_eq(kc_add_u64(a, b, &r), sum_fits);
        cr_assert_eq(r, sum_fits ? a + b : 0);
        r = 0;
        bool product_fits = b == 0 || a <= MAX / b;
        cr_assert_eq(kc_mul_u64(a, b, &r), product_fits);
        cr_assert_eq(r, product_fits ? a * b : 0);
    }
}

/* Neither the values nor the distances between them repeat, whatever counter is mixed. */
Test(bits, mixing_leaves_no_series)
{
    uint64_t n = kc_test_seed();
    for (uint32_t step = 1; step <= 1u << 20; step <<= 5) {
        uint32_t steady = 0;
        uint32_t before = (uint32_t)(kc_mix_u64(n) >> 32) % 7;
        uint32_t distance = 7;
        for (uint32_t i = 1; i <= 1000; i++) {
            cr_assert_neq(kc_mix_u64(n + i * step), kc_mix_u64(n));
            uint32_t at = (uint32_t)(kc_mix_u64(n + i * step) >> 32) % 7;
            steady += (at + 7 - before) % 7 == distance;
            distance = (at + 7 - before) % 7;
            before = at;
        }
        cr_expect_lt(steady, 250, "step %u: %u", step, steady); /* one in 7, if by chance */
    }
}
