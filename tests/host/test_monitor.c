/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The monitors, told of events by hand: no machine, no kernel.
 *
 * A fake of 64 pages holds the tables; walks are made here, bit by bit, so that an entry can be
 * kept for as long as a test wants it. Every bad case has a good twin that adds the missing step.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../sim/monitor/monitor.h"
#include "kc_test.h"

#define BASE  UINT64_C(0x80000000)
#define PAGES 64u
#define L0    (BASE + 0x0000)
#define L1    (BASE + 0x1000)
#define L2    (BASE + 0x2000)
#define L3    (BASE + 0x3000)
#define SPARE (BASE + 0x4000)
#define FRAME (BASE + 0x10000)
#define OTHER (BASE + 0x11000)
#define VA    UINT64_C(0x40201000) /* slots 0, 1, 1, 1 */
#define VA2   UINT64_C(0x40202000)
#define ASID  7u
#define TABLE 3u
/* AF, inner shareable, nG, EL1 RW, never executable */
#define PAGE   (UINT64_C(0x60000000000403) | 3u << 8 | 1u << 11)
#define RO     (UINT64_C(1) << 7)
#define DEVICE (UINT64_C(1) << 2) /* attribute index 1 */
#define LOCK   UINT64_C(0x5000)

static uint64_t ram[PAGES * 512];
static uint64_t reg[KC_CPUS_MAX][KC_SYSREG_COUNT];
static uint64_t now;
static struct monitor *mon;
static int owner;
static struct sim_tlb_entry held; /* what each_stale offers */
static bool holds;
static uint64_t linear; /* where the linear map of the next setup() is */

static bool fake_read(void *ctx, uint64_t pa, uint64_t *out)
{
    (void)ctx;
    if (pa < BASE || pa >= BASE + PAGES * 4096u) {
        return false;
    }
    *out = ram[(pa - BASE) / 8];
    return true;
}

static uint64_t fake_sysreg(void *ctx, uint32_t cpu, enum kc_sysreg r)
{
    (void)ctx;
    return reg[cpu][r];
}

static uint64_t fake_now(void *ctx)
{
    (void)ctx;
    return now;
}

static uint32_t fake_each_stale(void *ctx, sim_tlb_fn fn, void *arg)
{
    (void)ctx;
    if (holds) {
        (void)fn(0, &held, arg);
    }
    return holds;
}

static void store(uint32_t cpu, uint64_t pa, uint64_t value)
{
    now++;
    mon_desc_store(mon, cpu, pa, ram[(pa - BASE) / 8], value, MON_STORE);
    ram[(pa - BASE) / 8] = value;
}

static void set(uint32_t cpu, enum kc_sysreg r, uint64_t value)
{
    now++;
    mon_sysreg_write(mon, cpu, r, reg[cpu][r], value);
    reg[cpu][r] = value;
}

static void barrier(uint32_t cpu, enum kc_barrier b)
{
    now++;
    mon_barrier(mon, cpu, b);
}

static void tlbi(uint32_t cpu, enum kc_tlbi op, uint64_t operand)
{
    now++;
    mon_tlbi(mon, cpu, op, operand);
}

static void note(uint32_t cpu, enum kc_note kind, uint64_t base, uint64_t size)
{
    now++;
    mon_note(mon, cpu, kind, base, size, &owner);
}

static uint64_t operand(uint64_t va, uint64_t asid)
{
    return asid << 48 | (va >> 12 & ((UINT64_C(1) << 44) - 1));
}

/* Walk as the hardware would, from root or from a cached entry's table. */
static struct sim_tlb_entry walk(uint64_t va)
{
    struct sim_tlb_entry e = {.root = L0, .asid = ASID, .leaf = true};
    uint64_t at = L0;
    now++;
    e.seq = now;
    for (int32_t level = 0; level <= 3; level++) {
        uint64_t pa = at + 8 * (va >> (12 + 9 * (3 - level)) & 511);
        uint64_t d = 0;
        (void)fake_read(NULL, pa, &d);
        e.step[e.step_count++] = (struct sim_walk_step){pa, d, 0, level, 0};
        at = d & UINT64_C(0xfffffffff000);
        e.level = (uint8_t)level;
        if (level == 3 || (d & 2) == 0) {
            break;
        }
    }
    e.size = UINT64_C(1) << (12 + 9 * (3 - e.level));
    e.va = va & ~(e.size - 1);
    e.pa = at & ~(e.size - 1);
    return e;
}

static struct sim_tlb_entry fill(uint32_t cpu, uint64_t va)
{
    struct sim_tlb_entry e = walk(va);
    mon_tlb_fill(mon, cpu, &e);
    return e;
}

static bool touch(uint32_t cpu, const struct sim_tlb_entry *e, uint64_t va, bool write)
{
    struct mon_access a = {
        .va = va, .pa = e->pa + (va - e->va), .size = 8, .write = write, .el = 1};
    return mon_access(mon, cpu, &a, e);
}

static void enable(uint32_t cpu)
{
    mon_cpu(mon, cpu, true);
    reg[cpu][KC_ID_AA64MMFR0_EL1] = 5;
    set(cpu, KC_MAIR_EL1, 0x04ff);
    set(cpu, KC_TCR_EL1, 16 | UINT64_C(16) << 16 | UINT64_C(1) << 23 | UINT64_C(1) << 36);
    set(cpu, KC_TTBR0_EL1, L0 | (uint64_t)ASID << 48);
    barrier(cpu, KC_ISB);
    set(cpu, KC_SCTLR_EL1, 1);
    barrier(cpu, KC_ISB);
}

/* Two CPUs run on one set of tables that maps VA to FRAME and VA2 to the page after. */
static void setup(void)
{
    memset(ram, 0, sizeof(ram));
    memset(reg, 0, sizeof(reg));
    now = 0;
    holds = false;
    struct mon_config c = {.cpu_count = 2, .seed = 42};
    c.machine = (struct mon_machine){
        .now = fake_now, .read = fake_read, .sysreg = fake_sysreg, .each_stale = fake_each_stale};
    c.machine.linear = linear;
    mon = mon_create(&c);
    cr_assert_not_null(mon);
    note(0, KC_NOTE_PT_LOCK, LOCK, 0);
    note(0, KC_NOTE_ROOT, L0, 4096);
    for (uint64_t t = L1; t <= L3; t += 4096) {
        note(0, KC_NOTE_TABLE, t, 4096);
    }
    store(0, L0, L1 | TABLE);
    store(0, L1 + 8, L2 | TABLE);
    store(0, L2 + 8, L3 | TABLE);
    store(0, L3 + 8, FRAME | PAGE);
    store(0, L3 + 16, OTHER | PAGE);
    barrier(0, KC_DSB_ISH);
    enable(0);
    enable(1);
    note(0, KC_NOTE_LOCK_TAKEN, LOCK, 9);
}

static void teardown(void)
{
    mon_destroy(mon);
    mon = NULL;
}

/* The first report of a row, or NULL. */
static const struct mon_report *report_of(enum mon_row row)
{
    const struct mon_report *r = mon_report_at(mon, 0);
    for (size_t i = 1; r != NULL && r->row != row; i++) {
        r = mon_report_at(mon, i);
    }
    return r;
}

/* Exactly this row reported, once or more, and the missing step holds these words. */
static void expect(enum mon_row row, const char *missing)
{
    for (uint32_t i = 0; i < MON_ROW_COUNT; i++) {
        bool should = i == (uint32_t)row;
        if (!should && mon_row_is_lint((enum mon_row)i)) {
            continue; /* no verdict */
        }
        cr_expect((mon_violations(mon, (enum mon_row)i) != 0) == should, "row %s: %llu reports",
                  mon_row_name((enum mon_row)i),
                  (unsigned long long)mon_violations(mon, (enum mon_row)i));
    }
    const struct mon_report *r = report_of(row);
    cr_assert_not_null(r);
    cr_expect_not_null(strstr(r->missing, missing), "\"%s\" does not say \"%s\"", r->missing,
                       missing);
    cr_expect_eq(r->seed, 42);
    cr_expect_gt(mon_judgements(mon, row), 0);
}

static void expect_clean(void)
{
    cr_expect_eq(mon_total(mon), 0, "first report: %s; %s",
                 mon_report_at(mon, 0) != NULL ? mon_report_at(mon, 0)->sentence : "none",
                 mon_report_at(mon, 0) != NULL ? mon_report_at(mon, 0)->missing : "");
}

static void invalidate(void)
{
    barrier(0, KC_DSB_ISHST);
    tlbi(0, KC_TLBI_VALE1IS, operand(VA, ASID));
    barrier(0, KC_DSB_ISH);
}

TestSuite(monitor, .init = setup, .fini = teardown);

Test(monitor, break_before_make_is_clean)
{
    struct sim_tlb_entry e = fill(1, VA);
    store(0, L3 + 8, 0);
    cr_expect(!touch(1, &e, VA, false), "a stale entry must not be remembered as good");
    invalidate();
    store(0, L3 + 8, OTHER | PAGE);
    barrier(0, KC_DSB_ISHST);
    note(0, KC_NOTE_LOCK_RELEASED, LOCK, 9);
    note(0, KC_NOTE_FRAME_FREE, FRAME, 4096);
    struct sim_tlb_entry f = fill(1, VA);
    cr_expect(touch(1, &f, VA, true));
    expect_clean();
    cr_expect_gt(mon_judgements(mon, MON_T6), 0);
    cr_expect_gt(mon_judgements(mon, MON_T19), 0);
}

Test(monitor, t1_output_address_changed_live)
{
    store(0, L3 + 8, OTHER | PAGE);
    expect(MON_T1, "break-before-make");
}

Test(monitor, t2_memory_type_changed_live)
{
    store(0, L3 + 8, FRAME | PAGE | DEVICE);
    expect(MON_T2, "break-before-make");
}

Test(monitor, t3_table_replaced_by_block_live)
{
    store(0, L2 + 8, (BASE + 0x200000) | (PAGE & ~UINT64_C(2)));
    expect(MON_T3, "TLBI VAE1IS");
}

Test(monitor, t3_is_allowed_at_bbm_level_2)
{
    reg[0][KC_ID_AA64MMFR2_EL1] = UINT64_C(2) << 52;
    store(0, L2 + 8, (BASE + 0x200000) | (PAGE & ~UINT64_C(2)));
    expect_clean();
}

Test(monitor, permissions_and_software_bits_may_change_live)
{
    store(0, L3 + 8, FRAME | PAGE | RO);
    invalidate();
    store(0, L3 + 8, FRAME | PAGE | RO | UINT64_C(3) << 55);
    store(0, L3 + 8, FRAME | PAGE); /* wider: nothing owed */
    note(0, KC_NOTE_LOCK_RELEASED, LOCK, 9);
    expect_clean();
}

Test(monitor, an_inactive_table_may_be_changed_at_will)
{
    note(0, KC_NOTE_TABLE, SPARE, 4096);
    store(0, SPARE, FRAME | PAGE);
    store(0, SPARE, OTHER | PAGE);
    note(0, KC_NOTE_LOCK_RELEASED, LOCK, 9);
    expect_clean();
}

Test(monitor, t6_remade_without_tlbi)
{
    store(0, L3 + 8, 0);
    barrier(0, KC_DSB_ISHST);
    store(0, L3 + 8, OTHER | PAGE);
    expect(MON_T6, "missing: TLBI VALE1IS (or wider) for va 0x40201000");
}

Test(monitor, t6_remade_before_the_dsb)
{
    store(0, L3 + 8, 0);
    barrier(0, KC_DSB_ISHST);
    tlbi(0, KC_TLBI_VALE1IS, operand(VA, ASID));
    store(0, L3 + 8, OTHER | PAGE);
    expect(MON_T6, "missing: DSB ISH between the TLBI VALE1IS");
}

Test(monitor, t6_a_store_dsb_completes_no_tlbi)
{
    store(0, L3 + 8, 0);
    barrier(0, KC_DSB_ISHST);
    tlbi(0, KC_TLBI_VALE1IS, operand(VA, ASID));
    barrier(0, KC_DSB_ISHST);
    store(0, L3 + 8, OTHER | PAGE);
    expect(MON_T6, "the DSB ISHST at t=");
}

Test(monitor, t6_a_restored_value_needs_nothing)
{
    store(0, L3 + 8, 0);
    store(0, L3 + 8, FRAME | PAGE);
    note(0, KC_NOTE_LOCK_RELEASED, LOCK, 9);
    expect_clean();
}

Test(monitor, t6_lock_released_with_the_tlbi_owed)
{
    store(0, L3 + 8, 0);
    barrier(0, KC_DSB_ISHST);
    note(0, KC_NOTE_LOCK_RELEASED, LOCK, 9);
    expect(MON_T6, "the release of the lock");
}

Test(monitor, t7_no_dsb_before_the_tlbi)
{
    store(0, L3 + 8, 0);
    tlbi(0, KC_TLBI_VALE1IS, operand(VA, ASID));
    barrier(0, KC_DSB_ISH);
    store(0, L3 + 8, OTHER | PAGE);
    expect(MON_T7, "missing: DSB ISHST between the store");
}

Test(monitor, t7_a_dmb_does_not_replace_the_dsb)
{
    store(0, L3 + 8, 0);
    barrier(0, KC_DMB_ISHST);
    tlbi(0, KC_TLBI_VALE1IS, operand(VA, ASID));
    barrier(0, KC_DSB_ISH);
    note(0, KC_NOTE_LOCK_RELEASED, LOCK, 9);
    expect(MON_T7, "missing: DSB ISHST between the store");
}

Test(monitor, t8_local_tlbi)
{
    store(0, L3 + 8, 0);
    barrier(0, KC_DSB_ISHST);
    tlbi(0, KC_TLBI_VALE1, operand(VA, ASID));
    barrier(0, KC_DSB_ISH);
    store(0, L3 + 8, OTHER | PAGE);
    expect(MON_T8, "the broadcast form");
}

Test(monitor, t8_local_tlbi_on_every_cpu_is_clean)
{
    store(0, L3 + 8, 0);
    barrier(0, KC_DSB_ISHST);
    for (uint32_t cpu = 0; cpu < 2; cpu++) {
        tlbi(cpu, KC_TLBI_VALE1, operand(VA, ASID));
        barrier(cpu, KC_DSB_NSH);
    }
    store(0, L3 + 8, OTHER | PAGE);
    expect_clean();
}

Test(monitor, t8_narrow_dsb)
{
    store(0, L3 + 8, 0);
    barrier(0, KC_DSB_ISHST);
    tlbi(0, KC_TLBI_VALE1IS, operand(VA, ASID));
    barrier(0, KC_DSB_NSH);
    store(0, L3 + 8, OTHER | PAGE);
    expect(MON_T8, "DSB NSH completes it on CPU 0 only");
}

Test(monitor, t8_local_is_enough_for_the_only_cpu)
{
    mon_cpu(mon, 1, false);
    store(0, L3 + 8, 0);
    barrier(0, KC_DSB_NSHST);
    tlbi(0, KC_TLBI_VALE1, operand(VA, ASID));
    barrier(0, KC_DSB_NSH);
    store(0, L3 + 8, OTHER | PAGE);
    expect_clean();
}

static void remake_after(enum kc_tlbi op, uint64_t xt)
{
    store(0, L3 + 8, 0);
    barrier(0, KC_DSB_ISHST);
    tlbi(0, op, xt);
    barrier(0, KC_DSB_ISH);
    store(0, L3 + 8, OTHER | PAGE);
}

Test(monitor, t9_wrong_asid)
{
    remake_after(KC_TLBI_VALE1IS, operand(VA, ASID + 1));
    expect(MON_T9, "does not name ASID 7");
}

Test(monitor, t9_wrong_address)
{
    remake_after(KC_TLBI_VALE1IS, operand(VA + 0x5000, ASID));
    expect(MON_T9, "for an address that nobody changed");
}

Test(monitor, t9_wrong_level_hint)
{
    remake_after(KC_TLBI_VALE1IS, operand(VA, ASID) | UINT64_C(6) << 44);
    expect(MON_T9, "the right level hint");
}

Test(monitor, t9_right_level_hint_is_clean)
{
    remake_after(KC_TLBI_VALE1IS, operand(VA, ASID) | UINT64_C(7) << 44);
    expect_clean();
}

Test(monitor, t9_range_too_short)
{
    /* two pages: SCALE 0, NUM 0, from VA - 4 KiB; VA2 stays */
    store(0, L3 + 8, 0);
    store(0, L3 + 16, 0);
    barrier(0, KC_DSB_ISHST);
    tlbi(0, KC_TLBI_RVALE1IS, (uint64_t)ASID << 48 | UINT64_C(1) << 46 | ((VA >> 12) - 1));
    barrier(0, KC_DSB_ISH);
    store(0, L3 + 16, FRAME | PAGE);
    expect(MON_T9, "a longer range");
}

Test(monitor, t9_range_that_reaches_is_clean)
{
    store(0, L3 + 8, 0);
    store(0, L3 + 16, 0);
    barrier(0, KC_DSB_ISHST);
    tlbi(0, KC_TLBI_RVALE1IS, (uint64_t)ASID << 48 | UINT64_C(1) << 46 | VA >> 12);
    barrier(0, KC_DSB_ISH);
    store(0, L3 + 16, FRAME | PAGE);
    expect_clean();
}

Test(monitor, by_asid_and_all_cover)
{
    remake_after(KC_TLBI_ASIDE1IS, (uint64_t)ASID << 48);
    store(0, L3 + 8, 0);
    barrier(0, KC_DSB_ISHST);
    tlbi(0, KC_TLBI_VMALLE1IS, 0);
    barrier(0, KC_DSB_ISH);
    store(0, L3 + 8, FRAME | PAGE);
    expect_clean();
}

Test(monitor, t10_last_level_after_a_table_was_unlinked)
{
    store(0, L3 + 8, 0);
    store(0, L3 + 16, 0);
    store(0, L2 + 8, 0);
    barrier(0, KC_DSB_ISHST);
    tlbi(0, KC_TLBI_VALE1IS, operand(VA, ASID));
    tlbi(0, KC_TLBI_VALE1IS, operand(VA2, ASID));
    barrier(0, KC_DSB_ISH);
    note(0, KC_NOTE_LOCK_RELEASED, LOCK, 9);
    expect(MON_T10, "leaves cached table descriptors");
}

Test(monitor, t11_no_isb_after_making)
{
    store(0, L3 + 24, OTHER | PAGE);
    barrier(0, KC_DSB_ISHST);
    struct sim_tlb_entry e = fill(0, VA2 + 0x1000);
    touch(0, &e, VA2 + 0x1000, false);
    expect(MON_T11, "missing: ISB");
}

Test(monitor, t11_dsb_and_isb_are_enough)
{
    store(0, L3 + 24, OTHER | PAGE);
    barrier(0, KC_DSB_ISHST);
    barrier(0, KC_ISB);
    struct sim_tlb_entry e = fill(0, VA2 + 0x1000);
    touch(0, &e, VA2 + 0x1000, false);
    expect_clean();
}

Test(monitor, t11_isb_before_the_dsb_is_no_use)
{
    store(0, L3 + 24, OTHER | PAGE);
    barrier(0, KC_ISB);
    struct sim_tlb_entry e = fill(0, VA2 + 0x1000);
    touch(0, &e, VA2 + 0x1000, false);
    expect(MON_T11, "missing: DSB ISHST, then ISB");
}

Test(monitor, t13_plain_store_to_a_live_table)
{
    mon_plain_access(mon, 0, L3 + 8, 4, true);
    expect(MON_T13, "single-copy atomic store");
}

Test(monitor, t13_plain_store_to_a_table_to_be_is_clean)
{
    note(0, KC_NOTE_TABLE, SPARE, 4096);
    mon_plain_access(mon, 0, SPARE, 8, true);
    mon_plain_access(mon, 0, L3, 8, false);
    expect_clean();
}

Test(monitor, t14_output_address_beyond_the_cpu)
{
    reg[0][KC_ID_AA64MMFR0_EL1] = 0;
    store(0, L3 + 24, UINT64_C(0x100000000) | PAGE);
    expect(MON_T14, "beyond the PA size");
}

Test(monitor, t14_reserved_shareability_and_kind)
{
    store(0, L3 + 24, FRAME | (PAGE & ~(UINT64_C(3) << 8)) | UINT64_C(1) << 8);
    expect(MON_T14, "shareability");
    store(0, L3 + 32, FRAME | (PAGE & ~UINT64_C(2)));
    cr_expect_eq(mon_violations(mon, MON_T14), 2);
}

Test(monitor, t16_on_the_changers_own_cpu)
{
    struct sim_tlb_entry e = fill(0, VA);
    touch(0, &e, VA, true);
    store(0, L3 + 8, 0);
    touch(0, &e, VA, false);
    expect(MON_T16, "missing: TLBI VALE1IS (or wider) for va 0x40201000");
}

Test(monitor, t16_elsewhere_only_after_the_release)
{
    struct sim_tlb_entry e = fill(1, VA);
    store(0, L3 + 8, 0);
    touch(1, &e, VA, true);
    expect_clean();
    mon_set_policy(mon, MON_T6, MON_OFF);
    note(0, KC_NOTE_LOCK_RELEASED, LOCK, 9);
    touch(1, &e, VA, true);
    expect(MON_T16, "missing: TLBI");
    const struct mon_report *r = mon_report_at(mon, 0);
    cr_expect_geq(r->cause_count, 3);
    cr_expect_eq(r->cpu, 1);
    for (uint32_t i = 1; i < r->cause_count; i++) {
        cr_expect_leq(r->cause[i - 1].at, r->cause[i].at, "causes are in order");
    }
}

Test(monitor, t16_without_a_known_lock_needs_happens_before)
{
    struct sim_tlb_entry e = fill(1, VA);
    mon_note(mon, 0, KC_NOTE_ROOT, L0, 4096, NULL); /* owner unknown: no lock known */
    store(0, L3 + 8, 0);
    note(0, KC_NOTE_LOCK_RELEASED, LOCK + 64, 1);
    touch(1, &e, VA, true);
    expect_clean();
    note(1, KC_NOTE_LOCK_TAKEN, LOCK + 64, 1);
    touch(1, &e, VA, true);
    expect(MON_T16, "missing: TLBI");
}

Test(monitor, t16_not_where_old_and_new_agree)
{
    struct sim_tlb_entry e = fill(0, VA);
    store(0, L3 + 8, FRAME | PAGE | RO);
    touch(0, &e, VA, false);
    expect_clean();
    touch(0, &e, VA, true);
    expect(MON_T17, "missing: TLBI VALE1IS");
}

Test(monitor, t16_only_the_first_page_invalidated)
{
    struct sim_tlb_entry e = fill(0, VA2);
    store(0, L3 + 8, 0);
    store(0, L3 + 16, 0);
    invalidate();
    touch(0, &e, VA2, false);
    expect(MON_T16, "for va 0x40202000");
}

Test(monitor, t16_beneath_an_unlinked_table)
{
    struct sim_tlb_entry e = fill(0, VA2);
    store(0, L2 + 8, 0);
    barrier(0, KC_DSB_ISHST);
    tlbi(0, KC_TLBI_VAE1IS, operand(VA, ASID));
    barrier(0, KC_DSB_ISH);
    touch(0, &e, VA2, false);
    expect(MON_T16, "for va 0x40202000");
}

Test(monitor, t18_walk_through_a_freed_table)
{
    struct sim_tlb_entry e = fill(1, VA);
    store(0, L2 + 8, 0);
    note(0, KC_NOTE_TABLE_FREE, L3, 4096);
    mon_set_policy(mon, MON_T20, MON_OFF);
    mon_set_policy(mon, MON_T19, MON_OFF);
    note(0, KC_NOTE_FRAME_FREE, L3, 4096);
    ram[(L3 + 16 - BASE) / 8] = 0x123403;
    struct sim_tlb_entry through = e; /* steps 0 to 2 from the cache, step 3 from the freed page */
    through.seq = ++now;
    through.va = VA2;
    through.step[3] = (struct sim_walk_step){L3 + 16, 0x123403, 0, 3, 0};
    mon_tlb_fill(mon, 1, &through);
    expect(MON_T18, "missing: TLBI VAE1IS");
}

Test(monitor, t18_not_before_the_page_is_freed)
{
    struct sim_tlb_entry e = fill(1, VA);
    store(0, L2 + 8, 0);
    e.seq = ++now;
    mon_tlb_fill(mon, 1, &e);
    expect_clean();
    cr_expect_gt(mon_judgements(mon, MON_T18), 0);
}

Test(monitor, t19_page_freed_before_the_tlbi)
{
    store(0, L3 + 8, 0);
    barrier(0, KC_DSB_ISHST);
    note(0, KC_NOTE_FRAME_FREE, FRAME, 4096);
    expect(MON_T19, "missing: TLBI VALE1IS");
}

Test(monitor, t19_other_pages_are_nobodys_business)
{
    store(0, L3 + 8, 0);
    note(0, KC_NOTE_FRAME_FREE, OTHER + 4096, 4096);
    invalidate();
    note(0, KC_NOTE_FRAME_FREE, FRAME, 4096);
    expect_clean();
}

Test(monitor, t19_held_by_an_entry_that_no_store_explains)
{
    held = walk(VA);
    holds = true;
    ram[(L3 + 8 - BASE) / 8] = 0; /* the machine's TLB is stale, and nobody was told why */
    note(0, KC_NOTE_FRAME_FREE, FRAME, 4096);
    expect(MON_T19, "before the free");
}

Test(monitor, t19_page_freed_while_it_is_mapped)
{
    store(0, L3 + 24, (FRAME + 0x3000) | PAGE);
    note(0, KC_NOTE_FRAME_FREE, FRAME + 0x3000, 4096);
    expect(MON_T19, "missing: store of an invalid descriptor");
}

Test(monitor, t20_table_freed_before_the_tlbi)
{
    store(0, L3 + 8, 0);
    store(0, L3 + 16, 0);
    invalidate();
    tlbi(0, KC_TLBI_VALE1IS, operand(VA2, ASID));
    barrier(0, KC_DSB_ISH);
    store(0, L2 + 8, 0);
    barrier(0, KC_DSB_ISHST);
    note(0, KC_NOTE_TABLE_FREE, L3, 4096);
    note(0, KC_NOTE_FRAME_FREE, L3, 4096);
    expect(MON_T20, "missing: TLBI VAE1IS");
}

Test(monitor, t20_table_freed_while_linked)
{
    note(0, KC_NOTE_FRAME_FREE, L3, 4096);
    expect(MON_T20, "store of an invalid descriptor");
}

Test(monitor, t20_root_freed_after_the_asid_is_clean)
{
    for (uint32_t cpu = 0; cpu < 2; cpu++) {
        set(cpu, KC_TTBR0_EL1, SPARE);
        barrier(cpu, KC_ISB);
    }
    tlbi(0, KC_TLBI_ASIDE1IS, (uint64_t)ASID << 48);
    barrier(0, KC_DSB_ISH);
    for (uint64_t t = L0; t <= L3; t += 4096) {
        note(0, KC_NOTE_TABLE_FREE, t, 4096);
        note(0, KC_NOTE_FRAME_FREE, t, 4096);
    }
    expect_clean();
    cr_expect_eq(mon_judgements(mon, MON_T20), 4);
}

Test(monitor, t20_root_freed_without_the_asid)
{
    for (uint32_t cpu = 0; cpu < 2; cpu++) {
        set(cpu, KC_TTBR0_EL1, SPARE);
        barrier(cpu, KC_ISB);
    }
    note(0, KC_NOTE_FRAME_FREE, L0, 4096);
    expect(MON_T20, "TLBI ASIDE1IS");
}

Test(monitor, repeats_are_counted_and_kept_once)
{
    struct sim_tlb_entry e = fill(0, VA);
    store(0, L3 + 8, 0);
    for (int i = 0; i < 5; i++) {
        touch(0, &e, VA, false);
    }
    cr_expect_eq(mon_violations(mon, MON_T16), 5);
    cr_expect_eq(mon_report_at(mon, 0)->times, 5);
    cr_expect_null(mon_report_at(mon, 1));
}

Test(monitor, a_row_that_is_off_neither_judges_nor_reports)
{
    mon_set_policy(mon, MON_T1, MON_OFF);
    uint64_t before = mon_judgements(mon, MON_T1);
    store(0, L3 + 8, OTHER | PAGE);
    cr_expect_eq(mon_judgements(mon, MON_T1), before);
    cr_expect_eq(mon_violations(mon, MON_T1), 0);
}

Test(monitor, t11_a_fault_by_a_descriptor_not_synchronised_with)
{
    store(0, L3 + 24, OTHER | PAGE);
    struct mon_access a = {.va = VA2 + 4096, .size = 8, .el = 1};
    mon_fault(mon, 0, &a);
    expect(MON_T11, "DSB ISHST, then ISB");
}

Test(monitor, t11_a_fault_by_the_tables_is_nobodys_fault)
{
    store(0, L3 + 24, OTHER | PAGE | RO);
    struct mon_access a = {.va = VA2 + 4096, .size = 8, .el = 1, .write = true};
    mon_fault(mon, 0, &a);
    a.va += 4096;
    mon_fault(mon, 0, &a);
    expect_clean();
}

Test(monitor, t12_ttbr1_is_replaced_and_its_entries_stay)
{
    set(0, KC_TCR_EL1, reg[0][KC_TCR_EL1] & ~(UINT64_C(1) << 23)); /* EPD1 */
    set(0, KC_TTBR1_EL1, L0);
    barrier(0, KC_ISB);
    tlbi(0, KC_TLBI_VMALLE1, 0);
    barrier(0, KC_DSB_NSH);
    uint64_t high = VA | UINT64_C(0xffff) << 48;
    struct mon_access a = {.va = high, .size = 8, .el = 1};
    mon_fault(mon, 0, &a); /* all is settled: whatever is wrong with it, it is not T12 */
    expect_clean();
    store(0, L3 + 8, FRAME | (PAGE & ~(UINT64_C(1) << 11))); /* and global from here on */
    set(0, KC_TTBR1_EL1, SPARE);
    barrier(0, KC_ISB);
    cr_expect_eq(mon_violations(mon, MON_T12), 0);
    mon_fault(mon, 0, &a);
    cr_expect_eq(mon_violations(mon, MON_T12), 1);
    tlbi(0, KC_TLBI_VAAE1, operand(high, 0));
    mon_fault(mon, 0, &a); /* gone by address */
    cr_expect_eq(mon_violations(mon, MON_T12), 1);
}

Test(monitor, t12_values_that_serve_alike_are_no_violation)
{
    set(0, KC_MAIR_EL1, 0xbb04ff); /* an index that nothing uses */
    struct sim_tlb_entry e = fill(0, VA);
    touch(0, &e, VA, true);
    expect_clean();
    cr_expect_gt(mon_judgements(mon, MON_T12), 0);
}

Test(monitor, t25_the_machine_fills_from_an_invalid_descriptor)
{
    struct sim_tlb_entry e = walk(VA);
    e.step[3].value &= ~UINT64_C(1);
    mon_tlb_fill(mon, 0, &e);
    expect(MON_T25, "the machine is wrong");
}

Test(monitor, t25_what_was_widened_may_be_held_still)
{
    store(0, L3 + 8, FRAME | PAGE | RO);
    invalidate();
    struct sim_tlb_entry e = walk(VA);
    store(0, L3 + 8, FRAME | PAGE);
    mon_tlb_fill(mon, 1, &e); /* by a walker that has not seen the store */
    store(0, L3 + 8, 0);
    mon_tlb_fill(mon, 1, &e);
    expect_clean();
    invalidate();
    mon_tlb_fill(mon, 1, &e);
    expect(MON_T25, "the machine is wrong");
}

Test(monitor, t25_the_machine_fills_what_was_invalidated)
{
    struct sim_tlb_entry e = walk(VA);
    store(0, L3 + 8, 0);
    mon_tlb_fill(mon, 1, &e); /* until the invalidation is complete, any walker may hold it */
    expect_clean();
    invalidate();
    mon_tlb_fill(mon, 1, &e);
    expect(MON_T25, "the machine is wrong");
}

Test(monitor, t26_the_seam_reads_a_table_through_a_stale_linear_map)
{
    uint64_t high = VA | UINT64_C(0xffff) << 48;
    teardown();
    linear = high - FRAME;
    setup();
    linear = 0;
    set(0, KC_TCR_EL1, reg[0][KC_TCR_EL1] & ~(UINT64_C(1) << 23)); /* EPD1 */
    set(0, KC_TTBR1_EL1, L0);
    barrier(0, KC_ISB);
    mon_desc_load(mon, 0, FRAME + 8);
    store(0, L3 + 16, 0);
    mon_desc_load(mon, 0, FRAME + 8);
    expect_clean();
    cr_expect_gt(mon_judgements(mon, MON_T26), 1);
    store(0, L3 + 8, 0);
    mon_desc_load(mon, 0, FRAME + 8);
    expect(MON_T26, "TLBI VALE1IS");
}

Test(monitor, t30_lints_are_counted_apart)
{
    tlbi(0, KC_TLBI_VALE1IS, operand(VA, ASID));
    barrier(0, KC_DSB_SY);
    store(0, L3 + 8, 0);
    barrier(0, KC_DSB_ISH);
    tlbi(0, KC_TLBI_VMALLE1IS, 0);
    barrier(0, KC_DSB_ISH);
    expect_clean();
    for (uint32_t i = 0; i < MON_LINT_COUNT; i++) {
        cr_expect_eq(mon_lints(mon, (enum mon_lint)i), 1, "%s", mon_lint_text((enum mon_lint)i));
    }
    cr_expect_eq(mon_violations(mon, MON_T30), MON_LINT_COUNT);
}

Test(monitor, every_row_of_the_list_is_judged_or_says_why_not)
{
    uint32_t judged_rows = 0;
    uint32_t count = 0;
    for (const struct mon_row_info *r; (r = mon_row_info(count)) != NULL; count++) {
        cr_expect_not_null(r->text);
        char name[8];
        snprintf(name, sizeof(name), count < 30 ? "T%u" : "R%u",
                 count < 30 ? count + 1 : count - 29);
        cr_expect_str_eq(r->name, name, "the list is in order, without a gap");
        if (r->not_yet == NULL) {
            cr_expect_str_eq(r->name, mon_row_name((enum mon_row)judged_rows));
            cr_expect(r->when != NULL && r->at != NULL && r->native != NULL && r->exact != NULL);
            judged_rows++;
        }
    }
    cr_expect_eq(judged_rows, (uint32_t)MON_ROW_COUNT);
    cr_expect_eq(count, 31); /* T1 to T30, then R1 */
}

Test(monitor, rows_are_found_by_name)
{
    for (uint32_t i = 0; i < MON_ROW_COUNT; i++) {
        enum mon_row row = MON_ROW_COUNT;
        cr_expect(mon_row_find(mon_row_name((enum mon_row)i), &row));
        cr_expect_eq((uint32_t)row, i);
    }
    enum mon_row row;
    cr_expect(!mon_row_find("T99", &row));
}

Test(monitor, json_is_one_line_with_the_missing_step)
{
    char *text = NULL;
    size_t bytes = 0;
    store(0, L3 + 8, OTHER | PAGE);
    FILE *f = open_memstream(&text, &bytes);
    mon_report_json(mon_report_at(mon, 0), f);
    fclose(f);
    cr_expect_not_null(strstr(text, "\"row\":\"T1\""));
    cr_expect_not_null(strstr(text, "\"missing\":\"missing: break-before-make"));
    cr_expect_eq(text[bytes - 1], '\n');
    cr_expect_eq(strchr(text, '\n'), text + bytes - 1, "one line");
    free(text);
}
