/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * User access of the hosted body: copies that survive a fault on the user's side.
 *
 * U1  The handler acts only while this thread is inside a copy and the fault is inside the user
 *     range of that copy; every other fault goes to whoever handled it before, or kills.
 * U2  A copy goes chunk by chunk, no chunk crossing a page of user memory, and `done` grows after a
 *     chunk is complete. A page is accessible as a whole or not at all, so a fault comes from the
 *     first byte of a chunk: nothing of that chunk was copied and `done` is exact.
 * U3  What the handler reads is written before the copy's first access and cleared after its last:
 *     the compiler may know that the copy does not read it, and would move both but for the
 *     fences.
 * U4  The escape leaves the signal mask as it was at the fault. Our handler blocks nothing, but a
 *     sanitizer's may stand before it and block all; saving a mask at each copy would cost more.
 * U5  Memcheck judges the kernel's side as a whole before the copy and says nothing during it: the
 *     user's side may be anything, and that is no error.
 *
 * si_addr is 0 where the address has no translation at all (x86: not canonical, a general
 * protection fault); those are ours if the user range holds such addresses, which the handler
 * decides by the chunk at hand.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "host_priv.h"
#include <kc/assert.h>

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_DISABLE_ERROR_REPORTING          ((void)0)
#define VALGRIND_ENABLE_ERROR_REPORTING           ((void)0)
#define VALGRIND_CHECK_MEM_IS_ADDRESSABLE(p_, n_) ((void)(p_), (void)(n_))
#endif

#define PAGE_BYTES 4096u /* the smallest that any host has: U2 holds for larger ones too */

struct copy {
    sigjmp_buf escape;
    volatile uintptr_t user; /* the chunk at hand */
    volatile size_t n;
};

static __thread struct copy *volatile current;
static struct sigaction before_segv;
static struct sigaction before_bus;
static pthread_once_t installed = PTHREAD_ONCE_INIT;

static void chain(const struct sigaction *to, int signal, siginfo_t *info, void *context)
{
    if ((to->sa_flags & SA_SIGINFO) != 0) {
        to->sa_sigaction(signal, info, context);
    } else if (to->sa_handler == SIG_DFL || to->sa_handler == SIG_IGN) {
        sigaction(signal, to, NULL); /* return to the access, which then faults for good */
    } else {
        to->sa_handler(signal);
    }
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    struct copy *c = current;
    if (c != NULL) {
        uintptr_t at = (uintptr_t)info->si_addr;
        bool untranslatable = at == 0 && info->si_code > 0;
        if (untranslatable || host_tag_strip(at) - host_tag_strip(c->user) < c->n) { /* U1 */
            const ucontext_t *interrupted = context;
            current = NULL;
            pthread_sigmask(SIG_SETMASK, &interrupted->uc_sigmask, NULL); /* U4 */
            siglongjmp(c->escape, 1);
        }
    }
    chain(signal == SIGSEGV ? &before_segv : &before_bus, signal, info, context);
}

static void install(void)
{
    struct sigaction a;
    memset(&a, 0, sizeof(a));
    a.sa_sigaction = on_fault;
    a.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&a.sa_mask);
    sigaction(SIGSEGV, &a, &before_segv);
    sigaction(SIGBUS, &a, &before_bus);
}

/*
 * memcpy, but no sanitizer's: those look an address up in a table of theirs first, and for an
 * address that nobody has they fault there. Volatile, or the compiler would make a memcpy of it.
 */
typedef uint64_t __attribute__((aligned(1), may_alias)) any_word;

__attribute__((noinline, no_sanitize("address", "thread", "undefined"))) static void
copy_chunk(unsigned char *to, const unsigned char *from, size_t n)
{
    size_t i = 0;
    for (; n - i >= sizeof(any_word); i += sizeof(any_word)) {
        *(volatile any_word *)(to + i) = *(const volatile any_word *)(from + i);
    }
    for (; i < n; i++) {
        ((volatile unsigned char *)to)[i] = ((const volatile unsigned char *)from)[i];
    }
}

/* One copy, of which either side is user memory at `user`. Returns what was not copied. */
static size_t copy(unsigned char *to, const unsigned char *from, uintptr_t user, size_t n)
{
    struct copy c;
    volatile size_t done = 0;
    pthread_once(&installed, install);
    (void)VALGRIND_CHECK_MEM_IS_ADDRESSABLE((uintptr_t)to == user ? from : to, n);
    VALGRIND_DISABLE_ERROR_REPORTING; /* U5 */
    if (sigsetjmp(c.escape, 0) == 0) {
        while (done < n) {
            size_t chunk = PAGE_BYTES - ((user + done) & (PAGE_BYTES - 1));
            if (chunk > n - done) {
                chunk = n - done;
            }
            c.user = user + done;
            c.n = chunk;
            current = &c;
            __atomic_signal_fence(__ATOMIC_SEQ_CST); /* U3 */
            copy_chunk((unsigned char *)((uintptr_t)to + done),
                       (const unsigned char *)((uintptr_t)from + done), chunk);
            __atomic_signal_fence(__ATOMIC_SEQ_CST); /* U3 */
            current = NULL;
            done = done + chunk; /* U2 */
        }
    }
    VALGRIND_ENABLE_ERROR_REPORTING;
    return n - done;
}

size_t kc_plat_user_read(void *to, kc_uva_t from, size_t n)
{
    const unsigned char *p = kc_plat_uptr(from);
    return copy(to, p, (uintptr_t)p, n);
}

size_t kc_plat_user_write(kc_uva_t to, const void *from, size_t n)
{
    unsigned char *p = kc_plat_uptr(to);
    return copy(p, from, (uintptr_t)p, n);
}

/* ---- programs at EL0: there is one level of privilege in a process --------------------------- */

kc_status_t kc_plat_user_text(void (*program)(uint64_t x0), kc_pa_range_t *text, uint64_t *entry)
{
    (void)program;
    (void)text;
    (void)entry;
    return KC_ERR_UNSUPPORTED;
}

kc_status_t kc_plat_user_run(struct kc_user_context *u, struct kc_user_exit *why)
{
    (void)u;
    (void)why;
    return KC_ERR_UNSUPPORTED;
}

uint64_t kc_plat_user_call(uint64_t x8, uint64_t x0, uint64_t x1, uint64_t x2)
{
    (void)x8;
    (void)x0;
    (void)x1;
    (void)x2;
    KC_PANIC("a system call where there is no EL0");
}

void kc_plat_user_undefined(void)
{
    KC_PANIC("an instruction of EL0's where there is no EL0");
}

void kc_plat_user_privileged(void)
{
    KC_PANIC("an instruction of EL0's where there is no EL0");
}
