/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs at EL0: what they may do, what brings them back and with which syndrome, and that they
 * go on where they were. The same file is linked with the native and with the exact library.
 */
#include <criterion/criterion.h>

#include "guest.h"

static struct guest guest;
static struct kc_user_context context;
static struct kc_user_exit why;
static kc_status_t status;
static uint64_t begin_with; /* the deed */
static uint64_t result;     /* x0 of the program's stop */
static uint32_t timers;

static bool no_answer(void *arg, const struct machine_fault *f)
{
    (void)arg;
    (void)f;
    return false;
}

static void on_timer(void *arg, uint32_t cpu)
{
    (void)arg;
    (void)cpu;
    timers++;
}

static void fresh(struct kc_user_context *u, uint64_t deed)
{
    *u = (struct kc_user_context){.x = {deed},
                                  .sp = GUEST_STACK + 2 * GUEST_PAGE,
                                  .pc = GUEST_TEXT,
                                  .program = guest_program};
}

static void boot(void)
{
    guest_tables(&guest);
    guest_mmu_on(&guest);
    guest_program_pages(&guest);
}

/* Until it comes back by something else than an interrupt. */
static void go_on(void)
{
    do {
        status = kc_plat_user_run(&context, &why);
    } while (status == KC_OK && why.kind == KC_USER_IRQ);
}

static struct machine_result run_on(uint32_t cpus, machine_cpu_fn fn)
{
    struct machine_config c;
    const char *text = NULL;
    struct machine_result r;
    machine_config_default(&c);
    c.cpus = cpus;
    c.ram_bytes = UINT64_C(64) << 20;
    c.hooks.fault = no_answer;
    c.hooks.timer = on_timer;
    timers = 0;
    why = (struct kc_user_exit){.kind = KC_USER_EXIT_COUNT};
    cr_assert_eq(machine_create(&c, &text), KC_OK, "%s", text);
    machine_run(&fn, NULL, 1, &r);
    machine_destroy();
    return r;
}

static void do_it(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    boot();
    fresh(&context, begin_with);
    go_on();
    if (why.kind == KC_USER_CALL && context.x[8] == GUEST_LOOK) {
        /* What the kernel has just touched is no more the program's than anything else. */
        uint32_t tag = begin_with == DEED_READS_TAGGED ? GUEST_TAG : 0;
        uint8_t *p =
            (uint8_t *)kc_plat_tag_set(kc_plat_ptr(kc_va(SIM_LINEAR_BASE + SIM_RAM_BASE)), 16, tag);
        result = guest_load_from(p + 8);
        result += guest_load_from(p + 8);
        go_on();
    }
}

/* The deed brings the program back by that exception, at that address. */
static void expect_exception(enum guest_deed deed, uint64_t esr, uint64_t far)
{
    begin_with = deed;
    struct machine_result r = run_on(1, do_it);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert_eq(status, KC_OK);
    cr_assert_eq(why.kind, KC_USER_FAULT);
    cr_assert_eq(why.esr, esr, "ESR 0x%llx", (unsigned long long)why.esr);
    cr_assert_eq(why.far, far, "FAR 0x%llx", (unsigned long long)why.far);
}

/* EC 0x24: data abort, 0x20: instruction abort, both from EL0; IL; WnR is bit 6 (D17.2.37). */
Test(user, write_to_read_only_memory_is_a_permission_fault)
{
    expect_exception(DEED_WRITES_TEXT, 0x9200004f, GUEST_TEXT + 16);
}

Test(user, read_of_nothing_is_a_translation_fault)
{
    expect_exception(DEED_READS_NOTHING, 0x92000007, GUEST_NOTHING + 24);
}

Test(user, kernel_memory_is_a_permission_fault)
{
    /* a block of level 1 */
    expect_exception(DEED_READS_KERNEL, 0x9200000d, SIM_LINEAR_BASE + SIM_RAM_BASE + 8);
}

Test(user, kernel_memory_with_a_tag_is_a_permission_fault)
{
    expect_exception(DEED_READS_TAGGED, 0x9200000d, SIM_LINEAR_BASE + SIM_RAM_BASE + 8);
}

Test(user, memory_of_el1_in_the_lower_half_is_a_permission_fault)
{
    expect_exception(DEED_READS_PRIVATE, 0x9200000f, GUEST_PRIVATE);
}

Test(user, data_is_not_executed)
{
    expect_exception(DEED_RUNS_DATA, 0x8200000f, GUEST_DATA + 32);
}

Test(user, undefined_and_privileged_instructions_and_seam_calls_are_undefined)
{
    begin_with = DEED_UNDEFINED;
    for (; begin_with <= DEED_SEAM; begin_with++) {
        struct machine_result r = run_on(1, do_it);
        cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
        cr_assert_eq(why.kind, KC_USER_FAULT);
        cr_assert_eq(why.esr, 0x02000000, "ESR 0x%llx", (unsigned long long)why.esr);
    }
}

Test(user, a_stack_that_overflows_faults_in_the_page_below_it)
{
    begin_with = DEED_OVERFLOWS;
    struct machine_result r = run_on(1, do_it);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert_eq(why.kind, KC_USER_FAULT);
    cr_assert_eq(why.esr, 0x92000047);
    cr_assert(why.far >= GUEST_NOTHING && why.far < GUEST_STACK);
}

Test(user, host_memory_is_nothing_to_a_program)
{
    if (!machine_is_exact()) {
        cr_skip_test("only the exact machine sees it");
    }
    begin_with = DEED_HOST;
    struct machine_result r = run_on(1, do_it);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert_eq(why.kind, KC_USER_FAULT);
    cr_assert_eq(why.esr >> 26, 0x24);
    cr_assert_eq(why.far, (uintptr_t)&guest_host_word);
}

/* ---- going on ------------------------------------------------------------------------------- */

static void serve(uint32_t cpu, void *arg)
{
    uint64_t word = 0;
    (void)cpu;
    (void)arg;
    boot();
    fresh(&context, DEED_WORKS);
    go_on();
    cr_assert_eq(why.kind, KC_USER_CALL);
    cr_assert_eq(why.esr >> 26, 0x15);
    cr_assert_eq(context.x[8], 7);
    cr_assert_eq(context.x[1], 2);
    cr_assert_eq(context.x[2], 3);
    cr_assert_eq(kc_plat_user_read(&word, kc_uva(context.x[0]), 8), 0);
    cr_assert_eq(word, 0x1122);
    word = 1000;
    cr_assert_eq(kc_plat_user_write(kc_uva(context.x[0]), &word, 8), 0);
    context.x[0] = 200000;
    go_on();
    cr_assert_eq(why.kind, KC_USER_CALL);
    cr_assert_eq(context.x[8], GUEST_STOP);
    result = context.x[0];
}

Test(user, a_call_is_answered_and_the_program_goes_on)
{
    struct machine_result r = run_on(1, serve);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert_eq(result, 200000 + 1000 + 4 + 3 + 2 + 1);
}

static void make_good(uint32_t cpu, void *arg)
{
    do_it(cpu, arg);
    cr_assert_eq(why.far, GUEST_NOTHING + 24);
    go_on();
    cr_assert_eq(why.far, GUEST_NOTHING + 24, "as long as nothing is there");
    cr_assert(sim_phys_write(SIM_RAM_BASE + UINT64_C(0x300000) + 24, 4711));
    guest_user_page(&guest, 2, SIM_RAM_BASE + UINT64_C(0x300000), D_RW | D_AP(1));
    go_on();
    cr_assert_eq(why.kind, KC_USER_CALL);
    result = context.x[0];
}

Test(user, an_access_that_was_made_good_is_made)
{
    begin_with = DEED_READS_NOTHING;
    struct machine_result r = run_on(1, make_good);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert_eq(result, 4711);
}

static void lazy_stack(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    boot();
    fresh(&context, DEED_WORKS);
    context.sp = GUEST_NOTHING + GUEST_PAGE;
    go_on();
    cr_assert_eq(why.kind, KC_USER_FAULT);
    cr_assert_eq(why.esr, 0x92000047);
    cr_assert(why.far >= GUEST_NOTHING && why.far < GUEST_STACK);
    guest_user_page(&guest, 2, SIM_RAM_BASE + UINT64_C(0x300000), D_RW | D_AP(1));
    go_on();
    cr_assert_eq(why.kind, KC_USER_CALL);
}

Test(user, a_stack_that_is_not_there_yet_faults_first)
{
    struct machine_result r = run_on(1, lazy_stack);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
}

static void no_text(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    boot();
    fresh(&context, DEED_WORKS);
    context.pc = GUEST_DATA;
    go_on();
}

Test(user, text_has_to_be_executable)
{
    struct machine_result r = run_on(1, no_text);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert_eq(why.kind, KC_USER_FAULT);
    cr_assert_eq(why.esr, 0x8200000f);
    cr_assert_eq(why.far, GUEST_DATA);
}

static uint32_t interrupted;

static void preempt(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    boot();
    fresh(&context, DEED_SPINS);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t before = timers;
        kc_plat_timer(kc_plat_ticks() + 5000);
        do {
            cr_assert_eq(kc_plat_user_run(&context, &why), KC_OK);
            interrupted += why.kind == KC_USER_IRQ;
        } while (timers == before);
    }
    /* Its work goes on, whatever fell into it. */
    cr_assert(why.kind == KC_USER_IRQ || why.kind == KC_USER_CALL);
}

Test(user, interrupts_are_taken_from_a_program_whatever_the_kernel_masks)
{
    interrupted = 0;
    struct machine_result r = run_on(1, preempt);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    cr_assert_eq(timers, 3);
    cr_assert(interrupted != 0 || !machine_is_exact(),
              "natively they fall into the kernel's steps");
}

/* ---- refused -------------------------------------------------------------------------------- */

static void wrong_ways(uint32_t cpu, void *arg)
{
    static struct kc_user_context other;
    (void)cpu;
    (void)arg;
    fresh(&context, DEED_WORKS);
    cr_assert_eq(kc_plat_user_run(&context, &why), KC_ERR_STATE, "the MMU is off");
    boot();
    go_on();
    cr_assert_eq(status, KC_OK);
    fresh(&other, DEED_WORKS);
    cr_assert_eq(kc_plat_user_run(&other, &why), KC_OK, "another begins");
    why.kind = KC_USER_EXIT_COUNT;
    cr_assert_eq(kc_plat_user_run(&context, &why), KC_ERR_STATE, "and ends the first");
    cr_assert_eq(why.kind, KC_USER_EXIT_COUNT);
}

Test(user, one_program_a_cpu)
{
    struct machine_result r = run_on(1, wrong_ways);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
}

static void call_from_the_kernel(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    boot();
    kc_plat_user_call(1, 0, 0, 0);
}

Test(user, the_kernel_has_no_business_with_a_programs_instructions)
{
    struct machine_result r = run_on(1, call_from_the_kernel);
    cr_assert_eq(r.end, MACHINE_END_PANIC, "%s", r.text);
}
