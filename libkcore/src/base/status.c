/* SPDX-License-Identifier: BSD-2-Clause */
#include <kc/status.h>

/* A switch, so that the compiler names a code that was forgotten here. */
const char *kc_status_name(kc_status_t s)
{
    switch (s) {
    case KC_OK:
        return "KC_OK";
    case KC_ERR_ARG:
        return "KC_ERR_ARG";
    case KC_ERR_ALIGN:
        return "KC_ERR_ALIGN";
    case KC_ERR_RANGE:
        return "KC_ERR_RANGE";
    case KC_ERR_NOMEM:
        return "KC_ERR_NOMEM";
    case KC_ERR_EXISTS:
        return "KC_ERR_EXISTS";
    case KC_ERR_ABSENT:
        return "KC_ERR_ABSENT";
    case KC_ERR_STATE:
        return "KC_ERR_STATE";
    case KC_ERR_PERM:
        return "KC_ERR_PERM";
    case KC_ERR_SPAN:
        return "KC_ERR_SPAN";
    case KC_ERR_FAULT:
        return "KC_ERR_FAULT";
    case KC_ERR_QUOTA:
        return "KC_ERR_QUOTA";
    case KC_ERR_UNSUPPORTED:
        return "KC_ERR_UNSUPPORTED";
    case KC_ERR_CORRUPT:
        return "KC_ERR_CORRUPT";
    case KC_STATUS_COUNT:
        break;
    }
    return "KC_ERR_?";
}
