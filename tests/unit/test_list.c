/* SPDX-License-Identifier: BSD-2-Clause */
#include "kc_test.h"

#include <kc/list.h>

#include "kc_bytes.h"

struct item {
    uint32_t number;
    struct kc_list link;
};

#define ITEMS 16u

static struct kc_list head;
static struct item item[ITEMS];

static void fresh(void)
{
    kc_list_init(&head);
    for (uint32_t i = 0; i < ITEMS; i++) {
        item[i].number = i;
        kc_list_init(&item[i].link);
    }
}

TestSuite(list, .init = fresh);

/* Do the items stand in this order, read both ways? */
static void order_is(const uint32_t *numbers, uint32_t count)
{
    uint32_t n = 0;
    kc_list_each(it, &head) {
        cr_assert_lt(n, count);
        cr_assert_eq(kc_list_entry(it, struct item, link)->number, numbers[n]);
        n++;
    }
    cr_assert_eq(n, count);
    for (struct kc_list *it = head.prev; it != &head; it = it->prev) {
        cr_assert_gt(n, 0);
        n--;
        cr_assert_eq(kc_list_entry(it, struct item, link)->number, numbers[n]);
    }
    cr_assert_eq(n, 0);
}

Test(list, empty)
{
    cr_expect(kc_list_is_empty(&head));
    cr_expect_not(kc_list_is_linked(&item[0].link));
    cr_expect_null(kc_list_pop(&head));
    order_is(NULL, 0);
}

Test(list, add_first_last_and_between)
{
    static const uint32_t order[] = {2, 3, 0, 1};
    kc_list_add_before(&head, &item[0].link); /* last */
    kc_list_add_before(&head, &item[1].link);
    kc_list_add_after(&head, &item[2].link); /* first */
    kc_list_add_after(&item[2].link, &item[3].link);
    order_is(order, 4);
    cr_expect(kc_list_is_linked(&item[3].link));
    cr_expect_not(kc_list_is_empty(&head));
}

Test(list, delete_first_middle_last_and_twice)
{
    static const uint32_t order[] = {1, 3};
    for (uint32_t i = 0; i < 5; i++) {
        kc_list_add_before(&head, &item[i].link);
    }
    kc_list_del(&item[0].link);
    kc_list_del(&item[2].link);
    kc_list_del(&item[4].link);
    kc_list_del(&item[4].link); /* harmless */
    order_is(order, 2);
    cr_expect_not(kc_list_is_linked(&item[4].link));
}

Test(list, pop_takes_the_first)
{
    kc_list_add_before(&head, &item[0].link);
    kc_list_add_before(&head, &item[1].link);
    cr_expect_eq(kc_list_pop(&head), &item[0].link);
    cr_expect_not(kc_list_is_linked(&item[0].link));
    cr_expect_eq(kc_list_pop(&head), &item[1].link);
    cr_expect_null(kc_list_pop(&head));
}

Test(list, each_safe_allows_removal)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < ITEMS; i++) {
        kc_list_add_before(&head, &item[i].link);
    }
    kc_list_each_safe(it, next, &head) {
        kc_list_del(it);
        n++;
    }
    cr_expect_eq(n, ITEMS);
    cr_expect(kc_list_is_empty(&head));
}

Test(list, smashed_link_panics)
{
    kc_list_add_before(&head, &item[0].link);
    kc_list_add_before(&head, &item[1].link);
    item[1].link.prev = &item[5].link;
    KC_TEST_PANICS(kc_list_del(&item[0].link));
    KC_TEST_PANICS(kc_list_del(&item[1].link));
    KC_TEST_PANICS(kc_list_add_after(&item[0].link, &item[2].link));
}

/* Each check stands alone: what is found sound by one is smashed for another. */
Test(list, nothing_is_written_when_a_neighbour_is_smashed)
{
    struct kc_list elsewhere;
    static const uint32_t order[] = {0, 1, 2};
    kc_list_init(&elsewhere);
    for (uint32_t i = 0; i < 3; i++) {
        kc_list_add_before(&head, &item[i].link);
    }
    head.prev = &elsewhere; /* sound in itself, but not of this list */
    KC_TEST_PANICS(kc_list_add_before(&head, &item[4].link));
    cr_expect(kc_list_is_empty(&elsewhere));
    head.prev = &item[2].link;
    item[0].link.next = &elsewhere;
    KC_TEST_PANICS(kc_list_add_after(&item[0].link, &item[4].link));
    KC_TEST_PANICS(kc_list_del(&item[0].link));
    KC_TEST_PANICS(kc_list_del(&item[1].link));
    item[0].link.next = &item[1].link;
    cr_expect_not(kc_list_is_linked(&item[4].link));
    order_is(order, 3);
}

Test(list, what_is_linked_is_not_added_again)
{
    struct kc_list other;
    static const uint32_t order[] = {0, 1};
    kc_list_init(&other);
    kc_list_add_before(&head, &item[0].link);
    kc_list_add_before(&head, &item[1].link);
    KC_TEST_PANICS(kc_list_add_after(&head, &item[0].link));
    KC_TEST_PANICS(kc_list_add_before(&head, &item[1].link));
    KC_TEST_PANICS(kc_list_add_after(&other, &item[1].link));
    cr_expect(kc_list_is_empty(&other));
    order_is(order, 2);
}

Test(list, agrees_with_an_array)
{
    uint64_t state = kc_test_seed();
    uint32_t order[ITEMS] = {0};
    uint32_t count = 0;
    for (uint32_t step = 0; step < 4000; step++) {
        uint32_t i = (uint32_t)(kc_random(&state) >> 32) % ITEMS;
        if (kc_list_is_linked(&item[i].link)) {
            uint32_t at = 0;
            kc_list_del(&item[i].link);
            while (at < count && order[at] != i) {
                at++;
            }
            cr_assert_lt(at, count, "linked, but nowhere in the array");
            for (count--; at < count; at++) {
                order[at] = order[at + 1];
            }
        } else { /* behind the first half, or as the first */
            uint32_t at = count / 2;
            kc_list_add_after(at == 0 ? &head : &item[order[at - 1]].link, &item[i].link);
            for (uint32_t k = count; k > at; k--) {
                order[k] = order[k - 1];
            }
            order[at] = i;
            count++;
        }
        order_is(order, count);
    }
}
