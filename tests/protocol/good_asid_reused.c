/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* An ASID goes to another root after its entries were invalidated. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    uint64_t other = stage_other_root(s);
    (void)stage_read(STAGE_VA(1));
    kc_plat_sysreg_write(KC_TTBR0_EL1, other | UINT64_C(6) << 48);
    barrier(KC_ISB);
    tlbi(KC_TLBI_ASIDE1IS, (uint64_t)STAGE_ASID << 48);
    barrier(KC_DSB_ISH);
    kc_plat_sysreg_write(KC_TTBR0_EL1, other | (uint64_t)STAGE_ASID << 48);
    barrier(KC_ISB);
}

SCENARIO(good_asid_reused, .row = "clean", .cpu = {cpu0});
