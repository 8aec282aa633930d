/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to pool.c, pool_check.c and white-box tests: the bookkeeping of a pool. */
#ifndef KC_POOL_PRIV_H
#define KC_POOL_PRIV_H

#include <kc/pool.h>

/* The state byte of a block that was handed out at least once. */
enum pool_state {
    POOL_FREE = 0x5a,
    POOL_LIVE = 0xa5,
    POOL_LOST = 0x3c
};

#define POOL_SHORT_MAX 65536u /* up to so many blocks, an index takes two bytes */

KC_INLINE bool pool_is_short(const struct kc_pool *p)
{
    return p->capacity <= POOL_SHORT_MAX;
}

KC_INLINE uint32_t pool_stack_get(const struct kc_pool *p, uint32_t slot)
{
    return pool_is_short(p) ? ((const uint16_t *)p->stack)[slot]
                            : ((const uint32_t *)p->stack)[slot];
}

KC_INLINE void pool_stack_set(struct kc_pool *p, uint32_t slot, uint32_t index)
{
    if (pool_is_short(p)) {
        ((uint16_t *)p->stack)[slot] = (uint16_t)index;
    } else {
        ((uint32_t *)p->stack)[slot] = index;
    }
}

KC_INLINE void *pool_block(const struct kc_pool *p, uint32_t index)
{
    return (void *)(p->base + index * p->stride);
}

KC_INLINE uint32_t pool_live(const struct kc_pool *p)
{
    return p->fresh - p->depth - p->lost;
}

#endif
