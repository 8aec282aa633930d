/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/grace.h: freeing what readers without a lock may still hold.
 *
 * A reader finds an object through a pointer that it loads (acquire), uses it, and takes no lock
 * and no reference. So who takes the object out of reach must not free it at once: it *defers* the
 * free, and the object is freed after a *grace period*, in which every CPU on line passed a
 * *quiescent state*: a moment at which it holds no such object. The embedder knows those moments
 * (a context switch, the idle loop, the way back to a program) and reports them. Readers pay
 * nothing at all.
 *
 *     reader, on any CPU                     writer
 *     o = load-acquire(slot)                 old = exchange(slot, new)       out of reach
 *     ... use o ...                          kc_grace_free(g, kc_grace_cache(c), old)
 *     kc_grace_quiescent(g, cpu)             ... later, on each CPU: kc_grace_reclaim(g, cpu)
 *
 * Memory is the caller's: a queue of fixed length for each CPU. Nothing is written into a deferred
 * object; for its allocator it is live until it is freed. The allocator judges the free when it
 * takes place, with its own reports: what is deferred twice is a double free then.
 *
 * What happens before what: a reader's last use of an object, before the report of its CPU
 * (release), before the end of the grace period (acquire), before the free. And the other way
 * round: what a writer did before kc_grace_free(), before whatever a CPU does after the report with
 * which it lets that free's grace period end. No free comes sooner, whatever the order of calls.
 *
 * Calls name the CPU whose part they use: the caller's own, or one that nobody runs under (a test,
 * a CPU that has died).
 */
#ifndef KC_GRACE_H
#define KC_GRACE_H

#include <kc/heap.h>
#include <kc/pool.h>

KC_EXTERN_C_BEGIN

#define KC_GRACE_FREES      16u        /* published bound: a call frees no more objects */
#define KC_GRACE_QUEUE_MAX  (1u << 24) /* entries in the queue of a CPU, at most */
#define KC_GRACE_EPOCHS     3u         /* epochs that begin before a deferred object is freed */
#define KC_GRACE_NAME_CHARS 24u

/* Where an object is to be freed to: an allocator and its kind, in one word. Private. */
typedef struct {
    uintptr_t word;
} kc_grace_from_t;

enum kc_grace_kind {
    KC_GRACE_POOL,
    KC_GRACE_CACHE,
    KC_GRACE_HEAP,
    KC_GRACE_KINDS = 4 /* room in the word: allocators are aligned to this */
};

/** The allocator of a deferred object. It outlives the free. */
KC_INLINE kc_grace_from_t kc_grace_pool(struct kc_pool *p)
{
    kc_grace_from_t from = {(uintptr_t)p | KC_GRACE_POOL};
    return from;
}

KC_INLINE kc_grace_from_t kc_grace_cache(struct kc_cache *c)
{
    kc_grace_from_t from = {(uintptr_t)c | KC_GRACE_CACHE};
    return from;
}

KC_INLINE kc_grace_from_t kc_grace_heap(struct kc_heap *h)
{
    kc_grace_from_t from = {(uintptr_t)h | KC_GRACE_HEAP};
    return from;
}

/* A deferred object. Private. */
struct kc_grace_entry {
    void *ptr;
    kc_grace_from_t from;
    uint32_t epoch; /* that its CPU had reported last */
};

struct kc_grace_config {
    const char *name;             /* copied, cut to KC_GRACE_NAME_CHARS - 1; NULL is "" */
    struct kc_grace_entry *entry; /* room for cpu_count queues; the caller's, until kc_grace_fini */
    uint32_t queue_entries;       /* entries in the queue of a CPU, 1 to KC_GRACE_QUEUE_MAX */
    uint32_t cpu_count;           /* CPUs 0 to cpu_count - 1 take part; 1 to KC_CPUS_MAX */
    struct kc_misuse *misuse;     /* NULL as in kc_misuse_raise() */
};

/* One CPU's part. Private. */
struct kc_grace_cpu {
    uint32_t seen;   /* atomic: the epoch that it reported last */
    uint32_t is_on;  /* on line */
    uint32_t first;  /* of its entries: the one deferred first */
    uint32_t count;  /* atomic: entries in its queue */
    uint32_t oldest; /* atomic: epoch of the first, if there is one */
    uint32_t peak;   /* atomic: most entries at a time */
    struct kc_grace_entry *entry;
    uint64_t defer_count; /* atomic, as what follows; only ever grow */
    uint64_t full_count;
    uint64_t free_count;
} KC_ALIGNED(KC_LINE_BYTES);

/* Placed by the caller, aligned as its type is; private member by member. */
struct kc_grace {
    struct kc_grace_cpu cpu[KC_CPUS_MAX];
    uint64_t state;     /* atomic: the epoch, and a bit for each CPU on line */
    uint32_t wanted;    /* atomic: epoch that somebody waits for; from there on none begins */
    uint32_t cpu_count; /* constant, as what follows up to misuse */
    uint32_t capacity;  /* of a queue */
    uint32_t unused;
    struct kc_misuse *misuse;
    struct kc_lock lock;   /* to go on and off line, and for the queues of CPUs off line */
    uint64_t refuse_count; /* atomic */
    char name[KC_GRACE_NAME_CHARS];
};

struct kc_grace_stats {
    uint32_t pending; /* deferred, not freed yet */
    uint32_t peak;    /* most that were pending on one CPU at a time */
    uint32_t epoch;   /* the present one; wraps around */
    uint32_t oldest;  /* epoch of the oldest pending object; `epoch` if there is none */
    uint32_t online;  /* a bit for each CPU on line */
    uint32_t unused;
    uint64_t defer_count;  /* objects accepted */
    uint64_t free_count;   /* of them, given to their allocators */
    uint64_t refuse_count; /* of them, refused there, as misuse that the allocator reported */
    uint64_t full_count;   /* calls that found a full queue */
};

/**
 * Make one. No CPU is on line.
 *
 * g        zero or garbage
 * config   read during the call only
 *
 * Errors:  KC_ERR_ARG    g, config or config->entry is NULL
 *          KC_ERR_RANGE  queue_entries or cpu_count is outside its limits
 * Cost:    O(CPUs): entries are touched only as they are used
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_grace_init(struct kc_grace *g, const struct kc_grace_config *config);

/**
 * End it: the memory is the caller's again. CPUs may be on line.
 *
 * Errors:  KC_ERR_STATE  objects are pending (misuse BUSY; kc_grace_drain() frees them): unchanged
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_grace_fini(struct kc_grace *g);

/* ---- CPUs ------------------------------------------------------------------------------------ */

/**
 * The CPU goes on line: it may read and defer from now on, and is waited for.
 *
 * Errors:  KC_ERR_RANGE  there is no such CPU
 *          KC_ERR_STATE  it is on line
 * Cost:    O(1) but for epochs that begin meanwhile; one lock hold
 * Context: on that CPU, or nobody runs under it; not reading
 */
KC_NODISCARD kc_status_t kc_grace_online(struct kc_grace *g, uint32_t cpu);

/**
 * The CPU goes off line: it holds no object, does not read or defer, and is not waited for. A
 * quiescent state that lasts: for an idle CPU too. What it deferred stays pending; the other CPUs
 * free it (kc_grace_reclaim()), and itself when it is on line again.
 *
 * Errors:  KC_ERR_RANGE  there is no such CPU
 *          KC_ERR_STATE  it is off line
 * Cost:    O(1), one lock hold
 * Context: on that CPU, or nobody runs under it; not reading
 */
KC_NODISCARD kc_status_t kc_grace_offline(struct kc_grace *g, uint32_t cpu);

/**
 * Report a quiescent state: at this moment the CPU holds no object that it found without a lock.
 * Nothing is freed here, so that it may be called where frees may not (in a scheduler).
 *
 * While CPUs report one at a time, an epoch ends with the report of the last one; where several
 * report at the same instant, with the next report of any. So when each CPU on line has reported
 * KC_GRACE_EPOCHS times, each time all of them, what was deferred before can be freed.
 *
 * Returns true if kc_grace_reclaim() has something to free. False for a CPU off line, whose report
 * says nothing new.
 * Cost:    O(CPUs) loads; one atomic read-modify-write an epoch, by one of the CPUs
 * Context: any on that CPU, interrupts included, or nobody runs under it; not reading
 */
bool kc_grace_quiescent(struct kc_grace *g, uint32_t cpu);

/* ---- objects --------------------------------------------------------------------------------- */

/**
 * Free an object after a grace period.
 *
 * from   kc_grace_pool(), kc_grace_cache() or kc_grace_heap() of its allocator
 * ptr    an object of it that new readers cannot find; NULL is KC_OK and does nothing
 *
 * kc_grace_free() uses the CPU that it runs on; the pinned form the one that is given.
 *
 * Owner:   g, until the object is freed; readers that hold it may read it until they report
 * Errors (state is as before; the object is the caller's still):
 *          KC_ERR_NOMEM   the CPU's queue is full (counted): report and reclaim, wait for others
 *                         to report, or keep the object
 *          KC_ERR_STATE   the CPU is off line; or (hardening full, misuse DOUBLE_FREE) the object
 *                         waits in this queue already. At other levels, and for another CPU's
 *                         queue, the second free is judged when it takes place
 *          KC_ERR_RANGE   the CPU takes no part
 * Cost:    O(1), no lock (full: O(entries))
 * Context: any, interrupts included; the pinned form: the caller stays on that CPU, and nobody else
 *          on it uses g meanwhile
 */
KC_NODISCARD kc_status_t kc_grace_free(struct kc_grace *g, kc_grace_from_t from, void *ptr);
KC_NODISCARD kc_status_t kc_grace_free_pinned(struct kc_grace *g, uint32_t cpu,
                                              kc_grace_from_t from, void *ptr);

/**
 * Free what may be freed of what CPUs off line and this CPU deferred, at most KC_GRACE_FREES
 * objects, each CPU's in the order in which they were deferred.
 *
 * Returns how many; fewer than KC_GRACE_FREES: no more are ready (or another CPU is about those of
 * the CPUs off line).
 * Cost:    O(KC_GRACE_FREES) frees, with no lock of g held and interrupts as the caller had them
 * Context: where kc_pool_free() and so on may be called, on that CPU or nobody runs under it;
 *          readers may be reading, the caller too
 */
uint32_t kc_grace_reclaim(struct kc_grace *g, uint32_t cpu);

/**
 * Free pending objects without waiting, at most KC_GRACE_FREES of them, before the end:
 *
 *     while (kc_grace_drain(g) != 0) {
 *     }
 *
 * Returns how many are pending then.
 * Context: nobody else uses it, and the caller vouches that nobody reads any of the objects
 */
uint32_t kc_grace_drain(struct kc_grace *g);

/** Counts, each as of some moment of the call. Context: any. */
void kc_grace_stats(const struct kc_grace *g, struct kc_grace_stats *out);

/**
 * Judge the invariants of src/mem/grace.c.
 *
 * invariant   out, may be NULL: number of the first that is broken
 *
 * Errors:  KC_ERR_CORRUPT  one is broken
 * Cost:    O(pending)
 * Context: nobody else uses it
 */
KC_NODISCARD kc_status_t kc_grace_check(struct kc_grace *g, uint32_t *invariant);

KC_EXTERN_C_END

#endif
