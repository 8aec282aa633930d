/* SPDX-License-Identifier: BSD-2-Clause */
#define _GNU_SOURCE 1
#include "outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum cli_exit outfile_open(struct outfile *f, const char *option, const char *path)
{
    *f = (struct outfile){.option = option, .path = path, .fd = -1};
    if (path == NULL) {
        return CLI_GOOD;
    }
    if (strcmp(path, "-") == 0) {
        f->fd = STDOUT_FILENO;
        return CLI_GOOD;
    }
    f->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    f->created = f->fd >= 0;
    if (f->fd < 0 && errno == EEXIST) {
        f->fd = open(path, O_WRONLY | O_CLOEXEC);
    }
    if (f->fd < 0) {
        cli_say("%s %s: %s", option, path, strerror(errno));
        f->path = NULL;
        return CLI_BAD_INPUT;
    }
    return CLI_GOOD;
}

static int write_all(int fd, const char *text, size_t size)
{
    while (size != 0) {
        ssize_t n = write(fd, text, size);
        if (n < 0 && errno != EINTR) {
            return -1;
        }
        text += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int fill(const struct outfile *f, const char *text, size_t size)
{
    struct stat st;
    if (fstat(f->fd, &st) != 0) {
        return -1;
    }
    if (f->fd != STDOUT_FILENO && S_ISREG(st.st_mode) && ftruncate(f->fd, 0) != 0) {
        return -1;
    }
    return write_all(f->fd, text, size);
}

enum cli_exit outfile_commit(struct outfile *f, const char *text, size_t size)
{
    if (f->path == NULL) {
        return CLI_GOOD;
    }
    int bad = fill(f, text, size) != 0 ? errno : 0;
    if (f->fd != STDOUT_FILENO && close(f->fd) != 0 && bad == 0) {
        bad = errno;
    }
    f->fd = -1;
    if (bad != 0) {
        cli_say("%s %s: %s", f->option, f->path, strerror(bad));
        if (f->created) {
            unlink(f->path);
        }
    }
    f->path = NULL;
    return bad == 0 ? CLI_GOOD : CLI_INTERNAL;
}

void outfile_cancel(struct outfile *f)
{
    if (f->path == NULL) {
        return;
    }
    if (f->fd != STDOUT_FILENO) {
        close(f->fd);
    }
    if (f->created) {
        unlink(f->path);
    }
    f->path = NULL;
}
