/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * string.c: the four functions that a compiler may call.
 *
 * They run with the MMU off too, where an unaligned access faults (memory is Device-nGnRnE): words
 * are used only where all pointers are aligned, bytes elsewhere.
 *
 * I1  Every access is naturally aligned and inside the caller's ranges.
 */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);

typedef uint64_t __attribute__((may_alias)) word_t;

static int both_aligned(const void *a, const void *b)
{
    return (((uintptr_t)a | (uintptr_t)b) & 7) == 0;
}

static void copy_up(unsigned char *t, const unsigned char *f, size_t n)
{
    if (both_aligned(t, f)) {
        for (; n >= 8; n -= 8, t += 8, f += 8) {
            *(word_t *)t = *(const word_t *)f;
        }
    }
    for (; n > 0; n--) {
        *t++ = *f++;
    }
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    copy_up(to, from, n);
    return to;
}

void *memmove(void *to, const void *from, size_t n)
{
    unsigned char *t = to;
    const unsigned char *f = from;
    if ((uintptr_t)t - (uintptr_t)f >= n) {
        copy_up(t, f, n);
        return to;
    }
    t += n;
    f += n;
    if (both_aligned(t, f)) {
        for (; n >= 8; n -= 8) {
            t -= 8;
            f -= 8;
            *(word_t *)t = *(const word_t *)f;
        }
    }
    while (n-- > 0) {
        *--t = *--f;
    }
    return to;
}

void *memset(void *to, int c, size_t n)
{
    unsigned char *t = to;
    uint64_t w = (unsigned char)c * 0x0101010101010101ull;
    for (; n > 0 && ((uintptr_t)t & 7) != 0; n--) {
        *t++ = (unsigned char)c;
    }
    for (; n >= 8; n -= 8, t += 8) {
        *(word_t *)t = w;
    }
    for (; n > 0; n--) {
        *t++ = (unsigned char)c;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *x = a, *y = b;
    for (size_t i = 0; i < n; i++) {
        if (x[i] != y[i]) {
            return x[i] < y[i] ? -1 : 1;
        }
    }
    return 0;
}
