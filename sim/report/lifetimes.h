/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * lifetimes.h: objects of a trace counted by size and by how long they lived.
 *
 * Taken from the events alone, before anything allocates: it says what the recorded kernel asked
 * for, whoever serves it.
 */
#ifndef SIM_LIFETIMES_H
#define SIM_LIFETIMES_H

#include <stdbool.h>
#include <stdint.h>

#include "kct.h"

/* Sizes: up to 16 bytes, then doubling, the last is everything above 8 KiB. */
#define LIFETIMES_SIZES 11u
/* Ages: below 1 us, then in steps of ten, from 10 s on, and what lived at the end. */
#define LIFETIMES_AGES  10u
#define LIFETIMES_LIVE  (LIFETIMES_AGES - 1u)

#define LIFETIMES_CHUNK 4096u

/* When the object of a slot was born. Private. */
struct lifetimes_slot {
    uint64_t born_ns;
    uint32_t bytes;
    bool live;
};

/* Zero it to begin. Private but for count and failed. */
struct lifetimes {
    uint64_t count[LIFETIMES_SIZES][LIFETIMES_AGES];
    bool failed; /* memory ran out: objects are missing */
    struct lifetimes_slot *chunk[KC_TRACE_SLOTS_MAX / LIFETIMES_CHUNK + 1];
};

/** Take one event of the trace. Others than ALLOC and FREE are ignored; so is nonsense. */
void lifetimes_event(struct lifetimes *l, const struct kc_event *e);

/** The trace is over: count what lives. Once. */
void lifetimes_end(struct lifetimes *l);

/** Release what it holds; the counts stay. */
void lifetimes_fini(struct lifetimes *l);

/** Row of a size, column of an age. */
uint32_t lifetimes_size_row(uint32_t bytes);
uint32_t lifetimes_age_column(uint64_t ns);

#endif
