/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame_priv.h: what the sources of kc/frame.h share; also for white-box tests. The theory and the
 * invariants are in frame.c.
 *
 *     frame.c          what callers say, judged; blocks, runs, references, claims
 *     frame_buddy.c    lists of free blocks: take, give
 *     frame_cpu.c      lists of CPUs, and the stock of zero frames
 *     frame_map.c      spans and records: init, fini, memory that is added
 *     frame_reclaim.c  marks and reclaimers
 *     frame_query.c    what is known: blocks, counts, zones
 *     frame_check.c    validator
 */
#ifndef KC_FRAME_PRIV_H
#define KC_FRAME_PRIV_H

#include <kc/frame.h>

#define FRAME_NONE  UINT32_MAX /* no record: end of a list */
#define FRAME_CHUNK (1u << KC_FRAME_ORDER_MAX)

/* Zones end where a greatest block ends. */
KC_STATIC_ASSERT(KC_FRAME_BITS_MIN >= KC_FRAME_LOG2 + KC_FRAME_ORDER_MAX, "no block in two zones");
KC_STATIC_ASSERT(KC_FRAME_ZONES <= 32, "a bit for each zone");
KC_STATIC_ASSERT(KC_EARLY_PA_LIMIT == KC_BIT(KC_FRAME_BITS_MIN + KC_FRAME_ZONES - 1),
                 "the last zone ends where addresses end");

/* Zones up to this one are kept for those who can use no other (struct kc_frame_marks). */
#define FRAME_ZONE_KEPT    (32u - KC_FRAME_BITS_MIN)

#define FRAME_BANK_RECORDS (1u << KC_FRAME_BANK_LOG2)
KC_STATIC_ASSERT(((uint64_t)KC_FRAME_BANKS << KC_FRAME_BANK_LOG2) == KC_BIT(32), "all indexes");

/* What a free frame holds at hardening full. */
#define FRAME_PATTERN UINT64_C(0x5aa55aa5f7eef7ee)
#define FRAME_FULL    (KC_HARDENING >= KC_HARDENING_FULL)

/*
 * The kind word: order in bits 7:0, state in 15:8, owner in 31:16. INNER is all zero, but in a
 * CLAIMED block it has the order of the block.
 */
KC_INLINE uint32_t frame_kind(enum kc_frame_state state, uint32_t order, uint32_t owner)
{
    return order | ((uint32_t)state << 8) | (owner << 16);
}

KC_INLINE uint32_t frame_kind_order(uint32_t kind)
{
    return kind & 0xffu;
}

KC_INLINE enum kc_frame_state frame_kind_state(uint32_t kind)
{
    return (enum kc_frame_state)((kind >> 8) & 0xffu);
}

KC_INLINE uint32_t frame_kind_owner(uint32_t kind)
{
    return kind >> 16;
}

/* The word of a USED record: references below, pins above. */
KC_INLINE uint32_t frame_refs(uint32_t word)
{
    return word & 0xffffu;
}

KC_INLINE uint32_t frame_pins(uint32_t word)
{
    return word >> 16;
}

#define FRAME_REF_ONE 1u
#define FRAME_PIN_ONE 0x10000u
#define FRAME_REF_MAX 0xffffu

/*
 * Pins without references: the frame is free, and kept. Which CPU or stock keeps it, the word says;
 * its owner is the last one.
 */
#define FRAME_KEPT_BY(cpu) (FRAME_PIN_ONE * (1u + (cpu)))
#define FRAME_KEPT_ZERO    (FRAME_PIN_ONE * FRAME_REF_MAX)
KC_STATIC_ASSERT(KC_CPUS_MAX < FRAME_REF_MAX, "no CPU's word is the stock's");

KC_INLINE bool frame_is_kept(uint32_t kind, uint32_t word)
{
    return frame_kind_state(kind) == KC_FRAME_USED && frame_refs(word) == 0 && word != 0;
}

/*
 * kc_frame_find() reads records without the lock, so whatever it may meet is written by relaxed
 * atomic stores: it may see an old answer, but never a torn one.
 */
KC_INLINE uint32_t frame_load_kind(const struct kc_frame *r)
{
    return __atomic_load_n(&r->kind, __ATOMIC_ACQUIRE);
}

KC_INLINE void frame_store_kind(struct kc_frame *r, uint32_t kind)
{
    __atomic_store_n(&r->kind, kind, __ATOMIC_RELEASE);
}

/*
 * A list's frames change under their CPU without the lock. Whoever finds one reference, the last,
 * sees all that those did who gave up the others: acquire and release.
 */
KC_INLINE uint32_t frame_load_word(const struct kc_frame *r)
{
    return __atomic_load_n(&r->word, __ATOMIC_ACQUIRE);
}

KC_INLINE void frame_store_word(struct kc_frame *r, uint32_t word)
{
    __atomic_store_n(&r->word, word, __ATOMIC_RELEASE);
}

KC_INLINE void frame_store_data(struct kc_frame *r, uint64_t data)
{
    __atomic_store_n(&r->u.data, data, __ATOMIC_RELAXED);
}

KC_INLINE uint64_t frame_load_data(const struct kc_frame *r)
{
    return __atomic_load_n(&r->u.data, __ATOMIC_RELAXED);
}

KC_INLINE void frame_store_next(struct kc_frame *r, uint32_t next)
{
    __atomic_store_n(&r->u.link.next, next, __ATOMIC_RELAXED);
}

KC_INLINE void frame_store_prev(struct kc_frame *r, uint32_t prev)
{
    __atomic_store_n(&r->u.link.prev, prev, __ATOMIC_RELAXED);
}

KC_INLINE uint32_t frame_span_fresh(const struct kc_frame_span *s)
{
    return __atomic_load_n(&s->fresh, __ATOMIC_ACQUIRE);
}

/* True if the record was never written; index is in the span. */
KC_INLINE bool frame_is_fresh(const struct kc_frame_span *s, uint32_t index)
{
    return index >= frame_span_fresh(s) && index < s->fresh_end;
}

KC_INLINE uint32_t frame_zone_of(uint64_t pfn)
{
    uint64_t low = KC_BIT(KC_FRAME_BITS_MIN - KC_FRAME_LOG2) - 1;
    return kc_log2_floor(pfn | low) - (KC_FRAME_BITS_MIN - KC_FRAME_LOG2 - 1);
}

/* First frame number beyond the zone. */
KC_INLINE uint64_t frame_zone_end(uint32_t zone)
{
    return KC_BIT(KC_FRAME_BITS_MIN - KC_FRAME_LOG2 + zone);
}

/* Frame number of a record of the span, and the reverse. */
KC_INLINE uint64_t frame_pfn(const struct kc_frame_span *s, uint32_t index)
{
    return s->pfn + (index - s->index);
}

KC_INLINE uint32_t frame_record(const struct kc_frame_span *s, uint64_t pfn)
{
    return s->index + (uint32_t)(pfn - s->pfn);
}

KC_INLINE kc_pa_t frame_pa(uint64_t pfn)
{
    return kc_pa(pfn << KC_FRAME_LOG2);
}

/* ---- spans ---------------------------------------------------------------------------------- */

/* Where the frame of a record is: spans in ascending order of index. */
struct frame_place {
    uint64_t pfn;
    uint32_t index;
    uint32_t unused;
};

/*
 * The map: all spans, and all RAM that is known. Behind it in memory follow span_max spans in
 * ascending order of address, as many places, and the known ranges. Never changed once it is
 * published, but for `fresh` of its spans, under the lock.
 */
KC_STATIC_ASSERT(offsetof(struct kc_frames, none) ==
                     offsetof(struct kc_frames, empty) + sizeof(struct kc_frame_map),
                 "spans follow a map");
KC_INLINE struct kc_frame_span *frame_spans(struct kc_frame_map *m)
{
    return (struct kc_frame_span *)(void *)(m + 1);
}

KC_INLINE struct frame_place *frame_places(struct kc_frame_map *m)
{
    return (struct frame_place *)(void *)(frame_spans(m) + m->span_max);
}

KC_INLINE kc_pa_range_t *frame_known(struct kc_frame_map *m)
{
    return (kc_pa_range_t *)(void *)(frame_places(m) + m->span_max);
}

KC_INLINE struct kc_frame_map *frame_map(const struct kc_frames *f)
{
    return __atomic_load_n(&f->map, __ATOMIC_ACQUIRE);
}

/* First of the spans that ends beyond that frame; span_count if none does. */
KC_INLINE uint32_t frame_span_from(struct kc_frame_map *m, uint64_t pfn)
{
    const struct kc_frame_span *span = frame_spans(m);
    uint32_t lo = 0;
    uint32_t hi = m->span_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (span[mid].pfn + span[mid].count <= pfn) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* The span with that frame, or NULL. On every free and lookup: one comparison a step. */
KC_INLINE struct kc_frame_span *frame_span_of(const struct kc_frames *f, uint64_t pfn)
{
    struct kc_frame_map *m = frame_map(f);
    if (KC_LIKELY(pfn - m->main->pfn < m->main->count)) {
        return m->main;
    }
    struct kc_frame_span *span = frame_spans(m);
    uint32_t lo = 0;
    uint32_t hi = m->span_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (span[mid].pfn <= pfn) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo != 0 && pfn - span[lo - 1].pfn < span[lo - 1].count ? &span[lo - 1] : NULL;
}

/* Number of the frame with that record; there is one. */
KC_INLINE uint64_t frame_pfn_of(const struct kc_frames *f, uint32_t index)
{
    struct kc_frame_map *m = frame_map(f);
    if (KC_LIKELY(index - m->main->index < m->main->count)) {
        return frame_pfn(m->main, index);
    }
    const struct frame_place *place = frame_places(m);
    uint32_t lo = 0;
    uint32_t hi = m->span_count;
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (place[mid].index <= index) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    return place[lo].pfn + (index - place[lo].index);
}

/* Head of the block with that frame; the record must have been written (see the theory). */
KC_INLINE uint32_t frame_head(const struct kc_frames *f, const struct kc_frame_span *s,
                              uint64_t pfn)
{
    uint64_t at = pfn;
    for (uint32_t order = 0;; order++) {
        uint32_t index = frame_record(s, at);
        if (frame_kind_state(frame_load_kind(kc_frame_at(f, index))) != KC_FRAME_INNER) {
            return index;
        }
        at = kc_align_down(pfn, (uint64_t)2 << order);
        /* Only kc_frame_find(), racing with a change of a block that nobody owns, gets so far. */
        if (order >= KC_FRAME_ORDER_MAX || at < s->pfn) {
            return frame_record(s, pfn);
        }
    }
}

/* The record with that index, and the number of its frame; there is one. */
KC_INLINE struct kc_frame *frame_at(const struct kc_frames *f, uint32_t index, uint64_t *pfn)
{
    uint32_t at = index - f->front.index;
    if (KC_LIKELY(at < f->front.count)) {
        *pfn = f->front.pfn + at;
        return f->front.record + at;
    }
    *pfn = frame_pfn_of(f, index);
    return kc_frame_at(f, index);
}

/* The record of that frame, wherever it is; NULL if there is none, or it was never written. */
struct kc_frame *kc_frame_priv_record(const struct kc_frames *f, uint64_t pfn);

/* The record of that frame if it is one of those that are tried first; false says nothing. */
KC_INLINE bool frame_front_at(const struct kc_frame_front *front, uint64_t pfn,
                              struct kc_frame **out)
{
    uint64_t at = pfn - front->pfn;
    /* As a number: of a frame that is not there it may be anything. */
    *out = (struct kc_frame *)((uintptr_t)front->record + (uintptr_t)at * sizeof(struct kc_frame));
    return KC_LIKELY(at < __atomic_load_n(&front->fresh, __ATOMIC_ACQUIRE)) ||
           (at >= front->fresh_end && at < front->count);
}

/*
 * The claimed block of which `r` is the record of the frame with pa; of that owner, or of any where
 * that is 0. Every record of a claimed block says how great it is, and a block lies where its order
 * allows: so its first record is found alike from any of them, the first included. Records may
 * change meanwhile: what two of them say must fit together.
 */
KC_INLINE bool frame_find_at(struct kc_frame *r, kc_pa_t pa, uint32_t owner,
                             struct kc_frame_found *out)
{
    uint32_t order = frame_kind_order(frame_load_kind(r));
    uint32_t offset = (uint32_t)kc_pa_raw(pa) & ~((uint32_t)(0 - KC_FRAME_BYTES) << order);
    r -= offset >> KC_FRAME_LOG2;
    uint32_t kind = frame_load_kind(r);
    uint32_t judged = owner != 0 ? UINT32_MAX : 0xffffu;
    if (KC_UNLIKELY((kind & judged) != frame_kind(KC_FRAME_CLAIMED, order, owner))) {
        return false;
    }
    out->record = r;
    out->data = frame_load_data(r);
    out->base = kc_pa(kc_pa_raw(pa) - offset);
    out->offset = offset;
    out->order = order;
    out->owner = (uint16_t)frame_kind_owner(kind);
    return true;
}

/* kc_frame_find(), inline. */
KC_INLINE bool frame_find(const struct kc_frames *f, kc_pa_t pa, struct kc_frame_found *out)
{
    uint64_t pfn = kc_pa_raw(pa) >> KC_FRAME_LOG2;
    struct kc_frame *r;
    if (KC_UNLIKELY(!frame_front_at(&f->front, pfn, &r))) {
        r = kc_frame_priv_record(f, pfn);
    }
    return KC_LIKELY(r != NULL) && frame_find_at(r, pa, 0, out);
}

/* The same for a block of that owner; false may also say that it takes a call to know. */
KC_INLINE bool frame_find_quick(const struct kc_frames *f, kc_pa_t pa, uint32_t owner,
                                struct kc_frame_found *out)
{
    struct kc_frame *r;
    return KC_LIKELY(frame_front_at(&f->front, kc_pa_raw(pa) >> KC_FRAME_LOG2, &r)) &&
           KC_LIKELY(frame_find_at(r, pa, owner, out));
}

/* Order of the greatest block that may begin at a record and does not reach beyond `end`. */
KC_INLINE uint32_t frame_stretch_order(const struct kc_frame_span *s, uint32_t index, uint32_t end)
{
    uint64_t pfn = frame_pfn(s, index);
    uint32_t most = kc_log2_floor(end - index);
    uint32_t aligned = pfn == 0 ? most : kc_log2_floor(pfn & (0 - pfn));
    uint32_t order = aligned < most ? aligned : most;
    return order < KC_FRAME_ORDER_MAX ? order : KC_FRAME_ORDER_MAX;
}

/* ---- zones and blocks (frame_buddy.c): the lock is held ------------------------------------- */

/* Lists of free blocks of one zone, and what was done with them. */
struct kc_frame_zone {
    uint32_t head[KC_FRAME_ORDERS];
    uint32_t mask;                      /* bit o: list o is not empty */
    uint32_t span_first, span_end;      /* its spans in the map */
    uint32_t span_fresh;                /* first span that may have fresh frames */
    uint64_t blocks[KC_FRAME_ORDERS];   /* blocks in each list */
    uint64_t frames;                    /* all of its spans */
    uint64_t free_frames, fresh_frames; /* free in lists and fresh; fresh of those */
    uint64_t allocs[KC_FRAME_ORDERS], fails[KC_FRAME_ORDERS]; /* see kc_frame_order_stats */
    /*
     * Takes by the order of the block that was cut (to that of the request: allocs), and gives by
     * the order before and after merging: from these follow splits and merges of each order.
     */
    uint64_t cut_from[KC_FRAME_ORDERS];
    uint64_t grown_from[KC_FRAME_ORDERS], grown_to[KC_FRAME_ORDERS];
};

/* What an allocation asks for, judged. */
struct frame_request {
    uint32_t count; /* frames */
    uint32_t order; /* of the block to be found: count and alignment fit into it */
    uint32_t zones; /* bit z: zone z may be used, where it exists */
    uint32_t flags;
    uint16_t owner;
};

/* Puts a block into its list, without merging; zero records, or as a split or free leaves them. */
void kc_frame_priv_list_push(struct kc_frames *f, struct kc_frame_zone *z, uint32_t index,
                             uint32_t order);

/* Takes the blocks of a request, marked as used; index of the first record, or FRAME_NONE. */
uint32_t kc_frame_priv_take(struct kc_frames *f, const struct frame_request *rq);

/*
 * Takes the frames from that record of the span on, which follows a used block, as used blocks;
 * false, and nothing is done, if they are not all free or to be left for others.
 */
KC_NODISCARD bool kc_frame_priv_take_at(struct kc_frames *f, const struct kc_frame_span *s,
                                        uint32_t index, const struct frame_request *rq);

/*
 * Cuts count frames that used blocks tile into the blocks of a run of `run` frames, and behind it
 * into the greatest that their place allows.
 */
void kc_frame_priv_recut(struct kc_frames *f, const struct kc_frame_span *s, uint32_t index,
                         uint32_t count, uint32_t run, uint16_t owner);

/* Gives a block back that is in no list and nobody's, merging it with its buddies. */
void kc_frame_priv_give(struct kc_frames *f, const struct kc_frame_span *s, uint32_t index,
                        uint32_t order);

/*
 * The same for one frame that will be kept, with that word: no owner gets it. The request is of
 * order 0.
 */
uint32_t kc_frame_priv_take_kept(struct kc_frames *f, const struct frame_request *rq,
                                 uint32_t word);

/* Counts a request that failed. */
void kc_frame_priv_count_failure(struct kc_frames *f, const struct frame_request *rq);

/* Writes the pattern of free frames over a block that nobody uses: hardening full. */
void kc_frame_priv_fill(kc_pa_t pa, uint64_t bytes);

/* ---- lists of CPUs (frame_cpu.c) ------------------------------------------------------------ */

/* The list of this CPU, which is pinned, or NULL. */
KC_INLINE struct kc_frame_cpu *frame_cpu(const struct kc_frames *f)
{
    if (!KC_MAG_IS_USED || f->cpu_count == 0) {
        return NULL;
    }
    uint32_t cpu = kc_plat_cpu();
    return cpu < f->cpu_count ? &f->cpu[cpu] : NULL;
}

KC_INLINE bool frame_may_list(const struct kc_frames *f, uint32_t zone)
{
    return (__atomic_load_n(&f->list_zones, __ATOMIC_RELAXED) >> zone & 1) != 0;
}

/* One more, or fewer, of a count that only this CPU writes. */
#define FRAME_COUNT(count, by) \
    __atomic_store_n((count), __atomic_load_n((count), __ATOMIC_RELAXED) + (by), __ATOMIC_RELAXED)

/* Entries that were of no frame of the list: two frees of it raced. To be reported. */
struct frame_dropped {
    uint64_t pa; /* of the last */
    uint32_t count;
    uint32_t owner;
};

/* The frame of an entry is the list's to hand out. */
KC_INLINE bool frame_entry_is_good(const struct kc_frames *f, const struct kc_frame_cpu *c,
                                   const struct kc_frame_entry *e)
{
    const struct kc_frame *r = kc_frame_at(f, e->index);
    return frame_load_word(r) == c->word &&
           (frame_load_kind(r) & 0xffffu) == frame_kind(KC_FRAME_USED, 0, 0);
}

/*
 * Hands the topmost frame of the list out, if it is good and in a zone of the request. The CPU is
 * pinned; the lock need not be held.
 */
KC_INLINE bool frame_cpu_pop(struct kc_frames *f, struct kc_frame_cpu *c,
                             const struct frame_request *rq, kc_pa_t *out)
{
    size_t count = kc_mag_count(&c->mag);
    if (KC_UNLIKELY(count == 0)) {
        return false;
    }
    const struct kc_frame_entry *e = &c->entry[count - 1];
    if (KC_UNLIKELY((rq->zones >> frame_zone_of(e->pfn) & 1) == 0 ||
                    !frame_entry_is_good(f, c, e))) {
        return false;
    }
    struct kc_frame *r = kc_frame_at(f, e->index);
    frame_store_kind(r, frame_kind(KC_FRAME_USED, 0, rq->owner));
    frame_store_word(r, FRAME_REF_ONE);
    *out = frame_pa(e->pfn);
    kc_mag_set_count(&c->mag, count - 1);
    FRAME_COUNT(&c->owner[rq->owner], 1u);
    FRAME_COUNT(&c->allocs, 1u);
    kc_plat_note(KC_NOTE_FRAME_ALLOC, kc_pa_raw(*out), KC_FRAME_BYTES, NULL);
    return true;
}

/*
 * Hands a frame out of the stock (*zero) or of this CPU's list, which is filled before if it is
 * empty; false if neither serves the request, which is of order 0. The lock is held.
 */
bool kc_frame_priv_cpu_take(struct kc_frames *f, const struct frame_request *rq, kc_pa_t *out,
                            bool *zero, struct frame_dropped *dropped);

/* Gives the zones what the stock and this CPU keep. False: nothing. The lock is held. */
bool kc_frame_priv_cpu_yield(struct kc_frames *f, struct frame_dropped *dropped);

/* Frees a frame into this CPU's list; false if it is none that may go there, nothing was done. */
bool kc_frame_priv_cpu_free(struct kc_frames *f, kc_pa_t pa);

/* Says so if entries were dropped. The lock is not held. */
KC_COLD void kc_frame_priv_cpu_tell(struct kc_frames *f, const struct frame_dropped *dropped);
KC_INLINE void frame_cpu_report(struct kc_frames *f, const struct frame_dropped *dropped)
{
    if (KC_UNLIKELY(dropped->count != 0)) {
        kc_frame_priv_cpu_tell(f, dropped);
    }
}

/* Frames in lists, and in the stock or on their way there. */
uint64_t kc_frame_priv_cpu_kept(const struct kc_frames *f);
KC_INLINE uint64_t frame_stocked(const struct kc_frames *f)
{
    return (uint64_t)f->stock_count + f->zeroing;
}

/* Frames of an owner, as CPUs counted. */
uint64_t kc_frame_priv_owner_frames(const struct kc_frames *f, uint32_t owner);

/* An allocator without memory (frame_map.c). */
void kc_frame_priv_clear(struct kc_frames *f, struct kc_misuse *misuse);

/* True if r, of which nothing is read, is a reclaimer of f. No lock is held. */
bool kc_frame_priv_has_reclaimer(struct kc_frames *f, const struct kc_frame_reclaimer *r);

#endif
