/* SPDX-License-Identifier: BSD-2-Clause */
/* States of a struct kc_early: for early.c, early_check.c and white-box tests. */
#ifndef KC_EARLY_PRIV_H
#define KC_EARLY_PRIV_H

#include <kc/assert.h>
#include <kc/early.h>

/* Not 0 and not small numbers: storage that nobody initialised is unlikely to look open. */
#define EARLY_OPEN   0x6f70656eu /* "open" */
#define EARLY_CLOSED 0x73687574u /* "shut" */

#endif
