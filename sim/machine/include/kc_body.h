/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The simulated machine's part of kc/plat.h that is inline: the hints, which have no effect that a
 * program could see. Everything else is a call, because everything else is an event.
 */
#ifndef KC_BODY_H
#define KC_BODY_H

#define KC_BODY_NAME "simulated"

#if KC_HARDENING < KC_HARDENING_TAGGED
#define KC_BODY_NO_TAGS 1 /* sim/machine/tags.c */
#endif

#define KC_BODY_INLINE_HINT 1
KC_INLINE void kc_plat_prefetch(const void *p)
{
    (void)p;
}
KC_INLINE void kc_plat_prefetch_write(void *p)
{
    (void)p;
}

#endif
