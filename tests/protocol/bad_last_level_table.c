/* expect: T10 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A table is unlinked, and only the last level is invalidated. */
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
    tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(0), STAGE_ASID));
    barrier(KC_DSB_ISH);
    unlock(s);
}

SCENARIO(bad_last_level_table, .row = "T10", .missing = "leaves cached table descriptors",
         .cpu = {cpu0});
