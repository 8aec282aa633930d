/* expect: T9 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The ASID is ORed into the address that the loop then steps: later operands are wrong. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    uint64_t xt = stage_operand(STAGE_VA(1), STAGE_ASID);
    (void)stage_read(STAGE_VA(1));
    (void)stage_read(STAGE_VA(2));
    put(stage_desc(s, 1), 0);
    put(stage_desc(s, 2), 0);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VALE1IS, xt);
    tlbi(KC_TLBI_VALE1IS, (xt + 1) | (xt << 1 & KC_MASK(63, 48)));
    barrier(KC_DSB_ISH);
    put(stage_desc(s, 2), s->frame[3] | D_PAGE);
    barrier(KC_DSB_ISHST);
}

SCENARIO(bad_wrong_asid, .row = "T9", .missing = "does not name ASID 5", .cpu = {cpu0});
