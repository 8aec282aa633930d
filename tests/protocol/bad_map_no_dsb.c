/* expect: T11 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A new page is used with an ISB, but without a DSB. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    unmap(s, 1);
    barrier(KC_ISB);
    put(stage_desc(s, 1), s->frame[2] | D_PAGE);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(1));
}

SCENARIO(bad_map_no_dsb, .row = "T11", .missing = "missing: DSB ISHST, then ISB", .cpu = {cpu0});
