/* SPDX-License-Identifier: BSD-2-Clause */
/* grace: the contract of kc/grace.h, and the invariants G1 to G4 of src/mem/grace.c. */
#include <kc_test.h>

#include <kc/early.h>
#include <kc/grace.h>

#define MODEL_REQUIRE(c) cr_assert(c)
#include "grace_model.h"

#define CPUS    GRACE_MODEL_CPUS
#define ENTRIES 40u
#define BLOCKS  64u
#define BYTES   160u
#define STEPS   3000u

static struct kc_misuse misuse;
static struct kc_grace g;
static struct kc_grace_entry entry[4 * ENTRIES];
static struct kc_pool pool;
static KC_ALIGNED(64) unsigned char memory[KC_POOL_MEMORY_BYTES(BYTES, 8u, BLOCKS, 0u)];

static const struct kc_grace_config plain = {"g", entry, ENTRIES, CPUS, &misuse};

/* CPUs 0 to online - 1 are on line. */
static void start(uint32_t online)
{
    struct kc_pool_config config = {"p", memory, sizeof(memory), BYTES, 8, &misuse, 0, 0};
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_pool_init(&pool, &config), KC_OK);
    cr_assert_eq(kc_grace_init(&g, &plain), KC_OK);
    for (uint32_t i = 0; i < online; i++) {
        cr_assert_eq(kc_grace_online(&g, i), KC_OK);
    }
}

static void *block(void)
{
    void *p = kc_pool_alloc(&pool);
    cr_assert_not_null(p);
    return p;
}

static kc_status_t defer(uint32_t cpu, void *p)
{
    return kc_grace_free_pinned(&g, cpu, kc_grace_pool(&pool), p);
}

static void report_all(uint32_t cpus, uint32_t rounds)
{
    for (uint32_t i = 0; i < rounds; i++) {
        for (uint32_t cpu = 0; cpu < cpus; cpu++) {
            (void)kc_grace_quiescent(&g, cpu);
        }
    }
}

static struct kc_grace_stats stats(void)
{
    struct kc_grace_stats s;
    kc_grace_stats(&g, &s);
    return s;
}

static void finish(void)
{
    while (kc_grace_drain(&g) != 0) {
    }
    cr_expect_eq(kc_grace_check(&g, NULL), KC_OK);
    cr_expect_eq(kc_grace_fini(&g), KC_OK);
    cr_expect_eq(kc_pool_fini(&pool), KC_OK);
}

Test(grace, init_refuses_what_is_malformed)
{
    struct kc_grace_config c = plain;
    cr_expect_eq(kc_grace_init(NULL, &c), KC_ERR_ARG);
    cr_expect_eq(kc_grace_init(&g, NULL), KC_ERR_ARG);
    c.entry = NULL;
    cr_expect_eq(kc_grace_init(&g, &c), KC_ERR_ARG);
    c = plain;
    c.queue_entries = 0;
    cr_expect_eq(kc_grace_init(&g, &c), KC_ERR_RANGE);
    c.queue_entries = KC_GRACE_QUEUE_MAX + 1;
    cr_expect_eq(kc_grace_init(&g, &c), KC_ERR_RANGE);
    c = plain;
    c.cpu_count = 0;
    cr_expect_eq(kc_grace_init(&g, &c), KC_ERR_RANGE);
    c.cpu_count = KC_CPUS_MAX + 1;
    cr_expect_eq(kc_grace_init(&g, &c), KC_ERR_RANGE);
}

Test(grace, an_object_lives_until_every_cpu_has_reported)
{
    start(CPUS);
    unsigned char *p = (unsigned char *)block();
    __builtin_memset(p, 0x3c, BYTES);
    cr_assert_eq(defer(0, p), KC_OK);
    report_all(CPUS - 1, 10); /* all but the last */
    cr_expect_eq(kc_grace_reclaim(&g, 0), 0);
    cr_expect(kc_pool_is_live(&pool, p));
    for (uint32_t i = 0; i < BYTES; i++) {
        cr_expect_eq(p[i], 0x3c);
    }
    report_all(CPUS, KC_GRACE_EPOCHS);
    cr_expect(kc_grace_quiescent(&g, 0));
    cr_expect(!kc_grace_quiescent(&g, CPUS - 1) || CPUS == 1, "not its queue");
    cr_expect(kc_pool_is_live(&pool, p), "reports free nothing");
    cr_expect_eq(kc_grace_reclaim(&g, 0), 1);
    cr_expect(!kc_pool_is_live(&pool, p));
    finish();
}

Test(grace, a_report_from_before_does_not_count)
{
    if (CPUS < 2) {
        cr_skip_test("one CPU");
    }
    start(2);
    /* CPU 1 has reported an epoch that the deferring CPU has not, and then finds the object. */
    cr_assert_eq(defer(0, block()), KC_OK);
    (void)kc_grace_quiescent(&g, 1); /* the next epoch begins */
    (void)kc_grace_quiescent(&g, 1);
    void *p = block();
    cr_assert_eq(defer(0, p), KC_OK);
    for (uint32_t i = 0; i < 10; i++) {
        (void)kc_grace_quiescent(&g, 0);
        (void)kc_grace_reclaim(&g, 0);
    }
    cr_expect(kc_pool_is_live(&pool, p));
    finish();
}

Test(grace, cpus_off_line_are_not_waited_for)
{
    start(CPUS);
    void *p = block();
    cr_assert_eq(defer(0, p), KC_OK);
    for (uint32_t i = 1; i < CPUS; i++) {
        cr_assert_eq(kc_grace_offline(&g, i), KC_OK);
        cr_expect_eq(kc_grace_offline(&g, i), KC_ERR_STATE);
        cr_expect(!kc_grace_quiescent(&g, i));
    }
    report_all(1, KC_GRACE_EPOCHS);
    cr_expect_eq(kc_grace_reclaim(&g, 0), 1);
    cr_expect_eq(kc_grace_online(&g, 0), KC_ERR_STATE);
    cr_expect_eq(kc_grace_online(&g, CPUS), KC_ERR_RANGE);
    cr_expect_eq(kc_grace_offline(&g, CPUS), KC_ERR_RANGE);
    cr_expect_eq(defer(CPUS, &g), KC_ERR_RANGE);
    cr_expect(!kc_grace_quiescent(&g, CPUS));
    cr_expect_eq(kc_grace_reclaim(&g, CPUS), 0);
    finish();
}

Test(grace, who_goes_off_line_leaves_its_queue_to_the_others)
{
    if (CPUS < 2) {
        cr_skip_test("one CPU");
    }
    start(2);
    void *p = block();
    cr_assert_eq(defer(0, p), KC_OK);
    cr_assert_eq(kc_grace_offline(&g, 0), KC_OK);
    cr_expect_eq(defer(0, p), KC_ERR_STATE);
    cr_expect_eq(kc_grace_reclaim(&g, 1), 0, "not before its grace period");
    (void)kc_grace_quiescent(&g, 1);
    cr_expect_eq(kc_grace_reclaim(&g, 1), 0);
    cr_expect(kc_pool_is_live(&pool, p));
    report_all(2, KC_GRACE_EPOCHS);
    cr_expect(kc_grace_quiescent(&g, 1));
    cr_expect_eq(kc_grace_reclaim(&g, 1), 1);
    cr_expect_eq(stats().pending, 0);
    finish();
}

Test(grace, who_comes_back_on_line_has_its_queue_again)
{
    if (CPUS < 2) {
        cr_skip_test("one CPU");
    }
    start(2);
    cr_assert_eq(defer(0, block()), KC_OK);
    cr_assert_eq(kc_grace_offline(&g, 0), KC_OK);
    cr_assert_eq(kc_grace_online(&g, 0), KC_OK);
    cr_assert_eq(defer(0, block()), KC_OK);
    report_all(2, KC_GRACE_EPOCHS);
    cr_expect_eq(kc_grace_reclaim(&g, 1), 0);
    cr_expect_eq(kc_grace_reclaim(&g, 0), 2);
    finish();
}

Test(grace, a_full_queue_refuses_and_the_object_stays_the_callers)
{
    start(1);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        cr_assert_eq(defer(0, block()), KC_OK);
    }
    void *p = block();
    cr_expect_eq(defer(0, p), KC_ERR_NOMEM);
    cr_expect_eq(stats().full_count, 1);
    cr_expect_eq(stats().pending, ENTRIES);
    cr_expect_eq(stats().peak, ENTRIES);
    cr_expect_eq(kc_pool_free(&pool, p), KC_OK);
    report_all(1, KC_GRACE_EPOCHS);
    cr_expect_eq(kc_grace_reclaim(&g, 0), KC_GRACE_FREES);
    p = block();
    cr_expect_eq(defer(0, p), KC_OK);
    cr_expect_eq(kc_grace_check(&g, NULL), KC_OK);
    finish();
}

Test(grace, a_call_frees_a_bounded_number_in_order)
{
    void *p[ENTRIES];
    start(1);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        p[i] = block();
        cr_assert_eq(defer(0, p[i]), KC_OK);
    }
    report_all(1, KC_GRACE_EPOCHS);
    uint32_t turns = g.lock.next;
    for (uint32_t done = 0; done < ENTRIES;) {
        uint32_t count = kc_grace_reclaim(&g, 0);
        cr_assert_eq(count, ENTRIES - done < KC_GRACE_FREES ? ENTRIES - done : KC_GRACE_FREES);
        done += count;
        for (uint32_t i = 0; i < ENTRIES; i++) {
            cr_expect_eq(kc_pool_is_live(&pool, p[i]), i >= done);
        }
    }
    cr_expect_eq(kc_grace_reclaim(&g, 0), 0);
    cr_expect_eq(g.lock.next, turns, "it is for queues of CPUs off line, which are empty");
    finish();
}

Test(grace, epochs_rest_while_nothing_is_deferred)
{
    start(CPUS);
    uint32_t epoch = stats().epoch;
    report_all(CPUS, 5);
    cr_expect_eq(stats().epoch, epoch);
    cr_expect_eq(stats().oldest, epoch);
    cr_assert_eq(defer(0, block()), KC_OK);
    report_all(CPUS, 50);
    cr_expect_eq(stats().epoch, epoch + KC_GRACE_EPOCHS);
    cr_expect_eq(stats().oldest, epoch);
    finish();
}

Test(grace, frees_to_pools_caches_and_heaps)
{
    static struct kc_boot_info info;
    static struct kc_early early;
    static struct kc_frames frames;
    static struct kc_cache cache;
    static struct kc_heap heap;
    struct kc_cache_config cc = {.name = "c", .object_bytes = 80, .misuse = &misuse};
    struct kc_heap_config hc = {"h", &misuse, 0, 0, NULL, 0};
    start(1);
    cr_assert(kc_test_ram(KC_MIB(4), &info));
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    cr_assert_eq(kc_cache_init(&cache, &cc, &frames), KC_OK);
    cr_assert_eq(kc_heap_init(&heap, &hc, &frames), KC_OK);
    void *c = kc_cache_alloc(&cache, 0);
    void *small = kc_heap_alloc(&heap, 100, 0);
    void *large = kc_heap_alloc(&heap, 100000, 0);
    uint32_t here = kc_plat_cpu();
    if (here != 0) {
        cr_skip_test("not on CPU 0");
    }
    cr_expect_eq(kc_grace_free(&g, kc_grace_pool(&pool), block()), KC_OK);
    cr_expect_eq(kc_grace_free(&g, kc_grace_cache(&cache), c), KC_OK);
    cr_expect_eq(kc_grace_free(&g, kc_grace_heap(&heap), small), KC_OK);
    cr_expect_eq(kc_grace_free(&g, kc_grace_heap(&heap), large), KC_OK);
    cr_expect_eq(kc_grace_free(&g, kc_grace_heap(&heap), NULL), KC_OK);
    cr_expect_eq(stats().pending, 4);
    report_all(1, KC_GRACE_EPOCHS);
    cr_expect_eq(kc_grace_reclaim(&g, 0), 4);
    cr_expect_eq(stats().refuse_count, 0);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
    cr_expect_eq(kc_cache_fini(&cache), KC_OK);
    cr_expect_eq(kc_heap_fini(&heap), KC_OK);
    finish();
}

#if KC_HARDENING >= KC_HARDENING_CHECKED
Test(grace, what_is_deferred_twice_is_reported)
{
    start(CPUS);
    void *p = block();
    cr_assert_eq(defer(0, p), KC_OK);
#if KC_HARDENING >= KC_HARDENING_FULL
    cr_expect_eq(defer(0, p), KC_ERR_STATE);
    cr_expect_eq(misuse.count[KC_MISUSE_DOUBLE_FREE], 1);
    cr_expect_str_eq(misuse.last.object, "g");
    cr_expect_eq(misuse.last.address, (uintptr_t)p);
    cr_expect_eq(stats().pending, 1);
    misuse.count[KC_MISUSE_DOUBLE_FREE] = 0;
#endif
    if (CPUS > 1) { /* in two queues */
        cr_assert_eq(defer(1, p), KC_OK);
        report_all(CPUS, KC_GRACE_EPOCHS);
        cr_expect_eq(kc_grace_reclaim(&g, 0) + kc_grace_reclaim(&g, 1), 2);
        cr_expect_eq(misuse.count[KC_MISUSE_DOUBLE_FREE], 1);
        cr_expect_str_eq(misuse.last.object, "p");
        cr_expect_eq(stats().refuse_count, 1);
    }
    finish();
}

Test(grace, one_address_may_be_two_objects)
{
    static struct kc_pool inner;
    start(1);
    void *outer = block();
    struct kc_pool_config config = {"inner", outer, BYTES, 8, 8, &misuse, 0, 0};
    cr_assert_eq(kc_pool_init(&inner, &config), KC_OK);
    void *p = kc_pool_alloc(&inner);
    cr_assert_eq((uintptr_t)p, (uintptr_t)outer);
    cr_expect_eq(kc_grace_free_pinned(&g, 0, kc_grace_pool(&inner), p), KC_OK);
    cr_expect_eq(defer(0, outer), KC_OK);
    report_all(1, KC_GRACE_EPOCHS);
    cr_expect_eq(kc_grace_reclaim(&g, 0), 2);
    cr_expect_eq(stats().refuse_count, 0);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
    finish();
}

Test(grace, a_foreign_pointer_is_reported_by_the_allocator)
{
    start(1);
    cr_assert_eq(defer(0, &misuse), KC_OK);
    report_all(1, KC_GRACE_EPOCHS);
    cr_expect_eq(kc_grace_reclaim(&g, 0), 1);
    cr_expect_eq(misuse.count[KC_MISUSE_FOREIGN], 1);
    cr_expect_str_eq(misuse.last.object, "p");
    cr_expect_eq(stats().refuse_count, 1);
    finish();
}
#endif

Test(grace, fini_refuses_while_objects_are_pending_and_drain_frees_all)
{
    start(CPUS);
    for (uint32_t i = 0; i < 2 * KC_GRACE_FREES + 1; i++) {
        cr_assert_eq(defer(i % CPUS, block()), KC_OK);
    }
    uint32_t pending = stats().pending;
    cr_expect_eq(kc_grace_fini(&g), KC_ERR_STATE);
    cr_expect_eq(misuse.count[KC_MISUSE_BUSY], 1);
    cr_expect_eq(misuse.last.found, pending);
    cr_expect_eq(kc_grace_drain(&g), pending - KC_GRACE_FREES);
    while (kc_grace_drain(&g) != 0) {
    }
    cr_expect_eq(stats().pending, 0);
    cr_expect_eq(stats().free_count, pending);
    finish();
}

Test(grace, check_finds_what_is_broken)
{
    uint32_t which = 0;
    start(2 < CPUS ? 2 : CPUS);
    cr_assert_eq(defer(0, block()), KC_OK);
    cr_assert_eq(defer(0, block()), KC_OK);
    cr_assert_eq(kc_grace_check(&g, &which), KC_OK);
    g.cpu[0].seen -= 2;
    cr_expect_eq(kc_grace_check(&g, &which), KC_ERR_CORRUPT);
    cr_expect_eq(which, 1);
    g.cpu[0].seen += 2;
    entry[1].epoch -= 1;
    cr_expect_eq(kc_grace_check(&g, &which), KC_ERR_CORRUPT);
    cr_expect_eq(which, 2);
    entry[1].epoch += 2;
    cr_expect_eq(kc_grace_check(&g, &which), KC_ERR_CORRUPT);
    cr_expect_eq(which, 2);
    entry[1].epoch -= 1;
    g.cpu[0].oldest -= 1;
    cr_expect_eq(kc_grace_check(&g, &which), KC_ERR_CORRUPT);
    cr_expect_eq(which, 2);
    g.cpu[0].oldest += 1;
    g.cpu[0].is_on = 0;
    cr_expect_eq(kc_grace_check(&g, &which), KC_ERR_CORRUPT);
    cr_expect_eq(which, 3);
    g.cpu[0].is_on = 1;
    g.cpu[0].free_count++;
    cr_expect_eq(kc_grace_check(&g, &which), KC_ERR_CORRUPT);
    cr_expect_eq(which, 4);
    g.cpu[0].free_count--;
    if (g.cpu_count > 1) { /* an empty queue that begins behind its end */
        g.cpu[1].first += g.capacity;
        cr_expect_eq(kc_grace_check(&g, &which), KC_ERR_CORRUPT);
        cr_expect_eq(which, 2);
        g.cpu[1].first -= g.capacity;
    }
    finish();
}

Test(grace, agrees_with_the_model_in_any_order_of_calls)
{
    static struct grace_model model;
    uint64_t seed = kc_test_seed();
    for (uint32_t run = 0; run < 4; run++) {
        grace_model_init(&model);
        for (uint32_t i = 0; i < STEPS; i++) {
            uint64_t x = kc_random(&seed);
            uint8_t data[2] = {(uint8_t)(x >> 8), (uint8_t)(x >> 16)};
            struct kc_bytes o = {data, sizeof(data), 0};
            grace_model_step(&model, &o);
            grace_model_check(&model);
        }
        cr_expect_gt(model.free_count, 100);
        grace_model_finish(&model);
    }
}
