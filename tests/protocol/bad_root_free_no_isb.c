/* expect: T20 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A root is freed after TTBR0 was written and its ASID invalidated, but before any context
 * synchronisation: the walker may still use the old TTBR0, and fill behind the TLBI. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    uint64_t other = stage_other_root(s);
    (void)stage_read(STAGE_VA(1));
    kc_plat_sysreg_write(KC_TTBR0_EL1, other | UINT64_C(9) << 48);
    tlbi(KC_TLBI_ASIDE1IS, (uint64_t)STAGE_ASID << 48);
    barrier(KC_DSB_ISH);
    free_table(s, s->root);
    barrier(KC_ISB);
}

SCENARIO(bad_root_free_no_isb, .row = "T20", .missing = "another TTBR value", .cpu = {cpu0});
