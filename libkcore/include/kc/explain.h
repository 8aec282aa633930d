/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/explain.h: a fault, explained level by level.
 *
 * Given what the CPU reported (ESR_EL1, FAR_EL1) and how it translates (SCTLR, TCR, MAIR, TTBR0 and
 * TTBR1_EL1), it walks the tables as kc/ptview.h does, decides what they say about the access now,
 * and holds that against the report. Beside it stands what an address space believes about the
 * address. In words, for the last lines of a kernel that stops; and as a struct, for tests and
 * tools.
 *
 * Any value of any register gives an answer. Nothing is written, no lock is taken, and nothing but
 * tables in RAM is read.
 */
#ifndef KC_EXPLAIN_H
#define KC_EXPLAIN_H

#include <kc/aspace.h>
#include <kc/ptview.h>

KC_EXTERN_C_BEGIN

/* Registers, at the fault or as near to it as they could be read. */
struct kc_explain_regs {
    uint64_t esr;
    uint64_t far;
    uint64_t sctlr;
    uint64_t tcr;
    uint64_t mair;
    uint64_t ttbr0;
    uint64_t ttbr1;
};

/* How far the explanation came. */
enum kc_explain_kind {
    KC_EXPLAIN_NOT_ABORT, /* no instruction or data abort: there is no address to walk for */
    KC_EXPLAIN_NO_FAR,    /* FnV: FAR_EL1 holds nothing */
    KC_EXPLAIN_MMU_OFF,   /* SCTLR_EL1.M is 0: nothing was translated */
    KC_EXPLAIN_NO_WALK,   /* TCR_EL1 allows no walk of that half: half.state says why */
    KC_EXPLAIN_WALKED,
    KC_EXPLAIN_KIND_COUNT
};

struct kc_explain {
    struct kc_explain_regs regs;
    struct kc_a64_syndrome syndrome;
    uint8_t kind; /* enum kc_explain_kind */
    bool upper;   /* TTBR1's half; the rest only if kind is NO_WALK or WALKED */
    uint64_t ia;  /* FAR_EL1 without a tag, where TCR_EL1 has tags ignored */
    struct kc_a64_half half;
    struct kc_ptview view;      /* the rest only if WALKED */
    struct kc_ptview_walk walk; /* of the tables as they are now */
    uint8_t now;     /* enum kc_a64_fault: what they say about this access; NONE: it is allowed */
    uint8_t refusal; /* enum kc_a64_refusal, if now is PERMISSION */
    bool as_el0;     /* refused only with EL0's permissions, as LDTR and STTR have from EL1 */
    bool agrees;     /* the report is what the tables say now, class and level */
};

/**
 * Explain. Pure but for the loads of descriptors.
 *
 * PSTATE.PAN is not in ESR_EL1. A permission fault of EL1 that the tables allow is laid to PAN
 * where EL0 may access the page, else to an access with EL0's permissions.
 */
void kc_explain(const struct kc_explain_regs *regs, const struct kc_boot_info *info,
                struct kc_explain *out);

/** Print it: what was done, where the walk went, what stopped it; at most a dozen lines. */
void kc_explain_say(const struct kc_explain *e, kc_ptview_sink_fn sink, void *ctx);

/** One line of what a space believes about an address; nothing if it is not initialised. */
void kc_explain_space(const struct kc_aspace *as, kc_ia_t ia, kc_ptview_sink_fn sink, void *ctx);

KC_EXTERN_C_END

#endif
