/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of libkcore-malloc share with each other alone.
 *
 *     preload.c        malloc() and its family
 *     preload_big.c    blocks above the heap's greatest
 *     preload_setup.c  the arena, the environment, fork, statistics
 */
#ifndef PRELOAD_H
#define PRELOAD_H

#include <kc/heap.h>

/* Every block is aligned so, whatever its size. */
#define PRELOAD_ALIGN 16u

/* The heap; NULL until preload_start(). Atomic. */
extern struct kc_heap *preload_heap;

/* The arena, as addresses: 0 and 0 until preload_start(). */
extern uintptr_t preload_base;
extern size_t preload_bytes;

/** Make the heap, once; any thread, at any time. Does not return if that fails. */
struct kc_heap *preload_start(void);

KC_INLINE struct kc_heap *preload_get(void)
{
    struct kc_heap *h = __atomic_load_n(&preload_heap, __ATOMIC_ACQUIRE);
    return KC_LIKELY(h != NULL) ? h : preload_start();
}

KC_INLINE bool preload_in_arena(const void *p)
{
    return (uintptr_t)p - preload_base < preload_bytes;
}

/**
 * Bytes from p to the end of memory that was handed out by others before this library was there
 * (the program break, the image of the dynamic linker); 0 for a pointer elsewhere.
 */
size_t preload_before(const void *p);

/** Write n bytes to the program's standard error, without touching errno. */
void preload_say(const char *text, size_t n);

/**
 * Get a block of its own mapping, zero at first. All of them together are at most as large as the
 * arena.
 *
 * align   power of two, up to SIZE_MAX / 4
 *
 * NULL if the host or the limit does not give it; errno is not set.
 */
void *preload_big_alloc(size_t size, size_t align);

/** Give it back. False if there is no such block. errno stays. */
bool preload_big_free(void *p);

/** Bytes of the block at p; 0 if there is none. */
size_t preload_big_usable(const void *p);

/**
 * Make it size bytes, perhaps elsewhere. NULL if there is no such block or no memory: then it is as
 * before.
 */
void *preload_big_resize(void *p, size_t size);

struct preload_big_stats {
    uint64_t live, bytes, peak_bytes;
    uint64_t alloc_count, free_count, fail_count;
};
void preload_big_stats(struct preload_big_stats *out);

#endif
