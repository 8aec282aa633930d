/* expect: T8 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The broadcast TLBI is completed for the issuing CPU only: DSB NSH. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    stage_turn(s, 1);
    put(stage_desc(s, 1), 0);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(1), STAGE_ASID));
    barrier(KC_DSB_NSH);
    put(stage_desc(s, 1), s->frame[2] | D_PAGE);
    barrier(KC_DSB_ISHST);
}

static void cpu1(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    stage_next(s);
}

SCENARIO(bad_narrow_dsb, .row = "T8", .missing = "a DSB NSH completes it on CPU 0 only",
         .cpu = {cpu0, cpu1});
