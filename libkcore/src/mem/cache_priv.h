/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to cache.c, cache_check.c and white-box tests: the state of a slab. */
#ifndef KC_CACHE_PRIV_H
#define KC_CACHE_PRIV_H

#include <kc/cache.h>

#define CACHE_NONE      UINT32_MAX /* no slab: end of a list */

#define CACHE_BIN_EMPTY 0u
#define CACHE_BIN_FULL  (KC_CACHE_BINS + 1u)
#define CACHE_BIN_COUNT (KC_CACHE_BINS + 2u)

/*
 * State of a slab, named by the index of its first frame record. It lies at the end of the slab, or
 * over the second frame record of a slab of several frames: hence `kind`, which is that record's
 * and not ours, and hence room for one word of the map there.
 */
struct slab {
    uint32_t next; /* slabs of the same bin, or CACHE_NONE */
    uint32_t prev;
    uint32_t kind;  /* not used */
    uint32_t map[]; /* bit i % 32 of word i / 32: object i is free */
};
KC_STATIC_ASSERT(offsetof(struct slab, kind) == offsetof(struct kc_frame, kind), "over a record");
KC_STATIC_ASSERT(offsetof(struct slab, map) == offsetof(struct kc_frame, word), "over a record");

#define SLAB_RECORD_OBJECTS 32u /* greatest map that a record holds */
#define SLAB_FIXED_BYTES    ((uint32_t)offsetof(struct slab, map))

KC_INLINE uint32_t slab_map_words(uint32_t objects)
{
    return (objects + 31) / 32;
}

/* A slab at hand. */
struct slab_view {
    struct kc_frame *record; /* word: how many objects are free */
    struct slab *slab;
    unsigned char *base; /* object 0 */
    uint32_t index;      /* of the first frame record */
    uint32_t order;
    uint32_t objects;
};

KC_INLINE void slab_view_make(const struct kc_cache *c, struct kc_frame *record, kc_pa_t base,
                              uint32_t order, struct slab_view *v)
{
    const struct kc_cache_shape *shape = &c->shape[order];
    v->record = record;
    v->base = (unsigned char *)kc_plat_ram(base);
    v->index = kc_frame_index(c->frames, record);
    v->order = order;
    v->objects = shape->objects;
    v->slab = shape->state_offset == 0 ? (struct slab *)(void *)&record[1]
                                       : (struct slab *)(void *)(v->base + shape->state_offset);
}

KC_INLINE bool slab_is_free(const struct slab_view *v, uint32_t object)
{
    return (v->slab->map[object / 32] >> object % 32 & 1) != 0;
}

KC_INLINE uint32_t slab_bin(uint32_t objects, uint32_t free)
{
    uint32_t used = objects - free;
    if (used == 0) {
        return CACHE_BIN_EMPTY;
    }
    return free == 0 ? CACHE_BIN_FULL : 1 + used * KC_CACHE_BINS / objects;
}

#endif
