/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * peers.hh: allocators of other people, from packages, found at run time.
 *
 * They are opened with RTLD_LOCAL | RTLD_DEEPBIND, so that none of them serves this program or
 * another peer; each is called through one pointer, which costs what a call into a library costs.
 */
#ifndef PEERS_HH
#define PEERS_HH

#include "../bench.hh"

#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <utility>

namespace bench {

struct Library {
    const char *name;
    const char *file; /* null: the C library */
    const char *alloc;
    const char *free;
};

constexpr Library libraries[] = {
    {"mimalloc", "libmimalloc.so.2", "mi_malloc", "mi_free"},
    {"jemalloc", "libjemalloc.so.2", "malloc", "free"},
    {"tcmalloc", "libtcmalloc_minimal.so.4", "tc_malloc", "tc_free"},
    {"glibc", nullptr, "malloc", "free"},
};
constexpr size_t library_count = sizeof libraries / sizeof libraries[0];

template <size_t index> struct Peer {
    static inline void *(*alloc_)(size_t);
    static inline void (*free_)(void *);

    /* Empty if it is there, else why not. */
    static std::string open()
    {
        const Library &l = libraries[index];
        void *lib = l.file == nullptr ? RTLD_DEFAULT
                                      : dlopen(l.file, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
        if (l.file != nullptr && lib == nullptr) {
            return dlerror();
        }
        alloc_ = reinterpret_cast<void *(*)(size_t)>(dlsym(lib, l.alloc));
        free_ = reinterpret_cast<void (*)(void *)>(dlsym(lib, l.free));
        return alloc_ != nullptr && free_ != nullptr ? "" : "it lacks malloc or free";
    }
    static void begin()
    {
    }
    static void *alloc(size_t bytes)
    {
        return alloc_(bytes);
    }
    static void free(void *p)
    {
        free_(p);
    }
    static void alloc_bulk(uint32_t n, void **out)
    {
        for (uint32_t i = 0; i < n; i++) {
            out[i] = alloc(64);
        }
    }
    static void free_bulk(uint32_t n, void *const *p)
    {
        for (uint32_t i = 0; i < n; i++) {
            free(p[i]);
        }
    }
};

/*
 * Calls what(Peer<i>, name of it) for each library that is there; the table names the others. With
 * `only`, it opens that library and no other.
 */
template <class F, size_t... index>
void each_peer(const char *group, const char *only, F what, std::index_sequence<index...>)
{
    (
        [&] {
            const char *name = libraries[index].name;
            if (only != nullptr && std::strcmp(only, name) != 0) {
                return;
            }
            std::string why = Peer<index>::open();
            if (why.empty()) {
                what(Peer<index>{}, name);
            } else {
                missing(group, name, why);
            }
        }(),
        ...);
}

template <class F> void each_peer(const char *group, F what, const char *only = nullptr)
{
    each_peer(group, only, what, std::make_index_sequence<library_count>());
}

/*
 * DPDK's mempool of blocks of 64 bytes; its inline fast path is compiled in (dpdk.cc), so it adds
 * its cases itself.
 */
constexpr const char *dpdk_name = "DPDK mempool";
void add_dpdk_blocks(const char *group);
void add_dpdk_threads(const char *group);

/* Start its memory manager, once. Empty if it is there, else why not; so does dpdk_open(). */
std::string dpdk_start();

/* For whoever takes a call for what is inline: single operations and memory. */
std::string dpdk_open(size_t block_bytes, uint32_t blocks);
void *dpdk_alloc(size_t bytes);
void dpdk_free(void *p);

} // namespace bench

#endif
