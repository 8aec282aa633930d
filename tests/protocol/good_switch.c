/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Another root is put into TTBR0, synchronised with, and used. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    uint64_t other = stage_other_root(s);
    (void)stage_read(STAGE_VA(1));
    kc_plat_sysreg_write(KC_TTBR0_EL1, other | UINT64_C(9) << 48);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(1)); /* faults: the new root does not map it */
    kc_plat_sysreg_write(KC_TTBR0_EL1, s->root | (uint64_t)STAGE_ASID << 48);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(1));
}

SCENARIO(good_switch, .row = "clean", .cpu = {cpu0});
