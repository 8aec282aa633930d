/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slots.c: open addressing with linear probing; removal moves followers back, so there are no
 * tombstones and a probe ends at the first empty place.
 *
 * Invariants
 *   I1  count is the number of entries that are not empty, and at most half of the table
 *   I2  between an entry's home and its place there is no empty place
 *   I3  a slot number is in a map, or on the free stack, or not below `used`: exactly one of these
 */
#include "slots.h"

#include <stdlib.h>

#include "kct.h"

#define FIRST_LOG2 10u

enum sim_slots_result sim_slots_take(struct sim_slots *s, uint32_t *out)
{
    if (s->free_count > 0) {
        *out = s->free[--s->free_count];
        return SIM_SLOTS_OK;
    }
    if (s->used == KC_TRACE_SLOTS_MAX) {
        return SIM_SLOTS_FULL;
    }
    *out = s->used++;
    return SIM_SLOTS_OK;
}

bool sim_slots_give(struct sim_slots *s, uint32_t slot)
{
    if (s->free_count == s->free_room) {
        uint32_t room = s->free_room == 0 ? 1024 : s->free_room * 2;
        uint32_t *more = realloc(s->free, (size_t)room * sizeof(*more));
        if (more == NULL) {
            return false;
        }
        s->free = more;
        s->free_room = room;
    }
    s->free[s->free_count++] = slot;
    return true;
}

void sim_slots_fini(struct sim_slots *s)
{
    free(s->free);
    s->free = NULL;
}

/* Fibonacci hashing: the high bits of a product with 2^64 / golden ratio. */
static size_t home(const struct sim_map *m, uint64_t key)
{
    return (size_t)((key * 0x9e3779b97f4a7c15ull) >> (64 - m->log2));
}

/* Place of the key, or the empty place where it belongs. The table is not full (I1). */
static size_t probe(const struct sim_map *m, uint64_t key)
{
    size_t mask = ((size_t)1 << m->log2) - 1;
    size_t i = home(m, key);
    while (m->entry[i].slot_plus_1 != 0 && m->entry[i].key != key) {
        i = (i + 1) & mask;
    }
    return i;
}

bool sim_map_find(const struct sim_map *m, uint64_t key, uint32_t *slot)
{
    if (m->count == 0) {
        return false;
    }
    size_t i = probe(m, key);
    if (m->entry[i].slot_plus_1 == 0) {
        return false;
    }
    *slot = m->entry[i].slot_plus_1 - 1;
    return true;
}

static bool grow(struct sim_map *m)
{
    struct sim_map more = {.log2 = m->entry == NULL ? FIRST_LOG2 : m->log2 + 1, .count = m->count};
    more.entry = calloc((size_t)1 << more.log2, sizeof(*more.entry));
    if (more.entry == NULL) {
        return false;
    }
    for (size_t i = 0; m->entry != NULL && i < (size_t)1 << m->log2; i++) {
        if (m->entry[i].slot_plus_1 != 0) {
            more.entry[probe(&more, m->entry[i].key)] = m->entry[i];
        }
    }
    free(m->entry);
    *m = more;
    return true;
}

bool sim_map_add(struct sim_map *m, uint64_t key, uint32_t slot)
{
    if ((m->entry == NULL || 2 * ((size_t)m->count + 1) > (size_t)1 << m->log2) && !grow(m)) {
        return false;
    }
    struct sim_map_entry *e = &m->entry[probe(m, key)];
    e->key = key;
    e->slot_plus_1 = slot + 1;
    m->count++;
    return true;
}

bool sim_map_take(struct sim_map *m, uint64_t key, uint32_t *slot)
{
    if (m->count == 0) {
        return false;
    }
    size_t mask = ((size_t)1 << m->log2) - 1;
    size_t hole = probe(m, key);
    if (m->entry[hole].slot_plus_1 == 0) {
        return false;
    }
    *slot = m->entry[hole].slot_plus_1 - 1;
    /* Whoever follows and has its home at or before the hole moves into it (I2). */
    for (size_t i = (hole + 1) & mask; m->entry[i].slot_plus_1 != 0; i = (i + 1) & mask) {
        if (((i - home(m, m->entry[i].key)) & mask) >= ((i - hole) & mask)) {
            m->entry[hole] = m->entry[i];
            hole = i;
        }
    }
    m->entry[hole].slot_plus_1 = 0;
    m->count--;
    return true;
}

void sim_map_fini(struct sim_map *m)
{
    free(m->entry);
    m->entry = NULL;
}
