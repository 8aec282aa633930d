/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * timeline.h: what was held over time, in a bounded number of points.
 *
 * Each point stands for as many samples as every other; when there is no room for another, pairs
 * are made one. So the resolution halves as the run grows, and no peak is lost.
 */
#ifndef SIM_TIMELINE_H
#define SIM_TIMELINE_H

#include <stdint.h>

#define TIMELINE_POINTS 512u /* even */

/* An interval: when it ended, and the greatest value of each kind that was seen in it. */
struct timeline_point {
    uint64_t time_ns;
    uint64_t requested_bytes;
    uint64_t footprint_bytes;
    uint64_t source_footprint_bytes;
};

/* Zero bytes are an empty one, but for stride: timeline_init(). */
struct timeline {
    uint32_t count;  /* points; the last may stand for fewer samples */
    uint64_t filled; /* samples in the last */
    uint64_t stride; /* samples in each other */
    uint64_t samples;
    struct timeline_point point[TIMELINE_POINTS];
};

void timeline_init(struct timeline *t);

/** Add a sample; times never go back. Cost: amortised O(1), no allocation. */
void timeline_add(struct timeline *t, const struct timeline_point *sample);

#endif
