/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fence: objects between unmapped pages. Theory.
 *
 * Nouns. The *area* is 2n + 1 pages: a guard, then n *slots* with a guard behind each. A live slot
 * has a page of its own memory, in which the object stands at the start or at the end; the bytes
 * about it are *filled* with a pattern that depends on their place. A page is *let* when an access
 * that was reported shall go on: a mapped page where there should be none.
 *
 *     | guard | slot 0      | guard | slot 1      | guard | ...  | slot n-1 | guard |
 *               object|fill           fill|object
 *
 * Invariants
 *  N1  A slot's page is mapped if and only if it is live or let; never both.
 *  N2  A guard is mapped if and only if it is let. `let` counts the pages that are.
 *  N3  `live` slots are live; their objects lie in their pages, and the bytes about them are as
 * they were filled.
 *
 * Who touches the page. The fill is written and read through the linear map, where the owner's
 * mistakes do not go: what is in the fence's area is only ever touched by owners of objects.
 *
 * Cost and locking. One lock of rank FENCE over a slot's change, with the space's, the tree's and
 * the frames' within it; none for explaining a fault, which may come with any lock held. The turn
 * of the next allocation is counted with one atomic subtraction.
 */
#include <kc/tag.h>

#include "fence_priv.h"

static void raise(struct kc_fence *f, enum kc_misuse_kind kind, const char *where, uint64_t address,
                  uint64_t expected, uint64_t found)
{
    struct kc_misuse_report r = {kind, where, "fence", address, expected, found, 0, NULL};
    kc_misuse_raise(f->misuse, &r);
}

static bool has(const struct kc_fence *f, uint64_t address)
{
    return kc_range_has(f->base, f->bytes, address);
}

/*
 * Address of a pointer into the area; false for any other, which may be a pointer that the seam's
 * kc_plat_ptr_va() does not know.
 */
static bool address_of(const struct kc_fence *f, const void *p, uint64_t *address)
{
    uintptr_t offset = (uintptr_t)p - f->first;
    *address = f->base + offset;
    return offset < f->bytes;
}

/* ---- life cycle ----------------------------------------------------------------------------- */

kc_status_t kc_fence_init(struct kc_fence *f, const struct kc_fence_config *config)
{
    const uint32_t need = KC_PT_R | KC_PT_W;
    if (f == NULL || config == NULL || config->heap == NULL || config->space == NULL ||
        config->slot == NULL || (config->attr.perm & need) != need) {
        return KC_ERR_ARG;
    }
    if (config->slot_count == 0 || config->slot_count > KC_FENCE_SLOTS_MAX) {
        return KC_ERR_RANGE;
    }
    struct kc_aspace_request rq = {.bytes =
                                       (2 * (uint64_t)config->slot_count + 1) * FENCE_PAGE_BYTES};
    kc_ia_t ia = kc_ia(0);
    kc_status_t status = kc_aspace_reserve(config->space, &rq, &ia);
    if (status != KC_OK) {
        return status;
    }
    __builtin_memset(f, 0, sizeof(*f));
    __builtin_memset(config->slot, 0, config->slot_count * sizeof(config->slot[0]));
    kc_lock_init(&f->lock, "fence", KC_RANK_FENCE);
    f->heap = config->heap;
    f->space = config->space;
    f->attr = config->attr;
    f->misuse = config->misuse;
    f->slot = config->slot;
    f->slot_count = config->slot_count;
    f->base = kc_ia_raw(ia);
    f->first = (uintptr_t)kc_plat_ptr(kc_va(f->base));
    f->bytes = rq.bytes;
    f->every = config->every;
    f->until = config->every;
    f->state = config->seed | 1u; /* the generator's state is never 0 */
    return KC_OK;
}

kc_status_t kc_fence_fini(struct kc_fence *f)
{
    kc_lock_acquire(&f->lock);
    uint32_t live = f->live;
    kc_lock_release(&f->lock);
    if (live != 0) {
        raise(f, KC_MISUSE_BUSY, __func__, f->base, 0, live);
        return KC_ERR_STATE;
    }
    kc_status_t status = kc_aspace_release(f->space, kc_ia(f->base));
    f->bytes = 0;
    return status;
}

/* ---- pages ---------------------------------------------------------------------------------- */

unsigned char *kc_fence_priv_memory(const struct kc_fence *f, uint64_t address)
{
    struct kc_pt_walk w;
    kc_ia_t page = kc_ia(kc_align_down(address, FENCE_PAGE_BYTES));
    return kc_pt_translate(f->space->pt, page, &w) == KC_OK
               ? (unsigned char *)kc_tag_load(kc_plat_ram(w.pa))
               : NULL;
}

static void unmap(struct kc_fence *f, uint64_t page)
{
    kc_status_t status = kc_aspace_unmap(f->space, kc_ia(page), FENCE_PAGE_BYTES);
    KC_CHECK(status == KC_OK); /* a page of the space's own: nothing is needed to take it out */
}

uint32_t kc_fence_priv_clobbered(const struct kc_fence *f, uint32_t i)
{
    const struct kc_fence_slot *s = &f->slot[i];
    const unsigned char *m = kc_fence_priv_memory(f, fence_page(f, i));
    uint32_t at = 0;
    while (at < KC_FRAME_BYTES) {
        if (at == s->offset) {
            at += s->bytes;
        } else if (m[at] != fence_fill(at)) {
            return at;
        } else {
            at++;
        }
    }
    return KC_FRAME_BYTES;
}

static void fill(unsigned char *m, uint32_t from, uint32_t to)
{
    for (uint32_t at = from; at < to; at++) {
        m[at] = fence_fill(at);
    }
}

/* ---- objects -------------------------------------------------------------------------------- */

/* A pseudo-random bit; the lock is held. Xorshift after G. Marsaglia, 2003. */
static bool coin(struct kc_fence *f)
{
    f->state ^= f->state << 13;
    f->state ^= f->state >> 7;
    f->state ^= f->state << 17;
    return (f->state >> 32 & 1) != 0;
}

/* The free slot that comes next in turn; slot_count: none. */
static uint32_t next_free(const struct kc_fence *f)
{
    for (uint32_t k = 0; k < f->slot_count; k++) {
        uint32_t i = (f->next + k) % f->slot_count;
        if ((f->slot[i].state & FENCE_LIVE) == 0) {
            return i;
        }
    }
    return f->slot_count;
}

/* Gives slot i a page; the lock is held. */
static kc_status_t open_slot(struct kc_fence *f, uint32_t i)
{
    struct kc_fence_slot *s = &f->slot[i];
    if ((s->state & FENCE_LET) != 0) {
        unmap(f, fence_page(f, i));
        s->state &= ~FENCE_LET;
        f->let--;
    }
    return kc_aspace_map_new(f->space, kc_ia(fence_page(f, i)), FENCE_PAGE_BYTES, f->attr);
}

static void *take_locked(struct kc_fence *f, uint32_t size, uint32_t align, uintptr_t who)
{
    uint32_t i = next_free(f);
    if (i == f->slot_count || open_slot(f, i) != KC_OK) {
        f->full++;
        return NULL;
    }
    struct kc_fence_slot *s = &f->slot[i];
    unsigned char *m = kc_fence_priv_memory(f, fence_page(f, i));
    s->offset = coin(f) ? (KC_FRAME_BYTES - size) & ~(align - 1) : 0;
    s->bytes = size;
    s->cpu_alloc = kc_plat_cpu();
    s->who_alloc = who;
    s->state = (s->state & FENCE_LET_GUARD) | FENCE_LIVE;
    fill(m, 0, s->offset);
    fill(m, s->offset + size, KC_FRAME_BYTES);
    f->next = (i + 1) % f->slot_count;
    f->live++;
    f->fenced++;
    return kc_plat_ptr(kc_va(fence_page(f, i) + s->offset));
}

void *kc_fence_take(struct kc_fence *f, size_t size, size_t align, uintptr_t who)
{
    if (size == 0 || size > KC_FENCE_SIZE_MAX || !kc_is_pow2(align) || align > KC_FENCE_SIZE_MAX) {
        return NULL;
    }
    kc_lock_acquire(&f->lock);
    void *p = take_locked(f, (uint32_t)size, (uint32_t)align, who);
    kc_lock_release(&f->lock);
    return p;
}

#if KC_HARDENING >= KC_HARDENING_FULL
/* Is it this allocation's turn? */
static bool is_turn(struct kc_fence *f)
{
    if (f->every == 0 || __atomic_sub_fetch(&f->until, 1, __ATOMIC_RELAXED) != 0) {
        return false;
    }
    __atomic_store_n(&f->until, f->every, __ATOMIC_RELAXED);
    return true;
}
#endif

void *kc_fence_alloc(struct kc_fence *f, size_t size, uint32_t flags, uintptr_t who)
{
#if KC_HARDENING >= KC_HARDENING_FULL
    if (KC_UNLIKELY(is_turn(f)) && size <= KC_FENCE_SIZE_MAX && (flags & ~KC_HEAP_ZERO) == 0) {
        void *p = kc_fence_take(f, size, KC_HEAP_ALIGN_MIN, who);
        if (p != NULL) {
            return p;
        }
    }
#else
    (void)who;
#endif
    return kc_heap_alloc(f->heap, size, flags);
}

bool kc_fence_has(const struct kc_fence *f, const void *p)
{
    uint64_t address;
    return address_of(f, p, &address);
}

/* The live slot whose object begins at the address, or what it is instead. */
static kc_status_t find(const struct kc_fence *f, uint64_t address, uint32_t *slot)
{
    uint64_t page = (address - f->base) / FENCE_PAGE_BYTES;
    uint32_t i = (uint32_t)(page / 2);
    *slot = i;
    if (page % 2 == 0 || address != fence_page(f, i) + f->slot[i].offset) {
        return KC_ERR_ALIGN;
    }
    return (f->slot[i].state & FENCE_LIVE) != 0 ? KC_OK : KC_ERR_STATE;
}

static kc_status_t free_locked(struct kc_fence *f, uint64_t address, uintptr_t who, uint32_t *at)
{
    uint32_t i;
    kc_status_t status = find(f, address, &i);
    if (status != KC_OK) {
        return status;
    }
    struct kc_fence_slot *s = &f->slot[i];
    *at = kc_fence_priv_clobbered(f, i);
    unmap(f, fence_page(f, i));
    s->cpu_free = kc_plat_cpu();
    s->who_free = who;
    s->state = (s->state & FENCE_LET_GUARD) | FENCE_FREED;
    f->live--;
    return *at == KC_FRAME_BYTES ? KC_OK : KC_ERR_CORRUPT;
}

kc_status_t kc_fence_free(struct kc_fence *f, void *p, uintptr_t who)
{
    uint64_t address;
    if (!address_of(f, p, &address)) {
        return kc_heap_free(f->heap, p);
    }
    uint32_t at = 0;
    kc_lock_acquire(&f->lock);
    kc_status_t status = free_locked(f, address, who, &at);
    kc_lock_release(&f->lock);
    if (KC_UNLIKELY(status != KC_OK)) {
        enum kc_misuse_kind kind = status == KC_ERR_ALIGN   ? KC_MISUSE_INTERIOR
                                   : status == KC_ERR_STATE ? KC_MISUSE_DOUBLE_FREE
                                                            : KC_MISUSE_CORRUPT;
        raise(f, kind, __func__, address, 0, at);
    }
    return status;
}

size_t kc_fence_usable(struct kc_fence *f, const void *p)
{
    uint64_t address;
    if (!address_of(f, p, &address)) {
        return kc_heap_usable(f->heap, p);
    }
    uint32_t i;
    kc_lock_acquire(&f->lock);
    size_t bytes = find(f, address, &i) == KC_OK ? f->slot[i].bytes : 0;
    kc_lock_release(&f->lock);
    return bytes;
}

/* ---- faults --------------------------------------------------------------------------------- */

/* Tells of slot i as the one that was missed. */
static void tell(const struct kc_fence *f, uint32_t i, struct kc_fence_story *story)
{
    const struct kc_fence_slot *s = &f->slot[i];
    uint64_t object = fence_page(f, i) + s->offset;
    story->object = object;
    story->bytes = s->bytes;
    story->freed = (s->state & FENCE_FREED) != 0;
    story->cpu_alloc = s->cpu_alloc;
    story->who_alloc = s->who_alloc;
    story->cpu_free = s->cpu_free;
    story->who_free = s->who_free;
    story->distance = 0;
    if (story->address < object) {
        story->distance = object - story->address;
    } else if (story->address - object >= s->bytes) {
        story->distance = story->address - object - s->bytes + 1;
    }
}

static bool was_used(const struct kc_fence *f, uint32_t i)
{
    return (f->slot[i].state & (FENCE_LIVE | FENCE_FREED)) != 0;
}

/* In the guard before slot `right`: who is missed, the one behind it or the one before? */
static enum kc_fence_verdict in_guard(const struct kc_fence *f, uint32_t right,
                                      struct kc_fence_story *story)
{
    struct kc_fence_story left_story = *story;
    bool left = right > 0 && was_used(f, right - 1);
    bool behind = right < f->slot_count && was_used(f, right);
    if (left) {
        tell(f, right - 1, &left_story);
    }
    if (behind) {
        tell(f, right, story);
    }
    if (left && (!behind || left_story.distance < story->distance)) {
        *story = left_story;
        return KC_FENCE_OVER;
    }
    return behind ? KC_FENCE_UNDER : KC_FENCE_STRAY;
}

static enum kc_fence_verdict judge(const struct kc_fence *f, struct kc_fence_story *story)
{
    if (!has(f, story->address)) {
        return KC_FENCE_ELSEWHERE;
    }
    uint64_t page = (story->address - f->base) / FENCE_PAGE_BYTES;
    uint32_t i = (uint32_t)(page / 2);
    if (page % 2 == 0) {
        return in_guard(f, i, story);
    }
    if ((f->slot[i].state & (FENCE_LIVE | FENCE_LET)) != 0) {
        return KC_FENCE_LIVE;
    }
    if (!was_used(f, i)) {
        return KC_FENCE_STRAY;
    }
    tell(f, i, story);
    return KC_FENCE_AFTER_FREE;
}

enum kc_fence_verdict kc_fence_explain(struct kc_fence *f, uint64_t address, bool write,
                                       struct kc_fence_story *story)
{
    struct kc_fence_story local;
    story = story != NULL ? story : &local;
    __builtin_memset(story, 0, sizeof(*story));
    story->address = address;
    story->write = write;
    story->verdict = judge(f, story);
    if (story->verdict != KC_FENCE_ELSEWHERE && story->verdict != KC_FENCE_LIVE) {
        bool after = story->verdict == KC_FENCE_AFTER_FREE;
        raise(f, after ? KC_MISUSE_AFTER_FREE : KC_MISUSE_BOUNDS, __func__, address, story->object,
              after ? story->who_free : story->who_alloc);
    }
    return story->verdict;
}

/* Marks, or unmarks, page number `page` of the area as let. */
static void mark_let(struct kc_fence *f, uint64_t page, bool on)
{
    uint32_t i = (uint32_t)(page / 2);
    if (i == f->slot_count) {
        f->let_last = on;
    } else {
        uint32_t bit = page % 2 != 0 ? FENCE_LET : FENCE_LET_GUARD;
        f->slot[i].state = on ? f->slot[i].state | bit : f->slot[i].state & ~bit;
    }
    f->let += on ? 1u : UINT32_MAX;
}

kc_status_t kc_fence_let(struct kc_fence *f, uint64_t address)
{
    if (!has(f, address)) {
        return KC_ERR_RANGE;
    }
    uint64_t page = (address - f->base) / FENCE_PAGE_BYTES;
    kc_lock_acquire(&f->lock);
    kc_status_t status = kc_aspace_map_new(f->space, kc_ia(f->base + page * FENCE_PAGE_BYTES),
                                           FENCE_PAGE_BYTES, f->attr);
    if (status == KC_OK) {
        mark_let(f, page, true);
    }
    kc_lock_release(&f->lock);
    return status;
}

/* Is that page let? The lock is held. */
static bool is_let(const struct kc_fence *f, uint64_t page)
{
    uint32_t i = (uint32_t)(page / 2);
    if (i == f->slot_count) {
        return f->let_last;
    }
    return (f->slot[i].state & (page % 2 != 0 ? FENCE_LET : FENCE_LET_GUARD)) != 0;
}

void kc_fence_mend(struct kc_fence *f)
{
    kc_lock_acquire(&f->lock);
    for (uint64_t page = 0; f->let != 0 && page <= 2 * (uint64_t)f->slot_count; page++) {
        if (is_let(f, page)) {
            unmap(f, f->base + page * FENCE_PAGE_BYTES);
            mark_let(f, page, false);
        }
    }
    kc_lock_release(&f->lock);
}

const char *kc_fence_verdict_name(enum kc_fence_verdict v)
{
    switch (v) {
    case KC_FENCE_ELSEWHERE:
        return "elsewhere";
    case KC_FENCE_OVER:
        return "behind an object";
    case KC_FENCE_UNDER:
        return "before an object";
    case KC_FENCE_AFTER_FREE:
        return "use after free";
    case KC_FENCE_STRAY:
        return "where no object was";
    case KC_FENCE_LIVE:
        return "live";
    }
    return "?";
}
