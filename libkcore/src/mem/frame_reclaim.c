/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Marks, and reclaimers: who is asked when memory is short. Theory.
 *
 * A reclaimer is called without the lock, so the list may change meanwhile. What may not happen is
 * that it ends while it is called. So:
 *
 *  R1  `busy` of a reclaimer counts the CPUs between "chosen" and "back", both under the lock; it
 *      is taken out of the list only while it is 0. Hence its link is still good when a CPU is
 *      back.
 *  R2  Bit c of `reclaiming` is set while CPU c asks. Who finds its own bit set does not ask again:
 *      a reclaimer that allocates, or an interrupt in the middle of one, would go round for ever.
 *      Nobody looks at another CPU's bit, so nothing is ordered by it.
 *  R3  Nobody waits for a reclaimer from within one (R2's bit says so): two could wait for each
 *      other.
 *
 * Each is asked once in a round, in the order of the list, which only takes at its end; so a round
 * ends.
 *
 * Sources: the three marks are those of Linux's zones (min, low, high), without a thread of their
 * own: kc_frames_balance() is called by whoever has time.
 */
#include "frame_priv.h"

KC_STATIC_ASSERT(KC_CPUS_MAX <= 32, "a bit for each CPU");

kc_status_t kc_frames_set_marks(struct kc_frames *f, const struct kc_frame_marks *marks)
{
    if (f == NULL || marks == NULL) {
        return KC_ERR_ARG;
    }
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    bool good = marks->min <= marks->low && marks->low <= marks->high &&
                marks->high <= f->frame_count && marks->keep_log2 < 64;
    if (good) {
        f->marks = *marks;
    }
    kc_lock_release_irqrestore(&f->lock, irq);
    return good ? KC_OK : KC_ERR_RANGE;
}

/* True if r is in the list; the lock is held. */
static bool is_there(const struct kc_frames *f, const struct kc_frame_reclaimer *r)
{
    kc_list_each(it, &f->reclaimers) {
        if (it == &r->link) {
            return true;
        }
    }
    return false;
}

bool kc_frame_priv_has_reclaimer(struct kc_frames *f, const struct kc_frame_reclaimer *r)
{
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    bool there = is_there(f, r);
    kc_lock_release_irqrestore(&f->lock, irq);
    return there;
}

static bool is_asking(const struct kc_frames *f, uint32_t cpu)
{
    return (__atomic_load_n(&f->reclaiming, __ATOMIC_RELAXED) >> cpu & 1) != 0;
}

kc_status_t kc_frames_reclaimer_add(struct kc_frames *f, struct kc_frame_reclaimer *r)
{
    if (f == NULL || r == NULL || r->reclaim == NULL) {
        return KC_ERR_ARG;
    }
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    bool there = is_there(f, r);
    if (!there) {
        r->busy = 0;
        r->calls = 0;
        r->frames = 0;
        kc_list_init(&r->link);
        kc_list_add_before(&f->reclaimers, &r->link);
    }
    kc_lock_release_irqrestore(&f->lock, irq);
    return there ? KC_ERR_EXISTS : KC_OK;
}

kc_status_t kc_frames_reclaimer_remove(struct kc_frames *f, struct kc_frame_reclaimer *r)
{
    for (;;) {
        uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
        bool there = is_there(f, r);
        bool busy = there && r->busy != 0;
        if (there && !busy) {
            kc_list_del(&r->link); /* R1 */
        }
        kc_lock_release_irqrestore(&f->lock, irq);
        if (!busy) {
            return there ? KC_OK : KC_ERR_ABSENT;
        }
        if (is_asking(f, kc_plat_cpu())) {
            return KC_ERR_STATE; /* R3 */
        }
        kc_plat_relax();
    }
}

uint64_t kc_frames_reclaim(struct kc_frames *f, uint64_t frames)
{
    uint32_t bit = 1u << kc_plat_cpu();
    if ((__atomic_fetch_or(&f->reclaiming, bit, __ATOMIC_RELAXED) & bit) != 0) {
        return 0; /* R2 */
    }
    uint64_t got = 0;
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    uint64_t want = (f->deaf & bit) != 0 ? 0 : frames;
    f->deaf &= ~bit;
    for (struct kc_list *it = f->reclaimers.next; it != &f->reclaimers && got < want;
         it = it->next) {
        struct kc_frame_reclaimer *r = kc_list_entry(it, struct kc_frame_reclaimer, link);
        r->busy++;
        kc_lock_release_irqrestore(&f->lock, irq);
        uint64_t back = r->reclaim(r->context, want - got);
        irq = kc_lock_acquire_irqsave(&f->lock);
        r->busy--;
        r->calls++;
        r->frames += back;
        got += back;
    }
    f->reclaim_count++;
    f->reclaimed_frames += got;
    kc_lock_release_irqrestore(&f->lock, irq);
    __atomic_fetch_and(&f->reclaiming, ~bit, __ATOMIC_RELAXED);
    return got;
}

uint64_t kc_frames_balance(struct kc_frames *f)
{
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    uint64_t want = f->free_frames < f->marks.low ? f->marks.high - f->free_frames : 0;
    kc_lock_release_irqrestore(&f->lock, irq);
    return want == 0 ? 0 : kc_frames_reclaim(f, want);
}
