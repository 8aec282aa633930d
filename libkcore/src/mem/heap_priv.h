/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Private to heap.c, heap_check.c, what is built on heaps, and white-box tests: size classes,
 * claims of large blocks, and calls of a site.
 */
#ifndef KC_HEAP_PRIV_H
#define KC_HEAP_PRIV_H

#include <kc/heap.h>

#define HEAP_STEP_MAX   128u /* up to here, classes are 8 bytes apart */
#define HEAP_STEP_COUNT (HEAP_STEP_MAX / 8u)
#define HEAP_STEP_LOG2  7u

/*
 * Class of a size, 1 to KC_HEAP_SMALL_MAX. A size less one has its highest bit at l; its class is
 * told by the three bits below it. Up to STEP_MAX all are taken as of one doubling, the first.
 */
KC_INLINE size_t heap_class(uint32_t size)
{
    size_t l = kc_log2_floor((size - 1) | (HEAP_STEP_MAX - 1));
    return l * 8 + ((size - 1) >> (l - 3)) - (size_t)8 * (HEAP_STEP_LOG2 - 1);
}

/* Block size of a class. */
KC_INLINE uint32_t heap_class_bytes(uint32_t index)
{
    if (index < HEAP_STEP_COUNT) {
        return (index + 1) * 8;
    }
    uint32_t log2 = HEAP_STEP_LOG2 + (index - HEAP_STEP_COUNT) / 8;
    return (9 + (index - HEAP_STEP_COUNT) % 8) << (log2 - 3);
}

/*
 * What the heap claims the frame blocks of a large block with: itself, and in bit 0 whether it is a
 * further one of the run. The word of the first is the frames of the run; of a further one, how
 * many frames it is behind the first.
 */
#define HEAP_FURTHER ((uint64_t)1)

KC_INLINE uint64_t heap_claim_data(const struct kc_heap *h)
{
    return (uintptr_t)h;
}

KC_INLINE uint32_t heap_frames_for(size_t size)
{
    return (uint32_t)((size + KC_FRAME_BYTES - 1) >> KC_FRAME_LOG2);
}

/*
 * kc_heap_alloc() and kc_heap_free() of whoever called from that site, as reports at hardening full
 * say (KC_MAG_SITE): for what is built on heaps.
 */
void *kc_heap_priv_alloc(struct kc_heap *h, size_t size, uint32_t flags, const void *site);
kc_status_t kc_heap_priv_free(struct kc_heap *h, void *ptr, const void *site);
kc_status_t kc_heap_priv_free_erased(struct kc_heap *h, void *ptr, const void *site);

#endif
