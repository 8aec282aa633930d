/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explain: each kind of fault, taken for real where the body has an MMU (image, simulated machine),
 * else reported as the CPU would; and any values at all.
 *
 * The tables are made by hand, from the manual (DDI 0487 J.a, D8.3), once, before a walker may use
 * them: each kind has an address of its own.
 *
 *     root [0] -> L1 [0] -> L2 [0] -> L3   pages
 *          [1] 0       [1] 0    [1] 0
 *                      [2] block, AF 0     [2] block, AF 0
 *                               [3] -> L3 again, APTable 0b10
 *                               [4] -> L3 again, APTable 0b01
 */
#include <kc/explain.h>
#include <kc/fmt.h>

#include "kc_bytes.h"
#include "kc_test.h"

#define PAGE     UINT64_C(4096)
#define GIB      (UINT64_C(1) << 30)
#define MIB2     KC_MIB(2)
#define OUT      (UINT64_C(16) << 30) /* where there is no memory: every access faults before */
#define TABLE    UINT64_C(3)
#define AF       (UINT64_C(1) << 10)
#define NG       (UINT64_C(1) << 11)
#define SH       (UINT64_C(3) << 8)
#define XN       (UINT64_C(3) << 53)
#define AP(n)    ((uint64_t)(n) << 6)
#define LEAF     (OUT | SH | NG | XN)
#define AP_TABLE 61
#define TEXT_MAX 4096u

static struct kc_boot_info info;
static uint64_t base;
static struct kc_explain_regs regs;
static char text[TEXT_MAX];
static size_t text_size;

static void put(uint32_t table, uint32_t index, uint64_t desc)
{
    kc_plat_desc_store(kc_pa(base + table * PAGE + index * 8u), desc);
}

static uint64_t link_to(uint32_t table)
{
    return (base + table * PAGE) | TABLE;
}

static void build(void)
{
    cr_assert(kc_test_ram(16 * PAGE, &info));
    base = kc_pa_raw(info.range[0].base);
    for (uint32_t i = 0; i < 4; i++) {
        kc_plat_note(i == 0 ? KC_NOTE_ROOT : KC_NOTE_TABLE, base + i * PAGE, PAGE, &info);
    }
    put(0, 0, link_to(1));
    put(1, 0, link_to(2));
    put(1, 2, LEAF | 1);
    put(2, 0, link_to(3));
    put(2, 2, LEAF | 1);
    put(2, 3, link_to(3) | UINT64_C(2) << AP_TABLE);
    put(2, 4, link_to(3) | UINT64_C(1) << AP_TABLE);
    put(3, 1, LEAF | 3);
    put(3, 2, LEAF | AF | AP(3) | 3);
    put(3, 3, LEAF | AF | AP(0) | 3);
    put(3, 4, LEAF | AF | AP(1) | 3);
    kc_plat_barrier(KC_DSB_SY);
}

struct kind {
    const char *name;
    uint64_t ia;
    bool write;
    uint8_t fault;
    uint8_t level;
    uint8_t refusal;
    const char *says;
};

static const struct kind kinds[] = {
    {"level 0", UINT64_C(1) << 39 | 0x10, false, KC_A64_FAULT_TRANSLATION, 0, 0,
     "bit 0 of the descriptor is 0: nothing is mapped at level 0"},
    {"level 1", GIB + 0x20, true, KC_A64_FAULT_TRANSLATION, 1, 0, "nothing is mapped at level 1"},
    {"level 2", MIB2 + 0x30, false, KC_A64_FAULT_TRANSLATION, 2, 0, "nothing is mapped at level 2"},
    {"level 3", 0x40, true, KC_A64_FAULT_TRANSLATION, 3, 0, "nothing is mapped at level 3"},
    {"access flag, 1 GiB", 2 * GIB, false, KC_A64_FAULT_ACCESS_FLAG, 1, 0, "AF is 0"},
    {"access flag, 2 MiB", 2 * MIB2, true, KC_A64_FAULT_ACCESS_FLAG, 2, 0, "AF is 0"},
    {"access flag, page", PAGE, false, KC_A64_FAULT_ACCESS_FLAG, 3, 0, "AF is 0"},
    {"read-only", 2 * PAGE, true, KC_A64_FAULT_PERMISSION, 3, KC_A64_REFUSED_AP2,
     "AP[2] is 1: read-only"},
    {"not for EL0", 3 * PAGE, false, KC_A64_FAULT_PERMISSION, 3, KC_A64_REFUSED_AP1,
     "with the permissions of EL0 (LDTR, STTR) AP[1] is 0"},
    {"read-only by a table", 3 * MIB2 + 4 * PAGE, true, KC_A64_FAULT_PERMISSION, 3,
     KC_A64_REFUSED_AP2_TABLE, "APTable[1] is 1 above: read-only"},
    {"not for EL0 by a table", 4 * MIB2 + 4 * PAGE, false, KC_A64_FAULT_PERMISSION, 3,
     KC_A64_REFUSED_AP1_TABLE, "APTable[0] is 1 above: no access from EL0"},
};

static void take_text(void *ctx, const char *piece, size_t n)
{
    (void)ctx;
    cr_assert_lt(text_size + n, TEXT_MAX);
    __builtin_memcpy(text + text_size, piece, n);
    text_size += n;
    text[text_size] = 0;
}

static bool has(const char *part)
{
    size_t n = __builtin_strlen(part);
    for (size_t i = 0; i + n <= text_size; i++) {
        if (__builtin_memcmp(text + i, part, n) == 0) {
            return true;
        }
    }
    return false;
}

static void say(const struct kc_explain *e)
{
    text_size = 0;
    text[0] = 0;
    kc_explain_say(e, take_text, NULL);
}

/* A data abort from EL1, as D19.2 "ESR_EL1" has it: EC 0x25, IL, WnR, DFSC. */
static uint64_t esr_of(bool write, uint32_t fsc)
{
    return UINT64_C(0x25) << 26 | UINT64_C(1) << 25 | (write ? 0x40u : 0u) | fsc;
}

static void expect_kind(const struct kind *k)
{
    struct kc_explain e;
    kc_explain(&regs, &info, &e);
    cr_assert_eq(e.kind, KC_EXPLAIN_WALKED, "%s", k->name);
    cr_expect_eq(e.syndrome.fault, k->fault, "%s", k->name);
    cr_expect_eq(e.now, k->fault, "%s", k->name);
    cr_expect_eq(e.syndrome.level, k->level, "%s", k->name);
    cr_expect_eq(e.walk.level, k->level, "%s", k->name);
    cr_expect_eq(e.refusal, k->refusal, "%s", k->name);
    cr_expect_eq(e.ia, k->ia, "%s", k->name);
    cr_expect_eq(e.syndrome.is_write, k->write, "%s", k->name);
    cr_expect(e.agrees, "%s", k->name);
    say(&e);
    cr_expect(has(k->says), "%s: %s", k->name, text);
}

/* The registers of this CPU after the access; where there is no MMU, as one would have them. */
static void access_for_real(const struct kind *k)
{
    uint64_t word = 1;
    size_t left = k->write ? kc_plat_user_write(kc_uva(k->ia), &word, 1)
                           : kc_plat_user_read(&word, kc_uva(k->ia), 1);
    cr_assert_eq(left, 1, "%s: did not fault", k->name);
    regs.esr = kc_plat_sysreg_read(KC_ESR_EL1);
    regs.far = kc_plat_sysreg_read(KC_FAR_EL1);
}

static void read_control(void)
{
    regs = (struct kc_explain_regs){.sctlr = kc_plat_sysreg_read(KC_SCTLR_EL1),
                                    .tcr = kc_plat_sysreg_read(KC_TCR_EL1),
                                    .mair = kc_plat_sysreg_read(KC_MAIR_EL1),
                                    .ttbr0 = kc_plat_sysreg_read(KC_TTBR0_EL1),
                                    .ttbr1 = kc_plat_sysreg_read(KC_TTBR1_EL1)};
}

static void make_control(void)
{
    static const struct kc_a64_format low48 = {KC_A64_STAGE1, 12, 48, 40, 0, 0, 0};
    regs = (struct kc_explain_regs){
        .sctlr = kc_a64_sctlr(KC_A64_SCTLR_MMU), .mair = kc_a64_mair(), .ttbr0 = base};
    cr_assert_eq(kc_a64_tcr(&low48, NULL, &regs.tcr), KC_OK);
}

Test(explain, each_kind_of_fault)
{
    build();
    make_control();
    for (size_t i = 0; i < KC_ARRAY_COUNT(kinds); i++) {
        regs.far = kinds[i].ia;
        regs.esr = esr_of(kinds[i].write,
                          kc_a64_fsc_encode((enum kc_a64_fault)kinds[i].fault, kinds[i].level));
        expect_kind(&kinds[i]);
    }
}

Test(explain, each_kind_of_fault_as_the_machine_takes_it)
{
    if (!kc_plat_at(KC_AT_S1E1R, 0)) {
        cr_skip_test("this body has no MMU");
    }
    build();
    kc_plat_sysreg_write(KC_TTBR0_EL1, base);
    kc_plat_barrier(KC_ISB);
    kc_plat_tlbi(KC_TLBI_VMALLE1, 0);
    kc_plat_barrier(KC_DSB_NSH);
    kc_plat_barrier(KC_ISB);
    read_control();
    for (size_t i = 0; i < KC_ARRAY_COUNT(kinds); i++) {
        access_for_real(&kinds[i]);
        expect_kind(&kinds[i]);
    }
}

Test(explain, words_of_a_permission_fault)
{
    struct kc_explain e;
    char want[TEXT_MAX];
    build();
    make_control();
    regs.far = 2 * PAGE + 8;
    regs.esr = esr_of(true, 0x0f);
    kc_explain(&regs, &info, &e);
    say(&e);
    kc_fmt(want, sizeof(want),
           "write at 0x0000000000002008 by EL1: permission, level 3 (ESR_EL1 0x9600004f)\n"
           "  TTBR0's half: root at 0x%llx, 48 bits, granule 4 KiB\n"
           "  level 0 at 0x%llx: 0x%016llx  table at 0x%llx\n"
           "  level 1 at 0x%llx: 0x%016llx  table at 0x%llx\n"
           "  level 2 at 0x%llx: 0x%016llx  table at 0x%llx\n"
           "  level 3 at 0x%llx: 0x0060000400000fc3  page of 0x400000000, Normal WB, AP 3, SH 3, "
           "AF 1, nG 1, PXN 1, UXN 1\n"
           "  because AP[2] is 1: read-only\n",
           (unsigned long long)base, (unsigned long long)base, (unsigned long long)link_to(1),
           (unsigned long long)(base + PAGE), (unsigned long long)(base + PAGE),
           (unsigned long long)link_to(2), (unsigned long long)(base + 2 * PAGE),
           (unsigned long long)(base + 2 * PAGE), (unsigned long long)link_to(3),
           (unsigned long long)(base + 3 * PAGE), (unsigned long long)(base + 3 * PAGE + 16));
    cr_expect_str_eq(text, want);
}

/* EC 0x20 and 0x21: what EL0 and EL1 may not execute. */
Test(explain, fetches)
{
    struct kc_explain e;
    build();
    make_control();
    regs.far = 4 * PAGE;
    regs.esr = UINT64_C(0x8600000f);
    kc_explain(&regs, &info, &e);
    cr_expect_eq(e.refusal, KC_A64_REFUSED_PXN);
    cr_expect(e.agrees);
    regs.esr = UINT64_C(0x8200000f);
    kc_explain(&regs, &info, &e);
    cr_expect_eq(e.refusal, KC_A64_REFUSED_UXN);
    say(&e);
    cr_expect(has("fetch at 0x0000000000004000 by EL0: permission, level 3"), "%s", text);
    cr_expect(has("because UXN is 1"), "%s", text);
}

Test(explain, pan_is_told_from_the_page)
{
    struct kc_explain e;
    build();
    make_control();
    regs.far = 4 * PAGE;
    regs.esr = esr_of(false, 0x0f);
    kc_explain(&regs, &info, &e);
    cr_expect_eq(e.refusal, KC_A64_REFUSED_PAN, "EL0 may read it, and EL1 was refused");
    cr_expect(e.agrees);
    cr_expect_not(e.as_el0);
}

Test(explain, a_report_that_the_tables_do_not_agree_with)
{
    struct kc_explain e;
    build();
    make_control();
    regs.far = 2 * PAGE;
    regs.esr = esr_of(false, 0x07);
    kc_explain(&regs, &info, &e);
    cr_expect_not(e.agrees);
    cr_expect_eq(e.now, KC_A64_FAULT_NONE);
    say(&e);
    cr_expect(
        has("but now it is mapped to 0x400000000, and this access is allowed: the tables were "
            "changed since, or a stale TLB entry was used\n"),
        "%s", text);
    regs.esr = esr_of(false, 0x21);
    kc_explain(&regs, &info, &e);
    say(&e);
    cr_expect(has("alignment"), "%s", text);
    cr_expect(has("the fault is not one of theirs"), "%s", text);
}

Test(explain, what_needs_no_walk)
{
    struct kc_explain e;
    build();
    make_control();
    regs.esr = UINT64_C(0x56000007);
    kc_explain(&regs, &info, &e);
    cr_expect_eq(e.kind, KC_EXPLAIN_NOT_ABORT);
    say(&e);
    cr_expect_str_eq(text, "SVC (ESR_EL1 0x56000007): not an abort, nothing to walk for\n");
    regs.esr = UINT64_C(0x96000610);
    kc_explain(&regs, &info, &e);
    cr_expect_eq(e.kind, KC_EXPLAIN_NO_FAR);
    regs.esr = esr_of(false, 0x04);
    regs.far = UINT64_C(0xffff000000000000);
    kc_explain(&regs, &info, &e);
    cr_expect_eq(e.kind, KC_EXPLAIN_NO_WALK, "EPD1");
    cr_expect(e.agrees);
    say(&e);
    cr_expect(has("TTBR1's half: walks are disabled by EPD"), "%s", text);
    regs.sctlr = 0;
    kc_explain(&regs, &info, &e);
    cr_expect_eq(e.kind, KC_EXPLAIN_MMU_OFF);
}

/* Addresses that no walk can begin with, tables and outputs that are nowhere. */
Test(explain, what_hardware_calls_an_address_size)
{
    struct kc_explain e;
    build();
    make_control();
    regs.ttbr0 = UINT64_C(1) << 44; /* the output size is 40 bits */
    regs.esr = esr_of(false, 0x00);
    kc_explain(&regs, &info, &e);
    cr_expect_eq(e.now, KC_A64_FAULT_ADDRESS_SIZE);
    cr_expect(e.agrees);
    say(&e);
    cr_expect(has("the root's address exceeds the output size of 40 bits"), "%s", text);
    regs.ttbr0 = base + 8 * PAGE;
    kc_plat_desc_store(kc_pa(base + 8 * PAGE), UINT64_C(1) << 44 | TABLE);
    kc_explain(&regs, &info, &e);
    cr_expect_eq(e.now, KC_A64_FAULT_ADDRESS_SIZE);
    kc_plat_desc_store(kc_pa(base + 8 * PAGE), UINT64_C(1) << 30 | TABLE);
    kc_explain(&regs, &info, &e);
    cr_expect_eq(e.walk.end, KC_PTVIEW_NO_RAM);
    say(&e);
    cr_expect(has("not in RAM, not read"), "%s", text);
    regs.ttbr0 = base;
    regs.far = UINT64_C(0x0001000000000000);
    regs.esr = esr_of(false, 0x04);
    kc_explain(&regs, &info, &e);
    cr_expect_eq(e.walk.end, KC_PTVIEW_OUTSIDE);
    cr_expect(e.agrees);
}

/* D8.2.1.1: with TBI0 the tag is no part of the address. */
Test(explain, tags_are_taken_off)
{
    struct kc_explain e;
    build();
    make_control();
    regs.tcr |= UINT64_C(1) << 37;
    regs.far = UINT64_C(0xab00000000000000) | PAGE;
    regs.esr = esr_of(false, 0x0b);
    kc_explain(&regs, &info, &e);
    cr_expect_eq(e.ia, PAGE);
    cr_expect_eq(e.now, KC_A64_FAULT_ACCESS_FLAG);
    cr_expect(e.agrees);
}

/* Any registers over tables of noise: an answer, in bounded words, from RAM alone. */
Test(explain, any_values_give_an_answer)
{
    uint64_t state = kc_test_seed();
    cr_assert(kc_test_ram(16 * PAGE, &info));
    base = kc_pa_raw(info.range[0].base);
    for (uint32_t round = 0; round < 3000; round++) {
        struct kc_explain e;
        uint8_t noise[256];
        kc_random_fill(&state, (uint8_t *)&regs, sizeof(regs));
        kc_random_fill(&state, noise, sizeof(noise));
        for (uint32_t i = 0; i < 32; i++) {
            uint64_t desc;
            __builtin_memcpy(&desc, noise + i * 8u, 8);
            if ((noise[i] & 3) != 0) { /* into the same pages, so that walks go on */
                desc = (desc & ~KC_MASK(47, 12)) | (base + (desc >> 12) % 16 * PAGE);
            }
            kc_plat_desc_store(kc_pa(base + (desc >> 20) % (16 * PAGE / 8) * 8), desc);
        }
        if ((round & 1) != 0) {
            regs.ttbr0 = regs.ttbr1 = base;
            regs.tcr = (regs.tcr & ~UINT64_C(0xffffffff)) | UINT64_C(0xb5103510);
            regs.sctlr |= 1;
            regs.esr = esr_of((regs.esr & 1) != 0, regs.esr & 0x3f);
        }
        kc_explain(&regs, &info, &e);
        cr_assert_lt(e.kind, KC_EXPLAIN_KIND_COUNT);
        say(&e);
        cr_assert_gt(text_size, 0);
    }
}
