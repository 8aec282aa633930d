/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * markup.c: a growing text, and the one door by which strings of others come in.
 *
 * Invariants
 *   I1  size <= room, and text has room bytes (NULL if 0)
 *   I2  what markup_text() adds holds none of < > & " ' and no control character but space, and is
 *       well-formed UTF-8 (RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF)
 */
#include "markup.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"

#define FIRST_ROOM 65536u

void markup_fini(struct markup *m)
{
    free(m->text);
    *m = (struct markup){0};
}

static bool make_room(struct markup *m, size_t more)
{
    if (m->failed) {
        return false;
    }
    if (m->room - m->size >= more) {
        return true;
    }
    size_t room = m->room != 0 ? m->room : FIRST_ROOM;
    while (room - m->size < more) {
        room *= 2;
    }
    char *text = realloc(m->text, room);
    if (text == NULL) {
        m->failed = true;
        return false;
    }
    m->text = text;
    m->room = room;
    return true;
}

static void add(struct markup *m, const char *text, size_t n)
{
    if (make_room(m, n)) {
        memcpy(m->text + m->size, text, n);
        m->size += n;
    }
}

void markup_raw(struct markup *m, const char *text)
{
    add(m, text, strlen(text));
}

void markup_fmt(struct markup *m, const char *format, ...)
{
    char buf[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(buf, sizeof(buf), format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof(buf)) {
        m->failed = true; /* a piece of ours that is too long: never cut in the middle of a tag */
        return;
    }
    add(m, buf, (size_t)n);
}

/* Bytes of the UTF-8 sequence at s that may be shown; 0 if there is none. */
static size_t shown_sequence(const unsigned char *s)
{
    if (s[0] < 0x80) {
        return s[0] >= 0x20 && s[0] != 0x7f ? 1 : 0;
    }
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (s[0] < 0xc2 || s[0] > 0xf4) {
        return 0;
    }
    uint32_t point = s[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) { /* the terminating zero ends here too */
            return 0;
        }
        point = point << 6 | (s[i] & 0x3fu);
    }
    bool control = point < 0xa0 || (point >= 0x200b && point <= 0x200f) ||
                   (point >= 0x202a && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
    bool good = point >= least[n] && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
    return good && !control && (point & 0xfffe) != 0xfffe ? n : 0;
}

static const char *reference_of(char c)
{
    switch (c) {
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '&':
        return "&amp;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void markup_text(struct markup *m, const char *text)
{
    while (*text != '\0') {
        const char *reference = reference_of(*text);
        size_t n = shown_sequence((const unsigned char *)text);
        if (reference != NULL) {
            markup_raw(m, reference);
        } else if (n != 0) {
            add(m, text, n);
        } else {
            markup_raw(m, "\xef\xbf\xbd");
        }
        text += n != 0 ? n : 1;
    }
}

/* ---- numbers for people --------------------------------------------------------------------- */

struct units_text units_count(uint64_t v)
{
    struct units_text t;
    char digits[24];
    char *out = t.s;
    int n = snprintf(digits, sizeof(digits), "%" PRIu64, v);
    for (int i = 0; i < n; i++) {
        if (i != 0 && (n - i) % 3 == 0) {
            *out++ = ',';
        }
        *out++ = digits[i];
    }
    *out = '\0';
    return t;
}

struct units_text units_short(uint64_t v)
{
    struct units_text t;
    static const char unit[] = "kMGTPE";
    double x = (double)v;
    int i = -1;
    while (x >= 999.5) {
        x /= 1000;
        i++;
    }
    if (i < 0) {
        snprintf(t.s, sizeof(t.s), "%" PRIu64, v);
    } else {
        snprintf(t.s, sizeof(t.s), x < 9.95 ? "%.1f %c" : "%.0f %c", x, unit[i]);
    }
    return t;
}

struct units_text units_bytes(uint64_t bytes)
{
    struct units_text t;
    static const char *const unit[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double x = (double)bytes;
    int i = -1;
    while (x >= 1024 && i < 5) {
        x /= 1024;
        i++;
    }
    if (i < 0) {
        snprintf(t.s, sizeof(t.s), "%" PRIu64 " B", bytes);
    } else {
        bool whole = x >= 100 || x == (double)(uint64_t)x;
        snprintf(t.s, sizeof(t.s), whole ? "%.0f %s" : "%.1f %s", x, unit[i]);
    }
    return t;
}

struct units_text units_time(uint64_t ns)
{
    struct units_text t;
    static const char *const unit[] = {"\xc2\xb5s", "ms", "s"};
    double x = (double)ns;
    int i = -1;
    while (x >= 999.5 && i < 2) {
        x /= 1000;
        i++;
    }
    if (i < 0) {
        snprintf(t.s, sizeof(t.s), "%" PRIu64 " ns", ns);
    } else {
        bool whole = x >= 99.5 || x == (double)(uint64_t)x;
        snprintf(t.s, sizeof(t.s), whole ? "%.0f %s" : "%.1f %s", x, unit[i]);
    }
    return t;
}

struct units_text units_milli_pct(int64_t v)
{
    struct units_text t = {"not known"};
    if (v != KC_REPLAY_NOT_KNOWN) {
        snprintf(t.s, sizeof(t.s), "%.2f %%", (double)v / 1000.0);
    }
    return t;
}
