/* SPDX-License-Identifier: BSD-2-Clause */
/** foreign.h: other people's allocators as subjects, each case in a process of its own. */
#ifndef FOREIGN_H
#define FOREIGN_H

#include "score.h"

/** The adapter of that name (glibc, mimalloc, or a path of a library with malloc); NULL: none. */
const struct score_adapter *foreign_adapter(const char *name);

/** score_run() in a child, which may die of it: a death counts for the step it came at. */
bool foreign_run(const struct score_case *c, const struct score_adapter *a,
                 struct score_outcome *out);

#endif
