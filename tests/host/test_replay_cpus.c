/* SPDX-License-Identifier: BSD-2-Clause */
/* The bundled sample on one CPU and on several, threads of the host: same totals, nothing overlaps.
 */
#include "kc_test.h"

#include "replay.h"
#include "trace.h"

#include <host.h>
#include <host_ram.h>

#include <pthread.h>

static struct kc_early early;
static struct kc_frames frames;
static struct kc_frame_cpu lists[KC_CPUS_MAX];
static struct kc_misuse misuse;
static struct kc_replay_latencies latency[KC_CPUS_MAX];
static struct kc_replay *replay;

static void *run_cpu(void *arg)
{
    uint32_t cpu = (uint32_t)(uintptr_t)arg;
    host_cpu_set(cpu);
    return kc_replay_run(replay, cpu) == KC_OK ? arg : NULL;
}

static void run_sample(uint32_t cpus, struct kc_replay_result *out)
{
    struct kc_boot_info info;
    struct sim_trace_error error;
    struct kc_frame_stats stats;
    const struct sim_trace_options options = {NULL, NULL};
    pthread_t thread[KC_CPUS_MAX];
    kc_misuse_init(&misuse, KC_MISUSE_REPORT);
    cr_assert_eq(host_ram_create(KC_MIB(256), &info), KC_OK);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    cr_assert_eq(kc_frames_set_cpus(&frames, lists, cpus), KC_OK);
    struct sim_trace *t = sim_trace_open(&options, &error);
    cr_assert_not_null(t, "%s", error.text);
    const struct kc_replay_config config = {
        .frames = &frames,
        .misuse = &misuse,
        .source = {sim_trace_fill, t},
        .cpu_count = cpus,
        .latency = latency,
    };
    cr_assert_eq(kc_replay_init(&config, &replay), KC_OK);
    for (uint32_t i = 1; i < cpus; i++) {
        cr_assert_eq(pthread_create(&thread[i], NULL, run_cpu, (void *)(uintptr_t)i), 0);
    }
    cr_expect_eq(kc_replay_run(replay, 0), KC_OK);
    for (uint32_t i = 1; i < cpus; i++) {
        void *result;
        cr_assert_eq(pthread_join(thread[i], &result), 0);
        cr_expect_not_null(result, "CPU %u", i);
    }
    const struct kc_trace_totals *sum = sim_trace_totals(t);
    cr_expect_geq(kc_replay_progress(replay), sum->allocs + sum->frees, "every event was done");
    kc_replay_shutdown(replay, out);
    kc_replay_fini(replay);
    sim_trace_close(t);
    kc_frame_stats(&frames, &stats);
    cr_expect_eq(stats.used_frames, 0);
    cr_expect_eq(kc_frames_fini(&frames), KC_OK);
    host_ram_destroy();
    cr_expect_eq(kc_misuse_total(&misuse), 0);
    cr_expect_eq(out->overlaps, 0);
    cr_expect_eq(out->leaks, 0);
    cr_expect_eq(out->failures, 0);
    cr_expect_eq(out->page_failures, 0);
}

Test(replay_cpus, several_cpus_serve_what_one_serves)
{
    static struct kc_replay_result one;
    static struct kc_replay_result more;
    run_sample(1, &one);
    cr_assert_gt(one.trace.allocs, 50000);
    cr_assert(one.source.footprint_known);
    for (uint32_t cpus = 2; cpus <= 4; cpus++) {
        run_sample(cpus, &more);
        cr_expect_arr_eq(&more.trace, &one.trace, sizeof(one.trace));
        cr_expect_eq(more.live_at_end, one.live_at_end);
        cr_expect_eq(more.page_live_at_end, one.page_live_at_end);
        cr_expect_eq(more.alloc.count, one.alloc.count);
        cr_expect_eq(more.free.count, one.free.count);
        cr_expect_eq(more.source.footprint_milli_pct, one.source.footprint_milli_pct,
                     "the model of Linux sees the trace in order");
    }
}
