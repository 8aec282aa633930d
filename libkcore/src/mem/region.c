/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The region map: judging, changing, looking up and explaining. Where the regions are, and how they
 * are read while they change, is region_tree.c's; the invariants R1 to R7 are there.
 *
 * A lookup reads one *view*, the tree of some version, and gives no answer before it is known that
 * the view held (region_holds()). All that one answer says, neighbours included, is of one view. A
 * change holds the lock; then the tree stands still, and is read through the same functions.
 *
 * No end address is ever formed, since the last one of the space would be 0.
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

kc_status_t kc_region_answer_status(enum kc_region_answer a)
{
    switch (a) {
    case KC_REGION_OK:
        return KC_OK;
    case KC_REGION_WRAPS:
        return KC_ERR_RANGE;
    case KC_REGION_UNKNOWN:
        return KC_ERR_ABSENT;
    case KC_REGION_SPANS:
        return KC_ERR_SPAN;
    case KC_REGION_WRONG_KIND:
        return KC_ERR_UNSUPPORTED;
    case KC_REGION_NO_PERMISSION:
        return KC_ERR_PERM;
    case KC_REGION_EMPTY:
    case KC_REGION_ANSWER_COUNT:
        break;
    }
    return KC_ERR_ARG;
}

/* ---- views ---------------------------------------------------------------------------------- */

/* Is the lookup over? If the view did not hold, it begins again with another. */
static bool is_over(const struct kc_region_map *m, const struct region_view *v, bool made_sense)
{
    if (KC_LIKELY(region_holds(m, v))) {
        KC_CHECK(made_sense); /* a tree that nobody wrote over is whole */
        return true;
    }
    kc_plat_relax();
    return false;
}

/* The place whose region holds an address; false if none does. */
static bool is_held(const struct kc_region_map *m, const struct region_place *p, uint64_t at)
{
    if (p->leaf == REGION_NONE) {
        return false;
    }
    const struct kc_region_node *n = &m->node[p->leaf];
    return kc_range_has(region_word(n, p->slot), region_word(n, REGION_LEAF_MAX + p->slot), at);
}

/* The region that holds an address; size 0 if none does. */
static bool get_at(const struct kc_region_map *m, const struct region_view *v, uint64_t at,
                   struct kc_region *out)
{
    struct region_place p;
    out->size = 0;
    if (!region_seek(m, v, at, &p)) {
        return false;
    }
    if (is_held(m, &p, at)) {
        region_get(m, &p, out);
    }
    return true;
}

/* The last region that begins at or before an address; size 0 if none does. */
static bool get_at_or_below(const struct kc_region_map *m, const struct region_view *v, uint64_t at,
                            struct kc_region *out)
{
    struct region_place p;
    out->size = 0;
    if (!region_seek(m, v, at, &p)) {
        return false;
    }
    if (p.leaf != REGION_NONE) {
        region_get(m, &p, out);
    }
    return true;
}

/* The first region that begins above an address; size 0 if none does. */
static bool get_above(const struct kc_region_map *m, const struct region_view *v, uint64_t at,
                      struct kc_region *out)
{
    struct region_place p;
    uint64_t base;
    out->size = 0;
    if (!region_seek(m, v, at, &p)) {
        return false;
    }
    return !region_above(m, &p, &base) || get_at_or_below(m, v, base, out);
}

/* ---- life cycle and changes ----------------------------------------------------------------- */

kc_status_t kc_region_map_init(struct kc_region_map *m, const char *name,
                               struct kc_region_node *node, uint32_t node_count)
{
    if (node == NULL || node_count < KC_REGION_NODES(1)) {
        return KC_ERR_ARG;
    }
    uint64_t limit = UINT64_C(6) * (node_count - KC_REGION_SPARE_NODES - 1) + 5;
    kc_region_priv_plant(m, node, node_count);
    m->name = name;
    m->count = 0;
    m->bytes = 0;
    m->region_max = limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
    kc_lock_init(&m->lock, "region map", KC_RANK_REGION);
    return KC_OK;
}

/* The present tree, for who holds the lock: it holds as long. */
static struct region_view present(const struct kc_region_map *m)
{
    return (struct region_view){m->version, m->root};
}

static void set_count(struct kc_region_map *m, uint32_t count)
{
    __atomic_store_n(&m->count, count, __ATOMIC_RELAXED);
    KC_AUDIT(kc_region_map_check(m, NULL) == KC_OK);
}

/* The region that is exactly a range. The lock is held. */
static kc_status_t find_exact(const struct kc_region_map *m, kc_ia_t base, uint64_t size,
                              struct kc_region *out)
{
    struct region_view v = present(m);
    bool whole = get_at(m, &v, kc_ia_raw(base), out);
    KC_CHECK(whole);
    if (out->size == 0 || !kc_ia_eq(out->base, base)) {
        return KC_ERR_ABSENT;
    }
    return out->size == size ? KC_OK : KC_ERR_SPAN;
}

static kc_status_t add_locked(struct kc_region_map *m, const struct kc_region *r)
{
    uint64_t base = kc_ia_raw(r->base);
    struct region_view v = present(m);
    struct kc_region below = {.size = 0};
    struct kc_region above = {.size = 0};
    bool whole = get_at_or_below(m, &v, base, &below) && get_above(m, &v, base, &above);
    KC_CHECK(whole);
    if (kc_range_meets(kc_ia_raw(below.base), below.size, base, r->size) ||
        kc_range_meets(kc_ia_raw(above.base), above.size, base, r->size)) {
        return KC_ERR_EXISTS;
    }
    if (m->count == m->region_max) {
        return KC_ERR_NOMEM;
    }
    kc_region_priv_replace(m, base, 0, r, 1);
    m->bytes += r->size;
    set_count(m, m->count + 1);
    return KC_OK;
}

kc_status_t kc_region_add(struct kc_region_map *m, const struct kc_region *r)
{
    if (!region_is_sound(r)) {
        return KC_ERR_ARG;
    }
    if (!kc_range_fits(kc_ia_raw(r->base), r->size)) {
        return KC_ERR_RANGE;
    }
    kc_lock_acquire(&m->lock);
    kc_status_t s = add_locked(m, r);
    kc_lock_release(&m->lock);
    return s;
}

kc_status_t kc_region_remove(struct kc_region_map *m, kc_ia_t base, uint64_t size,
                             struct kc_region *removed)
{
    struct kc_region r;
    kc_lock_acquire(&m->lock);
    kc_status_t s = find_exact(m, base, size, &r);
    if (s == KC_OK) {
        kc_region_priv_replace(m, kc_ia_raw(base), 1, NULL, 0);
        m->bytes -= size;
        set_count(m, m->count - 1);
    }
    kc_lock_release(&m->lock);
    if (s == KC_OK && removed != NULL) {
        *removed = r;
    }
    return s;
}

static kc_status_t split_locked(struct kc_region_map *m, kc_ia_t at)
{
    struct region_view v = present(m);
    struct kc_region part[2];
    bool whole = get_at(m, &v, kc_ia_raw(at), &part[0]);
    KC_CHECK(whole);
    if (part[0].size == 0) {
        return KC_ERR_ABSENT;
    }
    uint64_t head = kc_ia_diff(at, part[0].base);
    if (head == 0) {
        return KC_ERR_STATE;
    }
    if (m->count == m->region_max) {
        return KC_ERR_NOMEM;
    }
    part[1] = part[0];
    part[1].base = at;
    part[1].size -= head;
    part[0].size = head;
    kc_region_priv_replace(m, kc_ia_raw(part[0].base), 1, part, 2);
    set_count(m, m->count + 1);
    return KC_OK;
}

kc_status_t kc_region_split(struct kc_region_map *m, kc_ia_t at)
{
    kc_lock_acquire(&m->lock);
    kc_status_t s = split_locked(m, at);
    kc_lock_release(&m->lock);
    return s;
}

kc_status_t kc_region_set_perms(struct kc_region_map *m, kc_ia_t base, uint64_t size,
                                uint32_t perms)
{
    struct kc_region r;
    if ((perms & ~KC_REGION_PERMS) != 0) {
        return KC_ERR_ARG;
    }
    kc_lock_acquire(&m->lock);
    kc_status_t s = find_exact(m, base, size, &r);
    if (s == KC_OK) {
        r.perms = perms;
        kc_region_priv_replace(m, kc_ia_raw(base), 1, &r, 1);
    }
    kc_lock_release(&m->lock);
    return s;
}

/* ---- gaps ----------------------------------------------------------------------------------- */

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

/* Go from the region of a place to the next; false, the place as it was, if there is none. */
static bool step_up(const struct kc_region_map *m, const struct region_view *v,
                    struct region_place *p)
{
    uint64_t base;
    if (!region_above(m, p, &base)) {
        return false;
    }
    if (p->leaf != REGION_NONE && p->slot + 1 < p->count) {
        p->slot++;
        return true;
    }
    bool whole = region_seek(m, v, base, p);
    KC_CHECK(whole);
    return true;
}

static kc_status_t find_gap_locked(const struct kc_region_map *m, kc_ia_range_t window,
                                   uint64_t bytes, uint64_t align, uint64_t guard, uint64_t *out)
{
    struct region_view v = present(m);
    struct region_place p;
    uint64_t first = kc_ia_raw(window.base); /* of the free stretch at hand */
    const uint64_t window_last = first + (window.size - 1);
    bool whole = region_seek(m, &v, first, &p);
    KC_CHECK(whole);
    bool is_region = is_held(m, &p, first) || step_up(m, &v, &p);
    for (;;) {
        struct kc_region r = {.size = 0};
        if (is_region) {
            region_get(m, &p, &r);
        }
        bool is_end = !is_region || kc_ia_raw(r.base) > window_last;
        if (is_end || kc_ia_raw(r.base) > first) {
            uint64_t last = is_end ? window_last : kc_ia_raw(r.base) - 1;
            if (place_in(first, last, bytes, align, guard, out)) {
                return KC_OK;
            }
        }
        if (is_end) {
            return KC_ERR_NOMEM;
        }
        uint64_t region_last = kc_ia_raw(r.base) + (r.size - 1); /* R1 */
        if (region_last >= window_last) {
            return KC_ERR_NOMEM;
        }
        first = region_last + 1;
        is_region = step_up(m, &v, &p);
    }
}

kc_status_t kc_region_find_gap(struct kc_region_map *m, kc_ia_range_t window, uint64_t bytes,
                               uint64_t align, uint64_t guard, kc_ia_t *out)
{
    uint64_t at;
    if (bytes == 0 || !kc_is_pow2(align)) {
        return KC_ERR_ARG;
    }
    if (!kc_ia_range_fits(window)) {
        return KC_ERR_RANGE;
    }
    if (window.size == 0) {
        return KC_ERR_NOMEM;
    }
    kc_lock_acquire(&m->lock);
    kc_status_t s = find_gap_locked(m, window, bytes, align, guard, &at);
    kc_lock_release(&m->lock);
    if (s == KC_OK) {
        *out = kc_ia(at);
    }
    return s;
}

/* ---- lookups -------------------------------------------------------------------------------- */

bool kc_region_find(const struct kc_region_map *m, kc_ia_t at, struct kc_region *out)
{
    struct region_view v;
    struct kc_region r;
    bool made_sense;
    do {
        v = region_begin(m);
        made_sense = get_at(m, &v, kc_ia_raw(at), &r);
    } while (!is_over(m, &v, made_sense));
    if (r.size == 0) {
        return false;
    }
    *out = r;
    return true;
}

bool kc_region_next(const struct kc_region_map *m, kc_ia_t at, struct kc_region *out)
{
    struct region_view v;
    struct kc_region r;
    bool made_sense;
    do {
        v = region_begin(m);
        made_sense = get_at(m, &v, kc_ia_raw(at), &r) &&
                     (r.size != 0 || get_above(m, &v, kc_ia_raw(at), &r));
    } while (!is_over(m, &v, made_sense));
    if (r.size == 0) {
        return false;
    }
    *out = r;
    return true;
}

bool kc_region_after(const struct kc_region_map *m, const struct kc_region *r,
                     struct kc_region *out)
{
    kc_ia_t behind;
    return kc_ia_add(r->base, r->size, &behind) && kc_region_next(m, behind, out);
}

uint32_t kc_region_count(const struct kc_region_map *m)
{
    return __atomic_load_n(&m->count, __ATOMIC_RELAXED);
}

uint32_t kc_region_limit(const struct kc_region_map *m)
{
    return m->region_max;
}

/* The answer, given the region of the first byte (size 0: none). */
static enum kc_region_answer judge(const struct kc_region *r, const struct kc_region_access *a)
{
    if (a->size == 0) {
        return KC_REGION_EMPTY;
    }
    if (!kc_range_fits(kc_ia_raw(a->base), a->size)) {
        return KC_REGION_WRAPS;
    }
    if (r->size == 0) {
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
                                             struct kc_region *hit)
{
    struct kc_region r;
    if (!kc_region_find(m, a->base, &r)) {
        r = (struct kc_region){.base = a->base};
    }
    if (hit != NULL) {
        *hit = r;
    }
    return judge(&r, a);
}

/* ---- why ------------------------------------------------------------------------------------ */

/* The neighbours of the region that holds the first byte, or of the first byte. */
static bool get_around(const struct kc_region_map *m, const struct region_view *v,
                       struct kc_region_why *w)
{
    uint64_t at = kc_ia_raw(w->access.base);
    w->before.size = 0;
    if (!get_at(m, v, at, &w->region) || !get_above(m, v, at, &w->after)) {
        return false;
    }
    if (w->region.size != 0) {
        at = kc_ia_raw(w->region.base);
    }
    return at == 0 || get_at_or_below(m, v, at - 1, &w->before);
}

void kc_region_why(const struct kc_region_map *m, const struct kc_region_access *a,
                   struct kc_region_why *out)
{
    struct region_view v;
    bool made_sense;
    *out = (struct kc_region_why){.map = m->name, .access = *a, .byte = a->base};
    do {
        v = region_begin(m);
        made_sense = get_around(m, &v, out);
    } while (!is_over(m, &v, made_sense));
    out->answer = judge(&out->region, a);
    if (out->answer == KC_REGION_WRAPS) {
        out->byte = kc_ia(UINT64_MAX);
    } else if (out->answer == KC_REGION_SPANS) {
        /* It fits, and goes on behind the region: so there is such a byte. */
        out->byte = kc_ia(kc_ia_raw(out->region.base) + out->region.size);
    } else if (out->answer == KC_REGION_NO_PERMISSION) {
        out->lacking = a->perms & ~out->region.perms;
    }
}

/* ---- words ---------------------------------------------------------------------------------- */

/* A line in the making: what does not fit is counted, not kept. */
struct line {
    char *buf;
    size_t n;
    size_t length;
};

static void KC_PRINTF(2, 3) say(struct line *l, const char *fmt, ...)
{
    bool full = l->length >= l->n;
    va_list args;
    va_start(args, fmt);
    l->length += kc_vfmt(full ? NULL : l->buf + l->length, full ? 0 : l->n - l->length, fmt, args);
    va_end(args);
}

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

static unsigned long long raw(kc_ia_t a)
{
    return (unsigned long long)kc_ia_raw(a);
}

static unsigned long long last_of(const struct kc_region *r)
{
    return raw(r->base) + (r->size - 1);
}

static void say_reason(struct line *l, const struct kc_region_why *w)
{
    const struct kc_region *r = &w->region;
    char text[4];
    char lacking[4];
    switch (w->answer) {
    case KC_REGION_EMPTY:
        say(l, "it has 0 bytes");
        break;
    case KC_REGION_WRAPS:
        say(l, "it runs past 0x%llx, the last byte of the space", raw(w->byte));
        break;
    case KC_REGION_UNKNOWN:
        say(l, "no region holds 0x%llx", raw(w->byte));
        break;
    case KC_REGION_SPANS:
        say(l, "it begins in '%s' and leaves it at 0x%llx, after 0x%llx bytes", name_of(r),
            raw(w->byte), raw(w->byte) - raw(w->access.base));
        break;
    case KC_REGION_WRONG_KIND:
        say(l, "'%s' is %s", name_of(r), kc_region_kind_name(r->kind));
        break;
    case KC_REGION_NO_PERMISSION:
        say(l, "'%s' allows %s, lacking %s", name_of(r), perms_text(r->perms, text),
            perms_text(w->lacking, lacking));
        break;
    default:
        say(l, "in '%s' (%s, from %s, owner %u) at offset 0x%llx", name_of(r),
            perms_text(r->perms, text), kc_region_source_name(r->source), r->owner,
            raw(w->access.base) - raw(r->base));
        break;
    }
}

/* Of use where the access misses something: which regions it may have meant. */
static void say_neighbours(struct line *l, const struct kc_region_why *w)
{
    if (w->answer != KC_REGION_UNKNOWN && w->answer != KC_REGION_SPANS) {
        return;
    }
    if (w->answer == KC_REGION_UNKNOWN && w->before.size != 0) {
        say(l, "; below, '%s' ends with 0x%llx", name_of(&w->before), last_of(&w->before));
    }
    if (w->after.size != 0) {
        say(l, "; above, '%s' begins at 0x%llx", name_of(&w->after), raw(w->after.base));
    }
}

size_t kc_region_explain(const struct kc_region_why *why, char *buf, size_t n)
{
    struct line l = {buf, n, 0};
    const struct kc_region_access *a = &why->access;
    char wanted[4];
    say(&l,
        "%s: %s access %s to %llu bytes at 0x%016llx of %s: ", kc_region_answer_name(why->answer),
        kc_region_kind_name(a->kind), perms_text(a->perms, wanted), (unsigned long long)a->size,
        raw(a->base), why->map != NULL ? why->map : "(no name)");
    say_reason(&l, why);
    say_neighbours(&l, why);
    return l.length;
}
