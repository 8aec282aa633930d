/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Costs of a level: instructions of an allocation and its free, counted one by one, and bytes.
 *
 * A child is traced and stepped (ptrace), from the moment that it stops itself until it stops
 * itself again; twice, around nothing and around OPS pairs of operations, so that the difference is
 * theirs. Exact and the same each time; of the compiler and its options, not of the machine's load.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cost.h"
#include "subjects.h"

#define OPS   2u  /* pairs that are counted */
#define BATCH 2u  /* blocks live at a time: the fast path, ... */
#define WARM  64u /* ... warm: a magazine has grown by then */

static const struct score_adapter *const subjects[] = {&score_pool, &score_cache, &score_heap,
                                                       &score_frames};

static void pairs(const struct score_adapter *a, size_t size, uint32_t count)
{
    void *p[BATCH];
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < BATCH; k++) {
            p[k] = a->alloc(size);
        }
        for (uint32_t k = BATCH; k-- > 0;) {
            (void)a->free(p[k]);
        }
    }
}

static void child(const struct score_adapter *a, size_t size, uint32_t count)
{
    if (!a->open(size)) {
        _exit(1);
    }
    void *first = a->alloc(size); /* its slab stays */
    pairs(a, size, WARM);
    if (first == NULL || ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
        _exit(1);
    }
    raise(SIGSTOP);
    pairs(a, size, count);
    raise(SIGSTOP);
    _exit(0);
}

/* Instructions between the two stops; -1: they could not be counted. */
static long steps(const struct score_adapter *a, size_t size, uint32_t count)
{
    int status;
    long n = 0;
    pid_t pid = fork();
    if (pid == 0) {
        child(a, size, count);
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFSTOPPED(status)) {
        return -1;
    }
    for (;;) {
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0 || waitpid(pid, &status, 0) < 0 ||
            !WIFSTOPPED(status)) {
            return -1;
        }
        if (WSTOPSIG(status) == SIGSTOP) {
            break;
        }
        n++;
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return n;
}

/* What a block costs beside what was asked for: of many, in memory taken from the frames. */
static double bytes_beside(const struct score_adapter *a, size_t size)
{
    struct kc_frame_stats before;
    struct kc_frame_stats after;
    uint32_t count = 0;
    if (!a->open(size)) {
        return -1;
    }
    if (a == &score_pool) {
        struct kc_pool_stats s;
        kc_pool_stats(&score_world.pool, &s);
        return (double)(s.stride_bytes - size) + (double)s.meta_bytes / s.capacity;
    }
    kc_frame_stats(&score_world.frames, &before);
    while (count < 2000 && count * size < KC_MIB(4) && a->alloc(size) != NULL) {
        count++;
    }
    kc_frame_stats(&score_world.frames, &after);
    double held = (double)(after.used_frames - before.used_frames) * KC_FRAME_BYTES;
    return count == 0 ? -1 : held / count - (double)size;
}

void cost_print(const char *level)
{
    static const size_t sizes[] = {64, 512, 4096};
    for (uint32_t i = 0; i < KC_ARRAY_COUNT(subjects); i++) {
        for (uint32_t k = 0; k < KC_ARRAY_COUNT(sizes); k++) {
            const struct score_adapter *a = subjects[i];
            if (!a->open(sizes[k])) {
                continue;
            }
            long none = steps(a, sizes[k], 0);
            long many = steps(a, sizes[k], OPS / BATCH);
            printf("%s\t%s\t%zu\t%ld\t%.1f\n", level, a->name, sizes[k],
                   none < 0 || many < 0 ? -1 : (many - none) / (long)OPS,
                   bytes_beside(a, sizes[k]));
        }
    }
}
