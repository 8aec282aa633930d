/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A page is mapped where nothing was: store, DSB, ISB, access. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    unmap(s, 1);
    put(stage_desc(s, 1), s->frame[2] | D_PAGE);
    barrier(KC_DSB_ISHST);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(1));
}

SCENARIO(good_map, .row = "clean", .cpu = {cpu0});
