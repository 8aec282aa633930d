/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tags: what kc/plat.h says of memory tags, in whatever body: none, and then nothing changes; or
 * granules of 16 bytes, and then an access through another tag faults. That is asked with copies
 * that survive a fault. Of the bodies so far only the hosted one on arm64 has tags (qemu-aarch64).
 */
#include "kc_test.h"

#include <kc/bits.h>

#define BYTES 64u

static struct kc_boot_info info;
static unsigned char *memory;

static void set_up(void)
{
    cr_assert(kc_test_ram(KC_MIB(1), &info));
    memory = (unsigned char *)kc_plat_ram(info.range[0].base);
}

TestSuite(tags, .init = set_up);

Test(tags, without_tags_a_pointer_stays_what_it_is)
{
    uint32_t granule = kc_plat_tag_granule();
    cr_assert(granule == 0 || granule == 16);
    if (granule == 0) {
        for (uint32_t tag = 0; tag < 16; tag++) {
            cr_expect_eq(kc_plat_tag_set(memory, BYTES, tag), (void *)memory);
        }
    }
}

static unsigned char *with_tag(uint32_t tag)
{
    uint64_t plain = (uint64_t)(uintptr_t)memory & ~(UINT64_C(15) << 56);
    return (unsigned char *)(uintptr_t)(plain | (uint64_t)tag << 56);
}

/* True if one byte at p can be read, and written. */
static bool can_access(const unsigned char *p)
{
    unsigned char byte = 0x11;
    bool reads = kc_plat_user_read(&byte, kc_uva((uintptr_t)p), 1) == 0;
    bool writes = kc_plat_user_write(kc_uva((uintptr_t)p), &byte, 1) == 0;
    cr_expect_eq(reads, writes);
    return reads;
}

/* Each pair of a memory's tag and a pointer's, each byte of the tagged granules and beside them. */
Test(tags, an_access_through_another_tag_faults)
{
    if (kc_plat_tag_granule() == 0) {
        cr_skip_test("no tags here");
    }
    for (uint32_t tag = 0; tag < 16; tag++) {
        unsigned char *p = (unsigned char *)kc_plat_tag_set(memory, BYTES, tag);
        cr_assert_eq((uintptr_t)p, (uintptr_t)with_tag(tag));
        p[0] = 0x77;
        cr_expect_eq(p[0], 0x77);
        for (uint32_t other = 0; other < 16; other++) {
            for (uint32_t at = 0; at < BYTES; at += 5) {
                cr_assert_eq(can_access(with_tag(other) + at), other == tag, "tag %u, pointer %u",
                             tag, other);
            }
            cr_assert_eq(can_access(with_tag(other) + BYTES), other == 0, "right behind it");
        }
    }
    cr_expect_eq(kc_plat_tag_set(memory, BYTES, 0), (void *)memory);
}

/* As freed memory will be: the old pointer faults, a new one does not. */
Test(tags, retagging_ends_the_old_pointer)
{
    if (kc_plat_tag_granule() == 0) {
        cr_skip_test("no tags here");
    }
    unsigned char *old = (unsigned char *)kc_plat_tag_set(memory, BYTES, 3);
    cr_expect(can_access(old));
    unsigned char *new = (unsigned char *)kc_plat_tag_set(old, BYTES, 4);
    cr_expect_not(can_access(old));
    cr_expect_not(can_access(memory));
    cr_expect(can_access(new));
    cr_expect_eq(kc_plat_tag_set(new, BYTES, 0), (void *)memory);
}
