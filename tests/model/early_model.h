/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * early_model.h: slow, obviously right twin of kc/early.h, and a decoder of bytes into operations
 * on both.
 *
 * Two parts. *Judging*: what boot information may be refused with, as a set of statuses, each rule
 * written down by itself; kc_early_init() must refuse if and only if the set is not empty, with one
 * of its members. *Operating*: a space of 64 pages as an array with one entry per 512 bytes, which
 * says what is there; after each operation the whole map must say the same.
 */
#ifndef EARLY_MODEL_H
#define EARLY_MODEL_H

#include <kc/early.h>

#include "kc_bytes.h"
#include "mem/early_priv.h"

#define EM_UNIT  512u
#define EM_PAGES 64u
#define EM_UNITS (EM_PAGES * (4096u / EM_UNIT))

/* Entries of the array beside the kinds. */
#define EM_NO_RAM 254u
#define EM_FREE   255u

/* ---- judging -------------------------------------------------------------------------------- */

static inline bool em_inside(uint32_t kind)
{
    return kind == KC_BOOT_RESERVED || kind == KC_BOOT_NOMAP || kind == KC_BOOT_TEXT ||
           kind == KC_BOOT_RODATA || kind == KC_BOOT_DATA || kind == KC_BOOT_INITRD ||
           kind == KC_BOOT_DTB;
}

static inline bool em_page_kind(uint32_t kind)
{
    return kind == KC_BOOT_RAM || kind == KC_BOOT_MMIO || kind == KC_BOOT_TEXT ||
           kind == KC_BOOT_RODATA || kind == KC_BOOT_DATA || kind == KC_BOOT_NOMAP;
}

/* Last byte of a range of at least one byte; false if it has none. */
static inline bool em_last(uint64_t base, uint64_t size, uint64_t *last)
{
    if (size == 0 || base + (size - 1) < base) {
        return false;
    }
    *last = base + (size - 1);
    return true;
}

static inline bool em_overlap(uint64_t a, uint64_t a_last, uint64_t b, uint64_t b_last)
{
    return a <= b_last && b <= a_last;
}

static inline bool em_is_ram(const struct kc_boot_info *bi, uint64_t at)
{
    for (uint32_t i = 0; i < bi->range_count; i++) {
        uint64_t last;
        uint64_t base = kc_pa_raw(bi->range[i].base);
        if (bi->range[i].kind == KC_BOOT_RAM && em_last(base, bi->range[i].size, &last) &&
            at >= base && at <= last) {
            return true;
        }
    }
    return false;
}

/* All of base..last is RAM: its first byte is, and so is what follows each RAM range that ends in
 * it. */
static inline bool em_all_ram(const struct kc_boot_info *bi, uint64_t base, uint64_t last)
{
    if (!em_is_ram(bi, base)) {
        return false;
    }
    for (uint32_t i = 0; i < bi->range_count; i++) {
        uint64_t ram_last;
        if (bi->range[i].kind == KC_BOOT_RAM &&
            em_last(kc_pa_raw(bi->range[i].base), bi->range[i].size, &ram_last) &&
            ram_last >= base && ram_last < last && !em_is_ram(bi, ram_last + 1)) {
            return false;
        }
    }
    return true;
}

#define EM_MAY(s) (1u << (s))

static inline uint32_t em_judge_window(uint64_t base, uint64_t size)
{
    uint32_t set = 0;
    uint64_t last;
    if (size != 0) {
        if (base % KC_MIB(2) != 0 || size % KC_MIB(2) != 0) {
            set |= EM_MAY(KC_ERR_ALIGN);
        }
        if (!em_last(base, size, &last)) {
            set |= EM_MAY(KC_ERR_RANGE);
        }
    }
    return set;
}

static inline bool em_windows_meet(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    uint64_t a_last;
    uint64_t b_last;
    return em_last(a, a_size, &a_last) && em_last(b, b_size, &b_last) &&
           em_overlap(a, a_last, b, b_last);
}

/* Every status that some rule of kc_early_init() calls for; 0: the information is good. */
static inline uint32_t em_judge(const struct kc_boot_info *bi)
{
    uint32_t set = 0;
    bool ends = false;
    bool has_ram = false;
    if (bi->version != KC_BOOT_VERSION) {
        set |= EM_MAY(KC_ERR_UNSUPPORTED);
    }
    if (bi->cpu_count < 1 || bi->cpu_count > KC_CPUS_MAX) {
        set |= EM_MAY(KC_ERR_RANGE);
    }
    for (uint32_t i = 0; i < KC_BOOT_CMDLINE_MAX; i++) {
        ends = ends || bi->cmdline[i] == '\0';
    }
    if (!ends) {
        set |= EM_MAY(KC_ERR_ARG);
    }
    if (bi->range_count < 1 || bi->range_count > KC_BOOT_RANGES_MAX) {
        return set | EM_MAY(KC_ERR_RANGE);
    }
    set |= em_judge_window(bi->dynamic_base, bi->dynamic_bytes);
    set |= em_judge_window(bi->user_base, bi->user_bytes);
    if (em_windows_meet(bi->dynamic_base, bi->dynamic_bytes, bi->user_base, bi->user_bytes)) {
        set |= EM_MAY(KC_ERR_EXISTS);
    }
    for (uint32_t i = 0; i < bi->range_count; i++) {
        const struct kc_boot_range *r = &bi->range[i];
        uint64_t base = kc_pa_raw(r->base);
        uint64_t last;
        if (r->kind >= KC_BOOT_KIND_COUNT || r->size == 0) {
            set |= EM_MAY(KC_ERR_ARG);
            continue;
        }
        if (em_page_kind(r->kind) && (base % 4096 != 0 || r->size % 4096 != 0)) {
            set |= EM_MAY(KC_ERR_ALIGN);
        }
        if (!em_last(base, r->size, &last) || last >= UINT64_C(1) << 52) {
            set |= EM_MAY(KC_ERR_RANGE);
            continue;
        }
        has_ram = has_ram || r->kind == KC_BOOT_RAM;
        if (em_inside(r->kind) && !em_all_ram(bi, base, last)) {
            set |= EM_MAY(KC_ERR_RANGE);
        }
        if (r->kind == KC_BOOT_RAM || r->kind == KC_BOOT_MMIO) {
            uint64_t va_last;
            if (!em_last(bi->linear_base + base, r->size, &va_last)) {
                set |= EM_MAY(KC_ERR_RANGE);
            } else if (em_windows_meet(bi->linear_base + base, r->size, bi->dynamic_base,
                                       bi->dynamic_bytes) ||
                       em_windows_meet(bi->linear_base + base, r->size, bi->user_base,
                                       bi->user_bytes)) {
                set |= EM_MAY(KC_ERR_EXISTS);
            }
        }
        for (uint32_t j = 0; j < i; j++) {
            const struct kc_boot_range *o = &bi->range[j];
            uint64_t o_base = kc_pa_raw(o->base);
            uint64_t o_last;
            if (o->kind >= KC_BOOT_KIND_COUNT || !em_last(o_base, o->size, &o_last) ||
                !em_overlap(base, last, o_base, o_last)) {
                continue;
            }
            bool nested = (r->kind == KC_BOOT_RAM && em_inside(o->kind)) ||
                          (o->kind == KC_BOOT_RAM && em_inside(r->kind));
            bool tolerated = (r->kind == KC_BOOT_RESERVED && em_inside(o->kind)) ||
                             (o->kind == KC_BOOT_RESERVED && em_inside(r->kind));
            if (!nested && !tolerated) {
                set |= EM_MAY(KC_ERR_EXISTS);
            }
        }
    }
    return has_ram ? set : set | EM_MAY(KC_ERR_ABSENT);
}

/* ---- the array ------------------------------------------------------------------------------ */

struct early_model {
    uint64_t origin;
    uint8_t unit[EM_UNITS];
};

/* Units of a range that lies in the model's space, unit-aligned. */
static inline void em_paint(struct early_model *m, uint64_t base, uint64_t size, uint32_t kind,
                            bool only_free)
{
    for (uint64_t at = base; at - base < size; at += EM_UNIT) {
        uint8_t *u = &m->unit[(at - m->origin) / EM_UNIT];
        if (!only_free || *u == EM_FREE) {
            *u = (uint8_t)kind;
        }
    }
}

static inline void em_init(struct early_model *m, uint64_t origin, const struct kc_boot_info *bi)
{
    m->origin = origin;
    for (uint32_t u = 0; u < EM_UNITS; u++) {
        m->unit[u] = EM_NO_RAM;
    }
    for (uint32_t pass = 0; pass < 3; pass++) { /* RAM, then what is in it, RESERVED last */
        for (uint32_t i = 0; i < bi->range_count; i++) {
            const struct kc_boot_range *r = &bi->range[i];
            if (pass == 0 && r->kind == KC_BOOT_RAM) {
                em_paint(m, kc_pa_raw(r->base), r->size, EM_FREE, false);
            } else if (pass == 1 && em_inside(r->kind) && r->kind != KC_BOOT_RESERVED) {
                em_paint(m, kc_pa_raw(r->base), r->size, r->kind, false);
            } else if (pass == 2 && r->kind == KC_BOOT_RESERVED) {
                em_paint(m, kc_pa_raw(r->base), r->size, r->kind, true);
            }
        }
    }
}

static inline bool em_all_are(const struct early_model *m, uint64_t u, uint64_t count, uint8_t what)
{
    for (uint64_t i = 0; i < count; i++) {
        if (u + i >= EM_UNITS || m->unit[u + i] != what) {
            return false;
        }
    }
    return true;
}

/* Does the real map say of every unit what the model says? */
static inline const char *em_compare(const struct early_model *m, const struct kc_early *e)
{
    static struct early_model seen;
    uint64_t ram = 0;
    uint64_t taken = 0;
    uint32_t cursor = 0;
    uint32_t kind;
    kc_pa_range_t r;

    seen.origin = m->origin;
    for (uint32_t u = 0; u < EM_UNITS; u++) {
        seen.unit[u] = EM_NO_RAM;
        ram += m->unit[u] != EM_NO_RAM ? EM_UNIT : 0;
        taken += m->unit[u] != EM_NO_RAM && m->unit[u] != EM_FREE ? EM_UNIT : 0;
    }
    while (kc_early_next_ram(e, &cursor, &r)) {
        em_paint(&seen, kc_pa_raw(r.base), r.size, EM_FREE, false);
    }
    for (cursor = 0; kc_early_next_taken(e, &cursor, &r, &kind);) {
        em_paint(&seen, kc_pa_raw(r.base), r.size, kind, false);
    }
    for (uint32_t u = 0; u < EM_UNITS; u++) {
        if (seen.unit[u] != m->unit[u]) {
            return "the map disagrees with the model about a byte";
        }
    }
    if (ram != kc_early_ram_bytes(e) || taken != kc_early_taken_bytes(e)) {
        return "the map disagrees with the model about a total";
    }

    /* Free runs: exactly the longest stretches of pages of which every unit is free. */
    const uint32_t per_page = 4096 / EM_UNIT;
    cursor = 0;
    for (uint32_t page = 0; page < EM_PAGES;) {
        uint32_t end = page;
        while (end < EM_PAGES && em_all_are(m, end * per_page, per_page, EM_FREE)) {
            end++;
        }
        if (end == page) {
            page++;
            continue;
        }
        if (!kc_early_next_free(e, &cursor, &r)) {
            return "a free run is missing";
        }
        if (kc_pa_raw(r.base) != m->origin + page * 4096u || r.size != (end - page) * 4096u) {
            return "a free run differs";
        }
        page = end;
    }
    if (kc_early_next_free(e, &cursor, &r)) {
        return "a free run too many";
    }
    return kc_early_check(e, NULL) == KC_OK ? NULL : "kc_early_check() found a broken invariant";
}

/* ---- operations on both --------------------------------------------------------------------- */

static inline const char *em_op_alloc(struct early_model *m, struct kc_early *e, struct kc_bytes *b)
{
    uint64_t units = kc_bytes_below(b, 4) == 0 ? kc_bytes_below(b, 80) : kc_bytes_below(b, 10);
    uint64_t align = KC_BIT(kc_bytes_below(b, 18));
    if (kc_bytes_below(b, 16) == 0) {
        align += kc_bytes_below(b, 3); /* often no power of two */
    }
    bool full = e->taken_count == KC_EARLY_TAKEN_MAX;
    kc_pa_t out = kc_pa(42);
    kc_status_t s = kc_early_alloc(e, units * EM_UNIT, align, &out);
    if (units == 0 || (align & (align - 1)) != 0) {
        return s == KC_ERR_ARG && kc_pa_raw(out) == 42 ? NULL : "alloc: ARG was due";
    }
    for (uint64_t u = EM_UNITS; u-- > 0;) { /* from the top: the first place that fits */
        uint64_t at = m->origin + u * EM_UNIT;
        if (at % align != 0 || !em_all_are(m, u, units, EM_FREE)) {
            continue;
        }
        if (s == KC_ERR_NOMEM && full) {
            return NULL;
        }
        if (s != KC_OK || kc_pa_raw(out) != at) {
            return "alloc: not the highest place that fits";
        }
        em_paint(m, at, units * EM_UNIT, KC_EARLY_ALLOCATED, false);
        return NULL;
    }
    return s == KC_ERR_NOMEM && kc_pa_raw(out) == 42 ? NULL : "alloc: NOMEM was due";
}

static inline const char *em_op_free(struct early_model *m, struct kc_early *e, struct kc_bytes *b)
{
    uint64_t u = kc_bytes_below(b, EM_UNITS);
    uint64_t units = kc_bytes_below(b, 24);
    uint64_t at = m->origin + u * EM_UNIT;
    if (kc_bytes_below(b, 32) == 0) {
        return kc_early_free(e, kc_pa(at), UINT64_MAX) == KC_ERR_ABSENT ? NULL : "free: wraps";
    }
    bool full = e->taken_count == KC_EARLY_TAKEN_MAX;
    kc_status_t s = kc_early_free(e, kc_pa(at), units * EM_UNIT);
    if (units == 0) {
        return s == KC_ERR_ARG ? NULL : "free: ARG was due";
    }
    if (!em_all_are(m, u, units, (uint8_t)KC_EARLY_ALLOCATED)) {
        return s == KC_ERR_ABSENT ? NULL : "free: ABSENT was due";
    }
    if (s == KC_ERR_NOMEM && full) {
        return NULL;
    }
    em_paint(m, at, units * EM_UNIT, EM_FREE, false);
    return s == KC_OK ? NULL : "free: OK was due";
}

static inline const char *em_op_reserve(struct early_model *m, struct kc_early *e,
                                        struct kc_bytes *b)
{
    uint32_t kind = kc_bytes_below(b, KC_BOOT_KIND_COUNT + 2);
    uint64_t u = kc_bytes_below(b, EM_UNITS);
    uint64_t units = kc_bytes_below(b, 64);
    if (kc_bytes_below(b, 4) != 0) {
        u &= ~(uint64_t)7;
        units &= ~(uint64_t)7;
    }
    uint64_t at = m->origin + u * EM_UNIT;
    bool nearly_full = e->taken_count + units + 2 > KC_EARLY_TAKEN_MAX;
    kc_status_t s = kc_early_reserve(e, kc_pa_range(kc_pa(at), units * EM_UNIT), kind);
    if (!em_inside(kind) || units == 0) {
        return s == KC_ERR_ARG ? NULL : "reserve: ARG was due";
    }
    bool misaligned = em_page_kind(kind) && (at % 4096 != 0 || units % 8 != 0);
    bool outside = false;
    bool taken = false;
    for (uint64_t i = u; i < u + units; i++) {
        uint8_t what = i < EM_UNITS ? m->unit[i] : EM_NO_RAM;
        outside = outside || what == EM_NO_RAM;
        taken = taken || (what != EM_NO_RAM && what != EM_FREE && what != KC_BOOT_RESERVED &&
                          (what == KC_EARLY_ALLOCATED || kind != KC_BOOT_RESERVED));
    }
    uint32_t due = (misaligned ? EM_MAY(KC_ERR_ALIGN) : 0) | (outside ? EM_MAY(KC_ERR_RANGE) : 0) |
                   (taken ? EM_MAY(KC_ERR_EXISTS) : 0);
    if (s == KC_ERR_NOMEM && nearly_full && due == 0) {
        return NULL;
    }
    if (due != 0) {
        return (due & EM_MAY(s)) != 0 ? NULL : "reserve: another refusal was due";
    }
    em_paint(m, at, units * EM_UNIT, kind, kind == KC_BOOT_RESERVED);
    return s == KC_OK ? NULL : "reserve: OK was due";
}

/* ---- decoders ------------------------------------------------------------------------------- */

static inline void em_add_range(struct kc_boot_info *bi, uint64_t base, uint64_t size,
                                uint32_t kind)
{
    struct kc_boot_range *r = &bi->range[bi->range_count++];
    r->base = kc_pa(base);
    r->size = size;
    r->kind = kind;
}

/* Boot information about the model's space: often good. */
static inline void em_decode_small(struct kc_bytes *b, struct kc_boot_info *bi, uint64_t origin)
{
    uint32_t rams = 1 + kc_bytes_below(b, 4);
    uint32_t page = 0;
    bi->version = KC_BOOT_VERSION;
    bi->cpu_count = 1;
    for (uint32_t i = 0; i < rams && page < EM_PAGES; i++) {
        page += kc_bytes_below(b, 3) * kc_bytes_below(b, 4); /* often 0: they touch */
        uint32_t pages = 1 + kc_bytes_below(b, 40);
        if (page < EM_PAGES) {
            pages = pages < EM_PAGES - page ? pages : EM_PAGES - page;
            em_add_range(bi, origin + page * 4096u, pages * 4096u, KC_BOOT_RAM);
            page += pages;
        }
    }
    uint32_t others = kc_bytes_below(b, 10);
    for (uint32_t i = 0; i < others; i++) {
        uint32_t kind = 1 + kc_bytes_below(b, KC_BOOT_KIND_COUNT - 2);
        uint64_t u = kc_bytes_below(b, EM_UNITS - 1);
        uint64_t units = 1 + kc_bytes_below(b, 20);
        if (kc_bytes_below(b, 8) != 0 && kind != KC_BOOT_RESERVED) {
            u &= ~(uint64_t)7;
            units = (units + 7) & ~(uint64_t)7;
        }
        if (u + units <= EM_UNITS) {
            em_add_range(bi, origin + u * EM_UNIT, units * EM_UNIT, kind);
        }
    }
}

/* A number that somebody hostile, or a broken table, might hold. */
static inline uint64_t em_wild(struct kc_bytes *b)
{
    uint64_t v = KC_BIT(kc_bytes_below(b, 64)) * kc_bytes_below(b, 5);
    switch (kc_bytes_below(b, 6)) {
    case 0:
        return kc_bytes_u64(b);
    case 1:
        return v - 4096u;
    case 2:
        return v + 4096u * kc_bytes_below(b, 8);
    case 3:
        return UINT64_MAX - (uint64_t)kc_bytes_u8(b) * 4096u;
    case 4:
        return (uint64_t)kc_bytes_u8(b) * 4096u;
    default:
        return v;
    }
}

static inline void em_decode_wild(struct kc_bytes *b, struct kc_boot_info *bi)
{
    uint32_t flaw = kc_bytes_below(b, 16);
    uint32_t ranges = 1 + kc_bytes_below(b, 12);
    bi->version = flaw == 1 ? kc_bytes_u32(b) : KC_BOOT_VERSION;
    bi->cpu_count = flaw == 2 ? kc_bytes_u32(b) : 1 + kc_bytes_below(b, KC_CPUS_MAX);
    bi->linear_base = kc_bytes_below(b, 2) == 0 ? 0 : em_wild(b);
    if (kc_bytes_below(b, 4) == 0) {
        bi->dynamic_base = em_wild(b);
        bi->dynamic_bytes = em_wild(b);
    }
    if (kc_bytes_below(b, 4) == 0) {
        bi->user_base = em_wild(b);
        bi->user_bytes = em_wild(b);
    }
    for (uint32_t i = 0; i < ranges; i++) {
        uint32_t kind = i == 0 ? (uint32_t)KC_BOOT_RAM : kc_bytes_below(b, KC_BOOT_KIND_COUNT + 1);
        uint64_t base = em_wild(b);
        em_add_range(bi, base, em_wild(b), kind);
    }
    if (flaw == 3) {
        bi->range_count = kc_bytes_u32(b);
    }
    if (flaw == 4) {
        for (uint32_t i = 0; i < KC_BOOT_CMDLINE_MAX; i++) {
            bi->cmdline[i] = 'x';
        }
    }
}

static inline bool em_same_bytes(const void *a, const void *b, size_t n)
{
    const uint8_t *p = a;
    const uint8_t *q = b;
    for (size_t i = 0; i < n; i++) {
        if (p[i] != q[i]) {
            return false;
        }
    }
    return true;
}

/* Initialise from bi and compare with the judgement; *good tells whether there is a map now. */
static inline const char *em_try_init(struct kc_early *e, const struct kc_boot_info *bi, bool *good)
{
    static struct kc_early before;
    __builtin_memset(e, 0xa5, sizeof(*e));
    before = *e;
    uint32_t due = em_judge(bi);
    kc_status_t s = kc_early_init(e, bi);
    *good = s == KC_OK;
    if (s == KC_OK) {
        return due == 0 ? NULL : "init: accepted what a rule forbids";
    }
    if ((due & EM_MAY(s)) == 0) {
        return "init: refused with a status that no rule calls for";
    }
    return em_same_bytes(&before, e, sizeof(before)) ? NULL : "init: refused, yet wrote";
}

/* Memory from a map that is too large for the array: what must hold of it all the same. */
static inline const char *em_run_wild(struct kc_early *e, const struct kc_boot_info *bi,
                                      struct kc_bytes *b)
{
    static kc_pa_range_t got[32];
    for (uint32_t n = 0; n < 32 && !kc_bytes_is_empty(b); n++) {
        uint64_t bytes = em_wild(b);
        uint64_t align = KC_BIT(kc_bytes_below(b, 64));
        kc_pa_t at;
        got[n] = kc_pa_range(kc_pa(0), 0);
        if (kc_early_alloc(e, bytes, align, &at) != KC_OK) {
            continue;
        }
        got[n] = kc_pa_range(at, bytes);
        uint64_t last;
        if (!em_last(kc_pa_raw(at), bytes, &last) || kc_pa_raw(at) % align != 0 ||
            !em_all_ram(bi, kc_pa_raw(at), last)) {
            return "alloc: misaligned, or not RAM";
        }
        for (uint32_t i = 0; i < bi->range_count; i++) {
            uint64_t taken_last;
            uint64_t base = kc_pa_raw(bi->range[i].base);
            if (bi->range[i].kind != KC_BOOT_RAM && em_last(base, bi->range[i].size, &taken_last) &&
                em_overlap(kc_pa_raw(at), last, base, taken_last)) {
                return "alloc: gave out what is reserved";
            }
        }
        for (uint32_t i = 0; i < n; i++) {
            uint64_t other_last;
            uint64_t base = kc_pa_raw(got[i].base);
            if (em_last(base, got[i].size, &other_last) &&
                em_overlap(kc_pa_raw(at), last, base, other_last)) {
                return "alloc: gave out the same twice";
            }
        }
        if (kc_early_check(e, NULL) != KC_OK) {
            return "kc_early_check() found a broken invariant";
        }
    }
    return NULL;
}

/* One whole story: boot information, then operations until the bytes end. */
static inline const char *early_model_run(struct kc_bytes *b)
{
    static struct kc_boot_info bi;
    static struct kc_early e;
    static struct early_model m;
    static const uint64_t origins[] = {0, 0x80000000u, (UINT64_C(1) << 52) - EM_PAGES * 4096u,
                                       (UINT64_C(1) << 40) - 32 * 4096u};
    bool good;
    const char *wrong;

    __builtin_memset(&bi, 0, sizeof(bi));
    if (kc_bytes_below(b, 3) == 0) {
        em_decode_wild(b, &bi);
        wrong = em_try_init(&e, &bi, &good);
        return wrong == NULL && good ? em_run_wild(&e, &bi, b) : wrong;
    }
    uint64_t origin = origins[kc_bytes_below(b, 4)];
    em_decode_small(b, &bi, origin);
    wrong = em_try_init(&e, &bi, &good);
    if (wrong != NULL || !good) {
        return wrong;
    }
    em_init(&m, origin, &bi);
    wrong = em_compare(&m, &e);
    while (wrong == NULL && !kc_bytes_is_empty(b)) {
        switch (kc_bytes_below(b, 8)) {
        case 0:
        case 1:
        case 2:
        case 3:
            wrong = em_op_alloc(&m, &e, b);
            break;
        case 4:
        case 5:
        case 6:
            wrong = em_op_free(&m, &e, b);
            break;
        default:
            wrong = em_op_reserve(&m, &e, b);
            break;
        }
        if (wrong == NULL) {
            wrong = em_compare(&m, &e);
        }
    }
    return wrong;
}

#endif
