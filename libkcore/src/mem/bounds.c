/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a pointer points into, without knowing whose it is.
 *
 * The frame record says who claims the block: a cache (data: the cache), a heap (data: the heap,
 * word: how many frames, or how far behind the first), or nobody, and then the block is the object.
 *
 *     p -> frame record -> cache -> slab -> object p lies in -> its end, less p
 *
 * A cache is looked at under its lock, and found again under it: until then the slab may go.
 * Claims and words of a heap's run do not change while the block lives.
 */
#include <kc/bounds.h>

#include "cache_priv.h"
#include "heap_priv.h"

static size_t least(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

/* Bytes from the object's start to pa, and its start; false: no object is there. */
static bool in_object(struct kc_cache *c, kc_pa_t pa, const unsigned char **start, uint32_t *inside)
{
    struct kc_frame_found found;
    struct slab_view v;
    if (!kc_frame_find(c->frames, pa, &found) || found.owner != KC_FRAME_OWNER_CACHE ||
        found.data != (uintptr_t)c) {
        return false;
    }
    slab_view_make(c, found.record, found.base, &v);
    uint32_t offset = (uint32_t)kc_pa_diff(pa, found.base);
    *inside = offset % c->stride;
    *start = v.base + (offset - *inside);
    return offset / c->stride < v.objects && *inside < c->object_bytes;
}

/* Bytes to the end of the live object at pa; 0: none is there. */
static uint64_t reach_in_cache(struct kc_cache *c, kc_pa_t pa)
{
    const unsigned char *start = NULL;
    uint32_t inside = 0;
    uint64_t irq = kc_lock_acquire_irqsave(&c->lock);
    bool there = in_object(c, pa, &start, &inside);
    kc_lock_release_irqrestore(&c->lock, irq);
    /* Whether it lives is the cache's to say: a free one may be in a magazine. */
    return there && kc_cache_is_live(c, kc_tag_load(start)) ? c->object_bytes - inside : 0;
}

static uint64_t reach_in_run(const struct kc_frames *f, kc_pa_t pa,
                             const struct kc_frame_found *block)
{
    struct kc_frame_found first = *block;
    if ((block->data & HEAP_FURTHER) != 0) {
        uint64_t behind = (uint64_t)block->record->word << KC_FRAME_LOG2;
        kc_pa_t base = kc_pa(kc_pa_raw(block->base) - behind);
        if (!kc_frame_find(f, base, &first) || first.data != (block->data & ~HEAP_FURTHER)) {
            return 0;
        }
    }
    uint64_t end = kc_pa_raw(first.base) + ((uint64_t)first.record->word << KC_FRAME_LOG2);
    return end - kc_pa_raw(pa);
}

/* Through blocks of one owner, as far as n. */
static kc_status_t reach_in_frames(struct kc_frames *f, kc_pa_t pa, size_t n, uint64_t *bytes)
{
    struct kc_frame_info info;
    kc_frame_info(f, pa, &info);
    if (info.state != KC_FRAME_USED) {
        return info.state == KC_FRAME_FOREIGN ? KC_ERR_RANGE : KC_ERR_ABSENT;
    }
    uint16_t owner = info.owner;
    if (owner == KC_FRAME_OWNER_TABLE) {
        return KC_ERR_PERM;
    }
    do {
        uint64_t end = kc_pa_raw(info.base) + ((uint64_t)KC_FRAME_BYTES << info.order);
        *bytes = end - kc_pa_raw(pa);
        if (*bytes >= n) {
            break;
        }
        kc_frame_info(f, kc_pa(end), &info);
    } while (info.state == KC_FRAME_USED && info.owner == owner);
    return KC_OK;
}

kc_status_t kc_bounds_reach(struct kc_frames *f, const void *p, size_t n, size_t *reach)
{
    struct kc_frame_found found;
    kc_pa_t pa = kc_frame_ptr_pa(f, p);
    uint64_t bytes = 0;
    *reach = 0;
    if (!kc_frame_find(f, pa, &found)) {
        kc_status_t status = reach_in_frames(f, pa, n, &bytes);
        if (status != KC_OK) {
            return status;
        }
    } else if (!kc_tag_fits(p)) {
        return KC_ERR_ABSENT; /* of an owner before */
    } else if (found.owner == KC_FRAME_OWNER_CACHE) {
        bytes = reach_in_cache((struct kc_cache *)(uintptr_t)found.data, pa);
    } else if (found.owner == KC_FRAME_OWNER_HEAP) {
        bytes = reach_in_run(f, pa, &found);
    } else {
        /* An embedder's own allocator: the block is all that is known. */
        bytes = ((uint64_t)KC_FRAME_BYTES << found.order) - kc_pa_diff(pa, found.base);
    }
    *reach = least(bytes, n);
    return bytes != 0 ? KC_OK : KC_ERR_ABSENT;
}
