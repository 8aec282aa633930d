/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to pool*.c and white-box tests: the bookkeeping of a pool. */
#ifndef KC_POOL_PRIV_H
#define KC_POOL_PRIV_H

#include <kc/pool.h>
#include <kc/tag.h>

#define POOL_MOVE     8u /* blocks that move between a magazine and the stock at once */
#define POOL_MOVE_RUN 4u /* that move from a run, which is left but once */
/*
 * What a refill takes where interrupts are masked for it: where there are states each block is a
 * multiplication, and interrupts wait.
 */
#define POOL_MOVE_MASKED (KC_MAG_HAS_STATE ? 4u : POOL_MOVE)
#define POOL_HAS_MAGS    KC_MAG_IS_USED
#define POOL_HAS_STATE   KC_MAG_HAS_STATE
#define POOL_IS_FULL     (KC_HARDENING >= KC_HARDENING_FULL)
#define POOL_REDZONE     ((unsigned char)0xbb)
#define POOL_RANDOM_PICK 8u /* full: the next block is one of so many that were free longest */

KC_STATIC_ASSERT(KC_POOL_CPU_BLOCKS >= 2 * POOL_MOVE, "a flush leaves some, a refill has room");
KC_STATIC_ASSERT(KC_POOL_RUN_BLOCKS % POOL_MOVE == 0, "runs are taken in whole moves");
/* Bytes behind the stock where there are magazines; the rest of the padding is the states'. */
#if POOL_HAS_STATE
#define POOL_STACK_PAD 8u
KC_STATIC_ASSERT(KC_POOL_PAD_BYTES == POOL_STACK_PAD + KC_POOL_RUN_BLOCKS, "a word, and a run");
KC_STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "slots are the low bytes of an index");
#else
#define POOL_STACK_PAD 0u
#endif

KC_INLINE void *pool_block(const struct kc_pool *p, uint32_t index)
{
    return (void *)(p->none.base + index * p->none.stride);
}

/* Index of the block at ptr, or something not below the capacity. */
KC_INLINE uintptr_t pool_index(const struct kc_pool *p, const void *ptr)
{
    uintptr_t at = (uintptr_t)kc_tag_strip(ptr);
    return kc_mag_quotient(at - p->none.base, p->none.inverse, p->none.shift);
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

/* ---- the stock: slots of 2 or 3 bytes, or pointers ------------------------------------------- */

#if POOL_HAS_STATE
KC_INLINE uint8_t *pool_slot(const struct kc_pool *p, size_t slot)
{
    return (uint8_t *)p->stack + slot * (pool_is_long(p) ? 3 : 2);
}
#endif

/* The block in a slot. */
KC_INLINE uint32_t pool_stock_get(const struct kc_pool *p, uint32_t slot)
{
#if POOL_HAS_STATE
    const uint8_t *byte = pool_slot(p, slot);
    uint32_t index = byte[0] | (uint32_t)byte[1] << 8;
    return pool_is_long(p) ? index | (uint32_t)byte[2] << 16 : index;
#else
    return (uint32_t)pool_index(p, ((void *const *)p->stack)[slot]);
#endif
}

KC_INLINE void pool_stock_set(struct kc_pool *p, uint32_t slot, uint32_t index)
{
#if POOL_HAS_STATE
    uint8_t *byte = pool_slot(p, slot);
    byte[0] = (uint8_t)index;
    byte[1] = (uint8_t)(index >> 8);
    if (pool_is_long(p)) {
        byte[2] = (uint8_t)(index >> 16);
    }
#else
    ((void **)p->stack)[slot] = pool_block(p, index);
#endif
}

/* A block on its way, by its index. */
KC_INLINE struct kc_pool_found pool_found(const struct kc_pool_cpu *m, uint32_t index)
{
    struct kc_pool_found found;
    found.block = (void *)(m->base + index * m->stride);
#if POOL_HAS_STATE
    found.index = index;
#endif
    return found;
}

/* The reverse. */
KC_INLINE uint32_t pool_found_index(const struct kc_pool *p, struct kc_pool_found found)
{
#if POOL_HAS_STATE
    (void)p;
    return (uint32_t)found.index;
#else
    return (uint32_t)pool_index(p, found.block);
#endif
}

/* Slot of the i-th block of the stock from the bottom: at full it is a queue that goes round. */
KC_INLINE uint32_t pool_stock_slot(const struct kc_pool *p, uint32_t i)
{
    uint32_t slot = p->head + i;
    return slot < p->capacity ? slot : slot - p->capacity;
}

/* True if it is what CPUs without a magazine have. */
KC_INLINE bool pool_is_none(const struct kc_pool_cpu *m)
{
    return m == &m->pool->none;
}

/* Entries that there may be. */
KC_INLINE size_t pool_limit(const struct kc_pool_cpu *m)
{
#if POOL_HAS_STATE
    return pool_is_none(m) ? 0 : KC_POOL_CPU_BLOCKS;
#else
    return m->limit;
#endif
}

/* Free blocks that a CPU keeps. */
KC_INLINE uint32_t pool_kept(const struct kc_pool_cpu *m)
{
    return (uint32_t)kc_mag_count(&m->mag) + __atomic_load_n(&m->run_left, __ATOMIC_RELAXED);
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

/* The lock, but for a pool whose caller serialises. */
KC_INLINE void pool_enter(struct kc_pool *p)
{
    if ((p->flags & KC_POOL_UNLOCKED) == 0) {
        kc_lock_enter(&p->lock);
    }
}

KC_INLINE void pool_leave(struct kc_pool *p)
{
    if ((p->flags & KC_POOL_UNLOCKED) == 0) {
        kc_lock_leave(&p->lock);
    }
}

/* The depth is peeked at without the lock. */
KC_INLINE void pool_set_depth(struct kc_pool *p, uint32_t depth)
{
    __atomic_store_n(&p->depth, depth, __ATOMIC_RELAXED);
}

/* ---- the parts: life cycle and queries (pool.c), called forms (pool_calls.c), what a magazine
 * does not serve at once (pool_mag.c), calls under the lock, and all at hardening full
 * (pool_alone.c) --
 */

KC_COLD void kc_pool_priv_raise(struct kc_pool *p, enum kc_misuse_kind kind, const char *where,
                                const void *ptr, uint64_t expected, uint64_t found);

/*
 * The live block at ptr, under the lock: KC_OK; else what is wrong with it is reported.
 * `known` is set to the bound of the blocks ever taken.
 */
kc_status_t kc_pool_priv_look(struct kc_pool *p, const void *ptr, uintptr_t *known);

/*
 * Moves n blocks, fewer than POOL_MOVE, from the stock into the empty magazine of this CPU, or the
 * topmost n of a full one to the stock; or answers false: it is not empty (full), or the stock has
 * too few. Pinned.
 */
KC_NODISCARD bool kc_pool_priv_fill(struct kc_pool_cpu *m, uint32_t n);
KC_NODISCARD bool kc_pool_priv_spill(struct kc_pool_cpu *m, uint32_t n);

/* What kc_pool_alloc() and _free() do that the magazine does not serve, and the end of masking. */
void *kc_pool_priv_alloc_masked(struct kc_pool_cpu *m, uint64_t irq);
kc_status_t kc_pool_priv_free_masked(struct kc_pool_cpu *m, void *ptr, uint64_t irq);

/*
 * The same whatever there is to do beside: they wait for the lock, and tell. Not static, for of a
 * static function a compiler may rearrange the arguments, which then costs the quick way two moves.
 */
void *kc_pool_priv_alloc_twin(struct kc_pool_cpu *m, uint64_t irq);
kc_status_t kc_pool_priv_free_twin(struct kc_pool_cpu *m, void *ptr, uint64_t irq);

/* kc_plat_irq_restore(irq) where that takes a second step; returns the block, or KC_OK. */
void *kc_pool_priv_alloc_done(void *block, uint64_t irq);
kc_status_t kc_pool_priv_free_done(uint64_t irq);

/* Calls that are judged under the lock; site: who called. ptr may be NULL. */
void *kc_pool_priv_alloc_alone(struct kc_pool *p, const void *site);
kc_status_t kc_pool_priv_free_alone(struct kc_pool *p, void *ptr, const void *site);

#endif
