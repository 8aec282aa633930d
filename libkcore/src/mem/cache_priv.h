/* SPDX-License-Identifier: BSD-2-Clause */
/* Private to cache*.c, heap.c and white-box tests: the state of a slab, and what the parts share.
 */
#ifndef KC_CACHE_PRIV_H
#define KC_CACHE_PRIV_H

#include <kc/cache.h>
#include <kc/tag.h>

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

#define SLAB_FIXED_BYTES ((uint32_t)offsetof(struct slab, map))

KC_INLINE uint32_t slab_map_words(uint32_t objects)
{
    return (objects + 31) / 32;
}

/*
 * Where objects have state bytes, a slab whose state lies in its records has no map: the byte of
 * object i is byte i % 4 of the word of record i / 4, and says whether the object is in the slab.
 */
#define SLAB_RECORD_STATES 4u
KC_STATIC_ASSERT(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "byte 0 of a word is its lowest");

/* Objects have state bytes: who frees one has no lock to look elsewhere. */
KC_INLINE bool cache_has_bytes(const struct kc_cache *c)
{
    return KC_MAG_HAS_STATE && c->cpu_count != 0;
}

/* Objects of a slab of that order whose state its records can hold, at most. */
KC_INLINE uint32_t slab_record_objects(const struct kc_cache *c, uint32_t order)
{
    return cache_has_bytes(c) ? SLAB_RECORD_STATES << order : 32u;
}

KC_INLINE uint8_t *slab_record_state(struct kc_frame *record, uint32_t object)
{
    /* As &record[object / 4].word + object % 4 in bytes, with less work. */
    KC_STATIC_ASSERT(sizeof(*record) == (size_t)4 * SLAB_RECORD_STATES,
                     "the step from object to object");
    size_t up = object & ~(SLAB_RECORD_STATES - 1);
    return (uint8_t *)&record->word + 3 * up + object;
}

/* State bytes of other objects are read while whoever has those writes them. */
KC_INLINE uint8_t slab_load_state(const uint8_t *state)
{
    return __atomic_load_n(state, __ATOMIC_RELAXED);
}

KC_INLINE void slab_store_state(uint8_t *state, enum kc_mag_state to)
{
    __atomic_store_n(state, (uint8_t)to, __ATOMIC_RELAXED);
}

/* A slab at hand. */
struct slab_view {
    struct kc_frame *record; /* word: how many objects are free */
    struct slab *slab;
    unsigned char *base; /* object 0 */
    uint32_t order;
    uint32_t objects;
    bool by_bytes; /* there is no map */
};

/* Where the state of a slab of that shape is. */
KC_INLINE struct slab *slab_state_at(const struct kc_cache_shape *shape, struct kc_frame *record,
                                     unsigned char *base)
{
    return shape->state_offset == 0 ? (struct slab *)(void *)&record[1]
                                    : (struct slab *)(void *)(base + shape->state_offset);
}

KC_INLINE void slab_view_of_record(const struct kc_cache *c, struct kc_frame *record,
                                   unsigned char *base, struct slab_view *v)
{
    /* Who frees what is free looks while the slab goes; what it sees it does not believe. */
    uint32_t order = frame_kind_order(__atomic_load_n(&record->kind, __ATOMIC_RELAXED));
    const struct kc_cache_shape *shape = &c->shape[order];
    v->record = record;
    v->base = base;
    v->order = order;
    v->objects = shape->objects;
    v->slab = slab_state_at(shape, record, base);
    v->by_bytes = KC_MAG_HAS_STATE && shape->by_bytes != 0;
}

KC_INLINE void slab_view_make(const struct kc_cache *c, struct kc_frame *record, kc_pa_t base,
                              struct slab_view *v)
{
    slab_view_of_record(c, record, (unsigned char *)kc_plat_ram(base), v);
}

/* What lists of slabs and reports name it by: the index of its first frame record. */
KC_INLINE uint32_t slab_index(const struct kc_cache *c, const struct slab_view *v)
{
    return kc_frame_index(c->frames, v->record);
}

/* The object's state byte, or NULL: it has none. */
KC_INLINE uint8_t *slab_state(const struct kc_cache *c, const struct slab_view *v, uint32_t object)
{
    uint32_t offset = c->shape[v->order].bytes_offset;
    if (v->by_bytes) {
        return slab_record_state(v->record, object);
    }
    return offset == 0 ? NULL : v->base + offset + object;
}

/* True if the object lies free in the slab, which has a map. */
KC_INLINE bool slab_map_has(const struct slab *slab, uint32_t object)
{
    uint32_t word = __atomic_load_n(&slab->map[object / 32], __ATOMIC_ACQUIRE);
    return (word >> object % 32 & 1) != 0;
}

/* True if the object lies free in the slab. */
KC_INLINE bool slab_is_free(const struct slab_view *v, uint32_t object)
{
    return v->by_bytes ? slab_load_state(slab_record_state(v->record, object)) == KC_MAG_HOME
                       : slab_map_has(v->slab, object);
}

/* Bit 7 of each byte of the record's word that says of an object that it is in the slab. */
KC_INLINE uint32_t slab_record_home(const struct kc_frame *record)
{
    /* Of all states, only that one has bits 7 and 4. */
    uint32_t word = __atomic_load_n(&record->word, __ATOMIC_RELAXED);
    return word & word << 3 & 0x80808080u;
}

/* Objects that lie free in the slab. The lock is held. */
KC_INLINE uint32_t slab_free_count(const struct slab_view *v)
{
    if (!v->by_bytes) {
        return v->record->word;
    }
    uint32_t counts = 0; /* of objects 0, 4, ..., of 1, 5, ...: a byte each */
    const struct kc_frame *end = v->record + ((size_t)1 << v->order);
    for (const struct kc_frame *r = v->record; r != end; r += 2) {
        counts += (slab_record_home(r) >> 7) + (slab_record_home(r + 1) >> 7);
    }
    return counts * 0x01010101u >> 24;
}

/* A free without the lock asks for its own object's bit: so words are stored whole. */
KC_INLINE void slab_map_set(const struct slab_view *v, uint32_t word, uint32_t bits)
{
    __atomic_store_n(&v->slab->map[word], bits, __ATOMIC_RELEASE);
}

/*
 * The bin of a slab is the upper part of a product, its used objects times the order's share, which
 * is rounded up: no object makes CACHE_BIN_EMPTY, and all of them, but no less, CACHE_BIN_FULL.
 */
#define SLAB_BIN_SHIFT   24u
#define SLAB_OBJECTS_MAX ((KC_FRAME_BYTES << KC_CACHE_ORDER_MAX) / KC_CACHE_ALIGN_MIN)
KC_STATIC_ASSERT(SLAB_OBJECTS_MAX *SLAB_OBJECTS_MAX <= KC_CACHE_BINS << SLAB_BIN_SHIFT,
                 "what all shares are rounded up by is less than a share");

KC_INLINE uint32_t slab_bin_share(uint32_t objects)
{
    return (KC_CACHE_BINS << SLAB_BIN_SHIFT) / objects + 1;
}

KC_INLINE uint32_t slab_bin_product(const struct kc_cache *c, uint32_t order, uint32_t used)
{
    return used * c->share[order] + ((1u << SLAB_BIN_SHIFT) - 1);
}

KC_INLINE uint32_t slab_bin(const struct kc_cache *c, const struct slab_view *v, uint32_t free)
{
    return slab_bin_product(c, v->order, v->objects - free) >> SLAB_BIN_SHIFT;
}

/* True if a slab with so many free objects is in the same bin with one more. */
KC_INLINE bool slab_bin_stays(const struct kc_cache *c, const struct slab_view *v, uint32_t free)
{
    uint32_t product = slab_bin_product(c, v->order, v->objects - free);
    return (product ^ (product - c->share[v->order])) >> SLAB_BIN_SHIFT == 0;
}

/* ---- the parts: slabs (cache_slab.c), magazines (cache_mag.c), calls (cache.c), sets
 * (cache_set.c)
 */

#define CACHE_IS_FULL      (KC_HARDENING >= KC_HARDENING_FULL)
#define CACHE_QUARANTINE   KC_CACHE_QUARANTINE
#define CACHE_REDZONE_MIN  KC_CACHE_REDZONE_BYTES
#define CACHE_REDZONE      ((unsigned char)0xbb)

#define CACHE_REFILL       4u /* objects that a refill takes, at most */
#define CACHE_REFILL_PICK  2u /* the same where a slab is to be found first */
#define CACHE_REFILL_BYTES 2u /* the same where the slab's state is bytes in its records */
#define CACHE_FLUSH_MORE   3u /* objects that a free which had to wait brings back beside its own */
#define CACHE_ROOM_FIRST \
    CACHE_REFILL       /* entries that a magazine has room for until frees want more */
#define CACHE_HEAT 16u /* slow calls after which a magazine's limit doubles */

/* What `draining` of magazines leads to where there is no set: 0. */
extern const uint32_t kc_cache_priv_never;

/* Greatest limit that a magazine of this cache may have. */
KC_INLINE uint32_t cache_limit_most(const struct kc_cache *c)
{
    uint32_t limit = KC_CACHE_CPU_BYTES / c->stride;
    return limit > KC_CACHE_CPU_OBJECTS ? KC_CACHE_CPU_OBJECTS : limit < 1 ? 1 : limit;
}

/* Behind the last of the magazines of a CPU that are to be emptied. */
#define CACHE_DRAIN_END UINT32_MAX

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
        kept += (uint32_t)kc_mag_count(&__atomic_load_n(&c->cpu[i], __ATOMIC_ACQUIRE)->mag);
    }
    return kept;
}

void kc_cache_priv_raise(struct kc_cache *c, enum kc_misuse_kind kind, const char *where,
                         const void *ptr, uint64_t expected, uint64_t found);

/* Copies a name, cut to KC_CACHE_NAME_CHARS - 1. */
void kc_cache_priv_set_name(char *to, const char *from);

/* Bytes from object to object; errors as kc_cache_init(). */
kc_status_t kc_cache_priv_stride(size_t object_bytes, size_t align, uint32_t flags,
                                 uint32_t *stride);

/* Shapes and empty bins for the configured stride; false if no slab of the order holds an object.
 */
KC_NODISCARD bool kc_cache_priv_slab_init(struct kc_cache *c, uint32_t slab_order);

/* True if some slab has a free object. The lock is held. */
KC_INLINE bool slab_has_free(const struct kc_cache *c)
{
    return c->hand != NULL || (c->bin_mask & ~(1u << CACHE_BIN_FULL)) != 0;
}

/* The slab in which that address is; it is in one of this cache (KC_CHECK). */
KC_INLINE void slab_view_of(const struct kc_cache *c, kc_pa_t pa, struct slab_view *v)
{
    struct kc_frame_found found;
    bool claimed = frame_find(c->frames, pa, &found);
    KC_CHECK(claimed && found.data == (uintptr_t)c);
    slab_view_make(c, found.record, found.base, v);
}

/* The slab of an object of this cache, and which object of it that is. */
KC_INLINE uint32_t view_of(const struct kc_cache *c, const void *object, struct slab_view *v)
{
    slab_view_of(c, kc_frame_ptr_pa(c->frames, object), v);
    return cache_index(c, (uint32_t)((const unsigned char *)object - v->base));
}

/*
 * Take up to n (1 or more) free objects of the slab at hand; if there is none, the fullest that has
 * a free object becomes it, or a new one. The last entry is of the lowest address. Returns how
 * many; 0: no memory. The lock is held.
 */
uint32_t kc_cache_priv_slab_take(struct kc_cache *c, struct kc_cache_entry *out, uint32_t n,
                                 uint32_t flags);

/*
 * The slab with that first record and state has so many free objects now, one more than before, and
 * its fullness is another bin's. As slab_give().
 */
KC_NODISCARD bool kc_cache_priv_slab_emptier(struct kc_cache *c, struct kc_frame *record,
                                             struct slab *slab, uint32_t free);

/* Puts an object back into its slab, which has so many free ones, and in whatever bin it is stays
 * there: what slab_give() does first. */
KC_INLINE void slab_put(struct kc_cache *c, const struct slab_view *v, uint32_t object,
                        uint32_t free)
{
    if (v->by_bytes) {
        slab_store_state(slab_record_state(v->record, object), KC_MAG_HOME);
    } else {
        slab_map_set(v, object / 32, v->slab->map[object / 32] | 1u << object % 32);
        __atomic_store_n(&v->record->word, free + 1, __ATOMIC_RELAXED);
    }
    c->out--;
}

/*
 * Give an object back to its slab, and the slab to the frames if it is one empty slab too many.
 * Returns true if an empty slab is kept now that the cache's set was not told of. The lock is held.
 */
KC_NODISCARD KC_INLINE bool slab_give(struct kc_cache *c, const struct slab_view *v,
                                      uint32_t object)
{
    uint32_t free = slab_free_count(v);
    slab_put(c, v, object, free);
    return KC_LIKELY(slab_bin_stays(c, v, free))
               ? false
               : kc_cache_priv_slab_emptier(c, v->record, v->slab, free + 1);
}

/*
 * The last acts of short forms (cache_mag.c), which have the lock: they leave it, quietly.
 *
 * Of an allocation: takes n objects or less into the empty magazine m, and hands one out; if there
 * are none, the twin tries again.
 */
void *kc_cache_priv_alloc_taking(struct kc_cache *c, struct kc_cache_cpu *m, uint32_t n,
                                 uint32_t flags);

/* Of a free: kc_cache_priv_slab_emptier(). Returns KC_OK. */
kc_status_t kc_cache_priv_free_emptier(struct kc_cache *c, struct kc_frame *record,
                                       struct slab *slab, uint32_t free);

/* The same, without flags, and then kc_plat_irq_restore(irq). */
void *kc_cache_priv_alloc_taking_masked(struct kc_cache *c, struct kc_cache_cpu *m, uint32_t n,
                                        uint64_t irq);
kc_status_t kc_cache_priv_free_emptier_masked(struct kc_cache *c, struct kc_frame *record,
                                              struct slab *slab, uint32_t free, uint64_t irq);

/* What an allocation does that a magazine does not serve, whatever there is to do beside it. */
void *kc_cache_priv_alloc_twin(struct kc_cache *c, uint32_t flags);

/* The same, without flags, and then kc_plat_irq_restore(irq). */
void *kc_cache_priv_alloc_twin_masked(struct kc_cache *c, uint64_t irq);

/* One allocation's way to objects: whether it asked the reclaimers, and what came of that. */
struct cache_take {
    uint32_t flags;
    bool asked;
    uint64_t came; /* frames */
};

KC_INLINE bool cache_may_ask(const struct cache_take *t)
{
    return !t->asked && (t->flags & KC_CACHE_NO_RECLAIM) == 0;
}

/* kc_cache_priv_slab_take() with the lock taken; no lock is held. 0 where nobody may be asked any
 * more is a failure, and counted. */
uint32_t kc_cache_priv_take(struct kc_cache *c, struct kc_cache_entry *out, uint32_t n,
                            const struct cache_take *t);

/*
 * Asks the reclaimers, if they may be asked and were not; false: they may not. They lock caches,
 * and free objects, of this one too: what the caller knew of the CPU's magazine is stale.
 */
bool kc_cache_priv_reclaim(struct kc_cache *c, struct cache_take *t);

/* The calls under the lock: for CPUs without a magazine, and for whatever is no live object. */
void *kc_cache_priv_alloc_alone(struct kc_cache *c, uint32_t flags, const void *site);
kc_status_t kc_cache_priv_free_alone(struct kc_cache *c, void *ptr, const void *site);

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
    return (uintptr_t *)(void *)(v->base + c->site_offset[v->order]) + object;
}
#endif

/* Ends the quarantine of n objects; as slab_give(). The lock is held. */
bool kc_cache_priv_release(struct kc_cache *c, uint32_t n);

/* Brings up to n objects of this CPU's magazine back. Pinned, no lock held. */
void kc_cache_priv_flush(struct kc_cache *c, struct kc_cache_cpu *m, size_t n);

/* An empty slab of c is kept: its set is told. No lock is held. */
void kc_cache_priv_set_spare(struct kc_cache_set *s, struct kc_cache *c);

/*
 * This CPU's magazine of c, which has no place in the ring of the set, gets one. The magazine that
 * had it is idle: its limit is 0, and it is to be emptied. Pinned.
 */
void kc_cache_priv_set_place(struct kc_cache_set *s, struct kc_cache *c, struct kc_cache_cpu *m,
                             uint32_t cpu);

/*
 * Magazines are to be emptied here (`draining` is not 0): an object of the first goes back, or, if
 * it has none, it leaves the list. Pinned, no lock held.
 */
void kc_cache_priv_set_tidy(struct kc_cache_set *s, uint32_t cpu);

/* ---- calls that a magazine serves: inline, for cache.c and heap.c; the CPU is pinned ----------
 */

/* kc_cache_alloc() and kc_cache_free() of whoever called from that site. */
void *kc_cache_priv_alloc(struct kc_cache *c, uint32_t flags, const void *site);
kc_status_t kc_cache_priv_free(struct kc_cache *c, void *ptr, const void *site);

/* What a magazine cannot serve at once. */
void *kc_cache_priv_alloc_slow(struct kc_cache *c, uint32_t flags);

/* The same: ptr lies `offset` behind the first byte of the slab of c with that first record. */
kc_status_t kc_cache_priv_free_slow(struct kc_cache *c, void *ptr, struct kc_frame *record,
                                    size_t offset);

/* The same, without flags, and then kc_plat_irq_restore(irq). */
void *kc_cache_priv_alloc_masked(struct kc_cache *c, uint64_t irq);
kc_status_t kc_cache_priv_free_masked(struct kc_cache *c, void *ptr, struct kc_frame *record,
                                      size_t offset, uint64_t irq);

/* The same where masking takes a second step, and where unmasking does. */
void *kc_cache_priv_alloc_late(struct kc_cache *c, uint64_t irq);
kc_status_t kc_cache_priv_free_late(struct kc_cache *c, void *ptr, struct kc_frame *record,
                                    size_t offset, uint64_t irq);
void *kc_cache_priv_alloc_done(void *object, uint64_t irq);
kc_status_t kc_cache_priv_free_done(uint64_t irq);

/* What everybody does with an object that is handed out. */
KC_INLINE void *cache_hand_out(struct kc_cache *c, void *object)
{
    if (KC_LIKELY(c->ctor == NULL)) {
        kc_mag_tell(KC_NOTE_ALLOC, object, c->object_bytes, c);
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
        kc_mag_tell(KC_NOTE_FREE, ptr, c->object_bytes, c);
    }
}

/* Makes the entry's object live; false if it is not free as it should be. */
KC_INLINE bool cache_make_live(const struct kc_cache_entry *e)
{
#if KC_MAG_HAS_STATE
    /* Not atomic: it is this CPU's, or two wrong frees raced. */
    if (KC_UNLIKELY(*e->state != KC_MAG_FREE)) {
        return false;
    }
    slab_store_state(e->state, KC_MAG_LIVE);
#else
    (void)e;
#endif
    return true;
}

/*
 * So many entries are there now, new ones among them. Release where others may have to look for an
 * object in them (is_kept() in cache.c), so that they see no older entry, of an object that is
 * live.
 */
KC_INLINE void cache_add_entries(struct kc_cache_cpu *m, size_t count)
{
    __atomic_store_n(&m->mag.count, count, KC_MAG_HAS_STATE ? __ATOMIC_RELAXED : __ATOMIC_RELEASE);
}

KC_INLINE void cache_push(struct kc_cache_cpu *m, size_t count, void *object, uint8_t *state)
{
    struct kc_cache_entry *e = &cache_entries(m)[count];
    __atomic_store_n(&e->object, object, __ATOMIC_RELAXED);
#if KC_MAG_HAS_STATE
    e->state = state;
#else
    (void)state;
#endif
    cache_add_entries(m, count + 1);
}

/* Takes the topmost object, which was free; count is what there are. */
KC_INLINE void *cache_pop(struct kc_cache_cpu *m, size_t count)
{
    kc_mag_set_count(&m->mag, count - 1);
    __atomic_store_n(&m->alloc_count, m->alloc_count + 1, __ATOMIC_RELAXED);
    return cache_entries(m)[count - 1].object;
}

/* An object that the magazine has while nobody listens, or false. Pinned. */
KC_INLINE bool cache_alloc_quick(struct kc_cache_cpu *m, void **out)
{
#if KC_MAG_IS_USED
    size_t count = kc_mag_count(&m->mag);
    if (KC_LIKELY(count != 0) && KC_LIKELY(cache_make_live(&cache_entries(m)[count - 1]))) {
        *out = cache_pop(m, count);
        return true;
    }
#else
    (void)m;
    (void)out;
#endif
    return false;
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

/*
 * One of two addresses without a branch, for calls that are to be quick: no processor foretells
 * which sizes come. (A compiler makes a branch of ?: as often as not.)
 */
KC_INLINE uintptr_t cache_either(bool is_first, uintptr_t first, uintptr_t other)
{
    uintptr_t mask = 0 - (uintptr_t)is_first;
    return other ^ ((other ^ first) & mask);
}

/* The object's state byte; its cache has magazines. */
KC_INLINE uint8_t *cache_state_at(const struct kc_cache_shape *shape, struct kc_frame *record,
                                  unsigned char *base, uint32_t object)
{
    return (uint8_t *)cache_either(shape->by_bytes, (uintptr_t)slab_record_state(record, object),
                                   (uintptr_t)(base + shape->bytes_offset + object));
}

/* Frees ptr, which lies in the block that was found, a slab of c; or answers false. Pinned. */
KC_INLINE bool cache_free_quick(struct kc_cache *c, const struct kc_frame_found *found, void *ptr)
{
#if KC_MAG_IS_USED
    struct kc_cache_cpu *m = c->cpu[kc_mag_place()];
    const struct kc_cache_shape *shape = &c->shape[found->order];
    uint32_t object = cache_index(c, (uint32_t)found->offset);
    size_t count = kc_mag_count(&m->mag);
    if (KC_UNLIKELY(object >= shape->objects) || KC_UNLIKELY(count >= m->limit)) {
        return false;
    }
#if KC_MAG_HAS_STATE
    unsigned char *base = (unsigned char *)ptr - found->offset;
    uint8_t *state = cache_state_at(shape, found->record, base, object);
    if (KC_UNLIKELY(*state != KC_MAG_LIVE)) {
        return false;
    }
    slab_store_state(state, KC_MAG_FREE);
    cache_push(m, count, ptr, state);
#else
    /* Whether it lies in its slab, free, would be one more line to look at. */
    cache_push(m, count, ptr, NULL);
#endif
    return true;
#else
    (void)c;
    (void)found;
    (void)ptr;
    return false;
#endif
}

/*
 * The called forms of an allocation without flags, and of a free: what is not quick is another
 * function's, and its last act, so that the quick way saves no registers. Who called is asked only
 * where there are no magazines.
 */
KC_INLINE void *cache_alloc_pinned(struct kc_cache *c, uint32_t flags, const void *site)
{
#if KC_MAG_IS_USED
    (void)site;
    struct kc_cache_cpu *m = c->cpu[kc_mag_place()];
    void *object;
    return KC_LIKELY(cache_alloc_quick(m, &object)) ? object : kc_cache_priv_alloc_slow(c, flags);
#else
    return kc_cache_priv_alloc_alone(c, flags, site);
#endif
}

KC_INLINE void *cache_alloc_masked(struct kc_cache *c, const void *site)
{
#if KC_MAG_IS_USED
    uint64_t irq;
    void *object;
    (void)site;
    if (KC_UNLIKELY(!kc_plat_irq_save_quick(&irq))) {
        return kc_cache_priv_alloc_late(c, irq);
    }
    if (KC_UNLIKELY(!cache_alloc_quick(c->cpu[kc_mag_place()], &object))) {
        return kc_cache_priv_alloc_masked(c, irq);
    }
    return KC_LIKELY(kc_plat_irq_restore_quick(irq)) ? object
                                                     : kc_cache_priv_alloc_done(object, irq);
#else
    return kc_cache_priv_alloc(c, 0, site);
#endif
}

KC_INLINE kc_status_t cache_free_pinned(struct kc_cache *c, const struct kc_frame_found *found,
                                        void *ptr, const void *site)
{
#if KC_MAG_IS_USED
    (void)site;
    return KC_LIKELY(cache_free_quick(c, found, ptr))
               ? KC_OK
               : kc_cache_priv_free_slow(c, ptr, found->record, (size_t)found->offset);
#else
    (void)found;
    return kc_cache_priv_free_alone(c, ptr, site);
#endif
}

KC_INLINE kc_status_t cache_free_masked(struct kc_cache *c, const struct kc_frame_found *found,
                                        void *ptr, const void *site)
{
    uint64_t irq;
#if KC_MAG_IS_USED
    (void)site;
    if (KC_UNLIKELY(!kc_plat_irq_save_quick(&irq))) {
        return kc_cache_priv_free_late(c, ptr, found->record, (size_t)found->offset, irq);
    }
    if (KC_UNLIKELY(!cache_free_quick(c, found, ptr))) {
        return kc_cache_priv_free_masked(c, ptr, found->record, (size_t)found->offset, irq);
    }
    return KC_LIKELY(kc_plat_irq_restore_quick(irq)) ? KC_OK : kc_cache_priv_free_done(irq);
#else
    (void)found;
    irq = kc_plat_irq_save();
    kc_status_t status = kc_cache_priv_free_alone(c, ptr, site);
    kc_plat_irq_restore(irq);
    return status;
#endif
}

#endif
