/* SPDX-License-Identifier: BSD-2-Clause */
/* `ksim checks`: the rows of the monitors, judged and not yet judged, as sim/monitor/rows.c has
 * them. */
#include <stdio.h>

#include "cli.h"
#include "monitor.h"
#include "scenario.h"

static const char *plant_of(const struct mon_row_info *r)
{
    const struct scenario *s = scenario_find(r->name);
    return s != NULL ? s->name : NULL;
}

/* A string of our own (no quote, backslash or control character), or null. */
static void put_string(const char *key, const char *value)
{
    if (value == NULL) {
        printf(",\"%s\":null", key);
    } else {
        printf(",\"%s\":\"%s\"", key, value);
    }
}

static void print_json(void)
{
    const struct mon_row_info *r;
    fputs("{\"schema\":\"kcore.checks/1\",\"rows\":[", stdout);
    for (uint32_t i = 0; (r = mon_row_info(i)) != NULL; i++) {
        printf("%s{\"row\":\"%s\"", i == 0 ? "" : ",", r->name);
        put_string("forbids", r->text);
        put_string("reported_when", r->when);
        put_string("judged_at", r->at);
        put_string("native", r->native);
        put_string("exact", r->exact);
        put_string("not_yet", r->not_yet);
        put_string("plant", plant_of(r));
        printf(",\"lint\":%s}", r->lint ? "true" : "false");
    }
    puts("]}");
}

static void print_words(void)
{
    const struct mon_row_info *r;
    for (uint32_t i = 0; (r = mon_row_info(i)) != NULL; i++) {
        printf("%-4s %s%s%s\n", r->name, r->text, r->not_yet != NULL ? "; not yet: " : "",
               r->not_yet != NULL ? r->not_yet : "");
    }
}

enum cli_exit cmd_checks(int argc, char **argv)
{
    struct cli_options o;
    enum cli_exit e = cli_parse(argc, argv, "j", &o);
    if (e != CLI_GOOD) {
        return e;
    }
    if (o.argument != NULL) {
        cli_say("checks: takes no operand; %s is too many", o.argument);
        return CLI_USAGE;
    }
    if (o.help) {
        puts("usage: ksim checks [--json]\n\n"
             "The rows of the monitors: what each forbids, and which are not judged yet.\n");
        cli_print_options("j");
    } else if (o.json) {
        print_json();
    } else {
        print_words();
    }
    return CLI_GOOD;
}
