/* expect: lint-free */
/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything is invalidated where it is due: a root is retired, a register has changed. A right is
 * widened, and its TLBI is no waste. */
#include "scenario.h"

static void cpu0(struct stage *s)
{
    uint64_t other = stage_other_root(s);
    put(stage_desc(s, 1), s->frame[1] | D_PAGE | D_RO);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(1), STAGE_ASID));
    barrier(KC_DSB_ISH);
    put(stage_desc(s, 1), s->frame[1] | D_PAGE);
    barrier(KC_DSB_ISHST);
    tlbi(KC_TLBI_VALE1IS, stage_operand(STAGE_VA(1), STAGE_ASID));
    barrier(KC_DSB_ISH);
    stage_switch(other, 9);
    tlbi(KC_TLBI_ASIDE1IS, (uint64_t)STAGE_ASID << 48);
    barrier(KC_DSB_ISH);
    kc_plat_sysreg_write(KC_MAIR_EL1, 0x0444);
    barrier(KC_ISB);
    tlbi(KC_TLBI_VMALLE1IS, 0);
    barrier(KC_DSB_ISH);
    barrier(KC_ISB);
}

SCENARIO(good_flush_of_many, .row = "clean", .cpu = {cpu0});
