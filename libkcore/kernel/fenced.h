/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * fenced.h: misses of fenced objects, with real faults: what kc/fence.h is for, on every machine
 * with an MMU.
 */
#ifndef KC_KERNEL_FENCED_H
#define KC_KERNEL_FENCED_H

#include "kernel.h"

#define KC_FENCED_SLOTS 3u

/* What one CPU needs for it. Private; placed by the caller. */
struct kc_fenced {
    struct kc_fence fence;
    struct kc_fence_slot slot[KC_FENCED_SLOTS];
    struct kc_misuse misuse; /* its own: these are meant */
};

/**
 * On this CPU: make a fence in the kernel's space, use an object, miss it behind, before, and after
 * its free, each by one access that faults, and end the fence.
 *
 * faults   grows by the accesses that were explained and went on
 * wrongs   grows by those that were not, or were as something else
 *
 * Errors: as kc_fence_init(); KC_ERR_NOMEM: a slot's page could not be had
 */
KC_NODISCARD kc_status_t kc_fenced_round(struct kc_fenced *f, struct kc_kernel *k, uint64_t random,
                                         uint64_t *faults, uint64_t *wrongs);

#endif
