/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Address spaces: ASIDs, and how a CPU enters and leaves a space.
 *
 * An ASID belongs to a space for a *generation*. When all are given, a *rollover* begins the next:
 * every TLB is invalidated, and a space gets a new number when it is entered again; but one that
 * runs somewhere keeps its number, since that CPU goes on filling its TLB under it.
 *
 * Invariants
 *   A1  A CPU that may walk the root of a user space has that space in running[].
 *   A2  A space in running[] has an ASID of the present generation, which is in used[].
 *   A3  Between two owners of an ASID all TLBs are invalidated for it, and that is complete: by
 *       kc_pt_fini() of the first, or by a rollover.
 *   A4  What any TLB holds of a space it holds under the ASID of its tree (kc_pt_set_asid()): else
 *       an invalidation after a change would name another.
 *
 * A1 is kept by the order of two stores: running[] is written before TTBR0_EL1 when a space is
 * entered, and cleared after TTBR0_EL1 and ISB when it is left. The other way round, a rollover on
 * another CPU could give the ASID away while this CPU still fills its TLB under it.
 *
 * A4 is why the rollover itself moves a running space into the new generation: if that were left to
 * the next entry, the space could be left before it, and be given another number while a TLB still
 * holds what was filled behind the rollover's invalidation.
 *
 * Cost: see the header. Locking: the lock of struct kc_asids, rank KC_RANK_ASPACE.
 *
 * Sources: DDI 0487 J.a, D8.13.1 "Address space identifiers and virtual machine identifiers",
 * "TTBR0_EL1"; Linux arch/arm64/mm/context.c for generations and the ASIDs that survive a rollover.
 */
#include "aspace_priv.h"

#include <kc/frame.h>

#define ASID_BITS_MIN 4u

KC_STATIC_ASSERT((1u << ASID_BITS_MIN) > KC_CPUS_MAX + 1, "a rollover always frees an ASID");

kc_status_t kc_asids_init(struct kc_asids *a, uint32_t asid_bits, kc_pa_t empty_root)
{
    if (asid_bits < ASID_BITS_MIN || asid_bits > KC_ASID_BITS_MAX) {
        return KC_ERR_ARG;
    }
    if (!kc_pa_is_aligned(empty_root, KC_FRAME_BYTES)) {
        return KC_ERR_ALIGN;
    }
    __builtin_memset(a, 0, sizeof(*a));
    kc_lock_init(&a->lock, "asids", KC_RANK_ASPACE);
    a->empty_ttbr = kc_pa_raw(empty_root); /* ASID 0 */
    a->count = 1u << asid_bits;
    a->next = 1;
    a->generation = 1;
    a->used[0] = 1;
    return KC_OK;
}

static bool asid_is_used(const struct kc_asids *a, uint32_t asid)
{
    return (a->used[asid / 64] & KC_BIT(asid % 64)) != 0;
}

static void asid_set(struct kc_asids *a, uint32_t asid)
{
    a->used[asid / 64] |= KC_BIT(asid % 64);
}

/* 0 if all are used. */
static uint32_t asid_search(struct kc_asids *a)
{
    for (uint32_t i = 0; i < a->count; i++) {
        uint32_t asid = (a->next + i) & (a->count - 1);
        if (!asid_is_used(a, asid)) {
            a->next = (asid + 1) & (a->count - 1);
            return asid;
        }
    }
    return 0;
}

/* A new generation, into which spaces that run take their ASIDs along (A2); no TLB holds others. */
static void asid_rollover(struct kc_asids *a)
{
    __builtin_memset(a->used, 0, sizeof(a->used));
    asid_set(a, 0);
    a->generation++;
    for (uint32_t cpu = 0; cpu < KC_CPUS_MAX; cpu++) {
        if (a->running[cpu] != NULL) {
            asid_set(a, a->running[cpu]->asid);
            a->running[cpu]->generation = a->generation;
        }
    }
    a->rollovers++;
    a->next = 1;
    /* Without it: a store to some space's tables is still on its way, and a walker caches the old
       descriptor behind the invalidation. */
    kc_plat_barrier(KC_DSB_ISHST);
    kc_plat_tlbi(KC_TLBI_VMALLE1IS, 0);
    /* Without it: this CPU enters a space under an ASID while another still holds entries of its
       former owner (A3). */
    kc_plat_barrier(KC_DSB_ISH);
}

/* An ASID of the present generation for the space. The ASIDs' lock is held. */
static void asid_give(struct kc_asids *a, struct kc_aspace *as)
{
    if (as->generation == a->generation) {
        return;
    }
    uint32_t asid = asid_search(a);
    if (asid == 0) {
        asid_rollover(a);
        asid = asid_search(a);
        KC_CHECK(asid != 0);
    }
    asid_set(a, asid);
    as->asid = asid;
    as->generation = a->generation;
    kc_pt_set_asid(as->pt, asid);
}

kc_status_t kc_aspace_activate(struct kc_aspace *as)
{
    if (!as->ready) {
        return KC_ERR_STATE;
    }
    if (as->kind != KC_ASPACE_USER) {
        return KC_ERR_ARG;
    }
    struct kc_asids *a = as->asids;
    uint32_t cpu = kc_plat_cpu();
    kc_lock_acquire(&a->lock);
    if (a->running[cpu] != NULL) {
        kc_lock_release(&a->lock);
        return KC_ERR_STATE;
    }
    asid_give(a, as);
    kc_pt_set_live(as->pt);
    a->running[cpu] = as; /* A1: before the register */
    as->running++;
    uint64_t ttbr = 0;
    kc_status_t status = kc_a64_ttbr(kc_pt_format(as->pt), kc_pt_root(as->pt), as->asid, &ttbr);
    KC_CHECK(status == KC_OK); /* init checked the root and the number of ASIDs */
    kc_plat_sysreg_write(KC_TTBR0_EL1, ttbr);
    /* Without it: the next user access may still be translated through the former root. */
    kc_plat_barrier(KC_ISB);
    kc_lock_release(&a->lock);
    return KC_OK;
}

kc_status_t kc_aspace_deactivate(struct kc_aspace *as)
{
    if (!as->ready || as->kind != KC_ASPACE_USER) {
        return KC_ERR_STATE;
    }
    struct kc_asids *a = as->asids;
    uint32_t cpu = kc_plat_cpu();
    kc_lock_acquire(&a->lock);
    if (a->running[cpu] != as) {
        kc_lock_release(&a->lock);
        return KC_ERR_STATE;
    }
    kc_plat_sysreg_write(KC_TTBR0_EL1, a->empty_ttbr);
    /* Without it: this CPU still walks the space's root, under its ASID, after both were declared
       free for others below. */
    kc_plat_barrier(KC_ISB);
    a->running[cpu] = NULL; /* A1: after the register */
    as->running--;
    kc_lock_release(&a->lock);
    return KC_OK;
}

void kc_aspace_priv_asid_drop(struct kc_aspace *as)
{
    struct kc_asids *a = as->asids;
    kc_lock_acquire(&a->lock);
    if (as->generation == a->generation) {
        a->used[as->asid / 64] &= ~KC_BIT(as->asid % 64);
    }
    kc_lock_release(&a->lock);
}
