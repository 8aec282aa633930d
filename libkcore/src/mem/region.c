/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The region map: a sorted array.
 *
 *     slot   0            1        2                     count        slot_count
 *            [----text---)[--data-)   (gap)   [--heap--) | unused     |
 *
 * R1  count is within slot_count.
 * R2  Each region has at least one byte, a known kind, known permissions and a known source.
 * R3  Each region ends at or before the last byte of the space: base + size - 1 has 64 bits.
 * R4  Regions ascend and do not meet.
 * R5  `bytes` is the sum of the sizes, modulo 2^64.
 *
 * No end address is ever formed, since the last one of the space would be 0: all sums are of the
 * forms of kc/bits.h. A lookup is a binary search for the last region that begins at or before an
 * address, O(log n), 20 steps for a million regions, and touches nothing but the array. Changes
 * move the tail of the array: a region map changes rarely, is read at every fault and every check,
 * and an array is the densest thing to search; a tree would need nodes from somewhere.
 *
 * No lock: kc/region.h says who may call when.
 */
#include "region_priv.h"

#include <kc/fmt.h>

/* ---- names ---------------------------------------------------------------------------------- */

const char *kc_region_answer_name(enum kc_region_answer a)
{
    switch (a) {
    case KC_REGION_OK:
        return "ok";
    case KC_REGION_EMPTY:
        return "empty";
    case KC_REGION_WRAPS:
        return "wraps";
    case KC_REGION_UNKNOWN:
        return "unknown";
    case KC_REGION_SPANS:
        return "spans";
    case KC_REGION_WRONG_KIND:
        return "wrong kind";
    case KC_REGION_NO_PERMISSION:
        return "no permission";
    case KC_REGION_ANSWER_COUNT:
        break;
    }
    return "?";
}

const char *kc_region_kind_name(uint32_t kind)
{
    switch (kind) {
    case KC_REGION_KERNEL:
        return "kernel";
    case KC_REGION_USER:
        return "user";
    case KC_REGION_DEVICE:
        return "device";
    case KC_REGION_MMIO:
        return "mmio";
    default:
        return "?";
    }
}

const char *kc_region_source_name(uint32_t source)
{
    switch (source) {
    case KC_REGION_FROM_NONE:
        return "none";
    case KC_REGION_FROM_EARLY:
        return "early";
    case KC_REGION_FROM_FRAME:
        return "frame";
    case KC_REGION_FROM_POOL:
        return "pool";
    case KC_REGION_FROM_CACHE:
        return "cache";
    case KC_REGION_FROM_HEAP:
        return "heap";
    default:
        return "?";
    }
}

/* ---- search --------------------------------------------------------------------------------- */

static uint64_t base_of(const struct kc_region_map *m, uint32_t i)
{
    return kc_ia_raw(m->slot[i].base);
}

/* How many regions begin at or before an address: the last of them, if any, is the one to look at.
 */
static uint32_t upper(const struct kc_region_map *m, uint64_t at)
{
    uint32_t low = 0;
    uint32_t high = m->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (base_of(m, middle) <= at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Slot of the region that holds an address; false if none does. */
static bool find_slot(const struct kc_region_map *m, uint64_t at, uint32_t *slot)
{
    uint32_t i = upper(m, at);
    if (i == 0 || !kc_range_has(base_of(m, i - 1), m->slot[i - 1].size, at)) {
        return false;
    }
    *slot = i - 1;
    return true;
}

/* Slot of the region that is exactly a range. */
static kc_status_t find_exact(const struct kc_region_map *m, uint64_t base, uint64_t size,
                              uint32_t *slot)
{
    uint32_t i;
    if (!find_slot(m, base, &i) || base_of(m, i) != base) {
        return KC_ERR_ABSENT;
    }
    if (m->slot[i].size != size) {
        return KC_ERR_SPAN;
    }
    *slot = i;
    return KC_OK;
}

/* ---- life cycle and operations -------------------------------------------------------------- */

kc_status_t kc_region_map_init(struct kc_region_map *m, const char *name, struct kc_region *slot,
                               uint32_t slot_count)
{
    if (slot == NULL || slot_count == 0) {
        return KC_ERR_ARG;
    }
    m->name = name;
    m->slot = slot;
    m->slot_count = slot_count;
    m->count = 0;
    m->bytes = 0;
    return KC_OK;
}

static void slot_insert(struct kc_region_map *m, uint32_t at, const struct kc_region *r)
{
    for (uint32_t i = m->count; i > at; i--) {
        m->slot[i] = m->slot[i - 1];
    }
    m->slot[at] = *r;
    m->count++;
}

kc_status_t kc_region_add(struct kc_region_map *m, const struct kc_region *r)
{
    uint64_t base = kc_ia_raw(r->base);
    if (!region_is_sound(r)) {
        return KC_ERR_ARG;
    }
    if (!kc_range_fits(base, r->size)) {
        return KC_ERR_RANGE;
    }
    uint32_t at = upper(m, base);
    bool meets_before =
        at != 0 && kc_range_meets(base_of(m, at - 1), m->slot[at - 1].size, base, r->size);
    bool meets_after =
        at != m->count && kc_range_meets(base_of(m, at), m->slot[at].size, base, r->size);
    if (meets_before || meets_after) {
        return KC_ERR_EXISTS;
    }
    if (m->count == m->slot_count) {
        return KC_ERR_NOMEM;
    }
    slot_insert(m, at, r);
    m->bytes += r->size;
    KC_AUDIT(kc_region_map_check(m, NULL) == KC_OK);
    return KC_OK;
}

kc_status_t kc_region_remove(struct kc_region_map *m, kc_ia_t base, uint64_t size,
                             struct kc_region *removed)
{
    uint32_t at;
    kc_status_t s = find_exact(m, kc_ia_raw(base), size, &at);
    if (s != KC_OK) {
        return s;
    }
    if (removed != NULL) {
        *removed = m->slot[at];
    }
    m->count--;
    for (uint32_t i = at; i < m->count; i++) {
        m->slot[i] = m->slot[i + 1];
    }
    m->bytes -= size;
    KC_AUDIT(kc_region_map_check(m, NULL) == KC_OK);
    return KC_OK;
}

kc_status_t kc_region_split(struct kc_region_map *m, kc_ia_t at)
{
    uint32_t i;
    if (!find_slot(m, kc_ia_raw(at), &i)) {
        return KC_ERR_ABSENT;
    }
    uint64_t head = kc_ia_diff(at, m->slot[i].base);
    if (head == 0) {
        return KC_ERR_STATE;
    }
    if (m->count == m->slot_count) {
        return KC_ERR_NOMEM;
    }
    struct kc_region tail = m->slot[i];
    tail.base = at;
    tail.size -= head;
    m->slot[i].size = head;
    slot_insert(m, i + 1, &tail);
    KC_AUDIT(kc_region_map_check(m, NULL) == KC_OK);
    return KC_OK;
}

kc_status_t kc_region_set_perms(struct kc_region_map *m, kc_ia_t base, uint64_t size,
                                uint32_t perms)
{
    if ((perms & ~KC_REGION_PERMS) != 0) {
        return KC_ERR_ARG;
    }
    uint32_t at;
    kc_status_t s = find_exact(m, kc_ia_raw(base), size, &at);
    if (s == KC_OK) {
        m->slot[at].perms = perms;
    }
    return s;
}

/* ---- queries -------------------------------------------------------------------------------- */

const struct kc_region *kc_region_find(const struct kc_region_map *m, kc_ia_t at)
{
    uint32_t i;
    return find_slot(m, kc_ia_raw(at), &i) ? &m->slot[i] : NULL;
}

const struct kc_region *kc_region_at(const struct kc_region_map *m, uint32_t i)
{
    return i < m->count ? &m->slot[i] : NULL;
}

uint32_t kc_region_count(const struct kc_region_map *m)
{
    return m->count;
}

/* The answer, given the region of the first byte (or NULL). */
static enum kc_region_answer judge(const struct kc_region *r, const struct kc_region_access *a)
{
    if (a->size == 0) {
        return KC_REGION_EMPTY;
    }
    if (!kc_range_fits(kc_ia_raw(a->base), a->size)) {
        return KC_REGION_WRAPS;
    }
    if (r == NULL) {
        return KC_REGION_UNKNOWN;
    }
    if (!kc_range_covers(kc_ia_raw(r->base), r->size, kc_ia_raw(a->base), a->size)) {
        return KC_REGION_SPANS;
    }
    if (r->kind != a->kind) {
        return KC_REGION_WRONG_KIND;
    }
    if ((a->perms & ~r->perms) != 0) {
        return KC_REGION_NO_PERMISSION;
    }
    return KC_REGION_OK;
}

enum kc_region_answer kc_region_check_access(const struct kc_region_map *m,
                                             const struct kc_region_access *a,
                                             const struct kc_region **hit)
{
    const struct kc_region *r = kc_region_find(m, a->base);
    if (hit != NULL) {
        *hit = r;
    }
    return judge(r, a);
}

/*
 * The lowest place in a free stretch first..last (both are bytes of it) for guard, bytes, guard.
 * All that is formed here lies in the stretch, so nothing wraps unless a checked sum says so.
 */
static bool place_in(uint64_t first, uint64_t last, uint64_t bytes, uint64_t align, uint64_t guard,
                     uint64_t *out)
{
    uint64_t at;
    uint64_t need;
    if (!kc_add_u64(first, guard, &at) || !kc_align_up(at, align, &at) ||
        !kc_add_u64(bytes, guard, &need) || at > last || last - at < need - 1) {
        return false;
    }
    *out = at;
    return true;
}

kc_status_t kc_region_find_gap(const struct kc_region_map *m, kc_ia_range_t window, uint64_t bytes,
                               uint64_t align, uint64_t guard, kc_ia_t *out)
{
    if (bytes == 0 || !kc_is_pow2(align)) {
        return KC_ERR_ARG;
    }
    if (!kc_ia_range_fits(window)) {
        return KC_ERR_RANGE;
    }
    if (window.size == 0) {
        return KC_ERR_NOMEM;
    }
    uint64_t first = kc_ia_raw(window.base); /* of the free stretch at hand */
    const uint64_t window_last = first + (window.size - 1);
    uint32_t i = upper(m, first);
    if (i != 0 && kc_range_has(base_of(m, i - 1), m->slot[i - 1].size, first)) {
        i--; /* a region reaches into the window from below */
    }
    for (;; i++) {
        bool is_end = i == m->count || base_of(m, i) > window_last;
        uint64_t at;
        if (is_end || base_of(m, i) > first) {
            uint64_t last = is_end ? window_last : base_of(m, i) - 1;
            if (place_in(first, last, bytes, align, guard, &at)) {
                *out = kc_ia(at);
                return KC_OK;
            }
        }
        if (is_end) {
            return KC_ERR_NOMEM;
        }
        uint64_t region_last = base_of(m, i) + (m->slot[i].size - 1); /* R3 */
        if (region_last >= window_last) {
            return KC_ERR_NOMEM;
        }
        first = region_last + 1;
    }
}

/* ---- words ---------------------------------------------------------------------------------- */

/* "rwx" with dashes; text has 4 bytes. */
static const char *perms_text(uint32_t perms, char *text)
{
    text[0] = (perms & KC_REGION_READ) != 0 ? 'r' : '-';
    text[1] = (perms & KC_REGION_WRITE) != 0 ? 'w' : '-';
    text[2] = (perms & KC_REGION_EXEC) != 0 ? 'x' : '-';
    text[3] = '\0';
    return text;
}

static const char *name_of(const struct kc_region *r)
{
    return r->name != NULL ? r->name : "(no name)";
}

/* What comes after the answer: the reason, in words. */
static size_t explain_reason(const struct kc_region_map *m, const struct kc_region_access *a,
                             const struct kc_region *r, enum kc_region_answer answer, char *buf,
                             size_t n)
{
    char have[4];
    char want[4];
    switch (answer) {
    case KC_REGION_EMPTY:
        return kc_fmt(buf, n, "it has 0 bytes");
    case KC_REGION_WRAPS:
        return kc_fmt(buf, n, "it runs past the last byte of the space");
    case KC_REGION_UNKNOWN: {
        uint32_t after = upper(m, kc_ia_raw(a->base));
        if (after == m->count) {
            return kc_fmt(buf, n, "no region is there or above");
        }
        return kc_fmt(buf, n, "no region is there; the next is '%s', 0x%llx bytes further",
                      name_of(&m->slot[after]),
                      (unsigned long long)(base_of(m, after) - kc_ia_raw(a->base)));
    }
    case KC_REGION_SPANS:
        return kc_fmt(buf, n, "it begins in '%s' and leaves it after 0x%llx bytes", name_of(r),
                      (unsigned long long)(r->size - (kc_ia_raw(a->base) - kc_ia_raw(r->base))));
    case KC_REGION_WRONG_KIND:
        return kc_fmt(buf, n, "'%s' is %s", name_of(r), kc_region_kind_name(r->kind));
    case KC_REGION_NO_PERMISSION:
        return kc_fmt(buf, n, "'%s' allows %s, lacking %s", name_of(r), perms_text(r->perms, have),
                      perms_text(a->perms & ~r->perms, want));
    default:
        return kc_fmt(buf, n, "in '%s' (%s, from %s, owner %u) at offset 0x%llx", name_of(r),
                      perms_text(r->perms, have), kc_region_source_name(r->source), r->owner,
                      (unsigned long long)(kc_ia_raw(a->base) - kc_ia_raw(r->base)));
    }
}

size_t kc_region_explain(const struct kc_region_map *m, const struct kc_region_access *a, char *buf,
                         size_t n)
{
    const struct kc_region *r;
    enum kc_region_answer answer = kc_region_check_access(m, a, &r);
    char wanted[4];
    size_t length = kc_fmt(
        buf, n,
        "%s: %s access %s to %llu bytes at 0x%016llx of %s: ", kc_region_answer_name(answer),
        kc_region_kind_name(a->kind), perms_text(a->perms, wanted), (unsigned long long)a->size,
        (unsigned long long)kc_ia_raw(a->base), m->name != NULL ? m->name : "(no name)");
    bool full = length >= n;
    return length +
           explain_reason(m, a, r, answer, full ? NULL : buf + length, full ? 0 : n - length);
}
