/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Validator of kc/pt.h: walks every table of a tree and judges I1 to I9 of pt.c.
 *
 * A tree with a loop, or with a table linked twice, is found by counting: the walk stops with I5 as
 * soon as it has seen more tables than the tree says it has.
 */
#include "pt_priv.h"

struct check {
    const struct kc_pt *pt;
    struct kc_pt_finding *finding;
    uint32_t tables;
};

static kc_status_t broken(const struct check *c, const char *invariant, const char *text,
                          uint64_t ia, uint32_t level, uint64_t desc)
{
    if (c->finding != NULL) {
        *c->finding = (struct kc_pt_finding){invariant, text, ia, desc, level};
    }
    return KC_ERR_CORRUPT;
}

static kc_status_t check_leaf(const struct check *c, uint32_t level, uint64_t ia, uint64_t desc)
{
    const struct kc_pt *pt = c->pt;
    struct kc_a64_leaf l;
    uint64_t again = 0;
    uint64_t out = kc_a64_desc_address(&pt->format, level, desc);
    if (out >> pt->format.pa_bits != 0) {
        return broken(c, "I8", "output address beyond the PA size", ia, level, desc);
    }
    if (kc_a64_leaf_decode(&pt->format, level, desc, &l) != KC_OK) {
        return broken(c, "I3", "leaf with reserved bits", ia, level, desc);
    }
    bool writable = (l.ap & 2u) == 0;
    if (writable && (!l.pxn || !l.uxn)) {
        return broken(c, "I6", "writable and executable", ia, level, desc);
    }
    struct kc_pt_attr attr = kc_pt_priv_attr_of(&l);
    if (attr.global && (!pt->any_asid || (attr.perm & KC_PT_USER) != 0)) {
        return broken(c, "I7", "global leaf where none may be", ia, level, desc);
    }
    if (kc_pt_priv_attr_check(pt->any_asid, attr) != KC_OK) {
        return broken(c, "I3", "leaf with attributes that no request may have", ia, level, desc);
    }
    struct kc_a64_leaf ours;
    kc_pt_priv_leaf_of(attr, &ours);
    ours.out = l.out;
    if (kc_a64_leaf_encode(&pt->format, level, &ours, &again) != KC_OK || again != desc) {
        return broken(c, "I3", "leaf is not what its attributes encode to", ia, level, desc);
    }
    return KC_OK;
}

static kc_status_t check_table(struct check *c, uint32_t level, kc_pa_t table, uint64_t ia);

static kc_status_t check_link(struct check *c, uint32_t level, uint64_t ia, uint64_t desc)
{
    struct kc_a64_table t;
    if (kc_a64_table_decode(&c->pt->format, level, desc, &t) != KC_OK) {
        return broken(c, "I8", "next table beyond the PA size, or reserved bits", ia, level, desc);
    }
    uint64_t again = 0;
    struct kc_a64_table plain = {.next = t.next};
    if (kc_a64_table_encode(&c->pt->format, level, &plain, &again) != KC_OK ||
        again != (desc & ~KC_PT_TABLE_EARLY)) {
        return broken(c, "I8", "table descriptor with attributes", ia, level, desc);
    }
    return check_table(c, level + 1, kc_pa(t.next), ia);
}

static kc_status_t check_table(struct check *c, uint32_t level, kc_pa_t table, uint64_t ia)
{
    const struct kc_a64_format *f = &c->pt->format;
    uint32_t entries = kc_a64_level_entries(f, level);
    uint32_t used = 0;
    if (++c->tables > c->pt->table_count) {
        return broken(c, "I5", "more tables than the tree has: linked twice, or a loop", ia, level,
                      0);
    }
    for (uint32_t i = 0; i < entries; i++) {
        uint64_t desc = kc_plat_desc_load(kc_pa(kc_pa_raw(table) + i * KC_PT_DESC_BYTES));
        uint64_t at = ia + ((uint64_t)i << kc_a64_level_shift(f, level));
        kc_status_t status = KC_OK;
        if (desc == 0) {
            continue;
        }
        used++;
        switch (kc_a64_kind(f, level, desc)) {
        case KC_A64_BLOCK:
        case KC_A64_PAGE:
            status = check_leaf(c, level, at, desc);
            break;
        case KC_A64_TABLE:
            status = check_link(c, level, at, desc);
            break;
        default:
            return broken(c, "I2", "neither zero nor a leaf nor a table", at, level, desc);
        }
        if (status != KC_OK) {
            return status;
        }
    }
    if (used == 0 && level != kc_a64_start_level(f)) {
        return broken(c, "I4", "empty table", ia, level, 0);
    }
    return KC_OK;
}

static kc_status_t check_spare(const struct check *c)
{
    uint64_t ref = c->pt->spare;
    uint32_t count = 0;
    while (ref != 0 && count <= c->pt->spare_count) {
        ref = kc_plat_desc_load(kc_pa(ref & ~KC_PT_REF_FLAGS));
        count++;
    }
    if (count != c->pt->spare_count) {
        return broken(c, "I9", "spare chain is not as long as it says", 0, 0, ref);
    }
    return KC_OK;
}

kc_status_t kc_pt_check(const struct kc_pt *pt, struct kc_pt_finding *finding)
{
    struct check c = {pt, finding, 0};
    if (!pt->ready || !kc_pa_is_aligned(pt->root, KC_PT_PAGE_BYTES) ||
        kc_pa_raw(pt->root) >> pt->format.pa_bits != 0) {
        return broken(&c, "I1", "no root, or one that is misplaced", 0, 0, kc_pa_raw(pt->root));
    }
    kc_status_t status =
        check_table(&c, kc_a64_start_level(&pt->format), pt->root, kc_a64_ia_base(&pt->format));
    if (status == KC_OK && c.tables != pt->table_count) {
        status = broken(&c, "I5", "fewer tables than the tree says it has", 0, 0, 0);
    }
    return status == KC_OK ? check_spare(&c) : status;
}
