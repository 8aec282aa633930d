/* SPDX-License-Identifier: BSD-2-Clause */
/* Deep validator of fence: judges N1 to N3 of fence.c and names the first that is broken. */
#include "fence_priv.h"

static kc_status_t broken(struct kc_fence_fault *where, uint32_t invariant, uint32_t index,
                          uint64_t expected, uint64_t found)
{
    if (where != NULL) {
        struct kc_fence_fault w = {invariant, index, expected, found};
        *where = w;
    }
    return KC_ERR_CORRUPT;
}

static bool is_mapped(const struct kc_fence *f, uint64_t page)
{
    return kc_fence_priv_memory(f, page) != NULL;
}

/* N1, and N3 of one slot; then N2 of the guard before it. */
static kc_status_t check_slot(const struct kc_fence *f, uint32_t i, struct kc_fence_fault *where)
{
    const struct kc_fence_slot *s = &f->slot[i];
    uint32_t pages = s->state & (FENCE_LIVE | FENCE_LET);
    bool mapped = is_mapped(f, fence_page(f, i));
    if (pages == (FENCE_LIVE | FENCE_LET) || mapped != (pages != 0)) {
        return broken(where, 1, i, pages, mapped);
    }
    bool guard = is_mapped(f, fence_page(f, i) - FENCE_PAGE_BYTES);
    if (guard != ((s->state & FENCE_LET_GUARD) != 0)) {
        return broken(where, 2, i, s->state, guard);
    }
    if ((s->state & FENCE_LIVE) != 0) {
        if (s->bytes == 0 || (uint64_t)s->offset + s->bytes > KC_FRAME_BYTES) {
            return broken(where, 3, i, KC_FRAME_BYTES, s->offset);
        }
        uint32_t at = kc_fence_priv_clobbered(f, i);
        if (at != KC_FRAME_BYTES) {
            return broken(where, 3, i, KC_FRAME_BYTES, at);
        }
    }
    return KC_OK;
}

static kc_status_t check_all(const struct kc_fence *f, struct kc_fence_fault *where)
{
    uint32_t live = 0;
    uint32_t let = f->let_last;
    for (uint32_t i = 0; i < f->slot_count; i++) {
        uint32_t state = f->slot[i].state;
        kc_status_t status = check_slot(f, i, where);
        if (status != KC_OK) {
            return status;
        }
        live += (state & FENCE_LIVE) != 0;
        let += (state & FENCE_LET) != 0;
        let += (state & FENCE_LET_GUARD) != 0;
    }
    if (is_mapped(f, fence_page(f, f->slot_count) - FENCE_PAGE_BYTES) != f->let_last ||
        let != f->let) {
        return broken(where, 2, f->slot_count, let, f->let);
    }
    return live == f->live ? KC_OK : broken(where, 3, f->slot_count, live, f->live);
}

kc_status_t kc_fence_check(struct kc_fence *f, struct kc_fence_fault *where)
{
    kc_lock_acquire(&f->lock);
    kc_status_t status = check_all(f, where);
    kc_lock_release(&f->lock);
    return status;
}
