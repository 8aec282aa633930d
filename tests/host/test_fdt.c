/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bare-metal body's reader of device trees beside libfdt: what both accept they read alike,
 * token by token; what libfdt writes is accepted. Random trees, then the same with bytes changed.
 * Blobs lie in heap memory of exactly their size, so that ASan and Valgrind see any byte beyond.
 */
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../arch/aarch64/board/dt.h"
#include "kc_test.h"

#define TREE_MAX (1 << 18) /* room for the greatest that random_node() makes */

static uint64_t state;

static uint32_t any(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 20) % below;
}

static void random_node(void *blob, uint32_t depth)
{
    char name[16];
    uint8_t value[40];
    uint32_t properties = any(5), subnodes = depth < 5 ? any(4) : 0;
    for (uint32_t i = 0; i < properties; i++) {
        uint32_t n = any(sizeof value);
        for (uint32_t j = 0; j < n; j++) {
            value[j] = (uint8_t)any(256);
        }
        snprintf(name, sizeof name, "p%u", any(12));
        cr_assert_eq(fdt_property(blob, name, value, (int)n), 0);
    }
    for (uint32_t i = 0; i < subnodes; i++) {
        snprintf(name, sizeof name, "n%u@%u", i, any(1000));
        cr_assert_eq(fdt_begin_node(blob, name), 0);
        random_node(blob, depth + 1);
        cr_assert_eq(fdt_end_node(blob), 0);
    }
}

static void random_tree(void *blob)
{
    cr_assert_eq(fdt_create(blob, TREE_MAX), 0);
    for (uint32_t i = any(3); i > 0; i--) {
        cr_assert_eq(fdt_add_reservemap_entry(blob, any(1000) + 1ull, any(1000) + 1ull), 0);
    }
    cr_assert_eq(fdt_finish_reservemap(blob), 0);
    cr_assert_eq(fdt_begin_node(blob, ""), 0);
    random_node(blob, 1);
    cr_assert_eq(fdt_end_node(blob), 0);
    cr_assert_eq(fdt_finish(blob), 0);
}

/* The same walk by both; true if nothing differed. */
static bool same_walk(const struct kc_fdt *f, const void *blob)
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
        switch (item.token) {
        case KC_FDT_NODE:
            if (tag != FDT_BEGIN_NODE || strcmp(item.name, fdt_get_name(blob, offset, NULL)) != 0) {
                return false;
            }
            break;
        case KC_FDT_NODE_END:
            if (tag != FDT_END_NODE) {
                return false;
            }
            break;
        case KC_FDT_PROP: {
            const char *name = NULL;
            int bytes = 0;
            const void *value = fdt_getprop_by_offset(blob, offset, &name, &bytes);
            if (tag != FDT_PROP || value != item.value || bytes != (int)item.bytes ||
                strcmp(name, item.name) != 0) {
                return false;
            }
            break;
        }
        default:
            return tag == FDT_END;
        }
        offset = next;
    }
}

static bool same_reservations(const struct kc_fdt *f, const void *blob)
{
    uint64_t base = 0, size = 0;
    int count = fdt_num_mem_rsv(blob);
    for (int i = 0; i < count; i++) {
        uint64_t b, n;
        if (fdt_get_mem_rsv(blob, i, &b, &n) != 0 ||
            !kc_fdt_reserved(f, (uint32_t)i, &base, &size) || b != base || n != size) {
            return false;
        }
    }
    /* libfdt ends at a size of 0, we as the specification says: where the address is 0, too. */
    return !kc_fdt_reserved(f, (uint32_t)count, &base, &size) || (size == 0 && base != 0);
}

/* A copy at the end of nothing: exactly size bytes. */
static void *exact(const void *blob, size_t size)
{
    void *p = malloc(size);
    cr_assert_not_null(p);
    memcpy(p, blob, size);
    return p;
}

Test(fdt_peer, what_libfdt_writes_is_read_alike)
{
    static uint8_t blob[TREE_MAX] KC_ALIGNED(8);
    state = kc_test_seed() | 1;
    for (uint32_t round = 0; round < 300; round++) {
        struct kc_fdt f;
        struct kc_fdt_error e = {"", 0};
        random_tree(blob);
        uint8_t *p = exact(blob, fdt_totalsize(blob));
        cr_assert_eq(kc_fdt_open(&f, p, fdt_totalsize(p), &e), KC_OK, "%s at %u", e.what, e.offset);
        cr_assert(same_walk(&f, p));
        cr_assert(same_reservations(&f, p));
        free(p);
    }
}

Test(fdt_peer, changed_bytes_are_refused_or_read_alike)
{
    static uint8_t blob[TREE_MAX] KC_ALIGNED(8);
    uint32_t both = 0, refused = 0;
    state = kc_test_seed() | 1;
    for (uint32_t round = 0; round < 60; round++) {
        random_tree(blob);
        size_t size = fdt_totalsize(blob);
        for (uint32_t change = 0; change < 200; change++) {
            struct kc_fdt f;
            uint8_t *p = exact(blob, size);
            for (uint32_t i = any(3) + 1; i > 0; i--) {
                p[any((uint32_t)size)] = (uint8_t)any(256);
            }
            if (kc_fdt_open(&f, p, size, NULL) != KC_OK) {
                refused++;
            } else if (fdt_check_full(p, size) == 0) {
                both++;
                cr_assert(same_walk(&f, p));
                cr_assert(same_reservations(&f, p));
            }
            struct kc_boot_info info;
            struct kc_board board;
            struct kc_dt_error e;
            (void)!kc_dt_read(p, kc_pa(0x40000000), size, 0, &info, &board, &e);
            free(p);
        }
    }
    cr_expect_gt(both, 100u);
    cr_expect_gt(refused, 100u);
}
