/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * map.h: a hash map from 64-bit keys to pointers, for the monitor's books.
 *
 * Open addressing with linear probing; deletion shifts back, so that there are no tombstones. Key
 * UINT64_MAX is not allowed. Memory running out ends the program: a judge that forgets is worse
 * than none.
 */
#ifndef SIM_MONITOR_MAP_H
#define SIM_MONITOR_MAP_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MAP_NO_KEY UINT64_MAX

struct map_slot {
    uint64_t key;
    void *value;
};

struct map {
    struct map_slot *slot;
    uint64_t mask;
    uint64_t used;
};

static inline void *mon_alloc(size_t bytes)
{
    void *p = calloc(1, bytes);
    if (p == NULL) {
        fputs("ksim: no memory left for the monitors\n", stderr);
        exit(4);
    }
    return p;
}

static inline void *mon_resize(void *p, size_t bytes)
{
    p = realloc(p, bytes);
    if (p == NULL) {
        fputs("ksim: no memory left for the monitors\n", stderr);
        exit(4);
    }
    return p;
}

static inline uint64_t map_hash(uint64_t key)
{
    key ^= key >> 29;
    key *= UINT64_C(0xbf58476d1ce4e5b9);
    return key ^ (key >> 32);
}

static inline struct map_slot *map_place(struct map_slot *slot, uint64_t mask, uint64_t key)
{
    uint64_t i = map_hash(key) & mask;
    while (slot[i].key != key && slot[i].key != MAP_NO_KEY) {
        i = (i + 1) & mask;
    }
    return &slot[i];
}

static inline void map_resize(struct map *m, uint64_t count)
{
    struct map_slot *fresh = mon_alloc(count * sizeof(*fresh));
    for (uint64_t i = 0; i < count; i++) {
        fresh[i].key = MAP_NO_KEY;
    }
    for (uint64_t i = 0; m->slot != NULL && i <= m->mask; i++) {
        if (m->slot[i].key != MAP_NO_KEY) {
            *map_place(fresh, count - 1, m->slot[i].key) = m->slot[i];
        }
    }
    free(m->slot);
    m->slot = fresh;
    m->mask = count - 1;
}

/** Value of the key, NULL if it is absent. */
static inline void *map_get(const struct map *m, uint64_t key)
{
    return m->slot == NULL ? NULL : map_place(m->slot, m->mask, key)->value;
}

/** Set the value of the key; not NULL. */
static inline void map_put(struct map *m, uint64_t key, void *value)
{
    if (m->slot == NULL || m->used * 2 >= m->mask) {
        map_resize(m, m->slot == NULL ? 64 : (m->mask + 1) * 2);
    }
    struct map_slot *s = map_place(m->slot, m->mask, key);
    m->used += s->key == MAP_NO_KEY;
    s->key = key;
    s->value = value;
}

/** Remove the key if it is there. */
static inline void map_remove(struct map *m, uint64_t key)
{
    if (m->slot == NULL) {
        return;
    }
    uint64_t hole = (uint64_t)(map_place(m->slot, m->mask, key) - m->slot);
    if (m->slot[hole].key == MAP_NO_KEY) {
        return;
    }
    m->used--;
    for (uint64_t i = (hole + 1) & m->mask; m->slot[i].key != MAP_NO_KEY; i = (i + 1) & m->mask) {
        uint64_t home = map_hash(m->slot[i].key) & m->mask;
        if (((i - home) & m->mask) >= ((i - hole) & m->mask)) {
            m->slot[hole] = m->slot[i];
            hole = i;
        }
    }
    m->slot[hole].key = MAP_NO_KEY;
    m->slot[hole].value = NULL;
}

static inline void map_fini(struct map *m)
{
    free(m->slot);
    m->slot = NULL;
    m->used = 0;
}

#endif
