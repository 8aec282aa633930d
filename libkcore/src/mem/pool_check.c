/* SPDX-License-Identifier: BSD-2-Clause */
/* Deep validator of pool: judges P1 to P6 of pool.c and names the first that is broken. */
#include "pool_priv.h"

static kc_status_t broken(struct kc_pool_fault *where, uint32_t invariant, uint32_t index,
                          uint64_t expected, uint64_t found)
{
    if (where != NULL) {
        struct kc_pool_fault w = {invariant, index, expected, found};
        *where = w;
    }
    return KC_ERR_CORRUPT;
}

/* P1 and P6. */
static kc_status_t check_counts(const struct kc_pool *p, struct kc_pool_fault *where)
{
    uint64_t free = (uint64_t)p->depth + p->lost;
    for (uint32_t c = 0; c < p->cpu_count; c++) {
        const struct kc_pool_cpu *m = pool_own(p, c);
        if (kc_mag_count(&m->mag) > KC_POOL_CPU_BLOCKS || m->run_left > KC_POOL_RUN_BLOCKS) {
            return broken(where, 1, c, KC_POOL_CPU_BLOCKS, kc_mag_count(&m->mag));
        }
        uint32_t end = m->run_left != 0 ? m->run + m->run_left : 0;
#if POOL_HAS_STATE
        uintptr_t known = m->known;
#else
        uintptr_t known = p->fresh;
#endif
        if (known > p->fresh || end > known) {
            return broken(where, 6, c, p->fresh, known);
        }
        free += pool_kept(m);
    }
    if (p->fresh > p->capacity || free > p->fresh) {
        return broken(where, 1, p->cpu_count, p->fresh, free);
    }
    return KC_OK;
}

#if POOL_HAS_MAGS && POOL_HAS_STATE
/* P2, the two names of what is in magazines. */
static kc_status_t check_entries(const struct kc_pool *p, struct kc_pool_fault *where)
{
    for (uint32_t c = 0; c < p->cpu_count; c++) {
        struct kc_pool_cpu *m = pool_own(p, c);
        for (size_t i = 0; i < kc_mag_count(&m->mag); i++) {
            struct kc_pool_found found = kc_pool_entry(m, i);
            uintptr_t index = pool_index(p, found.block);
            if (found.index != index) {
                return broken(where, 2, (uint32_t)i, index, found.index);
            }
        }
    }
    return KC_OK;
}
#endif

/* P4. */
static kc_status_t check_bounds(const struct kc_pool *p, struct kc_pool_fault *where)
{
    uintptr_t end = p->none.base + pool_span(p);
    uintptr_t stack = (uintptr_t)p->stack;
    size_t meta = (size_t)p->capacity * pool_meta_bytes(p);
    uintptr_t own = (uintptr_t)p->own;
    if (p->cpu_count != 0) {
        if (own < end || own % KC_LINE_BYTES != 0) {
            return broken(where, 4, 0, end, own);
        }
        end = own + (size_t)p->cpu_count * KC_POOL_CPU_BYTES;
    }
    uintptr_t last = end + meta;
#if POOL_HAS_STATE
    uintptr_t state = (uintptr_t)p->none.state;
    uintptr_t pad = state - (last - p->capacity);
    if (state < stack || pad > (p->cpu_count == 0 ? 0 : POOL_STACK_PAD)) {
        return broken(where, 4, 1, last - p->capacity, state);
    }
    last += pad + (p->cpu_count == 0 ? 0 : KC_POOL_RUN_BLOCKS);
#endif
    if (stack < end || last - p->none.base > p->memory_bytes) {
        return broken(where, 4, 2, p->memory_bytes, last - p->none.base);
    }
    return KC_OK;
}

#if POOL_HAS_STATE
/* P3. */
static kc_status_t check_states(const struct kc_pool *p, struct kc_pool_fault *where)
{
    const uint8_t *state = p->none.state;
    uint32_t free = 0;
    uint32_t lost = 0;
    for (uint32_t i = 0; i < p->fresh; i++) {
        free += state[i] == KC_MAG_FREE;
        lost += state[i] == KC_MAG_LOST;
        if (state[i] != KC_MAG_FREE && state[i] != KC_MAG_LOST && state[i] != KC_MAG_LIVE) {
            return broken(where, 3, i, KC_MAG_LIVE, state[i]);
        }
    }
    uint32_t listed = p->depth + pool_kept_all(p);
    if (free != listed || lost != p->lost) {
        return broken(where, 3, p->fresh, listed, free);
    }
    return KC_OK;
}
#endif

/* Number i of the free blocks: of the stock, then of each CPU's magazine, then of its run. */
static uintptr_t free_at(const struct kc_pool *p, uint32_t i)
{
    if (i < p->depth) {
        return pool_stock_get(p, pool_stock_slot(p, i));
    }
    i -= p->depth;
    for (uint32_t c = 0; c < p->cpu_count; c++) {
        struct kc_pool_cpu *m = pool_own(p, c);
        size_t count = kc_mag_count(&m->mag);
        if (i < count) {
            return pool_found_index(p, kc_pool_entry(m, i));
        }
        if (i < pool_kept(m)) {
            return m->run + (i - count);
        }
        i -= pool_kept(m);
    }
    return UINTPTR_MAX;
}

/*
 * P2. Each index once: where there are states, a block's is marked while the free ones are walked,
 * and put back after, which is why the validator holds the lock and takes no const pool; else each
 * is looked for among those before it.
 */
static kc_status_t check_free(struct kc_pool *p, struct kc_pool_fault *where)
{
    uint32_t count = p->depth + pool_kept_all(p);
    kc_status_t status = KC_OK;
    uint32_t seen = 0;
    while (seen < count && status == KC_OK) {
        uintptr_t index = free_at(p, seen);
        bool fits = index < p->fresh;
#if POOL_HAS_STATE
        const uint8_t marked = 0xff;
        fits = fits && p->none.state[index] == KC_MAG_FREE;
        if (fits) {
            p->none.state[index] = marked;
        }
#else
        for (uint32_t i = 0; i < seen; i++) {
            fits = fits && free_at(p, i) != index;
        }
#endif
        if (!fits) {
            status = broken(where, 2, seen, KC_MAG_FREE, index);
        } else {
            seen++;
        }
    }
#if POOL_HAS_STATE
    while (seen-- > 0) {
        p->none.state[free_at(p, seen)] = KC_MAG_FREE;
    }
#endif
    return status;
}

/* P5; the body is told that the bytes are looked at. */
static kc_status_t check_contents(const struct kc_pool *p, struct kc_pool_fault *where)
{
#if POOL_IS_FULL
    for (uint32_t i = 0; i < p->fresh; i++) {
        const unsigned char *b = (const unsigned char *)pool_block(p, i);
        if (p->none.state[i] != KC_MAG_FREE) {
            continue;
        }
        size_t at = 0;
        if (!kc_tag_is_plain(b, p->block_bytes)) {
            return broken(where, 5, i, 0, 0);
        }
        kc_plat_note(KC_NOTE_ALLOC, (uintptr_t)b, p->block_bytes, p);
        while (at < p->block_bytes && b[at] == 0) {
            at++;
        }
        kc_plat_note(KC_NOTE_FREE, (uintptr_t)b, p->block_bytes, p);
        if (at != p->block_bytes) {
            return broken(where, 5, i, 0, at);
        }
    }
#else
    (void)p;
    (void)where;
#endif
    return KC_OK;
}

kc_status_t kc_pool_check(struct kc_pool *p, struct kc_pool_fault *where)
{
    bool locked = (p->flags & KC_POOL_UNLOCKED) == 0;
    uint64_t irq = locked ? kc_lock_acquire_irqsave(&p->lock) : 0;
    kc_status_t status = check_bounds(p, where);
    status = status == KC_OK ? check_counts(p, where) : status;
#if POOL_HAS_STATE
    status = status == KC_OK ? check_states(p, where) : status;
#endif
#if POOL_HAS_MAGS && POOL_HAS_STATE
    status = status == KC_OK ? check_entries(p, where) : status;
#endif
    status = status == KC_OK ? check_free(p, where) : status;
    status = status == KC_OK ? check_contents(p, where) : status;
    if (locked) {
        kc_lock_release_irqrestore(&p->lock, irq);
    }
    return status;
}
