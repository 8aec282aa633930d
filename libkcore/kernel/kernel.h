/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kernel.h: the small kernel, as the bodies see it.
 *
 * A body (simulator or bare metal) enters it in this order:
 *
 *     CPU 0, MMU off:  kc_kernel_boot(k, info)      memory map, tables, registers; MMU on
 *     (the body moves its program counter and stack from the identity map to the linear map)
 *     CPU 0, MMU on:   kc_kernel_main(k, work)      frames, caches, CPUs, workload, shutdown
 *     others, MMU off: kc_kernel_cpu_boot           through kc_plat_cpu_start(); MMU on
 *     others, MMU on:  kc_kernel_cpu_main
 *
 * and calls kc_kernel_fault() and kc_kernel_ipi() from its exception paths. No pointer made with
 * the MMU off is used with it on: what must survive is held as kc_pa_t.
 */
#ifndef KC_KERNEL_H
#define KC_KERNEL_H

#include <kc/aspace.h>
#include <kc/boot.h>
#include <kc/cache.h>
#include <kc/early.h>
#include <kc/explain.h>
#include <kc/fence.h>
#include <kc/frame.h>
#include <kc/heap.h>
#include <kc/lock.h>
#include <kc/pt.h>
#include <kc/track.h>
#include <kc/tramp.h>
#include <kc/ucopy.h>

/* Areas of the kernel's dynamic address range. */
#define KC_KERNEL_AREAS_MAX 256u

/* Owners and resources that the kernel keeps track of. */
#define KC_KERNEL_OWNERS_MAX 32u
#define KC_KERNEL_ITEMS_MAX  256u

/*
 * The kernel's own things in its tracker, for whatever needs them. `ground` holds what the CPU
 * stands on to the last: it is listed at the end and stays. `kernel` holds the services, the other
 * CPUs and what boot leaves; `work` is for what a workload keeps beyond one of its steps.
 */
struct kc_kernel_own {
    kc_track_owner_t ground;
    kc_track_owner_t kernel;
    kc_track_owner_t work;
    kc_track_item_t early;    /* ground: what boot took before there were frames */
    kc_track_item_t linear;   /* ground */
    kc_track_item_t root;     /* ground: the empty root */
    kc_track_item_t identity; /* until no CPU needs it */
    kc_track_item_t asids;
    kc_track_item_t space; /* only if info.dynamic_bytes */
    kc_track_item_t heap;
};

struct kc_work;

/*
 * One kernel. Storage is the body's, zeroed; members are for kernel/ and for workloads, which find
 * the services that they use here: frames, heap, space, asids.
 */
struct kc_kernel {
    struct kc_boot_info info;
    struct kc_misuse misuse;
    struct kc_early early;
    struct kc_a64_format lower; /* of user spaces and the identity map */
    struct kc_a64_format upper; /* of the linear map and the dynamic range */
    uint32_t asid_bits;
    struct kc_pt linear;
    struct kc_tramp tramp; /* the identity map while CPUs start; later for changes of `linear` */
    struct kc_tramp_regs regs;
    struct kc_frames frames;
    struct kc_heap heap;
    struct kc_track track; /* whatever exists: who owns it, where it was made, what it needs */
    struct kc_kernel_own own;
    struct kc_track_owner track_owner[KC_KERNEL_OWNERS_MAX];
    struct kc_track_item track_item[KC_KERNEL_ITEMS_MAX];
    struct kc_asids asids;
    struct kc_aspace space; /* the dynamic range; only if info.dynamic_bytes */
    struct kc_area area[KC_KERNEL_AREAS_MAX];
    kc_pa_t empty_root;                  /* what TTBR0 holds while no user space is active */
    struct kc_aspace *user[KC_CPUS_MAX]; /* space that each CPU is in; NULL: none */
    struct kc_fence *fence[KC_CPUS_MAX]; /* that explains faults of each CPU; NULL: none */
    uint32_t online;                     /* CPUs that are up, CPU 0 included */
    uint32_t phase;                      /* what the other CPUs should do: enum of smp.c */
    uint32_t left_identity;
    uint32_t stop;    /* bit n: CPU n is to stop, */
    uint32_t stopped; /* and has done so */
    const struct kc_work *work;
    uint64_t boot_ticks;
    uint64_t faults_resolved;
    uint64_t faults_no_memory[KC_CPUS_MAX]; /* pages that could not be made present */
    uint64_t leaked_frames;                 /* found by kc_kernel_main() at the end */
    uint32_t leaked_things;                 /* that workloads had made and not given back */
    uint32_t unclean;                       /* services of the kernel that could not be ended */
};

/* A data or instruction abort of the kernel's, or another synchronous exception. */
struct kc_fault {
    uint64_t esr; /* ESR_EL1 */
    uint64_t far; /* FAR_EL1: a virtual address, not a pointer */
    uint64_t elr; /* address of the instruction, 0 where there is none (simulator) */
    uint32_t cpu;
};

/* What the kernel does once it is up: one function on CPU 0, one on the others (may be NULL). */
struct kc_work {
    const char *name;
    kc_status_t (*main)(struct kc_kernel *k, void *arg);
    void (*other)(struct kc_kernel *k, uint32_t cpu, void *arg); /* returns when work is done */
    void *arg;
};

/**
 * Before the MMU: check the boot information, set up early memory, build the kernel's tables
 * (linear map and identity map), write the registers in order, turn the MMU on.
 *
 * k      zeroed storage of the body's that is reachable with the MMU off and on
 * info   as in kc/boot.h
 *
 * Returns KC_OK with the MMU on and the identity map still in TTBR0; else the status of the first
 * check that failed, with the MMU off and nothing changed in RAM that was not early memory.
 */
KC_NODISCARD kc_status_t kc_kernel_boot(struct kc_kernel *k, const struct kc_boot_info *info);

/**
 * After the MMU: set up frames, tracker, heap and spaces, start the other CPUs, remove the identity
 * map, run the workload. Then the way down, which is the same however far the way up came: list
 * what the work has left with owner and place, and kill the owners, the kernel's own last.
 *
 * Returns the workload's status, or KC_ERR_STATE if something leaked.
 */
KC_NODISCARD kc_status_t kc_kernel_main(struct kc_kernel *k, const struct kc_work *work);

/* Entries of the other CPUs; arg is the struct kc_kernel. */
void kc_kernel_cpu_boot(uint32_t cpu, void *arg);
void kc_kernel_cpu_main(uint32_t cpu, void *arg);

/**
 * A synchronous exception that the body could not fix up by itself.
 *
 * Returns true if the access may be retried; false if the kernel has no answer, and then the body
 * prints its registers and stops.
 */
bool kc_kernel_fault(struct kc_kernel *k, const struct kc_fault *f);

/**
 * Change the linear map where the kernel's own code, stacks or tables may lie in it: with
 * kc_tramp_change(), through an identity map of all RAM that is made for it and given back. rq->pt
 * is set here.
 *
 * Errors:  KC_ERR_NOMEM  no page for the identity map; and what kc_tramp_change() says; nothing was
 *          changed then
 * Context: as kc_tramp_change(): no lock held, every other CPU calls kc_kernel_park() once
 */
KC_NODISCARD kc_status_t kc_kernel_change(struct kc_kernel *k, const struct kc_tramp_request *rq);

/** Another CPU's part in it: returns when the change is complete, or was refused. */
void kc_kernel_park(struct kc_kernel *k);

/**
 * Explain a fault that nobody had an answer for: level by level, and what the kernel believes about
 * the address. For the last lines of a run.
 *
 * cpu   the CPU that faulted
 *
 * Context: any, locks held or not; takes none. Others may run meanwhile
 */
void kc_kernel_explain(const struct kc_kernel *k, const struct kc_explain_regs *regs, uint32_t cpu,
                       kc_ptview_sink_fn sink, void *ctx);

/** Print the kernel's own tables (kc_ptview_dump()); nothing before they exist. Context: the same.
 */
void kc_kernel_dump(const struct kc_kernel *k, struct kc_ptview_bounds bounds,
                    kc_ptview_sink_fn sink, void *ctx);

/* An interrupt from kc_plat_ipi() arrived on this CPU. */
void kc_kernel_ipi(struct kc_kernel *k);

/**
 * Print one line of the boot log: time since boot, text, new line.
 *
 * Context: any with the MMU on; lines of several CPUs do not mix if the body's console does not
 */
void kc_kernel_log(const struct kc_kernel *k, const char *fmt, ...) KC_PRINTF(2, 3);

/** A user space that this CPU is about to run in, or NULL when it has left it: for faults. */
void kc_kernel_set_user(struct kc_kernel *k, struct kc_aspace *space);

#endif
