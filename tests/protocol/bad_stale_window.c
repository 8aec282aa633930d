/* expect: T26 also: T6 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A window on a table is moved to another table without the TLBI: what is read there are the
 * descriptors of the first. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    put(stage_desc(s, 1), 0);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(1), STAGE_ASID));
    barrier(KC_DSB_ISH);
    put(stage_desc(s, 1), s->level3 | D_PAGE | D_RO);
    barrier(KC_DSB_ISHST);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(1));
    put(stage_desc(s, 1), 0);
    barrier(KC_DSB_ISHST);
    put(stage_desc(s, 1), s->level2 | D_PAGE | D_RO);
    barrier(KC_DSB_ISHST);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(1));
}

SCENARIO(bad_stale_window, .row = "T26", .missing = "missing: TLBI VALE1IS", .cpu = {cpu0});
