/* expect: T12 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Another root is put into TTBR0 and used before any context synchronisation. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    uint64_t other = stage_other_root(s);
    (void)stage_read(STAGE_VA(1));
    kc_plat_sysreg_write(KC_TTBR0_EL1, other | UINT64_C(9) << 48);
    (void)stage_read(STAGE_VA(1)); /* the old root maps it, the new one does not */
    barrier(KC_ISB);
}

SCENARIO(bad_switch_no_isb, .row = "T12", .missing = "missing: ISB between the write of TTBR0_EL1",
         .cpu = {cpu0});
