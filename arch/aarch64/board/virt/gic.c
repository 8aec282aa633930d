/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gic.c: the interrupt controller, version 3 (IHI 0069 H) with system registers, or version 2
 * (IHI 0048 B). Only what this body needs: software interrupts 0 to 15 between CPUs, and the
 * private interrupt of the timer; no shared peripheral interrupt is enabled.
 *
 * One Security state is seen (virt without secure=on, or the Non-secure side): Group 1 on version
 * 3, Group 0 as the only group on version 2.
 *
 * I1  A CPU's redistributor is the one whose GICR_TYPER affinity is the CPU's; it is found by
 *     walking the frames to GICR_TYPER.Last, never beyond the region of the device tree.
 */
#include "../../body.h"

/* Distributor, both versions. */
#define GICD_CTLR       0x0000u
#define GICD_CTLR_V3    0x12u /* ARE_NS, EnableGrp1 (one Security state, or from Non-secure) */
#define GICD_CTLR_V2    0x1u
#define GICD_IGROUPR    0x0080u
#define GICD_ISENABLER  0x0100u
#define GICD_IPRIORITYR 0x0400u
#define GICD_SGIR       0x0f00u
#define GICD_CTLR_RWP   0x80000000u

/* Redistributor: frame RD, then frame SGI. */
#define GICR_FRAME_BYTES 0x10000u
#define GICR_TYPER       0x0008u
#define GICR_TYPER_LAST  0x10u
#define GICR_TYPER_VLPIS 0x02u /* two more frames follow (GICv4) */
#define GICR_WAKER       0x0014u
#define WAKER_SLEEP      0x2u /* ProcessorSleep */
#define WAKER_ASLEEP     0x4u /* ChildrenAsleep */

/* CPU interface of version 2. */
#define GICC_CTLR           0x00u
#define GICC_PMR            0x04u
#define GICC_IAR            0x0cu
#define GICC_EOIR           0x10u

#define SGIS_ALL            0xffffu
#define PRIORITY            0xa0u

#define ICC_SRE_EL1         "S3_0_C12_C12_5"
#define ICC_PMR_EL1         "S3_0_C4_C6_0"
#define ICC_BPR1_EL1        "S3_0_C12_C12_3"
#define ICC_IGRPEN1_EL1     "S3_0_C12_C12_7"
#define ICC_IAR1_EL1        "S3_0_C12_C12_0"
#define ICC_EOIR1_EL1       "S3_0_C12_C12_1"
#define ICC_SGI1R_EL1       "S3_0_C12_C11_5"

#define write_icc(reg_, v_) __asm__ volatile("msr " reg_ ", %0" ::"r"((uint64_t)(v_)) : "memory")

static kc_va_t at(uint32_t block, uint64_t offset)
{
    return kc_va(KC_BODY_LINEAR_BASE + kc_pa_raw(kc_body_board.gic[block].base) + offset);
}

static uint32_t read32(uint32_t block, uint64_t offset)
{
    return (uint32_t)kc_plat_mmio_read(at(block, offset), 4);
}

static void write32(uint32_t block, uint64_t offset, uint32_t v)
{
    kc_plat_mmio_write(at(block, offset), 4, v);
}

/* The enables and priorities of interrupts 0 to 31, whose registers look alike everywhere. */
static void enable_private(uint32_t block, uint64_t base)
{
    for (uint32_t i = 0; i < 32; i += 4) {
        write32(block, base + GICD_IPRIORITYR + i, PRIORITY * 0x01010101u);
    }
    write32(block, base + GICD_ISENABLER, SGIS_ALL | 1u << kc_body_board.timer_intid);
}

/* MPIDR affinity as GICR_TYPER and ICC_SGI1R have it: Aff3.Aff2.Aff1.Aff0 in 32 bits. */
static uint32_t affinity(uint32_t cpu)
{
    uint64_t m = kc_body_board.mpidr[cpu];
    return (uint32_t)(m & 0xffffff) | (uint32_t)(m >> 32 & 0xff) << 24;
}

/* I1. Offset of this CPU's redistributor in block 1. */
static uint64_t redistributor(uint32_t cpu)
{
    uint64_t offset = 0;
    for (;;) {
        if (kc_body_board.gic[1].size - offset < UINT64_C(2) * GICR_FRAME_BYTES) {
            break;
        }
        uint64_t typer = kc_plat_mmio_read(at(1, offset + GICR_TYPER), 8);
        if ((uint32_t)(typer >> 32) == affinity(cpu)) {
            return offset;
        }
        if ((typer & GICR_TYPER_LAST) != 0) {
            break;
        }
        offset += ((typer & GICR_TYPER_VLPIS) != 0 ? 4u : 2u) * (uint64_t)GICR_FRAME_BYTES;
        if (offset > kc_body_board.gic[1].size) {
            break;
        }
    }
    static const struct kc_panic why = {
        __FILE__, __LINE__, "GICR_TYPER", "no redistributor of this CPU's affinity", {0, 0}};
    kc_plat_panic(&why);
}

static void v3_cpu_init(uint32_t cpu)
{
    uint64_t rd = redistributor(cpu), sgi = rd + GICR_FRAME_BYTES;
    write32(1, rd + GICR_WAKER, read32(1, rd + GICR_WAKER) & ~WAKER_SLEEP);
    while ((read32(1, rd + GICR_WAKER) & WAKER_ASLEEP) != 0) {
        kc_plat_relax();
    }
    write32(1, sgi + GICD_IGROUPR, UINT32_MAX);
    enable_private(1, sgi);

    uint64_t sre;
    __asm__ volatile("mrs %0, " ICC_SRE_EL1 : "=r"(sre));
    write_icc(ICC_SRE_EL1, sre | 1);
    kc_plat_barrier(KC_ISB);
    write_icc(ICC_PMR_EL1, 0xff);
    write_icc(ICC_BPR1_EL1, 0);
    write_icc(ICC_IGRPEN1_EL1, 1);
    kc_plat_barrier(KC_ISB);
}

void kc_board_irq_init(void)
{
    if (kc_body_board.gic_version == 2) {
        write32(0, GICD_CTLR, GICD_CTLR_V2);
        return;
    }
    write32(0, GICD_CTLR, GICD_CTLR_V3);
    while ((read32(0, GICD_CTLR) & GICD_CTLR_RWP) != 0) {
        kc_plat_relax();
    }
}

void kc_board_irq_cpu_init(uint32_t cpu)
{
    if (kc_body_board.gic_version == 3) {
        v3_cpu_init(cpu);
        return;
    }
    enable_private(0, 0);
    write32(1, GICC_PMR, 0xff);
    write32(1, GICC_CTLR, 1);
}

void kc_board_sgi(uint64_t mask, uint32_t id)
{
    for (uint32_t cpu = 0; cpu < kc_body_board.cpu_count; cpu++) {
        if ((mask >> cpu & 1) == 0) {
            continue;
        }
        uint64_t m = kc_body_board.mpidr[cpu];
        if (kc_body_board.gic_version == 3) {
            /* Aff3 | RS | INTID | Aff2 | Aff1 | TargetList (IHI 0069 H, 12.2.19). */
            write_icc(ICC_SGI1R_EL1, (m >> 32 & 0xff) << 48 | (m >> 4 & 0xf) << 44 |
                                         (uint64_t)id << 24 | (m >> 16 & 0xff) << 32 |
                                         (m >> 8 & 0xff) << 16 | 1ull << (m & 0xf));
        } else {
            /* Version 2 addresses CPU interfaces; on virt their number is the affinity's. */
            write32(0, GICD_SGIR, 1u << (16 + (m & 7)) | id);
        }
    }
    kc_plat_barrier(KC_ISB);
}

uint32_t kc_board_irq_take(void)
{
    if (kc_body_board.gic_version == 3) {
        uint64_t v;
        __asm__ volatile("mrs %0, " ICC_IAR1_EL1 : "=r"(v)::"memory");
        kc_plat_barrier(KC_DSB_SY);
        return (uint32_t)v & 0xffffff;
    }
    return read32(1, GICC_IAR);
}

void kc_board_irq_done(uint32_t taken)
{
    if (kc_body_board.gic_version == 3) {
        write_icc(ICC_EOIR1_EL1, taken);
        kc_plat_barrier(KC_ISB);
    } else {
        write32(1, GICC_EOIR, taken);
    }
}
