/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memmap.c: extents, then a grid of cells, then stretches of equal cells.
 *
 *     extents  |cache 2 frames|heap 1|   free   |tables 1|
 *     cells    |cache |cache |heap  |      |      |table |     a cell is 2^n frames: who holds most
 *     drawn    |cache        |heap  |      .      |table |     of what is held of it
 *
 * Invariants
 *   I1  after memmap_end() extents ascend, and two that touch have different holders
 *   I2  the cell size is the least power of two of frames with which rows_max rows are enough
 */
#include "memmap.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <kc/frame.h>

#define COLUMNS_MAX  64u
#define ROW_HEIGHT   12u
#define ROW_GAP      2u
#define LABEL_WIDTH  84u
#define LEGEND_ROW   18u
#define ALONE_TOP    34u
#define ALONE_RIGHT  8u /* margin: the rows reach to the width */
#define NOBODY       MEMMAP_HOLDERS
#define LEGEND_WIDTH 320u

static const struct {
    const char *name;
    const char *class;
} holders[MEMMAP_HOLDERS] = {
    [MEMMAP_CACHE] = {"object caches, the heap's too", "o-cache"},
    [MEMMAP_HEAP] = {"large blocks of the heap", "o-heap"},
    [MEMMAP_PAGES] = {"pages of the trace", "o-pages"},
    [MEMMAP_TABLE] = {"translation tables", "o-table"},
    [MEMMAP_KERNEL] = {"kernel and frame records", "o-kernel"},
    [MEMMAP_REPLAY] = {"the replay's own books", "o-replay"},
};

const char *memmap_name(uint32_t holder)
{
    return holders[holder].name;
}

const char *memmap_class(uint32_t holder)
{
    return holders[holder].class;
}

void memmap_ram(struct memmap *m, uint64_t bytes)
{
    m->ram_bytes += bytes;
}

void memmap_add(struct memmap *m, uint64_t base, uint64_t bytes, enum memmap_holder holder)
{
    if (bytes == 0) {
        return;
    }
    m->held_bytes[holder] += bytes;
    if (m->count != 0) {
        struct memmap_extent *last = &m->extent[m->count - 1];
        if (last->holder == (uint32_t)holder && last->base + last->bytes == base) {
            last->bytes += bytes;
            return;
        }
    }
    if (m->count == m->room) {
        uint32_t room = m->room != 0 ? m->room * 2 : 1024;
        struct memmap_extent *extent = realloc(m->extent, room * sizeof(*extent));
        if (extent == NULL) {
            m->failed = true;
            return;
        }
        m->extent = extent;
        m->room = room;
    }
    m->extent[m->count++] = (struct memmap_extent){base, bytes, (uint32_t)holder};
}

static int by_base(const void *a, const void *b)
{
    const struct memmap_extent *x = a;
    const struct memmap_extent *y = b;
    return (x->base > y->base) - (x->base < y->base);
}

void memmap_end(struct memmap *m)
{
    if (m->count == 0) {
        return;
    }
    qsort(m->extent, m->count, sizeof(m->extent[0]), by_base);
    uint32_t kept = 0;
    for (uint32_t i = 1; i < m->count; i++) {
        struct memmap_extent *last = &m->extent[kept];
        const struct memmap_extent *e = &m->extent[i];
        if (e->holder == last->holder && last->base + last->bytes == e->base) {
            last->bytes += e->bytes;
        } else {
            m->extent[++kept] = *e;
        }
    }
    m->count = kept + 1;
}

void memmap_clear(struct memmap *m)
{
    *m = (struct memmap){.extent = m->extent, .room = m->room};
}

void memmap_fini(struct memmap *m)
{
    free(m->extent);
    *m = (struct memmap){0};
}

/* ---- grid ----------------------------------------------------------------------------------- */

struct row {
    uint64_t base;
    uint64_t bytes[COLUMNS_MAX][MEMMAP_HOLDERS];
};

/* Rows that hold something, were a row that many bytes. */
static uint64_t rows_of(const struct memmap *m, uint64_t row_bytes)
{
    uint64_t rows = 0;
    uint64_t next = 0; /* first row number not counted yet */
    for (uint32_t i = 0; i < m->count; i++) {
        uint64_t first = m->extent[i].base / row_bytes;
        uint64_t last = (m->extent[i].base + (m->extent[i].bytes - 1)) / row_bytes;
        first = first < next ? next : first;
        if (last >= first) {
            rows += last - first + 1;
            next = last + 1;
        }
    }
    return rows;
}

static uint64_t choose_cell_bytes(const struct memmap *m, const struct memmap_drawing *how)
{
    uint64_t cell = KC_FRAME_BYTES;
    while (rows_of(m, cell * how->columns) > how->rows_max) { /* I2 */
        cell *= 2;
    }
    return cell;
}

/* Count the extents into rows; rows is zeroed and large enough. Returns how many there are. */
static uint32_t fill_rows(const struct memmap *m, uint64_t cell, uint32_t columns, struct row *rows)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        uint64_t at = m->extent[i].base;
        uint64_t left = m->extent[i].bytes;
        while (left != 0) {
            uint64_t row_base = at / (cell * columns) * (cell * columns);
            uint64_t here = cell - at % cell < left ? cell - at % cell : left;
            if (n == 0 || rows[n - 1].base != row_base) {
                rows[n++].base = row_base;
            }
            rows[n - 1].bytes[(at - row_base) / cell][m->extent[i].holder] += here;
            at += here;
            left -= here;
        }
    }
    return n;
}

static uint32_t holder_of(const uint64_t bytes[MEMMAP_HOLDERS])
{
    uint32_t most = NOBODY;
    for (uint32_t h = 0; h < MEMMAP_HOLDERS; h++) {
        if (bytes[h] != 0 && (most == NOBODY || bytes[h] > bytes[most])) {
            most = h;
        }
    }
    return most;
}

/* ---- drawing -------------------------------------------------------------------------------- */

static void draw_row(const struct row *r, const struct memmap_drawing *how, uint64_t cell,
                     double top, struct markup *out)
{
    double step = (double)(how->width - LABEL_WIDTH) / how->columns;
    markup_fmt(out, "<text x=\"%u\" y=\"%.1f\" text-anchor=\"end\">%" PRIx64 "</text>",
               LABEL_WIDTH - 8, top + ROW_HEIGHT - 2, r->base);
    markup_fmt(out, "<rect class=\"o-free\" x=\"%u\" y=\"%.1f\" width=\"%u\" height=\"%u\"/>",
               LABEL_WIDTH, top, how->width - LABEL_WIDTH, ROW_HEIGHT);
    for (uint32_t c = 0; c < how->columns;) {
        uint32_t h = holder_of(r->bytes[c]);
        uint32_t end = c + 1;
        uint64_t held = h != NOBODY ? r->bytes[c][h] : 0;
        while (end < how->columns && holder_of(r->bytes[end]) == h) {
            held += h != NOBODY ? r->bytes[end][h] : 0;
            end++;
        }
        if (h != NOBODY) {
            markup_fmt(out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%u\"",
                       holders[h].class, LABEL_WIDTH + c * step, top, (end - c) * step, ROW_HEIGHT);
            if (how->tooltips) {
                markup_fmt(out, "><title>%s: %s from 0x%" PRIx64 "</title></rect>", holders[h].name,
                           units_bytes(held).s, r->base + c * cell);
            } else {
                markup_raw(out, "/>");
            }
        }
        c = end;
    }
}

/* A file of its own follows the reader's light or dark by itself. */
static void draw_style(struct markup *out)
{
    markup_raw(out, "<style>"
                    "svg{background:#fcfcfb;font:11px ui-monospace,Menlo,Consolas,monospace}"
                    "text{fill:#52514e}.h{font:600 15px system-ui,sans-serif;fill:#0b0b0b}"
                    ".l{font:12px system-ui,sans-serif;fill:#0b0b0b}"
                    ".o-free{fill:#eeeeea}.o-cache{fill:#2a78d6}.o-heap{fill:#1baf7a}"
                    ".o-pages{fill:#eda100}.o-table{fill:#4a3aa7}.o-kernel{fill:#7d7c77}"
                    ".o-replay{fill:#bdbcb6}"
                    "@media(prefers-color-scheme:dark){svg{background:#1a1a19}text{fill:#c3c2b7}"
                    ".h,.l{fill:#fff}.o-free{fill:#2a2a28}.o-cache{fill:#3987e5}"
                    ".o-heap{fill:#199e70}.o-pages{fill:#c98500}.o-table{fill:#9085e9}"
                    ".o-kernel{fill:#8a8984}.o-replay{fill:#55544f}}</style>");
}

static void draw_legend(const struct memmap *m, const struct memmap_drawing *how, uint32_t columns,
                        uint32_t top, struct markup *out)
{
    markup_fmt(out, "<text class=\"h\" x=\"8\" y=\"22\">Physical memory by owner: %s of ",
               units_bytes(m->ram_bytes).s);
    markup_raw(out, "RAM</text>");
    for (uint32_t h = 0; h < MEMMAP_HOLDERS; h++) {
        uint32_t x = 8 + h % columns * ((how->width - 8) / columns);
        uint32_t y = top + h / columns * LEGEND_ROW;
        markup_fmt(out,
                   "<rect class=\"%s\" x=\"%u\" y=\"%u\" width=\"11\" height=\"11\"/>"
                   "<text class=\"l\" x=\"%u\" y=\"%u\">%s, %s</text>",
                   holders[h].class, x, y, x + 17, y + 10, holders[h].name,
                   units_bytes(m->held_bytes[h]).s);
    }
}

/* Height of all rows and of the notes between rows that do not follow each other. */
static uint32_t height_of(const struct row *rows, uint32_t n, uint64_t row_bytes)
{
    uint32_t height = n * (ROW_HEIGHT + ROW_GAP);
    for (uint32_t i = 1; i < n; i++) {
        height += rows[i].base != rows[i - 1].base + row_bytes ? ROW_HEIGHT + ROW_GAP : 0;
    }
    return height;
}

static void draw(const struct memmap *m, const struct memmap_drawing *how, uint64_t cell,
                 const struct row *rows, uint32_t n, struct markup *out)
{
    uint64_t row_bytes = cell * how->columns;
    uint32_t legend_columns = how->width / LEGEND_WIDTH != 0 ? how->width / LEGEND_WIDTH : 1;
    uint32_t legend_rows = (MEMMAP_HOLDERS + legend_columns - 1) / legend_columns;
    uint32_t top = how->alone ? ALONE_TOP + legend_rows * LEGEND_ROW + 24 : 0;
    markup_fmt(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"%s\" viewBox=\"0 0 %u %u\" "
               "role=\"img\" aria-label=\"Physical memory by owner\">"
               "<title>Physical memory by owner</title>",
               how->class, how->width + (how->alone ? ALONE_RIGHT : 0),
               top + height_of(rows, n, row_bytes) + 20);
    if (how->alone) {
        draw_style(out);
        draw_legend(m, how, legend_columns, ALONE_TOP, out);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (i != 0 && rows[i].base != rows[i - 1].base + row_bytes) {
            markup_fmt(out, "<text x=\"%u\" y=\"%u\">%s free</text>", LABEL_WIDTH,
                       top + ROW_HEIGHT - 2,
                       units_bytes(rows[i].base - rows[i - 1].base - row_bytes).s);
            top += ROW_HEIGHT + ROW_GAP;
        }
        draw_row(&rows[i], how, cell, top, out);
        top += ROW_HEIGHT + ROW_GAP;
    }
    markup_fmt(out, "<text x=\"%u\" y=\"%u\">", LABEL_WIDTH, top + ROW_HEIGHT);
    markup_fmt(out, "a row is %s, a cell %s</text></svg>", units_bytes(row_bytes).s,
               units_bytes(cell).s);
}

void memmap_svg(const struct memmap *m, const struct memmap_drawing *how, struct markup *out)
{
    uint64_t cell = choose_cell_bytes(m, how);
    struct row *rows = calloc(how->rows_max + 1u, sizeof(*rows));
    if (rows == NULL) {
        out->failed = true;
        return;
    }
    uint32_t n = fill_rows(m, cell, how->columns, rows);
    draw(m, how, cell, rows, n, out);
    free(rows);
}
