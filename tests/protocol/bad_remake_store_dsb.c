/* expect: T6 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The DSB after the TLBI waits for stores only, which completes no TLBI. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    put(stage_desc(s, 1), 0);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(1), STAGE_ASID));
    barrier(KC_DSB_ISHST);
    put(stage_desc(s, 1), s->frame[2] | D_PAGE);
}

SCENARIO(bad_remake_store_dsb, .row = "T6", .missing = "does not complete a TLBI", .cpu = {cpu0});
