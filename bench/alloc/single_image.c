/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * single_image.c: the program of an image that counts single operations of our allocators with the
 * CPU's own counter: event INST_RETIRED (DDI 0487, D13 "The Performance Monitors Extension").
 *
 * Under QEMU it is exact with -icount, and the same each time. Prints what single_tally.h says, and
 * "single: done". The other CPU is CPU 1, if there is one; alone, this CPU frees in its place.
 */
#include "../../arch/aarch64/test/flat.h"
#include "ours.h"
#include "single_tally.h"

#include <kc/early.h>

#define RAM_BYTES   KC_MIB(24)
#define POOL_BLOCKS 12000u

struct kc_kernel {
    void (*job)(uint32_t cpu); /* for CPU 1; NULL: none */
    uint32_t up;
};

static struct kc_kernel kernel KC_ALIGNED(64);
static unsigned char ram[RAM_BYTES] KC_ALIGNED(1u << 21);
static size_t pool_memory_used;
static unsigned char pool_memory[KC_MIB(4)] KC_ALIGNED(4096);

static struct single_tally tally;
static enum single_phase phase;
static uint64_t empty[SINGLE_KINDS];

/* The operation counted last: put down when it is known whether it had frames. */
static struct {
    bool held;
    enum single_kind kind;
    uint32_t instructions;
} last;

/* ---- what the allocators are made of -------------------------------------------------------- */

struct kc_frames *ours_frames(void)
{
    static struct kc_boot_info info;
    static struct kc_early early;
    static struct kc_frames frames;
    static bool made;
    if (!made) {
        made = true;
        info = kc_body_info;
        info.range_count = 1;
        info.range[0].base = kc_plat_ram_pa(ram);
        info.range[0].size = RAM_BYTES;
        info.range[0].kind = KC_BOOT_RAM;
        if (kc_early_init(&early, &info) != KC_OK ||
            kc_frames_init(&frames, &early, NULL) != KC_OK) {
            ours_fail("no frames");
        }
    }
    return &frames;
}

void *ours_memory(size_t bytes)
{
    void *p = pool_memory + pool_memory_used;
    if (bytes > sizeof pool_memory - pool_memory_used) {
        ours_fail("no memory for a pool");
    }
    pool_memory_used += (bytes + 4095) & ~(size_t)4095;
    return p;
}

void ours_fail(const char *what)
{
    struct kc_panic why = {__FILE__, __LINE__, "panic", what, {0, 0}};
    kc_plat_panic(&why);
}

/* ---- counting ------------------------------------------------------------------------------- */

#define INST_RETIRED 0x08u

static void counter_start(void)
{
    __asm__ volatile("msr pmevtyper0_el0, %0\n\t"
                     "msr pmcntenset_el0, %1\n\t"
                     "msr pmcr_el0, %1\n\t"
                     "isb" ::"r"((uint64_t)INST_RETIRED),
                     "r"((uint64_t)1)
                     : "memory");
}

KC_INLINE uint64_t counter(void)
{
    uint64_t v;
    __asm__ volatile("isb\n\tmrs %0, pmevcntr0_el0" : "=r"(v)::"memory");
    return v & UINT32_MAX;
}

static __attribute__((noinline)) uint32_t count_alloc(const struct single_subject *s, size_t bytes,
                                                      void **out)
{
    uint64_t before = counter();
    *out = s->alloc(bytes);
    return (uint32_t)(counter() - before);
}

static __attribute__((noinline)) uint32_t count_free(const struct single_subject *s, void *p)
{
    uint64_t before = counter();
    s->free(p);
    return (uint32_t)(counter() - before);
}

static void put_down(bool had_frames)
{
    if (last.held) {
        single_tally_add(&tally, phase, last.kind, last.instructions, had_frames);
    }
    last.held = false;
}

static void hold(enum single_kind kind, uint32_t instructions)
{
    put_down(false);
    last.held = true;
    last.kind = kind;
    last.instructions = instructions - (uint32_t)empty[kind];
}

void *single_alloc(const struct single_subject *s, size_t bytes)
{
    void *p = NULL;
    hold(SINGLE_ALLOC, count_alloc(s, bytes, &p));
    if (p == NULL) {
        ours_fail("an allocation of a single operation failed");
    }
    return p;
}

void single_free(const struct single_subject *s, void *p)
{
    hold(SINGLE_FREE, count_free(s, p));
}

void single_enter(enum single_phase next)
{
    put_down(false);
    phase = next;
}

void single_had_frames(void)
{
    put_down(true);
}

/* ---- the other CPU -------------------------------------------------------------------------- */

struct kc_kernel *kc_program_kernel(void)
{
    return &kernel;
}

static void cpu_boot(uint32_t cpu, void *arg)
{
    (void)cpu;
    (void)arg;
    flat_mmu_on();
}

void kc_program_cpu_main(uint32_t cpu, void *arg)
{
    struct kc_kernel *k = arg;
    __atomic_store_n(&k->up, 1, __ATOMIC_RELEASE);
    for (;;) {
        void (*job)(uint32_t) = __atomic_load_n(&k->job, __ATOMIC_ACQUIRE);
        if (job != NULL) {
            job(cpu);
            __atomic_store_n(&k->job, NULL, __ATOMIC_RELEASE);
        }
        kc_plat_relax();
    }
}

void single_elsewhere(void (*fn)(uint32_t cpu))
{
    if (__atomic_load_n(&kernel.up, __ATOMIC_ACQUIRE) == 0) {
        fn(0);
        return;
    }
    __atomic_store_n(&kernel.job, fn, __ATOMIC_RELEASE);
    while (__atomic_load_n(&kernel.job, __ATOMIC_ACQUIRE) != NULL) {
        kc_plat_relax();
    }
}

/* ---- subjects ------------------------------------------------------------------------------- */

static struct kc_pool inline_pool, pinned_pool, pool; /* one for each form: none warms another's */
static struct kc_pool_cpu *here;                      /* CPU 0's, of the first */
static struct kc_cache pinned_cache, cache;
static struct kc_heap heap;

static uint64_t frame_calls(void)
{
    struct kc_frame_stats s;
    kc_frame_stats(ours_frames(), &s);
    return s.alloc_count + s.free_count;
}

static __attribute__((noinline)) void *empty_alloc(size_t bytes)
{
    (void)bytes;
    __asm__ volatile("");
    return NULL;
}

static __attribute__((noinline)) void empty_free(void *p)
{
    (void)p;
    __asm__ volatile("");
}

static void *here_alloc(size_t bytes)
{
    (void)bytes;
    return kc_pool_alloc_here(here);
}

static void here_free(void *p)
{
    (void)kc_pool_free_here(here, p);
}

static void inline_free_elsewhere(void *p)
{
    (void)kc_pool_free(&inline_pool, p);
}

static void *pinned_alloc(size_t bytes)
{
    (void)bytes;
    return kc_pool_alloc_pinned(&pinned_pool);
}

static void pinned_free(void *p)
{
    (void)kc_pool_free_pinned(&pinned_pool, p);
}

static void *pool_alloc(size_t bytes)
{
    (void)bytes;
    return kc_pool_alloc(&pool);
}

static void pool_free(void *p)
{
    (void)kc_pool_free(&pool, p);
}

static void *pinned_cache_alloc(size_t bytes)
{
    (void)bytes;
    return kc_cache_alloc_pinned(&pinned_cache, 0);
}

static void pinned_cache_free(void *p)
{
    (void)kc_cache_free_pinned(&pinned_cache, p);
}

static void *cache_alloc(size_t bytes)
{
    (void)bytes;
    return kc_cache_alloc(&cache, 0);
}

static void cache_free(void *p)
{
    (void)kc_cache_free(&cache, p);
}

static void *heap_alloc(size_t bytes)
{
    return kc_heap_alloc(&heap, bytes, 0);
}

static void heap_free(void *p)
{
    (void)kc_heap_free(&heap, p);
}

static const struct single_subject subjects[] = {
    {"kc_pool, inline", here_alloc, here_free, inline_free_elsewhere, NULL, false},
    {"kc_pool, pinned", pinned_alloc, pinned_free, pinned_free, NULL, false},
    {"kc_pool", pool_alloc, pool_free, pool_free, NULL, false},
    {"kc_cache, pinned", pinned_cache_alloc, pinned_cache_free, pinned_cache_free, frame_calls,
     false},
    {"kc_cache", cache_alloc, cache_free, cache_free, frame_calls, false},
    {"kc_heap", heap_alloc, heap_free, heap_free, frame_calls, true},
};

/* ---- the program ---------------------------------------------------------------------------- */

void kc_program_dying(void)
{
}

bool kc_program_fault(struct kc_kernel *k, uint64_t esr, uint64_t far, uint64_t elr)
{
    (void)k;
    (void)esr;
    (void)far;
    (void)elr;
    return false;
}

void kc_program_panic(const struct kc_panic *why)
{
    (void)why;
}

void kc_program_explain(struct kc_kernel *k, const struct kc_explain_regs *regs)
{
    (void)k;
    flat_explain(regs);
}

void kc_program_ipi(struct kc_kernel *k)
{
    (void)k;
}

static void measure_empty(void)
{
    static const struct single_subject nothing = {"",         empty_alloc, empty_free,
                                                  empty_free, NULL,        false};
    void *p = NULL;
    for (uint32_t i = 0; i < 2; i++) { /* the first warms nothing that counts, but costs nothing */
        empty[SINGLE_ALLOC] = count_alloc(&nothing, 64, &p);
        empty[SINGLE_FREE] = count_free(&nothing, p);
    }
}

int kc_program_main(struct kc_kernel *k, const struct kc_boot_info *info,
                    const struct kc_board *board)
{
    static const struct single_run plan = {SINGLE_LIVE_MAX, 6000, 1};
    (void)board;
    counter_start();
    measure_empty();
    ours_pool_make(&inline_pool, 64, POOL_BLOCKS, false);
    ours_pool_make(&pinned_pool, 64, POOL_BLOCKS, false);
    ours_pool_make(&pool, 64, POOL_BLOCKS, false);
    here = kc_pool_here(&inline_pool);
    ours_cache_make(&pinned_cache, 64, false);
    ours_cache_make(&cache, 64, false);
    ours_heap_make(&heap);
    if (info->cpu_count > 1) {
        kc_body_clean_inval_poc(k, k + 1);
        if (kc_plat_cpu_start(1, cpu_boot, k) != KC_OK) {
            ours_fail("CPU 1 does not start");
        }
        while (__atomic_load_n(&k->up, __ATOMIC_ACQUIRE) == 0) {
            kc_plat_relax();
        }
    }
    for (uint32_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
        __builtin_memset(&tally, 0, sizeof tally);
        single_run(&subjects[i], &plan);
        put_down(false);
        single_tally_print(&tally, subjects[i].name, kc_body_say);
    }
    kc_body_say("single: done\n");
    return 0;
}
