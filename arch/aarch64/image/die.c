/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * die.c: one fault each that nobody has an answer for.
 *
 *     guard   a stack of two pages is filled beyond its end, into the guard below
 *     text    the kernel writes to its own text
 *     data    it calls a frame's first byte
 *     null    it reads near address 0 while no user space is active
 *     user    it reads a user's page by an ordinary load (refused where the CPU has PAN)
 */
#include "die.h"

#include "../words.h"

#define PAGE ((uint64_t)KC_FRAME_BYTES)

static kc_status_t guard(struct kc_kernel *k, void *arg)
{
    struct kc_aspace_request rq = {.bytes = 2 * PAGE, .guard_bytes = PAGE};
    kc_ia_t ia;
    (void)arg;
    kc_status_t st = kc_aspace_reserve(&k->space, &rq, &ia);
    if (st == KC_OK) {
        st = kc_aspace_map_new(&k->space, ia, 2 * PAGE,
                               kc_pt_attr(KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL, true));
    }
    /* Three pages down, of which the last is the guard. */
    for (uint64_t down = 8; st == KC_OK && down <= 3 * PAGE; down += 8) {
        *(volatile uint64_t *)kc_plat_ptr(kc_va(kc_ia_raw(ia) + 2 * PAGE - down)) = down;
    }
    return st;
}

static kc_status_t text(struct kc_kernel *k, void *arg)
{
    (void)k;
    (void)arg;
    *(volatile uint32_t *)(uintptr_t)guard = 0;
    return KC_OK;
}

static kc_status_t data(struct kc_kernel *k, void *arg)
{
    kc_pa_t pa;
    (void)arg;
    kc_status_t st = kc_frame_alloc(&k->frames, 0, KC_FRAME_ZERO, KC_FRAME_OWNER_KERNEL, &pa);
    if (st == KC_OK) {
        ((void (*)(void))(uintptr_t)kc_plat_ram(pa))();
    }
    return st;
}

static kc_status_t null(struct kc_kernel *k, void *arg)
{
    volatile uint64_t at = 16; /* not known to the compiler */
    (void)k;
    (void)arg;
    (void)*(volatile uint64_t *)kc_plat_ptr(kc_va(at));
    return KC_OK;
}

static kc_status_t user(struct kc_kernel *k, void *arg)
{
    static struct kc_aspace space;
    static struct kc_area area[1];
    struct kc_aspace_config config = {
        .kind = KC_ASPACE_USER,
        .name = "victim",
        .frames = &k->frames,
        .asids = &k->asids,
        .format = k->lower,
        .base = kc_ia(k->info.user_base),
        .bytes = k->info.user_bytes,
        .areas = area,
        .area_max = 1,
    };
    struct kc_aspace_request rq = {.bytes = PAGE};
    kc_ia_t ia = kc_ia(0);
    (void)arg;
    kc_status_t st = kc_aspace_init(&space, &config);
    if (st == KC_OK) {
        st = kc_aspace_reserve(&space, &rq, &ia);
    }
    if (st == KC_OK) {
        st = kc_aspace_map_new(
            &space, ia, PAGE, kc_pt_attr(KC_PT_R | KC_PT_W | KC_PT_USER, KC_A64_MEM_NORMAL, false));
    }
    if (st == KC_OK) {
        st = kc_aspace_activate(&space);
    }
    if (st == KC_OK) {
        kc_kernel_set_user(k, &space);
        (void)*(volatile uint64_t *)kc_plat_uptr(kc_uva_of_ia(ia));
    }
    return st;
}

bool kc_die_work(const char *cmdline, struct kc_work *out)
{
    static const struct {
        const char *how;
        kc_status_t (*main)(struct kc_kernel *k, void *arg);
    } ways[] = {{"guard", guard}, {"text", text}, {"data", data}, {"null", null}, {"user", user}};
    for (size_t i = 0; i < KC_ARRAY_COUNT(ways); i++) {
        if (kc_words_is(cmdline, "die", ways[i].how)) {
            *out = (struct kc_work){.name = ways[i].how, .main = ways[i].main};
            return true;
        }
    }
    return false;
}
