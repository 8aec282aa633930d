/* expect: T18 also: T16 T20 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A table is unlinked and freed without the TLBI; its page gets other contents, and a walk that
 * is cached goes through it. */
#include "machine.h"

#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(0));
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
    (void)sim_phys_write(stage_desc(s, 6), s->frame[0] | D_PAGE); /* the next owner's data */
    barrier(KC_DSB_ISH);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(6));
}

SCENARIO(bad_table_reused, .row = "T18", .missing = "missing: TLBI VAE1IS", .cpu = {cpu0});
