/* expect: T6 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Made again before the TLBI is completed: no DSB after it. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    put(stage_desc(s, 1), 0);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(1), STAGE_ASID));
    put(stage_desc(s, 1), s->frame[2] | D_PAGE);
    barrier(KC_DSB_ISH);
}

SCENARIO(bad_remake_no_dsb, .row = "T6", .missing = "missing: DSB ISH between the TLBI VALE1IS",
         .cpu = {cpu0});
