/* expect: T16 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Unmapped, and used by the same CPU through what its TLB still holds: no TLBI. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    put(stage_desc(s, 1), 0);
    barrier(KC_DSB_ISH);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(1));
}

SCENARIO(bad_unmap_no_tlbi, .row = "T16",
         .missing = "missing: TLBI VALE1IS (or wider) for va 0x40201000", .cpu = {cpu0});
