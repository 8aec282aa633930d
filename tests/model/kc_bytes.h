/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc_bytes.h: a string of bytes read as choices. Fuzz targets hand in what libFuzzer made, unit
 * tests what a seed made; the operation decoders of the models (X_model.h) take either. At the end
 * of the string every choice is 0.
 *
 * A model's operations return NULL, or a sentence that says what disagreed.
 */
#ifndef KC_BYTES_H
#define KC_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kc_bytes {
    const uint8_t *data;
    size_t n;
    size_t at;
};

static inline bool kc_bytes_is_empty(const struct kc_bytes *b)
{
    return b->at >= b->n;
}

static inline uint8_t kc_bytes_u8(struct kc_bytes *b)
{
    return b->at < b->n ? b->data[b->at++] : 0;
}

/* Little-endian. */
static inline uint64_t kc_bytes_u64(struct kc_bytes *b)
{
    uint64_t v = 0;
    for (uint32_t i = 0; i < 8; i++) {
        v |= (uint64_t)kc_bytes_u8(b) << (8 * i);
    }
    return v;
}

static inline uint32_t kc_bytes_u32(struct kc_bytes *b)
{
    uint32_t v = 0;
    for (uint32_t i = 0; i < 4; i++) {
        v |= (uint32_t)kc_bytes_u8(b) << (8 * i);
    }
    return v;
}

/* 0 to limit - 1; limit is not 0. Takes one byte for small limits, four for others. */
static inline uint32_t kc_bytes_below(struct kc_bytes *b, uint32_t limit)
{
    return (limit <= 256 ? kc_bytes_u8(b) : kc_bytes_u32(b)) % limit;
}

/* A generator of test data (xorshift64*, Vigna 2016), for seeds of any value. */
static inline uint64_t kc_random(uint64_t *state)
{
    uint64_t x = *state == 0 ? UINT64_C(0x9e3779b97f4a7c15) : *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

static inline void kc_random_fill(uint64_t *state, uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        data[i] = (uint8_t)(kc_random(state) >> 56);
    }
}

#endif
