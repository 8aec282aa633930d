/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to pool.c, pool_check.c and white-box tests: the bookkeeping of a pool. */
#ifndef KC_POOL_PRIV_H
#define KC_POOL_PRIV_H

#include <kc/pool.h>

#define POOL_MOVE        8u /* blocks that move between a magazine and the stock at once */
#define POOL_HAS_MAGS    KC_MAG_IS_USED
#define POOL_HAS_STATE   KC_MAG_HAS_STATE
#define POOL_IS_FULL     (KC_HARDENING >= KC_HARDENING_FULL)
#define POOL_REDZONE     ((unsigned char)0xbb)
#define POOL_RANDOM_PICK 8u /* full: the next block is one of so many that were free longest */

KC_STATIC_ASSERT(KC_POOL_CPU_BLOCKS >= 2 * POOL_MOVE, "a flush leaves some, a refill has room");
KC_STATIC_ASSERT(KC_POOL_RUN_BLOCKS % POOL_MOVE == 0, "runs are taken in whole moves");

KC_INLINE void *pool_block(const struct kc_pool *p, uint32_t index)
{
    return (void *)(p->none.base + index * p->none.stride);
}

/* Index of the block at ptr, or something not below the capacity. */
KC_INLINE uintptr_t pool_index(const struct kc_pool *p, const void *ptr)
{
    return kc_mag_quotient((uintptr_t)ptr - p->none.base, p->none.inverse, p->none.shift);
}

KC_INLINE size_t pool_span(const struct kc_pool *p)
{
    return p->capacity * p->none.stride;
}

KC_INLINE bool pool_is_long(const struct kc_pool *p)
{
    return p->capacity > KC_POOL_SHORT_MAX;
}

KC_INLINE size_t pool_meta_bytes(const struct kc_pool *p)
{
    return pool_is_long(p) ? KC_POOL_META_LONG : KC_POOL_META_SHORT;
}

/* The block in a slot of the stock. */
KC_INLINE uint32_t pool_stock_get(const struct kc_pool *p, uint32_t slot)
{
#if POOL_HAS_STATE
    uint32_t index = ((const uint16_t *)p->stack)[slot];
    return pool_is_long(p) ? index | (uint32_t)p->stack_high[slot] << 16 : index;
#else
    return (uint32_t)pool_index(p, ((void *const *)p->stack)[slot]);
#endif
}

KC_INLINE void pool_stock_set(struct kc_pool *p, uint32_t slot, uint32_t index)
{
#if POOL_HAS_STATE
    ((uint16_t *)p->stack)[slot] = (uint16_t)index;
    if (pool_is_long(p)) {
        p->stack_high[slot] = (uint8_t)(index >> 16);
    }
#else
    ((void **)p->stack)[slot] = pool_block(p, index);
#endif
}

/* Slot of the i-th block of the stock from the bottom: at full it is a queue that goes round. */
KC_INLINE uint32_t pool_stock_slot(const struct kc_pool *p, uint32_t i)
{
    uint32_t slot = p->head + i;
    return slot < p->capacity ? slot : slot - p->capacity;
}

/* Free blocks that a CPU keeps. */
KC_INLINE uint32_t pool_kept(const struct kc_pool_cpu *m)
{
    uint32_t run = __atomic_load_n(&m->run, __ATOMIC_RELAXED);
    uint32_t end = __atomic_load_n(&m->run_end, __ATOMIC_RELAXED);
    return kc_mag_count(&m->mag) + (end - run);
}

KC_INLINE struct kc_pool_cpu *pool_own(const struct kc_pool *p, uint32_t cpu)
{
    return (struct kc_pool_cpu *)(void *)((unsigned char *)p->own +
                                          (size_t)cpu * KC_POOL_CPU_BYTES);
}

/* All that CPUs keep. */
KC_INLINE uint32_t pool_kept_all(const struct kc_pool *p)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; p->own != NULL && i < p->cpu_count; i++) {
        kept += pool_kept(pool_own(p, i));
    }
    return kept;
}

/* Blocks that are neither untouched, nor in the stock, nor lost: live or kept. */
KC_INLINE uint32_t pool_out(const struct kc_pool *p)
{
    return p->fresh - p->depth - p->lost;
}

#endif
