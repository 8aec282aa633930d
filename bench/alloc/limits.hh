/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * limits.hh: allocators that do the least there is to do. Numbers to approach, not products.
 *
 * Magazine         per CPU a depth and an array of pointers. alloc: test, decrement, load; free:
 *                  test for full, store, increment. Refill and flush move `move` under a lock. 256
 * is the usual number; 8 and 16 are what bounds the longest operation. CheckedMagazine  the same
 * with a bounds test, an alignment mask and a byte of state a block, which both operations look at
 * and set. Intrusive        a list threaded through the free blocks. SizeClasses      an intrusive
 * list for each 64-byte step to 4 KiB, not for each CPU; a block's class is found by a flat map of
 * 64 KiB spans. CheckedClasses   a stack of pointers in the list's place, and the size, the block's
 * place in its span and a byte of state tested. NoAllocator      hands out the same memory in turn:
 * what a workload costs by itself.
 */
#ifndef LIMITS_HH
#define LIMITS_HH

#include "../bench.hh"

#include <cstring>
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

constexpr uint32_t blocks_max = 72000; /* live at most, and in the magazines, in any workload */

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

/* Ours holds 32 and moves 8; so do those of 8 and 16 hold 32, and the usual one twice what it
 * moves. */
constexpr uint32_t magazine_size(uint32_t move)
{
    return move <= 16 ? 32 : 2 * move;
}

template <size_t block_bytes, uint32_t move = 256> struct Magazine {
    using Stock = Depot<block_bytes>;
    static constexpr uint32_t size = magazine_size(move);
    static inline thread_local uint32_t depth;
    static inline thread_local void *slot[size];

    static void begin()
    {
        Stock::begin();
    }
    [[gnu::noinline]] static void refill(uint32_t to)
    {
        Stock::lock();
        uint32_t n = to - depth < Stock::count ? to - depth : Stock::count;
        Stock::count -= n;
        std::memcpy(&slot[depth], &Stock::slot[Stock::count], n * sizeof slot[0]);
        depth += n;
        Stock::unlock();
        if (depth == 0) {
            fail("a limit is exhausted");
        }
    }
    [[gnu::noinline]] static void flush(uint32_t to)
    {
        Stock::lock();
        uint32_t n = depth - to;
        depth = to;
        std::memcpy(&Stock::slot[Stock::count], &slot[depth], n * sizeof slot[0]);
        Stock::count += n;
        Stock::unlock();
    }
    BENCH_INLINE static void *alloc(size_t)
    {
        if (__builtin_expect(depth == 0, 0)) {
            refill(move);
        }
        return slot[--depth];
    }
    BENCH_INLINE static void free(void *p)
    {
        if (__builtin_expect(depth == size, 0)) {
            flush(size - move);
        }
        slot[depth++] = p;
    }
    static void alloc_bulk(uint32_t n, void **out)
    {
        if (__builtin_expect(depth < n, 0)) {
            refill(n + move > size ? size : n + move);
        }
        depth -= n;
        std::memcpy(out, &slot[depth], n * sizeof *out);
    }
    static void free_bulk(uint32_t n, void *const *p)
    {
        if (__builtin_expect(depth + n > size, 0)) {
            flush(size - n < move ? size - n : move);
        }
        std::memcpy(&slot[depth], p, n * sizeof *p);
        depth += n;
    }
};

template <size_t block_bytes, uint32_t move = 256> struct CheckedMagazine {
    using Bare = Magazine<block_bytes, move>;
    static inline uint8_t live[blocks_max];

    static void begin()
    {
        Bare::begin();
    }
    static size_t offset_of(const void *p)
    {
        return static_cast<size_t>(static_cast<const char *>(p) - Bare::Stock::base);
    }
    BENCH_INLINE static void take(void *p)
    {
        uint8_t *mine = &live[offset_of(p) / block_bytes];
        if (__builtin_expect(*mine != 0, 0)) {
            fail("a limit is corrupt");
        }
        *mine = 1;
    }
    BENCH_INLINE static void give(void *p)
    {
        size_t offset = offset_of(p);
        uint8_t *mine = &live[offset / block_bytes];
        if (__builtin_expect(offset >= blocks_max * block_bytes, 0) ||
            __builtin_expect(offset % block_bytes != 0, 0) || __builtin_expect(*mine != 1, 0)) {
            fail("a limit misused");
        }
        *mine = 0;
    }
    BENCH_INLINE static void *alloc(size_t size)
    {
        void *p = Bare::alloc(size);
        take(p);
        return p;
    }
    BENCH_INLINE static void free(void *p)
    {
        give(p);
        Bare::free(p);
    }
    static void alloc_bulk(uint32_t n, void **out)
    {
        Bare::alloc_bulk(n, out);
        for (uint32_t i = 0; i < n; i++) {
            take(out[i]);
        }
    }
    static void free_bulk(uint32_t n, void *const *p)
    {
        for (uint32_t i = 0; i < n; i++) {
            give(p[i]);
        }
        Bare::free_bulk(n, p);
    }
};

template <size_t block_bytes> struct Intrusive {
    static inline thread_local void *first;
    static inline bool made;

    static void begin()
    {
        if (!made) {
            made = true;
            char *base = map_memory(blocks_max * block_bytes);
            for (uint32_t i = blocks_max; i-- > 0;) {
                free(base + i * block_bytes);
            }
        }
    }
    BENCH_INLINE static void *alloc(size_t)
    {
        void *p = first;
        if (__builtin_expect(p == nullptr, 0)) {
            fail("a limit is exhausted");
        }
        first = *static_cast<void **>(p);
        return p;
    }
    BENCH_INLINE static void free(void *p)
    {
        *static_cast<void **>(p) = first;
        first = p;
    }
    static void alloc_bulk(uint32_t n, void **out)
    {
        for (uint32_t i = 0; i < n; i++) {
            out[i] = alloc(block_bytes);
        }
    }
    static void free_bulk(uint32_t n, void *const *p)
    {
        for (uint32_t i = 0; i < n; i++) {
            free(p[i]);
        }
    }
};

/* Spans of one class each, and a flat map from span to class. */
template <class Mine> struct ClassArena {
    static constexpr size_t step = 64, classes = 65, span = 1 << 16, arena = KC_MIB(256);
    static inline char *base, *fresh;
    static inline uint8_t class_of[arena / span];

    static void begin()
    {
        if (base == nullptr) {
            base = fresh = map_memory(arena);
        }
    }
    static size_t offset_of(const void *p)
    {
        return static_cast<size_t>(static_cast<const char *>(p) - base);
    }
    /* A new span for the class, its blocks given to Mine in descending order. */
    [[gnu::noinline]] static void refill(size_t c)
    {
        if (fresh == base + arena) {
            fail("a limit is exhausted");
        }
        class_of[offset_of(fresh) / span] = static_cast<uint8_t>(c);
        for (size_t at = span / (c * step); at-- > 0;) {
            Mine::push(c, fresh + at * c * step);
        }
        fresh += span;
    }
};

struct SizeClasses : ClassArena<SizeClasses> {
    static inline void *first[classes];

    BENCH_INLINE static void push(size_t c, void *p)
    {
        *static_cast<void **>(p) = first[c];
        first[c] = p;
    }
    BENCH_INLINE static void *alloc(size_t bytes)
    {
        size_t c = (bytes + step - 1) / step;
        if (__builtin_expect(first[c] == nullptr, 0)) {
            refill(c);
        }
        void *p = first[c];
        first[c] = *static_cast<void **>(p);
        return p;
    }
    BENCH_INLINE static void free(void *p)
    {
        push(class_of[offset_of(p) / span], p);
    }
};

struct CheckedClasses : ClassArena<CheckedClasses> {
    static constexpr uint32_t stack_max = 1 << 14;
    struct Stack {
        uint32_t depth;
        void *slot[stack_max];
    };
    static inline Stack stack[classes];
    static inline uint8_t live[arena / step];
    /* 2^32 / (c * step), rounded up: divides an offset in a span without a division. */
    static inline uint32_t inverse[classes];

    static void begin()
    {
        ClassArena::begin();
        for (size_t c = 1; c < classes; c++) {
            inverse[c] = static_cast<uint32_t>((1ull << 32) / (c * step) + 1);
        }
    }
    BENCH_INLINE static void push(size_t c, void *p)
    {
        Stack &s = stack[c];
        if (__builtin_expect(s.depth == stack_max, 0)) {
            fail("a limit is full");
        }
        s.slot[s.depth++] = p;
    }
    BENCH_INLINE static void *alloc(size_t bytes)
    {
        if (__builtin_expect(bytes == 0 || bytes > (classes - 1) * step, 0)) {
            return nullptr;
        }
        size_t c = (bytes + step - 1) / step;
        Stack &s = stack[c];
        if (__builtin_expect(s.depth == 0, 0)) {
            refill(c);
        }
        void *p = s.slot[--s.depth];
        uint8_t *mine = &live[offset_of(p) / step];
        if (__builtin_expect(*mine != 0, 0)) {
            fail("a limit is corrupt");
        }
        *mine = 1;
        return p;
    }
    BENCH_INLINE static void free(void *p)
    {
        size_t offset = offset_of(p);
        if (__builtin_expect(offset >= arena, 0)) {
            fail("a limit misused: foreign");
        }
        size_t c = class_of[offset / span];
        uint64_t within = offset % span;
        uint64_t index = within * inverse[c] >> 32;
        if (__builtin_expect(c == 0 || index * c * step != within, 0)) {
            fail("a limit misused: interior");
        }
        uint8_t *mine = &live[offset / step];
        if (__builtin_expect(*mine != 1, 0)) {
            fail("a limit misused: double free");
        }
        *mine = 0;
        push(c, p);
    }
};

struct NoAllocator {
    static constexpr size_t size = 1 << 20;
    alignas(4096) static inline char memory[size];
    static inline size_t next;

    static void begin()
    {
    }
    BENCH_INLINE static void *alloc(size_t bytes)
    {
        void *p = memory + next % size;
        next += bytes;
        return p;
    }
    BENCH_INLINE static void free(void *)
    {
    }
};

} // namespace bench

#endif
