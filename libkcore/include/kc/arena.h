/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/arena.h: a heap in a range of memory that the caller gives.
 *
 * An arena makes a frames allocator and a heap inside one byte range, and needs no memory but that:
 * its own structure lies at the beginning. Any number may be side by side, each apart from the
 * others: a pointer of one is foreign to all others. What the range was before does not matter:
 * part of RAM set aside at boot, a run of another allocator's frames, static storage.
 */
#ifndef KC_ARENA_H
#define KC_ARENA_H

#include <kc/heap.h>
#include <kc/list.h>

KC_EXTERN_C_BEGIN

/*
 * Least range. Of it the structures take about two thirds (on 64-bit machines; a cache for each
 * size class, and the arena): five frames or so are left, of which each size class in use takes
 * one. What they take does not grow but for 16 bytes a frame.
 */
#if KC_HARDENING >= KC_HARDENING_FULL || KC_CPUS_MAX > 8
#define KC_ARENA_BYTES_MIN 131072u /* what the heap keeps for itself is greater there */
#else
#define KC_ARENA_BYTES_MIN 65536u
#endif

/* Arenas that know of each other. Placed by the caller, private member by member. */
struct kc_arena_set {
    struct kc_lock lock;
    struct kc_list arenas;
};

struct kc_arena_config {
    const char *name;         /* as in struct kc_heap_config */
    struct kc_misuse *misuse; /* NULL as in kc_misuse_raise() */
    uint32_t cpu_count;       /* as in struct kc_heap_config */
    uint32_t unused;
    size_t keep_bytes;        /* as in struct kc_heap_config */
    struct kc_arena_set *set; /* whose arenas this one may not meet; outlives it. NULL: none */
};

/* At the beginning of its range. Private member by member. */
struct kc_arena {
    kc_pa_range_t range;
    void *memory; /* as it was given */
    struct kc_arena_set *set;
    struct kc_list link;
    struct kc_frames frames;
    struct kc_heap heap;
};

/** Make an empty set. */
void kc_arena_set_init(struct kc_arena_set *s);

/**
 * Make an arena.
 *
 * memory   a multiple of KC_FRAME_BYTES; RAM that kc_plat_ram_pa() has an address for, mapped as
 * RAM is; contents need not be zero bytes    a multiple of KC_FRAME_BYTES, KC_ARENA_BYTES_MIN or
 * more out      untouched on error
 *
 * That the range meets another arena's is seen within one set. That it meets memory of others can
 * be known to the caller alone: it may be a block of another heap, which is good use.
 *
 * Owner:   the arena has the range until kc_arena_fini()
 * Errors:  KC_ERR_ARG     memory, config or out is NULL, or config as kc_heap_init() refuses it
 *          KC_ERR_ALIGN   memory or bytes is no multiple of KC_FRAME_BYTES
 *          KC_ERR_RANGE   bytes is too few, or the range wraps; keep_bytes as kc_heap_init()
 *          KC_ERR_EXISTS  it meets an arena of the set; nothing of the range was written
 *          KC_ERR_NOMEM   config->cpu_count and the like need more than the range has
 * Cost:    O(2^KC_FRAME_ORDER_MAX) records; the set's lock is held
 * Context: any CPU, interrupts included
 */
KC_NODISCARD kc_status_t kc_arena_init(void *memory, size_t bytes,
                                       const struct kc_arena_config *config, struct kc_arena **out);

/**
 * End it: the range is the caller's again, its contents undefined.
 *
 * Errors:  KC_ERR_STATE  blocks are live (misuse BUSY; kc_heap_next_live() lists them): unchanged
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_arena_fini(struct kc_arena *a);

/** Its heap: for all that kc/heap.h has, but kc_heap_fini(). */
KC_INLINE struct kc_heap *kc_arena_heap(struct kc_arena *a)
{
    return &a->heap;
}

/** Bytes that no block and no structure has, in whole frames: of which blocks can be made. */
uint64_t kc_arena_free_bytes(struct kc_arena *a);

/** True if the byte at p lies in the arena's range, its structures included. */
bool kc_arena_has(const struct kc_arena *a, const void *p);

/**
 * kc_frames_check() and kc_heap_check() of what is in it.
 *
 * Errors:  KC_ERR_CORRUPT  something is broken
 * Context: nobody allocates or frees meanwhile
 */
KC_NODISCARD kc_status_t kc_arena_check(struct kc_arena *a);

KC_EXTERN_C_END

#endif
