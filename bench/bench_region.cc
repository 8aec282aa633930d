/* SPDX-License-Identifier: BSD-2-Clause */
/* Which region holds an address: beside std::map and a bare binary search of a sorted array. */
#include "bench.hh"

#include <kc/region.h>
#include <map>

namespace bench {

constexpr uint64_t region_bytes = 0x3000, region_stride = 0x4000;

template <uint32_t count> struct Regions {
    static inline struct kc_region_map map;
    static inline std::vector<struct kc_region> slot;
    static inline std::map<uint64_t, struct kc_region> tree;
    static inline std::vector<uint64_t> base;
    static inline std::vector<uint32_t> at;

    static void begin()
    {
        if (!slot.empty()) {
            return;
        }
        at = random_below(count * region_stride, 7);
        slot.resize(count);
        if (kc_region_map_init(&map, "bench", slot.data(), count) != KC_OK) {
            fail("no region map");
        }
        for (uint32_t i = 0; i < count; i++) {
            struct kc_region r = {};
            r.base = kc_ia(i * region_stride);
            r.size = region_bytes;
            r.perms = KC_REGION_READ;
            if (kc_region_add(&map, &r) != KC_OK) {
                fail("a region was refused");
            }
            tree[i * region_stride] = r;
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
            const struct kc_region *r = kc_region_find(&map, kc_ia(query(i)));
            hide(r);
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
    }
};

void add_region()
{
    Regions<16>::add_all();
    Regions<4096>::add_all();
    Regions<100000>::add_all();
}

} // namespace bench
