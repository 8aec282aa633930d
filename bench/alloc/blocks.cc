/* SPDX-License-Identifier: BSD-2-Clause */
/* Pools and caches: blocks of one size, beside the limits and the peers. */
#include "ours.hh"
#include "peers.hh"
#include "work.hh"

namespace bench {

template <class A> static void add_called(const char *group, const char *name, Role role)
{
    add_hot<Called<A>, 64>({group, name, role}, "hot, called");
}

/* Blocks of 256 bytes: as many lines are touched, four times as much memory. */
template <class A> static void add_large(const Subject &s)
{
    add_batch<A, 256, 1024>(s);
    add_batch<A, 256, 65536>(s);
}

/* Fields of equal place: what colour is for. */
template <class Plain, class Coloured>
static void add_visits(const char *group, const std::string &name)
{
    add_visit<Plain, 1024>({group, name, Role::ours});
    add_visit<Coloured, 1024>({group, name + ", coloured", Role::ours});
    each_peer(group, [&](auto peer, const char *peer_name) {
        add_visit<decltype(peer), 1024>({group, peer_name, Role::peer});
    });
}

template <class A> static void add_limit(const char *group, const char *name)
{
    add_blocks<A>({group, name, Role::limit});
    add_called<A>(group, name, Role::limit);
}

static void add_limits(const char *group)
{
    add_limit<Magazine<64, 256>>(group, "limit: magazine");
    add_limit<Magazine<64, 16>>(group, "limit: magazine of 16");
    add_limit<Magazine<64, 8>>(group, "limit: magazine of 8");
    add_limit<CheckedMagazine<64, 256>>(group, "limit: magazine, checked");
    add_limit<CheckedMagazine<64, 16>>(group, "limit: magazine of 16, checked");
    add_limit<CheckedMagazine<64, 8>>(group, "limit: magazine of 8, checked");
    add_limit<Intrusive<64>>(group, "limit: intrusive list");
}

static void add_peers(const char *group)
{
    each_peer(group, [&](auto peer, const char *name) {
        const Subject s = {group, name, Role::peer};
        add_blocks<decltype(peer)>(s);
        add_hot<decltype(peer), 64>(s, "hot, called");
    });
}

void add_pool()
{
    const char *group = "pool";
    const Subject here = {group, "kc_pool, inline", Role::ours};
    const Subject pinned = {group, "kc_pool, pinned", Role::ours};
    const Subject any = {group, "kc_pool", Role::ours};
    add_blocks<HerePool<64>>(here);
    add_large<HerePool<256>>(here);
    add_blocks<PinnedPool<64>>(pinned);
    add_hot<PinnedPool<64>, 64>(pinned, "hot, called");
    add_blocks<Pool<64>>(any);
    add_hot<Pool<64>, 64>(any, "hot, called");
    add_bulk<Pool<64>>({group, "kc_pool, bulk", Role::ours});

    add_limits(group);
    add_large<Magazine<256, 256>>({group, "limit: magazine", Role::limit});
    add_large<CheckedMagazine<256, 256>>({group, "limit: magazine, checked", Role::limit});
    add_large<Intrusive<256>>({group, "limit: intrusive list", Role::limit});
    add_bulk<Magazine<64, 256>>({group, "limit: magazine", Role::limit});
    add_bulk<CheckedMagazine<64, 256>>({group, "limit: magazine, checked", Role::limit});
    add_bulk<Intrusive<64>>({group, "limit: intrusive list", Role::limit});

    add_peers(group);
    each_peer(group, [&](auto peer, const char *name) {
        add_large<decltype(peer)>({group, name, Role::peer});
        add_bulk<decltype(peer)>({group, name, Role::peer});
    });
    add_dpdk_blocks(group);
    add_visits<Pool<1024>, Pool<1024, true>>(group, "kc_pool");
}

void add_cache()
{
    const char *group = "cache";
    const Subject pinned = {group, "kc_cache, pinned", Role::ours};
    const Subject any = {group, "kc_cache", Role::ours};
    add_blocks<PinnedCache<64>>(pinned);
    add_hot<PinnedCache<64>, 64>(pinned, "hot, called");
    add_blocks<Cache<64>>(any);
    add_hot<Cache<64>, 64>(any, "hot, called");
    add_limits(group);
    add_peers(group);
    add_visits<Cache<1024>, Cache<1024, true>>(group, "kc_cache");
}

} // namespace bench
