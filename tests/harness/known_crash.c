/* SPDX-License-Identifier: BSD-2-Clause */
/* A case that ends by a signal: the run must fail and name it. */
#include "kc_test.h"

Test(crash, good_before)
{
    cr_assert(true);
}

Test(crash, bad_signal)
{
    __builtin_trap();
}
