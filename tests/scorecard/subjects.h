/* SPDX-License-Identifier: BSD-2-Clause */
/** subjects.h: the world that the core's subjects live in, for the cases that need more of it. */
#ifndef SUBJECTS_H
#define SUBJECTS_H

#include <kc/fence.h>
#include <kc/pool.h>

#include "score.h"

struct score_world {
    struct kc_early early;
    struct kc_misuse misuse;
    struct kc_frames frames;
    struct kc_frame_cpu list;
    struct kc_heap heap, other_heap;
    struct kc_cache cache, other_cache;
    struct kc_pool pool, other_pool;
    kc_pa_t pool_memory, other_pool_memory;
    struct kc_pt pt;
    struct kc_aspace space;
    struct kc_area area[4];
    struct kc_fence fence;
    struct kc_fence_slot slot[16];
    size_t size; /* of the blocks */
    kc_pa_t moat[SCORE_RAM_BYTES / KC_FRAME_BYTES];
    uint32_t moat_count;
    uint64_t tag_faults;
    bool tag_fault_last; /* no misuse was reported since */
};
extern struct score_world score_world;

/** Early memory, frames and two heaps, in the RAM of score_env. */
bool score_world_make(void);

/** Everything is given back; false if something was live. */
bool score_world_end(void);

/** Take all frames but a hole of that size in the middle of a great block, which is used next. */
bool score_world_moat(size_t hole_bytes);

#endif
