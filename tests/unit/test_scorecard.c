/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scorecard in every body: each case on each of the core's subjects, against the row of the
 * level that this build has. The program kc-scorecard shows the same, and other allocators.
 */
#include "kc_test.h"

#ifdef KC_TEST_SIMULATED
#include "kc_test_cpus.h"
#endif

#include "scorecard/score.h"

static struct kc_boot_info info;

static bool panics(void (*f)(void *), void *arg)
{
    struct kc_test_trap trap;
    volatile bool panicked = true;
    kc_test_trap_push(&trap);
    if (KC_TEST_SETJMP(&trap.jump) == 0) {
        f(arg);
        kc_test_trap_pop(&trap);
        panicked = false;
    }
    return panicked;
}

static void set_up(void)
{
    cr_assert(kc_test_ram(SCORE_RAM_BYTES, &info));
    score_env.info = &info;
    score_env.panics = panics;
#ifdef KC_TEST_SIMULATED
    score_env.can_access = kc_test_can_access; /* a user address is no pointer there */
#endif
}

TestSuite(scorecard, .init = set_up);

static void judge(const struct score_case *c, const struct score_adapter *a,
                  const struct score_outcome *o)
{
    const struct score_row *r = score_row_of(c->id, a->name);
    cr_assert_not_null(r, "%s on %s has no row", c->id, a->name);
    enum score_at expected = score_expected(r, KC_HARDENING);
    cr_expect_null(o->why, "%s on %s: %s", c->id, a->name, o->why);
    cr_expect_eq((uint32_t)o->at, (uint32_t)expected, "%s on %s: noticed at %s, expected %s", c->id,
                 a->name, score_at_name(o->at), score_at_name(expected));
    if (expected != SCORE_NEVER && expected != SCORE_BREAKS) {
        cr_expect(score_said(r, o), "%s on %s: said %s, %u times", c->id, a->name, o->message,
                  o->reports);
    }
}

static void run(const struct score_group *g)
{
    static const struct score_adapter *const subjects[] = {
        &score_pool, &score_cache, &score_heap, &score_frames, &score_fence, &score_core};
    for (uint32_t i = 0; i < g->count; i++) {
        uint32_t ran = 0;
        for (uint32_t k = 0; k < KC_ARRAY_COUNT(subjects); k++) {
            struct score_outcome o;
            if (score_run(&g->cases[i], subjects[k], &o)) {
                judge(&g->cases[i], subjects[k], &o);
                ran++;
            } else {
                cr_expect_null(score_row_of(g->cases[i].id, subjects[k]->name),
                               "%s on %s has a row, but did not run", g->cases[i].id,
                               subjects[k]->name);
            }
        }
        cr_expect_neq(ran, 0, "%s ran on no subject", g->cases[i].id);
    }
}

Test(scorecard, bytes_before_and_behind)
{
    run(&score_bounds);
}

Test(scorecard, wrong_frees)
{
    run(&score_frees);
}

Test(scorecard, memory_after_its_free)
{
    run(&score_reuse);
}

Test(scorecard, sizes_and_promises)
{
    run(&score_sizes);
}

Test(scorecard, other_modules)
{
    run(&score_modules);
}
