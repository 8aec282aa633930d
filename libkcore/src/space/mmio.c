/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handles for device registers.
 *
 * Judging is done once, when a handle is made: the region map says what the addresses are for, the
 * tables say what they are. Both are asked, since each can be wrong without the other: a region
 * whose pages are not mapped yet, or an address of registers that a stray mapping has made memory,
 * where a speculative read would be allowed (DDI 0487, B2.10 "Device memory").
 *
 * M1  A handle with permissions lies in one MMIO region, and did so when it was made.
 * M2  base + offset of an access that is allowed has 64 bits: base + bytes - 1 has, by the region.
 *
 * Cost: an access is two compares, an alignment test and a mask before the seam. No lock: a handle
 * is a value, and kc/region.h's lookups take none.
 *
 * Sources: Linux Documentation/memory-barriers.txt, "KERNEL I/O BARRIER EFFECTS", for what the two
 * orders mean; DDI 0487 J.a, B2.3 for DMB and its domains: devices are in the outer shareable one.
 */
#include <kc/mmio.h>

#include <kc/frame.h>

/* Is each page of the range mapped as device registers? */
static bool is_mapped(struct kc_pt *pt, kc_va_t base, uint64_t bytes, uint32_t perms)
{
    uint64_t wanted = ((perms & KC_REGION_READ) != 0 ? KC_PT_R : 0u) |
                      ((perms & KC_REGION_WRITE) != 0 ? KC_PT_W : 0u);
    uint64_t last = kc_va_raw(base) + (bytes - 1);
    uint64_t at = kc_va_raw(base);
    for (;;) {
        struct kc_pt_walk w;
        if (kc_pt_translate(pt, kc_ia_of_va(kc_va(at)), &w) != KC_OK ||
            (w.attr.type != KC_A64_MEM_DEVICE_nGnRE && w.attr.type != KC_A64_MEM_DEVICE_nGnRnE) ||
            (w.attr.perm & KC_PT_USER) != 0 || (wanted & ~(uint64_t)w.attr.perm) != 0) {
            return false;
        }
        uint64_t entry_last = at | (w.span - 1); /* of the page or block */
        if (entry_last >= last) {
            return true;
        }
        at = entry_last + 1;
    }
}

kc_status_t kc_mmio_open(const struct kc_mmio_judge *j, kc_va_t base, uint64_t bytes,
                         uint32_t perms, const char *name, struct kc_mmio *out)
{
    struct kc_region_access a = {kc_ia_of_va(base), bytes, KC_REGION_MMIO, perms};
    if (perms == 0 || (perms & ~(KC_REGION_READ | KC_REGION_WRITE)) != 0) {
        return KC_ERR_ARG;
    }
    kc_status_t status = kc_region_answer_status(kc_region_check_access(j->map, &a, NULL));
    if (status != KC_OK) {
        return status;
    }
    if (j->pt != NULL && !is_mapped(j->pt, base, bytes, perms)) {
        return KC_ERR_STATE;
    }
    *out = (struct kc_mmio){base, bytes, perms, name, j->misuse};
    return KC_OK;
}

kc_status_t kc_mmio_part(const struct kc_mmio *h, uint64_t offset, uint64_t bytes, const char *name,
                         struct kc_mmio *out)
{
    if (bytes == 0) {
        return KC_ERR_ARG;
    }
    if (!kc_range_covers(0, h->bytes, offset, bytes)) {
        return KC_ERR_RANGE;
    }
    *out = (struct kc_mmio){kc_va(kc_va_raw(h->base) + offset), bytes, h->perms, name, h->misuse};
    return KC_OK;
}

kc_status_t kc_mmio_map(struct kc_aspace *as, struct kc_region_map *map, struct kc_misuse *misuse,
                        kc_pa_t pa, uint64_t bytes, uint32_t owner, const char *name,
                        struct kc_mmio *out)
{
    kc_ia_t at;
    if (as->kind != KC_ASPACE_KERNEL) {
        return KC_ERR_ARG;
    }
    kc_status_t status = kc_aspace_map_device(as, pa, bytes, &at);
    if (status != KC_OK) {
        return status;
    }
    const uint32_t perms = KC_REGION_READ | KC_REGION_WRITE;
    struct kc_region r = {at, bytes, KC_REGION_MMIO, perms, KC_REGION_FROM_NONE, owner, name};
    struct kc_mmio_judge j = {map, as->pt, misuse};
    status = kc_region_add(map, &r);
    if (status == KC_OK) {
        status = kc_mmio_open(&j, kc_va_of_ia(at), bytes, perms, name, out);
        if (status != KC_OK) {
            kc_status_t undone = kc_region_remove(map, at, bytes, NULL);
            KC_CHECK(undone == KC_OK);
        }
    }
    if (status != KC_OK) {
        kc_status_t undone = kc_aspace_release(as, kc_ia_align_down(at, KC_FRAME_BYTES));
        KC_CHECK(undone == KC_OK);
    }
    return status;
}

kc_status_t kc_mmio_unmap(struct kc_aspace *as, struct kc_region_map *map, struct kc_mmio *h)
{
    kc_ia_t at = kc_ia_of_va(h->base);
    struct kc_area area;
    if (!kc_aspace_find(as, at, &area) || area.backing != KC_AREA_DEVICE ||
        area.base != kc_ia_raw(kc_ia_align_down(at, KC_FRAME_BYTES))) {
        return KC_ERR_ABSENT;
    }
    kc_status_t status = kc_region_remove(map, at, h->bytes, NULL);
    if (status == KC_OK) {
        status = kc_aspace_release(as, kc_ia(area.base));
        *h = (struct kc_mmio){.bytes = 0};
    }
    return status;
}

void kc_mmio_refuse(const struct kc_mmio *h, uint64_t offset, uint32_t width, uint32_t perm)
{
    enum kc_misuse_kind kind = KC_MISUSE_INTERIOR;
    if (offset >= h->bytes || h->bytes - offset < width) {
        kind = KC_MISUSE_FOREIGN;
    } else if ((h->perms & perm) == 0) {
        kind = KC_MISUSE_WRONG_OWNER;
    }
    struct kc_misuse_report r = {.kind = kind,
                                 .where = perm == KC_REGION_READ ? "kc_mmio_read" : "kc_mmio_write",
                                 .object = h->name,
                                 .address = kc_va_raw(h->base) + offset,
                                 .expected = h->bytes,
                                 .found = offset};
    kc_misuse_raise(h->misuse, &r);
}

kc_status_t kc_mmio_poll32(const struct kc_mmio *h, uint64_t offset, uint32_t mask, uint32_t value,
                           uint64_t tries, uint32_t *last)
{
    if (tries == 0 || (value & ~mask) != 0) {
        return KC_ERR_ARG;
    }
    if (!kc_mmio_allows(h, offset, 4, KC_REGION_READ)) {
        kc_mmio_refuse(h, offset, 4, KC_REGION_READ);
        return KC_ERR_PERM;
    }
    kc_status_t status = KC_ERR_FAULT;
    for (;;) {
        uint32_t v = kc_mmio_read32_relaxed(h, offset);
        if (last != NULL) {
            *last = v;
        }
        if ((v & mask) == value) {
            status = KC_OK;
            break;
        }
        if (--tries == 0) {
            break;
        }
        kc_plat_relax();
    }
    kc_plat_barrier(KC_DMB_OSHLD);
    return status;
}
