/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `ksim run`, `ksim replay` and `ksim report`: the same session, with different work and defaults.
 * run judges every access (exact) unless told otherwise; replay runs at native speed.
 */
#define _GNU_SOURCE 1
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "outfile.h"
#include "progress.h"
#include "session.h"

#define RUN_OPTIONS    "jqscrxPpmnSwOltHV"
#define REPLAY_OPTIONS "jqscrxPiltHV"
#define REPORT_OPTIONS "oVqscrxPil"

/* A workload of `ksim run`. */
struct scenario_row {
    const char *name;
    uint32_t vm_rounds;
    uint32_t service_rounds;
    bool replays; /* the bundled sample */
    const char *help;
};

static const struct scenario_row scenarios[] = {
    {"default", 24, 1, true,
     "mapping rounds and services on every CPU, then the bundled trace of a real kernel"},
    {"vm", 200, 0, false, "mapping rounds alone"},
    {"services", 0, 8, false, "services at EL0 alone: honest ones, and those that get killed"},
    {"boot", 1, 0, false, "boot, one round, shut down"},
};

static const struct scenario_row *scenario_row_of(const char *name)
{
    for (size_t i = 0; i < KC_ARRAY_COUNT(scenarios); i++) {
        if (name == NULL || strcmp(name, scenarios[i].name) == 0) {
            return &scenarios[i];
        }
    }
    return NULL;
}

static void print_run_help(void)
{
    puts("usage: ksim run [SCENARIO] [OPTIONS]\n");
    for (size_t i = 0; i < KC_ARRAY_COUNT(scenarios); i++) {
        printf("  %-26s %s\n", scenarios[i].name, scenarios[i].help);
    }
    putchar('\n');
    cli_print_options(RUN_OPTIONS);
}

static void print_replay_help(void)
{
    puts(
        "usage: ksim replay [TRACE] [OPTIONS]\n\n"
        "TRACE is a .kct file, or the text of Linux's kmem events as ftrace, trace-cmd report or\n"
        "perf script print them, plain or in .xz or .zst; - is standard input; the bundled sample\n"
        "if left out.\n");
    cli_print_options(REPLAY_OPTIONS);
}

/* ---- files of a report ---------------------------------------------------------------------- */

struct files {
    struct outfile html;
    struct outfile svg;
};

static enum cli_exit open_files(struct files *f, const struct session_config *config)
{
    const struct cli_options *o = config->options;
    enum cli_exit e = outfile_open(&f->html, config->page_only ? "--output" : "--html", o->html);
    f->svg = (struct outfile){.path = NULL};
    if (e == CLI_GOOD) {
        e = outfile_open(&f->svg, "--svg", o->svg);
    }
    if (e != CLI_GOOD) {
        outfile_cancel(&f->html);
    }
    return e;
}

static void cancel_files(struct files *f)
{
    outfile_cancel(&f->html);
    outfile_cancel(&f->svg);
}

static enum cli_exit write_file(struct outfile *f, struct markup *m)
{
    enum cli_exit e = CLI_INTERNAL;
    if (m->failed) {
        cli_say("no memory for %s", f->option);
        outfile_cancel(f);
    } else {
        e = outfile_commit(f, m->text, m->size);
    }
    markup_fini(m);
    return e;
}

static enum cli_exit write_files(struct files *f, const struct session_config *config,
                                 const struct session *s, const struct kc_run *run)
{
    enum cli_exit e = CLI_GOOD;
    struct markup m = {0};
    if (f->html.path != NULL) {
        session_html(config, s, run, &m);
        e = write_file(&f->html, &m);
    }
    if (f->svg.path != NULL) {
        session_svg(config, s, run, &m);
        enum cli_exit svg = write_file(&f->svg, &m);
        e = e != CLI_GOOD ? e : svg;
    }
    return e;
}

/* ---- commands ------------------------------------------------------------------------------- */

/* What came of it, on standard output and into the files. */
static enum cli_exit tell(struct files *f, const struct session_config *config,
                          const struct session *s, const struct kc_run *run)
{
    enum cli_exit e = session_report(config, s, run);
    if (e != CLI_GOOD && e != CLI_FINDINGS) {
        cancel_files(f);
        return e;
    }
    enum cli_exit written = write_files(f, config, s, run);
    return written != CLI_GOOD ? written : e;
}

/* The session with an open trace (or without one). */
static enum cli_exit perform(struct session_config *config, struct kc_run *run,
                             struct sim_trace *trace)
{
    const struct cli_options *o = config->options;
    struct session s;
    struct files files;
    struct progress progress;
    enum cli_exit e = open_files(&files, config);
    if (e != CLI_GOOD) {
        return e;
    }
    progress_init(&progress, trace, !o->json && !o->quiet && isatty(STDERR_FILENO) != 0);
    if (trace != NULL) {
        config->trace_name = sim_trace_name(trace);
        config->trace_kind = sim_trace_kind(trace);
        run->source = (struct kc_replay_source){.fill = progress_fill, .ctx = &progress};
    }
    e = session_run(config, run, &s);
    progress_end(&progress);
    if (e != CLI_GOOD) {
        cancel_files(&files);
        return e;
    }
    if (trace != NULL && sim_trace_error_of(trace)->text[0] != '\0') {
        cli_say("%s", sim_trace_error_of(trace)->text);
        e = CLI_BAD_INPUT;
        cancel_files(&files);
    } else {
        e = tell(&files, config, &s, run);
    }
    return session_end(&s) ? e : CLI_INTERNAL;
}

static enum cli_exit open_and_perform(struct session_config *config, struct kc_run *run,
                                      const char *path)
{
    struct sim_trace_options options = {.path = path, .slabinfo = config->options->slabinfo};
    struct sim_trace_error error;
    struct sim_trace *trace = sim_trace_open(&options, &error);
    if (trace == NULL) {
        cli_say("%s", error.text);
        return CLI_BAD_INPUT;
    }
    enum cli_exit e = perform(config, run, trace);
    sim_trace_close(trace);
    return e;
}

static void print_report_help(void)
{
    puts("usage: ksim report [TRACE] -o FILE [OPTIONS]\n\n"
         "Replays TRACE as ksim replay does, and writes what came of it as one page that needs\n"
         "nothing else: timeline, allocators, lifetimes, memory map, latency, violations.\n");
    cli_print_options(REPORT_OPTIONS);
}

/* Two things on one standard output would be neither. */
static enum cli_exit check_outputs(const struct cli_options *o, bool page_only)
{
    bool html = o->html != NULL && strcmp(o->html, "-") == 0;
    bool svg = o->svg != NULL && strcmp(o->svg, "-") == 0;
    if ((html || svg) && !(page_only && html != svg)) {
        cli_say("%s -: standard output is taken; ksim report -o - prints the page alone",
                html ? "--html" : "--svg");
        return CLI_USAGE;
    }
    return CLI_GOOD;
}

static enum cli_speed speed_or(const struct cli_options *o, enum cli_speed usual)
{
    return o->speed != CLI_SPEED_DEFAULT ? o->speed : usual;
}

enum cli_exit cmd_run(int argc, char **argv)
{
    struct cli_options o;
    static struct kc_run run;
    enum cli_exit e = cli_parse(argc, argv, RUN_OPTIONS, &o);
    if (e != CLI_GOOD) {
        return e;
    }
    if (o.help) {
        print_run_help();
        return CLI_GOOD;
    }
    const struct scenario_row *row = scenario_row_of(o.argument);
    if (row == NULL) {
        cli_say("run: there is no scenario %s; try: ksim run --help", o.argument);
        return CLI_USAGE;
    }
    e = check_outputs(&o, false);
    if (e != CLI_GOOD) {
        return e;
    }
    e = cli_choose_speed(speed_or(&o, CLI_SPEED_EXACT), argv);
    if (e != CLI_GOOD) {
        return e;
    }
    struct session_config config = {.options = &o, .cpus = 2, .ram_bytes = KC_MIB(256)};
    run.vm_rounds = row->vm_rounds;
    run.service_rounds = row->service_rounds;
    e = row->replays ? open_and_perform(&config, &run, NULL) : perform(&config, &run, NULL);
    return e;
}

enum cli_exit cmd_replay(int argc, char **argv)
{
    struct cli_options o;
    static struct kc_run run;
    enum cli_exit e = cli_parse(argc, argv, REPLAY_OPTIONS, &o);
    if (e != CLI_GOOD) {
        return e;
    }
    if (o.help) {
        print_replay_help();
        return CLI_GOOD;
    }
    e = check_outputs(&o, false);
    if (e != CLI_GOOD) {
        return e;
    }
    e = cli_choose_speed(speed_or(&o, CLI_SPEED_NATIVE), argv);
    if (e != CLI_GOOD) {
        return e;
    }
    struct session_config config = {.options = &o, .cpus = 1, .ram_bytes = KC_GIB(1)};
    return open_and_perform(&config, &run, o.argument);
}

enum cli_exit cmd_report(int argc, char **argv)
{
    struct cli_options o;
    static struct kc_run run;
    enum cli_exit e = cli_parse(argc, argv, REPORT_OPTIONS, &o);
    if (e != CLI_GOOD) {
        return e;
    }
    if (o.help) {
        print_report_help();
        return CLI_GOOD;
    }
    if (o.html == NULL) {
        cli_say("report: where does the page go? expected -o FILE");
        return CLI_USAGE;
    }
    e = check_outputs(&o, true);
    if (e != CLI_GOOD) {
        return e;
    }
    e = cli_choose_speed(speed_or(&o, CLI_SPEED_NATIVE), argv);
    if (e != CLI_GOOD) {
        return e;
    }
    bool silent = o.quiet || strcmp(o.html, "-") == 0 || (o.svg != NULL && strcmp(o.svg, "-") == 0);
    o.quiet = true; /* of the boot log: the page is the report */
    struct session_config config = {
        .options = &o, .cpus = 1, .ram_bytes = KC_GIB(1), .page_only = true};
    e = open_and_perform(&config, &run, o.argument);
    if (!silent && (e == CLI_GOOD || e == CLI_FINDINGS)) {
        printf("%s: written; %s\n", o.html, e == CLI_GOOD ? "clean" : "NOT CLEAN");
    }
    return e;
}
