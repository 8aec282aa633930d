/* expect: T7 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The TLBI is issued while the store may still be in a store buffer. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    put(stage_desc(s, 1), 0);
    tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(1), STAGE_ASID));
    barrier(KC_DSB_ISH);
    put(stage_desc(s, 1), s->frame[2] | D_PAGE);
    barrier(KC_DSB_ISHST);
}

SCENARIO(bad_tlbi_before_dsb, .row = "T7", .missing = "missing: DSB ISHST between the store",
         .cpu = {cpu0});
