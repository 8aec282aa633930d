/* SPDX-License-Identifier: BSD-2-Clause */
/** die.h: ways in which a kernel ends itself, to see what its last lines say. */
#ifndef KC_A64_IMAGE_DIE_H
#define KC_A64_IMAGE_DIE_H

#include <kernel.h>

/** The work that boot arguments ask for by die=HOW. False if there is no such way. */
bool kc_die_work(const char *cmdline, struct kc_work *out);

#endif
