/* SPDX-License-Identifier: BSD-2-Clause */
/* Pool, cache and heap beside the limits and the peers. */
#include "alloc.hh"
#include "limits.hh"
#include "peers.hh"

#include <kc/cache.h>
#include <kc/heap.h>
#include <kc/pool.h>
#include <utility>

namespace bench {

constexpr size_t block = 64;

struct Pool {
    static inline struct kc_pool pool;
    static inline bool made;

    static void begin()
    {
        if (made) {
            return;
        }
        made = true;
        struct kc_pool_config c = {};
        c.memory_bytes = blocks_max * (block + 8);
        c.memory = map_memory(c.memory_bytes);
        c.block_bytes = block;
        c.align = block;
        if (kc_pool_init(&pool, &c) != KC_OK) {
            fail("no pool");
        }
    }
    static void *alloc(size_t)
    {
        return kc_pool_alloc(&pool);
    }
    static void free(void *p)
    {
        (void)kc_pool_free(&pool, p);
    }
};

struct Cache {
    static inline struct kc_cache cache;
    static inline bool made;

    static void begin()
    {
        struct kc_cache_config c = {};
        c.object_bytes = block;
        if (!made && kc_cache_init(&cache, &c, frames()) != KC_OK) {
            fail("no cache");
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
        struct kc_heap_config c = {};
        if (!made && kc_heap_init(&heap, &c, frames()) != KC_OK) {
            fail("no heap");
        }
        made = true;
    }
    static void *alloc(size_t bytes)
    {
        return kc_heap_alloc(&heap, bytes, 0);
    }
    static void free(void *p)
    {
        (void)kc_heap_free(&heap, p);
    }
};

template <size_t index> static void add_peer(const char *group, bool sizes)
{
    const char *name = libraries[index].name;
    std::string why = Peer<index>::open();
    if (!why.empty()) {
        missing(group, name, why);
    } else if (sizes) {
        add_sizes<Peer<index>>(group, name, Role::peer);
    } else {
        add_blocks<Peer<index>, block>(group, name, Role::peer);
    }
}

template <size_t... index>
static void add_peers(const char *group, bool sizes, std::index_sequence<index...>)
{
    (add_peer<index>(group, sizes), ...);
}

static void add_block_peers(const char *group)
{
    add_blocks<Magazine<block>, block>(group, "limit: magazine", Role::limit);
    add_blocks<CheckedMagazine<block>, block>(group, "limit: magazine, checked", Role::limit);
    add_blocks<Intrusive<block>, block>(group, "limit: intrusive list", Role::limit);
    add_peers(group, false, std::make_index_sequence<library_count>());
    add_dpdk(group);
}

void add_pool()
{
    add_blocks<Pool, block>("pool", "kc_pool", Role::ours);
    add_block_peers("pool");
}

void add_cache()
{
    add_blocks<Cache, block>("cache", "kc_cache", Role::ours);
    add_block_peers("cache");
}

void add_heap()
{
    add_sizes<Heap>("heap", "kc_heap", Role::ours);
    add_sizes<SizeClasses>("heap", "limit: size classes", Role::limit);
    add_peers("heap", true, std::make_index_sequence<library_count>());
}

} // namespace bench
