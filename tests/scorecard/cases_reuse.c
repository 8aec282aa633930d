/* SPDX-License-Identifier: BSD-2-Clause */
/* Cases: memory after its free, and what a block is found to hold. */
#include "score.h"

static unsigned char *freed(struct score *s)
{
    (void)score_get(s, s->c->size);
    unsigned char *p = (unsigned char *)score_get(s, s->c->size);
    (void)score_get(s, s->c->size);
    score_put(s, p);
    return p;
}

/* Written at byte arg, and looked at when it is handed out again. */
static void write_then_alloc(struct score *s)
{
    unsigned char *p = freed(s);
    score_poke(s, p + s->c->arg, 1, 0x5a);
    (void)score_alloc(s, s->c->size);
}

/* The same, found by the validator before anybody asks for the block. */
static void write_then_sweep(struct score *s)
{
    unsigned char *p = freed(s);
    score_poke(s, p + s->c->arg, 1, 0x5a);
    score_sweep(s);
}

/* Where many allocators keep the link to the next free block. */
static void smash_first_word(struct score *s)
{
    unsigned char *p = freed(s);
    score_poke(s, p, sizeof(void *), 0xff);
    score_sweep(s);
}

/* A redzone lies behind the block, and the block is free. */
static void write_over_freed(struct score *s)
{
    unsigned char *p = freed(s);
    score_poke(s, p + s->c->size, s->c->arg, 0x5a);
    score_sweep(s);
    (void)score_alloc(s, s->c->size);
}

/* Written after its free and its reuse: by then it is another's. */
static void write_after_reuse(struct score *s)
{
    unsigned char *p = freed(s);
    (void)score_alloc(s, s->c->size);
    score_poke(s, p, 1, 0x5a);
}

static void read_freed(struct score *s)
{
    unsigned char *p = freed(s);
    score_peek(s, p + s->c->arg, 1);
}

/* A string function, an atomic operation, an operation on a bit. */
static void string_of_freed(struct score *s)
{
    unsigned char *p = freed(s);
    score_peek(s, p, 16);
}

static void atomic_of_freed(struct score *s)
{
    unsigned char *p = freed(s);
    score_poke(s, p, 8, 0x01);
    (void)score_alloc(s, s->c->size);
}

static void bit_of_freed(struct score *s)
{
    unsigned char *p = freed(s);
    score_poke(s, p + 3, 1, 0x80);
    (void)score_alloc(s, s->c->size);
}

static void read_after_reuse(struct score *s)
{
    unsigned char *p = freed(s);
    (void)score_alloc(s, s->c->size);
    score_peek(s, p, 1);
}

static void copy_to_freed(struct score *s)
{
    unsigned char *p = freed(s);
    score_poke(s, p, 64, 0x5a);
    (void)score_alloc(s, s->c->size);
}

/* ---- what is not a mistake, but what mistakes are found by ---------------------------------- */

/* More than one byte in sixteen may be of such a value by chance, and of free memory's own use. */
static bool holds(const unsigned char *p, size_t n, unsigned char value)
{
    size_t count = 0;
    kc_plat_note(KC_NOTE_DEFINED, (uintptr_t)p, n, NULL);
    for (size_t i = 0; i < n; i++) {
        count += ((const volatile unsigned char *)p)[i] == value;
    }
    return count > n / 16;
}

/* Does a secret outlive its block? "Noticed": it does not, or cannot be read. */
static void secret_after_free(struct score *s)
{
    (void)score_get(s, s->c->size);
    void *p = score_get(s, s->c->size);
    (void)score_get(s, s->c->size);
    unsigned char *b = (unsigned char *)score_touch(s, p, s->c->size, true);
    if (b == NULL) {
        return;
    }
    __builtin_memset(b, 0x77, s->c->size);
    score_put(s, p);
    score_begin(s, SCORE_ACCESS);
    b = (unsigned char *)score_touch(s, p, s->c->size, false);
    score_end(s);
    if (b != NULL && !holds(b, s->c->size, 0x77)) {
        score_refuse(s, SCORE_FREE);
    }
}

static void zeroed_over_dirt(struct score *s)
{
    void *p = score_get(s, s->c->size);
    unsigned char *b = (unsigned char *)score_touch(s, p, s->c->size, true);
    if (b != NULL) {
        __builtin_memset(b, 0x77, s->c->size);
    }
    score_put(s, p);
    score_begin(s, SCORE_ALLOC);
    void *q = s->a->alloc_zero(s->c->size);
    score_end(s);
    b = (unsigned char *)score_touch(s, q, s->c->size, false);
    if (b != NULL) {
        score_hold(s, q);
        bool zero = true;
        for (size_t i = 0; i < s->c->size; i++) {
            zero = zero && b[i] == 0;
        }
        score_promise(s, zero, "zeroed memory is not zero");
        score_refuse(s, SCORE_ALLOC);
    }
}

/* The block freed last is the one that a mistake is made with: is it handed out at once? */
static void reuse_at_once(struct score *s)
{
    unsigned char *p = freed(s);
    void *q = score_alloc(s, s->c->size);
    if (q != p) {
        score_refuse(s, SCORE_ALLOC);
    }
}

/* Can the place of the next block be foretold from the last ones? */
static void foretold(struct score *s)
{
    uintptr_t p[12];
    uint32_t same = 0;
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
        p[i] = (uintptr_t)score_get(s, s->c->size);
    }
    for (uint32_t i = 2; i < KC_ARRAY_COUNT(p); i++) {
        same += p[i] - p[i - 1] == p[1] - p[0];
    }
    if (same < 8) { /* of 10; chance alone reaches 8 with 7 tags once in 100,000 */
        score_refuse(s, SCORE_ALLOC);
    }
}

/* Nothing of ours is in a free block: whatever it is filled with, the allocator is not led astray.
 */
static void fill_all_free(struct score *s)
{
    void *p[12];
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i++) {
        p[i] = score_get(s, s->c->size);
    }
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i += 2) {
        score_put(s, p[i]);
    }
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i += 2) {
        score_poke(s, p[i], s->c->size, 0xff);
    }
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(p); i += 2) {
        uint64_t *q = (uint64_t *)score_alloc(s, s->c->size);
        score_promise(s, q != NULL, "no block, though some are free");
        for (uint32_t k = 1; k < KC_ARRAY_COUNT(p); k += 2) {
            score_promise(s, (void *)q != p[k], "a live block was handed out");
        }
    }
}

static const struct score_case cases[] = {
    {"uaf-write",
     "KASAN kmalloc_uaf; LKDTM WRITE_AFTER_FREE; hardened_malloc write_after_free_small; "
     "SLUB KUnit test_first_word",
     "the first byte of a freed block is written", SCORE_SMALL, 64, 0, write_then_alloc},
    {"uaf-write-50", "SLUB KUnit test_clobber_50th_byte; KASAN kmalloc_uaf_memset",
     "the 50th byte of a freed block is written", SCORE_SMALL, 64, 50, write_then_alloc},
    {"uaf-write-last", "hardened_malloc write_after_free_small_reuse",
     "the last byte of a freed block is written", SCORE_SMALL, 64, 63, write_then_alloc},
    {"uaf-write-4k", "LKDTM WRITE_BUDDY_AFTER_FREE; KASAN page_alloc_uaf; mimalloc-bench 4 KiB",
     "a byte of a freed 4 KiB block is written", 0, 4096, 1000, write_then_alloc},
    {"uaf-write-256k", "KASAN kmalloc_large_uaf; hardened_malloc write_after_free_large",
     "a byte of a freed 256 KiB block is written", SCORE_LARGE, 262144, 100000, write_then_alloc},
    {"uaf-sweep", "SLUB KUnit test_clobber_50th_byte, validated",
     "a freed block is written, and a sweep comes before the next allocation", SCORE_SMALL, 64, 49,
     write_then_sweep},
    {"uaf-link", "SLUB KUnit test_next_pointer", "the first word of a freed block is overwritten",
     SCORE_SMALL, 64, 0, smash_first_word},
    {"uaf-redzone", "SLUB KUnit test_clobber_redzone_free",
     "the bytes behind a freed block are written", SCORE_SMALL, 61, 3, write_over_freed},
    {"uaf-reused", "hardened_malloc write_after_free_small_reuse; mimalloc-bench write after reuse",
     "a block is written by its old owner after it was handed out anew", SCORE_SMALL, 64, 0,
     write_after_reuse},
    {"uaf-reused-4k", "mimalloc-bench write after reuse 4 KiB",
     "a 4 KiB block is written by its old owner after it was handed out anew", 0, 4096, 0,
     write_after_reuse},
    {"uaf-copy", "KASAN kmalloc_memmove, memcpy on freed memory",
     "64 bytes are copied to a freed block", SCORE_SMALL, 64, 0, copy_to_freed},
    {"uaf-atomic", "KASAN kasan_atomics", "an atomic operation is done on a freed block",
     SCORE_SMALL, 64, 0, atomic_of_freed},
    {"uaf-bit", "KASAN kasan_bitops_generic, kasan_bitops_tags", "a bit is set in a freed block",
     SCORE_SMALL, 64, 0, bit_of_freed},
    {"uaf-string", "KASAN kasan_strings, kasan_memchr, kasan_memcmp",
     "a string function reads a freed block", SCORE_SMALL, 64, 0, string_of_freed},
    {"uaf-read",
     "KASAN kmalloc_uaf2, rcu_uaf; KFENCE test_use_after_free_read; LKDTM READ_AFTER_FREE",
     "a freed block is read", SCORE_SMALL, 64, 8, read_freed},
    {"uaf-read-4k", "LKDTM READ_BUDDY_AFTER_FREE; KASAN page_alloc_uaf",
     "a freed 4 KiB block is read", 0, 4096, 8, read_freed},
    {"uaf-read-256k", "KASAN kmalloc_large_uaf; hardened_malloc read_after_free_large",
     "a freed 256 KiB block is read", SCORE_LARGE, 262144, 8, read_freed},
    {"uaf-read-reused", "KASAN kmalloc_uaf2, kmem_cache_rcu_uaf",
     "a block is read by its old owner after it was handed out anew", SCORE_SMALL, 64, 0,
     read_after_reuse},
    {"secret", "KFENCE test_init_on_free; mimalloc-bench zero on free; LKDTM init_on_free",
     "contents of a block are looked for after its free (noticed: gone)", SCORE_SMALL, 64, 0,
     secret_after_free},
    {"secret-4k", "LKDTM BUDDY_INIT_ON_FREE", "the same in a 4 KiB block", 0, 4096, 0,
     secret_after_free},
    {"zeroed",
     "KFENCE test_memcache_zalloc; mimalloc-bench zero on alloc; LKDTM SLAB_INIT_ON_ALLOC",
     "zeroed memory is asked for where dirt was (noticed: it is zero)", SCORE_ZERO, 4096, 0,
     zeroed_over_dirt},
    {"zeroed-small", "KFENCE test_memcache_zalloc", "the same for 64 bytes",
     SCORE_ZERO | SCORE_SMALL, 64, 0, zeroed_over_dirt},
    {"reuse-at-once", "hardened_malloc no immediate reuse; mimalloc-bench reuse",
     "the block freed last is asked for (noticed: another comes)", SCORE_SMALL, 64, 0,
     reuse_at_once},
    {"foretold", "Scudo random shuffle; mimalloc secure",
     "the next address is foretold from the last two (noticed: not so)", SCORE_SMALL, 64, 0,
     foretold},
    {"fill-free", "SLUB KUnit test_next_pointer; Scudo header corruption",
     "all free blocks are filled with ones, then handed out", SCORE_SMALL, 64, 0, fill_all_free},
};

const struct score_group score_reuse = {"reuse", cases, KC_ARRAY_COUNT(cases)};
