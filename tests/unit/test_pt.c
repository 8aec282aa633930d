/* SPDX-License-Identifier: BSD-2-Clause */
/* pt: the contract of kc/pt.h, and the invariants I1 to I9 of src/space/pt.c. */
#include "kc_test.h"

#include "pt_model.h"
#include "space/pt_priv.h"

#define RAM  KC_MIB(4)
#define GIB1 (UINT64_C(1) << 30)
#define MIB2 KC_MIB(2)
#define OUT  (UINT64_C(1) << 33) /* memory that is mapped; nobody touches it */

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;
static struct kc_pt pt;

static const struct kc_a64_format low48 = {KC_A64_STAGE1, 12, 48, 40, 0, 0, 0};
static const struct kc_a64_format high39 = {KC_A64_STAGE1, 12, 39, 40, 1, 0, 0};
static const struct kc_pt_attr rw = {KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL, false};
static const struct kc_pt_attr ro = {KC_PT_R, KC_A64_MEM_NORMAL, false};
static const struct kc_pt_attr urx = {KC_PT_R | KC_PT_X | KC_PT_USER, KC_A64_MEM_NORMAL, false};

static void begin(const struct kc_a64_format *f, uint32_t level_min)
{
    struct kc_pt_config c = {
        .format = *f, .source = {.frames = &frames}, .asid = 1, .level_min = level_min};
    cr_assert_eq(kc_pt_init(&pt, &c), KC_OK);
    kc_pt_set_live(&pt);
}

static void set_up(void)
{
    cr_assert(kc_test_ram(RAM, &info));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    begin(&low48, 0);
}

static void tear_down(void)
{
    struct kc_pt_finding f = {0};
    if (pt.ready) {
        cr_expect_eq(kc_pt_check(&pt, &f), KC_OK, "%s: %s", f.invariant, f.text);
        cr_expect_eq(kc_pt_fini(&pt), KC_OK);
    }
    cr_expect_eq(kc_frame_owner_frames(&frames, KC_FRAME_OWNER_TABLE), 0, "tables leaked");
    cr_expect_eq(kc_misuse_total(&misuse), 0);
}

TestSuite(pt, .init = set_up, .fini = tear_down);

static kc_status_t map(uint64_t ia, uint64_t pa, uint64_t bytes, struct kc_pt_attr attr)
{
    return kc_pt_map(&pt, kc_ia(ia), kc_pa(pa), bytes, attr);
}

static struct kc_pt_walk walk(uint64_t ia)
{
    struct kc_pt_walk w;
    kc_status_t status = kc_pt_translate(&pt, kc_ia(ia), &w);
    cr_assert_eq(status, w.fault == KC_A64_FAULT_NONE ? KC_OK : KC_ERR_ABSENT);
    return w;
}

static uint32_t tables(void)
{
    struct kc_pt_stats s;
    kc_pt_stats(&pt, &s);
    return s.tables;
}

/* ---- arguments ------------------------------------------------------------------------------ */

Test(pt, each_bad_argument_has_its_status)
{
    uint64_t hash = ptm_hash(&pt);
    struct kc_pt_attr a = rw;
    cr_expect_eq(map(0, 0, 0, rw), KC_ERR_ARG, "empty");
    cr_expect_eq(map(0x800, 0, 0x1000, rw), KC_ERR_ALIGN);
    cr_expect_eq(map(0, 0x800, 0x1000, rw), KC_ERR_ALIGN);
    cr_expect_eq(map(0, 0, 0x1001, rw), KC_ERR_ALIGN);
    cr_expect_eq(map(KC_BIT(48), 0, 0x1000, rw), KC_ERR_RANGE, "above the half");
    cr_expect_eq(map(KC_BIT(48) - 0x1000, 0, 0x2000, rw), KC_ERR_RANGE, "runs out of the half");
    cr_expect_eq(map(UINT64_C(0xffff000000000000), 0, 0x1000, rw), KC_ERR_RANGE, "other half");
    cr_expect_eq(map(UINT64_C(0xfffffffffffff000), 0, 0x2000, rw), KC_ERR_RANGE, "wraps");
    cr_expect_eq(map(0x1000, 0, UINT64_C(0xfffffffffffff000), rw), KC_ERR_RANGE, "wraps to 0");
    cr_expect_eq(map(0, KC_BIT(40), 0x1000, rw), KC_ERR_RANGE, "pa_bits");
    cr_expect_eq(map(0, KC_BIT(40) - 0x1000, 0x2000, rw), KC_ERR_RANGE, "pa_bits, last page");
    cr_expect_eq(map(0, UINT64_C(0xfffffffffffff000), 0x1000, rw), KC_ERR_RANGE);
    a.perm = KC_PT_R | KC_PT_W | KC_PT_X;
    cr_expect_eq(map(0, 0, 0x1000, a), KC_ERR_PERM, "write xor execute");
    a.perm |= KC_PT_USER;
    cr_expect_eq(map(0, 0, 0x1000, a), KC_ERR_PERM, "for users too");
    a = (struct kc_pt_attr){KC_PT_R | KC_PT_X, KC_A64_MEM_DEVICE_nGnRE, false};
    cr_expect_eq(map(0, 0, 0x1000, a), KC_ERR_PERM, "no code from devices");
    a.perm = KC_PT_W;
    cr_expect_eq(map(0, 0, 0x1000, a), KC_ERR_ARG, "no mapping is without R");
    a.perm = KC_PT_R | 0x10;
    cr_expect_eq(map(0, 0, 0x1000, a), KC_ERR_ARG);
    a = (struct kc_pt_attr){KC_PT_R, KC_A64_MEM_COUNT, false};
    cr_expect_eq(map(0, 0, 0x1000, a), KC_ERR_ARG);
    a = (struct kc_pt_attr){KC_PT_R, KC_A64_MEM_NORMAL, true};
    cr_expect_eq(map(0, 0, 0x1000, a), KC_ERR_ARG, "global under one ASID");
    cr_expect_eq(kc_pt_unmap(&pt, kc_ia(0), 0), KC_ERR_ARG);
    cr_expect_eq(kc_pt_unmap(&pt, kc_ia(1), 0x1000), KC_ERR_ALIGN);
    cr_expect_eq(kc_pt_unmap(&pt, kc_ia(KC_BIT(48)), 0x1000), KC_ERR_RANGE);
    cr_expect_eq(kc_pt_unmap(&pt, kc_ia(0), 0x1000), KC_ERR_ABSENT);
    cr_expect_eq(kc_pt_protect(&pt, kc_ia(0), 0, rw), KC_ERR_ARG);
    cr_expect_eq(kc_pt_protect(&pt, kc_ia(0), 0x1000, a), KC_ERR_ARG);
    cr_expect_eq(kc_pt_protect(&pt, kc_ia(0), 0x1000, rw), KC_ERR_ABSENT);
    cr_expect_eq(kc_pt_split(&pt, kc_ia(0), 4), KC_ERR_ARG);
    cr_expect_eq(kc_pt_split(&pt, kc_ia(1), 3), KC_ERR_ALIGN);
    cr_expect_eq(kc_pt_split(&pt, kc_ia(KC_BIT(48)), 3), KC_ERR_RANGE);
    cr_expect_eq(kc_pt_split(&pt, kc_ia(0), 3), KC_ERR_ABSENT);
    cr_expect_eq(kc_pt_join(&pt, kc_ia(0), 3), KC_ERR_ARG);
    cr_expect_eq(kc_pt_join(&pt, kc_ia(0), 0), KC_ERR_ARG);
    cr_expect_eq(kc_pt_join(&pt, kc_ia(0x1000), 2), KC_ERR_ALIGN);
    cr_expect_eq(kc_pt_join(&pt, kc_ia(KC_BIT(48)), 2), KC_ERR_RANGE);
    cr_expect_eq(kc_pt_join(&pt, kc_ia(0), 2), KC_ERR_ABSENT);
    cr_expect_eq(ptm_hash(&pt), hash, "nothing was stored");
}

Test(pt, bad_configurations)
{
    struct kc_pt other;
    struct kc_pt_config c = {.format = low48, .source = {.frames = &frames}, .asid = 1};
    struct kc_pt_config bad = c;
    __builtin_memset(&other, 0, sizeof(other));
    bad.source.early = &early;
    cr_expect_eq(kc_pt_init(&other, &bad), KC_ERR_ARG, "two sources");
    bad.source = (struct kc_pt_source){NULL, NULL};
    cr_expect_eq(kc_pt_init(&other, &bad), KC_ERR_ARG, "none");
    bad = c;
    bad.level_min = 4;
    cr_expect_eq(kc_pt_init(&other, &bad), KC_ERR_ARG);
    bad = c;
    bad.asid = 256;
    cr_expect_eq(kc_pt_init(&other, &bad), KC_ERR_RANGE);
    bad = c;
    bad.format.granule_log2 = 16;
    cr_expect_eq(kc_pt_init(&other, &bad), KC_ERR_UNSUPPORTED);
    bad.format.granule_log2 = 11;
    cr_expect_eq(kc_pt_init(&other, &bad), KC_ERR_ARG);
    kc_frames_fail_after(&frames, 0);
    cr_expect_eq(kc_pt_init(&other, &c), KC_ERR_NOMEM);
    cr_expect_eq(kc_pt_fini(&other), KC_ERR_STATE);
    struct kc_pt_walk w;
    cr_expect_eq(kc_pt_map(&other, kc_ia(0), kc_pa(0), 0x1000, rw), KC_ERR_STATE);
    cr_expect_eq(kc_pt_unmap(&other, kc_ia(0), 0x1000), KC_ERR_STATE);
    cr_expect_eq(kc_pt_protect(&other, kc_ia(0), 0x1000, rw), KC_ERR_STATE);
    cr_expect_eq(kc_pt_split(&other, kc_ia(0), 3), KC_ERR_STATE);
    cr_expect_eq(kc_pt_join(&other, kc_ia(0), 2), KC_ERR_STATE);
    cr_expect_eq(kc_pt_translate(&other, kc_ia(0), &w), KC_ERR_STATE);
    cr_expect_eq(kc_pt_check(&other, NULL), KC_ERR_CORRUPT);
}

/* ---- mapping -------------------------------------------------------------------------------- */

Test(pt, largest_blocks_are_chosen)
{
    cr_assert_eq(map(GIB1, GIB1, GIB1 + MIB2 + 0x1000, rw), KC_OK);
    cr_expect_eq(walk(GIB1).level, 1);
    cr_expect_eq(walk(2 * GIB1).level, 2);
    cr_expect_eq(walk(2 * GIB1 + MIB2).level, 3);
    cr_expect_eq(tables(), 4, "root, level 1, one of level 2, one of level 3");
    cr_expect_eq(kc_pa_raw(walk(GIB1 + 0x12345).pa), GIB1 + 0x12345);
    cr_expect_eq(map(4 * GIB1, 4 * GIB1 + MIB2, GIB1, rw), KC_OK);
    cr_expect_eq(walk(4 * GIB1).level, 2, "address not aligned to 1 GiB");
    cr_expect_eq(map(6 * GIB1, 6 * GIB1 + 0x1000, MIB2, rw), KC_OK);
    cr_expect_eq(walk(6 * GIB1).level, 3, "address not aligned to 2 MiB");
}

Test(pt, level_min_limits_blocks)
{
    cr_assert_eq(kc_pt_fini(&pt), KC_OK);
    begin(&low48, 3);
    cr_assert_eq(map(GIB1, GIB1, MIB2, rw), KC_OK);
    cr_expect_eq(walk(GIB1).level, 3);
    cr_expect_eq(kc_pt_join(&pt, kc_ia(GIB1), 2), KC_ERR_ARG);
}

Test(pt, the_last_page_of_the_address_space)
{
    uint64_t last = UINT64_C(0xfffffffffffff000);
    struct kc_pt_run run;
    cr_assert_eq(kc_pt_fini(&pt), KC_OK);
    begin(&high39, 0);
    cr_assert_eq(map(last, OUT, 0x1000, rw), KC_OK);
    cr_assert_eq(map(UINT64_C(0xffffff8000000000), OUT + 0x1000, 0x1000, rw), KC_OK);
    struct kc_pt_cursor c = kc_pt_each_from(&pt, kc_ia(0));
    cr_assert(kc_pt_each(&pt, &c, &run));
    cr_expect_eq(kc_ia_raw(run.ia), UINT64_C(0xffffff8000000000));
    cr_assert(kc_pt_each(&pt, &c, &run));
    cr_expect_eq(kc_ia_raw(run.ia), last);
    cr_expect_eq(run.bytes, 0x1000);
    cr_expect_not(kc_pt_each(&pt, &c, &run), "the end, without a wrap");
    cr_expect_eq(kc_pa_raw(walk(UINT64_MAX).pa), OUT + 0xfff);
    cr_expect_eq(kc_pt_unmap(&pt, kc_ia(last), 0x1000), KC_OK);
}

Test(pt, exists_is_all_or_nothing)
{
    cr_assert_eq(map(MIB2 + 0x5000, OUT, 0x1000, rw), KC_OK);
    uint64_t hash = ptm_hash(&pt);
    cr_expect_eq(map(MIB2, OUT, MIB2, rw), KC_ERR_EXISTS);
    cr_expect_eq(map(0, OUT, 2 * MIB2, rw), KC_ERR_EXISTS);
    cr_expect_eq(map(0, OUT, 4 * GIB1, rw), KC_ERR_EXISTS);
    cr_expect_eq(map(MIB2 + 0x5000, OUT, 0x1000, rw), KC_ERR_EXISTS, "even the same");
    cr_expect_eq(ptm_hash(&pt), hash);
    cr_expect_eq(kc_frame_owner_frames(&frames, KC_FRAME_OWNER_TABLE), tables());
}

Test(pt, a_hole_makes_unmap_and_protect_refuse)
{
    cr_assert_eq(map(MIB2, OUT, 0x1000, rw), KC_OK);
    cr_assert_eq(map(MIB2 + 0x2000, OUT, 0x1000, rw), KC_OK);
    uint64_t hash = ptm_hash(&pt);
    cr_expect_eq(kc_pt_unmap(&pt, kc_ia(MIB2), 0x3000), KC_ERR_ABSENT);
    cr_expect_eq(kc_pt_protect(&pt, kc_ia(MIB2), 0x3000, ro), KC_ERR_ABSENT);
    cr_expect_eq(ptm_hash(&pt), hash);
}

/*
 *     0        1 GiB                              2 GiB
 *     |        [ 1 GiB block                      ]
 *                 ^ 0x1000 bytes at 1 GiB + 5 MiB + 0x3000 are changed
 */
Test(pt, cutting_a_large_block)
{
    uint64_t at = GIB1 + KC_MIB(5) + 0x3000;
    cr_assert_eq(map(GIB1, GIB1, GIB1, rw), KC_OK);
    cr_assert_eq(kc_pt_protect(&pt, kc_ia(at), 0x1000, ro), KC_OK);
    cr_expect_eq(walk(at).level, 3);
    cr_expect_eq(walk(at).attr.perm, KC_PT_R);
    cr_expect_eq(walk(at - 1).attr.perm, KC_PT_R | KC_PT_W);
    cr_expect_eq(walk(at + 0x1000).attr.perm, KC_PT_R | KC_PT_W);
    cr_expect_eq(walk(GIB1).level, 2);
    cr_expect_eq(kc_pa_raw(walk(2 * GIB1 - 1).pa), 2 * GIB1 - 1);
    cr_expect_eq(kc_pt_join(&pt, kc_ia(GIB1), 1), KC_ERR_STATE, "attributes differ");
    cr_assert_eq(kc_pt_protect(&pt, kc_ia(at), 0x1000, rw), KC_OK);
    cr_expect_eq(kc_pt_join(&pt, kc_ia(GIB1), 1), KC_OK, "through two levels");
    cr_expect_eq(walk(at).level, 1);
    cr_expect_eq(tables(), 2);
    cr_assert_eq(kc_pt_unmap(&pt, kc_ia(GIB1 + 0x1000), GIB1 - 0x2000), KC_OK, "both edges");
    cr_expect_eq(walk(GIB1).level, 3);
    cr_expect_eq(walk(2 * GIB1 - 0x1000).level, 3);
    cr_expect_eq((int)walk(GIB1 + 0x1000).fault, KC_A64_FAULT_TRANSLATION);
}

Test(pt, join_refuses_what_is_no_block)
{
    cr_assert_eq(map(MIB2, MIB2 + 0x1000, MIB2, rw), KC_OK);
    cr_expect_eq(kc_pt_join(&pt, kc_ia(MIB2), 2), KC_ERR_STATE, "memory not aligned");
    cr_assert_eq(kc_pt_unmap(&pt, kc_ia(MIB2 + 0x7000), 0x1000), KC_OK);
    cr_expect_eq(kc_pt_join(&pt, kc_ia(MIB2), 2), KC_ERR_ABSENT, "a hole");
    cr_assert_eq(map(MIB2 + 0x7000, OUT, 0x1000, rw), KC_OK);
    cr_expect_eq(kc_pt_join(&pt, kc_ia(MIB2), 2), KC_ERR_STATE, "not one run");
    cr_assert_eq(map(5 * MIB2, 5 * MIB2, 0x1000, rw), KC_OK);
    cr_assert_eq(map(5 * MIB2 + 0x1000, OUT, MIB2 - 0x1000, rw), KC_OK);
    cr_expect_eq(kc_pt_join(&pt, kc_ia(5 * MIB2), 2), KC_ERR_STATE, "nor this, well begun");
    cr_assert_eq(map(3 * MIB2, 3 * MIB2, MIB2, rw), KC_OK);
    cr_expect_eq(kc_pt_join(&pt, kc_ia(3 * MIB2), 2), KC_ERR_ABSENT, "a block already");
}

/* ---- move ----------------------------------------------------------------------------------- */

Test(pt, move_keeps_attributes_and_leaves)
{
    cr_assert_eq(map(GIB1, GIB1, MIB2 + 0x2000, ro), KC_OK);
    cr_assert_eq(kc_pt_move(&pt, kc_ia(GIB1), kc_pa(OUT), MIB2 + 0x2000), KC_OK);
    cr_expect_eq(walk(GIB1).level, 2);
    cr_expect_eq(kc_pa_raw(walk(GIB1 + 0x12345).pa), OUT + 0x12345);
    cr_expect_eq(walk(GIB1 + MIB2 + 0x1000).level, 3);
    cr_expect_eq(kc_pa_raw(walk(GIB1 + MIB2 + 0x1fff).pa), OUT + MIB2 + 0x1fff);
    cr_expect(ptm_same_attr(walk(GIB1).attr, ro));
    uint64_t hash = ptm_hash(&pt);
    cr_expect_eq(kc_pt_move(&pt, kc_ia(GIB1), kc_pa(OUT), MIB2 + 0x2000), KC_OK, "there already");
    cr_expect_eq(ptm_hash(&pt), hash);
}

/*
 *     0        1 GiB                              2 GiB
 *     |        [ 1 GiB block                      ]
 *                 ^ 6 MiB, of which 2 are a whole block of the next level, go elsewhere
 */
Test(pt, move_cuts_a_block_that_reaches_beyond_it)
{
    uint64_t at = GIB1 + KC_MIB(3);
    cr_assert_eq(map(GIB1, GIB1, GIB1, rw), KC_OK);
    uint64_t hash = ptm_hash(&pt);
    cr_expect_eq(kc_pt_move(&pt, kc_ia(at), kc_pa(OUT), KC_MIB(6)), KC_ERR_ALIGN,
                 "its blocks of 2 MiB would not be aligned");
    cr_expect_eq(kc_pt_move(&pt, kc_ia(at), kc_pa(OUT + 0x800), KC_MIB(6)), KC_ERR_ALIGN);
    cr_expect_eq(kc_pt_move(&pt, kc_ia(at), kc_pa(KC_BIT(40) - 0x1000), 0x2000), KC_ERR_RANGE);
    cr_expect_eq(kc_pt_move(&pt, kc_ia(at), kc_pa(OUT), 0), KC_ERR_ARG);
    cr_expect_eq(ptm_hash(&pt), hash);
    cr_assert_eq(kc_pt_move(&pt, kc_ia(at), kc_pa(OUT + KC_MIB(1)), KC_MIB(6)), KC_OK);
    cr_expect_eq(kc_pa_raw(walk(at - 1).pa), at - 1);
    cr_expect_eq(kc_pa_raw(walk(at).pa), OUT + KC_MIB(1));
    cr_expect_eq(walk(at).level, 3);
    cr_expect_eq(walk(at + KC_MIB(1)).level, 2);
    cr_expect_eq(kc_pa_raw(walk(at + KC_MIB(6) - 1).pa), OUT + KC_MIB(7) - 1);
    cr_expect_eq(kc_pa_raw(walk(at + KC_MIB(6)).pa), at + KC_MIB(6));
    cr_expect_eq(kc_pt_move(&pt, kc_ia(GIB1), kc_pa(OUT), 2 * GIB1), KC_ERR_ABSENT, "a hole");
    cr_assert_eq(kc_pt_move(&pt, kc_ia(GIB1), kc_pa(OUT + 0x1000), 0x1000), KC_OK,
                 "one page of a block of 2 MiB");
    cr_expect_eq(kc_pa_raw(walk(GIB1).pa), OUT + 0x1000);
    cr_expect_eq(kc_pa_raw(walk(GIB1 + 0x1000).pa), GIB1 + 0x1000);
}

/* ---- walks ---------------------------------------------------------------------------------- */

Test(pt, faults_have_the_level_of_the_walk)
{
    cr_expect_eq(walk(0).level, 0);
    cr_assert_eq(map(GIB1, OUT, 0x1000, rw), KC_OK);
    cr_expect_eq(walk(0).level, 1);
    cr_expect_eq(walk(GIB1 + MIB2).level, 2);
    cr_expect_eq(walk(GIB1 + 0x1000).level, 3);
    cr_expect_eq(walk(KC_BIT(47)).level, 0);
    cr_expect_eq(walk(KC_BIT(48)).level, 0, "outside the half");
    cr_expect_eq(walk(UINT64_MAX).level, 0);
    cr_expect_eq((int)walk(GIB1 + 0x1000).fault, KC_A64_FAULT_TRANSLATION);
}

Test(pt, walk_says_what_the_descriptor_says)
{
    cr_assert_eq(map(0x40000000, OUT, 0x1000, urx), KC_OK);
    struct kc_pt_walk w = walk(0x40000abc);
    cr_expect_eq(w.desc, kc_plat_desc_load(w.desc_pa));
    cr_expect_eq(w.span, 0x1000);
    cr_expect(w.leaf.not_global && w.leaf.af && w.leaf.pxn && !w.leaf.uxn);
    cr_expect_eq(w.leaf.ap, KC_A64_AP_RO_ALL);
    cr_expect_eq(w.leaf.sh, KC_A64_SH_INNER);
    cr_expect(ptm_same_attr(w.attr, urx));
    /* AF | SH | AP 3 | nG | PXN at 2^33: by the manual */
    cr_expect_eq(w.desc, UINT64_C(0x0020000200000fc3));
}

#if KC_ASSERT_LEVEL >= KC_ASSERT_LEVEL_AUDIT
/* The audit at the end of any call finds a descriptor that is not the tree's own. */
Test(pt, audit_finds_foreign_descriptors)
{
    cr_assert_eq(map(0x40000000, OUT, 0x1000, rw), KC_OK);
    struct kc_pt_walk w = walk(0x40000000);
    kc_plat_desc_store(w.desc_pa, w.desc & ~KC_BIT(10));
    KC_TEST_PANICS(walk(0x40000000));
    kc_plat_desc_store(w.desc_pa, w.desc);
    kc_lock_release(&pt.lock); /* held when the panic left the call */
}
#else
/* Hardware would fault: so does the walk. The descriptors are planted behind the tree's back. */
Test(pt, walks_of_foreign_descriptors)
{
    cr_assert_eq(map(0x40000000, OUT, 0x1000, rw), KC_OK);
    struct kc_pt_walk w = walk(0x40000000);
    kc_plat_desc_store(w.desc_pa, w.desc & ~KC_BIT(10));
    cr_expect_eq((int)walk(0x40000000).fault, KC_A64_FAULT_ACCESS_FLAG);
    cr_expect_eq(walk(0x40000000).level, 3);
    kc_plat_desc_store(w.desc_pa, w.desc | KC_BIT(44));
    cr_expect_eq((int)walk(0x40000000).fault, KC_A64_FAULT_ADDRESS_SIZE);
    kc_plat_desc_store(w.desc_pa, w.desc & ~KC_BIT(1));
    cr_expect_eq((int)walk(0x40000000).fault, KC_A64_FAULT_TRANSLATION);
    cr_expect_eq(kc_pt_unmap(&pt, kc_ia(0x40000000), 0x1000), KC_ERR_CORRUPT);
    cr_expect_eq(kc_pt_protect(&pt, kc_ia(0x40000000), 0x1000, ro), KC_ERR_CORRUPT);
    cr_expect_eq(map(0x40000000, OUT, 0x1000, rw), KC_ERR_CORRUPT);
    kc_plat_desc_store(w.desc_pa, w.desc);
    cr_assert_eq(map(0x40001000, OUT + 0x1000, MIB2 - 0x1000, rw), KC_OK);
    kc_plat_desc_store(w.desc_pa, w.desc & ~KC_BIT(1));
    cr_expect_eq(kc_pt_join(&pt, kc_ia(0x40000000), 2), KC_ERR_CORRUPT);
    kc_plat_desc_store(w.desc_pa, w.desc);
    cr_expect_eq(kc_pt_join(&pt, kc_ia(0x40000000), 2), KC_OK);
}
#endif

Test(pt, expected_answers_of_at)
{
    static const struct {
        uint8_t perm;
        bool ok[KC_AT_COUNT]; /* S1E1R, S1E1W, S1E0R, S1E0W */
    } rows[] = {
        {KC_PT_R, {true, false, false, false}},
        {KC_PT_R | KC_PT_W, {true, true, false, false}},
        {KC_PT_R | KC_PT_X, {true, false, false, false}},
        {KC_PT_R | KC_PT_USER, {true, false, true, false}},
        {KC_PT_R | KC_PT_W | KC_PT_USER, {true, true, true, true}},
        {KC_PT_R | KC_PT_X | KC_PT_USER, {true, false, true, false}},
    };
    struct kc_a64_par par;
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(rows); i++) {
        uint64_t ia = MIB2 * (i + 1) + 0x5678;
        struct kc_pt_attr a = {rows[i].perm, KC_A64_MEM_NORMAL, false};
        cr_assert_eq(map(MIB2 * (i + 1), OUT, MIB2, a), KC_OK);
        struct kc_pt_walk w = walk(ia);
        for (uint32_t op = 0; op < KC_AT_COUNT; op++) {
            kc_pt_expect_at(&w, (enum kc_at)op, &par);
            cr_expect_eq(par.failed, !rows[i].ok[op], "row %u op %u", i, op);
            if (rows[i].ok[op]) {
                cr_expect_eq(par.pa, OUT + 0x5000);
                cr_expect_eq(par.attr, 0xff);
                cr_expect_eq(par.sh, KC_A64_SH_INNER);
            } else {
                cr_expect_eq(par.fst, 0x0e, "permission fault, level 2");
            }
        }
    }
    struct kc_pt_walk w = walk(0);
    kc_pt_expect_at(&w, KC_AT_S1E1R, &par);
    cr_expect(par.failed);
    cr_expect_eq(par.fst, 0x06, "translation fault, level 2");
    w = walk(KC_BIT(50));
    kc_pt_expect_at(&w, KC_AT_S1E1R, &par);
    cr_expect_eq(par.fst, 0x04, "outside: level 0");
    struct kc_pt_attr device = {KC_PT_R | KC_PT_W, KC_A64_MEM_DEVICE_nGnRE, false};
    cr_assert_eq(map(GIB1, 0x09000000, 0x1000, device), KC_OK);
    w = walk(GIB1);
    kc_pt_expect_at(&w, KC_AT_S1E1W, &par);
    cr_expect_not(par.failed);
    cr_expect_eq(par.attr, 0x04);
    cr_expect_eq(par.sh, KC_A64_SH_OUTER);
}

Test(pt, iteration_merges_runs)
{
    struct kc_pt_run run;
    cr_assert_eq(map(MIB2, OUT + MIB2, MIB2, rw), KC_OK);
    cr_assert_eq(map(2 * MIB2, OUT + 2 * MIB2, 0x3000, rw), KC_OK);
    cr_assert_eq(map(2 * MIB2 + 0x3000, OUT + 2 * MIB2 + 0x3000, 0x1000, ro), KC_OK);
    struct kc_pt_cursor c = kc_pt_each_from(&pt, kc_ia(0));
    cr_assert(kc_pt_each(&pt, &c, &run));
    cr_expect_eq(kc_ia_raw(run.ia), MIB2);
    cr_expect_eq(run.bytes, MIB2 + 0x3000, "block and pages are one run");
    cr_assert(kc_pt_each(&pt, &c, &run));
    cr_expect_eq(run.attr.perm, KC_PT_R);
    cr_expect_not(kc_pt_each(&pt, &c, &run));
    c = kc_pt_each_from(&pt, kc_ia(MIB2 + 0x5000));
    cr_assert(kc_pt_each(&pt, &c, &run));
    cr_expect_eq(kc_ia_raw(run.ia), MIB2 + 0x5000, "from the middle of a block");
    cr_expect_eq(kc_pa_raw(run.pa), OUT + MIB2 + 0x5000);
    c = kc_pt_each_from(&pt, kc_ia(KC_BIT(48)));
    cr_expect_not(kc_pt_each(&pt, &c, &run), "above the half");
}

/* ---- memory --------------------------------------------------------------------------------- */

/* One operation with the n-th allocation failing, for n = 0, 1, ... until it succeeds. `want` of
   them fail. */
#define SWEEP(call, want)                                                              \
    do {                                                                               \
        uint32_t failed_ = 0;                                                          \
        for (;; failed_++) {                                                           \
            uint64_t hash_ = ptm_hash(&pt);                                            \
            uint64_t held_ = kc_frame_owner_frames(&frames, KC_FRAME_OWNER_TABLE);     \
            kc_frames_fail_after(&frames, failed_);                                    \
            kc_status_t status_ = (call);                                              \
            kc_frames_fail_after(&frames, UINT64_MAX);                                 \
            cr_assert_eq(kc_pt_check(&pt, NULL), KC_OK);                               \
            if (status_ == KC_OK) {                                                    \
                break;                                                                 \
            }                                                                          \
            cr_assert_eq(status_, KC_ERR_NOMEM);                                       \
            cr_assert_eq(ptm_hash(&pt), hash_, "bit for bit as before");               \
            cr_assert_eq(kc_frame_owner_frames(&frames, KC_FRAME_OWNER_TABLE), held_); \
        }                                                                              \
        cr_expect_eq(failed_, (uint32_t)(want), "%s", #call);                          \
    } while (0)

Test(pt, fault_sweep)
{
    /* level 1, then levels 2 and 3 on each side of 1 GiB */
    SWEEP(map(GIB1 - 0x1000, OUT - 0x1000, 0x2000, rw), 5);
    SWEEP(map(KC_BIT(47), OUT, 0x1000, rw), 3);
    cr_assert_eq(map(4 * GIB1, 4 * GIB1, GIB1, rw), KC_OK);
    /* one table of level 2, one of level 3 at each edge */
    SWEEP(kc_pt_unmap(&pt, kc_ia(4 * GIB1 + 0x1000), GIB1 - 0x2000), 3);
    cr_assert_eq(map(6 * GIB1, 6 * GIB1, GIB1, rw), KC_OK);
    SWEEP(kc_pt_protect(&pt, kc_ia(6 * GIB1 + 0x1000), 0x1000, ro), 2);
    cr_assert_eq(map(8 * GIB1, 8 * GIB1, GIB1, rw), KC_OK);
    SWEEP(kc_pt_split(&pt, kc_ia(8 * GIB1), 2), 1);
    SWEEP(kc_pt_split(&pt, kc_ia(8 * GIB1), 3), 1);
    SWEEP(kc_pt_join(&pt, kc_ia(8 * GIB1), 1), 0); /* needs no memory */
    SWEEP(kc_pt_unmap(&pt, kc_ia(8 * GIB1), GIB1), 0);
    cr_assert_eq(map(10 * GIB1, 10 * GIB1, GIB1, rw), KC_OK);
    SWEEP(kc_pt_move(&pt, kc_ia(10 * GIB1 + 0x1000), kc_pa(OUT), 0x1000), 2);
}

Test(pt, tables_go_when_they_are_empty)
{
    cr_assert_eq(map(GIB1 - 0x1000, OUT, 0x2000, rw), KC_OK);
    cr_expect_eq(tables(), 6);
    cr_assert_eq(kc_pt_unmap(&pt, kc_ia(GIB1), 0x1000), KC_OK);
    cr_expect_eq(tables(), 4);
    cr_assert_eq(kc_pt_unmap(&pt, kc_ia(GIB1 - 0x1000), 0x1000), KC_OK);
    cr_expect_eq(tables(), 1, "the root stays");
    cr_expect_eq(kc_frame_owner_frames(&frames, KC_FRAME_OWNER_TABLE), 1);
}

/* As a kernel does it: tables from early memory, MMU on, frames, then changes to the same tree. */
static void set_up_early(void)
{
    cr_assert(kc_test_ram(RAM, &info));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
}

TestSuite(pt_early, .init = set_up_early);

Test(pt_early, from_early_memory_to_frames)
{
    static struct kc_early first;
    static struct kc_frames later;
    struct kc_pt_config c = {.format = low48, .source = {.early = &first}, .any_asid = true};
    struct kc_pt_attr global = {KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL, true};
    struct kc_pt_source to = {.frames = &later};
    struct kc_pt_stats s;
    cr_assert_eq(kc_early_init(&first, &info), KC_OK);
    uint64_t taken = kc_early_taken_bytes(&first);
    cr_assert_eq(kc_pt_init(&pt, &c), KC_OK);
    cr_assert_eq(map(GIB1, OUT, 0x2000, global), KC_OK);
    cr_assert_eq(map(4 * GIB1, OUT, 0x1000, global), KC_OK);
    cr_expect_eq(kc_early_taken_bytes(&first) - taken, 6 * 4096);
    cr_assert_eq(kc_pt_unmap(&pt, kc_ia(4 * GIB1), 0x1000), KC_OK);
    cr_expect_eq(kc_early_taken_bytes(&first) - taken, 4 * 4096, "given back while it is open");
    kc_pt_set_live(&pt);
    cr_assert_eq(kc_frames_init(&later, &first, &misuse), KC_OK);
    cr_expect_eq(kc_pt_set_source(&pt, &(struct kc_pt_source){.early = &first}), KC_ERR_ARG);
    struct kc_pt_source both = {.early = &first, .frames = &later};
    cr_expect_eq(kc_pt_set_source(&pt, &both), KC_ERR_ARG);
    cr_assert_eq(kc_pt_set_source(&pt, &to), KC_OK);
    cr_expect_eq(kc_pt_set_source(&pt, &to), KC_ERR_STATE, "once");
    cr_assert_eq(map(4 * GIB1, OUT, 0x1000, global), KC_OK);
    cr_expect_eq(kc_frame_owner_frames(&later, KC_FRAME_OWNER_TABLE), 2);
    cr_assert_eq(kc_pt_unmap(&pt, kc_ia(GIB1), 0x2000), KC_OK);
    kc_pt_stats(&pt, &s);
    cr_expect_eq(s.spare, 2, "early pages are kept, for frames do not know them");
    cr_assert_eq(map(8 * GIB1, OUT, 0x1000, global), KC_OK);
    kc_pt_stats(&pt, &s);
    cr_expect_eq(s.spare, 0, "and used first");
    cr_expect_eq(kc_frame_owner_frames(&later, KC_FRAME_OWNER_TABLE), 2);
    cr_assert_eq(kc_pt_check(&pt, NULL), KC_OK);
    cr_assert_eq(kc_pt_fini(&pt), KC_OK);
    cr_expect_eq(kc_frame_owner_frames(&later, KC_FRAME_OWNER_TABLE), 0);
    cr_assert_eq(kc_frames_fini(&later), KC_OK);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
}

/* ---- the validator -------------------------------------------------------------------------- */

static void expect_broken(const char *invariant, uint64_t ia)
{
    struct kc_pt_finding f = {0};
    cr_assert_eq(kc_pt_check(&pt, &f), KC_ERR_CORRUPT, "%s not seen", invariant);
    cr_expect_str_eq(f.invariant, invariant);
    cr_expect_eq(f.ia, ia, "%s", invariant);
}

/* One descriptor planted, the finding expected, the descriptor restored. */
static void plant(kc_pa_t at, uint64_t value, const char *invariant, uint64_t ia)
{
    uint64_t was = kc_plat_desc_load(at);
    kc_plat_desc_store(at, value);
    expect_broken(invariant, ia);
    kc_plat_desc_store(at, was);
    cr_assert_eq(kc_pt_check(&pt, NULL), KC_OK);
}

Test(pt, check_finds_each_broken_invariant)
{
    uint64_t ia = GIB1 + 0x3000;
    cr_assert_eq(map(ia, OUT, 0x1000, rw), KC_OK);
    struct kc_pt_walk w = walk(ia);
    kc_pa_t empty;
    uint64_t root = kc_plat_desc_load(pt.root);
    uint64_t level1 = root & KC_MASK(47, 12);
    kc_pa_t link = kc_pa(level1 + 8);
    plant(w.desc_pa, w.desc & ~KC_BIT(0), "I2", ia);
    plant(w.desc_pa, w.desc & ~KC_BIT(1), "I2", ia);
    plant(w.desc_pa, w.desc & ~KC_BIT(10), "I3", ia);
    plant(w.desc_pa, w.desc | KC_BIT(52), "I3", ia);
    plant(w.desc_pa, w.desc | KC_BIT(55), "I3", ia);
    plant(w.desc_pa, w.desc | KC_BIT(48), "I3", ia);
    plant(w.desc_pa, w.desc ^ KC_BIT(53), "I6", ia);
    plant(w.desc_pa, w.desc & ~KC_BIT(11), "I7", ia);
    plant(w.desc_pa, w.desc | KC_BIT(45), "I8", ia);
    plant(link, kc_plat_desc_load(link) | KC_BIT(59), "I8", GIB1);
    plant(link, kc_plat_desc_load(link) | KC_BIT(45), "I8", GIB1);
    plant(kc_pa(level1 + 16), kc_plat_desc_load(link), "I5", 2 * GIB1);
    cr_assert_eq(kc_frame_alloc(&frames, 0, KC_FRAME_ZERO, KC_FRAME_OWNER_TEST, &empty), KC_OK);
    pt.table_count++;
    kc_plat_desc_store(kc_pa(level1 + 24), kc_pa_raw(empty) | 3);
    expect_broken("I4", 3 * GIB1);
    kc_plat_desc_store(kc_pa(level1 + 24), 0);
    expect_broken("I5", 0);
    pt.table_count--;
    cr_assert_eq(kc_frame_free(&frames, empty, 0), KC_OK);
    pt.spare_count = 1;
    expect_broken("I9", 0);
    pt.spare_count = 0;
    pt.root = kc_pa(kc_pa_raw(pt.root) + 8);
    expect_broken("I1", 0);
    pt.root = kc_pa(kc_pa_raw(pt.root) - 8);
}

/* ---- beside the model ----------------------------------------------------------------------- */

Test(pt, random_stories_agree_with_the_model)
{
    static uint8_t bytes[240];
    static struct pt_model m;
    uint64_t state = kc_test_seed();
    cr_assert_eq(kc_pt_fini(&pt), KC_OK);
    for (uint32_t story = 0; story < 24; story++) {
        kc_random_fill(&state, bytes, sizeof(bytes));
        struct kc_bytes b = {bytes, sizeof(bytes), 0};
        const char *wrong = pt_model_run(&m, &frames, &b);
        cr_assert_null(wrong, "story %u at byte %u: %s", story, (uint32_t)b.at, wrong);
    }
}
