/* SPDX-License-Identifier: BSD-2-Clause */
/* Deferred frees, reports and CPUs that come and go, beside the model. */
#include "fuzz.h"

#define MODEL_REQUIRE(c) FUZZ_REQUIRE(c)
#include "grace_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct grace_model model;
    struct kc_bytes o = {data, n, 0};
    grace_model_init(&model);
    while (!kc_bytes_is_empty(&o)) {
        grace_model_step(&model, &o);
        grace_model_check(&model);
    }
    grace_model_finish(&model);
    return 0;
}
