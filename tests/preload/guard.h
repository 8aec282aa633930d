/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef GUARD_H
#define GUARD_H

#include <stddef.h>

/* malloc(n) with the library's lock held, which its handlers hold over a fork. */
void *guarded_malloc(size_t n);

#endif
