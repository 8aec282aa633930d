/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user.S: the two ends of a stay at EL0. The kernel runs on SP_EL0 itself, so its own value of that
 * register is kept in memory meanwhile, and the way back is an exception return to kc_body_user_back
 * on that stack, with the frame that user.c has made.
 *
 * I1  From the first write of ELR_EL1 to the ERET no exception can be taken: all are masked.
 */
#include "layout.h"

    .text
    .globl  kc_body_user_enter
kc_body_user_enter:
    sub     sp, sp, #USER_KEPT_BYTES
    stp     x19, x20, [sp]
    stp     x21, x22, [sp, #16]
    stp     x23, x24, [sp, #32]
    stp     x25, x26, [sp, #48]
    stp     x27, x28, [sp, #64]
    stp     x29, x30, [sp, #80]
    mov     x2, sp
    str     x2, [x1]
    msr     daifset, #0xf           /* I1 */
    msr     spsel, #1               /* SP_EL0 is written from EL1h alone */
    ldp     x2, x3, [x0, #USER_PC]
    msr     elr_el1, x2
    msr     spsr_el1, x3
    ldr     x2, [x0, #USER_SP]
    msr     sp_el0, x2
    ldr     x2, [x0, #USER_TLS]
    msr     tpidr_el0, x2
    ldp     x2, x3, [x0, #USER_X + 16]
    ldp     x4, x5, [x0, #USER_X + 32]
    ldp     x6, x7, [x0, #USER_X + 48]
    ldp     x8, x9, [x0, #USER_X + 64]
    ldp     x10, x11, [x0, #USER_X + 80]
    ldp     x12, x13, [x0, #USER_X + 96]
    ldp     x14, x15, [x0, #USER_X + 112]
    ldp     x16, x17, [x0, #USER_X + 128]
    ldp     x18, x19, [x0, #USER_X + 144]
    ldp     x20, x21, [x0, #USER_X + 160]
    ldp     x22, x23, [x0, #USER_X + 176]
    ldp     x24, x25, [x0, #USER_X + 192]
    ldp     x26, x27, [x0, #USER_X + 208]
    ldp     x28, x29, [x0, #USER_X + 224]
    ldr     x30, [x0, #USER_X + 240]
    ldp     x0, x1, [x0, #USER_X]
    eret

    .globl  kc_body_user_back
kc_body_user_back:
    ldp     x19, x20, [sp]
    ldp     x21, x22, [sp, #16]
    ldp     x23, x24, [sp, #32]
    ldp     x25, x26, [sp, #48]
    ldp     x27, x28, [sp, #64]
    ldp     x29, x30, [sp, #80]
    add     sp, sp, #USER_KEPT_BYTES
    ret
