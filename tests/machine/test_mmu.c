/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk by hand-made vectors: numbers written from DDI 0487 J.a, section beside each, not from
 * any encoder. Memory is one small array that stands at physical address 0x1000.
 */
#include <criterion/criterion.h>
#include <string.h>

#include <kc/a64/access.h> /* a test may know both; the machine does not */

#include "mmu.h"

#define BASE  UINT64_C(0x1000)
#define PAGES 8u

static uint64_t memory[PAGES * 512];

static bool read_memory(void *arg, uint64_t pa, uint64_t *value, uint64_t *since)
{
    (void)arg;
    *since = 0;
    if (pa < BASE || pa >= BASE + sizeof memory) {
        return false;
    }
    *value = memory[(pa - BASE) / 8];
    return true;
}

static void put(uint64_t table, uint32_t index, uint64_t value)
{
    memory[(table - BASE) / 8 + index] = value;
}

/* 48-bit halves, 4 KiB granules, 48-bit output, SPAN set: what most vectors start from. */
static struct mmu_regs plain(void)
{
    memset(memory, 0, sizeof memory);
    return (struct mmu_regs){.sctlr = 0x30d00801,
                             .tcr = UINT64_C(0x0000000580100010),
                             .mair = UINT64_C(0xff440400),
                             .ttbr = {0x1000, 0x5000},
                             .pa_bits = 48,
                             .features = MACHINE_FEATURES_DEFAULT};
}

/* Tables at 0x1000 (level 0) to 0x4000 (level 3) for address 0 and up. */
static void chain(uint64_t l0, uint64_t l1, uint64_t l2)
{
    put(0x1000, 0, 0x2003 | l0);
    put(0x2000, 0, 0x3003 | l1);
    put(0x3000, 0, 0x4003 | l2);
}

static struct sim_walk walk(const struct mmu_regs *r, uint64_t va)
{
    struct sim_walk w;
    mmu_walk(r, va, NULL, read_memory, NULL, &w);
    return w;
}

/* ---- two opinions --------------------------------------------------------------------------- */

/* Every combination of AP, UXN, PXN, their hierarchical forms, WXN and PAN, and every access. */
Test(mmu, the_core_judges_permissions_alike)
{
    for (uint32_t bits = 0; bits < 1024; bits++) {
        const struct kc_a64_leaf l = {
            .ap = bits & 3, .uxn = (bits & 4) != 0, .pxn = (bits & 8) != 0, .af = true};
        const struct kc_a64_limits by = {.ap_table = bits >> 4 & 3,
                                         .uxn_table = (bits & 64) != 0,
                                         .pxn_table = (bits & 128) != 0,
                                         .wxn = (bits & 256) != 0,
                                         .pan = (bits & 512) != 0};
        struct mmu_regs r = plain();
        r.sctlr |= by.wxn ? KC_BIT(19) : 0;
        r.sctlr = by.pan ? r.sctlr & ~KC_BIT(23) : r.sctlr;
        r.features = (r.features | MACHINE_PAN) & ~(uint32_t)MACHINE_HPDS;
        chain((uint64_t)by.ap_table << 61, (uint64_t)by.uxn_table << 60,
              (uint64_t)by.pxn_table << 59);
        put(0x4000, 0,
            UINT64_C(0x8703) | (uint64_t)l.ap << 6 | (uint64_t)l.pxn << 53 | (uint64_t)l.uxn << 54);
        struct sim_walk w = walk(&r, 0);
        cr_assert(w.ok);
        for (uint32_t kind = 0; kind < 6; kind++) {
            const struct kc_a64_access a = {
                .write = kind % 3 == SIM_WRITE, .fetch = kind % 3 == SIM_FETCH, .el0 = kind > 2};
            bool mine = mmu_judge(&r, w.entry.perm, w.entry.level, (enum sim_access_kind)(kind % 3),
                                  a.el0) == 0;
            bool cores = kc_a64_access_judge(&l, &by, a) == KC_A64_ALLOWED;
            cr_assert_eq(mine, cores, "bits 0x%x, access %u", bits, kind);
        }
    }
}

static void expect_fault(const struct mmu_regs *r, uint64_t va, uint32_t fsc)
{
    struct sim_walk w = walk(r, va);
    cr_expect(!w.ok && w.dfsc == fsc, "va 0x%llx: ok %d, code 0x%x, expected 0x%x",
              (unsigned long long)va, w.ok, w.dfsc, fsc);
}

/* ---- D8.3: what descriptors are -------------------------------------------------------------- */

Test(mmu, page_at_level_3)
{
    struct mmu_regs r = plain();
    chain(0, 0, 0);
    put(0x4000, 5, UINT64_C(0x0000123456789703)); /* AF, SH 3, AP 0, page */
    struct sim_walk w = walk(&r, 0x5abc);
    cr_assert(w.ok);
    cr_assert_eq(w.entry.pa, UINT64_C(0x123456789000));
    cr_assert_eq(w.entry.va, 0x5000);
    cr_assert_eq(w.entry.size, 4096);
    cr_assert_eq(w.entry.level, 3);
    cr_assert_eq(w.entry.step_count, 4);
    cr_assert_eq(w.entry.shareable, 3);
    cr_assert(w.entry.global);
}

Test(mmu, blocks_at_levels_1_and_2)
{
    struct mmu_regs r = plain();
    chain(0, 0, 0);
    put(0x2000, 3, UINT64_C(0x00000000c0000d01)); /* 1 GiB, AF, nG, SH 1 */
    put(0x3000, 7, UINT64_C(0x0010000040200505)); /* 2 MiB, contiguous, attribute 1 */
    struct sim_walk w = walk(&r, 0xc1234567);
    cr_assert(w.ok && w.entry.pa == 0xc0000000 && w.entry.size == 0x40000000 && !w.entry.global);
    cr_assert_eq(w.entry.level, 1);
    w = walk(&r, 7 * 0x200000 + 5);
    cr_assert(w.ok && w.entry.pa == 0x40200000 && w.entry.size == 0x200000 && w.entry.contiguous);
    cr_assert_eq(w.entry.memattr, 0x04);
}

Test(mmu, invalid_and_reserved_descriptors_are_translation_faults)
{
    struct mmu_regs r = plain();
    chain(0, 0, 0);
    put(0x4000, 1, 0x80000702); /* bit 0 clear: invalid (D8.3) */
    put(0x4000, 2, 0x80000701); /* level 3, bits 1:0 = 01: reserved */
    put(0x3000, 1, 0x2);
    put(0x2000, 1, 0);
    put(0x1000, 1, 0x80000701); /* level 0 block: none with 4 KiB without FEAT_LPA2 */
    put(0x1000, 2, 0);
    expect_fault(&r, 0x1000, 0x07);
    expect_fault(&r, 0x2000, 0x07);
    expect_fault(&r, 0x200000, 0x06);
    expect_fault(&r, 0x40000000, 0x05);
    expect_fault(&r, UINT64_C(1) << 39, 0x04);
    expect_fault(&r, UINT64_C(2) << 39, 0x04);
}

Test(mmu, walk_outside_memory_is_an_external_abort_on_the_walk)
{
    struct mmu_regs r = plain();
    put(0x1000, 0, 0x900003);
    expect_fault(&r, 0, 0x15); /* the read at level 1 failed: 0b010101 */
    put(0x1000, 0, 0x2003);
    put(0x2000, 0, 0x3003);
    put(0x3000, 0, 0x900003);
    expect_fault(&r, 0, 0x17);
    r.ttbr[0] = 0x900000;
    expect_fault(&r, 0, 0x14);
}

/* ---- D8.15: access flag, address size ------------------------------------------------------- */

Test(mmu, access_flag_faults_carry_the_level)
{
    struct mmu_regs r = plain();
    chain(0, 0, 0);
    put(0x4000, 0, 0x80000303);
    put(0x3000, 1, 0x80000301);
    put(0x2000, 1, 0x80000301);
    expect_fault(&r, 0, 0x0b);
    expect_fault(&r, 0x200000, 0x0a);
    expect_fault(&r, 0x40000000, 0x09);
}

Test(mmu, addresses_beyond_ips_are_address_size_faults)
{
    struct mmu_regs r = plain();
    r.tcr = (r.tcr & ~(UINT64_C(7) << 32)) | UINT64_C(1) << 32; /* IPS 1: 36 bits */
    chain(0, 0, 0);
    put(0x4000, 0, UINT64_C(0x0000001000000703)); /* bit 36 */
    put(0x4000, 1, UINT64_C(0x0000000ffffff703)); /* the last that fits */
    put(0x3000, 1, UINT64_C(0x0000001000000701));
    put(0x2000, 1, UINT64_C(0x0000001000000003)); /* next table too far */
    put(0x1000, 1, UINT64_C(0x0000800000000003));
    expect_fault(&r, 0, 0x03);
    cr_assert(walk(&r, 0x1000).ok);
    expect_fault(&r, 0x200000, 0x02);
    expect_fault(&r, 0x40000000, 0x01);
    expect_fault(&r, UINT64_C(1) << 39, 0x00);
    r.ttbr[0] = UINT64_C(0x1000001000);
    expect_fault(&r, 0, 0x00);
}

Test(mmu, the_cpu_s_physical_size_bounds_ips)
{
    struct mmu_regs r = plain();
    r.pa_bits = 40;
    chain(0, 0, 0);
    put(0x4000, 0, UINT64_C(0x0000010000000703)); /* bit 40, IPS says 48 */
    expect_fault(&r, 0, 0x03);
}

/* ---- D8.2: sizes, halves, tags -------------------------------------------------------------- */

Test(mmu, start_level_follows_the_size)
{
    struct mmu_regs r = plain();
    static const struct {
        uint32_t txsz;
        int32_t level;
    } cases[] = {{16, 0}, {24, 0},  {25, 1},  {33, 1}, {34, 2},
                 {39, 2}, {15, -1}, {40, -1}, {63, -1}};
    for (uint32_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        r.tcr = (r.tcr & ~UINT64_C(0x3f003f)) | cases[i].txsz | (uint64_t)cases[i].txsz << 16;
        cr_expect_eq(mmu_start_level(&r, 0), cases[i].level, "T0SZ %u", cases[i].txsz);
        cr_expect_eq(mmu_start_level(&r, 1), cases[i].level, "T1SZ %u", cases[i].txsz);
    }
}

Test(mmu, addresses_outside_the_halves_are_level_0_translation_faults)
{
    struct mmu_regs r = plain();
    r.tcr = (r.tcr & ~UINT64_C(0x3f003f)) | 25 | UINT64_C(25) << 16; /* 39 bits */
    put(0x1000, 0, 0x80000701);
    put(0x1000, 511, 0x80000701);
    put(0x5000, 0, 0x80000701);
    put(0x5000, 511, 0x80000701);
    cr_expect(walk(&r, 0).ok);
    cr_expect(walk(&r, UINT64_C(0x0000007fffffffff)).ok);
    expect_fault(&r, UINT64_C(0x0000008000000000), 0x04);
    expect_fault(&r, UINT64_C(0x007fffffffffffff), 0x04);
    expect_fault(&r, UINT64_C(0xff00000000000000), 0x04); /* bit 55 clear: TTBR0's half */
    cr_expect(walk(&r, UINT64_C(0xffffffffffffffff)).ok);
    cr_expect(walk(&r, UINT64_C(0xffffff8000000000)).ok);
    expect_fault(&r, UINT64_C(0xffffff7fffffffff), 0x04);
    cr_expect_eq(mmu_va_base(&r, 1), UINT64_C(0xffffff8000000000));
}

Test(mmu, tags_are_ignored_where_tbi_says_so)
{
    struct mmu_regs r = plain();
    chain(0, 0, 0);
    put(0x4000, 0, 0x80000703);
    expect_fault(&r, UINT64_C(0x1200000000000000), 0x04);
    r.tcr |= UINT64_C(1) << 37;
    struct sim_walk w = walk(&r, UINT64_C(0x1200000000000000));
    cr_assert(w.ok);
    cr_assert_eq(w.entry.va, 0);
    cr_assert_eq(mmu_strip(&r, UINT64_C(0x12ff000000000000)), UINT64_C(0x12ff000000000000),
                 "bit 55 set: TBI1 counts, and is clear");
}

Test(mmu, epd_and_other_granules_stop_walks)
{
    struct mmu_regs r = plain();
    chain(0, 0, 0);
    put(0x4000, 0, 0x80000703);
    cr_assert(walk(&r, 0).ok);
    r.tcr |= UINT64_C(1) << 7; /* EPD0 */
    expect_fault(&r, 0, 0x04);
    r.tcr &= ~(UINT64_C(1) << 7);
    r.tcr |= UINT64_C(1) << 14; /* TG0 1: 64 KiB, which this CPU has not */
    expect_fault(&r, 0, 0x04);
}

Test(mmu, a_small_root_is_aligned_to_its_size)
{
    struct mmu_regs r = plain();
    r.tcr = (r.tcr & ~UINT64_C(0x3f)) | 28; /* 36 bits: level 1, 64 entries, 512 bytes */
    r.ttbr[0] = 0x1201;                     /* CnP is no address bit */
    put(0x1000, 64 + 2, 0x80000701);
    struct sim_walk w = walk(&r, 0x80000000);
    cr_assert(w.ok);
    cr_assert_eq(w.entry.step[0].desc_pa, 0x1210);
}

/* ---- D8.4: permissions ---------------------------------------------------------------------- */

enum {
    R1 = 1,
    W1 = 2,
    X1 = 4,
    R0 = 8,
    W0 = 16,
    X0 = 32
};

static uint32_t perm_of(const struct mmu_regs *r, uint64_t attributes)
{
    put(0x4000, 0, 0x80000703 | attributes);
    struct sim_walk w = walk(r, 0);
    return w.ok ? w.entry.perm : 0x100;
}

#define AP(n) ((uint64_t)(n) << 6)
#define PXN   (UINT64_C(1) << 53)
#define UXN   (UINT64_C(1) << 54)

Test(mmu, access_permissions_of_a_leaf)
{
    struct mmu_regs r = plain();
    chain(0, 0, 0);
    cr_expect_eq(perm_of(&r, AP(0)), R1 | W1 | X1 | X0);
    cr_expect_eq(perm_of(&r, AP(1)), R1 | W1 | R0 | W0 | X0, "writable at EL0: never X at EL1");
    cr_expect_eq(perm_of(&r, AP(2)), R1 | X1 | X0);
    cr_expect_eq(perm_of(&r, AP(3)), R1 | X1 | R0 | X0);
    cr_expect_eq(perm_of(&r, AP(0) | PXN), R1 | W1 | X0);
    cr_expect_eq(perm_of(&r, AP(2) | UXN), R1 | X1);
    cr_expect_eq(perm_of(&r, AP(3) | UXN | PXN), R1 | R0);
}

Test(mmu, write_implies_execute_never_under_wxn)
{
    struct mmu_regs r = plain();
    chain(0, 0, 0);
    r.sctlr |= UINT64_C(1) << 19;
    cr_expect_eq(perm_of(&r, AP(0)), R1 | W1 | X0);
    cr_expect_eq(perm_of(&r, AP(1)), R1 | W1 | R0 | W0);
    cr_expect_eq(perm_of(&r, AP(2)), R1 | X1 | X0);
}

Test(mmu, tables_take_permissions_away_unless_hpd)
{
    struct mmu_regs r = plain();
    const uint64_t pxn_table = UINT64_C(1) << 59, uxn_table = UINT64_C(1) << 60;
    const uint64_t no_el0 = UINT64_C(1) << 61, read_only = UINT64_C(1) << 62;
    chain(no_el0, read_only, pxn_table | uxn_table);
    cr_expect_eq(perm_of(&r, AP(1)), R1);
    chain(0, read_only, 0);
    cr_expect_eq(perm_of(&r, AP(1)), R1 | X1 | R0 | X0);
    chain(no_el0, 0, 0);
    cr_expect_eq(perm_of(&r, AP(1)), R1 | W1 | X1 | X0);
    chain(pxn_table, 0, uxn_table);
    cr_expect_eq(perm_of(&r, AP(0)), R1 | W1);
    r.tcr |= UINT64_C(1) << 41; /* HPD0 */
    cr_expect_eq(perm_of(&r, AP(0)), R1 | W1 | X1 | X0);
    r.features &= ~(uint32_t)MACHINE_HPDS;
    cr_expect_eq(perm_of(&r, AP(0)), R1 | W1, "a CPU without FEAT_HPDS ignores the bit");
}

Test(mmu, judge_gives_the_level_and_pan_keeps_el1_off_user_pages)
{
    struct mmu_regs r = plain();
    cr_expect_eq(mmu_judge(&r, R1, 3, SIM_READ, false), 0);
    cr_expect_eq(mmu_judge(&r, R1, 3, SIM_WRITE, false), 0x0f);
    cr_expect_eq(mmu_judge(&r, R1, 2, SIM_FETCH, false), 0x0e);
    cr_expect_eq(mmu_judge(&r, R1, 1, SIM_READ, true), 0x0d);
    cr_expect_eq(mmu_judge(&r, R1 | R0, 3, SIM_READ, false), 0, "SPAN set: PAN stays clear");
    r.sctlr &= ~(UINT64_C(1) << 23);
    cr_expect_eq(mmu_judge(&r, R1 | R0, 3, SIM_READ, false), 0x0f);
    cr_expect_eq(mmu_judge(&r, R1 | R0, 3, SIM_READ, true), 0);
    cr_expect_eq(mmu_judge(&r, R1 | R0 | X1, 3, SIM_FETCH, false), 0, "PAN is for data");
    r.features &= ~(uint32_t)MACHINE_PAN;
    cr_expect_eq(mmu_judge(&r, R1 | R0, 3, SIM_READ, false), 0);
}

/* ---- ASIDs, syndromes, PAR ------------------------------------------------------------------ */

Test(mmu, asid_comes_from_the_ttbr_that_a1_names)
{
    struct mmu_regs r = plain();
    r.ttbr[0] |= UINT64_C(0x1234) << 48;
    r.ttbr[1] |= UINT64_C(0x5678) << 48;
    cr_expect_eq(mmu_asid(&r), 0x34, "AS 0: 8 bits");
    r.tcr |= UINT64_C(1) << 36;
    cr_expect_eq(mmu_asid(&r), 0x1234);
    r.tcr |= UINT64_C(1) << 22;
    cr_expect_eq(mmu_asid(&r), 0x5678);
    r.features &= ~(uint32_t)MACHINE_ASID16;
    cr_expect_eq(mmu_asid(&r), 0x78);
}

Test(mmu, syndromes)
{
    cr_expect_eq(mmu_syndrome(SIM_READ, false, 0x07), 0x96000007u);
    cr_expect_eq(mmu_syndrome(SIM_WRITE, false, 0x0f), 0x9600004fu);
    cr_expect_eq(mmu_syndrome(SIM_FETCH, false, 0x0f), 0x8600000fu);
    cr_expect_eq(mmu_syndrome(SIM_READ, true, 0x05), 0x92000005u);
    cr_expect_eq(mmu_syndrome(SIM_FETCH, true, 0x04), 0x82000004u);
}

Test(mmu, par_of_success_and_failure)
{
    struct mmu_regs r = plain();
    chain(0, 0, 0);
    put(0x4000, 1, UINT64_C(0x0000123456789703) | 3 << 2); /* attribute 3: 0xff, SH 3 */
    put(0x4000, 2, UINT64_C(0x0000123456789703) | 0 << 2); /* attribute 0: Device-nGnRnE */
    put(0x4000, 3, UINT64_C(0x0000123456789703) | 2 << 2); /* attribute 2: 0x44 */
    put(0x3000, 1, UINT64_C(0x0000000040000701) | 3 << 2); /* block */
    struct sim_walk w = walk(&r, 0x1234);
    cr_expect_eq(mmu_par(&w, 0x1234, 0), UINT64_C(0xff00123456789980));
    w = walk(&r, 0x2234);
    cr_expect_eq(mmu_par(&w, 0x2234, 0), UINT64_C(0x0000123456789900), "Device reads as OSH");
    w = walk(&r, 0x3234);
    cr_expect_eq(mmu_par(&w, 0x3234, 0), UINT64_C(0x4400123456789900), "so does Non-cacheable");
    w = walk(&r, 0x212345);
    cr_expect_eq(mmu_par(&w, 0x212345, 0), UINT64_C(0xff00000040012980), "page within the block");
    w = walk(&r, 0x9000);
    cr_expect_eq(mmu_par(&w, 0x9000, 0), 0x80fu, "FST 0b000111");
    w = walk(&r, 0x1234);
    cr_expect_eq(mmu_par(&w, 0x1234, 0x0f), 0x81fu, "FST 0b001111");
}

Test(mmu, a_walk_from_a_cached_level_reads_only_below_it)
{
    struct mmu_regs r = plain();
    chain(UINT64_C(1) << 62, 0, 0); /* read-only from level 0 on */
    put(0x4000, 5, 0x80000703);
    struct sim_walk w = walk(&r, 0x5000);
    cr_assert(w.ok);
    struct sim_tlb_entry middle = w.entry;
    middle.step_count = 2;
    middle.level = 1;
    middle.leaf = false;
    middle.pa = 0x3000;
    middle.va = 0;
    middle.size = UINT64_C(1) << 30;
    put(0x1000, 0, 0); /* what was cached is no longer there */
    put(0x2000, 0, 0);
    mmu_walk(&r, 0x5000, &middle, read_memory, NULL, &w);
    cr_assert(w.ok);
    cr_assert_eq(w.entry.pa, 0x80000000);
    cr_assert_eq(w.entry.step_count, 4);
    cr_assert_eq(w.entry.perm & W1, 0, "hierarchical limits are cached too");
    mmu_walk(&r, 0x6000, &middle, read_memory, NULL, &w);
    cr_assert(!w.ok && w.dfsc == 0x07);
}
