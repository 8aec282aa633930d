/* expect: T4 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* One page of a live contiguous group becomes read-only by itself. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    for (uint32_t i = 16; i < 32; i++) {
        put(stage_desc(s, i), (s->block + 4096u * (uint64_t)i) | D_PAGE | D_CONT);
    }
    barrier(KC_DSB_ISHST);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(17));
    put(stage_desc(s, 20), (s->block + 4096u * 20u) | D_PAGE | D_CONT | D_RO);
}

SCENARIO(bad_contiguous_edit, .row = "T4", .missing = "break-before-make of the whole group",
         .cpu = {cpu0});
