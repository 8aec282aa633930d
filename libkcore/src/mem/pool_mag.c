/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pool: what a magazine cannot serve at once. The theory and P1 to P7 are in pool.c.
 *
 * Each of the two calls has a short form, which touches the lock only if nobody has it, and tells
 * nobody; so it calls nothing, and needs no stack. What it cannot do, its twin does, which waits
 * and tells.
 */
#include "pool_priv.h"

#if POOL_HAS_MAGS

KC_INLINE uint32_t peek_depth(const struct kc_pool *p)
{
    return __atomic_load_n(&p->depth, __ATOMIC_RELAXED);
}

/* ---- transfers between a magazine and the stock: the lock is held ------------------------------
 */

KC_STATIC_ASSERT(POOL_MOVE == 8, "transfers are written out");

#if POOL_HAS_STATE
/* n slots from `from` on become entries, from the lowest place on. */
KC_INLINE void load_long(struct kc_pool_cpu *m, const uint8_t *from, uint32_t n)
{
    uintptr_t base = m->base;
    size_t stride = m->stride;
#pragma GCC unroll 8
    for (uint32_t i = 0; i < n; i++) {
        uint32_t index; /* the fourth byte is of the next slot, or padding */
        __builtin_memcpy(&index, from + (size_t)i * 3, sizeof(index));
        index &= 0xffffffu;
        kc_pool_indexes(m)[i] = index;
        kc_pool_blocks(m)[i] = (void *)(base + index * stride);
    }
}

KC_INLINE void load_short(struct kc_pool_cpu *m, const uint16_t *from, uint32_t n)
{
    uintptr_t base = m->base;
    size_t stride = m->stride;
#pragma GCC unroll 8
    for (uint32_t i = 0; i < n; i++) {
        uint32_t index = from[i];
        kc_pool_indexes(m)[i] = index;
        kc_pool_blocks(m)[i] = (void *)(base + index * stride);
    }
}
#endif

/* The block in a slot of the stock. */
KC_INLINE struct kc_pool_found stock_found(const struct kc_pool *p, const struct kc_pool_cpu *m,
                                           uint32_t slot)
{
#if POOL_HAS_STATE
    return pool_found(m, pool_stock_get(p, slot));
#else
    (void)m;
    return (struct kc_pool_found){((void *const *)p->stack)[slot]};
#endif
}

/* n slots from that one on become the entries of the empty magazine. */
KC_INLINE void load(struct kc_pool_cpu *m, const struct kc_pool *p, size_t slot, uint32_t n)
{
#if POOL_HAS_STATE
    if (pool_is_long(p)) {
        load_long(m, (const uint8_t *)p->stack + slot * 3, n);
    } else {
        load_short(m, (const uint16_t *)p->stack + slot, n);
    }
#else
    __builtin_memcpy(kc_pool_blocks(m), (void *const *)p->stack + slot, n * sizeof(void *));
#endif
}

/* The reverse, of the topmost entries of the full magazine. Of long slots, each writes a byte of
 * the one behind it, which is not in use. */
KC_INLINE void store(struct kc_pool *p, size_t slot, struct kc_pool_cpu *m)
{
#if POOL_HAS_STATE
    const uint32_t *from = kc_pool_indexes(m) + KC_POOL_CPU_BLOCKS - POOL_MOVE;
    if (pool_is_long(p)) {
        uint8_t *to = (uint8_t *)p->stack + slot * 3;
#pragma GCC unroll 8
        for (uint32_t i = 0; i < POOL_MOVE; i++) {
            __builtin_memcpy(to + (size_t)i * 3, &from[i], sizeof(from[i]));
        }
        return;
    }
    uint16_t *to = (uint16_t *)p->stack + slot;
#pragma GCC unroll 8
    for (uint32_t i = 0; i < POOL_MOVE; i++) {
        to[i] = (uint16_t)from[i];
    }
#else
    __builtin_memcpy((void **)p->stack + slot, kc_pool_blocks(m) + KC_POOL_CPU_BLOCKS - POOL_MOVE,
                     POOL_MOVE * sizeof(void *));
#endif
}

/* Fresh blocks for this CPU: of the `left` that there are a run, from which the first is taken. */
KC_INLINE struct kc_pool_found take_run(struct kc_pool *p, struct kc_pool_cpu *m, uint32_t left)
{
    uint32_t first = p->fresh;
    uint32_t n = left < p->run_blocks ? left : p->run_blocks;
#if POOL_HAS_STATE
    /* A whole run, however many are taken: behind them nobody has written yet, or is padding. */
    uint64_t word = KC_MAG_FREE * UINT64_C(0x0101010101010101);
    uint8_t *state = m->state + first;
    KC_FORGET(word);
    if (KC_LIKELY(kc_is_aligned((uintptr_t)state, sizeof(word)))) {
#pragma GCC unroll 8
        for (uint32_t i = 0; i < KC_POOL_RUN_BLOCKS / sizeof(word); i++) {
            ((uint64_t *)(void *)state)[i] = word;
        }
    } else { /* CPUs without a magazine took blocks one by one; volatile: no call of memset() */
        for (uint32_t i = 0; i < KC_POOL_RUN_BLOCKS; i++) {
            ((volatile uint8_t *)state)[i] = KC_MAG_FREE;
        }
    }
    m->known = first + n;
#endif
    p->fresh = first + n;
    m->run = first + 1;
    __atomic_store_n(&m->run_left, (uint16_t)(n - 1), __ATOMIC_RELAXED);
    return pool_found(m, first);
}

/* The first block of the CPU's run; of the next few, entries into the empty magazine. No lock. */
KC_INLINE struct kc_pool_found take_of_run(struct kc_pool_cpu *m)
{
    uint32_t left = m->run_left;
    uint32_t n = left < POOL_MOVE_RUN ? left : POOL_MOVE_RUN;
    KC_FORGET(n); /* or it is found twice, for the narrow field too */
    uint32_t last = m->run + n - 1;
    size_t stride = m->stride;
    uintptr_t block = m->base + last * stride;
    /* The lowest is to be popped first. Always so many: what is too much lies above the count. */
#pragma GCC unroll 4
    for (uint32_t i = 0; i < POOL_MOVE_RUN; i++, block -= stride) {
        kc_pool_blocks(m)[i] = (void *)block;
#if POOL_HAS_STATE
        kc_pool_indexes(m)[i] = last - i;
#endif
    }
    m->run += n;
    __atomic_store_n(&m->run_left, (uint16_t)(left - n), __ATOMIC_RELAXED);
    kc_mag_set_count(&m->mag, n - 1);
    return kc_pool_entry(m, n - 1);
}

/*
 * A block for the CPU, whose magazine is empty, and more into that: from the stock, as long as it
 * has some, else from a run. False if there is none.
 */
KC_INLINE bool take_held(struct kc_pool *p, struct kc_pool_cpu *m, uint32_t refill,
                         struct kc_pool_found *found)
{
    uint32_t depth = p->depth;
    if (KC_LIKELY(depth >= refill)) {
        load(m, p, depth - refill, refill);
        *found = kc_pool_entry(m, refill - 1);
        pool_set_depth(p, depth - refill);
        kc_mag_set_count(&m->mag, refill - 1);
    } else if (depth != 0) {
        /* Where few are left, each CPU takes but one. */
        pool_set_depth(p, depth - 1);
        *found = stock_found(p, m, depth - 1);
    } else if (m->run_left != 0) {
        KC_FORGET(m); /* who finds none has compared, not loaded */
        __atomic_store_n(&m->run_left, m->run_left - 1, __ATOMIC_RELAXED);
        *found = pool_found(m, m->run++);
    } else {
        uint32_t left = p->capacity - p->fresh;
        if (KC_UNLIKELY(left == 0)) {
            p->fail_count++;
            return false;
        }
        *found = take_run(p, m, left);
    }
    return true;
}

/* More entries than blocks: wrong frees that nothing noticed (off), or that raced. */
static KC_COLD KC_NORETURN void overflowed(void)
{
    KC_PANIC("more frees than blocks reached a pool's stock");
}

/* The topmost POOL_MOVE blocks of the full magazine go to the stock. */
KC_INLINE void flush_held(struct kc_pool *p, struct kc_pool_cpu *m)
{
    uint32_t depth = p->depth;
    if (KC_UNLIKELY(depth + POOL_MOVE > p->fresh)) {
        overflowed();
    }
    store(p, depth, m);
    pool_set_depth(p, depth + POOL_MOVE);
}

/* True if the lock must be held to take a block. */
KC_INLINE bool take_needs_lock(const struct kc_pool *p, const struct kc_pool_cpu *m)
{
    return m->run_left == 0 || peek_depth(p) != 0;
}

/* ---- the twins that wait, and tell ------------------------------------------------------------
 */

static __attribute__((noinline)) bool take(struct kc_pool *p, struct kc_pool_cpu *m,
                                           struct kc_pool_found *found)
{
    if (!take_needs_lock(p, m)) {
        *found = take_of_run(m);
        return true;
    }
    kc_lock_enter(&p->lock);
    bool took = take_held(p, m, POOL_MOVE_MASKED, found);
    kc_lock_leave(&p->lock);
    return took;
}

/* An entry was of a block that is not free: two wrong frees of it raced. It was dropped. */
static KC_COLD void tell_dropped(const struct kc_pool_cpu *m, struct kc_pool_found found)
{
#if POOL_HAS_STATE
    kc_pool_priv_raise(m->pool, KC_MISUSE_DOUBLE_FREE, "kc_pool_alloc", found.block, KC_MAG_FREE,
                       m->state[found.index]);
#else
    (void)m;
    (void)found;
#endif
}

static __attribute__((noinline)) void *alloc_twin(struct kc_pool_cpu *m)
{
    struct kc_pool *p = m->pool;
    m = kc_pool_here(p); /* `none` may be in its place while somebody listens */
    if (KC_UNLIKELY(pool_is_none(m))) {
        return kc_pool_priv_alloc_alone(p, NULL);
    }
    for (;;) {
        size_t count = kc_mag_count(&m->mag);
        struct kc_pool_found found;
        if (count == 0) {
            if (KC_UNLIKELY(!take(p, m, &found))) {
                return NULL;
            }
        } else {
            found = kc_pool_entry(m, count - 1);
            kc_mag_set_count(&m->mag, count - 1);
        }
        if (KC_LIKELY(kc_pool_hand_out(m, found))) {
            kc_mag_tell(KC_NOTE_ALLOC, found.block, p->block_bytes, p);
            return found.block;
        }
        tell_dropped(m, found);
    }
}

static __attribute__((noinline)) kc_status_t free_twin(struct kc_pool_cpu *m, void *ptr)
{
    struct kc_pool *p = m->pool;
    struct kc_pool_found found;
    m = kc_pool_here(p);
    if (KC_UNLIKELY(pool_is_none(m))) {
        return kc_pool_priv_free_alone(p, ptr, NULL);
    }
    if (KC_UNLIKELY(ptr == NULL)) {
        return KC_OK;
    }
    while (KC_UNLIKELY(!kc_pool_find(m, ptr, &found))) {
#if POOL_HAS_STATE
        kc_status_t status = kc_pool_priv_look(p, ptr, &m->known);
        if (status != KC_OK) {
            return status;
        }
#endif
    }
    size_t count = kc_mag_count(&m->mag);
    if (KC_LIKELY(count == KC_POOL_CPU_BLOCKS)) {
        kc_lock_enter(&p->lock);
        flush_held(p, m);
        kc_lock_leave(&p->lock);
        count -= POOL_MOVE;
    }
    kc_mag_tell(KC_NOTE_FREE, ptr, p->block_bytes, p);
    kc_pool_push(m, count, found);
    return KC_OK;
}

/* ---- for calls of many ------------------------------------------------------------------------
 */

bool kc_pool_priv_fill(struct kc_pool_cpu *m, uint32_t n)
{
    struct kc_pool *p = m->pool;
    if (kc_mag_count(&m->mag) != 0 || pool_is_none(m)) {
        return false;
    }
    kc_lock_enter(&p->lock);
    uint32_t depth = p->depth;
    bool enough = depth >= n;
    for (uint32_t i = 0; enough && i < n; i++) {
        kc_pool_set_entry(m, i, stock_found(p, m, depth - n + i));
    }
    if (enough) {
        pool_set_depth(p, depth - n);
        kc_mag_set_count(&m->mag, n);
    }
    kc_lock_leave(&p->lock);
    return enough;
}

bool kc_pool_priv_spill(struct kc_pool_cpu *m, uint32_t n)
{
    struct kc_pool *p = m->pool;
    if (kc_mag_count(&m->mag) != KC_POOL_CPU_BLOCKS) {
        return false;
    }
    kc_lock_enter(&p->lock);
    uint32_t depth = p->depth;
    if (KC_UNLIKELY(depth + n > p->fresh)) {
        overflowed();
    }
    for (uint32_t i = 0; i < n; i++) {
        struct kc_pool_found found = kc_pool_entry(m, KC_POOL_CPU_BLOCKS - n + i);
#if POOL_HAS_STATE
        pool_stock_set(p, depth + i, (uint32_t)found.index);
#else
        ((void **)p->stack)[depth + i] = found.block;
#endif
    }
    pool_set_depth(p, depth + n);
    kc_mag_set_count(&m->mag, KC_POOL_CPU_BLOCKS - n);
    kc_lock_leave(&p->lock);
    return true;
}

/* ---- the short forms --------------------------------------------------------------------------
 */

/* False: there is more to do than to take from the stock, at most `refill` blocks. */
KC_INLINE bool alloc_short(struct kc_pool_cpu *m, uint32_t refill, void **out)
{
    struct kc_pool *p = m->pool;
    struct kc_pool_found found;
    /* Entries may be left: where state is looked at, the topmost was not free. */
    if (KC_UNLIKELY(pool_is_none(m) || (POOL_HAS_STATE && kc_mag_count(&m->mag) != 0) ||
                    kc_mag_is_heard_locking())) {
        return false;
    }
    if (KC_UNLIKELY(!take_needs_lock(p, m))) {
        found = take_of_run(m);
    } else {
        if (KC_UNLIKELY(!kc_lock_try_quiet(&p->lock))) {
            return false;
        }
        bool took = take_held(p, m, refill, &found);
        KC_FORGET(p); /* no register is to keep where the lock is meanwhile */
        kc_lock_leave_quiet(&p->lock);
        if (KC_UNLIKELY(!took)) {
            *out = NULL;
            return true;
        }
    }
    if (KC_UNLIKELY(!kc_pool_hand_out(m, found))) {
        size_t count = kc_mag_count(&m->mag);
        kc_pool_set_entry(m, count, found); /* the twin finds it there, and tells */
        kc_mag_set_count(&m->mag, count + 1);
        return false;
    }
    *out = found.block;
    return true;
}

KC_QUICK void *kc_pool_alloc_slow(struct kc_pool_cpu *m)
{
    void *block;
    return KC_LIKELY(alloc_short(m, POOL_MOVE, &block)) ? block : alloc_twin(m);
}

__attribute__((noinline)) void *kc_pool_priv_alloc_twin(struct kc_pool_cpu *m, uint64_t irq)
{
    void *block = alloc_twin(m);
    kc_plat_irq_restore(irq);
    return block;
}

KC_QUICK void *kc_pool_priv_alloc_masked(struct kc_pool_cpu *m, uint64_t irq)
{
    void *block;
    if (KC_UNLIKELY(!alloc_short(m, POOL_MOVE_MASKED, &block))) {
        return kc_pool_priv_alloc_twin(m, irq);
    }
    return KC_LIKELY(kc_plat_irq_restore_quick(irq)) ? block : kc_pool_priv_alloc_done(block, irq);
}

/* False: there is more to do than to make room. */
KC_INLINE bool free_short(struct kc_pool_cpu *m, void *ptr)
{
    struct kc_pool *p = m->pool;
    struct kc_pool_found found;
    /* Where state is looked at, NULL is no live block, and elsewhere not given; without a magazine
     * there are never so many. */
    if (KC_UNLIKELY(kc_mag_count(&m->mag) != KC_POOL_CPU_BLOCKS || kc_mag_is_heard_locking() ||
                    !kc_pool_find(m, ptr, &found) || !kc_lock_try_quiet(&p->lock))) {
        return false;
    }
    flush_held(p, m);
    KC_FORGET(p);
    kc_lock_leave_quiet(&p->lock);
    kc_pool_push(m, KC_POOL_CPU_BLOCKS - POOL_MOVE, found);
    return true;
}

KC_QUICK kc_status_t kc_pool_free_slow(struct kc_pool_cpu *m, void *ptr)
{
    return KC_LIKELY(free_short(m, ptr)) ? KC_OK : free_twin(m, ptr);
}

__attribute__((noinline)) kc_status_t kc_pool_priv_free_twin(struct kc_pool_cpu *m, void *ptr,
                                                             uint64_t irq)
{
    kc_status_t status = free_twin(m, ptr);
    kc_plat_irq_restore(irq);
    return status;
}

KC_QUICK kc_status_t kc_pool_priv_free_masked(struct kc_pool_cpu *m, void *ptr, uint64_t irq)
{
    if (KC_UNLIKELY(!free_short(m, ptr))) {
        return kc_pool_priv_free_twin(m, ptr, irq);
    }
    return KC_LIKELY(kc_plat_irq_restore_quick(irq)) ? KC_OK : kc_pool_priv_free_done(irq);
}

#endif
