/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/a64/change.h: what replacing one descriptor by another needs, as data.
 *
 * A live descriptor may be cached by any CPU at any time while it is valid (DDI 0487 J.a, D8.13
 * "Translation Lookaside Buffers"; D8.14.1 "Using break-before-make when updating translation table
 * entries"). Given old and new value this module names the class of the change and the steps that
 * make it safe. kc/pt.h carries them out; a checker may compare a recording with them.
 *
 * What counts as safe on a live descriptor is the list that Linux on arm64 keeps: either side
 * invalid; otherwise only PXN, UXN, read-only and dirty state, access flag, software bits, and
 * non-global from 0 to 1 may change, and nothing while the Contiguous bit is set on either side.
 * (Normal to Normal-Tagged needs MTE, which this version does not know.)
 *
 * Context: every function here is pure and may be called from anywhere, before the MMU is on too.
 */
#ifndef KC_A64_CHANGE_H
#define KC_A64_CHANGE_H

#include <kc/a64/desc.h>

KC_EXTERN_C_BEGIN

enum kc_a64_change {
    KC_A64_CHANGE_NONE,   /* the same bits */
    KC_A64_CHANGE_IDLE,   /* invalid to invalid: nobody can have cached either */
    KC_A64_CHANGE_FRESH,  /* invalid to valid: nothing to invalidate */
    KC_A64_CHANGE_REMOVE, /* valid to invalid */
    KC_A64_CHANGE_LIVE,   /* valid to valid, safe while live, to be invalidated afterwards */
    KC_A64_CHANGE_BREAK,  /* valid to valid, needs break-before-make */
    KC_A64_CHANGE_GROUP,  /* a member of a contiguous group: the whole group must be broken */
    KC_A64_CHANGE_COUNT
};

/* One thing to do, in the order of the plan. */
enum kc_a64_step {
    KC_A64_STEP_STORE_INVALID, /* store 0: the break */
    KC_A64_STEP_STORE,         /* store the new descriptor */
    KC_A64_STEP_DSB_ISHST,     /* the store is visible to every walker */
    KC_A64_STEP_TLBI,          /* invalidate what the old descriptor translated, see plan */
    KC_A64_STEP_DSB_ISH,       /* the invalidation is complete on every CPU */
    KC_A64_STEP_ISB,           /* this CPU refetches and retranslates what follows */
    KC_A64_STEP_COUNT
};

#define KC_A64_STEPS_MAX 8u

struct kc_a64_plan {
    enum kc_a64_change change;
    bool all_levels; /* the TLBI must reach cached table entries too: not a last-level form */
    uint32_t step_count;
    uint8_t step[KC_A64_STEPS_MAX]; /* enum kc_a64_step */
};

/**
 * Class of replacing before by after in the entry at that level of a live table.
 *
 * f, level   of the entry; f->bbm and the feature BBM2_NOABORT decide whether a change of block
 *            size needs a break: it does unless both allow it, since level 2 alone may still raise
 * a conflict abort (D8.14.2 "Support levels for changing block size")
 */
enum kc_a64_change kc_a64_change_classify(const struct kc_a64_format *f, uint32_t level,
                                          uint64_t before, uint64_t after);

/** Steps of a change. For GROUP step_count is 0: no single-entry plan is safe. */
void kc_a64_change_plan(const struct kc_a64_format *f, uint32_t level, uint64_t before,
                        uint64_t after, struct kc_a64_plan *plan);

/** Names for people, static storage; "?" for unknown values. */
const char *kc_a64_change_name(enum kc_a64_change c);
const char *kc_a64_step_name(enum kc_a64_step s);

KC_EXTERN_C_END

#endif
