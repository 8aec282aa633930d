/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Address spaces.
 *
 * Nouns. A *space* is a window of input addresses over a tree (kc/pt.h). An *area* is a reserved
 * range in it; its *extent* is the area with the guards on both sides. An *ASID* tags the space's
 * entries in the TLBs; it belongs to a *generation* of the struct kc_asids that gave it.
 *
 *     window  |.....[guard|  area  |guard]..........[ area ][guard|  area  |guard]....|
 *                          mapped pages only here     and here      and here
 *
 * Invariants, judged by aspace_check.c:
 *   I1  Areas are in ascending order, inside the window, and no two extents meet.
 *   I2  Every mapped page of the window lies in the usable bytes of an area.
 *   I3  An area whose backing is EMPTY maps nothing.
 *   I4  own_frames is the number of pages mapped in areas whose backing is OWN.
 *   I5  Every mapping carries the attributes of its kind of space: a user space maps for EL0, not
 *       global; the kernel's maps for EL1 alone, global.
 * ASIDs and what a CPU does to enter a space: aspace_asid.c.
 *
 * Frames that a space owns are mapped by pages, so that unmapping them never cuts a block and never
 * needs memory: release and fini cannot fail half-way.
 *
 * Cost: areas are found by binary search; reserving is linear in the areas. Locking: one lock per
 * space and one in struct kc_asids, both of rank KC_RANK_ASPACE, never held together; below them
 * the tree's and the frames'.
 *
 * Source: illumos vmem.c, for areas as a sorted set.
 */
#include "aspace_priv.h"

#include <kc/frame.h>

#define PAGE_BYTES     ((uint64_t)KC_FRAME_BYTES)
#define FREE_BATCH_MAX 32u /* frames unmapped together: one invalidation for all of them */

/* ---- areas ---------------------------------------------------------------------------------- */

uint64_t kc_aspace_priv_extent_base(const struct kc_area *a)
{
    return a->base - a->guard_bytes;
}

uint64_t kc_aspace_priv_extent_bytes(const struct kc_area *a)
{
    return a->bytes + 2 * a->guard_bytes;
}

bool kc_aspace_priv_attr_fits(const struct kc_aspace *as, struct kc_pt_attr attr)
{
    bool user = (attr.perm & KC_PT_USER) != 0;
    return as->kind == KC_ASPACE_USER ? user && !attr.global : !user && attr.global;
}

/* Index of the first area whose extent ends above ia; area_count if there is none. */
static uint32_t lower_bound(const struct kc_aspace *as, uint64_t ia)
{
    uint32_t low = 0;
    uint32_t high = as->area_count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        const struct kc_area *a = &as->areas[mid];
        if (kc_aspace_priv_extent_base(a) + (kc_aspace_priv_extent_bytes(a) - 1) < ia) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct kc_area *kc_aspace_priv_find(const struct kc_aspace *as, uint64_t ia)
{
    uint32_t i = lower_bound(as, ia);
    if (i == as->area_count || kc_aspace_priv_extent_base(&as->areas[i]) > ia) {
        return NULL;
    }
    return &as->areas[i];
}

/* The area that holds all of the range, or why there is none. */
static kc_status_t area_of(const struct kc_aspace *as, kc_ia_t ia, uint64_t bytes,
                           struct kc_area **out)
{
    if (bytes == 0) {
        return KC_ERR_ARG;
    }
    struct kc_area *a = kc_aspace_priv_find(as, kc_ia_raw(ia));
    if (a == NULL || !kc_range_has(a->base, a->bytes, kc_ia_raw(ia))) {
        return KC_ERR_ABSENT;
    }
    if (!kc_range_covers(a->base, a->bytes, kc_ia_raw(ia), bytes)) {
        return KC_ERR_SPAN;
    }
    *out = a;
    return KC_OK;
}

/* ---- taking pages out ----------------------------------------------------------------------- */

/* Unmap own pages from ia on, as many as are there in a row, at most FREE_BATCH_MAX; free them. */
static uint64_t drop_batch(struct kc_aspace *as, uint64_t ia, uint64_t bytes)
{
    kc_pa_t frames[FREE_BATCH_MAX];
    uint32_t count = 0;
    struct kc_pt_walk w;
    while (count < FREE_BATCH_MAX && (uint64_t)count * PAGE_BYTES < bytes &&
           kc_pt_translate(as->pt, kc_ia(ia + count * PAGE_BYTES), &w) == KC_OK) {
        frames[count++] = w.pa;
    }
    if (count == 0) {
        return PAGE_BYTES;
    }
    kc_status_t status = kc_pt_unmap(as->pt, kc_ia(ia), count * PAGE_BYTES);
    KC_CHECK(status == KC_OK); /* they are pages: no block to cut, no table to get */
    /* kc_pt_unmap() has waited for the invalidation: no TLB reaches the frames any more. */
    for (uint32_t i = 0; i < count; i++) {
        status = kc_frame_free(as->frames, frames[i], 0);
        KC_CHECK(status == KC_OK);
    }
    as->own_frames -= count;
    return count * PAGE_BYTES;
}

static void drop_own(struct kc_aspace *as, uint64_t ia, uint64_t bytes)
{
    uint64_t done = 0;
    while (done < bytes) {
        done += drop_batch(as, ia + done, bytes - done);
    }
}

/* Unmap what the caller gave, wherever it is mapped in the area. */
static void drop_foreign(struct kc_aspace *as, const struct kc_area *a)
{
    struct kc_pt_cursor c = kc_pt_each_from(as->pt, kc_ia(a->base));
    struct kc_pt_run run;
    while (kc_pt_each(as->pt, &c, &run) && kc_range_has(a->base, a->bytes, kc_ia_raw(run.ia))) {
        uint64_t room = a->bytes - (kc_ia_raw(run.ia) - a->base);
        kc_status_t status = kc_pt_unmap(as->pt, run.ia, run.bytes < room ? run.bytes : room);
        KC_CHECK(status == KC_OK); /* mapped inside this area: its blocks end with it */
    }
}

static void drop_area(struct kc_aspace *as, const struct kc_area *a)
{
    if (a->backing == KC_AREA_OWN) {
        drop_own(as, a->base, a->bytes);
    } else if (a->backing != KC_AREA_EMPTY) {
        drop_foreign(as, a);
    }
}

/* ---- reserve, release ----------------------------------------------------------------------- */

static kc_status_t judge_request(const struct kc_aspace *as, const struct kc_aspace_request *rq,
                                 uint64_t align)
{
    if (rq->bytes == 0 || !kc_is_pow2(align) || (rq->flags & ~KC_AREA_LAZY) != 0) {
        return KC_ERR_ARG;
    }
    if ((rq->flags & KC_AREA_LAZY) != 0) {
        kc_status_t status = kc_pt_priv_attr_check(as->pt->any_asid, rq->attr);
        if (status != KC_OK) {
            return status;
        }
        if (!kc_aspace_priv_attr_fits(as, rq->attr)) {
            return KC_ERR_PERM;
        }
    }
    if (!kc_is_aligned(rq->bytes | rq->guard_bytes, PAGE_BYTES)) {
        return KC_ERR_ALIGN;
    }
    if (rq->fixed && !kc_ia_is_aligned(rq->at, align < PAGE_BYTES ? PAGE_BYTES : align)) {
        return KC_ERR_ALIGN;
    }
    return KC_OK;
}

/* Bytes that an area with its guards takes; false if that is no number. */
static bool extent_of(const struct kc_aspace_request *rq, uint64_t *out)
{
    return kc_add_u64(rq->bytes, rq->guard_bytes, out) && kc_add_u64(*out, rq->guard_bytes, out);
}

static kc_status_t place_fixed(const struct kc_aspace *as, const struct kc_aspace_request *rq,
                               uint32_t *index, uint64_t *base)
{
    uint64_t at = kc_ia_raw(rq->at);
    uint64_t extent;
    if (!extent_of(rq, &extent) || at < rq->guard_bytes ||
        !kc_range_covers(as->base, as->bytes, at - rq->guard_bytes, extent)) {
        return KC_ERR_RANGE;
    }
    uint32_t i = lower_bound(as, at - rq->guard_bytes);
    if (i < as->area_count &&
        kc_range_meets(at - rq->guard_bytes, extent, kc_aspace_priv_extent_base(&as->areas[i]),
                       kc_aspace_priv_extent_bytes(&as->areas[i]))) {
        return KC_ERR_EXISTS;
    }
    *index = i;
    *base = at;
    return KC_OK;
}

/* Does it fit into gap .. gap + bytes - 1? */
static bool fits_gap(const struct kc_aspace_request *rq, uint64_t align, uint64_t gap,
                     uint64_t bytes, uint64_t *base)
{
    uint64_t at;
    uint64_t extent;
    if (!extent_of(rq, &extent) || !kc_add_u64(gap, rq->guard_bytes, &at) ||
        !kc_align_up(at, align, &at)) {
        return false;
    }
    *base = at;
    return kc_range_covers(gap, bytes, at - rq->guard_bytes, extent);
}

static kc_status_t place_anywhere(const struct kc_aspace *as, const struct kc_aspace_request *rq,
                                  uint64_t align, uint32_t *index, uint64_t *base)
{
    uint64_t used = 0; /* bytes of the window below the gap */
    for (uint32_t i = 0; i <= as->area_count; i++) {
        uint64_t end = as->bytes;
        if (i < as->area_count) {
            end = kc_aspace_priv_extent_base(&as->areas[i]) - as->base;
        }
        if (fits_gap(rq, align, as->base + used, end - used, base)) {
            *index = i;
            return KC_OK;
        }
        if (i < as->area_count) {
            used = end + kc_aspace_priv_extent_bytes(&as->areas[i]);
        }
    }
    return KC_ERR_NOMEM;
}

static kc_status_t reserve_locked(struct kc_aspace *as, const struct kc_aspace_request *rq,
                                  uint64_t *base)
{
    uint64_t align = rq->align == 0 ? PAGE_BYTES : rq->align;
    uint32_t index = 0;
    kc_status_t status = judge_request(as, rq, align);
    if (status != KC_OK) {
        return status;
    }
    align = align < PAGE_BYTES ? PAGE_BYTES : align;
    status =
        rq->fixed ? place_fixed(as, rq, &index, base) : place_anywhere(as, rq, align, &index, base);
    if (status != KC_OK) {
        return status;
    }
    if (as->area_count == as->area_max) {
        return KC_ERR_QUOTA;
    }
    for (uint32_t i = as->area_count; i > index; i--) {
        as->areas[i] = as->areas[i - 1];
    }
    as->areas[index] = (struct kc_area){.base = *base,
                                        .bytes = rq->bytes,
                                        .guard_bytes = rq->guard_bytes,
                                        .attr = rq->attr,
                                        .backing = KC_AREA_EMPTY,
                                        .flags = rq->flags};
    as->area_count++;
    return KC_OK;
}

static void forget_area(struct kc_aspace *as, struct kc_area *a)
{
    as->area_count--;
    for (struct kc_area *end = &as->areas[as->area_count]; a < end; a++) {
        a[0] = a[1];
    }
}

kc_status_t kc_aspace_reserve(struct kc_aspace *as, const struct kc_aspace_request *rq,
                              kc_ia_t *out)
{
    uint64_t base = 0;
    if (!as->ready) {
        return KC_ERR_STATE;
    }
    kc_lock_acquire(&as->lock);
    kc_status_t status = reserve_locked(as, rq, &base);
    kc_lock_release(&as->lock);
    if (status == KC_OK) {
        *out = kc_ia(base);
    }
    return status;
}

kc_status_t kc_aspace_release(struct kc_aspace *as, kc_ia_t ia)
{
    if (!as->ready) {
        return KC_ERR_STATE;
    }
    kc_status_t status = KC_ERR_ABSENT;
    kc_lock_acquire(&as->lock);
    struct kc_area *a = kc_aspace_priv_find(as, kc_ia_raw(ia));
    if (a != NULL && a->base == kc_ia_raw(ia)) {
        drop_area(as, a);
        forget_area(as, a);
        status = KC_OK;
    }
    kc_lock_release(&as->lock);
    return status;
}

/* ---- map, unmap, protect -------------------------------------------------------------------- */

static bool is_device(struct kc_pt_attr attr)
{
    return attr.type == KC_A64_MEM_DEVICE_nGnRE || attr.type == KC_A64_MEM_DEVICE_nGnRnE;
}

/* May memory of that backing be mapped there? */
static kc_status_t judge_map(const struct kc_aspace *as, kc_ia_t ia, uint64_t bytes,
                             struct kc_pt_attr attr, uint8_t backing, struct kc_area **a)
{
    kc_status_t status = kc_pt_priv_attr_check(as->pt->any_asid, attr);
    if (status != KC_OK) {
        return status;
    }
    if (!kc_aspace_priv_attr_fits(as, attr)) {
        return KC_ERR_PERM;
    }
    status = area_of(as, ia, bytes, a);
    if (status != KC_OK) {
        return status;
    }
    if (((*a)->flags & KC_AREA_LAZY) != 0 ||
        ((*a)->backing != KC_AREA_EMPTY && (*a)->backing != backing)) {
        return KC_ERR_STATE;
    }
    return KC_OK;
}

static kc_status_t map_locked(struct kc_aspace *as, kc_ia_t ia, kc_pa_t pa, uint64_t bytes,
                              struct kc_pt_attr attr)
{
    uint8_t backing = is_device(attr) ? KC_AREA_DEVICE : KC_AREA_FOREIGN;
    struct kc_area *a = NULL;
    kc_status_t status = judge_map(as, ia, bytes, attr, backing, &a);
    if (status != KC_OK) {
        return status;
    }
    status = kc_pt_map(as->pt, ia, pa, bytes, attr);
    if (status == KC_OK) {
        a->backing = backing;
    }
    return status;
}

kc_status_t kc_aspace_map(struct kc_aspace *as, kc_ia_t ia, kc_pa_t pa, uint64_t bytes,
                          struct kc_pt_attr attr)
{
    if (!as->ready) {
        return KC_ERR_STATE;
    }
    kc_lock_acquire(&as->lock);
    kc_status_t status = map_locked(as, ia, pa, bytes, attr);
    kc_lock_release(&as->lock);
    return status;
}

/* One zeroed frame of the space's own. */
static kc_status_t map_own_page(struct kc_aspace *as, uint64_t ia, struct kc_pt_attr attr)
{
    uint16_t owner = as->kind == KC_ASPACE_USER ? KC_FRAME_OWNER_USER : KC_FRAME_OWNER_KERNEL;
    kc_pa_t pa;
    kc_status_t status = kc_frame_alloc(as->frames, 0, KC_FRAME_ZERO, owner, &pa);
    if (status != KC_OK) {
        return status;
    }
    status = kc_pt_map(as->pt, kc_ia(ia), pa, PAGE_BYTES, attr);
    if (status != KC_OK) {
        kc_status_t freed = kc_frame_free(as->frames, pa, 0);
        KC_CHECK(freed == KC_OK);
        return status;
    }
    as->own_frames++;
    return KC_OK;
}

static kc_status_t map_new_locked(struct kc_aspace *as, kc_ia_t ia, uint64_t bytes,
                                  struct kc_pt_attr attr)
{
    struct kc_area *a = NULL;
    uint64_t base = kc_ia_raw(ia);
    kc_status_t status = judge_map(as, ia, bytes, attr, KC_AREA_OWN, &a);
    if (status != KC_OK) {
        return status;
    }
    if (!kc_is_aligned(base | bytes, PAGE_BYTES)) {
        return KC_ERR_ALIGN;
    }
    for (uint64_t done = 0; done < bytes; done += PAGE_BYTES) {
        status = map_own_page(as, base + done, attr);
        if (status != KC_OK) {
            drop_own(as, base, done);
            return status;
        }
    }
    a->backing = KC_AREA_OWN;
    return KC_OK;
}

kc_status_t kc_aspace_map_new(struct kc_aspace *as, kc_ia_t ia, uint64_t bytes,
                              struct kc_pt_attr attr)
{
    if (!as->ready) {
        return KC_ERR_STATE;
    }
    kc_lock_acquire(&as->lock);
    kc_status_t status = map_new_locked(as, ia, bytes, attr);
    kc_lock_release(&as->lock);
    return status;
}

kc_status_t kc_aspace_map_device(struct kc_aspace *as, kc_pa_t pa, uint64_t bytes, kc_ia_t *out)
{
    bool user = as->kind == KC_ASPACE_USER;
    uint64_t offset = kc_pa_raw(pa) & (PAGE_BYTES - 1);
    uint64_t size;
    if (!as->ready) {
        return KC_ERR_STATE;
    }
    if (bytes == 0) {
        return KC_ERR_ARG;
    }
    if (!kc_add_u64(offset, bytes, &size) || !kc_align_up(size, PAGE_BYTES, &size)) {
        return KC_ERR_RANGE;
    }
    struct kc_aspace_request rq = {.bytes = size, .guard_bytes = PAGE_BYTES};
    struct kc_pt_attr attr =
        kc_pt_attr(KC_PT_R | KC_PT_W | (user ? KC_PT_USER : 0u), KC_A64_MEM_DEVICE_nGnRE, !user);
    uint64_t base = 0;
    kc_lock_acquire(&as->lock);
    kc_status_t status = reserve_locked(as, &rq, &base);
    if (status == KC_OK) {
        status = map_locked(as, kc_ia(base), kc_pa_align_down(pa, PAGE_BYTES), size, attr);
        if (status != KC_OK) {
            forget_area(as, kc_aspace_priv_find(as, base));
        }
    }
    kc_lock_release(&as->lock);
    if (status == KC_OK) {
        *out = kc_ia(base + offset);
    }
    return status;
}

static kc_status_t unmap_locked(struct kc_aspace *as, kc_ia_t ia, uint64_t bytes)
{
    struct kc_area *a = NULL;
    kc_status_t status = area_of(as, ia, bytes, &a);
    if (status != KC_OK) {
        return status;
    }
    if (a->backing == KC_AREA_OWN) {
        if (!kc_is_aligned(kc_ia_raw(ia) | bytes, PAGE_BYTES)) {
            return KC_ERR_ALIGN;
        }
        drop_own(as, kc_ia_raw(ia), bytes);
    } else {
        status = kc_pt_unmap(as->pt, ia, bytes);
    }
    if (status == KC_OK && bytes == a->bytes) {
        a->backing = KC_AREA_EMPTY;
    }
    return status;
}

kc_status_t kc_aspace_unmap(struct kc_aspace *as, kc_ia_t ia, uint64_t bytes)
{
    if (!as->ready) {
        return KC_ERR_STATE;
    }
    kc_lock_acquire(&as->lock);
    kc_status_t status = unmap_locked(as, ia, bytes);
    kc_lock_release(&as->lock);
    return status;
}

/* All pages that a lazy area has. They are pages: no table is needed, nothing can fail half-way. */
static void protect_lazy(struct kc_aspace *as, struct kc_area *a, struct kc_pt_attr attr)
{
    struct kc_pt_cursor c = kc_pt_each_from(as->pt, kc_ia(a->base));
    struct kc_pt_run run;
    while (kc_pt_each(as->pt, &c, &run) && kc_range_has(a->base, a->bytes, kc_ia_raw(run.ia))) {
        uint64_t room = a->bytes - (kc_ia_raw(run.ia) - a->base);
        kc_status_t status =
            kc_pt_protect(as->pt, run.ia, run.bytes < room ? run.bytes : room, attr);
        KC_CHECK(status == KC_OK);
    }
    a->attr = attr;
}

static kc_status_t protect_locked(struct kc_aspace *as, kc_ia_t ia, uint64_t bytes,
                                  struct kc_pt_attr attr)
{
    struct kc_area *a = NULL;
    kc_status_t status = kc_pt_priv_attr_check(as->pt->any_asid, attr);
    if (status == KC_OK && !kc_aspace_priv_attr_fits(as, attr)) {
        status = KC_ERR_PERM;
    }
    if (status == KC_OK) {
        status = area_of(as, ia, bytes, &a);
    }
    if (status != KC_OK) {
        return status;
    }
    if ((a->flags & KC_AREA_LAZY) == 0) {
        return kc_pt_protect(as->pt, ia, bytes, attr);
    }
    if (kc_ia_raw(ia) != a->base || bytes != a->bytes) {
        return KC_ERR_STATE;
    }
    protect_lazy(as, a, attr);
    return KC_OK;
}

kc_status_t kc_aspace_protect(struct kc_aspace *as, kc_ia_t ia, uint64_t bytes,
                              struct kc_pt_attr attr)
{
    if (!as->ready) {
        return KC_ERR_STATE;
    }
    kc_lock_acquire(&as->lock);
    kc_status_t status = protect_locked(as, ia, bytes, attr);
    kc_lock_release(&as->lock);
    return status;
}

bool kc_aspace_find(struct kc_aspace *as, kc_ia_t ia, struct kc_area *out)
{
    if (!as->ready) {
        return false;
    }
    kc_lock_acquire(&as->lock);
    const struct kc_area *a = kc_aspace_priv_find(as, kc_ia_raw(ia));
    if (a != NULL) {
        *out = *a;
    }
    kc_lock_release(&as->lock);
    return a != NULL;
}

/* ---- faults --------------------------------------------------------------------------------- */

/* Does a mapping of these attributes allow the access? PAN is judged by the caller. */
static bool allows(struct kc_pt_attr attr, const struct kc_a64_syndrome *s)
{
    bool user = (attr.perm & KC_PT_USER) != 0;
    if (s->from_lower && !user) {
        return false;
    }
    if (s->is_fetch) {
        return (attr.perm & KC_PT_X) != 0 && user == s->from_lower;
    }
    return !s->is_write || (attr.perm & KC_PT_W) != 0;
}

static enum kc_aspace_verdict judge_mapped(struct kc_pt_attr attr, const struct kc_a64_syndrome *s)
{
    /* A permission fault of EL1 on a user page that its attributes allow is PAN's: a retry would
       fault for ever. */
    bool pan = s->fault == KC_A64_FAULT_PERMISSION && !s->from_lower && !s->is_fetch &&
               (attr.perm & KC_PT_USER) != 0;
    return allows(attr, s) && !pan ? KC_FAULT_RETRY : KC_FAULT_DENIED;
}

static enum kc_aspace_verdict fault_locked(struct kc_aspace *as, const struct kc_a64_syndrome *s,
                                           uint64_t far)
{
    struct kc_pt_walk w;
    struct kc_area *a = kc_aspace_priv_find(as, far);
    if (a == NULL) {
        return KC_FAULT_NO_AREA;
    }
    if (!kc_range_has(a->base, a->bytes, far)) {
        return KC_FAULT_GUARD;
    }
    if (kc_pt_translate(as->pt, kc_ia(far), &w) == KC_OK) {
        return judge_mapped(w.attr, s);
    }
    if ((a->flags & KC_AREA_LAZY) == 0) {
        return KC_FAULT_UNMAPPED;
    }
    if (!allows(a->attr, s)) {
        return KC_FAULT_DENIED;
    }
    if (map_own_page(as, kc_align_down(far, PAGE_BYTES), a->attr) != KC_OK) {
        return KC_FAULT_NOMEM;
    }
    a->backing = KC_AREA_OWN;
    return KC_FAULT_RETRY;
}

enum kc_aspace_verdict kc_aspace_fault(struct kc_aspace *as, const struct kc_a64_syndrome *s,
                                       uint64_t far)
{
    bool ours = s->is_abort && !s->walk_stage2 && !s->far_invalid &&
                (s->fault == KC_A64_FAULT_TRANSLATION || s->fault == KC_A64_FAULT_ACCESS_FLAG ||
                 s->fault == KC_A64_FAULT_PERMISSION);
    if (!as->ready || !ours) {
        return KC_FAULT_NOT_ABORT;
    }
    kc_lock_acquire(&as->lock);
    enum kc_aspace_verdict v = fault_locked(as, s, far);
    kc_lock_release(&as->lock);
    return v;
}

const char *kc_aspace_verdict_name(enum kc_aspace_verdict v)
{
    static const char *const names[KC_FAULT_VERDICT_COUNT] = {
        "retry",      "not a translation fault", "no area",  "guard page",
        "not mapped", "access denied",           "no memory"};
    return (uint32_t)v < KC_FAULT_VERDICT_COUNT ? names[v] : "?";
}

bool kc_aspace_ask(const struct kc_aspace *as, kc_ia_t ia, struct kc_aspace_belief *out)
{
    uint64_t raw = kc_ia_raw(ia);
    if (!as->ready) {
        return false;
    }
    *out = (struct kc_aspace_belief){.space = as->name, .place = KC_PLACE_OUTSIDE};
    if (!kc_range_has(as->base, as->bytes, raw)) {
        return true;
    }
    out->place = KC_PLACE_FREE;
    for (uint32_t i = 0; i < as->area_count && i < as->area_max; i++) {
        struct kc_area a = as->areas[i];
        if (kc_range_has(a.base, a.bytes, raw)) {
            out->place = KC_PLACE_AREA;
        } else if (kc_range_has(a.base - a.guard_bytes, a.guard_bytes, raw)) {
            out->place = KC_PLACE_GUARD_BELOW;
        } else if (kc_range_has(a.base + a.bytes, a.guard_bytes, raw)) {
            out->place = KC_PLACE_GUARD_ABOVE;
        } else {
            continue;
        }
        out->area = a;
        break;
    }
    return true;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static kc_status_t judge_config(const struct kc_aspace_config *c)
{
    bool user = c->kind == KC_ASPACE_USER;
    if ((c->kind != KC_ASPACE_KERNEL && !user) || c->name == NULL || c->frames == NULL ||
        c->areas == NULL || c->area_max == 0 || c->bytes == 0) {
        return KC_ERR_ARG;
    }
    if (user != (c->asids != NULL) || user != (c->kernel_pt == NULL)) {
        return KC_ERR_ARG;
    }
    const struct kc_a64_format *f = user ? &c->format : kc_pt_format(c->kernel_pt);
    kc_status_t status = kc_a64_format_check(f);
    if (status != KC_OK) {
        return status;
    }
    uint32_t asids = 1u << ((f->features & KC_A64_FEAT_ASID16) != 0 ? 16 : 8);
    if (user && (f->upper || c->asids->count > asids)) {
        return KC_ERR_ARG;
    }
    if (!user && !c->kernel_pt->any_asid) {
        return KC_ERR_ARG;
    }
    uint64_t base = kc_ia_raw(c->base);
    if (!kc_is_aligned(base | c->bytes, PAGE_BYTES)) {
        return KC_ERR_ALIGN;
    }
    if (!kc_range_fits(base, c->bytes) || !kc_a64_ia_in_range(f, base) ||
        !kc_a64_ia_in_range(f, base + c->bytes - 1)) {
        return KC_ERR_RANGE;
    }
    return KC_OK;
}

kc_status_t kc_aspace_init(struct kc_aspace *as, const struct kc_aspace_config *config)
{
    kc_status_t status = judge_config(config);
    if (status != KC_OK) {
        return status;
    }
    if (config->kind == KC_ASPACE_USER) {
        struct kc_pt_config pc = {.format = config->format, .source = {.frames = config->frames}};
        status = kc_pt_init(&as->own_pt, &pc);
        if (status != KC_OK) {
            return status;
        }
        as->pt = &as->own_pt;
    } else {
        as->pt = config->kernel_pt;
    }
    kc_lock_init(&as->lock, config->name, KC_RANK_ASPACE);
    as->frames = config->frames;
    as->asids = config->asids;
    as->name = config->name;
    as->areas = config->areas;
    as->area_max = config->area_max;
    as->area_count = 0;
    as->base = kc_ia_raw(config->base);
    as->bytes = config->bytes;
    as->own_frames = 0;
    as->generation = 0;
    as->asid = 0;
    as->kind = (uint32_t)config->kind;
    as->running = 0;
    as->ready = true;
    return KC_OK;
}

kc_status_t kc_aspace_fini(struct kc_aspace *as)
{
    if (!as->ready) {
        return KC_ERR_STATE;
    }
    if (as->kind == KC_ASPACE_USER) {
        kc_lock_acquire(&as->asids->lock);
        bool running = as->running != 0;
        kc_lock_release(&as->asids->lock);
        if (running) {
            return KC_ERR_STATE;
        }
    }
    kc_lock_acquire(&as->lock);
    while (as->area_count != 0) {
        struct kc_area *a = &as->areas[as->area_count - 1];
        drop_area(as, a);
        as->area_count--;
    }
    KC_CHECK(as->own_frames == 0);
    as->ready = false;
    kc_lock_release(&as->lock);
    if (as->kind != KC_ASPACE_USER) {
        return KC_OK;
    }
    /* Invalidates the ASID and waits for that (A3); then the number may go to somebody else. */
    kc_status_t status = kc_pt_fini(as->pt);
    KC_CHECK(status == KC_OK);
    kc_aspace_priv_asid_drop(as);
    return KC_OK;
}
