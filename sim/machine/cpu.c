/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cpu.c: emulated CPUs and the baton that they pass.
 *
 * Nouns. Each CPU that is on is a host thread. Exactly one holds the *baton* (sim.cur) and runs;
 * the others wait for their turn. A *step* is a seam call, or an access when exact. The machine
 * *chooses* again who runs at sim.choose_at; *waits* (relax, WFE) always choose again. The *budget*
 * counts down to the next time at which it has to look: a choice, or an interrupt.
 *
 *     off --start--> ready --chosen--> running --budget over, wait--> ready
 *                                        |----returns, cpu_off-----> done
 *
 * Invariants
 *   I1  sim.cur is the only CPU whose thread runs code of the software or of the machine.
 *   I2  every choice comes from sim.random, which only choices consume: one seed, one schedule.
 *   I3  result.schedule is a hash of (step, CPU) at each change of holder, and of nothing else.
 *   I4  a run ends when no CPU is ready, or at once when somebody ends it; every thread then leaves
 *       through the jump buffer at its root.
 *   I5  deadlock is told when `stuck_limit` waits follow each other with no step between that could
 *       have changed anything and no timer that could.
 *   I6  exact: an interrupt *may come* while the CPU that runs does not mask it and it is pending,
 *       or its timer armed. Then the budget is used up at timer_at, or at once, so that an access
 *       looks in time and costs no more for it; and all accesses are seen (exact.c, I6). Whatever
 *       changes one of these calls cpu_attend().
 *   I7  an interrupt masks interrupts until it has been served, as an exception does (DDI 0487,
 *       D1.3); what becomes pending meanwhile comes after it.
 *
 * Interrupts are taken at steps, before their effect: native, at seam calls; exact, before accesses
 * as well (exact.c, I3). An atomic operation is one access, and so is all that one call of a memory
 * function reads, or writes.
 *
 * Virtual time: SEAM_TICKS a seam call, 1 an exact access; when everybody waits and a timer is
 * armed, time jumps to it.
 *
 * Budgets are drawn log-uniformly, from 1 to 4096 steps (native: 128, for only seam calls are
 * steps) unless switch_mean says otherwise: some choices come at once, others let a CPU run for
 * long.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "machine_priv.h"
#include "race.h"

#define WATCH_SECONDS                                                          \
    60u /* without a step, in native code: the software spins without the seam \
         */

static __thread struct cpu *self;

uint64_t machine_random(uint64_t *state)
{
    /* splitmix64 (public domain, S. Vigna) */
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ---- time ----------------------------------------------------------------------------------- */

static void settle_time(void)
{
    int64_t used = sim.budget_start - sim.budget;
    sim.ticks += (uint64_t)used;
    sim.budget_start = sim.budget;
}

uint64_t cpu_ticks(void)
{
    return sim.ticks + (uint64_t)(sim.budget_start - sim.budget);
}

uint64_t sim_ticks(void)
{
    return cpu_ticks();
}

void cpu_attend(void)
{
    const struct cpu *c = sim.cur;
    settle_time();
    uint64_t until = sim.choose_at;
    uint64_t due = UINT64_MAX; /* I6 */
    if (sim_exact && sim.running && !c->irq_masked) {
        due = c->ipi != 0 ? sim.ticks : c->timer_at;
    }
    if (due < until) {
        until = due;
    }
    sim.budget = sim.budget_start = (int64_t)(until - sim.ticks);
    sim.seen_bytes = due != UINT64_MAX || c->user.inside ? UINT64_MAX : sim.area_bytes;
}

static bool choice_is_due(void)
{
    return cpu_ticks() >= sim.choose_at;
}

/* Draw how long it is until the next choice. */
static void new_budget(void)
{
    settle_time();
    uint64_t draw = machine_random(&sim.random);
    uint64_t budget;
    if (sim.config.switch_mean != 0) {
        budget = 1 + draw % (2 * (uint64_t)sim.config.switch_mean);
    } else {
        uint64_t top = (uint64_t)1 << (draw % (sim_exact ? 13 : 8));
        budget = 1 + (draw >> 16) % top;
    }
    sim.choose_at = sim.ticks + budget * (sim_exact ? 1 : SEAM_TICKS);
    cpu_attend();
}

/* ---- the baton ------------------------------------------------------------------------------ */

static void leave_if_stopping(void)
{
    if (sim.stopping && self != NULL) {
        siglongjmp(self->root, 1);
    }
}

static void adopt(struct cpu *c)
{
    if (sim.cur != c) {
        sim.cur = c;
        sim.result.switches++;
        uint64_t h = sim.result.schedule ^ (sim.steps << 4 | c->id);
        sim.result.schedule = (h ^ (h >> 31)) * UINT64_C(0x9fb21c651e98df25);
        cpu_attend();
    }
    host_regime(c);
}

/* A CPU that is ready, chosen by the seed; NULL: none. `other`: somebody else, if there is. */
static struct cpu *choose(const struct cpu *other)
{
    struct cpu *ready[SIM_CPUS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim.config.cpus; i++) {
        struct cpu *c = &sim.cpu[i];
        if (c->state == CPU_READY && c != other) {
            ready[count++] = c;
        }
    }
    if (count == 0) {
        return NULL;
    }
    return ready[count == 1 ? 0 : machine_random(&sim.random) % count];
}

static void hand_to(struct cpu *next)
{
    struct cpu *me = self;
    pthread_mutex_lock(&sim.lock);
    adopt(next);
    pthread_cond_signal(&next->turn);
    while (sim.cur != me && !sim.stopping) {
        pthread_cond_wait(&me->turn, &sim.lock);
    }
    pthread_mutex_unlock(&sim.lock);
    leave_if_stopping();
}

void cpu_yield(void)
{
    new_budget();
    if (self == NULL) {
        return;
    }
    struct cpu *next = choose(self);
    if (next != NULL) {
        hand_to(next);
    }
}

/* The baton may stay: all who are ready have the same chance. */
void cpu_budget_over(void)
{
    if (!choice_is_due()) {
        return; /* I6 */
    }
    new_budget();
    if (self == NULL) {
        return;
    }
    struct cpu *next = choose(NULL);
    if (next != NULL && next != self) {
        hand_to(next);
    }
}

/* ---- interrupts ----------------------------------------------------------------------------- */

void cpu_mask(struct cpu *c, bool masked)
{
    c->irq_masked = masked;
    cpu_attend();
}

bool cpu_interrupt(struct cpu *c)
{
    bool ipi = c->ipi != 0;
    bool timer = c->timer_at != UINT64_MAX && cpu_ticks() >= c->timer_at;
    if (c->irq_masked || (!ipi && !timer)) {
        return false;
    }
    cpu_mask(c, true); /* I7 */
    tell_sync(c);
    cpu_sync(c);
    if (ipi) {
        c->ipi = 0;
        race_ipi_taken();
        if (sim.config.hooks.ipi != NULL) {
            sim.config.hooks.ipi(sim.config.hooks.arg, c->id);
        }
    }
    if (timer) {
        c->timer_at = UINT64_MAX;
        if (sim.config.hooks.timer != NULL) {
            sim.config.hooks.timer(sim.config.hooks.arg, c->id);
        }
    }
    tell_sync(c);
    cpu_sync(c);
    cpu_mask(c, false);
    return true;
}

void cpu_before_access(bool in_window)
{
    if (in_window) {
        cpu_budget_over();
    }
    if (self != NULL) {
        (void)cpu_interrupt(self);
    }
}

/* Everybody waits: jump to the next timer, if one is armed. */
static bool skip_to_timer(void)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < sim.config.cpus; i++) {
        if (sim.cpu[i].state == CPU_READY && sim.cpu[i].timer_at < next) {
            next = sim.cpu[i].timer_at;
        }
    }
    if (next == UINT64_MAX) {
        return false;
    }
    settle_time();
    if (next > sim.ticks) {
        sim.choose_at += next - sim.ticks; /* the choice is as many steps away as before */
        sim.ticks = next;
        cpu_attend();
    }
    return true;
}

void cpu_step(bool progress)
{
    if (sim.cur->user.inside) {
        user_seam_call();
    }
    sim.steps++;
    sim.budget -= SEAM_TICKS;
    if (self == NULL) {
        cpu_budget_over();
        return;
    }
    leave_if_stopping();
    if (progress) {
        sim.idle = 0;
    } else if (++sim.idle > sim.config.stuck_limit) {
        cpu_end(MACHINE_END_DEADLOCK, "every CPU waits, and nothing is left that could end it",
                NULL);
    } else if (sim.idle % 1024 == 0) {
        skip_to_timer();
    }
    if (choice_is_due()) {
        cpu_budget_over();
        if (sim.config.policy == MACHINE_RANDOM) {
            tlb_evict_some(self);
        }
    }
    (void)cpu_interrupt(self);
}

/* ---- ending --------------------------------------------------------------------------------- */

void cpu_end(enum machine_end end, const char *text, const struct machine_fault *f)
{
    struct machine_result *r = &sim.result;
    if (!sim.stopping) {
        r->end = end;
        r->cpu = sim.cur->id;
        snprintf(r->text, sizeof r->text, "%s", text);
        if (f != NULL) {
            r->fault = *f;
        }
    }
    if (self == NULL) { /* outside a run there is nobody to return to */
        fprintf(stderr, "machine: %s\n", text);
        fflush(NULL);
        abort();
    }
    sim.stopping = true;
    siglongjmp(self->root, 1);
}

void machine_stop(enum machine_end end, const char *text)
{
    if (self != NULL) {
        cpu_end(end, text, NULL);
    }
    fprintf(stderr, "machine: %s\n", text);
}

void cpu_leave(void)
{
    siglongjmp(self->root, 2);
}

/* ---- life of a CPU -------------------------------------------------------------------------- */

void cpu_sync(struct cpu *c)
{
    bool was_on = mmu_is_on(&c->now);
    struct mmu_regs next = c->now;
    next.sctlr = c->reg[KC_SCTLR_EL1];
    next.tcr = c->reg[KC_TCR_EL1];
    next.mair = c->reg[KC_MAIR_EL1];
    next.ttbr[0] = c->reg[KC_TTBR0_EL1];
    next.ttbr[1] = c->reg[KC_TTBR1_EL1];
    if (memcmp(&next, &c->now, sizeof next) == 0) {
        return;
    }
    c->now = next;
    if (was_on || mmu_is_on(&next)) {
        walker_contexts(c);
        host_regime(c);
    }
    machine_rejudge();
}

void cpu_defaults(struct cpu *c)
{
    memset(c->reg, 0, sizeof c->reg);
    memset(c->touch, 0, sizeof c->touch);
    /* RES1 bits of SCTLR_EL1 and SPAN set; M, C, I, A clear (D17.2.118). */
    c->reg[KC_SCTLR_EL1] = UINT64_C(0x30d00800);
    c->now = (struct mmu_regs){.sctlr = c->reg[KC_SCTLR_EL1],
                               .pa_bits = sim.config.pa_bits,
                               .features = sim.config.features};
    c->irq_masked = true;
    c->event = false;
    c->ipi = 0;
    c->timer_at = UINT64_MAX;
    c->pc = sim.config.ram_base;
    c->low = false;
    c->fault_depth = 0;
    c->delayed = false;
}

static void wait_for_turn(struct cpu *c)
{
    pthread_mutex_lock(&sim.lock);
    while (sim.cur != c && !sim.stopping) {
        pthread_cond_wait(&c->turn, &sim.lock);
    }
    pthread_mutex_unlock(&sim.lock);
}

static void *thread_main(void *arg)
{
    struct cpu *c = arg;
    self = c;
    user_prepare(c);
    wait_for_turn(c);
    if (sigsetjmp(c->root, 1) == 0) {
        leave_if_stopping();
        host_regime(c);
        tell_cpu(c, true);
        c->fn(c->id, c->arg);
        if (c->started) {
            c->pc = SIM_LINEAR_BASE + sim.config.ram_base;
            if (sim.config.hooks.cpu_main != NULL) {
                sim.config.hooks.cpu_main(sim.config.hooks.arg, c->id, c->arg);
            }
        }
    }
    /* Still with the baton, or everybody is leaving: one after the other through the lock. */
    pthread_mutex_lock(&sim.lock);
    user_release(c);
    if (!sim.stopping) {
        tell_cpu(c, false);
    }
    c->state = CPU_DONE;
    sim.live--;
    if (sim.stopping) {
        for (uint32_t i = 0; i < sim.config.cpus; i++) {
            pthread_cond_signal(&sim.cpu[i].turn);
        }
    } else {
        struct cpu *next = choose(NULL);
        if (next != NULL) {
            adopt(next);
            pthread_cond_signal(&next->turn);
        }
    }
    if (sim.live == 0) {
        pthread_cond_signal(&sim.rest);
    }
    pthread_mutex_unlock(&sim.lock);
    return NULL;
}

/*
 * All emulated CPUs share one host CPU, the one this thread is on: only one of them runs anyway,
 * and waking a thread on another host CPU takes ten times as long as a switch on the same one.
 * Where the host does not allow it, they run wherever it likes.
 */
static void stay_here(pthread_t thread)
{
    int here = sched_getcpu();
    cpu_set_t set;
    CPU_ZERO(&set);
    if (here >= 0 && here < CPU_SETSIZE) {
        CPU_SET((size_t)here, &set);
        (void)pthread_setaffinity_np(thread, sizeof(set), &set);
    }
}

kc_status_t cpu_start(uint32_t id, machine_cpu_fn fn, void *arg, bool started)
{
    if (id >= sim.config.cpus) {
        return KC_ERR_RANGE;
    }
    struct cpu *c = &sim.cpu[id];
    if (c->state == CPU_READY) {
        return KC_ERR_STATE;
    }
    if (c->has_thread) {
        pthread_join(c->thread, NULL);
        c->has_thread = false;
    }
    c->fn = fn;
    c->arg = arg;
    c->started = started;
    if (pthread_create(&c->thread, NULL, thread_main, c) != 0) {
        return KC_ERR_NOMEM;
    }
    stay_here(c->thread);
    c->has_thread = true;
    c->state = CPU_READY;
    sim.live++;
    return KC_OK;
}

/* ---- a run ---------------------------------------------------------------------------------- */

static void on_watch(int sig)
{
    (void)sig;
    if (self != NULL && sim.cur == self) {
        cpu_end(MACHINE_END_DEADLOCK, "this CPU has made no seam call for a minute of host time",
                NULL);
    }
}

static void wait_for_rest(void)
{
    uint64_t seen = 0;
    uint32_t seconds = 0;
    while (sim.live != 0) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 1;
        if (pthread_cond_timedwait(&sim.rest, &sim.lock, &until) == 0) {
            continue;
        }
        uint64_t now = sim.steps + sim.clean_reads + sim.clean_writes;
        seconds = now == seen ? seconds + 1 : 0;
        seen = now;
        if (seconds >= WATCH_SECONDS && sim.cur->has_thread) {
            seconds = 0;
            pthread_kill(sim.cur->thread, SIGUSR2);
        }
    }
}

void machine_run(const machine_cpu_fn *fn, void *const *arg, uint32_t count,
                 struct machine_result *out)
{
    struct sigaction watch, before;
    memset(&watch, 0, sizeof watch);
    watch.sa_handler = on_watch;
    watch.sa_flags = SA_ONSTACK;
    sigaction(SIGUSR2, &watch, &before);

    memset(&sim.result, 0, sizeof sim.result);
    sim.stopping = false;
    sim.idle = 0;
    pthread_mutex_lock(&sim.lock);
    sim.running = true;
    for (uint32_t i = 0; i < count && i < sim.config.cpus; i++) {
        if (fn[i] != NULL) {
            cpu_start(i, fn[i], arg != NULL ? arg[i] : NULL, false);
        }
    }
    race_begin();
    new_budget();
    struct cpu *first = choose(NULL);
    if (first != NULL) {
        adopt(first);
        pthread_cond_signal(&first->turn);
        wait_for_rest();
    }
    sim.running = false;
    pthread_mutex_unlock(&sim.lock);
    for (uint32_t i = 0; i < sim.config.cpus; i++) {
        struct cpu *c = &sim.cpu[i];
        if (c->has_thread) {
            pthread_join(c->thread, NULL);
            c->has_thread = false;
        }
        c->state = CPU_OFF;
    }
    sim.cur = &sim.cpu[0];
    sim.stopping = false;
    cpu_attend(); /* outside a run there are no interrupts */
    race_end();
    tell_same();
    sim.result.steps = sim.steps;
    sim.result.ticks = sim.ticks;
    sigaction(SIGUSR2, &before, NULL);
    if (out != NULL) {
        *out = sim.result;
    }
}
