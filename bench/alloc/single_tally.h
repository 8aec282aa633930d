/* SPDX-License-Identifier: BSD-2-Clause */
/** single_tally.h: many counts, and what of them is printed. C, and no libc. */
#ifndef SINGLE_TALLY_H
#define SINGLE_TALLY_H

#include "single.h"

#define SINGLE_COUNTS_MAX 40000u /* of one phase and kind; beyond, only the worst is kept */

enum single_kind {
    SINGLE_ALLOC,
    SINGLE_FREE,
    SINGLE_KINDS
};

struct single_counts {
    uint32_t n;
    uint32_t most;
    uint32_t count[SINGLE_COUNTS_MAX];
};

/* Counts of a run: all that stayed within the allocator, and those that went to the frames. */
struct single_tally {
    struct single_counts own[SINGLE_PHASES][SINGLE_KINDS];
    uint32_t with_frames, with_frames_most;
};

/** For people: "first", "steady", ... */
const char *single_phase_name(enum single_phase phase);

void single_tally_add(struct single_tally *t, enum single_phase phase, enum single_kind kind,
                      uint32_t instructions, bool frames);

/**
 * One line for each phase and kind, through put(), which is given whole lines:
 *
 *     single NAME | PHASE | alloc or free | N p50 p99 p99.9 most
 *     single NAME | frames | both | N most
 *
 * Sorts the counts.
 */
void single_tally_print(struct single_tally *t, const char *name, void (*put)(const char *line));

#endif
