/* SPDX-License-Identifier: BSD-2-Clause */
/* html_memory.c: who held which physical memory, at the peak and at the end. */
#include "html.h"

#define MAP_ROWS       56u
#define ALONE_WIDTH    1040u
#define COLUMNS_WIDE   64u
#define COLUMNS_NARROW 32u

static void fragmentation_table(struct markup *m, const struct kc_frame_stats *f)
{
    html_open_table(m, "Fragmentation of free memory");
    markup_raw(m, "<tr><th>block</th><th>free blocks</th><th>of free memory, in blocks too small"
                  "</th></tr>\n");
    for (uint32_t order = 0; order < KC_FRAME_ORDERS; order++) {
        markup_fmt(m, "<tr><td>%s</td><td>%s</td><td>%.1f %%</td></tr>\n",
                   units_bytes((uint64_t)KC_FRAME_BYTES << order).s,
                   units_count(f->free_blocks[order]).s, f->frag_permille[order] / 10.0);
    }
    html_close_table(m);
}

static void pictures(struct markup *m, const struct memmap *map)
{
    struct memmap_drawing how = {.width = ALONE_WIDTH,
                                 .columns = COLUMNS_WIDE,
                                 .rows_max = MAP_ROWS,
                                 .tooltips = true,
                                 .class = "pic map wide"};
    memmap_svg(map, &how, m);
    how = (struct memmap_drawing){
        .width = 360, .columns = COLUMNS_NARROW, .rows_max = MAP_ROWS, .class = "pic map narrow"};
    memmap_svg(map, &how, m);
}

static uint64_t held_by(const struct memmap *map, uint32_t holder)
{
    uint64_t all = 0;
    if (holder < MEMMAP_HOLDERS) {
        return map->held_bytes[holder];
    }
    for (uint32_t h = 0; h < MEMMAP_HOLDERS; h++) {
        all += map->held_bytes[h];
    }
    return map->ram_bytes - all;
}

static void owner_cells(struct markup *m, const struct memmap *map, uint32_t holder)
{
    uint64_t bytes = held_by(map, holder);
    markup_fmt(m, "<td>%s</td><td class=\"x\">%.2f %%</td>", units_bytes(bytes).s,
               (double)bytes / (double)map->ram_bytes * 100.0);
}

/* It is the pictures' legend, too. */
static void owner_table(struct markup *m, const struct memmap *peak, const struct memmap *end)
{
    markup_fmt(m,
               "<div class=\"scroll\"><table><tr><th>owner</th>%s<th>at the end</th>"
               "<th class=\"x\">of RAM</th></tr>\n",
               peak != NULL ? "<th>at the peak</th><th class=\"x\">of RAM</th>" : "");
    for (uint32_t h = 0; h <= MEMMAP_HOLDERS; h++) { /* the last: nobody */
        if (held_by(end, h) == 0 && (peak == NULL || held_by(peak, h) == 0)) {
            continue;
        }
        markup_fmt(m, "<tr><td><span class=\"key %s\"></span>%s</td>",
                   h < MEMMAP_HOLDERS ? memmap_class(h) : "o-free",
                   h < MEMMAP_HOLDERS ? memmap_name(h) : "free");
        if (peak != NULL) {
            owner_cells(m, peak, h);
        }
        owner_cells(m, end, h);
        markup_raw(m, "</tr>\n");
    }
    markup_raw(m, "</table></div>\n");
}

void html_memory(struct markup *m, const struct report_data *d)
{
    const struct memmap *peak = d->peak != NULL && d->peak->count != 0 ? d->peak : NULL;
    html_open(m, "memory", "Physical memory by owner");
    markup_raw(m, "<p class=\"sub\">In order of address. A cell has the colour of whoever holds "
                  "most of it; stretches that are wholly free are left out.</p>\n");
    owner_table(m, peak, d->memmap);
    if (peak != NULL) {
        markup_fmt(m, "<h3>At the peak, %.3f s into the trace</h3><p class=\"sub\">",
                   (double)(d->peak_time_ns - d->replay->trace.first_ns) / 1e9);
        markup_fmt(m, "Objects and pages of the trace held %s then; ",
                   units_bytes(d->peak_bytes).s);
        markup_fmt(m, "the most was %s.</p>\n", units_bytes(d->peak_most_bytes).s);
        pictures(m, peak);
        markup_raw(m, "<h3>At the end of the work</h3>\n");
    }
    pictures(m, d->memmap);
    if (d->replay != NULL) {
        fragmentation_table(m, &d->replay->frames);
    }
    html_close(m);
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
