/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/region.h: which ranges of an address space mean what, and whether an access is right.
 *
 * A region map holds the ranges of *one* space (the kernel's half, one user space): they do not
 * overlap, and each has a kind, permissions, an owner, and the allocator that its memory is from.
 * kc_region_check_access() says whether an access lies in one region and is allowed there, with a
 * different answer for each way of being wrong. Two regions that touch stay two: an access that
 * starts in one and ends in the next is refused, it *spans*.
 *
 * The map neither maps nor allocates: it lives in nodes that the caller gave (kc/aspace.h keeps
 * tables). Lookups take no lock and write nothing, in any context, while a map changes: each answer
 * is of one version of the map, that of some moment during the call. Changes take the map's lock.
 *
 * Progress: a lookup never waits for a change, not even for one that stopped half-way. It starts
 * again only if, during that one lookup, so many changes *completed* that nodes it might be reading
 * were used anew: at least (nodes not in use) / (2 x height + 1) of them, and what begins again
 * then is behind a system that made that progress. Every lookup is O(log regions) otherwise.
 */
#ifndef KC_REGION_H
#define KC_REGION_H

#include <kc/lock.h>

KC_EXTERN_C_BEGIN

/* ---- what is said of a region --------------------------------------------------------------- */

enum kc_region_kind {
    KC_REGION_KERNEL, /* memory of the kernel's own */
    KC_REGION_USER,   /* memory of a user space */
    KC_REGION_DEVICE, /* memory that a device reads or writes by DMA */
    KC_REGION_MMIO,   /* device registers */
    KC_REGION_KIND_COUNT
};

/* Permissions: a set of bits; 0 is a guard, in which every access is refused. */
#define KC_REGION_READ  1u
#define KC_REGION_WRITE 2u
#define KC_REGION_EXEC  4u
#define KC_REGION_PERMS (KC_REGION_READ | KC_REGION_WRITE | KC_REGION_EXEC)

/* The allocator that the memory behind a region is from, and goes back to. */
enum kc_region_source {
    KC_REGION_FROM_NONE, /* nobody's: MMIO, a guard, the image of the kernel */
    KC_REGION_FROM_EARLY,
    KC_REGION_FROM_FRAME,
    KC_REGION_FROM_POOL,
    KC_REGION_FROM_CACHE,
    KC_REGION_FROM_HEAP,
    KC_REGION_SOURCE_COUNT
};

struct kc_region {
    kc_ia_t base;
    uint64_t size;
    uint32_t kind;    /* enum kc_region_kind */
    uint32_t perms;   /* KC_REGION_READ and so on */
    uint32_t source;  /* enum kc_region_source */
    uint32_t owner;   /* the embedder's number for whose it is */
    const char *name; /* for people, may be NULL; storage outlives the region */
};

/* One access to be judged. */
struct kc_region_access {
    kc_ia_t base;
    uint64_t size;
    uint32_t kind;  /* enum kc_region_kind that the accessor deals with */
    uint32_t perms; /* all of these are wanted; 0: none in particular */
};

/* Judged in this order; the first that applies is the answer. */
enum kc_region_answer {
    KC_REGION_OK,
    KC_REGION_EMPTY,      /* the access has 0 bytes */
    KC_REGION_WRAPS,      /* it runs past the last byte of the space */
    KC_REGION_UNKNOWN,    /* its first byte is in no region */
    KC_REGION_SPANS,      /* its first byte is in a region, and its last is not in the same one */
    KC_REGION_WRONG_KIND, /* the region is of another kind */
    KC_REGION_NO_PERMISSION, /* the region lacks a wanted permission */
    KC_REGION_ANSWER_COUNT
};

/* ---- the map -------------------------------------------------------------------------------- */

/*
 * Storage for a map that holds that many regions: 85 bytes a region, and 8 KiB that let lookups be
 * slow while the map changes. More nodes give more of that patience, or room for more regions.
 */
#define KC_REGION_NODE_WORDS  60u
#define KC_REGION_SPARE_NODES 16u
#define KC_REGION_NODES(n)    ((uint32_t)(n) / 6u + 1u + KC_REGION_SPARE_NODES)

/* Private member by member; the storage is the caller's. */
struct kc_region_node {
    uint32_t count; /* atomic: entries */
    uint32_t level; /* 0: of regions; n: of nodes of level n - 1; or that it is free */
    uint32_t next;  /* of the nodes that are free, or are about to be */
    uint32_t unused;
    uint64_t retired; /* version that left it out */
    uint64_t unused_too;
    uint64_t word[KC_REGION_NODE_WORDS]; /* atomic: columns of the entries */
};

/* Private member by member; placed by the owner of the space. */
struct kc_region_map {
    /* What lookups read: a line of its own where the map is aligned to one. */
    uint64_t root;    /* atomic: height in the upper half, node in the lower; height 0: no region */
    uint64_t version; /* atomic: changes so far */
    uint64_t floor;   /* atomic: trees before this version may have been written over */
    struct kc_region_node *node;
    uint32_t node_count;
    uint32_t count; /* atomic: regions */
    const char *name;
    /* What changes need. */
    struct kc_lock lock; /* rank KC_RANK_REGION */
    uint64_t bytes;      /* sum of sizes modulo 2^64: 0 is empty or the whole space */
    uint32_t region_max;
    uint32_t fresh; /* nodes from here on have never been used */
    uint32_t free_first, free_last, free_count;
    uint32_t left_first, left_last, left_count; /* nodes that the change at hand leaves out */
    uint32_t work_count;                        /* entries of the node in the making, */
    uint32_t work_level;
    uint64_t work[KC_REGION_NODE_WORDS * 3 / 2]; /*   one after the other */
};

/* What kc_region_map_check() found. */
struct kc_region_fault {
    uint32_t invariant; /* n of "Rn" in src/mem/region_tree.c; 0: none is broken */
    uint32_t index;     /* node in question */
};

/* ---- life cycle ----------------------------------------------------------------------------- */

/**
 * Make an empty map.
 *
 * name        for people; storage outlives the map
 * node        storage, the map's until it is dropped; content does not matter
 * node_count  KC_REGION_NODES(n) for n regions; at least KC_REGION_NODES(1)
 *
 * There is no fini: drop the map and its nodes together, when no lookup is under way.
 *
 * Errors: KC_ERR_ARG  node is NULL or node_count is too small
 * Cost:   O(1)
 */
KC_NODISCARD kc_status_t kc_region_map_init(struct kc_region_map *m, const char *name,
                                            struct kc_region_node *node, uint32_t node_count);

/* ---- operations ----------------------------------------------------------------------------- */

/*
 * All of these take the lock once, cost O(log regions), and are for any context but an interrupt
 * handler's that may have interrupted one of them on the same map.
 */

/**
 * Add a region; it is copied.
 *
 * Errors:  KC_ERR_ARG     r has 0 bytes, or an unknown kind, permission or source
 *          KC_ERR_RANGE   it runs past the last byte of the space
 *          KC_ERR_EXISTS  it overlaps a region
 *          KC_ERR_NOMEM   kc_region_limit() regions are there
 */
KC_NODISCARD kc_status_t kc_region_add(struct kc_region_map *m, const struct kc_region *r);

/**
 * Remove the region that is exactly this range.
 *
 * removed  out, may be NULL: the region as it was; untouched on error
 *
 * A lookup that began before may still answer with the region: what is behind it may be taken away
 * when such lookups are over, as with every answer that is used after it was given.
 *
 * Errors:  KC_ERR_ABSENT  base is in no region, or inside one but not at its start
 *          KC_ERR_SPAN    a region starts at base but has another size
 */
KC_NODISCARD kc_status_t kc_region_remove(struct kc_region_map *m, kc_ia_t base, uint64_t size,
                                          struct kc_region *removed);

/**
 * Cut a region in two at an address inside it; both parts keep what was said of it.
 *
 * Errors:  KC_ERR_ABSENT  at is in no region
 *          KC_ERR_STATE   a region starts there already
 *          KC_ERR_NOMEM   kc_region_limit() regions are there
 */
KC_NODISCARD kc_status_t kc_region_split(struct kc_region_map *m, kc_ia_t at);

/**
 * Change the permissions of the region that is exactly this range.
 *
 * Errors:  KC_ERR_ARG  unknown permission; KC_ERR_ABSENT and KC_ERR_SPAN as kc_region_remove()
 */
KC_NODISCARD kc_status_t kc_region_set_perms(struct kc_region_map *m, kc_ia_t base, uint64_t size,
                                             uint32_t perms);

/**
 * The lowest place in a window where a region of that size could be added, with room on both sides.
 * The place is free at that moment; who adds there may find that somebody was faster (EXISTS).
 *
 * window  where to look; the place and its guards lie wholly inside
 * bytes   1 or more
 * align   power of two, of the place (not of its guards)
 * guard   bytes that stay free of regions before and after it; 0 is allowed
 * out     untouched on error
 *
 * Errors:  KC_ERR_ARG    bytes is 0, or align is no power of two
 *          KC_ERR_RANGE  the window wraps
 *          KC_ERR_NOMEM  there is no such place
 * Cost:    O(regions in the window), the lock held meanwhile
 */
KC_NODISCARD kc_status_t kc_region_find_gap(struct kc_region_map *m, kc_ia_range_t window,
                                            uint64_t bytes, uint64_t align, uint64_t guard,
                                            kc_ia_t *out);

/* ---- lookups -------------------------------------------------------------------------------- */

/*
 * All of these cost O(log regions), allocate nothing, take no lock, write nothing but their
 * outputs, and are for any context, also while the map changes.
 */

/** The region that holds a byte, copied; false, *out untouched, if none does. */
KC_NODISCARD bool kc_region_find(const struct kc_region_map *m, kc_ia_t at, struct kc_region *out);

/**
 * The region that holds a byte, or else the lowest above it; false, *out untouched, if there is
 * none. From address 0, then through kc_region_after(), all regions come in ascending order.
 */
KC_NODISCARD bool kc_region_next(const struct kc_region_map *m, kc_ia_t at, struct kc_region *out);

/** The lowest region above r, which need not be there any more; r and out may be the same. */
KC_NODISCARD bool kc_region_after(const struct kc_region_map *m, const struct kc_region *r,
                                  struct kc_region *out);

/** How many regions there are, and how many there can be. */
uint32_t kc_region_count(const struct kc_region_map *m);
uint32_t kc_region_limit(const struct kc_region_map *m);

/**
 * Judge an access: empty, and never wraps or spans by accident, up to the last byte of the space.
 *
 * hit   out, may be NULL: the region that holds the first byte; its size is 0 where none does
 */
KC_NODISCARD enum kc_region_answer kc_region_check_access(const struct kc_region_map *m,
                                                          const struct kc_region_access *a,
                                                          struct kc_region *hit);

/* An answer and what led to it, all of one version of the map. */
struct kc_region_why {
    const char *map; /* its name */
    struct kc_region_access access;
    enum kc_region_answer answer; /* also the rule that refused: the first in the enum's order */
    kc_ia_t byte; /* the lowest that the rule refuses; WRAPS: the last one that has an address */
    uint32_t lacking;        /* NO_PERMISSION: wanted, and not there */
    struct kc_region region; /* holds the first byte of the access, */
    struct kc_region before; /*   the nearest below the access or that region, */
    struct kc_region after;  /*   and the nearest above; size 0: there is none */
};

/** Judge an access as kc_region_check_access() does, and say all that is known of why. */
void kc_region_why(const struct kc_region_map *m, const struct kc_region_access *a,
                   struct kc_region_why *out);

/**
 * The same in one line of words.
 *
 * buf, n   as in kc_fmt()
 *
 * Returns the length of the whole line, without a newline or the zero byte.
 */
size_t kc_region_explain(const struct kc_region_why *why, char *buf, size_t n);

/**
 * The status for a function that refuses because of an answer: EMPTY is ARG, WRAPS is RANGE,
 * UNKNOWN is ABSENT, SPANS is SPAN, WRONG_KIND is UNSUPPORTED, NO_PERMISSION is PERM.
 */
kc_status_t kc_region_answer_status(enum kc_region_answer a);

/** Names for people, static storage; "?" for an unknown value. */
const char *kc_region_answer_name(enum kc_region_answer a);
const char *kc_region_kind_name(uint32_t kind);
const char *kc_region_source_name(uint32_t source);

/* ---- check ---------------------------------------------------------------------------------- */

/**
 * Walk the whole map. The caller keeps it still.
 *
 * where   out, may be NULL: the first broken invariant and where; invariant 0 if none is
 *
 * Errors:  KC_ERR_CORRUPT  an invariant is broken
 * Cost:    O(regions + nodes)
 */
KC_NODISCARD kc_status_t kc_region_map_check(const struct kc_region_map *m,
                                             struct kc_region_fault *where);

KC_EXTERN_C_END

#endif
