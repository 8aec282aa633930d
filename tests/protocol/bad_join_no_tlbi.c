/* expect: T22 also: T3 T6 T16 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A block takes the place of a table of pages without the break: the entry of a page and that of
 * the block answer for one address. Whether it aborts or amalgamates, the seed decides. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    (void)stage_read(STAGE_VA(1));
    put(stage_table_desc(s), s->block | D_BLOCK);
    barrier(KC_DSB_ISH);
    barrier(KC_ISB);
    (void)stage_read(STAGE_VA(1) | 0x100000); /* the block is taken in */
    (void)stage_read(STAGE_VA(1));
}

SCENARIO(bad_join_no_tlbi, .row = "T22", .missing = "missing: TLBI", .cpu = {cpu0});
