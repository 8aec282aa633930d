/* SPDX-License-Identifier: BSD-2-Clause */
/* Cases: bytes before and behind a block, read and written. */
#include "score.h"

#define NEIGHBOURS_MAX 36u /* blocks taken until one has its neighbours among them */
#define NEIGHBOURS_MIN 24u /* so many are not all two places apart by chance */
#define LARGE_MAX      3u  /* of blocks above a page */

/* A held block with held ones right before it, at *before, and right behind it; NULL: none is. */
static unsigned char *with_neighbours(const struct score *s, unsigned char **before)
{
    uintptr_t apart = score_apart(s);
    for (uint32_t i = 0; i < s->held_count; i++) {
        uintptr_t at = (uintptr_t)s->held[i];
        *before = score_held(s, at - apart);
        if (*before != NULL && score_held(s, at + apart) != NULL) {
            return (unsigned char *)s->held[i];
        }
    }
    *before = NULL;
    return NULL;
}

/*
 * A block whose neighbours on both sides are live too, in whatever order blocks come. Where blocks
 * do not lie side by side, or are large: the second of three, and *before is NULL unless it is so.
 */
static unsigned char *between(struct score *s, unsigned char **before)
{
    bool many = (s->a->caps & SCORE_DENSE) != 0 && s->c->size <= 4096;
    unsigned char *p = NULL;
    unsigned char *second = NULL;
    for (uint32_t n = 0; n < (many ? NEIGHBOURS_MAX : LARGE_MAX) && p == NULL; n++) {
        unsigned char *taken = (unsigned char *)score_get(s, s->c->size);
        second = n == 1 ? taken : second;
        p = n + 1 >= (many ? NEIGHBOURS_MIN : LARGE_MAX) ? with_neighbours(s, before) : NULL;
    }
    return p != NULL ? p : second;
}

static unsigned char *middle(struct score *s)
{
    unsigned char *before = NULL;
    return between(s, &before);
}

/* What comes of it: the block is freed, and another is asked for. */
static void then_free(struct score *s, unsigned char *p)
{
    (void)score_free(s, p);
    if (s->at == SCORE_NEVER) {
        (void)score_alloc(s, s->c->size);
    }
}

static void write_over(struct score *s)
{
    unsigned char *p = middle(s);
    score_poke(s, p + s->c->size, s->c->arg, 0x5a);
    then_free(s, p);
}

/* What lies before a block is the one before it, which is freed too. */
static void write_under(struct score *s)
{
    unsigned char *before = NULL;
    unsigned char *p = between(s, &before);
    score_poke(s, p - s->c->arg, s->c->arg, 0x5a);
    if (before != NULL) {
        (void)score_free(s, before);
    }
    then_free(s, p);
}

/* Half of the bytes are still the block's, as with a memset that is too long. */
static void write_across(struct score *s)
{
    unsigned char *p = middle(s);
    size_t own = s->c->arg / 2;
    unsigned char *inside = (unsigned char *)score_touch(s, p + s->c->size - own, own, true);
    if (inside != NULL) {
        __builtin_memset(inside, 0x5a, own);
    }
    score_poke(s, p + s->c->size, s->c->arg - own, 0x5a);
    then_free(s, p);
}

static void read_over(struct score *s)
{
    unsigned char *p = middle(s);
    score_peek(s, p + s->c->size, s->c->arg);
}

static void read_under(struct score *s)
{
    unsigned char *p = middle(s);
    score_peek(s, p - s->c->arg, s->c->arg);
}

static void flood(struct score *s, bool over)
{
    size_t hole = s->c->size <= 4096 ? 32 * 4096 : 4 * s->c->size;
    score_promise(s, s->a->moat == NULL || s->a->moat(hole), "no moat");
    unsigned char *p = middle(s);
    score_flood(s, over ? p + s->c->size : p - s->c->arg, s->c->arg, 0x5a);
    if (s->a->check != NULL) {
        score_sweep(s); /* and no free: what is torn now is put back first */
    } else {
        then_free(s, p);
    }
}

static void flood_over(struct score *s)
{
    flood(s, true);
}

static void flood_under(struct score *s)
{
    flood(s, false);
}

/* A block that was made larger or smaller ends where it was told to, not where it once did. */
static void write_over_resized(struct score *s)
{
    unsigned char *p = (unsigned char *)score_get(s, s->c->size);
    unsigned char *q = (unsigned char *)s->a->resize(p, s->c->arg);
    score_promise(s, q != NULL, "a proper resize was refused");
    if (q != NULL) {
        score_let(s, p);
        score_hold(s, q);
        score_poke(s, q + s->c->arg, 1, 0x5a);
        then_free(s, q);
    }
}

static void read_over_resized(struct score *s)
{
    unsigned char *p = (unsigned char *)score_get(s, s->c->size);
    unsigned char *q = (unsigned char *)s->a->resize(p, s->c->arg);
    score_promise(s, q != NULL, "a proper resize was refused");
    if (q != NULL) {
        score_let(s, p);
        score_hold(s, q);
        score_peek(s, q + s->c->arg, 1);
    }
}

/* The first pointer, after the block was moved by a resize. */
static void write_moved(struct score *s)
{
    unsigned char *p = (unsigned char *)score_get(s, s->c->size);
    unsigned char *q = (unsigned char *)s->a->resize(p, s->c->arg);
    if (q != NULL && q != p) {
        score_let(s, p);
        score_hold(s, q);
        score_poke(s, p, 1, 0x5a);
        (void)score_alloc(s, s->c->size);
    }
}

static void write_over_aligned(struct score *s)
{
    unsigned char *p = (unsigned char *)s->a->alloc_aligned(s->c->size, s->c->arg);
    score_promise(s, p != NULL && (uintptr_t)p % s->c->arg == 0, "not aligned as asked");
    if (p != NULL) {
        score_hold(s, p);
        score_poke(s, p + s->c->size, 1, 0x5a);
        then_free(s, p);
    }
}

static void read_over_aligned(struct score *s)
{
    unsigned char *p = (unsigned char *)s->a->alloc_aligned(s->c->size, s->c->arg);
    score_promise(s, p != NULL && (uintptr_t)p % s->c->arg == 0, "not aligned as asked");
    if (p != NULL) {
        score_hold(s, p);
        score_peek(s, p + s->c->size, 1);
    }
}

/* Slack overwritten, the rest of the block moved elsewhere by a resize with zeroing. */
static void slack_then_resize(struct score *s)
{
    unsigned char *p = (unsigned char *)score_get(s, s->c->size);
    score_poke(s, p + s->c->size, 1, 0x5a);
    score_begin(s, SCORE_CALL);
    unsigned char *q = (unsigned char *)s->a->resize(p, s->c->arg);
    score_end(s);
    if (q != NULL) {
        score_let(s, p);
        score_hold(s, q);
    }
}

#define LARGE (SCORE_LARGE | SCORE_SMALL)

static const struct score_case cases[] = {
    /* behind */
    {"over-1", "KASAN kmalloc_oob_right; hardened_malloc overflow_small_1_byte",
     "one byte behind an 8-byte block is written", SCORE_SMALL, 8, 1, write_over},
    {"over-1-4k", "mimalloc-bench overflow 1; KASAN kmalloc_large_oob_right, page_alloc_oob_right",
     "one byte behind a 4 KiB block is written", 0, 4096, 1, write_over},
    {"over-1-256k", "mimalloc-bench overflow 1; hardened_malloc overflow_large_1_byte",
     "one byte behind a 256 KiB block is written", SCORE_LARGE, 262144, 1, write_over},
    {"over-8", "hardened_malloc overflow_small_8_byte; SLUB KUnit test_clobber_zone",
     "eight bytes behind an 8-byte block are written", SCORE_SMALL, 8, 8, write_over},
    {"over-8-256k", "hardened_malloc overflow_large_8_byte",
     "eight bytes behind a 256 KiB block are written", SCORE_LARGE, 262144, 8, write_over},
    {"over-32", "mimalloc-bench overflow 32", "32 bytes behind an 8-byte block are written",
     SCORE_SMALL, 8, 32, write_over},
    {"over-32-4k", "mimalloc-bench overflow 32", "32 bytes behind a 4 KiB block are written", 0,
     4096, 32, write_over},
    {"over-32-256k", "mimalloc-bench overflow 32", "32 bytes behind a 256 KiB block are written",
     SCORE_LARGE, 262144, 32, write_over},
    {"over-1m", "mimalloc-bench overflow 1 MiB", "a megabyte behind an 8-byte block is written",
     LARGE, 8, 1u << 20, flood_over},
    {"over-1m-4k", "mimalloc-bench overflow 1 MiB", "a megabyte behind a 4 KiB block is written",
     LARGE, 4096, 1u << 20, flood_over},
    {"over-1m-256k", "mimalloc-bench overflow 1 MiB",
     "a megabyte behind a 256 KiB block is written", LARGE, 262144, 1u << 20, flood_over},
    {"over-slack", "KASAN kmalloc_oob_right; KFENCE test_kmalloc_aligned_oob_write",
     "the byte behind a 61-byte block, in the slack of its class, is written", SCORE_SMALL, 61, 1,
     write_over},
    {"over-slack-large", "KASAN kmalloc_large_oob_right; KFENCE test_kmalloc_aligned_oob_write",
     "the byte behind a block of 9000 bytes, in the slack of its last frame, is written",
     SCORE_LARGE, 9000, 1, write_over},
    /* before */
    {"under-1", "KASAN kmalloc_oob_left; KFENCE test_out_of_bounds_write",
     "the byte before a 64-byte block is written", SCORE_SMALL, 64, 1, write_under},
    {"under-1-4k", "mimalloc-bench underflow 1", "the byte before a 4 KiB block is written", 0,
     4096, 1, write_under},
    {"under-1-256k", "mimalloc-bench underflow 1", "the byte before a 256 KiB block is written",
     SCORE_LARGE, 262144, 1, write_under},
    {"under-8", "Scudo header corruption, where others keep their header",
     "eight bytes before a 64-byte block are written", SCORE_SMALL, 64, 8, write_under},
    {"under-32", "mimalloc-bench underflow 32", "32 bytes before a 64-byte block are written",
     SCORE_SMALL, 64, 32, write_under},
    {"under-32-4k", "mimalloc-bench underflow 32", "32 bytes before a 4 KiB block are written", 0,
     4096, 32, write_under},
    {"under-32-256k", "mimalloc-bench underflow 32", "32 bytes before a 256 KiB block are written",
     SCORE_LARGE, 262144, 32, write_under},
    {"under-1m", "mimalloc-bench underflow 1 MiB", "a megabyte before an 8-byte block is written",
     LARGE, 8, 1u << 20, flood_under},
    {"under-1m-4k", "mimalloc-bench underflow 1 MiB", "a megabyte before a 4 KiB block is written",
     LARGE, 4096, 1u << 20, flood_under},
    {"under-1m-256k", "mimalloc-bench underflow 1 MiB",
     "a megabyte before a 256 KiB block is written", LARGE, 262144, 1u << 20, flood_under},
    /* across the end: memory functions */
    {"set-2", "KASAN kmalloc_oob_memset_2", "a memset of 2 bytes goes over the end", SCORE_SMALL,
     128, 2, write_across},
    {"set-4", "KASAN kmalloc_oob_memset_4", "a memset of 4 bytes goes over the end", SCORE_SMALL,
     128, 4, write_across},
    {"set-8", "KASAN kmalloc_oob_memset_8", "a memset of 8 bytes goes over the end", SCORE_SMALL,
     128, 8, write_across},
    {"set-16", "KASAN kmalloc_oob_memset_16, kmalloc_oob_16",
     "a memset of 16 bytes goes over the end", SCORE_SMALL, 128, 16, write_across},
    {"copy-over", "KASAN kmalloc_oob_in_memset, memmove; mimalloc-bench overflow by memcpy",
     "a copy of 64 bytes goes over the end of a block by half", SCORE_SMALL, 64, 64, write_across},
    /* loads */
    {"read-over", "KASAN kmalloc_oob_right; KFENCE test_out_of_bounds_read",
     "the byte behind a 64-byte block is read", SCORE_SMALL, 64, 1, read_over},
    {"read-over-4k", "KASAN page_alloc_oob_right; KFENCE test_out_of_bounds_read",
     "the byte behind a 4 KiB block is read", 0, 4096, 1, read_over},
    {"read-over-256k", "KASAN kmalloc_large_oob_right; hardened_malloc read_after_free_large",
     "the byte behind a 256 KiB block is read", SCORE_LARGE, 262144, 1, read_over},
    {"read-under", "KASAN kmalloc_oob_left; KFENCE test_out_of_bounds_read",
     "the byte before a 64-byte block is read", SCORE_SMALL, 64, 1, read_under},
    {"read-under-4k", "KFENCE test_out_of_bounds_read", "the byte before a 4 KiB block is read", 0,
     4096, 1, read_under},
    {"read-slack", "KASAN kmalloc_oob_right; KFENCE test_kmalloc_aligned_oob_read",
     "the byte behind a 61-byte block, in the slack of its class, is read", SCORE_SMALL, 61, 1,
     read_over},
    /* resized */
    {"grown-over", "KASAN krealloc_more_oob", "the byte behind a block made larger is written",
     SCORE_RESIZE, 200, 235, write_over_resized},
    {"shrunk-over", "KASAN krealloc_less_oob; KFENCE test_shrink_memcache",
     "the byte behind a block made smaller is written", SCORE_RESIZE, 235, 200, write_over_resized},
    {"grown-over-large", "KASAN krealloc_large_more_oob",
     "the byte behind a large block made larger is written", SCORE_RESIZE | SCORE_LARGE, 9000,
     17000, write_over_resized},
    {"shrunk-over-large", "KASAN krealloc_large_less_oob; mimalloc-bench reuse after downsize",
     "the byte behind a large block made smaller is written", SCORE_RESIZE | SCORE_LARGE, 17000,
     9000, write_over_resized},
    {"shrunk-read", "KASAN krealloc_less_oob", "the byte behind a block made smaller is read",
     SCORE_RESIZE, 235, 201, read_over_resized},
    {"moved-write", "KASAN krealloc_uaf", "a block that a resize moved is written where it was",
     SCORE_RESIZE, 64, 1000, write_moved},
    {"slack-resize", "SLUB KUnit test_krealloc_redzone_zeroing",
     "the slack of a block is written, then the block is resized", SCORE_RESIZE, 61, 200,
     slack_then_resize},
    /* aligned */
    {"aligned-over", "KFENCE test_memcache_aligned_alloc, aligned out of bounds",
     "the byte behind a block aligned to 64 is written", SCORE_ALIGNED, 40, 64, write_over_aligned},
    {"aligned-read", "KFENCE test_kmalloc_aligned_oob_read",
     "the byte behind a block aligned to 64 is read", SCORE_ALIGNED, 40, 64, read_over_aligned},
};

const struct score_group score_bounds = {"bounds", cases, KC_ARRAY_COUNT(cases)};
