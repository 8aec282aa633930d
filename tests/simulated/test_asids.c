/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ASIDs on several CPUs: fewer of them than there are spaces, so that every CPU rolls over under
 * the others' feet. Each space maps one page of its own at the one address that all of them use;
 * who reads another's number was translated by a stale entry, and the monitors judge each step
 * (T21: an ASID that goes to a root while something of another root may be held under it).
 *
 *     CPU 0   space 0 .. 11, each entered, written, read, left; some are destroyed and made again
 *     CPU 1   space 12 .. 23
 *     ...     and one space that all CPUs enter, so that it is running when others roll over
 */
#include <kc/frame.h>

#include "kc_bytes.h"
#include "kc_test.h"
#include "kc_test_cpus.h"
#include "kernel.h"

#define PAGE      UINT64_C(4096)
#define EACH      12u
#define ROUNDS    150u
#define ASID_BITS 4u

struct one {
    struct kc_aspace space;
    struct kc_area area[1];
    uint64_t stamp; /* what its page holds */
};

static struct {
    struct kc_kernel *k;
    struct kc_asids asids;
    struct one own[KC_CPUS_MAX][EACH];
    struct one shared;
    uint64_t seed;
    kc_ia_t at;
} a;

static void make(struct one *o)
{
    struct kc_aspace_config c = {
        .kind = KC_ASPACE_USER,
        .name = "one",
        .frames = &a.k->frames,
        .asids = &a.asids,
        .format = a.k->lower,
        .base = kc_ia(a.k->info.user_base),
        .bytes = a.k->info.user_bytes,
        .areas = o->area,
        .area_max = 1,
    };
    struct kc_aspace_request rq = {.fixed = true, .at = a.at, .bytes = PAGE};
    kc_ia_t ia;
    cr_expect_eq(kc_aspace_init(&o->space, &c), KC_OK);
    cr_expect_eq(kc_aspace_reserve(&o->space, &rq, &ia), KC_OK);
    cr_expect_eq(
        kc_aspace_map_new(&o->space, a.at, PAGE,
                          kc_pt_attr(KC_PT_R | KC_PT_W | KC_PT_USER, KC_A64_MEM_NORMAL, false)),
        KC_OK);
    o->stamp = 0;
}

static uint64_t load(void)
{
    uint64_t v = UINT64_MAX;
    cr_expect_eq(kc_plat_user_read(&v, kc_uva_of_ia(a.at), sizeof(v)), 0);
    return v;
}

static void store(uint64_t v)
{
    cr_expect_eq(kc_plat_user_write(kc_uva_of_ia(a.at), &v, sizeof(v)), 0);
}

static void visit(struct one *o, uint64_t stamp)
{
    cr_expect_eq(kc_aspace_activate(&o->space), KC_OK);
    cr_expect_eq(load(), o->stamp);
    o->stamp = stamp;
    store(stamp);
    kc_plat_relax(); /* others may roll over now */
    cr_expect_eq(load(), stamp);
    cr_expect_eq(kc_aspace_deactivate(&o->space), KC_OK);
}

static void visit_shared(void)
{
    cr_expect_eq(kc_aspace_activate(&a.shared.space), KC_OK);
    for (uint32_t i = 0; i < 3; i++) {
        cr_expect_eq(load(), UINT64_C(0x5a5a));
        kc_plat_relax();
    }
    cr_expect_eq(kc_aspace_deactivate(&a.shared.space), KC_OK);
}

static void work(uint32_t cpu, void *arg)
{
    uint64_t state = a.seed + cpu;
    (void)arg;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct one *o = &a.own[cpu][kc_random(&state) % EACH];
        visit(o, kc_random(&state));
        if (kc_random(&state) % 8 == 0) {
            cr_expect_eq(kc_aspace_fini(&o->space), KC_OK);
            make(o);
        }
        if (kc_random(&state) % 4 == 0) {
            visit_shared();
        }
    }
}

Test(asids, rollovers_under_all_cpus)
{
    a.k = kc_test_kernel();
    a.seed = kc_test_seed();
    a.at = kc_ia(a.k->info.user_base + 16 * PAGE);
    cr_assert_eq(kc_asids_init(&a.asids, ASID_BITS, a.k->empty_root), KC_OK);
    make(&a.shared);
    cr_assert_eq(kc_aspace_activate(&a.shared.space), KC_OK);
    store(UINT64_C(0x5a5a));
    cr_assert_eq(kc_aspace_deactivate(&a.shared.space), KC_OK);
    for (uint32_t cpu = 0; cpu < kc_test_cpus(); cpu++) {
        for (uint32_t i = 0; i < EACH; i++) {
            make(&a.own[cpu][i]);
        }
    }
    kc_test_on_cpus(work, NULL);
    if (kc_test_cpus() > 1) {
        cr_expect_gt(a.asids.rollovers, 3);
    }
    for (uint32_t cpu = 0; cpu < kc_test_cpus(); cpu++) {
        for (uint32_t i = 0; i < EACH; i++) {
            cr_expect_eq(kc_aspace_check(&a.own[cpu][i].space, NULL), KC_OK);
            cr_expect_eq(kc_aspace_fini(&a.own[cpu][i].space), KC_OK);
        }
    }
    cr_expect_eq(kc_aspace_fini(&a.shared.space), KC_OK);
}
