/* expect: T20 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The ASID is invalidated first and the root left after: a walker may fill from it in between. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    uint64_t other = stage_other_root(s);
    (void)stage_read(STAGE_VA(1));
    tlbi(KC_TLBI_ASIDE1IS, (uint64_t)STAGE_ASID << 48);
    stage_switch(other, 9);
    barrier(KC_DSB_ISH);
    free_table(s, s->root);
}

SCENARIO(bad_refill_before_switch, .row = "T20", .missing = "another TTBR value", .cpu = {cpu0});
