/* SPDX-License-Identifier: BSD-2-Clause */
/* single_tally.c: see single_tally.h. */
#include "single_tally.h"

#include <kc/fmt.h>

void single_tally_add(struct single_tally *t, enum single_phase phase, enum single_kind kind,
                      uint32_t instructions, bool frames)
{
    if (frames) {
        t->with_frames++;
        if (instructions > t->with_frames_most) {
            t->with_frames_most = instructions;
        }
        return;
    }
    struct single_counts *c = &t->own[phase][kind];
    if (instructions > c->most) {
        c->most = instructions;
    }
    if (c->n < SINGLE_COUNTS_MAX) {
        c->count[c->n++] = instructions;
    }
}

const char *single_phase_name(enum single_phase phase)
{
    static const char *const name[SINGLE_PHASES] = {
        "first", "steady", "drained", "refilled", "after another CPU's frees", "last"};
    return (unsigned)phase < SINGLE_PHASES ? name[phase] : "?";
}

/* Shell's sort, with gaps by thirds. */
static void sort(uint32_t *v, uint32_t n)
{
    uint32_t gap = 1;
    while (gap < n / 3) {
        gap = 3 * gap + 1;
    }
    for (; gap > 0; gap /= 3) {
        for (uint32_t i = gap; i < n; i++) {
            uint32_t x = v[i], at = i;
            for (; at >= gap && v[at - gap] > x; at -= gap) {
                v[at] = v[at - gap];
            }
            v[at] = x;
        }
    }
}

static uint32_t permille(const struct single_counts *c, uint32_t part)
{
    return c->count[(uint32_t)((uint64_t)(c->n - 1) * part / 1000)];
}

void single_tally_print(struct single_tally *t, const char *name, void (*put)(const char *line))
{
    static const char *const kinds[SINGLE_KINDS] = {"alloc", "free"};
    char line[160];
    for (uint32_t phase = 0; phase < SINGLE_PHASES; phase++) {
        for (uint32_t kind = 0; kind < SINGLE_KINDS; kind++) {
            struct single_counts *c = &t->own[phase][kind];
            if (c->n == 0) {
                continue;
            }
            sort(c->count, c->n);
            kc_fmt(line, sizeof line, "single %s | %s | %s | %u %u %u %u %u\n", name,
                   single_phase_name((enum single_phase)phase), kinds[kind], c->n, permille(c, 500),
                   permille(c, 990), permille(c, 999), c->most);
            put(line);
        }
    }
    if (t->with_frames != 0) {
        kc_fmt(line, sizeof line, "single %s | frames | both | %u %u\n", name, t->with_frames,
               t->with_frames_most);
        put(line);
    }
}
