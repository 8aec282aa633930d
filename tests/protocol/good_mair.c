/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory type behind an attribute index changes with all steps, in their order. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)s;
    (void)stage_read(STAGE_VA(1));
    kc_plat_sysreg_write(KC_MAIR_EL1, 0x0444);
    barrier(KC_ISB);
    tlbi(KC_TLBI_VMALLE1, 0);
    barrier(KC_DSB_NSH);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(1));
}

SCENARIO(good_mair, .row = "clean", .cpu = {cpu0});
