/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Translation tables: what a change owes to the TLBs (O3 and O5 of pt.c). An operation collects the
 * leaves that it changes in a batch, and settles them together.
 *
 * Leaves need the last-level forms, one operation per leaf of the smallest size changed, up to
 * KC_PT_TLBI_MAX; beyond, range operations where the machine has them, else the whole ASID. If a
 * table descriptor went, the all-level forms, since walkers cache tables too. One per leaf is
 * enough for a block: an invalidation by address removes every entry that the descriptor which
 * translates the address gave rise to (D8.14.3).
 *
 * Cost: at most KC_PT_TLBI_MAX invalidations, or the range operations that cover the batch, or one.
 * Locking: the caller's hold of the tree's lock.
 *
 * Sources: DDI 0487 J.a, D8.13 "Translation Lookaside Buffers", D8.14 "TLB maintenance"; Linux
 * arch/arm64/include/asm/tlbflush.h for strides and the limit.
 */
#include "pt_priv.h"

void kc_pt_priv_batch_add(const struct kc_pt *pt, struct kc_pt_batch *b, uint32_t level,
                          uint64_t ia)
{
    uint32_t shift = kc_a64_level_shift(&pt->format, level);
    uint64_t base = kc_align_down(ia, KC_BIT(shift));
    if (!b->any) {
        *b = (struct kc_pt_batch){.first = base,
                                  .last = base,
                                  .shift = shift,
                                  .level = level,
                                  .any = true,
                                  .all_levels = b->all_levels};
        return;
    }
    b->first = base < b->first ? base : b->first;
    b->last = base > b->last ? base : b->last;
    /* The highest leaf counts in units of the smallest: its last unit ends the range. */
    b->shift = shift < b->shift ? shift : b->shift;
    b->level = level == b->level ? level : KC_A64_TTL_ANY;
}

static enum kc_tlbi tlbi_by_va(const struct kc_pt *pt, bool all_levels)
{
    if (pt->any_asid) {
        return all_levels ? KC_TLBI_VAAE1IS : KC_TLBI_VAALE1IS;
    }
    return all_levels ? KC_TLBI_VAE1IS : KC_TLBI_VALE1IS;
}

static enum kc_tlbi tlbi_by_range(const struct kc_pt *pt, bool all_levels)
{
    if (pt->any_asid) {
        return all_levels ? KC_TLBI_RVAAE1IS : KC_TLBI_RVAALE1IS;
    }
    return all_levels ? KC_TLBI_RVAE1IS : KC_TLBI_RVALE1IS;
}

void kc_pt_priv_tlbi_all(const struct kc_pt *pt)
{
    if (pt->any_asid) {
        kc_plat_tlbi(KC_TLBI_VMALLE1IS, 0);
    } else {
        kc_plat_tlbi(KC_TLBI_ASIDE1IS, kc_a64_tlbi_asid(pt->asid));
    }
}

static void tlbi_batch(const struct kc_pt *pt, const struct kc_pt_batch *b, uint64_t tail)
{
    uint32_t asid = pt->any_asid ? 0 : pt->asid;
    /* A hint with the all-level form would spare cached tables above the level hinted at. */
    uint32_t level = b->all_levels ? KC_A64_TTL_ANY : b->level;
    uint64_t bytes = b->last - b->first + tail;
    uint64_t count = bytes >> b->shift;
    if (count <= KC_PT_TLBI_MAX) {
        for (uint64_t i = 0; i < count; i++) {
            kc_plat_tlbi(tlbi_by_va(pt, b->all_levels),
                         kc_a64_tlbi_va(&pt->format, b->first + (i << b->shift), asid, level));
        }
        return;
    }
    if ((pt->format.features & KC_A64_FEAT_TLBIRANGE) == 0) {
        kc_pt_priv_tlbi_all(pt);
        return;
    }
    struct kc_a64_tlbi_range range;
    uint64_t operand;
    bool single;
    kc_a64_tlbi_range(&range, &pt->format, b->first, bytes, asid, level);
    while (kc_a64_tlbi_range_next(&range, &pt->format, &operand, &single)) {
        kc_plat_tlbi(single ? tlbi_by_va(pt, b->all_levels) : tlbi_by_range(pt, b->all_levels),
                     operand);
    }
}

void kc_pt_priv_settle_invalidate(const struct kc_pt *pt, const struct kc_pt_batch *b,
                                  uint64_t tail)
{
    if (!pt->live || !b->any) {
        return;
    }
    /* Without it: store still on its way, TLBI done, a walker reads the old descriptor and caches
       it afresh. */
    kc_plat_barrier(KC_DSB_ISHST);
    tlbi_batch(pt, b, tail);
    /* Without it: this CPU goes on (stores the new descriptor, frees the page) while another CPU
       still translates through what the TLBI has not reached yet. */
    kc_plat_barrier(KC_DSB_ISH);
}

void kc_pt_priv_settle_end(const struct kc_pt *pt, bool made_valid)
{
    if (!pt->live) {
        if (pt->shared) {
            /* Without it (O6): another CPU makes the tree live and enters it, and its walker does
               not see a store of this one, for which only this CPU's DSB stands (B2.3.10). */
            kc_plat_barrier(KC_DSB_ISHST);
        }
        return;
    }
    if (made_valid) {
        /* Without it: the caller's next access is walked before the store is visible, and faults
           on a mapping that it was told exists. */
        kc_plat_barrier(KC_DSB_ISHST);
    }
    /* Without it: instructions already fetched or translated under the old tables execute after
       the change. */
    kc_plat_barrier(KC_ISB);
}
