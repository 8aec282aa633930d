/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * host.h: what a program that embeds the hosted body can set and ask, beside kc/plat.h.
 *
 * CPUs are threads. The thread that runs main() is CPU 0; one that kc_plat_cpu_start() started, or
 * that says so with host_cpu_set(), is the CPU that was named. Any other thread gets a number when
 * it first masks interrupts, and gives it back when it ends: one of its own while there are any,
 * else one of the last HOST_CPUS_SHARED. Threads of one shared number are masked one at a time, so
 * that the promise of kc/plat.h holds for them too: between kc_plat_irq_save() and
 * kc_plat_irq_restore() a number is stable, and nobody else runs under it. Before it has one, a
 * thread's number reads as 0.
 *
 * Interrupts (of kc_plat_ipi() and kc_plat_timer()) arrive where a CPU lets them in: in
 * kc_plat_relax(), kc_plat_wait() and the outermost kc_plat_irq_restore(), and nowhere else.
 */
#ifndef HOST_H
#define HOST_H

#include <kc/plat.h>

KC_EXTERN_C_BEGIN

/*
 * What the program wants to be called with. Each may be NULL. Set them before CPUs are started.
 * panic     before a panic is printed; may leave with longjmp, and then the panic is over
 * ipi       an interrupt arrived on this CPU; plays kc_kernel_ipi()
 * timer     this CPU's timer, now disarmed, has expired
 * cpu_main  a started CPU is back from its entry; plays kc_kernel_cpu_main()
 */
struct host_hooks {
    void (*panic)(const struct kc_panic *why);
    void (*ipi)(void);
    void (*timer)(void);
    void (*cpu_main)(uint32_t cpu, void *arg);
};

extern struct host_hooks host_hooks;

/* Same as host_hooks.panic, under the name by which test harnesses know it. */
#define host_panic_hook (host_hooks.panic)

/* The last numbers are shared: by whoever says so, and by threads for which no other is left. */
#define HOST_CPUS_SHARED (KC_CPUS_MAX < 16u ? 1u : KC_CPUS_MAX / 8u)
#define HOST_CPUS_OWN    (KC_CPUS_MAX - HOST_CPUS_SHARED)

/**
 * This thread acts as that CPU from now on.
 *
 * cpu   below KC_CPUS_MAX. If it is below HOST_CPUS_OWN and another thread has it too, the caller
 *       answers for that they do not mask interrupts at the same time.
 *
 * Context: not while interrupts are masked (KC_CHECK)
 */
void host_cpu_set(uint32_t cpu);

/**
 * Wait until no other thread has interrupts masked, and keep it so until host_cpus_go(): whoever
 * wants to mask waits. What the core guards by masking, which is all of it, is consistent then. For
 * fork(): the child has a copy of whatever the other threads were in the middle of.
 *
 * The threads that do not wait pay nothing for it: no atomic operation, no fence.
 *
 * Context: not while interrupts are masked (KC_CHECK); this thread itself may mask and go on
 */
void host_cpus_stop(void);

/**
 * Let them go on. alone: this is the child of a fork, where no other thread is left; their numbers
 * are free again.
 */
void host_cpus_go(bool alone);

/* Numbers given to threads so far. */
struct host_cpu_counts {
    uint32_t own_now;    /* threads that have a number of their own */
    uint32_t own_peak;   /* most of them at a time */
    uint64_t own_given;  /* times that one got such a number */
    uint64_t shared_use; /* times that one had to share */
};
void host_cpus_count(struct host_cpu_counts *out);

/** Wait until every CPU that kc_plat_cpu_start() started is off. */
void host_cpus_join(void);

/** Make all system registers of all CPUs what they are at reset. */
void host_sysregs_reset(void);

/** Bits HOST_WATCH_*: who hears of notes now; and switch ASan and Memcheck off or on again. */
uint32_t host_watch_get(void);
void host_watch_tools(bool on);

/**
 * Check from now on that each CPU takes locks downwards only, as kc/lock.h says: one that takes a
 * lock while it holds one of the same or a lower rank panics. Off at the start.
 */
void host_watch_locks(bool on);

/** Forget what locks this thread holds: after a panic that was left with longjmp. */
void host_locks_forget(void);

/* File descriptor of the console; standard output unless set. */
extern int host_console_fd;

KC_EXTERN_C_END

#endif
