/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The harness on the simulated machine: the kernel boots, and its workload is our own runner.
 * Cases, harness and core are all code under test: at exact speed each of their accesses is judged.
 *
 * Nouns: the *test range* is a reserved range of simulated RAM, mapped by the kernel and never
 * allocated by it; kc_test_ram() gives it out, and the case's own objects make tables of it and
 * give it to allocators. A *leftover* is what a case has not undone when it ends: pages that the
 * monitors still know as tables, translations of a user space, masked interrupts, locks of a panic.
 *
 *     machine, monitors -> kc_kernel_boot -> kc_kernel_main -> work: every case -> down -> verdict
 *
 * Invariants
 *   I1  a case in which a monitor reports is failed, whatever the case itself says.
 *   I2  a report between cases, in boot or in shutdown, fails the whole run.
 *   I3  leftovers are removed by the protocol of the architecture itself (empty root, TLBI, DSB,
 *       then the notes), so the next case begins on memory that no TLB can reach as a table.
 *   I4  a run in which the monitors judged no access is failed: they were not attached.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kc/tag.h>

#include "kernel.h"
#include "machine.h"
#include "monitor.h"

#include "kc_test.h"
#include "kc_test_body.h"
#include "kc_test_cpus.h"

#define RANGE_BASE  (SIM_RAM_BASE + KC_MIB(64))
#define RANGE_BYTES KC_MIB(16)
#define STUCK_LIMIT UINT64_C(50000000) /* the other CPUs wait while long cases run on CPU 0 */

/* The kernel is the machine's "image": it is in no simulated RAM, like the code itself. */
static struct kc_kernel kernel;
static struct kc_boot_info info;
static struct monitor *monitor;
static bool in_cases; /* CPU 0 is inside kc_test_run() */

static struct {
    char name[160];
    uint64_t reported; /* by the monitors before it began */
} running;

/* ---- what the harness asks ------------------------------------------------------------------ */

static void write_all(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, text, n);
        if (done <= 0) {
            return;
        }
        text += done;
        n -= (size_t)done;
    }
}

void kc_test_write_body(const char *text, size_t n, bool is_protocol)
{
    write_all(is_protocol ? STDOUT_FILENO : STDERR_FILENO, text, n);
}

static bool number(const char *text, uint64_t *out)
{
    char *end;
    if (text == NULL || *text == 0) {
        return false;
    }
    *out = strtoull(text, &end, 0);
    return *end == 0;
}

bool kc_test_seed_body(uint64_t *out)
{
    /* Never KC_TEST_SEED alone: the machine has a seed of its own, and one of them gives the other.
     */
    *out = sim_seed();
    return true;
}

bool kc_test_ram_body(uint64_t bytes, struct kc_boot_info *bi)
{
    if (bytes == 0 || bytes > RANGE_BYTES || bytes % SIM_PAGE_BYTES != 0) {
        return false;
    }
    /* A case before may have left with live blocks. */
    kc_tag_wipe(kc_plat_ram(kc_pa(RANGE_BASE)), bytes);
    __builtin_memset(kc_plat_ram(kc_pa(RANGE_BASE)), 0, bytes);
    *bi = info;
    bi->cpu_count = KC_CPUS_MAX;
    bi->range_count = 1;
    bi->range[0] =
        (struct kc_boot_range){.base = kc_pa(RANGE_BASE), .size = bytes, .kind = KC_BOOT_RAM};
    return true;
}

/* I3. The kernel's own user side is empty while the cases run. */
void kc_test_ram_release_body(void)
{
    kc_plat_sysreg_write(KC_TTBR0_EL1, kc_pa_raw(kernel.empty_root));
    /* No walk of the case's tables may start after this point, ... */
    kc_plat_barrier(KC_ISB);
    /* ... and nothing that they said may be left. */
    kc_plat_tlbi(KC_TLBI_VMALLE1IS, 0);
    kc_plat_barrier(KC_DSB_ISH);
    kc_plat_barrier(KC_ISB);
    for (uint64_t pa = RANGE_BASE; pa < RANGE_BASE + RANGE_BYTES; pa += SIM_PAGE_BYTES) {
        if (mon_is_table(monitor, pa)) {
            kc_plat_note(KC_NOTE_TABLE_FREE, pa, SIM_PAGE_BYTES, NULL);
        }
    }
    /* What a register, or a table by hand, still made one of. */
    for (uint64_t pa = RANGE_BASE; pa < RANGE_BASE + RANGE_BYTES; pa += SIM_PAGE_BYTES) {
        if (mon_is_table(monitor, pa)) {
            kc_plat_note(KC_NOTE_FRAME_FREE, pa, SIM_PAGE_BYTES, NULL);
        }
    }
}

void kc_test_listen_body(bool on)
{
    (void)on; /* the machine hears everything */
}

bool kc_test_is_test_thread_body(void)
{
    return in_cases && kc_plat_cpu() == 0;
}

void kc_test_running_body(const char *suite, const char *name)
{
    if (name != NULL) {
        kc_test_format(running.name, sizeof running.name, "%s.%s", suite, name);
        running.reported = mon_total(monitor);
        return;
    }
    kc_plat_timer(UINT64_MAX);
    kc_test_on_timer(NULL, NULL);
    uint64_t reports = mon_total(monitor) - running.reported; /* I1 */
    running.reported += reports;
    running.name[0] = 0;
    kc_plat_irq_restore(0); /* a panic may have left them masked */
    cr_expect_eq(reports, 0, "reports of the monitors in this case");
}

/* ---- the other CPUs ------------------------------------------------------------------------- */

static struct {
    kc_test_cpu_fn fn; /* NULL: go home */
    void *arg;
    uint32_t round; /* counts jobs; stored last */
    uint32_t done;
} job;

struct kc_kernel *kc_test_kernel(void)
{
    return &kernel;
}

uint32_t kc_test_cpus(void)
{
    return __atomic_load_n(&kernel.online, __ATOMIC_RELAXED);
}

static void post(kc_test_cpu_fn fn, void *arg)
{
    job.fn = fn;
    job.arg = arg;
    __atomic_store_n(&job.done, 0, __ATOMIC_RELAXED);
    __atomic_add_fetch(&job.round, 1, __ATOMIC_RELEASE);
    kc_plat_event();
}

void kc_test_on_cpus(kc_test_cpu_fn fn, void *arg)
{
    post(fn, arg);
    fn(0, arg);
    while (__atomic_load_n(&job.done, __ATOMIC_ACQUIRE) < kc_test_cpus() - 1) {
        kc_plat_relax();
    }
}

static void work_other(struct kc_kernel *k, uint32_t cpu, void *arg)
{
    (void)k;
    (void)arg;
    for (uint32_t round = 1;; round++) {
        while (__atomic_load_n(&job.round, __ATOMIC_ACQUIRE) < round) {
            kc_plat_relax();
        }
        if (job.fn == NULL) {
            return;
        }
        job.fn(cpu, job.arg);
        __atomic_add_fetch(&job.done, 1, __ATOMIC_RELEASE);
    }
}

/* ---- timers --------------------------------------------------------------------------------- */

static struct {
    kc_test_cpu_fn fn;
    void *arg;
} handler;

void kc_test_on_timer(kc_test_cpu_fn fn, void *arg)
{
    handler.fn = fn;
    handler.arg = arg;
}

static void on_timer(void *arg, uint32_t cpu)
{
    (void)arg;
    if (handler.fn != NULL) {
        handler.fn(cpu, handler.arg);
    }
}

/* ---- accesses that fault -------------------------------------------------------------------- */

#define ESR_FAULT     0x3fu /* DDI 0487, D17.2.37: DFSC */
#define ESR_TAG_CHECK 0x11u

/* Volatile: the handler of faults looks at it, in the middle of an access. */
static volatile struct {
    void *p; /* the byte that is tried; NULL: none */
    bool faulted;
} trial;

/* So that what is tried goes on, its granule has the tag that it takes for right. */
static bool is_tried(const struct machine_fault *f)
{
    if (trial.p == NULL || (f->esr & ESR_FAULT) != ESR_TAG_CHECK) {
        return false;
    }
    trial.faulted = true;
    kc_tag_restore(trial.p, 1);
    return true;
}

static bool faults(uint32_t tag, volatile unsigned char *p, bool write, unsigned char *byte)
{
    trial.faulted = false;
    trial.p = (void *)(uintptr_t)p;
    if (write) {
        *p = *byte;
    } else {
        *byte = *p;
    }
    trial.p = NULL;
    if (trial.faulted) {
        (void)kc_plat_tag_set((void *)(uintptr_t)p, 1, tag);
    }
    return trial.faulted;
}

bool kc_test_can_access(const void *p)
{
    if (!machine_is_exact()) {
        return kc_tag_fits(p);
    }
    unsigned char byte;
    uint32_t tag = kc_plat_tag_get(p);
    bool reads = !faults(tag, (unsigned char *)(uintptr_t)p, false, &byte);
    bool writes = !faults(tag, (unsigned char *)(uintptr_t)p, true, &byte);
    cr_expect_eq(reads, writes);
    return reads;
}

/* ---- the work ------------------------------------------------------------------------------- */

struct tests {
    struct kc_test_run run;
    struct kc_test_result result;
    kc_status_t boot, main;
};

static kc_status_t work_main(struct kc_kernel *k, void *arg)
{
    struct tests *t = (struct tests *)arg;
    (void)k;
    in_cases = true;
    t->result = kc_test_run(&t->run);
    in_cases = false;
    post(NULL, NULL);
    return KC_OK;
}

static void run_cpu0(uint32_t cpu, void *arg)
{
    struct tests *t = (struct tests *)arg;
    struct kc_work work = {.name = "tests", .main = work_main, .other = work_other, .arg = t};
    (void)cpu;
    t->boot = kc_kernel_boot(&kernel, &info);
    if (t->boot == KC_OK) {
        machine_enter_linear();
        t->main = kc_kernel_main(&kernel, &work);
    }
}

/* ---- hooks of the machine ------------------------------------------------------------------- */

static bool on_fault(void *arg, const struct machine_fault *f)
{
    struct kc_fault fault = {.esr = f->esr, .far = f->far, .elr = 0, .cpu = f->cpu};
    if (is_tried(f)) {
        return true;
    }
    return kc_kernel_fault((struct kc_kernel *)arg, &fault);
}

static void on_ipi(void *arg, uint32_t cpu)
{
    (void)cpu;
    kc_kernel_ipi((struct kc_kernel *)arg);
}

static void on_cpu_main(void *arg, uint32_t cpu, void *cpu_arg)
{
    (void)arg;
    kc_kernel_cpu_main(cpu, cpu_arg);
}

static void on_panic(void *arg, const struct kc_panic *why)
{
    (void)arg;
    kc_test_on_panic(why);
}

static void console(void *arg, const char *text, size_t n)
{
    (void)arg;
    write_all(STDERR_FILENO, text, n);
}

/* ---- the program ---------------------------------------------------------------------------- */

struct options {
    uint64_t seed;
    uint64_t cpus;
    const char *orders; /* file for the sites with an order */
    bool random;
    bool weaken; /* some site was asked for */
    bool races;  /* judged; --no-races tells what they cost */
};

static bool make_machine(const struct options *o)
{
    struct machine_config mc;
    const char *why = "";
    machine_config_default(&mc);
    mc.cpus = (uint32_t)o->cpus;
    mc.seed = o->seed;
    mc.policy = o->random ? MACHINE_RANDOM : MACHINE_EAGER;
    mc.text_bytes = KC_MIB(2); /* one block, which changes under the code are tried on */
    mc.stuck_limit = STUCK_LIMIT;
    mc.hooks = (struct machine_hooks){.arg = &kernel,
                                      .fault = on_fault,
                                      .ipi = on_ipi,
                                      .timer = on_timer,
                                      .cpu_main = on_cpu_main,
                                      .console = console,
                                      .panic = on_panic};
    if (machine_create(&mc, &why) != KC_OK) {
        fprintf(stderr, "cannot build the machine: %s\n", why);
        return false;
    }
    struct mon_config config = {.cpu_count = sim_cpus(), .seed = o->seed, .words = stderr};
    machine_monitor_side(&config.machine);
    monitor = mon_create(&config);
    if (monitor == NULL) {
        fprintf(stderr, "no memory for the monitors\n");
        return false;
    }
    /* The one row that is not judged: the model of pt maps one page here writable and there
       executable, which is for its caller to forbid. pt does what it is asked. */
    mon_set_policy(monitor, MON_T27, MON_OFF);
    mon_set_policy(monitor, MON_R1,
                   !o->races   ? MON_OFF
                   : o->weaken ? MON_PANIC /* the first is enough to tell */
                               : MON_REPORT);
    machine_attach(monitor);
    machine_boot_info(&info);
    info.range[info.range_count++] = (struct kc_boot_range){
        .base = kc_pa(RANGE_BASE), .size = RANGE_BYTES, .kind = KC_BOOT_RESERVED};
    return true;
}

static bool write_orders(const char *path)
{
    FILE *to = fopen(path, "w");
    if (to == NULL) {
        return false;
    }
    machine_write_orders(to);
    return fclose(to) == 0;
}

static void say_judgements(void)
{
    fprintf(stderr, "# judgements:");
    for (uint32_t row = 0; row < MON_ROW_COUNT; row++) {
        fprintf(stderr, " %s %llu", mon_row_name((enum mon_row)row),
                (unsigned long long)mon_judgements(monitor, (enum mon_row)row));
    }
    fprintf(stderr, "\n");
}

static void say(void *ctx, const char *text, size_t n)
{
    (void)ctx;
    printf("%.*s", (int)n, text);
}

/* The machine is at rest: what is read now makes no event. */
static void explain(const struct machine_fault *f)
{
    const struct kc_explain_regs regs = {.esr = f->esr,
                                         .far = f->far,
                                         .sctlr = sim_sysreg(f->cpu, KC_SCTLR_EL1),
                                         .tcr = sim_sysreg(f->cpu, KC_TCR_EL1),
                                         .mair = sim_sysreg(f->cpu, KC_MAIR_EL1),
                                         .ttbr0 = sim_sysreg(f->cpu, KC_TTBR0_EL1),
                                         .ttbr1 = sim_sysreg(f->cpu, KC_TTBR1_EL1)};
    kc_kernel_explain(&kernel, &regs, f->cpu, say, NULL);
}

/* What the cases themselves cannot say: false if the run as a whole is bad. */
static bool verdict(const struct tests *t, const struct machine_result *m)
{
    bool good = true;
    if (m->end != MACHINE_END_DONE) {
        printf("\nBail out! %s: %s\n", running.name[0] != 0 ? running.name : "between cases",
               m->text);
        if (m->end == MACHINE_END_FAULT && m->fault.esr != 0) {
            explain(&m->fault);
        }
        return false;
    }
    if (t->boot != KC_OK || t->main != KC_OK) {
        printf("# the kernel ended with %s, %s\n", kc_status_name(t->boot),
               kc_status_name(t->main));
        good = false;
    }
    if (mon_total(monitor) != 0) {
        printf("# %llu reports of the monitors\n", (unsigned long long)mon_total(monitor));
        good = false;
    }
    if (mon_judgements(monitor, MON_T16) == 0) {
        printf("# the monitors judged no access\n"); /* I4 */
        good = false;
    }
    return good;
}

/* Cases that say nothing else are written for one. Not const: clang would believe what stands here,
 * whatever the program says. */
__attribute__((weak)) struct kc_test_cpu_range kc_test_cpu_range = {1, 1};

static int usage(FILE *to)
{
    fprintf(to,
            "usage: unit-exact|unit-native [--tap] [--list] [--seed N] [--cpus N] [--random] "
            "[SUITE[.NAME]]\n"
            "       --cpus: the cases of this program are for %u to %u\n",
            kc_test_cpu_range.least, kc_test_cpu_range.most);
    fprintf(to, "       exact alone: [--no-races] [--orders FILE] "
                "[--weaken K[,K...]|acquire|release|acq_rel|seq_cst]\n");
    return to == stdout ? 0 : 2;
}

/* An option with its value, if it is one that this program knows. */
static bool takes_value(const char *word, const char *value, struct options *o)
{
    if (strcmp(word, "--seed") == 0) {
        return number(value, &o->seed);
    }
    if (strcmp(word, "--weaken") == 0) {
        o->weaken = true;
        return machine_weaken(value);
    }
    if (strcmp(word, "--orders") == 0) {
        o->orders = value;
        return true;
    }
    return strcmp(word, "--cpus") == 0 && number(value, &o->cpus) &&
           o->cpus >= kc_test_cpu_range.least && o->cpus <= kc_test_cpu_range.most;
}

/* 0 to go on, else the exit status plus one. */
static int parse(int argc, char **argv, struct options *o, struct kc_test_run *run)
{
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--tap") == 0) {
            run->tap = true;
        } else if (strcmp(argv[i], "--list") == 0) {
            run->list = true;
        } else if (strcmp(argv[i], "--random") == 0) {
            o->random = true;
        } else if (strcmp(argv[i], "--no-races") == 0) {
            o->races = false;
        } else if (more && takes_value(argv[i], argv[i + 1], o)) {
            i++;
        } else if (strcmp(argv[i], "--help") == 0) {
            return usage(stdout) + 1;
        } else if (argv[i][0] == '-' || run->pattern != NULL) {
            return usage(stderr) + 1;
        } else {
            run->pattern = argv[i];
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = {.seed = machine_host_ns(), .cpus = kc_test_cpu_range.least, .races = true};
    struct tests t = {.boot = KC_ERR_STATE, .main = KC_ERR_STATE};
    struct machine_result m;
    const char *asked = getenv("KC_TEST_SEED");

    setvbuf(stdout, NULL, _IONBF, 0); /* in order with what the cases write */
    if (asked != NULL && *asked != 0 && !number(asked, &o.seed)) {
        fprintf(stderr, "KC_TEST_SEED: not a number: %s\n", asked);
        return 2;
    }
    t.run.body = machine_is_exact() ? "exact" : "native";
    int end = parse(argc, argv, &o, &t.run);
    if (end != 0) {
        return end - 1;
    }
    if (!make_machine(&o)) {
        return 2;
    }
    fprintf(stderr, "# seed: KC_TEST_SEED=%llu\n", (unsigned long long)o.seed);
    machine_cpu_fn fn[1] = {run_cpu0};
    void *arg[1] = {&t};
    machine_run(fn, arg, 1, &m);
    say_judgements();
    machine_attach(NULL);
    if (o.orders != NULL && !write_orders(o.orders)) {
        fprintf(stderr, "cannot write %s\n", o.orders);
        return 2;
    }
    bool good = verdict(&t, &m) && t.result.failed == 0;
    mon_destroy(monitor);
    machine_destroy();
    return good ? 0 : 1;
}
