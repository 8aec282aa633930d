/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/bits.h: arithmetic that cannot wrap, alignment, bit fields.
 *
 * Every sum and product whose operands come from a caller goes through the checked forms here; they
 * return false and leave *out untouched where the mathematical result does not fit. All functions
 * are pure, inline, constant time, and usable in any context.
 */
#ifndef KC_BITS_H
#define KC_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kc/config.h>

KC_EXTERN_C_BEGIN

#define KC_KIB(n)         ((uint64_t)(n) << 10)
#define KC_MIB(n)         ((uint64_t)(n) << 20)
#define KC_GIB(n)         ((uint64_t)(n) << 30)

#define KC_ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* One bit; n is 0 to 63. */
#define KC_BIT(n) ((uint64_t)1 << (n))

/* Bits hi down to lo, both included; 63 >= hi >= lo >= 0. */
#define KC_MASK(hi, lo) ((~(uint64_t)0 >> (63 - (hi))) & ~(KC_BIT(lo) - 1))

/** *out = a + b, or false if the sum exceeds 64 bits. */
KC_NODISCARD KC_INLINE bool kc_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_add_overflow(a, b, &r)) {
        return false;
    }
    *out = r;
    return true;
}

/** *out = a * b, or false if the product exceeds 64 bits. */
KC_NODISCARD KC_INLINE bool kc_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_mul_overflow(a, b, &r)) {
        return false;
    }
    *out = r;
    return true;
}

/** *out = a + b, or false if the sum exceeds a size_t. */
KC_NODISCARD KC_INLINE bool kc_add_size(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) {
        return false;
    }
    *out = r;
    return true;
}

/** *out = a * b, or false if the product exceeds a size_t. */
KC_NODISCARD KC_INLINE bool kc_mul_size(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) {
        return false;
    }
    *out = r;
    return true;
}

/** True if exactly one bit is set; 0 is no power of two. */
KC_INLINE bool kc_is_pow2(uint64_t v)
{
    return v != 0 && (v & (v - 1)) == 0;
}

/** True if v is a multiple of align; align is a power of two. */
KC_INLINE bool kc_is_aligned(uint64_t v, uint64_t align)
{
    return (v & (align - 1)) == 0;
}

/** Greatest multiple of align at or below v; align is a power of two. */
KC_INLINE uint64_t kc_align_down(uint64_t v, uint64_t align)
{
    return v & ~(align - 1);
}

/** *out = least multiple of align at or above v, or false if it exceeds 64 bits. */
KC_NODISCARD KC_INLINE bool kc_align_up(uint64_t v, uint64_t align, uint64_t *out)
{
    uint64_t r;
    if (!kc_add_u64(v, align - 1, &r)) {
        return false;
    }
    *out = kc_align_down(r, align);
    return true;
}

/** Floor of the binary logarithm; v is not 0. */
KC_INLINE uint32_t kc_log2_floor(uint64_t v)
{
    return 63u ^ (uint32_t)__builtin_clzll(v); /* 63 minus it; this is one instruction on x86 */
}

/** Ceiling of the binary logarithm; v is not 0. */
KC_INLINE uint32_t kc_log2_ceil(uint64_t v)
{
    return v == 1 ? 0 : kc_log2_floor(v - 1) + 1;
}

/** Field hi..lo of v, shifted down. */
KC_INLINE uint64_t kc_field_get(uint64_t v, uint32_t hi, uint32_t lo)
{
    return (v & KC_MASK(hi, lo)) >> lo;
}

/** v with field hi..lo replaced by f; bits of f that do not fit are dropped, so callers check. */
KC_INLINE uint64_t kc_field_set(uint64_t v, uint32_t hi, uint32_t lo, uint64_t f)
{
    return (v & ~KC_MASK(hi, lo)) | ((f << lo) & KC_MASK(hi, lo));
}

/**
 * Bits of n spread over all 64, for hashes and for series that nobody continues by eye. No two n
 * have the same; the upper half is the better one (multiplicative hashing, Knuth, 6.4; constants of
 * SplitMix, Steele et al. 2014).
 */
KC_INLINE uint64_t kc_mix_u64(uint64_t n)
{
    n *= UINT64_C(0x9e3779b97f4a7c15);
    n ^= n >> 29;
    return n * UINT64_C(0xbf58476d1ce4e5b9);
}

/*
 * The one place where "base plus size" is judged. A range is base and size; the last byte of the
 * 64-bit space may belong to it, so there is no end address. Size 0 is the empty range: it is valid
 * at any base, contains nothing, and overlaps nothing.
 */

/** True if every byte of base..base+size-1 has an address. */
KC_INLINE bool kc_range_fits(uint64_t base, uint64_t size)
{
    return size == 0 || size - 1 <= UINT64_MAX - base;
}

/** True if a is inside the range; the range fits. */
KC_INLINE bool kc_range_has(uint64_t base, uint64_t size, uint64_t a)
{
    return a >= base && a - base < size;
}

/** True if all of the inner range is inside the outer, and the inner is not empty; outer fits. */
KC_INLINE bool kc_range_covers(uint64_t base, uint64_t size, uint64_t inner, uint64_t inner_size)
{
    return inner_size != 0 && inner >= base && inner - base < size &&
           inner_size <= size - (inner - base);
}

/** True if some byte is in both ranges; both fit. */
KC_INLINE bool kc_range_meets(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    if (a_size == 0 || b_size == 0) {
        return false;
    }
    return a <= b ? b - a < a_size : a - b < b_size;
}

KC_EXTERN_C_END

#endif
