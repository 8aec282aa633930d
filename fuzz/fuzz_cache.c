/* SPDX-License-Identifier: BSD-2-Clause */
/* Operations on a cache beside its model; the input chooses its shape and which frames fail. */
#include "fuzz.h"

#define MODEL_REQUIRE(c) FUZZ_REQUIRE(c)
#include "cache_model.h"
#include <host_ram.h>

/* Three caches of a set, each beside its model; how many empty slabs they keep is the input's. */
static void fuzz_set(struct kc_frames *frames, struct kc_misuse *misuse, struct kc_bytes *o)
{
    static struct kc_cache_set set;
    static struct kc_cache members[3];
    static struct cache_model model[3];
    struct kc_cache_set_config config = {
        "set", members, 3, 1u << kc_bytes_below(o, 4), 0, misuse, kc_bytes_below(o, 2)};
    FUZZ_REQUIRE(kc_cache_set_init(&set, &config, frames) == KC_OK);
    for (uint32_t i = 0; i < 3; i++) {
        struct kc_cache *c = NULL;
        size_t bytes = 1 + kc_bytes_below(o, 2000) + i * 2500; /* so that no two are equal */
        FUZZ_REQUIRE(kc_cache_set_get(&set, bytes, 0, &c) == KC_OK);
        cache_model_init(&model[i], c, misuse, bytes, 8);
        model[i].may_fail = true;
    }
    kc_frames_fail_run(frames, kc_bytes_u8(o), kc_bytes_below(o, 8));
    for (uint32_t i = 0; i < 400 && !kc_bytes_is_empty(o); i++) {
        struct cache_model *m = &model[kc_bytes_below(o, 3)];
        m->reports = kc_misuse_total(misuse);
        cache_model_step(m, o);
        cache_model_check(m);
        FUZZ_REQUIRE(kc_cache_set_check(&set, NULL) == KC_OK);
        uint32_t empty = 0;
        for (uint32_t k = 0; k < 3; k++) {
            empty += members[k].slabs_empty;
        }
        FUZZ_REQUIRE(empty <= set.spares);
    }
    for (uint32_t i = 0; i < 3; i++) {
        model[i].reports = kc_misuse_total(misuse);
        cache_model_finish(&model[i]);
    }
    FUZZ_REQUIRE(kc_cache_set_fini(&set) == KC_OK);
}

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
    uint32_t what = kc_bytes_below(&o, 48);
    config.cpu_count = what / 6 % 2;
    config.flags =
        (what / 12 % 2 != 0 ? KC_CACHE_COLOURED : 0) | (what / 24 != 0 ? KC_CACHE_KEEP_NONE : 0);
    what %= 6;
    config.object_bytes = 1 + kc_bytes_below(&o, 5000);
    config.align = (size_t)8 << kc_bytes_below(&o, 10);
    config.slab_order = what < 5 ? what : 0;
    config.misuse = &misuse;
    if (what == 5) {
        fuzz_set(&frames, &misuse, &o);
    } else if (kc_cache_init(&cache, &config, &frames) == KC_OK) {
        FUZZ_REQUIRE((config.flags & KC_CACHE_COLOURED) == 0 || config.align <= KC_LINE_BYTES);
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
