/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replay.c: a recorded kernel's allocations, served by ours.
 *
 * Nouns. A *slot* is a place for one live thing of the trace. A *batch* is the next few hundred
 * events. The *planner* (CPU 0) fills a batch, checks each event against what its slot will then
 * hold, and gives it a *ticket*: its place in the order of that slot's events. All CPUs then *do*
 * the batch, each its own events in order, and wait for each other before the next.
 *
 *     source --plan--> batch |e0 e1 e2 ...|  --do--> CPU 0: e0 e2   CPU 1: e1 ...
 *                       slot s: planned 7, done 5    the event with ticket 5 may run now
 *
 * Invariants
 *   I1  done <= planned; the event with ticket t runs when done == t, and makes it t + 1. Within a
 *       batch the earliest event that is not done waits for nothing, so the batch ends
 *   I2  the planner alone touches `planned` and `will`, and only while no batch is being done
 *   I3  what a slot holds is written before `done` is released, and read after it was acquired
 *   I4  an object's bytes are those of its pattern from birth to death
 *   I5  the meters' values are the sums over what lives
 *
 * A batch is published by a release of `round` and ended by releases of `arrived`. The account lock
 * (rank KERNEL, above the allocators') serialises the meters; it is never held while waiting.
 *
 * Cost: an event costs what the allocator does, plus a write and a comparison of the object, plus
 * one lock hold. Latency is taken around the allocator's call alone.
 */
#include "replay.h"

#define SLOT_LOG2 5u

/*
 * One set of caches for named types and heap: equal sizes share slabs. The array has room for as
 * many caches as there can be; of it, what is used counts as footprint.
 */
#define CACHES_MAX (KC_TRACE_TYPES_MAX + KC_HEAP_CLASSES)
#define CACHE_FRAMES \
    ((uint32_t)((CACHES_MAX * sizeof(struct kc_cache) + KC_FRAME_BYTES - 1) / KC_FRAME_BYTES))
#define CACHE_SPARES 2u /* empty slabs kept in all: as few as keep alternating sizes quick */

/* ---- structures ------------------------------------------------------------------------------ */

enum holds {
    HOLDS_NOTHING,
    HOLDS_OBJECT,
    HOLDS_PAGES
};

struct slot {
    uint64_t address; /* object: its pointer; pages: physical address */
    uint32_t requested;
    uint32_t granted;
    uint32_t planned;
    uint32_t done; /* atomic */
    uint16_t type;
    uint8_t will; /* enum holds, after all that is planned */
    uint8_t order;
    uint8_t failed; /* the allocator refused: nothing is there */
    uint8_t unused[3];
};
KC_STATIC_ASSERT(sizeof(struct slot) == 1u << SLOT_LOG2, "SLOT_LOG2");
KC_STATIC_ASSERT(CACHE_FRAMES <= KC_FRAME_RUN_MAX, "one run");
KC_STATIC_ASSERT(KC_TRACE_PAGE_BYTES == KC_FRAME_BYTES, "page events are frames one to one");

typedef unsigned __int128 wide;

/* Four values over the time of the trace. */
struct meter {
    uint64_t time_ns;
    bool begun;
    uint64_t requested;
    uint64_t granted;
    uint64_t footprint;
    uint64_t slabs;
    uint64_t peak_requested;
    uint64_t peak_footprint;
    wide requested_time;
    wide granted_time;
    wide footprint_time;
    wide slabs_time;
};

struct planned_event {
    struct kc_event event;
    uint32_t ticket;
};

struct type_state {
    struct kc_trace_type type;
    struct kc_cache *cache; /* NULL: its objects come from the heap */
    uint64_t allocs;
    uint64_t frees;
    uint64_t live;
    uint64_t peak_live;
    uint64_t requested;
    uint64_t failures;
    uint64_t frames_bytes;
    uint64_t end_frees; /* as the trace left them, before the rest was freed */
    uint64_t end_live;
    uint64_t end_requested;
};

/* What one CPU writes while a batch is done, on lines of its own. */
struct cpu_state {
    struct kc_replay_latencies *latency; /* NULL: not taken */
    uint64_t overlaps;
} KC_ALIGNED(KC_LINE_BYTES);

struct kc_replay {
    /* planner */
    struct kc_frames *frames;
    struct kc_misuse *misuse;
    struct kc_replay_source source;
    void (*watch)(void *ctx, const struct kc_replay_now *now);
    void *watch_ctx;
    uint64_t base_frames; /* of caches and heaps when the replay began */
    struct kc_trace_totals totals;
    struct kc_table slots;
    struct kc_cache_set caches;
    uint32_t cpu_count;
    uint32_t frame_count; /* frames of this structure */
    uint32_t type_count;
    uint32_t batch_count;
    kc_status_t status;
    bool over;
    /* meeting point */
    uint32_t round;       /* atomic: batches published */
    uint32_t arrived;     /* atomic: CPUs that are done, all rounds together */
    uint64_t events_done; /* atomic */
    /* account */
    struct kc_lock lock;
    uint64_t failures;
    uint64_t page_failures;
    uint64_t page_bytes;
    uint64_t page_peak_bytes;
    struct meter meter;
    struct meter source_meter;
    struct kc_linux_model linux_model;
    struct kc_heap heap;
    struct cpu_state cpu[KC_CPUS_MAX];
    struct type_state type[KC_TRACE_TYPES_MAX];
    struct planned_event batch[KC_REPLAY_BATCH];
    struct kc_event incoming[KC_REPLAY_BATCH];
};

/* ---- meters ---------------------------------------------------------------------------------- */

/* Let the values that hold now hold until t. An event of another CPU that comes late adds nothing.
 */
static void meter_advance(struct meter *m, uint64_t t)
{
    if (!m->begun) {
        m->begun = true;
        m->time_ns = t;
    }
    if (t > m->time_ns) {
        uint64_t dt = t - m->time_ns;
        m->requested_time += (wide)m->requested * dt;
        m->granted_time += (wide)m->granted * dt;
        m->footprint_time += (wide)m->footprint * dt;
        m->slabs_time += (wide)m->slabs * dt;
        m->time_ns = t;
    }
}

static void meter_peaks(struct meter *m)
{
    if (m->requested > m->peak_requested) {
        m->peak_requested = m->requested;
    }
    if (m->footprint > m->peak_footprint) {
        m->peak_footprint = m->footprint;
    }
}

/*
 * (a / b - 1) in thousandths of a percent, rounded to nearest. Both are first cut to 46 bits, which
 * leaves 13 decimal digits; then (a - b) * 10^5 fits 63 bits.
 */
static int64_t milli_pct_above(wide a, wide b)
{
    while ((a >> 46) != 0 || (b >> 46) != 0) {
        a >>= 1;
        b >>= 1;
    }
    uint64_t x = (uint64_t)a;
    uint64_t y = (uint64_t)b;
    if (y == 0) {
        return KC_REPLAY_NOT_KNOWN;
    }
    if (x >= y) {
        return (int64_t)(((x - y) * 100000u + y / 2) / y);
    }
    return -(int64_t)(((y - x) * 100000u + y / 2) / y);
}

static void meter_read(const struct meter *m, bool footprint_known, struct kc_replay_usage *out)
{
    out->peak_requested_bytes = m->peak_requested;
    out->peak_footprint_bytes = footprint_known ? m->peak_footprint : 0;
    out->waste_milli_pct = milli_pct_above(m->granted_time, m->requested_time);
    out->footprint_milli_pct = footprint_known
                                   ? milli_pct_above(m->footprint_time, m->requested_time)
                                   : KC_REPLAY_NOT_KNOWN;
    out->slabs_milli_pct =
        footprint_known ? milli_pct_above(m->slabs_time, m->requested_time) : KC_REPLAY_NOT_KNOWN;
    out->footprint_known = footprint_known;
}

static uint64_t structure_bytes(const struct kc_replay *r)
{
    return sizeof(struct kc_heap) + sizeof(struct kc_cache_set) +
           (uint64_t)kc_cache_set_count(&r->caches) * sizeof(struct kc_cache);
}

static uint64_t allocator_frames(const struct kc_replay *r)
{
    return kc_frame_owner_frames(r->frames, KC_FRAME_OWNER_CACHE) +
           kc_frame_owner_frames(r->frames, KC_FRAME_OWNER_HEAP);
}

/* What is held now, and of it the slabs. */
static void read_held(struct kc_replay *r, struct meter *m)
{
    uint64_t frames = allocator_frames(r) - r->base_frames;
    uint64_t magazines = kc_cache_set_cpu_bytes(&r->caches);
    m->footprint = frames * (KC_FRAME_BYTES + sizeof(struct kc_frame)) + structure_bytes(r);
    m->slabs = frames * KC_FRAME_BYTES - magazines;
}

/* ---- patterns -------------------------------------------------------------------------------- */

/*
 * An object holds one byte value throughout, and in its first eight bytes a stamp that no other
 * object has. The value comes from slot and ticket too, so that neighbours differ.
 */
static uint64_t stamp_of(uint32_t slot, uint32_t ticket)
{
    return ((uint64_t)slot << 32 | ticket) * 0x9e3779b97f4a7c15ull + 1;
}

static void pattern_write(void *p, uint32_t bytes, uint64_t stamp)
{
    __builtin_memset(p, (int)(stamp >> 56), bytes);
    if (bytes >= sizeof(stamp)) {
        __builtin_memcpy(p, &stamp, sizeof(stamp));
    }
}

/* All bytes of p..p+n-1 are alike if the first is, and each equals its successor. */
static bool all_are(const uint8_t *p, uint32_t n, uint8_t value)
{
    return n == 0 || (p[0] == value && __builtin_memcmp(p, p + 1, n - 1) == 0);
}

static bool pattern_holds(const void *p, uint32_t bytes, uint64_t stamp)
{
    uint8_t value = (uint8_t)(stamp >> 56);
    const uint8_t *b = p;
    if (bytes < sizeof(stamp)) {
        return all_are(b, bytes, value);
    }
    return __builtin_memcmp(b, &stamp, sizeof(stamp)) == 0 &&
           all_are(b + sizeof(stamp), bytes - (uint32_t)sizeof(stamp), value);
}

/* ---- doing an event -------------------------------------------------------------------------- */

static struct slot *slot_at(const struct kc_replay *r, uint32_t number)
{
    return kc_table_at(&r->slots, number);
}

static void account_alloc(struct kc_replay *r, const struct kc_event *e, const struct slot *s)
{
    struct type_state *t = &r->type[e->type];
    uint64_t irq = kc_lock_acquire_irqsave(&r->lock);
    meter_advance(&r->meter, e->time_ns);
    if (s->failed) {
        r->failures++;
        t->failures++;
    } else {
        r->meter.requested += s->requested;
        r->meter.granted += s->granted;
        t->requested += s->requested;
        t->allocs++;
        t->live++;
        if (t->live > t->peak_live) {
            t->peak_live = t->live;
        }
    }
    read_held(r, &r->meter);
    meter_peaks(&r->meter);
    kc_lock_release_irqrestore(&r->lock, irq);
}

static void account_free(struct kc_replay *r, uint64_t time_ns, const struct slot *s)
{
    struct type_state *t = &r->type[s->type];
    uint64_t irq = kc_lock_acquire_irqsave(&r->lock);
    meter_advance(&r->meter, time_ns);
    r->meter.requested -= s->requested;
    r->meter.granted -= s->granted;
    t->requested -= s->requested;
    t->frees++;
    t->live--;
    read_held(r, &r->meter);
    kc_lock_release_irqrestore(&r->lock, irq);
}

static uint64_t begin_ns(const struct cpu_state *c)
{
    return c->latency != NULL ? kc_plat_stopwatch_ns() : 0;
}

static void record(struct kc_hist *h, uint64_t begin)
{
    if (h != NULL) {
        kc_hist_record(h, kc_plat_stopwatch_ns() - begin);
    }
}

static void do_alloc(struct kc_replay *r, struct cpu_state *c, const struct planned_event *p)
{
    const struct kc_event *e = &p->event;
    struct slot *s = slot_at(r, e->slot);
    struct type_state *t = &r->type[e->type];
    void *object = NULL;
    s->requested = e->requested;
    s->granted = 0;
    s->type = e->type;
    if (e->requested != 0) { /* 0 asks for nothing and holds nothing */
        uint64_t begin = begin_ns(c);
        object = t->cache != NULL ? kc_cache_alloc(t->cache, 0)
                                  : kc_heap_alloc(&r->heap, e->requested, 0);
        record(c->latency != NULL ? &c->latency->alloc : NULL, begin);
    }
    s->failed = object == NULL && e->requested != 0;
    s->address = (uint64_t)(uintptr_t)object;
    if (object != NULL) {
        s->granted =
            t->cache != NULL ? t->cache->object_bytes : (uint32_t)kc_heap_granted(e->requested);
        pattern_write(object, e->requested, stamp_of(e->slot, p->ticket)); /* I4 */
    }
    account_alloc(r, e, s);
}

/* Free what the slot holds; stamp is that of its birth. */
static void free_object(struct kc_replay *r, struct cpu_state *c, uint64_t time_ns, struct slot *s,
                        uint64_t stamp)
{
    struct type_state *t = &r->type[s->type];
    void *object = (void *)(uintptr_t)s->address;
    if (s->failed) {
        return;
    }
    if (object != NULL) {
        if (!pattern_holds(object, s->requested, stamp)) {
            c->overlaps++;
        }
        uint64_t begin = begin_ns(c);
        kc_status_t status =
            t->cache != NULL ? kc_cache_free(t->cache, object) : kc_heap_free(&r->heap, object);
        record(c->latency != NULL ? &c->latency->free : NULL, begin);
        if (status != KC_OK) {
            c->overlaps++; /* the allocator does not know its own object; it has told misuse why */
        }
    }
    account_free(r, time_ns, s);
}

static void account_pages(struct kc_replay *r, uint64_t time_ns, uint64_t born, uint64_t died,
                          bool failed)
{
    uint64_t irq = kc_lock_acquire_irqsave(&r->lock);
    meter_advance(&r->meter, time_ns);
    r->page_bytes += born;
    r->page_bytes -= died;
    if (r->page_bytes > r->page_peak_bytes) {
        r->page_peak_bytes = r->page_bytes;
    }
    r->page_failures += failed;
    kc_lock_release_irqrestore(&r->lock, irq);
}

static void do_page_alloc(struct kc_replay *r, struct cpu_state *c, const struct planned_event *p)
{
    const struct kc_event *e = &p->event;
    struct slot *s = slot_at(r, e->slot);
    kc_pa_t pa = kc_pa(0);
    uint64_t begin = begin_ns(c);
    kc_status_t status = kc_frame_alloc(r->frames, e->order, 0, KC_FRAME_OWNER_USER, &pa);
    record(c->latency != NULL ? &c->latency->page_alloc : NULL, begin);
    s->failed = status != KC_OK;
    s->address = kc_pa_raw(pa);
    s->order = e->order;
    if (!s->failed) {
        pattern_write(kc_plat_ram(pa), sizeof(uint64_t), stamp_of(e->slot, p->ticket));
    }
    account_pages(r, e->time_ns, (uint64_t)KC_FRAME_BYTES << e->order, 0, s->failed);
}

static void free_pages(struct kc_replay *r, struct cpu_state *c, uint64_t time_ns,
                       const struct slot *s, uint64_t stamp)
{
    if (!s->failed) {
        kc_pa_t pa = kc_pa(s->address);
        if (!pattern_holds(kc_plat_ram(pa), sizeof(uint64_t), stamp)) {
            c->overlaps++;
        }
        uint64_t begin = begin_ns(c);
        kc_status_t status = kc_frame_free(r->frames, pa, s->order);
        record(c->latency != NULL ? &c->latency->page_free : NULL, begin);
        if (status != KC_OK) {
            c->overlaps++;
        }
    }
    account_pages(r, time_ns, 0, (uint64_t)KC_FRAME_BYTES << s->order, false);
}

static void account_time(struct kc_replay *r, uint64_t time_ns)
{
    uint64_t irq = kc_lock_acquire_irqsave(&r->lock);
    meter_advance(&r->meter, time_ns);
    kc_lock_release_irqrestore(&r->lock, irq);
}

static bool has_slot(uint32_t kind)
{
    return kind == KC_EVENT_ALLOC || kind == KC_EVENT_FREE || kind == KC_EVENT_PAGE_ALLOC ||
           kind == KC_EVENT_PAGE_FREE;
}

/* One event, when its slot is at its ticket. */
static void do_event(struct kc_replay *r, struct cpu_state *c, const struct planned_event *p)
{
    const struct kc_event *e = &p->event;
    if (!has_slot(e->kind)) {
        account_time(r, e->time_ns);
        return;
    }
    struct slot *s = slot_at(r, e->slot);
    while (__atomic_load_n(&s->done, __ATOMIC_ACQUIRE) != p->ticket) { /* I1, I3 */
        kc_plat_relax();
    }
    switch (e->kind) {
    case KC_EVENT_ALLOC:
        do_alloc(r, c, p);
        break;
    case KC_EVENT_FREE:
        free_object(r, c, e->time_ns, s, stamp_of(e->slot, p->ticket - 1));
        break;
    case KC_EVENT_PAGE_ALLOC:
        do_page_alloc(r, c, p);
        break;
    default:
        free_pages(r, c, e->time_ns, s, stamp_of(e->slot, p->ticket - 1));
        break;
    }
    /* Release: whoever has the next ticket sees what the slot now holds. */
    __atomic_store_n(&s->done, p->ticket + 1, __ATOMIC_RELEASE);
}

/* ---- planning -------------------------------------------------------------------------------- */

/* A type is defined: a cache of its size, unless its objects belong to the heap. */
static kc_status_t plan_type(struct kc_replay *r, const struct kc_event *e)
{
    if (e->type != r->type_count || r->type_count == KC_TRACE_TYPES_MAX) {
        return KC_ERR_CORRUPT;
    }
    struct type_state *t = &r->type[r->type_count];
    t->type = *e->definition;
    if (t->type.kind == KC_TYPE_CACHE && t->type.object_bytes <= KC_CACHE_OBJECT_MAX) {
        kc_status_t s = kc_cache_set_get(&r->caches, t->type.object_bytes, 0, &t->cache);
        if (s != KC_OK) {
            return s;
        }
    }
    r->type_count++;
    return KC_OK;
}

/* Check the event against what its slot will hold, and give it its ticket. */
static kc_status_t plan_slot(struct kc_replay *r, struct planned_event *p)
{
    const struct kc_event *e = &p->event;
    bool birth = e->kind == KC_EVENT_ALLOC || e->kind == KC_EVENT_PAGE_ALLOC;
    bool pages = e->kind == KC_EVENT_PAGE_ALLOC || e->kind == KC_EVENT_PAGE_FREE;
    uint8_t holds = pages ? HOLDS_PAGES : HOLDS_OBJECT;
    if (e->slot >= KC_TRACE_SLOTS_MAX || (e->kind == KC_EVENT_ALLOC && e->type >= r->type_count)) {
        return KC_ERR_CORRUPT;
    }
    if (e->kind == KC_EVENT_ALLOC) {
        const struct type_state *t = &r->type[e->type];
        if (t->cache != NULL && e->requested > t->type.object_bytes) {
            return KC_ERR_CORRUPT;
        }
    }
    if (!kc_table_has(&r->slots, e->slot)) {
        kc_status_t s = birth ? kc_table_grow(&r->slots, e->slot) : KC_ERR_CORRUPT;
        if (s != KC_OK) {
            return s;
        }
    }
    struct slot *s = slot_at(r, e->slot);
    if (s->will != (birth ? HOLDS_NOTHING : holds)) {
        return KC_ERR_CORRUPT;
    }
    s->will = birth ? holds : HOLDS_NOTHING;
    p->ticket = s->planned++;
    return KC_OK;
}

static kc_status_t plan_source(struct kc_replay *r, const struct kc_event *e)
{
    struct meter *m = &r->source_meter;
    if (e->kind != KC_EVENT_TYPE && e->kind != KC_EVENT_SITE) {
        meter_advance(m, e->time_ns);
    }
    kc_status_t s = kc_linux_model_event(&r->linux_model, e);
    m->requested = kc_linux_model_requested(&r->linux_model);
    m->granted = kc_linux_model_granted(&r->linux_model);
    m->footprint = m->slabs = kc_linux_model_footprint(&r->linux_model);
    meter_peaks(m);
    return s;
}

/* One event of the source into the batch. */
static kc_status_t plan_event(struct kc_replay *r, const struct kc_event *e)
{
    if (e->kind == KC_EVENT_TYPE) {
        kc_status_t s = plan_type(r, e);
        if (s != KC_OK) {
            return s;
        }
    } else if (e->kind != KC_EVENT_SITE) {
        struct planned_event *p = &r->batch[r->batch_count];
        p->event = *e;
        if (has_slot(e->kind)) {
            kc_status_t s = plan_slot(r, p);
            if (s != KC_OK) {
                return s;
            }
        }
        r->batch_count++;
    }
    kc_trace_count(&r->totals, e);
    return plan_source(r, e);
}

/* The next batch. An error ends the trace behind what was planned before it. */
static void plan_batch(struct kc_replay *r)
{
    r->batch_count = 0;
    while (r->batch_count < KC_REPLAY_BATCH && !r->over) {
        uint32_t n = 0;
        kc_status_t s =
            r->source.fill(r->source.ctx, r->incoming, KC_REPLAY_BATCH - r->batch_count, &n);
        if (s == KC_OK && n > KC_REPLAY_BATCH - r->batch_count) {
            s = KC_ERR_RANGE;
        }
        for (uint32_t i = 0; i < n && s == KC_OK; i++) {
            s = plan_event(r, &r->incoming[i]);
        }
        r->over = s != KC_OK || n == 0;
        r->status = s;
    }
}

/* ---- running --------------------------------------------------------------------------------- */

static void do_batch(struct kc_replay *r, uint32_t cpu)
{
    for (uint32_t i = 0; i < r->batch_count; i++) {
        if (r->batch[i].event.cpu % r->cpu_count == cpu) {
            do_event(r, &r->cpu[cpu], &r->batch[i]);
        }
    }
}

/* Between batches, when all have arrived: nobody touches the meters, so no lock is needed. */
static void tell_watch(const struct kc_replay *r)
{
    if (r->watch != NULL && r->batch_count != 0) {
        const struct kc_replay_now now = {
            .time_ns = r->meter.time_ns,
            .events = r->events_done,
            .requested_bytes = r->meter.requested,
            .footprint_bytes = r->meter.footprint,
            .source_footprint_bytes = r->source_meter.footprint,
            .page_bytes = r->page_bytes,
            .source_known = kc_linux_model_is_known(&r->linux_model),
        };
        r->watch(r->watch_ctx, &now);
    }
}

/* CPU 0: plan, publish, do, wait for the others. */
static kc_status_t run_planner(struct kc_replay *r)
{
    bool over;
    do {
        plan_batch(r);
        over = r->over;
        uint32_t round = r->round + 1;
        /* Release: who sees the round sees the batch, the tables and the types. */
        __atomic_store_n(&r->round, round, __ATOMIC_RELEASE);
        do_batch(r, 0);
        /* Acquire: what the others did happens before the next plan. */
        while (__atomic_load_n(&r->arrived, __ATOMIC_ACQUIRE) != round * (r->cpu_count - 1)) {
            kc_plat_relax();
        }
        __atomic_store_n(&r->events_done, r->events_done + r->batch_count, __ATOMIC_RELAXED);
        tell_watch(r);
    } while (!over);
    return r->status;
}

static kc_status_t run_helper(struct kc_replay *r, uint32_t cpu)
{
    uint32_t round = 0;
    bool over;
    do {
        round++;
        while (__atomic_load_n(&r->round, __ATOMIC_ACQUIRE) != round) {
            kc_plat_relax();
        }
        do_batch(r, cpu);
        over = r->over;
        __atomic_fetch_add(&r->arrived, 1, __ATOMIC_ACQ_REL);
    } while (!over);
    return r->status;
}

kc_status_t kc_replay_run(struct kc_replay *r, uint32_t cpu)
{
    KC_ASSERT(cpu < r->cpu_count);
    return cpu == 0 ? run_planner(r) : run_helper(r, cpu);
}

uint64_t kc_replay_progress(const struct kc_replay *r)
{
    return __atomic_load_n(&r->events_done, __ATOMIC_RELAXED);
}

/* ---- life cycle ------------------------------------------------------------------------------ */

/* The set of caches, and the heap over it. */
static kc_status_t make_allocators(struct kc_replay *r)
{
    kc_pa_t pa;
    kc_status_t s = kc_frame_alloc_run(r->frames, CACHE_FRAMES, 0, 0, KC_FRAME_OWNER_TRACE, &pa);
    if (s != KC_OK) {
        return s;
    }
    struct kc_cache_set_config caches = {.name = "replay",
                                         .cache = kc_plat_ram(pa),
                                         .cache_max = CACHES_MAX,
                                         .spares = CACHE_SPARES,
                                         .misuse = r->misuse,
                                         .cpu_count = r->cpu_count};
    struct kc_heap_config heap = {.name = "replay", .misuse = r->misuse, .set = &r->caches};
    s = kc_cache_set_init(&r->caches, &caches, r->frames);
    if (s == KC_OK) {
        s = kc_heap_init(&r->heap, &heap, r->frames);
    }
    KC_CHECK(s == KC_OK); /* neither takes memory, and the arguments are ours */
    return KC_OK;
}

kc_status_t kc_replay_init(const struct kc_replay_config *config, struct kc_replay **out)
{
    uint32_t count = (uint32_t)((sizeof(struct kc_replay) + KC_FRAME_BYTES - 1) / KC_FRAME_BYTES);
    kc_pa_t pa;
    if (config->cpu_count == 0 || config->cpu_count > KC_CPUS_MAX || config->frames == NULL ||
        config->source.fill == NULL) {
        return KC_ERR_ARG;
    }
    kc_status_t s =
        kc_frame_alloc_run(config->frames, count, 0, KC_FRAME_ZERO, KC_FRAME_OWNER_TRACE, &pa);
    if (s != KC_OK) {
        return s;
    }
    struct kc_replay *r = kc_plat_ram(pa);
    r->frames = config->frames;
    r->misuse = config->misuse;
    r->source = config->source;
    r->watch = config->watch;
    r->watch_ctx = config->watch_ctx;
    r->cpu_count = config->cpu_count;
    for (uint32_t i = 0; i < config->cpu_count && config->latency != NULL; i++) {
        struct kc_replay_latencies *l = &config->latency[i];
        kc_hist_init(&l->alloc);
        kc_hist_init(&l->free);
        kc_hist_init(&l->page_alloc);
        kc_hist_init(&l->page_free);
        r->cpu[i].latency = l;
    }
    r->frame_count = count;
    r->base_frames = allocator_frames(r);
    kc_linux_model_init(&r->linux_model, r->frames);
    kc_table_init(&r->slots, r->frames, SLOT_LOG2, KC_FRAME_OWNER_TRACE);
    kc_lock_init(&r->lock, "replay account", KC_RANK_KERNEL);
    s = make_allocators(r);
    if (s != KC_OK) {
        (void)kc_frame_free_run(r->frames, pa, count);
        return s;
    }
    *out = r;
    return KC_OK;
}

/* Sizes at the end of the trace, while everything still lives. */
static void measure_end(struct kc_replay *r, struct kc_replay_result *out)
{
    struct kc_heap_stats heap;
    struct kc_cache_stats cache;
    kc_heap_stats(&r->heap, &heap);
    kc_frame_stats(r->frames, &out->frames);
    out->heap_frames_bytes = heap.large_bytes;
    for (uint32_t i = 0; i < kc_cache_set_count(&r->caches); i++) {
        kc_cache_stats(&r->caches.cache[i], &cache);
        out->heap_frames_bytes += cache.frames_bytes;
    }
    for (uint32_t i = 0; i < r->type_count; i++) {
        struct type_state *t = &r->type[i];
        t->end_frees = t->frees;
        t->end_live = t->live;
        t->end_requested = t->requested;
        if (t->cache != NULL) {
            kc_cache_stats(t->cache, &cache);
            t->frames_bytes = cache.live == 0 ? 0 : cache.frames_bytes * t->live / cache.live;
            out->cache_frames_bytes += t->frames_bytes;
        } else {
            out->heap_requested_bytes += t->requested;
        }
    }
    out->heap_frames_bytes -= out->cache_frames_bytes;
    out->frame_records_bytes = (allocator_frames(r) - r->base_frames) * sizeof(struct kc_frame);
    out->frame_table_bytes = out->frames.table_bytes;
    out->structure_bytes = structure_bytes(r);
    out->cache_count = kc_cache_set_count(&r->caches);
    out->cpu_count = r->cpu_count;
    out->trace = r->totals;
    out->failures = r->failures;
    out->page_failures = r->page_failures;
    out->page_peak_bytes = r->page_peak_bytes;
    meter_read(&r->meter, true, &out->kcore);
    meter_read(&r->source_meter, kc_linux_model_is_known(&r->linux_model), &out->source);
}

static void read_latency(const struct kc_hist *h, struct kc_replay_latency *out)
{
    out->p50 = kc_hist_percentile(h, 500000);
    out->p99 = kc_hist_percentile(h, 990000);
    out->p999 = kc_hist_percentile(h, 999000);
    out->max = kc_hist_max(h);
    out->count = kc_hist_count(h);
}

static void read_latencies(struct kc_replay *r, struct kc_replay_result *out)
{
    struct kc_replay_latencies *all = r->cpu[0].latency;
    if (all == NULL) {
        return;
    }
    for (uint32_t i = 1; i < r->cpu_count; i++) {
        const struct kc_replay_latencies *one = r->cpu[i].latency;
        kc_hist_merge(&all->alloc, &one->alloc);
        kc_hist_merge(&all->free, &one->free);
        kc_hist_merge(&all->page_alloc, &one->page_alloc);
        kc_hist_merge(&all->page_free, &one->page_free);
    }
    read_latency(&all->alloc, &out->alloc);
    read_latency(&all->free, &out->free);
    read_latency(&all->page_alloc, &out->page_alloc);
    read_latency(&all->page_free, &out->page_free);
    r->cpu[0].latency = NULL; /* what is freed from here on is not the trace's */
}

/* Free what the trace left; CPU 0's state takes the checks. */
static void free_rest(struct kc_replay *r, struct kc_replay_result *out)
{
    for (uint32_t i = 0; i < r->totals.slots && kc_table_has(&r->slots, i); i++) {
        struct slot *s = slot_at(r, i);
        uint64_t stamp = stamp_of(i, s->planned - 1);
        if (s->will == HOLDS_OBJECT) {
            out->live_at_end++;
            free_object(r, &r->cpu[0], r->meter.time_ns, s, stamp);
        } else if (s->will == HOLDS_PAGES) {
            out->page_live_at_end++;
            free_pages(r, &r->cpu[0], r->meter.time_ns, s, stamp);
        }
        s->will = HOLDS_NOTHING;
    }
}

void kc_replay_shutdown(struct kc_replay *r, struct kc_replay_result *out)
{
    uint64_t user = kc_frame_owner_frames(r->frames, KC_FRAME_OWNER_USER);
    uint64_t pages = 0;
    __builtin_memset(out, 0, sizeof(*out));
    measure_end(r, out);
    read_latencies(r, out);
    for (uint32_t i = 0; i < r->totals.slots && kc_table_has(&r->slots, i); i++) {
        const struct slot *s = slot_at(r, i);
        if (s->will == HOLDS_PAGES && !s->failed) {
            pages += 1ull << s->order;
        }
    }
    free_rest(r, out);
    if (kc_heap_fini(&r->heap) != KC_OK) {
        out->leaks++;
    }
    if (kc_cache_set_fini(&r->caches) != KC_OK) {
        out->leaks++;
    }
    uint64_t leaked = allocator_frames(r) - r->base_frames;
    leaked += kc_frame_owner_frames(r->frames, KC_FRAME_OWNER_USER) - (user - pages);
    out->leaks += leaked;
    out->leaked_bytes = leaked * KC_FRAME_BYTES;
    for (uint32_t i = 0; i < r->cpu_count; i++) {
        out->overlaps += r->cpu[i].overlaps;
    }
}

bool kc_replay_type(const struct kc_replay *r, uint32_t i, struct kc_replay_type *out)
{
    if (i >= r->type_count) {
        return false;
    }
    const struct type_state *t = &r->type[i];
    out->type = &t->type;
    out->allocs = t->allocs;
    out->frees = t->end_frees;
    out->live = t->end_live;
    out->peak_live = t->peak_live;
    out->requested_bytes = t->end_requested;
    out->failures = t->failures;
    out->frames_bytes = t->frames_bytes;
    return true;
}

void kc_replay_fini(struct kc_replay *r)
{
    struct kc_frames *frames = r->frames;
    uint32_t count = r->frame_count;
    kc_linux_model_fini(&r->linux_model);
    kc_table_fini(&r->slots);
    kc_status_t s = kc_frame_free_run(frames, kc_plat_ram_pa(r->caches.cache), CACHE_FRAMES);
    KC_CHECK(s == KC_OK);
    s = kc_frame_free_run(frames, kc_plat_ram_pa(r), count);
    KC_CHECK(s == KC_OK);
}
