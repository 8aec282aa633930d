/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Another CPU uses the page while the change is being made: legal until the lock is released. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    stage_turn(s, 1);
    lock(s);
    put(stage_desc(s, 1), 0);
    stage_next(s);
    stage_turn(s, 3);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(1), STAGE_ASID));
    barrier(KC_DSB_ISH);
    unlock(s);
    stage_next(s);
}

static void cpu1(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    stage_next(s);
    stage_turn(s, 2);
    (void)stage_read(STAGE_VA(1));
    stage_next(s);
    stage_turn(s, 4);
    (void)stage_read(STAGE_VA(1));
}

SCENARIO(good_remote_during, .row = "clean", .cpu = {cpu0, cpu1});
