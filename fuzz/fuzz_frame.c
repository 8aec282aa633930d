/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Operations on frames beside their model: in memory with holes that the input chooses, on both
 * sides of 4 GiB, with memory that is added on the way, and with up to three CPUs that have lists.
 */
#include "fuzz.h"

#define MODEL_REQUIRE(c) FUZZ_REQUIRE(c)
#include "frame_model.h"
#include <host.h>
#include <host_ram.h>

#define FRAMES UINT64_C(2100) /* two greatest blocks, and some */
#define BELOW  UINT64_C(1400) /* of them below 4 GiB */
#define ADDED  UINT64_C(600)  /* further up, for later */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct kc_boot_info info;
    static struct kc_early early;
    static struct kc_frames frames;
    static struct frame_model model;
    static struct kc_frame_cpu lists[3];
    struct kc_misuse misuse;
    struct kc_bytes o = {data, n, 0};

    /* Sparse, and made once, for it is large; a 32-bit host has no 4 GiB to lie on both sides of.
     */
    if (host_ram_bytes() == 0) {
        uint64_t skip = sizeof(void *) < 8 ? 0 : KC_GIB(4) - HOST_RAM_BASE - BELOW * KC_FRAME_BYTES;
        FUZZ_REQUIRE(host_ram_create(skip + (FRAMES + ADDED) * KC_FRAME_BYTES, &info) == KC_OK);
        info.range[0].base = kc_pa(HOST_RAM_BASE + skip);
        info.range[0].size = FRAMES * KC_FRAME_BYTES;
    }
    kc_pa_t more = kc_pa(kc_pa_raw(info.range[0].base) + FRAMES * KC_FRAME_BYTES);
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
    frame_model_init(&model, &frames, &misuse, info.range[0].base, (uint32_t)FRAMES);
    FUZZ_REQUIRE(kc_frames_set_cpus(&frames, lists, kc_bytes_below(&o, 4)) == KC_OK);
    model.go = host_cpu_set;
    uint32_t add_at = kc_bytes_u8(&o);
    for (uint32_t i = 0; i < 400 && !kc_bytes_is_empty(&o); i++) {
        if (i == add_at) {
            FUZZ_REQUIRE(kc_frames_add(&frames, more, ADDED * KC_FRAME_BYTES) == KC_OK);
            frame_model_add(&model, more, (uint32_t)ADDED);
        }
        frame_model_step(&model, &o);
        if (i % 8 == 0) {
            frame_model_check(&model);
        }
    }
    frame_model_finish(&model);
    host_cpu_set(0);
    FUZZ_REQUIRE(kc_frames_fini(&frames) == KC_OK);
    /* Records of the next run may lie where frames are free now: for ASan it is all in use. */
    kc_plat_note(KC_NOTE_FRAME_ALLOC, kc_pa_raw(info.range[0].base),
                 (FRAMES + ADDED) * KC_FRAME_BYTES, NULL);
    return 0;
}
