/* expect: T9 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Bits of the address leak into the level hint: the hint names level 2, the leaf is at level 3. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    put(stage_desc(s, 1), 0);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(1), STAGE_ASID) | UINT64_C(6) << 44);
    barrier(KC_DSB_ISH);
    put(stage_desc(s, 1), s->frame[2] | D_PAGE);
    barrier(KC_DSB_ISHST);
}

SCENARIO(bad_ttl_leak, .row = "T9", .missing = "the right level hint", .cpu = {cpu0});
