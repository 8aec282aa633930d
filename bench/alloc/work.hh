/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * work.hh: the workloads of allocators, all of them. A is an allocator: begin(), and then, of an
 * object made on the spot, which holds what its user would keep in a register: alloc(bytes),
 * free(p), and for bulk alloc_bulk(n, out), free_bulk(n, p).
 *
 *     hot        one block, allocated, written, freed
 *     churn      10,000 live; a random one is freed and allocated anew
 *     LIFO       1,024 allocated, freed last first
 *     FIFO       1,024 live; the oldest is freed, one is allocated
 *     batch N    N allocated, written, then freed in random order
 *     bulk 32    32 at a time, both ways
 *     fill       64 KiB at a time in whole blocks, each written to its last byte
 *     mixed      4,096 live of 16 to 4,096 bytes, small ones more often; as churn
 *     visit      256 live; the first 8 bytes of each in turn, nothing allocated
 *
 * Each item is a pair: one alloc, 8 bytes written, one free; but for a visit, which is one.
 */
#ifndef WORK_HH
#define WORK_HH

#include "../bench.hh"

#include <cstring>

namespace bench {

constexpr uint32_t churn_live = 10000, mixed_live = 4096, ring_live = 1024, bulk_count = 32;
constexpr uint32_t visit_live = 256;
constexpr size_t fill_bytes = 65536;

/* The same allocator, every call of it a call. */
template <class A> struct Called {
    static void begin()
    {
        A::begin();
    }
    [[gnu::noinline]] static void *alloc(size_t n)
    {
        return A::alloc(n);
    }
    [[gnu::noinline]] static void free(void *p)
    {
        A::free(p);
    }
};

template <class A, size_t bytes> struct Workloads {
    static inline std::vector<void *> live;
    static inline std::vector<uint32_t> pick, size;

    static void *get(A &a, size_t n)
    {
        void *p = a.alloc(n);
        *static_cast<volatile uint64_t *>(p) = n;
        asm volatile("" : "+r"(p)); /* the compiler does not know it for the one just freed */
        return p;
    }

    static void hot(uint64_t n)
    {
        A a;
        for (; n > 0; n--) {
            a.free(get(a, bytes));
        }
    }

    template <uint32_t count> static void fill_live()
    {
        A::begin();
        A a;
        pick = random_below(count, 1);
        live.resize(count);
        for (void *&p : live) {
            p = get(a, bytes);
        }
    }
    /* n is at most random_count. */
    static void churn(uint64_t n)
    {
        A a;
        void **slot = live.data();
        const uint32_t *at = pick.data() - 1;
        for (; n > 0; n--) {
            const size_t i = at[n];
            a.free(slot[i]);
            slot[i] = get(a, bytes);
        }
    }
    static void fifo(uint64_t n)
    {
        A a;
        void **slot = live.data();
        for (; n >= ring_live; n -= ring_live) {
            for (uint32_t i = 0; i < ring_live; i++) {
                a.free(slot[i]);
                slot[i] = get(a, bytes);
            }
        }
    }

    static void visit(uint64_t n)
    {
        void *const *slot = live.data();
        for (; n >= visit_live; n -= visit_live) {
            for (uint32_t i = 0; i < visit_live; i++) {
                *static_cast<volatile uint64_t *>(slot[i]) += n;
            }
        }
    }

    static void fill_mixed()
    {
        size = random_sizes(2);
        fill_live<mixed_live>();
    }
    static void mixed(uint64_t n)
    {
        A a;
        void **slot = live.data();
        const uint32_t *at = pick.data() - 1, *want = size.data() - 1;
        for (; n > 0; n--) {
            const size_t i = at[n];
            a.free(slot[i]);
            slot[i] = get(a, want[n]);
        }
    }
    static void empty()
    {
        A a;
        for (void *p : live) {
            a.free(p);
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
        A a;
        void **slot = live.data();
        const uint32_t *at = pick.data();
        for (; n >= count; n -= count) {
            for (uint32_t i = 0; i < count; i++) {
                slot[i] = get(a, bytes);
            }
            for (uint32_t i = 0; i < count; i++) {
                a.free(slot[at[i]]);
            }
        }
    }
    static void lifo(uint64_t n)
    {
        A a;
        void **slot = live.data();
        for (; n >= ring_live; n -= ring_live) {
            for (uint32_t i = 0; i < ring_live; i++) {
                slot[i] = get(a, bytes);
            }
            for (uint32_t i = ring_live; i-- > 0;) {
                a.free(slot[i]);
            }
        }
    }
    static void forget()
    {
        live.clear();
    }

    static void bulk(uint64_t n)
    {
        A a;
        void *some[bulk_count];
        for (; n >= bulk_count; n -= bulk_count) {
            a.alloc_bulk(bulk_count, some);
            for (void *p : some) {
                *static_cast<volatile uint64_t *>(p) = n;
            }
            asm volatile("" : : "r"(some) : "memory");
            a.free_bulk(bulk_count, some);
        }
    }

    /* Order of 64 KiB worth of blocks; the blocks are written in one order and freed in another. */
    static void fill(uint64_t n)
    {
        A a;
        constexpr uint32_t count = fill_bytes / bytes;
        void **slot = live.data();
        const uint32_t *at = pick.data();
        for (; n >= count; n -= count) {
            for (uint32_t i = 0; i < count; i++) {
                slot[i] = a.alloc(bytes);
                std::memset(slot[i], static_cast<int>(n), bytes);
            }
            for (uint32_t i = 0; i < count; i++) {
                a.free(slot[at[i]]);
            }
        }
    }
};

/* Who runs: the group, its name in the table, and what it is there. */
struct Subject {
    const char *group;
    std::string name;
    Role role;
};

inline std::string at_bytes(const char *what, size_t bytes)
{
    return std::string(what) + ", " + std::to_string(bytes) + " B";
}

template <class A, size_t bytes> void add_hot(const Subject &s, const char *what = "hot")
{
    add({s.group, at_bytes(what, bytes), s.name, s.role, "pair", 4096, 512, A::begin, nullptr,
         Workloads<A, bytes>::hot, nullptr});
}

template <class A, size_t bytes> void add_churn(const Subject &s)
{
    using W = Workloads<A, bytes>;
    add({s.group, at_bytes("churn", bytes), s.name, s.role, "pair", 65536, 1024,
         W::template fill_live<churn_live>, nullptr, W::churn, W::empty});
}

template <class A, size_t bytes, uint32_t count> void add_batch(const Subject &s)
{
    using W = Workloads<A, bytes>;
    constexpr uint64_t items = count > 8192 ? count : 8192;
    add({s.group, at_bytes(("batch " + std::to_string(count)).c_str(), bytes), s.name, s.role,
         "pair", items, count, W::template order<count>, nullptr, W::template batch<count>,
         W::forget});
}

template <class A> void add_queues(const Subject &s)
{
    using W = Workloads<A, 64>;
    add({s.group, "LIFO 1024, 64 B", s.name, s.role, "pair", 8192, ring_live,
         W::template order<ring_live>, nullptr, W::lifo, W::forget});
    add({s.group, "FIFO 1024, 64 B", s.name, s.role, "pair", 8192, ring_live,
         W::template fill_live<ring_live>, nullptr, W::fifo, W::empty});
}

template <class A> void add_bulk(const Subject &s)
{
    add({s.group, "bulk 32, 64 B", s.name, s.role, "pair", 8192, 512, A::begin, nullptr,
         Workloads<A, 64>::bulk, nullptr});
}

template <class A, size_t bytes> void add_fill(const Subject &s)
{
    using W = Workloads<A, bytes>;
    constexpr uint32_t count = fill_bytes / bytes;
    add({s.group, at_bytes("fill whole blocks", bytes), s.name, s.role, "pair", count * 16, count,
         W::template order<count>, nullptr, W::fill, W::forget});
}

template <class A, size_t bytes> void add_visit(const Subject &s)
{
    using W = Workloads<A, bytes>;
    add({s.group, at_bytes("visit 256", bytes), s.name, s.role, "visit", 65536, visit_live,
         W::template fill_live<visit_live>, nullptr, W::visit, W::empty});
}

template <class A> void add_mixed(const Subject &s)
{
    using W = Workloads<A, 64>;
    add({s.group, "mixed 16 to 4096 B", s.name, s.role, "pair", 65536, 1024, W::fill_mixed, nullptr,
         W::mixed, W::empty});
}

/* What every pool of blocks runs. */
template <class A> void add_blocks(const Subject &s)
{
    add_hot<A, 64>(s);
    add_churn<A, 64>(s);
    add_queues<A>(s);
    add_batch<A, 64, 64>(s);
    add_batch<A, 64, 1024>(s);
    add_batch<A, 64, 65536>(s);
}

} // namespace bench

#endif
