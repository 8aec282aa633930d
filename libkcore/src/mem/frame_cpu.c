/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lists of CPUs, and the stock of zero frames. Theory; F10 to F12 of frame.c are kept here.
 *
 * A *list* is a magazine (kc/mag.h) of single frames. A frame in it, or in the *stock*, is *kept*:
 * for everybody it is free, but no block of a zone, so it does not merge. What a record says of it:
 *
 *                  kind                            word
 *     handed out   USED, order 0, owner            one reference
 *     kept         USED, order 0, last owner       no reference, and who keeps it
 *     of a zone    FREE or inner                   last owner
 *
 * So a free is one store to `word`, and kind is written only by whoever takes a frame out of a list
 * or of a zone. That makes the race of two wrong frees harmless. Both may find one reference, and
 * both push the frame; the word is then of the one that stored last. An entry counts only if the
 * word names the list that it is in: whatever order the other entry comes up in, it is dropped and
 * reported. If meanwhile the frame even went back to its zone, what is stored late is a last owner
 * that makes no sense: the tiling of blocks (F2, F4), which is in kind, is not touched.
 *
 *       alloc                refill: empty, 8 frames
 *     <--------   list    <---------------------------   zones   <--- splits, merges
 *     -------->           --------------------------->
 *       free                 flush: full, 8 frames
 *
 *       alloc, ZERO                     prezero: one frame, written without the lock
 *     <------------------   stock    <-----------------   zones
 *
 * The marks are kept at the refill, for each frame of it; a frame that is freed into a list makes
 * no zone poorer. Frames of zones that are kept for those who can use no other (FRAME_ZONE_KEPT)
 * are in no list where there are others: else whoever pops would use them up, though he has no need
 * to.
 *
 * Counts of owners. An allocation on one CPU and its free on another leave +1 and -1 in their
 * lists, and so on without bound; but all counts are of fewer than 2^32 frames, so the sum modulo
 * 2^32 is right whatever its parts have become.
 *
 * Cost. Under the lock at most 8 takes or gives; where memory is short, or a CPU drains, as many as
 * it and the stock keep. On the fast path a pop or a push, after the judgement of the pointer.
 */
#include "frame_priv.h"

KC_STATIC_ASSERT(KC_FRAME_CPU_FRAMES >= 2 * KC_FRAME_CPU_MOVE, "a flush leaves some");
KC_STATIC_ASSERT(sizeof(struct kc_frame_cpu) % KC_LINE_BYTES == 0, "no line is of two CPUs");

/* ---- between lists and zones: the lock is held ---------------------------------------------- */

/* Brings one entry of the list back to its zone, or drops it. */
static void settle(struct kc_frames *f, struct kc_frame_cpu *c, const struct kc_frame_entry *e,
                   struct frame_dropped *dropped)
{
    struct kc_frame *r = kc_frame_at(f, e->index);
    if (KC_UNLIKELY(!frame_entry_is_good(f, c, e))) {
        /* Two frees were counted of what was one frame. */
        FRAME_COUNT(&c->owner[e->owner], 1u);
        FRAME_COUNT(&c->frees, (size_t)-1);
        dropped->pa = kc_pa_raw(frame_pa(e->pfn));
        dropped->owner = e->owner;
        dropped->count++;
        return;
    }
    frame_store_word(r, frame_kind_owner(frame_load_kind(r)));
    kc_frame_priv_give(f, frame_span_of(f, e->pfn), e->index, 0);
}

/* Settles so many entries, from the top. */
static void settle_top(struct kc_frames *f, struct kc_frame_cpu *c, size_t entries,
                       struct frame_dropped *dropped)
{
    size_t count = kc_mag_count(&c->mag);
    for (size_t i = 0; i < entries; i++) {
        count--;
        kc_mag_set_count(&c->mag, count);
        settle(f, c, &c->entry[count], dropped);
    }
}

/* Fills the empty list, as far as the request's marks allow. */
static void refill(struct kc_frames *f, struct kc_frame_cpu *c, const struct frame_request *rq)
{
    struct frame_request one = *rq;
    uint32_t count = 0;
    one.zones = f->list_zones;
    while (count < KC_FRAME_CPU_MOVE) {
        uint32_t index = kc_frame_priv_take_kept(f, &one, c->word);
        if (index == FRAME_NONE) {
            break;
        }
        struct kc_frame_entry e = {frame_pfn_of(f, index), index,
                                   frame_kind_owner(kc_frame_at(f, index)->kind)};
        c->entry[count++] = e;
        one.flags &= ~KC_FRAME_URGENT; /* what is urgent is one frame */
    }
    kc_mag_set_count(&c->mag, count);
}

/* Takes the first frame out of the stock. */
static uint32_t unstock(struct kc_frames *f)
{
    uint32_t index = f->stock;
    struct kc_frame *r = kc_frame_at(f, index);
    KC_CHECK(frame_load_word(r) == FRAME_KEPT_ZERO);
    f->stock = r->u.link.next;
    frame_store_data(r, 0);
    __atomic_store_n(&f->stock_count, f->stock_count - 1, __ATOMIC_RELAXED);
    return index;
}

static bool take_zero(struct kc_frames *f, const struct frame_request *rq, kc_pa_t *out)
{
    if (f->stock_count == 0) {
        return false;
    }
    uint64_t pfn = frame_pfn_of(f, f->stock);
    if ((rq->zones >> frame_zone_of(pfn) & 1) == 0) {
        return false;
    }
    struct kc_frame *r = kc_frame_at(f, unstock(f));
    frame_store_kind(r, frame_kind(KC_FRAME_USED, 0, rq->owner));
    frame_store_word(r, FRAME_REF_ONE);
    *out = frame_pa(pfn);
    f->owner_frames[rq->owner]++;
    f->alloc_count++;
    kc_plat_note(KC_NOTE_FRAME_ALLOC, kc_pa_raw(*out), KC_FRAME_BYTES, NULL);
    kc_plat_note(KC_NOTE_DEFINED, (uintptr_t)kc_plat_ram(*out), KC_FRAME_BYTES, NULL);
    return true;
}

bool kc_frame_priv_cpu_take(struct kc_frames *f, const struct frame_request *rq, kc_pa_t *out,
                            bool *zero, struct frame_dropped *dropped)
{
    *zero = (rq->flags & KC_FRAME_ZERO) != 0 && take_zero(f, rq, out);
    if (*zero) {
        return true;
    }
    struct kc_frame_cpu *c = frame_cpu(f);
    if (c == NULL) {
        return false;
    }
    while (kc_mag_count(&c->mag) != 0 &&
           !frame_entry_is_good(f, c, &c->entry[kc_mag_count(&c->mag) - 1])) {
        settle_top(f, c, 1, dropped);
    }
    /* A list is not filled for who could not use all of it. */
    if (kc_mag_count(&c->mag) == 0 && (f->list_zones & ~rq->zones) == 0) {
        refill(f, c, rq);
    }
    return frame_cpu_pop(f, c, rq, out);
}

/* Gives a frame back that is kept by nobody's list, with its last owner. */
static void give_kept(struct kc_frames *f, uint32_t index)
{
    struct kc_frame *r = kc_frame_at(f, index);
    frame_store_word(r, frame_kind_owner(r->kind));
    kc_frame_priv_give(f, frame_span_of(f, frame_pfn_of(f, index)), index, 0);
}

bool kc_frame_priv_cpu_yield(struct kc_frames *f, struct frame_dropped *dropped)
{
    struct kc_frame_cpu *c = frame_cpu(f);
    uint64_t before = f->free_frames;
    while (f->stock_count != 0) {
        give_kept(f, unstock(f));
    }
    if (c != NULL) {
        settle_top(f, c, kc_mag_count(&c->mag), dropped);
    }
    return f->free_frames != before;
}

/* ---- free: the lock is not held ------------------------------------------------------------- */

KC_COLD void kc_frame_priv_cpu_tell(struct kc_frames *f, const struct frame_dropped *dropped)
{
    struct kc_misuse_report r = {.kind = KC_MISUSE_DOUBLE_FREE,
                                 .where = "kc_frame_free",
                                 .object = "frames",
                                 .address = dropped->pa,
                                 .expected = 0,
                                 .found = dropped->count,
                                 .owner = dropped->owner,
                                 .owner_name = kc_frame_owner_name((uint16_t)dropped->owner)};
    kc_misuse_raise(f->misuse, &r);
}

/* Makes room in a full list; the CPU is pinned. */
static __attribute__((noinline)) void flush(struct kc_frames *f, struct kc_frame_cpu *c,
                                            struct frame_dropped *dropped)
{
    kc_lock_enter(&f->lock);
    settle_top(f, c, KC_FRAME_CPU_MOVE, dropped);
    kc_lock_leave(&f->lock);
}

/* Record of the frame at pa if it is in use, a block of its own, with one reference; else NULL. */
KC_INLINE struct kc_frame *sole(const struct kc_frames *f, kc_pa_t pa, struct kc_frame_entry *e)
{
    e->pfn = kc_pa_raw(pa) >> KC_FRAME_LOG2;
    const struct kc_frame_span *s = frame_span_of(f, e->pfn);
    if (KC_UNLIKELY(s == NULL || !kc_pa_is_aligned(pa, KC_FRAME_BYTES) ||
                    !frame_may_list(f, s->zone))) {
        return NULL;
    }
    e->index = frame_record(s, e->pfn);
    if (KC_UNLIKELY(frame_is_fresh(s, e->index))) {
        return NULL;
    }
    struct kc_frame *r = kc_frame_at(f, e->index);
    uint32_t kind = frame_load_kind(r);
    e->owner = frame_kind_owner(kind);
    bool is_sole =
        (kind & 0xffffu) == frame_kind(KC_FRAME_USED, 0, 0) && frame_load_word(r) == FRAME_REF_ONE;
    return is_sole ? r : NULL;
}

bool kc_frame_priv_cpu_free(struct kc_frames *f, kc_pa_t pa)
{
    struct frame_dropped dropped = {0, 0, 0};
    struct kc_frame_entry e;
    uint64_t irq = kc_plat_irq_save();
    struct kc_frame_cpu *c = frame_cpu(f);
    struct kc_frame *r = c != NULL ? sole(f, pa, &e) : NULL;
    if (KC_LIKELY(r != NULL)) {
        if (KC_UNLIKELY(kc_mag_count(&c->mag) == KC_FRAME_CPU_FRAMES)) {
            flush(f, c, &dropped);
        }
        size_t count = kc_mag_count(&c->mag);
        kc_plat_note(KC_NOTE_FRAME_FREE, kc_pa_raw(pa), KC_FRAME_BYTES, NULL);
        /* Release: who finds it free, and reports a second free, finds its last owner. */
        frame_store_word(r, c->word);
        c->entry[count] = e;
        kc_mag_set_count(&c->mag, count + 1);
        FRAME_COUNT(&c->owner[e.owner], (uint32_t)-1);
        FRAME_COUNT(&c->frees, 1u);
    }
    kc_plat_irq_restore(irq);
    frame_cpu_report(f, &dropped);
    return r != NULL;
}

/* ---- counts --------------------------------------------------------------------------------- */

uint64_t kc_frame_priv_cpu_kept(const struct kc_frames *f)
{
    uint64_t kept = 0;
    for (uint32_t i = 0; i < f->cpu_count; i++) {
        kept += kc_mag_count(&f->cpu[i].mag);
    }
    return kept;
}

uint64_t kc_frame_priv_owner_frames(const struct kc_frames *f, uint32_t owner)
{
    uint32_t sum = (uint32_t)f->owner_frames[owner];
    for (uint32_t i = 0; i < f->cpu_count; i++) {
        sum += __atomic_load_n(&f->cpu[i].owner[owner], __ATOMIC_RELAXED);
    }
    /* Of an allocation and its free on another CPU, only the free may have been seen. */
    return sum <= f->frame_count ? sum : 0;
}

/* ---- set up, drain, stock ------------------------------------------------------------------- */

/* What a list counted becomes the allocator's. The lock is held. */
static void absorb(struct kc_frames *f, const struct kc_frame_cpu *c)
{
    f->alloc_count += c->allocs;
    f->free_count += c->frees;
    for (uint32_t o = 0; o < KC_FRAME_OWNER_COUNT; o++) {
        f->owner_frames[o] = (uint32_t)(f->owner_frames[o] + c->owner[o]);
    }
}

kc_status_t kc_frames_set_cpus(struct kc_frames *f, struct kc_frame_cpu *lists, uint32_t count)
{
    if (f == NULL || (lists == NULL && count != 0)) {
        return KC_ERR_ARG;
    }
    if (!kc_is_aligned((uintptr_t)lists, KC_LINE_BYTES)) {
        return KC_ERR_ALIGN;
    }
    if (count > KC_CPUS_MAX) {
        return KC_ERR_RANGE;
    }
    struct frame_dropped dropped = {0, 0, 0};
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    for (uint32_t i = 0; i < f->cpu_count; i++) {
        settle_top(f, &f->cpu[i], kc_mag_count(&f->cpu[i].mag), &dropped);
        absorb(f, &f->cpu[i]);
    }
    f->cpu = KC_MAG_IS_USED ? lists : NULL;
    f->cpu_count = KC_MAG_IS_USED ? count : 0;
    for (uint32_t i = 0; i < f->cpu_count; i++) {
        __builtin_memset(&lists[i], 0, sizeof(lists[i]));
        lists[i].word = FRAME_KEPT_BY(i);
    }
    kc_lock_release_irqrestore(&f->lock, irq);
    frame_cpu_report(f, &dropped);
    return KC_OK;
}

uint32_t kc_frames_drain(struct kc_frames *f, uint32_t cpu)
{
    if (cpu >= f->cpu_count) {
        return 0;
    }
    struct frame_dropped dropped = {0, 0, 0};
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    uint32_t kept = (uint32_t)kc_mag_count(&f->cpu[cpu].mag);
    settle_top(f, &f->cpu[cpu], kept, &dropped);
    kc_lock_release_irqrestore(&f->lock, irq);
    frame_cpu_report(f, &dropped);
    return kept - dropped.count;
}

/* A free frame that will be zero, if the stock has room and memory is not short; else NONE. */
static uint32_t begin_zero(struct kc_frames *f)
{
    struct frame_request one = {1, 0, f->list_zones, 0, KC_FRAME_OWNER_NONE};
    if (frame_stocked(f) >= KC_FRAME_STOCK_MAX || f->free_frames <= f->marks.low) {
        return FRAME_NONE;
    }
    return kc_frame_priv_take_kept(f, &one, FRAME_KEPT_ZERO);
}

uint32_t kc_frames_prezero(struct kc_frames *f, uint32_t frames)
{
    uint32_t made = 0;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    while (!FRAME_FULL && made < frames) {
        uint32_t index = begin_zero(f);
        if (index == FRAME_NONE) {
            break;
        }
        uint64_t pa = kc_pa_raw(frame_pa(frame_pfn_of(f, index)));
        f->zeroing++;
        kc_lock_release_irqrestore(&f->lock, irq);
        /* Told as an allocation for as long as it is written to. */
        kc_plat_note(KC_NOTE_FRAME_ALLOC, pa, KC_FRAME_BYTES, NULL);
        __builtin_memset(kc_plat_ram(kc_pa(pa)), 0, KC_FRAME_BYTES);
        kc_plat_note(KC_NOTE_FRAME_FREE, pa, KC_FRAME_BYTES, NULL);
        irq = kc_lock_acquire_irqsave(&f->lock);
        frame_store_next(kc_frame_at(f, index), f->stock);
        f->stock = index;
        f->zeroing--;
        __atomic_store_n(&f->stock_count, f->stock_count + 1, __ATOMIC_RELAXED);
        made++;
    }
    kc_lock_release_irqrestore(&f->lock, irq);
    return made;
}
