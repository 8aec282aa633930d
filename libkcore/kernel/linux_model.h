/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * linux_model.h: what Linux's own allocator would hold for the same trace.
 *
 * A deterministic model of SLUB over the geometry that the trace carries (objects and pages per
 * slab, from slabinfo): each slab family (caches that Linux merged share one) holds slabs; an
 * object goes to the slab that was most recently partly free, a slab that becomes empty is given
 * back. It knows nothing of the future and nothing of the order of Linux's per-CPU lists, so it
 * is a little kinder to Linux than Linux is to itself. Requests of whole pages hold whole pages.
 *
 * Where the geometry of a type is not known, the footprint is not known either, and says so.
 */
#ifndef KC_LINUX_MODEL_H
#define KC_LINUX_MODEL_H

#include <kc/frame.h>

#include "kct.h"

KC_EXTERN_C_BEGIN

/* A growing array of records in frames: a directory of chunks. Private. */
#define KC_LINUX_CHUNK_ORDER 2u
#define KC_LINUX_DIR_ORDER   4u

struct kc_linux_table {
    kc_pa_t dir;
    uint32_t record_bytes;
    uint32_t chunk_count;
};

/* One family of slabs. Private. */
struct kc_linux_family {
    uint32_t objects_per_slab;
    uint32_t pages_per_slab;
    uint32_t partial; /* first slab that has room, 1 + its number; 0 is none */
    bool known;
};

/* The model. Private member by member, except through the functions. */
struct kc_linux_model {
    struct kc_frames *frames;
    struct kc_linux_table objects; /* by slot: what it is and which slab holds it */
    struct kc_linux_table slabs;
    uint32_t slab_count;
    uint32_t slab_free; /* first unused slab record, 1 + its number */
    uint64_t requested_bytes;
    uint64_t granted_bytes;
    uint64_t footprint_bytes;
    bool unknown; /* an object of a type without geometry was born */
    uint16_t family_of[KC_TRACE_TYPES_MAX];
    uint8_t kind_of[KC_TRACE_TYPES_MAX];
    struct kc_linux_family family[KC_TRACE_TYPES_MAX];
};

/**
 * Prepare one.
 *
 * frames   its tables come from here, owner TRACE, as they grow
 *
 * Context: the model serves one CPU at a time.
 */
void kc_linux_model_init(struct kc_linux_model *m, struct kc_frames *frames);

/**
 * Take one event of the trace, in order. Kinds that concern no object are ignored.
 *
 * Errors:  KC_ERR_NOMEM    its tables cannot grow
 *          KC_ERR_CORRUPT  the events of a slot do not alternate, or the type is not defined
 * Cost:    O(1)
 */
KC_NODISCARD kc_status_t kc_linux_model_event(struct kc_linux_model *m, const struct kc_event *e);

/** What is held now. The footprint means nothing once kc_linux_model_is_known() is false. */
uint64_t kc_linux_model_requested(const struct kc_linux_model *m);
uint64_t kc_linux_model_granted(const struct kc_linux_model *m);
uint64_t kc_linux_model_footprint(const struct kc_linux_model *m);

/** True while every object came from slabs of known geometry. */
bool kc_linux_model_is_known(const struct kc_linux_model *m);

/** Give its tables back. */
void kc_linux_model_fini(struct kc_linux_model *m);

KC_EXTERN_C_END

#endif
