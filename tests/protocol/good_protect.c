/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The page becomes read-only with its TLBI; reads go on, a write faults. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_write(STAGE_VA(1));
    lock(s);
    put(stage_desc(s, 1), s->frame[1] | D_PAGE | D_RO);
    (void)stage_read(STAGE_VA(1)); /* old and new agree about reads */
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(1), STAGE_ASID));
    barrier(KC_DSB_ISH);
    unlock(s);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(1));
    (void)stage_write(STAGE_VA(1));
}

SCENARIO(good_protect, .row = "clean", .cpu = {cpu0});
