/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * host.h: what a program that embeds the hosted body can set and ask, beside kc/plat.h.
 *
 * CPUs are threads. A thread is CPU 0 until it says otherwise with host_cpu_set(), or is started by
 * kc_plat_cpu_start(). Interrupts (of kc_plat_ipi() and kc_plat_timer()) arrive where a CPU lets
 * them in: in kc_plat_relax(), kc_plat_wait() and the outermost kc_plat_irq_restore(), and nowhere
 * else.
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

/** This thread acts as that CPU, below KC_CPUS_MAX, from now on. */
void host_cpu_set(uint32_t cpu);

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
