/* expect: T4 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A contiguous group is used before its last entry is there. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    for (uint32_t i = 16; i < 31; i++) {
        put(stage_desc(s, i), (s->block + 4096u * (uint64_t)i) | D_PAGE | D_CONT);
    }
    barrier(KC_DSB_ISHST);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(17));
}

SCENARIO(bad_contiguous_gap, .row = "T4", .missing = "16 valid entries", .cpu = {cpu0});
