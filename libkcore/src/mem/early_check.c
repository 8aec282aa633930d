/* SPDX-License-Identifier: BSD-2-Clause */
/* Validator of kc/early.h; invariants E1 to E5 are those of early.c. Believes nothing it reads. */
#include "early_priv.h"

static kc_status_t found(struct kc_early_fault *where, uint32_t invariant, uint32_t index,
                         kc_pa_t at)
{
    if (where != NULL) {
        where->invariant = invariant;
        where->index = index;
        where->at = at;
    }
    return KC_ERR_CORRUPT;
}

static bool is_pages(kc_pa_t base, uint64_t size)
{
    return kc_pa_is_aligned(base, KC_EARLY_PAGE_BYTES) && kc_is_aligned(size, KC_EARLY_PAGE_BYTES);
}

static kc_status_t check_runs(const struct kc_early *e, struct kc_early_fault *where)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < e->ram_count; i++) {
        kc_pa_range_t r = e->ram[i];
        if (!kc_range_covers(0, KC_EARLY_PA_LIMIT, kc_pa_raw(r.base), r.size) ||
            !is_pages(r.base, r.size)) {
            return found(where, 2, i, r.base);
        }
        if (i != 0 && kc_pa_raw(r.base) <= kc_pa_raw(e->ram[i - 1].base) + e->ram[i - 1].size) {
            return found(where, 2, i, r.base);
        }
        sum += r.size;
    }
    return sum == e->ram_bytes ? KC_OK : found(where, 2, e->ram_count, kc_pa(0));
}

static bool lies_in_a_run(const struct kc_early *e, const struct kc_early_range *t)
{
    for (uint32_t i = 0; i < e->ram_count; i++) {
        if (kc_range_covers(kc_pa_raw(e->ram[i].base), e->ram[i].size, kc_pa_raw(t->base),
                            t->size)) {
            return true;
        }
    }
    return false;
}

static bool kind_is_right(const struct kc_early_range *t)
{
    switch (t->kind) {
    case KC_BOOT_TEXT:
    case KC_BOOT_RODATA:
    case KC_BOOT_DATA:
    case KC_BOOT_NOMAP:
        return is_pages(t->base, t->size);
    case KC_BOOT_RESERVED:
    case KC_BOOT_INITRD:
    case KC_BOOT_DTB:
    case KC_EARLY_ALLOCATED:
        return true;
    default:
        return false;
    }
}

static kc_status_t check_taken(const struct kc_early *e, struct kc_early_fault *where)
{
    uint64_t sum = 0;
    for (uint32_t j = 0; j < e->taken_count; j++) {
        const struct kc_early_range *t = &e->taken[j];
        if (!lies_in_a_run(e, t)) {
            return found(where, 3, j, t->base);
        }
        if (!kind_is_right(t)) {
            return found(where, 4, j, t->base);
        }
        sum += t->size;
        if (j == 0) {
            continue;
        }
        const struct kc_early_range *before = &e->taken[j - 1];
        uint64_t before_end = kc_pa_raw(before->base) + before->size;
        if (kc_pa_raw(t->base) < before_end) {
            return found(where, 3, j, t->base);
        }
        bool merges = t->kind == KC_EARLY_ALLOCATED || t->kind == KC_BOOT_RESERVED;
        if (merges && t->kind == before->kind && kc_pa_raw(t->base) == before_end) {
            return found(where, 5, j, t->base);
        }
    }
    return sum == e->taken_bytes ? KC_OK : found(where, 3, e->taken_count, kc_pa(0));
}

kc_status_t kc_early_check(const struct kc_early *e, struct kc_early_fault *where)
{
    if ((e->state != EARLY_OPEN && e->state != EARLY_CLOSED) || e->ram_count == 0 ||
        e->ram_count > KC_BOOT_RANGES_MAX || e->taken_count > KC_EARLY_TAKEN_MAX) {
        return found(where, 1, 0, kc_pa(0));
    }
    kc_status_t s = check_runs(e, where);
    if (s == KC_OK) {
        s = check_taken(e, where);
    }
    if (s == KC_OK && where != NULL) {
        where->invariant = 0;
        where->index = 0;
        where->at = kc_pa(0);
    }
    return s;
}
