/* SPDX-License-Identifier: BSD-2-Clause */
/* track: the contract of kc/track.h, and the invariants K1 to K8 of src/mem/track.c. */
#include <kc_test.h>

#include <kc/track.h>

#include "mem/track_priv.h"

#define MODEL_REQUIRE(c) cr_assert(c, "model: %s", #c)
#include "track_model.h"

#define OWNERS 6u
#define ITEMS  16u

static struct kc_track_owner owners[OWNERS];
static struct kc_track_item items[ITEMS];
static struct kc_track track;
static struct kc_misuse misuse;

/* Numbers of the items cleaned, in their order. */
static uint64_t order[64];
static uint32_t cleaned;

static void set_up(void)
{
    struct kc_track_config c = {"test", owners, OWNERS, items, ITEMS, &misuse};
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    __builtin_memset(owners, 0xee, sizeof(owners));
    __builtin_memset(items, 0xee, sizeof(items));
    cleaned = 0;
    cr_assert_eq(kc_track_init(&track, &c), KC_OK);
}

TestSuite(track, .init = set_up);

static void note_order(const struct kc_track_resource *r)
{
    order[cleaned++ % KC_ARRAY_COUNT(order)] = r->value[0];
}

static kc_track_owner_t owner(uint64_t item_limit, uint64_t unit_limit)
{
    struct kc_track_limits limits = {item_limit, unit_limit};
    kc_track_owner_t o = {0, 0};
    cr_assert_eq(kc_track_owner_add(&track, "somebody", &limits, &o), KC_OK);
    return o;
}

static kc_track_owner_t any_owner(void)
{
    return owner(KC_TRACK_NO_LIMIT, KC_TRACK_NO_LIMIT);
}

static kc_status_t try_add(kc_track_owner_t o, uint64_t number, uint64_t units,
                           const kc_track_item_t *needs, uint32_t need_count, kc_track_item_t *out)
{
    struct kc_track_request rq = {
        .what = {.value = {number, 0}},
        .cleanup = note_order,
        .units = units,
        .site = KC_TRACK_SITE,
        .needs = needs,
        .need_count = need_count,
    };
    return kc_track_add(&track, o, &rq, out);
}

static kc_track_item_t add(kc_track_owner_t o, uint64_t number, const kc_track_item_t *needs,
                           uint32_t need_count)
{
    kc_track_item_t i = {0, 0};
    cr_assert_eq(try_add(o, number, 1, needs, need_count, &i), KC_OK);
    return i;
}

static void kill_all_of(kc_track_owner_t o)
{
    bool gone = false;
    cr_assert_eq(kc_track_owner_kill(&track, o, &gone), KC_OK);
    cr_assert(gone);
    cr_assert(kc_track_owner_is_gone(&track, o));
    cr_assert_eq(kc_track_check(&track, NULL), KC_OK);
}

Test(track, init_refuses)
{
    struct kc_track_config c = {"test", NULL, 1, items, 1, NULL};
    cr_expect_eq(kc_track_init(&track, NULL), KC_ERR_ARG);
    cr_expect_eq(kc_track_init(NULL, &c), KC_ERR_ARG);
    cr_expect_eq(kc_track_init(&track, &c), KC_ERR_ARG);
    c.owners = owners;
    c.items = NULL;
    cr_expect_eq(kc_track_init(&track, &c), KC_ERR_ARG);
    c.items = items;
    c.item_max = 0;
    cr_expect_eq(kc_track_init(&track, &c), KC_ERR_RANGE);
    c.item_max = KC_TRACK_SLOTS_MAX + 1;
    cr_expect_eq(kc_track_init(&track, &c), KC_ERR_RANGE);
    c.item_max = 1;
    c.owner_max = 0;
    cr_expect_eq(kc_track_init(&track, &c), KC_ERR_RANGE);
    c.owner_max = 1;
    cr_expect_eq(kc_track_init(&track, &c), KC_OK);
}

Test(track, kill_cleans_newest_first_without_needs)
{
    kc_track_owner_t o = any_owner();
    for (uint64_t i = 0; i < 5; i++) {
        (void)add(o, i, NULL, 0);
    }
    kill_all_of(o);
    cr_assert_eq(cleaned, 5);
    for (uint32_t i = 0; i < 5; i++) {
        cr_expect_eq(order[i], 4 - i);
    }
    cr_expect_eq(kc_track_owner_kill(&track, o, NULL), KC_ERR_ABSENT);
    cr_expect_eq(cleaned, 5);
}

/* space <- mapping -> frame; the space is the elder, and moved to the front by way of another. */
Test(track, kill_cleans_users_before_what_they_need)
{
    kc_track_owner_t o = any_owner();
    kc_track_owner_t other = any_owner();
    kc_track_item_t needs[2] = {add(o, 1, NULL, 0), add(o, 2, NULL, 0)};
    (void)add(o, 3, needs, 2);
    cr_assert_eq(kc_track_move(&track, needs[0], other), KC_OK);
    cr_assert_eq(kc_track_move(&track, needs[0], o), KC_OK);
    kill_all_of(o);
    cr_assert_eq(cleaned, 3);
    cr_expect_eq(order[0], 3, "what needs the others");
    cr_expect_eq(order[1], 1, "then the newest in the list");
}

Test(track, kill_revokes_what_others_built_on_it)
{
    kc_track_owner_t lender = any_owner();
    kc_track_owner_t user = any_owner();
    kc_track_item_t frame = add(lender, 1, NULL, 0);
    kc_track_item_t map = add(user, 2, &frame, 1);
    (void)add(user, 3, &map, 1);
    (void)add(user, 4, NULL, 0);
    kill_all_of(lender);
    cr_assert_eq(cleaned, 3);
    cr_expect_eq(order[0], 3);
    cr_expect_eq(order[1], 2);
    cr_expect_eq(order[2], 1);
    struct kc_track_owner_stats s;
    cr_assert_eq(kc_track_owner_stats(&track, user, &s), KC_OK);
    cr_expect_eq(s.items, 1, "what had nothing to do with it stays");
    cr_expect_eq(kc_track_release(&track, map), KC_ERR_ABSENT);
}

Test(track, release_of_what_is_needed_is_refused)
{
    kc_track_owner_t o = any_owner();
    kc_track_item_t a = add(o, 1, NULL, 0);
    kc_track_item_t twice[2] = {a, a};
    kc_track_item_t b = add(o, 2, twice, 2);
    cr_expect_eq(kc_track_release(&track, a), KC_ERR_STATE);
    cr_expect_eq(kc_track_take(&track, a, NULL), KC_ERR_STATE);
    cr_expect_eq(kc_track_release(&track, b), KC_OK);
    cr_expect_eq(kc_track_release(&track, b), KC_ERR_ABSENT);
    cr_expect_eq(kc_track_release(&track, a), KC_OK);
    cr_expect_eq(cleaned, 2);
}

Test(track, take_gives_the_resource_and_cleans_nothing)
{
    kc_track_owner_t o = any_owner();
    struct kc_track_resource what = {0};
    kc_track_item_t a = add(o, 77, NULL, 0);
    cr_assert_eq(kc_track_take(&track, a, &what), KC_OK);
    cr_expect_eq(what.value[0], 77);
    what.value[0] = 5;
    cr_expect_eq(kc_track_take(&track, a, &what), KC_ERR_ABSENT);
    cr_expect_eq(what.value[0], 5, "untouched on error");
    kill_all_of(o);
    cr_expect_eq(cleaned, 0);
}

Test(track, quota_of_items_and_units)
{
    kc_track_owner_t o = owner(3, 10);
    kc_track_item_t a;
    kc_track_item_t b = {9, 9};
    struct kc_track_owner_stats s;
    cr_assert_eq(try_add(o, 1, 7, NULL, 0, &a), KC_OK);
    cr_expect_eq(try_add(o, 2, 4, NULL, 0, &b), KC_ERR_QUOTA);
    cr_expect_eq(try_add(o, 2, UINT64_MAX, NULL, 0, &b), KC_ERR_QUOTA, "the sum wraps");
    cr_expect_eq(b.index_, 9, "untouched on error");
    cr_assert_eq(try_add(o, 2, 3, NULL, 0, &b), KC_OK);
    cr_assert_eq(try_add(o, 3, 0, NULL, 0, NULL), KC_OK);
    cr_expect_eq(try_add(o, 4, 0, NULL, 0, NULL), KC_ERR_QUOTA, "items");
    cr_assert_eq(kc_track_owner_stats(&track, o, &s), KC_OK);
    cr_expect_eq(s.items, 3);
    cr_expect_eq(s.units, 10);
    cr_expect_eq(s.refused, 3);
    cr_assert_eq(kc_track_release(&track, a), KC_OK);
    struct kc_track_limits less = {3, 2};
    cr_assert_eq(kc_track_owner_limit(&track, o, &less), KC_OK);
    cr_expect_eq(try_add(o, 5, 0, NULL, 0, NULL), KC_ERR_QUOTA, "3 units are above the new limit");
    kc_track_owner_t other = owner(1, 2);
    cr_expect_eq(kc_track_move(&track, b, other), KC_ERR_QUOTA);
    cr_assert_eq(kc_track_owner_stats(&track, o, &s), KC_OK);
    cr_expect_eq(s.units, 3);
    cr_expect_eq(s.units_peak, 10);
    cr_expect_eq(s.items_peak, 3);
    cr_assert_eq(kc_track_release(&track, b), KC_OK);
    cr_assert_eq(try_add(o, 6, 1, NULL, 0, NULL), KC_OK);
    cr_assert_eq(kc_track_owner_stats(&track, o, &s), KC_OK);
    cr_expect_eq(s.units_peak, 10);
    cr_expect_eq(s.items_peak, 3);
}

/* Fault sweep: room for 0, 1, 2, ... items; a refusal changes nothing. */
Test(track, every_want_of_a_slot_is_clean)
{
    for (uint32_t room = 1; room <= ITEMS; room++) {
        struct kc_track_config c = {"test", owners, 2, items, room, &misuse};
        cr_assert_eq(kc_track_init(&track, &c), KC_OK);
        cleaned = 0;
        kc_track_owner_t o = any_owner();
        kc_track_item_t last = {0, 0};
        uint32_t n = 0;
        while (try_add(o, n, 1, n == 0 ? NULL : &last, n == 0 ? 0 : 1, &last) == KC_OK) {
            n++;
            cr_assert_eq(kc_track_check(&track, NULL), KC_OK);
        }
        cr_assert_eq(n, room);
        cr_assert_eq(try_add(o, n, 1, NULL, 0, NULL), KC_ERR_NOMEM);
        cr_assert_eq(kc_track_check(&track, NULL), KC_OK);
        (void)any_owner();
        kc_track_owner_t none = {5, 5};
        cr_assert_eq(kc_track_owner_add(&track, "", NULL, &none), KC_ERR_NOMEM);
        cr_assert_eq(none.index_, 5);
        kill_all_of(o);
        cr_assert_eq(cleaned, room);
    }
}

Test(track, handles_of_nobody_are_misuse)
{
    kc_track_item_t none = {0, 0};
    kc_track_item_t far = {1000000, 1};
    kc_track_owner_t nobody = {0, 0};
    (void)any_owner();
    cr_expect_eq(kc_track_release(&track, none), KC_ERR_ARG);
    cr_expect_eq(kc_track_take(&track, far, NULL), KC_ERR_ARG);
    cr_expect_eq(kc_track_owner_kill(&track, nobody, NULL), KC_ERR_ARG);
    cr_expect_eq(try_add(nobody, 0, 0, NULL, 0, NULL), KC_ERR_ARG);
    cr_expect_eq(misuse.count[KC_MISUSE_FOREIGN], 4);
    cr_expect_not(kc_track_owner_is_gone(&track, nobody));
}

Test(track, add_refuses_malformed_requests)
{
    kc_track_owner_t o = any_owner();
    struct kc_track_request rq = {.cleanup = NULL};
    cr_expect_eq(kc_track_add(&track, o, &rq, NULL), KC_ERR_ARG);
    rq.cleanup = note_order;
    rq.what.kind = KC_TRACK_KINDS_MAX;
    cr_expect_eq(kc_track_add(&track, o, &rq, NULL), KC_ERR_ARG);
    rq.what.kind = 0;
    rq.need_count = KC_TRACK_NEEDS_MAX + 1;
    cr_expect_eq(kc_track_add(&track, o, &rq, NULL), KC_ERR_ARG);
    rq.need_count = 1;
    cr_expect_eq(kc_track_add(&track, o, &rq, NULL), KC_ERR_ARG);
    rq.need_count = 0;
    cr_expect_eq(kc_track_add(&track, o, &rq, NULL), KC_OK);
}

/* ---- re-entry ------------------------------------------------------------------------------- */

static kc_track_owner_t victim;
static kc_track_item_t friend_item;
static kc_status_t inner_status;
static bool inner_gone;

static void kill_victim(const struct kc_track_resource *r)
{
    note_order(r);
    inner_gone = true;
    inner_status = kc_track_owner_kill(&track, victim, &inner_gone);
}

static void release_friend(const struct kc_track_resource *r)
{
    note_order(r);
    inner_status = kc_track_release(&track, friend_item);
}

static kc_track_item_t add_acting(kc_track_owner_t o, uint64_t number, kc_track_cleanup_fn f,
                                  const kc_track_item_t *needs, uint32_t need_count)
{
    kc_track_item_t i = {0, 0};
    struct kc_track_request rq = {
        .what = {.value = {number, 0}}, .cleanup = f, .needs = needs, .need_count = need_count};
    cr_assert_eq(kc_track_add(&track, o, &rq, &i), KC_OK);
    return i;
}

Test(track, a_cleanup_that_kills_its_own_owner)
{
    victim = any_owner();
    kc_track_item_t below = add(victim, 1, NULL, 0);
    kc_track_item_t acting = add_acting(victim, 2, kill_victim, &below, 1);
    (void)add(victim, 3, NULL, 0);
    cr_assert_eq(kc_track_release(&track, acting), KC_OK);
    cr_expect_eq(inner_status, KC_OK);
    cr_expect_not(inner_gone, "it was at it itself, and 1 had to wait for it");
    cr_assert_eq(cleaned, 3);
    cr_expect_eq(order[0], 2);
    cr_expect_eq(order[1], 3);
    cr_expect_eq(order[2], 1, "cleaned by the outer release");
    cr_expect(kc_track_owner_is_gone(&track, victim));
    cr_expect_eq(kc_track_check(&track, NULL), KC_OK);
}

Test(track, a_second_killer_is_told)
{
    victim = any_owner();
    (void)add_acting(victim, 1, kill_victim, NULL, 0);
    kill_all_of(victim);
    cr_expect_eq(inner_status, KC_ERR_STATE);
    cr_expect_eq(cleaned, 1);
}

Test(track, a_cleanup_that_frees_others)
{
    kc_track_owner_t o = any_owner();
    kc_track_owner_t other = any_owner();
    friend_item = add(other, 1, NULL, 0);
    (void)add_acting(o, 2, release_friend, NULL, 0);
    kill_all_of(o);
    cr_expect_eq(inner_status, KC_OK);
    cr_expect_eq(cleaned, 2);
    kill_all_of(other);
    cr_expect_eq(cleaned, 2, "once");
}

/* 3 is being cleaned and kills the lender of what it needs: the lender has to wait, and is ended
 * when 3 is done. */
Test(track, a_cleanup_that_kills_whom_it_needs)
{
    kc_track_owner_t user = any_owner();
    victim = any_owner();
    kc_track_item_t lent = add(victim, 1, NULL, 0);
    kc_track_item_t mine = add_acting(user, 3, kill_victim, &lent, 1);
    cr_assert_eq(kc_track_release(&track, mine), KC_OK);
    cr_expect_not(inner_gone);
    cr_expect_eq(cleaned, 2);
    cr_expect(kc_track_owner_is_gone(&track, victim));
}

/* ---- generations, leaks, checks ------------------------------------------------------------- */

Test(track, a_slot_whose_generations_are_used_up_is_retired)
{
    kc_track_owner_t o = any_owner();
    kc_track_item_t a = add(o, 1, NULL, 0);
    items[a.index_].generation = UINT32_MAX;
    a.generation_ = UINT32_MAX;
    cr_assert_eq(kc_track_release(&track, a), KC_OK);
    kc_track_item_t b = add(o, 2, NULL, 0);
    cr_expect_neq(a.index_, b.index_);
    cr_expect_eq(kc_track_release(&track, a), KC_ERR_ABSENT);
    cr_expect_eq(kc_track_check(&track, NULL), KC_OK);
}

Test(track, leaks_are_listed_with_their_site)
{
    kc_track_owner_t o = any_owner();
    struct kc_track_info info;
    uint32_t cursor = 0;
    (void)add(o, 42, NULL, 0);
    cr_expect_eq(kc_track_fini(&track), KC_ERR_STATE);
    cr_expect_eq(misuse.count[KC_MISUSE_BUSY], 1);
    cr_assert(kc_track_next(&track, &cursor, &info));
    cr_expect_eq(info.what.value[0], 42);
    cr_expect_str_eq(info.owner_name, "somebody");
    uint32_t n = 0;
    while (info.site[n] != 0) {
        n++;
    }
    cr_assert_gt(n, 14);
    bool named = false;
    for (uint32_t i = 0; i + 13 <= n; i++) {
        named = named || __builtin_memcmp(info.site + i, "test_track.c:", 13) == 0;
    }
    cr_expect(named, "%s", info.site);
    cr_expect_not(kc_track_next(&track, &cursor, &info));
    kill_all_of(o);
    cr_expect_eq(kc_track_fini(&track), KC_OK);
}

static struct kc_track_fault fault;

static void expect_broken(uint32_t invariant)
{
    __builtin_memset(&fault, 0, sizeof(fault));
    cr_expect_eq(kc_track_check(&track, &fault), KC_ERR_CORRUPT);
    cr_expect_eq(fault.invariant, invariant);
}

Test(track, check_finds_each_broken_invariant)
{
    kc_track_owner_t o = any_owner();
    kc_track_item_t a = add(o, 1, NULL, 0);
    kc_track_item_t b = add(o, 2, &a, 1);
    kc_track_item_t c = add(o, 3, NULL, 0);
    cr_assert_eq(kc_track_release(&track, c), KC_OK);
    struct kc_track_item *ia = &items[a.index_];
    struct kc_track_item *ib = &items[b.index_];

    items[c.index_].state = 99;
    expect_broken(1);
    items[c.index_].state = TRACK_ITEM_FREE;
    items[c.index_].next = c.index_;
    expect_broken(1);
    items[c.index_].next = TRACK_NONE;
    ib->owner = 1;
    expect_broken(2);
    ib->owner = o.index_;
    ia->next = b.index_;
    expect_broken(2);
    ia->next = TRACK_NONE;
    owners[o.index_].units++;
    expect_broken(3);
    owners[o.index_].units--;
    track.items++;
    expect_broken(3);
    track.items--;
    ia->users = TRACK_NONE;
    expect_broken(4);
    /* Before the need of b, that of an item that is free. */
    ia->users = track_need_id(c.index_, 0);
    items[c.index_].need[0] =
        (struct kc_track_need){a.index_, track_need_id(b.index_, 0), TRACK_NONE};
    ib->need[0].prev = track_need_id(c.index_, 0);
    expect_broken(4);
    cr_expect_eq(fault.index, a.index_);
    ib->need[0].prev = TRACK_NONE;
    items[c.index_].need[0].target = TRACK_NONE;
    ia->users = track_need_id(b.index_, 0);
    ia->state = TRACK_ITEM_CLEANING;
    expect_broken(5);
    ia->state = TRACK_ITEM_LIVE;
    track.stuck = o.index_;
    expect_broken(6);
    track.stuck = TRACK_NONE;
    uint64_t sequence = ib->sequence;
    ib->sequence = ia->sequence;
    expect_broken(8);
    ib->sequence = sequence;
    cr_expect_eq(kc_track_check(&track, NULL), KC_OK);
    kill_all_of(o);
    kc_track_owner_t empty = any_owner();
    owners[empty.index_].state = TRACK_OWNER_STUCK;
    expect_broken(7);
}

/* ---- model ---------------------------------------------------------------------------------- */

static struct track_model model;
static struct kc_track_owner model_owners[TM_OWNERS];
static struct kc_track_item model_items[TM_ITEMS];
static uint8_t choices[2000];

Test(track, agrees_with_the_model)
{
    uint64_t seed = kc_test_seed();
    uint64_t total = 0;
    for (uint32_t round = 0; round < 20; round++) {
        struct kc_track_config c = {"m", model_owners, TM_OWNERS, model_items, TM_ITEMS, &misuse};
        struct kc_bytes b = {choices, sizeof(choices), 0};
        cr_assert_eq(kc_track_init(&track, &c), KC_OK);
        track_model_init(&model, &track, &misuse);
        kc_random_fill(&seed, choices, sizeof(choices));
        while (!kc_bytes_is_empty(&b)) {
            track_model_step(&model, &b);
            track_model_check(&model);
        }
        track_model_finish(&model);
        total += model.cleaned;
    }
    cr_assert_gt(total, 200);
}
