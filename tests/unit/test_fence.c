/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fence: the contract of kc/fence.h, and N1 to N3 of src/space/fence.c.
 *
 * The tree here is in no TTBR: what an access would find is asked of the tables, and memory is
 * reached through the linear map. With an MMU that faults: the kernel's rounds (kernel/fenced.c).
 */
#include "kc_test.h"

#include "kc_bytes.h"
#include "space/fence_priv.h"
#include "expect_misuse.h"

#include <kc/early.h>

#define SLOTS 4u
#define PAGE  UINT64_C(4096)
#define WIDE  (UINTPTR_MAX > UINT32_MAX) /* pointers hold any address: the body's dynamic range */
#define BASE  (WIDE ? info.dynamic_base : UINT64_C(0x10000000))

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;
static struct kc_heap heap;
static struct kc_pt pt;
static struct kc_aspace space;
static struct kc_area areas[4];
static struct kc_fence fence;
static struct kc_fence_slot slots[SLOTS];

static struct kc_fence_config config(void)
{
    struct kc_fence_config c = {.heap = &heap,
                                .space = &space,
                                .attr = {KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL, true},
                                .slot = slots,
                                .slot_count = SLOTS,
                                .every = 3,
                                .seed = kc_test_seed(),
                                .misuse = &misuse};
    return c;
}

static void set_up(void)
{
    struct kc_pt_config pc = {.format = {KC_A64_STAGE1, 12, 48, 40, 0, 0, 0},
                              .source = {.frames = &frames},
                              .any_asid = true};
    struct kc_heap_config hc = {"test", &misuse, 0, 0, NULL, 0};
    struct kc_fence_config fc = config();
    struct kc_aspace_config ac = {.kind = KC_ASPACE_KERNEL,
                                  .name = "kernel",
                                  .frames = &frames,
                                  .kernel_pt = &pt,
                                  .bytes = KC_MIB(1),
                                  .areas = areas,
                                  .area_max = 4};
    cr_assert(kc_test_ram(KC_MIB(8), &info));
    pc.format.upper = WIDE;
    ac.base = kc_ia(BASE);
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    cr_assert_eq(kc_heap_init(&heap, &hc, &frames), KC_OK);
    cr_assert_eq(kc_pt_init(&pt, &pc), KC_OK);
    cr_assert_eq(kc_aspace_init(&space, &ac), KC_OK);
    cr_assert_eq(kc_fence_init(&fence, &fc), KC_OK);
}

static void expect_sound(void)
{
    struct kc_fence_fault f = {0, 0, 0, 0};
    struct kc_aspace_finding a = {0};
    cr_expect_eq(kc_fence_check(&fence, &f), KC_OK, "N%u, slot %u", f.invariant, f.index);
    cr_expect_eq(kc_aspace_check(&space, &a), KC_OK, "%s: %s", a.invariant, a.text);
}

/* Everything is given back, to the last frame. */
static void tear_down(void)
{
    expect_sound();
    kc_fence_mend(&fence);
    expect_sound();
    cr_expect_eq(kc_fence_fini(&fence), KC_OK);
    cr_expect_eq(kc_aspace_fini(&space), KC_OK);
    cr_expect_eq(kc_pt_fini(&pt), KC_OK);
    cr_expect_eq(kc_heap_fini(&heap), KC_OK);
    cr_expect_eq(kc_frames_fini(&frames), KC_OK);
}

TestSuite(fence, .init = set_up, .fini = tear_down);

static uint64_t address(const void *p)
{
    return kc_va_raw(kc_plat_ptr_va(p));
}

static bool mapped(uint64_t at)
{
    struct kc_pt_walk w;
    return kc_pt_translate(&pt, kc_ia(at & ~(PAGE - 1)), &w) == KC_OK;
}

static unsigned char *memory(uint64_t at)
{
    return kc_fence_priv_memory(&fence, at) + at % PAGE;
}

static void *take(size_t size)
{
    return kc_fence_take(&fence, size, 8, 0x1111);
}

Test(fence, init_refuses_what_is_malformed)
{
    struct kc_fence f;
    struct kc_fence_slot s[1];
    struct kc_fence_config c = config();
    c.slot = s;
    c.heap = NULL;
    cr_expect_eq(kc_fence_init(&f, &c), KC_ERR_ARG);
    c = config();
    c.slot = NULL;
    cr_expect_eq(kc_fence_init(&f, &c), KC_ERR_ARG);
    c.slot = s;
    c.attr.perm = KC_PT_R;
    cr_expect_eq(kc_fence_init(&f, &c), KC_ERR_ARG);
    c.attr.perm = KC_PT_R | KC_PT_W;
    c.slot_count = 0;
    cr_expect_eq(kc_fence_init(&f, &c), KC_ERR_RANGE);
    c.slot_count = KC_FENCE_SLOTS_MAX + 1;
    cr_expect_eq(kc_fence_init(&f, &c), KC_ERR_RANGE);
    c.slot_count = 200;
    cr_expect_eq(kc_fence_init(&f, &c), KC_ERR_NOMEM, "no such gap in the space");
}

/* Pages before and behind are not there, and the object stands against one of them. */
Test(fence, each_object_has_a_page_with_nothing_beside_it)
{
    bool at_start = false;
    bool at_end = false;
    for (uint32_t i = 0; i < 64; i++) {
        size_t size = 1 + i * 61;
        void *p = take(size);
        cr_assert_not_null(p);
        uint64_t a = address(p);
        uint64_t end = a + size;
        cr_expect(mapped(a) && mapped(end - 1));
        cr_expect_not(mapped((a & ~(PAGE - 1)) - 1));
        cr_expect_not(mapped((a & ~(PAGE - 1)) + PAGE));
        cr_expect_eq(a % 8, 0);
        at_start = at_start || a % PAGE == 0;
        at_end = at_end || PAGE - a % PAGE - size < 8;
        cr_expect(a % PAGE == 0 || PAGE - a % PAGE - size < 8);
        cr_expect_eq(kc_fence_usable(&fence, p), size);
        cr_expect_eq(*memory(a), 0, "zeroed");
        cr_expect_eq(*memory(end - 1), 0);
        expect_sound();
        cr_expect_eq(kc_fence_free(&fence, p, 0), KC_OK);
        cr_expect_not(mapped(a));
    }
    cr_expect(at_start && at_end, "both sides come up");
    cr_expect_null(take(0));
    cr_expect_null(take(PAGE + 1));
    cr_expect_null(kc_fence_take(&fence, 8, 3, 0));
    cr_expect_null(kc_fence_take(&fence, 8, 2 * PAGE, 0));
    cr_expect_eq(kc_misuse_total(&misuse), 0);
}

Test(fence, slots_are_used_in_turn_and_run_out)
{
    void *p[SLOTS];
    for (uint32_t i = 0; i < SLOTS; i++) {
        p[i] = take(16);
        cr_expect_eq((address(p[i]) - fence.base) / PAGE, 2 * i + 1);
    }
    cr_expect_null(take(16));
    EXPECT_MISUSE(kc_fence_fini(&fence), KC_ERR_STATE, KC_MISUSE_BUSY);
    for (uint32_t i = 0; i < SLOTS; i++) {
        cr_expect_eq(kc_fence_free(&fence, p[i], 0), KC_OK);
    }
    void *q = take(16);
    cr_expect_eq(address(q) & ~(PAGE - 1), address(p[0]) & ~(PAGE - 1), "freed longest ago");
    cr_expect_eq(kc_fence_free(&fence, q, 0), KC_OK);
}

Test(fence, wrong_frees_are_refused_once_and_change_nothing)
{
    unsigned char *p = take(64);
    EXPECT_MISUSE(kc_fence_free(&fence, p + 8, 0), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    EXPECT_MISUSE(kc_fence_free(&fence, kc_plat_ptr(kc_va(fence.base)), 0), KC_ERR_ALIGN,
                  KC_MISUSE_INTERIOR);
    void *last_guard = kc_plat_ptr(kc_va(fence.base + 2 * SLOTS * PAGE));
    EXPECT_MISUSE(kc_fence_free(&fence, last_guard, 0), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    EXPECT_MISUSE(kc_fence_free(&fence, &misuse, 0), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
    cr_expect_eq(kc_fence_usable(&fence, p + 8), 0);
    cr_expect(mapped(address(p)));
    expect_sound();
    cr_expect_eq(kc_fence_free(&fence, p, 0), KC_OK);
    EXPECT_MISUSE(kc_fence_free(&fence, p, 0), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    cr_expect_eq(kc_fence_usable(&fence, p), 0);
    cr_expect_eq(kc_fence_free(&fence, NULL, 0), KC_OK);
}

/* Every byte of the page that is not the object's. */
Test(fence, what_is_overwritten_about_an_object_is_found_at_free)
{
    for (uint32_t at = 0; at < PAGE; at += 7) {
        unsigned char *p = take(100);
        uint64_t page = address(p) & ~(PAGE - 1);
        uint32_t offset = (uint32_t)(address(p) - page);
        bool inside = at >= offset && at < offset + 100;
        memory(page)[at] ^= 0x10;
        if (inside) {
            cr_assert_eq(kc_fence_check(&fence, NULL), KC_OK);
            cr_assert_eq(kc_fence_free(&fence, p, 0), KC_OK);
            continue;
        }
        struct kc_fence_fault f;
        cr_assert_eq(kc_fence_check(&fence, &f), KC_ERR_CORRUPT);
        cr_assert_eq(f.invariant, 3);
        EXPECT_MISUSE(kc_fence_free(&fence, p, 0), KC_ERR_CORRUPT, KC_MISUSE_CORRUPT);
        cr_assert_eq(misuse.last.found, at);
        cr_assert_eq(kc_fence_check(&fence, NULL), KC_OK, "gone with its page");
    }
}

static enum kc_fence_verdict explain(uint64_t at, struct kc_fence_story *s)
{
    return kc_fence_explain(&fence, at, true, s);
}

Test(fence, faults_name_the_object_that_was_missed)
{
    struct kc_fence_story s;
    void *a = take(64);
    void *b = take(64);
    uint64_t first = address(a) & ~(PAGE - 1);
    cr_expect_eq(explain(fence.base - 1, &s), KC_FENCE_ELSEWHERE);
    cr_expect_eq(explain(fence.base + fence.bytes, &s), KC_FENCE_ELSEWHERE);
    cr_expect_eq(explain(address(a), &s), KC_FENCE_LIVE);
    cr_expect_eq(kc_misuse_total(&misuse), 0);

    EXPECT_MISUSE(explain(first - 1, &s), KC_FENCE_UNDER, KC_MISUSE_BOUNDS);
    cr_expect_eq(s.object, address(a));
    cr_expect_eq(s.bytes, 64);
    cr_expect_eq(s.distance, address(a) - first + 1);
    cr_expect_eq(s.who_alloc, 0x1111);
    cr_expect_eq(s.cpu_alloc, kc_plat_cpu());
    cr_expect(s.write && !s.freed);
    cr_expect_eq(misuse.last.expected, address(a));
    cr_expect_eq(misuse.last.found, 0x1111);

    EXPECT_MISUSE(explain(first + PAGE, &s), KC_FENCE_OVER, KC_MISUSE_BOUNDS);
    EXPECT_MISUSE(explain(first + 3 * PAGE + 4, &s), KC_FENCE_OVER, KC_MISUSE_BOUNDS);
    cr_expect_eq(s.object, address(b), "the nearer one; behind it nobody was");
    EXPECT_MISUSE(explain(first + 4 * PAGE + 4, &s), KC_FENCE_STRAY, KC_MISUSE_BOUNDS);

    cr_expect_eq(kc_fence_free(&fence, a, 0x2222), KC_OK);
    EXPECT_MISUSE(explain(address(a) + 63, &s), KC_FENCE_AFTER_FREE, KC_MISUSE_AFTER_FREE);
    cr_expect(s.freed);
    cr_expect_eq(s.who_free, 0x2222);
    cr_expect_eq(misuse.last.found, 0x2222);
    cr_expect_eq(kc_fence_free(&fence, b, 0), KC_OK);
    for (uint32_t v = 0; v <= KC_FENCE_LIVE; v++) {
        cr_expect_str_neq(kc_fence_verdict_name((enum kc_fence_verdict)v), "?");
    }
    cr_expect_str_eq(kc_fence_verdict_name((enum kc_fence_verdict)99), "?");
}

/* In the guard between two, the nearer end decides: swept over the whole page. */
Test(fence, between_two_objects_the_nearer_is_the_one)
{
    void *a = take(PAGE);
    void *b = take(PAGE);
    struct kc_fence_story s;
    uint64_t guard = address(a) + PAGE;
    for (uint64_t at = 0; at < PAGE; at++) {
        bool left = at < PAGE / 2;
        cr_assert_eq(explain(guard + at, &s), left ? KC_FENCE_OVER : KC_FENCE_UNDER, "%u",
                     (unsigned)at);
        cr_assert_eq(s.object, left ? address(a) : address(b));
        cr_assert_eq(s.distance, left ? at + 1 : PAGE - at);
    }
    cr_expect_eq(kc_fence_free(&fence, a, 0), KC_OK);
    cr_expect_eq(kc_fence_free(&fence, b, 0), KC_OK);
}

Test(fence, let_pages_go_with_the_next_use_or_when_mended)
{
    void *p = take(64);
    uint64_t page = address(p) & ~(PAGE - 1);
    cr_expect_eq(kc_fence_let(&fence, fence.base - 1), KC_ERR_RANGE);
    cr_expect_eq(kc_fence_let(&fence, page), KC_ERR_EXISTS);
    cr_expect_eq(kc_fence_let(&fence, page - 1), KC_OK);
    cr_expect_eq(kc_fence_let(&fence, page - 1), KC_ERR_EXISTS);
    cr_expect_eq(kc_fence_let(&fence, fence.base + fence.bytes - 1), KC_OK);
    cr_expect_eq(kc_fence_free(&fence, p, 0), KC_OK);
    cr_expect_eq(kc_fence_let(&fence, page), KC_OK);
    expect_sound();
    for (uint32_t i = 0; i < SLOTS; i++) { /* once about: the let page is a slot's again */
        void *q = take(64);
        cr_assert_not_null(q);
        expect_sound();
        cr_expect_eq(kc_fence_free(&fence, q, 0), KC_OK);
    }
    cr_expect_not(mapped(page));
    cr_expect(mapped(page - 1));
    kc_fence_mend(&fence);
    cr_expect_not(mapped(page - 1));
    cr_expect_not(mapped(fence.base + fence.bytes - 1));
    expect_sound();
}

/* Fault sweep: whatever runs out first, a slot is not half open. */
Test(fence, want_of_memory_leaves_nothing_half_done)
{
    void *p = NULL;
    for (uint64_t n = 0; p == NULL; n++) {
        cr_assert_lt(n, 8);
        kc_frames_fail_after(&frames, n);
        p = take(64);
        kc_frames_fail_after(&frames, UINT64_MAX);
        expect_sound();
    }
    cr_expect_eq(kc_fence_free(&fence, p, 0), KC_OK);
}

/* One in three goes into a slot at hardening full, none below it. */
Test(fence, samples_its_heap)
{
    void *p[9];
    uint32_t fenced = 0;
    for (uint32_t i = 0; i < 9; i++) {
        p[i] = kc_fence_alloc(&fence, 40, 0, 0);
        cr_assert_not_null(p[i]);
        fenced += kc_fence_has(&fence, p[i]);
        cr_expect_geq(kc_fence_usable(&fence, p[i]), 40);
    }
    cr_expect_eq(fenced, KC_HARDENING >= KC_HARDENING_FULL ? 3 : 0);
    for (uint32_t i = 0; i < 9; i++) {
        cr_expect_eq(kc_fence_free(&fence, p[i], 0), KC_OK);
    }
    cr_expect_null(kc_fence_alloc(&fence, 0, 0, 0));
    for (uint32_t i = 0; i < 6; i++) {
        p[i] = kc_fence_alloc(&fence, 5000, KC_HEAP_ZERO, 0);
        cr_expect_not(kc_fence_has(&fence, p[i]), "too large for a slot");
        cr_expect_eq(kc_fence_free(&fence, p[i], 0), KC_OK);
    }
    cr_expect_eq(kc_misuse_total(&misuse), 0);
}

/* Random operations against a list of what lives. */
Test(fence, agrees_with_a_list)
{
    uint64_t state = kc_test_seed();
    struct {
        void *p;
        size_t size;
    } live[SLOTS];
    uint32_t count = 0;
    for (uint32_t step = 0; step < 400; step++) {
        uint32_t i = (uint32_t)(kc_random(&state) >> 32) % SLOTS;
        if (i < count) {
            cr_assert_eq(kc_fence_usable(&fence, live[i].p), live[i].size);
            cr_assert_eq(kc_fence_free(&fence, live[i].p, step), KC_OK);
            live[i] = live[--count];
        } else {
            size_t size = 1 + (size_t)(kc_random(&state) % PAGE);
            void *p = take(size);
            cr_assert_eq(p != NULL, count < SLOTS);
            if (p != NULL) {
                live[count].p = p;
                live[count++].size = size;
            }
        }
        if (step % 8 == 0) {
            cr_assert_eq(kc_fence_check(&fence, NULL), KC_OK);
        }
    }
    while (count > 0) {
        cr_assert_eq(kc_fence_free(&fence, live[--count].p, 0), KC_OK);
    }
    cr_expect_eq(kc_misuse_total(&misuse), 0);
}

Test(fence, validator_names_the_invariant)
{
    struct kc_fence_fault f;
    void *p = take(64);
    uint32_t saved = slots[0].state;
    slots[0].state |= FENCE_LET;
    cr_expect_eq(kc_fence_check(&fence, &f), KC_ERR_CORRUPT);
    cr_expect_eq(f.invariant, 1);
    slots[0].state = FENCE_FREED;
    cr_expect_eq(kc_fence_check(&fence, &f), KC_ERR_CORRUPT);
    cr_expect_eq(f.invariant, 1);
    slots[0].state = saved | FENCE_LET_GUARD;
    cr_expect_eq(kc_fence_check(&fence, &f), KC_ERR_CORRUPT);
    cr_expect_eq(f.invariant, 2);
    slots[0].state = saved;
    fence.let_last = true;
    cr_expect_eq(kc_fence_check(&fence, &f), KC_ERR_CORRUPT);
    cr_expect_eq(f.invariant, 2);
    fence.let_last = false;
    fence.let++;
    cr_expect_eq(kc_fence_check(&fence, &f), KC_ERR_CORRUPT);
    cr_expect_eq(f.invariant, 2);
    fence.let--;
    fence.live++;
    cr_expect_eq(kc_fence_check(&fence, &f), KC_ERR_CORRUPT);
    cr_expect_eq(f.invariant, 3);
    fence.live--;
    slots[0].offset += KC_FRAME_BYTES;
    cr_expect_eq(kc_fence_check(&fence, &f), KC_ERR_CORRUPT);
    cr_expect_eq(f.invariant, 3);
    slots[0].offset -= KC_FRAME_BYTES;
    cr_expect_eq(kc_fence_free(&fence, p, 0), KC_OK);
}
