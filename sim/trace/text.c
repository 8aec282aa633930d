/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text.c: a sliding buffer over an input, cut into lines.
 *
 *     buffer  |.... used ....|at ... lines still to give ... size|      BUFFER_BYTES|
 *
 * Invariants
 *   I1  at <= size <= BUFFER_BYTES
 *   I2  a line given out lies whole in the buffer, and nothing moves until the next is asked for
 *   I3  memory is BUFFER_BYTES, whatever the input holds: a longer line than SIM_LINE_MAX is
 * refused
 */
#include "text.h"

#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES (256u << 10)

bool sim_lines_init(struct sim_lines *l, struct sim_input *input, const void *begun, size_t n)
{
    memset(l, 0, sizeof(*l));
    l->input = input;
    l->buffer = malloc(BUFFER_BYTES);
    if (l->buffer == NULL || n > BUFFER_BYTES) {
        free(l->buffer);
        l->buffer = NULL;
        return false;
    }
    memcpy(l->buffer, begun, n);
    l->size = n;
    return true;
}

void sim_lines_fini(struct sim_lines *l)
{
    free(l->buffer);
    l->buffer = NULL;
}

/* More bytes behind those that are left, which move to the front. */
static bool slide(struct sim_lines *l, struct sim_trace_error *err)
{
    memmove(l->buffer, l->buffer + l->at, l->size - l->at);
    l->size -= l->at;
    l->at = 0;
    size_t got;
    if (!sim_input_read(l->input, l->buffer + l->size, BUFFER_BYTES - l->size, &got, err)) {
        return false;
    }
    l->size += got;
    l->input_ended = got == 0;
    return true;
}

/* Control characters (tab apart) do not occur in text. */
static const char *find_control(const char *p, const char *end)
{
    for (; p < end; p++) {
        unsigned char c = (unsigned char)*p;
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return p;
        }
    }
    return NULL;
}

enum sim_lines_next sim_lines_next(struct sim_lines *l, const char **begin, const char **end,
                                   struct sim_trace_error *err)
{
    const char *newline;
    size_t seen = 0;
    while ((newline = memchr(l->buffer + l->at + seen, '\n', l->size - l->at - seen)) == NULL &&
           !l->input_ended && l->size - l->at <= SIM_LINE_MAX) {
        seen = l->size - l->at;
        if (!slide(l, err)) {
            return SIM_LINES_ERROR;
        }
    }
    if (newline == NULL && l->at == l->size) {
        return SIM_LINES_END;
    }
    *begin = l->buffer + l->at;
    *end = newline != NULL ? newline : l->buffer + l->size;
    l->whole = newline != NULL;
    l->number++;
    l->at = (size_t)(*end - l->buffer) + (newline != NULL ? 1 : 0);
    if ((size_t)(*end - *begin) > SIM_LINE_MAX) {
        sim_trace_error_set(err,
                            "%s:%llu: a line of more than %u bytes; expected text of ftrace, "
                            "trace-cmd report or perf script",
                            sim_input_name(l->input), (unsigned long long)l->number, SIM_LINE_MAX);
        return SIM_LINES_ERROR;
    }
    if (*end > *begin && (*end)[-1] == '\r') {
        (*end)--;
    }
    const char *control = find_control(*begin, *end);
    if (control != NULL) {
        sim_trace_error_set(err, "%s:%llu: byte 0x%02x in column %llu; expected text",
                            sim_input_name(l->input), (unsigned long long)l->number,
                            (unsigned)(unsigned char)*control,
                            (unsigned long long)(control - *begin) + 1);
        return SIM_LINES_ERROR;
    }
    return SIM_LINE;
}
