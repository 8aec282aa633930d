/* SPDX-License-Identifier: BSD-2-Clause */
/* The plan of the first mapping, against a map of pages. */
#include "kc_test.h"

#include "plan.h"

#define PAGES 64u
#define PAGE  ((uint64_t)KC_FRAME_BYTES)

static struct kc_boot_info info;

static void add(uint32_t kind, uint64_t base, uint64_t size)
{
    info.range[info.range_count++] = (struct kc_boot_range){kc_pa(base), size, kind, 0};
}

static void clear(void)
{
    info = (struct kc_boot_info){0};
}

TestSuite(plan, .init = clear);

static void expect_segment(uint64_t *from, uint32_t kind, uint64_t base, uint64_t size)
{
    struct kc_plan_segment s;
    cr_assert(kc_plan_next(&info, from, &s));
    cr_assert_eq(s.kind, kind);
    cr_assert_eq(kc_pa_raw(s.base), base);
    cr_assert_eq(s.size, size);
}

static void expect_end(uint64_t from)
{
    struct kc_plan_segment s;
    cr_assert_not(kc_plan_next(&info, &from, &s));
}

/*
 *   RAM    |----------------------------|
 *   TEXT        |----|
 *   DATA             |---|
 *   NOMAP                     |---|
 */
Test(plan, the_strictest_kind_decides)
{
    uint64_t from = 0;
    add(KC_BOOT_RAM, 16 * PAGE, 16 * PAGE);
    add(KC_BOOT_NOMAP, 26 * PAGE, 2 * PAGE);
    add(KC_BOOT_TEXT, 18 * PAGE, 2 * PAGE);
    add(KC_BOOT_DATA, 20 * PAGE, 1 * PAGE);
    add(KC_BOOT_RESERVED, 18 * PAGE, 1 * PAGE);
    expect_segment(&from, KC_BOOT_RAM, 16 * PAGE, 2 * PAGE);
    expect_segment(&from, KC_BOOT_TEXT, 18 * PAGE, 2 * PAGE);
    expect_segment(&from, KC_BOOT_DATA, 20 * PAGE, 1 * PAGE);
    expect_segment(&from, KC_BOOT_RAM, 21 * PAGE, 5 * PAGE);
    expect_segment(&from, KC_BOOT_RAM, 28 * PAGE, 4 * PAGE);
    expect_end(from);
}

Test(plan, a_page_that_is_partly_initrd_is_wholly_initrd)
{
    uint64_t from = 0;
    add(KC_BOOT_RAM, 0, 4 * PAGE);
    add(KC_BOOT_INITRD, PAGE + 1, PAGE);
    expect_segment(&from, KC_BOOT_RAM, 0, PAGE);
    expect_segment(&from, KC_BOOT_INITRD, PAGE, 2 * PAGE);
    expect_segment(&from, KC_BOOT_RAM, 3 * PAGE, PAGE);
    expect_end(from);
}

Test(plan, a_page_that_is_partly_ram_is_left_out)
{
    uint64_t from = 0;
    add(KC_BOOT_RAM, 8, 3 * PAGE);
    expect_segment(&from, KC_BOOT_RAM, PAGE, 2 * PAGE);
    expect_end(from);
}

Test(plan, ram_of_less_than_a_page_is_left_out)
{
    add(KC_BOOT_RAM, 8, PAGE - 8);
    add(KC_BOOT_RAM, PAGE + 8, 2 * PAGE - 16);
    expect_end(0);
}

Test(plan, the_last_page_of_the_address_space)
{
    uint64_t from = 0;
    add(KC_BOOT_RAM, 0 - 2 * PAGE, 2 * PAGE);
    expect_segment(&from, KC_BOOT_RAM, 0 - 2 * PAGE, 2 * PAGE);
    cr_assert_eq(from, 0);
}

/* What the words of plan.h say, page by page. */
static uint32_t model_kind(uint64_t page)
{
    static const uint32_t strict_first[] = {KC_BOOT_MMIO,   KC_BOOT_NOMAP,   KC_BOOT_TEXT,
                                            KC_BOOT_RODATA, KC_BOOT_DATA,    KC_BOOT_INITRD,
                                            KC_BOOT_DTB,    KC_BOOT_RESERVED};
    uint32_t ram_bytes = 0;
    bool touched[KC_BOOT_KIND_COUNT] = {false};
    for (uint32_t i = 0; i < info.range_count; i++) {
        const struct kc_boot_range *r = &info.range[i];
        for (uint64_t byte = page * PAGE; byte < (page + 1) * PAGE; byte += 64) {
            if (kc_range_has(kc_pa_raw(r->base), r->size, byte)) {
                touched[r->kind] = true;
                ram_bytes += r->kind == KC_BOOT_RAM ? 64 : 0;
            }
        }
    }
    bool ram = ram_bytes == PAGE;
    for (size_t i = 0; i < KC_ARRAY_COUNT(strict_first); i++) {
        uint32_t kind = strict_first[i];
        if (touched[kind]) {
            return (ram || kind == KC_BOOT_MMIO) && kind != KC_BOOT_NOMAP ? kind
                                                                          : KC_BOOT_KIND_COUNT;
        }
    }
    return ram ? KC_BOOT_RAM : KC_BOOT_KIND_COUNT;
}

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

/* One RAM range (RAM ranges of a checked map never overlap) and up to five others over it. */
static void make_random(uint64_t *x)
{
    static const uint32_t kinds[] = {KC_BOOT_RESERVED, KC_BOOT_NOMAP,  KC_BOOT_TEXT, KC_BOOT_RODATA,
                                     KC_BOOT_DATA,     KC_BOOT_INITRD, KC_BOOT_DTB};
    clear();
    add(KC_BOOT_RAM, next_random(x) % (8 * PAGE) / 64 * 64,
        (8 + next_random(x) % (PAGES - 24)) * PAGE + next_random(x) % PAGE / 64 * 64);
    uint32_t count = (uint32_t)(next_random(x) % 6);
    for (uint32_t i = 0; i < count; i++) {
        add(kinds[next_random(x) % KC_ARRAY_COUNT(kinds)],
            next_random(x) % (PAGES / 2 * PAGE) / 64 * 64,
            (1 + next_random(x) % (8 * PAGE) / 64) * 64);
    }
}

Test(plan, random_maps_match_the_model)
{
    uint64_t x = kc_test_seed() | 1;
    for (uint32_t round = 0; round < 500; round++) {
        uint32_t kind[PAGES];
        make_random(&x);
        for (uint32_t p = 0; p < PAGES; p++) {
            kind[p] = KC_BOOT_KIND_COUNT;
        }
        struct kc_plan_segment s;
        uint64_t from = 0;
        uint64_t end = 0;
        while (kc_plan_next(&info, &from, &s)) {
            cr_assert(kc_pa_raw(s.base) >= end, "segments rise");
            end = kc_pa_raw(s.base) + s.size;
            for (uint64_t at = kc_pa_raw(s.base); at < end; at += PAGE) {
                cr_assert_lt(at / PAGE, PAGES);
                kind[at / PAGE] = s.kind;
            }
        }
        for (uint32_t p = 0; p < PAGES; p++) {
            cr_assert_eq(kind[p], model_kind(p), "round %u page %u", round, p);
        }
    }
}
