/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The frame is given back after the whole protocol; another, still mapped elsewhere, as well. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    (void)stage_read(s->frame[1]);
    lock(s);
    unmap(s, 1);
    unlock(s);
    free_frame(s->frame[1]);
}

SCENARIO(good_free, .row = "clean", .cpu = {cpu0});
