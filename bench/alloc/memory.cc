/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory: bytes held for bytes requested, one subject and question a process (kc-probe memory).
 *
 * What a process holds is its resident set; so it is measured for whoever takes memory from the
 * host. Frames that kcore's allocators give back stay resident in hosted RAM: for cache and heap it
 * is the frames they hold by their own statistics, 16 bytes of record for each, and their
 * structures, which is the most that a kernel would see. A pool is all that it was given.
 */
#include "ours.hh"
#include "peers.hh"
#include "probe.hh"
#include "work.hh"

#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace bench {

constexpr uint32_t objects = 100000;
static void *object[objects];
static uint32_t object_bytes[objects];
static size_t fixed_bytes; /* of objects, where the subject serves one size */

/* ---- what is held --------------------------------------------------------------------------- */

static uint64_t resident_at_start;

/* Exact, unlike /proc/self/statm, whose counts lag; and it allocates nothing. */
static uint64_t resident_now()
{
    char text[512];
    int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ssize_t n = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (file >= 0) {
        close(file);
    }
    text[n < 0 ? 0 : n] = 0;
    const char *rss = std::strstr(text, "Rss:");
    if (rss == nullptr) {
        fail("/proc/self/smaps_rollup does not say what is resident");
    }
    return std::strtoull(rss + 4, nullptr, 10) * 1024;
}

static uint64_t resident()
{
    uint64_t now = resident_now();
    return now > resident_at_start ? now - resident_at_start : 0;
}

static struct kc_pool pool;
static struct kc_cache cache;
static uint64_t used_at_start;

static uint64_t used_frames()
{
    struct kc_frame_stats s;
    kc_frame_stats(frames(), &s);
    return s.used_frames;
}

static uint64_t in_frames()
{
    return (used_frames() - used_at_start) * (KC_FRAME_BYTES + KC_FRAME_RECORD_BYTES);
}

static uint64_t cache_held()
{
    return in_frames() + sizeof cache;
}

static uint64_t heap_held()
{
    return in_frames() + sizeof Heap::heap;
}

/* ---- subjects ------------------------------------------------------------------------------- */

struct Store {
    std::string name;
    const char *role;
    bool any_size; /* else all objects have fixed_bytes */
    void (*open)();
    void *(*alloc)(size_t bytes);
    void (*free)(void *p);
    uint64_t (*held)();
};

static std::vector<Store> stores;

static void open_pool()
{
    ours_pool_make(&pool, fixed_bytes, objects, false);
}
static void *pool_alloc(size_t)
{
    return kc_pool_alloc(&pool);
}
static void pool_free(void *p)
{
    (void)kc_pool_free(&pool, p);
}
/* The blocks asked for, and their part of the bookkeeping. */
static uint64_t pool_held()
{
    struct kc_pool_stats s;
    kc_pool_stats(&pool, &s);
    return s.stride_bytes * s.live + s.meta_bytes * s.live / s.capacity + s.cpu_bytes + sizeof pool;
}

static void open_cache()
{
    ours_cache_make(&cache, fixed_bytes, false);
}
static void *cache_alloc(size_t)
{
    return kc_cache_alloc(&cache, 0);
}
static void cache_free(void *p)
{
    (void)kc_cache_free(&cache, p);
}
static void open_dpdk()
{
    std::string why = dpdk_open(fixed_bytes, objects);
    if (!why.empty()) {
        fail(why.c_str());
    }
}

static void nothing()
{
}

static void list_stores(const char *only)
{
    stores.push_back({"kc_pool", "ours", false, open_pool, pool_alloc, pool_free, pool_held});
    stores.push_back({"kc_cache", "ours", false, open_cache, cache_alloc, cache_free, cache_held});
    stores.push_back({"kc_heap", "ours", true, Heap::begin, Heap::alloc, Heap::free, heap_held});
    each_peer(
        "memory",
        [](auto peer, const char *name) {
            using P = decltype(peer);
            stores.push_back({name, "peer", true, nothing, P::alloc, P::free, resident});
        },
        only);
    stores.push_back({dpdk_name, "peer", false, open_dpdk, dpdk_alloc, dpdk_free, resident});
}

/* ---- questions ------------------------------------------------------------------------------ */

static void get(const Store &s, uint32_t i, size_t bytes)
{
    object[i] = s.alloc(bytes);
    if (object[i] == nullptr) {
        fail("an allocation failed");
    }
    object_bytes[i] = static_cast<uint32_t>(bytes);
    std::memset(object[i], 1, bytes); /* what is not touched is not held */
}

static void put(const Store &s, uint32_t i)
{
    s.free(object[i]);
    object[i] = nullptr;
}

static void start(const Store &s)
{
    std::memset(object, 0, sizeof object);
    std::memset(object_bytes, 0, sizeof object_bytes);
    /* DPDK's memory manager takes much for itself, once: that is no part of an object. */
    if (s.name == dpdk_name) {
        (void)dpdk_start();
    }
    used_at_start = used_frames();
    resident_at_start = resident_now();
    s.open();
}

static int each_object(const Store &s, size_t bytes)
{
    fixed_bytes = bytes;
    start(s);
    for (uint32_t i = 0; i < objects; i++) {
        get(s, i, bytes);
    }
    std::printf("%llu\n", static_cast<unsigned long long>(s.held() * 1000 / (bytes * objects)));
    return 0;
}

/* Held over requested as it goes: a sample each hundredth of the way. */
class Course {
  public:
    explicit Course(const Store &s) : s_(s)
    {
    }
    void get(uint32_t i, size_t bytes)
    {
        bench::get(s_, i, bytes);
        requested_ += bytes;
    }
    void put(uint32_t i)
    {
        if (object[i] != nullptr) {
            requested_ -= object_bytes[i];
            bench::put(s_, i);
        }
    }
    void sample()
    {
        std::printf("%llu %llu\n", static_cast<unsigned long long>(requested_),
                    static_cast<unsigned long long>(s_.held()));
    }

  private:
    const Store &s_;
    uint64_t requested_ = 0;
};

constexpr uint32_t course_samples = 100, course_live = 20000;

/* A server: requests of many sizes, most of them short-lived, one in sixteen stays ten times
 * longer. */
static void sessions(Course &c)
{
    std::vector<uint32_t> slot = random_below(course_live, 21), size = random_sizes(22);
    uint64_t n = 0;
    for (uint32_t i = 0; i < course_samples; i++) {
        for (uint32_t k = 0; k < 10000; k++, n++) {
            uint32_t at = slot[n % random_count];
            /* Places of long-lived ones are passed over nine times of ten. */
            if (at % 16 == 0 && (n * 7 + at / 16) % 10 != 0) {
                continue;
            }
            c.put(at);
            c.get(at, size[(n * 5 + 3) % random_count]);
        }
        c.sample();
    }
}

/* A compiler: passes with a mix of sizes of their own; one in ten of a pass's objects stays. */
static void passes(Course &c)
{
    constexpr uint32_t count = 10, each = course_live;
    std::vector<uint32_t> chance = random_below(1u << 20, 23);
    uint64_t n = 0;
    for (uint32_t pass = 0; pass < count; pass++) {
        uint32_t around = 16u + 40u * (pass * 7 % count);
        for (uint32_t k = 0; k < each; k++, n++) {
            uint32_t at = k;
            if (object[at] != nullptr && object_bytes[at] % 10 == 0) {
                continue; /* a survivor, until the end */
            }
            c.put(at);
            c.get(at, around + chance[n % random_count] % around);
            if (k % (each / 5) == each / 5 - 1) {
                c.sample();
            }
        }
        for (uint32_t k = 0; k < each; k++, n++) {
            if (object[k] != nullptr && chance[n % random_count] % 10 != 0) {
                c.put(k);
            }
            if (k % (each / 5) == each / 5 - 1) {
                c.sample();
            }
        }
    }
}

/* Day and night: load rises and falls, and each day asks for sizes other than the day before. */
static void tides(Course &c)
{
    std::vector<uint32_t> order = random_order(course_live, 24), size = random_sizes(25);
    uint64_t n = 0;
    for (uint32_t day = 0; day < 5; day++) {
        for (uint32_t hour = 0; hour < 20; hour++) {
            for (uint32_t k = 0; k < course_live / 10; k++, n++) {
                uint32_t at = order[(hour % 10 * (course_live / 10) + k) % course_live];
                if (hour < 10) {
                    if (object[at] == nullptr) {
                        c.get(at, size[n % random_count] / (1 + day) + 8 * (day + 1));
                    }
                } else if (n % 20 != 0) { /* one in twenty stays over night */
                    c.put(at);
                }
            }
            c.sample();
        }
    }
}

static const struct {
    const char *name;
    void (*run)(Course &c);
} scenarios[] = {{"sessions", sessions}, {"passes", passes}, {"tides", tides}};

int probe_memory(int argc, char **argv)
{
    const bool list = std::strcmp(argv[0], "list") == 0;
    list_stores(list ? nullptr : argv[0]);
    if (list) {
        for (const Store &s : stores) {
            std::string why = s.name == dpdk_name ? dpdk_start() : "";
            if (why.empty()) {
                std::printf("%s\t%s\t%s\n", s.name.c_str(), s.role, s.any_size ? "any" : "fixed");
            } else {
                missing("memory", s.name, why);
            }
        }
        return 0;
    }
    for (const Store &s : stores) {
        if (s.name != argv[0] || argc < 2) {
            continue;
        }
        for (const auto &scenario : scenarios) {
            if (std::strcmp(argv[1], scenario.name) == 0 && s.any_size) {
                start(s);
                Course course(s);
                scenario.run(course);
                return 0;
            }
        }
        size_t bytes = std::strtoull(argv[1], nullptr, 10);
        if (bytes >= 8) {
            return each_object(s, bytes);
        }
    }
    std::fprintf(stderr, "kc-probe: no such allocator, size or scenario\n");
    return 2;
}

} // namespace bench
