/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Sixteen pages as one contiguous group, aligned, whole before their first use. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    for (uint32_t i = 16; i < 32; i++) {
        put(stage_desc(s, i), (s->block + 4096u * (uint64_t)i) | D_PAGE | D_CONT);
    }
    barrier(KC_DSB_ISHST);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(17));
}

SCENARIO(good_contiguous, .row = "clean", .cpu = {cpu0});
