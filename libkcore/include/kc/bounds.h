/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/bounds.h: how far the object goes that a pointer points into.
 *
 * For whoever is handed a pointer and a length and must not believe the length: copies to and from
 * users (kc/ucopy.h) and an embedder's own. It asks the frame records, as the allocators do
 * themselves, so that any pointer at all may be asked about. A question, never misuse.
 */
#ifndef KC_BOUNDS_H
#define KC_BOUNDS_H

#include <kc/heap.h>

KC_EXTERN_C_BEGIN

/**
 * Bytes from p on that belong to the live object in which p lies.
 *
 *     object of a cache or heap class   to its object_bytes (a heap class: all that it grants)
 *     large block of a heap             to the end of its frames
 *     frames                            to the end of the block, and through following blocks of
 *                                       the same owner: runs are several blocks
 *
 * p       any value
 * n       look no further than so many bytes
 * reach   out: at most n; 0 on error
 *
 * Errors:  KC_ERR_RANGE   p is in no frame that f hands out: static storage, text, a device, a user
 *          KC_ERR_ABSENT  what is there is free, or is between objects
 *          KC_ERR_PERM    it is a translation table
 * Cost:    O(log spans), for frames also O(blocks looked at); two holds of a cache's lock, or one
 *          of the frames' for each block
 * Context: any, interrupts included; the caller holds no lock of rank CACHE or below. The answer
 *          stays true while the object lives, which is the caller's to know.
 */
KC_NODISCARD kc_status_t kc_bounds_reach(struct kc_frames *f, const void *p, size_t n,
                                         size_t *reach);

KC_EXTERN_C_END

#endif
