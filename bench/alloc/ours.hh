/* SPDX-License-Identifier: BSD-2-Clause */
/* ours.hh: kcore's allocators in the form that the workloads take (work.hh). */
#ifndef OURS_HH
#define OURS_HH

#include "limits.hh"
#include "ours.h"

namespace bench {

/* The form for any context: it masks interrupts. */
template <size_t bytes> struct Pool {
    static inline struct kc_pool pool;
    static inline bool made;

    static void begin()
    {
        if (!made) {
            ours_pool_make(&pool, bytes, blocks_max);
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
    /* One by one: what a caller does where there is no call for many. */
    static void alloc_bulk(uint32_t n, void **out)
    {
        for (uint32_t i = 0; i < n; i++) {
            out[i] = alloc(bytes);
        }
    }
    static void free_bulk(uint32_t n, void *const *p)
    {
        for (uint32_t i = 0; i < n; i++) {
            free(p[i]);
        }
    }
};

template <size_t bytes> struct Cache {
    static inline struct kc_cache cache;
    static inline bool made;

    static void begin()
    {
        if (!made) {
            ours_cache_make(&cache, bytes);
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

} // namespace bench

#endif
