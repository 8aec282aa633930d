/* expect: T4 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* The output addresses of a contiguous group do not lie as its input addresses do. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    for (uint32_t i = 16; i < 32; i++) {
        put(stage_desc(s, i), (s->block + 4096u * (uint64_t)(i + 1)) | D_PAGE | D_CONT);
    }
}

SCENARIO(bad_contiguous_misaligned, .row = "T4", .missing = "lies in its group", .cpu = {cpu0});
