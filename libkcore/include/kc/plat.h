/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/plat.h: the seam. Everything the core asks of a machine, on one page.
 *
 * Three bodies implement it, bound at link time, without tables of function pointers: sim/host
 * (POSIX), sim/machine (the simulator), arch/aarch64 (bare metal). *Data is core, order is core, a
 * single effect is body*: each function below is one effect. None hides a barrier, an invalidation
 * or a loop; the core states every step, so that the simulator sees it.
 *
 * A body supplies <kc_body.h>. It may define groups of these functions inline there and says so
 * with KC_BODY_INLINE_x; the contract stays the one written here.
 *
 * All functions may be called from any context and with any lock held, unless stated.
 */
#ifndef KC_PLAT_H
#define KC_PLAT_H

#include <kc/addr.h>
#include <kc/status.h>

KC_EXTERN_C_BEGIN

/* ---- kinds ---------------------------------------------------------------------------------- */

/* Barriers: the Arm instruction of that name (DDI 0487, B2.3). */
enum kc_barrier {
    KC_DMB_SY,
    KC_DMB_ST,
    KC_DMB_LD,
    KC_DMB_ISH,
    KC_DMB_ISHST,
    KC_DMB_ISHLD,
    KC_DMB_OSH,
    KC_DMB_OSHST,
    KC_DMB_OSHLD,
    KC_DSB_SY,
    KC_DSB_ST,
    KC_DSB_LD,
    KC_DSB_ISH,
    KC_DSB_ISHST,
    KC_DSB_ISHLD,
    KC_DSB_NSH,
    KC_DSB_NSHST,
    KC_DSB_OSH,
    KC_DSB_OSHST,
    KC_ISB,
    KC_BARRIER_COUNT
};

/* TLB invalidations: the TLBI operation of that name (DDI 0487, C5.5). IS: Inner Shareable. */
enum kc_tlbi {
    KC_TLBI_VMALLE1,
    KC_TLBI_VMALLE1IS,
    KC_TLBI_ASIDE1,
    KC_TLBI_ASIDE1IS,
    KC_TLBI_VAE1,
    KC_TLBI_VAE1IS,
    KC_TLBI_VALE1,
    KC_TLBI_VALE1IS,
    KC_TLBI_VAAE1,
    KC_TLBI_VAAE1IS,
    KC_TLBI_VAALE1,
    KC_TLBI_VAALE1IS,
    KC_TLBI_RVAE1IS, /* range forms need FEAT_TLBIRANGE */
    KC_TLBI_RVALE1IS,
    KC_TLBI_RVAAE1IS,
    KC_TLBI_RVAALE1IS,
    KC_TLBI_VMALLS12E1IS,
    KC_TLBI_ALLE1IS,
    KC_TLBI_IPAS2E1IS,
    KC_TLBI_IPAS2LE1IS,
    KC_TLBI_RIPAS2E1IS,
    KC_TLBI_RIPAS2LE1IS,
    KC_TLBI_ALLE2,
    KC_TLBI_ALLE2IS,
    KC_TLBI_VAE2,
    KC_TLBI_VAE2IS,
    KC_TLBI_VALE2,
    KC_TLBI_VALE2IS,
    KC_TLBI_COUNT
};

/* Cache maintenance of one line by address, or of all instruction caches. */
enum kc_cache_op {
    KC_DC_CVAC,    /* clean to the point of coherency */
    KC_DC_CVAU,    /* clean to the point of unification */
    KC_DC_CIVAC,   /* clean and invalidate to the point of coherency */
    KC_DC_IVAC,    /* invalidate to the point of coherency: destroys dirty data */
    KC_DC_ZVA,     /* zero one DCZID_EL0 block */
    KC_IC_IVAU,    /* invalidate instruction line to the point of unification */
    KC_IC_IALLU,   /* invalidate this CPU's instruction caches; address ignored */
    KC_IC_IALLUIS, /* the same, Inner Shareable */
    KC_CACHE_OP_COUNT
};

/* System registers by their Arm name. Access to one that the machine lacks is a panic. */
enum kc_sysreg {
    KC_SCTLR_EL1,
    KC_TCR_EL1,
    KC_MAIR_EL1,
    KC_TTBR0_EL1,
    KC_TTBR1_EL1,
    KC_ESR_EL1,
    KC_FAR_EL1,
    KC_PAR_EL1,
    KC_CONTEXTIDR_EL1,
    KC_CURRENTEL,
    KC_MIDR_EL1,
    KC_MPIDR_EL1,
    KC_CTR_EL0,
    KC_CLIDR_EL1,
    KC_DCZID_EL0,
    KC_ID_AA64PFR0_EL1,
    KC_ID_AA64ISAR0_EL1,
    KC_ID_AA64MMFR0_EL1,
    KC_ID_AA64MMFR1_EL1,
    KC_ID_AA64MMFR2_EL1,
    KC_SYSREG_COUNT
};

/* Address translation instructions (DDI 0487, C5.6 "AT"). */
enum kc_at {
    KC_AT_S1E1R,
    KC_AT_S1E1W,
    KC_AT_S1E0R,
    KC_AT_S1E0W,
    KC_AT_COUNT
};

/*
 * What the core tells the body about memory. Nothing on metal; the source of truth for the
 * monitors, for Memcheck and for ASan elsewhere. The address in a note is of the kind stated.
 */
enum kc_note {
    KC_NOTE_ALLOC,         /* ptr: these bytes became one live object; contents undefined */
    KC_NOTE_DEFINED,       /* ptr: whoever is given these bytes may rely on what they hold */
    KC_NOTE_FREE,          /* ptr: the object is dead; nobody may touch it */
    KC_NOTE_FRAME_ALLOC,   /* pa: frames handed out, aligned and sized in frames */
    KC_NOTE_FRAME_FREE,    /* pa: frames given back; no TLB may reach them any more */
    KC_NOTE_TABLE,         /* pa: one page became a translation table of owner (a struct kc_pt) */
    KC_NOTE_TABLE_FREE,    /* pa: the page is a table no longer, but not yet reusable */
    KC_NOTE_ROOT,          /* pa: the page is the root table of owner */
    KC_NOTE_STACK,         /* ptr: a stack */
    KC_NOTE_STACK_FREE,    /* ptr */
    KC_NOTE_LOCK_TAKEN,    /* ptr: this CPU now holds the lock at that address; size is its rank */
    KC_NOTE_LOCK_RELEASED, /* ptr: this CPU is about to release it */
    KC_NOTE_PT_LOCK,       /* ptr: that lock protects the tables of owner (a struct kc_pt) */
    KC_NOTE_COUNT
};

/* A failed check, on its way to kc_plat_panic. All strings have static storage. */
struct kc_panic {
    const char *file;
    int line;
    const char *what;  /* the expression, or the kind of misuse */
    const char *text;  /* one sentence for people; may be NULL */
    uint64_t value[2]; /* what was seen and what was expected, where that applies */
};

/*
 * The registers of a program at EL0: loaded by kc_plat_user_run(), and as they were when it came
 * back. A fresh one is all zero but for pc, sp, program and whatever the program expects in x.
 */
struct kc_user_context {
    uint64_t x[31];
    uint64_t sp;     /* a multiple of 16 */
    uint64_t pc;     /* user address of the next instruction */
    uint64_t pstate; /* SPSR_EL1 of the program; of a caller's value only the flags are taken */
    uint64_t tls;    /* TPIDR_EL0 */
    /* What lies at pc, for a body that cannot execute what is in its simulated memory. */
    void (*program)(uint64_t x0);
    uint64_t begun_; /* the body's own */
};

/* Why a program came back. */
enum kc_user_exit_kind {
    KC_USER_CALL,  /* SVC: the next instruction is behind it */
    KC_USER_FAULT, /* another synchronous exception: the instruction has not taken place */
    KC_USER_IRQ,   /* an interrupt, which has been served */
    KC_USER_EXIT_COUNT
};

struct kc_user_exit {
    uint32_t kind; /* enum kc_user_exit_kind */
    uint64_t esr;  /* CALL, FAULT: ESR_EL1 */
    uint64_t far;  /* FAULT: FAR_EL1, where the syndrome says that it holds something */
};

/* What a CPU is started with. */
typedef void (*kc_cpu_entry_fn)(uint32_t cpu, void *arg);

#include <kc_body.h>

/* ---- tables --------------------------------------------------------------------------------- */
#ifndef KC_BODY_INLINE_DESC
/** Load the descriptor at pa (8-byte aligned, in RAM): one single-copy atomic load, relaxed. */
uint64_t kc_plat_desc_load(kc_pa_t pa);

/** Store it: one single-copy atomic store, relaxed. Orders nothing. */
void kc_plat_desc_store(kc_pa_t pa, uint64_t value);

/**
 * Store a run: value, value + step, value + 2 step, ... at pa, pa + 8, ... (count of them, within
 * one page). For filling a table that no walker can reach yet; the order of the stores is free.
 */
void kc_plat_desc_fill(kc_pa_t pa, uint32_t count, uint64_t value, uint64_t step);

/**
 * Replace *expected by value if it is still there: one single-copy atomic operation, acquire and
 * release. False, with *expected made what was found, if it was not.
 */
KC_NODISCARD bool kc_plat_desc_cas(kc_pa_t pa, uint64_t *expected, uint64_t value);
#endif

/* ---- where memory is ------------------------------------------------------------------------ */
#ifndef KC_BODY_INLINE_PTR
/**
 * Pointer to the byte of RAM at pa, good while the present translation regime lasts: with the MMU
 * off, and inside kc_plat_call_low(), the address itself; else the linear map of the kernel. pa is
 * in RAM; not checked.
 */
void *kc_plat_ram(kc_pa_t pa);

/** Physical address of a pointer that kc_plat_ram() gave under the present regime. */
kc_pa_t kc_plat_ram_pa(const void *p);

/** Pointer to the byte at kernel virtual address va. Dereferencing it may fault, as on a machine.
 */
void *kc_plat_ptr(kc_va_t va);

/** Kernel virtual address of a pointer from kc_plat_ptr(), or from kc_plat_ram() with the MMU on.
 */
kc_va_t kc_plat_ptr_va(const void *p);

/** Pointer to the byte at user address uva, for the user access primitives alone. */
void *kc_plat_uptr(kc_uva_t uva);

/** Pointer that reaches the same byte inside kc_plat_call_low(): of RAM, or of the kernel's image.
 */
void *kc_plat_low(const void *p);
#endif

/**
 * Call fn(kc_plat_low(arg)) with program counter, stacks and exception vectors of this CPU at their
 * physical addresses, and come back: the linear map is not needed by the code that runs meanwhile.
 * What TTBR0_EL1 holds is the caller's: an identity map of what fn executes, of its stack, and of
 * what it reaches (kc/tramp.h). Changes no control register but the vectors' base.
 *
 * fn      in the kernel's text; calls only what needs no pointer kept from outside, but those that
 *         kc_plat_low() gave
 * Context: MMU on, interrupts masked, no user space active
 */
void kc_plat_call_low(void (*fn)(void *arg), void *arg);

/* ---- order, TLB, caches, registers ---------------------------------------------------------- */
#ifndef KC_BODY_INLINE_BARRIER
/** Execute that barrier. Also a compiler barrier. */
void kc_plat_barrier(enum kc_barrier kind);
#endif

/** Issue that TLBI with that operand (Xt, as kc/a64/tlbi.h encodes it). Completes at a later DSB.
 */
void kc_plat_tlbi(enum kc_tlbi op, uint64_t operand);

/** Issue one maintenance operation on the line that holds p. Completes at a later DSB. */
void kc_plat_cache(enum kc_cache_op op, const void *p);

/** Read a system register. */
uint64_t kc_plat_sysreg_read(enum kc_sysreg reg);

/** Write one. In effect for certain only after a context synchronisation (ISB) that follows. */
void kc_plat_sysreg_write(enum kc_sysreg reg, uint64_t value);

/** Execute that AT for va. The answer is in PAR_EL1 after an ISB. False: this body has no MMU. */
KC_NODISCARD bool kc_plat_at(enum kc_at op, uint64_t va);

/* ---- devices -------------------------------------------------------------------------------- */
/** Read a device register of width 1, 2, 4 or 8 bytes, naturally aligned: one access, not merged.
 */
uint64_t kc_plat_mmio_read(kc_va_t va, uint32_t width);

/** Write one. */
void kc_plat_mmio_write(kc_va_t va, uint32_t width, uint64_t value);

/* ---- user access ---------------------------------------------------------------------------- */
/**
 * Copy n bytes between user and kernel memory with user permission.
 *
 * Returns the number of bytes *not* copied: exact to the byte, 0 if all were. A fault never
 * propagates. The destination beyond what was copied is untouched (kc/ucopy.h does the zeroing and
 * all checks of the range).
 * Context: not with a spinlock held.
 */
KC_NODISCARD size_t kc_plat_user_read(void *to, kc_uva_t from, size_t n);
KC_NODISCARD size_t kc_plat_user_write(kc_uva_t to, const void *from, size_t n);

/* ---- programs at EL0 ------------------------------------------------------------------------ */
/**
 * Where the code of a program lies that this body was built with.
 *
 * program   a function of it
 * text      out: whole pages of RAM that hold its code and nothing else, which the linear map has
 *           read-only and never executable; instruction caches hold nothing older of them
 * entry     out: bytes from text to where the function begins
 *
 * Errors:  KC_ERR_ABSENT       there is no such code
 *          KC_ERR_UNSUPPORTED  this body has no EL0
 */
KC_NODISCARD kc_status_t kc_plat_user_text(void (*program)(uint64_t x0), kc_pa_range_t *text,
                                           uint64_t *entry);

/**
 * Run a program at EL0 in the space that is active on this CPU, with interrupts open and without
 * floating point, until its next exception of any kind.
 *
 * u     loaded, and saved when the program comes back; pc is then what ELR_EL1 was
 * why   out: what brought it back; untouched on error
 *
 * A fault is not judged: the caller makes the access good and runs it on, or gives it up. No
 * register, counter or device but those in u reaches the program. A CPU has one program at a time:
 * it is run on where it began, and beginning another ends it.
 *
 * Errors:  KC_ERR_STATE        the MMU is off, or u had begun and another has begun here since
 *          KC_ERR_UNSUPPORTED  this body has no EL0
 * Context: no lock held; interrupts as they were before when it returns
 */
KC_NODISCARD kc_status_t kc_plat_user_run(struct kc_user_context *u, struct kc_user_exit *why);

#ifndef KC_BODY_INLINE_USER
/*
 * What a program at EL0 executes: for its code alone, to be compiled into it. Elsewhere a panic,
 * or what the machine says.
 */
/** SVC #0 with these in x8, x0, x1 and x2. Returns x0; all other registers are kept. */
uint64_t kc_plat_user_call(uint64_t x8, uint64_t x0, uint64_t x1, uint64_t x2);

/** UDF: an instruction that no CPU has. */
void kc_plat_user_undefined(void);

/** Write TTBR0_EL1, which EL0 may not. */
void kc_plat_user_privileged(void);
#endif

/* ---- CPUs ----------------------------------------------------------------------------------- */
#ifndef KC_BODY_INLINE_CPU
/** Number of this CPU, 0 to KC_CPUS_MAX - 1; stable only while it cannot migrate. */
uint32_t kc_plat_cpu(void);

/**
 * Mask interrupts on this CPU; returns what kc_plat_irq_restore() needs. Nests.
 *
 * From the outermost save to its restore the number of this CPU is stable, and nobody else runs
 * under it: what belongs to a number is used in between without a lock or an atomic. A machine
 * gives that by itself; a body whose CPUs are threads sees to it (docs/porting.md).
 */
uint64_t kc_plat_irq_save(void);
void kc_plat_irq_restore(uint64_t saved);

/** Hint in a spin loop. In the simulator another CPU may run. */
void kc_plat_relax(void);
#endif

#ifndef KC_BODY_INLINE_IRQ
/**
 * The same in two steps, for functions so short that what is rarely to be done beside would show:
 * where the first answers false, the second must follow, and gets what the first was told or gave.
 */
KC_INLINE bool kc_plat_irq_save_quick(uint64_t *saved)
{
    *saved = kc_plat_irq_save();
    return true;
}

KC_INLINE uint64_t kc_plat_irq_save_rest(uint64_t saved)
{
    return saved;
}

KC_INLINE bool kc_plat_irq_restore_quick(uint64_t saved)
{
    kc_plat_irq_restore(saved);
    return true;
}

KC_INLINE void kc_plat_irq_restore_rest(uint64_t saved)
{
    (void)saved;
}
#endif

/** Send an event to all CPUs (SEV); wait for one (WFE: may return at any time). */
void kc_plat_event(void);
void kc_plat_wait(void);

/**
 * Start a CPU that is off. With the MMU and caches off, interrupts masked and a stack of the body's
 * it calls entry(cpu, arg), arg being the pointer that reaches the same byte with the MMU off;
 * entry turns the MMU on (an identity map must cover the kernel) and returns. The body then moves
 * to the linear map and calls kc_kernel_cpu_main(cpu, arg) (kernel.h) with arg as it was given
 * here. What entry reads must have been cleaned to the point of coherency.
 *
 * arg     a pointer from kc_plat_ram(), or to static storage of the kernel
 *
 * Errors:  KC_ERR_RANGE  there is no such CPU
 *          KC_ERR_STATE  it is on already
 *          KC_ERR_UNSUPPORTED  this body cannot start CPUs
 */
KC_NODISCARD kc_status_t kc_plat_cpu_start(uint32_t cpu, kc_cpu_entry_fn entry, void *arg);

/** Stop this CPU. Does not return. */
KC_NORETURN void kc_plat_cpu_off(void);

/** Interrupt every CPU whose bit is set in mask; each then calls kc_kernel_ipi() (kernel.h). */
void kc_plat_ipi(uint64_t mask);

/* ---- console, time, chance ------------------------------------------------------------------ */
/** Write n bytes to the console, as they are. */
void kc_plat_console(const char *text, size_t n);

/** A counter that never goes back on one CPU, and its rate, which does not change. */
uint64_t kc_plat_ticks(void);
uint64_t kc_plat_ticks_hz(void);

/**
 * A stopwatch for what the code itself takes, in nanoseconds from any beginning; compared only with
 * readings on the same CPU. Nothing may depend on it but figures that people read: in the simulator
 * it is the host's clock, the one thing that differs between runs of one seed.
 */
uint64_t kc_plat_stopwatch_ns(void);

/** Interrupt this CPU when kc_plat_ticks() reaches that value; UINT64_MAX disarms. */
void kc_plat_timer(uint64_t at_ticks);

/** 64 random bits; false if the machine has none to give (then *out is untouched). */
KC_NODISCARD bool kc_plat_entropy(uint64_t *out);

/* ---- memory tags and hints ------------------------------------------------------------------ */
/* A body without memory tags says KC_BODY_NO_TAGS, and has these from here. */
#ifndef KC_BODY_NO_TAGS
/** Bytes that share a memory tag: 16 with MTE, 0 where there are no tags. */
uint32_t kc_plat_tag_granule(void);

/** Give the granules of p..p+n-1 the tag (0 to 15) and return p carrying it. */
void *kc_plat_tag_set(void *p, size_t n, uint32_t tag);

/** The tag of the granule at p, whatever p carries; 0 where memory has none. */
uint32_t kc_plat_tag_get(const void *p);

/** p carrying that tag; with 0, as kc_plat_ram() gives pointers. p itself where there are none. */
void *kc_plat_tag_with(const void *p, uint32_t tag);
#else
KC_INLINE uint32_t kc_plat_tag_granule(void)
{
    return 0;
}

KC_INLINE void *kc_plat_tag_set(void *p, size_t n, uint32_t tag)
{
    (void)n;
    (void)tag;
    return p;
}

KC_INLINE uint32_t kc_plat_tag_get(const void *p)
{
    (void)p;
    return 0;
}

KC_INLINE void *kc_plat_tag_with(const void *p, uint32_t tag)
{
    (void)tag;
    return (void *)(uintptr_t)p;
}
#endif

/*
 * The compiler forgets what it knows of x, an integer variable: so that it keeps no address made of
 * it for two accesses that can do without. Bodies that know how to say so define it.
 */
#ifndef KC_FORGET
#define KC_FORGET(x) ((void)(x))
#endif

#ifndef KC_BODY_INLINE_HINT
/** The line at p will soon be read, or written. Never faults. */
void kc_plat_prefetch(const void *p);
void kc_plat_prefetch_write(void *p);
#endif

/* ---- telling and stopping ------------------------------------------------------------------- */
#ifndef KC_BODY_INLINE_NOTE
/**
 * Tell the body what has just become true (what is about to end, for FREE, TABLE_FREE, STACK_FREE
 * and LOCK_RELEASED). base is a physical address or a pointer, as the kind says; size in bytes;
 * owner may be NULL.
 */
void kc_plat_note(enum kc_note kind, uint64_t base, uint64_t size, const void *owner);

/**
 * True if notes of one of these kinds have an effect now: bit k of kinds is kind k. Short paths ask
 * first, and leave the telling to a twin of theirs; asking is not needed before kc_plat_note().
 * While somebody begins or ends to listen, either answer is right. Cost: a load and a branch at
 * most. Context: any.
 */
bool kc_plat_note_heard(uint32_t kinds);
#endif

#ifndef KC_BODY_INLINE_UNHEARD
/**
 * kc_plat_cpu(); or KC_CPUS_MAX while notes of objects (KC_NOTE_ALLOC, KC_NOTE_FREE) have an
 * effect: so a table of CPUs with one place more, which leads to what tells, asks both at once. A
 * body that can answer in one load has its own.
 */
KC_INLINE uint32_t kc_plat_cpu_unheard(void)
{
    bool heard = kc_plat_note_heard(1u << KC_NOTE_ALLOC | 1u << KC_NOTE_FREE);
    return heard ? KC_CPUS_MAX : kc_plat_cpu();
}
#endif

/** Print what failed and stop for good (a test body may unwind to its test). */
KC_NORETURN KC_COLD void kc_plat_panic(const struct kc_panic *why);

KC_EXTERN_C_END

#endif
