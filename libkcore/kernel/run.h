/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * run.h: the standard workload: the mapping rounds of vm.h on every CPU, then services at EL0
 * (service.h), then a replay of a trace.
 *
 * Where the kernel's text begins with a block, the rounds run with that block taken apart into
 * pages, under all CPUs that execute from it (kc_kernel_change()), and it is a block again after.
 *
 * The same on the simulated machine (`ksim run`, `ksim replay`) and on the image.
 */
#ifndef KC_KERNEL_RUN_H
#define KC_KERNEL_RUN_H

#include "replay.h"
#include "service.h"
#include "vm.h"

/* One run. Inputs are set by the body before the kernel starts; results are read afterwards. */
struct kc_run {
    /* in */
    uint32_t vm_rounds;                                        /* 0: no mapping rounds */
    uint32_t service_rounds;                                   /* 0: no services */
    struct kc_replay_source source;                            /* fill NULL: no replay */
    void (*watch)(void *ctx, const struct kc_replay_now *now); /* as in replay.h, with ctx */
    /*
     * Called on CPU 0 when the work is over and what a trace left still lives: the moment to look
     * at who holds which frames. May be NULL.
     */
    void (*ended)(void *ctx, struct kc_kernel *k);
    /*
     * Called on CPU 0 when everything is measured and shut down, before the replay's own tables go:
     * the last moment for kc_replay_type(). replay is NULL without a replay. May be NULL.
     */
    void (*measured)(void *ctx, struct kc_kernel *k, struct kc_replay *replay);
    void *ctx;

    /* out */
    struct kc_vm_counts vm_counts;
    struct kc_service_counts service_counts;
    struct kc_replay_result result; /* all zero without a replay */
    kc_status_t vm_status;
    kc_status_t service_status;
    kc_status_t replay_status;
    uint32_t vm_failed; /* checks of contents that did not hold */

    /* private */
    struct kc_vm vm;
    struct kc_services services;
    struct kc_replay *replay;
    kc_track_item_t replay_item;
    bool replay_is_down; /* measured, and all its objects freed */
    struct kc_replay_latencies latency[KC_CPUS_MAX];
    struct kc_rendezvous meet;
    uint32_t ready;
    uint32_t vm_bad; /* CPUs whose rounds ended badly */
    uint32_t text_changes;
    kc_ia_t text;                      /* the block that holds the kernel's text, */
    bool has_text;                     /*   if there is one */
    uint32_t service_bad[KC_CPUS_MAX]; /* status of each CPU's services */
};

/** The work to hand to kc_kernel_main(): it runs *run, which is zeroed but for its inputs. */
struct kc_work kc_run_work(struct kc_run *run);

#endif
