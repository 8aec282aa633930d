/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The same operation with the right hint. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    put(stage_desc(s, 1), 0);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(1), STAGE_ASID) | UINT64_C(7) << 44);
    barrier(KC_DSB_ISH);
    put(stage_desc(s, 1), s->frame[2] | D_PAGE);
    barrier(KC_DSB_ISHST);
}

SCENARIO(good_level_hint, .row = "clean", .cpu = {cpu0});
