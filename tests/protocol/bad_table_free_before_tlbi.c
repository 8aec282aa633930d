/* expect: T20 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* An emptied table is unlinked and freed before the TLBI of the walks through it. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
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
    free_table(s, s->level3);
    tlbi(KC_TLBI_VAE1IS, stage_operand(STAGE_VA(0), STAGE_ASID));
    barrier(KC_DSB_ISH);
}

SCENARIO(bad_table_free_before_tlbi, .row = "T20", .missing = "missing: TLBI VAE1IS",
         .cpu = {cpu0});
