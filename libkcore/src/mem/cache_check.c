/* SPDX-License-Identifier: BSD-2-Clause */
/* Deep validator of cache: judges C1 to C7 of cache.c and names the first that is broken. */
#include "cache_priv.h"

struct tally {
    uint64_t slabs, empty, live, capacity, frames;
};

static kc_status_t broken(struct kc_cache_fault *where, uint32_t invariant, uint32_t index,
                          uint64_t expected, uint64_t found)
{
    if (where != NULL) {
        struct kc_cache_fault w = {invariant, index, expected, found};
        *where = w;
    }
    return KC_ERR_CORRUPT;
}

/* C1 for a shape: objects, then state, within the slab. */
static kc_status_t check_shapes(const struct kc_cache *c, struct kc_cache_fault *where)
{
    for (uint32_t o = 0; o < KC_CACHE_ORDERS; o++) {
        const struct kc_cache_shape *s = &c->shape[o];
        uint32_t bytes = KC_FRAME_BYTES << o;
        uint32_t end = s->objects * c->stride;
        if (s->objects == 0) {
            continue;
        }
        if (s->state_offset == 0) {
            if (o == 0 || s->objects > SLAB_RECORD_OBJECTS || end > bytes) {
                return broken(where, 1, CACHE_NONE, SLAB_RECORD_OBJECTS, s->objects);
            }
        } else if (end > s->state_offset ||
                   s->state_offset + SLAB_FIXED_BYTES + 4 * slab_map_words(s->objects) > bytes) {
            return broken(where, 1, CACHE_NONE, s->state_offset, end);
        }
    }
    return KC_OK;
}

/* C6; the body is told that the bytes are looked at. */
static kc_status_t check_contents(const struct kc_cache *c, const struct slab_view *v, uint32_t i,
                                  struct kc_cache_fault *where)
{
#if KC_HARDENING >= KC_HARDENING_FULL
    const unsigned char *b = v->base + (size_t)i * c->stride;
    uint32_t at = 0;
    if (c->ctor != NULL) {
        return KC_OK;
    }
    kc_plat_note(KC_NOTE_ALLOC, (uintptr_t)b, c->object_bytes, c);
    while (at < c->object_bytes && b[at] == 0) {
        at++;
    }
    kc_plat_note(KC_NOTE_FREE, (uintptr_t)b, c->object_bytes, c);
    if (at != c->object_bytes) {
        return broken(where, 6, v->index, 0, i);
    }
#else
    (void)c;
    (void)v;
    (void)i;
    (void)where;
#endif
    return KC_OK;
}

/* C2 and then C6 for one slab: only a sound map says which contents may be looked at. */
static kc_status_t check_map(const struct kc_cache *c, const struct slab_view *v,
                             struct kc_cache_fault *where)
{
    uint32_t free = 0;
    for (uint32_t i = 0; i < slab_map_words(v->objects) * 32; i++) {
        if (slab_is_free(v, i)) {
            if (i >= v->objects) {
                return broken(where, 2, v->index, v->objects, i);
            }
            free++;
        }
    }
    if (free != v->record->word) {
        return broken(where, 2, v->index, free, v->record->word);
    }
    kc_status_t status = KC_OK;
    for (uint32_t i = 0; i < v->objects && status == KC_OK; i++) {
        if (slab_is_free(v, i)) {
            status = check_contents(c, v, i, where);
        }
    }
    return status;
}

/* C1, C2 and C3 for one bin. */
static kc_status_t check_bin(const struct kc_cache *c, uint32_t bin, struct tally *t,
                             struct kc_cache_fault *where)
{
    uint32_t prev = CACHE_NONE;
    struct slab_view v;
    for (uint32_t at = c->bin[bin]; at != CACHE_NONE; at = v.slab->next) {
        struct kc_frame_found found;
        if (at >= c->frames->record_count || t->slabs == c->slabs) {
            return broken(where, 3, at, c->slabs, t->slabs + 1);
        }
        if (!kc_frame_find(c->frames, kc_frame_index_pa(c->frames, at), &found) ||
            found.owner != KC_FRAME_OWNER_CACHE || found.data != (uintptr_t)c ||
            kc_frame_index(c->frames, found.record) != at || found.order > KC_CACHE_ORDER_MAX ||
            c->shape[found.order].objects == 0) {
            return broken(where, 1, at, (uintptr_t)c, 0);
        }
        slab_view_make(c, found.record, found.base, found.order, &v);
        kc_status_t status = check_map(c, &v, where);
        if (status != KC_OK) {
            return status;
        }
        if (slab_bin(v.objects, v.record->word) != bin || v.slab->prev != prev) {
            return broken(where, 3, at, bin, slab_bin(v.objects, v.record->word));
        }
        prev = at;
        t->slabs++;
        t->empty += bin == CACHE_BIN_EMPTY;
        t->live += v.objects - v.record->word;
        t->capacity += v.objects;
        t->frames += (uint64_t)1 << v.order;
    }
    if ((c->bin_mask >> bin & 1) != (c->bin[bin] != CACHE_NONE)) {
        return broken(where, 3, c->bin[bin], c->bin[bin] != CACHE_NONE, c->bin_mask);
    }
    return KC_OK;
}

/* C4 and C5. */
static kc_status_t check_counts(const struct kc_cache *c, const struct tally *t,
                                struct kc_cache_fault *where)
{
    const uint64_t pair[][2] = {{t->slabs, c->slabs},
                                {t->empty, c->slabs_empty},
                                {t->live, c->live},
                                {t->capacity, c->capacity},
                                {t->frames, c->frames_held}};
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(pair); i++) {
        if (pair[i][0] != pair[i][1]) {
            return broken(where, 4, CACHE_NONE, pair[i][0], pair[i][1]);
        }
    }
    uint64_t keep = (c->flags & KC_CACHE_KEEP_NONE) != 0 ? 0 : 1;
    return t->empty <= keep ? KC_OK : broken(where, 5, CACHE_NONE, keep, t->empty);
}

static kc_status_t check_all(const struct kc_cache *c, struct kc_cache_fault *where)
{
    struct tally t = {0, 0, 0, 0, 0};
    kc_status_t status = check_shapes(c, where);
    for (uint32_t b = 0; b < CACHE_BIN_COUNT && status == KC_OK; b++) {
        status = check_bin(c, b, &t, where);
    }
    return status == KC_OK ? check_counts(c, &t, where) : status;
}

kc_status_t kc_cache_check(struct kc_cache *c, struct kc_cache_fault *where)
{
    uint64_t irq = kc_lock_acquire_irqsave(&c->lock);
    kc_status_t status = check_all(c, where);
    kc_lock_release_irqrestore(&c->lock, irq);
    return status;
}

/* C7 for one member. */
static bool member_is_sound(const struct kc_cache_set *s, uint32_t i)
{
    const struct kc_cache *c = &s->cache[i];
    uint32_t places = 0;
    bool same = false;
    for (uint32_t k = 0; k < s->spares; k++) {
        places += s->spare[k] == i + 1;
    }
    for (uint32_t k = 0; k < i; k++) {
        same = same || s->cache[k].stride == c->stride;
    }
    return places == c->in_ring && (places == 1 || c->slabs_empty == 0) && !same && c->set == s &&
           c->ctor == NULL && c->object_bytes == c->stride;
}

kc_status_t kc_cache_set_check(struct kc_cache_set *s, struct kc_cache_fault *where)
{
    uint32_t count = kc_cache_set_count(s);
    if (count > s->cache_max) {
        return broken(where, 7, CACHE_NONE, s->cache_max, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        kc_status_t status = kc_cache_check(&s->cache[i], where);
        if (status != KC_OK) {
            return status;
        }
        if (!member_is_sound(s, i)) {
            return broken(where, 7, CACHE_NONE, i, s->cache[i].slabs_empty);
        }
    }
    return KC_OK;
}
