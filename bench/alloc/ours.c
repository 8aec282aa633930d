/* SPDX-License-Identifier: BSD-2-Clause */
/* ours.c: see ours.h. */
#include "ours.h"

#define CPUS 2u /* have magazines */

void ours_pool_make(struct kc_pool *p, size_t block_bytes, uint32_t blocks, bool coloured)
{
    struct kc_pool_config c;
    __builtin_memset(&c, 0, sizeof c);
    c.name = "bench";
    c.block_bytes = block_bytes;
    c.cpu_count = CPUS;
    if (coloured) {
        c.flags = KC_POOL_COLOURED;
        c.memory_bytes = KC_POOL_MEMORY_BYTES_COLOURED(block_bytes, blocks, CPUS);
    } else {
        bool by_size = kc_is_pow2(block_bytes) && block_bytes >= 8 && block_bytes <= 4096;
        c.align = by_size ? block_bytes : 8;
        c.memory_bytes = KC_POOL_MEMORY_BYTES(block_bytes, c.align, blocks, CPUS);
    }
    c.memory = ours_memory(c.memory_bytes);
    if (kc_pool_init(p, &c) != KC_OK) {
        ours_fail("no pool");
    }
}

void ours_cache_make(struct kc_cache *c, size_t object_bytes, bool coloured)
{
    struct kc_cache_config config;
    __builtin_memset(&config, 0, sizeof config);
    config.name = "bench";
    config.object_bytes = object_bytes;
    config.cpu_count = CPUS;
    config.flags = coloured ? KC_CACHE_COLOURED : 0;
    if (kc_cache_init(c, &config, ours_frames()) != KC_OK) {
        ours_fail("no cache");
    }
}

void ours_heap_make(struct kc_heap *h)
{
    struct kc_heap_config config;
    __builtin_memset(&config, 0, sizeof config);
    config.name = "bench";
    config.cpu_count = CPUS;
    if (kc_heap_init(h, &config, ours_frames()) != KC_OK) {
        ours_fail("no heap");
    }
}
