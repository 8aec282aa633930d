/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Every CPU invalidates its own TLB (a shootdown by software) before the page is made again. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    stage_turn(s, 1);
    put(stage_desc(s, 1), 0);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VALE1, stage_operand(STAGE_VA(1), STAGE_ASID));
    barrier(KC_DSB_NSH);
    stage_next(s);
    stage_turn(s, 3);
    put(stage_desc(s, 1), s->frame[2] | D_PAGE);
    barrier(KC_DSB_ISHST);
}

static void cpu1(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    stage_next(s);
    stage_turn(s, 2);
    tlbi(KC_TLBI_VALE1, stage_operand(STAGE_VA(1), STAGE_ASID));
    barrier(KC_DSB_NSH);
    stage_next(s);
}

SCENARIO(good_local_each_cpu, .row = "clean", .cpu = {cpu0, cpu1});
