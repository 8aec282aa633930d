/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slabinfo.c: reader of /proc/slabinfo, version 2.x.
 *
 *     slabinfo - version: 2.1
 *     # name  <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables ...
 *     filp    3300 3360 192 21 1 : tunables 0 0 0 : slabdata 160 160 0
 *
 * Invariants: the caches are sorted by name, each once; every geometry is above 0.
 * Source: Linux mm/slab_common.c, print_slabinfo_header() and cache_show().
 */
#include "slabinfo.h"

#include "text.h"

#include <stdlib.h>
#include <string.h>

struct sim_slabinfo {
    uint32_t count;
    uint32_t room;
    struct sim_slab *slab;
};

static bool add(struct sim_slabinfo *s, const struct sim_slab *slab)
{
    if (s->count == s->room) {
        uint32_t room = s->room == 0 ? 256 : s->room * 2;
        struct sim_slab *more = realloc(s->slab, (size_t)room * sizeof(*more));
        if (more == NULL) {
            return false;
        }
        s->slab = more;
        s->room = room;
    }
    s->slab[s->count++] = *slab;
    return true;
}

/* One line of a cache; NULL, or what was expected. */
static const char *parse(const char *p, const char *end, struct sim_slab *out)
{
    static const char *const expected[] = {
        "the number of active objects", "the number of objects",      "the size of an object",
        "the number of objects a slab", "the number of pages a slab",
    };
    const char *word = sim_skip_word(p, end);
    if (word == p || (size_t)(word - p) > KC_TRACE_NAME_MAX) {
        return "the name of a cache, of at most 63 bytes";
    }
    memset(out, 0, sizeof(*out));
    memcpy(out->name, p, (size_t)(word - p));
    uint64_t v[5] = {0};
    p = word;
    for (uint32_t i = 0; i < 5; i++) {
        p = sim_skip_spaces(p, end);
        if (!sim_decimal(&p, end, &v[i]) || (p < end && !sim_is_space(*p))) {
            return expected[i];
        }
    }
    if (v[2] == 0 || v[2] > KC_TRACE_BYTES_MAX) {
        return "an object size of 1 to 2^30";
    }
    if (v[3] == 0 || v[3] > 65535 || v[4] == 0 || v[4] > 65535) {
        return "1 to 65535 objects and pages a slab";
    }
    out->object_bytes = (uint32_t)v[2];
    out->objects_per_slab = (uint32_t)v[3];
    out->pages_per_slab = (uint32_t)v[4];
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct sim_slab *)a)->name, ((const struct sim_slab *)b)->name);
}

/* Every line into s; NULL, or what was expected of the line that lines->number names. */
static const char *read_all(struct sim_slabinfo *s, struct sim_lines *lines,
                            struct sim_trace_error *err)
{
    const char *p;
    const char *end;
    bool header = false;
    for (;;) {
        switch (sim_lines_next(lines, &p, &end, err)) {
        case SIM_LINES_ERROR:
            return "";
        case SIM_LINES_END:
            return header ? NULL : "the line \"slabinfo - version: 2.x\"";
        case SIM_LINE:
            break;
        }
        if (!header) {
            if (!sim_begins(p, end, "slabinfo - version: 2.")) {
                return "the line \"slabinfo - version: 2.x\"";
            }
            header = true;
            continue;
        }
        p = sim_skip_spaces(p, end);
        if (p == end || *p == '#') {
            continue;
        }
        struct sim_slab slab;
        const char *expected = parse(p, end, &slab);
        if (expected != NULL) {
            return expected;
        }
        if (s->count == SIM_SLABINFO_CACHES_MAX) {
            return "at most 16384 caches";
        }
        if (!add(s, &slab)) {
            return "memory for one more cache";
        }
    }
}

struct sim_slabinfo *sim_slabinfo_read(struct sim_input *in, struct sim_trace_error *err)
{
    struct sim_lines lines;
    struct sim_slabinfo *s = calloc(1, sizeof(*s));
    if (s == NULL || !sim_lines_init(&lines, in, "", 0)) {
        sim_trace_error_set(err, "%s: no memory to read it", sim_input_name(in));
        free(s);
        return NULL;
    }
    const char *expected = read_all(s, &lines, err);
    if (expected != NULL) {
        if (expected[0] != 0) {
            sim_trace_error_set(err, "%s:%llu: expected %s", sim_input_name(in),
                                (unsigned long long)lines.number, expected);
        }
        sim_lines_fini(&lines);
        sim_slabinfo_free(s);
        return NULL;
    }
    sim_lines_fini(&lines);
    if (s->count > 0) {
        qsort(s->slab, s->count, sizeof(*s->slab), by_name);
    }
    return s;
}

const struct sim_slab *sim_slabinfo_find(const struct sim_slabinfo *s, const char *name)
{
    struct sim_slab key;
    size_t n = strlen(name);
    if (s == NULL || s->count == 0 || n > KC_TRACE_NAME_MAX) {
        return NULL;
    }
    memcpy(key.name, name, n + 1);
    return bsearch(&key, s->slab, s->count, sizeof(*s->slab), by_name);
}

uint32_t sim_slabinfo_count(const struct sim_slabinfo *s)
{
    return s == NULL ? 0 : s->count;
}

void sim_slabinfo_free(struct sim_slabinfo *s)
{
    if (s != NULL) {
        free(s->slab);
        free(s);
    }
}
