/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * replay.h: the workload that serves a recorded kernel's allocations with kcore's allocators.
 *
 * Named caches of the trace are kc_caches, shared by those of one size, the general heap is a
 * kc_heap over the same set of caches, page events go to the
 * kc_frames. Every object is written full of a pattern when it is born and checked when it dies, so
 * two objects that overlap are found. Portable and freestanding: the same file runs in the
 * simulator, in the image and in hosted tests.
 *
 * Several CPUs: events are taken from the source in batches, by one CPU at a time, and an event
 * runs on CPU (event.cpu modulo cpu_count). Events of one slot keep their order: one that needs a
 * slot which another CPU has not yet filled, or emptied, waits. A batch ends before the next
 * begins.
 *
 * What is measured
 * - requested: bytes asked for by the objects that live
 * - granted: bytes that the allocator set aside for them (a cache's object size, a heap's usable
 * size)
 * - footprint: bytes of the frames that caches and heap hold (what these keep beside objects
 *   included), the records of just those frames, and the caches' and the heap's own structures. The
 * rest of the frame table, the pages of the trace's own page events, and the tables of the replay
 * itself (owner TRACE) are not in it. Per-CPU caches are not drained before a sample.
 * - slabs: of the footprint what Linux's model counts: the frames in which objects lie, without
 *   records, structures and magazines
 * - weighted: each is integrated over the trace's time; a value holds from the event that made it
 *   to the next event. weighted waste is granted above requested, weighted footprint is footprint
 *   above requested, each as integral over integral, minus 1.
 */
#ifndef KC_REPLAY_H
#define KC_REPLAY_H

#include <kc/cache.h>
#include <kc/frame.h>
#include <kc/heap.h>
#include <kc/stats.h>

#include "kct.h"
#include "linux_model.h"

KC_EXTERN_C_BEGIN

/* Not measured, or unknown. */
#define KC_REPLAY_NOT_KNOWN INT64_MIN

/* Events of a batch; the last may have fewer. */
#define KC_REPLAY_BATCH 512u

/* What one allocator held over the time of the trace. */
struct kc_replay_usage {
    uint64_t peak_requested_bytes;
    uint64_t peak_footprint_bytes;
    int64_t waste_milli_pct;     /* weighted waste, 1000 is 1 %; KC_REPLAY_NOT_KNOWN if not known */
    int64_t footprint_milli_pct; /* weighted footprint over requested; likewise */
    int64_t slabs_milli_pct;     /* weighted slabs over requested; likewise */
    bool footprint_known;        /* else peak_footprint_bytes is not known either */
};

/* One type of the trace at the end, for reports. */
struct kc_replay_type {
    const struct kc_trace_type *type; /* good as long as the struct kc_replay */
    uint64_t allocs;
    uint64_t frees;
    uint64_t live; /* at the end of the trace */
    uint64_t peak_live;
    uint64_t requested_bytes; /* of those that live then */
    uint64_t failures;
    /* At the end of the trace: its share, by live objects, of its cache's; 0 for the heap's. */
    uint64_t frames_bytes;
};

/* Percentiles of latency, in nanoseconds. */
struct kc_replay_latency {
    uint64_t p50;
    uint64_t p99;
    uint64_t p999;
    uint64_t max;
    uint64_t count;
};

struct kc_replay_result {
    struct kc_trace_totals trace;
    uint64_t page_peak_bytes; /* greatest sum of live page events, as asked for */
    struct kc_replay_usage kcore;
    struct kc_replay_usage source; /* Linux's allocator, modelled */
    uint64_t failures;             /* requests that kcore refused, of objects */
    uint64_t page_failures;        /* and of pages */
    uint64_t overlaps;             /* objects whose pattern was not intact when they died */
    uint64_t live_at_end;          /* objects that the trace left live; freed after measuring */
    uint64_t page_live_at_end;     /* page blocks likewise */
    uint64_t leaked_bytes;         /* what caches, heap and pages still held after shutdown */
    uint64_t leaks;                /* objects, caches and frames still held after shutdown */
    struct kc_replay_latency alloc;
    struct kc_replay_latency free;
    struct kc_replay_latency page_alloc;
    struct kc_replay_latency page_free;
    uint64_t heap_requested_bytes; /* at the end of the trace */
    uint64_t heap_frames_bytes;   /* of large blocks, and of caches what is no named type's share */
    uint64_t cache_frames_bytes;  /* the shares of named types */
    uint64_t frame_records_bytes; /* records of the frames of caches and heap */
    uint64_t structure_bytes;     /* struct kc_heap, kc_cache_set, and kc_cache of each cache */
    uint64_t frame_table_bytes;   /* the whole frame table */
    struct kc_frame_stats frames; /* at the end of the trace: what is free, and how scattered */
    uint32_t cache_count;
    uint32_t cpu_count;
};

/* Latency as one CPU saw it, in nanoseconds of kc_plat_stopwatch_ns(). */
struct kc_replay_latencies {
    struct kc_hist alloc;
    struct kc_hist free;
    struct kc_hist page_alloc;
    struct kc_hist page_free;
};

/* What is held at a moment between two batches. */
struct kc_replay_now {
    uint64_t time_ns; /* of the trace */
    uint64_t events;  /* done so far */
    uint64_t requested_bytes;
    uint64_t footprint_bytes;
    uint64_t source_footprint_bytes; /* Linux's allocator, modelled; means nothing unless known */
    uint64_t page_bytes;             /* of the trace's own page events */
    bool source_known;
};

struct kc_replay_config {
    struct kc_frames *frames;
    struct kc_misuse *misuse; /* of the caches and the heap it makes; NULL: default policy */
    struct kc_replay_source source;
    uint32_t cpu_count; /* CPUs that will call kc_replay_run(); 1 to KC_CPUS_MAX */
    /*
     * cpu_count of them, the caller's, merged into the first by kc_replay_shutdown(), good until
     * kc_replay_shutdown(); NULL: latency is not taken. In the simulator they must not lie in
     * simulated RAM: which of their words are touched depends on the host's clock, and nothing that
     * the machine sees may.
     */
    struct kc_replay_latencies *latency;
    /*
     * Called on CPU 0 after each batch, while no event is being done; NULL: never. Whether it is
     * set changes what is read of RAM, so who compares schedules sets it always or never. It may
     * keep what it is told, in storage that is not simulated RAM.
     */
    void (*watch)(void *ctx, const struct kc_replay_now *now);
    void *watch_ctx;
};

struct kc_replay; /* in replay.c; lives in frames of its own */

/**
 * Prepare a replay. Takes frames (owner TRACE) for itself and (owner CACHE, HEAP) for the heap.
 *
 * out   the replay; untouched on error
 *
 * Owner:   the caller, until kc_replay_fini()
 * Errors:  KC_ERR_ARG    cpu_count or source is not as it should be
 *          KC_ERR_NOMEM  not enough frames
 */
KC_NODISCARD kc_status_t kc_replay_init(const struct kc_replay_config *config,
                                        struct kc_replay **out);

/**
 * One CPU's part. Each of the CPUs 0 to cpu_count - 1 calls it once; all return when the trace is
 * over, or when something stopped it.
 *
 * Errors:  what the source's fill returned
 *          KC_ERR_CORRUPT  the events of a slot do not alternate
 *          KC_ERR_NOMEM    the replay's own tables cannot grow (a refused object is no error: it is
 *                          counted in failures)
 *          Every CPU gets the same status.
 * Context: with interrupts as they are; takes locks of the allocators, holds none when it waits.
 */
KC_NODISCARD kc_status_t kc_replay_run(struct kc_replay *r, uint32_t cpu);

/** Events done so far. Context: any CPU, while it runs. */
uint64_t kc_replay_progress(const struct kc_replay *r);

/**
 * Once every CPU has returned: measure what is left, free the objects and pages that the trace left
 * live (checking them), destroy caches and heap, and count what they did not give back.
 *
 * Context: CPU 0 alone.
 */
void kc_replay_shutdown(struct kc_replay *r, struct kc_replay_result *out);

/** Type number i as the trace left it, after kc_replay_shutdown(); false if there is none. */
KC_NODISCARD bool kc_replay_type(const struct kc_replay *r, uint32_t i, struct kc_replay_type *out);

/** Give its own frames back. After kc_replay_shutdown(). */
void kc_replay_fini(struct kc_replay *r);

KC_EXTERN_C_END

#endif
