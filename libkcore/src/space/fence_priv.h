/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to fence.c, fence_check.c and white-box tests: states of a slot, its page, its fill. */
#ifndef KC_FENCE_PRIV_H
#define KC_FENCE_PRIV_H

#include <kc/fence.h>

#define FENCE_PAGE_BYTES ((uint64_t)KC_FRAME_BYTES)

/* Bits of kc_fence_slot.state. */
#define FENCE_LIVE      1u
#define FENCE_FREED     2u /* was live once, and is not */
#define FENCE_LET       4u /* its page was mapped by kc_fence_let() */
#define FENCE_LET_GUARD 8u /* so was the guard before it */

/* Address of the page of slot i; the guard before it is the page before. */
KC_INLINE uint64_t fence_page(const struct kc_fence *f, uint32_t i)
{
    return f->base + (2u * (uint64_t)i + 1) * FENCE_PAGE_BYTES;
}

/* What byte `at` of a slot's page is filled with, about the object. */
KC_INLINE unsigned char fence_fill(uint32_t at)
{
    return (unsigned char)(0xa5u ^ (at & 7u));
}

/* The page at that address as memory of the linear map; NULL: nothing is mapped. */
unsigned char *kc_fence_priv_memory(const struct kc_fence *f, uint64_t address);

/* First byte about the object of a live slot that is not as it was filled; PAGE_BYTES: none. */
uint32_t kc_fence_priv_clobbered(const struct kc_fence *f, uint32_t i);

#endif
