/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * host_ram.h: the RAM of the hosted body.
 *
 * One block of host memory plays RAM at physical address HOST_RAM_BASE, with a window of plain
 * memory below it that plays device registers. Pages cost the host nothing until they are touched,
 * so RAM may be far larger than the host's, as far as its address space and overcommit policy go.
 *
 *     pa  HOST_MMIO_BASE          HOST_RAM_BASE                     HOST_RAM_BASE + bytes
 *         | 64 KiB "registers"    | RAM, zero at first              |
 *     va = linear_base + pa, for both; and va is the host's pointer
 *
 * There is one at a time in a process.
 */
#ifndef HOST_RAM_H
#define HOST_RAM_H

#include <kc/boot.h>
#include <kc/status.h>

KC_EXTERN_C_BEGIN

#define HOST_PAGE_BYTES 4096u
#define HOST_RAM_BASE   UINT64_C(0x80000000)
#define HOST_MMIO_BYTES UINT64_C(0x10000)
#define HOST_MMIO_BASE  (HOST_RAM_BASE - HOST_MMIO_BYTES)
#define HOST_RAM_ALIGN  (1u << 22)          /* pointers equal physical addresses modulo this */
#define HOST_RAM_MAX    (UINT64_C(1) << 46) /* more than a 47-bit host address space can hold */

/*
 * Addresses that tables may be built for. There is no MMU, so they are numbers only: nothing is
 * behind them, and the dynamic ones are in no host program's half of the address space.
 */
#define HOST_DYNAMIC_BASE  UINT64_C(0xffffff8000000000)
#define HOST_DYNAMIC_BYTES KC_GIB(64)
#define HOST_USER_BASE     (UINT64_C(1) << 40)
#define HOST_USER_BYTES    KC_GIB(256)

/**
 * Get zeroed RAM and describe it.
 *
 * bytes   multiple of HOST_PAGE_BYTES, 1 page to HOST_RAM_MAX
 * bi      out: version, KC_CPUS_MAX CPUs, linear_base, seed 1, one range of RAM, empty command
 *         line; untouched on error
 *
 * Owner:   the caller, until host_ram_destroy()
 * Errors:  KC_ERR_ARG    bi is NULL
 *          KC_ERR_ALIGN  bytes is no multiple of a page
 *          KC_ERR_RANGE  bytes is 0 or above HOST_RAM_MAX
 *          KC_ERR_STATE  there is RAM already
 *          KC_ERR_NOMEM  the host does not give that much address space
 */
KC_NODISCARD kc_status_t host_ram_create(uint64_t bytes, struct kc_boot_info *bi);

/** Give it back. Pointers into it die, physical addresses mean nothing. Without RAM: nothing. */
void host_ram_destroy(void);

/** Its size; 0 while there is none. */
uint64_t host_ram_bytes(void);

KC_EXTERN_C_END

#endif
