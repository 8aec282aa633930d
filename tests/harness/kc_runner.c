/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Our own runner: the cases of the linker section kc_tests, one after the other in this process or
 * on this machine. It runs where Criterion cannot: under TSan, under qemu-user, on bare metal; and
 * under Valgrind in one start-up instead of hundreds.
 *
 * A case runs with a trap of its own around it (kc_test.c), so that an unexpected panic fails that
 * case and the run goes on. A failed cr_assert leaves through the same jump.
 *
 * I1  Each case is counted exactly once: passed, failed or skipped.
 * I2  A case that failed a condition, panicked or failed in its fini is failed.
 * I3  A run that passed nothing is a failure: a runner without cases cannot look good.
 */
#include <stdarg.h>

#include "kc_test.h"
#include "kc_test_body.h"

#ifdef KC_TEST_CRITERION
#error "kc_runner.c is the other implementation"
#endif

/* Weak: an executable without a case has no such section, and is reported by I3. */
extern const struct kc_test_case *const __start_kc_tests[] __attribute__((weak));
extern const struct kc_test_case *const __stop_kc_tests[] __attribute__((weak));

static struct {
    const struct kc_test_case *now;
    struct kc_test_jump leave;
    uint32_t failures; /* of the current case; other threads add to it */
    bool skipped;
} state;

static void write_text(const char *text, bool is_protocol)
{
    kc_test_write_body(text, __builtin_strlen(text), is_protocol);
}

static void report(const char *file, int line, const char *what, const char *message)
{
    kc_test_printf("# FAILED %s.%s\n#   %s:%d: %s%s\n", state.now->suite, state.now->name, file,
                   line, what, message);
}

static void failed(bool fatal)
{
    __atomic_fetch_add(&state.failures, 1, __ATOMIC_RELAXED);
    if (!fatal) {
        return;
    }
    if (!kc_test_is_test_thread_body()) {
        write_text("# cr_assert outside the test's thread: counted, goes on\n", false);
        return;
    }
    KC_TEST_LONGJMP(&state.leave);
}

/* The optional message of the caller, or nothing. The format begins with a blank of ours. */
#define FORMAT_MESSAGE(buffer, format)                                \
    do {                                                              \
        va_list args_;                                                \
        va_start(args_, format);                                      \
        kc_test_format_list_(buffer, sizeof(buffer), format, &args_); \
        va_end(args_);                                                \
        if ((buffer)[1] == 0) {                                       \
            (buffer)[0] = 0;                                          \
        }                                                             \
    } while (0)

void kc_test_fail_(bool fatal, const char *file, int line, const char *what, const char *format,
                   ...)
{
    char message[256];
    FORMAT_MESSAGE(message, format);
    report(file, line, what, message);
    failed(fatal);
}

void kc_test_fail_pair_(bool fatal, const char *file, int line, const char *what, uint64_t a,
                        uint64_t b, const char *format, ...)
{
    char message[256];
    FORMAT_MESSAGE(message, format);
    report(file, line, what, message);
    kc_test_printf("#   left %lld (0x%llx), right %lld (0x%llx)\n", (long long)a,
                   (unsigned long long)a, (long long)b, (unsigned long long)b);
    failed(fatal);
}

void kc_test_skip_(const char *format, ...)
{
    char message[256];
    FORMAT_MESSAGE(message, format);
    kc_test_printf("# skipped %s.%s:%s\n", state.now->suite, state.now->name, message);
    state.skipped = true;
    KC_TEST_LONGJMP(&state.leave);
}

bool kc_test_str_eq_(const char *a, const char *b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    while (*a != 0 && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

bool kc_test_arr_eq_(const void *a, const void *b, size_t bytes)
{
    return __builtin_memcmp(a, b, bytes) == 0;
}

/* Run one function of a case; false if it left early or panicked. */
static bool guarded(void (*run)(void))
{
    struct kc_test_trap trap;

    if (run == NULL) {
        return true;
    }
    if (KC_TEST_SETJMP(&state.leave) != 0) {
        /* Traps of a KC_TEST_PANICS that was left by an assertion inside go with it. */
        kc_test_trap_pop(&trap);
        return false;
    }
    kc_test_trap_push(&trap);
    if (KC_TEST_SETJMP(&trap.jump) != 0) {
        const struct kc_panic *why = kc_test_last_panic();
        report(why->file, why->line, "unexpected panic: ", why->what);
        __atomic_fetch_add(&state.failures, 1, __ATOMIC_RELAXED);
        return false;
    }
    run();
    kc_test_trap_pop(&trap);
    return true;
}

static const struct kc_test_case *suite_of(const struct kc_test_case *c)
{
    for (const struct kc_test_case *const *at = __start_kc_tests; at < __stop_kc_tests; at++) {
        if ((*at)->name == NULL && kc_test_str_eq_((*at)->suite, c->suite)) {
            return *at;
        }
    }
    return NULL;
}

/* As under Criterion: the suite's init, then the case's own; fini in the reverse order. */
static void run_case(const struct kc_test_case *c)
{
    const struct kc_test_case *suite = suite_of(c);

    state.now = c;
    state.failures = 0;
    state.skipped = false;
    kc_test_running_body(c->suite, c->name);
    bool ready = (suite == NULL || guarded(suite->options.init)) && guarded(c->options.init);
    if (ready) {
        (void)guarded(c->run);
        (void)guarded(c->options.fini);
        if (suite != NULL) {
            (void)guarded(suite->options.fini);
        }
    }
    kc_test_ram_end();
    kc_test_running_body(NULL, NULL);
}

/* Neighbours are in different shares: often they are the same with another parameter. */
static bool is_in_share(const struct kc_test_case *const *at, const struct kc_test_run *run)
{
    return run->shares == 0 ||
           (size_t)(at - __start_kc_tests) % run->shares == (size_t)run->share - 1;
}

static bool wanted(const struct kc_test_case *const *at, const struct kc_test_run *run)
{
    const struct kc_test_case *c = *at;
    const char *pattern = run->pattern;
    char name[128];

    if (c->name == NULL || !is_in_share(at, run)) {
        return false;
    }
    if (pattern == NULL) {
        return true;
    }
    kc_test_format(name, sizeof name, "%s.%s", c->suite, c->name);
    for (size_t i = 0; pattern[i] != 0; i++) {
        if (pattern[i] != name[i]) {
            return false;
        }
    }
    return true;
}

static void say(const char *mark, uint32_t number, const struct kc_test_case *c, const char *after)
{
    char line[256];
    kc_test_format(line, sizeof line, "%s %u - %s.%s%s\n", mark, number, c->suite, c->name, after);
    write_text(line, true);
}

struct kc_test_result kc_test_run(const struct kc_test_run *run)
{
    struct kc_test_result r = {0, 0, 0};
    uint32_t number = 0;
    char line[160];

    if (run->tap) {
        uint32_t plan = 0;
        for (const struct kc_test_case *const *at = __start_kc_tests; at < __stop_kc_tests; at++) {
            plan += wanted(at, run) ? 1 : 0;
        }
        kc_test_format(line, sizeof line, "TAP version 13\n1..%u\n", plan);
        write_text(line, true);
    }
    for (const struct kc_test_case *const *at = __start_kc_tests; at < __stop_kc_tests; at++) {
        const struct kc_test_case *c = *at;
        if (!wanted(at, run)) {
            continue;
        }
        number++;
        if (run->list) {
            say("case", number, c, "");
            continue;
        }
        bool disabled = c->options.disabled;
        if (!disabled) {
            run_case(c);
        }
        bool bad = !disabled && state.failures != 0;
        bool skipped = disabled || (state.skipped && !bad);
        r.failed += bad ? 1 : 0;
        r.skipped += skipped ? 1 : 0;
        r.passed += bad || skipped ? 0 : 1;
        if (run->tap) {
            say(bad ? "not ok" : "ok", number, c, skipped ? " # SKIP" : "");
        }
    }
    if (run->list) {
        return r;
    }
    if (r.passed == 0 && r.failed == 0) {
        write_text("# no test ran\n", false);
        r.failed = 1;
    }
    kc_test_format(line, sizeof line, "%sbody %s: %u passed, %u failed\n", run->tap ? "# " : "",
                   run->body, r.passed, r.failed);
    write_text(line, true);
    return r;
}
