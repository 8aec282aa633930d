/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * cli.h: what the commands of ksim share: exit codes, options, messages.
 *
 * Every message that is not a result goes to standard error and starts with "ksim: ". Results go to
 * standard output. With --json, standard output holds exactly one JSON document.
 */
#ifndef SIM_CLI_H
#define SIM_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include <kc/config.h>

enum cli_exit {
    CLI_GOOD = 0,
    CLI_FINDINGS = 1,  /* violations, leaks, failed verification */
    CLI_USAGE = 2,     /* unknown command, option or value */
    CLI_BAD_INPUT = 3, /* a file that cannot be opened or read, or is not what it should be */
    CLI_INTERNAL = 4   /* ours: no memory, a host call failed */
};

enum cli_speed {
    CLI_SPEED_DEFAULT,
    CLI_SPEED_NATIVE,
    CLI_SPEED_EXACT
};

struct cli_mutation {
    uint64_t site; /* 1 is the first seam site of the run; 0: no mutation */
    bool alter;    /* else dropped */
};

struct cli_options {
    const char *command;  /* its name, as given */
    const char *argument; /* the one operand of the command, or NULL */
    bool help;            /* asked for: the command prints its help and ends 0 */
    bool json;
    bool quiet;
    bool seed_given;
    uint64_t seed;
    uint32_t cpus;      /* 0: the command's default */
    uint64_t ram_bytes; /* 0: the command's default */
    enum cli_speed speed;
    bool random_policy; /* TLB policy random instead of eager */
    bool count_sites;
    const char *plant; /* row whose fault is planted, or NULL */
    const char *slabinfo;
    const char *log;    /* file for the monitors' reports as JSON lines, or NULL */
    const char *sites;  /* file for what the run needed of each seam site; NULL: none */
    const char *weaken; /* atomic operations that are taken for relaxed, or NULL */
    const char *orders; /* file for the list of those, or NULL */
    const char *html;   /* file for the page, or NULL */
    const char *tables; /* file for a dump of the kernel's tables, or NULL */
    const char *svg;    /* file for the memory map as a picture, or NULL */
    struct cli_mutation mutation;
};

/**
 * Parse the options of a command.
 *
 * argc, argv  as main() got them; argv[1] is the command
 * takes       letters of the options that the command takes, of those in options.c
 * out         defaults where not given; the seed is drawn from the host if none was given
 *
 * Returns CLI_GOOD, or CLI_USAGE after a message that names the option and what was expected.
 */
KC_NODISCARD enum cli_exit cli_parse(int argc, char **argv, const char *takes,
                                     struct cli_options *out);

/** Print "ksim: " and a line of words on standard error. */
void cli_say(const char *format, ...) KC_PRINTF(1, 2);

/** Print the options whose letters are in `takes`, for --help. */
void cli_print_options(const char *takes);

/**
 * Continue in the other executable if this one is not of the wanted speed.
 *
 * Returns only if this is the right one (CLI_GOOD) or the other cannot be started (CLI_INTERNAL).
 */
KC_NODISCARD enum cli_exit cli_choose_speed(enum cli_speed wanted, char **argv);

/* The commands. argv[0] is the program, argv[1] the command. */
enum cli_exit cmd_run(int argc, char **argv);
enum cli_exit cmd_replay(int argc, char **argv);
enum cli_exit cmd_report(int argc, char **argv);
enum cli_exit cmd_checks(int argc, char **argv);

#endif
