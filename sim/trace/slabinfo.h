/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * slabinfo.h: geometry of a Linux kernel's caches, from a copy of its /proc/slabinfo (version 2.x).
 */
#ifndef SIM_TRACE_SLABINFO_H
#define SIM_TRACE_SLABINFO_H

#include "input.h"

#define SIM_SLABINFO_CACHES_MAX 16384u

struct sim_slab {
    char name[KC_TRACE_NAME_MAX + 1];
    uint32_t object_bytes;
    uint32_t objects_per_slab;
    uint32_t pages_per_slab;
};

struct sim_slabinfo;

/** Read all of it. NULL: err says file, line and what was expected. */
struct sim_slabinfo *sim_slabinfo_read(struct sim_input *in, struct sim_trace_error *err);

/** The cache of that name, or NULL. s may be NULL: no cache is known. Cost: O(log caches). */
const struct sim_slab *sim_slabinfo_find(const struct sim_slabinfo *s, const char *name);

/** How many caches it lists. */
uint32_t sim_slabinfo_count(const struct sim_slabinfo *s);

/** Free it. NULL is allowed. */
void sim_slabinfo_free(struct sim_slabinfo *s);

#endif
