/* SPDX-License-Identifier: BSD-2-Clause */
/* mmio: the contract of kc/mmio.h. What barriers go with what: tests/host/test_mmio_order.c. */
#include "kc_test.h"

#include <kc/early.h>
#include <kc/frame.h>
#include <kc/mmio.h>

#define RAM       KC_MIB(2)
#define BASE      UINT64_C(0xffffff8000000000)
#define UART_PA   UINT64_C(0x09000ff0) /* its registers lie on two pages */
#define UART_SIZE UINT64_C(0x20)

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;
static struct kc_pt tree;
static struct kc_aspace space;
static struct kc_area areas[8];
static struct kc_region_map map;
static struct kc_region_node node[KC_REGION_NODES(8)];
static struct kc_mmio uart;

static void set_up(void)
{
    struct kc_a64_format high = {KC_A64_STAGE1, 12, 48, 40, 1, 0, 0};
    struct kc_pt_config pc = {.format = high, .source = {.frames = &frames}, .any_asid = true};
    struct kc_aspace_config c = {.kind = KC_ASPACE_KERNEL,
                                 .name = "kernel",
                                 .frames = &frames,
                                 .kernel_pt = &tree,
                                 .base = kc_ia(BASE),
                                 .bytes = KC_MIB(64),
                                 .areas = areas,
                                 .area_max = KC_ARRAY_COUNT(areas)};
    uart = (struct kc_mmio){.bytes = 0};
    cr_assert(kc_test_ram(RAM, &info));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    cr_assert_eq(kc_pt_init(&tree, &pc), KC_OK);
    cr_assert_eq(kc_aspace_init(&space, &c), KC_OK);
    cr_assert_eq(kc_region_map_init(&map, "kernel", node, KC_ARRAY_COUNT(node)), KC_OK);
}

static void tear_down(void)
{
    cr_expect_eq(kc_aspace_check(&space, NULL), KC_OK);
    cr_expect_eq(kc_region_map_check(&map, NULL), KC_OK);
    cr_expect_eq(kc_aspace_fini(&space), KC_OK);
    cr_expect_eq(kc_pt_fini(&tree), KC_OK);
    cr_expect_eq(kc_frame_owner_frames(&frames, KC_FRAME_OWNER_TABLE), 0);
}

TestSuite(mmio, .init = set_up, .fini = tear_down);

static kc_status_t map_uart(void)
{
    return kc_mmio_map(&space, &map, &misuse, kc_pa(UART_PA), UART_SIZE, 7, "uart", &uart);
}

static kc_status_t open(uint64_t base, uint64_t bytes, uint32_t perms)
{
    struct kc_mmio_judge j = {&map, &tree, &misuse};
    struct kc_mmio h = {.bytes = 99};
    kc_status_t s = kc_mmio_open(&j, kc_va(base), bytes, perms, "h", &h);
    cr_expect_eq(h.bytes, s == KC_OK ? bytes : 99, "untouched on error");
    return s;
}

Test(mmio, map_makes_region_mapping_and_handle)
{
    struct kc_region r;
    cr_assert_eq(map_uart(), KC_OK);
    cr_expect_eq(kc_mmio_bytes(&uart), UART_SIZE);
    cr_assert(kc_region_find(&map, kc_ia_of_va(uart.base), &r));
    cr_expect_eq(r.kind, KC_REGION_MMIO);
    cr_expect_eq(r.size, UART_SIZE);
    cr_expect_eq(r.owner, 7);
    struct kc_mmio zeroed = uart;
    cr_assert_eq(kc_mmio_unmap(&space, &map, &uart), KC_OK);
    cr_expect_eq(kc_region_count(&map), 0);
    cr_expect_eq(space.area_count, 0);
    cr_expect_not(kc_mmio_allows(&uart, 0, 1, KC_REGION_READ));
    cr_expect_eq(kc_mmio_unmap(&space, &map, &zeroed), KC_ERR_ABSENT, "it is undone once");
}

/* A region of somebody's own within a mapping: with it, more than it would go. */
Test(mmio, unmap_wants_the_whole_mapping)
{
    kc_ia_t at;
    cr_assert_eq(kc_aspace_map_device(&space, kc_pa(UART_PA), 2 * KC_FRAME_BYTES, &at), KC_OK);
    uint64_t second = kc_ia_raw(kc_ia_align_down(at, KC_FRAME_BYTES)) + KC_FRAME_BYTES;
    struct kc_region part = {kc_ia(second), KC_FRAME_BYTES, KC_REGION_MMIO, 0, 0, 0, "part"};
    cr_assert_eq(kc_region_add(&map, &part), KC_OK);
    struct kc_mmio h = {.base = kc_va(second), .bytes = KC_FRAME_BYTES};
    cr_expect_eq(kc_mmio_unmap(&space, &map, &h), KC_ERR_ABSENT);
    cr_expect_eq(h.bytes, KC_FRAME_BYTES);
    cr_expect_eq(kc_region_count(&map), 1);
    cr_expect_eq(space.area_count, 1);
}

Test(mmio, map_that_fails_leaves_nothing)
{
    struct kc_aspace user = {.kind = KC_ASPACE_USER};
    cr_expect_eq(kc_mmio_map(&user, &map, &misuse, kc_pa(UART_PA), 8, 0, "x", &uart), KC_ERR_ARG);
    cr_expect_eq(kc_mmio_map(&space, &map, &misuse, kc_pa(UART_PA), 0, 0, "x", &uart), KC_ERR_ARG);
    cr_expect_eq(kc_mmio_map(&space, &map, &misuse, kc_pa(UINT64_MAX), 2, 0, "x", &uart),
                 KC_ERR_RANGE);
    /* Somebody has taken the place in the map, though the space knows nothing of it. */
    struct kc_region all = {kc_ia(BASE), KC_MIB(64), KC_REGION_KERNEL, 0, 0, 0, "all"};
    cr_assert_eq(kc_region_add(&map, &all), KC_OK);
    cr_expect_eq(map_uart(), KC_ERR_EXISTS);
    cr_expect_eq(uart.bytes, 0);
    cr_expect_eq(space.area_count, 0);
    for (uint32_t fail = 0;; fail++) {
        cr_assert_eq(kc_region_count(&map), fail == 0 ? 1 : 0);
        if (fail == 0) {
            cr_assert_eq(kc_region_remove(&map, all.base, all.size, NULL), KC_OK);
        }
        kc_frames_fail_after(&frames, fail);
        kc_status_t s = map_uart();
        kc_frames_fail_after(&frames, UINT64_MAX);
        if (s == KC_OK) {
            cr_expect_gt(fail, 0);
            break;
        }
        cr_assert_eq(s, KC_ERR_NOMEM);
        cr_assert_eq(space.area_count, 0);
    }
}

Test(mmio, open_wants_region_kind_permission_and_mapping)
{
    cr_assert_eq(map_uart(), KC_OK);
    const uint64_t at = kc_va_raw(uart.base);
    const uint32_t rw = KC_REGION_READ | KC_REGION_WRITE;
    cr_expect_eq(open(at, UART_SIZE, rw), KC_OK);
    cr_expect_eq(open(at + 4, 4, KC_REGION_READ), KC_OK);
    cr_expect_eq(open(at, 0, rw), KC_ERR_ARG);
    cr_expect_eq(open(at, 4, 0), KC_ERR_ARG);
    cr_expect_eq(open(at, 4, KC_REGION_EXEC), KC_ERR_ARG);
    cr_expect_eq(open(UINT64_MAX, 2, rw), KC_ERR_RANGE);
    cr_expect_eq(open(at + UART_SIZE, 4, rw), KC_ERR_ABSENT);
    cr_expect_eq(open(at + UART_SIZE - 2, 4, rw), KC_ERR_SPAN);
    cr_assert_eq(kc_region_set_perms(&map, kc_ia(at), UART_SIZE, KC_REGION_READ), KC_OK);
    cr_expect_eq(open(at, 4, rw), KC_ERR_PERM);
    cr_expect_eq(open(at, 4, KC_REGION_READ), KC_OK);
    cr_assert_eq(kc_aspace_unmap(&space, kc_ia(BASE + 0x2000), 0x1000), KC_OK);
    cr_expect_eq(open(at, UART_SIZE, KC_REGION_READ), KC_ERR_STATE, "its second page is gone");
    cr_expect_eq(open(at, 4, KC_REGION_READ), KC_OK, "the first is there");
}

Test(mmio, open_refuses_memory)
{
    struct kc_aspace_request rq = {.bytes = KC_FRAME_BYTES};
    kc_ia_t at;
    cr_assert_eq(kc_aspace_reserve(&space, &rq, &at), KC_OK);
    cr_assert_eq(kc_aspace_map_new(&space, at, KC_FRAME_BYTES,
                                   kc_pt_attr(KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL, true)),
                 KC_OK);
    struct kc_region r = {at, KC_FRAME_BYTES, KC_REGION_KERNEL, KC_REGION_READ, 0, 0, "memory"};
    cr_assert_eq(kc_region_add(&map, &r), KC_OK);
    cr_expect_eq(open(kc_ia_raw(at), 8, KC_REGION_READ), KC_ERR_UNSUPPORTED, "no MMIO region");
    cr_assert_eq(kc_region_remove(&map, at, KC_FRAME_BYTES, NULL), KC_OK);
    r.kind = KC_REGION_MMIO;
    cr_assert_eq(kc_region_add(&map, &r), KC_OK);
    cr_expect_eq(open(kc_ia_raw(at), 8, KC_REGION_READ), KC_ERR_STATE, "mapped as memory");
}

Test(mmio, parts_stay_inside)
{
    struct kc_mmio part = {.bytes = 99};
    struct kc_mmio sub;
    cr_assert_eq(map_uart(), KC_OK);
    cr_expect_eq(kc_mmio_part(&uart, 0, 0, "p", &part), KC_ERR_ARG);
    cr_expect_eq(kc_mmio_part(&uart, UART_SIZE, 1, "p", &part), KC_ERR_RANGE);
    cr_expect_eq(kc_mmio_part(&uart, 4, UART_SIZE - 3, "p", &part), KC_ERR_RANGE);
    cr_expect_eq(kc_mmio_part(&uart, UINT64_MAX, 2, "p", &part), KC_ERR_RANGE);
    cr_expect_eq(kc_mmio_part(&uart, 4, UINT64_MAX, "p", &part), KC_ERR_RANGE);
    cr_expect_eq(part.bytes, 99);
    cr_assert_eq(kc_mmio_part(&uart, 4, 8, "p", &part), KC_OK);
    cr_expect(kc_mmio_allows(&part, 4, 4, KC_REGION_WRITE));
    cr_expect_not(kc_mmio_allows(&part, 8, 4, KC_REGION_WRITE));
    cr_expect_eq(kc_mmio_part(&part, 4, 5, "p", &sub), KC_ERR_RANGE,
                 "inside the handle is not "
                 "enough: inside the part");
}

static void is_misuse(enum kc_misuse_kind kind)
{
    cr_expect_eq((int)misuse.last.kind, (int)kind);
    cr_expect_eq(misuse.count[kind], 1);
    misuse.count[kind] = 0;
    cr_expect_eq(kc_misuse_total(&misuse), 0);
}

/* None of these reaches a device: there is none at that address. */
Test(mmio, wrong_accesses_are_refused)
{
    cr_assert_eq(map_uart(), KC_OK);
    cr_expect_eq(kc_mmio_read8_relaxed(&uart, UART_SIZE), UINT8_MAX);
    is_misuse(KC_MISUSE_FOREIGN);
    cr_expect_eq(kc_mmio_read64(&uart, UART_SIZE - 4), UINT64_MAX);
    is_misuse(KC_MISUSE_FOREIGN);
    cr_expect_eq(kc_mmio_read32(&uart, UINT64_MAX), UINT32_MAX);
    is_misuse(KC_MISUSE_FOREIGN);
    cr_expect_eq(kc_mmio_read16(&uart, 3), UINT16_MAX);
    is_misuse(KC_MISUSE_INTERIOR);
    kc_mmio_write64(&uart, 4, 1);
    is_misuse(KC_MISUSE_INTERIOR);
    uart.perms = KC_REGION_READ;
    kc_mmio_write32_relaxed(&uart, 0, 1);
    is_misuse(KC_MISUSE_WRONG_OWNER);
    uart.perms = KC_REGION_WRITE;
    kc_mmio_update32(&uart, 0, 1, 1);
    is_misuse(KC_MISUSE_WRONG_OWNER);
    uint32_t last = 5;
    cr_expect_eq(kc_mmio_poll32(&uart, 0, 1, 1, 9, &last), KC_ERR_PERM);
    is_misuse(KC_MISUSE_WRONG_OWNER);
    cr_expect_eq(last, 5);
    cr_expect_eq(misuse.last.address, kc_va_raw(uart.base));
    struct kc_mmio zeroed = {.misuse = &misuse};
    cr_expect_eq(kc_mmio_read8(&zeroed, 0), UINT8_MAX);
    is_misuse(KC_MISUSE_FOREIGN);
}

#ifndef KC_TEST_SIMULATED /* RAM is no device there, and there is no other */

/* Registers that are memory: one page of the test's RAM, taken for a device. */
static struct kc_mmio registers(void)
{
    kc_pa_t pa;
    struct kc_mmio h = {.bytes = 0};
    struct kc_mmio_judge j = {&map, NULL, &misuse};
    cr_assert_eq(kc_frame_alloc(&frames, 0, KC_FRAME_ZERO, KC_FRAME_OWNER_TEST, &pa), KC_OK);
    kc_va_t va = kc_plat_ptr_va(kc_plat_ram(pa));
    struct kc_region r = {kc_ia_of_va(va),     64, KC_REGION_MMIO, KC_REGION_READ | KC_REGION_WRITE,
                          KC_REGION_FROM_NONE, 0,  "registers"};
    cr_assert_eq(kc_region_add(&map, &r), KC_OK);
    cr_assert_eq(kc_mmio_open(&j, va, 64, r.perms, "registers", &h), KC_OK);
    return h;
}

Test(mmio, each_width_reads_what_was_written)
{
    struct kc_mmio h = registers();
    kc_mmio_write64(&h, 56, UINT64_C(0x1122334455667788));
    cr_expect_eq(kc_mmio_read64(&h, 56), UINT64_C(0x1122334455667788));
    cr_expect_eq(kc_mmio_read32(&h, 60), 0x11223344);
    cr_expect_eq(kc_mmio_read16_relaxed(&h, 58), 0x5566);
    cr_expect_eq(kc_mmio_read8(&h, 63), 0x11);
    kc_mmio_write32(&h, 0, 0xaabbccdd);
    kc_mmio_write16_relaxed(&h, 0, 0x1234);
    kc_mmio_write8(&h, 3, 0x99);
    cr_expect_eq(kc_mmio_read32_relaxed(&h, 0), 0x99bb1234);
    kc_mmio_write32(&h, 64, 1);
    is_misuse(KC_MISUSE_FOREIGN);
}

Test(mmio, update_changes_only_its_bits)
{
    struct kc_mmio h = registers();
    kc_mmio_write32(&h, 8, 0xff00ff00);
    kc_mmio_update32(&h, 8, 0x0000f000, 0x00000010);
    cr_expect_eq(kc_mmio_read32(&h, 8), 0xff000f10);
    h.perms = KC_REGION_READ;
    kc_mmio_update32(&h, 8, 0, 1);
    is_misuse(KC_MISUSE_WRONG_OWNER);
    cr_expect_eq(kc_mmio_read32(&h, 8), 0xff000f10);
}

Test(mmio, poll_is_bounded)
{
    struct kc_mmio h = registers();
    uint32_t last = 0;
    kc_mmio_write32(&h, 4, 0x5a);
    cr_expect_eq(kc_mmio_poll32(&h, 4, 0xf0, 0x50, 1, &last), KC_OK);
    cr_expect_eq(last, 0x5a);
    cr_expect_eq(kc_mmio_poll32(&h, 4, 0xf0, 0x60, 1000, &last), KC_ERR_FAULT);
    cr_expect_eq(kc_mmio_poll32(&h, 4, 0xf0, 0x60, 1, NULL), KC_ERR_FAULT);
    cr_expect_eq(kc_mmio_poll32(&h, 4, 0xf0, 0x5a, 9, NULL), KC_ERR_ARG);
    cr_expect_eq(kc_mmio_poll32(&h, 4, 0xf0, 0x50, 0, NULL), KC_ERR_ARG);
}

#endif
