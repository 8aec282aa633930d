/* SPDX-License-Identifier: BSD-2-Clause */
/* A program of somebody else's: takes RAM of the hosted body, allocates through the library. */
#include <cstdio>

#include <host_ram.h>
#include <kc/assert.h>
#include <kc/boot.h>
#include <kc/lock.h>
#include <kc/status.h>

int main(void)
{
    struct kc_boot_info info;
    struct kc_lock lock;
    struct kc_misuse misuse;

    if (host_ram_create(KC_MIB(1), &info) != KC_OK) {
        return 1;
    }
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    kc_lock_init(&lock, "consumer", KC_RANK_KERNEL);
    kc_lock_acquire(&lock);
    unsigned char *p = (unsigned char *)kc_plat_ram(info.range[0].base);
    p[0] = 42;
    kc_lock_release(&lock);
    if (!kc_pa_eq(kc_plat_ram_pa(p), info.range[0].base) || kc_misuse_total(&misuse) != 0) {
        return 1;
    }
    host_ram_destroy();
    std::printf("consumed: %s\n", kc_status_name(KC_OK));
    return 0;
}
