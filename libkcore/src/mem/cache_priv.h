/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to cache*.c, heap.c and white-box tests: the state of a slab, and what the parts share.
 */
#ifndef KC_CACHE_PRIV_H
#define KC_CACHE_PRIV_H

#include <kc/cache.h>

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

KC_INLINE bool slab_is_free(const struct slab_view *v, uint32_t object)
{
    uint32_t word = __atomic_load_n(&v->slab->map[object / 32], __ATOMIC_ACQUIRE);
    return (word >> object % 32 & 1) != 0;
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

/* The slab in which that claimed block is. */
void kc_cache_priv_slab_view_found(const struct kc_cache *c, const struct kc_frame_found *found,
                                   struct slab_view *v);

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

/* kc_cache_free_pinned() for a pointer into a slab of the cache, whose block was found. */
kc_status_t kc_cache_priv_free_found(struct kc_cache *c, const struct kc_frame_found *found,
                                     void *ptr);

/* Brings up to n objects of this CPU's magazine back. Pinned, no lock held. */
void kc_cache_priv_flush(struct kc_cache *c, struct kc_cache_cpu *m, uint32_t n);

/* An empty slab of c is kept: its set is told. No lock is held. */
void kc_cache_priv_set_spare(struct kc_cache_set *s, struct kc_cache *c);

/* A call of c on this CPU was slow: its magazine gets its place in the ring. Pinned, no lock held.
 */
void kc_cache_priv_set_touch(struct kc_cache_set *s, struct kc_cache *c, struct kc_cache_cpu *m,
                             uint32_t cpu);

#endif
