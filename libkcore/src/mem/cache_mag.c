/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The magazines of a cache, and the calls that one does not serve at once. The theory is in
 * cache.c. The caller is pinned.
 *
 * Each of the two calls has a short form, which moves what there is to move, under the lock if
 * nobody has it, and tells nobody. What it cannot do, its twin does, which waits and tells.
 */
#include "cache_priv.h"

/* ---- magazines ------------------------------------------------------------------------------- */

/* Greatest limit that a magazine of this cache may have. */
KC_INLINE uint32_t limit_most(const struct kc_cache *c)
{
    uint32_t limit = KC_CACHE_CPU_BYTES / c->stride;
    return limit > KC_CACHE_CPU_OBJECTS ? KC_CACHE_CPU_OBJECTS : limit < 1 ? 1 : limit;
}

/* A magazine like that, with room for so many entries, becomes the CPU's; NULL: no memory. Pinned.
 */
static KC_COLD struct kc_cache_cpu *place_magazine(struct kc_cache *c, uint32_t cpu, uint32_t room,
                                                   const struct kc_cache_cpu *old)
{
    size_t bytes = sizeof(struct kc_cache_cpu) + room * sizeof(struct kc_cache_entry);
    struct kc_lock *lock = c->set != NULL ? &c->set->lock : &c->lock;
    struct kc_cache_store *store = c->set != NULL ? &c->set->store : &c->store;
    kc_lock_enter(lock);
    struct kc_cache_cpu *m =
        (struct kc_cache_cpu *)kc_cache_priv_store_get(store, c->frames, c->frame_flags, bytes);
    kc_lock_leave(lock);
    if (m == NULL) {
        return NULL;
    }
    *m = *old;
    for (uint32_t i = 0; i < kc_mag_count(&old->mag); i++) {
        cache_entries(m)[i] = ((const struct kc_cache_entry *)(const void *)(old + 1))[i];
    }
    m->room = room;
    /* Release: who counts it in sees it made. */
    __atomic_store_n(&c->cpu[cpu], m, __ATOMIC_RELEASE);
    return m;
}

/* The CPU's magazine, made now; `none` if it is to have none, or there is no memory. Pinned. */
static KC_COLD struct kc_cache_cpu *make_magazine(struct kc_cache *c, uint32_t cpu)
{
    if (cpu >= c->cpu_count) {
        return &c->none;
    }
    uint32_t most = limit_most(c);
    struct kc_cache_cpu *m =
        place_magazine(c, cpu, most < CACHE_ROOM_FIRST ? most : CACHE_ROOM_FIRST, &c->none);
    return m != NULL ? m : &c->none;
}

/*
 * The limit doubles. A magazine that has no room for that is replaced by one with room for all; it
 * stays where it is, as others may just be counting it.
 */
static __attribute__((noinline)) struct kc_cache_cpu *grow_limit(struct kc_cache *c,
                                                                 struct kc_cache_cpu *m)
{
    uint32_t most = limit_most(c);
    uint32_t limit = m->limit * 2 < most ? (uint32_t)m->limit * 2 : most;
    if (KC_UNLIKELY(limit > m->room)) {
        struct kc_cache_cpu *greater = place_magazine(c, kc_plat_cpu(), most, m);
        m = greater != NULL ? greater : m;
    }
    m->limit = limit < m->room ? limit : m->room;
    m->slow_count = 0;
    return m;
}

/* The set hears of a slow call, if it need. Returns true if that took as long as it may. */
KC_INLINE bool touch(struct kc_cache *c, struct kc_cache_cpu *m)
{
    struct kc_cache_set *s = c->set;
    return s != NULL && KC_UNLIKELY(m->place == 0 || s->cpu[kc_plat_cpu()].draining != 0) &&
           kc_cache_priv_set_touch(s, c, m, kc_plat_cpu());
}

/*
 * What a slow call does first: the limit grows from nothing; the set hears of it; or else, where
 * the magazine is much used and shall be greater (`wanted`), it is. Returns true if that was work
 * enough for a call; *m is the magazine from here.
 */
KC_INLINE bool warm(struct kc_cache *c, struct kc_cache_cpu **m, bool wanted)
{
    (*m)->limit += (*m)->limit == 0;
    (*m)->slow_count++;
    if (KC_UNLIKELY(touch(c, *m))) {
        return true;
    }
    if (KC_UNLIKELY((*m)->slow_count >= CACHE_HEAT) && wanted) {
        *m = grow_limit(c, *m);
        return true;
    }
    return false;
}

#if KC_MAG_IS_USED
/* True if there is a magazine, and nobody listens: a case for a short form. */
KC_INLINE bool is_short(const struct kc_cache_cpu *m)
{
    return m->limit != 0 && !kc_mag_is_heard_locking();
}
#endif

/* Up to n objects of this CPU's magazine go to their slabs. As slab_give(); the lock is held. */
static bool flush_held(struct kc_cache *c, struct kc_cache_cpu *m, size_t n)
{
    size_t count = kc_mag_count(&m->mag);
    bool spare = false;
    n = n < count ? n : count;
    for (; n > 0; n--) {
        struct slab_view v;
        uint32_t i = view_of(c, cache_entries(m)[--count].object, &v);
        KC_CHECK(!slab_is_free(&v, i));
        spare = slab_give(c, &v, i) || spare;
    }
    /* Release: who misses it in the magazine sees it in the map. */
    __atomic_store_n(&m->mag.count, count, __ATOMIC_RELEASE);
    return spare;
}

void kc_cache_priv_flush(struct kc_cache *c, struct kc_cache_cpu *m, size_t n)
{
    kc_lock_enter(&c->lock);
    bool spare = flush_held(c, m, n);
    kc_lock_leave(&c->lock);
    if (KC_UNLIKELY(spare)) {
        kc_cache_priv_set_spare(c->set, c);
    }
}

uint32_t kc_cache_drain(struct kc_cache *c, uint32_t cpu)
{
    if (cpu >= c->cpu_count) {
        return 0;
    }
    /* Masked from the start: a free that interrupts may put another magazine in this one's place.
     */
    uint64_t irq = kc_plat_irq_save();
    struct kc_cache_cpu *m = __atomic_load_n(&c->cpu[cpu], __ATOMIC_ACQUIRE);
    size_t count = kc_mag_count(&m->mag);
    if (count != 0) {
        kc_cache_priv_flush(c, m, count);
    }
    kc_plat_irq_restore(irq);
    return (uint32_t)count;
}

/* ---- allocation ------------------------------------------------------------------------------ */

/* The topmost entry is of an object that is not free: two wrong frees of it raced. It is dropped.
 */
static KC_COLD void drop_top(struct kc_cache *c, struct kc_cache_cpu *m)
{
    size_t count = kc_mag_count(&m->mag) - 1;
    kc_mag_set_count(&m->mag, count);
    kc_cache_priv_raise(c, KC_MISUSE_DOUBLE_FREE, "kc_cache_alloc", cache_entries(m)[count].object,
                        0, 0);
}

/* Objects that this refill takes. Who only allocates needs no magazine greater than a refill. */
KC_INLINE uint32_t refill_count(struct kc_cache *c, struct kc_cache_cpu **m)
{
    if (KC_UNLIKELY(warm(c, m, (*m)->limit < CACHE_REFILL))) {
        return 1;
    }
    return (*m)->limit < CACHE_REFILL ? (uint32_t)(*m)->limit : CACHE_REFILL;
}

/* What an allocation does that a magazine does not serve, whatever there is to do beside it. */
static __attribute__((noinline)) void *alloc_twin(struct kc_cache *c, struct kc_cache_cpu *m,
                                                  uint32_t flags, const void *site)
{
    if (KC_UNLIKELY(m == &c->none)) {
        m = make_magazine(c, kc_plat_cpu());
        if (m == &c->none) {
            return kc_cache_priv_alloc_alone(c, flags, site);
        }
    }
    struct cache_take t = {flags, false, 0};
    for (;;) {
        size_t count = kc_mag_count(&m->mag);
        if (KC_LIKELY(count == 0)) {
            uint32_t n = refill_count(c, &m);
            count = kc_cache_priv_take(c, cache_entries(m), n, &t);
            kc_mag_set_count(&m->mag, count);
        }
        if (KC_UNLIKELY(count == 0)) {
            if (!kc_cache_priv_reclaim(c, &t)) {
                return NULL;
            }
            m = c->cpu[kc_plat_cpu()]; /* reclaimers free, even objects of this cache */
            continue;
        }
        if (KC_LIKELY(cache_make_live(&cache_entries(m)[count - 1]))) {
            return cache_hand_out(c, cache_pop(m, count));
        }
        drop_top(c, m);
    }
}

/* The short form: the magazine is empty, nobody listens, the lock is free. */
void *kc_cache_priv_alloc_slow(struct kc_cache *c, struct kc_cache_cpu *m, uint32_t flags,
                               const void *site)
{
#if KC_MAG_IS_USED
    if (KC_UNLIKELY(kc_mag_count(&m->mag) != 0 || !is_short(m))) {
        return alloc_twin(c, m, flags, site);
    }
    uint32_t n = refill_count(c, &m);
    if (KC_UNLIKELY(!kc_lock_try_quiet(&c->lock))) {
        return alloc_twin(c, m, flags, site);
    }
    uint32_t count = kc_cache_priv_slab_take(c, cache_entries(m), n, flags);
    kc_lock_leave_quiet(&c->lock);
    kc_mag_set_count(&m->mag, count);
    if (KC_LIKELY(count != 0) && KC_LIKELY(cache_make_live(&cache_entries(m)[count - 1]))) {
        return cache_pop(m, count);
    }
#endif
    return alloc_twin(c, m, flags, site);
}

/* ---- free ------------------------------------------------------------------------------------ */

/* True if the object is live, as far as the hardening level looks; the cache has magazines. */
KC_INLINE bool free_is_sound(const struct slab_view *v, uint32_t object, const uint8_t *state)
{
#if KC_MAG_HAS_STATE
    (void)v;
    (void)object;
    return slab_load_state(state) == KC_MAG_LIVE;
#else
    (void)state;
    return !slab_is_free(v, object);
#endif
}

/* The CPU's magazine, made if it is not; if it is full and was so often, it grows. Or `none`. */
KC_INLINE struct kc_cache_cpu *make_room(struct kc_cache *c)
{
    struct kc_cache_cpu *m = c->cpu[kc_plat_cpu()];
    if (KC_UNLIKELY(m == &c->none)) {
        m = make_magazine(c, kc_plat_cpu());
        if (m == &c->none) {
            return m;
        }
    }
    if (KC_LIKELY(kc_mag_count(&m->mag) >= m->limit)) {
        (void)warm(c, &m, true);
    }
    return m;
}

/*
 * Frees an object into its slab, under the lock; false: there is no such live object. What was
 * found without the lock is looked at again: of two CPUs that free one object so, one is told, and
 * the slab may have gone meanwhile.
 */
KC_INLINE bool give_held(struct kc_cache *c, void *ptr, struct kc_frame *record, size_t offset,
                         bool *spare)
{
    struct slab_view v;
    if (KC_UNLIKELY(frame_load_data(record) != (uintptr_t)c)) {
        return false;
    }
    slab_view_of_record(c, record, (unsigned char *)ptr - offset, &v);
    uint32_t object = cache_index(c, (uint32_t)offset);
    uint8_t *state = cache_state_at(&c->shape[v.order], record, v.base, object);
    if (KC_UNLIKELY(object >= v.objects || !free_is_sound(&v, object, state))) {
        return false;
    }
    cache_tell_free(c, ptr);
    if (KC_MAG_HAS_STATE) {
        slab_store_state(state, KC_MAG_FREE);
    }
    *spare = slab_give(c, &v, object);
    return true;
}

/*
 * The same, and takes the lock. Who has to wait for it, because other CPUs use it as much, brings a
 * few of the full magazine back as well, and so comes less often.
 */
static kc_status_t give(struct kc_cache *c, struct kc_cache_cpu *m, void *ptr,
                        struct kc_frame *record, size_t offset, const void *site)
{
    bool spare = false;
    bool waits = !kc_lock_try(&c->lock);
    if (KC_UNLIKELY(waits)) {
        kc_lock_enter(&c->lock);
    }
    bool given = give_held(c, ptr, record, offset, &spare);
    if (KC_UNLIKELY(waits)) {
        spare = flush_held(c, m, CACHE_FLUSH_MORE) || spare;
    }
    kc_lock_leave(&c->lock);
    if (KC_UNLIKELY(spare)) {
        kc_cache_priv_set_spare(c->set, c);
    }
    return KC_LIKELY(given) ? KC_OK : kc_cache_priv_free_alone(c, ptr, site);
}

/* What a free does that finds no room in a magazine, whatever there is to do beside it. */
static __attribute__((noinline)) kc_status_t
free_twin(struct kc_cache *c, void *ptr, struct kc_frame *record, size_t offset, const void *site)
{
    struct slab_view v;
    slab_view_of_record(c, record, (unsigned char *)ptr - offset, &v);
    uint32_t object = cache_index(c, (uint32_t)offset);
    uint8_t *state = object < v.objects ? slab_state(c, &v, object) : NULL;
    if (KC_UNLIKELY(object >= v.objects || c->cpu_count == 0 ||
                    !free_is_sound(&v, object, state))) {
        return kc_cache_priv_free_alone(c, ptr, site);
    }
    struct kc_cache_cpu *m = make_room(c);
    if (KC_UNLIKELY(m == &c->none)) {
        return kc_cache_priv_free_alone(c, ptr, site);
    }
    size_t count = kc_mag_count(&m->mag);
    if (count >= m->limit) {
        return give(c, m, ptr, record, offset, site);
    }
    cache_tell_free(c, ptr);
    if (KC_MAG_HAS_STATE) {
        slab_store_state(state, KC_MAG_FREE);
    }
    cache_push(m, count, ptr, state);
    return KC_OK;
}

/* The short form: the magazine is full, nobody listens, the lock is free. */
kc_status_t kc_cache_priv_free_slow(struct kc_cache *c, void *ptr, struct kc_frame *record,
                                    size_t offset, const void *site)
{
#if KC_MAG_IS_USED
    struct kc_cache_cpu *m = c->cpu[kc_plat_cpu()];
    if (KC_LIKELY(kc_mag_count(&m->mag) >= m->limit && is_short(m))) {
        bool spare = false;
        (void)warm(c, &m, true);
        if (KC_LIKELY(kc_mag_count(&m->mag) >= m->limit) &&
            KC_LIKELY(kc_lock_try_quiet(&c->lock))) {
            bool given = give_held(c, ptr, record, offset, &spare);
            kc_lock_leave_quiet(&c->lock);
            if (KC_UNLIKELY(spare)) {
                kc_cache_priv_set_spare(c->set, c);
            }
            if (KC_LIKELY(given)) {
                return KC_OK;
            }
        }
    }
#endif
    return free_twin(c, ptr, record, offset, site);
}
