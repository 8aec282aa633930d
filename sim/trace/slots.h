/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * slots.h: from the address of something that lives to its slot, and back to nothing at its death.
 *
 * Slot numbers are dense, and the one that was freed last is used first, so that they stay small
 * and a `.kct` stays short.
 */
#ifndef SIM_TRACE_SLOTS_H
#define SIM_TRACE_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

/* Numbers for several maps to share. All zero bytes are an empty one; free with sim_slots_fini().
 */
struct sim_slots {
    uint32_t *free; /* stack of numbers that were used and are free */
    uint32_t free_count;
    uint32_t free_room;
    uint32_t used; /* numbers below this were used */
};

enum sim_slots_result {
    SIM_SLOTS_OK,
    SIM_SLOTS_FULL,
    SIM_SLOTS_NOMEM
};

/** A free number, below KC_TRACE_SLOTS_MAX. */
enum sim_slots_result sim_slots_take(struct sim_slots *s, uint32_t *out);

/** Give one back. False: no host memory. */
bool sim_slots_give(struct sim_slots *s, uint32_t slot);

void sim_slots_fini(struct sim_slots *s);

struct sim_map_entry {
    uint64_t key;
    uint32_t slot_plus_1; /* 0: this place is empty */
    uint32_t unused;
};

/* Address to slot. All zero bytes are an empty one; free with sim_map_fini(). */
struct sim_map {
    struct sim_map_entry *entry; /* 1 << log2 of them, linear probing, at most half full */
    uint32_t log2;
    uint32_t count;
};

/** Its slot; false if there is none. */
bool sim_map_find(const struct sim_map *m, uint64_t key, uint32_t *slot);

/** Add a key that is not there. False: no host memory. */
bool sim_map_add(struct sim_map *m, uint64_t key, uint32_t slot);

/** Take a key out; false if it is not there. */
bool sim_map_take(struct sim_map *m, uint64_t key, uint32_t *slot);

void sim_map_fini(struct sim_map *m);

#endif
