/* expect: T27 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A page that is executable at one address becomes writable at another. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    unmap(s, 1);
    put(stage_desc(s, 9), s->frame[1] | (D_PAGE & ~D_PXN) | D_RO);
    put(stage_desc(s, 1), s->frame[1] | D_PAGE);
    barrier(KC_DSB_ISHST);
}

SCENARIO(bad_write_execute_alias, .row = "T27", .missing = "never executable", .cpu = {cpu0});
