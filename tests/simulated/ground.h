/* SPDX-License-Identifier: BSD-2-Clause */
/* What cases of several modules stand on: frames and a heap in the test's RAM, begun and ended. */
#ifndef GROUND_H
#define GROUND_H

#include <kc/early.h>
#include <kc/heap.h>

#include "kc_test.h"
#include "kc_test_cpus.h"

struct ground {
    struct kc_boot_info info;
    struct kc_early early;
    struct kc_misuse misuse;
    struct kc_frames frames;
    struct kc_heap heap;
};

/* lists: of the frames' CPUs, or NULL. */
KC_INLINE void ground_start(struct ground *g, uint64_t bytes, struct kc_frame_cpu *lists)
{
    struct kc_heap_config h = {.name = "h", .misuse = &g->misuse, .cpu_count = kc_test_cpus()};
    kc_misuse_init(&g->misuse, KC_MISUSE_SILENT);
    cr_assert(kc_test_ram(bytes, &g->info));
    cr_assert_eq(kc_early_init(&g->early, &g->info), KC_OK);
    cr_assert_eq(kc_frames_init(&g->frames, &g->early, &g->misuse), KC_OK);
    if (lists != NULL) {
        cr_assert_eq(kc_frames_set_cpus(&g->frames, lists, kc_test_cpus()), KC_OK);
    }
    cr_assert_eq(kc_heap_init(&g->heap, &h, &g->frames), KC_OK);
}

/* Everything is given back, and all is sound. */
KC_INLINE void ground_finish(struct ground *g)
{
    struct kc_frame_stats s;
    cr_expect_eq(kc_heap_check(&g->heap, NULL), KC_OK);
    cr_expect_eq(kc_heap_fini(&g->heap), KC_OK);
    cr_expect_eq(kc_frames_check(&g->frames, NULL), KC_OK);
    kc_frame_stats(&g->frames, &s);
    cr_expect_eq(s.used_frames, 0);
    cr_expect_eq(kc_frames_fini(&g->frames), KC_OK);
}

#endif
