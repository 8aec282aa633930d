/* SPDX-License-Identifier: BSD-2-Clause */
/* ptview: walks, runs and dumps of tables that kc/pt.h made, and of tables that nobody made. */
#include <kc/early.h>
#include <kc/frame.h>
#include <kc/ptview.h>

#include "kc_test.h"
#include "pt_model.h"

#define RAM      KC_MIB(4)
#define PAGE     UINT64_C(4096)
#define GIB1     (UINT64_C(1) << 30)
#define OUT      (UINT64_C(1) << 33)
#define TEXT_MAX 8192u

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;
static struct pt_model model;
static struct kc_pt *const pt = &model.pt;
static struct kc_ptview view;
static char text[TEXT_MAX];
static size_t text_size;

static const struct kc_a64_format high48 = {KC_A64_STAGE1, 12, 48, 40, 1, 0, 0};
#define HIGH UINT64_C(0xffff000000000000)

static void set_up(void)
{
    struct kc_pt_config c = {.format = high48, .source = {.frames = &frames}, .any_asid = true};
    cr_assert(kc_test_ram(RAM, &info));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    cr_assert_null(ptm_start(&model, &c, HIGH));
    kc_ptview_of(pt, &info, &view);
    text_size = 0;
    text[0] = 0;
}

static void tear_down(void)
{
    cr_expect_null(ptm_end(&model));
}

TestSuite(ptview, .init = set_up, .fini = tear_down);

static void map(uint64_t ia, uint64_t pa, uint64_t bytes, uint32_t perm, enum kc_a64_mem type)
{
    cr_assert_eq(kc_pt_map(pt, kc_ia(ia), kc_pa(pa), bytes, kc_pt_attr(perm, type, true)), KC_OK);
}

static void take_text(void *ctx, const char *piece, size_t n)
{
    (void)ctx;
    cr_assert_lt(text_size + n, TEXT_MAX);
    __builtin_memcpy(text + text_size, piece, n);
    text_size += n;
    text[text_size] = 0;
}

static uint64_t dump(uint64_t lines, uint64_t reads)
{
    text_size = 0;
    return kc_ptview_dump(&view, (struct kc_ptview_bounds){lines, reads}, take_text, NULL);
}

/* The lines behind the head line, which holds the root's address. */
static const char *runs(void)
{
    const char *p = text;
    while (*p != '\n' && *p != 0) {
        p++;
    }
    return *p == 0 ? p : p + 1;
}

/* One line for pages, a block of 2 MiB and pages again, since memory and attributes go on. */
Test(ptview, a_dump_merges_what_goes_on)
{
    map(HIGH + KC_MIB(2) - PAGE, OUT + KC_MIB(2) - PAGE, KC_MIB(2) + 2 * PAGE, KC_PT_R | KC_PT_W,
        KC_A64_MEM_NORMAL);
    map(HIGH + GIB1, OUT, PAGE, KC_PT_R | KC_PT_X, KC_A64_MEM_NORMAL);
    map(HIGH + GIB1 + PAGE, OUT + PAGE, PAGE, KC_PT_R, KC_A64_MEM_NORMAL);
    map(HIGH + GIB1 + 2 * PAGE, OUT + 4 * PAGE, PAGE, KC_PT_R, KC_A64_MEM_NORMAL);
    map(HIGH + 4 * GIB1, 4 * GIB1, GIB1, KC_PT_R | KC_PT_W, KC_A64_MEM_DEVICE_nGnRE);
    cr_expect_eq(dump(100, 100000), 5);
    cr_expect_str_eq(
        runs(),
        "0xffff0000001ff000-0xffff000000400fff   2056 KiB  0x0002001ff000  EL1 rw-  EL0 ---  "
        "Normal WB  inner  global  L2 x 1  L3 x 2\n"
        "0xffff000040000000-0xffff000040000fff      4 KiB  0x000200000000  EL1 r-x  EL0 ---  "
        "Normal WB  inner  global  L3 x 1\n"
        "0xffff000040001000-0xffff000040001fff      4 KiB  0x000200001000  EL1 r--  EL0 ---  "
        "Normal WB  inner  global  L3 x 1\n"
        "0xffff000040002000-0xffff000040002fff      4 KiB  0x000200004000  EL1 r--  EL0 ---  "
        "Normal WB  inner  global  L3 x 1\n"
        "0xffff000100000000-0xffff00013fffffff      1 GiB  0x000100000000  EL1 rw-  EL0 ---  "
        "Device-nGnRE  outer  global  L1 x 1\n");
}

Test(ptview, a_dump_ends_where_it_may_read_no_more)
{
    for (uint64_t i = 0; i < 8; i++) {
        map(HIGH + 2 * i * PAGE, OUT, PAGE, KC_PT_R, KC_A64_MEM_NORMAL);
    }
    cr_expect_eq(dump(3, 100000), 3);
    cr_assert_gt(text_size, 40);
    cr_expect_str_eq(text + text_size - 37, "and more: the dump ends after 3 runs\n");
    uint64_t lines = dump(100, 12);
    cr_expect_lt(lines, 8);
    cr_expect_eq(dump(100, 0), 0);
    cr_expect_str_eq(runs(), "and more: the dump ends after 0 runs\n");
}

Test(ptview, the_last_page_of_the_address_space)
{
    map(UINT64_C(0xfffffffffffff000), OUT, PAGE, KC_PT_R, KC_A64_MEM_NORMAL);
    struct kc_ptview_run run;
    struct kc_ptview_cursor c = kc_ptview_from(&view, 0, 10000);
    cr_assert(kc_ptview_each(&view, &c, &run));
    cr_expect_eq(run.ia, UINT64_C(0xfffffffffffff000));
    cr_expect_eq(run.bytes, PAGE);
    cr_expect_not(run.cut);
    cr_expect_not(kc_ptview_each(&view, &c, &run));
}

/* ---- against kc/pt.h ------------------------------------------------------------------------ */

static bool same_run(const struct kc_ptview_run *a, const struct kc_pt_run *b)
{
    struct kc_pt_walk w;
    return kc_pt_translate(pt, b->ia, &w) == KC_OK && a->end == KC_PTVIEW_LEAF &&
           a->ia == kc_ia_raw(b->ia) && kc_pa_raw(a->pa) == kc_pa_raw(b->pa) &&
           a->bytes == b->bytes && a->leaf.ap == w.leaf.ap && a->leaf.pxn == w.leaf.pxn &&
           a->leaf.uxn == w.leaf.uxn && a->leaf.attr_index == w.leaf.attr_index &&
           a->leaf.sh == w.leaf.sh && a->leaf.not_global == w.leaf.not_global;
}

static void compare_runs(void)
{
    struct kc_pt_cursor pc = kc_pt_each_from(pt, kc_ia(HIGH));
    struct kc_ptview_cursor vc = kc_ptview_from(&view, 0, UINT64_MAX);
    struct kc_pt_run pr;
    struct kc_ptview_run vr;
    bool more = true;
    while (more) {
        more = kc_pt_each(pt, &pc, &pr);
        cr_assert_eq(kc_ptview_each(&view, &vc, &vr), more);
        cr_assert(!more || same_run(&vr, &pr));
    }
}

static void compare_walks(uint64_t *state)
{
    for (uint32_t i = 0; i < 300; i++) {
        uint64_t ia = HIGH + kc_random(state) % (2 * PTM_PAGES * PAGE);
        struct kc_pt_walk pw;
        struct kc_ptview_walk vw;
        kc_status_t status = kc_pt_translate(pt, kc_ia(ia), &pw);
        cr_assert_eq(status, pw.fault == KC_A64_FAULT_NONE ? KC_OK : KC_ERR_ABSENT);
        kc_ptview_walk(&view, ia, &vw);
        cr_assert_eq((int)kc_ptview_fault(&vw), pw.fault);
        cr_assert_eq(vw.level, pw.level);
        cr_assert_eq(vw.step[vw.step_count - 1].desc, pw.desc);
        cr_assert(pw.fault != KC_A64_FAULT_NONE || kc_pa_raw(vw.pa) == kc_pa_raw(pw.pa));
    }
}

Test(ptview, says_what_the_tree_says_after_random_stories)
{
    uint64_t state = kc_test_seed();
    uint8_t bytes[160];
    for (uint32_t story = 0; story < 25; story++) {
        kc_random_fill(&state, bytes, sizeof(bytes));
        struct kc_bytes b = {bytes, sizeof(bytes), 0};
        cr_assert_null(ptm_steps(&model, &b));
        compare_runs();
        compare_walks(&state);
    }
}

/* ---- tables that nobody made ---------------------------------------------------------------- */

/* A root that is its own table at every level: 2^36 pages, of which the reads see few. */
Test(ptview, a_loop_is_cut)
{
    kc_pa_t page;
    cr_assert_eq(kc_frame_alloc(&frames, 0, KC_FRAME_ZERO, KC_FRAME_OWNER_KERNEL, &page), KC_OK);
    for (uint64_t i = 0; i < 512; i++) {
        kc_plat_desc_store(kc_pa(kc_pa_raw(page) + i * 8), kc_pa_raw(page) | 3);
    }
    view.root = page;
    cr_expect_eq(dump(20, 4000), 20, "each page is mapped to the same memory: no two go together");
    cr_expect_gt(text_size, 200);
    struct kc_ptview_walk w;
    kc_ptview_walk(&view, HIGH + 0x123456789, &w);
    cr_expect_eq(w.end, KC_PTVIEW_LEAF, "at level 3 it is a page, without an access flag");
    cr_expect_eq((int)kc_ptview_fault(&w), KC_A64_FAULT_ACCESS_FLAG);
    cr_expect_eq(w.level, 3);
    cr_expect_eq(kc_frame_free(&frames, page, 0), KC_OK);
}

Test(ptview, what_is_not_ram_is_not_read)
{
    kc_pa_t page;
    struct kc_ptview_run run;
    cr_assert_eq(kc_frame_alloc(&frames, 0, KC_FRAME_ZERO, KC_FRAME_OWNER_KERNEL, &page), KC_OK);
    uint64_t end = kc_pa_raw(info.range[0].base) + RAM;
    kc_plat_desc_store(page, end | 3);
    kc_plat_desc_store(kc_pa(kc_pa_raw(page) + 8), UINT64_C(1) << 41 | 3);
    kc_plat_desc_store(kc_pa(kc_pa_raw(page) + 16), 1);
    view.root = page;
    struct kc_ptview_cursor c = kc_ptview_from(&view, 0, 1000000);
    uint8_t ends[] = {KC_PTVIEW_NO_RAM, KC_PTVIEW_TOO_LARGE, KC_PTVIEW_RESERVED};
    for (size_t i = 0; i < KC_ARRAY_COUNT(ends); i++) {
        cr_assert(kc_ptview_each(&view, &c, &run));
        cr_expect_eq(run.end, ends[i]);
        cr_expect_eq(run.bytes, UINT64_C(1) << 39);
    }
    cr_expect_not(kc_ptview_each(&view, &c, &run));
    cr_expect_eq(dump(10, 1000000), 3);
    /* What the firmware keeps to itself is not mapped, and not read either. */
    info.range[1] = (struct kc_boot_range){.base = page, .size = PAGE, .kind = KC_BOOT_NOMAP};
    info.range_count = 2;
    struct kc_ptview_walk w;
    kc_ptview_walk(&view, HIGH, &w);
    cr_expect_eq(w.end, KC_PTVIEW_NO_RAM);
    cr_expect_not(w.step[0].is_read);
    cr_expect_eq((int)kc_ptview_fault(&w), KC_A64_FAULT_EXTERNAL_WALK);
    /* Its neighbour is, and what is merely taken. */
    info.range[1].base = kc_pa(kc_pa_raw(page) + PAGE);
    kc_ptview_walk(&view, HIGH, &w);
    cr_expect(w.step[0].is_read);
    info.range[1].base = page;
    info.range[1].kind = KC_BOOT_RESERVED;
    kc_ptview_walk(&view, HIGH, &w);
    cr_expect(w.step[0].is_read);
    cr_expect_eq(kc_frame_free(&frames, page, 0), KC_OK);
}

Test(ptview, hierarchical_limits_add_up_unless_they_are_off)
{
    struct kc_ptview_walk w;
    map(HIGH, OUT, PAGE, KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL);
    kc_pa_t root = kc_pt_root(pt);
    uint64_t desc = kc_plat_desc_load(root);
    kc_plat_desc_store(root, desc | UINT64_C(2) << 61 | KC_BIT(59)); /* APTable, PXNTable */
    kc_ptview_walk(&view, HIGH, &w);
    cr_expect_eq(w.by.ap_table, 2);
    cr_expect(w.by.pxn_table);
    cr_expect_not(w.by.uxn_table);
    view.no_hierarchy = true;
    kc_ptview_walk(&view, HIGH, &w);
    cr_expect_eq(w.by.ap_table, 0);
    kc_plat_desc_store(root, desc);
}
