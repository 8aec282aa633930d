/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks above KC_HEAP_SIZE_MAX, or aligned above KC_HEAP_ALIGN_MAX: a mapping of the host each.
 *
 *     bucket of an address --> node --> node     nodes are blocks of the heap
 *                               | at, bytes
 *                               v
 *                               a mapping, with nothing of ours in it
 *
 * Invariants
 *  B1  A mapping that was handed out and not given back has exactly one node, in the bucket of its
 *      address, but while its owner resizes it.
 *  B2  `bytes` is the sum of all blocks, those being made or resized included, and at most the
 *      size of the arena.
 *
 * Cost and locking. One lock of rank KERNEL, interrupts masked, for a few steps in a list; mapping
 * and unmapping happen outside it. So a fork finds the table consistent, as all of the core
 * (host_cpus_stop()).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "preload.h"

#define BUCKETS_LOG2 12u

struct node {
    struct node *next;
    unsigned char *at;
    size_t bytes;
};

static struct kc_lock lock = KC_LOCK_INIT("big blocks", KC_RANK_KERNEL);
static struct node *buckets[1u << BUCKETS_LOG2];
static struct preload_big_stats stats;

/* Fibonacci hashing of the page number. */
static struct node **bucket_of(const void *p)
{
    uint64_t page = (uintptr_t)p / KC_FRAME_BYTES;
    return &buckets[page * UINT64_C(0x9e3779b97f4a7c15) >> (64 - BUCKETS_LOG2)];
}

/* The link to the node of p, or to NULL; the lock is held. */
static struct node **find(const void *p)
{
    struct node **link = bucket_of(p);
    while (*link != NULL && (*link)->at != p) {
        link = &(*link)->next;
    }
    return link;
}

static void insert(struct node *n)
{
    struct node **link = bucket_of(n->at);
    n->next = *link;
    *link = n;
}

/* Takes the node of p out of the table; NULL if there is none. */
static struct node *take(const void *p)
{
    uint64_t irq = kc_lock_acquire_irqsave(&lock);
    struct node **link = find(p);
    struct node *n = *link;
    if (n != NULL) {
        *link = n->next;
    }
    kc_lock_release_irqrestore(&lock, irq);
    return n;
}

/* Changes the sum from one size to another, or refuses (B2). */
static bool account(size_t from, size_t to)
{
    uint64_t irq = kc_lock_acquire_irqsave(&lock);
    uint64_t rest = stats.bytes - from;
    bool fits = rest <= preload_bytes && to <= preload_bytes - rest;
    if (fits) {
        stats.bytes = rest + to;
        stats.peak_bytes = stats.bytes > stats.peak_bytes ? stats.bytes : stats.peak_bytes;
    } else {
        stats.fail_count++;
    }
    kc_lock_release_irqrestore(&lock, irq);
    return fits;
}

static bool whole_pages(size_t size, size_t *out)
{
    *out = (size + KC_FRAME_BYTES - 1) & ~(size_t)(KC_FRAME_BYTES - 1);
    return size <= PTRDIFF_MAX;
}

/* A mapping of whole pages, aligned; MAP_FAILED if the host does not give it. */
static void *map_aligned(size_t bytes, size_t align)
{
    size_t more = align > KC_FRAME_BYTES ? align - KC_FRAME_BYTES : 0;
    if (more > PTRDIFF_MAX - bytes) {
        return MAP_FAILED;
    }
    unsigned char *p =
        mmap(NULL, bytes + more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || more == 0) {
        return p;
    }
    size_t before = (size_t)(0 - (uintptr_t)p) & (align - 1);
    if (before != 0) {
        munmap(p, before);
    }
    if (before != more) {
        munmap(p + before + bytes, more - before);
    }
    return p + before;
}

void *preload_big_alloc(size_t size, size_t align)
{
    struct kc_heap *heap = preload_get();
    size_t bytes;
    if (!whole_pages(size, &bytes) || !account(0, bytes)) {
        return NULL;
    }
    struct node *n = kc_heap_alloc(heap, sizeof(*n), 0);
    void *p = n != NULL ? map_aligned(bytes, align) : MAP_FAILED;
    if (p == MAP_FAILED) {
        (void)kc_heap_free(heap, n);
        (void)account(bytes, 0);
        return NULL;
    }
    n->at = p;
    n->bytes = bytes;
    uint64_t irq = kc_lock_acquire_irqsave(&lock);
    insert(n);
    stats.live++;
    stats.alloc_count++;
    kc_lock_release_irqrestore(&lock, irq);
    return p;
}

bool preload_big_free(void *p)
{
    struct node *n = take(p);
    if (n == NULL) {
        return false;
    }
    int before = errno;
    munmap(n->at, n->bytes);
    errno = before;
    uint64_t irq = kc_lock_acquire_irqsave(&lock);
    stats.live--;
    stats.free_count++;
    stats.bytes -= n->bytes;
    kc_lock_release_irqrestore(&lock, irq);
    (void)kc_heap_free(preload_get(), n);
    return true;
}

size_t preload_big_usable(const void *p)
{
    uint64_t irq = kc_lock_acquire_irqsave(&lock);
    const struct node *n = *find(p);
    size_t bytes = n != NULL ? n->bytes : 0;
    kc_lock_release_irqrestore(&lock, irq);
    return bytes;
}

/* The block's mapping, made so great, perhaps elsewhere; or MAP_FAILED. */
static void *remap(const struct node *n, size_t bytes)
{
    void *to = mremap(n->at, n->bytes, bytes, MREMAP_MAYMOVE);
    if (to != MAP_FAILED) {
        return to;
    }
    /* By hand, where its pages are not alike: some were locked, or advised by themselves. */
    to = map_aligned(bytes, KC_FRAME_BYTES);
    if (to != MAP_FAILED) {
        memcpy(to, n->at, n->bytes < bytes ? n->bytes : bytes);
        munmap(n->at, n->bytes);
    }
    return to;
}

void *preload_big_resize(void *p, size_t size)
{
    size_t bytes;
    if (!whole_pages(size, &bytes)) {
        return NULL;
    }
    struct node *n = take(p);
    if (n == NULL) {
        return NULL;
    }
    void *to = NULL;
    if (account(n->bytes, bytes)) {
        to = remap(n, bytes);
        if (to == MAP_FAILED) {
            (void)account(bytes, n->bytes);
            to = NULL;
        } else {
            n->at = to;
            n->bytes = bytes;
        }
    }
    uint64_t irq = kc_lock_acquire_irqsave(&lock);
    insert(n);
    kc_lock_release_irqrestore(&lock, irq);
    return to;
}

void preload_big_stats(struct preload_big_stats *out)
{
    uint64_t irq = kc_lock_acquire_irqsave(&lock);
    *out = stats;
    kc_lock_release_irqrestore(&lock, irq);
}
