/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The page below a stack is unmapped by the whole protocol: touching it faults. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    unmap(s, 1);
    barrier(KC_ISB);
    kc_plat_note(KC_NOTE_STACK, (uintptr_t)kc_plat_uptr(kc_uva(STAGE_VA(2))), 4096, NULL);
    (void)stage_write(STAGE_VA(2));
    (void)stage_write(STAGE_VA(1));
}

SCENARIO(good_stack_guard, .row = "clean", .cpu = {cpu0});
