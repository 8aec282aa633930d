/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * ours.h: kcore's allocators as the benchmarks use them, on hosts and on the image: C, and no libc.
 */
#ifndef OURS_H
#define OURS_H

#include <kc/cache.h>
#include <kc/heap.h>
#include <kc/pool.h>

KC_EXTERN_C_BEGIN

/* ---- what the program gives ----------------------------------------------------------------- */

/** All frames there are; the same at each call. */
struct kc_frames *ours_frames(void);

/** Zeroed memory for a pool, aligned to a page; never given back. */
void *ours_memory(size_t bytes);

/** Say what is wrong, and stop. */
KC_NORETURN void ours_fail(const char *what);

/* ---- what is made of it --------------------------------------------------------------------- */

/**
 * Make a pool of at least `blocks` blocks, with magazines for CPUs 0 and 1, and blocks aligned to
 * their size where that is a power of two, or coloured.
 */
void ours_pool_make(struct kc_pool *p, size_t block_bytes, uint32_t blocks, bool coloured);
void ours_cache_make(struct kc_cache *c, size_t object_bytes, bool coloured);
void ours_heap_make(struct kc_heap *h);

KC_EXTERN_C_END

#endif
