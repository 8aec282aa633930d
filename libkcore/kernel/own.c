/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making and tracking in one step. A resource's object is what the thing was made in or of, and its
 * values are what undoing it wants; a cleanup reads nothing else, for whoever made the thing may be
 * gone.
 *
 * O1. A thing is tracked or it does not exist: made() undoes it where the tracker refuses.
 * O2. needs name everything that has to be there for the cleanup to succeed.
 */
#include "own.h"

const char *kc_own_kind_name(uint32_t kind)
{
    static const char *const names[KC_OWN_KIND_COUNT] = {
        [KC_OWN_FRAMES] = "frames",
        [KC_OWN_OBJECT] = "heap object",
        [KC_OWN_SPACE] = "address space",
        [KC_OWN_AREA] = "area",
        [KC_OWN_MAPPING] = "mapping",
        [KC_OWN_RUNNING] = "stay in a space",
        [KC_OWN_TREE] = "translation tables",
        [KC_OWN_ASIDS] = "ASIDs",
        [KC_OWN_HEAP] = "heap",
        [KC_OWN_CPU] = "CPU",
        [KC_OWN_EARLY] = "early memory",
        [KC_OWN_REPLAY] = "replay",
    };
    return kind < KC_OWN_KIND_COUNT ? names[kind] : "?";
}

kc_status_t kc_own_made(struct kc_own o, const struct kc_track_resource *what,
                        kc_track_cleanup_fn cleanup, uint64_t units, const kc_track_item_t *needs,
                        uint32_t need_count, kc_track_item_t *item)
{
    const struct kc_track_request rq = {
        .what = *what,
        .cleanup = cleanup,
        .units = units,
        .site = o.site,
        .needs = needs,
        .need_count = need_count,
    };
    kc_status_t st = kc_track_add(&o.kernel->track, o.owner, &rq, item);
    if (st != KC_OK) {
        cleanup(what); /* O1 */
    }
    return st;
}

/* ---- frames --------------------------------------------------------------------------------- */

static void clean_frames(const struct kc_track_resource *r)
{
    kc_status_t st =
        kc_frame_free((struct kc_frames *)r->object, kc_pa(r->value[0]), (uint32_t)r->value[1]);
    KC_CHECK(st == KC_OK);
}

kc_status_t kc_own_frames(struct kc_own o, uint32_t order, uint32_t flags, uint16_t frame_owner,
                          kc_pa_t *out, kc_track_item_t *item)
{
    kc_pa_t pa;
    struct kc_frames *frames = &o.kernel->frames;
    kc_status_t st = kc_frame_alloc(frames, order, flags, frame_owner, &pa);
    if (st == KC_OK) {
        const struct kc_track_resource what = {frames, {kc_pa_raw(pa), order}, KC_OWN_FRAMES};
        st = kc_own_made(o, &what, clean_frames, KC_BIT(order), NULL, 0, item);
    }
    if (st == KC_OK) {
        *out = pa;
    }
    return st;
}

/* ---- objects -------------------------------------------------------------------------------- */

static void clean_object(const struct kc_track_resource *r)
{
    kc_status_t st = kc_heap_free((struct kc_heap *)r->object, (void *)(uintptr_t)r->value[0]);
    KC_CHECK(st == KC_OK);
}

kc_status_t kc_own_object(struct kc_own o, size_t size, void **out, kc_track_item_t *item)
{
    struct kc_heap *heap = &o.kernel->heap;
    void *p = kc_heap_alloc(heap, size, 0);
    if (p == NULL) {
        return KC_ERR_NOMEM;
    }
    const struct kc_track_resource what = {heap, {(uint64_t)(uintptr_t)p, size}, KC_OWN_OBJECT};
    kc_status_t st = kc_own_made(o, &what, clean_object, 0, &o.kernel->own.heap, 1, item);
    if (st == KC_OK) {
        *out = p;
    }
    return st;
}

/* ---- spaces --------------------------------------------------------------------------------- */

static void clean_space(const struct kc_track_resource *r)
{
    kc_status_t st = kc_aspace_fini((struct kc_aspace *)r->object);
    KC_CHECK(st == KC_OK);
}

kc_status_t kc_own_space(struct kc_own o, struct kc_aspace *space,
                         const struct kc_aspace_config *config, kc_track_item_t *item)
{
    kc_status_t st = kc_aspace_init(space, config);
    if (st == KC_OK) {
        const struct kc_track_resource what = {space, {0, 0}, KC_OWN_SPACE};
        st = kc_own_made(o, &what, clean_space, 0, NULL, 0, item);
    }
    return st;
}

static void clean_area(const struct kc_track_resource *r)
{
    kc_status_t st = kc_aspace_release((struct kc_aspace *)r->object, kc_ia(r->value[0]));
    KC_CHECK(st == KC_OK);
}

kc_status_t kc_own_area(struct kc_own o, struct kc_aspace *space, kc_track_item_t in,
                        const struct kc_aspace_request *rq, kc_ia_t *out, kc_track_item_t *item)
{
    kc_ia_t ia;
    kc_status_t st = kc_aspace_reserve(space, rq, &ia);
    if (st == KC_OK) {
        const struct kc_track_resource what = {space, {kc_ia_raw(ia), 0}, KC_OWN_AREA};
        st = kc_own_made(o, &what, clean_area, 0, &in, 1, item);
    }
    if (st == KC_OK) {
        *out = ia;
    }
    return st;
}

static void clean_mapping(const struct kc_track_resource *r)
{
    kc_status_t st =
        kc_aspace_unmap((struct kc_aspace *)r->object, kc_ia(r->value[0]), r->value[1]);
    KC_CHECK(st == KC_OK);
}

kc_status_t kc_own_mapping(struct kc_own o, struct kc_aspace *space, kc_track_item_t in, kc_ia_t ia,
                           const kc_track_item_t *frames, kc_pa_t pa, uint64_t bytes,
                           struct kc_pt_attr attr, kc_track_item_t *item)
{
    const kc_track_item_t needs[] = {in, frames != NULL ? *frames : in};
    kc_status_t st = kc_aspace_map(space, ia, pa, bytes, attr);
    if (st == KC_OK) {
        const struct kc_track_resource what = {space, {kc_ia_raw(ia), bytes}, KC_OWN_MAPPING};
        st = kc_own_made(o, &what, clean_mapping, 0, needs, frames != NULL ? 2 : 1, item);
    }
    return st;
}

/* ---- being in one --------------------------------------------------------------------------- */

static void clean_running(const struct kc_track_resource *r)
{
    kc_kernel_set_user((struct kc_kernel *)(uintptr_t)r->value[0], NULL);
    kc_status_t st = kc_aspace_deactivate((struct kc_aspace *)r->object);
    KC_CHECK(st == KC_OK);
}

kc_status_t kc_own_running(struct kc_own o, struct kc_aspace *space, kc_track_item_t in,
                           kc_track_item_t *item)
{
    kc_status_t st = kc_aspace_activate(space);
    if (st == KC_OK) {
        kc_kernel_set_user(o.kernel, space);
        const struct kc_track_resource what = {
            space, {(uint64_t)(uintptr_t)o.kernel, 0}, KC_OWN_RUNNING};
        st = kc_own_made(o, &what, clean_running, 0, &in, 1, item);
    }
    return st;
}
