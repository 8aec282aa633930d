/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Permissions of stage 1 of the EL1&0 regime.
 *
 *     data     EL0 reads   AP[1], and no APTable[0]
 *              EL1 reads   always, but under PAN not what EL0 reads
 *              writes      the same, and neither AP[2] nor APTable[1]
 *     fetch    EL0         neither UXN nor UXNTable; not what EL0 may write, under WXN
 *              EL1         neither PXN nor PXNTable; never what EL0 may write; not what EL1 may
 *                          write, under WXN
 *
 * A fetch needs no permission to read: what EL0 may execute it need not be able to load.
 *
 * Sources: DDI 0487 J.a, D8.4.1 "Data access permissions" (tables of AP[2:1] and APTable), D8.4.2
 * "Instruction execution permissions" (UXN, PXN, WXN), D8.4.3 "Privileged Access Never".
 */
#include <kc/a64/access.h>

#define AP_EL0       1u
#define AP_READ_ONLY 2u

static bool reaches(const struct kc_a64_leaf *l, const struct kc_a64_limits *by)
{
    return (l->ap & AP_EL0) != 0 && (by->ap_table & AP_EL0) == 0;
}

static bool writable(const struct kc_a64_leaf *l, const struct kc_a64_limits *by)
{
    return ((l->ap | by->ap_table) & AP_READ_ONLY) == 0;
}

static enum kc_a64_refusal judge_fetch(const struct kc_a64_leaf *l, const struct kc_a64_limits *by,
                                       bool el0)
{
    bool el0_writes = reaches(l, by) && writable(l, by);
    if (el0) {
        if (l->uxn) {
            return KC_A64_REFUSED_UXN;
        }
        if (by->uxn_table) {
            return KC_A64_REFUSED_UXN_TABLE;
        }
        return by->wxn && el0_writes ? KC_A64_REFUSED_WXN : KC_A64_ALLOWED;
    }
    if (l->pxn) {
        return KC_A64_REFUSED_PXN;
    }
    if (by->pxn_table) {
        return KC_A64_REFUSED_PXN_TABLE;
    }
    if (el0_writes) {
        return KC_A64_REFUSED_EL0_WRITES;
    }
    return by->wxn && writable(l, by) ? KC_A64_REFUSED_WXN : KC_A64_ALLOWED;
}

enum kc_a64_refusal kc_a64_access_judge(const struct kc_a64_leaf *l, const struct kc_a64_limits *by,
                                        struct kc_a64_access a)
{
    if (a.fetch) {
        return judge_fetch(l, by, a.el0);
    }
    if (a.el0 && (l->ap & AP_EL0) == 0) {
        return KC_A64_REFUSED_AP1;
    }
    if (a.el0 && !reaches(l, by)) {
        return KC_A64_REFUSED_AP1_TABLE;
    }
    if (!a.el0 && by->pan && reaches(l, by)) {
        return KC_A64_REFUSED_PAN;
    }
    if (a.write && (l->ap & AP_READ_ONLY) != 0) {
        return KC_A64_REFUSED_AP2;
    }
    return a.write && !writable(l, by) ? KC_A64_REFUSED_AP2_TABLE : KC_A64_ALLOWED;
}

const char *kc_a64_refusal_text(enum kc_a64_refusal r)
{
    static const char *const texts[KC_A64_REFUSAL_COUNT] = {
        "allowed",
        "AP[1] is 0: no access from EL0",
        "APTable[0] is 1 above: no access from EL0",
        "PSTATE.PAN is 1: EL1 may not access what EL0 may",
        "AP[2] is 1: read-only",
        "APTable[1] is 1 above: read-only",
        "UXN is 1: EL0 may not execute it",
        "UXNTable is 1 above: EL0 may not execute it",
        "PXN is 1: EL1 may not execute it",
        "PXNTable is 1 above: EL1 may not execute it",
        "EL0 may write it: EL1 may not execute it",
        "SCTLR_EL1.WXN is 1: what may be written may not be executed"};
    return (uint32_t)r < KC_A64_REFUSAL_COUNT ? texts[r] : "?";
}
