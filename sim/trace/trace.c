/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trace.c: one stream of events, whatever the file is.
 *
 *     path --> input (unpacks) --> first bytes --+-- .kct magic --> kc_kct
 *                                                +-- else text  --> lines --> import
 *
 * Invariants: exactly one of `kct` and `import` is there; once a fill failed, all fail.
 */
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "import.h"

#define SAMPLE_NAME "bundled sample"

struct sim_trace {
    struct sim_input *input;
    struct sim_slabinfo *slabs;
    struct sim_import *import;
    struct kc_kct *kct;
    void *block;
    uint8_t begun[KC_KCT_MAGIC_BYTES]; /* first bytes, not yet taken by the reader */
    size_t begun_at;
    size_t begun_size;
    kc_status_t status;
    struct kc_trace_totals totals;
    struct sim_trace_error error;
    char kind[32];
};

/* ---- .kct ------------------------------------------------------------------------------------ */

/* The input of the .kct reader: the first bytes again, then the rest. */
static kc_status_t read_kct(void *ctx, void *buf, size_t max, size_t *n)
{
    struct sim_trace *t = ctx;
    if (t->begun_at < t->begun_size) {
        *n = t->begun_size - t->begun_at < max ? t->begun_size - t->begun_at : max;
        memcpy(buf, t->begun + t->begun_at, *n);
        t->begun_at += *n;
        return KC_OK;
    }
    return sim_input_read(t->input, buf, max, n, &t->error) ? KC_OK : KC_ERR_CORRUPT;
}

static bool open_kct(struct sim_trace *t)
{
    t->kct = malloc(sizeof(*t->kct));
    t->block = malloc(KC_KCT_BLOCK_MAX);
    if (t->kct == NULL || t->block == NULL) {
        return false;
    }
    struct kc_kct_input in = {read_kct, t};
    kc_kct_init(t->kct, &in, t->block);
    return true;
}

/* What the reader found, in words. */
static void describe_kct_error(struct sim_trace *t)
{
    const struct kc_kct_error *e = kc_kct_error(t->kct);
    if (t->error.text[0] == 0) { /* else the input has said it */
        sim_trace_error_set(&t->error, "%s: byte %llu: expected %s; found %llu", sim_trace_name(t),
                            (unsigned long long)e->offset, e->expected,
                            (unsigned long long)e->found);
    }
}

/* ---- text ------------------------------------------------------------------------------------ */

static bool open_text(struct sim_trace *t)
{
    struct sim_lines *lines = malloc(sizeof(*lines));
    if (lines == NULL || !sim_lines_init(lines, t->input, t->begun, t->begun_size)) {
        free(lines);
        return false;
    }
    t->import = sim_import_new(lines, t->slabs);
    if (t->import == NULL) {
        sim_lines_fini(lines);
        free(lines);
        return false;
    }
    return true;
}

/* ---- slabinfo -------------------------------------------------------------------------------- */

/* "dir/NAME.slabinfo" for "dir/NAME.ftrace*"; false for another name. */
static bool slabinfo_beside(const char *path, char *out, size_t size)
{
    const char *base = strrchr(path, '/');
    base = base != NULL ? base + 1 : path;
    const char *dot = strstr(base, ".ftrace");
    if (dot == NULL || dot == base) {
        return false;
    }
    int n = snprintf(out, size, "%.*s.slabinfo", (int)(dot - path), path);
    return n > 0 && (size_t)n < size && access(out, F_OK) == 0;
}

static bool open_slabinfo(struct sim_trace *t, const struct sim_trace_options *options,
                          struct sim_trace_error *err)
{
    char beside[4096];
    const char *path = options->slabinfo;
    if (path == NULL && options->path != NULL &&
        slabinfo_beside(options->path, beside, sizeof(beside))) {
        path = beside;
    }
    if (path == NULL) {
        return true;
    }
    if (strcmp(path, "-") == 0) {
        sim_trace_error_set(err, "-: standard input is for the trace; expected a slabinfo file");
        return false;
    }
    struct sim_input *in = sim_input_open(path, SIM_WANT_SLABINFO, err);
    if (in == NULL) {
        return false;
    }
    t->slabs = sim_slabinfo_read(in, err);
    sim_input_close(in);
    return t->slabs != NULL;
}

/* ---- public ---------------------------------------------------------------------------------- */

/* The first unpacked bytes, as many as a magic has. */
static bool peek(struct sim_trace *t, struct sim_trace_error *err)
{
    size_t got;
    do {
        if (!sim_input_read(t->input, t->begun + t->begun_size, sizeof(t->begun) - t->begun_size,
                            &got, err)) {
            return false;
        }
        t->begun_size += got;
    } while (got != 0 && t->begun_size < sizeof(t->begun));
    if (t->begun_size == 0) {
        sim_trace_error_set(err, "%s: holds nothing; expected " SIM_WANT_TRACE,
                            sim_input_name(t->input));
    }
    return t->begun_size != 0;
}

static bool open_trace(struct sim_trace *t, const struct sim_trace_options *options,
                       struct sim_trace_error *err)
{
    static const char *const packing[] = {"", " in xz", " in zstd"};
    size_t size;
    const void *sample = sim_trace_sample(&size);
    t->input = options->path == NULL
                   ? sim_input_memory(SAMPLE_NAME, SIM_WANT_TRACE, sample, size, err)
                   : sim_input_open(options->path, SIM_WANT_TRACE, err);
    if (t->input == NULL || !peek(t, err)) {
        return false;
    }
    bool is_kct = t->begun_size == KC_KCT_MAGIC_BYTES &&
                  memcmp(t->begun, KC_KCT_MAGIC, KC_KCT_MAGIC_BYTES) == 0;
    (void)snprintf(t->kind, sizeof(t->kind), "%s%s", is_kct ? ".kct" : "ftrace text",
                   packing[sim_input_packing(t->input)]);
    if (is_kct && options->slabinfo != NULL) {
        sim_trace_error_set(err, "%s: a .kct holds its own geometry; expected no --slabinfo",
                            sim_trace_name(t));
        return false;
    }
    if (!is_kct && !open_slabinfo(t, options, err)) {
        return false;
    }
    if (is_kct ? !open_kct(t) : !open_text(t)) {
        sim_trace_error_set(err, "%s: no memory to read it", sim_trace_name(t));
        return false;
    }
    return true;
}

struct sim_trace *sim_trace_open(const struct sim_trace_options *options,
                                 struct sim_trace_error *err)
{
    struct sim_trace *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        sim_trace_error_set(err, "no memory to open a trace");
        return NULL;
    }
    if (!open_trace(t, options, err)) {
        sim_trace_close(t);
        return NULL;
    }
    return t;
}

kc_status_t sim_trace_fill(void *ctx, struct kc_event *buf, uint32_t max, uint32_t *n)
{
    struct sim_trace *t = ctx;
    *n = 0;
    if (t->status != KC_OK) {
        return t->status;
    }
    if (t->kct != NULL) {
        t->status = kc_kct_fill(t->kct, buf, max, n);
        if (t->status != KC_OK) {
            describe_kct_error(t);
        }
    } else {
        t->status = sim_import_fill(t->import, buf, max, n, &t->error);
    }
    for (uint32_t i = 0; i < *n; i++) {
        kc_trace_count(&t->totals, &buf[i]);
    }
    return t->status;
}

const struct sim_trace_error *sim_trace_error_of(const struct sim_trace *t)
{
    return &t->error;
}

const char *sim_trace_name(const struct sim_trace *t)
{
    return sim_input_name(t->input);
}

const char *sim_trace_kind(const struct sim_trace *t)
{
    return t->kind;
}

void sim_trace_progress(const struct sim_trace *t, uint64_t *taken, uint64_t *size)
{
    sim_input_progress(t->input, taken, size);
}

const struct kc_trace_totals *sim_trace_totals(const struct sim_trace *t)
{
    return &t->totals;
}

void sim_trace_close(struct sim_trace *t)
{
    if (t == NULL) {
        return;
    }
    sim_import_free(t->import);
    free(t->kct);
    free(t->block);
    sim_slabinfo_free(t->slabs);
    sim_input_close(t->input);
    free(t);
}
