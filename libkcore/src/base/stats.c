/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counters, histograms, sequence counts.
 *
 * A histogram's buckets, for 3 significant bits; `shift` is how far a value is cut:
 *
 *     value    0 1 2 .. 7 | 8 9 .. 15 | 16-17 18-19 .. 30-31 | 32-35 ..
 *     shift         0     |     0     |          1           |    2
 *     bucket   0 1 2 .. 7 | 8 9 .. 15 | 16    17    .. 23    | 24    ..
 *
 * S1  A bucket of shift s holds 2^s neighbouring values, whose least is (8 + k) << s for a k below
 *     8: its width is at most an eighth of its least value.
 * S2  Buckets ascend with values and leave out none, up to 2^64 - 1 in the last.
 *
 * Reading while another CPU records gives each number as of some moment, not all as of one.
 */
#include <kc/stats.h>

KC_STATIC_ASSERT(sizeof(struct kc_counter) == (size_t)KC_CPUS_MAX * KC_LINE_BYTES,
                 "one line a CPU");

void kc_counter_init(struct kc_counter *c)
{
    for (uint32_t i = 0; i < KC_CPUS_MAX; i++) {
        __atomic_store_n(&c->cpu[i].value, 0, __ATOMIC_RELAXED);
    }
}

uint64_t kc_counter_read(const struct kc_counter *c)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < KC_CPUS_MAX; i++) {
        sum += __atomic_load_n(&c->cpu[i].value, __ATOMIC_RELAXED);
    }
    return sum;
}

void kc_hist_init(struct kc_hist *h)
{
    h->count = 0;
    h->sum = 0;
    h->max = 0;
    for (uint32_t i = 0; i < KC_HIST_BUCKETS; i++) {
        h->bucket[i] = 0;
    }
}

static uint32_t bucket_shift(uint32_t bucket)
{
    return bucket < 2 * KC_HIST_SUBS ? 0 : bucket / KC_HIST_SUBS - 1;
}

uint64_t kc_hist_bucket_min(uint32_t bucket)
{
    KC_ASSERT(bucket < KC_HIST_BUCKETS);
    if (bucket < KC_HIST_SUBS) {
        return bucket;
    }
    return (uint64_t)(KC_HIST_SUBS + bucket % KC_HIST_SUBS) << bucket_shift(bucket); /* S1 */
}

uint64_t kc_hist_bucket_max(uint32_t bucket)
{
    return kc_hist_bucket_min(bucket) + (KC_BIT(bucket_shift(bucket)) - 1);
}

void kc_hist_merge(struct kc_hist *to, const struct kc_hist *from)
{
    for (uint32_t i = 0; i < KC_HIST_BUCKETS; i++) {
        to->bucket[i] += __atomic_load_n(&from->bucket[i], __ATOMIC_RELAXED);
    }
    to->count += kc_hist_count(from);
    to->sum += kc_hist_sum(from);
    if (kc_hist_max(from) > to->max) {
        to->max = kc_hist_max(from);
    }
}

uint64_t kc_hist_count(const struct kc_hist *h)
{
    return __atomic_load_n(&h->count, __ATOMIC_RELAXED);
}

uint64_t kc_hist_sum(const struct kc_hist *h)
{
    return __atomic_load_n(&h->sum, __ATOMIC_RELAXED);
}

uint64_t kc_hist_max(const struct kc_hist *h)
{
    return __atomic_load_n(&h->max, __ATOMIC_RELAXED);
}

/* How many of `count` values `part` in a million are, rounded up, at least 1; count is not 0. */
static uint64_t rank_of(uint64_t count, uint32_t part)
{
    const uint64_t million = 1000000;
    /* count * part / million without a wide product: both factors below a million are small. */
    uint64_t whole = count / million * part;
    uint64_t rest = count % million * part;
    uint64_t rank = whole + rest / million + (rest % million != 0 ? 1 : 0);
    return rank == 0 ? 1 : rank;
}

uint64_t kc_hist_percentile(const struct kc_hist *h, uint32_t part)
{
    KC_ASSERT(part <= 1000000);
    uint64_t count = kc_hist_count(h);
    uint64_t max = kc_hist_max(h);
    if (count == 0) {
        return 0;
    }
    uint64_t rank = rank_of(count, part);
    uint64_t below = 0;
    for (uint32_t i = 0; i < KC_HIST_BUCKETS; i++) {
        below += __atomic_load_n(&h->bucket[i], __ATOMIC_RELAXED);
        if (below >= rank) {
            uint64_t top = kc_hist_bucket_max(i);
            return top < max ? top : max;
        }
    }
    return max; /* read while another CPU records: its count came before its bucket */
}

void kc_seq_init(struct kc_seq *s)
{
    __atomic_store_n(&s->count, 0, __ATOMIC_RELAXED);
}

uint32_t kc_seq_read_begin(const struct kc_seq *s)
{
    for (;;) {
        /* Acquire pairs with the release of kc_seq_write_end(): all of that write is seen. */
        uint32_t n = __atomic_load_n(&s->count, __ATOMIC_ACQUIRE);
        if ((n & 1) == 0) {
            return n;
        }
        kc_plat_relax();
    }
}
