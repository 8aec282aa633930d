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
 * The map neither maps nor allocates: slots come from the caller, and kc/aspace.h keeps map and
 * tables in step. It takes no lock: its owner lets one CPU change it with no reader meanwhile.
 */
#ifndef KC_REGION_H
#define KC_REGION_H

#include <kc/addr.h>
#include <kc/status.h>

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

/* Private member by member; placed by the owner of the space. */
struct kc_region_map {
    const char *name;
    struct kc_region *slot; /* slot_count of them; the first `count` in use, ascending */
    uint32_t slot_count;
    uint32_t count;
    uint64_t bytes; /* sum of sizes modulo 2^64: 0 is empty or the whole space */
};

/* What kc_region_map_check() found. */
struct kc_region_fault {
    uint32_t invariant; /* n of "Rn" in src/mem/region.c; 0: none is broken */
    uint32_t index;     /* slot in question */
};

/* ---- life cycle ----------------------------------------------------------------------------- */

/**
 * Make an empty map.
 *
 * name        for people; storage outlives the map
 * slot        storage for slot_count regions, the map's until it is dropped; content does not
 * matter slot_count  1 or more
 *
 * There is no fini: drop the map and its slots together.
 *
 * Errors: KC_ERR_ARG  slot is NULL or slot_count is 0
 */
KC_NODISCARD kc_status_t kc_region_map_init(struct kc_region_map *m, const char *name,
                                            struct kc_region *slot, uint32_t slot_count);

/* ---- operations ----------------------------------------------------------------------------- */

/**
 * Add a region; it is copied.
 *
 * Errors:  KC_ERR_ARG     r has 0 bytes, or an unknown kind, permission or source
 *          KC_ERR_RANGE   it runs past the last byte of the space
 *          KC_ERR_EXISTS  it overlaps a region
 *          KC_ERR_NOMEM   no slot is free
 * Cost:    O(log regions) to find, O(regions) to move
 */
KC_NODISCARD kc_status_t kc_region_add(struct kc_region_map *m, const struct kc_region *r);

/**
 * Remove the region that is exactly this range.
 *
 * removed  out, may be NULL: the region as it was; untouched on error
 *
 * Errors:  KC_ERR_ABSENT  base is in no region, or inside one but not at its start
 *          KC_ERR_SPAN    a region starts at base but has another size
 * Cost:    as kc_region_add()
 */
KC_NODISCARD kc_status_t kc_region_remove(struct kc_region_map *m, kc_ia_t base, uint64_t size,
                                          struct kc_region *removed);

/**
 * Cut a region in two at an address inside it; both parts keep what was said of it.
 *
 * Errors:  KC_ERR_ABSENT  at is in no region
 *          KC_ERR_STATE   a region starts there already
 *          KC_ERR_NOMEM   no slot is free
 * Cost:    as kc_region_add()
 */
KC_NODISCARD kc_status_t kc_region_split(struct kc_region_map *m, kc_ia_t at);

/**
 * Change the permissions of the region that is exactly this range.
 *
 * Errors:  KC_ERR_ARG  unknown permission; KC_ERR_ABSENT and KC_ERR_SPAN as kc_region_remove()
 * Cost:    O(log regions)
 */
KC_NODISCARD kc_status_t kc_region_set_perms(struct kc_region_map *m, kc_ia_t base, uint64_t size,
                                             uint32_t perms);

/* ---- queries -------------------------------------------------------------------------------- */

/**
 * The region that holds a byte, or NULL. The pointer is good until the map changes.
 *
 * Cost:    O(log regions), allocates nothing
 * Context: any in which the map does not change
 */
const struct kc_region *kc_region_find(const struct kc_region_map *m, kc_ia_t at);

/** Regions in ascending order: the i-th, or NULL from the end on. */
const struct kc_region *kc_region_at(const struct kc_region_map *m, uint32_t i);

/** How many regions there are. */
uint32_t kc_region_count(const struct kc_region_map *m);

/**
 * Judge an access: empty, and never wraps or spans by accident, up to the last byte of the space.
 *
 * hit   out, may be NULL: the region that holds the first byte, or NULL where none does
 *
 * Cost:    O(log regions), allocates nothing
 * Context: any in which the map does not change
 */
KC_NODISCARD enum kc_region_answer kc_region_check_access(const struct kc_region_map *m,
                                                          const struct kc_region_access *a,
                                                          const struct kc_region **hit);

/**
 * The lowest place in a window where a region of that size could be added, with room on both sides.
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
 * Cost:    O(regions)
 */
KC_NODISCARD kc_status_t kc_region_find_gap(const struct kc_region_map *m, kc_ia_range_t window,
                                            uint64_t bytes, uint64_t align, uint64_t guard,
                                            kc_ia_t *out);

/**
 * Say in one line of words what kc_region_check_access() answers, and why.
 *
 * buf, n   as in kc_fmt()
 *
 * Returns the length of the whole line, without a newline or the zero byte.
 */
size_t kc_region_explain(const struct kc_region_map *m, const struct kc_region_access *a, char *buf,
                         size_t n);

/** Names for people, static storage; "?" for an unknown value. */
const char *kc_region_answer_name(enum kc_region_answer a);
const char *kc_region_kind_name(uint32_t kind);
const char *kc_region_source_name(uint32_t source);

/* ---- check ---------------------------------------------------------------------------------- */

/**
 * Walk the whole map.
 *
 * where   out, may be NULL: the first broken invariant and where; invariant 0 if none is
 *
 * Errors:  KC_ERR_CORRUPT  an invariant is broken
 * Cost:    O(regions)
 */
KC_NODISCARD kc_status_t kc_region_map_check(const struct kc_region_map *m,
                                             struct kc_region_fault *where);

KC_EXTERN_C_END

#endif
