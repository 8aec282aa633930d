/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's own lifetime over hosted RAM, where there is no MMU: small and odd memories, work
 * that fails, work that leaks. What needs translation runs in the simulator and on the image.
 */
#include "kc_test.h"

#include "kernel.h"

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
