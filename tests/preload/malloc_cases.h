/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the cases of malloc() share: how blocks are judged, and a shadow of random steps. They lie
 * in
 *
 *     malloc_cases.c    one thread, a small arena, misuse; main()
 *     malloc_threads.c  threads, forks
 */
#ifndef MALLOC_CASES_H
#define MALLOC_CASES_H

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(a)       (sizeof(a) / sizeof((a)[0]))
#define KIB(n)         ((size_t)(n) << 10)
#define MIB(n)         ((size_t)(n) << 20)
#define SMALLEST_ALIGN 16u

/* Sizes on both sides of every border: classes, SMALL_MAX, frames, greatest run, mappings. */
static const size_t malloc_sizes[] = {
    0,      1,          8,      15,         16,     17,          24,          31,
    100,    127,        128,    129,        255,    1000,        1024,        4095,
    4096,   4097,       8191,   8192,       8193,   KIB(12),     KIB(64) + 1, MIB(1),
    MIB(2), MIB(4) - 1, MIB(4), MIB(4) + 1, MIB(5), MIB(16) + 13};

extern unsigned malloc_failures; /* atomic */
extern uint64_t malloc_seed;

/* ---- judging -------------------------------------------------------------------------------- */

#define EXPECT(cond)                                                                   \
    do {                                                                               \
        if (!(cond)) {                                                                 \
            __atomic_fetch_add(&malloc_failures, 1, __ATOMIC_RELAXED);                 \
            fprintf(stderr, "# %s:%d: %s: %s\n", __FILE__, __LINE__, __func__, #cond); \
        }                                                                              \
    } while (0)

/* The compiler knows what malloc() is, and would leave out what nobody uses. */
static inline void *hide(void *p)
{
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

static inline size_t hide_size(size_t n)
{
    __asm__ volatile("" : "+r"(n));
    return n;
}

static inline uint64_t next_random(uint64_t *s)
{
    *s += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t x = *s;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Mostly small, now and then up to many frames, seldom a mapping. */
static inline size_t random_size(uint64_t x)
{
    if (x % 1000 == 0) {
        return MIB(4) + x / 1000 % MIB(3);
    }
    return x % 50 == 0 ? x / 1000 % KIB(100) : x / 1000 % 1200;
}

static inline unsigned char pattern(const void *owner, size_t i)
{
    return (unsigned char)(((uintptr_t)owner >> 4) * 31 + i * 7 + (i >> 8));
}

/* A block with a pattern of its own; long ones are marked here and there. */
static inline size_t stride(size_t n)
{
    return n > 4096 ? 509 : 1;
}

static inline void fill(void *p, size_t n, const void *owner)
{
    for (size_t i = 0; i < n; i += stride(n)) {
        ((unsigned char *)p)[i] = pattern(owner, i);
    }
}

static inline bool is_filled(const void *p, size_t n, const void *owner)
{
    for (size_t i = 0; i < n; i += stride(n)) {
        if (((const unsigned char *)p)[i] != pattern(owner, i)) {
            return false;
        }
    }
    return true;
}

static inline bool is_aligned(const void *p, size_t align)
{
    return ((uintptr_t)p & (align - 1)) == 0;
}

/* ---- a shadow of what one thread has ----------------------------------------------------------
 */

struct shadow {
    unsigned char *p;
    size_t n;
    uint64_t tag;
};

/* One random step on one slot: allocate in one of six ways, resize, or free; judge what was there.
 */
static inline void step(struct shadow *s, uint64_t x)
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

static inline void drain(struct shadow *s, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        EXPECT(s[i].p == NULL || is_filled(s[i].p, s[i].n, &s[i].tag));
        free(s[i].p);
        s[i].p = NULL;
    }
}

/* ---- cases of malloc_threads.c ----------------------------------------------------------------
 */

void threads_agree_with_their_shadows(void);
void more_threads_than_cpus_agree_too(void);
void threads_come_and_go(void);
void a_child_of_many_threads_has_a_sound_heap(void);
void several_threads_may_fork(void);
void forks_wait_for_the_locks_of_others(void);

/* More threads than there are slots, in so many batches. */
void malloc_churn(unsigned batches);

#endif
