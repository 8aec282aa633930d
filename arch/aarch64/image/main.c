/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c: the image of the kernel: kernel.h bound to this body, and the choice of what it runs.
 *
 * bootargs, apart by blanks:
 *     run         the mapping rounds and services at EL0 on every CPU, then the trace in the
 *                 initrd, if any (default)
 *     replay      the trace in the initrd alone
 *     at          the core's walk beside the machine's AT instructions
 *     die=HOW     a fault that ends the kernel, explained; see die.c
 *     json        nothing on the console but the JSON of kcore.replay/1
 *     rounds=N    mapping rounds of `run`, default 24
 *     services=N  rounds of services of `run`, default 1
 *     seed=N      for everything random
 *
 * Exit codes are those of ksim: 0 good, 1 findings, 2 wrong bootargs, 3 a bad trace, 4 internal;
 * and those of body.h where the body had to stop.
 */
#include <kernel.h>
#include <report_json.h>
#include <run.h>

#include "../body.h"
#include "../words.h"
#include "at.h"
#include "die.h"

#define EXIT_GOOD        0
#define EXIT_FINDINGS    1
#define EXIT_USAGE       2
#define EXIT_INPUT       3
#define EXIT_INTERNAL    4

#define ROUNDS_DEFAULT   24u
#define SERVICES_DEFAULT 1u

/* Of the tables, when the kernel dies. */
#define DUMP_LINES_MAX 64u
#define DUMP_READS_MAX 100000u

static struct kc_kernel kernel KC_ALIGNED(64);

/* ---- kernel.h bound to the body ------------------------------------------------------------- */

struct kc_kernel *kc_program_kernel(void)
{
    return &kernel;
}

kc_status_t kc_program_boot(struct kc_kernel *k, const struct kc_boot_info *info)
{
    return kc_kernel_boot(k, info);
}

void kc_program_cpu_main(uint32_t cpu, void *arg)
{
    kc_kernel_cpu_main(cpu, arg);
}

bool kc_program_fault(struct kc_kernel *k, uint64_t esr, uint64_t far, uint64_t elr)
{
    struct kc_fault f = {.esr = esr, .far = far, .elr = elr, .cpu = kc_plat_cpu()};
    return kc_kernel_fault(k, &f);
}

void kc_program_panic(const struct kc_panic *why)
{
    (void)why;
    kc_body_quiet(false);
}

void kc_program_dying(void)
{
}

static void out(void *ctx, const char *text, size_t n)
{
    (void)ctx;
    kc_plat_console(text, n);
}

void kc_program_explain(struct kc_kernel *k, const struct kc_explain_regs *regs)
{
    static const struct kc_ptview_bounds bounds = {DUMP_LINES_MAX, DUMP_READS_MAX};
    kc_body_say("\n");
    kc_kernel_explain(k, regs, kc_plat_cpu(), out, NULL);
    kc_body_say("\n");
    kc_kernel_dump(k, bounds, out, NULL);
}

void kc_program_ipi(struct kc_kernel *k)
{
    kc_kernel_ipi(k);
}

/* ---- the work ------------------------------------------------------------------------------- */

static struct {
    struct kc_run run;
    struct kc_kct kct;
    struct kc_kct_memory trace;
    struct kc_at_counts at;
    uint8_t block[KC_KCT_BLOCK_MAX];
} state;

static void sink(void *ctx, const char *text, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i++) {
        kc_board_uart_put(text[i]);
    }
}

static uint64_t ram_bytes(const struct kc_boot_info *info)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < info->range_count; i++) {
        bytes += info->range[i].kind == KC_BOOT_RAM ? info->range[i].size : 0;
    }
    return bytes;
}

static void say_number(const char *before, uint64_t v)
{
    kc_body_say(before);
    kc_body_say_dec(v);
}

/* What the reader of the trace did not like; true if there was such a thing. */
static bool say_bad_trace(void)
{
    const struct kc_kct_error *e = kc_kct_error(&state.kct);
    if (state.run.source.fill == NULL || e->status == KC_OK) {
        return false;
    }
    kc_body_quiet(false);
    say_number("kcore: initrd: byte ", e->offset);
    kc_body_say(": expected ");
    kc_body_say(e->expected);
    say_number(", found ", e->found);
    kc_body_say("\n");
    return true;
}

static void say_services(void)
{
    const struct kc_service_counts *c = &state.run.service_counts;
    say_number("\nservices: started ", c->started);
    for (uint32_t i = 0; i < KC_SERVICE_END_COUNT; i++) {
        kc_body_say(", ");
        kc_body_say(kc_service_end_name(i));
        say_number(" ", c->ended[i]);
    }
    say_number(", calls ", c->calls);
    say_number(", refused ", c->refused);
    say_number(", exchanged ", c->exchanged_bytes);
    say_number(", pages ", c->pages);
    say_number(", interrupts ", c->interrupts);
    say_number(", cleaned ", c->cleaned);
    say_number(", unexpected ", c->unexpected);
}

static void say_result(const struct kc_boot_info *info, uint64_t findings)
{
    const struct kc_replay_result *r = &state.run.result;
    if (state.run.source.fill != NULL) {
        struct kc_report report = {.replay = r,
                                   .seed = info->seed,
                                   .ram_bytes = ram_bytes(info),
                                   .leaks = r->leaks + kernel.leaked_frames + kernel.leaked_things,
                                   .violations = findings,
                                   .services = &state.run.service_counts};
        kc_report_json(&report, sink, NULL);
    }
    const struct kc_vm_counts *c = &state.run.vm_counts;
    say_number("run: maps ", c->maps);
    say_number(", unmaps ", c->unmaps);
    say_number(", protects ", c->protects);
    say_number(", splits ", c->splits);
    say_number(", remote reads ", c->remote_reads);
    say_number(", user bytes ", c->user_bytes);
    say_number(", user faults ", c->user_faults);
    say_number(", lazy faults ", c->lazy_faults);
    say_number(", services killed ", c->kills);
    say_number(", cleanups ", c->cleanups);
    say_number(", frames reclaimed ", c->reclaimed);
    say_number(", text changes ", c->text_changes);
    say_number(", fenced misses ", c->fenced);
    say_services();
    say_number("; findings ", findings);
    say_number(", leaked frames ", kernel.leaked_frames);
    kc_body_say("\n");
}

static int run(struct kc_kernel *k, const struct kc_boot_info *info, const struct kc_board *board,
               uint64_t rounds, uint64_t services)
{
    state.run.vm_rounds = (uint32_t)rounds;
    state.run.service_rounds = (uint32_t)services;
    if (board->initrd.size != 0) {
        state.trace.bytes = kc_plat_ram(board->initrd.base);
        state.trace.size = board->initrd.size;
        struct kc_kct_input input = {.read = kc_kct_memory_read, .ctx = &state.trace};
        kc_kct_init(&state.kct, &input, state.block);
        state.run.source = (struct kc_replay_source){.fill = kc_kct_fill, .ctx = &state.kct};
    }
    struct kc_work work = kc_run_work(&state.run);
    kc_status_t st = kc_kernel_main(k, &work);
    const struct kc_replay_result *r = &state.run.result;
    uint64_t findings = kc_misuse_total(&k->misuse) + r->overlaps + state.run.vm_failed +
                        state.run.service_counts.unexpected;
    if (say_bad_trace()) {
        return EXIT_INPUT;
    }
    say_result(info, findings);
    if (st != KC_OK) {
        kc_body_quiet(false);
        kc_body_say("kcore: the kernel ended with ");
        kc_body_say(kc_status_name(st));
        kc_body_say("\n");
        return EXIT_FINDINGS;
    }
    return findings == 0 && r->failures == 0 && r->page_failures == 0 && r->leaks == 0
               ? EXIT_GOOD
               : EXIT_FINDINGS;
}

static int compare_with_at(struct kc_kernel *k)
{
    struct kc_work work = kc_at_work(&state.at);
    kc_status_t st = kc_kernel_main(k, &work);
    if (st != KC_OK) {
        kc_body_say("at: ");
        kc_body_say(kc_status_name(st));
        kc_body_say("\n");
    }
    return st == KC_OK ? EXIT_GOOD : st == KC_ERR_CORRUPT ? EXIT_FINDINGS : EXIT_INTERNAL;
}

static int die(struct kc_kernel *k, const struct kc_boot_info *info)
{
    struct kc_work work;
    if (!kc_die_work(info->cmdline, &work)) {
        kc_body_say("kcore: die= wants guard, text, data, null or user\n");
        return EXIT_USAGE;
    }
    kc_status_t st = kc_kernel_main(k, &work);
    kc_body_say("kcore: lived on: ");
    kc_body_say(kc_status_name(st));
    kc_body_say("\n");
    return EXIT_FINDINGS;
}

static bool asked(const struct kc_boot_info *info, const char *word)
{
    return kc_words_find(info->cmdline, word, NULL, NULL);
}

/* A number of rounds, if the word is there; false after a message. */
static bool number(const struct kc_boot_info *info, const char *word, uint64_t *out)
{
    if ((!asked(info, word) || kc_words_u64(info->cmdline, word, out)) && *out <= UINT32_MAX) {
        return true;
    }
    kc_body_say("kcore: ");
    kc_body_say(word);
    kc_body_say("= wants a number below 2^32\n");
    return false;
}

int kc_program_main(struct kc_kernel *k, const struct kc_boot_info *info,
                    const struct kc_board *board)
{
    uint64_t rounds = ROUNDS_DEFAULT;
    uint64_t services = SERVICES_DEFAULT;
    if (!number(info, "rounds", &rounds) || !number(info, "services", &services)) {
        return EXIT_USAGE;
    }
    if (asked(info, "at")) {
        return compare_with_at(k);
    }
    if (asked(info, "die")) {
        return die(k, info);
    }
    if (asked(info, "replay") && board->initrd.size == 0) {
        kc_body_say("kcore: replay wants a .kct trace as initrd\n");
        return EXIT_USAGE;
    }
    kc_body_quiet(asked(info, "json"));
    bool replay = asked(info, "replay");
    return run(k, info, board, replay ? 0 : rounds, replay ? 0 : services);
}
