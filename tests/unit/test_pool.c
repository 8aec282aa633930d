/* SPDX-License-Identifier: BSD-2-Clause */
/* pool: the contract of kc/pool.h, and the invariants P1 to P7 of src/mem/pool.c. */
#include <kc_test.h>

#include <kc/pool.h>

#include "mem/pool_priv.h"

#define MODEL_REQUIRE(c) cr_assert(c, "model: %s", #c)
#include "pool_model.h"
#include "expect_misuse.h"

static KC_ALIGNED(4096) unsigned char memory[64 * 1024];
static struct kc_pool pool;
static struct kc_misuse misuse;

/* The memory is ours again, whatever a pool of an earlier test told ASan and Memcheck of it. */
static void reclaim(void)
{
    kc_plat_note(KC_NOTE_ALLOC, (uintptr_t)memory, sizeof(memory), NULL);
}

static kc_status_t make_for(size_t bytes, size_t block, size_t align, uint32_t flags, uint32_t cpus)
{
    reclaim();
    struct kc_pool_config c = {"test", memory, bytes, block, align, &misuse, flags, cpus};
    return kc_pool_init(&pool, &c);
}

/* Without magazines. */
static kc_status_t make(size_t bytes, size_t block, size_t align, uint32_t flags)
{
    return make_for(bytes, block, align, flags, 0);
}

/* Bytes in which `count` blocks fit exactly. */
static size_t room(size_t count, size_t block)
{
    return count * (KC_POOL_STRIDE(block, 8) + KC_POOL_META_SHORT);
}

static void set_up(void)
{
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    reclaim();
    __builtin_memset(memory, 0xee, sizeof(memory));
}

TestSuite(pool, .init = set_up);

Test(pool, hands_out_all_blocks_in_order_then_null)
{
    size_t stride = KC_POOL_STRIDE(40, 8);
    cr_assert_eq(make(4096, 40, 0, 0), KC_OK);
    struct kc_pool_stats s;
    kc_pool_stats(&pool, &s);
    cr_assert_eq(s.stride_bytes, stride);
    cr_assert_eq(s.capacity, 4096 / (stride + KC_POOL_META_SHORT));
    for (uint32_t i = 0; i < s.capacity; i++) {
        unsigned char *b = kc_pool_alloc(&pool);
        cr_assert_eq(b, memory + i * stride);
        __builtin_memset(b, 0xff, 40);
    }
    cr_assert_null(kc_pool_alloc(&pool));
    cr_assert_eq(kc_pool_check(&pool, NULL), KC_OK);
    kc_pool_stats(&pool, &s);
    cr_assert_eq(s.fail_count, 1);
    cr_assert_eq(s.peak, s.capacity);
    for (uint32_t i = 0; i < s.capacity; i++) {
        cr_assert_eq(kc_pool_free(&pool, memory + i * stride), KC_OK);
    }
#if KC_HARDENING < KC_HARDENING_FULL
    cr_assert_eq(kc_pool_alloc(&pool), memory + (s.capacity - 1) * stride);
#endif
}

Test(pool, memory_for_so_many_blocks_is_enough_at_the_alignment_that_is_meant_by_0)
{
    static KC_ALIGNED(KC_LINE_BYTES) unsigned char mine[KC_POOL_MEMORY_BYTES(44, 0, 100, 0)];
    struct kc_pool_config c = {
        .name = "p", .memory = mine, .memory_bytes = sizeof(mine), .block_bytes = 44};
    struct kc_pool_stats s;
    cr_assert_eq(kc_pool_init(&pool, &c), KC_OK);
    kc_pool_stats(&pool, &s);
    cr_expect_geq(s.capacity, 100);
    cr_expect_leq(s.capacity, 120, "and no more than that takes");
}

#if KC_HARDENING == KC_HARDENING_CHECKED
Test(pool, bookkeeping_is_three_bytes_a_block_or_four)
{
    struct kc_pool_stats s;
    cr_assert_eq(make(sizeof(memory), 40, 0, 0), KC_OK);
    kc_pool_stats(&pool, &s);
    cr_expect_leq(s.meta_bytes * 10, s.capacity * 32u);
    cr_expect_eq(KC_POOL_META_LONG, 4);
}
#endif

Test(pool, init_refuses_what_is_malformed)
{
    struct kc_pool_config c = {"test", memory, 4096, 8, 8, NULL, 0, 0};
    cr_expect_eq(kc_pool_init(NULL, &c), KC_ERR_ARG);
    cr_expect_eq(kc_pool_init(&pool, NULL), KC_ERR_ARG);
    cr_expect_eq(make(4096, 0, 8, 0), KC_ERR_ARG);
    cr_expect_eq(make(4096, 8, 3, 0), KC_ERR_ARG);
    cr_expect_eq(make(4096, 8, 4, 0), KC_ERR_ARG);
    cr_expect_eq(make(4096, 8, 8, 0x80), KC_ERR_ARG);
    cr_expect_eq(make(4096, SIZE_MAX, 8, 0), KC_ERR_RANGE);
    cr_expect_eq(make(4096, SIZE_MAX - (KC_POOL_GRAIN(8) - 1) - KC_POOL_REDZONE_BYTES, 8, 0),
                 KC_ERR_NOMEM);
    cr_expect_eq(make(4096, SIZE_MAX / 2 + 2, SIZE_MAX / 2 + 1, 0),
                 kc_is_aligned((uintptr_t)memory, SIZE_MAX / 2 + 1) ? KC_ERR_RANGE : KC_ERR_ALIGN);
    cr_expect_eq(make(SIZE_MAX, 8, 8, 0), KC_ERR_RANGE);
    cr_expect_eq(make_for(4096, 8, 8, 0, KC_CPUS_MAX + 1), KC_ERR_RANGE);
    cr_expect_eq(make_for(4096, 8, 8, KC_POOL_UNLOCKED, 1), KC_ERR_ARG);
    cr_expect_eq(make(4096, 8, 128, KC_POOL_COLOURED), KC_ERR_ARG);
    cr_expect_eq(make(4096, SIZE_MAX, 0, KC_POOL_COLOURED), KC_ERR_RANGE);
    cr_expect_eq(make(4096, SIZE_MAX - 200, 0, KC_POOL_COLOURED), KC_ERR_NOMEM);
    cr_expect_eq(make(0, 8, 8, 0), KC_ERR_NOMEM);
    cr_expect_eq(make(room(1, 8) - 1, 8, 8, 0), KC_ERR_NOMEM);
    cr_expect_eq(make(room(1, 8), 8, 8, 0), KC_OK);
    cr_expect_eq(pool.capacity, 1);
#if KC_MAG_IS_USED
    cr_expect_eq(make_for(KC_POOL_CPU_BYTES, 8, 8, 0, 1), KC_ERR_NOMEM);
#endif
    cr_expect_eq(make_for(KC_POOL_MEMORY_BYTES(8, 8, 1, 1), 8, 8, 0, 1), KC_OK);
    c.memory = memory + 8;
    c.align = 16;
    cr_expect_eq(kc_pool_init(&pool, &c), KC_ERR_ALIGN);
    c.align = 8;
    c.flags = KC_POOL_COLOURED;
    cr_expect_eq(kc_pool_init(&pool, &c), KC_ERR_ALIGN);
    c.memory = NULL;
    cr_expect_eq(kc_pool_init(&pool, &c), KC_ERR_ARG);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
}

Test(pool, alignment_is_kept)
{
    cr_assert_eq(make(sizeof(memory), 65, 64, 0), KC_OK);
    unsigned char *a = kc_pool_alloc(&pool);
    unsigned char *b = kc_pool_alloc(&pool);
    cr_assert_eq((uintptr_t)a % 64, 0);
    cr_assert_eq(b - a, 128);
    cr_assert_eq(make(sizeof(memory), 1, 4096, 0), KC_OK);
    cr_assert_eq(pool.capacity, 15);
}

/* As many blocks as a cache has sets (a power of two) meet all of them with their first lines. */
Test(pool, coloured_blocks_meet_every_set)
{
    static KC_ALIGNED(64) unsigned char much[KC_POOL_MEMORY_BYTES_COLOURED(1024, 64, 1)];
    static const size_t bytes_of[] = {1, 64, 65, 128, 512, 1000, 1024};
    for (uint32_t i = 0; i < 2 * KC_ARRAY_COUNT(bytes_of); i++) {
        size_t bytes = bytes_of[i / 2];
        struct kc_pool_config c = {"test", much, 0, bytes, 0, &misuse, KC_POOL_COLOURED, i % 2};
        c.memory_bytes = KC_POOL_MEMORY_BYTES_COLOURED(bytes, 64, i % 2);
        cr_assert_eq(kc_pool_init(&pool, &c), KC_OK);
        cr_assert_geq(pool.capacity, 64);
        uint64_t met = 0;
        void *p[64];
        for (uint32_t k = 0; k < 64; k++) {
            p[k] = kc_pool_alloc(&pool);
            uintptr_t line = (uintptr_t)kc_tag_strip(p[k]) / KC_LINE_BYTES;
            cr_assert_eq((uintptr_t)p[k] % KC_LINE_BYTES, 0);
            met |= (uint64_t)1 << line % 64;
        }
        cr_expect_eq(met, UINT64_MAX);
        for (uint32_t k = 0; k < 64; k++) {
            cr_assert_eq(kc_pool_free(&pool, p[k]), KC_OK);
        }
        cr_assert_eq(kc_pool_check(&pool, NULL), KC_OK);
        cr_assert_eq(kc_pool_fini(&pool), KC_OK);
    }
}

Test(pool, zeroed_is_zeroed_each_time)
{
    for (uint32_t cpus = 0; cpus < 2; cpus++) {
        cr_assert_eq(make_for(4096, 64, 0, 0, cpus), KC_OK);
        for (uint32_t round = 0; round < 2; round++) {
            unsigned char *b = kc_pool_alloc_zeroed(&pool);
            for (uint32_t i = 0; i < 64; i++) {
                cr_assert_eq(b[i], 0);
            }
            __builtin_memset(b, 0xaa, 64);
            cr_assert_eq(kc_pool_free(&pool, b), KC_OK);
        }
        while (kc_pool_alloc(&pool) != NULL) {
        }
        cr_assert_null(kc_pool_alloc_zeroed(&pool));
    }
}

static void every_bad_free(uint32_t cpus)
{
    /* What the memory held before must not pass for state. */
    reclaim();
    __builtin_memset(memory, KC_MAG_LIVE, sizeof(memory));
    cr_assert_eq(make_for(4096, 48, 0, 0, cpus), KC_OK);
    unsigned char *b = kc_pool_alloc(&pool);
    struct kc_pool_stats s;
    kc_pool_stats(&pool, &s);
    size_t span = s.capacity * s.stride_bytes;
    static unsigned char elsewhere[8];
    cr_expect_eq(kc_misuse_total(&misuse), 0);
#if KC_HARDENING >= KC_HARDENING_CHECKED
    bool sees = true;
#else
    bool sees = cpus == 0;
#endif
    if (sees) {
        cr_expect_eq(kc_pool_free(&pool, NULL), KC_OK);
        EXPECT_MISUSE(kc_pool_free(&pool, elsewhere), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
        EXPECT_MISUSE(kc_pool_free(&pool, memory + span), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
        EXPECT_MISUSE(kc_pool_free(&pool, (void *)((uintptr_t)memory - 48)), KC_ERR_RANGE,
                      KC_MISUSE_FOREIGN);
        EXPECT_MISUSE(kc_pool_free(&pool, (void *)UINTPTR_MAX), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
    }
#if KC_HARDENING >= KC_HARDENING_CHECKED
    EXPECT_MISUSE(kc_pool_free(&pool, b + 1), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    EXPECT_MISUSE(kc_pool_free(&pool, b + 24), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    /* Never handed out: the next, and the last. */
    EXPECT_MISUSE(kc_pool_free(&pool, b + s.stride_bytes), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    EXPECT_MISUSE(kc_pool_free(&pool, memory + span - s.stride_bytes), KC_ERR_STATE,
                  KC_MISUSE_DOUBLE_FREE);
#endif
    cr_expect_eq(kc_pool_free(&pool, b), KC_OK);
    if (sees) {
        /* At off without magazines too: none is live. */
        EXPECT_MISUSE(kc_pool_free(&pool, b), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
        cr_expect_str_eq(misuse.last.object, "test");
        cr_expect_eq(misuse.last.address, (uintptr_t)b);
    }
    cr_expect_eq(kc_pool_check(&pool, NULL), KC_OK);
}

Test(pool, every_bad_free_has_its_answer)
{
    every_bad_free(0);
}

Test(pool, every_bad_free_has_its_answer_with_magazines)
{
    every_bad_free(2);
}

Test(pool, fini_while_busy_is_refused)
{
    cr_assert_eq(make(4096, 48, 0, 0), KC_OK);
    void *b = kc_pool_alloc(&pool);
    EXPECT_MISUSE(kc_pool_fini(&pool), KC_ERR_STATE, KC_MISUSE_BUSY);
    uint32_t cursor = 0;
    cr_assert_eq(kc_pool_next_live(&pool, &cursor), b);
    cr_assert_null(kc_pool_next_live(&pool, &cursor));
    cr_assert_eq(kc_pool_free(&pool, b), KC_OK);
    cr_assert_eq(kc_pool_fini(&pool), KC_OK);
    cr_assert_null(kc_pool_alloc(&pool));
    __builtin_memset(memory, 0, sizeof(memory)); /* ours again, for ASan too */
}

/* All sequences of at most 8 operations, each an allocation or the free of block 0, 1 or 2, on a
 * pool of 3 blocks: 4^8 sequences, each judged after each step; without and with a magazine. */
static void all_short_sequences(size_t bytes, uint32_t flags, uint32_t cpus)
{
    static struct pool_model m;
    for (uint32_t n = 0; n < 1u << 16; n++) {
        kc_test_listen(n % 2 == 0);
        cr_assert_eq(make_for(bytes, 16, 0, flags, cpus), KC_OK);
        cr_assert_eq(pool.capacity, 3);
        pool_model_init(&m, &pool, &misuse, memory);
        for (uint32_t step = 0; step < 8; step++) {
            uint32_t what = n >> (2 * step) & 3;
            if (what == 3) {
                pool_model_alloc(&m, (uint8_t)n);
            } else {
                pool_model_free(&m, what);
            }
        }
        pool_model_check(&m);
        pool_model_finish(&m);
    }
}

Test(pool, all_short_sequences_on_three_blocks)
{
    all_short_sequences(room(3, 16), KC_POOL_UNLOCKED, 0);
}

Test(pool, all_short_sequences_on_three_blocks_with_a_magazine)
{
    size_t own = KC_MAG_IS_USED ? KC_POOL_CPU_BYTES + KC_LINE_BYTES - 1 + KC_POOL_PAD_BYTES : 0;
    all_short_sequences(own + room(3, 16), 0, 1);
}

static void random_operations(uint32_t cpus, size_t bytes)
{
    static const size_t block[] = {1, 8, 24, 40, 64, 100, 120, 250};
    static struct pool_model m;
    static uint8_t data[2048];
    uint64_t seed = kc_test_seed();
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(block); i++) {
        struct kc_bytes o = {data, sizeof(data), 0};
        kc_random_fill(&seed, data, sizeof(data));
        cr_assert_eq(make_for(bytes, block[i], 0, 0, cpus), KC_OK);
        pool_model_init(&m, &pool, &misuse, memory);
        kc_test_listen(i % 2 == 0);
        while (!kc_bytes_is_empty(&o)) {
            pool_model_step(&m, &o);
            pool_model_check(&m);
        }
        pool_model_finish(&m);
    }
}

Test(pool, random_operations_agree_with_the_model)
{
    random_operations(0, 3000);
}

Test(pool, random_operations_agree_with_the_model_with_a_magazine)
{
    random_operations(1, 3500);
}

/* The multiplication that replaces the division, over every byte of every block, and around them.
 */
Test(pool, index_is_exact_for_every_stride)
{
    for (size_t block = 8; block <= 9000; block += block < 600 ? 8 : 264) {
        cr_assert_eq(make(sizeof(memory), block, 0, KC_POOL_UNLOCKED), KC_OK);
        size_t stride = pool.none.stride;
        for (size_t i = 0; i < pool.capacity; i++) {
            cr_assert_eq(pool_index(&pool, memory + i * stride), i);
            for (size_t at = i * stride + 1; at < (i + 1) * stride; at += stride - 2) {
                cr_assert_geq(pool_index(&pool, memory + at), pool.capacity);
            }
        }
        for (uintptr_t far = 1; far < UINTPTR_MAX / 2; far *= 3) {
            uintptr_t below = (uintptr_t)memory - far * 8;
            cr_assert_geq(pool_index(&pool, (void *)below), pool.capacity);
            uintptr_t above = (uintptr_t)memory + pool_span(&pool) + far * 8;
            cr_assert_geq(pool_index(&pool, (void *)above), pool.capacity);
        }
    }
}

/* ---- magazines ------------------------------------------------------------------------------- */

#define MANY 300u

Test(pool, all_forms_serve_one_pool)
{
    void *b[MANY];
    cr_assert_eq(make_for(sizeof(memory), 40, 0, 0, 1), KC_OK);
    struct kc_pool_cpu *here = kc_pool_here(&pool);
    for (uint32_t i = 0; i < MANY; i += 3) {
        b[i] = kc_pool_alloc(&pool);
        b[i + 1] = kc_pool_alloc_pinned(&pool);
        b[i + 2] = kc_pool_alloc_here(here);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        cr_assert_not_null(b[i]);
        __builtin_memset(b[i], (int)i, 40);
    }
    cr_assert_eq(kc_pool_check(&pool, NULL), KC_OK);
    for (uint32_t i = 0; i < MANY; i++) {
        cr_assert_eq(((unsigned char *)b[i])[39], (unsigned char)i);
    }
    for (uint32_t i = 0; i < MANY; i += 3) {
        cr_assert_eq(kc_pool_free_here(here, b[i]), KC_OK);
        cr_assert_eq(kc_pool_free(&pool, b[i + 1]), KC_OK);
        cr_assert_eq(kc_pool_free_pinned(&pool, b[i + 2]), KC_OK);
    }
    cr_assert_eq(kc_pool_check(&pool, NULL), KC_OK);
    struct kc_pool_stats s;
    kc_pool_stats(&pool, &s);
    cr_expect_eq(s.live, 0);
    cr_expect_leq(s.kept, KC_POOL_CPU_KEEPS);
    cr_assert_eq(kc_pool_fini(&pool), KC_OK);
}

Test(pool, bulk_is_all_or_nothing)
{
    void *b[MANY];
    for (uint32_t cpus = 0; cpus < 2; cpus++) {
        cr_assert_eq(make_for(9000, 40, 0, 0, cpus), KC_OK);
        uint32_t n = pool.capacity;
        cr_assert_leq(n + 1, MANY);
        cr_expect(kc_pool_alloc_bulk(&pool, 0, b));
        cr_expect_not(kc_pool_alloc_bulk(&pool, n + 1, b));
        cr_assert(kc_pool_alloc_bulk(&pool, n, b));
        cr_expect_not(kc_pool_alloc_bulk(&pool, 1, b + n));
        cr_assert_eq(kc_pool_check(&pool, NULL), KC_OK);
#if KC_HARDENING >= KC_HARDENING_CHECKED
        b[n] = b[0]; /* one too many: refused and reported, the others go */
        EXPECT_MISUSE(kc_pool_free_bulk(&pool, n + 1, b), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
#else
        cr_assert_eq(kc_pool_free_bulk(&pool, n, b), KC_OK);
#endif
        cr_assert_eq(kc_pool_check(&pool, NULL), KC_OK);
        cr_assert_eq(kc_pool_fini(&pool), KC_OK);
    }
}

Test(pool, drain_brings_back_what_a_cpu_keeps)
{
    cr_assert_eq(make_for(sizeof(memory), 40, 0, 0, 1), KC_OK);
    void *b = kc_pool_alloc(&pool);
    cr_assert_not_null(b);
    struct kc_pool_stats s;
    kc_pool_stats(&pool, &s);
    cr_expect_eq(kc_pool_drain(&pool, 0), s.kept);
    cr_expect_eq(kc_pool_drain(&pool, 0), 0);
    cr_expect_eq(kc_pool_drain(&pool, 1), 0);
    cr_expect_eq(kc_pool_drain(&pool, UINT32_MAX), 0);
    kc_pool_stats(&pool, &s);
    cr_expect_eq(s.kept, 0);
    cr_expect_eq(s.live, 1);
    cr_assert_eq(kc_pool_check(&pool, NULL), KC_OK);
    for (uint32_t i = 1; i < s.capacity; i++) {
        cr_assert_not_null(kc_pool_alloc(&pool));
    }
    cr_expect_null(kc_pool_alloc(&pool));
}

#if KC_MAG_IS_USED
/* Blocks that a refill takes of a stock that has as many; where somebody listens, of either form.
 */
static uint32_t refill_of(bool pinned)
{
    return pinned && !kc_mag_is_heard_locking() ? POOL_MOVE : POOL_MOVE_MASKED;
}

/* What the stock has to give: a few at a time, or, where it has fewer, one. */
Test(pool, a_refill_takes_a_few_or_one)
{
    void *b[MANY] = {NULL};
    cr_assert_eq(make_for(9000, 40, 0, 0, 2), KC_OK);
    uint32_t n = pool.capacity;
    cr_assert_leq(n, MANY);
    for (uint32_t i = 0; i < n; i++) {
        b[i] = kc_pool_alloc(&pool);
        cr_assert_not_null(b[i]);
    }
    cr_assert_null(kc_pool_alloc(&pool));
    for (uint32_t pass = 0; pass < 4 * (POOL_MOVE + 1); pass++) {
        uint32_t left = pass / 4 + 1;
        bool pinned = pass % 2 == 0;
        for (uint32_t i = 0; i < left; i++) {
            cr_assert_eq(kc_pool_free(&pool, b[i]), KC_OK);
        }
        kc_pool_drain(&pool, kc_plat_cpu());
        cr_assert_eq(pool.depth, left);
        kc_test_listen(pass % 4 < 2);
        for (uint32_t i = 0; i < left; i++) {
            uint32_t depth = pool.depth;
            uint32_t most = refill_of(pinned);
            bool refill = kc_mag_count(&kc_pool_here(&pool)->mag) == 0;
            b[i] = pinned ? kc_pool_alloc_pinned(&pool) : kc_pool_alloc(&pool);
            cr_assert_not_null(b[i]);
            cr_expect_eq(pool.depth, !refill ? depth : depth - (depth >= most ? most : 1));
        }
        cr_assert_null(kc_pool_alloc(&pool));
        cr_assert_eq(kc_pool_check(&pool, NULL), KC_OK);
    }
}

/* More than 65,536 blocks: slots of three bytes, up to the last. */
Test(pool, long_indexes_come_back_as_they_went)
{
    enum {
        BLOCKS = 66000
    };
    static KC_ALIGNED(8) unsigned char much[KC_POOL_MEMORY_BYTES(8, 8, BLOCKS, 1)];
    static void *all[BLOCKS + 64];
    struct kc_pool_config c = {"long", much, sizeof(much), 8, 8, &misuse, 0, 1};
    cr_assert_eq(kc_pool_init(&pool, &c), KC_OK);
    cr_assert_gt(pool.capacity, KC_POOL_SHORT_MAX);
    cr_assert_leq(pool.capacity, KC_ARRAY_COUNT(all));
    for (uint32_t pass = 0; pass < 2; pass++) {
        kc_test_listen(pass == 0);
        cr_assert(kc_pool_alloc_bulk(&pool, pool.capacity, all));
        for (uint32_t i = 0; i < pool.capacity; i++) {
            cr_assert_not_null(all[i]);
            *(uint64_t *)all[i] = i;
        }
        for (uint32_t i = 0; i < pool.capacity; i++) {
            cr_assert_eq(*(uint64_t *)all[i], i, "no block twice");
        }
        cr_assert_null(kc_pool_alloc(&pool));
        cr_assert_eq(kc_pool_free_bulk(&pool, pool.capacity, all), KC_OK);
    }
#if KC_HARDENING >= KC_HARDENING_CHECKED
    cr_assert_eq(kc_pool_check(&pool, NULL), KC_OK);
#endif
    cr_assert_eq(kc_pool_fini(&pool), KC_OK);
}
#endif

struct thing {
    uint64_t a, b;
};
KC_POOL_OF(thing, struct thing)

Test(pool, laid_out_at_compile_time_and_typed)
{
    static KC_ALIGNED(
        64) unsigned char room_for[KC_POOL_MEMORY_BYTES(sizeof(struct thing), 64, 20, 1)];
    static struct kc_pool things;
    struct kc_pool_config c = {
        "things", room_for, sizeof(room_for), sizeof(struct thing), 64, &misuse, 0, 1};
    cr_assert_eq(kc_pool_init(&things, &c), KC_OK);
    cr_assert_geq(things.capacity, 20);
    struct thing *t = thing_alloc(&things);
    cr_assert_eq((uintptr_t)t % 64, 0);
    cr_expect_eq(thing_free(&things, t), KC_OK);
    t = thing_alloc_here(kc_pool_here(&things));
    cr_assert_not_null(t);
    cr_expect_eq(thing_free_here(kc_pool_here(&things), t), KC_OK);
    cr_assert_eq(kc_pool_fini(&things), KC_OK);
}

#if KC_HARDENING == KC_HARDENING_CHECKED
/* What two wrong frees at the same instant on two CPUs leave: a block that is in there twice. */
Test(pool, a_block_that_was_freed_twice_at_once_is_handed_out_once)
{
    cr_assert_eq(make_for(sizeof(memory), 40, 0, 0, 1), KC_OK);
    struct kc_pool_cpu *here = kc_pool_here(&pool);
    void *b = kc_pool_alloc(&pool);
    cr_assert_eq(kc_pool_free(&pool, b), KC_OK);
    size_t count = here->mag.count;
    kc_pool_set_entry(here, count, kc_pool_entry(here, count - 1));
    here->mag.count = count + 1;
    struct kc_pool_fault where = {0, 0, 0, 0};
    cr_expect_eq(kc_pool_check(&pool, &where), KC_ERR_CORRUPT);
    /* So too counts who finds it where it was, and then where another CPU freed it. */
    struct kc_pool_stats s;
    kc_pool_stats(&pool, &s);
    cr_expect_eq(s.live, 0);
    cr_assert_eq(kc_pool_alloc(&pool), b);
    void *c = kc_pool_alloc(&pool);
    cr_assert_not_null(c);
    cr_assert_neq(c, b);
    cr_expect_eq(misuse.count[KC_MISUSE_DOUBLE_FREE], 1);
    cr_expect_eq(misuse.last.address, (uintptr_t)b);
    cr_assert_eq(kc_pool_check(&pool, NULL), KC_OK);
}
#endif

#if KC_HARDENING >= KC_HARDENING_FULL
enum form {
    ANY,
    PINNED,
    INLINE,
    BULK,
    FORMS
};

/* Frees so, and does more, so that the call is no jump. */
static __attribute__((noinline)) kc_status_t give(enum form form, void *b)
{
    struct kc_pool_cpu *here = kc_pool_here(&pool);
    kc_status_t status = form == ANY      ? kc_pool_free(&pool, b)
                         : form == PINNED ? kc_pool_free_pinned(&pool, b)
                         : form == INLINE ? kc_pool_free_here(here, b)
                                          : kc_pool_free_bulk(&pool, 1, &b);
    cr_assert_eq(kc_pool_check(&pool, NULL), KC_OK);
    return status;
}

/* The last owner is who called, not some place in the pool; give() is no longer than `most`. */
Test(pool, a_report_says_who_had_the_block_last)
{
    const uintptr_t most = 4096;
    for (enum form form = ANY; form < FORMS; form++) {
        cr_assert_eq(make(4096, 48, 0, 0), KC_OK);
        void *b = kc_pool_alloc(&pool);
        cr_assert_eq(give(form, b), KC_OK);
        cr_assert_eq(kc_pool_free(&pool, b), KC_ERR_STATE);
        cr_expect_lt(misuse.last.found - (uintptr_t)give, most, "form %u", (unsigned)form);
        cr_assert_eq(kc_pool_fini(&pool), KC_OK);
    }
}

Test(pool, write_after_free_is_noticed_and_the_block_withdrawn)
{
    cr_assert_eq(make(4096, 48, 0, 0), KC_OK);
    unsigned char *b = kc_pool_alloc(&pool);
    cr_assert_eq(kc_pool_free(&pool, b), KC_OK);
    kc_plat_note(KC_NOTE_ALLOC, (uintptr_t)b, 48, NULL); /* so that only the pool notices */
    b[47] = 1;
    kc_plat_note(KC_NOTE_FREE, (uintptr_t)b, 48, NULL);
    struct kc_pool_fault where = {0, 0, 0, 0};
    cr_assert_eq(kc_pool_check(&pool, &where), KC_ERR_CORRUPT);
    cr_assert_eq(where.invariant, 5);
    unsigned char *c = NULL;
    do {
        c = kc_pool_alloc(&pool); /* the freed one comes last */
        cr_assert_neq(c, b);
    } while (c != NULL);
    cr_assert_eq(misuse.count[KC_MISUSE_CORRUPT], 1);
    struct kc_pool_stats s;
    kc_pool_stats(&pool, &s);
    cr_assert_eq(s.lost, 1);
    cr_assert_eq(s.live, s.capacity - 1);
    cr_assert_eq(kc_pool_check(&pool, NULL), KC_OK);
}

Test(pool, overrun_is_noticed_at_the_free_and_repaired)
{
    cr_assert_eq(make(4096, 44, 0, 0), KC_OK);
    unsigned char *b = kc_pool_alloc(&pool);
    size_t stride = pool.none.stride;
    for (size_t at = 44; at < stride; at++) {
        kc_plat_note(KC_NOTE_ALLOC, (uintptr_t)b, stride, NULL); /* the pool alone notices */
        b[at] ^= 1;
        EXPECT_MISUSE(kc_pool_free(&pool, b), KC_ERR_CORRUPT, KC_MISUSE_CORRUPT);
        cr_expect_eq(misuse.last.found, at);
        cr_expect_eq(kc_pool_check(&pool, NULL), KC_OK);
        while (kc_pool_alloc(&pool) != b) {
        }
    }
    cr_expect_eq(kc_pool_free(&pool, b), KC_OK);
}

Test(pool, a_freed_block_comes_back_as_late_as_can_be)
{
    cr_assert_eq(make(4096, 48, 0, 0), KC_OK);
    uint32_t n = pool.capacity;
    unsigned char *b = kc_pool_alloc(&pool);
    cr_assert_eq(kc_pool_free(&pool, b), KC_OK);
    for (uint32_t i = 1; i < n; i++) {
        cr_assert_neq(kc_pool_alloc(&pool), b);
    }
    cr_assert_eq(kc_pool_alloc(&pool), b);
}
#endif

#define EXPECT_BROKEN(n, place, wrong)                                       \
    do {                                                                     \
        struct kc_pool_fault where_ = {0, 0, 0, 0};                          \
        __typeof__(place) saved_ = (place);                                  \
        (place) = (wrong);                                                   \
        cr_expect_eq(kc_pool_check(&pool, &where_), KC_ERR_CORRUPT, #place); \
        cr_expect_eq(where_.invariant, (uint32_t)(n), #place);               \
        (place) = saved_;                                                    \
    } while (0)

Test(pool, check_sees_each_broken_invariant)
{
    cr_assert_eq(make(4096, 48, 0, 0), KC_OK);
    void *b[4];
    for (uint32_t i = 0; i < 4; i++) {
        b[i] = kc_pool_alloc(&pool);
    }
    cr_assert_eq(kc_pool_free(&pool, b[1]), KC_OK);
    cr_assert_eq(kc_pool_free(&pool, b[2]), KC_OK);
    EXPECT_BROKEN(1, pool.depth, 5u);
    EXPECT_BROKEN(1, pool.fresh, pool.capacity + 1);
#if KC_MAG_HAS_STATE
    uint16_t *stack = pool.stack;
    EXPECT_BROKEN(2, stack[0], (uint16_t)2);
    EXPECT_BROKEN(2, stack[1], (uint16_t)0);
    EXPECT_BROKEN(2, stack[1], (uint16_t)60000);
    EXPECT_BROKEN(3, pool.none.state[0], (uint8_t)KC_MAG_FREE);
    EXPECT_BROKEN(3, pool.none.state[1], (uint8_t)KC_MAG_LIVE);
    EXPECT_BROKEN(3, pool.none.state[3], (uint8_t)0);
    EXPECT_BROKEN(3, pool.lost, 1u);
    EXPECT_BROKEN(4, pool.none.state, pool.none.state + 1);
#else
    void **stack = pool.stack;
    EXPECT_BROKEN(2, stack[0], b[2]);
    EXPECT_BROKEN(2, stack[1], (void *)&pool);
#endif
    EXPECT_BROKEN(4, pool.memory_bytes, (size_t)2000);
    cr_expect_eq(kc_pool_check(&pool, NULL), KC_OK);
}

#if KC_MAG_IS_USED
Test(pool, check_sees_each_broken_invariant_of_magazines)
{
    cr_assert_eq(make_for(sizeof(memory), 48, 0, 0, 2), KC_OK);
    struct kc_pool_cpu *here = kc_pool_here(&pool);
    void *b[4];
    for (uint32_t i = 0; i < 4; i++) {
        b[i] = kc_pool_alloc(&pool);
    }
    cr_assert_eq(kc_pool_free(&pool, b[1]), KC_OK);
    EXPECT_BROKEN(1, here->mag.count, KC_POOL_CPU_BLOCKS + 1);
    EXPECT_BROKEN(1, here->run_left, (uint16_t)(KC_POOL_RUN_BLOCKS + 1));
    EXPECT_BROKEN(4, pool.own, (struct kc_pool_cpu *)(void *)memory);
#if KC_MAG_HAS_STATE
    EXPECT_BROKEN(6, here->known, pool.fresh + 1);
    EXPECT_BROKEN(6, here->known, 1u);
#endif
    EXPECT_BROKEN(6, here->run, pool.fresh);
    EXPECT_BROKEN(2, kc_pool_blocks(here)[0], kc_pool_blocks(here)[1]);
#if KC_MAG_HAS_STATE
    EXPECT_BROKEN(2, kc_pool_indexes(here)[0], kc_pool_indexes(here)[1]);
    struct kc_pool_found first = kc_pool_entry(here, 0);
    kc_pool_set_entry(here, 0, kc_pool_entry(here, 1)); /* alike, but twice in there */
    cr_expect_eq(kc_pool_check(&pool, NULL), KC_ERR_CORRUPT);
    kc_pool_set_entry(here, 0, first);
#endif
    /* Also where there are as many blocks as that. */
    for (uint32_t i = 0; i < KC_POOL_CPU_BLOCKS; i++) {
        cr_assert_not_null(kc_pool_alloc(&pool));
    }
    EXPECT_BROKEN(1, here->mag.count, KC_POOL_CPU_BLOCKS + 1);
    cr_expect_eq(kc_pool_check(&pool, NULL), KC_OK);
}
#endif
