/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * kc/tramp.h: the trampoline: turning the MMU on, and changing a mapping that the code in question
 * runs from.
 *
 * Both need a second way to the same memory. The *identity map* is a tree of the lower half that
 * maps memory to its own address. While the MMU goes on it carries the program counter over the
 * moment in which addresses change their meaning. Later it carries every CPU while a leaf of the
 * linear map is broken and made again that holds the kernel's own code, stacks or tables:
 * break-before-make leaves that leaf invalid for a moment, in which nobody may need it.
 *
 *     off ---kc_tramp_mmu_on()---> low, TTBR0 = identity ---body jumps---> high
 *         ---kc_tramp_leave()---> high, TTBR0 = home            (each CPU)
 *         ---kc_tramp_fini()---> the identity map is gone       (one, after all have left)
 *
 *     one CPU:  kc_tramp_init(), _cover() ..., kc_tramp_change(), kc_tramp_fini()
 *     others:   kc_tramp_park()
 *
 * Every step is stated here; the body jumps (kc_plat_call_low()) and has no order of its own.
 */
#ifndef KC_TRAMP_H
#define KC_TRAMP_H

#include <kc/pt.h>

KC_EXTERN_C_BEGIN

/* ---- registers ------------------------------------------------------------------------------ */

/* The registers that every CPU starts its MMU with. A value; read with the MMU off. */
struct kc_tramp_regs {
    uint64_t mair;
    uint64_t tcr;
    uint64_t ttbr0; /* the identity map */
    uint64_t ttbr1; /* the linear map */
    uint64_t sctlr;
};

/**
 * Choose them for two trees: MMU and caches on, write implies no execute, stack alignment checked,
 * and where the format has FEAT_PAN, user memory closed to the kernel on every exception.
 *
 * out   untouched on error
 *
 * Errors: what kc_a64_tcr() and kc_a64_ttbr() say
 */
KC_NODISCARD kc_status_t kc_tramp_choose(const struct kc_pt *identity, const struct kc_pt *linear,
                                         struct kc_tramp_regs *out);

/**
 * Turn the MMU of this CPU on: MAIR, TCR, TTBR0, TTBR1, ISB; TLBI VMALLE1, DSB NSH, ISB; SCTLR,
 * ISB.
 *
 * Context: MMU off, interrupts masked, running in memory that the tree of TTBR0 maps to itself
 */
void kc_tramp_mmu_on(const struct kc_tramp_regs *r);

/**
 * From the identity map to another root, on this CPU: TTBR0, ISB; TLBI VMALLE1, DSB NSH, ISB. On
 * return this CPU's TLB holds nothing of the identity map, whose entries are global.
 *
 * home_ttbr0   value of TTBR0_EL1
 *
 * Context: running in the upper half, interrupts masked or not taken to user memory
 */
void kc_tramp_leave(uint64_t home_ttbr0);

/* ---- a trampoline --------------------------------------------------------------------------- */

/*
 * Private member by member but for `identity`, which may be asked; placed by the caller in memory
 * that the linear and the identity map reach; zeroed before its first use.
 */
struct kc_tramp {
    struct kc_pt identity;
    uint64_t home_ttbr0;
    uint64_t ttbr0;    /* of the identity map, 0 if called off; written before round is odd */
    uint32_t cpus;     /* that take part */
    uint32_t round;    /* odd: a change is under way */
    uint32_t parked;   /* CPUs that are low and need the linear map no more */
    uint32_t released; /* the round whose parked CPUs may go home */
    uint32_t left;     /* CPUs that have left the identity map again */
};

struct kc_tramp_config {
    struct kc_a64_format format; /* of the lower half */
    struct kc_pt_source source;  /* early memory before the MMU, else frames */
    uint64_t home_ttbr0;         /* for changes: what TTBR0 holds outside them; a root that maps
                                    nothing */
    uint32_t cpus;               /* for changes: CPUs that run, 1 to KC_CPUS_MAX */
};

/**
 * Make an identity map that covers nothing yet.
 *
 * Owner:   the trampoline owns its tables until kc_tramp_fini()
 * Errors:  KC_ERR_ARG  the format is of the upper half; cpus is above KC_CPUS_MAX; and what
 *          kc_pt_init() says
 * Context: before the MMU too, with early memory
 */
KC_NODISCARD kc_status_t kc_tramp_init(struct kc_tramp *t, const struct kc_tramp_config *config);

/**
 * Map bytes of memory at base to themselves. For turning the MMU on: the kernel's image. For
 * changes: all memory that holds the image, stacks, this struct, the trees to change and their
 * tables; with the permissions of the linear map, so that no page is writable here and executable
 * there.
 *
 * perm   KC_PT_R, with W or X; Normal memory, global
 *
 * Errors:  KC_ERR_ARG   perm has KC_PT_USER; and what kc_pt_map() says
 */
KC_NODISCARD kc_status_t kc_tramp_cover(struct kc_tramp *t, kc_pa_t base, uint64_t bytes,
                                        uint32_t perm);

/**
 * Give the identity map back.
 *
 * Errors:  KC_ERR_STATE  not initialised, or finished already
 * Context: no CPU is in it: each has left (kc_tramp_leave(), or kc_tramp_change() has returned)
 */
KC_NODISCARD kc_status_t kc_tramp_fini(struct kc_tramp *t);

/* ---- changes -------------------------------------------------------------------------------- */

enum kc_tramp_op {
    KC_TRAMP_PROTECT, /* kc_pt_protect(pt, ia, bytes, attr) */
    KC_TRAMP_MOVE,    /* kc_pt_move(pt, ia, pa, bytes) */
    KC_TRAMP_SPLIT,   /* kc_pt_split(pt, ia, level) */
    KC_TRAMP_JOIN,    /* kc_pt_join(pt, ia, level) */
    KC_TRAMP_OP_COUNT
};

/* What to do; members that an operation does not name are ignored. */
struct kc_tramp_request {
    struct kc_pt *pt; /* in memory that the identity map covers */
    enum kc_tramp_op op;
    uint32_t level;
    kc_ia_t ia;
    kc_pa_t pa;
    uint64_t bytes;
    struct kc_pt_attr attr;
};

/**
 * Change a mapping that the running code uses: its text, stacks, tables or data.
 *
 * Waits until every other CPU is parked, goes to the identity map itself, lets kc/pt.h do the
 * operation (with its whole break-before-make; on CPUs of BBM level 0 too), comes back, and waits
 * until the others have. No CPU executes, loads or stores through the linear map while the leaf is
 * broken. All or nothing, as the operation is: with an error nothing was changed.
 *
 * Of KC_TRAMP_MOVE: the new memory already holds what the old does (cleaned to the point of
 * unification where it is code), and nobody writes the old any more. A change of cacheability asks
 * for the cache maintenance of DDI 0487, B2.8 from the caller.
 *
 * Errors:  KC_ERR_ARG    rq->op is none of the above
 *          KC_ERR_STATE  t is not initialised, TTBR0_EL1 does not hold home_ttbr0 (this CPU is in a
 *                        user space), or another change is seen under way
 *          and what the operation says. Whatever comes of it, the CPUs that park for it return
 * Cost:    that of the operation, with every CPU stopped for it; waits for the slowest to park
 * Context: one CPU at a time; no lock held (a parked CPU might wait for it); masks interrupts for
 *          its time. Each of the others calls kc_tramp_park() once
 */
KC_NODISCARD kc_status_t kc_tramp_change(struct kc_tramp *t, const struct kc_tramp_request *rq);

/**
 * Stand aside for one change: wait for it to begin, stay in the identity map while it is made, and
 * return when it is complete on all CPUs.
 *
 * Context: as kc_tramp_change(); this CPU is not in a user space. It may come before the CPU that
 *          makes the change has initialised t, which must be zeroed then
 */
void kc_tramp_park(struct kc_tramp *t);

/**
 * The change that other CPUs park for will not be made, say for want of memory: let them return.
 *
 * cpus   that run, this one included
 *
 * Context: as kc_tramp_change(), in its place; t may be uninitialised, but zeroed
 */
void kc_tramp_call_off(struct kc_tramp *t, uint32_t cpus);

/** True if a change waits for CPUs to park: for loops of CPUs that wait for something else. */
bool kc_tramp_is_wanted(const struct kc_tramp *t);

KC_EXTERN_C_END

#endif
