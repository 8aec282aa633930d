/* expect: T28 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The page below a stack was unmapped without a TLBI: an overflow goes through. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    put(stage_desc(s, 1), 0);
    barrier(KC_DSB_ISH);
    barrier(KC_ISB);
    kc_plat_note(KC_NOTE_STACK, (uintptr_t)kc_plat_uptr(kc_uva(STAGE_VA(2))), 4096, NULL);
    (void)stage_write(STAGE_VA(2));
    (void)stage_write(STAGE_VA(1));
}

SCENARIO(bad_stack_guard, .row = "T28", .missing = "TLBI VALE1IS", .cpu = {cpu0});
