/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * svg.h: charts as inline SVG.
 *
 * A chart is drawn twice, wide and narrow, and the page's style shows the one that fits, so that
 * letters have the same size on a telephone as on a desk.
 */
#ifndef SIM_SVG_H
#define SIM_SVG_H

#include <stdint.h>

#include <kc/stats.h>

#include "markup.h"
#include "timeline.h"

struct svg_size {
    uint32_t width;
    uint32_t height;
    const char *class; /* of the svg element */
};

/** Least 1, 2 or 5 times a power of ten that cuts max into at most `parts`; 1 at least. */
uint64_t svg_step_decimal(uint64_t max, uint32_t parts);
/** The same with powers of two. */
uint64_t svg_step_binary(uint64_t max, uint32_t parts);

/** Bytes asked for (area), held by kcore, and held by Linux unless not known, over time. */
void svg_timeline(const struct timeline *t, uint64_t first_ns, bool source_known,
                  const struct svg_size *size, struct markup *out);

/** How many calls took how long, on a logarithmic axis; marks at the median and at 99 %. */
void svg_latency(const struct kc_hist *h, const char *what, const char *class,
                 const struct svg_size *size, struct markup *out);

#endif
