/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * grace_race.h: CPUs that replace objects while others read them without a lock, for threads and
 * for the simulated machine.
 *
 * A *slot* is where readers find an object. A writer puts a new one there and defers the old one,
 * whose memory soon is another object: it is written to, plainly. A reader *holds* an object for a
 * while, reading it plainly, and reports when it holds none; now and then it goes off line, and so
 * does a writer, whose queue the others go on with. Only what kc/grace.h promises orders a read
 * before the next object's writes.
 *
 *  I1  an object does not change while it is held;
 *  I2  it is whole: its second word is of its first.
 *
 * The other way round, a *teller* writes notes plainly, and for each defers an object. When that is
 * free, it says so by a number that orders nothing. A *hearer* that sees the number, and has
 * reported or come on line since, reads the note plainly.
 *
 *  I3  the note is what was written.
 */
#ifndef GRACE_RACE_H
#define GRACE_RACE_H

#include <kc/grace.h>

#include "kc_bytes.h"

#define GR_SLOTS 4u
/* So many that no CPU finds none for what the others keep. */
#define GR_BLOCKS  (KC_CPUS_MAX * (KC_POOL_CPU_KEEPS + GR_QUEUE) + 64u)
#define GR_QUEUE   20u
#define GR_BYTES   32u
#define GR_HOLDS   3u   /* looks at an object that is held */
#define GR_AWAY    32u  /* rounds from one absence to the next */
#define GR_MOMENTS 200u /* of an absence, fewer than */
#define GR_NOTES   256u

struct grace_race {
    struct kc_grace g;
    struct kc_grace_entry entry[KC_CPUS_MAX * GR_QUEUE];
    struct kc_pool pool;
    struct kc_misuse misuse;
    uint64_t *slot[GR_SLOTS]; /* atomic */
    uint64_t seed;
    uint32_t writers, rounds;
    uint32_t writing; /* writers that are not done */
    uint32_t looked;
    uint32_t told; /* atomic, relaxed: notes whose grace period has passed */
    uint64_t note[GR_NOTES];
    uint32_t wrong; /* sum of 1 << 4 (n - 1) for each In broken: read in hexadecimal */
    KC_ALIGNED(64)
    unsigned char memory[KC_POOL_MEMORY_BYTES(GR_BYTES, 8u, GR_BLOCKS, KC_CPUS_MAX)];
};

static inline void gr_must(struct grace_race *race, uint32_t invariant, bool good)
{
    if (!good) {
        __atomic_fetch_add(&race->wrong, 1u << (4 * (invariant - 1)), __ATOMIC_RELAXED);
    }
}

static inline uint64_t *gr_object(struct grace_race *race, uint64_t stamp)
{
    uint64_t *p = (uint64_t *)kc_pool_alloc(&race->pool);
    if (p != NULL) {
        p[0] = stamp;
        p[1] = ~stamp;
    }
    return p;
}

static inline bool gr_start(struct grace_race *race, uint64_t seed, uint32_t writers,
                            uint32_t rounds)
{
    __builtin_memset(race, 0, sizeof(*race));
    race->seed = seed;
    race->writers = writers;
    race->writing = writers;
    race->rounds = rounds;
    kc_misuse_init(&race->misuse, KC_MISUSE_SILENT);
    struct kc_pool_config pc = {
        "race", race->memory, sizeof(race->memory), GR_BYTES, 8, &race->misuse, 0, KC_CPUS_MAX};
    struct kc_grace_config gc = {"race", race->entry, GR_QUEUE, KC_CPUS_MAX, &race->misuse};
    bool good = kc_pool_init(&race->pool, &pc) == KC_OK && kc_grace_init(&race->g, &gc) == KC_OK;
    for (uint32_t i = 0; good && i < GR_SLOTS; i++) {
        race->slot[i] = gr_object(race, i);
        good = race->slot[i] != NULL;
    }
    return good;
}

/* Away for a while: other CPUs go on without this one. */
static inline void gr_away(struct grace_race *race, uint32_t cpu, uint32_t moments)
{
    gr_must(race, 1, kc_grace_offline(&race->g, cpu) == KC_OK);
    for (uint32_t i = 0; i < moments; i++) {
        kc_plat_relax();
    }
    gr_must(race, 1, kc_grace_online(&race->g, cpu) == KC_OK);
}

/* Holds nothing: reports, frees, or both, so that each must do without the other's orders. */
static inline void gr_rest(struct grace_race *race, uint32_t cpu, uint64_t x)
{
    if (x % 8 < 3) {
        (void)kc_grace_quiescent(&race->g, cpu);
    }
    if (x % 8 != 0) {
        (void)kc_grace_reclaim(&race->g, cpu);
    }
    if (x / 8 % GR_AWAY == 0) {
        gr_away(race, cpu, (uint32_t)(x / 256 % GR_MOMENTS));
    }
    kc_plat_relax();
}

static inline void gr_write(struct grace_race *race, uint32_t cpu)
{
    uint64_t seed = race->seed + 977 * (uint64_t)cpu;
    gr_must(race, 1, kc_grace_online(&race->g, cpu) == KC_OK);
    for (uint32_t i = 0; i < race->rounds; i++) {
        uint64_t *p = gr_object(race, (uint64_t)cpu << 32 | i);
        if (p != NULL) {
            uint64_t **slot = &race->slot[kc_random(&seed) % GR_SLOTS];
            uint64_t *old = __atomic_exchange_n(slot, p, __ATOMIC_ACQ_REL);
            while (kc_grace_free(&race->g, kc_grace_pool(&race->pool), old) != KC_OK) {
                gr_rest(race, cpu, kc_random(&seed));
            }
        }
        if (p == NULL || kc_random(&seed) % 4 != 0) {
            gr_rest(race, cpu, kc_random(&seed));
        }
    }
    gr_must(race, 1, kc_grace_offline(&race->g, cpu) == KC_OK);
    __atomic_fetch_sub(&race->writing, 1, __ATOMIC_RELAXED);
}

static inline void gr_read(struct grace_race *race, uint32_t cpu)
{
    uint64_t seed = race->seed + 977 * (uint64_t)cpu;
    gr_must(race, 1, kc_grace_online(&race->g, cpu) == KC_OK);
    for (uint32_t i = 0; __atomic_load_n(&race->writing, __ATOMIC_RELAXED) != 0; i++) {
        const uint64_t *p =
            __atomic_load_n(&race->slot[kc_random(&seed) % GR_SLOTS], __ATOMIC_ACQUIRE);
        uint64_t stamp = p[0];
        for (uint32_t k = 0; k < GR_HOLDS; k++) {
            gr_must(race, 2, p[1] == ~stamp);
            kc_plat_relax();
            gr_must(race, 1, p[0] == stamp);
        }
        __atomic_fetch_add(&race->looked, 1, __ATOMIC_RELAXED);
        gr_rest(race, cpu, kc_random(&seed));
    }
    gr_must(race, 1, kc_grace_offline(&race->g, cpu) == KC_OK);
}

static inline void gr_tell(struct grace_race *race, uint32_t cpu)
{
    gr_must(race, 3, kc_grace_online(&race->g, cpu) == KC_OK);
    for (uint32_t i = 0; i < GR_NOTES; i++) {
        race->note[i] = race->seed + i;
        uint64_t *p = gr_object(race, i);
        gr_must(race, 3, p != NULL);
        gr_must(race, 3, kc_grace_free(&race->g, kc_grace_pool(&race->pool), p) == KC_OK);
        while (kc_grace_reclaim(&race->g, cpu) == 0) {
            (void)kc_grace_quiescent(&race->g, cpu);
            kc_plat_relax();
        }
        __atomic_store_n(&race->told, i + 1, __ATOMIC_RELAXED);
    }
    gr_must(race, 3, kc_grace_offline(&race->g, cpu) == KC_OK);
}

static inline void gr_hear(struct grace_race *race, uint32_t cpu)
{
    uint32_t heard = 0;
    gr_must(race, 3, kc_grace_online(&race->g, cpu) == KC_OK);
    while (heard < GR_NOTES) {
        uint32_t told;
        /* What is told while this CPU is on line had to wait for its reports; else it comes back.
         */
        if (heard % 8 < 4) {
            (void)kc_grace_quiescent(&race->g, cpu);
            told = __atomic_load_n(&race->told, __ATOMIC_RELAXED);
        } else {
            gr_must(race, 3, kc_grace_offline(&race->g, cpu) == KC_OK);
            kc_plat_relax();
            told = __atomic_load_n(&race->told, __ATOMIC_RELAXED);
            gr_must(race, 3, kc_grace_online(&race->g, cpu) == KC_OK);
        }
        for (; heard < told; heard++) {
            gr_must(race, 3, race->note[heard] == race->seed + heard);
        }
        kc_plat_relax();
    }
    gr_must(race, 3, kc_grace_offline(&race->g, cpu) == KC_OK);
}

/* On one CPU, when all others are done. A sentence if something is wrong. */
static inline const char *gr_finish(struct grace_race *race)
{
    struct kc_grace_stats s;
    if (kc_grace_check(&race->g, NULL) != KC_OK || kc_grace_online(&race->g, 0) != KC_OK) {
        return "the state is torn";
    }
    for (uint32_t i = 0; i < KC_GRACE_EPOCHS; i++) {
        (void)kc_grace_quiescent(&race->g, 0);
    }
    while (kc_grace_reclaim(&race->g, 0) != 0) {
    }
    kc_grace_stats(&race->g, &s);
    if (s.pending != 0 || s.refuse_count != 0 || kc_misuse_total(&race->misuse) != 0) {
        return "objects are pending, or were freed twice";
    }
    if (s.free_count < (race->told != 0 ? race->told : race->rounds / 2)) {
        return "too few objects were freed";
    }
    for (uint32_t i = 0; i < GR_SLOTS; i++) {
        if (kc_pool_free(&race->pool, race->slot[i]) != KC_OK) {
            return "an object in a slot is not live";
        }
    }
    return kc_grace_fini(&race->g) == KC_OK && kc_pool_fini(&race->pool) == KC_OK
               ? NULL
               : "something leaked";
}

#endif
