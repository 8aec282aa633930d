/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * single.h: what one operation costs, operation by operation: the workload, for every allocator
 * and on every body. C, and no libc.
 *
 * Each allocation and each free is counted by itself; what is in between is not. The functions that
 * count are bound at link time: on hosts they leave marks in a trace of all instructions
 * (single.cc, single_trace.c), on the image they read the counter of the CPU (single_image.c).
 */
#ifndef SINGLE_H
#define SINGLE_H

#include <kc/config.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

KC_EXTERN_C_BEGIN

#define SINGLE_LIVE_MAX 10000u

/* Phases, in their order. */
enum single_phase {
    SINGLE_FIRST,  /* live objects are allocated for the first time */
    SINGLE_STEADY, /* random ones are freed, and most allocated anew: four fifths live */
    SINGLE_DRAIN,  /* a third of them is freed, in random order */
    SINGLE_REFILL, /* and all are allocated again */
    SINGLE_REMOTE, /* another CPU freed them all; they are allocated again */
    SINGLE_LAST,   /* and a third freed, the oldest first */
    SINGLE_PHASES
};

struct single_subject {
    const char *name;
    void *(*alloc)(size_t bytes);
    void (*free)(void *p);
    void (*free_elsewhere)(void *p); /* the same on another CPU */
    /* Calls of frames so far; an operation that changes it is counted apart. NULL: not known. */
    uint64_t (*frames)(void);
    bool sizes; /* 16 to 1,024 bytes, small ones more often; else 64 */
};

struct single_run {
    uint32_t live;   /* at most SINGLE_LIVE_MAX */
    uint32_t steady; /* steps of that phase */
    uint64_t seed;
};

void single_run(const struct single_subject *s, const struct single_run *run);

/* ---- what the body gives -------------------------------------------------------------------- */

/** s->alloc(bytes), counted; NULL ends the run with a word. */
void *single_alloc(const struct single_subject *s, size_t bytes);

/** s->free(p), counted. */
void single_free(const struct single_subject *s, void *p);

/** What is counted from now on belongs to that phase. */
void single_enter(enum single_phase phase);

/** The operation counted last took frames, or gave some back. */
void single_had_frames(void);

/** Run fn(1) on another CPU, uncounted, and wait for it. */
void single_elsewhere(void (*fn)(uint32_t cpu));

KC_EXTERN_C_END

#endif
