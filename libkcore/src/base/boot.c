/* SPDX-License-Identifier: BSD-2-Clause */
#include <kc/boot.h>

const char *kc_boot_kind_name(uint32_t kind)
{
    switch (kind) {
    case KC_BOOT_RAM:
        return "ram";
    case KC_BOOT_RESERVED:
        return "reserved";
    case KC_BOOT_NOMAP:
        return "nomap";
    case KC_BOOT_TEXT:
        return "text";
    case KC_BOOT_RODATA:
        return "rodata";
    case KC_BOOT_DATA:
        return "data";
    case KC_BOOT_INITRD:
        return "initrd";
    case KC_BOOT_DTB:
        return "dtb";
    case KC_BOOT_MMIO:
        return "mmio";
    default:
        return "?";
    }
}
