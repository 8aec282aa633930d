/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc_test_body.h: what the harness needs of the body it runs on, and how that body runs the cases.
 *
 * glue_host.c is the hosted implementation; the image has its own.
 */
#ifndef KC_TEST_BODY_H
#define KC_TEST_BODY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kc_boot_info;

/** Write n bytes of test protocol, or of text for people. */
void kc_test_write_body(const char *text, size_t n, bool is_protocol);

/** The seed that somebody asked for; false if nobody did. */
bool kc_test_seed_body(uint64_t *out);

/** As kc_test_ram(), but may be called again after kc_test_ram_release_body(). */
bool kc_test_ram_body(uint64_t bytes, struct kc_boot_info *bi);
void kc_test_ram_release_body(void);

/** True on the thread, or CPU, that runs the tests. */
bool kc_test_is_test_thread_body(void);

/** As kc_test_listen(). */
void kc_test_listen_body(bool on);

/** A test is about to start, or has ended (name NULL): for watchdogs and crash messages. */
void kc_test_running_body(const char *suite, const char *name);

/** kc_test_format() with its arguments in a list. */
size_t kc_test_format_list_(char *out, size_t size, const char *format, va_list *args);

/** Take back what kc_test_ram() gave, if anything. */
void kc_test_ram_end(void);

struct kc_test_result {
    uint32_t passed;
    uint32_t failed;
    uint32_t skipped;
};

struct kc_test_run {
    const char *body;    /* for the closing line */
    const char *pattern; /* run only cases whose "suite.name" begins so; NULL runs all */
    uint32_t share;      /* and of these only share 1 to shares: each case is in one of them */
    uint32_t shares;     /* 0: all */
    bool tap;            /* print TAP; else only failures */
    bool list;           /* print the names, run nothing */
};

/**
 * Run the cases, print as asked and close with the line "body NAME: N passed, M failed". A case is
 * passed, failed or skipped; a run in which nothing passed or failed counts as one failure.
 */
struct kc_test_result kc_test_run(const struct kc_test_run *run);

#endif
