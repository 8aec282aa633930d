/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/stress.h: a driver that puts any heap to the test.
 *
 * The heap is given as a few functions. The driver allocates, resizes and frees blocks of random
 * sizes in a random order, fills every block with a pattern of its own, and looks at each before it
 * is freed or changed. It finds blocks that meet, are misaligned, lose or change their contents, or
 * that the heap does not take back; and stops at the first such step, which the same seed repeats.
 *
 * It uses no memory but the caller's, and no clock: the same on a host, the simulator and a target.
 */
#ifndef KC_STRESS_H
#define KC_STRESS_H

#include <kc/bits.h>

KC_EXTERN_C_BEGIN

/* The heap. `context` is handed to each function. */
struct kc_stress_heap {
    void *context;
    /* A block of size bytes, aligned to align; NULL: no memory. Contents do not matter. */
    void *(*alloc)(void *context, size_t size, size_t align);
    /* Takes back a block that was allocated or resized with that size; false: it refuses. */
    bool (*free)(void *context, void *ptr, size_t size);
    /* Changes the size, keeps what fits; NULL: no memory, all is as before. NULL: there is none. */
    void *(*resize)(void *context, void *ptr, size_t old_size, size_t size);
    /* The heap's own validator, false: something is broken. NULL: there is none. */
    bool (*check)(void *context);
    size_t align_min; /* of every block: power of two */
    size_t align_max; /* greatest that alloc() is asked for, align_min or more: power of two */
};

enum kc_stress_sizes {
    KC_STRESS_LOG,     /* each doubling as likely as the others: many small, few large */
    KC_STRESS_UNIFORM, /* each size as likely as the others */
    KC_STRESS_TWO      /* the least or the greatest */
};

/* A block under test. Private. */
struct kc_stress_slot {
    unsigned char *ptr; /* NULL: none */
    size_t size;
    uint64_t tag; /* what it is filled by */
};

struct kc_stress_config {
    uint64_t seed;               /* any number */
    uint64_t operations;         /* how many steps */
    size_t size_min, size_max;   /* 1 or more */
    struct kc_stress_slot *slot; /* garbage */
    uint32_t slot_count;         /* greatest number of live blocks; 1 or more */
    enum kc_stress_sizes sizes;
    uint32_t check_every; /* steps between calls of check(); 0: only at the end */
    uint32_t unused;
};

enum kc_stress_fault {
    KC_STRESS_OK,
    KC_STRESS_BAD_CONFIG, /* outside its limits: nothing was done */
    KC_STRESS_MISALIGNED,
    KC_STRESS_OVERLAP, /* a block meets a live one, or wraps */
    KC_STRESS_TORN,    /* a live block's contents changed */
    KC_STRESS_LOST,    /* resize() did not keep the contents */
    KC_STRESS_REFUSED, /* free() did not take a live block */
    KC_STRESS_CHECK    /* check() found something */
};

struct kc_stress_result {
    enum kc_stress_fault fault;
    uint32_t slot; /* of the block concerned */
    uint64_t step; /* of the first fault; else how many were done */
    uintptr_t ptr; /* the block concerned */
    size_t size;   /* its size */
    size_t offset; /* TORN, LOST: first wrong byte; OVERLAP: slot number of the other block */
    uint64_t allocs, frees, resizes; /* that succeeded */
    uint64_t moved;                  /* resizes that gave another address */
    uint64_t failed;                 /* alloc() or resize() without memory: no fault */
    size_t peak_bytes;               /* most that was live, as asked for */
};

/**
 * Run it. At the end all blocks are freed; after a fault those that are live stay in the slots.
 *
 * Returns true if there was no fault; *out says the rest, always.
 * Cost:    for each operation O(slot_count + size), and check()
 * Context: that of the heap's functions
 */
KC_NODISCARD bool kc_stress_run(const struct kc_stress_heap *heap,
                                const struct kc_stress_config *config,
                                struct kc_stress_result *out);

/** Name of a fault for people, static storage; "?" for an unknown one. */
const char *kc_stress_fault_name(enum kc_stress_fault fault);

KC_EXTERN_C_END

#endif
