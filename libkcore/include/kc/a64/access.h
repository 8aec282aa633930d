/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/a64/access.h: may an access go through a leaf, and which bit says no?
 *
 * Stage 1 of the EL1&0 regime with direct permissions, as the descriptors and two control bits give
 * them. References are to DDI 0487 issue J.a, D8.4 "Memory access control".
 *
 * Context: pure; from anywhere, before the MMU is on too.
 */
#ifndef KC_A64_ACCESS_H
#define KC_A64_ACCESS_H

#include <kc/a64/desc.h>

KC_EXTERN_C_BEGIN

/* An access. A value. */
struct kc_a64_access {
    bool write;
    bool fetch; /* instruction fetch; write is then false */
    bool el0;   /* with the permissions of EL0 */
};

/* What decides beside the leaf. A value. */
struct kc_a64_limits {
    uint8_t ap_table; /* APTable bits of the tables on the way, or'ed */
    bool uxn_table;   /* UXNTable, PXNTable of any of them */
    bool pxn_table;
    bool wxn; /* SCTLR_EL1.WXN */
    bool pan; /* PSTATE.PAN */
};

/* The first thing, in this order, that refuses an access. */
enum kc_a64_refusal {
    KC_A64_ALLOWED,
    KC_A64_REFUSED_AP1,       /* AP[1] is 0: EL0 has no access */
    KC_A64_REFUSED_AP1_TABLE, /* APTable[0] of a table takes EL0's access away */
    KC_A64_REFUSED_PAN,       /* PSTATE.PAN: EL0 may access it, so EL1 may not */
    KC_A64_REFUSED_AP2,       /* AP[2] is 1: read-only */
    KC_A64_REFUSED_AP2_TABLE, /* APTable[1] of a table makes it read-only */
    KC_A64_REFUSED_UXN,
    KC_A64_REFUSED_UXN_TABLE,
    KC_A64_REFUSED_PXN,
    KC_A64_REFUSED_PXN_TABLE,
    KC_A64_REFUSED_EL0_WRITES, /* EL1 never executes what EL0 may write */
    KC_A64_REFUSED_WXN,        /* SCTLR_EL1.WXN: it is writable, so not executable */
    KC_A64_REFUSAL_COUNT
};

/** Judge an access through a leaf. Access flag and addresses are not looked at. */
enum kc_a64_refusal kc_a64_access_judge(const struct kc_a64_leaf *l, const struct kc_a64_limits *by,
                                        struct kc_a64_access a);

/** A refusal in words, static storage; "?" for an unknown one. */
const char *kc_a64_refusal_text(enum kc_a64_refusal r);

KC_EXTERN_C_END

#endif
