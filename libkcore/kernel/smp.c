/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The other CPUs: up, through the workload, down.
 *
 * CPU 0 leads by `phase`; the others follow and count themselves in.
 *
 *     phase     START -------> LEAVE --------> WORK ------> STOP
 *     others    online++       TTBR0 empty,    work->other  stopped++
 *                              left_identity++
 *
 * phase is stored with release and read with acquire: what CPU 0 prepared before a phase is seen by
 * whoever enters it. The counters go the other way.
 */
#include "kernel_priv.h"

enum {
    PHASE_START,
    PHASE_LEAVE,
    PHASE_WORK,
    PHASE_STOP
};

/* Longest wait for a CPU to come up, in seconds of kc_plat_ticks(). */
#define START_SECONDS 2u

static void set_phase(struct kc_kernel *k, uint32_t phase)
{
    __atomic_store_n(&k->phase, phase, __ATOMIC_RELEASE);
    kc_plat_event();
}

static void await_phase(const struct kc_kernel *k, uint32_t phase)
{
    while (__atomic_load_n(&k->phase, __ATOMIC_ACQUIRE) < phase) {
        kc_plat_relax();
    }
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
    await_phase(k, PHASE_LEAVE);
    kc_tramp_leave(kc_pa_raw(k->empty_root));
    count_in(&k->left_identity);
    await_phase(k, PHASE_WORK);
    if (__atomic_load_n(&k->phase, __ATOMIC_ACQUIRE) == PHASE_WORK && k->work->other != NULL) {
        k->work->other(k, cpu, k->work->arg);
    }
    await_phase(k, PHASE_STOP);
    count_in(&k->stopped);
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

void kc_kernel_start_cpus(struct kc_kernel *k)
{
    __atomic_store_n(&k->online, 1, __ATOMIC_RELAXED);
    clean_for_others(k);
    for (uint32_t cpu = 1; cpu < k->info.cpu_count; cpu++) {
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
    }
    kc_kernel_log(k, "smp: %u of %u CPUs up", __atomic_load_n(&k->online, __ATOMIC_RELAXED),
                  k->info.cpu_count);
}

kc_status_t kc_kernel_leave_identity(struct kc_kernel *k)
{
    set_phase(k, PHASE_LEAVE);
    kc_tramp_leave(kc_pa_raw(k->empty_root));
    await_count(&k->left_identity, __atomic_load_n(&k->online, __ATOMIC_RELAXED) - 1);
    return kc_tramp_fini(&k->tramp);
}

kc_status_t kc_kernel_run_work(struct kc_kernel *k)
{
    set_phase(k, PHASE_WORK);
    return k->work->main(k, k->work->arg);
}

void kc_kernel_stop_cpus(struct kc_kernel *k)
{
    set_phase(k, PHASE_STOP);
    await_count(&k->stopped, __atomic_load_n(&k->online, __ATOMIC_RELAXED) - 1);
}
