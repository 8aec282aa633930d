/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the kernel share with one another and with no body. */
#ifndef KC_KERNEL_PRIV_H
#define KC_KERNEL_PRIV_H

#include "kernel.h"

/** Let the identity map cover the kernel's image, or all RAM that the linear map has. */
KC_NODISCARD kc_status_t kc_kernel_cover(struct kc_kernel *k, bool all);

/**
 * Start CPUs 1 to cpu_count - 1 and wait until each is up or has had its time. Each is then a thing
 * of the kernel's, whose cleanup stops it; it needs all that is in needs.
 */
KC_NODISCARD kc_status_t kc_kernel_start_cpus(struct kc_kernel *k, const kc_track_item_t *needs,
                                              uint32_t need_count);

/** Every CPU goes from the identity map to the empty root; then the identity map is destroyed. */
KC_NODISCARD kc_status_t kc_kernel_leave_identity(struct kc_kernel *k);

/** Let the other CPUs work, run CPU 0's part, wait for them. */
KC_NODISCARD kc_status_t kc_kernel_run_work(struct kc_kernel *k);

#endif
