/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers: which thread of the hosted body is which CPU. Theory.
 *
 * The core has things that belong to a CPU number and are used without lock or atomic, by whoever
 * has that number and has masked interrupts. On a machine a number *is* one flow of control; here
 * it is given to a thread, and threads may be thousands. So the first HOST_CPUS_OWN numbers belong
 * to one thread each, and the rest to any number of threads, with a lock:
 *
 *     0 | 1 | 2 | ...        | OWN - 1 || OWN ...  MAX - 1
 *     one thread each, no lock         || any threads, masked one at a time
 *
 * host_irq is the state of this thread (kc_body.h):
 *
 *     NEW --- first masks ---> OPEN <-> MASKED     a number of its own
 *                         \--> SHARED <-> MASKED   no number was left; it moves on when one is
 *
 * A thread gives its number back in the destructor of a thread-specific key. What it still does
 * after that (destructors of other keys, the C library's own) it does under a shared number, of
 * which nothing has to be given back.
 *
 * Stopping all. A thread of its own number says that it is masked by a plain store, and then looks
 * at host_halt by a plain load. host_cpus_stop() sets host_halt, makes every thread of the process
 * execute a full barrier (membarrier() of Linux), and then waits until each is seen unmasked. A
 * thread either had its store out before that barrier, and is waited for, or loads host_halt after
 * it, and waits. So the price of the fence, which this pattern usually costs both sides, is paid by
 * the one that forks. Where there is no membarrier(), HOST_HALT_FENCE in host_halt sends every
 * thread to a fence.
 *
 * Listening. Who asks in one load for its number and whether anybody listens (host_cpu_unheard)
 * finds what who began or ended to listen has put there: a thread that has a number is *followed*,
 * in a list, until it ends.
 *
 * Invariants
 *  N1  numbers[n].irq, n below OWN, is the host_irq of the thread whose number is n, or NULL. It is
 *      read and written under `table`, so a thread cannot end while a stop looks at it. Where
 *      host_cpu_set() gave one number to several threads, it is that of the last.
 *  N2  A thread that is MASKED under a shared number holds numbers[n].lock; nobody else does, but
 *      the thread that stopped all.
 *  N3  `table` is held from host_cpus_stop() to host_cpus_go(), and never while masked.
 *  N4  host_cpu_unheard is KC_CPUS_MAX while somebody listens to objects, and in a thread that is
 *      not followed; else host_cpu. It, `followed` and host_watch are written under `table`.
 *
 * Sources: M. Desnoyers, membarrier(2); the asymmetric form of Dekker's algorithm is old.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "host_priv.h"
#include <kc/assert.h>
#include <kc/list.h>

struct number {
    uint64_t *irq;        /* N1 */
    uint32_t threads;     /* of an own number: how many have it; 0: it is free */
    pthread_mutex_t lock; /* N2 */
};

static struct number numbers[KC_CPUS_MAX] = {
    [0 ... KC_CPUS_MAX - 1] = {NULL, 0, PTHREAD_MUTEX_INITIALIZER},
};
static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER;
static struct host_cpu_counts counts;     /* under `table` */
static uint32_t own_free = HOST_CPUS_OWN; /* atomic: written under `table` */
static uint32_t share_next;               /* under `table`: the shared number used next, in turn */

struct follow {
    struct kc_list link; /* N4: of `followed`, or empty */
    uint32_t *unheard;   /* the thread's host_cpu_unheard */
    uint32_t cpu;        /* and host_cpu */
};
static struct kc_list followed = {&followed, &followed}; /* under `table` */

static pthread_key_t key; /* not NULL in a thread that has a number */
static pthread_once_t once = PTHREAD_ONCE_INIT;

__thread uint32_t host_cpu;
__thread uint32_t host_cpu_unheard = KC_CPUS_MAX;
__thread uint64_t host_irq = HOST_IRQ_NEW;
static __thread bool settled;  /* it keeps its number, though that be shared */
static __thread bool stopping; /* it stopped the others */
static __thread struct follow follow;

uint32_t host_halt;

static bool is_own(uint32_t cpu)
{
    return cpu < HOST_CPUS_OWN;
}

/* ---- every thread executes a barrier -------------------------------------------------------- */

#ifdef __linux__
/* From linux/membarrier.h, which is not everywhere. */
#define MEMBARRIER_QUERY    0
#define MEMBARRIER_BARRIER  (1 << 3) /* PRIVATE_EXPEDITED */
#define MEMBARRIER_REGISTER (1 << 4)

static bool have_barrier_all(void)
{
    long commands = syscall(SYS_membarrier, MEMBARRIER_QUERY, 0, 0);
    return commands > 0 && (commands & MEMBARRIER_BARRIER) != 0;
}

static void barrier_all(void)
{
    long failed = syscall(SYS_membarrier, MEMBARRIER_REGISTER, 0, 0);
    failed |= syscall(SYS_membarrier, MEMBARRIER_BARRIER, 0, 0);
    KC_CHECK(failed == 0);
}
#else
static bool have_barrier_all(void)
{
    return false;
}

static void barrier_all(void)
{
}
#endif

/* ---- who listens: `table` is held, but by who calls host_watch_set() ------------------------- */

static void tell_unheard(const struct follow *f)
{
    bool heard = kc_plat_note_heard(1u << KC_NOTE_ALLOC | 1u << KC_NOTE_FREE);
    __atomic_store_n(f->unheard, heard ? KC_CPUS_MAX : f->cpu, __ATOMIC_RELAXED);
}

/* This thread has another number now. */
static void follow_self(void)
{
    if (follow.unheard == NULL) {
        follow.unheard = &host_cpu_unheard;
        kc_list_init(&follow.link);
        kc_list_add_after(&followed, &follow.link);
    }
    follow.cpu = host_cpu;
    tell_unheard(&follow);
}

static void leave_self(void)
{
    if (follow.unheard != NULL) {
        kc_list_del(&follow.link);
        follow.unheard = NULL;
        host_cpu_unheard = KC_CPUS_MAX;
    }
}

void host_watch_set(uint32_t begin, uint32_t end)
{
    pthread_mutex_lock(&table);
    uint32_t watch = __atomic_load_n(&host_watch, __ATOMIC_RELAXED);
    __atomic_store_n(&host_watch, (watch | begin) & ~end, __ATOMIC_SEQ_CST);
    kc_list_each(at, &followed) {
        tell_unheard(kc_list_entry(at, struct follow, link));
    }
    pthread_mutex_unlock(&table);
}

/* ---- taking and giving numbers: `table` is held --------------------------------------------- */

static void give_back(void)
{
    struct number *n = &numbers[host_cpu];
    if (host_irq == HOST_IRQ_NEW || !is_own(host_cpu)) {
        return;
    }
    n->irq = n->irq == &host_irq ? NULL : n->irq;
    n->threads--;
    if (n->threads == 0) {
        counts.own_now--;
        __atomic_store_n(&own_free, own_free + 1, __ATOMIC_RELAXED);
    }
}

/* This thread, unmasked, is that CPU. */
static void take(uint32_t cpu)
{
    struct number *n = &numbers[cpu];
    host_cpu = cpu;
    follow_self();
    if (!is_own(cpu)) {
        host_irq = HOST_IRQ_SHARED;
        return;
    }
    n->irq = &host_irq;
    n->threads++;
    if (n->threads == 1) {
        counts.own_given++;
        counts.own_now++;
        counts.own_peak = counts.own_now > counts.own_peak ? counts.own_now : counts.own_peak;
        __atomic_store_n(&own_free, own_free - 1, __ATOMIC_RELAXED);
    }
    host_irq = HOST_IRQ_OPEN;
}

static uint32_t next_shared(void)
{
    return HOST_CPUS_OWN + share_next++ % HOST_CPUS_SHARED;
}

/* The lowest number that is nobody's, or a shared one. */
static uint32_t choose(void)
{
    for (uint32_t n = 0; n < HOST_CPUS_OWN; n++) {
        if (numbers[n].threads == 0) {
            return n;
        }
    }
    return next_shared();
}

/* The destructor of the key: see the theory. */
static void thread_ends(void *unused)
{
    (void)unused;
    host_irq_forget();
    pthread_mutex_lock(&table);
    give_back();
    settled = true;
    take(next_shared());
    leave_self();
    pthread_mutex_unlock(&table);
}

static void set_up(void)
{
    KC_CHECK(pthread_key_create(&key, thread_ends) == 0);
    if (!have_barrier_all()) {
        __atomic_fetch_or(&host_halt, HOST_HALT_FENCE, __ATOMIC_SEQ_CST);
    }
}

/* After `table` is released: the C library may allocate, and so come back to us. */
static void give_back_at_end(void)
{
    if (pthread_setspecific(key, &numbers[host_cpu]) != 0) {
        pthread_mutex_lock(&table);
        leave_self(); /* nobody would say when it ends */
        pthread_mutex_unlock(&table);
    }
}

void host_cpu_set(uint32_t cpu)
{
    KC_CHECK(cpu < KC_CPUS_MAX && host_irq != HOST_IRQ_MASKED);
    pthread_once(&once, set_up);
    pthread_mutex_lock(&table);
    give_back();
    take(cpu);
    settled = true;
    pthread_mutex_unlock(&table);
    give_back_at_end();
}

/* A number for this thread, which is unmasked and has none, or one that it need not share. */
static void claim(void)
{
    pthread_once(&once, set_up);
    pthread_mutex_lock(&table);
    uint32_t cpu = choose();
    counts.shared_use += is_own(cpu) ? 0 : 1;
    take(cpu);
    pthread_mutex_unlock(&table);
    give_back_at_end();
}

/* The thread that runs main(), unless it has a number by now. */
__attribute__((constructor)) static void main_is_cpu_0(void)
{
    if (host_irq == HOST_IRQ_NEW) {
        host_cpu_set(0);
    }
}

/* ---- masking, where that is not a mere store ------------------------------------------------ */

/* Goes on with kc_plat_irq_save(), which has made this thread MASKED; returns what that returns. */
uint64_t host_irq_enter(uint64_t was)
{
    if (stopping) {
        return was;
    }
    if (was == HOST_IRQ_NEW ||
        (was == HOST_IRQ_SHARED && !settled && __atomic_load_n(&own_free, __ATOMIC_RELAXED) != 0)) {
        __atomic_store_n(&host_irq, was, __ATOMIC_RELEASE);
        claim();
        return kc_plat_irq_save();
    }
    if (was == HOST_IRQ_SHARED) {
        pthread_mutex_lock(&numbers[host_cpu].lock); /* N2; a stop holds it */
        return was;
    }
    uint32_t halt = __atomic_load_n(&host_halt, __ATOMIC_ACQUIRE);
    if ((halt & HOST_HALT_FENCE) != 0) {
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        halt = __atomic_load_n(&host_halt, __ATOMIC_ACQUIRE);
    }
    if ((halt & HOST_HALT_NOW) == 0) {
        return was;
    }
    __atomic_store_n(&host_irq, was, __ATOMIC_RELEASE);
    pthread_mutex_lock(&table); /* N3: until all go on */
    pthread_mutex_unlock(&table);
    return kc_plat_irq_save();
}

void host_irq_unmask(uint64_t saved)
{
    __atomic_store_n(&host_irq, saved, __ATOMIC_RELEASE);
    if (saved == HOST_IRQ_SHARED && !stopping) {
        pthread_mutex_unlock(&numbers[host_cpu].lock);
    }
}

/* Goes on with kc_plat_irq_restore(), which has made this thread what it was. */
void host_irq_leave(uint64_t saved)
{
    if (saved != HOST_IRQ_MASKED) {
        host_irq_unmask(saved);
        host_irq_take();
    }
}

void host_irq_forget(void)
{
    if (host_irq == HOST_IRQ_MASKED) {
        host_irq_unmask(is_own(host_cpu) ? HOST_IRQ_OPEN : HOST_IRQ_SHARED);
    }
}

/* ---- stopping all --------------------------------------------------------------------------- */

void host_cpus_stop(void)
{
    KC_CHECK(host_irq != HOST_IRQ_MASKED && !stopping);
    host_irq_unmask(kc_plat_irq_save()); /* it has a number now */
    pthread_mutex_lock(&table);
    stopping = true;
    __atomic_fetch_or(&host_halt, HOST_HALT_NOW, __ATOMIC_SEQ_CST);
    uint32_t mine = host_irq == HOST_IRQ_OPEN ? 1 : 0;
    if (counts.own_now > mine &&
        (__atomic_load_n(&host_halt, __ATOMIC_RELAXED) & HOST_HALT_FENCE) == 0) {
        barrier_all();
    }
    for (uint32_t n = 0; n < KC_CPUS_MAX; n++) {
        const uint64_t *irq = numbers[n].irq;
        if (!is_own(n)) {
            pthread_mutex_lock(&numbers[n].lock);
            continue;
        }
        while (irq != NULL && irq != &host_irq &&
               __atomic_load_n(irq, __ATOMIC_ACQUIRE) == HOST_IRQ_MASKED) {
            sched_yield();
        }
    }
}

void host_cpus_go(bool alone)
{
    KC_CHECK(stopping && host_irq != HOST_IRQ_MASKED);
    for (uint32_t n = 0; n < KC_CPUS_MAX; n++) {
        if (!is_own(n)) {
            pthread_mutex_unlock(&numbers[n].lock);
        } else if (alone) {
            numbers[n].irq = NULL;
            numbers[n].threads = 0;
        }
    }
    if (alone) {
        counts.own_now = 0;
        __atomic_store_n(&own_free, HOST_CPUS_OWN, __ATOMIC_RELAXED);
        kc_list_init(&followed);
        follow.unheard = NULL;
        take(host_cpu);
    }
    stopping = false;
    /* Release: who finds that it may go on sees what was done meanwhile. */
    __atomic_fetch_and(&host_halt, ~HOST_HALT_NOW, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&table);
}

void host_cpus_count(struct host_cpu_counts *out)
{
    pthread_mutex_lock(&table);
    *out = counts;
    pthread_mutex_unlock(&table);
}
