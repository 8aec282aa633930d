/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stress: a heap put to the test. Theory.
 *
 * Nouns. A *slot* is a block under test, or none. Its *tag* is a random number, by which each of
 * its bytes is determined: a byte of another block, or of the same place of an older one, agrees by
 * chance once in 256. All of a block is written when it is allocated and looked at when it is freed
 * or resized; at the end all that is left is. So whatever wrote into a live block is found, if not
 * by whom, at least between which two steps.
 *
 * Overlaps are found by comparing a new block with all live ones, before it is written: a heap that
 * hands out a byte twice is caught in the step in which it does so.
 *
 * Steps come in *seasons*: of allocating more than freeing, and the reverse, so that the heap fills
 * to the brim and empties, which is where allocators change lists and give memory back.
 */
#include <kc/stress.h>

struct run {
    const struct kc_stress_heap *heap;
    const struct kc_stress_config *config;
    struct kc_stress_result *out;
    uint64_t random;
    size_t bytes; /* live */
};

/* xorshift64* (Vigna 2016). */
static uint64_t draw(struct run *r)
{
    uint64_t x = r->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    r->random = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

/* 0 to limit - 1; limit is 1 or more. */
static uint64_t below(struct run *r, uint64_t limit)
{
    return (draw(r) >> 8) % limit;
}

static bool fault(struct run *r, enum kc_stress_fault kind, uint32_t slot, size_t offset)
{
    struct kc_stress_result *out = r->out;
    out->fault = kind;
    out->slot = slot;
    out->offset = offset;
    out->ptr = (uintptr_t)r->config->slot[slot].ptr;
    out->size = r->config->slot[slot].size;
    return false;
}

/* ---- contents ---------------------------------------------------------------------------------
 */

static unsigned char byte_of(uint64_t tag, size_t at)
{
    return (unsigned char)((tag >> at % 8 * 8) + at / 8);
}

static void fill(const struct kc_stress_slot *s, size_t from)
{
    for (size_t i = from; i < s->size; i++) {
        s->ptr[i] = byte_of(s->tag, i);
    }
}

/* The first of so many bytes that is wrong; `count` if none is. */
static size_t first_wrong(const struct kc_stress_slot *s, size_t count)
{
    size_t i = 0;
    while (i < count && s->ptr[i] == byte_of(s->tag, i)) {
        i++;
    }
    return i;
}

static bool is_whole(struct run *r, uint32_t slot)
{
    const struct kc_stress_slot *s = &r->config->slot[slot];
    size_t wrong = first_wrong(s, s->size);
    return wrong == s->size || fault(r, KC_STRESS_TORN, slot, wrong);
}

/* ---- steps ------------------------------------------------------------------------------------
 */

static size_t choose_size(struct run *r)
{
    size_t least = r->config->size_min;
    size_t most = r->config->size_max;
    if (r->config->sizes == KC_STRESS_TWO) {
        return (draw(r) >> 63) != 0 ? least : most;
    }
    if (r->config->sizes == KC_STRESS_LOG) {
        uint32_t first = kc_log2_floor(least);
        uint32_t last = kc_log2_floor(most);
        uint32_t log2 = first + (uint32_t)below(r, last - first + 1);
        size_t low = (size_t)1 << log2;
        least = log2 == first ? least : low;
        most = log2 == last ? most : low + (low - 1);
    }
    return least + (size_t)below(r, (uint64_t)most - least + 1);
}

/* Judges where a block lies that the heap just gave to a slot. */
static bool is_apart(struct run *r, uint32_t slot, size_t align)
{
    const struct kc_stress_slot *s = &r->config->slot[slot];
    uintptr_t at = (uintptr_t)s->ptr;
    if (!kc_is_aligned(at, align)) {
        return fault(r, KC_STRESS_MISALIGNED, slot, 0);
    }
    if (!kc_range_fits(at, s->size) || s->size - 1 > UINTPTR_MAX - at) {
        return fault(r, KC_STRESS_OVERLAP, slot, slot);
    }
    for (uint32_t i = 0; i < r->config->slot_count; i++) {
        const struct kc_stress_slot *other = &r->config->slot[i];
        if (i != slot && other->ptr != NULL &&
            kc_range_meets(at, s->size, (uintptr_t)other->ptr, other->size)) {
            return fault(r, KC_STRESS_OVERLAP, slot, i);
        }
    }
    return true;
}

static void count_bytes(struct run *r, size_t from, size_t to)
{
    r->bytes = r->bytes - from + to;
    r->out->peak_bytes = r->bytes > r->out->peak_bytes ? r->bytes : r->out->peak_bytes;
}

static bool step_alloc(struct run *r, uint32_t slot)
{
    struct kc_stress_slot *s = &r->config->slot[slot];
    size_t size = choose_size(r);
    size_t align = r->heap->align_min;
    if (below(r, 4) == 0) {
        uint32_t doublings = kc_log2_floor(r->heap->align_max) - kc_log2_floor(align);
        align <<= below(r, doublings + 1);
    }
    void *p = r->heap->alloc(r->heap->context, size, align);
    if (p == NULL) {
        r->out->failed++;
        return true;
    }
    s->ptr = p;
    s->size = size;
    s->tag = draw(r);
    r->out->allocs++;
    count_bytes(r, 0, size);
    if (!is_apart(r, slot, align)) {
        return false;
    }
    fill(s, 0);
    return true;
}

static bool step_free(struct run *r, uint32_t slot)
{
    struct kc_stress_slot *s = &r->config->slot[slot];
    if (!is_whole(r, slot)) {
        return false;
    }
    if (!r->heap->free(r->heap->context, s->ptr, s->size)) {
        return fault(r, KC_STRESS_REFUSED, slot, 0);
    }
    r->out->frees++;
    count_bytes(r, s->size, 0);
    s->ptr = NULL;
    return true;
}

static bool step_resize(struct run *r, uint32_t slot)
{
    struct kc_stress_slot *s = &r->config->slot[slot];
    if (!is_whole(r, slot)) {
        return false;
    }
    size_t size = choose_size(r);
    size_t kept = size < s->size ? size : s->size;
    void *p = r->heap->resize(r->heap->context, s->ptr, s->size, size);
    if (p == NULL) {
        r->out->failed++;
        return is_whole(r, slot);
    }
    r->out->resizes++;
    r->out->moved += p != s->ptr;
    count_bytes(r, s->size, size);
    s->ptr = p;
    s->size = size;
    if (!is_apart(r, slot, r->heap->align_min)) {
        return false;
    }
    size_t wrong = first_wrong(s, kept);
    if (wrong != kept) {
        return fault(r, KC_STRESS_LOST, slot, wrong);
    }
    fill(s, kept);
    return true;
}

static bool step_check(struct run *r)
{
    return r->heap->check == NULL || r->heap->check(r->heap->context) ||
           fault(r, KC_STRESS_CHECK, 0, 0);
}

static bool step(struct run *r, uint64_t number)
{
    uint32_t slot = (uint32_t)below(r, r->config->slot_count);
    bool fills = number / r->config->slot_count % 8 < 4;
    bool is_live = r->config->slot[slot].ptr != NULL;
    if (is_live && r->heap->resize != NULL && below(r, 4) == 0) {
        return step_resize(r, slot);
    }
    /* Three of four times what the season is about. */
    bool follows = below(r, 4) != 0;
    if (is_live) {
        return fills == follows || step_free(r, slot);
    }
    return fills != follows || step_alloc(r, slot);
}

static bool is_good(const struct kc_stress_heap *heap, const struct kc_stress_config *config)
{
    return heap != NULL && config != NULL && heap->alloc != NULL && heap->free != NULL &&
           config->slot != NULL && config->slot_count != 0 && config->size_min != 0 &&
           config->size_max >= config->size_min && kc_is_pow2(heap->align_min) &&
           kc_is_pow2(heap->align_max) && heap->align_max >= heap->align_min;
}

bool kc_stress_run(const struct kc_stress_heap *heap, const struct kc_stress_config *config,
                   struct kc_stress_result *out)
{
    __builtin_memset(out, 0, sizeof(*out));
    if (!is_good(heap, config)) {
        out->fault = KC_STRESS_BAD_CONFIG;
        return false;
    }
    struct run r = {heap, config, out, config->seed != 0 ? config->seed : 1, 0};
    __builtin_memset(config->slot, 0, config->slot_count * sizeof(*config->slot));
    for (; out->step < config->operations; out->step++) {
        if (!step(&r, out->step)) {
            return false;
        }
        if (config->check_every != 0 && out->step % config->check_every == 0 && !step_check(&r)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < config->slot_count; i++) {
        if (config->slot[i].ptr != NULL && !step_free(&r, i)) {
            return false;
        }
    }
    return step_check(&r);
}

const char *kc_stress_fault_name(enum kc_stress_fault fault_)
{
    switch (fault_) {
    case KC_STRESS_OK:
        return "none";
    case KC_STRESS_BAD_CONFIG:
        return "bad configuration";
    case KC_STRESS_MISALIGNED:
        return "misaligned block";
    case KC_STRESS_OVERLAP:
        return "overlapping blocks";
    case KC_STRESS_TORN:
        return "torn contents";
    case KC_STRESS_LOST:
        return "contents lost by resize";
    case KC_STRESS_REFUSED:
        return "refused free";
    case KC_STRESS_CHECK:
        return "validator";
    }
    return "?";
}
