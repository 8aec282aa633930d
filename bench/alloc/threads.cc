/* SPDX-License-Identifier: BSD-2-Clause */
/* Two CPUs: who allocates is not who frees; and both at once. */
#include "threads.hh"
#include "ours.hh"
#include "peers.hh"

namespace bench {

/* The ring alone: what passing a pointer costs. */
struct SamePointer {
    static inline uint64_t block;

    static void begin()
    {
    }
    static void *alloc(size_t)
    {
        return &block;
    }
    static void free(void *)
    {
    }
};

void add_two_cpus()
{
    const char *group = "threads";
    add_threads<Pool<64>>({group, "kc_pool", Role::ours});
    add_threads<PinnedPool<64>>({group, "kc_pool, pinned", Role::ours});
    add_threads<PinnedCache<64>>({group, "kc_cache, pinned", Role::ours});
    add_threads<Heap>({group, "kc_heap", Role::ours});
    add({group, "hand over, 64 B", "limit: bare ring", Role::limit, "object", thread_items, 0,
         nullptr, nullptr, Pair<SamePointer>::hand_over, nullptr, true});
    add_threads<Magazine<64, 256>>({group, "limit: magazine", Role::limit});
    add_threads<Magazine<64, 8>>({group, "limit: magazine of 8", Role::limit});
    add_threads<CheckedMagazine<64, 256>>({group, "limit: magazine, checked", Role::limit});
    add_threads<CheckedMagazine<64, 8>>({group, "limit: magazine of 8, checked", Role::limit});
    each_peer(group, [&](auto peer, const char *name) {
        add_threads<decltype(peer)>({group, name, Role::peer});
    });
    add_dpdk_threads(group);
}

} // namespace bench
