/* SPDX-License-Identifier: BSD-2-Clause */
/* Deep validator of frame: judges F1 to F12 of frame.c and names the first that is broken. */
#include "frame_priv.h"

/* What the walk over all records found, to be compared with the counts. */
struct tally {
    uint64_t free_frames[KC_FRAME_ZONES];
    uint64_t fresh_frames[KC_FRAME_ZONES];
    uint64_t free_blocks[KC_FRAME_ZONES][KC_FRAME_ORDERS];
    uint64_t owner_frames[KC_FRAME_OWNER_COUNT];
    uint64_t frames[KC_FRAME_ZONES];
    uint64_t listed[KC_CPUS_MAX]; /* kept by that CPU */
    uint64_t zeroed;
};

static kc_status_t broken(struct kc_frame_fault *where, uint32_t invariant, uint32_t index,
                          uint64_t expected, uint64_t found)
{
    if (where != NULL) {
        struct kc_frame_fault w = {invariant, index, expected, found};
        *where = w;
    }
    return KC_ERR_CORRUPT;
}

/* F3, and of F1 what concerns one span; `after` is the first frame that it may have. */
static kc_status_t check_span(const struct kc_frames *f, const struct kc_frame_span *s,
                              uint64_t after, struct kc_frame_fault *where)
{
    uint64_t end = (uint64_t)s->index + s->count;
    if (s->count == 0 || s->pfn < after || end > f->record_count) {
        return broken(where, 1, s->index, after, s->pfn);
    }
    if (s->zone >= KC_FRAME_ZONES || f->zone[s->zone] == NULL || frame_zone_of(s->pfn) != s->zone ||
        frame_zone_of(s->pfn + s->count - 1) != s->zone) {
        return broken(where, 1, s->index, frame_zone_of(s->pfn), s->zone);
    }
    if (s->fresh < s->index || s->fresh > s->fresh_end || s->fresh_end > end) {
        return broken(where, 3, s->index, s->fresh_end, s->fresh);
    }
    if (s->fresh != s->fresh_end && (frame_pfn(s, s->fresh) % FRAME_CHUNK != 0 ||
                                     frame_pfn(s, s->fresh_end) % FRAME_CHUNK != 0)) {
        return broken(where, 3, s->index, 0, frame_pfn(s, s->fresh) % FRAME_CHUNK);
    }
    const struct kc_frame_front *front = &f->front;
    if (s->first == front->record &&
        (s->pfn != front->pfn || s->count != front->count || s->index != front->index ||
         s->fresh - s->index != front->fresh || s->fresh_end - s->index != front->fresh_end)) {
        return broken(where, 3, s->index, s->fresh - s->index, front->fresh);
    }
    return KC_OK;
}

/* The rest of F1: places, banks, and the spans of each zone. */
static kc_status_t check_places(const struct kc_frames *f, struct kc_frame_map *m,
                                struct kc_frame_fault *where)
{
    uint64_t index = 0;
    for (uint32_t i = 0; i < m->span_count; i++) {
        const struct frame_place *p = &frame_places(m)[i];
        const struct kc_frame_span *s = frame_span_of(f, p->pfn);
        if (s == NULL || s->pfn != p->pfn || s->index != p->index || p->index < index) {
            return broken(where, 1, p->index, index, s == NULL ? FRAME_NONE : s->index);
        }
        index = (uint64_t)p->index + s->count;
        for (uint64_t at = p->index; at < index;
             at = kc_align_down(at, FRAME_BANK_RECORDS) + FRAME_BANK_RECORDS) {
            uint64_t bank = at >> KC_FRAME_BANK_LOG2;
            uint64_t end = (bank + 1) << KC_FRAME_BANK_LOG2;
            uint64_t last = (index < end ? index : end) - 1;
            if (bank >= f->bank_count || last % FRAME_BANK_RECORDS >= f->bank[bank].count) {
                return broken(where, 1, (uint32_t)at, last, f->bank_count);
            }
        }
    }
    uint32_t span = 0;
    for (uint32_t z = 0; z < KC_FRAME_ZONES; z++) {
        const struct kc_frame_zone *zone = f->zone[z];
        if ((zone != NULL) != ((f->zones >> z & 1) != 0)) {
            return broken(where, 1, FRAME_NONE, f->zones, z);
        }
        if (zone == NULL) {
            continue;
        }
        uint32_t first = span;
        while (span < m->span_count && frame_spans(m)[span].zone == z) {
            span++;
        }
        if (zone->span_first != first || zone->span_end != span || zone->span_fresh < first ||
            zone->span_fresh > span) {
            return broken(where, 1, FRAME_NONE, span, zone->span_end);
        }
    }
    return span == m->span_count ? KC_OK : broken(where, 1, FRAME_NONE, m->span_count, span);
}

/* F9. */
static kc_status_t check_known(struct kc_frame_map *m, struct kc_frame_fault *where)
{
    const kc_pa_range_t *known = frame_known(m);
    for (uint32_t i = 0; i < m->known_count; i++) {
        for (uint32_t j = i + 1; j < m->known_count; j++) {
            if (kc_pa_range_meets(known[i], known[j])) {
                return broken(where, 9, FRAME_NONE, i, j);
            }
        }
    }
    for (uint32_t i = 0; i < m->span_count; i++) {
        const struct kc_frame_span *s = &frame_spans(m)[i];
        bool covered = false;
        for (uint32_t j = 0; j < m->known_count && !covered; j++) {
            covered = kc_pa_range_covers(
                known[j], kc_pa_range(frame_pa(s->pfn), (uint64_t)s->count << KC_FRAME_LOG2));
        }
        if (!covered) {
            return broken(where, 9, s->index, 1, 0);
        }
    }
    return KC_OK;
}

/* F1, F3 and F9. */
static kc_status_t check_spans(const struct kc_frames *f, struct kc_frame_fault *where)
{
    struct kc_frame_map *m = f->map;
    kc_status_t status = KC_OK;
    uint64_t pfn = 0;
    if (m->span_count > m->span_max) {
        return broken(where, 1, FRAME_NONE, m->span_max, m->span_count);
    }
    for (uint32_t i = 0; i < m->span_count && status == KC_OK; i++) {
        const struct kc_frame_span *s = &frame_spans(m)[i];
        status = check_span(f, s, pfn, where);
        pfn = s->pfn + s->count;
    }
    if (status == KC_OK) {
        status = check_places(f, m, where);
    }
    return status == KC_OK ? check_known(m, where) : status;
}

/* F10, and the counts for F11 and F12. */
static kc_status_t check_kept(const struct kc_frames *f, uint32_t index, struct tally *t,
                              struct kc_frame_fault *where)
{
    const struct kc_frame *r = kc_frame_at(f, index);
    uint32_t keeper = frame_pins(r->word) - 1;
    if (frame_kind_order(r->kind) != 0 || frame_kind_owner(r->kind) >= KC_FRAME_OWNER_COUNT) {
        return broken(where, 10, index, 0, r->kind);
    }
    if (r->word == FRAME_KEPT_ZERO) {
        t->zeroed++;
        return KC_OK;
    }
    if (keeper >= f->cpu_count || r->u.data != 0) {
        return broken(where, 10, index, f->cpu_count, keeper);
    }
    t->listed[keeper]++;
    return KC_OK;
}

/* F6, and the counts for F8. */
static kc_status_t check_head(const struct kc_frames *f, uint32_t zone, uint32_t index,
                              struct tally *t, struct kc_frame_fault *where)
{
    const struct kc_frame *r = kc_frame_at(f, index);
    uint32_t order = frame_kind_order(r->kind);
    uint32_t owner = frame_kind_owner(r->kind);
    switch (frame_kind_state(r->kind)) {
    case KC_FRAME_FREE:
        if (owner != KC_FRAME_OWNER_NONE || r->word >= KC_FRAME_OWNER_COUNT) {
            return broken(where, 6, index, 0, owner != 0 ? owner : r->word);
        }
        t->free_frames[zone] += (uint64_t)1 << order;
        t->free_blocks[zone][order]++;
        return KC_OK;
    case KC_FRAME_USED:
        if (frame_is_kept(r->kind, r->word)) {
            return check_kept(f, index, t, where);
        }
        if ((frame_refs(r->word) == 0 && !(FRAME_FULL && r->word == 0)) || r->u.data != 0) {
            return broken(where, 6, index, 1, frame_refs(r->word));
        }
        break;
    case KC_FRAME_CLAIMED:
        if (r->u.data == 0) {
            return broken(where, 6, index, 1, 0);
        }
        break;
    default:
        return broken(where, 2, index, KC_FRAME_FREE, r->kind);
    }
    if (owner == KC_FRAME_OWNER_NONE || owner >= KC_FRAME_OWNER_COUNT) {
        return broken(where, 6, index, KC_FRAME_OWNER_COUNT, owner);
    }
    t->owner_frames[owner] += (uint64_t)1 << order;
    return KC_OK;
}

/* F5: the buddy of a free block is not free as a whole. */
static bool has_free_buddy(const struct kc_frames *f, const struct kc_frame_span *s, uint32_t index)
{
    uint32_t order = frame_kind_order(kc_frame_at(f, index)->kind);
    uint64_t buddy = frame_pfn(s, index) ^ ((uint64_t)1 << order);
    if (order == KC_FRAME_ORDER_MAX || buddy < s->pfn ||
        buddy - s->pfn + ((uint64_t)1 << order) > s->count) {
        return false;
    }
    return kc_frame_at(f, frame_record(s, buddy))->kind ==
           frame_kind(KC_FRAME_FREE, order, KC_FRAME_OWNER_NONE);
}

/* F2, F5, F6 and F7 for one span. */
static kc_status_t check_blocks(const struct kc_frames *f, const struct kc_frame_span *s,
                                struct tally *t, struct kc_frame_fault *where)
{
    uint32_t zone = s->zone;
    uint64_t end = (uint64_t)s->index + s->count;
    t->frames[zone] += s->count;
    uint64_t index = s->index;
    while (index < end) {
        if (frame_is_fresh(s, (uint32_t)index)) {
            t->fresh_frames[zone] += s->fresh_end - index;
            t->free_frames[zone] += s->fresh_end - index;
            index = s->fresh_end;
            continue;
        }
        const struct kc_frame *r = kc_frame_at(f, (uint32_t)index);
        uint32_t order = frame_kind_order(r->kind);
        uint64_t limit = index < s->fresh && s->fresh != s->fresh_end ? s->fresh : end;
        uint64_t frames = (uint64_t)1 << (order & 63);
        if (order > KC_FRAME_ORDER_MAX || index + frames > limit ||
            frame_pfn(s, (uint32_t)index) % frames != 0) {
            return broken(where, 2, (uint32_t)index, limit - index, frames);
        }
        kc_status_t status = check_head(f, zone, (uint32_t)index, t, where);
        if (status != KC_OK) {
            return status;
        }
        bool claimed = frame_kind_state(r->kind) == KC_FRAME_CLAIMED;
        for (uint32_t i = 1; i < frames; i++) {
            uint32_t kind = claimed ? frame_kind(KC_FRAME_INNER, order, 0) : 0;
            if (r[i].kind != kind) {
                return broken(where, 7, (uint32_t)index + i, kind, r[i].kind);
            }
            if (!claimed && (r[i].u.data != 0 || r[i].word >= KC_FRAME_OWNER_COUNT)) {
                return broken(where, 7, (uint32_t)index + i, 0, r[i].word);
            }
        }
        if (frame_kind_state(r->kind) == KC_FRAME_FREE && has_free_buddy(f, s, (uint32_t)index)) {
            return broken(where, 5, (uint32_t)index, 0, order);
        }
        index += frames;
    }
    return KC_OK;
}

/* F4 for one list, the FREE blocks having been counted. */
static kc_status_t check_list(const struct kc_frames *f, uint32_t zone, uint32_t order,
                              uint64_t blocks, struct kc_frame_fault *where)
{
    const struct kc_frame_zone *z = f->zone[zone];
    uint32_t want = frame_kind(KC_FRAME_FREE, order, KC_FRAME_OWNER_NONE);
    uint32_t prev = FRAME_NONE;
    uint64_t seen = 0;
    for (uint32_t at = z->head[order]; at != FRAME_NONE; at = kc_frame_at(f, at)->u.link.next) {
        if (at >= f->record_count || seen == blocks) {
            return broken(where, 4, at, blocks, seen + 1);
        }
        if (kc_frame_at(f, at)->kind != want || kc_frame_at(f, at)->u.link.prev != prev) {
            return broken(where, 4, at, want, kc_frame_at(f, at)->kind);
        }
        prev = at;
        seen++;
    }
    if (seen != blocks || z->blocks[order] != blocks) {
        return broken(where, 4, FRAME_NONE, blocks, seen != blocks ? seen : z->blocks[order]);
    }
    if ((z->mask >> order & 1) != (blocks != 0)) {
        return broken(where, 4, FRAME_NONE, blocks != 0, z->mask);
    }
    return KC_OK;
}

/* F8 for one zone. */
static kc_status_t check_zone(const struct kc_frames *f, uint32_t zone, const struct tally *t,
                              struct kc_frame_fault *where)
{
    const struct kc_frame_zone *z = f->zone[zone];
    if (z->free_frames != t->free_frames[zone]) {
        return broken(where, 8, FRAME_NONE, t->free_frames[zone], z->free_frames);
    }
    if (z->fresh_frames != t->fresh_frames[zone]) {
        return broken(where, 8, FRAME_NONE, t->fresh_frames[zone], z->fresh_frames);
    }
    if (z->frames != t->frames[zone]) {
        return broken(where, 8, FRAME_NONE, t->frames[zone], z->frames);
    }
    return KC_OK;
}

/* The rest of F8. */
static kc_status_t check_counts(const struct kc_frames *f, const struct tally *t,
                                struct kc_frame_fault *where)
{
    uint64_t all = 0;
    for (uint32_t z = 0; z < KC_FRAME_ZONES; z++) {
        all += t->free_frames[z];
    }
    uint64_t kept = t->zeroed;
    for (uint32_t i = 0; i < f->cpu_count; i++) {
        kept += t->listed[i];
    }
    if (f->free_frames != all) {
        return broken(where, 8, FRAME_NONE, all, f->free_frames);
    }
    for (uint32_t o = 0; o < KC_FRAME_OWNER_COUNT; o++) {
        uint64_t counted = kc_frame_priv_owner_frames(f, o);
        if (counted != t->owner_frames[o]) {
            return broken(where, 8, FRAME_NONE, t->owner_frames[o], counted);
        }
        all += t->owner_frames[o];
    }
    all += kept;
    return f->frame_count == all ? KC_OK : broken(where, 8, FRAME_NONE, all, f->frame_count);
}

/* F11 for one list, the frames that name it having been counted. */
static kc_status_t check_cpu(const struct kc_frames *f, uint32_t cpu, uint64_t listed,
                             struct kc_frame_fault *where)
{
    const struct kc_frame_cpu *c = &f->cpu[cpu];
    size_t count = kc_mag_count(&c->mag);
    if (count > KC_FRAME_CPU_FRAMES || count != listed) {
        return broken(where, 11, FRAME_NONE, listed, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct kc_frame_entry *e = &c->entry[i];
        const struct kc_frame_span *s = frame_span_of(f, e->pfn);
        if (s == NULL || frame_record(s, e->pfn) != e->index || !frame_entry_is_good(f, c, e)) {
            return broken(where, 11, e->index, e->pfn, cpu);
        }
        for (uint32_t j = 0; j < i; j++) {
            if (c->entry[j].index == e->index) {
                return broken(where, 11, e->index, i, j);
            }
        }
    }
    return KC_OK;
}

/* F12. */
static kc_status_t check_stock(const struct kc_frames *f, uint64_t zeroed,
                               struct kc_frame_fault *where)
{
    uint32_t at = f->stock;
    if (f->stock_count > KC_FRAME_STOCK_MAX || frame_stocked(f) != zeroed) {
        return broken(where, 12, FRAME_NONE, zeroed, frame_stocked(f));
    }
    for (uint32_t i = 0; i < f->stock_count; i++) {
        if (at >= f->record_count || kc_frame_at(f, at)->word != FRAME_KEPT_ZERO) {
            return broken(where, 12, at, f->stock_count, i);
        }
        at = kc_frame_at(f, at)->u.link.next;
    }
    return at == FRAME_NONE ? KC_OK : broken(where, 12, at, FRAME_NONE, at);
}

static kc_status_t check_all(const struct kc_frames *f, struct kc_frame_fault *where)
{
    struct tally t;
    __builtin_memset(&t, 0, sizeof(t));
    kc_status_t status = check_spans(f, where);
    for (uint32_t i = 0; i < f->map->span_count && status == KC_OK; i++) {
        status = check_blocks(f, &frame_spans(f->map)[i], &t, where);
    }
    for (uint32_t left = f->zones; left != 0 && status == KC_OK; left &= left - 1) {
        uint32_t z = (uint32_t)__builtin_ctz(left);
        for (uint32_t o = 0; o < KC_FRAME_ORDERS && status == KC_OK; o++) {
            status = check_list(f, z, o, t.free_blocks[z][o], where);
        }
        if (status == KC_OK) {
            status = check_zone(f, z, &t, where);
        }
    }
    if (status == KC_OK) {
        status = check_counts(f, &t, where);
    }
    for (uint32_t i = 0; i < f->cpu_count && status == KC_OK; i++) {
        status = check_cpu(f, i, t.listed[i], where);
    }
    return status == KC_OK ? check_stock(f, t.zeroed, where) : status;
}

kc_status_t kc_frames_check(struct kc_frames *f, struct kc_frame_fault *where)
{
    uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
    kc_status_t status = check_all(f, where);
    kc_lock_release_irqrestore(&f->lock, irq);
    return status;
}
