/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Unmapped by the whole protocol, under the lock; the address then faults. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    lock(s);
    unmap(s, 1);
    unlock(s);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(1));
}

SCENARIO(good_unmap, .row = "clean", .cpu = {cpu0});
