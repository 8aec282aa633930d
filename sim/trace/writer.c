/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * writer.c: events in, `.kct` out. The twin of libkcore/kernel/kct.c; docs/trace-format.md has the
 * format.
 *
 * Invariants
 *   I1  a record is written to the block whole or not at all: there is room for KC_KCT_RECORD_MAX
 *   I2  what the records leave out is what the reader has: both start from zeros, and change it
 *       at the same records
 */
#include "trace.h"

#include <stdlib.h>
#include <string.h>

struct sim_kct_writer {
    sim_kct_sink_fn sink;
    void *ctx;
    uint32_t unit_ns;
    uint32_t used;  /* bytes of the block */
    uint32_t count; /* records of the block */
    bool failed;
    uint64_t time; /* of the event before, in units */
    uint32_t slot;
    uint16_t cpu;
    struct kc_trace_totals totals;
    struct kc_kct_last last[KC_TRACE_TYPES_MAX];
    uint8_t block[KC_KCT_BLOCK_MAX];
};

static void put_le32(uint8_t *p, uint32_t v)
{
    for (uint32_t i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}

static void put_byte(struct sim_kct_writer *w, uint32_t v)
{
    w->block[w->used++] = (uint8_t)v;
}

static void put(struct sim_kct_writer *w, uint64_t v)
{
    while (v >= 0x80) {
        put_byte(w, (uint32_t)(v & 0x7f) | 0x80);
        v >>= 7;
    }
    put_byte(w, (uint32_t)v);
}

static void put_name(struct sim_kct_writer *w, const char *name)
{
    put(w, strlen(name));
    for (; *name != 0; name++) {
        put_byte(w, (uint8_t)*name);
    }
}

static void write_out(struct sim_kct_writer *w, const void *bytes, size_t n)
{
    w->failed = w->failed || !w->sink(w->ctx, bytes, n);
}

static void end_block(struct sim_kct_writer *w, uint32_t kind)
{
    uint8_t h[KC_KCT_BLOCK_HEADER];
    put_le32(h, w->used);
    put_le32(h + 4, w->count);
    put_le32(h + 8, kind);
    put_le32(h + 12, kc_crc32c(kc_crc32c(0, h, 12), w->block, w->used));
    write_out(w, h, sizeof(h));
    write_out(w, w->block, w->used);
    w->used = 0;
    w->count = 0;
}

struct sim_kct_writer *sim_kct_writer_open(sim_kct_sink_fn sink, void *ctx, uint32_t unit_ns)
{
    struct sim_kct_writer *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return NULL;
    }
    w->sink = sink;
    w->ctx = ctx;
    w->unit_ns = unit_ns;
    uint8_t h[KC_KCT_HEADER_BYTES] = {0};
    for (uint32_t i = 0; i < KC_KCT_MAGIC_BYTES; i++) {
        h[i] = (uint8_t)KC_KCT_MAGIC[i];
    }
    h[8] = KC_KCT_VERSION;
    put_le32(h + 12, kc_crc32c(0, h, 12));
    write_out(w, h, sizeof(h));
    if (w->failed) {
        free(w);
        return NULL;
    }
    return w;
}

/* Tag, time, CPU, slot: what most records begin with; more_flags are the kind's own. */
static void put_start(struct sim_kct_writer *w, const struct kc_event *e, bool has_slot,
                      uint32_t more_flags)
{
    uint64_t time = e->time_ns / w->unit_ns;
    uint32_t flags = more_flags;
    flags |= e->cpu != w->cpu ? KC_KCT_OTHER_CPU : 0;
    flags |= has_slot && e->slot != w->slot ? KC_KCT_OTHER_SLOT : 0;
    put_byte(w, e->kind | flags);
    put(w, time - w->time);
    if ((flags & KC_KCT_OTHER_CPU) != 0) {
        put(w, e->cpu);
    }
    if ((flags & KC_KCT_OTHER_SLOT) != 0) {
        uint32_t up = e->slot - w->slot;
        uint32_t down = w->slot - e->slot;
        put(w, e->slot > w->slot ? 2ull * up : 2ull * (down - 1) + 1);
    }
    w->time = time;
    w->cpu = e->cpu;
    if (has_slot) {
        w->slot = e->slot;
    }
}

static void put_alloc(struct sim_kct_writer *w, const struct kc_event *e)
{
    struct kc_kct_last *last = &w->last[e->type];
    bool sizes = e->requested != last->requested || e->granted != last->granted;
    bool site = e->site != last->site;
    put_start(w, e, true, (sizes ? KC_KCT_OTHER_SIZES : 0) | (site ? KC_KCT_OTHER_SITE : 0));
    put(w, e->type);
    if (sizes) {
        put(w, e->requested);
        put(w, e->granted - e->requested);
    }
    if (site) {
        put(w, e->site);
    }
    last->requested = e->requested;
    last->granted = e->granted;
    last->site = e->site;
}

static void put_type(struct sim_kct_writer *w, const struct kc_event *e)
{
    const struct kc_trace_type *t = e->definition;
    put_byte(w, KC_EVENT_TYPE);
    put(w, t->kind);
    put(w, t->object_bytes);
    put(w, t->granted_bytes);
    put(w, t->objects_per_slab);
    put(w, t->pages_per_slab);
    put_name(w, t->name);
    w->last[e->type].requested = t->object_bytes;
    w->last[e->type].granted = t->granted_bytes;
}

bool sim_kct_writer_add(struct sim_kct_writer *w, const struct kc_event *e)
{
    if (w->used + KC_KCT_RECORD_MAX > KC_KCT_BLOCK_MAX) { /* I1 */
        end_block(w, KC_KCT_EVENTS);
    }
    if (w->used == 0) {
        put(w, w->unit_ns);
        put(w, w->time);
    }
    switch ((enum kc_event_kind)e->kind) {
    case KC_EVENT_TYPE:
        put_type(w, e);
        break;
    case KC_EVENT_SITE:
        put_byte(w, KC_EVENT_SITE);
        put_name(w, e->name);
        break;
    case KC_EVENT_ALLOC:
        put_alloc(w, e);
        break;
    case KC_EVENT_FREE:
    case KC_EVENT_PAGE_FREE:
        put_start(w, e, true, e->implicit ? KC_KCT_IMPLICIT : 0);
        break;
    case KC_EVENT_PAGE_ALLOC:
        put_start(w, e, true, 0);
        put(w, e->order);
        break;
    case KC_EVENT_SKIPPED:
    case KC_EVENT_LOST:
        put_start(w, e, false, 0);
        put(w, e->count);
        break;
    default:
        put_start(w, e, false, 0);
        break;
    }
    w->count++;
    kc_trace_count(&w->totals, e);
    return !w->failed;
}

bool sim_kct_writer_close(struct sim_kct_writer *w)
{
    if (w->count > 0) {
        end_block(w, KC_KCT_EVENTS);
    }
    uint64_t totals[KC_TRACE_TOTALS];
    kc_trace_totals_list(&w->totals, totals);
    for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++) {
        put(w, totals[i]);
    }
    end_block(w, KC_KCT_FOOTER);
    bool good = !w->failed;
    free(w);
    return good;
}
