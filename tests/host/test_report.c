/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of ksim's page: what comes from outside, points by halving, lifetimes, the map. */
#include "kc_test.h"

#include <stdlib.h>
#include <string.h>

#include "../../sim/report/lifetimes.h"
#include "../../sim/report/markup.h"
#include "../../sim/report/memmap.h"
#include "replay.h"
#include "../../sim/report/svg.h"
#include "../../sim/report/timeline.h"

/* ---- text from outside ---------------------------------------------------------------------- */

static bool text_is(const char *in, const char *expected)
{
    struct markup m = {0};
    markup_text(&m, in);
    bool same = !m.failed && m.size == strlen(expected) &&
                (m.size == 0 || memcmp(m.text, expected, m.size) == 0);
    if (!same) {
        kc_test_printf("# got \"%.*s\"\n", (int)m.size, m.text != NULL ? m.text : "");
    }
    markup_fini(&m);
    return same;
}

#define FFFD "\xef\xbf\xbd"

Test(report, what_means_something_in_markup_is_written_as_references)
{
    cr_expect(text_is("", ""));
    cr_expect(text_is("dentry", "dentry"));
    cr_expect(text_is("<script>a&b</script>", "&lt;script&gt;a&amp;b&lt;/script&gt;"));
    cr_expect(text_is("\" onload='x'", "&quot; onload=&#39;x&#39;"));
    cr_expect(text_is("]]>&amp;", "]]&gt;&amp;amp;"));
}

Test(report, what_is_not_text_becomes_the_replacement_character)
{
    cr_expect(text_is("a\x01\x1b[31m\x7f\n", "a" FFFD FFFD "[31m" FFFD FFFD));
    cr_expect(text_is("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
                      "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"));
    cr_expect(text_is("\xff\xfe", FFFD FFFD));
    cr_expect(text_is("\xc0\xbc", FFFD FFFD), "an overlong <");
    cr_expect(text_is("\xe0\x80\xbc", FFFD FFFD FFFD), "a longer one");
    cr_expect(text_is("\xed\xa0\x80", FFFD FFFD FFFD), "a surrogate");
    cr_expect(text_is("\xf4\x90\x80\x80", FFFD FFFD FFFD FFFD), "above U+10FFFF");
    cr_expect(text_is("\xe2\x82", FFFD FFFD), "cut by the end");
    cr_expect(text_is("\xe2<b>", FFFD "&lt;b&gt;"), "cut by what follows, which is not swallowed");
    cr_expect(text_is("\xc2\x85", FFFD FFFD), "a control character of two bytes");
    cr_expect(text_is("\xe2\x80\xae"
                      "x",
                      FFFD FFFD FFFD "x"),
              "one that turns the reading direction");
}

/* I2 of markup.c, for any bytes at all. */
Test(report, any_bytes_leave_no_markup_behind)
{
    uint64_t state = kc_test_seed();
    for (uint32_t round = 0; round < 2000; round++) {
        char in[65] = {0};
        struct markup m = {0};
        for (uint32_t i = 0; i < 64; i++) {
            state = state * 6364136223846793005ull + 1442695040888963407ull;
            static const char likely[] = "<>&\"'\xe2\x80\xc3\xf0\xed";
            uint32_t r = (uint32_t)(state >> 40);
            in[i] = (r & 1) != 0 ? likely[(r >> 8) % (sizeof(likely) - 1)] : (char)(r >> 8);
        }
        markup_text(&m, in);
        for (size_t i = 0; i < m.size; i++) {
            unsigned char c = (unsigned char)m.text[i];
            cr_assert(c >= 0x20 && c != 0x7f && strchr("<>\"'", c) == NULL, "byte %zu is %#x", i,
                      c);
            if (c == '&') {
                const char *rest = m.text + i;
                size_t left = m.size - i;
                bool reference = (left >= 4 && memcmp(rest, "&lt;", 4) == 0) ||
                                 (left >= 4 && memcmp(rest, "&gt;", 4) == 0) ||
                                 (left >= 5 && memcmp(rest, "&amp;", 5) == 0) ||
                                 (left >= 6 && memcmp(rest, "&quot;", 6) == 0) ||
                                 (left >= 5 && memcmp(rest, "&#39;", 5) == 0);
                cr_assert(reference);
            }
        }
        markup_fini(&m);
    }
}

Test(report, a_piece_that_is_too_long_fails_instead_of_being_cut)
{
    struct markup m = {0};
    markup_fmt(&m, "%2000d", 1);
    cr_expect(m.failed);
    cr_expect_eq(m.size, 0);
    markup_fini(&m);
}

Test(report, numbers_have_units)
{
    cr_expect_str_eq(units_count(0).s, "0");
    cr_expect_str_eq(units_count(1234567).s, "1,234,567");
    cr_expect_str_eq(units_count(UINT64_MAX).s, "18,446,744,073,709,551,615");
    cr_expect_str_eq(units_short(999).s, "999");
    cr_expect_str_eq(units_short(1000).s, "1.0 k");
    cr_expect_str_eq(units_short(999499).s, "999 k");
    cr_expect_str_eq(units_short(999500).s, "1.0 M");
    cr_expect_str_eq(units_short(UINT64_MAX).s, "18 E");
    cr_expect_str_eq(units_bytes(1023).s, "1023 B");
    cr_expect_str_eq(units_bytes(1024).s, "1 KiB");
    cr_expect_str_eq(units_bytes(1536).s, "1.5 KiB");
    cr_expect_str_eq(units_bytes(UINT64_MAX).s, "16 EiB");
    cr_expect_str_eq(units_time(999).s, "999 ns");
    cr_expect_str_eq(units_time(1000).s, "1 \xc2\xb5s");
    cr_expect_str_eq(units_time(2352000000ull).s, "2.4 s");
    cr_expect_str_eq(units_milli_pct(-1500).s, "-1.50 %");
    cr_expect_str_eq(units_milli_pct(KC_REPLAY_NOT_KNOWN).s, "not known");
}

/* ---- timeline ------------------------------------------------------------------------------- */

#define SAMPLES 5000u
static struct timeline_point sample[SAMPLES];

/* All samples, cut into intervals of the stride: slow and obviously right. */
static void expect_as_model(const struct timeline *t, uint32_t samples)
{
    uint64_t stride = 1;
    while ((samples + stride - 1) / stride > TIMELINE_POINTS) {
        stride *= 2;
    }
    cr_assert_eq(t->stride, stride, "%u samples", samples);
    cr_assert_eq(t->count, (samples + stride - 1) / stride, "%u samples", samples);
    for (uint32_t i = 0; i < t->count; i++) {
        struct timeline_point want = {0};
        for (uint64_t s = i * stride; s < (i + 1) * stride && s < samples; s++) {
            want.time_ns = sample[s].time_ns;
#define MAX_OF(member) want.member = sample[s].member > want.member ? sample[s].member : want.member
            MAX_OF(requested_bytes);
            MAX_OF(footprint_bytes);
            MAX_OF(source_footprint_bytes);
        }
        cr_assert(memcmp(&want, &t->point[i], sizeof(want)) == 0, "point %u of %u samples", i,
                  samples);
    }
}

Test(report, halving_keeps_every_peak_and_the_last_time)
{
    struct timeline t;
    uint64_t state = kc_test_seed();
    uint64_t time = 0;
    timeline_init(&t);
    cr_expect_eq(t.count, 0);
    for (uint32_t i = 0; i < SAMPLES; i++) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        time += state >> 60;
        sample[i] = (struct timeline_point){time, state >> 20 & 0xffff, state >> 36 & 0xffff,
                                            state >> 44 & 0xffff};
        timeline_add(&t, &sample[i]);
        bool edge = (i & (i + 1)) == 0 || (i & (i - 1)) == 0 || i % 97 == 0;
        if (edge || i < 4) {
            expect_as_model(&t, i + 1);
        }
    }
    expect_as_model(&t, SAMPLES);
}

/* ---- lifetimes ------------------------------------------------------------------------------ */

Test(report, sizes_and_ages_go_into_their_rows_and_columns)
{
    cr_expect_eq(lifetimes_size_row(0), 0);
    cr_expect_eq(lifetimes_size_row(16), 0);
    cr_expect_eq(lifetimes_size_row(17), 1);
    cr_expect_eq(lifetimes_size_row(8192), 9);
    cr_expect_eq(lifetimes_size_row(8193), 10);
    cr_expect_eq(lifetimes_size_row(UINT32_MAX), 10);
    cr_expect_eq(lifetimes_age_column(999), 0);
    cr_expect_eq(lifetimes_age_column(1000), 1);
    cr_expect_eq(lifetimes_age_column(9999999999), 7);
    cr_expect_eq(lifetimes_age_column(10000000000), 8);
    cr_expect_eq(lifetimes_age_column(UINT64_MAX), 8);
}

static void event(struct lifetimes *l, uint8_t kind, uint64_t ns, uint32_t slot, uint32_t bytes)
{
    struct kc_event e = {.time_ns = ns, .slot = slot, .requested = bytes, .kind = kind};
    lifetimes_event(l, &e);
}

Test(report, each_object_is_counted_once)
{
    static struct lifetimes l;
    memset(&l, 0, sizeof(l));
    event(&l, KC_EVENT_ALLOC, 0, 5, 100);
    event(&l, KC_EVENT_FREE, 2000, 5, 0);
    event(&l, KC_EVENT_FREE, 3000, 5, 0); /* nothing there */
    event(&l, KC_EVENT_ALLOC, 4000, 5, 16);
    event(&l, KC_EVENT_PAGE_ALLOC, 4000, 6, 16);
    event(&l, KC_EVENT_FREE, 4000, 6, 16);
    event(&l, KC_EVENT_ALLOC, 4000, KC_TRACE_SLOTS_MAX, 16);
    event(&l, KC_EVENT_ALLOC, 4000, KC_TRACE_SLOTS_MAX - 1, 9000);
    lifetimes_end(&l);
    uint64_t all = 0;
    for (uint32_t s = 0; s < LIFETIMES_SIZES; s++) {
        for (uint32_t a = 0; a < LIFETIMES_AGES; a++) {
            all += l.count[s][a];
        }
    }
    cr_expect_eq(all, 3);
    cr_expect_eq(l.count[3][1], 1);
    cr_expect_eq(l.count[0][LIFETIMES_LIVE], 1);
    cr_expect_eq(l.count[10][LIFETIMES_LIVE], 1);
    cr_expect_not(l.failed);
}

/* ---- memory map ----------------------------------------------------------------------------- */

static uint32_t times_in(const struct markup *m, const char *what)
{
    uint32_t n = 0;
    size_t length = strlen(what);
    for (size_t i = 0; i + length <= m->size; i++) {
        n += memcmp(m->text + i, what, length) == 0;
    }
    return n;
}

Test(report, the_map_merges_neighbours_and_says_what_it_leaves_out)
{
    struct memmap map = {0};
    struct markup m = {0};
    const struct memmap_drawing how = {
        .width = 1040, .columns = 64, .rows_max = 8, .tooltips = true, .class = "map"};
    memmap_ram(&map, KC_MIB(64));
    memmap_add(&map, 0x80042000, 4096, MEMMAP_HEAP);
    memmap_add(&map, 0x80001000, 4096, MEMMAP_CACHE);
    memmap_add(&map, 0x80000000, 4096, MEMMAP_CACHE);
    memmap_add(&map, 0x80002000, 0, MEMMAP_CACHE);
    memmap_add(&map, 0x80002000, 4096, MEMMAP_TABLE);
    memmap_add(&map, 0x81000000, 4096, MEMMAP_PAGES);
    memmap_end(&map);
    cr_assert_eq(map.count, 4);
    cr_expect_eq(map.extent[0].base, 0x80000000);
    cr_expect_eq(map.extent[0].bytes, 8192);
    cr_expect_eq(map.held_bytes[MEMMAP_CACHE], 8192);
    memmap_svg(&map, &how, &m);
    cr_expect_not(m.failed);
    cr_expect_eq(times_in(&m, "class=\"o-free\""), 3, "three rows");
    cr_expect_eq(times_in(&m, "class=\"o-cache\""), 1);
    cr_expect_eq(times_in(&m, "class=\"o-table\""), 1);
    cr_expect_eq(times_in(&m, " free</text>"), 1);
    cr_expect_eq(times_in(&m, "15.5 MiB free</text>"), 1);
    cr_expect_eq(times_in(&m, "a row is 256 KiB, a cell 4 KiB"), 1);
    markup_fini(&m);
    memmap_fini(&map);
}

Test(report, the_map_is_bounded_however_scattered_memory_is)
{
    struct memmap map = {0};
    struct markup m = {0};
    const struct memmap_drawing how = {.width = 360, .columns = 32, .rows_max = 16, .class = "map"};
    memmap_ram(&map, 1ull << 40);
    for (uint64_t i = 0; i < 4096; i++) {
        memmap_add(&map, i << 28, 4096, (enum memmap_holder)(i % MEMMAP_HOLDERS));
    }
    memmap_end(&map);
    cr_expect_eq(map.count, 4096);
    memmap_svg(&map, &how, &m);
    cr_expect_not(m.failed);
    cr_expect_leq(times_in(&m, "class=\"o-free\""), 16);
    cr_expect_lt(m.size, 16 * 32 * 120);
    markup_fini(&m);
    memmap_fini(&map);
}

/* ---- charts --------------------------------------------------------------------------------- */

Test(report, steps_are_round_and_few)
{
    cr_expect_eq(svg_step_decimal(0, 5), 1);
    cr_expect_eq(svg_step_decimal(99, 5), 20);
    cr_expect_eq(svg_step_decimal(2352000000, 10), 500000000);
    cr_expect_eq(svg_step_binary(1600000, 5), 524288);
    for (uint32_t shift = 0; shift < 64; shift++) {
        uint64_t max = UINT64_MAX >> shift;
        cr_expect_leq(max / svg_step_decimal(max, 5), 5);
        cr_expect_leq(max / svg_step_binary(max, 5), 5);
    }
}

Test(report, charts_of_hardly_anything_hold_no_nonsense)
{
    static const struct svg_size size = {360, 200, "pic"};
    struct timeline t;
    struct kc_hist h;
    struct markup m = {0};
    timeline_init(&t);
    const struct timeline_point p = {.time_ns = 7};
    timeline_add(&t, &p);
    svg_timeline(&t, 7, true, &size, &m);
    kc_hist_init(&h);
    svg_latency(&h, "nothing", "b", &size, &m);
    kc_hist_record(&h, UINT64_MAX);
    svg_latency(&h, "the greatest", "b", &size, &m);
    cr_expect_not(m.failed);
    cr_expect_eq(times_in(&m, "<svg"), 3);
    cr_expect_eq(times_in(&m, "</svg>"), 3);
    cr_expect_eq(times_in(&m, "nan") + times_in(&m, "inf"), 0);
    markup_fini(&m);
}
