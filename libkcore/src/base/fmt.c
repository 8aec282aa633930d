/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Formatting.
 *
 * A `struct out` is where characters go: it counts all of them and keeps those that fit. A `struct
 * spec` is one parsed specification. Parsing, fetching the argument and printing are three steps,
 * so that an unknown specification is noticed before an argument is fetched for it.
 *
 * F1  At most n - 1 characters are kept, and one zero byte after them if n > 0.
 * F2  `length` counts every character of the whole text, kept or not; it saturates, never wraps.
 *
 * Cost: O(text), recursion none, stack about 200 bytes.
 */
#include <kc/fmt.h>

/* Longest number: 64 bits in decimal with a sign, or in hexadecimal with "0x". */
#define NUMBER_MAX 24u

struct out {
    char *buf;
    size_t n;
    size_t length;
};

enum length_modifier {
    LENGTH_INT,
    LENGTH_LONG,
    LENGTH_LONG_LONG,
    LENGTH_SIZE
};

struct spec {
    bool left;
    bool zero;
    size_t width;
    bool has_precision;
    size_t precision;
    enum length_modifier length;
    char conversion;
};

static void put(struct out *o, char c)
{
    if (o->n != 0 && o->length < o->n - 1) {
        o->buf[o->length] = c; /* F1 */
    }
    if (o->length != SIZE_MAX) {
        o->length++; /* F2 */
    }
}

static void put_times(struct out *o, char c, size_t times)
{
    for (size_t i = 0; i < times; i++) {
        put(o, c);
    }
}

/* A text of known length, padded to the width with spaces. */
static void put_padded(struct out *o, const struct spec *s, const char *text, size_t length)
{
    size_t pad = s->width > length ? s->width - length : 0;
    if (!s->left) {
        put_times(o, ' ', pad);
    }
    for (size_t i = 0; i < length; i++) {
        put(o, text[i]);
    }
    if (s->left) {
        put_times(o, ' ', pad);
    }
}

/* A number: prefix ("-", "0x" or ""), zeros where wanted, digits. */
static void put_number(struct out *o, const struct spec *s, const char *prefix, uint64_t value,
                       uint32_t base, bool upper)
{
    const char *const digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[NUMBER_MAX];
    size_t at = sizeof(text);
    do {
        text[--at] = digits[value % base];
        value /= base;
    } while (value != 0);

    size_t prefix_length = 0;
    while (prefix[prefix_length] != '\0') {
        prefix_length++;
    }
    size_t length = prefix_length + (sizeof(text) - at);
    size_t pad = s->width > length ? s->width - length : 0;
    if (!s->left && !s->zero) {
        put_times(o, ' ', pad);
    }
    for (size_t i = 0; i < prefix_length; i++) {
        put(o, prefix[i]);
    }
    if (!s->left && s->zero) {
        put_times(o, '0', pad);
    }
    for (; at < sizeof(text); at++) {
        put(o, text[at]);
    }
    if (s->left) {
        put_times(o, ' ', pad);
    }
}

static void put_string(struct out *o, const struct spec *s, const char *text)
{
    if (text == NULL) {
        text = "(null)";
    }
    size_t length = 0;
    while ((!s->has_precision || length < s->precision) && text[length] != '\0') {
        length++;
    }
    put_padded(o, s, text, length);
}

/* Digits at *p as a number; saturates. */
static size_t parse_digits(const char **p)
{
    size_t value = 0;
    for (; **p >= '0' && **p <= '9'; (*p)++) {
        size_t next;
        if (!kc_mul_size(value, 10, &next) || !kc_add_size(next, (size_t)(**p - '0'), &next)) {
            next = SIZE_MAX;
        }
        value = next;
    }
    return value;
}

/* What a * stands for: the magnitude of an int, which may be INT_MIN. */
static size_t magnitude(int v)
{
    return v < 0 ? (size_t)0 - (size_t)v : (size_t)v;
}

/* What stands behind a percent sign. Fetches the arguments of *, and those alone. */
static const char *parse(const char *p, struct spec *s, va_list *args)
{
    for (;; p++) {
        if (*p == '-') {
            s->left = true;
        } else if (*p == '0') {
            s->zero = true;
        } else {
            break;
        }
    }
    if (*p == '*') {
        int v = va_arg(*args, int);
        s->left = s->left || v < 0;
        s->width = magnitude(v);
        p++;
    } else {
        s->width = parse_digits(&p);
    }
    if (*p == '.') {
        p++;
        s->has_precision = true;
        if (*p == '*') {
            int v = va_arg(*args, int);
            s->has_precision = v >= 0;
            s->precision = magnitude(v);
            p++;
        } else {
            s->precision = parse_digits(&p);
        }
    }
    if (*p == 'z') {
        s->length = LENGTH_SIZE;
        p++;
    } else if (*p == 'l') {
        s->length = LENGTH_LONG;
        p++;
        if (*p == 'l') {
            s->length = LENGTH_LONG_LONG;
            p++;
        }
    }
    s->conversion = *p;
    return p;
}

static uint64_t fetch_unsigned(const struct spec *s, va_list *args)
{
    switch (s->length) {
    case LENGTH_LONG:
        return va_arg(*args, unsigned long);
    case LENGTH_LONG_LONG:
        return va_arg(*args, unsigned long long);
    case LENGTH_SIZE:
        return va_arg(*args, size_t);
    case LENGTH_INT:
        break;
    }
    return va_arg(*args, unsigned int);
}

static int64_t fetch_signed(const struct spec *s, va_list *args)
{
    switch (s->length) {
    case LENGTH_LONG:
        return va_arg(*args, long);
    case LENGTH_LONG_LONG:
        return va_arg(*args, long long);
    case LENGTH_SIZE:
        return (int64_t)va_arg(*args, ptrdiff_t);
    case LENGTH_INT:
        break;
    }
    return va_arg(*args, int);
}

/* Print one specification; false if it is none of ours, and then no argument was fetched for it. */
static bool convert(struct out *o, const struct spec *s, va_list *args)
{
    switch (s->conversion) {
    case 'd':
    case 'i': {
        int64_t v = fetch_signed(s, args);
        uint64_t size = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
        put_number(o, s, v < 0 ? "-" : "", size, 10, false);
        return true;
    }
    case 'u':
        put_number(o, s, "", fetch_unsigned(s, args), 10, false);
        return true;
    case 'x':
    case 'X':
        put_number(o, s, "", fetch_unsigned(s, args), 16, s->conversion == 'X');
        return true;
    case 'p':
        put_number(o, s, "0x", (uintptr_t)va_arg(*args, void *), 16, false);
        return true;
    case 'c': {
        char c = (char)va_arg(*args, int);
        put_padded(o, s, &c, 1);
        return true;
    }
    case 's':
        put_string(o, s, va_arg(*args, const char *));
        return true;
    case '%':
        put(o, '%');
        return true;
    default:
        return false;
    }
}

static void format(struct out *o, const char *p, va_list *args)
{
    for (; *p != '\0'; p++) {
        if (*p != '%') {
            put(o, *p);
            continue;
        }
        const char *percent = p;
        struct spec s = {0};
        p = parse(p + 1, &s, args);
        if (!convert(o, &s, args)) {
            for (; *percent != '\0'; percent++) {
                put(o, *percent);
            }
            return;
        }
    }
}

size_t kc_vfmt(char *buf, size_t n, const char *fmt, va_list args)
{
    struct out o = {buf, n, 0};
    va_list own; /* a va_list parameter may be an array: a copy has an address of the right type */
    va_copy(own, args);
    format(&o, fmt, &own);
    va_end(own);
    if (n != 0) {
        buf[o.length < n - 1 ? o.length : n - 1] = '\0'; /* F1 */
    }
    return o.length;
}

size_t kc_fmt(char *buf, size_t n, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    size_t length = kc_vfmt(buf, n, fmt, args);
    va_end(args);
    return length;
}
