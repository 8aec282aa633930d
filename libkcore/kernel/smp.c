/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The other CPUs: up, through the workload, down.
 *
 * CPU 0 leads by `phase`; the others follow and count themselves in.
 *
 *     phase     START -------> LEAVE --------> WORK        its bit in stop
 *     others    online++       TTBR0 empty,    work->other  its bit in stopped
 *                              left_identity++
 *
 * phase and stop are stored with release and read with acquire: what CPU 0 prepared before is seen
 * by whoever follows. The counters, and stopped, go the other way. A CPU can be stopped from every
 * phase, so that the way down is the same however far the way up came.
 */
#include "kernel_priv.h"
#include "own.h"

enum {
    PHASE_START,
    PHASE_LEAVE,
    PHASE_WORK
};

/* Longest wait for a CPU to come up, in seconds of kc_plat_ticks(). */
#define START_SECONDS 2u

static void set_phase(struct kc_kernel *k, uint32_t phase)
{
    __atomic_store_n(&k->phase, phase, __ATOMIC_RELEASE);
    kc_plat_event();
}

static bool is_to_stop(const struct kc_kernel *k, uint32_t cpu)
{
    return (__atomic_load_n(&k->stop, __ATOMIC_ACQUIRE) >> cpu & 1) != 0;
}

/* False if this CPU is to stop instead. */
static bool await_phase(const struct kc_kernel *k, uint32_t cpu, uint32_t phase)
{
    while (__atomic_load_n(&k->phase, __ATOMIC_ACQUIRE) < phase) {
        if (is_to_stop(k, cpu)) {
            return false;
        }
        kc_plat_relax();
    }
    return true;
}

static void count_in(uint32_t *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_RELEASE);
    kc_plat_event();
}

static void await_count(const uint32_t *counter, uint32_t count)
{
    while (__atomic_load_n(counter, __ATOMIC_ACQUIRE) < count) {
        kc_plat_relax();
    }
}

/* ---- on the other CPUs ---------------------------------------------------------------------- */

void kc_kernel_cpu_boot(uint32_t cpu, void *arg)
{
    (void)cpu;
    kc_tramp_mmu_on(&((const struct kc_kernel *)arg)->regs);
}

void kc_kernel_cpu_main(uint32_t cpu, void *arg)
{
    struct kc_kernel *k = (struct kc_kernel *)arg;
    count_in(&k->online);
    if (await_phase(k, cpu, PHASE_LEAVE)) {
        kc_tramp_leave(kc_pa_raw(k->empty_root));
        count_in(&k->left_identity);
        if (await_phase(k, cpu, PHASE_WORK) && k->work->other != NULL) {
            k->work->other(k, cpu, k->work->arg);
        }
    }
    while (!is_to_stop(k, cpu)) {
        kc_plat_relax();
    }
    (void)kc_frames_drain(&k->frames, cpu);
    __atomic_fetch_or(&k->stopped, 1u << cpu, __ATOMIC_RELEASE);
    kc_plat_event();
    kc_plat_cpu_off();
}

/* ---- on CPU 0 ------------------------------------------------------------------------------- */

/* What kc_kernel_cpu_boot() reads with caches off must be in memory. */
static void clean_for_others(const struct kc_kernel *k)
{
    uint64_t line = (uint64_t)4 << kc_field_get(kc_plat_sysreg_read(KC_CTR_EL0), 19, 16);
    const char *p = (const char *)&k->regs;
    for (uint64_t at = 0; at < sizeof(k->regs) + line; at += line) {
        kc_plat_cache(KC_DC_CVAC, p + (at < sizeof(k->regs) ? at : sizeof(k->regs) - 1));
    }
    /* The clean is complete before a CPU is started that depends on it. */
    kc_plat_barrier(KC_DSB_SY);
}

static void stop_cpu(const struct kc_track_resource *r)
{
    struct kc_kernel *k = (struct kc_kernel *)r->object;
    uint32_t bit = 1u << r->value[0];
    __atomic_fetch_or(&k->stop, bit, __ATOMIC_RELEASE);
    kc_plat_event();
    while ((__atomic_load_n(&k->stopped, __ATOMIC_ACQUIRE) & bit) == 0) {
        kc_plat_relax();
    }
}

kc_status_t kc_kernel_start_cpus(struct kc_kernel *k, const kc_track_item_t *needs,
                                 uint32_t need_count)
{
    kc_status_t tracked = KC_OK;
    __atomic_store_n(&k->online, 1, __ATOMIC_RELAXED);
    clean_for_others(k);
    for (uint32_t cpu = 1; cpu < k->info.cpu_count && tracked == KC_OK; cpu++) {
        uint32_t expected = __atomic_load_n(&k->online, __ATOMIC_RELAXED) + 1;
        kc_status_t st = kc_plat_cpu_start(cpu, kc_kernel_cpu_boot, k);
        if (st != KC_OK) {
            kc_kernel_log(k, "cpu%u: cannot be started: %s", cpu, kc_status_name(st));
            break; /* CPU numbers stay without gaps */
        }
        uint64_t limit = kc_plat_ticks() + START_SECONDS * kc_plat_ticks_hz();
        while (__atomic_load_n(&k->online, __ATOMIC_ACQUIRE) < expected) {
            if (kc_plat_ticks() > limit) {
                KC_PANIC("a CPU was started and did not come up");
            }
            kc_plat_relax();
        }
        const struct kc_track_resource what = {k, {cpu, 0}, KC_OWN_CPU};
        tracked = kc_own_made(kc_own(k, k->own.kernel, KC_TRACK_SITE), &what, stop_cpu, 0, needs,
                              need_count, NULL);
    }
    kc_kernel_log(k, "smp: %u of %u CPUs up", __atomic_load_n(&k->online, __ATOMIC_RELAXED),
                  k->info.cpu_count);
    return tracked;
}

kc_status_t kc_kernel_leave_identity(struct kc_kernel *k)
{
    set_phase(k, PHASE_LEAVE);
    await_count(&k->left_identity, __atomic_load_n(&k->online, __ATOMIC_RELAXED) - 1);
    return kc_track_release(&k->track, k->own.identity);
}

kc_status_t kc_kernel_run_work(struct kc_kernel *k)
{
    set_phase(k, PHASE_WORK);
    return k->work->main(k, k->work->arg);
}
