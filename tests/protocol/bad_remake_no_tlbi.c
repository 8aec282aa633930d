/* expect: T6 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Broken and made again without any TLBI. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    put(stage_desc(s, 1), 0);
    barrier(KC_DSB_ISHST);
    put(stage_desc(s, 1), s->frame[2] | D_PAGE);
    barrier(KC_DSB_ISHST);
}

SCENARIO(bad_remake_no_tlbi, .row = "T6",
         .missing = "missing: TLBI VALE1IS (or wider) for va 0x40201000", .cpu = {cpu0});
