/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of the harness that both implementations share: text, seed, RAM, expected panics.
 *
 * Nouns: a *trap* is a place to which a panic unwinds; traps nest, the innermost catches. The
 * *seed* is chosen once per process (or boot) and stays.
 *
 * I1  A trap is on the stack of traps exactly while its KC_TEST_PANICS is being evaluated.
 * I2  Only the test's own thread unwinds; a panic elsewhere stops the program.
 *
 * Freestanding: no libc here. Mutable state is fine, this is a program and not the library.
 */
#include <stdarg.h>

#include "kc_test.h"
#include "kc_test_body.h"

/* ---- text ----------------------------------------------------------------------------------- */

struct sink {
    char *out;
    size_t size;
    size_t used; /* as if there were room */
};

static void put(struct sink *s, char c)
{
    if (s->used + 1 < s->size) {
        s->out[s->used] = c;
    }
    s->used++;
}

static void pad(struct sink *s, char c, size_t have, size_t want)
{
    for (; have < want; have++) {
        put(s, c);
    }
}

struct spec {
    bool left;
    bool zero;
    size_t width;
    size_t precision; /* SIZE_MAX: none */
    int longs;        /* -1: size_t, 0: int, 1: long, 2: long long */
};

static void put_number(struct sink *s, const struct spec *p, uint64_t v, bool negative,
                       uint32_t base, bool upper)
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[20]; /* 2^64 - 1 has 20 decimal digits */
    size_t n = 0;

    do {
        text[n++] = digits[v % base];
        v /= base;
    } while (v != 0);

    size_t all = n + (negative ? 1 : 0);
    if (!p->left && !p->zero) {
        pad(s, ' ', all, p->width);
    }
    if (negative) {
        put(s, '-');
    }
    if (!p->left && p->zero) {
        pad(s, '0', all, p->width);
    }
    while (n > 0) {
        put(s, text[--n]);
    }
    if (p->left) {
        pad(s, ' ', all, p->width);
    }
}

static void put_string(struct sink *s, const struct spec *p, const char *text)
{
    size_t n = 0;
    if (text == NULL) {
        text = "(null)";
    }
    while (n < p->precision && text[n] != 0) {
        n++;
    }
    if (!p->left) {
        pad(s, ' ', n, p->width);
    }
    for (size_t i = 0; i < n; i++) {
        put(s, text[i]);
    }
    if (p->left) {
        pad(s, ' ', n, p->width);
    }
}

/* Flags - and 0; width and precision as digits or *; h hh l ll z j t; d i u x X c s p %. */
static const char *parse_spec(const char *f, struct spec *p, va_list *args)
{
    *p = (struct spec){.precision = SIZE_MAX};
    for (; *f == '-' || *f == '0' || *f == '+' || *f == '#' || *f == ' '; f++) {
        p->left |= *f == '-';
        p->zero |= *f == '0';
    }
    if (*f == '*') {
        p->width = (size_t)va_arg(*args, int);
        f++;
    }
    for (; *f >= '0' && *f <= '9'; f++) {
        p->width = p->width * 10 + (size_t)(*f - '0');
    }
    if (*f == '.') {
        f++;
        p->precision = 0;
        if (*f == '*') {
            p->precision = (size_t)va_arg(*args, int);
            f++;
        }
        for (; *f >= '0' && *f <= '9'; f++) {
            p->precision = p->precision * 10 + (size_t)(*f - '0');
        }
    }
    for (;; f++) {
        if (*f == 'l') {
            p->longs++;
        } else if (*f == 'z' || *f == 't') {
            p->longs = -1;
        } else if (*f == 'j') {
            p->longs = 2;
        } else if (*f != 'h') {
            return f;
        }
    }
}

static uint64_t take_unsigned(const struct spec *p, va_list *args)
{
    switch (p->longs) {
    case -1:
        return va_arg(*args, size_t);
    case 0:
        return va_arg(*args, unsigned);
    case 1:
        return va_arg(*args, unsigned long);
    default:
        return va_arg(*args, unsigned long long);
    }
}

static int64_t take_signed(const struct spec *p, va_list *args)
{
    switch (p->longs) {
    case -1:
        return va_arg(*args, ptrdiff_t);
    case 0:
        return va_arg(*args, int);
    case 1:
        return va_arg(*args, long);
    default:
        return va_arg(*args, long long);
    }
}

size_t kc_test_format_list_(char *out, size_t size, const char *f, va_list *args)
{
    struct sink s = {out, size, 0};

    for (; *f != 0; f++) {
        struct spec p;
        if (*f != '%') {
            put(&s, *f);
            continue;
        }
        f = parse_spec(f + 1, &p, args);
        switch (*f) {
        case 'd':
        case 'i': {
            int64_t v = take_signed(&p, args);
            put_number(&s, &p, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0, 10, false);
            break;
        }
        case 'u':
            put_number(&s, &p, take_unsigned(&p, args), false, 10, false);
            break;
        case 'x':
        case 'X':
            put_number(&s, &p, take_unsigned(&p, args), false, 16, *f == 'X');
            break;
        case 'p':
            put(&s, '0');
            put(&s, 'x');
            put_number(&s, &p, (uint64_t)(uintptr_t)va_arg(*args, void *), false, 16, false);
            break;
        case 'c':
            put(&s, (char)va_arg(*args, int));
            break;
        case 's':
            put_string(&s, &p, va_arg(*args, const char *));
            break;
        case 0: /* a lone % at the end */
            f--;
            break;
        default:
            put(&s, *f);
            break;
        }
    }
    if (size > 0) {
        out[s.used < size ? s.used : size - 1] = 0;
    }
    return s.used;
}

size_t kc_test_format(char *out, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t n = kc_test_format_list_(out, size, format, &args);
    va_end(args);
    return n;
}

void kc_test_printf(const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    size_t n = kc_test_format_list_(line, sizeof line, format, &args);
    va_end(args);
    kc_test_write_body(line, n < sizeof line ? n : sizeof line - 1, false);
}

/* ---- seed ----------------------------------------------------------------------------------- */

void kc_test_listen(bool on)
{
    kc_test_listen_body(on);
}

uint64_t kc_test_seed(void)
{
    static bool chosen;
    static uint64_t seed;

    if (!chosen) {
        if (!kc_test_seed_body(&seed) && !kc_plat_entropy(&seed)) {
            seed = kc_plat_ticks();
        }
        chosen = true;
    }
    kc_test_printf("# seed: KC_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* ---- RAM ------------------------------------------------------------------------------------ */

static bool ram_given;

bool kc_test_ram(uint64_t bytes, struct kc_boot_info *bi)
{
    if (ram_given) {
        kc_test_printf("# kc_test_ram() called twice in one test\n");
        return false;
    }
    ram_given = kc_test_ram_body(bytes, bi);
    return ram_given;
}

void kc_test_ram_end(void)
{
    if (ram_given) {
        kc_test_ram_release_body();
        ram_given = false;
    }
}

/* ---- panics --------------------------------------------------------------------------------- */

static struct kc_test_trap *innermost;
static struct kc_panic last_panic; /* a copy: the panic's own lies on the stack that is left */
static bool panic_seen;

void kc_test_trap_push(struct kc_test_trap *trap)
{
    trap->outer = innermost;
    innermost = trap;
}

void kc_test_trap_pop(struct kc_test_trap *trap)
{
    innermost = trap->outer;
}

const struct kc_panic *kc_test_last_panic(void)
{
    return panic_seen ? &last_panic : NULL;
}

void kc_test_on_panic(const struct kc_panic *why)
{
    if (!kc_test_is_test_thread_body()) {
        return;
    }
    struct kc_test_trap *trap = innermost;
    if (trap == NULL) {
        return;
    }
    last_panic = *why;
    panic_seen = true;
    kc_test_trap_pop(trap);
    KC_TEST_LONGJMP(&trap->jump);
}
