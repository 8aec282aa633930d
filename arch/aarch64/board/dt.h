/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * dt.h: what this body takes from a device tree: a kc_boot_info for the kernel, a kc_board for
 * itself.
 *
 * Portable and pure, so that it is tested and fuzzed on the host. A tree that lacks something, or
 * contradicts itself, is refused with the node and what was expected there. What the tree claims
 * about RAM (overlaps, absurd sizes) is kept as it stands: kc_early_init() judges that.
 */
#ifndef KC_A64_DT_H
#define KC_A64_DT_H

#include <kc/boot.h>

#include "fdt_read.h"

KC_EXTERN_C_BEGIN

#define KC_BOARD_SEED_BYTES 64u

enum kc_board_psci {
    KC_BOARD_PSCI_NONE,
    KC_BOARD_PSCI_HVC,
    KC_BOARD_PSCI_SMC
};

struct kc_board {
    kc_pa_range_t uart;          /* PL011 */
    uint32_t gic_version;        /* 2 or 3 */
    kc_pa_range_t gic[2];        /* distributor; redistributors (3) or CPU interface (2) */
    uint32_t psci;               /* enum kc_board_psci */
    uint32_t timer_intid;        /* of the virtual timer */
    uint32_t cpu_count;          /* as in the boot information */
    uint32_t cpus_in_tree;       /* how many the machine has, also above KC_CPUS_MAX */
    uint64_t mpidr[KC_CPUS_MAX]; /* affinity fields of each CPU; 0 is the one that boots */
    kc_pa_range_t initrd;        /* to the byte; size 0: there is none */
    uint32_t seed_bytes;         /* of chance from the firmware; 0: it gave none */
    uint8_t seed[KC_BOARD_SEED_BYTES];
};

/* Why a tree was refused. */
struct kc_dt_error {
    const char *what; /* what was expected; static storage */
    const char *node; /* where: a node name in the blob, or static storage */
    uint32_t offset;  /* in the blob, 0 where a node says it all */
};

/**
 * Read a device tree.
 *
 * dtb         the blob, at its own physical address dtb_pa
 * limit       bytes that may be read there
 * boot_mpidr  MPIDR_EL1 of the CPU that boots: becomes CPU 0
 * info        out: ranges of RAM, RESERVED, NOMAP, INITRD, DTB, MMIO, CPUs, command line, seed;
 *             the caller adds the image and the address-space layout
 * board       out
 * e           out on error
 *
 * On error info and board are unspecified.
 * Errors:  those of kc_fdt_open()
 *          KC_ERR_ABSENT       a node or property that this body needs
 *          KC_ERR_ARG          reserved memory that contradicts itself
 *          KC_ERR_RANGE        a reg, address or size that wraps, or has a wrong length; a command
 *                              line that is too long
 *          KC_ERR_NOMEM        more ranges than KC_BOOT_RANGES_MAX
 *          KC_ERR_UNSUPPORTED  cells or a device of a kind that is not known
 * Cost:    O(limit)
 */
KC_NODISCARD kc_status_t kc_dt_read(const void *dtb, kc_pa_t dtb_pa, uint64_t limit,
                                    uint64_t boot_mpidr, struct kc_boot_info *info,
                                    struct kc_board *board, struct kc_dt_error *e);

/** Add one range to the boot information; false if it is full. */
KC_NODISCARD bool kc_dt_add(struct kc_boot_info *info, kc_pa_t base, uint64_t size, uint32_t kind);

KC_EXTERN_C_END

#endif
