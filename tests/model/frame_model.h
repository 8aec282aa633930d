/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame_model: the slow twin of kc/frame.h. A byte for each frame says whether it is used, a table
 * of what was handed out says by whom. An allocation must succeed exactly if an aligned window of
 * free frames exists in one span: the buddy merges all it can, so it may not fail for any other
 * reason.
 */
#ifndef FRAME_MODEL_H
#define FRAME_MODEL_H

#include "kc_bytes.h"
#include <kc/frame.h>

#define FRAME_MODEL_FRAMES 4096u /* 16 MiB */
#define FRAME_MODEL_BLOCKS 256u

struct frame_model_block {
    kc_pa_t pa;
    uint32_t count; /* frames; 0: slot is free */
    bool run;
    uint16_t owner;
    uint32_t refs, pins;
};

struct frame_model {
    struct kc_frames *f;
    struct kc_misuse *misuse;
    uint64_t base_pfn;                /* of RAM */
    uint32_t frames;                  /* of RAM, holes included */
    uint8_t used[FRAME_MODEL_FRAMES]; /* 1: handed out, 2: never was the allocator's */
    struct frame_model_block block[FRAME_MODEL_BLOCKS];
    uint64_t owner_frames[KC_FRAME_OWNER_COUNT];
    uint64_t used_frames;
    uint64_t reports; /* misuse that must have been reported so far */
};

/* RAM is base .. base + frames, at most FRAME_MODEL_FRAMES; f was just made. */
static inline void frame_model_init(struct frame_model *m, struct kc_frames *f,
                                    struct kc_misuse *misuse, kc_pa_t base, uint32_t frames)
{
    __builtin_memset(m, 0, sizeof(*m));
    m->f = f;
    m->misuse = misuse;
    m->frames = frames;
    m->base_pfn = kc_pa_raw(base) >> KC_FRAME_LOG2;
    m->reports = kc_misuse_total(misuse);
    for (uint32_t i = 0; i < frames; i++) {
        struct kc_frame_info info;
        kc_frame_info(f, kc_pa((m->base_pfn + i) << KC_FRAME_LOG2), &info);
        m->used[i] = info.state == KC_FRAME_FREE ? 0 : 2;
    }
}

static inline bool frame_model_window(const struct frame_model *m, uint32_t at, uint32_t frames)
{
    for (uint32_t i = 0; i < frames; i++) {
        if (at + i >= m->frames || m->used[at + i] != 0) {
            return false;
        }
    }
    return true;
}

static inline bool frame_model_fits(const struct frame_model *m, uint32_t order)
{
    uint32_t frames = 1u << order;
    uint32_t skew = (uint32_t)(m->base_pfn % frames);
    for (uint32_t at = (frames - skew) % frames; at < m->frames; at += frames) {
        if (frame_model_window(m, at, frames)) {
            return true;
        }
    }
    return false;
}

static inline void frame_model_mark(struct frame_model *m, struct frame_model_block *b, int used)
{
    uint32_t at = (uint32_t)((kc_pa_raw(b->pa) >> KC_FRAME_LOG2) - m->base_pfn);
    for (uint32_t i = 0; i < b->count; i++) {
        MODEL_REQUIRE(at + i < m->frames && m->used[at + i] == !used);
        m->used[at + i] = (uint8_t)used;
    }
    m->used_frames += used ? b->count : -(uint64_t)b->count;
    m->owner_frames[b->owner] += used ? b->count : -(uint64_t)b->count;
}

/* Sound, and the counts are the model's. */
static inline void frame_model_check(struct frame_model *m)
{
    struct kc_frame_stats s;
    MODEL_REQUIRE(kc_frames_check(m->f, NULL) == KC_OK);
    kc_frame_stats(m->f, &s);
    MODEL_REQUIRE(s.used_frames == m->used_frames);
    MODEL_REQUIRE(s.free_frames + s.used_frames == s.frame_count);
    for (uint32_t o = 0; o < KC_FRAME_OWNER_COUNT; o++) {
        MODEL_REQUIRE(kc_frame_owner_frames(m->f, (uint16_t)o) == m->owner_frames[o]);
    }
    for (uint32_t o = 0; o < KC_FRAME_ORDERS; o++) {
        /* Nothing is unusable for an order that fits, or nothing of it is usable. */
        MODEL_REQUIRE((s.frag_permille[o] < 1000) == (frame_model_fits(m, o) || !s.free_frames));
    }
    MODEL_REQUIRE(kc_misuse_total(m->misuse) == m->reports);
}

static inline void frame_model_alloc(struct frame_model *m, struct kc_bytes *o, bool run)
{
    uint32_t slot = 0;
    while (slot < FRAME_MODEL_BLOCKS && m->block[slot].count != 0) {
        slot++;
    }
    uint32_t x = kc_bytes_below(o, 65536);
    uint16_t owner = (uint16_t)(1 + x % (KC_FRAME_OWNER_COUNT - 1));
    uint32_t flags = (x >> 8 & 1) != 0 ? KC_FRAME_DMA32 : 0;
    uint32_t order = (x >> 9) % KC_FRAME_ORDERS;
    uint32_t count = 1u << order;
    kc_pa_t pa = kc_pa(1);
    kc_status_t status;
    if (slot == FRAME_MODEL_BLOCKS) {
        return;
    }
    if (run) {
        count = 1 + kc_bytes_below(o, 65536) % ((1u << order) + 1);
        count = count > KC_FRAME_RUN_MAX ? KC_FRAME_RUN_MAX : count;
        uint32_t align = kc_bytes_u8(o) % KC_FRAME_ORDERS;
        order = kc_log2_ceil(count) > align ? kc_log2_ceil(count) : align;
        status = kc_frame_alloc_run(m->f, count, align, flags, owner, &pa);
    } else {
        status = kc_frame_alloc(m->f, order, flags, owner, &pa);
    }
    MODEL_REQUIRE((status == KC_OK) == frame_model_fits(m, order));
    if (status != KC_OK) {
        MODEL_REQUIRE(status == KC_ERR_NOMEM && kc_pa_raw(pa) == 1);
        return;
    }
    MODEL_REQUIRE(kc_pa_is_aligned(pa, (uint64_t)KC_FRAME_BYTES << order));
    struct frame_model_block b = {pa, count, run, owner, 1, 0};
    m->block[slot] = b;
    frame_model_mark(m, &m->block[slot], 1);
}

static inline kc_status_t frame_model_free_call(struct frame_model *m,
                                                const struct frame_model_block *b)
{
    return b->run ? kc_frame_free_run(m->f, b->pa, b->count)
                  : kc_frame_free(m->f, b->pa, kc_log2_floor(b->count));
}

static inline void frame_model_free(struct frame_model *m, struct frame_model_block *b)
{
    bool busy = b->refs != 1 || b->pins != 0;
    kc_status_t status = frame_model_free_call(m, b);
    MODEL_REQUIRE(status == (busy ? KC_ERR_STATE : KC_OK));
    if (busy) {
        m->reports++;
        return;
    }
    frame_model_mark(m, b, 0);
    /* Again: the pages are free, alone or merged, whatever order is said. */
    MODEL_REQUIRE(frame_model_free_call(m, b) == KC_ERR_STATE);
    m->reports++;
    b->count = 0;
}

/* Wrong in some way, and each way has one answer. */
static inline void frame_model_wrong(struct frame_model *m, struct frame_model_block *b, uint32_t x)
{
    kc_pa_t inside = kc_pa(kc_pa_raw(b->pa) + 1 + x % (KC_FRAME_BYTES - 1));
    uint32_t order = kc_log2_floor(b->count);
    m->reports++;
    switch (x % 4) {
    case 0:
        MODEL_REQUIRE(kc_frame_free(m->f, inside, 0) == KC_ERR_ALIGN);
        break;
    case 1:
        MODEL_REQUIRE(kc_frame_free(m->f, b->pa, order + 1) == KC_ERR_ARG);
        break;
    case 2:
        MODEL_REQUIRE(kc_frame_free(m->f, kc_pa(0), 0) == KC_ERR_RANGE);
        break;
    default:
        MODEL_REQUIRE(kc_frame_free(m->f, kc_pa(~UINT64_C(0) << KC_FRAME_LOG2), 0) == KC_ERR_RANGE);
        break;
    }
}

/* References and pins; only blocks that are no runs, for a run is several blocks. */
static inline void frame_model_count(struct frame_model *m, struct frame_model_block *b, uint32_t x)
{
    bool freed = false;
    kc_status_t status;
    switch (x % 4) {
    case 0:
        MODEL_REQUIRE(kc_frame_get(m->f, b->pa) == KC_OK);
        b->refs++;
        break;
    case 1:
        status = kc_frame_put(m->f, b->pa, &freed);
        if (b->refs == 1 && b->pins != 0) {
            MODEL_REQUIRE(status == KC_ERR_STATE && !freed);
            m->reports++;
            break;
        }
        MODEL_REQUIRE(status == KC_OK && freed == (b->refs == 1));
        b->refs--;
        if (freed) {
            frame_model_mark(m, b, 0);
            b->count = 0;
        }
        break;
    case 2:
        MODEL_REQUIRE(kc_frame_pin(m->f, b->pa) == KC_OK);
        b->pins++;
        break;
    default:
        MODEL_REQUIRE(kc_frame_unpin(m->f, b->pa) == (b->pins != 0 ? KC_OK : KC_ERR_STATE));
        m->reports += b->pins == 0;
        b->pins -= b->pins != 0;
        break;
    }
}

/* One operation; the caller checks after it. */
static inline void frame_model_step(struct frame_model *m, struct kc_bytes *o)
{
    uint32_t what = kc_bytes_u8(o);
    struct frame_model_block *b = &m->block[kc_bytes_u8(o) % FRAME_MODEL_BLOCKS];
    struct kc_frame_info info;
    if (what % 8 < 3) {
        frame_model_alloc(m, o, what % 8 == 2);
        return;
    }
    for (uint32_t i = 0; i < FRAME_MODEL_BLOCKS && b->count == 0; i++) {
        b = &m->block[(uint32_t)(b - m->block + 1) % FRAME_MODEL_BLOCKS];
    }
    if (b->count == 0) {
        return;
    }
    kc_frame_info(m->f, kc_pa(kc_pa_raw(b->pa) + 17), &info);
    MODEL_REQUIRE(info.state == KC_FRAME_USED && kc_pa_eq(info.base, b->pa));
    MODEL_REQUIRE(info.owner == b->owner && info.refs == b->refs && info.pins == b->pins);
    if (what % 8 < 6) {
        frame_model_free(m, b);
    } else if (what % 8 == 6 && !b->run) {
        frame_model_count(m, b, what / 8);
    } else {
        frame_model_wrong(m, b, what / 8 + kc_bytes_below(o, 65536) * 32);
    }
}

/* Gives everything back. */
static inline void frame_model_finish(struct frame_model *m)
{
    for (uint32_t i = 0; i < FRAME_MODEL_BLOCKS; i++) {
        struct frame_model_block *b = &m->block[i];
        while (b->count != 0 && b->pins > 0) {
            MODEL_REQUIRE(kc_frame_unpin(m->f, b->pa) == KC_OK);
            b->pins--;
        }
        while (b->count != 0 && b->refs > 1) {
            MODEL_REQUIRE(kc_frame_put(m->f, b->pa, NULL) == KC_OK);
            b->refs--;
        }
        if (b->count != 0) {
            frame_model_free(m, b);
        }
    }
    frame_model_check(m);
    MODEL_REQUIRE(m->used_frames == 0);
}

#endif
