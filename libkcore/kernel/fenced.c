/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A round of misses. The fence is this CPU's alone, and its faults come on this CPU: so each access
 * must add exactly one report of the right kind, which is how it is judged.
 *
 * What faults goes on to a page of zeros (kc_kernel_fault, kc_fence_let), so a miss reads 0.
 */
#include "fenced.h"

struct miss {
    struct kc_fenced *f;
    uint64_t *faults;
    uint64_t *wrongs;
};

/* One access at p that must be reported as that kind. */
static void miss(struct miss *m, unsigned char *p, bool write, enum kc_misuse_kind kind)
{
    uint64_t before = m->f->misuse.count[kind];
    uint64_t total = kc_misuse_total(&m->f->misuse);
    bool good = true;
    if (write) {
        *(volatile unsigned char *)p = 0xee;
    } else {
        good = *(volatile unsigned char *)p == 0;
    }
    good = good && m->f->misuse.count[kind] == before + 1 &&
           kc_misuse_total(&m->f->misuse) == total + 1 &&
           m->f->misuse.last.address == kc_va_raw(kc_plat_ptr_va(p));
    *m->faults += good;
    *m->wrongs += !good;
}

static kc_status_t use(struct miss *m, uint64_t random)
{
    struct kc_fence *fence = &m->f->fence;
    size_t size = 1 + (size_t)(random % KC_FENCE_SIZE_MAX);
    unsigned char *p = (unsigned char *)kc_fence_take(fence, size, 1, (uintptr_t)random);
    if (p == NULL) {
        return KC_ERR_NOMEM;
    }
    unsigned char *page = p - (uintptr_t)p % KC_FRAME_BYTES;
    p[0] = 0x5a; /* inside: not a word */
    p[size - 1] = 0x5a;
    *m->wrongs += kc_misuse_total(&m->f->misuse) != 0;
    miss(m, page + KC_FRAME_BYTES, (random >> 32 & 1) != 0, KC_MISUSE_BOUNDS);
    miss(m, page - 1, (random >> 33 & 1) != 0, KC_MISUSE_BOUNDS);
    *m->wrongs += kc_fence_free(fence, p, (uintptr_t)random) != KC_OK;
    miss(m, p, (random >> 34 & 1) != 0, KC_MISUSE_AFTER_FREE);
    *m->wrongs += kc_fence_check(fence, NULL) != KC_OK;
    kc_fence_mend(fence);
    *m->wrongs += kc_fence_check(fence, NULL) != KC_OK;
    return KC_OK;
}

kc_status_t kc_fenced_round(struct kc_fenced *f, struct kc_kernel *k, uint64_t random,
                            uint64_t *faults, uint64_t *wrongs)
{
    struct kc_fence_config config = {.heap = &k->heap,
                                     .space = &k->space,
                                     .attr = {KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL, true},
                                     .slot = f->slot,
                                     .slot_count = KC_FENCED_SLOTS,
                                     .seed = random,
                                     .misuse = &f->misuse};
    struct miss m = {f, faults, wrongs};
    kc_misuse_init(&f->misuse, KC_MISUSE_SILENT);
    kc_status_t st = kc_fence_init(&f->fence, &config);
    if (st != KC_OK) {
        return st;
    }
    uint32_t cpu = kc_plat_cpu();
    k->fence[cpu] = &f->fence;
    st = use(&m, random);
    k->fence[cpu] = NULL;
    kc_status_t ended = kc_fence_fini(&f->fence);
    return st != KC_OK ? st : ended;
}
