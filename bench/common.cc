/* SPDX-License-Identifier: BSD-2-Clause */
/* common.cc: what kc-bench and kc-probe share: chance, memory, and giving up. */
#include "alloc/ours.hh"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <host_ram.h>
#include <kc/early.h>

namespace bench {

uint64_t seed = 1;

/* Steele, Lea and Flood's splitmix64: cheap, for kc-probe runs where each instruction is traced. */
class Chance {
  public:
    using result_type = uint64_t;

    explicit Chance(uint64_t salt) : state_(seed * 1000003 + salt)
    {
    }
    static constexpr uint64_t min()
    {
        return 0;
    }
    static constexpr uint64_t max()
    {
        return UINT64_MAX;
    }
    uint64_t operator()()
    {
        uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        return z ^ z >> 31;
    }

  private:
    uint64_t state_;
};

void fail(const char *what)
{
    std::fprintf(stderr, "bench: %s\n", what);
    std::exit(4);
}

std::vector<uint32_t> random_below(uint32_t limit, uint64_t salt)
{
    Chance source(salt);
    std::vector<uint32_t> v(random_count);
    for (auto &x : v) {
        x = static_cast<uint32_t>(source() % limit);
    }
    return v;
}

std::vector<uint32_t> random_order(uint32_t count, uint64_t salt)
{
    Chance source(salt);
    std::vector<uint32_t> v(count);
    for (uint32_t i = 0; i < count; i++) {
        v[i] = i;
    }
    std::shuffle(v.begin(), v.end(), source);
    return v;
}

std::vector<uint32_t> random_sizes(uint64_t salt)
{
    std::vector<uint32_t> size = random_below(1u << 16, salt);
    for (uint32_t &s : size) {
        uint32_t top = 16u << (s % 8);
        s = top + (s >> 3) % top;
    }
    return size;
}

struct kc_frames *frames()
{
    static struct kc_boot_info info;
    static struct kc_early early;
    static struct kc_frames f;
    static bool made = false;
    if (!made) {
        made = true;
        if (host_ram_create(KC_GIB(1), &info) != KC_OK || kc_early_init(&early, &info) != KC_OK ||
            kc_frames_init(&f, &early, nullptr) != KC_OK) {
            fail("no hosted RAM");
        }
    }
    return &f;
}

} // namespace bench

/* ---- what kcore's allocators are made of (alloc/ours.h) ------------------------------------- */

struct kc_frames *ours_frames(void)
{
    return bench::frames();
}

void *ours_memory(size_t bytes)
{
    return bench::map_memory(bytes);
}

void ours_fail(const char *what)
{
    bench::fail(what);
}
