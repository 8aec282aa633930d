/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * markup.h: HTML and SVG text being put together in memory.
 *
 * What comes from outside (names of types, paths, what a trace says) goes in through markup_text()
 * and nowhere else. A want of memory is remembered and told once, at the end.
 */
#ifndef SIM_MARKUP_H
#define SIM_MARKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kc/config.h>

/* Zero it to begin; markup_fini() when done. Private but for text and size. */
struct markup {
    char *text; /* size bytes, not terminated */
    size_t size;
    size_t room;
    bool failed; /* memory ran out: text is not whole */
};

/** Release it. */
void markup_fini(struct markup *m);

/** Add markup as it is: constants of ours. */
void markup_raw(struct markup *m, const char *text);

/** Add formatted markup. No string from outside may be among the arguments. */
void markup_fmt(struct markup *m, const char *format, ...) KC_PRINTF(2, 3);

/**
 * Add text so that it is shown as it is, in content and in quoted attributes: the five characters
 * that mean something are written as references, and what is not UTF-8, or a control character,
 * becomes U+FFFD.
 */
void markup_text(struct markup *m, const char *text);

/* ---- numbers for people --------------------------------------------------------------------- */

/* A number as text; use it at once: units_bytes(n).s */
struct units_text {
    char s[32];
};

/** 1234567 as 1,234,567. */
struct units_text units_count(uint64_t v);
/** 1234567 as 1.2 M: at most 5 characters. */
struct units_text units_short(uint64_t v);
/** Bytes in the unit that leaves 1 to 4 digits, as in the report's text. */
struct units_text units_bytes(uint64_t bytes);
/** Nanoseconds in the unit that leaves 1 to 3 digits. */
struct units_text units_time(uint64_t ns);
/** Thousandths of a percent; KC_REPLAY_NOT_KNOWN is "not known". */
struct units_text units_milli_pct(int64_t v);

#endif
