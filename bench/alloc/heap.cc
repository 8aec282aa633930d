/* SPDX-License-Identifier: BSD-2-Clause */
/* Heaps: sizes that differ, one after another and mixed; and whole blocks written. */
#include "ours.hh"
#include "peers.hh"
#include "work.hh"

namespace bench {

/* Time across sizes, from the smallest to runs of frames. */
template <class A> static void add_each_size(const Subject &s)
{
    add_hot<A, 64>(s);
    add_churn<A, 16>(s);
    add_churn<A, 64>(s);
    add_churn<A, 256>(s);
    add_churn<A, 1024>(s);
    add_churn<A, 4096>(s);
}

/* Those that the limits' classes do not reach. */
template <class A> static void add_large_sizes(const Subject &s)
{
    add_hot<A, 16384>(s);
    add_hot<A, 65536>(s);
}

template <class A> static void add_sizes(const Subject &s)
{
    add_each_size<A>(s);
    add_mixed<A>(s);
}

/* How much of the bandwidth of memory is left to who writes all that he is given. */
template <class A> static void add_bandwidth(const Subject &s)
{
    add_fill<A, 256>(s);
    add_fill<A, 4096>(s);
}

void add_heap()
{
    const char *group = "heap";
    const Subject ours = {group, "kc_heap", Role::ours};
    add_sizes<Heap>(ours);
    add_large_sizes<Heap>(ours);
    add_sizes<PinnedHeap>({group, "kc_heap, pinned", Role::ours});
    add_bandwidth<Heap>(ours);
    add_sizes<SizeClasses>({group, "limit: size classes", Role::limit});
    add_sizes<CheckedClasses>({group, "limit: size classes, checked", Role::limit});
    add_bandwidth<NoAllocator>({group, "limit: no allocator", Role::limit});
    each_peer(group, [&](auto peer, const char *name) {
        const Subject s = {group, name, Role::peer};
        add_sizes<decltype(peer)>(s);
        add_large_sizes<decltype(peer)>(s);
        add_bandwidth<decltype(peer)>(s);
    });
}

} // namespace bench
