/* SPDX-License-Identifier: BSD-2-Clause */
/* What region.c and region_check.c share. */
#ifndef KC_REGION_PRIV_H
#define KC_REGION_PRIV_H

#include <kc/assert.h>
#include <kc/region.h>

/* R2 of region.c: what a region may be, by itself, but for its address. */
static inline bool region_is_sound(const struct kc_region *r)
{
    return r->size != 0 && r->kind < KC_REGION_KIND_COUNT && (r->perms & ~KC_REGION_PERMS) == 0 &&
           r->source < KC_REGION_SOURCE_COUNT;
}

#endif
