/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A block takes the place of a table of pages, with break-before-make. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    lock(s);
    put(stage_table_desc(s), 0);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_ASIDE1IS, (uint64_t)STAGE_ASID << 48);
    barrier(KC_DSB_ISH);
    put(stage_table_desc(s), s->block | D_BLOCK);
    barrier(KC_DSB_ISHST);
    barrier(KC_ISB);
    unlock(s);
    (void)stage_read(STAGE_VA(1) | 0x100000);
    (void)stage_read(STAGE_VA(1));
}

SCENARIO(good_join, .row = "clean", .cpu = {cpu0});
