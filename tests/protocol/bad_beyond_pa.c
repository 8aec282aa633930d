/* expect: T14 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A descriptor names an output address that the CPU does not have (bits 49:48 are RES0). */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    unmap(s, 1);
    put(stage_desc(s, 1), s->frame[1] | D_PAGE | UINT64_C(1) << 48);
    barrier(KC_DSB_ISHST);
}

SCENARIO(bad_beyond_pa, .row = "T14", .missing = "a descriptor that the manual allows",
         .cpu = {cpu0});
