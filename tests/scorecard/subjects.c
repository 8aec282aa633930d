/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The core's allocators as subjects of the scorecard: pool, cache, heap, frames, fence.
 *
 * All live in one world, made anew for each case in the same RAM: early memory, frames, and two of
 * each allocator, so that there is somebody else to whom a block may be given back. Around the
 * world's first block there is a *moat*: frames that the world holds, so that an overrun of a
 * megabyte hits nobody's memory.
 */
#include <kc/tag.h>

#include "subjects.h"

struct score_world score_world;

/* ---- the world ------------------------------------------------------------------------------ */

bool score_world_make(void)
{
    struct score_world *w = &score_world;
    struct kc_heap_config heap = {.name = "subject", .misuse = &w->misuse, .cpu_count = 1};
    kc_misuse_init(&w->misuse, KC_MISUSE_SILENT);
    w->moat_count = 0;
    w->tag_faults = 0;
    w->tag_fault_last = false;
    return kc_early_init(&w->early, score_env.info) == KC_OK &&
           kc_frames_init(&w->frames, &w->early, &w->misuse) == KC_OK &&
           kc_frames_set_cpus(&w->frames, &w->list, 1) == KC_OK &&
           kc_heap_init(&w->heap, &heap, &w->frames) == KC_OK &&
           kc_heap_init(&w->other_heap, &heap, &w->frames) == KC_OK;
}

bool score_world_end(void)
{
    struct score_world *w = &score_world;
    bool ended = kc_heap_fini(&w->heap) == KC_OK;
    ended = kc_heap_fini(&w->other_heap) == KC_OK && ended;
    while (w->moat_count > 0) {
        ended = kc_frame_free(&w->frames, w->moat[--w->moat_count], 0) == KC_OK && ended;
    }
    return kc_frames_fini(&w->frames) == KC_OK && ended;
}

/* Takes single frames until there are none, or `most`. */
static uint32_t take_frames(struct score_world *w, kc_pa_t *to, uint32_t most)
{
    uint32_t n = 0;
    while (n < most && kc_frame_alloc(&w->frames, 0, 0, KC_FRAME_OWNER_TEST, &to[n]) == KC_OK) {
        n++;
    }
    return n;
}

bool score_world_moat(size_t bytes)
{
    struct score_world *w = &score_world;
    uint64_t hole = (bytes + KC_FRAME_BYTES - 1) >> KC_FRAME_LOG2;
    kc_pa_t base;
    if (kc_frame_alloc(&w->frames, KC_FRAME_ORDER_MAX, 0, KC_FRAME_OWNER_TEST, &base) != KC_OK) {
        return false;
    }
    w->moat_count = take_frames(w, w->moat, KC_ARRAY_COUNT(w->moat) - KC_FRAME_RUN_MAX);
    kc_pa_t *block = &w->moat[w->moat_count];
    if (kc_frame_free(&w->frames, base, KC_FRAME_ORDER_MAX) != KC_OK ||
        take_frames(w, block, KC_FRAME_RUN_MAX) != KC_FRAME_RUN_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < KC_FRAME_RUN_MAX; i++) {
        uint64_t at = (kc_pa_raw(block[i]) - kc_pa_raw(base)) >> KC_FRAME_LOG2;
        if (at - KC_FRAME_RUN_MAX / 2 >= hole) {
            w->moat[w->moat_count++] = block[i];
        } else if (kc_frame_free(&w->frames, block[i], 0) != KC_OK) {
            return false;
        }
    }
    return true;
}

static uint64_t reports(void)
{
    return kc_misuse_total(&score_world.misuse) + score_world.tag_faults;
}

static const char *message(void)
{
    return score_world.tag_fault_last ? "tag" : kc_misuse_kind_name(score_world.misuse.last.kind);
}

static bool can_access(const unsigned char *p, bool write)
{
    unsigned char byte;
    kc_uva_t at = kc_uva((uintptr_t)p);
    if (score_env.can_access != NULL) {
        return score_env.can_access(p);
    }
    return kc_plat_user_read(&byte, at, 1) == 0 &&
           (!write || kc_plat_user_write(at, &byte, 1) == 0);
}

/*
 * Where pointers carry tags: the accesses themselves, by copies that survive a fault. A fault is
 * told to nobody else: what a machine makes of it is its kernel's business.
 */
static void *tag_touch(void *p, size_t n, bool write)
{
    score_world.tag_fault_last = false;
    for (size_t i = 0; score_has_tags() && i < n; i++) {
        if (!can_access((unsigned char *)p + i, write)) {
            score_world.tag_faults++;
            score_world.tag_fault_last = true;
            return NULL;
        }
    }
    return p;
}

#define TAG_TOUCH .touch = tag_touch, .in_place = true

static bool frames_sound(void)
{
    return kc_frames_check(&score_world.frames, NULL) == KC_OK;
}

/* With CORRUPT, what was about it was written, and it is free. */
static bool is_freed(kc_status_t status)
{
    return status == KC_OK || status == KC_ERR_CORRUPT;
}

/* ---- pool ----------------------------------------------------------------------------------- */

#define POOL_ORDER 6u /* frames of its memory */

static bool pool_make(struct kc_pool *p, kc_pa_t *memory, size_t size)
{
    struct score_world *w = &score_world;
    struct kc_pool_config c = {.name = "subject",
                               .memory_bytes = (size_t)KC_FRAME_BYTES << POOL_ORDER,
                               .block_bytes = size,
                               .misuse = &w->misuse,
                               .cpu_count = 1};
    if (kc_frame_alloc(&w->frames, POOL_ORDER, 0, KC_FRAME_OWNER_POOL, memory) != KC_OK) {
        return false;
    }
    c.memory = kc_plat_ram(*memory);
    return kc_pool_init(p, &c) == KC_OK;
}

static bool pool_open(size_t size)
{
    struct score_world *w = &score_world;
    w->size = size;
    return size <= KC_FRAME_BYTES && score_world_make() &&
           pool_make(&w->pool, &w->pool_memory, size) &&
           pool_make(&w->other_pool, &w->other_pool_memory, size);
}

static bool pool_close(void)
{
    struct score_world *w = &score_world;
    return kc_pool_fini(&w->pool) == KC_OK && kc_pool_fini(&w->other_pool) == KC_OK &&
           kc_frame_free(&w->frames, w->pool_memory, POOL_ORDER) == KC_OK &&
           kc_frame_free(&w->frames, w->other_pool_memory, POOL_ORDER) == KC_OK &&
           score_world_end();
}

static void *pool_alloc(size_t size)
{
    return size <= score_world.size ? kc_pool_alloc(&score_world.pool) : NULL;
}

static void *pool_alloc_zero(size_t size)
{
    return size <= score_world.size ? kc_pool_alloc_zeroed(&score_world.pool) : NULL;
}

static void *pool_other(size_t size)
{
    return size <= score_world.size ? kc_pool_alloc(&score_world.other_pool) : NULL;
}

static bool pool_free(void *p)
{
    return is_freed(kc_pool_free(&score_world.pool, p));
}

static bool pool_other_free(void *p)
{
    return kc_pool_free(&score_world.other_pool, p) == KC_OK;
}

static bool pool_check(void)
{
    return kc_pool_check(&score_world.pool, NULL) == KC_OK &&
           kc_pool_check(&score_world.other_pool, NULL) == KC_OK && frames_sound();
}

static bool pool_end(void)
{
    return kc_pool_fini(&score_world.pool) == KC_OK;
}

const struct score_adapter score_pool = {
    .name = "pool",
    .caps = SCORE_ZERO | SCORE_PLAIN | SCORE_CHECK | SCORE_SMALL | SCORE_TWO | SCORE_FINI |
            SCORE_DENSE | SCORE_FINITE,
    .open = pool_open,
    .alloc = pool_alloc,
    .alloc_zero = pool_alloc_zero,
    .free = pool_free,
    .other_alloc = pool_other,
    .other_free = pool_other_free,
    TAG_TOUCH,
    .check = pool_check,
    .reports = reports,
    .message = message,
    .end = pool_end,
    .close = pool_close,
};

/* ---- cache ---------------------------------------------------------------------------------- */

static bool cache_open(size_t size)
{
    struct score_world *w = &score_world;
    struct kc_cache_config c = {
        .name = "subject", .object_bytes = size, .misuse = &w->misuse, .cpu_count = 1};
    w->size = size;
    return size <= KC_FRAME_BYTES && score_world_make() &&
           kc_cache_init(&w->cache, &c, &w->frames) == KC_OK &&
           kc_cache_init(&w->other_cache, &c, &w->frames) == KC_OK;
}

static bool cache_close(void)
{
    struct score_world *w = &score_world;
    return kc_cache_fini(&w->cache) == KC_OK && kc_cache_fini(&w->other_cache) == KC_OK &&
           score_world_end();
}

static void *cache_alloc(size_t size)
{
    return size <= score_world.size ? kc_cache_alloc(&score_world.cache, 0) : NULL;
}

static void *cache_alloc_zero(size_t size)
{
    return size <= score_world.size ? kc_cache_alloc(&score_world.cache, KC_CACHE_ZERO) : NULL;
}

static void *cache_other(size_t size)
{
    return size <= score_world.size ? kc_cache_alloc(&score_world.other_cache, 0) : NULL;
}

static bool cache_free(void *p)
{
    return is_freed(kc_cache_free(&score_world.cache, p));
}

static bool cache_other_free(void *p)
{
    return kc_cache_free(&score_world.other_cache, p) == KC_OK;
}

static bool cache_check(void)
{
    return kc_cache_check(&score_world.cache, NULL) == KC_OK &&
           kc_cache_check(&score_world.other_cache, NULL) == KC_OK && frames_sound();
}

static bool cache_end(void)
{
    return kc_cache_fini(&score_world.cache) == KC_OK;
}

const struct score_adapter score_cache = {
    .name = "cache",
    .caps = SCORE_ZERO | SCORE_PLAIN | SCORE_CHECK | SCORE_SMALL | SCORE_TWO | SCORE_FINI |
            SCORE_DENSE | SCORE_FINITE,
    .open = cache_open,
    .alloc = cache_alloc,
    .alloc_zero = cache_alloc_zero,
    .free = cache_free,
    .other_alloc = cache_other,
    .other_free = cache_other_free,
    TAG_TOUCH,
    .check = cache_check,
    .reports = reports,
    .message = message,
    .end = cache_end,
    .close = cache_close,
};

/* ---- heap ----------------------------------------------------------------------------------- */

static bool heap_open(size_t size)
{
    score_world.size = size;
    return score_world_make();
}

static void *heap_alloc(size_t size)
{
    return kc_heap_alloc(&score_world.heap, size, 0);
}

static void *heap_alloc_zero(size_t size)
{
    return kc_heap_alloc(&score_world.heap, size, KC_HEAP_ZERO);
}

static void *heap_alloc_aligned(size_t size, size_t align)
{
    return kc_heap_alloc_aligned(&score_world.heap, size, align, 0);
}

static void *heap_alloc_array(size_t count, size_t size)
{
    return kc_heap_alloc_array(&score_world.heap, count, size, 0);
}

static void *heap_resize(void *p, size_t size)
{
    return kc_heap_resize(&score_world.heap, p, size, 0);
}

static void *heap_other(size_t size)
{
    return kc_heap_alloc(&score_world.other_heap, size, 0);
}

static bool heap_free(void *p)
{
    return is_freed(kc_heap_free(&score_world.heap, p));
}

static bool heap_other_free(void *p)
{
    return kc_heap_free(&score_world.other_heap, p) == KC_OK;
}

static bool heap_free_sized(void *p, size_t size)
{
    return kc_heap_free_sized(&score_world.heap, p, size) == KC_OK;
}

static size_t heap_usable(void *p)
{
    return kc_heap_usable(&score_world.heap, p);
}

static bool heap_check(void)
{
    return kc_heap_check(&score_world.heap, NULL) == KC_OK &&
           kc_heap_check(&score_world.other_heap, NULL) == KC_OK && frames_sound();
}

static bool heap_end(void)
{
    return kc_heap_fini(&score_world.heap) == KC_OK;
}

const struct score_adapter score_heap = {
    .name = "heap",
    .caps = SCORE_ZERO | SCORE_ALIGNED | SCORE_RESIZE | SCORE_SIZED | SCORE_USABLE |
            SCORE_ANY_SIZE | SCORE_LARGE | SCORE_PLAIN | SCORE_CHECK | SCORE_SMALL | SCORE_TWO |
            SCORE_FINI | SCORE_DENSE | SCORE_ARRAY | SCORE_FINITE,
    .open = heap_open,
    .alloc = heap_alloc,
    .alloc_zero = heap_alloc_zero,
    .alloc_aligned = heap_alloc_aligned,
    .alloc_array = heap_alloc_array,
    .resize = heap_resize,
    .free = heap_free,
    .free_sized = heap_free_sized,
    .usable = heap_usable,
    .other_alloc = heap_other,
    .other_free = heap_other_free,
    TAG_TOUCH,
    .check = heap_check,
    .reports = reports,
    .message = message,
    .end = heap_end,
    .close = score_world_end,
    .moat = score_world_moat,
};

/* ---- frames --------------------------------------------------------------------------------- */

static uint32_t order_of(size_t size)
{
    return size <= KC_FRAME_BYTES ? 0 : kc_log2_ceil(size) - KC_FRAME_LOG2;
}

static bool frames_open(size_t size)
{
    score_world.size = size;
    return size >= KC_FRAME_BYTES && score_world_make();
}

static void *frame_alloc(uint32_t flags, size_t size)
{
    kc_pa_t pa;
    return kc_frame_alloc(&score_world.frames, order_of(size), flags, KC_FRAME_OWNER_TEST, &pa) ==
                   KC_OK
               ? kc_plat_ram(pa)
               : NULL;
}

static void *frames_alloc(size_t size)
{
    return frame_alloc(0, size);
}

static void *frames_alloc_zero(size_t size)
{
    return frame_alloc(KC_FRAME_ZERO, size);
}

static bool frames_free_sized(void *p, size_t size)
{
    struct score_world *w = &score_world;
    return kc_frame_free(&w->frames, kc_frame_ptr_pa(&w->frames, p), order_of(size)) == KC_OK;
}

static bool frames_free(void *p)
{
    return frames_free_sized(p, score_world.size);
}

const struct score_adapter score_frames = {
    .name = "frames",
    .caps = SCORE_ZERO | SCORE_SIZED | SCORE_LARGE | SCORE_PLAIN | SCORE_CHECK | SCORE_FINITE,
    .open = frames_open,
    .alloc = frames_alloc,
    .alloc_zero = frames_alloc_zero,
    .free = frames_free,
    .free_sized = frames_free_sized,
    .check = frames_sound,
    .reports = reports,
    .message = message,
    .close = score_world_end,
};

/* ---- a space of addresses ------------------------------------------------------------------- */

#define SPACE_WIDE                                                                \
    (UINTPTR_MAX > UINT32_MAX) /* pointers hold any address: the body's own range \
                                */
#define SPACE_BASE (SPACE_WIDE ? score_env.info->dynamic_base : UINT64_C(0x10000000))

static bool space_make(void)
{
    struct score_world *w = &score_world;
    struct kc_pt_config pc = {.format = {KC_A64_STAGE1, 12, 48, 40, SPACE_WIDE, 0, 0},
                              .source = {.frames = &w->frames},
                              .any_asid = true};
    struct kc_aspace_config ac = {.kind = KC_ASPACE_KERNEL,
                                  .name = "subject",
                                  .frames = &w->frames,
                                  .kernel_pt = &w->pt,
                                  .base = kc_ia(SPACE_BASE),
                                  .bytes = KC_MIB(1),
                                  .areas = w->area,
                                  .area_max = KC_ARRAY_COUNT(w->area)};
    return kc_pt_init(&w->pt, &pc) == KC_OK && kc_aspace_init(&w->space, &ac) == KC_OK;
}

static bool space_end(void)
{
    struct score_world *w = &score_world;
    return kc_aspace_fini(&w->space) == KC_OK && kc_pt_fini(&w->pt) == KC_OK;
}

/* ---- fence ---------------------------------------------------------------------------------- */

#define FENCE_SLOTS 16u

/*
 * The heap's front with every allocation in a slot. The tree is in no TTBR, so an access asks the
 * tables, as an MMU would, and a fault goes to kc_fence_explain(); what is mapped is touched
 * through the linear map. On machines with an MMU the kernel's rounds do the same with real faults.
 */
static bool fence_open(size_t size)
{
    struct score_world *w = &score_world;
    struct kc_fence_config fc = {.heap = &w->heap,
                                 .space = &w->space,
                                 .attr = {KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL, true},
                                 .slot = w->slot,
                                 .slot_count = FENCE_SLOTS,
                                 .seed = 3,
                                 .misuse = &w->misuse};
    w->size = size;
    return size <= KC_FENCE_SIZE_MAX && score_world_make() && space_make() &&
           kc_fence_init(&w->fence, &fc) == KC_OK;
}

static bool fence_end(void)
{
    return kc_fence_fini(&score_world.fence) == KC_OK;
}

static bool fence_close(void)
{
    return fence_end() && space_end() && score_world_end();
}

static void *fence_alloc(size_t size)
{
    return kc_fence_take(&score_world.fence, size, KC_HEAP_ALIGN_MIN, 0x1111);
}

static void *fence_alloc_aligned(size_t size, size_t align)
{
    return kc_fence_take(&score_world.fence, size, align, 0x1111);
}

static bool fence_free(void *p)
{
    return is_freed(kc_fence_free(&score_world.fence, p, 0x2222));
}

static size_t fence_usable(void *p)
{
    return kc_fence_usable(&score_world.fence, p);
}

/* As an MMU does: byte by byte, the first that is not there faults. */
static void *fence_touch(void *p, size_t n, bool write)
{
    struct score_world *w = &score_world;
    struct kc_pt_walk walk;
    uint64_t at = kc_va_raw(kc_plat_ptr_va(p));
    for (size_t i = 0; i < n; i++) {
        if (kc_pt_translate(&w->pt, kc_ia(at + i), &walk) != KC_OK) {
            (void)kc_fence_explain(&w->fence, at + i, write, NULL);
            return NULL;
        }
    }
    return kc_pt_translate(&w->pt, kc_ia(at), &walk) == KC_OK ? kc_tag_load(kc_plat_ram(walk.pa))
                                                              : NULL;
}

static bool fence_check(void)
{
    struct score_world *w = &score_world;
    return kc_fence_check(&w->fence, NULL) == KC_OK && kc_aspace_check(&w->space, NULL) == KC_OK &&
           heap_check();
}

const struct score_adapter score_fence = {
    .name = "fence",
    .caps = SCORE_ZERO | SCORE_ALIGNED | SCORE_USABLE | SCORE_PLAIN | SCORE_CHECK | SCORE_SMALL |
            SCORE_FINI | SCORE_FINITE,
    .open = fence_open,
    .alloc = fence_alloc,
    .alloc_zero = fence_alloc,
    .alloc_aligned = fence_alloc_aligned,
    .free = fence_free,
    .usable = fence_usable,
    .touch = fence_touch,
    .check = fence_check,
    .reports = reports,
    .message = message,
    .end = fence_end,
    .close = fence_close,
};

/* ---- the other modules ---------------------------------------------------------------------- */

static bool core_open(size_t size)
{
    score_world.size = size;
    return score_world_make() && space_make();
}

static bool core_check(void)
{
    return kc_aspace_check(&score_world.space, NULL) == KC_OK && heap_check();
}

static bool core_close(void)
{
    return space_end() && score_world_end();
}

const struct score_adapter score_core = {
    .name = "core",
    .caps = SCORE_CORE | SCORE_CHECK,
    .open = core_open,
    .check = core_check,
    .reports = reports,
    .message = message,
    .close = core_close,
};
