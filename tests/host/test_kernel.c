/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's own lifetime over hosted RAM, where there is no MMU: small and odd memories, work
 * that fails, work that leaks. What needs translation runs in the simulator and on the image.
 */
#include "kc_test.h"

#include "own.h"
#include "service.h"

static struct kc_kernel kernel;
static struct kc_boot_info info;

/* No MMU here: the linear map is made, but RAM is where the body says; nothing else is mapped. */
static void describe(uint64_t bytes)
{
    kernel = (struct kc_kernel){0};
    if (!kc_test_ram(bytes, &info)) {
        cr_skip_test("no such RAM here");
    }
    info.linear_base = 0xffff000000000000u;
    info.dynamic_bytes = 0;
    info.user_bytes = 0;
    info.cpu_count = 1;
}

static kc_status_t boot_with(uint64_t bytes)
{
    describe(bytes);
    return kc_kernel_boot(&kernel, &info);
}

static kc_status_t nothing(struct kc_kernel *k, void *arg)
{
    (void)k;
    (void)arg;
    return KC_OK;
}

static kc_status_t fail_quota(struct kc_kernel *k, void *arg)
{
    (void)k;
    (void)arg;
    return KC_ERR_QUOTA;
}

static kc_status_t leak_three(struct kc_kernel *k, void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < 3; i++) {
        kc_pa_t pa;
        kc_status_t st = kc_frame_alloc(&k->frames, 0, 0, KC_FRAME_OWNER_USER, &pa);
        if (st != KC_OK) {
            return st;
        }
    }
    return KC_OK;
}

static kc_status_t run(kc_status_t (*main)(struct kc_kernel *, void *))
{
    struct kc_work work = {.name = "test", .main = main};
    return kc_kernel_main(&kernel, &work);
}

Test(kernel, work_that_is_tidy_leaves_nothing)
{
    cr_assert_eq(boot_with(KC_MIB(8)), KC_OK);
    cr_assert_eq(run(nothing), KC_OK);
    cr_assert_eq(kernel.leaked_frames, 0);
}

Test(kernel, the_status_of_failed_work_is_the_kernels)
{
    cr_assert_eq(boot_with(KC_MIB(8)), KC_OK);
    cr_assert_eq(run(fail_quota), KC_ERR_QUOTA);
}

Test(kernel, leaked_frames_are_counted)
{
    cr_assert_eq(boot_with(KC_MIB(8)), KC_OK);
    cr_assert_eq(run(leak_three), KC_ERR_STATE);
    cr_assert_eq(kernel.leaked_frames, 3);
}

static kc_status_t forget_two(struct kc_kernel *k, void *arg)
{
    kc_pa_t pa;
    void *object;
    (void)arg;
    const struct kc_own o = kc_own(k, k->own.work, KC_TRACK_SITE);
    kc_status_t st = kc_own_frames(o, 1, 0, KC_FRAME_OWNER_USER, &pa, NULL);
    return st == KC_OK ? kc_own_object(o, 100, &object, NULL) : st;
}

Test(kernel, tracked_things_that_work_left_are_a_leak_and_cleaned_all_the_same)
{
    cr_assert_eq(boot_with(KC_MIB(8)), KC_OK);
    cr_assert_eq(run(forget_two), KC_ERR_STATE);
    cr_assert_eq(kernel.leaked_things, 2);
    cr_assert_eq(kernel.leaked_frames, 0);
    cr_assert_eq(kernel.unclean, 0);
}

static kc_status_t leave_an_owner(struct kc_kernel *k, void *arg)
{
    kc_track_owner_t owner;
    kc_pa_t pa;
    (void)arg;
    kc_status_t st = kc_track_owner_add(&k->track, "someone", NULL, &owner);
    if (st == KC_OK) {
        st = kc_own_frames(kc_own(k, owner, KC_TRACK_SITE), 0, 0, KC_FRAME_OWNER_USER, &pa, NULL);
    }
    return st;
}

Test(kernel, an_owner_that_work_left_is_killed)
{
    cr_assert_eq(boot_with(KC_MIB(8)), KC_OK);
    cr_assert_eq(run(leave_an_owner), KC_ERR_STATE);
    cr_assert_eq(kernel.leaked_things, 1);
    cr_assert_eq(kernel.leaked_frames, 0);
}

static kc_status_t leave_an_object(struct kc_kernel *k, void *arg)
{
    (void)arg;
    return kc_heap_alloc(&k->heap, 64, 0) != NULL ? KC_OK : KC_ERR_NOMEM;
}

Test(kernel, what_no_item_stands_for_is_found_too)
{
    cr_assert_eq(boot_with(KC_MIB(8)), KC_OK);
    cr_assert_eq(run(leave_an_object), KC_ERR_STATE);
    cr_assert_eq(kernel.leaked_things, 0);
    cr_assert_neq(kernel.unclean, 0);
    cr_assert_neq(kernel.leaked_frames, 0);
}

static kc_status_t exceed_quota(struct kc_kernel *k, void *arg)
{
    const struct kc_track_limits limits = {1, 1};
    kc_track_owner_t owner;
    kc_pa_t pa;
    (void)arg;
    uint64_t before = kc_frame_owner_frames(&k->frames, KC_FRAME_OWNER_USER);
    cr_assert_eq(kc_track_owner_add(&k->track, "small", &limits, &owner), KC_OK);
    const struct kc_own o = kc_own(k, owner, KC_TRACK_SITE);
    cr_assert_eq(kc_own_frames(o, 1, 0, KC_FRAME_OWNER_USER, &pa, NULL), KC_ERR_QUOTA);
    cr_assert_eq(kc_frame_owner_frames(&k->frames, KC_FRAME_OWNER_USER), before);
    cr_assert_eq(kc_own_frames(o, 0, 0, KC_FRAME_OWNER_USER, &pa, NULL), KC_OK);
    return kc_track_owner_kill(&k->track, owner, NULL);
}

Test(kernel, what_the_tracker_refuses_does_not_exist)
{
    cr_assert_eq(boot_with(KC_MIB(8)), KC_OK);
    cr_assert_eq(run(exceed_quota), KC_OK);
}

static struct kc_services services;

static kc_status_t try_services(struct kc_kernel *k, void *arg)
{
    (void)arg;
    kc_services_init(&services, k, 1);
    cr_assert_eq(kc_services_run(&services, 0), KC_ERR_UNSUPPORTED, "no user addresses");
    k->info.user_base = KC_MIB(2);
    k->info.user_bytes = KC_GIB(1);
    return kc_services_run(&services, 0);
}

Test(kernel, a_body_without_el0_says_so_and_nothing_is_left)
{
    struct kc_service_counts counts;
    cr_assert_eq(boot_with(KC_MIB(8)), KC_OK);
    cr_assert_eq(run(try_services), KC_ERR_UNSUPPORTED);
    cr_assert_eq(kernel.leaked_things, 0);
    cr_assert_eq(kernel.leaked_frames, 0);
    cr_assert_eq(kernel.unclean, 0);
    kc_services_total(&services, &counts);
    cr_assert_eq(counts.started, 0);
}

Test(kernel, registers_are_written_before_the_mmu_is_on)
{
    cr_assert_eq(boot_with(KC_MIB(8)), KC_OK);
    cr_assert_eq(kc_plat_sysreg_read(KC_TTBR1_EL1), kernel.regs.ttbr1);
    cr_assert_eq(kc_plat_sysreg_read(KC_SCTLR_EL1) & 1u, 1u);
}

/* Every size either works as a whole or is refused with NOMEM. */
Test(kernel, small_memories_work_or_are_refused)
{
    static const uint64_t pages[] = {1, 2, 3, 5, 8, 13, 21, 40, 100};
    describe(100 * KC_FRAME_BYTES);
    bool any = false;
    for (size_t i = 0; i < KC_ARRAY_COUNT(pages); i++) {
        kernel = (struct kc_kernel){0};
        info.range[0].size = pages[i] * KC_FRAME_BYTES;
        kc_status_t st = kc_kernel_boot(&kernel, &info);
        if (st == KC_OK) {
            st = run(nothing);
        }
        cr_assert(st == KC_OK || st == KC_ERR_NOMEM, "%u pages: %s", (unsigned)pages[i],
                  kc_status_name(st));
        cr_assert(!any || st == KC_OK, "more memory never works worse");
        any = any || st == KC_OK;
    }
    cr_assert(any);
}

Test(kernel, hostile_boot_information_is_refused)
{
    cr_assert_eq(boot_with(KC_MIB(8)), KC_OK);
    struct kc_boot_info bad = info;
    bad.version++;
    cr_assert_eq(kc_kernel_boot(&kernel, &bad), KC_ERR_UNSUPPORTED);
    bad = info;
    bad.range_count = KC_BOOT_RANGES_MAX + 1;
    cr_assert_eq(kc_kernel_boot(&kernel, &bad), KC_ERR_RANGE);
    bad = info;
    bad.cpu_count = 0;
    cr_assert_eq(kc_kernel_boot(&kernel, &bad), KC_ERR_RANGE);
}
