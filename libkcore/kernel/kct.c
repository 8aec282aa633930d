/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kct.c: the reader of `.kct`.
 *
 * Nouns. A *file* is a header, blocks, and a footer block. A *block* is a header with size, record
 * count, kind and checksum, and a payload of at most KC_KCT_BLOCK_MAX bytes. A *record* is one
 * event; it never spans blocks. Numbers are little endian; those in records are LEB128 ("varint").
 *
 *     header | block | block | ... | footer
 *              |
 *              +- size, count, kind, crc32c | base time | record | record | ...
 *
 * A record leaves out what is as it was: CPU and slot of the event before, sizes and site of the
 * type's last ALLOC. What "as it was" means begins at zero and runs on from block to block, except
 * the time, which each block states anew.
 *
 * Invariants
 *   I1  nothing of a block is decoded before its checksum was right
 *   I2  at <= size <= KC_KCT_BLOCK_MAX
 *   I3  time never goes back
 *   I4  type and site numbers are dense: a definition has the next number, a use a defined one
 *   I5  every number given out is inside the limits of kct.h
 *   I6  the footer's totals are those of the events given out; nothing follows it
 *
 * Cost: a few instructions a byte; no allocation; no locks (a reader serves one CPU at a time).
 * Sources: the format is ours (docs/trace-format.md); CRC32C is that of RFC 3720, appendix B.4.
 */
#include "kct.h"

#include <kc/bits.h>

/* ---- checksum -------------------------------------------------------------------------------- */

/* CRC32C of each 4-bit value; polynomial 0x1edc6f41, reflected. Half a cache line pair of table. */
static const uint32_t crc_nibble[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t kc_crc32c(uint32_t crc, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        crc = (crc >> 4) ^ crc_nibble[crc & 15];
        crc = (crc >> 4) ^ crc_nibble[crc & 15];
    }
    return ~crc;
}

/* ---- events ---------------------------------------------------------------------------------- */

const char *kc_event_kind_name(uint32_t kind)
{
    static const char *const name[KC_EVENT_KIND_COUNT] = {
        "type",       "site",      "alloc",
        "free",       "null_free", "unknown_free",
        "page_alloc", "page_free", "page_unknown_free",
        "skipped",    "lost",
    };
    return kind < KC_EVENT_KIND_COUNT ? name[kind] : "?";
}

static void count_slot(struct kc_trace_totals *t, const struct kc_event *e)
{
    if (e->slot >= t->slots) {
        t->slots = (uint64_t)e->slot + 1;
    }
}

void kc_trace_count(struct kc_trace_totals *t, const struct kc_event *e)
{
    switch ((enum kc_event_kind)e->kind) {
    case KC_EVENT_TYPE:
        t->types++;
        return; /* a definition has no time of its own */
    case KC_EVENT_SITE:
        t->sites++;
        return;
    case KC_EVENT_ALLOC:
        t->allocs++;
        count_slot(t, e);
        break;
    case KC_EVENT_FREE:
        *(e->implicit != 0 ? &t->implicit_frees : &t->frees) += 1;
        break;
    case KC_EVENT_NULL_FREE:
        t->frees++;
        t->null_frees++;
        break;
    case KC_EVENT_UNKNOWN_FREE:
        t->frees++;
        t->unknown_frees++;
        break;
    case KC_EVENT_PAGE_ALLOC:
        t->page_allocs++;
        count_slot(t, e);
        break;
    case KC_EVENT_PAGE_FREE:
        *(e->implicit != 0 ? &t->page_implicit_frees : &t->page_frees) += 1;
        break;
    case KC_EVENT_PAGE_UNKNOWN_FREE:
        t->page_frees++;
        t->page_unknown_frees++;
        break;
    case KC_EVENT_SKIPPED:
        t->skipped_lines += e->count;
        return;
    case KC_EVENT_LOST:
        t->lost_events += e->count;
        return;
    case KC_EVENT_KIND_COUNT:
        return;
    }
    if (t->first_ns == 0 && t->last_ns == 0) {
        t->first_ns = e->time_ns;
    }
    t->last_ns = e->time_ns;
}

/* ---- input ----------------------------------------------------------------------------------- */

kc_status_t kc_kct_memory_read(void *ctx, void *buf, size_t max, size_t *n)
{
    struct kc_kct_memory *m = ctx;
    size_t left = m->size - m->at;
    size_t take = left < max ? left : max;
    __builtin_memcpy(buf, (const uint8_t *)m->bytes + m->at, take);
    m->at += take;
    *n = take;
    return KC_OK;
}

KC_COLD static kc_status_t fail(struct kc_kct *k, kc_status_t status, uint64_t offset,
                                const char *expected, uint64_t found)
{
    if (k->error.status == KC_OK) {
        k->error.status = status;
        k->error.offset = offset;
        k->error.expected = expected;
        k->error.found = found;
    }
    return k->error.status;
}

/* A record is not as it should be: the place is the byte after what was read of it. */
KC_COLD static kc_status_t bad_record(struct kc_kct *k, const char *expected, uint64_t found)
{
    return fail(k, KC_ERR_CORRUPT, k->block_offset + k->at, expected, found);
}

/* n bytes of the input, all of them; *got says how many there were if the input ended early. */
static kc_status_t take(struct kc_kct *k, uint8_t *to, size_t n, size_t *got)
{
    *got = 0;
    while (*got < n) {
        size_t part = 0;
        kc_status_t s = k->input.read(k->input.ctx, to + *got, n - *got, &part);
        if (s != KC_OK) {
            return fail(k, s, k->offset, "readable input", 0);
        }
        if (part == 0) {
            return KC_OK;
        }
        *got += part;
        k->offset += part;
    }
    return KC_OK;
}

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t le16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

/* Header: magic 8, version 2, flags 2 (0), crc32c 4 of the first 12. */
static kc_status_t take_header(struct kc_kct *k)
{
    uint8_t h[KC_KCT_HEADER_BYTES];
    size_t got;
    kc_status_t s = take(k, h, sizeof(h), &got);
    if (s != KC_OK) {
        return s;
    }
    if (got < KC_KCT_MAGIC_BYTES || __builtin_memcmp(h, KC_KCT_MAGIC, KC_KCT_MAGIC_BYTES) != 0) {
        return fail(k, KC_ERR_CORRUPT, 0, "the magic of a .kct file", got);
    }
    if (got < sizeof(h)) {
        return fail(k, KC_ERR_CORRUPT, k->offset, "a header of 16 bytes; the file is cut", got);
    }
    if (le16(h + 8) != KC_KCT_VERSION) {
        return fail(k, KC_ERR_UNSUPPORTED, 8, "format version 1", le16(h + 8));
    }
    if (le16(h + 10) != 0) {
        return fail(k, KC_ERR_UNSUPPORTED, 10, "header flags 0", le16(h + 10));
    }
    if (le32(h + 12) != kc_crc32c(0, h, 12)) {
        return fail(k, KC_ERR_CORRUPT, 12, "the header's checksum", le32(h + 12));
    }
    k->opened = true;
    return KC_OK;
}

/* ---- numbers of a block ---------------------------------------------------------------------- */

static bool get_varint(struct kc_kct *k, uint64_t *out)
{
    uint64_t v = 0;
    for (uint32_t shift = 0; shift < 64; shift += 7) {
        if (k->at >= k->size) {
            return false;
        }
        uint8_t b = k->block[k->at++];
        if (shift == 63 && b > 1) {
            return false; /* would exceed 64 bits */
        }
        v |= (uint64_t)(b & 0x7f) << shift;
        if ((b & 0x80) == 0) {
            *out = v;
            return true;
        }
    }
    return false;
}

/* A number of at most max; else the error says what was expected. */
static kc_status_t get(struct kc_kct *k, uint64_t max, const char *expected, uint32_t *out)
{
    uint64_t v;
    if (!get_varint(k, &v)) {
        (void)bad_record(k, "a whole number inside the block", 0);
        return KC_ERR_CORRUPT;
    }
    if (v > max) {
        (void)bad_record(k, expected, v);
        return KC_ERR_CORRUPT;
    }
    *out = (uint32_t)v;
    return KC_OK;
}

/* A name: its length, 1 to KC_TRACE_NAME_MAX, then its bytes, none of them a control character. */
static kc_status_t get_name(struct kc_kct *k, char *out)
{
    uint32_t n;
    kc_status_t s = get(k, KC_TRACE_NAME_MAX, "a name of 1 to 63 bytes", &n);
    if (s != KC_OK) {
        return s;
    }
    if (n == 0 || n > k->size - k->at) {
        return bad_record(k, "a name of 1 to 63 bytes inside the block", n);
    }
    for (uint32_t i = 0; i < n; i++) {
        uint8_t c = k->block[k->at + i];
        if (c < 0x20 || c == 0x7f) {
            return bad_record(k, "a name without control characters", c);
        }
        out[i] = (char)c;
    }
    out[n] = 0;
    k->at += n;
    return KC_OK;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

void kc_trace_totals_list(const struct kc_trace_totals *t, uint64_t out[KC_TRACE_TOTALS])
{
    const uint64_t list[KC_TRACE_TOTALS] = {
        t->allocs,
        t->frees,
        t->null_frees,
        t->unknown_frees,
        t->implicit_frees,
        t->page_allocs,
        t->page_frees,
        t->page_unknown_frees,
        t->page_implicit_frees,
        t->skipped_lines,
        t->lost_events,
        t->types,
        t->sites,
        t->slots,
        t->first_ns,
        t->last_ns,
    };
    __builtin_memcpy(out, list, sizeof(list));
}

/* Footer: the totals as listed; each must be what was counted. I6 */
static kc_status_t check_footer(struct kc_kct *k)
{
    uint64_t counted[KC_TRACE_TOTALS];
    kc_trace_totals_list(&k->totals, counted);
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(counted); i++) {
        uint64_t v;
        if (!get_varint(k, &v)) {
            return bad_record(k, "16 totals in the footer", i);
        }
        if (v != counted[i]) {
            return bad_record(k, "a footer total equal to what the file holds", v);
        }
    }
    if (k->at != k->size) {
        return bad_record(k, "the end of the footer", k->size - k->at);
    }
    uint8_t extra;
    size_t got;
    kc_status_t s = take(k, &extra, 1, &got);
    if (s != KC_OK) {
        return s;
    }
    if (got != 0) {
        return fail(k, KC_ERR_CORRUPT, k->offset - 1, "the end of the file behind the footer",
                    extra);
    }
    k->ended = true;
    return KC_OK;
}

/* The block's own start: base time in units, and the unit in nanoseconds. */
static kc_status_t begin_events(struct kc_kct *k)
{
    uint64_t base;
    uint32_t unit;
    kc_status_t s = get(k, 1000000000u, "a time unit of 1 to 10^9 ns", &unit);
    if (s != KC_OK) {
        return s;
    }
    if (unit == 0) {
        return bad_record(k, "a time unit of 1 to 10^9 ns", unit);
    }
    if (!get_varint(k, &base) || !kc_mul_u64(base, unit, &base)) {
        return bad_record(k, "a time that fits 64 bits of nanoseconds", 0);
    }
    if (base < k->time_ns) {
        return bad_record(k, "a time not before the last event", base);
    }
    k->time_ns = base;
    k->unit_ns = unit;
    return KC_OK;
}

static kc_status_t take_block(struct kc_kct *k)
{
    uint8_t h[KC_KCT_BLOCK_HEADER];
    uint64_t start = k->offset;
    size_t got;
    kc_status_t s = take(k, h, sizeof(h), &got);
    if (s != KC_OK) {
        return s;
    }
    if (got < sizeof(h)) {
        return fail(k, KC_ERR_CORRUPT, k->offset,
                    got == 0 ? "a block; the file is cut before its footer"
                             : "a block header of 16 bytes; the file is cut",
                    got);
    }
    uint32_t size = le32(h);
    uint32_t count = le32(h + 4);
    uint32_t kind = le32(h + 8);
    if (size == 0 || size > KC_KCT_BLOCK_MAX) {
        return fail(k, KC_ERR_CORRUPT, start, "a block of 1 to 65536 bytes", size);
    }
    if (kind != KC_KCT_EVENTS && kind != KC_KCT_FOOTER) {
        return fail(k, KC_ERR_CORRUPT, start + 8, "a block of kind 1 or 2", kind);
    }
    if (count > size || (kind == KC_KCT_FOOTER) != (count == 0)) {
        return fail(k, KC_ERR_CORRUPT, start + 4, "a record count that fits the block", count);
    }
    s = take(k, k->block, size, &got);
    if (s != KC_OK) {
        return s;
    }
    if (got < size) {
        return fail(k, KC_ERR_CORRUPT, k->offset, "the rest of a block; the file is cut",
                    size - got);
    }
    if (le32(h + 12) != kc_crc32c(kc_crc32c(0, h, 12), k->block, size)) { /* I1 */
        return fail(k, KC_ERR_CORRUPT, start + 12, "the block's checksum", le32(h + 12));
    }
    k->block_offset = start + sizeof(h);
    k->at = 0;
    k->size = size;
    k->left = count;
    return kind == KC_KCT_FOOTER ? check_footer(k) : begin_events(k);
}

/* ---- records --------------------------------------------------------------------------------- */

static kc_status_t get_type(struct kc_kct *k, struct kc_event *e)
{
    struct kc_trace_type *t = &k->definition;
    if (k->type_count == KC_TRACE_TYPES_MAX) {
        return bad_record(k, "at most 1024 types", k->type_count);
    }
    __builtin_memset(t, 0, sizeof(*t));
    kc_status_t s;
    if ((s = get(k, KC_TYPE_KIND_COUNT - 1, "a type kind of 0 to 2", &t->kind)) != KC_OK ||
        (s = get(k, KC_TRACE_BYTES_MAX, "an object size of at most 2^30", &t->object_bytes)) !=
            KC_OK ||
        (s = get(k, KC_TRACE_BYTES_MAX, "a granted size of at most 2^30", &t->granted_bytes)) !=
            KC_OK ||
        (s = get(k, 65535, "at most 65535 objects a slab", &t->objects_per_slab)) != KC_OK ||
        (s = get(k, 65535, "at most 65535 pages a slab", &t->pages_per_slab)) != KC_OK ||
        (s = get_name(k, t->name)) != KC_OK) {
        return s;
    }
    if ((t->objects_per_slab == 0) != (t->pages_per_slab == 0)) {
        return bad_record(k, "objects and pages a slab, both or neither", t->pages_per_slab);
    }
    if (t->kind == KC_TYPE_CACHE && (t->object_bytes == 0 || t->granted_bytes < t->object_bytes)) {
        return bad_record(k, "a cache whose objects have a size and are granted it",
                          t->object_bytes);
    }
    struct kc_kct_last *last = &k->last[k->type_count];
    last->requested = t->object_bytes;
    last->granted = t->granted_bytes;
    last->site = 0;
    e->type = (uint16_t)k->type_count;
    e->definition = t;
    k->type_count++;
    return KC_OK;
}

static kc_status_t get_site(struct kc_kct *k, struct kc_event *e)
{
    kc_status_t s = get_name(k, k->name);
    if (s != KC_OK) {
        return s;
    }
    if (k->site_count == KC_TRACE_SITES_MAX - 1) {
        return bad_record(k, "at most 65535 sites", k->site_count);
    }
    k->site_count++; /* numbers begin at 1: 0 is "not known" */
    e->site = k->site_count;
    e->name = k->name;
    return KC_OK;
}

static kc_status_t get_alloc(struct kc_kct *k, struct kc_event *e, uint32_t flags)
{
    uint32_t type;
    kc_status_t s = get(k, k->type_count, "a type that is defined", &type);
    if (s != KC_OK) {
        return s;
    }
    if (type >= k->type_count) { /* I4 */
        return bad_record(k, "a type that is defined", type);
    }
    struct kc_kct_last *last = &k->last[type];
    if ((flags & KC_KCT_OTHER_SIZES) != 0) {
        uint32_t requested;
        uint32_t above;
        s = get(k, KC_TRACE_BYTES_MAX, "a requested size of at most 2^30", &requested);
        if (s == KC_OK) {
            s = get(k, KC_TRACE_BYTES_MAX - requested, "a granted size of at most 2^30", &above);
        }
        if (s != KC_OK) {
            return s;
        }
        last->requested = requested;
        last->granted = requested + above;
    }
    if ((flags & KC_KCT_OTHER_SITE) != 0) {
        s = get(k, k->site_count, "a site that is defined", &last->site);
        if (s != KC_OK) {
            return s;
        }
    }
    e->type = (uint16_t)type;
    e->requested = last->requested;
    e->granted = last->granted;
    e->site = last->site;
    return KC_OK;
}

/* The slot: zigzag difference from that of the event before. */
static kc_status_t get_slot(struct kc_kct *k, struct kc_event *e, uint32_t flags)
{
    if ((flags & KC_KCT_OTHER_SLOT) != 0) {
        uint32_t z;
        kc_status_t s = get(k, 2ull * KC_TRACE_SLOTS_MAX, "a slot difference of at most 2^23", &z);
        if (s != KC_OK) {
            return s;
        }
        int64_t slot =
            (int64_t)k->slot + ((z & 1) != 0 ? -(int64_t)(z >> 1) - 1 : (int64_t)(z >> 1));
        if (slot < 0 || slot >= (int64_t)KC_TRACE_SLOTS_MAX) {
            return bad_record(k, "a slot of 0 to 2^23 - 1", (uint64_t)slot);
        }
        k->slot = (uint32_t)slot;
    }
    e->slot = k->slot;
    return KC_OK;
}

/* Time and CPU, which every record but a definition has. */
static kc_status_t get_when(struct kc_kct *k, struct kc_event *e, uint32_t flags)
{
    uint64_t dt;
    if (!get_varint(k, &dt) || !kc_mul_u64(dt, k->unit_ns, &dt) ||
        !kc_add_u64(k->time_ns, dt, &k->time_ns)) { /* I3: a sum that does not wrap */
        return bad_record(k, "a time that fits 64 bits of nanoseconds", 0);
    }
    if ((flags & KC_KCT_OTHER_CPU) != 0) {
        uint32_t cpu;
        kc_status_t s = get(k, KC_TRACE_CPUS_MAX - 1, "a CPU of 0 to 4095", &cpu);
        if (s != KC_OK) {
            return s;
        }
        k->cpu = (uint16_t)cpu;
    }
    e->time_ns = k->time_ns;
    e->cpu = k->cpu;
    return KC_OK;
}

/* Flags that a kind may carry; another set bit is an error. */
static uint32_t flags_of(uint32_t kind)
{
    switch (kind) {
    case KC_EVENT_ALLOC:
        return KC_KCT_OTHER_CPU | KC_KCT_OTHER_SLOT | KC_KCT_OTHER_SIZES | KC_KCT_OTHER_SITE;
    case KC_EVENT_FREE:
    case KC_EVENT_PAGE_FREE:
        return KC_KCT_OTHER_CPU | KC_KCT_OTHER_SLOT | KC_KCT_IMPLICIT;
    case KC_EVENT_PAGE_ALLOC:
        return KC_KCT_OTHER_CPU | KC_KCT_OTHER_SLOT;
    case KC_EVENT_TYPE:
    case KC_EVENT_SITE:
        return 0;
    default:
        return KC_KCT_OTHER_CPU;
    }
}

static kc_status_t get_record(struct kc_kct *k, struct kc_event *e)
{
    __builtin_memset(e, 0, sizeof(*e));
    if (k->at >= k->size) {
        return bad_record(k, "a record inside the block", k->left);
    }
    uint32_t tag = k->block[k->at++];
    uint32_t kind = tag & 15;
    uint32_t flags = tag & 0xf0;
    if (kind >= KC_EVENT_KIND_COUNT || (flags & ~flags_of(kind)) != 0) {
        return bad_record(k, "a record kind of 0 to 10 with flags of its own", tag);
    }
    e->kind = (uint8_t)kind;
    if (kind == KC_EVENT_TYPE) {
        return get_type(k, e);
    }
    if (kind == KC_EVENT_SITE) {
        return get_site(k, e);
    }
    kc_status_t s = get_when(k, e, flags);
    if (s != KC_OK) {
        return s;
    }
    switch ((enum kc_event_kind)kind) {
    case KC_EVENT_ALLOC:
        s = get_slot(k, e, flags);
        return s == KC_OK ? get_alloc(k, e, flags) : s;
    case KC_EVENT_FREE:
    case KC_EVENT_PAGE_FREE:
        e->implicit = (flags & KC_KCT_IMPLICIT) != 0;
        return get_slot(k, e, flags);
    case KC_EVENT_PAGE_ALLOC: {
        uint32_t order;
        s = get_slot(k, e, flags);
        if (s == KC_OK) {
            s = get(k, KC_TRACE_ORDER_MAX, "an order of at most 20", &order);
        }
        if (s == KC_OK) {
            e->order = (uint8_t)order;
        }
        return s;
    }
    case KC_EVENT_SKIPPED:
    case KC_EVENT_LOST:
        if (!get_varint(k, &e->count) || e->count == 0) {
            return bad_record(k, "a count that is not 0", 0);
        }
        if (e->count > UINT64_MAX / 2 - k->totals.skipped_lines ||
            e->count > UINT64_MAX / 2 - k->totals.lost_events) {
            return bad_record(k, "counts whose sum fits 63 bits", e->count);
        }
        return KC_OK;
    default:
        return KC_OK;
    }
}

/* ---- public ---------------------------------------------------------------------------------- */

void kc_kct_init(struct kc_kct *k, const struct kc_kct_input *input, void *block)
{
    __builtin_memset(k, 0, sizeof(*k));
    k->input = *input;
    k->block = block;
}

/* A block to take records from, or the end. */
static kc_status_t next_block(struct kc_kct *k)
{
    if (k->size != k->at) {
        return bad_record(k, "the end of the block behind its last record", k->size - k->at);
    }
    if (!k->opened) {
        kc_status_t s = take_header(k);
        if (s != KC_OK) {
            return s;
        }
    }
    return take_block(k);
}

kc_status_t kc_kct_fill(void *ctx, struct kc_event *buf, uint32_t max, uint32_t *n)
{
    struct kc_kct *k = ctx;
    uint32_t done = 0;
    *n = 0;
    if (k->error.status != KC_OK) {
        return k->error.status;
    }
    while (done < max && !k->ended) {
        if (k->left == 0) {
            if (next_block(k) != KC_OK) {
                break;
            }
            continue;
        }
        if (get_record(k, &buf[done]) != KC_OK) {
            break; /* after what is good; the next call says what is not */
        }
        k->left--;
        kc_trace_count(&k->totals, &buf[done]);
        done++;
        if (buf[done - 1].definition != NULL || buf[done - 1].name != NULL) {
            break; /* its storage is used again by the next definition */
        }
    }
    *n = done;
    return done == 0 ? k->error.status : KC_OK;
}

const struct kc_kct_error *kc_kct_error(const struct kc_kct *k)
{
    return &k->error;
}

const struct kc_trace_totals *kc_kct_totals(const struct kc_kct *k)
{
    return &k->totals;
}
