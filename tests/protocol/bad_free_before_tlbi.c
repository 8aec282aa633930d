/* expect: T19 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The frame is given back while TLBs may still hold the page. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    put(stage_desc(s, 1), 0);
    barrier(KC_DSB_ISHST);
    free_frame(s->frame[1]);
    tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(1), STAGE_ASID));
    barrier(KC_DSB_ISH);
}

SCENARIO(bad_free_before_tlbi, .row = "T19", .missing = "missing: TLBI VALE1IS", .cpu = {cpu0});
