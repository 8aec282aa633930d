/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * memmap.h: who holds which physical memory, as a picture and as numbers.
 *
 * Rows of cells in ascending order of address; rows that nobody holds anything of are left out and
 * said. Held by the host: collected while the kernel runs, drawn after it is gone.
 */
#ifndef SIM_MEMMAP_H
#define SIM_MEMMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "markup.h"

/* Who, in the order of the legend. */
enum memmap_holder {
    MEMMAP_CACHE,
    MEMMAP_HEAP,
    MEMMAP_PAGES,  /* the trace's own page events */
    MEMMAP_TABLE,  /* translation tables */
    MEMMAP_KERNEL, /* image, early memory with the frame records, the kernel's own frames */
    MEMMAP_REPLAY, /* the replay's own books */
    MEMMAP_HOLDERS
};

struct memmap_extent {
    uint64_t base;
    uint64_t bytes;
    uint32_t holder;
};

/* Zero it to begin. Read by all, written by the functions. */
struct memmap {
    struct memmap_extent *extent; /* after memmap_end(): ascending, neighbours merged */
    uint32_t count;
    uint32_t room;
    uint64_t ram_bytes;
    uint64_t held_bytes[MEMMAP_HOLDERS];
    bool failed; /* memory ran out: extents are missing */
};

/** RAM there is. */
void memmap_ram(struct memmap *m, uint64_t bytes);

/** Somebody holds that much from there on. In any order; nothing is held twice. */
void memmap_add(struct memmap *m, uint64_t base, uint64_t bytes, enum memmap_holder holder);

/** All is told. */
void memmap_end(struct memmap *m);

/** Back to the beginning; its storage is kept for what is told next. */
void memmap_clear(struct memmap *m);

void memmap_fini(struct memmap *m);

/** Name of a holder for people, and of its colour's class in the style. */
const char *memmap_name(uint32_t holder);
const char *memmap_class(uint32_t holder);

/* How to draw. */
struct memmap_drawing {
    uint32_t width;    /* of the picture, units */
    uint32_t columns;  /* cells in a row, at most 64 */
    uint32_t rows_max; /* rows that are not left out; cells grow until they are not more */
    bool tooltips;     /* each stretch tells its name and address */
    bool alone;        /* a file of its own: with style, legend and heading */
    const char *class; /* of the svg element */
};

/** Draw it as one svg element. */
void memmap_svg(const struct memmap *m, const struct memmap_drawing *how, struct markup *out);

#endif
