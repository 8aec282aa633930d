/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * aspace_model.h: slow, obviously right twin of kc/aspace.h, and a decoder of bytes into operations
 * on both.
 *
 * The model is a window of ASM_PAGES pages as an array (what is mapped there, how, and whose frame
 * it is) and a list of areas in no order. What a call should answer is worked out from the words of
 * the headers; where a space may choose a place, any that is free will do. After each operation the
 * validator must be content, every page must translate as the array says, and the frames that are
 * handed out must be those that the array has. Own frames must come zeroed; they are then soiled,
 * so that the next owner would see it.
 */
#ifndef ASPACE_MODEL_H
#define ASPACE_MODEL_H

#include <kc/aspace.h>
#include <kc/early.h>
#include <kc/frame.h>

#include "kc_bytes.h"

#define ASM_PAGES 1536u /* three blocks of level 2, and a boundary of level 1 between them */
#define ASM_PAGE  UINT64_C(4096)
#define ASM_BLOCK 512u
#define ASM_AREAS 10u

struct asm_area {
    bool used;
    bool lazy;
    uint8_t backing;              /* enum kc_area_backing */
    uint32_t first, count, guard; /* pages */
    struct kc_pt_attr attr;       /* lazy */
};

struct asm_page {
    bool mapped;
    bool own;
    uint64_t pa;
    struct kc_pt_attr attr;
};

struct aspace_model {
    struct kc_aspace as;
    struct kc_area areas[ASM_AREAS];
    struct kc_asids asids;
    struct kc_pt kernel_pt;
    struct kc_frames *frames;
    kc_pa_t empty_root;
    uint64_t ttbr0; /* before all this */
    bool user;
    bool active;
    uint64_t base;           /* address of page 0 */
    uint64_t frames_at_rest; /* handed out to the owner of own frames, with none mapped */
    struct asm_area area[ASM_AREAS];
    struct asm_page page[ASM_PAGES];
};

/* ---- what the headers say ------------------------------------------------------------------- */

static inline bool asm_is_device(struct kc_pt_attr a)
{
    return a.type == KC_A64_MEM_DEVICE_nGnRE || a.type == KC_A64_MEM_DEVICE_nGnRnE;
}

static inline bool asm_same_attr(struct kc_pt_attr a, struct kc_pt_attr b)
{
    return a.perm == b.perm && a.type == b.type && a.global == b.global;
}

/* kc_pt_map() about attributes, then kc_aspace_map(). */
static inline kc_status_t asm_attr_status(const struct aspace_model *m, struct kc_pt_attr a)
{
    bool user = (a.perm & KC_PT_USER) != 0;
    if (a.perm > (KC_PT_R | KC_PT_W | KC_PT_X | KC_PT_USER) || (a.perm & KC_PT_R) == 0 ||
        a.type >= KC_A64_MEM_COUNT || (a.global && (user || m->user))) {
        return KC_ERR_ARG;
    }
    if ((a.perm & KC_PT_X) != 0 && ((a.perm & KC_PT_W) != 0 || asm_is_device(a))) {
        return KC_ERR_PERM;
    }
    return user == m->user && a.global == !m->user ? KC_OK : KC_ERR_PERM;
}

/* Page of an address; ASM_PAGES: outside the window. */
static inline uint32_t asm_page_of(const struct aspace_model *m, uint64_t ia)
{
    uint64_t off = ia - m->base;
    return ia >= m->base && off < ASM_PAGES * ASM_PAGE ? (uint32_t)(off / ASM_PAGE) : ASM_PAGES;
}

/* The area that has a page: among its usable pages, or its guards too. */
static inline struct asm_area *asm_area_at(struct aspace_model *m, uint32_t page, bool guards)
{
    for (uint32_t i = 0; i < ASM_AREAS; i++) {
        struct asm_area *a = &m->area[i];
        uint32_t more = guards ? a->guard : 0;
        if (a->used && page + more >= a->first && page < a->first + a->count + more) {
            return a;
        }
    }
    return NULL;
}

static inline uint32_t asm_area_count(const struct aspace_model *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < ASM_AREAS; i++) {
        n += m->area[i].used;
    }
    return n;
}

/* One area that holds all of the range. */
static inline kc_status_t asm_range_status(struct aspace_model *m, uint64_t ia, uint64_t bytes,
                                           struct asm_area **a)
{
    uint32_t page = asm_page_of(m, ia);
    if (bytes == 0) {
        return KC_ERR_ARG;
    }
    *a = page < ASM_PAGES ? asm_area_at(m, page, false) : NULL;
    if (*a == NULL) {
        return KC_ERR_ABSENT;
    }
    uint64_t room = m->base + ((*a)->first + (*a)->count) * ASM_PAGE - ia;
    return bytes > room ? KC_ERR_SPAN : KC_OK;
}

static inline bool asm_any(const struct aspace_model *m, uint64_t ia, uint64_t bytes, bool mapped)
{
    uint32_t first = asm_page_of(m, ia);
    for (uint32_t i = 0; i < bytes / ASM_PAGE; i++) {
        if (m->page[first + i].mapped == mapped) {
            return true;
        }
    }
    return false;
}

/* Are all pages of an extent in the window, and in no area's extent? */
static inline kc_status_t asm_extent_status(struct aspace_model *m, uint64_t first, uint64_t count,
                                            uint64_t guard)
{
    if (first < guard || first - guard >= ASM_PAGES || guard > ASM_PAGES || count > ASM_PAGES ||
        first + count + guard > ASM_PAGES) {
        return KC_ERR_RANGE;
    }
    for (uint64_t p = first - guard; p < first + count + guard; p++) {
        if (asm_area_at(m, (uint32_t)p, true) != NULL) {
            return KC_ERR_EXISTS;
        }
    }
    return KC_OK;
}

/* ---- operations ----------------------------------------------------------------------------- */

struct asm_op {
    uint64_t ia;
    uint64_t bytes;
    uint64_t pa;
    struct kc_pt_attr attr;
    uint64_t fail_after; /* of frames; UINT64_MAX for never */
    bool may_run_out;
};

static inline uint64_t asm_free_frames(struct aspace_model *m)
{
    struct kc_frame_stats s;
    kc_frame_stats(m->frames, &s);
    return s.free_frames;
}

static inline struct kc_pt_attr asm_attr(const struct aspace_model *m, struct kc_bytes *b)
{
    static const uint8_t perms[] = {KC_PT_R, KC_PT_R | KC_PT_W, KC_PT_R | KC_PT_X};
    uint32_t how = kc_bytes_u8(b);
    struct kc_pt_attr a =
        kc_pt_attr(perms[how % 3] | (m->user ? KC_PT_USER : 0u), KC_A64_MEM_NORMAL, !m->user);
    if ((how & 0xe0) == 0xe0) { /* anything */
        a.perm = kc_bytes_below(b, 32) & 0x1f;
        a.global = (how & 4) != 0;
        a.type = (uint8_t)kc_bytes_below(b, KC_A64_MEM_COUNT + 1);
    }
    return a;
}

/* A range that mostly begins at, or in, an area; of whole pages but for a few. */
static inline void asm_decode(struct aspace_model *m, struct kc_bytes *b, struct asm_op *op)
{
    uint32_t page = kc_bytes_below(b, ASM_PAGES + 1);
    const struct asm_area *a = &m->area[kc_bytes_below(b, ASM_AREAS)];
    uint32_t shape = kc_bytes_u8(b);
    uint32_t more = kc_bytes_u8(b);
    uint64_t count = 1 + more % 24;
    if (a->used && (shape & 7) < 6) {
        page = a->first + ((shape & 1) != 0 ? page % a->count : 0);
        count = (shape & 2) != 0 ? a->first + a->count - page : count;
    }
    op->ia = m->base + page * ASM_PAGE;
    op->bytes = count * ASM_PAGE;
    uint32_t where = kc_bytes_u8(b);
    op->pa = (UINT64_C(1) << 33) + (uint64_t)(where >> 2) * KC_MIB(2) +
             ((where & 1) != 0 ? page % ASM_BLOCK * ASM_PAGE : 0);
    op->attr = asm_attr(m, b);
    switch (shape >> 3) {
    case 0:
        op->ia = kc_bytes_u64(b);
        break;
    case 1:
        op->bytes = kc_bytes_u64(b);
        break;
    case 2:
        op->bytes += kc_bytes_below(b, 3) * 0x800 - 0x800;
        break;
    case 3:
        op->ia += 8;
        break;
    case 4:
        op->pa = kc_bytes_u64(b);
        break;
    case 5:
        op->bytes = 0;
        break;
    default:
        break;
    }
    op->fail_after = (where & 0x18) == 0x18 ? kc_bytes_below(b, 6) : UINT64_MAX;
    op->may_run_out =
        op->fail_after != UINT64_MAX || asm_free_frames(m) < 8 + (op->bytes / ASM_PAGE) % ASM_PAGES;
}

/* Was the answer right? Memory may have run out where the rest was good. */
static inline const char *asm_judge(const struct asm_op *op, kc_status_t got, kc_status_t want,
                                    const char *text)
{
    return got == want || (got == KC_ERR_NOMEM && want == KC_OK && op->may_run_out) ? NULL : text;
}

static inline bool asm_is_whole(uint64_t n)
{
    return n % ASM_PAGE == 0;
}

/* A frame of the space's own has appeared: zeroed, in RAM, nobody else's. */
static inline const char *asm_learn_own(struct aspace_model *m, uint32_t page,
                                        struct kc_pt_attr attr)
{
    struct kc_pt_walk w;
    if (kc_pt_translate(m->as.pt, kc_ia(m->base + page * ASM_PAGE), &w) != KC_OK) {
        return "an own page is not there";
    }
    uint64_t *word = (uint64_t *)kc_plat_ram(w.pa);
    uint64_t dirt = 0;
    for (uint32_t i = 0; i < ASM_PAGE / 8; i++) {
        dirt |= word[i];
        word[i] = UINT64_C(0xa5a5a5a5a5a5a5a5);
    }
    if (dirt != 0) {
        return "an own page is not zeroed";
    }
    m->page[page] = (struct asm_page){true, true, kc_pa_raw(w.pa), attr};
    return NULL;
}

static inline const char *asm_map(struct aspace_model *m, const struct asm_op *op)
{
    struct asm_area *a = NULL;
    uint8_t backing = asm_is_device(op->attr) ? KC_AREA_DEVICE : KC_AREA_FOREIGN;
    kc_status_t want = asm_attr_status(m, op->attr);
    want = want == KC_OK ? asm_range_status(m, op->ia, op->bytes, &a) : want;
    if (want == KC_OK && (a->lazy || (a->backing != KC_AREA_EMPTY && a->backing != backing))) {
        want = KC_ERR_STATE;
    }
    if (want == KC_OK) {
        want = !asm_is_whole(op->ia | op->bytes | op->pa)                ? KC_ERR_ALIGN
               : op->pa >= KC_BIT(40) || op->bytes > KC_BIT(40) - op->pa ? KC_ERR_RANGE
               : asm_any(m, op->ia, op->bytes, true)                     ? KC_ERR_EXISTS
                                                                         : KC_OK;
    }
    kc_status_t got = kc_aspace_map(&m->as, kc_ia(op->ia), kc_pa(op->pa), op->bytes, op->attr);
    if (got == KC_OK && want == KC_OK) {
        a->backing = backing;
        for (uint32_t i = 0; i < op->bytes / ASM_PAGE; i++) {
            m->page[asm_page_of(m, op->ia) + i] =
                (struct asm_page){true, false, op->pa + i * ASM_PAGE, op->attr};
        }
    }
    return asm_judge(op, got, want, "map: another status was due");
}

static inline const char *asm_map_new(struct aspace_model *m, const struct asm_op *op)
{
    struct asm_area *a = NULL;
    kc_status_t want = asm_attr_status(m, op->attr);
    want = want == KC_OK ? asm_range_status(m, op->ia, op->bytes, &a) : want;
    if (want == KC_OK && (a->lazy || (a->backing != KC_AREA_EMPTY && a->backing != KC_AREA_OWN))) {
        want = KC_ERR_STATE;
    }
    if (want == KC_OK) {
        want = !asm_is_whole(op->ia | op->bytes)     ? KC_ERR_ALIGN
               : asm_any(m, op->ia, op->bytes, true) ? KC_ERR_EXISTS
                                                     : KC_OK;
    }
    kc_status_t got = kc_aspace_map_new(&m->as, kc_ia(op->ia), op->bytes, op->attr);
    const char *wrong = NULL;
    if (got == KC_OK && want == KC_OK) {
        a->backing = KC_AREA_OWN;
        for (uint32_t i = 0; wrong == NULL && i < op->bytes / ASM_PAGE; i++) {
            wrong = asm_learn_own(m, asm_page_of(m, op->ia) + i, op->attr);
        }
    }
    if (got == KC_ERR_NOMEM && want == KC_ERR_EXISTS && op->may_run_out) {
        return NULL; /* it ran out before it came to the page that exists */
    }
    return wrong != NULL ? wrong : asm_judge(op, got, want, "map_new: another status was due");
}

static inline void asm_forget(struct aspace_model *m, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        m->page[i].mapped = false;
    }
}

static inline const char *asm_unmap(struct aspace_model *m, const struct asm_op *op)
{
    struct asm_area *a = NULL;
    kc_status_t want = asm_range_status(m, op->ia, op->bytes, &a);
    if (want == KC_OK) {
        bool gaps = a->backing != KC_AREA_OWN;
        want = !asm_is_whole(op->ia | op->bytes)              ? KC_ERR_ALIGN
               : gaps && asm_any(m, op->ia, op->bytes, false) ? KC_ERR_ABSENT
                                                              : KC_OK;
    }
    kc_status_t got = kc_aspace_unmap(&m->as, kc_ia(op->ia), op->bytes);
    if (got == KC_OK && want == KC_OK) {
        asm_forget(m, asm_page_of(m, op->ia), op->bytes / ASM_PAGE);
        if (op->bytes == a->count * ASM_PAGE) {
            a->backing = KC_AREA_EMPTY;
        }
    }
    if (got == KC_ERR_NOMEM && want == KC_OK && a->backing == KC_AREA_OWN) {
        return "unmap: own pages need no memory to go";
    }
    return asm_judge(op, got, want, "unmap: another status was due");
}

static inline const char *asm_protect(struct aspace_model *m, const struct asm_op *op)
{
    struct asm_area *a = NULL;
    kc_status_t want = asm_attr_status(m, op->attr);
    want = want == KC_OK ? asm_range_status(m, op->ia, op->bytes, &a) : want;
    if (want == KC_OK && a->lazy) {
        bool all = op->ia == m->base + a->first * ASM_PAGE && op->bytes == a->count * ASM_PAGE;
        want = all ? KC_OK : KC_ERR_STATE;
    } else if (want == KC_OK) {
        want = !asm_is_whole(op->ia | op->bytes)      ? KC_ERR_ALIGN
               : asm_any(m, op->ia, op->bytes, false) ? KC_ERR_ABSENT
                                                      : KC_OK;
    }
    kc_status_t got = kc_aspace_protect(&m->as, kc_ia(op->ia), op->bytes, op->attr);
    for (uint32_t i = 0; got == KC_OK && want == KC_OK && i < op->bytes / ASM_PAGE; i++) {
        m->page[asm_page_of(m, op->ia) + i].attr = op->attr;
    }
    if (got == KC_OK && want == KC_OK && a->lazy) {
        a->attr = op->attr;
    }
    return asm_judge(op, got, want, "protect: another status was due");
}

/* Cuts blocks in the tree beneath the space: what is mapped stays. */
static inline const char *asm_split(struct aspace_model *m, const struct asm_op *op)
{
    uint32_t page = asm_page_of(m, op->ia);
    bool mapped = page < ASM_PAGES && m->page[page].mapped;
    if (page == ASM_PAGES || !asm_is_whole(op->ia)) {
        return NULL;
    }
    kc_status_t got = kc_pt_split(m->as.pt, kc_ia(op->ia), 3);
    return asm_judge(op, got, mapped ? KC_OK : KC_ERR_ABSENT, "split: another status was due");
}

/* ---- areas ---------------------------------------------------------------------------------- */

static inline void asm_enter(struct aspace_model *m, struct asm_area a)
{
    uint32_t i = 0;
    while (m->area[i].used) {
        i++;
    }
    m->area[i] = a;
    m->area[i].used = true;
}

/* Is there any place? */
static inline bool asm_has_room(struct aspace_model *m, uint64_t count, uint64_t align,
                                uint64_t guard)
{
    uint64_t run = 0; /* free pages from p on */
    if (count > ASM_PAGES || guard > ASM_PAGES) {
        return false;
    }
    for (uint64_t p = ASM_PAGES; p-- != 0;) {
        run = asm_area_at(m, (uint32_t)p, true) != NULL ? 0 : run + 1;
        if (run >= guard + count + guard && (m->base + (p + guard) * ASM_PAGE) % align == 0) {
            return true;
        }
    }
    return false;
}

static inline kc_status_t asm_place_status(struct aspace_model *m,
                                           const struct kc_aspace_request *rq, uint64_t align)
{
    uint64_t count = rq->bytes / ASM_PAGE;
    uint64_t guard = rq->guard_bytes / ASM_PAGE;
    if (!rq->fixed) {
        return asm_has_room(m, count, align, guard) ? KC_OK : KC_ERR_NOMEM;
    }
    uint32_t page = asm_page_of(m, kc_ia_raw(rq->at));
    return page == ASM_PAGES ? KC_ERR_RANGE : asm_extent_status(m, page, count, guard);
}

static inline kc_status_t asm_reserve_status(struct aspace_model *m,
                                             const struct kc_aspace_request *rq)
{
    uint64_t align = rq->align == 0 ? ASM_PAGE : rq->align;
    bool lazy = (rq->flags & KC_AREA_LAZY) != 0;
    if (rq->bytes == 0 || (align & (align - 1)) != 0 || (rq->flags & ~KC_AREA_LAZY) != 0) {
        return KC_ERR_ARG;
    }
    if (lazy && asm_attr_status(m, rq->attr) != KC_OK) {
        return asm_attr_status(m, rq->attr);
    }
    align = align < ASM_PAGE ? ASM_PAGE : align;
    if (!asm_is_whole(rq->bytes | rq->guard_bytes) ||
        (rq->fixed && kc_ia_raw(rq->at) % align != 0)) {
        return KC_ERR_ALIGN;
    }
    kc_status_t want = asm_place_status(m, rq, align);
    return want == KC_OK && asm_area_count(m) == ASM_AREAS ? KC_ERR_QUOTA : want;
}

static inline const char *asm_reserve(struct aspace_model *m, struct kc_bytes *b,
                                      const struct asm_op *op)
{
    uint32_t how = kc_bytes_u8(b);
    uint32_t odd = kc_bytes_u8(b);
    struct kc_aspace_request rq = {
        .fixed = (how & 1) != 0,
        .at = kc_ia(op->ia),
        .bytes = op->bytes,
        .align = (how & 2) != 0 ? KC_BIT(odd % 25) : 0,
        .guard_bytes = (how >> 2 & 3) * ASM_PAGE,
        .flags = (how & 0x10) != 0 ? KC_AREA_LAZY : 0,
        .attr = op->attr,
    };
    if ((how & 0x60) == 0x60) { /* larger ones, so that blocks have room */
        rq.bytes = (uint64_t)(1 + odd) * 4 * ASM_PAGE;
    }
    switch (odd) {
    case 0:
        rq.flags |= 2;
        break;
    case 1:
        rq.align = 3;
        break;
    case 2:
        rq.guard_bytes = kc_bytes_u64(b);
        break;
    case 3:
        rq.guard_bytes = UINT64_MAX - 0xfff;
        break;
    default:
        break;
    }
    kc_ia_t at = kc_ia(77);
    kc_status_t want = asm_reserve_status(m, &rq);
    kc_status_t got = kc_aspace_reserve(&m->as, &rq, &at);
    if (got != want) {
        return "reserve: another status was due";
    }
    if (got != KC_OK) {
        return kc_ia_raw(at) == 77 ? NULL : "reserve: out was touched on error";
    }
    uint64_t align = rq.align < ASM_PAGE ? ASM_PAGE : rq.align;
    uint32_t first = asm_page_of(m, kc_ia_raw(at));
    uint64_t count = rq.bytes / ASM_PAGE;
    uint64_t guard = rq.guard_bytes / ASM_PAGE;
    if ((rq.fixed && !kc_ia_eq(at, rq.at)) || kc_ia_raw(at) % align != 0 ||
        asm_extent_status(m, first, count, guard) != KC_OK) {
        return "reserve: a place that is not free, or not as asked";
    }
    asm_enter(m, (struct asm_area){.lazy = (rq.flags & KC_AREA_LAZY) != 0,
                                   .backing = KC_AREA_EMPTY,
                                   .first = first,
                                   .count = (uint32_t)count,
                                   .guard = (uint32_t)guard,
                                   .attr = rq.attr});
    return NULL;
}

/* What kc_aspace_map_device() answers for count pages from first_pa on. */
static inline kc_status_t asm_device_status(struct aspace_model *m, uint64_t first_pa,
                                            uint64_t count)
{
    if (count == 0) {
        return KC_ERR_ARG;
    }
    if (count > UINT64_MAX / ASM_PAGE) {
        return KC_ERR_RANGE;
    }
    if (!asm_has_room(m, count, ASM_PAGE, 1)) {
        return KC_ERR_NOMEM;
    }
    if (asm_area_count(m) == ASM_AREAS) {
        return KC_ERR_QUOTA;
    }
    bool fits = first_pa < KC_BIT(40) && count * ASM_PAGE <= KC_BIT(40) - first_pa;
    return fits ? KC_OK : KC_ERR_RANGE;
}

static inline const char *asm_map_device(struct aspace_model *m, const struct asm_op *op)
{
    kc_ia_t at = kc_ia(77);
    uint64_t offset = op->pa % ASM_PAGE;
    uint64_t first_pa = op->pa - offset;
    uint64_t count =
        op->bytes / ASM_PAGE + (offset + op->bytes % ASM_PAGE + ASM_PAGE - 1) / ASM_PAGE;
    kc_status_t want = asm_device_status(m, first_pa, op->bytes == 0 ? 0 : count);
    kc_status_t got = kc_aspace_map_device(&m->as, kc_pa(op->pa), op->bytes, &at);
    if (got != KC_OK || want != KC_OK) {
        return asm_judge(op, got, want, "map_device: another status was due");
    }
    uint32_t first = asm_page_of(m, kc_ia_raw(at));
    if (kc_ia_raw(at) % ASM_PAGE != offset || asm_extent_status(m, first, count, 1) != KC_OK) {
        return "map_device: a place that is not free";
    }
    asm_enter(m,
              (struct asm_area){
                  .backing = KC_AREA_DEVICE, .first = first, .count = (uint32_t)count, .guard = 1});
    struct kc_pt_attr attr = kc_pt_attr(KC_PT_R | KC_PT_W | (m->user ? KC_PT_USER : 0u),
                                        KC_A64_MEM_DEVICE_nGnRE, !m->user);
    for (uint32_t i = 0; i < count; i++) {
        m->page[first + i] = (struct asm_page){true, false, first_pa + i * ASM_PAGE, attr};
    }
    return NULL;
}

static inline const char *asm_release(struct aspace_model *m, const struct asm_op *op)
{
    uint32_t page = asm_page_of(m, op->ia);
    struct asm_area *a = page < ASM_PAGES ? asm_area_at(m, page, false) : NULL;
    bool begins = a != NULL && op->ia == m->base + a->first * ASM_PAGE;
    if (kc_aspace_release(&m->as, kc_ia(op->ia)) != (begins ? KC_OK : KC_ERR_ABSENT)) {
        return "release: another status was due";
    }
    if (begins) {
        asm_forget(m, a->first, a->count);
        a->used = false;
    }
    return NULL;
}

static inline bool asm_is_area(const struct aspace_model *m, const struct kc_area *found,
                               const struct asm_area *a)
{
    bool lazy = (found->flags & KC_AREA_LAZY) != 0;
    return found->base == m->base + a->first * ASM_PAGE && found->bytes == a->count * ASM_PAGE &&
           found->backing == a->backing && found->guard_bytes == a->guard * ASM_PAGE &&
           lazy == a->lazy && (!lazy || asm_same_attr(found->attr, a->attr));
}

static inline const char *asm_find(struct aspace_model *m, const struct asm_op *op)
{
    struct kc_area found;
    uint32_t page = asm_page_of(m, op->ia);
    const struct asm_area *a = page < ASM_PAGES ? asm_area_at(m, page, true) : NULL;
    if (kc_aspace_find(&m->as, kc_ia(op->ia), &found) != (a != NULL)) {
        return "find: another answer was due";
    }
    return a == NULL || asm_is_area(m, &found, a) ? NULL : "find: another area than was reserved";
}

/* ---- faults --------------------------------------------------------------------------------- */

struct asm_access {
    bool from_user, is_write, is_fetch, is_permission;
};

/* ESR_EL1 of it (DDI 0487, D17.2.37): EC, IL, WnR, fault status at level 3. */
static inline uint64_t asm_esr(const struct asm_access *x)
{
    uint64_t ec = x->is_fetch ? 0x21 : 0x25;
    return (ec - (x->from_user ? 1 : 0)) << 26 | KC_BIT(25) |
           (x->is_write && !x->is_fetch ? KC_BIT(6) : 0) | (x->is_permission ? 0x0f : 0x07);
}

/* All that is mapped here is for one of EL0 and EL1, as the space is. */
static inline bool asm_allows(const struct aspace_model *m, struct kc_pt_attr attr,
                              const struct asm_access *x)
{
    if (x->is_fetch) {
        return (attr.perm & KC_PT_X) != 0 && x->from_user == m->user;
    }
    return (m->user || !x->from_user) && (!x->is_write || (attr.perm & KC_PT_W) != 0);
}

static inline const char *asm_fault(struct aspace_model *m, struct kc_bytes *b,
                                    const struct asm_op *op)
{
    uint32_t how = kc_bytes_u8(b);
    struct asm_access x = {(how & 1) != 0, (how & 2) != 0, (how & 12) == 12, (how & 16) != 0};
    x.is_write = x.is_write && !x.is_fetch;
    uint32_t page = asm_page_of(m, op->ia);
    struct asm_area *a = page < ASM_PAGES ? asm_area_at(m, page, true) : NULL;
    bool learn = false;
    enum kc_aspace_verdict want;
    if (how >= 0xf8) {
        want = KC_FAULT_NOT_ABORT; /* below: an SVC */
    } else if (a == NULL) {
        want = KC_FAULT_NO_AREA;
    } else if (asm_area_at(m, page, false) == NULL) {
        want = KC_FAULT_GUARD;
    } else if (m->page[page].mapped) {
        /* PAN: EL1 may not, though the page allows it. */
        bool pan = x.is_permission && !x.from_user && !x.is_fetch && m->user;
        want = asm_allows(m, m->page[page].attr, &x) && !pan ? KC_FAULT_RETRY : KC_FAULT_DENIED;
    } else if (!a->lazy) {
        want = KC_FAULT_UNMAPPED;
    } else {
        learn = asm_allows(m, a->attr, &x);
        want = learn ? KC_FAULT_RETRY : KC_FAULT_DENIED;
    }
    struct kc_a64_syndrome s;
    kc_a64_esr_decode(how >= 0xf8 ? UINT64_C(0x56000000) : asm_esr(&x), &s);
    enum kc_aspace_verdict got = kc_aspace_fault(&m->as, &s, op->ia);
    if (got == KC_FAULT_NOMEM && learn && op->may_run_out) {
        return NULL;
    }
    if (got != want) {
        return "fault: another verdict was due";
    }
    if (learn) {
        a->backing = KC_AREA_OWN;
        return asm_learn_own(m, page, a->attr);
    }
    return NULL;
}

/* ---- life ----------------------------------------------------------------------------------- */

static inline const char *asm_init(struct aspace_model *m)
{
    struct kc_aspace_config c = {
        .kind = m->user ? KC_ASPACE_USER : KC_ASPACE_KERNEL,
        .name = "model",
        .frames = m->frames,
        .asids = m->user ? &m->asids : NULL,
        .format = {KC_A64_STAGE1, 12, 48, 40, 0, 0, 0},
        .kernel_pt = m->user ? NULL : &m->kernel_pt,
        .base = kc_ia(m->base),
        .bytes = ASM_PAGES * ASM_PAGE,
        .areas = m->areas,
        .area_max = ASM_AREAS,
    };
    return kc_aspace_init(&m->as, &c) == KC_OK ? NULL : "init: OK was due";
}

/* All goes, also what is mapped. */
static inline const char *asm_destroy(struct aspace_model *m)
{
    if (m->active) {
        return kc_aspace_fini(&m->as) == KC_ERR_STATE ? NULL : "fini: it is active on this CPU";
    }
    if (kc_aspace_fini(&m->as) != KC_OK) {
        return "fini: OK was due";
    }
    if (kc_aspace_fini(&m->as) != KC_ERR_STATE) {
        return "fini: twice";
    }
    __builtin_memset(m->area, 0, sizeof(m->area));
    __builtin_memset(m->page, 0, sizeof(m->page));
    uint64_t tables = m->user ? 0 : 1; /* the kernel's tree stays, empty */
    return kc_frame_owner_frames(m->frames, KC_FRAME_OWNER_TABLE) == tables
               ? NULL
               : "fini: table pages are left";
}

/* Enter the space, or leave it. */
static inline const char *asm_activate(struct aspace_model *m)
{
    kc_status_t want = KC_OK;
    kc_status_t got = m->active ? kc_aspace_deactivate(&m->as) : kc_aspace_activate(&m->as);
    if (!m->user) {
        want = KC_ERR_ARG;
    } else {
        m->active = !m->active;
    }
    return got == want ? NULL : "activate: another status was due";
}

/* ---- comparing ------------------------------------------------------------------------------ */

/* One run of mapped pages; *next is the first page that has not been seen. */
static inline const char *asm_compare_run(struct aspace_model *m, const struct kc_pt_run *run,
                                          uint32_t *next)
{
    uint32_t first = asm_page_of(m, kc_ia_raw(run->ia));
    if (first == ASM_PAGES || run->bytes / ASM_PAGE > ASM_PAGES - first) {
        return "something is mapped outside the window";
    }
    for (; *next < first; (*next)++) {
        if (m->page[*next].mapped) {
            return "a page is not mapped that should be";
        }
    }
    for (uint64_t done = 0; done < run->bytes; done += ASM_PAGE, (*next)++) {
        const struct asm_page *p = &m->page[*next];
        if (!p->mapped || kc_pa_raw(run->pa) + done != p->pa ||
            !asm_same_attr(run->attr, p->attr)) {
            return "a page is mapped that should not be, or otherwise";
        }
    }
    return NULL;
}

static inline const char *asm_compare_pages(struct aspace_model *m)
{
    uint64_t half = kc_a64_ia_base(kc_pt_format(m->as.pt));
    struct kc_pt_cursor c = kc_pt_each_from(m->as.pt, kc_ia(half));
    struct kc_pt_run run;
    uint32_t next = 0;
    while (kc_pt_each(m->as.pt, &c, &run)) {
        const char *wrong = asm_compare_run(m, &run, &next);
        if (wrong != NULL) {
            return wrong;
        }
    }
    for (; next < ASM_PAGES; next++) {
        if (m->page[next].mapped) {
            return "a page is not mapped that should be, at the end";
        }
    }
    return NULL;
}

static inline const char *asm_compare_areas(struct aspace_model *m)
{
    for (uint32_t i = 0; i < ASM_AREAS; i++) {
        const struct asm_area *a = &m->area[i];
        struct kc_area found;
        if (a->used && (!kc_aspace_find(&m->as, kc_ia(m->base + a->first * ASM_PAGE), &found) ||
                        !asm_is_area(m, &found, a))) {
            return "an area is not as it was reserved";
        }
    }
    return m->as.area_count == asm_area_count(m) ? NULL : "another number of areas is there";
}

static inline const char *asm_compare(struct aspace_model *m)
{
    uint64_t own = 0;
    struct kc_pt_stats stats;
    if (kc_aspace_check(&m->as, NULL) != KC_OK) {
        return "kc_aspace_check() found a broken invariant";
    }
    const char *wrong = asm_compare_areas(m);
    wrong = wrong == NULL ? asm_compare_pages(m) : wrong;
    if (wrong != NULL) {
        return wrong;
    }
    for (uint32_t i = 0; i < ASM_PAGES; i++) {
        own += m->page[i].mapped && m->page[i].own;
    }
    kc_pt_stats(m->as.pt, &stats);
    if (stats.tables != kc_frame_owner_frames(m->frames, KC_FRAME_OWNER_TABLE)) {
        return "a table page leaked, or was freed twice";
    }
    uint16_t owner = m->user ? KC_FRAME_OWNER_USER : KC_FRAME_OWNER_KERNEL;
    return kc_frame_owner_frames(m->frames, owner) == m->frames_at_rest + own
               ? NULL
               : "an own frame leaked, or was freed twice";
}

/* ---- a whole story -------------------------------------------------------------------------- */

static inline const char *asm_step(struct aspace_model *m, struct kc_bytes *b)
{
    struct asm_op op;
    const char *wrong;
    uint32_t what = kc_bytes_below(b, 24);
    asm_decode(m, b, &op);
    kc_frames_fail_after(m->frames, op.fail_after);
    if (what < 5) {
        wrong = asm_reserve(m, b, &op);
    } else if (what < 8) {
        wrong = asm_map(m, &op);
    } else if (what < 10) {
        wrong = asm_map_new(m, &op);
    } else if (what < 11) {
        wrong = asm_map_device(m, &op);
    } else if (what < 14) {
        wrong = asm_unmap(m, &op);
    } else if (what < 16) {
        wrong = asm_protect(m, &op);
    } else if (what < 19) {
        wrong = asm_fault(m, b, &op);
    } else if (what < 20) {
        wrong = asm_split(m, &op);
    } else if (what < 21) {
        wrong = asm_find(m, &op);
    } else if (what < 22) {
        wrong = asm_activate(m);
    } else if (what < 23) {
        wrong = asm_release(m, &op);
    } else {
        wrong = asm_destroy(m);
        kc_frames_fail_after(m->frames, UINT64_MAX);
        if (wrong == NULL && !m->active) {
            wrong = asm_init(m);
        }
    }
    kc_frames_fail_after(m->frames, UINT64_MAX);
    return wrong;
}

static inline const char *asm_begin(struct aspace_model *m, struct kc_frames *frames,
                                    struct kc_bytes *b)
{
    uint32_t how = kc_bytes_u8(b);
    __builtin_memset(m, 0, sizeof(*m));
    m->frames = frames;
    m->user = (how & 1) == 0;
    m->base = KC_GIB(1) - ASM_BLOCK * ASM_PAGE;
    if (kc_frame_alloc(frames, 0, KC_FRAME_ZERO, KC_FRAME_OWNER_KERNEL, &m->empty_root) != KC_OK ||
        kc_asids_init(&m->asids, 4, m->empty_root) != KC_OK) {
        return "no frames to begin with";
    }
    m->frames_at_rest = m->user ? 0 : 1;
    m->ttbr0 = kc_plat_sysreg_read(KC_TTBR0_EL1);
    if (!m->user) {
        struct kc_pt_config c = {.format = {KC_A64_STAGE1, 12, 48, 40, 1, 0, 0},
                                 .source = {.frames = frames},
                                 .any_asid = true};
        m->base += kc_a64_ia_base(&c.format);
        if (kc_pt_init(&m->kernel_pt, &c) != KC_OK) {
            return "no tree of the kernel";
        }
    }
    return asm_init(m);
}

/* No walker may have the empty root when its page is given back. */
static inline void asm_leave_root(const struct aspace_model *m)
{
    kc_plat_sysreg_write(KC_TTBR0_EL1, m->ttbr0);
    kc_plat_barrier(KC_ISB);
    kc_plat_tlbi(KC_TLBI_VMALLE1IS, 0);
    kc_plat_barrier(KC_DSB_ISH);
    kc_plat_barrier(KC_ISB);
}

static inline const char *asm_end(struct aspace_model *m)
{
    const char *wrong = m->active ? asm_activate(m) : NULL;
    wrong = wrong == NULL ? asm_destroy(m) : wrong;
    if (wrong == NULL && !m->user && kc_pt_fini(&m->kernel_pt) != KC_OK) {
        wrong = "the kernel's tree does not go";
    }
    asm_leave_root(m);
    if (wrong == NULL && kc_frame_free(m->frames, m->empty_root, 0) != KC_OK) {
        wrong = "the empty root does not go";
    }
    return wrong;
}

/* frames are fresh: nothing is allocated. */
static inline const char *aspace_model_run(struct aspace_model *m, struct kc_frames *frames,
                                           struct kc_bytes *b)
{
    const char *wrong = asm_begin(m, frames, b);
    while (wrong == NULL && !kc_bytes_is_empty(b)) {
        wrong = asm_step(m, b);
        wrong = wrong == NULL ? asm_compare(m) : wrong;
    }
    return wrong == NULL ? asm_end(m) : wrong;
}

#endif
