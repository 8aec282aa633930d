/* expect: T1 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A live page is given another output address: neither break nor TLBI. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    put(stage_desc(s, 1), s->frame[2] | D_PAGE);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(1), STAGE_ASID));
    barrier(KC_DSB_ISH);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(1));
}

SCENARIO(bad_remap_live, .row = "T1", .missing = "break-before-make", .cpu = {cpu0});
