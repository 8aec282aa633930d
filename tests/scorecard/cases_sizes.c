/* SPDX-License-Identifier: BSD-2-Clause */
/* Cases: requests that cannot be granted, and promises about sizes. */
#include "score.h"

static void answer(struct score *s, void *p)
{
    score_end(s);
    if (p != NULL) {
        score_hold(s, p);
    } else {
        score_refuse(s, SCORE_ALLOC);
    }
}

/* The compiler would have an opinion about the size. */
static size_t hidden(size_t n)
{
    volatile size_t v = n;
    return v;
}

static void ask(struct score *s)
{
    (void)score_get(s, s->c->size);
    score_begin(s, SCORE_ALLOC);
    answer(s, s->a->alloc(hidden(s->c->arg)));
}

static void ask_zeroed(struct score *s)
{
    score_begin(s, SCORE_ALLOC);
    answer(s, s->a->alloc_zero(hidden(s->c->arg)));
}

static void ask_aligned(struct score *s)
{
    score_begin(s, SCORE_ALLOC);
    answer(s, s->a->alloc_aligned(s->c->size, hidden(s->c->arg)));
}

static void ask_aligned_huge(struct score *s)
{
    score_begin(s, SCORE_ALLOC);
    answer(s, s->a->alloc_aligned(hidden(s->c->arg), 4096));
}

static void ask_array(struct score *s)
{
    score_begin(s, SCORE_ALLOC);
    answer(s, s->a->alloc_array(hidden(s->c->arg), hidden(16)));
}

static void resize_to(struct score *s)
{
    unsigned char *b = (unsigned char *)score_get(s, s->c->size);
    void *p = b;
    b[0] = 0x77;
    score_begin(s, SCORE_CALL);
    void *q = s->a->resize(p, hidden(s->c->arg));
    score_end(s);
    if (q == NULL) {
        score_refuse(s, SCORE_CALL);
        score_promise(s, b[0] == 0x77, "a refused resize changed the block");
    } else {
        score_let(s, p);
        score_hold(s, q);
    }
}

/* Every size is granted at least what it asks, and no two sizes share what one has alone. */
static void round_trip(struct score *s)
{
    static const size_t sizes[] = {1,    7,    8,    9,    63,   64,    65,     127,   128,
                                   129,  255,  256,  257,  1000, 1023,  1025,   4095,  4096,
                                   4097, 8191, 8192, 8193, 9000, 65536, 100000, 262144};
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(sizes); i++) {
        unsigned char *p = (unsigned char *)s->a->alloc(sizes[i]);
        score_promise(s, p != NULL, "a proper size was refused");
        if (p == NULL) {
            continue;
        }
        size_t usable = s->a->usable(p);
        score_promise(s, usable >= sizes[i], "less was granted than asked");
        score_promise(s, score_touch(s, p + usable - 1, 1, true) != NULL, "usable is too much");
        score_promise(s, s->a->free_sized(p, sizes[i]), "a free with the size asked was refused");
        p = (unsigned char *)s->a->alloc(usable);
        score_promise(s, p != NULL && s->a->usable(p) == usable, "what is granted is no size");
        score_promise(s, s->a->free_sized(p, usable), "a free with the usable size was refused");
    }
}

/* All there is, then one more: refused, and all goes back. */
static void exhaust(struct score *s)
{
    void *last = NULL;
    for (;;) {
        void *p = s->a->alloc(s->c->size);
        void **link = (void **)score_touch(s, p, sizeof(void *), true);
        if (link == NULL) {
            break;
        }
        *link = last;
        last = p;
    }
    score_begin(s, SCORE_ALLOC);
    answer(s, s->a->alloc(s->c->size));
    while (last != NULL) {
        void *p = last;
        last = *(void **)score_touch(s, p, sizeof(void *), false);
        score_promise(s, s->a->free(p), "a proper free was refused");
    }
}

/* No block, no complaint. */
static void free_null(struct score *s)
{
    (void)score_get(s, s->c->size);
    score_begin(s, SCORE_FREE);
    score_promise(s, s->a->free(NULL), "NULL was refused");
    score_end(s);
}

static const struct score_case cases[] = {
    {"huge", "hardened_malloc impossibly_large_malloc; mimalloc-bench impossibly large",
     "all of the address space is asked for", SCORE_ANY_SIZE, 64, SIZE_MAX, ask},
    {"huge-16", "mimalloc-bench impossibly large, less a header",
     "all but 16 bytes of the address space are asked for", SCORE_ANY_SIZE, 64, SIZE_MAX - 15, ask},
    {"huge-half", "hardened_malloc; Scudo too big", "half of the address space is asked for",
     SCORE_ANY_SIZE, 64, SIZE_MAX / 2 + 1, ask},
    {"huge-limit", "Scudo too big", "a byte above the greatest block is asked for", SCORE_ANY_SIZE,
     64, (4u << 20) + 1, ask},
    {"huge-zeroed", "hardened_malloc impossibly_large_malloc, calloc",
     "all of the address space is asked for, zeroed", SCORE_ANY_SIZE | SCORE_ZERO, 64, SIZE_MAX,
     ask_zeroed},
    {"huge-aligned", "Scudo too big, memalign; hardened_malloc memalign overflow",
     "all but a page is asked for, aligned to a page", SCORE_ALIGNED, 64, SIZE_MAX - 4095,
     ask_aligned_huge},
    {"zero-size", "hardened_malloc read_zero_size, write_zero_size; KASAN kmalloc_zero",
     "nothing is asked for", SCORE_ANY_SIZE, 64, 0, ask},
    {"array", "hardened_malloc calloc_overflow; KASAN; LKDTM array overflow",
     "an array is asked for whose size wraps to 0", SCORE_ANY_SIZE | SCORE_ARRAY, 64,
     SIZE_MAX / 16 + 1, ask_array},
    {"array-small", "hardened_malloc calloc_overflow, array overflow",
     "an array is asked for whose size wraps to 16", SCORE_ANY_SIZE | SCORE_ARRAY, 64,
     SIZE_MAX / 16 + 2, ask_array},
    {"align-0", "hardened_malloc alignment argument errors", "an alignment of 0 is asked for",
     SCORE_ALIGNED, 64, 0, ask_aligned},
    {"align-3", "Scudo alignment not a power of two", "an alignment of 3 is asked for",
     SCORE_ALIGNED, 64, 3, ask_aligned},
    {"align-48", "hardened_malloc alignment argument errors; Scudo",
     "an alignment of 48 is asked for", SCORE_ALIGNED, 64, 48, ask_aligned},
    {"align-huge", "Scudo alignment too big", "an alignment of half the address space is asked for",
     SCORE_ALIGNED, 64, SIZE_MAX / 2 + 1, ask_aligned},
    {"align-max", "Scudo alignment too big", "an alignment above the greatest is asked for",
     SCORE_ALIGNED, 64, 8u << 20, ask_aligned},
    {"resize-huge", "hardened_malloc realloc; Scudo too big",
     "a block is resized to all of the address space", SCORE_RESIZE, 64, SIZE_MAX, resize_to},
    {"resize-zero", "hardened_malloc realloc to 0", "a block is resized to nothing", SCORE_RESIZE,
     64, 0, resize_to},
    {"round-trip", "Scudo size-class map; hardened_malloc object size queries",
     "every size is asked for, measured, freed by size, and asked for as measured",
     SCORE_ANY_SIZE | SCORE_USABLE | SCORE_SIZED, 64, 0, round_trip},
    {"exhaust", "Scudo out of memory policy; KASAN mempool exhausted",
     "more is asked for than there is", SCORE_FINITE, 4096, 0, exhaust},
    {"exhaust-small", "KASAN mempool_kmalloc, mempool_slab; Scudo out of memory policy",
     "more blocks of 512 bytes are asked for than there are", SCORE_FINITE | SCORE_SMALL, 512, 0,
     exhaust},
    {"free-null", "all suites", "NULL is freed (no mistake)", SCORE_SMALL, 64, 0, free_null},
};

const struct score_group score_sizes = {"sizes", cases, KC_ARRAY_COUNT(cases)};
