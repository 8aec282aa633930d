/* SPDX-License-Identifier: BSD-2-Clause */
/* Hostile boot information, and operations on the map that good information gives, beside a model.
 */
#include "fuzz.h"

#include "early_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct kc_bytes b = {data, n, 0};
    FUZZ_REQUIRE_NONE(early_model_run(&b));
    return 0;
}
