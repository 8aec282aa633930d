/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * peers.hh: allocators of other people, from packages, found at run time.
 *
 * They are opened with RTLD_LOCAL | RTLD_DEEPBIND, so that none of them serves this program or
 * another peer; each is called through one pointer, which costs what a call into a library costs.
 */
#ifndef PEERS_HH
#define PEERS_HH

#include "bench.hh"

#include <cstdlib>
#include <dlfcn.h>

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
};

/* DPDK's mempool, its inline fast path compiled in: bench_dpdk.cc. */
void add_dpdk(const char *group);

} // namespace bench

#endif
