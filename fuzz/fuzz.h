/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * fuzz.h: what every fuzz target is made of.
 *
 * A target defines LLVMFuzzerTestOneInput and says what is wrong with FUZZ_REQUIRE, which stops.
 * The same file is linked with libFuzzer, or with replay_main.c.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Stop with a message if cond is false. */
#define FUZZ_REQUIRE(cond)                                                       \
    do {                                                                         \
        if (!(cond)) {                                                           \
            fprintf(stderr, "%s:%d: required: %s\n", __FILE__, __LINE__, #cond); \
            abort();                                                             \
        }                                                                        \
    } while (0)

/* Stop with the message of an operation decoder (tests/model/), if it has one. */
#define FUZZ_REQUIRE_NONE(message)                                        \
    do {                                                                  \
        const char *message_ = (message);                                 \
        if (message_ != NULL) {                                           \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, message_); \
            abort();                                                      \
        }                                                                 \
    } while (0)

#endif
