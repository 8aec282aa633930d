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
#include <unistd.h>

#include "scenario.h"

#define PEAK_PARTS 64u

/* The kernel is the machine's "image": it is in no simulated RAM, like the code itself. */
static struct kc_kernel kernel;

#define ROOMY_BYTES KC_MIB(64)

/* What CPU 0 needs. */
struct cpu0 {
    struct session *session;
    const struct kc_work *work;
};

/* ---- hooks ---------------------------------------------------------------------------------- */

static bool on_fault(void *arg, const struct machine_fault *f)
{
    struct kc_fault fault = {.esr = f->esr, .far = f->far, .elr = 0, .cpu = f->cpu};
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

/*
 * What the reports need is collected on every run, asked for or not: looking reads simulated RAM
 * and takes locks, and a seed must give the same schedule with a page and without. It is kept by
 * the host, where the machine sees nothing of it.
 */
static kc_status_t on_fill(void *ctx, struct kc_event *buf, uint32_t max, uint32_t *n)
{
    struct session *s = (struct session *)ctx;
    kc_status_t st = s->source.fill(s->source.ctx, buf, max, n);
    for (uint32_t i = 0; st == KC_OK && i < *n; i++) {
        lifetimes_event(&s->lifetimes, &buf[i]);
    }
    return st;
}

static enum memmap_holder holder_of(uint16_t owner)
{
    switch (owner) {
    case KC_FRAME_OWNER_CACHE:
        return MEMMAP_CACHE;
    case KC_FRAME_OWNER_HEAP:
        return MEMMAP_HEAP;
    case KC_FRAME_OWNER_USER:
        return MEMMAP_PAGES;
    case KC_FRAME_OWNER_TABLE:
        return MEMMAP_TABLE;
    case KC_FRAME_OWNER_TRACE:
        return MEMMAP_REPLAY;
    default:
        return MEMMAP_KERNEL;
    }
}

/* Who holds what now. */
static void take_map(struct memmap *map, struct kc_kernel *k)
{
    struct kc_frame_info frame;
    kc_pa_range_t range;
    uint32_t kind;
    uint32_t at = 0;
    memmap_ram(map, kc_early_ram_bytes(&k->early));
    while (kc_early_next_taken(&k->early, &at, &range, &kind)) {
        memmap_add(map, kc_pa_raw(range.base), range.size, MEMMAP_KERNEL);
    }
    uint64_t cursor = 0;
    while (kc_frame_next_used(&k->frames, &cursor, &frame)) {
        memmap_add(map, kc_pa_raw(frame.base), (uint64_t)KC_FRAME_BYTES << frame.order,
                   holder_of(frame.owner));
    }
    memmap_end(map);
}

static void on_watch(void *ctx, const struct kc_replay_now *now)
{
    struct session *s = (struct session *)ctx;
    const struct timeline_point p = {
        .time_ns = now->time_ns,
        .requested_bytes = now->requested_bytes,
        .footprint_bytes = now->footprint_bytes,
        .source_footprint_bytes = now->source_footprint_bytes,
    };
    timeline_add(&s->timeline, &p);
    s->source_known = now->source_known;
    /* Looking at all frames costs as much as there are: not again for a little more. */
    uint64_t held = now->footprint_bytes + now->page_bytes;
    s->peak_most_bytes = held > s->peak_most_bytes ? held : s->peak_most_bytes;
    if (held > s->peak_bytes + s->peak_bytes / PEAK_PARTS) {
        s->peak_bytes = held;
        s->peak_time_ns = now->time_ns;
        memmap_clear(&s->peak);
        take_map(&s->peak, &kernel);
    }
}

static void on_ended(void *ctx, struct kc_kernel *k)
{
    struct session *s = (struct session *)ctx;
    take_map(&s->memmap, k);
    lifetimes_end(&s->lifetimes);
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

/* Copy what lies in simulated RAM while it lasts. */
static void on_measured(void *ctx, struct kc_kernel *k, struct kc_replay *replay)
{
    struct session *s = (struct session *)ctx;
    struct kc_replay_type t;
    (void)k;
    if (replay == NULL) {
        return;
    }
    uint32_t count = 0;
    while (kc_replay_type(replay, count, &t)) {
        count++;
    }
    s->type = calloc(count + 1u, sizeof(*s->type));
    if (s->type == NULL) {
        return;
    }
    for (uint32_t i = 0; i < count && kc_replay_type(replay, i, &t); i++) {
        struct report_type *to = &s->type[i];
        snprintf(to->name, sizeof(to->name), "%s", t.type->name);
        to->kind = t.type->kind;
        to->object_bytes = t.type->object_bytes;
        to->allocs = t.allocs;
        to->live = t.live;
        to->peak_live = t.peak_live;
        to->requested_bytes = t.requested_bytes;
        to->frames_bytes = t.frames_bytes;
        to->failures = t.failures;
        s->type_count = i + 1;
    }
}

/* ---- putting it together -------------------------------------------------------------------- */

static enum cli_exit make_machine(const struct session_config *config, const struct kc_run *run)
{
    const struct cli_options *o = config->options;
    struct machine_config mc;
    const char *why = "";
    machine_config_default(&mc);
    mc.cpus = o->cpus != 0 ? o->cpus : config->cpus;
    mc.ram_bytes = o->ram_bytes != 0 ? o->ram_bytes : config->ram_bytes;
    mc.seed = o->seed;
    mc.policy = o->random_policy ? MACHINE_RANDOM : MACHINE_EAGER;
    /* A block of its own, which the run takes apart, where there is room for that. */
    mc.text_bytes = mc.ram_bytes >= ROOMY_BYTES ? KC_MIB(2) : KC_KIB(64);
    mc.program_bytes = KC_KIB(4);
    mc.measures = run->latency;
    mc.measures_bytes = sizeof run->latency;
    mc.hooks = (struct machine_hooks){
        .arg = &kernel,
        .fault = on_fault,
        .ipi = on_ipi,
        .cpu_main = on_cpu_main,
        .console = !o->json && !o->quiet ? console_out : console_none,
    };
    kc_status_t st = machine_create(&mc, &why);
    if (st != KC_OK) {
        cli_say("cannot build the machine: %s (%s)", why, kc_status_name(st));
        return st == KC_ERR_ARG || st == KC_ERR_RANGE ? CLI_USAGE : CLI_INTERNAL;
    }
    return CLI_GOOD;
}

/* For an option that names a file to write; path NULL: nothing is open, which is good. */
static bool open_file(const char *option, const char *path, FILE **out)
{
    *out = NULL;
    if (path == NULL) {
        return true;
    }
    *out = fopen(path, "w");
    if (*out == NULL) {
        cli_say("--%s %s: %s", option, path, strerror(errno));
    }
    return *out != NULL;
}

/* Its counterpart. False after a message if what was written did not arrive. */
static bool close_file(const char *option, FILE **file)
{
    if (*file == NULL) {
        return true;
    }
    bool failed = ferror(*file) != 0;
    failed = fclose(*file) != 0 || failed;
    *file = NULL;
    if (failed) {
        cli_say("--%s: cannot write the file: %s", option, strerror(errno));
    }
    return !failed;
}

static enum cli_exit make_monitor(const struct cli_options *o, struct session *out)
{
    struct mon_config config = {.cpu_count = sim_cpus(), .seed = o->seed};
    if (!open_file("log", o->log, &out->log_file) ||
        !open_file("sites", o->sites, &out->sites_file) ||
        !open_file("orders", o->orders, &out->orders_file) ||
        !open_file("tables", o->tables, &out->tables_file)) {
        return CLI_BAD_INPUT;
    }
    config.sites = out->sites_file;
    config.json = out->log_file;
    machine_monitor_side(&config.machine);
    out->monitor = mon_create(&config);
    if (out->monitor == NULL) {
        cli_say("no memory for the monitors");
        return CLI_INTERNAL;
    }
    machine_attach(out->monitor);
    return CLI_GOOD;
}

static enum cli_exit check_orders(const struct cli_options *o)
{
    if ((o->weaken != NULL || o->orders != NULL) && !machine_is_exact()) {
        cli_say("--%s: memory order is seen at --speed exact alone",
                o->weaken != NULL ? "weaken" : "orders");
        return CLI_USAGE;
    }
    if (o->weaken != NULL && !machine_weaken(o->weaken)) {
        cli_say("--weaken %s: expected K[,K...] from 1, acquire, release, acq_rel or seq_cst",
                o->weaken);
        return CLI_USAGE;
    }
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
    out->leaked_things = kernel.leaked_things;
    out->faults_resolved = kernel.faults_resolved;
    out->sites = machine_sites();
    out->mutated = machine_mutated(&out->mutation);
    for (uint32_t row = 0; row < MON_ROW_COUNT; row++) {
        out->judgement[row].row = mon_row_name((enum mon_row)row);
        out->judgement[row].count = mon_judgements(out->monitor, (enum mon_row)row);
    }
    out->findings = mon_total(out->monitor) + out->misuse + run->result.overlaps + run->vm_failed +
                    run->service_counts.unexpected;
    if (out->machine.end != MACHINE_END_DONE) {
        out->findings++;
    }
}

/* ---- the tables that are left --------------------------------------------------------------- */

static void to_story(void *ctx, const char *text, size_t n)
{
    struct session *s = (struct session *)ctx;
    size_t room = sizeof(s->story) - 1 - s->story_size;
    n = n < room ? n : room;
    memcpy(s->story + s->story_size, text, n);
    s->story_size += n;
}

static void to_file(void *ctx, const char *text, size_t n)
{
    fwrite(text, 1, n, (FILE *)ctx);
}

/* The machine is at rest, and its RAM still there: what is read now makes no event. */
static void look_at_tables(struct session *s)
{
    static const struct kc_ptview_bounds bounds = {UINT64_MAX, UINT64_MAX};
    const struct machine_fault *f = &s->machine.fault;
    if (s->machine.end == MACHINE_END_FAULT && f->esr != 0) {
        const struct kc_explain_regs regs = {
            .esr = f->esr,
            .far = f->far,
            .sctlr = sim_sysreg(f->cpu, KC_SCTLR_EL1),
            .tcr = sim_sysreg(f->cpu, KC_TCR_EL1),
            .mair = sim_sysreg(f->cpu, KC_MAIR_EL1),
            .ttbr0 = sim_sysreg(f->cpu, KC_TTBR0_EL1),
            .ttbr1 = sim_sysreg(f->cpu, KC_TTBR1_EL1),
        };
        kc_kernel_explain(&kernel, &regs, f->cpu, to_story, s);
    }
    if (s->tables_file != NULL) {
        kc_kernel_dump(&kernel, bounds, to_file, s->tables_file);
    }
}

static enum cli_exit run_machine(const struct session_config *config, struct kc_run *run,
                                 struct session *out)
{
    const struct cli_options *o = config->options;
    run->measured = on_measured;
    run->ended = on_ended;
    run->watch = on_watch;
    run->ctx = out;
    if (run->source.fill != NULL) {
        out->source = run->source;
        run->source = (struct kc_replay_source){.fill = on_fill, .ctx = out};
    }
    struct kc_work work = kc_run_work(run);
    struct cpu0 cpu0 = {.session = out, .work = &work};
    enum cli_exit e = make_monitor(o, out);
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
    look_at_tables(out);
    sum_up(run, out);
    return CLI_GOOD;
}

enum cli_exit session_run(const struct session_config *config, struct kc_run *run,
                          struct session *out)
{
    memset(out, 0, sizeof(*out));
    memset(&kernel, 0, sizeof(kernel));
    out->kernel = KC_ERR_STATE;
    timeline_init(&out->timeline);
    enum cli_exit e = check_plant(config->options);
    if (e == CLI_GOOD) {
        e = check_orders(config->options);
    }
    if (e == CLI_GOOD) {
        e = make_machine(config, run);
    }
    if (e != CLI_GOOD) {
        return e;
    }
    e = run_machine(config, run, out);
    if (e != CLI_GOOD && !session_end(out)) {
        e = CLI_INTERNAL;
    }
    return e;
}

bool session_end(struct session *s)
{
    mon_destroy(s->monitor); /* which writes the sites */
    s->monitor = NULL;
    bool log = close_file("log", &s->log_file);
    bool sites = close_file("sites", &s->sites_file);
    if (s->orders_file != NULL) {
        machine_write_orders(s->orders_file);
    }
    bool orders = close_file("orders", &s->orders_file);
    bool tables = close_file("tables", &s->tables_file);
    free(s->type);
    s->type = NULL;
    lifetimes_fini(&s->lifetimes);
    memmap_fini(&s->memmap);
    memmap_fini(&s->peak);
    machine_destroy();
    return log && sites && orders && tables;
}

/* ---- results -------------------------------------------------------------------------------- */

static void to_stdout(void *ctx, const char *text, size_t n)
{
    (void)ctx;
    fwrite(text, 1, n, stdout);
}

static uint64_t ram_bytes_of(const struct kc_boot_info *info)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < info->range_count; i++) {
        if (info->range[i].kind == KC_BOOT_RAM) {
            bytes += info->range[i].size;
        }
    }
    return bytes;
}

static void print_json(const struct session *s, const struct kc_run *run, uint64_t seed)
{
    struct kc_replay_result result = run->result;
    if (run->source.fill == NULL) { /* nothing was replayed, so nothing was measured */
        struct kc_replay_usage *const usage[] = {&result.kcore, &result.source};
        for (uint32_t i = 0; i < 2; i++) {
            usage[i]->waste_milli_pct = KC_REPLAY_NOT_KNOWN;
            usage[i]->footprint_milli_pct = KC_REPLAY_NOT_KNOWN;
            usage[i]->slabs_milli_pct = KC_REPLAY_NOT_KNOWN;
        }
    }
    struct kc_report report = {
        .replay = &result,
        .seed = seed,
        .ram_bytes = ram_bytes_of(&s->info),
        .leaks = result.leaks + s->leaked_frames + s->leaked_things,
        .violations = s->findings,
        .services = &run->service_counts,
        .judgement = s->judgement,
        .judgement_count = MON_ROW_COUNT,
    };
    kc_report_json(&report, to_stdout, NULL);
}

struct gathered {
    struct report_data data;
    char repeat[512];
};

static void gather(const struct session_config *config, const struct session *s,
                   const struct kc_run *run, struct gathered *g)
{
    const struct cli_options *o = config->options;
    bool replayed = run->source.fill != NULL;
    int n = snprintf(
        g->repeat, sizeof(g->repeat),
        "ksim %s%s%s --seed %llu --cpus %u --ram %llu --speed %s%s%s%s", o->command,
        o->argument != NULL ? " " : "", o->argument != NULL ? o->argument : "",
        (unsigned long long)o->seed, s->info.cpu_count, (unsigned long long)ram_bytes_of(&s->info),
        machine_is_exact() ? "exact" : "native", o->random_policy ? " --policy random" : "",
        o->plant != NULL ? " --plant " : "", o->plant != NULL ? o->plant : "");
    if (o->mutation.site != 0 && n > 0 && (size_t)n < sizeof(g->repeat)) {
        snprintf(g->repeat + n, sizeof(g->repeat) - (size_t)n, " --mutate %llu:%s",
                 (unsigned long long)o->mutation.site, o->mutation.alter ? "alter" : "drop");
    }
    if (o->weaken != NULL) {
        size_t used = strlen(g->repeat);
        snprintf(g->repeat + used, sizeof(g->repeat) - used, " --weaken %s", o->weaken);
    }
    g->data = (struct report_data){
        .version = KCORE_VERSION,
        .speed = machine_is_exact() ? "exact" : "native",
        .trace_name = config->trace_name,
        .trace_kind = config->trace_kind,
        .seed = o->seed,
        .cpus = s->info.cpu_count,
        .ram_bytes = ram_bytes_of(&s->info),
        .info = &s->info,
        .vm = run->vm_rounds != 0 ? &run->vm_counts : NULL,
        .services = run->service_rounds != 0 ? &run->service_counts : NULL,
        .replay = replayed ? &run->result : NULL,
        .type = s->type,
        .type_count = s->type_count,
        .timeline = &s->timeline,
        .lifetimes = &s->lifetimes,
        .memmap = &s->memmap,
        .peak = &s->peak,
        .peak_time_ns = s->peak_time_ns,
        .peak_bytes = s->peak_bytes,
        .peak_most_bytes = s->peak_most_bytes,
        .latency = &run->latency[0],
        .source_known = s->source_known,
        .monitor = s->monitor,
        .judgement = s->judgement,
        .judgement_count = MON_ROW_COUNT,
        .misuse = s->misuse,
        .leaked_frames = s->leaked_frames,
        .leaked_things = s->leaked_things,
        .findings = s->findings,
        .end = s->machine.end != MACHINE_END_DONE ? s->machine.text : NULL,
        .story = s->story,
        .schedule = s->machine.schedule,
        .switches = s->machine.switches,
        .steps = s->machine.steps,
        .repeat = g->repeat,
    };
}

static void print_text(const struct session_config *config, const struct session *s,
                       const struct kc_run *run)
{
    const struct cli_options *o = config->options;
    struct gathered g;
    gather(config, s, run, &g);
    report_text(&g.data, stdout, isatty(STDOUT_FILENO) != 0);
    if (o->count_sites) {
        printf("\n%llu sites: barriers, TLBIs and descriptor stores\n",
               (unsigned long long)s->sites);
    }
}

enum cli_exit session_report(const struct session_config *config, const struct session *s,
                             const struct kc_run *run)
{
    const struct cli_options *o = config->options;
    kc_status_t st = s->boot != KC_OK ? s->boot : s->kernel;
    if (s->machine.end == MACHINE_END_DONE && s->findings == 0 && st == KC_ERR_NOMEM) {
        cli_say("%llu bytes of RAM are not enough memory for the kernel and this work (%s); "
                "try --ram with more",
                (unsigned long long)ram_bytes_of(&s->info), kc_status_name(st));
        return CLI_USAGE;
    }
    if (o->json) {
        print_json(s, run, o->seed);
    } else if (!config->page_only) {
        print_text(config, s, run);
    }
    if (s->mutated) {
        extern const char __executable_start; /* so that addr2line can name the caller */
        cli_say(
            "mutated site %llu, called from +0x%llx", (unsigned long long)o->mutation.site,
            (unsigned long long)((uintptr_t)s->mutation.caller - (uintptr_t)&__executable_start));
    }
    if (o->mutation.site != 0 && !s->mutated) {
        cli_say("the run has no site %llu", (unsigned long long)o->mutation.site);
    }
    bool good = s->findings == 0 && st == KC_OK && run->result.failures == 0 &&
                run->result.page_failures == 0;
    if (!good && s->findings == 0 && st != KC_OK) {
        cli_say("the kernel ended with %s", kc_status_name(st));
    }
    return good ? CLI_GOOD : CLI_FINDINGS;
}

void session_html(const struct session_config *config, const struct session *s,
                  const struct kc_run *run, struct markup *out)
{
    struct gathered g;
    gather(config, s, run, &g);
    report_html(&g.data, out);
    out->failed |= s->lifetimes.failed || s->memmap.failed || s->peak.failed;
}

void session_svg(const struct session_config *config, const struct session *s,
                 const struct kc_run *run, struct markup *out)
{
    struct gathered g;
    gather(config, s, run, &g);
    report_svg(&g.data, out);
    out->failed |= s->memmap.failed;
}
