/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cases of which those named bad_ break the protocol of translation tables and say nothing of it:
 * they must fail by the monitors alone, and the run with them. expect_reports.sh compares.
 */
#include <kc/plat.h>

#include "kc_test.h"

#define PAGE UINT64_C(4096)

/* Descriptor bits, DDI 0487 D8.3: table; page with AF, inner shareable, nG, PXN and UXN. */
#define TABLE UINT64_C(0x3)
#define LEAF  UINT64_C(0x60000000000f03)

/* A chain of tables in zeroed RAM that maps address 0 of the lower half; returns the leaf's place.
 */
static uint64_t tables_in_use(void)
{
    struct kc_boot_info bi;
    cr_assert(kc_test_ram(16 * PAGE, &bi));
    uint64_t root = kc_pa_raw(bi.range[0].base);
    for (uint64_t i = 0; i < 4; i++) {
        kc_plat_note(i == 0 ? KC_NOTE_ROOT : KC_NOTE_TABLE, root + i * PAGE, PAGE, &bi);
    }
    for (uint64_t i = 0; i < 3; i++) {
        kc_plat_desc_store(kc_pa(root + i * PAGE), (root + (i + 1) * PAGE) | TABLE);
    }
    kc_plat_desc_store(kc_pa(root + 3 * PAGE), (root + 4 * PAGE) | LEAF);
    kc_plat_barrier(KC_DSB_ISH);
    kc_plat_sysreg_write(KC_TTBR0_EL1, root);
    kc_plat_barrier(KC_ISB);
    return root + 3 * PAGE;
}

Test(reports, good_before)
{
    uint64_t leaf = tables_in_use();
    kc_plat_desc_store(kc_pa(leaf), 0);
    kc_plat_barrier(KC_DSB_ISH);
    kc_plat_tlbi(KC_TLBI_VMALLE1IS, 0);
    kc_plat_barrier(KC_DSB_ISH);
    kc_plat_barrier(KC_ISB);
}

/* No break before make: one valid page replaced by another. */
Test(reports, bad_remap_live)
{
    uint64_t leaf = tables_in_use();
    kc_plat_desc_store(kc_pa(leaf), (leaf + 5 * PAGE) | LEAF);
    kc_plat_barrier(KC_DSB_ISH);
}

Test(reports, good_after)
{
    (void)tables_in_use();
}
