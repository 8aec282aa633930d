/* SPDX-License-Identifier: BSD-2-Clause */
/* The lists of free blocks: F4, F5 and the counts of F8 are kept here. Theory: frame.c. */
#include "frame_priv.h"

/* ---- lists ---------------------------------------------------------------------------------- */

/* r is the record with that index, here as below. Its word stays: it tells the last owner (F6). */
KC_INLINE void list_push(struct kc_frames *f, struct kc_frame_zone *z, struct kc_frame *r,
                         uint32_t index, uint32_t order)
{
    uint32_t first = z->head[order];
    frame_store_next(r, first);
    frame_store_prev(r, FRAME_NONE);
    frame_store_kind(r, frame_kind(KC_FRAME_FREE, order, KC_FRAME_OWNER_NONE));
    if (first != FRAME_NONE) {
        frame_store_prev(kc_frame_at(f, first), index);
    }
    z->head[order] = index;
    z->mask |= 1u << order;
    z->blocks[order]++;
}

void kc_frame_priv_list_push(struct kc_frames *f, struct kc_frame_zone *z, uint32_t index,
                             uint32_t order)
{
    list_push(f, z, kc_frame_at(f, index), index, order);
}

/* A link as read from memory that may have been smashed: true if there is such a record. */
KC_INLINE bool is_index(const struct kc_frames *f, uint32_t index)
{
    return index % FRAME_BANK_RECORDS < f->bank[index >> KC_FRAME_BANK_LOG2].count;
}

/* Takes a block out; its record still says FREE. A smashed link is caught before it spreads. */
KC_INLINE void list_del(struct kc_frames *f, struct kc_frame_zone *z, const struct kc_frame *r,
                        uint32_t index, uint32_t order)
{
    uint32_t next = r->u.link.next;
    uint32_t prev = r->u.link.prev;
    if (prev == FRAME_NONE) {
        KC_CHECK(z->head[order] == index);
        z->head[order] = next;
    } else {
        KC_CHECK(is_index(f, prev) && kc_frame_at(f, prev)->u.link.next == index);
        frame_store_next(kc_frame_at(f, prev), next);
    }
    if (next != FRAME_NONE) {
        KC_CHECK(is_index(f, next) && kc_frame_at(f, next)->u.link.prev == index);
        frame_store_prev(kc_frame_at(f, next), prev);
    }
    if (z->head[order] == FRAME_NONE) {
        z->mask &= ~(1u << order);
    }
    z->blocks[order]--;
}

/* ---- taking --------------------------------------------------------------------------------- */

void kc_frame_priv_fill(kc_pa_t pa, uint64_t bytes)
{
    uint64_t *word = kc_plat_ram(pa);
    for (uint64_t i = 0; i < bytes / sizeof(*word); i++) {
        word[i] = FRAME_PATTERN;
    }
}

/* Makes the zone's next fresh chunk a free block; false if it has none. */
static bool carve(struct kc_frames *f, struct kc_frame_zone *z)
{
    struct kc_frame_span *span = frame_spans(f->map);
    while (z->span_fresh < z->span_end) {
        struct kc_frame_span *s = &span[z->span_fresh];
        if (s->fresh < s->fresh_end) {
            uint32_t index = s->fresh;
            __builtin_memset(kc_frame_at(f, index), 0, FRAME_CHUNK * sizeof(struct kc_frame));
            if (FRAME_FULL) {
                kc_frame_priv_fill(frame_pa(frame_pfn(s, index)),
                                   (uint64_t)FRAME_CHUNK << KC_FRAME_LOG2);
            }
            kc_frame_priv_list_push(f, z, index, KC_FRAME_ORDER_MAX);
            /* Release: a finder that sees the new bound sees clear records below it. */
            __atomic_store_n(&s->fresh, index + FRAME_CHUNK, __ATOMIC_RELEASE);
            if (s->first == f->front.record) {
                __atomic_store_n(&f->front.fresh, s->fresh - s->index, __ATOMIC_RELEASE);
            }
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
    struct kc_frame *r = kc_frame_at(f, index);
    list_del(f, z, r, index, have);
    z->cut_from[have]++;
    while (have > order) {
        have--;
        list_push(f, z, r + (1u << have), index + (1u << have), have);
    }
    return index;
}

static void mark_used(struct kc_frames *f, uint32_t index, uint32_t order, uint16_t owner)
{
    struct kc_frame *r = kc_frame_at(f, index);
    frame_store_data(r, 0);
    frame_store_word(r, FRAME_REF_ONE);
    frame_store_kind(r, frame_kind(KC_FRAME_USED, order, owner));
}

/* Makes a head an inner record (F7). */
static void make_inner(struct kc_frame *r)
{
    frame_store_kind(r, 0);
    frame_store_data(r, 0);
}

/* Makes a block into the used blocks of count's digits and free ones behind. */
static void cut_run(struct kc_frames *f, struct kc_frame_zone *z, uint32_t index,
                    const struct frame_request *rq)
{
    uint32_t at = 0;
    KC_ASSERT(rq->order <= KC_FRAME_ORDER_MAX);
    for (uint32_t o = rq->order + 1; o-- > 0;) {
        if ((rq->count >> o & 1) != 0) {
            mark_used(f, index + at, o, rq->owner);
            at += 1u << o;
        }
    }
    /* The digits of what is left over ascend from here; none has a free buddy. */
    while (at < 1u << rq->order) {
        uint32_t o = (uint32_t)__builtin_ctz(at);
        kc_frame_priv_list_push(f, z, index + at, o);
        at += 1u << o;
    }
}

/* The zone of the greatest number in a set that is not empty. */
static uint32_t highest(uint32_t zones)
{
    return 31u - (uint32_t)__builtin_clz(zones);
}

/* What the request has to leave of all. */
static uint64_t min_left(const struct kc_frames *f, const struct frame_request *rq)
{
    return (rq->flags & KC_FRAME_URGENT) != 0 ? 0 : f->marks.min;
}

/* What a zone keeps back from a request that might have used so many frames above it. */
static uint64_t kept_back(const struct kc_frames *f, uint32_t zone, uint64_t above)
{
    bool keeps = zone <= FRAME_ZONE_KEPT && f->marks.keep_log2 != 0;
    return keeps ? above >> f->marks.keep_log2 : 0;
}

/*
 * The highest zone first: low memory is for devices. On the way down, `above` counts what the
 * request might have used instead, by which a low zone keeps some back (struct kc_frame_marks).
 *
 * A block as zone_take() leaves it, and its zone; its frames count as free no longer.
 */
KC_INLINE uint32_t take_block(struct kc_frames *f, const struct frame_request *rq,
                              struct kc_frame_zone **from)
{
    if (KC_UNLIKELY(f->free_frames < min_left(f, rq) + rq->count)) {
        return FRAME_NONE;
    }
    uint64_t above = 0;
    for (uint32_t left = rq->zones & f->zones; left != 0;) {
        uint32_t number = highest(left);
        struct kc_frame_zone *z = f->zone[number];
        uint64_t kept = kept_back(f, number, above);
        left &= ~(1u << number);
        above += z->frames;
        if (z->free_frames < kept + rq->count) {
            continue;
        }
        uint32_t index = zone_take(f, z, rq->order);
        if (index != FRAME_NONE) {
            z->allocs[rq->order]++;
            z->free_frames -= rq->count;
            f->free_frames -= rq->count;
            uint64_t used = f->frame_count - f->free_frames;
            f->peak_frames = used > f->peak_frames ? used : f->peak_frames;
            *from = z;
            return index;
        }
    }
    return FRAME_NONE;
}

uint32_t kc_frame_priv_take(struct kc_frames *f, const struct frame_request *rq)
{
    struct kc_frame_zone *z;
    uint32_t index = take_block(f, rq, &z);
    if (index != FRAME_NONE) {
        cut_run(f, z, index, rq);
        f->owner_frames[rq->owner] += rq->count;
    }
    return index;
}

uint32_t kc_frame_priv_take_kept(struct kc_frames *f, const struct frame_request *rq, uint32_t word)
{
    struct kc_frame_zone *z;
    uint32_t index = take_block(f, rq, &z);
    if (index != FRAME_NONE) {
        struct kc_frame *r = kc_frame_at(f, index);
        uint32_t last = r->word < KC_FRAME_OWNER_COUNT ? r->word : KC_FRAME_OWNER_NONE;
        /* Who finds it USED finds it kept. */
        frame_store_data(r, 0);
        frame_store_word(r, word);
        frame_store_kind(r, frame_kind(KC_FRAME_USED, 0, last));
    }
    return index;
}

void kc_frame_priv_count_failure(struct kc_frames *f, const struct frame_request *rq)
{
    uint32_t zones = rq->zones & f->zones;
    f->fail_count++;
    if (zones != 0) {
        f->zone[highest(zones)]->fails[rq->order]++;
    }
}

/* Makes frames that are in no list into used blocks, the greatest that their place allows. */
static void mark_stretch(struct kc_frames *f, const struct kc_frame_span *s, uint32_t index,
                         uint32_t end, uint16_t owner)
{
    while (index < end) {
        uint32_t o = frame_stretch_order(s, index, end);
        mark_used(f, index, o, owner);
        index += 1u << o;
    }
}

/* True if the request may have those frames: they are free, and need not be left. */
static bool may_take_at(const struct kc_frames *f, const struct kc_frame_span *s, uint32_t index,
                        const struct frame_request *rq)
{
    uint64_t span_end = (uint64_t)s->index + s->count;
    uint64_t end = (uint64_t)index + rq->count;
    if ((rq->zones >> s->zone & 1) == 0) {
        return false;
    }
    for (uint64_t at = index; at < end;) {
        if (at >= span_end || frame_is_fresh(s, (uint32_t)at)) {
            return false;
        }
        uint32_t kind = kc_frame_at(f, (uint32_t)at)->kind;
        if (frame_kind_state(kind) != KC_FRAME_FREE) {
            return false;
        }
        at += (uint64_t)1 << frame_kind_order(kind);
    }
    uint64_t above = 0;
    for (uint32_t left = rq->zones & f->zones & ~((2u << s->zone) - 1); left != 0;
         left &= left - 1) {
        above += f->zone[__builtin_ctz(left)]->frames;
    }
    return f->free_frames >= min_left(f, rq) + rq->count &&
           f->zone[s->zone]->free_frames >= kept_back(f, s->zone, above) + rq->count;
}

bool kc_frame_priv_take_at(struct kc_frames *f, const struct kc_frame_span *s, uint32_t index,
                           const struct frame_request *rq)
{
    struct kc_frame_zone *z = f->zone[s->zone];
    uint32_t end = index + rq->count;
    if (!may_take_at(f, s, index, rq)) {
        return false;
    }
    for (uint32_t at = index; at < end;) {
        struct kc_frame *r = kc_frame_at(f, at);
        uint32_t order = frame_kind_order(r->kind);
        uint32_t beyond = at + (1u << order);
        list_del(f, z, r, at, order);
        z->cut_from[order]++;
        z->allocs[beyond <= end ? order : (uint32_t)__builtin_ctz(end - at)]++;
        make_inner(r);
        /* What the last block has beyond: its digits ascend from here. */
        for (uint32_t rest = end; rest < beyond && beyond > end;) {
            uint32_t o = frame_stretch_order(s, rest, beyond);
            kc_frame_priv_list_push(f, z, rest, o);
            rest += 1u << o;
        }
        at = beyond;
    }
    mark_stretch(f, s, index, end, rq->owner);
    z->free_frames -= rq->count;
    f->free_frames -= rq->count;
    f->owner_frames[rq->owner] += rq->count;
    return true;
}

void kc_frame_priv_recut(struct kc_frames *f, const struct kc_frame_span *s, uint32_t index,
                         uint32_t count, uint32_t run, uint16_t owner)
{
    uint32_t at = 0;
    while (at < count) {
        struct kc_frame *r = kc_frame_at(f, index + at);
        at += 1u << frame_kind_order(r->kind);
        make_inner(r);
        r->word = 0;
    }
    at = 0;
    for (uint32_t o = KC_FRAME_ORDERS; o-- > 0;) {
        if ((run >> o & 1) != 0) {
            mark_used(f, index + at, o, owner);
            at += 1u << o;
        }
    }
    mark_stretch(f, s, index + run, index + count, owner);
}

/* ---- giving --------------------------------------------------------------------------------- */

void kc_frame_priv_give(struct kc_frames *f, const struct kc_frame_span *s, uint32_t index,
                        uint32_t order)
{
    struct kc_frame_zone *z = f->zone[s->zone];
    struct kc_frame *first = kc_frame_at(f, s->index);
    uint64_t pfn = frame_pfn(s, index);
    z->grown_from[order]++;
    z->free_frames += (uint64_t)1 << order;
    f->free_frames += (uint64_t)1 << order;
    while (order < KC_FRAME_ORDER_MAX) {
        uint64_t buddy_pfn = pfn ^ ((uint64_t)1 << order);
        /* The pair is whole in the span, or there is no buddy; fresh chunks are never one. */
        if (buddy_pfn < s->pfn || buddy_pfn - s->pfn + ((uint64_t)1 << order) > s->count) {
            break;
        }
        struct kc_frame *buddy = first + (buddy_pfn - s->pfn);
        if (frame_load_kind(buddy) != frame_kind(KC_FRAME_FREE, order, KC_FRAME_OWNER_NONE)) {
            break;
        }
        list_del(f, z, buddy, frame_record(s, buddy_pfn), order);
        make_inner(pfn > buddy_pfn ? first + (pfn - s->pfn) : buddy);
        pfn = pfn < buddy_pfn ? pfn : buddy_pfn;
        order++;
    }
    z->grown_to[order]++;
    list_push(f, z, first + (pfn - s->pfn), frame_record(s, pfn), order);
}
