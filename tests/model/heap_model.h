/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap_model: the slow twin of kc/heap.h: a table of the live blocks, what was asked for, and with
 * what it was filled. Blocks must be aligned, as large as asked, and apart: every byte that may be
 * used keeps its fill.
 *
 * Includers define MODEL_REQUIRE(cond) first: what to do where the code and the model disagree.
 */
#ifndef HEAP_MODEL_H
#define HEAP_MODEL_H

#include "kc_bytes.h"
#include <kc/heap.h>

#define HEAP_MODEL_BLOCKS 256u

struct heap_model_block {
    unsigned char *p; /* NULL: slot is free */
    size_t size;
    size_t usable;
    uint8_t fill;
};

struct heap_model {
    struct kc_heap *h;
    struct kc_misuse *misuse;
    struct heap_model_block block[HEAP_MODEL_BLOCKS];
    uint64_t live, granted, refused, reports;
    bool may_fail;  /* memory may run out */
    uint32_t grown; /* large blocks that grew where they were */
};

static inline void heap_model_init(struct heap_model *m, struct kc_heap *h,
                                   struct kc_misuse *misuse)
{
    __builtin_memset(m, 0, sizeof(*m));
    m->h = h;
    m->misuse = misuse;
    m->reports = kc_misuse_total(misuse);
}

static inline void heap_model_check(struct heap_model *m)
{
    struct kc_heap_stats s;
    MODEL_REQUIRE(kc_heap_check(m->h, NULL) == KC_OK);
    kc_heap_stats(m->h, &s);
    MODEL_REQUIRE(s.live == m->live && s.granted_bytes == m->granted);
    MODEL_REQUIRE(s.alloc_count - s.free_count == s.live);
    MODEL_REQUIRE(s.frames_bytes >= s.granted_bytes);
    MODEL_REQUIRE(s.refused_count == m->refused);
    MODEL_REQUIRE(kc_misuse_total(m->misuse) == m->reports);
}

/* Sizes of every kind: mostly small, some at the edges of classes, some large, some impossible. */
static inline size_t heap_model_size(struct kc_bytes *o)
{
    uint32_t x = kc_bytes_below(o, 65536);
    switch (x % 8) {
    case 0:
        return x >> 3;
    case 1:
        return (x & 0xf00) == 0 ? (size_t)(x >> 3) * 37 : (size_t)(x >> 3) * 3;
    case 2:
        return ((size_t)1 << (3 + (x >> 3) % 12)) + (x >> 7) % 3 - 1;
    case 3:
        return (x >> 3) % 64 == 0 ? SIZE_MAX - (x >> 9) : (x >> 3) % 4096;
    default:
        return (x >> 3) % 256;
    }
}

static inline void heap_model_keep(struct heap_model *m, struct heap_model_block *b,
                                   unsigned char *p, size_t size, uint8_t fill)
{
    b->p = p;
    b->size = size;
    b->usable = kc_heap_usable(m->h, p);
    b->fill = fill;
    MODEL_REQUIRE(b->usable >= size && kc_is_aligned((uintptr_t)p, KC_HEAP_ALIGN_MIN));
    m->live++;
    m->granted += b->usable;
    __builtin_memset(p, fill, b->usable);
}

static inline void heap_model_alloc(struct heap_model *m, struct heap_model_block *b,
                                    struct kc_bytes *o)
{
    uint32_t x = kc_bytes_below(o, 65536);
    size_t size = heap_model_size(o);
    size_t align = (size_t)1 << (x >> 8) % 16;
    uint32_t zero = (x & 1) != 0 ? KC_HEAP_ZERO : 0;
    uint32_t flags = zero | (x >> 4 & KC_HEAP_ATOMIC);
    bool possible = size != 0 && size <= KC_HEAP_SIZE_MAX;
    unsigned char *p;
    switch (x >> 1 & 3) {
    case 0:
        align += (x >> 3 & 31) == 0 ? 2 : 0; /* 1 + 2, 4 + 2: no powers of two */
        possible = possible && kc_is_pow2(align);
        p = (unsigned char *)kc_heap_alloc_aligned(m->h, size, align, flags);
        break;
    case 1:
        align = 1;
        p = (unsigned char *)kc_heap_alloc_array(m->h, x >> 13, size, flags);
        possible = !__builtin_mul_overflow((size_t)(x >> 13), size, &size) && size != 0 &&
                   size <= KC_HEAP_SIZE_MAX;
        break;
    default:
        align = 1;
        p = (unsigned char *)kc_heap_alloc(m->h, size, flags);
        MODEL_REQUIRE(p == NULL || kc_heap_usable(m->h, p) == kc_heap_granted(size));
        break;
    }
    m->refused += !possible;
    if (p == NULL) {
        MODEL_REQUIRE(!possible || m->may_fail || size > KC_HEAP_SMALL_MAX || align > 4096);
        return;
    }
    MODEL_REQUIRE(possible && kc_is_aligned((uintptr_t)p, align));
    for (size_t i = 0; zero != 0 && i < kc_heap_usable(m->h, p); i++) {
        MODEL_REQUIRE(p[i] == 0);
        i += i > 300 ? 100 : 0;
    }
    heap_model_keep(m, b, p, size, (uint8_t)(x >> 4));
}

static inline void heap_model_intact(const struct heap_model_block *b, const unsigned char *p,
                                     size_t n)
{
    for (size_t i = 0; i < n; i++) {
        MODEL_REQUIRE(p[i] == b->fill);
    }
}

static inline void heap_model_drop(struct heap_model *m, struct heap_model_block *b)
{
    m->live--;
    m->granted -= b->usable;
    b->p = NULL;
}

static inline void heap_model_free(struct heap_model *m, struct heap_model_block *b, uint32_t x)
{
    unsigned char *p = b->p;
    heap_model_intact(b, p, b->usable);
    switch (x % 4) {
    case 0:
        MODEL_REQUIRE(kc_heap_free_sized(m->h, p, b->usable + 1) == KC_ERR_ARG);
        MODEL_REQUIRE(kc_heap_free_sized(m->h, p, 0) == KC_ERR_ARG);
        m->reports += 2;
        MODEL_REQUIRE(kc_heap_free_sized(m->h, p, b->size) == KC_OK);
        break;
    case 1:
        MODEL_REQUIRE(kc_heap_free(m->h, p + 1) == KC_ERR_ALIGN);
        MODEL_REQUIRE(kc_heap_free(m->h, p + b->usable / 2 + 1) == KC_ERR_ALIGN);
        m->reports += 2;
        MODEL_REQUIRE(kc_heap_free_sized(m->h, p, b->usable) == KC_OK);
        break;
    case 2:
        MODEL_REQUIRE(kc_heap_free_erased(m->h, p) == KC_OK);
        break;
    default:
        MODEL_REQUIRE(kc_heap_free(m->h, p) == KC_OK);
        break;
    }
    heap_model_drop(m, b);
    MODEL_REQUIRE(kc_heap_usable(m->h, p) == 0);
    /* At hardening off, what lies in a magazine is not told from what is live. */
    if (KC_HARDENING != KC_HARDENING_OFF || m->h->set->cpu_count == 0) {
        MODEL_REQUIRE(kc_heap_free(m->h, p) == KC_ERR_STATE);
        m->reports++;
    }
}

/*
 * Where a block of `have` usable bytes may be after it was resized: small ones stay if and only if
 * the class does; large ones always when they do not grow, and when they do, if the frames behind
 * are free, which the model does not know.
 */
static inline bool heap_model_may_stay(size_t have, size_t size)
{
    /* A run of one frame or two, as a great alignment gets, looks like a class. */
    bool may_be_run = have > KC_HEAP_SMALL_MAX || have % KC_FRAME_BYTES == 0;
    return kc_heap_granted(size) == have || (may_be_run && size > KC_HEAP_SMALL_MAX);
}

static inline bool heap_model_must_stay(size_t have, size_t size)
{
    return heap_model_may_stay(have, size) && kc_heap_granted(size) <= have;
}

static inline void heap_model_resize(struct heap_model *m, struct heap_model_block *b,
                                     struct kc_bytes *o)
{
    size_t size = heap_model_size(o);
    uint32_t x = kc_bytes_u8(o);
    uint32_t flags = x & (KC_HEAP_ZERO | KC_HEAP_ATOMIC | KC_HEAP_ERASE);
    bool possible = size != 0 && size <= KC_HEAP_SIZE_MAX;
    bool may_move = (x & 16) != 0;
    struct heap_model_block old = *b;
    unsigned char *p = b->p;
    if (may_move) {
        p = (unsigned char *)kc_heap_resize(m->h, b->p, size, flags);
    } else {
        kc_status_t status = kc_heap_try_resize(m->h, b->p, size, flags);
        MODEL_REQUIRE(status == (possible ? status == KC_OK ? KC_OK : KC_ERR_NOMEM : KC_ERR_RANGE));
        p = status == KC_OK ? p : NULL;
    }
    m->refused += !possible;
    if (p == NULL) {
        MODEL_REQUIRE(!possible || m->may_fail || size > KC_HEAP_SMALL_MAX || !may_move);
        MODEL_REQUIRE(!possible || !heap_model_must_stay(old.usable, size));
        heap_model_intact(b, b->p, b->usable);
        return;
    }
    size_t kept = old.usable < size ? old.usable : size;
    MODEL_REQUIRE(possible && (p != old.p || heap_model_may_stay(old.usable, size)));
    MODEL_REQUIRE(p == old.p || !heap_model_must_stay(old.usable, size));
    m->grown += p == old.p && kc_heap_usable(m->h, p) > old.usable;
    heap_model_intact(&old, p, kept);
    for (size_t i = kept;
         (flags & KC_HEAP_ZERO) != 0 && old.usable < size && i < kc_heap_usable(m->h, p); i++) {
        MODEL_REQUIRE(p[i] == 0);
    }
    heap_model_drop(m, b);
    heap_model_keep(m, b, p, size, (uint8_t)x);
}

static inline void heap_model_step(struct heap_model *m, struct kc_bytes *o)
{
    uint32_t what = kc_bytes_u8(o);
    struct heap_model_block *b = &m->block[kc_bytes_u8(o) % HEAP_MODEL_BLOCKS];
    if (what == 255) {
        (void)kc_heap_shrink(m->h);
    } else if (what == 254) {
        uint64_t keep = kc_bytes_below(o, 65536);
        (void)kc_heap_trim(m->h, keep);
        /* One CPU: nobody else's magazine holds anything back. */
        MODEL_REQUIRE(kc_heap_kept(m->h) <= keep);
    } else if (b->p == NULL) {
        heap_model_alloc(m, b, o);
    } else if (what % 4 == 0) {
        heap_model_resize(m, b, o);
    } else {
        heap_model_free(m, b, what >> 2);
    }
}

/* The live blocks are listed, each once; then all are freed. */
static inline void heap_model_finish(struct heap_model *m)
{
    struct kc_heap_cursor cursor;
    __builtin_memset(&cursor, 0, sizeof(cursor));
    uint64_t listed = 0;
    uint64_t bytes = 0;
    size_t usable = 0;
    for (void *p = kc_heap_next_live(m->h, &cursor, &usable); p != NULL;
         p = kc_heap_next_live(m->h, &cursor, &usable)) {
        MODEL_REQUIRE(kc_heap_usable(m->h, p) == usable);
        listed++;
        bytes += usable;
    }
    MODEL_REQUIRE(listed == m->live && bytes == m->granted);
    for (uint32_t i = 0; i < HEAP_MODEL_BLOCKS; i++) {
        if (m->block[i].p != NULL) {
            heap_model_free(m, &m->block[i], i);
        }
    }
    heap_model_check(m);
}

#endif
