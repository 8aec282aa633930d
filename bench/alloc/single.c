/* SPDX-License-Identifier: BSD-2-Clause */
/* single.c: see single.h. */
#include "single.h"

static void *object[SINGLE_LIVE_MAX];
static const struct single_subject *subject;
static uint64_t chance;
static uint32_t live;

static uint32_t below(uint32_t limit)
{
    chance = chance * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((chance >> 33) % limit);
}

static size_t some_bytes(void)
{
    if (!subject->sizes) {
        return 64;
    }
    uint32_t top = 16u << below(6);
    return top + below(top) + 1;
}

/* Calls of frames so far, as of the last operation. */
static uint64_t frame_calls;

static uint64_t frame_calls_now(void)
{
    return subject->frames == NULL ? 0 : subject->frames();
}

static void see_frames(void)
{
    uint64_t now = frame_calls_now();
    if (now != frame_calls) {
        single_had_frames();
    }
    frame_calls = now;
}

static void get(uint32_t i)
{
    object[i] = single_alloc(subject, some_bytes());
    see_frames();
    *(volatile uint64_t *)object[i] = i;
}

static void put(uint32_t i)
{
    single_free(subject, object[i]);
    see_frames();
    object[i] = NULL;
}

static void get_all(enum single_phase phase)
{
    single_enter(phase);
    for (uint32_t i = 0; i < live; i++) {
        if (object[i] == NULL) {
            get(i);
        }
    }
}

/* In an order that visits each once: steps by a number that has no divisor in common with live. */
static void put_third(enum single_phase phase, uint32_t step)
{
    single_enter(phase);
    for (uint32_t n = 0, i = 0; n < live / 3; n++, i = (i + step) % live) {
        if (object[i] != NULL) {
            put(i);
        }
    }
}

static uint32_t odd_step(void)
{
    for (;;) {
        uint32_t step = live / 2 + below(live / 2);
        uint32_t a = live, b = step;
        while (b != 0) {
            uint32_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1) {
            return step;
        }
    }
}

static void free_all_elsewhere(uint32_t cpu)
{
    (void)cpu;
    for (uint32_t i = 0; i < live; i++) {
        subject->free_elsewhere(object[i]);
        object[i] = NULL;
    }
}

void single_run(const struct single_subject *s, const struct single_run *run)
{
    subject = s;
    chance = run->seed;
    live = run->live < SINGLE_LIVE_MAX ? run->live : SINGLE_LIVE_MAX;
    frame_calls = frame_calls_now();
    get_all(SINGLE_FIRST);
    single_enter(SINGLE_STEADY);
    for (uint32_t n = 0; n < run->steady; n++) {
        uint32_t i = below(live);
        bool was_live = object[i] != NULL;
        if (was_live) {
            put(i);
        }
        if (!was_live || below(4) != 0) {
            get(i);
        }
    }
    put_third(SINGLE_DRAIN, odd_step());
    get_all(SINGLE_REFILL);
    single_elsewhere(free_all_elsewhere);
    frame_calls = frame_calls_now();
    get_all(SINGLE_REMOTE);
    put_third(SINGLE_LAST, 1);
    for (uint32_t i = 0; i < live; i++) { /* the rest, uncounted: the next subject begins anew */
        if (object[i] != NULL) {
            s->free(object[i]);
            object[i] = NULL;
        }
    }
}
