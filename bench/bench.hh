/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench.hh: what a file of benchmarks says of each case, and what they share.
 *
 * A case does the same `items` times; one program runs all cases of a group, so that ours, the
 * limit (a bare loop that does the least the task needs, without a check) and the peers meet the
 * same compiler, flags, seed and memory. Cases run in an order shuffled by the seed of the round.
 */
#ifndef BENCH_HH
#define BENCH_HH

#include <cstddef>
#include <cstdint>
#include <kc/frame.h>
#include <string>
#include <vector>

/* What is inline in a program that uses it is inline in each case, however many there are. */
#define BENCH_INLINE __attribute__((always_inline))

namespace bench {

enum class Role {
    ours,
    limit,
    peer
};

struct Case {
    const char *group;
    std::string workload;
    std::string subject;
    Role role;
    const char *item;  /* what is done once: "pair", "page" */
    uint64_t items;    /* in one timed call of run() */
    uint64_t step;     /* run() is called with multiples of this; 0: instructions not counted */
    void (*begin)();   /* once, before the first run(); may be null */
    void (*prepare)(); /* before each run(), untimed; may be null */
    void (*run)(uint64_t items);
    void (*end)();     /* may be null */
    bool wall = false; /* time is the wall's, not the thread's: several threads work */
};

void add(const Case &c);

/* A peer that is not there, and why: the table says so. */
void missing(const char *group, const std::string &subject, const std::string &why);

extern uint64_t seed;

/* Numbers below `limit` from the seed; index by i & (random_count - 1). */
constexpr uint64_t random_count = 1u << 16;
std::vector<uint32_t> random_below(uint32_t limit, uint64_t salt);
std::vector<uint32_t> random_order(uint32_t count, uint64_t salt);
/* Sizes of 16 to 4,095 bytes: a random number of doublings, then a random place within. */
std::vector<uint32_t> random_sizes(uint64_t salt);

/* 1 GiB of hosted RAM, all of it frames; the same at each call. */
struct kc_frames *frames();

[[noreturn]] void fail(const char *what);

/* The compiler knows neither p nor memory from here on. */
template <class T> inline void hide(T &p)
{
    asm volatile("" : "+r"(p) : : "memory");
}

void add_pool();
void add_cache();
void add_heap();
void add_two_cpus();
void add_tables();
void add_region();
void add_user();
void add_sync();

} // namespace bench

#endif
