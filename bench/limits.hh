/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * limits.hh: allocators that do the least there is to do. Numbers to approach, not products.
 *
 * Magazine       per CPU a depth and an array of 512 pointers. alloc: test, decrement, load; free:
 *                test, store, increment. Refill and flush move 256 under a lock.
 * CheckedMagazine  the same with bounds, alignment and double free tested on a byte a block.
 * Intrusive      a list threaded through the free blocks.
 * SizeClasses    a stack of pointers for each 64-byte step to 4 KiB; a block's class is found by a
 *                flat map of 64 KiB spans.
 */
#ifndef LIMITS_HH
#define LIMITS_HH

#include "bench.hh"

#include <sys/mman.h>

namespace bench {

inline char *map_memory(size_t bytes)
{
    void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        fail("no memory");
    }
    return static_cast<char *>(p);
}

constexpr uint32_t blocks_max = 70000; /* live at most, in any workload */

/* One depot of blocks behind one lock. */
template <size_t block_bytes> struct Depot {
    static inline char *base;
    static inline uint32_t count;
    static inline void *slot[blocks_max];
    static inline bool locked;

    static void begin()
    {
        if (base == nullptr) {
            base = map_memory(blocks_max * block_bytes);
            for (uint32_t i = blocks_max; i-- > 0;) {
                slot[count++] = base + i * block_bytes;
            }
        }
    }
    static void lock()
    {
        while (__atomic_exchange_n(&locked, true, __ATOMIC_ACQUIRE)) {
        }
    }
    static void unlock()
    {
        __atomic_store_n(&locked, false, __ATOMIC_RELEASE);
    }
};

template <size_t block_bytes> struct Magazine {
    using Stock = Depot<block_bytes>;
    static constexpr uint32_t size = 512, half = 256;
    static inline thread_local uint32_t depth;
    static inline thread_local void *slot[size];

    static void begin()
    {
        Stock::begin();
    }
    [[gnu::noinline]] static void refill()
    {
        Stock::lock();
        while (depth < half && Stock::count > 0) {
            slot[depth++] = Stock::slot[--Stock::count];
        }
        Stock::unlock();
    }
    [[gnu::noinline]] static void flush()
    {
        Stock::lock();
        while (depth > half) {
            Stock::slot[Stock::count++] = slot[--depth];
        }
        Stock::unlock();
    }
    static void *alloc(size_t)
    {
        if (__builtin_expect(depth == 0, 0)) {
            refill();
        }
        return slot[--depth];
    }
    static void free(void *p)
    {
        if (__builtin_expect(depth == size, 0)) {
            flush();
        }
        slot[depth++] = p;
    }
};

template <size_t block_bytes> struct CheckedMagazine {
    using Bare = Magazine<block_bytes>;
    static inline uint8_t live[blocks_max];

    static void begin()
    {
        Bare::begin();
    }
    static void *alloc(size_t size)
    {
        void *p = Bare::alloc(size);
        live[static_cast<size_t>(static_cast<char *>(p) - Bare::Stock::base) / block_bytes] = 1;
        return p;
    }
    static void free(void *p)
    {
        size_t offset = static_cast<size_t>(static_cast<char *>(p) - Bare::Stock::base);
        uint8_t *mine = &live[offset / block_bytes];
        if (__builtin_expect(offset >= blocks_max * block_bytes || offset % block_bytes != 0, 0) ||
            __builtin_expect(*mine != 1, 0)) {
            fail("a limit misused");
        }
        *mine = 0;
        Bare::free(p);
    }
};

template <size_t block_bytes> struct Intrusive {
    static inline thread_local void *first;

    static void begin()
    {
        if (first == nullptr) {
            char *base = map_memory(blocks_max * block_bytes);
            for (uint32_t i = blocks_max; i-- > 0;) {
                free(base + i * block_bytes);
            }
        }
    }
    static void *alloc(size_t)
    {
        void *p = first;
        if (__builtin_expect(p == nullptr, 0)) {
            fail("a limit is exhausted");
        }
        first = *static_cast<void **>(p);
        return p;
    }
    static void free(void *p)
    {
        *static_cast<void **>(p) = first;
        first = p;
    }
};

struct SizeClasses {
    static constexpr size_t step = 64, classes = 65, span = 1 << 16, arena = KC_MIB(256);
    static constexpr uint32_t stack_max = 1 << 14;
    static inline char *base, *fresh;
    static inline uint8_t class_of[arena / span];
    static inline thread_local uint32_t depth[classes];
    static inline thread_local void *slot[classes][stack_max];

    static void begin()
    {
        if (base == nullptr) {
            base = fresh = map_memory(arena);
        }
    }
    [[gnu::noinline]] static void refill(size_t c)
    {
        if (fresh == base + arena) {
            fail("a limit is exhausted");
        }
        class_of[static_cast<size_t>(fresh - base) / span] = static_cast<uint8_t>(c);
        for (size_t at = span / (c * step); at-- > 0;) {
            slot[c][depth[c]++] = fresh + at * c * step;
        }
        fresh += span;
    }
    static void *alloc(size_t bytes)
    {
        size_t c = (bytes + step - 1) / step;
        if (__builtin_expect(depth[c] == 0, 0)) {
            refill(c);
        }
        return slot[c][--depth[c]];
    }
    static void free(void *p)
    {
        size_t c = class_of[static_cast<size_t>(static_cast<char *>(p) - base) / span];
        if (__builtin_expect(depth[c] == stack_max, 0)) {
            fail("a limit is full");
        }
        slot[c][depth[c]++] = p;
    }
};

} // namespace bench

#endif
