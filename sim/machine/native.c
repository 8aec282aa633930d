/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * native.c: native speed: the host's MMU stands for the TLB.
 *
 * A page of a window that no translation was made for has no host access, so the first touch raises
 * SIGSEGV. The handler finds which simulated access it was, has it translated, judged and told, and
 * lets the host map the page: from then on the code under test runs at the host's own speed, until
 * a TLBI or a change of regime unmaps it.
 *
 * Invariants
 *   I1  only the holder of the baton touches windows, so the handler runs with the baton.
 *   I2  a fault outside the windows is not ours: the handler that was there before gets it.
 *   I4  a program at EL0 is interrupted on a stack of the handler's own, for its own lies in a
 *       window; wherever it touches, it is its access.
 *   I3  a simulated exception is delivered from within the handler, which may nest (SA_NODEFER) and
 *       may be left by a jump when the run ends.
 *
 * Is it a write? x86-64: bit 1 of the page-fault error code. AArch64: WnR in the ESR record of the
 * signal frame. Elsewhere: a page that is mapped already can only have refused a write.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "machine_priv.h"

static struct sigaction before_segv, before_bus;

/* The host's program counter. */
static uintptr_t host_pc(const ucontext_t *u)
{
#if defined(__x86_64__)
    return (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t)u->uc_mcontext.pc;
#else
    (void)u;
    return 0;
#endif
}

static bool is_write(const ucontext_t *u, const struct window *w, uint64_t va)
{
#if defined(__x86_64__)
    (void)w;
    (void)va;
    return (u->uc_mcontext.gregs[REG_ERR] & 2) != 0;
#else
    (void)u;
    return (w->state[(va - w->va) / SIM_PAGE_BYTES] & 1) != 0;
#endif
}

static void hand_on(int sig, siginfo_t *info, void *context)
{
    struct sigaction *before = sig == SIGBUS ? &before_bus : &before_segv;
    if ((before->sa_flags & SA_SIGINFO) != 0 && before->sa_sigaction != NULL) {
        before->sa_sigaction(sig, info, context);
        return;
    }
    signal(sig, SIG_DFL); /* the instruction runs again and ends the process */
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    uint64_t va;
    struct window *w = sim.built ? window_of(info->si_addr, &va) : NULL;
    if (sim.built && sim.cur->user.inside) { /* I4 */
        bool fetch = host_pc(context) == (uintptr_t)info->si_addr;
        bool write = w != NULL && is_write(context, tag_window(w, info->si_addr), va);
        user_host_fault(info->si_addr, fetch ? SIM_FETCH : write ? SIM_WRITE : SIM_READ);
        return;
    }
    if (w == NULL) {
        hand_on(sig, info, context);
        return;
    }
    access_pointer(info->si_addr, 1, is_write(context, tag_window(w, info->si_addr), va));
}

void native_install(void)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_sigaction = on_fault;
    a.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    sigemptyset(&a.sa_mask);
    sigaction(SIGSEGV, &a, &before_segv);
    sigaction(SIGBUS, &a, &before_bus);
}

void native_remove(void)
{
    sigaction(SIGSEGV, &before_segv, NULL);
    sigaction(SIGBUS, &before_bus, NULL);
}
