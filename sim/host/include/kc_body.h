/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc_body.h of the hosted body: what of kc/plat.h is inline over POSIX.
 *
 * Addresses: a kernel virtual address *is* the host's pointer, and so is a user address. RAM is one
 * block of host memory (host_ram.h) at a distance of host_ram_offset from its physical addresses;
 * before host_ram_create() the distance is 0, and a physical address is a pointer.
 *
 * Every seam call that changes something looks at one word, host_watch, which is 0 unless a
 * recording runs (host_record.h), ASan is in the program, Valgrind runs it, or the order of locks
 * is checked (host.h).
 */
#ifndef KC_BODY_H
#define KC_BODY_H

#define KC_BODY_NAME "hosted"

/* Bits of host_watch: who wants to hear of seam calls. */
#define HOST_WATCH_RECORD   1u /* a recording: host_record.h */
#define HOST_WATCH_ASAN     2u /* AddressSanitizer wants allocation notes */
#define HOST_WATCH_MEMCHECK 4u /* Valgrind wants allocation notes */
#define HOST_WATCH_LOCKS    8u /* the order of lock ranks is checked: host_watch_locks() */

/* Kinds of recorded seam call; what a, b and c are. */
enum host_call {
    HOST_DESC_STORE,   /* pa, value, - */
    HOST_DESC_FILL,    /* pa, value, count */
    HOST_DESC_CAS,     /* pa, value, 1 if it was stored, 0 if not */
    HOST_BARRIER,      /* enum kc_barrier, -, - */
    HOST_TLBI,         /* enum kc_tlbi, operand, - */
    HOST_CACHE,        /* enum kc_cache_op, pointer, - */
    HOST_SYSREG_WRITE, /* enum kc_sysreg, value, - */
    HOST_MMIO_READ,    /* va, value read, width */
    HOST_MMIO_WRITE,   /* va, value, width */
    HOST_NOTE,         /* enum kc_note, base, size */
    HOST_IPI,          /* mask, -, - */
    HOST_CALL_COUNT
};

/*
 * The body is in the program or library that uses it, and loaded when that is: no table of
 * addresses stands between, and thread-local variables lie at a fixed distance, which what is
 * compiled for programs alone knows already (-fPIE, or neither).
 */
#define HOST_HERE __attribute__((visibility("hidden")))
#if defined(__SANITIZE_THREAD__)
#define HOST_IS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HOST_IS_TSAN 1
#endif
#endif
#if defined(__PIC__) && !defined(__PIE__)
#define HOST_TLS __thread __attribute__((tls_model("initial-exec")))
#else
#define HOST_TLS __thread __attribute__((tls_model("local-exec")))
#endif

/* Private to the body; set through host_ram.h and host_record.h. */
extern HOST_HERE uintptr_t host_ram_offset;
extern HOST_HERE uint32_t host_watch;
extern HOST_HERE HOST_TLS uint32_t host_cpu;
extern HOST_HERE HOST_TLS uint32_t host_cpu_unheard; /* atomic: written by who begins to listen */
void host_record_add(enum host_call call, uint64_t a, uint64_t b, uint64_t c);
void host_note(enum kc_note kind, uint64_t base, uint64_t size, const void *owner);

KC_INLINE void host_seen(enum host_call call, uint64_t a, uint64_t b, uint64_t c)
{
    if (KC_UNLIKELY((__atomic_load_n(&host_watch, __ATOMIC_RELAXED) & HOST_WATCH_RECORD) != 0)) {
        host_record_add(call, a, b, c);
    }
}

/* ---- where memory is: a distance ------------------------------------------------------------ */
#define KC_BODY_INLINE_PTR 1
KC_INLINE void *kc_plat_ram(kc_pa_t pa)
{
    return (void *)((uintptr_t)kc_pa_raw(pa) + host_ram_offset);
}

#if defined(__aarch64__) && defined(__linux__)
void *kc_plat_tag_with(const void *p, uint32_t tag);
#else
#define KC_BODY_NO_TAGS 1
#endif

KC_INLINE kc_pa_t kc_plat_ram_pa(const void *p)
{
#if KC_HARDENING >= KC_HARDENING_TAGGED && !defined(KC_BODY_NO_TAGS)
    p = kc_plat_tag_with(p, 0);
#endif
    return kc_pa((uintptr_t)p - host_ram_offset);
}

KC_INLINE void *kc_plat_ptr(kc_va_t va)
{
    return (void *)(uintptr_t)kc_va_raw(va);
}

KC_INLINE kc_va_t kc_plat_ptr_va(const void *p)
{
    return kc_va((uintptr_t)p);
}

KC_INLINE void *kc_plat_uptr(kc_uva_t uva)
{
    return (void *)(uintptr_t)kc_uva_raw(uva);
}

/* One regime, one address. */
KC_INLINE void *kc_plat_low(const void *p)
{
    return (void *)(uintptr_t)p;
}

/* ---- tables: the host's own 64-bit atomics -------------------------------------------------- */
#define KC_BODY_INLINE_DESC 1
KC_INLINE uint64_t kc_plat_desc_load(kc_pa_t pa)
{
    return __atomic_load_n((const uint64_t *)kc_plat_ram(pa), __ATOMIC_RELAXED);
}

KC_INLINE void kc_plat_desc_store(kc_pa_t pa, uint64_t value)
{
    host_seen(HOST_DESC_STORE, kc_pa_raw(pa), value, 0);
    __atomic_store_n((uint64_t *)kc_plat_ram(pa), value, __ATOMIC_RELAXED);
}

KC_INLINE void kc_plat_desc_fill(kc_pa_t pa, uint32_t count, uint64_t value, uint64_t step)
{
    uint64_t *d = (uint64_t *)kc_plat_ram(pa);
    host_seen(HOST_DESC_FILL, kc_pa_raw(pa), value, count);
    for (uint32_t i = 0; i < count; i++) {
        d[i] = value + i * step;
    }
}

KC_NODISCARD KC_INLINE bool kc_plat_desc_cas(kc_pa_t pa, uint64_t *expected, uint64_t value)
{
    bool stored = __atomic_compare_exchange_n((uint64_t *)kc_plat_ram(pa), expected, value, false,
                                              __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    host_seen(HOST_DESC_CAS, kc_pa_raw(pa), value, stored ? 1 : 0);
    return stored;
}

/* ---- order: nobody walks these tables, so a fence between threads is all there is to keep -----
 */
#define KC_BODY_INLINE_BARRIER 1
KC_INLINE void kc_plat_barrier(enum kc_barrier kind)
{
    host_seen(HOST_BARRIER, (uint64_t)kind, 0, 0);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* ---- CPUs: threads; interrupts arrive where the thread asks for them (host.h) -----------------
 */
#define KC_BODY_INLINE_CPU 1

/*
 * What a thread is as to interrupts, and what kc_plat_irq_save() returns. But for MASKED, it is
 * unmasked, and this says to whom its number belongs (number.c).
 */
#define HOST_IRQ_OPEN   0u /* to it alone */
#define HOST_IRQ_MASKED 1u
#define HOST_IRQ_SHARED 2u /* to several threads, of which one at a time is masked */
#define HOST_IRQ_NEW    3u /* it has none yet */

#define HOST_HALT_NOW   1u /* all are to stop */
#define HOST_HALT_FENCE 2u /* the host gives no membarrier(): who masks executes a fence */

extern HOST_HERE HOST_TLS uint64_t host_irq;
extern HOST_HERE uint64_t
    host_irq_pending;                /* bit n: CPU n has an interrupt, or a timer, to look at */
extern HOST_HERE uint32_t host_halt; /* bits HOST_HALT_*; not 0: who masks looks at them first */
uint64_t host_irq_enter(uint64_t was);
void host_irq_leave(uint64_t saved);

KC_INLINE uint32_t kc_plat_cpu(void)
{
    return host_cpu;
}

#define KC_BODY_INLINE_UNHEARD 1
KC_INLINE uint32_t kc_plat_cpu_unheard(void)
{
    return __atomic_load_n(&host_cpu_unheard, __ATOMIC_RELAXED);
}

/*
 * Acquire load of a word, and whether it is 0. On x86 one instruction with its branch, which
 * compilers do not make of an atomic load; but TSan has to see it.
 */
#if defined(__x86_64__) && !defined(HOST_IS_TSAN)
#define HOST_IS_ZERO(name, compare)                                                              \
    KC_INLINE bool name##_is_zero(void)                                                          \
    {                                                                                            \
        __asm__ goto(compare " $0, %0\n\tjne %l[other]" : : "m"(name) : "cc", "memory" : other); \
        return true;                                                                             \
    other:                                                                                       \
        return false;                                                                            \
    }
#else
#define HOST_IS_ZERO(name, compare)                           \
    KC_INLINE bool name##_is_zero(void)                       \
    {                                                         \
        return __atomic_load_n(&name, __ATOMIC_ACQUIRE) == 0; \
    }
#endif
HOST_IS_ZERO(host_halt, "cmpl")
HOST_IS_ZERO(host_irq_pending, "cmpq")

KC_INLINE bool kc_plat_irq_save_quick(uint64_t *saved)
{
    uint64_t was = host_irq;
    *saved = was;
    __atomic_store_n(&host_irq, HOST_IRQ_MASKED, __ATOMIC_RELAXED);
    /* The store goes before the load for the compiler; for the processor see host_cpus_stop(). */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return KC_LIKELY(was == HOST_IRQ_OPEN) ? KC_LIKELY(host_halt_is_zero())
                                           : was == HOST_IRQ_MASKED;
}

KC_INLINE uint64_t kc_plat_irq_save_rest(uint64_t saved)
{
    return host_irq_enter(saved);
}

KC_INLINE bool kc_plat_irq_restore_quick(uint64_t saved)
{
    /* Release: whoever stops this thread sees all that it did while it was masked. */
    __atomic_store_n(&host_irq, saved, __ATOMIC_RELEASE);
    return KC_LIKELY(saved < HOST_IRQ_SHARED) && KC_LIKELY(host_irq_pending_is_zero());
}

KC_INLINE void kc_plat_irq_restore_rest(uint64_t saved)
{
    host_irq_leave(saved);
}

KC_INLINE uint64_t kc_plat_irq_save(void)
{
    uint64_t saved;
    return KC_LIKELY(kc_plat_irq_save_quick(&saved)) ? saved : kc_plat_irq_save_rest(saved);
}

KC_INLINE void kc_plat_irq_restore(uint64_t saved)
{
    if (KC_UNLIKELY(!kc_plat_irq_restore_quick(saved))) {
        kc_plat_irq_restore_rest(saved);
    }
}

#define KC_BODY_INLINE_IRQ 1

void kc_plat_relax(void);

/* ---- hints ---------------------------------------------------------------------------------- */
#define KC_FORGET(x)        __asm__("" : "+r"(x))

#define KC_BODY_INLINE_HINT 1
KC_INLINE void kc_plat_prefetch(const void *p)
{
    __builtin_prefetch(p, 0);
}

KC_INLINE void kc_plat_prefetch_write(void *p)
{
    __builtin_prefetch(p, 1);
}

/* ---- telling -------------------------------------------------------------------------------- */
#define KC_BODY_INLINE_NOTE 1
KC_INLINE void kc_plat_note(enum kc_note kind, uint64_t base, uint64_t size, const void *owner)
{
    if (KC_UNLIKELY(__atomic_load_n(&host_watch, __ATOMIC_RELAXED) != 0)) {
        host_note(kind, base, size, owner);
    }
}

/* Who listens to notes of these kinds. */
#define HOST_NOTE_LOCKS (1u << KC_NOTE_LOCK_TAKEN | 1u << KC_NOTE_LOCK_RELEASED)
#define HOST_NOTE_WATCHERS(kinds)                               \
    (((kinds) != 0 ? HOST_WATCH_RECORD : 0u) |                  \
     (((kinds)&HOST_NOTE_LOCKS) != 0 ? HOST_WATCH_LOCKS : 0u) | \
     (((kinds) & ~HOST_NOTE_LOCKS) != 0 ? HOST_WATCH_ASAN | HOST_WATCH_MEMCHECK : 0u))

KC_INLINE bool kc_plat_note_heard(uint32_t kinds)
{
#if defined(__x86_64__)
    /* As the load below, but one instruction with its test, which compilers do not make of it. */
    __asm__ goto("testl %1, %0\n\tjne %l[heard]"
                 :
                 : "m"(host_watch), "ri"(HOST_NOTE_WATCHERS(kinds))
                 : "cc"
                 : heard);
    return false;
heard:
    return true;
#else
    return (__atomic_load_n(&host_watch, __ATOMIC_RELAXED) & HOST_NOTE_WATCHERS(kinds)) != 0;
#endif
}

#endif
