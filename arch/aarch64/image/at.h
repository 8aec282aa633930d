/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * at.h: the workload that asks the machine's own AT instructions whether the core's walk is right.
 */
#ifndef KC_A64_AT_H
#define KC_A64_AT_H

#include <kernel.h>

#include "../body.h"

/* A comparison made: what, and what came out. */
struct kc_at_counts {
    uint64_t addresses;
    uint64_t mapped;
    uint64_t comparisons;
    uint64_t disagreements;
};

/**
 * The work to hand to kc_kernel_main(): trees with every level, permission and memory type in the
 * lower half, the kernel's own linear map in the upper one; random addresses in both, each by all
 * four AT instructions. Prints the counts of each category.
 *
 * Its status: KC_OK; KC_ERR_CORRUPT after a disagreement; KC_ERR_STATE if a category was seen less
 * than 100 times or fewer than 10,000 addresses, or half of that mapped, came together.
 */
struct kc_work kc_at_work(struct kc_at_counts *counts);

#endif
