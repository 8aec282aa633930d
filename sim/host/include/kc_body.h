/* SPDX-License-Identifier: BSD-2-Clause */
/* The hosted body's part of kc/plat.h that is inline: pointers are addresses, hints are builtins. */
#ifndef KC_BODY_H
#define KC_BODY_H

#define KC_BODY_NAME "hosted"

#define KC_BODY_INLINE_HINT 1
KC_INLINE void kc_plat_prefetch(const void *p)
{
    __builtin_prefetch(p, 0);
}
KC_INLINE void kc_plat_prefetch_write(void *p)
{
    __builtin_prefetch(p, 1);
}

#endif
