/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame_model: the slow twin of kc/frame.h. RAM is a few *windows* of frames; a byte for each frame
 * says whether it is used, a table of what was handed out says by whom. An allocation must succeed
 * exactly if, below its limit, in a zone that holds enough beside what is kept there, and within
 * what the marks leave, an aligned run of free frames exists in one span: the buddy merges all it
 * can, so it may not fail for any other reason. A reclaimer that holds some frames gives them back
 * when it is asked, and only then.
 *
 * With lists of CPUs, what they and the stock keep is read out of the allocator, held to be free,
 * and counted as no part of a zone. A request must succeed exactly if this CPU's list has a frame
 * for it, or the zones have, with what this CPU and the stock keep given back.
 */
#ifndef FRAME_MODEL_H
#define FRAME_MODEL_H

#include "kc_bytes.h"
#include <kc/frame.h>

#define FRAME_MODEL_FRAMES  4096u /* 16 MiB */
#define FRAME_MODEL_BLOCKS  256u
#define FRAME_MODEL_WINDOWS 8u
#define FRAME_MODEL_HOARD   16u

struct frame_model_window {
    uint64_t pfn;
    uint32_t count, first; /* first: its place among the frames of all windows */
};

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
    struct frame_model_window window[FRAME_MODEL_WINDOWS];
    uint32_t windows;
    uint32_t frames;                  /* of all windows */
    uint8_t used[FRAME_MODEL_FRAMES]; /* 1: handed out, 2: never was the allocator's */
    struct frame_model_block block[FRAME_MODEL_BLOCKS];
    uint64_t owner_frames[KC_FRAME_OWNER_COUNT];
    uint64_t used_frames;
    uint64_t reports; /* misuse that must have been reported so far */
    struct kc_frame_marks marks;
    struct kc_frame_reclaimer reclaimer;
    struct frame_model_block hoard[FRAME_MODEL_HOARD]; /* what the reclaimer can give back */
    uint32_t hoarded, asked;                           /* blocks; times it was asked */
    uint32_t longer;                                   /* runs that grew where they were */
    uint8_t kept[FRAME_MODEL_FRAMES];                  /* enum frame_model_keeper */
    void (*go)(uint32_t cpu);                          /* to that CPU; NULL: there is one */
};

enum frame_model_keeper {
    FRAME_MODEL_NOBODY,
    FRAME_MODEL_OTHERS, /* lists of other CPUs */
    FRAME_MODEL_HERE    /* the stock, or this CPU's list */
};

/* Place of a frame, or the number of frames: it is in no window. */
static inline uint32_t frame_model_at(const struct frame_model *m, uint64_t pfn)
{
    for (uint32_t i = 0; i < m->windows; i++) {
        if (pfn - m->window[i].pfn < m->window[i].count) {
            return m->window[i].first + (uint32_t)(pfn - m->window[i].pfn);
        }
    }
    return m->frames;
}

/* More RAM: what of it the allocator does not have is never handed out. */
static inline void frame_model_add(struct frame_model *m, kc_pa_t base, uint32_t frames)
{
    struct frame_model_window w = {kc_pa_raw(base) >> KC_FRAME_LOG2, frames, m->frames};
    MODEL_REQUIRE(m->windows < FRAME_MODEL_WINDOWS && m->frames + frames <= FRAME_MODEL_FRAMES);
    m->window[m->windows++] = w;
    for (uint32_t i = 0; i < frames; i++) {
        struct kc_frame_info info;
        kc_frame_info(m->f, kc_pa((w.pfn + i) << KC_FRAME_LOG2), &info);
        m->used[m->frames++] = info.state == KC_FRAME_FREE ? 0 : 2;
    }
}

static inline uint64_t frame_model_give_back(void *context, uint64_t frames);

/* f was just made, out of RAM base .. base + frames and perhaps more (frame_model_add()). */
static inline void frame_model_init(struct frame_model *m, struct kc_frames *f,
                                    struct kc_misuse *misuse, kc_pa_t base, uint32_t frames)
{
    __builtin_memset(m, 0, sizeof(*m));
    m->f = f;
    m->misuse = misuse;
    m->reports = kc_misuse_total(misuse);
    m->reclaimer.name = "model";
    m->reclaimer.reclaim = frame_model_give_back;
    m->reclaimer.context = m;
    MODEL_REQUIRE(kc_frames_reclaimer_add(f, &m->reclaimer) == KC_OK);
    MODEL_REQUIRE(kc_frames_reclaimer_add(f, &m->reclaimer) == KC_ERR_EXISTS);
    frame_model_add(m, base, frames);
}

/* Bits of an address of that frame, 24 or more. */
static inline uint32_t frame_model_bits(uint64_t pfn)
{
    uint32_t bits = KC_FRAME_BITS_MIN;
    while (pfn >> (bits - KC_FRAME_LOG2) != 0) {
        bits++;
    }
    return bits;
}

static inline void frame_model_keep(struct frame_model *m, uint64_t pfn, uint8_t keeper)
{
    uint32_t at = frame_model_at(m, pfn);
    MODEL_REQUIRE(at < m->frames && m->used[at] == 0 && m->kept[at] == FRAME_MODEL_NOBODY);
    m->kept[at] = keeper;
}

/* Who keeps what now. */
static inline void frame_model_keepers(struct frame_model *m)
{
    const struct kc_frames *f = m->f;
    __builtin_memset(m->kept, 0, sizeof(m->kept));
    for (uint32_t i = 0; i < f->cpu_count; i++) {
        MODEL_REQUIRE(kc_mag_count(&f->cpu[i].mag) <= KC_FRAME_CPU_KEEPS);
        for (size_t e = 0; e < kc_mag_count(&f->cpu[i].mag); e++) {
            frame_model_keep(m, f->cpu[i].entry[e].pfn,
                             i == kc_plat_cpu() ? FRAME_MODEL_HERE : FRAME_MODEL_OTHERS);
        }
    }
    for (uint32_t i = 0, at = f->stock; i < f->stock_count; i++) {
        frame_model_keep(m, kc_pa_raw(kc_frame_index_pa(f, at)) >> KC_FRAME_LOG2, FRAME_MODEL_HERE);
        at = kc_frame_at(f, at)->u.link.next;
    }
}

/* One zone as the model sees it; largest: order of the largest free block, or -1. */
struct frame_model_zone {
    uint64_t frames, free;
    int32_t largest;
};

/* By bits of the address. */
struct frame_model_survey {
    struct frame_model_zone zone[53];
    uint64_t free, kept; /* kept: in lists or in the stock, and not in `free` */
    int32_t largest;
};

/* A run of free frames of one zone that ends: the greatest aligned block in it. */
static inline void frame_model_run(struct frame_model_survey *v, struct frame_model_zone *z,
                                   uint64_t pfn, uint64_t end)
{
    for (int32_t o = KC_FRAME_ORDER_MAX; o > z->largest && pfn != end; o--) {
        uint64_t block = UINT64_C(1) << o;
        if ((pfn + block - 1) / block * block + block <= end) {
            z->largest = o;
        }
    }
    v->largest = z->largest > v->largest ? z->largest : v->largest;
}

/* given_back: as if this CPU and the stock kept nothing. frame_model_keepers() was called. */
static inline void frame_model_look(const struct frame_model *m, bool given_back,
                                    struct frame_model_survey *v)
{
    __builtin_memset(v, 0, sizeof(*v));
    v->largest = -1;
    for (uint32_t b = 0; b < KC_ARRAY_COUNT(v->zone); b++) {
        v->zone[b].largest = -1;
    }
    for (uint32_t i = 0; i < m->windows; i++) {
        const struct frame_model_window *w = &m->window[i];
        for (uint64_t pfn = w->pfn; pfn < w->pfn + w->count;) {
            uint32_t bits = frame_model_bits(pfn);
            struct frame_model_zone *z = &v->zone[bits];
            uint64_t end = UINT64_C(1) << (bits - KC_FRAME_LOG2);
            end = end < w->pfn + w->count ? end : w->pfn + w->count;
            uint64_t run = pfn;
            for (; pfn < end; pfn++) {
                uint8_t is = m->used[w->first + (pfn - w->pfn)];
                uint8_t kept = m->kept[w->first + (pfn - w->pfn)];
                z->frames += is != 2;
                if (kept != FRAME_MODEL_NOBODY && !(given_back && kept == FRAME_MODEL_HERE)) {
                    v->kept++;
                    is = 3;
                }
                z->free += is == 0;
                if (is != 0) {
                    frame_model_run(v, z, run, pfn);
                    run = pfn + 1;
                }
            }
            frame_model_run(v, z, run, pfn);
        }
    }
    for (uint32_t b = 0; b < KC_ARRAY_COUNT(v->zone); b++) {
        v->free += v->zone[b].free;
    }
}

/* Bits of the zone that must serve a request; 0: it must fail. limit: 0 is none. */
static inline uint32_t frame_model_serves(struct frame_model *m, bool given_back, uint32_t count,
                                          uint32_t order, uint32_t limit, bool urgent)
{
    struct frame_model_survey v;
    uint64_t above = 0;
    frame_model_keepers(m);
    frame_model_look(m, given_back, &v);
    if (v.free < count + (urgent ? 0 : m->marks.min)) {
        return 0;
    }
    for (uint32_t bits = limit == 0 ? 52 : limit; bits >= KC_FRAME_BITS_MIN; bits--) {
        const struct frame_model_zone *z = &v.zone[bits];
        uint64_t keep = bits <= 32 && m->marks.keep_log2 != 0 ? above >> m->marks.keep_log2 : 0;
        above += z->frames;
        if (z->free >= count + keep && z->largest >= (int32_t)order) {
            return bits;
        }
    }
    return 0;
}

/* True if this CPU's list, or the stock, has a frame for a request of one. */
static inline bool frame_model_pops(const struct frame_model *m, uint32_t limit, bool zero)
{
    limit = limit == 0 ? 52 : limit;
    if (zero && m->f->stock_count != 0) {
        kc_pa_t pa = kc_frame_index_pa(m->f, m->f->stock);
        if (frame_model_bits(kc_pa_raw(pa) >> KC_FRAME_LOG2) <= limit) {
            return true;
        }
    }
    uint32_t cpu = kc_plat_cpu();
    const struct kc_frame_cpu *c = cpu < m->f->cpu_count ? &m->f->cpu[cpu] : NULL;
    size_t count = c != NULL ? kc_mag_count(&c->mag) : 0;
    return count != 0 && frame_model_bits(c->entry[count - 1].pfn) <= limit;
}

static inline void frame_model_mark(struct frame_model *m, struct frame_model_block *b, int used)
{
    uint32_t at = frame_model_at(m, kc_pa_raw(b->pa) >> KC_FRAME_LOG2);
    for (uint32_t i = 0; i < b->count; i++) {
        MODEL_REQUIRE(at + i < m->frames && m->used[at + i] == !used);
        m->used[at + i] = (uint8_t)used;
    }
    m->used_frames += used ? b->count : -(uint64_t)b->count;
    m->owner_frames[b->owner] += used ? b->count : -(uint64_t)b->count;
}

/* What the reclaimer holds; called by the allocator when it is short, without its lock. */
static inline uint64_t frame_model_give_back(void *context, uint64_t frames)
{
    struct frame_model *m = context;
    uint64_t given = 0;
    m->asked++;
    MODEL_REQUIRE(frames != 0);
    /* From within it, nobody is asked again, and it cannot be taken out. */
    MODEL_REQUIRE(kc_frames_reclaim(m->f, 1) == 0);
    MODEL_REQUIRE(kc_frames_reclaimer_remove(m->f, &m->reclaimer) == KC_ERR_STATE);
    while (m->hoarded != 0 && given < frames) {
        struct frame_model_block *b = &m->hoard[--m->hoarded];
        MODEL_REQUIRE(kc_frame_free(m->f, b->pa, kc_log2_floor(b->count)) == KC_OK);
        frame_model_mark(m, b, 0);
        given += b->count;
    }
    return given;
}

/* Each zone's figures follow from the model's frames. */
static inline void frame_model_check_zones(struct frame_model *m,
                                           const struct frame_model_survey *v)
{
    uint32_t cursor = 0;
    uint64_t frames = 0;
    struct kc_frame_zone_stats z;
    while (kc_frame_next_zone(m->f, &cursor, &z)) {
        const struct frame_model_zone *is = &v->zone[z.bits];
        uint64_t in_blocks = 0;
        frames += z.frame_count;
        MODEL_REQUIRE(z.frame_count == is->frames && z.free_frames == is->free);
        MODEL_REQUIRE(z.largest == is->largest);
        for (uint32_t o = 0; o < KC_FRAME_ORDERS; o++) {
            bool fits = (int32_t)o <= is->largest;
            in_blocks += z.order[o].free_blocks << o;
            MODEL_REQUIRE(fits == (z.order[o].frag_index == -1000));
            MODEL_REQUIRE((z.order[o].unusable_permille == 1000) == (!fits && is->free != 0));
        }
        MODEL_REQUIRE(in_blocks == is->free);
    }
    struct kc_frame_stats s;
    kc_frame_stats(m->f, &s);
    MODEL_REQUIRE(frames == s.frame_count && v->free + v->kept == s.free_frames);
    MODEL_REQUIRE(v->kept == s.kept_frames + s.stock_frames);
}

/* Sound, and the counts are the model's. */
static inline void frame_model_check(struct frame_model *m)
{
    struct kc_frame_stats s;
    struct frame_model_survey v;
    MODEL_REQUIRE(kc_frames_check(m->f, NULL) == KC_OK);
    frame_model_keepers(m);
    frame_model_look(m, false, &v);
    frame_model_check_zones(m, &v);
    v.largest = v.largest < 0 && v.kept != 0 ? 0 : v.largest;
    kc_frame_stats(m->f, &s);
    MODEL_REQUIRE(s.used_frames == m->used_frames);
    MODEL_REQUIRE(s.free_frames + s.used_frames == s.frame_count);
    for (uint32_t o = 0; o < KC_FRAME_OWNER_COUNT; o++) {
        MODEL_REQUIRE(kc_frame_owner_frames(m->f, (uint16_t)o) == m->owner_frames[o]);
    }
    for (uint32_t o = 0; o < KC_FRAME_ORDERS; o++) {
        /* Nothing is unusable for an order that fits, or nothing of it is usable. */
        MODEL_REQUIRE((s.frag_permille[o] < 1000) == ((int32_t)o <= v.largest || !s.free_frames));
    }
    MODEL_REQUIRE(kc_misuse_total(m->misuse) == m->reports);
}

/* An owner out of x; none that only the allocator itself is. */
static inline uint16_t frame_model_owner(uint32_t x)
{
    uint16_t owner = (uint16_t)(1 + x % (KC_FRAME_OWNER_COUNT - 1));
    return owner == KC_FRAME_OWNER_BAD ? KC_FRAME_OWNER_TEST : owner;
}

/* Is zero if it was said to be, and is not then. */
static inline void frame_model_use(kc_pa_t pa, uint32_t count, bool zero)
{
    uint64_t *word = kc_plat_ram(pa);
    for (uint32_t i = 0; i < count * (KC_FRAME_BYTES / sizeof(*word)); i += i % 512 == 0 ? 1 : 73) {
        MODEL_REQUIRE(!zero || word[i] == 0);
        word[i] = ~(uint64_t)i;
    }
}

static inline void frame_model_alloc(struct frame_model *m, struct kc_bytes *o, bool run)
{
    static const uint32_t limits[] = {0, 0, 0, 31, 32, 33, 34, 52};
    uint32_t slot = 0;
    while (slot < FRAME_MODEL_BLOCKS && m->block[slot].count != 0) {
        slot++;
    }
    uint32_t x = kc_bytes_below(o, 65536);
    uint32_t y = kc_bytes_u8(o);
    uint16_t owner = frame_model_owner(x);
    uint32_t limit = limits[y % 8];
    uint32_t flags = KC_FRAME_BELOW(limit) | ((y & 8) != 0 ? KC_FRAME_NO_RECLAIM : 0) |
                     ((y & 0x30) == 0 ? KC_FRAME_URGENT : 0) |
                     ((y & 0x40) != 0 ? KC_FRAME_ZERO : 0);
    uint32_t order = (x >> 9) % KC_FRAME_ORDERS;
    uint32_t count = 1u << order;
    uint32_t align = order;
    kc_pa_t pa = kc_pa(1);
    if (slot == FRAME_MODEL_BLOCKS) {
        return;
    }
    if (run) {
        count = 1 + kc_bytes_below(o, 65536) % ((1u << order) + 1);
        count = count > KC_FRAME_RUN_MAX ? KC_FRAME_RUN_MAX : count;
        align = kc_bytes_u8(o) % KC_FRAME_ORDERS;
        order = kc_log2_ceil(count) > align ? kc_log2_ceil(count) : align;
    }
    bool urgent = (flags & KC_FRAME_URGENT) != 0;
    bool zero = (flags & KC_FRAME_ZERO) != 0;
    bool pops = order == 0 && frame_model_pops(m, limit, zero);
    uint32_t first = frame_model_serves(m, false, count, order, limit, urgent);
    bool before = pops || frame_model_serves(m, true, count, order, limit, urgent) != 0;
    uint32_t asked = m->asked;
    kc_status_t status = run ? kc_frame_alloc_run(m->f, count, align, flags, owner, &pa)
                             : kc_frame_alloc(m->f, order, flags, owner, &pa);
    /* The reclaimer was asked if, and only if, that was needed and allowed; then it counts. */
    MODEL_REQUIRE(m->asked - asked == (!before && (flags & KC_FRAME_NO_RECLAIM) == 0));
    uint32_t serves = frame_model_serves(m, true, count, order, limit, urgent);
    /* A frame out of the list is no part of what the marks are about. */
    bool listed = order == 0 && (m->f->cpu_count != 0 || zero);
    MODEL_REQUIRE(status == KC_OK ? listed || serves != 0 : serves == 0);
    MODEL_REQUIRE(!before || status == KC_OK);
    if (status != KC_OK) {
        MODEL_REQUIRE(status == KC_ERR_NOMEM && kc_pa_raw(pa) == 1);
        MODEL_REQUIRE(order != 0 || !frame_model_pops(m, limit, zero));
        return;
    }
    MODEL_REQUIRE(kc_pa_is_aligned(pa, (uint64_t)KC_FRAME_BYTES << order));
    uint32_t bits = frame_model_bits(kc_pa_raw(pa) >> KC_FRAME_LOG2);
    MODEL_REQUIRE(limit == 0 || bits <= limit);
    MODEL_REQUIRE(bits == (first != 0 ? first : serves) || order == 0);
    MODEL_REQUIRE(bits == serves || m->f->cpu_count != 0 || m->f->stock_count != 0);
    frame_model_use(pa, count, zero);
    struct frame_model_block b = {pa, count, run, owner, 1, 0};
    m->block[slot] = b;
    frame_model_mark(m, &m->block[slot], 1);
}

/* The reclaimer takes some, to give it back when it is asked. */
static inline void frame_model_hoard(struct frame_model *m, uint32_t x)
{
    struct frame_model_block b = {kc_pa(0), 1u << x % 4, false, frame_model_owner(x), 1, 0};
    if (m->hoarded < FRAME_MODEL_HOARD &&
        kc_frame_alloc(m->f, x % 4, KC_FRAME_NO_RECLAIM, b.owner, &b.pa) == KC_OK) {
        m->hoard[m->hoarded++] = b;
        frame_model_mark(m, &b, 1);
    }
}

/* Other marks, some of them refused; and the work that they make. */
static inline void frame_model_marks(struct frame_model *m, uint32_t x)
{
    struct kc_frame_stats s;
    kc_frame_stats(m->f, &s);
    struct kc_frame_marks marks = {x % 32, x % 64, x / 64 % 1024, x / 65536 % 16, 0};
    bool good = marks.min <= marks.low && marks.low <= marks.high && marks.high <= s.frame_count;
    MODEL_REQUIRE(kc_frames_set_marks(m->f, &marks) == (good ? KC_OK : KC_ERR_RANGE));
    m->marks = good ? marks : m->marks;
    uint32_t asked = m->asked;
    uint64_t came = kc_frames_balance(m->f);
    MODEL_REQUIRE(m->asked - asked ==
                  (s.free_frames - s.kept_frames - s.stock_frames < m->marks.low));
    struct kc_frame_stats now;
    kc_frame_stats(m->f, &now);
    MODEL_REQUIRE(now.free_frames == s.free_frames + came);
    MODEL_REQUIRE(came == 0 || now.free_frames >= m->marks.high || m->hoarded == 0);
}

/* What there is to do with lists of CPUs. */
static inline void frame_model_cpus(struct frame_model *m, uint32_t x)
{
    struct kc_frame_stats s;
    struct kc_frame_stats now;
    uint32_t cpu = kc_plat_cpu();
    kc_frame_stats(m->f, &s);
    if (x % 4 == 0 && m->f->cpu_count != 0) {
        size_t kept = cpu < m->f->cpu_count ? kc_mag_count(&m->f->cpu[cpu].mag) : 0;
        MODEL_REQUIRE(kc_frames_drain(m->f, cpu) == kept && kc_frames_drain(m->f, cpu) == 0);
        kc_frame_stats(m->f, &now);
        MODEL_REQUIRE(now.kept_frames == s.kept_frames - kept && now.free_frames == s.free_frames);
    } else if (x % 4 == 1) {
        uint32_t want = x / 4 % 8;
        uint32_t made = kc_frames_prezero(m->f, want);
        kc_frame_stats(m->f, &now);
        MODEL_REQUIRE(made <= want && now.stock_frames == s.stock_frames + made);
        MODEL_REQUIRE(now.stock_frames <= KC_FRAME_STOCK_MAX && now.free_frames == s.free_frames);
        MODEL_REQUIRE(made == 0 ||
                      now.free_frames - now.kept_frames - now.stock_frames >= m->marks.low);
    } else if (m->go != NULL) {
        m->go(x / 4 % (m->f->cpu_count + 1)); /* the last has no list */
    }
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
    /* Again: the pages are free, alone or merged, whatever order is said; and who had them. */
    MODEL_REQUIRE(frame_model_free_call(m, b) == KC_ERR_STATE);
    MODEL_REQUIRE(m->misuse->last.owner == b->owner);
    m->reports++;
    b->count = 0;
}

/*
 * A run is made longer or shorter where it is. Shorter always works; longer only where the frames
 * behind are free and the start is aligned for it, and never breaks what is as it was.
 */
static inline void frame_model_resize(struct frame_model *m, struct frame_model_block *b,
                                      uint32_t x)
{
    struct frame_model_block old = *b;
    uint32_t at = frame_model_at(m, kc_pa_raw(b->pa) >> KC_FRAME_LOG2);
    b->count = (x & 1) != 0 ? 1 + x / 2 % (2 * old.count) : 1 + x / 2 % KC_FRAME_RUN_MAX;
    b->count = b->count > KC_FRAME_RUN_MAX ? KC_FRAME_RUN_MAX : b->count;
    bool room = kc_pa_is_aligned(b->pa, (uint64_t)KC_FRAME_BYTES << kc_log2_floor(b->count));
    for (uint32_t i = old.count; i < b->count; i++) {
        room = room && at + i < m->frames && m->used[at + i] == 0;
    }
    kc_status_t status = kc_frame_resize_run(m->f, b->pa, old.count, b->count, KC_FRAME_URGENT);
    MODEL_REQUIRE(b->count > old.count || status == KC_OK);
    if (status == KC_OK) {
        MODEL_REQUIRE(room);
        frame_model_mark(m, &old, 0);
        frame_model_mark(m, b, 1);
        m->longer += b->count > old.count;
        return;
    }
    MODEL_REQUIRE(status == KC_ERR_NOMEM);
    b->count = old.count;
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
    if (what % 64 == 63) {
        frame_model_marks(m, kc_bytes_u32(o));
        return;
    }
    if (what % 64 == 47) {
        frame_model_cpus(m, kc_bytes_u8(o));
        return;
    }
    if (what % 32 == 31) {
        frame_model_hoard(m, what / 32 + kc_bytes_u8(o));
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
    } else if (what % 8 == 6) {
        frame_model_resize(m, b, kc_bytes_u32(o));
    } else {
        frame_model_wrong(m, b, what / 8 + kc_bytes_below(o, 65536) * 32);
    }
}

/* Gives everything back. */
static inline void frame_model_finish(struct frame_model *m)
{
    (void)kc_frames_reclaim(m->f, FRAME_MODEL_FRAMES);
    MODEL_REQUIRE(m->hoarded == 0);
    MODEL_REQUIRE(kc_frames_reclaimer_remove(m->f, &m->reclaimer) == KC_OK);
    MODEL_REQUIRE(kc_frames_reclaimer_remove(m->f, &m->reclaimer) == KC_ERR_ABSENT);
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
