/* SPDX-License-Identifier: BSD-2-Clause */
/* Cases: what is given back that should not be: twice, from elsewhere, at another size. */
#include <kc/tag.h>

#include "score.h"

#define CLOSE_BLOCKS 24u
#define CHURN        12u /* blocks that come and go between two frees of one */

/* Two neighbours stay, so that what the block lies in stays too. */
static unsigned char *among_others(struct score *s)
{
    (void)score_get(s, s->c->size);
    unsigned char *p = (unsigned char *)score_get(s, s->c->size);
    (void)score_get(s, s->c->size);
    return p;
}

static void twice(struct score *s)
{
    unsigned char *p = among_others(s);
    score_put(s, p);
    (void)score_free(s, p);
}

/* Others are freed in between: what only remembers its last free is led astray. */
static void twice_delayed(struct score *s)
{
    unsigned char *p = among_others(s);
    unsigned char *q = (unsigned char *)score_get(s, s->c->size);
    score_put(s, p);
    score_put(s, q);
    (void)score_free(s, p);
}

static void churn(struct score *s)
{
    void *p[CHURN];
    for (uint32_t i = 0; i < CHURN; i++) {
        p[i] = score_get(s, s->c->size);
    }
    for (uint32_t i = 0; i < CHURN; i++) {
        score_put(s, p[i]);
    }
}

/* Many blocks were freed since: a quarantine of as many has let the first one go. */
static void twice_after_many(struct score *s)
{
    unsigned char *p = among_others(s);
    void *q[CHURN];
    for (uint32_t i = 0; i < CHURN; i++) {
        q[i] = score_get(s, s->c->size);
    }
    score_put(s, p);
    for (uint32_t i = 0; i < CHURN; i++) {
        score_put(s, q[i]);
    }
    (void)score_free(s, p);
}

/* The block has a new owner when its old one frees it again, who then loses it. */
static void twice_after_reuse(struct score *s)
{
    unsigned char *p = among_others(s);
    score_put(s, p);
    void *q = score_alloc(s, s->c->size);
    if (score_free(s, p) && q == p) {
        score_let(s, q);
    }
}

/* Each of a list is freed, one stands in it twice: exactly one report. */
static void bulk_with_one_twice(struct score *s)
{
    void *p[6];
    for (uint32_t i = 0; i < 5; i++) {
        p[i] = score_get(s, s->c->size);
    }
    p[5] = p[1];
    for (uint32_t i = 0; i < 6; i++) {
        (void)score_free(s, p[i]);
    }
}

static void inner(struct score *s)
{
    unsigned char *p = among_others(s);
    (void)score_free(s, p + s->c->arg);
}

/* An inner address of a block that is free. */
static void inner_of_free(struct score *s)
{
    unsigned char *p = among_others(s);
    score_put(s, p);
    (void)score_free(s, p + s->c->arg);
}

/* A block that was never handed out: between two that were, or else behind the last. */
static void close_by(struct score *s)
{
    uintptr_t last = 0;
    uintptr_t free = 0;
    for (uint32_t i = 0; i < CLOSE_BLOCKS; i++) {
        (void)score_get(s, s->c->size);
    }
    uintptr_t apart = score_apart(s);
    for (uint32_t i = 0; i < s->held_count; i++) {
        uintptr_t at = (uintptr_t)kc_tag_strip(s->held[i]);
        last = at > last ? at : last;
    }
    /* Between two that were: behind the last there may be no block. */
    for (uint32_t i = 0; i < s->held_count; i++) {
        uintptr_t at = (uintptr_t)kc_tag_strip(s->held[i]) + apart;
        if (at < last && at / 4096 == last / 4096 && score_held(s, at) == NULL) {
            free = at;
        }
    }
    (void)score_free(s, (void *)(free != 0 ? free : last + apart));
}

static void address(struct score *s)
{
    (void)score_get(s, s->c->size);
    (void)score_free(s, (void *)(uintptr_t)s->c->arg);
}

static void far_away(struct score *s)
{
    unsigned char *p = (unsigned char *)score_get(s, s->c->size);
    (void)score_free(s, (void *)((uintptr_t)p + ((uintptr_t)1 << 28)));
}

static void on_the_stack(struct score *s)
{
    uint64_t block[8] = {0};
    (void)score_get(s, s->c->size);
    (void)score_free(s, &block[2]);
}

static void of_static_storage(struct score *s)
{
    static uint64_t block[8];
    (void)score_get(s, s->c->size);
    (void)score_free(s, &block[2]);
}

/* A pointer that was never written: whatever the memory held before. */
static void uninitialised(struct score *s)
{
    (void)score_get(s, s->c->size);
    (void)score_free(s, (void *)(uintptr_t)0x6b6b6b6b6b6b6b6bULL);
}

static void of_another(struct score *s)
{
    (void)score_get(s, s->c->size);
    void *q = s->a->other_alloc(s->c->size);
    score_promise(s, q != NULL, "no block of the other one");
    if (score_free(s, q)) {
        return;
    }
    score_promise(s, s->a->other_free(q), "its owner could not free it after the refusal");
}

static void sized(struct score *s)
{
    unsigned char *p = among_others(s);
    score_begin(s, SCORE_FREE);
    uint64_t before = s->seen;
    bool done = s->a->free_sized(p, s->c->arg);
    score_end(s);
    if (done) {
        score_let(s, p);
    } else if (s->seen == before) {
        score_refuse(s, SCORE_FREE);
    }
}

static void sized_twice(struct score *s)
{
    unsigned char *p = among_others(s);
    score_let(s, p);
    score_promise(s, s->a->free_sized(p, s->c->arg), "a proper free was refused");
    score_begin(s, SCORE_FREE);
    (void)s->a->free_sized(p, s->c->arg);
    score_end(s);
}

/* ---- resize and questions ------------------------------------------------------------------- */

static void resize_of(struct score *s, void *p)
{
    score_begin(s, SCORE_CALL);
    uint64_t before = s->seen;
    void *q = s->a->resize(p, 2 * s->c->size);
    score_end(s);
    if (q != NULL) {
        score_hold(s, q);
    } else if (s->seen == before) {
        score_refuse(s, SCORE_CALL);
    }
}

static void resize_freed(struct score *s)
{
    unsigned char *p = among_others(s);
    score_put(s, p);
    resize_of(s, p);
}

static void resize_inner(struct score *s)
{
    unsigned char *p = among_others(s);
    resize_of(s, p + s->c->arg);
}

static void resize_foreign(struct score *s)
{
    static uint64_t block[8];
    resize_of(s, &block[2]);
}

static void resize_uninitialised(struct score *s)
{
    resize_of(s, (void *)(uintptr_t)0x6b6b6b6b6b6b6b6bULL);
}

static void ask(struct score *s, void *p)
{
    score_begin(s, SCORE_CALL);
    if (s->a->usable(p) == 0) {
        score_refuse(s, SCORE_CALL);
    }
    score_end(s);
}

static void usable_of_freed(struct score *s)
{
    unsigned char *p = among_others(s);
    score_put(s, p);
    ask(s, p);
}

static void usable_of_inner(struct score *s)
{
    unsigned char *p = among_others(s);
    ask(s, p + s->c->arg);
}

static void usable_of_foreign(struct score *s)
{
    static uint64_t block[8];
    ask(s, &block[2]);
}

static void usable_of_uninitialised(struct score *s)
{
    ask(s, (void *)(uintptr_t)0x6b6b6b6b6b6b6b6bULL);
}

/* Freed, then others are: the block is where a quarantine would keep it. */
static void usable_in_quarantine(struct score *s)
{
    unsigned char *p = among_others(s);
    score_put(s, p);
    churn(s);
    ask(s, p);
}

static void end_while_live(struct score *s)
{
    (void)among_others(s);
    score_begin(s, SCORE_CALL);
    score_promise(s, !s->a->end(), "it was ended with blocks live");
    score_end(s);
}

static const struct score_case cases[] = {
    {"twice",
     "KASAN kmalloc_double_kzfree; KFENCE test_double_free; LKDTM SLAB_FREE_DOUBLE; "
     "hardened_malloc double_free_small; mimalloc-bench double free immediate",
     "a block is freed twice, at once", SCORE_SMALL, 64, 0, twice},
    {"twice-4k", "KASAN page double free; mimalloc-bench double free 4 KiB",
     "a 4 KiB block is freed twice, at once", 0, 4096, 0, twice},
    {"twice-256k", "KASAN kmalloc_large_double_free; hardened_malloc double_free_large",
     "a 256 KiB block is freed twice, at once", SCORE_LARGE, 262144, 0, twice},
    {"twice-delayed",
     "hardened_malloc double_free_small_delayed; mimalloc-bench double free "
     "delayed, interleaved",
     "a block is freed, another, then the first again", SCORE_SMALL, 64, 0, twice_delayed},
    {"twice-delayed-4k", "mimalloc-bench double free interleaved",
     "a 4 KiB block is freed, another, then the first again", 0, 4096, 0, twice_delayed},
    {"twice-delayed-256k", "hardened_malloc double_free_large_delayed",
     "a 256 KiB block is freed, another, then the first again", SCORE_LARGE, 262144, 0,
     twice_delayed},
    {"twice-many", "hardened_malloc double_free_small through the quarantine",
     "a block is freed, twelve others, then the first again", SCORE_SMALL, 64, 0, twice_after_many},
    {"twice-reused", "mimalloc-bench double free after reuse",
     "a block is freed, handed out anew, and freed by its first owner", SCORE_SMALL, 64, 0,
     twice_after_reuse},
    {"twice-reused-4k", "mimalloc-bench double free after reuse 4 KiB",
     "a 4 KiB block is freed, handed out anew, and freed by its first owner", 0, 4096, 0,
     twice_after_reuse},
    {"bulk", "KASAN kmem_cache_bulk; KFENCE test_free_bulk",
     "a list of blocks is freed, in which one stands twice", SCORE_SMALL, 64, 0,
     bulk_with_one_twice},
    {"inner-1", "hardened_malloc unaligned_free_small; Scudo misaligned pointer",
     "the second byte of a block is freed", SCORE_SMALL, 64, 1, inner},
    {"inner-8", "KASAN kmem_cache_invalid_free; KFENCE test_invalid_addr_free",
     "an inner, aligned address of a block is freed", SCORE_SMALL, 64, 8, inner},
    {"inner-4k", "KASAN page_alloc invalid free; mimalloc-bench unaligned",
     "an inner address of a 4 KiB block is freed", 0, 4096, 16, inner},
    {"inner-256k", "KASAN kmalloc_large_invalid_free; hardened_malloc unaligned_free_large",
     "the second page of a 256 KiB block is freed", SCORE_LARGE, 262144, 4096, inner},
    {"inner-free", "Scudo chunk state", "an inner address of a freed block is freed", SCORE_SMALL,
     64, 8, inner_of_free},
    {"close", "mimalloc-bench invalid free close; hardened_malloc invalid_free_small_region",
     "a block that was never handed out is freed", SCORE_SMALL | SCORE_DENSE, 64, 64, close_by},
    {"far", "mimalloc-bench invalid free far; hardened_malloc invalid_free_small_region_far",
     "an address 256 MiB on is freed", SCORE_PLAIN, 4096, 0, far_away},
    {"low", "LKDTM ACCESS_NULL", "a small integer is freed", SCORE_PLAIN, 4096, 0x10, address},
    {"top", "hardened_malloc invalid_free_protected", "the last address of all is freed",
     SCORE_PLAIN, 4096, SIZE_MAX, address},
    {"stack", "mimalloc-bench invalid free stack, alloca; LKDTM", "a local variable is freed",
     SCORE_PLAIN, 4096, 0, on_the_stack},
    {"static", "hardened_malloc invalid_free_unprotected", "a variable of static storage is freed",
     SCORE_PLAIN, 4096, 0, of_static_storage},
    {"uninitialised", "hardened_malloc uninitialized_free", "a pointer that was never set is freed",
     SCORE_PLAIN, 4096, 0, uninitialised},
    {"cross", "LKDTM SLAB_FREE_CROSS; Scudo type mismatch",
     "a block is freed to another allocator of the same kind", SCORE_TWO, 64, 0, of_another},
    {"sized-less", "hardened_malloc delete_type_size_mismatch; Scudo size mismatch",
     "a block of 200 bytes is freed as one of 16", SCORE_SIZED | SCORE_ANY_SIZE, 200, 16, sized},
    {"sized-more", "hardened_malloc delete_type_size_mismatch; Scudo size mismatch",
     "a block of 200 bytes is freed as one of 400", SCORE_SIZED | SCORE_ANY_SIZE, 200, 400, sized},
    {"sized-zero", "Scudo size mismatch", "a block of 200 bytes is freed as one of 0",
     SCORE_SIZED | SCORE_ANY_SIZE, 200, 0, sized},
    {"sized-large", "hardened_malloc delete_type_size_mismatch, large",
     "a block of 256 KiB is freed as one of 128 KiB", SCORE_SIZED | SCORE_LARGE, 262144, 131072,
     sized},
    {"sized-twice", "Scudo chunk state", "a block is freed twice, with its right size",
     SCORE_SIZED | SCORE_ANY_SIZE, 64, 64, sized_twice},
    {"resize-freed", "KASAN krealloc_uaf; hardened_malloc realloc", "a freed block is resized",
     SCORE_RESIZE, 64, 0, resize_freed},
    {"resize-inner", "hardened_malloc uninitialized_realloc",
     "an inner address of a block is resized", SCORE_RESIZE, 64, 8, resize_inner},
    {"resize-foreign", "hardened_malloc uninitialized_realloc",
     "a variable of static storage is resized", SCORE_RESIZE, 64, 0, resize_foreign},
    {"resize-uninitialised", "hardened_malloc uninitialized_realloc",
     "a pointer that was never set is resized", SCORE_RESIZE, 64, 0, resize_uninitialised},
    {"usable-freed", "KASAN ksize_uaf; hardened_malloc malloc_object_size",
     "the usable size of a freed block is asked for", SCORE_USABLE, 64, 0, usable_of_freed},
    {"usable-inner", "hardened_malloc malloc_object_size_offset",
     "the usable size at an inner address is asked for", SCORE_USABLE, 64, 8, usable_of_inner},
    {"usable-foreign", "hardened_malloc invalid_malloc_usable_size",
     "the usable size of a variable of static storage is asked for", SCORE_USABLE, 64, 0,
     usable_of_foreign},
    {"usable-uninitialised", "hardened_malloc uninitialized_malloc_usable_size",
     "the usable size of a pointer that was never set is asked for", SCORE_USABLE, 64, 0,
     usable_of_uninitialised},
    {"usable-quarantine", "hardened_malloc invalid_malloc_object_size_small_quarantine",
     "the usable size of a block freed some frees ago is asked for", SCORE_USABLE, 64, 0,
     usable_in_quarantine},
    {"end-live", "SLUB KUnit test_leak_destroy; KASAN kmem_cache_double_destroy",
     "an allocator is ended while blocks are live", SCORE_FINI, 64, 0, end_while_live},
};

const struct score_group score_frees = {"frees", cases, KC_ARRAY_COUNT(cases)};
