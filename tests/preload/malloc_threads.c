/* SPDX-License-Identifier: BSD-2-Clause */
/* malloc() of many threads, and forks among them. */
#define _GNU_SOURCE
#include "malloc_cases.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guard.h"

/* What the analyser finds here is what is tried. */
/* NOLINTBEGIN(clang-analyzer-unix.Malloc,clang-analyzer-optin.portability.UnixAPI) */
/* NOLINTBEGIN(clang-analyzer-core.NullDereference) */

/* ---- threads -------------------------------------------------------------------------------- */

static void start_threads(pthread_t *t, unsigned count, void *(*run)(void *), void *arg)
{
    for (unsigned i = 0; i < count; i++) {
        int failed = pthread_create(&t[i], NULL, run, arg);
        if (failed != 0) {
            printf("Bail out! pthread_create: %s\n", strerror(failed));
            exit(1);
        }
    }
}

static void join_threads(pthread_t *t, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        EXPECT(pthread_join(t[i], NULL) == 0);
    }
}

#define MAILBOXES 256u
static struct shadow *mailboxes[MAILBOXES]; /* atomic: blocks on their way to another thread */
static uint64_t thread_number;

/* Steps of its own, and every fourth block is freed by whoever finds it. */
static void *stress(void *arg)
{
    struct shadow slots[64] = {{NULL, 0, 0}};
    uint64_t s = malloc_seed + __atomic_fetch_add(&thread_number, 1, __ATOMIC_RELAXED) * 977;
    unsigned rounds = (unsigned)(uintptr_t)arg;
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t x = next_random(&s);
        step(&slots[(x >> 40) % COUNT(slots)], x);
        if (x % 4 == 0) {
            struct shadow *mine = malloc(sizeof(*mine) + x % 200);
            EXPECT(mine != NULL);
            mine->n = random_size(x >> 9) % KIB(20);
            mine->p = malloc(mine->n);
            fill(mine->p, mine->n, mine);
            struct shadow *theirs =
                __atomic_exchange_n(&mailboxes[(x >> 50) % MAILBOXES], mine, __ATOMIC_ACQ_REL);
            if (theirs != NULL) {
                EXPECT(is_filled(theirs->p, theirs->n, theirs));
                free(theirs->p);
                free(theirs);
            }
        }
    }
    drain(slots, COUNT(slots));
    return NULL;
}

static void empty_mailboxes(void)
{
    for (unsigned i = 0; i < MAILBOXES; i++) {
        if (mailboxes[i] != NULL) {
            free(mailboxes[i]->p);
            free(mailboxes[i]);
            mailboxes[i] = NULL;
        }
    }
}

void threads_agree_with_their_shadows(void)
{
    pthread_t t[8];
    start_threads(t, COUNT(t), stress, (void *)(uintptr_t)12000);
    join_threads(t, COUNT(t));
    empty_mailboxes();
}

void more_threads_than_cpus_agree_too(void)
{
    static pthread_t t[150];
    start_threads(t, COUNT(t), stress, (void *)(uintptr_t)300);
    join_threads(t, COUNT(t));
    empty_mailboxes();
}

static pthread_key_t late_key;

/* Allocates in every round of destructors that the system grants, after the heap's own. */
static void late(void *value)
{
    uintptr_t left = (uintptr_t)value;
    void *p = hide(malloc(left * 100));
    EXPECT(p != NULL);
    free(p);
    if (left > 1) {
        pthread_setspecific(late_key, (void *)(left - 1));
    }
}

static void *brief(void *arg)
{
    void **keep = arg;
    void *p = hide(malloc(64));
    EXPECT(p != NULL);
    fill(p, 64, p);
    pthread_setspecific(late_key, (void *)3);
    if (keep != NULL) {
        free(__atomic_exchange_n(keep, p, __ATOMIC_ACQ_REL)); /* of a thread that is gone */
    } else {
        free(p);
    }
    return NULL;
}

/* Threads by the thousand, some at a time. */
void malloc_churn(unsigned batches)
{
    static void *kept;
    pthread_t t[25];
    EXPECT(pthread_key_create(&late_key, late) == 0);
    for (unsigned b = 0; b < batches; b++) {
        start_threads(t, COUNT(t), brief, b % 2 == 0 ? (void *)&kept : NULL);
        join_threads(t, COUNT(t));
    }
    free(kept);
    kept = NULL;
    pthread_key_delete(late_key);
}

void threads_come_and_go(void)
{
    malloc_churn(120);
}

/* ---- fork ----------------------------------------------------------------------------------- */

static bool hammering; /* atomic */

static void *hammer(void *arg)
{
    uint64_t s = (uintptr_t)&arg;
    while (__atomic_load_n(&hammering, __ATOMIC_ACQUIRE)) {
        void *p[8];
        for (unsigned i = 0; i < COUNT(p); i++) {
            size_t n = random_size(next_random(&s));
            p[i] = malloc(n);
            memset(p[i], 1, n < 64 ? n : 64);
        }
        for (unsigned i = 0; i < COUNT(p); i++) {
            free(p[i]);
        }
    }
    return NULL;
}

static void *one_stress(void *arg)
{
    return stress(arg);
}

/* In a child everything works, also with threads of its own. */
static void try_everything(pthread_t *t, unsigned threads)
{
    alarm(60);
    malloc_failures = 0;
    memset(mailboxes, 0, sizeof(mailboxes)); /* what lies there is the parent's */
    for (size_t i = 0; i < COUNT(malloc_sizes); i++) {
        void *p = malloc(malloc_sizes[i]);
        EXPECT(p != NULL);
        memset(p, 3, malloc_sizes[i]);
        free(p);
    }
    stress((void *)(uintptr_t)200);
    start_threads(t, threads, one_stress, (void *)(uintptr_t)100);
}

static _Noreturn void live_on(bool again)
{
    pthread_t t[3];
    try_everything(t, COUNT(t));
    if (again) {
        pid_t pid = fork();
        if (pid == 0) {
            pthread_t own[3];
            try_everything(own, COUNT(own));
            join_threads(own, COUNT(own));
            _exit(malloc_failures != 0);
        }
        int status;
        EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    }
    join_threads(t, COUNT(t));
    _exit(malloc_failures != 0);
}

static void fork_often(unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            live_on(i % 8 == 0);
        }
        int status = -1;
        EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
        EXPECT(status == 0);
    }
}

void a_child_of_many_threads_has_a_sound_heap(void)
{
    static pthread_t t[80]; /* more than there are numbers: some share */
    __atomic_store_n(&hammering, true, __ATOMIC_RELEASE);
    start_threads(t, COUNT(t), hammer, NULL);
    fork_often(25);
    __atomic_store_n(&hammering, false, __ATOMIC_RELEASE);
    join_threads(t, COUNT(t));
}

static void *fork_here(void *arg)
{
    fork_often((unsigned)(uintptr_t)arg);
    return NULL;
}

void several_threads_may_fork(void)
{
    pthread_t forks[3];
    pthread_t t[3];
    __atomic_store_n(&hammering, true, __ATOMIC_RELEASE);
    start_threads(t, COUNT(t), hammer, NULL);
    start_threads(forks, COUNT(forks), fork_here, (void *)(uintptr_t)10);
    join_threads(forks, COUNT(forks));
    __atomic_store_n(&hammering, false, __ATOMIC_RELEASE);
    join_threads(t, COUNT(t));
}

static void *hammer_guarded(void *arg)
{
    while (__atomic_load_n(&hammering, __ATOMIC_ACQUIRE)) {
        free(guarded_malloc(100));
    }
    return arg;
}

/* The forking thread waits for the library's lock, and who has that for the heap. */
void forks_wait_for_the_locks_of_others(void)
{
    pthread_t t[3];
    __atomic_store_n(&hammering, true, __ATOMIC_RELEASE);
    start_threads(t, COUNT(t), hammer_guarded, NULL);
    for (unsigned i = 0; i < 300; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            free(guarded_malloc(100));
            _exit(0);
        }
        int status = -1;
        EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    }
    __atomic_store_n(&hammering, false, __ATOMIC_RELEASE);
    join_threads(t, COUNT(t));
}

/* NOLINTEND(clang-analyzer-core.NullDereference) */
/* NOLINTEND(clang-analyzer-unix.Malloc,clang-analyzer-optin.portability.UnixAPI) */
