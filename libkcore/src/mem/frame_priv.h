/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to frame.c, frame_check.c and white-box tests: what a record's words mean. */
#ifndef KC_FRAME_PRIV_H
#define KC_FRAME_PRIV_H

#include <kc/frame.h>

#define FRAME_NONE  UINT32_MAX /* no record: end of a list */
#define FRAME_CHUNK (1u << KC_FRAME_ORDER_MAX)

/* First frame number of zone 1. */
#define FRAME_ZONE_LIMIT (KC_GIB(4) >> KC_FRAME_LOG2)
KC_STATIC_ASSERT(KC_GIB(4) % ((uint64_t)FRAME_CHUNK << KC_FRAME_LOG2) == 0,
                 "a zone ends where a greatest block ends");

/* The kind word: order in bits 7:0, state in 15:8, owner in 31:16. INNER is all zero. */
KC_INLINE uint32_t frame_kind(enum kc_frame_state state, uint32_t order, uint32_t owner)
{
    return order | ((uint32_t)state << 8) | (owner << 16);
}

KC_INLINE uint32_t frame_kind_order(uint32_t kind)
{
    return kind & 0xffu;
}

KC_INLINE enum kc_frame_state frame_kind_state(uint32_t kind)
{
    return (enum kc_frame_state)((kind >> 8) & 0xffu);
}

KC_INLINE uint32_t frame_kind_owner(uint32_t kind)
{
    return kind >> 16;
}

/* The word of a USED record: references below, pins above. */
KC_INLINE uint32_t frame_refs(uint32_t word)
{
    return word & 0xffffu;
}

KC_INLINE uint32_t frame_pins(uint32_t word)
{
    return word >> 16;
}

#define FRAME_REF_ONE 1u
#define FRAME_PIN_ONE 0x10000u
#define FRAME_REF_MAX 0xffffu

/*
 * kc_frame_find() reads records without the lock, so whatever it may meet is written by relaxed
 * atomic stores: it may see an old answer, but never a torn one.
 */
KC_INLINE uint32_t frame_load_kind(const struct kc_frame *r)
{
    return __atomic_load_n(&r->kind, __ATOMIC_ACQUIRE);
}

KC_INLINE void frame_store_kind(struct kc_frame *r, uint32_t kind)
{
    __atomic_store_n(&r->kind, kind, __ATOMIC_RELEASE);
}

KC_INLINE void frame_store_data(struct kc_frame *r, uint64_t data)
{
    __atomic_store_n(&r->u.data, data, __ATOMIC_RELAXED);
}

KC_INLINE void frame_store_next(struct kc_frame *r, uint32_t next)
{
    __atomic_store_n(&r->u.link.next, next, __ATOMIC_RELAXED);
}

KC_INLINE void frame_store_prev(struct kc_frame *r, uint32_t prev)
{
    __atomic_store_n(&r->u.link.prev, prev, __ATOMIC_RELAXED);
}

KC_INLINE uint32_t frame_span_fresh(const struct kc_frame_span *s)
{
    return __atomic_load_n(&s->fresh, __ATOMIC_ACQUIRE);
}

/* True if the record was never written; index is in the span. */
KC_INLINE bool frame_is_fresh(const struct kc_frame_span *s, uint32_t index)
{
    return index >= frame_span_fresh(s) && index < s->fresh_end;
}

KC_INLINE uint32_t frame_zone_of(uint64_t pfn)
{
    return pfn < FRAME_ZONE_LIMIT ? 0 : 1;
}

/* Frame number of a record of the span, and the reverse. */
KC_INLINE uint64_t frame_pfn(const struct kc_frame_span *s, uint32_t index)
{
    return s->pfn + (index - s->index);
}

KC_INLINE uint32_t frame_record(const struct kc_frame_span *s, uint64_t pfn)
{
    return s->index + (uint32_t)(pfn - s->pfn);
}

KC_INLINE kc_pa_t frame_pa(uint64_t pfn)
{
    return kc_pa(pfn << KC_FRAME_LOG2);
}

#endif
