/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A space is destroyed: off every TTBR, its ASID invalidated, then its tables freed. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    uint64_t empty = stage_page(s);
    (void)stage_read(STAGE_VA(1));
    kc_plat_note(KC_NOTE_ROOT, empty, 4096, NULL);
    kc_plat_sysreg_write(KC_SCTLR_EL1, kc_plat_sysreg_read(KC_SCTLR_EL1) & ~UINT64_C(1));
    barrier(KC_ISB);
    kc_plat_sysreg_write(KC_TTBR0_EL1, empty);
    barrier(KC_ISB);
    tlbi(KC_TLBI_ASIDE1IS, (uint64_t)STAGE_ASID << 48);
    barrier(KC_DSB_ISH);
    free_table(s, s->level3);
    free_table(s, s->level2);
    free_table(s, s->level1);
    free_table(s, s->root);
}

SCENARIO(good_root_free, .row = "clean", .cpu = {cpu0});
