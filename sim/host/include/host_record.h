/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * host_record.h: what the core asked of the hosted machine, in order.
 *
 * While a recording runs, each seam call that has an effect (enum host_call in kc_body.h) is put
 * into a buffer of the caller's, before the effect where it is a store or an operation, after it
 * where its result is recorded. Calls beyond the buffer are counted, not kept. Off by default; off,
 * it costs the test of one word.
 *
 * Calls of several threads are recorded in one order, which for calls that race is only *an* order.
 */
#ifndef HOST_RECORD_H
#define HOST_RECORD_H

#include <kc/plat.h>

KC_EXTERN_C_BEGIN

struct host_event {
    enum host_call call;
    uint32_t cpu;
    uint64_t a; /* what a, b and c are: enum host_call */
    uint64_t b;
    uint64_t c;
};

/** Record into events[0..capacity-1] from now on, from the first slot. */
void host_record_start(struct host_event *events, size_t capacity);

/** Stop. Returns how many calls were seen; only the first `capacity` were kept. */
size_t host_record_stop(void);

/** How many calls were seen so far. */
size_t host_record_count(void);

/** Name of a kind of call, static storage; "?" for an unknown one. */
const char *host_call_name(enum host_call call);

KC_EXTERN_C_END

#endif
