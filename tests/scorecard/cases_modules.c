/* SPDX-License-Identifier: BSD-2-Clause */
/* Cases: the core's other modules: lists, reference counts, user copies, mappings, ends. */
#include <kc/list.h>
#include <kc/ref.h>
#include <kc/tag.h>
#include <kc/ucopy.h>

#include "subjects.h"

/* Refused or allowed, with or without a report, at that step. */
static void expect_refused(struct score *s, enum score_at at, bool refused, uint64_t before)
{
    if (refused && s->seen == before) {
        score_refuse(s, at);
    }
}

/* ---- lists ---------------------------------------------------------------------------------- */

struct links {
    struct kc_list head, item[3], other;
};

static void links_make(struct links *l)
{
    kc_list_init(&l->head);
    kc_list_init(&l->other);
    for (uint32_t i = 0; i < 3; i++) {
        kc_list_init(&l->item[i]);
    }
    kc_list_add_before(&l->head, &l->item[0]);
    kc_list_add_before(&l->head, &l->item[1]);
}

static void add_third(void *arg)
{
    struct links *l = (struct links *)arg;
    kc_list_add_before(&l->head, &l->item[2]);
}

static void add_first_again(void *arg)
{
    struct links *l = (struct links *)arg;
    kc_list_add_before(&l->head, &l->item[0]);
}

static void delete_first(void *arg)
{
    struct links *l = (struct links *)arg;
    kc_list_del(&l->item[0]);
}

/* The other list is sound and unchanged: the smashed link was not followed. */
static void list_add_smashed(struct score *s)
{
    struct links l;
    links_make(&l);
    l.head.prev = &l.other;
    score_stops(s, add_third, &l);
    score_promise(s, kc_list_is_empty(&l.other) && !kc_list_is_linked(&l.item[2]),
                  "a smashed link was followed");
}

static void list_del_smashed(struct score *s)
{
    struct links l;
    links_make(&l);
    l.item[0].next = &l.other;
    score_stops(s, delete_first, &l);
    score_promise(s, kc_list_is_empty(&l.other) && l.head.next == &l.item[0],
                  "a smashed link was followed");
}

static void list_add_twice(struct score *s)
{
    struct links l;
    links_make(&l);
    score_stops(s, add_first_again, &l);
    score_promise(s, l.head.next == &l.item[0] && l.item[0].next == &l.item[1],
                  "the list was changed");
}

/* ---- reference counts ----------------------------------------------------------------------- */

static void ref_begin(struct score *s, struct kc_ref *r, uint32_t count)
{
    kc_ref_init(r, count);
    score_begin(s, SCORE_CALL);
}

/* However often the mistake is repeated: one report, and no last reference. */
static void ref_go_on(struct score *s, struct kc_ref *r)
{
    score_end(s);
    for (uint32_t i = 0; i < 100; i++) {
        (void)kc_ref_get(r, "object", &score_world.misuse);
        score_promise(s, !kc_ref_put(r, "object", &score_world.misuse), "it would be ended");
        score_promise(s, !kc_ref_put(r, "object", &score_world.misuse), "it would be ended");
    }
    score_end(s);
}

static void ref_overflow(struct score *s)
{
    struct kc_ref r;
    ref_begin(s, &r, KC_REF_MAX);
    (void)kc_ref_get(&r, "object", &score_world.misuse);
    ref_go_on(s, &r);
}

static void ref_underflow(struct score *s)
{
    struct kc_ref r;
    ref_begin(s, &r, 1);
    score_promise(s, kc_ref_put(&r, "object", &score_world.misuse), "the last one was not told");
    score_promise(s, !kc_ref_put(&r, "object", &score_world.misuse), "ended twice");
    ref_go_on(s, &r);
}

static void ref_from_none(struct score *s)
{
    struct kc_ref r;
    ref_begin(s, &r, 1);
    score_promise(s, kc_ref_put(&r, "object", &score_world.misuse), "the last one was not told");
    (void)kc_ref_get(&r, "object", &score_world.misuse);
    ref_go_on(s, &r);
}

/* References to a frame are 16 bits. */
static void frame_ref_overflow(struct score *s)
{
    kc_pa_t pa;
    kc_status_t status = kc_frame_alloc(&score_world.frames, 0, 0, KC_FRAME_OWNER_TEST, &pa);
    score_promise(s, status == KC_OK, "no frame");
    for (uint32_t i = 1; i < UINT16_MAX && status == KC_OK; i++) {
        status = kc_frame_get(&score_world.frames, pa);
    }
    score_promise(s, status == KC_OK, "a proper reference was refused");
    score_begin(s, SCORE_CALL);
    uint64_t before = s->seen;
    status = kc_frame_get(&score_world.frames, pa);
    score_end(s);
    expect_refused(s, SCORE_CALL, status == KC_ERR_QUOTA, before);
    for (uint32_t i = 0; i < UINT16_MAX; i++) {
        (void)kc_frame_put(&score_world.frames, pa, NULL);
    }
}

static void frame_ref_underflow(struct score *s)
{
    kc_pa_t pa;
    bool freed = false;
    score_promise(s, kc_frame_alloc(&score_world.frames, 0, 0, KC_FRAME_OWNER_TEST, &pa) == KC_OK,
                  "no frame");
    (void)kc_frame_put(&score_world.frames, pa, &freed);
    score_promise(s, freed, "the last one was not told");
    score_begin(s, SCORE_CALL);
    (void)kc_frame_put(&score_world.frames, pa, NULL);
    score_end(s);
}

/* The page behind an object of a cache is freed as if it were nobody's. */
static void free_frame_of_cache(struct score *s)
{
    struct score_world *w = &score_world;
    void *p = kc_heap_alloc(&w->heap, 64, 0);
    kc_pa_t pa = kc_pa_align_down(kc_frame_ptr_pa(&w->frames, p), KC_FRAME_BYTES);
    score_begin(s, SCORE_FREE);
    (void)kc_frame_free(&w->frames, pa, 0);
    score_end(s);
    score_promise(s, kc_heap_free(&w->heap, p) == KC_OK, "a proper free was refused");
}

/* A physical address is handed to the heap where a pointer should be. */
static void free_physical(struct score *s)
{
    struct score_world *w = &score_world;
    void *p = kc_heap_alloc(&w->heap, 64, 0);
    kc_pa_t pa = kc_frame_ptr_pa(&w->frames, p);
    bool same = (uintptr_t)kc_pa_raw(pa) == (uintptr_t)p; /* 32 bits may hide the difference */
    score_begin(s, SCORE_FREE);
    if (!same) {
        (void)kc_heap_free(&w->heap, (void *)(uintptr_t)kc_pa_raw(pa));
    }
    score_end(s);
    score_promise(s, kc_heap_free(&w->heap, p) == KC_OK, "a proper free was refused");
}

/* ---- user copies ---------------------------------------------------------------------------- */

#define USER       UINT64_C(0x10000)
#define USER_BYTES UINT64_C(0x10000)

static unsigned char bystander[64];

static struct kc_uwindow window(void)
{
    static struct kc_ucopy_plain plain;
    static struct kc_ucopy_judge judge;
    plain = (struct kc_ucopy_plain){bystander, sizeof(bystander)};
    judge = (struct kc_ucopy_judge){&score_world.frames, &plain, 1, &score_world.misuse};
    return (struct kc_uwindow){kc_uva(USER), USER_BYTES, &judge};
}

static bool is_all(const unsigned char *p, size_t n, unsigned char value)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != value) {
            return false;
        }
    }
    return true;
}

/*
 * Both ways between a block of 64 bytes and user address `user`; the copy from the user must leave
 * zeros in the block, all that is the block's. No user memory is there: what is not refused faults,
 * and that is not noticed.
 */
static void copy(struct score *s, uint64_t user, size_t n, bool from)
{
    struct score_world *w = &score_world;
    struct kc_uwindow win = window();
    unsigned char *p = (unsigned char *)kc_heap_alloc(&w->heap, 64, 0);
    score_promise(s, p != NULL, "no memory for the case");
    if (p == NULL) {
        return;
    }
    __builtin_memset(p, 0x77, 64);
    score_begin(s, SCORE_COPY);
    uint64_t before = s->seen;
    kc_status_t status = KC_ERR_FAULT;
    /* Beyond the block without a judge: the harness's memory would be zeroed. */
    if (n <= 64 || KC_HARDENING >= KC_HARDENING_CHECKED) {
        status = from ? kc_ucopy_from(&win, p, kc_uva(user), n, NULL)
                      : kc_ucopy_to(&win, kc_uva(user), p, n, NULL);
        bool whole = from ? is_all(p, 64, 0) : is_all(p, 64, 0x77);
        score_promise(s, whole, from ? "the destination is not zero" : "the source was changed");
    }
    score_end(s);
    expect_refused(s, SCORE_COPY, status != KC_OK && status != KC_ERR_FAULT, before);
    score_promise(s, kc_heap_free(&w->heap, p) == KC_OK, "a proper free was refused");
}

static void copy_from(struct score *s)
{
    copy(s, USER, s->c->arg, true);
}

static void copy_to(struct score *s)
{
    copy(s, USER, s->c->arg, false);
}

/* The "user" address is the kernel's: both sides are. */
static void copy_from_kernel(struct score *s)
{
    copy(s, (UINT64_C(1) << 63) + s->c->arg, 64, true);
}

static void copy_to_kernel(struct score *s)
{
    copy(s, (UINT64_C(1) << 63) + s->c->arg, 64, false);
}

static void copy_across_window(struct score *s)
{
    copy(s, USER + USER_BYTES - 32, 64, true);
}

static void copy_wrapping(struct score *s)
{
    copy(s, UINT64_MAX - 31, 64, true);
}

static void copy_null(struct score *s)
{
    copy(s, 0, 64, true);
}

/* The kernel side is at p, which is no object. */
static void copy_with(struct score *s, void *p, size_t n, bool from)
{
    struct kc_uwindow win = window();
    score_begin(s, SCORE_COPY);
    uint64_t before = s->seen;
    /* Outside the window, so that nothing is touched where nobody judges. */
    kc_status_t status = KC_ERR_RANGE;
    if (KC_HARDENING >= KC_HARDENING_CHECKED || !from) {
        status = from ? kc_ucopy_from(&win, p, kc_uva(USER), n, NULL)
                      : kc_ucopy_to(&win, kc_uva(0), p, n, NULL);
    }
    score_end(s);
    expect_refused(s, SCORE_COPY, status == KC_ERR_STATE, before);
}

static void copy_to_stack_frame(struct score *s)
{
    uint64_t local[4] = {7, 7, 7, 7};
    copy_with(s, local, sizeof(local), true);
    score_promise(s, local[0] == 7 && local[3] == 7, "the stack was written");
}

static void copy_of_text(struct score *s)
{
    copy_with(s, (void *)(uintptr_t)copy_with, 64, false);
}

static void copy_beyond_static(struct score *s)
{
    copy_with(s, bystander, sizeof(bystander) + 1, false);
}

static void copy_of_freed(struct score *s)
{
    struct score_world *w = &score_world;
    void *stays = kc_heap_alloc(&w->heap, 64, 0);
    void *p = kc_heap_alloc(&w->heap, 64, 0);
    score_promise(s, kc_heap_free(&w->heap, p) == KC_OK, "a proper free was refused");
    copy_with(s, p, 64, false);
    score_promise(s, kc_heap_free(&w->heap, stays) == KC_OK, "a proper free was refused");
}

static void copy_of_table(struct score *s)
{
    copy_with(s, kc_plat_ram(kc_pt_root(&score_world.pt)), 8, false);
}

static void struct_too_big(struct score *s)
{
    struct kc_uwindow win = window();
    score_begin(s, SCORE_COPY);
    uint64_t before = s->seen;
    kc_status_t status = kc_ucopy_struct_from(&win, bystander, sizeof(bystander), kc_uva(USER),
                                              KC_UCOPY_STRUCT_MAX + 1);
    score_end(s);
    score_promise(s, is_all(bystander, sizeof(bystander), 0), "the destination is not zero");
    expect_refused(s, SCORE_COPY, status == KC_ERR_UNSUPPORTED, before);
}

/* ---- mappings: what an access finds is asked of the tables ---------------------------------- */

/* Two pages of an area with guards, mapped so; the address of the first. */
static uint64_t map_so(struct score *s, uint32_t perm, kc_status_t *status)
{
    struct score_world *w = &score_world;
    struct kc_aspace_request rq = {.bytes = 2 * KC_FRAME_BYTES, .guard_bytes = KC_FRAME_BYTES};
    kc_ia_t ia = kc_ia(0);
    score_promise(s, kc_aspace_reserve(&w->space, &rq, &ia) == KC_OK, "no area");
    *status = kc_aspace_map_new(&w->space, ia, rq.bytes, kc_pt_attr(perm, KC_A64_MEM_NORMAL, true));
    return kc_ia_raw(ia);
}

static void release(struct score *s, uint64_t at)
{
    score_promise(s, kc_aspace_release(&score_world.space, kc_ia(at)) == KC_OK, "not released");
}

static void map_refused(struct score *s)
{
    kc_status_t status;
    score_begin(s, SCORE_CALL);
    uint64_t before = s->seen;
    uint64_t at = map_so(s, (uint32_t)s->c->arg, &status);
    score_end(s);
    expect_refused(s, SCORE_CALL, status != KC_OK, before);
    release(s, at);
}

/* A page of those permissions is accessed as `need` says. */
static void access_page(struct score *s, uint32_t perm, uint32_t need, enum score_at as)
{
    kc_status_t status;
    struct kc_pt_walk walk;
    uint64_t at = map_so(s, perm, &status);
    score_promise(s, status == KC_OK, "a proper mapping was refused");
    score_begin(s, as);
    uint64_t before = s->seen;
    status = kc_pt_translate(&score_world.pt, kc_ia(at), &walk);
    score_end(s);
    /* The bits of the descriptor itself, not what was asked for. */
    bool writable = (walk.leaf.ap & 2u) == 0;
    bool denied = ((need & KC_PT_X) != 0 && walk.leaf.pxn) || ((need & KC_PT_W) != 0 && !writable);
    expect_refused(s, as, status == KC_OK && denied, before);
    release(s, at);
}

static void execute_data(struct score *s)
{
    access_page(s, KC_PT_R | KC_PT_W, KC_PT_X, SCORE_ACCESS);
}

static void execute_rodata(struct score *s)
{
    access_page(s, KC_PT_R, KC_PT_X, SCORE_ACCESS);
}

static void write_rodata(struct score *s)
{
    access_page(s, KC_PT_R, KC_PT_W, SCORE_WRITE);
}

static void write_text(struct score *s)
{
    access_page(s, KC_PT_R | KC_PT_X, KC_PT_W, SCORE_WRITE);
}

static void write_after_init(struct score *s)
{
    struct score_world *w = &score_world;
    struct kc_pt_walk walk;
    kc_status_t status;
    uint64_t at = map_so(s, KC_PT_R | KC_PT_W, &status);
    score_promise(s,
                  kc_aspace_protect(&w->space, kc_ia(at), 2 * KC_FRAME_BYTES,
                                    kc_pt_attr(KC_PT_R, KC_A64_MEM_NORMAL, true)) == KC_OK,
                  "not protected");
    score_begin(s, SCORE_WRITE);
    uint64_t before = s->seen;
    status = kc_pt_translate(&w->pt, kc_ia(at + KC_FRAME_BYTES), &walk);
    score_end(s);
    expect_refused(s, SCORE_WRITE, status == KC_OK && (walk.leaf.ap & 2u) != 0, before);
    release(s, at);
}

/* arg: 0 the byte before the area, 1 the byte behind it. */
static void access_guard(struct score *s)
{
    struct kc_a64_syndrome abort;
    kc_status_t status;
    uint64_t at = map_so(s, KC_PT_R | KC_PT_W, &status);
    uint64_t missed = s->c->arg == 0 ? at - 1 : at + 2 * KC_FRAME_BYTES;
    kc_a64_esr_decode(UINT64_C(0x96000007), &abort); /* a translation fault of EL1, level 3 */
    score_begin(s, SCORE_ACCESS);
    uint64_t before = s->seen;
    struct kc_pt_walk walk;
    bool there = kc_pt_translate(&score_world.pt, kc_ia(missed), &walk) == KC_OK;
    enum kc_aspace_verdict verdict = kc_aspace_fault(&score_world.space, &abort, missed);
    score_end(s);
    expect_refused(s, SCORE_ACCESS, !there && verdict == KC_FAULT_GUARD, before);
    release(s, at);
}

static void access_null(struct score *s)
{
    struct kc_a64_syndrome abort;
    struct kc_pt_walk walk;
    kc_a64_esr_decode(UINT64_C(0x96000007), &abort);
    score_begin(s, SCORE_ACCESS);
    uint64_t before = s->seen;
    bool there = kc_pt_translate(&score_world.pt, kc_ia(0), &walk) == KC_OK;
    enum kc_aspace_verdict verdict = kc_aspace_fault(&score_world.space, &abort, 0);
    score_end(s);
    expect_refused(s, SCORE_ACCESS, !there && verdict == KC_FAULT_NO_AREA, before);
}

static void unmap_twice(struct score *s)
{
    struct score_world *w = &score_world;
    kc_status_t status;
    uint64_t at = map_so(s, KC_PT_R, &status);
    release(s, at);
    score_begin(s, SCORE_CALL);
    uint64_t before = s->seen;
    status = kc_aspace_release(&w->space, kc_ia(at));
    score_end(s);
    expect_refused(s, SCORE_CALL, status != KC_OK, before);
}

/* ---- ends, sums, tags ----------------------------------------------------------------------- */

static void end_cache_twice(struct score *s)
{
    struct score_world *w = &score_world;
    struct kc_cache_config c = {.name = "subject", .object_bytes = 64, .misuse = &w->misuse};
    score_promise(s, kc_cache_init(&w->cache, &c, &w->frames) == KC_OK, "no cache");
    score_promise(s, kc_cache_fini(&w->cache) == KC_OK, "a proper end was refused");
    score_begin(s, SCORE_CALL);
    uint64_t before = s->seen;
    kc_status_t status = kc_cache_fini(&w->cache);
    score_end(s);
    expect_refused(s, SCORE_CALL, status != KC_OK, before);
}

static void use_ended_pool(struct score *s)
{
    struct score_world *w = &score_world;
    static uint64_t memory[64];
    struct kc_pool_config c = {.name = "subject",
                               .memory = memory,
                               .memory_bytes = sizeof(memory),
                               .block_bytes = 32,
                               .misuse = &w->misuse};
    score_promise(s, kc_pool_init(&w->pool, &c) == KC_OK, "no pool");
    score_promise(s, kc_pool_fini(&w->pool) == KC_OK, "a proper end was refused");
    score_begin(s, SCORE_ALLOC);
    uint64_t before = s->seen;
    bool refused = kc_pool_alloc(&w->pool) == NULL;
    score_end(s);
    expect_refused(s, SCORE_ALLOC, refused, before);
}

/* What a constructor made is there at each use, also after clearing at free. */
static void construct(void *object)
{
    __builtin_memset(object, 0x33, 64);
}

static void constructor(struct score *s)
{
    struct score_world *w = &score_world;
    struct kc_cache_config c = {
        .name = "subject", .object_bytes = 64, .ctor = construct, .misuse = &w->misuse};
    score_promise(s, kc_cache_init(&w->cache, &c, &w->frames) == KC_OK, "no cache");
    for (uint32_t i = 0; i < 4; i++) {
        unsigned char *p = (unsigned char *)kc_cache_alloc(&w->cache, 0);
        score_promise(s, p != NULL && is_all(p, 64, 0x33), "not as the constructor made it");
        score_promise(s, kc_cache_free(&w->cache, p) == KC_OK, "a proper free was refused");
    }
    score_begin(s, SCORE_ALLOC);
    uint64_t before = s->seen;
    bool refused = kc_cache_alloc(&w->cache, KC_CACHE_ZERO) == NULL;
    score_end(s);
    expect_refused(s, SCORE_ALLOC, refused, before);
    score_promise(s, kc_cache_fini(&w->cache) == KC_OK, "a proper end was refused");
}

/* All that was freed goes back to the frames, and the counts say so. */
static void give_back(struct score *s)
{
    struct score_world *w = &score_world;
    struct kc_heap_stats before;
    struct kc_heap_stats now;
    void *p[40];
    kc_heap_stats(&w->heap, &before);
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
        p[i] = kc_heap_alloc(&w->heap, 100 + 200 * i, 0);
    }
    kc_heap_stats(&w->heap, &now);
    score_promise(s, now.live == before.live + KC_ARRAY_COUNT(p), "live blocks are counted wrong");
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
        score_promise(s, kc_heap_free(&w->heap, p[i]) == KC_OK, "a proper free was refused");
    }
    score_promise(s, kc_heap_shrink(&w->heap) != 0, "nothing was held");
    kc_heap_stats(&w->heap, &now);
    score_promise(s,
                  now.frames_bytes == before.frames_bytes && now.live == before.live &&
                      now.alloc_count - now.free_count == now.live,
                  "not all was given back, or counted");
}

/* Objects have all of their stride, but for a redzone at full: there is no header to corrupt. */
static void no_header(struct score *s)
{
    struct score_world *w = &score_world;
    struct kc_cache_config c = {.name = "subject", .object_bytes = 512, .misuse = &w->misuse};
    struct kc_cache_stats stats;
    const size_t redzone = KC_CACHE_REDZONE_BYTES;
    score_promise(s, kc_cache_init(&w->cache, &c, &w->frames) == KC_OK, "no cache");
    kc_cache_stats(&w->cache, &stats);
    score_promise(s, stats.stride_bytes - stats.object_bytes == redzone,
                  "there is something between two objects");
    score_promise(s, kc_cache_fini(&w->cache) == KC_OK, "a proper end was refused");
}

/*
 * A pointer of an allocator carries no tag where there are none; else never one that could be set
 * to match all, and neighbours differ in whether theirs is odd.
 */
static void tags(struct score *s)
{
    struct score_world *w = &score_world;
    static void *p[SCORE_HELD_MAX];
    for (uint32_t i = 0; i < SCORE_HELD_MAX; i++) {
        p[i] = kc_heap_alloc(&w->heap, 64, 0);
        kc_pa_t pa = kc_frame_ptr_pa(&w->frames, p[i]);
        score_promise(s, kc_plat_ram(pa) == kc_tag_strip(p[i]), "an address is not of its pointer");
        uint32_t tag = kc_plat_tag_get(kc_plat_ram(pa));
        score_promise(s, kc_plat_tag_with(p[i], tag) == p[i] && (tag != 0) == score_has_tags(),
                      "a pointer does not have its memory's tag");
        score_promise(s, tag != 15, "a tag that may match all");
        for (uint32_t k = 0; k < i; k++) {
            uintptr_t a = (uintptr_t)kc_tag_strip(p[i]);
            uintptr_t b = (uintptr_t)kc_tag_strip(p[k]);
            bool beside = a - b == KC_TAG_GRANULE * 5 || b - a == KC_TAG_GRANULE * 5;
            score_promise(s, tag == 0 || !beside || ((kc_plat_tag_get(p[k]) ^ tag) & 1) != 0,
                          "neighbours have like tags");
        }
    }
    for (uint32_t i = 0; i < SCORE_HELD_MAX; i++) {
        score_promise(s, kc_heap_free(&w->heap, p[i]) == KC_OK, "a proper free was refused");
    }
}

/* A report is a value of fixed size, made and kept without memory of any kind. */
static void report_without_memory(struct score *s)
{
    struct score_world *w = &score_world;
    struct kc_frame_stats before;
    struct kc_frame_stats now;
    void *p = kc_heap_alloc(&w->heap, 64, 0);
    kc_frames_fail_run(&w->frames, 0, UINT64_MAX);
    kc_frame_stats(&w->frames, &before);
    score_begin(s, SCORE_FREE);
    (void)kc_heap_free(&w->heap, (unsigned char *)p + 1);
    score_end(s);
    kc_frame_stats(&w->frames, &now);
    score_promise(s, now.alloc_count == before.alloc_count && now.fail_count == before.fail_count,
                  "a report asked for memory");
    kc_frames_fail_after(&w->frames, UINT64_MAX);
    score_promise(s, kc_heap_free(&w->heap, p) == KC_OK, "a proper free was refused");
}

#define C SCORE_CORE

static const struct score_case cases[] = {
    {"list-add", "LKDTM CORRUPT_LIST_ADD", "a link is added where a neighbour was overwritten", C,
     0, 0, list_add_smashed},
    {"list-del", "LKDTM CORRUPT_LIST_DEL", "a link is deleted whose neighbour was overwritten", C,
     0, 0, list_del_smashed},
    {"list-twice", "LKDTM CORRUPT_LIST_ADD, double add", "a link is added that is in the list", C,
     0, 0, list_add_twice},
    {"ref-over", "LKDTM REFCOUNT_INC_OVERFLOW, ADD_OVERFLOW, INC_SATURATED, ADD_SATURATED",
     "a reference count is taken over its greatest value", C, 0, 0, ref_overflow},
    {"ref-under", "LKDTM REFCOUNT_DEC_NEGATIVE, DEC_AND_TEST_NEGATIVE, DEC_SATURATED",
     "a reference is given back that nobody holds", C, 0, 0, ref_underflow},
    {"ref-zero", "LKDTM REFCOUNT_INC_ZERO, ADD_ZERO, INC_NOT_ZERO_SATURATED",
     "a reference is taken to an object that ended", C, 0, 0, ref_from_none},
    {"frame-ref-over", "LKDTM REFCOUNT_INC_OVERFLOW, of a page",
     "a reference more than 65535 is taken to a frame", C, 0, 0, frame_ref_overflow},
    {"frame-ref-under", "LKDTM REFCOUNT_DEC_NEGATIVE, of a page",
     "a reference is given back to a free frame", C, 0, 0, frame_ref_underflow},
    {"frame-of-cache", "LKDTM SLAB_FREE_PAGE; KASAN kmalloc_pagealloc_invalid_free",
     "the frame under a live object is freed as a frame", C, 0, 0, free_frame_of_cache},
    {"physical", "KASAN kmalloc_large free by page, by physical address",
     "a physical address is freed as a pointer", C, 0, 0, free_physical},
    {"copy-from-over", "LKDTM USERCOPY_SLAB_SIZE_TO; KASAN copy_user_test_oob",
     "65 bytes are copied from the user to a block of 64", C, 0, 65, copy_from},
    {"copy-to-over", "LKDTM USERCOPY_SLAB_SIZE_FROM; KASAN copy_user_test_oob",
     "65 bytes are copied to the user from a block of 64", C, 0, 65, copy_to},
    {"copy-from-page", "LKDTM USERCOPY_SLAB_SIZE_TO", "a page is copied to a block of 64 bytes", C,
     0, 4096, copy_from},
    {"copy-negative", "KASAN kmalloc_memmove_negative_size; usercopy",
     "minus two bytes are copied from the user", C, 0, SIZE_MAX - 1, copy_from},
    {"copy-negative-to", "KASAN kmalloc_memmove_negative_size; usercopy",
     "minus two bytes are copied to the user", C, 0, SIZE_MAX - 1, copy_to},
    {"copy-from-kernel", "usercopy KUnit usercopy_test_invalid, all-kernel",
     "kernel memory is named as the user's, to be read", C, 0, 0x1000, copy_from_kernel},
    {"copy-to-kernel", "usercopy KUnit usercopy_test_invalid, reversed",
     "kernel memory is named as the user's, to be written", C, 0, 0x1000, copy_to_kernel},
    {"copy-across", "usercopy KUnit usercopy_test_invalid",
     "the user's range leaves the user's half", C, 0, 0, copy_across_window},
    {"copy-wrap", "usercopy KUnit usercopy_test_invalid", "the user's range wraps around", C, 0, 0,
     copy_wrapping},
    {"copy-null", "LKDTM ACCESS_NULL, by copy", "address 0 is named as the user's", C, 0, 0,
     copy_null},
    {"copy-stack", "LKDTM USERCOPY_STACK_FRAME_TO, STACK_BEYOND",
     "the user's bytes are copied to a stack that nobody declared", C, 0, 0, copy_to_stack_frame},
    {"copy-text", "LKDTM USERCOPY_KERNEL", "text of the kernel is copied to the user", C, 0, 0,
     copy_of_text},
    {"copy-static", "LKDTM USERCOPY_SLAB_WHITELIST_FROM",
     "a byte more than a declared variable is copied to the user", C, 0, 0, copy_beyond_static},
    {"copy-freed", "KASAN copy_user_test_oob on freed memory",
     "a freed block is copied to the user", C, 0, 0, copy_of_freed},
    {"copy-table", "LKDTM USERCOPY_KERNEL", "a translation table is copied to the user", C, 0, 0,
     copy_of_table},
    {"struct-big", "usercopy KUnit copy_struct_from_user, too big",
     "a structure of the user's is greater than any", C, 0, 0, struct_too_big},
    {"map-wx", "LKDTM EXEC_VMALLOC, EXEC_DATA", "memory is mapped writable and executable", C, 0,
     KC_PT_R | KC_PT_W | KC_PT_X, map_refused},
    {"map-user", "LKDTM ACCESS_USERSPACE, EXEC_USERSPACE",
     "kernel memory is mapped with user permission", C, 0, KC_PT_R | KC_PT_W | KC_PT_USER,
     map_refused},
    {"exec-data", "LKDTM EXEC_DATA, EXEC_STACK, EXEC_KMALLOC, EXEC_VMALLOC",
     "writable memory is executed", C, 0, 0, execute_data},
    {"exec-rodata", "LKDTM EXEC_RODATA", "read-only data is executed", C, 0, 0, execute_rodata},
    {"write-ro", "LKDTM WRITE_RO", "read-only data is written", C, 0, 0, write_rodata},
    {"write-ro-init", "LKDTM WRITE_RO_AFTER_INIT", "data that was made read-only is written", C, 0,
     0, write_after_init},
    {"write-text", "LKDTM WRITE_KERN", "text is written", C, 0, 0, write_text},
    {"guard-before", "LKDTM STACK_GUARD_PAGE_LEADING; KASAN vmalloc_oob",
     "the byte before a stack or area is accessed", C, 0, 0, access_guard},
    {"guard-behind", "LKDTM STACK_GUARD_PAGE_TRAILING; KASAN vmalloc_oob",
     "the byte behind a stack or area is accessed", C, 0, 1, access_guard},
    {"null", "LKDTM ACCESS_NULL, EXEC_NULL", "address 0 is accessed", C, 0, 0, access_null},
    {"unmap-twice", "KASAN vmalloc helpers, vm_map_ram", "an area is given back twice", C, 0, 0,
     unmap_twice},
    {"cache-end-twice", "KASAN kmem_cache_double_destroy", "a cache is ended twice", C, 0, 0,
     end_cache_twice},
    {"pool-ended", "KASAN mempool destroyed", "a block is asked of a pool that was ended", C, 0, 0,
     use_ended_pool},
    {"ctor", "KFENCE test_memcache_ctor", "zeroed memory is asked for where a constructor made it",
     C, 0, 0, constructor},
    {"give-back", "Scudo release to the system, cache drain, statistics",
     "all that was freed is given back (no mistake)", C, 0, 0, give_back},
    {"no-header", "Scudo header corruption", "the property: no header beside objects", C, 0, 0,
     no_header},
    {"tags", "KASAN match_all_not_assigned; Scudo odd and even tags",
     "the property: no pointer has a tag that matches all, or its neighbour's", C, 0, 0, tags},
    {"no-memory", "Scudo ring buffer, stack depot", "the property: a report needs no memory", C, 0,
     0, report_without_memory},
};

const struct score_group score_modules = {"modules", cases, KC_ARRAY_COUNT(cases)};
