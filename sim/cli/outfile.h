/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * outfile.h: a file that is written whole or not at all.
 *
 * Opened before the run, so that a bad path is told before any work; filled when there is something
 * to fill it with. A file that was not there before goes again if it cannot be filled.
 */
#ifndef SIM_OUTFILE_H
#define SIM_OUTFILE_H

#include <stddef.h>

#include "cli.h"

struct outfile {
    const char *option; /* for messages: "--html" */
    const char *path;   /* NULL: not wanted; "-" is standard output */
    int fd;
    bool created; /* by us */
};

/**
 * Open path for writing; its contents stay as they are. A path of NULL is good and does nothing,
 * here and in the other functions.
 *
 * Returns CLI_GOOD, or CLI_BAD_INPUT after a message.
 * Owner: the caller, until one of the other functions
 */
KC_NODISCARD enum cli_exit outfile_open(struct outfile *f, const char *option, const char *path);

/** Make text the contents and close. CLI_INTERNAL after a message if it does not arrive. */
KC_NODISCARD enum cli_exit outfile_commit(struct outfile *f, const char *text, size_t size);

/** Close with nothing written. */
void outfile_cancel(struct outfile *f);

#endif
