/* expect: T6 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The lock of the tables is released while the TLBI is not completed. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    lock(s);
    put(stage_desc(s, 1), 0);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(1), STAGE_ASID));
    unlock(s);
    barrier(KC_DSB_ISH);
}

SCENARIO(bad_release_owed, .row = "T6", .missing = "the release of the lock", .cpu = {cpu0});
