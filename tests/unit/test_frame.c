/* SPDX-License-Identifier: BSD-2-Clause */
/* frame: the contract of kc/frame.h, and the invariants F1 to F9 of src/mem/frame.c. */
#include <kc_test.h>

#include "mem/frame_priv.h"

#define MODEL_REQUIRE(c) cr_assert(c, "model: %s", #c)
#include "frame_model.h"
#include "frame_fixture.h"

TestSuite(frame, .init = set_up, .fini = tear_down);

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
    struct kc_frame_span *s = &frame_spans(frames.map)[0];
    cr_assert_gt(s->fresh_end, s->fresh);
    __builtin_memset(kc_frame_at(&frames, s->fresh), 0xee,
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
    cr_expect_eq(kc_frame_alloc(&frames, 0, 0, KC_FRAME_OWNER_BAD, &pa), KC_ERR_ARG);
    cr_expect_eq(kc_frame_alloc(&frames, 0, KC_FRAME_BELOW(23), OWNER, &pa), KC_ERR_RANGE);
    cr_expect_eq(kc_frame_alloc(&frames, 0, KC_FRAME_BELOW(1), OWNER, &pa), KC_ERR_RANGE);
    cr_expect_eq(kc_frame_alloc(&frames, 0, UINT32_MAX, OWNER, &pa), KC_ERR_ARG);
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

Test(frame, a_bad_free_is_reported_with_the_owner)
{
    kc_pa_t pa, buddy;
    cr_assert_eq(kc_frame_alloc_run(&frames, 2, 0, 0, KC_FRAME_OWNER_DMA, &pa), KC_OK);
    EXPECT_MISUSE(kc_frame_free(&frames, pa, 0), KC_ERR_ARG, KC_MISUSE_WRONG_SIZE);
    cr_expect_eq(misuse.last.owner, KC_FRAME_OWNER_DMA);
    cr_expect_str_eq(misuse.last.owner_name, "dma");
    EXPECT_MISUSE(kc_frame_free(&frames, after(pa, 4096), 0), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    cr_expect_eq(misuse.last.owner, KC_FRAME_OWNER_DMA);
    cr_expect_eq(kc_frame_pin(&frames, pa), KC_OK);
    EXPECT_MISUSE(kc_frame_free(&frames, pa, 1), KC_ERR_STATE, KC_MISUSE_BUSY);
    cr_expect_eq(misuse.last.owner, KC_FRAME_OWNER_DMA);
    cr_expect_eq(kc_frame_unpin(&frames, pa), KC_OK);
    EXPECT_MISUSE(kc_frame_unpin(&frames, pa), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    cr_expect_eq(misuse.last.owner, KC_FRAME_OWNER_DMA);
    cr_expect_eq(kc_frame_free(&frames, pa, 1), KC_OK);

    /* Two of two owners, which merge when they are free: each is still told apart. */
    buddy = pa;
    while ((kc_pa_raw(pa) ^ kc_pa_raw(buddy)) != KC_FRAME_BYTES) {
        cr_assert_eq(kc_frame_alloc(&frames, 0, 0, KC_FRAME_OWNER_USER, &pa), KC_OK);
        if (kc_pa_is_aligned(pa, 2 * KC_FRAME_BYTES)) {
            cr_assert_eq(kc_frame_alloc(&frames, 0, 0, KC_FRAME_OWNER_TRACE, &buddy), KC_OK);
        }
    }
    cr_expect_eq(kc_frame_free(&frames, pa, 0), KC_OK);
    cr_expect_eq(kc_frame_free(&frames, buddy, 0), KC_OK);
    EXPECT_MISUSE(kc_frame_free(&frames, pa, 0), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    cr_expect_eq(misuse.last.owner, KC_FRAME_OWNER_USER);
    EXPECT_MISUSE(kc_frame_put(&frames, buddy, NULL), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    cr_expect_eq(misuse.last.owner, KC_FRAME_OWNER_TRACE);
    cr_expect_str_eq(misuse.last.owner_name, "trace");
    /* Nobody is known of memory that was never used, and of none. */
    struct kc_frame_span *s = &frame_spans(frames.map)[0];
    EXPECT_MISUSE(kc_frame_free(&frames, frame_pa(frame_pfn(s, s->fresh)), 0), KC_ERR_STATE,
                  KC_MISUSE_DOUBLE_FREE);
    cr_expect_eq(misuse.last.owner, KC_FRAME_OWNER_NONE);
    cr_expect_null(misuse.last.owner_name);
    EXPECT_MISUSE(kc_frame_free(&frames, kc_pa(0), 0), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
    cr_expect_null(misuse.last.owner_name);
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

/* Every count to every other, where what follows is free; the rest is one free block again. */
Test(frame, a_run_grows_and_shrinks_where_it_is)
{
    static const uint32_t counts[] = {1, 2, 3, 5, 7, 8, 9, 31, 64, 100, 255, 256, 511, 1023, 1024};
    struct kc_frame_stats before, now;
    kc_frame_stats(&frames, &before);
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(counts); i++) {
        for (uint32_t k = 0; k < KC_ARRAY_COUNT(counts); k++) {
            kc_pa_t pa;
            uint32_t most = counts[i] > counts[k] ? counts[i] : counts[k];
            cr_assert_eq(kc_frame_alloc_run(&frames, most, KC_FRAME_ORDER_MAX, 0, OWNER, &pa),
                         KC_OK);
            unsigned char *p = kc_plat_ram(pa);
            size_t bytes = (size_t)counts[k] * KC_FRAME_BYTES;
            p[0] = 0x77;
            p[bytes - 1] = 0x77;
            cr_assert_eq(kc_frame_resize_run(&frames, pa, most, counts[i], 0), KC_OK);
            cr_assert_eq(kc_frame_resize_run(&frames, pa, counts[i], counts[k], KC_FRAME_ZERO),
                         KC_OK);
            cr_assert_eq(p[0], 0x77, "what was there stays");
            cr_assert_eq(p[bytes - 1], counts[k] > counts[i] ? 0 : 0x77, "what is new is zero");
            cr_assert_eq(kc_frame_owner_frames(&frames, OWNER), counts[k]);
            cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK);
            cr_assert_eq(kc_frame_free_run(&frames, pa, counts[k]), KC_OK);
        }
    }
    kc_frame_stats(&frames, &now);
    cr_expect_eq(now.alloc_count, now.free_count);
    cr_expect_eq(now.free_blocks[KC_FRAME_ORDER_MAX], before.free_blocks[KC_FRAME_ORDER_MAX]);
}

/*
 *     | 0 to 7: the run | 8, 9: somebody's |
 */
Test(frame, a_run_that_cannot_grow_is_as_it_was)
{
    kc_pa_t pa, again;
    cr_assert_eq(kc_frame_alloc_run(&frames, 10, 4, 0, OWNER, &pa), KC_OK);
    kc_pa_t next = after(pa, 8 * KC_FRAME_BYTES);
    cr_assert_eq(kc_frame_free(&frames, pa, 3), KC_OK);
    cr_assert_eq(kc_frame_alloc_run(&frames, 5, 0, 0, OWNER, &again), KC_OK);
    cr_assert_eq(kc_pa_raw(again), kc_pa_raw(pa));
    cr_expect_eq(kc_frame_resize_run(&frames, pa, 5, 6, 0), KC_OK);
    cr_expect_eq(kc_frame_resize_run(&frames, pa, 6, 8, 0), KC_OK);
    cr_expect_eq(kc_frame_resize_run(&frames, pa, 8, 9, 0), KC_ERR_NOMEM, "somebody's");
    cr_expect_eq(kc_frame_owner_frames(&frames, OWNER), 10);
    EXPECT_MISUSE(kc_frame_resize_run(&frames, pa, 7, 8, 0), KC_ERR_ARG, KC_MISUSE_WRONG_SIZE);
    cr_expect_eq(kc_frame_resize_run(&frames, next, 2, 16, 0), KC_ERR_NOMEM, "at no place for 16");
    cr_expect_eq(kc_frame_resize_run(&frames, next, 2, 8, 0), KC_OK);
    cr_expect_eq(kc_frame_resize_run(&frames, next, 8, 1, 0), KC_OK);
    cr_expect_eq(kc_frame_resize_run(&frames, pa, 8, 7, 0), KC_OK);
    /* Marks, an injected fault, and what is no run. */
    struct kc_frame_stats s;
    kc_frame_stats(&frames, &s);
    struct kc_frame_marks marks = {s.free_frames, s.free_frames, s.free_frames, 0, 0};
    cr_assert_eq(kc_frames_set_marks(&frames, &marks), KC_OK);
    cr_expect_eq(kc_frame_resize_run(&frames, pa, 7, 8, 0), KC_ERR_NOMEM, "kept back");
    cr_expect_eq(kc_frame_resize_run(&frames, pa, 7, 8, KC_FRAME_URGENT), KC_OK);
    kc_frames_fail_after(&frames, 0);
    cr_expect_eq(kc_frame_resize_run(&frames, next, 1, 2, KC_FRAME_URGENT), KC_ERR_NOMEM);
    cr_expect_eq(kc_frame_resize_run(&frames, next, 1, 2, KC_FRAME_URGENT), KC_OK);
    cr_expect_eq(kc_frame_resize_run(&frames, pa, 8, 0, 0), KC_ERR_RANGE);
    cr_expect_eq(kc_frame_resize_run(&frames, pa, 0, 8, 0), KC_ERR_RANGE);
    cr_expect_eq(kc_frame_resize_run(&frames, pa, 8, KC_FRAME_RUN_MAX + 1, 0), KC_ERR_RANGE);
    cr_expect_eq(kc_frame_resize_run(&frames, pa, 8, 7, 0x80), KC_ERR_ARG);
    EXPECT_MISUSE(kc_frame_resize_run(&frames, kc_pa(0), 1, 2, 0), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
    cr_expect_eq(kc_frames_check(&frames, NULL), KC_OK);
    cr_expect_eq(kc_frame_free_run(&frames, pa, 8), KC_OK);
    EXPECT_MISUSE(kc_frame_resize_run(&frames, pa, 8, 7, 0), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    cr_expect_eq(kc_frame_alloc_run(&frames, 8, 0, KC_FRAME_URGENT, KC_FRAME_OWNER_USER, &again),
                 KC_OK);
    cr_assert_eq(kc_pa_raw(again), kc_pa_raw(pa));
    EXPECT_MISUSE(kc_frame_resize_run(&frames, pa, 10, 4, 0), KC_ERR_PERM, KC_MISUSE_WRONG_OWNER);
    cr_expect_eq(kc_frame_free(&frames, pa, 3), KC_OK);
    cr_expect_eq(kc_frame_free(&frames, next, 1), KC_OK);
    struct kc_frame_stats end;
    kc_frame_stats(&frames, &end);
    cr_expect_eq(end.used_frames, 0);
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

/* ---- zones ---------------------------------------------------------------------------------- */

/* All of this memory has addresses of as many bits. */
static uint32_t ram_bits(void)
{
    return kc_log2_floor(kc_pa_raw(info.range[0].base)) + 1;
}

Test(frame, every_byte_lies_below_the_limit_or_nothing_is_given)
{
    kc_pa_t pa;
    uint32_t bits = ram_bits();
    cr_assert_eq(kc_log2_floor(kc_pa_raw(info.range[0].base) + RAM - 1) + 1, bits);
    for (uint32_t limit = KC_FRAME_BITS_MIN; limit <= 255; limit++) {
        kc_status_t due = limit >= bits ? KC_OK : KC_ERR_NOMEM;
        cr_expect_eq(kc_frame_alloc(&frames, 0, KC_FRAME_BELOW(limit), OWNER, &pa), due, "%u",
                     limit);
        cr_expect_eq(kc_frame_alloc_run(&frames, 5, 3, KC_FRAME_BELOW(limit), OWNER, &pa), due);
    }
}

Test(frame, zones_tell_what_was_done_with_each_order)
{
    struct kc_frame_zone_stats z, before;
    uint32_t cursor = 0;
    kc_pa_t pa = get(0); /* carves and splits; what comes next need not carve */
    cr_assert(kc_frame_next_zone(&frames, &cursor, &before));
    cr_assert_eq(before.bits, ram_bits());
    cr_assert_eq(before.frame_count, frames.frame_count);
    cr_assert_not(kc_frame_next_zone(&frames, &cursor, &z), "all is in one zone");
    cr_assert_eq(kc_frame_free(&frames, pa, 0), KC_OK);

    pa = get(0);
    cr_assert_eq(kc_frame_alloc(&frames, 3, KC_FRAME_BELOW(24), OWNER, &pa), KC_ERR_NOMEM);
    while (kc_frame_alloc(&frames, KC_FRAME_ORDER_MAX, 0, OWNER, &pa) == KC_OK) {
    }
    cursor = 0;
    cr_assert(kc_frame_next_zone(&frames, &cursor, &z));
    cr_expect_eq(z.order[0].allocs, 2);
    cr_expect_eq(z.order[3].fails, 0, "no zone is so low");
    cr_expect_eq(z.order[KC_FRAME_ORDER_MAX].fails, 1);
    cr_expect_gt(z.order[KC_FRAME_ORDER_MAX].allocs, 1);
    cr_expect_lt(z.largest, (int32_t)KC_FRAME_ORDER_MAX);
    cr_expect_eq(z.fresh_frames, 0);
    cr_expect_eq(z.order[KC_FRAME_ORDER_MAX].unusable_permille, 1000);
    cr_expect_gt(z.order[KC_FRAME_ORDER_MAX].frag_index, -1000);
    cr_expect_eq(z.order[0].frag_index, -1000);
    struct kc_frame_stats s;
    kc_frame_stats(&frames, &s);
    cr_expect_eq(s.fail_count, 2);
}

Test(frame, a_split_and_a_merge_are_counted_at_their_order)
{
    struct kc_frame_zone_stats z, now;
    uint32_t cursor = 0;
    kc_pa_t all, low = kc_pa(0), high;
    while (kc_frame_alloc(&frames, 0, 0, OWNER, &all) == KC_OK) {
        if (kc_pa_is_aligned(all, 2 * KC_FRAME_BYTES)) {
            low = all;
        }
    }
    /* Two frames are free, side by side. */
    high = after(low, KC_FRAME_BYTES);
    cr_assert_eq(kc_frame_owner_of(&frames, high), OWNER);
    cr_assert(kc_frame_next_zone(&frames, &cursor, &z));
    cr_assert_eq(kc_frame_free(&frames, low, 0), KC_OK);
    cr_assert_eq(kc_frame_free(&frames, high, 0), KC_OK);
    cursor = 0;
    cr_assert(kc_frame_next_zone(&frames, &cursor, &now));
    cr_expect_eq(now.order[0].merges, z.order[0].merges + 1);
    cr_expect_eq(now.order[1].merges, z.order[1].merges);
    cr_expect_eq(now.order[1].free_blocks, 1);
    cr_expect_eq(now.largest, 1);
    /* 2 frames in 1 block, 8 wanted: 1 - (1 + 2/8) / 1: want of memory. */
    cr_expect_eq(now.order[3].frag_index, -250);
    low = get(0);
    cursor = 0;
    cr_assert(kc_frame_next_zone(&frames, &cursor, &now));
    cr_expect_eq(now.order[1].splits, z.order[1].splits + 1);
    cr_expect_eq(now.order[0].splits, 0);
    cr_expect_eq(now.order[0].free_blocks, 1);
}

/* ---- hardening full ------------------------------------------------------------------------- */

#if KC_HARDENING >= KC_HARDENING_FULL
Test(frame, a_frame_written_to_after_its_free_is_taken_out_of_use)
{
    kc_pa_t pa = get(2), again;
    uint64_t *word = kc_plat_ram(after(pa, 2 * KC_FRAME_BYTES + 40));
    cr_assert_eq(kc_frame_free(&frames, pa, 2), KC_OK);
    cr_assert_eq(*word, FRAME_PATTERN);
    *word ^= 1; /* a dangling pointer */
    uint64_t total = kc_misuse_total(&misuse);
    cr_assert_eq(kc_frame_alloc(&frames, 2, 0, OWNER, &again), KC_OK);
    cr_expect_neq(kc_pa_raw(again), kc_pa_raw(pa));
    cr_expect_eq(kc_misuse_total(&misuse), total + 1);
    cr_expect_eq(misuse.last.kind, KC_MISUSE_CORRUPT);
    cr_expect_eq(misuse.last.address, kc_pa_raw(pa) + 2 * KC_FRAME_BYTES + 40);
    cr_expect_eq(misuse.last.found, FRAME_PATTERN ^ 1);
    cr_assert_eq(kc_frames_check(&frames, NULL), KC_OK);
    struct kc_frame_stats s;
    kc_frame_stats(&frames, &s);
    cr_expect_eq(s.bad_frames, 1);
    cr_expect_eq(s.alloc_count, 2);
    EXPECT_MISUSE(kc_frame_free(&frames, after(pa, 2 * KC_FRAME_BYTES), 0), KC_ERR_PERM,
                  KC_MISUSE_WRONG_OWNER);
    /* The other three are of use. */
    cr_expect_eq(kc_frame_owner_of(&frames, pa), KC_FRAME_OWNER_NONE);
    cr_expect_eq(kc_frame_owner_of(&frames, after(pa, 3 * KC_FRAME_BYTES)), KC_FRAME_OWNER_NONE);
    cr_assert_eq(kc_frame_free(&frames, again, 2), KC_OK);
    take_all_but(0);
    cr_expect_eq(held_count, s.frame_count - 1);
    cr_expect_eq(kc_misuse_total(&misuse), total + 2);
    while (held_count > 0) {
        cr_assert_eq(kc_frame_free(&frames, held[--held_count], 0), KC_OK);
    }
    cr_expect_eq(kc_frames_fini(&frames), KC_OK);
}

Test(frame, a_run_does_not_grow_into_what_was_written_to_while_free)
{
    kc_pa_t pa;
    cr_assert_eq(kc_frame_alloc_run(&frames, 8, 3, 0, OWNER, &pa), KC_OK);
    cr_assert_eq(kc_frame_resize_run(&frames, pa, 8, 4, 0), KC_OK);
    uint64_t *word = kc_plat_ram(after(pa, 5 * KC_FRAME_BYTES + 80));
    cr_assert_eq(*word, FRAME_PATTERN);
    *word ^= 1;
    struct kc_frame_stats before, now;
    kc_frame_stats(&frames, &before);
    EXPECT_MISUSE(kc_frame_resize_run(&frames, pa, 4, 8, 0), KC_ERR_NOMEM, KC_MISUSE_CORRUPT);
    kc_frame_stats(&frames, &now);
    cr_expect_eq(now.bad_frames, 1);
    cr_expect_eq(now.alloc_count, before.alloc_count);
    cr_expect_eq(kc_frames_check(&frames, NULL), KC_OK);
    cr_expect_eq(kc_frame_resize_run(&frames, pa, 4, 5, 0), KC_OK, "the frame before it is good");
    cr_expect_eq(kc_frame_free_run(&frames, pa, 5), KC_OK);
    cr_expect_eq(kc_frames_fini(&frames), KC_OK);
}

Test(frame, every_way_of_freeing_writes_the_pattern)
{
    kc_pa_t pa, run;
    cr_assert_eq(kc_frame_alloc_run(&frames, 13, 0, KC_FRAME_ZERO, OWNER, &run), KC_OK);
    cr_assert_eq(kc_frame_free_run(&frames, run, 13), KC_OK);
    cr_assert_eq(kc_frame_alloc(&frames, 0, KC_FRAME_ZERO, OWNER, &pa), KC_OK);
    cr_assert_eq(kc_frame_put(&frames, pa, NULL), KC_OK);
    take_all_but(0);
    cr_expect_eq(held_count, frames.frame_count, "each held it");
    cr_expect_eq(kc_misuse_total(&misuse), 0);
}
#endif

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
    struct kc_frame_span *s = &frame_spans(frames.map)[0];
    struct kc_frame *r = kc_frame_at(&frames, frame_record(s, kc_pa_raw(pa) >> KC_FRAME_LOG2));
    struct kc_frame_zone *z = frames.zone[s->zone];
    uint32_t listed = (uint32_t)__builtin_ctz(z->mask);
    struct kc_frame *first = kc_frame_at(&frames, z->head[listed]);
    EXPECT_BROKEN(1, s->index, 1u);
    EXPECT_BROKEN(1, s->zone, s->zone + 1);
    EXPECT_BROKEN(1, z->span_end, 99u);
    EXPECT_BROKEN(1, frames.bank[0].count, 1u);
    EXPECT_BROKEN(1, frames.bank_count, 0u);
    EXPECT_BROKEN(1, frame_places(frames.map)->index, 1u);
    EXPECT_BROKEN(3, s->fresh, s->fresh + 1);
    EXPECT_BROKEN(3, frames.front.fresh, frames.front.fresh + 1);
    EXPECT_BROKEN(3, frames.front.fresh_end, frames.front.fresh_end + 1);
    EXPECT_BROKEN(3, frames.front.count, frames.front.count + 1);
    EXPECT_BROKEN(3, frames.front.pfn, frames.front.pfn + 1);
    EXPECT_BROKEN(2, r->kind, frame_kind(KC_FRAME_USED, 11, OWNER));
    EXPECT_BROKEN(2, r->kind, 0u);
    EXPECT_BROKEN(4, first->u.link.prev, 3u);
    EXPECT_BROKEN(4, z->mask, 0u);
    EXPECT_BROKEN(4, z->blocks[listed], 100u);
    EXPECT_BROKEN(6, first->word, KC_FRAME_OWNER_COUNT + 0u);
    EXPECT_BROKEN(6, r->u.data, 1u);
    if (!FRAME_FULL) { /* else it is one that is held back */
        EXPECT_BROKEN(6, r->word, 0u);
    }
    EXPECT_BROKEN(10, r->word, FRAME_PIN_ONE);
    EXPECT_BROKEN(6, r->kind, frame_kind(KC_FRAME_USED, 2, KC_FRAME_OWNER_NONE));
    EXPECT_BROKEN(7, r[1].word, KC_FRAME_OWNER_COUNT + 0u);
    EXPECT_BROKEN(7, r[1].u.data, 1u);
    EXPECT_BROKEN(7, r[3].kind, 1u);
    EXPECT_BROKEN(8, frames.owner_frames[OWNER], 5u);
    EXPECT_BROKEN(8, z->free_frames, 5u);
    EXPECT_BROKEN(8, frames.frame_count, 5u);
    EXPECT_BROKEN(8, frames.free_frames, 5u);
    EXPECT_BROKEN(8, z->frames, 5u);
    EXPECT_BROKEN(9, frame_known(frames.map)->size, KC_FRAME_BYTES + 0u);
    cr_assert_eq(kc_frame_free(&frames, pa, 2), KC_OK);
}

/* Two lists of as many blocks have each other's: links, counts and masks agree. */
Test(frame, check_sees_blocks_in_the_list_of_another_order)
{
    struct kc_frame_zone *z = frames.zone[frame_spans(frames.map)[0].zone];
    uint32_t a = 0, b = 0;
    kc_pa_t pa[64];
    uint32_t count = 0;
    while (a == b) {
        cr_assert_lt(count, KC_ARRAY_COUNT(pa));
        pa[count++] = get(0);
        for (uint32_t o = 0; o < KC_FRAME_ORDERS * KC_FRAME_ORDERS && a == b; o++) {
            bool alike = z->blocks[o / KC_FRAME_ORDERS] == z->blocks[o % KC_FRAME_ORDERS];
            if (alike && z->blocks[o / KC_FRAME_ORDERS] != 0) {
                a = o / KC_FRAME_ORDERS;
                b = o % KC_FRAME_ORDERS;
            }
        }
    }
    uint32_t head = z->head[a];
    struct kc_frame_fault where = {0, 0, 0, 0};
    z->head[a] = z->head[b];
    z->head[b] = head;
    cr_expect_eq(kc_frames_check(&frames, &where), KC_ERR_CORRUPT);
    cr_expect_eq(where.invariant, 4);
    z->head[b] = z->head[a];
    z->head[a] = head;
    while (count > 0) {
        cr_assert_eq(kc_frame_free(&frames, pa[--count], 0), KC_OK);
    }
}

/* ---- the model ------------------------------------------------------------------------------ */

static struct frame_model model;

Test(frame, a_run_grows_only_within_its_zones)
{
    kc_pa_t pa, other;
    cr_assert_eq(kc_frame_alloc_run(&frames, 4, 3, 0, OWNER, &pa), KC_OK);
    cr_assert_eq(kc_frame_alloc(&frames, 0, KC_FRAME_BELOW(24), OWNER, &other), KC_ERR_NOMEM);
    cr_expect_eq(kc_frame_resize_run(&frames, pa, 4, 8, KC_FRAME_BELOW(24)), KC_ERR_NOMEM);
    cr_expect_eq(kc_frame_resize_run(&frames, pa, 4, 8, 0), KC_OK);
    cr_expect_eq(kc_frame_resize_run(&frames, pa, 8, 2, KC_FRAME_BELOW(24)), KC_OK,
                 "what goes is no matter");
    cr_expect_eq(kc_frame_free_run(&frames, pa, 2), KC_OK);
}

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
