/* SPDX-License-Identifier: BSD-2-Clause */
/* frame: what memory there is: maps with holes, what is added, what early memory leaves. */
#include <kc_test.h>

#include "mem/frame_priv.h"

#define MODEL_REQUIRE(c) cr_assert(c, "model: %s", #c)
#include "frame_model.h"
#include "frame_fixture.h"

static struct frame_model model;

/* ---- memory maps ---------------------------------------------------------------------------- */

TestSuite(frame_map);

static void range(uint64_t base, uint64_t size, uint32_t kind)
{
    struct kc_boot_range r = {kc_pa(base), size, kind, 0};
    info.range[info.range_count++] = r;
}

Test(frame_map, holes_are_never_handed_out)
{
    cr_assert(kc_test_ram(RAM, &info));
    uint64_t base = kc_pa_raw(info.range[0].base);
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    info.range_count = 0;
    range(base, KC_MIB(3), KC_BOOT_RAM);
    range(base + KC_MIB(4) + 3 * 4096, KC_MIB(7), KC_BOOT_RAM);
    range(base + KC_MIB(1), 5 * 4096, KC_BOOT_RESERVED);
    range(base + KC_MIB(6), KC_MIB(1), KC_BOOT_NOMAP);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    cr_assert_geq(frames.map->span_count, 4);
    kc_pa_t pa;
    uint64_t count = 0;
    for (uint32_t o = KC_FRAME_ORDERS; o-- > 0;) {
        while (kc_frame_alloc(&frames, o, 0, OWNER, &pa) == KC_OK) {
            kc_pa_range_t got = kc_pa_range(pa, (uint64_t)KC_FRAME_BYTES << o);
            cr_assert(kc_pa_range_covers(kc_pa_range(kc_pa(base), KC_MIB(3)), got) ||
                      kc_pa_range_covers(kc_pa_range(kc_pa(base + KC_MIB(4) + 3 * 4096), KC_MIB(7)),
                                         got));
            cr_assert_not(kc_pa_range_meets(kc_pa_range(kc_pa(base + KC_MIB(1)), 5 * 4096), got));
            cr_assert_not(kc_pa_range_meets(kc_pa_range(kc_pa(base + KC_MIB(6)), KC_MIB(1)), got));
            __builtin_memset(kc_plat_ram(pa), 0xee, (size_t)KC_FRAME_BYTES << o);
            count += 1u << o;
        }
        cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK, "the table lies in no frame");
    }
    cr_assert_eq(count, frames.frame_count);
    cr_assert_eq(count + (frames.table_bytes + 4095) / 4096 + 5 + 256, (KC_MIB(10)) / 4096);
    EXPECT_MISUSE(kc_frame_free(&frames, kc_pa(base + KC_MIB(6)), 0), KC_ERR_RANGE,
                  KC_MISUSE_FOREIGN);
    struct kc_frame_info i;
    kc_frame_info(&frames, kc_pa(base + KC_MIB(1)), &i);
    cr_assert_eq(i.state, KC_FRAME_FOREIGN);
}

Test(frame_map, tiny_memories)
{
    cr_assert(kc_test_ram(KC_MIB(1), &info));
    for (uint64_t pages = 1; pages < 9; pages++) {
        info.range[0].size = pages * KC_FRAME_BYTES;
        cr_assert_eq(kc_early_init(&early, &info), KC_OK);
        uint64_t taken = kc_early_taken_bytes(&early);
        kc_status_t status = kc_frames_init(&frames, &early, NULL);
        if (pages == 1) {
            cr_assert_eq(status, KC_ERR_NOMEM);
            cr_assert_eq(kc_early_taken_bytes(&early), taken);
            cr_assert(kc_early_is_open(&early));
            continue;
        }
        cr_assert_eq(status, KC_OK);
        cr_assert_eq(frames.frame_count, pages - 1);
        cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK);
        cr_assert_eq(kc_frames_init(&frames, &early, NULL), KC_ERR_STATE);
        cr_assert_eq(kc_frames_fini(&frames), KC_OK);
    }
    cr_assert_eq(kc_frames_init(NULL, &early, NULL), KC_ERR_ARG);
    cr_assert_eq(kc_frames_init(&frames, NULL, NULL), KC_ERR_ARG);
}

/* ---- memory that is added ------------------------------------------------------------------- */

TestSuite(frame_add);

static uint64_t ram_base;

/* The allocator has from..to of the test's RAM. */
static void have(uint64_t from, uint64_t to)
{
    cr_assert(kc_test_ram(RAM, &info));
    ram_base = kc_pa_raw(info.range[0].base);
    info.range_count = 0;
    range(ram_base + from, to - from, KC_BOOT_RAM);
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
}

static kc_status_t add(uint64_t from, uint64_t to)
{
    return kc_frames_add(&frames, kc_pa(ram_base + from), to - from);
}

Test(frame_add, what_is_known_wraps_or_is_no_whole_frames_is_refused)
{
    have(KC_MIB(4), KC_MIB(6));
    struct kc_frame_stats before, now;
    kc_frame_stats(&frames, &before);
    cr_expect_eq(add(KC_MIB(8), KC_MIB(8)), KC_ERR_ARG);
    cr_expect_eq(add(KC_MIB(8) + 1, KC_MIB(9) + 1), KC_ERR_ALIGN);
    cr_expect_eq(add(KC_MIB(8), KC_MIB(9) + 1), KC_ERR_ALIGN);
    cr_expect_eq(kc_frames_add(&frames, kc_pa(0 - (uint64_t)KC_FRAME_BYTES), 2 * KC_FRAME_BYTES),
                 KC_ERR_RANGE);
    cr_expect_eq(kc_frames_add(&frames, kc_pa(KC_EARLY_PA_LIMIT - KC_MIB(1)), KC_MIB(2)),
                 KC_ERR_RANGE);
    cr_expect_eq(add(KC_MIB(4), KC_MIB(6)), KC_ERR_EXISTS);
    cr_expect_eq(add(KC_MIB(5), KC_MIB(8)), KC_ERR_EXISTS);
    cr_expect_eq(add(KC_MIB(2), KC_MIB(4) + 4096), KC_ERR_EXISTS);
    cr_expect_eq(add(0, KC_MIB(16)), KC_ERR_EXISTS);
    cr_expect_eq(add(KC_MIB(6) - 4096, KC_MIB(6)), KC_ERR_EXISTS, "the records");
    cr_expect_eq(add(KC_MIB(8), KC_MIB(8) + 4096), KC_ERR_NOMEM, "nothing beside the records");
    kc_frame_stats(&frames, &now);
    cr_expect_eq(now.frame_count, before.frame_count);
    cr_expect_eq(now.table_bytes, before.table_bytes);
    cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK);
    cr_expect_eq(add(KC_MIB(8), KC_MIB(8) + 8192), KC_OK);
    cr_expect_eq(add(KC_MIB(8) + 4096, KC_MIB(9)), KC_ERR_EXISTS, "added before");
    cr_expect_eq(kc_misuse_total(&misuse), 0);
}

Test(frame_add, added_memory_is_used_to_the_last_frame_and_merges)
{
    have(KC_MIB(4), KC_MIB(6));
    uint64_t all = frames.frame_count;
    kc_pa_t pa;
    cr_assert_eq(kc_frame_alloc(&frames, KC_FRAME_ORDER_MAX, 0, OWNER, &pa), KC_ERR_NOMEM);
    __builtin_memset(kc_plat_ram(kc_pa(ram_base + KC_MIB(7))), 0xee, KC_MIB(9));
    cr_assert_eq(add(KC_MIB(7), KC_MIB(16)), KC_OK); /* above */
    cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK);
    cr_assert_eq(add(KC_MIB(1), KC_MIB(4)), KC_OK); /* below, and side by side */
    cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK);
    uint64_t own = frames.table_bytes >> KC_FRAME_LOG2;
    cr_assert_geq(frames.frame_count + own, 14 * 256 - 1);
    cr_assert_gt(frames.frame_count, all + 11 * 256);
    cr_assert_eq(kc_frame_alloc(&frames, KC_FRAME_ORDER_MAX, 0, OWNER, &pa), KC_OK);
    cr_assert_eq(kc_frame_free(&frames, pa, KC_FRAME_ORDER_MAX), KC_OK);
    take_all_but(0);
    cr_assert_eq(held_count, frames.frame_count);
    for (uint32_t i = 0; i < held_count; i++) {
        *(uint64_t *)kc_plat_ram(held[i]) = kc_pa_raw(held[i]);
    }
    cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK, "records lie in no frame");
    for (uint32_t i = 0; i < held_count; i++) {
        cr_assert_eq(*(uint64_t *)kc_plat_ram(held[i]), kc_pa_raw(held[i]), "each once");
        cr_assert_eq(kc_frame_free(&frames, held[i], 0), KC_OK);
    }
    cr_assert_eq(kc_frame_alloc(&frames, KC_FRAME_ORDER_MAX, 0, OWNER, &pa), KC_OK);
    cr_assert_eq(kc_frame_free(&frames, pa, KC_FRAME_ORDER_MAX), KC_OK);
    cr_assert_eq(kc_frames_fini(&frames), KC_OK);
}

Test(frame_add, claims_are_found_in_added_memory_and_by_number)
{
    have(KC_MIB(12), KC_MIB(13));
    kc_pa_t pa, before;
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &before), KC_OK);
    struct kc_frame *first = kc_frame_claim(&frames, before, 0, 5);
    take_all_but(0);
    cr_assert_eq(add(0, KC_MIB(4)), KC_OK);
    cr_assert_eq(kc_frame_alloc(&frames, 3, 0, OWNER, &pa), KC_OK);
    struct kc_frame *r = kc_frame_claim(&frames, pa, 3, 0x77);
    struct kc_frame_found found;
    cr_assert(kc_frame_find(&frames, after(pa, 5 * KC_FRAME_BYTES + 9), &found));
    cr_expect(found.record == r);
    cr_expect_eq(found.data, 0x77);
    cr_expect(kc_pa_eq(found.base, pa));
    cr_expect(kc_frame_at(&frames, kc_frame_index(&frames, r)) == r);
    cr_expect(kc_pa_eq(kc_frame_index_pa(&frames, kc_frame_index(&frames, r)), pa));
    cr_expect_eq(kc_frame_index(&frames, r + 7), kc_frame_index(&frames, r) + 7);
    cr_expect(kc_frame_at(&frames, kc_frame_index(&frames, first)) == first);
    cr_expect(kc_pa_eq(kc_frame_index_pa(&frames, kc_frame_index(&frames, first)), before));
    cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK);
    /* The listing goes by address: what was added below comes first. */
    uint64_t cursor = 0;
    struct kc_frame_info i;
    cr_assert(kc_frame_next_used(&frames, &cursor, &i));
    cr_expect(kc_pa_eq(i.base, pa));
}

Test(frame_add, additions_are_bounded)
{
    have(0, KC_MIB(1));
    uint64_t at = KC_MIB(2);
    uint32_t added = 0;
    kc_status_t status;
    while ((status = add(at, at + KC_MIB(1) / 8)) == KC_OK) {
        at += KC_MIB(1) / 8 + (added % 3 == 0 ? 4096 : 0);
        added++;
        cr_assert_leq(at, RAM);
    }
    cr_expect_eq(status, KC_ERR_QUOTA);
    cr_expect_eq(added, KC_FRAME_BANKS - 1);
    cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK);
    take_all_but(0);
    cr_expect_eq(held_count, frames.frame_count);
}

Test(frame_add, a_run_is_freed_across_two_spans_side_by_side)
{
    have(KC_MIB(4), KC_MIB(5));
    cr_assert_eq(add(KC_MIB(2), KC_MIB(4)), KC_OK);
    take_all_but(0);
    uint64_t border = ram_base + KC_MIB(4);
    kc_pa_t pa;
    /* A block of two ends where the spans meet, a block of one begins there. */
    cr_assert_eq(kc_frame_free(&frames, kc_pa(border - 8192), 0), KC_OK);
    cr_assert_eq(kc_frame_free(&frames, kc_pa(border - 4096), 0), KC_OK);
    cr_assert_eq(kc_frame_alloc(&frames, 1, 0, OWNER, &pa), KC_OK);
    cr_assert_eq(kc_pa_raw(pa), border - 8192);
    cr_assert_eq(kc_frame_free_run(&frames, pa, 3), KC_OK);
    cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK);
    cr_assert_eq(kc_frame_owner_of(&frames, kc_pa(border)), KC_FRAME_OWNER_NONE);
    cr_assert_eq(frames.free_frames, 3);
}

Test(frame_add, random_operations_agree_with_the_model_while_memory_is_added)
{
    static uint8_t bytes[4096];
    uint64_t seed = kc_test_seed();
    struct kc_bytes o = {bytes, sizeof(bytes), 0};
    kc_random_fill(&seed, bytes, sizeof(bytes));
    have(KC_MIB(6), KC_MIB(9));
    frame_model_init(&model, &frames, &misuse, kc_pa(ram_base + KC_MIB(6)), 768);
    static const uint32_t from[] = {10, 1, 4, 13}, to[] = {12, 4, 6, 16};
    for (uint32_t i = 0; !kc_bytes_is_empty(&o); i++) {
        uint32_t n = i / 64;
        if (i % 64 == 63 && n < KC_ARRAY_COUNT(from)) {
            cr_assert_eq(add(KC_MIB(from[n]), KC_MIB(to[n])), KC_OK);
            frame_model_add(&model, kc_pa(ram_base + KC_MIB(from[n])), (to[n] - from[n]) * 256);
        }
        frame_model_step(&model, &o);
        frame_model_check(&model);
    }
    frame_model_finish(&model);
    cr_assert_eq(kc_frames_fini(&frames), KC_OK);
}

/* ---- from early memory to frames ------------------------------------------------------------ */

#define MAP_PAGES (RAM / KC_FRAME_BYTES)

/* What a page is by the boot information and what early memory gave out; beside early.c. */
static uint8_t page_is[MAP_PAGES]; /* 0: no RAM; 1: free; 2: taken, at least in part */

static void paint(uint64_t base, uint64_t size, uint8_t is)
{
    uint64_t first = (base - ram_base) / KC_FRAME_BYTES;
    uint64_t last = (base + size - 1 - ram_base) / KC_FRAME_BYTES;
    for (uint64_t i = first; i <= last; i++) {
        page_is[i] = is;
    }
}

/* RAM in pieces, with ranges of all kinds in them; true if early memory takes it. */
static bool random_map(uint64_t *seed)
{
    static const uint32_t kinds[] = {KC_BOOT_RESERVED, KC_BOOT_NOMAP,  KC_BOOT_TEXT, KC_BOOT_RODATA,
                                     KC_BOOT_DATA,     KC_BOOT_INITRD, KC_BOOT_DTB};
    __builtin_memset(page_is, 0, sizeof(page_is));
    info.range_count = 0;
    uint64_t page = kc_random(seed) % 8;
    while (page < MAP_PAGES && info.range_count < 6) {
        uint64_t pages = 1 + kc_random(seed) % (MAP_PAGES / 2);
        pages = pages < MAP_PAGES - page ? pages : MAP_PAGES - page;
        range(ram_base + page * KC_FRAME_BYTES, pages * KC_FRAME_BYTES, KC_BOOT_RAM);
        paint(ram_base + page * KC_FRAME_BYTES, pages * KC_FRAME_BYTES, 1);
        page += pages + kc_random(seed) % 3 * (kc_random(seed) % 50);
    }
    uint32_t rams = info.range_count;
    for (uint64_t n = kc_random(seed) % 12; n > 0; n--) {
        const struct kc_boot_range *ram = &info.range[kc_random(seed) % rams];
        uint32_t kind = kinds[kc_random(seed) % KC_ARRAY_COUNT(kinds)];
        uint64_t at = kc_random(seed) % ram->size;
        uint64_t size = 1 + kc_random(seed) % (ram->size - at < 300000 ? ram->size - at : 300000);
        if (kind != KC_BOOT_RESERVED && kind != KC_BOOT_INITRD && kind != KC_BOOT_DTB) {
            at = kc_align_down(at, KC_FRAME_BYTES);
            size = kc_align_down(size + KC_FRAME_BYTES - 1, KC_FRAME_BYTES);
            size = size < ram->size - at ? size : ram->size - at;
        }
        uint64_t base = kc_pa_raw(ram->base) + at;
        range(base, size, kind);
        paint(base, size, 2);
    }
    return kc_early_init(&early, &info) == KC_OK;
}

Test(frame_map, each_page_that_early_memory_leaves_is_handed_out_once_and_no_other)
{
    uint64_t seed = kc_test_seed();
    uint32_t maps = 0;
    cr_assert(kc_test_ram(RAM, &info));
    ram_base = kc_pa_raw(info.range[0].base);
    for (uint32_t round = 0; round < 60; round++) {
        if (!random_map(&seed)) {
            continue; /* two that may not overlap did */
        }
        for (uint64_t n = kc_random(&seed) % 20; n > 0; n--) {
            uint64_t size = 1 + kc_random(&seed) % 20000;
            kc_pa_t at;
            if (kc_early_alloc(&early, size, KC_BIT(kc_random(&seed) % 14), &at) == KC_OK) {
                paint(kc_pa_raw(at), size, 2);
            }
        }
        uint64_t bytes = early.taken_bytes;
        kc_status_t status = kc_frames_init(&frames, &early, NULL);
        if (status != KC_OK) {
            cr_assert_eq(status, KC_ERR_NOMEM);
            cr_assert_eq(early.taken_bytes, bytes);
            continue;
        }
        maps++;
        paint(kc_pa_raw(kc_plat_ram_pa(frames.map)), frames.table_bytes, 2);
        uint64_t left = 0;
        for (uint32_t i = 0; i < MAP_PAGES; i++) {
            struct kc_frame_info f;
            kc_frame_info(&frames, kc_pa(ram_base + (uint64_t)i * KC_FRAME_BYTES), &f);
            cr_assert_eq(f.state, page_is[i] == 1 ? KC_FRAME_FREE : KC_FRAME_FOREIGN);
            left += page_is[i] == 1;
        }
        cr_assert_eq(frames.frame_count, left);
        kc_pa_t pa;
        for (; kc_frame_alloc(&frames, 0, 0, OWNER, &pa) == KC_OK; left--) {
            uint64_t i = (kc_pa_raw(pa) - ram_base) / KC_FRAME_BYTES;
            cr_assert_eq(page_is[i], 1);
            page_is[i] = 3;
        }
        cr_assert_eq(left, 0);
        cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK);
    }
    cr_assert_gt(maps, 5);
}
