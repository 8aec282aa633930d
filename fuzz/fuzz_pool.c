/* SPDX-License-Identifier: BSD-2-Clause */
/* Operations on a pool beside its model, of a shape that the input chooses. */
#include "fuzz.h"

#define MODEL_REQUIRE(c) FUZZ_REQUIRE(c)
#include "pool_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static KC_ALIGNED(4096) unsigned char memory[8192];
    static struct pool_model model;
    static struct kc_pool pool;
    struct kc_misuse misuse;
    struct kc_bytes o = {data, n, 0};
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    uint32_t bytes = kc_bytes_below(&o, sizeof(memory) + 1);
    uint32_t block = 1 + kc_bytes_below(&o, 300);
    uint32_t align = 8u << kc_bytes_below(&o, 4);
    uint32_t mode = kc_bytes_below(&o, 6); /* locked, unlocked, with a magazine; so, coloured */
    bool coloured = mode >= 3 && align <= KC_LINE_BYTES;
    mode %= 3;
    uint32_t flags = (mode == 1 ? KC_POOL_UNLOCKED : 0) | (coloured ? KC_POOL_COLOURED : 0);
    struct kc_pool_config c = {"fuzz", memory, bytes, block, align, &misuse, flags, mode == 2};
    kc_status_t status = kc_pool_init(&pool, &c);
    if (status != KC_OK) {
        FUZZ_REQUIRE(status == KC_ERR_NOMEM &&
                     bytes < (coloured ? KC_POOL_MEMORY_BYTES_COLOURED(block, 1, mode == 2)
                                       : KC_POOL_MEMORY_BYTES(block, align, 1, mode == 2)));
        return 0;
    }
    if (pool.capacity > POOL_MODEL_BLOCKS) {
        return 0;
    }
    pool_model_init(&model, &pool, &misuse, memory);
    while (!kc_bytes_is_empty(&o)) {
        pool_model_step(&model, &o);
        pool_model_check(&model);
    }
    pool_model_finish(&model);
    FUZZ_REQUIRE(kc_pool_fini(&pool) == KC_OK);
    return 0;
}
