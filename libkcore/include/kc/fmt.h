/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/fmt.h: text from numbers, without a libc.
 *
 * A subset of snprintf, for panics, boot logs and JSON. Not for locales or floating point: a ratio
 * is printed as two integers.
 *
 *     %[flags][width][.precision][length]conversion
 *
 *     flags       -  left-justified      0  padded with zeros (numbers, not with -)
 *     width       digits, or * (an int; negative: left-justified)
 *     precision   for %s alone: the most bytes to read; digits, or * (an int; negative: none)
 *     length      none: int        l: long      ll: long long      z: size_t
 *     conversion  d i u x X c s p %
 *
 * %p prints 0x and hexadecimal digits. %s with NULL prints "(null)". A specification that is none
 * of these prints itself from the percent sign on and ends the text: its arguments cannot be told.
 */
#ifndef KC_FMT_H
#define KC_FMT_H

#include <stdarg.h>

#include <kc/bits.h>

KC_EXTERN_C_BEGIN

/**
 * Format into a buffer.
 *
 * buf   n bytes, or NULL with n = 0; with n > 0 it always ends in a zero byte
 * fmt   not NULL
 *
 * Returns the length that the whole text has without its zero byte: the text was cut if that is n
 * or more. Context: any; recursion and heap are not used.
 */
size_t kc_fmt(char *buf, size_t n, const char *fmt, ...) KC_PRINTF(3, 4);
size_t kc_vfmt(char *buf, size_t n, const char *fmt, va_list args) KC_PRINTF(3, 0);

KC_EXTERN_C_END

#endif
