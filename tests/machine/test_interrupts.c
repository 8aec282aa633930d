/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where interrupts are taken: at exact speed before any access, at native speed at seam calls. The
 * same file is linked with the native and with the exact library; the guest alone is code under
 * test.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "guest.h"

#define COUNTER_PA (SIM_RAM_BASE + UINT64_C(0x80000))
#define WORDS      16u
#define ROUNDS     16u
#define SWEEP      600u /* the timer's values: longer than what it is to fall into */

static struct guest guest;
static uint64_t *shared; /* what both the main code and the handler use */
static enum guest_tally how;
static uint32_t timers, ipis, depth, depth_max;
static uint32_t lost, fired;
static uint64_t host_words[WORDS]; /* static storage, in no window */
static bool in_host;
static uint64_t hit[WORDS + 1]; /* timers that found so many words set */

static struct machine_config config_for(uint32_t cpus, uint64_t seed,
                                        void (*timer)(void *arg, uint32_t cpu))
{
    struct machine_config c;
    machine_config_default(&c);
    c.cpus = cpus;
    c.seed = seed;
    c.ram_bytes = UINT64_C(64) << 20;
    c.hooks.timer = timer;
    return c;
}

static void create(const struct machine_config *c)
{
    const char *why = NULL;
    cr_assert_eq(machine_create(c, &why), KC_OK, "%s", why);
    timers = ipis = depth = depth_max = lost = fired = 0;
    memset(hit, 0, sizeof hit);
}

static void build(uint32_t cpus, uint64_t seed, void (*timer)(void *arg, uint32_t cpu))
{
    struct machine_config c = config_for(cpus, seed, timer);
    create(&c);
}

/* Run it, and take the machine down. */
static struct machine_result run(machine_cpu_fn f0, machine_cpu_fn f1)
{
    const machine_cpu_fn fn[2] = {f0, f1};
    struct machine_result r;
    machine_run(fn, NULL, f1 != NULL ? 2 : 1, &r);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    machine_destroy();
    return r;
}

static uint64_t *words(void)
{
    return in_host ? host_words : kc_plat_ram(kc_pa(COUNTER_PA));
}

static void arm(uint64_t delay)
{
    kc_plat_timer(kc_plat_ticks() + delay);
}

/* ---- read-modify-writes --------------------------------------------------------------------- */

static void on_tally(void *arg, uint32_t cpu)
{
    (void)arg;
    (void)cpu;
    timers++;
    guest_tally(shared, 1, how);
}

/* Each value of the timer once. */
static void sweep(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    shared = words();
    kc_plat_irq_restore(0);
    for (uint64_t delay = 0; delay < SWEEP; delay++) {
        uint32_t before = timers;
        *shared = 0;
        arm(delay);
        guest_tally(shared, ROUNDS, how);
        kc_plat_timer(UINT64_MAX);
        uint64_t expected = ROUNDS + (timers - before);
        cr_assert(*shared == expected || *shared == expected - 1);
        fired += timers - before;
        lost += *shared != expected;
    }
}

static uint32_t lost_by(enum guest_tally way)
{
    how = way;
    build(1, 1, on_tally);
    run(sweep, NULL);
    cr_assert_geq(fired, ROUNDS, "%u interrupts", fired);
    return lost;
}

Test(interrupts, an_unmasked_read_modify_write_loses_counts_when_exact)
{
    uint32_t n = lost_by(TALLY_PLAIN);
    /* Between the load and the store of each round, and nowhere else. */
    cr_assert_eq(n, machine_is_exact() ? ROUNDS : 0, "%u lost", n);
}

Test(interrupts, a_masked_read_modify_write_loses_no_count)
{
    cr_assert_eq(lost_by(TALLY_MASKED), 0);
}

Test(interrupts, an_atomic_read_modify_write_loses_no_count)
{
    cr_assert_eq(lost_by(TALLY_ADD), 0);
    cr_assert_eq(lost_by(TALLY_EXCHANGE), 0);
}

Test(interrupts, the_same_holds_for_static_storage)
{
    in_host = true;
    cr_assert_eq(lost_by(TALLY_PLAIN), machine_is_exact() ? ROUNDS : 0, "%u lost", lost);
    cr_assert_eq(lost_by(TALLY_MASKED), 0);
    cr_assert_eq(lost_by(TALLY_ADD), 0);
    cr_assert_eq(lost_by(TALLY_EXCHANGE), 0);
}

/* ---- each place ----------------------------------------------------------------------------- */

static void on_marked(void *arg, uint32_t cpu)
{
    uint32_t n = 0;
    (void)arg;
    (void)cpu;
    timers++;
    while (n < WORDS && shared[n] != 0) {
        n++;
    }
    hit[n]++;
}

static void mark(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    shared = words();
    kc_plat_irq_restore(0);
    for (uint64_t delay = 0; delay < SWEEP; delay++) {
        memset(shared, 0, WORDS * sizeof *shared);
        arm(delay);
        guest_mark(shared, WORDS);
        kc_plat_timer(UINT64_MAX);
    }
}

static void reaches_each_place(void)
{
    build(1, 1, on_marked);
    run(mark, NULL);
    for (uint32_t i = 1; i < WORDS; i++) {
        /* Every access takes one tick. */
        cr_expect_eq(hit[i], machine_is_exact() ? 1 : 0, "%lu before word %u",
                     (unsigned long)hit[i], i);
    }
}

Test(interrupts, a_timer_reaches_the_place_before_each_access)
{
    reaches_each_place();
}

Test(interrupts, a_timer_reaches_the_place_before_each_access_to_static_storage)
{
    in_host = true;
    reaches_each_place();
}

/* What the host's time has a part in takes no time here. */
static void measure(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    in_host = true;
    kc_plat_irq_restore(0);
    arm(1000000);
    uint64_t before = kc_plat_ticks();
    guest_mark(words(), WORDS);
    uint64_t after = kc_plat_ticks();
    guest_mark(words(), 1);
    cr_assert_eq(kc_plat_ticks() - after, after - before);
    kc_plat_timer(UINT64_MAX);
}

Test(interrupts, the_hosts_measures_take_no_time)
{
    struct machine_config c = config_for(1, 1, NULL);
    c.measures = host_words;
    c.measures_bytes = sizeof host_words;
    create(&c);
    run(measure, NULL);
}

/* ---- masks ---------------------------------------------------------------------------------- */

static void on_ipi(void *arg, uint32_t cpu)
{
    (void)arg;
    (void)cpu;
    ipis++;
}

static void unmask(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    uint64_t *w = words();
    kc_plat_irq_restore(0);
    uint64_t outer = kc_plat_irq_save();
    uint64_t inner = kc_plat_irq_save();
    arm(0);
    kc_plat_ipi(1);
    guest_mark(w, WORDS);
    cr_assert_eq(timers + ipis, 0);
    kc_plat_irq_restore(inner);
    guest_mark(w, WORDS);
    cr_assert_eq(timers + ipis, 0, "it nests");
    kc_plat_irq_restore(outer);
    cr_assert_eq(timers, 1);
    cr_assert_eq(ipis, 1);
}

static void on_timer(void *arg, uint32_t cpu)
{
    (void)arg;
    (void)cpu;
    timers++;
}

static void build_with_ipi(uint32_t cpus, uint64_t seed, void (*ipi)(void *arg, uint32_t cpu))
{
    struct machine_config c = config_for(cpus, seed, on_timer);
    c.hooks.ipi = ipi;
    c.switch_mean = 4096; /* an interrupt does not wait for the next choice of who runs */
    create(&c);
}

Test(interrupts, what_is_pending_is_taken_at_the_unmask)
{
    build_with_ipi(1, 1, on_ipi);
    run(unmask, NULL);
}

static void send_to_myself(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    shared = words();
    kc_plat_irq_restore(0);
    kc_plat_ipi(1);
    guest_mark(shared, WORDS);
    kc_plat_ticks();
}

Test(interrupts, an_ipi_to_oneself_comes_before_the_next_access)
{
    build_with_ipi(1, 1, on_marked);
    run(send_to_myself, NULL);
    cr_assert_eq(hit[machine_is_exact() ? 0 : WORDS], 1);
}

/* Due again at once: for some time within itself, and then behind itself. */
static void on_again(void *arg, uint32_t cpu)
{
    (void)arg;
    (void)cpu;
    depth++;
    depth_max = depth > depth_max ? depth : depth_max;
    if (++timers < WORDS) {
        arm(timers % 4);
    }
    guest_mark(words(), 8);
    depth--;
}

static void once(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    kc_plat_irq_restore(0);
    arm(3);
    guest_mark(words() + WORDS, 2 * WORDS);
    kc_plat_timer(UINT64_MAX);
}

Test(interrupts, a_handler_is_not_interrupted_but_followed)
{
    build(1, 1, on_again);
    run(once, NULL);
    cr_assert_eq(depth_max, 1);
    cr_assert(timers == WORDS || !machine_is_exact(), "%u", timers);
}

/* ---- faults --------------------------------------------------------------------------------- */

static bool in_fault;
static uint32_t faults, timers_in_fault;

static bool on_fault(void *arg, const struct machine_fault *f)
{
    (void)arg;
    (void)f;
    in_fault = true;
    faults++;
    guest_mark(words(), WORDS);
    guest_map(&guest, 0, SIM_RAM_BASE + UINT64_C(0x100000), D_RW);
    in_fault = false;
    return true;
}

static void on_timer_of_faults(void *arg, uint32_t cpu)
{
    (void)arg;
    (void)cpu;
    timers++;
    timers_in_fault += in_fault;
}

static void fault(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    guest_tables(&guest);
    guest_mmu_on(&guest);
    kc_plat_irq_restore(0);
    for (uint64_t delay = 0; delay < 200; delay++) {
        uint32_t before = timers;
        guest_unmap(&guest, 0, true);
        arm(delay);
        guest_store(GUEST_KVA, 1);
        guest_mark(kc_plat_ptr(kc_va(GUEST_KVA)), WORDS);
        kc_plat_timer(UINT64_MAX);
        fired += timers - before;
    }
}

Test(interrupts, none_is_taken_in_a_fault)
{
    struct machine_config c;
    const char *why = NULL;
    machine_config_default(&c);
    c.hooks.fault = on_fault;
    c.hooks.timer = on_timer_of_faults;
    faults = timers = timers_in_fault = fired = 0;
    cr_assert_eq(machine_create(&c, &why), KC_OK, "%s", why);
    run(fault, NULL);
    cr_assert_eq(faults, 200);
    cr_assert_eq(timers_in_fault, 0);
    cr_assert(fired > 50 || !machine_is_exact(), "%u", fired);
}

/* ---- other CPUs ----------------------------------------------------------------------------- */

static uint64_t sent, taken;
static bool relax_first; /* it is switched out at a wait, not at an access */

static void on_release(void *arg, uint32_t cpu)
{
    (void)arg;
    taken = sim_ticks();
    ipis += cpu == 1;
    guest_mark(words(), 1);
}

static void send(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    kc_plat_ipi(2);
    sent = sim_ticks();
    kc_plat_relax(); /* the other runs */
}

static void spin(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    kc_plat_irq_restore(0);
    if (relax_first) {
        kc_plat_relax();
    }
    if (machine_is_exact()) {
        guest_spin(words()); /* nothing but loads */
    } else {
        while (ipis == 0) {
            kc_plat_relax();
        }
    }
}

/* Without the interrupt it spins for ever. */
Test(interrupts, an_ipi_reaches_a_cpu_that_makes_no_seam_call, .timeout = 60)
{
    for (uint64_t seed = 1; seed < 20; seed++) {
        relax_first = seed % 2 != 0;
        build_with_ipi(2, seed, on_release);
        run(send, spin);
        cr_assert_eq(ipis, 1);
        /* Seam calls are 10 ticks each: the relax here, and the unmask there, if it came after. */
        cr_assert(taken <= sent + 2 * 10 + 1 || !machine_is_exact(), "%lu ticks",
                  (unsigned long)(taken - sent));
    }
}

/* Two CPUs count under a mask of their own and by an atomic, each with a timer that goes on. */
static void on_every(void *arg, uint32_t cpu)
{
    (void)arg;
    timers++;
    arm(37 + cpu);
    guest_tally(words(), 1, TALLY_ADD);
    guest_tally(words() + 1 + cpu, 1, TALLY_PLAIN);
}

static void count(uint32_t cpu, void *arg)
{
    (void)arg;
    kc_plat_irq_restore(0);
    arm(1);
    for (uint32_t i = 0; i < 50; i++) {
        guest_tally(words(), 3, TALLY_ADD);
        guest_tally(words() + 1 + cpu, 1, TALLY_MASKED);
    }
    kc_plat_timer(UINT64_MAX);
}

static struct machine_result count_on_two(uint64_t seed)
{
    uint64_t value[3];
    build(2, seed, on_every);
    const machine_cpu_fn fn[2] = {count, count};
    struct machine_result r;
    machine_run(fn, NULL, 2, &r);
    cr_assert_eq(r.end, MACHINE_END_DONE, "%s", r.text);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert(sim_phys_read(COUNTER_PA + 8 * i, &value[i]));
    }
    cr_assert_eq(value[0], 2 * 50 * 3 + timers);
    cr_assert_eq(value[1] + value[2], 2 * 50 + timers);
    machine_destroy();
    return r;
}

Test(interrupts, one_seed_is_one_schedule)
{
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct machine_result a = count_on_two(seed);
        uint32_t before = timers;
        struct machine_result b = count_on_two(seed);
        cr_assert_eq(timers, before);
        cr_assert_eq(a.schedule, b.schedule);
        cr_assert_eq(a.steps, b.steps);
        cr_assert_eq(a.ticks, b.ticks);
    }
}
