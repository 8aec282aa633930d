/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The preloaded heap's start and end: arena, environment, fork, statistics.
 *
 * Start. The first call of the family makes the heap, long before main() and perhaps before the
 * constructors: so nothing here allocates. The arena is address space
 * alone. Its frame records lie at its end and are written when their frames are first needed, so
 * that a terabyte costs a few pages.
 *
 * Fork. The whole of the core is consistent while no thread is masked: host_cpus_stop() sees to
 * that in the parent, and the child goes on alone. Handlers that others registered, and that may
 * allocate, or wait for who does, run while nothing is stopped: ours are there first, and glibc
 * calls those of the parent's side in reverse. For that the library is linked to be initialised
 * before all others (initfirst), the C library too: so its constructor does nothing else.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "preload.h"

#include <host.h>
#include <host_ram.h>
#include <kc/fmt.h>

#define ARENA_DEFAULT KC_GIB(1024)
#define ARENA_LEAST   KC_MIB(1) /* below it, nothing would be left beside the heap's own frames */
#define STATS_TEXT    4096u
#define STATS_PATH    4096u

struct kc_heap *preload_heap;
uintptr_t preload_base;
size_t preload_bytes;

static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kc_early early;
static struct kc_frames frames;
static struct kc_heap heap;
static struct kc_misuse misuse;

static char stats_path[STATS_PATH]; /* empty: to standard error, if wanted at all */
static bool stats_wanted;
static char program[64]; /* its name, as the inside of a JSON string */

/* ---- telling -------------------------------------------------------------------------------- */

void preload_say(const char *text, size_t n)
{
    host_console_fd = STDERR_FILENO;
    kc_plat_console(text, n);
}

/* The process cannot go on: nothing that it asks for could be given. */
static _Noreturn KC_COLD void give_up(const char *what, const char *value)
{
    char line[256];
    size_t n = kc_fmt(line, sizeof(line), "kcore-malloc: %s: %.100s\n", what, value);
    preload_say(line, n < sizeof(line) ? n : sizeof(line) - 1);
    _exit(127);
}

/* Plays the end of kc_plat_panic(), whose own uses stdio. */
static void on_panic(const struct kc_panic *why)
{
    static uint32_t panics;
    if (__atomic_fetch_add(&panics, 1, __ATOMIC_RELAXED) == 0) {
        char line[512];
        size_t n = kc_fmt(line, sizeof(line), "kcore-malloc: %s:%d: %s%s%s (0x%llx, 0x%llx)\n",
                          why->file, why->line, why->what, why->text != NULL ? ": " : "",
                          why->text != NULL ? why->text : "", (unsigned long long)why->value[0],
                          (unsigned long long)why->value[1]);
        preload_say(line, n < sizeof(line) ? n : sizeof(line) - 1);
        abort();
    }
    /* A handler of SIGABRT allocates, or another thread panics too. */
    signal(SIGABRT, SIG_DFL);
    raise(SIGABRT);
    _exit(127);
}

/* ---- the environment ------------------------------------------------------------------------ */

/* A number with K, M, G or T behind it, in bytes. */
static bool parse_size(const char *text, uint64_t *out)
{
    static const char suffixes[] = "KMGT";
    uint64_t n = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(n, 10u, &n) ||
            __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n)) {
            return false;
        }
    }
    const char *suffix = *p != 0 ? strchr(suffixes, *p) : NULL;
    if (p == text || (*p != 0 && (suffix == NULL || p[1] != 0))) {
        return false;
    }
    uint64_t unit = suffix != NULL ? UINT64_C(1024) << (10 * (suffix - suffixes)) : 1;
    return !__builtin_mul_overflow(n, unit, out);
}

static uint64_t arena_wanted(void)
{
    const char *text = secure_getenv("KCORE_MALLOC_ARENA");
    uint64_t bytes = 0;
    if (text == NULL) {
        return 0;
    }
    if (!parse_size(text, &bytes) || bytes < ARENA_LEAST || bytes > HOST_RAM_MAX ||
        !kc_is_aligned(bytes, HOST_PAGE_BYTES)) {
        give_up("KCORE_MALLOC_ARENA is no size from 1M to 64T in whole pages", text);
    }
    return bytes;
}

static enum kc_misuse_policy policy_wanted(void)
{
    const char *text = secure_getenv("KCORE_MALLOC_MISUSE");
    if (text == NULL || strcmp(text, "report") == 0) {
        return KC_MISUSE_REPORT;
    }
    if (strcmp(text, "abort") == 0) {
        return KC_MISUSE_PANIC;
    }
    if (strcmp(text, "silent") == 0) {
        return KC_MISUSE_SILENT;
    }
    give_up("KCORE_MALLOC_MISUSE is none of report, abort, silent", text);
}

static void read_stats_wanted(void)
{
    const char *text = secure_getenv("KCORE_MALLOC_STATS");
    if (text == NULL || *text == 0) {
        return;
    }
    stats_wanted = true;
    if (strcmp(text, "-") != 0) {
        size_t n = strlen(text);
        if (n >= sizeof(stats_path)) {
            give_up("KCORE_MALLOC_STATS is too long a path", text);
        }
        memcpy(stats_path, text, n + 1);
    }
}

/* ---- start ---------------------------------------------------------------------------------- */

/* Address space for the arena: what was asked for, or as much as the host gives. */
static void get_arena(struct kc_boot_info *bi)
{
    uint64_t wanted = arena_wanted();
    uint64_t bytes = wanted != 0 ? wanted : ARENA_DEFAULT;
    while (host_ram_create(bytes, bi) != KC_OK) {
        if (wanted != 0 || bytes / 2 < ARENA_LEAST) {
            give_up("the host gives no address space for the arena", "see KCORE_MALLOC_ARENA");
        }
        bytes /= 2;
    }
    if (bytes < ARENA_DEFAULT && wanted == 0 && bytes / 2 >= ARENA_LEAST) {
        /* Where address space is limited, stacks, libraries and great blocks want some too. */
        host_ram_destroy();
        bytes /= 2;
        kc_status_t status = host_ram_create(bytes, bi);
        KC_CHECK(status == KC_OK);
    }
    preload_base = (uintptr_t)kc_plat_ram(kc_pa(HOST_RAM_BASE));
    preload_bytes = (size_t)bytes;
}

/* Read at the start, for some programs write over their arguments. */
static void read_program_name(void)
{
    const char *name = program_invocation_short_name;
    for (size_t i = 0; name[i] != 0 && i < sizeof(program) - 1; i++) {
        char c = name[i];
        if (c < ' ' || c > '~' || c == '"' || c == '\\') {
            c = '_';
        }
        program[i] = c;
    }
}

static void make_heap(void)
{
    static struct kc_boot_info bi;
    const struct kc_heap_config config = {"malloc", &misuse, 0, KC_CPUS_MAX, NULL, 0};
    host_hooks.panic = on_panic;
    host_console_fd = STDERR_FILENO;
    kc_misuse_init(&misuse, policy_wanted());
    read_stats_wanted();
    read_program_name();
    get_arena(&bi);
    if (kc_early_init(&early, &bi) != KC_OK || kc_frames_init(&frames, &early, &misuse) != KC_OK ||
        kc_heap_init(&heap, &config, &frames) != KC_OK) {
        give_up("no heap in the arena", "it is too small");
    }
    /* Release: who sees the heap sees it made. */
    __atomic_store_n(&preload_heap, &heap, __ATOMIC_RELEASE);
}

KC_COLD struct kc_heap *preload_start(void)
{
    int before = errno;
    pthread_mutex_lock(&start_lock);
    if (preload_heap == NULL) {
        make_heap();
    }
    pthread_mutex_unlock(&start_lock);
    errno = before;
    return preload_heap;
}

/*
 * A fork from a signal handler that interrupted the heap: nothing can wait for its own thread, and
 * the child may then do no more than exec, as the standard has it.
 */
static __thread bool stopped;

static void fork_prepare(void)
{
    stopped = host_irq != HOST_IRQ_MASKED;
    if (stopped) {
        host_cpus_stop();
    }
}

static void fork_parent(void)
{
    if (stopped) {
        host_cpus_go(false);
    }
}

static void fork_child(void)
{
    if (stopped) {
        host_cpus_go(true);
    }
}

__attribute__((constructor)) static void start(void)
{
    if (pthread_atfork(fork_prepare, fork_parent, fork_child) != 0) {
        give_up("pthread_atfork() failed", "no memory");
    }
}

/* ---- memory of others, from before ---------------------------------------------------------- */

typedef ElfW(Phdr) phdr_t;

/* End of the image whose program headers are these. */
static uintptr_t image_end(const phdr_t *phdr, size_t count, uintptr_t bias)
{
    uintptr_t end = 0;
    for (size_t i = 0; i < count; i++) {
        uintptr_t e = bias + phdr[i].p_vaddr + phdr[i].p_memsz;
        end = phdr[i].p_type == PT_LOAD && e > end ? e : end;
    }
    return (end + KC_FRAME_BYTES - 1) & ~(uintptr_t)(KC_FRAME_BYTES - 1);
}

/* The dynamic linker's first allocations lie behind its data, in its last page. */
static uintptr_t linker_end(uintptr_t base)
{
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)base;
    return image_end((const phdr_t *)(base + header->e_phoff), header->e_phnum, base);
}

/* The program break begins somewhere behind the program's image. */
static uintptr_t program_end(void)
{
    const phdr_t *phdr = (const phdr_t *)getauxval(AT_PHDR);
    size_t count = getauxval(AT_PHNUM);
    for (size_t i = 0; i < count; i++) {
        if (phdr[i].p_type == PT_PHDR) {
            return image_end(phdr, count, (uintptr_t)phdr - phdr[i].p_vaddr);
        }
    }
    return UINTPTR_MAX;
}

size_t preload_before(const void *p)
{
    uintptr_t at = (uintptr_t)p;
    uintptr_t linker = getauxval(AT_BASE);
    if (linker != 0 && at >= linker && at < linker_end(linker)) {
        return linker_end(linker) - at;
    }
    uintptr_t end = (uintptr_t)sbrk(0);
    return at >= program_end() && at < end ? end - at : 0;
}

/* ---- statistics ----------------------------------------------------------------------------- */

struct text {
    char bytes[STATS_TEXT];
    size_t n;
};

static void add(struct text *t, const char *name, uint64_t value)
{
    t->n +=
        kc_fmt(t->bytes + t->n, STATS_TEXT - t->n, ",\"%s\":%llu", name, (unsigned long long)value);
    t->n = t->n < STATS_TEXT ? t->n : STATS_TEXT - 1;
}

static void describe(struct text *t)
{
    struct kc_heap_stats h;
    struct kc_frame_stats f;
    struct preload_big_stats b;
    struct host_cpu_counts c;
    kc_heap_stats(&heap, &h);
    kc_frame_stats(&frames, &f);
    preload_big_stats(&b);
    host_cpus_count(&c);
    t->n =
        kc_fmt(t->bytes, STATS_TEXT, "{\"schema\":\"kcore.malloc/1\",\"program\":\"%s\"", program);
    add(t, "pid", (uint64_t)getpid());
    add(t, "hardening", KC_HARDENING);
    add(t, "arena_bytes", preload_bytes);
    add(t, "live", h.live);
    add(t, "live_bytes", h.granted_bytes);
    add(t, "held_bytes", h.frames_bytes);
    add(t, "peak_held_bytes", f.peak_frames << KC_FRAME_LOG2);
    add(t, "allocs", h.alloc_count);
    add(t, "frees", h.free_count);
    add(t, "failed", h.fail_count);
    add(t, "refused", h.refused_count);
    add(t, "big_live", b.live);
    add(t, "big_bytes", b.bytes);
    add(t, "big_peak_bytes", b.peak_bytes);
    add(t, "big_allocs", b.alloc_count);
    add(t, "big_frees", b.free_count);
    add(t, "big_failed", b.fail_count);
    add(t, "cpus", KC_CPUS_MAX);
    add(t, "cpus_own_peak", c.own_peak);
    add(t, "cpus_given", c.own_given);
    add(t, "cpus_shared", c.shared_use);
    add(t, "misuse", kc_misuse_total(&misuse));
    t->n += kc_fmt(t->bytes + t->n, STATS_TEXT - t->n, "}\n");
}

/* One write each, so that lines of several processes do not mix. */
__attribute__((destructor)) static void tell_stats(void)
{
    static struct text t;
    (void)preload_get(); /* of a program that never allocated */
    if (!stats_wanted) {
        return;
    }
    describe(&t);
    if (stats_path[0] == 0) {
        preload_say(t.bytes, t.n);
        return;
    }
    int fd = open(stats_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, t.bytes, t.n) != (ssize_t)t.n) {
        static const char failed[] = "kcore-malloc: KCORE_MALLOC_STATS: cannot be written\n";
        preload_say(failed, sizeof(failed) - 1);
    }
    if (fd >= 0) {
        close(fd);
    }
}
