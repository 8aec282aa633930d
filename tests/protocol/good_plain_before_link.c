/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A page that is to become a table is cleared by plain stores before it is linked. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    uint64_t page = stage_page(s);
    kc_plat_note(KC_NOTE_TABLE, page, 4096, s);
    (void)stage_write(page);
    put(page, s->frame[1] | D_PAGE);
    barrier(KC_DSB_ISHST);
    put(s->level2 + 24, page | D_TABLE);
    barrier(KC_DSB_ISHST);
}

SCENARIO(good_plain_before_link, .row = "clean", .cpu = {cpu0});
