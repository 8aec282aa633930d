/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc_test_cpus.h: what cases may ask of the simulated machine (glue_sim.c): its other CPUs, and
 * whether an access would fault.
 */
#ifndef KC_TEST_CPUS_H
#define KC_TEST_CPUS_H

#include <stdbool.h>
#include <stdint.h>

struct kc_kernel;

typedef void (*kc_test_cpu_fn)(uint32_t cpu, void *arg);

/** The kernel whose workload the cases are. */
struct kc_kernel *kc_test_kernel(void);

/* The numbers of CPUs that a program's cases are for: the default first. One that has no such
 * object is for one CPU. */
struct kc_test_cpu_range {
    uint32_t least, most;
};
extern struct kc_test_cpu_range kc_test_cpu_range;

/** CPUs that are up, the one of the test included. */
uint32_t kc_test_cpus(void);

/**
 * Run fn(cpu, arg) on every CPU at once, the caller's included, and return when all have returned.
 * On the others use cr_expect only: they have nowhere to leave to.
 */
void kc_test_on_cpus(kc_test_cpu_fn fn, void *arg);

/**
 * fn(cpu, arg) is what a CPU does when its timer (kc_plat_timer()) interrupts it, with interrupts
 * masked, until the case ends; NULL: nothing. Use cr_expect only.
 */
void kc_test_on_timer(kc_test_cpu_fn fn, void *arg);

/**
 * True if one byte at p can be read, and written, as far as memory tags are concerned. It is tried;
 * at native speed, where the machine sees no access, the tags are compared.
 */
bool kc_test_can_access(const void *p);

#endif
