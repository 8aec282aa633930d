/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Validator of kc/aspace.h: judges I1 to I5 of aspace.c, and the tree by kc_pt_check().
 */
#include "aspace_priv.h"

#include <kc/frame.h>

static kc_status_t broken(struct kc_aspace_finding *finding, const char *invariant,
                          const char *text, uint64_t ia)
{
    if (finding != NULL) {
        *finding = (struct kc_aspace_finding){invariant, text, ia};
    }
    return KC_ERR_CORRUPT;
}

static kc_status_t check_areas(const struct kc_aspace *as, struct kc_aspace_finding *finding)
{
    uint64_t used = 0; /* bytes of the window below this area's extent */
    if (as->area_count > as->area_max) {
        return broken(finding, "I1", "more areas than there is room for", as->base);
    }
    for (uint32_t i = 0; i < as->area_count; i++) {
        const struct kc_area *a = &as->areas[i];
        uint64_t base = kc_aspace_priv_extent_base(a);
        uint64_t bytes = kc_aspace_priv_extent_bytes(a);
        if (a->bytes == 0 || !kc_range_covers(as->base, as->bytes, base, bytes)) {
            return broken(finding, "I1", "area outside the window", a->base);
        }
        if (base - as->base < used) {
            return broken(finding, "I1", "areas out of order, or extents that meet", a->base);
        }
        used = base - as->base + bytes;
    }
    return KC_OK;
}

/* One run of mapped pages, area by area. */
static kc_status_t check_run(const struct kc_aspace *as, const struct kc_pt_run *run,
                             uint64_t bytes, uint64_t *own, struct kc_aspace_finding *finding)
{
    uint64_t ia = kc_ia_raw(run->ia);
    if (!kc_aspace_priv_attr_fits(as, run->attr)) {
        return broken(finding, "I5", "mapping of the other kind of space", ia);
    }
    while (bytes != 0) {
        const struct kc_area *a = kc_aspace_priv_find(as, ia);
        if (a == NULL || !kc_range_has(a->base, a->bytes, ia)) {
            return broken(finding, "I2", "page mapped in no area, or in a guard", ia);
        }
        if (a->backing == KC_AREA_EMPTY) {
            return broken(finding, "I3", "page mapped in an empty area", ia);
        }
        uint64_t room = a->bytes - (ia - a->base);
        uint64_t part = bytes < room ? bytes : room;
        *own += a->backing == KC_AREA_OWN ? part / KC_FRAME_BYTES : 0;
        ia += part;
        bytes -= part;
    }
    return KC_OK;
}

kc_status_t kc_aspace_check(struct kc_aspace *as, struct kc_aspace_finding *finding)
{
    struct kc_pt_finding tree;
    uint64_t own = 0;
    if (!as->ready) {
        return broken(finding, "I1", "not initialised", 0);
    }
    if (kc_pt_check(as->pt, &tree) != KC_OK) {
        return broken(finding, tree.invariant, tree.text, tree.ia);
    }
    kc_status_t status = check_areas(as, finding);
    if (status != KC_OK) {
        return status;
    }
    struct kc_pt_cursor c = kc_pt_each_from(as->pt, kc_ia(as->base));
    struct kc_pt_run run;
    while (kc_pt_each(as->pt, &c, &run) && kc_range_has(as->base, as->bytes, kc_ia_raw(run.ia))) {
        uint64_t room = as->bytes - (kc_ia_raw(run.ia) - as->base);
        status = check_run(as, &run, run.bytes < room ? run.bytes : room, &own, finding);
        if (status != KC_OK) {
            return status;
        }
    }
    if (own != as->own_frames) {
        return broken(finding, "I4", "own frames miscounted", as->base);
    }
    return KC_OK;
}
