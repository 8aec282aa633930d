/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A page is executable only once its writable mapping is gone. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    unmap(s, 1);
    put(stage_desc(s, 9), s->frame[1] | (D_PAGE & ~D_PXN) | D_RO);
    barrier(KC_DSB_ISHST);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(9));
}

SCENARIO(good_write_or_execute, .row = "clean", .cpu = {cpu0});
