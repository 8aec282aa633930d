/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPU 0 prepares, then opens `ready`; from there on all CPUs do the same two parts and meet after
 * each, so that a part begins with everybody's previous one complete.
 */
#include "run.h"

static void start_replay(struct kc_run *run)
{
    struct kc_kernel *k = run->vm.kernel;
    struct kc_replay_config config = {
        .frames = &k->frames,
        .misuse = &k->misuse,
        .source = run->source,
        .cpu_count = run->meet.count,
        .latency = run->latency,
        .watch = run->watch,
        .watch_ctx = run->ctx,
    };
    run->replay_status = kc_replay_init(&config, &run->replay);
}

static void do_parts(struct kc_run *run, uint32_t cpu)
{
    kc_status_t st = kc_vm_run(&run->vm, cpu);
    if (st != KC_OK) {
        __atomic_add_fetch(&run->vm_bad, 1, __ATOMIC_RELAXED);
    }
    if (cpu == 0) {
        run->vm_status = st;
    }
    kc_rendezvous_wait(&run->meet);
    if (run->source.fill == NULL) {
        return;
    }
    /* Only now: what the rounds left in the kernel's own caches is not the replay's. */
    if (cpu == 0) {
        start_replay(run);
    }
    kc_rendezvous_wait(&run->meet);
    if (run->replay != NULL) {
        st = kc_replay_run(run->replay, cpu);
        if (cpu == 0) {
            run->replay_status = st;
        }
        kc_rendezvous_wait(&run->meet);
    }
}

static void other(struct kc_kernel *k, uint32_t cpu, void *arg)
{
    struct kc_run *run = (struct kc_run *)arg;
    (void)k;
    while (__atomic_load_n(&run->ready, __ATOMIC_ACQUIRE) == 0) {
        kc_plat_relax();
    }
    do_parts(run, cpu);
}

static void prepare(struct kc_run *run, struct kc_kernel *k)
{
    uint32_t cpus = __atomic_load_n(&k->online, __ATOMIC_ACQUIRE);
    kc_vm_init(&run->vm, k, cpus, run->vm_rounds);
    kc_rendezvous_init(&run->meet, cpus);
    __atomic_store_n(&run->ready, 1, __ATOMIC_RELEASE);
    kc_plat_event();
}

static kc_status_t main_part(struct kc_kernel *k, void *arg)
{
    struct kc_run *run = (struct kc_run *)arg;
    prepare(run, k);
    do_parts(run, 0);
    kc_vm_total(&run->vm, &run->vm_counts);
    run->vm_failed = run->vm.failed;
    if (run->vm_status == KC_OK && run->vm_bad != 0) {
        run->vm_status = KC_ERR_CORRUPT;
    }
    if (run->ended != NULL) {
        run->ended(run->ctx, k);
    }
    if (run->replay != NULL) {
        kc_replay_shutdown(run->replay, &run->result);
    }
    if (run->measured != NULL) {
        run->measured(run->ctx, k, run->replay);
    }
    if (run->replay != NULL) {
        kc_replay_fini(run->replay);
        run->replay = NULL;
    }
    return run->vm_status != KC_OK ? run->vm_status : run->replay_status;
}

struct kc_work kc_run_work(struct kc_run *run)
{
    struct kc_work work = {.name = "run", .main = main_part, .other = other, .arg = run};
    return work;
}
