/* SPDX-License-Identifier: BSD-2-Clause */
/* All groups of cases, in the order of the table. */
#include "score.h"

const struct score_group *const score_groups[SCORE_GROUPS] = {
    &score_bounds, &score_frees, &score_reuse, &score_sizes, &score_modules};
