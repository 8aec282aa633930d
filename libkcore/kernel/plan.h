/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * plan.h: the kernel's first mapping, decided before it is made.
 *
 * The ranges of a kc_boot_info overlap on purpose (the image lies inside RAM). The plan cuts them
 * into segments of whole pages, in address order, each with the one kind that decides how it is
 * mapped. Where several ranges cover a page, the strictest wins: NOMAP, TEXT, RODATA, DATA, INITRD,
 * DTB, RESERVED, RAM. A page that is only partly RAM is left out; a page that is only partly of
 * another kind is wholly of that kind. MMIO lies outside RAM and is planned the same way.
 */
#ifndef KC_KERNEL_PLAN_H
#define KC_KERNEL_PLAN_H

#include <kc/boot.h>
#include <kc/frame.h>

struct kc_plan_segment {
    kc_pa_t base;  /* frame-aligned */
    uint64_t size; /* whole frames, never 0 */
    uint32_t kind; /* enum kc_boot_kind, never NOMAP */
};

/**
 * Next segment at or above *from.
 *
 * info  checked by kc_early_init()
 * from  in: where to look; out: first byte after the segment, or 0 once the last page of the
 *       address space was given (then stop)
 * out   the segment; neighbours of one kind are given as one
 *
 * Returns false when there is none.
 * Cost:    O(ranges) a cut
 * Context: any; pure
 */
KC_NODISCARD bool kc_plan_next(const struct kc_boot_info *info, uint64_t *from,
                               struct kc_plan_segment *out);

#endif
