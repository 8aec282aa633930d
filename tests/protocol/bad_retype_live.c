/* expect: T2 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A live page turns from Normal memory into Device memory without a break. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    put(stage_desc(s, 1), s->frame[1] | D_PAGE | D_DEVICE);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(1), STAGE_ASID));
    barrier(KC_DSB_ISH);
}

SCENARIO(bad_retype_live, .row = "T2", .missing = "break-before-make", .cpu = {cpu0});
