/* SPDX-License-Identifier: BSD-2-Clause */
/* What the cases of caches share: frames, one cache, and what is left when all is given back. */
#ifndef CACHE_FIXTURE_H
#define CACHE_FIXTURE_H

#include <kc_test.h>

#include <kc/cache.h>

#include "mem/cache_priv.h"
#include "expect_misuse.h"

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_misuse misuse;
static struct kc_cache cache;

KC_INLINE void set_up(void)
{
    cr_assert(kc_test_ram(KC_MIB(8), &info));
    kc_misuse_init(&misuse, KC_MISUSE_SILENT);
    cr_assert_eq(kc_early_init(&early, &info), KC_OK);
    cr_assert_eq(kc_frames_init(&frames, &early, &misuse), KC_OK);
}

KC_INLINE kc_status_t make_for(struct kc_cache *c, size_t bytes, size_t align, uint32_t flags,
                               uint32_t cpus)
{
    struct kc_cache_config config;
    __builtin_memset(&config, 0, sizeof(config));
    config.name = "test";
    config.object_bytes = bytes;
    config.align = align;
    config.flags = flags;
    config.misuse = &misuse;
    config.cpu_count = cpus;
    return kc_cache_init(c, &config, &frames);
}

/* Without magazines. */
KC_INLINE kc_status_t make(struct kc_cache *c, size_t bytes, size_t align, uint32_t flags)
{
    return make_for(c, bytes, align, flags, 0);
}

#define IS_FULL (KC_HARDENING >= KC_HARDENING_FULL)

/* What is in quarantine goes back to its slabs. */
KC_INLINE void settle(struct kc_cache *c)
{
    uint64_t irq = kc_lock_acquire_irqsave(&c->lock);
    bool spare = kc_cache_priv_release(c, c->quarantined);
    kc_lock_release_irqrestore(&c->lock, irq);
    if (spare) {
        kc_cache_priv_set_spare(c->set, c);
    }
}

/* With `wrong` in that place, the validator of `cache` reports invariant n. */
#define EXPECT_BROKEN(n, place, wrong)                                         \
    do {                                                                       \
        struct kc_cache_fault where_ = {0, 0, 0, 0};                           \
        __typeof__(place) saved_ = (place);                                    \
        (place) = (wrong);                                                     \
        cr_expect_eq(kc_cache_check(&cache, &where_), KC_ERR_CORRUPT, #place); \
        cr_expect_eq(where_.invariant, (uint32_t)(n), #place);                 \
        (place) = saved_;                                                      \
    } while (0)

/* Nothing is held any more, and all is sound. */
KC_INLINE void expect_nothing_held(void)
{
    struct kc_frame_stats s;
    kc_frame_stats(&frames, &s);
    cr_expect_eq(s.used_frames, 0);
    cr_expect_eq(kc_frames_check(&frames, NULL), KC_OK);
    cr_expect_eq(kc_frames_fini(&frames), KC_OK);
}

#endif
