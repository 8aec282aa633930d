/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A space that no CPU runs in loses a page before the page is freed; then a CPU runs in it. More
 * invalidations are outstanding than anybody would count. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    uint64_t other = stage_other_root(s);
    stage_switch(other, 9);
    for (uint64_t asid = 100; asid < 140; asid++) {
        tlbi(KC_TLBI_ASIDE1IS, asid << 48);
    }
    tlbi(KC_TLBI_ASIDE1IS, (uint64_t)STAGE_ASID << 48);
    barrier(KC_DSB_ISH);
    put(stage_desc(s, 1), 0);
    free_frame(s->frame[1]);
    barrier(KC_DSB_ISHST);
    stage_switch(s->root, STAGE_ASID);
    (void)stage_read(STAGE_VA(2));
}

SCENARIO(good_free_in_idle_space, .row = "clean", .cpu = {cpu0});
