/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame: the buddy allocator of page frames. Theory.
 *
 * Nouns. A *frame* is KC_FRAME_BYTES of RAM with a number, its pfn. A *record* is the struct
 * kc_frame that tells of one frame; records are numbered, and a record's number is its *index*.
 * They lie in tables: one for the memory that was there at first, one for each that was added; by
 * its upper bits an index names a *bank*, which is a piece of one table. A *span* is a run of
 * frames that early memory had left free, or that was added; its frames have consecutive records. A
 * span lies in one *zone*: zones end at powers of two, 16 MiB and upwards, so that "reaches n
 * address bits" is a set of whole zones, and no block is lost to it, for a greatest block is
 * smaller. A *block* is 2^order frames whose first pfn is a multiple of 2^order, within one span;
 * its *head* is the record of its first frame, the others are *inner*. Two blocks of one order are
 * *buddies* if their pfns differ in that bit alone. What is known of spans is the *map*
 * (frame_map.c).
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
 * Why inner records say so: then the block of any frame is found by clearing one low bit of its pfn
 * after the other until the record there is no inner one. Between the head and the frame all
 * candidates lie in the block, hence are inner, so the first that is not is the head. That takes as
 * many loads as the block's order, needs no writes at allocation, and judges any address at all.
 * Who claims a block writes to all its records anyway, and so says in each how great it is: then
 * the head is one step away (frame_find()).
 *
 * The last owner. When a block is freed, its head's word becomes its owner, and stays when that
 * record becomes an inner one, until a block begins there again (or a claimer has use of it). So a
 * second free of the same block names who had it, however much merged since.
 *
 * Free memory at hardening full. A free frame holds a pattern: written when its chunk is carved or
 * its span's ends are cut, and at each free, before the block is in a list: without the lock,
 * meanwhile it is *leaving*, USED with no references. Whoever takes a block looks it over, without
 * the lock too. A frame that lost the pattern was written to after its free: it becomes a claimed
 * block of KC_FRAME_OWNER_BAD, the others of the block go back, and another block is taken.
 *
 * Invariants
 *  F1  Spans of the map ascend, do not meet, and each lies in one zone; the spans of a zone are
 *      span_first..span_end-1. Places ascend by index, one for each span, in banks that exist.
 *  F2  The records of a span that are not fresh are tiled by blocks: a head whose pfn is aligned to
 *      its order, then inner records; no block reaches over the edge of a span or into fresh ones.
 *  F3  fresh and fresh_end lie on chunk boundaries by pfn, inside the span, fresh <= fresh_end.
 *      What lookups try first is one of them.
 *  F4  A block is FREE if and only if it is in the list of its zone and order; links are mutual;
 *      blocks[o] is the length of list o, and bit o of mask is set if and only if it is not 0.
 *  F5  No two buddies are free (but for two of the greatest order).
 *  F6  A FREE head has no owner, and in its word the last one, or 0. A USED head has an owner, one
 *      reference or more (at hardening full, none and no pins: it is leaving), and data 0, or is
 *      kept (F10 to F12). A CLAIMED head has an owner and data that is not 0.
 *  F7  An inner record has kind 0; its data is 0 and its word is a last owner, or 0. But in a
 *      CLAIMED block its kind has the block's order, and data and word are the claimer's.
 *  F8  free_frames of a zone is what its FREE blocks and fresh chunks hold, fresh_frames what the
 *      latter do; owner_frames[o] is what the blocks of owner o hold; frame_count is all of them,
 *      and that of a zone all of its spans. The zones' free_frames sum up to the allocator's.
 *      owner_frames is with what lists counted, modulo 2^32; frame_count counts what is kept, too.
 *  F9  Known ranges do not meet, and each span lies in one.
 *  F10 A kept frame is a USED head of order 0 without references; its owner is the last one, or 0.
 *  F11 The list of a CPU has an entry for each frame that says so in its word, and no other; no
 *      entry twice.
 *  F12 Frames kept as zero are those of the stock, linked by u.link.next, and as many more as are
 *      on their way there.
 *
 * Cost and locking. One lock, rank FRAME, taken with interrupts masked. An operation makes at most
 * ORDER_MAX splits or merges; clearing the records of a chunk, 16 KiB (and at hardening full the
 * pattern in it, 4 MiB), happens once for each chunk ever. Contents are otherwise written outside
 * the lock. kc_frame_find() takes no lock: a map does not change once it is published, `fresh` is
 * published by release after the records are clear, and a head's kind by release after its data.
 * Reclaimers are called without the lock (frame_reclaim.c). Lists of CPUs change without the lock,
 * and kind and word of their frames with them (frame_cpu.c).
 *
 * Notes to the body are made under the lock, or while the frame is this CPU's, so that allocations
 * and frees of one frame are told in the order in which they happen.
 *
 * Sources: D. E. Knuth, The Art of Computer Programming, volume 1, 2.5, algorithms R and S; the
 * two indexes of fragmentation are M. Gorman's (mm/vmstat.c of Linux computes the same), and so is
 * the idea of keeping low zones back by a share of what is above.
 */
#include "frame_priv.h"

/* ---- judging what a caller says: the lock is held ------------------------------------------- */

#define ORDER_ANY UINT32_MAX

/* What a caller did wrong, for the report once the lock is released. Written only if it did. */
struct verdict {
    enum kc_misuse_kind misuse;
    uint32_t owner; /* of the block, or the last one; KC_FRAME_OWNER_NONE: nobody is known */
    uint64_t pa;
    uint64_t expected, found;
};

static KC_COLD kc_status_t bad(struct verdict *v, kc_status_t status, enum kc_misuse_kind misuse,
                               kc_pa_t pa, uint64_t expected, uint64_t found, uint32_t owner)
{
    struct verdict is = {misuse, owner, kc_pa_raw(pa), expected, found};
    *v = is;
    return status;
}

/* The same for a frame that is free already. */
static KC_COLD kc_status_t bad_twice(struct verdict *v, kc_pa_t pa, uint64_t base, uint32_t owner)
{
    return bad(v, KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE, pa, base, 0, owner);
}

/* The same for a block that others hold. */
static KC_COLD kc_status_t bad_busy(struct verdict *v, const struct kc_frame *r, kc_pa_t pa,
                                    uint64_t expected, uint64_t found)
{
    return bad(v, KC_ERR_STATE, KC_MISUSE_BUSY, pa, expected, found, frame_kind_owner(r->kind));
}

/* Finds the USED block that starts at pa. */
static kc_status_t judge(const struct kc_frames *f, kc_pa_t pa, uint32_t order,
                         const struct kc_frame_span **span, uint32_t *index, struct verdict *v)
{
    uint64_t pfn = kc_pa_raw(pa) >> KC_FRAME_LOG2;
    const struct kc_frame_span *s = frame_span_of(f, pfn);
    if (KC_UNLIKELY(s == NULL)) {
        return bad(v, KC_ERR_RANGE, KC_MISUSE_FOREIGN, pa, 0, 0, KC_FRAME_OWNER_NONE);
    }
    uint32_t at = frame_record(s, pfn);
    if (KC_UNLIKELY(frame_is_fresh(s, at))) {
        return bad_twice(v, pa, 0, KC_FRAME_OWNER_NONE);
    }
    uint32_t head = frame_head(f, s, pfn);
    const struct kc_frame *r = kc_frame_at(f, head);
    uint32_t kind = frame_load_kind(r);
    uint32_t word = frame_load_word(r);
    uint32_t owner = frame_kind_owner(kind);
    uint64_t base = frame_pfn(s, head) << KC_FRAME_LOG2;
    if (KC_UNLIKELY(frame_kind_state(kind) == KC_FRAME_FREE)) {
        return bad_twice(v, pa, base, kc_frame_at(f, at)->word); /* F6, F7 */
    }
    if (KC_UNLIKELY(frame_is_kept(kind, word))) {
        return bad_twice(v, pa, base, owner); /* F10 */
    }
    if (KC_UNLIKELY(base != kc_pa_raw(pa))) {
        return bad(v, KC_ERR_ALIGN, KC_MISUSE_INTERIOR, pa, base, kc_pa_raw(pa), owner);
    }
    if (KC_UNLIKELY(frame_kind_state(kind) == KC_FRAME_CLAIMED)) {
        return bad(v, KC_ERR_PERM, KC_MISUSE_WRONG_OWNER, pa, owner, 0, owner);
    }
    if (FRAME_FULL && word == 0) {
        return bad_twice(v, pa, base, owner); /* it is leaving */
    }
    if (KC_UNLIKELY(order != ORDER_ANY && order != frame_kind_order(kind))) {
        return bad(v, KC_ERR_ARG, KC_MISUSE_WRONG_SIZE, pa, frame_kind_order(kind), order, owner);
    }
    *span = s;
    *index = head;
    return KC_OK;
}

/* Judges that the block may be freed now. */
static kc_status_t judge_free(const struct kc_frames *f, kc_pa_t pa, uint32_t order,
                              const struct kc_frame_span **span, uint32_t *index, struct verdict *v)
{
    kc_status_t status = judge(f, pa, order, span, index, v);
    if (status == KC_OK) {
        const struct kc_frame *r = kc_frame_at(f, *index);
        uint32_t word = frame_load_word(r);
        if (KC_UNLIKELY(word != FRAME_REF_ONE)) {
            return bad_busy(v, r, pa, FRAME_REF_ONE, word);
        }
    }
    return status;
}

static KC_COLD void report(struct kc_frames *f, const struct verdict *v, const char *where)
{
    struct kc_misuse_report r = {.kind = v->misuse,
                                 .where = where,
                                 .object = "frames",
                                 .address = v->pa,
                                 .expected = v->expected,
                                 .found = v->found,
                                 .owner = v->owner};
    if (v->owner != KC_FRAME_OWNER_NONE) {
        r.owner_name = kc_frame_owner_name((uint16_t)v->owner);
    }
    kc_misuse_raise(f->misuse, &r);
}

/* Releases the lock, reports misuse (all that is refused, but for a full counter), answers. */
static kc_status_t conclude(struct kc_frames *f, uint64_t irq, kc_status_t status,
                            const struct verdict *v, const char *where)
{
    kc_lock_release_irqrestore(&f->lock, irq);
    if (KC_UNLIKELY(status != KC_OK && status != KC_ERR_QUOTA)) {
        report(f, v, where);
    }
    return status;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

kc_status_t kc_frames_fini(struct kc_frames *f)
{
    struct frame_dropped dropped = {0, 0, 0};
    for (uint32_t i = 0; i < f->cpu_count; i++) {
        (void)kc_frames_drain(f, i);
    }
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    struct verdict v;
    kc_status_t status = KC_OK;
    (void)kc_frame_priv_cpu_yield(f, &dropped); /* the stock: lists are empty */
    uint64_t used = f->frame_count - f->free_frames - f->owner_frames[KC_FRAME_OWNER_BAD];
    if (used != 0) {
        status = bad(&v, KC_ERR_STATE, KC_MISUSE_BUSY, kc_pa(0), 0, used, KC_FRAME_OWNER_NONE);
    }
    status = conclude(f, irq, status, &v, __func__);
    if (status == KC_OK) {
        kc_frame_priv_clear(f, f->misuse);
    }
    return status;
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* True if the fault that a test asked for is due. */
static bool fault_due(struct kc_frames *f, uint32_t flags)
{
    if (KC_LIKELY(f->fail_after == UINT64_MAX)) {
        return false;
    }
    if (f->fail_after != 0) {
        f->fail_after--;
        return false;
    }
    if ((flags & KC_FRAME_NO_RECLAIM) != 0) {
        f->deaf |= 1u << kc_plat_cpu();
    }
    f->fail_times--;
    if (f->fail_times == 0) {
        f->fail_after = UINT64_MAX;
        __atomic_store_n(&f->faulty, 0, __ATOMIC_RELAXED);
    }
    return true;
}

/* Zones below the limit that flags state; 0: there is no such limit. */
static uint32_t zones_below(uint32_t flags)
{
    uint32_t bits = (flags & KC_FRAME_BELOW_ANY) / KC_FRAME_BELOW(1);
    if (bits == 0 || bits >= KC_FRAME_BITS_MIN + KC_FRAME_ZONES - 1) {
        return (uint32_t)(KC_BIT(KC_FRAME_ZONES) - 1);
    }
    return bits < KC_FRAME_BITS_MIN ? 0 : (2u << (bits - KC_FRAME_BITS_MIN)) - 1;
}

static kc_status_t judge_request(uint32_t count, uint32_t align, uint32_t flags, uint16_t owner,
                                 struct frame_request *rq)
{
    uint32_t known = KC_FRAME_ZERO | KC_FRAME_NO_RECLAIM | KC_FRAME_URGENT | KC_FRAME_BELOW_ANY;
    if ((flags & ~known) != 0 || owner == KC_FRAME_OWNER_NONE || owner == KC_FRAME_OWNER_BAD ||
        owner >= KC_FRAME_OWNER_COUNT) {
        return KC_ERR_ARG;
    }
    rq->zones = zones_below(flags);
    if (count == 0 || count > KC_FRAME_RUN_MAX || align > KC_FRAME_ORDER_MAX || rq->zones == 0) {
        return KC_ERR_RANGE;
    }
    rq->count = count;
    rq->order = kc_log2_ceil(count);
    rq->order = rq->order > align ? rq->order : align;
    rq->flags = flags;
    rq->owner = owner;
    return KC_OK;
}

enum outcome {
    TAKEN,
    SHORT,   /* of memory */
    INJECTED /* a test wants it to fail */
};

/* Takes what is asked for, wherever it is: kept here, in the zones, or both together. */
static bool take(struct kc_frames *f, const struct frame_request *rq, kc_pa_t *out, bool *zero,
                 struct frame_dropped *dropped)
{
    *zero = false;
    if (rq->order == 0 && (f->cpu_count | f->stock_count) != 0 &&
        kc_frame_priv_cpu_take(f, rq, out, zero, dropped)) {
        return true;
    }
    uint32_t index = kc_frame_priv_take(f, rq);
    if (KC_UNLIKELY(index == FRAME_NONE) && kc_frame_priv_cpu_yield(f, dropped)) {
        index = kc_frame_priv_take(f, rq);
    }
    if (KC_UNLIKELY(index == FRAME_NONE)) {
        return false;
    }
    f->alloc_count++;
    *out = frame_pa(frame_pfn_of(f, index));
    kc_plat_note(KC_NOTE_FRAME_ALLOC, kc_pa_raw(*out), (uint64_t)rq->count << KC_FRAME_LOG2, NULL);
    return true;
}

/* One try; a failure is counted if it is the last one anyway. *zero: the contents are. */
static enum outcome attempt(struct kc_frames *f, const struct frame_request *rq, uint32_t number,
                            bool last, kc_pa_t *out, bool *zero)
{
    struct frame_dropped dropped = {0, 0, 0};
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    enum outcome is = number == 0 && fault_due(f, rq->flags) ? INJECTED : SHORT;
    if (KC_LIKELY(is == SHORT && take(f, rq, out, zero, &dropped))) {
        is = TAKEN;
    } else if (last || is == INJECTED) {
        kc_frame_priv_count_failure(f, rq);
    }
    kc_lock_release_irqrestore(&f->lock, irq);
    frame_cpu_report(f, &dropped);
    return is;
}

/* Out of this CPU's list, without the lock; false: to be tried in another way. */
static bool take_here(struct kc_frames *f, const struct frame_request *rq, kc_pa_t *out)
{
    uint64_t irq = kc_plat_irq_save();
    struct kc_frame_cpu *c = frame_cpu(f);
    bool stock =
        (rq->flags & KC_FRAME_ZERO) != 0 && __atomic_load_n(&f->stock_count, __ATOMIC_RELAXED) != 0;
    bool done = c != NULL && !stock && __atomic_load_n(&f->faulty, __ATOMIC_RELAXED) == 0 &&
                frame_cpu_pop(f, c, rq, out);
    kc_plat_irq_restore(irq);
    return done;
}

/* ---- hardening full: frames written to while they were free --------------------------------- */

/* First word of a free frame that lost the pattern, or NULL. */
static const uint64_t *first_wrong(kc_pa_t pa)
{
    const uint64_t *word = kc_plat_ram(pa);
    for (uint32_t i = 0; i < KC_FRAME_BYTES / sizeof(*word); i++) {
        if (word[i] != FRAME_PATTERN) {
            return &word[i];
        }
    }
    return NULL;
}

/* Undoes the allocation of a run, but for the frames of the map `wrong`, which nobody gets. */
static void retire(struct kc_frames *f, const struct frame_request *rq, kc_pa_t pa,
                   const uint32_t *wrong)
{
    uint64_t pfn = kc_pa_raw(pa) >> KC_FRAME_LOG2;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    const struct kc_frame_span *s = frame_span_of(f, pfn);
    uint32_t index = frame_record(s, pfn);
    kc_plat_note(KC_NOTE_FRAME_FREE, kc_pa_raw(pa), (uint64_t)rq->count << KC_FRAME_LOG2, NULL);
    f->alloc_count--;
    f->owner_frames[rq->owner] -= rq->count;
    for (uint32_t i = 0; i < rq->count; i++) {
        frame_store_kind(kc_frame_at(f, index + i), 0);
        kc_frame_at(f, index + i)->word = 0;
    }
    for (uint32_t i = 0; i < rq->count; i++) {
        struct kc_frame *r = kc_frame_at(f, index + i);
        if ((wrong[i / 32] >> i % 32 & 1) == 0) {
            kc_frame_priv_give(f, s, index + i, 0);
            continue;
        }
        frame_store_data(r, 1);
        frame_store_kind(r, frame_kind(KC_FRAME_CLAIMED, 0, KC_FRAME_OWNER_BAD));
        f->owner_frames[KC_FRAME_OWNER_BAD]++;
    }
    kc_lock_release_irqrestore(&f->lock, irq);
}

/* True if a run just taken holds the pattern; else it is reported and taken out of use in part. */
static bool look_over(struct kc_frames *f, const struct frame_request *rq, kc_pa_t pa)
{
    uint32_t wrong[KC_FRAME_RUN_MAX / 32] = {0};
    bool whole = true;
    for (uint32_t i = 0; i < rq->count; i++) {
        const uint64_t *word = first_wrong(kc_pa(kc_pa_raw(pa) + ((uint64_t)i << KC_FRAME_LOG2)));
        if (word != NULL) {
            struct kc_misuse_report r = {.kind = KC_MISUSE_CORRUPT,
                                         .where = "kc_frame_alloc",
                                         .object = "frames",
                                         .address = kc_pa_raw(kc_frame_ptr_pa(f, word)),
                                         .expected = FRAME_PATTERN,
                                         .found = *word};
            kc_misuse_raise(f->misuse, &r);
            wrong[i / 32] |= 1u << i % 32;
            whole = false;
        }
    }
    if (!whole) {
        retire(f, rq, pa, wrong);
    }
    return whole;
}

/* ---- blocks --------------------------------------------------------------------------------- */

kc_status_t kc_frame_alloc_run(struct kc_frames *f, uint32_t count, uint32_t align, uint32_t flags,
                               uint16_t owner, kc_pa_t *out)
{
    struct frame_request rq;
    kc_status_t status = judge_request(count, align, flags, owner, &rq);
    if (status != KC_OK) {
        return status;
    }
    if (rq.order == 0 && f->cpu_count != 0 && take_here(f, &rq, out)) {
        if ((flags & KC_FRAME_ZERO) != 0) {
            __builtin_memset(kc_plat_ram(*out), 0, KC_FRAME_BYTES);
        }
        return KC_OK;
    }
    uint32_t tries = (flags & KC_FRAME_NO_RECLAIM) != 0 ? 1 : 2;
    for (uint32_t i = 0; i < tries;) {
        kc_pa_t pa;
        bool zero;
        enum outcome is = attempt(f, &rq, i, i + 1 == tries, &pa, &zero);
        if (is == TAKEN) {
            if (FRAME_FULL && !look_over(f, &rq, pa)) {
                continue; /* ends: there is one frame fewer each time */
            }
            if ((flags & KC_FRAME_ZERO) != 0 && !zero) {
                __builtin_memset(kc_plat_ram(pa), 0, (size_t)count << KC_FRAME_LOG2);
            }
            *out = pa;
            return KC_OK;
        }
        i = is == INJECTED ? tries : i + 1;
        if (i < tries) {
            (void)kc_frames_reclaim(f, (uint64_t)1 << rq.order);
        }
    }
    return KC_ERR_NOMEM;
}

kc_status_t kc_frame_alloc(struct kc_frames *f, uint32_t order, uint32_t flags, uint16_t owner,
                           kc_pa_t *out)
{
    if (order > KC_FRAME_ORDER_MAX) {
        return KC_ERR_RANGE;
    }
    return kc_frame_alloc_run(f, 1u << order, order, flags, owner, out);
}

/* Makes a USED block free. */
static void release(struct kc_frames *f, const struct kc_frame_span *s, uint32_t index)
{
    struct kc_frame *r = kc_frame_at(f, index);
    uint32_t order = frame_kind_order(r->kind);
    uint32_t owner = frame_kind_owner(r->kind);
    kc_plat_note(KC_NOTE_FRAME_FREE, frame_pfn(s, index) << KC_FRAME_LOG2,
                 (uint64_t)KC_FRAME_BYTES << order, NULL);
    f->owner_frames[owner] -= (uint64_t)1 << order;
    frame_store_word(r, owner);
    kc_frame_priv_give(f, s, index, order);
}

/* Writes the pattern over blocks that are leaving. Gives up the lock for it; irq as it is now. */
static uint64_t fill_leaving(struct kc_frames *f, uint64_t irq, kc_pa_t pa, uint64_t bytes)
{
    kc_lock_release_irqrestore(&f->lock, irq);
    kc_frame_priv_fill(pa, bytes);
    return kc_lock_acquire_irqsave(&f->lock);
}

/* Makes one judged block free. At hardening full the lock is given up in between; irq as it is. */
static uint64_t let_go(struct kc_frames *f, uint64_t irq, const struct kc_frame_span *s,
                       uint32_t index)
{
    if (FRAME_FULL) {
        struct kc_frame *r = kc_frame_at(f, index);
        frame_store_word(r, 0);
        irq = fill_leaving(f, irq, frame_pa(frame_pfn(s, index)),
                           (uint64_t)KC_FRAME_BYTES << frame_kind_order(r->kind));
    }
    release(f, s, index);
    f->free_count++;
    return irq;
}

kc_status_t kc_frame_free(struct kc_frames *f, kc_pa_t pa, uint32_t order)
{
    const struct kc_frame_span *s;
    uint32_t index;
    if (order == 0 && f->cpu_count != 0 && kc_frame_priv_cpu_free(f, pa)) {
        return KC_OK;
    }
    /* ORDER_ANY is no order: whoever says it is told the right one. */
    uint32_t said = order > KC_FRAME_ORDER_MAX ? KC_FRAME_ORDERS : order;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    struct verdict v;
    kc_status_t status = judge_free(f, pa, said, &s, &index, &v);
    if (status == KC_OK) {
        irq = let_go(f, irq, s, index);
    }
    return conclude(f, irq, status, &v, __func__);
}

/* Record of frame `at` of a run, and its span: what is freed as a run may be several, side by side.
 */
static struct kc_frame *run_record(const struct kc_frames *f, kc_pa_t pa, uint32_t at,
                                   const struct kc_frame_span **s)
{
    uint64_t pfn = (kc_pa_raw(pa) >> KC_FRAME_LOG2) + at;
    *s = frame_span_of(f, pfn);
    return kc_frame_at(f, frame_record(*s, pfn));
}

/* Judges that all blocks of a run may be freed now. */
static kc_status_t judge_run(const struct kc_frames *f, kc_pa_t pa, uint32_t count,
                             struct verdict *v)
{
    const struct kc_frame_span *s = NULL;
    uint32_t index = 0;
    uint64_t at = kc_pa_raw(pa);
    kc_status_t status = KC_OK;
    for (uint32_t o = KC_FRAME_ORDERS; o-- > 0 && status == KC_OK;) {
        if ((count >> o & 1) != 0) {
            status = judge_free(f, kc_pa(at), o, &s, &index, v);
            at += (uint64_t)KC_FRAME_BYTES << o;
        }
    }
    return status;
}

kc_status_t kc_frame_free_run(struct kc_frames *f, kc_pa_t pa, uint32_t count)
{
    if (count == 0 || count > KC_FRAME_RUN_MAX) {
        return KC_ERR_RANGE;
    }
    const struct kc_frame_span *s = NULL;
    struct verdict v;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    kc_status_t status = judge_run(f, pa, count, &v);
    if (FRAME_FULL && status == KC_OK) {
        for (uint32_t o = KC_FRAME_ORDERS, from = 0; o-- > 0;) {
            if ((count >> o & 1) != 0) {
                frame_store_word(run_record(f, pa, from, &s), 0); /* leaving */
                from += 1u << o;
            }
        }
        irq = fill_leaving(f, irq, pa, (uint64_t)count << KC_FRAME_LOG2);
    }
    if (status == KC_OK) {
        /* From the last to the first, so that each merges with what follows. */
        for (uint32_t o = 0, end = count; o < KC_FRAME_ORDERS; o++) {
            if ((count >> o & 1) != 0) {
                end -= 1u << o;
                uint32_t record = kc_frame_index(f, run_record(f, pa, end, &s));
                release(f, s, record);
            }
        }
        f->free_count++;
    }
    return conclude(f, irq, status, &v, __func__);
}

/* ---- runs that change where they are --------------------------------------------------------- */

/* Judges the run, and that one owner has it; *s and *index are of its first frame. */
static kc_status_t judge_resize(const struct kc_frames *f, kc_pa_t pa, uint32_t count,
                                const struct kc_frame_span **s, uint32_t *index, uint16_t *owner,
                                struct verdict *v)
{
    kc_status_t status = judge_run(f, pa, count, v);
    if (status != KC_OK) {
        return status;
    }
    const struct kc_frame *first = run_record(f, pa, 0, s);
    *index = frame_record(*s, kc_pa_raw(pa) >> KC_FRAME_LOG2);
    *owner = (uint16_t)frame_kind_owner(first->kind);
    for (uint32_t o = KC_FRAME_ORDERS, from = 0; o-- > 0;) {
        if ((count >> o & 1) != 0) {
            const struct kc_frame_span *here;
            const struct kc_frame *r = run_record(f, pa, from, &here);
            if (here != *s || frame_kind_owner(r->kind) != *owner) {
                return bad(v, KC_ERR_PERM, KC_MISUSE_WRONG_OWNER, pa, *owner,
                           frame_kind_owner(r->kind), *owner);
            }
            from += 1u << o;
        }
    }
    return KC_OK;
}

/* Takes the frames behind a judged run, and makes all of them one. The lock as in let_go(). */
static kc_status_t lengthen(struct kc_frames *f, uint64_t *irq, const struct kc_frame_span *s,
                            uint32_t index, uint32_t count, const struct frame_request *more)
{
    uint32_t new_count = count + more->count;
    uint64_t pfn = frame_pfn(s, index);
    kc_pa_t behind = frame_pa(pfn + count);
    bool fits = kc_is_aligned(pfn, (uint64_t)1 << kc_log2_floor(new_count));
    if (!fits || fault_due(f, 0) || !kc_frame_priv_take_at(f, s, index + count, more)) {
        kc_frame_priv_count_failure(f, more);
        return KC_ERR_NOMEM;
    }
    uint64_t used = f->frame_count - f->free_frames;
    f->peak_frames = used > f->peak_frames ? used : f->peak_frames;
    kc_plat_note(KC_NOTE_FRAME_ALLOC, kc_pa_raw(behind), (uint64_t)more->count << KC_FRAME_LOG2,
                 NULL);
    if (FRAME_FULL) {
        f->alloc_count++; /* as long as it is by itself; or look_over() takes it back */
        kc_lock_release_irqrestore(&f->lock, *irq);
        bool whole = look_over(f, more, behind);
        *irq = kc_lock_acquire_irqsave(&f->lock);
        if (!whole) {
            return KC_ERR_NOMEM;
        }
        f->alloc_count--;
    }
    kc_frame_priv_recut(f, s, index, new_count, new_count, more->owner);
    return KC_OK;
}

/* Frees the end of a judged run. Returns irq as it is; the lock as in let_go(). */
static uint64_t shorten(struct kc_frames *f, uint64_t irq, const struct kc_frame_span *s,
                        uint32_t index, uint32_t count, uint32_t new_count, uint16_t owner)
{
    kc_frame_priv_recut(f, s, index, count, new_count, owner);
    uint32_t end = index + count;
    if (FRAME_FULL) {
        for (uint32_t at = index + new_count; at < end;
             at += 1u << frame_stretch_order(s, at, end)) {
            kc_frame_at(f, at)->word = 0; /* leaving */
        }
        irq = fill_leaving(f, irq, frame_pa(frame_pfn(s, index + new_count)),
                           (uint64_t)(count - new_count) << KC_FRAME_LOG2);
    }
    for (uint32_t at = index + new_count; at < end;) {
        uint32_t next = at + (1u << frame_stretch_order(s, at, end));
        release(f, s, at);
        at = next;
    }
    return irq;
}

kc_status_t kc_frame_resize_run(struct kc_frames *f, kc_pa_t pa, uint32_t count, uint32_t new_count,
                                uint32_t flags)
{
    struct frame_request more;
    kc_status_t status = judge_request(new_count, 0, flags, KC_FRAME_OWNER_KERNEL, &more);
    if (status != KC_OK || count == 0 || count > KC_FRAME_RUN_MAX) {
        return status != KC_OK ? status : KC_ERR_RANGE;
    }
    const struct kc_frame_span *s = NULL;
    uint32_t index = 0;
    struct verdict v;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    status = judge_resize(f, pa, count, &s, &index, &more.owner, &v);
    if (status != KC_OK) {
        return conclude(f, irq, status, &v, __func__);
    }
    if (new_count > count) {
        more.count = new_count - count;
        more.order = kc_log2_floor(more.count);
        status = lengthen(f, &irq, s, index, count, &more);
    } else if (new_count < count) {
        irq = shorten(f, irq, s, index, count, new_count, more.owner);
    }
    kc_lock_release_irqrestore(&f->lock, irq);
    if (status == KC_OK && new_count > count && (flags & KC_FRAME_ZERO) != 0) {
        __builtin_memset(kc_plat_ram(kc_pa(kc_pa_raw(pa) + ((uint64_t)count << KC_FRAME_LOG2))), 0,
                         (size_t)more.count << KC_FRAME_LOG2);
    }
    return status;
}

/* ---- references and pins -------------------------------------------------------------------- */

kc_status_t kc_frame_get(struct kc_frames *f, kc_pa_t pa)
{
    const struct kc_frame_span *s;
    uint32_t index;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    struct verdict v;
    kc_status_t status = judge(f, pa, ORDER_ANY, &s, &index, &v);
    if (status == KC_OK) {
        struct kc_frame *r = kc_frame_at(f, index);
        uint32_t word = frame_load_word(r);
        if (frame_refs(word) == FRAME_REF_MAX) {
            status = KC_ERR_QUOTA;
        } else {
            frame_store_word(r, word + FRAME_REF_ONE);
        }
    }
    return conclude(f, irq, status, &v, __func__);
}

kc_status_t kc_frame_put(struct kc_frames *f, kc_pa_t pa, bool *freed)
{
    const struct kc_frame_span *s;
    uint32_t index;
    bool last = false;
    if (f->cpu_count != 0 && kc_frame_priv_cpu_free(f, pa)) {
        if (freed != NULL) {
            *freed = true;
        }
        return KC_OK;
    }
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    struct verdict v;
    kc_status_t status = judge(f, pa, ORDER_ANY, &s, &index, &v);
    if (status == KC_OK) {
        struct kc_frame *r = kc_frame_at(f, index);
        uint32_t word = frame_load_word(r);
        last = frame_refs(word) == 1;
        if (!last) {
            frame_store_word(r, word - FRAME_REF_ONE);
        } else if (frame_pins(word) != 0) {
            status = bad_busy(&v, r, pa, 0, frame_pins(word));
        } else {
            irq = let_go(f, irq, s, index);
        }
    }
    if (status == KC_OK && freed != NULL) {
        *freed = last;
    }
    return conclude(f, irq, status, &v, __func__);
}

kc_status_t kc_frame_pin(struct kc_frames *f, kc_pa_t pa)
{
    const struct kc_frame_span *s;
    uint32_t index;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    struct verdict v;
    kc_status_t status = judge(f, pa, ORDER_ANY, &s, &index, &v);
    if (status == KC_OK) {
        struct kc_frame *r = kc_frame_at(f, index);
        uint32_t word = frame_load_word(r);
        if (frame_pins(word) == FRAME_REF_MAX) {
            status = KC_ERR_QUOTA;
        } else {
            frame_store_word(r, word + FRAME_PIN_ONE);
        }
    }
    return conclude(f, irq, status, &v, __func__);
}

kc_status_t kc_frame_unpin(struct kc_frames *f, kc_pa_t pa)
{
    const struct kc_frame_span *s;
    uint32_t index;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    struct verdict v;
    kc_status_t status = judge(f, pa, ORDER_ANY, &s, &index, &v);
    if (status == KC_OK) {
        struct kc_frame *r = kc_frame_at(f, index);
        uint32_t word = frame_load_word(r);
        if (frame_pins(word) == 0) {
            status =
                bad(&v, KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE, pa, 1, 0, frame_kind_owner(r->kind));
        } else {
            frame_store_word(r, word - FRAME_PIN_ONE);
        }
    }
    return conclude(f, irq, status, &v, __func__);
}

/* ---- for allocators that build on frames ---------------------------------------------------- */

struct kc_frame *kc_frame_claim(struct kc_frames *f, kc_pa_t pa, uint32_t order, uint64_t data)
{
    const struct kc_frame_span *s;
    uint32_t index;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    struct verdict v;
    kc_status_t status = judge_free(f, pa, order, &s, &index, &v);
    KC_CHECK(status == KC_OK && order <= KC_FRAME_ORDER_MAX && data != 0);
    struct kc_frame *r = kc_frame_at(f, index);
    frame_store_data(r, data);
    r->word = 0;
    for (uint32_t i = 1; i < 1u << order; i++) {
        r[i].word = 0; /* was a last owner (F7) */
        frame_store_kind(&r[i], frame_kind(KC_FRAME_INNER, order, 0));
    }
    frame_store_kind(r, frame_kind(KC_FRAME_CLAIMED, order, frame_kind_owner(r->kind)));
    kc_lock_release_irqrestore(&f->lock, irq);
    return r;
}

void kc_frame_unclaim(struct kc_frames *f, kc_pa_t pa, uint32_t order)
{
    uint64_t pfn = kc_pa_raw(pa) >> KC_FRAME_LOG2;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    const struct kc_frame_span *s = frame_span_of(f, pfn);
    KC_CHECK(s != NULL && kc_pa_is_aligned(pa, KC_FRAME_BYTES));
    struct kc_frame *r = kc_frame_at(f, frame_record(s, pfn));
    KC_CHECK(!frame_is_fresh(s, frame_record(s, pfn)) &&
             (r->kind & 0xffffu) == frame_kind(KC_FRAME_CLAIMED, order, 0));
    frame_store_word(r, FRAME_REF_ONE);
    frame_store_kind(r, frame_kind(KC_FRAME_USED, order, frame_kind_owner(r->kind)));
    frame_store_data(r, 0);
    for (uint32_t i = 1; i < 1u << order; i++) {
        frame_store_kind(&r[i], 0);
        frame_store_data(&r[i], 0);
        r[i].word = 0;
    }
    kc_lock_release_irqrestore(&f->lock, irq);
}

struct kc_frame *kc_frame_priv_record(const struct kc_frames *f, uint64_t pfn)
{
    const struct kc_frame_span *s = frame_span_of(f, pfn);
    return s == NULL || frame_is_fresh(s, frame_record(s, pfn))
               ? NULL
               : s->first + (uint32_t)(pfn - s->pfn);
}

bool kc_frame_find(const struct kc_frames *f, kc_pa_t pa, struct kc_frame_found *out)
{
    return frame_find(f, pa, out);
}
