/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grace_model: the slow twin of kc/grace.h. It knows no epochs: for each deferred object it has the
 * set of CPUs that may still hold it, which are those that were on line when it was deferred and
 * have not reported since. Freed while that set is not empty is wrong, and so is pending when every
 * CPU on line has reported KC_GRACE_EPOCHS times and reclaimed. Includers define
 * MODEL_REQUIRE(cond) first: what to do where the code and the model disagree.
 */
#ifndef GRACE_MODEL_H
#define GRACE_MODEL_H

#include "kc_bytes.h"
#include <kc/grace.h>

#define GRACE_MODEL_CPUS    (KC_CPUS_MAX < 4 ? KC_CPUS_MAX : 4u)
#define GRACE_MODEL_QUEUE   24u
#define GRACE_MODEL_OBJECTS 80u
#define GRACE_MODEL_BYTES   40u

enum grace_model_state {
    GRACE_MODEL_FREE,
    GRACE_MODEL_LIVE,
    GRACE_MODEL_PENDING
};

struct grace_model_object {
    unsigned char *p;
    enum grace_model_state state;
    uint32_t holders; /* a bit for each CPU that may hold it */
    uint32_t cpu;     /* whose queue it is in */
    uint64_t turn;    /* when it was deferred */
    uint8_t fill;
};

struct grace_model {
    struct kc_grace g;
    struct kc_grace_entry entry[4 * GRACE_MODEL_QUEUE];
    struct kc_pool pool;
    struct kc_misuse misuse;
    struct grace_model_object object[GRACE_MODEL_OBJECTS];
    uint32_t online;
    uint32_t queued[4];
    uint64_t turn;
    uint64_t full_count;
    uint64_t free_count;
    KC_ALIGNED(64)
    unsigned char memory[KC_POOL_MEMORY_BYTES(GRACE_MODEL_BYTES, 8u, GRACE_MODEL_OBJECTS, 0u)];
};

static inline void grace_model_init(struct grace_model *m)
{
    __builtin_memset(m, 0, sizeof(*m));
    kc_misuse_init(&m->misuse, KC_MISUSE_SILENT);
    struct kc_pool_config pc = {
        "objects", m->memory, sizeof(m->memory), GRACE_MODEL_BYTES, 8, &m->misuse, 0, 0};
    struct kc_grace_config gc = {"model", m->entry, GRACE_MODEL_QUEUE, GRACE_MODEL_CPUS,
                                 &m->misuse};
    MODEL_REQUIRE(kc_pool_init(&m->pool, &pc) == KC_OK);
    MODEL_REQUIRE(kc_grace_init(&m->g, &gc) == KC_OK);
}

/* What holds at any time: nothing is freed too soon, or written to, and counts are right. */
static inline void grace_model_check(struct grace_model *m)
{
    uint32_t pending = 0;
    for (uint32_t i = 0; i < GRACE_MODEL_OBJECTS; i++) {
        struct grace_model_object *o = &m->object[i];
        for (uint32_t k = 0; o->state != GRACE_MODEL_FREE && k < GRACE_MODEL_BYTES; k++) {
            MODEL_REQUIRE(o->p[k] == o->fill);
        }
        pending += o->state == GRACE_MODEL_PENDING;
    }
    struct kc_grace_stats s;
    kc_grace_stats(&m->g, &s);
    MODEL_REQUIRE(kc_grace_check(&m->g, NULL) == KC_OK);
    MODEL_REQUIRE(s.pending == pending && s.online == m->online);
    MODEL_REQUIRE(s.full_count == m->full_count && s.free_count == m->free_count);
    MODEL_REQUIRE(s.defer_count == m->free_count + pending && s.refuse_count == 0);
    MODEL_REQUIRE(s.oldest == s.epoch || pending != 0);
    MODEL_REQUIRE(kc_misuse_total(&m->misuse) == 0);
}

/* Finds what a call has freed: so many, all of them nobody's, each queue's in order. */
static inline void grace_model_freed(struct grace_model *m, uint32_t count, bool asks_holders)
{
    uint64_t last[4] = {0, 0, 0, 0};
    for (uint32_t i = 0; i < GRACE_MODEL_OBJECTS; i++) {
        struct grace_model_object *o = &m->object[i];
        if (o->state == GRACE_MODEL_PENDING && !kc_pool_is_live(&m->pool, o->p)) {
            MODEL_REQUIRE(o->holders == 0 || !asks_holders);
            MODEL_REQUIRE(count-- != 0);
            o->state = GRACE_MODEL_FREE;
            m->queued[o->cpu]--;
            m->free_count++;
            last[o->cpu] = o->turn > last[o->cpu] ? o->turn : last[o->cpu];
        }
    }
    MODEL_REQUIRE(count == 0);
    for (uint32_t i = 0; i < GRACE_MODEL_OBJECTS; i++) {
        const struct grace_model_object *o = &m->object[i];
        MODEL_REQUIRE(o->state != GRACE_MODEL_PENDING || o->turn > last[o->cpu]);
    }
}

static inline void grace_model_alloc(struct grace_model *m, uint8_t fill)
{
    for (uint32_t i = 0; i < GRACE_MODEL_OBJECTS; i++) {
        struct grace_model_object *o = &m->object[i];
        if (o->state == GRACE_MODEL_FREE) {
            o->p = (unsigned char *)kc_pool_alloc(&m->pool);
            MODEL_REQUIRE(o->p != NULL);
            o->state = GRACE_MODEL_LIVE;
            o->fill = fill;
            __builtin_memset(o->p, fill, GRACE_MODEL_BYTES);
            return;
        }
    }
}

static inline void grace_model_defer(struct grace_model *m, uint32_t cpu, uint32_t i)
{
    struct grace_model_object *o = &m->object[i];
    if (o->state != GRACE_MODEL_LIVE) {
        return;
    }
    kc_status_t status = kc_grace_free_pinned(&m->g, cpu, kc_grace_pool(&m->pool), o->p);
    if ((m->online >> cpu & 1) == 0) {
        MODEL_REQUIRE(status == KC_ERR_STATE);
    } else if (m->queued[cpu] == GRACE_MODEL_QUEUE) {
        MODEL_REQUIRE(status == KC_ERR_NOMEM);
        m->full_count++;
    } else {
        MODEL_REQUIRE(status == KC_OK);
        o->state = GRACE_MODEL_PENDING;
        o->holders = m->online;
        o->cpu = cpu;
        o->turn = ++m->turn;
        m->queued[cpu]++;
    }
}

/* The CPU holds nothing at this moment. */
static inline void grace_model_let_go(struct grace_model *m, uint32_t cpu)
{
    for (uint32_t i = 0; i < GRACE_MODEL_OBJECTS; i++) {
        m->object[i].holders &= ~(1u << cpu);
    }
}

static inline bool grace_model_report(struct grace_model *m, uint32_t cpu)
{
    if ((m->online >> cpu & 1) != 0) {
        grace_model_let_go(m, cpu);
    }
    return kc_grace_quiescent(&m->g, cpu);
}

static inline uint32_t grace_model_reclaim(struct grace_model *m, uint32_t cpu)
{
    uint32_t count = kc_grace_reclaim(&m->g, cpu);
    MODEL_REQUIRE(count <= KC_GRACE_FREES);
    grace_model_freed(m, count, true);
    return count;
}

static inline void grace_model_toggle(struct grace_model *m, uint32_t cpu)
{
    if ((m->online >> cpu & 1) != 0) {
        MODEL_REQUIRE(kc_grace_online(&m->g, cpu) == KC_ERR_STATE);
        grace_model_let_go(m, cpu);
        MODEL_REQUIRE(kc_grace_offline(&m->g, cpu) == KC_OK);
    } else {
        MODEL_REQUIRE(kc_grace_offline(&m->g, cpu) == KC_ERR_STATE);
        MODEL_REQUIRE(kc_grace_online(&m->g, cpu) == KC_OK);
    }
    m->online ^= 1u << cpu;
}

/* After that nothing is pending, if any CPU is on line. asks: a report says what is to be freed. */
static inline void grace_model_settle(struct grace_model *m, bool asks)
{
    for (uint32_t round = 0; round < KC_GRACE_EPOCHS; round++) {
        for (uint32_t cpu = 0; cpu < GRACE_MODEL_CPUS; cpu++) {
            (void)grace_model_report(m, cpu);
        }
    }
    for (uint32_t cpu = 0; cpu < GRACE_MODEL_CPUS; cpu++) {
        while ((m->online >> cpu & 1) != 0) {
            bool told = asks && grace_model_report(m, cpu);
            uint32_t count = grace_model_reclaim(m, cpu);
            MODEL_REQUIRE(!asks || told == (count != 0));
            if (count == 0) {
                break;
            }
        }
    }
    for (uint32_t i = 0; m->online != 0 && i < GRACE_MODEL_OBJECTS; i++) {
        MODEL_REQUIRE(m->object[i].state != GRACE_MODEL_PENDING);
    }
}

static inline void grace_model_step(struct grace_model *m, struct kc_bytes *o)
{
    uint32_t what = kc_bytes_u8(o);
    uint32_t cpu = what / 16 % GRACE_MODEL_CPUS;
    switch (what % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
        grace_model_alloc(m, (uint8_t)(what + 1));
        break;
    case 4:
    case 5:
    case 6:
    case 7:
        grace_model_defer(m, cpu, kc_bytes_below(o, GRACE_MODEL_OBJECTS));
        break;
    case 8:
    case 9:
    case 10:
    case 11:
        (void)grace_model_report(m, cpu);
        break;
    case 12:
    case 13:
        (void)grace_model_reclaim(m, cpu);
        break;
    case 14:
        grace_model_toggle(m, cpu);
        break;
    default:
        if (what > 200) { /* 207, 223, 239, 255 */
            grace_model_settle(m, what % 32 == 31);
        }
        break;
    }
}

/* Ends it, with nothing leaked. */
static inline void grace_model_finish(struct grace_model *m)
{
    uint32_t pending = m->g.cpu_count != 0 ? 1 : 0;
    while (pending != 0) {
        uint64_t before = m->free_count;
        struct kc_grace_stats s;
        pending = kc_grace_drain(&m->g);
        kc_grace_stats(&m->g, &s);
        MODEL_REQUIRE(s.free_count - before <= KC_GRACE_FREES);
        grace_model_freed(m, (uint32_t)(s.free_count - before), false);
        grace_model_check(m);
    }
    for (uint32_t i = 0; i < GRACE_MODEL_OBJECTS; i++) {
        if (m->object[i].state == GRACE_MODEL_LIVE) {
            MODEL_REQUIRE(kc_pool_free(&m->pool, m->object[i].p) == KC_OK);
        }
    }
    MODEL_REQUIRE(kc_grace_fini(&m->g) == KC_OK);
    MODEL_REQUIRE(kc_pool_fini(&m->pool) == KC_OK);
}

#endif
