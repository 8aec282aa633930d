/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables are written with their lock held. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    lock(s);
    unmap(s, 1);
    unlock(s);
    lock(s);
    put(stage_desc(s, 1), s->frame[2] | D_PAGE);
    barrier(KC_DSB_ISHST);
    unlock(s);
}

SCENARIO(good_locked_store, .row = "clean", .cpu = {cpu0});
