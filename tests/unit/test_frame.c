/* SPDX-License-Identifier: BSD-2-Clause */
/* frame: the contract of kc/frame.h, and the invariants F1 to F8 of src/mem/frame.c. */
#include <kc_test.h>

#include <kc/frame.h>

#include "mem/frame_priv.h"

#define MODEL_REQUIRE(c) cr_assert(c, "model: %s", #c)
#include "frame_model.h"

#define OWNER KC_FRAME_OWNER_TEST
#define RAM   KC_MIB(16)

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;

static void set_up(void)
{
    cr_assert(kc_test_ram(RAM, &info));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
}

static void tear_down(void)
{
    struct kc_frame_fault where = {0, 0, 0, 0};
    cr_expect_eq(kc_frames_check(&frames, &where), KC_OK, "F%u at %u", where.invariant,
                 where.index);
}

TestSuite(frame, .init = set_up, .fini = tear_down);

static kc_pa_t get(uint32_t order)
{
    kc_pa_t pa = kc_pa(0);
    cr_assert_eq(kc_frame_alloc(&frames, order, 0, OWNER, &pa), KC_OK);
    return pa;
}

static kc_pa_t after(kc_pa_t pa, uint64_t bytes)
{
    return kc_pa(kc_pa_raw(pa) + bytes);
}

/* The answer, and exactly one report of that kind. */
#define EXPECT_MISUSE(call, status, kind_)                  \
    do {                                                    \
        uint64_t total_ = kc_misuse_total(&misuse);         \
        uint64_t count_ = misuse.count[kind_];              \
        cr_expect_eq((call), (status));                     \
        cr_expect_eq(kc_misuse_total(&misuse), total_ + 1); \
        cr_expect_eq(misuse.count[kind_], count_ + 1);      \
    } while (0)

Test(frame, blocks_are_aligned_and_apart)
{
    kc_pa_t pa[KC_FRAME_ORDERS];
    for (uint32_t o = 0; o < KC_FRAME_ORDERS; o++) {
        pa[o] = get(o);
        cr_assert(kc_pa_is_aligned(pa[o], (uint64_t)KC_FRAME_BYTES << o));
        for (uint32_t i = 0; i < o; i++) {
            cr_assert_not(kc_pa_range_meets(kc_pa_range(pa[i], (uint64_t)KC_FRAME_BYTES << i),
                                            kc_pa_range(pa[o], (uint64_t)KC_FRAME_BYTES << o)));
        }
    }
    cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK);
    for (uint32_t o = 0; o < KC_FRAME_ORDERS; o++) {
        cr_assert_eq(kc_frame_free(&frames, pa[o], o), KC_OK);
    }
    cr_assert_eq(kc_frames_fini(&frames), KC_OK);
}

Test(frame, all_memory_is_handed_out_and_merges_again)
{
    struct kc_frame_stats before, now;
    kc_frame_stats(&frames, &before);
    cr_assert_gt(before.frame_count, 4000);
    cr_assert_eq(before.free_frames, before.frame_count);
    kc_pa_t last = kc_pa(0), pa;
    uint64_t count = 0;
    while (kc_frame_alloc(&frames, 0, 0, OWNER, &pa) == KC_OK) {
        *(uint64_t *)kc_plat_ram(pa) = kc_pa_raw(last);
        last = pa;
        count++;
    }
    cr_assert_eq(count, before.frame_count);
    kc_frame_stats(&frames, &now);
    cr_assert_eq(now.free_frames, 0);
    cr_assert_eq(now.fresh_frames, 0);
    cr_assert_eq(now.peak_frames, count);
    cr_assert_eq(now.fail_count, 1);
    while (count-- > 0) {
        kc_pa_t next = kc_pa(*(uint64_t *)kc_plat_ram(last));
        cr_assert_eq(kc_frame_free(&frames, last, 0), KC_OK);
        last = next;
    }
    kc_frame_stats(&frames, &now);
    cr_assert_eq(now.free_frames, before.free_frames);
    for (uint32_t o = 0; o < KC_FRAME_ORDERS; o++) {
        cr_assert_eq(now.free_blocks[o], before.free_blocks[o], "order %u", o);
    }
}

Test(frame, records_of_fresh_memory_are_not_read)
{
    /* RAM is not zero on a real machine: a table full of nonsense must do no harm. */
    struct kc_frame_span *s = &frames.span[0];
    cr_assert_gt(s->fresh_end, s->fresh);
    __builtin_memset(&frames.table[s->fresh], 0xee,
                     (s->fresh_end - s->fresh) * sizeof(struct kc_frame));
    cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK);
    kc_pa_t fresh = frame_pa(frame_pfn(s, s->fresh) + 3);
    struct kc_frame_info i;
    kc_frame_info(&frames, fresh, &i);
    cr_assert_eq(i.state, KC_FRAME_FREE);
    EXPECT_MISUSE(kc_frame_free(&frames, fresh, 0), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    struct kc_frame_found found;
    cr_assert_not(kc_frame_find(&frames, fresh, &found));
    kc_pa_t pa[3];
    for (uint32_t n = 0; n < 3; n++) {
        pa[n] = get(KC_FRAME_ORDER_MAX);
    }
    for (uint32_t n = 0; n < 3; n++) {
        cr_assert_eq(kc_frame_free(&frames, pa[n], KC_FRAME_ORDER_MAX), KC_OK);
    }
}

Test(frame, zero_flag_zeroes_used_memory)
{
    kc_pa_t pa = get(2);
    __builtin_memset(kc_plat_ram(pa), 0xaa, 4 * KC_FRAME_BYTES);
    cr_assert_eq(kc_frame_free(&frames, pa, 2), KC_OK);
    kc_pa_t again;
    cr_assert_eq(kc_frame_alloc(&frames, 2, KC_FRAME_ZERO, OWNER, &again), KC_OK);
    cr_assert(kc_pa_eq(pa, again));
    const unsigned char *b = kc_plat_ram(again);
    for (uint32_t i = 0; i < 4 * KC_FRAME_BYTES; i++) {
        cr_assert_eq(b[i], 0);
    }
    cr_assert_eq(kc_frame_free(&frames, again, 2), KC_OK);
}

Test(frame, arguments_out_of_range_are_refused)
{
    kc_pa_t pa = kc_pa(77);
    cr_expect_eq(kc_frame_alloc(&frames, KC_FRAME_ORDER_MAX + 1, 0, OWNER, &pa), KC_ERR_RANGE);
    cr_expect_eq(kc_frame_alloc(&frames, UINT32_MAX, 0, OWNER, &pa), KC_ERR_RANGE);
    cr_expect_eq(kc_frame_alloc(&frames, 0, 0x80, OWNER, &pa), KC_ERR_ARG);
    cr_expect_eq(kc_frame_alloc(&frames, 0, 0, KC_FRAME_OWNER_NONE, &pa), KC_ERR_ARG);
    cr_expect_eq(kc_frame_alloc(&frames, 0, 0, KC_FRAME_OWNER_COUNT, &pa), KC_ERR_ARG);
    cr_expect_eq(kc_frame_alloc_run(&frames, 0, 0, 0, OWNER, &pa), KC_ERR_RANGE);
    cr_expect_eq(kc_frame_alloc_run(&frames, KC_FRAME_RUN_MAX + 1, 0, 0, OWNER, &pa), KC_ERR_RANGE);
    cr_expect_eq(kc_frame_alloc_run(&frames, 1, KC_FRAME_ORDER_MAX + 1, 0, OWNER, &pa),
                 KC_ERR_RANGE);
    cr_expect_eq(kc_frame_free_run(&frames, kc_pa(0), 0), KC_ERR_RANGE);
    cr_expect_eq(kc_pa_raw(pa), 77);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
    cr_expect_eq(kc_frame_owner_frames(&frames, 999), 0);
}

Test(frame, every_bad_free_has_its_answer)
{
    kc_pa_t pa = get(3);
    EXPECT_MISUSE(kc_frame_free(&frames, pa, 2), KC_ERR_ARG, KC_MISUSE_WRONG_SIZE);
    EXPECT_MISUSE(kc_frame_free(&frames, pa, 4), KC_ERR_ARG, KC_MISUSE_WRONG_SIZE);
    EXPECT_MISUSE(kc_frame_free(&frames, pa, UINT32_MAX), KC_ERR_ARG, KC_MISUSE_WRONG_SIZE);
    EXPECT_MISUSE(kc_frame_free(&frames, after(pa, 1), 3), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    EXPECT_MISUSE(kc_frame_free(&frames, after(pa, 2 * KC_FRAME_BYTES), 1), KC_ERR_ALIGN,
                  KC_MISUSE_INTERIOR);
    EXPECT_MISUSE(kc_frame_free(&frames, kc_pa(0), 0), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
    EXPECT_MISUSE(kc_frame_free(&frames, after(info.range[0].base, RAM), 0), KC_ERR_RANGE,
                  KC_MISUSE_FOREIGN);
    cr_expect_eq(kc_frame_free(&frames, pa, 3), KC_OK);
    EXPECT_MISUSE(kc_frame_free(&frames, pa, 3), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    EXPECT_MISUSE(kc_frame_free(&frames, after(pa, KC_FRAME_BYTES), 0), KC_ERR_STATE,
                  KC_MISUSE_DOUBLE_FREE);
}

Test(frame, run_wastes_nothing_and_is_freed_as_one)
{
    struct kc_frame_stats before, now;
    kc_frame_stats(&frames, &before);
    kc_pa_t pa;
    cr_assert_eq(kc_frame_alloc_run(&frames, 5, 0, 0, OWNER, &pa), KC_OK);
    kc_frame_stats(&frames, &now);
    cr_assert_eq(now.used_frames, 5);
    cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK);
    EXPECT_MISUSE(kc_frame_free_run(&frames, pa, 4 + 2), KC_ERR_ARG, KC_MISUSE_WRONG_SIZE);
    cr_assert_eq(kc_frame_get(&frames, after(pa, 4 * KC_FRAME_BYTES)), KC_OK);
    EXPECT_MISUSE(kc_frame_free_run(&frames, pa, 5), KC_ERR_STATE, KC_MISUSE_BUSY);
    kc_frame_stats(&frames, &now);
    cr_assert_eq(now.used_frames, 5, "nothing was freed of a run that is busy in part");
    cr_assert_eq(kc_frame_put(&frames, after(pa, 4 * KC_FRAME_BYTES), NULL), KC_OK);
    cr_assert_eq(kc_frame_free_run(&frames, pa, 5), KC_OK);
    kc_frame_stats(&frames, &now);
    cr_assert_eq(now.used_frames, 0);
    cr_assert_eq(now.free_blocks[KC_FRAME_ORDER_MAX], before.free_blocks[KC_FRAME_ORDER_MAX]);
}

Test(frame, runs_of_every_count_and_alignment)
{
    for (uint32_t count = 1; count <= KC_FRAME_RUN_MAX; count += count < 70 ? 1 : 61) {
        for (uint32_t align = 0; align <= KC_FRAME_ORDER_MAX; align += 5) {
            kc_pa_t pa;
            cr_assert_eq(kc_frame_alloc_run(&frames, count, align, 0, OWNER, &pa), KC_OK);
            cr_assert(kc_pa_is_aligned(pa, (uint64_t)KC_FRAME_BYTES << align));
            cr_assert_eq(kc_frame_owner_frames(&frames, OWNER), count);
            cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK);
            cr_assert_eq(kc_frame_free_run(&frames, pa, count), KC_OK);
        }
    }
}

Test(frame, references_and_pins_hold_a_block)
{
    bool freed = true;
    kc_pa_t pa = get(1);
    cr_assert_eq(kc_frame_get(&frames, pa), KC_OK);
    EXPECT_MISUSE(kc_frame_free(&frames, pa, 1), KC_ERR_STATE, KC_MISUSE_BUSY);
    cr_assert_eq(kc_frame_put(&frames, pa, &freed), KC_OK);
    cr_assert_not(freed);
    cr_assert_eq(kc_frame_pin(&frames, pa), KC_OK);
    EXPECT_MISUSE(kc_frame_free(&frames, pa, 1), KC_ERR_STATE, KC_MISUSE_BUSY);
    EXPECT_MISUSE(kc_frame_put(&frames, pa, &freed), KC_ERR_STATE, KC_MISUSE_BUSY);
    cr_assert_eq(kc_frame_unpin(&frames, pa), KC_OK);
    EXPECT_MISUSE(kc_frame_unpin(&frames, pa), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    EXPECT_MISUSE(kc_frame_get(&frames, after(pa, KC_FRAME_BYTES)), KC_ERR_ALIGN,
                  KC_MISUSE_INTERIOR);
    cr_assert_eq(kc_frame_put(&frames, pa, &freed), KC_OK);
    cr_assert(freed);
    EXPECT_MISUSE(kc_frame_put(&frames, pa, &freed), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    EXPECT_MISUSE(kc_frame_get(&frames, pa), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    EXPECT_MISUSE(kc_frame_pin(&frames, kc_pa(0)), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
}

Test(frame, references_and_pins_saturate)
{
    kc_pa_t pa = get(0);
    for (uint32_t i = 1; i < 65535; i++) {
        cr_assert_eq(kc_frame_get(&frames, pa), KC_OK);
        cr_assert_eq(kc_frame_pin(&frames, pa), KC_OK);
    }
    cr_assert_eq(kc_frame_pin(&frames, pa), KC_OK);
    cr_expect_eq(kc_frame_get(&frames, pa), KC_ERR_QUOTA);
    cr_expect_eq(kc_frame_pin(&frames, pa), KC_ERR_QUOTA);
    struct kc_frame_info i;
    kc_frame_info(&frames, pa, &i);
    cr_expect_eq(i.refs, 65535);
    cr_expect_eq(i.pins, 65535);
}

Test(frame, claimed_block_is_found_and_protected)
{
    kc_pa_t pa = get(2);
    struct kc_frame_found found;
    cr_assert_not(kc_frame_find(&frames, pa, &found));
    struct kc_frame *r = kc_frame_claim(&frames, pa, 2, 0x1234);
    r->word = 9;
    r[1].u.data = 7;
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert(kc_frame_find(&frames, after(pa, i * KC_FRAME_BYTES + 5), &found));
        cr_assert(found.record == r);
        cr_assert_eq(found.data, 0x1234);
        cr_assert_eq(found.order, 2);
        cr_assert_eq(found.owner, OWNER);
        cr_assert(kc_pa_eq(found.base, pa));
    }
    cr_assert_not(kc_frame_find(&frames, after(pa, 4 * KC_FRAME_BYTES), &found));
    cr_assert_not(kc_frame_find(&frames, kc_pa(0), &found));
    cr_assert_not(kc_frame_find(&frames, kc_pa(~UINT64_C(0)), &found));
    EXPECT_MISUSE(kc_frame_free(&frames, pa, 2), KC_ERR_PERM, KC_MISUSE_WRONG_OWNER);
    EXPECT_MISUSE(kc_frame_get(&frames, pa), KC_ERR_PERM, KC_MISUSE_WRONG_OWNER);
    EXPECT_MISUSE(kc_frame_put(&frames, pa, NULL), KC_ERR_PERM, KC_MISUSE_WRONG_OWNER);
    cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK);
    kc_frame_unclaim(&frames, pa, 2);
    cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK);
    cr_assert_eq(kc_frame_free(&frames, pa, 2), KC_OK);
}

Test(frame, fini_while_busy_is_refused)
{
    kc_pa_t pa = get(0);
    EXPECT_MISUSE(kc_frames_fini(&frames), KC_ERR_STATE, KC_MISUSE_BUSY);
    cr_assert_eq(misuse.last.found, 1);
    cr_assert_eq(kc_frame_free(&frames, pa, 0), KC_OK);
    cr_assert_eq(kc_frames_fini(&frames), KC_OK);
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &pa), KC_ERR_NOMEM);
}

Test(frame, used_blocks_are_listed)
{
    kc_pa_t pa[3] = {get(0), get(4), get(1)};
    cr_assert_eq(kc_frame_free(&frames, pa[1], 4), KC_OK);
    uint64_t cursor = 0;
    uint32_t count = 0;
    struct kc_frame_info i;
    while (kc_frame_next_used(&frames, &cursor, &i)) {
        cr_assert(kc_pa_eq(i.base, pa[0]) || kc_pa_eq(i.base, pa[2]));
        cr_assert_eq(i.owner, OWNER);
        count++;
    }
    cr_assert_eq(count, 2);
    cr_assert_eq(kc_frame_owner_of(&frames, pa[0]), OWNER);
    cr_assert_eq(kc_frame_owner_of(&frames, pa[1]), KC_FRAME_OWNER_NONE);
    cr_assert_eq(kc_frame_owner_of(&frames, kc_pa(0)), KC_FRAME_OWNER_NONE);
    cr_assert_str_eq(kc_frame_owner_name(KC_FRAME_OWNER_CACHE), "cache");
    cr_assert_str_eq(kc_frame_owner_name(1000), "other");
}

Test(frame, injected_faults_come_when_asked_for)
{
    kc_pa_t pa, x;
    kc_frames_fail_after(&frames, 2);
    pa = get(0);
    cr_assert_eq(kc_frame_free(&frames, pa, 0), KC_OK);
    pa = get(0);
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &x), KC_ERR_NOMEM);
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &x), KC_OK);
    kc_frames_fail_run(&frames, 0, 2);
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &pa), KC_ERR_NOMEM);
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &pa), KC_ERR_NOMEM);
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &pa), KC_OK);
    kc_frames_fail_after(&frames, 0);
    kc_frames_fail_after(&frames, UINT64_MAX);
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &pa), KC_OK);
}

Test(frame, fragmentation_is_told_by_order)
{
    /* Every second frame of all memory: nothing is left for order 1 and beyond. */
    struct kc_frame_stats s;
    kc_pa_t last = kc_pa(0), pa;
    while (kc_frame_alloc(&frames, 0, 0, OWNER, &pa) == KC_OK) {
        if ((kc_pa_raw(pa) >> KC_FRAME_LOG2 & 1) != 0) {
            *(uint64_t *)kc_plat_ram(pa) = kc_pa_raw(last);
            last = pa;
        }
    }
    kc_frame_stats(&frames, &s);
    cr_assert_eq(s.frag_permille[0], 0);
    while (kc_pa_raw(last) != 0) {
        kc_pa_t next = kc_pa(*(uint64_t *)kc_plat_ram(last));
        cr_assert_eq(kc_frame_free(&frames, last, 0), KC_OK);
        last = next;
    }
    kc_frame_stats(&frames, &s);
    cr_assert_eq(s.frag_permille[0], 0);
    cr_assert_eq(s.frag_permille[1], 1000);
    cr_assert_eq(s.frag_permille[KC_FRAME_ORDER_MAX], 1000);
    cr_assert_eq(kc_frame_alloc(&frames, 1, 0, OWNER, &pa), KC_ERR_NOMEM);
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, OWNER, &pa), KC_OK);
}

/* ---- the validator sees each broken invariant ----------------------------------------------- */

#define EXPECT_BROKEN(n, place, wrong)                                           \
    do {                                                                         \
        struct kc_frame_fault where_ = {0, 0, 0, 0};                             \
        __typeof__(place) saved_ = (place);                                      \
        (place) = (wrong);                                                       \
        cr_expect_eq(kc_frames_check(&frames, &where_), KC_ERR_CORRUPT, #place); \
        cr_expect_eq(where_.invariant, (uint32_t)(n), #place);                   \
        (place) = saved_;                                                        \
    } while (0)

Test(frame, check_sees_each_broken_invariant)
{
    kc_pa_t pa = get(2);
    struct kc_frame_span *s = &frames.span[0];
    struct kc_frame *r = &frames.table[frame_record(s, kc_pa_raw(pa) >> KC_FRAME_LOG2)];
    uint32_t z = frame_zone_of(s->pfn);
    uint32_t listed = (uint32_t)__builtin_ctz(frames.zone[z].mask);
    struct kc_frame *first = &frames.table[frames.zone[z].head[listed]];
    EXPECT_BROKEN(1, s->index, 1u);
    EXPECT_BROKEN(1, frames.zone[0].span_end, 99u);
    EXPECT_BROKEN(3, s->fresh, s->fresh + 1);
    EXPECT_BROKEN(2, r->kind, frame_kind(KC_FRAME_USED, 11, OWNER));
    EXPECT_BROKEN(2, r->kind, 0u);
    EXPECT_BROKEN(4, first->u.link.prev, 3u);
    EXPECT_BROKEN(4, frames.zone[z].mask, 0u);
    EXPECT_BROKEN(4, frames.zone[z].blocks[listed], 100u);
    EXPECT_BROKEN(6, r->word, 0u);
    EXPECT_BROKEN(6, r->kind, frame_kind(KC_FRAME_USED, 2, KC_FRAME_OWNER_NONE));
    EXPECT_BROKEN(7, r[1].word, 1u);
    EXPECT_BROKEN(7, r[3].kind, 1u);
    EXPECT_BROKEN(8, frames.owner_frames[OWNER], 5u);
    EXPECT_BROKEN(8, frames.zone[z].free_frames, 5u);
    EXPECT_BROKEN(8, frames.frame_count, 5u);
    cr_assert_eq(kc_frame_free(&frames, pa, 2), KC_OK);
}

/* ---- the model ------------------------------------------------------------------------------ */

static struct frame_model model;

Test(frame, random_operations_agree_with_the_model)
{
    static uint8_t bytes[4096];
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
    cr_assert_geq(frames.span_count, 4);
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
