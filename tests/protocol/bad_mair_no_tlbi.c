/* expect: T12 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory type behind an attribute index changes; entries made with the old one stay. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)s;
    (void)stage_read(STAGE_VA(1));
    kc_plat_sysreg_write(KC_MAIR_EL1, 0x0444);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(1));
}

SCENARIO(bad_mair_no_tlbi, .row = "T12", .missing = "missing: TLBI VMALLE1 (or wider)",
         .cpu = {cpu0});
