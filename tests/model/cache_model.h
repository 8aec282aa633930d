/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cache_model: the slow twin of kc/cache.h: a table of the live objects and what they were filled
 * with. Objects must be aligned, lie apart (their fill survives until they are freed), and come
 * from frames in whole slabs.
 *
 * Includers define MODEL_REQUIRE(cond) first: what to do where the code and the model disagree.
 */
#ifndef CACHE_MODEL_H
#define CACHE_MODEL_H

#include "kc_bytes.h"
#include <kc/cache.h>

#define CACHE_MODEL_OBJECTS 1024u

struct cache_model {
    struct kc_cache *c;
    struct kc_misuse *misuse;
    size_t bytes, align;
    unsigned char *object[CACHE_MODEL_OBJECTS]; /* NULL: free */
    uint8_t fill[CACHE_MODEL_OBJECTS];
    uint32_t live;
    uint64_t reports;
    bool may_fail; /* memory may run out */
};

static inline void cache_model_init(struct cache_model *m, struct kc_cache *c,
                                    struct kc_misuse *misuse, size_t bytes, size_t align)
{
    __builtin_memset(m, 0, sizeof(*m));
    m->c = c;
    m->misuse = misuse;
    m->bytes = bytes;
    m->align = align;
    m->reports = kc_misuse_total(misuse);
}

static inline void cache_model_check(struct cache_model *m)
{
    struct kc_cache_stats s;
    MODEL_REQUIRE(kc_cache_check(m->c, NULL) == KC_OK);
    kc_cache_stats(m->c, &s);
    MODEL_REQUIRE(s.live == m->live && s.live + s.kept <= s.capacity);
    uint64_t held = KC_HARDENING >= KC_HARDENING_FULL ? KC_CACHE_QUARANTINE : 0;
    MODEL_REQUIRE(s.kept <= (uint64_t)m->c->cpu_count * KC_CACHE_CPU_OBJECTS + held);
    MODEL_REQUIRE(s.alloc_count - s.free_count == s.live);
    MODEL_REQUIRE(s.frames_bytes >= s.capacity * s.stride_bytes);
    MODEL_REQUIRE(s.slabs_empty <= 1);
    MODEL_REQUIRE(kc_misuse_total(m->misuse) == m->reports);
}

static inline void cache_model_alloc(struct cache_model *m, uint32_t slot, uint32_t x)
{
    uint32_t flags = m->c->ctor == NULL && (x & 1) != 0 ? KC_CACHE_ZERO : 0;
    unsigned char *p = (unsigned char *)kc_cache_alloc(m->c, flags);
    if (p == NULL) {
        MODEL_REQUIRE(m->may_fail);
        return;
    }
    MODEL_REQUIRE(kc_is_aligned((uintptr_t)p, m->align));
    MODEL_REQUIRE(kc_cache_is_live(m->c, p));
    for (size_t i = 0; flags != 0 && i < m->bytes; i++) {
        MODEL_REQUIRE(p[i] == 0);
    }
    m->object[slot] = p;
    m->fill[slot] = (uint8_t)(x >> 8 ^ x);
    m->live++;
    __builtin_memset(p, m->fill[slot], m->bytes);
}

static inline void cache_model_free(struct cache_model *m, uint32_t slot, bool misuse)
{
    unsigned char *p = m->object[slot];
    for (size_t i = 0; i < m->bytes; i++) {
        MODEL_REQUIRE(p[i] == m->fill[slot]);
    }
    if (misuse) {
        MODEL_REQUIRE(kc_cache_free(m->c, p + 1) == KC_ERR_ALIGN);
        m->reports++;
    }
    MODEL_REQUIRE(kc_cache_free(m->c, p) == KC_OK);
    m->object[slot] = NULL;
    m->live--;
    MODEL_REQUIRE(!kc_cache_is_live(m->c, p));
    /* At hardening off, what lies in a magazine is not told from what is live. */
    if (misuse && (KC_HARDENING != KC_HARDENING_OFF || m->c->cpu_count == 0)) {
        MODEL_REQUIRE(kc_cache_free(m->c, p) == KC_ERR_STATE);
        m->reports++;
    }
}

static inline void cache_model_step(struct cache_model *m, struct kc_bytes *o)
{
    uint32_t x = kc_bytes_below(o, 65536);
    uint32_t slot = x % CACHE_MODEL_OBJECTS;
    if (m->object[slot] != NULL) {
        cache_model_free(m, slot, x >= 32768);
    } else if (x % 256 == 255) {
        (void)kc_cache_shrink(m->c);
        struct kc_cache_stats s;
        kc_cache_stats(m->c, &s);
        MODEL_REQUIRE(s.slabs_empty == 0);
    } else {
        cache_model_alloc(m, slot, x >> 2);
    }
}

/* The live objects are listed, each once; then all are freed. */
static inline void cache_model_finish(struct cache_model *m)
{
    struct kc_cache_cursor cursor = {0, 0, 0};
    uint32_t listed = 0;
    for (void *p = kc_cache_next_live(m->c, &cursor); p != NULL;
         p = kc_cache_next_live(m->c, &cursor)) {
        MODEL_REQUIRE(kc_cache_is_live(m->c, p));
        listed++;
    }
    MODEL_REQUIRE(listed == m->live);
    for (uint32_t i = 0; i < CACHE_MODEL_OBJECTS; i++) {
        if (m->object[i] != NULL) {
            cache_model_free(m, i, i % 8 == 0);
        }
    }
    cache_model_check(m);
}

#endif
