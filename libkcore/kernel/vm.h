/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * vm.h: the mapping workload: every CPU maps, writes, shares, protects, splits, re-makes and unmaps
 * memory in the kernel's dynamic range, and runs in a user space of its own.
 *
 * It is what a kernel does to its tables all day, in rounds, with every byte that it reads back
 * compared with what was written. Each mapping is also read by the next CPU before it changes, so
 * that what one CPU forgets to invalidate sits in another's TLB.
 */
#ifndef KC_KERNEL_VM_H
#define KC_KERNEL_VM_H

#include "fenced.h"
#include "kernel.h"
#include "rendezvous.h"

#define KC_VM_USER_AREAS 8u

/* What the rounds of all CPUs did. */
struct kc_vm_counts {
    uint64_t maps;
    uint64_t unmaps;
    uint64_t protects;
    uint64_t splits;       /* blocks of 2 MiB taken apart while in use */
    uint64_t remote_reads; /* by a CPU that did not make the mapping */
    uint64_t user_spaces;
    uint64_t user_bytes;   /* copied to and from user memory */
    uint64_t user_faults;  /* user accesses beyond the mapping, refused to the byte */
    uint64_t kills;        /* services killed while they held several things */
    uint64_t cleanups;     /* things that kills cleaned */
    uint64_t lazy_faults;  /* pages that appeared at their first access */
    uint64_t reclaimed;    /* frames that empty slabs gave back */
    uint64_t fenced;       /* accesses that missed a fenced object, each explained */
    uint64_t no_memory;    /* steps left out for want of frames */
    uint64_t text_changes; /* of the block that holds the running text: run.h, not the rounds */
};

/* Private: one CPU asks the next to read. */
struct kc_vm_mail {
    uint32_t state;
    uint32_t wrong;
    uint64_t va;
    uint64_t expected;
    kc_track_owner_t victim; /* to kill, if `kill` is set, instead of reading */
    bool kill;
} KC_ALIGNED(KC_LINE_BYTES);

/* Private: the user space of the step at hand. */
struct kc_vm_user {
    struct kc_aspace space;
    struct kc_area area[KC_VM_USER_AREAS];
};

/* One run of the workload. Private but for counts and failed; placed by the caller, reachable by
 * every CPU. */
struct kc_vm {
    struct kc_kernel *kernel;
    uint32_t cpu_count;
    uint32_t rounds;
    uint32_t finished;
    uint32_t failed; /* checks that did not hold; each is in the log */
    struct kc_vm_mail mail[KC_CPUS_MAX];
    struct kc_vm_counts counts[KC_CPUS_MAX];
    struct kc_vm_user user[KC_CPUS_MAX];
    struct kc_fenced fenced[KC_CPUS_MAX];
};

/** Prepare a run of `rounds` rounds on each of cpu_count CPUs. */
void kc_vm_init(struct kc_vm *vm, struct kc_kernel *k, uint32_t cpu_count, uint32_t rounds);

/**
 * One CPU's part; every CPU 0 to cpu_count - 1 calls it once. Returns when all are done, with the
 * first status that was not expected, or KC_ERR_CORRUPT if a check of contents failed.
 */
KC_NODISCARD kc_status_t kc_vm_run(struct kc_vm *vm, uint32_t cpu);

/** Sum over the CPUs. After the run. */
void kc_vm_total(const struct kc_vm *vm, struct kc_vm_counts *out);

#endif
