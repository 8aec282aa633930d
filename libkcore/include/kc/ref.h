/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/ref.h: reference counts that do not wrap.
 *
 * The number of owners of an object. Who gives back the last reference is told so, and ends the
 * object. A count that was taken too far in either direction *sticks*: it is never again 1, so that
 * the object is never ended while somebody may use it. A leak is the price, and a report.
 *
 * Counts are atomic; a taken reference is the caller's proof that the object lives, so taking one
 * orders nothing. Giving one back is a release, and an acquire for who gives back the last.
 */
#ifndef KC_REF_H
#define KC_REF_H

#include <kc/assert.h>

KC_EXTERN_C_BEGIN

#define KC_REF_MAX   0x7fffffffu /* most references at a time */
#define KC_REF_STUCK 0xc0000000u /* what a count that went wrong is; see src/base/ref.c */

/* Private but for kc_ref_count(). */
struct kc_ref {
    uint32_t count; /* atomic */
};

/** Begin with that many references, 1 to KC_REF_MAX (KC_CHECK). */
void kc_ref_init(struct kc_ref *r, uint32_t count);

/**
 * One more reference, for who holds one already.
 *
 * name   of the object, in reports; outlives the report
 * m      where misuse is reported; NULL as in kc_misuse_raise()
 *
 * Errors (misuse REFS, reported once for a count; the count sticks):
 *          KC_ERR_STATE  there was no reference: the object had ended
 *          KC_ERR_QUOTA  more than KC_REF_MAX would be held, or the count is stuck (then silent)
 * Cost:    one atomic addition
 * Context: any
 */
kc_status_t kc_ref_get(struct kc_ref *r, const char *name, struct kc_misuse *m);

/**
 * One reference more if there is any: for who found the object, and holds none yet.
 *
 * Returns false if there was none, which is no misuse; or if the count is stuck or at its greatest.
 * Cost: a loop of compare-and-exchange, of as many turns as others succeed meanwhile
 */
KC_NODISCARD bool kc_ref_try_get(struct kc_ref *r);

/**
 * Give one reference back.
 *
 * Returns true for the last one: the object is the caller's alone, who ends it. False else, and
 * after misuse (REFS, once for a count): there was none to give back.
 */
KC_NODISCARD bool kc_ref_put(struct kc_ref *r, const char *name, struct kc_misuse *m);

/** References held at some moment of the call; above KC_REF_MAX if the count is stuck. */
uint32_t kc_ref_count(const struct kc_ref *r);

KC_EXTERN_C_END

#endif
