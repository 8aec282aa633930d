/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * trace.h: open a recorded trace of any supported kind as a stream of events.
 *
 * | kind                                   | known by                                  |
 * |----------------------------------------|-------------------------------------------|
 * | `.kct`                                 | its magic                                 |
 * | ftrace text, `trace-cmd report`, `perf script` | anything else that is text        |
 * | each of these in `.xz` or `.zst`       | the magic of xz or zstd                   |
 *
 * What a file is, is decided by its content, never by its name. Everything streams: memory grows
 * with the objects that live at one time (at most KC_TRACE_SLOTS_MAX), not with the file. The
 * events of an import and of the .kct written from it are the same.
 *
 * Untidy recordings are counted, never fatal (kct.h: null, unknown and implicit frees, skipped
 * lines, lost events; a last line without its newline is counted as skipped if it is cut short). A
 * line of a known event that is malformed is bad input: file, line, what was expected.
 */
#ifndef SIM_TRACE_H
#define SIM_TRACE_H

#include "kct.h"

#define SIM_TRACE_ERROR_MAX 512u

struct sim_trace;

/* Why something was refused, in one line: what, where, what was expected. */
struct sim_trace_error {
    char text[SIM_TRACE_ERROR_MAX];
};

struct sim_trace_options {
    const char *path;     /* a file, or "-" for standard input; NULL: the bundled sample */
    const char *slabinfo; /* a slabinfo file; NULL: NAME.slabinfo beside NAME.ftrace*, if there */
};

/**
 * Open a trace. Reads enough to know its kind, and all of the slabinfo file.
 *
 * err   out: filled on failure, untouched otherwise
 *
 * Returns NULL on failure: no such file, directory, empty, binary of no known kind, bad slabinfo.
 * Owner:   the caller, until sim_trace_close()
 */
KC_NODISCARD struct sim_trace *sim_trace_open(const struct sim_trace_options *options,
                                              struct sim_trace_error *err);

/**
 * The next events: the fill of a struct kc_replay_source whose ctx is a struct sim_trace.
 *
 * Errors:  KC_ERR_CORRUPT      bad input; sim_trace_error_of() says what
 *          KC_ERR_UNSUPPORTED  a .kct of another version
 *          KC_ERR_RANGE        more live objects, types or sites than a trace may have
 *          KC_ERR_NOMEM        no memory on the host
 *          After an error each call returns it again.
 */
KC_NODISCARD kc_status_t sim_trace_fill(void *ctx, struct kc_event *buf, uint32_t max, uint32_t *n);

/** What went wrong in sim_trace_fill(); empty text if nothing did. */
const struct sim_trace_error *sim_trace_error_of(const struct sim_trace *t);

/** The trace as people know it: its path, "standard input", or "bundled sample". */
const char *sim_trace_name(const struct sim_trace *t);

/** What kind it is: ".kct", "ftrace text", with " in xz" or " in zstd" behind it. */
const char *sim_trace_kind(const struct sim_trace *t);

/** Bytes of the file taken so far, and its size; size 0 where that is not known (a pipe). */
void sim_trace_progress(const struct sim_trace *t, uint64_t *taken, uint64_t *size);

/** What was given out so far, counted. */
const struct kc_trace_totals *sim_trace_totals(const struct sim_trace *t);

/** Close it. NULL is allowed. */
void sim_trace_close(struct sim_trace *t);

/** The bundled sample: a .kct in memory. */
const void *sim_trace_sample(size_t *bytes);

/* ---- writing .kct ---------------------------------------------------------------------------- */

struct sim_kct_writer;

/** Takes n bytes of the file; false if it could not. */
typedef bool (*sim_kct_sink_fn)(void *ctx, const void *bytes, size_t n);

/**
 * Begin a .kct.
 *
 * unit_ns   resolution of its times: every event's time is a multiple of it; not 0
 *
 * Returns NULL if there is no memory or the sink refused the header.
 */
KC_NODISCARD struct sim_kct_writer *sim_kct_writer_open(sim_kct_sink_fn sink, void *ctx,
                                                        uint32_t unit_ns);

/** Add one event, in order. False: the sink refused. */
KC_NODISCARD bool sim_kct_writer_add(struct sim_kct_writer *w, const struct kc_event *e);

/** Write what is pending and the footer, and free the writer. False: the sink refused. */
KC_NODISCARD bool sim_kct_writer_close(struct sim_kct_writer *w);

#endif
