/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame from several threads while memory is added piece by piece, and reclaimers come and go, with
 * and without lists of CPUs: for TSan, and for what must hold at the end. Memory is short all the
 * time, for all of it is taken.
 */
#include <kc_test.h>

#include <pthread.h>

#include <kc/frame.h>

#include <host.h>
#include <host_ram.h>
#include <kc_bytes.h>

#define THREADS 4u
#define ROUNDS  6000u
#define PIECES  24u
#define PIECE   (512 * 1024u)
#define RAM     (2 * 1024 * 1024u + PIECES * PIECE)
#define MINE    1500u /* frames that a thread holds at most: four times that is more than all */
#define OWNER   KC_FRAME_OWNER_TEST

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;
static struct kc_frame_cpu lists[THREADS];
static bool listed; /* each thread has a list */
static uint32_t wrong, added;
static uint64_t thread_seed[THREADS];

/* A thread, and what it can be asked for: one frame in a slot that anybody may empty. */
struct thread {
    struct kc_frame_reclaimer r;
    uint64_t spare; /* atomic: address of a frame, or 0 */
    bool there;     /* its reclaimer is in the list */
    kc_pa_t mine[MINE];
    uint32_t count;
};
static struct thread threads[THREADS];

static void note_wrong(bool is_wrong)
{
    if (is_wrong) {
        __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
    }
}

static uint64_t give_spare(void *context, uint64_t wanted)
{
    struct thread *t = context;
    (void)wanted;
    /* A reclaimer that is not in the list is never called. */
    note_wrong(!__atomic_load_n(&t->there, __ATOMIC_RELAXED));
    uint64_t pa = __atomic_exchange_n(&t->spare, 0, __ATOMIC_ACQ_REL);
    if (pa == 0) {
        return 0;
    }
    note_wrong(kc_frame_free(&frames, kc_pa(pa), 0) != KC_OK);
    return 1;
}

static void come_or_go(struct thread *t)
{
    if (t->there) {
        note_wrong(kc_frames_reclaimer_remove(&frames, &t->r) != KC_OK);
        __atomic_store_n(&t->there, false, __ATOMIC_RELAXED);
    } else {
        __atomic_store_n(&t->there, true, __ATOMIC_RELAXED);
        note_wrong(kc_frames_reclaimer_add(&frames, &t->r) != KC_OK);
    }
}

/* Thread 0 adds the next piece. */
static void add_piece(void)
{
    kc_pa_t base = kc_pa(HOST_RAM_BASE + RAM - (uint64_t)(added + 1) * PIECE);
    note_wrong(kc_frames_add(&frames, base, PIECE) != KC_OK);
    note_wrong(kc_frames_add(&frames, base, PIECE) != KC_ERR_EXISTS);
    added++;
}

/* What is claimed is found at once, wherever its memory came from; other addresses do no harm. */
static void claim_and_find(uint64_t x)
{
    kc_pa_t pa;
    struct kc_frame_found found;
    uint32_t order = (uint32_t)(x % 3);
    if (kc_frame_alloc(&frames, order, 0, OWNER, &pa) != KC_OK) {
        return;
    }
    struct kc_frame *r = kc_frame_claim(&frames, pa, order, x | 1);
    kc_pa_t inside = kc_pa(kc_pa_raw(pa) + (x >> 8) % ((uint64_t)KC_FRAME_BYTES << order));
    note_wrong(!kc_frame_find(&frames, inside, &found) || found.record != r ||
               found.data != (x | 1) || !kc_pa_eq(found.base, pa));
    uint32_t index = kc_frame_index(&frames, r);
    note_wrong(kc_frame_at(&frames, index) != r ||
               !kc_pa_eq(kc_frame_index_pa(&frames, index), pa));
    (void)!kc_frame_find(&frames, kc_pa(HOST_RAM_BASE + (x >> 16) % RAM), &found);
    kc_frame_unclaim(&frames, pa, order);
    note_wrong(kc_frame_free(&frames, pa, order) != KC_OK);
}

/* One more frame for the thread; what it holds is its own alone. */
static void get_one(struct thread *t, uint64_t x)
{
    kc_pa_t pa;
    uint32_t flags = (x >> 20) % 4 == 0 ? KC_FRAME_ZERO : 0;
    if (kc_frame_alloc(&frames, 0, flags, OWNER, &pa) != KC_OK) {
        return;
    }
    uint64_t *word = kc_plat_ram(pa);
    note_wrong(flags != 0 && (word[0] != 0 || word[KC_FRAME_BYTES / sizeof(*word) - 1] != 0));
    word[0] = word[KC_FRAME_BYTES / sizeof(*word) - 1] = x | 1;
    t->mine[t->count++] = pa;
}

static void *work(void *arg)
{
    uint32_t me = (uint32_t)(uintptr_t)arg;
    struct thread *t = &threads[me];
    uint64_t seed = thread_seed[me];
    host_cpu_set(me);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint64_t x = kc_random(&seed);
        if (me == 0 && i % (ROUNDS / PIECES) == 0 && added < PIECES) {
            add_piece();
        }
        if (x % 64 == 0) {
            come_or_go(t);
        } else if (x % 4 == 1) {
            claim_and_find(x >> 8);
        } else if (x % 4 == 2 && t->count > 0) {
            /* Into the slot, for whoever needs one. */
            uint64_t old =
                __atomic_exchange_n(&t->spare, kc_pa_raw(t->mine[--t->count]), __ATOMIC_ACQ_REL);
            note_wrong(old != 0 && kc_frame_free(&frames, kc_pa(old), 0) != KC_OK);
        } else if (t->count < MINE) {
            get_one(t, x);
        }
        if (x % 512 == 3) {
            note_wrong(!listed && kc_frames_check(&frames, NULL) != KC_OK);
            (void)kc_frames_balance(&frames);
            (void)kc_frames_prezero(&frames, (uint32_t)(x >> 16) % 4);
        }
        if (x % 128 == 7) {
            note_wrong(kc_frames_drain(&frames, me) > KC_FRAME_CPU_KEEPS);
        }
    }
    if (t->there) {
        come_or_go(t);
    }
    return NULL;
}

/* The tests may be run one after the other in one process. */
static void start(bool with_lists)
{
    listed = with_lists;
    wrong = added = 0;
    __builtin_memset(threads, 0, sizeof(threads));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(host_ram_create(RAM, &info), KC_OK);
    info.range[0].size = RAM - PIECES * PIECE;
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    cr_assert_eq(kc_frames_set_cpus(&frames, lists, listed ? THREADS : 0), KC_OK);
}

static void add_and_reclaim(bool with_lists)
{
    pthread_t thread[THREADS];
    uint64_t seed = kc_test_seed();
    struct kc_frame_stats s;
    struct kc_frame_marks marks = {2, 64, 128, 0, 0};
    start(with_lists);
    cr_assert_eq(kc_frames_set_marks(&frames, &marks), KC_OK);
    for (uint32_t i = 0; i < THREADS; i++) {
        threads[i].r.reclaim = give_spare;
        threads[i].r.context = &threads[i];
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
    for (uint32_t i = 0; i < THREADS; i++) {
        struct thread *t = &threads[i];
        if (t->spare != 0) {
            cr_expect_eq(kc_frame_free(&frames, kc_pa(t->spare), 0), KC_OK);
        }
        while (t->count > 0) {
            cr_expect_eq(kc_frame_free(&frames, t->mine[--t->count], 0), KC_OK);
        }
    }
    cr_expect_eq(wrong, 0);
    cr_expect_eq(added, PIECES);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
    kc_frame_stats(&frames, &s);
    cr_expect_eq(s.used_frames, 0);
    cr_expect_gt(s.reclaimed_frames, 0);
    cr_expect_eq(kc_frames_check(&frames, NULL), KC_OK);
    cr_expect_eq(kc_frames_fini(&frames), KC_OK);
    host_ram_destroy();
}

Test(frame_threads, memory_is_added_and_reclaimed_while_others_look_up)
{
    add_and_reclaim(false);
}

Test(frame_threads, memory_is_added_and_reclaimed_past_lists)
{
    add_and_reclaim(true);
}

/* ---- wrong frees that race ------------------------------------------------------------------ */

#define RACES 3000u

static pthread_barrier_t gate;
static kc_pa_t raced;
static uint32_t accepted;

/* Both free the same frame at the same time; one of them is wrong. */
static void *race(void *arg)
{
    uint32_t me = (uint32_t)(uintptr_t)arg;
    host_cpu_set(me);
    for (uint32_t i = 0; i < RACES; i++) {
        if (me == 0) {
            note_wrong(kc_frame_alloc(&frames, 0, 0, OWNER, &raced) != KC_OK);
        }
        (void)pthread_barrier_wait(&gate);
        if (kc_frame_free(&frames, raced, 0) == KC_OK) {
            __atomic_fetch_add(&accepted, 1, __ATOMIC_RELAXED);
        }
        (void)pthread_barrier_wait(&gate);
    }
    return NULL;
}

Test(frame_threads, each_wrong_free_of_a_race_is_reported_once)
{
    pthread_t other;
    struct kc_frame_stats s;
    start(true);
    accepted = 0;
    cr_assert_eq(pthread_barrier_init(&gate, NULL, 2), 0);
    cr_assert_eq(pthread_create(&other, NULL, race, (void *)(uintptr_t)1), 0);
    (void)race(NULL);
    cr_assert_eq(pthread_join(other, NULL), 0);
    host_cpu_set(0);
    for (uint32_t i = 0; i < THREADS; i++) {
        (void)kc_frames_drain(&frames, i);
    }
    cr_expect_eq(wrong, 0);
    cr_expect_geq(accepted, RACES);
    cr_expect_geq(kc_misuse_total(&misuse), RACES - (accepted - RACES)); /* those at once */
    cr_expect_leq(kc_misuse_total(&misuse), RACES);
    kc_frame_stats(&frames, &s);
    cr_expect_eq(s.used_frames, 0);
    cr_expect_eq(s.free_count, RACES);
    cr_expect_eq(kc_frame_owner_frames(&frames, OWNER), 0);
    cr_expect_eq(kc_frames_check(&frames, NULL), KC_OK);
    cr_expect_eq(kc_frames_fini(&frames), KC_OK);
    host_ram_destroy();
}
