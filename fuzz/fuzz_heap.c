/* SPDX-License-Identifier: BSD-2-Clause */
/* Operations on a heap beside its model; the input chooses which frames fail. */
#include "fuzz.h"

#define MODEL_REQUIRE(c) FUZZ_REQUIRE(c)
#include "heap_model.h"
#include <host_ram.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct kc_boot_info info;
    static struct kc_early early;
    static struct kc_frames frames;
    static struct kc_heap heap;
    static struct heap_model model;
    struct kc_misuse misuse;
    struct kc_bytes o = {data, n, 0};

    FUZZ_REQUIRE(host_ram_create(KC_MIB(2), &info) == KC_OK);
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    FUZZ_REQUIRE(kc_early_init(&early, &info) == KC_OK);
    FUZZ_REQUIRE(kc_frames_init(&frames, &early, &misuse) == KC_OK);
    struct kc_heap_config config = {"fuzz", &misuse, 0, kc_bytes_below(&o, 2), NULL, 0};
    FUZZ_REQUIRE(kc_heap_init(&heap, &config, &frames) == KC_OK);
    heap_model_init(&model, &heap, &misuse);
    model.may_fail = true;
    kc_frames_fail_run(&frames, kc_bytes_u8(&o), kc_bytes_below(&o, 8));
    for (uint32_t i = 0; i < 300 && !kc_bytes_is_empty(&o); i++) {
        heap_model_step(&model, &o);
        if (i % 16 == 0) {
            heap_model_check(&model);
        }
    }
    heap_model_finish(&model);
    FUZZ_REQUIRE(kc_heap_fini(&heap) == KC_OK);
    FUZZ_REQUIRE(kc_frames_check(&frames, NULL) == KC_OK);
    FUZZ_REQUIRE(kc_frames_fini(&frames) == KC_OK);
    host_ram_destroy();
    return 0;
}
