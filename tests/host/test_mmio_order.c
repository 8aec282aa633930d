/* SPDX-License-Identifier: BSD-2-Clause */
/* mmio: which barrier goes with which access, and on which side, as the seam saw it. */
#include <host_ram.h>
#include <host_record.h>

#include "kc_test.h"

#include <kc/mmio.h>

#define SIZE 64u

static struct kc_boot_info info;
static struct kc_region_map map;
static struct kc_region_node node[KC_REGION_NODES(1)];
static struct host_event event[16];
static struct kc_mmio h;

static void set_up(void)
{
    struct kc_mmio_judge j = {&map, NULL, NULL};
    cr_assert_eq(host_ram_create(4096, &info), KC_OK);
    struct kc_region r = {kc_ia(info.linear_base + HOST_MMIO_BASE),
                          SIZE,
                          KC_REGION_MMIO,
                          KC_REGION_READ | KC_REGION_WRITE,
                          0,
                          0,
                          "registers"};
    cr_assert_eq(kc_region_map_init(&map, "linear", node, KC_ARRAY_COUNT(node)), KC_OK);
    cr_assert_eq(kc_region_add(&map, &r), KC_OK);
    cr_assert_eq(kc_mmio_open(&j, kc_va_of_ia(r.base), SIZE, r.perms, "registers", &h), KC_OK);
    host_record_start(event, KC_ARRAY_COUNT(event));
}

static void tear_down(void)
{
    (void)host_record_stop();
    host_ram_destroy();
}

TestSuite(mmio_order, .init = set_up, .fini = tear_down);

static void is_barrier(uint32_t i, enum kc_barrier kind)
{
    cr_expect_eq((int)event[i].call, HOST_BARRIER, "event %u", i);
    cr_expect_eq(event[i].a, kind, "event %u", i);
}

static void is_access(uint32_t i, enum host_call call, uint64_t offset)
{
    cr_expect_eq((int)event[i].call, (int)call, "event %u", i);
    cr_expect_eq(event[i].a, kc_va_raw(h.base) + offset, "event %u", i);
}

Test(mmio_order, relaxed_accesses_have_no_barrier)
{
    kc_mmio_write8_relaxed(&h, 1, 1);
    (void)kc_mmio_read16_relaxed(&h, 2);
    kc_mmio_update32(&h, 4, 1, 2);
    cr_assert_eq(host_record_stop(), 4);
    is_access(0, HOST_MMIO_WRITE, 1);
    is_access(1, HOST_MMIO_READ, 2);
    is_access(2, HOST_MMIO_READ, 4);
    is_access(3, HOST_MMIO_WRITE, 4);
}

Test(mmio_order, stores_come_before_a_write)
{
    kc_mmio_write8(&h, 0, 1);
    kc_mmio_write16(&h, 2, 1);
    kc_mmio_write32(&h, 4, 1);
    kc_mmio_write64(&h, 8, 1);
    cr_assert_eq(host_record_stop(), 8);
    for (uint32_t i = 0; i < 8; i += 2) {
        is_barrier(i, KC_DMB_OSHST);
        is_access(i + 1, HOST_MMIO_WRITE, i == 0 ? 0 : UINT64_C(1) << (i / 2));
    }
}

Test(mmio_order, loads_come_after_a_read)
{
    (void)kc_mmio_read8(&h, 0);
    (void)kc_mmio_read16(&h, 2);
    (void)kc_mmio_read32(&h, 4);
    (void)kc_mmio_read64(&h, 8);
    cr_assert_eq(host_record_stop(), 8);
    for (uint32_t i = 0; i < 8; i += 2) {
        is_access(i, HOST_MMIO_READ, i == 0 ? 0 : UINT64_C(1) << (i / 2));
        is_barrier(i + 1, KC_DMB_OSHLD);
    }
}

Test(mmio_order, poll_reads_no_more_than_it_may_and_ends_in_a_barrier)
{
    cr_expect_eq(kc_mmio_poll32(&h, 0, 1, 1, 3, NULL), KC_ERR_FAULT);
    cr_assert_eq(host_record_stop(), 4);
    is_access(0, HOST_MMIO_READ, 0);
    is_access(2, HOST_MMIO_READ, 0);
    is_barrier(3, KC_DMB_OSHLD);
}

Test(mmio_order, a_refused_access_reaches_nothing)
{
    struct kc_misuse silent;
    kc_misuse_init(&silent, KC_MISUSE_SILENT);
    h.misuse = &silent;
    (void)kc_mmio_read32_relaxed(&h, SIZE);
    kc_mmio_write32_relaxed(&h, 2, 1);
    cr_expect_eq(host_record_stop(), 0);
    cr_expect_eq(kc_misuse_total(&silent), 2);
}
