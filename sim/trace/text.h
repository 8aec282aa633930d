/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * text.h: lines of an input, and the numbers and words in them.
 *
 * Reading is by hand: a trace has a million lines a second, and scanf is ten times too slow. A line
 * is at most SIM_LINE_MAX bytes; a longer one, or one with a control character, is not text.
 */
#ifndef SIM_TRACE_TEXT_H
#define SIM_TRACE_TEXT_H

#include "input.h"

#include <kc/bits.h>

#include <string.h>

#define SIM_LINE_MAX 16384u

struct sim_lines {
    struct sim_input *input;
    uint64_t number; /* of the line given last, from 1 */
    size_t at;
    size_t size;
    bool input_ended;
    bool whole; /* the line given last had its newline */
    char *buffer;
};

/** Prepare; begun[] is n bytes of the input that were read already. False: no memory. */
bool sim_lines_init(struct sim_lines *l, struct sim_input *input, const void *begun, size_t n);

/** Free its buffer. */
void sim_lines_fini(struct sim_lines *l);

enum sim_lines_next {
    SIM_LINE,
    SIM_LINES_END,
    SIM_LINES_ERROR
};

/** The next line, *begin to *end, without newline and carriage return; good until the next call. */
enum sim_lines_next sim_lines_next(struct sim_lines *l, const char **begin, const char **end,
                                   struct sim_trace_error *err);

/* Cursor helpers; all stop at end. */
static inline bool sim_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool sim_is_space(char c)
{
    return c == ' ' || c == '\t';
}

static inline const char *sim_skip_spaces(const char *p, const char *end)
{
    while (p < end && sim_is_space(*p)) {
        p++;
    }
    return p;
}

static inline const char *sim_skip_word(const char *p, const char *end)
{
    while (p < end && !sim_is_space(*p)) {
        p++;
    }
    return p;
}

/** A decimal number at *p, moved behind it; false if there is none or it exceeds 64 bits. */
static inline bool sim_decimal(const char **p, const char *end, uint64_t *out)
{
    const char *q = *p;
    uint64_t v = 0;
    while (q < end && sim_is_digit(*q)) {
        if (!kc_mul_u64(v, 10, &v) || !kc_add_u64(v, (uint64_t)(*q - '0'), &v)) {
            return false;
        }
        q++;
    }
    if (q == *p) {
        return false;
    }
    *p = q;
    *out = v;
    return true;
}

/** A hexadecimal number without prefix, likewise. */
static inline bool sim_hex(const char **p, const char *end, uint64_t *out)
{
    const char *q = *p;
    uint64_t v = 0;
    for (; q < end; q++) {
        char c = (char)(*q | 0x20);
        uint64_t d;
        if (sim_is_digit(*q)) {
            d = (uint64_t)(*q - '0');
        } else if (c >= 'a' && c <= 'f') {
            d = (uint64_t)(c - 'a') + 10;
        } else {
            break;
        }
        if (v >> 60 != 0) {
            return false;
        }
        v = v << 4 | d;
    }
    if (q == *p) {
        return false;
    }
    *p = q;
    *out = v;
    return true;
}

/** True if the word at p..end begins with that literal. */
#define sim_begins(p, end, literal) \
    ((size_t)((end) - (p)) >= sizeof(literal) - 1 && memcmp((p), literal, sizeof(literal) - 1) == 0)

#endif
