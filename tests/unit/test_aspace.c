/* SPDX-License-Identifier: BSD-2-Clause */
/* aspace: the contract of kc/aspace.h, and the invariants I1 to I5, A1 to A3 of src/space/aspace.c.
 */
#include "kc_test.h"

#include "aspace_model.h"
#include "kc_bytes.h"
#include "pt_model.h"
#include "space/aspace_priv.h"

#include <kc/early.h>
#include <kc/frame.h>

#define RAM   KC_MIB(4)
#define PAGE  UINT64_C(4096)
#define BASE  KC_MIB(2)
#define BYTES KC_MIB(64)
#define OUT   (UINT64_C(1) << 33)
#define AREAS 16u

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;
static struct kc_asids asids;
static struct kc_aspace as;
static struct kc_area areas[AREAS];
static kc_pa_t empty_root;

static const struct kc_a64_format low48 = {KC_A64_STAGE1, 12, 48, 40, 0, 0, 0};
static const struct kc_pt_attr urw = {KC_PT_R | KC_PT_W | KC_PT_USER, KC_A64_MEM_NORMAL, false};
static const struct kc_pt_attr uro = {KC_PT_R | KC_PT_USER, KC_A64_MEM_NORMAL, false};
static const struct kc_pt_attr urx = {KC_PT_R | KC_PT_X | KC_PT_USER, KC_A64_MEM_NORMAL, false};
static const struct kc_pt_attr krw = {KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL, true};

static struct kc_aspace_config user_config(struct kc_area *a)
{
    struct kc_aspace_config c = {.kind = KC_ASPACE_USER,
                                 .name = "user",
                                 .frames = &frames,
                                 .asids = &asids,
                                 .format = low48,
                                 .base = kc_ia(BASE),
                                 .bytes = BYTES,
                                 .areas = a,
                                 .area_max = AREAS};
    return c;
}

static void set_up(void)
{
    struct kc_aspace_config c = user_config(areas);
    cr_assert(kc_test_ram(RAM, &info));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    cr_assert_eq(kc_frame_alloc(&frames, 0, KC_FRAME_ZERO, KC_FRAME_OWNER_KERNEL, &empty_root),
                 KC_OK);
    cr_assert_eq(kc_asids_init(&asids, 4, empty_root), KC_OK);
    cr_assert_eq(kc_aspace_init(&as, &c), KC_OK);
}

static void check(void)
{
    struct kc_aspace_finding f = {0};
    cr_expect_eq(kc_aspace_check(&as, &f), KC_OK, "%s: %s", f.invariant, f.text);
}

static void tear_down(void)
{
    if (as.ready) {
        check();
        cr_expect_eq(kc_aspace_fini(&as), KC_OK);
    }
    cr_expect_eq(kc_frame_owner_frames(&frames, KC_FRAME_OWNER_TABLE), 0, "tables leaked");
    cr_expect_eq(kc_frame_owner_frames(&frames, KC_FRAME_OWNER_USER), 0, "frames leaked");
    cr_expect_eq(kc_misuse_total(&misuse), 0);
}

TestSuite(aspace, .init = set_up, .fini = tear_down);

static kc_status_t reserve_at(uint64_t at, uint64_t bytes, uint64_t guard, uint8_t flags)
{
    struct kc_aspace_request rq = {.fixed = true,
                                   .at = kc_ia(at),
                                   .bytes = bytes,
                                   .guard_bytes = guard,
                                   .flags = flags,
                                   .attr = urw};
    kc_ia_t ia;
    return kc_aspace_reserve(&as, &rq, &ia);
}

static kc_status_t reserve_any(uint64_t bytes, uint64_t guard, uint64_t align, uint64_t *at)
{
    struct kc_aspace_request rq = {.bytes = bytes, .guard_bytes = guard, .align = align};
    kc_ia_t ia = kc_ia(0);
    kc_status_t status = kc_aspace_reserve(&as, &rq, &ia);
    *at = kc_ia_raw(ia);
    return status;
}

/* ---- areas ---------------------------------------------------------------------------------- */

/*
 *     BASE      +0x1000          +0x4000
 *     | guard   | area           | guard  |
 */
Test(aspace, fixed_areas_and_their_guards)
{
    struct kc_area a;
    cr_assert_eq(reserve_at(BASE + 0x1000, 0x3000, 0x1000, 0), KC_OK);
    cr_expect_eq(reserve_at(BASE + 0x1000, 0x1000, 0, 0), KC_ERR_EXISTS, "inside");
    cr_expect_eq(reserve_at(BASE, 0x1000, 0, 0), KC_ERR_EXISTS, "in the lower guard");
    cr_expect_eq(reserve_at(BASE + 0x4000, 0x1000, 0, 0), KC_ERR_EXISTS, "in the upper guard");
    cr_expect_eq(reserve_at(BASE + 0x5000, 0x1000, 0x1000, 0), KC_ERR_EXISTS, "guards meet");
    cr_expect_eq(reserve_at(BASE + 0x5000, 0x1000, 0, 0), KC_OK, "just above the guard");
    cr_expect_eq(reserve_at(BASE + 0x10000, 0x1000, BASE + 0x11000, 0), KC_ERR_RANGE);
    cr_expect_eq(reserve_at(0, 0x1000, 0, 0), KC_ERR_RANGE);
    cr_expect_eq(reserve_at(BASE + BYTES, 0x1000, 0, 0), KC_ERR_RANGE);
    cr_expect_eq(reserve_at(BASE + BYTES - 0x1000, 0x1000, 0x1000, 0), KC_ERR_RANGE, "its guard");
    cr_expect_eq(reserve_at(BASE + 0x8000, UINT64_MAX & ~UINT64_C(4095), 0x1000, 0), KC_ERR_RANGE);
    cr_expect_eq(reserve_at(BASE + 0x8800, 0x1000, 0, 0), KC_ERR_ALIGN);
    cr_expect_eq(reserve_at(BASE + 0x8000, 0x800, 0, 0), KC_ERR_ALIGN);
    cr_expect_eq(reserve_at(BASE + 0x8000, 0x1000, 0x800, 0), KC_ERR_ALIGN);
    cr_expect_eq(reserve_at(BASE + 0x8000, 0, 0, 0), KC_ERR_ARG);
    cr_expect_eq(reserve_at(BASE + 0x8000, 0x1000, 0, 0x80), KC_ERR_ARG);
    cr_assert(kc_aspace_find(&as, kc_ia(BASE), &a), "the guard belongs to it");
    cr_expect_eq(a.base, BASE + 0x1000);
    cr_expect_not(kc_aspace_find(&as, kc_ia(BASE + 0x6000), &a));
    cr_expect_eq(kc_aspace_release(&as, kc_ia(BASE + 0x2000)), KC_ERR_ABSENT, "not its start");
    cr_expect_eq(kc_aspace_release(&as, kc_ia(BASE + 0x1000)), KC_OK);
    cr_expect_eq(kc_aspace_release(&as, kc_ia(BASE + 0x1000)), KC_ERR_ABSENT);
    check();
}

Test(aspace, free_choice_takes_the_first_gap)
{
    uint64_t a;
    uint64_t b;
    uint64_t c;
    cr_assert_eq(reserve_any(0x2000, 0x1000, 0, &a), KC_OK);
    cr_expect_eq(a, BASE + 0x1000);
    cr_assert_eq(reserve_any(0x1000, 0, 0, &b), KC_OK);
    cr_expect_eq(b, BASE + 0x4000);
    cr_assert_eq(reserve_any(0x1000, 0x1000, KC_MIB(2), &c), KC_OK);
    cr_expect_eq(c, BASE + KC_MIB(2), "aligned");
    cr_assert_eq(kc_aspace_release(&as, kc_ia(a)), KC_OK);
    cr_assert_eq(reserve_any(0x4000, 0, 0, &a), KC_OK);
    cr_expect_eq(a, BASE, "all of the gap");
    cr_expect_eq(reserve_any(BYTES, 0, 0, &a), KC_ERR_NOMEM);
    cr_expect_eq(reserve_any(0x1000, UINT64_MAX & ~UINT64_C(4095), 0, &a), KC_ERR_NOMEM);
    cr_expect_eq(reserve_any(0x1000, 0, 3, &a), KC_ERR_ARG);
    cr_expect_eq(reserve_any(0x1000, 0, KC_BIT(63), &a), KC_ERR_NOMEM);
    for (uint32_t i = as.area_count; i < AREAS; i++) {
        cr_assert_eq(reserve_any(0x1000, 0, 0, &a), KC_OK);
    }
    cr_expect_eq(reserve_any(0x1000, 0, 0, &a), KC_ERR_QUOTA);
}

/* ---- mapping -------------------------------------------------------------------------------- */

Test(aspace, map_stays_inside_its_area_and_its_kind)
{
    cr_assert_eq(reserve_at(BASE + 0x1000, 0x4000, 0x1000, 0), KC_OK);
    kc_ia_t ia = kc_ia(BASE + 0x1000);
    cr_expect_eq(kc_aspace_map(&as, kc_ia(BASE), kc_pa(OUT), PAGE, urw), KC_ERR_ABSENT, "guard");
    cr_expect_eq(kc_aspace_map(&as, kc_ia(BASE + 0x20000), kc_pa(OUT), PAGE, urw), KC_ERR_ABSENT);
    cr_expect_eq(kc_aspace_map(&as, ia, kc_pa(OUT), 5 * PAGE, urw), KC_ERR_SPAN, "into the guard");
    cr_expect_eq(kc_aspace_map(&as, ia, kc_pa(OUT), 0, urw), KC_ERR_ARG);
    cr_expect_eq(kc_aspace_map(&as, ia, kc_pa(OUT), PAGE, krw), KC_ERR_ARG, "global, one ASID");
    struct kc_pt_attr kernel = {KC_PT_R, KC_A64_MEM_NORMAL, false};
    cr_expect_eq(kc_aspace_map(&as, ia, kc_pa(OUT), PAGE, kernel), KC_ERR_PERM);
    cr_assert_eq(kc_aspace_map(&as, ia, kc_pa(OUT), PAGE, urw), KC_OK);
    cr_expect_eq(kc_aspace_map(&as, ia, kc_pa(OUT), PAGE, urw), KC_ERR_EXISTS);
    cr_expect_eq(kc_aspace_map_new(&as, kc_ia(BASE + 0x2000), PAGE, urw), KC_ERR_STATE,
                 "one backing for an area");
    cr_expect_eq(kc_aspace_protect(&as, ia, PAGE, urx), KC_OK);
    cr_expect_eq(kc_aspace_protect(&as, ia, 2 * PAGE, urx), KC_ERR_ABSENT);
    cr_expect_eq(kc_aspace_unmap(&as, ia, 2 * PAGE), KC_ERR_ABSENT);
    check();
    cr_expect_eq(kc_aspace_unmap(&as, ia, PAGE), KC_OK);
    check();
}

Test(aspace, own_frames_come_and_go)
{
    struct kc_pt_walk w;
    cr_assert_eq(reserve_at(BASE, 80 * PAGE, 0, 0), KC_OK);
    cr_assert_eq(kc_aspace_map_new(&as, kc_ia(BASE), 70 * PAGE, urw), KC_OK);
    cr_expect_eq(kc_frame_owner_frames(&frames, KC_FRAME_OWNER_USER), 70);
    cr_expect_eq(as.own_frames, 70);
    cr_assert_eq(kc_pt_translate(as.pt, kc_ia(BASE + 69 * PAGE), &w), KC_OK);
    const uint8_t *bytes = kc_plat_ram(w.pa);
    for (uint32_t i = 0; i < PAGE; i++) {
        cr_assert_eq(bytes[i], 0);
    }
    check();
    cr_assert_eq(kc_aspace_unmap(&as, kc_ia(BASE + PAGE), 40 * PAGE), KC_OK);
    cr_expect_eq(kc_frame_owner_frames(&frames, KC_FRAME_OWNER_USER), 30);
    cr_assert_eq(kc_aspace_unmap(&as, kc_ia(BASE), 80 * PAGE), KC_OK, "holes are passed over");
    cr_expect_eq(kc_frame_owner_frames(&frames, KC_FRAME_OWNER_USER), 0);
    cr_expect_eq(kc_aspace_map(&as, kc_ia(BASE), kc_pa(OUT), PAGE, urw), KC_OK,
                 "empty again: any backing");
}

Test(aspace, map_new_fault_sweep)
{
    uint32_t failed = 0;
    cr_assert_eq(reserve_at(BASE, 8 * PAGE, 0, 0), KC_OK);
    for (;; failed++) {
        uint64_t held = kc_frame_owner_frames(&frames, KC_FRAME_OWNER_TABLE);
        kc_frames_fail_after(&frames, failed);
        kc_status_t status = kc_aspace_map_new(&as, kc_ia(BASE), 4 * PAGE, urw);
        kc_frames_fail_after(&frames, UINT64_MAX);
        check();
        if (status == KC_OK) {
            break;
        }
        cr_assert_eq(status, KC_ERR_NOMEM);
        cr_assert_eq(kc_frame_owner_frames(&frames, KC_FRAME_OWNER_USER), 0);
        cr_assert_eq(kc_frame_owner_frames(&frames, KC_FRAME_OWNER_TABLE), held);
    }
    cr_expect_eq(failed, 7, "four frames and three tables");
}

/* Want of each table that taking a block apart needs: nothing is changed, bit for bit. */
Test(aspace, changes_that_cut_a_block_fault_sweep)
{
    uint64_t base = KC_MIB(8);
    uint32_t failed = 0;
    kc_status_t status = KC_ERR_NOMEM;
    cr_assert_eq(reserve_at(base, KC_MIB(4), 0, 0), KC_OK);
    cr_assert_eq(kc_aspace_map(&as, kc_ia(base), kc_pa(KC_GIB(2)), KC_MIB(4), urw), KC_OK);
    for (uint32_t op = 0; op < 2; op++, status = KC_ERR_NOMEM) {
        uint64_t at = base + op * KC_MIB(2) + 5 * PAGE;
        uint64_t hash = ptm_hash(as.pt);
        uint64_t held = kc_frame_owner_frames(&frames, KC_FRAME_OWNER_TABLE);
        for (uint32_t n = 0; status == KC_ERR_NOMEM; n++) {
            kc_frames_fail_after(&frames, n);
            status = op == 0 ? kc_aspace_protect(&as, kc_ia(at), PAGE, uro)
                             : kc_aspace_unmap(&as, kc_ia(at), PAGE);
            kc_frames_fail_after(&frames, UINT64_MAX);
            check();
            if (status == KC_ERR_NOMEM) {
                failed++;
                cr_assert_eq(ptm_hash(as.pt), hash);
                cr_assert_eq(kc_frame_owner_frames(&frames, KC_FRAME_OWNER_TABLE), held);
            }
        }
        cr_assert_eq(status, KC_OK);
    }
    cr_expect_eq(failed, 2, "one table each");
}

/* An area of its own that is W and X, or becomes so, is refused whatever way it is asked for. */
Test(aspace, write_xor_execute)
{
    struct kc_pt_attr wx = urw;
    struct kc_aspace_request rq = {.bytes = PAGE, .flags = KC_AREA_LAZY};
    kc_ia_t ia;
    wx.perm |= KC_PT_X;
    rq.attr = wx;
    cr_expect_eq(kc_aspace_reserve(&as, &rq, &ia), KC_ERR_PERM);
    cr_assert_eq(reserve_at(BASE, 2 * PAGE, 0, 0), KC_OK);
    cr_expect_eq(kc_aspace_map(&as, kc_ia(BASE), kc_pa(OUT), PAGE, wx), KC_ERR_PERM);
    cr_expect_eq(kc_aspace_map_new(&as, kc_ia(BASE), PAGE, wx), KC_ERR_PERM);
    cr_assert_eq(kc_aspace_map_new(&as, kc_ia(BASE), PAGE, urw), KC_OK);
    cr_expect_eq(kc_aspace_protect(&as, kc_ia(BASE), PAGE, wx), KC_ERR_PERM);
    cr_expect_eq(kc_aspace_protect(&as, kc_ia(BASE), PAGE, urx), KC_OK, "one after the other");
    check();
}

/* What a space says of an address on the way down, and without its lock. */
Test(aspace, ask_needs_no_lock)
{
    struct kc_aspace_belief b;
    cr_assert_eq(reserve_at(BASE + 0x4000, 2 * PAGE, PAGE, KC_AREA_LAZY), KC_OK);
    kc_lock_acquire(&as.lock);
    static const struct {
        uint64_t ia;
        uint8_t place;
    } want[] = {{BASE - 1, KC_PLACE_OUTSIDE},
                {BASE + BYTES, KC_PLACE_OUTSIDE},
                {BASE, KC_PLACE_FREE},
                {BASE + 0x2fff, KC_PLACE_FREE},
                {BASE + 0x3000, KC_PLACE_GUARD_BELOW},
                {BASE + 0x3fff, KC_PLACE_GUARD_BELOW},
                {BASE + 0x4000, KC_PLACE_AREA},
                {BASE + 0x5fff, KC_PLACE_AREA},
                {BASE + 0x6000, KC_PLACE_GUARD_ABOVE},
                {BASE + 0x7000, KC_PLACE_FREE}};
    for (size_t i = 0; i < KC_ARRAY_COUNT(want); i++) {
        cr_assert(kc_aspace_ask(&as, kc_ia(want[i].ia), &b));
        cr_expect_eq(b.place, want[i].place, "0x%llx", (unsigned long long)want[i].ia);
    }
    cr_assert(kc_aspace_ask(&as, kc_ia(BASE + 0x4000), &b));
    cr_expect_eq(b.area.bytes, 2 * PAGE);
    cr_expect_eq(b.area.flags, KC_AREA_LAZY);
    kc_lock_release(&as.lock);
    struct kc_aspace none = {.ready = false};
    cr_expect_not(kc_aspace_ask(&none, kc_ia(0), &b));
}

Test(aspace, a_space_that_ended_does_nothing)
{
    struct kc_area a;
    uint64_t at;
    kc_ia_t ia = kc_ia(BASE);
    cr_assert_eq(reserve_at(BASE, PAGE, 0, 0), KC_OK);
    cr_assert_eq(kc_aspace_fini(&as), KC_OK);
    cr_expect_eq(reserve_any(PAGE, 0, 0, &at), KC_ERR_STATE);
    cr_expect_eq(kc_aspace_release(&as, ia), KC_ERR_STATE);
    cr_expect_eq(kc_aspace_map(&as, ia, kc_pa(OUT), PAGE, urw), KC_ERR_STATE);
    cr_expect_eq(kc_aspace_map_new(&as, ia, PAGE, urw), KC_ERR_STATE);
    cr_expect_eq(kc_aspace_unmap(&as, ia, PAGE), KC_ERR_STATE);
    cr_expect_eq(kc_aspace_protect(&as, ia, PAGE, uro), KC_ERR_STATE);
    cr_expect_not(kc_aspace_find(&as, ia, &a));
    cr_expect_eq(kc_aspace_activate(&as), KC_ERR_STATE);
    cr_expect_eq(kc_aspace_deactivate(&as), KC_ERR_STATE);
    cr_expect_eq(kc_aspace_map_device(&as, kc_pa(OUT), PAGE, &ia), KC_ERR_STATE);
    cr_expect_eq(kc_aspace_fini(&as), KC_ERR_STATE);
    cr_expect_eq(kc_aspace_check(&as, NULL), KC_ERR_CORRUPT);
}

Test(aspace, device_registers)
{
    kc_ia_t ia = kc_ia(0);
    struct kc_pt_walk w;
    struct kc_area a;
    cr_assert_eq(kc_aspace_map_device(&as, kc_pa(0x09000ff8), 16, &ia), KC_OK);
    cr_expect_eq(kc_ia_raw(ia) & 0xfff, 0xff8);
    cr_assert(kc_aspace_find(&as, ia, &a));
    cr_expect_eq(a.bytes, 2 * PAGE, "the bytes touch two pages");
    cr_expect_eq(a.guard_bytes, PAGE);
    cr_assert_eq(kc_pt_translate(as.pt, ia, &w), KC_OK);
    cr_expect_eq(kc_pa_raw(w.pa), 0x09000ff8);
    cr_expect_eq((int)w.attr.type, KC_A64_MEM_DEVICE_nGnRE);
    cr_expect(w.leaf.pxn && w.leaf.uxn);
    cr_expect_eq(kc_aspace_map_device(&as, kc_pa(0x09000000), 0, &ia), KC_ERR_ARG);
    cr_expect_eq(kc_aspace_map_device(&as, kc_pa(UINT64_MAX), 2, &ia), KC_ERR_RANGE);
    cr_expect_eq(kc_aspace_map_device(&as, kc_pa(KC_BIT(40)), 4, &ia), KC_ERR_RANGE);
    cr_expect_eq(as.area_count, 1, "no area is left of what failed");
    cr_expect_eq(kc_aspace_release(&as, kc_ia(a.base)), KC_OK);
    check();
}

#define KERNEL_BASE UINT64_C(0xffffff8000000000)
static struct kc_pt kpt;

/* In place of the user's: the kernel's, in a tree that is not its own. */
static void start_kernel(uint64_t bytes)
{
    static struct kc_area kareas[4];
    struct kc_a64_format high = low48;
    high.upper = 1;
    struct kc_pt_config pc = {.format = high, .source = {.frames = &frames}, .any_asid = true};
    struct kc_aspace_config c = {.kind = KC_ASPACE_KERNEL,
                                 .name = "kernel",
                                 .frames = &frames,
                                 .kernel_pt = &kpt,
                                 .base = kc_ia(KERNEL_BASE),
                                 .bytes = bytes,
                                 .areas = kareas,
                                 .area_max = 4};
    cr_assert_eq(kc_aspace_fini(&as), KC_OK);
    cr_assert_eq(kc_pt_init(&kpt, &pc), KC_OK);
    cr_assert_eq(kc_aspace_init(&as, &c), KC_OK);
}

Test(aspace, the_kernels_space_borrows_its_tree)
{
    struct kc_aspace_request rq = {.bytes = 2 * PAGE, .guard_bytes = PAGE};
    struct kc_pt_stats s;
    kc_ia_t ia;
    start_kernel(KC_GIB(1));
    cr_expect_eq(kc_aspace_activate(&as), KC_ERR_ARG);
    cr_expect_eq(kc_aspace_deactivate(&as), KC_ERR_STATE);
    cr_assert_eq(kc_aspace_reserve(&as, &rq, &ia), KC_OK);
    cr_expect_eq(kc_aspace_map_new(&as, ia, PAGE, urw), KC_ERR_PERM);
    cr_assert_eq(kc_aspace_map_new(&as, ia, 2 * PAGE, krw), KC_OK);
    check();
    cr_assert_eq(kc_aspace_fini(&as), KC_OK);
    kc_pt_stats(&kpt, &s);
    cr_expect_eq(s.tables, 1, "unmapped, but the tree is the kernel's");
    cr_assert_eq(kc_pt_fini(&kpt), KC_OK);
}

/* Of others' pages behind the space, which go on where its last one ends. */
Test(aspace, what_lies_behind_the_space_is_not_its_own)
{
    struct kc_aspace_request rq = {.bytes = 4 * PAGE};
    kc_ia_t ia, behind = kc_ia(KERNEL_BASE + 4 * PAGE);
    start_kernel(4 * PAGE);
    cr_assert_eq(kc_aspace_reserve(&as, &rq, &ia), KC_OK);
    cr_assert_eq(kc_aspace_map(&as, ia, kc_pa(OUT), 4 * PAGE, krw), KC_OK);
    cr_assert_eq(kc_pt_map(&kpt, behind, kc_pa(OUT + 4 * PAGE), PAGE, krw), KC_OK);
    check();
    cr_assert_eq(kc_pt_unmap(&kpt, behind, PAGE), KC_OK);
    cr_assert_eq(kc_aspace_fini(&as), KC_OK);
    cr_assert_eq(kc_pt_fini(&kpt), KC_OK);
}

/* ---- faults --------------------------------------------------------------------------------- */

#define ESR_READ_EL0   UINT64_C(0x92000007) /* translation, level 3 */
#define ESR_WRITE_EL0  UINT64_C(0x92000047)
#define ESR_WRITE_PERM UINT64_C(0x9200004f)
#define ESR_FETCH_EL0  UINT64_C(0x82000007)
#define ESR_READ_PERM1 UINT64_C(0x9600000f) /* EL1, permission */
#define ESR_ALIGNMENT  UINT64_C(0x92000021)

static enum kc_aspace_verdict fault(uint64_t esr, uint64_t far)
{
    struct kc_a64_syndrome s;
    kc_a64_esr_decode(esr, &s);
    return kc_aspace_fault(&as, &s, far);
}

Test(aspace, faults_are_judged)
{
    cr_assert_eq(reserve_at(BASE + 0x1000, 4 * PAGE, PAGE, 0), KC_OK);
    cr_assert_eq(kc_aspace_map(&as, kc_ia(BASE + 0x1000), kc_pa(OUT), PAGE, uro), KC_OK);
    cr_expect_eq((int)fault(ESR_READ_EL0, BASE + 0x1004), KC_FAULT_RETRY, "mapped meanwhile");
    cr_expect_eq((int)fault(ESR_WRITE_PERM, BASE + 0x1004), KC_FAULT_DENIED);
    cr_expect_eq((int)fault(ESR_FETCH_EL0, BASE + 0x1004), KC_FAULT_DENIED);
    cr_expect_eq((int)fault(ESR_READ_EL0, BASE + 0x2000), KC_FAULT_UNMAPPED);
    cr_expect_eq((int)fault(ESR_READ_EL0, BASE + 0xfff), KC_FAULT_GUARD);
    cr_expect_eq((int)fault(ESR_READ_EL0, BASE + 0x5000), KC_FAULT_GUARD);
    cr_expect_eq((int)fault(ESR_READ_EL0, BASE + 0x6000), KC_FAULT_NO_AREA);
    cr_expect_eq((int)fault(ESR_READ_EL0, UINT64_MAX), KC_FAULT_NO_AREA);
    cr_expect_eq((int)fault(ESR_ALIGNMENT, BASE + 0x1004), KC_FAULT_NOT_ABORT);
    cr_expect_eq((int)fault(UINT64_C(0x56000000), BASE + 0x1004), KC_FAULT_NOT_ABORT, "SVC");
    cr_expect_eq((int)fault(ESR_READ_PERM1, BASE + 0x1004), KC_FAULT_DENIED,
                 "PAN: a retry would fault for ever");
    cr_expect_str_eq(kc_aspace_verdict_name(KC_FAULT_GUARD), "guard page");
}

Test(aspace, lazy_pages_appear_at_the_first_access)
{
    cr_assert_eq(reserve_at(BASE, 4 * PAGE, 0, KC_AREA_LAZY), KC_OK);
    cr_expect_eq((int)fault(ESR_FETCH_EL0, BASE), KC_FAULT_DENIED, "its pages do not execute");
    cr_expect_eq(as.own_frames, 0);
    cr_expect_eq((int)fault(ESR_WRITE_EL0, BASE + PAGE + 5), KC_FAULT_RETRY);
    cr_expect_eq(as.own_frames, 1);
    cr_expect_eq((int)fault(ESR_WRITE_EL0, BASE + PAGE + 5), KC_FAULT_RETRY, "there already");
    cr_expect_eq(as.own_frames, 1);
    kc_frames_fail_after(&frames, 0);
    cr_expect_eq((int)fault(ESR_WRITE_EL0, BASE), KC_FAULT_NOMEM);
    kc_frames_fail_after(&frames, UINT64_MAX);
    check();
    cr_expect_eq(kc_aspace_map(&as, kc_ia(BASE), kc_pa(OUT), PAGE, urw), KC_ERR_STATE);
    cr_expect_eq(kc_aspace_protect(&as, kc_ia(BASE), PAGE, uro), KC_ERR_STATE, "as a whole only");
    cr_expect_eq(kc_aspace_protect(&as, kc_ia(BASE), 4 * PAGE, uro), KC_OK);
    cr_expect_eq((int)fault(ESR_WRITE_PERM, BASE + PAGE), KC_FAULT_DENIED);
    cr_expect_eq((int)fault(ESR_WRITE_EL0, BASE + 2 * PAGE), KC_FAULT_DENIED);
    cr_expect_eq((int)fault(ESR_READ_EL0, BASE + 2 * PAGE), KC_FAULT_RETRY);
    check();
}

/* ---- ASIDs ---------------------------------------------------------------------------------- */

Test(aspace, activation_is_refused_where_it_makes_no_sense)
{
    cr_expect_eq(kc_aspace_deactivate(&as), KC_ERR_STATE);
    cr_assert_eq(kc_aspace_activate(&as), KC_OK);
    cr_expect_eq(kc_aspace_activate(&as), KC_ERR_STATE);
    cr_expect_eq(kc_aspace_fini(&as), KC_ERR_STATE, "still running");
    cr_assert_eq(kc_aspace_deactivate(&as), KC_OK);
    cr_expect_eq(kc_aspace_deactivate(&as), KC_ERR_STATE);
}

/* 16 ASIDs, 24 spaces in turn, each twice: the second generation gives numbers out again, and two
   spaces of one generation never share one. */
Test(aspace, rollover_gives_each_space_its_own_asid)
{
    enum {
        SPACES = 24
    };
    static struct kc_aspace space[SPACES];
    static struct kc_area room[SPACES][1];
    for (uint32_t i = 0; i < SPACES; i++) {
        struct kc_aspace_config c = user_config(room[i]);
        c.area_max = 1;
        cr_assert_eq(kc_aspace_init(&space[i], &c), KC_OK);
    }
    for (uint32_t turn = 0; turn < 2 * SPACES; turn++) {
        struct kc_aspace *s = &space[turn % SPACES];
        cr_assert_eq(kc_aspace_activate(s), KC_OK);
        cr_assert_neq(s->asid, 0, "0 is the empty root's");
        cr_assert_lt(s->asid, 16);
        cr_assert_eq(s->generation, asids.generation);
        for (uint32_t i = 0; i < SPACES; i++) {
            cr_assert(&space[i] == s || space[i].generation != s->generation ||
                      space[i].asid != s->asid);
        }
        cr_assert_eq(kc_aspace_deactivate(s), KC_OK);
    }
    cr_expect_eq(asids.rollovers, 3, "48 turns, 15 ASIDs a generation");
    for (uint32_t i = 0; i < SPACES; i++) {
        cr_assert_eq(kc_aspace_fini(&space[i]), KC_OK);
    }
}

/* A space that runs on another CPU keeps its ASID over a rollover (A2). */
Test(aspace, rollover_spares_what_is_running)
{
    static struct kc_aspace other;
    static struct kc_area room[1];
    struct kc_aspace_config c = user_config(room);
    cr_assert_eq(kc_aspace_activate(&as), KC_OK);
    uint32_t cpu = kc_plat_cpu();
    uint32_t elsewhere = (cpu + 1) % KC_CPUS_MAX;
    uint32_t mine = as.asid;
    asids.running[elsewhere] = &as; /* as if it ran there: this test has one CPU */
    asids.running[cpu] = NULL;
    for (uint32_t i = 0; i < 40; i++) {
        cr_assert_eq(kc_aspace_init(&other, &c), KC_OK);
        cr_assert_eq(kc_aspace_activate(&other), KC_OK);
        cr_assert_neq(other.asid, mine);
        other.generation += i % 2; /* every second number is not given back, so that they run out */
        cr_assert_eq(kc_aspace_deactivate(&other), KC_OK);
        cr_assert_eq(kc_aspace_fini(&other), KC_OK);
    }
    cr_expect_gt(asids.rollovers, 0);
    asids.running[elsewhere] = NULL;
    asids.running[cpu] = &as;
    cr_assert_eq(kc_aspace_deactivate(&as), KC_OK);
    /* What that CPU filled behind the rollover is held under this number: it must stay (A4). */
    cr_assert_eq(kc_aspace_activate(&as), KC_OK);
    cr_expect_eq(as.asid, mine);
    cr_assert_eq(kc_aspace_deactivate(&as), KC_OK);
}

Test(aspace, bad_configurations)
{
    static struct kc_aspace other;
    struct kc_aspace_config good = user_config(areas);
    struct kc_aspace_config c;
    cr_expect_eq(kc_asids_init(&asids, 3, empty_root), KC_ERR_ARG);
    cr_expect_eq(kc_asids_init(&asids, 17, empty_root), KC_ERR_ARG);
    cr_expect_eq(kc_asids_init(&asids, 8, kc_pa(8)), KC_ERR_ALIGN);
#define BAD(status, change)                                        \
    do {                                                           \
        c = good;                                                  \
        change;                                                    \
        cr_expect_eq(kc_aspace_init(&other, &c), status, #change); \
    } while (0)
    BAD(KC_ERR_ARG, c.name = NULL);
    BAD(KC_ERR_ARG, c.frames = NULL);
    BAD(KC_ERR_ARG, c.asids = NULL);
    BAD(KC_ERR_ARG, c.areas = NULL);
    BAD(KC_ERR_ARG, c.area_max = 0);
    BAD(KC_ERR_ARG, c.bytes = 0);
    BAD(KC_ERR_ARG, c.kernel_pt = as.pt);
    BAD(KC_ERR_ARG, c.kind = KC_ASPACE_KERNEL);
    BAD(KC_ERR_ARG, c.format.upper = 1);
    BAD(KC_ERR_ARG, c.format.va_bits = 24); /* whatever its addresses */
    BAD(KC_ERR_UNSUPPORTED, c.format.granule_log2 = 14);
    BAD(KC_ERR_ALIGN, c.base = kc_ia(0x800));
    BAD(KC_ERR_RANGE, c.bytes = KC_BIT(48));
    BAD(KC_ERR_RANGE, c.bytes = UINT64_MAX & ~UINT64_C(4095));
    kc_frames_fail_after(&frames, 0);
    BAD(KC_ERR_NOMEM, (void)0);
}

/* ---- the validator -------------------------------------------------------------------------- */

static void expect_broken(const char *invariant)
{
    struct kc_aspace_finding f = {0};
    cr_assert_eq(kc_aspace_check(&as, &f), KC_ERR_CORRUPT, "%s not seen", invariant);
    cr_expect_str_eq(f.invariant, invariant);
}

Test(aspace, check_finds_each_broken_invariant)
{
    struct kc_pt_attr kernel = {KC_PT_R, KC_A64_MEM_NORMAL, false};
    cr_assert_eq(reserve_at(BASE, 2 * PAGE, 0, 0), KC_OK);
    cr_assert_eq(reserve_at(BASE + 0x4000, 2 * PAGE, PAGE, 0), KC_OK);
    areas[1].guard_bytes = 3 * PAGE;
    expect_broken("I1");
    areas[1].guard_bytes = PAGE;
    areas[1].bytes = BYTES;
    expect_broken("I1");
    areas[1].bytes = 2 * PAGE;
    check();
    cr_assert_eq(kc_pt_map(as.pt, kc_ia(BASE + 0x3000), kc_pa(OUT), PAGE, urw), KC_OK);
    expect_broken("I2");
    cr_assert_eq(kc_pt_unmap(as.pt, kc_ia(BASE + 0x3000), PAGE), KC_OK);
    struct kc_area first = areas[0];
    areas[0] = areas[1]; /* nothing lies before what is the first area now */
    as.area_count = 1;
    cr_assert_eq(kc_pt_map(as.pt, kc_ia(BASE), kc_pa(OUT), PAGE, urw), KC_OK);
    expect_broken("I2");
    areas[0] = first;
    as.area_count = 2;
    expect_broken("I3");
    areas[0].backing = KC_AREA_OWN;
    expect_broken("I4");
    areas[0].backing = KC_AREA_FOREIGN;
    check();
    cr_assert_eq(kc_pt_protect(as.pt, kc_ia(BASE), PAGE, kernel), KC_OK);
    expect_broken("I5");
    cr_assert_eq(kc_pt_protect(as.pt, kc_ia(BASE), PAGE, uro), KC_OK);
    check();
}

/* ---- model ---------------------------------------------------------------------------------- */

#if defined(KC_TEST_SIMULATED) || !__STDC_HOSTED__
#define STORIES 10u
#else
#define STORIES 60u
#endif

Test(aspace, agrees_with_the_model)
{
    static uint8_t bytes[600];
    static struct aspace_model model;
    uint64_t seed = kc_test_seed();
    cr_assert_eq(kc_aspace_fini(&as), KC_OK);
    cr_assert_eq(kc_frame_free(&frames, empty_root, 0), KC_OK);
    for (uint32_t story = 0; story < STORIES; story++) {
        uint64_t state = seed + story;
        kc_random_fill(&state, bytes, sizeof(bytes));
        bytes[0] = (uint8_t)story;
        struct kc_bytes b = {bytes, sizeof(bytes), 0};
        const char *wrong = aspace_model_run(&model, &frames, &b);
        cr_assert_null(wrong, "story %u at byte %u: %s", story, (uint32_t)b.at, wrong);
    }
}
