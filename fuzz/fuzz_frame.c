/* SPDX-License-Identifier: BSD-2-Clause */
/* Operations on frames beside their model, in memory with holes that the input chooses. */
#include "fuzz.h"

#define MODEL_REQUIRE(c) FUZZ_REQUIRE(c)
#include "frame_model.h"
#include <host_ram.h>

#define FRAMES 2100u /* two greatest blocks, and some */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct kc_boot_info info;
    static struct kc_early early;
    static struct kc_frames frames;
    static struct frame_model model;
    struct kc_misuse misuse;
    struct kc_bytes o = {data, n, 0};

    FUZZ_REQUIRE(host_ram_create((uint64_t)FRAMES * KC_FRAME_BYTES, &info) == KC_OK);
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    FUZZ_REQUIRE(kc_early_init(&early, &info) == KC_OK);
    for (uint32_t holes = kc_bytes_below(&o, 4); holes > 0; holes--) {
        uint64_t at = kc_bytes_below(&o, 65536) % FRAMES;
        uint64_t frames_in = 1 + kc_bytes_u8(&o);
        kc_pa_t base = kc_pa(kc_pa_raw(info.range[0].base) + at * KC_FRAME_BYTES);
        (void)!kc_early_reserve(&early, kc_pa_range(base, frames_in * KC_FRAME_BYTES),
                                KC_BOOT_RESERVED);
    }
    FUZZ_REQUIRE(kc_frames_init(&frames, &early, &misuse) == KC_OK);
    frame_model_init(&model, &frames, &misuse, info.range[0].base, FRAMES);
    for (uint32_t i = 0; i < 400 && !kc_bytes_is_empty(&o); i++) {
        frame_model_step(&model, &o);
        if (i % 8 == 0) {
            frame_model_check(&model);
        }
    }
    frame_model_finish(&model);
    FUZZ_REQUIRE(kc_frames_fini(&frames) == KC_OK);
    host_ram_destroy();
    return 0;
}
