/* SPDX-License-Identifier: BSD-2-Clause */
/* exact_off.c: the native library does not see every access. */
#include "machine_priv.h"

const bool sim_exact = false;
