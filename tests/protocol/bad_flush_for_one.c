/* expect: T30 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Right, but dear: DSB SY for a store, everything invalidated for one page, and once more for none.
 */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    put(stage_desc(s, 1), 0);
    barrier(KC_DSB_SY);
    tlbi(KC_TLBI_VMALLE1IS, 0);
    barrier(KC_DSB_SY);
    tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(1), STAGE_ASID));
    barrier(KC_DSB_ISH);
    put(stage_desc(s, 1), s->frame[0] | D_PAGE);
    barrier(KC_DSB_ISHST);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(1));
}

SCENARIO(bad_flush_for_one, .row = "T30", .missing = "missing: nothing; TLBI by address",
         .cpu = {cpu0});
