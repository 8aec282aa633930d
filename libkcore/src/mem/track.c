/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * track: owners, items, and cleaning exactly once. Theory.
 *
 * Nouns. A *slot* of either array is fresh until first used; then it is free or in use, and each
 * use has the next *generation*, which is in the handle. An *item* is live until it is *claimed*
 * (state CLEANING, by one caller, under the lock), and leaves when its cleanup has returned. An
 * item has up to four *needs*; those who need an item are its *users*, a list through the needs. An
 * owner is live, or dying: then either one caller *drains* it, or it is *stuck*.
 *
 *     owner ──newest──> item 9 ──next──> item 4 ──next──> item 2
 *                          │ need              ^ users
 *                          └───────────────────┘          9 goes before 4
 *
 * Order. A need is named when the item that has it is added, and is live then: so needs lead from
 * newer to older adds only, the graph has no circle, and following users from any item ends at a
 * *leaf*, one that nobody needs. A drain looks at the items of its owner, the newest first, follows
 * live users to a leaf, claims and cleans it. Where nothing has been moved between owners and no
 * cleanup is under way elsewhere, the newest item is a leaf and the look is O(1).
 *
 * Exactly once. LIVE becomes CLEANING in one place, claim(), under the lock; a cleanup is run by
 * the caller whose claim it was, once; the slot's generation changes when the item leaves.
 *
 * Nothing is left behind. A drain that finds no leaf to claim has an item in its way whose cleanup
 * somebody else runs: on another CPU, or up this stack, where waiting would never end. So it does
 * not wait: it puts the owner on the list of stuck ones, under the same lock hold in which it found
 * nothing. Whoever has run a cleanup looks at that list after (settle()), and drains each owner on
 * it in turn. The item in the way is such an item, hence the owner is drained
 * again after it. An owner is drained by one caller at a time, so drains nest at most once for each
 * owner, whatever cleanups do.
 *
 * Invariants
 *  K1  fresh <= max. Every slot below fresh is free, spent or in use; the free ones, and no others,
 *      are in the list of free slots, each once.
 *  K2  An item LIVE or CLEANING is in the list of its owner, once, and that owner is in use.
 *  K3  items and units of an owner are count and sum over its list; those of the tracker are
 *      count over the owners.
 *  K4  need n of item A has target B  <=>  it is in the list of users of B; B is in use, too.
 *  K5  A CLEANING item has no users; its needs are LIVE.
 *  K6  The STUCK owners, and no others, are in the list of stuck owners, each once.
 *  K7  A STUCK owner has items.
 *  K8  An item was added after those that it needs: the needs have no circle.
 *
 * Cost and locking. One lock of rank TRACK with interrupts masked, never held over a cleanup.
 *
 * Sources: generations in handles as in A. Weissflog, Handles are the better pointers, 2018; order
 * of release as in Linux's devres (Documentation/driver-api/driver-model/devres.rst), where there
 * is one owner and one order.
 */
#include "track_priv.h"

static void set_name(char *to, const char *from)
{
    uint32_t i = 0;
    for (; from != NULL && from[i] != 0 && i < KC_TRACK_NAME_CHARS - 1; i++) {
        to[i] = from[i];
    }
    to[i] = 0;
}

/* ---- slots ---------------------------------------------------------------------------------- */

/* Index of an unused slot whose generation is set, TRACK_NONE if there is none. */
static uint32_t take_item_slot(struct kc_track *t)
{
    uint32_t i = t->item_free;
    if (i != TRACK_NONE) {
        t->item_free = t->item[i].next;
    } else if (t->item_fresh < t->item_max) {
        i = t->item_fresh++;
        t->item[i].generation = 1;
    }
    return i;
}

static uint32_t take_owner_slot(struct kc_track *t)
{
    uint32_t i = t->owner_free;
    if (i != TRACK_NONE) {
        t->owner_free = t->owner[i].next;
    } else if (t->owner_fresh < t->owner_max) {
        i = t->owner_fresh++;
        t->owner[i].generation = 1;
    }
    return i;
}

/* A slot whose last generation was used is never used again: a handle must not come true twice. */
static void give_item_slot(struct kc_track *t, uint32_t i)
{
    struct kc_track_item *it = &t->item[i];
    it->state = TRACK_ITEM_SPENT;
    if (it->generation != UINT32_MAX) {
        it->state = TRACK_ITEM_FREE;
        it->generation++;
        it->next = t->item_free;
        t->item_free = i;
    }
}

static void give_owner_slot(struct kc_track *t, uint32_t i)
{
    struct kc_track_owner *o = &t->owner[i];
    o->state = TRACK_OWNER_SPENT;
    if (o->generation != UINT32_MAX) {
        o->state = TRACK_OWNER_FREE;
        o->generation++;
        o->next = t->owner_free;
        t->owner_free = i;
    }
}

/* ---- handles -------------------------------------------------------------------------------- */

static KC_COLD kc_status_t foreign(struct kc_track *t, const char *where, uint32_t index,
                                   uint32_t generation)
{
    struct kc_misuse_report r = {.kind = KC_MISUSE_FOREIGN,
                                 .where = where,
                                 .object = t->name,
                                 .address = index,
                                 .found = generation};
    kc_misuse_raise(t->misuse, &r);
    return KC_ERR_ARG;
}

/*
 * KC_OK, KC_ERR_ABSENT, or KC_ERR_ARG for a handle that this tracker never gave. The caller reports
 * the last one, without the lock.
 */
static kc_status_t judge_item(const struct kc_track *t, kc_track_item_t h)
{
    if (h.generation_ == 0 || h.index_ >= t->item_fresh) {
        return KC_ERR_ARG;
    }
    const struct kc_track_item *it = &t->item[h.index_];
    return it->generation == h.generation_ && it->state == TRACK_ITEM_LIVE ? KC_OK : KC_ERR_ABSENT;
}

static kc_status_t judge_owner(const struct kc_track *t, kc_track_owner_t h)
{
    if (h.generation_ == 0 || h.index_ >= t->owner_fresh) {
        return KC_ERR_ARG;
    }
    const struct kc_track_owner *o = &t->owner[h.index_];
    bool used = o->state != TRACK_OWNER_FREE && o->state != TRACK_OWNER_SPENT;
    return o->generation == h.generation_ && used ? KC_OK : KC_ERR_ABSENT;
}

/* ---- lists ---------------------------------------------------------------------------------- */

static void link_to_owner(struct kc_track *t, uint32_t i, uint32_t owner)
{
    struct kc_track_item *it = &t->item[i];
    struct kc_track_owner *o = &t->owner[owner];
    it->owner = owner;
    it->prev = TRACK_NONE;
    it->next = o->newest;
    if (o->newest != TRACK_NONE) {
        t->item[o->newest].prev = i;
    }
    o->newest = i;
    o->items++;
    o->units += it->units;
    o->items_peak = o->items > o->items_peak ? o->items : o->items_peak;
    o->units_peak = o->units > o->units_peak ? o->units : o->units_peak;
}

static void unlink_from_owner(struct kc_track *t, uint32_t i)
{
    struct kc_track_item *it = &t->item[i];
    struct kc_track_owner *o = &t->owner[it->owner];
    KC_CHECK(o->items != 0 && o->units >= it->units);
    if (it->next != TRACK_NONE) {
        KC_CHECK(t->item[it->next].prev == i);
        t->item[it->next].prev = it->prev;
    }
    if (it->prev != TRACK_NONE) {
        KC_CHECK(t->item[it->prev].next == i);
        t->item[it->prev].next = it->next;
    } else {
        KC_CHECK(o->newest == i);
        o->newest = it->next;
    }
    o->items--;
    o->units -= it->units;
}

static void link_need(struct kc_track *t, uint32_t id, uint32_t target)
{
    struct kc_track_need *n = track_need(t, id);
    n->target = target;
    if (target == TRACK_NONE) {
        return;
    }
    n->prev = TRACK_NONE;
    n->next = t->item[target].users;
    if (n->next != TRACK_NONE) {
        track_need(t, n->next)->prev = id;
    }
    t->item[target].users = id;
}

static void unlink_need(struct kc_track *t, uint32_t id)
{
    struct kc_track_need *n = track_need(t, id);
    if (n->target == TRACK_NONE) {
        return;
    }
    if (n->next != TRACK_NONE) {
        track_need(t, n->next)->prev = n->prev;
    }
    if (n->prev != TRACK_NONE) {
        track_need(t, n->prev)->next = n->next;
    } else {
        KC_CHECK(t->item[n->target].users == id);
        t->item[n->target].users = n->next;
    }
    n->target = TRACK_NONE;
}

/* ---- claiming and leaving ------------------------------------------------------------------- */

/* The one place where LIVE ends; the lock is held. */
static void claim(struct kc_track *t, uint32_t i)
{
    KC_CHECK(t->item[i].state == TRACK_ITEM_LIVE && t->item[i].users == TRACK_NONE);
    t->item[i].state = TRACK_ITEM_CLEANING;
}

/* A claimed item leaves; the lock is held. */
static void leave(struct kc_track *t, uint32_t i)
{
    KC_CHECK(t->item[i].state == TRACK_ITEM_CLEANING && t->item[i].users == TRACK_NONE);
    for (uint32_t place = 0; place < KC_TRACK_NEEDS_MAX; place++) {
        unlink_need(t, track_need_id(i, place));
    }
    unlink_from_owner(t, i);
    give_item_slot(t, i);
    t->items--;
    t->left++;
}

/* Run the cleanup of a claimed item. The lock is held on entry and on return, not between. */
static void clean(struct kc_track *t, uint32_t i, uint64_t *irq)
{
    struct kc_track_resource what = t->item[i].what;
    kc_track_cleanup_fn cleanup = t->item[i].cleanup;
    kc_lock_release_irqrestore(&t->lock, *irq);
    cleanup(&what);
    *irq = kc_lock_acquire_irqsave(&t->lock);
    leave(t, i);
    t->cleaned++;
}

/* The live user that a walk to a leaf goes to, TRACK_NONE if all users are being cleaned. */
static uint32_t live_user(const struct kc_track *t, uint32_t i)
{
    for (uint32_t id = t->item[i].users; id != TRACK_NONE; id = track_need(t, id)->next) {
        uint32_t user = track_need_item(id);
        if (t->item[user].state == TRACK_ITEM_LIVE) {
            return user;
        }
    }
    return TRACK_NONE;
}

/* A live leaf at or above item i, TRACK_NONE if cleanups under way are before it. */
static uint32_t leaf_above(const struct kc_track *t, uint32_t i)
{
    while (i != TRACK_NONE && t->item[i].users != TRACK_NONE) {
        i = live_user(t, i);
    }
    return i;
}

/* What a drain of the owner cleans next, TRACK_NONE if nothing can be now. */
static uint32_t next_to_clean(const struct kc_track *t, const struct kc_track_owner *o)
{
    for (uint32_t i = o->newest; i != TRACK_NONE; i = t->item[i].next) {
        if (t->item[i].state == TRACK_ITEM_LIVE) {
            uint32_t leaf = leaf_above(t, i);
            if (leaf != TRACK_NONE) {
                return leaf;
            }
        }
    }
    return TRACK_NONE;
}

/*
 * Clean what can be cleaned of an owner in state DRAINING; then it is gone or stuck. The
 * lock is held on entry and on return.
 */
static void drain(struct kc_track *t, uint32_t owner, uint64_t *irq)
{
    struct kc_track_owner *o = &t->owner[owner];
    uint32_t i = next_to_clean(t, o);
    while (i != TRACK_NONE) {
        claim(t, i);
        clean(t, i, irq);
        i = next_to_clean(t, o);
    }
    if (o->items == 0) {
        give_owner_slot(t, owner);
        t->owners--;
        return;
    }
    o->state = TRACK_OWNER_STUCK;
    o->next = t->stuck;
    t->stuck = owner;
}

/* The owner that has been stuck longest, taken off the list; TRACK_NONE if there is none. */
static uint32_t take_stuck(struct kc_track *t)
{
    uint32_t *at = &t->stuck;
    if (*at == TRACK_NONE) {
        return TRACK_NONE;
    }
    while (t->owner[*at].next != TRACK_NONE) {
        at = &t->owner[*at].next;
    }
    uint32_t owner = *at;
    *at = TRACK_NONE;
    return owner;
}

/*
 * After an item has left: drain each stuck owner, and all again while anything leaves, so that each
 * has been looked at since the last item left. The lock is held on entry and on return.
 */
static void settle(struct kc_track *t, uint64_t *irq)
{
    uint64_t left;
    do {
        left = t->left;
        uint32_t turns = 0;
        for (uint32_t i = t->stuck; i != TRACK_NONE; i = t->owner[i].next) {
            turns++;
        }
        for (; turns != 0 && t->stuck != TRACK_NONE; turns--) {
            uint32_t owner = take_stuck(t);
            t->owner[owner].state = TRACK_OWNER_DRAINING;
            drain(t, owner, irq);
        }
    } while (t->left != left);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

kc_status_t kc_track_init(struct kc_track *t, const struct kc_track_config *config)
{
    if (t == NULL || config == NULL || config->owners == NULL || config->items == NULL) {
        return KC_ERR_ARG;
    }
    if (config->owner_max == 0 || config->owner_max > KC_TRACK_SLOTS_MAX || config->item_max == 0 ||
        config->item_max > KC_TRACK_SLOTS_MAX) {
        return KC_ERR_RANGE;
    }
    __builtin_memset(t, 0, sizeof(*t));
    kc_lock_init(&t->lock, "track", KC_RANK_TRACK);
    t->owner = config->owners;
    t->item = config->items;
    t->owner_max = config->owner_max;
    t->item_max = config->item_max;
    t->owner_free = TRACK_NONE;
    t->item_free = TRACK_NONE;
    t->stuck = TRACK_NONE;
    t->misuse = config->misuse;
    t->name = config->name == NULL ? "" : config->name;
    return KC_OK;
}

kc_status_t kc_track_fini(struct kc_track *t)
{
    if (t->owners != 0) {
        struct kc_misuse_report r = {
            .kind = KC_MISUSE_BUSY, .where = __func__, .object = t->name, .found = t->owners};
        kc_misuse_raise(t->misuse, &r);
        return KC_ERR_STATE;
    }
    t->owner_max = 0;
    t->item_max = 0;
    t->owner_fresh = 0;
    t->item_fresh = 0;
    t->owner_free = TRACK_NONE;
    t->item_free = TRACK_NONE;
    return KC_OK;
}

/* ---- owners --------------------------------------------------------------------------------- */

static const struct kc_track_limits no_limits = {KC_TRACK_NO_LIMIT, KC_TRACK_NO_LIMIT};

kc_status_t kc_track_owner_add(struct kc_track *t, const char *name,
                               const struct kc_track_limits *limits, kc_track_owner_t *out)
{
    uint64_t irq = kc_lock_acquire_irqsave(&t->lock);
    uint32_t i = take_owner_slot(t);
    if (i == TRACK_NONE) {
        kc_lock_release_irqrestore(&t->lock, irq);
        return KC_ERR_NOMEM;
    }
    struct kc_track_owner *o = &t->owner[i];
    uint32_t generation = o->generation;
    __builtin_memset(o, 0, sizeof(*o));
    o->generation = generation;
    o->limits = limits == NULL ? no_limits : *limits;
    o->state = TRACK_OWNER_LIVE;
    o->newest = TRACK_NONE;
    set_name(o->name, name);
    t->owners++;
    out->index_ = i;
    out->generation_ = generation;
    kc_lock_release_irqrestore(&t->lock, irq);
    return KC_OK;
}

kc_status_t kc_track_owner_limit(struct kc_track *t, kc_track_owner_t owner,
                                 const struct kc_track_limits *limits)
{
    uint64_t irq = kc_lock_acquire_irqsave(&t->lock);
    kc_status_t st = judge_owner(t, owner);
    if (st == KC_OK) {
        t->owner[owner.index_].limits = limits == NULL ? no_limits : *limits;
    }
    kc_lock_release_irqrestore(&t->lock, irq);
    return st == KC_ERR_ARG ? foreign(t, __func__, owner.index_, owner.generation_) : st;
}

kc_status_t kc_track_owner_kill(struct kc_track *t, kc_track_owner_t owner, bool *gone)
{
    uint64_t irq = kc_lock_acquire_irqsave(&t->lock);
    kc_status_t st = judge_owner(t, owner);
    bool all = false;
    if (st == KC_OK && t->owner[owner.index_].state != TRACK_OWNER_LIVE) {
        st = KC_ERR_STATE;
    }
    if (st == KC_OK) {
        t->owner[owner.index_].state = TRACK_OWNER_DRAINING;
        drain(t, owner.index_, &irq);
        settle(t, &irq);
        /* Another's item that left meanwhile, or settle(), may have ended it as well. */
        all = judge_owner(t, owner) != KC_OK;
    }
    kc_lock_release_irqrestore(&t->lock, irq);
    if (st == KC_OK && gone != NULL) {
        *gone = all;
    }
    return st == KC_ERR_ARG ? foreign(t, __func__, owner.index_, owner.generation_) : st;
}

bool kc_track_owner_is_gone(struct kc_track *t, kc_track_owner_t owner)
{
    uint64_t irq = kc_lock_acquire_irqsave(&t->lock);
    kc_status_t st = judge_owner(t, owner);
    kc_lock_release_irqrestore(&t->lock, irq);
    return st == KC_ERR_ABSENT;
}

kc_status_t kc_track_owner_stats(struct kc_track *t, kc_track_owner_t owner,
                                 struct kc_track_owner_stats *out)
{
    uint64_t irq = kc_lock_acquire_irqsave(&t->lock);
    kc_status_t st = judge_owner(t, owner);
    if (st == KC_OK) {
        const struct kc_track_owner *o = &t->owner[owner.index_];
        out->limits = o->limits;
        out->items = o->items;
        out->units = o->units;
        out->items_peak = o->items_peak;
        out->units_peak = o->units_peak;
        out->refused = o->refused;
        out->dying = o->state != TRACK_OWNER_LIVE;
        set_name(out->name, o->name);
    }
    kc_lock_release_irqrestore(&t->lock, irq);
    return st == KC_ERR_ARG ? foreign(t, __func__, owner.index_, owner.generation_) : st;
}

/* ---- items ---------------------------------------------------------------------------------- */

/* One more item of that many units: allowed? Counts what is refused. */
static kc_status_t charge(struct kc_track_owner *o, uint64_t units)
{
    uint64_t sum;
    if (o->state != TRACK_OWNER_LIVE) {
        return KC_ERR_STATE;
    }
    if (o->items >= o->limits.items || !kc_add_u64(o->units, units, &sum) ||
        sum > o->limits.units) {
        o->refused++;
        return KC_ERR_QUOTA;
    }
    return KC_OK;
}

static kc_status_t judge_request(const struct kc_track *t, kc_track_owner_t owner,
                                 const struct kc_track_request *rq)
{
    kc_status_t st = judge_owner(t, owner);
    for (uint32_t n = 0; n < rq->need_count && st == KC_OK; n++) {
        st = judge_item(t, rq->needs[n]);
    }
    return st;
}

static uint32_t put_item(struct kc_track *t, uint32_t owner, const struct kc_track_request *rq)
{
    uint32_t i = take_item_slot(t);
    if (i == TRACK_NONE) {
        return i;
    }
    struct kc_track_item *it = &t->item[i];
    it->cleanup = rq->cleanup;
    it->site = rq->site;
    it->what = rq->what;
    it->units = rq->units;
    it->sequence = ++t->added;
    it->state = TRACK_ITEM_LIVE;
    it->users = TRACK_NONE;
    for (uint32_t place = 0; place < KC_TRACK_NEEDS_MAX; place++) {
        link_need(t, track_need_id(i, place),
                  place < rq->need_count ? rq->needs[place].index_ : TRACK_NONE);
    }
    link_to_owner(t, i, owner);
    t->items++;
    t->items_peak = t->items > t->items_peak ? t->items : t->items_peak;
    return i;
}

kc_status_t kc_track_add(struct kc_track *t, kc_track_owner_t owner,
                         const struct kc_track_request *request, kc_track_item_t *out)
{
    if (request->cleanup == NULL || request->what.kind >= KC_TRACK_KINDS_MAX ||
        request->need_count > KC_TRACK_NEEDS_MAX ||
        (request->need_count != 0 && request->needs == NULL)) {
        return KC_ERR_ARG;
    }
    uint64_t irq = kc_lock_acquire_irqsave(&t->lock);
    kc_status_t judged = judge_request(t, owner, request);
    kc_status_t st = judged;
    if (st == KC_OK) {
        st = charge(&t->owner[owner.index_], request->units);
    }
    if (st == KC_OK) {
        uint32_t i = put_item(t, owner.index_, request);
        if (i == TRACK_NONE) {
            st = KC_ERR_NOMEM;
        } else if (out != NULL) {
            out->index_ = i;
            out->generation_ = t->item[i].generation;
        }
    }
    kc_lock_release_irqrestore(&t->lock, irq);
    return judged == KC_ERR_ARG ? foreign(t, __func__, owner.index_, owner.generation_) : st;
}

/* Claim for release or take; the lock is held. */
static kc_status_t claim_by_handle(struct kc_track *t, kc_track_item_t h)
{
    kc_status_t st = judge_item(t, h);
    if (st == KC_OK && t->item[h.index_].users != TRACK_NONE) {
        st = KC_ERR_STATE;
    }
    if (st == KC_OK) {
        claim(t, h.index_);
    }
    return st;
}

kc_status_t kc_track_release(struct kc_track *t, kc_track_item_t item)
{
    uint64_t irq = kc_lock_acquire_irqsave(&t->lock);
    kc_status_t st = claim_by_handle(t, item);
    if (st == KC_OK) {
        clean(t, item.index_, &irq);
        settle(t, &irq);
    }
    kc_lock_release_irqrestore(&t->lock, irq);
    return st == KC_ERR_ARG ? foreign(t, __func__, item.index_, item.generation_) : st;
}

kc_status_t kc_track_take(struct kc_track *t, kc_track_item_t item, struct kc_track_resource *what)
{
    uint64_t irq = kc_lock_acquire_irqsave(&t->lock);
    kc_status_t st = claim_by_handle(t, item);
    if (st == KC_OK) {
        if (what != NULL) {
            *what = t->item[item.index_].what;
        }
        leave(t, item.index_); /* was live: nobody is stuck for its sake */
    }
    kc_lock_release_irqrestore(&t->lock, irq);
    return st == KC_ERR_ARG ? foreign(t, __func__, item.index_, item.generation_) : st;
}

kc_status_t kc_track_move(struct kc_track *t, kc_track_item_t item, kc_track_owner_t to)
{
    uint64_t irq = kc_lock_acquire_irqsave(&t->lock);
    kc_status_t judged = judge_owner(t, to);
    judged = judged == KC_OK ? judge_item(t, item) : judged;
    kc_status_t st = judged;
    if (st == KC_OK && t->owner[t->item[item.index_].owner].state != TRACK_OWNER_LIVE) {
        st = KC_ERR_STATE;
    }
    bool stays = st == KC_OK && t->item[item.index_].owner == to.index_;
    if (st == KC_OK && !stays) {
        st = charge(&t->owner[to.index_], t->item[item.index_].units);
    }
    if (st == KC_OK && !stays) {
        unlink_from_owner(t, item.index_);
        link_to_owner(t, item.index_, to.index_);
    }
    kc_lock_release_irqrestore(&t->lock, irq);
    return judged == KC_ERR_ARG ? foreign(t, __func__, item.index_, item.generation_) : st;
}

/* ---- queries -------------------------------------------------------------------------------- */

static void tell(const struct kc_track *t, uint32_t i, struct kc_track_info *out)
{
    const struct kc_track_item *it = &t->item[i];
    const struct kc_track_owner *o = &t->owner[it->owner];
    out->item.index_ = i;
    out->item.generation_ = it->generation;
    out->owner.index_ = it->owner;
    out->owner.generation_ = o->generation;
    out->what = it->what;
    out->units = it->units;
    out->sequence = it->sequence;
    out->site = it->site;
    out->cleaning = it->state == TRACK_ITEM_CLEANING;
    set_name(out->owner_name, o->name);
}

bool kc_track_next(struct kc_track *t, uint32_t *cursor, struct kc_track_info *out)
{
    uint64_t irq = kc_lock_acquire_irqsave(&t->lock);
    uint32_t i = *cursor;
    bool found = false;
    for (; i < t->item_fresh && !found; i++) {
        found = t->item[i].state == TRACK_ITEM_LIVE || t->item[i].state == TRACK_ITEM_CLEANING;
        if (found) {
            tell(t, i, out);
        }
    }
    *cursor = i;
    kc_lock_release_irqrestore(&t->lock, irq);
    return found;
}

void kc_track_stats(struct kc_track *t, struct kc_track_stats *out)
{
    uint64_t irq = kc_lock_acquire_irqsave(&t->lock);
    out->owners = t->owners;
    out->items = t->items;
    out->items_peak = t->items_peak;
    out->cleaned = t->cleaned;
    kc_lock_release_irqrestore(&t->lock, irq);
}
