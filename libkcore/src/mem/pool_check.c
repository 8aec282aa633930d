/* SPDX-License-Identifier: BSD-2-Clause */
/* Deep validator of pool: judges P1 to P5 of pool.c and names the first that is broken. */
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

/* P1 and P4. */
static kc_status_t check_bounds(const struct kc_pool *p, struct kc_pool_fault *where)
{
    if (p->fresh > p->capacity || (uint64_t)p->depth + p->lost > p->fresh) {
        return broken(where, 1, 0, p->fresh, (uint64_t)p->depth + p->lost);
    }
    uintptr_t stack = (uintptr_t)p->stack;
    uintptr_t state = (uintptr_t)p->state;
    size_t slot = pool_is_short(p) ? 2 : 4;
    if (stack != p->base + p->capacity * p->stride || state != stack + p->capacity * slot ||
        state + p->capacity - p->base > p->memory_bytes) {
        return broken(where, 4, 0, p->memory_bytes, state + p->capacity - p->base);
    }
    return KC_OK;
}

/* P3. */
static kc_status_t check_states(const struct kc_pool *p, struct kc_pool_fault *where)
{
    uint32_t free = 0;
    uint32_t lost = 0;
    for (uint32_t i = 0; i < p->fresh; i++) {
        free += p->state[i] == POOL_FREE;
        lost += p->state[i] == POOL_LOST;
        if (p->state[i] != POOL_FREE && p->state[i] != POOL_LOST && p->state[i] != POOL_LIVE) {
            return broken(where, 3, i, POOL_LIVE, p->state[i]);
        }
    }
    if (free != p->depth || lost != p->lost) {
        return broken(where, 3, p->fresh, p->depth, free);
    }
    return KC_OK;
}

/*
 * P2. Each index once: a block's state byte is marked while the stack is walked, and put back
 * after, which is why the validator holds the lock and takes no const pool.
 */
static kc_status_t check_stack(struct kc_pool *p, struct kc_pool_fault *where)
{
    const uint8_t marked = 0xff;
    kc_status_t status = KC_OK;
    uint32_t seen = 0;
    while (seen < p->depth && status == KC_OK) {
        uint32_t index = pool_stack_get(p, seen);
        if (index >= p->fresh || p->state[index] != POOL_FREE) {
            status = broken(where, 2, seen, POOL_FREE, index >= p->fresh ? index : p->state[index]);
        } else {
            p->state[index] = marked;
            seen++;
        }
    }
    while (seen-- > 0) {
        p->state[pool_stack_get(p, seen)] = POOL_FREE;
    }
    return status;
}

/* P5; the body is told that the bytes are looked at. */
static kc_status_t check_contents(const struct kc_pool *p, struct kc_pool_fault *where)
{
#if KC_HARDENING >= KC_HARDENING_FULL
    for (uint32_t i = 0; i < p->fresh; i++) {
        const unsigned char *b = (const unsigned char *)pool_block(p, i);
        if (p->state[i] != POOL_FREE) {
            continue;
        }
        size_t at = 0;
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
    status = status == KC_OK ? check_states(p, where) : status;
    status = status == KC_OK ? check_stack(p, where) : status;
    status = status == KC_OK ? check_contents(p, where) : status;
    if (locked) {
        kc_lock_release_irqrestore(&p->lock, irq);
    }
    return status;
}
