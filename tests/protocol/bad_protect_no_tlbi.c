/* expect: T17 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The page becomes read-only, and is written through a stale writable entry. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_write(STAGE_VA(1));
    put(stage_desc(s, 1), s->frame[1] | D_PAGE | D_RO);
    barrier(KC_DSB_ISH);
    barrier(KC_ISB);
    (void)stage_write(STAGE_VA(1));
}

SCENARIO(bad_protect_no_tlbi, .row = "T17", .missing = "missing: TLBI VALE1IS", .cpu = {cpu0});
