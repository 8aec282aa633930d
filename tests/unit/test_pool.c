/* SPDX-License-Identifier: BSD-2-Clause */
/* pool: the contract of kc/pool.h, and the invariants P1 to P5 of src/mem/pool.c. */
#include <kc_test.h>

#include <kc/pool.h>

#include "mem/pool_priv.h"

#define MODEL_REQUIRE(c) cr_assert(c, "model: %s", #c)
#include "pool_model.h"

static KC_ALIGNED(4096) unsigned char memory[64 * 1024];
static struct kc_pool pool;
static struct kc_misuse misuse;

/* The memory is ours again, whatever a pool of an earlier test told ASan and Memcheck of it. */
static void reclaim(void)
{
    kc_plat_note(KC_NOTE_ALLOC, (uintptr_t)memory, sizeof(memory), NULL);
}

static kc_status_t make(size_t bytes, size_t block, size_t align, uint32_t flags)
{
    reclaim();
    struct kc_pool_config c = {"test", memory, bytes, block, align, &misuse, flags};
    return kc_pool_init(&pool, &c);
}

static void set_up(void)
{
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    reclaim();
    __builtin_memset(memory, 0xee, sizeof(memory));
}

TestSuite(pool, .init = set_up);

#define EXPECT_MISUSE(call, status, kind_)                  \
    do {                                                    \
        uint64_t total_ = kc_misuse_total(&misuse);         \
        uint64_t count_ = misuse.count[kind_];              \
        cr_expect_eq((call), (status));                     \
        cr_expect_eq(kc_misuse_total(&misuse), total_ + 1); \
        cr_expect_eq(misuse.count[kind_], count_ + 1);      \
    } while (0)

Test(pool, hands_out_all_blocks_in_order_then_null)
{
    cr_assert_eq(make(4096, 40, 0, 0), KC_OK);
    struct kc_pool_stats s;
    kc_pool_stats(&pool, &s);
    cr_assert_eq(s.stride_bytes, 40);
    cr_assert_eq(s.capacity, 4096 / 43);
    cr_assert_leq(s.meta_bytes * 10, s.capacity * 32u);
    for (uint32_t i = 0; i < s.capacity; i++) {
        unsigned char *b = kc_pool_alloc(&pool);
        cr_assert_eq(b, memory + (size_t)i * 40);
        __builtin_memset(b, 0xff, 40);
    }
    cr_assert_null(kc_pool_alloc(&pool));
    cr_assert_eq(kc_pool_check(&pool, NULL), KC_OK);
    kc_pool_stats(&pool, &s);
    cr_assert_eq(s.fail_count, 1);
    cr_assert_eq(s.peak, s.capacity);
    for (uint32_t i = 0; i < s.capacity; i++) {
        cr_assert_eq(kc_pool_free(&pool, memory + (size_t)i * 40), KC_OK);
    }
    cr_assert_eq(kc_pool_alloc(&pool), memory + (size_t)(s.capacity - 1) * 40);
}

Test(pool, init_refuses_what_is_malformed)
{
    struct kc_pool_config c = {"test", memory, 4096, 8, 8, NULL, 0};
    cr_expect_eq(kc_pool_init(NULL, &c), KC_ERR_ARG);
    cr_expect_eq(kc_pool_init(&pool, NULL), KC_ERR_ARG);
    cr_expect_eq(make(4096, 0, 8, 0), KC_ERR_ARG);
    cr_expect_eq(make(4096, 8, 3, 0), KC_ERR_ARG);
    cr_expect_eq(make(4096, 8, 4, 0), KC_ERR_ARG);
    cr_expect_eq(make(4096, 8, 8, 0x80), KC_ERR_ARG);
    cr_expect_eq(make(4096, SIZE_MAX, 8, 0), KC_ERR_RANGE);
    cr_expect_eq(make(4096, SIZE_MAX - 7, 8, 0), KC_ERR_NOMEM);
    cr_expect_eq(make(4096, SIZE_MAX / 2 + 2, SIZE_MAX / 2 + 1, 0),
                 kc_is_aligned((uintptr_t)memory, SIZE_MAX / 2 + 1) ? KC_ERR_RANGE : KC_ERR_ALIGN);
    cr_expect_eq(make(SIZE_MAX, 8, 8, 0), KC_ERR_RANGE);
    cr_expect_eq(make(0, 8, 8, 0), KC_ERR_NOMEM);
    cr_expect_eq(make(10, 8, 8, 0), KC_ERR_NOMEM);
    cr_expect_eq(make(11, 8, 8, 0), KC_OK);
    cr_expect_eq(pool.capacity, 1);
    c.memory = memory + 8;
    c.align = 16;
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

Test(pool, zero_flag_zeroes_each_time)
{
    cr_assert_eq(make(4096, 64, 0, KC_POOL_ZERO_ALLOC), KC_OK);
    for (uint32_t round = 0; round < 2; round++) {
        unsigned char *b = kc_pool_alloc(&pool);
        for (uint32_t i = 0; i < 64; i++) {
            cr_assert_eq(b[i], 0);
        }
        __builtin_memset(b, 0xaa, 64);
        cr_assert_eq(kc_pool_free(&pool, b), KC_OK);
    }
}

Test(pool, every_bad_free_has_its_answer)
{
    /* What the memory held before must not pass for state. */
    __builtin_memset(memory, POOL_LIVE, sizeof(memory));
    cr_assert_eq(make(4096, 48, 0, 0), KC_OK);
    unsigned char *b = kc_pool_alloc(&pool);
    static unsigned char elsewhere[8];
    cr_expect_eq(kc_pool_free(&pool, NULL), KC_OK);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
    EXPECT_MISUSE(kc_pool_free(&pool, elsewhere), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
    EXPECT_MISUSE(kc_pool_free(&pool, memory + (size_t)pool.capacity * 48), KC_ERR_RANGE,
                  KC_MISUSE_FOREIGN);
    EXPECT_MISUSE(kc_pool_free(&pool, (void *)((uintptr_t)memory - 48)), KC_ERR_RANGE,
                  KC_MISUSE_FOREIGN);
    EXPECT_MISUSE(kc_pool_free(&pool, (void *)UINTPTR_MAX), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
#if KC_HARDENING >= KC_HARDENING_CHECKED
    EXPECT_MISUSE(kc_pool_free(&pool, b + 1), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    EXPECT_MISUSE(kc_pool_free(&pool, b + 24), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    EXPECT_MISUSE(kc_pool_free(&pool, b + 48), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
#endif
    cr_expect_eq(kc_pool_free(&pool, b), KC_OK);
    /* At off it is noticed too: none is live. */
    EXPECT_MISUSE(kc_pool_free(&pool, b), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    cr_expect_str_eq(misuse.last.object, "test");
    cr_expect_eq(misuse.last.address, (uintptr_t)b);
    cr_expect_eq(kc_pool_check(&pool, NULL), KC_OK);
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
 * pool of 3 blocks: 4^8 sequences, each judged after each step. */
Test(pool, all_short_sequences_on_three_blocks)
{
    static struct pool_model m;
    for (uint32_t n = 0; n < 1u << 16; n++) {
        cr_assert_eq(make(3 * 16 + 9, 16, 0, KC_POOL_UNLOCKED), KC_OK);
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

Test(pool, random_operations_agree_with_the_model)
{
    static const size_t block[] = {1, 8, 24, 40, 64, 100, 120, 250};
    static struct pool_model m;
    static uint8_t bytes[2048];
    uint64_t seed = kc_test_seed();
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(block); i++) {
        struct kc_bytes o = {bytes, sizeof(bytes), 0};
        kc_random_fill(&seed, bytes, sizeof(bytes));
        cr_assert_eq(make(3000, block[i], 0, 0), KC_OK);
        pool_model_init(&m, &pool, &misuse, memory);
        while (!kc_bytes_is_empty(&o)) {
            pool_model_step(&m, &o);
            pool_model_check(&m);
        }
        pool_model_finish(&m);
    }
}

/* The multiplication that replaces the division, over every block's first and last byte. */
Test(pool, index_is_exact_for_every_stride)
{
    for (size_t stride = 8; stride <= 9000; stride += stride < 600 ? 8 : 264) {
        cr_assert_eq(make(sizeof(memory), stride, 0, KC_POOL_UNLOCKED), KC_OK);
        cr_assert_neq(pool.reciprocal, 0);
        for (uint32_t i = 0; i < pool.capacity; i++) {
            for (uint64_t at = i * stride; at < (i + 1) * stride; at += stride - 1) {
                cr_assert_eq((uint32_t)((at * pool.reciprocal) >> pool.reciprocal_shift), i);
            }
        }
    }
}

#if KC_HARDENING >= KC_HARDENING_FULL
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
    unsigned char *c = kc_pool_alloc(&pool);
    cr_assert_eq(c, b + 48);
    cr_assert_eq(misuse.count[KC_MISUSE_CORRUPT], 1);
    struct kc_pool_stats s;
    kc_pool_stats(&pool, &s);
    cr_assert_eq(s.lost, 1);
    cr_assert_eq(s.live, 1);
    cr_assert_eq(kc_pool_check(&pool, NULL), KC_OK);
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
    uint16_t *stack = pool.stack;
    EXPECT_BROKEN(1, pool.depth, 5u);
    EXPECT_BROKEN(1, pool.fresh, pool.capacity + 1);
    EXPECT_BROKEN(2, stack[0], (uint16_t)2);
    EXPECT_BROKEN(2, stack[1], (uint16_t)0);
    EXPECT_BROKEN(2, stack[1], (uint16_t)60000);
    EXPECT_BROKEN(3, pool.state[0], (uint8_t)POOL_FREE);
    EXPECT_BROKEN(3, pool.state[1], (uint8_t)POOL_LIVE);
    EXPECT_BROKEN(3, pool.state[3], (uint8_t)0);
    EXPECT_BROKEN(4, pool.state, pool.state + 1);
    EXPECT_BROKEN(4, pool.memory_bytes, (size_t)2000);
    cr_expect_eq(kc_pool_check(&pool, NULL), KC_OK);
}
