/* SPDX-License-Identifier: BSD-2-Clause */
/* html_monitor.c: what the monitors judged, and what they found. */
#include <inttypes.h>

#include "html.h"

#define REPORTS_SHOWN 50u

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

static void lint_table(struct markup *m, const struct report_data *d)
{
    if (mon_violations(d->monitor, MON_T30) == 0) {
        return;
    }
    html_open_table(m, "What was right and dear (cost lint, T30)");
    markup_raw(m, "<tr><th class=\"left\">finding</th><th>times</th></tr>\n");
    for (uint32_t i = 0; i < MON_LINT_COUNT; i++) {
        uint64_t n = mon_lints(d->monitor, (enum mon_lint)i);
        if (n != 0) {
            markup_fmt(m, "<tr><td class=\"words\">%s</td><td>%s</td></tr>\n",
                       mon_lint_text((enum mon_lint)i), units_count(n).s);
        }
    }
    html_close_table(m);
}

static void row_table(struct markup *m, const struct report_data *d)
{
    html_open_table(m, "What was judged, row by row");
    markup_raw(m, "<tr><th>row</th><th class=\"left\">forbids</th><th>judged</th><th>reported"
                  "</th></tr>\n");
    for (uint32_t i = 0; i < d->judgement_count; i++) {
        markup_fmt(m, "<tr><td>%s</td><td class=\"words\">%s</td><td>%s</td>", d->judgement[i].row,
                   mon_row_text(i), units_count(d->judgement[i].count).s);
        markup_fmt(m, "<td>%s</td></tr>\n", units_count(mon_violations(d->monitor, i)).s);
    }
    html_close_table(m);
}

void html_violations(struct markup *m, const struct report_data *d)
{
    uint64_t all = 0;
    for (uint32_t i = 0; i < d->judgement_count; i++) {
        all += d->judgement[i].count;
    }
    html_open(m, "violations", "Violations");
    markup_fmt(m, "<p class=\"sub\">The monitors judged %s steps and accesses", units_count(all).s);
    markup_fmt(m, " and found %s violation%s. Allocators reported %s misuse%s.</p>\n",
               mon_total(d->monitor) == 0 ? "no" : units_count(mon_total(d->monitor)).s,
               mon_total(d->monitor) == 1 ? "" : "s",
               d->misuse == 0 ? "no" : units_count(d->misuse).s, d->misuse == 1 ? "" : "s");
    uint32_t shown = 0;
    const struct mon_report *r;
    for (size_t i = 0; shown <= REPORTS_SHOWN && (r = mon_report_at(d->monitor, i)) != NULL; i++) {
        if (!mon_row_is_lint(r->row) && shown++ < REPORTS_SHOWN) {
            violation(m, r);
        }
    }
    if (shown > REPORTS_SHOWN) {
        markup_raw(m, "<p>Further reports are left out; --log has them all.</p>\n");
    }
    lint_table(m, d);
    row_table(m, d);
    html_close(m);
}
