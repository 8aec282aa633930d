/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vectors.S: the exception vector table. Each of the 16 entries saves the whole integer state as a
 * struct kc_body_frame on SP_EL1 and calls kc_body_exception(frame, vector); what that leaves in
 * the frame is what is resumed. (DDI 0487 J.a, D1.3.1 "Exception vectors".)
 *
 * An exception in the handler itself arrives at vectors 4 to 7 (EL1h): it is dumped, never resumed.
 */
#include "layout.h"

    .macro vector n
    .balign 128
    sub     sp, sp, #FRAME_BYTES
    stp     x0, x1, [sp, #FRAME_X]
    mov     x1, #\n
    b       exception_common
    .endm

    .text
    .balign 2048
    .globl  kc_body_vectors
kc_body_vectors:
    vector 0
    vector 1
    vector 2
    vector 3
    vector 4
    vector 5
    vector 6
    vector 7
    vector 8
    vector 9
    vector 10
    vector 11
    vector 12
    vector 13
    vector 14
    vector 15

exception_common:
    stp     x2, x3, [sp, #FRAME_X + 16]
    stp     x4, x5, [sp, #FRAME_X + 32]
    stp     x6, x7, [sp, #FRAME_X + 48]
    stp     x8, x9, [sp, #FRAME_X + 64]
    stp     x10, x11, [sp, #FRAME_X + 80]
    stp     x12, x13, [sp, #FRAME_X + 96]
    stp     x14, x15, [sp, #FRAME_X + 112]
    stp     x16, x17, [sp, #FRAME_X + 128]
    stp     x18, x19, [sp, #FRAME_X + 144]
    stp     x20, x21, [sp, #FRAME_X + 160]
    stp     x22, x23, [sp, #FRAME_X + 176]
    stp     x24, x25, [sp, #FRAME_X + 192]
    stp     x26, x27, [sp, #FRAME_X + 208]
    stp     x28, x29, [sp, #FRAME_X + 224]
    mrs     x2, sp_el0
    stp     x30, x2, [sp, #FRAME_LR]
    mrs     x2, elr_el1
    mrs     x3, spsr_el1
    stp     x2, x3, [sp, #FRAME_ELR]
    mrs     x2, esr_el1
    mrs     x3, far_el1
    stp     x2, x3, [sp, #FRAME_ESR]
    cmp     x1, #4                  /* from EL1h: the stack pointer was SP_EL1 itself */
    b.lo    1f
    cmp     x1, #8
    b.hs    1f
    add     x2, sp, #FRAME_BYTES
    str     x2, [sp, #FRAME_SP]
1:  mov     x0, sp
    mov     x29, xzr
    bl      kc_body_exception

    ldp     x2, x3, [sp, #FRAME_ELR]
    msr     elr_el1, x2
    msr     spsr_el1, x3
    ldp     x30, x2, [sp, #FRAME_LR]
    msr     sp_el0, x2
    ldp     x28, x29, [sp, #FRAME_X + 224]
    ldp     x26, x27, [sp, #FRAME_X + 208]
    ldp     x24, x25, [sp, #FRAME_X + 192]
    ldp     x22, x23, [sp, #FRAME_X + 176]
    ldp     x20, x21, [sp, #FRAME_X + 160]
    ldp     x18, x19, [sp, #FRAME_X + 144]
    ldp     x16, x17, [sp, #FRAME_X + 128]
    ldp     x14, x15, [sp, #FRAME_X + 112]
    ldp     x12, x13, [sp, #FRAME_X + 96]
    ldp     x10, x11, [sp, #FRAME_X + 80]
    ldp     x8, x9, [sp, #FRAME_X + 64]
    ldp     x6, x7, [sp, #FRAME_X + 48]
    ldp     x4, x5, [sp, #FRAME_X + 32]
    ldp     x2, x3, [sp, #FRAME_X + 16]
    ldp     x0, x1, [sp, #FRAME_X]
    add     sp, sp, #FRAME_BYTES
    eret
