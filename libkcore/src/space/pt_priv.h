/* SPDX-License-Identifier: BSD-2-Clause */
/* pt_priv.h: what pt.c and pt_check.c share; also for white-box tests. */
#ifndef KC_SPACE_PT_PRIV_H
#define KC_SPACE_PT_PRIV_H

#include <kc/pt.h>

#define KC_PT_DESC_BYTES 8u
#define KC_PT_PAGE_BYTES 4096u
#define KC_PT_LAST_LEVEL 3u

/*
 * A table page that is not in the tree, as a word: its address, a bit that tells it from no page at
 * all (0 is an address), and where it came from. Bit 0 is clear, so that the word is an invalid
 * descriptor and chains can be threaded through entry 0 of the pages themselves.
 */
#define KC_PT_REF_EARLY   KC_BIT(1)
#define KC_PT_REF_PRESENT KC_BIT(2)
#define KC_PT_REF_FLAGS   KC_MASK(2, 0)

/* Bit of a table descriptor that hardware ignores ([58:51]): the page came from early memory. */
#define KC_PT_TABLE_EARLY KC_BIT(55)

/** Leaf fields of attributes that have passed the checks; out is 0. */
void kc_pt_priv_leaf_of(struct kc_pt_attr attr, struct kc_a64_leaf *l);

/** Attributes, in words of kc/pt.h, of any leaf. */
struct kc_pt_attr kc_pt_priv_attr_of(const struct kc_a64_leaf *l);

/** KC_OK, KC_ERR_ARG or KC_ERR_PERM: may a tree of that kind hold such a mapping? */
kc_status_t kc_pt_priv_attr_check(bool any_asid, struct kc_pt_attr attr);

#endif
