/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Allocators that end the process when they notice something: glibc's, mimalloc, or whatever
 * library defines malloc.
 *
 * A case runs in a child. The parent knows the step that it died at from a shared page, and what it
 * said from its standard error. What dies while the case cleans up, or hands out one block twice,
 * had been torn before: SCORE_BREAKS.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "foreign.h"

#define LIFE_SECONDS 10u

static struct {
    void *(*alloc)(size_t size);
    void *(*alloc_zero)(size_t count, size_t size);
    void *(*resize)(void *p, size_t size);
    void (*free)(void *p);
    int (*memalign)(void **p, size_t align, size_t size);
    size_t (*usable)(void *p);
    uint64_t errors; /* that mimalloc calls back with */
} lib;

struct shared {
    enum score_at phase;
    bool done;
    struct score_outcome out;
    char words[160];
};

static struct shared *shared;

static bool open_any(size_t size)
{
    (void)size;
    return true;
}

static void *alloc(size_t size)
{
    return lib.alloc(size);
}

static void *alloc_zero(size_t size)
{
    return lib.alloc_zero(1, size);
}

static void *alloc_array(size_t count, size_t size)
{
    return lib.alloc_zero(count, size);
}

static void *alloc_aligned(size_t size, size_t align)
{
    void *p = NULL;
    return lib.memalign(&p, align, size) == 0 ? p : NULL;
}

static void *resize(void *p, size_t size)
{
    return lib.resize(p, size);
}

static bool free_any(void *p)
{
    lib.free(p);
    return true;
}

static size_t usable(void *p)
{
    return lib.usable(p);
}

static uint64_t reports(void)
{
    return lib.errors;
}

static const char *message(void)
{
    return "error callback";
}

static struct score_adapter adapter = {
    .caps = SCORE_ZERO | SCORE_ALIGNED | SCORE_RESIZE | SCORE_USABLE | SCORE_ANY_SIZE |
            SCORE_LARGE | SCORE_PLAIN | SCORE_SMALL | SCORE_ARRAY | SCORE_DENSE,
    .open = open_any,
    .alloc = alloc,
    .alloc_zero = alloc_zero,
    .alloc_array = alloc_array,
    .alloc_aligned = alloc_aligned,
    .resize = resize,
    .free = free_any,
    .usable = usable,
    .reports = reports,
    .message = message,
};

static void on_error(int error, void *arg)
{
    (void)error;
    (void)arg;
    lib.errors++;
}

/* POSIX lets a function and a data pointer be one; ISO C does not say so. */
static bool find(void *handle, const char *name, void *to)
{
    void *symbol = dlsym(handle, name);
    memcpy(to, &symbol, sizeof(symbol));
    return symbol != NULL;
}

static bool bind_names(void *handle, const char *prefix)
{
    static const char *const names[] = {"malloc", "calloc",         "realloc",
                                        "free",   "posix_memalign", "malloc_usable_size"};
    void *const to[] = {&lib.alloc, &lib.alloc_zero, &lib.resize,
                        &lib.free,  &lib.memalign,   &lib.usable};
    for (size_t i = 0; i < KC_ARRAY_COUNT(names); i++) {
        char name[64];
        strcpy(name, prefix);
        strcat(name, names[i]);
        if (!find(handle, name, to[i])) {
            return false;
        }
    }
    return true;
}

const struct score_adapter *foreign_adapter(const char *name)
{
    void (*on)(void (*)(int, void *), void *);
    adapter.name = name;
    if (strcmp(name, "glibc") == 0) {
        return bind_names(RTLD_DEFAULT, "") ? &adapter : NULL;
    }
    bool mimalloc = strcmp(name, "mimalloc") == 0;
    void *handle =
        dlopen(mimalloc ? "libmimalloc.so.2" : name, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    if (handle == NULL) {
        return NULL;
    }
    if (mimalloc && find(handle, "mi_register_error", &on)) {
        on(on_error, NULL);
    }
    return bind_names(handle, mimalloc ? "mi_" : "") ? &adapter : NULL;
}

/* ---- in a child ----------------------------------------------------------------------------- */

static void remember_phase(enum score_at at)
{
    shared->phase = at;
}

static void child(const struct score_case *c, const struct score_adapter *a, int words)
{
    dup2(words, STDERR_FILENO);
    alarm(LIFE_SECONDS);
    score_env.phase = remember_phase;
    (void)score_run(c, a, &shared->out);
    shared->done = true;
    _exit(0);
}

static void keep_words(const char *text)
{
    size_t n = strlen(text);
    n = n < sizeof(shared->words) ? n : sizeof(shared->words) - 1;
    memcpy(shared->words, text, n);
    shared->words[n] = 0;
}

/* The first line that it said. */
static void listen(int words)
{
    size_t n = 0;
    ssize_t got;
    char all[512];
    while (n < sizeof(all) - 1 && (got = read(words, all + n, sizeof(all) - 1 - n)) > 0) {
        n += (size_t)got;
    }
    all[n] = 0;
    all[strcspn(all, "\n")] = 0;
    keep_words(all);
}

static void of_the_dead(int status, struct score_outcome *out)
{
    bool torn = shared->phase == SCORE_BREAKS;
    out->at = shared->phase;
    out->reports = torn ? 0 : 1;
    out->why = NULL;
    if (shared->words[0] == 0) {
        int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        const char *text = signal == 0 ? "exit" : sigabbrev_np(signal);
        keep_words(text != NULL ? text : "signal");
    }
    out->message = shared->words;
}

bool foreign_run(const struct score_case *c, const struct score_adapter *a,
                 struct score_outcome *out)
{
    int fd[2];
    int status = 0;
    if ((c->needs & ~a->caps) != 0) {
        return false;
    }
    if (shared == NULL) {
        shared =
            mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    }
    if (shared == MAP_FAILED || pipe(fd) != 0) {
        abort();
    }
    memset(shared, 0, sizeof(*shared));
    pid_t pid = fork();
    if (pid == 0) {
        close(fd[0]);
        child(c, a, fd[1]);
    }
    close(fd[1]);
    listen(fd[0]);
    close(fd[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!shared->done) {
        of_the_dead(status, out);
        return true;
    }
    *out = shared->out; /* its strings are constants of the program: the same in parent and child */
    if (out->why != NULL) {
        out->at = SCORE_BREAKS;
    }
    return true;
}
