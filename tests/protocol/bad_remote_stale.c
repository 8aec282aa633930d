/* expect: T16 also: T8 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Another CPU uses the page after the changer released the lock: the TLBI was local. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    stage_turn(s, 1);
    lock(s);
    put(stage_desc(s, 1), 0);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VALE1, stage_operand(STAGE_VA(1), STAGE_ASID));
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
}

SCENARIO(bad_remote_stale, .row = "T16", .missing = "the broadcast form", .cpu = {cpu0, cpu1});
