/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool_model: the slow twin of kc/pool.h: for each block whether it is live and with what it was
 * filled. In the deterministic mode, which block an allocation gives is told too: the one freed
 * last, else the next fresh one. All calls are made on one CPU: so none is refused while a block is
 * free. Includers define MODEL_REQUIRE(cond) first: what to do where the code and the model
 * disagree.
 */
#ifndef POOL_MODEL_H
#define POOL_MODEL_H

#include "kc_bytes.h"
#include <kc/pool.h>

#define POOL_MODEL_BLOCKS 512u

struct pool_model {
    struct kc_pool *p;
    struct kc_misuse *misuse;
    unsigned char *memory;
    struct kc_pool_stats shape;
    bool live[POOL_MODEL_BLOCKS];
    uint8_t fill[POOL_MODEL_BLOCKS];
    uint32_t freed[POOL_MODEL_BLOCKS]; /* in order */
    uint32_t freed_count;
    uint32_t fresh;
    uint32_t live_count;
    uint32_t peak;
    uint64_t reports;
    bool tells_next; /* no magazines, and not hardening full, which is random */
};

/* memory is where the pool was made; it has at most POOL_MODEL_BLOCKS blocks. */
static inline void pool_model_init(struct pool_model *m, struct kc_pool *p,
                                   struct kc_misuse *misuse, void *memory)
{
    __builtin_memset(m, 0, sizeof(*m));
    m->p = p;
    m->misuse = misuse;
    m->memory = (unsigned char *)memory;
    m->reports = kc_misuse_total(misuse);
    kc_pool_stats(p, &m->shape);
    m->tells_next = m->shape.cpu_bytes == 0 && KC_HARDENING < KC_HARDENING_FULL;
    MODEL_REQUIRE(m->shape.capacity <= POOL_MODEL_BLOCKS);
}

static inline void pool_model_check(struct pool_model *m)
{
    struct kc_pool_stats s;
    kc_pool_stats(m->p, &s);
    MODEL_REQUIRE(kc_pool_check(m->p, NULL) == KC_OK);
    MODEL_REQUIRE(s.live == m->live_count && s.peak >= m->peak);
    MODEL_REQUIRE(s.kept <= (s.cpu_bytes != 0 ? KC_POOL_CPU_KEEPS : 0));
    MODEL_REQUIRE(kc_misuse_total(m->misuse) == m->reports);
    uint32_t cursor = 0;
    uint32_t seen = 0;
    for (void *b = kc_pool_next_live(m->p, &cursor); b != NULL;
         b = kc_pool_next_live(m->p, &cursor)) {
        size_t i = (size_t)((unsigned char *)b - m->memory) / m->shape.stride_bytes;
        MODEL_REQUIRE(i < m->shape.capacity && m->live[i]);
        seen++;
    }
    MODEL_REQUIRE(seen == m->live_count);
}

static inline void pool_model_alloc(struct pool_model *m, uint8_t fill)
{
    unsigned char *b = (unsigned char *)kc_pool_alloc(m->p);
    MODEL_REQUIRE((b == NULL) == (m->live_count == m->shape.capacity));
    if (b == NULL) {
        return;
    }
    size_t at = (size_t)(b - m->memory) / m->shape.stride_bytes;
    MODEL_REQUIRE(at < m->shape.capacity && b == m->memory + at * m->shape.stride_bytes);
    MODEL_REQUIRE(!m->live[at]);
    if (m->tells_next) {
        MODEL_REQUIRE(at == (m->freed_count != 0 ? m->freed[m->freed_count - 1] : m->fresh));
        m->freed_count -= m->freed_count != 0;
        m->fresh += at == m->fresh;
    }
    m->live[at] = true;
    m->fill[at] = fill;
    m->live_count++;
    m->peak = m->live_count > m->peak ? m->live_count : m->peak;
    __builtin_memset(b, fill, m->shape.block_bytes);
}

static inline void pool_model_free(struct pool_model *m, uint32_t i)
{
    unsigned char *b = m->memory + i * m->shape.stride_bytes;
    MODEL_REQUIRE(kc_pool_is_live(m->p, b) == m->live[i]);
#if KC_HARDENING >= KC_HARDENING_CHECKED
    if (!m->live[i]) {
        MODEL_REQUIRE(kc_pool_free(m->p, b) == KC_ERR_STATE);
        m->reports++;
        return;
    }
    MODEL_REQUIRE(kc_pool_free(m->p, b + 1 + i % (m->shape.stride_bytes - 1)) == KC_ERR_ALIGN);
    m->reports++;
#endif
    if (!m->live[i]) {
        return;
    }
    for (size_t k = 0; k < m->shape.block_bytes; k++) {
        MODEL_REQUIRE(b[k] == m->fill[i]);
    }
    MODEL_REQUIRE(kc_pool_free(m->p, b) == KC_OK);
    m->live[i] = false;
    m->live_count--;
    if (m->tells_next) {
        m->freed[m->freed_count++] = i;
    }
}

static inline void pool_model_step(struct pool_model *m, struct kc_bytes *o)
{
    uint32_t what = kc_bytes_u8(o);
    if (what % 2 == 0) {
        pool_model_alloc(m, (uint8_t)what);
    } else if (what % 32 != 31) {
        pool_model_free(m, kc_bytes_below(o, 65536) % m->shape.capacity);
    } else if (KC_HARDENING != KC_HARDENING_OFF || m->tells_next) {
        /* Below, behind, and in the bookkeeping. */
        size_t at = (what & 32) != 0 ? m->shape.capacity * m->shape.stride_bytes : 0 - (size_t)8;
        MODEL_REQUIRE(kc_pool_free(m->p, (void *)((uintptr_t)m->memory + at)) == KC_ERR_RANGE);
        m->reports++;
    }
}

static inline void pool_model_finish(struct pool_model *m)
{
    for (uint32_t i = 0; i < m->shape.capacity; i++) {
        if (m->live[i]) {
            pool_model_free(m, i);
        }
    }
    pool_model_check(m);
}

#endif
