/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * firmware.c: calls to what is below us: PSCI (DEN 0022) by the conduit that the device tree names,
 * and semihosting (Arm "Semihosting for AArch32 and AArch64", 2.0, SYS_EXIT_EXTENDED).
 */
#include "../../body.h"

#define PSCI_SYSTEM_OFF 0x84000008u

int64_t kc_board_psci(uint32_t function, uint64_t a0, uint64_t a1, uint64_t a2)
{
    register uint64_t x0 __asm__("x0") = function;
    register uint64_t x1 __asm__("x1") = a0;
    register uint64_t x2 __asm__("x2") = a1;
    register uint64_t x3 __asm__("x3") = a2;
    /* SMC calling convention (DEN 0028): x4 to x17 may be lost. */
#define LOST \
    "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17"
    switch (kc_body_board.psci) {
    case KC_BOARD_PSCI_HVC:
        __asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)::"memory", LOST);
        return (int64_t)x0;
    case KC_BOARD_PSCI_SMC:
        __asm__ volatile("smc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)::"memory", LOST);
        return (int64_t)x0;
    default:
        return -1; /* NOT_SUPPORTED */
    }
}

/*
 * HLT traps to the debugger; without one it is an undefined instruction, and the exception table
 * carries on behind it.
 */
static void semihost_exit(int code)
{
    uint64_t block[2] = {0x20026 /* ADP_Stopped_ApplicationExit */, (uint64_t)(uint32_t)code};
    register uint64_t x0 __asm__("x0") = 0x20; /* SYS_EXIT_EXTENDED */
    register uint64_t x1 __asm__("x1") = (uint64_t)block;
    __asm__ volatile("1: hlt #0xf000\n"
                     "2:\n"
                     ".pushsection .kc_extable, \"a\"\n"
                     ".balign 4\n"
                     ".long 1b - ., 2b - .\n"
                     ".popsection\n"
                     : "+r"(x0)
                     : "r"(x1)
                     : "memory");
}

void kc_board_exit(int code)
{
    kc_plat_barrier(KC_DSB_SY);
    semihost_exit(code);
    kc_board_psci(PSCI_SYSTEM_OFF, 0, 0, 0);
    for (;;) {
        __asm__ volatile("wfi");
    }
}
