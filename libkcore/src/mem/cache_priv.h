/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to cache*.c, heap.c and white-box tests: the state of a slab, and what the parts share.
 */
#ifndef KC_CACHE_PRIV_H
#define KC_CACHE_PRIV_H

#include <kc/cache.h>

#include "frame_priv.h"

#define CACHE_NONE      UINT32_MAX /* no slab: end of a list */

#define CACHE_BIN_EMPTY 0u
#define CACHE_BIN_FULL  (KC_CACHE_BINS + 1u)
#define CACHE_BIN_COUNT (KC_CACHE_BINS + 2u)

/*
 * State of a slab, named by the index of its first frame record. It lies at the end of the slab, or
 * over the second frame record of a slab of several frames: hence `kind`, which is that record's
 * and not ours, and hence room for one word of the map there.
 */
struct slab {
    uint32_t next; /* slabs of the same bin, or CACHE_NONE */
    uint32_t prev;
    uint32_t kind;  /* not used */
    uint32_t map[]; /* bit i % 32 of word i / 32: object i is in the slab, free */
};
KC_STATIC_ASSERT(offsetof(struct slab, kind) == offsetof(struct kc_frame, kind), "over a record");
KC_STATIC_ASSERT(offsetof(struct slab, map) == offsetof(struct kc_frame, word), "over a record");

#define SLAB_RECORD_OBJECTS 32u /* greatest map that a record holds */
#define SLAB_FIXED_BYTES    ((uint32_t)offsetof(struct slab, map))

KC_INLINE uint32_t slab_map_words(uint32_t objects)
{
    return (objects + 31) / 32;
}

/* A slab at hand. */
struct slab_view {
    struct kc_frame *record; /* word: how many objects are free */
    struct slab *slab;
    unsigned char *base; /* object 0 */
    uint32_t index;      /* of the first frame record */
    uint32_t order;
    uint32_t objects;
};

KC_INLINE void slab_view_make(const struct kc_cache *c, struct kc_frame *record, kc_pa_t base,
                              uint32_t order, struct slab_view *v)
{
    const struct kc_cache_shape *shape = &c->shape[order];
    v->record = record;
    v->base = (unsigned char *)kc_plat_ram(base);
    v->index = kc_frame_index(c->frames, record);
    v->order = order;
    v->objects = shape->objects;
    v->slab = shape->state_offset == 0 ? (struct slab *)(void *)&record[1]
                                       : (struct slab *)(void *)(v->base + shape->state_offset);
}

/* True if the object lies free in the slab. */
KC_INLINE bool slab_is_home(const struct slab *slab, uint32_t object)
{
    uint32_t word = __atomic_load_n(&slab->map[object / 32], __ATOMIC_ACQUIRE);
    return (word >> object % 32 & 1) != 0;
}

KC_INLINE bool slab_is_free(const struct slab_view *v, uint32_t object)
{
    return slab_is_home(v->slab, object);
}

/* A free without the lock asks for its own object's bit: so words are stored whole. */
KC_INLINE void slab_map_set(const struct slab_view *v, uint32_t word, uint32_t bits)
{
    __atomic_store_n(&v->slab->map[word], bits, __ATOMIC_RELEASE);
}

KC_INLINE uint32_t slab_bin(uint32_t objects, uint32_t free)
{
    uint32_t used = objects - free;
    if (used == 0) {
        return CACHE_BIN_EMPTY;
    }
    return free == 0 ? CACHE_BIN_FULL : 1 + used * KC_CACHE_BINS / objects;
}

/* ---- the parts: slabs (cache_slab.c), magazines and calls (cache.c), sets (cache_set.c) --------
 */

#define CACHE_IS_FULL     (KC_HARDENING >= KC_HARDENING_FULL)
#define CACHE_QUARANTINE  KC_CACHE_QUARANTINE
#define CACHE_REDZONE_MIN KC_CACHE_REDZONE_BYTES
#define CACHE_REDZONE     ((unsigned char)0xbb)

#define CACHE_REFILL      8u /* objects that a refill takes, at most */
#define CACHE_FLUSH       4u /* objects that a flush brings back, at most */
#define CACHE_HEAT        8u /* slow calls after which a magazine's limit doubles */

KC_INLINE struct kc_cache_entry *cache_entries(struct kc_cache_cpu *m)
{
    return (struct kc_cache_entry *)(void *)(m + 1);
}

/* Index of the object at that offset of a slab, or something not below the objects of any slab. */
KC_INLINE uint32_t cache_index(const struct kc_cache *c, uint32_t offset)
{
    uint32_t product = offset * c->inverse;
    return product >> c->shift | product << ((32 - c->shift) & 31);
}

/* Objects that are out of their slabs, but free. */
KC_INLINE uint32_t cache_kept(const struct kc_cache *c)
{
    uint32_t kept = c->quarantined;
    for (uint32_t i = 0; i < c->cpu_count; i++) {
        kept += kc_mag_count(&__atomic_load_n(&c->cpu[i], __ATOMIC_ACQUIRE)->mag);
    }
    return kept;
}

void kc_cache_priv_raise(struct kc_cache *c, enum kc_misuse_kind kind, const char *where,
                         const void *ptr, uint64_t expected, uint64_t found);

/* Copies a name, cut to KC_CACHE_NAME_CHARS - 1. */
void kc_cache_priv_set_name(char *to, const char *from);

/* Bytes from object to object; errors as kc_cache_init(). */
kc_status_t kc_cache_priv_stride(size_t object_bytes, size_t align, uint32_t *stride);

/* Shapes and empty bins for the configured stride; false if no slab of the order holds an object.
 */
KC_NODISCARD bool kc_cache_priv_slab_init(struct kc_cache *c, uint32_t slab_order);

/* True if some slab has a free object. The lock is held. */
KC_INLINE bool slab_has_free(const struct kc_cache *c)
{
    return (c->bin_mask & ~(1u << CACHE_BIN_FULL)) != 0;
}

/* The slab in which that address is; it is in one of this cache (KC_CHECK). */
KC_INLINE void slab_view_of(const struct kc_cache *c, kc_pa_t pa, struct slab_view *v)
{
    struct kc_frame_found found;
    bool claimed = frame_find(c->frames, pa, &found);
    KC_CHECK(claimed && found.data == (uintptr_t)c);
    slab_view_make(c, found.record, found.base, found.order, v);
}

/*
 * Take up to n (1 or more) free objects of the fullest slab; a new slab if there is none with one.
 * The last entry is of the lowest address. Returns how many; 0: no memory. The lock is held.
 */
uint32_t kc_cache_priv_slab_take(struct kc_cache *c, struct kc_cache_entry *out, uint32_t n,
                                 uint32_t flags);

/*
 * Give an object back to its slab, and the slab to the frames if it is one empty slab too many.
 * Returns true if an empty slab is kept now that the cache's set was not told of. The lock is held.
 */
KC_NODISCARD bool kc_cache_priv_slab_give(struct kc_cache *c, const struct slab_view *v,
                                          uint32_t object);

/* Give all empty slabs back; returns their frames. The lock is held. */
uint64_t kc_cache_priv_slab_drop_empty(struct kc_cache *c);

/* The next live or kept object; as kc_cache_next_live(). The lock is held. */
void *kc_cache_priv_slab_next_out(const struct kc_cache *c, struct kc_cache_cursor *cursor);

/* Room for a magazine; NULL if there is no memory. Whoever has the store serialises. */
void *kc_cache_priv_store_get(struct kc_cache_store *s, struct kc_frames *f, uint32_t frame_flags,
                              size_t bytes);
void kc_cache_priv_store_fini(struct kc_cache_store *s, struct kc_frames *f);

#if CACHE_IS_FULL
/* Where the site of the last call for that object of the slab is kept. */
KC_INLINE uintptr_t *slab_site(const struct kc_cache *c, const struct slab_view *v, uint32_t object)
{
    return (uintptr_t *)(void *)(v->base + c->shape[v->order].site_offset) + object;
}
#endif

/* Ends the quarantine of n objects; as kc_cache_priv_slab_give(). The lock is held. */
bool kc_cache_priv_release(struct kc_cache *c, uint32_t n);

/* Brings up to n objects of this CPU's magazine back. Pinned, no lock held. */
void kc_cache_priv_flush(struct kc_cache *c, struct kc_cache_cpu *m, uint32_t n);

/* An empty slab of c is kept: its set is told. No lock is held. */
void kc_cache_priv_set_spare(struct kc_cache_set *s, struct kc_cache *c);

/* A call of c on this CPU was slow: its magazine gets its place in the ring. Pinned, no lock held.
 */
void kc_cache_priv_set_touch(struct kc_cache_set *s, struct kc_cache *c, struct kc_cache_cpu *m,
                             uint32_t cpu);

/* ---- calls that a magazine serves: inline, for cache.c and heap.c; the CPU is pinned ----------
 */

/* Who called, for reports at hardening full. */
#if CACHE_IS_FULL
#define CACHE_SITE __builtin_return_address(0)
#else
#define CACHE_SITE NULL
#endif

/* What a magazine cannot serve at once. A free: ptr lies in a slab of c, when last seen. */
void *kc_cache_priv_alloc_slow(struct kc_cache *c, struct kc_cache_cpu *m, uint32_t flags,
                               const void *site);
kc_status_t kc_cache_priv_free_slow(struct kc_cache *c, void *ptr, const void *site);

/* What everybody does with an object that is handed out. */
KC_INLINE void *cache_hand_out(struct kc_cache *c, void *object)
{
    if (KC_LIKELY(c->ctor == NULL)) {
        kc_plat_note(KC_NOTE_ALLOC, (uintptr_t)object, c->object_bytes, c);
    }
    return object;
}

/* Told before the object can be another CPU's. */
KC_INLINE void cache_tell_free(struct kc_cache *c, void *ptr)
{
    if (KC_LIKELY(c->ctor == NULL)) {
#if CACHE_IS_FULL
        __builtin_memset(ptr, 0, c->object_bytes);
#endif
        kc_plat_note(KC_NOTE_FREE, (uintptr_t)ptr, c->object_bytes, c);
    }
}

/* Makes the entry's object live; false if it is not free as it should be. */
KC_INLINE bool cache_make_live(const struct kc_cache_entry *e)
{
#if KC_MAG_HAS_STATE
    if (e->state != NULL) {
        if (KC_UNLIKELY(*e->state != KC_MAG_FREE)) {
            return false;
        }
        *e->state = KC_MAG_LIVE;
    }
#else
    (void)e;
#endif
    return true;
}

KC_INLINE void cache_push(struct kc_cache_cpu *m, uint32_t count, void *object, uint8_t *state)
{
    struct kc_cache_entry *e = &cache_entries(m)[count];
    __atomic_store_n(&e->object, object, __ATOMIC_RELAXED);
#if KC_MAG_HAS_STATE
    e->state = state;
#else
    (void)state;
#endif
    kc_mag_set_count(&m->mag, count + 1);
}

/* Hands out the topmost object, which was free; count is what there are. */
KC_INLINE void *cache_pop(struct kc_cache *c, struct kc_cache_cpu *m, uint32_t count)
{
    kc_mag_set_count(&m->mag, count - 1);
    __atomic_store_n(&m->alloc_count, m->alloc_count + 1, __ATOMIC_RELAXED);
    return cache_hand_out(c, cache_entries(m)[count - 1].object);
}

/* An object of c; flags are good. */
KC_INLINE void *cache_alloc(struct kc_cache *c, uint32_t flags, const void *site)
{
    struct kc_cache_cpu *m = c->cpu[kc_plat_cpu()];
#if KC_MAG_IS_USED
    uint32_t count = kc_mag_count(&m->mag);
    if (KC_LIKELY(count != 0 && cache_make_live(&cache_entries(m)[count - 1]))) {
        return cache_pop(c, m, count);
    }
#endif
    return kc_cache_priv_alloc_slow(c, m, flags, site);
}

#if CACHE_IS_FULL
/* Looks over an object just taken: it was cleared when it was freed. */
void kc_cache_priv_look_over(struct kc_cache *c, unsigned char *object);
#endif

/* What does not need the CPU any more. */
KC_INLINE void *cache_finish(struct kc_cache *c, void *object, uint32_t flags)
{
#if CACHE_IS_FULL
    if (object != NULL && c->ctor == NULL) {
        kc_cache_priv_look_over(c, (unsigned char *)object);
    }
#endif
    if (KC_UNLIKELY((flags & KC_CACHE_ZERO) != 0) && object != NULL) {
        __builtin_memset(object, 0, c->object_bytes);
    }
    return object;
}

/* Frees ptr, which lies in the block that was found, which is a slab of c. */
KC_INLINE kc_status_t cache_free(struct kc_cache *c, const struct kc_frame_found *found, void *ptr,
                                 const void *site)
{
#if KC_MAG_IS_USED
    struct kc_cache_cpu *m = c->cpu[kc_plat_cpu()];
    const struct kc_cache_shape *shape = &c->shape[found->order];
    uint32_t object = cache_index(c, (uint32_t)found->offset);
    uint32_t count = kc_mag_count(&m->mag);
    unsigned char *base = (unsigned char *)ptr - found->offset;
    uint8_t *state = NULL;
    bool sound = object < shape->objects && count < m->mag.limit;
#if KC_MAG_HAS_STATE
    state = base + shape->bytes_offset + object;
    sound = sound && shape->bytes_offset != 0 && *state == KC_MAG_LIVE;
#else
    const struct slab *slab = (const struct slab *)(const void *)(base + shape->state_offset);
    slab = shape->state_offset == 0 ? (const struct slab *)(const void *)&found->record[1] : slab;
    sound = sound && !slab_is_home(slab, object);
#endif
    if (KC_LIKELY(sound)) {
        cache_tell_free(c, ptr);
#if KC_MAG_HAS_STATE
        *state = KC_MAG_FREE;
#endif
        cache_push(m, count, ptr, state);
        return KC_OK;
    }
#else
    (void)found;
#endif
    return kc_cache_priv_free_slow(c, ptr, site);
}

#endif
