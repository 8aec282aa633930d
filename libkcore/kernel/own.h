/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * own.h: things of the kernel, each tracked from the moment it exists.
 *
 * Each function makes one thing and hands it to the kernel's tracker in the same step, with its
 * owner, the place that asked for it (KC_TRACK_SITE) and what it needs; where the tracker refuses,
 * the thing is taken back. So whoever holds an owner has nothing to undo: kc_track_owner_kill()
 * does, in the order of the needs, and a list of leaks names owner and place.
 *
 * A cleanup that fails is a torn structure: KC_CHECK.
 *
 * In every function: item is out, may be NULL; outputs are untouched on error.
 *
 * Errors:  what making the thing says, and then what kc_track_add() says
 * Context: as that of the thing; no lock held
 */
#ifndef KC_KERNEL_OWN_H
#define KC_KERNEL_OWN_H

#include "kernel.h"

/* Whose a thing is, and where it was made. */
struct kc_own {
    struct kc_kernel *kernel;
    kc_track_owner_t owner;
    const char *site;
};

/** All in one expression: kc_own(k, owner, KC_TRACK_SITE). */
KC_INLINE struct kc_own kc_own(struct kc_kernel *k, kc_track_owner_t owner, const char *site)
{
    struct kc_own o = {k, owner, site};
    return o;
}

/* What things are, for kc_track_resource.kind. */
enum kc_own_kind {
    KC_OWN_FRAMES,
    KC_OWN_OBJECT,
    KC_OWN_SPACE,
    KC_OWN_AREA,
    KC_OWN_MAPPING,
    KC_OWN_RUNNING,
    KC_OWN_TREE,
    KC_OWN_ASIDS,
    KC_OWN_HEAP,
    KC_OWN_CPU,
    KC_OWN_EARLY,
    KC_OWN_REPLAY,
    KC_OWN_KIND_COUNT
};

/** Name of a kind for people, static storage; "?" for an unknown one. */
const char *kc_own_kind_name(uint32_t kind);

/**
 * Track what the caller has just made by itself. If that is refused, cleanup(what) has been called.
 *
 * units   what counts against the owner's limit: frames
 */
KC_NODISCARD kc_status_t kc_own_made(struct kc_own o, const struct kc_track_resource *what,
                                     kc_track_cleanup_fn cleanup, uint64_t units,
                                     const kc_track_item_t *needs, uint32_t need_count,
                                     kc_track_item_t *item);

/** A block of frames. order, flags and frame_owner as in kc_frame_alloc(). */
KC_NODISCARD kc_status_t kc_own_frames(struct kc_own o, uint32_t order, uint32_t flags,
                                       uint16_t frame_owner, kc_pa_t *out, kc_track_item_t *item);

/** An object of the kernel's heap, its contents undefined. */
KC_NODISCARD kc_status_t kc_own_object(struct kc_own o, size_t size, void **out,
                                       kc_track_item_t *item);

/** A user space; *space is the caller's storage, and in use until the item is cleaned. */
KC_NODISCARD kc_status_t kc_own_space(struct kc_own o, struct kc_aspace *space,
                                      const struct kc_aspace_config *config, kc_track_item_t *item);

/** An area of a space. in: the item of the space. */
KC_NODISCARD kc_status_t kc_own_area(struct kc_own o, struct kc_aspace *space, kc_track_item_t in,
                                     const struct kc_aspace_request *rq, kc_ia_t *out,
                                     kc_track_item_t *item);

/**
 * Memory of the caller's in an area. in: the item of the area. frames: the item of the memory; NULL
 * if it is nobody's.
 */
KC_NODISCARD kc_status_t kc_own_mapping(struct kc_own o, struct kc_aspace *space,
                                        kc_track_item_t in, kc_ia_t ia,
                                        const kc_track_item_t *frames, kc_pa_t pa, uint64_t bytes,
                                        struct kc_pt_attr attr, kc_track_item_t *item);

/** That this CPU is in a space. It is cleaned by this CPU alone. in: the item of the space. */
KC_NODISCARD kc_status_t kc_own_running(struct kc_own o, struct kc_aspace *space,
                                        kc_track_item_t in, kc_track_item_t *item);

#endif
