/* SPDX-License-Identifier: BSD-2-Clause */
/* frame: lists of CPUs and the stock of zero frames, F10 to F12 of src/mem/frame.c. */
#include <kc_test.h>

#include "mem/frame_priv.h"

#define MODEL_REQUIRE(c) cr_assert(c, "model: %s", #c)
#include "frame_model.h"

#define OWNER KC_FRAME_OWNER_TEST
#define OTHER KC_FRAME_OWNER_USER
#define RAM   KC_MIB(8)
#define LISTS 2u
#define KEEPS (KC_MAG_IS_USED ? KC_FRAME_CPU_KEEPS : 0)
#define MOVE  KC_FRAME_CPU_MOVE

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;
static struct kc_frame_cpu lists[LISTS];
static struct frame_model model;
static kc_pa_t all[RAM / KC_FRAME_BYTES];

static void set_up(void)
{
    cr_assert(kc_test_ram(RAM, &info));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    cr_assert_eq(kc_frames_set_cpus(&frames, lists, LISTS), KC_OK);
}

static void tear_down(void)
{
    struct kc_frame_fault where = {0, 0, 0, 0};
    cr_expect_eq(kc_frames_check(&frames, &where), KC_OK, "F%u at %u", where.invariant,
                 where.index);
}

TestSuite(frame_cpu, .init = set_up, .fini = tear_down);

static kc_pa_t get(uint32_t flags)
{
    kc_pa_t pa = kc_pa(0);
    cr_assert_eq(kc_frame_alloc(&frames, 0, flags, OWNER, &pa), KC_OK);
    return pa;
}

/* Allocates so many, or until there are no more; returns how many. */
static uint32_t get_many(uint32_t max)
{
    uint32_t n = 0;
    while (n < max && kc_frame_alloc(&frames, 0, 0, OWNER, &all[n]) == KC_OK) {
        n++;
    }
    return n;
}

static void put_many(uint32_t n)
{
    while (n > 0) {
        cr_assert_eq(kc_frame_free(&frames, all[--n], 0), KC_OK);
    }
}

static struct kc_frame *record(kc_pa_t pa)
{
    const struct kc_frame_span *s = frame_span_of(&frames, kc_pa_raw(pa) >> KC_FRAME_LOG2);
    return kc_frame_at(&frames, frame_record(s, kc_pa_raw(pa) >> KC_FRAME_LOG2));
}

static struct kc_frame_stats stats(void)
{
    struct kc_frame_stats s;
    kc_frame_stats(&frames, &s);
    return s;
}

Test(frame_cpu, random_operations_agree_with_the_model)
{
    static uint8_t bytes[8192];
    uint64_t seed = kc_test_seed();
    struct kc_bytes o = {bytes, sizeof(bytes), 0};
    kc_random_fill(&seed, bytes, sizeof(bytes));
    frame_model_init(&model, &frames, &misuse, info.range[0].base, RAM / KC_FRAME_BYTES);
    while (!kc_bytes_is_empty(&o)) {
        frame_model_step(&model, &o);
        frame_model_check(&model);
    }
    frame_model_finish(&model);
}

Test(frame_cpu, a_kept_frame_is_free_for_everybody)
{
    kc_pa_t pa = get(0);
    struct kc_frame_info is;
    struct kc_frame_found found;
    uint64_t cursor = 0;
    cr_assert_eq(kc_frame_free(&frames, pa, 0), KC_OK);
    kc_frame_info(&frames, pa, &is);
    cr_expect_eq(is.state, KC_FRAME_FREE);
    cr_expect_eq(is.owner, KC_FRAME_OWNER_NONE);
    cr_expect_eq(is.refs + is.pins, 0);
    cr_expect_not(kc_frame_find(&frames, pa, &found));
    cr_expect_not(kc_frame_next_used(&frames, &cursor, &is));
    cr_expect_eq(kc_frame_owner_frames(&frames, OWNER), 0);
    struct kc_frame_stats s = stats();
    cr_expect_eq(s.used_frames, 0);
    cr_expect_eq(s.free_frames, s.frame_count);
    cr_expect_eq(s.kept_frames, KC_MAG_IS_USED ? MOVE : 0);
    cr_expect_eq(s.alloc_count, 1);
    cr_expect_eq(s.free_count, 1);
}

Test(frame_cpu, wrong_frees_have_the_same_answers_as_without_lists)
{
    kc_pa_t pa = get(0);
    kc_pa_t inside = kc_pa(kc_pa_raw(pa) + 8);
    cr_expect_eq(kc_frame_free(&frames, inside, 0), KC_ERR_ALIGN);
    cr_expect_eq(kc_frame_free(&frames, pa, 1), KC_ERR_ARG);
    cr_expect_eq(kc_frame_free(&frames, kc_pa(0), 0), KC_ERR_RANGE);
    cr_assert_eq(kc_frame_get(&frames, pa), KC_OK);
    cr_expect_eq(kc_frame_free(&frames, pa, 0), KC_ERR_STATE);
    cr_expect_eq(misuse.last.kind, KC_MISUSE_BUSY);
    cr_assert_eq(kc_frame_put(&frames, pa, NULL), KC_OK);
    (void)kc_frame_claim(&frames, pa, 0, 7);
    cr_expect_eq(kc_frame_free(&frames, pa, 0), KC_ERR_PERM);
    kc_frame_unclaim(&frames, pa, 0);
    cr_assert_eq(kc_frame_free(&frames, pa, 0), KC_OK);
    /* Kept, and back in its zone, and kept again by a refill. */
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t total = kc_misuse_total(&misuse);
        cr_expect_eq(kc_frame_free(&frames, pa, 0), KC_ERR_STATE);
        cr_expect_eq(kc_frame_free(&frames, inside, 0), KC_ERR_STATE);
        cr_expect_eq(kc_frame_get(&frames, pa), KC_ERR_STATE);
        cr_expect_eq(kc_frame_pin(&frames, pa), KC_ERR_STATE);
        cr_expect_eq(kc_frame_put(&frames, pa, NULL), KC_ERR_STATE);
        cr_expect_eq(kc_frame_free_run(&frames, pa, 1), KC_ERR_STATE);
        cr_expect_eq(kc_misuse_total(&misuse), total + 6);
        cr_expect_eq(misuse.last.kind, KC_MISUSE_DOUBLE_FREE);
        cr_expect_eq(misuse.last.owner, OWNER);
        if (i == 0) {
            cr_expect_eq(kc_frames_drain(&frames, 0), KC_MAG_IS_USED ? MOVE : 0);
        } else if (i == 1) {
            cr_assert_eq(kc_frame_free(&frames, get(0), 0), KC_OK);
        }
    }
}

Test(frame_cpu, the_last_put_goes_into_the_list)
{
    kc_pa_t pa = get(0);
    bool freed = false;
    cr_assert_eq(kc_frame_get(&frames, pa), KC_OK);
    cr_expect_eq(kc_frame_put(&frames, pa, &freed), KC_OK);
    cr_expect_not(freed);
    cr_expect_eq(kc_frame_put(&frames, pa, &freed), KC_OK);
    cr_expect(freed);
    cr_expect_eq(stats().kept_frames, KC_MAG_IS_USED ? MOVE : 0);
}

Test(frame_cpu, a_cpu_keeps_no_more_than_is_published)
{
    uint32_t n = get_many(300);
    cr_assert_eq(n, 300);
    put_many(n);
    cr_expect_leq(stats().kept_frames, KEEPS);
    cr_expect_eq(stats().kept_frames, KC_MAG_IS_USED ? KC_FRAME_CPU_FRAMES : 0);
    cr_expect_eq(kc_frames_drain(&frames, 0), KEEPS);
    cr_expect_eq(kc_frames_drain(&frames, 0), 0);
    cr_expect_eq(kc_frames_drain(&frames, 99), 0);
    cr_expect_eq(stats().kept_frames, 0);
}

Test(frame_cpu, an_allocation_finds_every_frame_that_no_other_cpu_keeps)
{
    uint32_t n = get_many(RAM / KC_FRAME_BYTES);
    kc_pa_t pa;
    cr_expect_eq(n, stats().frame_count);
    put_many(n);
    /* As one piece, the list included. */
    for (uint32_t i = 0; i < stats().frame_count >> 10; i++) {
        cr_expect_eq(kc_frame_alloc(&frames, 10, KC_FRAME_NO_RECLAIM, OWNER, &pa), KC_OK);
    }
    cr_expect_eq(kc_frame_alloc(&frames, 10, KC_FRAME_NO_RECLAIM, OWNER, &pa), KC_ERR_NOMEM);
}

Test(frame_cpu, the_marks_hold_at_the_refill)
{
    struct kc_frame_stats s = stats();
    struct kc_frame_marks marks = {5, 5, 5, 0, 0};
    kc_pa_t pa;
    cr_assert_eq(kc_frames_set_marks(&frames, &marks), KC_OK);
    uint32_t n = get_many(RAM / KC_FRAME_BYTES);
    cr_expect_eq(n, s.frame_count - 5);
    cr_expect_eq(kc_frame_alloc(&frames, 0, KC_FRAME_NO_RECLAIM, OWNER, &pa), KC_ERR_NOMEM);
    for (uint32_t i = 0; i < 5; i++) {
        cr_expect_eq(stats().free_frames, 5 - i);
        cr_expect_eq(kc_frame_alloc(&frames, 0, KC_FRAME_URGENT, OWNER, &pa), KC_OK);
        cr_expect_eq(stats().kept_frames, 0);
    }
}

Test(frame_cpu, injected_faults_are_exact)
{
    kc_pa_t pa = get(0); /* now the list has some */
    kc_frames_fail_run(&frames, 3, 2);
    for (uint32_t i = 0; i < 7; i++) {
        kc_status_t st = kc_frame_alloc(&frames, 0, KC_FRAME_NO_RECLAIM, OWNER, &pa);
        cr_expect_eq(st, i == 3 || i == 4 ? KC_ERR_NOMEM : KC_OK, "%u", i);
    }
    cr_expect_eq(stats().fail_count, 2);
}

Test(frame_cpu, owners_are_counted_from_call_to_call)
{
    for (uint32_t i = 0; i < 500; i++) {
        kc_pa_t pa = get(0);
        cr_expect_eq(kc_frame_owner_frames(&frames, OWNER), 1);
        cr_expect_eq(kc_frame_owner_of(&frames, pa), OWNER);
        /* Freed past the list: what the list counted is made up for elsewhere. */
        cr_assert_eq(i % 2 != 0 ? kc_frame_free(&frames, pa, 0) : kc_frame_free_run(&frames, pa, 1),
                     KC_OK);
        cr_expect_eq(kc_frame_owner_frames(&frames, OWNER), 0);
    }
    cr_expect_eq(stats().alloc_count, 500);
    cr_expect_eq(stats().free_count, 500);
    cr_assert_eq(kc_frames_set_cpus(&frames, NULL, 0), KC_OK);
    cr_expect_eq(kc_frame_owner_frames(&frames, OWNER), 0);
    cr_expect_eq(stats().alloc_count, 500);
}

/* Two wrong frees of one frame on two CPUs that both saw it in use: as if by both. */
Test(frame_cpu, an_entry_that_lost_its_frame_is_dropped_and_reported)
{
    if (!KC_MAG_IS_USED) {
        return;
    }
    for (uint32_t how = 0; how < 4; how++) {
        kc_pa_t pa = get(0);
        struct kc_frame_stats s = stats();
        uint64_t total = kc_misuse_total(&misuse);
        struct kc_frame *r = record(pa);
        cr_assert_eq(kc_frame_free(&frames, pa, 0), KC_OK); /* by CPU 0 */
        struct kc_frame_cpu *c = &lists[1];
        c->entry[0] = lists[0].entry[kc_mag_count(&lists[0].mag) - 1];
        kc_mag_set_count(&c->mag, 1);
        c->frees++;
        c->owner[OWNER]--;
        size_t kept = kc_mag_count(&lists[0].mag);
        if (how % 2 == 0) {
            r->word = c->word; /* CPU 1 stored last: CPU 0 has the stale entry */
        }
        if (how < 2) {
            cr_expect_neq(kc_pa_raw(get(0)), how == 0 ? kc_pa_raw(pa) : 0);
            (void)kc_frames_drain(&frames, 0);
            cr_expect_eq(kc_frames_drain(&frames, 1), how == 0 ? 1 : 0);
            cr_expect_eq(stats().used_frames, s.used_frames);
            cr_expect_eq(kc_frame_owner_frames(&frames, OWNER), how + 1);
        } else {
            cr_expect_eq(kc_frames_drain(&frames, 0), how % 2 == 0 ? kept - 1 : kept);
            cr_expect_eq(kc_frames_drain(&frames, 1), how % 2 == 0 ? 1 : 0);
        }
        cr_expect_eq(kc_misuse_total(&misuse), total + 1);
        cr_expect_eq(misuse.last.kind, KC_MISUSE_DOUBLE_FREE);
        cr_expect_eq(misuse.last.address, kc_pa_raw(pa));
        cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK);
    }
}

/* ---- the stock ------------------------------------------------------------------------------ */

static bool is_zero(kc_pa_t pa)
{
    const uint64_t *word = kc_plat_ram(pa);
    uint64_t any = 0;
    for (uint32_t i = 0; i < KC_FRAME_BYTES / sizeof(*word); i++) {
        any |= word[i];
    }
    return any == 0;
}

Test(frame_cpu, stocked_frames_are_zero_free_and_served_first)
{
    uint32_t n = get_many(100);
    for (uint32_t i = 0; i < n; i++) {
        __builtin_memset(kc_plat_ram(all[i]), 0xa5, KC_FRAME_BYTES);
    }
    put_many(n);
    uint32_t most = FRAME_FULL ? 0 : KC_FRAME_STOCK_MAX;
    cr_expect_eq(kc_frames_prezero(&frames, 3), most != 0 ? 3 : 0);
    cr_expect_eq(kc_frames_prezero(&frames, 1000), most != 0 ? most - 3 : 0);
    cr_expect_eq(kc_frames_prezero(&frames, 1000), 0);
    cr_expect_eq(stats().stock_frames, most);
    cr_expect_eq(stats().free_frames, stats().frame_count);
    for (uint32_t i = 0; i < 40; i++) {
        all[i] = get(KC_FRAME_ZERO);
        cr_expect(is_zero(all[i]));
        cr_expect_eq(stats().stock_frames, i < most ? most - i - 1 : 0);
    }
    put_many(40);
}

Test(frame_cpu, the_stock_leaves_the_mark_low_and_goes_back_when_memory_is_short)
{
    struct kc_frame_marks marks = {0, 10, 20, 0, 0};
    uint32_t n = get_many((uint32_t)stats().frame_count - 16);
    cr_assert_eq(kc_frames_set_marks(&frames, &marks), KC_OK);
    (void)kc_frames_drain(&frames, 0);
    cr_expect_eq(kc_frames_prezero(&frames, 100), FRAME_FULL ? 0 : 6);
    for (uint32_t i = 0; i < 16; i++) {
        cr_assert_eq(kc_frame_alloc(&frames, 0, KC_FRAME_NO_RECLAIM, OWNER, &all[n + i]), KC_OK);
    }
    cr_expect_eq(stats().free_frames, 0);
}

/* ---- set up, validator ---------------------------------------------------------------------- */

Test(frame_cpu, lists_are_judged_and_can_be_exchanged)
{
    static struct kc_frame_cpu more[3];
    cr_expect_eq(kc_frames_set_cpus(NULL, more, 1), KC_ERR_ARG);
    cr_expect_eq(kc_frames_set_cpus(&frames, NULL, 1), KC_ERR_ARG);
    cr_expect_eq(kc_frames_set_cpus(&frames, (void *)((char *)more + 8), 1), KC_ERR_ALIGN);
    cr_expect_eq(kc_frames_set_cpus(&frames, more, KC_CPUS_MAX + 1), KC_ERR_RANGE);
    kc_pa_t pa = get(0);
    cr_expect_eq(kc_frames_set_cpus(&frames, more, 3), KC_OK);
    cr_expect_eq(stats().kept_frames, 0);
    cr_expect_eq(kc_frame_owner_frames(&frames, OWNER), 1);
    cr_expect_eq(kc_frame_free(&frames, pa, 0), KC_OK);
    cr_expect_eq(kc_mag_count(&more[0].mag), KC_MAG_IS_USED ? 1 : 0);
}

Test(frame_cpu, fini_takes_what_is_kept)
{
    kc_pa_t pa = get(0);
    (void)kc_frames_prezero(&frames, 4);
    cr_expect_eq(kc_frames_fini(&frames), KC_ERR_STATE);
    cr_assert_eq(kc_frame_free(&frames, pa, 0), KC_OK);
    (void)kc_frames_prezero(&frames, 4);
    cr_expect_eq(kc_frames_fini(&frames), KC_OK);
}

#define EXPECT_BROKEN(n, place, wrong)                                           \
    do {                                                                         \
        struct kc_frame_fault where_ = {0, 0, 0, 0};                             \
        __typeof__(place) saved_ = (place);                                      \
        (place) = (wrong);                                                       \
        cr_expect_eq(kc_frames_check(&frames, &where_), KC_ERR_CORRUPT, #place); \
        cr_expect_eq(where_.invariant, (uint32_t)(n), #place);                   \
        (place) = saved_;                                                        \
    } while (0)

Test(frame_cpu, check_sees_each_broken_invariant)
{
    if (!KC_MAG_IS_USED) {
        return;
    }
    kc_pa_t pa = get(0);
    cr_assert_eq(kc_frame_free(&frames, pa, 0), KC_OK);
    cr_assert_eq(kc_frames_prezero(&frames, 2), 2);
    struct kc_frame_cpu *c = &lists[0];
    struct kc_frame *r = record(pa);
    EXPECT_BROKEN(8, c->owner[OWNER], 1u);
    EXPECT_BROKEN(10, r->word, FRAME_KEPT_BY(LISTS));
    EXPECT_BROKEN(10, r->kind, frame_kind(KC_FRAME_USED, 0, KC_FRAME_OWNER_COUNT));
    EXPECT_BROKEN(10, r->u.data, 1u);
    EXPECT_BROKEN(11, r->word, FRAME_KEPT_BY(1));
    EXPECT_BROKEN(11, c->mag.count, 1u);
    EXPECT_BROKEN(11, c->entry[1], c->entry[0]);
    EXPECT_BROKEN(11, c->entry[1].pfn, c->entry[0].pfn);
    EXPECT_BROKEN(12, frames.stock_count, 1u);
    EXPECT_BROKEN(12, frames.stock, c->entry[0].index);
    EXPECT_BROKEN(12, frames.zeroing, 1u);
}

/* Records and counts agree on a list that is longer than there is room for. */
Test(frame_cpu, check_reads_no_list_behind_its_end)
{
    if (!KC_MAG_IS_USED) {
        return;
    }
    kc_pa_t pa[KC_FRAME_CPU_FRAMES + 1];
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(pa); i++) {
        pa[i] = get(0);
    }
    struct kc_frame_cpu *c = &lists[0];
    uint32_t kept = (uint32_t)kc_mag_count(&c->mag);
    uint32_t more = (uint32_t)KC_ARRAY_COUNT(pa) - kept;
    uint32_t word = record(pa[0])->word;
    for (uint32_t i = 0; i < more; i++) {
        record(pa[i])->word = FRAME_KEPT_BY(0);
    }
    c->owner[OWNER] -= more;
    c->mag.count = kept + more;
    struct kc_frame_fault where = {0, 0, 0, 0};
    cr_expect_eq(kc_frames_check(&frames, &where), KC_ERR_CORRUPT);
    cr_expect_eq(where.invariant, 11);
    cr_expect_eq(where.found, KC_ARRAY_COUNT(pa));
    for (uint32_t i = 0; i < more; i++) {
        record(pa[i])->word = word;
    }
    c->owner[OWNER] += more;
    c->mag.count = kept;
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(pa); i++) {
        cr_assert_eq(kc_frame_free(&frames, pa[i], 0), KC_OK);
    }
    cr_expect_eq(kc_frames_check(&frames, &where), KC_OK);
}
