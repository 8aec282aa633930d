/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Translation tables: the pages that tables live in, and chains of them.
 *
 * A page is in the tree, in the reserve of the operation that runs, among the pages that this
 * operation unlinked, or *spare*. The last three are chains, threaded through entry 0 of the pages
 * themselves, so that they need no memory of their own:
 *
 *     chain --> | next | 0 | 0 | ...      next is a word of pt_priv.h, which is an invalid
 *               +------+---+---+          descriptor to walkers that still have the link cached
 *
 * A page from early memory that comes back when early memory is closed becomes spare. Spare pages
 * are used before any other; I9 of pt.c counts them.
 *
 * Cost: one source call a page. Locking: the caller's hold of the tree's lock.
 */
#include "pt_priv.h"

#include <kc/early.h>
#include <kc/frame.h>

KC_STATIC_ASSERT(KC_FRAME_BYTES == KC_PT_PAGE_BYTES, "a table page is one frame");

void kc_pt_priv_chain_push(uint64_t *chain, uint64_t ref)
{
    kc_plat_desc_store(kc_pt_priv_ref_pa(ref), *chain);
    *chain = ref;
}

uint64_t kc_pt_priv_chain_pop(uint64_t *chain)
{
    uint64_t ref = *chain;
    *chain = kc_plat_desc_load(kc_pt_priv_ref_pa(ref));
    kc_plat_desc_store(kc_pt_priv_ref_pa(ref), 0);
    return ref;
}

kc_status_t kc_pt_priv_page_take(struct kc_pt *pt, uint64_t *ref)
{
    kc_pa_t pa = kc_pa(0);
    uint64_t flags = KC_PT_REF_PRESENT;
    if (pt->spare != 0) {
        *ref = kc_pt_priv_chain_pop(&pt->spare);
        pt->spare_count--;
        pa = kc_pt_priv_ref_pa(*ref);
        flags |= KC_PT_REF_EARLY;
    } else if (pt->source.frames != NULL) {
        kc_status_t status =
            kc_frame_alloc(pt->source.frames, 0, KC_FRAME_URGENT, KC_FRAME_OWNER_TABLE, &pa);
        if (status != KC_OK) {
            return status;
        }
    } else {
        kc_status_t status =
            kc_early_alloc(pt->source.early, KC_PT_PAGE_BYTES, KC_PT_PAGE_BYTES, &pa);
        if (status != KC_OK) {
            return status;
        }
        flags |= KC_PT_REF_EARLY;
    }
    kc_plat_desc_fill(pa, KC_PT_PAGE_BYTES / KC_PT_DESC_BYTES, 0, 0);
    kc_plat_note(KC_NOTE_TABLE, kc_pa_raw(pa), KC_PT_PAGE_BYTES, pt);
    *ref = kc_pa_raw(pa) | flags;
    return KC_OK;
}

/* Hand a page back that no walker can reach or has cached any more. */
static void page_drop(struct kc_pt *pt, uint64_t ref)
{
    kc_pa_t pa = kc_pt_priv_ref_pa(ref);
    kc_plat_note(KC_NOTE_TABLE_FREE, kc_pa_raw(pa), KC_PT_PAGE_BYTES, pt);
    if ((ref & KC_PT_REF_EARLY) == 0) {
        kc_status_t status = kc_frame_free(pt->source.frames, pa, 0);
        KC_CHECK(status == KC_OK); /* ours since kc_pt_priv_page_take(), and nobody else's */
        return;
    }
    if (pt->source.early != NULL &&
        kc_early_free(pt->source.early, pa, KC_PT_PAGE_BYTES) == KC_OK) {
        return;
    }
    /* Early memory is closed, or has no slot to note the hole: keep the page for the next table. */
    kc_pt_priv_chain_push(&pt->spare, ref);
    pt->spare_count++;
}

void kc_pt_priv_chain_drop(struct kc_pt *pt, uint64_t chain)
{
    while (chain != 0) {
        page_drop(pt, kc_pt_priv_chain_pop(&chain));
    }
}

kc_status_t kc_pt_priv_reserve(struct kc_pt *pt, uint64_t count, uint64_t *chain)
{
    *chain = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t ref;
        kc_status_t status = kc_pt_priv_page_take(pt, &ref);
        if (status != KC_OK) {
            kc_pt_priv_chain_drop(pt, *chain);
            *chain = 0;
            return status;
        }
        kc_pt_priv_chain_push(chain, ref);
    }
    return KC_OK;
}

uint64_t kc_pt_priv_table_desc(const struct kc_pt *pt, uint32_t level, uint64_t ref)
{
    struct kc_a64_table t = {.next = kc_pa_raw(kc_pt_priv_ref_pa(ref))};
    uint64_t desc = 0;
    kc_status_t status = kc_a64_table_encode(&pt->format, level, &t, &desc);
    KC_CHECK(status == KC_OK); /* kc_pt_priv_page_take() gives RAM, which every CPU can address */
    return desc | ((ref & KC_PT_REF_EARLY) != 0 ? KC_PT_TABLE_EARLY : 0);
}

uint64_t kc_pt_priv_table_ref(uint64_t desc)
{
    return kc_pa_raw(kc_pt_priv_next(desc)) | KC_PT_REF_PRESENT |
           ((desc & KC_PT_TABLE_EARLY) != 0 ? KC_PT_REF_EARLY : 0);
}

void kc_pt_priv_gather(struct kc_pt *pt, uint32_t level, uint64_t ref, uint64_t *chain)
{
    uint32_t entries = kc_a64_level_entries(&pt->format, level);
    for (uint32_t i = 0; level < KC_PT_LAST_LEVEL && i < entries; i++) {
        kc_pa_t at = kc_pa(kc_pa_raw(kc_pt_priv_ref_pa(ref)) + i * KC_PT_DESC_BYTES);
        uint64_t desc = kc_plat_desc_load(at);
        if (kc_a64_kind(&pt->format, level, desc) == KC_A64_TABLE) {
            kc_pt_priv_gather(pt, level + 1, kc_pt_priv_table_ref(desc), chain);
        }
    }
    pt->table_count--;
    kc_pt_priv_chain_push(chain, ref);
}
