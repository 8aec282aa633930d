/* SPDX-License-Identifier: BSD-2-Clause */
/* Operations on an address space, of a user or the kernel's, beside a model, with failing frames.
 */
#include "fuzz.h"

#include <host.h>
#include <host_ram.h>

#include "aspace_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct kc_boot_info info;
    static struct kc_early early;
    static struct kc_frames frames;
    static struct kc_misuse misuse;
    static struct aspace_model model;
    struct kc_bytes b = {data, n, 0};
    if (info.range_count == 0) {
        FUZZ_REQUIRE(host_ram_create(KC_MIB(1), &info) == KC_OK);
    }
    host_sysregs_reset();
    /* The RAM keeps what the last input left there: nothing may depend on zeroes. */
    kc_misuse_init(&misuse, KC_MISUSE_PANIC);
    FUZZ_REQUIRE(kc_early_init(&early, &info) == KC_OK);
    FUZZ_REQUIRE(kc_frames_init(&frames, &early, &misuse) == KC_OK);
    FUZZ_REQUIRE_NONE(aspace_model_run(&model, &frames, &b));
    FUZZ_REQUIRE(kc_frames_fini(&frames) == KC_OK);
    return 0;
}
