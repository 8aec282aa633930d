/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * machine.h: the simulated ARM64 machine, as those see it who build one, run code on it, and judge.
 *
 * One machine a process at a time. RAM is a memory file; CPUs are host threads that pass a baton,
 * so exactly one runs; MMU and TLBs are decoded from the Arm manual by this directory alone. The
 * code under test reaches the machine through kc/plat.h and through plain pointers into its
 * windows:
 *
 *     physical window   RAM at its physical addresses   what kc_plat_ram() gives with the MMU off
 *     kernel window     virtual addresses from linear_base up; at hardening tagged each pointer
 *                       into it has a tag, and so has what it points at
 *     user window       virtual addresses from 0 up
 *
 * *Native* speed: the host's MMU plays the TLB; a first touch of a page faults and is translated,
 * TLBI unmaps. *Exact* speed: objects compiled with -fsanitize=thread hand over every access.
 * docs/simulator.md tells which rows of the monitors each judges. Interrupts that are not masked
 * are taken at seam calls, and at exact speed before any access too.
 *
 * Order of use: machine_create, then any number of machine_run, then machine_destroy.
 */
#ifndef SIM_MACHINE_H
#define SIM_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <kc/boot.h>
#include <kc/plat.h>

#include "tlb.h"

#define SIM_PAGE_BYTES      4096u
#define SIM_RAM_BASE        UINT64_C(0x80000000) /* default first physical address of RAM */
#define SIM_RAM_BYTES_MIN   UINT64_C(8192)
#define SIM_RAM_BYTES_MAX   (UINT64_C(1) << 40)
#define SIM_LINEAR_BASE     UINT64_C(0xffff000000000000)
#define SIM_CPUS_MAX        KC_CPUS_MAX
#define SIM_SWITCH_MEAN_MAX 65536u

/* ---- building one --------------------------------------------------------------------------- */

enum machine_policy {
    MACHINE_EAGER, /* what may be cached is cached at the worst moment, and kept while legal */
    MACHINE_RANDOM /* fills, evictions and store visibility from the seed */
};

enum machine_feature {
    MACHINE_PAN = 1u << 0,       /* FEAT_PAN: PSTATE.PAN, set at reset when SCTLR.SPAN is 0 */
    MACHINE_HPDS = 1u << 1,      /* FEAT_HPDS: TCR.HPDn */
    MACHINE_TLBIRANGE = 1u << 2, /* FEAT_TLBIRANGE */
    MACHINE_ASID16 = 1u << 3,    /* 16-bit ASIDs */
    MACHINE_BBML1 = 1u << 4,     /* FEAT_BBM level 1 */
    MACHINE_BBML2 = 1u << 5,     /* FEAT_BBM level 2 */
    MACHINE_FEATURES_DEFAULT = MACHINE_PAN | MACHINE_HPDS | MACHINE_TLBIRANGE | MACHINE_ASID16
};

/* A synchronous exception, with the architecture's syndrome (DDI 0487, D17.2.37 "ESR_EL1"). */
struct machine_fault {
    uint64_t esr;
    uint64_t far;
    uint32_t cpu;
};

/*
 * What the machine calls in the software it runs; any may be NULL. ksim binds them to the kernel,
 * protocol scenarios to little functions of their own. All run on an emulated CPU.
 */
struct machine_hooks {
    void *arg;
    /* true: retry the access. NULL or false: the fault is printed, a finding, and the run ends. */
    bool (*fault)(void *arg, const struct machine_fault *f);
    /* interrupts: masked meanwhile */
    void (*ipi)(void *arg, uint32_t cpu);
    void (*timer)(void *arg, uint32_t cpu);
    /* after the entry that kc_plat_cpu_start() was given has returned; cpu_arg as given there */
    void (*cpu_main)(void *arg, uint32_t cpu, void *cpu_arg);
    /* kc_plat_panic(), before the run ends; may leave by a jump of the software's own, as tests do
     */
    void (*panic)(void *arg, const struct kc_panic *why);
    /* console output; NULL: standard output */
    void (*console)(void *arg, const char *text, size_t n);
};

struct machine_config {
    uint64_t ram_bytes; /* 2 pages to 1 TiB, a multiple of the page */
    uint64_t ram_base;  /* 0: SIM_RAM_BASE; 2 MiB aligned */
    uint32_t cpus;      /* 1 to SIM_CPUS_MAX */
    uint32_t pa_bits;   /* 32, 36, 40, 42, 44 or 48; 0: 48 */
    uint32_t features;  /* enum machine_feature; MACHINE_FEATURES_DEFAULT */
    enum machine_policy policy;
    uint64_t seed;
    uint64_t dynamic_bytes; /* kernel window beyond the linear map; 0: 64 GiB, 2 GiB on Valgrind */
    uint64_t user_bytes;    /* user window; 0: 512 GiB, 2 GiB on Valgrind */
    uint64_t text_bytes;    /* pretended kernel text at the start of RAM, fetched at each ISB,
                               completing DSB and relax; 0: none */
    uint64_t program_bytes; /* pretended code of programs at EL0, behind it; 0: none */
    uint32_t switch_mean;   /* steps between chosen switches, about; 0: a mix of short and long */
    uint64_t stuck_limit; /* waits in a row, on all CPUs together, that count as deadlock; 0: 2 M */
    /* Memory of the host that the kernel writes host time into, none if NULL. R1 does not judge it:
     * which of its bytes are touched, and so the count of judgements, would depend on time. */
    const void *measures;
    size_t measures_bytes;
    struct machine_hooks hooks;
};

/** Defaults: 256 MiB, 2 CPUs, eager, seed 1, no pretended text. */
void machine_config_default(struct machine_config *c);

/**
 * Build the machine: RAM all zero, every CPU off, MMU off.
 *
 * why   out, on failure: one sentence for people; static storage or of the machine's
 *
 * Errors: KC_ERR_ARG    a field is malformed (which one: *why)
 *         KC_ERR_RANGE  ram_bytes or cpus outside their limits (*why states the limit)
 *         KC_ERR_NOMEM  the host gives no memory file or address space
 *         KC_ERR_STATE  there is one already
 *         KC_ERR_UNSUPPORTED  the host's page is larger than 4 KiB
 */
KC_NODISCARD kc_status_t machine_create(const struct machine_config *c, const char **why);

/** Release it. No CPU runs. */
void machine_destroy(void);

/** The machine as a boot loader would describe it. */
void machine_boot_info(struct kc_boot_info *out);

/** True in the library whose core objects hand over every access. */
bool machine_is_exact(void);

/* ---- running -------------------------------------------------------------------------------- */

enum machine_end {
    MACHINE_END_DONE,     /* every CPU returned from its function or went off */
    MACHINE_END_PANIC,    /* kc_plat_panic() */
    MACHINE_END_FAULT,    /* an exception without an answer */
    MACHINE_END_DEADLOCK, /* all CPUs wait for something that nobody will do */
    MACHINE_END_STOPPED   /* machine_stop(): a monitor's or the embedder's wish */
};

struct machine_result {
    enum machine_end end;
    uint32_t cpu;               /* CPU that ended it, where that applies */
    char text[400];             /* one line for people; empty when DONE */
    struct machine_fault fault; /* FAULT only */
    uint64_t schedule; /* hash of every switch of the baton: equal schedules, equal hashes */
    uint64_t switches;
    uint64_t steps; /* seam calls, and accesses when exact */
    uint64_t ticks; /* virtual time at the end */
};

typedef void (*machine_cpu_fn)(uint32_t cpu, void *arg);

/**
 * Run fn[i] on CPU i for each that is not NULL, all at once; return when the machine is at rest.
 * CPUs may start others through kc_plat_cpu_start(). State of RAM, registers and TLBs persists from
 * run to run; CPUs keep their registers. `out` may be NULL.
 */
void machine_run(const machine_cpu_fn *fn, void *const *arg, uint32_t count,
                 struct machine_result *out);

/** End the run at once. On an emulated CPU it does not return. text: copied. */
void machine_stop(enum machine_end end, const char *text);

/**
 * This CPU goes on at the linear map: the body's jump after the MMU is on (kernel.h). From here on
 * its pretended text is fetched at linear_base + pa instead of pa. CPUs that kc_plat_cpu_start()
 * started do it by themselves between their entry and hooks.cpu_main.
 */
void machine_enter_linear(void);

/** Reset one CPU's registers to their reset values and empty its TLB. It is off. */
void machine_cpu_reset(uint32_t cpu);

/* ---- mutation ------------------------------------------------------------------------------- */

enum machine_site {
    MACHINE_SITE_BARRIER,
    MACHINE_SITE_TLBI,
    MACHINE_SITE_DESC_STORE,
    MACHINE_SITES
};

enum machine_mutation {
    MACHINE_DROP, /* the call has no effect */
    MACHINE_ALTER /* barrier: the next weaker; TLBI: another page, or local for IS; store: delayed
                     until the CPU's next barrier */
};

/* One seam call that can be mutated. */
struct machine_site_info {
    enum machine_site site;
    uint32_t cpu;
    uint32_t kind; /* enum kc_barrier or enum kc_tlbi */
    uint64_t a, b; /* TLBI operand; descriptor address and value */
    const void *caller;
};

/** Alter the k-th mutable call (from 0) counted since machine_create. Before machine_run. */
void machine_mutate(uint64_t k, enum machine_mutation how);

/** Mutable calls so far, of one kind. */
uint64_t machine_site_count(enum machine_site site);

/** Mutable calls so far, of all kinds: the range of k. */
uint64_t machine_sites(void);

/** The call that was mutated; false if the run did not reach it. */
bool machine_mutated(struct machine_site_info *out);

/* ---- memory order (exact only) -------------------------------------------------------------- */

/**
 * Take atomic operations of the code under test for relaxed: what they order counts as not ordered,
 * and row R1 should report. The software's schedule and values do not change. Before machine_run.
 *
 * what    numbers of sites "K[,K...]", from 1 in the order in which they are first executed, or all
 *         of one stated order: "acquire", "release", "acq_rel", "seq_cst"
 *
 * Returns false if it is neither.
 */
bool machine_weaken(const char *what);

/**
 * The sites so far, operations that are not relaxed, a line each: number, offset in the program's
 * image (for addr2line), load, store or rmw, stated order, times executed, "weak" or "-",
 * function+offset.
 */
void machine_write_orders(FILE *to);

/* ---- monitors ------------------------------------------------------------------------------- */

struct monitor;
struct mon_machine;

/** What the machine offers to a monitor: goes into mon_config.machine (sim/monitor/monitor.h). */
void machine_monitor_side(struct mon_machine *out);

/** Tell this monitor of every event from now on; NULL: none. Not during a run. */
void machine_attach(struct monitor *m);

/* ---- queries, for monitors and tests; none makes an event ----------------------------------- */

/** Sequence number of the last event: stores, fills, barriers and TLBIs count up. */
uint64_t sim_seq(void);

/** Virtual time. */
uint64_t sim_ticks(void);

/** CPU that holds the baton; 0 outside a run. */
uint32_t sim_cpu(void);

/** Host time in nanoseconds, for latency alone: never part of what the simulated software sees. */
uint64_t machine_host_ns(void);

uint32_t sim_cpus(void);
uint64_t sim_seed(void);

/** Register as last written (that it is in effect is another matter). */
uint64_t sim_sysreg(uint32_t cpu, enum kc_sysreg reg);

/** True if the CPU is on and its MMU is in effect. */
bool sim_mmu_on(uint32_t cpu);

/** Physical memory, 8 bytes at an aligned address in RAM; false elsewhere. */
bool sim_phys_read(uint64_t pa, uint64_t *out);
bool sim_phys_write(uint64_t pa, uint64_t value); /* a test's or a device's store: no event */

/** Is [pa, pa + size) inside RAM? */
bool sim_is_ram(uint64_t pa, uint64_t size);

enum sim_access_kind {
    SIM_READ,
    SIM_WRITE,
    SIM_FETCH
};

/* Outcome of one translation: either an entry, or a fault. */
struct sim_walk {
    bool ok;
    struct sim_tlb_entry entry; /* ok; else the steps up to the fault */
    uint32_t dfsc; /* !ok: DFSC or IFSC, low 6 bits (translation, access flag, size ...) */
    int32_t level; /* !ok: level of the fault */
};

/**
 * Walk the tables for va as CPU would now, from memory, without its TLB, without an event; the
 * permissions are not judged (see sim_judge).
 */
void sim_translate(uint32_t cpu, uint64_t va, struct sim_walk *out);

/** 0 if the entry allows that access at that exception level; else the fault status code. */
uint32_t sim_judge(uint32_t cpu, const struct sim_tlb_entry *e, enum sim_access_kind kind,
                   bool el0);

/** Perform one access of 1 to 8 bytes as software on this CPU: TLB, faults and events included. */
bool sim_access(uint64_t va, enum sim_access_kind kind, bool el0, uint32_t bytes, void *data,
                struct machine_fault *fault);

/**
 * Which address of the simulated machine does a host pointer stand for?
 *
 * Returns false if it is in no window: the simulator's own memory, or static storage and stacks of
 * the code under test.
 */
enum sim_window {
    SIM_WINDOW_PHYS,
    SIM_WINDOW_KERNEL,
    SIM_WINDOW_USER
};
bool sim_pointer(const void *p, enum sim_window *window, uint64_t *address);

/**
 * Physical address that a pointer of the code under test means on this CPU now: through its window
 * and, where the MMU translates, the walk. False: none.
 */
bool sim_pointer_pa(const void *p, uint64_t *pa);

/** Accesses that were judged by a TLB hit that no monitor had to look at (exact only). */
uint64_t sim_clean_accesses(void);

#endif
