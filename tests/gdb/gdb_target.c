/* SPDX-License-Identifier: BSD-2-Clause */
/* What check_gdb.py looks at: one of each, and a place to stop. */
#include <host_ram.h>
#include <kc/cache.h>
#include <kc/early.h>
#include <kc/pt.h>

static struct kc_boot_info info;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_cache cache;
static struct kc_pt tree;
static kc_pa_t some_pa;
static kc_va_range_t some_range;
static const struct kc_frame *some_frame;
static kc_pa_t block;

__attribute__((noinline)) static void stop_here(void)
{
    __asm__ volatile("" : : "r"(&some_pa), "r"(&some_range), "r"(&some_frame) : "memory");
}

int main(void)
{
    struct kc_cache_config config = {.name = "inode", .object_bytes = 600};
    struct kc_pt_config shape = {
        .format = {KC_A64_STAGE1, 12, 48, 40, 0, 0, 0}, .source = {.frames = &frames}, .asid = 5};
    struct kc_pt_attr attr = kc_pt_attr(KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL, false);
    if (host_ram_create(KC_MIB(8), &info) != KC_OK || kc_early_init(&early, &info) != KC_OK ||
        kc_frames_init(&frames, &early, NULL) != KC_OK ||
        kc_cache_init(&cache, &config, &frames) != KC_OK || kc_pt_init(&tree, &shape) != KC_OK) {
        return 1;
    }
    for (int i = 0; i < 3; i++) {
        if (kc_cache_alloc(&cache, 0) == NULL) {
            return 1;
        }
    }
    /* A page, and a block of 2 MiB. */
    if (kc_pt_map(&tree, kc_ia(0x7000), kc_pa(0x90001000), 0x1000, attr) != KC_OK ||
        kc_pt_map(&tree, kc_ia(KC_GIB(1)), kc_pa(KC_GIB(4)), KC_MIB(2), attr) != KC_OK) {
        return 1;
    }
    if (kc_frame_alloc(&frames, 3, 0, KC_FRAME_OWNER_HEAP, &block) != KC_OK) {
        return 1;
    }
    struct kc_frame_info at;
    kc_frame_info(&frames, block, &at);
    some_frame = kc_frame_claim(&frames, block, 3, 1);
    kc_frame_unclaim(&frames, block, 3);
    some_pa = kc_pa(0x90001234);
    some_range = kc_va_range(kc_va(0x1000), 0x2000);
    stop_here();
    return 0;
}
