/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timeline.c: points by halving.
 *
 * Invariants
 *   I1  count <= TIMELINE_POINTS; samples == (count - 1) * stride + filled, 1 <= filled <= stride
 *       (all 0 when empty)
 *   I2  point i is the maximum over samples i * stride to i * stride + stride - 1, its time the
 *       last of theirs
 *   I3  stride is a power of two
 */
#include "timeline.h"

#include <string.h>

#include <kc/assert.h>

KC_STATIC_ASSERT(TIMELINE_POINTS % 2 == 0, "pairs");

void timeline_init(struct timeline *t)
{
    memset(t, 0, sizeof(*t));
    t->stride = 1;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void take_in(struct timeline_point *p, const struct timeline_point *with)
{
    p->time_ns = with->time_ns;
    p->requested_bytes = greater(p->requested_bytes, with->requested_bytes);
    p->footprint_bytes = greater(p->footprint_bytes, with->footprint_bytes);
    p->source_footprint_bytes = greater(p->source_footprint_bytes, with->source_footprint_bytes);
}

/* Only when all points are whole: I2 holds for the doubled stride. */
static void halve(struct timeline *t)
{
    for (size_t i = 0; i < TIMELINE_POINTS / 2; i++) {
        t->point[i] = t->point[2 * i];
        take_in(&t->point[i], &t->point[2 * i + 1]);
    }
    t->count = TIMELINE_POINTS / 2;
    t->stride *= 2;
    t->filled = t->stride;
}

void timeline_add(struct timeline *t, const struct timeline_point *sample)
{
    t->samples++;
    if (t->count != 0 && t->filled < t->stride) {
        take_in(&t->point[t->count - 1], sample);
        t->filled++;
        return;
    }
    if (t->count == TIMELINE_POINTS) {
        halve(t);
    }
    t->point[t->count++] = *sample;
    t->filled = 1;
}
