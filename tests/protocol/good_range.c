/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The same range operation, long enough. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    for (uint32_t i = 0; i < 4; i++) {
        (void)stage_read(STAGE_VA(i));
        put(stage_desc(s, i), 0);
    }
    barrier(KC_DSB_ISHST);
    /* TG 4 KiB, SCALE 0, NUM 1: 4 pages */
    tlbi(KC_TLBI_RVALE1IS,
         (uint64_t)STAGE_ASID << 48 | UINT64_C(1) << 46 | UINT64_C(1) << 39 | STAGE_VA(0) >> 12);
    barrier(KC_DSB_ISH);
    put(stage_desc(s, 3), s->frame[4] | D_PAGE);
    barrier(KC_DSB_ISHST);
}

SCENARIO(good_range, .row = "clean", .cpu = {cpu0});
