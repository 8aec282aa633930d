/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.c: a directory of chunks.
 *
 *     chunk[] -> | records 0..n-1 | -> | records n..2n-1 | -> ...
 *
 * Invariant: chunk[0..chunk_count-1] are blocks of KC_TABLE_CHUNK_ORDER of the owner's; the rest of
 * the directory means nothing. Cost of a growth: one block, cleared. No lock: one writer, and
 * readers that learn of a growth by the writer's release.
 */
#include "table.h"

static kc_status_t take(struct kc_table *t, uint32_t order, void **out)
{
    kc_pa_t pa;
    kc_status_t s = kc_frame_alloc(t->frames, order, KC_FRAME_ZERO, t->owner, &pa);
    if (s == KC_OK) {
        *out = kc_plat_ram(pa);
    }
    return s;
}

static void give(struct kc_table *t, void *p, uint32_t order)
{
    kc_status_t s = kc_frame_free(t->frames, kc_plat_ram_pa(p), order);
    KC_CHECK(s == KC_OK);
}

void kc_table_init(struct kc_table *t, struct kc_frames *frames, uint32_t record_log2,
                   uint16_t owner)
{
    KC_ASSERT(record_log2 >= 3 && record_log2 <= KC_TABLE_CHUNK_LOG2);
    t->frames = frames;
    t->chunk = NULL;
    t->record_log2 = record_log2;
    t->chunk_count = 0;
    t->owner = owner;
}

kc_status_t kc_table_grow(struct kc_table *t, uint32_t index)
{
    uint32_t last = index >> (KC_TABLE_CHUNK_LOG2 - t->record_log2);
    if (last >= KC_TABLE_CHUNKS_MAX) {
        return KC_ERR_RANGE;
    }
    if (t->chunk == NULL) {
        void *p;
        kc_status_t s = take(t, KC_TABLE_DIR_ORDER, &p);
        if (s != KC_OK) {
            return s;
        }
        t->chunk = p;
    }
    while (t->chunk_count <= last) {
        void *p;
        kc_status_t s = take(t, KC_TABLE_CHUNK_ORDER, &p);
        if (s != KC_OK) {
            return s;
        }
        t->chunk[t->chunk_count++] = p;
    }
    return KC_OK;
}

void kc_table_fini(struct kc_table *t)
{
    while (t->chunk_count > 0) {
        give(t, t->chunk[--t->chunk_count], KC_TABLE_CHUNK_ORDER);
    }
    if (t->chunk != NULL) {
        give(t, t->chunk, KC_TABLE_DIR_ORDER);
        t->chunk = NULL;
    }
}
