/* SPDX-License-Identifier: BSD-2-Clause */
/* frame with 1 TiB of RAM, sparsely: starting touches next to nothing of the records. */
#define _GNU_SOURCE
#include <kc_test.h>

#include <sys/resource.h>

#include <kc/frame.h>

#include <host_ram.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define SHADOWED 1 /* ASan writes an eighth of all RAM to say that it is not allocated */
#else
#define SHADOWED 0
#endif

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;

Test(frame_large, a_tebibyte_boots_sparsely)
{
    struct rusage before, after;
    kc_pa_t low, high, block;
    struct kc_frame_stats s;
    if (SHADOWED) {
        cr_skip_test("a tebibyte of RAM takes 128 GiB of ASan's shadow");
    }
    kc_status_t status = host_ram_create(KC_GIB(1024), &info);
    if (status != KC_OK) {
        cr_skip_test("the host does not give a tebibyte of address space");
    }
    getrusage(RUSAGE_SELF, &before);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, NULL), KC_OK);
    cr_assert_eq(kc_frame_alloc(&frames, 0, KC_FRAME_DMA32, KC_FRAME_OWNER_TEST, &low), KC_OK);
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, KC_FRAME_OWNER_TEST, &high), KC_OK);
    cr_assert_eq(kc_frame_alloc(&frames, KC_FRAME_ORDER_MAX, 0, KC_FRAME_OWNER_TEST, &block),
                 KC_OK);
    getrusage(RUSAGE_SELF, &after);

    /* At hardening full, each of the chunks that came into use holds the pattern. */
    long contents = KC_HARDENING >= KC_HARDENING_FULL ? 4 << KC_FRAME_ORDER_MAX : 0;
    cr_expect_lt(after.ru_minflt - before.ru_minflt, 200 + contents);
    cr_expect_lt(kc_pa_raw(low), KC_GIB(4));
    cr_expect_geq(kc_pa_raw(high), KC_GIB(4));
    kc_frame_stats(&frames, &s);
    cr_expect_eq(s.frame_count * KC_FRAME_BYTES + s.table_bytes + 4096 >= KC_GIB(1024), 1);
    cr_expect_leq(s.table_bytes, KC_GIB(4) + KC_MIB(1) / 64);
    cr_expect_gt(s.fresh_frames, s.frame_count - 8192);
    cr_expect_eq(kc_frames_check(&frames, NULL), KC_OK);
    cr_expect_eq(kc_frame_free(&frames, low, 0), KC_OK);
    cr_expect_eq(kc_frame_free(&frames, high, 0), KC_OK);
    cr_expect_eq(kc_frame_free(&frames, block, KC_FRAME_ORDER_MAX), KC_OK);

    /* Memory below 4 GiB is used up only by those who need it, or when nothing else is left. */
    while (kc_frame_alloc(&frames, KC_FRAME_ORDER_MAX, KC_FRAME_DMA32, KC_FRAME_OWNER_TEST,
                          &block) == KC_OK) {
        cr_assert_lt(kc_pa_raw(block), KC_GIB(4));
    }
    cr_expect_eq(kc_frame_alloc(&frames, KC_FRAME_ORDER_MAX, 0, KC_FRAME_OWNER_TEST, &block),
                 KC_OK);
    cr_expect_eq(kc_frames_check(&frames, NULL), KC_OK);
    host_ram_destroy();
}
