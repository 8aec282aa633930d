/* SPDX-License-Identifier: BSD-2-Clause */
/* stress: kc/stress.h finds each fault of a heap that has it, and none in ours. */
#include <kc_test.h>

#include <kc/arena.h>
#include <kc/stress.h>

#define SLOTS 128u

static struct kc_boot_info info;
static struct kc_misuse misuse;
static struct kc_arena *arena;
static struct kc_stress_slot slots[SLOTS];

static void set_up(void)
{
    cr_assert(kc_test_ram(KC_MIB(1), &info));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    struct kc_arena_config config = {"stress", &misuse, 1, 0, 0, NULL};
    cr_assert_eq(kc_arena_init(kc_plat_ram(info.range[0].base), 262144, &config, &arena), KC_OK);
}

TestSuite(stress, .init = set_up);

/* ---- our heap, and one that is wrong in one way ---------------------------------------------- */

enum wrong {
    NOTHING,
    ALIGNMENT,
    TWICE,
    SCRIBBLE,
    RESIZE_FORGETS,
    FREE_REFUSES,
    VALIDATOR,
    RESIZE_FAILS_TORN
};

struct subject {
    enum wrong wrong;
    uint32_t after; /* calls that are still right */
    unsigned char *last;
};

static bool is_due(struct subject *s, enum wrong wrong)
{
    return s->wrong == wrong && s->after-- == 0;
}

static void *subject_alloc(void *context, size_t size, size_t align)
{
    struct subject *s = context;
    if (kc_is_aligned((uintptr_t)s->last, align) && is_due(s, TWICE)) {
        return s->last;
    }
    if (is_due(s, SCRIBBLE)) {
        s->last[0] ^= 1;
    }
    unsigned char *p = kc_heap_alloc_aligned(kc_arena_heap(arena), size, align, 0);
    if (p != NULL && is_due(s, ALIGNMENT)) {
        return p + 1;
    }
    s->last = p != NULL ? p : s->last;
    return p;
}

static bool subject_free(void *context, void *ptr, size_t size)
{
    struct subject *s = context;
    if (ptr == s->last && (s->wrong == TWICE || s->wrong == SCRIBBLE)) {
        return true; /* it is needed: leaked */
    }
    return !is_due(s, FREE_REFUSES) && kc_heap_free_sized(kc_arena_heap(arena), ptr, size) == KC_OK;
}

static void *subject_resize(void *context, void *ptr, size_t old_size, size_t size)
{
    struct subject *s = context;
    if (is_due(s, RESIZE_FAILS_TORN)) {
        ((unsigned char *)ptr)[old_size - 1] ^= 1;
        return NULL;
    }
    unsigned char *p = kc_heap_resize(kc_arena_heap(arena), ptr, size, 0);
    if (p != NULL && is_due(s, RESIZE_FORGETS)) {
        p[0] ^= 1;
    }
    return p;
}

static bool subject_check(void *context)
{
    return !is_due(context, VALIDATOR) && kc_arena_check(arena) == KC_OK;
}

static struct subject subject;
static struct kc_stress_heap heap = {
    &subject, subject_alloc, subject_free, subject_resize, subject_check, 8, 65536};

static struct kc_stress_config config_for(uint64_t seed)
{
    struct kc_stress_config c = {seed, 8000, 1, 30000, slots, SLOTS, KC_STRESS_LOG, 50, 0};
    return c;
}

Test(stress, finds_nothing_in_our_heap_and_drives_it_hard)
{
    uint64_t seed = kc_test_seed();
    for (uint32_t i = 0; i < 3; i++) {
        struct kc_stress_result r;
        struct kc_stress_config c = config_for(seed + i);
        c.sizes = (enum kc_stress_sizes)i;
        subject = (struct subject){NOTHING, 0, NULL};
        cr_assert(kc_stress_run(&heap, &c, &r), "%s at step %llu", kc_stress_fault_name(r.fault),
                  (unsigned long long)r.step);
        cr_expect_eq(r.step, c.operations);
        cr_expect_eq(r.allocs, r.frees);
        /* Far below what any of thousands of seeds gave (resizes: 56 and more). */
        cr_expect_gt(r.allocs, 150);
        cr_expect_gt(r.resizes, 30);
        cr_expect_gt(r.moved, 10);
        cr_expect_lt(r.moved, r.resizes);
        cr_expect_gt(r.failed, 0, "memory ran out at times");
        cr_expect_eq(kc_misuse_total(&misuse), 0);
    }
    cr_expect_eq(kc_arena_fini(arena), KC_OK);
}

Test(stress, finds_each_fault_and_repeats_it)
{
    static const struct {
        enum wrong wrong;
        enum kc_stress_fault fault;
    } expected[] = {
        {ALIGNMENT, KC_STRESS_MISALIGNED},   {TWICE, KC_STRESS_OVERLAP},
        {SCRIBBLE, KC_STRESS_TORN},          {RESIZE_FORGETS, KC_STRESS_LOST},
        {FREE_REFUSES, KC_STRESS_REFUSED},   {VALIDATOR, KC_STRESS_CHECK},
        {RESIZE_FAILS_TORN, KC_STRESS_TORN},
    };
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(expected); i++) {
        struct kc_stress_result r;
        struct kc_stress_config c = config_for(5);
        c.size_max = 3000;
        heap.resize =
            expected[i].wrong == TWICE || expected[i].wrong == SCRIBBLE ? NULL : subject_resize;
        subject = (struct subject){expected[i].wrong, 20, NULL};
        cr_expect_not(kc_stress_run(&heap, &c, &r));
        cr_expect_eq(r.fault, expected[i].fault, "%s, not %s", kc_stress_fault_name(r.fault),
                     kc_stress_fault_name(expected[i].fault));
        cr_expect_lt(r.step, c.operations);
        if (r.fault == KC_STRESS_TORN || r.fault == KC_STRESS_LOST) {
            cr_expect_eq(r.offset, expected[i].wrong == RESIZE_FAILS_TORN ? r.size - 1 : 0);
        }
        cr_expect_eq((uintptr_t)slots[r.slot].ptr, r.ptr);
        heap.resize = subject_resize;
    }
}

Test(stress, refuses_what_is_no_configuration)
{
    struct kc_stress_result r;
    struct kc_stress_config c = config_for(1);
    subject = (struct subject){NOTHING, 0, NULL};
    c.size_min = 0;
    cr_expect_not(kc_stress_run(&heap, &c, &r));
    cr_expect_eq(r.fault, KC_STRESS_BAD_CONFIG);
    c = config_for(1);
    c.size_max = 0;
    cr_expect_not(kc_stress_run(&heap, &c, &r));
    c = config_for(1);
    c.slot_count = 0;
    cr_expect_not(kc_stress_run(&heap, &c, &r));
    c = config_for(1);
    c.slot = NULL;
    cr_expect_not(kc_stress_run(&heap, &c, &r));
    struct kc_stress_heap odd = heap;
    c = config_for(1);
    odd.align_max = 4;
    cr_expect_not(kc_stress_run(&odd, &c, &r));
    odd = heap;
    odd.align_min = 12;
    cr_expect_not(kc_stress_run(&odd, &c, &r));
    odd = heap;
    odd.alloc = NULL;
    cr_expect_not(kc_stress_run(&odd, &c, &r));
    odd = heap;
    odd.resize = NULL;
    odd.check = NULL;
    cr_expect(kc_stress_run(&odd, &c, &r), "these two need not be there");
    cr_expect_eq(r.resizes, 0);
    for (uint32_t i = 0; i <= KC_STRESS_CHECK; i++) {
        cr_expect_str_neq(kc_stress_fault_name((enum kc_stress_fault)i), "?");
    }
    cr_expect_str_eq(kc_stress_fault_name((enum kc_stress_fault)(KC_STRESS_CHECK + 1)), "?");
}
