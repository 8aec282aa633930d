/* expect: T19 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A page is freed while a space maps it that no CPU runs in; then a CPU does. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    uint64_t other = stage_other_root(s);
    stage_switch(other, 9);
    tlbi(KC_TLBI_ASIDE1IS, (uint64_t)STAGE_ASID << 48);
    barrier(KC_DSB_ISH);
    free_frame(s->frame[1]);
    stage_switch(s->root, STAGE_ASID);
}

SCENARIO(bad_free_in_idle_space, .row = "T19", .missing = "before the page was freed",
         .cpu = {cpu0});
