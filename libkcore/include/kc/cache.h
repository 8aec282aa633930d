/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/cache.h: objects of one size, in slabs of page frames.
 *
 * A cache grows by slabs of one to eight frames and gives them back when they empty, but for one
 * that it keeps; caches of a set share slabs where sizes are equal, and keep a few empty slabs
 * together. What is free is recorded outside the objects. A slab is found from a pointer
 * through the frame records, so there is no header before an object, and any pointer at all may be
 * handed to kc_cache_free(): a wrong one is refused and reported.
 *
 * Each CPU may have a magazine (kc/mag.h) over the slabs that all share. kc_cache_alloc() and
 * kc_cache_free() mask interrupts for the call; the _pinned forms are for a caller that stays on
 * its CPU while nobody else on it uses the cache (kc/pool.h says more of the forms). The caches of
 * a set use each other, and the set is a reclaimer of frames: there, nothing that interrupts the
 * caller on its CPU may use any of them, nor ask for frames without KC_FRAME_NO_RECLAIM. Without
 * magazines (cpu_count 0) every call takes the lock, and the outcome depends on nothing but the
 * order of calls: the deterministic mode.
 */
#ifndef KC_CACHE_H
#define KC_CACHE_H

#include <kc/frame.h>
#include <kc/mag.h>

KC_EXTERN_C_BEGIN

#define KC_CACHE_OBJECT_MAX 16384u /* greatest object, in bytes */
#define KC_CACHE_ALIGN_MIN  8u
#define KC_CACHE_ALIGN_MAX  KC_FRAME_BYTES
#define KC_CACHE_ORDER_MAX  3u /* greatest slab: 2^3 frames */
#define KC_CACHE_ORDERS     (KC_CACHE_ORDER_MAX + 1u)
#define KC_CACHE_BINS       8u /* partial slabs are kept by eighths of fullness */
#define KC_CACHE_NAME_CHARS 24u

/* Hardening full: bytes behind each object, at least, and freed objects that are held back. */
#if KC_HARDENING >= KC_HARDENING_FULL
#define KC_CACHE_REDZONE_BYTES (KC_HARDENING >= KC_HARDENING_TAGGED ? 16u : 8u)
#define KC_CACHE_QUARANTINE    16u
#else
#define KC_CACHE_REDZONE_BYTES 0u
#define KC_CACHE_QUARANTINE    1u /* never used */
#endif

/* Flags of kc_cache_alloc(). */
#define KC_CACHE_ZERO       0x1u /* contents are zero */
#define KC_CACHE_NO_RECLAIM 0x2u /* as KC_FRAME_NO_RECLAIM, if a slab must be made */
#define KC_CACHE_URGENT     0x4u /* as KC_FRAME_URGENT */

/* Flags of a cache. */
#define KC_CACHE_KEEP_NONE  0x1u /* give an empty slab back at once */
#define KC_CACHE_COLOURED   0x2u /* objects an odd number of lines apart: KC_MAG_COLOURED() */

#define KC_CACHE_SPARES_MAX 64u /* empty slabs that all caches of a set may keep together */

#define KC_CACHE_SLAB_AUTO  0u /* slab_order: the cache chooses, by waste and population */

/*
 * A magazine holds no more objects, and no more bytes of them but one object. It begins with one
 * (up to four, while magazines of idle caches are emptied for it) and doubles while it is much
 * used. So no CPU keeps more free objects from the others.
 */
#define KC_CACHE_CPU_OBJECTS 32u
#define KC_CACHE_CPU_BYTES   32768u

struct kc_cache_config {
    const char *name;    /* copied, cut to KC_CACHE_NAME_CHARS - 1; NULL is "" */
    size_t object_bytes; /* 1 to KC_CACHE_OBJECT_MAX */
    size_t align; /* power of two, 8 to KC_CACHE_ALIGN_MAX; 0 is 8. Coloured: at most a line's */
    /*
     * Called once for each object when its slab is made; objects keep what it made between uses.
     * It runs with the cache locked and may not call the cache. NULL for none.
     */
    void (*ctor)(void *object);
    uint32_t slab_order;      /* KC_CACHE_SLAB_AUTO, or 1 plus the order of every slab */
    uint32_t flags;           /* KC_CACHE_KEEP_NONE, KC_CACHE_COLOURED */
    uint32_t frame_flags;     /* for its frames: KC_FRAME_BELOW() or 0 */
    struct kc_misuse *misuse; /* NULL as in kc_misuse_raise() */
    uint32_t cpu_count;       /* CPUs 0 to cpu_count - 1 have magazines; others take the lock */
};

/* How a slab of one order is laid out; the rest is in struct kc_cache. Private. */
struct kc_cache_shape {
    uint16_t objects;      /* 0: this order is not used */
    uint16_t state_offset; /* of the slab's state in the slab; 0: in its frame records */
    uint16_t bytes_offset; /* of the objects' state bytes in the slab; 0: there are none */
    uint16_t by_bytes;     /* 1: the state is in frame records, as bytes of the objects */
};

struct kc_cache_set;
struct kc_cache;

/* An entry of a magazine. Private. */
struct kc_cache_entry {
    void *object;
#if KC_MAG_HAS_STATE
    uint8_t *state; /* where the object's state byte is */
#endif
};

/* What one CPU has of a cache; its entries follow. `none` of a cache has a limit of 0. Private. */
struct kc_cache_cpu {
    struct kc_mag mag;
    size_t limit;             /* entries beyond which there is no room, mostly; 0: idle, or new */
    const uint32_t *draining; /* not 0: magazines are to be emptied on this CPU */
    uint64_t alloc_count;     /* atomic, relaxed */
    uint32_t room;            /* entries that it has room for */
    uint32_t slow_left;       /* slow calls until the limit doubles; 0: the next one sees to that */
    uint32_t place;           /* in the set's ring of filled magazines, plus 1; 0: none */
    uint32_t drain_next; /* number + 1 of the next cache whose magazine is to be emptied here */
};

/* Where magazines lie: frames from which nothing goes back before the end. Private. */
struct kc_cache_store {
    uintptr_t at, end; /* what is left of the last frame */
    uint64_t last; /* physical address of the last frame, or 0; each begins with the one before */
    uint32_t frame_count;
    uint32_t unused;
};

/*
 * The cache. Placed by the caller, private member by member. The first members are what calls that
 * a magazine serves look at, and what a free by address does: for the first few CPUs, one line.
 */
struct kc_cache {
    struct kc_cache_shape shape[KC_CACHE_ORDERS];
    uint32_t inverse; /* of the stride's odd part, modulo 2^32; kc_mag_quotient() */
    uint32_t shift;   /* of the stride: its trailing zeros */
    struct kc_cache_cpu *cpu[KC_CPUS_MAX + 1]; /* kc_mag_place(): a CPU's own, or &none */
    struct kc_frames *frames;
    void (*ctor)(void *object);
    uint32_t object_bytes;
    uint32_t stride;                       /* bytes from object to object */
    struct kc_cache_cpu none;              /* of CPUs without a magazine */
    uint32_t share[KC_CACHE_ORDERS];       /* of an object of the bins, in 1 / 2^24 */
    uint16_t site_offset[KC_CACHE_ORDERS]; /* hardening full: of the sites of the last calls */
    struct kc_lock lock;
    struct kc_misuse *misuse;
    struct kc_cache_set *set; /* that it belongs to; NULL: none */
    uint32_t cpu_count;
    struct kc_cache_store store; /* of its magazines, if it is in no set */
    uint16_t flags;
    uint16_t frame_flags;
    uint8_t order_first; /* of slabs while few objects live */
    uint8_t order_more;  /* the greatest, when many do */
    uint8_t in_ring;     /* atomic: the set lets it keep an empty slab */
    /* The slab that allocations take from, in no list: first frame record, or NULL; object 0. */
    struct kc_frame *hand;
    unsigned char *hand_base;
    /* Lists of slabs by first frame record: empty, then eighths of fullness, then full. */
    uint32_t bin[KC_CACHE_BINS + 2u];
    uint32_t bin_mask; /* bit b: bin b is not empty */
    uint32_t slabs;    /* all, empty ones included */
    uint32_t slabs_empty;
    uint32_t frames_held, peak_frames;
    uint64_t out;      /* objects that are live, in magazines or in quarantine */
    uint64_t capacity; /* objects in all slabs */
    uint64_t peak_out;
    uint64_t alloc_count;            /* under the lock; beside these, those of magazines */
    uint64_t fail_count, grow_count; /* slabs given back: those made less those held */
    uint64_t random;                 /* hardening full */
    uint32_t quarantined;            /* hardening full: objects in quarantine, longest first */
    void *quarantine[KC_CACHE_QUARANTINE];
#if KC_HARDENING >= KC_HARDENING_TAGGED
    uint32_t tags; /* atomic: given so far */
#endif
    char name[KC_CACHE_NAME_CHARS];
} KC_ALIGNED(KC_LINE_BYTES);

struct kc_cache_stats {
    size_t object_bytes; /* as configured */
    size_t stride_bytes; /* as laid out: what one object is granted */
    uint64_t live;       /* objects handed out now; while others allocate, of some moment each */
    uint64_t kept;       /* free, in magazines */
    uint64_t peak_live;  /* most at a time that were live or in magazines */
    uint64_t capacity;   /* objects in all slabs */
    uint64_t slabs, slabs_empty;
    uint64_t frames_bytes; /* held in frames now, slab state included; magazines are apart */
    uint64_t peak_frames_bytes;
    uint64_t alloc_count, free_count;  /* successes since init */
    uint64_t fail_count;               /* allocations that found no memory */
    uint64_t grow_count, shrink_count; /* slabs made and given back since init */
};

/**
 * Make a cache. It takes no frame until the first allocation.
 *
 * c        zero or garbage
 * config   read during the call only
 * frames   where slabs come from; outlives the cache
 *
 * Errors:  KC_ERR_ARG    c, config or frames is NULL, align is no power of two or below
 *                        KC_CACHE_ALIGN_MIN, an unknown flag, or KC_CACHE_COLOURED with align above
 *                        KC_LINE_BYTES
 *          KC_ERR_RANGE  object_bytes is 0 or above KC_CACHE_OBJECT_MAX, align above
 *                        KC_CACHE_ALIGN_MAX, cpu_count above KC_CPUS_MAX, slab_order above
 *                        1 + KC_CACHE_ORDER_MAX, or a slab of that order cannot hold one object
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_cache_init(struct kc_cache *c, const struct kc_cache_config *config,
                                       struct kc_frames *frames);

/**
 * End it, giving all slabs back.
 *
 * Errors:  KC_ERR_STATE  objects are live (misuse BUSY; kc_cache_next_live() lists them): unchanged
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_cache_fini(struct kc_cache *c);

/**
 * Allocate an object: the one that this CPU freed last, else one from the slab at hand; when that
 * has no more, the fullest that has some is the next. At hardening full, a random one of that slab.
 *
 * flags   of KC_CACHE_ZERO, NO_RECLAIM, URGENT; ZERO is refused (NULL) for a cache with a
 *         constructor
 *
 * Contents are zero, what the constructor or the last user left (with a constructor), or
 * undefined. At hardening full, an object that was written after its free is reported as
 * misuse (CORRUPT), is cleared, and is handed out.
 *
 * Returns NULL if there is no memory, or for an unknown flag.
 * Owner:   the caller, until kc_cache_free()
 * Cost:    O(1): a pop; or one lock hold in which at most 4 objects move, and when a slab must
 *          be made one kc_frame_alloc(), with the frames' lock within. The constructor runs
 *          for a whole slab. If frames are short, but for NO_RECLAIM:
 *          kc_frames_reclaim() and a second attempt. In a set whose caches are more than its
 *          spares also a lock hold for one object of an idle cache, as kc_cache_free(). The first
 *          call on a CPU makes its magazine: one lock hold, perhaps with one kc_frame_alloc().
 * Context: any, interrupts included; the pinned form: see the top
 */
KC_NODISCARD void *kc_cache_alloc(struct kc_cache *c, uint32_t flags);
KC_NODISCARD void *kc_cache_alloc_pinned(struct kc_cache *c, uint32_t flags);

/**
 * Give an object back. A slab that empties goes back to the frames if another empty one is
 * held; in a set, it may be another cache's that goes.
 *
 * ptr     from kc_cache_alloc() of this cache; NULL is KC_OK and does nothing
 *
 * Errors (all are misuse, reported once; state is as before; at hardening off, DOUBLE_FREE is not
 * noticed while the CPU's magazine has room, nor of an object in a magazine):
 *          KC_ERR_RANGE  FOREIGN: ptr lies in no slab, nor in free memory
 *          KC_ERR_PERM   WRONG_OWNER: ptr lies in another cache's slab
 *          KC_ERR_ALIGN  INTERIOR: ptr is not the first byte of an object
 *          KC_ERR_STATE  DOUBLE_FREE: the object is free, or ptr lies in free frames
 *          KC_ERR_CORRUPT  CORRUPT (full): bytes behind it were written; it *is* free now
 * Cost:    kc_frame_find() and a push; or, where the magazine is full, one lock hold in which the
 *          object goes to its slab (with three more if it had to wait for the lock), and when a
 *          slab empties in a set perhaps another, with one kc_frame_free(); and once more for an
 *          object of an idle cache of the set, as kc_cache_alloc()
 * Context: any, interrupts included; the pinned form: see the top
 */
kc_status_t kc_cache_free(struct kc_cache *c, void *ptr);
kc_status_t kc_cache_free_pinned(struct kc_cache *c, void *ptr);

/**
 * What kc_cache_free() would answer for ptr: misuse is reported as there, but nothing is freed.
 * NULL is KC_ERR_RANGE, FOREIGN.
 */
kc_status_t kc_cache_probe(struct kc_cache *c, const void *ptr);

/**
 * Give all empty slabs back, after emptying this CPU's magazine.
 *
 * Returns the number of frames that went.
 * Cost:    O(empty slabs + KC_CACHE_CPU_OBJECTS)
 * Context: any, interrupts included
 */
uint64_t kc_cache_shrink(struct kc_cache *c);

/**
 * Empty the magazine of a CPU into the slabs.
 *
 * cpu      any number; one without a magazine keeps nothing
 *
 * Returns the number of objects.
 * Context: on that CPU, and it stays there; or on another when that CPU is off and was seen to be
 */
uint32_t kc_cache_drain(struct kc_cache *c, uint32_t cpu);

/** Counts. Cost: O(CPUs); one lock hold. Context: any. */
void kc_cache_stats(struct kc_cache *c, struct kc_cache_stats *out);

/**
 * True if ptr is the first byte of a live object of this cache. Any value is allowed.
 *
 * Context: with magazines, nobody allocates or frees that object meanwhile
 */
bool kc_cache_is_live(struct kc_cache *c, const void *ptr);

/* ---- sets: caches that share slabs ---------------------------------------------------------- */

struct kc_cache_set_config {
    const char *name; /* of the set; its caches are called NAME-BYTES */
    /* Room for its caches; the caller's, untouched by others until kc_cache_set_fini(). */
    struct kc_cache *cache;
    uint32_t cache_max; /* how many fit; 1 or more */
    /*
     * Empty slabs kept in all, and on each CPU the caches that may keep a filled magazine: power of
     * two, 1 to KC_CACHE_SPARES_MAX. Fewer hold less memory, more are faster.
     */
    uint32_t spares;
    uint32_t frame_flags;     /* for frames: KC_FRAME_BELOW() or 0 */
    struct kc_misuse *misuse; /* of its caches; NULL as in kc_misuse_raise() */
    uint32_t cpu_count;       /* of its caches */
};

/* What one CPU has of a set: which of its caches may keep a filled magazine there. Private. */
struct kc_cache_set_cpu {
    uint32_t ring[KC_CACHE_SPARES_MAX]; /* number + 1 of a cache; 0: none; `spares` are used */
    uint32_t next;                      /* place that is used next */
    uint32_t draining; /* number + 1 of the first cache whose magazine is to be emptied; 0: none */
};

/*
 * A set of caches of different sizes. Whoever asks for a size that is there already shares its
 * cache: objects of several types then fill the same slabs, which is what saves memory where each
 * type is few. The price: a free of one type's object as another's of the same size is not seen.
 * Empty slabs are kept for the set, not for each cache: beyond config.spares, one that empties
 * sends back the one that emptied longest ago. So do magazines: on each CPU config.spares caches
 * may keep a filled one, and those of others are emptied, an object by each call on that CPU that
 * its magazine does not serve. Placed by the caller, private member by member.
 */
struct kc_cache_set {
    struct kc_lock lock; /* for making caches */
    struct kc_frames *frames;
    struct kc_misuse *misuse;
    struct kc_cache *cache;
    uint32_t cache_max;
    uint32_t count; /* atomic: caches made; only grows */
    uint32_t frame_flags;
    uint32_t spares;
    uint32_t spare_next;                 /* atomic: place in the ring that is used next */
    uint32_t spare[KC_CACHE_SPARES_MAX]; /* atomic: number + 1 of the cache in that place; 0 none */
    struct kc_frame_reclaimer reclaimer; /* gives empty slabs back when frames run short */
    uint32_t cpu_count;
    struct kc_cache_store store; /* of the magazines */
    struct kc_cache_set_cpu cpu[KC_CPUS_MAX];
    char name[KC_CACHE_NAME_CHARS];
};

/**
 * Make an empty set. It takes no frame. From now until its end it is a reclaimer of the frames
 * (kc/frame.h): when they run short, its empty slabs go back.
 *
 * s        zero or garbage, or a set that has ended
 * config   read during the call only
 * frames   where memory comes from; outlives the set
 *
 * Errors (s is as before, and no reclaimer by this call):
 *          KC_ERR_ARG     s, config, frames or config->cache is NULL, or an unknown frame flag
 *          KC_ERR_RANGE   cache_max is 0, cpu_count above KC_CPUS_MAX, or spares is no power of two
 *                         or outside its limits
 *          KC_ERR_EXISTS  s is a set of these frames that has not ended
 * Cost:    O(reclaimers of the frames); two lock holds
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_cache_set_init(struct kc_cache_set *s,
                                           const struct kc_cache_set_config *config,
                                           struct kc_frames *frames);

/**
 * End the set and all its caches, giving their slabs back.
 *
 * Errors:  KC_ERR_STATE  objects are live (misuse BUSY of the first cache that has some), or a
 *                        reclaimer ends it while another CPU asks the set for memory
 *                        (kc_frames_reclaimer_remove()): unchanged, but for empty slabs, which
 *                        may be gone
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_cache_set_fini(struct kc_cache_set *s);

/**
 * The cache of the set for objects of a size; made if it is not there.
 *
 * object_bytes, align   as in struct kc_cache_config
 * out                   untouched on error
 *
 * The cache may be shared with others and is the set's: it is not ended by its user, its objects
 * have all bytes of the stride, and it has no constructor.
 *
 * Errors:  KC_ERR_ARG    align is no power of two or below KC_CACHE_ALIGN_MIN
 *          KC_ERR_RANGE  as kc_cache_init()
 *          KC_ERR_NOMEM  the set has as many caches as fit
 * Cost:    O(caches of the set); one lock hold
 * Context: any, interrupts included
 */
KC_NODISCARD kc_status_t kc_cache_set_get(struct kc_cache_set *s, size_t object_bytes, size_t align,
                                          struct kc_cache **out);

/** Caches made so far; number i is s->cache[i]. */
uint32_t kc_cache_set_count(const struct kc_cache_set *s);

/** Give all empty slabs of all caches back, after emptying this CPU's magazines. Any context. */
uint64_t kc_cache_set_shrink(struct kc_cache_set *s);

/**
 * Empty all magazines of a CPU into the slabs, those of idle caches too: none is to be emptied then
 * by later calls there. Which caches may keep a filled one on that CPU, and how much, stays.
 *
 * cpu      any number; one without magazines keeps nothing
 *
 * Returns the number of objects.
 * Cost:    O(caches of the set + objects); interrupts are masked for one magazine at a time
 * Context: as kc_cache_drain(); what interrupts meanwhile may leave something again
 */
uint32_t kc_cache_set_drain(struct kc_cache_set *s, uint32_t cpu);

/** Bytes of frames that the magazines of the set's caches lie in. */
uint64_t kc_cache_set_cpu_bytes(struct kc_cache_set *s);

/* Position of kc_cache_next_live(); all zero to begin. Private. */
struct kc_cache_cursor {
    uint32_t slab; /* first frame record, plus 1 */
    uint32_t object;
    uint32_t bin;
};

/**
 * The live objects, for leak lists; in no order.
 *
 * Returns NULL when there are no more.
 * Cost:    over a whole pass O(capacity), where objects have no state bytes times those in
 *          magazines; a call is one lock hold
 * Context: nobody allocates or frees meanwhile
 */
void *kc_cache_next_live(struct kc_cache *c, struct kc_cache_cursor *cursor);

/* Where a validator found the first broken invariant: its number in the theory comment. */
struct kc_cache_fault {
    uint32_t invariant;
    uint32_t index; /* first frame record of the slab concerned */
    uint64_t expected, found;
};

/**
 * Walk everything and judge every invariant of src/mem/cache.c.
 *
 * Errors:  KC_ERR_CORRUPT  one is broken; *where, if not NULL, says which
 * Cost:    O(capacity); holds the lock meanwhile
 * Context: with magazines, nobody allocates or frees meanwhile
 */
KC_NODISCARD kc_status_t kc_cache_check(struct kc_cache *c, struct kc_cache_fault *where);

/**
 * The same for every cache of a set, and for the invariants of the set itself.
 *
 * Errors:  KC_ERR_CORRUPT  one is broken; *where, if not NULL, says which
 * Context: nobody allocates or frees meanwhile
 */
KC_NODISCARD kc_status_t kc_cache_set_check(struct kc_cache_set *s, struct kc_cache_fault *where);

KC_EXTERN_C_END

#endif
