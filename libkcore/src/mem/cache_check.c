/* SPDX-License-Identifier: BSD-2-Clause */
/* Deep validator of cache: judges C1 to C9 of cache.c and names the first that is broken. */
#include "cache_priv.h"

struct tally {
    uint64_t slabs, empty, live, capacity, frames;
    uint64_t free_out; /* objects with a state byte that are free, but not in a map */
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

/* C1: what places objects; and for a shape: objects, then state, within the slab. */
static kc_status_t check_shapes(const struct kc_cache *c, struct kc_cache_fault *where)
{
    if (c->shift != (uint32_t)__builtin_ctz(c->stride) ||
        c->inverse != (uint32_t)kc_mag_inverse(c->stride >> c->shift)) {
        return broken(where, 1, CACHE_NONE, c->stride, c->inverse);
    }
    for (uint32_t o = 0; o < KC_CACHE_ORDERS; o++) {
        const struct kc_cache_shape *s = &c->shape[o];
        uint32_t bytes = KC_FRAME_BYTES << o;
        uint32_t end = s->objects * c->stride;
        if (s->objects == 0) {
            continue;
        }
        if (s->state_offset == 0) {
            if (o == 0 || s->objects > slab_record_objects(c, o) || end > bytes) {
                return broken(where, 1, CACHE_NONE, slab_record_objects(c, o), s->objects);
            }
        } else {
            uint32_t behind = s->state_offset + SLAB_FIXED_BYTES + 4 * slab_map_words(s->objects);
            if (s->bytes_offset != 0 && s->bytes_offset != behind) {
                return broken(where, 1, CACHE_NONE, behind, s->bytes_offset);
            }
            behind += s->bytes_offset != 0 ? s->objects : 0;
            if (c->site_offset[o] != 0) {
                behind = c->site_offset[o] + s->objects * (uint32_t)sizeof(uintptr_t);
            }
            if (end > s->state_offset || behind > bytes) {
                return broken(where, 1, CACHE_NONE, s->state_offset, end);
            }
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
    if (!kc_tag_is_plain(b, c->object_bytes)) {
        return broken(where, 6, slab_index(c, v), 0, i);
    }
    kc_plat_note(KC_NOTE_ALLOC, (uintptr_t)b, c->object_bytes, c);
    while (at < c->object_bytes && b[at] == 0) {
        at++;
    }
    kc_plat_note(KC_NOTE_FREE, (uintptr_t)b, c->object_bytes, c);
    if (at != c->object_bytes) {
        return broken(where, 6, slab_index(c, v), 0, i);
    }
#else
    (void)c;
    (void)v;
    (void)i;
    (void)where;
#endif
    return KC_OK;
}

/* True if the object waits before it goes back to its slab. */
static bool is_quarantined(const struct kc_cache *c, const struct slab_view *v, uint32_t object)
{
    for (uint32_t i = 0; i < c->quarantined; i++) {
        if (c->quarantine[i] == v->base + (size_t)object * c->stride) {
            return true;
        }
    }
    return false;
}

/* C2 and then C6 for one slab: only a sound map says which contents may be looked at. */
static kc_status_t check_map(const struct kc_cache *c, const struct slab_view *v,
                             struct kc_cache_fault *where)
{
    uint32_t free = 0;
    uint32_t room =
        v->by_bytes ? slab_record_objects(c, v->order) : slab_map_words(v->objects) * 32;
    for (uint32_t i = 0; i < room; i++) {
        if (slab_is_free(v, i)) {
            if (i >= v->objects) {
                return broken(where, 2, slab_index(c, v), v->objects, i);
            }
            free++;
        }
    }
    if (free != slab_free_count(v)) {
        return broken(where, 2, slab_index(c, v), free, slab_free_count(v));
    }
    kc_status_t status = KC_OK;
    for (uint32_t i = 0; i < v->objects && status == KC_OK; i++) {
        if (slab_is_free(v, i) || is_quarantined(c, v, i)) {
            status = check_contents(c, v, i, where);
        }
    }
    return status;
}

#if KC_MAG_HAS_STATE
/* C8: the state bytes of one slab: HOME, or FREE in the map; FREE in a magazine; else LIVE. */
static kc_status_t check_states(const struct kc_cache *c, const struct slab_view *v,
                                uint64_t *free_out, struct kc_cache_fault *where)
{
    for (uint32_t i = 0; slab_state(c, v, 0) != NULL && i < v->objects; i++) {
        uint8_t state = slab_load_state(slab_state(c, v, i));
        bool is_in = slab_is_free(v, i);
        bool sound = is_in ? state == (v->by_bytes ? KC_MAG_HOME : KC_MAG_FREE)
                           : state == KC_MAG_FREE || state == KC_MAG_LIVE;
        if (!sound) {
            return broken(where, 8, slab_index(c, v), i, state);
        }
        *free_out += state == KC_MAG_FREE && !is_in;
    }
    return KC_OK;
}
#endif

/* C1, and with it where the slab is whose first record has that index. */
static kc_status_t check_slab(const struct kc_cache *c, uint32_t index, struct slab_view *v,
                              struct kc_cache_fault *where)
{
    struct kc_frame_found found;
    if (!kc_frame_find(c->frames, kc_frame_index_pa(c->frames, index), &found) ||
        found.owner != KC_FRAME_OWNER_CACHE || found.data != (uintptr_t)c ||
        kc_frame_index(c->frames, found.record) != index || found.order > KC_CACHE_ORDER_MAX ||
        c->shape[found.order].objects == 0) {
        return broken(where, 1, index, (uintptr_t)c, 0);
    }
    slab_view_make(c, found.record, found.base, v);
    return KC_OK;
}

/* C2, C6 and C8 for one slab, which is counted. */
static kc_status_t check_objects(const struct kc_cache *c, const struct slab_view *v,
                                 struct tally *t, struct kc_cache_fault *where)
{
    kc_status_t status = check_map(c, v, where);
#if KC_MAG_HAS_STATE
    status = status == KC_OK ? check_states(c, v, &t->free_out, where) : status;
#endif
    uint32_t free = slab_free_count(v);
    t->slabs++;
    t->empty += free == v->objects;
    t->live += v->objects - free;
    t->capacity += v->objects;
    t->frames += (uint64_t)1 << v->order;
    return status;
}

/* C1, C2 and C3 for one bin. */
static kc_status_t check_bin(const struct kc_cache *c, uint32_t bin, struct tally *t,
                             struct kc_cache_fault *where)
{
    uint32_t prev = CACHE_NONE;
    struct slab_view v;
    for (uint32_t at = c->bin[bin]; at != CACHE_NONE; at = v.slab->next) {
        if (at >= c->frames->record_count || t->slabs == c->slabs) {
            return broken(where, 3, at, c->slabs, t->slabs + 1);
        }
        kc_status_t status = check_slab(c, at, &v, where);
        status = status == KC_OK ? check_objects(c, &v, t, where) : status;
        if (status != KC_OK) {
            return status;
        }
        uint32_t fit = slab_bin(c, &v, slab_free_count(&v));
        if (fit != bin || v.slab->prev != prev || v.record == c->hand) {
            return broken(where, 3, at, bin, fit);
        }
        prev = at;
    }
    if ((c->bin_mask >> bin & 1) != (c->bin[bin] != CACHE_NONE)) {
        return broken(where, 3, c->bin[bin], c->bin[bin] != CACHE_NONE, c->bin_mask);
    }
    return KC_OK;
}

/* The same for the slab at hand. */
static kc_status_t check_hand(const struct kc_cache *c, struct tally *t,
                              struct kc_cache_fault *where)
{
    struct slab_view v;
    if (c->hand == NULL) {
        return KC_OK;
    }
    kc_status_t status = check_slab(c, kc_frame_index(c->frames, c->hand), &v, where);
    status = status == KC_OK ? check_objects(c, &v, t, where) : status;
    if (status != KC_OK) {
        return status;
    }
    uint32_t bin = slab_bin(c, &v, slab_free_count(&v));
    return v.base == c->hand_base && bin != CACHE_BIN_EMPTY && bin != CACHE_BIN_FULL
               ? KC_OK
               : broken(where, 3, slab_index(c, &v), (uintptr_t)c->hand_base, bin);
}

/* C4 and C5. */
static kc_status_t check_counts(const struct kc_cache *c, const struct tally *t,
                                struct kc_cache_fault *where)
{
    const uint64_t pair[][2] = {{t->slabs, c->slabs},
                                {t->empty, c->slabs_empty},
                                {t->live, c->out},
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

/* C8 for the slab of an object and for the object. */
static kc_status_t check_entry(const struct kc_cache *c, const struct kc_cache_entry *e,
                               struct kc_cache_fault *where)
{
    struct kc_frame_found found;
    struct slab_view v;
    kc_pa_t pa = kc_frame_ptr_pa(c->frames, e->object);
    if (!kc_frame_find(c->frames, pa, &found) || found.data != (uintptr_t)c) {
        return broken(where, 8, CACHE_NONE, (uintptr_t)c, (uintptr_t)e->object);
    }
    slab_view_make(c, found.record, found.base, &v);
    uint32_t i = cache_index(c, (uint32_t)kc_pa_diff(pa, found.base));
    if (i >= v.objects || slab_is_free(&v, i)) {
        return broken(where, 8, slab_index(c, &v), v.objects, i);
    }
#if KC_MAG_HAS_STATE
    const uint8_t *state = slab_state(c, &v, i);
    if (e->state != state) {
        return broken(where, 8, slab_index(c, &v), (uintptr_t)state, (uintptr_t)e->state);
    }
#endif
    return KC_OK;
}

/* C8: number i of the entries of all magazines; NULL beyond the last. */
static const struct kc_cache_entry *entry_at(const struct kc_cache *c, uint32_t i)
{
    for (uint32_t cpu = 0; cpu < c->cpu_count; cpu++) {
        uint32_t count = (uint32_t)kc_mag_count(&c->cpu[cpu]->mag);
        if (i < count) {
            return &cache_entries(c->cpu[cpu])[i];
        }
        i -= count;
    }
    return NULL;
}

static kc_status_t check_magazines(const struct kc_cache *c, struct kc_cache_fault *where)
{
    const struct kc_cache_entry *e;
    for (uint32_t cpu = 0; cpu < c->cpu_count; cpu++) {
        const struct kc_cache_cpu *m = c->cpu[cpu];
        uint32_t most = cache_limit_most(c);
        uint32_t first = most < CACHE_ROOM_FIRST ? most : CACHE_ROOM_FIRST;
        bool has_room = m == &c->none ? m->room == 0 : m->room == most || m->room == first;
        if (kc_mag_count(&m->mag) > m->room || m->limit > m->room || !has_room) {
            return broken(where, 8, cpu, m->limit, kc_mag_count(&m->mag));
        }
    }
    for (uint32_t i = 0; i < c->quarantined; i++) {
        struct kc_cache_entry held;
        __builtin_memset(&held, 0, sizeof(held));
        held.object = c->quarantine[i];
        kc_status_t status = check_entry(c, &held, where);
        for (uint32_t k = 0; k < i && status == KC_OK; k++) {
            if (c->quarantine[k] == held.object) {
                status = broken(where, 8, CACHE_NONE, k, i);
            }
        }
        if (status != KC_OK) {
            return status;
        }
    }
    for (uint32_t i = 0; (e = entry_at(c, i)) != NULL; i++) {
        kc_status_t status = check_entry(c, e, where);
        if (status != KC_OK) {
            return status;
        }
        for (uint32_t k = 0; k < i; k++) {
            if (entry_at(c, k)->object == e->object) {
                return broken(where, 8, CACHE_NONE, k, i);
            }
        }
    }
    return KC_OK;
}

static kc_status_t check_all(const struct kc_cache *c, struct kc_cache_fault *where)
{
    struct tally t = {0, 0, 0, 0, 0, 0};
    kc_status_t status = check_shapes(c, where);
    for (uint32_t b = 0; b < CACHE_BIN_COUNT && status == KC_OK; b++) {
        status = check_bin(c, b, &t, where);
    }
    status = status == KC_OK ? check_hand(c, &t, where) : status;
    status = status == KC_OK ? check_counts(c, &t, where) : status;
    status = status == KC_OK ? check_magazines(c, where) : status;
    uint64_t kept = cache_kept(c);
    bool counted = cache_has_bytes(c);
    if (status == KC_OK && (kept > c->out || (counted && t.free_out != kept))) {
        return broken(where, 8, CACHE_NONE, kept, t.free_out);
    }
    return status;
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
        same = same ||
               (s->cache[k].object_bytes == c->object_bytes && s->cache[k].stride == c->stride);
    }
    return places == c->in_ring && (places == 1 || c->slabs_empty == 0) && !same && c->set == s &&
           c->ctor == NULL && c->object_bytes + KC_CACHE_REDZONE_BYTES <= c->stride;
}

/* C9 for the ring of one CPU: every place in it is a member's that says so. */
static bool ring_is_sound(const struct kc_cache_set *s, uint32_t cpu)
{
    const struct kc_cache_set_cpu *here = &s->cpu[cpu];
    for (uint32_t k = 0; k < KC_CACHE_SPARES_MAX; k++) {
        uint32_t number = here->ring[k];
        if (number != 0 && (k >= s->spares || number > s->count ||
                            s->cache[number - 1].cpu[cpu]->place != k + 1)) {
            return false;
        }
    }
    return here->next < s->spares;
}

/* C9 for the magazines of one CPU, and the list of those that are to be emptied. */
static bool cpu_is_sound(const struct kc_cache_set *s, uint32_t cpu)
{
    const struct kc_cache_set_cpu *here = &s->cpu[cpu];
    uint32_t listed = 0;
    for (uint32_t at = here->draining != 0 ? here->draining : CACHE_DRAIN_END;
         at != CACHE_DRAIN_END;) {
        if (at == 0 || at > s->count || listed == s->count) {
            return false;
        }
        at = s->cache[at - 1].cpu[cpu]->drain_next;
        listed++;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        const struct kc_cache_cpu *m = s->cache[i].cpu[cpu];
        bool is_made = m != &s->cache[i].none;
        listed -= m->drain_next != 0;
        if (m->place > s->spares || (m->place != 0 && here->ring[m->place - 1] != i + 1) ||
            (m->place == 0) != (m->limit == 0) || (is_made && m->draining != &here->draining) ||
            (kc_mag_count(&m->mag) != 0 && m->place == 0 && m->drain_next == 0)) {
            return false;
        }
    }
    return listed == 0 && ring_is_sound(s, cpu);
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
    for (uint32_t cpu = 0; cpu < s->cpu_count; cpu++) {
        if (!cpu_is_sound(s, cpu)) {
            return broken(where, 9, CACHE_NONE, cpu, s->cpu[cpu].draining);
        }
    }
    return KC_OK;
}
