/* expect: T13 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A descriptor is written through the identity map by a plain store. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    unmap(s, 7);
    (void)stage_write(stage_desc(s, 7));
}

SCENARIO(bad_plain_store, .row = "T13", .missing = "single-copy atomic store", .cpu = {cpu0});
