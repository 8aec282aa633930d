/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* An emptied table is unlinked and freed: one TLBI of all levels, then the free. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    lock(s);
    for (uint32_t i = 0; i < STAGE_FRAMES; i++) {
        put(stage_desc(s, i), 0);
    }
    barrier(KC_DSB_ISHST);
    for (uint32_t i = 0; i < STAGE_FRAMES; i++) {
        tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(i), STAGE_ASID));
    }
    barrier(KC_DSB_ISH);
    put(stage_table_desc(s), 0);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VAE1IS, stage_operand(STAGE_VA(0), STAGE_ASID));
    barrier(KC_DSB_ISH);
    free_table(s, s->level3);
    unlock(s);
}

SCENARIO(good_unlink_table, .row = "clean", .cpu = {cpu0});
