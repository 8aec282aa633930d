/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A table is mapped read-only, for EL1 alone: a self-map. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    unmap(s, 1);
    put(stage_desc(s, 1), s->level3 | D_PAGE | D_RO);
    barrier(KC_DSB_ISHST);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(1));
}

SCENARIO(good_map_table, .row = "clean", .cpu = {cpu0});
