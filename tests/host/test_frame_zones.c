/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame with RAM in several zones: a few megabytes on both sides of 4, 8 and 16 GiB, out of the
 * host's sparse memory; beside the model, and by hand where a number is to be seen.
 */
#include <kc_test.h>

#include <kc/cache.h>

#include <host.h>
#include <host_ram.h>

#include "mem/frame_priv.h"

#define MODEL_REQUIRE(c) cr_assert(c, "model: %s", #c)
#include "frame_model.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define SHADOWED 1 /* ASan writes an eighth of all RAM to say that it is not allocated */
#else
#define SHADOWED 0
#endif

#define OWNER KC_FRAME_OWNER_TEST

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;
static struct frame_model model;

static void range(uint64_t base, uint64_t size)
{
    struct kc_boot_range r = {kc_pa(base), size, KC_BOOT_RAM, 0};
    info.range[info.range_count++] = r;
}

/* RAM around 4 and 8 GiB; what lies around 16 GiB can be added. */
static void set_up(void)
{
    if (SHADOWED) {
        cr_skip_test("so much RAM takes 2 GiB of ASan's shadow");
    }
    if (host_ram_create(KC_GIB(15), &info) != KC_OK) {
        cr_skip_test("the host does not give so much address space");
    }
    info.range_count = 0;
    range(KC_GIB(4) - KC_MIB(3), KC_MIB(5));
    range(KC_GIB(8) - KC_MIB(2), KC_MIB(4));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
}

static void tear_down(void)
{
    cr_expect_eq(kc_frames_check(&frames, NULL), KC_OK);
    host_ram_destroy();
}

TestSuite(frame_zones, .init = set_up, .fini = tear_down);

/* Beside the model, on this CPU or from one to the other. */
static void operate(void (*go)(uint32_t cpu))
{
    static uint8_t bytes[8192];
    uint64_t seed = kc_test_seed();
    struct kc_bytes o = {bytes, sizeof(bytes), 0};
    kc_random_fill(&seed, bytes, sizeof(bytes));
    frame_model_init(&model, &frames, &misuse, kc_pa(KC_GIB(4) - KC_MIB(3)), 5 * 256);
    frame_model_add(&model, kc_pa(KC_GIB(8) - KC_MIB(2)), 4 * 256);
    model.go = go;
    for (uint32_t i = 0; !kc_bytes_is_empty(&o); i++) {
        if (i == 300) {
            kc_pa_t base = kc_pa(KC_GIB(16) - KC_MIB(3));
            cr_assert_eq(kc_frames_add(&frames, base, KC_MIB(5)), KC_OK);
            frame_model_add(&model, base, 5 * 256);
        }
        frame_model_step(&model, &o);
        frame_model_check(&model);
    }
    frame_model_finish(&model);
}

Test(frame_zones, random_operations_agree_with_the_model)
{
    operate(NULL);
}

Test(frame_zones, random_operations_with_lists_agree_with_the_model)
{
    static struct kc_frame_cpu lists[3];
    cr_assert_eq(kc_frames_set_cpus(&frames, lists, KC_ARRAY_COUNT(lists)), KC_OK);
    operate(host_cpu_set);
    host_cpu_set(0);
}

/* What is for those who can use no other is not in a list; where there is no other, all is. */
Test(frame_zones, lists_leave_low_memory_alone)
{
    static struct kc_frame_cpu lists[1];
    kc_pa_t low;
    kc_pa_t high;
    cr_assert_eq(kc_frames_set_cpus(&frames, lists, 1), KC_OK);
    cr_assert_eq(kc_frame_alloc(&frames, 0, KC_FRAME_DMA32, OWNER, &low), KC_OK);
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &high), KC_OK);
    cr_expect_lt(kc_pa_raw(low), KC_GIB(4));
    cr_expect_geq(kc_pa_raw(high), KC_GIB(4));
    size_t count = kc_mag_count(&lists[0].mag);
    cr_expect_eq(count, KC_MAG_IS_USED ? KC_FRAME_CPU_MOVE - 1 : 0);
    cr_assert_eq(kc_frame_free(&frames, low, 0), KC_OK);
    cr_expect_eq(kc_mag_count(&lists[0].mag), count);
    cr_assert_eq(kc_frame_free(&frames, high, 0), KC_OK);
    cr_expect_eq(kc_mag_count(&lists[0].mag), KC_MAG_IS_USED ? count + 1 : 0);
}

Test(frame_zones, high_memory_goes_first_and_limits_are_kept)
{
    static const uint32_t bits[] = {32, 33, 34};
    kc_pa_t pa;
    cr_assert_eq(kc_frame_alloc(&frames, 0, KC_FRAME_BELOW(31), OWNER, &pa), KC_ERR_NOMEM);
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(bits); i++) {
        cr_assert_eq(kc_frame_alloc(&frames, 0, KC_FRAME_BELOW(bits[i]), OWNER, &pa), KC_OK);
        cr_expect_lt(kc_pa_raw(pa), KC_BIT(bits[i]));
        cr_expect_geq(kc_pa_raw(pa), KC_BIT(bits[i] - 1), "no lower than it must be");
    }
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &pa), KC_OK);
    cr_expect_geq(kc_pa_raw(pa), KC_GIB(8));
    /* What the upper zones cannot give, the lower ones do. */
    uint64_t low = UINT64_MAX;
    while (kc_frame_alloc(&frames, 0, 0, OWNER, &pa) == KC_OK) {
        cr_assert_leq(frame_zone_of(kc_pa_raw(pa) >> KC_FRAME_LOG2),
                      frame_zone_of(low >> KC_FRAME_LOG2), "zones are used downwards");
        low = kc_pa_raw(pa);
    }
    cr_expect_lt(low, KC_GIB(4));
    cr_expect_eq(frames.free_frames, 0);
}

Test(frame_zones, low_memory_is_kept_for_those_who_can_use_no_other)
{
    struct kc_frame_marks marks = {0, 0, 0, 5, 0};
    struct kc_frame_zone_stats z;
    uint32_t cursor = 0;
    uint64_t above = 0;
    kc_pa_t pa;
    cr_assert_eq(kc_frames_set_marks(&frames, &marks), KC_OK);
    while (kc_frame_alloc(&frames, 0, 0, OWNER, &pa) == KC_OK) {
    }
    cr_assert(kc_frame_next_zone(&frames, &cursor, &z));
    cr_assert_eq(z.bits, 32);
    uint64_t left = z.free_frames;
    while (kc_frame_next_zone(&frames, &cursor, &z)) {
        cr_expect_eq(z.free_frames, 0, "above 4 GiB nothing is kept");
        above += z.frame_count;
    }
    cr_expect_eq(left, above >> 5);
    cr_expect_eq(kc_frame_alloc(&frames, 0, KC_FRAME_URGENT, OWNER, &pa), KC_ERR_NOMEM);
    for (; left > 0; left--) {
        cr_expect_eq(kc_frame_alloc(&frames, 0, KC_FRAME_DMA32, OWNER, &pa), KC_OK);
    }
    cr_expect_eq(kc_frame_alloc(&frames, 0, KC_FRAME_DMA32, OWNER, &pa), KC_ERR_NOMEM);
}

Test(frame_zones, an_addition_makes_zones_and_allocators_above_take_limits)
{
    struct kc_cache cache;
    struct kc_cache_config config = {
        .name = "narrow", .object_bytes = 100, .frame_flags = KC_FRAME_BELOW(33)};
    kc_pa_t pa;
    cr_assert_eq(kc_frames_add(&frames, kc_pa(KC_GIB(16) - KC_MIB(3)), KC_MIB(5)), KC_OK);
    cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK);
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &pa), KC_OK);
    cr_expect_geq(kc_pa_raw(pa), KC_GIB(16));
    cr_assert_eq(kc_frame_alloc(&frames, 0, KC_FRAME_BELOW(34), OWNER, &pa), KC_OK);
    cr_expect_geq(kc_pa_raw(pa), KC_GIB(8));
    cr_assert_eq(kc_cache_init(&cache, &config, &frames), KC_OK);
    void *object = kc_cache_alloc(&cache, 0);
    cr_expect_lt(kc_pa_raw(kc_plat_ram_pa(object)), KC_GIB(8));
    cr_expect_geq(kc_pa_raw(kc_plat_ram_pa(object)), KC_GIB(4));
    cr_expect_eq(kc_cache_free(&cache, object), KC_OK);
    cr_expect_eq(kc_cache_fini(&cache), KC_OK);
    config.frame_flags = KC_FRAME_BELOW(20);
    cr_expect_eq(kc_cache_init(&cache, &config, &frames), KC_ERR_ARG);
}
