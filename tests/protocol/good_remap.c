/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Break-before-make: a page moves to another frame. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    lock(s);
    unmap(s, 1);
    put(stage_desc(s, 1), s->frame[2] | D_PAGE);
    barrier(KC_DSB_ISHST);
    barrier(KC_ISB);
    unlock(s);
    (void)stage_write(STAGE_VA(1));
}

SCENARIO(good_remap, .row = "clean", .cpu = {cpu0});
