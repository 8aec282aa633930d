/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks that nobody contends for, counters and histograms. */
#include "bench.hh"

#include <kc/lock.h>
#include <kc/stats.h>
#include <mutex>

namespace bench {

static struct kc_lock lock = KC_LOCK_INIT("bench", KC_RANK_KERNEL);
static std::mutex mutex;
static uint32_t ticket, serving;
static struct kc_counter counter;
static struct kc_hist hist;
static uint64_t total, bucket[64];
static std::vector<uint32_t> values;

static void lock_ours(uint64_t n)
{
    for (; n > 0; n--) {
        kc_lock_acquire(&lock);
        kc_lock_release(&lock);
    }
}

static void lock_irqsave(uint64_t n)
{
    for (; n > 0; n--) {
        kc_lock_release_irqrestore(&lock, kc_lock_acquire_irqsave(&lock));
    }
}

static void lock_std(uint64_t n)
{
    for (; n > 0; n--) {
        mutex.lock();
        mutex.unlock();
    }
}

static void lock_bare(uint64_t n)
{
    for (; n > 0; n--) {
        uint32_t mine = __atomic_fetch_add(&ticket, 1, __ATOMIC_RELAXED);
        while (__atomic_load_n(&serving, __ATOMIC_ACQUIRE) != mine) {
        }
        __atomic_store_n(&serving, mine + 1, __ATOMIC_RELEASE);
    }
}

static void count_ours(uint64_t n)
{
    for (; n > 0; n--) {
        kc_counter_add(&counter, 1);
    }
}

static void count_bare(uint64_t n)
{
    uint64_t *t = &total;
    hide(t);
    for (; n > 0; n--) {
        __atomic_store_n(t, __atomic_load_n(t, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
    }
}

static void begin_values()
{
    values = random_below(1u << 20, 9);
}

static void hist_ours(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        kc_hist_record(&hist, values[i & (random_count - 1)]);
    }
}

/* A bucket for each power of two, and nothing else. */
static void hist_bare(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        uint64_t *b = &bucket[63 - __builtin_clzll(values[i & (random_count - 1)] | 1)];
        __atomic_store_n(b, __atomic_load_n(b, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
    }
}

static void add_one(const char *workload, const char *subject, Role role, const char *item,
                    void (*begin)(), void (*run)(uint64_t))
{
    add({"sync", workload, subject, role, item, 16384, 512, begin, nullptr, run, nullptr});
}

void add_sync()
{
    add_one("lock and unlock", "kc_lock", Role::ours, "pair", nullptr, lock_ours);
    add_one("lock and unlock", "kc_lock, irqsave", Role::ours, "pair", nullptr, lock_irqsave);
    add_one("lock and unlock", "limit: ticket", Role::limit, "pair", nullptr, lock_bare);
    add_one("lock and unlock", "std::mutex", Role::peer, "pair", nullptr, lock_std);
    add_one("count", "kc_counter", Role::ours, "add", nullptr, count_ours);
    add_one("count", "limit: bare add", Role::limit, "add", nullptr, count_bare);
    add_one("histogram", "kc_hist", Role::ours, "value", begin_values, hist_ours);
    add_one("histogram", "limit: power of two", Role::limit, "value", begin_values, hist_bare);
}

} // namespace bench
