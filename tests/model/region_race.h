/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * region_race.h: CPUs that change a region map while others read it, for threads and for the
 * simulated machine.
 *
 * The space is a row of *pairs* of places. In each version of the map exactly one or both places of
 * a pair have a region: a writer puts the next one in the free place, then takes the other away.
 * Its *generation* goes up by one each time, and is in all that is said of the region.
 *
 *  I1  a lookup from the beginning of a pair finds a region of it, in every version;
 *  I2  what is said of it is what was put there, all of one generation;
 *  I3  no reader sees the generation of a pair go back;
 *  I4  neighbours are those of one version: they do not meet, and are of this pair or the next;
 *  I5  no version has a gap as large as a pair.
 */
#ifndef REGION_RACE_H
#define REGION_RACE_H

#include <kc/region.h>

#include "kc_bytes.h"

#define RR_PAIRS 24u
#define RR_PLACE UINT64_C(0x1000)
#define RR_SIZES 7u
#define RR_NODES KC_REGION_NODES(2 * RR_PAIRS)
/* Of these, so that they come round soon: 6 leaves, their root, and what a change takes. */
#define RR_NODES_USED 12u

struct region_race {
    struct kc_region_map map;
    struct kc_region_node node[RR_NODES];
    uint32_t generation[RR_PAIRS]; /* the writers' */
    uint64_t seed;
    uint32_t writers, rounds;
    uint32_t writing; /* writers that are not done */
    uint32_t looked;
    uint32_t wrong; /* sum of 1 << 4 (n - 1) for each In broken: read in hexadecimal */
};

static inline void rr_must(struct region_race *race, uint32_t invariant, bool good)
{
    if (!good) {
        __atomic_fetch_add(&race->wrong, 1u << (4 * (invariant - 1)), __ATOMIC_RELAXED);
    }
}

/* The region of that generation of a pair. */
static inline struct kc_region rr_region(uint32_t pair, uint32_t generation)
{
    uint64_t place = (uint64_t)pair * 2 + generation % 2;
    return (struct kc_region){kc_ia(place * RR_PLACE),
                              RR_PLACE - generation % RR_SIZES,
                              generation % KC_REGION_KIND_COUNT,
                              generation % (KC_REGION_PERMS + 1),
                              generation % KC_REGION_SOURCE_COUNT,
                              generation,
                              NULL};
}

static inline bool rr_is(const struct kc_region *r, uint32_t pair)
{
    struct kc_region due = rr_region(pair, r->owner);
    return kc_ia_eq(r->base, due.base) && r->size == due.size && r->kind == due.kind &&
           r->perms == due.perms && r->source == due.source && r->name == due.name;
}

static inline bool rr_start(struct region_race *race, uint64_t seed, uint32_t writers,
                            uint32_t rounds)
{
    __builtin_memset(race, 0, sizeof(*race));
    race->seed = seed;
    race->writers = writers;
    race->writing = writers;
    race->rounds = rounds;
    bool good = kc_region_map_init(&race->map, "race", race->node, RR_NODES) == KC_OK;
    race->map.node_count = RR_NODES_USED;
    for (uint32_t pair = 0; good && pair < RR_PAIRS; pair++) {
        struct kc_region r = rr_region(pair, 0);
        good = kc_region_add(&race->map, &r) == KC_OK;
    }
    return good;
}

/* Pairs are the writers' in turn: cpu, cpu + writers, ... */
static inline void rr_write(struct region_race *race, uint32_t cpu)
{
    uint64_t state = race->seed + 977 * (uint64_t)cpu;
    for (uint32_t i = 0; i < race->rounds; i++) {
        uint32_t pair = (uint32_t)(kc_random(&state) >> 32) % (RR_PAIRS / race->writers);
        pair = pair * race->writers + cpu;
        struct kc_region old = rr_region(pair, race->generation[pair]);
        struct kc_region r = rr_region(pair, ++race->generation[pair]);
        rr_must(race, 2, kc_region_add(&race->map, &r) == KC_OK);
        rr_must(race, 2, kc_region_remove(&race->map, old.base, old.size, NULL) == KC_OK);
        kc_plat_relax();
    }
    __atomic_fetch_sub(&race->writing, 1, __ATOMIC_RELEASE);
}

static inline void rr_look(struct region_race *race, uint32_t pair, uint32_t *seen)
{
    struct kc_region r;
    struct kc_region_why why;
    kc_ia_t from = kc_ia((uint64_t)pair * 2 * RR_PLACE);
    bool found = kc_region_next(&race->map, from, &r);
    rr_must(race, 1, found && kc_ia_raw(r.base) / RR_PLACE / 2 == pair); /* I1 */
    if (!found) {
        return;
    }
    rr_must(race, 2, rr_is(&r, pair)); /* I2 */
    rr_must(race, 3, r.owner >= *seen || *seen - r.owner == 1);
    /* Both may be there for a while, and the lower one of them may be the older: one step back. */
    *seen = r.owner > *seen ? r.owner : *seen;

    struct kc_region_access a = {r.base, r.size, r.kind, r.perms};
    kc_region_why(&race->map, &a, &why);
    if (why.answer == KC_REGION_OK) {
        rr_must(race, 2, rr_is(&why.region, pair));
    }
    uint64_t at = kc_ia_raw(r.base) / RR_PLACE;
    if (why.after.size != 0) {
        uint64_t next = kc_ia_raw(why.after.base) / RR_PLACE;
        rr_must(race, 4,
                next > at && next <= (at / 2 + 1) * 2 + 1 &&
                    rr_is(&why.after, (uint32_t)next / 2)); /* I4 */
    } else {
        rr_must(race, 4, pair == RR_PAIRS - 1);
    }
    if (why.before.size != 0) {
        uint64_t last = kc_ia_raw(why.before.base) / RR_PLACE;
        rr_must(race, 4,
                last < at && last + 3 >= at && rr_is(&why.before, (uint32_t)last / 2)); /* I4 */
    } else {
        rr_must(race, 4, pair == 0);
    }
}

static inline void rr_find_gap(struct region_race *race)
{
    kc_ia_range_t all = kc_ia_range(kc_ia(0), RR_PAIRS * 2 * RR_PLACE);
    kc_ia_t at;
    rr_must(race, 5,
            kc_region_find_gap(&race->map, all, 2 * RR_PLACE, 2 * RR_PLACE, 0, &at) ==
                KC_ERR_NOMEM); /* I5 */
}

/* Until the writers are done. */
static inline void rr_read(struct region_race *race, uint32_t cpu)
{
    uint32_t seen[RR_PAIRS] = {0};
    uint64_t state = race->seed + 31 + cpu;
    uint32_t looked = 0;
    while (__atomic_load_n(&race->writing, __ATOMIC_ACQUIRE) != 0) {
        uint32_t pair = (uint32_t)(kc_random(&state) >> 32) % RR_PAIRS;
        rr_look(race, pair, &seen[pair]);
        if (looked++ % 16 == 0) {
            rr_find_gap(race);
        }
        kc_plat_relax();
    }
    __atomic_fetch_add(&race->looked, looked, __ATOMIC_RELAXED);
}

/* What is there at the end. */
static inline const char *rr_finish(const struct region_race *race)
{
    if (kc_region_map_check(&race->map, NULL) != KC_OK) {
        return "kc_region_map_check() found a broken invariant";
    }
    for (uint32_t pair = 0; pair < RR_PAIRS; pair++) {
        struct kc_region r;
        if (!kc_region_next(&race->map, kc_ia((uint64_t)pair * 2 * RR_PLACE), &r) ||
            !rr_is(&r, pair) || r.owner != race->generation[pair]) {
            return "another region is left than the last";
        }
    }
    return kc_region_count(&race->map) == RR_PAIRS ? NULL : "another number of regions is left";
}

#endif
