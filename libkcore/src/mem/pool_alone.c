/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pool: calls that are judged under the lock: of CPUs without a magazine, and all of them at
 * hardening full. The theory and P1 to P7 are in pool.c.
 */
#include "pool_priv.h"

/* Takes a block out of the stock, or a fresh one; *used says whether it was out before. */
KC_INLINE bool take(struct kc_pool *p, uint32_t *index, bool *used)
{
    bool ok = true;
    pool_enter(p);
    uint32_t depth = p->depth;
    *used = depth != 0;
#if POOL_IS_FULL
    *used = p->fresh == p->capacity;
    if (!*used) {
        *index = p->fresh++;
    } else if (depth != 0) {
        /* One of the first few in the queue; the first takes its place. */
        p->random = p->random * 6364136223846793005u + 1442695040888963407u;
        uint32_t few = depth < POOL_RANDOM_PICK ? depth : POOL_RANDOM_PICK;
        uint32_t slot = pool_stock_slot(p, (uint32_t)(p->random >> 33) % few);
        *index = pool_stock_get(p, slot);
        pool_stock_set(p, slot, pool_stock_get(p, p->head));
        p->head = pool_stock_slot(p, 1);
        pool_set_depth(p, depth - 1);
    } else {
        ok = false;
    }
#else
    if (KC_LIKELY(*used)) {
        *index = pool_stock_get(p, depth - 1);
        pool_set_depth(p, depth - 1);
    } else if (p->fresh < p->capacity) {
        *index = p->fresh++;
    } else {
        ok = false;
    }
#endif
    if (KC_LIKELY(ok)) {
#if POOL_HAS_STATE
        p->none.state[*index] = KC_MAG_LIVE;
#endif
#if POOL_IS_FULL
        p->peak_out = pool_out(p) > p->peak_out ? pool_out(p) : p->peak_out;
#endif
    } else {
        p->fail_count++;
    }
    pool_leave(p);
    return ok;
}

#if POOL_IS_FULL
/* Offset of the first byte from `from` to `to` that is not `value`; `to` if there is none. */
static size_t first_other(const unsigned char *b, size_t from, size_t to, unsigned char value)
{
    while (from < to && b[from] == value) {
        from++;
    }
    return from;
}

/* Takes a block that was written after its free out of use, and reports it. */
static KC_COLD void lose(struct kc_pool *p, uint32_t index)
{
    void *block = pool_block(p, index);
    pool_enter(p);
    p->none.state[index] = KC_MAG_LOST;
    p->lost++;
    pool_leave(p);
    kc_mag_tell(KC_NOTE_FREE, block, p->block_bytes, p);
    kc_pool_priv_raise(p, KC_MISUSE_CORRUPT, "kc_pool_alloc", block, 0, p->site[index]);
}
#endif

/* An allocation under the lock. */
void *kc_pool_priv_alloc_alone(struct kc_pool *p, const void *site)
{
    uint32_t index;
    bool used;
    while (take(p, &index, &used)) {
        unsigned char *block = (unsigned char *)pool_block(p, index);
        kc_mag_tell(KC_NOTE_ALLOC, block, p->block_bytes, p);
#if KC_TAG_IS_USED
        uint32_t last = kc_tag_take(block, p->block_bytes, p->none.stride, false);
#endif
#if POOL_IS_FULL
        if (used && first_other(block, 0, p->block_bytes, 0) != p->block_bytes) {
            lose(p, index);
            continue;
        }
        __builtin_memset(block + p->block_bytes, POOL_REDZONE, p->none.stride - p->block_bytes);
        p->site[index] = (uintptr_t)site;
#endif
#if KC_TAG_IS_USED
        block = (unsigned char *)kc_tag_give(block, p->block_bytes, p->none.stride, last, index,
                                             &p->tags);
#endif
        (void)site;
        return block;
    }
    return NULL;
}

struct verdict {
    kc_status_t status;
    enum kc_misuse_kind kind;
};

/* What ptr is to the pool, if it is no live block: index is of it, and the fresh bound is known. */
static struct verdict judge(const struct kc_pool *p, const void *ptr, uintptr_t index)
{
    struct verdict v = {KC_OK, KC_MISUSE_KIND_COUNT};
    /* Below base the difference wraps and is too large. */
    if ((uintptr_t)kc_tag_strip(ptr) - p->none.base >= pool_span(p)) {
        v.status = KC_ERR_RANGE;
        v.kind = KC_MISUSE_FOREIGN;
#if POOL_HAS_STATE
    } else if (index >= p->capacity) {
        v.status = KC_ERR_ALIGN;
        v.kind = KC_MISUSE_INTERIOR;
    } else if (index >= p->fresh || p->none.state[index] != KC_MAG_LIVE || !kc_tag_fits(ptr)) {
        v.status = KC_ERR_STATE;
        v.kind = KC_MISUSE_DOUBLE_FREE;
#else
    } else if (p->depth >= p->fresh) {
        (void)index;
        v.status = KC_ERR_STATE;
        v.kind = KC_MISUSE_DOUBLE_FREE;
#endif
    }
    return v;
}

static KC_COLD kc_status_t refuse(struct kc_pool *p, const struct verdict *v, const void *ptr)
{
    uint64_t found = (uintptr_t)ptr;
#if POOL_IS_FULL
    uintptr_t index = pool_index(p, ptr);
    found = index < p->fresh ? p->site[index] : found;
#endif
    kc_pool_priv_raise(p, v->kind, "kc_pool_free", ptr, p->none.base, found);
    return v->status;
}

#if POOL_HAS_MAGS && POOL_HAS_STATE
kc_status_t kc_pool_priv_look(struct kc_pool *p, const void *ptr, uintptr_t *known)
{
    pool_enter(p);
    struct verdict v = judge(p, ptr, pool_index(p, ptr));
    *known = p->fresh;
    pool_leave(p);
    return v.status == KC_OK ? KC_OK : refuse(p, &v, ptr);
}
#endif

/* A free under the lock. */
kc_status_t kc_pool_priv_free_alone(struct kc_pool *p, void *ptr, const void *site)
{
    uintptr_t index = pool_index(p, ptr);
    kc_status_t status = KC_OK;
    if (KC_UNLIKELY(ptr == NULL)) {
        return KC_OK;
    }
    pool_enter(p);
    struct verdict v = judge(p, ptr, index);
    if (KC_UNLIKELY(v.status != KC_OK)) {
        pool_leave(p);
        return refuse(p, &v, ptr);
    }
    ptr = kc_tag_strip(ptr);
#if KC_TAG_IS_USED
    uint32_t last = kc_tag_take(ptr, p->block_bytes, p->none.stride, true);
#endif
#if POOL_IS_FULL
    unsigned char *block = (unsigned char *)ptr;
    size_t clobbered = first_other(block, p->block_bytes, p->none.stride, POOL_REDZONE);
    __builtin_memset(block, 0, p->block_bytes);
    p->site[index] = (uintptr_t)site;
#endif
#if KC_TAG_IS_USED
    kc_tag_keep(ptr, p->block_bytes, p->none.stride, last);
#endif
    /* Before the push: from then on another CPU may be given the block. */
    kc_mag_tell(KC_NOTE_FREE, ptr, p->block_bytes, p);
#if POOL_HAS_STATE
    p->none.state[index] = KC_MAG_FREE;
#endif
    pool_stock_set(p, pool_stock_slot(p, p->depth), (uint32_t)index);
    pool_set_depth(p, p->depth + 1);
    pool_leave(p);
#if POOL_IS_FULL
    if (KC_UNLIKELY(clobbered != p->none.stride)) {
        kc_pool_priv_raise(p, KC_MISUSE_CORRUPT, "kc_pool_free", ptr, p->block_bytes, clobbered);
        status = KC_ERR_CORRUPT;
    }
#endif
    (void)site;
    return status;
}

/* ---- hardening full: the calls, of which each remembers its caller ------------------------------
 */

#if POOL_IS_FULL
KC_STATIC_ASSERT(!POOL_HAS_MAGS, "else the calls are in pool_calls.c");

static void *alloc_masked(struct kc_pool *p, const void *site)
{
    uint64_t irq = kc_plat_irq_save();
    void *block = kc_pool_priv_alloc_alone(p, site);
    kc_plat_irq_restore(irq);
    return block;
}

void *kc_pool_alloc(struct kc_pool *p)
{
    return alloc_masked(p, KC_MAG_SITE);
}

void *kc_pool_alloc_zeroed(struct kc_pool *p)
{
    void *block = alloc_masked(p, KC_MAG_SITE);
    if (block != NULL) {
        __builtin_memset(block, 0, p->block_bytes);
    }
    return block;
}

void *kc_pool_alloc_pinned(struct kc_pool *p)
{
    return kc_pool_priv_alloc_alone(p, KC_MAG_SITE);
}

void *kc_pool_alloc_slow(struct kc_pool_cpu *m)
{
    return kc_pool_priv_alloc_alone(m->pool, KC_MAG_SITE);
}

kc_status_t kc_pool_free(struct kc_pool *p, void *ptr)
{
    uint64_t irq = kc_plat_irq_save();
    kc_status_t status = kc_pool_priv_free_alone(p, ptr, KC_MAG_SITE);
    kc_plat_irq_restore(irq);
    return status;
}

kc_status_t kc_pool_free_pinned(struct kc_pool *p, void *ptr)
{
    return kc_pool_priv_free_alone(p, ptr, KC_MAG_SITE);
}

kc_status_t kc_pool_free_slow(struct kc_pool_cpu *m, void *ptr)
{
    return kc_pool_priv_free_alone(m->pool, ptr, KC_MAG_SITE);
}

static kc_status_t free_many(struct kc_pool *p, size_t n, void *const *ptr, const void *site)
{
    kc_status_t first = KC_OK;
    for (size_t i = 0; i < n; i++) {
        kc_status_t status = kc_pool_priv_free_alone(p, ptr[i], site);
        first = first == KC_OK ? status : first;
    }
    return first;
}

bool kc_pool_alloc_bulk(struct kc_pool *p, size_t n, void **out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = kc_pool_priv_alloc_alone(p, KC_MAG_SITE);
        if (out[i] == NULL) {
            kc_status_t status = free_many(p, i, out, KC_MAG_SITE);
            KC_CHECK(status == KC_OK);
            return false;
        }
    }
    return true;
}

kc_status_t kc_pool_free_bulk(struct kc_pool *p, size_t n, void *const *ptr)
{
    return free_many(p, n, ptr, KC_MAG_SITE);
}
#endif
