/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap: blocks of any size. Theory.
 *
 * Nouns. A *class* is a block size with a kc_cache, which the heap gets from a kc_cache_set when
 * the class is first asked for. The set is the heap's own, or shared with caches that may have the
 * same sizes. A *small* block is an object of a class. A *large* block is a run of frames
 * (kc_frame_alloc_run()), whose frame blocks are claimed by the heap: the record of the first says
 * how many frames, those of further ones how far behind the first they are.
 *
 *     classes    8 16 24 ... 128 | 144 160 ... 256 | 288 320 ... 512 | ... | 4608 5120 ... 8192
 *                 8 bytes apart     16 apart          32 apart               512 apart
 *     large      | 4 frames: heap, 5 | 1 frame: heap + 1, 4 |       a block of 5 frames
 *
 * Up to 128 bytes a block wastes at most 7 bytes; above, at most an eighth of its class (just above
 * a power of two, an eighth of the size).
 *
 * Above SMALL_MAX it wastes at most one frame less a byte: of what it holds, at most a third just
 * above 8 KiB, a fifth above 16 KiB, a ninth above 32 KiB; on average over all sizes 14.6 % from 8
 * to 16 KiB, 7.9 % from 16 to 32, 4.1 % from 32 to 64, and it falls from there. Eight classes to
 * each doubling would waste 4.1 % on average at any size. But two or three objects of 9 to 16 KiB
 * fill a slab of eight frames, the greatest, and leave 0 to 31 % of it over, 14.5 % on average: as
 * much as they save. From 32 KiB on there is nothing to save. So there is no third mechanism in
 * between.
 *
 * The back end of the large, the frames' buddy, coalesces in constant time: a run is one block,
 * found by a mask of orders and cut at most ORDER_MAX (10) times; at its free at most ORDER_MAX + 1
 * blocks go back, the digits of its count from the last to the first. Each but the first two merges
 * at most up to the order of the digit before it, so all of them take at most 3 ORDER_MAX merges
 * together. ORDER_MAX is a constant of the build: the bound grows neither with RAM nor with what is
 * live.
 *
 * Alignment needs no second mechanism. Slabs start on a frame and objects lie one class size apart,
 * so an object is aligned to every power of two, up to a frame, that divides its class. Round a
 * size up to a multiple of the alignment a: its class is a multiple of a too. For let the class be
 * in a doubling whose classes are a step s apart: if a <= s, every class there is a multiple of s,
 * hence of a; if a > s, the rounded size is itself a multiple of s, hence a class. Alignments above
 * a frame go to runs, which take any up to their greatest order.
 *
 * Invariants
 *  H1  Class i, if it was asked for, is a sound cache of the set with objects of
 *      heap_class_bytes(i) bytes, and classes ascend; the set is sound.
 *  H2  Of the frame blocks of owner HEAP that carry this heap: each is the first of a run of as
 * many frames as its word says, or a further one, whose word leads back to a first that reaches it.
 *  H3  large_live and large_frames are what those runs add up to.
 *
 * What is kept. A cache keeps at most one empty slab, and of a set at most as many caches do as it
 * has spares (C7 in cache.c); a slab has at most KEEP_MIN bytes. So spares * KEEP_MIN bounds what
 * empty slabs hold, and spares are chosen for that to be keep_bytes at most.
 *
 * Cost and locking. A small block costs what its cache does. One lock of rank HEAP, interrupts
 * masked, covers claiming and unclaiming large blocks, so that a run found through a record while
 * it is held stays this heap's. It is not held while frames are asked for that reclaimers may have
 * to give: those may take it. To which of the two a pointer belongs is found without a lock, and
 * then looked up again under the one that decides.
 */
#include "cache_priv.h"
#include "heap_priv.h"

KC_STATIC_ASSERT(KC_HEAP_SMALL_MAX <= KC_CACHE_OBJECT_MAX, "a class fits a cache");
KC_STATIC_ASSERT(KC_HEAP_CLASSES == HEAP_STEP_COUNT + 8 * (13 - HEAP_STEP_LOG2) &&
                     KC_HEAP_SMALL_MAX == 1u << 13,
                 "eight classes to each doubling, up to the greatest");
#define ALLOC_FLAGS (KC_HEAP_ZERO | KC_HEAP_ATOMIC)
KC_STATIC_ASSERT(KC_HEAP_ZERO == KC_CACHE_ZERO && KC_HEAP_NO_WAIT == KC_CACHE_NO_RECLAIM &&
                     KC_HEAP_URGENT == KC_CACHE_URGENT && KC_HEAP_NO_WAIT == KC_FRAME_NO_RECLAIM &&
                     KC_HEAP_URGENT == KC_FRAME_URGENT,
                 "flags are handed on");
KC_STATIC_ASSERT(KC_HEAP_ALIGN_MAX == KC_FRAME_BYTES << KC_FRAME_ORDER_MAX, "runs align so far");

static void raise(struct kc_heap *h, enum kc_misuse_kind kind, const char *where, const void *ptr,
                  uint64_t expected, uint64_t found)
{
    struct kc_misuse_report r = {.kind = kind,
                                 .where = where,
                                 .object = h->name,
                                 .address = (uintptr_t)ptr,
                                 .expected = expected,
                                 .found = found};
    kc_misuse_raise(h->misuse, &r);
}

/* ---- life cycle ----------------------------------------------------------------------------- */

static void set_name(char *to, const char *from)
{
    uint32_t i = 0;
    for (; from != NULL && from[i] != 0 && i < KC_HEAP_NAME_CHARS - 1; i++) {
        to[i] = from[i];
    }
    to[i] = 0;
}

#define OWN_FRAMES \
    ((uint32_t)((KC_HEAP_CLASSES * sizeof(struct kc_cache) + KC_FRAME_BYTES - 1) >> KC_FRAME_LOG2))
#define OWN_SPARES KC_HEAP_CLASSES /* empty slabs kept where nobody says: one of each class */

KC_STATIC_ASSERT(OWN_SPARES <= KC_CACHE_SPARES_MAX && (OWN_SPARES & (OWN_SPARES - 1)) == 0,
                 "a ring for all classes");
KC_STATIC_ASSERT(KC_HEAP_KEEP_MIN == KC_FRAME_BYTES << KC_CACHE_ORDER_MAX, "a greatest slab");

/* Classes that may keep an empty slab, so that together they stay within keep_bytes. */
static uint32_t spares_for(size_t keep_bytes)
{
    uint64_t slabs = keep_bytes / KC_HEAP_KEEP_MIN;
    return keep_bytes == 0 || slabs >= OWN_SPARES ? OWN_SPARES : 1u << kc_log2_floor(slabs);
}

/* A set of the heap's own, with room for all classes. */
static kc_status_t own_set(struct kc_heap *h, uint32_t cpu_count, uint32_t spares)
{
    kc_pa_t pa;
    kc_status_t status =
        kc_frame_alloc_run(h->frames, OWN_FRAMES, 0, h->frame_flags, KC_FRAME_OWNER_HEAP, &pa);
    if (status != KC_OK) {
        return status;
    }
    struct kc_cache_set_config config;
    __builtin_memset(&config, 0, sizeof(config));
    config.name = h->name;
    config.cache = (struct kc_cache *)kc_plat_ram(pa);
    config.cache_max = KC_HEAP_CLASSES;
    config.spares = spares;
    config.frame_flags = h->frame_flags;
    config.misuse = h->misuse;
    config.cpu_count = cpu_count;
    status = kc_cache_set_init(&h->own, &config, h->frames);
    KC_CHECK(status == KC_OK);
    h->own_frames = OWN_FRAMES;
    h->set = &h->own;
    h->caches = h->own.cache;
    h->caches_bytes = KC_HEAP_CLASSES * (uint32_t)sizeof(struct kc_cache);
    return KC_OK;
}

kc_status_t kc_heap_init(struct kc_heap *h, const struct kc_heap_config *config,
                         struct kc_frames *frames)
{
    if (h == NULL || config == NULL || frames == NULL || config->cpu_count > KC_CPUS_MAX ||
        (config->set != NULL && (config->cpu_count != 0 || config->keep_bytes != 0)) ||
        !kc_frame_is_place(config->frame_flags)) {
        return KC_ERR_ARG;
    }
    struct kc_cache_set *set = config->set;
    if (set != NULL && (set->frames != frames || set->frame_flags != config->frame_flags)) {
        return KC_ERR_ARG;
    }
    if (config->keep_bytes != 0 && config->keep_bytes < KC_HEAP_KEEP_MIN) {
        return KC_ERR_RANGE;
    }
    struct kc_misuse *misuse = config->misuse;
    uint32_t frame_flags = config->frame_flags;
    uint32_t cpu_count = config->cpu_count;
    uint32_t spares = spares_for(config->keep_bytes);
    __builtin_memset(h, 0, sizeof(*h));
    h->frames = frames;
    h->misuse = misuse;
    h->frame_flags = frame_flags;
    h->set = set;
#if KC_TAG_IS_USED
    kc_tag_seed(&h->large_tags);
#endif
    kc_lock_init(&h->lock, "heap", KC_RANK_HEAP);
    set_name(h->name, config->name);
    return set != NULL ? KC_OK : own_set(h, cpu_count, spares);
}

kc_status_t kc_heap_fini(struct kc_heap *h)
{
    struct kc_heap_stats stats;
    kc_heap_stats(h, &stats);
    uint64_t live = h->own_frames != 0 ? stats.live : stats.large_live;
    if (live != 0) {
        raise(h, KC_MISUSE_BUSY, __func__, NULL, 0, live);
        return KC_ERR_STATE;
    }
    if (h->own_frames != 0) {
        kc_status_t status = kc_cache_set_fini(&h->own);
        if (status != KC_OK) {
            return status;
        }
        status = kc_frame_free_run(h->frames, kc_plat_ram_pa(h->own.cache), h->own_frames);
        KC_CHECK(status == KC_OK);
    }
    return KC_OK;
}

/* The cache of a class, or NULL: nobody has asked for it yet. */
static struct kc_cache *class_cache(const struct kc_heap *h, size_t index)
{
    return __atomic_load_n(&h->cache[index], __ATOMIC_ACQUIRE);
}

/* The same, made; NULL if a shared set is full. Two CPUs may get here at once: to the same end. */
static KC_COLD struct kc_cache *make_class(struct kc_heap *h, uint32_t index)
{
    struct kc_cache *c;
    if (kc_cache_set_get(h->set, heap_class_bytes(index), 0, &c) != KC_OK) {
        return NULL;
    }
    /* Release: who finds it here sees it made. */
    __atomic_store_n(&h->cache[index], c, __ATOMIC_RELEASE);
    return c;
}

/* ---- large blocks --------------------------------------------------------------------------- */

/* Claims or unclaims the frame blocks of a run; the heap's lock is held. */
static void claim_run(struct kc_heap *h, kc_pa_t pa, uint32_t frames)
{
    uint32_t at = 0;
    for (uint32_t o = KC_FRAME_ORDERS; o-- > 0;) {
        if ((frames >> o & 1) != 0) {
            kc_pa_t part = kc_pa(kc_pa_raw(pa) + ((uint64_t)at << KC_FRAME_LOG2));
            uint64_t data = heap_claim_data(h) | (at == 0 ? 0 : HEAP_FURTHER);
            struct kc_frame *r = kc_frame_claim(h->frames, part, o, data);
            __atomic_store_n(&r->word, at == 0 ? frames : at, __ATOMIC_RELAXED);
            at += 1u << o;
        }
    }
}

static void unclaim_run(struct kc_heap *h, kc_pa_t pa, uint32_t frames)
{
    uint32_t at = 0;
    for (uint32_t o = KC_FRAME_ORDERS; o-- > 0;) {
        if ((frames >> o & 1) != 0) {
            kc_frame_unclaim(h->frames, kc_pa(kc_pa_raw(pa) + ((uint64_t)at << KC_FRAME_LOG2)), o);
            at += 1u << o;
        }
    }
}

/* A large block of `from` frames has `to` of them now; the heap's lock is held. */
static void count_frames(struct kc_heap *h, uint32_t from, uint32_t to)
{
    h->large_frames += (uint64_t)to - from;
    h->large_peak_frames =
        h->large_frames > h->large_peak_frames ? h->large_frames : h->large_peak_frames;
}

#if KC_TAG_IS_USED
/* The tag of the memory at pa; 0 also where there is none. */
static uint32_t tag_at(const struct kc_heap *h, uint64_t pa)
{
    struct kc_frame_info info;
    kc_frame_info(h->frames, kc_pa(pa), &info);
    return info.state == KC_FRAME_FOREIGN ? 0 : kc_plat_tag_get(kc_plat_ram(kc_pa(pa)));
}
#endif

/* The pointer that the owner of a large block gets. */
static void *large_tag(struct kc_heap *h, void *block, size_t bytes)
{
#if KC_TAG_IS_USED
    uint64_t pa = kc_pa_raw(kc_frame_ptr_pa(h->frames, block));
    block =
        kc_tag_give_block(block, bytes, tag_at(h, pa - 1), tag_at(h, pa + bytes), &h->large_tags);
#endif
    (void)h;
    (void)bytes;
    return block;
}

static void *large_alloc(struct kc_heap *h, size_t size, size_t align, uint32_t flags)
{
    uint32_t frames = heap_frames_for(size);
    uint32_t order = align <= KC_FRAME_BYTES ? 0 : kc_log2_floor(align) - KC_FRAME_LOG2;
    kc_pa_t pa = kc_pa(0);
    /* Without the lock: reclaimers may take locks of this rank, another heap's or this one's. */
    uint32_t frame_flags = h->frame_flags | (flags & KC_HEAP_ATOMIC);
    kc_status_t status =
        kc_frame_alloc_run(h->frames, frames, order, frame_flags, KC_FRAME_OWNER_HEAP, &pa);
    uint64_t irq = kc_lock_acquire_irqsave(&h->lock);
    if (status != KC_OK) {
        h->large_fail_count++;
        kc_lock_release_irqrestore(&h->lock, irq);
        return NULL;
    }
    claim_run(h, pa, frames);
    h->large_live++;
    h->large_alloc_count++;
    count_frames(h, 0, frames);
    kc_lock_release_irqrestore(&h->lock, irq);

    void *block = kc_plat_ram(pa);
    size_t bytes = (size_t)frames << KC_FRAME_LOG2;
    kc_plat_note(KC_NOTE_ALLOC, (uintptr_t)block, bytes, h);
    if ((flags & KC_HEAP_ZERO) != 0) {
        __builtin_memset(block, 0, bytes);
    }
    return large_tag(h, block, bytes);
}

/* Frames of the large block that starts at ptr; 0 if none does. The heap's lock is held. */
static uint32_t large_frames(const struct kc_heap *h, const void *ptr)
{
    struct kc_frame_found found;
    kc_pa_t pa = kc_frame_ptr_pa(h->frames, ptr);
    if (!kc_frame_find(h->frames, pa, &found) || found.owner != KC_FRAME_OWNER_HEAP ||
        found.data != heap_claim_data(h) || !kc_pa_eq(pa, found.base) || !kc_tag_fits(ptr)) {
        return 0;
    }
    return found.record->word;
}

/* Frees the large block at ptr, or answers false: it is none (any more). */
static bool large_free(struct kc_heap *h, void *ptr)
{
    uint64_t irq = kc_lock_acquire_irqsave(&h->lock);
    uint32_t frames = large_frames(h, ptr);
    if (frames != 0) {
        kc_pa_t pa = kc_frame_ptr_pa(h->frames, ptr);
        kc_tag_wipe(ptr, (size_t)frames << KC_FRAME_LOG2);
        kc_plat_note(KC_NOTE_FREE, (uintptr_t)kc_tag_strip(ptr), (uint64_t)frames << KC_FRAME_LOG2,
                     h);
        unclaim_run(h, pa, frames);
        kc_status_t status = kc_frame_free_run(h->frames, pa, frames);
        KC_CHECK(status == KC_OK);
        h->large_live--;
        h->large_free_count++;
        count_frames(h, frames, 0);
    }
    kc_lock_release_irqrestore(&h->lock, irq);
    return frames != 0;
}

/* Overwrites bytes that somebody is done with: volatile, since nobody reads them again. */
static void erase(void *ptr, size_t bytes)
{
    volatile uint64_t *word = ptr;
    KC_STATIC_ASSERT(KC_HEAP_ALIGN_MIN == sizeof(*word), "a block is whole words");
    for (size_t i = 0; i < bytes / sizeof(*word); i++) {
        word[i] = 0;
    }
}

/*
 * Gives the large block at ptr so many frames where it is. KC_ERR_STATE: it is none (any more).
 * While the frames change hands the run is not claimed: whoever looks its address up meanwhile, who
 * has no business there, finds a frame of nobody's.
 */
static kc_status_t large_resize(struct kc_heap *h, void *ptr, uint32_t to, uint32_t flags)
{
    kc_pa_t pa = kc_frame_ptr_pa(h->frames, ptr);
    uint64_t irq = kc_lock_acquire_irqsave(&h->lock);
    uint32_t from = large_frames(h, ptr);
    if (from == 0) {
        kc_lock_release_irqrestore(&h->lock, irq);
        return KC_ERR_STATE;
    }
    unsigned char *end = (unsigned char *)ptr + ((size_t)(from < to ? from : to) << KC_FRAME_LOG2);
    size_t bytes = (size_t)(from < to ? to - from : from - to) << KC_FRAME_LOG2;
    if (to < from) {
        if ((flags & KC_HEAP_ERASE) != 0) {
            erase(end, bytes);
        }
        kc_tag_wipe(end, bytes);
        kc_plat_note(KC_NOTE_FREE, (uintptr_t)kc_tag_strip(end), bytes, h);
    }
    unclaim_run(h, pa, from);
    kc_status_t status =
        kc_frame_resize_run(h->frames, pa, from, to, h->frame_flags | (flags & KC_HEAP_URGENT));
    bool done = status == KC_OK;
    KC_CHECK(done || status == KC_ERR_NOMEM);
    claim_run(h, pa, done ? to : from);
    if (done) {
        count_frames(h, from, to);
    }
    kc_lock_release_irqrestore(&h->lock, irq);
    if (done && to > from) {
        kc_plat_note(KC_NOTE_ALLOC, (uintptr_t)kc_tag_strip(end), bytes, h);
        kc_tag_extend(ptr, end, bytes);
        if ((flags & KC_HEAP_ZERO) != 0) {
            __builtin_memset(end, 0, bytes);
        }
    }
    return status;
}

/* ---- which of the two ----------------------------------------------------------------------- */

enum what {
    WHAT_SMALL,
    WHAT_LARGE,
    WHAT_INTERIOR,
    WHAT_OTHER,
    WHAT_FREE,
    WHAT_FOREIGN
};

/* The class that a block of owner CACHE is of, where the set is shared, or NULL: of none. */
static struct kc_cache *class_of_shared(const struct kc_heap *h, uint64_t data)
{
    const struct kc_cache_set *set = h->set;
    uintptr_t offset = (uintptr_t)data - (uintptr_t)set->cache;
    if (h->own_frames != 0 || offset >= kc_cache_set_count(set) * sizeof(struct kc_cache)) {
        return NULL;
    }
    struct kc_cache *c = (struct kc_cache *)(uintptr_t)data;
    bool is_class =
        c->object_bytes <= KC_HEAP_SMALL_MAX && class_cache(h, heap_class(c->object_bytes)) == c;
    return is_class ? c : NULL;
}

/*
 * The class that a block of owner CACHE is of, or NULL: of none of this heap's. Its data is
 * compared as a number: it may be another cache's address, or one that died since.
 */
KC_INLINE bool is_of_own_set(const struct kc_heap *h, uint64_t data)
{
    return (uintptr_t)data - (uintptr_t)h->caches < h->caches_bytes;
}

static struct kc_cache *class_of(const struct kc_heap *h, uint64_t data)
{
    return is_of_own_set(h, data) ? (struct kc_cache *)(uintptr_t)data : class_of_shared(h, data);
}

/* What ptr points into, without a lock; small: *cache is one of the heap's. */
static enum what look_up(struct kc_heap *h, const void *ptr, struct kc_cache **cache)
{
    struct kc_frame_found found;
    kc_pa_t pa = kc_frame_ptr_pa(h->frames, ptr);
    if (!kc_frame_find(h->frames, pa, &found)) {
        struct kc_frame_info info;
        kc_frame_info(h->frames, pa, &info);
        return info.state == KC_FRAME_FREE ? WHAT_FREE : WHAT_FOREIGN;
    }
    if (found.owner == KC_FRAME_OWNER_CACHE) {
        *cache = class_of(h, found.data);
        return *cache != NULL ? WHAT_SMALL : WHAT_OTHER;
    }
    if (found.owner != KC_FRAME_OWNER_HEAP || (found.data & ~HEAP_FURTHER) != heap_claim_data(h)) {
        return WHAT_OTHER;
    }
    bool first = (found.data & HEAP_FURTHER) == 0 && kc_pa_eq(pa, found.base);
    return first ? WHAT_LARGE : WHAT_INTERIOR;
}

/* ---- blocks --------------------------------------------------------------------------------- */

static KC_COLD void *refuse(struct kc_heap *h)
{
    uint64_t irq = kc_lock_acquire_irqsave(&h->lock);
    h->refused_count++;
    kc_lock_release_irqrestore(&h->lock, irq);
    return NULL;
}

/* Whatever is not a small block, without flags, of a class that is there. */
static __attribute__((noinline)) void *alloc_other(struct kc_heap *h, size_t size, uint32_t flags,
                                                   const void *site)
{
    if (KC_UNLIKELY(size == 0 || size > KC_HEAP_SIZE_MAX || (flags & ~ALLOC_FLAGS) != 0)) {
        return refuse(h);
    }
    if (size > KC_HEAP_SMALL_MAX) {
        return large_alloc(h, size, KC_HEAP_ALIGN_MIN, flags);
    }
    uint32_t index = (uint32_t)heap_class((uint32_t)size);
    struct kc_cache *c = class_cache(h, index);
    if (KC_UNLIKELY(c == NULL)) {
        c = make_class(h, index);
        if (c == NULL) {
            return refuse(h);
        }
    }
    return kc_cache_priv_alloc(c, flags, site);
}

/* The class of a request that a magazine may serve at once, or NULL. */
KC_INLINE struct kc_cache *class_for(const struct kc_heap *h, size_t size, uint32_t flags)
{
    return KC_LIKELY(size - 1 < KC_HEAP_SMALL_MAX && flags == 0)
               ? class_cache(h, heap_class((uint32_t)size))
               : NULL;
}

KC_INLINE void *alloc_any_context(struct kc_heap *h, size_t size, uint32_t flags, const void *site)
{
    struct kc_cache *c = class_for(h, size, flags);
    if (KC_UNLIKELY(c == NULL)) {
        return alloc_other(h, size, flags, site);
    }
    return cache_alloc_masked(c, site);
}

KC_QUICK void *kc_heap_alloc(struct kc_heap *h, size_t size, uint32_t flags)
{
    return alloc_any_context(h, size, flags, KC_MAG_SITE);
}

void *kc_heap_priv_alloc(struct kc_heap *h, size_t size, uint32_t flags, const void *site)
{
    return alloc_any_context(h, size, flags, site);
}

KC_QUICK void *kc_heap_alloc_pinned(struct kc_heap *h, size_t size, uint32_t flags)
{
    struct kc_cache *c = class_for(h, size, flags);
    if (KC_UNLIKELY(c == NULL)) {
        return alloc_other(h, size, flags, KC_MAG_SITE);
    }
    return cache_finish(c, cache_alloc_pinned(c, 0, KC_MAG_SITE), 0);
}

void *kc_heap_alloc_aligned(struct kc_heap *h, size_t size, size_t align, uint32_t flags)
{
    if (!kc_is_pow2(align) || align > KC_HEAP_ALIGN_MAX || size == 0 || size > KC_HEAP_SIZE_MAX ||
        (flags & ~ALLOC_FLAGS) != 0) {
        return refuse(h);
    }
    size_t rounded = (size + align - 1) & ~(align - 1);
    /* At hardening full, redzones keep alignments up to a line only (kc_cache_set_get()). */
    size_t most = KC_HARDENING >= KC_HARDENING_FULL ? KC_LINE_BYTES : KC_FRAME_BYTES;
    if (align > most || rounded > KC_HEAP_SMALL_MAX) {
        return large_alloc(h, size, align, flags);
    }
    return kc_heap_priv_alloc(h, rounded, flags, KC_MAG_SITE);
}

void *kc_heap_alloc_array(struct kc_heap *h, size_t count, size_t size, uint32_t flags)
{
    size_t bytes;
    if (!kc_mul_size(count, size, &bytes)) {
        return refuse(h);
    }
    return kc_heap_priv_alloc(h, bytes, flags, KC_MAG_SITE);
}

/* Reports what ptr is instead of a block, and answers with the status for it. */
static KC_COLD kc_status_t not_a_block(struct kc_heap *h, enum what what, const void *ptr,
                                       const char *where)
{
    static const struct {
        enum kc_misuse_kind kind;
        kc_status_t status;
    } answer[] = {
        [WHAT_SMALL] = {KC_MISUSE_DOUBLE_FREE, KC_ERR_STATE}, /* it was one until just now */
        [WHAT_LARGE] = {KC_MISUSE_DOUBLE_FREE, KC_ERR_STATE},
        [WHAT_INTERIOR] = {KC_MISUSE_INTERIOR, KC_ERR_ALIGN},
        [WHAT_OTHER] = {KC_MISUSE_WRONG_OWNER, KC_ERR_PERM},
        [WHAT_FREE] = {KC_MISUSE_DOUBLE_FREE, KC_ERR_STATE},
        [WHAT_FOREIGN] = {KC_MISUSE_FOREIGN, KC_ERR_RANGE},
    };
    raise(h, answer[what].kind, where, ptr, 0, 0);
    return answer[what].status;
}

/* Whatever is in no slab of the heap, or in one that is not found at once. */
static __attribute__((noinline)) kc_status_t free_other(struct kc_heap *h, void *ptr,
                                                        const void *site)
{
    struct kc_cache *cache = NULL;
    if (ptr == NULL) {
        return KC_OK;
    }
    enum what what = look_up(h, ptr, &cache);
    if (what == WHAT_SMALL) {
        /* In a slab outside the main span, or of a shared set. */
        return kc_cache_priv_free(cache, ptr, site);
    }
    if (what == WHAT_LARGE && large_free(h, ptr)) {
        return KC_OK;
    }
    return not_a_block(h, what, ptr, "kc_heap_free");
}

/* True if ptr lies in a slab of the heap's own set, as far as can be said at once. */
KC_INLINE bool find_quick(const struct kc_heap *h, const void *ptr, struct kc_frame_found *found)
{
    kc_pa_t pa = kc_frame_ptr_pa(h->frames, ptr);
    return KC_LIKELY(frame_find_quick(h->frames, pa, KC_FRAME_OWNER_CACHE, found)) &&
           KC_LIKELY(is_of_own_set(h, found->data));
}

KC_INLINE kc_status_t free_any_context(struct kc_heap *h, void *ptr, const void *site)
{
    struct kc_frame_found found;
    if (KC_UNLIKELY(!find_quick(h, ptr, &found))) {
        return free_other(h, ptr, site);
    }
    struct kc_cache *c = (struct kc_cache *)(uintptr_t)found.data;
    return cache_free_masked(c, &found, ptr, site);
}

KC_QUICK kc_status_t kc_heap_free(struct kc_heap *h, void *ptr)
{
    return free_any_context(h, ptr, KC_MAG_SITE);
}

kc_status_t kc_heap_priv_free(struct kc_heap *h, void *ptr, const void *site)
{
    return free_any_context(h, ptr, site);
}

KC_QUICK kc_status_t kc_heap_free_pinned(struct kc_heap *h, void *ptr)
{
    struct kc_frame_found found;
    if (KC_UNLIKELY(!find_quick(h, ptr, &found))) {
        return free_other(h, ptr, KC_MAG_SITE);
    }
    struct kc_cache *c = (struct kc_cache *)(uintptr_t)found.data;
    return cache_free_pinned(c, &found, ptr, KC_MAG_SITE);
}

/* Usable bytes of the live block at ptr, 0 if it is none; *what says what it is instead. */
static size_t usable(struct kc_heap *h, const void *ptr, enum what *what)
{
    struct kc_cache *cache = NULL;
    *what = look_up(h, ptr, &cache);
    if (*what == WHAT_SMALL) {
        return kc_cache_is_live(cache, ptr) ? cache->object_bytes : 0;
    }
    if (*what == WHAT_LARGE) {
        uint64_t irq = kc_lock_acquire_irqsave(&h->lock);
        uint32_t frames = large_frames(h, ptr);
        kc_lock_release_irqrestore(&h->lock, irq);
        return (size_t)frames << KC_FRAME_LOG2;
    }
    return 0;
}

/* True if a request of that size, at some alignment, gets a block with that many usable bytes. */
static bool could_get(size_t size, size_t have, enum what what)
{
    if (size > have) {
        return false;
    }
    if (what == WHAT_LARGE) {
        return (size_t)heap_frames_for(size) << KC_FRAME_LOG2 == have;
    }
    for (size_t align = KC_HEAP_ALIGN_MIN; align <= KC_FRAME_BYTES; align *= 2) {
        size_t rounded = (size + align - 1) & ~(align - 1);
        if (rounded <= have && kc_heap_granted(rounded) == have) {
            return true;
        }
    }
    return false;
}

kc_status_t kc_heap_free_sized(struct kc_heap *h, void *ptr, size_t size)
{
    if (ptr == NULL) {
        return KC_OK;
    }
    enum what what;
    size_t have = usable(h, ptr, &what);
    if (have != 0 && !could_get(size, have, what)) {
        raise(h, KC_MISUSE_WRONG_SIZE, __func__, ptr, have, size);
        return KC_ERR_ARG;
    }
    return kc_heap_priv_free(h, ptr, KC_MAG_SITE);
}

kc_status_t kc_heap_priv_free_erased(struct kc_heap *h, void *ptr, const void *site)
{
    enum what what;
    size_t have = ptr == NULL ? 0 : usable(h, ptr, &what);
    if (have != 0) {
        erase(ptr, have);
    }
    return kc_heap_priv_free(h, ptr, site);
}

kc_status_t kc_heap_free_erased(struct kc_heap *h, void *ptr)
{
    return kc_heap_priv_free_erased(h, ptr, KC_MAG_SITE);
}

/* The live block at ptr; *have: what it may use. Misuse is reported in the name of `where`. */
static kc_status_t judge_block(struct kc_heap *h, void *ptr, const char *where, enum what *what,
                               size_t *have)
{
    struct kc_cache *cache = NULL;
    *what = look_up(h, ptr, &cache);
    if (*what == WHAT_SMALL) {
        kc_status_t status = kc_cache_probe(cache, ptr);
        if (status != KC_OK) {
            return status;
        }
    }
    *have = usable(h, ptr, what);
    return *have != 0 ? KC_OK : not_a_block(h, *what, ptr, where);
}

/* kc_heap_try_resize() of a judged block; KC_ERR_STATE also: it is one no longer. */
static kc_status_t in_place(struct kc_heap *h, void *ptr, enum what what, size_t have, size_t size,
                            uint32_t flags)
{
    if (kc_heap_granted(size) == have) {
        return KC_OK;
    }
    if (what != WHAT_LARGE || size <= KC_HEAP_SMALL_MAX) {
        return KC_ERR_NOMEM;
    }
    return large_resize(h, ptr, heap_frames_for(size), flags);
}

void *kc_heap_resize(struct kc_heap *h, void *ptr, size_t size, uint32_t flags)
{
    uint32_t kept_flags = flags & ~KC_HEAP_ERASE;
    if (ptr == NULL) {
        return kc_heap_priv_alloc(h, size, kept_flags, KC_MAG_SITE);
    }
    if (size == 0 || size > KC_HEAP_SIZE_MAX || (kept_flags & ~ALLOC_FLAGS) != 0) {
        return refuse(h);
    }
    enum what what;
    size_t have;
    if (judge_block(h, ptr, __func__, &what, &have) != KC_OK) {
        return NULL;
    }
    kc_status_t status = in_place(h, ptr, what, have, size, flags);
    if (status == KC_ERR_STATE) {
        (void)not_a_block(h, what, ptr, __func__);
    }
    if (status != KC_ERR_NOMEM) {
        return status == KC_OK ? ptr : NULL;
    }
    void *to = kc_heap_priv_alloc(h, size, kept_flags, KC_MAG_SITE);
    if (to == NULL) {
        return NULL;
    }
    __builtin_memcpy(to, ptr, have < size ? have : size);
    status = (flags & KC_HEAP_ERASE) != 0 ? kc_heap_priv_free_erased(h, ptr, KC_MAG_SITE)
                                          : kc_heap_priv_free(h, ptr, KC_MAG_SITE);
    if (status != KC_OK) {
        /* Somebody freed it while we copied, and that is reported; hand out nothing. */
        (void)kc_heap_free(h, to);
        return NULL;
    }
    return to;
}

kc_status_t kc_heap_try_resize(struct kc_heap *h, void *ptr, size_t size, uint32_t flags)
{
    if ((flags & ~(ALLOC_FLAGS | KC_HEAP_ERASE)) != 0) {
        (void)refuse(h);
        return KC_ERR_ARG;
    }
    if (size == 0 || size > KC_HEAP_SIZE_MAX) {
        (void)refuse(h);
        return KC_ERR_RANGE;
    }
    enum what what;
    size_t have;
    kc_status_t status = judge_block(h, ptr, __func__, &what, &have);
    if (status == KC_OK) {
        status = in_place(h, ptr, what, have, size, flags);
        if (status == KC_ERR_STATE) {
            (void)not_a_block(h, what, ptr, __func__);
        }
    }
    return status;
}

size_t kc_heap_usable(struct kc_heap *h, const void *ptr)
{
    enum what what;
    return ptr == NULL ? 0 : usable(h, ptr, &what);
}

size_t kc_heap_granted(size_t size)
{
    if (size == 0 || size > KC_HEAP_SIZE_MAX) {
        return 0;
    }
    return size <= KC_HEAP_SMALL_MAX ? heap_class_bytes((uint32_t)heap_class((uint32_t)size))
                                     : (size_t)heap_frames_for(size) << KC_FRAME_LOG2;
}

uint64_t kc_heap_shrink(struct kc_heap *h)
{
    return kc_cache_set_shrink(h->set);
}

/* What one cache of the set keeps: an upper bound, since not every slab is of its greatest order.
 */
static uint64_t kept_of(struct kc_cache *c)
{
    struct kc_cache_stats s;
    kc_cache_stats(c, &s);
    return (s.slabs_empty * KC_FRAME_BYTES << c->order_more) + s.kept * s.stride_bytes;
}

uint64_t kc_heap_kept(struct kc_heap *h)
{
    uint64_t bytes = 0;
    uint32_t count = kc_cache_set_count(h->set);
    for (uint32_t i = 0; i < count; i++) {
        bytes += kept_of(&h->set->cache[i]);
    }
    return bytes;
}

uint64_t kc_heap_trim(struct kc_heap *h, uint64_t keep_bytes)
{
    uint64_t frames = 0;
    uint64_t kept = kc_heap_kept(h);
    uint32_t count = kc_cache_set_count(h->set);
    for (uint32_t i = 0; i < count && kept > keep_bytes; i++) {
        struct kc_cache *c = &h->set->cache[i];
        uint64_t before = kept_of(c);
        frames += kc_cache_shrink(c);
        uint64_t after = kept_of(c);
        /* Others allocate and free meanwhile: what they do counts for the caches that follow. */
        uint64_t went = before > after ? before - after : 0;
        kept -= went < kept ? went : kept;
    }
    return frames;
}

/* ---- queries -------------------------------------------------------------------------------- */

static void class_stats(struct kc_heap *h, uint32_t index, struct kc_cache_stats *out)
{
    struct kc_cache *c = class_cache(h, index);
    if (c != NULL) {
        kc_cache_stats(c, out);
        return;
    }
    __builtin_memset(out, 0, sizeof(*out));
    out->object_bytes = out->stride_bytes = heap_class_bytes(index);
}

void kc_heap_stats(struct kc_heap *h, struct kc_heap_stats *out)
{
    uint64_t irq = kc_lock_acquire_irqsave(&h->lock);
    out->live = h->large_live;
    out->large_live = h->large_live;
    out->large_bytes = h->large_frames << KC_FRAME_LOG2;
    out->granted_bytes = out->large_bytes;
    out->frames_bytes = out->large_bytes;
    out->alloc_count = h->large_alloc_count;
    out->free_count = h->large_free_count;
    out->fail_count = h->large_fail_count;
    out->refused_count = h->refused_count;
    kc_lock_release_irqrestore(&h->lock, irq);
    out->kept_bytes = kc_heap_kept(h);
    for (uint32_t i = 0; i < KC_HEAP_CLASSES; i++) {
        struct kc_cache_stats c;
        class_stats(h, i, &c);
        out->live += c.live;
        out->granted_bytes += c.live * c.object_bytes;
        out->frames_bytes += c.frames_bytes;
        out->alloc_count += c.alloc_count;
        out->free_count += c.free_count;
        out->fail_count += c.fail_count;
    }
}

bool kc_heap_class_stats(struct kc_heap *h, uint32_t index, struct kc_cache_stats *out)
{
    if (index >= KC_HEAP_CLASSES) {
        return false;
    }
    class_stats(h, index, out);
    return true;
}

void *kc_heap_next_live(struct kc_heap *h, struct kc_heap_cursor *cursor, size_t *usable_bytes)
{
    while (cursor->index < KC_HEAP_CLASSES) {
        struct kc_cache *c = class_cache(h, cursor->index);
        void *object = c != NULL ? kc_cache_next_live(c, &cursor->cache) : NULL;
        if (object != NULL) {
            if (usable_bytes != NULL) {
                *usable_bytes = c->object_bytes;
            }
            return object;
        }
        __builtin_memset(&cursor->cache, 0, sizeof(cursor->cache));
        cursor->index++;
    }
    struct kc_frame_info info;
    while (kc_frame_next_used(h->frames, &cursor->frames, &info)) {
        size_t bytes = 0;
        if (info.owner == KC_FRAME_OWNER_HEAP) {
            bytes = kc_heap_usable(h, kc_tag_load(kc_plat_ram(info.base)));
        }
        if (bytes != 0) {
            if (usable_bytes != NULL) {
                *usable_bytes = bytes;
            }
            return kc_tag_load(kc_plat_ram(info.base));
        }
    }
    return NULL;
}
