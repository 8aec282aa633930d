/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers, TLB and caches of the hosted body. There is no MMU: TLB and cache operations are seen
 * by a recording and do nothing (but DC ZVA, whose effect is on memory), registers are an array.
 *
 * Identification registers are those of a Cortex-A72 r0p3 (Arm 100095, "Cortex-A72 MPCore Processor
 * Technical Reference Manual", 4.3 AArch64 register descriptions): 4 KiB and 64 KiB granules, 44
 * bits of physical address, 16 bits of ASID, 64-byte lines. They are read-only, as there (DDI 0487,
 * D19.2: a write is UNDEFINED).
 */
#define _GNU_SOURCE
#include <string.h>

#include "host_priv.h"
#include <kc/assert.h>

#define ZVA_BYTES 64u /* DCZID_EL0.BS = 4: 16 words */

struct reset_value {
    uint64_t value;
    bool read_only;
};

/* Where a register resets to UNKNOWN or 0 it is 0 here; SCTLR_EL1 has its RES1 bits, MMU off. */
static const struct reset_value reset_values[KC_SYSREG_COUNT] = {
    [KC_SCTLR_EL1] = {0x30d00800, false},
    [KC_CURRENTEL] = {1u << 2, true},
    [KC_MIDR_EL1] = {0x410fd083, true},
    [KC_MPIDR_EL1] = {0x80000000, true}, /* and the number of the CPU in Aff0 */
    [KC_CTR_EL0] = {0x8444c004, true},
    [KC_CLIDR_EL1] = {0x0a200023, true},
    [KC_DCZID_EL0] = {4, true},
    [KC_ID_AA64PFR0_EL1] = {0x00002222, true},
    [KC_ID_AA64ISAR0_EL1] = {0x00011120 | UINT64_C(2) << 56, true}, /* and FEAT_TLBIRANGE, */
    [KC_ID_AA64MMFR0_EL1] = {0x00001124, true},
    [KC_ID_AA64MMFR1_EL1] = {0, true},
    [KC_ID_AA64MMFR2_EL1] = {UINT64_C(1) << 48, true}, /* FEAT_TTL: every path runs here */
};

static uint64_t regs[KC_CPUS_MAX][KC_SYSREG_COUNT];

__attribute__((constructor)) static void reset_at_start(void)
{
    host_sysregs_reset();
}

void host_sysregs_reset(void)
{
    for (uint32_t cpu = 0; cpu < KC_CPUS_MAX; cpu++) {
        for (uint32_t r = 0; r < KC_SYSREG_COUNT; r++) {
            regs[cpu][r] = reset_values[r].value;
        }
        regs[cpu][KC_MPIDR_EL1] |= cpu;
    }
}

uint64_t kc_plat_sysreg_read(enum kc_sysreg reg)
{
    KC_CHECK((uint32_t)reg < KC_SYSREG_COUNT);
    return regs[host_cpu][reg];
}

void kc_plat_sysreg_write(enum kc_sysreg reg, uint64_t value)
{
    KC_CHECK((uint32_t)reg < KC_SYSREG_COUNT && !reset_values[reg].read_only);
    host_seen(HOST_SYSREG_WRITE, (uint64_t)reg, value, 0);
    regs[host_cpu][reg] = value;
}

void kc_plat_tlbi(enum kc_tlbi op, uint64_t operand)
{
    host_seen(HOST_TLBI, (uint64_t)op, operand, 0);
}

void kc_plat_cache(enum kc_cache_op op, const void *p)
{
    host_seen(HOST_CACHE, (uint64_t)op, (uintptr_t)p, 0);
    if (op == KC_DC_ZVA) {
        memset((void *)((uintptr_t)p & ~(uintptr_t)(ZVA_BYTES - 1)), 0, ZVA_BYTES);
    }
}

bool kc_plat_at(enum kc_at op, uint64_t va)
{
    (void)op;
    (void)va;
    return false;
}

uint64_t kc_plat_mmio_read(kc_va_t va, uint32_t width)
{
    const void *p = kc_plat_ptr(va);
    uint64_t value = 0;
    KC_CHECK(kc_is_pow2(width) && kc_va_is_aligned(va, width));
    switch (width) {
    case 1:
        value = __atomic_load_n((const uint8_t *)p, __ATOMIC_RELAXED);
        break;
    case 2:
        value = __atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED);
        break;
    case 4:
        value = __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED);
        break;
    case 8:
        value = __atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED);
        break;
    default:
        KC_PANIC("a device register is 1, 2, 4 or 8 bytes wide");
    }
    host_seen(HOST_MMIO_READ, kc_va_raw(va), value, width);
    return value;
}

void kc_plat_mmio_write(kc_va_t va, uint32_t width, uint64_t value)
{
    void *p = kc_plat_ptr(va);
    KC_CHECK(kc_is_pow2(width) && kc_va_is_aligned(va, width));
    host_seen(HOST_MMIO_WRITE, kc_va_raw(va), value, width);
    switch (width) {
    case 1:
        __atomic_store_n((uint8_t *)p, (uint8_t)value, __ATOMIC_RELAXED);
        break;
    case 2:
        __atomic_store_n((uint16_t *)p, (uint16_t)value, __ATOMIC_RELAXED);
        break;
    case 4:
        __atomic_store_n((uint32_t *)p, (uint32_t)value, __ATOMIC_RELAXED);
        break;
    case 8:
        __atomic_store_n((uint64_t *)p, value, __ATOMIC_RELAXED);
        break;
    default:
        KC_PANIC("a device register is 1, 2, 4 or 8 bytes wide");
    }
}
