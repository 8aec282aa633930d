/* SPDX-License-Identifier: BSD-2-Clause */
/* What the cases of frames share: the test's RAM, early memory and frames on it. */
#ifndef FRAME_FIXTURE_H
#define FRAME_FIXTURE_H

#include <kc_test.h>

#include <kc/frame.h>

#include "mem/frame_priv.h"

#include "expect_misuse.h"

#define OWNER KC_FRAME_OWNER_TEST
#define RAM   KC_MIB(16)

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;

KC_INLINE void set_up(void)
{
    cr_assert(kc_test_ram(RAM, &info));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
}

KC_INLINE void tear_down(void)
{
    struct kc_frame_fault where = {0, 0, 0, 0};
    cr_expect_eq(kc_frames_check(&frames, &where), KC_OK, "F%u at %u", where.invariant,
                 where.index);
}

KC_INLINE kc_pa_t get(uint32_t order)
{
    kc_pa_t pa = kc_pa(0);
    cr_assert_eq(kc_frame_alloc(&frames, order, 0, OWNER, &pa), KC_OK);
    return pa;
}

KC_INLINE kc_pa_t after(kc_pa_t pa, uint64_t bytes)
{
    return kc_pa(kc_pa_raw(pa) + bytes);
}

static kc_pa_t held[8192];
static uint32_t held_count;

/* Takes all frames but the last few; or gives them back. */
KC_INLINE void take_all_but(uint32_t left)
{
    held_count = 0;
    while (held_count < KC_ARRAY_COUNT(held) &&
           kc_frame_alloc(&frames, 0, KC_FRAME_NO_RECLAIM | KC_FRAME_URGENT, OWNER,
                          &held[held_count]) == KC_OK) {
        held_count++;
    }
    for (; left > 0; left--) {
        cr_assert_eq(kc_frame_free(&frames, held[--held_count], 0), KC_OK);
    }
}

#endif
