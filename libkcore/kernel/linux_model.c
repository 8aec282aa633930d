/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * linux_model.c: SLUB, as far as its memory goes.
 *
 * Nouns. A *slab* is pages_per_slab pages that hold up to objects_per_slab objects of one type. It
 * is *full*, *partial* (on its type's list) or gone. An *object* record stands for a slot of the
 * trace.
 *
 *     type -> partial slab <-> partial slab <-> ...      (the one that became partial last is
 * first)
 *
 * Invariants
 *   I1  a slab is on its type's list exactly if it has room; 0 < used <= objects_per_slab
 *   I2  footprint is the sum of the slabs' pages and of the large objects' granted bytes
 *   I3  requested and granted are the sums over live objects
 *
 * Cost: O(1) an event. No locks.
 * Sources: Linux mm/slub.c (___slab_alloc(), __slab_free()), without its per-CPU slabs.
 */
#include "linux_model.h"

struct linux_object {
    uint32_t slab; /* plus 1; 0: none */
    uint32_t requested;
    uint32_t granted;
    uint16_t type;
    uint16_t live;
};
KC_STATIC_ASSERT(sizeof(struct linux_object) == 16, "record_log2 4");

struct linux_slab {
    uint32_t used;
    uint32_t next; /* plus 1; of the list, or of the unused records */
    uint32_t prev; /* plus 1 */
    uint32_t type;
};
KC_STATIC_ASSERT(sizeof(struct linux_slab) == 16, "record_log2 4");

#define RECORD_LOG2 4u

void kc_linux_model_init(struct kc_linux_model *m, struct kc_frames *frames)
{
    __builtin_memset(m, 0, sizeof(*m));
    kc_table_init(&m->objects, frames, RECORD_LOG2, KC_FRAME_OWNER_TRACE);
    kc_table_init(&m->slabs, frames, RECORD_LOG2, KC_FRAME_OWNER_TRACE);
}

static struct linux_slab *slab_at(struct kc_linux_model *m, uint32_t plus_1)
{
    return kc_table_at(&m->slabs, plus_1 - 1);
}

static void list_push(struct kc_linux_model *m, struct kc_linux_type *t, uint32_t slab)
{
    struct linux_slab *s = slab_at(m, slab);
    s->prev = 0;
    s->next = t->partial;
    if (t->partial != 0) {
        slab_at(m, t->partial)->prev = slab;
    }
    t->partial = slab;
}

static void list_take(struct kc_linux_model *m, struct kc_linux_type *t, uint32_t slab)
{
    struct linux_slab *s = slab_at(m, slab);
    if (s->next != 0) {
        slab_at(m, s->next)->prev = s->prev;
    }
    if (s->prev != 0) {
        slab_at(m, s->prev)->next = s->next;
    } else {
        t->partial = s->next;
    }
}

static uint64_t slab_bytes(const struct kc_linux_type *t)
{
    return (uint64_t)t->pages_per_slab * KC_TRACE_PAGE_BYTES;
}

/* A new slab, on its type's list, with nothing in it yet. */
static kc_status_t new_slab(struct kc_linux_model *m, struct kc_linux_type *t)
{
    uint32_t slab = m->slab_unused;
    if (slab != 0) {
        m->slab_unused = slab_at(m, slab)->next;
    } else {
        kc_status_t s = kc_table_grow(&m->slabs, m->slab_count);
        if (s != KC_OK) {
            return s;
        }
        slab = ++m->slab_count;
    }
    slab_at(m, slab)->used = 0;
    list_push(m, t, slab);
    m->footprint_bytes += slab_bytes(t);
    return KC_OK;
}

static kc_status_t slab_alloc(struct kc_linux_model *m, struct kc_linux_type *t, uint32_t *out)
{
    if (t->partial == 0) {
        kc_status_t s = new_slab(m, t);
        if (s != KC_OK) {
            return s;
        }
    }
    *out = t->partial;
    struct linux_slab *s = slab_at(m, *out);
    s->used++;
    if (s->used == t->objects_per_slab) {
        list_take(m, t, *out);
    }
    return KC_OK;
}

static void slab_free(struct kc_linux_model *m, struct kc_linux_type *t, uint32_t slab)
{
    struct linux_slab *s = slab_at(m, slab);
    if (s->used == t->objects_per_slab) {
        list_push(m, t, slab);
    }
    s->used--;
    if (s->used == 0) {
        list_take(m, t, slab);
        s->next = m->slab_unused;
        m->slab_unused = slab;
        m->footprint_bytes -= slab_bytes(t);
    }
}

static kc_status_t take_type(struct kc_linux_model *m, const struct kc_event *e)
{
    if (e->type != m->type_count || e->type >= KC_TRACE_TYPES_MAX) {
        return KC_ERR_CORRUPT;
    }
    struct kc_linux_type *t = &m->type[m->type_count++];
    t->kind = e->definition->kind;
    t->objects_per_slab = e->definition->objects_per_slab;
    t->pages_per_slab = e->definition->pages_per_slab;
    t->partial = 0;
    return KC_OK;
}

static kc_status_t take_alloc(struct kc_linux_model *m, const struct kc_event *e)
{
    if (e->type >= m->type_count || e->slot >= KC_TRACE_SLOTS_MAX) {
        return KC_ERR_CORRUPT;
    }
    kc_status_t s = kc_table_grow(&m->objects, e->slot);
    if (s != KC_OK) {
        return s;
    }
    struct linux_object *o = kc_table_at(&m->objects, e->slot);
    struct kc_linux_type *t = &m->type[e->type];
    if (o->live) {
        return KC_ERR_CORRUPT;
    }
    uint32_t slab = 0;
    if (t->kind == KC_TYPE_LARGE) {
        m->footprint_bytes += e->granted;
    } else if (t->objects_per_slab == 0) {
        m->unknown = true;
    } else if ((s = slab_alloc(m, t, &slab)) != KC_OK) {
        return s;
    }
    o->slab = slab;
    o->requested = e->requested;
    o->granted = e->granted;
    o->type = e->type;
    o->live = 1;
    m->requested_bytes += e->requested;
    m->granted_bytes += e->granted;
    return KC_OK;
}

static kc_status_t take_free(struct kc_linux_model *m, const struct kc_event *e)
{
    if (!kc_table_has(&m->objects, e->slot)) {
        return KC_ERR_CORRUPT;
    }
    struct linux_object *o = kc_table_at(&m->objects, e->slot);
    if (!o->live) {
        return KC_ERR_CORRUPT;
    }
    struct kc_linux_type *t = &m->type[o->type];
    if (t->kind == KC_TYPE_LARGE) {
        m->footprint_bytes -= o->granted;
    } else if (o->slab != 0) {
        slab_free(m, t, o->slab);
    }
    m->requested_bytes -= o->requested;
    m->granted_bytes -= o->granted;
    o->live = 0;
    return KC_OK;
}

kc_status_t kc_linux_model_event(struct kc_linux_model *m, const struct kc_event *e)
{
    switch (e->kind) {
    case KC_EVENT_TYPE:
        return take_type(m, e);
    case KC_EVENT_ALLOC:
        return take_alloc(m, e);
    case KC_EVENT_FREE:
        return take_free(m, e);
    default:
        return KC_OK;
    }
}

uint64_t kc_linux_model_requested(const struct kc_linux_model *m)
{
    return m->requested_bytes;
}

uint64_t kc_linux_model_granted(const struct kc_linux_model *m)
{
    return m->granted_bytes;
}

uint64_t kc_linux_model_footprint(const struct kc_linux_model *m)
{
    return m->footprint_bytes;
}

bool kc_linux_model_is_known(const struct kc_linux_model *m)
{
    return !m->unknown;
}

void kc_linux_model_fini(struct kc_linux_model *m)
{
    kc_table_fini(&m->objects);
    kc_table_fini(&m->slabs);
}
