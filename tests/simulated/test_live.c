/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model of kc/pt.h (tests/model/pt_model.h) on tables that walkers use: the root is in TTBR0 of
 * every CPU while CPU 0 works through random operations, so that whatever a walker may hold is
 * held, and the monitors judge each step. The unit cases of pt build trees that no TTBR ever names:
 * what they show is what the tables say, not that a change of tables in use is safe.
 *
 * The format is that of the kernel's TCR_EL1, which stays.
 */
#include <kc/a64/regs.h>
#include <kc/early.h>
#include <kc/frame.h>

#include "kc_test.h"
#include "kc_test_cpus.h"
#include "pt_model.h"

#define RAM_BYTES   KC_MIB(4)
#define STORIES     6u
#define STORY_BYTES 300u
#define ASID        5u

static struct {
    struct kc_boot_info info;
    struct kc_early early;
    struct kc_misuse misuse;
    struct kc_frames frames;
    struct kc_a64_format format;
    struct pt_model m;
    uint8_t bytes[STORY_BYTES];
    uint64_t ttbr0;
    const char *wrong;
    uint32_t inside; /* CPUs whose TTBR0 names the root */
    bool over;
} live;

static void start_frames(void)
{
    struct kc_a64_machine machine;
    struct kc_a64_id id = {
        .isar0 = kc_plat_sysreg_read(KC_ID_AA64ISAR0_EL1),
        .mmfr0 = kc_plat_sysreg_read(KC_ID_AA64MMFR0_EL1),
        .mmfr1 = kc_plat_sysreg_read(KC_ID_AA64MMFR1_EL1),
        .mmfr2 = kc_plat_sysreg_read(KC_ID_AA64MMFR2_EL1),
    };
    __builtin_memset(&live, 0, sizeof(live));
    kc_a64_id_decode(&id, &machine);
    cr_assert_eq(kc_a64_format_for(&machine, 48, false, &live.format), KC_OK);
    kc_misuse_init(&live.misuse, KC_MISUSE_SILENT);
    cr_assert(kc_test_ram(RAM_BYTES, &live.info));
    cr_assert_eq(kc_early_init(&live.early, &live.info), KC_OK);
    cr_assert_eq(kc_frames_init(&live.frames, &live.early, &live.misuse), KC_OK);
}

static void use(uint64_t ttbr0)
{
    kc_plat_sysreg_write(KC_TTBR0_EL1, ttbr0);
    kc_plat_barrier(KC_ISB);
}

static void walk_under_it(uint32_t cpu, void *arg)
{
    uint64_t before = kc_plat_sysreg_read(KC_TTBR0_EL1);
    (void)arg;
    use(live.ttbr0);
    __atomic_add_fetch(&live.inside, 1, __ATOMIC_RELEASE);
    if (cpu == 0) {
        struct kc_bytes b = {live.bytes, sizeof(live.bytes), 0};
        while (__atomic_load_n(&live.inside, __ATOMIC_ACQUIRE) < kc_test_cpus()) {
            kc_plat_relax();
        }
        live.wrong = ptm_steps(&live.m, &b);
        __atomic_store_n(&live.over, true, __ATOMIC_RELEASE);
    }
    while (!__atomic_load_n(&live.over, __ATOMIC_ACQUIRE)) {
        kc_plat_relax();
    }
    use(before);
}

/* No CPU may hold a walk of the tree when its pages are given back. */
static void forget_all(void)
{
    kc_plat_tlbi(KC_TLBI_VMALLE1IS, 0);
    kc_plat_barrier(KC_DSB_ISH);
    kc_plat_barrier(KC_ISB);
}

static void one_story(bool any_asid, uint64_t base)
{
    struct kc_pt_config c = {.format = live.format,
                             .source = {.frames = &live.frames},
                             .asid = ASID,
                             .any_asid = any_asid};
    live.inside = 0;
    live.over = false;
    live.wrong = ptm_start(&live.m, &c, base);
    cr_assert_null(live.wrong);
    kc_pt_set_live(&live.m.pt);
    live.ttbr0 = kc_pa_raw(kc_pt_root(&live.m.pt)) | (uint64_t)ASID << 48;
    kc_test_on_cpus(walk_under_it, NULL);
    forget_all();
    cr_expect_null(live.wrong, "%s", live.wrong);
    const char *end = ptm_end(&live.m);
    cr_expect_null(end, "%s", end);
}

static void stories(bool any_asid)
{
    uint64_t state = kc_test_seed() + (any_asid ? 1 : 0);
    start_frames();
    for (uint32_t i = 0; i < STORIES; i++) {
        kc_random_fill(&state, live.bytes, sizeof(live.bytes));
        one_story(any_asid, i % 2 == 0 ? KC_GIB(1) - PTM_PAGES / 2 * PTM_PAGE : 0);
    }
    cr_expect_eq(kc_frames_check(&live.frames, NULL), KC_OK);
    cr_expect_eq(kc_frames_fini(&live.frames), KC_OK);
}

Test(live, model_under_one_asid)
{
    stories(false);
}

Test(live, model_of_global_pages)
{
    stories(true);
}
