/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operations from bytes: the decoder that unit tests (random bytes from a seed) and fuzz targets
 * (libFuzzer's bytes) share. A stream that is at its end gives zeroes; drivers stop at ops_done().
 *
 * Whoever includes a model defines MODEL_REQUIRE(cond) first: what to do when the code and the
 * model disagree.
 */
#ifndef MODEL_OPS_H
#define MODEL_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ops {
    const uint8_t *data;
    size_t size;
    size_t at;
};

static inline bool ops_done(const struct ops *o)
{
    return o->at >= o->size;
}

static inline uint32_t ops_u8(struct ops *o)
{
    return o->at < o->size ? o->data[o->at++] : 0;
}

static inline uint32_t ops_u16(struct ops *o)
{
    uint32_t low = ops_u8(o);
    return low | ops_u8(o) << 8;
}

static inline uint32_t ops_u32(struct ops *o)
{
    uint32_t low = ops_u16(o);
    return low | ops_u16(o) << 16;
}

/* Fills bytes from a seed (splitmix64: S. Vigna, public domain). */
static inline void ops_random(uint64_t *seed, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        out[i] = (uint8_t)(z ^ (z >> 31));
    }
}

#endif
