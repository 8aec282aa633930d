/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which region holds an address, beside std::map and a bare binary search of a sorted array; and
 * taking one region out and putting it back, beside std::map and a sorted vector that moves its
 * tail.
 */
#include "bench.hh"

#include <algorithm>
#include <kc/region.h>
#include <map>

namespace bench {

constexpr uint64_t region_bytes = 0x3000, region_stride = 0x4000;

template <uint32_t count> struct Regions {
    static inline struct kc_region_map map;
    static inline std::vector<struct kc_region_node> node;
    static inline std::vector<struct kc_region> sorted;
    static inline std::map<uint64_t, struct kc_region> tree;
    static inline std::vector<uint64_t> base;
    static inline std::vector<uint32_t> at;

    static struct kc_region region(uint32_t i)
    {
        struct kc_region r = {};
        r.base = kc_ia(i * region_stride);
        r.size = region_bytes;
        r.perms = KC_REGION_READ;
        return r;
    }
    static void begin()
    {
        if (!node.empty()) {
            return;
        }
        at = random_below(count * region_stride, 7);
        node.resize(KC_REGION_NODES(count));
        if (kc_region_map_init(&map, "bench", node.data(), KC_REGION_NODES(count)) != KC_OK) {
            fail("no region map");
        }
        /* In random order, so that nodes are as full as they are on the average. */
        for (uint32_t i : random_order(count, 8)) {
            struct kc_region r = region(i);
            if (kc_region_add(&map, &r) != KC_OK) {
                fail("a region was refused");
            }
            tree[i * region_stride] = r;
        }
        for (uint32_t i = 0; i < count; i++) {
            sorted.push_back(region(i));
            base.push_back(i * region_stride);
        }
    }
    static uint64_t query(uint64_t i)
    {
        return at[i & (random_count - 1)];
    }
    static void ours(uint64_t n)
    {
        for (uint64_t i = 0; i < n; i++) {
            struct kc_region r = {};
            bool found = kc_region_find(&map, kc_ia(query(i)), &r);
            hide(found);
        }
    }
    static void judge(uint64_t n)
    {
        for (uint64_t i = 0; i < n; i++) {
            struct kc_region_access a = {kc_ia(query(i)), 8, KC_REGION_KERNEL, KC_REGION_READ};
            enum kc_region_answer answer = kc_region_check_access(&map, &a, nullptr);
            hide(answer);
        }
    }
    static void std_map(uint64_t n)
    {
        for (uint64_t i = 0; i < n; i++) {
            uint64_t a = query(i);
            auto it = tree.upper_bound(a);
            const struct kc_region *r = nullptr;
            if (it != tree.begin() && a - (--it)->first < it->second.size) {
                r = &it->second;
            }
            hide(r);
        }
    }
    static void bare(uint64_t n)
    {
        const uint64_t *bases = base.data();
        for (uint64_t i = 0; i < n; i++) {
            uint64_t a = query(i);
            const uint64_t *b = bases;
            for (uint32_t left = count; left > 1;) {
                uint32_t half = left / 2;
                b += b[half] <= a ? half : 0;
                left -= half;
            }
            const uint64_t *r = a - *b < region_bytes ? b : nullptr;
            hide(r);
        }
    }

    /* Out and in again: the number of regions stays. */
    static void ours_change(uint64_t n)
    {
        for (uint64_t i = 0; i < n; i++) {
            struct kc_region r = region((uint32_t)(query(i) / region_stride));
            if (kc_region_remove(&map, r.base, r.size, nullptr) != KC_OK ||
                kc_region_add(&map, &r) != KC_OK) {
                fail("a change was refused");
            }
        }
    }
    static void std_map_change(uint64_t n)
    {
        for (uint64_t i = 0; i < n; i++) {
            struct kc_region r = region((uint32_t)(query(i) / region_stride));
            tree.erase(tree.find(kc_ia_raw(r.base)));
            tree.emplace(kc_ia_raw(r.base), r);
        }
    }
    static void sorted_change(uint64_t n)
    {
        auto below = [](const struct kc_region &a, const struct kc_region &b) {
            return kc_ia_lt(a.base, b.base);
        };
        for (uint64_t i = 0; i < n; i++) {
            struct kc_region r = region((uint32_t)(query(i) / region_stride));
            sorted.erase(std::lower_bound(sorted.begin(), sorted.end(), r, below));
            sorted.insert(std::lower_bound(sorted.begin(), sorted.end(), r, below), r);
        }
    }

    static void add_all()
    {
        const std::string of = "find, " + std::to_string(count) + " regions";
        const std::string access = "check access, " + std::to_string(count) + " regions";
        add({"region", of, "kc_region", Role::ours, "query", 65536, 512, begin, nullptr, ours,
             nullptr});
        add({"region", of, "limit: sorted array", Role::limit, "query", 65536, 512, begin, nullptr,
             bare, nullptr});
        add({"region", of, "std::map", Role::peer, "query", 65536, 512, begin, nullptr, std_map,
             nullptr});
        add({"region", access, "kc_region", Role::ours, "query", 65536, 512, begin, nullptr, judge,
             nullptr});
        add({"region", access, "limit: sorted array", Role::limit, "query", 65536, 512, begin,
             nullptr, bare, nullptr});
        const std::string change = "remove and add, " + std::to_string(count) + " regions";
        add({"region", change, "kc_region", Role::ours, "pair", 1024, 64, begin, nullptr,
             ours_change, nullptr});
        add({"region", change, "std::map", Role::peer, "pair", 1024, 64, begin, nullptr,
             std_map_change, nullptr});
        add({"region", change, "sorted vector", Role::peer, "pair", 1024, 64, begin, nullptr,
             sorted_change, nullptr});
    }
};

/* ---- kinds of addresses: the same sums and tests with structs of one member and with integers - */

static std::vector<uint32_t> offsets;

static void begin_kinds()
{
    offsets = random_below(1u << 20, 8);
}

static void with_kinds(uint64_t n)
{
    kc_pa_t base = kc_pa(0x40000000), top = kc_pa(0x40100000);
    uint64_t within = 0;
    for (uint64_t i = 0; i < n; i++) {
        kc_pa_t a;
        if (kc_pa_add(base, offsets[i & (random_count - 1)], &a) && kc_pa_lt(a, top)) {
            within += kc_pa_diff(kc_pa_align_down(a, 4096), base);
        }
    }
    hide(within);
}

static void with_integers(uint64_t n)
{
    uint64_t base = 0x40000000, top = 0x40100000, within = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t a;
        if (!__builtin_add_overflow(base, uint64_t{offsets[i & (random_count - 1)]}, &a) &&
            a < top) {
            within += (a & ~uint64_t{4095}) - base;
        }
    }
    hide(within);
}

void add_region()
{
    add({"region", "sum and compare addresses", "kc_pa_t", Role::ours, "address", 65536, 512,
         begin_kinds, nullptr, with_kinds, nullptr});
    add({"region", "sum and compare addresses", "limit: integers", Role::limit, "address", 65536,
         512, begin_kinds, nullptr, with_integers, nullptr});
    Regions<16>::add_all();
    Regions<4096>::add_all();
    Regions<100000>::add_all();
}

} // namespace bench
