/* SPDX-License-Identifier: BSD-2-Clause */
/* Single operations on hosts: marks in a trace (marks.h) around each, for ours, limits and peers.
 */
#include "marks.h"
#include "ours.hh"
#include "peers.hh"
#include "probe.hh"
#include "single.h"
#include "threads.hh"

#include <cstdio>
#include <cstring>

namespace bench {

struct Single {
    std::string name;
    const char *role;
    void (*begin)();
    struct single_subject subject;
    /* Loops of pairs, as the timed cases have them; null where there is nothing inline to see. */
    void (*hot)(uint64_t items);
    void (*fill)();
    void (*churn)(uint64_t items);
};

static std::vector<Single> singles;

/* An allocator as two functions of C. */
template <class A> struct Plain {
    [[gnu::noinline]] static void *alloc(size_t bytes)
    {
        return A().alloc(bytes);
    }
    [[gnu::noinline]] static void free(void *p)
    {
        A().free(p);
    }
};

static uint64_t frame_calls()
{
    struct kc_frame_stats s;
    kc_frame_stats(frames(), &s);
    return s.alloc_count + s.free_count;
}

template <class A>
static void add_single(const char *name, const char *role, bool sizes, bool with_frames = false)
{
    using W = Workloads<A, 64>;
    singles.push_back({name,
                       role,
                       A::begin,
                       {nullptr, Plain<A>::alloc, Plain<A>::free, Plain<A>::free,
                        with_frames ? frame_calls : nullptr, sizes},
                       W::hot,
                       W::template fill_live<1000>,
                       W::churn});
}

static void begin_dpdk()
{
    if (!dpdk_open(64, blocks_max).empty()) {
        fail("no DPDK mempool");
    }
}

/* All of them, or, of the peers, the one of that name. */
static void list_all(const char *only)
{
    add_single<HerePool<64>>("kc_pool, inline", "ours", false);
    singles.back().subject.free_elsewhere = Plain<Pool<64>>::free; /* the handle is CPU 0's */
    add_single<PinnedPool<64>>("kc_pool, pinned", "ours", false);
    add_single<Pool<64>>("kc_pool", "ours", false);
    add_single<PinnedCache<64>>("kc_cache, pinned", "ours", false, true);
    add_single<Cache<64>>("kc_cache", "ours", false, true);
    add_single<PinnedHeap>("kc_heap, pinned", "ours", true, true);
    add_single<Heap>("kc_heap", "ours", true, true);
    add_single<Magazine<64, 256>>("limit: magazine", "limit", false);
    add_single<Magazine<64, 16>>("limit: magazine of 16", "limit", false);
    add_single<Magazine<64, 8>>("limit: magazine of 8", "limit", false);
    add_single<CheckedMagazine<64, 256>>("limit: magazine, checked", "limit", false);
    add_single<CheckedMagazine<64, 16>>("limit: magazine of 16, checked", "limit", false);
    add_single<CheckedMagazine<64, 8>>("limit: magazine of 8, checked", "limit", false);
    add_single<Intrusive<64>>("limit: intrusive list", "limit", false);
    add_single<SizeClasses>("limit: size classes", "limit", true);
    add_single<CheckedClasses>("limit: size classes, checked", "limit", true);
    each_peer(
        "single",
        [](auto peer, const char *name) { add_single<decltype(peer)>(name, "peer", true); }, only);
    singles.push_back({dpdk_name,
                       "peer",
                       begin_dpdk,
                       {nullptr, dpdk_alloc, dpdk_free, dpdk_free, nullptr, false},
                       nullptr,
                       nullptr,
                       nullptr});
}

[[gnu::noinline]] static void loop(void (*run)(uint64_t items), uint64_t items)
{
    mark(MARK_LOOP);
    run(items);
    mark(MARK_END);
}

/* Twice, for what only the first time does; then once and twice as long, which is what is counted.
 */
static void run_loops(const Single &s)
{
    if (s.hot == nullptr) {
        return;
    }
    s.hot(4 * MARK_LOOP_ITEMS);
    loop(s.hot, MARK_LOOP_ITEMS);
    loop(s.hot, 2 * MARK_LOOP_ITEMS);
    s.fill();
    s.churn(4 * MARK_LOOP_ITEMS);
    loop(s.churn, MARK_LOOP_ITEMS);
    loop(s.churn, 2 * MARK_LOOP_ITEMS);
}

[[gnu::noinline]] static void *empty_alloc(size_t)
{
    asm volatile("");
    return nullptr;
}

[[gnu::noinline]] static void empty_free(void *)
{
    asm volatile("");
}

[[gnu::noinline]] static void *count_alloc(const struct single_subject *s, size_t n, uint32_t what)
{
    mark(what);
    void *p = s->alloc(n);
    mark(MARK_END);
    return p;
}

[[gnu::noinline]] static void count_free(const struct single_subject *s, void *p, uint32_t what)
{
    mark(what);
    s->free(p);
    mark(MARK_END);
}

static void say_where_the_stack_is()
{
    volatile uint64_t here;
    mark(MARK_STACK);
    here = 1;
    (void)here;
}

static int run(Single &s, bool quick)
{
    if (mmap(reinterpret_cast<void *>(MARKS_BASE), 4096, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED) {
        fail("the page of marks is taken");
    }
    const struct single_subject empty = {"", empty_alloc, empty_free, empty_free, nullptr, false};
    const struct single_run plan = {quick ? 600 : SINGLE_LIVE_MAX, quick ? 1500u : 6000u, seed};
    s.subject.name = s.name.c_str();
    s.begin();
    say_where_the_stack_is();
    (void)count_alloc(&empty, 64, MARK_EMPTY_ALLOC);
    count_free(&empty, nullptr, MARK_EMPTY_FREE);
    run_loops(s);
    single_run(&s.subject, &plan);
    return 0;
}

int probe_single(int argc, char **argv)
{
    const bool list = std::strcmp(argv[0], "list") == 0;
    list_all(list ? nullptr : argv[0]);
    if (list) {
        for (const Single &s : singles) {
            std::string why = s.name == dpdk_name ? dpdk_start() : "";
            if (why.empty()) {
                std::printf("%s\t%s\n", s.name.c_str(), s.role);
            } else {
                missing("single", s.name, why);
            }
        }
        return 0;
    }
    for (Single &s : singles) {
        if (s.name == argv[0]) {
            return run(s, argc > 1 && std::strcmp(argv[1], "quick") == 0);
        }
    }
    std::fprintf(stderr, "kc-probe: no such allocator: %s\n", argv[0]);
    return 2;
}

} // namespace bench

/* ---- counting: marks ------------------------------------------------------------------------ */

void *single_alloc(const struct single_subject *s, size_t bytes)
{
    void *p = bench::count_alloc(s, bytes, MARK_ALLOC);
    if (p == nullptr) {
        bench::fail("an allocation of a single operation failed");
    }
    return p;
}

void single_free(const struct single_subject *s, void *p)
{
    bench::count_free(s, p, MARK_FREE);
}

void single_enter(enum single_phase phase)
{
    mark(MARK_PHASE + static_cast<uint32_t>(phase));
}

void single_had_frames(void)
{
    mark(MARK_FRAMES);
}

void single_elsewhere(void (*fn)(uint32_t cpu))
{
    bench::on_other_cpu(fn);
}
