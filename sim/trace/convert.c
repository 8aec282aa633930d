/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kct-convert: write a trace of any kind that sim/trace reads as a .kct. A tool of the build and of
 * people who make samples; docs/trace-format.md shows its use.
 *
 *     kct-convert [-e EVENTS] [-s SLABINFO] IN OUT
 */
#include "trace.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH   512u
#define UNIT_NS 1000u /* what ftrace prints */

enum {
    GOOD = 0,
    USAGE = 2,
    BAD_INPUT = 3,
    INTERNAL = 4
};

static bool write_file(void *ctx, const void *bytes, size_t n)
{
    return fwrite(bytes, 1, n, ctx) == n;
}

static int usage(void)
{
    fputs("usage: kct-convert [-e EVENTS] [-s SLABINFO] IN OUT\n", stderr);
    return USAGE;
}

static int failed(const char *text)
{
    fprintf(stderr, "kct-convert: %s\n", text);
    return BAD_INPUT;
}

/* Every event up to `limit`; BAD_INPUT or INTERNAL after a message. */
static int copy(struct sim_trace *t, struct sim_kct_writer *w, uint64_t limit)
{
    static struct kc_event batch[BATCH];
    uint64_t left = limit;
    while (left > 0) {
        uint32_t n;
        if (sim_trace_fill(t, batch, left < BATCH ? (uint32_t)left : BATCH, &n) != KC_OK) {
            return failed(sim_trace_error_of(t)->text);
        }
        if (n == 0) {
            return GOOD;
        }
        for (uint32_t i = 0; i < n; i++) {
            if (!sim_kct_writer_add(w, &batch[i])) {
                fprintf(stderr, "kct-convert: cannot write: %s\n", strerror(errno));
                return INTERNAL;
            }
        }
        left -= n;
    }
    return GOOD;
}

int main(int argc, char **argv)
{
    struct sim_trace_options options = {NULL, NULL};
    struct sim_trace_error err;
    uint64_t limit = UINT64_MAX;
    int c;
    while ((c = getopt(argc, argv, "e:s:")) != -1) {
        char *end;
        if (c == 'e' && (limit = strtoull(optarg, &end, 10), *end == 0 && end != optarg)) {
            continue;
        }
        if (c != 's') {
            return usage();
        }
        options.slabinfo = optarg;
    }
    if (argc - optind != 2) {
        return usage();
    }
    options.path = argv[optind];
    struct sim_trace *t = sim_trace_open(&options, &err);
    if (t == NULL) {
        return failed(err.text);
    }
    FILE *out = fopen(argv[optind + 1], "wb");
    struct sim_kct_writer *w = out != NULL ? sim_kct_writer_open(write_file, out, UNIT_NS) : NULL;
    if (w == NULL) {
        fprintf(stderr, "kct-convert: %s: cannot write: %s\n", argv[optind + 1], strerror(errno));
        if (out != NULL) {
            (void)fclose(out);
        }
        sim_trace_close(t);
        return INTERNAL;
    }
    int result = copy(t, w, limit);
    bool closed = sim_kct_writer_close(w);
    closed = fclose(out) == 0 && closed;
    if (result == GOOD && !closed) {
        fprintf(stderr, "kct-convert: %s: cannot write: %s\n", argv[optind + 1], strerror(errno));
        result = INTERNAL;
    }
    if (result != GOOD) {
        (void)remove(argv[optind + 1]); /* nothing half done */
    }
    sim_trace_close(t);
    return result;
}
