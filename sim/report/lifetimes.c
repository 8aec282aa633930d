/* SPDX-License-Identifier: BSD-2-Clause */
/* Slots lie in chunks that come into being when first used, so that a high number costs one. */
#include "lifetimes.h"

#include <stdlib.h>

uint32_t lifetimes_size_row(uint32_t bytes)
{
    uint32_t row = 0;
    while (row < LIFETIMES_SIZES - 1 && bytes > 16u << row) {
        row++;
    }
    return row;
}

uint32_t lifetimes_age_column(uint64_t ns)
{
    uint32_t column = 0;
    uint64_t limit = 1000;
    while (column < LIFETIMES_LIVE - 1 && ns >= limit) {
        column++;
        limit *= 10;
    }
    return column;
}

static struct lifetimes_slot *slot_of(struct lifetimes *l, uint32_t number)
{
    if (number >= KC_TRACE_SLOTS_MAX) {
        return NULL;
    }
    struct lifetimes_slot **chunk = &l->chunk[number / LIFETIMES_CHUNK];
    if (*chunk == NULL) {
        *chunk = calloc(LIFETIMES_CHUNK, sizeof(**chunk));
        l->failed |= *chunk == NULL;
    }
    return *chunk != NULL ? &(*chunk)[number % LIFETIMES_CHUNK] : NULL;
}

void lifetimes_event(struct lifetimes *l, const struct kc_event *e)
{
    if (e->kind != KC_EVENT_ALLOC && e->kind != KC_EVENT_FREE) {
        return;
    }
    struct lifetimes_slot *s = slot_of(l, e->slot);
    if (s == NULL) {
        return;
    }
    if (e->kind == KC_EVENT_ALLOC) {
        *s = (struct lifetimes_slot){e->time_ns, e->requested, true};
    } else if (s->live) {
        uint64_t age = e->time_ns - s->born_ns;
        l->count[lifetimes_size_row(s->bytes)][lifetimes_age_column(age)]++;
        s->live = false;
    }
}

void lifetimes_end(struct lifetimes *l)
{
    for (uint32_t c = 0; c < KC_TRACE_SLOTS_MAX / LIFETIMES_CHUNK + 1; c++) {
        for (uint32_t i = 0; l->chunk[c] != NULL && i < LIFETIMES_CHUNK; i++) {
            if (l->chunk[c][i].live) {
                l->count[lifetimes_size_row(l->chunk[c][i].bytes)][LIFETIMES_LIVE]++;
            }
        }
    }
    lifetimes_fini(l);
}

void lifetimes_fini(struct lifetimes *l)
{
    for (uint32_t c = 0; c < KC_TRACE_SLOTS_MAX / LIFETIMES_CHUNK + 1; c++) {
        free(l->chunk[c]);
        l->chunk[c] = NULL;
    }
}
