/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * single_trace: what lackey saw of a run of kc-probe, made into counts.
 *
 *     valgrind --tool=lackey --trace-mem=yes --log-fd=9 kc-probe single NAME 9>&1 >/dev/null |
 *         single-trace NAME
 *
 * A line of lackey's is "I  address,size" for an instruction and " L", " S" or " M" for a load, a
 * store or both. Between two marks (marks.h) instructions are counted, and the lines of memory that
 * data accesses touch, but for those of the stack. What an empty operation costs is taken off.
 *
 * Prints what single_tally.h says; for lines of memory "lines NAME | alloc or free | p50 most", and
 * for each loop "loop NAME | hot or churn | N", N in tenths of an instruction an item.
 */
#include "marks.h"
#include "single_tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_LOG2       6u
#define LINES_MAX       64u /* distinct ones of an operation; beyond, it counts as so many */
#define STACK_REACH     (UINT64_C(1) << 20)
#define LINES_HISTOGRAM (LINES_MAX + 1u)

static struct single_tally tally;
static uint64_t lines_histogram[SINGLE_KINDS][LINES_HISTOGRAM];

static uint32_t open_mark; /* MARK_END: nothing is being counted */
static uint32_t phase;
static uint64_t instructions, empty[SINGLE_KINDS];
static bool empty_known, stack_follows;
static uint64_t stack;
static uint64_t line[LINES_MAX];
static uint32_t lines;

/* The operation that ended last: it is put down when it is known whether it had frames. */
static struct {
    bool held;
    enum single_kind kind;
    uint32_t instructions, lines;
} last;

static uint64_t loop_first;
static uint32_t loop_runs; /* of a loop once as long, and then twice */

static void put_down(bool frames)
{
    if (last.held) {
        single_tally_add(&tally, (enum single_phase)phase, last.kind, last.instructions, frames);
        lines_histogram[last.kind][last.lines]++;
    }
    last.held = false;
}

static void end_loop(const char *name)
{
    static const char *const loops[] = {"hot", "churn"};
    if (loop_runs % 2 == 0) {
        loop_first = instructions;
    } else if (loop_runs < 4) {
        printf("loop %s | %s | %llu\n", name, loops[loop_runs / 2],
               (unsigned long long)((instructions - loop_first) * 10 / MARK_LOOP_ITEMS));
    }
    loop_runs++;
}

static void end(const char *name)
{
    switch (open_mark) {
    case MARK_EMPTY_ALLOC:
        empty[SINGLE_ALLOC] = instructions;
        break;
    case MARK_EMPTY_FREE:
        empty[SINGLE_FREE] = instructions;
        empty_known = true;
        break;
    case MARK_ALLOC:
    case MARK_FREE:
        last.held = true;
        last.kind = open_mark == MARK_ALLOC ? SINGLE_ALLOC : SINGLE_FREE;
        last.instructions = (uint32_t)(instructions - empty[last.kind]);
        last.lines = lines;
        break;
    case MARK_LOOP:
        end_loop(name);
        break;
    default:
        break;
    }
    open_mark = MARK_END;
}

static void see_mark(uint32_t what, const char *name)
{
    if (what == MARK_END) {
        end(name);
    } else if (what == MARK_FRAMES) {
        put_down(true);
    } else if (what == MARK_STACK) {
        stack_follows = true;
    } else if (what >= MARK_PHASE) {
        put_down(false);
        phase = what - MARK_PHASE;
    } else {
        put_down(false);
        open_mark = what;
        instructions = 0;
        lines = 0;
    }
}

static void see_access(uint64_t address)
{
    uint64_t at = address >> LINE_LOG2;
    if (address - (stack - STACK_REACH) < 2 * STACK_REACH || lines == LINES_MAX) {
        return;
    }
    for (uint32_t i = 0; i < lines; i++) {
        if (line[i] == at) {
            return;
        }
    }
    line[lines++] = at;
}

static void see(const char *text, const char *name)
{
    if (text[0] == 'I') {
        instructions++;
        return;
    }
    if (text[0] != ' ' || (text[1] != 'L' && text[1] != 'S' && text[1] != 'M')) {
        return; /* what Valgrind has to say, or the program */
    }
    if (open_mark == MARK_END && text[1] != 'S') {
        return;
    }
    uint64_t address = strtoull(text + 3, NULL, 16);
    if (text[1] == 'S' && address - MARKS_BASE < 8u * (uint64_t)MARK_LIMIT) {
        see_mark((uint32_t)((address - MARKS_BASE) / 8), name);
    } else if (stack_follows) {
        stack = address;
        stack_follows = false;
    } else if (open_mark != MARK_END) {
        see_access(address);
    }
}

static void print_lines(const char *name)
{
    static const char *const kinds[SINGLE_KINDS] = {"alloc", "free"};
    for (uint32_t kind = 0; kind < SINGLE_KINDS; kind++) {
        uint64_t all = 0, before = 0;
        uint32_t middle = 0, most = 0;
        for (uint32_t n = 0; n < LINES_HISTOGRAM; n++) {
            all += lines_histogram[kind][n];
        }
        for (uint32_t n = 0; n < LINES_HISTOGRAM; n++) {
            uint64_t here = lines_histogram[kind][n];
            if (before <= all / 2 && before + here > all / 2) {
                middle = n;
            }
            most = here != 0 ? n : most;
            before += here;
        }
        if (all != 0) {
            printf("lines %s | %s | %u %u\n", name, kinds[kind], middle, most);
        }
    }
}

static void put(const char *text)
{
    fputs(text, stdout);
}

int main(int argc, char **argv)
{
    char text[4096];
    if (argc != 2) {
        fprintf(stderr, "usage: single-trace NAME <TRACE\n");
        return 2;
    }
    while (fgets(text, sizeof text, stdin) != NULL) {
        see(text, argv[1]);
    }
    put_down(false);
    if (!empty_known) {
        fprintf(stderr, "single-trace: no marks in what was given\n");
        return 1;
    }
    single_tally_print(&tally, argv[1], put);
    print_lines(argv[1]);
    return 0;
}
