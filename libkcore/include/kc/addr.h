/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/addr.h: the kinds of address, as types that do not mix.
 *
 *     kc_pa_t   physical address, as a CPU puts it on the bus
 *     kc_va_t   kernel virtual address (TTBR1 half, or an identity map)
 *     kc_uva_t  user virtual address (TTBR0 half)
 *     kc_ipa_t  intermediate physical address (output of stage 1 in a guest)
 *     kc_dva_t  device address, as a DMA master puts it on its bus
 *     kc_ia_t   input address of a translation: what kc/pt.h takes
 *
 * Each is a struct of one 64-bit member, passed in a register: zero cost, and handing one kind
 * where another is wanted does not compile, in C or in C++. There is no cast between kinds here.
 * Only what owns a translation makes one from another, by going through the raw number on purpose.
 *
 * A range is base and size (kc_pa_range_t and so on): the last page of a 64-bit space has no end
 * address. What fits, covers and meets is decided in kc/bits.h, once.
 */
#ifndef KC_ADDR_H
#define KC_ADDR_H

#include <kc/bits.h>

KC_EXTERN_C_BEGIN

/*
 * For each kind K:
 *   kc_K(raw)                 make one from a number
 *   kc_K_raw(a)               the number
 *   kc_K_eq(a, b), kc_K_lt    comparison within a kind
 *   kc_K_add(a, n, &out)      checked sum; false, *out untouched, if it wraps
 *   kc_K_diff(a, b)           a - b in bytes; a is not below b
 *   kc_K_is_aligned(a, n)     n is a power of two
 *   kc_K_align_down(a, n)     n is a power of two
 *   kc_K_range(base, size)    make a range
 *   kc_K_range_fits(r)        every byte has an address
 *   kc_K_range_has(r, a), kc_K_range_covers(outer, inner), kc_K_range_meets(r, s)
 */
#define KC_ADDR_KIND(K)                                                                   \
    typedef struct {                                                                      \
        uint64_t raw_;                                                                    \
    } kc_##K##_t;                                                                         \
    typedef struct {                                                                      \
        kc_##K##_t base;                                                                  \
        uint64_t size;                                                                    \
    } kc_##K##_range_t;                                                                   \
    KC_INLINE kc_##K##_t kc_##K(uint64_t raw)                                             \
    {                                                                                     \
        kc_##K##_t a = {raw};                                                             \
        return a;                                                                         \
    }                                                                                     \
    KC_INLINE uint64_t kc_##K##_raw(kc_##K##_t a)                                         \
    {                                                                                     \
        return a.raw_;                                                                    \
    }                                                                                     \
    KC_INLINE bool kc_##K##_eq(kc_##K##_t a, kc_##K##_t b)                                \
    {                                                                                     \
        return a.raw_ == b.raw_;                                                          \
    }                                                                                     \
    KC_INLINE bool kc_##K##_lt(kc_##K##_t a, kc_##K##_t b)                                \
    {                                                                                     \
        return a.raw_ < b.raw_;                                                           \
    }                                                                                     \
    KC_NODISCARD KC_INLINE bool kc_##K##_add(kc_##K##_t a, uint64_t n, kc_##K##_t *out)   \
    {                                                                                     \
        return kc_add_u64(a.raw_, n, &out->raw_);                                         \
    }                                                                                     \
    KC_INLINE uint64_t kc_##K##_diff(kc_##K##_t a, kc_##K##_t b)                          \
    {                                                                                     \
        return a.raw_ - b.raw_;                                                           \
    }                                                                                     \
    KC_INLINE bool kc_##K##_is_aligned(kc_##K##_t a, uint64_t align)                      \
    {                                                                                     \
        return kc_is_aligned(a.raw_, align);                                              \
    }                                                                                     \
    KC_INLINE kc_##K##_t kc_##K##_align_down(kc_##K##_t a, uint64_t align)                \
    {                                                                                     \
        return kc_##K(kc_align_down(a.raw_, align));                                      \
    }                                                                                     \
    KC_INLINE kc_##K##_range_t kc_##K##_range(kc_##K##_t base, uint64_t size)             \
    {                                                                                     \
        kc_##K##_range_t r = {base, size};                                                \
        return r;                                                                         \
    }                                                                                     \
    KC_INLINE bool kc_##K##_range_fits(kc_##K##_range_t r)                                \
    {                                                                                     \
        return kc_range_fits(r.base.raw_, r.size);                                        \
    }                                                                                     \
    KC_INLINE bool kc_##K##_range_has(kc_##K##_range_t r, kc_##K##_t a)                   \
    {                                                                                     \
        return kc_range_has(r.base.raw_, r.size, a.raw_);                                 \
    }                                                                                     \
    KC_INLINE bool kc_##K##_range_covers(kc_##K##_range_t outer, kc_##K##_range_t inner)  \
    {                                                                                     \
        return kc_range_covers(outer.base.raw_, outer.size, inner.base.raw_, inner.size); \
    }                                                                                     \
    KC_INLINE bool kc_##K##_range_meets(kc_##K##_range_t r, kc_##K##_range_t s)           \
    {                                                                                     \
        return kc_range_meets(r.base.raw_, r.size, s.base.raw_, s.size);                  \
    }                                                                                     \
    KC_STATIC_ASSERT(sizeof(kc_##K##_t) == 8, "an address kind costs nothing")

KC_ADDR_KIND(pa);
KC_ADDR_KIND(va);
KC_ADDR_KIND(uva);
KC_ADDR_KIND(ipa);
KC_ADDR_KIND(dva);
KC_ADDR_KIND(ia);

KC_EXTERN_C_END

#endif
