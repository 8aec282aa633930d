/* SPDX-License-Identifier: BSD-2-Clause */
/* arena: the contract of kc/arena.h, and the invariants A1 and A2 of src/mem/arena.c. */
#include <kc_test.h>

#include <kc/arena.h>
#include <kc/stress.h>

#define MODEL_REQUIRE(c) cr_assert(c, "model: %s", #c)
#include "heap_model.h"

static struct kc_boot_info info;
static struct kc_misuse misuse;
static struct kc_arena_set set;
static unsigned char *ram;
static size_t ram_bytes;

static void set_up(void)
{
    cr_assert(kc_test_ram(KC_MIB(8), &info));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    kc_arena_set_init(&set);
    ram = kc_plat_ram(info.range[0].base);
    ram_bytes = (size_t)info.range[0].size;
    __builtin_memset(ram, 0xee, ram_bytes); /* RAM is not zero */
}

TestSuite(arena, .init = set_up);

#define LEAST ((size_t)KC_ARENA_BYTES_MIN)

static kc_status_t make(size_t at, size_t bytes, struct kc_arena **out)
{
    struct kc_arena_config config = {"arena", &misuse, 0, 0, 0, &set};
    return kc_arena_init(ram + at, bytes, &config, out);
}

Test(arena, ranges_that_do_not_do_are_refused)
{
    struct kc_arena *a = NULL, *b = NULL;
    struct kc_arena_config config = {NULL, &misuse, 0, 0, 0, NULL};
    cr_expect_eq(kc_arena_init(NULL, LEAST, &config, &a), KC_ERR_ARG);
    cr_expect_eq(kc_arena_init(ram, LEAST, NULL, &a), KC_ERR_ARG);
    cr_expect_eq(kc_arena_init(ram, LEAST, &config, NULL), KC_ERR_ARG);
    cr_expect_eq(make(1, LEAST, &a), KC_ERR_ALIGN);
    cr_expect_eq(make(2048, LEAST, &a), KC_ERR_ALIGN);
    cr_expect_eq(make(0, LEAST + 1, &a), KC_ERR_ALIGN);
    cr_expect_eq(make(0, 0, &a), KC_ERR_RANGE);
    cr_expect_eq(make(0, LEAST - 4096, &a), KC_ERR_RANGE);
    cr_expect_eq(make(0, SIZE_MAX - 4095, &a), KC_ERR_RANGE);
    config.keep_bytes = 1;
    cr_expect_eq(kc_arena_init(ram, LEAST, &config, &a), KC_ERR_RANGE);
    config.keep_bytes = 0;
    config.cpu_count = KC_CPUS_MAX + 1;
    cr_expect_eq(kc_arena_init(ram, LEAST, &config, &a), KC_ERR_ARG);
    cr_expect_null(a);
    cr_assert_eq(make(131072, 131072, &a), KC_OK);
    cr_expect_eq(make(0, 131072 + 4096, &b), KC_ERR_EXISTS);
    cr_expect_eq(ram[0], 0xee, "nothing was written");
    cr_expect_eq(make(131072, 131072, &b), KC_ERR_EXISTS);
    cr_expect_eq(make(131072 + 8192, LEAST, &b), KC_ERR_EXISTS);
    cr_expect_eq(make(262144 - 4096, LEAST, &b), KC_ERR_EXISTS);
    cr_assert_eq(make(262144, LEAST, &b), KC_OK, "side by side");
    cr_expect_eq(kc_arena_fini(b), KC_OK);
    cr_expect_eq(kc_arena_fini(a), KC_OK);
    cr_assert_eq(make(131072 + 8192, LEAST, &b), KC_OK, "when the other is gone");
    cr_expect_eq(kc_arena_fini(b), KC_OK);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
}

/* From the least size on, whatever it is a multiple of: all of it is of use, and nothing outside.
 */
Test(arena, every_size_serves_to_its_last_frame_and_no_further)
{
    size_t sizes[] = {LEAST, LEAST + 4096, 2 * LEAST, 1048576 - 4096, 5 * 1048576 + 12288};
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(sizes); i++) {
        struct kc_arena *a;
        size_t at = 4096 * (3 + (size_t)i);
        ram[at - 1] = 0x55;
        ram[at + sizes[i]] = 0x55;
        cr_assert_eq(make(at, sizes[i], &a), KC_OK);
        cr_expect_eq((void *)a, (void *)(ram + at));
        uint64_t room = kc_arena_free_bytes(a);
        cr_expect_geq(room, 3 * 4096, "%llu of %llu", (unsigned long long)room,
                      (unsigned long long)sizes[i]);
        void *chain = NULL;
        uint64_t got = 0;
        for (void **p; (p = kc_heap_alloc(kc_arena_heap(a), 128, 0)) != NULL; chain = p) {
            cr_assert(kc_arena_has(a, p) && kc_arena_has(a, (unsigned char *)p + 127));
            __builtin_memset(p, 0x77, 128);
            *p = chain;
            got += 128;
        }
#if KC_HARDENING >= KC_HARDENING_FULL
        cr_expect_geq(got * 2, room, "all but redzones, sites and the state of the slabs");
#else
        cr_expect_geq(got * 32, room * 31, "all but the state of the slabs");
#endif
        cr_expect_eq(kc_arena_check(a), KC_OK);
        cr_expect_eq(kc_arena_fini(a), KC_ERR_STATE, "blocks are live");
        while (chain != NULL) {
            void *next = *(void **)chain;
            cr_assert_eq(kc_heap_free(kc_arena_heap(a), chain), KC_OK);
            chain = next;
        }
        (void)kc_heap_trim(kc_arena_heap(a), 0);
        cr_expect_eq(kc_arena_free_bytes(a), room);
        cr_expect_eq(kc_arena_fini(a), KC_OK);
        cr_expect_eq(ram[at - 1], 0x55);
        cr_expect_eq(ram[at + sizes[i]], 0x55);
    }
}

static struct heap_model model[3];

/* Three at once, each beside its model; one's blocks are foreign to the others. */
Test(arena, three_at_once_are_apart)
{
    static uint8_t bytes[9000];
    static const size_t sizes[] = {2 * 1048576, 524288, 131072};
    struct kc_arena *a[3];
    uint64_t seed = kc_test_seed();
    struct kc_bytes o = {bytes, sizeof(bytes), 0};
    kc_random_fill(&seed, bytes, sizeof(bytes));
    size_t at = 8192;
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(make(at, sizes[i], &a[i]), KC_OK);
        at += sizes[i];
        heap_model_init(&model[i], kc_arena_heap(a[i]), &misuse);
        model[i].may_fail = true;
    }
    for (uint32_t step = 0; !kc_bytes_is_empty(&o); step++) {
        uint32_t i = step % 3;
        model[i].reports = kc_misuse_total(&misuse); /* they share the misuse */
        heap_model_step(&model[i], &o);
        heap_model_check(&model[i]);
        cr_assert_eq(kc_arena_check(a[i]), KC_OK);
    }
    for (uint32_t i = 0; i < 3; i++) {
        void *p = kc_heap_alloc(kc_arena_heap(a[i]), 8, 0);
        uint64_t foreign = misuse.count[KC_MISUSE_FOREIGN];
        if (p != NULL) {
            cr_expect_eq(kc_heap_free(kc_arena_heap(a[(i + 1) % 3]), p), KC_ERR_RANGE);
            cr_expect_eq(misuse.count[KC_MISUSE_FOREIGN], foreign + 1);
            cr_expect_not(kc_arena_has(a[(i + 1) % 3], p));
            cr_expect_eq(kc_heap_free(kc_arena_heap(a[i]), p), KC_OK);
        }
    }
    for (uint32_t i = 0; i < 3; i++) {
        model[i].reports = kc_misuse_total(&misuse);
        heap_model_finish(&model[i]);
        cr_expect_eq(kc_arena_fini(a[i]), KC_OK);
    }
}

Test(arena, a_block_of_one_is_the_range_of_another)
{
    struct kc_arena *outer, *inner;
    struct kc_arena_config config = {"inner", &misuse, 0, 0, 0, NULL};
    cr_assert_eq(make(0, 4 * 1048576, &outer), KC_OK);
    unsigned char *block = kc_heap_alloc(kc_arena_heap(outer), 131072, 0);
    cr_assert_not_null(block);
    cr_assert_eq(kc_arena_init(block, 131072, &config, &inner), KC_OK);
    void *p = kc_heap_alloc(kc_arena_heap(inner), 100, KC_HEAP_ZERO);
    cr_assert_not_null(p);
    cr_expect_eq(kc_heap_free(kc_arena_heap(outer), p), KC_ERR_ALIGN, "inside a block of its own");
    cr_expect_eq(kc_heap_free(kc_arena_heap(inner), p), KC_OK);
    cr_expect_eq(kc_arena_check(inner), KC_OK);
    cr_expect_eq(kc_arena_fini(inner), KC_OK);
    cr_expect_eq(kc_heap_free(kc_arena_heap(outer), block), KC_OK);
    cr_expect_eq(kc_arena_check(outer), KC_OK);
    cr_expect_eq(kc_arena_fini(outer), KC_OK);
}

Test(arena, check_sees_each_broken_invariant)
{
    struct kc_arena *a;
    cr_assert_eq(make(0, 131072, &a), KC_OK);
    a->range.size += 4096;
    cr_expect_eq(kc_arena_check(a), KC_ERR_CORRUPT);
    a->range.size -= 4096;
    a->frames.free_frames++;
    cr_expect_eq(kc_arena_check(a), KC_ERR_CORRUPT);
    a->frames.free_frames--;
    a->heap.large_live++;
    cr_expect_eq(kc_arena_check(a), KC_ERR_CORRUPT);
    a->heap.large_live--;
    cr_expect_eq(kc_arena_check(a), KC_OK);
    cr_expect_eq(kc_arena_fini(a), KC_OK);
}
