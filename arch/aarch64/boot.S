/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot.S: from the firmware's hand-over to C in the upper half.
 *
 * Nouns. The *image* is linked at 0 and loaded at any 2 MiB boundary of RAM. *Low* is running at
 * physical addresses, *high* at KC_BODY_LINEAR_BASE + physical address. The kernel's C code runs on
 * SP_EL0 (EL1t); exceptions switch to SP_EL1 by themselves, so that an overflowed stack still gets
 * its register dump.
 *
 *     firmware -> kc_image_start  (EL1 or EL2, MMU off, x0 = device tree)
 *       to_el1, BSS, relocate(low), VBAR, stacks, TPIDR = 0
 *       kc_body_boot(dtb)         C, low: device tree, kc_kernel_boot(): MMU is on when it returns
 *       relocate(high)            constants are read-only by now, so with the MMU off once more
 *       kc_body_main()            C, high; never returns
 *
 *     PSCI -> secondary_entry     (MMU off, x0 = struct kc_body_start at its physical address)
 *       to_el1, VBAR, stacks, TPIDR, entry(cpu, arg) low: MMU is on when it returns
 *       kc_body_secondary(cpu, arg) C, high; never returns
 *
 * Invariants
 *  I1  With the MMU off no cache line of the image's writable part is valid: what is stored there
 *      goes to memory, and must not be hidden later by a stale line. kept by inval_poc after the
 *      first writes, and by kc_body_mmu_on for the stack.
 *  I2  Relocation is idempotent: targets are computed from the addends in the RELA entries, which
 *      are never written.
 *  I3  Between MMU off -> on nothing is read from the stack that was written while it was off,
 *      except through memory: kc_body_mmu_on invalidates the stack's lines before it sets M.
 *
 * Sources: DDI 0487 J.a, D8.2.10 "Translation stages disabled"; B2.8 and D7.5 on caches and memory
 * attributes; the Linux arm64 boot protocol (Documentation/arm64/booting.rst) for the header.
 */
#include "layout.h"

    /* ---- the Image header, 64 bytes ------------------------------------------------------- */
    .section .head.text, "ax"
    .globl  kc_image_start
kc_image_start:
    b       primary_entry
    nop
    .quad   0                       /* text offset from a 2 MiB boundary */
    .long   kc_image_size_lo32, 0   /* effective size, BSS included */
    .quad   0xa                     /* little endian, 4 KiB pages, anywhere in memory */
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0

    .text
    /* ---- CPU 0 ---------------------------------------------------------------------------- */
primary_entry:
    mov     x20, x0                 /* device tree */
    bl      to_el1

    adrp    x0, kc_image_bss
    add     x0, x0, :lo12:kc_image_bss
    adrp    x1, kc_image_bss_end
    add     x1, x1, :lo12:kc_image_bss_end
1:  cmp     x0, x1
    b.hs    2f
    stp     xzr, xzr, [x0], #16
    b       1b
2:
    adrp    x0, kc_image_start
    bl      relocate

    /* I1: the loader's or an earlier life's lines over what was just written. */
    dmb     sy
    adrp    x0, kc_image_rodata
    adrp    x1, kc_image_bss_end
    bl      inval_poc

    mov     x0, #0
    bl      set_up_cpu
    mov     x0, x20
    bl      kc_body_boot

    /* The MMU is on; constants point low. Turn them to the upper half (see relocate_high). */
    bl      relocate_high
    movz    x0, #KC_LINEAR_TOP16, lsl #48
    adr     x1, 3f
    orr     x1, x1, x0
    br      x1
3:  bl      set_up_cpu_high
    bl      kc_body_main
    b       .

    /* ---- the other CPUs ------------------------------------------------------------------- */
    .globl  kc_body_secondary_entry
kc_body_secondary_entry:
    mov     x20, x0                 /* struct kc_body_start */
    bl      to_el1
    ldr     x0, [x20, #START_CPU]
    bl      set_up_cpu
    ldr     x0, [x20, #START_CPU]
    ldr     x1, [x20, #START_ARG]
    ldr     x2, [x20, #START_ENTRY]
    mov     x21, x0
    mov     x22, x1
    blr     x2

    movz    x0, #KC_LINEAR_TOP16, lsl #48
    adr     x1, 4f
    orr     x1, x1, x0
    br      x1
4:  bl      set_up_cpu_high
    mov     x0, x21
    movz    x1, #KC_LINEAR_TOP16, lsl #48
    orr     x1, x1, x22
    bl      kc_body_secondary
    b       .

    /*
     * x0 = number of this CPU. Stacks, exception vectors, TPIDR_EL1; low.
     */
set_up_cpu:
    msr     tpidr_el1, x0
    adrp    x1, kc_body_exception_stacks
    add     x1, x1, :lo12:kc_body_exception_stacks
    add     x2, x0, #1
    mov     x3, #EXCEPTION_STACK_BYTES
    madd    x1, x2, x3, x1
    msr     spsel, #1
    mov     sp, x1
    msr     spsel, #0
    adrp    x1, kc_body_stacks
    add     x1, x1, :lo12:kc_body_stacks
    mov     x3, #STACK_BYTES
    madd    x1, x2, x3, x1
    mov     sp, x1
    adrp    x1, kc_body_vectors
    add     x1, x1, :lo12:kc_body_vectors
    msr     vbar_el1, x1
    isb
    mov     x29, xzr
    ret

    /* Carry stacks and vectors of this CPU over to the upper half. */
set_up_cpu_high:
    movz    x0, #KC_LINEAR_TOP16, lsl #48
    mov     x1, sp
    orr     x1, x1, x0
    mov     sp, x1
    msr     spsel, #1
    mov     x1, sp
    orr     x1, x1, x0
    mov     sp, x1
    msr     spsel, #0
    mrs     x1, vbar_el1
    orr     x1, x1, x0
    msr     vbar_el1, x1
    isb
    mov     x29, xzr
    ret

    /*
     * Return at EL1 on SP_EL0, interrupts masked, MMU and caches off, from EL2 or EL1. At EL2 first
     * open to EL1 all that it needs: timers, GIC CPU interface, own identity, no traps.
     */
to_el1:
    msr     daifset, #0xf
    mov_q   x1, SCTLR_EL1_OFF
    mrs     x0, CurrentEL
    cmp     x0, #(2 << 2)
    b.eq    1f
    b.hi    9f
    msr     sctlr_el1, x1
    isb
    msr     spsel, #0
    ret
1:
    mov_q   x0, HCR_EL2_EL1_IS_A64
    msr     hcr_el2, x0
    isb
    msr     sctlr_el1, x1
    mov     x0, #3                  /* EL1PCTEN, EL1PCEN */
    msr     cnthctl_el2, x0
    msr     cntvoff_el2, xzr
    mov     x0, #0x33ff             /* RES1; no FP, SVE trap */
    msr     cptr_el2, x0
    msr     hstr_el2, xzr
    msr     vttbr_el2, xzr
    mrs     x0, midr_el1
    msr     vpidr_el2, x0
    mrs     x0, mpidr_el1
    msr     vmpidr_el2, x0

    mrs     x0, id_aa64dfr0_el1     /* PMUVer: give all event counters to EL1 */
    ubfx    x0, x0, #8, #4
    mov     x2, xzr
    cbz     x0, 2f
    cmp     x0, #0xf
    b.eq    2f
    mrs     x2, pmcr_el0
    ubfx    x2, x2, #11, #5
2:  msr     mdcr_el2, x2

    mrs     x0, id_aa64mmfr0_el1    /* FGT: no fine-grained traps */
    ubfx    x0, x0, #56, #4
    cbz     x0, 3f
    msr     S3_4_C1_C1_4, xzr       /* HFGRTR_EL2 */
    msr     S3_4_C1_C1_5, xzr       /* HFGWTR_EL2 */
    msr     S3_4_C1_C1_6, xzr       /* HFGITR_EL2 */
    msr     S3_4_C3_C1_4, xzr       /* HDFGRTR_EL2 */
    msr     S3_4_C3_C1_5, xzr       /* HDFGWTR_EL2 */
3:
    mrs     x0, id_aa64mmfr1_el1    /* HCX */
    ubfx    x0, x0, #40, #4
    cbz     x0, 4f
    msr     S3_4_C1_C2_2, xzr       /* HCRX_EL2 */
4:
    mrs     x0, id_aa64pfr0_el1     /* GIC: system register interface */
    ubfx    x0, x0, #24, #4
    cbz     x0, 5f
    mrs     x0, S3_4_C12_C9_5       /* ICC_SRE_EL2 */
    orr     x0, x0, #1              /* SRE */
    orr     x0, x0, #8              /* Enable: EL1 may use ICC_SRE_EL1 */
    msr     S3_4_C12_C9_5, x0
    isb
    msr     S3_4_C12_C11_0, xzr     /* ICH_HCR_EL2 */
5:
    mov     x0, #0x3c4              /* EL1t, D A I F masked */
    msr     spsr_el2, x0
    msr     elr_el2, lr
    eret
9:  wfi                             /* EL3: nothing is promised there */
    b       9b

    /*
     * void kc_plat_call_low(void (*fn)(void *arg), void *arg): program counter, both stacks and the
     * vectors go to their physical addresses, and back. Which stack is in use stays: x21 holds SPSel.
     */
    .globl  kc_plat_call_low
kc_plat_call_low:
    stp     x29, x30, [sp, #-48]!
    stp     x19, x20, [sp, #16]
    str     x21, [sp, #32]
    movz    x19, #KC_LINEAR_TOP16, lsl #48
    mrs     x21, spsel
    bic     x0, x0, x19
    bic     x1, x1, x19
    adr     x2, 1f
    bic     x2, x2, x19
    br      x2
1:  msr     spsel, #0
    mov     x2, sp
    bic     x2, x2, x19
    mov     sp, x2
    msr     spsel, #1
    mov     x2, sp
    bic     x2, x2, x19
    mov     sp, x2
    msr     spsel, x21
    mrs     x2, vbar_el1
    bic     x2, x2, x19
    msr     vbar_el1, x2
    isb
    mov     x2, x0
    mov     x0, x1
    blr     x2

    adr     x2, 2f
    orr     x2, x2, x19
    br      x2
2:  msr     spsel, #0
    mov     x2, sp
    orr     x2, x2, x19
    mov     sp, x2
    msr     spsel, #1
    mov     x2, sp
    orr     x2, x2, x19
    mov     sp, x2
    msr     spsel, x21
    mrs     x2, vbar_el1
    orr     x2, x2, x19
    msr     vbar_el1, x2
    isb
    ldr     x21, [sp, #32]
    ldp     x19, x20, [sp, #16]
    ldp     x29, x30, [sp], #48
    ret

    /*
     * x0 = where the image shall believe it lies. Low, MMU off. Clobbers x1 to x7. I2.
     */
relocate:
    adrp    x1, kc_image_start
    adrp    x2, kc_image_rela
    add     x2, x2, :lo12:kc_image_rela
    adrp    x3, kc_image_rela_end
    add     x3, x3, :lo12:kc_image_rela_end
1:  cmp     x2, x3
    b.hs    2f
    ldp     x4, x5, [x2], #16       /* offset, type */
    ldr     x6, [x2], #8            /* addend */
    cmp     x5, #1027               /* R_AARCH64_RELATIVE */
    b.ne    3f
    add     x6, x6, x0
    str     x6, [x1, x4]
    b       1b
2:  ret
3:  cbz     x5, 1b                  /* R_AARCH64_NONE */
    wfi                             /* the linker made something else: tools refuse such an image */
    b       3b

    /*
     * Relocate to the upper half. The constants are mapped read-only by now, and the only writable
     * view left is the physical one: clean the image's data, turn the MMU off, write, drop the
     * lines, and turn it on again. Nothing here touches the stack.
     */
relocate_high:
    mov     x15, lr
    mrs     x14, sctlr_el1
    movz    x13, #KC_LINEAR_TOP16, lsl #48
    adrp    x0, kc_image_rodata
    adrp    x1, kc_image_bss_end
    orr     x0, x0, x13
    orr     x1, x1, x13
    bl      clean_inval_poc
    mov     x0, #5                  /* M, C */
    bic     x0, x14, x0
    msr     sctlr_el1, x0
    isb
    adrp    x0, kc_image_start
    orr     x0, x0, x13
    bl      relocate
    dmb     sy
    adrp    x0, kc_image_rodata
    adrp    x1, kc_image_bss_end
    bl      inval_poc
    msr     sctlr_el1, x14
    isb
    ret     x15

    /*
     * Invalidate (clean and invalidate) the data lines of x0 .. x1 - 1 to the point of coherency;
     * both are multiples of the line. Ends with DSB SY. Clobbers x0, x2, x3.
     */
inval_poc:
    line_bytes x2, x3
1:  cmp     x0, x1
    b.hs    2f
    dc      ivac, x0
    add     x0, x0, x2
    b       1b
2:  dsb     sy
    ret

    .globl  kc_body_clean_inval_poc
kc_body_clean_inval_poc:
clean_inval_poc:
    line_bytes x2, x3
1:  cmp     x0, x1
    b.hs    2f
    dc      civac, x0
    add     x0, x0, x2
    b       1b
2:  dsb     sy
    ret

    /*
     * void kc_body_sctlr_write(uint64_t value): SCTLR_EL1 = value. I3: where this turns translation
     * on, the lines of the stack in use may be stale copies that another CPU's speculation brought
     * in; memory holds the truth, since this CPU stored with its MMU off. The stack is the body's,
     * and so is this step.
     */
    .globl  kc_body_sctlr_write
kc_body_sctlr_write:
    tbz     x0, #0, 2f
    mrs     x1, sctlr_el1
    tbnz    x1, #0, 2f
    dsb     sy
    line_bytes x2, x3
    mov     x4, sp
    sub     x3, x2, #1
    bic     x1, x4, x3
    orr     x4, x4, #(STACK_BYTES - 1)   /* stacks are aligned to their size */
1:  dc      ivac, x1
    add     x1, x1, x2
    cmp     x1, x4
    b.lo    1b
    dsb     sy
2:  msr     sctlr_el1, x0
    ret

    .section .bss.stacks, "aw", %nobits
    .balign STACK_BYTES
    .globl  kc_body_stacks
kc_body_stacks:
    .skip   STACK_BYTES * CPUS_MAX
    .balign EXCEPTION_STACK_BYTES
    .globl  kc_body_exception_stacks
kc_body_exception_stacks:
    .skip   EXCEPTION_STACK_BYTES * CPUS_MAX
