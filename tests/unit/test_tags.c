/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tags: what kc/plat.h says of memory tags, in whatever body: none, and then nothing changes; or
 * granules of 16 bytes, and then an access through another tag faults. That is asked with copies
 * that survive a fault, or of the simulated machine (kc_test_cpus.h), which has tags at hardening
 * tagged; the hosted body has them on arm64 (qemu-aarch64). Behind that, what allocators do with
 * them at hardening tagged (bodies qemu-tagged and exact-tagged).
 */
#include "kc_test.h"
#ifdef KC_TEST_SIMULATED
#include "kc_test_cpus.h"
#endif

#include <kc/arena.h>
#include <kc/bounds.h>
#include <kc/pool.h>
#include <kc/tag.h>

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

#ifdef KC_TEST_SIMULATED
/* Where the tag is in a pointer is the machine's own business. */
static unsigned char *with_tag(uint32_t tag)
{
    return (unsigned char *)kc_plat_tag_with(memory, tag);
}

static bool can_access(const unsigned char *p)
{
    return kc_test_can_access(p);
}
#else
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
#endif

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

#if KC_TAG_IS_USED
/* From one to the next all distances are met alike, also where the clock goes evenly, as here. */
Test(tags, none_is_foretold_from_those_before)
{
    uint32_t met[14] = {0};
    uint32_t before = 1;
    uint32_t given;
    kc_tag_seed(&given);
    for (uint32_t i = 0; kc_plat_tag_granule() != 0 && i < 200; i++) {
        uint32_t now = kc_tag_of(kc_tag_give_block(memory, BYTES, 0, 0, &given));
        met[(now + 14 - before) % 14]++;
        before = now;
    }
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(met); i++) {
        cr_expect_lt(met[i], 50, "distance %u: %u", i, met[i]); /* 14, if by chance */
    }
    (void)kc_plat_tag_set(memory, BYTES, 0);
}
#endif

/* ---- allocators, at hardening tagged ----------------------------------------------------------
 */

#define HAS_TAGS (KC_TAG_IS_USED && kc_plat_tag_granule() != 0)

/* True if it can be accessed; not all bodies let a user copy try where there are no tags. */
static bool is_open(const unsigned char *p)
{
    return !HAS_TAGS || can_access(p);
}

static struct kc_misuse misuse;
static struct kc_frames frames;
static struct kc_heap heap;

static void set_up_heap(void)
{
    static struct kc_early early;
    struct kc_heap_config config = {"tags", &misuse, 0, 0, NULL, 0};
    cr_assert(kc_test_ram(KC_MIB(4), &info));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    cr_assert_eq(kc_heap_init(&heap, &config, &frames), KC_OK);
}

TestSuite(tags_of, .init = set_up_heap);

static void end_heap(void)
{
    cr_expect_eq(kc_heap_check(&heap, NULL), KC_OK);
    cr_expect_eq(kc_heap_fini(&heap), KC_OK);
    cr_expect_eq(kc_frames_check(&frames, NULL), KC_OK);
    cr_expect_eq(kc_frames_fini(&frames), KC_OK);
}

/* A block of that size in the place of one that was freed; *old: the pointer to that. */
static unsigned char *block_again(size_t size, unsigned char **old)
{
    unsigned char *now = NULL;
    *old = (unsigned char *)kc_heap_alloc(&heap, size, 0);
    cr_assert_eq(kc_heap_free(&heap, *old), KC_OK);
    for (uint32_t i = 0; kc_tag_strip(now) != kc_tag_strip(*old); i++) {
        cr_assert_lt(i, 20000); /* at hardening full, it waits in quarantine, and then for chance */
        cr_assert_eq(kc_heap_free(&heap, now), KC_OK);
        now = (unsigned char *)kc_heap_alloc(&heap, size, 0);
    }
    return now;
}

static void free_all(void)
{
    struct kc_heap_cursor cursor = {0};
    for (void *p; (p = kc_heap_next_live(&heap, &cursor, NULL)) != NULL;) {
        cr_expect_eq(kc_heap_free(&heap, p), KC_OK);
        __builtin_memset(&cursor, 0, sizeof(cursor)); /* nobody frees while it goes on */
    }
}

Test(tags_of, a_pool_refuses_a_pointer_to_a_block_before)
{
    static unsigned char *old[400];
    struct kc_pool pool;
    kc_pa_t pa;
    cr_assert_eq(kc_frame_alloc(&frames, 2, 0, KC_FRAME_OWNER_POOL, &pa), KC_OK);
    struct kc_pool_config pc = {.memory = kc_plat_ram(pa),
                                .memory_bytes = (size_t)KC_FRAME_BYTES << 2,
                                .block_bytes = 64,
                                .misuse = &misuse};
    cr_assert_eq(kc_pool_init(&pool, &pc), KC_OK);
    uint32_t count = 0;
    while (count < KC_ARRAY_COUNT(old) && (old[count] = kc_pool_alloc(&pool)) != NULL) {
        count++;
    }
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(kc_pool_free(&pool, old[i]), KC_OK);
    }
    /* All live again: every old pointer is to a block that lives. */
    static unsigned char *now[KC_ARRAY_COUNT(old)];
    for (uint32_t i = 0; i < count; i++) {
        now[i] = kc_pool_alloc(&pool);
        cr_assert_not_null(now[i]);
    }
    for (uint32_t i = 0; HAS_TAGS && i < count; i++) {
        cr_assert_not(kc_pool_is_live(&pool, old[i]));
        cr_assert_eq(kc_pool_free(&pool, old[i]), KC_ERR_STATE);
    }
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(kc_pool_free(&pool, now[i]), KC_OK);
    }
    cr_assert_eq(kc_pool_fini(&pool), KC_OK);
    cr_assert_eq(kc_frame_free(&frames, pa, 2), KC_OK);
    end_heap();
}

/* However often: chance alone would give the same tag again. */
Test(tags_of, no_block_has_the_tag_that_its_place_had_before)
{
    for (uint32_t i = 0; HAS_TAGS && i < 40; i++) {
        unsigned char *old;
        unsigned char *now = block_again(64, &old);
        cr_assert_neq(now, old);
        cr_assert_eq(kc_heap_free(&heap, now), KC_OK);
    }
    end_heap();
}

/* What is left of a pointer is good for nothing, whatever lies there now. */
Test(tags_of, a_pointer_to_a_block_before_is_refused_everywhere)
{
    static const size_t sizes[] = {8, 64, 200, 4096};
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(sizes); i++) {
        unsigned char *old;
        unsigned char *now = block_again(sizes[i], &old);
        if (!HAS_TAGS) {
            cr_expect_eq(now, old);
            continue;
        }
        cr_expect_neq(now, old);
        cr_expect(is_open(now) && !is_open(old));
        size_t reach;
        cr_expect_eq(kc_bounds_reach(&frames, now, 8, &reach), KC_OK);
        cr_expect_eq(kc_bounds_reach(&frames, old, 8, &reach), KC_ERR_ABSENT);
        cr_expect_eq(kc_heap_usable(&heap, old), 0);
        cr_expect_null(kc_heap_resize(&heap, old, 8, 0));
        cr_expect_eq(kc_heap_free(&heap, old), KC_ERR_STATE);
        cr_expect_eq((uint32_t)misuse.last.kind, (uint32_t)KC_MISUSE_DOUBLE_FREE);
        cr_expect_neq(kc_heap_usable(&heap, now), 0);
    }
    free_all();
    end_heap();
}

Test(tags_of, large_blocks_are_tagged_as_they_grow_and_shrink)
{
    unsigned char *p = (unsigned char *)kc_heap_alloc(&heap, 3 * KC_FRAME_BYTES, 0);
    if (!HAS_TAGS) {
        cr_skip_test("no tags here");
    }
    unsigned char *old = p + 2 * KC_FRAME_BYTES;
    cr_expect(is_open(p) && is_open(p + 3 * KC_FRAME_BYTES - 1));
    cr_expect_not(is_open(p + 3 * KC_FRAME_BYTES));
    cr_assert_eq(kc_heap_try_resize(&heap, p, 3 * KC_FRAME_BYTES - 1, 0), KC_OK);
    if (kc_heap_try_resize(&heap, p, 4 * KC_FRAME_BYTES, KC_HEAP_ZERO) == KC_OK) {
        cr_expect(is_open(p + 4 * KC_FRAME_BYTES - 1));
    }
    cr_assert_eq(kc_heap_try_resize(&heap, p, 2 * KC_FRAME_BYTES + 1, 0), KC_OK);
    cr_expect(is_open(old));
    cr_assert_eq(kc_heap_free(&heap, p), KC_OK);
    cr_expect_not(is_open(old));
    cr_expect_eq(kc_heap_free(&heap, p), KC_ERR_STATE);
    end_heap();
}

/* An allocator in a block of another works on it without tags, and gives it back as it came. */
Test(tags_of, memory_given_to_an_allocator_comes_back_with_its_tag)
{
    size_t bytes = KC_ARENA_BYTES_MIN;
    unsigned char *block = (unsigned char *)kc_heap_alloc_aligned(&heap, bytes, KC_FRAME_BYTES, 0);
    cr_assert_not_null(block);
    struct kc_pool pool;
    struct kc_pool_config pc = {.memory = block, .memory_bytes = bytes, .block_bytes = 100};
    cr_assert_eq(kc_pool_init(&pool, &pc), KC_OK);
    unsigned char *inner = (unsigned char *)kc_pool_alloc(&pool);
    cr_expect(is_open(inner));
    cr_expect_eq(is_open(block + bytes - 1), !HAS_TAGS);
    cr_expect_eq(kc_pool_free(&pool, inner), KC_OK);
    cr_expect_eq(is_open(inner), !HAS_TAGS);
    cr_assert_eq(kc_pool_fini(&pool), KC_OK);
    cr_expect(is_open(block) && is_open(block + bytes - 1));

    struct kc_arena *arena;
    struct kc_arena_config ac;
    __builtin_memset(&ac, 0, sizeof(ac));
    cr_assert_eq(kc_arena_init(block, bytes, &ac, &arena), KC_OK);
    cr_expect(kc_arena_has(arena, block));
    cr_expect_eq(is_open(block), !HAS_TAGS);
    cr_assert_eq(kc_arena_fini(arena), KC_OK);
    cr_expect(is_open(block) && is_open(block + bytes - 1));
    cr_assert_eq(kc_heap_free(&heap, block), KC_OK);
    end_heap();
}
