/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls that any context may make, made by main code and by the handler of the timer that
 * interrupts it: on the exact machine at any access, elsewhere at calls into the platform.
 *
 * Nouns: a *user* is the main code of a CPU or its handler, with blocks of its own. Both do random
 * steps of one module. Before each step of the main code the timer is set to a moment within it, or
 * shortly behind.
 *
 * I1  a block holds what its user wrote there: no two have the same one.
 * I2  when all blocks are freed, everything is given back: nothing was lost between two users.
 * A lock that a handler waits for, though its own CPU holds it, ends the run: no CPU goes on.
 */
#include <kc/account.h>
#include <kc/grace.h>
#include <kc/pool.h>
#include <kc/reserve.h>
#include <kc/track.h>

#include "ground.h"
#include "kc_bytes.h"
#include "mem/cache_priv.h"

#define RAM_BYTES KC_MIB(8)
#define ROUNDS    1500u
#define HELD      40u /* more than a magazine holds */
#define FEW       8u
#define BLOCK     48u
#define BLOCKS    200u
#define REACH     160u /* ticks from arming to the interrupt, at most; an access takes one */

struct user;

struct module {
    void *(*get)(struct user *u, size_t bytes);
    kc_status_t (*put)(void *p);
    void (*ask)(struct user *u, void *mine); /* some other call; mine may be NULL */
    size_t bytes_most;
    uint32_t held_most;
    void (*first)(struct user *u); /* before each step; or NULL */
};

struct user {
    const struct module *module;
    uint64_t seed;
    uint32_t cpu;
    uint32_t steps;
    uint32_t refused; /* misuse of its own */
    uint64_t stamp;
    void *held[HELD];
};

static struct {
    struct ground ground;
    struct kc_frame_cpu lists[KC_CPUS_MAX];
    struct kc_cache cache;
    struct kc_pool pool;
    struct kc_reserve reserve;
    struct kc_account account;
    struct kc_track track;
    struct kc_grace grace;
    KC_ALIGNED(KC_LINE_BYTES)
    unsigned char memory[KC_POOL_MEMORY_BYTES(BLOCK, 8, BLOCKS, KC_CPUS_MAX)];
    void *slot[KC_CPUS_MAX * 2 * FEW];
    struct kc_account_owner bill[2];
    uint64_t table[16 * KC_ACCOUNT_SLOTS_MIN];
    struct kc_track_owner owners[2];
    struct kc_track_item items[KC_CPUS_MAX * 2 * HELD];
    kc_track_owner_t owner;
    struct kc_grace_entry deferred[KC_CPUS_MAX * HELD];
    struct user main[KC_CPUS_MAX];
    struct user handler[KC_CPUS_MAX];
    uint32_t seen[KC_CPUS_MAX];
    uint32_t wrong;
} all;

static void expect(bool right)
{
    __atomic_fetch_add(&all.wrong, !right, __ATOMIC_RELAXED);
}

static uint64_t below(struct user *u, uint64_t n)
{
    return kc_random(&u->seed) % n;
}

/* ---- users ----------------------------------------------------------------------------------- */

static void take(struct user *u, void **mine)
{
    *mine = u->module->get(u, 8 + (size_t)below(u, u->module->bytes_most - 7));
    if (*mine != NULL) {
        *(uint64_t *)*mine = u->stamp;
    }
}

static void give(struct user *u, void **mine)
{
    if (*mine != NULL) {
        expect(*(uint64_t *)*mine == u->stamp); /* I1 */
        *(uint64_t *)*mine = 0;
        expect(u->module->put(*mine) == KC_OK);
        *mine = NULL;
    }
}

static void step(struct user *u)
{
    void **mine = &u->held[below(u, u->module->held_most)];
    uint64_t what = below(u, 8);
    u->steps++;
    if (u->module->first != NULL) {
        u->module->first(u);
    }
    if (what == 0) {
        u->module->ask(u, *mine);
    } else if (*mine == NULL) {
        take(u, mine);
    } else {
        give(u, mine);
    }
}

/* All that there is room for, and all back. */
static void burst(struct user *u)
{
    for (uint32_t i = 0; i < u->module->held_most; i++) {
        if (u->held[i] == NULL) {
            take(u, &u->held[i]);
        }
    }
    for (uint32_t i = 0; i < HELD; i++) {
        give(u, &u->held[i]);
    }
}

static void handle(uint32_t cpu, void *arg)
{
    (void)arg;
    step(&all.handler[cpu]);
}

static void run(uint32_t cpu, void *arg)
{
    struct user *u = &all.main[cpu];
    uint64_t masked = kc_plat_irq_save(); /* but for CPU 0, as a CPU starts */
    (void)arg;
    kc_plat_irq_restore(0);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        kc_plat_timer(kc_plat_ticks() + 1 + below(u, REACH));
        if (i % 64 == 63) {
            burst(u);
        } else {
            step(u);
        }
    }
    kc_plat_timer(UINT64_MAX);
    (void)kc_plat_irq_save();
    for (uint32_t i = 0; i < HELD; i++) {
        give(u, &u->held[i]);
        give(&all.handler[cpu], &all.handler[cpu].held[i]);
    }
    kc_plat_irq_restore(masked);
}

static void start(void)
{
    __builtin_memset(&all, 0, sizeof(all));
    ground_start(&all.ground, RAM_BYTES, all.lists);
}

static void run_all(const struct module *m)
{
    for (uint32_t i = 0; i < kc_test_cpus(); i++) {
        all.main[i] = (struct user){.module = m, .cpu = i, .stamp = 2 * (uint64_t)i + 2};
        all.handler[i] = (struct user){.module = m, .cpu = i, .stamp = 2 * (uint64_t)i + 3};
        all.main[i].seed = kc_test_seed() + 977 * (uint64_t)i;
        all.handler[i].seed = ~all.main[i].seed;
    }
    kc_test_on_timer(handle, NULL);
    kc_test_on_cpus(run, NULL);
    kc_test_on_timer(NULL, NULL);
    uint64_t refused = 0;
    for (uint32_t i = 0; i < kc_test_cpus(); i++) {
        cr_expect_gt(all.handler[i].steps, ROUNDS / 8, "CPU %u: %u", i, all.handler[i].steps);
        refused += all.main[i].refused + all.handler[i].refused;
    }
    cr_expect_eq(all.wrong, 0);
    cr_expect_eq(kc_misuse_total(&all.ground.misuse), refused);
}

/* I2. */
static void finish(void)
{
    ground_finish(&all.ground);
}

/* ---- pool ------------------------------------------------------------------------------------ */

static void *pool_get(struct user *u, size_t bytes)
{
    (void)u;
    (void)bytes;
    return kc_pool_alloc(&all.pool);
}

static kc_status_t pool_put(void *p)
{
    return kc_pool_free(&all.pool, p);
}

static void pool_ask(struct user *u, void *mine)
{
    struct kc_pool_stats s;
    uint32_t cursor = (uint32_t)below(u, BLOCKS);
    kc_pool_stats(&all.pool, &s);
    expect(s.live <= s.capacity);
    if (all.pool.cpu_count == 0) {
        (void)kc_pool_next_live(&all.pool, &cursor);
    }
    (void)kc_pool_drain(&all.pool, u->cpu);
    expect(KC_HARDENING == KC_HARDENING_OFF || mine == NULL || kc_pool_is_live(&all.pool, mine));
}

static void pool_of(uint32_t cpu_count)
{
    static const struct module pool = {pool_get, pool_put, pool_ask, BLOCK, HELD, NULL};
    struct kc_pool_config c = {.name = "p",
                               .memory = all.memory,
                               .memory_bytes = sizeof(all.memory),
                               .block_bytes = BLOCK,
                               .misuse = &all.ground.misuse,
                               .cpu_count = cpu_count};
    start();
    cr_assert_eq(kc_pool_init(&all.pool, &c), KC_OK);
    run_all(&pool);
    cr_expect_eq(kc_pool_check(&all.pool, NULL), KC_OK);
    cr_expect_eq(kc_pool_fini(&all.pool), KC_OK);
    finish();
}

Test(handlers, pool_with_magazines)
{
    pool_of(kc_test_cpus());
}

Test(handlers, pool_without_magazines)
{
    pool_of(0);
}

/* ---- cache and heap -------------------------------------------------------------------------- */

static void *cache_get(struct user *u, size_t bytes)
{
    (void)bytes;
    return kc_cache_alloc(&all.cache, below(u, 8) == 0 ? KC_CACHE_ZERO : 0);
}

static kc_status_t cache_put(void *p)
{
    return kc_cache_free(&all.cache, p);
}

static void cache_ask(struct user *u, void *mine)
{
    struct kc_cache_stats s;
    (void)mine;
    switch (below(u, 4)) {
    case 0:
        (void)kc_cache_shrink(&all.cache);
        break;
    case 1:
        (void)kc_cache_drain(&all.cache, u->cpu);
        break;
    case 2:
        expect(kc_cache_free(&all.cache, &all) == KC_ERR_RANGE);
        u->refused++;
        break;
    default:
        kc_cache_stats(&all.cache, &s);
        break;
    }
}

static void cache_of(uint32_t cpu_count)
{
    static const struct module cache = {cache_get, cache_put, cache_ask, 208, HELD, NULL};
    struct kc_cache_config c = {
        .name = "c", .object_bytes = 208, .misuse = &all.ground.misuse, .cpu_count = cpu_count};
    start();
    cr_assert_eq(kc_cache_init(&all.cache, &c, &all.ground.frames), KC_OK);
    run_all(&cache);
    cr_expect_eq(kc_cache_check(&all.cache, NULL), KC_OK);
    cr_expect_eq(kc_cache_fini(&all.cache), KC_OK);
    finish();
}

Test(handlers, cache_with_magazines)
{
    cache_of(kc_test_cpus());
}

Test(handlers, cache_without_magazines)
{
    cache_of(0);
}

/* A full magazine is drained; a free that interrupts gives the CPU another, with room for more. */
static void *late; /* freed by the handler; NULL: it was */

static void free_late(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    void *p = late;
    late = NULL;
    expect(kc_cache_free(&all.cache, p) == KC_OK);
}

Test(handlers, drain_while_the_magazine_is_replaced)
{
    uint32_t cpu = kc_plat_cpu();
    struct kc_cache_config c = {
        .name = "c", .object_bytes = 64, .misuse = &all.ground.misuse, .cpu_count = cpu + 1};
    start();
    uint64_t masked = kc_plat_irq_save();
    kc_plat_irq_restore(0);
    kc_test_on_timer(free_late, NULL);
    for (uint32_t ticks = 1; ticks < 60; ticks++) {
        void *p[12];
        uint32_t n = 0;
        cr_assert_eq(kc_cache_init(&all.cache, &c, &all.ground.frames), KC_OK);
        for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
            p[i] = kc_cache_alloc(&all.cache, 0);
        }
        struct kc_cache_cpu *m = all.cache.cpu[cpu];
        m->limit = m->room;
        while (KC_MAG_IS_USED && kc_mag_count(&m->mag) < m->room) {
            cr_assert_lt(n + 1, KC_ARRAY_COUNT(p));
            cr_assert_eq(kc_cache_free(&all.cache, p[n++]), KC_OK);
        }
        m->slow_left = 0; /* full so often that the next free gives the CPU a greater one */
        late = p[n++];
        kc_plat_timer(kc_plat_ticks() + ticks);
        (void)kc_cache_drain(&all.cache, cpu);
        kc_plat_timer(UINT64_MAX);
        free_late(cpu, NULL); /* if it was not interrupted */
        cr_expect_eq(kc_cache_check(&all.cache, NULL), KC_OK, "%u ticks", ticks);
        for (; n < KC_ARRAY_COUNT(p); n++) {
            cr_expect_eq(kc_cache_free(&all.cache, p[n]), KC_OK);
        }
        cr_assert_eq(kc_cache_fini(&all.cache), KC_OK);
    }
    kc_test_on_timer(NULL, NULL);
    (void)kc_plat_irq_save();
    kc_plat_irq_restore(masked);
    cr_expect_eq(all.wrong, 0);
    finish();
}

static void *heap_get(struct user *u, size_t bytes)
{
    return kc_heap_alloc(&all.ground.heap, below(u, 8) == 0 ? 16 * bytes : bytes, 0);
}

static kc_status_t heap_put(void *p)
{
    return kc_heap_free(&all.ground.heap, p);
}

static void heap_ask(struct user *u, void *mine)
{
    struct kc_heap_stats s;
    switch (below(u, 5)) {
    case 0:
        kc_heap_stats(&all.ground.heap, &s);
        break;
    case 1:
        (void)kc_heap_shrink(&all.ground.heap);
        break;
    case 2:
        (void)kc_heap_trim(&all.ground.heap, below(u, 20000));
        break;
    case 3:
        if (mine != NULL) {
            (void)!kc_heap_try_resize(&all.ground.heap, mine, 8 + (size_t)below(u, 9000), 0);
        }
        break;
    default:
        expect(mine == NULL || kc_heap_usable(&all.ground.heap, mine) != 0);
        break;
    }
}

Test(handlers, heap)
{
    static const struct module heap = {heap_get, heap_put, heap_ask, 700, HELD, NULL};
    start();
    run_all(&heap);
    finish();
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void *frame_get(struct user *u, size_t bytes)
{
    kc_pa_t pa;
    uint32_t flags = below(u, 4) == 0 ? KC_FRAME_ZERO : 0;
    (void)bytes;
    return kc_frame_alloc(&all.ground.frames, 0, flags, KC_FRAME_OWNER_TEST, &pa) == KC_OK
               ? kc_plat_ram(pa)
               : NULL;
}

static kc_status_t frame_put(void *p)
{
    return kc_frame_free(&all.ground.frames, kc_plat_ram_pa(p), 0);
}

static void frame_ask(struct user *u, void *mine)
{
    struct kc_frame_stats s;
    kc_pa_t pa;
    switch (below(u, 4)) {
    case 0:
        kc_frame_stats(&all.ground.frames, &s);
        break;
    case 2:
        (void)kc_frames_drain(&all.ground.frames, u->cpu);
        break;
    case 1:
        if (kc_frame_alloc(&all.ground.frames, 1, 0, KC_FRAME_OWNER_TEST, &pa) == KC_OK) {
            expect(kc_frame_free(&all.ground.frames, pa, 1) == KC_OK);
        }
        break;
    default:
        if (mine != NULL) {
            bool freed = true;
            expect(kc_frame_get(&all.ground.frames, kc_plat_ram_pa(mine)) == KC_OK);
            expect(kc_frame_put(&all.ground.frames, kc_plat_ram_pa(mine), &freed) == KC_OK &&
                   !freed);
        }
        break;
    }
}

Test(handlers, frames)
{
    static const struct module frame = {frame_get, frame_put, frame_ask, 4096, HELD, NULL};
    start();
    run_all(&frame);
    for (uint32_t i = 0; i < kc_test_cpus(); i++) {
        cr_expect_leq(kc_frames_drain(&all.ground.frames, i), KC_FRAME_CPU_KEEPS);
    }
    finish();
}

/* ---- reserve --------------------------------------------------------------------------------- */

static void *reserve_get(struct user *u, size_t bytes)
{
    (void)bytes;
    if (below(u, 4) == 0) { /* frames are short: the reserve itself serves */
        kc_frames_fail_run(&all.ground.frames, 0, 2);
    }
    return kc_reserve_alloc(&all.reserve, KC_HEAP_NO_WAIT);
}

static kc_status_t reserve_put(void *p)
{
    return kc_reserve_free(&all.reserve, p);
}

static void reserve_ask(struct user *u, void *mine)
{
    struct kc_reserve_stats s;
    (void)u;
    (void)mine;
    kc_reserve_stats(&all.reserve, &s);
    expect(s.have <= s.count);
}

Test(handlers, reserve)
{
    static const struct module reserve = {reserve_get, reserve_put, reserve_ask, 5000, FEW, NULL};
    struct kc_reserve_config c = {.name = "r",
                                  .size = 5000, /* large: each comes from frames */
                                  .count = kc_test_cpus() * 2 * FEW,
                                  .slot = all.slot,
                                  .misuse = &all.ground.misuse};
    start();
    cr_assert_eq(kc_reserve_init(&all.reserve, &c, &all.ground.heap), KC_OK);
    run_all(&reserve);
    kc_frames_fail_run(&all.ground.frames, UINT64_MAX, 0);
    cr_expect_eq(kc_reserve_check(&all.reserve, NULL), KC_OK);
    cr_expect_eq(kc_reserve_fini(&all.reserve), KC_OK);
    finish();
}

/* ---- account --------------------------------------------------------------------------------- */

static void *account_get(struct user *u, size_t bytes)
{
    void *p = NULL;
    (void)!kc_account_alloc(&all.account, u->cpu % 2, bytes, 0, &p);
    return p;
}

static kc_status_t account_put(void *p)
{
    return kc_account_free(&all.account, p);
}

static void account_ask(struct user *u, void *mine)
{
    struct kc_account_owner o;
    uint32_t owner, cursor = 0;
    switch (below(u, 4)) {
    case 0:
        expect(kc_account_owner_stats(&all.account, 0, &o));
        break;
    case 1:
        expect(kc_account_set_quota(&all.account, 1, 1000000 + below(u, 9)) == KC_OK);
        break;
    case 2:
        (void)kc_account_full_count(&all.account);
        (void)kc_account_next(&all.account, 0, &cursor);
        break;
    default:
        expect(mine == NULL || kc_account_owner_of(&all.account, mine, &owner));
        break;
    }
}

Test(handlers, account)
{
    static const struct module account = {account_get, account_put, account_ask, 600, HELD, NULL};
    struct kc_account_config c = {.name = "a",
                                  .owner = all.bill,
                                  .slot = all.table,
                                  .owner_count = KC_ARRAY_COUNT(all.bill),
                                  .slot_count = KC_ARRAY_COUNT(all.table),
                                  .misuse = &all.ground.misuse};
    start();
    cr_assert_eq(kc_account_init(&all.account, &c, &all.ground.heap), KC_OK);
    run_all(&account);
    cr_expect_eq(kc_account_check(&all.account, NULL), KC_OK);
    cr_expect_eq(all.bill[0].bytes + all.bill[1].bytes, 0);
    cr_expect_eq(kc_account_fini(&all.account), KC_OK);
    finish();
}

/* ---- tracker --------------------------------------------------------------------------------- */

/* A tracked item is a block that tells which. */
struct tracked {
    uint64_t stamp;
    kc_track_item_t item;
};

static void *track_get(struct user *u, size_t bytes)
{
    struct kc_track_request rq = {.cleanup = NULL};
    struct tracked *t = (struct tracked *)kc_heap_alloc(&all.ground.heap, sizeof(*t), 0);
    (void)u;
    (void)bytes;
    if (t != NULL && kc_track_add(&all.track, all.owner, &rq, &t->item) != KC_OK) {
        expect(kc_heap_free(&all.ground.heap, t) == KC_OK);
        return NULL;
    }
    return t;
}

static kc_status_t track_put(void *p)
{
    struct tracked *t = (struct tracked *)p;
    kc_status_t s = kc_track_take(&all.track, t->item, NULL);
    return s == KC_OK ? kc_heap_free(&all.ground.heap, t) : s;
}

static void track_ask(struct user *u, void *mine)
{
    const struct kc_track_limits limits = {1000 + below(u, 9), KC_TRACK_NO_LIMIT};
    struct kc_track_owner_stats o;
    struct kc_track_stats s;
    (void)mine;
    switch (below(u, 4)) {
    case 0:
        expect(kc_track_owner_stats(&all.track, all.owner, &o) == KC_OK);
        break;
    case 1:
        kc_track_stats(&all.track, &s);
        break;
    case 2:
        expect(!kc_track_owner_is_gone(&all.track, all.owner));
        break;
    default:
        expect(kc_track_owner_limit(&all.track, all.owner, &limits) == KC_OK);
        break;
    }
}

Test(handlers, tracker)
{
    static const struct module track = {track_get, track_put, track_ask, 8, HELD, NULL};
    start();
    struct kc_track_config c = {"t",
                                all.owners,
                                KC_ARRAY_COUNT(all.owners),
                                all.items,
                                KC_ARRAY_COUNT(all.items),
                                &all.ground.misuse};
    cr_assert_eq(kc_track_init(&all.track, &c), KC_OK);
    cr_assert_eq(kc_track_owner_add(&all.track, "all", NULL, &all.owner), KC_OK);
    run_all(&track);
    cr_expect_eq(kc_track_owner_kill(&all.track, all.owner, NULL), KC_OK);
    cr_expect_eq(kc_track_fini(&all.track), KC_OK);
    finish();
}

/* ---- grace ----------------------------------------------------------------------------------- */

/* Where it cannot wait, for the CPU is off line or has no room, nobody reads it either. */
static kc_status_t grace_put(void *p)
{
    kc_status_t s = kc_grace_free(&all.grace, kc_grace_heap(&all.ground.heap), p);
    return s == KC_ERR_NOMEM || s == KC_ERR_STATE ? kc_heap_free(&all.ground.heap, p) : s;
}

/* What the CPU has reported never goes back, whoever of the two reports. */
static void report(struct user *u)
{
    (void)kc_grace_quiescent(&all.grace, u->cpu);
    uint64_t irq = kc_plat_irq_save();
    uint32_t seen = __atomic_load_n(&all.grace.cpu[u->cpu].seen, __ATOMIC_RELAXED);
    expect((int32_t)(seen - all.seen[u->cpu]) >= 0);
    all.seen[u->cpu] = seen;
    kc_plat_irq_restore(irq);
}

static void grace_ask(struct user *u, void *mine)
{
    struct kc_grace_stats s;
    (void)mine;
    kc_grace_stats(&all.grace, &s);
    if (u == &all.main[u->cpu]) {
        expect(kc_grace_offline(&all.grace, u->cpu) == KC_OK);
        kc_plat_relax();
        expect(kc_grace_online(&all.grace, u->cpu) == KC_OK);
    }
}

/* Twice: the second report may be of an epoch that the first one began. */
static void grace_first(struct user *u)
{
    report(u);
    report(u);
    (void)kc_grace_reclaim(&all.grace, u->cpu);
}

static void on_line(uint32_t cpu, void *arg)
{
    (void)arg;
    expect(kc_grace_online(&all.grace, cpu) == KC_OK);
    all.seen[cpu] = all.grace.cpu[cpu].seen;
}

Test(handlers, grace)
{
    static const struct module grace = {heap_get, grace_put, grace_ask, 300, HELD, grace_first};
    struct kc_grace_config c = {.name = "g",
                                .entry = all.deferred,
                                .queue_entries = HELD,
                                .cpu_count = kc_test_cpus(),
                                .misuse = &all.ground.misuse};
    start();
    cr_assert_eq(kc_grace_init(&all.grace, &c), KC_OK);
    kc_test_on_cpus(on_line, NULL);
    run_all(&grace);
    while (kc_grace_drain(&all.grace) != 0) {
    }
    cr_expect_eq(kc_grace_fini(&all.grace), KC_OK);
    finish();
}
