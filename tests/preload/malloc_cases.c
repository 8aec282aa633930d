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
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "malloc_cases.h"

/* What the analyser finds here is what is tried: sizes of 0, blocks not freed, refused resizing. */
/* NOLINTBEGIN(clang-analyzer-unix.Malloc,clang-analyzer-optin.portability.UnixAPI) */
/* NOLINTBEGIN(clang-analyzer-core.NullDereference) */

unsigned malloc_failures;
uint64_t malloc_seed;

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
    void *p[COUNT(malloc_sizes)][3];
    for (size_t i = 0; i < COUNT(malloc_sizes); i++) {
        p[i][0] = hide(malloc(malloc_sizes[i]));
        p[i][1] = hide(calloc(1, malloc_sizes[i]));
        p[i][2] = hide(realloc(NULL, malloc_sizes[i]));
        for (size_t k = 0; k < 3; k++) {
            EXPECT(p[i][k] != NULL && is_aligned(p[i][k], SMALLEST_ALIGN));
            EXPECT(malloc_usable_size(p[i][k]) >= malloc_sizes[i]);
            fill(p[i][k], malloc_usable_size(p[i][k]), &p[i][k]);
        }
    }
    for (size_t i = 0; i < COUNT(malloc_sizes); i++) {
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
    for (size_t i = 0; i < COUNT(malloc_sizes); i++) {
        for (unsigned turn = 0; turn < 3; turn++) {
            unsigned char *dirty = hide(malloc(malloc_sizes[i]));
            EXPECT(dirty != NULL);
            memset(dirty, 0xff, malloc_sizes[i]);
            free(dirty);
            unsigned char *p = hide(calloc(malloc_sizes[i], 1));
            EXPECT(p != NULL);
            for (size_t at = 0; p != NULL && at < malloc_sizes[i]; at++) {
                if (p[at] != 0) {
                    EXPECT(p[at] == 0);
                    break;
                }
            }
            memset(p, 0xff, malloc_sizes[i]);
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
    for (size_t i = 0; i < COUNT(malloc_sizes); i++) {
        for (size_t k = 0; k < COUNT(malloc_sizes); k++) {
            if (malloc_sizes[k] == 0) {
                continue;
            }
            unsigned char *p = hide(malloc(malloc_sizes[i]));
            fill(p, malloc_sizes[i], &malloc_seed);
            unsigned char *q = hide(realloc(p, malloc_sizes[k]));
            size_t kept = malloc_sizes[i] < malloc_sizes[k] ? malloc_sizes[i] : malloc_sizes[k];
            EXPECT(q != NULL && is_aligned(q, SMALLEST_ALIGN));
            EXPECT(malloc_usable_size(q) >= malloc_sizes[k]);
            /* The pattern's step depends on the length that was filled. */
            for (size_t at = 0; at < kept; at += stride(malloc_sizes[i])) {
                if (q[at] != pattern(&malloc_seed, at)) {
                    EXPECT(q[at] == pattern(&malloc_seed, at));
                    break;
                }
            }
            memset(q, 1, malloc_sizes[k]);
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
        for (size_t i = 0; i < COUNT(malloc_sizes); i++) {
            void *p = NULL;
            EXPECT(posix_memalign(&p, align, malloc_sizes[i]) == 0);
            EXPECT(p != NULL && is_aligned(p, align) && is_aligned(p, SMALLEST_ALIGN));
            EXPECT(malloc_usable_size(p) >= malloc_sizes[i]);
            fill(p, malloc_sizes[i], &p);
            void *q = hide(aligned_alloc(align, malloc_sizes[i]));
            EXPECT(q != NULL && q != p && is_aligned(q, align));
            memset(q, 0, malloc_sizes[i]);
            EXPECT(is_filled(p, malloc_sizes[i], &p));
            free(q);
            if (align > MIB(1) || malloc_sizes[i] > MIB(1)) {
                free(p);
                continue;
            }
            p = hide(realloc(p, malloc_sizes[i] + 5000));
            EXPECT(p != NULL);
            for (size_t at = 0; at < malloc_sizes[i]; at += stride(malloc_sizes[i])) {
                EXPECT(((unsigned char *)p)[at] == pattern(&p, at));
            }
            free(p);
        }
    }
}

static void valloc_and_pvalloc_give_pages(void)
{
    for (size_t i = 0; i < COUNT(malloc_sizes); i++) {
        void *v = hide(valloc(malloc_sizes[i]));
        void *p = hide(pvalloc(malloc_sizes[i]));
        EXPECT(v != NULL && is_aligned(v, 4096) && malloc_usable_size(v) >= malloc_sizes[i]);
        EXPECT(p != NULL && is_aligned(p, 4096) &&
               malloc_usable_size(p) >= ((malloc_sizes[i] + 4095) & ~(size_t)4095) &&
               malloc_usable_size(p) >= 4096);
        memset(v, 1, malloc_sizes[i]);
        memset(p, 2, malloc_usable_size(p));
        free(v);
        free(p);
    }
}

static void free_keeps_errno_and_takes_null(void)
{
    for (size_t i = 0; i < COUNT(malloc_sizes); i++) {
        void *p = hide(malloc(malloc_sizes[i]));
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

static void random_steps_agree_with_a_shadow(void)
{
    static struct shadow slots[700];
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t x = next_random(&malloc_seed);
        step(&slots[(x >> 40) % COUNT(slots)], x);
    }
    drain(slots, COUNT(slots));
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
    if (malloc_failures == 0) {
        puts("went on");
    }
    return malloc_failures != 0;
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
    malloc_seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)getpid() * 2654435761u;
    alarm(300);
    if (argc == 2 && strcmp(argv[1], "exhaust") == 0) {
        exhaust();
        return malloc_failures != 0;
    }
    if (argc == 2 && strcmp(argv[1], "churn") == 0) {
        malloc_churn(80);
        return malloc_failures != 0;
    }
    if (argc == 2) {
        return misuse(argv[1]);
    }
    printf("# KC_TEST_SEED=%llu\n1..%zu\n", (unsigned long long)malloc_seed, COUNT(cases));
    bool bad = false;
    for (size_t i = 0; i < COUNT(cases); i++) {
        malloc_failures = 0;
        cases[i].run();
        printf("%sok %zu - %s\n", malloc_failures != 0 ? "not " : "", i + 1, cases[i].name);
        fflush(stdout); /* before a fork, or a crash */
        bad |= malloc_failures != 0;
        if (i == 0 && bad) {
            printf("Bail out! libkcore-malloc is not preloaded\n");
            return 1;
        }
    }
    return bad;
}

/* NOLINTEND(clang-analyzer-core.NullDereference) */
/* NOLINTEND(clang-analyzer-unix.Malloc,clang-analyzer-optin.portability.UnixAPI) */
