/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device trees of the bare-metal body, from anywhere: what the reader accepts and libfdt accepts,
 * both walk alike; what kc_dt_read() hands to the kernel keeps its invariants, and what early
 * memory makes of it has no page free that the tree reserves.
 */
#include <libfdt.h>
#include <string.h>

#include <kc/early.h>

#include "../arch/aarch64/board/dt.h"
#include "fuzz.h"

static void compare(const struct kc_fdt *f, const void *blob)
{
    uint32_t cursor = 0;
    int offset = 0;
    for (;;) {
        struct kc_fdt_item item;
        int next;
        uint32_t tag = fdt_next_tag(blob, offset, &next);
        if (tag == FDT_NOP) {
            offset = next;
            continue;
        }
        kc_fdt_next(f, &cursor, &item);
        if (item.token == KC_FDT_DONE) {
            FUZZ_REQUIRE(tag == FDT_END);
            return;
        }
        if (item.token == KC_FDT_PROP) {
            const char *name = NULL;
            int bytes = 0;
            const void *value = fdt_getprop_by_offset(blob, offset, &name, &bytes);
            FUZZ_REQUIRE(tag == FDT_PROP);
            FUZZ_REQUIRE(value == item.value && bytes == (int)item.bytes);
            FUZZ_REQUIRE(strcmp(name, item.name) == 0);
        } else if (item.token == KC_FDT_NODE) {
            FUZZ_REQUIRE(tag == FDT_BEGIN_NODE);
            FUZZ_REQUIRE(strcmp(item.name, fdt_get_name(blob, offset, NULL)) == 0);
        } else {
            FUZZ_REQUIRE(tag == FDT_END_NODE);
        }
        offset = next;
    }
}

static void no_reserved_byte_is_free(const struct kc_boot_info *info)
{
    static struct kc_early early;
    uint32_t cursor = 0;
    kc_pa_range_t free;
    if (kc_early_init(&early, info) != KC_OK) {
        return; /* overlaps, absurd sizes: early memory judges them */
    }
    FUZZ_REQUIRE(kc_early_check(&early, NULL) == KC_OK);
    while (kc_early_next_free(&early, &cursor, &free)) {
        for (uint32_t i = 0; i < info->range_count; i++) {
            const struct kc_boot_range *r = &info->range[i];
            FUZZ_REQUIRE(r->kind == KC_BOOT_RAM || !kc_range_meets(kc_pa_raw(free.base), free.size,
                                                                   kc_pa_raw(r->base), r->size));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct kc_boot_info info;
    struct kc_board board;
    struct kc_dt_error error = {NULL, NULL, 0};
    struct kc_fdt f;
    /* libfdt wants 8-byte alignment; exactly n bytes, so that ASan sees the first one beyond. */
    uint8_t *blob = malloc(n == 0 ? 1 : n);
    FUZZ_REQUIRE(blob != NULL);
    memcpy(blob, data, n);
    kc_status_t s = kc_fdt_open(&f, blob, n, NULL);
    if (s == KC_OK && fdt_check_full(blob, n) == 0) {
        compare(&f, blob);
    }
    kc_status_t r = kc_dt_read(blob, kc_pa(0x40000000), n, 0, &info, &board, &error);
    FUZZ_REQUIRE(s == KC_OK || r == s);
    if (r != KC_OK) {
        FUZZ_REQUIRE(error.what != NULL && error.node != NULL);
    } else {
        FUZZ_REQUIRE(info.range_count >= 1 && info.range_count <= KC_BOOT_RANGES_MAX);
        FUZZ_REQUIRE(info.cpu_count >= 1 && info.cpu_count <= KC_CPUS_MAX);
        FUZZ_REQUIRE(memchr(info.cmdline, 0, sizeof info.cmdline) != NULL);
        for (uint32_t i = 0; i < info.range_count; i++) {
            FUZZ_REQUIRE(kc_range_fits(kc_pa_raw(info.range[i].base), info.range[i].size));
            FUZZ_REQUIRE(info.range[i].size != 0);
        }
        no_reserved_byte_is_free(&info);
    }
    free(blob);
    return 0;
}
