/* expect: T12 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The half is made smaller, and everything is invalidated too early: until the ISB a walker may
 * still fill entries by the old size. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)s;
    (void)stage_read(STAGE_VA(1));
    kc_plat_sysreg_write(KC_TCR_EL1, kc_plat_sysreg_read(KC_TCR_EL1) | KC_BIT(7)); /* EPD0 */
    tlbi(KC_TLBI_VMALLE1IS, 0);
    barrier(KC_DSB_ISH);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(1));
}

SCENARIO(bad_tcr_tlbi_before_isb, .row = "T12", .missing = "missing: TLBI VMALLE1 (or wider) after",
         .cpu = {cpu0});
