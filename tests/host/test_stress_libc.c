/* SPDX-License-Identifier: BSD-2-Clause */
/* kc/stress.h on a heap that is not ours, the C library's; and an arena of 64 MiB in host memory.
 */
#include <kc_test.h>

#include <stdlib.h>

#include <kc/arena.h>
#include <kc/stress.h>

#include <host_ram.h>

#define SLOTS 400u

static struct kc_stress_slot slots[SLOTS];

static void *libc_alloc(void *context, size_t size, size_t align)
{
    (void)context;
    return aligned_alloc(align, (size + align - 1) & ~(align - 1));
}

static bool libc_free(void *context, void *ptr, size_t size)
{
    (void)context;
    (void)size;
    free(ptr);
    return true;
}

static void *libc_resize(void *context, void *ptr, size_t old_size, size_t size)
{
    (void)context;
    (void)old_size;
    return realloc(ptr, size);
}

Test(stress_libc, finds_nothing_in_the_c_librarys_heap)
{
    static const struct kc_stress_heap heap = {NULL, libc_alloc,     libc_free, libc_resize,
                                               NULL, sizeof(void *), 4096};
    struct kc_stress_result r;
    struct kc_stress_config c = {kc_test_seed(), 30000,         1, 100000, slots,
                                 SLOTS,          KC_STRESS_LOG, 0, 0};
    cr_assert(kc_stress_run(&heap, &c, &r), "%s at step %llu", kc_stress_fault_name(r.fault),
              (unsigned long long)r.step);
    cr_expect_eq(r.allocs, r.frees);
    cr_expect_gt(r.resizes, 100);
}

static void *arena_alloc(void *context, size_t size, size_t align)
{
    return kc_heap_alloc_aligned(kc_arena_heap(context), size, align, 0);
}

static bool arena_free(void *context, void *ptr, size_t size)
{
    return kc_heap_free_sized(kc_arena_heap(context), ptr, size) == KC_OK;
}

static void *arena_resize(void *context, void *ptr, size_t old_size, size_t size)
{
    (void)old_size;
    return kc_heap_resize(kc_arena_heap(context), ptr, size, 0);
}

static bool arena_check(void *context)
{
    return kc_arena_check(context) == KC_OK;
}

Test(stress_libc, finds_nothing_in_an_arena_of_64_mib)
{
    static struct kc_boot_info info;
    struct kc_arena *arena;
    struct kc_stress_result r;
    struct kc_arena_config config = {"large", NULL, 0, 0, 0, NULL};
    cr_assert_eq(host_ram_create(KC_MIB(64), &info), KC_OK);
    cr_assert_eq(
        kc_arena_init(kc_plat_ram(info.range[0].base), (size_t)KC_MIB(64), &config, &arena), KC_OK);
    cr_expect_gt(kc_arena_free_bytes(arena), KC_MIB(63));
    struct kc_stress_heap heap = {arena,       arena_alloc, arena_free, arena_resize,
                                  arena_check, 8,           65536};
    struct kc_stress_config c = {kc_test_seed(), 20000,         1,    300000, slots,
                                 SLOTS,          KC_STRESS_LOG, 1000, 0};
    cr_assert(kc_stress_run(&heap, &c, &r), "%s at step %llu", kc_stress_fault_name(r.fault),
              (unsigned long long)r.step);
    cr_expect_eq(kc_arena_fini(arena), KC_OK);
    host_ram_destroy();
}
