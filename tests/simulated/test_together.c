/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every call that a lock makes safe, questions included, on several CPUs at once. Each CPU does a
 * random one of a module's calls, again and again, on objects of its own and on what all share. The
 * machine performs memory in sequence, so values would often be right without the lock: row R1 is
 * the judge of each pair of accesses, the counts at the end are another.
 */
#include <kc/account.h>
#include <kc/aspace.h>
#include <kc/cache.h>
#include <kc/fence.h>
#include <kc/pool.h>
#include <kc/reserve.h>
#include <kc/track.h>

#include "ground.h"
#include "kc_bytes.h"

#define RAM_BYTES KC_MIB(4)
#define ROUNDS    400u
#define HELD      4u
#define BILLED    12u /* more than the table of the account has room for */
#define BLOCKS    300u
#define BURST     (KC_POOL_CPU_BLOCKS + 8u) /* more than a magazine holds: to the stock and back */
#define BLOCK     48u
#define FENCED    2u

static struct {
    struct ground ground;
    struct kc_pool pool;
    struct kc_reserve reserve;
    struct kc_account account;
    struct kc_track track;
    KC_ALIGNED(KC_LINE_BYTES)
    unsigned char memory[KC_POOL_MEMORY_BYTES(BLOCK, 8, BLOCKS, KC_CPUS_MAX)];
    void *slot[8];
    struct kc_account_owner bill[2];
    uint64_t table[KC_ACCOUNT_SLOTS_MIN];
    struct kc_track_owner owners[4];
    struct kc_track_item items[64];
    kc_track_owner_t owner;
    struct kc_asids asids;
    struct kc_aspace space;
    struct kc_area areas[2 * KC_CPUS_MAX];
    struct kc_pt pt;
    struct kc_fence fence;
    struct kc_fence_slot slots[FENCED + 1]; /* the last one is not the fence's */
    struct kc_frame_reclaimer reclaimers[KC_CPUS_MAX];
    struct passed *passed;
    uint64_t seed;
    uint32_t added, cleaned;
    uint32_t wrong;
} all;

static void expect(bool right)
{
    __atomic_fetch_add(&all.wrong, !right, __ATOMIC_RELAXED);
}

static void start(void)
{
    __builtin_memset(&all, 0, sizeof(all));
    all.seed = kc_test_seed();
    ground_start(&all.ground, RAM_BYTES, NULL);
}

static void finish(void)
{
    cr_expect_eq(all.wrong, 0);
    cr_expect_eq(kc_misuse_total(&all.ground.misuse), 0);
    ground_finish(&all.ground);
}

/* A random number below n; each CPU has its own row of them. */
static uint64_t below(uint64_t *seed, uint64_t n)
{
    return kc_random(seed) % n;
}

/* ---- pool ------------------------------------------------------------------------------------ */

/* As many as there are, up to a burst, and all of them back. */
static void burst_of_pool(void)
{
    void *held[BURST];
    uint32_t count = 0;
    while (count < BURST && (held[count] = kc_pool_alloc(&all.pool)) != NULL) {
        count++;
    }
    for (; count > 0; count--) {
        expect(kc_pool_free(&all.pool, held[count - 1]) == KC_OK);
    }
}

/* Any number at once, and back in two parts: what is left of one is less than a transfer. */
static void bulks_of_pool(uint64_t *seed)
{
    void *held[BURST];
    size_t n = 1 + (size_t)below(seed, BURST);
    size_t first = (size_t)below(seed, n + 1);
    uint64_t irq = kc_plat_irq_save();
    if (below(seed, 2) == 0) {
        (void)kc_pool_drain(&all.pool, kc_plat_cpu());
    }
    if (kc_pool_alloc_bulk(&all.pool, n, held)) {
        expect(kc_pool_free_bulk(&all.pool, first, held) == KC_OK);
        expect(kc_pool_free_bulk(&all.pool, n - first, held + first) == KC_OK);
    }
    kc_plat_irq_restore(irq);
}

static void use_pool(uint32_t cpu, void *arg)
{
    uint64_t seed = all.seed + 977 * (uint64_t)cpu;
    void *held[HELD] = {NULL};
    struct kc_pool_stats s;
    (void)arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        void **mine = &held[below(&seed, HELD)];
        switch (below(&seed, 8)) {
        case 7:
            bulks_of_pool(&seed);
            break;
        case 6:
            burst_of_pool();
            break;
        case 0:
            kc_pool_stats(&all.pool, &s);
            expect(s.live <= s.capacity);
            break;
        case 1:
            expect(KC_HARDENING == KC_HARDENING_OFF || *mine == NULL ||
                   kc_pool_is_live(&all.pool, *mine));
            break;
        case 2:
            (void)kc_pool_drain(&all.pool, cpu);
            if (all.pool.cpu_count == 0) {
                uint32_t cursor = 0;
                (void)kc_pool_next_live(&all.pool, &cursor);
            }
            break;
        default:
            if (*mine == NULL) {
                *mine = kc_pool_alloc(&all.pool);
            } else {
                expect(kc_pool_free(&all.pool, *mine) == KC_OK);
                *mine = NULL;
            }
            break;
        }
    }
    expect(kc_pool_free_bulk(&all.pool, 0, held) == KC_OK);
    for (uint32_t i = 0; i < HELD; i++) {
        expect(kc_pool_free(&all.pool, held[i]) == KC_OK);
    }
}

static void pool_of(uint32_t cpu_count)
{
    struct kc_pool_config c = {.name = "p",
                               .memory = all.memory,
                               .memory_bytes = sizeof(all.memory),
                               .block_bytes = BLOCK,
                               .misuse = &all.ground.misuse,
                               .cpu_count = cpu_count};
    start();
    cr_assert_eq(kc_pool_init(&all.pool, &c), KC_OK);
    kc_test_on_cpus(use_pool, NULL);
    cr_expect_eq(kc_pool_check(&all.pool, NULL), KC_OK);
    cr_expect_eq(kc_pool_fini(&all.pool), KC_OK);
    finish();
}

Test(together, pool_with_magazines)
{
    pool_of(kc_test_cpus());
}

Test(together, pool_without_magazines)
{
    pool_of(0);
}

Test(together, pool_where_one_cpu_has_none)
{
    pool_of(kc_test_cpus() - 1);
}

/* ---- heap ------------------------------------------------------------------------------------ */

static void ask_heap(uint64_t *seed, const void *mine)
{
    struct kc_heap_stats s;
    struct kc_frame_stats f;
    struct kc_frame_zone_stats z;
    uint32_t zone = 0;
    switch (below(seed, 8)) {
    case 0:
        kc_heap_stats(&all.ground.heap, &s);
        break;
    case 1:
        (void)kc_heap_shrink(&all.ground.heap);
        break;
    case 2:
        (void)kc_heap_kept(&all.ground.heap);
        break;
    case 3:
        (void)kc_heap_trim(&all.ground.heap, below(seed, 20000));
        break;
    case 4:
        kc_frame_stats(&all.ground.frames, &f);
        (void)kc_frame_owner_frames(&all.ground.frames, KC_FRAME_OWNER_HEAP);
        (void)kc_frames_balance(&all.ground.frames);
        break;
    case 5:
        expect(kc_frame_next_zone(&all.ground.frames, &zone, &z));
        break;
    case 6:
        expect(kc_heap_alloc(&all.ground.heap, 0, 0) == NULL);
        break;
    default:
        expect(mine == NULL || kc_heap_usable(&all.ground.heap, mine) != 0);
        break;
    }
}

/* Of one size, more than a magazine holds: what it has no room for goes to its slab. */
static void burst_of_heap(size_t size)
{
    void *held[KC_CACHE_CPU_OBJECTS + 8u];
    uint32_t count = 0;
    while (count < KC_ARRAY_COUNT(held) &&
           (held[count] = kc_heap_alloc(&all.ground.heap, size, 0)) != NULL) {
        count++;
    }
    for (; count > 0; count--) {
        expect(kc_heap_free(&all.ground.heap, held[count - 1]) == KC_OK);
    }
}

static void use_heap(uint32_t cpu, void *arg)
{
    uint64_t seed = all.seed + 977 * (uint64_t)cpu;
    void *held[HELD] = {NULL};
    (void)arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        void **mine = &held[below(&seed, HELD)];
        uint64_t what = below(&seed, 8);
        size_t size = 1 + (size_t)below(&seed, what < 2 ? 20000 : 700);
        if (what == 7) {
            ask_heap(&seed, *mine);
        } else if (what == 5 && i % 8 == 0) {
            burst_of_heap(64);
        } else if (*mine == NULL) {
            *mine = kc_heap_alloc(&all.ground.heap, size, 0);
        } else if (what == 6) {
            void *moved = kc_heap_resize(&all.ground.heap, *mine, size, 0);
            *mine = moved != NULL ? moved : *mine;
        } else {
            expect(kc_heap_free(&all.ground.heap, *mine) == KC_OK);
            *mine = NULL;
        }
    }
    for (uint32_t i = 0; i < HELD; i++) {
        expect(kc_heap_free(&all.ground.heap, held[i]) == KC_OK);
    }
}

Test(together, heap_and_frames)
{
    start();
    kc_test_on_cpus(use_heap, NULL);
    cr_expect_eq(kc_heap_check(&all.ground.heap, NULL), KC_OK);
    finish();
}

/* ---- frames ---------------------------------------------------------------------------------- */

static uint64_t give_none(void *context, uint64_t frames)
{
    (void)frames;
    expect(context == &all);
    return 0;
}

static void ask_frames(uint64_t *seed)
{
    struct kc_frame_info info;
    uint64_t cursor = 0;
    switch (below(seed, 4)) {
    case 0:
        expect(kc_frames_check(&all.ground.frames, NULL) == KC_OK);
        break;
    case 1:
        while (kc_frame_next_used(&all.ground.frames, &cursor, &info)) {
            expect(info.state != KC_FRAME_FREE);
        }
        break;
    default:
        (void)kc_frames_reclaim(&all.ground.frames, 1);
        break;
    }
}

/* A block that is claimed now and then, and a reclaimer that comes and goes. */
static void use_frames(uint32_t cpu, void *arg)
{
    uint64_t seed = all.seed + 977 * (uint64_t)cpu;
    struct kc_frames *f = &all.ground.frames;
    struct kc_frame_reclaimer *r = &all.reclaimers[cpu];
    const uint32_t order = cpu % 3;
    kc_pa_t pa = kc_pa(0);
    bool has = false, claimed = false, added = false;
    (void)arg;
    r->reclaim = give_none;
    r->context = &all;
    for (uint32_t i = 0; i < ROUNDS || claimed || has || added; i++) {
        switch (below(&seed, 4)) {
        case 0:
            ask_frames(&seed);
            break;
        case 1:
            expect((added ? kc_frames_reclaimer_remove(f, r) : kc_frames_reclaimer_add(f, r)) ==
                   KC_OK);
            added = !added;
            break;
        case 2:
            if (claimed) {
                kc_frame_unclaim(f, pa, order);
            } else if (has) {
                (void)kc_frame_claim(f, pa, order, 1 + cpu);
            }
            claimed = has && !claimed;
            break;
        default:
            if (!has) {
                has = kc_frame_alloc(f, order, 0, KC_FRAME_OWNER_TEST, &pa) == KC_OK;
            } else if (!claimed) {
                expect(kc_frame_free(f, pa, order) == KC_OK);
                has = false;
            }
            break;
        }
    }
}

Test(together, frames)
{
    start();
    kc_test_on_cpus(use_frames, NULL);
    finish();
}

/* ---- cache ----------------------------------------------------------------------------------- */

/* In the machine's RAM: CPUs are switched at accesses there. */
struct passed {
    struct kc_cache cache;
    void *object;
    uint32_t ended;
};

/*
 * The first CPU allocates, the last one frees: an object that was counted in the magazine of the
 * one may be in that of the other when that is counted.
 */
static void pass_objects(uint32_t cpu, void *arg)
{
    struct passed *p = all.passed;
    struct kc_cache_stats s;
    (void)arg;
    for (uint32_t i = 0; cpu == 0 && i < 8 * ROUNDS; i++) {
        void *mine = kc_cache_alloc(&p->cache, 0);
        while (__atomic_load_n(&p->object, __ATOMIC_ACQUIRE) != NULL) {
            kc_plat_relax();
        }
        __atomic_store_n(&p->object, mine, __ATOMIC_RELEASE);
    }
    while (cpu != 0 && __atomic_load_n(&p->ended, __ATOMIC_RELAXED) == 0) {
        if (cpu == kc_test_cpus() - 1) {
            void *passed = __atomic_exchange_n(&p->object, NULL, __ATOMIC_ACQ_REL);
            expect(kc_cache_free(&p->cache, passed) == KC_OK);
            kc_plat_relax();
        } else {
            kc_cache_stats(&p->cache, &s);
            expect(s.live <= s.capacity && s.kept <= s.capacity);
        }
    }
    if (cpu == 0) {
        __atomic_store_n(&p->ended, 1, __ATOMIC_RELAXED);
    }
}

Test(together, cache_counts_while_objects_are_passed_on)
{
    struct kc_cache_config c = {.name = "c",
                                .object_bytes = 200,
                                .misuse = &all.ground.misuse,
                                .cpu_count = kc_test_cpus()};
    start();
    all.passed = (struct passed *)kc_heap_alloc_aligned(&all.ground.heap, sizeof(struct passed),
                                                        KC_LINE_BYTES, KC_HEAP_ZERO);
    cr_assert_not_null(all.passed);
    cr_assert_eq(kc_cache_init(&all.passed->cache, &c, &all.ground.frames), KC_OK);
    kc_test_on_cpus(pass_objects, NULL);
    cr_expect_eq(kc_cache_free(&all.passed->cache, all.passed->object), KC_OK);
    cr_expect_eq(kc_cache_fini(&all.passed->cache), KC_OK);
    cr_expect_eq(kc_heap_free(&all.ground.heap, all.passed), KC_OK);
    finish();
}

/* ---- reserve --------------------------------------------------------------------------------- */

static void use_reserve(uint32_t cpu, void *arg)
{
    uint64_t seed = all.seed + 977 * (uint64_t)cpu;
    void *held = NULL;
    (void)arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct kc_reserve_stats s;
        if (below(&seed, 3) == 0) {
            kc_reserve_stats(&all.reserve, &s);
            expect(s.have <= s.count);
        } else if (held == NULL) {
            /* Now and then frames are short: then the reserve itself serves, and is refilled. */
            if (below(&seed, 2) == 0) {
                kc_frames_fail_run(&all.ground.frames, 0, 2);
            }
            held = kc_reserve_alloc(&all.reserve, KC_HEAP_NO_WAIT);
        } else {
            expect(kc_reserve_free(&all.reserve, held) == KC_OK);
            held = NULL;
        }
    }
    expect(kc_reserve_free(&all.reserve, held) == KC_OK);
}

Test(together, reserve)
{
    struct kc_reserve_config c = {.name = "r",
                                  .size = 9000, /* large: each comes from frames */
                                  .count = KC_ARRAY_COUNT(all.slot),
                                  .slot = all.slot,
                                  .misuse = &all.ground.misuse};
    start();
    cr_assert_eq(kc_reserve_init(&all.reserve, &c, &all.ground.heap), KC_OK);
    kc_test_on_cpus(use_reserve, NULL);
    kc_frames_fail_run(&all.ground.frames, UINT64_MAX, 0);
    cr_expect_eq(kc_reserve_check(&all.reserve, NULL), KC_OK);
    cr_expect_eq(kc_reserve_fini(&all.reserve), KC_OK);
    finish();
}

/* CPUs 0 and 1 free one block at the same time, again and again; another stays out. */
static struct {
    void *block;
    uint32_t ready, done; /* atomic: rounds */
    uint32_t accepted;    /* atomic: frees */
} twice;

static void free_twice(uint32_t cpu, void *arg)
{
    (void)arg;
    for (uint32_t i = 1; i <= ROUNDS / 4 && cpu < 2; i++) {
        if (cpu == 0) {
            twice.block = kc_reserve_alloc(&all.reserve, 0);
            expect(twice.block != NULL);
            __atomic_store_n(&twice.ready, i, __ATOMIC_RELEASE);
        }
        while (__atomic_load_n(&twice.ready, __ATOMIC_ACQUIRE) < i) {
            kc_plat_relax();
        }
        bool freed = kc_reserve_free(&all.reserve, twice.block) == KC_OK;
        __atomic_fetch_add(&twice.accepted, freed, __ATOMIC_RELAXED);
        __atomic_fetch_add(&twice.done, 1, __ATOMIC_ACQ_REL);
        while (__atomic_load_n(&twice.done, __ATOMIC_ACQUIRE) < 2 * i) {
            kc_plat_relax();
        }
    }
}

Test(together, frees_of_one_block_of_a_reserve_take_it_back_once)
{
    /* Large, so that the heap takes one of the two. */
    struct kc_reserve_config c = {
        .name = "r", .size = 9000, .count = 4, .slot = all.slot, .misuse = &all.ground.misuse};
    struct kc_reserve_stats s;
    start();
    __builtin_memset(&twice, 0, sizeof(twice));
    cr_assert_eq(kc_reserve_init(&all.reserve, &c, &all.ground.heap), KC_OK);
    void *stays = kc_reserve_alloc(&all.reserve, 0);
    kc_test_on_cpus(free_twice, NULL);
    kc_reserve_stats(&all.reserve, &s);
    cr_expect_eq(s.out, 1);
    cr_expect_eq(twice.accepted, ROUNDS / 4);
    cr_expect_eq(kc_misuse_total(&all.ground.misuse), ROUNDS / 4);
    cr_expect_eq(kc_reserve_check(&all.reserve, NULL), KC_OK);
    cr_expect_eq(kc_reserve_free(&all.reserve, stays), KC_OK);
    cr_expect_eq(kc_reserve_fini(&all.reserve), KC_OK);
    kc_misuse_init(&all.ground.misuse, KC_MISUSE_SILENT);
    finish();
}

/* ---- account --------------------------------------------------------------------------------- */

static void ask_account(uint64_t *seed, const void *mine)
{
    struct kc_account_owner o;
    uint32_t owner, cursor = 0;
    switch (below(seed, 5)) {
    case 0:
        expect(kc_account_owner_stats(&all.account, 0, &o));
        break;
    case 1:
        expect(kc_account_set_quota(&all.account, 1, 100000 + below(seed, 9)) == KC_OK);
        break;
    case 2:
        (void)kc_account_full_count(&all.account);
        break;
    case 3:
        (void)kc_account_next(&all.account, 0, &cursor);
        break;
    default:
        expect(mine == NULL || kc_account_owner_of(&all.account, mine, &owner));
        break;
    }
}

static void use_account(uint32_t cpu, void *arg)
{
    uint64_t seed = all.seed + 977 * (uint64_t)cpu;
    void *held[BILLED] = {NULL};
    (void)arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        void **mine = &held[below(&seed, BILLED)];
        size_t size = 1 + (size_t)below(&seed, 600);
        switch (below(&seed, 6)) {
        case 0:
        case 1:
            ask_account(&seed, *mine);
            break;
        case 2:
            if (*mine != NULL) {
                (void)!kc_account_resize(&all.account, *mine, size, 0, mine);
            }
            break;
        default:
            if (*mine == NULL) {
                (void)!kc_account_alloc(&all.account, cpu % 2, size, 0, mine);
            } else {
                expect(kc_account_free(&all.account, *mine) == KC_OK);
                *mine = NULL;
            }
            break;
        }
    }
    for (uint32_t i = 0; i < BILLED; i++) {
        expect(kc_account_free(&all.account, held[i]) == KC_OK);
    }
}

Test(together, account)
{
    struct kc_account_config c = {.name = "a",
                                  .owner = all.bill,
                                  .slot = all.table,
                                  .owner_count = KC_ARRAY_COUNT(all.bill),
                                  .slot_count = KC_ARRAY_COUNT(all.table),
                                  .misuse = &all.ground.misuse};
    start();
    cr_assert_eq(kc_account_init(&all.account, &c, &all.ground.heap), KC_OK);
    kc_test_on_cpus(use_account, NULL);
    cr_expect_eq(kc_account_check(&all.account, NULL), KC_OK);
    cr_expect_eq(all.bill[0].bytes + all.bill[1].bytes, 0);
    cr_expect_eq(kc_account_fini(&all.account), KC_OK);
    finish();
}

/* ---- tracker --------------------------------------------------------------------------------- */

static void clean(const struct kc_track_resource *r)
{
    (void)r;
    __atomic_fetch_add(&all.cleaned, 1, __ATOMIC_RELAXED);
}

static void ask_tracker(uint64_t *seed)
{
    const struct kc_track_limits limits = {1000 + below(seed, 9), KC_TRACK_NO_LIMIT};
    struct kc_track_owner_stats o;
    struct kc_track_stats s;
    struct kc_track_info info;
    uint32_t cursor = 0;
    switch (below(seed, 6)) {
    case 0:
        expect(kc_track_owner_stats(&all.track, all.owner, &o) == KC_OK);
        break;
    case 1:
        kc_track_stats(&all.track, &s);
        break;
    case 2:
        (void)!kc_track_next(&all.track, &cursor, &info);
        break;
    case 3:
        expect(!kc_track_owner_is_gone(&all.track, all.owner));
        break;
    case 4:
        expect(kc_track_owner_limit(&all.track, all.owner, &limits) == KC_OK);
        break;
    default:
        expect(kc_track_check(&all.track, NULL) == KC_OK);
        break;
    }
}

static void use_tracker(uint32_t cpu, void *arg)
{
    uint64_t seed = all.seed + 977 * (uint64_t)cpu;
    struct kc_track_request rq = {.cleanup = clean};
    kc_track_item_t item[HELD];
    bool live[HELD] = {false};
    (void)arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t mine = (uint32_t)below(&seed, HELD);
        uint64_t what = below(&seed, 6);
        if (what < 2) {
            ask_tracker(&seed);
        } else if (!live[mine]) {
            live[mine] = kc_track_add(&all.track, all.owner, &rq, &item[mine]) == KC_OK;
            __atomic_fetch_add(&all.added, live[mine], __ATOMIC_RELAXED);
        } else if (what == 2) {
            kc_track_owner_t other;
            if (kc_track_owner_add(&all.track, "other", NULL, &other) == KC_OK) {
                expect(kc_track_move(&all.track, item[mine], other) == KC_OK);
                expect(kc_track_owner_kill(&all.track, other, NULL) == KC_OK);
                live[mine] = false;
            }
        } else if (what == 3) {
            expect(kc_track_take(&all.track, item[mine], NULL) == KC_OK);
            __atomic_fetch_sub(&all.added, 1, __ATOMIC_RELAXED);
            live[mine] = false;
        } else {
            expect(kc_track_release(&all.track, item[mine]) == KC_OK);
            live[mine] = false;
        }
    }
}

Test(together, tracker)
{
    struct kc_track_config c = {"t",
                                all.owners,
                                KC_ARRAY_COUNT(all.owners),
                                all.items,
                                KC_ARRAY_COUNT(all.items),
                                &all.ground.misuse};
    start();
    cr_assert_eq(kc_track_init(&all.track, &c), KC_OK);
    cr_assert_eq(kc_track_owner_add(&all.track, "all", NULL, &all.owner), KC_OK);
    kc_test_on_cpus(use_tracker, NULL);
    cr_expect_eq(kc_track_owner_kill(&all.track, all.owner, NULL), KC_OK);
    cr_expect_eq(all.cleaned, all.added);
    cr_expect_eq(kc_track_fini(&all.track), KC_OK);
    finish();
}

/* ---- address space --------------------------------------------------------------------------- */

#define PAGE  UINT64_C(4096)
#define BASE  KC_MIB(2)
#define PAGES 3u

static const struct kc_pt_attr user_rw = {KC_PT_R | KC_PT_W | KC_PT_USER, KC_A64_MEM_NORMAL, false};
static const struct kc_pt_attr user_r = {KC_PT_R | KC_PT_USER, KC_A64_MEM_NORMAL, false};

/* A translation fault of a write from EL0 at level 3. */
static enum kc_aspace_verdict write_fault(uint64_t far)
{
    struct kc_a64_syndrome syndrome;
    kc_a64_esr_decode(UINT64_C(0x92000047), &syndrome);
    return kc_aspace_fault(&all.space, &syndrome, far);
}

/* An area of this CPU's own in the space of all, lazy: pages come with faults, and by hand. */
static void use_space(uint32_t cpu, void *arg)
{
    uint64_t seed = all.seed + 977 * (uint64_t)cpu;
    struct kc_aspace_request rq = {.bytes = PAGES * PAGE, .guard_bytes = PAGE};
    kc_ia_t ia = kc_ia(0);
    bool held = false;
    (void)arg;
    rq.flags = KC_AREA_LAZY;
    rq.attr = user_rw;
    for (uint32_t i = 0; i < ROUNDS / 4; i++) {
        struct kc_area a;
        kc_ia_t at = kc_ia(kc_ia_raw(ia) + below(&seed, PAGES) * PAGE);
        if (!held) {
            held = kc_aspace_reserve(&all.space, &rq, &ia) == KC_OK;
            expect(held);
            continue;
        }
        switch (below(&seed, 7)) {
        case 6:
            if (kc_aspace_map_device(&all.space, kc_pa(KC_GIB(1)), PAGE, &at) == KC_OK) {
                expect(kc_aspace_release(&all.space, at) == KC_OK);
            }
            break;
        case 0:
            expect(kc_aspace_find(&all.space, at, &a) && kc_ia_raw(ia) == a.base);
            break;
        case 1:
            (void)!kc_aspace_unmap(&all.space, at, PAGE);
            break;
        case 2:
            (void)!kc_aspace_protect(&all.space, at, PAGE, user_r);
            break;
        case 3:
            expect(kc_aspace_release(&all.space, ia) == KC_OK);
            held = false;
            break;
        default:
            (void)write_fault(kc_ia_raw(at));
            break;
        }
    }
    expect(!held || kc_aspace_release(&all.space, ia) == KC_OK);
}

Test(together, address_space)
{
    struct kc_aspace_config c = {.kind = KC_ASPACE_USER,
                                 .name = "s",
                                 .frames = &all.ground.frames,
                                 .asids = &all.asids,
                                 .format = {KC_A64_STAGE1, 12, 48, 40, 0, 0, 0},
                                 .base = kc_ia(BASE),
                                 .bytes = KC_MIB(64),
                                 .areas = all.areas,
                                 .area_max = KC_ARRAY_COUNT(all.areas)};
    kc_pa_t root;
    start();
    cr_assert_eq(kc_frame_alloc(&all.ground.frames, 0, KC_FRAME_ZERO, KC_FRAME_OWNER_KERNEL, &root),
                 KC_OK);
    cr_assert_eq(kc_asids_init(&all.asids, 8, root), KC_OK);
    cr_assert_eq(kc_aspace_init(&all.space, &c), KC_OK);
    kc_test_on_cpus(use_space, NULL);
    cr_expect_eq(kc_aspace_check(&all.space, NULL), KC_OK);
    cr_expect_eq(kc_aspace_fini(&all.space), KC_OK);
    cr_expect_eq(kc_frame_free(&all.ground.frames, root, 0), KC_OK);
    finish();
}

/* ---- fence ----------------------------------------------------------------------------------- */

/* Two slots for all CPUs; the fence's tree is in no TTBR, so their objects are not looked at. */
static void use_fence(uint32_t cpu, void *arg)
{
    uint64_t seed = all.seed + 977 * (uint64_t)cpu;
    void *held = NULL;
    void *last_guard = kc_plat_ptr(kc_va(all.fence.base + 2 * FENCED * KC_FRAME_BYTES));
    (void)arg;
    for (uint32_t i = 0; i < ROUNDS / 4; i++) {
        size_t size = 1 + (size_t)below(&seed, 200);
        if (cpu == 0) {
            all.slots[FENCED].offset++;
        } else {
            expect(kc_fence_usable(&all.fence, last_guard) == 0); /* which is no slot's */
        }
        if (held == NULL) {
            held = kc_fence_take(&all.fence, size, 8, 1 + cpu);
        } else if (below(&seed, 3) == 0) {
            expect(kc_fence_usable(&all.fence, held) != 0);
        } else {
            expect(kc_fence_free(&all.fence, held, 1 + cpu) == KC_OK);
            held = NULL;
        }
    }
    expect(kc_fence_free(&all.fence, held, 1 + cpu) == KC_OK);
}

Test(together, fence)
{
    start();
    struct kc_pt_config pc = {.format = {KC_A64_STAGE1, 12, 48, 40, 0, 0, 0},
                              .source = {.frames = &all.ground.frames},
                              .any_asid = true};
    struct kc_aspace_config ac = {.kind = KC_ASPACE_KERNEL,
                                  .name = "k",
                                  .frames = &all.ground.frames,
                                  .kernel_pt = &all.pt,
                                  .base = kc_ia(all.ground.info.dynamic_base),
                                  .bytes = KC_MIB(1),
                                  .areas = all.areas,
                                  .area_max = KC_ARRAY_COUNT(all.areas)};
    struct kc_fence_config fc = {.heap = &all.ground.heap,
                                 .space = &all.space,
                                 .attr = {KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL, true},
                                 .slot = all.slots,
                                 .slot_count = FENCED,
                                 .seed = all.seed,
                                 .misuse = &all.ground.misuse};
    pc.format.upper = 1;
    cr_assert_eq(kc_pt_init(&all.pt, &pc), KC_OK);
    cr_assert_eq(kc_aspace_init(&all.space, &ac), KC_OK);
    cr_assert_eq(kc_fence_init(&all.fence, &fc), KC_OK);
    kc_test_on_cpus(use_fence, NULL);
    cr_expect_eq(kc_fence_check(&all.fence, NULL), KC_OK);
    cr_expect_eq(kc_fence_fini(&all.fence), KC_OK);
    cr_expect_eq(kc_aspace_fini(&all.space), KC_OK);
    cr_expect_eq(kc_pt_fini(&all.pt), KC_OK);
    finish();
}
