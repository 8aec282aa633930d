/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * track_model.h: slow, obviously right twin of kc/track.h, and a decoder of bytes into operations
 * on both.
 *
 * The model knows of each item its owner, needs and units, and learns of cleanups by being their
 * object. Each cleanup is judged when it runs: the item was there, nobody cleans it already, nobody
 * needs it, and somebody asked for it. Some cleanups act: they release, take, kill, add.
 *
 * The includer defines MODEL_REQUIRE(cond).
 */
#ifndef TRACK_MODEL_H
#define TRACK_MODEL_H

#include <kc/track.h>

#include "kc_bytes.h"

#define TM_OWNERS 4u
#define TM_ITEMS  24u
#define TM_STALE  16u

enum tm_act {
    TM_ACT_NONE,
    TM_ACT_RELEASE,
    TM_ACT_KILL,
    TM_ACT_ADD,
    TM_ACT_TAKE,
    TM_ACT_COUNT
};

struct tm_item {
    bool live; /* until its cleanup has returned, or it was taken */
    bool cleaning;
    bool asked; /* released by its handle */
    uint32_t owner;
    uint64_t units;
    uint32_t need[KC_TRACK_NEEDS_MAX];
    uint32_t need_count;
    kc_track_item_t handle;
    uint8_t act;
    uint8_t act_on;
};

struct tm_owner {
    bool there;
    bool dying;
    struct kc_track_limits limits;
    kc_track_owner_t handle;
};

struct track_model {
    struct kc_track *t;
    struct kc_misuse *misuse;
    struct tm_item item[TM_ITEMS];
    struct tm_owner owner[TM_OWNERS];
    kc_track_item_t stale_item[TM_STALE];
    kc_track_owner_t stale_owner[TM_STALE];
    uint32_t stale_items;
    uint32_t stale_owners;
    uint32_t depth; /* of operations within cleanups */
    uint64_t cleaned;
};

static inline void track_model_init(struct track_model *m, struct kc_track *t,
                                    struct kc_misuse *misuse)
{
    __builtin_memset(m, 0, sizeof(*m));
    m->t = t;
    m->misuse = misuse;
}

static inline uint32_t tm_items_of(const struct track_model *m, uint32_t owner, uint64_t *units)
{
    uint32_t n = 0;
    *units = 0;
    for (uint32_t i = 0; i < TM_ITEMS; i++) {
        if (m->item[i].live && m->item[i].owner == owner) {
            n++;
            *units += m->item[i].units;
        }
    }
    return n;
}

static inline uint32_t tm_live(const struct track_model *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < TM_ITEMS; i++) {
        n += m->item[i].live;
    }
    return n;
}

static inline bool tm_is_needed(const struct track_model *m, uint32_t id)
{
    for (uint32_t i = 0; i < TM_ITEMS; i++) {
        for (uint32_t n = 0; m->item[i].live && n < m->item[i].need_count; n++) {
            if (m->item[i].need[n] == id) {
                return true;
            }
        }
    }
    return false;
}

/* Its owner is being killed, or that of something that it needs, however far away. */
static inline bool tm_is_doomed(const struct track_model *m, uint32_t id)
{
    const struct tm_item *it = &m->item[id];
    if (m->owner[it->owner].dying) {
        return true;
    }
    for (uint32_t n = 0; n < it->need_count; n++) {
        if (tm_is_doomed(m, it->need[n])) {
            return true;
        }
    }
    return false;
}

static inline void tm_forget(struct track_model *m, uint32_t id)
{
    m->stale_item[m->stale_items++ % TM_STALE] = m->item[id].handle;
    m->item[id].live = false;
    m->item[id].cleaning = false;
    m->item[id].asked = false;
}

/* What release and take answer for an item of the model. */
static inline kc_status_t tm_answer(const struct track_model *m, uint32_t id)
{
    if (!m->item[id].live || m->item[id].cleaning) {
        return KC_ERR_ABSENT;
    }
    return tm_is_needed(m, id) ? KC_ERR_STATE : KC_OK;
}

static inline void tm_release(struct track_model *m, uint32_t id)
{
    kc_status_t expected = tm_answer(m, id);
    m->item[id].asked = expected == KC_OK;
    MODEL_REQUIRE(kc_track_release(m->t, m->item[id].handle) == expected);
    MODEL_REQUIRE(expected != KC_OK || !m->item[id].asked);
}

static inline void tm_take(struct track_model *m, uint32_t id)
{
    struct kc_track_resource what = {0};
    kc_status_t expected = tm_answer(m, id);
    kc_track_item_t handle = m->item[id].handle;
    if (expected == KC_OK) {
        tm_forget(m, id); /* before the call: it may drain what waited for this */
    }
    MODEL_REQUIRE(kc_track_take(m->t, handle, &what) == expected);
    MODEL_REQUIRE(expected != KC_OK || (what.object == m && what.value[0] == id));
}

static inline void tm_kill(struct track_model *m, uint32_t id)
{
    struct tm_owner *o = &m->owner[id];
    uint64_t units;
    bool gone = false;
    if (!o->there || o->dying) {
        kc_status_t st = kc_track_owner_kill(m->t, o->handle, &gone);
        MODEL_REQUIRE(!gone);
        if (o->handle.generation_ == 0) {
            MODEL_REQUIRE(st == KC_ERR_ARG);
        } else if (!o->there) {
            MODEL_REQUIRE(st == KC_ERR_ABSENT);
        } else {
            bool empty = tm_items_of(m, id, &units) == 0;
            MODEL_REQUIRE(st == KC_ERR_STATE || (empty && st == KC_ERR_ABSENT));
        }
        return;
    }
    o->dying = true;
    MODEL_REQUIRE(kc_track_owner_kill(m->t, o->handle, &gone) == KC_OK);
    MODEL_REQUIRE(gone == (tm_items_of(m, id, &units) == 0));
    MODEL_REQUIRE(gone || m->depth != 0);
}

static void tm_cleanup(const struct kc_track_resource *r);

static inline kc_status_t tm_charge(const struct track_model *m, uint32_t owner, uint64_t units)
{
    const struct tm_owner *o = &m->owner[owner];
    uint64_t held;
    uint32_t items = tm_items_of(m, owner, &held);
    if (o->dying) {
        return KC_ERR_STATE;
    }
    if (items >= o->limits.items || units > UINT64_MAX - held || held + units > o->limits.units) {
        return KC_ERR_QUOTA;
    }
    return KC_OK;
}

/* Chooses from b if there is one, else from the item that acts. */
static inline void tm_add(struct track_model *m, struct kc_bytes *b)
{
    kc_track_item_t needs[KC_TRACK_NEEDS_MAX];
    struct tm_item it = {.live = true};
    uint32_t id = 0;
    while (id < TM_ITEMS && m->item[id].live) {
        id++;
    }
    it.owner = kc_bytes_below(b, TM_OWNERS);
    it.units = kc_bytes_below(b, 40);
    if (it.units == 39) {
        it.units = UINT64_MAX;
    }
    it.need_count = kc_bytes_below(b, KC_TRACK_NEEDS_MAX + 1);
    it.act = (uint8_t)kc_bytes_below(b, TM_ACT_COUNT);
    it.act_on = kc_bytes_u8(b);
    kc_status_t expected = m->owner[it.owner].there ? KC_OK : KC_ERR_ABSENT;
    if (m->owner[it.owner].handle.generation_ == 0) {
        expected = KC_ERR_ARG;
    }
    for (uint32_t n = 0; n < it.need_count; n++) {
        it.need[n] = kc_bytes_below(b, TM_ITEMS);
        const struct tm_item *target = &m->item[it.need[n]];
        needs[n] = target->handle;
        if (expected == KC_OK && (!target->live || target->cleaning)) {
            expected = target->handle.generation_ == 0 ? KC_ERR_ARG : KC_ERR_ABSENT;
        }
    }
    bool nested_empty = m->depth != 0 && m->owner[it.owner].dying;
    if (expected == KC_OK) {
        expected = tm_charge(m, it.owner, it.units);
    }
    if (expected == KC_OK && id == TM_ITEMS) {
        expected = KC_ERR_NOMEM;
    }
    struct kc_track_request rq = {
        .what = {.object = m, .value = {id, 7}, .kind = it.owner},
        .cleanup = tm_cleanup,
        .units = it.units,
        .site = KC_TRACK_SITE,
        .needs = needs,
        .need_count = it.need_count,
    };
    kc_status_t st = kc_track_add(m->t, m->owner[it.owner].handle, &rq, &it.handle);
    /* A dying owner may be gone already, within a cleanup. */
    MODEL_REQUIRE(st == expected || (nested_empty && st == KC_ERR_ABSENT));
    if (st == KC_OK) {
        m->item[id] = it;
    }
}

static inline void tm_act(struct track_model *m, uint8_t act, uint8_t on)
{
    uint8_t choice[8] = {on, (uint8_t)(on >> 3), (uint8_t)(on >> 6)};
    struct kc_bytes b = {choice, sizeof(choice), 0};
    switch (act) {
    case TM_ACT_RELEASE:
        if (m->item[on % TM_ITEMS].handle.generation_ != 0) {
            tm_release(m, on % TM_ITEMS);
        }
        break;
    case TM_ACT_TAKE:
        if (m->item[on % TM_ITEMS].handle.generation_ != 0) {
            tm_take(m, on % TM_ITEMS);
        }
        break;
    case TM_ACT_KILL:
        tm_kill(m, on % TM_OWNERS);
        break;
    case TM_ACT_ADD:
        tm_add(m, &b);
        break;
    default:
        break;
    }
}

static void tm_cleanup(const struct kc_track_resource *r)
{
    struct track_model *m = (struct track_model *)r->object;
    uint32_t id = (uint32_t)r->value[0];
    MODEL_REQUIRE(id < TM_ITEMS && r->value[1] == 7);
    struct tm_item *it = &m->item[id];
    MODEL_REQUIRE(it->live && !it->cleaning);
    MODEL_REQUIRE(!tm_is_needed(m, id));
    MODEL_REQUIRE(it->asked || tm_is_doomed(m, id));
    MODEL_REQUIRE(!kc_lock_is_mine(&m->t->lock));
    it->cleaning = true;
    m->depth++;
    tm_act(m, it->act, it->act_on);
    m->depth--;
    m->cleaned++;
    tm_forget(m, id);
}

static inline void tm_owner_add(struct track_model *m, struct kc_bytes *b)
{
    struct kc_track_limits limits = {kc_bytes_below(b, 16), kc_bytes_below(b, 128)};
    bool none = kc_bytes_below(b, 3) == 0;
    uint32_t id = 0;
    while (id < TM_OWNERS && m->owner[id].there) {
        id++;
    }
    struct tm_owner o = {.there = true, .limits = limits};
    if (none) {
        o.limits.items = KC_TRACK_NO_LIMIT;
        o.limits.units = KC_TRACK_NO_LIMIT;
    }
    kc_status_t st = kc_track_owner_add(m->t, "owner", none ? NULL : &limits, &o.handle);
    MODEL_REQUIRE(st == (id < TM_OWNERS ? KC_OK : KC_ERR_NOMEM));
    if (st == KC_OK) {
        m->owner[id] = o;
    }
}

static inline void tm_move(struct track_model *m, struct kc_bytes *b)
{
    uint32_t id = kc_bytes_below(b, TM_ITEMS);
    uint32_t to = kc_bytes_below(b, TM_OWNERS);
    if (!m->item[id].live || !m->owner[to].there) {
        return;
    }
    kc_status_t expected = m->item[id].owner == to ? KC_OK : tm_charge(m, to, m->item[id].units);
    MODEL_REQUIRE(kc_track_move(m->t, m->item[id].handle, m->owner[to].handle) == expected);
    if (expected == KC_OK) {
        m->item[id].owner = to;
    }
}

/* Handles of what is gone name nothing, whoever lives in their slots now. */
static inline void tm_try_stale(struct track_model *m, struct kc_bytes *b)
{
    uint32_t n = kc_bytes_below(b, TM_STALE);
    uint32_t to = kc_bytes_below(b, TM_OWNERS);
    if (n < m->stale_items) {
        MODEL_REQUIRE(kc_track_release(m->t, m->stale_item[n]) == KC_ERR_ABSENT);
        MODEL_REQUIRE(kc_track_take(m->t, m->stale_item[n], NULL) == KC_ERR_ABSENT);
        if (m->owner[to].there) {
            MODEL_REQUIRE(kc_track_move(m->t, m->stale_item[n], m->owner[to].handle) ==
                          KC_ERR_ABSENT);
        }
    }
    if (n < m->stale_owners) {
        struct kc_track_owner_stats s;
        MODEL_REQUIRE(kc_track_owner_is_gone(m->t, m->stale_owner[n]));
        MODEL_REQUIRE(kc_track_owner_kill(m->t, m->stale_owner[n], NULL) == KC_ERR_ABSENT);
        MODEL_REQUIRE(kc_track_owner_limit(m->t, m->stale_owner[n], NULL) == KC_ERR_ABSENT);
        MODEL_REQUIRE(kc_track_owner_stats(m->t, m->stale_owner[n], &s) == KC_ERR_ABSENT);
    }
}

/* No operation is under way: who was killed is gone, with all that was doomed. */
static inline void tm_settle(struct track_model *m)
{
    uint64_t units;
    for (uint32_t i = 0; i < TM_ITEMS; i++) {
        MODEL_REQUIRE(!m->item[i].live || (!m->item[i].cleaning && !tm_is_doomed(m, i)));
    }
    for (uint32_t i = 0; i < TM_OWNERS; i++) {
        if (m->owner[i].dying) {
            MODEL_REQUIRE(tm_items_of(m, i, &units) == 0);
            m->stale_owner[m->stale_owners++ % TM_STALE] = m->owner[i].handle;
            m->owner[i].there = false;
            m->owner[i].dying = false;
        }
    }
}

static inline void track_model_step(struct track_model *m, struct kc_bytes *b)
{
    uint32_t on = kc_bytes_below(b, TM_ITEMS);
    switch (kc_bytes_below(b, 12)) {
    case 0:
        tm_owner_add(m, b);
        break;
    case 1:
        tm_act(m, TM_ACT_RELEASE, (uint8_t)on);
        break;
    case 2:
        tm_kill(m, on % TM_OWNERS);
        break;
    case 3:
        tm_act(m, TM_ACT_TAKE, (uint8_t)on);
        break;
    case 4:
        tm_move(m, b);
        break;
    case 5:
        tm_try_stale(m, b);
        break;
    default:
        tm_add(m, b);
        break;
    }
    tm_settle(m);
}

static inline void tm_check_item(const struct track_model *m, const struct kc_track_info *info)
{
    uint32_t id = (uint32_t)info->what.value[0];
    MODEL_REQUIRE(info->what.object == m && id < TM_ITEMS && m->item[id].live);
    MODEL_REQUIRE(kc_track_item_eq(info->item, m->item[id].handle));
    MODEL_REQUIRE(kc_track_owner_eq(info->owner, m->owner[m->item[id].owner].handle));
    MODEL_REQUIRE(info->units == m->item[id].units && info->site != NULL && !info->cleaning);
}

static inline void track_model_check(struct track_model *m)
{
    struct kc_track_stats s;
    struct kc_track_info info;
    uint32_t cursor = 0;
    uint32_t listed = 0;
    uint32_t owners = 0;
    MODEL_REQUIRE(kc_track_check(m->t, NULL) == KC_OK);
    while (kc_track_next(m->t, &cursor, &info)) {
        tm_check_item(m, &info);
        listed++;
    }
    for (uint32_t i = 0; i < TM_OWNERS; i++) {
        struct kc_track_owner_stats o;
        uint64_t units;
        owners += m->owner[i].there;
        if (m->owner[i].there) {
            MODEL_REQUIRE(kc_track_owner_stats(m->t, m->owner[i].handle, &o) == KC_OK);
            MODEL_REQUIRE(o.items == tm_items_of(m, i, &units) && o.units == units && !o.dying);
            MODEL_REQUIRE(o.items_peak >= o.items && o.units_peak >= o.units);
        }
    }
    kc_track_stats(m->t, &s);
    MODEL_REQUIRE(listed == tm_live(m) && s.items == listed && s.owners == owners);
    MODEL_REQUIRE(s.cleaned == m->cleaned);
}

/* Kill everybody; nothing is left. */
static inline void track_model_finish(struct track_model *m)
{
    for (uint32_t i = 0; i < TM_OWNERS; i++) {
        if (m->owner[i].there) {
            tm_kill(m, i);
            tm_settle(m);
        }
    }
    track_model_check(m);
    MODEL_REQUIRE(tm_live(m) == 0);
    MODEL_REQUIRE(kc_track_fini(m->t) == KC_OK);
}

#endif
