/* expect: T9 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A range operation that ends two pages before the last change. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    for (uint32_t i = 0; i < 4; i++) {
        (void)stage_read(STAGE_VA(i));
        put(stage_desc(s, i), 0);
    }
    barrier(KC_DSB_ISHST);
    /* TG 4 KiB, SCALE 0, NUM 0: 2 pages */
    tlbi(KC_TLBI_RVALE1IS,
         (uint64_t)STAGE_ASID << 48 | UINT64_C(1) << 46 | UINT64_C(0) << 39 | STAGE_VA(0) >> 12);
    barrier(KC_DSB_ISH);
    put(stage_desc(s, 3), s->frame[4] | D_PAGE);
    barrier(KC_DSB_ISHST);
}

SCENARIO(bad_range_short, .row = "T9", .missing = "a longer range", .cpu = {cpu0});
