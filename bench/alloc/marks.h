/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * marks.h: how a program says in a trace of its own memory accesses what it is about to do.
 *
 * A mark is a store of 8 bytes to a page at a fixed address, one word for each thing to say;
 * single_trace.c finds it in what Valgrind's lackey prints. What is marked costs nothing but the
 * stores.
 */
#ifndef MARKS_H
#define MARKS_H

#include <stdint.h>

#define MARKS_BASE UINT64_C(0x5a5a5a5a000) /* nobody maps anything there, Valgrind neither */

enum mark {
    MARK_END, /* of what was counted */
    MARK_ALLOC,
    MARK_FREE,
    MARK_EMPTY_ALLOC, /* the same of an allocator that does nothing: what counting itself costs */
    MARK_EMPTY_FREE,
    MARK_FRAMES, /* the operation counted last took frames or gave some back */
    MARK_LOOP,   /* a loop of MARK_LOOP_ITEMS items begins, and then one of twice as many */
    MARK_STACK,  /* the next store goes to the stack: its lines are nobody's */
    MARK_PHASE,  /* and as many more as there are phases */
    MARK_LIMIT = MARK_PHASE + 32
};

#define MARK_LOOP_ITEMS 64u

static inline void mark(uint32_t what)
{
    *(volatile uint64_t *)(MARKS_BASE + 8u * (uint64_t)what) = 1;
}

#endif
