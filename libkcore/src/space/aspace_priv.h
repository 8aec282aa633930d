/* SPDX-License-Identifier: BSD-2-Clause */
/* aspace_priv.h: what the sources of kc/aspace.h share; also for white-box tests. */
#ifndef KC_SPACE_ASPACE_PRIV_H
#define KC_SPACE_ASPACE_PRIV_H

#include "pt_priv.h"

#include <kc/aspace.h>

/** First byte, and number of bytes, of an area with its guards. */
uint64_t kc_aspace_priv_extent_base(const struct kc_area *a);
uint64_t kc_aspace_priv_extent_bytes(const struct kc_area *a);

/** The area whose extent holds ia; NULL if there is none. */
struct kc_area *kc_aspace_priv_find(const struct kc_aspace *as, uint64_t ia);

/** I5: may that kind of space map so? */
bool kc_aspace_priv_attr_fits(const struct kc_aspace *as, struct kc_pt_attr attr);

/** Its ASID may be given again: nothing of the space is in any TLB, nor will be (A3). */
void kc_aspace_priv_asid_drop(struct kc_aspace *as);

#endif
