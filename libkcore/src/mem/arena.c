/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arena: frames and a heap in one range. Theory.
 *
 *     memory
 *     | struct kc_arena | map, records | frames ... the caches of all classes ... blocks ... |
 *     |<- whole frames->|<-------------- kc_frames_init_range() ---------------------------->|
 *
 * Invariants
 *  A1  The frames allocator has the range but for the arena's own frames, and nothing else.
 *  A2  Arenas of a set do not meet.
 *
 * Cost and locking. The set's lock, rank ARENA, interrupts masked, covers judging and making, so
 * that two CPUs do not make arenas that meet. It is not held for what the heap does later.
 */
#include <kc/arena.h>
#include <kc/tag.h>

#define OWN_BYTES ((sizeof(struct kc_arena) + KC_FRAME_BYTES - 1) & ~(size_t)(KC_FRAME_BYTES - 1))

/* The set's caches, the map of the frames and a few blocks have room in the least range. */
KC_STATIC_ASSERT(OWN_BYTES + KC_HEAP_CLASSES * sizeof(struct kc_cache) + 3 * KC_FRAME_BYTES <=
                     KC_ARENA_BYTES_MIN,
                 "the least range is of use");

void kc_arena_set_init(struct kc_arena_set *s)
{
    kc_lock_init(&s->lock, "arenas", KC_RANK_ARENA);
    kc_list_init(&s->arenas);
}

/* True if an arena of the set has a byte of the range; the set's lock is held. */
static bool is_taken(const struct kc_arena_set *s, kc_pa_range_t range)
{
    kc_list_each(it, &s->arenas) {
        if (kc_pa_range_meets(kc_list_entry(it, struct kc_arena, link)->range, range)) {
            return true;
        }
    }
    return false;
}

/* Makes it in its judged range. */
static kc_status_t make(struct kc_arena *a, kc_pa_range_t range,
                        const struct kc_arena_config *config)
{
    kc_pa_t rest = kc_pa(kc_pa_raw(range.base) + OWN_BYTES);
    kc_status_t status =
        kc_frames_init_range(&a->frames, rest, range.size - OWN_BYTES, config->misuse);
    if (status != KC_OK) {
        return status;
    }
    struct kc_heap_config heap;
    __builtin_memset(&heap, 0, sizeof(heap));
    heap.name = config->name;
    heap.misuse = config->misuse;
    heap.cpu_count = config->cpu_count;
    heap.keep_bytes = config->keep_bytes;
    status = kc_heap_init(&a->heap, &heap, &a->frames);
    if (status != KC_OK) {
        return status;
    }
    a->range = range;
    a->set = config->set;
    kc_list_init(&a->link);
    if (a->set != NULL) {
        kc_list_add_before(&a->set->arenas, &a->link);
    }
    return KC_OK;
}

kc_status_t kc_arena_init(void *memory, size_t bytes, const struct kc_arena_config *config,
                          struct kc_arena **out)
{
    if (memory == NULL || config == NULL || out == NULL) {
        return KC_ERR_ARG;
    }
    if (!kc_is_aligned((uintptr_t)memory, KC_FRAME_BYTES) ||
        !kc_is_aligned(bytes, KC_FRAME_BYTES)) {
        return KC_ERR_ALIGN;
    }
    if (bytes < KC_ARENA_BYTES_MIN || bytes - 1 > UINTPTR_MAX - (uintptr_t)memory) {
        return KC_ERR_RANGE;
    }
    kc_pa_range_t range = kc_pa_range(kc_plat_ram_pa(memory), bytes);
    struct kc_arena *a = (struct kc_arena *)kc_tag_strip(memory);
    struct kc_arena_set *s = config->set;
    kc_status_t status = KC_ERR_EXISTS;
    uint64_t irq = s != NULL ? kc_lock_acquire_irqsave(&s->lock) : 0;
    if (s == NULL || !is_taken(s, range)) {
        kc_tag_wipe(memory, bytes);
        status = make(a, range, config);
        a->memory = memory;
        if (status != KC_OK) {
            kc_tag_restore(memory, bytes);
        }
    }
    if (s != NULL) {
        kc_lock_release_irqrestore(&s->lock, irq);
    }
    if (status == KC_OK) {
        *out = a;
    }
    return status;
}

kc_status_t kc_arena_fini(struct kc_arena *a)
{
    kc_status_t status = kc_heap_fini(&a->heap);
    if (status != KC_OK) {
        return status;
    }
    status = kc_frames_fini(&a->frames);
    KC_CHECK(status == KC_OK);
    struct kc_arena_set *s = a->set;
    if (s != NULL) {
        uint64_t irq = kc_lock_acquire_irqsave(&s->lock);
        kc_list_del(&a->link);
        kc_lock_release_irqrestore(&s->lock, irq);
    }
    /* All of it is one object of the caller's again, also for who watches frees. */
    kc_plat_note(KC_NOTE_ALLOC, (uintptr_t)a, a->range.size, NULL);
    kc_tag_restore(a->memory, (size_t)a->range.size);
    return KC_OK;
}

uint64_t kc_arena_free_bytes(struct kc_arena *a)
{
    struct kc_frame_stats s;
    kc_frame_stats(&a->frames, &s);
    return s.free_frames << KC_FRAME_LOG2;
}

bool kc_arena_has(const struct kc_arena *a, const void *p)
{
    uintptr_t offset = (uintptr_t)kc_tag_strip(p) - (uintptr_t)a;
    return offset < a->range.size;
}

kc_status_t kc_arena_check(struct kc_arena *a)
{
    uint64_t frames = a->frames.frame_count << KC_FRAME_LOG2;
    if (frames + a->frames.table_bytes + OWN_BYTES != a->range.size) {
        return KC_ERR_CORRUPT; /* A1 */
    }
    kc_status_t status = kc_frames_check(&a->frames, NULL);
    return status == KC_OK ? kc_heap_check(&a->heap, NULL) : status;
}
