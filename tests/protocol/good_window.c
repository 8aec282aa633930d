/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A window on a table is moved to another table with break-before-make. */
#include "scenario.h"

static void move(struct stage *s, uint64_t to)
{
    unmap(s, 1);
    put(stage_desc(s, 1), to | D_PAGE | D_RO);
    barrier(KC_DSB_ISHST);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(1));
}

static void cpu0(struct stage *s)
{
    move(s, s->level3);
    move(s, s->level2);
}

SCENARIO(good_window, .row = "clean", .cpu = {cpu0});
