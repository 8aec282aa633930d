/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * mmu.h: VMSAv8-64 stage 1 as a function: registers and memory in, translation or fault out.
 *
 * Written from DDI 0487 (issue in docs/references.md), chapter D8, alone: the second opinion on the
 * tables that the kernel writes. Pure: it reads memory only through the caller's function and keeps
 * nothing.
 */
#ifndef SIM_MMU_H
#define SIM_MMU_H

#include "machine.h"

/* What a walk depends on: the registers in effect, and what the CPU implements. */
struct mmu_regs {
    uint64_t sctlr;
    uint64_t tcr;
    uint64_t mair;
    uint64_t ttbr[2];
    uint32_t pa_bits;
    uint32_t features; /* enum machine_feature */
};

/* Fault status codes, DFSC and IFSC of ISS (D17.2.37), without the level. */
#define MMU_FSC_SIZE        0x00u /* address size, level in bits 1:0 */
#define MMU_FSC_TRANSLATION 0x04u
#define MMU_FSC_ACCESS_FLAG 0x08u
#define MMU_FSC_PERMISSION  0x0cu
#define MMU_FSC_EXTERNAL    0x10u /* synchronous external abort, not on a walk */
#define MMU_FSC_TAG         0x11u /* synchronous tag check fault */
#define MMU_FSC_WALK        0x14u /* synchronous external abort on a walk, level in bits 1:0 */
#define MMU_FSC_ALIGNMENT   0x21u
#define MMU_FSC_CONFLICT    0x30u /* TLB conflict */

/* Value of the descriptor at pa as the walker sees it; false if there is no memory. */
typedef bool (*mmu_read_fn)(void *arg, uint64_t pa, uint64_t *value, uint64_t *since);

/** SCTLR_EL1.M. */
bool mmu_is_on(const struct mmu_regs *r);

/** Half that va selects: bit 55 (D8.2.4 "Selection between TTBR0 and TTBR1"). */
uint32_t mmu_half(uint64_t va);

/** va as tables see it: the tag byte, where TBI ignores it, replaced by the extension of bit 55. */
uint64_t mmu_strip(const struct mmu_regs *r, uint64_t va);

/** The ASID that walks run under (TCR.A1, TCR.AS). */
uint16_t mmu_asid(const struct mmu_regs *r);

/** Address of the root table of that half, as TTBR and TCR give it. */
uint64_t mmu_root(const struct mmu_regs *r, uint32_t half);

/** First level of the walks of that half (0 to 3), or -1: none is possible (granule, size, EPD). */
int32_t mmu_start_level(const struct mmu_regs *r, uint32_t half);

/** First input address that the half's root table covers. */
uint64_t mmu_va_base(const struct mmu_regs *r, uint32_t half);

/** Bytes of input address that one descriptor of that level covers (4 KiB granule). */
uint64_t mmu_span(int32_t level);

/** What a descriptor of that level is. */
enum mmu_desc {
    MMU_INVALID,
    MMU_TABLE,
    MMU_LEAF
};
enum mmu_desc mmu_classify(uint64_t value, int32_t level);

/** Output address of a leaf of that level, or of the next table. */
uint64_t mmu_output(uint64_t value, int32_t level, enum mmu_desc kind);

/**
 * Walk for va; MMU on.
 *
 * from   a cached intermediate level to start at, or NULL: start at the TTBR
 *
 * With `ok`, out->entry is a leaf (perm holds what it allows, PAN apart); else dfsc and level say
 * why not, and out->entry.step holds what was read.
 */
void mmu_walk(const struct mmu_regs *r, uint64_t va, const struct sim_tlb_entry *from,
              mmu_read_fn read, void *arg, struct sim_walk *out);

/** 0 if an entry with that perm allows the access, else MMU_FSC_PERMISSION with its level. */
uint32_t mmu_judge(const struct mmu_regs *r, uint32_t perm, uint32_t level,
                   enum sim_access_kind kind, bool el0);

/** ESR_EL1 of a data or instruction abort. */
uint64_t mmu_syndrome(enum sim_access_kind kind, bool el0, uint32_t fsc);

/** PAR_EL1 after an AT whose walk gave w and whose judgement gave fsc (0: allowed). */
uint64_t mmu_par(const struct sim_walk *w, uint64_t va, uint32_t fsc);

#endif
