/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPU 0 prepares, then opens `ready`; from there on all CPUs do the same two parts and meet after
 * each, so that a part begins with everybody's previous one complete.
 */
#include "run.h"

#include "own.h"

/* Also of one that was given up: then it is shut down first. */
static void clean_replay(const struct kc_track_resource *r)
{
    struct kc_run *run = (struct kc_run *)r->object;
    if (!run->replay_is_down) {
        kc_replay_shutdown(run->replay, &run->result);
    }
    kc_replay_fini(run->replay);
    run->replay = NULL;
}

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
    if (run->replay_status == KC_OK) {
        const struct kc_track_resource what = {run, {0, 0}, KC_OWN_REPLAY};
        run->replay_status = kc_own_made(kc_own(k, k->own.work, KC_TRACK_SITE), &what, clean_replay,
                                         0, NULL, 0, &run->replay_item);
    }
}

#define TEXT_LEVEL 2u

static void find_text(struct kc_run *run, struct kc_kernel *k)
{
    for (uint32_t i = 0; i < k->info.range_count && run->vm_rounds != 0 && !run->has_text; i++) {
        const struct kc_boot_range *r = &k->info.range[i];
        struct kc_pt_walk w;
        if (r->kind != KC_BOOT_TEXT) {
            continue;
        }
        run->text = kc_ia(k->info.linear_base + kc_pa_raw(r->base)); /* mapped: it does not wrap */
        run->has_text =
            kc_pt_translate(&k->linear, run->text, &w) == KC_OK && w.level == TEXT_LEVEL;
    }
}

static bool text_is_at(const struct kc_run *run, uint32_t level)
{
    struct kc_pt_walk w;
    return kc_pt_translate(&run->vm.kernel->linear, run->text, &w) == KC_OK && w.level == level;
}

/* All CPUs: into pages, or one block again. Want of memory is no failure: it stays as it is. */
static kc_status_t change_text(struct kc_run *run, uint32_t cpu, bool split)
{
    struct kc_tramp_request rq = {.op = split ? KC_TRAMP_SPLIT : KC_TRAMP_JOIN,
                                  .ia = run->text,
                                  .level = split ? TEXT_LEVEL + 1 : TEXT_LEVEL};
    if (!run->has_text) {
        return KC_OK;
    }
    if (cpu != 0) {
        kc_kernel_park(run->vm.kernel);
        return KC_OK;
    }
    if (!split && text_is_at(run, TEXT_LEVEL)) {
        kc_tramp_call_off(&run->vm.kernel->tramp, run->meet.count);
        return KC_OK;
    }
    kc_status_t st = kc_kernel_change(run->vm.kernel, &rq);
    if (st == KC_OK) {
        run->text_changes++;
        return text_is_at(run, rq.level) ? KC_OK : KC_ERR_CORRUPT;
    }
    return st == KC_ERR_NOMEM ? KC_OK : st;
}

static void do_parts(struct kc_run *run, uint32_t cpu)
{
    kc_status_t split = change_text(run, cpu, true);
    kc_status_t st = kc_vm_run(&run->vm, cpu); /* whatever came of it: the others wait there */
    kc_status_t join = change_text(run, cpu, false);
    st = st != KC_OK ? st : split;
    st = st != KC_OK ? st : join;
    if (st != KC_OK) {
        __atomic_add_fetch(&run->vm_bad, 1, __ATOMIC_RELAXED);
    }
    if (cpu == 0) {
        run->vm_status = st;
    }
    kc_rendezvous_wait(&run->meet);
    run->service_bad[cpu] = (uint32_t)kc_services_run(&run->services, cpu);
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
    kc_services_init(&run->services, k, run->service_rounds);
    kc_rendezvous_init(&run->meet, cpus);
    find_text(run, k);
    __atomic_store_n(&run->ready, 1, __ATOMIC_RELEASE);
    kc_plat_event();
}

static kc_status_t main_part(struct kc_kernel *k, void *arg)
{
    struct kc_run *run = (struct kc_run *)arg;
    prepare(run, k);
    do_parts(run, 0);
    kc_vm_total(&run->vm, &run->vm_counts);
    run->vm_counts.text_changes = run->text_changes;
    run->vm_failed = run->vm.failed;
    if (run->vm_status == KC_OK && run->vm_bad != 0) {
        run->vm_status = KC_ERR_CORRUPT;
    }
    kc_services_total(&run->services, &run->service_counts);
    run->service_status = KC_OK;
    for (uint32_t i = 0; i < run->meet.count && run->service_status == KC_OK; i++) {
        run->service_status = (kc_status_t)run->service_bad[i];
    }
    if (run->ended != NULL) {
        run->ended(run->ctx, k);
    }
    if (run->replay != NULL) {
        kc_replay_shutdown(run->replay, &run->result);
        run->replay_is_down = true;
    }
    if (run->measured != NULL) {
        run->measured(run->ctx, k, run->replay);
    }
    if (run->replay != NULL && kc_track_release(&k->track, run->replay_item) != KC_OK) {
        run->replay_status = KC_ERR_STATE;
    }
    kc_status_t st = run->vm_status != KC_OK ? run->vm_status : run->service_status;
    return st != KC_OK ? st : run->replay_status;
}

struct kc_work kc_run_work(struct kc_run *run)
{
    struct kc_work work = {.name = "run", .main = main_part, .other = other, .arg = run};
    return work;
}
