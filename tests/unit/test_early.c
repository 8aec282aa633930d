/* SPDX-License-Identifier: BSD-2-Clause */
#include "kc_test.h"

#include <kc/early.h>

#include "early_model.h"

static struct kc_boot_info bi;
static struct kc_early e;

static void add(uint64_t base, uint64_t size, uint32_t kind)
{
    em_add_range(&bi, base, size, kind);
}

/* RAM 1 MiB..2 MiB, one CPU, nothing taken. */
static void fresh(void)
{
    __builtin_memset(&bi, 0, sizeof(bi));
    bi.version = KC_BOOT_VERSION;
    bi.cpu_count = 1;
    add(KC_MIB(1), KC_MIB(1), KC_BOOT_RAM);
}

/* The status, and the proof that an error left the map as it was. */
static kc_status_t init(void)
{
    bool good;
    const char *wrong = em_try_init(&e, &bi, &good);
    cr_assert_null(wrong, "%s", wrong);
    return good ? KC_OK : kc_early_init(&e, &bi);
}

TestSuite(early, .init = fresh);

/* ---- boot information ----------------------------------------------------------------------- */

Test(early, one_range_is_all_free)
{
    uint32_t cursor = 0;
    kc_pa_range_t r;
    cr_assert_eq(init(), KC_OK);
    cr_assert_eq(kc_early_ram_bytes(&e), KC_MIB(1));
    cr_assert_eq(kc_early_taken_bytes(&e), 0);
    cr_assert(kc_early_next_free(&e, &cursor, &r));
    cr_assert_eq(kc_pa_raw(r.base), KC_MIB(1));
    cr_assert_eq(r.size, KC_MIB(1));
    cr_assert_not(kc_early_next_free(&e, &cursor, &r));
    cr_assert_not(kc_early_next_free(&e, &cursor, &r), "the end stays the end");
    cr_assert(kc_early_is_open(&e));
}

Test(early, null_is_refused)
{
    cr_assert_eq(kc_early_init(&e, NULL), KC_ERR_ARG);
}

Test(early, version_is_checked)
{
    bi.version = KC_BOOT_VERSION + 1;
    cr_assert_eq(init(), KC_ERR_UNSUPPORTED);
}

Test(early, cpu_count_is_checked)
{
    bi.cpu_count = 0;
    cr_assert_eq(init(), KC_ERR_RANGE);
    bi.cpu_count = KC_CPUS_MAX + 1;
    cr_assert_eq(init(), KC_ERR_RANGE);
    bi.cpu_count = KC_CPUS_MAX;
    cr_assert_eq(init(), KC_OK);
}

Test(early, range_count_is_checked)
{
    bi.range_count = 0;
    cr_assert_eq(init(), KC_ERR_RANGE);
    bi.range_count = KC_BOOT_RANGES_MAX + 1;
    cr_assert_eq(init(), KC_ERR_RANGE);
    bi.range_count = UINT32_MAX;
    cr_assert_eq(init(), KC_ERR_RANGE);
}

Test(early, command_line_must_end)
{
    __builtin_memset(bi.cmdline, 'a', sizeof(bi.cmdline));
    cr_assert_eq(init(), KC_ERR_ARG);
    bi.cmdline[KC_BOOT_CMDLINE_MAX - 1] = '\0';
    cr_assert_eq(init(), KC_OK);
}

Test(early, no_ram_is_absent)
{
    bi.range[0].kind = KC_BOOT_MMIO;
    cr_assert_eq(init(), KC_ERR_ABSENT);
}

Test(early, ram_of_0_pages_is_refused)
{
    bi.range[0].size = 0;
    cr_assert_eq(init(), KC_ERR_ARG);
}

Test(early, ram_of_1_page_works)
{
    kc_pa_t p;
    bi.range[0].size = 4096;
    cr_assert_eq(init(), KC_OK);
    cr_assert_eq(kc_early_alloc(&e, 4096, 4096, &p), KC_OK);
    cr_assert_eq(kc_pa_raw(p), KC_MIB(1));
    cr_assert_eq(kc_early_alloc(&e, 1, 1, &p), KC_ERR_NOMEM);
}

Test(early, ram_of_1_tib_works)
{
    kc_pa_t p;
    bi.range[0].base = kc_pa(KC_GIB(1));
    bi.range[0].size = KC_GIB(1024);
    cr_assert_eq(init(), KC_OK);
    cr_assert_eq(kc_early_alloc(&e, KC_GIB(4), 4096, &p), KC_OK);
    cr_assert_eq(kc_pa_raw(p), KC_GIB(1025) - KC_GIB(4));
    cr_assert_eq(kc_early_check(&e, NULL), KC_OK);
}

/*      ..... 2^52         2^64
 *   ok |ram|  |ram| no       |ram| no */
Test(early, ram_ends_at_the_physical_limit)
{
    bi.range[0].base = kc_pa(KC_EARLY_PA_LIMIT - 4096);
    bi.range[0].size = 4096;
    cr_assert_eq(init(), KC_OK);
    bi.range[0].size = 8192;
    cr_assert_eq(init(), KC_ERR_RANGE);
    bi.range[0].base = kc_pa(KC_EARLY_PA_LIMIT);
    bi.range[0].size = 4096;
    cr_assert_eq(init(), KC_ERR_RANGE);
}

Test(early, last_page_of_64_bits_is_refused)
{
    add(UINT64_MAX - 4095, 4096, KC_BOOT_RAM);
    cr_assert_eq(init(), KC_ERR_RANGE);
    bi.range[1].kind = KC_BOOT_MMIO;
    cr_assert_eq(init(), KC_ERR_RANGE);
}

Test(early, range_that_wraps_is_refused)
{
    add(UINT64_MAX - 4095, 8192, KC_BOOT_RAM);
    cr_assert_eq(init(), KC_ERR_RANGE);
    bi.range[1].base = kc_pa(4096);
    bi.range[1].size = UINT64_MAX - 4095;
    cr_assert_eq(init(), KC_ERR_RANGE);
    bi.range[1].base = kc_pa(KC_MIB(1) + 4096);
    bi.range[1].kind = KC_BOOT_RESERVED;
    cr_assert_eq(init(), KC_ERR_RANGE);
}

Test(early, unknown_kind_is_refused)
{
    add(KC_MIB(8), 4096, KC_BOOT_KIND_COUNT);
    cr_assert_eq(init(), KC_ERR_ARG);
    bi.range[1].kind = UINT32_MAX;
    cr_assert_eq(init(), KC_ERR_ARG);
}

Test(early, misaligned_ranges_are_refused_by_kind)
{
    static const uint32_t whole[] = {KC_BOOT_NOMAP, KC_BOOT_TEXT, KC_BOOT_RODATA, KC_BOOT_DATA};
    static const uint32_t any[] = {KC_BOOT_RESERVED, KC_BOOT_INITRD, KC_BOOT_DTB};
    add(KC_MIB(1) + 8, 4096, KC_BOOT_TEXT);
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(whole); i++) {
        bi.range[1].kind = whole[i];
        cr_assert_eq(init(), KC_ERR_ALIGN);
    }
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(any); i++) {
        bi.range[1].kind = any[i];
        cr_assert_eq(init(), KC_OK);
    }
    bi.range[1].base = kc_pa(KC_MIB(1));
    bi.range[1].size = 4095;
    bi.range[1].kind = KC_BOOT_DATA;
    cr_assert_eq(init(), KC_ERR_ALIGN);
    bi.range[1].base = kc_pa(KC_MIB(16));
    bi.range[1].kind = KC_BOOT_MMIO;
    cr_assert_eq(init(), KC_ERR_ALIGN);
    bi.range[1].kind = KC_BOOT_RAM;
    cr_assert_eq(init(), KC_ERR_ALIGN);
}

/* ---- overlaps ------------------------------------------------------------------------------- */

/*   |----ram----|          |----ram----|      |--ram--|
 *         |----ram----|       |ram|           |--ram--|   */
Test(early, overlapping_ram_is_refused)
{
    add(KC_MIB(2) - 4096, KC_MIB(1), KC_BOOT_RAM);
    cr_assert_eq(init(), KC_ERR_EXISTS);
    bi.range[1].base = kc_pa(KC_MIB(1) + 4096);
    bi.range[1].size = 4096;
    cr_assert_eq(init(), KC_ERR_EXISTS);
    bi.range[1] = bi.range[0];
    cr_assert_eq(init(), KC_ERR_EXISTS);
}

/*   |----ram----|----ram----|   one run, however they are listed */
Test(early, touching_ram_is_one_run)
{
    uint32_t cursor = 0;
    kc_pa_range_t r;
    add(0, KC_MIB(1), KC_BOOT_RAM);
    add(KC_MIB(2), KC_MIB(1), KC_BOOT_RAM);
    add(KC_MIB(1) - 4096, 8192, KC_BOOT_TEXT); /* across the border */
    cr_assert_eq(init(), KC_OK);
    cr_assert(kc_early_next_ram(&e, &cursor, &r));
    cr_assert_eq(kc_pa_raw(r.base), 0);
    cr_assert_eq(r.size, KC_MIB(3));
    cr_assert_not(kc_early_next_ram(&e, &cursor, &r));
}

/*   |----ram----|        |----ram----|
 * |text|             or          |text|    or in the hole */
Test(early, kinds_inside_ram_are_not_clipped)
{
    add(KC_MIB(1) - 4096, 8192, KC_BOOT_TEXT);
    cr_assert_eq(init(), KC_ERR_RANGE);
    bi.range[1].base = kc_pa(KC_MIB(2) - 4096);
    cr_assert_eq(init(), KC_ERR_RANGE);
    bi.range[1].base = kc_pa(KC_MIB(4));
    cr_assert_eq(init(), KC_ERR_RANGE);
    bi.range[1].base = kc_pa(KC_MIB(2) - 8192);
    cr_assert_eq(init(), KC_OK);
    add(KC_MIB(3), KC_MIB(1), KC_BOOT_RAM);
    bi.range[1].base = kc_pa(KC_MIB(2) - 4096);
    bi.range[1].size = KC_MIB(1) + 8192; /* from run to run, over the hole between */
    bi.range[1].kind = KC_BOOT_RESERVED;
    cr_assert_eq(init(), KC_ERR_RANGE);
}

Test(early, only_reserved_may_overlap)
{
    for (uint32_t a = KC_BOOT_RESERVED; a < KC_BOOT_MMIO; a++) {
        for (uint32_t b = KC_BOOT_RESERVED; b < KC_BOOT_MMIO; b++) {
            fresh();
            add(KC_MIB(1), 8192, a);
            add(KC_MIB(1) + 4096, 8192, b);
            bool allowed = a == KC_BOOT_RESERVED || b == KC_BOOT_RESERVED;
            cr_assert_eq(init(), allowed ? KC_OK : KC_ERR_EXISTS);
        }
    }
}

/*  listed:  |reserved--------------|     and   |dtb|          map:  |res|dtb|res|  */
Test(early, reserved_gives_way)
{
    static const uint64_t sizes[] = {4096, 100, 4096 * 3 - 4096 - 100};
    static const uint32_t kinds[] = {KC_BOOT_RESERVED, KC_BOOT_DTB, KC_BOOT_RESERVED};
    uint32_t cursor = 0;
    uint64_t at = KC_MIB(1);
    kc_pa_range_t r;
    uint32_t kind;
    add(KC_MIB(1), 4096 * 3, KC_BOOT_RESERVED);
    add(KC_MIB(1) + 4096, 100, KC_BOOT_DTB);
    cr_assert_eq(init(), KC_OK);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert(kc_early_next_taken(&e, &cursor, &r, &kind));
        cr_assert_eq(kc_pa_raw(r.base), at);
        cr_assert_eq(r.size, sizes[i]);
        cr_assert_eq(kind, kinds[i]);
        at += r.size;
    }
    cr_assert_not(kc_early_next_taken(&e, &cursor, &r, &kind));
}

Test(early, mmio_overlaps_nothing)
{
    add(KC_MIB(1), 4096, KC_BOOT_MMIO);
    cr_assert_eq(init(), KC_ERR_EXISTS);
    bi.range[1].base = kc_pa(KC_MIB(16));
    cr_assert_eq(init(), KC_OK);
    add(KC_MIB(16), 4096, KC_BOOT_MMIO);
    cr_assert_eq(init(), KC_ERR_EXISTS);
    bi.range[2].base = kc_pa(KC_MIB(16) + 4096);
    cr_assert_eq(init(), KC_OK);
}

Test(early, windows_are_judged)
{
    bi.dynamic_base = KC_GIB(1) + 4096;
    bi.dynamic_bytes = KC_MIB(2);
    cr_assert_eq(init(), KC_ERR_ALIGN);
    bi.dynamic_base = KC_GIB(1);
    bi.dynamic_bytes = KC_MIB(2) + 1;
    cr_assert_eq(init(), KC_ERR_ALIGN);
    bi.dynamic_bytes = UINT64_MAX - KC_MIB(2) + 1;
    cr_assert_eq(init(), KC_ERR_RANGE);
    bi.dynamic_bytes = KC_GIB(1);
    bi.user_base = KC_GIB(2) - KC_MIB(2);
    bi.user_bytes = KC_MIB(2);
    cr_assert_eq(init(), KC_ERR_EXISTS);
    bi.user_base = KC_GIB(2);
    cr_assert_eq(init(), KC_OK);
    bi.linear_base = KC_GIB(2); /* RAM appears in the user window */
    cr_assert_eq(init(), KC_ERR_EXISTS);
    bi.linear_base = KC_GIB(1);
    cr_assert_eq(init(), KC_ERR_EXISTS);
    bi.linear_base = UINT64_MAX - KC_MIB(1) - KC_MIB(1) / 2 + 1; /* RAM wraps half-way */
    cr_assert_eq(init(), KC_ERR_RANGE);
    bi.linear_base = UINT64_MAX - KC_MIB(1) + 1; /* ends with the last byte before 0: modulo 2^64 */
    cr_assert_eq(init(), KC_OK);
    bi.user_base = UINT64_MAX - KC_MIB(2) + 1; /* up to the last byte of 64 bits */
    cr_assert_eq(init(), KC_OK);
}

/* ---- operations ----------------------------------------------------------------------------- */

Test(early, alloc_is_top_down_and_aligned)
{
    kc_pa_t p;
    cr_assert_eq(init(), KC_OK);
    cr_assert_eq(kc_early_alloc(&e, 10, 1, &p), KC_OK);
    cr_assert_eq(kc_pa_raw(p), KC_MIB(2) - 10);
    cr_assert_eq(kc_early_alloc(&e, 4096, 4096, &p), KC_OK);
    cr_assert_eq(kc_pa_raw(p), KC_MIB(2) - 8192);
    cr_assert_eq(kc_early_alloc(&e, 1, KC_MIB(1), &p), KC_OK);
    cr_assert_eq(kc_pa_raw(p), KC_MIB(1));
    cr_assert_eq(kc_early_taken_bytes(&e), 4107);
    cr_assert_eq(kc_early_check(&e, NULL), KC_OK);
}

Test(early, alloc_refuses_bad_arguments)
{
    kc_pa_t p = kc_pa(7);
    cr_assert_eq(init(), KC_OK);
    cr_assert_eq(kc_early_alloc(&e, 0, 1, &p), KC_ERR_ARG);
    cr_assert_eq(kc_early_alloc(&e, 1, 0, &p), KC_ERR_ARG);
    cr_assert_eq(kc_early_alloc(&e, 1, 48, &p), KC_ERR_ARG);
    cr_assert_eq(kc_early_alloc(&e, UINT64_MAX, 1, &p), KC_ERR_NOMEM);
    cr_assert_eq(kc_early_alloc(&e, 1, KC_BIT(63), &p), KC_ERR_NOMEM);
    cr_assert_eq(kc_early_alloc(&e, KC_MIB(1) + 1, 1, &p), KC_ERR_NOMEM);
    cr_assert_eq(kc_pa_raw(p), 7);
    cr_assert_eq(kc_early_taken_bytes(&e), 0);
}

Test(early, touching_allocations_share_a_slot)
{
    kc_pa_t p;
    cr_assert_eq(init(), KC_OK);
    for (uint32_t i = 0; i < 256; i++) {
        cr_assert_eq(kc_early_alloc(&e, 4096, 4096, &p), KC_OK);
    }
    cr_assert_eq(e.taken_count, 1);
    cr_assert_eq(kc_early_alloc(&e, 1, 1, &p), KC_ERR_NOMEM);
}

Test(early, free_gives_back_any_part)
{
    kc_pa_t p;
    kc_pa_t q;
    cr_assert_eq(init(), KC_OK);
    cr_assert_eq(kc_early_alloc(&e, 4096 * 4, 4096, &p), KC_OK);
    cr_assert_eq(kc_early_free(&e, kc_pa(kc_pa_raw(p) + 4096), 4096), KC_OK);
    cr_assert_eq(e.taken_count, 2);
    cr_assert_eq(kc_early_free(&e, p, 4096 * 2), KC_ERR_ABSENT, "half of it is free");
    cr_assert_eq(kc_early_alloc(&e, 4096, 4096, &q), KC_OK);
    cr_assert_eq(kc_pa_raw(q), kc_pa_raw(p) + 4096);
    cr_assert_eq(kc_early_free(&e, p, 4096 * 4), KC_OK);
    cr_assert_eq(kc_early_free(&e, p, 4096 * 4), KC_ERR_ABSENT);
    cr_assert_eq(kc_early_free(&e, p, 0), KC_ERR_ARG);
    cr_assert_eq(kc_early_taken_bytes(&e), 0);
}

Test(early, free_refuses_what_was_never_allocated)
{
    kc_pa_t p;
    add(KC_MIB(1), 4096, KC_BOOT_TEXT);
    cr_assert_eq(init(), KC_OK);
    cr_assert_eq(kc_early_alloc(&e, 4096, 4096, &p), KC_OK);
    cr_assert_eq(kc_early_free(&e, kc_pa(KC_MIB(1)), 4096), KC_ERR_ABSENT);
    cr_assert_eq(kc_early_free(&e, kc_pa(0), 4096), KC_ERR_ABSENT);
    cr_assert_eq(kc_early_free(&e, p, UINT64_MAX), KC_ERR_ABSENT);
    cr_assert_eq(kc_early_free(&e, kc_pa(UINT64_MAX), 1), KC_ERR_ABSENT);
}

Test(early, slots_run_out_cleanly)
{
    static kc_pa_t got[KC_EARLY_TAKEN_MAX + 1];
    uint32_t n = 0;
    kc_status_t s = KC_OK;
    kc_pa_t three;
    cr_assert_eq(init(), KC_OK);
    cr_assert_eq(kc_early_alloc(&e, 3, 32, &three), KC_OK);
    while (n <= KC_EARLY_TAKEN_MAX && s == KC_OK) { /* 1 byte of 32: none touch */
        s = kc_early_alloc(&e, 1, 32, &got[n]);
        n += s == KC_OK ? 1 : 0;
    }
    cr_assert_eq(s, KC_ERR_NOMEM);
    cr_assert_eq(n, KC_EARLY_TAKEN_MAX - 1);
    cr_assert_eq(kc_early_check(&e, NULL), KC_OK);
    cr_assert_eq(kc_early_free(&e, kc_pa(kc_pa_raw(three) + 1), 1), KC_ERR_NOMEM, "would split");
    cr_assert_eq(kc_early_check(&e, NULL), KC_OK);
    cr_assert_eq(kc_early_free(&e, three, 3), KC_OK);
    cr_assert_eq(kc_early_alloc(&e, 1, 32, &three), KC_OK);
    cr_assert_eq(kc_early_free(&e, three, 1), KC_OK);
    cr_assert_eq(kc_early_alloc(&e, 3, 32, &three), KC_OK, "the slot is free again");
    cr_assert_eq(kc_early_reserve(&e, kc_pa_range(kc_pa(KC_MIB(1)), 64), KC_BOOT_RESERVED),
                 KC_ERR_NOMEM);
    cr_assert_eq(kc_early_free(&e, three, 3), KC_OK);
    for (uint32_t i = 0; i < n; i++) {
        cr_assert_eq(kc_early_free(&e, got[i], 1), KC_OK);
    }
    cr_assert_eq(kc_early_taken_bytes(&e), 0);
}

Test(early, partly_taken_pages_are_not_free)
{
    uint32_t cursor = 0;
    kc_pa_range_t r;
    add(KC_MIB(1) + 4095, 2, KC_BOOT_INITRD); /* two bytes, two pages */
    cr_assert_eq(init(), KC_OK);
    cr_assert(kc_early_next_free(&e, &cursor, &r));
    cr_assert_eq(kc_pa_raw(r.base), KC_MIB(1) + 8192);
}

Test(early, closed_map_can_be_read_but_not_changed)
{
    uint32_t cursor = 0;
    kc_pa_range_t r;
    kc_pa_t p = kc_pa(7);
    cr_assert_eq(init(), KC_OK);
    kc_early_close(&e);
    cr_assert_not(kc_early_is_open(&e));
    cr_assert_eq(kc_early_alloc(&e, 1, 1, &p), KC_ERR_STATE);
    cr_assert_eq(kc_early_free(&e, p, 1), KC_ERR_STATE);
    cr_assert_eq(kc_early_reserve(&e, kc_pa_range(p, 1), KC_BOOT_RESERVED), KC_ERR_STATE);
    cr_assert(kc_early_next_free(&e, &cursor, &r));
    cr_assert_eq(kc_early_check(&e, NULL), KC_OK);
}

Test(early, storage_that_was_never_initialised_refuses)
{
    kc_pa_t p;
    __builtin_memset(&e, 0, sizeof(e));
    cr_assert_eq(kc_early_alloc(&e, 1, 1, &p), KC_ERR_STATE);
    cr_assert_eq(kc_early_check(&e, NULL), KC_ERR_CORRUPT);
}

/* ---- the validator: each invariant broken on purpose ------------------------------------------
 */

static void check_names(uint32_t invariant)
{
    struct kc_early_fault f = {99, 99, kc_pa(0)};
    cr_expect_eq(kc_early_check(&e, &f), KC_ERR_CORRUPT);
    cr_expect_eq(f.invariant, invariant);
}

Test(early, check_names_the_broken_invariant)
{
    struct kc_early_fault f = {99, 99, kc_pa(0)};
    add(KC_MIB(1), 4096, KC_BOOT_TEXT);
    add(KC_MIB(1) + 4096, 4096, KC_BOOT_DATA);
    add(KC_MIB(4), KC_MIB(1), KC_BOOT_RAM);
    cr_assert_eq(init(), KC_OK);
    const struct kc_early good = e;
    cr_assert_eq(kc_early_check(&e, &f), KC_OK);
    cr_assert_eq(f.invariant, 0);

    e.taken_count = KC_EARLY_TAKEN_MAX + 1;
    check_names(1);
    e = good;
    e.ram_count = 0;
    check_names(1);
    e = good;
    e.ram[1].size += 1;
    check_names(2);
    e = good;
    e.ram[0].size = KC_MIB(3); /* touches run 1 */
    check_names(2);
    e = good;
    e.ram_bytes += 4096;
    check_names(2);
    e = good;
    e.taken[0].size += 4096; /* meets the next */
    check_names(3);
    e = good;
    e.taken[1].base = kc_pa(KC_MIB(3));
    check_names(3);
    e = good;
    e.taken_bytes--;
    check_names(3);
    e = good;
    e.taken[0].kind = KC_BOOT_RAM;
    check_names(4);
    e = good;
    e.taken[0].size = 100;
    check_names(4);
    e = good;
    e.taken[0].kind = KC_BOOT_RESERVED;
    e.taken[1].kind = KC_BOOT_RESERVED;
    check_names(5);
}

/* ---- beside the model ----------------------------------------------------------------------- */

Test(early, agrees_with_the_model)
{
    static uint8_t bytes[600];
    uint64_t seed = kc_test_seed();
    for (uint32_t story = 0; story < 400; story++) {
        uint64_t state = seed + story;
        kc_random_fill(&state, bytes, sizeof(bytes));
        struct kc_bytes b = {bytes, sizeof(bytes), 0};
        const char *wrong = early_model_run(&b);
        cr_assert_null(wrong, "story %u at byte %u: %s", story, (uint32_t)b.at, wrong);
    }
}
