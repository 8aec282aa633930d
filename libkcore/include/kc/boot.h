/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/boot.h: what a body knows of its machine when it enters the kernel.
 *
 * The body parses the device tree (or whatever it has) into one struct kc_boot_info and hands it to
 * kc_kernel_boot(). The structure holds no pointer, so that it means the same with the MMU off and
 * on. Everything in it comes from outside and is checked by kc_early_init(), not trusted.
 */
#ifndef KC_BOOT_H
#define KC_BOOT_H

#include <kc/addr.h>

KC_EXTERN_C_BEGIN

#define KC_BOOT_VERSION     1u
#define KC_BOOT_RANGES_MAX  128u
#define KC_BOOT_CMDLINE_MAX 512u

enum kc_boot_kind {
    KC_BOOT_RAM,      /* memory; ranges of this kind may touch but not overlap */
    KC_BOOT_RESERVED, /* inside RAM: mapped, never allocated */
    KC_BOOT_NOMAP,    /* inside RAM: neither allocated nor mapped */
    KC_BOOT_TEXT,     /* inside RAM: the kernel's code: mapped read-only and executable */
    KC_BOOT_RODATA,   /* inside RAM: the kernel's constants: read-only */
    KC_BOOT_DATA,     /* inside RAM: the kernel's data, bss and boot stacks: writable */
    KC_BOOT_INITRD,   /* inside RAM: handed to the workload, read-only */
    KC_BOOT_DTB,      /* inside RAM: the device tree: read-only */
    KC_BOOT_MMIO,     /* outside RAM: device registers: mapped Device-nGnRE */
    KC_BOOT_KIND_COUNT
};

struct kc_boot_range {
    kc_pa_t base;
    uint64_t size;
    uint32_t kind; /* enum kc_boot_kind */
    uint32_t unused;
};

struct kc_boot_info {
    uint32_t version;      /* KC_BOOT_VERSION */
    uint32_t cpu_count;    /* 1 to KC_CPUS_MAX; CPU 0 is the one that boots */
    uint64_t linear_base;  /* RAM and MMIO at pa appear at kernel address linear_base + pa */
    uint64_t dynamic_base; /* kernel addresses free for dynamic mappings: outside the linear map, */
    uint64_t dynamic_bytes; /*   2 MiB aligned and sized; 0 bytes: there are none */
    uint64_t user_base;     /* user addresses that an address space may use, */
    uint64_t user_bytes;    /*   2 MiB aligned and sized; 0 bytes: there are none */
    uint64_t seed;          /* for everything random in the kernel */
    uint32_t range_count;   /* 1 to KC_BOOT_RANGES_MAX, in any order */
    uint32_t unused;
    struct kc_boot_range range[KC_BOOT_RANGES_MAX];
    char cmdline[KC_BOOT_CMDLINE_MAX]; /* zero-terminated */
};

/** Name of a kind for people, static storage; "?" for an unknown one. */
const char *kc_boot_kind_name(uint32_t kind);

KC_EXTERN_C_END

#endif
