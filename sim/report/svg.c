/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * svg.c: two charts. Units are those of the viewBox; letters are 11 or 12 of them, set by the
 * page's style. Lines carry their names at their right ends, pushed apart where they would touch.
 */
#include "svg.h"

#include <inttypes.h>

#define LEFT         58.0 /* room for the numbers of the upright axis */
#define RIGHT_WIDE   92.0 /* and for the lines' names */
#define TOP          14.0
#define BOTTOM       30.0
#define LABEL_HEIGHT 15.0
#define PARTS_UP     5u

uint64_t svg_step_decimal(uint64_t max, uint32_t parts)
{
    uint64_t ten = 1;
    for (;;) {
        static const uint64_t times[] = {1, 2, 5};
        for (uint32_t i = 0; i < 3; i++) {
            if (max / (ten * times[i]) <= parts) {
                return ten * times[i];
            }
        }
        ten *= 10;
    }
}

uint64_t svg_step_binary(uint64_t max, uint32_t parts)
{
    uint64_t step = 1;
    while (max / step > parts) {
        step *= 2;
    }
    return step;
}

static void open_svg(const struct svg_size *size, const char *title, struct markup *out)
{
    markup_fmt(out,
               "<svg class=\"%s\" viewBox=\"0 0 %" PRIu32 " %" PRIu32
               "\" role=\"img\" aria-label=\"%s\"><title>%s</title>",
               size->class, size->width, size->height, title, title);
}

/* ---- timeline ------------------------------------------------------------------------------- */

struct plane {
    double left, right, top, bottom;
    uint64_t max_x, max_y;
};

static double at_x(const struct plane *p, uint64_t x)
{
    return p->left + (p->right - p->left) * ((double)x / (double)p->max_x);
}

static double at_y(const struct plane *p, uint64_t y)
{
    return p->bottom - (p->bottom - p->top) * ((double)y / (double)p->max_y);
}

static void grid(const struct plane *p, uint32_t parts_across, struct markup *out)
{
    uint64_t step = svg_step_binary(p->max_y, PARTS_UP);
    for (uint64_t y = 0; y <= p->max_y; y += step) {
        markup_fmt(out,
                   "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/><text x=\"%.1f\" y=\"%.1f\" "
                   "text-anchor=\"end\">%s</text>",
                   p->left, at_y(p, y), p->right, p->left - 6, at_y(p, y) + 4, units_bytes(y).s);
    }
    step = svg_step_decimal(p->max_x, parts_across);
    for (uint64_t x = 0; x <= p->max_x; x += step) {
        markup_fmt(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>", at_x(p, x),
                   p->bottom + 18, units_time(x).s);
    }
}

enum line {
    LINE_REQUESTED,
    LINE_FOOTPRINT,
    LINE_SOURCE,
    LINES
};

static const struct {
    const char *name;
    const char *class;
} lines[LINES] = {
    [LINE_REQUESTED] = {"asked for", "c-asked"},
    [LINE_FOOTPRINT] = {"kcore", "c-kcore"},
    [LINE_SOURCE] = {"Linux", "c-linux"},
};

static uint64_t value(const struct timeline_point *p, enum line line)
{
    switch (line) {
    case LINE_REQUESTED:
        return p->requested_bytes;
    case LINE_FOOTPRINT:
        return p->footprint_bytes;
    default:
        return p->source_footprint_bytes;
    }
}

/* From the origin in steps: a value holds until the next. */
static void draw_path(const struct timeline *t, uint64_t first_ns, const struct plane *p,
                      enum line line, struct markup *out)
{
    markup_fmt(out, "<path class=\"%s\" d=\"M%.1f %.1f", lines[line].class, p->left,
               at_y(p, value(&t->point[0], line)));
    for (uint32_t i = 0; i < t->count; i++) {
        markup_fmt(out, "L%.1f %.1f", at_x(p, t->point[i].time_ns - first_ns),
                   at_y(p, value(&t->point[i], line)));
    }
    markup_fmt(out, "H%.1f", p->right);
    if (line == LINE_REQUESTED) {
        markup_fmt(out, "V%.1fH%.1fZ", p->bottom, p->left);
    }
    markup_raw(out, "\"/>");
}

/* Names at the ends of the lines, from the highest down, never closer than a line of text. */
static void name_lines(const struct timeline *t, const struct plane *p, uint32_t count,
                       struct markup *out)
{
    const struct timeline_point *end = &t->point[t->count - 1];
    bool done[LINES] = {false};
    double floor_y = p->top - LABEL_HEIGHT;
    for (uint32_t n = 0; n < count; n++) {
        uint32_t next = LINES;
        for (uint32_t i = 0; i < count; i++) {
            if (!done[i] && (next == LINES || value(end, i) > value(end, next))) {
                next = i;
            }
        }
        done[next] = true;
        double y = at_y(p, value(end, next)) + 4;
        y = y < floor_y + LABEL_HEIGHT ? floor_y + LABEL_HEIGHT : y;
        floor_y = y;
        markup_fmt(out, "<text class=\"name n-%s\" x=\"%.1f\" y=\"%.1f\">%s</text>",
                   lines[next].class + 2, p->right + 6, y, lines[next].name);
    }
}

void svg_timeline(const struct timeline *t, uint64_t first_ns, bool source_known,
                  const struct svg_size *size, struct markup *out)
{
    uint32_t count = source_known ? LINES : LINES - 1;
    struct plane p = {.left = LEFT, .top = TOP, .max_x = 1, .max_y = 1};
    p.right = size->width - (size->width > 600 ? RIGHT_WIDE : 72.0);
    p.bottom = size->height - BOTTOM;
    for (uint32_t i = 0; i < t->count; i++) {
        p.max_x =
            t->point[i].time_ns - first_ns > p.max_x ? t->point[i].time_ns - first_ns : p.max_x;
        for (uint32_t l = 0; l < count; l++) {
            p.max_y = value(&t->point[i], l) > p.max_y ? value(&t->point[i], l) : p.max_y;
        }
    }
    p.max_y += p.max_y / 16;
    open_svg(size, "Bytes asked for and held over the time of the trace", out);
    grid(&p, size->width > 600 ? 10 : 4, out);
    for (uint32_t l = 0; l < count; l++) {
        draw_path(t, first_ns, &p, l, out);
    }
    name_lines(t, &p, count, out);
    markup_raw(out, "</svg>");
}

/* ---- latency -------------------------------------------------------------------------------- */

/* A bar for a quarter of a power of two: two of the histogram's buckets. */
#define BAR_BUCKETS 2u
#define BARS        (KC_HIST_BUCKETS / BAR_BUCKETS)

static uint64_t bar_count(const struct kc_hist *h, uint32_t bar)
{
    size_t first = (size_t)bar * BAR_BUCKETS;
    return h->bucket[first] + h->bucket[first + 1];
}

static void draw_ticks(uint32_t first, uint32_t last, const struct svg_size *size, double step,
                       struct markup *out)
{
    double x_end = -100;
    for (uint64_t ns = 10;; ns *= 10) {
        uint32_t bar = kc_hist_bucket(ns) / BAR_BUCKETS;
        double x = (bar - (double)first) * step;
        if (bar > last || ns > UINT64_C(100000000000)) {
            break;
        }
        if (bar >= first && x > x_end + 52 && x + 20 < size->width) {
            markup_fmt(
                out, "<path class=\"grid\" d=\"M%.1f %uV%u\"/><text x=\"%.1f\" y=\"%u\">%s</text>",
                x, 22u, size->height - 14, x + 2, size->height - 3, units_time(ns).s);
            x_end = x;
        }
    }
}

static void draw_mark(const struct kc_hist *h, uint32_t part, const char *name, double y,
                      uint32_t first, double step, const struct svg_size *size, struct markup *out)
{
    uint64_t ns = kc_hist_percentile(h, part);
    uint32_t bar = kc_hist_bucket(ns) / BAR_BUCKETS;
    double x = ((double)bar - (double)first + 1) * step;
    bool turned = x > size->width - 110.0;
    markup_fmt(out,
               "<path class=\"mark\" d=\"M%.1f %.1fV%u\"/><text class=\"name\" x=\"%.1f\" "
               "y=\"%.1f\" text-anchor=\"%s\">%s %s</text>",
               x, y - 9, size->height - 16, turned ? x - 4 : x + 4, y, turned ? "end" : "start",
               name, units_time(ns).s);
}

void svg_latency(const struct kc_hist *h, const char *what, const char *class,
                 const struct svg_size *size, struct markup *out)
{
    uint32_t first = BARS;
    uint32_t last = 0;
    uint64_t most = 1;
    for (uint32_t i = 0; i < BARS; i++) {
        uint64_t n = bar_count(h, i);
        if (n != 0) {
            first = first == BARS ? i : first;
            last = i;
            most = n > most ? n : most;
        }
    }
    open_svg(size, what, out);
    if (first != BARS) {
        double step = (double)size->width / (last - first + 2);
        step = step > 24 ? 24 : step;
        double bottom = size->height - 16.0;
        draw_ticks(first, last, size, step, out);
        for (uint32_t i = first; i <= last; i++) {
            double height = (bottom - 36) * ((double)bar_count(h, i) / (double)most);
            height = bar_count(h, i) != 0 && height < 1 ? 1 : height;
            if (bar_count(h, i) != 0) {
                markup_fmt(out,
                           "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                           "height=\"%.1f\"/>",
                           class, (i - first) * step, bottom - height, step > 3 ? step - 1 : step,
                           height);
            }
        }
        draw_mark(h, 500000, "median", 12, first, step, size, out);
        draw_mark(h, 990000, "99 %", 26, first, step, size, out);
    }
    markup_raw(out, "</svg>");
}
