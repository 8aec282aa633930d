/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options of all commands, in one table, so that an option means the same everywhere. A command
 * names the letters it takes; the others are refused with the command's name.
 */
#define _GNU_SOURCE 1
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <kc/bits.h>

struct option_row {
    const char *name;
    char letter;
    const char *argument; /* NULL: takes none */
    const char *help;
};

static const struct option_row rows[] = {
    {"json", 'j', NULL, "print one JSON document instead of the report"},
    {"quiet", 'q', NULL, "no boot log, no progress"},
    {"seed", 's', "N", "seed of everything random (printed when not given)"},
    {"cpus", 'c', "N", "emulated CPUs, 1 to 8"},
    {"ram", 'r', "BYTES", "simulated RAM; K, M, G, T may follow (powers of 1024)"},
    {"speed", 'x', "native|exact", "judge faults and seam calls, or every access"},
    {"policy", 'P', "eager|random", "what the simulated TLBs keep (eager: all that is legal)"},
    {"plant", 'p', "ROW", "commit the fault of that row of docs/checks.md once, on purpose"},
    {"mutate", 'm', "K:drop|K:alter", "drop or alter the K-th barrier, TLBI or descriptor store"},
    {"count-sites", 'n', NULL, "count those sites and say so"},
    {"slabinfo", 'i', "FILE", "/proc/slabinfo of the recorded machine"},
    {"sites", 'S', "FILE", "write there what the run needed of each of those sites (tests/mutate)"},
    {"weaken", 'w', "K[,K...]|ORDER", "take those atomic operations for relaxed (exact; row R1)"},
    {"orders", 'O', "FILE", "write there which atomic operations state an order (exact)"},
    {"log", 'l', "FILE", "write every report of the monitors there, one JSON line each"},
    {"tables", 't', "FILE", "write the kernel's translation tables at the end there, a line a run"},
    {"output", 'o', "FILE", "where the page goes, also as -o; - is standard output"},
    {"html", 'H', "FILE", "write the report there as one page for a browser"},
    {"svg", 'V', "FILE", "write the memory map at the end of the trace there as a picture"},
    {"help", 'h', NULL, "print this"},
};

void cli_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("ksim: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

void cli_print_options(const char *takes)
{
    for (size_t i = 0; i < KC_ARRAY_COUNT(rows); i++) {
        if (strchr(takes, rows[i].letter) != NULL || rows[i].letter == 'h') {
            char left[40];
            snprintf(left, sizeof(left), "--%s%s%s", rows[i].name, rows[i].argument ? " " : "",
                     rows[i].argument ? rows[i].argument : "");
            printf("  %-26s %s\n", left, rows[i].help);
        }
    }
}

/* A whole unsigned number, decimal or 0x, with nothing around it. */
static bool parse_number(const char *text, char **rest, uint64_t *out)
{
    if (!isdigit((unsigned char)text[0])) {
        return false;
    }
    errno = 0;
    int base = text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10;
    unsigned long long v = strtoull(text, rest, base);
    if (errno != 0) {
        return false;
    }
    *out = v;
    return true;
}

static bool parse_whole(const char *text, uint64_t *out)
{
    char *rest;
    return parse_number(text, &rest, out) && *rest == '\0';
}

static bool parse_bytes(const char *text, uint64_t *out)
{
    char *rest;
    uint64_t v;
    if (!parse_number(text, &rest, &v)) {
        return false;
    }
    static const char units[] = "KMGT";
    if (*rest != '\0') {
        const char *u = strchr(units, toupper((unsigned char)*rest));
        if (u == NULL || rest[1] != '\0' ||
            !kc_mul_u64(v, (uint64_t)1 << (10 * (u - units + 1)), &v)) {
            return false;
        }
    }
    *out = v;
    return true;
}

static bool parse_mutation(const char *text, struct cli_mutation *out)
{
    char *rest;
    uint64_t site;
    if (!parse_number(text, &rest, &site) || site == 0 || *rest != ':') {
        return false;
    }
    bool alter = strcmp(rest + 1, "alter") == 0;
    if (!alter && strcmp(rest + 1, "drop") != 0) {
        return false;
    }
    out->site = site;
    out->alter = alter;
    return true;
}

/* Store one option. NULL if good, else what was expected. */
static const char *apply(struct cli_options *o, char letter, const char *value)
{
    uint64_t n;
    switch (letter) {
    case 'h':
        o->help = true;
        return NULL;
    case 'j':
        o->json = true;
        return NULL;
    case 'q':
        o->quiet = true;
        return NULL;
    case 'n':
        o->count_sites = true;
        return NULL;
    case 's':
        o->seed_given = true;
        return parse_whole(value, &o->seed) ? NULL : "a whole number below 2^64";
    case 'c':
        if (!parse_whole(value, &n) || n < 1 || n > KC_CPUS_MAX) {
            return "a number of CPUs, 1 to 8";
        }
        o->cpus = (uint32_t)n;
        return NULL;
    case 'r':
        if (!parse_bytes(value, &n) || n == 0) {
            return "a size above 0 such as 256M";
        }
        o->ram_bytes = n;
        return NULL;
    case 'x':
        if (strcmp(value, "native") != 0 && strcmp(value, "exact") != 0) {
            return "native or exact";
        }
        o->speed = value[0] == 'n' ? CLI_SPEED_NATIVE : CLI_SPEED_EXACT;
        return NULL;
    case 'P':
        if (strcmp(value, "eager") != 0 && strcmp(value, "random") != 0) {
            return "eager or random";
        }
        o->random_policy = value[0] == 'r';
        return NULL;
    case 'p':
        o->plant = value;
        return NULL;
    case 'm':
        return parse_mutation(value, &o->mutation) ? NULL : "K:drop or K:alter, K from 1";
    case 'i':
        o->slabinfo = value;
        return NULL;
    case 'S':
        o->sites = value;
        return NULL;
    case 'w':
        o->weaken = value;
        return NULL;
    case 'O':
        o->orders = value;
        return NULL;
    case 'l':
        o->log = value;
        return NULL;
    case 't':
        o->tables = value;
        return value[0] != '\0' ? NULL : "a file";
    case 'o':
    case 'H':
        o->html = value;
        return value[0] != '\0' ? NULL : "a file";
    case 'V':
        o->svg = value;
        return value[0] != '\0' ? NULL : "a file";
    default:
        return "an option";
    }
}

static const struct option_row *row_of(int letter)
{
    for (size_t i = 0; i < KC_ARRAY_COUNT(rows); i++) {
        if (rows[i].letter == letter) {
            return &rows[i];
        }
    }
    return NULL;
}

static uint64_t draw_seed(void)
{
    uint32_t seed = 1;
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
        seed = 1;
    }
    return seed;
}

/* What getopt_long() did not take. Beside -h there are long options only. */
static void say_unknown(char **argv)
{
    const char *word = argv[optind - 1]; /* of a long option; short ones may be in the next */
    if (strncmp(word, "--", 2) != 0 || optopt == 0) {
        char letter[3] = {'-', (char)optopt, '\0'};
        cli_say("%s: unknown option %s; try: ksim %s --help", argv[1], optopt != 0 ? letter : word,
                argv[1]);
    } else {
        cli_say("%s: %s: this option takes no value", argv[1], word);
    }
}

enum cli_exit cli_parse(int argc, char **argv, const char *takes, struct cli_options *out)
{
    struct option longs[KC_ARRAY_COUNT(rows) + 1];
    memset(longs, 0, sizeof(longs));
    for (size_t i = 0; i < KC_ARRAY_COUNT(rows); i++) {
        longs[i].name = rows[i].name;
        longs[i].has_arg = rows[i].argument ? required_argument : no_argument;
        longs[i].val = (unsigned char)rows[i].letter;
    }
    *out = (struct cli_options){.command = argv[1]};
    opterr = 0;
    optind = 2;
    for (;;) {
        int letter = getopt_long(argc, argv, ":ho:", longs, NULL);
        if (letter == -1) {
            break;
        }
        if (letter == ':') {
            cli_say("%s: %s needs a value", argv[1], argv[optind - 1]);
            return CLI_USAGE;
        }
        const struct option_row *row = row_of(letter);
        if (row == NULL) {
            say_unknown(argv);
            return CLI_USAGE;
        }
        if (letter != 'h' && strchr(takes, letter) == NULL) {
            cli_say("%s does not take --%s; try: ksim %s --help", argv[1], row->name, argv[1]);
            return CLI_USAGE;
        }
        const char *expected = apply(out, (char)letter, optarg);
        if (expected != NULL) {
            cli_say("--%s %s: expected %s", row->name, optarg, expected);
            return CLI_USAGE;
        }
    }
    if (optind < argc) {
        out->argument = argv[optind++];
    }
    if (optind < argc) {
        cli_say("%s: one operand at most; %s is too many", argv[1], argv[optind]);
        return CLI_USAGE;
    }
    if (!out->seed_given) {
        out->seed = draw_seed();
    }
    return CLI_GOOD;
}
