/* SPDX-License-Identifier: BSD-2-Clause */
/* Defines the one symbol that objects built with the same options refer to; see kc/config.h. */
#define KC_NO_LINK_GUARD 1
#include <kc/config.h>

const char KC_GUARD_SYMBOL = 0;
