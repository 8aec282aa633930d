/* expect: T15 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A live table is written after its lock was released. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    lock(s);
    unmap(s, 1);
    unlock(s);
    put(stage_desc(s, 1), s->frame[2] | D_PAGE);
    barrier(KC_DSB_ISHST);
}

SCENARIO(bad_unlocked_store, .row = "T15", .missing = "the lock of these tables", .cpu = {cpu0});
