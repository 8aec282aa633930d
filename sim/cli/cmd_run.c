/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `ksim run` and `ksim replay`: the same session, with different work and defaults. run judges
 * every access (exact) unless told otherwise; replay runs at native speed.
 */
#define _GNU_SOURCE 1
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "progress.h"
#include "session.h"

#define RUN_OPTIONS    "jqscrxopmnSl"
#define REPLAY_OPTIONS "jqscrxoil"

/* A workload of `ksim run`. */
struct scenario_row {
    const char *name;
    uint32_t vm_rounds;
    bool replays; /* the bundled sample */
    const char *help;
};

static const struct scenario_row scenarios[] = {
    {"default", 24, true, "mapping rounds on every CPU, then the bundled trace of a real kernel"},
    {"vm", 200, false, "mapping rounds alone"},
    {"boot", 1, false, "boot, one round, shut down"},
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

/* The session with an open trace (or without one). */
static enum cli_exit perform(struct session_config *config, struct kc_run *run,
                             struct sim_trace *trace)
{
    const struct cli_options *o = config->options;
    struct session s;
    struct progress progress;
    progress_init(&progress, trace, !o->json && !o->quiet && isatty(STDERR_FILENO) != 0);
    if (trace != NULL) {
        config->trace_name = sim_trace_name(trace);
        config->trace_kind = sim_trace_kind(trace);
        run->source = (struct kc_replay_source){.fill = progress_fill, .ctx = &progress};
    }
    enum cli_exit e = session_run(config, run, &s);
    progress_end(&progress);
    if (e != CLI_GOOD) {
        return e;
    }
    if (trace != NULL && sim_trace_error_of(trace)->text[0] != '\0') {
        cli_say("%s", sim_trace_error_of(trace)->text);
        e = CLI_BAD_INPUT;
    } else {
        e = session_report(config, &s, run);
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
    e = cli_choose_speed(speed_or(&o, CLI_SPEED_EXACT), argv);
    if (e != CLI_GOOD) {
        return e;
    }
    struct session_config config = {.options = &o, .cpus = 2, .ram_bytes = KC_MIB(256)};
    run.vm_rounds = row->vm_rounds;
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
    e = cli_choose_speed(speed_or(&o, CLI_SPEED_NATIVE), argv);
    if (e != CLI_GOOD) {
        return e;
    }
    struct session_config config = {.options = &o, .cpus = 1, .ram_bytes = KC_GIB(1)};
    return open_and_perform(&config, &run, o.argument);
}
