/* SPDX-License-Identifier: BSD-2-Clause */
/** cost.h: what a hardening level costs: instructions an operation, bytes an object. */
#ifndef COST_H
#define COST_H

/** One line per subject and size, for the level that this program was built at. */
void cost_print(const char *level);

#endif
