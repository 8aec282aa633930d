/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/stats.h: counters and histograms that cost next to nothing to keep.
 *
 * struct kc_counter   one number per CPU, each on its own line, summed when read: adding is a load
 *                     and a store of the CPU's own line, no locked instruction
 * struct kc_hist      how often which value: a log-linear histogram with 3 significant bits
 * struct kc_seq       a sequence count: one writer at a time changes several numbers, readers get
 *                     all of them as of one moment, without a lock
 *
 * A counter and a histogram of one CPU are written by that CPU alone, with nothing on that CPU able
 * to interrupt in the middle that writes the same one; readers are anywhere. What allocators count
 * on their fast paths they do not count here at all: they derive it from refills and depths.
 */
#ifndef KC_STATS_H
#define KC_STATS_H

#include <kc/assert.h>

KC_EXTERN_C_BEGIN

/* ---- counter -------------------------------------------------------------------------------- */

struct kc_counter_cell {
    uint64_t value;
} KC_ALIGNED(KC_LINE_BYTES);

/* All zero bytes are a counter at 0. Private. */
struct kc_counter {
    struct kc_counter_cell cpu[KC_CPUS_MAX];
};

/** Make it 0. No other CPU uses it meanwhile. */
void kc_counter_init(struct kc_counter *c);

/**
 * Add n on this CPU; wraps at 2^64, so that adding 2^64 - n subtracts.
 *
 * Cost:    one load, one store
 * Context: this CPU's counter is not added to from an interrupt in the middle of this
 */
KC_INLINE void kc_counter_add(struct kc_counter *c, uint64_t n)
{
    uint64_t *v = &c->cpu[kc_plat_cpu()].value;
    __atomic_store_n(v, __atomic_load_n(v, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

/** Subtract n. Another CPU may have added it: only the sum means anything. */
KC_INLINE void kc_counter_sub(struct kc_counter *c, uint64_t n)
{
    kc_counter_add(c, 0 - n);
}

/**
 * The sum over all CPUs.
 *
 * While others add, it is some value between those before and after this call only if they all add
 * or all subtract; for an exact set of numbers use struct kc_seq.
 * Cost: KC_CPUS_MAX loads
 */
uint64_t kc_counter_read(const struct kc_counter *c);

/* ---- histogram ------------------------------------------------------------------------------ */

/*
 * Buckets: values below 8 have one each; above, each power of two is cut into 8 equal parts, so a
 * bucket's width is at most 1/8 of its least value. 64-bit values need 8 + 61 * 8 of them.
 */
#define KC_HIST_SUB_LOG2 3u
#define KC_HIST_SUBS     (1u << KC_HIST_SUB_LOG2)
#define KC_HIST_BUCKETS  (KC_HIST_SUBS + (64u - KC_HIST_SUB_LOG2) * KC_HIST_SUBS)

/* All zero bytes are an empty histogram. Private; one writer at a time. */
struct kc_hist {
    uint64_t count;
    uint64_t sum; /* modulo 2^64 */
    uint64_t max;
    uint64_t bucket[KC_HIST_BUCKETS];
};

/** Make it empty. */
void kc_hist_init(struct kc_hist *h);

/** Bucket of a value: 0 to KC_HIST_BUCKETS - 1, ascending with the value. */
KC_INLINE uint32_t kc_hist_bucket(uint64_t value)
{
    if (value < KC_HIST_SUBS) {
        return (uint32_t)value;
    }
    uint32_t shift = kc_log2_floor(value) - KC_HIST_SUB_LOG2;
    return (shift + 1) * KC_HIST_SUBS + (uint32_t)(value >> shift) - KC_HIST_SUBS;
}

/** Least and greatest value of a bucket below KC_HIST_BUCKETS. */
uint64_t kc_hist_bucket_min(uint32_t bucket);
uint64_t kc_hist_bucket_max(uint32_t bucket);

/** Count one value. Cost: O(1), four loads and stores. */
KC_INLINE void kc_hist_record(struct kc_hist *h, uint64_t value)
{
    uint64_t *b = &h->bucket[kc_hist_bucket(value)];
    __atomic_store_n(b, __atomic_load_n(b, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&h->sum, __atomic_load_n(&h->sum, __ATOMIC_RELAXED) + value, __ATOMIC_RELAXED);
    if (value > __atomic_load_n(&h->max, __ATOMIC_RELAXED)) {
        __atomic_store_n(&h->max, value, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&h->count, __atomic_load_n(&h->count, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

/** Add what `from` counted to `to`. Nobody writes `to` meanwhile. */
void kc_hist_merge(struct kc_hist *to, const struct kc_hist *from);

/** How many values were counted, their sum modulo 2^64, and the greatest (exact; 0 if none). */
uint64_t kc_hist_count(const struct kc_hist *h);
uint64_t kc_hist_sum(const struct kc_hist *h);
uint64_t kc_hist_max(const struct kc_hist *h);

/**
 * The value that at least `part` in a million of the counted values do not exceed: the greatest
 * value of its bucket, or the exact maximum where that is less. So it is never below the true
 * percentile, and above it by at most an eighth.
 *
 * part   0 to 1000000; 500000 is the median, 999000 the 99.9th percentile
 *
 * Returns 0 for an empty histogram.
 * Cost: O(KC_HIST_BUCKETS)
 */
uint64_t kc_hist_percentile(const struct kc_hist *h, uint32_t part);

/* ---- consistent snapshots ------------------------------------------------------------------- */

/*
 * A writer, which holds whatever lock serialises writers:
 *
 *     kc_seq_write_begin(&s); kc_seq_store(&a, x); kc_seq_store(&b, y); kc_seq_write_end(&s);
 *
 * A reader, anywhere:
 *
 *     uint32_t n;
 *     do { n = kc_seq_read_begin(&s); x = kc_seq_load(&a); y = kc_seq_load(&b); }
 *     while (kc_seq_read_retry(&s, n));
 *
 * Odd while a write is under way. The write side never waits; the read side waits for one write.
 */
struct kc_seq {
    uint32_t count;
};

void kc_seq_init(struct kc_seq *s);

KC_INLINE void kc_seq_write_begin(struct kc_seq *s)
{
    uint32_t n = __atomic_load_n(&s->count, __ATOMIC_RELAXED);
    KC_ASSERT((n & 1) == 0);
    __atomic_store_n(&s->count, n + 1, __ATOMIC_RELAXED);
}

KC_INLINE void kc_seq_write_end(struct kc_seq *s)
{
    uint32_t n = __atomic_load_n(&s->count, __ATOMIC_RELAXED);
    KC_ASSERT((n & 1) == 1);
    /* Release: a reader that sees the new count sees all of the write. */
    __atomic_store_n(&s->count, n + 1, __ATOMIC_RELEASE);
}

/*
 * Release on each store, acquire on each load: a reader that sees one new number sees the odd count
 * before it, and so retries. (On ARM64 STLR and LDAR; plain moves on x86-64. Fences would do as
 * well, but the race detectors that judge this library do not follow fences.)
 */
KC_INLINE void kc_seq_store(uint64_t *to, uint64_t value)
{
    __atomic_store_n(to, value, __ATOMIC_RELEASE);
}

KC_INLINE uint64_t kc_seq_load(const uint64_t *from)
{
    return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

/** Count to hand to kc_seq_read_retry(); waits while a write is under way. */
KC_NODISCARD uint32_t kc_seq_read_begin(const struct kc_seq *s);

/** True if what was loaded since kc_seq_read_begin() may be torn. */
KC_NODISCARD KC_INLINE bool kc_seq_read_retry(const struct kc_seq *s, uint32_t begun)
{
    return __atomic_load_n(&s->count, __ATOMIC_RELAXED) != begun;
}

KC_EXTERN_C_END

#endif
