/* expect: T21 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* An ASID goes to another root while entries of the former one are there. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    uint64_t other = stage_other_root(s);
    (void)stage_read(STAGE_VA(1));
    kc_plat_sysreg_write(KC_TTBR0_EL1, other | (uint64_t)STAGE_ASID << 48);
    barrier(KC_ISB);
}

SCENARIO(bad_asid_reused, .row = "T21", .missing = "TLBI ASIDE1IS", .cpu = {cpu0});
