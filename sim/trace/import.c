/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * import.c: text of kmem events in, events of kct.h out.
 *
 * Nouns. A *line* is an event, a notice (`CPU:1 [LOST 7 EVENTS]`), or furniture (comments,
 * headings, stack traces). An event line has a *prefix* that differs between the tools and a *body*
 * of name=value words that does not:
 *
 *     ftrace     cc1-312   [001] ..s1.  1568.152344: kfree: call_site=f+0x3/0x9 ptr=00000000c4e1
 *     trace-cmd  cc1-312   [001]  1568.152344: kfree:      (f+0x3) call_site=ffffffff81
 * ptr=0xffff88 perf       cc1   312 [001]  1568.152344: kmem:kfree: (f+0x3) call_site=ffffffff81
 * ptr=0xffff88
 *
 * What they share is found: `[CPU]`, at most one word of flags, a time that ends in a colon, then
 * the event's name. Before it stands the task's name, which may hold anything; the first place
 * where all of this fits is taken. In the body, words without `=` are passed over and names are
 * looked up, so fields that kernels have added since do not matter.
 *
 * Invariants
 *   I1  a slot lives in exactly one of the maps `objects` and `pages`, or in none
 *   I2  what a line makes (a site, a type, an implicit free, an event) is at most PENDING_MAX
 * events I3  time never goes back: a line with an earlier time (its CPU's buffer came late) is
 * given the time before I4  a line changes nothing before all of it was understood
 *
 * Memory: SIM_LINES' buffer, the maps, names of types and sites (both bounded by kct.h).
 * Sources: Linux include/trace/events/kmem.h; kernel/trace/trace_output.c; trace-cmd's
 * trace-read.c; tools/perf/builtin-script.c.
 */
#include "import.h"

#include <stdio.h>
#include <stdlib.h>

#include "slots.h"

#define PENDING_MAX      6u
#define NAMES_LOG2       12u /* hash table of types; twice KC_TRACE_TYPES_MAX and more */
#define SITES_LOG2       17u
#define SITE_BLOB_BYTES  (64u << 10)
#define SLAB_KMALLOC_MAX 8192u /* above it, Linux's kmalloc takes whole pages */

/* ---- structures ------------------------------------------------------------------------------ */

struct site {
    uint32_t hash;
    const char *name;
};

/* Values of an event's fields, as found; `has` says which. */
enum field {
    FIELD_PTR = 1,
    FIELD_REQ = 2,
    FIELD_ALLOC = 4,
    FIELD_PFN = 8,
    FIELD_ORDER = 16,
    FIELD_NAME = 32,
    FIELD_SITE = 64,
    FIELD_GFP = 128,
    FIELD_PAGE = 256
};

struct word {
    const char *begin;
    const char *end;
};

struct fields {
    uint32_t has;
    uint64_t ptr;
    uint64_t req;
    uint64_t alloc;
    uint64_t pfn;
    uint64_t order;
    uint64_t page;
    struct word name;
    struct word site;
    struct word gfp;
};

enum event_name {
    EVENT_UNKNOWN,
    EVENT_KMALLOC,
    EVENT_CACHE_ALLOC,
    EVENT_FREE,
    EVENT_PAGE_ALLOC,
    EVENT_PAGE_FREE
};

/* The prefix of an event line. */
struct prefix {
    uint64_t time_ns;
    uint16_t cpu;
    enum event_name event;
    const char *body;
};

struct sim_import {
    struct sim_lines *lines;
    const struct sim_slabinfo *slabs;
    uint64_t time_ns;
    uint16_t cpu;
    uint64_t skipped; /* not yet given out */
    struct sim_slots slots;
    struct sim_map objects;
    struct sim_map pages;
    struct kc_event pending[PENDING_MAX];
    uint32_t pending_at;
    uint32_t pending_count;
    bool ended;
    kc_status_t status;
    uint32_t type_count;
    uint32_t site_count;
    uint16_t type_place[1u << NAMES_LOG2]; /* 1 + type, 0 empty */
    struct site site[KC_TRACE_SITES_MAX];  /* by number; 0 is not used */
    uint32_t *site_place;                  /* 1 << SITES_LOG2: site, 0 empty */
    struct kc_trace_type *type;            /* KC_TRACE_TYPES_MAX */
    char *blob;                            /* names of sites; earlier blobs are linked behind */
    size_t blob_used;
};

/* ---- prefix ---------------------------------------------------------------------------------- */

/* A time: seconds, a dot and up to nine digits, or a plain count of the trace clock; then a colon.
 */
static bool parse_time(const char **p, const char *end, uint64_t *out)
{
    const char *q = *p;
    uint64_t whole;
    if (!sim_decimal(&q, end, &whole)) {
        return false;
    }
    if (q < end && *q == '.') {
        uint64_t ns = 0;
        uint32_t digits = 0;
        for (q++; q < end && sim_is_digit(*q) && digits < 9; q++, digits++) {
            ns = ns * 10 + (uint64_t)(*q - '0');
        }
        for (; digits > 0 && digits < 9; digits++) {
            ns *= 10;
        }
        if (digits == 0 || !kc_mul_u64(whole, 1000000000u, &whole) ||
            !kc_add_u64(whole, ns, &whole)) {
            return false;
        }
    }
    if (q >= end || *q != ':') {
        return false;
    }
    *p = q + 1;
    *out = whole;
    return true;
}

static enum event_name event_of(const char *p, size_t n)
{
    static const struct {
        const char *name;
        enum event_name event;
    } known[] = {
        {"kmem_cache_free", EVENT_FREE},
        {"kmem_cache_alloc", EVENT_CACHE_ALLOC},
        {"kfree", EVENT_FREE},
        {"mm_page_alloc", EVENT_PAGE_ALLOC},
        {"mm_page_free", EVENT_PAGE_FREE},
        {"kmalloc", EVENT_KMALLOC},
        {"kmem_cache_alloc_node", EVENT_CACHE_ALLOC},
        {"kmalloc_node", EVENT_KMALLOC},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strlen(known[i].name) == n && memcmp(known[i].name, p, n) == 0) {
            return known[i].event;
        }
    }
    return EVENT_UNKNOWN;
}

/* What follows "[CPU]": flags, time, name. */
static bool parse_after_cpu(const char *p, const char *end, struct prefix *out)
{
    p = sim_skip_spaces(p, end);
    if (!parse_time(&p, end, &out->time_ns)) {
        p = sim_skip_spaces(sim_skip_word(p, end), end); /* flags */
        if (!parse_time(&p, end, &out->time_ns)) {
            return false;
        }
    }
    p = sim_skip_spaces(p, end);
    const char *word = sim_skip_word(p, end);
    const char *digits = p;
    uint64_t period;
    if (sim_decimal(&digits, word, &period) && digits == word) { /* perf's period */
        p = sim_skip_spaces(word, end);
        word = sim_skip_word(p, end);
    }
    if (word == p) {
        return false;
    }
    const char *name_end = word[-1] == ':' ? word - 1 : word;
    if (sim_begins(p, name_end, "kmem:")) {
        p += 5;
    }
    out->event = event_of(p, (size_t)(name_end - p));
    out->body = word;
    return true;
}

static bool parse_prefix(const char *begin, const char *end, struct prefix *out)
{
    const char *p = begin;
    while ((p = memchr(p, '[', (size_t)(end - p))) != NULL) {
        uint64_t cpu;
        const char *q = ++p;
        if (sim_decimal(&q, end, &cpu) && cpu < KC_TRACE_CPUS_MAX && q < end && *q == ']' &&
            parse_after_cpu(q + 1, end, out)) {
            out->cpu = (uint16_t)cpu;
            return true;
        }
    }
    return false;
}

/* ---- body ------------------------------------------------------------------------------------ */

/* A pointer as the tools print one: hexadecimal with or without 0x, or a word for NULL. */
static bool parse_pointer(struct word w, uint64_t *out)
{
    if (sim_begins(w.begin, w.end, "(n") || sim_begins(w.begin, w.end, "NULL")) {
        *out = 0;
        return true;
    }
    const char *p = w.begin;
    if (sim_begins(p, w.end, "0x")) {
        p += 2;
    }
    return sim_hex(&p, w.end, out) && p == w.end;
}

static bool parse_number(struct word w, uint64_t *out)
{
    const char *p = w.begin;
    if (sim_begins(p, w.end, "0x")) {
        p += 2;
        return sim_hex(&p, w.end, out) && p == w.end;
    }
    return sim_decimal(&p, w.end, out) && p == w.end;
}

/* One name=value. False: it is a field of ours and its value is not what it should be. */
static bool parse_field(const char *p, const char *equals, const char *end, struct fields *f)
{
    struct word v = {equals + 1, end};
    size_t n = (size_t)(equals - p);
    uint32_t bit = 0;
    bool good = true;
    if (n == 3 && memcmp(p, "ptr", 3) == 0) {
        good = parse_pointer(v, &f->ptr);
        bit = FIELD_PTR;
    } else if (n == 9 && memcmp(p, "bytes_req", 9) == 0) {
        good = parse_number(v, &f->req);
        bit = FIELD_REQ;
    } else if (n == 11 && memcmp(p, "bytes_alloc", 11) == 0) {
        good = parse_number(v, &f->alloc);
        bit = FIELD_ALLOC;
    } else if (n == 9 && memcmp(p, "call_site", 9) == 0) {
        f->site = v;
        bit = FIELD_SITE;
    } else if (n == 4 && memcmp(p, "name", 4) == 0) {
        f->name = v;
        good = v.begin < v.end;
        bit = FIELD_NAME;
    } else if (n == 9 && memcmp(p, "gfp_flags", 9) == 0) {
        f->gfp = v;
        bit = FIELD_GFP;
    } else if (n == 3 && memcmp(p, "pfn", 3) == 0) {
        good = parse_number(v, &f->pfn);
        bit = FIELD_PFN;
    } else if (n == 5 && memcmp(p, "order", 5) == 0) {
        good = parse_number(v, &f->order);
        bit = FIELD_ORDER;
    } else if (n == 4 && memcmp(p, "page", 4) == 0) {
        good = parse_pointer(v, &f->page);
        bit = FIELD_PAGE;
    }
    f->has |= good ? bit : 0;
    return good;
}

/* All fields; *bad is the word that is wrong if there is one. */
static bool parse_body(const char *p, const char *end, struct fields *f, const char **bad)
{
    for (p = sim_skip_spaces(p, end); p < end; p = sim_skip_spaces(p, end)) {
        const char *word = sim_skip_word(p, end);
        const char *equals = memchr(p, '=', (size_t)(word - p));
        if (equals != NULL && !parse_field(p, equals, word, f)) {
            *bad = p;
            return false;
        }
        p = word;
    }
    return true;
}

/* ---- names ----------------------------------------------------------------------------------- */

static uint32_t hash_bytes(uint32_t h, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) { /* FNV-1a */
        h = (h ^ (uint8_t)p[i]) * 16777619u;
    }
    return h;
}

static uint32_t hash_number(uint32_t h, uint32_t v)
{
    return (h ^ v) * 2654435761u;
}

static struct kc_event *push(struct sim_import *m, uint32_t kind)
{
    struct kc_event *e = &m->pending[m->pending_count++]; /* I2 */
    memset(e, 0, sizeof(*e));
    e->kind = (uint8_t)kind;
    if (kind != KC_EVENT_TYPE && kind != KC_EVENT_SITE) {
        e->time_ns = m->time_ns;
        e->cpu = m->cpu;
    }
    return e;
}

/* Room for n bytes that live as long as the import. */
static char *blob_take(struct sim_import *m, size_t n)
{
    if (m->blob == NULL || m->blob_used + n > SITE_BLOB_BYTES) {
        char *blob = malloc(SITE_BLOB_BYTES);
        if (blob == NULL) {
            return NULL;
        }
        memcpy(blob, &m->blob, sizeof(m->blob)); /* link to the one before */
        m->blob = blob;
        m->blob_used = sizeof(m->blob);
    }
    m->blob_used += n;
    return m->blob + m->blob_used - n;
}

/* Number of the site; 0 where it has no name, or there are more sites than a trace may have. */
static kc_status_t site_of(struct sim_import *m, const struct fields *f, uint32_t *out)
{
    size_t n = (f->has & FIELD_SITE) != 0 ? (size_t)(f->site.end - f->site.begin) : 0;
    *out = 0;
    if (n == 0) {
        return KC_OK;
    }
    if (n > KC_TRACE_NAME_MAX) {
        n = KC_TRACE_NAME_MAX;
    }
    uint32_t hash = hash_bytes(2166136261u, f->site.begin, n);
    uint32_t i = hash >> (32 - SITES_LOG2);
    for (; m->site_place[i] != 0; i = (i + 1) & ((1u << SITES_LOG2) - 1)) {
        const struct site *s = &m->site[m->site_place[i]];
        if (s->hash == hash && memcmp(s->name, f->site.begin, n) == 0 && s->name[n] == 0) {
            *out = m->site_place[i];
            return KC_OK;
        }
    }
    if (m->site_count == KC_TRACE_SITES_MAX - 1) {
        return KC_OK;
    }
    char *name = blob_take(m, n + 1);
    if (name == NULL) {
        return KC_ERR_NOMEM;
    }
    memcpy(name, f->site.begin, n);
    name[n] = 0;
    m->site_count++;
    m->site[m->site_count].hash = hash;
    m->site[m->site_count].name = name;
    m->site_place[i] = m->site_count;
    struct kc_event *e = push(m, KC_EVENT_SITE);
    e->site = m->site_count;
    e->name = name;
    *out = m->site_count;
    return KC_OK;
}

static bool has_flag(struct word gfp, const char *flag)
{
    size_t n = strlen(flag);
    for (const char *p = gfp.begin; p < gfp.end;) {
        const char *bar = memchr(p, '|', (size_t)(gfp.end - p));
        const char *end = bar != NULL ? bar : gfp.end;
        if ((size_t)(end - p) >= n && memcmp(end - n, flag, n) == 0) {
            return true; /* also behind the prefix "__" */
        }
        p = end + 1;
    }
    return false;
}

/*
 * The slab cache behind a kmalloc, as slabinfo calls it: by size and by kmalloc_type() of Linux
 * include/linux/slab.h. A kernel without that kind of cache has only the plain one.
 */
static void kmalloc_name(const struct sim_import *m, const struct fields *f, char *out, size_t size)
{
    const char *kind = "";
    const char *dma = "";
    if ((f->has & FIELD_GFP) != 0) {
        if (has_flag(f->gfp, "GFP_DMA")) {
            dma = "dma-";
        } else if (has_flag(f->gfp, "GFP_RECLAIMABLE") || has_flag(f->gfp, "GFP_TEMPORARY")) {
            kind = "-rcl";
        } else if (has_flag(f->gfp, "ACCOUNT")) {
            kind = "-cg";
        }
    }
    bool kilo = f->alloc >= 1024 && f->alloc % 1024 == 0;
    unsigned long long n = kilo ? f->alloc / 1024 : f->alloc;
    (void)snprintf(out, size, "%skmalloc%s-%llu%s", dma, kind, n, kilo ? "k" : "");
    if (sim_slabinfo_find(m->slabs, out) == NULL) {
        char plain[KC_TRACE_NAME_MAX + 1];
        (void)snprintf(plain, sizeof(plain), "kmalloc-%llu%s", n, kilo ? "k" : "");
        if (sim_slabinfo_find(m->slabs, plain) != NULL) {
            memcpy(out, plain, sizeof(plain));
        }
    }
}

/* What type the line's object is of, without a number yet. */
static void describe_type(const struct sim_import *m, bool kmalloc, const struct fields *f,
                          struct kc_trace_type *t)
{
    memset(t, 0, sizeof(*t));
    if (kmalloc && f->alloc > SLAB_KMALLOC_MAX) {
        t->kind = KC_TYPE_LARGE;
        memcpy(t->name, "kmalloc-large", sizeof("kmalloc-large"));
        return;
    }
    t->granted_bytes = (uint32_t)f->alloc;
    if (kmalloc) {
        t->kind = KC_TYPE_HEAP;
        kmalloc_name(m, f, t->name, sizeof(t->name));
        return;
    }
    t->kind = KC_TYPE_CACHE;
    t->object_bytes = (uint32_t)f->req;
    if ((f->has & FIELD_NAME) != 0) {
        size_t n = (size_t)(f->name.end - f->name.begin);
        memcpy(t->name, f->name.begin, n < KC_TRACE_NAME_MAX ? n : KC_TRACE_NAME_MAX);
    } else { /* kernels before 5.12 */
        (void)snprintf(t->name, sizeof(t->name), "cache-%llu", (unsigned long long)f->req);
    }
}

/* Number of the line's type; a new one is described to the reader with its geometry. */
static kc_status_t type_of(struct sim_import *m, bool kmalloc, const struct fields *f,
                           uint16_t *out)
{
    struct kc_trace_type t;
    describe_type(m, kmalloc, f, &t);
    uint32_t hash = hash_bytes(2166136261u, t.name, strlen(t.name));
    hash = hash_number(hash_number(hash, t.object_bytes), t.granted_bytes);
    uint32_t i = hash >> (32 - NAMES_LOG2);
    for (; m->type_place[i] != 0; i = (i + 1) & ((1u << NAMES_LOG2) - 1)) {
        const struct kc_trace_type *known = &m->type[m->type_place[i] - 1];
        if (known->kind == t.kind && known->object_bytes == t.object_bytes &&
            known->granted_bytes == t.granted_bytes && strcmp(known->name, t.name) == 0) {
            *out = (uint16_t)(m->type_place[i] - 1);
            return KC_OK;
        }
    }
    if (m->type_count == KC_TRACE_TYPES_MAX) {
        return KC_ERR_RANGE;
    }
    const struct sim_slab *slab = sim_slabinfo_find(m->slabs, t.name);
    if (slab != NULL && slab->object_bytes >= t.granted_bytes) {
        t.objects_per_slab = slab->objects_per_slab;
        t.pages_per_slab = slab->pages_per_slab;
    }
    *out = (uint16_t)m->type_count++;
    m->type[*out] = t;
    m->type_place[i] = (uint16_t)(*out + 1);
    struct kc_event *e = push(m, KC_EVENT_TYPE);
    e->type = *out;
    e->definition = &m->type[*out];
    return KC_OK;
}

/* ---- events ---------------------------------------------------------------------------------- */

static kc_status_t give_up_slot(struct sim_import *m, uint32_t slot)
{
    return sim_slots_give(&m->slots, slot) ? KC_OK : KC_ERR_NOMEM;
}

/* Something of that key is born: a slot for it, after an implicit death if it lives already. */
static kc_status_t birth(struct sim_import *m, struct sim_map *map, uint64_t key,
                         uint32_t death_kind, uint32_t *slot)
{
    uint32_t old;
    if (sim_map_take(map, key, &old)) {
        struct kc_event *e = push(m, death_kind);
        e->slot = old;
        e->implicit = 1;
        if (give_up_slot(m, old) != KC_OK) {
            return KC_ERR_NOMEM;
        }
    }
    switch (sim_slots_take(&m->slots, slot)) {
    case SIM_SLOTS_OK:
        break;
    case SIM_SLOTS_FULL:
        return KC_ERR_RANGE;
    case SIM_SLOTS_NOMEM:
        return KC_ERR_NOMEM;
    }
    return sim_map_add(map, key, *slot) ? KC_OK : KC_ERR_NOMEM;
}

static kc_status_t death(struct sim_import *m, struct sim_map *map, uint64_t key, uint32_t kind,
                         uint32_t unknown_kind)
{
    uint32_t slot;
    if (!sim_map_take(map, key, &slot)) {
        (void)push(m, unknown_kind);
        return KC_OK;
    }
    push(m, kind)->slot = slot;
    return give_up_slot(m, slot);
}

static kc_status_t take_alloc(struct sim_import *m, bool kmalloc, const struct fields *f)
{
    uint32_t site;
    uint16_t type;
    uint32_t slot;
    if (f->ptr == 0) {
        m->skipped++; /* the source found no memory: nothing was born */
        return KC_OK;
    }
    kc_status_t s = site_of(m, f, &site);
    if (s == KC_OK) {
        s = type_of(m, kmalloc, f, &type);
    }
    if (s == KC_OK) {
        s = birth(m, &m->objects, f->ptr, KC_EVENT_FREE, &slot);
    }
    if (s != KC_OK) {
        return s;
    }
    struct kc_event *e = push(m, KC_EVENT_ALLOC);
    e->slot = slot;
    e->type = type;
    e->site = site;
    e->requested = (uint32_t)f->req;
    e->granted = (uint32_t)f->alloc;
    return KC_OK;
}

static kc_status_t take_page_alloc(struct sim_import *m, const struct fields *f)
{
    uint32_t slot;
    if ((f->has & FIELD_PAGE) != 0 && f->page == 0) {
        m->skipped++;
        return KC_OK;
    }
    uint64_t key = (f->has & FIELD_PFN) != 0 ? f->pfn : f->page;
    kc_status_t s = birth(m, &m->pages, key, KC_EVENT_PAGE_FREE, &slot);
    if (s == KC_OK) {
        struct kc_event *e = push(m, KC_EVENT_PAGE_ALLOC);
        e->slot = slot;
        e->order = (uint8_t)f->order;
    }
    return s;
}

static kc_status_t take_event(struct sim_import *m, enum event_name event, const struct fields *f)
{
    switch (event) {
    case EVENT_KMALLOC:
    case EVENT_CACHE_ALLOC:
        return take_alloc(m, event == EVENT_KMALLOC, f);
    case EVENT_FREE:
        if (f->ptr == 0) {
            (void)push(m, KC_EVENT_NULL_FREE);
            return KC_OK;
        }
        return death(m, &m->objects, f->ptr, KC_EVENT_FREE, KC_EVENT_UNKNOWN_FREE);
    case EVENT_PAGE_ALLOC:
        return take_page_alloc(m, f);
    case EVENT_PAGE_FREE:
        return death(m, &m->pages, (f->has & FIELD_PFN) != 0 ? f->pfn : f->page, KC_EVENT_PAGE_FREE,
                     KC_EVENT_PAGE_UNKNOWN_FREE);
    case EVENT_UNKNOWN:
        break;
    }
    return KC_OK;
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* What is missing or wrong in an event's fields; NULL if all is well. */
static const char *judge_fields(enum event_name event, const struct fields *f)
{
    uint32_t has = f->has;
    switch (event) {
    case EVENT_KMALLOC:
    case EVENT_CACHE_ALLOC:
        if ((has & FIELD_PTR) == 0) {
            return "ptr=ADDRESS";
        }
        if ((has & FIELD_REQ) == 0) {
            return "bytes_req=NUMBER";
        }
        if ((has & FIELD_ALLOC) == 0) {
            return "bytes_alloc=NUMBER";
        }
        if (f->alloc > KC_TRACE_BYTES_MAX) {
            return "bytes_alloc of at most 2^30";
        }
        if (f->alloc < f->req) {
            return "bytes_alloc not below bytes_req";
        }
        return event == EVENT_CACHE_ALLOC && f->req == 0 ? "bytes_req above 0" : NULL;
    case EVENT_FREE:
        return (has & FIELD_PTR) == 0 ? "ptr=ADDRESS" : NULL;
    case EVENT_PAGE_ALLOC:
    case EVENT_PAGE_FREE:
        if ((has & (FIELD_PFN | FIELD_PAGE)) == 0) {
            return "pfn=NUMBER or page=ADDRESS";
        }
        if ((has & FIELD_ORDER) == 0) {
            return "order=NUMBER";
        }
        return f->order > KC_TRACE_ORDER_MAX ? "order of at most 20" : NULL;
    case EVENT_UNKNOWN:
        break;
    }
    return NULL;
}

/*
 * A last line without newline may be cut anywhere. It is whole if every value that matters is
 * followed by something, or is a pointer of full width.
 */
static bool may_be_cut(const struct fields *f, const char *end, enum event_name event)
{
    const char *last = end;
    while (last > end - 20 && last[-1] != '=' && !sim_is_space(last[-1])) {
        last--;
    }
    size_t n = (size_t)(end - last);
    if (event == EVENT_FREE) {
        bool ptr_is_last = sim_begins(last - 4, end, "ptr=");
        return (f->has & FIELD_PTR) == 0 || (ptr_is_last && n < 16);
    }
    return !(event == EVENT_PAGE_ALLOC || event == EVENT_KMALLOC || event == EVENT_CACHE_ALLOC) ||
           (f->has & FIELD_GFP) == 0 || f->gfp.end == end;
}

/* "[LOST n EVENTS]", "[n EVENTS DROPPED]", with "CPU:c " or anything else before it. */
static bool parse_lost(const char *p, const char *end, uint64_t *out)
{
    const char *open = memchr(p, '[', (size_t)(end - p));
    if (open == NULL) {
        return false;
    }
    const char *q = open + 1;
    if (sim_begins(q, end, "LOST ")) {
        q += 5;
        return sim_decimal(&q, end, out) && sim_begins(q, end, " EVENTS]");
    }
    if (sim_begins(q, end, "EVENTS DROPPED]")) { /* how many is not known: one at least */
        *out = 1;
        return true;
    }
    return sim_decimal(&q, end, out) && sim_begins(q, end, " EVENTS DROPPED]");
}

/* Lines that the tools print around events, and that say nothing of allocations. */
static bool is_furniture(const char *p, const char *end)
{
    const char *q = sim_skip_spaces(p, end);
    uint64_t address;
    if (q == end || *q == '#') {
        return true;
    }
    if (sim_begins(q, end, "=> ") || sim_begins(q, end, "cpus=") ||
        sim_begins(q, end, "version = ")) {
        return true; /* stack trace of ftrace; headings of trace-cmd */
    }
    if (sim_begins(q, end, "CPU ")) {
        return end - q > 9 && memcmp(end - 9, " is empty", 9) == 0;
    }
    /* call chain of perf: indented address, then symbol */
    const char *hex = q;
    return q > p && sim_hex(&hex, end, &address) && hex - q >= 8 &&
           (hex == end || sim_is_space(*hex));
}

KC_COLD static kc_status_t bad_line(const struct sim_import *m, const char *expected,
                                    const char *what, struct sim_trace_error *err)
{
    sim_trace_error_set(err, "%s:%llu: expected %s%s%s", sim_input_name(m->lines->input),
                        (unsigned long long)m->lines->number, expected, what != NULL ? " in " : "",
                        what != NULL ? what : "");
    return KC_ERR_CORRUPT;
}

static kc_status_t take_status(struct sim_import *m, kc_status_t s, struct sim_trace_error *err)
{
    if (s == KC_ERR_RANGE) {
        sim_trace_error_set(err,
                            "%s:%llu: expected at most %u types and %u objects that live at a time",
                            sim_input_name(m->lines->input), (unsigned long long)m->lines->number,
                            KC_TRACE_TYPES_MAX, KC_TRACE_SLOTS_MAX);
    } else if (s == KC_ERR_NOMEM) {
        sim_trace_error_set(err, "%s:%llu: no memory for the objects that live here",
                            sim_input_name(m->lines->input), (unsigned long long)m->lines->number);
    }
    return s;
}

static void flush_skipped(struct sim_import *m)
{
    if (m->skipped != 0) {
        push(m, KC_EVENT_SKIPPED)->count = m->skipped;
        m->skipped = 0;
    }
}

/* A line that is no event. */
static kc_status_t take_notice(struct sim_import *m, const char *p, const char *end,
                               struct sim_trace_error *err)
{
    uint64_t lost;
    if (is_furniture(p, end)) {
        return KC_OK;
    }
    if (parse_lost(p, end, &lost)) {
        if (lost > UINT32_MAX) {
            return bad_line(m, "at most 2^32 - 1 lost events", NULL, err);
        }
        if (lost != 0) {
            push(m, KC_EVENT_LOST)->count = lost;
        }
        return KC_OK;
    }
    if (!m->lines->whole && m->lines->number > 1) {
        m->skipped++; /* cut; one line alone that is no event is no trace */
        return KC_OK;
    }
    return bad_line(m,
                    "TASK-PID [CPU] TIME: EVENT: FIELDS, as ftrace, trace-cmd report and perf "
                    "script print",
                    NULL, err);
}

static kc_status_t take_line(struct sim_import *m, const char *p, const char *end,
                             struct sim_trace_error *err)
{
    struct prefix x;
    struct fields f;
    const char *bad;
    if (p < end && *p == '#') {
        return KC_OK;
    }
    if (!parse_prefix(p, end, &x)) {
        return take_notice(m, p, end, err);
    }
    if (x.event == EVENT_UNKNOWN) {
        m->skipped++;
        return KC_OK;
    }
    memset(&f, 0, sizeof(f));
    bool parsed = parse_body(x.body, end, &f, &bad);
    const char *missing = parsed ? judge_fields(x.event, &f) : "a number or address";
    if (!m->lines->whole && (missing != NULL || may_be_cut(&f, end, x.event))) {
        m->skipped++;
        return KC_OK;
    }
    if (missing != NULL) {
        char what[48];
        const char *word = parsed ? x.body : bad;
        const char *stop = parsed ? x.body : sim_skip_word(bad, end);
        (void)snprintf(what, sizeof(what), "\"%.*s\"", (int)(stop - word > 40 ? 40 : stop - word),
                       word);
        return bad_line(m, missing, parsed ? NULL : what, err);
    }
    flush_skipped(m);
    m->time_ns = x.time_ns > m->time_ns ? x.time_ns : m->time_ns; /* I3 */
    m->cpu = x.cpu;
    return take_status(m, take_event(m, x.event, &f), err);
}

/* Lines until there is something to give out, or the end. */
static kc_status_t refill(struct sim_import *m, struct sim_trace_error *err)
{
    m->pending_at = 0;
    m->pending_count = 0;
    while (m->pending_count == 0 && !m->ended) {
        const char *p;
        const char *end;
        switch (sim_lines_next(m->lines, &p, &end, err)) {
        case SIM_LINES_ERROR:
            return KC_ERR_CORRUPT;
        case SIM_LINES_END:
            m->ended = true;
            flush_skipped(m);
            break;
        case SIM_LINE: {
            kc_status_t s = take_line(m, p, end, err);
            if (s != KC_OK) {
                return s;
            }
            break;
        }
        }
    }
    return KC_OK;
}

/* ---- public ---------------------------------------------------------------------------------- */

struct sim_import *sim_import_new(struct sim_lines *lines, const struct sim_slabinfo *slabs)
{
    struct sim_import *m = calloc(1, sizeof(*m));
    if (m == NULL) {
        return NULL;
    }
    m->slabs = slabs;
    m->type = calloc(KC_TRACE_TYPES_MAX, sizeof(*m->type));
    m->site_place = calloc(1u << SITES_LOG2, sizeof(*m->site_place));
    if (m->type == NULL || m->site_place == NULL) {
        sim_import_free(m);
        return NULL;
    }
    m->lines = lines;
    return m;
}

kc_status_t sim_import_fill(struct sim_import *m, struct kc_event *buf, uint32_t max, uint32_t *n,
                            struct sim_trace_error *err)
{
    *n = 0;
    while (*n < max && m->status == KC_OK) {
        if (m->pending_at == m->pending_count) {
            if (m->ended) {
                break;
            }
            m->status = refill(m, err);
            continue;
        }
        buf[(*n)++] = m->pending[m->pending_at++];
    }
    return *n != 0 ? KC_OK : m->status; /* what is good before an error comes first */
}

void sim_import_free(struct sim_import *m)
{
    if (m == NULL) {
        return;
    }
    if (m->lines != NULL) {
        sim_lines_fini(m->lines);
        free(m->lines);
    }
    for (char *blob = m->blob; blob != NULL;) {
        char *before;
        memcpy(&before, blob, sizeof(before));
        free(blob);
        blob = before;
    }
    sim_slots_fini(&m->slots);
    sim_map_fini(&m->objects);
    sim_map_fini(&m->pages);
    free(m->site_place);
    free(m->type);
    free(m);
}
