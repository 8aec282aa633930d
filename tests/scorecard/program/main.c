/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kc-scorecard: runs the cases of the hardening scorecard on the core's allocators, or on others'.
 *
 * usage: kc-scorecard [--adapter NAME] [--json] [--list] [--table] [--excuses] [--cost] [CASE]
 *
 * Without --adapter: all subjects of the core, each outcome compared with expect.c. Exit status 0
 * if all are as expected, 1 if not, 2 for a wrong use. NAME is a subject, glibc, mimalloc, or the
 * path of a library that defines malloc; what comes of those is shown, not judged.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <host.h>
#include <host_ram.h>

#include "cost.h"
#include "foreign.h"

static const struct score_adapter *const subjects[] = {&score_pool,   &score_cache, &score_heap,
                                                       &score_frames, &score_fence, &score_core};
static const char *const levels[SCORE_LEVELS] = {"off", "checked", "full", "tagged"};

static struct {
    const char *adapter;
    const char *id;
    bool json, list, table, excuses, cost;
} options;

static uint32_t ran, noticed, wrong;

/* ---- the environment ------------------------------------------------------------------------ */

static jmp_buf *escape;

static void on_panic(const struct kc_panic *why)
{
    (void)why;
    if (escape != NULL) {
        longjmp(*escape, 1);
    }
}

static bool panics(void (*f)(void *), void *arg)
{
    jmp_buf here;
    volatile bool panicked = true;
    escape = &here;
    if (setjmp(here) == 0) {
        f(arg);
        panicked = false;
    }
    escape = NULL;
    host_locks_forget();
    return panicked;
}

/* ---- words ---------------------------------------------------------------------------------- */

static void print_text(const char *s)
{
    for (; *s != 0; s++) {
        if (*s == '"' || *s == '\\') {
            putchar('\\');
        }
        putchar(*s);
    }
}

static void show(const struct score_case *c, const struct score_adapter *a,
                 const struct score_outcome *o)
{
    if (options.json) {
        printf("%s\n  {\"case\": \"%s\", \"subject\": \"", ran == 1 ? "" : ",", c->id);
        print_text(a->name);
        printf("\", \"at\": \"%s\", \"reports\": %u, \"message\": \"", score_at_name(o->at),
               o->reports);
        print_text(o->message);
        printf("\", \"why\": \"");
        print_text(o->why != NULL ? o->why : "");
        printf("\"}");
        return;
    }
    printf("%-22s %-8s %-7s %2u  %s%s%s\n", c->id, a->name, score_at_name(o->at), o->reports,
           o->message, o->why != NULL ? "  WRONG: " : "", o->why != NULL ? o->why : "");
}

static void judge(const struct score_case *c, const struct score_adapter *a,
                  const struct score_outcome *o)
{
    const struct score_row *r = score_row_of(c->id, a->name);
    const char *text = NULL;
    if (r == NULL) {
        text = "no row";
    } else if (o->why != NULL) {
        text = o->why;
    } else if (o->at != score_expected(r, KC_HARDENING)) {
        text = "noticed elsewhere";
    } else if (o->at != SCORE_NEVER && o->at != SCORE_BREAKS && !score_said(r, o)) {
        text = "another message or number of reports";
    }
    if (text != NULL) {
        wrong++;
        fprintf(stderr, "%s on %s: %s: expected %s, %u, \"%s\"\n", c->id, a->name, text,
                r != NULL ? score_at_name(score_expected(r, KC_HARDENING)) : "?",
                r != NULL ? r->reports : 0, r != NULL ? r->message : "");
    }
}

static void run_on(const struct score_adapter *a, bool foreign)
{
    for (uint32_t g = 0; g < SCORE_GROUPS; g++) {
        for (uint32_t i = 0; i < score_groups[g]->count; i++) {
            const struct score_case *c = &score_groups[g]->cases[i];
            struct score_outcome o;
            if (options.id != NULL && strcmp(options.id, c->id) != 0) {
                continue;
            }
            if (!(foreign ? foreign_run(c, a, &o) : score_run(c, a, &o))) {
                if (!foreign && score_row_of(c->id, a->name) != NULL) {
                    fprintf(stderr, "%s on %s: has a row, but did not run\n", c->id, a->name);
                    wrong++;
                }
                continue;
            }
            ran++;
            noticed += o.at != SCORE_NEVER && o.at != SCORE_BREAKS;
            show(c, a, &o);
            if (!foreign) {
                judge(c, a, &o);
            }
            fflush(stdout);
        }
    }
}

static void list(void)
{
    for (uint32_t g = 0; g < SCORE_GROUPS; g++) {
        for (uint32_t i = 0; i < score_groups[g]->count; i++) {
            const struct score_case *c = &score_groups[g]->cases[i];
            printf("%s\t%s\t%s\t%s\n", c->id, score_groups[g]->name, c->misuse, c->source);
        }
    }
}

/* ---- the table of the documentation --------------------------------------------------------- */

static void print_cell(const struct score_row *r, uint32_t level)
{
    enum score_at now = score_expected(r, level);
    enum score_at aim = score_aimed_at(r, level);
    printf(" %s", score_at_name(now));
    if (aim != now) {
        printf(" (%s: %s)", level == KC_HARDENING_TAGGED ? "tags" : "aim", score_at_name(aim));
    }
    printf(" |");
}

static void print_row(const struct score_case *c, const struct score_row *r, bool first)
{
    printf("| %s | %s | %s |", first ? c->id : "", first ? c->misuse : "", r->subject);
    for (uint32_t l = 0; l < SCORE_LEVELS; l++) {
        print_cell(r, l);
    }
    printf(" %s | %u |\n", r->message[0] != 0 ? r->message : "–", r->reports);
}

static void table(void)
{
    for (uint32_t g = 0; g < SCORE_GROUPS; g++) {
        printf("### %s\n\n", score_groups[g]->name);
        printf("| case | misuse | subject | off | checked | full | tagged | message | reports |\n"
               "|---|---|---|---|---|---|---|---|--:|\n");
        for (uint32_t i = 0; i < score_groups[g]->count; i++) {
            const struct score_case *c = &score_groups[g]->cases[i];
            bool first = true;
            for (uint32_t k = 0; k < KC_ARRAY_COUNT(subjects); k++) {
                const struct score_row *r = score_row_of(c->id, subjects[k]->name);
                if (r != NULL) {
                    print_row(c, r, first);
                    first = false;
                }
            }
        }
        printf("\n");
    }
}

static void excuses(void)
{
    printf("| source | what | does not apply, because | shown by |\n|---|---|---|---|\n");
    for (uint32_t i = 0; i < score_excuse_count; i++) {
        const struct score_excuse *e = &score_excuses[i];
        printf("| %s | %s | %s | `%s` |\n", e->source, e->what, e->because, e->test);
    }
}

/* Every row is of a case and a subject that there are: a word misspelt would never be looked at. */
static void check_rows(void)
{
    for (uint32_t i = 0; i < score_row_count; i++) {
        bool there = false;
        for (uint32_t g = 0; g < SCORE_GROUPS; g++) {
            for (uint32_t k = 0; k < score_groups[g]->count; k++) {
                there = there || strcmp(score_groups[g]->cases[k].id, score_rows[i].id) == 0;
            }
        }
        if (!there) {
            fprintf(stderr, "%s: a row without a case\n", score_rows[i].id);
            wrong++;
        }
    }
}

/* ---- the program ---------------------------------------------------------------------------- */

static const struct score_adapter *subject(const char *name)
{
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(subjects); i++) {
        if (strcmp(subjects[i]->name, name) == 0) {
            return subjects[i];
        }
    }
    return NULL;
}

static bool flag(const char *word)
{
    static const struct {
        const char *word;
        bool *to;
    } flags[] = {{"--json", &options.json},
                 {"--list", &options.list},
                 {"--table", &options.table},
                 {"--cost", &options.cost},
                 {"--excuses", &options.excuses}};
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(flags); i++) {
        if (strcmp(word, flags[i].word) == 0) {
            *flags[i].to = true;
            return true;
        }
    }
    return false;
}

static int usage(FILE *to)
{
    fprintf(to, "usage: kc-scorecard [--adapter NAME] [--json] [--list] [--table] [--excuses] "
                "[--cost] [CASE]\n");
    return to == stdout ? 0 : 2;
}

static int run_all(void)
{
    const struct score_adapter *a = options.adapter != NULL ? subject(options.adapter) : NULL;
    if (options.json) {
        printf("{\"schema\": \"kcore.scorecard/1\", \"level\": \"%s\", \"outcomes\": [",
               levels[KC_HARDENING]);
    }
    if (options.adapter == NULL) {
        for (uint32_t i = 0; i < KC_ARRAY_COUNT(subjects); i++) {
            run_on(subjects[i], false);
        }
        check_rows();
    } else if (a != NULL) {
        run_on(a, false);
    } else {
        a = foreign_adapter(options.adapter);
        if (a == NULL) {
            fprintf(stderr, "kc-scorecard: no such adapter: %s\n", options.adapter);
            return 2;
        }
        run_on(a, true);
    }
    if (options.json) {
        printf("\n], \"noticed\": %u, \"wrong\": %u}\n", noticed, wrong);
    } else {
        printf("%u outcomes, %u noticed, %u not as expected (level %s)\n", ran, noticed, wrong,
               levels[KC_HARDENING]);
    }
    return wrong == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static struct kc_boot_info info;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--adapter") == 0 && i + 1 < argc) {
            options.adapter = argv[++i];
        } else if (strcmp(argv[i], "--help") == 0) {
            return usage(stdout);
        } else if (argv[i][0] == '-' ? !flag(argv[i]) : options.id != NULL) {
            return usage(stderr);
        } else if (argv[i][0] != '-') {
            options.id = argv[i];
        }
    }
    host_console_fd = STDERR_FILENO;
    host_panic_hook = on_panic;
    if (host_ram_create(SCORE_RAM_BYTES, &info) != KC_OK) {
        fprintf(stderr, "kc-scorecard: no memory\n");
        return 4;
    }
    score_env.info = &info;
    score_env.panics = panics;
    if (options.list) {
        list();
    } else if (options.table) {
        table();
    } else if (options.excuses) {
        excuses();
    } else if (options.cost) {
        cost_print(levels[KC_HARDENING]);
    } else {
        return run_all();
    }
    return 0;
}
