/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * input.c: bytes in, unpacked bytes out.
 *
 *     file or stdin --read(2)--> packed[] --liblzma, libzstd or memcpy--> the caller's buffer
 *
 * Invariants
 *   I1  packed_at <= packed_size <= sizeof packed
 *   I2  once failed, always failed
 *   I3  an archive that ends before its own end mark is an error, not an end
 *
 * The first bytes decide the packing; they stay in packed[] and are unpacked like the rest.
 */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef SIM_HAVE_LZMA
#include <lzma.h>
#endif
#ifdef SIM_HAVE_ZSTD
#include <zstd.h>
#endif

#define PACKED_BYTES    (256u << 10)
#define XZ_MEMORY_MAX   (256ull << 20)
#define ZSTD_WINDOW_MAX 27 /* log2: 128 MiB */

struct sim_input {
    int fd; /* -1: memory */
    char *name;
    const char *what;
    uint64_t taken;
    uint64_t size;
    enum sim_packing packing;
    bool at_end; /* of the packed bytes */
    bool failed;
    bool unpacked_all; /* the archive's own end was seen */
    size_t packed_at;
    size_t packed_size;
    const uint8_t *packed; /* own_packed, or the caller's memory */
    uint8_t *own_packed;
#ifdef SIM_HAVE_LZMA
    lzma_stream lzma;
#endif
#ifdef SIM_HAVE_ZSTD
    ZSTD_DStream *zstd;
#endif
};

void sim_trace_error_set(struct sim_trace_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
}

static bool fail(struct sim_input *in)
{
    in->failed = true;
    return false;
}

/* More packed bytes, if those at hand are used up. False on a read error. */
static bool refill(struct sim_input *in, struct sim_trace_error *err)
{
    if (in->packed_at < in->packed_size || in->at_end || in->fd < 0) {
        in->at_end = in->at_end || (in->fd < 0 && in->packed_at == in->packed_size);
        return true;
    }
    ssize_t got;
    do {
        got = read(in->fd, in->own_packed, PACKED_BYTES);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        sim_trace_error_set(err, "%s: cannot read at byte %llu: %s", in->name,
                            (unsigned long long)in->taken, strerror(errno));
        return fail(in);
    }
    in->at_end = got == 0;
    in->packed_at = 0;
    in->packed_size = (size_t)got;
    in->taken += (size_t)got;
    return true;
}

/* ---- unpacking: each takes from packed and gives at most max bytes; *n may be 0 ----------------
 */

static void take_plain(struct sim_input *in, void *buf, size_t max, size_t *n)
{
    size_t left = in->packed_size - in->packed_at;
    *n = left < max ? left : max;
    memcpy(buf, in->packed + in->packed_at, *n);
    in->packed_at += *n;
    in->unpacked_all = true;
}

#ifdef SIM_HAVE_LZMA
static bool take_xz(struct sim_input *in, void *buf, size_t max, size_t *n,
                    struct sim_trace_error *err)
{
    in->lzma.next_in = in->packed + in->packed_at;
    in->lzma.avail_in = in->packed_size - in->packed_at;
    in->lzma.next_out = buf;
    in->lzma.avail_out = max;
    lzma_ret r = lzma_code(&in->lzma, in->at_end ? LZMA_FINISH : LZMA_RUN);
    in->packed_at = in->packed_size - in->lzma.avail_in;
    *n = max - in->lzma.avail_out;
    if (r == LZMA_STREAM_END) {
        in->unpacked_all = true;
        return true;
    }
    if (r == LZMA_OK || (r == LZMA_BUF_ERROR && !in->at_end)) {
        return true;
    }
    if (r == LZMA_BUF_ERROR) {
        return true; /* cut; the caller reports it */
    }
    sim_trace_error_set(err, "%s: near byte %llu: %s; expected a sound .xz", in->name,
                        (unsigned long long)in->taken,
                        r == LZMA_MEMLIMIT_ERROR ? "the archive wants more than 256 MiB of memory"
                        : r == LZMA_MEM_ERROR    ? "no memory"
                                                 : "damaged .xz data");
    return false;
}
#endif

#ifdef SIM_HAVE_ZSTD
static bool take_zstd(struct sim_input *in, void *buf, size_t max, size_t *n,
                      struct sim_trace_error *err)
{
    ZSTD_inBuffer src = {in->packed + in->packed_at, in->packed_size - in->packed_at, 0};
    ZSTD_outBuffer dst = {buf, max, 0};
    size_t r = ZSTD_decompressStream(in->zstd, &dst, &src);
    in->packed_at += src.pos;
    *n = dst.pos;
    if (ZSTD_isError(r)) {
        sim_trace_error_set(err, "%s: near byte %llu: %s; expected a sound .zst", in->name,
                            (unsigned long long)in->taken, ZSTD_getErrorName(r));
        return false;
    }
    in->unpacked_all = r == 0; /* a frame ended; another may follow */
    return true;
}
#endif

static bool unpack(struct sim_input *in, void *buf, size_t max, size_t *n,
                   struct sim_trace_error *err)
{
    switch (in->packing) {
#ifdef SIM_HAVE_LZMA
    case SIM_XZ:
        return take_xz(in, buf, max, n, err);
#endif
#ifdef SIM_HAVE_ZSTD
    case SIM_ZSTD:
        return take_zstd(in, buf, max, n, err);
#endif
    default:
        take_plain(in, buf, max, n);
        return true;
    }
}

bool sim_input_read(struct sim_input *in, void *buf, size_t max, size_t *n,
                    struct sim_trace_error *err)
{
    *n = 0;
    while (!in->failed) {
        if (!refill(in, err)) {
            return false;
        }
        bool was_end = in->at_end;
        if (in->packing == SIM_PLAIN && was_end) {
            return true;
        }
        if (in->packing != SIM_PLAIN && was_end && in->unpacked_all) {
            return true;
        }
        if (!unpack(in, buf, max, n, err)) {
            return fail(in);
        }
        if (*n != 0) {
            return true;
        }
        if (was_end && !in->unpacked_all) { /* I3 */
            sim_trace_error_set(err,
                                "%s: the archive ends at byte %llu in the middle; expected "
                                "the rest of it",
                                in->name, (unsigned long long)in->taken);
            return fail(in);
        }
    }
    return false;
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool starts_with(const struct sim_input *in, const void *magic, size_t n)
{
    return in->packed_size >= n && memcmp(in->packed, magic, n) == 0;
}

static bool begin_xz(struct sim_input *in, struct sim_trace_error *err)
{
#ifdef SIM_HAVE_LZMA
    lzma_stream fresh = LZMA_STREAM_INIT;
    in->lzma = fresh;
    in->packing = SIM_XZ;
    if (lzma_stream_decoder(&in->lzma, XZ_MEMORY_MAX, LZMA_CONCATENATED) == LZMA_OK) {
        return true;
    }
    sim_trace_error_set(err, "%s: no memory to unpack .xz", in->name);
    return false;
#else
    sim_trace_error_set(err,
                        "%s: is .xz, and this build has no liblzma; unpack it first: "
                        "xz -dc FILE | ksim replay -",
                        in->name);
    return false;
#endif
}

static bool begin_zstd(struct sim_input *in, struct sim_trace_error *err)
{
#ifdef SIM_HAVE_ZSTD
    in->zstd = ZSTD_createDStream();
    in->packing = SIM_ZSTD;
    if (in->zstd != NULL && !ZSTD_isError(ZSTD_initDStream(in->zstd)) &&
        !ZSTD_isError(ZSTD_DCtx_setParameter(in->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_MAX))) {
        return true;
    }
    sim_trace_error_set(err, "%s: no memory to unpack .zst", in->name);
    return false;
#else
    sim_trace_error_set(err,
                        "%s: is .zst, and this build has no libzstd; unpack it first: "
                        "zstd -dc FILE | ksim replay -",
                        in->name);
    return false;
#endif
}

/* The first bytes are there: decide the packing. */
static bool begin(struct sim_input *in, struct sim_trace_error *err)
{
    if (!refill(in, err)) {
        return false;
    }
    /* a pipe may give its first bytes one by one: have as many as the longest magic */
    while (in->fd >= 0 && in->packed_size < 8) {
        ssize_t got = read(in->fd, in->own_packed + in->packed_size, 8 - in->packed_size);
        if (got <= 0) {
            break;
        }
        in->packed_size += (size_t)got;
        in->taken += (size_t)got;
    }
    if (in->packed_size == 0) {
        sim_trace_error_set(err, "%s: is empty; expected %s", in->name, in->what);
        return false;
    }
    in->at_end = false;
    if (starts_with(in,
                    "\xfd"
                    "7zXZ\0",
                    6)) {
        return begin_xz(in, err);
    }
    if (starts_with(in, "\x28\xb5\x2f\xfd", 4)) {
        return begin_zstd(in, err);
    }
    in->packing = SIM_PLAIN;
    return true;
}

static struct sim_input *create(const char *name, const char *what, int fd,
                                struct sim_trace_error *err)
{
    struct sim_input *in = calloc(1, sizeof(*in));
    if (in != NULL) {
        in->fd = fd;
        in->what = what;
        in->name = strdup(name);
        in->own_packed = fd >= 0 ? malloc(PACKED_BYTES) : NULL;
        in->packed = in->own_packed;
    }
    if (in == NULL || in->name == NULL || (fd >= 0 && in->own_packed == NULL)) {
        sim_trace_error_set(err, "%s: no memory to open it", name);
        if (in == NULL && fd > STDIN_FILENO) {
            (void)close(fd);
        }
        sim_input_close(in);
        return NULL;
    }
    return in;
}

struct sim_input *sim_input_memory(const char *name, const char *what, const void *bytes, size_t n,
                                   struct sim_trace_error *err)
{
    struct sim_input *in = create(name, what, -1, err);
    if (in == NULL) {
        return NULL;
    }
    in->packed = bytes;
    in->packed_size = n;
    in->taken = n;
    in->size = n;
    if (!begin(in, err)) {
        sim_input_close(in);
        return NULL;
    }
    return in;
}

struct sim_input *sim_input_open(const char *path, const char *what, struct sim_trace_error *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    const char *name = is_stdin ? "standard input" : path;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        sim_trace_error_set(err, "%s: cannot open: %s; expected %s", name, strerror(errno), what);
        if (fd > STDIN_FILENO) {
            (void)close(fd);
        }
        return NULL;
    }
    if (S_ISDIR(st.st_mode)) {
        sim_trace_error_set(err, "%s: is a directory; expected %s", name, what);
        if (!is_stdin) {
            (void)close(fd);
        }
        return NULL;
    }
    struct sim_input *in = create(name, what, fd, err);
    if (in == NULL) {
        return NULL;
    }
    in->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    if (!begin(in, err)) {
        sim_input_close(in);
        return NULL;
    }
    return in;
}

enum sim_packing sim_input_packing(const struct sim_input *in)
{
    return in->packing;
}

const char *sim_input_name(const struct sim_input *in)
{
    return in->name;
}

void sim_input_progress(const struct sim_input *in, uint64_t *taken, uint64_t *size)
{
    *taken = in->taken - (in->packed_size - in->packed_at);
    *size = in->size;
}

void sim_input_close(struct sim_input *in)
{
    if (in == NULL) {
        return;
    }
#ifdef SIM_HAVE_LZMA
    if (in->packing == SIM_XZ) {
        lzma_end(&in->lzma);
    }
#endif
#ifdef SIM_HAVE_ZSTD
    if (in->packing == SIM_ZSTD) {
        (void)ZSTD_freeDStream(in->zstd);
    }
#endif
    if (in->fd > STDIN_FILENO) {
        (void)close(in->fd);
    }
    free(in->own_packed);
    free(in->name);
    free(in);
}
