/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * user.c: programs at EL0.
 *
 * Nouns. A *program* is host code that stands for what lies at its pc; the machine cannot execute
 * simulated memory. It runs in a *protected window*: a second stack of the CPU's host thread, which
 * lies in the user window at the simulated stack pointer, so that its stack, too, is memory of its
 * space. What it does reaches the machine as a *request*: an access that exact.c sees, or that the
 * host refuses (nothing is mapped that was not judged for EL0), a call, an undefined instruction.
 * A request is granted, or it brings the program back to the kernel, as an exception does.
 *
 *     kc_plat_user_run --resume--> program --request--> grant --resume--> ...
 *            ^                                            |
 *            +------------ call, fault, interrupt --------+
 *
 * All of the machine runs on the kernel's side of the switch: on the program's stack there is
 * nothing but the program and the few lines that switch.
 *
 * Invariants
 *   I1  user.inside is set exactly while the host executes on the program's stack, or in the signal
 *       handler that interrupted it; then seen_bytes covers everything.
 *   I2  whenever the program goes on, the host's mappings of the user window are those that were
 *       judged for EL0, in the space of this CPU (host_regime_user), and touch[] holds nothing that
 *       was judged for EL1.
 *   I3  an access is granted whole or not at all, before any part of it is made.
 *   I4  a request in a signal handler is granted before the one beneath it: a switch of stacks
 *       itself may touch a page of the program's stack for the first time.
 *   I5  a program that is brought back in an access makes that access again when it is resumed.
 *
 * What is not seen: at native speed, reads and writes of host memory outside the windows, and
 * interrupts between two requests. At exact speed such an access is a translation fault at the
 * host's address, for nothing is there in the program's space. pc stays where the program began.
 *
 * Sources: DDI 0487 J.a, D1.3 "Exceptions", D17.2.37 "ESR_EL1".
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "machine_priv.h"

#define ESR_UNDEFINED  KC_BIT(25) /* EC 0: unknown reason; IL */
#define ESR_SVC        (KC_BIT(25) | UINT64_C(0x15) << 26)
#define HANDLER_BYTES  ((size_t)256 << 10)
#define STACK_TOP      64u       /* what the first frame of a program takes */
#define HOST_STACK_MIN KC_KIB(1) /* makecontext() wants to know a size */

/* ---- on the program's side ------------------------------------------------------------------ */

static struct user *mine(void)
{
    return &sim.cur->user;
}

/* To the machine with request number i; returns when it has been granted. */
static void ask(struct user *u, uint32_t i)
{
    swapcontext(i == 0 ? &u->program : &u->signal, &u->machine);
}

void user_access(const void *p, size_t n, bool write, bool may_yield)
{
    struct user *u = mine();
    u->request[0] = (struct user_request){.wish = USER_ACCESS,
                                          .kind = write ? SIM_WRITE : SIM_READ,
                                          .p = p,
                                          .n = n,
                                          .may_yield = may_yield};
    ask(u, 0);
}

void user_host_fault(const void *p, enum sim_access_kind kind)
{
    struct user *u = mine();
    u->request[1] =
        (struct user_request){.wish = USER_ACCESS, .kind = kind, .p = p, .n = 1, .may_yield = true};
    u->in_signal = true;
    ask(u, 1);
}

static void undefined(void)
{
    struct user *u = mine();
    for (;;) { /* resumed, it is undefined again */
        u->request[0] = (struct user_request){.wish = USER_UNDEFINED};
        ask(u, 0);
    }
}

void user_seam_call(void)
{
    undefined();
}

static KC_NORETURN void not_at_el0(const char *what)
{
    const struct kc_panic why = {__FILE__, __LINE__, what, "not at EL0", {0, 0}};
    kc_plat_panic(&why);
}

uint64_t kc_plat_user_call(uint64_t x8, uint64_t x0, uint64_t x1, uint64_t x2)
{
    struct user *u = mine();
    if (!u->inside) {
        not_at_el0("kc_plat_user_call");
    }
    u->request[0] = (struct user_request){.wish = USER_CALL, .x = {x0, x1, x2}, .x8 = x8};
    ask(u, 0);
    return u->answer;
}

void kc_plat_user_undefined(void)
{
    if (!mine()->inside) {
        not_at_el0("kc_plat_user_undefined");
    }
    undefined();
}

void kc_plat_user_privileged(void)
{
    if (!mine()->inside) {
        not_at_el0("kc_plat_user_privileged");
    }
    undefined(); /* so is a write to a register of EL1 (D1.3.2, "UNDEFINED at EL0") */
}

/* First on a program's stack. Its return address is 0, as x30 of a fresh context is. */
static void begin_here(void)
{
    struct user *u = mine();
    u->entry(u->answer);
    for (;;) {
        u->request[0] = (struct user_request){.wish = USER_ACCESS,
                                              .kind = SIM_FETCH,
                                              .p = sim.window[SIM_WINDOW_USER].host,
                                              .n = 4,
                                              .may_yield = true};
        ask(u, 0);
    }
}

/* ---- on the machine's side ------------------------------------------------------------------ */

/* The host's signals find a stack of their own exactly while a program runs. */
static void handler_stack(struct user *u, bool on)
{
    const stack_t s = {
        .ss_sp = u->handler_stack, .ss_size = HANDLER_BYTES, .ss_flags = on ? 0 : SS_DISABLE};
    sigaltstack(&s, NULL);
}

static void resume(struct cpu *c)
{
    struct user *u = &c->user;
    ucontext_t *to = u->in_signal ? &u->signal : &u->program;
    host_regime_user(c); /* I2 */
    handler_stack(u, true);
    sim.seen_bytes = UINT64_MAX;
    u->in_signal = false;
    u->inside = true; /* I1 */
    swapcontext(&u->machine, to);
    u->inside = false;
    cpu_attend(); /* what is seen */
    handler_stack(u, false);
    u->pending = true;
}

/* What the thread had before is its own again afterwards: a sanitizer may have set one. */
void user_prepare(struct cpu *c)
{
    const stack_t none = {.ss_flags = SS_DISABLE};
    sigaltstack(&none, &c->user.stack_before);
}

void user_release(struct cpu *c)
{
    sigaltstack(&c->user.stack_before, NULL);
    free(c->user.handler_stack);
    c->user = (struct user){0};
    sim.seen_bytes = sim.area_bytes; /* the run may have been ended at EL0 */
}

static bool refuse(struct cpu *c, uint64_t va, enum sim_access_kind kind, uint32_t fsc,
                   struct machine_fault *f)
{
    *f = (struct machine_fault){.esr = mmu_syndrome(kind, true, fsc), .far = va, .cpu = c->id};
    return false;
}

/* A part of an access within one page; false: *f. */
static bool grant_part(struct cpu *c, const uint8_t *p, enum sim_access_kind kind, uint32_t n,
                       struct machine_fault *f)
{
    uint64_t va;
    struct landing l;
    struct window *w = window_of(p, &va);
    if (w == NULL || w == &sim.window[SIM_WINDOW_PHYS]) {
        return refuse(c, (uintptr_t)p, kind, MMU_FSC_TRANSLATION, f);
    }
    if (!access_try(c, va, kind, true, n, &l, f)) {
        return refuse(c, va, kind, (uint32_t)f->esr & 0x3f, f);
    }
    const struct sim_tlb_entry *e = &l.entry->e;
    bool writable = mmu_judge(&c->now, e->perm, e->level, SIM_WRITE, true) == 0;
    host_map(tag_window(w, p), va, e->va, e->size, e->pa, writable, true);
    return true;
}

/* I3 */
static bool grant_access(struct cpu *c, const struct user_request *r, struct machine_fault *f)
{
    const uint8_t *p = r->p;
    size_t left = r->n;
    host_regime_user(c);
    while (left != 0) {
        size_t part = SIM_PAGE_BYTES - (size_t)((uintptr_t)p & PAGE_MASK_LOW);
        part = part < left ? part : left;
        if (!grant_part(c, p, r->kind, (uint32_t)part, f)) {
            return false;
        }
        p += part;
        left -= part;
    }
    return true;
}

static void leave_by_fault(struct cpu *c, const struct machine_fault *f, struct kc_user_exit *why)
{
    c->reg[KC_ESR_EL1] = f->esr;
    c->reg[KC_FAR_EL1] = f->far;
    *why = (struct kc_user_exit){.kind = KC_USER_FAULT, .esr = f->esr, .far = f->far};
}

/* What the program wants: true if it may go on, else it comes back for *why. */
static bool grant(struct cpu *c, struct kc_user_exit *why)
{
    struct user *u = &c->user;
    const struct user_request *r = &u->request[u->in_signal ? 1 : 0];
    struct machine_fault f = {.esr = ESR_UNDEFINED, .far = c->reg[KC_FAR_EL1], .cpu = c->id};
    if (r->wish == USER_CALL) {
        u->of->x[0] = r->x[0];
        u->of->x[1] = r->x[1];
        u->of->x[2] = r->x[2];
        u->of->x[8] = r->x8;
        c->reg[KC_ESR_EL1] = ESR_SVC;
        *why = (struct kc_user_exit){.kind = KC_USER_CALL, .esr = ESR_SVC};
        u->pending = false;
        return false;
    }
    if (r->wish == USER_UNDEFINED) {
        leave_by_fault(c, &f, why);
        u->pending = false; /* it asks again */
        return false;
    }
    sim.idle = 0;
    if (sim.budget <= 0 && r->may_yield) {
        cpu_budget_over();
    }
    if (cpu_interrupt(c)) {
        *why = (struct kc_user_exit){.kind = KC_USER_IRQ};
        return false; /* I5 */
    }
    struct machine_fault none = f;
    if (!grant_access(c, r, &f)) {
        leave_by_fault(c, &f, why);
        return false; /* I5 */
    }
    if (r->kind == SIM_FETCH) { /* may be fetched, but is nothing that the host could execute */
        leave_by_fault(c, &none, why);
        return false;
    }
    u->pending = false;
    return true;
}

/* An access of the program's that it has not asked for itself. */
static bool grant_at(struct cpu *c, uint64_t va, enum sim_access_kind kind, uint32_t n,
                     struct kc_user_exit *why)
{
    const struct window *w = &sim.window[SIM_WINDOW_USER];
    const struct user_request r = {.kind = kind, .p = w->host + va, .n = n};
    struct machine_fault f;
    bool good = kc_range_covers(w->va, w->bytes, va, n)
                    ? grant_access(c, &r, &f)
                    : refuse(c, va, kind, MMU_FSC_TRANSLATION, &f);
    if (!good) {
        leave_by_fault(c, &f, why);
    }
    return good;
}

/* The first instruction is fetched, and the first frame is made where the program's stack is. */
static bool begin(struct cpu *c, struct kc_user_context *context, struct kc_user_exit *why)
{
    struct user *u = &c->user;
    uint64_t sp = context->sp & ~(uint64_t)15;
    uint8_t *top = sim.window[SIM_WINDOW_USER].host + sp;
    if (!grant_at(c, sp - STACK_TOP, SIM_WRITE, STACK_TOP, why)) {
        return false;
    }
    getcontext(&u->program);
    u->program.uc_link = NULL;
    u->program.uc_stack.ss_sp = top - HOST_STACK_MIN;
    u->program.uc_stack.ss_size = HOST_STACK_MIN;
    makecontext(&u->program, begin_here, 0);
    u->of = context;
    u->entry = context->program;
    u->in_signal = false;
    u->pending = false;
    context->begun_ = 1;
    return true;
}

static void run(struct cpu *c, struct kc_user_context *context, struct kc_user_exit *why)
{
    struct user *u = &c->user;
    machine_rejudge(); /* I2: touch[] */
    if (!grant_at(c, context->pc, SIM_FETCH, 4, why) ||
        (context->begun_ == 0 && !begin(c, context, why))) {
        return;
    }
    u->answer = context->x[0];
    while (!u->pending || grant(c, why)) {
        resume(c);
    }
}

/* Pretended, like the kernel's: fetched where the program begins. */
kc_status_t kc_plat_user_text(void (*program)(uint64_t x0), kc_pa_range_t *text, uint64_t *entry)
{
    cpu_step(true);
    if (sim.config.program_bytes == 0 || program == NULL) {
        return KC_ERR_ABSENT;
    }
    *text = (kc_pa_range_t){.base = kc_pa(sim.config.ram_base + sim.config.text_bytes),
                            .size = sim.config.program_bytes};
    *entry = 0;
    return KC_OK;
}

kc_status_t kc_plat_user_run(struct kc_user_context *context, struct kc_user_exit *why)
{
    cpu_step(true);
    struct cpu *c = sim.cur;
    struct user *u = &c->user;
    access_pointer(context, sizeof *context, true);
    if (!mmu_is_on(&c->now) || (context->begun_ != 0 && u->of != context)) {
        return KC_ERR_STATE;
    }
    if (u->handler_stack == NULL) {
        u->handler_stack = malloc(HANDLER_BYTES);
    }
    if (u->handler_stack == NULL) {
        cpu_end(MACHINE_END_STOPPED, "the host has no memory for a program's signals", NULL);
    }
    bool masked = c->irq_masked;
    tell_sync(c); /* ERET */
    cpu_sync(c);
    cpu_mask(c, false);
    run(c, context, why);
    cpu_mask(c, masked);
    tell_sync(c); /* exception entry */
    cpu_sync(c);
    host_regime(c);
    return KC_OK;
}
