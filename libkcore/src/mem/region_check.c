/* SPDX-License-Identifier: BSD-2-Clause */
/* Validator of kc/region.h; invariants R1 to R5 are those of region.c. */
#include "region_priv.h"

static kc_status_t found(struct kc_region_fault *where, uint32_t invariant, uint32_t index)
{
    if (where != NULL) {
        where->invariant = invariant;
        where->index = index;
    }
    return invariant == 0 ? KC_OK : KC_ERR_CORRUPT;
}

kc_status_t kc_region_map_check(const struct kc_region_map *m, struct kc_region_fault *where)
{
    if (m->slot == NULL || m->slot_count == 0 || m->count > m->slot_count) {
        return found(where, 1, 0);
    }
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct kc_region *r = &m->slot[i];
        if (!region_is_sound(r)) {
            return found(where, 2, i);
        }
        if (!kc_range_fits(kc_ia_raw(r->base), r->size)) {
            return found(where, 3, i);
        }
        if (i != 0) {
            const struct kc_region *before = r - 1;
            if (!kc_ia_lt(before->base, r->base) ||
                kc_ia_diff(r->base, before->base) < before->size) {
                return found(where, 4, i);
            }
        }
        bytes += r->size;
    }
    return found(where, bytes == m->bytes ? 0 : 5, 0);
}
