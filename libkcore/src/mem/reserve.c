/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reserve: blocks set aside. Theory.
 *
 * Nouns. A block is *held back* while it is in a slot: live for the heap, nobody's for users. It is
 * *out* from kc_reserve_alloc() to kc_reserve_free(), whoever of the two, heap or reserve, served
 * it: blocks are alike, and which ones are held back changes.
 *
 *     slot   | block | block | block |  -  |  -  |       count 5, have 3, so out is 2 or more
 *
 * Invariants
 *  S1  have <= count; slots 0 to have - 1 hold different live blocks of the heap, of the class that
 *      the reserve's size has.
 *  S2  count - have <= out: what is not held back is out. For a block leaves a slot only by being
 *      handed out, and a free fills a slot before it gives the heap anything.
 *
 * The promise follows from S2: if at most `count` are out, then have >= count - out, and an
 * allocation that makes it out + 1 <= count finds one.
 *
 * Cost and locking. One lock, interrupts masked, for a push or pop and the comparisons of a free
 * with all that is held back: a second free of a block that is held back would otherwise hold it
 * twice. The heap is called without it.
 *
 * Sources: Linux's mempool, whose users sleep where ours are told NULL.
 */
#include <kc/reserve.h>

#include "heap_priv.h"

static void raise(struct kc_reserve *r, enum kc_misuse_kind kind, const char *where,
                  const void *ptr, uint64_t expected, uint64_t found)
{
    struct kc_misuse_report report = {.kind = kind,
                                      .where = where,
                                      .object = r->name,
                                      .address = (uintptr_t)ptr,
                                      .expected = expected,
                                      .found = found};
    kc_misuse_raise(r->misuse, &report);
}

/* Puts a block into a free slot, out of everybody's reach; the lock is held, or nobody else is. */
static void hold_back(struct kc_reserve *r, void *block)
{
    kc_plat_note(KC_NOTE_FREE, (uintptr_t)block, kc_heap_granted(r->size), r);
    r->slot[r->have++] = block;
}

/* The reverse; NULL: there is none. */
static void *bring_out(struct kc_reserve *r)
{
    if (r->have == 0) {
        return NULL;
    }
    void *block = r->slot[--r->have];
    kc_plat_note(KC_NOTE_ALLOC, (uintptr_t)block, kc_heap_granted(r->size), r);
    return block;
}

static void give_all(struct kc_reserve *r)
{
    for (void *block = bring_out(r); block != NULL; block = bring_out(r)) {
        kc_status_t status = kc_heap_free(r->heap, block);
        KC_CHECK(status == KC_OK);
    }
}

kc_status_t kc_reserve_init(struct kc_reserve *r, const struct kc_reserve_config *config,
                            struct kc_heap *h)
{
    if (r == NULL || config == NULL || h == NULL || config->slot == NULL) {
        return KC_ERR_ARG;
    }
    if (config->count == 0 || config->count > KC_RESERVE_COUNT_MAX ||
        kc_heap_granted(config->size) == 0) {
        return KC_ERR_RANGE;
    }
    __builtin_memset(r, 0, sizeof(*r));
    kc_lock_init(&r->lock, "reserve", KC_RANK_RESERVE);
    r->heap = h;
    r->misuse = config->misuse;
    r->slot = config->slot;
    r->size = config->size;
    r->count = r->least = config->count;
    for (uint32_t i = 0;
         config->name != NULL && config->name[i] != 0 && i < KC_RESERVE_NAME_CHARS - 1; i++) {
        r->name[i] = config->name[i];
    }
    while (r->have < r->count) {
        void *block = kc_heap_alloc(h, r->size, 0);
        if (block == NULL) {
            give_all(r);
            return KC_ERR_NOMEM;
        }
        hold_back(r, block);
    }
    return KC_OK;
}

kc_status_t kc_reserve_fini(struct kc_reserve *r)
{
    uint64_t out = __atomic_load_n(&r->out, __ATOMIC_RELAXED);
    if (out != 0) {
        raise(r, KC_MISUSE_BUSY, __func__, NULL, 0, out);
        return KC_ERR_STATE;
    }
    give_all(r);
    return KC_OK;
}

/* One that is held back, or NULL: more was asked for than was set aside. */
static void *take_spare(struct kc_reserve *r)
{
    uint64_t irq = kc_lock_acquire_irqsave(&r->lock);
    void *block = bring_out(r);
    if (block != NULL) {
        r->least = r->have < r->least ? r->have : r->least;
        r->spare_count++;
        __atomic_fetch_add(&r->out, 1, __ATOMIC_RELAXED);
    } else {
        r->over_count++;
    }
    uint64_t out = __atomic_load_n(&r->out, __ATOMIC_RELAXED);
    kc_lock_release_irqrestore(&r->lock, irq);
    if (block == NULL) {
        raise(r, KC_MISUSE_OVERUSE, "kc_reserve_alloc", NULL, r->count, out + 1);
    }
    return block;
}

void *kc_reserve_alloc(struct kc_reserve *r, uint32_t flags)
{
    void *block = kc_heap_priv_alloc(r->heap, r->size, flags, KC_MAG_SITE);
    if (KC_LIKELY(block != NULL)) {
        __atomic_fetch_add(&r->out, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&r->heap_count, 1, __ATOMIC_RELAXED);
        return block;
    }
    if ((flags & ~(KC_HEAP_ZERO | KC_HEAP_ATOMIC)) != 0) {
        return NULL;
    }
    block = take_spare(r);
    if (block != NULL && (flags & KC_HEAP_ZERO) != 0) {
        __builtin_memset(block, 0, kc_heap_granted(r->size));
    }
    return block;
}

static bool is_held_back(const struct kc_reserve *r, const void *ptr)
{
    for (uint32_t i = 0; i < r->have; i++) {
        if (r->slot[i] == ptr) {
            return true;
        }
    }
    return false;
}

kc_status_t kc_reserve_free(struct kc_reserve *r, void *ptr)
{
    size_t have = kc_heap_usable(r->heap, ptr);
    if (have == 0) {
        return kc_heap_free(r->heap, ptr); /* which says what it is: NULL, or misuse */
    }
    if (have != kc_heap_granted(r->size)) {
        raise(r, KC_MISUSE_WRONG_SIZE, __func__, ptr, kc_heap_granted(r->size), have);
        return KC_ERR_ARG;
    }
    uint64_t irq = kc_lock_acquire_irqsave(&r->lock);
    bool twice = is_held_back(r, ptr);
    uint64_t out = __atomic_load_n(&r->out, __ATOMIC_RELAXED);
    bool good = !twice && out != 0;
    bool is_full = r->have == r->count;
    if (good) {
        __atomic_fetch_sub(&r->out, 1, __ATOMIC_RELAXED);
        if (!is_full) {
            hold_back(r, ptr);
        }
    }
    kc_lock_release_irqrestore(&r->lock, irq);
    if (!good) {
        raise(r, twice ? KC_MISUSE_DOUBLE_FREE : KC_MISUSE_WRONG_OWNER, __func__, ptr, 0, out);
        return twice ? KC_ERR_STATE : KC_ERR_PERM;
    }
    if (!is_full) {
        return KC_OK;
    }
    kc_status_t status = kc_heap_priv_free(r->heap, ptr, KC_MAG_SITE);
    if (KC_UNLIKELY(status != KC_OK)) { /* somebody freed it at the same time */
        __atomic_fetch_add(&r->out, 1, __ATOMIC_RELAXED);
    }
    return status;
}

void kc_reserve_stats(struct kc_reserve *r, struct kc_reserve_stats *out)
{
    uint64_t irq = kc_lock_acquire_irqsave(&r->lock);
    out->count = r->count;
    out->have = r->have;
    out->least = r->least;
    out->unused = 0;
    out->out = __atomic_load_n(&r->out, __ATOMIC_RELAXED);
    out->heap_count = __atomic_load_n(&r->heap_count, __ATOMIC_RELAXED);
    out->spare_count = r->spare_count;
    out->over_count = r->over_count;
    kc_lock_release_irqrestore(&r->lock, irq);
}

kc_status_t kc_reserve_check(struct kc_reserve *r, uint32_t *invariant)
{
    uint64_t irq = kc_lock_acquire_irqsave(&r->lock);
    uint32_t broken = r->have > r->count ? 1 : 0;
    for (uint32_t i = 0; broken == 0 && i < r->have; i++) {
        bool is_whole = kc_heap_usable(r->heap, r->slot[i]) == kc_heap_granted(r->size);
        for (uint32_t k = 0; k < i; k++) {
            is_whole = is_whole && r->slot[k] != r->slot[i];
        }
        broken = is_whole ? 0 : 1;
    }
    if (broken == 0 && r->count - r->have > __atomic_load_n(&r->out, __ATOMIC_RELAXED)) {
        broken = 2;
    }
    kc_lock_release_irqrestore(&r->lock, irq);
    if (broken != 0 && invariant != NULL) {
        *invariant = broken;
    }
    return broken == 0 ? KC_OK : KC_ERR_CORRUPT;
}
