/* expect: T27 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A table is mapped where EL0 may read it. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    unmap(s, 1);
    put(stage_desc(s, 1), s->level3 | D_PAGE | D_RO | D_USER);
    barrier(KC_DSB_ISHST);
    barrier(KC_ISB);
}

SCENARIO(bad_map_table_user, .row = "T27", .missing = "before it is a table", .cpu = {cpu0});
