/* SPDX-License-Identifier: BSD-2-Clause */
#include "kc_test.h"

#include <kc/stats.h>

#include "kc_bytes.h"

static struct kc_counter counter;
static struct kc_hist hist;
static struct kc_hist other;

Test(stats, counter_sums_all_cpus)
{
    kc_counter_init(&counter);
    cr_expect_eq(kc_counter_read(&counter), 0);
    kc_counter_add(&counter, 5);
    kc_counter_add(&counter, 7);
    cr_expect_eq(counter.cpu[kc_plat_cpu()].value, 12);
    cr_expect_eq(kc_counter_read(&counter), 12);
    for (uint32_t i = 0; i < KC_CPUS_MAX; i++) {
        counter.cpu[i].value = 100 + i;
    }
    cr_expect_eq(kc_counter_read(&counter),
                 100 * KC_CPUS_MAX + KC_CPUS_MAX * (KC_CPUS_MAX - 1) / 2);
}

Test(stats, counter_may_be_subtracted_elsewhere)
{
    kc_counter_init(&counter);
    counter.cpu[(kc_plat_cpu() + 1) % KC_CPUS_MAX].value = 10; /* added by another CPU */
    kc_counter_sub(&counter, 4);
    cr_expect_eq(kc_counter_read(&counter), 6);
}

Test(stats, counter_cells_do_not_share_lines)
{
    cr_expect_eq(sizeof(struct kc_counter_cell), KC_LINE_BYTES);
    cr_expect_eq((uintptr_t)&counter % KC_LINE_BYTES, 0);
}

/* S1, S2: every bucket, both its ends. */
Test(stats, buckets_are_dense_and_narrow)
{
    uint64_t expected_min = 0;
    for (uint32_t b = 0; b < KC_HIST_BUCKETS; b++) {
        uint64_t min = kc_hist_bucket_min(b);
        uint64_t max = kc_hist_bucket_max(b);
        cr_assert_eq(min, expected_min, "bucket %u", b);
        cr_assert_leq(min, max);
        cr_assert_eq(kc_hist_bucket(min), b);
        cr_assert_eq(kc_hist_bucket(max), b);
        cr_assert_leq(max - min, min / 8);
        expected_min = max + 1;
    }
    cr_expect_eq(expected_min, 0, "the last bucket ends with 2^64 - 1");
}

Test(stats, empty_histogram)
{
    kc_hist_init(&hist);
    cr_expect_eq(kc_hist_count(&hist), 0);
    cr_expect_eq(kc_hist_max(&hist), 0);
    cr_expect_eq(kc_hist_percentile(&hist, 500000), 0);
}

Test(stats, small_values_are_exact)
{
    kc_hist_init(&hist);
    for (uint64_t v = 1; v <= 10; v++) {
        kc_hist_record(&hist, v);
    }
    cr_expect_eq(kc_hist_count(&hist), 10);
    cr_expect_eq(kc_hist_sum(&hist), 55);
    cr_expect_eq(kc_hist_max(&hist), 10);
    cr_expect_eq(kc_hist_percentile(&hist, 0), 1, "the least");
    cr_expect_eq(kc_hist_percentile(&hist, 500000), 5);
    cr_expect_eq(kc_hist_percentile(&hist, 500001), 6);
    cr_expect_eq(kc_hist_percentile(&hist, 900000), 9);
    cr_expect_eq(kc_hist_percentile(&hist, 1000000), 10);
}

Test(stats, extreme_values)
{
    kc_hist_init(&hist);
    kc_hist_record(&hist, 0);
    kc_hist_record(&hist, UINT64_MAX);
    cr_expect_eq(kc_hist_percentile(&hist, 500000), 0);
    cr_expect_eq(kc_hist_percentile(&hist, 1000000), UINT64_MAX);
    cr_expect_eq(kc_hist_max(&hist), UINT64_MAX);
}

Test(stats, percentile_counts_billions_without_wrapping)
{
    kc_hist_init(&hist);
    hist.bucket[1] = UINT64_MAX / 2;
    hist.bucket[2] = UINT64_MAX / 2;
    hist.count = UINT64_MAX / 2 * 2;
    hist.max = 2;
    cr_expect_eq(kc_hist_percentile(&hist, 499000), 1);
    cr_expect_eq(kc_hist_percentile(&hist, 501000), 2);
}

#define VALUES 1000u
static uint64_t value[VALUES];

/* Never below the true percentile, above it by at most an eighth, never above the maximum. */
Test(stats, percentiles_agree_with_sorting)
{
    static const uint32_t parts[] = {0, 1000, 250000, 500000, 900000, 990000, 999000, 1000000};
    uint64_t state = kc_test_seed();
    kc_hist_init(&hist);
    for (uint32_t i = 0; i < VALUES; i++) {
        uint64_t v = kc_random(&state) >> (kc_random(&state) % 64);
        uint32_t at = i;
        for (; at > 0 && value[at - 1] > v; at--) {
            value[at] = value[at - 1];
        }
        value[at] = v;
        kc_hist_record(&hist, v);
    }
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(parts); i++) {
        uint32_t rank = (VALUES * parts[i] + 999999) / 1000000;
        uint64_t exact = value[rank == 0 ? 0 : rank - 1];
        uint64_t got = kc_hist_percentile(&hist, parts[i]);
        cr_expect_geq(got, exact);
        cr_expect_leq(got - exact, exact / 8);
        cr_expect_leq(got, value[VALUES - 1]);
    }
}

Test(stats, merge_is_as_if_recorded_together)
{
    static struct kc_hist both;
    uint64_t state = kc_test_seed();
    kc_hist_init(&hist);
    kc_hist_init(&other);
    kc_hist_init(&both);
    for (uint32_t i = 0; i < 500; i++) {
        uint64_t v = kc_random(&state) >> (kc_random(&state) % 64);
        kc_hist_record(i % 3 == 0 ? &hist : &other, v);
        kc_hist_record(&both, v);
    }
    kc_hist_merge(&hist, &other);
    cr_expect_arr_eq(&hist, &both, sizeof(both));
}

Test(stats, sequence_count_sees_a_write)
{
    struct kc_seq s;
    uint64_t a = 1;
    kc_seq_init(&s);
    uint32_t n = kc_seq_read_begin(&s);
    cr_expect_eq(kc_seq_load(&a), 1);
    cr_expect_not(kc_seq_read_retry(&s, n));
    kc_seq_write_begin(&s);
    kc_seq_store(&a, 2);
    cr_expect(kc_seq_read_retry(&s, n), "a write is under way");
    kc_seq_write_end(&s);
    cr_expect(kc_seq_read_retry(&s, n), "a write has been");
    n = kc_seq_read_begin(&s);
    cr_expect_eq(kc_seq_load(&a), 2);
    cr_expect_not(kc_seq_read_retry(&s, n));
}

#if KC_ASSERT_LEVEL >= KC_ASSERT_LEVEL_ASSERT
Test(stats, sequence_count_refuses_two_writers)
{
    struct kc_seq s;
    kc_seq_init(&s);
    KC_TEST_PANICS((kc_seq_write_end(&s), 0));
    kc_seq_write_begin(&s);
    KC_TEST_PANICS((kc_seq_write_begin(&s), 0));
}
#endif
