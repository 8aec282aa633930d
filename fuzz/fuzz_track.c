/* SPDX-License-Identifier: BSD-2-Clause */
/* Operations on a tracker beside its model; cleanups act as well. */
#include "fuzz.h"

#define MODEL_REQUIRE(c) FUZZ_REQUIRE(c)
#include "track_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct kc_track_owner owners[TM_OWNERS];
    static struct kc_track_item items[TM_ITEMS];
    static struct track_model model;
    static struct kc_track track;
    struct kc_misuse misuse;
    struct kc_bytes b = {data, n, 0};
    struct kc_track_config c = {"fuzz", owners, TM_OWNERS, items, TM_ITEMS, &misuse};
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    FUZZ_REQUIRE(kc_track_init(&track, &c) == KC_OK);
    track_model_init(&model, &track, &misuse);
    while (!kc_bytes_is_empty(&b)) {
        track_model_step(&model, &b);
        track_model_check(&model);
    }
    track_model_finish(&model);
    return 0;
}
