/* SPDX-License-Identifier: BSD-2-Clause */
/* Deep validator of heap: judges H1 to H3 of heap.c and names the first that is broken. */
#include "heap_priv.h"

static kc_status_t broken(struct kc_heap_fault *where, uint32_t invariant, uint32_t index,
                          uint64_t expected, uint64_t found)
{
    if (where != NULL) {
        struct kc_heap_fault w = {invariant, index, expected, found, {0, 0, 0, 0}};
        *where = w;
    }
    return KC_ERR_CORRUPT;
}

/* H1. */
static kc_status_t check_classes(struct kc_heap *h, struct kc_heap_fault *where)
{
    uint32_t before = 0;
    for (uint32_t i = 0; i < KC_HEAP_CLASSES; i++) {
        const struct kc_cache *c = h->cache[i];
        uint32_t bytes = c != NULL ? c->object_bytes : heap_class_bytes(i);
        if (bytes != heap_class_bytes(i) || heap_class(bytes) != i || heap_class(before + 1) != i) {
            return broken(where, 1, i, heap_class_bytes(i), bytes);
        }
        if (c != NULL && (c < h->set->cache || c >= h->set->cache + h->set->count)) {
            return broken(where, 1, i, h->set->count, 0);
        }
        before = bytes;
    }
    struct kc_cache_fault fault = {0, 0, 0, 0};
    if (kc_cache_set_check(h->set, &fault) != KC_OK) {
        kc_status_t status = broken(where, 1, 0, fault.expected, fault.found);
        if (where != NULL) {
            where->cache = fault;
        }
        return status;
    }
    return KC_OK;
}

/* H2 for one frame block; adds a first one's frames to *frames. */
static kc_status_t check_block(const struct kc_heap *h, const struct kc_frame_found *b,
                               uint64_t *live, uint64_t *frames, struct kc_heap_fault *where)
{
    uint32_t index = kc_frame_index(h->frames, b->record);
    uint32_t word = b->record->word;
    uint32_t count = 1u << b->order;
    if ((b->data & HEAP_FURTHER) == 0) {
        /* The first block is the greatest digit of the run's count. */
        if (word == 0 || word > KC_FRAME_RUN_MAX || kc_log2_floor(word) != b->order) {
            return broken(where, 2, index, count, word);
        }
        *live += 1;
        *frames += word;
        return KC_OK;
    }
    struct kc_frame_found first;
    kc_pa_t base = kc_pa(kc_pa_raw(b->base) - ((uint64_t)word << KC_FRAME_LOG2));
    if (word == 0 || !kc_frame_find(h->frames, base, &first) || !kc_pa_eq(first.base, base) ||
        first.data != heap_claim_data(h) || word + count > first.record->word) {
        return broken(where, 2, index, word, count);
    }
    return KC_OK;
}

/* H2 and H3; the heap's lock is held, so that its runs stay as they are. */
static kc_status_t check_large(const struct kc_heap *h, struct kc_heap_fault *where)
{
    uint64_t cursor = 0;
    uint64_t live = 0;
    uint64_t frames = 0;
    uint64_t in_blocks = 0;
    struct kc_frame_info info;
    while (kc_frame_next_used(h->frames, &cursor, &info)) {
        struct kc_frame_found found;
        if (info.owner != KC_FRAME_OWNER_HEAP || !kc_frame_find(h->frames, info.base, &found) ||
            (found.data & ~HEAP_FURTHER) != heap_claim_data(h)) {
            continue;
        }
        in_blocks += (uint64_t)1 << found.order;
        kc_status_t status = check_block(h, &found, &live, &frames, where);
        if (status != KC_OK) {
            return status;
        }
    }
    if (in_blocks != frames || frames != h->large_frames) {
        return broken(where, 3, 0, h->large_frames, in_blocks != frames ? in_blocks : frames);
    }
    return live == h->large_live ? KC_OK : broken(where, 3, 0, h->large_live, live);
}

kc_status_t kc_heap_check(struct kc_heap *h, struct kc_heap_fault *where)
{
    kc_status_t status = check_classes(h, where);
    if (status != KC_OK) {
        return status;
    }
    uint64_t irq = kc_lock_acquire_irqsave(&h->lock);
    status = check_large(h, where);
    kc_lock_release_irqrestore(&h->lock, irq);
    return status;
}
