/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Another root is put into TTBR0, synchronised with, and used. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    uint64_t other = stage_other_root(s);
    (void)stage_read(STAGE_VA(1));
    stage_switch(other, 9);
    (void)stage_read(STAGE_VA(1)); /* faults: the new root does not map it */
    stage_switch(s->root, STAGE_ASID);
    (void)stage_read(STAGE_VA(1));
}

SCENARIO(good_switch, .row = "clean", .cpu = {cpu0});
