// SPDX-License-Identifier: BSD-2-Clause
// new and delete over malloc(): prints the same with libkcore-malloc and without.
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

struct alignas(256) Wide {
    unsigned char bytes[300];
};

static std::uint64_t work(unsigned n)
{
    std::map<std::string, std::vector<std::string>> words;
    for (unsigned i = 0; i < 3000; i++) {
        words[std::to_string(i * n % 701)].push_back(
            std::string(i % 90, static_cast<char>('a' + n)));
    }
    std::uint64_t sum = 0;
    for (const auto &w : words) {
        for (const auto &s : w.second) {
            sum = sum * 31 + s.size() + w.first.size();
        }
    }
    return sum;
}

int main()
{
    bool aligned = true;
    for (int i = 0; i < 100; i++) {
        auto w = std::make_unique<Wide>();
        auto many = std::make_unique<Wide[]>(7);
        aligned = aligned && reinterpret_cast<std::uintptr_t>(w.get()) % 256 == 0 &&
                  reinterpret_cast<std::uintptr_t>(many.get()) % 256 == 0;
    }
    bool refused = false;
    try {
        static char *volatile p = nullptr; // not to be optimised away
        volatile std::size_t n = SIZE_MAX / 4;
        p = new char[n];
        delete[] p;
    } catch (const std::bad_alloc &) {
        refused = true;
    }
    std::vector<std::uint64_t> sums(8);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < sums.size(); i++) {
        threads.emplace_back([&sums, i] { sums[i] = work(i + 2); });
    }
    for (auto &t : threads) {
        t.join();
    }
    std::printf("aligned %d, refused %d\n", aligned, refused);
    for (std::uint64_t s : sums) {
        std::printf("%llu\n", static_cast<unsigned long long>(s));
    }
    return aligned && refused ? 0 : 1;
}
