/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/track.h: what exists, who owns it, and how to clean it.
 *
 * A tracker holds *owners* (a service, a driver, a guest) and *items*: resources of any kind, each
 * with one owner, a cleanup function, a cost in units of the embedder's choosing, and the items
 * that it *needs* (a mapping needs its space and its frame). When an owner is killed, every item of
 * it is cleaned, exactly once, each before what it needs; items of other owners that need one of
 * them go first (that is revocation). Handles carry a generation: one that outlives what it named
 * is answered with KC_ERR_ABSENT, never taken for its successor.
 *
 * The tracker allocates nothing (the arrays are the caller's) and does not touch the resources:
 * only their cleanup does. It does not make them either: make one, then kc_track_add() it; if that
 * fails, it is still the caller's to clean.
 *
 * Cleanups run without the tracker's lock, so they may call any function of this header, also for
 * the owner that is being killed. A claim is made under the lock: of all that race to release, take
 * or kill one item, one gets it. Nobody waits for anybody: what a kill cannot clean because another
 * CPU, or a caller further up its own stack, is at it, is cleaned by that one when it is done.
 */
#ifndef KC_TRACK_H
#define KC_TRACK_H

#include <kc/lock.h>

KC_EXTERN_C_BEGIN

#define KC_TRACK_NEEDS_MAX  4u  /* items that one item may need */
#define KC_TRACK_KINDS_MAX  32u /* kinds are 0 to this - 1; what they mean is the embedder's */
#define KC_TRACK_SLOTS_MAX  (1u << 24) /* of items, and of owners */
#define KC_TRACK_NAME_CHARS 24u
#define KC_TRACK_NO_LIMIT   UINT64_MAX

/* The place in the source where it stands, as a string with static storage. */
#define KC_TRACK_TEXT_(x) #x
#define KC_TRACK_TEXT(x)  KC_TRACK_TEXT_(x)
#define KC_TRACK_SITE     (__FILE__ ":" KC_TRACK_TEXT(__LINE__))

/* Handles, passed by copy. All zero names nothing. */
typedef struct {
    uint32_t index_;
    uint32_t generation_;
} kc_track_owner_t;
typedef struct {
    uint32_t index_;
    uint32_t generation_;
} kc_track_item_t;

/** True if both name the same owner, now or once. */
KC_INLINE bool kc_track_owner_eq(kc_track_owner_t a, kc_track_owner_t b)
{
    return a.index_ == b.index_ && a.generation_ == b.generation_;
}

/** True if both name the same item. */
KC_INLINE bool kc_track_item_eq(kc_track_item_t a, kc_track_item_t b)
{
    return a.index_ == b.index_ && a.generation_ == b.generation_;
}

/* A resource, in the embedder's own terms. The tracker reads only kind. */
struct kc_track_resource {
    void *object;      /* may be NULL */
    uint64_t value[2]; /* addresses, sizes, orders */
    uint32_t kind;     /* below KC_TRACK_KINDS_MAX */
};

/*
 * Give the resource back. Called once, with no lock of the tracker held; r is a copy, good during
 * the call. It must succeed: what may fail is tried before kc_track_add().
 */
typedef void (*kc_track_cleanup_fn)(const struct kc_track_resource *r);

/* What an owner may hold at a time. KC_TRACK_NO_LIMIT for none. */
struct kc_track_limits {
    uint64_t items;
    uint64_t units;
};

/* Private: one "A needs B", a link in the list of those who need B. */
struct kc_track_need {
    uint32_t target;
    uint32_t next;
    uint32_t prev;
};

/* Storage of one item. Private. */
struct kc_track_item {
    kc_track_cleanup_fn cleanup;
    const char *site;
    struct kc_track_resource what;
    uint64_t units;
    uint64_t sequence;   /* of all adds: greater is newer */
    uint32_t generation; /* in the present handle, or in the next one */
    uint32_t state;
    uint32_t owner;
    uint32_t next; /* older item of the owner, or next free slot */
    uint32_t prev;
    uint32_t users; /* first of those who need this one */
    struct kc_track_need need[KC_TRACK_NEEDS_MAX];
};

/* Storage of one owner. Private. */
struct kc_track_owner {
    struct kc_track_limits limits;
    uint64_t units;
    uint64_t items_peak;
    uint64_t units_peak;
    uint64_t refused;
    uint32_t items;
    uint32_t generation;
    uint32_t state;
    uint32_t newest;
    uint32_t next; /* in the list of stuck owners, or of free slots */
    char name[KC_TRACK_NAME_CHARS];
};

struct kc_track_config {
    const char *name;              /* static storage */
    struct kc_track_owner *owners; /* arrays of the caller's, for as long as the tracker lives; */
    uint32_t owner_max;            /* contents need not be zero */
    struct kc_track_item *items;
    uint32_t item_max;
    struct kc_misuse *misuse; /* NULL as in kc_misuse_raise() */
};

/* The tracker. Private member by member; placed by the caller. */
struct kc_track {
    struct kc_lock lock;
    struct kc_track_owner *owner;
    struct kc_track_item *item;
    uint32_t owner_max;
    uint32_t item_max;
    uint32_t owner_fresh; /* slots from here on were never used */
    uint32_t item_fresh;
    uint32_t owner_free; /* first free slot below it */
    uint32_t item_free;
    uint32_t owners;
    uint32_t items;
    uint32_t items_peak;
    uint32_t stuck; /* first dying owner that nobody drains */
    uint64_t cleaned;
    uint64_t added;
    uint64_t left; /* items that went, cleaned or taken */
    struct kc_misuse *misuse;
    const char *name;
};

/* ---- life cycle ----------------------------------------------------------------------------- */

/**
 * Make an empty tracker.
 *
 * Errors:  KC_ERR_ARG    an array is NULL
 *          KC_ERR_RANGE  owner_max or item_max is 0 or above KC_TRACK_SLOTS_MAX
 * Cost:    O(1)
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_track_init(struct kc_track *t, const struct kc_track_config *config);

/**
 * End it. The arrays are the caller's again.
 *
 * Errors:  KC_ERR_STATE  an owner exists (misuse BUSY; kc_track_next() lists what it holds)
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_track_fini(struct kc_track *t);

/* ---- owners --------------------------------------------------------------------------------- */

/**
 * Make an owner that holds nothing.
 *
 * name     copied, cut to KC_TRACK_NAME_CHARS - 1; NULL is ""
 * limits   NULL for none
 * out      untouched on error
 *
 * Errors:  KC_ERR_NOMEM  owner_max owners exist
 * Cost:    O(1); one lock hold
 * Context: any, interrupts included
 */
KC_NODISCARD kc_status_t kc_track_owner_add(struct kc_track *t, const char *name,
                                            const struct kc_track_limits *limits,
                                            kc_track_owner_t *out);

/**
 * Change the limits. What an owner holds above a new limit stays; it gets no more.
 *
 * Errors:  KC_ERR_ABSENT  there is no such owner any more
 *          KC_ERR_ARG     never one of this tracker's (misuse FOREIGN)
 */
KC_NODISCARD kc_status_t kc_track_owner_limit(struct kc_track *t, kc_track_owner_t owner,
                                              const struct kc_track_limits *limits);

/**
 * Kill an owner: from now on it gets no more items, and all that it has is cleaned, the newest
 * first and each after whatever needs it; then the owner is gone and its handle dead.
 *
 * gone   out, may be NULL: true if nothing of it is left; false if the cleanup of some item of it
 *        (or of one that needs one of its items) is under way on another CPU or further up this
 *        stack. Whoever is at it then cleans the rest and ends the owner
 *        before returning; kc_track_owner_is_gone() tells. Untouched on error
 *
 * Errors:  KC_ERR_STATE   somebody is killing it already
 *          KC_ERR_ABSENT  there is no such owner any more
 *          KC_ERR_ARG     never one of this tracker's (misuse FOREIGN)
 * Cost:    each item is cleaned once; between two cleanups one lock hold of O(1), or of O(items)
 *          where items in the hands of others have to be passed over. Kills within kills nest at
 *          most as deep as there are owners
 * Context: what the cleanups allow; no lock that one of them takes may be held
 */
KC_NODISCARD kc_status_t kc_track_owner_kill(struct kc_track *t, kc_track_owner_t owner,
                                             bool *gone);

/** True unless the owner exists, dying or not. False for a handle that never was one. */
bool kc_track_owner_is_gone(struct kc_track *t, kc_track_owner_t owner);

struct kc_track_owner_stats {
    struct kc_track_limits limits;
    uint64_t items; /* held now */
    uint64_t units;
    uint64_t items_peak;
    uint64_t units_peak;
    uint64_t refused; /* KC_ERR_QUOTA answers */
    bool dying;
    char name[KC_TRACK_NAME_CHARS];
};

/** One consistent snapshot. Errors: KC_ERR_ABSENT, KC_ERR_ARG as above. Cost: O(1). */
KC_NODISCARD kc_status_t kc_track_owner_stats(struct kc_track *t, kc_track_owner_t owner,
                                              struct kc_track_owner_stats *out);

/* ---- items ---------------------------------------------------------------------------------- */

struct kc_track_request {
    struct kc_track_resource what;
    kc_track_cleanup_fn cleanup; /* not NULL */
    uint64_t units;              /* charged to the owner's limit; 0 is allowed */
    const char *site;            /* KC_TRACK_SITE; static storage; may be NULL */
    /* Live items that this one needs, of any owner; an item may stand there twice. */
    const kc_track_item_t *needs;
    uint32_t need_count; /* 0 to KC_TRACK_NEEDS_MAX */
};

/**
 * Track a resource that exists.
 *
 * out   untouched on error; may be NULL: then the item goes with its owner only
 *
 * Owner:   the tracker cleans it from here on; on error it stays the caller's
 * Errors:  KC_ERR_ARG     no cleanup, kind or need_count outside its limits, or a handle that never
 *                         was one of this tracker's (misuse FOREIGN)
 *          KC_ERR_ABSENT  the owner, or an item that it needs, is gone or on its way
 *          KC_ERR_STATE   the owner is being killed
 *          KC_ERR_QUOTA   the owner would exceed its items or units
 *          KC_ERR_NOMEM   item_max items exist
 * Cost:    O(1); one lock hold
 * Context: any, interrupts included
 */
KC_NODISCARD kc_status_t kc_track_add(struct kc_track *t, kc_track_owner_t owner,
                                      const struct kc_track_request *request, kc_track_item_t *out);

/**
 * Clean one item and forget it.
 *
 * Errors:  KC_ERR_STATE   another item needs it
 *          KC_ERR_ABSENT  it is gone, or somebody else has just begun to clean it
 *          KC_ERR_ARG     never one of this tracker's (misuse FOREIGN)
 * Cost:    the cleanup; two lock holds of O(1). If this was what a kill had to leave, that is done
 * Context: as kc_track_owner_kill()
 */
KC_NODISCARD kc_status_t kc_track_release(struct kc_track *t, kc_track_item_t item);

/**
 * Take one item out without cleaning it: the resource is the caller's alone from then on.
 *
 * what   out: as it was added; may be NULL; untouched on error
 *
 * Errors:  as kc_track_release()
 * Cost:    O(1); one lock hold
 * Context: any, interrupts included
 */
KC_NODISCARD kc_status_t kc_track_take(struct kc_track *t, kc_track_item_t item,
                                       struct kc_track_resource *what);

/**
 * Give one item to another owner; what it needs and who needs it stays.
 *
 * Errors:  KC_ERR_STATE   the new owner is being killed, or the present one is
 *          KC_ERR_QUOTA   the new owner would exceed its items or units
 *          KC_ERR_ABSENT  item or owner is gone or on its way
 *          KC_ERR_ARG     never one of this tracker's (misuse FOREIGN)
 * Cost:    O(1); one lock hold
 * Context: any, interrupts included
 */
KC_NODISCARD kc_status_t kc_track_move(struct kc_track *t, kc_track_item_t item,
                                       kc_track_owner_t to);

/* ---- queries -------------------------------------------------------------------------------- */

/* One item, as the leak list tells it. */
struct kc_track_info {
    kc_track_item_t item;
    kc_track_owner_t owner;
    struct kc_track_resource what;
    uint64_t units;
    uint64_t sequence; /* greater is newer */
    const char *site;
    bool cleaning; /* its cleanup is running */
    char owner_name[KC_TRACK_NAME_CHARS];
};

/**
 * The items that exist, in no certain order.
 *
 * cursor   0 to begin; else as the last call left it
 *
 * Returns false when there are no more. What comes or goes between two calls may be missed.
 * Cost:    over a whole pass O(items ever live at a time); one lock hold a call
 */
KC_NODISCARD bool kc_track_next(struct kc_track *t, uint32_t *cursor, struct kc_track_info *out);

struct kc_track_stats {
    uint32_t owners;
    uint32_t items;
    uint32_t items_peak;
    uint64_t cleaned; /* items whose cleanup has run */
};

/** One consistent snapshot. Cost: O(1); one lock hold. */
void kc_track_stats(struct kc_track *t, struct kc_track_stats *out);

/* Where a validator found the first broken invariant: its number in the theory comment. */
struct kc_track_fault {
    uint32_t invariant;
    uint32_t index; /* slot of the item, or of the owner, concerned */
    uint64_t expected, found;
};

/**
 * Walk everything and judge every invariant of src/mem/track.c.
 *
 * Errors:  KC_ERR_CORRUPT  one is broken; *where, if not NULL, says which
 * Cost:    O(owners + items x KC_TRACK_NEEDS_MAX); holds the lock meanwhile
 */
KC_NODISCARD kc_status_t kc_track_check(struct kc_track *t, struct kc_track_fault *where);

KC_EXTERN_C_END

#endif
