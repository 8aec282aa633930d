/* SPDX-License-Identifier: BSD-2-Clause */
/* Copies from and to user memory, faults caught, beside memcpy. */
#include "bench.hh"

#include <cstring>

namespace bench {

template <size_t bytes> struct Copies {
    alignas(4096) static inline char from[bytes], to[bytes];

    static void read(uint64_t n)
    {
        for (; n > 0; n--) {
            if (kc_plat_user_read(to, kc_uva(reinterpret_cast<uintptr_t>(from)), bytes) != 0) {
                fail("a user copy faulted");
            }
        }
    }
    static void write(uint64_t n)
    {
        for (; n > 0; n--) {
            if (kc_plat_user_write(kc_uva(reinterpret_cast<uintptr_t>(to)), from, bytes) != 0) {
                fail("a user copy faulted");
            }
        }
    }
    static void bare(uint64_t n)
    {
        for (; n > 0; n--) {
            void *t = to;
            size_t size = bytes;
            hide(size);
            std::memcpy(t, from, size);
            hide(t);
        }
    }
    static void add_all()
    {
        const std::string of = std::to_string(bytes) + " bytes";
        const struct {
            const char *what;
            void (*run)(uint64_t);
        } ways[] = {{"read ", read}, {"write ", write}};
        for (const auto &w : ways) {
            add({"user", w.what + of, "kc_plat_user", Role::ours, "copy", 1024, 64, nullptr,
                 nullptr, w.run, nullptr});
            add({"user", w.what + of, "limit: memcpy", Role::limit, "copy", 1024, 64, nullptr,
                 nullptr, bare, nullptr});
        }
    }
};

void add_user()
{
    Copies<8>::add_all();
    Copies<512>::add_all();
    Copies<4096>::add_all();
    Copies<65536>::add_all();
}

} // namespace bench
