/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pl011.c: the console (DDI 0183 G, "PrimeCell UART (PL011)", 3.3). The firmware, or QEMU, has set
 * line rate and enabled it; this writes characters and waits for room. It prints in any regime,
 * also what went wrong before there was anything, so it stands on the seam alone and not on
 * kc/mmio.h.
 */
#include "../../body.h"

#define UARTDR      0x00u
#define UARTFR      0x18u
#define UARTFR_TXFF 0x20u /* transmit queue full */

void kc_board_uart_put(char c)
{
    uint64_t base = kc_pa_raw(kc_body_board.uart.base);
    if (kc_body_board.uart.size == 0) {
        return; /* no console is known yet */
    }
    if (kc_body_mmu_is_on()) {
        base += KC_BODY_LINEAR_BASE;
    }
    while ((kc_plat_mmio_read(kc_va(base + UARTFR), 4) & UARTFR_TXFF) != 0) {
        kc_plat_relax();
    }
    kc_plat_mmio_write(kc_va(base + UARTDR), 4, (unsigned char)c);
}
