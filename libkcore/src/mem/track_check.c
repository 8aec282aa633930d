/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deep validator of track: judges K1 to K8 of track.c and names the first that is broken.
 *
 * No list is followed further than it can be long, so that a circle in one is found, not followed.
 * "Each once" then needs no marks: a list whose members all belong into it, of the right length,
 * in which each points back at the one before, holds each once; one that is linked in one direction
 * only (free slots, stuck owners) and ends, holds each once, for a second visit would never end.
 */
#include "track_priv.h"

static kc_status_t broken(struct kc_track_fault *where, uint32_t invariant, uint32_t index,
                          uint64_t expected, uint64_t found)
{
    if (where != NULL) {
        struct kc_track_fault w = {invariant, index, expected, found};
        *where = w;
    }
    return KC_ERR_CORRUPT;
}

static bool item_used(const struct kc_track_item *it)
{
    return it->state == TRACK_ITEM_LIVE || it->state == TRACK_ITEM_CLEANING;
}

static bool owner_used(const struct kc_track_owner *o)
{
    return o->state == TRACK_OWNER_LIVE || o->state == TRACK_OWNER_DRAINING ||
           o->state == TRACK_OWNER_STUCK;
}

/* K1 of items, and how many are in use (K3). */
static kc_status_t check_item_slots(const struct kc_track *t, struct kc_track_fault *where)
{
    uint32_t used = 0;
    uint32_t free = 0;
    for (uint32_t i = 0; i < t->item_fresh; i++) {
        uint32_t state = t->item[i].state;
        used += item_used(&t->item[i]);
        free += state == TRACK_ITEM_FREE;
        if (!item_used(&t->item[i]) && state != TRACK_ITEM_FREE && state != TRACK_ITEM_SPENT) {
            return broken(where, 1, i, TRACK_ITEM_FREE, state);
        }
    }
    if (used != t->items) {
        return broken(where, 3, t->item_fresh, used, t->items);
    }
    uint32_t listed = 0;
    for (uint32_t i = t->item_free; i != TRACK_NONE; i = t->item[i].next) {
        if (i >= t->item_fresh || t->item[i].state != TRACK_ITEM_FREE || ++listed > free) {
            return broken(where, 1, i, free, listed);
        }
    }
    return listed == free ? KC_OK : broken(where, 1, t->item_fresh, free, listed);
}

static kc_status_t check_owner_slots(const struct kc_track *t, struct kc_track_fault *where)
{
    uint32_t used = 0;
    uint32_t free = 0;
    for (uint32_t i = 0; i < t->owner_fresh; i++) {
        uint32_t state = t->owner[i].state;
        used += owner_used(&t->owner[i]);
        free += state == TRACK_OWNER_FREE;
        if (!owner_used(&t->owner[i]) && state != TRACK_OWNER_FREE && state != TRACK_OWNER_SPENT) {
            return broken(where, 1, i, TRACK_OWNER_FREE, state);
        }
    }
    if (used != t->owners) {
        return broken(where, 3, t->owner_fresh, used, t->owners);
    }
    uint32_t listed = 0;
    for (uint32_t i = t->owner_free; i != TRACK_NONE; i = t->owner[i].next) {
        if (i >= t->owner_fresh || t->owner[i].state != TRACK_OWNER_FREE || ++listed > free) {
            return broken(where, 1, i, free, listed);
        }
    }
    return listed == free ? KC_OK : broken(where, 1, t->owner_fresh, free, listed);
}

/* K2 and K3 of one owner; *listed grows by what its list holds. */
static kc_status_t check_owner(const struct kc_track *t, uint32_t owner, uint32_t *listed,
                               struct kc_track_fault *where)
{
    const struct kc_track_owner *o = &t->owner[owner];
    uint32_t before = TRACK_NONE;
    uint32_t items = 0;
    uint64_t units = 0;
    for (uint32_t i = o->newest; i != TRACK_NONE; i = t->item[i].next) {
        if (i >= t->item_fresh || !item_used(&t->item[i]) || t->item[i].owner != owner ||
            t->item[i].prev != before || ++items > t->items) {
            return broken(where, 2, i, owner, i < t->item_fresh ? t->item[i].owner : TRACK_NONE);
        }
        units += t->item[i].units;
        before = i;
    }
    if (items != o->items || units != o->units) {
        return broken(where, 3, owner, items, o->items);
    }
    *listed += items;
    return KC_OK;
}

static kc_status_t check_owners(const struct kc_track *t, struct kc_track_fault *where)
{
    uint32_t listed = 0;
    for (uint32_t i = 0; i < t->owner_fresh; i++) {
        if (owner_used(&t->owner[i])) {
            kc_status_t st = check_owner(t, i, &listed, where);
            if (st != KC_OK) {
                return st;
            }
        }
    }
    return listed == t->items ? KC_OK : broken(where, 2, t->item_fresh, t->items, listed);
}

/* The list of users of item i: K4 from the target's side. *links grows by its length. */
static kc_status_t check_users(const struct kc_track *t, uint32_t i, uint64_t *links,
                               struct kc_track_fault *where)
{
    uint64_t ids = (uint64_t)t->item_fresh * KC_TRACK_NEEDS_MAX;
    uint64_t seen = 0;
    uint32_t before = TRACK_NONE;
    for (uint32_t id = t->item[i].users; id != TRACK_NONE; id = track_need(t, id)->next) {
        if (id >= ids || !item_used(&t->item[track_need_item(id)]) ||
            track_need(t, id)->target != i || track_need(t, id)->prev != before || ++seen > ids) {
            return broken(where, 4, i, i, id);
        }
        before = id;
    }
    *links += seen;
    return KC_OK;
}

/* The needs of item i: K4 from the other side, K5, K8. *links grows by their number. */
static kc_status_t check_needs(const struct kc_track *t, uint32_t i, uint64_t *links,
                               struct kc_track_fault *where)
{
    const struct kc_track_item *it = &t->item[i];
    for (uint32_t place = 0; place < KC_TRACK_NEEDS_MAX; place++) {
        uint32_t target = it->need[place].target;
        if (target == TRACK_NONE) {
            continue;
        }
        if (target >= t->item_fresh || !item_used(&t->item[target])) {
            return broken(where, 4, i, TRACK_ITEM_LIVE, target);
        }
        if (t->item[target].state != TRACK_ITEM_LIVE) {
            return broken(where, 5, i, TRACK_ITEM_LIVE, t->item[target].state);
        }
        if (t->item[target].sequence >= it->sequence) {
            return broken(where, 8, i, it->sequence, t->item[target].sequence);
        }
        (*links)++;
    }
    return KC_OK;
}

static kc_status_t check_links(const struct kc_track *t, struct kc_track_fault *where)
{
    uint64_t needs = 0;
    uint64_t users = 0;
    for (uint32_t i = 0; i < t->item_fresh; i++) {
        if (!item_used(&t->item[i])) {
            continue;
        }
        kc_status_t st = check_needs(t, i, &needs, where);
        st = st == KC_OK ? check_users(t, i, &users, where) : st;
        if (st != KC_OK) {
            return st;
        }
    }
    return needs == users ? KC_OK : broken(where, 4, t->item_fresh, needs, users);
}

/* K6 and K7. */
static kc_status_t check_stuck(const struct kc_track *t, struct kc_track_fault *where)
{
    uint32_t stuck = 0;
    for (uint32_t i = 0; i < t->owner_fresh; i++) {
        if (t->owner[i].state == TRACK_OWNER_STUCK) {
            stuck++;
            if (t->owner[i].items == 0) {
                return broken(where, 7, i, 1, 0);
            }
        }
    }
    uint32_t listed = 0;
    for (uint32_t i = t->stuck; i != TRACK_NONE; i = t->owner[i].next) {
        if (i >= t->owner_fresh || t->owner[i].state != TRACK_OWNER_STUCK || ++listed > stuck) {
            return broken(where, 6, i, stuck, listed);
        }
    }
    return listed == stuck ? KC_OK : broken(where, 6, t->owner_fresh, stuck, listed);
}

kc_status_t kc_track_check(struct kc_track *t, struct kc_track_fault *where)
{
    uint64_t irq = kc_lock_acquire_irqsave(&t->lock);
    kc_status_t st = KC_OK;
    if (t->owner_fresh > t->owner_max || t->item_fresh > t->item_max) {
        st = broken(where, 1, t->item_fresh, t->item_max, t->owner_fresh);
    }
    st = st == KC_OK ? check_item_slots(t, where) : st;
    st = st == KC_OK ? check_owner_slots(t, where) : st;
    st = st == KC_OK ? check_owners(t, where) : st;
    st = st == KC_OK ? check_links(t, where) : st;
    st = st == KC_OK ? check_stuck(t, where) : st;
    kc_lock_release_irqrestore(&t->lock, irq);
    return st;
}
