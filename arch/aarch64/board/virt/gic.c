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
 * I2  Registers are reached through handles alone, which were judged by a map of what the device
 *     tree says; a wrong offset stops here and not at whatever lies beside the registers.
 */
#include <kc/mmio.h>

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

#define POLLS               1000000u /* more than any controller takes */

/* I2. Written by kc_board_irq_init() only. */
static struct kc_region_map regions;
static struct kc_region_node region_nodes[KC_REGION_NODES(2)];
static struct kc_misuse misuse;
static struct kc_mmio distributor;
static struct kc_mmio per_cpu; /* redistributors (3) or CPU interface (2) */

static KC_NORETURN void stop(const char *what, const char *text)
{
    const struct kc_panic why = {__FILE__, __LINE__, what, text, {0, 0}};
    kc_plat_panic(&why);
}

static struct kc_mmio open_block(uint32_t block, const char *name)
{
    kc_pa_range_t pa = kc_body_board.gic[block];
    kc_va_t va = kc_va(KC_BODY_LINEAR_BASE + kc_pa_raw(pa.base));
    const uint32_t perms = KC_REGION_READ | KC_REGION_WRITE;
    struct kc_region r = {
        kc_ia_of_va(va), pa.size, KC_REGION_MMIO, perms, KC_REGION_FROM_NONE, 0, name};
    /* The tables are the program's, which need not be the kernel: the map alone judges. */
    struct kc_mmio_judge j = {&regions, NULL, &misuse};
    struct kc_mmio h;
    if (kc_region_add(&regions, &r) != KC_OK ||
        kc_mmio_open(&j, va, pa.size, perms, name, &h) != KC_OK) {
        stop(name, "these registers cannot be where the device tree has them");
    }
    return h;
}

static void wait_for(const struct kc_mmio *h, uint64_t offset, uint32_t mask, const char *what)
{
    if (kc_mmio_poll32(h, offset, mask, 0, POLLS, NULL) != KC_OK) {
        stop(what, "the interrupt controller does not answer");
    }
}

/* The enables and priorities of interrupts 0 to 31, whose registers look alike everywhere. */
static void enable_private(const struct kc_mmio *h)
{
    for (uint32_t i = 0; i < 32; i += 4) {
        kc_mmio_write32_relaxed(h, GICD_IPRIORITYR + i, PRIORITY * 0x01010101u);
    }
    kc_mmio_write32_relaxed(h, GICD_ISENABLER, SGIS_ALL | 1u << kc_body_board.timer_intid);
}

/* MPIDR affinity as GICR_TYPER and ICC_SGI1R have it: Aff3.Aff2.Aff1.Aff0 in 32 bits. */
static uint32_t affinity(uint32_t cpu)
{
    uint64_t m = kc_body_board.mpidr[cpu];
    return (uint32_t)(m & 0xffffff) | (uint32_t)(m >> 32 & 0xff) << 24;
}

/* I1. This CPU's redistributor: both frames. */
static struct kc_mmio redistributor(uint32_t cpu)
{
    struct kc_mmio rd;
    uint64_t offset = 0;
    while (kc_mmio_part(&per_cpu, offset, UINT64_C(2) * GICR_FRAME_BYTES, "redistributor", &rd) ==
           KC_OK) {
        uint64_t typer = kc_mmio_read64_relaxed(&rd, GICR_TYPER);
        if ((uint32_t)(typer >> 32) == affinity(cpu)) {
            return rd;
        }
        if ((typer & GICR_TYPER_LAST) != 0) {
            break;
        }
        offset += ((typer & GICR_TYPER_VLPIS) != 0 ? 4u : 2u) * (uint64_t)GICR_FRAME_BYTES;
    }
    stop("GICR_TYPER", "no redistributor of this CPU's affinity");
}

static void v3_cpu_init(uint32_t cpu)
{
    struct kc_mmio rd = redistributor(cpu);
    struct kc_mmio sgi;
    if (kc_mmio_part(&rd, GICR_FRAME_BYTES, GICR_FRAME_BYTES, "SGI frame", &sgi) != KC_OK) {
        stop("GICR", "a redistributor has two frames");
    }
    kc_mmio_update32(&rd, GICR_WAKER, WAKER_SLEEP, 0);
    wait_for(&rd, GICR_WAKER, WAKER_ASLEEP, "GICR_WAKER");
    kc_mmio_write32_relaxed(&sgi, GICD_IGROUPR, UINT32_MAX);
    enable_private(&sgi);

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
    kc_misuse_init(&misuse, KC_MISUSE_PANIC);
    if (kc_region_map_init(&regions, "interrupt controller", region_nodes,
                           KC_ARRAY_COUNT(region_nodes)) != KC_OK) {
        stop("regions", "two regions have room");
    }
    distributor = open_block(0, "GIC distributor");
    if (kc_body_board.gic_version == 2) {
        per_cpu = open_block(1, "GIC CPU interface");
        kc_mmio_write32_relaxed(&distributor, GICD_CTLR, GICD_CTLR_V2);
        return;
    }
    per_cpu = open_block(1, "GIC redistributors");
    kc_mmio_write32_relaxed(&distributor, GICD_CTLR, GICD_CTLR_V3);
    wait_for(&distributor, GICD_CTLR, GICD_CTLR_RWP, "GICD_CTLR");
}

void kc_board_irq_cpu_init(uint32_t cpu)
{
    if (kc_body_board.gic_version == 3) {
        v3_cpu_init(cpu);
        return;
    }
    enable_private(&distributor);
    kc_mmio_write32_relaxed(&per_cpu, GICC_PMR, 0xff);
    kc_mmio_write32_relaxed(&per_cpu, GICC_CTLR, 1);
}

void kc_board_sgi(uint64_t mask, uint32_t id)
{
    if (kc_body_board.gic_version == 3) {
        /* A write of ICC_SGI1R_EL1 waits for no store: without this the other CPU could be
         * interrupted and not yet see why. */
        kc_plat_barrier(KC_DSB_ISHST);
    }
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
            /* Version 2 addresses CPU interfaces; on virt their number is the affinity's. Ordered:
             * what was stored before is there when the other CPU is interrupted. */
            kc_mmio_write32(&distributor, GICD_SGIR, 1u << (16 + (m & 7)) | id);
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
    return kc_mmio_read32(&per_cpu, GICC_IAR);
}

void kc_board_irq_done(uint32_t taken)
{
    if (kc_body_board.gic_version == 3) {
        write_icc(ICC_EOIR1_EL1, taken);
        kc_plat_barrier(KC_ISB);
    } else {
        kc_mmio_write32_relaxed(&per_cpu, GICC_EOIR, taken);
    }
}
