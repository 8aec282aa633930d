/* SPDX-License-Identifier: BSD-2-Clause */
/* frame: marks, reclaimers and injected faults: what kc/frame.h says of when memory is short. */
#include "frame_fixture.h"

TestSuite(frame_short, .init = set_up, .fini = tear_down);

Test(frame_short, marks_are_judged)
{
    struct kc_frame_marks good = {1, 2, 3, 63, 0};
    struct kc_frame_marks bad[] = {
        {2, 1, 3, 0, 0}, {0, 3, 2, 0, 0}, {0, 0, frames.frame_count + 1, 0, 0}, {0, 0, 0, 64, 0}};
    struct kc_frame_stats s;
    cr_expect_eq(kc_frames_set_marks(&frames, NULL), KC_ERR_ARG);
    cr_expect_eq(kc_frames_set_marks(NULL, &good), KC_ERR_ARG);
    cr_expect_eq(kc_frames_set_marks(&frames, &good), KC_OK);
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(bad); i++) {
        cr_expect_eq(kc_frames_set_marks(&frames, &bad[i]), KC_ERR_RANGE);
    }
    kc_frame_stats(&frames, &s);
    cr_expect_eq(s.marks.high, 3);
}

Test(frame_short, the_last_frames_are_for_the_urgent)
{
    struct kc_frame_marks marks = {8, 8, 8, 0, 0};
    kc_pa_t pa;
    take_all_but(10);
    cr_assert_eq(kc_frames_set_marks(&frames, &marks), KC_OK);
    cr_expect_eq(kc_frame_alloc_run(&frames, 3, 0, 0, OWNER, &pa), KC_ERR_NOMEM);
    cr_expect_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &pa), KC_OK);
    cr_expect_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &pa), KC_OK);
    cr_expect_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &pa), KC_ERR_NOMEM);
    for (uint32_t i = 0; i < 8; i++) {
        cr_expect_eq(kc_frame_alloc(&frames, 0, KC_FRAME_URGENT, OWNER, &pa), KC_OK);
    }
    cr_expect_eq(kc_frame_alloc(&frames, 0, KC_FRAME_URGENT, OWNER, &pa), KC_ERR_NOMEM);
}

/* A reclaimer that has some frames, and says which of several was asked, and when. */
struct giver {
    struct kc_frame_reclaimer r;
    uint32_t has, asked;
    uint64_t wanted;
    uint32_t turn;
};
static uint32_t turns;

static uint64_t give_frames(void *context, uint64_t wanted)
{
    struct giver *g = context;
    uint64_t given = 0;
    g->asked++;
    g->wanted = wanted;
    g->turn = ++turns;
    for (; given < wanted && g->has > 0; given++, g->has--) {
        cr_expect_eq(kc_frame_free(&frames, held[--held_count], 0), KC_OK);
    }
    return given;
}

static void giver_add(struct giver *g, uint32_t has)
{
    __builtin_memset(g, 0xee, sizeof(*g));
    g->r.name = "giver";
    g->r.reclaim = give_frames;
    g->r.context = g;
    g->has = has;
    g->asked = g->turn = 0;
    cr_assert_eq(kc_frames_reclaimer_add(&frames, &g->r), KC_OK);
}

Test(frame_short, reclaimers_are_asked_in_turn_before_an_allocation_fails)
{
    struct giver a, b, c;
    kc_pa_t pa;
    turns = 0;
    giver_add(&a, 0);
    giver_add(&b, 1);
    giver_add(&c, 5);
    pa = get(0);
    cr_expect_eq(a.asked, 0, "memory is plenty");
    take_all_but(0);
    cr_expect_eq(a.asked, 0, "NO_RECLAIM");
    pa = get(0);
    cr_expect_eq(a.turn, 1);
    cr_expect_eq(b.turn, 2);
    cr_expect_eq(c.asked, 0, "one gave enough");
    cr_expect_eq(b.wanted, 1);
    cr_expect_eq(kc_frame_alloc(&frames, 0, KC_FRAME_NO_RECLAIM, OWNER, &pa), KC_ERR_NOMEM);
    cr_expect_eq(b.asked, 1);
    pa = get(0);
    cr_expect_eq(c.turn, 5);
    cr_expect_eq(kc_frames_reclaimer_remove(&frames, &c.r), KC_OK);
    cr_expect_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &pa), KC_ERR_NOMEM);
    cr_expect_eq(c.asked, 1, "it was taken out");
    cr_expect_eq(kc_frames_reclaimer_remove(&frames, &c.r), KC_ERR_ABSENT);
    cr_expect_eq(kc_frames_reclaimer_add(&frames, &a.r), KC_ERR_EXISTS);
    cr_expect_eq(kc_frames_reclaimer_add(&frames, NULL), KC_ERR_ARG);
    struct kc_frame_stats s;
    kc_frame_stats(&frames, &s);
    cr_expect_eq(s.reclaim_count, 3);
    cr_expect_eq(s.reclaimed_frames, 2);
    cr_expect_eq(b.r.frames, 1);
    cr_expect_eq(b.r.calls, 3);
    cr_expect_eq(s.fail_count, 3, "the try before the reclaimers is no failure");
}

static uint64_t allocate_within(void *context, uint64_t wanted)
{
    struct giver *g = context;
    kc_pa_t pa;
    (void)wanted;
    g->asked++;
    cr_expect_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &pa), KC_ERR_NOMEM);
    cr_expect_eq(kc_frames_balance(&frames), 0);
    cr_expect_eq(kc_frames_reclaimer_remove(&frames, &g->r), KC_ERR_STATE);
    return 0;
}

Test(frame_short, a_reclaimer_that_allocates_is_not_asked_again)
{
    struct giver a;
    kc_pa_t pa;
    giver_add(&a, 0);
    a.r.reclaim = allocate_within;
    take_all_but(0);
    cr_expect_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &pa), KC_ERR_NOMEM);
    cr_expect_eq(a.asked, 1);
    cr_expect_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &pa), KC_ERR_NOMEM);
    cr_expect_eq(a.asked, 2, "later it is");
}

Test(frame_short, balance_works_between_low_and_high)
{
    struct giver a;
    struct kc_frame_marks marks = {2, 4, 7, 0, 0};
    giver_add(&a, 100);
    take_all_but(4);
    cr_assert_eq(kc_frames_set_marks(&frames, &marks), KC_OK);
    cr_expect_eq(kc_frames_balance(&frames), 0);
    cr_expect_eq(a.asked, 0);
    kc_pa_t pa = get(0);
    cr_expect_eq(kc_frames_balance(&frames), 4);
    cr_expect_eq(frames.free_frames, 7);
    cr_expect_eq(a.wanted, 4);
    cr_assert_eq(kc_frame_free(&frames, pa, 0), KC_OK);
}

Test(frame_short, an_injected_fault_is_not_helped)
{
    struct giver a;
    kc_pa_t pa;
    giver_add(&a, 100);
    take_all_but(8);
    kc_frames_fail_after(&frames, 0);
    cr_expect_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &pa), KC_ERR_NOMEM);
    cr_expect_eq(a.asked, 0);
    kc_frames_fail_after(&frames, 0);
    cr_expect_eq(kc_frame_alloc(&frames, 0, KC_FRAME_NO_RECLAIM, OWNER, &pa), KC_ERR_NOMEM);
    cr_expect_eq(kc_frames_reclaim(&frames, 1), 0);
    cr_expect_eq(a.asked, 0);
    cr_expect_eq(kc_frames_reclaim(&frames, 1), 1);
}
