/* SPDX-License-Identifier: BSD-2-Clause */
/* While somebody listens, he hears of each object once, whatever way the call took. */
#include <host.h>
#include <host_record.h>

#include "kc_test.h"

#include <kc/cache.h>
#include <kc/early.h>
#include <kc/frame.h>
#include <kc/pool.h>

#define BLOCK  48u
#define BLOCKS 200u
#define EVENTS 20000u

static struct host_event event[EVENTS];
static KC_ALIGNED(64) unsigned char memory[KC_POOL_MEMORY_BYTES(BLOCK, 8, BLOCKS, 1)];
static struct kc_misuse misuse;
static void *held[BLOCKS];

/* Notes of that kind about an object, and all of that kind about objects of so many bytes. */
static uint32_t notes(enum kc_note kind, uint64_t bytes, const void *object)
{
    size_t seen = host_record_count();
    uint32_t count = 0;
    cr_assert_leq(seen, EVENTS);
    for (size_t i = 0; i < seen; i++) {
        count += event[i].call == HOST_NOTE && event[i].a == (uint64_t)kind &&
                 event[i].c == bytes && (object == NULL || event[i].b == (uintptr_t)object);
    }
    return count;
}

/* What is to be heard: nothing at hardening off (kc/mag.h). */
static void expect_heard(uint64_t bytes, uint32_t count)
{
    uint32_t times = KC_MAG_TELLS ? 1 : 0;
    (void)host_record_stop();
    cr_expect_eq(notes(KC_NOTE_ALLOC, bytes, NULL), times * count);
    cr_expect_eq(notes(KC_NOTE_FREE, bytes, NULL), times * count);
    for (uint32_t i = 0; i < count; i += 17) {
        cr_expect_eq(notes(KC_NOTE_ALLOC, bytes, held[i]), times);
        cr_expect_eq(notes(KC_NOTE_FREE, bytes, held[i]), times);
    }
}

static void of_a_pool(uint32_t cpu_count)
{
    static struct kc_pool pool;
    struct kc_pool_config c = {"p", memory, sizeof(memory), BLOCK, 8, &misuse, 0, cpu_count};
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_pool_init(&pool, &c), KC_OK);
    host_record_start(event, EVENTS);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        held[i] = i % 2 == 0 ? kc_pool_alloc(&pool) : kc_pool_alloc_here(kc_pool_here(&pool));
        cr_assert_not_null(held[i]);
    }
    cr_assert_eq(kc_pool_free_bulk(&pool, BLOCKS / 2, held), KC_OK);
    for (uint32_t i = BLOCKS / 2; i < BLOCKS; i++) {
        cr_assert_eq(kc_pool_free(&pool, held[i]), KC_OK);
    }
    expect_heard(BLOCK, BLOCKS);
    cr_assert_eq(kc_pool_fini(&pool), KC_OK);
}

Test(notes, of_a_pool_with_magazines)
{
    of_a_pool(1);
}

Test(notes, of_a_pool_without_magazines)
{
    of_a_pool(0);
}

Test(notes, of_a_cache_with_magazines)
{
    static struct kc_boot_info info;
    static struct kc_early early;
    static struct kc_frames frames;
    static struct kc_cache cache;
    struct kc_cache_config c = {
        .name = "c", .object_bytes = BLOCK, .misuse = &misuse, .cpu_count = 1};
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert(kc_test_ram(KC_MIB(1), &info));
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    cr_assert_eq(kc_cache_init(&cache, &c, &frames), KC_OK);
    host_record_start(event, EVENTS);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        held[i] = i % 2 == 0 ? kc_cache_alloc(&cache, 0) : kc_cache_alloc_pinned(&cache, 0);
        cr_assert_not_null(held[i]);
    }
    for (uint32_t i = 0; i < BLOCKS; i++) {
        cr_assert_eq(kc_cache_free(&cache, held[i]), KC_OK);
    }
    expect_heard(BLOCK, BLOCKS);
    cr_assert_eq(kc_cache_fini(&cache), KC_OK);
}
