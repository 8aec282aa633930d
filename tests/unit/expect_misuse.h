/* SPDX-License-Identifier: BSD-2-Clause */
/* For cases of what is refused: the caller has a struct kc_misuse by the name of `misuse`. */
#ifndef EXPECT_MISUSE_H
#define EXPECT_MISUSE_H

#include <kc_test.h>

#include <kc/assert.h>

/* The call gives that status, and one misuse of that kind is reported. */
#define EXPECT_MISUSE(call, status, kind_)                  \
    do {                                                    \
        uint64_t total_ = kc_misuse_total(&misuse);         \
        uint64_t count_ = misuse.count[kind_];              \
        cr_expect_eq((call), (status));                     \
        cr_expect_eq(kc_misuse_total(&misuse), total_ + 1); \
        cr_expect_eq(misuse.count[kind_], count_ + 1);      \
    } while (0)

#endif
