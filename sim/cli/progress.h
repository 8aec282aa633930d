/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * progress.h: a source of events that shows how far it is, on a terminal, after the first second.
 */
#ifndef SIM_PROGRESS_H
#define SIM_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "trace.h"

struct progress {
    struct sim_trace *trace;
    bool shown; /* something is on the terminal's line */
    bool wanted;
    uint64_t events;
    uint64_t begin_ns;
    uint64_t last_ns;
};

/** Wrap a trace. wanted: show anything at all (a terminal, and not --quiet or --json). */
void progress_init(struct progress *p, struct sim_trace *trace, bool wanted);

/** The fill of a struct kc_replay_source whose ctx is a struct progress. */
KC_NODISCARD kc_status_t progress_fill(void *ctx, struct kc_event *buf, uint32_t max, uint32_t *n);

/** Clear the line. */
void progress_end(struct progress *p);

#endif
