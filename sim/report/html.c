/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * html.c: the page: its head, its sections in the order in which they are read, its foot.
 *
 * What a trace or a command line said goes through markup_text(); everything else is ours. Pictures
 * are shown to eyes, tables (folded) to everybody.
 */
#include "html.h"

#include <inttypes.h>
#include <string.h>

/* ---- small parts ---------------------------------------------------------------------------- */

void html_open(struct markup *m, const char *id, const char *title)
{
    markup_fmt(m, "<section id=\"%s\" aria-labelledby=\"h-%s\"><h2 id=\"h-%s\">%s</h2>\n", id, id,
               id, title);
}

void html_close(struct markup *m)
{
    markup_raw(m, "</section>\n");
}

void html_open_table(struct markup *m, const char *summary)
{
    markup_fmt(m, "<details><summary>%s</summary><div class=\"scroll\"><table>\n", summary);
}

void html_close_table(struct markup *m)
{
    markup_raw(m, "</table></div></details>\n");
}

/* ---- head ----------------------------------------------------------------------------------- */

/* Of a path; the whole stands in the section of the trace. */
static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

static void head(struct markup *m, const struct report_data *d)
{
    markup_raw(m, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                  "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                  "<meta name=\"generator\" content=\"ksim\"><title>");
    markup_text(m, d->trace_name != NULL ? last_part(d->trace_name) : "a run");
    markup_raw(m, " \xe2\x80\x93 kcore report</title>\n<style>");
    markup_raw(m, html_style);
    markup_raw(m, "</style></head>\n<body><header><h1>");
    if (d->trace_name != NULL) {
        markup_text(m, last_part(d->trace_name));
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

static void tile(struct markup *m, const char *value, const char *what, const char *class)
{
    markup_fmt(m, "<div class=\"tile\"><b class=\"%s\">%s</b><span>%s</span></div>\n", class, value,
               what);
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

/* ---- foot ----------------------------------------------------------------------------------- */

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
        html_violations(out, d);
    }
    if (d->replay != NULL) {
        html_timeline(out, d);
        html_types(out, d);
        if (d->lifetimes != NULL) {
            html_lifetimes(out, d);
        }
    }
    if (d->memmap != NULL && d->memmap->count != 0) {
        html_memory(out, d);
    }
    if (d->replay != NULL && d->latency != NULL) {
        html_latency(out, d);
    }
    if (!first) {
        html_violations(out, d);
    }
    if (d->replay != NULL) {
        html_trace(out, d);
    }
    foot(out, d);
}
