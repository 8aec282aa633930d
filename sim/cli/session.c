/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machine, monitor and kernel are put together here and nowhere else: the hooks of the machine are
 * bound to the entries of the kernel.
 */
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenario.h"

/* The kernel is the machine's "image": it is in no simulated RAM, like the code itself. */
static struct kc_kernel kernel;

struct cpu0 {
    struct session *session;
    const struct kc_work *work;
    const char *plant;
};

/* ---- hooks ---------------------------------------------------------------------------------- */

static bool on_fault(void *arg, const struct machine_fault *f)
{
    struct kc_fault fault = {
        .esr = f->esr, .far = f->far, .elr = 0, .cpu = f->cpu, .from_user = f->from_user};
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

static void console_out(void *arg, const char *text, size_t n)
{
    (void)arg;
    fwrite(text, 1, n, stdout);
    fflush(stdout);
}

static void console_none(void *arg, const char *text, size_t n)
{
    (void)arg;
    (void)text;
    (void)n;
}

/* ---- CPU 0 ---------------------------------------------------------------------------------- */

static void run_cpu0(uint32_t cpu, void *arg)
{
    struct cpu0 *c = (struct cpu0 *)arg;
    (void)cpu;
    c->session->boot = kc_kernel_boot(&kernel, &c->session->info);
    if (c->session->boot != KC_OK) {
        return;
    }
    machine_enter_linear();
    c->session->kernel = kc_kernel_main(&kernel, c->work);
}

/* ---- putting it together -------------------------------------------------------------------- */

static enum cli_exit make_machine(const struct session_config *config)
{
    const struct cli_options *o = config->options;
    struct machine_config mc;
    const char *why = "";
    machine_config_default(&mc);
    mc.cpus = o->cpus != 0 ? o->cpus : config->cpus;
    mc.ram_bytes = o->ram_bytes != 0 ? o->ram_bytes : config->ram_bytes;
    mc.seed = o->seed;
    mc.policy = o->random_policy ? MACHINE_RANDOM : MACHINE_EAGER;
    mc.text_bytes = 64 * 1024;
    mc.hooks = (struct machine_hooks){
        .arg = &kernel,
        .fault = on_fault,
        .ipi = on_ipi,
        .cpu_main = on_cpu_main,
        .console = config->show_console ? console_out : console_none,
    };
    kc_status_t st = machine_create(&mc, &why);
    if (st != KC_OK) {
        cli_say("cannot build the machine: %s (%s)", why, kc_status_name(st));
        return st == KC_ERR_ARG || st == KC_ERR_RANGE ? CLI_USAGE : CLI_INTERNAL;
    }
    return CLI_GOOD;
}

static enum cli_exit make_monitor(const struct cli_options *o, FILE **log, struct session *out)
{
    struct mon_config config = {.cpu_count = sim_cpus(), .seed = o->seed};
    *log = NULL;
    if (o->log != NULL) {
        *log = fopen(o->log, "w");
        if (*log == NULL) {
            cli_say("--log %s: %s", o->log, strerror(errno));
            return CLI_BAD_INPUT;
        }
    }
    config.json = *log;
    machine_monitor_side(&config.machine);
    out->monitor = mon_create(&config);
    if (out->monitor == NULL) {
        cli_say("no memory for the monitors");
        return CLI_INTERNAL;
    }
    machine_attach(out->monitor);
    return CLI_GOOD;
}

static enum cli_exit check_plant(const struct cli_options *o)
{
    if (o->plant != NULL && scenario_find(o->plant) == NULL) {
        cli_say("--plant %s: there is no fault to plant for that row", o->plant);
        return CLI_USAGE;
    }
    return CLI_GOOD;
}

static void sum_up(const struct kc_run *run, struct session *out)
{
    out->misuse = kc_misuse_total(&kernel.misuse);
    out->leaked_frames = kernel.leaked_frames;
    out->faults_resolved = kernel.faults_resolved;
    out->sites = machine_sites();
    out->mutated = machine_mutated(&out->mutation);
    for (uint32_t row = 0; row < MON_ROW_COUNT; row++) {
        out->judgement[row].row = mon_row_name((enum mon_row)row);
        out->judgement[row].count = mon_judgements(out->monitor, (enum mon_row)row);
    }
    out->findings = mon_total(out->monitor) + out->misuse + run->result.overlaps + run->vm_failed;
    if (out->machine.end != MACHINE_END_DONE) {
        out->findings++;
    }
}

static enum cli_exit run_machine(const struct session_config *config, struct kc_run *run,
                                 struct session *out)
{
    const struct cli_options *o = config->options;
    struct kc_work work = kc_run_work(run);
    struct cpu0 cpu0 = {.session = out, .work = &work};
    FILE *log;
    enum cli_exit e = make_monitor(o, &log, out);
    if (e != CLI_GOOD) {
        return e;
    }
    if (o->mutation.site != 0) {
        machine_mutate(o->mutation.site - 1, o->mutation.alter ? MACHINE_ALTER : MACHINE_DROP);
    }
    machine_boot_info(&out->info);
    machine_cpu_fn fn[1] = {run_cpu0};
    void *arg[1] = {&cpu0};
    machine_run(fn, arg, 1, &out->machine);
    if (o->plant != NULL && out->machine.end == MACHINE_END_DONE) {
        scenario_plant(scenario_find(o->plant));
    }
    machine_attach(NULL);
    sum_up(run, out);
    if (log != NULL) {
        fclose(log);
    }
    return CLI_GOOD;
}

enum cli_exit session_run(const struct session_config *config, struct kc_run *run,
                          struct session *out)
{
    memset(out, 0, sizeof(*out));
    memset(&kernel, 0, sizeof(kernel));
    out->kernel = KC_ERR_STATE;
    enum cli_exit e = check_plant(config->options);
    if (e == CLI_GOOD) {
        e = make_machine(config);
    }
    if (e != CLI_GOOD) {
        return e;
    }
    e = run_machine(config, run, out);
    if (e != CLI_GOOD) {
        session_end(out);
    }
    return e;
}

void session_end(struct session *s)
{
    mon_destroy(s->monitor);
    s->monitor = NULL;
    machine_destroy();
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void to_stdout(void *ctx, const char *text, size_t n)
{
    (void)ctx;
    fwrite(text, 1, n, stdout);
}

void session_print_json(const struct session *s, const struct kc_run *run, uint64_t seed)
{
    struct kc_report report = {
        .replay = &run->result,
        .seed = seed,
        .ram_bytes = 0,
        .leaks = run->result.leaks + s->leaked_frames,
        .violations = s->findings,
        .judgement = s->judgement,
        .judgement_count = MON_ROW_COUNT,
    };
    for (uint32_t i = 0; i < s->info.range_count; i++) {
        if (s->info.range[i].kind == KC_BOOT_RAM) {
            report.ram_bytes += s->info.range[i].size;
        }
    }
    kc_report_json(&report, to_stdout, NULL);
}
