/* expect: T5 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A page is broken and made global, but its non-global entry was never invalidated. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    put(stage_desc(s, 1), 0);
    barrier(KC_DSB_ISH);
    put(stage_desc(s, 1), s->frame[1] | (D_PAGE & ~D_NG));
}

SCENARIO(bad_globalise_no_tlbi, .row = "T5", .missing = "TLBI VALE1IS", .cpu = {cpu0});
