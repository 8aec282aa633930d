/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * input.h: the bytes of a file or of standard input, with .xz and .zst unpacked on the way.
 *
 * How the bytes are packed is decided by their first bytes. Streams: memory is bounded by the
 * unpackers' windows (at most 256 MiB for xz, 128 MiB for zstd; more is refused), whatever the size
 * of the file.
 */
#ifndef SIM_TRACE_INPUT_H
#define SIM_TRACE_INPUT_H

#include "trace.h"

struct sim_input;

enum sim_packing {
    SIM_PLAIN,
    SIM_XZ,
    SIM_ZSTD
};

/**
 * Open one.
 *
 * path   a file, or "-" for standard input
 * what   what is expected of it, for messages; static storage
 * err    out: filled on failure, untouched otherwise
 *
 * Returns NULL if it cannot be opened, is a directory, or is empty.
 */
struct sim_input *sim_input_open(const char *path, const char *what, struct sim_trace_error *err);

#define SIM_WANT_TRACE \
    "a trace (.kct, or text of ftrace, trace-cmd report or perf script, also in .xz or .zst)"
#define SIM_WANT_SLABINFO "a copy of /proc/slabinfo"

/** Open n bytes in memory, which must outlive the input; name is what messages call it. */
struct sim_input *sim_input_memory(const char *name, const char *what, const void *bytes, size_t n,
                                   struct sim_trace_error *err);

/**
 * The next unpacked bytes: 1 to max in *n, or 0 at the end. False: err says what is wrong (a read
 * error, a damaged or cut archive); each later call is false again.
 */
bool sim_input_read(struct sim_input *in, void *buf, size_t max, size_t *n,
                    struct sim_trace_error *err);

enum sim_packing sim_input_packing(const struct sim_input *in);

/** Name for messages. */
const char *sim_input_name(const struct sim_input *in);

/** Packed bytes taken so far, and the size of the file; 0 where it is not known. */
void sim_input_progress(const struct sim_input *in, uint64_t *taken, uint64_t *size);

/** Close it. NULL is allowed. */
void sim_input_close(struct sim_input *in);

/** Fill err from a format. */
KC_PRINTF(2, 3) void sim_trace_error_set(struct sim_trace_error *err, const char *format, ...);

#endif
