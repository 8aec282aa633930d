/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables of the 4 KiB granule on the hosted body, live (barriers are fences, TLBIs are calls),
 * beside a bare loop: descriptors stored to tables that are there already, no check, no order.
 */
#include "bench.hh"

#include <kc/pt.h>

namespace bench {

constexpr uint64_t page = KC_FRAME_BYTES, mib2 = KC_MIB(2);
constexpr uint64_t base_ia = UINT64_C(1) << 39, base_pa = UINT64_C(1) << 32;
constexpr uint64_t entries = 512;

/* ---- ours ----------------------------------------------------------------------------------- */

/* One tree of leaves of `leaf` bytes; `held` leaves are mapped from base_ia on. */
template <uint64_t leaf> struct Tree {
    static inline struct kc_pt pt;
    static inline uint64_t held;
    static inline bool made, writable;
    static constexpr uint64_t all = leaf == page ? KC_GIB(1) / page : KC_GIB(64) / mib2;

    static void expect(kc_status_t status)
    {
        if (__builtin_expect(status != KC_OK, 0)) {
            fail(kc_status_name(status));
        }
    }
    static void begin()
    {
        if (made) {
            return;
        }
        made = true;
        struct kc_pt_config c = {};
        c.format.stage = KC_A64_STAGE1;
        c.format.granule_log2 = 12;
        c.format.va_bits = 48;
        c.format.pa_bits = 40;
        c.source.frames = frames();
        c.asid = 1;
        c.level_min = leaf == page ? 3 : 2;
        expect(kc_pt_init(&pt, &c));
        kc_pt_set_live(&pt);
    }
    static struct kc_pt_attr attr()
    {
        return kc_pt_attr(KC_PT_R | (writable ? KC_PT_W : 0), KC_A64_MEM_NORMAL, false);
    }
    static void map(uint64_t n)
    {
        expect(kc_pt_map(&pt, kc_ia(base_ia), kc_pa(base_pa), n * leaf, attr()));
        held = n;
    }
    static void unmap(uint64_t n)
    {
        expect(kc_pt_unmap(&pt, kc_ia(base_ia), n * leaf));
        held -= n;
    }
    static void protect(uint64_t n)
    {
        writable = !writable;
        expect(kc_pt_protect(&pt, kc_ia(base_ia), n * leaf, attr()));
    }
    /* One page in the middle of a populated table, unmapped and mapped again. */
    static void replace(uint64_t n)
    {
        constexpr uint64_t at = all / 2 + entries / 2;
        for (; n > 0; n--) {
            expect(kc_pt_unmap(&pt, kc_ia(base_ia + at * leaf), leaf));
            expect(kc_pt_map(&pt, kc_ia(base_ia + at * leaf), kc_pa(base_pa + at * leaf), leaf,
                             attr()));
        }
    }
    static void make_empty()
    {
        if (held != 0) {
            expect(kc_pt_unmap(&pt, kc_ia(base_ia), held * leaf));
            held = 0;
        }
    }
    static void make_full()
    {
        if (held != all) {
            make_empty();
            map(all);
        }
    }
    static inline std::vector<uint32_t> at;
    static void begin_full()
    {
        begin();
        make_full();
        at = random_below(static_cast<uint32_t>(all), 5);
    }
    static void translate_hot(uint64_t n)
    {
        struct kc_pt_walk w;
        for (; n > 0; n--) {
            expect(kc_pt_translate(&pt, kc_ia(base_ia), &w));
            hide(w.pa);
        }
    }
    static void translate_cold(uint64_t n)
    {
        struct kc_pt_walk w;
        for (uint64_t i = 0; i < n; i++) {
            expect(kc_pt_translate(&pt, kc_ia(base_ia + at[i & (random_count - 1)] * leaf), &w));
            hide(w.pa);
        }
    }
};

/* ---- the limit ------------------------------------------------------------------------------ */

template <uint64_t leaf> struct Bare {
    using Ours = Tree<leaf>;
    static constexpr uint64_t tables = Ours::all / entries;
    static constexpr uint64_t leaf_bits = leaf == page ? 0x703 : 0x701;
    /* Levels above the last, as deep as ours, and the last. */
    alignas(4096) static inline uint64_t upper[2][entries];
    alignas(4096) static inline uint64_t top[entries];
    static inline uint64_t (*last)[entries];
    static inline std::vector<uint32_t> at;

    static void begin()
    {
        if (last != nullptr) {
            return;
        }
        last = static_cast<uint64_t(*)[entries]>(aligned_alloc(4096, tables * 4096));
        for (uint64_t t = 0; t < tables; t++) {
            for (uint64_t &d : last[t]) {
                d = 0;
            }
        }
        top[0] = reinterpret_cast<uintptr_t>(upper[0]) | 3;
        upper[0][0] = reinterpret_cast<uintptr_t>(upper[1]) | 3;
        at = random_below(static_cast<uint32_t>(Ours::all), 5);
        map(Ours::all);
    }
    static void map(uint64_t n)
    {
        uint64_t value = base_pa | leaf_bits;
        for (uint64_t i = 0; i < n; i += entries) {
            uint64_t *d = last[i / entries];
            for (uint64_t k = 0; k < entries; k++, value += leaf) {
                d[k] = value;
            }
            hide(d);
            upper[1][i / entries] = reinterpret_cast<uintptr_t>(d) | 3;
        }
    }
    static void unmap(uint64_t n)
    {
        for (uint64_t i = 0; i < n; i += entries) {
            uint64_t *d = last[i / entries];
            for (uint64_t k = 0; k < entries; k++) {
                d[k] = 0;
            }
            hide(d);
        }
    }
    static void protect(uint64_t n)
    {
        for (uint64_t i = 0; i < n; i += entries) {
            uint64_t *d = last[i / entries];
            for (uint64_t k = 0; k < entries; k++) {
                d[k] ^= 0x80;
            }
            hide(d);
        }
    }
    static void replace(uint64_t n)
    {
        uint64_t *d = &last[tables / 2][entries / 2];
        for (; n > 0; n--) {
            __atomic_store_n(d, 0, __ATOMIC_RELAXED);
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
            __atomic_store_n(d, base_pa | leaf_bits, __ATOMIC_RELAXED);
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
        }
    }
    static uint64_t walk(uint64_t ia)
    {
        const uint64_t *t = top;
#pragma GCC unroll 3
        for (int shift = 39; shift > 12; shift -= 9) {
            t = reinterpret_cast<const uint64_t *>(t[(ia >> shift) % entries] & ~UINT64_C(0xfff));
        }
        return (t[(ia >> 12) % entries] & UINT64_C(0xfffffffff000)) | (ia & 0xfff);
    }
    static void translate_hot(uint64_t n)
    {
        for (; n > 0; n--) {
            uint64_t ia = 0;
            hide(ia);
            uint64_t pa = walk(ia);
            hide(pa);
        }
    }
    static void translate_cold(uint64_t n)
    {
        for (uint64_t i = 0; i < n; i++) {
            uint64_t pa = walk(at[i & (random_count - 1)] * leaf);
            hide(pa);
        }
    }
};

/* ---- cases ---------------------------------------------------------------------------------- */

template <uint64_t leaf> static void add_leaves(const char *what, const char *item)
{
    using T = Tree<leaf>;
    using B = Bare<leaf>;
    const std::string of = std::string(", ") + what;
    const Role ours = Role::ours, limit = Role::limit;
    const char *const bare = "limit: bare loop";
    auto empty = T::make_empty, full = T::make_full;
    add({"tables", "map" + of, "kc_pt", ours, item, T::all, 1024, T::begin, empty, T::map, empty});
    add({"tables", "map" + of, bare, limit, item, T::all, 1024, B::begin, nullptr, B::map,
         nullptr});
    add({"tables", "protect" + of, "kc_pt", ours, item, T::all, 1024, T::begin, full, T::protect,
         T::make_empty});
    add({"tables", "protect" + of, bare, limit, item, T::all, 1024, B::begin, nullptr, B::protect,
         nullptr});
    add({"tables", "unmap" + of, "kc_pt", ours, item, T::all, 0, T::begin, full, T::unmap, empty});
    add({"tables", "unmap" + of, bare, limit, item, T::all, 1024, B::begin, nullptr, B::unmap,
         nullptr});
}

void add_tables()
{
    using T = Tree<page>;
    using B = Bare<page>;
    const Role ours = Role::ours, limit = Role::limit;
    const char *const bare = "limit: bare loop";
    add_leaves<page>("1 GiB of 4 KiB pages", "page");
    add_leaves<mib2>("64 GiB of 2 MiB blocks", "block");
    auto refill = [] { B::map(T::all); };
    add({"tables", "unmap and map one page", "kc_pt", ours, "pair", 4096, 64, T::begin_full,
         nullptr, T::replace, T::make_empty});
    add({"tables", "unmap and map one page", bare, limit, "pair", 4096, 64, B::begin, nullptr,
         B::replace, nullptr});
    add({"tables", "translate, hot", "kc_pt", ours, "walk", 4096, 512, T::begin_full, nullptr,
         T::translate_hot, T::make_empty});
    add({"tables", "translate, hot", bare, limit, "walk", 4096, 512, B::begin, refill,
         B::translate_hot, nullptr});
    add({"tables", "translate, random in 1 GiB", "kc_pt", ours, "walk", 65536, 512, T::begin_full,
         nullptr, T::translate_cold, T::make_empty});
    add({"tables", "translate, random in 1 GiB", bare, limit, "walk", 65536, 512, B::begin, refill,
         B::translate_cold, nullptr});
}

} // namespace bench
