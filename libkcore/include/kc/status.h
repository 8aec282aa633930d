/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/status.h: the one set of status codes of the library.
 *
 * One cause of failure: a function returns NULL or false. More: it returns kc_status_t. Each code
 * has one meaning, library-wide; each function's contract says what causes it there. On any error,
 * outputs and state are as before the call.
 */
#ifndef KC_STATUS_H
#define KC_STATUS_H

#include <kc/config.h>

KC_EXTERN_C_BEGIN

typedef enum {
    KC_OK = 0,
    KC_ERR_ARG,         /* malformed argument */
    KC_ERR_ALIGN,       /* misaligned address or size */
    KC_ERR_RANGE,       /* outside what the object covers */
    KC_ERR_NOMEM,       /* exhausted; may succeed later */
    KC_ERR_EXISTS,      /* something is already there */
    KC_ERR_ABSENT,      /* nothing is there */
    KC_ERR_STATE,       /* not allowed now: in use, live, locked */
    KC_ERR_PERM,        /* the access or owner is not permitted */
    KC_ERR_SPAN,        /* crosses from one object into another */
    KC_ERR_FAULT,       /* a user or device address did not respond */
    KC_ERR_QUOTA,       /* the owner's limit, not memory, is reached */
    KC_ERR_UNSUPPORTED, /* the machine or build cannot do it */
    KC_ERR_CORRUPT,     /* a validator found a broken invariant */
    KC_STATUS_COUNT     /* number of codes; never returned */
} kc_status_t;

/**
 * Name of a status code, as it is spelt above.
 *
 * s   any value; one outside the enumeration gives "KC_ERR_?"
 *
 * Returns a string with static storage, never NULL.
 * Context: any.
 */
const char *kc_status_name(kc_status_t s);

KC_EXTERN_C_END

#endif
