/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a process may expect of malloc() and its family, asked of libkcore-malloc: to be run with it
 * preloaded (check_preload.py does), and fails without.
 *
 * usage: malloc-cases                  every case, as TAP
 *        malloc-cases exhaust|churn    more of the same for a small arena, and for statistics
 *        malloc-cases MISUSE           one mistake, then "went on": double-free interior foreign
 *                                      realloc-freed big-twice write-after-free
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guard.h"

/* What the analyser finds here is what is tried: sizes of 0, blocks not freed, refused resizing. */
/* NOLINTBEGIN(clang-analyzer-unix.Malloc,clang-analyzer-optin.portability.UnixAPI) */
/* NOLINTBEGIN(clang-analyzer-core.NullDereference) */

#define COUNT(a)       (sizeof(a) / sizeof((a)[0]))
#define KIB(n)         ((size_t)(n) << 10)
#define MIB(n)         ((size_t)(n) << 20)
#define SMALLEST_ALIGN 16u

/* Sizes on both sides of every border: classes, SMALL_MAX, frames, greatest run, mappings. */
static const size_t sizes[] = {0,      1,          8,      15,         16,          17,
                               24,     31,         100,    127,        128,         129,
                               255,    1000,       1024,   4095,       4096,        4097,
                               8191,   8192,       8193,   KIB(12),    KIB(64) + 1, MIB(1),
                               MIB(2), MIB(4) - 1, MIB(4), MIB(4) + 1, MIB(5),      MIB(16) + 13};

static unsigned failures; /* atomic */

/* ---- judging -------------------------------------------------------------------------------- */

#define EXPECT(cond)                                                                   \
    do {                                                                               \
        if (!(cond)) {                                                                 \
            __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);                        \
            fprintf(stderr, "# %s:%d: %s: %s\n", __FILE__, __LINE__, __func__, #cond); \
        }                                                                              \
    } while (0)

/* The compiler knows what malloc() is, and would leave out what nobody uses. */
static void *hide(void *p)
{
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

static size_t hide_size(size_t n)
{
    __asm__ volatile("" : "+r"(n));
    return n;
}

static uint64_t seed;

static uint64_t next_random(uint64_t *s)
{
    *s += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t x = *s;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Mostly small, now and then up to many frames, seldom a mapping. */
static size_t random_size(uint64_t x)
{
    if (x % 1000 == 0) {
        return MIB(4) + x / 1000 % MIB(3);
    }
    return x % 50 == 0 ? x / 1000 % KIB(100) : x / 1000 % 1200;
}

static unsigned char pattern(const void *owner, size_t i)
{
    return (unsigned char)(((uintptr_t)owner >> 4) * 31 + i * 7 + (i >> 8));
}

/* A block with a pattern of its own; long ones are marked here and there. */
static size_t stride(size_t n)
{
    return n > 4096 ? 509 : 1;
}

static void fill(void *p, size_t n, const void *owner)
{
    for (size_t i = 0; i < n; i += stride(n)) {
        ((unsigned char *)p)[i] = pattern(owner, i);
    }
}

static bool is_filled(const void *p, size_t n, const void *owner)
{
    for (size_t i = 0; i < n; i += stride(n)) {
        if (((const unsigned char *)p)[i] != pattern(owner, i)) {
            return false;
        }
    }
    return true;
}

static bool is_aligned(const void *p, size_t align)
{
    return ((uintptr_t)p & (align - 1)) == 0;
}

/* ---- one thread ----------------------------------------------------------------------------- */

static void served_by_the_preloaded_library(void)
{
    static void *(*const family[])(size_t) = {malloc, valloc};
    Dl_info info;
    for (size_t i = 0; i < COUNT(family); i++) {
        EXPECT(dladdr((void *)(uintptr_t)family[i], &info) != 0);
        EXPECT(strstr(info.dli_fname, "libkcore-malloc") != NULL);
    }
    EXPECT(dladdr((void *)(uintptr_t)free, &info) != 0 &&
           strstr(info.dli_fname, "libkcore-malloc") != NULL);
}

static void every_block_is_aligned_and_its_own(void)
{
    void *p[COUNT(sizes)][3];
    for (size_t i = 0; i < COUNT(sizes); i++) {
        p[i][0] = hide(malloc(sizes[i]));
        p[i][1] = hide(calloc(1, sizes[i]));
        p[i][2] = hide(realloc(NULL, sizes[i]));
        for (size_t k = 0; k < 3; k++) {
            EXPECT(p[i][k] != NULL && is_aligned(p[i][k], SMALLEST_ALIGN));
            EXPECT(malloc_usable_size(p[i][k]) >= sizes[i]);
            fill(p[i][k], malloc_usable_size(p[i][k]), &p[i][k]);
        }
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (size_t k = 0; k < 3; k++) {
            EXPECT(is_filled(p[i][k], malloc_usable_size(p[i][k]), &p[i][k]));
            free(p[i][k]);
        }
    }
    for (size_t n = 0; n < 9000; n++) {
        void *q = hide(malloc(n));
        EXPECT(q != NULL && is_aligned(q, SMALLEST_ALIGN));
        memset(q, 0xa5, n);
        free(q);
    }
}

static void size_zero_gives_blocks_that_differ(void)
{
    void *a = hide(malloc(0));
    void *b = hide(malloc(0));
    void *c = hide(calloc(0, 100));
    void *d = NULL;
    EXPECT(posix_memalign(&d, 64, 0) == 0);
    EXPECT(a != NULL && b != NULL && c != NULL && d != NULL);
    EXPECT(a != b && b != c && a != c && a != d && c != d);
    free(a);
    free(b);
    free(c);
    free(d);
}

static void calloc_gives_zeros_where_others_wrote(void)
{
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (unsigned turn = 0; turn < 3; turn++) {
            unsigned char *dirty = hide(malloc(sizes[i]));
            EXPECT(dirty != NULL);
            memset(dirty, 0xff, sizes[i]);
            free(dirty);
            unsigned char *p = hide(calloc(sizes[i], 1));
            EXPECT(p != NULL);
            for (size_t at = 0; p != NULL && at < sizes[i]; at++) {
                if (p[at] != 0) {
                    EXPECT(p[at] == 0);
                    break;
                }
            }
            memset(p, 0xff, sizes[i]);
            free(p);
        }
    }
}

static void sizes_that_cannot_be_are_refused_with_enomem(void)
{
    const size_t huge[] = {SIZE_MAX,         SIZE_MAX - 1, SIZE_MAX - 15,   SIZE_MAX - 4095,
                           SIZE_MAX / 2 + 1, SIZE_MAX / 2, (size_t)1 << 62, (size_t)1 << 48};
    void *old = hide(malloc(100));
    fill(old, 100, &old);
    for (size_t i = 0; i < COUNT(huge); i++) {
        size_t n = hide_size(huge[i]);
        void *out = old;
        errno = 0;
        EXPECT(hide(malloc(n)) == NULL && errno == ENOMEM);
        errno = 0;
        EXPECT(hide(calloc(1, n)) == NULL && errno == ENOMEM);
        errno = 0;
        EXPECT(hide(realloc(old, n)) == NULL && errno == ENOMEM);
        errno = 0;
        EXPECT(hide(memalign(64, n)) == NULL && errno == ENOMEM);
        errno = 0;
        EXPECT(hide(aligned_alloc(4096, n)) == NULL && errno == ENOMEM);
        errno = 0;
        EXPECT(hide(valloc(n)) == NULL && errno == ENOMEM);
        errno = 0;
        EXPECT(hide(pvalloc(n)) == NULL && errno == ENOMEM);
        errno = 77;
        EXPECT(posix_memalign(&out, 64, n) == ENOMEM && out == old && errno == 77);
    }
    EXPECT(is_filled(old, 100, &old));
    free(old);
}

static void products_that_wrap_are_refused(void)
{
    const size_t half = hide_size(SIZE_MAX / 2 + 2);
    unsigned char *p = hide(malloc(64));
    fill(p, 64, &p);
    errno = 0;
    EXPECT(hide(calloc(half, 2)) == NULL && errno == ENOMEM);
    errno = 0;
    EXPECT(hide(calloc(2, half)) == NULL && errno == ENOMEM);
    errno = 0;
    EXPECT(hide(reallocarray(p, half, 2)) == NULL && errno == ENOMEM);
    EXPECT(is_filled(p, 64, &p));
    p = hide(reallocarray(p, 100, 7));
    EXPECT(p != NULL && malloc_usable_size(p) >= 700 && is_filled(p, 64, &p));
    free(p);
}

static void realloc_keeps_bytes_between_all_sizes(void)
{
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (size_t k = 0; k < COUNT(sizes); k++) {
            if (sizes[k] == 0) {
                continue;
            }
            unsigned char *p = hide(malloc(sizes[i]));
            fill(p, sizes[i], &seed);
            unsigned char *q = hide(realloc(p, sizes[k]));
            size_t kept = sizes[i] < sizes[k] ? sizes[i] : sizes[k];
            EXPECT(q != NULL && is_aligned(q, SMALLEST_ALIGN));
            EXPECT(malloc_usable_size(q) >= sizes[k]);
            /* The pattern's step depends on the length that was filled. */
            for (size_t at = 0; at < kept; at += stride(sizes[i])) {
                if (q[at] != pattern(&seed, at)) {
                    EXPECT(q[at] == pattern(&seed, at));
                    break;
                }
            }
            memset(q, 1, sizes[k]);
            free(q);
        }
    }
}

static void realloc_of_null_allocates_and_to_zero_frees(void)
{
    void *p = hide(realloc(NULL, 50));
    EXPECT(p != NULL);
    errno = 5;
    EXPECT(hide(realloc(p, 0)) == NULL && errno == 5);
    p = hide(realloc(NULL, 0));
    EXPECT(p != NULL);
    free(p);
}

static void realloc_that_fits_stays(void)
{
    void *p = hide(malloc(1000));
    const size_t again[] = {malloc_usable_size(p), 600, 1000};
    for (size_t i = 0; i < COUNT(again); i++) {
        uintptr_t before = (uintptr_t)p;
        p = hide(realloc(p, again[i]));
        EXPECT((uintptr_t)p == before);
    }
    free(p);
}

/* A great block is a mapping, which is several once its pages are not alike. */
static void blocks_whose_pages_differ_are_resized(void)
{
    for (unsigned shrinks = 0; shrinks < 2; shrinks++) {
        size_t to = shrinks != 0 ? MIB(6) : MIB(16);
        char *p = hide(malloc(MIB(8)));
        EXPECT(p != NULL);
        memset(p, 7, MIB(8));
        char *page = p + MIB(1) - (uintptr_t)p % 4096;
        EXPECT(madvise(page, MIB(1), MADV_DONTFORK) == 0);
        char *q = hide(realloc(p, to));
        EXPECT(q != NULL);
        if (q == NULL) {
            return; /* and leave it */
        }
        for (size_t i = 0; i < MIB(6); i += 1000) {
            EXPECT(q[i] == 7);
        }
        memset(q, 8, to);
        free(q);
    }
}

static void alignments_that_are_none_are_refused(void)
{
    const size_t bad[] = {0, 3, 12, 24, 48, 4095, 4097, SIZE_MAX};
    int mark;
    for (size_t i = 0; i < COUNT(bad); i++) {
        size_t a = hide_size(bad[i]);
        void *out = &mark;
        errno = 77;
        EXPECT(posix_memalign(&out, a, 100) == EINVAL && out == &mark && errno == 77);
        errno = 0;
        EXPECT(hide(aligned_alloc(a, 100)) == NULL && errno == EINVAL);
        errno = 0;
        EXPECT(hide(memalign(a, 100)) == NULL && errno == EINVAL);
    }
    for (size_t a = 1; a < sizeof(void *); a *= 2) {
        void *out = &mark;
        EXPECT(posix_memalign(&out, a, 100) == EINVAL && out == &mark);
        void *p = hide(memalign(a, 100));
        EXPECT(p != NULL);
        free(p);
    }
    errno = 0;
    EXPECT(hide(memalign(hide_size((size_t)1 << 63), 1)) == NULL && errno == ENOMEM);
}

static void aligned_blocks_are_aligned_whole_and_resizable(void)
{
    for (size_t align = sizeof(void *); align <= MIB(32); align *= 2) {
        for (size_t i = 0; i < COUNT(sizes); i++) {
            void *p = NULL;
            EXPECT(posix_memalign(&p, align, sizes[i]) == 0);
            EXPECT(p != NULL && is_aligned(p, align) && is_aligned(p, SMALLEST_ALIGN));
            EXPECT(malloc_usable_size(p) >= sizes[i]);
            fill(p, sizes[i], &p);
            void *q = hide(aligned_alloc(align, sizes[i]));
            EXPECT(q != NULL && q != p && is_aligned(q, align));
            memset(q, 0, sizes[i]);
            EXPECT(is_filled(p, sizes[i], &p));
            free(q);
            if (align > MIB(1) || sizes[i] > MIB(1)) {
                free(p);
                continue;
            }
            p = hide(realloc(p, sizes[i] + 5000));
            EXPECT(p != NULL);
            for (size_t at = 0; at < sizes[i]; at += stride(sizes[i])) {
                EXPECT(((unsigned char *)p)[at] == pattern(&p, at));
            }
            free(p);
        }
    }
}

static void valloc_and_pvalloc_give_pages(void)
{
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *v = hide(valloc(sizes[i]));
        void *p = hide(pvalloc(sizes[i]));
        EXPECT(v != NULL && is_aligned(v, 4096) && malloc_usable_size(v) >= sizes[i]);
        EXPECT(p != NULL && is_aligned(p, 4096) &&
               malloc_usable_size(p) >= ((sizes[i] + 4095) & ~(size_t)4095) &&
               malloc_usable_size(p) >= 4096);
        memset(v, 1, sizes[i]);
        memset(p, 2, malloc_usable_size(p));
        free(v);
        free(p);
    }
}

static void free_keeps_errno_and_takes_null(void)
{
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *p = hide(malloc(sizes[i]));
        errno = 1234;
        free(p);
        EXPECT(errno == 1234);
    }
    errno = 1234;
    free(hide(NULL));
    EXPECT(errno == 1234 && malloc_usable_size(NULL) == 0);
}

/* The C library's own allocator, which takes from the program break; glibc exports it. */
extern void *__libc_malloc(size_t n) __attribute__((weak));

static void blocks_from_before_are_let_be(void)
{
    if (__libc_malloc == NULL) {
        return;
    }
    unsigned char *p = hide(__libc_malloc(300));
    fill(p, 300, &p);
    errno = 7;
    free(p);
    EXPECT(is_filled(p, 300, &p) && errno == 7);
    unsigned char *q = hide(realloc(p, 600));
    EXPECT(q != NULL && q != p && is_filled(q, 300, &p) && is_filled(p, 300, &p));
    free(q);
}

struct shadow {
    unsigned char *p;
    size_t n;
    uint64_t tag;
};

/* One random step on one slot: allocate in one of six ways, resize, or free; judge what was there.
 */
static void step(struct shadow *s, uint64_t x)
{
    EXPECT(s->p == NULL || is_filled(s->p, s->n, &s->tag));
    size_t n = random_size(x >> 8);
    if (s->p == NULL) {
        void *p = NULL;
        size_t align = (size_t)16 << (x >> 4) % 9;
        switch (x % 6) {
        case 0:
            p = calloc(1, n);
            for (size_t i = 0; i < n; i += stride(n)) {
                EXPECT(((unsigned char *)p)[i] == 0);
            }
            break;
        case 1:
            EXPECT(posix_memalign(&p, align, n) == 0 && is_aligned(p, align));
            break;
        default:
            p = malloc(n);
            break;
        }
        EXPECT(p != NULL && is_aligned(p, SMALLEST_ALIGN) && malloc_usable_size(p) >= n);
        s->p = p;
        s->n = n;
    } else if (x % 4 == 0 && n != 0) {
        unsigned char *p = realloc(s->p, n);
        size_t kept = s->n < n ? s->n : n;
        EXPECT(p != NULL);
        for (size_t i = 0; i < kept; i += stride(s->n)) {
            if (p[i] != pattern(&s->tag, i)) {
                EXPECT(p[i] == pattern(&s->tag, i));
                break;
            }
        }
        s->p = p;
        s->n = n;
    } else {
        free(s->p);
        s->p = NULL;
        return;
    }
    fill(s->p, s->n, &s->tag);
}

static void drain(struct shadow *s, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        EXPECT(s[i].p == NULL || is_filled(s[i].p, s[i].n, &s[i].tag));
        free(s[i].p);
        s[i].p = NULL;
    }
}

static void random_steps_agree_with_a_shadow(void)
{
    static struct shadow slots[700];
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t x = next_random(&seed);
        step(&slots[(x >> 40) % COUNT(slots)], x);
    }
    drain(slots, COUNT(slots));
}

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
    uint64_t s = seed + __atomic_fetch_add(&thread_number, 1, __ATOMIC_RELAXED) * 977;
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

static void threads_agree_with_their_shadows(void)
{
    pthread_t t[8];
    start_threads(t, COUNT(t), stress, (void *)(uintptr_t)12000);
    join_threads(t, COUNT(t));
    empty_mailboxes();
}

static void more_threads_than_cpus_agree_too(void)
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
static void churn(unsigned batches)
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

static void threads_come_and_go(void)
{
    churn(120);
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
    failures = 0;
    memset(mailboxes, 0, sizeof(mailboxes)); /* what lies there is the parent's */
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *p = malloc(sizes[i]);
        EXPECT(p != NULL);
        memset(p, 3, sizes[i]);
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
            _exit(failures != 0);
        }
        int status;
        EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    }
    join_threads(t, COUNT(t));
    _exit(failures != 0);
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

static void a_child_of_many_threads_has_a_sound_heap(void)
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

static void several_threads_may_fork(void)
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
static void forks_wait_for_the_locks_of_others(void)
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

/* ---- a small arena -------------------------------------------------------------------------- */

static size_t get_all(size_t n, void **list)
{
    size_t count = 0;
    for (;;) {
        errno = 0;
        void *p = hide(malloc(n));
        if (p == NULL) {
            EXPECT(errno == ENOMEM);
            return count;
        }
        *(void **)p = *list;
        *list = p;
        count++;
    }
}

static void put_all(void **list)
{
    while (*list != NULL) {
        void *next = *(void **)*list;
        free(*list);
        *list = next;
    }
}

/* With an arena of 32 MiB; that also bounds what lies in mappings. */
static void exhaust(void)
{
    const size_t asked[] = {16, 1000, 5000, KIB(100), MIB(1), MIB(5)};
    for (size_t i = 0; i < COUNT(asked); i++) {
        void *list = NULL;
        size_t first = get_all(asked[i], &list);
        /* At hardening full, redzones and sites take more than half of the smallest. */
        EXPECT(first * asked[i] > MIB(8) && first * asked[i] <= MIB(32));
        void *out = &list;
        errno = 0;
        EXPECT(hide(calloc(1, asked[i])) == NULL && errno == ENOMEM);
        EXPECT(posix_memalign(&out, 64, asked[i]) == ENOMEM && out == &list);
        errno = 0;
        EXPECT(hide(realloc(list, MIB(40))) == NULL && errno == ENOMEM);
        for (size_t less = asked[i]; less > sizeof(void *); less /= 3) { /* it keeps its link */
            void *smaller = hide(realloc(list, less));
            EXPECT(smaller != NULL);
            list = smaller != NULL ? smaller : list;
        }
        put_all(&list);
        size_t second = get_all(asked[i], &list);
        EXPECT(second >= first - first / 16);
        put_all(&list);
    }
}

/* ---- misuse --------------------------------------------------------------------------------- */

/* What these do is hidden from the compiler, which would rightly object. */
static void (*volatile give)(void *) = free;
static void *(*volatile resize)(void *, size_t) = realloc;

static int misuse(const char *what)
{
    static char elsewhere[64];
    char *p = hide(malloc(100));
    if (strcmp(what, "double-free") == 0) {
        give(p);
        give(p);
    } else if (strcmp(what, "interior") == 0) {
        give(p + 16);
    } else if (strcmp(what, "foreign") == 0) {
        give(elsewhere);
    } else if (strcmp(what, "realloc-freed") == 0) {
        give(p);
        errno = 0;
        EXPECT(resize(p, 500) == NULL && errno == EINVAL);
    } else if (strcmp(what, "big-twice") == 0) {
        p = hide(malloc(MIB(8)));
        give(p);
        give(p);
    } else if (strcmp(what, "write-after-free") == 0) {
        give(p);
        ((volatile char *)p)[50] = 1;
        /* At hardening full it waits in quarantine until enough others were freed after it. */
        for (unsigned i = 0; i < 100; i++) {
            give(hide(malloc(100)));
        }
        for (unsigned i = 0; i < 5000; i++) {
            (void)hide(malloc(100));
        }
    } else {
        return 2;
    }
    if (failures == 0) {
        puts("went on");
    }
    return failures != 0;
}

/* ---- all ------------------------------------------------------------------------------------ */

#define CASE(f) \
    {           \
#f, f   \
    }
static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    CASE(served_by_the_preloaded_library),
    CASE(every_block_is_aligned_and_its_own),
    CASE(size_zero_gives_blocks_that_differ),
    CASE(calloc_gives_zeros_where_others_wrote),
    CASE(sizes_that_cannot_be_are_refused_with_enomem),
    CASE(products_that_wrap_are_refused),
    CASE(realloc_keeps_bytes_between_all_sizes),
    CASE(realloc_of_null_allocates_and_to_zero_frees),
    CASE(realloc_that_fits_stays),
    CASE(alignments_that_are_none_are_refused),
    CASE(aligned_blocks_are_aligned_whole_and_resizable),
    CASE(valloc_and_pvalloc_give_pages),
    CASE(free_keeps_errno_and_takes_null),
    CASE(blocks_from_before_are_let_be),
    CASE(random_steps_agree_with_a_shadow),
    CASE(threads_agree_with_their_shadows),
    CASE(more_threads_than_cpus_agree_too),
    CASE(threads_come_and_go),
    CASE(a_child_of_many_threads_has_a_sound_heap),
    CASE(several_threads_may_fork),
    CASE(forks_wait_for_the_locks_of_others),
    CASE(blocks_whose_pages_differ_are_resized),
};

int main(int argc, char **argv)
{
    const char *given = getenv("KC_TEST_SEED");
    seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)getpid() * 2654435761u;
    alarm(300);
    if (argc == 2 && strcmp(argv[1], "exhaust") == 0) {
        exhaust();
        return failures != 0;
    }
    if (argc == 2 && strcmp(argv[1], "churn") == 0) {
        churn(80);
        return failures != 0;
    }
    if (argc == 2) {
        return misuse(argv[1]);
    }
    printf("# KC_TEST_SEED=%llu\n1..%zu\n", (unsigned long long)seed, COUNT(cases));
    bool bad = false;
    for (size_t i = 0; i < COUNT(cases); i++) {
        failures = 0;
        cases[i].run();
        printf("%sok %zu - %s\n", failures != 0 ? "not " : "", i + 1, cases[i].name);
        fflush(stdout); /* before a fork, or a crash */
        bad |= failures != 0;
        if (i == 0 && bad) {
            printf("Bail out! libkcore-malloc is not preloaded\n");
            return 1;
        }
    }
    return bad;
}

/* NOLINTEND(clang-analyzer-core.NullDereference) */
/* NOLINTEND(clang-analyzer-unix.Malloc,clang-analyzer-optin.portability.UnixAPI) */
