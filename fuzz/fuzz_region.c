/* SPDX-License-Identifier: BSD-2-Clause */
/* Operations on a region map, beside a model. */
#include "fuzz.h"

#include "region_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct kc_bytes b = {data, n, 0};
    FUZZ_REQUIRE_NONE(region_model_run(&b));
    return 0;
}
