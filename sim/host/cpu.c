/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUs of the hosted body: start and stop, interrupts, time. Whose number is whose: number.c.
 *
 * C1  A CPU's state goes off -> on in kc_plat_cpu_start() by one compare-and-swap, and on -> off in
 *     its own thread, last of all.
 * C2  Bit n of host_irq_pending is set whenever CPU n has an interrupt it has not taken or a timer
 *     that is armed. Senders set their request first and the bit after it; the taker clears the bit
 *     first and reads the requests after it, so that a request between the two is never lost.
 * C3  An interrupt is taken only on its own CPU's thread, with none masked, and masks for its time.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "host_priv.h"
#include <kc/assert.h>

KC_STATIC_ASSERT(KC_CPUS_MAX <= 64, "a bit for each CPU");

static __thread uint64_t timer_at = UINT64_MAX;

#define RELAX_SPINS 32u /* of so many calls of kc_plat_relax() one gives the processor away */
static __thread uint32_t relaxed;

/* A moment in which the other thread of a core has the core to itself. */
static void spin(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#else
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
#endif
}

uint64_t host_irq_pending;
static uint64_t ipi_sent; /* bit n: CPU n was interrupted by kc_plat_ipi() */

struct host_hooks host_hooks;

struct cpu {
    uint32_t on;
    bool joinable; /* only under starts_lock */
    pthread_t thread;
    kc_cpu_entry_fn entry;
    void *arg;
};

static struct cpu cpus[KC_CPUS_MAX];
static pthread_mutex_t starts_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- interrupts ----------------------------------------------------------------------------- */

void host_irq_take(void)
{
    uint64_t bit = UINT64_C(1) << host_cpu;
    if ((__atomic_load_n(&host_irq_pending, __ATOMIC_ACQUIRE) & bit) == 0) {
        return;
    }
    uint64_t saved = kc_plat_irq_save();                           /* C3 */
    __atomic_fetch_and(&host_irq_pending, ~bit, __ATOMIC_SEQ_CST); /* C2 */
    bool ipi = (__atomic_fetch_and(&ipi_sent, ~bit, __ATOMIC_SEQ_CST) & bit) != 0;
    bool timer = kc_plat_ticks() >= timer_at;
    if (timer) {
        timer_at = UINT64_MAX;
    } else if (timer_at != UINT64_MAX) {
        __atomic_fetch_or(&host_irq_pending, bit, __ATOMIC_SEQ_CST);
    }
    if (ipi && host_hooks.ipi != NULL) {
        host_hooks.ipi();
    }
    if (timer && host_hooks.timer != NULL) {
        host_hooks.timer();
    }
    host_irq_unmask(saved);
}

void kc_plat_ipi(uint64_t mask)
{
    uint64_t to = mask & UINT64_MAX >> (64 - KC_CPUS_MAX);
    host_seen(HOST_IPI, mask, 0, 0);
    __atomic_fetch_or(&ipi_sent, to, __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&host_irq_pending, to, __ATOMIC_SEQ_CST);
}

void kc_plat_timer(uint64_t at_ticks)
{
    timer_at = at_ticks;
    if (at_ticks != UINT64_MAX) {
        __atomic_fetch_or(&host_irq_pending, UINT64_C(1) << host_cpu, __ATOMIC_SEQ_CST);
    }
}

/* Waiting CPUs share the host's processors, and there may be fewer of those: let others run. */
void kc_plat_relax(void)
{
    if (host_irq == HOST_IRQ_OPEN || host_irq == HOST_IRQ_SHARED) {
        host_irq_take();
    }
    /* Whoever is waited for mostly runs, on another processor of the host; but not always. */
    if (++relaxed % RELAX_SPINS != 0) {
        spin();
    } else {
        sched_yield();
    }
}

void kc_plat_event(void)
{
}

/* WFE may return at any time, and here returns at once. */
void kc_plat_wait(void)
{
    kc_plat_relax();
}

void kc_plat_call_low(void (*fn)(void *arg), void *arg)
{
    fn(arg); /* one regime */
}

/* ---- start and stop ------------------------------------------------------------------------- */

static void *cpu_thread(void *p)
{
    struct cpu *c = p;
    uint32_t number = (uint32_t)(c - cpus);
    host_cpu_set(number);
    (void)kc_plat_irq_save(); /* a CPU starts with interrupts masked */
    c->entry(number, c->arg);
    if (host_hooks.cpu_main != NULL) {
        host_hooks.cpu_main(number, c->arg);
    }
    __atomic_store_n(&c->on, 0, __ATOMIC_RELEASE); /* C1 */
    return NULL;
}

kc_status_t kc_plat_cpu_start(uint32_t cpu, kc_cpu_entry_fn entry, void *arg)
{
    if (cpu >= KC_CPUS_MAX) {
        return KC_ERR_RANGE;
    }
    struct cpu *c = &cpus[cpu];
    uint32_t off = 0;
    if (cpu == 0 ||
        !__atomic_compare_exchange_n(&c->on, &off, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        return KC_ERR_STATE; /* CPU 0 is the thread that booted */
    }
    pthread_mutex_lock(&starts_lock);
    if (c->joinable) { /* the thread of its last time on, which is past C1 */
        pthread_join(c->thread, NULL);
    }
    c->entry = entry;
    c->arg = arg;
    c->joinable = pthread_create(&c->thread, NULL, cpu_thread, c) == 0;
    bool started = c->joinable;
    pthread_mutex_unlock(&starts_lock);
    if (!started) {
        __atomic_store_n(&c->on, 0, __ATOMIC_RELEASE);
        return KC_ERR_UNSUPPORTED; /* the host gives no thread */
    }
    return KC_OK;
}

void kc_plat_cpu_off(void)
{
    __atomic_store_n(&cpus[host_cpu].on, 0, __ATOMIC_RELEASE); /* C1 */
    pthread_exit(NULL);
}

void host_cpus_join(void)
{
    for (uint32_t i = 1; i < KC_CPUS_MAX; i++) {
        pthread_mutex_lock(&starts_lock);
        bool join = cpus[i].joinable;
        pthread_t thread = cpus[i].thread;
        cpus[i].joinable = false;
        pthread_mutex_unlock(&starts_lock);
        if (join) {
            pthread_join(thread, NULL);
        }
    }
}

/* ---- time ----------------------------------------------------------------------------------- */

uint64_t kc_plat_ticks(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t kc_plat_ticks_hz(void)
{
    return 1000000000u;
}

uint64_t kc_plat_stopwatch_ns(void)
{
    return kc_plat_ticks();
}
