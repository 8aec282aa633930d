/* SPDX-License-Identifier: BSD-2-Clause */
/* ksim: the simulated machine and its kernel, as one program with commands. */
#define _GNU_SOURCE 1
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
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
    {"report", cmd_report, "replay a trace and write the report as one page for a browser"},
    {"checks", cmd_checks, "list the rows of the monitors: what each forbids"},
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

/*
 * A caller may have closed standard streams. Files opened later (simulated RAM is one) must not get
 * their numbers: what is printed would be written into them. Reading, or writing, the stand-in
 * fails.
 */
static bool hold_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        int mode = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", mode) != fd) {
            return false;
        }
    }
    return true;
}

/* A result that did not arrive is no result. */
static int delivered(int e)
{
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        cli_say("cannot write standard output: %s", errno != 0 ? strerror(errno) : "lost");
        return CLI_INTERNAL;
    }
    return e;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
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

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_DFL);
    if (!hold_standard_streams()) {
        return CLI_INTERNAL;
    }
    return delivered(dispatch(argc, argv));
}
