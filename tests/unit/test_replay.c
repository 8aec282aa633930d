/* SPDX-License-Identifier: BSD-2-Clause */
/* The replay and its JSON: traces of a few events whose sums are worked out by hand. */
#include "kc_test.h"

#include <kc/tag.h>

#include "replay.h"
#include "report_json.h"

#define EVENTS_MAX 1024u /* more than two batches of the replay */
#define JSON_MAX   4096u

static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;
static struct kc_replay_result result;
static char json[JSON_MAX];
static size_t json_size;

/* ---- a trace made by hand -------------------------------------------------------------------- */

static struct kc_event script[EVENTS_MAX];
static struct kc_trace_type type[8];
static uint32_t script_count;
static uint32_t script_at;
static uint32_t script_batch; /* events per fill at most */
static uint64_t script_time;
static kc_status_t script_end; /* status behind the last event */
static void (*script_hook)(uint32_t at);

static kc_status_t fill(void *ctx, struct kc_event *buf, uint32_t max, uint32_t *n)
{
    (void)ctx;
    *n = 0;
    if (script_hook != NULL) {
        script_hook(script_at);
    }
    while (*n < max && *n < script_batch && script_at < script_count) {
        buf[(*n)++] = script[script_at++];
    }
    return *n == 0 ? script_end : KC_OK;
}

static struct kc_event *add(uint32_t kind)
{
    struct kc_event *e = &script[script_count++];
    cr_assert_leq(script_count, EVENTS_MAX);
    __builtin_memset(e, 0, sizeof(*e));
    e->kind = (uint8_t)kind;
    e->time_ns = script_time;
    return e;
}

static void define(uint16_t number, uint32_t kind, uint32_t bytes, uint32_t granted,
                   uint32_t objects, uint32_t pages)
{
    struct kc_event *e = add(KC_EVENT_TYPE);
    struct kc_trace_type t = {.kind = kind,
                              .object_bytes = kind == KC_TYPE_CACHE ? bytes : 0,
                              .granted_bytes = granted,
                              .objects_per_slab = objects,
                              .pages_per_slab = pages,
                              .name = "things"};
    type[number] = t;
    e->type = number;
    e->time_ns = 0;
    e->definition = &type[number];
}

static void birth(uint32_t slot, uint16_t number, uint32_t requested, uint32_t granted)
{
    struct kc_event *e = add(KC_EVENT_ALLOC);
    e->slot = slot;
    e->type = number;
    e->requested = requested;
    e->granted = granted;
}

static void death(uint32_t slot)
{
    add(KC_EVENT_FREE)->slot = slot;
}

static void page_birth(uint32_t slot, uint8_t order)
{
    struct kc_event *e = add(KC_EVENT_PAGE_ALLOC);
    e->slot = slot;
    e->order = order;
}

static void page_death(uint32_t slot)
{
    add(KC_EVENT_PAGE_FREE)->slot = slot;
}

/* ---- running it ------------------------------------------------------------------------------ */

static void set_up(void)
{
    static struct kc_boot_info info;
    cr_assert(kc_test_ram(KC_MIB(16), &info));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    script_count = 0;
    script_at = 0;
    script_batch = EVENTS_MAX;
    script_time = 0;
    script_end = KC_OK;
    script_hook = NULL;
}

TestSuite(replay, .init = set_up);

static struct kc_replay_latencies latency;

static struct kc_replay_now watched[4];
static uint32_t watched_count;

static void watch(void *ctx, const struct kc_replay_now *now)
{
    cr_assert(ctx == watched);
    if (watched_count < KC_ARRAY_COUNT(watched)) {
        watched[watched_count] = *now;
    }
    watched_count++;
}

static kc_status_t start(struct kc_replay **out)
{
    const struct kc_replay_config config = {.frames = &frames,
                                            .misuse = &misuse,
                                            .source = {fill, NULL},
                                            .cpu_count = 1,
                                            .latency = &latency,
                                            .watch = watch,
                                            .watch_ctx = watched};
    watched_count = 0;
    script_at = 0;
    return kc_replay_init(&config, out);
}

/* Run the script to its end; everything must be given back whatever came of it. */
static kc_status_t run(void)
{
    struct kc_replay *r;
    struct kc_frame_stats stats;
    kc_status_t s = start(&r);
    if (s == KC_OK) {
        s = kc_replay_run(r, 0);
        kc_replay_shutdown(r, &result);
        kc_replay_fini(r);
        cr_expect_eq(result.leaks, 0);
        cr_expect_eq(result.leaked_bytes, 0);
    }
    kc_frame_stats(&frames, &stats);
    cr_expect_eq(stats.used_frames, 0, "%llu frames are still held",
                 (unsigned long long)stats.used_frames);
    return s;
}

/* ---- cases ----------------------------------------------------------------------------------- */

/*
 *     time us      0    1    2    3
 *     requested  100  200  100    0      integral 400 byte us
 *     granted    128  256  128    0      512: 28 % above
 *     slabs      4096 for 3 us           12288: 2972 % above
 */
Test(replay, source_usage_is_weighted_by_time)
{
    define(0, KC_TYPE_HEAP, 0, 128, 32, 1);
    birth(0, 0, 100, 128);
    script_time = 1000;
    birth(1, 0, 100, 128);
    script_time = 2000;
    death(0);
    script_time = 3000;
    death(1);
    cr_assert_eq(run(), KC_OK);
    cr_assert_eq(result.source.peak_requested_bytes, 200);
    cr_assert_eq(result.source.peak_footprint_bytes, 4096);
    cr_assert_eq(result.source.waste_milli_pct, 28000);
    cr_assert_eq(result.source.footprint_milli_pct, 2972000);
    cr_assert_eq(result.kcore.peak_requested_bytes, 200);
    uint64_t granted = kc_heap_granted(100);
    cr_assert_eq(result.kcore.waste_milli_pct, (int64_t)((granted - 100) * 1000));
    cr_assert_eq(result.trace.allocs, 2);
    cr_assert_eq(result.trace.frees, 2);
    cr_assert_eq(result.live_at_end, 0);
    cr_assert_eq(result.overlaps, 0);
    cr_assert_eq(result.alloc.count, 2);
    cr_assert_eq(result.free.count, 2);
}

/* One cache with one slab of one page at most: footprint is that page, its record, and structures.
 */
Test(replay, footprint_counts_frames_records_and_structures)
{
    define(0, KC_TYPE_CACHE, 64, 64, 64, 1);
    birth(0, 0, 64, 64);
    script_time = 1000;
    death(0);
    cr_assert_eq(run(), KC_OK);
    uint64_t structures =
        sizeof(struct kc_heap) + sizeof(struct kc_cache_set) + sizeof(struct kc_cache);
    cr_assert_eq(result.structure_bytes, structures);
    uint64_t in_frames = result.kcore.peak_footprint_bytes - structures;
    cr_assert_eq(in_frames % (4096 + 16), 0);
    uint64_t held = in_frames / (4096 + 16);
    cr_assert(held >= 1 && held <= 8, "%llu frames for one object", (unsigned long long)held);
    int64_t above = (int64_t)(result.kcore.peak_footprint_bytes - 64) * 100000;
    cr_assert_eq(result.kcore.footprint_milli_pct, (above + 32) / 64);
    cr_assert_eq(result.kcore.waste_milli_pct, 0);
    cr_assert_eq(result.cache_count, 1);
}

/* One more event than a batch holds: told twice, with what lives then. */
Test(replay, who_watches_is_told_after_each_batch)
{
    define(0, KC_TYPE_CACHE, 64, 64, 64, 1);
    for (uint32_t i = 0; i < KC_REPLAY_BATCH; i++) {
        birth(i, 0, 64, 64);
    }
    script_time = 1000;
    page_birth(KC_REPLAY_BATCH, 1);
    cr_assert_eq(run(), KC_OK);
    cr_assert_eq(watched_count, 2);
    cr_expect_eq(watched[0].events, KC_REPLAY_BATCH);
    cr_expect_eq(watched[0].time_ns, 0);
    cr_expect_eq(watched[0].requested_bytes, KC_REPLAY_BATCH * 64);
    cr_expect_eq(watched[0].page_bytes, 0);
    cr_expect(watched[0].source_known);
    cr_expect_eq(watched[0].source_footprint_bytes, 8 * 4096);
    cr_expect_eq(watched[1].events, KC_REPLAY_BATCH + 1);
    cr_expect_eq(watched[1].time_ns, 1000);
    cr_expect_eq(watched[1].page_bytes, 2 * 4096);
    cr_expect_eq(watched[1].footprint_bytes, result.kcore.peak_footprint_bytes);
}

/* What a type came to is that of the trace, not of the freeing after it. */
Test(replay, types_are_told_as_they_were_at_the_end_of_the_trace)
{
    struct kc_replay *r;
    struct kc_replay_type t;
    define(0, KC_TYPE_CACHE, 64, 64, 64, 1);
    birth(0, 0, 64, 64);
    birth(1, 0, 48, 64);
    birth(2, 0, 64, 64);
    death(0);
    cr_assert_eq(start(&r), KC_OK);
    cr_assert_eq(kc_replay_run(r, 0), KC_OK);
    kc_replay_shutdown(r, &result);
    cr_assert(kc_replay_type(r, 0, &t));
    cr_expect_eq(t.allocs, 3);
    cr_expect_eq(t.frees, 1);
    cr_expect_eq(t.live, 2);
    cr_expect_eq(t.peak_live, 3);
    cr_expect_eq(t.requested_bytes, 112);
    cr_expect_eq(kc_hist_count(&latency.free), 1, "what was freed afterwards is not counted");
    cr_expect_not(kc_replay_type(r, 1, &t));
    kc_replay_fini(r);
    cr_expect_eq(result.live_at_end, 2);
}

Test(replay, without_geometry_the_source_is_not_known)
{
    define(0, KC_TYPE_CACHE, 64, 64, 0, 0);
    birth(0, 0, 64, 64);
    script_time = 10;
    death(0);
    cr_assert_eq(run(), KC_OK);
    cr_assert_not(result.source.footprint_known);
    cr_assert_eq(result.source.footprint_milli_pct, KC_REPLAY_NOT_KNOWN);
    cr_assert_eq(result.source.waste_milli_pct, 0);
}

Test(replay, a_trace_without_time_or_events_has_no_percentages)
{
    cr_assert_eq(run(), KC_OK);
    cr_assert_eq(result.kcore.waste_milli_pct, KC_REPLAY_NOT_KNOWN);
    define(0, KC_TYPE_CACHE, 64, 64, 0, 0);
    birth(0, 0, 64, 64);
    cr_assert_eq(run(), KC_OK);
    cr_assert_eq(result.kcore.footprint_milli_pct, KC_REPLAY_NOT_KNOWN);
    cr_assert_eq(result.kcore.peak_requested_bytes, 64);
    cr_assert_eq(result.live_at_end, 1);
}

Test(replay, types_are_as_the_trace_left_them)
{
    struct kc_replay *r;
    struct kc_replay_type left;
    define(0, KC_TYPE_CACHE, 64, 64, 0, 0);
    birth(0, 0, 64, 64);
    birth(1, 0, 64, 64);
    birth(2, 0, 64, 64);
    death(1);
    cr_assert_eq(start(&r), KC_OK);
    cr_assert_eq(kc_replay_run(r, 0), KC_OK);
    kc_replay_shutdown(r, &result);
    cr_expect(kc_replay_type(r, 0, &left));
    cr_expect_eq(left.allocs, 3);
    cr_expect_eq(left.frees, 1);
    cr_expect_eq(left.live, 2);
    cr_expect_eq(left.peak_live, 3);
    cr_expect_eq(left.requested_bytes, 128);
    cr_expect_not(kc_replay_type(r, 1, &left));
    kc_replay_fini(r);
}

Test(replay, pages_are_counted_apart)
{
    page_birth(0, 0);
    page_birth(1, 3);
    script_time = 5;
    page_death(1);
    add(KC_EVENT_PAGE_UNKNOWN_FREE);
    cr_assert_eq(run(), KC_OK);
    cr_assert_eq(result.page_peak_bytes, 9 * 4096);
    cr_assert_eq(result.page_live_at_end, 1);
    cr_assert_eq(result.trace.page_allocs, 2);
    cr_assert_eq(result.trace.page_frees, 2);
    cr_assert_eq(result.trace.page_unknown_frees, 1);
    cr_assert_eq(result.kcore.peak_requested_bytes, 0);
    cr_assert_eq(result.live_at_end, 0);
}

Test(replay, untidy_events_are_counted)
{
    define(0, KC_TYPE_HEAP, 0, 16, 0, 0);
    birth(0, 0, 0, 16);
    add(KC_EVENT_NULL_FREE);
    add(KC_EVENT_UNKNOWN_FREE);
    add(KC_EVENT_SKIPPED)->count = 3;
    add(KC_EVENT_LOST)->count = 70;
    death(0);
    script[script_count - 1].implicit = 1;
    cr_assert_eq(run(), KC_OK);
    cr_assert_eq(result.trace.null_frees, 1);
    cr_assert_eq(result.trace.unknown_frees, 1);
    cr_assert_eq(result.trace.frees, 2);
    cr_assert_eq(result.trace.implicit_frees, 1);
    cr_assert_eq(result.trace.skipped_lines, 3);
    cr_assert_eq(result.trace.lost_events, 70);
    cr_assert_eq(result.failures, 0, "a request of nothing is no failure");
}

Test(replay, slots_are_used_again)
{
    define(0, KC_TYPE_CACHE, 40, 40, 0, 0);
    define(1, KC_TYPE_HEAP, 0, 512, 0, 0);
    for (uint32_t i = 0; i < 8; i++) {
        birth(0, (uint16_t)(i % 2), i % 2 == 0 ? 40 : 500, 512);
        death(0);
        page_birth(0, 1);
        page_death(0);
    }
    script_batch = 3;
    cr_assert_eq(run(), KC_OK);
    cr_assert_eq(result.overlaps, 0);
    cr_assert_eq(result.trace.slots, 1);
    cr_assert_eq(result.alloc.count, 8);
    cr_assert_eq(result.page_alloc.count, 8);
}

static void expect_corrupt(void)
{
    cr_expect_eq(run(), KC_ERR_CORRUPT);
    script_count = 0;
}

Test(replay, events_that_do_not_fit_end_it)
{
    death(0);
    expect_corrupt();
    page_birth(0, 0);
    page_birth(0, 0);
    expect_corrupt();
    cr_expect_eq(result.page_live_at_end, 1, "what came before stands");
    page_birth(0, 0);
    death(0);
    expect_corrupt();
    birth(0, 0, 8, 8);
    expect_corrupt();
    define(1, KC_TYPE_HEAP, 0, 8, 0, 0);
    expect_corrupt();
    define(0, KC_TYPE_CACHE, 8, 8, 0, 0);
    birth(0, 0, 9, 9);
    expect_corrupt();
    page_birth(KC_TRACE_SLOTS_MAX, 0);
    expect_corrupt();
}

Test(replay, a_failing_source_ends_it_with_its_status)
{
    define(0, KC_TYPE_HEAP, 0, 8, 0, 0);
    birth(0, 0, 8, 8);
    script_end = KC_ERR_FAULT;
    cr_assert_eq(run(), KC_ERR_FAULT);
    cr_assert_eq(result.trace.allocs, 1);
    cr_assert_eq(result.live_at_end, 1);
}

Test(replay, a_bad_configuration_is_refused)
{
    struct kc_replay *r = NULL;
    struct kc_replay_config config = {.frames = &frames, .source = {fill, NULL}, .cpu_count = 0};
    cr_assert_eq(kc_replay_init(&config, &r), KC_ERR_ARG);
    config.cpu_count = KC_CPUS_MAX + 1;
    cr_assert_eq(kc_replay_init(&config, &r), KC_ERR_ARG);
    config.cpu_count = 1;
    config.source.fill = NULL;
    cr_assert_eq(kc_replay_init(&config, &r), KC_ERR_ARG);
    cr_assert_null(r);
}

#define FIRST_BATCH 513u /* events that the source has given when the first batch was done */

static bool scribbled;

/* Change one byte in the middle of the first long run of equal bytes in what caches and heap hold.
 */
static void scribble(uint32_t at)
{
    struct kc_frame_info info;
    uint64_t cursor = 0;
    if (scribbled || at < FIRST_BATCH) {
        return;
    }
    scribbled = true;
    while (kc_frame_next_used(&frames, &cursor, &info)) {
        if (info.owner != KC_FRAME_OWNER_CACHE && info.owner != KC_FRAME_OWNER_HEAP) {
            continue;
        }
        uint8_t *p = kc_plat_ram(info.base);
        uint32_t like = 0;
        uint8_t last = 0;
        kc_plat_note(KC_NOTE_DEFINED, (uintptr_t)p, KC_FRAME_BYTES, NULL);
        for (uint32_t i = 0; i < KC_FRAME_BYTES; i++) {
            uint8_t now = *(uint8_t *)kc_tag_load(p + i);
            like = now == last && now != 0 ? like + 1 : 0;
            last = now;
            if (like == 100) {
                *(uint8_t *)kc_tag_load(p + i - 50) ^= 0x10;
                return;
            }
        }
    }
    cr_expect_fail("no object was found");
}

Test(replay, a_byte_that_changed_is_found_when_its_object_dies)
{
    define(0, KC_TYPE_CACHE, 1000, 1000, 0, 0);
    birth(0, 0, 1000, 1000);
    birth(1, 0, 1000, 1000);
    while (script_count < FIRST_BATCH + 10) {
        (void)add(KC_EVENT_NULL_FREE);
    }
    death(0);
    death(1);
    cr_assert_eq(run(), KC_OK);
    cr_assert_eq(result.overlaps, 0);
    scribbled = false;
    script_hook = scribble;
    cr_assert_eq(run(), KC_OK);
    cr_assert(scribbled);
    cr_assert_eq(result.overlaps, 1);
}

Test(replay, every_failing_frame_is_survived)
{
    define(0, KC_TYPE_CACHE, 200, 200, 0, 0);
    define(1, KC_TYPE_HEAP, 0, 64, 0, 0);
    define(2, KC_TYPE_LARGE, 0, 0, 0, 0);
    birth(0, 0, 200, 200);
    birth(1, 1, 60, 64);
    birth(2, 2, 10000, 12288);
    page_birth(3, 0);
    death(0);
    death(1);
    death(2);
    page_death(3);
    for (uint64_t n = 0;; n++) {
        cr_assert_lt(n, 100);
        kc_frames_fail_after(&frames, n);
        kc_status_t s = run();
        kc_frames_fail_after(&frames, UINT64_MAX);
        if (s == KC_OK && result.failures + result.page_failures == 0) {
            break;
        }
        cr_expect(s == KC_OK || s == KC_ERR_NOMEM, "frame %llu: status %d", (unsigned long long)n,
                  (int)s);
        cr_expect_leq(result.failures, 1);
    }
    cr_assert_eq(kc_misuse_total(&misuse), 0);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void sink(void *ctx, const char *text, size_t n)
{
    (void)ctx;
    cr_assert_lt(json_size + n, JSON_MAX);
    __builtin_memcpy(json + json_size, text, n);
    json_size += n;
    json[json_size] = 0;
}

Test(report_json, has_the_keys_and_order_of_the_schema)
{
    static const struct kc_report_judgement row[] = {{"T1", 5}, {"a\"b", 0}};
    const struct kc_replay_result r = {
        .trace = {.allocs = 3,
                  .frees = 2,
                  .null_frees = 1,
                  .unknown_frees = 4,
                  .implicit_frees = 5,
                  .page_allocs = 6,
                  .page_frees = 7,
                  .page_unknown_frees = 8,
                  .skipped_lines = 9,
                  .lost_events = 10},
        .page_peak_bytes = 4096,
        .kcore = {100, 200, 31102, -1, 2500, true},
        .source = {100, 0, 0, KC_REPLAY_NOT_KNOWN, KC_REPLAY_NOT_KNOWN, false},
        .failures = 1,
        .page_failures = 2,
        .live_at_end = 11,
        .alloc = {1, 2, 3, 4, 5},
        .free = {6, 7, 8, 9, 10},
    };
    const struct kc_service_counts services = {
        .started = 20,
        .ended = {21, 22, 23, 24, 25, 26, 27, 28, 29},
        .calls = 30,
        .refused = 31,
        .exchanged_bytes = 32,
        .pages = 33,
        .interrupts = 34,
        .cleaned = 35,
        .unexpected = 36,
    };
    const struct kc_report report = {&r, 42, UINT64_MAX, 12, 13, &services, row, 2};
    json_size = 0;
    kc_report_json(&report, sink, NULL);
    cr_assert_str_eq(
        json,
        "{\"schema\":\"kcore.replay/1\",\"seed\":42,\"ram_bytes\":18446744073709551615,"
        "\"trace\":{\"events\":5,\"allocs\":3,\"frees\":2,\"null_frees\":1,\"unknown_frees\":4,"
        "\"implicit_frees\":5,\"skipped_lines\":9,\"lost_events\":10},"
        "\"pages\":{\"allocs\":6,\"frees\":7,\"unknown_frees\":8,\"peak_bytes\":4096},"
        "\"kcore\":{\"peak_requested_bytes\":100,\"peak_footprint_bytes\":200,"
        "\"weighted_waste_pct\":31.102,\"weighted_footprint_over_requested_pct\":-0.001,"
        "\"weighted_slabs_over_requested_pct\":2.500,"
        "\"failures\":3},"
        "\"linux\":{\"peak_requested_bytes\":100,\"peak_footprint_bytes\":null,"
        "\"weighted_waste_pct\":0.000,\"weighted_footprint_over_requested_pct\":null,"
        "\"weighted_slabs_over_requested_pct\":null,"
        "\"failures\":null},"
        "\"latency_ns\":{\"alloc\":{\"p50\":1,\"p99\":2,\"p999\":3,\"max\":4},"
        "\"free\":{\"p50\":6,\"p99\":7,\"p999\":8,\"max\":9}},"
        "\"services\":{\"started\":20,\"ended\":{\"exit\":21,\"unmapped\":22,\"denied\":23,"
        "\"guard\":24,\"kernel_address\":25,\"instruction\":26,\"time\":27,\"no_memory\":28,"
        "\"other\":29},\"calls\":30,\"refused_calls\":31,\"exchanged_bytes\":32,\"pages\":33,"
        "\"interrupts\":34,\"cleaned\":35,\"unexpected\":36},"
        "\"live_at_end\":11,\"leaks\":12,\"violations\":13,"
        "\"judgements\":{\"T1\":5,\"a\\u0022b\":0}}\n");
}
