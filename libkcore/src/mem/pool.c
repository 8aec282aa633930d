/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool: blocks of one size in one range. Theory.
 *
 * Nouns. The memory holds `capacity` *blocks*, `stride` bytes apart, then a *stack* with a slot for
 * each block, then a *state* byte for each. A block is *fresh* until it is handed out for the first
 * time; after that it is live, or free and on the stack, or *lost* (hardening full only).
 *
 *     memory  | block 0 | block 1 | ... | block n-1 | stack: n indexes | state: n bytes |
 *     stack   | 7 | 2 | 9 | ...             depth = 3: block 9 goes next
 *     blocks  | live, free or lost  | fresh ...        fresh = first that was never handed out
 *
 * A free takes the index of the block from its address and pushes it; an allocation pops, or takes
 * the next fresh block. So nothing needs to be written before it is used: init is O(1) and a large
 * pool costs only what is used of it. An index is 2 bytes up to 65,536 blocks and 4 beyond; with
 * the state byte, 3 or 5 bytes a block. Blocks are never written to, so a freed DMA buffer or a
 * clobbered block cannot lead the pool astray.
 *
 * The address minus base, divided by stride, is the index. For a stride d and capacity B, let
 * k = 63 - ceil(log2 B) and m = floor(2^k / d) + 1; then n / d = n * m >> k for all n < B d if
 * B d d <= 2^k: m d = 2^k + e with 0 < e <= d, so that n m / 2^k exceeds n / d by n e / (d 2^k),
 * which is less than 1/d when n e < 2^k. And n m < B (2^k + d) < 2^64, so it does not overflow.
 * Where B d d is greater (blocks of a megabyte in thousands), the machine divides.
 *
 * Invariants
 *  P1  depth + lost <= fresh <= capacity.
 *  P2  Slots 0..depth-1 hold indexes below fresh, of blocks in state FREE, each once.
 *  P3  Every block below fresh is FREE, LIVE or LOST; depth of them are FREE, `lost` are LOST.
 *  P4  Blocks, stack and state lie in the memory in this order and do not meet.
 *  P5  Hardening full: the block_bytes of a FREE block are zero.
 *
 * Cost and locking. O(1); one lock of rank POOL, taken with interrupts masked, or none at all with
 * KC_POOL_UNLOCKED. At full a block is cleared at free and looked over at allocation, without the
 * lock: it is nobody else's then.
 *
 * Sources: division by multiplication after T. Granlund and P. L. Montgomery, Division by Invariant
 * Integers using Multiplication, 1994.
 */
#include "pool_priv.h"

#define META_SHORT 3u /* bytes of bookkeeping a block, up to POOL_SHORT_MAX blocks */
#define META_LONG  5u

KC_INLINE uint64_t enter(struct kc_pool *p)
{
    return (p->flags & KC_POOL_UNLOCKED) != 0 ? 0 : kc_lock_acquire_irqsave(&p->lock);
}

KC_INLINE void leave(struct kc_pool *p, uint64_t irq)
{
    if ((p->flags & KC_POOL_UNLOCKED) == 0) {
        kc_lock_release_irqrestore(&p->lock, irq);
    }
}

/* Index of the block in which the offset lies; the offset is inside the blocks. */
KC_INLINE uint32_t index_of(const struct kc_pool *p, uintptr_t offset)
{
    if (KC_LIKELY(p->reciprocal != 0)) {
        return (uint32_t)((offset * p->reciprocal) >> p->reciprocal_shift);
    }
    return (uint32_t)(offset / p->stride);
}

static void raise(struct kc_pool *p, enum kc_misuse_kind kind, const char *where, const void *ptr,
                  uint64_t expected, uint64_t found)
{
    struct kc_misuse_report r = {kind, where, p->name, (uintptr_t)ptr, expected, found};
    kc_misuse_raise(p->misuse, &r);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

/* Greatest number of blocks that fits with its bookkeeping. */
static size_t capacity_for(size_t bytes, size_t stride)
{
    if (stride > bytes - META_SHORT) {
        return 0;
    }
    size_t n = bytes / (stride + META_SHORT);
    if (n > POOL_SHORT_MAX) {
        size_t more = bytes / (stride + META_LONG);
        n = more > POOL_SHORT_MAX ? more : POOL_SHORT_MAX;
    }
    return n < KC_POOL_BLOCKS_MAX ? n : KC_POOL_BLOCKS_MAX;
}

/* See the theory. */
static void set_reciprocal(struct kc_pool *p)
{
    uint32_t k = 63 - kc_log2_ceil(p->capacity);
    uint64_t area;
    p->reciprocal = 0;
    p->reciprocal_shift = 0;
    if (kc_mul_u64((uint64_t)p->capacity * p->stride, p->stride, &area) && area <= KC_BIT(k)) {
        p->reciprocal = KC_BIT(k) / p->stride + 1;
        p->reciprocal_shift = k;
    }
}

static void set_name(char *to, const char *from)
{
    uint32_t i = 0;
    for (; from != NULL && from[i] != 0 && i < KC_POOL_NAME_CHARS - 1; i++) {
        to[i] = from[i];
    }
    to[i] = 0;
}

kc_status_t kc_pool_init(struct kc_pool *p, const struct kc_pool_config *config)
{
    if (p == NULL || config == NULL || config->memory == NULL || config->block_bytes == 0 ||
        (config->flags & ~(KC_POOL_ZERO_ALLOC | KC_POOL_UNLOCKED)) != 0) {
        return KC_ERR_ARG;
    }
    size_t align = config->align == 0 ? KC_POOL_ALIGN_MIN : config->align;
    if (!kc_is_pow2(align) || align < KC_POOL_ALIGN_MIN) {
        return KC_ERR_ARG;
    }
    if (!kc_is_aligned((uintptr_t)config->memory, align)) {
        return KC_ERR_ALIGN;
    }
    uintptr_t base = (uintptr_t)config->memory;
    if (config->memory_bytes != 0 && config->memory_bytes - 1 > UINTPTR_MAX - base) {
        return KC_ERR_RANGE;
    }
    size_t padded;
    if (!kc_add_size(config->block_bytes, align - 1, &padded)) {
        return KC_ERR_RANGE;
    }
    size_t stride = padded & ~(align - 1);
    size_t capacity =
        config->memory_bytes < META_SHORT ? 0 : capacity_for(config->memory_bytes, stride);
    if (capacity == 0) {
        return KC_ERR_NOMEM;
    }

    __builtin_memset(p, 0, sizeof(*p));
    p->base = base;
    p->stride = stride;
    p->capacity = (uint32_t)capacity;
    p->stack = (void *)(base + capacity * stride);
    p->state = (uint8_t *)p->stack + capacity * (pool_is_short(p) ? 2u : 4u);
    p->block_bytes = config->block_bytes;
    p->memory_bytes = config->memory_bytes;
    p->align = align;
    p->flags = config->flags;
    p->misuse = config->misuse;
    set_reciprocal(p);
    set_name(p->name, config->name);
    kc_lock_init(&p->lock, "pool", KC_RANK_POOL);
    return KC_OK;
}

kc_status_t kc_pool_fini(struct kc_pool *p)
{
    uint64_t irq = enter(p);
    uint32_t live = pool_live(p);
    leave(p, irq);
    if (live != 0) {
        raise(p, KC_MISUSE_BUSY, __func__, (const void *)p->base, 0, live);
        return KC_ERR_STATE;
    }
    /* The memory is the caller's again, whole. */
    kc_plat_note(KC_NOTE_ALLOC, p->base, p->capacity * p->stride, p);
    p->capacity = 0;
    p->fresh = 0;
    p->depth = 0;
    p->lost = 0;
    return KC_OK;
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* Pops a block, or takes a fresh one; *used says whether it was live before. NULL if none. */
KC_INLINE void *take(struct kc_pool *p, bool *used)
{
    uint64_t irq = enter(p);
    uint32_t index;
    *used = p->depth != 0;
    if (KC_LIKELY(p->depth != 0)) {
        index = pool_stack_get(p, --p->depth);
    } else if (p->fresh < p->capacity) {
        index = p->fresh++;
    } else {
        p->fail_count++;
        leave(p, irq);
        return NULL;
    }
    p->state[index] = POOL_LIVE;
    uint32_t live = pool_live(p);
    p->peak = live > p->peak ? live : p->peak;
    leave(p, irq);
    return pool_block(p, index);
}

#if KC_HARDENING >= KC_HARDENING_FULL
static bool is_zero(const void *block, size_t bytes)
{
    const unsigned char *b = (const unsigned char *)block;
    for (size_t i = 0; i < bytes; i++) {
        if (b[i] != 0) {
            return false;
        }
    }
    return true;
}

/* Takes a block that was written after its free out of use, and reports it. */
static KC_COLD void lose(struct kc_pool *p, void *block)
{
    uint64_t irq = enter(p);
    p->state[index_of(p, (uintptr_t)block - p->base)] = POOL_LOST;
    p->lost++;
    leave(p, irq);
    kc_plat_note(KC_NOTE_FREE, (uintptr_t)block, p->block_bytes, p);
    raise(p, KC_MISUSE_CORRUPT, "kc_pool_alloc", block, 0, 0);
}
#endif

void *kc_pool_alloc(struct kc_pool *p)
{
    for (;;) {
        bool used;
        void *block = take(p, &used);
        if (block == NULL) {
            return NULL;
        }
        kc_plat_note(KC_NOTE_ALLOC, (uintptr_t)block, p->block_bytes, p);
#if KC_HARDENING >= KC_HARDENING_FULL
        if (used && !is_zero(block, p->block_bytes)) {
            lose(p, block);
            continue;
        }
#endif
        if ((p->flags & KC_POOL_ZERO_ALLOC) != 0) {
            __builtin_memset(block, 0, p->block_bytes);
        }
        return block;
    }
}

static KC_COLD kc_status_t refuse(struct kc_pool *p, uint64_t irq, enum kc_misuse_kind kind,
                                  const void *ptr, kc_status_t status)
{
    uint64_t base = p->base;
    leave(p, irq);
    raise(p, kind, "kc_pool_free", ptr, base, (uintptr_t)ptr);
    return status;
}

kc_status_t kc_pool_free(struct kc_pool *p, void *ptr)
{
    if (ptr == NULL) {
        return KC_OK;
    }
    uint64_t irq = enter(p);
    /* Below base the difference wraps and is too large. */
    uintptr_t offset = (uintptr_t)ptr - p->base;
    if (KC_UNLIKELY(offset >= p->capacity * p->stride)) {
        return refuse(p, irq, KC_MISUSE_FOREIGN, ptr, KC_ERR_RANGE);
    }
    uint32_t index = index_of(p, offset);
#if KC_HARDENING >= KC_HARDENING_CHECKED
    if (KC_UNLIKELY(index * p->stride != offset)) {
        return refuse(p, irq, KC_MISUSE_INTERIOR, ptr, KC_ERR_ALIGN);
    }
    if (KC_UNLIKELY(index >= p->fresh || p->state[index] != POOL_LIVE)) {
        return refuse(p, irq, KC_MISUSE_DOUBLE_FREE, ptr, KC_ERR_STATE);
    }
#else
    if (KC_UNLIKELY(p->depth >= p->fresh)) {
        return refuse(p, irq, KC_MISUSE_DOUBLE_FREE, ptr, KC_ERR_STATE);
    }
#endif
#if KC_HARDENING >= KC_HARDENING_FULL
    __builtin_memset(ptr, 0, p->block_bytes);
#endif
    /* Before the push: from then on another CPU may be given the block. */
    kc_plat_note(KC_NOTE_FREE, (uintptr_t)ptr, p->block_bytes, p);
    p->state[index] = POOL_FREE;
    pool_stack_set(p, p->depth++, index);
    leave(p, irq);
    return KC_OK;
}

/* ---- queries -------------------------------------------------------------------------------- */

void kc_pool_stats(struct kc_pool *p, struct kc_pool_stats *out)
{
    uint64_t irq = enter(p);
    out->block_bytes = p->block_bytes;
    out->stride_bytes = p->stride;
    out->capacity = p->capacity;
    out->live = pool_live(p);
    out->peak = p->peak;
    out->lost = p->lost;
    out->fail_count = p->fail_count;
    out->memory_bytes = p->memory_bytes;
    out->meta_bytes = (size_t)p->capacity * (pool_is_short(p) ? META_SHORT : META_LONG);
    leave(p, irq);
}

bool kc_pool_is_live(struct kc_pool *p, const void *ptr)
{
    uint64_t irq = enter(p);
    uintptr_t offset = (uintptr_t)ptr - p->base;
    bool live = false;
    if (ptr != NULL && offset < p->capacity * p->stride) {
        uint32_t index = index_of(p, offset);
        live = index * p->stride == offset && index < p->fresh && p->state[index] == POOL_LIVE;
    }
    leave(p, irq);
    return live;
}

void *kc_pool_next_live(struct kc_pool *p, uint32_t *cursor)
{
    void *block = NULL;
    uint64_t irq = enter(p);
    uint32_t i = *cursor;
    while (i < p->fresh && block == NULL) {
        if (p->state[i] == POOL_LIVE) {
            block = pool_block(p, i);
        }
        i++;
    }
    *cursor = i;
    leave(p, irq);
    return block;
}
