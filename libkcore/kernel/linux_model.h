/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * linux_model.h: what Linux's own allocator would hold for the same trace.
 *
 * A deterministic model of SLUB over the geometry that the trace carries (objects and pages per
 * slab, from slabinfo): an object goes to the slab of its type that most recently became partly
 * free, a slab that becomes empty is given back. Linux also keeps slabs per CPU and some empty
 * ones, so the model is a little kinder to Linux than Linux is to itself. Requests of whole pages
 * hold whole pages.
 *
 * Where the geometry of a type is not known, the footprint is not known either, and says so.
 */
#ifndef KC_LINUX_MODEL_H
#define KC_LINUX_MODEL_H

#include "kct.h"
#include "table.h"

KC_EXTERN_C_BEGIN

/* Slabs of one type. Private. */
struct kc_linux_type {
    uint32_t kind;
    uint32_t objects_per_slab; /* 0: not known */
    uint32_t pages_per_slab;
    uint32_t partial; /* slab that most recently became or was made partly free, plus 1; 0: none */
};

/* The model. Private member by member, except through the functions. */
struct kc_linux_model {
    struct kc_table objects; /* by slot: what lives there and in which slab */
    struct kc_table slabs;
    uint32_t slab_count;  /* records of slabs in use or unused */
    uint32_t slab_unused; /* first unused record, plus 1 */
    uint32_t type_count;
    bool unknown; /* an object of a type without geometry was born */
    uint64_t requested_bytes;
    uint64_t granted_bytes;
    uint64_t footprint_bytes;
    struct kc_linux_type type[KC_TRACE_TYPES_MAX];
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
