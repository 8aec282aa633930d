/* SPDX-License-Identifier: BSD-2-Clause */
/* Operations on a cache beside its model; the input chooses its shape and which frames fail. */
#include "fuzz.h"

#define MODEL_REQUIRE(c) FUZZ_REQUIRE(c)
#include "cache_model.h"
#include <host_ram.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct kc_boot_info info;
    static struct kc_early early;
    static struct kc_frames frames;
    static struct kc_cache cache;
    static struct cache_model model;
    struct kc_misuse misuse;
    struct kc_cache_config config = {0};
    struct kc_bytes o = {data, n, 0};

    FUZZ_REQUIRE(host_ram_create(KC_MIB(1), &info) == KC_OK);
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    FUZZ_REQUIRE(kc_early_init(&early, &info) == KC_OK);
    FUZZ_REQUIRE(kc_frames_init(&frames, &early, &misuse) == KC_OK);
    config.object_bytes = 1 + kc_bytes_below(&o, 5000);
    config.align = (size_t)8 << kc_bytes_below(&o, 10);
    config.slab_order = kc_bytes_below(&o, 5);
    config.misuse = &misuse;
    if (kc_cache_init(&cache, &config, &frames) == KC_OK) {
        cache_model_init(&model, &cache, &misuse, config.object_bytes, config.align);
        model.may_fail = true;
        kc_frames_fail_run(&frames, kc_bytes_u8(&o), kc_bytes_below(&o, 8));
        for (uint32_t i = 0; i < 400 && !kc_bytes_is_empty(&o); i++) {
            cache_model_step(&model, &o);
            cache_model_check(&model);
        }
        cache_model_finish(&model);
        FUZZ_REQUIRE(kc_cache_fini(&cache) == KC_OK);
    }
    FUZZ_REQUIRE(kc_frames_check(&frames, NULL) == KC_OK);
    FUZZ_REQUIRE(kc_frames_fini(&frames) == KC_OK);
    host_ram_destroy();
    return 0;
}
