/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The slabs of a cache: bins, layout, growth. The theory and C1 to C5 are in cache.c. All here but
 * kc_cache_priv_slab_init() and the store runs with the cache's lock held.
 */
#include "cache_priv.h"

/* What a slab's size costs beside its waste: its last one is, on average, about this part empty. */
#define REST_NUMERATOR   3u
#define REST_DENOMINATOR 4u
#define LIVE_WEIGHED_MAX (1u << 20) /* beyond so many objects, waste alone decides anyway */

KC_STATIC_ASSERT(KC_CACHE_URGENT == KC_FRAME_URGENT && KC_CACHE_NO_RECLAIM == KC_FRAME_NO_RECLAIM,
                 "flags are handed on");
KC_STATIC_ASSERT((KC_FRAME_BYTES << KC_CACHE_ORDER_MAX) >= 2 * KC_CACHE_OBJECT_MAX,
                 "every object has a slab");
KC_STATIC_ASSERT(KC_CACHE_ORDER_MAX <= KC_FRAME_ORDER_MAX, "slabs are blocks");
KC_STATIC_ASSERT(KC_FRAME_BYTES << KC_CACHE_ORDER_MAX <= UINT16_MAX, "struct kc_cache_shape");

/* ---- bins: the lock is held ----------------------------------------------------------------- */

/* The first frame record of the slab with that index, which is one of this cache (KC_CHECK). */
KC_INLINE struct kc_frame *record_at(const struct kc_cache *c, uint32_t index, uint64_t *pfn)
{
    struct kc_frame *record = frame_at(c->frames, index, pfn);
    KC_CHECK(record->u.data == (uintptr_t)c);
    return record;
}

KC_INLINE unsigned char *base_of(uint64_t pfn)
{
    return (unsigned char *)kc_plat_ram(frame_pa(pfn));
}

/* The slab's state; where that lies in records, its base need not be found. */
KC_INLINE struct slab *slab_at(const struct kc_cache *c, uint32_t index)
{
    uint64_t pfn;
    struct kc_frame *record = record_at(c, index, &pfn);
    const struct kc_cache_shape *shape = &c->shape[frame_kind_order(record->kind)];
    return slab_state_at(shape, record, shape->state_offset == 0 ? NULL : base_of(pfn));
}

KC_INLINE void view_of_index(const struct kc_cache *c, uint32_t index, struct slab_view *v)
{
    uint64_t pfn;
    struct kc_frame *record = record_at(c, index, &pfn);
    slab_view_of_record(c, record, base_of(pfn), v);
}

/* `index` is the slab's. */
KC_INLINE void bin_add(struct kc_cache *c, struct slab *slab, uint32_t index, uint32_t bin)
{
    uint32_t first = c->bin[bin];
    slab->next = first;
    slab->prev = CACHE_NONE;
    if (first != CACHE_NONE) {
        slab_at(c, first)->prev = index;
    }
    c->bin[bin] = index;
    c->bin_mask |= 1u << bin;
}

KC_INLINE void bin_del(struct kc_cache *c, const struct slab *slab, uint32_t index, uint32_t bin)
{
    uint32_t next = slab->next;
    uint32_t prev = slab->prev;
    if (prev == CACHE_NONE) {
        KC_CHECK(c->bin[bin] == index);
        c->bin[bin] = next;
        c->bin_mask &= ~((uint32_t)(next == CACHE_NONE) << bin);
    } else {
        struct slab *before = slab_at(c, prev);
        KC_CHECK(before->next == index);
        before->next = next;
    }
    if (next != CACHE_NONE) {
        struct slab *behind = slab_at(c, next);
        KC_CHECK(behind->prev == index);
        behind->prev = prev;
    }
}

/* ---- slabs: the lock is held ---------------------------------------------------------------- */

/* All objects of a new slab are in it. */
static void fill(const struct kc_cache *c, const struct slab_view *v)
{
    if (v->by_bytes) {
        for (uint32_t i = 0; i < v->objects; i++) {
            slab_store_state(slab_record_state(v->record, i), KC_MAG_HOME);
        }
        return;
    }
    for (uint32_t w = 0; w < slab_map_words(v->objects); w++) {
        uint32_t left = v->objects - w * 32;
        v->slab->map[w] = left >= 32 ? UINT32_MAX : (1u << left) - 1;
    }
    uint8_t *states = slab_state(c, v, 0);
    if (states != NULL) {
        __builtin_memset(states, KC_MAG_FREE, v->objects);
    }
    __atomic_store_n(&v->record->word, v->objects, __ATOMIC_RELAXED);
}

/* Takes frames for one slab of that order, which is at hand then; its objects are all free. */
static bool grow_order(struct kc_cache *c, uint32_t order, uint32_t request)
{
    /* Reclaimers lock caches: cache.c asks them when it holds no lock. */
    uint32_t flags = c->frame_flags | KC_FRAME_NO_RECLAIM | (request & KC_CACHE_URGENT);
#if KC_HARDENING >= KC_HARDENING_FULL
    flags |= c->ctor == NULL ? KC_FRAME_ZERO : 0;
#endif
    kc_pa_t pa;
    if (kc_frame_alloc(c->frames, order, flags, KC_FRAME_OWNER_CACHE, &pa) != KC_OK) {
        return false;
    }
    struct slab_view v;
    struct kc_frame *record = kc_frame_claim(c->frames, pa, order, (uintptr_t)c);
    slab_view_make(c, record, pa, &v);
    fill(c, &v);
    if (c->ctor != NULL) {
        for (uint32_t i = 0; i < v.objects; i++) {
            c->ctor(v.base + (size_t)i * c->stride);
        }
    }
    c->hand = record;
    c->hand_base = v.base;
    c->slabs++;
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

static __attribute__((noinline)) bool grow(struct kc_cache *c, uint32_t request)
{
    uint32_t live = c->out < LIVE_WEIGHED_MAX ? (uint32_t)c->out + 1 : LIVE_WEIGHED_MAX;
    uint32_t order = cheapest(c, c->order_first, c->order_more, live);
    if (grow_order(c, order, request)) {
        return true;
    }
    return order > c->order_first && grow_order(c, c->order_first, request);
}

/* Gives an empty slab back. */
static KC_COLD void drop(struct kc_cache *c, const struct slab_view *v)
{
    kc_pa_t pa = kc_frame_ptr_pa(c->frames, v->base);
    bin_del(c, v->slab, slab_index(c, v), CACHE_BIN_EMPTY);
    c->slabs--;
    c->slabs_empty--;
    c->capacity -= v->objects;
    c->frames_held -= 1u << v->order;
    kc_tag_wipe(v->base, (size_t)KC_FRAME_BYTES << v->order);
    kc_frame_unclaim(c->frames, pa, v->order);
    kc_status_t status = kc_frame_free(c->frames, pa, v->order);
    KC_CHECK(status == KC_OK);
}

uint64_t kc_cache_priv_slab_drop_empty(struct kc_cache *c)
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

/* ---- layout --------------------------------------------------------------------------------- */

/* Bytes of state in a slab of so many objects. */
static uint32_t state_bytes(uint32_t objects, bool bytes_too)
{
    /* Sites are behind the rest, aligned. */
    uint32_t sites = CACHE_IS_FULL ? (objects + 1) * (uint32_t)sizeof(uintptr_t) : 0;
    return SLAB_FIXED_BYTES + 4 * slab_map_words(objects) + (bytes_too ? objects : 0) + sites;
}

/* Objects in a slab of that order, and where its state goes; C1. */
static struct kc_cache_shape shape_of(struct kc_cache *c, uint32_t order)
{
    struct kc_cache_shape shape = {0, 0, 0, 0};
    bool bytes_too = cache_has_bytes(c);
    uint32_t bytes = KC_FRAME_BYTES << order;
    uint32_t objects = bytes / c->stride;
    if (order == 0 || objects > slab_record_objects(c, order) || CACHE_IS_FULL) {
        while (objects != 0 && objects * c->stride + state_bytes(objects, bytes_too) > bytes) {
            objects--;
        }
        /* Words must be aligned: what that leaves over lies behind the state bytes. */
        uint32_t offset = (bytes - state_bytes(objects, bytes_too)) & ~3u;
        shape.state_offset = (uint16_t)offset;
        if (bytes_too) {
            shape.bytes_offset =
                (uint16_t)(offset + SLAB_FIXED_BYTES + 4 * slab_map_words(objects));
        }
    }
    if (CACHE_IS_FULL && objects != 0) {
        uint32_t behind = shape.state_offset + SLAB_FIXED_BYTES + 4 * slab_map_words(objects);
        uint32_t align = (uint32_t)sizeof(uintptr_t);
        c->site_offset[order] = (uint16_t)((behind + align - 1) & ~(align - 1));
    }
    shape.by_bytes = bytes_too && shape.state_offset == 0;
    shape.objects = (uint16_t)objects;
    c->share[order] = objects == 0 ? 0 : slab_bin_share(objects);
    return shape;
}

bool kc_cache_priv_slab_init(struct kc_cache *c, uint32_t slab_order)
{
    c->shift = (uint32_t)__builtin_ctz(c->stride);
#if CACHE_IS_FULL
    if (!kc_plat_entropy(&c->random)) {
        c->random = kc_plat_ticks() ^ (uintptr_t)c;
    }
#endif
#if KC_TAG_IS_USED
    kc_tag_seed(&c->tags);
#endif
    c->inverse = (uint32_t)kc_mag_inverse(c->stride >> c->shift);
    for (uint32_t o = 0; o < KC_CACHE_ORDERS; o++) {
        c->shape[o] = shape_of(c, o);
    }
    for (uint32_t b = 0; b < CACHE_BIN_COUNT; b++) {
        c->bin[b] = CACHE_NONE;
    }
    /* The least and the greatest order that a population could make cheapest; see the theory. */
    c->order_first = (uint8_t)cheapest(c, 0, KC_CACHE_ORDER_MAX, 1);
    c->order_more = (uint8_t)cheapest(c, 0, KC_CACHE_ORDER_MAX, LIVE_WEIGHED_MAX);
    if (slab_order == KC_CACHE_SLAB_AUTO) {
        return true;
    }
    c->order_first = c->order_more = (uint8_t)(slab_order - 1);
    return c->shape[c->order_first].objects != 0;
}

/* ---- objects --------------------------------------------------------------------------------- */

#if CACHE_IS_FULL
/* Entries of n free objects, each one random. */
static uint32_t take_some(struct kc_cache *c, const struct slab_view *v, struct kc_cache_entry *out,
                          uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        c->random = c->random * 6364136223846793005u + 1442695040888963407u;
        uint32_t i = (uint32_t)(c->random >> 33) % v->objects;
        for (uint32_t tried = 0; !slab_is_free(v, i); tried++) {
            KC_CHECK(tried < v->objects);
            i = i + 1 < v->objects ? i + 1 : 0;
        }
        slab_map_set(v, i / 32, v->slab->map[i / 32] & ~(1u << i % 32));
        out[k].object = v->base + (size_t)i * c->stride;
        out[k].state = NULL; /* without magazines, there are none */
    }
    return n;
}
#else
#if KC_MAG_HAS_STATE
/* Entries of the lowest free objects, which are n at least, but no more than CACHE_REFILL_BYTES;
 * the lowest last. */
static __attribute__((noinline)) uint32_t take_by_bytes(const struct kc_cache *c,
                                                        const struct slab_view *v,
                                                        struct kc_cache_entry *out, uint32_t n)
{
    n = n < CACHE_REFILL_BYTES ? n : CACHE_REFILL_BYTES;
    struct kc_cache_entry *e = out + n;
    size_t stride = c->stride;
    unsigned char *base = v->base;
    struct kc_frame *end = v->record + ((size_t)1 << v->order);
    for (struct kc_frame *r = v->record;; r++, base += SLAB_RECORD_STATES * stride) {
        KC_CHECK(r != end);
        for (uint32_t home = slab_record_home(r); home != 0; home &= home - 1) {
            uint32_t i = (uint32_t)__builtin_ctz(home) / 8;
            e--;
            e->state = slab_record_state(r, 0) + i;
            __atomic_store_n(&e->object, (void *)(base + i * stride), __ATOMIC_RELAXED);
            slab_store_state(e->state, KC_MAG_FREE);
            if (e == out) {
                return n;
            }
        }
    }
}
#endif

/* The n entries there go to where they are to begin. */
static __attribute__((noinline)) uint32_t close_gap(struct kc_cache_entry *to,
                                                    const struct kc_cache_entry *from, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        __atomic_store_n(&to[k].object, from[k].object, __ATOMIC_RELAXED);
#if KC_MAG_HAS_STATE
        to[k].state = from[k].state;
#endif
    }
    return n;
}

/* Entries of the lowest free objects, up to n of them, of one word of the map; the lowest last. */
KC_INLINE uint32_t take_some(struct kc_cache *c, const struct slab_view *v,
                             struct kc_cache_entry *out, uint32_t n)
{
#if KC_MAG_HAS_STATE
    if (v->by_bytes) {
        return take_by_bytes(c, v, out, n);
    }
#endif
    uint32_t w = 0;
    uint32_t words = slab_map_words(v->objects);
    while (v->slab->map[w] == 0) {
        w++;
        KC_CHECK(w < words);
    }
    uint32_t bits = v->slab->map[w];
    size_t stride = c->stride;
    uintptr_t base = (uintptr_t)v->base + w * 32 * stride;
    KC_FORGET(base); /* one sum for all */
#if KC_MAG_HAS_STATE
    /* Of objects that have none it leads nowhere, and nobody looks. */
    uint8_t *state = v->base + c->shape[v->order].bytes_offset + (size_t)w * 32;
    KC_FORGET(state);
#endif
    struct kc_cache_entry *e = out + n;
    for (; e != out && bits != 0; bits &= bits - 1) {
        size_t i = (uint32_t)__builtin_ctz(bits);
        e--;
        /* A free on another CPU may be looking through this magazine (is_kept() in cache.c). */
        __atomic_store_n(&e->object, (void *)(base + i * stride), __ATOMIC_RELAXED);
#if KC_MAG_HAS_STATE
        e->state = state + i;
#endif
    }
    slab_map_set(v, w, bits);
    return KC_LIKELY(e == out) ? n : close_gap(out, e, n - (uint32_t)(e - out));
}
#endif

/* The fullest slab that has a free object is at hand from now on; a new one if there is none. */
KC_INLINE bool pick(struct kc_cache *c, uint32_t request, struct slab_view *v)
{
    uint32_t mask = c->bin_mask & ~(1u << CACHE_BIN_FULL);
    if (KC_UNLIKELY(mask == 0)) {
        if (!grow(c, request)) {
            return false;
        }
        slab_view_of_record(c, c->hand, c->hand_base, v);
        return true;
    }
    uint32_t bin = 31 - (uint32_t)__builtin_clz(mask);
    uint32_t index = c->bin[bin];
    view_of_index(c, index, v);
    bin_del(c, v->slab, index, bin);
    c->slabs_empty -= bin == CACHE_BIN_EMPTY;
    c->hand = v->record;
    c->hand_base = v->base;
    return true;
}

/* As kc_cache_priv_slab_take(). */
KC_INLINE uint32_t take(struct kc_cache *c, struct kc_cache_entry *out, uint32_t n, uint32_t flags)
{
    struct slab_view v;
    if (KC_LIKELY(c->hand != NULL)) {
        slab_view_of_record(c, c->hand, c->hand_base, &v);
    } else if (KC_LIKELY(pick(c, flags, &v))) {
        n = n < CACHE_REFILL_PICK ? n : CACHE_REFILL_PICK;
    } else {
        return 0;
    }
    uint32_t free = slab_free_count(&v);
    n = take_some(c, &v, out, n < free ? n : free);
    if (!v.by_bytes) {
        __atomic_store_n(&v.record->word, free - n, __ATOMIC_RELAXED);
    }
    if (KC_UNLIKELY(n == free)) {
        bin_add(c, v.slab, slab_index(c, &v), CACHE_BIN_FULL);
        c->hand = NULL;
    }
    c->out += n;
    c->peak_out = c->out > c->peak_out ? c->out : c->peak_out;
    return n;
}

uint32_t kc_cache_priv_slab_take(struct kc_cache *c, struct kc_cache_entry *out, uint32_t n,
                                 uint32_t flags)
{
    return take(c, out, n, flags);
}

#if KC_MAG_IS_USED
/* Takes n objects, or less, into the empty magazine, leaves the lock, and hands one out; or NULL.
 */
KC_INLINE void *take_and_pop(struct kc_cache *c, struct kc_cache_cpu *m, uint32_t n, uint32_t flags)
{
    size_t count = take(c, cache_entries(m), n, flags);
    kc_lock_leave_quiet(&c->lock);
    if (KC_UNLIKELY(count == 0)) {
        return NULL;
    }
    if (KC_UNLIKELY(!cache_make_live(&cache_entries(m)[count - 1]))) {
        cache_add_entries(m, count); /* the twin finds it there, and tells */
        return NULL;
    }
    __atomic_store_n(&m->alloc_count, m->alloc_count + 1, __ATOMIC_RELAXED);
    cache_add_entries(m, count - 1);
    return cache_entries(m)[count - 1].object;
}

KC_QUICK void *kc_cache_priv_alloc_taking(struct kc_cache *c, struct kc_cache_cpu *m, uint32_t n,
                                          uint32_t flags)
{
    void *object = take_and_pop(c, m, n, flags);
    return KC_LIKELY(object != NULL) ? object : kc_cache_priv_alloc_twin(c, flags);
}

KC_QUICK void *kc_cache_priv_alloc_taking_masked(struct kc_cache *c, struct kc_cache_cpu *m,
                                                 uint32_t n, uint64_t irq)
{
    void *object = take_and_pop(c, m, n, 0);
    if (KC_UNLIKELY(object == NULL)) {
        return kc_cache_priv_alloc_twin_masked(c, irq);
    }
    return KC_LIKELY(kc_plat_irq_restore_quick(irq)) ? object
                                                     : kc_cache_priv_alloc_done(object, irq);
}
#endif

/* An empty slab is kept or goes; as slab_give(). */
static __attribute__((noinline)) bool emptied(struct kc_cache *c, struct kc_frame *record)
{
    c->slabs_empty++;
    uint32_t keep = (c->flags & KC_CACHE_KEEP_NONE) != 0 ? 0 : 1;
    if (c->slabs_empty > keep) {
        struct slab_view v;
        view_of_index(c, kc_frame_index(c->frames, record), &v);
        drop(c, &v);
        return false;
    }
    return c->set != NULL && __atomic_load_n(&c->in_ring, __ATOMIC_RELAXED) == 0;
}

KC_INLINE bool emptier(struct kc_cache *c, struct kc_frame *record, struct slab *slab,
                       uint32_t free)
{
    uint32_t index = kc_frame_index(c->frames, record);
    uint32_t order = frame_kind_order(record->kind);
    uint32_t used = c->shape[order].objects - free;
    uint32_t product = slab_bin_product(c, order, used);
    if (c->hand == record) {
        c->hand = NULL;
    } else {
        bin_del(c, slab, index, (product + c->share[order]) >> SLAB_BIN_SHIFT);
    }
    bin_add(c, slab, index, product >> SLAB_BIN_SHIFT);
    return KC_LIKELY(used != 0) ? false : emptied(c, record);
}

bool kc_cache_priv_slab_emptier(struct kc_cache *c, struct kc_frame *record, struct slab *slab,
                                uint32_t free)
{
    return emptier(c, record, slab, free);
}

#if KC_MAG_IS_USED
KC_INLINE void emptier_and_leave(struct kc_cache *c, struct kc_frame *record, struct slab *slab,
                                 uint32_t free)
{
    bool spare = emptier(c, record, slab, free);
    kc_lock_leave_quiet(&c->lock);
    if (KC_UNLIKELY(spare)) {
        kc_cache_priv_set_spare(c->set, c);
    }
}

KC_QUICK kc_status_t kc_cache_priv_free_emptier(struct kc_cache *c, struct kc_frame *record,
                                                struct slab *slab, uint32_t free)
{
    emptier_and_leave(c, record, slab, free);
    return KC_OK;
}

KC_QUICK kc_status_t kc_cache_priv_free_emptier_masked(struct kc_cache *c, struct kc_frame *record,
                                                       struct slab *slab, uint32_t free,
                                                       uint64_t irq)
{
    emptier_and_leave(c, record, slab, free);
    return KC_LIKELY(kc_plat_irq_restore_quick(irq)) ? KC_OK : kc_cache_priv_free_done(irq);
}
#endif

/* The first object from there on that is out of the slab; past it, the cursor. NULL: no more. */
static void *next_out_of(const struct kc_cache *c, const struct slab_view *v, uint32_t *object)
{
    while (*object < v->objects) {
        uint32_t i = (*object)++;
        if (!slab_is_free(v, i)) {
            return v->base + (size_t)i * c->stride;
        }
    }
    return NULL;
}

void *kc_cache_priv_slab_next_out(const struct kc_cache *c, struct kc_cache_cursor *cursor)
{
    struct slab_view v;
    void *object = NULL;
    while (object == NULL && cursor->bin < CACHE_BIN_COUNT) {
        uint32_t index = cursor->slab == 0 ? c->bin[cursor->bin] : cursor->slab - 1;
        if (index == CACHE_NONE) {
            cursor->bin++;
            cursor->slab = 0;
            continue;
        }
        view_of_index(c, index, &v);
        cursor->slab = index + 1;
        object = next_out_of(c, &v, &cursor->object);
        if (object == NULL) {
            cursor->object = 0;
            cursor->slab = v.slab->next + 1; /* CACHE_NONE + 1 is 0: on to the next bin */
            cursor->bin += v.slab->next == CACHE_NONE;
        }
    }
    if (object == NULL && c->hand != NULL) {
        slab_view_of_record(c, c->hand, c->hand_base, &v);
        object = next_out_of(c, &v, &cursor->object);
    }
    return object;
}

/* ---- where magazines lie --------------------------------------------------------------------- */

void *kc_cache_priv_store_get(struct kc_cache_store *s, struct kc_frames *f, uint32_t frame_flags,
                              size_t bytes)
{
    size_t rounded = (bytes + KC_LINE_BYTES - 1) & ~(size_t)(KC_LINE_BYTES - 1);
    if (s->end - s->at < rounded) {
        kc_pa_t pa;
        uint32_t flags = frame_flags | KC_FRAME_NO_RECLAIM; /* they lock caches */
        if (kc_frame_alloc(f, 0, flags, KC_FRAME_OWNER_CACHE, &pa) != KC_OK) {
            return NULL;
        }
        uintptr_t frame = (uintptr_t)kc_plat_ram(pa);
        *(uint64_t *)frame = s->last;
        s->last = kc_pa_raw(pa);
        s->at = frame + KC_LINE_BYTES;
        s->end = frame + KC_FRAME_BYTES;
        s->frame_count++;
    }
    void *room = (void *)s->at;
    s->at += rounded;
    return room;
}

void kc_cache_priv_store_fini(struct kc_cache_store *s, struct kc_frames *f)
{
    while (s->last != 0) {
        kc_pa_t pa = kc_pa(s->last);
        s->last = *(const uint64_t *)kc_plat_ram(pa);
        kc_status_t status = kc_frame_free(f, pa, 0);
        KC_CHECK(status == KC_OK);
    }
    s->at = s->end = 0;
    s->frame_count = 0;
}
