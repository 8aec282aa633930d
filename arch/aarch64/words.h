/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * words.h: the words of a kernel command line: `key` or `key=value`, apart by blanks. Portable.
 */
#ifndef KC_A64_WORDS_H
#define KC_A64_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Find the first word of that key.
 *
 * value, n   out: what stands behind its `=`, not zero-terminated; n is 0 without one. May be NULL
 *
 * Returns false if there is no such word.
 */
bool kc_words_find(const char *line, const char *key, const char **value, size_t *n);

/** The number in decimal, or hexadecimal with 0x, of `key=number`; false without one. */
bool kc_words_u64(const char *line, const char *key, uint64_t *out);

/** True if there is the word `key=value`. */
bool kc_words_is(const char *line, const char *key, const char *value);

#endif
