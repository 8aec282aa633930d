/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * alloc.hh: the workloads of allocators. A is an allocator: begin(), alloc(bytes), free(p).
 *
 *     hot        one block, allocated, written, freed
 *     churn      10,000 live; a random one is freed and allocated anew
 *     batch N    N allocated, written, then freed in random order
 *     mixed      4,096 live of 16 to 4,096 bytes, small ones more often; as churn
 *
 * Each item is a pair: one alloc, 8 bytes written, one free.
 */
#ifndef ALLOC_HH
#define ALLOC_HH

#include "bench.hh"

namespace bench {

constexpr uint32_t churn_live = 10000, mixed_live = 4096;

template <class A, size_t bytes> struct Workloads {
    static inline std::vector<void *> live;
    static inline std::vector<uint32_t> pick, size;

    static void *get(size_t n)
    {
        void *p = A::alloc(n);
        *static_cast<volatile uint64_t *>(p) = n;
        asm volatile("" : "+r"(p)); /* the compiler does not know it for the one just freed */
        return p;
    }

    static void hot(uint64_t n)
    {
        for (; n > 0; n--) {
            A::free(get(bytes));
        }
    }

    template <uint32_t count> static void fill()
    {
        A::begin();
        pick = random_below(count, 1);
        live.resize(count);
        for (void *&p : live) {
            p = get(bytes);
        }
    }
    static void churn(uint64_t n)
    {
        void **slot = live.data();
        const uint32_t *at = pick.data();
        for (uint64_t i = 0; i < n; i++) {
            void **p = &slot[at[i & (random_count - 1)]];
            A::free(*p);
            *p = get(bytes);
        }
    }

    static void fill_mixed()
    {
        size = random_below(1u << 16, 2);
        for (uint32_t &s : size) {
            /* A random number of doublings, then a random place within: small ones more often. */
            uint32_t top = 16u << (s % 8);
            s = top + (s >> 3) % top;
        }
        fill<mixed_live>();
    }
    static void mixed(uint64_t n)
    {
        void **slot = live.data();
        const uint32_t *at = pick.data(), *want = size.data();
        for (uint64_t i = 0; i < n; i++) {
            void **p = &slot[at[i & (random_count - 1)]];
            A::free(*p);
            *p = get(want[i & (random_count - 1)]);
        }
    }
    static void empty()
    {
        for (void *p : live) {
            A::free(p);
        }
        live.clear();
    }

    template <uint32_t count> static void order()
    {
        A::begin();
        pick = random_order(count, 3);
        live.resize(count);
    }
    template <uint32_t count> static void batch(uint64_t n)
    {
        void **slot = live.data();
        const uint32_t *at = pick.data();
        for (; n >= count; n -= count) {
            for (uint32_t i = 0; i < count; i++) {
                slot[i] = get(bytes);
            }
            for (uint32_t i = 0; i < count; i++) {
                A::free(slot[at[i]]);
            }
        }
    }
    static void forget()
    {
        live.clear();
    }
};

template <class A, size_t bytes>
void add_blocks(const char *group, const std::string &subject, Role role)
{
    using W = Workloads<A, bytes>;
    const std::string at = ", " + std::to_string(bytes) + " B";
    add({group, "hot" + at, subject, role, "pair", 4096, 512, A::begin, nullptr, W::hot, nullptr});
    add({group, "churn" + at, subject, role, "pair", 65536, 1024, W::template fill<churn_live>,
         nullptr, W::churn, W::empty});
    add({group, "batch 1024" + at, subject, role, "pair", 8192, 1024, W::template order<1024>,
         nullptr, W::template batch<1024>, W::forget});
    add({group, "batch 65536" + at, subject, role, "pair", 65536, 0, W::template order<65536>,
         nullptr, W::template batch<65536>, W::forget});
}

template <class A> void add_sizes(const char *group, const std::string &subject, Role role)
{
    using W = Workloads<A, 64>;
    add({group, "hot, 64 B", subject, role, "pair", 4096, 512, A::begin, nullptr, W::hot, nullptr});
    add({group, "churn, 64 B", subject, role, "pair", 65536, 1024, W::template fill<churn_live>,
         nullptr, W::churn, W::empty});
    add({group, "mixed 16 to 4096 B", subject, role, "pair", 65536, 1024, W::fill_mixed, nullptr,
         W::mixed, W::empty});
}

} // namespace bench

#endif
