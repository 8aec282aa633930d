/* expect: clean */
/* SPDX-License-Identifier: BSD-2-Clause */
/* A block is split by break-before-make: filled off line, broken, invalidated, made. */
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
    put(stage_block_desc(s), 0);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VAE1IS, stage_operand(STAGE_BLOCK_VA, STAGE_ASID));
    barrier(KC_DSB_ISH);
    put(stage_block_desc(s), fresh | D_TABLE);
    barrier(KC_DSB_ISHST);
    barrier(KC_ISB);
    (void)stage_read(STAGE_BLOCK_VA + 4096);
}

SCENARIO(good_split, .row = "clean", .cpu = {cpu0});
