/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame, pool, cache and heap from several threads at once: for TSan, and for the counts at the
 * end. Blocks are handed from one thread to the other through a slot each, so that frees are
 * foreign.
 */
#include <kc_test.h>

#include <pthread.h>

#include <kc/account.h>
#include <kc/pool.h>
#include <kc/reserve.h>

#include <host.h>
#include <host_ram.h>
#include <kc_bytes.h>

#define THREADS 4u
#define ROUNDS  3000u
#define SLOTS   64u

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;
static struct kc_cache cache; /* with magazines */
static struct kc_cache lone;  /* without */
static struct kc_cache_set set;
static struct kc_cache members[KC_HEAP_CLASSES];
static struct kc_heap heap;
static struct kc_pool pool;  /* with magazines */
static struct kc_pool alone; /* without */
static KC_ALIGNED(64) unsigned char pool_memory[64 * 1024], alone_memory[32 * 1024];
static uint32_t wrong; /* things seen that should not be */

enum kind {
    KIND_POOL,
    KIND_ALONE,
    KIND_CACHE,
    KIND_LONE,
    KIND_HEAP,
    KIND_FRAME,
    KINDS
};
static void *slot[KINDS][SLOTS]; /* a block on its way to whoever takes it out */
static uint64_t thread_seed[THREADS];

static void note_wrong(bool is_wrong)
{
    if (is_wrong) {
        __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
    }
}

/* Each block carries its own address while it is live. */
static void *get(enum kind kind, uint64_t x)
{
    void *p = NULL;
    kc_pa_t pa;
    switch (kind) {
    case KIND_POOL:
        p = kc_pool_alloc(&pool);
        break;
    case KIND_ALONE:
        p = kc_pool_alloc(&alone);
        break;
    case KIND_CACHE:
        p = kc_cache_alloc(&cache, 0);
        break;
    case KIND_LONE:
        p = kc_cache_alloc(&lone, 0);
        break;
    case KIND_HEAP:
        p = kc_heap_alloc(&heap, x % 64 == 0 ? 9000 + x % 50000 : 8 + x % 700, 0);
        break;
    default:
        if (kc_frame_alloc(&frames, 0, 0, KC_FRAME_OWNER_TEST, &pa) == KC_OK) {
            p = kc_plat_ram(pa);
        }
        break;
    }
    if (p != NULL) {
        *(void **)p = p;
    }
    return p;
}

static void put(enum kind kind, void *p)
{
    kc_status_t status;
    note_wrong(*(void **)p != p);
    switch (kind) {
    case KIND_POOL:
        status = kc_pool_free(&pool, p);
        break;
    case KIND_ALONE:
        status = kc_pool_free(&alone, p);
        break;
    case KIND_CACHE:
        status = kc_cache_free(&cache, p);
        break;
    case KIND_LONE:
        status = kc_cache_free(&lone, p);
        break;
    case KIND_HEAP:
        status = kc_heap_free(&heap, p);
        break;
    default:
        status = kc_frame_free(&frames, kc_plat_ram_pa(p), 0);
        break;
    }
    note_wrong(status != KC_OK);
}

static void *work(void *arg)
{
    uint32_t me = (uint32_t)(uintptr_t)arg;
    uint64_t seed = thread_seed[me];
    host_cpu_set(me);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint64_t x = kc_random(&seed);
        enum kind kind = (enum kind)(x % KINDS);
        void *mine = (x & 64) != 0 ? get(kind, x >> 8) : NULL;
        void *there = __atomic_exchange_n(&slot[kind][(x >> 32) % SLOTS], mine, __ATOMIC_ACQ_REL);
        if (there != NULL) {
            put(kind, there);
        }
        if (x % 512 == 0) {
            (void)kc_heap_shrink(&heap);
            note_wrong(kc_frames_check(&frames, NULL) != KC_OK);
        }
        if (x % 512 == 1) {
            note_wrong(kc_cache_check(&lone, NULL) != KC_OK);
            note_wrong(kc_pool_check(&alone, NULL) != KC_OK);
        }
        if (x % 64 == 2) {
            /* Questions about anything, also about what others are just changing. */
            struct kc_frame_info about;
            kc_pa_t pa = kc_pa(HOST_RAM_BASE + (x >> 8) % KC_MIB(8));
            kc_frame_info(&frames, pa, &about);
            (void)kc_heap_usable(&heap, kc_plat_ram(pa));
        }
    }
    return NULL;
}

Test(alloc_threads, every_block_has_one_owner)
{
    pthread_t thread[THREADS];
    uint64_t seed = kc_test_seed();
    struct kc_frame_stats s;
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(host_ram_create(KC_MIB(8), &info), KC_OK);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    struct kc_cache_config cc = {
        .name = "c", .object_bytes = 200, .misuse = &misuse, .cpu_count = THREADS};
    struct kc_heap_config hc = {"h", &misuse, 0, 0, &set, 0};
    /* With one spare, sizes push each other's empty slabs out all the time. */
    struct kc_cache_set_config sc = {"s", members, KC_HEAP_CLASSES, 1, 0, &misuse, THREADS};
    struct kc_pool_config pc = {"p", pool_memory, sizeof(pool_memory), 100, 0, &misuse, 0, THREADS};
    struct kc_cache_config lc = {.name = "l", .object_bytes = 200, .misuse = &misuse};
    cr_assert_eq(kc_cache_init(&cache, &cc, &frames), KC_OK);
    cr_assert_eq(kc_cache_init(&lone, &lc, &frames), KC_OK);
    cr_assert_eq(kc_cache_set_init(&set, &sc, &frames), KC_OK);
    cr_assert_eq(kc_heap_init(&heap, &hc, &frames), KC_OK);
    struct kc_pool_config ac = {"a", alone_memory, sizeof(alone_memory), 100, 0, &misuse, 0, 0};
    cr_assert_eq(kc_pool_init(&pool, &pc), KC_OK);
    cr_assert_eq(kc_pool_init(&alone, &ac), KC_OK);

    for (uint32_t i = 0; i < THREADS; i++) {
        thread_seed[i] = kc_random(&seed);
    }
    for (uint32_t i = 1; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)i), 0);
    }
    (void)work(NULL);
    for (uint32_t i = 1; i < THREADS; i++) {
        cr_assert_eq(pthread_join(thread[i], NULL), 0);
    }
    host_cpu_set(0);
    for (uint32_t k = 0; k < KINDS; k++) {
        for (uint32_t i = 0; i < SLOTS; i++) {
            if (slot[k][i] != NULL) {
                put((enum kind)k, slot[k][i]);
                slot[k][i] = NULL;
            }
        }
    }
    cr_expect_eq(wrong, 0);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
    cr_expect_eq(kc_pool_check(&pool, NULL), KC_OK);
    cr_expect_eq(kc_pool_fini(&pool), KC_OK);
    cr_expect_eq(kc_pool_fini(&alone), KC_OK);
    cr_expect_eq(kc_cache_check(&cache, NULL), KC_OK);
    cr_expect_eq(kc_cache_fini(&cache), KC_OK);
    cr_expect_eq(kc_cache_fini(&lone), KC_OK);
    cr_expect_eq(kc_cache_set_check(&set, NULL), KC_OK);
    cr_expect_eq(kc_heap_check(&heap, NULL), KC_OK);
    cr_expect_eq(kc_heap_fini(&heap), KC_OK);
    cr_expect_eq(kc_cache_set_fini(&set), KC_OK);
    kc_frame_stats(&frames, &s);
    cr_expect_eq(s.used_frames, 0);
    cr_expect_gt(s.alloc_count, 100);
    cr_expect_eq(kc_frames_check(&frames, NULL), KC_OK);
    cr_expect_eq(kc_frames_fini(&frames), KC_OK);
    host_ram_destroy();
}

/* Double frees and foreign frees race with honest ones: refused, reported, nothing torn. */
static void *misusing(void *arg)
{
    uint32_t me = (uint32_t)(uintptr_t)arg;
    uint64_t seed = thread_seed[me];
    host_cpu_set(me);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint64_t x = kc_random(&seed);
        void *p = kc_heap_alloc(&heap, 8 + x % 300, 0);
        if (p == NULL) {
            continue;
        }
        note_wrong(kc_heap_free(&heap, (char *)p + 1) == KC_OK);
        note_wrong(kc_heap_free(&heap, p) != KC_OK);
        /* An address inside RAM at an odd byte is never a block. */
        note_wrong(kc_heap_free(&heap, kc_plat_ram(kc_pa(HOST_RAM_BASE +
                                                         ((x >> 16) % KC_MIB(8) | 1)))) == KC_OK);
    }
    return NULL;
}

Test(alloc_threads, misuse_races_are_refused)
{
    pthread_t thread[THREADS];
    uint64_t seed = kc_test_seed();
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    wrong = 0;
    cr_assert_eq(host_ram_create(KC_MIB(8), &info), KC_OK);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    struct kc_heap_config hc = {"h", &misuse, 0, THREADS, NULL, 0};
    cr_assert_eq(kc_heap_init(&heap, &hc, &frames), KC_OK);
    for (uint32_t i = 0; i < THREADS; i++) {
        thread_seed[i] = kc_random(&seed);
    }
    for (uint32_t i = 1; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&thread[i], NULL, misusing, (void *)(uintptr_t)i), 0);
    }
    (void)misusing(NULL);
    for (uint32_t i = 1; i < THREADS; i++) {
        cr_assert_eq(pthread_join(thread[i], NULL), 0);
    }
    host_cpu_set(0);
    cr_expect_eq(wrong, 0);
    cr_expect_eq(kc_misuse_total(&misuse), 2 * THREADS * (uint64_t)ROUNDS);
    cr_expect_eq(kc_heap_check(&heap, NULL), KC_OK);
    cr_expect_eq(kc_heap_fini(&heap), KC_OK);
    cr_expect_eq(kc_frames_fini(&frames), KC_OK);
    host_ram_destroy();
}

/* ---- accounts, reserves, and blocks that change where they are --------------------------------
 */

#define SPARES 8u

static struct kc_account account;
static struct kc_account_owner owner[THREADS];
static uint64_t table[1024];
static struct kc_reserve reserve;
static void *spare[SPARES];

/* Each has two of the reserve at most, so that it must hold; and some of its own account. */
static void *accounting(void *arg)
{
    uint32_t me = (uint32_t)(uintptr_t)arg;
    uint64_t seed = thread_seed[me];
    void *mine[16] = {NULL};
    void *kept[2] = {NULL};
    host_cpu_set(me);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint64_t x = kc_random(&seed) >> 8;
        uint32_t at = x % KC_ARRAY_COUNT(mine);
        size_t size = 1 + (x >> 16) % ((x >> 12 & 3) == 0 ? 60000 : 300);
        uint32_t is = THREADS;
        if (mine[at] == NULL) {
            note_wrong(kc_account_alloc(&account, me, size, 0, &mine[at]) == KC_ERR_ARG);
        } else if ((x >> 8 & 1) != 0) {
            note_wrong(!kc_account_owner_of(&account, mine[at], &is) || is != me);
            note_wrong(kc_account_resize(&account, mine[at], size, 0, &mine[at]) == KC_ERR_PERM);
        } else {
            note_wrong(kc_account_free(&account, mine[at]) != KC_OK);
            mine[at] = NULL;
        }
        at = (x >> 9) % KC_ARRAY_COUNT(kept);
        if (kept[at] == NULL) {
            kept[at] = kc_reserve_alloc(&reserve, (uint32_t)(x >> 10) & KC_HEAP_ATOMIC);
            note_wrong(kept[at] == NULL);
        } else {
            note_wrong(kc_reserve_free(&reserve, kept[at]) != KC_OK);
            kept[at] = NULL;
        }
        if (x % 512 == 0) {
            (void)kc_heap_trim(&heap, x >> 40);
        }
    }
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(mine); i++) {
        note_wrong(kc_account_free(&account, mine[i]) != KC_OK);
    }
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(kept); i++) {
        note_wrong(kc_reserve_free(&reserve, kept[i]) != KC_OK);
    }
    return NULL;
}

Test(alloc_threads, accounts_and_reserves_over_one_heap)
{
    pthread_t thread[THREADS];
    uint64_t seed = kc_test_seed();
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    wrong = 0;
    cr_assert_eq(host_ram_create(KC_MIB(2), &info), KC_OK);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    struct kc_heap_config hc = {"h", &misuse, 0, THREADS, NULL, 2 * KC_HEAP_KEEP_MIN};
    cr_assert_eq(kc_heap_init(&heap, &hc, &frames), KC_OK);
    struct kc_account_config ac = {"a", owner, table, THREADS, KC_ARRAY_COUNT(table), &misuse};
    cr_assert_eq(kc_account_init(&account, &ac, &heap), KC_OK);
    struct kc_reserve_config rc = {"r", 9000, SPARES, 0, spare, &misuse};
    cr_assert_eq(kc_reserve_init(&reserve, &rc, &heap), KC_OK);
    for (uint32_t i = 0; i < THREADS; i++) {
        thread_seed[i] = kc_random(&seed);
        cr_assert_eq(kc_account_set_quota(&account, i, 400000), KC_OK);
    }
    for (uint32_t i = 1; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&thread[i], NULL, accounting, (void *)(uintptr_t)i), 0);
    }
    (void)accounting(NULL);
    for (uint32_t i = 1; i < THREADS; i++) {
        cr_assert_eq(pthread_join(thread[i], NULL), 0);
    }
    host_cpu_set(0);
    cr_expect_eq(wrong, 0);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
    cr_expect_eq(kc_account_check(&account, NULL), KC_OK);
    cr_expect_eq(kc_reserve_check(&reserve, NULL), KC_OK);
    cr_expect_eq(kc_heap_check(&heap, NULL), KC_OK);
    cr_expect_eq(kc_account_fini(&account), KC_OK);
    cr_expect_eq(kc_reserve_fini(&reserve), KC_OK);
    cr_expect_eq(kc_heap_fini(&heap), KC_OK);
    cr_expect_eq(kc_frames_check(&frames, NULL), KC_OK);
    cr_expect_eq(kc_frames_fini(&frames), KC_OK);
    host_ram_destroy();
}
