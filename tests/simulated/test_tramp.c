/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kc/tramp.h on the linear map of the kernel that runs: its text is one block of 2 MiB, from which
 * every CPU fetches at each ISB and completing DSB. The monitors judge the steps; that no fetch
 * fails while the block is broken is the machine's to see (known_deaths.c shows that it does).
 */
#include "kc_test.h"
#include "kc_test_cpus.h"
#include "kernel.h"
#include "pt_model.h"

#define BLOCK KC_MIB(2)
#define PAGE  UINT64_C(4096)

static struct {
    struct kc_kernel *k;
    struct kc_tramp_request rq;
    kc_status_t status;
    uint64_t ia;     /* of the text */
    uint64_t fail;   /* frames that the change gets before there are no more */
    uint32_t inside; /* CPUs that came back */
    bool call_off;
} t;

static void set_up(void)
{
    t.k = kc_test_kernel();
    t.rq = (struct kc_tramp_request){.op = KC_TRAMP_OP_COUNT};
    t.fail = UINT64_MAX;
    t.inside = 0;
    t.call_off = false;
    for (uint32_t i = 0; i < t.k->info.range_count; i++) {
        if (t.k->info.range[i].kind == KC_BOOT_TEXT) {
            cr_assert_eq(t.k->info.range[i].size, BLOCK);
            t.ia = t.k->info.linear_base + kc_pa_raw(t.k->info.range[i].base);
        }
    }
}

TestSuite(tramp, .init = set_up);

static struct kc_pt_walk walk(uint64_t ia)
{
    struct kc_pt_walk w;
    cr_assert_eq(kc_pt_translate(&t.k->linear, kc_ia(ia), &w), KC_OK);
    return w;
}

/* An entry of the identity map is global and would refuse this access, not miss it. */
static void expect_nothing_low(void)
{
    struct kc_a64_syndrome s;
    uint64_t word;
    cr_expect_eq(kc_plat_user_read(&word, kc_uva(t.ia - t.k->info.linear_base), 8), 8);
    kc_a64_esr_decode(kc_plat_sysreg_read(KC_ESR_EL1), &s);
    cr_expect_eq(s.fault, KC_A64_FAULT_TRANSLATION);
    cr_expect_eq(s.level, 0);
}

static void on_each(uint32_t cpu, void *arg)
{
    (void)arg;
    if (cpu != 0) {
        kc_kernel_park(t.k);
        expect_nothing_low();
    } else if (t.call_off) {
        kc_tramp_call_off(&t.k->tramp, kc_test_cpus());
    } else {
        kc_frames_fail_after(&t.k->frames, t.fail);
        t.status = kc_kernel_change(t.k, &t.rq);
        kc_frames_fail_after(&t.k->frames, UINT64_MAX);
    }
    /* Nothing of the identity map is left on this CPU, and it runs high. */
    cr_expect_eq(kc_plat_sysreg_read(KC_TTBR0_EL1), kc_pa_raw(t.k->empty_root));
    cr_expect(kc_va_raw(kc_plat_ptr_va(kc_plat_ram(t.k->empty_root))) >= t.k->info.linear_base);
    kc_plat_barrier(KC_ISB); /* which fetches */
    __atomic_add_fetch(&t.inside, 1, __ATOMIC_RELAXED);
}

static kc_status_t change(void)
{
    uint64_t tables = kc_frame_owner_frames(&t.k->frames, KC_FRAME_OWNER_TABLE);
    struct kc_pt_stats before;
    struct kc_pt_stats after;
    kc_pt_stats(&t.k->linear, &before);
    t.inside = 0;
    kc_test_on_cpus(on_each, NULL);
    kc_pt_stats(&t.k->linear, &after);
    cr_assert_eq(t.inside, kc_test_cpus(), "every CPU came back");
    cr_expect_eq(kc_pt_check(&t.k->linear, NULL), KC_OK);
    cr_expect_eq(kc_frame_owner_frames(&t.k->frames, KC_FRAME_OWNER_TABLE) - tables,
                 (uint64_t)after.tables + after.spare - before.tables - before.spare,
                 "no page of the identity map is left");
    return t.status;
}

static void join(void)
{
    t.rq = (struct kc_tramp_request){.op = KC_TRAMP_JOIN, .ia = kc_ia(t.ia), .level = 2};
    cr_assert_eq(change(), KC_OK);
    cr_expect_eq(walk(t.ia).level, 2);
}

static void split(void)
{
    t.rq = (struct kc_tramp_request){.op = KC_TRAMP_SPLIT, .ia = kc_ia(t.ia), .level = 3};
    cr_assert_eq(change(), KC_OK);
    cr_expect_eq(walk(t.ia).level, 3);
}

/* ID_AA64MMFR2_EL1.BBM is 0 on this machine: nothing spares the break. */
Test(tramp, the_block_of_the_running_text_is_split_and_joined)
{
    cr_assert_eq(kc_field_get(kc_plat_sysreg_read(KC_ID_AA64MMFR2_EL1), 55, 52), 0);
    cr_assert_eq(walk(t.ia).level, 2);
    for (uint32_t i = 0; i < 3; i++) {
        split();
        join();
    }
}

/* Another memory type, which must be broken and made, and back. */
Test(tramp, the_running_text_gets_another_memory_type)
{
    t.rq = (struct kc_tramp_request){.op = KC_TRAMP_PROTECT,
                                     .ia = kc_ia(t.ia),
                                     .bytes = BLOCK,
                                     .attr =
                                         kc_pt_attr(KC_PT_R | KC_PT_X, KC_A64_MEM_NORMAL_NC, true)};
    cr_assert_eq(change(), KC_OK);
    cr_expect_eq((int)walk(t.ia).attr.type, KC_A64_MEM_NORMAL_NC);
    t.rq.attr.type = KC_A64_MEM_NORMAL;
    cr_assert_eq(change(), KC_OK);
    cr_expect_eq((int)walk(t.ia).attr.type, KC_A64_MEM_NORMAL);
    cr_expect_eq(walk(t.ia).level, 2);
}

/* A page of the linear map, in whatever block it is. */
static kc_status_t protect_linear(kc_pa_t pa, uint32_t perm)
{
    t.rq = (struct kc_tramp_request){.op = KC_TRAMP_PROTECT,
                                     .ia = kc_ia(t.k->info.linear_base + kc_pa_raw(pa)),
                                     .bytes = PAGE,
                                     .attr = kc_pt_attr(perm, KC_A64_MEM_NORMAL, true)};
    return change();
}

static kc_status_t move_text(kc_pa_t to)
{
    t.rq =
        (struct kc_tramp_request){.op = KC_TRAMP_MOVE, .ia = kc_ia(t.ia), .pa = to, .bytes = PAGE};
    return change();
}

/* The page that the code runs from is replaced by a copy; the copy's own address is read-only, and
   its block, which the kernel's other memory shares, is put together again in the end. */
Test(tramp, the_page_that_runs_is_replaced)
{
    kc_pa_t copy;
    kc_pa_t old = walk(t.ia).pa;
    split();
    cr_assert_eq(kc_frame_alloc(&t.k->frames, 0, 0, KC_FRAME_OWNER_KERNEL, &copy), KC_OK);
    uint64_t linear = t.k->info.linear_base + kc_pa_raw(copy);
    bool block = walk(linear).level == 2;
    __builtin_memcpy(kc_plat_ram(copy), kc_plat_ptr(kc_va(t.ia)), PAGE);
    cr_assert_eq(protect_linear(copy, KC_PT_R), KC_OK);
    cr_assert_eq(move_text(copy), KC_OK);
    cr_expect_eq(kc_pa_raw(walk(t.ia).pa), kc_pa_raw(copy));
    cr_expect_eq(walk(t.ia).attr.perm, KC_PT_R | KC_PT_X);
    cr_assert_eq(move_text(old), KC_OK);
    cr_assert_eq(protect_linear(copy, KC_PT_R | KC_PT_W), KC_OK);
    if (block) {
        t.rq.op = KC_TRAMP_JOIN;
        t.rq.ia = kc_ia(kc_align_down(linear, BLOCK));
        t.rq.level = 2;
        cr_assert_eq(change(), KC_OK);
    }
    cr_expect_eq(kc_frame_free(&t.k->frames, copy, 0), KC_OK);
    join();
}

/* Want of any page, of the identity map or of the split: nothing is changed, and all come back. */
Test(tramp, want_of_memory_changes_nothing)
{
    uint64_t hash = ptm_hash(&t.k->linear);
    kc_status_t status = KC_ERR_NOMEM;
    t.rq = (struct kc_tramp_request){.op = KC_TRAMP_SPLIT, .ia = kc_ia(t.ia), .level = 3};
    for (t.fail = 0; status == KC_ERR_NOMEM; t.fail++) {
        status = change();
        if (status == KC_ERR_NOMEM) {
            cr_assert_eq(ptm_hash(&t.k->linear), hash, "after %llu frames",
                         (unsigned long long)t.fail);
        }
    }
    cr_assert_eq(status, KC_OK);
    cr_expect_gt(t.fail, 3, "the tables of the identity map, and of the split");
    t.fail = UINT64_MAX;
    join();
}

Test(tramp, what_is_refused_lets_everybody_go)
{
    uint64_t hash = ptm_hash(&t.k->linear);
    cr_expect_eq(change(), KC_ERR_ARG, "no such operation");
    t.rq = (struct kc_tramp_request){.op = KC_TRAMP_JOIN, .ia = kc_ia(t.ia), .level = 2};
    cr_expect_eq(change(), KC_ERR_ABSENT, "a block already");
    t.rq =
        (struct kc_tramp_request){.op = KC_TRAMP_PROTECT,
                                  .ia = kc_ia(t.ia),
                                  .bytes = PAGE,
                                  .attr = {KC_PT_R | KC_PT_W | KC_PT_X, KC_A64_MEM_NORMAL, true}};
    cr_expect_eq(change(), KC_ERR_PERM, "write xor execute");
    t.call_off = true;
    change();
    cr_expect_eq(ptm_hash(&t.k->linear), hash);
}

/* The leaf of the tables, the frames and, on metal, of the stacks: all that is not text. */
Test(tramp, the_tables_own_memory_gets_another_type)
{
    uint64_t ia = kc_align_down(t.k->info.linear_base + kc_pa_raw(t.k->linear.root), BLOCK);
    uint32_t level = walk(ia).level;
    t.rq = (struct kc_tramp_request){.op = KC_TRAMP_PROTECT,
                                     .ia = kc_ia(ia),
                                     .bytes = BLOCK,
                                     .attr =
                                         kc_pt_attr(KC_PT_R | KC_PT_W, KC_A64_MEM_NORMAL_NC, true)};
    cr_assert_eq(change(), KC_OK);
    cr_expect_eq((int)walk(ia).attr.type, KC_A64_MEM_NORMAL_NC);
    t.rq.attr.type = KC_A64_MEM_NORMAL;
    cr_assert_eq(change(), KC_OK);
    cr_expect_geq(walk(ia).level, level);
}
