/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The harness on the hosted body: output, seed, RAM, panics, crashes, and main() of our own runner.
 *
 * A crash (signal) or a hang ends the whole run of our own runner with a message that names the
 * case: the remaining cases did not run, and the exit status says so. Under Criterion, which has a
 * process per case, only the hook and the RAM are ours.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <host.h>
#include <host_ram.h>

#include "kc_test.h"
#include "kc_test_body.h"

#ifndef KC_TEST_BODY_NAME
#define KC_TEST_BODY_NAME "host"
#endif

/* Longest time that one case may take under the slowest tool; a hang, not slowness, is the target.
 */
#define CASE_SECONDS 600u

static _Thread_local bool is_test_thread;

static void write_all(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, text, n);
        if (done <= 0) {
            return;
        }
        text += done;
        n -= (size_t)done;
    }
}

void kc_test_write_body(const char *text, size_t n, bool is_protocol)
{
    write_all(is_protocol ? STDOUT_FILENO : STDERR_FILENO, text, n);
}

bool kc_test_seed_body(uint64_t *out)
{
    const char *text = getenv("KC_TEST_SEED");
    char *end;

    if (text == NULL || *text == 0) {
        return false;
    }
    uint64_t seed = strtoull(text, &end, 0);
    if (*end != 0) {
        fprintf(stderr, "KC_TEST_SEED: not a number: %s\n", text);
        exit(2);
    }
    *out = seed;
    return true;
}

bool kc_test_ram_body(uint64_t bytes, struct kc_boot_info *bi)
{
    return host_ram_create(bytes, bi) == KC_OK;
}

void kc_test_ram_release_body(void)
{
    host_ram_destroy();
}

void kc_test_listen_body(bool on)
{
    host_watch_locks(on);
}

bool kc_test_is_test_thread_body(void)
{
    return is_test_thread;
}

/* Before main() and, under Criterion, in the process of every case. */
__attribute__((constructor)) static void start(void)
{
    is_test_thread = true;
    host_panic_hook = kc_test_on_panic;
    host_console_fd = STDERR_FILENO; /* standard output is for the test protocol */
    host_watch_locks(true);
}

#ifndef KC_TEST_CRITERION

static char running[160];

static void on_signal(int signo)
{
    static const char before[] = "\nBail out! ";
    static const char hang[] = ": took too long\n";
    static const char crash[] = ": ended by a signal\n";

    write_all(STDOUT_FILENO, before, sizeof before - 1);
    write_all(STDOUT_FILENO, running, strlen(running));
    if (signo == SIGALRM) {
        write_all(STDOUT_FILENO, hang, sizeof hang - 1);
    } else {
        write_all(STDOUT_FILENO, crash, sizeof crash - 1);
    }
    signal(signo, SIG_DFL);
    if (signo == SIGALRM) {
        _exit(124);
    }
    raise(signo);
}

void kc_test_running_body(const char *suite, const char *name)
{
    if (name == NULL) {
        alarm(0);
        return;
    }
    host_locks_forget(); /* a case before may have left a hold by way of a panic */
    host_watch_locks(true);
    kc_test_format(running, sizeof running, "%s.%s", suite, name);
    alarm(CASE_SECONDS);
}

static int usage(FILE *to)
{
    fprintf(to, "usage: unit-runner [--tap] [--list] [--share K/N] [SUITE[.NAME]]\n");
    return to == stdout ? 0 : 2;
}

static bool take_share(const char *text, struct kc_test_run *run)
{
    char rest;

    return text != NULL && sscanf(text, "%u/%u%c", &run->share, &run->shares, &rest) == 2 &&
           run->share >= 1 && run->share <= run->shares;
}

int main(int argc, char **argv)
{
    struct kc_test_run run = {.body = KC_TEST_BODY_NAME};

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--tap") == 0) {
            run.tap = true;
        } else if (strcmp(argv[i], "--list") == 0) {
            run.list = true;
        } else if (strcmp(argv[i], "--share") == 0 && take_share(argv[i + 1], &run)) {
            i++;
        } else if (strcmp(argv[i], "--help") == 0) {
            return usage(stdout);
        } else if (argv[i][0] == '-' || run.pattern != NULL) {
            return usage(stderr);
        } else {
            run.pattern = argv[i];
        }
    }
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGALRM};
    for (size_t i = 0; i < KC_ARRAY_COUNT(signals); i++) {
        signal(signals[i], on_signal);
    }
    struct kc_test_result r = kc_test_run(&run);
    return r.failed != 0 ? 1 : 0;
}

#endif
