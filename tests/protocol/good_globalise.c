/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A page becomes global by break-before-make. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    unmap(s, 1);
    put(stage_desc(s, 1), s->frame[1] | (D_PAGE & ~D_NG));
    barrier(KC_DSB_ISHST);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(1));
}

SCENARIO(good_globalise, .row = "clean", .cpu = {cpu0});
