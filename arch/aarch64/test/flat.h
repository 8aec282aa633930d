/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * flat.h: translation for programs without the kernel: kc_program_boot() of probe and tests.
 *
 * Two pages of tables: L0[0] -> L1, L1[n] a block of 1 GiB, used by both halves at once, so that
 * the identity and the linear map are the same tables.
 *
 *     L0 [0] ---> L1 [0] device   0 .. 1 GiB
 *                    [n] RAM      where the boot information has RAM, below 512 GiB
 */
#ifndef KC_A64_FLAT_H
#define KC_A64_FLAT_H

#include "../body.h"

/** Turn the MMU on with the tables that kc_program_boot() made. */
void flat_mmu_on(void);

/** Back to those tables in TTBR0, with nothing else in the TLB. */
void flat_restore(void);

/** Explain a fault, given that nobody owns the addresses. */
void flat_explain(const struct kc_explain_regs *regs);

#endif
