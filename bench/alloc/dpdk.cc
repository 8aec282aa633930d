/* SPDX-License-Identifier: BSD-2-Clause */
/* DPDK's mempool as a peer: without huge pages, devices or configuration files. */
#include "limits.hh"
#include "peers.hh"
#include "threads.hh"
#include "work.hh"

#if BENCH_HAVE_DPDK
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mempool.h>
#include <sched.h>
#endif

namespace bench {

#if BENCH_HAVE_DPDK
template <size_t> struct Mempool {
    static inline struct rte_mempool *pool;

    static void begin()
    {
    }
    /* A thread that is not DPDK's own has no cache until it is registered. */
    static void join()
    {
        if (rte_lcore_id() == LCORE_ID_ANY && rte_thread_register() != 0) {
            fail("DPDK registers no more threads");
        }
    }
    BENCH_INLINE static void *alloc(size_t)
    {
        void *p = nullptr;
        if (__builtin_expect(rte_mempool_get(pool, &p) != 0, 0)) {
            fail("the mempool is exhausted");
        }
        return p;
    }
    BENCH_INLINE static void free(void *p)
    {
        rte_mempool_put(pool, p);
    }
    static void alloc_bulk(uint32_t n, void **out)
    {
        if (__builtin_expect(rte_mempool_get_bulk(pool, out, n) != 0, 0)) {
            fail("the mempool is exhausted");
        }
    }
    static void free_bulk(uint32_t n, void *const *p)
    {
        rte_mempool_put_bulk(pool, p, n);
    }
};

/* It pins the thread to one CPU, which is undone. */
std::string dpdk_start()
{
    static const char *const args[] = {"kc-bench",
                                       "--no-huge",
                                       "--no-pci",
                                       "--no-telemetry",
                                       "--no-shconf",
                                       "-m",
                                       "1024",
                                       "-l",
                                       "0",
                                       "--log-level",
                                       "1",
                                       "-d",
                                       "librte_mempool_ring.so"};
    constexpr int count = sizeof args / sizeof args[0];
    static char *argv[count + 1];
    static bool started = false;
    cpu_set_t cpus;
    for (int i = 0; i < count; i++) {
        argv[i] = const_cast<char *>(args[i]);
    }
    sched_getaffinity(0, sizeof cpus, &cpus);
    if (!started && rte_eal_init(count, argv) < 0) {
        return std::string("rte_eal_init: ") + rte_strerror(rte_errno);
    }
    sched_setaffinity(0, sizeof cpus, &cpus);
    started = true;
    return "";
}

template <size_t bytes> static std::string open(uint32_t blocks)
{
    using Pool = Mempool<bytes>;
    std::string why = dpdk_start();
    if (why.empty() && Pool::pool == nullptr) {
        Pool::pool =
            rte_mempool_create(("blocks" + std::to_string(bytes)).c_str(), blocks, bytes, 512, 0,
                               nullptr, nullptr, nullptr, nullptr, SOCKET_ID_ANY, 0);
        if (Pool::pool == nullptr) {
            why = std::string("rte_mempool_create: ") + rte_strerror(rte_errno);
        }
    }
    return why;
}

void add_dpdk_blocks(const char *group)
{
    const Subject s = {group, dpdk_name, Role::peer};
    std::string why = open<64>(blocks_max);
    if (why.empty()) {
        why = open<256>(blocks_max);
    }
    if (!why.empty()) {
        missing(group, dpdk_name, why);
        return;
    }
    add_blocks<Mempool<64>>(s);
    add_bulk<Mempool<64>>(s);
    add_batch<Mempool<256>, 256, 1024>(s);
    add_batch<Mempool<256>, 256, 65536>(s);
}

void add_dpdk_threads(const char *group)
{
    std::string why = open<64>(blocks_max);
    if (!why.empty()) {
        missing(group, dpdk_name, why);
        return;
    }
    add_threads<Mempool<64>>({group, dpdk_name, Role::peer}, Mempool<64>::join);
}

static struct rte_mempool *called;

std::string dpdk_open(size_t block_bytes, uint32_t blocks)
{
    std::string why = dpdk_start();
    if (why.empty()) {
        called = rte_mempool_create("called", blocks, static_cast<unsigned>(block_bytes), 512, 0,
                                    nullptr, nullptr, nullptr, nullptr, SOCKET_ID_ANY, 0);
        if (called == nullptr) {
            why = std::string("rte_mempool_create: ") + rte_strerror(rte_errno);
        }
    }
    return why;
}

void *dpdk_alloc(size_t)
{
    void *p = nullptr;
    return rte_mempool_get(called, &p) == 0 ? p : nullptr;
}

void dpdk_free(void *p)
{
    rte_mempool_put(called, p);
}
#else
static const char *const not_built = "its headers were not found when kc-bench was built";

void add_dpdk_blocks(const char *group)
{
    missing(group, dpdk_name, not_built);
}

void add_dpdk_threads(const char *group)
{
    missing(group, dpdk_name, not_built);
}

std::string dpdk_start()
{
    return not_built;
}

std::string dpdk_open(size_t, uint32_t)
{
    return not_built;
}

void *dpdk_alloc(size_t)
{
    return nullptr;
}

void dpdk_free(void *)
{
}
#endif

} // namespace bench
