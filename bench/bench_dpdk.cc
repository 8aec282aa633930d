/* SPDX-License-Identifier: BSD-2-Clause */
/* DPDK's mempool as a peer: without huge pages, devices or configuration files. */
#include "alloc.hh"
#include "limits.hh"
#include "peers.hh"

#if BENCH_HAVE_DPDK
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mempool.h>
#endif

namespace bench {

#if BENCH_HAVE_DPDK
struct Mempool {
    static inline struct rte_mempool *pool;

    static void begin()
    {
    }
    static void *alloc(size_t)
    {
        void *p = nullptr;
        if (__builtin_expect(rte_mempool_get(pool, &p) != 0, 0)) {
            fail("the mempool is exhausted");
        }
        return p;
    }
    static void free(void *p)
    {
        rte_mempool_put(pool, p);
    }

    static std::string open()
    {
        static const char *const args[] = {"kc-bench",
                                           "--no-huge",
                                           "--no-pci",
                                           "--no-telemetry",
                                           "--no-shconf",
                                           "-m",
                                           "64",
                                           "-l",
                                           "0",
                                           "--log-level",
                                           "1",
                                           "-d",
                                           "librte_mempool_ring.so"};
        constexpr int count = sizeof args / sizeof args[0];
        static char *argv[count + 1];
        static bool started = false;
        for (int i = 0; i < count; i++) {
            argv[i] = const_cast<char *>(args[i]);
        }
        if (!started && rte_eal_init(count, argv) < 0) {
            return std::string("rte_eal_init: ") + rte_strerror(rte_errno);
        }
        started = true;
        if (pool == nullptr) {
            pool = rte_mempool_create("blocks", blocks_max, 64, 512, 0, nullptr, nullptr, nullptr,
                                      nullptr, SOCKET_ID_ANY, 0);
        }
        return pool != nullptr ? "" : std::string("rte_mempool_create: ") + rte_strerror(rte_errno);
    }
};

void add_dpdk(const char *group)
{
    std::string why = Mempool::open();
    if (!why.empty()) {
        missing(group, "DPDK mempool", why);
        return;
    }
    add_blocks<Mempool, 64>(group, "DPDK mempool", Role::peer);
}
#else
void add_dpdk(const char *group)
{
    missing(group, "DPDK mempool", "its headers were not found when kc-bench was built");
}
#endif

} // namespace bench
