/* expect: T20 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A space is destroyed when no CPU uses it any more, without invalidating its ASID. */
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
    free_table(s, s->root);
}

SCENARIO(bad_root_free, .row = "T20", .missing = "TLBI ASIDE1IS", .cpu = {cpu0});
