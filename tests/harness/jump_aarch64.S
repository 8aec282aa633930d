/* SPDX-License-Identifier: BSD-2-Clause */
/* setjmp and longjmp of the harness on metal: the registers that a call preserves. No vector
 * registers: kernel code does not use them. struct kc_test_jump in kc_test.h. */

    .text
    .global kc_test_setjmp
    .type kc_test_setjmp, %function
kc_test_setjmp:
    stp x19, x20, [x0, #0]
    stp x21, x22, [x0, #16]
    stp x23, x24, [x0, #32]
    stp x25, x26, [x0, #48]
    stp x27, x28, [x0, #64]
    stp x29, x30, [x0, #80]
    mov x1, sp
    str x1, [x0, #96]
    mov w0, #0
    ret
    .size kc_test_setjmp, . - kc_test_setjmp

    .global kc_test_longjmp
    .type kc_test_longjmp, %function
kc_test_longjmp:
    ldp x19, x20, [x0, #0]
    ldp x21, x22, [x0, #16]
    ldp x23, x24, [x0, #32]
    ldp x25, x26, [x0, #48]
    ldp x27, x28, [x0, #64]
    ldp x29, x30, [x0, #80]
    ldr x1, [x0, #96]
    mov sp, x1
    mov w0, #1
    ret
    .size kc_test_longjmp, . - kc_test_longjmp

    .section .note.GNU-stack, "", %progbits
