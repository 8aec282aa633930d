/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * service.h: services that run unprivileged, and what the kernel does when one misbehaves.
 *
 * A service is service_program.c at EL0, in an address space of its own: text that is read-only and
 * executable, data that is neither shared nor executable, a stack between guard pages whose pages
 * appear at their first touch. Everything it has is tracked. A round starts one of each kind on
 * every CPU at once: an honest one, and those that do one forbidden thing. The kernel compares how
 * each ended with how it had to end, to the byte of the address, kills its owner, and looks whether
 * anything is left.
 */
#ifndef KC_KERNEL_SERVICE_H
#define KC_KERNEL_SERVICE_H

#include "kernel.h"
#include "service_program.h"

/* How a service ended. */
enum kc_service_end {
    KC_SERVICE_END_EXIT,        /* by its own call */
    KC_SERVICE_END_UNMAPPED,    /* an access where its space has nothing */
    KC_SERVICE_END_DENIED,      /* an access that its mapping does not permit */
    KC_SERVICE_END_GUARD,       /* an access in a guard page */
    KC_SERVICE_END_KERNEL,      /* an access in the kernel's half */
    KC_SERVICE_END_INSTRUCTION, /* an instruction that EL0 has not */
    KC_SERVICE_END_TIME,        /* its time was over */
    KC_SERVICE_END_NO_MEMORY,   /* a page of its could not be had */
    KC_SERVICE_END_OTHER,       /* another exception */
    KC_SERVICE_END_COUNT
};

/** Name of an end (a key of the JSON), and of a kind: static storage; "?" if unknown. */
const char *kc_service_end_name(uint32_t end);
const char *kc_service_kind_name(uint32_t kind);

/* What the rounds of all CPUs did. */
struct kc_service_counts {
    uint64_t started;
    uint64_t ended[KC_SERVICE_END_COUNT];
    uint64_t calls;           /* system calls served */
    uint64_t refused;         /* of these, those answered with an error */
    uint64_t exchanged_bytes; /* copied in and out */
    uint64_t pages;           /* made present at their first touch from EL0 */
    uint64_t interrupts;      /* taken from EL0 */
    uint64_t cleaned;         /* things of theirs that kills cleaned */
    uint64_t unexpected;      /* services that did not end as they had to, or left something */
    uint64_t no_memory;       /* left out, or ended early, for want of frames */
};

#define KC_SERVICE_AREAS 8u

/* Private: one service, while it lives. */
struct kc_service {
    struct kc_aspace space;
    struct kc_area area[KC_SERVICE_AREAS];
    struct kc_user_context context;
};

/* One run of the rounds. Private; placed by the caller, reachable by every CPU. */
struct kc_services {
    struct kc_kernel *kernel;
    uint32_t rounds;
    struct kc_service service[KC_CPUS_MAX];
    struct kc_service_counts counts[KC_CPUS_MAX];
};

/** Prepare a run of `rounds` rounds. */
void kc_services_init(struct kc_services *s, struct kc_kernel *k, uint32_t rounds);

/**
 * One CPU's part of them, which needs nobody else's.
 *
 * Errors:  KC_ERR_UNSUPPORTED  this body has no EL0: nothing was started
 *          KC_ERR_CORRUPT      something was unexpected; it is in the log
 *          others              the kernel could not make what a service needs
 * Context: as kc_plat_user_run(); nobody else uses this CPU's timer
 */
KC_NODISCARD kc_status_t kc_services_run(struct kc_services *s, uint32_t cpu);

/** Sum over the CPUs. After the run. */
void kc_services_total(const struct kc_services *s, struct kc_service_counts *out);

#endif
