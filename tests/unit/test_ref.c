/* SPDX-License-Identifier: BSD-2-Clause */
/* ref: the contract of kc/ref.h, and R1 to R3 of src/base/ref.c. */
#include <kc_test.h>

#include "kc_bytes.h"
#include <kc/ref.h>

static struct kc_misuse misuse;
static struct kc_ref ref;

static void set_up(void)
{
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    kc_ref_init(&ref, 1);
}

TestSuite(ref, .init = set_up);

static kc_status_t get(void)
{
    return kc_ref_get(&ref, "object", &misuse);
}

static bool put(void)
{
    return kc_ref_put(&ref, "object", &misuse);
}

Test(ref, the_last_put_says_so)
{
    cr_expect_eq(get(), KC_OK);
    cr_expect_eq(get(), KC_OK);
    cr_expect_eq(kc_ref_count(&ref), 3);
    cr_expect_not(put());
    cr_expect_not(put());
    cr_expect(put());
    cr_expect_eq(kc_ref_count(&ref), 0);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
}

Test(ref, init_refuses_none_and_too_many)
{
    KC_TEST_PANICS(kc_ref_init(&ref, 0));
    KC_TEST_PANICS(kc_ref_init(&ref, KC_REF_MAX + 1));
    kc_ref_init(&ref, KC_REF_MAX);
    cr_expect_eq(kc_ref_count(&ref), KC_REF_MAX);
}

/* One report, and the object never ends, whoever goes on. */
static void expect_stuck(void)
{
    cr_expect_eq(misuse.count[KC_MISUSE_REFS], 1);
    cr_expect_gt(kc_ref_count(&ref), KC_REF_MAX);
    for (uint32_t i = 0; i < 100; i++) {
        cr_expect_not(put());
        cr_expect_not(kc_ref_try_get(&ref));
    }
    for (uint32_t i = 0; i < 300; i++) {
        cr_expect_eq(get(), KC_ERR_QUOTA);
    }
    cr_expect_gt(kc_ref_count(&ref), KC_REF_MAX);
    cr_expect_eq(kc_misuse_total(&misuse), 1, "once for a count");
}

Test(ref, too_many_stick)
{
    kc_ref_init(&ref, KC_REF_MAX - 1);
    cr_expect_eq(get(), KC_OK, "as many as allowed");
    cr_expect_not(kc_ref_try_get(&ref));
    cr_expect_eq(kc_misuse_total(&misuse), 0);
    cr_expect_eq(get(), KC_ERR_QUOTA);
    cr_expect_eq(misuse.last.found, KC_REF_MAX);
    expect_stuck();
}

Test(ref, a_put_of_none_sticks)
{
    cr_expect(put());
    cr_expect_not(put());
    cr_expect_str_eq(misuse.last.object, "object");
    cr_expect_eq(misuse.last.address, (uintptr_t)&ref);
    expect_stuck();
}

Test(ref, a_get_of_none_sticks)
{
    cr_expect(put());
    cr_expect_not(kc_ref_try_get(&ref), "no misuse: a question");
    cr_expect_eq(kc_misuse_total(&misuse), 0);
    cr_expect_eq(get(), KC_ERR_STATE);
    expect_stuck();
}

/* R2: those who were in the middle when it stuck do not bring it back. */
Test(ref, what_raced_with_the_sticking_does_not_undo_it)
{
    for (int32_t late = -1000; late <= 1000; late += 8) {
        kc_misuse_init(&misuse, KC_MISUSE_SILENT);
        kc_ref_init(&ref, 1);
        (void)put();
        cr_assert_eq(get(), KC_ERR_STATE);
        ref.count += (uint32_t)late;
        expect_stuck();
    }
}

Test(ref, agrees_with_a_number)
{
    uint64_t state = kc_test_seed();
    uint32_t count = 1;
    for (uint32_t i = 0; i < 4000 && count != 0; i++) {
        if (kc_random(&state) % 5 < 3) {
            cr_assert_eq(get(), KC_OK);
            count++;
        } else {
            cr_assert_eq(put(), count == 1);
            count--;
        }
        cr_assert_eq(kc_ref_count(&ref), count);
    }
    cr_expect_eq(kc_misuse_total(&misuse), 0);
}
