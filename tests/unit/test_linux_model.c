/* SPDX-License-Identifier: BSD-2-Clause */
/* Linux's allocator, modelled: small traces whose slabs can be counted on fingers. */
#include "kc_test.h"

#include "linux_model.h"

static struct kc_early early;
static struct kc_frames frames;
static struct kc_linux_model model;

static void set_up(void)
{
    static struct kc_boot_info info;
    cr_assert(kc_test_ram(KC_MIB(8), &info));
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, NULL), KC_OK);
    kc_linux_model_init(&model, &frames);
}

static void tear_down(void)
{
    kc_linux_model_fini(&model);
    cr_expect_eq(kc_frame_owner_frames(&frames, KC_FRAME_OWNER_TRACE), 0, "tables are given back");
}

TestSuite(linux_model, .init = set_up, .fini = tear_down);

static kc_status_t define(uint16_t number, uint32_t kind, uint32_t objects, uint32_t pages)
{
    const struct kc_trace_type type = {
        .kind = kind, .objects_per_slab = objects, .pages_per_slab = pages, .name = "t"};
    const struct kc_event e = {.kind = KC_EVENT_TYPE, .type = number, .definition = &type};
    return kc_linux_model_event(&model, &e);
}

static kc_status_t birth(uint32_t slot, uint16_t type, uint32_t requested, uint32_t granted)
{
    const struct kc_event e = {.kind = KC_EVENT_ALLOC,
                               .slot = slot,
                               .type = type,
                               .requested = requested,
                               .granted = granted};
    return kc_linux_model_event(&model, &e);
}

static kc_status_t death(uint32_t slot)
{
    const struct kc_event e = {.kind = KC_EVENT_FREE, .slot = slot};
    return kc_linux_model_event(&model, &e);
}

static uint64_t pages(void)
{
    return kc_linux_model_footprint(&model) / 4096;
}

Test(linux_model, slabs_come_and_go_with_their_objects)
{
    cr_assert_eq(define(0, KC_TYPE_CACHE, 2, 4), KC_OK);
    cr_assert_eq(birth(0, 0, 1000, 1024), KC_OK);
    cr_assert_eq(pages(), 4);
    cr_assert_eq(birth(1, 0, 1000, 1024), KC_OK);
    cr_assert_eq(pages(), 4, "the slab has room for two");
    cr_assert_eq(birth(2, 0, 1000, 1024), KC_OK);
    cr_assert_eq(pages(), 8);
    cr_assert_eq(kc_linux_model_requested(&model), 3000);
    cr_assert_eq(kc_linux_model_granted(&model), 3072);
    cr_assert_eq(death(2), KC_OK);
    cr_assert_eq(pages(), 4, "an empty slab goes");
    cr_assert_eq(death(0), KC_OK);
    cr_assert_eq(pages(), 4, "object 1 holds it");
    cr_assert_eq(death(1), KC_OK);
    cr_assert_eq(kc_linux_model_footprint(&model), 0);
    cr_assert_eq(kc_linux_model_requested(&model), 0);
    cr_assert_eq(kc_linux_model_granted(&model), 0);
    cr_assert(kc_linux_model_is_known(&model));
}

/*
 *     slabs of 2:   A [0 1]  B [2 3]     free 0, then 2: B became partial last
 *     birth of 4 goes to B, so deaths of 3 and 4 empty B, and A stays for 1
 */
Test(linux_model, the_slab_that_became_partial_last_is_used_first)
{
    cr_assert_eq(define(0, KC_TYPE_CACHE, 2, 1), KC_OK);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(birth(i, 0, 100, 100), KC_OK);
    }
    cr_assert_eq(death(0), KC_OK);
    cr_assert_eq(death(2), KC_OK);
    cr_assert_eq(birth(4, 0, 100, 100), KC_OK);
    cr_assert_eq(pages(), 2);
    cr_assert_eq(death(3), KC_OK);
    cr_assert_eq(pages(), 2, "4 is in B");
    cr_assert_eq(death(4), KC_OK);
    cr_assert_eq(pages(), 1);
    cr_assert_eq(death(1), KC_OK);
    cr_assert_eq(pages(), 0);
}

Test(linux_model, a_slab_of_one_object_is_never_partial)
{
    cr_assert_eq(define(0, KC_TYPE_CACHE, 1, 2), KC_OK);
    cr_assert_eq(birth(0, 0, 8000, 8192), KC_OK);
    cr_assert_eq(birth(1, 0, 8000, 8192), KC_OK);
    cr_assert_eq(pages(), 4);
    cr_assert_eq(death(0), KC_OK);
    cr_assert_eq(birth(0, 0, 8000, 8192), KC_OK);
    cr_assert_eq(pages(), 4);
}

Test(linux_model, types_do_not_share_slabs)
{
    cr_assert_eq(define(0, KC_TYPE_CACHE, 2, 1), KC_OK);
    cr_assert_eq(define(1, KC_TYPE_HEAP, 2, 1), KC_OK);
    cr_assert_eq(birth(0, 0, 10, 16), KC_OK);
    cr_assert_eq(birth(1, 1, 10, 16), KC_OK);
    cr_assert_eq(pages(), 2);
}

Test(linux_model, large_requests_hold_their_pages)
{
    cr_assert_eq(define(0, KC_TYPE_LARGE, 0, 0), KC_OK);
    cr_assert_eq(birth(0, 0, 9000, 16384), KC_OK);
    cr_assert_eq(birth(1, 0, 20000, 32768), KC_OK);
    cr_assert_eq(pages(), 12);
    cr_assert_eq(death(1), KC_OK);
    cr_assert_eq(pages(), 4);
    cr_assert(kc_linux_model_is_known(&model));
}

Test(linux_model, without_geometry_the_footprint_is_not_known)
{
    cr_assert_eq(define(0, KC_TYPE_CACHE, 0, 0), KC_OK);
    cr_assert(kc_linux_model_is_known(&model), "nothing was born yet");
    cr_assert_eq(birth(0, 0, 10, 16), KC_OK);
    cr_assert_not(kc_linux_model_is_known(&model));
    cr_assert_eq(kc_linux_model_granted(&model), 16, "what was granted is known all the same");
    cr_assert_eq(death(0), KC_OK);
}

Test(linux_model, events_that_do_not_fit_are_refused)
{
    cr_assert_eq(birth(0, 0, 10, 16), KC_ERR_CORRUPT, "no such type");
    cr_assert_eq(define(1, KC_TYPE_CACHE, 1, 1), KC_ERR_CORRUPT, "numbers are dense");
    cr_assert_eq(define(0, KC_TYPE_CACHE, 1, 1), KC_OK);
    cr_assert_eq(death(0), KC_ERR_CORRUPT, "nothing was ever there");
    cr_assert_eq(birth(0, 0, 10, 16), KC_OK);
    cr_assert_eq(birth(0, 0, 10, 16), KC_ERR_CORRUPT, "live");
    cr_assert_eq(death(0), KC_OK);
    cr_assert_eq(death(0), KC_ERR_CORRUPT, "dead");
    cr_assert_eq(birth(KC_TRACE_SLOTS_MAX, 0, 10, 16), KC_ERR_CORRUPT);
    cr_assert_eq(pages(), 0);
}

Test(linux_model, running_out_of_frames_changes_nothing)
{
    cr_assert_eq(define(0, KC_TYPE_CACHE, 2, 1), KC_OK);
    for (uint64_t n = 0;; n++) {
        kc_frames_fail_after(&frames, n);
        kc_status_t s = birth(5, 0, 10, 16);
        kc_frames_fail_after(&frames, UINT64_MAX);
        if (s == KC_OK) {
            cr_assert_eq(n, 4, "two tables, each a directory and a chunk");
            break;
        }
        cr_assert_eq(s, KC_ERR_NOMEM);
        cr_assert_eq(kc_linux_model_footprint(&model), 0);
        cr_assert_eq(kc_linux_model_requested(&model), 0);
        kc_linux_model_fini(&model);
        kc_linux_model_init(&model, &frames);
        cr_assert_eq(define(0, KC_TYPE_CACHE, 2, 1), KC_OK);
    }
    cr_assert_eq(pages(), 1);
}
