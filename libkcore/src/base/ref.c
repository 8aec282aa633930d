/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reference counts that stick.
 *
 *     0        1                  REF_MAX   2^31          STUCK          2^32
 *     | ended  | references ...         |     |  2^30 below  |  2^30 above  |
 *
 *  R1  From 1 to REF_MAX a count is the number of references. 0: the last was given back.
 *  R2  A count that leaves 0..REF_MAX, or leaves 0 by a get, is set to STUCK. Additions and
 *      subtractions that race with that move it by one each: 2^30 of them would be needed to leave
 *      the upper half again, and there are not that many CPUs or interrupts to be in the middle of
 *      one. Whoever meets the upper half sets STUCK anew.
 *  R3  A report is made by who takes the count out of 0..REF_MAX: one for a count, however many
 *      follow.
 *
 * The fast paths are one unconditional atomic each, as in Linux's refcount_t (lib/refcount.c),
 * after which what was there before is looked at.
 */
#include <kc/ref.h>

static KC_COLD kc_status_t stick(struct kc_ref *r, uint32_t before, const char *where,
                                 const char *name, struct kc_misuse *m)
{
    __atomic_store_n(&r->count, KC_REF_STUCK, __ATOMIC_RELAXED); /* R2 */
    if (before <= KC_REF_MAX) {                                  /* R3 */
        struct kc_misuse_report report = {KC_MISUSE_REFS, where, name, (uintptr_t)r, 1,
                                          before,         0,     NULL};
        kc_misuse_raise(m, &report);
    }
    return before == 0 ? KC_ERR_STATE : KC_ERR_QUOTA;
}

void kc_ref_init(struct kc_ref *r, uint32_t count)
{
    KC_CHECK(count >= 1 && count <= KC_REF_MAX);
    __atomic_store_n(&r->count, count, __ATOMIC_RELAXED);
}

kc_status_t kc_ref_get(struct kc_ref *r, const char *name, struct kc_misuse *m)
{
    uint32_t before = __atomic_fetch_add(&r->count, 1, __ATOMIC_RELAXED);
    if (KC_UNLIKELY(before == 0 || before >= KC_REF_MAX)) {
        return stick(r, before, __func__, name, m);
    }
    return KC_OK;
}

bool kc_ref_try_get(struct kc_ref *r)
{
    uint32_t seen = __atomic_load_n(&r->count, __ATOMIC_RELAXED);
    while (seen != 0 && seen < KC_REF_MAX) {
        if (__atomic_compare_exchange_n(&r->count, &seen, seen + 1, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            return true;
        }
    }
    return false;
}

bool kc_ref_put(struct kc_ref *r, const char *name, struct kc_misuse *m)
{
    /* Release: what the owners did to the object is before its end. */
    uint32_t before = __atomic_fetch_sub(&r->count, 1, __ATOMIC_RELEASE);
    if (KC_LIKELY(before > 1 && before <= KC_REF_MAX)) {
        return false;
    }
    if (before == 1) {
        /* Acquire by a load, not a fence: race detectors follow it. */
        (void)__atomic_load_n(&r->count, __ATOMIC_ACQUIRE);
        return true;
    }
    (void)stick(r, before, __func__, name, m);
    return false;
}

uint32_t kc_ref_count(const struct kc_ref *r)
{
    return __atomic_load_n(&r->count, __ATOMIC_RELAXED);
}
