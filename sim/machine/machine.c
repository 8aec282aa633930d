/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine.c: building the machine, its identification registers, and the questions one may ask it.
 *
 * The identification registers describe a plain Armv8.2-A CPU of no vendor (MIDR_EL1.Implementer 0
 * is reserved for software use): AArch64 only, EL1 and EL0, 4 KiB granule, no stage 2. Fields are
 * those of DDI 0487 J.a, D17.2.
 */
#include <string.h>
#include <unistd.h>

#include "machine_priv.h"

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

struct machine sim;

#define USER_BASE KC_MIB(64) /* below: never mapped, so that null pointers with offsets fault */

void machine_config_default(struct machine_config *c)
{
    *c = (struct machine_config){.ram_bytes = KC_MIB(256),
                                 .ram_base = SIM_RAM_BASE,
                                 .cpus = 2,
                                 .pa_bits = 48,
                                 .features = MACHINE_FEATURES_DEFAULT,
                                 .policy = MACHINE_EAGER,
                                 .seed = 1};
}

bool machine_is_exact(void)
{
    return sim_exact;
}

/* ---- building ------------------------------------------------------------------------------- */

static bool refuse(const char *text)
{
    snprintf(sim.why, sizeof sim.why, "%s", text);
    return false;
}

static kc_status_t check_sizes(const struct machine_config *c)
{
    if (c->ram_bytes % SIM_PAGE_BYTES != 0) {
        refuse("ram_bytes is not a multiple of 4096");
        return KC_ERR_ARG;
    }
    if (c->ram_bytes < SIM_RAM_BYTES_MIN || c->ram_bytes > SIM_RAM_BYTES_MAX) {
        snprintf(sim.why, sizeof sim.why, "RAM of %llu bytes: the limits are %llu bytes and 1 TiB",
                 (unsigned long long)c->ram_bytes, (unsigned long long)SIM_RAM_BYTES_MIN);
        return KC_ERR_RANGE;
    }
    if (c->cpus == 0 || c->cpus > SIM_CPUS_MAX) {
        snprintf(sim.why, sizeof sim.why, "%u CPUs: the limits are 1 and %u", c->cpus,
                 SIM_CPUS_MAX);
        return KC_ERR_RANGE;
    }
    return KC_OK;
}

static kc_status_t check_config(const struct machine_config *c)
{
    kc_status_t st = check_sizes(c);
    if (st != KC_OK) {
        return st;
    }
    static const uint32_t sizes[] = {32, 36, 40, 42, 44, 48};
    bool known = false;
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(sizes); i++) {
        known |= sizes[i] == c->pa_bits;
    }
    if (!known) {
        refuse("pa_bits is none of 32, 36, 40, 42, 44 and 48");
        return KC_ERR_ARG;
    }
    if (c->ram_base % HOST_CHUNK != 0) {
        refuse("ram_base is not a multiple of 2 MiB");
        return KC_ERR_ARG;
    }
    if (!kc_range_covers(0, (uint64_t)1 << c->pa_bits, c->ram_base, c->ram_bytes)) {
        snprintf(sim.why, sizeof sim.why, "RAM does not fit into %u bits of physical address",
                 c->pa_bits);
        return KC_ERR_RANGE;
    }
    if (c->dynamic_bytes % HOST_CHUNK != 0 || c->user_bytes % HOST_CHUNK != 0 ||
        c->text_bytes % SIM_PAGE_BYTES != 0 || c->program_bytes % SIM_PAGE_BYTES != 0) {
        refuse("dynamic_bytes and user_bytes are multiples of 2 MiB, text_bytes and program_bytes "
               "of 4 "
               "KiB");
        return KC_ERR_ARG;
    }
    if (c->text_bytes >= c->ram_bytes || c->program_bytes >= c->ram_bytes - c->text_bytes) {
        snprintf(sim.why, sizeof sim.why, "RAM of %llu bytes: the kernel's text alone takes %llu",
                 (unsigned long long)c->ram_bytes, (unsigned long long)c->text_bytes);
        return KC_ERR_RANGE;
    }
    if (c->switch_mean > SIM_SWITCH_MEAN_MAX) {
        refuse("switch_mean is above 65536");
        return KC_ERR_ARG;
    }
    return KC_OK;
}

static void fill_in(struct machine_config *c)
{
    bool small = RUNNING_ON_VALGRIND != 0; /* it gives at most 32 GiB */
    c->ram_base = c->ram_base == 0 ? SIM_RAM_BASE : c->ram_base;
    c->pa_bits = c->pa_bits == 0 ? 48 : c->pa_bits;
    c->dynamic_bytes = c->dynamic_bytes == 0 ? KC_GIB(small ? 2 : 64) : c->dynamic_bytes;
    c->user_bytes = c->user_bytes == 0 ? KC_GIB(small ? 2 : 512) : c->user_bytes;
    c->stuck_limit = c->stuck_limit == 0 ? 200000 : c->stuck_limit;
}

kc_status_t machine_create(const struct machine_config *config, const char **why)
{
    *why = sim.why;
    if (sim.built) {
        refuse("there is a machine already");
        return KC_ERR_STATE;
    }
    memset(&sim, 0, sizeof sim);
    sim.memory_fd = -1;
    sim.config = *config;
    fill_in(&sim.config);
    kc_status_t st = check_config(&sim.config);
    if (st != KC_OK) {
        return st;
    }
    if (sysconf(_SC_PAGESIZE) > (long)SIM_PAGE_BYTES) {
        refuse("the host's pages are larger than 4 KiB");
        return KC_ERR_UNSUPPORTED;
    }
    st = ram_create();
    if (st != KC_OK) {
        ram_destroy();
        return st;
    }
    pthread_mutex_init(&sim.lock, NULL);
    pthread_cond_init(&sim.rest, NULL);
    /* Separate streams, so that one kind of choice does not disturb another. */
    sim.random = config->seed * 3 + 1;
    sim.walk_random = config->seed * 5 + 2;
    sim.entropy = config->seed * 7 + 3;
    sim.generation = 1;
    for (uint32_t i = 0; i < SIM_CPUS_MAX; i++) {
        sim.cpu[i].id = i;
        pthread_cond_init(&sim.cpu[i].turn, NULL);
        cpu_defaults(&sim.cpu[i]);
    }
    sim.cur = &sim.cpu[0];
    sim.built = true;
    native_install();
    return KC_OK;
}

void machine_destroy(void)
{
    if (!sim.built) {
        return;
    }
    sim.monitor = NULL;
    native_remove();
    walker_reset();
    ram_destroy();
    for (uint32_t i = 0; i < SIM_CPUS_MAX; i++) {
        pthread_cond_destroy(&sim.cpu[i].turn);
    }
    pthread_cond_destroy(&sim.rest);
    pthread_mutex_destroy(&sim.lock);
    sim.built = false;
}

void machine_cpu_reset(uint32_t cpu)
{
    struct cpu *c = &sim.cpu[cpu];
    walker_cpu_reset(c);
    cpu_defaults(c);
    machine_rejudge();
}

void machine_enter_linear(void)
{
    sim.cur->pc = SIM_LINEAR_BASE + sim.config.ram_base;
    access_fetch(sim.cur);
}

static void add_range(struct kc_boot_info *b, uint64_t base, uint64_t size, uint32_t kind)
{
    b->range[b->range_count++] =
        (struct kc_boot_range){.base = kc_pa(base), .size = size, .kind = kind};
}

void machine_boot_info(struct kc_boot_info *out)
{
    const struct machine_config *c = &sim.config;
    memset(out, 0, sizeof *out);
    out->version = KC_BOOT_VERSION;
    out->cpu_count = c->cpus;
    out->linear_base = SIM_LINEAR_BASE;
    uint64_t window_end = SIM_LINEAR_BASE + sim.ram_base + sim.window[SIM_WINDOW_KERNEL].bytes;
    out->dynamic_base = window_end - c->dynamic_bytes;
    out->dynamic_bytes = c->dynamic_bytes;
    out->user_base = USER_BASE;
    out->user_bytes = c->user_bytes > USER_BASE ? c->user_bytes - USER_BASE : 0;
    out->seed = c->seed;
    add_range(out, sim.ram_base, sim.ram_bytes, KC_BOOT_RAM);
    if (c->text_bytes != 0) {
        add_range(out, sim.ram_base, c->text_bytes, KC_BOOT_TEXT);
    }
    if (c->program_bytes != 0) {
        add_range(out, sim.ram_base + c->text_bytes, c->program_bytes, KC_BOOT_RODATA);
    }
}

/* ---- registers ------------------------------------------------------------------------------ */

static uint64_t pa_range_field(uint32_t bits)
{
    static const uint8_t sizes[] = {32, 36, 40, 42, 44, 48};
    for (uint32_t i = 0; i < sizeof sizes; i++) {
        if (sizes[i] == bits) {
            return i;
        }
    }
    return 0;
}

static uint64_t mmfr0(void)
{
    bool wide = (sim.config.features & MACHINE_ASID16) != 0;
    return pa_range_field(sim.config.pa_bits) /* PARange [3:0] */
           | (wide ? 2ull : 0ull) << 4        /* ASIDBits [7:4] */
           | 0ull << 20                       /* TGran16 [23:20]: not supported */
           | 0xfull << 24                     /* TGran64 [27:24]: not supported */
           | 0ull << 28;                      /* TGran4 [31:28]: supported */
}

static uint64_t mmfr2(void)
{
    uint64_t bbm = (sim.config.features & MACHINE_BBML2) != 0   ? 2
                   : (sim.config.features & MACHINE_BBML1) != 0 ? 1
                                                                : 0;
    return bbm << 52; /* BBM [55:52]; no TTL, no CnP, no small tables, 48-bit VA */
}

uint64_t sim_sysreg(uint32_t cpu, enum kc_sysreg reg)
{
    uint32_t features = sim.config.features;
    switch (reg) {
    case KC_CURRENTEL:
        return 1u << 2; /* EL [3:2] */
    case KC_MIDR_EL1:
        return 0x000f0000u; /* Implementer 0: software; Architecture [19:16]: by ID registers */
    case KC_MPIDR_EL1:
        return KC_BIT(31) | cpu; /* RES1; Aff0 */
    case KC_CTR_EL0:
        /* RES1, CWG 4, ERG 4, DminLine 4 (64 bytes), L1Ip 3 (PIPT), IminLine 4; no DIC, no IDC */
        return KC_BIT(31) | 4ull << 24 | 4ull << 20 | 4ull << 16 | 3ull << 14 | 4ull;
    case KC_CLIDR_EL1:
        return 1ull << 24 | 1ull << 21 | 3ull; /* LoC 1, LoUIS 1, Ctype1: separate caches */
    case KC_DCZID_EL0:
        return 4; /* BS: 64 bytes; DZP 0 */
    case KC_ID_AA64PFR0_EL1:
        return 0x11; /* EL1, EL0: AArch64 only */
    case KC_ID_AA64ISAR0_EL1:
        return ((features & MACHINE_TLBIRANGE) != 0 ? 2ull : 0ull) << 56 | 2ull << 20;
    case KC_ID_AA64MMFR0_EL1:
        return mmfr0();
    case KC_ID_AA64MMFR1_EL1:
        return ((features & MACHINE_PAN) != 0 ? 1ull : 0ull) << 20 |
               ((features & MACHINE_HPDS) != 0 ? 1ull : 0ull) << 12;
    case KC_ID_AA64MMFR2_EL1:
        return mmfr2();
    default:
        return (uint32_t)reg < KC_SYSREG_COUNT ? sim.cpu[cpu].reg[reg] : 0;
    }
}

/* ---- mutation ------------------------------------------------------------------------------- */

void machine_mutate(uint64_t k, enum machine_mutation how)
{
    sim.mutate = true;
    sim.mutated = false;
    sim.mutate_at = k;
    sim.mutate_how = how;
}

uint64_t machine_site_count(enum machine_site kind)
{
    return sim.site_count[kind];
}

uint64_t machine_sites(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < MACHINE_SITES; i++) {
        sum += sim.site_count[i];
    }
    return sum;
}

bool machine_mutated(struct machine_site_info *out)
{
    if (sim.mutated && out != NULL) {
        *out = sim.mutated_site;
    }
    return sim.mutated;
}

/* ---- questions ------------------------------------------------------------------------------ */

uint64_t sim_seq(void)
{
    return sim.seq;
}

uint32_t sim_cpu(void)
{
    return sim.cur != NULL ? sim.cur->id : 0;
}

uint32_t sim_cpus(void)
{
    return sim.config.cpus;
}

uint64_t sim_seed(void)
{
    return sim.config.seed;
}

bool sim_mmu_on(uint32_t cpu)
{
    return mmu_is_on(&sim.cpu[cpu].now);
}

bool sim_phys_read(uint64_t pa, uint64_t *out)
{
    const uint64_t *at = (pa & 7) == 0 ? ram_at(pa, 8) : NULL;
    if (at != NULL) {
        *out = __atomic_load_n(at, __ATOMIC_RELAXED);
    }
    return at != NULL;
}

bool sim_phys_write(uint64_t pa, uint64_t value)
{
    uint64_t *at = (pa & 7) == 0 ? ram_at(pa, 8) : NULL;
    if (at != NULL) {
        __atomic_store_n(at, value, __ATOMIC_RELAXED);
    }
    return at != NULL;
}

bool sim_is_ram(uint64_t pa, uint64_t size)
{
    return ram_at(pa, size) != NULL;
}

uint64_t sim_clean_accesses(void)
{
    return sim.clean_reads + sim.clean_writes;
}
