/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cache: objects of one size in slabs of frames. Theory.
 *
 * Nouns. A *slab* is a block of 1, 2, 4 or 8 frames cut into objects `stride` bytes apart. Its
 * *state* is two links and a map with a bit for each object, set while it is free; the number of
 * free objects is in the word of its first frame record, whose data is the cache. Slabs are listed
 * in *bins* by fullness: empty, eighths, full. A *shape* says, for an order, how many objects a
 * slab has and where its state is.
 *
 *     order 0         | object | object | ... | object | links map |       state in the slab
 *     orders 1 to 3   | object | object | ...        | object |            at most 32 objects:
 *     records         | cache, free | links, map | 0 | ...                 state in record 1
 *
 * Where the state lies. A slab of several frames has frame records that say nothing but "inner";
 * the second of them has just room for two links and 32 bits. So slabs of at most 32 objects cost
 * nothing beside their objects, and 512, 1024 or 4096 bytes pack without a gap. Smaller objects
 * share their one frame with 12 bytes and the map, which is less than half a percent for 8 bytes
 * and mostly falls into what the division leaves over anyway. Nothing stands between or before
 * objects.
 *
 * Which order. What a cache costs beside its objects is the waste in each slab, which is less in
 * great ones, and the rest of its last slab, which is less in small ones. When a slab is made, its
 * order is the one with the least sum for the objects now live: few objects lie in small slabs,
 * many in those that pack best. Slabs of several orders live side by side; the frame record tells.
 *
 * Which slab. An allocation takes from the fullest bin that has a free object, so that the emptier
 * ones get their chance to empty. One empty slab is kept, so that a cache that goes to and fro over
 * the edge of a slab does not go to the frames each time; a second one goes back at once.
 *
 * Sets. Where each of many types has few objects, what is lost is the rest of each type's last slab
 * and the empty slab that each cache keeps. A *set* has one cache for each size, whoever asks, and
 * a *ring* of a few caches that may keep an empty slab. A cache whose slab has emptied enters the
 * ring, and the cache whose place it takes gives its empty slab back. What goes to and fro over the
 * edge of a slab does not leave the ring; what is idle is pushed out. The ring is written without a
 * lock, after that of the cache is released: two caches are never locked together.
 *
 * Invariants
 *  C1  Every slab's first record is CLAIMED by owner CACHE with this cache as data, and its order
 * has a shape. Objects and state lie inside the slab and do not meet. C2  The bits set in a map are
 * as many as the record's word says, and none is set beyond the last object. C3  Every slab is in
 * exactly one bin, that of its fullness; links are mutual; bit b of bin_mask is set if and only if
 * bin b is not empty. C4  slabs, slabs_empty, live, capacity and frames_held are what the slabs add
 * up to. C5  At most one slab is empty; with KEEP_NONE, none. C6  Hardening full, no constructor:
 * the object_bytes of a free object are zero. C7  In a set, strides differ, members know the set,
 * and while nobody frees, each cache that has an empty slab is in the ring.
 *
 * Cost and locking. One lock, rank CACHE, interrupts masked; frames are taken and claimed under it,
 * so that a slab found through its record while the lock is held stays this cache's slab. That is
 * what makes any pointer safe to free: it is looked up under the lock and believed only then. A map
 * has at most 16 words to look through.
 *
 * An object is told to the body as allocated and freed, unless there is a constructor, whose work
 * must survive a free.
 *
 * Sources: J. Bonwick, The Slab Allocator, USENIX Summer 1994, for slabs and constructors.
 */
#include "cache_priv.h"

/* What a slab's size costs beside its waste: its last one is, on average, about this part empty. */
#define REST_NUMERATOR   3u
#define REST_DENOMINATOR 4u
#define LIVE_WEIGHED_MAX (1u << 20) /* beyond so many objects, waste alone decides anyway */

KC_STATIC_ASSERT((KC_FRAME_BYTES << KC_CACHE_ORDER_MAX) >= 2 * KC_CACHE_OBJECT_MAX,
                 "every object has a slab");
KC_STATIC_ASSERT(KC_CACHE_ORDER_MAX <= KC_FRAME_ORDER_MAX, "slabs are blocks");
KC_STATIC_ASSERT(KC_FRAME_BYTES << KC_CACHE_ORDER_MAX <= UINT16_MAX, "struct kc_cache_shape");

/*
 * index = offset * reciprocal >> 32, with reciprocal = floor(2^32 / stride) + 1, is exact while
 * offset * stride < 2^32 (see pool.c).
 */
KC_STATIC_ASSERT((uint64_t)(KC_FRAME_BYTES << KC_CACHE_ORDER_MAX) * KC_CACHE_OBJECT_MAX <
                     KC_BIT(32),
                 "division by multiplication is exact");

static uint32_t index_of(const struct kc_cache *c, uint32_t offset)
{
    return (uint32_t)(((uint64_t)offset * c->reciprocal) >> 32);
}

static void raise(struct kc_cache *c, enum kc_misuse_kind kind, const char *where, const void *ptr,
                  uint64_t expected, uint64_t found)
{
    struct kc_misuse_report r = {.kind = kind,
                                 .where = where,
                                 .object = c->name,
                                 .address = (uintptr_t)ptr,
                                 .expected = expected,
                                 .found = found};
    kc_misuse_raise(c->misuse, &r);
}

/* ---- bins: the lock is held ----------------------------------------------------------------- */

static void view_of_index(const struct kc_cache *c, uint32_t index, struct slab_view *v)
{
    struct kc_frame_found found;
    bool claimed = kc_frame_find(c->frames, kc_frame_index_pa(c->frames, index), &found);
    KC_CHECK(claimed && found.data == (uintptr_t)c);
    slab_view_make(c, found.record, found.base, found.order, v);
}

static void bin_add(struct kc_cache *c, const struct slab_view *v, uint32_t bin)
{
    uint32_t first = c->bin[bin];
    v->slab->next = first;
    v->slab->prev = CACHE_NONE;
    if (first != CACHE_NONE) {
        struct slab_view other;
        view_of_index(c, first, &other);
        other.slab->prev = v->index;
    }
    c->bin[bin] = v->index;
    c->bin_mask |= 1u << bin;
}

static void bin_del(struct kc_cache *c, const struct slab_view *v, uint32_t bin)
{
    struct slab_view other;
    if (v->slab->prev == CACHE_NONE) {
        KC_CHECK(c->bin[bin] == v->index);
        c->bin[bin] = v->slab->next;
    } else {
        view_of_index(c, v->slab->prev, &other);
        KC_CHECK(other.slab->next == v->index);
        other.slab->next = v->slab->next;
    }
    if (v->slab->next != CACHE_NONE) {
        view_of_index(c, v->slab->next, &other);
        KC_CHECK(other.slab->prev == v->index);
        other.slab->prev = v->slab->prev;
    }
    if (c->bin[bin] == CACHE_NONE) {
        c->bin_mask &= ~(1u << bin);
    }
}

/* One more or one fewer free object; moves the slab to the bin that this puts it in. */
static void set_free(struct kc_cache *c, const struct slab_view *v, uint32_t free)
{
    uint32_t from = slab_bin(v->objects, v->record->word);
    uint32_t to = slab_bin(v->objects, free);
    v->record->word = free;
    if (from != to) {
        bin_del(c, v, from);
        bin_add(c, v, to);
        c->slabs_empty += (to == CACHE_BIN_EMPTY);
        c->slabs_empty -= (from == CACHE_BIN_EMPTY);
    }
}

/* ---- slabs: the lock is held ---------------------------------------------------------------- */

/* Takes frames for one slab of that order; its objects are all free. */
static bool grow_order(struct kc_cache *c, uint32_t order)
{
    /* Reclaimers lock caches: kc_cache_alloc() asks them when it holds no lock. */
    uint32_t flags = c->frame_flags | KC_FRAME_NO_RECLAIM;
#if KC_HARDENING >= KC_HARDENING_FULL
    flags |= c->ctor == NULL ? KC_FRAME_ZERO : 0;
#endif
    kc_pa_t pa;
    if (kc_frame_alloc(c->frames, order, flags, KC_FRAME_OWNER_CACHE, &pa) != KC_OK) {
        return false;
    }
    struct slab_view v;
    struct kc_frame *record = kc_frame_claim(c->frames, pa, order, (uintptr_t)c);
    slab_view_make(c, record, pa, order, &v);
    for (uint32_t w = 0; w < slab_map_words(v.objects); w++) {
        uint32_t left = v.objects - w * 32;
        v.slab->map[w] = left >= 32 ? UINT32_MAX : (1u << left) - 1;
    }
    record->word = v.objects;
    if (c->ctor != NULL) {
        for (uint32_t i = 0; i < v.objects; i++) {
            c->ctor(v.base + (size_t)i * c->stride);
        }
    }
    bin_add(c, &v, CACHE_BIN_EMPTY);
    c->slabs++;
    c->slabs_empty++;
    c->capacity += v.objects;
    c->frames_held += 1u << order;
    c->peak_frames = c->frames_held > c->peak_frames ? c->frames_held : c->peak_frames;
    c->grow_count++;
    return true;
}

/* What slabs of that order waste, and the rest of the last one, with so many objects live. */
static uint64_t cost_of(const struct kc_cache *c, uint32_t order, uint32_t live)
{
    uint32_t objects = c->shape[order].objects;
    uint64_t bytes = (uint64_t)KC_FRAME_BYTES << order;
    uint64_t waste = bytes - (uint64_t)objects * c->stride;
    return waste * live / objects + bytes * REST_NUMERATOR / REST_DENOMINATOR;
}

/* The order of least cost from first to last; the first of them that holds an object counts. */
static uint32_t cheapest(const struct kc_cache *c, uint32_t first, uint32_t last, uint32_t live)
{
    uint32_t best = last;
    for (uint32_t o = last; o-- > first;) {
        if (c->shape[o].objects != 0 && cost_of(c, o, live) <= cost_of(c, best, live)) {
            best = o;
        }
    }
    return best;
}

static bool grow(struct kc_cache *c)
{
    uint32_t live = c->live < LIVE_WEIGHED_MAX ? (uint32_t)c->live + 1 : LIVE_WEIGHED_MAX;
    uint32_t order = cheapest(c, c->order_first, c->order_more, live);
    if (grow_order(c, order)) {
        return true;
    }
    return order > c->order_first && grow_order(c, c->order_first);
}

/* Gives an empty slab back. */
static void drop(struct kc_cache *c, const struct slab_view *v)
{
    kc_pa_t pa = kc_frame_ptr_pa(c->frames, v->base);
    bin_del(c, v, CACHE_BIN_EMPTY);
    c->slabs--;
    c->slabs_empty--;
    c->capacity -= v->objects;
    c->frames_held -= 1u << v->order;
    kc_frame_unclaim(c->frames, pa, v->order);
    kc_status_t status = kc_frame_free(c->frames, pa, v->order);
    KC_CHECK(status == KC_OK);
}

static uint64_t drop_empty(struct kc_cache *c)
{
    uint64_t frames = 0;
    while (c->bin[CACHE_BIN_EMPTY] != CACHE_NONE) {
        struct slab_view v;
        view_of_index(c, c->bin[CACHE_BIN_EMPTY], &v);
        frames += (uint64_t)1 << v.order;
        drop(c, &v);
    }
    return frames;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

/* Objects in a slab of that order, and where its state goes. Waste is what is no object. */
static struct kc_cache_shape shape_of(uint32_t stride, uint32_t order, uint32_t *waste)
{
    uint32_t bytes = KC_FRAME_BYTES << order;
    uint32_t objects = bytes / stride;
    uint32_t state_offset = 0;
    if (order == 0 || objects > SLAB_RECORD_OBJECTS) {
        while (objects != 0 &&
               objects * stride + SLAB_FIXED_BYTES + 4 * slab_map_words(objects) > bytes) {
            objects--;
        }
        state_offset = bytes - SLAB_FIXED_BYTES - 4 * slab_map_words(objects);
    }
    *waste = bytes - objects * stride;
    return (struct kc_cache_shape){(uint16_t)objects, (uint16_t)state_offset};
}

/* The least and the greatest order that a population could make cheapest; see the theory. */
static void choose_orders(struct kc_cache *c)
{
    uint32_t waste;
    for (uint32_t o = 0; o < KC_CACHE_ORDERS; o++) {
        c->shape[o] = shape_of(c->stride, o, &waste);
    }
    c->order_first = (uint8_t)cheapest(c, 0, KC_CACHE_ORDER_MAX, 1);
    c->order_more = (uint8_t)cheapest(c, 0, KC_CACHE_ORDER_MAX, LIVE_WEIGHED_MAX);
}

static void set_name(char *to, const char *from)
{
    uint32_t i = 0;
    for (; from != NULL && from[i] != 0 && i < KC_CACHE_NAME_CHARS - 1; i++) {
        to[i] = from[i];
    }
    to[i] = 0;
}

/* Bytes from object to object. Objects start on a frame, so what divides it is their alignment. */
static kc_status_t stride_of(size_t object_bytes, size_t align, uint32_t *stride)
{
    size_t a = align == 0 ? KC_CACHE_ALIGN_MIN : align;
    if (!kc_is_pow2(a) || a < KC_CACHE_ALIGN_MIN) {
        return KC_ERR_ARG;
    }
    if (a > KC_CACHE_ALIGN_MAX || object_bytes == 0 || object_bytes > KC_CACHE_OBJECT_MAX) {
        return KC_ERR_RANGE;
    }
    *stride = (uint32_t)((object_bytes + a - 1) & ~(a - 1));
    return KC_OK;
}

kc_status_t kc_cache_init(struct kc_cache *c, const struct kc_cache_config *config,
                          struct kc_frames *frames)
{
    if (c == NULL || config == NULL || frames == NULL ||
        (config->flags & ~KC_CACHE_KEEP_NONE) != 0 || !kc_frame_is_place(config->frame_flags)) {
        return KC_ERR_ARG;
    }
    uint32_t stride;
    uint32_t waste;
    kc_status_t status = stride_of(config->object_bytes, config->align, &stride);
    if (status != KC_OK) {
        return status;
    }
    if (config->slab_order > 1 + KC_CACHE_ORDER_MAX) {
        return KC_ERR_RANGE;
    }
    if (config->slab_order != KC_CACHE_SLAB_AUTO &&
        shape_of(stride, config->slab_order - 1, &waste).objects == 0) {
        return KC_ERR_RANGE;
    }

    __builtin_memset(c, 0, sizeof(*c));
    kc_lock_init(&c->lock, "cache", KC_RANK_CACHE);
    c->frames = frames;
    c->misuse = config->misuse;
    c->ctor = config->ctor;
    c->stride = stride;
    c->reciprocal = (uint32_t)(KC_BIT(32) / stride + 1);
    c->object_bytes = (uint32_t)config->object_bytes;
    c->flags = (uint16_t)config->flags;
    c->frame_flags = (uint16_t)config->frame_flags;
    choose_orders(c);
    if (config->slab_order != KC_CACHE_SLAB_AUTO) {
        c->order_first = c->order_more = (uint8_t)(config->slab_order - 1);
    }
    for (uint32_t b = 0; b < CACHE_BIN_COUNT; b++) {
        c->bin[b] = CACHE_NONE;
    }
    set_name(c->name, config->name);
    return KC_OK;
}

kc_status_t kc_cache_fini(struct kc_cache *c)
{
    uint64_t irq = kc_lock_acquire_irqsave(&c->lock);
    uint64_t live = c->live;
    if (live == 0) {
        (void)drop_empty(c);
    }
    kc_lock_release_irqrestore(&c->lock, irq);
    if (live != 0) {
        raise(c, KC_MISUSE_BUSY, __func__, NULL, 0, live);
        return KC_ERR_STATE;
    }
    return KC_OK;
}

/* ---- objects -------------------------------------------------------------------------------- */

/* The first free object of the fullest slab that has one; the lock is held, and there is one. */
static unsigned char *take(struct kc_cache *c)
{
    uint32_t partial = c->bin_mask & ~(1u << CACHE_BIN_FULL);
    uint32_t bin = 31 - (uint32_t)__builtin_clz(partial);
    struct slab_view v;
    view_of_index(c, c->bin[bin], &v);
    uint32_t w = 0;
    while (v.slab->map[w] == 0) {
        w++;
        KC_CHECK(w < slab_map_words(v.objects));
    }
    uint32_t i = w * 32 + (uint32_t)__builtin_ctz(v.slab->map[w]);
    v.slab->map[w] &= v.slab->map[w] - 1;
    set_free(c, &v, v.record->word - 1);
    c->live++;
    c->peak_live = c->live > c->peak_live ? c->live : c->peak_live;
    c->alloc_count++;
    return v.base + (size_t)i * c->stride;
}

#if KC_HARDENING >= KC_HARDENING_FULL
/* Looks over an object just taken: it was cleared when it was freed. */
static void look_over(struct kc_cache *c, unsigned char *object)
{
    uint32_t at = 0;
    while (at < c->object_bytes && object[at] == 0) {
        at++;
    }
    if (at != c->object_bytes) {
        raise(c, KC_MISUSE_CORRUPT, "kc_cache_alloc", object, 0, at);
        __builtin_memset(object, 0, c->object_bytes);
    }
}
#endif

/* Once more, after the reclaimers were asked; the lock is given up meanwhile. */
static KC_COLD bool grow_again(struct kc_cache *c, uint64_t *irq)
{
    kc_lock_release_irqrestore(&c->lock, *irq);
    uint64_t came = kc_frames_reclaim(c->frames, (uint64_t)1 << c->order_first);
    *irq = kc_lock_acquire_irqsave(&c->lock);
    /* Somebody else may have given an object back, or a slab. */
    return (c->bin_mask & ~(1u << CACHE_BIN_FULL)) != 0 || (came != 0 && grow(c));
}

void *kc_cache_alloc(struct kc_cache *c, uint32_t flags)
{
    if (KC_UNLIKELY((flags & ~KC_CACHE_ZERO) != 0 || (flags != 0 && c->ctor != NULL))) {
        return NULL;
    }
    uint64_t irq = kc_lock_acquire_irqsave(&c->lock);
    if (KC_UNLIKELY((c->bin_mask & ~(1u << CACHE_BIN_FULL)) == 0) && !grow(c) &&
        !grow_again(c, &irq)) {
        c->fail_count++;
        kc_lock_release_irqrestore(&c->lock, irq);
        return NULL;
    }
    unsigned char *object = take(c);
    kc_lock_release_irqrestore(&c->lock, irq);
    if (c->ctor == NULL) {
        kc_plat_note(KC_NOTE_ALLOC, (uintptr_t)object, c->object_bytes, c);
#if KC_HARDENING >= KC_HARDENING_FULL
        look_over(c, object);
#endif
        if ((flags & KC_CACHE_ZERO) != 0) {
            __builtin_memset(object, 0, c->object_bytes);
        }
    }
    return object;
}

/* What a pointer is to this cache. */
struct finding {
    kc_status_t status;
    enum kc_misuse_kind misuse;
    struct slab_view v;
    uint32_t object;
};

/* Finds the live object at ptr; the lock is held. */
static struct finding find(struct kc_cache *c, const void *ptr)
{
    struct finding x = {KC_OK, KC_MISUSE_KIND_COUNT, {0}, 0};
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
    slab_view_make(c, found.record, found.base, found.order, &x.v);
    uint32_t offset = (uint32_t)kc_pa_diff(pa, found.base);
    x.object = index_of(c, offset);
    if (x.object >= x.v.objects || x.object * c->stride != offset) {
        x.status = KC_ERR_ALIGN;
        x.misuse = KC_MISUSE_INTERIOR;
    } else if (slab_is_free(&x.v, x.object)) {
        x.status = KC_ERR_STATE;
        x.misuse = KC_MISUSE_DOUBLE_FREE;
    }
    return x;
}

/*
 * An empty slab of c is kept: puts c into the ring, if it is not there, and sends back the slab of
 * whoever was there longest. No lock is held. If c is found in the ring, nothing is to be done even
 * when somebody takes it out just now: he says so before he locks c, hence he has not locked it
 * before we did (or we would have seen what he said), and will see the slab.
 */
static KC_COLD void enter_ring(struct kc_cache_set *s, struct kc_cache *c)
{
    if (__atomic_exchange_n(&c->in_ring, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    uint32_t at = __atomic_fetch_add(&s->spare_next, 1, __ATOMIC_RELAXED) & (s->spares - 1);
    size_t offset = (size_t)((const char *)c - (const char *)s->cache);
    uint32_t number = (uint32_t)(offset / sizeof(*c)) + 1;
    uint32_t last = __atomic_exchange_n(&s->spare[at], number, __ATOMIC_ACQ_REL);
    if (last != 0) {
        __atomic_store_n(&s->cache[last - 1].in_ring, 0, __ATOMIC_RELEASE);
        (void)kc_cache_shrink(&s->cache[last - 1]);
    }
}

kc_status_t kc_cache_free(struct kc_cache *c, void *ptr)
{
    if (ptr == NULL) {
        return KC_OK;
    }
    uint64_t irq = kc_lock_acquire_irqsave(&c->lock);
    struct finding x = find(c, ptr);
    if (KC_UNLIKELY(x.status != KC_OK)) {
        kc_lock_release_irqrestore(&c->lock, irq);
        raise(c, x.misuse, __func__, ptr, 0, 0);
        return x.status;
    }
    if (c->ctor == NULL) {
#if KC_HARDENING >= KC_HARDENING_FULL
        __builtin_memset(ptr, 0, c->object_bytes);
#endif
        kc_plat_note(KC_NOTE_FREE, (uintptr_t)ptr, c->object_bytes, c);
    }
    x.v.slab->map[x.object / 32] |= 1u << x.object % 32;
    set_free(c, &x.v, x.v.record->word + 1);
    c->live--;
    bool spare = false;
    if (KC_UNLIKELY(x.v.record->word == x.v.objects)) {
        uint32_t keep = (c->flags & KC_CACHE_KEEP_NONE) != 0 ? 0 : 1;
        if (c->slabs_empty > keep) {
            drop(c, &x.v);
        } else {
            spare = c->set != NULL && __atomic_load_n(&c->in_ring, __ATOMIC_ACQUIRE) == 0;
        }
    }
    kc_lock_release_irqrestore(&c->lock, irq);
    if (KC_UNLIKELY(spare)) {
        enter_ring(c->set, c);
    }
    return KC_OK;
}

kc_status_t kc_cache_probe(struct kc_cache *c, const void *ptr)
{
    uint64_t irq = kc_lock_acquire_irqsave(&c->lock);
    struct finding x = find(c, ptr);
    kc_lock_release_irqrestore(&c->lock, irq);
    if (x.status != KC_OK) {
        raise(c, x.misuse, __func__, ptr, 0, 0);
    }
    return x.status;
}

uint64_t kc_cache_shrink(struct kc_cache *c)
{
    uint64_t irq = kc_lock_acquire_irqsave(&c->lock);
    uint64_t frames = drop_empty(c);
    kc_lock_release_irqrestore(&c->lock, irq);
    return frames;
}

/* ---- sets ----------------------------------------------------------------------------------- */

/* As a reclaimer: all empty slabs, for they are few (KC_CACHE_SPARES_MAX) and cheap to make. */
static uint64_t give_back(void *context, uint64_t frames)
{
    (void)frames;
    return kc_cache_set_shrink((struct kc_cache_set *)context);
}

kc_status_t kc_cache_set_init(struct kc_cache_set *s, const struct kc_cache_set_config *config,
                              struct kc_frames *frames)
{
    if (s == NULL || config == NULL || frames == NULL || config->cache == NULL ||
        !kc_frame_is_place(config->frame_flags)) {
        return KC_ERR_ARG;
    }
    if (config->cache_max == 0 || config->spares > KC_CACHE_SPARES_MAX ||
        !kc_is_pow2(config->spares)) {
        return KC_ERR_RANGE;
    }
    __builtin_memset(s, 0, sizeof(*s));
    kc_lock_init(&s->lock, "cache set", KC_RANK_CACHE);
    s->frames = frames;
    s->misuse = config->misuse;
    s->cache = config->cache;
    s->cache_max = config->cache_max;
    s->frame_flags = config->frame_flags;
    s->spares = config->spares;
    set_name(s->name, config->name);
    s->reclaimer.name = "cache set";
    s->reclaimer.reclaim = give_back;
    s->reclaimer.context = s;
    return kc_frames_reclaimer_add(frames, &s->reclaimer);
}

kc_status_t kc_cache_set_fini(struct kc_cache_set *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->cache[i].live != 0) {
            raise(&s->cache[i], KC_MISUSE_BUSY, __func__, NULL, 0, s->cache[i].live);
            return KC_ERR_STATE;
        }
    }
    (void)kc_frames_reclaimer_remove(s->frames, &s->reclaimer);
    for (uint32_t i = 0; i < s->count; i++) {
        kc_status_t status = kc_cache_fini(&s->cache[i]);
        KC_CHECK(status == KC_OK);
    }
    return KC_OK;
}

/* "NAME-BYTES", the name cut so that the size is whole. */
static void member_name(char *to, const char *set, uint32_t bytes)
{
    char digits[8];
    uint32_t count = 0;
    uint32_t i = 0;
    for (; bytes != 0; bytes /= 10) {
        digits[count++] = (char)('0' + bytes % 10);
    }
    for (; set[i] != 0 && i + count + 2 < KC_CACHE_NAME_CHARS; i++) {
        to[i] = set[i];
    }
    to[i++] = '-';
    while (count > 0) {
        to[i++] = digits[--count];
    }
    to[i] = 0;
}

/* The cache with that stride, made if it is not there; the set's lock is held. */
static kc_status_t member(struct kc_cache_set *s, uint32_t stride, struct kc_cache **out)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->cache[i].stride == stride) {
            *out = &s->cache[i];
            return KC_OK;
        }
    }
    if (s->count == s->cache_max) {
        return KC_ERR_NOMEM;
    }
    char name[KC_CACHE_NAME_CHARS];
    member_name(name, s->name, stride);
    struct kc_cache_config config = {name, stride,         0,        NULL, KC_CACHE_SLAB_AUTO,
                                     0,    s->frame_flags, s->misuse};
    struct kc_cache *c = &s->cache[s->count];
    kc_status_t status = kc_cache_init(c, &config, s->frames);
    if (status == KC_OK) {
        c->set = s;
        *out = c;
        /* Release: who counts it in sees it made. */
        __atomic_store_n(&s->count, s->count + 1, __ATOMIC_RELEASE);
    }
    return status;
}

kc_status_t kc_cache_set_get(struct kc_cache_set *s, size_t object_bytes, size_t align,
                             struct kc_cache **out)
{
    uint32_t stride;
    kc_status_t status = stride_of(object_bytes, align, &stride);
    if (status == KC_OK) {
        uint64_t irq = kc_lock_acquire_irqsave(&s->lock);
        status = member(s, stride, out);
        kc_lock_release_irqrestore(&s->lock, irq);
    }
    return status;
}

uint32_t kc_cache_set_count(const struct kc_cache_set *s)
{
    return __atomic_load_n(&s->count, __ATOMIC_ACQUIRE);
}

uint64_t kc_cache_set_shrink(struct kc_cache_set *s)
{
    uint64_t frames = 0;
    uint32_t count = kc_cache_set_count(s);
    for (uint32_t i = 0; i < count; i++) {
        frames += kc_cache_shrink(&s->cache[i]);
    }
    return frames;
}

/* ---- queries -------------------------------------------------------------------------------- */

void kc_cache_stats(struct kc_cache *c, struct kc_cache_stats *out)
{
    uint64_t irq = kc_lock_acquire_irqsave(&c->lock);
    out->object_bytes = c->object_bytes;
    out->stride_bytes = c->stride;
    out->live = c->live;
    out->peak_live = c->peak_live;
    out->capacity = c->capacity;
    out->slabs = c->slabs;
    out->slabs_empty = c->slabs_empty;
    out->frames_bytes = (uint64_t)c->frames_held << KC_FRAME_LOG2;
    out->peak_frames_bytes = (uint64_t)c->peak_frames << KC_FRAME_LOG2;
    out->alloc_count = c->alloc_count;
    out->free_count = c->alloc_count - c->live;
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
    void *object = NULL;
    uint64_t irq = kc_lock_acquire_irqsave(&c->lock);
    while (object == NULL && cursor->bin < CACHE_BIN_COUNT) {
        uint32_t index = cursor->slab == 0 ? c->bin[cursor->bin] : cursor->slab - 1;
        if (index == CACHE_NONE) {
            cursor->bin++;
            cursor->slab = 0;
            continue;
        }
        struct slab_view v;
        view_of_index(c, index, &v);
        cursor->slab = index + 1;
        while (object == NULL && cursor->object < v.objects) {
            uint32_t i = cursor->object++;
            if (!slab_is_free(&v, i)) {
                object = v.base + (size_t)i * c->stride;
            }
        }
        if (object == NULL) {
            cursor->object = 0;
            cursor->slab = v.slab->next + 1; /* CACHE_NONE + 1 is 0: on to the next bin */
            cursor->bin += v.slab->next == CACHE_NONE;
        }
    }
    kc_lock_release_irqrestore(&c->lock, irq);
    return object;
}
