/* SPDX-License-Identifier: BSD-2-Clause */
/* What is known: of a block, of owners, of zones; and the blocks one by one. Theory: frame.c. */
#include "frame_priv.h"

/* ---- queries -------------------------------------------------------------------------------- */

/* The lock is held; head is a head. */
static void describe(const struct kc_frames *f, const struct kc_frame_span *s, uint32_t head,
                     struct kc_frame_info *out)
{
    const struct kc_frame *r = kc_frame_at(f, head);
    uint32_t kind = frame_load_kind(r);
    uint32_t word = frame_load_word(r);
    bool kept = frame_is_kept(kind, word);
    bool used = frame_kind_state(kind) == KC_FRAME_USED && !kept;
    out->base = frame_pa(frame_pfn(s, head));
    out->order = frame_kind_order(kind);
    out->state = kept ? KC_FRAME_FREE : frame_kind_state(kind);
    out->owner = kept ? KC_FRAME_OWNER_NONE : (uint16_t)frame_kind_owner(kind);
    out->refs = used ? (uint16_t)frame_refs(word) : 0;
    out->pins = used ? (uint16_t)frame_pins(word) : 0;
}

void kc_frame_info(struct kc_frames *f, kc_pa_t pa, struct kc_frame_info *out)
{
    uint64_t pfn = kc_pa_raw(pa) >> KC_FRAME_LOG2;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    const struct kc_frame_span *s = frame_span_of(f, pfn);
    if (s == NULL) {
        struct kc_frame_info foreign = {pa, 0, KC_FRAME_FOREIGN, KC_FRAME_OWNER_NONE, 0, 0};
        *out = foreign;
    } else if (frame_is_fresh(s, frame_record(s, pfn))) {
        struct kc_frame_info fresh = {frame_pa(kc_align_down(pfn, FRAME_CHUNK)),
                                      KC_FRAME_ORDER_MAX,
                                      KC_FRAME_FREE,
                                      KC_FRAME_OWNER_NONE,
                                      0,
                                      0};
        *out = fresh;
    } else {
        describe(f, s, frame_head(f, s, pfn), out);
    }
    kc_lock_release_irqrestore(&f->lock, irq);
}

uint16_t kc_frame_owner_of(struct kc_frames *f, kc_pa_t pa)
{
    struct kc_frame_info info;
    kc_frame_info(f, pa, &info);
    return info.owner;
}

uint64_t kc_frame_owner_frames(struct kc_frames *f, uint16_t owner)
{
    if (owner >= KC_FRAME_OWNER_COUNT) {
        return 0;
    }
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    uint64_t n = kc_frame_priv_owner_frames(f, owner);
    kc_lock_release_irqrestore(&f->lock, irq);
    return n;
}

const char *kc_frame_owner_name(uint16_t owner)
{
    static const char *const name[KC_FRAME_OWNER_FIRST_FREE] = {
        [KC_FRAME_OWNER_NONE] = "none",   [KC_FRAME_OWNER_TABLE] = "table",
        [KC_FRAME_OWNER_CACHE] = "cache", [KC_FRAME_OWNER_HEAP] = "heap",
        [KC_FRAME_OWNER_POOL] = "pool",   [KC_FRAME_OWNER_KERNEL] = "kernel",
        [KC_FRAME_OWNER_USER] = "user",   [KC_FRAME_OWNER_TRACE] = "trace",
        [KC_FRAME_OWNER_DMA] = "dma",     [KC_FRAME_OWNER_BAD] = "bad",
        [KC_FRAME_OWNER_TEST] = "test",
    };
    return owner < KC_FRAME_OWNER_FIRST_FREE ? name[owner] : "other";
}

/* ---- counts --------------------------------------------------------------------------------- */

/* Free blocks of a zone by order, fresh ones included. */
static void zone_blocks(const struct kc_frame_zone *z, uint64_t *blocks)
{
    for (uint32_t o = 0; o < KC_FRAME_ORDERS; o++) {
        blocks[o] = z->blocks[o];
    }
    blocks[KC_FRAME_ORDER_MAX] += z->fresh_frames >> KC_FRAME_ORDER_MAX;
}

void kc_frame_stats(struct kc_frames *f, struct kc_frame_stats *out)
{
    __builtin_memset(out, 0, sizeof(*out));
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    out->frame_count = f->frame_count;
    out->kept_frames = kc_frame_priv_cpu_kept(f);
    out->stock_frames = frame_stocked(f);
    out->free_blocks[0] = out->kept_frames + out->stock_frames;
    out->free_frames = f->free_frames + out->free_blocks[0];
    out->used_frames = f->frame_count - out->free_frames;
    out->peak_frames = f->peak_frames;
    for (uint32_t left = f->zones; left != 0; left &= left - 1) {
        const struct kc_frame_zone *z = f->zone[__builtin_ctz(left)];
        uint64_t blocks[KC_FRAME_ORDERS];
        zone_blocks(z, blocks);
        out->fresh_frames += z->fresh_frames;
        for (uint32_t o = 0; o < KC_FRAME_ORDERS; o++) {
            out->free_blocks[o] += blocks[o];
        }
    }
    out->alloc_count = f->alloc_count;
    out->free_count = f->free_count;
    for (uint32_t i = 0; i < f->cpu_count; i++) {
        out->alloc_count += __atomic_load_n(&f->cpu[i].allocs, __ATOMIC_RELAXED);
        out->free_count += __atomic_load_n(&f->cpu[i].frees, __ATOMIC_RELAXED);
    }
    out->fail_count = f->fail_count;
    out->table_bytes = f->table_bytes;
    out->bad_frames = f->owner_frames[KC_FRAME_OWNER_BAD];
    out->reclaim_count = f->reclaim_count;
    out->reclaimed_frames = f->reclaimed_frames;
    out->marks = f->marks;
    kc_lock_release_irqrestore(&f->lock, irq);

    uint64_t small = 0;
    for (uint32_t o = 0; o < KC_FRAME_ORDERS; o++) {
        out->frag_permille[o] =
            out->free_frames == 0 ? 0 : (uint16_t)(small * 1000 / out->free_frames);
        small += out->free_blocks[o] << o;
    }
}

/*
 * 1 - (1 + free / request) / blocks in thousandths: with one block left that is too small it is
 * negative or 0, want of memory; with many it comes near 1.
 */
static int16_t frag_index(uint64_t free, uint64_t blocks, uint32_t order)
{
    if (blocks == 0) {
        return 0;
    }
    return (int16_t)(1000 - (int64_t)((1000 + (free * 1000 >> order)) / blocks));
}

/* The figures that follow from the counts of free blocks. */
static void judge_orders(struct kc_frame_zone_stats *out)
{
    uint64_t blocks = 0;
    uint64_t small = 0;
    out->largest = -1;
    for (uint32_t o = 0; o < KC_FRAME_ORDERS; o++) {
        struct kc_frame_order_stats *s = &out->order[o];
        blocks += s->free_blocks;
        out->largest = s->free_blocks != 0 ? (int32_t)o : out->largest;
        s->unusable_permille =
            out->free_frames == 0 ? 0 : (uint16_t)(small * 1000 / out->free_frames);
        small += s->free_blocks << o;
    }
    for (uint32_t o = 0; o < KC_FRAME_ORDERS; o++) {
        out->order[o].frag_index = -1000;
        if ((int32_t)o > out->largest) {
            out->order[o].frag_index = frag_index(out->free_frames, blocks, o);
        }
    }
}

/* A block of an order was split if a take began there or above, and ended below; merges likewise.
 */
static void steps(const struct kc_frame_zone *z, struct kc_frame_order_stats *order)
{
    uint64_t splits = 0;
    uint64_t merges = 0;
    for (uint32_t o = KC_FRAME_ORDERS; o-- > 0;) {
        splits += z->cut_from[o] - z->allocs[o];
        order[o].splits = splits;
    }
    for (uint32_t o = 0; o < KC_FRAME_ORDERS; o++) {
        merges += z->grown_from[o] - z->grown_to[o];
        order[o].merges = merges;
    }
}

bool kc_frame_next_zone(struct kc_frames *f, uint32_t *cursor, struct kc_frame_zone_stats *out)
{
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    uint32_t left = *cursor >= KC_FRAME_ZONES ? 0 : f->zones >> *cursor << *cursor;
    while (left != 0 && f->zone[__builtin_ctz(left)]->frames == 0) {
        left &= left - 1; /* all of it is bookkeeping */
    }
    if (left == 0) {
        kc_lock_release_irqrestore(&f->lock, irq);
        return false;
    }
    uint32_t number = (uint32_t)__builtin_ctz(left);
    const struct kc_frame_zone *z = f->zone[number];
    uint64_t blocks[KC_FRAME_ORDERS];
    zone_blocks(z, blocks);
    out->bits = KC_FRAME_BITS_MIN + number;
    out->frame_count = z->frames;
    out->free_frames = z->free_frames;
    out->fresh_frames = z->fresh_frames;
    for (uint32_t o = 0; o < KC_FRAME_ORDERS; o++) {
        out->order[o].free_blocks = blocks[o];
        out->order[o].allocs = z->allocs[o];
        out->order[o].fails = z->fails[o];
    }
    steps(z, out->order);
    kc_lock_release_irqrestore(&f->lock, irq);
    judge_orders(out);
    *cursor = number + 1;
    return true;
}

/* ---- blocks one by one ---------------------------------------------------------------------- */

/* The cursor is a frame number. */
bool kc_frame_next_used(struct kc_frames *f, uint64_t *cursor, struct kc_frame_info *out)
{
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    struct kc_frame_map *m = f->map;
    uint64_t pfn = *cursor;
    bool found = false;
    for (uint32_t i = frame_span_from(m, pfn); i < m->span_count && !found; i++) {
        const struct kc_frame_span *s = &frame_spans(m)[i];
        pfn = pfn < s->pfn ? s->pfn : pfn;
        while (pfn < s->pfn + s->count && !found) {
            uint32_t index = frame_record(s, pfn);
            if (frame_is_fresh(s, index)) {
                pfn = frame_pfn(s, s->fresh_end);
                continue;
            }
            struct kc_frame_info is;
            describe(f, s, index, &is);
            enum kc_frame_state state = is.state;
            found = state == KC_FRAME_USED || state == KC_FRAME_CLAIMED;
            if (found) {
                *out = is;
            }
            /* An inner record here means that blocks merged since the last call: step over it. */
            pfn += state == KC_FRAME_INNER ? 1 : (uint64_t)1 << is.order;
        }
    }
    *cursor = pfn;
    kc_lock_release_irqrestore(&f->lock, irq);
    return found;
}

/* ---- faults for tests ----------------------------------------------------------------------- */

void kc_frames_fail_run(struct kc_frames *f, uint64_t n, uint64_t times)
{
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    f->fail_after = times == 0 ? UINT64_MAX : n;
    f->fail_times = times;
    f->deaf = 0;
    /* Every allocation is counted: none goes past the lock. */
    __atomic_store_n(&f->faulty, f->fail_after != UINT64_MAX, __ATOMIC_RELAXED);
    kc_lock_release_irqrestore(&f->lock, irq);
}

void kc_frames_fail_after(struct kc_frames *f, uint64_t n)
{
    kc_frames_fail_run(f, n, 1);
}
