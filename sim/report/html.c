/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * html.c: the page. One function a section, in the order in which they are read.
 *
 * What a trace or a command line said goes through markup_text(); everything else is ours. Pictures
 * are shown to eyes, tables (folded) to everybody.
 */
#include "report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "svg.h"

#define TYPES_SHOWN    14u
#define REPORTS_SHOWN  50u
#define TIMELINE_ROWS  24u
#define MAP_ROWS       56u
#define HEAT_STEPS     7u
#define ALONE_WIDTH    1040u
#define COLUMNS_WIDE   64u
#define COLUMNS_NARROW 32u

static const char style[] =
    ":root{color-scheme:light dark;--page:#f6f6f3;--card:#fcfcfb;--ink:#0b0b0b;--soft:#52514e;"
    "--faint:#e3e2dc;--kcore:#2a78d6;--linux:#d4541c;--asked:#dedcd3;--good:#0a7a3d;--bad:#c22b2b;"
    "--cache:#2a78d6;--heap:#1baf7a;--pages:#eda100;--table:#4a3aa7;--kern:#7d7c77;"
    "--replay:#bdbcb6;--free:#eeeeea;--h1:#e4eefa;--h2:#c5dcf5;--h3:#9dc4ee;--h4:#6da7e5;"
    "--h5:#3f86d6;--h6:#2165b5;--h7:#12427d}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#121211;--card:#1a1a19;--ink:#fff;"
    "--soft:#c3c2b7;--faint:#363633;--kcore:#3987e5;--linux:#e8743f;--asked:#3b3a37;"
    "--good:#3ecf80;--bad:#ff7b72;--cache:#3987e5;--heap:#199e70;--pages:#c98500;"
    "--table:#9085e9;--kern:#8a8984;--replay:#55544f;--free:#2a2a28;--h1:#14243a;--h2:#163458;"
    "--h3:#19487f;--h4:#2361a8;--h5:#3980cf;--h6:#6ba5e6;--h7:#a9cdf5}}\n"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"
    "\"Segoe UI\",Roboto,sans-serif;-webkit-text-size-adjust:100%}"
    "main,header{max-width:1120px;margin:0 auto;padding:0 20px}"
    "header{padding-top:28px}h1{font-size:24px;line-height:1.25;margin:0 0 4px;font-weight:650}"
    "h2{font-size:17px;margin:0 0 2px;font-weight:650}h3{font-size:14px;margin:0;font-weight:600}"
    "p{margin:0 0 10px}.sub{color:var(--soft);font-size:14px;overflow-wrap:anywhere}"
    "section{background:var(--card);border:1px solid var(--faint);border-radius:10px;"
    "padding:18px 20px;margin:16px 0}"
    "code,.mono{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:.92em;"
    "overflow-wrap:anywhere}"
    ".tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:12px;"
    "margin:18px 0 0}"
    ".tile{background:var(--card);border:1px solid var(--faint);border-radius:10px;"
    "padding:12px 14px}.tile b{display:block;font-size:22px;line-height:1.25;font-weight:650}"
    ".tile span{color:var(--soft);font-size:13px;display:block}"
    ".good{color:var(--good)}.bad{color:var(--bad)}"
    "svg.pic{display:block;width:100%;height:auto;font:11.5px system-ui,sans-serif}"
    "svg.narrow{display:none}svg.map{font:11px ui-monospace,Menlo,Consolas,monospace}"
    "svg text{fill:var(--soft);font-variant-numeric:tabular-nums}svg .name{font-weight:600}"
    ".grid{stroke:var(--faint);fill:none}.mark{stroke:var(--soft);stroke-dasharray:2 3;fill:none}"
    ".c-asked{fill:var(--asked)}"
    ".c-kcore,.c-linux{fill:none;stroke-width:1.8;stroke-linejoin:round}"
    ".c-kcore{stroke:var(--kcore)}.c-linux{stroke:var(--linux)}"
    "svg .n-kcore{fill:var(--kcore)}svg .n-linux{fill:var(--linux)}.b-time{fill:var(--kcore)}"
    ".o-cache{fill:var(--cache);background:var(--cache)}.o-heap{fill:var(--heap);"
    "background:var(--heap)}.o-pages{fill:var(--pages);background:var(--pages)}"
    ".o-table{fill:var(--table);background:var(--table)}.o-kernel{fill:var(--kern);"
    "background:var(--kern)}.o-replay{fill:var(--replay);background:var(--replay)}"
    ".o-free{fill:var(--free);background:var(--free)}"
    ".key{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:7px}"
    ".scroll{overflow-x:auto}"
    "table{border-collapse:collapse;font-size:13.5px;font-variant-numeric:tabular-nums;"
    "margin:8px 0 4px}"
    "th,td{padding:4px 12px 4px 0;text-align:right;border-bottom:1px solid var(--faint);"
    "white-space:nowrap;vertical-align:top}th:last-child,td:last-child{padding-right:0}"
    "th{font-weight:600;color:var(--soft)}th:first-child,td:first-child,.left{text-align:left}"
    "td.words{white-space:normal;text-align:left;min-width:12em}"
    "details{margin-top:10px;font-size:14px}summary{cursor:pointer;color:var(--soft)}"
    ".heat{width:100%;table-layout:fixed;border-collapse:separate;border-spacing:2px}"
    ".heat td,.heat th{padding:5px 2px;text-align:center;border:0;font-size:12.5px;"
    "border-radius:3px;overflow:hidden}"
    ".heat tr>th:first-child{text-align:right;padding-right:8px;width:84px}"
    ".heat td{background:var(--free);color:var(--ink)}"
    ".heat .h1{background:var(--h1)}.heat .h2{background:var(--h2)}.heat .h3{background:var(--h3)}"
    ".heat .h4{background:var(--h4)}.heat .h5{background:var(--h5);color:#fff}"
    ".heat .h6{background:var(--h6);color:#fff}.heat .h7{background:var(--h7);color:#fff}"
    "@media(prefers-color-scheme:dark){.heat .h6,.heat .h7{color:#0b0b0b}}"
    ".types{display:grid;grid-template-columns:minmax(90px,190px) 1fr 172px;gap:5px 12px;"
    "align-items:center;font-size:13.5px;margin-top:10px}"
    ".types .n{white-space:nowrap;overflow:hidden;text-overflow:ellipsis}"
    ".types .v{color:var(--soft);font-variant-numeric:tabular-nums;white-space:nowrap}"
    ".types svg{display:block;width:100%;height:13px}.t-held{fill:var(--kcore);opacity:.32}"
    ".t-asked{fill:var(--kcore)}"
    ".pair{display:grid;grid-template-columns:1fr 1fr;gap:20px}"
    ".report{border-left:3px solid var(--bad);padding:2px 0 2px 14px;margin:14px 0}"
    ".report ol{margin:6px 0;padding-left:22px}.report li{margin:2px 0}"
    ".when{color:var(--soft);font-size:13px}"
    "footer{max-width:1120px;margin:0 auto;padding:4px 20px 36px;color:var(--soft);font-size:13px}"
    "@media(max-width:700px){main,header,footer{padding-left:12px;padding-right:12px}"
    "section{padding:14px 12px}svg.wide{display:none}svg.narrow{display:block}"
    ".pair{grid-template-columns:1fr}.tiles{grid-template-columns:1fr 1fr;gap:8px}"
    ".types{grid-template-columns:minmax(70px,112px) 1fr 96px;gap:5px 8px;font-size:12.5px}"
    "table{font-size:12.5px}th,td{padding-right:8px}td:first-child{white-space:normal}"
    ".heat th{white-space:normal;line-height:1.2}.types .x{display:none}.tile b{font-size:19px}"
    ".heat{border-spacing:1px}.heat td,.heat th{font-size:9.5px;padding:5px 0}"
    ".heat tr>th:first-child{width:44px;padding-right:4px}h1{font-size:20px}}\n"
    "@media print{body{background:#fff}section{break-inside:avoid}}";

/* ---- small parts ---------------------------------------------------------------------------- */

static void open_section(struct markup *m, const char *id, const char *title)
{
    markup_fmt(m, "<section id=\"%s\" aria-labelledby=\"h-%s\"><h2 id=\"h-%s\">%s</h2>\n", id, id,
               id, title);
}

static void close_section(struct markup *m)
{
    markup_raw(m, "</section>\n");
}

static void open_table(struct markup *m, const char *summary)
{
    markup_fmt(m, "<details><summary>%s</summary><div class=\"scroll\"><table>\n", summary);
}

static void close_table(struct markup *m)
{
    markup_raw(m, "</table></div></details>\n");
}

static void tile(struct markup *m, const char *value, const char *what, const char *class)
{
    markup_fmt(m, "<div class=\"tile\"><b class=\"%s\">%s</b><span>%s</span></div>\n", class, value,
               what);
}

/* ---- head ----------------------------------------------------------------------------------- */

static void head(struct markup *m, const struct report_data *d)
{
    markup_raw(m, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                  "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                  "<meta name=\"generator\" content=\"ksim\"><title>");
    markup_text(m, d->trace_name != NULL ? d->trace_name : "a run");
    markup_raw(m, " \xe2\x80\x93 kcore report</title>\n<style>");
    markup_raw(m, style);
    markup_raw(m, "</style></head>\n<body><header><h1>");
    if (d->trace_name != NULL) {
        markup_text(m, d->trace_name);
        markup_raw(m, ", served by kcore");
    } else {
        markup_raw(m, "kcore on the simulated machine");
    }
    markup_raw(m, "</h1>\n<p class=\"sub\">");
    if (d->replay != NULL) {
        const struct kc_trace_totals *t = &d->replay->trace;
        markup_text(m, d->trace_kind);
        markup_fmt(m, ", %.3f s of the recorded kernel\xe2\x80\x99s time, %s allocations. ",
                   (double)(t->last_ns - t->first_ns) / 1e9, units_count(t->allocs).s);
    }
    markup_fmt(m, "%u CPU%s, %s of RAM, %s machine, seed %" PRIu64 ", kcore %s.</p>\n", d->cpus,
               d->cpus == 1 ? "" : "s", units_bytes(d->ram_bytes).s, d->speed, d->seed, d->version);
}

static uint64_t leaks_of(const struct report_data *d)
{
    return d->leaked_frames + d->leaked_things + (d->replay != NULL ? d->replay->leaks : 0);
}

static void tiles(struct markup *m, const struct report_data *d)
{
    const struct kc_replay_result *r = d->replay;
    uint64_t failures = r != NULL ? r->failures + r->page_failures : 0;
    bool good = d->findings == 0 && leaks_of(d) == 0 && failures == 0;
    markup_raw(m, "<div class=\"tiles\">\n");
    tile(m, good ? "clean" : "not clean", "verdict", good ? "good" : "bad");
    tile(m, units_count(d->findings).s, "violations and findings", d->findings != 0 ? "bad" : "");
    tile(m, units_count(leaks_of(d)).s, "leaks after shutdown", leaks_of(d) != 0 ? "bad" : "");
    if (r != NULL) {
        tile(m, units_count(failures).s, "requests refused", failures != 0 ? "bad" : "");
        tile(m, units_bytes(r->kcore.peak_footprint_bytes).s, "most that kcore held", "");
        tile(m, units_milli_pct(r->kcore.footprint_milli_pct).s, "held over asked, kcore", "");
        tile(m, units_milli_pct(r->source.footprint_milli_pct).s, "held over asked, Linux", "");
        tile(m, units_count(r->live_at_end).s, "objects live at the end", "");
    }
    markup_raw(m, "</div></header>\n<main>\n");
    if (d->end != NULL) {
        markup_raw(m, "<section id=\"end\"><h2 class=\"bad\">The run ended badly</h2><p>");
        markup_text(m, d->end);
        markup_raw(m, "</p></section>\n");
    }
}

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
    open_table(m, "The timeline as a table");
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
    close_table(m);
}

static void timeline(struct markup *m, const struct report_data *d)
{
    const struct kc_replay_result *r = d->replay;
    static const struct svg_size wide = {1040, 320, "pic wide"};
    static const struct svg_size narrow = {360, 260, "pic narrow"};
    open_section(m, "timeline", "Asked for and held, over time");
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
    close_section(m);
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

static int by_allocs(const void *a, const void *b)
{
    const struct report_type *x = *(const struct report_type *const *)a;
    const struct report_type *y = *(const struct report_type *const *)b;
    if (x->allocs != y->allocs) {
        return x->allocs < y->allocs ? 1 : -1;
    }
    return strcmp(x->name, y->name);
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
    const struct report_type **order = calloc(d->type_count + 1u, sizeof(struct report_type *));
    if (order == NULL) {
        m->failed = true;
        return;
    }
    for (uint32_t i = 0; i < d->type_count; i++) {
        order[i] = &d->type[i];
    }
    qsort(order, d->type_count, sizeof(struct report_type *), by_allocs);
    open_table(m, "All types as a table");
    markup_raw(m, "<tr><th>type</th><th>object</th><th>allocations</th><th>peak live</th>"
                  "<th>live at end</th><th>asked at end</th><th>held at end</th><th>refused</th>"
                  "</tr>\n");
    for (uint32_t i = 0; i < d->type_count; i++) {
        type_row(m, order[i]);
    }
    close_table(m);
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

static void types(struct markup *m, const struct report_data *d)
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
    open_section(m, "types", "Allocators by type");
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
    close_section(m);
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

static void heat_map(struct markup *m, const struct report_data *d)
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
    open_section(m, "lifetimes", "Size by lifetime");
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
    close_section(m);
}

/* ---- memory map ----------------------------------------------------------------------------- */

static void fragmentation_table(struct markup *m, const struct kc_frame_stats *f)
{
    open_table(m, "Fragmentation of free memory");
    markup_raw(m, "<tr><th>block</th><th>free blocks</th><th>of free memory, in blocks too small"
                  "</th></tr>\n");
    for (uint32_t order = 0; order < KC_FRAME_ORDERS; order++) {
        markup_fmt(m, "<tr><td>%s</td><td>%s</td><td>%.1f %%</td></tr>\n",
                   units_bytes((uint64_t)KC_FRAME_BYTES << order).s,
                   units_count(f->free_blocks[order]).s, f->frag_permille[order] / 10.0);
    }
    close_table(m);
}

static void memory_map(struct markup *m, const struct report_data *d)
{
    const struct memmap *map = d->memmap;
    uint64_t held = 0;
    open_section(m, "memory", "Physical memory by owner");
    markup_raw(m, "<p class=\"sub\">At the end of the work, in order of address. A cell has the "
                  "colour of whoever holds most of it; stretches that are wholly free are left "
                  "out.</p>\n");
    struct memmap_drawing how = {.width = ALONE_WIDTH,
                                 .columns = COLUMNS_WIDE,
                                 .rows_max = MAP_ROWS,
                                 .tooltips = true,
                                 .class = "pic map wide"};
    memmap_svg(map, &how, m);
    how = (struct memmap_drawing){
        .width = 360, .columns = COLUMNS_NARROW, .rows_max = MAP_ROWS, .class = "pic map narrow"};
    memmap_svg(map, &how, m);
    markup_raw(m, "<div class=\"scroll\"><table><tr><th>owner</th><th>holds</th><th>of RAM</th>"
                  "</tr>\n");
    for (uint32_t h = 0; h <= MEMMAP_HOLDERS; h++) {
        uint64_t bytes = h < MEMMAP_HOLDERS ? map->held_bytes[h] : map->ram_bytes - held;
        held += bytes;
        if (bytes == 0) {
            continue;
        }
        markup_fmt(m,
                   "<tr><td><span class=\"key %s\"></span>%s</td><td>%s</td><td>%.2f %%</td>"
                   "</tr>\n",
                   h < MEMMAP_HOLDERS ? memmap_class(h) : "o-free",
                   h < MEMMAP_HOLDERS ? memmap_name(h) : "free", units_bytes(bytes).s,
                   (double)bytes / (double)map->ram_bytes * 100.0);
    }
    markup_raw(m, "</table></div>\n");
    if (d->replay != NULL) {
        fragmentation_table(m, &d->replay->frames);
    }
    close_section(m);
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

static void latency(struct markup *m, const struct report_data *d)
{
    const struct kc_replay_result *r = d->replay;
    open_section(m, "latency", "Latency");
    markup_raw(m, "<p class=\"sub\">How many calls took how long: time of the host, with the "
                  "simulator\xe2\x80\x99s own cost, on a logarithmic axis. These are the only "
                  "numbers of the page that differ from run to run.</p>\n<div class=\"pair\">\n");
    latency_chart(m, "Allocating an object", &d->latency->alloc);
    latency_chart(m, "Freeing an object", &d->latency->free);
    latency_chart(m, "Allocating pages", &d->latency->page_alloc);
    latency_chart(m, "Freeing pages", &d->latency->page_free);
    markup_raw(m, "</div>\n<div class=\"scroll\"><table><tr><th></th><th>calls</th><th>median</th>"
                  "<th>99 %</th><th>99.9 %</th><th>longest</th></tr>\n");
    latency_row(m, "allocate", &r->alloc);
    latency_row(m, "free", &r->free);
    latency_row(m, "allocate pages", &r->page_alloc);
    latency_row(m, "free pages", &r->page_free);
    markup_raw(m, "</table></div>\n");
    close_section(m);
}

/* ---- monitors ------------------------------------------------------------------------------- */

static void violation(struct markup *m, const struct mon_report *r)
{
    markup_fmt(m, "<div class=\"report\"><h3>%s: %s</h3><p>", mon_row_name(r->row),
               mon_row_text(r->row));
    markup_text(m, r->sentence);
    markup_raw(m, "<br><b class=\"bad\">");
    markup_text(m, r->missing);
    markup_fmt(m,
               "</b></p><p class=\"when\">CPU %u, at clock %s, va <span class=\"mono\">0x%" PRIx64
               "</span>, pa <span class=\"mono\">0x%" PRIx64 "</span>, seen %s time%s</p>",
               r->cpu, units_count(r->at).s, r->va, r->pa, units_count(r->times).s,
               r->times == 1 ? "" : "s");
    if (r->cause_count != 0) {
        markup_raw(m, "<p class=\"when\">How it came about:</p><ol>");
    }
    for (uint32_t i = 0; i < r->cause_count; i++) {
        markup_fmt(m, "<li><span class=\"when\">clock %s, CPU %u</span> ",
                   units_count(r->cause[i].at).s, r->cause[i].cpu);
        markup_text(m, r->cause[i].what);
        markup_raw(m, "</li>");
    }
    markup_raw(m, r->cause_count != 0 ? "</ol></div>\n" : "</div>\n");
}

static void row_table(struct markup *m, const struct report_data *d)
{
    open_table(m, "What was judged, row by row");
    markup_raw(m, "<tr><th>row</th><th class=\"left\">forbids</th><th>judged</th><th>violations"
                  "</th></tr>\n");
    for (uint32_t i = 0; i < d->judgement_count; i++) {
        markup_fmt(m, "<tr><td>%s</td><td class=\"words\">%s</td><td>%s</td>", d->judgement[i].row,
                   mon_row_text(i), units_count(d->judgement[i].count).s);
        markup_fmt(m, "<td>%s</td></tr>\n", units_count(mon_violations(d->monitor, i)).s);
    }
    close_table(m);
}

static void violations(struct markup *m, const struct report_data *d)
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < d->judgement_count; i++) {
        all += d->judgement[i].count;
    }
    open_section(m, "violations", "Violations");
    markup_fmt(m, "<p class=\"sub\">The monitors judged %s steps and accesses", units_count(all).s);
    markup_fmt(m, " and found %s violation%s. Allocators reported %s misuse%s.</p>\n",
               mon_total(d->monitor) == 0 ? "no" : units_count(mon_total(d->monitor)).s,
               mon_total(d->monitor) == 1 ? "" : "s",
               d->misuse == 0 ? "no" : units_count(d->misuse).s, d->misuse == 1 ? "" : "s");
    for (uint32_t i = 0; i < REPORTS_SHOWN; i++) {
        const struct mon_report *r = mon_report_at(d->monitor, i);
        if (r == NULL) {
            break;
        }
        violation(m, r);
    }
    if (mon_report_at(d->monitor, REPORTS_SHOWN) != NULL) {
        markup_raw(m, "<p>Further reports are left out; --log has them all.</p>\n");
    }
    row_table(m, d);
    close_section(m);
}

/* ---- the rest ------------------------------------------------------------------------------- */

static void trace_row(struct markup *m, const char *what, uint64_t n)
{
    markup_fmt(m, "<tr><td>%s</td><td>%s</td></tr>\n", what, units_count(n).s);
}

static void trace(struct markup *m, const struct report_data *d)
{
    const struct kc_trace_totals *t = &d->replay->trace;
    open_section(m, "trace", "What was replayed");
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
    close_section(m);
}

static void foot(struct markup *m, const struct report_data *d)
{
    markup_fmt(m, "</main>\n<footer>Schedule 0x%016" PRIx64 ", %s switches, %s steps.", d->schedule,
               units_count(d->switches).s, units_count(d->steps).s);
    if (d->repeat != NULL) {
        markup_raw(m, " Repeat it with <code>");
        markup_text(m, d->repeat);
        markup_raw(m, "</code>");
    }
    markup_raw(m, "</footer></body></html>\n");
}

void report_html(const struct report_data *d, struct markup *out)
{
    head(out, d);
    bool first = mon_total(d->monitor) != 0; /* what went wrong is read before how it went */
    tiles(out, d);
    if (first) {
        violations(out, d);
    }
    if (d->replay != NULL) {
        timeline(out, d);
        types(out, d);
        if (d->lifetimes != NULL) {
            heat_map(out, d);
        }
    }
    if (d->memmap != NULL && d->memmap->count != 0) {
        memory_map(out, d);
    }
    if (d->replay != NULL) {
        if (d->latency != NULL) {
            latency(out, d);
        }
    }
    if (!first) {
        violations(out, d);
    }
    if (d->replay != NULL) {
        trace(out, d);
    }
    foot(out, d);
}

void report_svg(const struct report_data *d, struct markup *out)
{
    const struct memmap_drawing how = {.width = ALONE_WIDTH,
                                       .columns = COLUMNS_WIDE,
                                       .rows_max = MAP_ROWS,
                                       .tooltips = true,
                                       .alone = true,
                                       .class = "map"};
    memmap_svg(d->memmap, &how, out);
    markup_raw(out, "\n");
}
