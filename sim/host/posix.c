/* SPDX-License-Identifier: BSD-2-Clause */
/* Console, chance, and the end. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "host_priv.h"

int host_console_fd = STDOUT_FILENO;

/* A console that is gone loses text, as on a machine. errno is the program's: it stays. */
void kc_plat_console(const char *text, size_t n)
{
    int before = errno;
    while (n != 0) {
        ssize_t done = write(host_console_fd, text, n);
        if (done >= 0) {
            text += done;
            n -= (size_t)done;
        } else if (errno != EINTR) {
            break;
        }
    }
    errno = before;
}

bool kc_plat_entropy(uint64_t *out)
{
    uint64_t r;
    if (getrandom(&r, sizeof(r), 0) != (ssize_t)sizeof(r)) {
        return false;
    }
    *out = r;
    return true;
}

void kc_plat_panic(const struct kc_panic *why)
{
    if (host_hooks.panic != NULL) {
        host_hooks.panic(why);
    }
    fprintf(stderr, "%s:%d: panic: %s", why->file, why->line, why->what);
    if (why->text != NULL) {
        fprintf(stderr, ": %s", why->text);
    }
    if (why->value[0] != 0 || why->value[1] != 0) {
        fprintf(stderr, " (seen 0x%llx, expected 0x%llx)", (unsigned long long)why->value[0],
                (unsigned long long)why->value[1]);
    }
    fputc('\n', stderr);
    fflush(NULL);
    abort();
}
