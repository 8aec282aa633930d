/* SPDX-License-Identifier: BSD-2-Clause */
/* html_replay.c: what a replay came to: timeline, types, lifetimes, latency, the trace itself. */
#include <stdlib.h>
#include <string.h>

#include "html.h"
#include "svg.h"

#define TYPES_SHOWN   14u
#define TIMELINE_ROWS 24u
#define HEAT_STEPS    7u

/* ---- timeline ------------------------------------------------------------------------------- */

static void usage_row(struct markup *m, const char *who, const struct kc_replay_usage *u)
{
    markup_fmt(m, "<tr><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>\n", who,
               units_bytes(u->peak_requested_bytes).s,
               u->footprint_known ? units_bytes(u->peak_footprint_bytes).s : "not known",
               units_milli_pct(u->waste_milli_pct).s, units_milli_pct(u->footprint_milli_pct).s);
}

static void timeline_table(struct markup *m, const struct report_data *d)
{
    const struct timeline *t = d->timeline;
    uint32_t step = (t->count + TIMELINE_ROWS - 1) / TIMELINE_ROWS;
    html_open_table(m, "The timeline as a table");
    markup_raw(m, "<tr><th>until</th><th>asked for</th><th>held by kcore</th>"
                  "<th>held by Linux</th></tr>\n");
    for (uint32_t i = step - 1;; i += step) {
        i = i < t->count ? i : t->count - 1;
        const struct timeline_point *p = &t->point[i];
        markup_fmt(m, "<tr><td>%.6f s</td><td>%s</td><td>%s</td><td>%s</td></tr>\n",
                   (double)(p->time_ns - d->replay->trace.first_ns) / 1e9,
                   units_bytes(p->requested_bytes).s, units_bytes(p->footprint_bytes).s,
                   d->source_known ? units_bytes(p->source_footprint_bytes).s : "not known");
        if (i == t->count - 1) {
            break;
        }
    }
    html_close_table(m);
}

void html_timeline(struct markup *m, const struct report_data *d)
{
    const struct kc_replay_result *r = d->replay;
    static const struct svg_size wide = {1040, 320, "pic wide"};
    static const struct svg_size narrow = {360, 260, "pic narrow"};
    html_open(m, "timeline", "Asked for and held, over time");
    markup_raw(m, "<p class=\"sub\">Bytes that live objects asked for, and bytes of memory that "
                  "the allocators held for them, their own records included. Linux is modelled "
                  "from its slabs.</p>\n");
    if (d->timeline != NULL && d->timeline->count != 0) {
        svg_timeline(d->timeline, r->trace.first_ns, d->source_known, &wide, m);
        svg_timeline(d->timeline, r->trace.first_ns, d->source_known, &narrow, m);
    }
    markup_raw(m, "<div class=\"scroll\"><table><tr><th></th><th>peak asked</th><th>peak held</th>"
                  "<th>waste</th><th>held over asked</th></tr>\n");
    usage_row(m, "kcore", &r->kcore);
    usage_row(m, "Linux", &r->source);
    markup_raw(m, "</table></div>\n<p class=\"sub\">Waste and held over asked are weighted by "
                  "time; 0 % is perfect.");
    if (d->timeline != NULL && d->timeline->count != 0) {
        markup_fmt(m, " A point of the picture is the greatest value in %s events.",
                   units_count(d->timeline->stride * KC_REPLAY_BATCH).s);
    }
    markup_raw(m, "</p>\n");
    if (d->timeline != NULL && d->timeline->count != 0) {
        timeline_table(m, d);
    }
    html_close(m);
}

/* ---- allocators by type --------------------------------------------------------------------- */

/* One line of the picture: a cache, or the heap with all types that it serves. */
struct holding {
    const char *name;
    uint64_t asked;
    uint64_t held;
    uint64_t live;
};

static int by_held(const void *a, const void *b)
{
    const struct holding *x = a;
    const struct holding *y = b;
    if (x->held != y->held) {
        return x->held < y->held ? 1 : -1;
    }
    return strcmp(x->name, y->name);
}

static void type_bar(struct markup *m, const struct holding *h, uint64_t most)
{
    double held = most != 0 ? (double)h->held / (double)most * 1000.0 : 0;
    double asked = most != 0 ? (double)h->asked / (double)most * 1000.0 : 0;
    markup_raw(m, "<span class=\"n\" title=\"");
    markup_text(m, h->name);
    markup_raw(m, "\">");
    markup_text(m, h->name);
    markup_fmt(m,
               "</span><svg viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" "
               "aria-hidden=\"true\"><rect class=\"t-held\" width=\"%.1f\" height=\"10\"/>"
               "<rect class=\"t-asked\" width=\"%.1f\" height=\"10\"/></svg>"
               "<span class=\"v\">%s<span class=\"x\"> for %s</span></span>\n",
               held, asked < held ? asked : held, units_bytes(h->held).s, units_bytes(h->asked).s);
}

static void type_row(struct markup *m, const struct report_type *t)
{
    bool cache = t->kind == KC_TYPE_CACHE;
    markup_raw(m, "<tr><td>");
    markup_text(m, t->name);
    markup_fmt(m, "</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td>",
               cache ? units_bytes(t->object_bytes).s : "any", units_count(t->allocs).s,
               units_count(t->peak_live).s, units_count(t->live).s,
               units_bytes(t->requested_bytes).s,
               cache ? units_bytes(t->frames_bytes).s : "in the heap");
    markup_fmt(m, "<td>%s</td></tr>\n", units_count(t->failures).s);
}

static void type_table(struct markup *m, const struct report_data *d)
{
    const struct report_type **order = report_types_by_allocs(d);
    if (order == NULL) {
        m->failed = true;
        return;
    }
    html_open_table(m, "All types as a table");
    markup_raw(m, "<tr><th>type</th><th>object</th><th>allocations</th><th>peak live</th>"
                  "<th>live at end</th><th>asked at end</th><th>held at end</th><th>refused</th>"
                  "</tr>\n");
    for (uint32_t i = 0; i < d->type_count; i++) {
        type_row(m, order[i]);
    }
    html_close_table(m);
    free(order);
}

static uint32_t collect_holdings(const struct report_data *d, struct holding *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->type_count; i++) {
        const struct report_type *t = &d->type[i];
        if (t->kind == KC_TYPE_CACHE && t->frames_bytes != 0) {
            out[n++] = (struct holding){t->name, t->requested_bytes, t->frames_bytes, t->live};
        }
    }
    if (d->replay->heap_frames_bytes != 0) {
        out[n++] = (struct holding){"heap (kmalloc)", d->replay->heap_requested_bytes,
                                    d->replay->heap_frames_bytes, 0};
    }
    qsort(out, n, sizeof(*out), by_held);
    return n;
}

void html_types(struct markup *m, const struct report_data *d)
{
    struct holding *h = calloc(d->type_count + 1u, sizeof(*h));
    if (h == NULL) {
        m->failed = true;
        return;
    }
    uint32_t n = collect_holdings(d, h);
    uint32_t shown = n < TYPES_SHOWN ? n : TYPES_SHOWN;
    struct holding rest = {"all others", 0, 0, 0};
    for (uint32_t i = shown; i < n; i++) {
        rest.asked += h[i].asked;
        rest.held += h[i].held;
    }
    uint64_t most = n != 0 ? h[0].held : 0;
    most = rest.held > most ? rest.held : most;
    html_open(m, "types", "Allocators by type");
    markup_raw(m, "<p class=\"sub\">Memory that each cache held at the end of the trace; the full "
                  "colour is what its live objects asked for.</p>\n<div class=\"types\">\n");
    for (uint32_t i = 0; i < shown; i++) {
        type_bar(m, &h[i], most);
    }
    if (n > shown) {
        type_bar(m, &rest, most);
    }
    markup_raw(m, "</div>\n");
    type_table(m, d);
    html_close(m);
    free(h);
}

/* ---- lifetimes ------------------------------------------------------------------------------ */

/* 1 to HEAT_STEPS by the logarithm, so that the greatest count has the last colour. */
static uint32_t heat_of(uint64_t n, uint64_t most)
{
    uint32_t bits = 64u - (uint32_t)__builtin_clzll(n);
    uint32_t all = 64u - (uint32_t)__builtin_clzll(most);
    return 1 + (bits - 1) * (HEAT_STEPS - 1) / (all > 1 ? all - 1 : 1);
}

void html_lifetimes(struct markup *m, const struct report_data *d)
{
    static const char *const age[LIFETIMES_AGES] = {
        "&lt; 1 \xc2\xb5s", "10 \xc2\xb5s", "100 \xc2\xb5s", "1 ms", "10 ms",
        "100 ms",           "1 s",          "10 s",          "more", "live"};
    const struct lifetimes *l = d->lifetimes;
    uint64_t most = 1;
    for (uint32_t i = 0; i < LIFETIMES_SIZES * LIFETIMES_AGES; i++) {
        uint64_t n = l->count[i / LIFETIMES_AGES][i % LIFETIMES_AGES];
        most = n > most ? n : most;
    }
    html_open(m, "lifetimes", "Size by lifetime");
    markup_raw(m, "<p class=\"sub\">How many objects of each size (rows: up to that many bytes) "
                  "lived how long (columns: less than that), in the recorded kernel\xe2\x80\x99s "
                  "time. The last column lived on when the trace ended.</p>\n"
                  "<table class=\"heat\"><tr><th scope=\"col\">size</th>");
    for (uint32_t a = 0; a < LIFETIMES_AGES; a++) {
        markup_fmt(m, "<th scope=\"col\">%s</th>", age[a]);
    }
    markup_raw(m, "</tr>\n");
    for (uint32_t s = 0; s < LIFETIMES_SIZES; s++) {
        markup_fmt(m, "<tr><th scope=\"row\">%s</th>",
                   s == LIFETIMES_SIZES - 1 ? "larger" : units_bytes(16ull << s).s);
        for (uint32_t a = 0; a < LIFETIMES_AGES; a++) {
            uint64_t n = l->count[s][a];
            if (n == 0) {
                markup_raw(m, "<td></td>");
            } else {
                markup_fmt(m, "<td class=\"h%u\" title=\"%s\">%s</td>", heat_of(n, most),
                           units_count(n).s, units_short(n).s);
            }
        }
        markup_raw(m, "</tr>\n");
    }
    markup_raw(m, "</table>\n");
    html_close(m);
}

/* ---- latency -------------------------------------------------------------------------------- */

static void latency_row(struct markup *m, const char *what, const struct kc_replay_latency *l)
{
    if (l->count != 0) {
        markup_fmt(m, "<tr><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>",
                   what, units_count(l->count).s, units_time(l->p50).s, units_time(l->p99).s,
                   units_time(l->p999).s, units_time(l->max).s);
    }
}

static void latency_chart(struct markup *m, const char *what, const struct kc_hist *h)
{
    static const struct svg_size size = {500, 180, "pic"};
    if (kc_hist_count(h) != 0) {
        markup_fmt(m, "<div><h3>%s</h3>", what);
        svg_latency(h, what, "b-time", &size, m);
        markup_raw(m, "</div>\n");
    }
}

void html_latency(struct markup *m, const struct report_data *d)
{
    const struct kc_replay_result *r = d->replay;
    html_open(m, "latency", "Latency");
    markup_raw(m, "<p class=\"sub\">How many calls took how long: time of the host, with the "
                  "simulator\xe2\x80\x99s own cost, on a logarithmic axis. These are the only "
                  "numbers of the page that differ from run to run.</p>\n<div class=\"pair\">\n");
    latency_chart(m, "Allocating an object", &d->latency->alloc);
    latency_chart(m, "Freeing an object", &d->latency->free);
    latency_chart(m, "Allocating pages", &d->latency->page_alloc);
    latency_chart(m, "Freeing pages", &d->latency->page_free);
    markup_raw(m, "</div>\n<div class=\"scroll\"><table><tr><th></th><th>calls</th><th>median</th>"
                  "<th>99&nbsp;%</th><th>99.9&nbsp;%</th><th>longest</th></tr>\n");
    latency_row(m, "allocate", &r->alloc);
    latency_row(m, "free", &r->free);
    latency_row(m, "allocate pages", &r->page_alloc);
    latency_row(m, "free pages", &r->page_free);
    markup_raw(m, "</table></div>\n");
    html_close(m);
}

/* ---- the trace ------------------------------------------------------------------------------ */

static void trace_row(struct markup *m, const char *what, uint64_t n)
{
    markup_fmt(m, "<tr><td>%s</td><td>%s</td></tr>\n", what, units_count(n).s);
}

void html_trace(struct markup *m, const struct report_data *d)
{
    const struct kc_trace_totals *t = &d->replay->trace;
    html_open(m, "trace", "What was replayed");
    markup_raw(m, "<p class=\"sub mono\">");
    markup_text(m, d->trace_name);
    markup_raw(m, "</p>\n<div class=\"scroll\"><table>\n");
    trace_row(m, "allocations", t->allocs);
    trace_row(m, "frees", t->frees);
    trace_row(m, "of these, of NULL", t->null_frees);
    trace_row(m, "of these, of older objects", t->unknown_frees);
    trace_row(m, "deaths that the recording lacks", t->implicit_frees);
    trace_row(m, "page allocations", t->page_allocs);
    trace_row(m, "page frees", t->page_frees);
    trace_row(m, "of these, of older pages", t->page_unknown_frees);
    trace_row(m, "lines skipped", t->skipped_lines);
    trace_row(m, "events that the recorder lost", t->lost_events);
    markup_fmt(m, "<tr><td>most pages of the trace at a time</td><td>%s</td></tr>",
               units_bytes(d->replay->page_peak_bytes).s);
    markup_raw(m, "</table></div>\n");
    html_close(m);
}
