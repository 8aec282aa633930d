/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * region_model.h: slow, obviously right twin of kc/region.h, and a decoder of bytes into operations
 * on both.
 *
 * A space of 512 bytes, at the bottom, in the middle or at the very top of the 64-bit space; an
 * array says of each byte which region it is in, a list holds what is known of each region.
 */
#ifndef REGION_MODEL_H
#define REGION_MODEL_H

#include <kc/region.h>

#include "kc_bytes.h"

#define RM_BYTES   512u
#define RM_REGIONS 299u /* three levels of nodes */
#define RM_NONE    0xffffu

struct region_model {
    uint64_t origin;
    uint16_t at[RM_BYTES]; /* number of the region, or RM_NONE */
    bool used[RM_REGIONS];
    struct kc_region region[RM_REGIONS];
    uint32_t count;
};

/* Where an address is in the model's space; RM_BYTES and more: outside. Sums wrap as addresses do.
 */
static inline uint64_t rm_offset(const struct region_model *m, uint64_t address)
{
    return address - m->origin;
}

/* The range leaves 64 bits: counted in small numbers, from the end of the space. */
static inline bool rm_wraps(uint64_t base, uint64_t size)
{
    uint64_t left_above = UINT64_MAX - base; /* addresses above base */
    return size > left_above && size - left_above > 1;
}

static inline uint16_t rm_region_at(const struct region_model *m, uint64_t address)
{
    uint64_t o = rm_offset(m, address);
    return o < RM_BYTES ? m->at[o] : (uint16_t)RM_NONE;
}

static inline bool rm_region_is(const struct kc_region *r, const struct kc_region *s)
{
    return kc_ia_eq(r->base, s->base) && r->size == s->size && r->kind == s->kind &&
           r->perms == s->perms && r->source == s->source && r->owner == s->owner &&
           r->name == s->name;
}

static inline void rm_put(struct region_model *m, uint32_t id, const struct kc_region *r)
{
    m->used[id] = true;
    m->region[id] = *r;
    for (uint64_t i = 0; i < r->size; i++) {
        m->at[rm_offset(m, kc_ia_raw(r->base)) + i] = (uint16_t)id;
    }
}

static inline uint32_t rm_free_id(const struct region_model *m)
{
    for (uint32_t id = 0; id < RM_REGIONS; id++) {
        if (!m->used[id]) {
            return id;
        }
    }
    return RM_NONE;
}

/* An address mostly in the space, else anything. */
static inline uint64_t rm_address(const struct region_model *m, struct kc_bytes *b)
{
    if (kc_bytes_below(b, 24) == 0) {
        return kc_bytes_u64(b);
    }
    return m->origin + kc_bytes_below(b, RM_BYTES);
}

static inline uint64_t rm_size(struct kc_bytes *b)
{
    switch (kc_bytes_below(b, 24)) {
    case 0:
        return kc_bytes_u64(b);
    case 1:
        return UINT64_MAX - kc_bytes_u8(b);
    case 2:
        return kc_bytes_below(b, 600);
    default:
        return kc_bytes_below(b, 48);
    }
}

static inline const char *rm_op_add(struct region_model *m, struct kc_region_map *map,
                                    struct kc_bytes *b)
{
    struct kc_region r = {kc_ia(rm_address(m, b)),
                          rm_size(b),
                          kc_bytes_below(b, 5),
                          kc_bytes_below(b, 9),
                          kc_bytes_below(b, 7),
                          kc_bytes_u8(b),
                          "r"};
    uint64_t base = kc_ia_raw(r.base);
    bool malformed = r.size == 0 || r.kind >= KC_REGION_KIND_COUNT || r.perms > KC_REGION_PERMS ||
                     r.source >= KC_REGION_SOURCE_COUNT;
    bool wraps = rm_wraps(base, r.size);
    if (!malformed && !wraps &&
        (rm_offset(m, base) >= RM_BYTES || r.size > RM_BYTES - rm_offset(m, base))) {
        return NULL; /* good, but outside what the model can hold: not tried */
    }
    kc_status_t s = kc_region_add(map, &r);
    if (malformed) {
        return s == KC_ERR_ARG ? NULL : "add: ARG was due";
    }
    if (wraps) {
        return s == KC_ERR_RANGE ? NULL : "add: RANGE was due";
    }
    for (uint64_t i = 0; i < r.size; i++) {
        if (rm_region_at(m, base + i) != RM_NONE) {
            return s == KC_ERR_EXISTS ? NULL : "add: EXISTS was due";
        }
    }
    if (m->count == RM_REGIONS) {
        return s == KC_ERR_NOMEM ? NULL : "add: NOMEM was due";
    }
    rm_put(m, rm_free_id(m), &r);
    m->count++;
    return s == KC_OK ? NULL : "add: OK was due";
}

/* Many small regions at once, so that the tree gets its levels. */
static inline const char *rm_op_fill(struct region_model *m, struct kc_region_map *map,
                                     struct kc_bytes *b)
{
    uint32_t o = kc_bytes_below(b, RM_BYTES);
    uint32_t n = 1 + kc_bytes_u8(b);
    uint32_t step = 1 + kc_bytes_below(b, 4);
    for (; n != 0 && o < RM_BYTES; n--, o += step) {
        struct kc_region r = {kc_ia(m->origin + o), 1, KC_REGION_KERNEL, KC_REGION_READ,
                              KC_REGION_FROM_NONE,  n, "small"};
        if (m->at[o] == RM_NONE && m->count != RM_REGIONS) {
            if (kc_region_add(map, &r) != KC_OK) {
                return "add: OK was due for a small one";
            }
            rm_put(m, rm_free_id(m), &r);
            m->count++;
        }
    }
    return NULL;
}

static inline void rm_forget(struct region_model *m, uint16_t id)
{
    m->used[id] = false;
    m->count--;
    for (uint32_t i = 0; i < RM_BYTES; i++) {
        m->at[i] = m->at[i] == id ? (uint16_t)RM_NONE : m->at[i];
    }
}

/* Remove the regions that begin in a window, all or every second one. */
static inline const char *rm_op_clear(struct region_model *m, struct kc_region_map *map,
                                      struct kc_bytes *b)
{
    uint32_t o = kc_bytes_below(b, RM_BYTES);
    uint32_t n = kc_bytes_below(b, RM_BYTES);
    uint32_t step = 1 + kc_bytes_below(b, 2);
    for (; n != 0 && o < RM_BYTES; n--, o += step) {
        uint16_t id = m->at[o];
        if (id == RM_NONE || rm_offset(m, kc_ia_raw(m->region[id].base)) != o) {
            continue;
        }
        if (kc_region_remove(map, m->region[id].base, m->region[id].size, NULL) != KC_OK) {
            return "remove: OK was due for one of many";
        }
        rm_forget(m, id);
    }
    return NULL;
}

/* A range that often is exactly a region. */
static inline kc_ia_range_t rm_range(const struct region_model *m, struct kc_bytes *b)
{
    uint32_t id = kc_bytes_below(b, RM_REGIONS);
    if (kc_bytes_below(b, 3) == 0 || !m->used[id]) {
        uint64_t base = rm_address(m, b);
        return kc_ia_range(kc_ia(base), rm_size(b));
    }
    return kc_ia_range(m->region[id].base, m->region[id].size + (kc_bytes_below(b, 8) == 0));
}

/* What remove and set_perms say of a range. */
static inline kc_status_t rm_exact(const struct region_model *m, kc_ia_range_t r)
{
    uint16_t id = rm_region_at(m, kc_ia_raw(r.base));
    if (id == RM_NONE || !kc_ia_eq(m->region[id].base, r.base)) {
        return KC_ERR_ABSENT;
    }
    return m->region[id].size == r.size ? KC_OK : KC_ERR_SPAN;
}

static inline const char *rm_op_remove(struct region_model *m, struct kc_region_map *map,
                                       struct kc_bytes *b)
{
    kc_ia_range_t r = rm_range(m, b);
    struct kc_region removed;
    kc_status_t due = rm_exact(m, r);
    if (kc_region_remove(map, r.base, r.size, &removed) != due) {
        return "remove: another status was due";
    }
    if (due != KC_OK) {
        return NULL;
    }
    uint16_t id = rm_region_at(m, kc_ia_raw(r.base));
    if (!rm_region_is(&removed, &m->region[id])) {
        return "remove: another region was there";
    }
    rm_forget(m, id);
    return NULL;
}

static inline const char *rm_op_set_perms(struct region_model *m, struct kc_region_map *map,
                                          struct kc_bytes *b)
{
    kc_ia_range_t r = rm_range(m, b);
    uint32_t perms = kc_bytes_below(b, 9);
    kc_status_t due = perms > KC_REGION_PERMS ? KC_ERR_ARG : rm_exact(m, r);
    if (kc_region_set_perms(map, r.base, r.size, perms) != due) {
        return "set_perms: another status was due";
    }
    if (due == KC_OK) {
        m->region[rm_region_at(m, kc_ia_raw(r.base))].perms = perms;
    }
    return NULL;
}

static inline const char *rm_op_split(struct region_model *m, struct kc_region_map *map,
                                      struct kc_bytes *b)
{
    uint64_t at = rm_address(m, b);
    uint16_t id = rm_region_at(m, at);
    kc_status_t s = kc_region_split(map, kc_ia(at));
    if (id == RM_NONE) {
        return s == KC_ERR_ABSENT ? NULL : "split: ABSENT was due";
    }
    if (kc_ia_raw(m->region[id].base) == at) {
        return s == KC_ERR_STATE ? NULL : "split: STATE was due";
    }
    if (m->count == RM_REGIONS) {
        return s == KC_ERR_NOMEM ? NULL : "split: NOMEM was due";
    }
    struct kc_region tail = m->region[id];
    m->region[id].size = at - kc_ia_raw(tail.base);
    tail.base = kc_ia(at);
    tail.size -= m->region[id].size;
    rm_put(m, rm_free_id(m), &tail);
    m->count++;
    return s == KC_OK ? NULL : "split: OK was due";
}

/* The answer by looking at every byte of the access. */
static inline enum kc_region_answer rm_answer(const struct region_model *m,
                                              const struct kc_region_access *a)
{
    uint64_t base = kc_ia_raw(a->base);
    if (a->size == 0) {
        return KC_REGION_EMPTY;
    }
    if (rm_wraps(base, a->size)) {
        return KC_REGION_WRAPS;
    }
    uint16_t id = rm_region_at(m, base);
    if (id == RM_NONE) {
        return KC_REGION_UNKNOWN;
    }
    for (uint64_t i = 0; i < a->size; i++) {
        if (i >= RM_BYTES || rm_region_at(m, base + i) != id) {
            return KC_REGION_SPANS;
        }
    }
    if (m->region[id].kind != a->kind) {
        return KC_REGION_WRONG_KIND;
    }
    return (a->perms & m->region[id].perms) == a->perms ? KC_REGION_OK : KC_REGION_NO_PERMISSION;
}

/* The region that a byte of the model is in, as kc_region_why() says it; size 0 for none. */
static inline bool rm_is_at(const struct region_model *m, const struct kc_region *r, uint64_t o)
{
    return o < RM_BYTES && m->at[o] != RM_NONE ? rm_region_is(r, &m->region[m->at[o]])
                                               : r->size == 0;
}

/* The lowest byte that may not be accessed, by trying all; the access is not OK. */
static inline uint64_t rm_first_bad(const struct region_model *m, const struct kc_region_access *a)
{
    uint16_t id = rm_region_at(m, kc_ia_raw(a->base));
    uint64_t at = kc_ia_raw(a->base);
    while (id != RM_NONE && rm_region_at(m, at) == id) {
        at++;
    }
    return at;
}

/* What why and explain say, beside looking to both sides byte by byte. */
static inline const char *rm_why(const struct region_model *m, const struct kc_region_map *map,
                                 const struct kc_region_access *a, enum kc_region_answer due)
{
    char line[512];
    char tiny[20];
    struct kc_region_why w;
    uint64_t base = kc_ia_raw(a->base);
    uint64_t o = rm_offset(m, base);
    kc_region_why(map, a, &w);
    if (w.answer != due || !rm_is_at(m, &w.region, o)) {
        return "why: another answer or region";
    }
    uint64_t byte = due == KC_REGION_WRAPS   ? UINT64_MAX
                    : due == KC_REGION_SPANS ? rm_first_bad(m, a)
                                             : base;
    if (kc_ia_raw(w.byte) != byte) {
        return "why: another byte is to blame";
    }
    if (o < RM_BYTES) { /* outside, the model has no neighbours to both sides */
        uint64_t below = o;
        uint64_t above = o;
        while (below < RM_BYTES && (m->at[below] == RM_NONE || m->at[below] == m->at[o])) {
            below--; /* ends as a huge number */
        }
        while (above < RM_BYTES && (m->at[above] == RM_NONE || m->at[above] == m->at[o])) {
            above++;
        }
        if (!rm_is_at(m, &w.before, below) || !rm_is_at(m, &w.after, above)) {
            return "why: another neighbour";
        }
    }
    size_t n = kc_region_explain(&w, line, sizeof(line));
    if (n >= sizeof(line) || line[n] != '\0') {
        return "explain: the line does not end";
    }
    const char *name = kc_region_answer_name(due);
    for (size_t i = 0; name[i] != '\0'; i++) {
        if (line[i] != name[i]) {
            return "explain: another answer than check_access";
        }
    }
    if (kc_region_explain(&w, tiny, sizeof(tiny)) != n || tiny[sizeof(tiny) - 1] != '\0' ||
        kc_region_explain(&w, NULL, 0) != n) {
        return "explain: a short buffer changes the length";
    }
    return NULL;
}

static inline const char *rm_op_access(const struct region_model *m,
                                       const struct kc_region_map *map, struct kc_bytes *b)
{
    struct kc_region_access a = {kc_ia(rm_address(m, b)), rm_size(b), kc_bytes_below(b, 5),
                                 kc_bytes_below(b, 8)};
    struct kc_region hit;
    struct kc_region found;
    enum kc_region_answer due = rm_answer(m, &a);
    uint16_t id = rm_region_at(m, kc_ia_raw(a.base));
    if (kc_region_check_access(map, &a, &hit) != due) {
        return "check_access: another answer was due";
    }
    if ((hit.size == 0) != (id == RM_NONE) ||
        (hit.size != 0 && !rm_region_is(&hit, &m->region[id])) ||
        kc_region_find(map, a.base, &found) != (hit.size != 0) ||
        (hit.size != 0 && !rm_region_is(&found, &hit))) {
        return "check_access: another region was hit";
    }
    return rm_why(m, map, &a, due);
}

/* The lowest place, by trying every address of the window. */
static inline const char *rm_op_gap(const struct region_model *m, struct kc_region_map *map,
                                    struct kc_bytes *b)
{
    uint64_t o = kc_bytes_below(b, RM_BYTES);
    uint64_t size = kc_bytes_below(b, 2) == 0 ? RM_BYTES - o : kc_bytes_below(b, RM_BYTES);
    size = size < RM_BYTES - o ? size : RM_BYTES - o;
    uint64_t bytes = kc_bytes_below(b, 16) == 0 ? rm_size(b) : kc_bytes_below(b, 64);
    uint64_t align = KC_BIT(kc_bytes_below(b, 7));
    uint64_t guard = kc_bytes_below(b, 24) == 0 ? rm_size(b) : kc_bytes_below(b, 12);
    kc_ia_range_t window = kc_ia_range(kc_ia(m->origin + o), size);
    kc_ia_t out = kc_ia(77);
    if (kc_bytes_below(b, 24) == 0) {
        align += 1 + kc_bytes_below(b, 3);
    }
    kc_status_t s = kc_region_find_gap(map, window, bytes, align, guard, &out);
    if (bytes == 0 || (align & (align - 1)) != 0) {
        return s == KC_ERR_ARG && kc_ia_raw(out) == 77 ? NULL : "find_gap: ARG was due";
    }
    for (uint64_t at = o; at < o + size; at++) {
        if ((m->origin + at) % align != 0 || guard > at - o || bytes > o + size - at ||
            guard > o + size - at - bytes) {
            continue;
        }
        bool is_free = true;
        for (uint64_t i = at - guard; i < at + bytes + guard; i++) {
            is_free = is_free && m->at[i] == RM_NONE;
        }
        if (is_free) {
            return s == KC_OK && kc_ia_raw(out) == m->origin + at
                       ? NULL
                       : "find_gap: not the lowest place";
        }
    }
    return s == KC_ERR_NOMEM && kc_ia_raw(out) == 77 ? NULL : "find_gap: NOMEM was due";
}

/* Does the real map list the same regions, in order? */
static inline const char *rm_compare(const struct region_model *m, const struct kc_region_map *map)
{
    struct kc_region r;
    bool more = kc_region_next(map, kc_ia(0), &r);
    if (kc_region_map_check(map, NULL) != KC_OK) {
        return "kc_region_map_check() found a broken invariant";
    }
    for (uint32_t o = 0; o < RM_BYTES; o++) {
        uint16_t id = m->at[o];
        if (id == RM_NONE || kc_ia_raw(m->region[id].base) != m->origin + o) {
            continue;
        }
        if (!more || !rm_region_is(&r, &m->region[id])) {
            return "the map lists another region than the model";
        }
        more = kc_region_after(map, &r, &r);
    }
    return kc_region_count(map) == m->count && !more
               ? NULL
               : "the map has another number of regions than the model";
}

/* One whole story: a space, then operations until the bytes end. */
static inline const char *region_model_run(struct kc_bytes *b)
{
    static const uint64_t origins[] = {0, UINT64_MAX - RM_BYTES + 1, 0xffff800000000000u,
                                       0x7fffffffffffff00u};
    static struct region_model m;
    static struct kc_region_node node[KC_REGION_NODES(RM_REGIONS)];
    static struct kc_region_map map;
    const char *wrong = NULL;

    __builtin_memset(&m, 0, sizeof(m));
    m.origin = origins[kc_bytes_below(b, 4)];
    for (uint32_t i = 0; i < RM_BYTES; i++) {
        m.at[i] = RM_NONE;
    }
    if (kc_region_map_init(&map, "model", node, KC_REGION_NODES(RM_REGIONS)) != KC_OK ||
        kc_region_limit(&map) != RM_REGIONS) {
        return "init: OK and that limit were due";
    }
    while (wrong == NULL && !kc_bytes_is_empty(b)) {
        switch (kc_bytes_below(b, 12)) {
        case 0:
        case 1:
        case 2:
        case 3:
            wrong = rm_op_add(&m, &map, b);
            break;
        case 4:
            wrong = rm_op_remove(&m, &map, b);
            break;
        case 5:
            wrong = rm_op_set_perms(&m, &map, b);
            break;
        case 6:
            wrong = rm_op_split(&m, &map, b);
            break;
        case 7:
            wrong = rm_op_fill(&m, &map, b);
            break;
        case 8:
            wrong = rm_op_clear(&m, &map, b);
            break;
        case 9:
            wrong = rm_op_gap(&m, &map, b);
            break;
        default:
            wrong = rm_op_access(&m, &map, b);
            break;
        }
        if (wrong == NULL) {
            wrong = rm_compare(&m, &map);
        }
    }
    return wrong;
}

#endif
