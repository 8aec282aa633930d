/* SPDX-License-Identifier: BSD-2-Clause */
/* ksim: the simulated machine and its kernel, as one program with commands. */
#define _GNU_SOURCE 1
#include "cli.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <kc/bits.h>

#ifdef KSIM_EXACT
#define THIS_SPEED CLI_SPEED_EXACT
#define OTHER_NAME "ksim"
#else
#define THIS_SPEED CLI_SPEED_NATIVE
#define OTHER_NAME "ksim-exact"
#endif

struct command {
    const char *name;
    enum cli_exit (*run)(int argc, char **argv);
    const char *help;
};

static const struct command commands[] = {
    {"run", cmd_run, "boot the kernel on the simulated machine, run a workload, report"},
    {"replay", cmd_replay, "replay a trace through the kernel's allocators, report"},
};

static void print_help(FILE *to)
{
    fputs("usage: ksim COMMAND [OPTIONS]\n\n", to);
    for (size_t i = 0; i < KC_ARRAY_COUNT(commands); i++) {
        fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].help);
    }
    fputs("\nksim COMMAND --help lists its options. Exit codes: 0 good, 1 findings, 2 usage,\n"
          "3 bad input, 4 internal.\n",
          to);
}

enum cli_exit cli_choose_speed(enum cli_speed wanted, char **argv)
{
    if (wanted == CLI_SPEED_DEFAULT || wanted == THIS_SPEED) {
        return CLI_GOOD;
    }
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof(OTHER_NAME) - 1);
    if (n <= 0) {
        cli_say("cannot find my own program: %s", strerror(errno));
        return CLI_INTERNAL;
    }
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    memcpy(slash + 1, OTHER_NAME, sizeof(OTHER_NAME));
    execv(path, argv);
    cli_say("cannot start %s: %s", path, strerror(errno));
    return CLI_INTERNAL;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_DFL);
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return CLI_GOOD;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("ksim %s\n", KCORE_VERSION);
        return CLI_GOOD;
    }
    for (size_t i = 0; i < KC_ARRAY_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return (int)commands[i].run(argc, argv);
        }
    }
    cli_say("unknown command %s; try: ksim --help", argv[1]);
    return CLI_USAGE;
}
