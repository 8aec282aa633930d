/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's walk beside that of Unicorn (an independent emulator, QEMU's walker): random
 * tables, random addresses, AT in guest code there, mmu_walk() here, PAR_EL1 compared bit for bit.
 *
 * What Unicorn 2.0.1 does not model is left out of the tables and tested by vectors instead
 * (test_mmu.c): address size faults and blocks at level 0.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unicorn/unicorn.h>

#include "mmu.h"

#define RAM_BASE   UINT64_C(0x80000000)
#define RAM_BYTES  (UINT64_C(4) << 20)
#define PAGE       UINT64_C(4096)
#define POOL_PAGES 96u
#define POOL       (RAM_BASE + UINT64_C(0x100000)) /* random tables */
#define CODE       (RAM_BASE + UINT64_C(0x3000))
#define ROUNDS     24u
#define QUERIES    500u

static uint8_t memory[RAM_BYTES];
static uint64_t state;

static uint64_t draw(void)
{
    uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t *word(uint64_t pa)
{
    return (uint64_t *)(void *)(memory + (pa - RAM_BASE));
}

static bool read_word(void *arg, uint64_t pa, uint64_t *value, uint64_t *since)
{
    (void)arg;
    *since = 0;
    if (pa < RAM_BASE || pa - RAM_BASE >= RAM_BYTES) {
        return false;
    }
    *value = *word(pa);
    return true;
}

/* ---- tables --------------------------------------------------------------------------------- */

/* A page of the pool fit to be a table of that level: the pool is divided by level. */
static uint64_t pool_page(uint32_t level)
{
    return POOL + (level * (POOL_PAGES / 4) + draw() % (POOL_PAGES / 4)) * PAGE;
}

static uint64_t random_descriptor(uint32_t level)
{
    uint64_t attributes = draw() & (KC_MASK(63, 50) | KC_MASK(11, 2));
    uint64_t output = draw() & KC_MASK(43, 12);
    uint64_t dice = draw() % 16;
    attributes |= draw() % 8 != 0 ? KC_BIT(10) : 0; /* AF, mostly */
    if (dice == 0) {
        return draw() & ~KC_BIT(0); /* invalid */
    }
    if (level == 3) {
        return dice == 1 ? (output | attributes | 1) : (output | attributes | 3);
    }
    if (level == 0 || dice < 10) {
        return pool_page(level + 1) | (attributes & KC_MASK(63, 50)) | 3;
    }
    return (output & ~(mmu_span((int32_t)level) - 1)) | attributes | 1;
}

static void fill_pool(void)
{
    for (uint32_t page = 0; page < POOL_PAGES; page++) {
        uint32_t level = page / (POOL_PAGES / 4);
        for (uint32_t i = 0; i < 512; i++) {
            *word(POOL + page * PAGE + 8 * i) = random_descriptor(level);
        }
    }
}

/* The code page must stay where it is: an identity mapping of it from root0 down. */
static void map_code(uint64_t root0, int32_t start)
{
    uint64_t table = root0;
    for (int32_t level = start; level < 3; level++) {
        uint64_t next = RAM_BASE + UINT64_C(0x10000) + (uint64_t)level * PAGE;
        for (uint32_t i = 0; i < 512; i++) {
            *word(next + 8 * i) = random_descriptor((uint32_t)level + 1);
        }
        *word(table + 8 * (CODE >> (39 - 9 * level) & 0x1ff)) = next | 3;
        table = next;
    }
    *word(table + 8 * (CODE >> 12 & 0x1ff)) = CODE | KC_BIT(10) | KC_BIT(7) | 3 << 8 | 3;
}

/* ---- Unicorn -------------------------------------------------------------------------------- */

static const uint32_t code[] = {
    /* 0x00: registers, MMU off before and on after */
    0xd5181004, /* msr sctlr_el1, x4 */
    0xd5033fdf, /* isb */
    0xd5182000, /* msr ttbr0_el1, x0 */
    0xd5182021, /* msr ttbr1_el1, x1 */
    0xd5182042, /* msr tcr_el1, x2 */
    0xd518a203, /* msr mair_el1, x3 */
    0xd508871f, /* tlbi vmalle1 */
    0xd5033f9f, /* dsb sy */
    0xd5033fdf, /* isb */
    0xd5181005, /* msr sctlr_el1, x5 */
    0xd5033fdf, /* isb */
    0xd503201f, /* nop */
    /* 0x30 + 16 n: AT n */
    0xd5087800, 0xd5033fdf, 0xd5387401, 0xd503201f, /* at s1e1r, x0; isb; mrs x1, par_el1 */
    0xd5087820, 0xd5033fdf, 0xd5387401, 0xd503201f, /* at s1e1w */
    0xd5087840, 0xd5033fdf, 0xd5387401, 0xd503201f, /* at s1e0r */
    0xd5087860, 0xd5033fdf, 0xd5387401, 0xd503201f, /* at s1e0w */
};

static void set(uc_engine *uc, int reg, uint64_t value)
{
    cr_assert_eq(uc_reg_write(uc, reg, &value), UC_ERR_OK);
}

static void cp_write(uc_engine *uc, uint32_t op1, uint32_t crn, uint32_t crm, uint64_t value)
{
    uc_arm64_cp_reg r = {.crn = crn, .crm = crm, .op0 = 3, .op1 = op1, .op2 = 0, .val = value};
    cr_assert_eq(uc_reg_write(uc, UC_ARM64_REG_CP_REG, &r), UC_ERR_OK);
}

static void load_registers(uc_engine *uc, const struct mmu_regs *r)
{
    set(uc, UC_ARM64_REG_X0, r->ttbr[0]);
    set(uc, UC_ARM64_REG_X1, r->ttbr[1]);
    set(uc, UC_ARM64_REG_X2, r->tcr);
    set(uc, UC_ARM64_REG_X3, r->mair);
    set(uc, UC_ARM64_REG_X4, r->sctlr & ~UINT64_C(1));
    set(uc, UC_ARM64_REG_X5, r->sctlr);
    uc_err e = uc_emu_start(uc, CODE, CODE + 0x2c, 0, 0);
    cr_assert_eq(e, UC_ERR_OK, "registers: %s", uc_strerror(e));
}

static uint64_t at(uc_engine *uc, uint32_t op, uint64_t va)
{
    uint64_t par = 0;
    set(uc, UC_ARM64_REG_X0, va);
    uc_err e = uc_emu_start(uc, CODE + 0x30 + 16 * op, CODE + 0x3c + 16 * op, 0, 0);
    cr_assert_eq(e, UC_ERR_OK, "at: %s", uc_strerror(e));
    uc_reg_read(uc, UC_ARM64_REG_X1, &par);
    return (par & 1) != 0 ? par : par & ~KC_BIT(9); /* NS: UNKNOWN in Non-secure state */
}

static uint64_t here(const struct mmu_regs *r, uint32_t op, uint64_t va, struct sim_walk *w)
{
    mmu_walk(r, va, NULL, read_word, NULL, w);
    uint32_t fsc = 0;
    if (w->ok) {
        fsc = mmu_judge(r, w->entry.perm, w->entry.level, op % 2 != 0 ? SIM_WRITE : SIM_READ,
                        op >= 2);
    }
    return mmu_par(w, mmu_strip(r, va), fsc);
}

static struct mmu_regs random_registers(void)
{
    struct mmu_regs r = {.pa_bits = 48, .features = MACHINE_FEATURES_DEFAULT};
    uint64_t t0sz = 16 + draw() % 16; /* the code must stay inside */
    uint64_t t1sz = 16 + draw() % 24;
    r.tcr = t0sz | t1sz << 16 | UINT64_C(2) << 30 | UINT64_C(5) << 32;
    r.tcr |= draw() & (KC_BIT(41) | KC_BIT(42)); /* HPD */
    r.tcr |= draw() & (KC_BIT(37) | KC_BIT(38)); /* TBI */
    r.tcr |= draw() % 8 == 0 ? KC_BIT(23) : 0;   /* EPD1 */
    r.mair = UINT64_C(0xff44040cbb00f04f);
    r.sctlr = UINT64_C(0x30d00801) | (draw() & KC_BIT(19)); /* WXN; SPAN is set */
    for (uint32_t half = 0; half < 2; half++) {
        int32_t level = 4 - (int32_t)((64 - (half != 0 ? t1sz : t0sz) - 12 + 8) / 9);
        r.ttbr[half] = pool_page((uint32_t)level);
    }
    return r;
}

/* Mostly inside the half, often with an index near the start of small tables. */
static uint64_t random_address(const struct mmu_regs *r)
{
    uint64_t half = draw() & 1;
    uint64_t bits = 64 - (half != 0 ? r->tcr >> 16 & 0x3f : r->tcr & 0x3f);
    uint64_t low = draw() & KC_MASK(bits - 1, 0);
    uint64_t va = half != 0 ? ~KC_MASK(bits - 1, 0) | low : low;
    if (draw() % 16 == 0) {
        va ^= KC_BIT(bits + draw() % (64 - bits)); /* outside, or another tag */
    }
    return va;
}

/*
 * The SH field for Device and Normal Non-cacheable memory: DDI 0487 (PAR_EL1.SH) has it read as
 * Outer Shareable; Unicorn's older code gives the descriptor's field.
 */
static uint64_t comparable(uint64_t par)
{
    uint64_t attribute = par >> 56;
    bool fixed = (attribute & 0xf0) == 0 || attribute == 0x44;
    return (par & 1) == 0 && fixed ? par & ~KC_MASK(8, 7) : par;
}

struct tally {
    uint64_t ok[4], translation[4], access_flag[4], permission[4], other;
};

static void count(struct tally *t, uint64_t par, const struct sim_walk *w)
{
    uint32_t fst = (uint32_t)(par >> 1) & 0x3f;
    uint64_t *by_type[4] = {NULL, t->translation, t->access_flag, t->permission};
    if ((par & 1) == 0) {
        t->ok[w->entry.level]++;
    } else if (fst >> 2 >= 1 && fst >> 2 <= 3) {
        by_type[fst >> 2][fst & 3]++;
    } else {
        t->other++;
    }
}

Test(unicorn, at_gives_the_same_par_on_random_tables)
{
    uc_engine *uc = NULL;
    struct tally tally = {{0}, {0}, {0}, {0}, 0};
    const char *given = getenv("KC_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : 20240611;
    cr_log_info("seed %llu", (unsigned long long)seed);
    state = seed;
    cr_assert_eq(uc_open(UC_ARCH_ARM64, UC_MODE_ARM, &uc), UC_ERR_OK);
    cr_assert_eq(uc_ctl_set_cpu_model(uc, UC_CPU_ARM64_MAX), UC_ERR_OK);
    cr_assert_eq(uc_mem_map_ptr(uc, RAM_BASE, RAM_BYTES, UC_PROT_ALL, memory), UC_ERR_OK);
    memcpy(memory + (CODE - RAM_BASE), code, sizeof code);
    cp_write(uc, 6, 1, 1, 0x401);      /* SCR_EL3: NS, RW */
    cp_write(uc, 4, 1, 1, KC_BIT(31)); /* HCR_EL2.RW */
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct mmu_regs r = random_registers();
        fill_pool();
        map_code(mmu_root(&r, 0), mmu_start_level(&r, 0));
        load_registers(uc, &r);
        for (uint32_t q = 0; q < QUERIES; q++) {
            uint64_t va = random_address(&r);
            for (uint32_t op = 0; op < 4; op++) {
                struct sim_walk w;
                uint64_t ours = here(&r, op, va, &w);
                uint64_t theirs = at(uc, op, va);
                count(&tally, ours, &w);
                cr_assert_eq(comparable(ours), comparable(theirs),
                             "seed %llu round %u: AT %u of 0x%llx: 0x%llx, Unicorn 0x%llx; TCR "
                             "0x%llx, level %d, last descriptor 0x%llx",
                             (unsigned long long)seed, round, op, (unsigned long long)va,
                             (unsigned long long)ours, (unsigned long long)theirs,
                             (unsigned long long)r.tcr, (int)w.level,
                             (unsigned long long)w.entry
                                 .step[w.entry.step_count == 0 ? 0 : w.entry.step_count - 1]
                                 .value);
            }
        }
    }
    uc_close(uc);
    /* the comparison means something only if every kind came up */
    for (uint32_t level = 1; level < 4; level++) {
        cr_assert_gt(tally.ok[level], 100, "mapped at level %u: %lu", level,
                     (unsigned long)tally.ok[level]);
        cr_assert_gt(tally.translation[level], 20);
        cr_assert_gt(tally.access_flag[level], 20);
        cr_assert_gt(tally.permission[level], 100);
    }
    cr_assert_gt(tally.translation[0], 20);
}
