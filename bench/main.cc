/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program of all benchmarks. bench/report.py runs it once a round; by hand:
 *
 *     kc-bench [--group=G] [--seed=N] [Google Benchmark's options]
 *     kc-bench --cases [--group=G]     the cases and the missing peers, as JSON
 *     kc-bench --count [--group=G]     run each twice; under callgrind, one dump a case
 */
#include "bench.hh"

#include <algorithm>
#include <benchmark/benchmark.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <host.h>
#include <random>
#if BENCH_HAVE_CALLGRIND
#include <valgrind/callgrind.h>
#endif

namespace bench {

static std::vector<Case> cases;
static std::string missing_json;

void add(const Case &c)
{
    cases.push_back(c);
}

void missing(const char *group, const std::string &subject, const std::string &why)
{
    missing_json += std::string(missing_json.empty() ? "" : ",") + "\n {\"group\":\"" + group +
                    "\",\"subject\":\"" + subject + "\",\"why\":\"" + why + "\"}";
}

static void time_case(benchmark::State &state, const Case &c)
{
    if (c.begin != nullptr) {
        c.begin();
    }
    for (auto _ : state) {
        if (c.prepare != nullptr) {
            state.PauseTiming();
            c.prepare();
            state.ResumeTiming();
        }
        c.run(c.items);
    }
    if (c.end != nullptr) {
        c.end();
    }
}

static std::string name_of(const Case &c)
{
    return std::string(c.group) + "/" + c.workload + "/" + c.subject;
}

/* Items that --count counts: enough for what is done once a call not to show. 0: none. */
static uint64_t counted(const Case &c)
{
    return c.step >= 4096 ? c.step : c.step * 8;
}

/* Callgrind counts the second of two equal runs, and dumps it; the names are printed in that order.
 */
static void count_case(const Case &c)
{
    if (c.step == 0) {
        return;
    }
    if (c.begin != nullptr) {
        c.begin();
    }
    for (int i = 0; i < 2; i++) {
        if (c.prepare != nullptr) {
            c.prepare();
        }
#if BENCH_HAVE_CALLGRIND
        CALLGRIND_ZERO_STATS;
#endif
        c.run(counted(c));
    }
#if BENCH_HAVE_CALLGRIND
    CALLGRIND_DUMP_STATS;
#endif
    std::printf("%s\n", name_of(c).c_str());
    if (c.end != nullptr) {
        c.end();
    }
}

static void print_cases()
{
    static const char *const roles[] = {"ours", "limit", "peer"};
    std::printf("{\"cases\":[");
    const char *comma = "";
    for (const Case &c : cases) {
        std::printf("%s\n {\"name\":\"%s\",\"group\":\"%s\",\"workload\":\"%s\",\"subject\":\"%s\","
                    "\"role\":\"%s\",\"item\":\"%s\",\"items\":%llu,\"counted\":%llu,"
                    "\"wall\":%s}",
                    comma, name_of(c).c_str(), c.group, c.workload.c_str(), c.subject.c_str(),
                    roles[static_cast<int>(c.role)], c.item,
                    static_cast<unsigned long long>(c.items),
                    static_cast<unsigned long long>(counted(c)), c.wall ? "true" : "false");
        comma = ",";
    }
    std::printf(
        "],\n\"missing\":[%s],\n\"compiler\":\"%s\",\"hardening\":%d,\"assert_level\":%d}\n",
        missing_json.c_str(), __VERSION__, KC_HARDENING, KC_ASSERT_LEVEL);
}

} // namespace bench

int main(int argc, char **argv)
{
    bool print = false, count = false;
    /* Under callgrind the hosted body would tell Memcheck of each allocation. */
    host_watch_tools(false);
    std::string group;
    int kept = 1;
    for (int i = 1; i < argc; i++) {
        if (std::strncmp(argv[i], "--group=", 8) == 0) {
            group = argv[i] + 8;
        } else if (std::strncmp(argv[i], "--seed=", 7) == 0) {
            bench::seed = std::strtoull(argv[i] + 7, nullptr, 0);
        } else if (std::strcmp(argv[i], "--cases") == 0) {
            print = true;
        } else if (std::strcmp(argv[i], "--count") == 0) {
            count = true;
        } else {
            argv[kept++] = argv[i];
        }
    }
    argc = kept;
    static const struct {
        const char *name;
        void (*add)();
    } groups[] = {{"pool", bench::add_pool},     {"cache", bench::add_cache},
                  {"heap", bench::add_heap},     {"threads", bench::add_two_cpus},
                  {"tables", bench::add_tables}, {"region", bench::add_region},
                  {"user", bench::add_user},     {"sync", bench::add_sync}};
    bool known = group.empty();
    for (const auto &g : groups) {
        if (group.empty() || group == g.name) {
            known = true;
            g.add();
        }
    }
    if (!known) {
        std::fprintf(stderr, "kc-bench: no such group: %s\n", group.c_str());
        return 2;
    }
    if (print) {
        bench::print_cases();
        return 0;
    }
    if (count) {
        for (const bench::Case &c : bench::cases) {
            bench::count_case(c);
        }
        return 0;
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    std::mt19937_64 source(bench::seed);
    std::shuffle(bench::cases.begin(), bench::cases.end(), source);
    for (const bench::Case &c : bench::cases) {
        auto *b = benchmark::RegisterBenchmark(bench::name_of(c).c_str(), bench::time_case, c);
        if (c.wall) {
            b->UseRealTime();
        }
    }
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
