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
    kc_mag_set_count(&m->mag, count); /* who looks for it has the lock */
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
    struct kc_cache_cpu *m = c->cpu[cpu];
    size_t count = kc_mag_count(&m->mag);
    if (count != 0) {
        kc_cache_priv_flush(c, m, count);
    }
    kc_plat_irq_restore(irq);
    return (uint32_t)count;
}

#if KC_MAG_IS_USED
/*
 * A magazine like that, with room for so many entries, becomes the CPU's; NULL: no memory. What
 * there is in that, room for CACHE_ROOM_FIRST entries holds. Pinned.
 */
KC_INLINE struct kc_cache_cpu *place_magazine(struct kc_cache *c, uint32_t cpu, uint32_t room,
                                              struct kc_cache_cpu *old)
{
    size_t bytes = sizeof(struct kc_cache_cpu) + room * sizeof(struct kc_cache_entry);
    struct kc_lock *lock = c->set != NULL ? &c->set->lock : &c->lock;
    struct kc_cache_store *store = c->set != NULL ? &c->set->store : &c->store;
    kc_lock_enter(lock);
    struct kc_cache_cpu *m =
        (struct kc_cache_cpu *)kc_cache_priv_store_get(store, c->frames, c->frame_flags, bytes);
    kc_lock_leave(lock);
    if (KC_UNLIKELY(m == NULL)) {
        return NULL;
    }
    *m = *old;
    if (kc_mag_count(&old->mag) != 0) {
        __builtin_memcpy(cache_entries(m), cache_entries(old),
                         CACHE_ROOM_FIRST * sizeof(struct kc_cache_entry));
    }
    m->room = room;
    m->draining = c->set != NULL ? &c->set->cpu[cpu].draining : &kc_cache_priv_never;
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
    uint32_t most = cache_limit_most(c);
    struct kc_cache_cpu *m =
        place_magazine(c, cpu, most < CACHE_ROOM_FIRST ? most : CACHE_ROOM_FIRST, &c->none);
    return m != NULL ? m : &c->none;
}

/* The CPU's magazine, made if it is not; or `none`. */
KC_INLINE struct kc_cache_cpu *own_magazine(struct kc_cache *c)
{
    struct kc_cache_cpu *m = c->cpu[kc_plat_cpu()];
    return KC_LIKELY(m != &c->none) ? m : make_magazine(c, kc_plat_cpu());
}

/*
 * The limit doubles. A magazine that has no room for that is replaced by one with room for all; it
 * stays where it is, as others may just be counting it.
 */
KC_INLINE struct kc_cache_cpu *grow(struct kc_cache *c, struct kc_cache_cpu *m)
{
    size_t limit = 2 * m->limit;
    uint32_t most = cache_limit_most(c);
    if (limit > m->room && m->room < most) {
        struct kc_cache_cpu *greater = place_magazine(c, kc_plat_cpu(), most, m);
        m = greater != NULL ? greater : m;
    }
    m->limit = limit < m->room ? limit : m->room;
    m->slow_left = m->limit == most ? UINT32_MAX : CACHE_HEAT;
    return m;
}

/* A magazine that was made just now, or is idle, may hold an object from here, and has its place in
 * the set's ring. */
static void settle(struct kc_cache *c, struct kc_cache_cpu *m)
{
    m->limit = 1;
    m->slow_left = CACHE_HEAT;
    if (c->set != NULL) {
        kc_cache_priv_set_place(c->set, c, m, kc_plat_cpu());
    }
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

/*
 * Objects that a refill takes, of a magazine that is settled. Who only allocates needs none that is
 * greater than a refill; for that there is room.
 */
KC_INLINE uint32_t refill_settled(struct kc_cache_cpu *m)
{
    if (KC_LIKELY(m->limit >= CACHE_REFILL)) {
        return CACHE_REFILL;
    }
    if (KC_UNLIKELY(m->slow_left == 0)) {
        m->limit = 2 * m->limit < m->room ? 2 * m->limit : m->room;
        m->slow_left = CACHE_HEAT;
    }
    m->slow_left--;
    return (uint32_t)m->limit;
}

/*
 * The same of any. While idle magazines are to be emptied, one object is enough: there is other
 * work; and no other gets a place by an allocation, so that they become less.
 */
static uint32_t refill_count(struct kc_cache *c, struct kc_cache_cpu *m)
{
    if (m->limit == 0) {
        if (*m->draining == 0) {
            settle(c, m);
        }
        return 1;
    }
    return *m->draining != 0 ? 1 : refill_settled(m);
}

/* If magazines are to be emptied here, an object of one goes back: what each slow call does last.
 */
KC_INLINE void tidy(struct kc_cache *c, const struct kc_cache_cpu *m)
{
    if (KC_UNLIKELY(*m->draining != 0)) {
        kc_cache_priv_set_tidy(c->set, kc_plat_cpu());
    }
}

__attribute__((noinline)) void *kc_cache_priv_alloc_twin(struct kc_cache *c, uint32_t flags)
{
    struct kc_cache_cpu *m = own_magazine(c);
    if (KC_UNLIKELY(m == &c->none)) {
        return kc_cache_priv_alloc_alone(c, flags, NULL);
    }
    struct cache_take t = {flags, false, 0};
    for (;;) {
        size_t count = kc_mag_count(&m->mag);
        if (KC_LIKELY(count == 0)) {
            count = kc_cache_priv_take(c, cache_entries(m), refill_count(c, m), &t);
            cache_add_entries(m, count);
        }
        if (KC_UNLIKELY(count == 0)) {
            if (!kc_cache_priv_reclaim(c, &t)) {
                return NULL;
            }
            m = c->cpu[kc_plat_cpu()]; /* reclaimers free, even objects of this cache */
            continue;
        }
        if (KC_LIKELY(cache_make_live(&cache_entries(m)[count - 1]))) {
            void *object = cache_hand_out(c, cache_pop(m, count));
            tidy(c, m);
            return object;
        }
        drop_top(c, m);
    }
}

__attribute__((noinline)) void *kc_cache_priv_alloc_twin_masked(struct kc_cache *c, uint64_t irq)
{
    void *object = kc_cache_priv_alloc_twin(c, 0);
    kc_plat_irq_restore(irq);
    return object;
}

/*
 * The short form: there is nothing to do but a refill, nobody listens, the lock is free. What is
 * left to do is another function's, and the caller's last act: so the short form saves no
 * registers. Returns how many objects are to be taken, the lock is held then; or 0: it is the
 * twin's.
 */
KC_INLINE uint32_t alloc_short(struct kc_cache *c, struct kc_cache_cpu *m)
{
    if (KC_UNLIKELY(kc_mag_count(&m->mag) != 0 || m->limit == 0 || *m->draining != 0 ||
                    kc_mag_is_heard_locking()) ||
        KC_UNLIKELY(!kc_lock_try_quiet(&c->lock))) {
        return 0;
    }
    return refill_settled(m);
}

KC_QUICK void *kc_cache_priv_alloc_slow(struct kc_cache *c, uint32_t flags)
{
    struct kc_cache_cpu *m = c->cpu[kc_plat_cpu()];
    uint32_t n = alloc_short(c, m);
    return KC_LIKELY(n != 0) ? kc_cache_priv_alloc_taking(c, m, n, flags)
                             : kc_cache_priv_alloc_twin(c, flags);
}

KC_QUICK void *kc_cache_priv_alloc_masked(struct kc_cache *c, uint64_t irq)
{
    struct kc_cache_cpu *m = c->cpu[kc_plat_cpu()];
    uint32_t n = alloc_short(c, m);
    return KC_LIKELY(n != 0) ? kc_cache_priv_alloc_taking_masked(c, m, n, irq)
                             : kc_cache_priv_alloc_twin_masked(c, irq);
}

/* ---- free ------------------------------------------------------------------------------------ */

/*
 * True if a live object lies there, as far as the hardening level looks; with its state, if objects
 * have one. The cache has magazines. Without the lock, what it finds stays true of a live object.
 */
KC_INLINE bool is_sound(const struct kc_cache *c, unsigned char *base, struct kc_frame *record,
                        size_t offset, struct slab_view *v, uint32_t *object, uint8_t **state)
{
    slab_view_of_record(c, record, base, v);
    *object = cache_index(c, (uint32_t)offset);
    *state = NULL;
    if (KC_UNLIKELY(*object >= v->objects)) {
        return false;
    }
#if KC_MAG_HAS_STATE
    /* With a branch: each of the two ways is short. */
    *state = v->by_bytes ? slab_record_state(record, *object)
                         : base + c->shape[v->order].bytes_offset + *object;
    KC_FORGET(*state);
    return KC_LIKELY(slab_load_state(*state) == KC_MAG_LIVE);
#else
    return KC_LIKELY(!slab_is_free(v, *object));
#endif
}

/*
 * True if the magazine can take an object: it is not full, or it was full so often that it grows
 * now, or there is room above the limit, and an object of an idle magazine goes back for it.
 */
static bool find_room(struct kc_cache *c, struct kc_cache_cpu **m)
{
    size_t count = kc_mag_count(&(*m)->mag);
    if (count < (*m)->limit) {
        return true;
    }
    if ((*m)->limit == 0) {
        settle(c, *m);
    } else if ((*m)->slow_left == 0) {
        *m = grow(c, *m);
    } else {
        (*m)->slow_left--;
    }
    return count < (*m)->limit || (*(*m)->draining != 0 && count < (*m)->room);
}

/*
 * Frees the object at that offset of the slab into it, under the lock; false: there is no such live
 * object. What was found without the lock is looked at again: of two CPUs that free one object so,
 * one is told, and the slab may have gone meanwhile. `free` objects the slab had; what bin it is to
 * be in now is the caller's business.
 */
KC_INLINE bool put_held(struct kc_cache *c, unsigned char *base, struct kc_frame *record,
                        size_t offset, bool tells, struct slab_view *v, uint32_t *free)
{
    uint32_t object;
    uint8_t *state;
    if (KC_UNLIKELY(frame_load_data(record) != (uintptr_t)c) ||
        KC_UNLIKELY(!is_sound(c, base, record, offset, v, &object, &state))) {
        return false;
    }
    if (tells) {
        cache_tell_free(c, base + offset);
    }
    if (KC_MAG_HAS_STATE) {
        slab_store_state(state, KC_MAG_FREE);
    }
    *free = slab_free_count(v);
    slab_put(c, v, object, *free);
    return true;
}

/*
 * The same, and takes the lock. Who has to wait for it, because other CPUs use it as much, brings a
 * few of the full magazine back as well, and so comes less often.
 */
static kc_status_t give(struct kc_cache *c, struct kc_cache_cpu *m, void *ptr,
                        struct kc_frame *record, size_t offset)
{
    bool spare = false;
    bool waits = !kc_lock_try(&c->lock);
    if (KC_UNLIKELY(waits)) {
        kc_lock_enter(&c->lock);
    }
    struct slab_view v;
    uint32_t free;
    bool given = put_held(c, (unsigned char *)ptr - offset, record, offset, true, &v, &free);
    if (KC_LIKELY(given) && KC_UNLIKELY(!slab_bin_stays(c, &v, free))) {
        spare = kc_cache_priv_slab_emptier(c, record, v.slab, free + 1);
    }
    if (KC_UNLIKELY(waits)) {
        spare = flush_held(c, m, CACHE_FLUSH_MORE) || spare;
    }
    kc_lock_leave(&c->lock);
    if (KC_UNLIKELY(spare)) {
        kc_cache_priv_set_spare(c->set, c);
    }
    return KC_LIKELY(given) ? KC_OK : kc_cache_priv_free_alone(c, ptr, NULL);
}

/* What a free does that finds no room in a magazine, whatever there is to do beside it. */
static __attribute__((noinline)) kc_status_t free_twin(struct kc_cache *c, void *ptr,
                                                       struct kc_frame *record, size_t offset)
{
    struct slab_view v;
    uint32_t object;
    uint8_t *state;
    if (KC_UNLIKELY(c->cpu_count == 0) ||
        KC_UNLIKELY(
            !is_sound(c, (unsigned char *)ptr - offset, record, offset, &v, &object, &state))) {
        return kc_cache_priv_free_alone(c, ptr, NULL);
    }
    struct kc_cache_cpu *m = own_magazine(c);
    if (KC_UNLIKELY(m == &c->none)) {
        return kc_cache_priv_free_alone(c, ptr, NULL);
    }
    if (!find_room(c, &m)) {
        kc_status_t status = give(c, m, ptr, record, offset);
        tidy(c, m);
        return status;
    }
    cache_tell_free(c, ptr);
    if (KC_MAG_HAS_STATE) {
        slab_store_state(state, KC_MAG_FREE);
    }
    cache_push(m, kc_mag_count(&m->mag), ptr, state);
    tidy(c, m);
    return KC_OK;
}

/* The magazine of this free was full so often that it grows now, unless the free is a wrong one. */
KC_INLINE kc_status_t free_growing(struct kc_cache *c, void *ptr, struct kc_frame *record,
                                   size_t offset)
{
    struct slab_view v;
    uint32_t object;
    uint8_t *state;
    if (KC_LIKELY(
            is_sound(c, (unsigned char *)ptr - offset, record, offset, &v, &object, &state))) {
        struct kc_cache_cpu *m = grow(c, c->cpu[kc_plat_cpu()]);
        size_t count = kc_mag_count(&m->mag);
        if (KC_LIKELY(count < m->limit)) {
            if (KC_MAG_HAS_STATE) {
                slab_store_state(state, KC_MAG_FREE);
            }
            cache_push(m, count, ptr, state);
            return KC_OK;
        }
    }
    return free_twin(c, ptr, record, offset);
}

static __attribute__((noinline)) kc_status_t
free_growing_pinned(struct kc_cache *c, void *ptr, struct kc_frame *record, size_t offset)
{
    return free_growing(c, ptr, record, offset);
}

/* What a short form leaves to do. */
enum short_free {
    SHORT_TWIN,    /* all: it is the twin's */
    SHORT_GROW,    /* all, and the magazine is to grow first */
    SHORT_EMPTIER, /* the slab goes to another bin, and the lock is held */
    SHORT_DONE,    /* nothing */
};

/*
 * The short form: the magazine is full and stays as it is, nothing is idle, nobody listens, the
 * lock is free. What is left to do is another function's, and the caller's last act: so the short
 * form saves few registers. With SHORT_EMPTIER, what slab it is, and its free objects.
 */
KC_INLINE enum short_free free_short(struct kc_cache *c, unsigned char *base,
                                     struct kc_frame *record, size_t offset, struct slab **slab,
                                     uint32_t *free)
{
    struct kc_cache_cpu *m = c->cpu[kc_plat_cpu()];
    if (KC_UNLIKELY(kc_mag_count(&m->mag) < m->limit || *m->draining != 0 ||
                    kc_mag_is_heard_locking())) {
        return SHORT_TWIN;
    }
    if (KC_UNLIKELY(m->slow_left == 0)) {
        return m->limit == 0 ? SHORT_TWIN : SHORT_GROW;
    }
    if (KC_UNLIKELY(!kc_lock_try_quiet(&c->lock))) {
        return SHORT_TWIN;
    }
    m->slow_left--;
    struct slab_view v;
    bool put = put_held(c, base, record, offset, false, &v, free);
    if (KC_LIKELY(put) && KC_UNLIKELY(!slab_bin_stays(c, &v, *free))) {
        *slab = v.slab;
        *free += 1;
        return SHORT_EMPTIER;
    }
    kc_lock_leave_quiet(&c->lock);
    return KC_LIKELY(put) ? SHORT_DONE : SHORT_TWIN;
}

KC_QUICK kc_status_t kc_cache_priv_free_slow(struct kc_cache *c, void *ptr, struct kc_frame *record,
                                             size_t offset)
{
    struct slab *slab;
    uint32_t free;
    switch (free_short(c, (unsigned char *)ptr - offset, record, offset, &slab, &free)) {
    case SHORT_DONE:
        return KC_OK;
    case SHORT_EMPTIER:
        return kc_cache_priv_free_emptier(c, record, slab, free);
    case SHORT_GROW:
        return free_growing_pinned(c, ptr, record, offset);
    default:
        return free_twin(c, ptr, record, offset);
    }
}

/* The same, and then kc_plat_irq_restore(irq). */
static __attribute__((noinline)) kc_status_t free_twin_masked(struct kc_cache *c, void *ptr,
                                                              struct kc_frame *record,
                                                              size_t offset, uint64_t irq)
{
    kc_status_t status = free_twin(c, ptr, record, offset);
    kc_plat_irq_restore(irq);
    return status;
}

static __attribute__((noinline)) kc_status_t free_growing_masked(struct kc_cache *c, void *ptr,
                                                                 struct kc_frame *record,
                                                                 size_t offset, uint64_t irq)
{
    kc_status_t status = free_growing(c, ptr, record, offset);
    kc_plat_irq_restore(irq);
    return status;
}

KC_QUICK kc_status_t kc_cache_priv_free_masked(struct kc_cache *c, void *ptr,
                                               struct kc_frame *record, size_t offset, uint64_t irq)
{
    struct slab *slab;
    uint32_t free;
    switch (free_short(c, (unsigned char *)ptr - offset, record, offset, &slab, &free)) {
    case SHORT_DONE:
        return KC_LIKELY(kc_plat_irq_restore_quick(irq)) ? KC_OK : kc_cache_priv_free_done(irq);
    case SHORT_EMPTIER:
        return kc_cache_priv_free_emptier_masked(c, record, slab, free, irq);
    case SHORT_GROW:
        return free_growing_masked(c, ptr, record, offset, irq);
    default:
        return free_twin_masked(c, ptr, record, offset, irq);
    }
}

#endif
