/* expect: T27 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A page becomes a table while it is mapped writable. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    put(stage_desc(s, 9), s->frame[1] | D_PAGE);
    barrier(KC_DSB_ISHST);
    kc_plat_note(KC_NOTE_TABLE, s->frame[1], 4096, s);
}

SCENARIO(bad_table_of_mapped_page, .row = "T27", .missing = "before it is a table", .cpu = {cpu0});
