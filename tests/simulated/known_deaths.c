/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cases that end the machine, one a run: expect_deaths.sh says with what. Each does what a kernel
 * must not do to itself, in the kernel's own half, where no test can catch the fault.
 */
#include "kc_test.h"
#include "kc_test_cpus.h"
#include "kernel.h"

struct kc_test_cpu_range kc_test_cpu_range = {2, KC_CPUS_MAX};

#define PAGE UINT64_C(4096)

static uint64_t text(const struct kc_kernel *k)
{
    for (uint32_t i = 0; i < k->info.range_count; i++) {
        if (k->info.range[i].kind == KC_BOOT_TEXT) {
            return k->info.linear_base + kc_pa_raw(k->info.range[i].base);
        }
    }
    return 0;
}

/* What kc/tramp.h is for, without it: the block is broken under the code that breaks it. */
Test(deaths, the_running_text_is_split_in_place)
{
    struct kc_kernel *k = kc_test_kernel();
    cr_expect_eq(kc_pt_split(&k->linear, kc_ia(text(k)), 3), KC_ERR_STATE, "lived on");
}

Test(deaths, the_text_is_written)
{
    *(volatile uint64_t *)kc_plat_ptr(kc_va(text(kc_test_kernel()))) = 1;
}

/* A stack of two pages between guards, as a kernel has them. */
static uint64_t stack(struct kc_kernel *k)
{
    struct kc_aspace_request rq = {.bytes = 2 * PAGE, .guard_bytes = PAGE};
    kc_ia_t ia;
    cr_assert_eq(kc_aspace_reserve(&k->space, &rq, &ia), KC_OK);
    cr_assert_eq(kc_aspace_map_new(&k->space, ia, 2 * PAGE,
                                   kc_pt_attr(KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL, true)),
                 KC_OK);
    return kc_ia_raw(ia);
}

Test(deaths, a_stack_overflows_into_its_guard)
{
    uint64_t base = stack(kc_test_kernel());
    for (uint64_t down = 8;; down += 8) {
        *(volatile uint64_t *)kc_plat_ptr(kc_va(base + 2 * PAGE - down)) = down;
    }
}

Test(deaths, a_stack_underflows_into_its_guard)
{
    uint64_t base = stack(kc_test_kernel());
    (void)*(volatile uint64_t *)kc_plat_ptr(kc_va(base + 2 * PAGE));
}
