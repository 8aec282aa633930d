/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bare-metal body's inline part of kc/plat.h: everything that is one or two instructions.
 * Contracts stand in kc/plat.h. Included by it alone.
 */
#ifndef KC_BODY_H
#define KC_BODY_H

#define KC_BODY_NAME "aarch64"

/* RAM and devices at pa appear at KC_BODY_LINEAR_BASE + pa once the MMU is on (kc/boot.h). */
#define KC_BODY_LINEAR_BASE 0xffff000000000000ull

/*
 * True if this CPU translates. Code that runs in the upper half can only run translated, so the
 * usual answer costs no system register.
 */
KC_INLINE bool kc_body_mmu_is_on(void)
{
    uint64_t here, sctlr;
    __asm__ volatile("adr %0, ." : "=r"(here));
    if (KC_LIKELY((int64_t)here < 0)) {
        return true;
    }
    __asm__ volatile("mrs %0, sctlr_el1" : "=r"(sctlr)::"memory");
    return (sctlr & 1) != 0;
}

/* ---- where memory is ------------------------------------------------------------------------ */
#define KC_BODY_INLINE_PTR 1

/* Code that runs low, translated by the identity map or not at all, reaches RAM at its address. */
KC_INLINE void *kc_plat_ram(kc_pa_t pa)
{
    uint64_t here;
    __asm__ volatile("adr %0, ." : "=r"(here));
    return (void *)((int64_t)here < 0 ? KC_BODY_LINEAR_BASE + kc_pa_raw(pa) : kc_pa_raw(pa));
}

KC_INLINE void *kc_plat_low(const void *p)
{
    return (void *)((uint64_t)p & ~KC_BODY_LINEAR_BASE);
}

/* With the MMU off an address has no upper half: one subtraction by mask serves both regimes. */
KC_INLINE kc_pa_t kc_plat_ram_pa(const void *p)
{
    return kc_pa((uint64_t)p & ~KC_BODY_LINEAR_BASE);
}

KC_INLINE void *kc_plat_ptr(kc_va_t va)
{
    return (void *)kc_va_raw(va);
}

KC_INLINE kc_va_t kc_plat_ptr_va(const void *p)
{
    return kc_va((uint64_t)p);
}

KC_INLINE void *kc_plat_uptr(kc_uva_t uva)
{
    return (void *)kc_uva_raw(uva);
}

/* ---- tables --------------------------------------------------------------------------------- */
#define KC_BODY_INLINE_DESC 1

KC_INLINE uint64_t kc_plat_desc_load(kc_pa_t pa)
{
    return __atomic_load_n((const uint64_t *)kc_plat_ram(pa), __ATOMIC_RELAXED);
}

KC_INLINE void kc_plat_desc_store(kc_pa_t pa, uint64_t value)
{
    __atomic_store_n((uint64_t *)kc_plat_ram(pa), value, __ATOMIC_RELAXED);
}

KC_INLINE void kc_plat_desc_fill(kc_pa_t pa, uint32_t count, uint64_t value, uint64_t step)
{
    uint64_t *d = (uint64_t *)kc_plat_ram(pa);
    for (uint32_t i = 0; i < count; i++) {
        __atomic_store_n(&d[i], value, __ATOMIC_RELAXED);
        value += step;
    }
}

/*
 * With the MMU off memory is Device-nGnRnE, where exclusives need not work (DDI 0487 J.a, B2.9.5):
 * then one CPU runs alone, and a plain exchange is atomic.
 */
KC_NODISCARD KC_INLINE bool kc_plat_desc_cas(kc_pa_t pa, uint64_t *expected, uint64_t value)
{
    uint64_t *d = (uint64_t *)kc_plat_ram(pa);
    if (KC_UNLIKELY(!kc_body_mmu_is_on())) {
        uint64_t found = __atomic_load_n(d, __ATOMIC_RELAXED);
        if (found != *expected) {
            *expected = found;
            return false;
        }
        __atomic_store_n(d, value, __ATOMIC_RELAXED);
        return true;
    }
    return __atomic_compare_exchange_n(d, expected, value, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

/* ---- order ---------------------------------------------------------------------------------- */
#define KC_BODY_INLINE_BARRIER 1

#define KC_BODY_BARRIER_CASE_(kind_, text_)   \
    case kind_:                               \
        __asm__ volatile(text_ ::: "memory"); \
        break

KC_INLINE void kc_plat_barrier(enum kc_barrier kind)
{
    switch (kind) {
        KC_BODY_BARRIER_CASE_(KC_DMB_SY, "dmb sy");
        KC_BODY_BARRIER_CASE_(KC_DMB_ST, "dmb st");
        KC_BODY_BARRIER_CASE_(KC_DMB_LD, "dmb ld");
        KC_BODY_BARRIER_CASE_(KC_DMB_ISH, "dmb ish");
        KC_BODY_BARRIER_CASE_(KC_DMB_ISHST, "dmb ishst");
        KC_BODY_BARRIER_CASE_(KC_DMB_ISHLD, "dmb ishld");
        KC_BODY_BARRIER_CASE_(KC_DMB_OSH, "dmb osh");
        KC_BODY_BARRIER_CASE_(KC_DMB_OSHST, "dmb oshst");
        KC_BODY_BARRIER_CASE_(KC_DMB_OSHLD, "dmb oshld");
        KC_BODY_BARRIER_CASE_(KC_DSB_ST, "dsb st");
        KC_BODY_BARRIER_CASE_(KC_DSB_LD, "dsb ld");
        KC_BODY_BARRIER_CASE_(KC_DSB_ISH, "dsb ish");
        KC_BODY_BARRIER_CASE_(KC_DSB_ISHST, "dsb ishst");
        KC_BODY_BARRIER_CASE_(KC_DSB_ISHLD, "dsb ishld");
        KC_BODY_BARRIER_CASE_(KC_DSB_NSH, "dsb nsh");
        KC_BODY_BARRIER_CASE_(KC_DSB_NSHST, "dsb nshst");
        KC_BODY_BARRIER_CASE_(KC_DSB_OSH, "dsb osh");
        KC_BODY_BARRIER_CASE_(KC_DSB_OSHST, "dsb oshst");
        KC_BODY_BARRIER_CASE_(KC_ISB, "isb");
    case KC_DSB_SY:
    case KC_BARRIER_COUNT: /* the strongest, for a kind that does not exist */
    default:
        __asm__ volatile("dsb sy" ::: "memory");
        break;
    }
}

/* ---- what a program at EL0 executes --------------------------------------------------------- */
#define KC_BODY_INLINE_USER 1

/* Only x0 is named as changed: that the kernel keeps all others is relied on. */
KC_INLINE uint64_t kc_plat_user_call(uint64_t x8, uint64_t x0, uint64_t x1, uint64_t x2)
{
    register uint64_t number __asm__("x8") = x8;
    register uint64_t a0 __asm__("x0") = x0;
    register uint64_t a1 __asm__("x1") = x1;
    register uint64_t a2 __asm__("x2") = x2;
    __asm__ volatile("svc #0" : "+r"(a0) : "r"(number), "r"(a1), "r"(a2) : "memory");
    return a0;
}

KC_INLINE void kc_plat_user_undefined(void)
{
    __asm__ volatile("udf #0" ::: "memory");
}

KC_INLINE void kc_plat_user_privileged(void)
{
    __asm__ volatile("msr ttbr0_el1, xzr" ::: "memory");
}

/* ---- CPUs ----------------------------------------------------------------------------------- */
#define KC_BODY_INLINE_CPU 1

/* boot.S puts the CPU's number into TPIDR_EL1 before any C runs. */
KC_INLINE uint32_t kc_plat_cpu(void)
{
    uint64_t cpu;
    __asm__("mrs %0, tpidr_el1" : "=r"(cpu));
    return (uint32_t)cpu;
}

KC_INLINE uint64_t kc_plat_irq_save(void)
{
    uint64_t saved;
    __asm__ volatile("mrs %0, daif\n\tmsr daifset, #3" : "=r"(saved)::"memory");
    return saved;
}

KC_INLINE void kc_plat_irq_restore(uint64_t saved)
{
    __asm__ volatile("msr daif, %0" ::"r"(saved) : "memory");
}

KC_INLINE void kc_plat_relax(void)
{
    __asm__ volatile("yield" ::: "memory");
}

#define KC_BODY_NO_TAGS 1 /* the image does not turn memory tags on */

/* ---- hints and notes ------------------------------------------------------------------------ */
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

/* Nobody watches on metal. */
#define KC_BODY_INLINE_NOTE 1

KC_INLINE void kc_plat_note(enum kc_note kind, uint64_t base, uint64_t size, const void *owner)
{
    (void)kind;
    (void)base;
    (void)size;
    (void)owner;
}

KC_INLINE bool kc_plat_note_heard(uint32_t kinds)
{
    (void)kinds;
    return false;
}

#endif
