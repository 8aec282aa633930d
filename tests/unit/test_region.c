/* SPDX-License-Identifier: BSD-2-Clause */
#include "kc_test.h"

#include <kc/region.h>

#include "mem/region_priv.h"
#include "region_model.h"

static struct kc_region_node node[KC_REGION_NODES(8)];
static struct kc_region_map map;

/*      0x1000        0x2000        0x3000   0x5000       0x6000      last byte
 *        |  text r-x   |  data rw-   |        |  regs rw-  |   ...     |top|
 *          kernel        kernel                 mmio                   kernel  */
static const struct kc_region text = {
    {0x1000}, 0x1000, KC_REGION_KERNEL, KC_REGION_READ | KC_REGION_EXEC, KC_REGION_FROM_NONE,
    1,        "text"};
static const struct kc_region data = {
    {0x2000}, 0x1000, KC_REGION_KERNEL, KC_REGION_READ | KC_REGION_WRITE, KC_REGION_FROM_EARLY,
    1,        "data"};
static const struct kc_region regs = {
    {0x5000}, 0x1000, KC_REGION_MMIO, KC_REGION_READ | KC_REGION_WRITE, KC_REGION_FROM_NONE,
    2,        "regs"};
static const struct kc_region top = {
    {UINT64_MAX - 0xfff}, 0x1000, KC_REGION_KERNEL, KC_REGION_READ, KC_REGION_FROM_HEAP, 3, NULL};

static void four_regions(void)
{
    cr_assert_eq(kc_region_map_init(&map, "test", node, KC_ARRAY_COUNT(node)), KC_OK);
    cr_assert_eq(kc_region_add(&map, &regs), KC_OK);
    cr_assert_eq(kc_region_add(&map, &text), KC_OK);
    cr_assert_eq(kc_region_add(&map, &top), KC_OK);
    cr_assert_eq(kc_region_add(&map, &data), KC_OK);
}

TestSuite(region, .init = four_regions);

static enum kc_region_answer ask(uint64_t base, uint64_t size, uint32_t kind, uint32_t perms)
{
    struct kc_region_access a = {kc_ia(base), size, kind, perms};
    return kc_region_check_access(&map, &a, NULL);
}

static enum kc_region_answer ask_read(uint64_t base, uint64_t size)
{
    return ask(base, size, KC_REGION_KERNEL, KC_REGION_READ);
}

Test(region, init_refuses_no_storage)
{
    cr_assert_eq(kc_region_map_init(&map, "x", NULL, 99), KC_ERR_ARG);
    cr_assert_eq(kc_region_map_init(&map, "x", node, 0), KC_ERR_ARG);
    cr_assert_eq(kc_region_map_init(&map, "x", node, KC_REGION_NODES(1) - 1), KC_ERR_ARG);
    cr_assert_eq(kc_region_map_init(&map, "x", node, KC_REGION_NODES(1)), KC_OK);
    cr_assert_geq(kc_region_limit(&map), 1);
}

Test(region, each_answer_is_distinct)
{
    cr_expect_eq(ask_read(0x1000, 0x1000), KC_REGION_OK);
    cr_expect_eq(ask_read(0x1000, 0), KC_REGION_EMPTY);
    cr_expect_eq(ask_read(UINT64_MAX, 2), KC_REGION_WRAPS);
    cr_expect_eq(ask_read(0x3000, 1), KC_REGION_UNKNOWN);
    cr_expect_eq(ask_read(0x1fff, 2), KC_REGION_SPANS);
    cr_expect_eq(ask_read(0x5000, 4), KC_REGION_WRONG_KIND);
    cr_expect_eq(ask(0x1000, 4, KC_REGION_KERNEL, KC_REGION_WRITE), KC_REGION_NO_PERMISSION);
}

/*  text  | data            data |            | regs
 *      xx xx                   xx xx        xx xx     */
Test(region, borders)
{
    cr_expect_eq(ask_read(0xfff, 1), KC_REGION_UNKNOWN);
    cr_expect_eq(ask_read(0xfff, 2), KC_REGION_UNKNOWN, "the first byte decides");
    cr_expect_eq(ask_read(0x1fff, 1), KC_REGION_OK);
    cr_expect_eq(ask_read(0x2000, 1), KC_REGION_OK);
    cr_expect_eq(ask_read(0x2fff, 1), KC_REGION_OK);
    cr_expect_eq(ask_read(0x2fff, 2), KC_REGION_SPANS);
    cr_expect_eq(ask_read(0x1000, 0x2000), KC_REGION_SPANS, "touching regions stay two");
    cr_expect_eq(ask_read(0x1000, UINT64_MAX - 0xfff), KC_REGION_SPANS, "up to the last byte");
    cr_expect_eq(ask_read(0x1001, UINT64_MAX - 0xfff), KC_REGION_WRAPS, "one byte more");
}

Test(region, last_byte_of_the_space)
{
    cr_expect_eq(ask_read(UINT64_MAX, 1), KC_REGION_OK);
    cr_expect_eq(ask_read(UINT64_MAX - 0xfff, 0x1000), KC_REGION_OK);
    cr_expect_eq(ask_read(UINT64_MAX - 0xfff, 0x1001), KC_REGION_WRAPS);
    cr_expect_eq(ask_read(UINT64_MAX, UINT64_MAX), KC_REGION_WRAPS);
    cr_expect_eq(ask_read(0, UINT64_MAX), KC_REGION_UNKNOWN);
}

Test(region, whole_space_is_one_region)
{
    const struct kc_region low = {{0}, UINT64_MAX, KC_REGION_KERNEL, KC_REGION_READ, 0, 0, "low"};
    const struct kc_region last = {{UINT64_MAX}, 1, KC_REGION_KERNEL, KC_REGION_READ, 0, 0, "last"};
    cr_assert_eq(kc_region_map_init(&map, "whole", node, KC_REGION_NODES(2)), KC_OK);
    cr_assert_eq(kc_region_add(&map, &last), KC_OK);
    cr_assert_eq(kc_region_add(&map, &low), KC_OK);
    cr_expect_eq(ask_read(0, UINT64_MAX), KC_REGION_OK);
    cr_expect_eq(ask_read(UINT64_MAX - 1, 2), KC_REGION_SPANS);
    cr_expect_eq(kc_region_map_check(&map, NULL), KC_OK);
}

Test(region, guard_has_no_permission)
{
    struct kc_region guard = data;
    guard.base = kc_ia(0x3000);
    guard.perms = 0;
    cr_assert_eq(kc_region_add(&map, &guard), KC_OK);
    cr_expect_eq(ask_read(0x3000, 1), KC_REGION_NO_PERMISSION);
    cr_expect_eq(ask(0x3000, 1, KC_REGION_KERNEL, 0), KC_REGION_OK, "nothing in particular");
}

Test(region, add_refuses)
{
    struct kc_region r = data;
    r.size = 0;
    cr_expect_eq(kc_region_add(&map, &r), KC_ERR_ARG);
    r = data;
    r.kind = KC_REGION_KIND_COUNT;
    cr_expect_eq(kc_region_add(&map, &r), KC_ERR_ARG);
    r = data;
    r.perms = 8;
    cr_expect_eq(kc_region_add(&map, &r), KC_ERR_ARG);
    r = data;
    r.source = KC_REGION_SOURCE_COUNT;
    cr_expect_eq(kc_region_add(&map, &r), KC_ERR_ARG);
    r = data;
    r.base = kc_ia(UINT64_MAX - 0xffe);
    cr_expect_eq(kc_region_add(&map, &r), KC_ERR_RANGE);
    cr_expect_eq(kc_region_count(&map), 4);
}

/*         |--text--|--data--|
 *      |----|    |----|   |----|    and around, and inside, and the same */
Test(region, add_refuses_overlap)
{
    static const uint64_t ranges[][2] = {{0x800, 0x801},  {0x1800, 0x1000}, {0x2fff, 0x1000},
                                         {0x800, 0x4000}, {0x1400, 0x10},   {0x1000, 0x1000},
                                         {0, UINT64_MAX}, {UINT64_MAX, 1}};
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(ranges); i++) {
        struct kc_region r = data;
        r.base = kc_ia(ranges[i][0]);
        r.size = ranges[i][1];
        cr_expect_eq(kc_region_add(&map, &r), KC_ERR_EXISTS, "case %u", i);
    }
}

Test(region, add_when_full_is_nomem)
{
    struct kc_region r = data;
    for (uint32_t i = 4; i < kc_region_limit(&map); i++) {
        r.base = kc_ia(0x10000 * i);
        cr_assert_eq(kc_region_add(&map, &r), KC_OK);
    }
    r.base = kc_ia(0x3000);
    cr_expect_eq(kc_region_add(&map, &r), KC_ERR_NOMEM);
    cr_expect_eq(kc_region_split(&map, kc_ia(0x1800)), KC_ERR_NOMEM);
    cr_expect_eq(kc_region_map_check(&map, NULL), KC_OK);
}

Test(region, remove_is_exact)
{
    struct kc_region r = {{0}, 0, 0, 0, 0, 0, NULL};
    cr_expect_eq(kc_region_remove(&map, kc_ia(0x1800), 0x800, &r), KC_ERR_ABSENT);
    cr_expect_eq(kc_region_remove(&map, kc_ia(0x4000), 0x1000, &r), KC_ERR_ABSENT);
    cr_expect_eq(kc_region_remove(&map, kc_ia(0x1000), 0x800, &r), KC_ERR_SPAN);
    cr_expect_eq(kc_region_remove(&map, kc_ia(0x1000), 0x2000, &r), KC_ERR_SPAN);
    cr_expect_eq(r.size, 0, "untouched on error");
    cr_expect_eq(kc_region_remove(&map, kc_ia(0x1000), 0x1000, &r), KC_OK);
    cr_expect(rm_region_is(&r, &text));
    cr_expect_eq(ask_read(0x1000, 1), KC_REGION_UNKNOWN);
    cr_expect_eq(ask_read(0x2000, 1), KC_REGION_OK);
    cr_expect_eq(kc_region_remove(&map, kc_ia(0x1000), 0x1000, NULL), KC_ERR_ABSENT);
}

Test(region, split_keeps_what_is_said)
{
    cr_assert_eq(kc_region_split(&map, kc_ia(0x2800)), KC_OK);
    struct kc_region r;
    cr_assert(kc_region_find(&map, kc_ia(0x2fff), &r));
    cr_expect_eq(kc_ia_raw(r.base), 0x2800);
    cr_expect_eq(r.size, 0x800);
    cr_expect_str_eq(r.name, "data");
    cr_expect_eq(r.source, KC_REGION_FROM_EARLY);
    cr_expect_eq(ask_read(0x27ff, 2), KC_REGION_SPANS);
    cr_expect_eq(kc_region_split(&map, kc_ia(0x2800)), KC_ERR_STATE);
    cr_expect_eq(kc_region_split(&map, kc_ia(0x4000)), KC_ERR_ABSENT);
}

Test(region, set_perms)
{
    cr_expect_eq(kc_region_set_perms(&map, kc_ia(0x2000), 0x1000, KC_REGION_READ), KC_OK);
    cr_expect_eq(ask(0x2000, 1, KC_REGION_KERNEL, KC_REGION_WRITE), KC_REGION_NO_PERMISSION);
    cr_expect_eq(kc_region_set_perms(&map, kc_ia(0x2000), 0x1000, 8), KC_ERR_ARG);
    cr_expect_eq(kc_region_set_perms(&map, kc_ia(0x2000), 0x800, 0), KC_ERR_SPAN);
}

Test(region, list_is_ascending)
{
    struct kc_region r;
    cr_assert(kc_region_next(&map, kc_ia(0), &r));
    cr_expect(rm_region_is(&r, &text));
    cr_assert(kc_region_after(&map, &r, &r));
    cr_expect(rm_region_is(&r, &data));
    cr_assert(kc_region_after(&map, &r, &r));
    cr_expect(rm_region_is(&r, &regs));
    cr_assert(kc_region_after(&map, &r, &r));
    cr_expect(rm_region_is(&r, &top));
    cr_expect_not(kc_region_after(&map, &r, &r), "nothing is above the last byte");
    cr_expect(rm_region_is(&r, &top), "untouched");
    cr_assert(kc_region_next(&map, kc_ia(0x2345), &r));
    cr_expect(rm_region_is(&r, &data), "the one that holds the byte");
    cr_assert(kc_region_next(&map, kc_ia(0x3000), &r));
    cr_expect(rm_region_is(&r, &regs), "or the next");
}

/*  |text|data|      |regs|      window 0x1000..0x6fff   */
Test(region, gap_is_the_lowest)
{
    const kc_ia_range_t window = kc_ia_range(kc_ia(0x1000), 0x6000);
    kc_ia_t at = kc_ia(9);
    cr_expect_eq(kc_region_find_gap(&map, window, 0x2000, 0x1000, 0, &at), KC_OK);
    cr_expect_eq(kc_ia_raw(at), 0x3000);
    cr_expect_eq(kc_region_find_gap(&map, window, 0x1000, 0x1000, 0x10, &at), KC_ERR_NOMEM);
    cr_expect_eq(kc_region_find_gap(&map, window, 0xfe0, 0x10, 0x10, &at), KC_OK);
    cr_expect_eq(kc_ia_raw(at), 0x3010);
    cr_expect_eq(kc_region_find_gap(&map, window, 0x2001, 1, 0, &at), KC_ERR_NOMEM);
    cr_expect_eq(kc_region_find_gap(&map, window, 1, 1, UINT64_MAX, &at), KC_ERR_NOMEM);
    cr_expect_eq(kc_region_find_gap(&map, window, 0, 1, 0, &at), KC_ERR_ARG);
    cr_expect_eq(kc_region_find_gap(&map, window, 1, 3, 0, &at), KC_ERR_ARG);
    cr_expect_eq(kc_region_find_gap(&map, kc_ia_range(kc_ia(UINT64_MAX), 2), 1, 1, 0, &at),
                 KC_ERR_RANGE);
    cr_expect_eq(kc_region_find_gap(&map, kc_ia_range(kc_ia(0x3000), 0), 1, 1, 0, &at),
                 KC_ERR_NOMEM);
    cr_expect_eq(kc_ia_raw(at), 0x3010, "untouched on error");
}

/*  window |top|last byte: what follows a region there has no address */
Test(region, gap_below_the_last_byte)
{
    kc_ia_t at = kc_ia(9);
    cr_expect_eq(kc_region_find_gap(&map, kc_ia_range(top.base, top.size), 1, 1, 0, &at),
                 KC_ERR_NOMEM);
    cr_expect_eq(kc_region_find_gap(&map, kc_ia_range(kc_ia(UINT64_MAX), 1), 1, 1, 0, &at),
                 KC_ERR_NOMEM);
    cr_expect_eq(kc_ia_raw(at), 9);
    cr_assert_eq(kc_region_remove(&map, top.base, top.size, NULL), KC_OK);
    cr_expect_eq(kc_region_find_gap(&map, kc_ia_range(top.base, top.size), 0x1000, 0x1000, 0, &at),
                 KC_OK);
    cr_expect_eq(kc_ia_raw(at), UINT64_MAX - 0xfff);
}

Test(region, explain_says_why)
{
    static const struct {
        uint64_t base, size;
        uint32_t kind, perms;
        const char *line;
    } cases[] = {
        {0x2010, 8, KC_REGION_KERNEL, KC_REGION_READ,
         "ok: kernel access r-- to 8 bytes at 0x0000000000002010 of test: "
         "in 'data' (rw-, from early, owner 1) at offset 0x10"},
        {0x2010, 0, KC_REGION_USER, KC_REGION_READ,
         "empty: user access r-- to 0 bytes at 0x0000000000002010 of test: it has 0 bytes"},
        {UINT64_MAX, 2, KC_REGION_KERNEL, KC_REGION_READ,
         "wraps: kernel access r-- to 2 bytes at 0xffffffffffffffff of test: "
         "it runs past 0xffffffffffffffff, the last byte of the space"},
        {0x4ff0, 4, KC_REGION_KERNEL, KC_REGION_READ,
         "unknown: kernel access r-- to 4 bytes at 0x0000000000004ff0 of test: "
         "no region holds 0x4ff0; below, 'data' ends with 0x2fff; above, 'regs' begins at 0x5000"},
        {0x10, 4, KC_REGION_KERNEL, KC_REGION_READ,
         "unknown: kernel access r-- to 4 bytes at 0x0000000000000010 of test: "
         "no region holds 0x10; above, 'text' begins at 0x1000"},
        {0x1ffc, 8, KC_REGION_KERNEL, KC_REGION_EXEC,
         "spans: kernel access --x to 8 bytes at 0x0000000000001ffc of test: "
         "it begins in 'text' and leaves it at 0x2000, after 0x4 bytes; "
         "above, 'data' begins at 0x2000"},
        {0x5000, 4, KC_REGION_DEVICE, KC_REGION_WRITE,
         "wrong kind: device access -w- to 4 bytes at 0x0000000000005000 of test: 'regs' is mmio"},
        {0x1000, 4, KC_REGION_KERNEL, KC_REGION_WRITE | KC_REGION_READ,
         "no permission: kernel access rw- to 4 bytes at 0x0000000000001000 of test: "
         "'text' allows r-x, lacking -w-"},
    };
    char line[256];
    struct kc_region_why why;
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(cases); i++) {
        struct kc_region_access a = {kc_ia(cases[i].base), cases[i].size, cases[i].kind,
                                     cases[i].perms};
        kc_region_why(&map, &a, &why);
        kc_region_explain(&why, line, sizeof(line));
        cr_expect_str_eq(line, cases[i].line);
    }
}

Test(region, why_names_the_byte_and_the_neighbours)
{
    struct kc_region_why w;
    struct kc_region_access a = {kc_ia(0x5ffe), 4, KC_REGION_MMIO, KC_REGION_READ};
    kc_region_why(&map, &a, &w);
    cr_expect_eq(w.answer, KC_REGION_SPANS);
    cr_expect_eq(kc_ia_raw(w.byte), 0x6000);
    cr_expect(rm_region_is(&w.region, &regs));
    cr_expect(rm_region_is(&w.before, &data));
    cr_expect(rm_region_is(&w.after, &top));
    a.base = kc_ia(UINT64_MAX);
    a.size = 1;
    kc_region_why(&map, &a, &w);
    cr_expect_eq(w.answer, KC_REGION_WRONG_KIND);
    cr_expect_eq(w.after.size, 0, "nothing is above");
    a.kind = KC_REGION_KERNEL;
    a.perms = KC_REGION_READ | KC_REGION_EXEC;
    kc_region_why(&map, &a, &w);
    cr_expect_eq(w.answer, KC_REGION_NO_PERMISSION);
    cr_expect_eq(w.lacking, KC_REGION_EXEC);
}

Test(region, each_answer_has_its_status)
{
    for (uint32_t i = 0; i < KC_REGION_ANSWER_COUNT; i++) {
        for (uint32_t j = 0; j < i; j++) {
            cr_expect_neq(kc_region_answer_status((enum kc_region_answer)i),
                          kc_region_answer_status((enum kc_region_answer)j));
        }
    }
    cr_expect_eq(kc_region_answer_status(KC_REGION_OK), KC_OK);
    cr_expect_eq(kc_region_answer_status(KC_REGION_ANSWER_COUNT), KC_ERR_ARG);
}

Test(region, names_are_all_there)
{
    for (uint32_t i = 0; i < KC_REGION_ANSWER_COUNT; i++) {
        cr_expect_str_neq(kc_region_answer_name((enum kc_region_answer)i), "?");
    }
    for (uint32_t i = 0; i < KC_REGION_KIND_COUNT; i++) {
        cr_expect_str_neq(kc_region_kind_name(i), "?");
    }
    for (uint32_t i = 0; i < KC_REGION_SOURCE_COUNT; i++) {
        cr_expect_str_neq(kc_region_source_name(i), "?");
    }
    cr_expect_str_eq(kc_region_answer_name(KC_REGION_ANSWER_COUNT), "?");
    cr_expect_str_eq(kc_region_kind_name(KC_REGION_KIND_COUNT), "?");
    cr_expect_str_eq(kc_region_source_name(KC_REGION_SOURCE_COUNT), "?");
}

static void check_names(uint32_t invariant, uint32_t index)
{
    struct kc_region_fault f = {99, 99};
    cr_expect_eq(kc_region_map_check(&map, &f), KC_ERR_CORRUPT);
    cr_expect_eq(f.invariant, invariant);
    cr_expect_eq(f.index, index);
}

/* Change one word, see it named, put it back. */
static void broken(uint64_t *word, uint64_t value, uint32_t invariant, uint32_t index)
{
    uint64_t before = *word;
    *word = value;
    check_names(invariant, index);
    *word = before;
}

static void broken32(uint32_t *word, uint32_t value, uint32_t invariant, uint32_t index)
{
    uint32_t before = *word;
    *word = value;
    check_names(invariant, index);
    *word = before;
}

Test(region, check_names_the_broken_invariant)
{
    struct kc_region_fault f = {99, 99};
    cr_assert_eq(kc_region_map_check(&map, &f), KC_OK);
    cr_assert_eq(f.invariant, 0);
    uint32_t leaf = (uint32_t)map.root;
    uint64_t *word = node[leaf].word;
    broken(&word[2 * REGION_LEAF_MAX + 2], 77, 1, leaf);       /* kind */
    broken(&word[REGION_LEAF_MAX + 3], top.size + 1, 1, leaf); /* past the last byte */
    broken(&word[REGION_LEAF_MAX], text.size + 1, 2, leaf);    /* meets */
    broken(&word[0], kc_ia_raw(data.base), 2, leaf);           /* order */
    broken32(&map.count, 5, 3, 0);
    broken(&map.bytes, map.bytes + 1, 3, 0);
    broken32(&node[leaf].count, 0, 4, leaf);
    broken32(&node[leaf].level, 1, 4, leaf);
    broken(&map.root, region_root(leaf, REGION_HEIGHT_MAX + 1), 4, 0);
    broken(&map.root, region_root(KC_ARRAY_COUNT(node), 1), 6, KC_ARRAY_COUNT(node));
    broken32(&map.fresh, map.fresh + 1, 6, 0);
    broken32(&map.free_count, 2, 6, node[map.free_first].next); /* of 3 */
    broken32(&node[map.free_first].level, 0, 6, map.free_first);
    broken32(&node[map.free_first].next, INT32_MAX, 6, INT32_MAX); /* far behind the last */
    broken(&node[map.free_last].retired, map.version + 1, 7, map.free_last);
    broken(&node[map.free_first].retired, map.version, 7, node[map.free_first].next);
    broken(&map.floor, map.version + 1, 7, 0);
    cr_assert_eq(kc_region_map_check(&map, NULL), KC_OK);
}

/* More regions than a leaf holds: an inner root. */
Test(region, check_names_a_broken_inner_node)
{
    struct kc_region r = data;
    static struct kc_region_node more[KC_REGION_NODES(64)];
    cr_assert_eq(kc_region_map_init(&map, "more", more, KC_ARRAY_COUNT(more)), KC_OK);
    for (uint32_t i = 0; i < 64; i++) {
        r.base = kc_ia(0x10000 * (i + 1));
        cr_assert_eq(kc_region_add(&map, &r), KC_OK);
    }
    cr_assert_eq(map.root >> 32, 2);
    uint32_t root = (uint32_t)map.root;
    uint64_t *word = more[root].word;
    uint32_t child = (uint32_t)word[REGION_INNER_MAX + 1];
    broken(&word[1], word[1] - 1, 5, root);
    broken(&word[REGION_INNER_MAX + 1], KC_ARRAY_COUNT(more), 6, root);
    broken(&word[REGION_INNER_MAX + 1], word[REGION_INNER_MAX], 5, root);
    broken32(&more[child].count, REGION_LEAF_MAX / 2 - 1, 4, child);
    broken32(&more[child].count, REGION_LEAF_MAX + 1, 4, child);
    broken32(&more[root].count, 1, 4, root);
    cr_assert_eq(kc_region_map_check(&map, NULL), KC_OK);
}

/* The worst tree of n regions, and the nodes that a change of it takes (theory of region_tree.c).
 */
Test(region, there_is_always_a_node)
{
    for (uint64_t n = 1; n < UINT32_MAX; n += 1 + n / 64) {
        uint64_t level_nodes = n < 2 * (REGION_LEAF_MAX / 2) ? 1 : n / (REGION_LEAF_MAX / 2);
        uint64_t nodes = level_nodes;
        uint32_t height = 1;
        while (level_nodes != 1) {
            level_nodes = level_nodes < REGION_INNER_MAX ? 1 : level_nodes / (REGION_INNER_MAX / 2);
            nodes += level_nodes;
            height++;
        }
        cr_assert_leq(height, REGION_HEIGHT_MAX);
        cr_assert_leq(nodes + 2 * height + 1, KC_REGION_NODES(n), "%u regions", (uint32_t)n);
    }
}

#if defined(KC_TEST_SIMULATED) || !__STDC_HOSTED__
#define LARGE 3000u /* each access costs there */
#elif KC_ASSERT_LEVEL >= KC_ASSERT_LEVEL_AUDIT
#define LARGE 10000u /* the whole map is checked at each change */
#else
#define LARGE 100000u
#endif
#define LARGE_STRIDE 64u

static struct kc_region_node large_node[KC_REGION_NODES(LARGE)];
static uint8_t large_size[LARGE]; /* of the region that begins at i * LARGE_STRIDE; 0: none */

static struct kc_region large_region(uint32_t i)
{
    return (struct kc_region){kc_ia((uint64_t)i * LARGE_STRIDE),
                              large_size[i],
                              KC_REGION_KERNEL,
                              KC_REGION_READ,
                              KC_REGION_FROM_NONE,
                              i,
                              NULL};
}

static void large_toggle(uint32_t i, uint8_t size)
{
    struct kc_region r = large_region(i);
    if (large_size[i] != 0) {
        cr_assert_eq(kc_region_remove(&map, r.base, r.size, NULL), KC_OK);
        large_size[i] = 0;
        return;
    }
    large_size[i] = size;
    r = large_region(i);
    cr_assert_eq(kc_region_add(&map, &r), KC_OK);
}

static void large_compare(void)
{
    struct kc_region r;
    uint32_t count = 0;
    cr_assert_eq(kc_region_map_check(&map, NULL), KC_OK);
    for (uint32_t i = 0; i < LARGE; i++) {
        kc_ia_t last = kc_ia((uint64_t)i * LARGE_STRIDE + large_size[i] - 1);
        bool there = large_size[i] != 0;
        cr_assert_eq(kc_region_find(&map, kc_ia((uint64_t)i * LARGE_STRIDE), &r), there);
        if (there) {
            struct kc_region due = large_region(i);
            cr_assert(rm_region_is(&r, &due));
            cr_assert(kc_region_find(&map, last, &r));
            cr_assert_eq(r.owner, i);
            count++;
        }
    }
    cr_assert_eq(kc_region_count(&map), count);
}

Test(region, a_large_map_agrees_with_an_array)
{
    uint64_t state = kc_test_seed();
    cr_assert_eq(kc_region_map_init(&map, "large", large_node, KC_ARRAY_COUNT(large_node)), KC_OK);
    __builtin_memset(large_size, 0, sizeof(large_size));
    /* Upwards, downwards, at random, and away again in the same three ways. */
    for (uint32_t round = 0; round < 6; round++) {
        for (uint32_t n = 0; n < LARGE / 3; n++) {
            uint32_t i = round % 3 == 0 ? n
                         : round % 3 == 1
                             ? LARGE / 3 * 2 - 1 - n
                             : LARGE / 3 * 2 + (uint32_t)(kc_random(&state) >> 33) % (LARGE / 3);
            large_toggle(i, (uint8_t)(1 + (kc_random(&state) >> 58)));
        }
        large_compare();
    }
}

Test(region, agrees_with_the_model)
{
    static uint8_t bytes[800];
    uint64_t seed = kc_test_seed();
    for (uint32_t story = 0; story < 400; story++) {
        uint64_t state = seed + story;
        kc_random_fill(&state, bytes, sizeof(bytes));
        struct kc_bytes b = {bytes, sizeof(bytes), 0};
        const char *wrong = region_model_run(&b);
        cr_assert_null(wrong, "story %u at byte %u: %s", story, (uint32_t)b.at, wrong);
    }
}
