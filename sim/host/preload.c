/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * malloc() and its family, from the kernel heap: libkcore-malloc, to be preloaded
 * (docs/preload.md).
 *
 *     size                      where it lies
 *     up to KC_HEAP_SIZE_MAX    in the arena: a kc_heap over kc_frames over early memory
 *     above                     in a mapping of its own (preload_big.c)
 *
 * Sizes are rounded up to PRELOAD_ALIGN: every class that is then asked for is a multiple of it, so
 * every block is aligned so (see "Alignment" in src/mem/heap.c).
 *
 * To whom a pointer belongs is told by its address alone, then by the frame records or the table of
 * big blocks. Pointers from before this library was there (the dynamic linker's, or the program
 * break's) are never given back, and their bytes are kept when they are resized.
 *
 * Results are those of the GNU C library where the standard leaves a choice: realloc(p, 0) frees
 * and gives NULL, malloc(0) gives a block of its own. One is not: an alignment that is no power of
 * two is refused by memalign() too, instead of being rounded up.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "preload.h"

/* The declarations of malloc.h, which may not say `throw()` as stdlib.h does. */
void *memalign(size_t align, size_t size);
void *valloc(size_t size);
void *pvalloc(size_t size);
size_t malloc_usable_size(void *p);

#define EXPORT __attribute__((visibility("default")))

/* A size that fits the heap, as it is asked for there. */
static size_t rounded(size_t size)
{
    size_t asked = size == 0 ? 1 : size;
    return (asked + PRELOAD_ALIGN - 1) & ~(size_t)(PRELOAD_ALIGN - 1);
}

static void *or_no_memory(void *p)
{
    if (KC_UNLIKELY(p == NULL)) {
        errno = ENOMEM;
    }
    return p;
}

static void *get(size_t size, uint32_t flags)
{
    if (KC_UNLIKELY(size > KC_HEAP_SIZE_MAX)) {
        return or_no_memory(preload_big_alloc(size, KC_FRAME_BYTES));
    }
    return or_no_memory(kc_heap_alloc(preload_get(), rounded(size), flags));
}

/* NULL if there is no memory; errno is not set. */
static void *get_aligned(size_t align, size_t size)
{
    size_t a = align < PRELOAD_ALIGN ? PRELOAD_ALIGN : align;
    if (size > KC_HEAP_SIZE_MAX || a > KC_HEAP_ALIGN_MAX) {
        return preload_big_alloc(size == 0 ? 1 : size, a);
    }
    return kc_heap_alloc_aligned(preload_get(), rounded(size), a, 0);
}

/* Of what does not lie in the arena. */
static KC_COLD void put_other(void *p)
{
    struct kc_heap *heap = preload_get(); /* the arena may be there only now */
    if (preload_in_arena(p) || (!preload_big_free(p) && preload_before(p) == 0)) {
        (void)kc_heap_free(heap, p); /* if it is nobody's, that is misuse, and the heap says so */
    }
}

static void put(void *p)
{
    if (KC_LIKELY(preload_in_arena(p))) {
        (void)kc_heap_free(preload_heap, p);
    } else if (p != NULL) {
        put_other(p);
    }
}

/* Into a new block; `have` bytes of the old one may be read. */
static void *move(void *p, size_t have, size_t size)
{
    void *to = get(size, 0);
    if (to != NULL) {
        memcpy(to, p, have < size ? have : size);
        put(p);
    }
    return to;
}

/* Resizing what is no block: misuse, reported as that of a free, which it would be. */
static KC_COLD void *refuse(void *p)
{
    put(p);
    errno = EINVAL;
    return NULL;
}

static void *resize_small(void *p, size_t size)
{
    struct kc_heap *heap = preload_heap;
    size_t have = kc_heap_usable(heap, p);
    if (KC_UNLIKELY(have == 0)) {
        return refuse(p);
    }
    if (size <= have && size > have / 2) {
        return p; /* not worth a copy */
    }
    if (size > KC_HEAP_SIZE_MAX) {
        return move(p, have, size);
    }
    void *to = kc_heap_resize(heap, p, rounded(size), 0);
    return to == NULL && size <= have ? p : or_no_memory(to); /* programs count on it */
}

static KC_COLD void *resize_other(void *p, size_t size)
{
    size_t have = preload_big_usable(p);
    bool is_big = have != 0;
    have = is_big ? have : preload_before(p);
    if (have == 0) {
        return refuse(p);
    }
    void *to =
        is_big && size > KC_HEAP_SIZE_MAX ? preload_big_resize(p, size) : move(p, have, size);
    return to == NULL && size <= have ? p : or_no_memory(to); /* as resize_small() */
}

/* ---- the family ----------------------------------------------------------------------------- */

EXPORT void *malloc(size_t size)
{
    return get(size, 0);
}

EXPORT void free(void *p)
{
    put(p);
}

EXPORT void *calloc(size_t count, size_t size)
{
    size_t bytes;
    if (!kc_mul_size(count, size, &bytes)) {
        return or_no_memory(NULL);
    }
    return get(bytes, KC_HEAP_ZERO);
}

EXPORT void *realloc(void *p, size_t size)
{
    if (p == NULL) {
        return get(size, 0);
    }
    if (size == 0) {
        put(p);
        return NULL;
    }
    return preload_in_arena(p) ? resize_small(p, size) : resize_other(p, size);
}

EXPORT void *reallocarray(void *p, size_t count, size_t size)
{
    size_t bytes;
    if (!kc_mul_size(count, size, &bytes)) {
        return or_no_memory(NULL);
    }
    return realloc(p, bytes);
}

EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
    if (!kc_is_pow2(align) || align % sizeof(void *) != 0) {
        return EINVAL;
    }
    void *p = get_aligned(align, size);
    if (p == NULL) {
        return ENOMEM;
    }
    *out = p;
    return 0;
}

EXPORT void *memalign(size_t align, size_t size)
{
    if (!kc_is_pow2(align)) {
        errno = EINVAL;
        return NULL;
    }
    return or_no_memory(get_aligned(align, size));
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
    return memalign(align, size);
}

EXPORT void *valloc(size_t size)
{
    return or_no_memory(get_aligned(KC_FRAME_BYTES, size));
}

EXPORT void *pvalloc(size_t size)
{
    size_t pages = size == 0 ? 1 : size / KC_FRAME_BYTES + (size % KC_FRAME_BYTES != 0);
    size_t bytes;
    if (!kc_mul_size(pages, KC_FRAME_BYTES, &bytes)) {
        return or_no_memory(NULL);
    }
    return or_no_memory(get_aligned(KC_FRAME_BYTES, bytes));
}

EXPORT size_t malloc_usable_size(void *p)
{
    return preload_in_arena(p) ? kc_heap_usable(preload_heap, p) : preload_big_usable(p);
}
