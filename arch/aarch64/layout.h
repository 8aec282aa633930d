/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * layout.h: numbers that assembler and C of the bare-metal body must agree on. Where one of them is
 * an offset in a struct, body.h asserts it.
 */
#ifndef KC_A64_LAYOUT_H
#define KC_A64_LAYOUT_H

#define KC_LINEAR_TOP16       0xffff /* bits 63..48 of KC_BODY_LINEAR_BASE; the rest is 0 */

#define CPUS_MAX              8     /* KC_CPUS_MAX */
#define STACK_BYTES           65536 /* a power of two; each stack is aligned to it */
#define EXCEPTION_STACK_BYTES 16384

/* struct kc_body_start */
#define START_CPU   0
#define START_ENTRY 8
#define START_ARG   16
#define START_BYTES 64

/* struct kc_body_frame */
#define FRAME_X     0
#define FRAME_LR    240
#define FRAME_SP    248
#define FRAME_ELR   256
#define FRAME_SPSR  264
#define FRAME_ESR   272
#define FRAME_FAR   280
#define FRAME_BYTES 288

/* struct kc_user_context */
#define USER_X      0
#define USER_SP     248
#define USER_PC     256
#define USER_PSTATE 264
#define USER_TLS    272

/* What kc_body_user_enter() leaves on the kernel's stack: x19 to x30. */
#define USER_KEPT_BYTES 96

#ifdef __ASSEMBLER__
/* Bits that are RES1 in an ARMv8.0 SCTLR_EL1 (LSMAOE, nTLSMD, SPAN, EIS, TSCXT, EOS); M, C, I off.
 */
#define SCTLR_EL1_OFF 0x30d00800
/* RW: EL1 is AArch64. API, APK: pointer authentication is not trapped. */
#define HCR_EL2_EL1_IS_A64 0x0000030080000000

.macro mov_q reg, value
    movz \reg, :abs_g3:\value
    movk \reg, :abs_g2_nc:\value
    movk \reg, :abs_g1_nc:\value
    movk \reg, :abs_g0_nc:\value
    .endm

    /* \out = bytes of the smallest data line (CTR_EL0.DminLine, in words of 4). */
    .macro line_bytes out, tmp
    mrs \tmp, ctr_el0
    ubfx \tmp, \tmp, #16, #4
    mov \out, #4
    lsl \out, \out, \tmp
    .endm
#endif

#endif
