/* expect: T5 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A live page becomes global at once: its non-global entry may still be there. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    put(stage_desc(s, 1), s->frame[1] | (D_PAGE & ~D_NG));
    barrier(KC_DSB_ISHST);
    barrier(KC_ISB);
}

SCENARIO(bad_globalise_live, .row = "T5", .missing = "break-before-make", .cpu = {cpu0});
