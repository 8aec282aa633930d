/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Spans, zones and records: F1, F3 and F9 are established here. Theory: frame.c.
 *
 * What the allocator needs to know of a stretch of memory (an *extent*: what early memory had left,
 * or what was added) lies in one piece of that memory:
 *
 *     | map | spans, room for | places | known | zones that are | ... | records of all frames |
 *     |     | all there are   |        | RAM   | not there yet  |     | of this extent         |
 *
 * An addition copies what the map says and publishes the new one; the old stays where it is, so
 * that who looks something up without the lock may finish in it. What it says is old then, but as
 * true as it was when he began: of its spans only `fresh` is ever stale, and what was carved after
 * the copy was free when he began.
 */
#include "frame_priv.h"

/* Sizes of one extent's bookkeeping. */
struct extent {
    uint32_t spans, knowns; /* in all, with those of the map before */
    uint32_t zones;         /* bit z: zone z is to be made */
    uint64_t records;
};

/* By hand: a compiler's builtin may be a call into its library. */
static uint32_t zones_count(uint32_t zones)
{
    uint32_t count = 0;
    for (uint32_t z = 0; z < KC_FRAME_ZONES; z++) {
        count += zones >> z & 1;
    }
    return count;
}

static uint64_t head_bytes(const struct extent *x)
{
    uint64_t bytes =
        sizeof(struct kc_frame_map) +
        (uint64_t)x->spans * (sizeof(struct kc_frame_span) + sizeof(struct frame_place)) +
        (uint64_t)x->knowns * sizeof(kc_pa_range_t) +
        zones_count(x->zones) * sizeof(struct kc_frame_zone);
    return kc_align_down(bytes + KC_LINE_BYTES - 1, KC_LINE_BYTES);
}

static uint64_t extent_bytes(const struct extent *x)
{
    return head_bytes(x) + x->records * sizeof(struct kc_frame);
}

/* Zones that count frames from pfn lie in; count is not 0. Their number is that of the spans. */
static uint32_t zones_of(uint64_t pfn, uint64_t count)
{
    uint32_t first = frame_zone_of(pfn);
    uint32_t last = frame_zone_of(pfn + count - 1);
    return (uint32_t)((KC_BIT(last + 1) - 1) & ~(KC_BIT(first) - 1));
}

/* ---- spans ---------------------------------------------------------------------------------- */

/* Cuts records, cleared here, into the greatest aligned blocks and gives them to the lists. */
static void add_edge(struct kc_frames *f, const struct kc_frame_span *s, uint64_t pfn, uint64_t end)
{
    if (pfn == end) {
        return;
    }
    __builtin_memset(kc_frame_at(f, frame_record(s, pfn)), 0,
                     (size_t)(end - pfn) * sizeof(struct kc_frame));
    if (FRAME_FULL) {
        kc_frame_priv_fill(frame_pa(pfn), (end - pfn) << KC_FRAME_LOG2);
    }
    while (pfn < end) {
        uint32_t order = kc_log2_floor(end - pfn);
        uint32_t aligned = pfn == 0 ? order : kc_log2_floor(pfn & (0 - pfn));
        order = aligned < order ? aligned : order;
        order = order < KC_FRAME_ORDER_MAX ? order : KC_FRAME_ORDER_MAX;
        kc_frame_priv_list_push(f, f->zone[s->zone], frame_record(s, pfn), order);
        pfn += (uint64_t)1 << order;
    }
}

/* Writes one span, whose records are the next, and gives its frames to its zone. */
static void fill_span(struct kc_frames *f, struct kc_frame_span *s, struct frame_place *place,
                      uint64_t pfn, uint64_t count)
{
    uint64_t end = pfn + count;
    uint64_t first_chunk = kc_align_down(pfn + FRAME_CHUNK - 1, FRAME_CHUNK);
    uint64_t last_chunk = kc_align_down(end, FRAME_CHUNK);
    if (first_chunk >= last_chunk) {
        first_chunk = last_chunk = pfn;
    }
    s->pfn = pfn;
    s->count = (uint32_t)count;
    s->index = (uint32_t)f->record_count;
    s->zone = frame_zone_of(pfn);
    s->unused = 0;
    s->first = kc_frame_at(f, s->index);
    s->fresh = frame_record(s, first_chunk);
    s->fresh_end = frame_record(s, last_chunk);
    place->pfn = pfn;
    place->index = s->index;
    place->unused = 0;

    struct kc_frame_zone *z = f->zone[s->zone];
    f->record_count += count;
    f->frame_count += count;
    f->free_frames += count;
    z->frames += count;
    z->free_frames += count;
    z->fresh_frames += last_chunk - first_chunk;
    add_edge(f, s, pfn, first_chunk);
    add_edge(f, s, last_chunk, end);
}

/* The same for frames in several zones: one span for each. Returns how many. */
static uint32_t fill_spans(struct kc_frames *f, struct kc_frame_span *s, struct frame_place *place,
                           uint64_t pfn, uint64_t count)
{
    uint32_t spans = 0;
    while (count != 0) {
        uint64_t here = frame_zone_end(frame_zone_of(pfn)) - pfn;
        here = here < count ? here : count;
        fill_span(f, &s[spans], &place[spans], pfn, here);
        spans++;
        pfn += here;
        count -= here;
    }
    return spans;
}

/* Makes zones in the memory at p. */
static void make_zones(struct kc_frames *f, uint32_t zones, void *p)
{
    struct kc_frame_zone *z = p;
    for (; zones != 0; zones &= zones - 1) {
        uint32_t number = (uint32_t)__builtin_ctz(zones);
        __builtin_memset(z, 0, sizeof(*z));
        for (uint32_t o = 0; o < KC_FRAME_ORDERS; o++) {
            z->head[o] = FRAME_NONE;
        }
        f->zone[number] = z++;
        f->zones |= 1u << number;
    }
}

/* Says which spans are a zone's, which is the greatest, and which zones lists may use. */
static void link_zones(struct kc_frames *f, struct kc_frame_map *m)
{
    struct kc_frame_span *span = frame_spans(m);
    uint32_t i = 0;
    for (uint32_t left = f->zones; left != 0; left &= left - 1) {
        uint32_t number = (uint32_t)__builtin_ctz(left);
        struct kc_frame_zone *z = f->zone[number];
        z->span_first = z->span_fresh = i;
        while (i < m->span_count && span[i].zone == number) {
            i++;
        }
        z->span_end = i;
    }
    m->main = &span[0];
    for (i = 1; i < m->span_count; i++) {
        m->main = span[i].count > m->main->count ? &span[i] : m->main;
    }
    /* Lists leave memory alone that is kept back, where there is other. */
    uint32_t above = f->zones & ~((2u << FRAME_ZONE_KEPT) - 1);
    __atomic_store_n(&f->list_zones, above != 0 ? above : f->zones, __ATOMIC_RELAXED);
}

/* The main span is what lookups try first; nobody looks yet. */
static void set_front(struct kc_frames *f)
{
    const struct kc_frame_span *s = f->map->main;
    f->front.record = s->first;
    f->front.pfn = s->pfn;
    f->front.count = s->count;
    f->front.index = s->index;
    f->front.fresh_end = s->fresh_end - s->index;
    f->front.fresh = s->fresh - s->index;
}

/* Banks for so many records from record_count on, which is where a bank begins. */
static void add_banks(struct kc_frames *f, struct kc_frame *first, uint64_t records)
{
    uint32_t at = f->bank_count;
    for (; records != 0; at++) {
        uint64_t here = records < FRAME_BANK_RECORDS ? records : FRAME_BANK_RECORDS;
        f->bank[at].first = first;
        f->bank[at].count = here;
        first += here;
        records -= here;
    }
    /* Release: kc_frame_index_added() looks without the lock. */
    __atomic_store_n(&f->bank_count, at, __ATOMIC_RELEASE);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

void kc_frame_priv_clear(struct kc_frames *f, struct kc_misuse *misuse)
{
    __builtin_memset(f, 0, sizeof(*f));
    kc_lock_init(&f->lock, "frames", KC_RANK_FRAME);
    kc_list_init(&f->reclaimers);
    f->misuse = misuse;
    f->empty.main = &f->none;
    f->map = &f->empty;
    f->fail_after = UINT64_MAX;
    f->stock = FRAME_NONE;
}

/* What the free ranges of early memory need. */
static void measure(const struct kc_early *early, struct extent *x)
{
    uint32_t cursor = 0;
    kc_pa_range_t r;
    __builtin_memset(x, 0, sizeof(*x));
    while (kc_early_next_free(early, &cursor, &r)) {
        uint32_t zones = zones_of(kc_pa_raw(r.base) >> KC_FRAME_LOG2, r.size >> KC_FRAME_LOG2);
        x->records += r.size >> KC_FRAME_LOG2;
        x->spans += zones_count(zones);
        x->zones |= zones;
    }
    cursor = 0;
    while (kc_early_next_ram(early, &cursor, &r)) {
        x->knowns++;
    }
}

/* Spans of all free ranges, and all RAM as known. */
static void fill_map(struct kc_frames *f, struct kc_frame_map *m, const struct kc_early *early)
{
    uint32_t cursor = 0;
    kc_pa_range_t r;
    while (kc_early_next_free(early, &cursor, &r)) {
        m->span_count +=
            fill_spans(f, &frame_spans(m)[m->span_count], &frame_places(m)[m->span_count],
                       kc_pa_raw(r.base) >> KC_FRAME_LOG2, r.size >> KC_FRAME_LOG2);
        KC_CHECK(m->span_count <= m->span_max);
    }
    cursor = 0;
    while (kc_early_next_ram(early, &cursor, &r)) {
        frame_known(m)[m->known_count++] = r;
    }
}

kc_status_t kc_frames_init(struct kc_frames *f, struct kc_early *early, struct kc_misuse *misuse)
{
    if (f == NULL || early == NULL) {
        return KC_ERR_ARG;
    }
    if (!kc_early_is_open(early)) {
        return KC_ERR_STATE;
    }
    struct extent x;
    measure(early, &x);
    x.spans++; /* taking the records may split a range */
    uint64_t bytes = extent_bytes(&x);
    if (x.records >= FRAME_NONE || bytes > SIZE_MAX / 2) {
        return KC_ERR_RANGE;
    }
    kc_pa_t at;
    kc_status_t status = kc_early_alloc(early, bytes, KC_LINE_BYTES, &at);
    if (status != KC_OK) {
        return status;
    }
    struct extent left;
    measure(early, &left);
    if (left.records == 0) {
        status = kc_early_free(early, at, bytes);
        KC_CHECK(status == KC_OK);
        return KC_ERR_NOMEM;
    }

    kc_frame_priv_clear(f, misuse);
    unsigned char *p = kc_plat_ram(at);
    struct kc_frame_map *m = (struct kc_frame_map *)(void *)p;
    m->span_count = m->known_count = 0;
    m->main = frame_spans(m);
    m->span_max = x.spans;
    f->table = (struct kc_frame *)(void *)(p + head_bytes(&x));
    f->table_count = left.records;
    f->table_bytes = bytes;
    f->linear = (uintptr_t)p - (uintptr_t)kc_pa_raw(at);
    make_zones(f, left.zones, frame_known(m) + x.knowns);
    add_banks(f, f->table, left.records);
    fill_map(f, m, early);
    link_zones(f, m);
    f->map = m;
    set_front(f);
    kc_early_close(early);
    return KC_OK;
}

/* ---- memory that is added ------------------------------------------------------------------- */

/* What can be said of the range by itself. */
static kc_status_t judge_range(const struct kc_frames *f, uint64_t base, uint64_t bytes)
{
    if (bytes == 0) {
        return KC_ERR_ARG;
    }
    if (!kc_is_aligned(base, KC_FRAME_BYTES) || !kc_is_aligned(bytes, KC_FRAME_BYTES)) {
        return KC_ERR_ALIGN;
    }
    if (!kc_range_covers(0, KC_EARLY_PA_LIMIT, base, bytes)) {
        return KC_ERR_RANGE;
    }
    /* Its pointers do not wrap, and no address is beyond what a pointer can say. */
    uint64_t first = (uintptr_t)base + f->linear;
    bool fits = (uintptr_t)base == base && bytes <= SIZE_MAX / 2 && bytes <= UINTPTR_MAX - first;
    return fits ? KC_OK : KC_ERR_RANGE;
}

static bool is_known(struct kc_frame_map *m, uint64_t base, uint64_t bytes)
{
    const kc_pa_range_t *known = frame_known(m);
    for (uint32_t i = 0; i < m->known_count; i++) {
        if (kc_range_meets(kc_pa_raw(known[i].base), known[i].size, base, bytes)) {
            return true;
        }
    }
    return false;
}

/* The old map with the new spans in their place; the lock is held. */
static void copy_map(struct kc_frame_map *to, struct kc_frame_map *from, uint32_t at,
                     uint32_t spans, kc_pa_range_t added)
{
    uint32_t behind = from->span_count - at;
    __builtin_memcpy(frame_spans(to), frame_spans(from), at * sizeof(struct kc_frame_span));
    __builtin_memcpy(frame_spans(to) + at + spans, frame_spans(from) + at,
                     behind * sizeof(struct kc_frame_span));
    /* Its records are the last: places are in order of index. */
    __builtin_memcpy(frame_places(to), frame_places(from),
                     from->span_count * sizeof(struct frame_place));
    __builtin_memcpy(frame_known(to), frame_known(from), from->known_count * sizeof(kc_pa_range_t));
    frame_known(to)[from->known_count] = added;
    to->known_count = from->known_count + 1;
    to->span_count = from->span_count + spans;
}

/* The range is judged; the lock is held. */
static kc_status_t add(struct kc_frames *f, uint64_t base, uint64_t bytes)
{
    struct kc_frame_map *old = f->map;
    if (is_known(old, base, bytes)) {
        return KC_ERR_EXISTS;
    }
    /* Sizes as if nothing were lost to the bookkeeping: an upper bound. */
    uint32_t zones = zones_of(base >> KC_FRAME_LOG2, bytes >> KC_FRAME_LOG2);
    struct extent x = {old->span_count + zones_count(zones), old->known_count + 1,
                       zones & ~f->zones, bytes >> KC_FRAME_LOG2};
    uint64_t own = kc_align_down(extent_bytes(&x) + KC_FRAME_BYTES - 1, KC_FRAME_BYTES);
    if (own >= bytes) {
        return KC_ERR_NOMEM;
    }
    uint64_t count = (bytes - own) >> KC_FRAME_LOG2;
    /* Its banks are there, and no frame has the index that means none. */
    if (((uint64_t)f->bank_count << KC_FRAME_BANK_LOG2) + count > FRAME_NONE) {
        return KC_ERR_QUOTA;
    }
    unsigned char *p = kc_plat_ram(kc_pa(base));
    struct kc_frame_map *m = (struct kc_frame_map *)(void *)p;
    m->span_max = x.spans;
    /* A zone of nothing but bookkeeping is made too: it is empty. */
    make_zones(f, x.zones, frame_known(m) + x.knowns);
    f->table_bytes += own;
    f->record_count = (uint64_t)f->bank_count << KC_FRAME_BANK_LOG2;
    add_banks(f, (struct kc_frame *)(void *)(p + head_bytes(&x)), count);

    uint64_t pfn = (base + own) >> KC_FRAME_LOG2;
    uint32_t at = frame_span_from(old, pfn);
    uint32_t spans =
        fill_spans(f, frame_spans(m) + at, frame_places(m) + old->span_count, pfn, count);
    copy_map(m, old, at, spans, kc_pa_range(kc_pa(base), bytes));
    link_zones(f, m);
    /* Release: who finds the map finds it, and the banks, as written. */
    __atomic_store_n(&f->map, m, __ATOMIC_RELEASE);
    return KC_OK;
}

kc_status_t kc_frames_add(struct kc_frames *f, kc_pa_t base, uint64_t bytes)
{
    kc_status_t status = judge_range(f, kc_pa_raw(base), bytes);
    if (status == KC_OK) {
        uint64_t irq = kc_lock_acquire_irqsave(&f->lock);
        status = add(f, kc_pa_raw(base), bytes);
        kc_lock_release_irqrestore(&f->lock, irq);
    }
    return status;
}

kc_status_t kc_frames_init_range(struct kc_frames *f, kc_pa_t base, uint64_t bytes,
                                 struct kc_misuse *misuse)
{
    if (f == NULL) {
        return KC_ERR_ARG;
    }
    kc_frame_priv_clear(f, misuse);
    f->linear = (uintptr_t)kc_plat_ram(base) - (uintptr_t)kc_pa_raw(base);
    kc_status_t status = kc_frames_add(f, base, bytes);
    if (status == KC_OK) {
        /* So that kc_frame_index() needs no search. */
        f->table = f->bank[0].first;
        f->table_count = f->record_count;
        set_front(f);
    }
    return status;
}

uint32_t kc_frame_index_added(const struct kc_frames *f, const struct kc_frame *record)
{
    uint32_t banks = __atomic_load_n(&f->bank_count, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < banks; i++) {
        uintptr_t offset = (uintptr_t)record - (uintptr_t)f->bank[i].first;
        if (offset / sizeof(*record) < f->bank[i].count) {
            return (i << KC_FRAME_BANK_LOG2) + (uint32_t)(offset / sizeof(*record));
        }
    }
    KC_PANIC("a record that is none");
}

kc_pa_t kc_frame_index_pa(const struct kc_frames *f, uint32_t index)
{
    return frame_pa(frame_pfn_of(f, index));
}
