/* expect: lint-free */
/* SPDX-License-Identifier: BSD-2-Clause */
/* T25: what was never valid needs no TLBI before it is made; what was valid needs one although
 * nobody ever touched it. Nothing of it costs more than it must. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    put(stage_desc(s, STAGE_FRAMES), s->frame[0] | D_PAGE); /* invalid until now */
    barrier(KC_DSB_ISHST);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(STAGE_FRAMES));
    unmap(s, 3);
    put(stage_desc(s, 3), s->frame[2] | D_PAGE);
    barrier(KC_DSB_ISHST);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(3));
}

SCENARIO(good_never_touched, .row = "clean", .cpu = {cpu0});
