/* SPDX-License-Identifier: BSD-2-Clause */
/* kc/a64/desc.h against the manual (tests/vectors) and against itself. D1 to D3 of a64/desc.c. */
#include "kc_test.h"

#include "../vectors/a64_vectors.h"

static const struct kc_a64_format fmt48 = {
    .stage = KC_A64_STAGE1, .granule_log2 = 12, .va_bits = 48, .pa_bits = 48};

static struct kc_a64_format with(uint32_t va_bits, uint32_t pa_bits, bool upper)
{
    struct kc_a64_format f = fmt48;
    f.va_bits = (uint8_t)va_bits;
    f.pa_bits = (uint8_t)pa_bits;
    f.upper = upper;
    return f;
}

static bool same_leaf(const struct kc_a64_leaf *a, const struct kc_a64_leaf *b)
{
    return a->out == b->out && a->attr_index == b->attr_index && a->ap == b->ap && a->sh == b->sh &&
           a->software == b->software && a->af == b->af && a->not_global == b->not_global &&
           a->pxn == b->pxn && a->uxn == b->uxn && a->contiguous == b->contiguous &&
           a->dbm == b->dbm && a->guarded == b->guarded && a->no_block == b->no_block &&
           a->non_secure == b->non_secure;
}

Test(desc, leaves_are_as_in_the_manual)
{
    for (size_t i = 0; i < KC_ARRAY_COUNT(leaf_vectors); i++) {
        const struct leaf_vector *v = &leaf_vectors[i];
        struct kc_a64_leaf back;
        uint64_t desc = 0;
        cr_assert_eq(kc_a64_leaf_encode(&fmt48, v->level, &v->leaf, &desc), KC_OK, "%s", v->cite);
        cr_expect_eq(desc, v->desc, "%s", v->cite);
        cr_assert_eq(kc_a64_leaf_decode(&fmt48, v->level, v->desc, &back), KC_OK, "%s", v->cite);
        cr_expect(same_leaf(&back, &v->leaf), "%s", v->cite);
    }
}

Test(desc, tables_are_as_in_the_manual)
{
    for (size_t i = 0; i < KC_ARRAY_COUNT(table_vectors); i++) {
        const struct table_vector *v = &table_vectors[i];
        struct kc_a64_table back;
        uint64_t desc = 0;
        cr_assert_eq(kc_a64_table_encode(&fmt48, v->level, &v->table, &desc), KC_OK, "%s", v->cite);
        cr_expect_eq(desc, v->desc, "%s", v->cite);
        cr_assert_eq(kc_a64_table_decode(&fmt48, v->level, v->desc, &back), KC_OK, "%s", v->cite);
        cr_expect_eq(back.next, v->table.next);
        cr_expect_eq(back.ap_table, v->table.ap_table);
        cr_expect_eq(back.uxn_table, v->table.uxn_table);
        cr_expect_eq(back.pxn_table, v->table.pxn_table);
        cr_expect_eq(back.ns_table, v->table.ns_table);
    }
}

Test(desc, kinds_are_as_in_the_manual)
{
    for (size_t i = 0; i < KC_ARRAY_COUNT(kind_vectors); i++) {
        const struct kind_vector *v = &kind_vectors[i];
        cr_expect_eq((int)kc_a64_kind(&fmt48, v->level, v->desc), (int)v->kind, "vector %u",
                     (unsigned)i);
    }
}

/* Levels and shifts of D8.2.8 to D8.2.10; start levels of the tables there. */
Test(desc, geometry)
{
    static const struct {
        uint8_t granule, va_bits, start;
        uint16_t entries;
        uint8_t shift[4];
    } rows[] = {
        {12, 48, 0, 512, {39, 30, 21, 12}},  {12, 40, 0, 2, {39, 30, 21, 12}},
        {12, 39, 1, 512, {39, 30, 21, 12}},  {12, 31, 1, 2, {39, 30, 21, 12}},
        {12, 30, 2, 512, {39, 30, 21, 12}},  {12, 25, 2, 16, {39, 30, 21, 12}},
        {14, 48, 0, 2, {47, 36, 25, 14}},    {14, 47, 1, 2048, {47, 36, 25, 14}},
        {14, 36, 2, 2048, {47, 36, 25, 14}}, {14, 25, 3, 2048, {47, 36, 25, 14}},
        {16, 48, 1, 64, {55, 42, 29, 16}},   {16, 42, 2, 8192, {55, 42, 29, 16}},
        {16, 29, 3, 8192, {55, 42, 29, 16}},
    };
    for (size_t i = 0; i < KC_ARRAY_COUNT(rows); i++) {
        struct kc_a64_format f = fmt48;
        f.granule_log2 = rows[i].granule;
        f.va_bits = rows[i].va_bits;
        cr_expect_eq(kc_a64_start_level(&f), rows[i].start, "row %u", (unsigned)i);
        cr_expect_eq(kc_a64_level_entries(&f, rows[i].start), rows[i].entries, "row %u",
                     (unsigned)i);
        for (uint32_t level = 0; level < 4; level++) {
            cr_expect_eq(kc_a64_level_shift(&f, level), rows[i].shift[level], "row %u",
                         (unsigned)i);
        }
    }
    cr_expect_eq(kc_a64_contiguous_entries(&fmt48, 3), 16);
    cr_expect_eq(kc_a64_contiguous_entries(&fmt48, 0), 1);
}

Test(desc, halves)
{
    struct kc_a64_format low = with(39, 40, false);
    struct kc_a64_format high = with(39, 40, true);
    cr_expect_eq(kc_a64_ia_base(&low), 0);
    cr_expect_eq(kc_a64_ia_base(&high), UINT64_C(0xffffff8000000000));
    cr_expect(kc_a64_ia_in_range(&low, UINT64_C(0x7fffffffff)));
    cr_expect_not(kc_a64_ia_in_range(&low, UINT64_C(0x8000000000)));
    cr_expect_not(kc_a64_ia_in_range(&low, UINT64_MAX));
    cr_expect(kc_a64_ia_in_range(&high, UINT64_MAX));
    cr_expect(kc_a64_ia_in_range(&high, UINT64_C(0xffffff8000000000)));
    cr_expect_not(kc_a64_ia_in_range(&high, UINT64_C(0xffffff7fffffffff)));
    cr_expect_not(kc_a64_ia_in_range(&high, 0));
    cr_expect_eq(kc_a64_index(&high, 1, UINT64_MAX), 511);
    cr_expect_eq(kc_a64_index(&high, 3, UINT64_C(0xffffff8000003000)), 3);
}

Test(desc, formats_are_judged)
{
    struct kc_a64_format f = fmt48;
    cr_expect_eq(kc_a64_format_check(&f), KC_OK);
    f.stage = 0;
    cr_expect_eq(kc_a64_format_check(&f), KC_ERR_ARG);
    f.stage = KC_A64_STAGE2;
    cr_expect_eq(kc_a64_format_check(&f), KC_ERR_UNSUPPORTED);
    f.upper = 1; /* there is no such half at all */
    cr_expect_eq(kc_a64_format_check(&f), KC_ERR_ARG);
    f = fmt48;
    f.granule_log2 = 13;
    cr_expect_eq(kc_a64_format_check(&f), KC_ERR_ARG);
    f.granule_log2 = 14;
    cr_expect_eq(kc_a64_format_check(&f), KC_ERR_UNSUPPORTED);
    f.granule_log2 = 16;
    cr_expect_eq(kc_a64_format_check(&f), KC_ERR_UNSUPPORTED);
    f = with(24, 48, false);
    cr_expect_eq(kc_a64_format_check(&f), KC_ERR_ARG);
    f = with(49, 48, false);
    cr_expect_eq(kc_a64_format_check(&f), KC_ERR_ARG);
    f = with(48, 33, false);
    cr_expect_eq(kc_a64_format_check(&f), KC_ERR_ARG);
    f = with(48, 52, false);
    cr_expect_eq(kc_a64_format_check(&f), KC_ERR_UNSUPPORTED);
    f = fmt48;
    f.bbm = 3;
    cr_expect_eq(kc_a64_format_check(&f), KC_ERR_ARG);
    f = fmt48;
    f.upper = 2;
    cr_expect_eq(kc_a64_format_check(&f), KC_ERR_ARG);
}

Test(desc, encoders_refuse_what_does_not_fit)
{
    struct kc_a64_leaf l = {.out = 0x1000, .sh = 3};
    struct kc_a64_table t = {.next = 0x1000};
    struct kc_a64_format f32 = with(48, 32, false);
    uint64_t desc = 0x55;
    cr_expect_eq(kc_a64_leaf_encode(&fmt48, 0, &l, &desc), KC_ERR_ARG);
    cr_expect_eq(kc_a64_leaf_encode(&fmt48, 4, &l, &desc), KC_ERR_ARG);
    cr_expect_eq(kc_a64_leaf_encode(&fmt48, 2, &l, &desc), KC_ERR_ALIGN);
    l.out = UINT64_C(0x100000000);
    cr_expect_eq(kc_a64_leaf_encode(&f32, 3, &l, &desc), KC_ERR_RANGE);
    l = (struct kc_a64_leaf){.sh = 1};
    cr_expect_eq(kc_a64_leaf_encode(&fmt48, 3, &l, &desc), KC_ERR_ARG);
    l = (struct kc_a64_leaf){.attr_index = 8};
    cr_expect_eq(kc_a64_leaf_encode(&fmt48, 3, &l, &desc), KC_ERR_ARG);
    l = (struct kc_a64_leaf){.software = 16};
    cr_expect_eq(kc_a64_leaf_encode(&fmt48, 3, &l, &desc), KC_ERR_ARG);
    l = (struct kc_a64_leaf){.no_block = true};
    cr_expect_eq(kc_a64_leaf_encode(&fmt48, 2, &l, &desc), KC_ERR_ARG);
    cr_expect_eq(kc_a64_table_encode(&fmt48, 3, &t, &desc), KC_ERR_ARG);
    t.next = 0x1008;
    cr_expect_eq(kc_a64_table_encode(&fmt48, 1, &t, &desc), KC_ERR_ALIGN);
    t.next = UINT64_C(0x100000000);
    cr_expect_eq(kc_a64_table_encode(&f32, 1, &t, &desc), KC_ERR_RANGE);
    cr_expect_eq(desc, 0x55, "untouched on error");
}

/* D2: each RES0 bit of the formats, set alone, is found. */
Test(desc, decoders_find_reserved_bits)
{
    struct kc_a64_leaf l;
    struct kc_a64_table t;
    uint64_t page = 0x0060000080000703;
    uint64_t block = 0x0060000080000701;
    uint64_t table = 0x80001003;
    for (uint32_t bit = 48; bit <= 49; bit++) {
        cr_expect_eq(kc_a64_leaf_decode(&fmt48, 3, page | KC_BIT(bit), &l), KC_ERR_CORRUPT);
        cr_expect_eq(kc_a64_leaf_decode(&fmt48, 2, block | KC_BIT(bit), &l), KC_ERR_CORRUPT);
    }
    for (uint32_t bit = 48; bit <= 50; bit++) {
        cr_expect_eq(kc_a64_table_decode(&fmt48, 1, table | KC_BIT(bit), &t), KC_ERR_CORRUPT);
    }
    for (uint32_t bit = 12; bit <= 20; bit++) {
        cr_expect_eq(kc_a64_leaf_decode(&fmt48, 2, block | KC_BIT(bit), &l), KC_ERR_CORRUPT);
    }
    for (uint32_t bit = 51; bit <= 58; bit++) {
        cr_expect_eq(kc_a64_table_decode(&fmt48, 1, table | KC_BIT(bit), &t), KC_OK, "ignored");
    }
    struct kc_a64_format f36 = with(48, 36, false);
    cr_expect_eq(kc_a64_leaf_decode(&f36, 3, page | KC_BIT(36), &l), KC_ERR_CORRUPT);
    cr_expect_eq(kc_a64_table_decode(&f36, 1, table | KC_BIT(36), &t), KC_ERR_CORRUPT);
    cr_expect_eq(kc_a64_leaf_decode(&fmt48, 3, (page & ~KC_BIT(9)) | KC_BIT(8), &l), KC_ERR_CORRUPT,
                 "SH 0b01");
    cr_expect_eq(kc_a64_leaf_decode(&fmt48, 3, 0, &l), KC_ERR_ARG);
    cr_expect_eq(kc_a64_leaf_decode(&fmt48, 2, table, &l), KC_ERR_ARG);
    cr_expect_eq(kc_a64_table_decode(&fmt48, 2, block, &t), KC_ERR_ARG);
    cr_expect_eq(kc_a64_table_decode(&fmt48, 3, table, &t), KC_ERR_ARG, "a page");
    cr_expect_eq(kc_a64_table_decode(&fmt48, 4, table, &t), KC_ERR_ARG, "no such level");
}

/* D1, for words of every shape: what decodes, encodes to the same bits (but ignored ones). */
Test(desc, decode_and_encode_are_inverse)
{
    uint64_t x = kc_test_seed() | 1;
    uint32_t leaves = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint32_t level = i & 3;
        uint64_t desc = x & ~KC_MASK(49, 48) & ~KC_MASK(63, 59);
        struct kc_a64_leaf l;
        uint64_t again = 0;
        desc &= level == 1 ? ~KC_MASK(29, 12) : (level == 2 ? ~KC_MASK(20, 12) : ~UINT64_C(0));
        if (kc_a64_leaf_decode(&fmt48, level, desc, &l) == KC_OK) {
            cr_assert_eq(kc_a64_leaf_encode(&fmt48, level, &l, &again), KC_OK);
            cr_assert_eq(again, desc);
            leaves++;
        }
    }
    cr_expect_gt(leaves, 1000, "the test met enough leaves");
}
