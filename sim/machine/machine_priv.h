/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine_priv.h: the one machine of this process, for the files of this directory.
 *
 * Everything here is touched only with the baton held (cpu.c), so nothing is locked.
 */
#ifndef SIM_MACHINE_PRIV_H
#define SIM_MACHINE_PRIV_H

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

#include "machine.h"
#include "mmu.h"

#include "../monitor/monitor.h"

#define PAGE_MASK_LOW (SIM_PAGE_BYTES - 1u)
#define HOST_CHUNK    (UINT64_C(2) << 20) /* most that one host mapping call maps */
#define TOUCH_SLOTS   1024u               /* per-CPU cache of judged pages, exact only */
#define TABLE_ENTRIES 512u
#define SEAM_TICKS    10u /* virtual time of a seam call; of an exact access: 1 */
#define TICKS_HZ      UINT64_C(100000000)

/* ---- TLB ------------------------------------------------------------------------------------ */

struct tlb_record {
    struct sim_tlb_entry e;
    struct tlb_record *next;              /* in its bucket */
    struct tlb_record *prev_in, *next_in; /* in tlb.clean or tlb.stale */
    uint64_t stale_at;                    /* sequence number of the store that made it stale */
};

struct tlb_list {
    struct tlb_record *first, *last;
    uint32_t count;
};

#define TLB_BUCKETS   4096u
#define TLB_CLEAN_MAX 16384u

struct tlb {
    struct tlb_record *bucket[TLB_BUCKETS];
    struct tlb_list clean;
    struct tlb_list stale;
    uint32_t class_count[2][4]; /* [leaf][level] */
};

/* ---- what a CPU is -------------------------------------------------------------------------- */

/* A root table that a CPU's walker uses, or has used since the last invalidation of its ASID. */
struct context {
    struct mmu_regs regs;
    uint64_t root;
    uint64_t left; /* sequence number when it ceased to be current */
    uint32_t half;
    uint16_t asid;
    bool current;
    uint32_t gone_count; /* ranges invalidated since it was left */
    struct {
        uint64_t va, size;
        bool leaves; /* by a last-level form: cached table descriptors stay */
    } gone[16];
};
#define CONTEXTS_MAX 64u

struct tlbi {
    enum kc_tlbi op;
    uint64_t seq;  /* when issued */
    bool everyone; /* Inner Shareable form */
    bool all;      /* every entry; else: */
    bool any_va;   /* ASIDE1 */
    bool any_asid;
    bool last_level;
    uint16_t asid;
    int8_t level; /* of the leaves, as the TTL hint says; 0: no hint; -1: of another granule */
    uint64_t va, size;
};
#define TLBIS_MAX 4096u

struct pending_store {
    uint64_t pa;
    uint64_t old;
};

struct touch {
    uint64_t tag; /* page of the window area, plus one; 0: empty */
    uint64_t pa;
    uint32_t generation;
    uint32_t rights; /* bit 0 read, bit 1 write */
};

/* What a program at EL0 has the machine do next (user.c). */
enum user_wish {
    USER_ACCESS,
    USER_CALL,
    USER_UNDEFINED
};

struct user_request {
    enum user_wish wish;
    enum sim_access_kind kind; /* ACCESS: of n bytes at p */
    const void *p;
    size_t n;
    bool may_yield;
    uint64_t x[3], x8; /* CALL */
};

/* The program that a CPU has at EL0: a second stack of the CPU's host thread. */
struct user {
    struct kc_user_context *of; /* whose it is; NULL: none has begun */
    ucontext_t machine;         /* the kernel, while the program runs */
    ucontext_t program;         /* the program, between two instructions */
    ucontext_t signal;          /* the program within an instruction that the host has refused */
    struct user_request request[2]; /* of program, of signal */
    bool inside;                    /* the program's stack is the one in use */
    bool in_signal;                 /* it goes on in signal, not in program */
    bool pending;                   /* its request has not been granted yet */
    void (*entry)(uint64_t x0);
    uint64_t answer;      /* x0 at its beginning, and of each call */
    stack_t stack_before; /* the thread's own, for signals */
    void *handler_stack;  /* for the host's signals while it runs */
};

enum cpu_state {
    CPU_OFF,
    CPU_READY,
    CPU_DONE
};

struct cpu {
    uint32_t id;
    enum cpu_state state;
    pthread_t thread;
    pthread_cond_t turn;
    sigjmp_buf root;
    machine_cpu_fn fn;
    void *arg;

    uint64_t reg[KC_SYSREG_COUNT]; /* as written */
    struct mmu_regs now;           /* as in effect */
    uint64_t timer_at;
    uint64_t pc; /* address of the pretended text, as this CPU fetches it */
    bool low;    /* inside kc_plat_call_low() */

    struct tlb tlb;
    struct tlb_record amalgam; /* what the last access got of two entries that conflict */
    struct context context[CONTEXTS_MAX];
    struct tlbi tlbi[TLBIS_MAX];
    struct pending_store *pending;      /* descriptor stores since the last DSB that covers them */
    uint64_t delayed_pa, delayed_value; /* mutation: a store that waits for the next barrier */
    struct touch touch[TOUCH_SLOTS];

    uint32_t context_count;
    uint32_t tlbi_count;
    uint32_t pending_count, pending_room;
    uint32_t epoch_all; /* counts DSBs that publish to all CPUs */
    uint32_t epoch_own; /* counts those that publish to this CPU's walker */
    uint32_t ipi;
    uint32_t fault_depth;
    bool has_thread;
    bool started; /* by kc_plat_cpu_start */
    bool irq_masked;
    bool event;
    bool delayed;

    struct user user;
};

/* ---- windows -------------------------------------------------------------------------------- */

struct window {
    uint8_t *host; /* first byte */
    uint64_t bytes;
    uint64_t va;        /* simulated address of the first byte */
    uint64_t *state;    /* per page: what the host maps there, 0: nothing (ram.c) */
    uint64_t low, high; /* pages that may be mapped: [low, high) */
    bool stay;
};

/* Memory tags (tags.c). Behind the windows that machine.h names: the kernel's aliases, from tag 1.
 */
#define SIM_TAGS    (KC_HARDENING >= KC_HARDENING_TAGGED)
#define TAG_GRANULE 16u
#define TAG_COUNT   16u
#define WINDOWS     (3u + (SIM_TAGS ? TAG_COUNT - 1u : 0u))

struct machine {
    bool built;
    struct machine_config config;
    char why[160];

    int memory_fd;
    uint8_t *ram; /* all RAM, flat, for the machine alone */
    uint64_t ram_base, ram_bytes;

    uint8_t *area; /* the windows, one after the other */
    uint64_t area_bytes;
    uint64_t seen_bytes; /* accesses within so much of area are seen (exact): its own, or all */
    struct window window[WINDOWS];
    uint8_t *tags;                    /* of each granule of RAM; NULL: there are none */
    uint32_t alias_log2;              /* distance of aliases of the kernel window */
    uint32_t maps;                    /* host mapping calls since the last wipe */
    uint64_t low_regime, high_regime; /* whose translations the host maps now (native) */

    uint32_t generation; /* bumped when any judged page may be judged otherwise */
    uint64_t seq;
    uint64_t ticks; /* at the last settling of the budget */
    uint64_t steps;
    uint64_t choose_at;                 /* virtual time when it is chosen again who runs */
    int64_t budget, budget_start;       /* time until then, or until an interrupt is due */
    uint64_t clean_reads, clean_writes; /* exact accesses that no monitor had to look at */
    uint64_t told_reads, told_writes;   /* those of them that the monitor has counted */
    uint64_t races_judged, told_races;  /* pairs of accesses of two CPUs; those counted */
    uint64_t random;
    uint64_t walk_random;
    uint64_t entropy;

    struct monitor *monitor;

    struct cpu cpu[SIM_CPUS_MAX];
    struct cpu *cur; /* holder of the baton; CPU 0 outside a run */

    pthread_mutex_t lock;
    pthread_cond_t rest;
    bool running, stopping;
    uint32_t live; /* CPUs READY */
    uint64_t idle; /* waits in a row */
    struct machine_result result;

    bool mutate;
    uint64_t mutate_at;
    enum machine_mutation mutate_how;
    bool mutated;
    struct machine_site_info mutated_site;
    uint64_t site_count[MACHINE_SITES];
};

extern struct machine sim;
extern const bool sim_exact;

/* ---- ram.c ---------------------------------------------------------------------------------- */

kc_status_t ram_create(void);
void ram_destroy(void);

/** Pointer of the machine's own to RAM; NULL if [pa, pa + bytes) is not all RAM. */
void *ram_at(uint64_t pa, uint64_t bytes);

/** Window and address of a host pointer, whatever its tag; NULL if in none. */
struct window *window_of(const void *p, uint64_t *va);

/**
 * Let the host map the page of w (of tag_window()) at va, and as much around it as span allows;
 * user: for EL0.
 */
void host_map(struct window *w, uint64_t va, uint64_t span_va, uint64_t span_bytes,
              uint64_t span_pa, bool writable, bool user);

/** Unmap what of va..va+size-1 the host maps, in every window. */
void host_unmap(uint64_t va, uint64_t size);

/** Unmap everything in a window, or in all (NULL). */
void host_wipe(struct window *w);

/** Native: make sure that what is mapped belongs to the regime of this CPU. */
void host_regime(struct cpu *c);

/** Before this CPU's program runs at EL0: the host maps nothing but what was judged for it. */
void host_regime_user(struct cpu *c);

/* ---- tags.c --------------------------------------------------------------------------------- */

/** The tag that p carries: 0 to 15 in the kernel window and its aliases, above that elsewhere. */
static inline uint64_t tag_of(const void *p)
{
    if (!SIM_TAGS) {
        return UINT64_MAX;
    }
    return ((uintptr_t)p - (uintptr_t)sim.window[SIM_WINDOW_KERNEL].host) >> sim.alias_log2;
}

/** p without its tag. */
static inline const void *tag_strip(const void *p)
{
    uint64_t tag = tag_of(p);
    return (const void *)((uintptr_t)p - (tag < TAG_COUNT ? tag << sim.alias_log2 : 0));
}

static inline uint64_t tag_granule_of(uint64_t pa)
{
    return (pa - sim.ram_base) / TAG_GRANULE;
}

/** True if an access of [p, p + n), at pa and within a page, passes the tag check. */
static inline bool tag_fits(const void *p, uint64_t pa, size_t n)
{
    uint64_t tag = tag_of(p);
    if (tag >= TAG_COUNT) {
        return true; /* unchecked */
    }
    for (uint64_t i = tag_granule_of(pa); i <= tag_granule_of(pa + n - 1); i++) {
        if (sim.tags[i] != tag) {
            return false;
        }
    }
    return true;
}

#if SIM_TAGS
bool tags_create(void);
void tags_destroy(void);

/** The window in which the host maps what p, which w was found for, points at. */
struct window *tag_window(struct window *w, const void *p);

/**
 * Before an access that has been translated: if it fails the tag check, the fault is delivered.
 *
 * may_retry  false: it was retried too often
 *
 * Returns false if it is to be tried again; ends the run if the software has no answer.
 */
bool tag_judge(struct cpu *c, const void *p, uint64_t va, uint64_t pa, uint32_t n, bool write,
               bool may_retry);
#else
static inline bool tags_create(void)
{
    return true;
}
static inline void tags_destroy(void)
{
}
static inline struct window *tag_window(struct window *w, const void *p)
{
    (void)p;
    return w;
}
static inline bool tag_judge(struct cpu *c, const void *p, uint64_t va, uint64_t pa, uint32_t n,
                             bool write, bool may_retry)
{
    (void)c;
    (void)p;
    (void)va;
    (void)pa;
    (void)n;
    (void)write;
    (void)may_retry;
    return true;
}
#endif

/* ---- tlb.c ---------------------------------------------------------------------------------- */

/** The entry (leaf or intermediate) that translates va under asid; stale ones first. */
struct tlb_record *tlb_find(struct cpu *c, uint64_t va, uint16_t asid, bool leaf);

/**
 * A leaf other than r that translates va under asid, too, and that no correct change leaves beside
 * it: of another size (unless FEAT_BBM lets it), or global where r is not. NULL if there is none.
 */
struct tlb_record *tlb_conflict(struct cpu *c, uint64_t va, uint16_t asid,
                                const struct tlb_record *r);

/** Add an entry, or find the equal one. Tells the monitor of a new one. */
struct tlb_record *tlb_insert(struct cpu *c, const struct sim_tlb_entry *e, enum sim_fill fill);

/** Drop what the invalidation reaches; says true if it dropped any. */
void tlb_invalidate(struct cpu *c, const struct tlbi *t);
void tlb_drop_all(struct cpu *c);

/** The descriptor at pa has just been stored: entries of all CPUs that saw another value are stale.
 */
void tlb_descriptor_changed(uint64_t pa, uint64_t va, uint64_t span, bool was_table);

/** Random policy: forget something. */
void tlb_evict_some(struct cpu *c);

/* ---- walker.c ------------------------------------------------------------------------------- */

/** A fresh walk as this CPU's walker may do it now, with the registers given. */
void walker_walk(struct cpu *c, const struct mmu_regs *r, uint64_t va,
                 const struct sim_tlb_entry *from, struct sim_walk *out);

/** The registers of this CPU have changed, or come into effect: note which roots it may walk. */
void walker_contexts(struct cpu *c);

/** A descriptor is about to be stored: old walks through it may be held; then it is done. */
void walker_store(struct cpu *c, uint64_t pa, uint64_t value);

/** This DSB makes the CPU's descriptor stores visible (all: to every CPU, else to its own walker).
 */
void walker_publish(struct cpu *c, bool all);

/** Complete the pending invalidations of c (local ones only, unless `shared`). */
void walker_complete(struct cpu *c, bool shared);

void walker_tlbi(struct cpu *c, enum kc_tlbi op, uint64_t operand);
void walker_reset(void);
void walker_cpu_reset(struct cpu *c);
/** Sequence number of the last store to the descriptor at pa; 0: none that the machine saw. */
uint64_t walker_since(uint64_t pa);
/** Is this page known as a table that some walker may read? */
bool walker_is_table(uint64_t pa);

/* ---- access.c ------------------------------------------------------------------------------- */

/* Where an access goes. */
struct landing {
    uint64_t pa;
    struct tlb_record *entry; /* NULL with the MMU off */
    bool good;                /* the monitors need not be told of the next one like it */
};

/** One access at a simulated address, within one page: translate, judge, tell. False: *f. */
bool access_try(struct cpu *c, uint64_t va, enum sim_access_kind kind, bool el0, uint32_t bytes,
                struct landing *l, struct machine_fault *f);

/** The same, with a fault delivered to the software; false if it had no answer. */
bool access_do(struct cpu *c, uint64_t va, enum sim_access_kind kind, bool el0, uint32_t bytes,
               struct landing *l);

/** The pretended text of this CPU is fetched. */
void access_fetch(struct cpu *c);

/** An access through a host pointer, by the code under test or on its behalf: all of p..p+n-1. */
void access_pointer(const void *p, size_t n, bool write);

/** An access to the tag at p, which has none itself: no tag check. *pa is where. False: no window.
 */
bool access_for_tag(const void *p, bool write, uint64_t *pa);

/** Physical address that a pointer into a window means; its page has been judged. False: no window.
 */
bool access_pa(const void *p, uint64_t *pa);

/** Deliver a fault; returns true if the access may be retried. */
bool access_deliver(struct cpu *c, const struct machine_fault *f);

/* ---- user.c --------------------------------------------------------------------------------- */

/** On the program's stack: an access of it that exact.c has seen. Returns when it may be made. */
void user_access(const void *p, size_t n, bool write, bool may_yield);

/** The same, that the host has refused; from the signal handler. */
void user_host_fault(const void *p, enum sim_access_kind kind);

/** A seam call by a program at EL0, which is no seam call there. Does not return there. */
void user_seam_call(void);

/** At the beginning and at the end of a CPU's thread, by that thread. */
void user_prepare(struct cpu *c);
void user_release(struct cpu *c);

/* ---- native.c ------------------------------------------------------------------------------- */

void native_install(void);
void native_remove(void);

/* ---- cpu.c ---------------------------------------------------------------------------------- */

/** Take an interrupt that is pending on this CPU and not masked; false if there is none. */
bool cpu_interrupt(struct cpu *c);

/** A step at the seam: time passes, interrupts arrive, the baton may move. progress: not a wait. */
void cpu_step(bool progress);

/** The budget is used up at a step: choose again who runs, if it is time. */
void cpu_budget_over(void);

/** Before an access: the same, if it is in a window; and take an interrupt that is due. */
void cpu_before_access(bool in_window);

/** Who runs, its mask, its timer or its IPIs have changed: the budget is to fit (cpu.c, I6). */
void cpu_attend(void);

/** Mask or unmask interrupts on the CPU with the baton: the next step takes what is pending. */
void cpu_mask(struct cpu *c, bool masked);

/** Give the baton away, if anyone else is ready. */
void cpu_yield(void);

KC_NORETURN void cpu_end(enum machine_end end, const char *text, const struct machine_fault *f);
KC_NORETURN void cpu_leave(void);

/** Context synchronisation: registers come into effect. */
void cpu_sync(struct cpu *c);
void cpu_defaults(struct cpu *c);
uint64_t cpu_ticks(void);
uint64_t machine_random(uint64_t *state);
kc_status_t cpu_start(uint32_t id, machine_cpu_fn fn, void *arg, bool started);

/* ---- tell.c: every call of the monitors ----------------------------------------------------- */

void tell_cpu(struct cpu *c, bool on);
void tell_store(struct cpu *c, uint64_t pa, uint64_t old, uint64_t value, enum mon_store_kind kind);
void tell_load(struct cpu *c, uint64_t pa);
void tell_plain(struct cpu *c, uint64_t pa, uint32_t bytes, bool write);
bool tell_is_table(uint64_t pa);
void tell_barrier(struct cpu *c, enum kc_barrier kind);
void tell_sync(struct cpu *c);
void tell_tlbi(struct cpu *c, enum kc_tlbi op, uint64_t operand);
void tell_sysreg(struct cpu *c, enum kc_sysreg reg, uint64_t old, uint64_t value);
void tell_fill(struct cpu *c, const struct tlb_record *r);

/** True if further accesses need not be told until the generation changes. */
bool tell_access(struct cpu *c, const struct tlb_record *r, uint64_t va, uint64_t pa,
                 uint32_t bytes, enum sim_access_kind kind, bool el0);
/** The access is about to fault, MMU on. */
void tell_fault(struct cpu *c, uint64_t va, uint32_t bytes, enum sim_access_kind kind, bool el0);
void tell_note(struct cpu *c, enum kc_note kind, uint64_t base, uint64_t size, const void *owner);
void tell_race(struct cpu *c, const struct mon_race *r);
void tell_same(void);

/** Nobody may rely on pages judged before. */
static inline void machine_rejudge(void)
{
    sim.generation++;
}

#endif
