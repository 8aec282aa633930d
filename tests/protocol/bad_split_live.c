/* expect: T3 */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A live block is replaced by a table of the same pages, on a CPU of BBM level 0. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    uint64_t block = s->block;
    uint64_t fresh = stage_page(s);
    kc_plat_note(KC_NOTE_TABLE, fresh, 4096, s);
    for (uint32_t i = 0; i < 512; i++) {
        put(fresh + UINT64_C(8) * i, (block + 4096u * (uint64_t)i) | D_PAGE);
    }
    (void)stage_read(STAGE_BLOCK_VA);
    barrier(KC_DSB_ISHST);
    put(stage_block_desc(s), fresh | D_TABLE);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VAE1IS, stage_operand(STAGE_BLOCK_VA, STAGE_ASID));
    barrier(KC_DSB_ISH);
}

SCENARIO(bad_split_live, .row = "T3", .missing = "break-before-make", .cpu = {cpu0});
