/* SPDX-License-Identifier: BSD-2-Clause */
/* ours.hh: kcore's allocators in the form that the workloads take (work.hh). */
#ifndef OURS_HH
#define OURS_HH

#include "limits.hh"
#include "ours.h"

namespace bench {

/* The form for any context: it masks interrupts. */
template <size_t bytes, bool coloured = false> struct Pool {
    static inline struct kc_pool pool;
    static inline bool made;

    static void begin()
    {
        if (!made) {
            ours_pool_make(&pool, bytes, blocks_max, coloured);
        }
        made = true;
    }
    static void *alloc(size_t)
    {
        return kc_pool_alloc(&pool);
    }
    static void free(void *p)
    {
        (void)kc_pool_free(&pool, p);
    }
    static void alloc_bulk(uint32_t n, void **out)
    {
        if (!kc_pool_alloc_bulk(&pool, n, out)) {
            fail("the pool is exhausted");
        }
    }
    static void free_bulk(uint32_t n, void *const *p)
    {
        (void)kc_pool_free_bulk(&pool, n, p);
    }
};

/* Called, by somebody who is pinned to its CPU. */
template <size_t bytes> struct PinnedPool : Pool<bytes> {
    static void *alloc(size_t)
    {
        return kc_pool_alloc_pinned(&PinnedPool::pool);
    }
    static void free(void *p)
    {
        (void)kc_pool_free_pinned(&PinnedPool::pool, p);
    }
};

/* Inline, through the handle of CPU 0: for the thread that began. */
template <size_t bytes> struct HerePool : Pool<bytes> {
    static inline struct kc_pool_cpu *cpu_0;
    struct kc_pool_cpu *here = cpu_0;

    static void begin()
    {
        Pool<bytes>::begin();
        cpu_0 = kc_pool_here(&HerePool::pool);
    }

    BENCH_INLINE void *alloc(size_t)
    {
        return kc_pool_alloc_here(here);
    }
    BENCH_INLINE void free(void *p)
    {
        (void)kc_pool_free_here(here, p);
    }
};

template <size_t bytes, bool coloured = false> struct Cache {
    static inline struct kc_cache cache;
    static inline bool made;

    static void begin()
    {
        if (!made) {
            ours_cache_make(&cache, bytes, coloured);
        }
        made = true;
    }
    static void *alloc(size_t)
    {
        return kc_cache_alloc(&cache, 0);
    }
    static void free(void *p)
    {
        (void)kc_cache_free(&cache, p);
    }
};

template <size_t bytes> struct PinnedCache : Cache<bytes> {
    static void *alloc(size_t)
    {
        return kc_cache_alloc_pinned(&PinnedCache::cache, 0);
    }
    static void free(void *p)
    {
        (void)kc_cache_free_pinned(&PinnedCache::cache, p);
    }
};

struct Heap {
    static inline struct kc_heap heap;
    static inline bool made;

    static void begin()
    {
        if (!made) {
            ours_heap_make(&heap);
        }
        made = true;
    }
    static void *alloc(size_t n)
    {
        return kc_heap_alloc(&heap, n, 0);
    }
    static void free(void *p)
    {
        (void)kc_heap_free(&heap, p);
    }
};

/* By somebody who is pinned, as every thread of a malloc() is to its own caches. */
struct PinnedHeap : Heap {
    static void *alloc(size_t n)
    {
        return kc_heap_alloc_pinned(&heap, n, 0);
    }
    static void free(void *p)
    {
        (void)kc_heap_free_pinned(&heap, p);
    }
};

} // namespace bench

#endif
