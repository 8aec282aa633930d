/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame: the buddy allocator of page frames. Theory.
 *
 * Nouns. A *frame* is KC_FRAME_BYTES of RAM with a number, its pfn. A *record* is the struct
 * kc_frame that tells of one frame; records lie in one table, and a record's place there is its
 * *index*. A *span* is a run of frames that early memory had left free; its frames have consecutive
 * records. A span lies in one *zone*: below 4 GiB, or not. A *block* is 2^order frames whose first
 * pfn is a multiple of 2^order, within one span; its *head* is the record of its first frame, the
 * others are *inner*. Two blocks of one order are *buddies* if their pfns differ in that bit alone.
 *
 *     RAM     |kernel|  free ...................  |initrd|  free ....  |records|
 *     spans          |s0                          |      |s1          |
 *     s0      |edge|  chunk  |  chunk  |  chunk   |edge|
 *                     ^index of fresh  ............^fresh_end
 *
 * A *chunk* is a block of the greatest order. The ends of a span, smaller than a chunk, are cut
 * into blocks at init. Whole chunks in between are *fresh*: free, but their records hold whatever
 * RAM held. When a zone's lists have nothing large enough, the next fresh chunk's records are
 * cleared and it becomes a free block. So a machine with 1 TiB touches 16 KiB of table for each 4
 * MiB that it comes to use, and starting costs nothing for the rest.
 *
 * Why inner records are kept all zero: then the block of any frame is found by clearing one low bit
 * of its pfn after the other until the record there is no inner one. Between the head and the frame
 * all candidates lie in the block, hence are inner, so the first that is not is the head. That
 * takes as many loads as the block's order, needs no writes at allocation, and judges any address
 * at all.
 *
 * Invariants
 *  F1  Spans ascend, do not meet, do not cross 4 GiB; their indexes are consecutive from 0; the
 *      spans of zone z are span_first[z]..span_end[z]-1.
 *  F2  The records of a span that are not fresh are tiled by blocks: a head whose pfn is aligned to
 *      its order, then inner records; no block reaches over the edge of a span or into fresh ones.
 *  F3  fresh and fresh_end lie on chunk boundaries by pfn, inside the span, fresh <= fresh_end.
 *  F4  A block is FREE if and only if it is in the list of its zone and order; links are mutual;
 *      blocks[o] is the length of list o, and bit o of mask is set if and only if it is not 0.
 *  F5  No two buddies are free (but for two of the greatest order).
 *  F6  A FREE head has no owner and word 0. A USED head has an owner, one reference or more, and
 *      data 0. A CLAIMED head has an owner and data that is not 0.
 *  F7  An inner record has kind 0; the rest of it is 0 too, unless its block is CLAIMED.
 *  F8  free_frames of a zone is what its FREE blocks and fresh chunks hold, fresh_frames what the
 *      latter do; owner_frames[o] is what the blocks of owner o hold; frame_count is all of them.
 *
 * Cost and locking. One lock, rank FRAME, taken with interrupts masked. An operation makes at most
 * ORDER_MAX splits or merges; clearing the records of a chunk, 16 KiB, happens once for each chunk
 * ever. Contents are zeroed outside the lock. kc_frame_find() takes no lock: spans do not change,
 * `fresh` is published by release after the records are clear, and a head's kind by release after
 * its data.
 *
 * Notes to the body are made under the lock, so that allocations and frees of one frame are told in
 * the order in which they happen.
 *
 * Sources: D. E. Knuth, The Art of Computer Programming, volume 1, 2.5, algorithms R and S; the
 * unusable free space index is M. Gorman's (mm/compaction.c of Linux uses the same idea).
 */
#include "frame_priv.h"

/* ---- spans and records ---------------------------------------------------------------------- */

/* The span with that frame, or NULL. */
static struct kc_frame_span *span_of_pfn(const struct kc_frames *f, uint64_t pfn)
{
    uint32_t lo = 0;
    uint32_t hi = f->span_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (f->span[mid].pfn <= pfn) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (lo == 0) {
        return NULL;
    }
    struct kc_frame_span *s = &f->span[lo - 1];
    return pfn - s->pfn < s->count ? s : NULL;
}

/* The span with that record; there is one. */
static struct kc_frame_span *span_of_index(const struct kc_frames *f, uint32_t index)
{
    uint32_t lo = 0;
    uint32_t hi = f->span_count;
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (f->span[mid].index <= index) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    return &f->span[lo];
}

/* Head of the block with that frame; the record must have been written (see the theory). */
static uint32_t head_of(const struct kc_frames *f, const struct kc_frame_span *s, uint64_t pfn)
{
    uint64_t at = pfn;
    for (uint32_t order = 0;; order++) {
        uint32_t index = frame_record(s, at);
        if (frame_kind_state(frame_load_kind(&f->table[index])) != KC_FRAME_INNER) {
            return index;
        }
        at = kc_align_down(pfn, (uint64_t)2 << order);
        /* Only kc_frame_find(), racing with a change of a block that nobody owns, gets so far. */
        if (order >= KC_FRAME_ORDER_MAX || at < s->pfn) {
            return frame_record(s, pfn);
        }
    }
}

/* ---- lists ---------------------------------------------------------------------------------- */

static void list_push(struct kc_frames *f, struct kc_frame_zone *z, uint32_t index, uint32_t order)
{
    struct kc_frame *r = &f->table[index];
    uint32_t first = z->head[order];
    frame_store_next(r, first);
    frame_store_prev(r, FRAME_NONE);
    r->word = 0;
    frame_store_kind(r, frame_kind(KC_FRAME_FREE, order, KC_FRAME_OWNER_NONE));
    if (first != FRAME_NONE) {
        frame_store_prev(&f->table[first], index);
    }
    z->head[order] = index;
    z->mask |= 1u << order;
    z->blocks[order]++;
}

/* Takes a block out; its record still says FREE. A smashed link is caught before it spreads. */
static void list_del(struct kc_frames *f, struct kc_frame_zone *z, uint32_t index, uint32_t order)
{
    struct kc_frame *r = &f->table[index];
    uint32_t next = r->u.link.next;
    uint32_t prev = r->u.link.prev;
    if (prev == FRAME_NONE) {
        KC_CHECK(z->head[order] == index);
        z->head[order] = next;
    } else {
        KC_CHECK(prev < f->record_count && f->table[prev].u.link.next == index);
        frame_store_next(&f->table[prev], next);
    }
    if (next != FRAME_NONE) {
        KC_CHECK(next < f->record_count && f->table[next].u.link.prev == index);
        frame_store_prev(&f->table[next], prev);
    }
    if (z->head[order] == FRAME_NONE) {
        z->mask &= ~(1u << order);
    }
    z->blocks[order]--;
}

/* Makes a head an inner record (F7). */
static void make_inner(struct kc_frame *r)
{
    frame_store_kind(r, 0);
    frame_store_data(r, 0);
    r->word = 0;
}

/* ---- taking and giving blocks: the lock is held --------------------------------------------- */

/* Makes the zone's next fresh chunk a free block; false if it has none. */
static bool carve(struct kc_frames *f, struct kc_frame_zone *z)
{
    while (z->span_fresh < z->span_end) {
        struct kc_frame_span *s = &f->span[z->span_fresh];
        if (s->fresh < s->fresh_end) {
            uint32_t index = s->fresh;
            __builtin_memset(&f->table[index], 0, FRAME_CHUNK * sizeof(struct kc_frame));
            list_push(f, z, index, KC_FRAME_ORDER_MAX);
            /* Release: a finder that sees the new bound sees clear records below it. */
            __atomic_store_n(&s->fresh, index + FRAME_CHUNK, __ATOMIC_RELEASE);
            z->fresh_frames -= FRAME_CHUNK;
            return true;
        }
        z->span_fresh++;
    }
    return false;
}

/* A block of that order out of the zone, its head still to be written; FRAME_NONE if none. */
static uint32_t zone_take(struct kc_frames *f, struct kc_frame_zone *z, uint32_t order)
{
    if (z->mask >> order == 0 && !carve(f, z)) {
        return FRAME_NONE;
    }
    uint32_t have = order + (uint32_t)__builtin_ctz(z->mask >> order);
    uint32_t index = z->head[have];
    list_del(f, z, index, have);
    while (have > order) {
        have--;
        list_push(f, z, index + (1u << have), have);
    }
    z->free_frames -= (uint64_t)1 << order;
    return index;
}

/* The same out of the zones that flags allow, the upper one first: low memory is for devices. */
static uint32_t take(struct kc_frames *f, uint32_t order, uint32_t flags, uint32_t *zone)
{
    uint32_t z = (flags & KC_FRAME_DMA32) != 0 ? 1 : KC_FRAME_ZONES;
    while (z-- > 0) {
        uint32_t index = zone_take(f, &f->zone[z], order);
        if (index != FRAME_NONE) {
            *zone = z;
            return index;
        }
    }
    return FRAME_NONE;
}

static void mark_used(struct kc_frames *f, uint32_t index, uint32_t order, uint16_t owner)
{
    struct kc_frame *r = &f->table[index];
    frame_store_data(r, 0);
    r->word = FRAME_REF_ONE;
    frame_store_kind(r, frame_kind(KC_FRAME_USED, order, owner));
    f->owner_frames[owner] += (uint64_t)1 << order;
}

/* Gives a block back that is in no list, merging it with its buddies. */
static void give(struct kc_frames *f, const struct kc_frame_span *s, uint32_t index, uint32_t order)
{
    struct kc_frame_zone *z = &f->zone[frame_zone_of(s->pfn)];
    uint64_t pfn = frame_pfn(s, index);
    z->free_frames += (uint64_t)1 << order;
    while (order < KC_FRAME_ORDER_MAX) {
        uint64_t buddy_pfn = pfn ^ ((uint64_t)1 << order);
        /* The pair is whole in the span, or there is no buddy; fresh chunks are never one. */
        if (buddy_pfn < s->pfn || buddy_pfn - s->pfn + ((uint64_t)1 << order) > s->count) {
            break;
        }
        uint32_t buddy = frame_record(s, buddy_pfn);
        if (f->table[buddy].kind != frame_kind(KC_FRAME_FREE, order, KC_FRAME_OWNER_NONE)) {
            break;
        }
        list_del(f, z, buddy, order);
        make_inner(&f->table[pfn > buddy_pfn ? index : buddy]);
        if (pfn > buddy_pfn) {
            pfn = buddy_pfn;
            index = buddy;
        }
        order++;
    }
    list_push(f, z, index, order);
}

static void release(struct kc_frames *f, const struct kc_frame_span *s, uint32_t index)
{
    uint32_t kind = f->table[index].kind;
    uint32_t order = frame_kind_order(kind);
    kc_plat_note(KC_NOTE_FRAME_FREE, frame_pfn(s, index) << KC_FRAME_LOG2,
                 (uint64_t)KC_FRAME_BYTES << order, NULL);
    f->owner_frames[frame_kind_owner(kind)] -= (uint64_t)1 << order;
    give(f, s, index, order);
}

static uint64_t free_frames(const struct kc_frames *f)
{
    return f->zone[0].free_frames + f->zone[1].free_frames;
}

/* ---- judging what a caller says: the lock is held ------------------------------------------- */

#define ORDER_ANY UINT32_MAX

/* What is wrong with a request, for the misuse report once the lock is released. */
struct verdict {
    kc_status_t status;
    enum kc_misuse_kind misuse; /* KC_MISUSE_KIND_COUNT: none */
    uint64_t pa;
    uint64_t expected, found;
};

static const struct verdict fine = {KC_OK, KC_MISUSE_KIND_COUNT, 0, 0, 0};

static struct verdict bad(kc_status_t status, enum kc_misuse_kind misuse, kc_pa_t pa,
                          uint64_t expected, uint64_t found)
{
    struct verdict v = {status, misuse, kc_pa_raw(pa), expected, found};
    return v;
}

/* Finds the USED block that starts at pa. */
static struct verdict judge(const struct kc_frames *f, kc_pa_t pa, uint32_t order,
                            const struct kc_frame_span **span, uint32_t *index)
{
    uint64_t pfn = kc_pa_raw(pa) >> KC_FRAME_LOG2;
    const struct kc_frame_span *s = span_of_pfn(f, pfn);
    if (s == NULL) {
        return bad(KC_ERR_RANGE, KC_MISUSE_FOREIGN, pa, 0, 0);
    }
    if (frame_is_fresh(s, frame_record(s, pfn))) {
        return bad(KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE, pa, 0, 0);
    }
    uint32_t head = head_of(f, s, pfn);
    uint32_t kind = f->table[head].kind;
    uint64_t base = frame_pfn(s, head) << KC_FRAME_LOG2;
    if (frame_kind_state(kind) == KC_FRAME_FREE) {
        return bad(KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE, pa, base, 0);
    }
    if (base != kc_pa_raw(pa)) {
        return bad(KC_ERR_ALIGN, KC_MISUSE_INTERIOR, pa, base, kc_pa_raw(pa));
    }
    if (frame_kind_state(kind) == KC_FRAME_CLAIMED) {
        return bad(KC_ERR_PERM, KC_MISUSE_WRONG_OWNER, pa, frame_kind_owner(kind), 0);
    }
    if (order != ORDER_ANY && order != frame_kind_order(kind)) {
        return bad(KC_ERR_ARG, KC_MISUSE_WRONG_SIZE, pa, frame_kind_order(kind), order);
    }
    *span = s;
    *index = head;
    return fine;
}

/* Judges that the block may be freed now. */
static struct verdict judge_free(const struct kc_frames *f, kc_pa_t pa, uint32_t order,
                                 const struct kc_frame_span **span, uint32_t *index)
{
    struct verdict v = judge(f, pa, order, span, index);
    if (v.status == KC_OK && f->table[*index].word != FRAME_REF_ONE) {
        return bad(KC_ERR_STATE, KC_MISUSE_BUSY, pa, FRAME_REF_ONE, f->table[*index].word);
    }
    return v;
}

/* Releases the lock, reports, answers. */
static kc_status_t conclude(struct kc_frames *f, uint64_t irq, const struct verdict *v,
                            const char *where)
{
    kc_lock_release_irqrestore(&f->lock, irq);
    if (v->misuse != KC_MISUSE_KIND_COUNT) {
        struct kc_misuse_report r = {v->misuse, where, "frames", v->pa, v->expected, v->found};
        kc_misuse_raise(f->misuse, &r);
    }
    return v->status;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

/* Cuts written, clear records into the greatest aligned blocks and gives them to the lists. */
static void add_edge(struct kc_frames *f, const struct kc_frame_span *s, uint64_t pfn, uint64_t end)
{
    if (pfn == end) {
        return;
    }
    struct kc_frame_zone *z = &f->zone[frame_zone_of(pfn)];
    __builtin_memset(&f->table[frame_record(s, pfn)], 0,
                     (size_t)(end - pfn) * sizeof(struct kc_frame));
    while (pfn < end) {
        uint32_t order = kc_log2_floor(end - pfn);
        uint32_t aligned = pfn == 0 ? order : kc_log2_floor(pfn & (0 - pfn));
        order = aligned < order ? aligned : order;
        order = order < KC_FRAME_ORDER_MAX ? order : KC_FRAME_ORDER_MAX;
        list_push(f, z, frame_record(s, pfn), order);
        pfn += (uint64_t)1 << order;
    }
}

/* Appends one span; the range is in one zone. */
static void add_span(struct kc_frames *f, uint64_t pfn, uint64_t count)
{
    struct kc_frame_zone *z = &f->zone[frame_zone_of(pfn)];
    struct kc_frame_span *s = &f->span[f->span_count++];
    uint64_t end = pfn + count;
    uint64_t first_chunk = kc_align_down(pfn + FRAME_CHUNK - 1, FRAME_CHUNK);
    uint64_t last_chunk = kc_align_down(end, FRAME_CHUNK);

    s->pfn = pfn;
    s->count = (uint32_t)count;
    s->index = f->record_count;
    f->record_count += (uint32_t)count;
    f->frame_count += count;
    z->free_frames += count;
    z->span_end = f->span_count;
    if (first_chunk >= last_chunk) {
        s->fresh = s->fresh_end = s->index;
        add_edge(f, s, pfn, end);
        return;
    }
    s->fresh = frame_record(s, first_chunk);
    s->fresh_end = frame_record(s, last_chunk);
    z->fresh_frames += last_chunk - first_chunk;
    add_edge(f, s, pfn, first_chunk);
    add_edge(f, s, last_chunk, end);
}

/* Frames and ranges that early memory has free. */
static void count_free(const struct kc_early *early, uint64_t *frames, uint64_t *ranges)
{
    uint32_t cursor = 0;
    kc_pa_range_t r;
    *frames = 0;
    *ranges = 0;
    while (kc_early_next_free(early, &cursor, &r)) {
        *frames += r.size >> KC_FRAME_LOG2;
        *ranges += 1;
    }
}

/* Adds every free range of early memory, split at 4 GiB. */
static void add_ranges(struct kc_frames *f, const struct kc_early *early)
{
    uint32_t cursor = 0;
    kc_pa_range_t r;
    while (kc_early_next_free(early, &cursor, &r)) {
        uint64_t pfn = kc_pa_raw(r.base) >> KC_FRAME_LOG2;
        uint64_t count = r.size >> KC_FRAME_LOG2;
        if (pfn < FRAME_ZONE_LIMIT && count > FRAME_ZONE_LIMIT - pfn) {
            add_span(f, pfn, FRAME_ZONE_LIMIT - pfn);
            count -= FRAME_ZONE_LIMIT - pfn;
            pfn = FRAME_ZONE_LIMIT;
        }
        add_span(f, pfn, count);
    }
}

static void frames_clear(struct kc_frames *f, struct kc_misuse *misuse)
{
    __builtin_memset(f, 0, sizeof(*f));
    kc_lock_init(&f->lock, "frames", KC_RANK_FRAME);
    f->misuse = misuse;
    f->fail_after = UINT64_MAX;
    for (uint32_t z = 0; z < KC_FRAME_ZONES; z++) {
        for (uint32_t o = 0; o < KC_FRAME_ORDERS; o++) {
            f->zone[z].head[o] = FRAME_NONE;
        }
    }
}

kc_status_t kc_frames_init(struct kc_frames *f, struct kc_early *early, struct kc_misuse *misuse)
{
    if (f == NULL || early == NULL) {
        return KC_ERR_ARG;
    }
    if (!kc_early_is_open(early)) {
        return KC_ERR_STATE;
    }
    uint64_t frames;
    uint64_t ranges;
    count_free(early, &frames, &ranges);
    if (frames >= FRAME_NONE) {
        return KC_ERR_RANGE;
    }
    /* Taking the table may split one range, and the 4 GiB boundary one more. */
    uint64_t span_bytes = (ranges + 2) * sizeof(struct kc_frame_span);
    uint64_t bytes = span_bytes + frames * sizeof(struct kc_frame);
    if (bytes > SIZE_MAX / 2) {
        return KC_ERR_RANGE;
    }
    kc_pa_t table;
    kc_status_t status = kc_early_alloc(early, bytes, KC_LINE_BYTES, &table);
    if (status != KC_OK) {
        return status;
    }
    count_free(early, &frames, &ranges);
    if (frames == 0) {
        status = kc_early_free(early, table, bytes);
        KC_CHECK(status == KC_OK);
        return KC_ERR_NOMEM;
    }

    frames_clear(f, misuse);
    f->table_bytes = bytes;
    f->span = (struct kc_frame_span *)kc_plat_ram(table);
    f->table = (struct kc_frame *)(void *)((char *)(void *)f->span + span_bytes);
    add_ranges(f, early);
    f->zone[0].span_first = 0;
    f->zone[1].span_first = f->zone[0].span_end;
    if (f->zone[1].span_end == 0) {
        f->zone[1].span_end = f->zone[1].span_first;
    }
    f->zone[1].span_fresh = f->zone[1].span_first;
    kc_pa_t first = frame_pa(f->span[0].pfn);
    f->linear = (uintptr_t)kc_plat_ram(first) - (uintptr_t)kc_pa_raw(first);
    kc_early_close(early);
    return KC_OK;
}

kc_status_t kc_frames_fini(struct kc_frames *f)
{
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    struct verdict v = fine;
    uint64_t used = f->frame_count - free_frames(f);
    if (used != 0) {
        v = bad(KC_ERR_STATE, KC_MISUSE_BUSY, kc_pa(0), 0, used);
    }
    kc_status_t status = conclude(f, irq, &v, __func__);
    if (status == KC_OK) {
        frames_clear(f, f->misuse);
    }
    return status;
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* True if the fault that a test asked for is due. */
static bool fault_due(struct kc_frames *f)
{
    if (KC_LIKELY(f->fail_after == UINT64_MAX)) {
        return false;
    }
    if (f->fail_after != 0) {
        f->fail_after--;
        return false;
    }
    f->fail_times--;
    if (f->fail_times == 0) {
        f->fail_after = UINT64_MAX;
    }
    return true;
}

/* Makes 2^order frames at index into the used blocks of count's digits and free ones behind. */
static void cut_run(struct kc_frames *f, uint32_t zone, uint32_t index, uint32_t order,
                    uint32_t count, uint16_t owner)
{
    uint32_t at = 0;
    for (uint32_t o = order + 1; o-- > 0;) {
        if ((count >> o & 1) != 0) {
            mark_used(f, index + at, o, owner);
            at += 1u << o;
        }
    }
    /* The digits of what is left over ascend from here; none has a free buddy. */
    while (at < 1u << order) {
        uint32_t o = (uint32_t)__builtin_ctz(at);
        list_push(f, &f->zone[zone], index + at, o);
        f->zone[zone].free_frames += (uint64_t)1 << o;
        at += 1u << o;
    }
}

kc_status_t kc_frame_alloc_run(struct kc_frames *f, uint32_t count, uint32_t align, uint32_t flags,
                               uint16_t owner, kc_pa_t *out)
{
    if ((flags & ~(KC_FRAME_ZERO | KC_FRAME_DMA32)) != 0 || owner == KC_FRAME_OWNER_NONE ||
        owner >= KC_FRAME_OWNER_COUNT) {
        return KC_ERR_ARG;
    }
    if (count == 0 || count > KC_FRAME_RUN_MAX || align > KC_FRAME_ORDER_MAX) {
        return KC_ERR_RANGE;
    }
    uint32_t order = kc_log2_ceil(count);
    order = order > align ? order : align;
    uint64_t bytes = (uint64_t)count << KC_FRAME_LOG2;

    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    uint32_t zone = 0;
    uint32_t index = fault_due(f) ? FRAME_NONE : take(f, order, flags, &zone);
    if (index == FRAME_NONE) {
        f->fail_count++;
        kc_lock_release_irqrestore(&f->lock, irq);
        return KC_ERR_NOMEM;
    }
    cut_run(f, zone, index, order, count, owner);
    f->alloc_count++;
    uint64_t used = f->frame_count - free_frames(f);
    f->peak_frames = used > f->peak_frames ? used : f->peak_frames;
    kc_pa_t pa = frame_pa(frame_pfn(span_of_index(f, index), index));
    kc_plat_note(KC_NOTE_FRAME_ALLOC, kc_pa_raw(pa), bytes, NULL);
    kc_lock_release_irqrestore(&f->lock, irq);

    if ((flags & KC_FRAME_ZERO) != 0) {
        __builtin_memset(kc_plat_ram(pa), 0, (size_t)bytes);
    }
    *out = pa;
    return KC_OK;
}

kc_status_t kc_frame_alloc(struct kc_frames *f, uint32_t order, uint32_t flags, uint16_t owner,
                           kc_pa_t *out)
{
    if (order > KC_FRAME_ORDER_MAX) {
        return KC_ERR_RANGE;
    }
    return kc_frame_alloc_run(f, 1u << order, order, flags, owner, out);
}

kc_status_t kc_frame_free(struct kc_frames *f, kc_pa_t pa, uint32_t order)
{
    const struct kc_frame_span *s;
    uint32_t index;
    /* ORDER_ANY is no order: whoever says it is told the right one. */
    uint32_t said = order > KC_FRAME_ORDER_MAX ? KC_FRAME_ORDERS : order;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    struct verdict v = judge_free(f, pa, said, &s, &index);
    if (v.status == KC_OK) {
        release(f, s, index);
        f->free_count++;
    }
    return conclude(f, irq, &v, __func__);
}

kc_status_t kc_frame_free_run(struct kc_frames *f, kc_pa_t pa, uint32_t count)
{
    if (count == 0 || count > KC_FRAME_RUN_MAX) {
        return KC_ERR_RANGE;
    }
    const struct kc_frame_span *s = NULL;
    uint32_t index = 0;
    struct verdict v = fine;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    uint64_t at = kc_pa_raw(pa);
    for (uint32_t o = KC_FRAME_ORDERS; o-- > 0 && v.status == KC_OK;) {
        if ((count >> o & 1) != 0) {
            v = judge_free(f, kc_pa(at), o, &s, &index);
            at += (uint64_t)KC_FRAME_BYTES << o;
        }
    }
    if (v.status == KC_OK) {
        /* From the last to the first, so that each merges with what follows. */
        for (uint32_t o = 0; o < KC_FRAME_ORDERS; o++) {
            if ((count >> o & 1) != 0) {
                at -= (uint64_t)KC_FRAME_BYTES << o;
                release(f, s, frame_record(s, at >> KC_FRAME_LOG2));
            }
        }
        f->free_count++;
    }
    return conclude(f, irq, &v, __func__);
}

/* ---- references and pins -------------------------------------------------------------------- */

kc_status_t kc_frame_get(struct kc_frames *f, kc_pa_t pa)
{
    const struct kc_frame_span *s;
    uint32_t index;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    struct verdict v = judge(f, pa, ORDER_ANY, &s, &index);
    if (v.status == KC_OK) {
        if (frame_refs(f->table[index].word) == FRAME_REF_MAX) {
            v.status = KC_ERR_QUOTA;
        } else {
            f->table[index].word += FRAME_REF_ONE;
        }
    }
    return conclude(f, irq, &v, __func__);
}

kc_status_t kc_frame_put(struct kc_frames *f, kc_pa_t pa, bool *freed)
{
    const struct kc_frame_span *s;
    uint32_t index;
    bool last = false;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    struct verdict v = judge(f, pa, ORDER_ANY, &s, &index);
    if (v.status == KC_OK) {
        last = frame_refs(f->table[index].word) == 1;
        if (!last) {
            f->table[index].word -= FRAME_REF_ONE;
        } else if (frame_pins(f->table[index].word) != 0) {
            v = bad(KC_ERR_STATE, KC_MISUSE_BUSY, pa, 0, frame_pins(f->table[index].word));
        } else {
            release(f, s, index);
            f->free_count++;
        }
    }
    if (v.status == KC_OK && freed != NULL) {
        *freed = last;
    }
    return conclude(f, irq, &v, __func__);
}

kc_status_t kc_frame_pin(struct kc_frames *f, kc_pa_t pa)
{
    const struct kc_frame_span *s;
    uint32_t index;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    struct verdict v = judge(f, pa, ORDER_ANY, &s, &index);
    if (v.status == KC_OK) {
        if (frame_pins(f->table[index].word) == FRAME_REF_MAX) {
            v.status = KC_ERR_QUOTA;
        } else {
            f->table[index].word += FRAME_PIN_ONE;
        }
    }
    return conclude(f, irq, &v, __func__);
}

kc_status_t kc_frame_unpin(struct kc_frames *f, kc_pa_t pa)
{
    const struct kc_frame_span *s;
    uint32_t index;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    struct verdict v = judge(f, pa, ORDER_ANY, &s, &index);
    if (v.status == KC_OK) {
        if (frame_pins(f->table[index].word) == 0) {
            v = bad(KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE, pa, 1, 0);
        } else {
            f->table[index].word -= FRAME_PIN_ONE;
        }
    }
    return conclude(f, irq, &v, __func__);
}

/* ---- for allocators that build on frames ---------------------------------------------------- */

struct kc_frame *kc_frame_claim(struct kc_frames *f, kc_pa_t pa, uint32_t order, uint64_t data)
{
    const struct kc_frame_span *s;
    uint32_t index;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    struct verdict v = judge_free(f, pa, order, &s, &index);
    KC_CHECK(v.status == KC_OK && data != 0);
    struct kc_frame *r = &f->table[index];
    frame_store_data(r, data);
    r->word = 0;
    frame_store_kind(r, frame_kind(KC_FRAME_CLAIMED, order, frame_kind_owner(r->kind)));
    kc_lock_release_irqrestore(&f->lock, irq);
    return r;
}

void kc_frame_unclaim(struct kc_frames *f, kc_pa_t pa, uint32_t order)
{
    uint64_t pfn = kc_pa_raw(pa) >> KC_FRAME_LOG2;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    const struct kc_frame_span *s = span_of_pfn(f, pfn);
    KC_CHECK(s != NULL && kc_pa_is_aligned(pa, KC_FRAME_BYTES));
    struct kc_frame *r = &f->table[frame_record(s, pfn)];
    KC_CHECK(!frame_is_fresh(s, frame_record(s, pfn)) &&
             (r->kind & 0xffffu) == frame_kind(KC_FRAME_CLAIMED, order, 0));
    frame_store_kind(r, frame_kind(KC_FRAME_USED, order, frame_kind_owner(r->kind)));
    frame_store_data(r, 0);
    r->word = FRAME_REF_ONE;
    for (uint32_t i = 1; i < 1u << order; i++) {
        frame_store_data(&r[i], 0);
        r[i].word = 0;
    }
    kc_lock_release_irqrestore(&f->lock, irq);
}

bool kc_frame_find(const struct kc_frames *f, kc_pa_t pa, struct kc_frame_found *out)
{
    uint64_t pfn = kc_pa_raw(pa) >> KC_FRAME_LOG2;
    const struct kc_frame_span *s = span_of_pfn(f, pfn);
    if (s == NULL || frame_is_fresh(s, frame_record(s, pfn))) {
        return false;
    }
    uint32_t index = head_of(f, s, pfn);
    struct kc_frame *r = &f->table[index];
    uint32_t kind = frame_load_kind(r);
    if (frame_kind_state(kind) != KC_FRAME_CLAIMED) {
        return false;
    }
    out->record = r;
    out->data = __atomic_load_n(&r->u.data, __ATOMIC_RELAXED);
    out->base = frame_pa(frame_pfn(s, index));
    out->order = frame_kind_order(kind);
    out->owner = (uint16_t)frame_kind_owner(kind);
    return true;
}

kc_pa_t kc_frame_index_pa(const struct kc_frames *f, uint32_t index)
{
    KC_ASSERT(index < f->record_count);
    return frame_pa(frame_pfn(span_of_index(f, index), index));
}

/* ---- queries -------------------------------------------------------------------------------- */

/* The lock is held; head is a head. */
static void describe(const struct kc_frames *f, const struct kc_frame_span *s, uint32_t head,
                     struct kc_frame_info *out)
{
    const struct kc_frame *r = &f->table[head];
    bool used = frame_kind_state(r->kind) == KC_FRAME_USED;
    out->base = frame_pa(frame_pfn(s, head));
    out->order = frame_kind_order(r->kind);
    out->state = frame_kind_state(r->kind);
    out->owner = (uint16_t)frame_kind_owner(r->kind);
    out->refs = used ? (uint16_t)frame_refs(r->word) : 0;
    out->pins = used ? (uint16_t)frame_pins(r->word) : 0;
}

void kc_frame_info(struct kc_frames *f, kc_pa_t pa, struct kc_frame_info *out)
{
    uint64_t pfn = kc_pa_raw(pa) >> KC_FRAME_LOG2;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    const struct kc_frame_span *s = span_of_pfn(f, pfn);
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
        describe(f, s, head_of(f, s, pfn), out);
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
    uint64_t n = f->owner_frames[owner];
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
        [KC_FRAME_OWNER_DMA] = "dma",     [KC_FRAME_OWNER_TEST] = "test",
    };
    return owner < KC_FRAME_OWNER_FIRST_FREE ? name[owner] : "other";
}

void kc_frame_stats(struct kc_frames *f, struct kc_frame_stats *out)
{
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    out->frame_count = f->frame_count;
    out->free_frames = free_frames(f);
    out->used_frames = f->frame_count - out->free_frames;
    out->peak_frames = f->peak_frames;
    out->fresh_frames = f->zone[0].fresh_frames + f->zone[1].fresh_frames;
    for (uint32_t o = 0; o < KC_FRAME_ORDERS; o++) {
        out->free_blocks[o] = f->zone[0].blocks[o] + f->zone[1].blocks[o];
    }
    out->free_blocks[KC_FRAME_ORDER_MAX] += out->fresh_frames >> KC_FRAME_ORDER_MAX;
    out->alloc_count = f->alloc_count;
    out->free_count = f->free_count;
    out->fail_count = f->fail_count;
    out->table_bytes = f->table_bytes;
    kc_lock_release_irqrestore(&f->lock, irq);

    uint64_t small = 0;
    for (uint32_t o = 0; o < KC_FRAME_ORDERS; o++) {
        out->frag_permille[o] =
            out->free_frames == 0 ? 0 : (uint16_t)(small * 1000 / out->free_frames);
        small += out->free_blocks[o] << o;
    }
}

bool kc_frame_next_used(struct kc_frames *f, uint64_t *cursor, struct kc_frame_info *out)
{
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    uint64_t index = *cursor;
    bool found = false;
    while (index < f->record_count && !found) {
        const struct kc_frame_span *s = span_of_index(f, (uint32_t)index);
        uint64_t end = (uint64_t)s->index + s->count;
        while (index < end && !found) {
            if (frame_is_fresh(s, (uint32_t)index)) {
                index = s->fresh_end;
                continue;
            }
            uint32_t kind = f->table[index].kind;
            enum kc_frame_state state = frame_kind_state(kind);
            found = state == KC_FRAME_USED || state == KC_FRAME_CLAIMED;
            if (found) {
                describe(f, s, (uint32_t)index, out);
            }
            /* An inner record here means that blocks merged since the last call: step over it. */
            index += state == KC_FRAME_INNER ? 1 : (uint64_t)1 << frame_kind_order(kind);
        }
    }
    *cursor = index;
    kc_lock_release_irqrestore(&f->lock, irq);
    return found;
}

void kc_frames_fail_run(struct kc_frames *f, uint64_t n, uint64_t times)
{
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    f->fail_after = times == 0 ? UINT64_MAX : n;
    f->fail_times = times;
    kc_lock_release_irqrestore(&f->lock, irq);
}

void kc_frames_fail_after(struct kc_frames *f, uint64_t n)
{
    kc_frames_fail_run(f, n, 1);
}
