/* expect: T16 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Two pages are unmapped, only the first is invalidated. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    (void)stage_read(STAGE_VA(2));
    put(stage_desc(s, 2), 0);
    unmap(s, 1);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(2));
}

SCENARIO(bad_first_page_only, .row = "T16", .missing = "for va 0x40202000", .cpu = {cpu0});
