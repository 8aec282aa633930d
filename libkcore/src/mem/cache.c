/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cache: objects of one size in slabs of frames. Theory.
 *
 * Nouns. A *slab* is a block of 1, 2, 4 or 8 frames cut into objects `stride` bytes apart. Its
 * *state* is two links, a map with a bit for each object, set while it is free, and the number of
 * free objects; the data of its first frame record is the cache. Slabs are listed in *bins* by
 * fullness: empty, eighths, full; one may be *at hand* instead. A *shape* says, for an order, how
 * many objects a slab has and where its state is.
 *
 *     order 0         | object | object | ... | object | links map |       state in the slab
 *     records         | cache, free |
 *     orders 1 to 3   | object | object | ...        | object |            at most 32 objects:
 *     records         | cache, free | links, map | 0 | ...                 state in record 1
 *     the same, with state bytes: at most 4 objects a frame, and a byte of each instead of a map
 *     records         | cache, bytes | links, bytes | 0, bytes | ...
 *
 * Where the state lies. A slab of several frames has frame records that say nothing but "inner";
 * the second of them has just room for two links and 32 bits, each for four bytes. So slabs of few
 * objects cost nothing beside them, and 1024 or 4096 bytes pack without a gap. Smaller objects
 * share their one frame with 12 bytes and the map, which is less than half a percent for 8 bytes
 * and mostly falls into what the division leaves over anyway. Nothing stands between or before
 * objects.
 *
 * Which order. What a cache costs beside its objects is the waste in each slab, which is less in
 * great ones, and the rest of its last slab, which is less in small ones. When a slab is made, its
 * order is the one with the least sum for the objects now live: few objects lie in small slabs,
 * many in those that pack best. Slabs of several orders live side by side; the frame record tells.
 *
 * Which slab. Allocations take from the slab at hand, which is in no list, until it is full: so
 * they move none. Then the next is taken from the fullest bin that has a free object, so that the
 * emptier ones get their chance to empty; for the same reason a free that makes the slab at hand
 * emptier by a bin lays it down. One empty slab is kept, so that a cache that goes to and fro over
 * the edge of a slab does not go to the frames each time; a second one goes back at once.
 *
 * Sets. Where each of many types has few objects, what is lost is the rest of each type's last slab
 * and the empty slab that each cache keeps. A *set* has one cache for each size, whoever asks, and
 * a *ring* of a few caches that may keep an empty slab. A cache whose slab has emptied enters the
 * ring, and the cache whose place it takes gives its empty slab back. What goes to and fro over the
 * edge of a slab does not leave the ring; what is idle is pushed out. The ring is written without a
 * lock, after that of the cache is released: two caches are never locked together.
 *
 * Magazines. With CPUs configured, each has a *magazine* (kc/mag.h), made when the CPU first needs
 * it. What is in one is out of its slab, as what is live: the slab's map knows no difference. An
 * allocation pops; an empty magazine takes a few from the slab at hand. A free pushes; what a full
 * one has no room for goes to its slab, alone, unless other CPUs are at the lock just then. Its
 * limit begins at one and doubles while it is much used, by allocations alone up to a refill, for
 * which it has room from the start: so the many types of which there are few keep little from each
 * other.
 *
 * In a set, each CPU has a second ring, of the caches whose magazines may stay filled there. What
 * is pushed out takes no more, and is emptied, an object by each slow call there; where there is
 * room, a free keeps its own object for it, above the limit. Until that is done a refill takes one
 * object only, and no allocation pushes another out. A CPU whose magazines are all drained, say as
 * it goes off, has nothing that is to be emptied; its ring and limits, which say what was much used
 * there, stay.
 *
 * A slow call has a short form, for when there is nothing to do but the move, and nobody has the
 * lock or listens; what that cannot do, its twin does. What is left of a short form where a slab
 * changes its bin, or objects are taken, is the last act of its caller and has the lock: so nobody
 * saves registers twice, and a slab is looked at once. While somebody listens, every call becomes a
 * slow one: it finds `none` where its CPU's magazine would be (kc_mag_place()).
 *
 * Whether an object is live already, at hardening checked: where there are magazines, each object
 * has a state byte, written by whoever has the object: in the slab behind the map or, instead of a
 * map, in the frame records; there a state more says that the object is in its slab. The pointer is
 * first divided exactly: its slab is known from the frame records, its place in it is a whole one
 * below the slab's count.
 *
 * Hardening full. There are no magazines. Behind each object lies a *redzone* of eight bytes or
 * more, written at the allocation, judged at the free. What is freed goes to a *quarantine* first,
 * a queue of CACHE_QUARANTINE objects that are out of their slabs but free, and from a slab a
 * random free object goes next: so a block is not used again at once, nor where one would guess.
 * The site of the last call for each object is kept in the slab, for reports.
 *
 * Invariants
 *  C1  Every slab's first record is CLAIMED by owner CACHE with this cache as data, and its
 *      order has a shape. Objects and state lie inside the slab and do not meet.
 *  C2  The bits set in a map are as many as the record's word says; beyond the last object none
 *      is set, and no byte in the records is of an object in the slab.
 *  C3  Every slab is in exactly one bin, that of its fullness, or at hand, and then neither empty
 *      nor full; links are mutual; bit b of bin_mask is set if and only if bin b is not empty.
 *  C4  slabs, slabs_empty, out, capacity and frames_held are what the slabs add up to.
 *  C5  At most one slab is empty; with KEEP_NONE, none.
 *  C6  Hardening full, no constructor: the object_bytes of a free object are zero.
 *  C7  In a set, sizes differ, members know the set, and while nobody frees, each cache that
 *      has an empty slab is in the ring.
 *  C8  A magazine has no more than it has room for: a refill, or all that there may be. What is
 *      in one or in quarantine is an object of a slab, out of it, in there once; its state byte,
 *      if it has one, is FREE, as are those of objects in slabs (in frame records: HOME); those of
 *      other objects are LIVE.
 *  C9  In a set, a magazine that holds something is in its CPU's ring or is being emptied;
 *      places agree; what has no place has no limit, and the reverse.
 *
 * Cost and locking. A magazine is its CPU's alone, pinned. All else is under one lock of rank
 * CACHE, with interrupts masked; frames are taken and claimed under it, so that a slab found
 * through its record while the lock is held stays this cache's slab. A pointer that is freed is
 * looked up without the lock: if it is of a live object, as it should be, its slab stays; anything
 * else is looked up again under the lock, and believed only then. A map has at most 16 words a
 * frame to look through.
 *
 * An object is told to the body as allocated and freed, unless there is a constructor, whose work
 * must survive a free.
 *
 * Sources: J. Bonwick, The Slab Allocator, USENIX Summer 1994, for slabs and constructors; J.
 * Bonwick and J. Adams, Magazines and Vmem, USENIX 2001, for magazines.
 */
#include "cache_priv.h"

const uint32_t kc_cache_priv_never = 0;

void kc_cache_priv_raise(struct kc_cache *c, enum kc_misuse_kind kind, const char *where,
                         const void *ptr, uint64_t expected, uint64_t found)
{
    struct kc_misuse_report r = {.kind = kind,
                                 .where = where,
                                 .object = c->name,
                                 .address = (uintptr_t)ptr,
                                 .expected = expected,
                                 .found = found};
    kc_misuse_raise(c->misuse, &r);
}

void kc_cache_priv_set_name(char *to, const char *from)
{
    uint32_t i = 0;
    for (; from != NULL && from[i] != 0 && i < KC_CACHE_NAME_CHARS - 1; i++) {
        to[i] = from[i];
    }
    to[i] = 0;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

/* Objects start on a frame, so what divides their distance is their alignment. */
kc_status_t kc_cache_priv_stride(size_t object_bytes, size_t align, uint32_t flags,
                                 uint32_t *stride)
{
    bool coloured = (flags & KC_CACHE_COLOURED) != 0;
    size_t a = align == 0 ? KC_CACHE_ALIGN_MIN : align;
    if (!kc_is_pow2(a) || a < KC_CACHE_ALIGN_MIN || (coloured && a > KC_LINE_BYTES)) {
        return KC_ERR_ARG;
    }
    if (a > KC_CACHE_ALIGN_MAX || object_bytes == 0 || object_bytes > KC_CACHE_OBJECT_MAX) {
        return KC_ERR_RANGE;
    }
    size_t grain = KC_TAG_IS_USED && a < KC_TAG_GRANULE ? KC_TAG_GRANULE : a;
    size_t bytes = (object_bytes + CACHE_REDZONE_MIN + grain - 1) & ~(grain - 1);
    *stride = (uint32_t)(coloured ? KC_MAG_COLOURED(bytes) : bytes);
    return KC_OK;
}

kc_status_t kc_cache_init(struct kc_cache *c, const struct kc_cache_config *config,
                          struct kc_frames *frames)
{
    if (c == NULL || config == NULL || frames == NULL ||
        (config->flags & ~(KC_CACHE_KEEP_NONE | KC_CACHE_COLOURED)) != 0 ||
        !kc_frame_is_place(config->frame_flags)) {
        return KC_ERR_ARG;
    }
    uint32_t stride;
    kc_status_t status =
        kc_cache_priv_stride(config->object_bytes, config->align, config->flags, &stride);
    if (status != KC_OK) {
        return status;
    }
    if (config->slab_order > 1 + KC_CACHE_ORDER_MAX || config->cpu_count > KC_CPUS_MAX) {
        return KC_ERR_RANGE;
    }

    struct kc_cache_config given = *config; /* it may lie in the cache's place */
    __builtin_memset(c, 0, sizeof(*c));
    kc_lock_init(&c->lock, "cache", KC_RANK_CACHE);
    c->frames = frames;
    c->misuse = given.misuse;
    c->ctor = given.ctor;
    c->stride = stride;
    c->object_bytes = (uint32_t)given.object_bytes;
    c->flags = (uint16_t)given.flags;
    c->frame_flags = (uint16_t)given.frame_flags;
    c->cpu_count = KC_MAG_IS_USED ? given.cpu_count : 0;
    c->none.draining = &kc_cache_priv_never;
    for (uint32_t i = 0; i <= KC_CPUS_MAX; i++) {
        c->cpu[i] = &c->none;
    }
    kc_cache_priv_set_name(c->name, given.name);
    return kc_cache_priv_slab_init(c, given.slab_order) ? KC_OK : KC_ERR_RANGE;
}

kc_status_t kc_cache_fini(struct kc_cache *c)
{
    uint64_t live = c->out - cache_kept(c);
    if (live != 0) {
        kc_cache_priv_raise(c, KC_MISUSE_BUSY, __func__, NULL, 0, live);
        return KC_ERR_STATE;
    }
    for (uint32_t i = 0; i < c->cpu_count; i++) {
        (void)kc_cache_drain(c, i);
        c->cpu[i] = &c->none;
    }
    uint64_t irq = kc_lock_acquire_irqsave(&c->lock);
    (void)kc_cache_priv_release(c, c->quarantined);
    (void)kc_cache_priv_slab_drop_empty(c);
    kc_lock_release_irqrestore(&c->lock, irq);
    kc_cache_priv_store_fini(&c->store, c->frames);
    return KC_OK;
}

/* Ends the quarantine of the n objects that are in it longest. As slab_give(); the lock is held. */
bool kc_cache_priv_release(struct kc_cache *c, uint32_t n)
{
    bool spare = false;
    for (; n > 0; n--) {
        struct slab_view v;
        uint32_t object = view_of(c, c->quarantine[0], &v);
        c->quarantined--;
        __builtin_memmove(&c->quarantine[0], &c->quarantine[1],
                          c->quarantined * sizeof(c->quarantine[0]));
        spare = slab_give(c, &v, object) || spare;
    }
    return spare;
}

/* True if some magazine holds the object, or the quarantine does. Others' are read as they come;
 * see free_is_sound() in cache_mag.c. */
static bool is_kept(const struct kc_cache *c, const void *object)
{
    for (uint32_t i = 0; i < c->quarantined; i++) {
        if (c->quarantine[i] == object) {
            return true;
        }
    }
    for (uint32_t i = 0; i < c->cpu_count; i++) {
        struct kc_cache_cpu *m = __atomic_load_n(&c->cpu[i], __ATOMIC_ACQUIRE);
        size_t count = __atomic_load_n(&m->mag.count, __ATOMIC_ACQUIRE);
        for (size_t k = 0; k < count; k++) {
            if (__atomic_load_n(&cache_entries(m)[k].object, __ATOMIC_RELAXED) == object) {
                return true;
            }
        }
    }
    return false;
}

/* ---- allocation ------------------------------------------------------------------------------ */

#if CACHE_IS_FULL
void kc_cache_priv_look_over(struct kc_cache *c, unsigned char *object)
{
    uint32_t at = 0;
    while (at < c->object_bytes && object[at] == 0) {
        at++;
    }
    if (at != c->object_bytes) {
        kc_cache_priv_raise(c, KC_MISUSE_CORRUPT, "kc_cache_alloc", object, 0, at);
        __builtin_memset(object, 0, c->object_bytes);
    }
}
#endif

uint32_t kc_cache_priv_take(struct kc_cache *c, struct kc_cache_entry *out, uint32_t n,
                            const struct cache_take *t)
{
    kc_lock_enter(&c->lock);
    /* If nothing came, somebody may still have given an object back, or a slab. */
    bool may_grow = !t->asked || t->came != 0;
    uint32_t count =
        may_grow || slab_has_free(c) ? kc_cache_priv_slab_take(c, out, n, t->flags) : 0;
    c->fail_count += count == 0 && !cache_may_ask(t);
    kc_lock_leave(&c->lock);
    return count;
}

bool kc_cache_priv_reclaim(struct kc_cache *c, struct cache_take *t)
{
    if (!cache_may_ask(t)) {
        return false;
    }
    t->asked = true;
    t->came = kc_frames_reclaim(c->frames, (uint64_t)1 << c->order_first);
    return true;
}

#if CACHE_IS_FULL
/* The site of the last call for an object, which is of this cache. */
static uintptr_t *site_of(const struct kc_cache *c, const void *object)
{
    struct slab_view v;
    uint32_t i = view_of(c, object, &v);
    return slab_site(c, &v, i);
}

/* Guards an object that is handed out. */
static void guard(struct kc_cache *c, void *object, const void *site)
{
    *site_of(c, object) = (uintptr_t)site;
    __builtin_memset((unsigned char *)object + c->object_bytes, CACHE_REDZONE,
                     c->stride - c->object_bytes);
}

/* Offset of the first byte behind the object that was written; the stride if there is none. */
static uint32_t first_clobbered(const struct kc_cache *c, const void *object)
{
    const unsigned char *b = (const unsigned char *)object;
    uint32_t at = c->object_bytes;
    while (at < c->stride && b[at] == CACHE_REDZONE) {
        at++;
    }
    return at;
}
#endif

void *kc_cache_priv_alloc_alone(struct kc_cache *c, uint32_t flags, const void *site)
{
    struct cache_take t = {flags, false, 0};
    struct kc_cache_entry e;
    while (kc_cache_priv_take(c, &e, 1, &t) == 0) {
        if (!kc_cache_priv_reclaim(c, &t)) {
            return NULL;
        }
    }
    __atomic_fetch_add(&c->alloc_count, 1, __ATOMIC_RELAXED);
#if KC_MAG_HAS_STATE
    bool was_free = !cache_has_bytes(c) || cache_make_live(&e);
    KC_CHECK(was_free);
#endif
#if KC_TAG_IS_USED
    uint32_t last = kc_tag_take(e.object, c->object_bytes, c->stride, false);
#endif
#if CACHE_IS_FULL
    guard(c, e.object, site);
#endif
#if KC_TAG_IS_USED
    /* The site is not needed for it; the number is of the object among all of its size. */
    uint32_t number = (uint32_t)((uintptr_t)e.object / c->stride);
    e.object = kc_tag_give(e.object, c->object_bytes, c->stride, last, number, &c->tags);
#endif
    (void)site;
    return cache_hand_out(c, e.object);
}

KC_INLINE bool flags_fit(const struct kc_cache *c, uint32_t flags)
{
    return (flags & ~(KC_CACHE_ZERO | KC_CACHE_NO_RECLAIM | KC_CACHE_URGENT)) == 0 &&
           ((flags & KC_CACHE_ZERO) == 0 || c->ctor == NULL);
}

/* With flags; or whatever there is to do with an object at hardening full. */
static __attribute__((noinline)) void *alloc_pinned(struct kc_cache *c, uint32_t flags,
                                                    const void *site)
{
    if (KC_UNLIKELY(!flags_fit(c, flags))) {
        return NULL;
    }
    return cache_finish(c, cache_alloc_pinned(c, flags, site), flags);
}

KC_QUICK void *kc_cache_alloc_pinned(struct kc_cache *c, uint32_t flags)
{
    return KC_LIKELY(flags == 0 && !CACHE_IS_FULL) ? cache_alloc_pinned(c, 0, KC_MAG_SITE)
                                                   : alloc_pinned(c, flags, KC_MAG_SITE);
}

#if KC_MAG_IS_USED
KC_COLD void *kc_cache_priv_alloc_late(struct kc_cache *c, uint64_t irq)
{
    return kc_cache_priv_alloc_masked(c, kc_plat_irq_save_rest(irq));
}

KC_COLD void *kc_cache_priv_alloc_done(void *object, uint64_t irq)
{
    kc_plat_irq_restore_rest(irq);
    return object;
}
#endif

/* alloc_pinned() in any context; what does not need the CPU comes behind. */
static __attribute__((noinline)) void *alloc_flagged(struct kc_cache *c, uint32_t flags,
                                                     const void *site)
{
    if (KC_UNLIKELY(!flags_fit(c, flags))) {
        return NULL;
    }
    uint64_t irq = kc_plat_irq_save();
    void *object = cache_alloc_pinned(c, flags, site);
    kc_plat_irq_restore(irq);
    return cache_finish(c, object, flags);
}

/* kc_cache_alloc(), of whoever called from that site. */
KC_INLINE void *alloc_any_context(struct kc_cache *c, uint32_t flags, const void *site)
{
    return KC_LIKELY(flags == 0 && !CACHE_IS_FULL) ? cache_alloc_masked(c, site)
                                                   : alloc_flagged(c, flags, site);
}

KC_QUICK void *kc_cache_alloc(struct kc_cache *c, uint32_t flags)
{
    return alloc_any_context(c, flags, KC_MAG_SITE);
}

void *kc_cache_priv_alloc(struct kc_cache *c, uint32_t flags, const void *site)
{
    return alloc_any_context(c, flags, site);
}

/* ---- free ------------------------------------------------------------------------------------ */

/* What a pointer is to this cache. */
struct finding {
    kc_status_t status;
    enum kc_misuse_kind misuse;
    struct slab_view v;
    uint32_t object;
    uint8_t *state; /* NULL: it has none */
};

/* An object that is in no slab's map: is it live, or in a magazine? */
KC_INLINE bool is_live(const struct kc_cache *c, const uint8_t *state, const void *ptr)
{
    return state != NULL ? slab_load_state(state) == KC_MAG_LIVE : !is_kept(c, ptr);
}

/* Finds the live object at ptr; the lock is held. */
static struct finding find(struct kc_cache *c, const void *ptr)
{
    struct finding x = {KC_OK, KC_MISUSE_KIND_COUNT, {0}, 0, NULL};
    struct kc_frame_found found;
    kc_pa_t pa = kc_frame_ptr_pa(c->frames, ptr);
    if (!kc_frame_find(c->frames, pa, &found)) {
        struct kc_frame_info info;
        kc_frame_info(c->frames, pa, &info);
        bool is_free = info.state == KC_FRAME_FREE;
        x.status = is_free ? KC_ERR_STATE : KC_ERR_RANGE;
        x.misuse = is_free ? KC_MISUSE_DOUBLE_FREE : KC_MISUSE_FOREIGN;
        return x;
    }
    if (found.owner != KC_FRAME_OWNER_CACHE || found.data != (uintptr_t)c) {
        x.status = KC_ERR_PERM;
        x.misuse = KC_MISUSE_WRONG_OWNER;
        return x;
    }
    slab_view_make(c, found.record, found.base, &x.v);
    x.object = cache_index(c, (uint32_t)kc_pa_diff(pa, found.base));
    if (x.object >= x.v.objects) {
        x.status = KC_ERR_ALIGN;
        x.misuse = KC_MISUSE_INTERIOR;
        return x;
    }
    x.state = slab_state(c, &x.v, x.object);
    if (slab_is_free(&x.v, x.object) || !is_live(c, x.state, kc_tag_strip(ptr)) ||
        !kc_tag_fits(ptr)) {
        x.status = KC_ERR_STATE;
        x.misuse = KC_MISUSE_DOUBLE_FREE;
    }
    return x;
}

kc_status_t kc_cache_priv_free_alone(struct kc_cache *c, void *ptr, const void *site)
{
    kc_lock_enter(&c->lock);
    struct finding x = find(c, ptr);
    if (KC_UNLIKELY(x.status != KC_OK)) {
        uint64_t found = 0;
#if CACHE_IS_FULL
        found = x.status == KC_ERR_STATE && x.v.objects != 0 ? *slab_site(c, &x.v, x.object) : 0;
#endif
        kc_lock_leave(&c->lock);
        kc_cache_priv_raise(c, x.misuse, "kc_cache_free", ptr, 0, found);
        return x.status;
    }
    ptr = kc_tag_strip(ptr);
#if KC_TAG_IS_USED
    uint32_t last = kc_tag_take(ptr, c->object_bytes, c->stride, true);
#endif
#if CACHE_IS_FULL
    uint32_t clobbered = first_clobbered(c, ptr);
    *slab_site(c, &x.v, x.object) = (uintptr_t)site;
    cache_tell_free(c, ptr);
#if KC_TAG_IS_USED
    kc_tag_keep(ptr, c->object_bytes, c->stride, last);
#endif
    bool spare = c->quarantined == CACHE_QUARANTINE && kc_cache_priv_release(c, 1);
    c->quarantine[c->quarantined++] = ptr;
#else
    (void)site;
    cache_tell_free(c, ptr);
    if (x.state != NULL) {
        slab_store_state(x.state, KC_MAG_FREE);
    }
    bool spare = slab_give(c, &x.v, x.object);
#endif
    kc_lock_leave(&c->lock);
    if (KC_UNLIKELY(spare)) {
        kc_cache_priv_set_spare(c->set, c);
    }
#if CACHE_IS_FULL
    if (KC_UNLIKELY(clobbered != c->stride)) {
        kc_cache_priv_raise(c, KC_MISUSE_CORRUPT, "kc_cache_free", ptr, c->object_bytes, clobbered);
        return KC_ERR_CORRUPT;
    }
#endif
    return KC_OK;
}

/* A free of which nothing is known yet. */
static __attribute__((noinline)) kc_status_t free_any(struct kc_cache *c, void *ptr,
                                                      const void *site)
{
#if KC_MAG_IS_USED
    struct kc_frame_found found;
    if (frame_find(c->frames, kc_frame_ptr_pa(c->frames, ptr), &found) &&
        found.owner == KC_FRAME_OWNER_CACHE && found.data == (uintptr_t)c) {
        return kc_cache_priv_free_slow(c, ptr, found.record, (size_t)found.offset);
    }
#endif
    return ptr == NULL ? KC_OK : kc_cache_priv_free_alone(c, ptr, site);
}

/* True if ptr lies in a slab of c, as far as can be said at once. */
KC_INLINE bool find_quick(struct kc_cache *c, void *ptr, struct kc_frame_found *found)
{
    kc_pa_t pa = kc_frame_ptr_pa(c->frames, ptr);
    return KC_LIKELY(frame_find_quick(c->frames, pa, KC_FRAME_OWNER_CACHE, found)) &&
           KC_LIKELY(found->data == (uintptr_t)c);
}

KC_QUICK kc_status_t kc_cache_free_pinned(struct kc_cache *c, void *ptr)
{
    struct kc_frame_found found;
    return KC_LIKELY(find_quick(c, ptr, &found)) ? cache_free_pinned(c, &found, ptr, KC_MAG_SITE)
                                                 : free_any(c, ptr, KC_MAG_SITE);
}

#if KC_MAG_IS_USED
KC_COLD kc_status_t kc_cache_priv_free_late(struct kc_cache *c, void *ptr, struct kc_frame *record,
                                            size_t offset, uint64_t irq)
{
    return kc_cache_priv_free_masked(c, ptr, record, offset, kc_plat_irq_save_rest(irq));
}

KC_COLD kc_status_t kc_cache_priv_free_done(uint64_t irq)
{
    kc_plat_irq_restore_rest(irq);
    return KC_OK;
}
#endif

/* kc_cache_free(), of whoever called from that site. */
KC_INLINE kc_status_t free_any_context(struct kc_cache *c, void *ptr, const void *site)
{
    struct kc_frame_found found;
    if (KC_LIKELY(find_quick(c, ptr, &found))) {
        return cache_free_masked(c, &found, ptr, site);
    }
    uint64_t irq = kc_plat_irq_save();
    kc_status_t status = free_any(c, ptr, site);
    kc_plat_irq_restore(irq);
    return status;
}

KC_QUICK kc_status_t kc_cache_free(struct kc_cache *c, void *ptr)
{
    return free_any_context(c, ptr, KC_MAG_SITE);
}

kc_status_t kc_cache_priv_free(struct kc_cache *c, void *ptr, const void *site)
{
    return free_any_context(c, ptr, site);
}

kc_status_t kc_cache_probe(struct kc_cache *c, const void *ptr)
{
    uint64_t irq = kc_lock_acquire_irqsave(&c->lock);
    struct finding x = find(c, ptr);
    kc_lock_release_irqrestore(&c->lock, irq);
    if (x.status != KC_OK) {
        kc_cache_priv_raise(c, x.misuse, __func__, ptr, 0, 0);
    }
    return x.status;
}

uint64_t kc_cache_shrink(struct kc_cache *c)
{
    uint64_t irq = kc_plat_irq_save();
    (void)kc_cache_drain(c, kc_plat_cpu());
    kc_lock_enter(&c->lock);
    (void)kc_cache_priv_release(c, c->quarantined);
    uint64_t frames = kc_cache_priv_slab_drop_empty(c);
    kc_lock_leave(&c->lock);
    kc_plat_irq_restore(irq);
    return frames;
}

/* ---- queries -------------------------------------------------------------------------------- */

void kc_cache_stats(struct kc_cache *c, struct kc_cache_stats *out)
{
    uint64_t irq = kc_lock_acquire_irqsave(&c->lock);
    uint64_t kept = cache_kept(c);
    uint64_t allocated = __atomic_load_n(&c->alloc_count, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < c->cpu_count; i++) {
        const struct kc_cache_cpu *m = __atomic_load_n(&c->cpu[i], __ATOMIC_ACQUIRE);
        allocated += __atomic_load_n(&m->alloc_count, __ATOMIC_RELAXED);
    }
    out->object_bytes = c->object_bytes;
    out->stride_bytes = c->stride;
    /* While others allocate, what they keep may be of a later moment than what is out. */
    out->kept = kept < c->out ? kept : c->out;
    out->live = c->out - out->kept;
    out->peak_live = c->peak_out;
    out->capacity = c->capacity;
    out->slabs = c->slabs;
    out->slabs_empty = c->slabs_empty;
    out->frames_bytes = (uint64_t)c->frames_held << KC_FRAME_LOG2;
    out->peak_frames_bytes = (uint64_t)c->peak_frames << KC_FRAME_LOG2;
    out->alloc_count = allocated;
    out->free_count = allocated > out->live ? allocated - out->live : 0;
    out->fail_count = c->fail_count;
    out->grow_count = c->grow_count;
    out->shrink_count = c->grow_count - c->slabs;
    kc_lock_release_irqrestore(&c->lock, irq);
}

bool kc_cache_is_live(struct kc_cache *c, const void *ptr)
{
    uint64_t irq = kc_lock_acquire_irqsave(&c->lock);
    bool live = find(c, ptr).status == KC_OK;
    kc_lock_release_irqrestore(&c->lock, irq);
    return live;
}

void *kc_cache_next_live(struct kc_cache *c, struct kc_cache_cursor *cursor)
{
    uint64_t irq = kc_lock_acquire_irqsave(&c->lock);
    void *object = NULL;
    do {
        object = kc_cache_priv_slab_next_out(c, cursor);
        object = object != NULL ? kc_tag_load(object) : NULL;
    } while (object != NULL && find(c, object).status != KC_OK);
    kc_lock_release_irqrestore(&c->lock, irq);
    return object;
}
