/* SPDX-License-Identifier: BSD-2-Clause */
/* heap: the contract of kc/heap.h, and the invariants H1 to H3 of src/mem/heap.c. */
#include <kc_test.h>

#include <kc/heap.h>
#include <kc/tag.h>

#include "mem/heap_priv.h"

#define MODEL_REQUIRE(c) cr_assert(c, "model: %s", #c)
#include "heap_model.h"
#include "expect_misuse.h"

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;
static struct kc_heap heap, other;
static struct kc_cache_set set;
static struct kc_cache members[4];

static kc_status_t make_for(struct kc_heap *h, const char *name, uint32_t cpus)
{
    struct kc_heap_config config = {name, &misuse, 0, cpus, NULL, 0};
    return kc_heap_init(h, &config, &frames);
}

/* Without magazines. */
static kc_status_t make(struct kc_heap *h, const char *name)
{
    return make_for(h, name, 0);
}

static void make_set(uint32_t members_max)
{
    struct kc_cache_set_config config = {"set", members, members_max, 1, 0, &misuse, 0};
    cr_assert_eq(kc_cache_set_init(&set, &config, &frames), KC_OK);
}

static void set_up(void)
{
    cr_assert(kc_test_ram(KC_MIB(12), &info));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
    cr_assert_eq(make(&heap, "test"), KC_OK);
}

TestSuite(heap, .init = set_up);

static void expect_nothing_held(void)
{
    struct kc_frame_stats s;
    cr_expect_eq(kc_heap_fini(&heap), KC_OK);
    kc_frame_stats(&frames, &s);
    cr_expect_eq(s.used_frames, 0);
    cr_expect_eq(kc_frames_check(&frames, NULL), KC_OK);
    cr_expect_eq(kc_frames_fini(&frames), KC_OK);
}

#if KC_HARDENING >= KC_HARDENING_FULL
enum form {
    ANY,
    PINNED,
    SIZED,
    ERASED,
    MOVED,
    FORMS
};

/* Frees so, and does more, so that the call is no jump. */
static __attribute__((noinline)) kc_status_t give(enum form form, void *b)
{
    kc_status_t status = form == ANY      ? kc_heap_free(&heap, b)
                         : form == PINNED ? kc_heap_free_pinned(&heap, b)
                         : form == SIZED  ? kc_heap_free_sized(&heap, b, 48)
                                          : kc_heap_free_erased(&heap, b);
    cr_assert_eq(kc_heap_check(&heap, NULL), KC_OK);
    return status;
}

static __attribute__((noinline)) void *move(void *b)
{
    void *to = kc_heap_resize(&heap, b, 480, 0);
    cr_assert_neq(to, b);
    return to;
}

/* The last owner is who called, not some place in the heap; neither is longer than `most`. */
Test(heap, a_report_says_who_had_the_block_last)
{
    const uintptr_t most = 4096;
    for (enum form form = ANY; form < FORMS; form++) {
        uintptr_t who = form == MOVED ? (uintptr_t)move : (uintptr_t)give;
        void *b = kc_heap_alloc(&heap, 48, KC_HEAP_ZERO);
        cr_assert_not_null(b);
        if (form == MOVED) {
            cr_assert_eq(kc_heap_free(&heap, move(b)), KC_OK);
        } else {
            cr_assert_eq(give(form, b), KC_OK);
        }
        cr_assert_eq(kc_heap_free(&heap, b), KC_ERR_STATE);
        cr_expect_lt(misuse.last.found - who, most, "form %u", (unsigned)form);
    }
    expect_nothing_held();
}
#endif

Test(heap, init_refuses_what_is_malformed)
{
    struct kc_heap_config config = {"test", &misuse, 0, 0, NULL, 0};
    cr_expect_eq(kc_heap_init(NULL, &config, &frames), KC_ERR_ARG);
    cr_expect_eq(kc_heap_init(&other, NULL, &frames), KC_ERR_ARG);
    cr_expect_eq(kc_heap_init(&other, &config, NULL), KC_ERR_ARG);
    config.cpu_count = KC_CPUS_MAX + 1;
    cr_expect_eq(kc_heap_init(&other, &config, &frames), KC_ERR_ARG);
    config.cpu_count = 0;
    config.frame_flags = 0x80;
    cr_expect_eq(kc_heap_init(&other, &config, &frames), KC_ERR_ARG);
    config.frame_flags = KC_FRAME_DMA32;
    config.set = &set;
    make_set(4);
    cr_expect_eq(kc_heap_init(&other, &config, &frames), KC_ERR_ARG, "the set's flags are others");
    config.set = NULL;
    config.frame_flags = 0;
    kc_frames_fail_after(&frames, 0);
    cr_expect_eq(kc_heap_init(&other, &config, &frames), KC_ERR_NOMEM);
}

/* What named caches and the heap have of one size lies in one slab; what only looks alike does not
 * pass for the heap's. */
Test(heap, shares_a_set_with_named_caches)
{
    struct kc_heap_config config = {"shared", &misuse, 0, 0, &set, 0};
    struct kc_cache *named, *odd;
    struct kc_heap_stats s;
    make_set(3);
    uint64_t before = kc_frame_owner_frames(&frames, KC_FRAME_OWNER_HEAP);
    cr_assert_eq(kc_heap_init(&other, &config, &frames), KC_OK);
    cr_expect_eq(kc_frame_owner_frames(&frames, KC_FRAME_OWNER_HEAP), before);
    cr_assert_eq(kc_cache_set_get(&set, 93, 0, &named), KC_OK);
    cr_assert_eq(kc_cache_set_get(&set, 200 - 56, 16, &odd), KC_OK);
    cr_assert_eq(kc_cache_set_get(&set, 1000 / 8 * 8 + 8, 0, &odd), KC_OK);
    unsigned char *a = kc_heap_alloc(&other, 90, 0);
    unsigned char *b = kc_cache_alloc(named, 0);
    unsigned char *c = kc_cache_alloc(odd, 0);
    cr_expect(KC_HARDENING >= KC_HARDENING_FULL || b - a == 96);
    cr_expect_eq(named->out, 2);
    cr_expect_eq(kc_heap_usable(&other, b), 96);
    cr_expect_eq(kc_heap_usable(&other, c), 0, "1008 is no class");
    EXPECT_MISUSE(kc_heap_free(&other, c), KC_ERR_PERM, KC_MISUSE_WRONG_OWNER);
    kc_heap_stats(&other, &s);
    cr_expect_eq(s.live, 2);
    cr_expect_eq(s.alloc_count, 2);
    cr_expect_null(kc_heap_alloc(&other, 8, 0), "the set is full");
    cr_expect_eq(kc_heap_check(&other, NULL), KC_OK);
    EXPECT_MISUSE(kc_cache_set_fini(&set), KC_ERR_STATE, KC_MISUSE_BUSY);
    cr_expect_eq(kc_heap_free(&other, a), KC_OK);
    cr_expect_eq(kc_cache_free(odd, c), KC_OK);
    cr_expect_eq(kc_heap_fini(&other), KC_OK, "what is live in the set is not the heap's");
    cr_expect_eq(kc_cache_free(named, b), KC_OK);
    cr_expect_eq(kc_cache_set_check(&set, NULL), KC_OK);
    cr_expect_eq(kc_cache_set_fini(&set), KC_OK);
    expect_nothing_held();
}

/* Every size up to the greatest class: the least class that holds it, with the waste stated. */
Test(heap, classes_are_tight_for_every_size)
{
    uint32_t before = 0;
    for (uint32_t i = 0; i < KC_HEAP_CLASSES; i++) {
        cr_assert_gt(heap_class_bytes(i), before);
        for (uint32_t size = before + 1; size <= heap_class_bytes(i); size++) {
            cr_assert_eq(heap_class(size), i, "size %u", size);
        }
        cr_assert_leq(heap_class_bytes(i) - before, before <= 128 ? 16u : before / 8);
        before = heap_class_bytes(i);
    }
    cr_assert_eq(before, KC_HEAP_SMALL_MAX);
    cr_assert_eq(kc_heap_granted(0), 0);
    cr_assert_eq(kc_heap_granted(1), 8);
    cr_assert_eq(kc_heap_granted(8193), 3 * 4096);
    cr_assert_eq(kc_heap_granted(KC_HEAP_SIZE_MAX), KC_HEAP_SIZE_MAX);
    cr_assert_eq(kc_heap_granted(KC_HEAP_SIZE_MAX + 1), 0);
    cr_assert_eq(kc_heap_granted(SIZE_MAX), 0);
    cr_assert_null(heap.cache[15], "not before it is asked for");
    void *p = kc_heap_alloc(&heap, 121, 0);
    cr_assert_str_eq(heap.cache[15]->name, "test-128");
    cr_assert_eq(kc_heap_free(&heap, p), KC_OK);
}

/* The pinned forms are the same calls; and each may undo what the other did. */
Test(heap, pinned_forms_do_the_same)
{
    static const size_t size[] = {9, 100, 200, 300, 1000, 8192, 8193, 70000};
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(size); i++) {
        void *p = kc_heap_alloc_pinned(&heap, size[i], 0);
        void *q = kc_heap_alloc(&heap, size[i], KC_HEAP_ZERO);
        cr_assert_not_null(p);
        cr_assert_not_null(q);
        cr_expect_eq(kc_heap_usable(&heap, p), kc_heap_granted(size[i]));
        EXPECT_MISUSE(kc_heap_free_pinned(&heap, (char *)p + 8), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
        cr_expect_eq(kc_heap_free_pinned(&heap, q), KC_OK);
        EXPECT_MISUSE(kc_heap_free_pinned(&heap, q), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
        cr_expect_eq(kc_heap_free(&heap, p), KC_OK);
    }
    cr_expect_eq(kc_heap_free_pinned(&heap, NULL), KC_OK);
    cr_expect_null(kc_heap_alloc_pinned(&heap, 0, 0));
    cr_expect_null(kc_heap_alloc_pinned(&heap, SIZE_MAX, 0));
    cr_expect_null(kc_heap_alloc_pinned(&heap, 64, UINT32_MAX));
    unsigned char *zero = kc_heap_alloc_pinned(&heap, 100, KC_HEAP_ZERO);
    for (uint32_t i = 0; i < 100; i++) {
        cr_assert_eq(zero[i], 0);
    }
    cr_expect_eq(kc_heap_free_pinned(&heap, zero), KC_OK);
    expect_nothing_held();
}

Test(heap, requests_outside_the_limits_are_refused)
{
    struct kc_heap_stats s;
    cr_expect_null(kc_heap_alloc(&heap, 0, 0));
    cr_expect_null(kc_heap_alloc(&heap, SIZE_MAX, 0));
    cr_expect_null(kc_heap_alloc(&heap, SIZE_MAX - 4095, 0));
    cr_expect_null(kc_heap_alloc(&heap, KC_HEAP_SIZE_MAX + 1, 0));
    cr_expect_null(kc_heap_alloc(&heap, 8, 0x80));
    cr_expect_null(kc_heap_alloc_aligned(&heap, 8, 0, 0));
    cr_expect_null(kc_heap_alloc_aligned(&heap, 8, 3, 0));
    cr_expect_null(kc_heap_alloc_aligned(&heap, 8, 2 * (size_t)KC_HEAP_ALIGN_MAX, 0));
    cr_expect_null(kc_heap_alloc_aligned(&heap, SIZE_MAX, 8, 0));
    cr_expect_null(kc_heap_alloc_aligned(&heap, 0, 8, 0));
    cr_expect_null(kc_heap_alloc_array(&heap, SIZE_MAX / 2, 3, 0));
    cr_expect_null(kc_heap_alloc_array(&heap, SIZE_MAX / 8 + 2, 8, 0)); /* wraps to 8 */
    cr_expect_null(kc_heap_alloc_array(&heap, 0, 3, 0));
    cr_expect_null(kc_heap_alloc_array(&heap, 3, 0, 0));
    cr_expect_null(kc_heap_resize(&heap, NULL, 0, 0));
    kc_heap_stats(&heap, &s);
    cr_expect_eq(s.refused_count, 15);
    cr_expect_eq(s.fail_count, 0);
    cr_expect_eq(s.alloc_count, 0);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
    expect_nothing_held();
}

Test(heap, every_alignment_with_sizes_below_and_above)
{
    for (size_t align = 1; align <= KC_HEAP_ALIGN_MAX; align *= 2) {
        size_t sizes[] = {1, align - 1, align, align + 1, align / 2 * 3, 100, 5000};
        for (uint32_t i = 0; i < KC_ARRAY_COUNT(sizes); i++) {
            if (sizes[i] == 0 || sizes[i] > KC_HEAP_SIZE_MAX) {
                continue;
            }
            void *p = kc_heap_alloc_aligned(&heap, sizes[i], align, 0);
            cr_assert_not_null(p);
            cr_assert(kc_pa_is_aligned(kc_plat_ram_pa(p), align));
            /* Beyond a frame it is the physical address that the contract is about. */
            cr_assert(kc_is_aligned((uintptr_t)p, align < KC_FRAME_BYTES ? align : KC_FRAME_BYTES));
            cr_assert_geq(kc_heap_usable(&heap, p), sizes[i]);
            cr_assert_eq(kc_heap_free_sized(&heap, p, sizes[i]), KC_OK);
        }
    }
    expect_nothing_held();
}

Test(heap, large_blocks_take_exactly_their_frames)
{
    struct kc_heap_stats s;
    uint64_t own = kc_frame_owner_frames(&frames, KC_FRAME_OWNER_HEAP);
    unsigned char *p = kc_heap_alloc(&heap, 5 * 4096 - 1, KC_HEAP_ZERO);
    cr_assert_not_null(p);
    kc_heap_stats(&heap, &s);
    cr_assert_eq(s.live, 1);
    cr_assert_eq(s.large_live, 1);
    cr_assert_eq(s.frames_bytes, 5 * 4096);
    cr_assert_eq(kc_heap_usable(&heap, p), 5 * 4096);
    cr_assert_eq(kc_frame_owner_frames(&frames, KC_FRAME_OWNER_HEAP), own + 5);
    __builtin_memset(p, 0xff, 5 * 4096);
    cr_assert_eq(kc_heap_check(&heap, NULL), KC_OK);
    EXPECT_MISUSE(kc_heap_free(&heap, p + 1), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    EXPECT_MISUSE(kc_heap_free(&heap, p + 4096), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    EXPECT_MISUSE(kc_heap_free(&heap, p + 4 * 4096), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    EXPECT_MISUSE(kc_heap_free_sized(&heap, p, 4 * 4096), KC_ERR_ARG, KC_MISUSE_WRONG_SIZE);
    EXPECT_MISUSE(kc_frame_free(&frames, kc_plat_ram_pa(p), 2), KC_ERR_PERM, KC_MISUSE_WRONG_OWNER);
    cr_assert_eq(kc_heap_free(&heap, p), KC_OK);
    EXPECT_MISUSE(kc_heap_free(&heap, p), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    expect_nothing_held();
}

Test(heap, every_bad_free_has_its_answer)
{
    static unsigned char elsewhere[16];
    cr_assert_eq(make(&other, "other"), KC_OK);
    unsigned char *p = kc_heap_alloc(&heap, 40, 0);
    unsigned char *q = kc_heap_alloc(&other, 40, 0);
    unsigned char *large = kc_heap_alloc(&other, 40000, 0);
    kc_pa_t used;
    cr_assert_eq(kc_frame_alloc(&frames, 0, 0, KC_FRAME_OWNER_TEST, &used), KC_OK);
    cr_expect_eq(kc_heap_free(&heap, NULL), KC_OK);
    cr_expect_eq(kc_heap_free_sized(&heap, NULL, 5), KC_OK);
    cr_expect_eq(kc_heap_usable(&heap, NULL), 0);
    cr_expect_eq(kc_heap_usable(&heap, elsewhere), 0);
    cr_expect_eq(kc_heap_usable(&heap, p + 1), 0);
    cr_expect_eq(kc_heap_usable(&heap, q), 0);
    cr_expect_eq(kc_misuse_total(&misuse), 0);
    EXPECT_MISUSE(kc_heap_free(&heap, elsewhere), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
    EXPECT_MISUSE(kc_heap_free(&heap, (void *)UINTPTR_MAX), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
    EXPECT_MISUSE(kc_heap_free(&heap, kc_plat_ram(used)), KC_ERR_RANGE, KC_MISUSE_FOREIGN);
    /* The physical address as a pointer, which a body may have mapped to the same byte. */
    if ((uintptr_t)kc_pa_raw(kc_plat_ram_pa(p)) != (uintptr_t)p) {
        EXPECT_MISUSE(kc_heap_free(&heap, (void *)(uintptr_t)kc_pa_raw(kc_plat_ram_pa(p))),
                      KC_ERR_RANGE, KC_MISUSE_FOREIGN);
    }
    EXPECT_MISUSE(kc_heap_free(&heap, q), KC_ERR_PERM, KC_MISUSE_WRONG_OWNER);
    EXPECT_MISUSE(kc_heap_free(&heap, large), KC_ERR_PERM, KC_MISUSE_WRONG_OWNER);
    EXPECT_MISUSE(kc_heap_free(&heap, p + 8), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    unsigned char *slab = p - ((uintptr_t)p & (KC_FRAME_BYTES - 1));
    unsigned char *unused = p == slab ? p + heap.cache[4]->stride : slab;
    EXPECT_MISUSE(kc_heap_free(&heap, unused), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    EXPECT_MISUSE(kc_heap_free_sized(&heap, p, 0), KC_ERR_ARG, KC_MISUSE_WRONG_SIZE);
    EXPECT_MISUSE(kc_heap_free_sized(&heap, p, 41), KC_ERR_ARG, KC_MISUSE_WRONG_SIZE);
    EXPECT_MISUSE(kc_heap_free_sized(&heap, p, 16), KC_ERR_ARG, KC_MISUSE_WRONG_SIZE);
    EXPECT_MISUSE(kc_heap_free_sized(&heap, p, SIZE_MAX), KC_ERR_ARG, KC_MISUSE_WRONG_SIZE);
    EXPECT_MISUSE(kc_heap_fini(&heap), KC_ERR_STATE, KC_MISUSE_BUSY);
    EXPECT_MISUSE((void *)kc_heap_resize(&heap, p + 8, 9, 0), NULL, KC_MISUSE_INTERIOR);
    EXPECT_MISUSE((void *)kc_heap_resize(&heap, q, 9, 0), NULL, KC_MISUSE_WRONG_OWNER);
    EXPECT_MISUSE((void *)kc_heap_resize(&heap, elsewhere, 9, 0), NULL, KC_MISUSE_FOREIGN);
    cr_expect_eq(kc_heap_free_sized(&heap, p, 33), KC_OK);
    EXPECT_MISUSE(kc_heap_free(&heap, p), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    EXPECT_MISUSE((void *)kc_heap_resize(&heap, p, 9, 0), NULL, KC_MISUSE_DOUBLE_FREE);
    cr_expect_eq(kc_heap_shrink(&heap), 1);
    EXPECT_MISUSE(kc_heap_free(&heap, p), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    cr_expect_eq(kc_heap_free(&other, q), KC_OK);
    cr_expect_eq(kc_heap_free(&other, large), KC_OK);
    cr_expect_eq(kc_heap_fini(&other), KC_OK);
    cr_expect_eq(kc_frame_free(&frames, used, 0), KC_OK);
    expect_nothing_held();
}

Test(heap, resize_keeps_contents_in_place_where_it_can)
{
    unsigned char *p = kc_heap_resize(&heap, NULL, 100, 0);
    cr_assert_not_null(p);
    __builtin_memset(p, 0x77, 104);
    cr_assert_eq(kc_heap_resize(&heap, p, 104, 0), p);
    cr_assert_eq(kc_heap_resize(&heap, p, 97, 0), p);
    cr_assert_null(kc_heap_resize(&heap, p, 0, 0));
    cr_assert_null(kc_heap_resize(&heap, p, SIZE_MAX, 0));
    unsigned char *q = kc_heap_resize(&heap, p, 20000, KC_HEAP_ZERO);
    cr_assert_not_null(q);
    for (uint32_t i = 0; i < 20480; i++) {
        cr_assert_eq(q[i], i < 104 ? 0x77 : 0);
    }
    cr_assert_eq(kc_heap_resize(&heap, q, 20480, 0), q);
    kc_frames_fail_after(&frames, 0);
    cr_assert_null(kc_heap_resize(&heap, q, 300, 0));
    cr_assert_eq(kc_heap_usable(&heap, q), 20480, "as it was");
    p = kc_heap_resize(&heap, q, 300, 0);
    cr_assert_eq(p[103], 0x77);
    cr_assert_eq(p[299], 0);
    cr_assert_eq(kc_heap_free(&heap, p), KC_OK);
    expect_nothing_held();
}

Test(heap, a_large_block_grows_and_shrinks_where_it_is)
{
    struct kc_heap_stats s;
    unsigned char *p = kc_heap_alloc_aligned(&heap, 20 * 4096, 64 * 4096, 0);
    __builtin_memset(p, 0x77, (size_t)20 * 4096);
    cr_expect_eq(kc_heap_try_resize(&heap, p, 9 * 4096 - 5, 0), KC_OK);
    cr_expect_eq(kc_heap_usable(&heap, p), 9 * 4096);
    kc_heap_stats(&heap, &s);
    cr_expect_eq(s.large_bytes, 9 * 4096);
    cr_expect_eq(kc_heap_check(&heap, NULL), KC_OK);
    EXPECT_MISUSE(kc_heap_free(&heap, p + (size_t)9 * 4096), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    EXPECT_MISUSE(kc_heap_free(&heap, p + (size_t)8 * 4096), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    cr_expect_eq(kc_heap_resize(&heap, p, 60 * 4096, KC_HEAP_ZERO), p);
    cr_expect_eq(kc_heap_check(&heap, NULL), KC_OK);
    for (uint32_t i = 0; i < 60 * 4096; i++) {
        cr_assert_eq(p[i], i < 9 * 4096 ? 0x77 : 0);
    }
    EXPECT_MISUSE(kc_heap_free(&heap, p + (size_t)59 * 4096), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    cr_expect_eq(kc_heap_try_resize(&heap, p, 8192, 0), KC_ERR_NOMEM, "that would be a class");
    cr_expect_eq(kc_heap_try_resize(&heap, p, 0, 0), KC_ERR_RANGE);
    cr_expect_eq(kc_heap_try_resize(&heap, p, 9000, 0x80), KC_ERR_ARG);
    kc_frames_fail_after(&frames, 0);
    cr_expect_eq(kc_heap_try_resize(&heap, p, 61 * 4096, 0), KC_ERR_NOMEM);
    cr_expect_eq(kc_heap_usable(&heap, p), 60 * 4096);
    unsigned char *q = kc_heap_alloc(&heap, 40, 0);
    cr_expect_eq(kc_heap_try_resize(&heap, q, 33, 0), KC_OK);
    cr_expect_eq(kc_heap_try_resize(&heap, q, 41, 0), KC_ERR_NOMEM);
    cr_expect_eq(kc_heap_try_resize(&heap, q, 32, 0), KC_ERR_NOMEM);
    EXPECT_MISUSE(kc_heap_try_resize(&heap, q + 1, 40, 0), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    cr_expect_eq(kc_heap_free_sized(&heap, p, 60 * 4096), KC_OK);
    EXPECT_MISUSE(kc_heap_try_resize(&heap, p, 9000, 0), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    cr_expect_eq(kc_heap_free(&heap, q), KC_OK);
    expect_nothing_held();
}

/* At hardening full what is freed is overwritten anyway; here nobody else writes. */
Test(heap, what_is_freed_erased_or_given_up_with_erase_is_zero)
{
    unsigned char *p = kc_heap_alloc(&heap, 100, 0);
    unsigned char *keep = kc_heap_alloc(&heap, 100, 0);
    __builtin_memset(p, 0x77, 104);
    cr_expect_eq(kc_heap_free_erased(&heap, p), KC_OK);
    kc_plat_note(KC_NOTE_DEFINED, (uintptr_t)p, 104, NULL);
    const unsigned char *freed = (const unsigned char *)kc_tag_load(p);
    for (uint32_t i = 0; i < 104; i++) {
        cr_assert_eq(freed[i], 0);
    }
    unsigned char *q = kc_heap_alloc(&heap, 100, 0);
    kc_plat_note(KC_NOTE_DEFINED, (uintptr_t)q, 104, NULL);
    for (uint32_t i = 0; i < 104 && q == p; i++) {
        cr_assert_eq(q[i], 0, "nobody wrote in between");
    }
    __builtin_memset(q, 0x77, 104);
    unsigned char *large = kc_heap_resize(&heap, q, 5 * 4096, KC_HEAP_ERASE);
    cr_assert_eq(large[103], 0x77);
    unsigned char *after = kc_heap_alloc(&heap, 100, 0);
    kc_plat_note(KC_NOTE_DEFINED, (uintptr_t)after, 104, NULL);
    for (uint32_t i = 0; i < 104 && after == q; i++) {
        cr_assert_eq(after[i], 0);
    }
    EXPECT_MISUSE(kc_heap_free_erased(&heap, large + 8), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    EXPECT_MISUSE(kc_heap_free_erased(&heap, after + 8), KC_ERR_ALIGN, KC_MISUSE_INTERIOR);
    cr_assert_eq(large[103], 0x77, "a misuse erases nothing");
    cr_expect_eq(kc_heap_free_erased(&heap, NULL), KC_OK);
    cr_expect_eq(kc_heap_free_erased(&heap, large), KC_OK);
    EXPECT_MISUSE(kc_heap_free_erased(&heap, large), KC_ERR_STATE, KC_MISUSE_DOUBLE_FREE);
    cr_expect_null(kc_heap_alloc(&heap, 8, KC_HEAP_ERASE), "is of the free");
    cr_expect_eq(kc_heap_free(&heap, after), KC_OK);
    cr_expect_eq(kc_heap_free(&heap, keep), KC_OK);
    expect_nothing_held();
}

static uint32_t asked;

static uint64_t give_nothing(void *context, uint64_t want)
{
    (void)want;
    asked++;
    /* A reclaimer may take the locks of heaps. */
    struct kc_heap_stats s;
    kc_heap_stats(context, &s);
    return 0;
}

/* Memory is short: who asks reclaimers, and who may use what is kept back. */
Test(heap, flags_say_who_waits_and_who_is_urgent)
{
    static const size_t sizes[] = {40, 5000, 50000};
    struct kc_frame_stats s;
    struct kc_frame_reclaimer r = {.name = "nothing", .reclaim = give_nothing, .context = &heap};
    cr_assert_eq(kc_frames_reclaimer_add(&frames, &r), KC_OK);
    kc_frame_stats(&frames, &s);
    struct kc_frame_marks marks = {s.free_frames, s.free_frames, s.free_frames, 0, 0};
    cr_assert_eq(kc_frames_set_marks(&frames, &marks), KC_OK);
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(sizes); i++) {
        asked = 0;
        cr_expect_null(kc_heap_alloc(&heap, sizes[i], KC_HEAP_NO_WAIT));
        cr_expect_eq(asked, 0);
        cr_expect_null(kc_heap_alloc(&heap, sizes[i], 0));
        cr_expect_eq(asked, 1);
        struct kc_heap_stats h;
        kc_heap_stats(&heap, &h);
        cr_expect_eq(h.fail_count, 2 * (i + 1));
        void *p = kc_heap_alloc(&heap, sizes[i], KC_HEAP_ATOMIC | KC_HEAP_ZERO);
        cr_expect_not_null(p);
        cr_expect_eq(asked, 1);
        cr_expect_eq(kc_heap_free(&heap, p), KC_OK);
    }
    cr_expect_eq(kc_frames_reclaimer_remove(&frames, &r), KC_OK);
    expect_nothing_held();
}

/* Takes and frees a few of every class. */
static void touch_all_classes(struct kc_heap *h)
{
    static void *p[KC_HEAP_CLASSES * 3];
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
        p[i] = kc_heap_alloc(h, heap_class_bytes(i % KC_HEAP_CLASSES), 0);
        cr_assert_not_null(p[i]);
    }
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
        cr_assert_eq(kc_heap_free(h, p[i]), KC_OK);
    }
}

/* At hardening full the quarantines of the caches keep slabs beside that. */
#if KC_HARDENING < KC_HARDENING_FULL
Test(heap, what_is_kept_stays_within_the_limit)
{
    static const size_t keep[] = {KC_HEAP_KEEP_MIN, 3 * KC_HEAP_KEEP_MIN, 16 * KC_HEAP_KEEP_MIN, 0};
    struct kc_heap_config config = {"kept", &misuse, 0, 0, NULL, KC_HEAP_KEEP_MIN - 1};
    cr_expect_eq(kc_heap_init(&other, &config, &frames), KC_ERR_RANGE);
    config.set = &set;
    make_set(4);
    cr_expect_eq(kc_heap_init(&other, &config, &frames), KC_ERR_ARG, "the set says");
    config.set = NULL;
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(keep); i++) {
        for (config.cpu_count = 0; config.cpu_count < 2; config.cpu_count++) {
            struct kc_heap_stats s;
            config.keep_bytes = keep[i];
            cr_assert_eq(kc_heap_init(&other, &config, &frames), KC_OK);
            touch_all_classes(&other);
            (void)kc_cache_set_drain(other.set, 0);
            kc_heap_stats(&other, &s);
            cr_expect_eq(s.live, 0);
            cr_expect_eq(s.kept_bytes, kc_heap_kept(&other));
            cr_expect_geq(s.kept_bytes, s.frames_bytes);
            cr_expect_geq(s.frames_bytes, KC_FRAME_BYTES, "not so strict that nothing is kept");
            cr_expect_leq(s.kept_bytes, keep[i] != 0 ? keep[i] : 64u * KC_HEAP_KEEP_MIN);
            cr_expect_eq(kc_heap_check(&other, NULL), KC_OK);
            cr_expect_eq(kc_heap_fini(&other), KC_OK);
        }
    }
    expect_nothing_held();
}
#endif

Test(heap, trim_leaves_what_it_is_told_to)
{
    cr_assert_eq(kc_heap_fini(&heap), KC_OK);
    cr_assert_eq(make_for(&heap, "test", 1), KC_OK);
    touch_all_classes(&heap);
    uint64_t kept = kc_heap_kept(&heap);
    cr_assert_gt(kept, 200000);
    cr_expect_eq(kc_heap_trim(&heap, kept), 0);
    cr_expect_eq(kc_heap_kept(&heap), kept);
    cr_expect_gt(kc_heap_trim(&heap, 100000), 0);
    cr_expect_leq(kc_heap_kept(&heap), 100000);
    cr_expect_gt(kc_heap_kept(&heap), 50000, "no more than that goes");
    void *p = kc_heap_alloc(&heap, 3000, 0);
    cr_expect_gt(kc_heap_trim(&heap, 0), 0);
    cr_expect_eq(kc_heap_kept(&heap), 0);
    cr_expect_eq(kc_heap_trim(&heap, 0), 0);
    cr_expect_eq(kc_heap_check(&heap, NULL), KC_OK);
    cr_expect_eq(kc_heap_free(&heap, p), KC_OK);
    expect_nothing_held();
}

static struct heap_model model;

static void random_operations(uint32_t cpus)
{
    static uint8_t bytes[12000];
    uint64_t seed = kc_test_seed();
    struct kc_bytes o = {bytes, sizeof(bytes), 0};
    kc_random_fill(&seed, bytes, sizeof(bytes));
    cr_assert_eq(kc_heap_fini(&heap), KC_OK);
    cr_assert_eq(make_for(&heap, "test", cpus), KC_OK);
    heap_model_init(&model, &heap, &misuse);
    model.may_fail = true;
    for (uint32_t step = 0; !kc_bytes_is_empty(&o); step++) {
        kc_test_listen(step / 100 % 2 == 0);
        heap_model_step(&model, &o);
        heap_model_check(&model);
    }
    heap_model_finish(&model);
    expect_nothing_held();
}

Test(heap, random_operations_agree_with_the_model)
{
    random_operations(0);
}

Test(heap, random_operations_agree_with_the_model_with_magazines)
{
    random_operations(1);
}

/* Fails the first frame allocation, then the second, until none is left to fail. */
Test(heap, every_frame_may_fail)
{
    static uint8_t bytes[1500];
    uint64_t seed = kc_test_seed();
    kc_random_fill(&seed, bytes, sizeof(bytes));
    for (uint64_t n = 0, failed = 1; failed != 0; n++) {
        struct kc_bytes o = {bytes, sizeof(bytes), 0};
        struct kc_frame_stats now;
        if (n != 0) {
            cr_assert_eq(make(&heap, "test"), KC_OK);
        }
        heap_model_init(&model, &heap, &misuse);
        model.may_fail = true;
        kc_frames_fail_after(&frames, n);
        while (!kc_bytes_is_empty(&o)) {
            heap_model_step(&model, &o);
        }
        /* Still armed: as many allocations as that were never reached. */
        failed = frames.fail_after == UINT64_MAX;
        kc_frames_fail_after(&frames, UINT64_MAX);
        heap_model_check(&model);
        heap_model_finish(&model);
        cr_assert_eq(kc_heap_fini(&heap), KC_OK);
        kc_frame_stats(&frames, &now);
        cr_assert_eq(now.used_frames, 0);
    }
    cr_assert_eq(make(&heap, "test"), KC_OK);
    expect_nothing_held();
}

#define EXPECT_BROKEN(n, place, wrong)                                       \
    do {                                                                     \
        struct kc_heap_fault where_;                                         \
        __typeof__(place) saved_ = (place);                                  \
        (place) = (wrong);                                                   \
        cr_expect_eq(kc_heap_check(&heap, &where_), KC_ERR_CORRUPT, #place); \
        cr_expect_eq(where_.invariant, (uint32_t)(n), #place);               \
        (place) = saved_;                                                    \
    } while (0)

Test(heap, check_sees_each_broken_invariant)
{
    struct kc_frame_found first, further;
    unsigned char *p = kc_heap_alloc(&heap, 5 * 4096, 0);
    void *q = kc_heap_alloc(&heap, 8, 0);
    cr_assert(kc_frame_find(&frames, kc_plat_ram_pa(p), &first));
    cr_assert(kc_frame_find(&frames, kc_plat_ram_pa(p + 4 * 4096), &further));
    EXPECT_BROKEN(1, heap.cache[0]->out, 9u);
    EXPECT_BROKEN(1, heap.cache[0]->stride, 24u);
    EXPECT_BROKEN(1, heap.cache[0]->object_bytes, 7u);
    EXPECT_BROKEN(1, heap.cache[0]->set, NULL);
    EXPECT_BROKEN(1, heap.cache[1], heap.cache[0]);
    EXPECT_BROKEN(1, heap.own.count, 0u);
    EXPECT_BROKEN(2, first.record->word, 9u);
    EXPECT_BROKEN(2, first.record->word, 0u);
    EXPECT_BROKEN(2, further.record->word, 5u);
    EXPECT_BROKEN(2, further.record->u.data, heap_claim_data(&heap));
    EXPECT_BROKEN(3, first.record->word, 7u);
    EXPECT_BROKEN(3, heap.large_live, 7u);
    EXPECT_BROKEN(3, heap.large_frames, 7u);
    cr_assert_eq(kc_heap_free(&heap, p), KC_OK);
    cr_assert_eq(kc_heap_free(&heap, q), KC_OK);
    expect_nothing_held();
}

/* A reclaimer ends a heap, while another CPU asks that for memory. */
static struct {
    struct kc_heap heap;
    kc_status_t status;
} ended;

static uint64_t end_heap(void *context, uint64_t want)
{
    (void)want;
    (void)context;
    ended.heap.own.reclaimer.busy++; /* what the other CPU would do */
    ended.status = kc_heap_fini(&ended.heap);
    ended.heap.own.reclaimer.busy--;
    return 0;
}

Test(heap, is_not_ended_while_it_is_asked_for_memory)
{
    struct kc_frame_reclaimer r = {.name = "r", .reclaim = end_heap};
    struct kc_heap_config config = {"two", &misuse, 0, 0, NULL, 0};
    cr_assert_eq(kc_heap_init(&ended.heap, &config, &frames), KC_OK);
    cr_assert_eq(kc_frames_reclaimer_add(&frames, &r), KC_OK);
    ended.status = KC_OK;
    (void)kc_frames_reclaim(&frames, 1);
    cr_expect_eq(ended.status, KC_ERR_STATE);
    cr_expect_eq(kc_frames_reclaimer_remove(&frames, &r), KC_OK);
    void *p = kc_heap_alloc(&ended.heap, 100, 0); /* nothing of it is gone */
    cr_expect_eq(kc_heap_free(&ended.heap, p), KC_OK);
    cr_expect_eq(kc_heap_check(&ended.heap, NULL), KC_OK);
    cr_expect_eq(kc_heap_fini(&ended.heap), KC_OK);
    expect_nothing_held();
}
