/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * table.h: an array of records that grows in frames, for the kernel's workloads.
 *
 * Records never move, so pointers to them stay good. Memory: one directory of KC_TABLE_DIR_ORDER,
 * and a chunk of KC_TABLE_CHUNK_ORDER for each stretch of numbers that was ever grown to.
 */
#ifndef KC_TABLE_H
#define KC_TABLE_H

#include <kc/frame.h>

KC_EXTERN_C_BEGIN

#define KC_TABLE_CHUNK_ORDER 4u
#define KC_TABLE_DIR_ORDER   4u
#define KC_TABLE_CHUNK_LOG2  (KC_FRAME_LOG2 + KC_TABLE_CHUNK_ORDER)
#define KC_TABLE_CHUNKS_MAX  ((KC_FRAME_BYTES << KC_TABLE_DIR_ORDER) / sizeof(void *))

/* Private member by member. */
struct kc_table {
    struct kc_frames *frames;
    uint8_t **chunk; /* NULL until the first growth */
    uint32_t record_log2;
    uint32_t chunk_count; /* chunks 0 to chunk_count - 1 are there */
    uint16_t owner;
};

/**
 * Prepare an empty one; takes no frame.
 *
 * record_log2   size of a record: 3 to KC_TABLE_CHUNK_LOG2
 * owner         of its frames
 */
void kc_table_init(struct kc_table *t, struct kc_frames *frames, uint32_t record_log2,
                   uint16_t owner);

/**
 * Make records 0 to index be there; new ones are zero.
 *
 * Errors:  KC_ERR_NOMEM  no frames; what was there stays
 *          KC_ERR_RANGE  more than KC_TABLE_CHUNKS_MAX chunks would be needed
 */
KC_NODISCARD kc_status_t kc_table_grow(struct kc_table *t, uint32_t index);

/** Record `index`, which is there. */
KC_INLINE void *kc_table_at(const struct kc_table *t, uint32_t index)
{
    uint32_t log2 = KC_TABLE_CHUNK_LOG2 - t->record_log2;
    KC_ASSERT(index >> log2 < t->chunk_count);
    return t->chunk[index >> log2] + ((size_t)(index & ((1u << log2) - 1)) << t->record_log2);
}

/** True if record `index` is there. */
KC_INLINE bool kc_table_has(const struct kc_table *t, uint32_t index)
{
    return index >> (KC_TABLE_CHUNK_LOG2 - t->record_log2) < t->chunk_count;
}

/** Give its frames back; it is empty then. */
void kc_table_fini(struct kc_table *t);

KC_EXTERN_C_END

#endif
