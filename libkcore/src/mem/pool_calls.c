/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pool: the called forms, and calls of many, where there are magazines; at hardening full they are
 * in pool_alone.c. The theory is in pool.c.
 */
#include "pool_priv.h"

#if POOL_HAS_MAGS

/* ---- called forms -----------------------------------------------------------------------------
 */

/* This CPU's magazine, or what sends every call to where somebody is told. */
KC_INLINE struct kc_pool_cpu *unheard_here(const struct kc_pool *p)
{
    return p->cpu[kc_mag_place()];
}

KC_QUICK void *kc_pool_alloc_pinned(struct kc_pool *p)
{
    struct kc_pool_cpu *m = unheard_here(p);
    void *block;
    return KC_LIKELY(kc_pool_alloc_quick(m, &block)) ? block : kc_pool_alloc_slow(m);
}

KC_QUICK kc_status_t kc_pool_free_pinned(struct kc_pool *p, void *ptr)
{
    /* The state of a block tells it from NULL; where there is none, somebody must ask. */
    if (!POOL_HAS_STATE && KC_UNLIKELY(ptr == NULL)) {
        return KC_OK;
    }
    struct kc_pool_cpu *m = unheard_here(p);
    return KC_LIKELY(kc_pool_free_quick(m, ptr)) ? KC_OK : kc_pool_free_slow(m, ptr);
}

/*
 * What is not quick is another function's, and its last act: so the quick way saves no registers.
 * That goes for masking, too.
 */
KC_COLD void *kc_pool_priv_alloc_done(void *block, uint64_t irq)
{
    kc_plat_irq_restore_rest(irq);
    return block;
}

static KC_COLD void *alloc_late(struct kc_pool *p, uint64_t irq)
{
    irq = kc_plat_irq_save_rest(irq);
    void *block = kc_pool_alloc_here(kc_pool_here(p));
    kc_plat_irq_restore(irq);
    return block;
}

KC_QUICK void *kc_pool_alloc(struct kc_pool *p)
{
    uint64_t irq;
    if (KC_UNLIKELY(!kc_plat_irq_save_quick(&irq))) {
        return alloc_late(p, irq);
    }
    struct kc_pool_cpu *m = unheard_here(p);
    void *block;
    if (KC_UNLIKELY(!kc_pool_alloc_quick(m, &block))) {
        return kc_pool_priv_alloc_masked(m, irq);
    }
    return KC_LIKELY(kc_plat_irq_restore_quick(irq)) ? block : kc_pool_priv_alloc_done(block, irq);
}

KC_COLD kc_status_t kc_pool_priv_free_done(uint64_t irq)
{
    kc_plat_irq_restore_rest(irq);
    return KC_OK;
}

static KC_COLD kc_status_t free_late(struct kc_pool *p, void *ptr, uint64_t irq)
{
    irq = kc_plat_irq_save_rest(irq);
    kc_status_t status = kc_pool_free_pinned(p, ptr);
    kc_plat_irq_restore(irq);
    return status;
}

KC_QUICK kc_status_t kc_pool_free(struct kc_pool *p, void *ptr)
{
    if (!POOL_HAS_STATE && KC_UNLIKELY(ptr == NULL)) {
        return KC_OK;
    }
    uint64_t irq;
    if (KC_UNLIKELY(!kc_plat_irq_save_quick(&irq))) {
        return free_late(p, ptr, irq);
    }
    struct kc_pool_cpu *m = unheard_here(p);
    if (KC_UNLIKELY(!kc_pool_free_quick(m, ptr))) {
        return kc_pool_priv_free_masked(m, ptr, irq);
    }
    return KC_LIKELY(kc_plat_irq_restore_quick(irq)) ? KC_OK : kc_pool_priv_free_done(irq);
}

void *kc_pool_alloc_zeroed(struct kc_pool *p)
{
    void *block = kc_pool_alloc(p);
    if (block != NULL) {
        __builtin_memset(block, 0, p->block_bytes);
    }
    return block;
}

/* ---- many at once ---------------------------------------------------------------------------- */

#if !POOL_HAS_STATE
/* Pointers, a few: a call of memcpy() would cost as much as they do; four are in line. */
KC_INLINE void copy(void **to, void *const *from, size_t n)
{
    for (; n >= 4; n -= 4, to += 4, from += 4) {
        __builtin_memcpy(to, from, 4 * sizeof(*to));
    }
    for (; n != 0; n--, to++, from++) {
        void *block = *from;
        KC_FORGET(block); /* or a compiler calls memcpy() */
        *to = block;
    }
}
#endif

/* Up to n blocks that the magazine has; 0: it cannot serve the next one at once. */
KC_INLINE size_t pop_many(struct kc_pool_cpu *m, size_t n, void **out)
{
    size_t count = kc_mag_count(&m->mag);
    size_t most = n < count ? n : count;
    if (KC_UNLIKELY(kc_mag_is_heard())) {
        return 0;
    }
#if POOL_HAS_STATE
    const struct kc_pool_cpu fixed = *m;
    size_t i = 0;
    for (; i < most; i++) {
        struct kc_pool_found found = kc_pool_entry(m, count - 1 - i);
        if (KC_UNLIKELY(!kc_pool_hand_out(&fixed, found))) {
            break;
        }
        out[i] = found.block;
    }
    kc_mag_set_count(&m->mag, count - i);
    return i;
#else
    kc_mag_set_count(&m->mag, count - most);
    copy(out, kc_pool_blocks(m) + (count - most), most);
    return most;
#endif
}

/* Frees up to n blocks for which the magazine has room; 0: it cannot serve the next one at once. */
KC_INLINE size_t push_many(struct kc_pool_cpu *m, size_t n, void *const *ptr)
{
    size_t count = kc_mag_count(&m->mag);
    size_t room = pool_limit(m) - count;
    size_t most = n < room ? n : room;
    if (KC_UNLIKELY(kc_mag_is_heard())) {
        return 0;
    }
#if POOL_HAS_STATE
    const struct kc_pool_cpu fixed = *m;
    size_t i = 0;
    for (; i < most; i++) {
        struct kc_pool_found found;
        if (KC_UNLIKELY(!kc_pool_find(&fixed, ptr[i], &found))) {
            break;
        }
        fixed.state[found.index] = KC_MAG_FREE;
        kc_pool_set_entry(m, count + i, found);
    }
    kc_mag_set_count(&m->mag, count + i);
    return i;
#else
    copy(kc_pool_blocks(m) + count, ptr, most);
    kc_mag_set_count(&m->mag, count + most);
    return most;
#endif
}

/*
 * Where a whole transfer would be more than is left to do, just that is moved: so a CPU that asks
 * for as many as it frees, and these go into its magazine, comes to the lock no more.
 */
KC_QUICK bool kc_pool_alloc_bulk(struct kc_pool *p, size_t n, void **out)
{
    struct kc_pool_cpu *m = kc_pool_here(p);
    for (size_t done = 0; done < n;) {
        size_t left = n - done;
        size_t got = pop_many(m, left, out + done);
        if (got == 0 && !(left < POOL_MOVE && kc_pool_priv_fill(m, (uint32_t)left))) {
            out[done] = kc_pool_alloc_here(m);
            if (KC_UNLIKELY(out[done] == NULL)) {
                kc_status_t status = kc_pool_free_bulk(p, done, out);
                KC_CHECK(status == KC_OK);
                return false;
            }
            got = 1;
        }
        done += got;
    }
    return true;
}

KC_QUICK kc_status_t kc_pool_free_bulk(struct kc_pool *p, size_t n, void *const *ptr)
{
    struct kc_pool_cpu *m = kc_pool_here(p);
    kc_status_t first = KC_OK;
    for (size_t done = 0; done < n;) {
        size_t left = n - done;
        size_t gone = push_many(m, left, ptr + done);
        if (gone == 0 && !(left < POOL_MOVE && kc_pool_priv_spill(m, (uint32_t)left))) {
            kc_status_t status = kc_pool_free_here(m, ptr[done]);
            first = first == KC_OK ? status : first;
            gone = 1;
        }
        done += gone;
    }
    return first;
}

#endif
