/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc_test_cpus.h: the other CPUs of the simulated machine, for cases that want them (glue_sim.c).
 */
#ifndef KC_TEST_CPUS_H
#define KC_TEST_CPUS_H

#include <stdint.h>

struct kc_kernel;

typedef void (*kc_test_cpu_fn)(uint32_t cpu, void *arg);

/** The kernel whose workload the cases are. */
struct kc_kernel *kc_test_kernel(void);

/** CPUs that are up, the one of the test included. */
uint32_t kc_test_cpus(void);

/**
 * Run fn(cpu, arg) on every CPU at once, the caller's included, and return when all have returned.
 * On the others use cr_expect only: they have nowhere to leave to.
 */
void kc_test_on_cpus(kc_test_cpu_fn fn, void *arg);

#endif
