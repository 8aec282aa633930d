/* expect: T11 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A new page is used without a context synchronisation after its DSB. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    unmap(s, 1);
    barrier(KC_ISB);
    put(stage_desc(s, 1), s->frame[2] | D_PAGE);
    barrier(KC_DSB_ISHST);
    (void)stage_read(STAGE_VA(1));
}

SCENARIO(bad_map_no_isb, .row = "T11", .missing = "missing: ISB", .cpu = {cpu0});
