/* expect: T13 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A descriptor is written through an alias of its table by a plain store. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    uint64_t alias = STAGE_BLOCK_VA + (stage_desc(s, 7) & (STAGE_BLOCK_SZ - 1));
    unmap(s, 7);
    (void)stage_write(alias);
}

SCENARIO(bad_plain_store, .row = "T13", .missing = "single-copy atomic store", .cpu = {cpu0});
